// wslay: its frame API, which looks at frames alone, and its event API, which joins messages and checks text.
#include <wslay/wslay.h>

#include <sys/random.h>

#include "bench.hpp"

namespace bench {

namespace {

// Keys as wscodec's: 256 bytes at a time from the system.
struct key_pool {
  unsigned char bytes[256];
  std::size_t left = 0;
  int next(std::uint8_t* to, std::size_t n) {
    if (left < n) {
      if (getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) return -1;
      left = sizeof bytes;
    }
    left -= n;
    std::memcpy(to, bytes + left, n);
    return 0;
  }
};

class receives_frames : public contestant_of<receives_frames> {
 public:
  explicit receives_frames(const workload& w) : w_(w) {
    wslay_frame_callbacks calls{};
    calls.recv_callback = [](std::uint8_t* to, std::size_t room, int, void* self) -> ssize_t {
      const std::size_t n = static_cast<receives_frames*>(self)->in_.read(reinterpret_cast<char*>(to), room);
      if (n == 0) give_up("wslay", "asks for more than there is");
      return static_cast<ssize_t>(n);
    };
    if (wslay_frame_context_init(&context_, &calls, this) != 0) give_up("wslay", "no context");
  }
  ~receives_frames() override { wslay_frame_context_free(context_); }

  template <class Sink>
  void run(Sink& to) {
    in_ = reader{w_};
    std::size_t left = w_.messages;
    std::uint64_t got = 0;
    unsigned opcode = 0;
    while (left != 0) {
      wslay_frame_iocb frame{};
      if (const ssize_t n = wslay_frame_recv(context_, &frame); n < 0) {
        if (n == WSLAY_ERR_WANT_READ) continue;  // a head was cut
        give_up("wslay", "no frame");
      }
      got += frame.data_length;
      const bool control = (frame.opcode & 8U) != 0;
      if (!control) {
        to.piece(frame.data, frame.data_length);
        if (frame.opcode != 0) opcode = frame.opcode;
      }
      if (got != frame.payload_length) continue;
      got = 0;
      if (!control && frame.fin != 0) {
        to.end(opcode);
        --left;
      }
    }
  }

 private:
  const workload& w_;
  reader in_{w_};
  wslay_frame_context_ptr context_ = nullptr;
};

template <class Sink>
class events {
 public:
  events(const workload& w, wslay_event_context_ptr& context) : w_(w) {
    wslay_event_callbacks calls{};
    calls.recv_callback = [](wslay_event_context_ptr ctx, std::uint8_t* to, std::size_t room, int, void* self) -> ssize_t {
      const std::size_t n = static_cast<events*>(self)->in_.read(reinterpret_cast<char*>(to), room);
      if (n != 0) return static_cast<ssize_t>(n);
      wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
      return -1;
    };
    calls.send_callback = [](wslay_event_context_ptr, const std::uint8_t*, std::size_t n, int, void*) { return static_cast<ssize_t>(n); };
    calls.on_msg_recv_callback = [](wslay_event_context_ptr, const wslay_event_on_msg_recv_arg* got, void* self) {
      if ((got->opcode & 8U) != 0) return;
      static_cast<events*>(self)->to->piece(got->msg, got->msg_length);
      static_cast<events*>(self)->to->end(got->opcode);
    };
    const auto init = w.from_client ? wslay_event_context_server_init : wslay_event_context_client_init;
    if (init(&context, &calls, this) != 0) give_up("wslay", "no context");
    wslay_event_config_set_max_recv_msg_length(context, std::uint64_t{1} << 40);
  }
  void run(wslay_event_context_ptr context, Sink& sink) {
    in_ = reader{w_};
    to = &sink;
    do {  // it returns when a head was cut
      if (wslay_event_recv(context) != 0) give_up("wslay", "cannot receive");
    } while (!in_.done());
    if (w_.pings && wslay_event_send(context) != 0) give_up("wslay", "cannot send");
  }

  Sink* to = nullptr;

 private:
  const workload& w_;
  reader in_{w_};
};

class receives_events : public contestant {
 public:
  explicit receives_events(const workload& w) : timed_(w, timed_context_), judged_(w, judged_context_) {}
  ~receives_events() override {
    wslay_event_context_free(timed_context_);
    wslay_event_context_free(judged_context_);
  }
  void pass(tally& to) override { timed_.run(timed_context_, to); }
  void pass(delivery& to) override { judged_.run(judged_context_, to); }

 private:
  wslay_event_context_ptr timed_context_ = nullptr, judged_context_ = nullptr;
  events<tally> timed_;
  events<delivery> judged_;
};

class sends : public contestant_of<sends> {
 public:
  explicit sends(const workload& w) : w_(w) {
    wslay_frame_callbacks calls{};
    calls.send_callback = [](const std::uint8_t* data, std::size_t n, int, void* self) {
      auto& me = *static_cast<sends*>(self);
      std::memcpy(send_buffer + me.used_, data, n);
      me.used_ += n;
      return static_cast<ssize_t>(n);
    };
    calls.genmask_callback = [](std::uint8_t* to, std::size_t n, void* self) { return static_cast<sends*>(self)->keys_.next(to, n); };
    if (wslay_frame_context_init(&context_, &calls, this) != 0) give_up("wslay", "no context");
  }
  ~sends() override { wslay_frame_context_free(context_); }

  template <class Sink>
  void run(Sink& to) {
    const auto flush = [&] {
      if constexpr (std::is_same_v<Sink, delivery>)
        if (!read_frames(send_buffer, used_, w_.from_client, to)) give_up("wslay", "sent no frames");
      used_ = 0;
    };
    for (const std::string& payload : w_.payloads) {
      if (send_buffer_size - used_ < payload.size() + 14) flush();
      wslay_frame_iocb frame{};
      frame.fin = 1;
      frame.opcode = static_cast<std::uint8_t>(w_.opcode);
      frame.payload_length = payload.size();
      frame.mask = w_.from_client;
      frame.data = reinterpret_cast<const std::uint8_t*>(payload.data());
      frame.data_length = payload.size();
      while (frame.data_length != 0) {
        const ssize_t n = wslay_frame_send(context_, &frame);
        if (n < 0) give_up("wslay", "cannot send");
        frame.data += n;
        frame.data_length -= static_cast<std::size_t>(n);
      }
      if constexpr (std::is_same_v<Sink, tally>) to.piece(nullptr, payload.size()), to.end(w_.opcode);
    }
    flush();
  }

 private:
  const workload& w_;
  key_pool keys_;
  std::size_t used_ = 0;
  wslay_frame_context_ptr context_ = nullptr;
};

}  // namespace

contestant_ptr wslay_frames_receives(const workload& w) { return std::make_unique<receives_frames>(w); }
contestant_ptr wslay_events_receives(const workload& w) { return std::make_unique<receives_events>(w); }
contestant_ptr wslay_frames_sends(const workload& w) { return std::make_unique<sends>(w); }

void wslay_idle(std::vector<idle_memory>& to) {
  const workload w = receiving(true, content::bytes, 1000, 100'000, 1460);
  const std::int64_t before = heap_now().bytes;
  wslay_event_context_ptr context = nullptr;
  events<tally> all{w, context};
  tally any;
  all.run(context, any);
  to.push_back({"wslay, events", 0, static_cast<std::size_t>(heap_now().bytes - before)});
  wslay_event_context_free(context);
}

}  // namespace bench
