// An echo server over epoll (Linux).
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/epoll.cpp -o epoll_echo -lz && ./epoll_echo [--port N]
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <unordered_map>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

struct client {
  ws::session session;
  std::uint32_t wanted = 0;  // events, as epoll knows them
  bool ended = false;        // the peer's side
  bool half_closed = false;
  explicit client(const ws::options& options) : session(ws::role::server, options) {}
};

// False: the connection is gone.
bool receive(int fd, client& c) {
  char memory[16 * 1024];
  const ssize_t n = ::recv(fd, memory, sizeof memory, 0);
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

// Sends what there is, does what the session says about the transport, and asks for the events that can be used: nothing
// is read from a peer that does not read.
bool settle(int loop, int fd, client& c) {
  while (c.session.buffered_amount() != 0) {
    const ssize_t n = ::send(fd, c.session.output().data(), c.session.output().size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
    if (n < 0) break;
    c.session.consume(static_cast<std::size_t>(n));
  }
  const ws::transport wants = c.session.wants();
  if (wants == ws::transport::half_close && !c.half_closed) c.half_closed = ::shutdown(fd, SHUT_WR) == 0;
  epoll_event ev{};
  ev.events = (c.ended || c.session.backed_up() ? 0U : EPOLLIN) | (c.session.buffered_amount() != 0 ? EPOLLOUT : 0U);
  ev.data.fd = fd;
  if (ev.events != c.wanted) ::epoll_ctl(loop, EPOLL_CTL_MOD, fd, &ev);
  c.wanted = ev.events;
  return wants != ws::transport::drop;
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  sockaddr_in here{};
  socklen_t size = sizeof here;
  here.sin_family = AF_INET;
  here.sin_port = htons(static_cast<std::uint16_t>(port));
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(listener, 1024) != 0) return std::perror("listen"), 1;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size);
  std::printf("listening on ws://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);

  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;
  std::unordered_map<int, client> clients;
  const int loop = ::epoll_create1(0);
  epoll_event added{};
  added.events = EPOLLIN;
  added.data.fd = listener;
  ::epoll_ctl(loop, EPOLL_CTL_ADD, listener, &added);
  const auto remove = [&](int fd) {
    ::close(fd);
    clients.erase(fd);
  };
  for (std::uint64_t next_tick = 0;;) {
    epoll_event ready[256];
    const int count = ::epoll_wait(loop, ready, 256, 500);
    for (int i = 0; i < count; ++i) {
      const int fd = ready[i].data.fd;
      if (fd == listener) {
        for (int peer; (peer = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
          clients.try_emplace(peer, options).first->second.wanted = EPOLLIN;
          added.data.fd = peer;
          ::epoll_ctl(loop, EPOLL_CTL_ADD, peer, &added);
        }
        continue;
      }
      client& c = clients.at(fd);
      const bool reads = (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
      if ((reads && !receive(fd, c)) || !settle(loop, fd, c)) remove(fd);
    }
    if (now() < next_tick) continue;
    next_tick = now() + 500'000;  // deadlines need not be exact
    for (auto next = clients.begin(); next != clients.end();) {
      auto& [fd, c] = *next++;
      (void)c.session.tick(now());
      if (!settle(loop, fd, c)) remove(fd);
    }
  }
}
