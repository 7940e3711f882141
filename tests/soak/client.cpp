// Many connections to an echo server for a long time: messages of all sizes, compressed or not, and ends of all kinds, then anew.
//   client PORT CONNECTIONS SECONDS
// Every message must come back with its hash. Prints a line every ten seconds, `lost: WHY` for a message that did not come back
// though nothing was done to its connection, `wrong: WHAT`, and at the end `N messages, N wrong, N lost, N connections`.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
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
#include <vector>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

std::uint64_t random_state = 88172645463325252U;
std::uint64_t random_below(std::uint64_t n) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state % n;
}

std::uint64_t hash_of(std::string_view bytes) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

struct client {
  ws::session session;
  int fd;
  std::uint64_t expected = 0;   // hash of the message that is under way; 0: none is
  std::uint64_t next_send;
  std::uint64_t sent_at = 0;
  int left;                     // messages until it ends
  bool ending = false;          // by our own doing
  bool closed = false;
  bool gone = false;
  std::uint32_t wanted = EPOLLIN;

  client(int descriptor, const ws::options& options, ws::masking_keys& keys, std::uint64_t at)
      : session(ws::role::client, options, &keys), fd(descriptor), next_send(at), left(1 + static_cast<int>(random_below(100))) {
    session.connect({.host = "127.0.0.1"});
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { ::close(fd); }
};

int port = 0, loop = -1;
std::uint64_t messages = 0, wrong = 0, lost = 0, connections = 0;
std::string text;  // what messages are cut out of

/// From one of many addresses of this machine, so that there are ports enough.
int call(std::size_t i) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  if (fd < 0) return -1;
  ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + static_cast<std::uint32_t>(i % 16));
  ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) return ::close(fd), -1;
  return fd;
}

void lose(client& c, const std::string& why) {
  c.gone = true;
  if (c.ending || (c.closed && c.expected == 0)) return;
  if (c.expected != 0) ++lost;
  if (c.expected != 0 && lost < 50) std::printf("lost: %s, %llu ms after it was sent\n", why.c_str(), static_cast<unsigned long long>((now() - c.sent_at) / 1000));
}

void send_next(client& c) {
  if (c.left-- == 0) {
    c.ending = true;
    const std::uint64_t how = random_below(4);
    if (how == 0) {  // a reset
      const linger hard{1, 0};
      ::setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
      c.gone = true;
    } else if (how == 1) {  // an end without a Close
      ::shutdown(c.fd, SHUT_WR);
    } else {
      c.session.close(ws::close_code::normal, "enough");
    }
    return;
  }
  const std::uint64_t kind = random_below(1000);
  const std::size_t size = kind == 0 ? 1'000'000 : kind < 20 ? random_below(70'000) : random_below(2'000);
  const std::string_view payload = std::string_view{text}.substr(random_below(text.size() - size), size);
  if (c.session.send(kind % 2 == 0 ? ws::opcode::text : ws::opcode::binary, payload) != ws::error::none) return lose(c, "not sent");
  c.expected = hash_of(payload) | 1U;
  c.sent_at = now();
}

