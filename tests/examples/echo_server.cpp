// An echo server over plain poll(): every message comes back with the same type.
//
//   c++ -std=c++20 -O2 -Iinclude tests/examples/echo_server.cpp -o echo_server
//   ./echo_server [--port N] [--host NAME] [--max-message BYTES] [--subprotocol NAME] [--origin ORIGIN]
//
// With -DECHO_DEFLATE and -lz it takes permessage-deflate, and has besides: [--server-window 8-15] [--client-window 8-15]
// [--server-takeover yes|no] [--client-takeover yes|no].
//
// Port 0 picks a free one. Stays up whatever its clients do: slow readers are not read from until they drain, and
// the session's deadlines drop those that hang.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <wscodec.hpp>
#ifdef ECHO_DEFLATE
#include <wscodec/zlib.hpp>
#endif

namespace ws = wscodec;

namespace {

std::uint64_t now() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

struct client {
  int fd;
  ws::session session;
  bool ended = false;  // the peer's side
  bool half_closed = false;
  bool gone = false;
  bool active = true;  // since the last sweep

  client(int descriptor, const ws::options& options) : fd(descriptor), session(ws::role::server, options) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { ::close(fd); }
};

struct settings {
  std::string host = "127.0.0.1";
  std::string port = "9001";
  std::string subprotocol;
  std::string origin;
  std::uint64_t max_message = 16 * 1024 * 1024;
#ifdef ECHO_DEFLATE
  ws::deflate_options deflate{.engine = &ws::zlib_engine};
#endif
};

#ifdef ECHO_DEFLATE
bool set_deflate(ws::deflate_options& deflate, std::string_view name, std::string_view value) {
  if (name == "--server-window") deflate.server_max_window_bits = static_cast<std::uint8_t>(std::atoi(value.data()));
  else if (name == "--client-window") deflate.client_max_window_bits = static_cast<std::uint8_t>(std::atoi(value.data()));
  else if (name == "--server-takeover") deflate.server_no_context_takeover = value == "no";
  else if (name == "--client-takeover") deflate.client_no_context_takeover = value == "no";
  else return false;
  return true;
}
#endif

// Selects our subprotocol when the client offers it.
void answer(client& c, const ws::request_view& request, const settings& set) {
  ws::acceptance yes;
  ws::list_cursor offers = request.subprotocols();
  for (std::string_view offer; offers.next(offer);)
    if (!set.subprotocol.empty() && offer == set.subprotocol) yes.subprotocol = set.subprotocol;
  if (c.session.accept(yes) != ws::error::none) c.gone = true;
}

void handle(client& c, std::span<char> bytes, const settings& set) {
  while (const ws::event ev = c.session.next(bytes)) {
    if (ev.type == ws::event_type::request) answer(c, ev.request(), set);
    if (ev.type == ws::event_type::message && c.session.send(ev.opcode, ev.payload) == ws::error::out_of_memory)
      c.session.fail(ws::error::out_of_memory);
  }
}

void receive(client& c, std::span<char> memory, const settings& set) {
  const ssize_t n = ::recv(c.fd, memory.data(), memory.size(), 0);
  if (n > 0) {
    c.active = true;
    handle(c, memory.first(static_cast<std::size_t>(n)), set);
  } else if (n == 0) {
    c.ended = true;
    (void)c.session.end_of_input();
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    c.gone = true;  // reset by the peer
  }
}

void transmit(client& c) {
  while (c.session.buffered_amount() != 0) {
    const std::string_view out = c.session.output();
    const ssize_t n = ::send(c.fd, out.data(), out.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) c.gone = true;
      return;
    }
    c.session.consume(static_cast<std::size_t>(n));
  }
}

// Does what the session says about the transport (RFC 6455 7.1.1): flush, end our side, or drop.
void settle(client& c) {
  transmit(c);
  switch (c.session.wants()) {
    case ws::transport::keep:
    case ws::transport::flush: break;
    case ws::transport::half_close:
      if (!c.half_closed) ::shutdown(c.fd, SHUT_WR);
      c.half_closed = true;
      break;
    case ws::transport::drop: c.gone = true; break;
  }
}

