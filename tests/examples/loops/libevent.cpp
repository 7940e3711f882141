// An echo server over libevent's own events (no bufferevent: the session has the buffers).       (Debian: libevent-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/libevent.cpp -o libevent_echo -levent -lz && ./libevent_echo [--port N]
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

struct client {
  int fd;
  event* io = nullptr;
  ws::session session;
  bool ended = false;  // the peer's side
  bool half_closed = false;

  client(int descriptor, const ws::options& options) : fd(descriptor), session(ws::role::server, options) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() {
    event_free(io);
    ::close(fd);
  }
};

// False: the connection is gone.
bool receive(client& c) {
  char memory[16 * 1024];
  const ssize_t n = ::recv(c.fd, memory, sizeof memory, 0);
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
    const ssize_t n = ::send(c.fd, c.session.output().data(), c.session.output().size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    c.session.consume(static_cast<std::size_t>(n));
  }
  return true;
}

// The event fires when something can be done, and after half a second for the deadlines, which need not be exact.
void turn(evutil_socket_t, short what, void* state) {
  auto& c = *static_cast<client*>(state);
  (void)c.session.tick(now());
  if (((what & EV_READ) != 0 && !receive(c)) || !transmit(c) || c.session.wants() == ws::transport::drop) return delete &c;
  if (c.session.wants() == ws::transport::half_close && !c.half_closed) c.half_closed = ::shutdown(c.fd, SHUT_WR) == 0;
  const int wanted = (c.ended || c.session.backed_up() ? 0 : EV_READ) | (c.session.buffered_amount() != 0 ? EV_WRITE : 0);
  const timeval soon{0, 500'000};
  event_assign(c.io, event_get_base(c.io), c.fd, static_cast<short>(wanted), turn, &c);
  event_add(c.io, &soon);
}

void accept(evconnlistener* listener, evutil_socket_t fd, sockaddr*, int, void* options) {
  auto* const c = new client{fd, *static_cast<const ws::options*>(options)};
  c->io = event_new(evconnlistener_get_base(listener), fd, 0, turn, c);
  turn(fd, 0, c);
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;

  event_base* const loop = event_base_new();
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_port = htons(static_cast<std::uint16_t>(port));
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  evconnlistener* const listener = evconnlistener_new_bind(loop, accept, &options, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 1024,
                                                           reinterpret_cast<sockaddr*>(&here), sizeof here);
  if (listener == nullptr) return std::perror("listen"), 1;
  socklen_t size = sizeof here;
  ::getsockname(evconnlistener_get_fd(listener), reinterpret_cast<sockaddr*>(&here), &size);
  std::printf("listening on ws://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);
  return event_base_dispatch(loop);
}
