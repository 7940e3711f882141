// Very many sessions in one process: bytes for each, the time of a message to one of them at random, and broadcasts.
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

#include <cstdlib>
#include <new>
#include <vector>

#include "bench.hpp"

namespace bench {

namespace ws = wscodec;

namespace {

class crowd : public contestant_of<crowd> {
 public:
  explicit crowd(const workload& w, std::size_t count) : w_(w), count_(count) {
    const std::int64_t before = heap_now().bytes;
    sessions_ = static_cast<ws::session*>(std::malloc(count * sizeof(ws::session)));
    if (sessions_ == nullptr) give_up("session", "no memory");
    for (std::size_t i = 0; i < count; ++i) new (sessions_ + i) ws::session{ws::role::server, ws::negotiated{}, opt_};
    tally any;
    for (std::size_t i = 0; i < count; ++i) receive(sessions_[i], any);
    bytes_each = static_cast<double>(heap_now().bytes - before) / static_cast<double>(count);
  }
  ~crowd() override {
    for (std::size_t i = 0; i < count_; ++i) sessions_[i].~session();
    std::free(sessions_);
  }

  template <class Sink>
  void run(Sink& to) {
    for (std::size_t m = 0; m < w_.messages; ++m) receive(sessions_[any_.below(static_cast<std::uint32_t>(count_))], to);
  }

  double bytes_each = 0;

 private:
  template <class Sink>
  void receive(ws::session& session, Sink& to) {
    std::memcpy(read_buffer, w_.wire.data(), w_.wire.size());
    std::span<char> bytes{read_buffer, w_.wire.size()};
    while (const ws::event ev = session.next(bytes)) {
      to.piece(ev.payload.data(), ev.payload.size());
      to.end(static_cast<unsigned>(ev.opcode));
    }
  }

  const workload& w_;
  std::size_t count_;
  ws::options opt_;
  ws::session* sessions_ = nullptr;
  noise any_{7};
};

/// A message to every session, and then what each has to write: without takeover, so that all share one compressor.
template <bool prepared>
class broadcast : public contestant_of<broadcast<prepared>> {
 public:
  broadcast(const workload& w, bool compressed) : w_(w) {
    if (compressed) opt_.extension = &hook_;
    const ws::negotiated agreed{&hook_, compressed ? ws::deflate_agreement{.server_no_context_takeover = true}.number() : 0U};
    for (std::size_t i = 0; i < w.messages; ++i) sessions_.emplace_back(ws::role::server, agreed, opt_);
  }

  template <class Sink>
  void run(Sink& to) {
    const auto op = static_cast<ws::opcode>(w_.opcode);
    const std::string& payload = w_.payloads.front();
    if constexpr (prepared) {
      const ws::prepared_message message{op, payload};
      for (ws::session& each : sessions_)
        if (each.send(message) != ws::error::none) give_up("session", "cannot send");
    } else {
      for (ws::session& each : sessions_)
        if (each.send(op, payload) != ws::error::none) give_up("session", "cannot send");
    }
    for (ws::session& each : sessions_) {
      ws::slice slices[4];
      const std::size_t n = each.output(slices);
      std::size_t size = 0;
      for (std::size_t i = 0; i < n; ++i) {
        if constexpr (std::is_same_v<Sink, delivery>)
          std::memcpy(send_buffer + size, slices[i].data, slices[i].size);
        else
          to.piece(slices[i].data, slices[i].size);
        size += slices[i].size;
      }
      if constexpr (std::is_same_v<Sink, delivery>) {
        if (!read_frames(send_buffer, size, false, to)) give_up("session", "sent no frame");
      } else {
        to.end(w_.opcode);
      }
      each.consume(size);
    }
  }

 private:
  const workload& w_;
  ws::deflate_pool pool_{ws::zlib_engine};
  ws::deflate_options deflate_{.engine = &ws::zlib_engine, .pool = &pool_};
  ws::extension_hook hook_ = ws::permessage_deflate(deflate_);
  ws::options opt_;
  std::vector<ws::session> sessions_;
};

}  // namespace

contestant_ptr broadcast_one_by_one(const workload& w, bool compressed) { return std::make_unique<broadcast<false>>(w, compressed); }
contestant_ptr broadcast_prepared(const workload& w, bool compressed) { return std::make_unique<broadcast<true>>(w, compressed); }

contestant_ptr crowd_of_sessions(const workload& w, std::size_t count, double& bytes_each) {
  auto made = std::make_unique<crowd>(w, count);
  bytes_each = made->bytes_each;
  return made;
}

}  // namespace bench