void turn(client& c, std::uint32_t events) {
  char memory[16 * 1024];
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    const ssize_t n = ::recv(c.fd, memory, sizeof memory, 0);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return lose(c, std::strerror(errno));
    if (n == 0) (void)c.session.end_of_input();
    std::span<char> bytes{memory, n > 0 ? static_cast<std::size_t>(n) : 0};
    while (const ws::event ev = c.session.next(bytes)) {
      if (ev.type == ws::event_type::message) {
        ++messages;
        if ((hash_of(ev.payload) | 1U) != c.expected && ++wrong < 50) std::printf("wrong: a message of %zu bytes\n", ev.payload.size());
        c.expected = 0;
        c.next_send = now() + random_below(4'000'000);
      }
      if (ev.type == ws::event_type::close) c.closed = true;
      if (ev.type == ws::event_type::failed && !c.ending) lose(c, std::string{ws::explain(ev.why()).name});
    }
    if (n == 0 && c.ending) c.gone = true;
  }
  while (!c.gone && !c.session.output().empty()) {
    const ssize_t n = ::send(c.fd, c.session.output().data(), c.session.output().size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN) return lose(c, std::strerror(errno));
    if (n < 0) break;
    c.session.consume(static_cast<std::size_t>(n));
  }
  if (c.session.wants() == ws::transport::drop) lose(c, "dropped: " + std::string{ws::explain(c.session.why()).name});
  epoll_event ev{};
  ev.events = EPOLLIN | (c.session.output().empty() ? 0U : EPOLLOUT);
  ev.data.ptr = &c;
  if (ev.events != c.wanted && !c.gone) ::epoll_ctl(loop, EPOLL_CTL_MOD, c.fd, &ev);
  c.wanted = ev.events;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return std::fputs("usage: client PORT CONNECTIONS SECONDS\n", stderr), 2;
  ::signal(SIGPIPE, SIG_IGN);
  port = std::atoi(argv[1]);
  const std::size_t wanted = std::strtoull(argv[2], nullptr, 10);
  for (int i = 0; i < 1'100'000; ++i) text += static_cast<char>(' ' + random_below(i / 3000 % 2 == 0 ? 5 : 90));
  ws::masking_keys keys{ws::system_entropy};
  const ws::deflate_options deflate{.engine = &ws::zlib_engine, .server_max_window_bits = 10, .client_max_window_bits = 10,
                                    .server_no_context_takeover = true, .client_no_context_takeover = true, .memory_level = 3, .release_after = 1'000'000};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options plain;
  plain.handshake_timeout = plain.write_timeout = 60'000'000;
  ws::options compressing = plain;
  compressing.extension = &hook;
  loop = ::epoll_create1(0);
  std::vector<std::unique_ptr<client>> clients(wanted);
  const std::uint64_t start = now(), end = start + 1'000'000 * std::strtoull(argv[3], nullptr, 10);
  std::uint64_t next_look = 0, next_line = start + 10'000'000;
  std::size_t to_begin = 0;  // connections begin a few at a time
  while (now() < end) {
    epoll_event ready[512];
    const int n = ::epoll_wait(loop, ready, 512, 20);
    for (int i = 0; i < n; ++i) {
      auto& c = *static_cast<client*>(ready[i].data.ptr);
      if (!c.gone) turn(c, ready[i].events);
    }
    const std::uint64_t time = now();
    if (time < next_look) continue;
    next_look = time + 50'000;
    to_begin = 100;
    for (std::size_t i = 0; i < clients.size(); ++i) {
      std::unique_ptr<client>& c = clients[i];
      if (c != nullptr && !c->gone) {
        if (const ws::event ev = c->session.tick(time)) lose(*c, std::string{ws::explain(ev.why()).name});
        // Nothing new in the last ten seconds: what is under way must still come back.
        if (c->session.is_open() && !c->ending && c->expected == 0 && time >= c->next_send && time + 10'000'000 < end) send_next(*c);
        if (!c->gone) turn(*c, 0);
      }
      if (c != nullptr && c->gone) c.reset();
      if (c == nullptr && to_begin != 0 && time + 10'000'000 < end) {
        const int fd = call(i);
        if (fd < 0) continue;
        --to_begin;
        ++connections;
        c = std::make_unique<client>(fd, i % 10 == 0 ? compressing : plain, keys, time + random_below(4'000'000));
        epoll_event ev{};
        ev.events = c->wanted = EPOLLIN | EPOLLOUT;
        ev.data.ptr = c.get();
        ::epoll_ctl(loop, EPOLL_CTL_ADD, fd, &ev);
      }
    }
    if (time < next_line) continue;
    next_line += 10'000'000;
    std::size_t open = 0;
    for (const auto& c : clients) open += c != nullptr && c->session.is_open();
    std::printf("%llu s: %zu open, %llu messages, %llu wrong, %llu lost\n", static_cast<unsigned long long>((time - start) / 1'000'000), open,
                static_cast<unsigned long long>(messages), static_cast<unsigned long long>(wrong), static_cast<unsigned long long>(lost));
    std::fflush(stdout);
  }
  for (const auto& c : clients)
    if (c != nullptr && c->expected != 0 && !c->ending && !c->gone) lose(*c, "not back in the end");
  std::printf("%llu messages, %llu wrong, %llu lost, %llu connections\n", static_cast<unsigned long long>(messages), static_cast<unsigned long long>(wrong),
              static_cast<unsigned long long>(lost), static_cast<unsigned long long>(connections));
  return wrong + lost != 0;
}
