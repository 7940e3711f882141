// An echo server over io_uring (Linux): a receive and a write at most are under way for each client.
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/io_uring.cpp -o io_uring_echo -luring -lz && ./io_uring_echo [--port N]
// (Debian: liburing-dev)
#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unordered_set>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// What the kernel was asked to do; a completion gives it back.
struct operation {
  struct client* of = nullptr;
  bool under_way = false;
};

struct client {
  int fd;
  ws::session session;
  ws::output_buffer writing;  // stays put while it is written; two of them circulate
  std::size_t written = 0;    // of it
  operation read{this}, write{this};
  bool ended = false;  // the peer's side
  bool half_closed = false;
  bool dropped = false;
  char memory[16 * 1024];

  client(int descriptor, const ws::options& options) : fd(descriptor), session(ws::role::server, options) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() {
    session.free_buffer(writing);
    ::close(fd);
  }
};

io_uring ring;
std::unordered_set<client*> clients;

io_uring_sqe* ask(operation& what) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring);
  while (sqe == nullptr) {  // the queue is full: hand it over
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
  }
  what.under_way = true;
  return sqe;
}

// Asks for whatever can be done next; when nothing is under way for a dropped client, it goes.
void go_on(client& c) {
  if (!c.dropped && !c.write.under_way && c.session.buffered_amount() != 0) {
    if (c.written == c.writing.size) {
      c.writing = c.session.take_output(c.writing);
      c.written = 0;
    }
    io_uring_sqe* const sqe = ask(c.write);
    io_uring_prep_send(sqe, c.fd, c.writing.data + c.written, c.writing.size - c.written, MSG_NOSIGNAL);
    io_uring_sqe_set_data(sqe, &c.write);
  }
  if (!c.dropped && !c.read.under_way && !c.ended && !c.session.backed_up()) {
    io_uring_sqe* const sqe = ask(c.read);
    io_uring_prep_recv(sqe, c.fd, c.memory, sizeof c.memory, 0);
    io_uring_sqe_set_data(sqe, &c.read);
  }
  if (c.session.wants() == ws::transport::half_close && !c.half_closed) c.half_closed = ::shutdown(c.fd, SHUT_WR) == 0;
  if (c.session.wants() == ws::transport::drop && !c.dropped) {
    c.dropped = true;
    ::shutdown(c.fd, SHUT_RDWR);  // completes what is under way
  }
  if (!c.dropped || c.read.under_way || c.write.under_way) return;
  clients.erase(&c);
  delete &c;
}

void received(client& c, int n) {
  if (n <= 0) {
    c.ended = true;
    (void)c.session.end_of_input();
  }
  std::span<char> bytes{c.memory, n > 0 ? static_cast<std::size_t>(n) : 0};
  while (const ws::event ev = c.session.next(bytes)) {
    if (ev.type == ws::event_type::request) c.session.accept();
    if (ev.type == ws::event_type::message) c.session.send(ev.opcode, ev.payload);
  }
}

void wrote(client& c, int n) {
  if (n < 0) {
    c.dropped = true;
    ::shutdown(c.fd, SHUT_RDWR);
    return;
  }
  c.written += static_cast<std::size_t>(n);
  c.session.consume(static_cast<std::size_t>(n));
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;

  sockaddr_in here{};
  socklen_t size = sizeof here;
  here.sin_family = AF_INET;
  here.sin_port = htons(static_cast<std::uint16_t>(port));
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0), on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(listener, 1024) != 0) return std::perror("listen"), 1;
  if (const int failed = io_uring_queue_init(1024, &ring, 0); failed != 0) return std::fprintf(stderr, "io_uring: %s\n", std::strerror(-failed)), 1;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size);
  std::printf("listening on ws://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);

  operation accepting;
  std::uint64_t next_tick = 0;
  for (;;) {
    if (!accepting.under_way) {
      io_uring_sqe* const sqe = ask(accepting);
      io_uring_prep_accept(sqe, listener, nullptr, nullptr, 0);
      io_uring_sqe_set_data(sqe, &accepting);
    }
    __kernel_timespec half_a_second{0, 500'000'000};
    io_uring_cqe* cqe = nullptr;
    io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &half_a_second, nullptr);
    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
      auto* const what = static_cast<operation*>(io_uring_cqe_get_data(cqe));
      const int result = cqe->res;
      io_uring_cqe_seen(&ring, cqe);
      what->under_way = false;
      client* c = what->of;
      if (c == nullptr && result >= 0) clients.insert(c = new client{result, options});
      else if (c != nullptr && what == &c->read) received(*c, result);
      else if (c != nullptr) wrote(*c, result);
      if (c != nullptr) go_on(*c);
    }
    if (now() < next_tick) continue;
    next_tick = now() + 500'000;  // deadlines need not be exact
    for (auto next = clients.begin(); next != clients.end();) {
      client& c = **next++;
      (void)c.session.tick(now());
      go_on(c);
    }
  }
}
