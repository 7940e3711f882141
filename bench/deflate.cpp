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
  std::size_t compress(const std::string& payload) {
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

class bare_inflates : public contestant_of<bare_inflates> {
 public:
  bare_inflates(const workload& w, bool takeover) : w_(w), takeover_(takeover) {
    if (inflateInit2(&z_, -15) != Z_OK) give_up("zlib", "no memory");
    for (std::string& payload : w_.payloads) payload += std::string("\0\0\xFF\xFF", 4);
  }
  ~bare_inflates() override { inflateEnd(&z_); }
  template <class Sink>
  void run(Sink& to) {
    for (const std::string& payload : w_.payloads) {
      if (!takeover_) inflateReset(&z_);
      std::memcpy(read_buffer, payload.data(), payload.size());
      z_.next_in = bytes(read_buffer);
      z_.avail_in = static_cast<unsigned>(payload.size());
      z_.next_out = bytes(send_buffer);
      z_.avail_out = send_buffer_size;
      if (inflate(&z_, Z_SYNC_FLUSH) != Z_OK || z_.avail_in != 0) give_up("zlib", "cannot inflate");
      to.piece(send_buffer, send_buffer_size - z_.avail_out);
      to.end(w_.opcode);
    }
  }

 private:
  workload w_;
  bool takeover_;
  z_stream z_{};
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

class session_compressing : public contestant_of<session_compressing> {
 public:
  explicit session_compressing(const workload& w) : w_(w) {}
  template <class Sink>
  void run(Sink& to) {
    for (const std::string& payload : w_.payloads) {
      if (end_.session.send(static_cast<ws::opcode>(w_.opcode), payload) != ws::error::none) give_up("session", "cannot send");
      const std::string_view sent = end_.session.output();
      if constexpr (std::is_same_v<Sink, delivery>) {
        if (!read_frames(sent.data(), sent.size(), false, to)) give_up("session", "sent no frame");
      } else {
        to.piece(sent.data(), sent.size());
        to.end(w_.opcode);
      }
      end_.session.consume(sent.size());
    }
  }

 private:
  const workload& w_;
  endpoint end_;
};

class session_inflating : public contestant_of<session_inflating> {
 public:
  session_inflating(const workload& w, const ws::deflate_engine& engine, bool takeover) : w_(w), end_(engine, takeover) {}
  template <class Sink>
  void run(Sink& to) {
    reader in{w_};
    while (const std::size_t n = in.read()) {
      std::span<char> rest{read_buffer, n};
      while (const ws::event ev = end_.session.next(rest)) {
        if (ev.type != ws::event_type::message) give_up("session", ws::explain(ev.why()).what.data());
        to.piece(ev.payload.data(), ev.payload.size());
        to.end(static_cast<unsigned>(ev.opcode));
      }
    }
  }

 private:
  const workload& w_;
  endpoint end_;
};

}  // namespace

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
