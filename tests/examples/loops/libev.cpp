// An echo server over libev.       (Debian: libev-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/libev.cpp -o libev_echo -lev -lz && ./libev_echo [--port N]
#include <ev.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

struct client {
  ev_io io;
  ev_timer timer;
  ws::session session;
  bool ended = false;  // the peer's side
  bool half_closed = false;

  explicit client(const ws::options& options) : session(ws::role::server, options) {}
};

// False: the connection is gone.
bool receive(client& c) {
  char memory[16 * 1024];
  const ssize_t n = ::recv(c.io.fd, memory, sizeof memory, 0);
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  c.ended = n == 0;
  if (c.ended) (void)c.session.end_of_input();
  std::span<char> bytes{memory, static_cast<std::size_t>(n)};
  while (const ws::event ev = c.session.next(bytes)) {
    if (ev.type == ws::event_type::request) c.session.accept();
    if (ev.type == ws::event_type::message) c.session.send(ev.opcode, ev.payload);
  }
  return true;
}

bool transmit(client& c) {
  while (c.session.buffered_amount() != 0) {
    const ssize_t n = ::send(c.io.fd, c.session.output().data(), c.session.output().size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c.session.consume(static_cast<std::size_t>(n));
  }
  return true;
}

// Sends what there is, does what the session says about the transport, and asks for the events that can be used.
void settle(struct ev_loop* loop, client& c, bool alive) {
  if (!alive || !transmit(c) || c.session.wants() == ws::transport::drop) {
    ev_io_stop(loop, &c.io);
    ev_timer_stop(loop, &c.timer);
    ::close(c.io.fd);
    delete &c;
    return;
  }
  if (c.session.wants() == ws::transport::half_close && !c.half_closed) c.half_closed = ::shutdown(c.io.fd, SHUT_WR) == 0;
  const int wanted = (c.ended || c.session.backed_up() ? 0 : EV_READ) | (c.session.buffered_amount() != 0 ? EV_WRITE : 0);
  if ((c.io.events & (EV_READ | EV_WRITE)) == wanted) return;
  ev_io_stop(loop, &c.io);
  ev_io_set(&c.io, c.io.fd, wanted);
  ev_io_start(loop, &c.io);
}

void turn(struct ev_loop* loop, ev_io* io, int what) {
  auto& c = *static_cast<client*>(io->data);
  settle(loop, c, (what & EV_READ) == 0 || receive(c));
}

// Deadlines need not be exact: twice a second is enough.
void tick(struct ev_loop* loop, ev_timer* timer, int) {
  auto& c = *static_cast<client*>(timer->data);
  (void)c.session.tick(static_cast<std::uint64_t>(ev_now(loop) * 1e6));
  settle(loop, c, true);
}

void accept(struct ev_loop* loop, ev_io* listener, int) {
  for (int fd; (fd = ::accept4(listener->fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
    auto* const c = new client{*static_cast<const ws::options*>(listener->data)};
    c->io.data = c->timer.data = c;
    ev_io_init(&c->io, turn, fd, EV_READ);
    ev_timer_init(&c->timer, tick, 0, 0.5);
    ev_io_start(loop, &c->io);
    ev_timer_start(loop, &c->timer);
  }
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
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(fd, 1024) != 0) return std::perror("listen"), 1;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&here), &size);
  std::printf("listening on ws://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);

  struct ev_loop* const loop = ev_default_loop(0);
  ev_io listener;
  listener.data = &options;
  ev_io_init(&listener, accept, fd, EV_READ);
  ev_io_start(loop, &listener);
  ev_run(loop, 0);
}
