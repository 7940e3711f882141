// Our client against somebody's echo server: messages of all kinds, fragments, a ping, and closing by two codes.
//   client ws://HOST:PORT/PATH [--deflate] [--subprotocol NAME] [--largest BYTES] [--no-empty] [--answers-1000]
// With --deflate the server must agree on permessage-deflate, without it is not offered. A line a check, `ok NAME` or
// `FAIL NAME: why`; the last line is `N passed, N failed`.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

int passed = 0, failed = 0;

void check(bool good, const std::string& name, const std::string& why = {}) {
  ++(good ? passed : failed);
  std::printf(good ? "ok %s\n" : "FAIL %s: %s\n", name.c_str(), why.c_str());
}

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

/// A connection, driven until something happens.
struct talk {
  ws::masking_keys keys{ws::system_entropy};
  const ws::options& options;
  ws::session session{ws::role::client, options, &keys};
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  std::string events;  // what happened since the last look, a word each
  std::string message;
  ws::opcode op = ws::opcode::text;

  explicit talk(const ws::options& from) : options(from) {}
  talk(const talk&) = delete;
  talk& operator=(const talk&) = delete;
  ~talk() { ::close(fd); }

  bool connect(const ws::uri& where) {
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(where.port);
    ::inet_pton(AF_INET, std::string{where.host}.c_str(), &there.sin_addr);
    const int on = 1;
    char host_memory[300], target_memory[1000];
    ws::output host{host_memory}, target{target_memory};
    if (!ws::write_host(host, where) || !ws::write_target(target, where)) return false;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) return false;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return session.connect({.host = host.written(), .target = target.written()}) == ws::error::none;
  }
  void handle(const ws::event& ev) {
    switch (ev.type) {
      case ws::event_type::open: events += "open "; break;
      case ws::event_type::message:
        events += "message ";
        op = ev.opcode;
        message = ev.payload;
        break;
      case ws::event_type::pong: events += "pong:" + std::string{ev.payload} + " "; break;
      case ws::event_type::close: events += "close:" + std::to_string(static_cast<unsigned>(ev.code())) + " "; break;
      case ws::event_type::failed: events += "failed:" + std::string{ws::explain(ev.why()).name} + " "; break;
      case ws::event_type::rejected: events += "rejected:" + std::to_string(ev.response().status()) + " "; break;
      default: break;
    }
  }
  /// Goes on until there are events or 20 s have passed; what happened.
  std::string wait(bool until_the_end = false) {
    events.clear();
    std::vector<char> memory(64 * 1024);
    const std::uint64_t limit = now() + 20'000'000;
    while ((until_the_end || events.empty()) && now() < limit && session.wants() != ws::transport::drop) {
      if (const ws::event ev = session.tick(now())) handle(ev);
      pollfd polled{fd, static_cast<short>(POLLIN | (session.buffered_amount() != 0 ? POLLOUT : 0)), 0};
      ::poll(&polled, 1, 100);
      if ((polled.revents & POLLOUT) != 0) {
        const ssize_t n = ::send(fd, session.output().data(), session.output().size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) session.consume(static_cast<std::size_t>(n));
      }
      if ((polled.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      const ssize_t n = ::recv(fd, memory.data(), memory.size(), 0);
      if (n <= 0)
        if (const ws::event ev = session.end_of_input()) handle(ev);
      std::span<char> bytes{memory.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
      while (const ws::event ev = session.next(bytes)) handle(ev);
    }
    return events;
  }
};

struct sample {
  const char* name;
  ws::opcode op;
  std::string payload;
};

std::string letters(std::size_t n) {
  std::string text(n, '\0');
  for (std::size_t i = 0; i < n; ++i) text[i] = static_cast<char>('a' + i * i % 23);
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view subprotocol;
  bool deflated = false, empty = true;
  unsigned answer = 4001;  // some answer every Close by 1000, as they may
  std::size_t largest = 1024 * 1024;
  for (int i = 2; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--deflate") deflated = true;
    else if (name == "--subprotocol" && i + 1 < argc) subprotocol = argv[++i];
    else if (name == "--no-empty") empty = false;
    else if (name == "--answers-1000") answer = 1000;
    else if (name == "--largest" && i + 1 < argc) largest = std::strtoull(argv[++i], nullptr, 10);
    else argc = 0;
  }
  const ws::uri_result where = ws::parse_uri(argc > 1 ? argv[1] : "");
  if (where.why != ws::error::none) return std::fputs("usage: client ws://HOST:PORT/PATH [--deflate] [--subprotocol NAME] [--largest BYTES] [--no-empty] [--answers-1000]\n", stderr), 2;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options options;
  const std::string_view offered[] = {subprotocol};
  if (deflated) options.extension = &hook;
  if (!subprotocol.empty()) options.subprotocols = offered;

  talk first{options};
  if (!first.connect(where.value)) return std::puts("FAIL connect: refused\n0 passed, 1 failed"), 1;
  std::string got = first.wait();
  check(got == "open ", "opening handshake", got);
  if (got != "open ") return std::printf("%d passed, %d failed\n", passed, failed), 1;
  check((first.session.agreed().agreement != 0) == deflated, deflated ? "permessage-deflate is agreed on" : "no extension is agreed on");
  if (!subprotocol.empty()) check(first.session.subprotocol() == subprotocol, "subprotocol", std::string{first.session.subprotocol()});
  std::string bytes = letters(256);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i);
  const sample samples[] = {{"text", ws::opcode::text, "Hello"},
                            {"text that is not ASCII", ws::opcode::text, "Gr\u00fc\u00dfe, \u4e16\u754c, \U0001f310"},
                            {"empty text", ws::opcode::text, ""},
                            {"empty binary", ws::opcode::binary, ""},
                            {"every byte", ws::opcode::binary, bytes},
                            {"1 byte", ws::opcode::text, "x"},
                            {"125 bytes", ws::opcode::text, letters(125)},
                            {"126 bytes", ws::opcode::binary, letters(126)},
                            {"65535 bytes", ws::opcode::text, letters(65535)},
                            {"65536 bytes", ws::opcode::binary, letters(65536)},
                            {"the largest", ws::opcode::binary, letters(largest)}};
  for (const sample& s : samples) {
    if (s.payload.empty() && !empty) continue;
    (void)first.session.send(s.op, s.payload);
    got = first.wait();
    check(got == "message " && first.op == s.op && first.message == s.payload, s.name, got + std::to_string(first.message.size()) + " bytes");
  }
  for (const char* part : {"in ", "three "}) (void)first.session.send(ws::opcode::text, part, false);
  (void)first.session.send(ws::opcode::text, "fragments");
  got = first.wait();
  check(got == "message " && first.op == ws::opcode::text && first.message == "in three fragments", "fragments", got + first.message);
  (void)first.session.ping("are you there");
  got = first.wait();
  check(got == "pong:are you there ", "ping", got);
  (void)first.session.close(ws::close_code::normal, "done");
  got = first.wait(true);
  check(got == "close:1000 " && first.session.was_clean(), "closed by 1000", got);

  talk second{options};
  got = second.connect(where.value) ? second.wait() : "refused";
  (void)second.session.send(ws::opcode::text, "again");
  got += second.wait();
  (void)second.session.close(static_cast<ws::close_code>(4001), "own reason");
  got += second.wait(true);
  check(got == "open message close:" + std::to_string(answer) + " " && second.session.was_clean(), "closed by 4001", got);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
