// The usual loop of a conformance test's client: asks how many cases there are, runs each by echoing every message,
// and asks for the report at the end.
//
//   c++ -std=c++20 -O2 -Iinclude tests/examples/conformance_client.cpp -o conformance_client
//   ./conformance_client ws://127.0.0.1:9001 [--agent NAME] [--max-message BYTES]
//
// With -DECHO_DEFLATE and -lz it offers permessage-deflate.
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>
#ifdef ECHO_DEFLATE
#include <wscodec/zlib.hpp>
#endif

namespace ws = wscodec;

namespace {

std::uint64_t now() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

int connect_to(const ws::uri& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(std::string{where.host}.c_str(), std::to_string(where.port).c_str(), &hints, &found) != 0) return -1;
  int fd = ::socket(found->ai_family, found->ai_socktype, 0);
  if (fd >= 0 && ::connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
    ::close(fd);
    fd = -1;
  }
  ::freeaddrinfo(found);
  const int on = 1;
  if (fd >= 0) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// One connection from beginning to end. Echoes messages, or keeps the last text in `answer`. False if there was no
// connection to be had.
bool run(const ws::uri& server, const std::string& target, std::uint64_t max_message, ws::masking_keys& keys, std::string* answer) {
  const int fd = connect_to(server);
  if (fd < 0) return false;
  char host_memory[300];
  ws::output host{host_memory};
  if (!ws::write_host(host, server)) return false;
  ws::options options;
  options.max_message = max_message;
#ifdef ECHO_DEFLATE
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  options.extension = &extension;
#endif
  ws::session session{ws::role::client, options, &keys};
  bool good = session.connect({.host = host.written(), .target = target}) == ws::error::none;
  static char memory[256 * 1024];
  bool ended = false;  // the peer's side
  while (good) {
    (void)session.tick(now());
    const ws::transport wish = session.wants();
    if (wish == ws::transport::drop) break;
    if (wish == ws::transport::half_close) ::shutdown(fd, SHUT_WR);
    const int events = (ended || session.backed_up() ? 0 : POLLIN) | (session.buffered_amount() != 0 ? POLLOUT : 0);
    pollfd polled{fd, static_cast<short>(events), 0};
    ::poll(&polled, 1, 1000);
    if ((polled.revents & POLLOUT) != 0) {
      const std::string_view out = session.output();
      const ssize_t n = ::send(fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN && errno != EINTR) break;  // reset by the peer
      if (n > 0) session.consume(static_cast<std::size_t>(n));
    }
    if ((polled.revents & ~POLLOUT) == 0) continue;
    const ssize_t n = ::recv(fd, memory, sizeof memory, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0 || ended) break;  // reset by the peer
    if (n == 0) {
      ended = true;  // what is queued may still be sent
      (void)session.end_of_input();
      continue;
    }
    std::span<char> bytes{memory, static_cast<std::size_t>(n)};
    bool refused = false;
    while (const ws::event ev = session.next(bytes)) {
      refused |= ev.type == ws::event_type::rejected;
      if (ev.type != ws::event_type::message) continue;
      if (answer != nullptr) answer->assign(ev.payload);
      else (void)session.send(ev.opcode, ev.payload);
    }
    if (refused) break;  // the body of the refusal is of no interest here
  }
  ::close(fd);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  std::string agent = "wscodec";
  std::uint64_t max_message = ws::options{}.max_message;
  bool known = argc % 2 == 0;
  for (int i = 2; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--agent") agent = argv[i + 1];
    else if (name == "--max-message") max_message = std::strtoull(argv[i + 1], nullptr, 10);
    else known = false;
  }
  if (!known) {
    std::fputs("usage: conformance_client ws://HOST:PORT [--agent NAME] [--max-message BYTES]\n", stderr);
    return 2;
  }
  const ws::uri_result where = ws::parse_uri(argv[1]);
  if (where.why != ws::error::none) {
    const std::string_view words = ws::explain(where.why).what;
    std::fprintf(stderr, "%.*s\n", static_cast<int>(words.size()), words.data());
    return 2;
  }
  ws::masking_keys keys{ws::system_entropy};
  std::string count;
  if (!run(where.value, "/getCaseCount", max_message, keys, &count) || count.empty()) {
    std::fprintf(stderr, "no count of cases from %s\n", argv[1]);
    return 1;
  }
  const int cases = std::atoi(count.c_str());
  for (int i = 1; i <= cases; ++i)
    if (!run(where.value, "/runCase?case=" + std::to_string(i) + "&agent=" + agent, max_message, keys, nullptr)) return 1;
  return run(where.value, "/updateReports?agent=" + agent, max_message, keys, nullptr) ? 0 : 1;
}
