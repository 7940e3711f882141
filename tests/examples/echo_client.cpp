// A client for the terminal: sends each line of stdin as a text message, prints the replies, closes cleanly at the end.
//
//   c++ -std=c++20 -O2 -Iinclude tests/examples/echo_client.cpp -o echo_client
//   ./echo_client ws://127.0.0.1:9001 [--max-message BYTES]
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
  int fd = -1;
  for (addrinfo* a = found; a != nullptr && fd < 0; a = a->ai_next) {
    fd = ::socket(a->ai_family, a->ai_socktype, 0);
    if (fd >= 0 && ::connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
      ::close(fd);
      fd = -1;
    }
  }
  ::freeaddrinfo(found);
  const int on = 1;
  if (fd >= 0) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void print(ws::error why) {
  const ws::explanation& words = ws::explain(why);
  std::fprintf(stderr, "%.*s (%.*s): %.*s\n", static_cast<int>(words.what.size()), words.what.data(),
               static_cast<int>(words.source.size()), words.source.data(), static_cast<int>(words.cause.size()),
               words.cause.data());
}

struct conversation {
  ws::session session;
  std::string pending;      // of stdin, not yet a whole line
  std::size_t unanswered = 0;
  bool input_ended = false;
  bool failed = false;

  void send_lines() {
    std::size_t begin = 0;
    for (std::size_t end; (end = pending.find('\n', begin)) != std::string::npos; begin = end + 1) send_line({pending.data() + begin, end - begin});
    pending.erase(0, begin);
    if (input_ended && !pending.empty()) send_line(pending);
    if (input_ended) pending.clear();
  }
  void send_line(std::string_view line) {
    const ws::error why = session.send(ws::opcode::text, line);
    if (why == ws::error::none) ++unanswered;
    else print(why);
  }
  void handle(const ws::event& ev) {
    switch (ev.type) {
      case ws::event_type::message:
        std::fwrite(ev.payload.data(), 1, ev.payload.size(), stdout);  // which may hold NUL
        std::puts("");
        std::fflush(stdout);
        if (unanswered != 0) --unanswered;
        break;
      case ws::event_type::rejected:
        std::fprintf(stderr, "refused: %d %.*s\n", ev.response().status(), static_cast<int>(ev.response().reason().size()),
                     ev.response().reason().data());
        failed = true;
        break;
      case ws::event_type::body: std::fprintf(stderr, "%.*s", static_cast<int>(ev.payload.size()), ev.payload.data()); break;
      case ws::event_type::close:
        if (ev.code() != ws::close_code::normal || session.state() == ws::close_state::replying)
          std::fprintf(stderr, "closed by the server: %d %.*s\n", static_cast<int>(ev.code()), static_cast<int>(ev.payload.size()), ev.payload.data());
        break;
      case ws::event_type::failed:
        print(ev.why());
        failed = true;
        break;
      default: break;
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  const bool limited = argc == 4 && std::string_view{argv[2]} == "--max-message";
  if (argc != 2 && !limited) {
    std::fputs("usage: echo_client ws://HOST[:PORT][/PATH] [--max-message BYTES]\n", stderr);
    return 2;
  }
  const ws::uri_result where = ws::parse_uri(argv[1]);
  if (where.why != ws::error::none || where.value.secure) {
    if (where.why != ws::error::none) print(where.why);
    else std::fputs("this example has no TLS: use ws://\n", stderr);
    return 2;
  }
  const int fd = connect_to(where.value);
  if (fd < 0) {
    std::fprintf(stderr, "cannot connect to %s\n", argv[1]);
    return 1;
  }
  char host_memory[300];
  char target_memory[4096];
  ws::output host{host_memory};
  ws::output target{target_memory};
  ws::options options;
  if (limited) options.max_message = std::strtoull(argv[3], nullptr, 10);
#ifdef ECHO_DEFLATE
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  options.extension = &extension;
#endif
  ws::masking_keys keys{ws::system_entropy};
  conversation talk{ws::session{ws::role::client, options, &keys}, {}};
  if (!ws::write_host(host, where.value) || !ws::write_target(target, where.value)) return 2;
  if (const ws::error why = talk.session.connect({.host = host.written(), .target = target.written()}); why != ws::error::none) {
    print(why);
    return 1;
  }
  char memory[64 * 1024];
  bool closing = false;
  bool ended = false;  // the server's side
  bool lost = false;   // reset: nothing can be sent any more
  while (!lost) {
    while (talk.session.buffered_amount() != 0 && !lost) {
      const std::string_view out = talk.session.output();
      const ssize_t n = ::send(fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) talk.session.consume(static_cast<std::size_t>(n));
      else if (errno == EAGAIN || errno == EINTR) break;
      else lost = true;
    }
    if (const ws::event late = talk.session.tick(now())) talk.handle(late);
    const ws::transport wish = talk.session.wants();
    if (wish == ws::transport::drop) break;
    if (wish == ws::transport::half_close) ::shutdown(fd, SHUT_WR);
    const bool reading = talk.session.is_open() && !talk.input_ended && talk.unanswered < 1000;
    const int events = (ended ? 0 : POLLIN) | (talk.session.buffered_amount() != 0 ? POLLOUT : 0);
    pollfd polled[2] = {{fd, static_cast<short>(events), 0}, {reading ? 0 : -1, POLLIN, 0}};
    if (::poll(polled, 2, 100) < 0 && errno != EINTR) break;
    if (polled[1].revents != 0) {
      const ssize_t n = ::read(0, memory, sizeof memory);
      if (n > 0) talk.pending.append(memory, static_cast<std::size_t>(n));
      else talk.input_ended = true;
      talk.send_lines();
    }
    if ((polled[0].revents & ~POLLOUT) != 0) {
      const ssize_t n = ::recv(fd, memory, sizeof memory, MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (n <= 0) {
        lost = n < 0 || ended;
        ended = true;  // what is queued may still be sent
        if (const ws::event ev = talk.session.end_of_input()) talk.handle(ev);
        continue;
      }
      std::span<char> bytes{memory, static_cast<std::size_t>(n)};
      while (const ws::event ev = talk.session.next(bytes)) talk.handle(ev);
    }
    if (talk.input_ended && talk.unanswered == 0 && !closing && talk.session.is_open()) {
      closing = true;
      if (talk.session.close() != ws::error::none) break;
    }
  }
  ::close(fd);
  const bool normal = talk.session.was_clean() && talk.session.code() == ws::close_code::normal;
  return talk.failed || talk.unanswered != 0 || !normal ? 1 : 0;
}
