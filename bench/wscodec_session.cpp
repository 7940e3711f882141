// wscodec's session: receiving whole messages, sending through its queue.
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
      : session{is_server ? ws::role::server : ws::role::client, ws::negotiated{}, opt, &keys} {}

  ws::options opt = without_limits();
  ws::masking_keys keys{ws::system_entropy};
  ws::session session;
};

template <class Sink>
WSCODEC_INLINE bool deliver(const ws::event& ev, Sink& to) {
  if (ev.type != ws::event_type::message) {
    if (ev.type != ws::event_type::ping) give_up("session", ws::explain(ev.why()).what.data());
    return true;
  }
  to.piece(ev.payload.data(), ev.payload.size());
  to.end(static_cast<unsigned>(ev.opcode));
  return false;
}

class receives : public contestant_of<receives> {
 public:
  explicit receives(const workload& w) : w_(w), end_(w.from_client) {}

  template <class Sink>
  void run(Sink& to) {
    reader in{w_};
    while (const std::size_t n = in.read()) {
      std::span<char> bytes{read_buffer, n};
      bool owes = false;
      while (const ws::event ev = end_.session.next(bytes)) owes |= deliver(ev, to);
      if (owes) end_.session.consume(end_.session.output().size());
    }
  }

 private:
  const workload& w_;
  endpoint end_;
};

class receives_prepared : public contestant_of<receives_prepared> {
 public:
  explicit receives_prepared(const workload& w) : w_(w), end_(w.from_client) {}

  template <class Sink>
  void run(Sink& to) {
    reader in{w_};
    for (;;) {
      const std::span<char> room = end_.session.prepare(read_buffer_size);
      const std::size_t n = in.read(room.data(), room.size());
      if (n == 0) break;
      end_.session.commit(n);
      bool owes = false;
      while (const ws::event ev = end_.session.next()) owes |= deliver(ev, to);
      if (owes) end_.session.consume(end_.session.output().size());
    }
  }

 private:
  const workload& w_;
  endpoint end_;
};

// What it queued is taken as soon as it passes the size of the send buffer, as a socket would.
class sends : public contestant_of<sends> {
 public:
  explicit sends(const workload& w) : w_(w), end_(!w.from_client) {}

  template <class Sink>
  void run(Sink& to) {
    const auto flush = [&] {
      const std::string_view bytes = end_.session.output();
      if constexpr (std::is_same_v<Sink, delivery>)
        if (!read_frames(bytes.data(), bytes.size(), w_.from_client, to)) give_up("session", "sent no frames");
      end_.session.consume(bytes.size());
    };
    std::size_t queued = 0;
    for (const std::string& payload : w_.payloads) {
      queued += payload.size();
      if (queued > send_buffer_size) {
        flush();
        queued = payload.size();
      }
      if (end_.session.send(static_cast<ws::opcode>(w_.opcode), payload) != ws::error::none) give_up("session", "cannot send");
      if constexpr (std::is_same_v<Sink, tally>) to.piece(nullptr, payload.size()), to.end(w_.opcode);
    }
    flush();
  }

 private:
  const workload& w_;
  endpoint end_;
};

}  // namespace

contestant_ptr session_receives(const workload& w) { return std::make_unique<receives>(w); }
contestant_ptr session_receives_prepared(const workload& w) { return std::make_unique<receives_prepared>(w); }
contestant_ptr session_sends(const workload& w) { return std::make_unique<sends>(w); }

void wscodec_idle(std::vector<idle_memory>& to) {
  const workload w = receiving(true, content::bytes, 1000, 100'000, 1460);
  const std::int64_t before = heap_now().bytes;
  tally any;
  ws::options opt;
  ws::session session{ws::role::server, ws::negotiated{}, opt};
  reader in{w};
  while (const std::size_t n = in.read()) {
    std::span<char> bytes{read_buffer, n};
    while (const ws::event ev = session.next(bytes)) {
      (void)deliver(ev, any);
      session.send(ev.opcode, ev.payload);
    }
    session.consume(session.output().size());
  }
  const std::int64_t used = heap_now().bytes - before;
  session.release();
  const std::int64_t left = heap_now().bytes - before;
  to.push_back({"wscodec connection", sizeof(ws::connection) + ws::min_scratch, 0});
  to.push_back({"wscodec session, released", sizeof(ws::session), static_cast<std::size_t>(left)});
  to.push_back({"wscodec session, buffers kept", sizeof(ws::session), static_cast<std::size_t>(used)});
}

}  // namespace bench