int listen_on(const settings& set) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(set.host.c_str(), set.port.c_str(), &hints, &found) != 0) return -1;
  const int fd = ::socket(found->ai_family, found->ai_socktype, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool good = fd >= 0 && ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, 1024) == 0;
  ::freeaddrinfo(found);
  if (good) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return good ? fd : -1;
}

int port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// False when there are no descriptors left for more clients.
bool accept_clients(int listener, std::vector<std::unique_ptr<client>>& clients, const ws::options& options) {
  for (;;) {
    const int fd = ::accept(listener, nullptr, nullptr);
    if (fd < 0) return errno != EMFILE && errno != ENFILE;
    const int on = 1;
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients.push_back(std::make_unique<client>(fd, options));
  }
}

int usage() {
  std::fputs("usage: echo_server [--port N] [--host NAME] [--max-message BYTES] [--subprotocol NAME] [--origin ORIGIN]\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  settings set;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return usage();
    if (name == "--port") set.port = argv[i + 1];
    else if (name == "--host") set.host = argv[i + 1];
    else if (name == "--subprotocol") set.subprotocol = argv[i + 1];
    else if (name == "--origin") set.origin = argv[i + 1];
    else if (name == "--max-message") set.max_message = std::strtoull(argv[i + 1], nullptr, 10);
#ifdef ECHO_DEFLATE
    else if (set_deflate(set.deflate, name, argv[i + 1])) continue;
#endif
    else return usage();
  }
  ws::options options;
  options.max_message = set.max_message;
  options.ping_interval = 30'000'000;
#ifdef ECHO_DEFLATE
  const ws::extension_hook deflate = ws::permessage_deflate(set.deflate);
  options.extension = &deflate;
#endif
  const std::string_view origins[] = {set.origin};
  if (!set.origin.empty()) options.allowed_origins = origins;

  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::signal(SIGPIPE, SIG_IGN);
  const int listener = listen_on(set);
  if (listener < 0) {
    std::fprintf(stderr, "cannot listen on %s:%s: %s\n", set.host.c_str(), set.port.c_str(), std::strerror(errno));
    return 1;
  }
  std::printf("listening on ws://%s:%d\n", set.host.c_str(), port_of(listener));
  std::fflush(stdout);

  std::vector<std::unique_ptr<client>> clients;
  std::vector<pollfd> polled;
  std::vector<char> memory(64 * 1024);
  std::uint64_t sweep_at = 0;
  bool room = true;
  for (;;) {
    const std::uint64_t before = now();
    std::uint64_t wake = before + 1'000'000;
    polled.assign(1, {listener, static_cast<short>(room ? POLLIN : 0), 0});
    for (const auto& c : clients) {
      const bool reads = !c->ended && !c->session.backed_up();
      const int events = (reads ? POLLIN : 0) | (c->session.buffered_amount() != 0 ? POLLOUT : 0);
      polled.push_back({c->fd, static_cast<short>(events), 0});
      if (c->session.next_deadline() < wake) wake = c->session.next_deadline();
    }
    const int timeout = wake <= before ? 0 : static_cast<int>((wake - before) / 1000 + 1);
    if (::poll(polled.data(), polled.size(), timeout) < 0 && errno != EINTR) return 1;
    const std::uint64_t time = now();
    for (std::size_t i = 0; i < clients.size(); ++i) {
      client& c = *clients[i];
      if (c.session.tick(time)) c.active = true;
      if ((polled[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(c, memory, set);
      settle(c);
      if (time >= sweep_at && !c.active) c.session.release();
      if (time >= sweep_at) c.active = false;
    }
    if (time >= sweep_at) sweep_at = time + 1'000'000;
    const std::size_t held = clients.size();
    std::erase_if(clients, [](const auto& c) { return c->gone; });
    if (clients.size() != held) room = true;
    if ((polled[0].revents & POLLIN) != 0) room = accept_clients(listener, clients, options);
  }
}
