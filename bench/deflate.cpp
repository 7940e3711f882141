// permessage-deflate: wscodec's session beside the bare calls of zlib, with the same parameters, and over libdeflate.
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

#include "bench.hpp"
#include "libdeflate_engine.hpp"

namespace bench {

namespace ws = wscodec;

namespace {

Bytef* bytes(const char* p) { return reinterpret_cast<Bytef*>(const_cast<char*>(p)); }

struct compressor {
  compressor() {
    if (deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) give_up("zlib", "no memory");
  }
  ~compressor() { deflateEnd(&z); }
  /// Compresses to the send buffer; returns the size without the tail.
  std::size_t compress(std::string_view payload) {
    z.next_in = bytes(payload.data());
    z.avail_in = static_cast<unsigned>(payload.size());
    z.next_out = bytes(send_buffer);
    z.avail_out = send_buffer_size;
    if (deflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_in != 0) give_up("zlib", "cannot compress");
    return send_buffer_size - z.avail_out - 4;
  }
  z_stream z{};
};

class bare_compresses : public contestant_of<bare_compresses> {
 public:
  explicit bare_compresses(const workload& w) : w_(w) {}
  template <class Sink>
  void run(Sink& to) {
    for (const std::string& payload : w_.payloads) {
      to.piece(send_buffer, compressor_.compress(payload));
      to.end(w_.opcode);
    }
  }

 private:
  const workload& w_;
  compressor compressor_;
};

struct inflater {
  inflater() {
    if (inflateInit2(&z, -15) != Z_OK) give_up("zlib", "no memory");
  }
  ~inflater() { inflateEnd(&z); }
  /// Inflates a message with its tail, as if it had just been read, into `to`; returns the size.
  std::size_t inflate(const std::string& message, char* to, std::size_t room) {
    std::memcpy(read_buffer, message.data(), message.size());
    z.next_in = bytes(read_buffer);
    z.avail_in = static_cast<unsigned>(message.size());
    z.next_out = bytes(to);
    z.avail_out = static_cast<unsigned>(room);
    if (::inflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_in != 0) give_up("zlib", "cannot inflate");
    return room - z.avail_out;
  }
  z_stream z{};
};

workload with_tails(workload w) {
  for (std::string& payload : w.payloads) payload += std::string("\0\0\xFF\xFF", 4);
  return w;
}

class bare_inflates : public contestant_of<bare_inflates> {
 public:
  bare_inflates(const workload& w, bool takeover) : w_(with_tails(w)), takeover_(takeover) {}
  template <class Sink>
  void run(Sink& to) {
    for (const std::string& payload : w_.payloads) {
      if (!takeover_) inflateReset(&inflater_.z);
      to.piece(send_buffer, inflater_.inflate(payload, send_buffer, send_buffer_size));
      to.end(w_.opcode);
    }
  }

 private:
  workload w_;
  bool takeover_;
  inflater inflater_;
};

/// Each message is inflated, and compressed again as its answer.
class bare_echoes : public contestant_of<bare_echoes> {
 public:
  explicit bare_echoes(const workload& w) : w_(with_tails(w)) {}
  template <class Sink>
  void run(Sink& to) {
    for (const std::string& payload : w_.payloads) {
      const std::size_t size = inflater_.inflate(payload, message_, sizeof message_);
      to.piece(send_buffer, compressor_.compress({message_, size}));
      to.end(w_.opcode);
    }
  }

 private:
  workload w_;
  inflater inflater_;
  compressor compressor_;
  char message_[32 * 1024];
};

struct endpoint {
  explicit endpoint(const ws::deflate_engine& engine = ws::zlib_engine, bool takeover = true)
      : deflate{.engine = &engine}, agreement{.server_no_context_takeover = !takeover, .client_no_context_takeover = !takeover} {}

  ws::deflate_options deflate;
  ws::deflate_agreement agreement;
  ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options opt = [this] {
    ws::options o;
    o.extension = &hook;
    return o;
  }();
  ws::session session{ws::role::server, {&hook, agreement.number()}, opt};
};

/// Sends a message and takes what is to be written.
template <class Sink>
void send(ws::session& session, ws::opcode op, std::string_view payload, Sink& to) {
  if (session.send(op, payload) != ws::error::none) give_up("session", "cannot send");
  const std::string_view sent = session.output();
  if constexpr (std::is_same_v<Sink, delivery>) {
    if (!read_frames(sent.data(), sent.size(), false, to)) give_up("session", "sent no frame");
  } else {
    to.piece(sent.data(), sent.size());
    to.end(static_cast<unsigned>(op));
  }
  session.consume(sent.size());
}

class session_compressing : public contestant_of<session_compressing> {
 public:
  explicit session_compressing(const workload& w) : w_(w) {}
  template <class Sink>
  void run(Sink& to) {
    for (const std::string& payload : w_.payloads) send(end_.session, static_cast<ws::opcode>(w_.opcode), payload, to);
  }

 private:
  const workload& w_;
  endpoint end_;
};

/// Reads the workload and calls `on_message` with each event.
void receive(ws::session& session, const workload& w, auto&& on_message) {
  reader in{w};
  while (const std::size_t n = in.read()) {
    std::span<char> rest{read_buffer, n};
    while (const ws::event ev = session.next(rest)) {
      if (ev.type != ws::event_type::message) give_up("session", ws::explain(ev.why()).what.data());
      on_message(ev);
    }
  }
}

class session_inflating : public contestant_of<session_inflating> {
 public:
  session_inflating(const workload& w, const ws::deflate_engine& engine, bool takeover) : w_(w), end_(engine, takeover) {}
  template <class Sink>
  void run(Sink& to) {
    receive(end_.session, w_, [&](const ws::event& ev) {
      to.piece(ev.payload.data(), ev.payload.size());
      to.end(static_cast<unsigned>(ev.opcode));
    });
  }

 private:
  const workload& w_;
  endpoint end_;
};

class session_echoing : public contestant_of<session_echoing> {
 public:
  explicit session_echoing(const workload& w) : w_(w) {}
  template <class Sink>
  void run(Sink& to) {
    receive(end_.session, w_, [&](const ws::event& ev) { send(end_.session, ev.opcode, ev.payload, to); });
  }

 private:
  const workload& w_;
  endpoint end_;
};

}  // namespace

contestant_ptr zlib_echoes(const workload& w) { return std::make_unique<bare_echoes>(w); }
contestant_ptr session_echoes(const workload& w) { return std::make_unique<session_echoing>(w); }
contestant_ptr zlib_compresses(const workload& w) { return std::make_unique<bare_compresses>(w); }
contestant_ptr zlib_inflates(const workload& w, bool takeover) { return std::make_unique<bare_inflates>(w, takeover); }
contestant_ptr session_compresses(const workload& w) { return std::make_unique<session_compressing>(w); }
contestant_ptr session_inflates(const workload& w, bool takeover) {
  return std::make_unique<session_inflating>(w, ws::zlib_engine, takeover);
}
contestant_ptr session_inflates_by_libdeflate(const workload& w) {
  return std::make_unique<session_inflating>(w, libdeflate_engine::engine, false);
}

workload compressed(workload w, bool takeover) {
  compressor with;
  noise keys{1};
  for (std::string& payload : w.payloads) {
    if (!takeover) deflateReset(&with.z);
    payload = std::string(send_buffer, with.compress(payload));
    append_frame(w.wire, 0xC0U | w.opcode, payload, true, keys);
  }
  return w;
}

}  // namespace bench
