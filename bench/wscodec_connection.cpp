// wscodec's connection: receiving in place, sending into the caller's memory, the opening handshake.
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>

#include "bench.hpp"

namespace bench {

namespace ws = wscodec;

namespace {

ws::options without_limits() {
  ws::options opt;
  opt.max_message = std::uint64_t{1} << 40;
  opt.max_fragments = ~0U;
  return opt;
}

struct endpoint {
  explicit endpoint(bool is_server)
      : connection{is_server ? ws::role::server : ws::role::client, ws::negotiated{}, opt, scratch, &keys} {}

  ws::options opt = without_limits();
  ws::masking_keys keys{ws::system_entropy};
  char scratch[ws::min_scratch];
  ws::connection connection;
};

class receives : public contestant_of<receives> {
 public:
  explicit receives(const workload& w) : w_(w), end_(w.from_client) {}

  template <class Sink>
  void run(Sink& to) {
    reader in{w_};
    while (const std::size_t n = in.read()) {
      std::span<char> bytes{read_buffer, n};
      bool owes = false;
      while (const ws::event ev = end_.connection.next(bytes)) {
        if (ev.type != ws::event_type::data) {
          if (ev.type != ws::event_type::ping) give_up("connection", ws::explain(ev.why()).what.data());
          owes = true;
          continue;
        }
        to.piece(ev.payload.data(), ev.payload.size());
        if (ev.last) to.end(static_cast<unsigned>(ev.opcode));
      }
      if (owes) {
        ws::output out{{send_buffer, send_buffer_size}};
        if (end_.connection.write_owed(out) != ws::error::none) give_up("connection", "cannot write a pong");
      }
    }
  }

 private:
  const workload& w_;
  endpoint end_;
};

class sends : public contestant_of<sends> {
 public:
  sends(const workload& w, bool one_by_one) : w_(w), one_by_one_(one_by_one), end_(!w.from_client) {}

  void run(tally& to) { run(to, [](ws::output&) {}); }
  void run(delivery& to) {
    run(to, [&](ws::output& out) {
      if (out.size() != 0 && !read_frames(send_buffer, out.size(), w_.from_client, to)) give_up("connection", "sent no frames");
    });
  }

 private:
  // `judge` looks at what was sent before the memory is used again.
  template <class Sink, class Judge>
  void run(Sink& to, Judge judge) {
    const auto op = static_cast<ws::opcode>(w_.opcode);
    ws::output out{{send_buffer, send_buffer_size}};
    for (const std::string& payload : w_.payloads) {
      if (one_by_one_) {
        judge(out);
        out.clear();
      }
      ws::error result = end_.connection.send(out, op, payload);
      if (result == ws::error::output_full) {
        judge(out);
        out.clear();
        result = end_.connection.send(out, op, payload);
      }
      if (result != ws::error::none) give_up("connection", "cannot send");
      if constexpr (std::is_same_v<Sink, tally>) to.piece(nullptr, payload.size()), to.end(w_.opcode);
    }
    judge(out);
  }

  const workload& w_;
  bool one_by_one_;  // the transport takes each at once
  endpoint end_;
};

class sends_heads : public contestant_of<sends_heads> {
 public:
  explicit sends_heads(const workload& w) : w_(w), end_(!w.from_client) {}

  void run(tally& to) {
    ws::output out{{send_buffer, send_buffer_size}};
    for (const std::string& payload : w_.payloads) {
      std::uint32_t key = 0;
      if (out.room() < ws::max_frame_head) out.clear();
      if (end_.connection.head(out, static_cast<ws::opcode>(w_.opcode), payload.size(), true, key) != ws::error::none)
        give_up("connection", "cannot write a head");
      to.piece(nullptr, payload.size());
      to.end(w_.opcode);
    }
  }
  void run(delivery& to) {
    for (const std::string& payload : w_.payloads) {
      std::uint32_t key = 0;
      ws::output out{{send_buffer, send_buffer_size}};
      if (end_.connection.head(out, static_cast<ws::opcode>(w_.opcode), payload.size(), true, key) != ws::error::none ||
          !out.put(payload) || !read_frames(send_buffer, out.size(), false, to))
        give_up("connection", "cannot write a head");
    }
  }

 private:
  const workload& w_;
  endpoint end_;
};

class accepts : public contestant_of<accepts> {
 public:
  explicit accepts(const workload& w) : w_(w) {}

  template <class Sink>
  void run(Sink& to) {
    for (std::size_t i = 0; i < w_.messages; ++i) {
      std::memcpy(read_buffer, w_.wire.data(), w_.wire.size());
      std::span<char> bytes{read_buffer, w_.wire.size()};
      ws::connection connection{ws::role::server, opt_, scratch_};
      ws::output out{{send_buffer, send_buffer_size}};
      const ws::event ev = connection.next(bytes);
      if (ev.type != ws::event_type::request || connection.accept(out) != ws::error::none) give_up("connection", "cannot accept");
      const std::string_view response = out.written();
      if constexpr (std::is_same_v<Sink, delivery>) {
        const std::string_view name = "Sec-WebSocket-Accept: ";
        to.piece(response.data() + response.find(name) + name.size(), 28);
      } else {
        to.piece(response.data(), w_.payload);
      }
      to.end(text);
    }
  }

 private:
  const workload& w_;
  ws::options opt_;
  char scratch_[ws::min_scratch];
};

}  // namespace

contestant_ptr connection_receives(const workload& w) { return std::make_unique<receives>(w); }
contestant_ptr connection_sends(const workload& w, bool one_by_one) { return std::make_unique<sends>(w, one_by_one); }
contestant_ptr connection_sends_heads(const workload& w) { return std::make_unique<sends_heads>(w); }
contestant_ptr connection_accepts(const workload& w) { return std::make_unique<accepts>(w); }

}  // namespace bench
