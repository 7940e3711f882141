// Very many sessions in one process: bytes for each, and the time of a message to one of them at random.
#include <wscodec.hpp>

#include <cstdlib>
#include <new>

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

}  // namespace

contestant_ptr crowd_of_sessions(const workload& w, std::size_t count, double& bytes_each) {
  auto made = std::make_unique<crowd>(w, count);
  bytes_each = made->bytes_each;
  return made;
}

}  // namespace bench
