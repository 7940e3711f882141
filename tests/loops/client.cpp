// What every loop's echo server must bear: 50 clients at once, messages of 0 to 4 MiB, with and without compression, slow
// readers, close codes both ways, broken rules, and one more that sends and never reads. Ends with `N passed, N failed`, in clients.
//   client PORT            with -DCLIENT_TLS -lssl -lcrypto it speaks TLS
//   client PORT SECONDS    eight clients that send small messages to and fro for so long
//   client --idle NAME:PORT...    one for each of these servers, which says nothing but answers pings: it must get one after
//                                 30 s, be connected still, and have a message come back
//   client --chat PORT PID        five who chat; one of them stops reading for a time; the server then gets SIGINT
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>
#include <wscodec/zlib.hpp>
#ifdef CLIENT_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

namespace ws = wscodec;
using std::string_view;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// ---- transports: a socket, blocking while it connects

#ifdef CLIENT_TLS
struct transport {
  int fd;
  SSL* tls;

  explicit transport(int descriptor) : fd(descriptor) {
    static SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (SSL_connect(tls) != 1) std::fputs("no TLS\n", stderr), std::exit(1);
  }
  // As recv and send: 0 at the end, -1 and EAGAIN for later. What SSL_get_error says is about the thread's queue of errors
  // too, where those of other connections lie.
  ssize_t result(int n) const {
    if (n > 0) return n;
    const int why = SSL_get_error(tls, n);
    if (why == SSL_ERROR_ZERO_RETURN) return 0;
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
  }
  ssize_t receive(std::span<char> to) const {
    ERR_clear_error();
    return result(SSL_read(tls, to.data(), static_cast<int>(to.size())));
  }
  ssize_t send(string_view bytes) const {
    ERR_clear_error();
    return result(SSL_write(tls, bytes.data(), static_cast<int>(bytes.size() < 65536 ? bytes.size() : 65536)));
  }
};
#else
struct transport {
  int fd;

  explicit transport(int descriptor) : fd(descriptor) {}
  ssize_t receive(std::span<char> to) const { return ::recv(fd, to.data(), to.size(), 0); }
  ssize_t send(string_view bytes) const { return ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
};
#endif

int dial(int port) {
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(static_cast<std::uint16_t>(port));
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0), on = 1;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) std::perror("connect"), std::exit(1);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

transport call(int port) {
  const transport to{dial(port)};
  ::fcntl(to.fd, F_SETFL, O_NONBLOCK);
  return to;
}

// ---- clients

struct message {
  ws::opcode op;
  std::string payload;
};

struct client {
  transport link;
  ws::session session;
  std::deque<message> sent;      // and not yet come back
  std::vector<message> to_send;
  unsigned code = 1000;          // to close with, or to be told
  std::string breaks;            // raw bytes that break a rule, sent instead of a Close
  bool slow = false;             // reads nothing for the first second
  bool dead = false;             // reads nothing after the handshake: the server must drop it
  std::uint64_t until = 0;       // sends each message again when it came back
  std::uint64_t greeted_at = 0;
  std::uint64_t pinged_at = 0;
  bool chats = false;            // keeps what it hears
  std::vector<std::string> heard;
  bool greeted = false, closed = false, ended = false;
  std::string complaint;

  client(int port, const ws::options& options, ws::masking_keys& keys) : link(call(port)), session(ws::role::client, options, &keys) {
    session.connect({.host = "127.0.0.1"});
  }
};

// Letters and some noise, so that compression has something to do and something it cannot; always UTF-8.
std::string content(std::size_t size, std::uint32_t seed) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(' ' + ((seed = seed * 1664525U + 1013904223U) >> 24) % (i / 4096 % 2 == 0 ? 4 : 90));
  return text;
}

void handle(client& c, const ws::event& ev) {
  switch (ev.type) {
    case ws::event_type::open:
      c.greeted = true;
      c.greeted_at = now();
      for (message& m : c.to_send) {
        c.session.send(m.op, m.payload);
        c.sent.push_back(std::move(m));
      }
      break;
    case ws::event_type::message:
      if (c.chats) {
        c.heard.emplace_back(ev.payload);
        break;
      }
      if (c.sent.empty()) c.complaint = "a message too many";
      else if (c.sent.front().op != ev.opcode || c.sent.front().payload != ev.payload) c.complaint = "another message than was sent";
      if (!c.sent.empty()) c.sent.pop_front();
      if (now() < c.until) {
        c.session.send(ev.opcode, ev.payload);
        c.sent.push_back({ev.opcode, std::string{ev.payload}});
      }
      break;
    case ws::event_type::close:
      c.closed = true;
      if (!c.sent.empty()) c.complaint = "closed before everything came back";
      if (static_cast<unsigned>(ev.code()) != c.code)
        c.complaint = "closed with " + std::to_string(static_cast<unsigned>(ev.code())) + " instead of " + std::to_string(c.code);
      break;
    case ws::event_type::ping: c.pinged_at = now(); break;
    case ws::event_type::failed: c.complaint = std::string(ws::explain(ev.why()).name); break;
    default: break;
  }
}

void send_out(client& c) {
  while (!c.session.output().empty()) {
    const ssize_t n = c.link.send(c.session.output());
    if (n <= 0 && c.dead && errno != EAGAIN && errno != EINTR) {
      c.ended = c.closed = true;
      if (now() < c.greeted_at + 4'000'000 || now() > c.greeted_at + 20'000'000) c.complaint = "dropped after " + std::to_string(now() - c.greeted_at) + " us";
    }
    if (n <= 0) return;
    c.session.consume(static_cast<std::size_t>(n));
  }
}

void turn(client& c, std::span<char> memory, bool early) {
  const bool reads = !(c.slow && early) && !(c.dead && c.greeted);
  for (int i = 0; reads && !c.ended && i < 16; ++i) {
    const ssize_t n = c.link.receive(memory);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) break;
    if (n <= 0) {
      c.ended = true;
      if (const ws::event ev = c.session.end_of_input(); ev && !c.closed) handle(c, ev);
      break;
    }
    std::span<char> bytes = memory.first(static_cast<std::size_t>(n));
    while (const ws::event ev = c.session.next(bytes)) handle(c, ev);
  }
  if (c.greeted && c.sent.empty() && !c.dead && c.session.is_open() && c.code != 0) {
    if (c.breaks.empty()) c.session.close(static_cast<ws::close_code>(c.code), "done");
    else if (c.session.output().empty() && c.link.send(c.breaks) == static_cast<ssize_t>(c.breaks.size())) c.breaks.clear(), c.greeted = false;
  }
  send_out(c);
}

// Waits for something to happen, and handles it; false when every client has ended.
bool wait_and_turn(std::deque<client>& clients, bool early) {
  static std::vector<char> memory(64 * 1024);
  static std::vector<pollfd> polled;
  polled.clear();
  for (const client& c : clients) {
    const int events = ((c.slow && early) || (c.dead && c.greeted) ? 0 : POLLIN) | (c.session.output().empty() ? 0 : POLLOUT);
    polled.push_back({c.ended ? -1 : c.link.fd, static_cast<short>(events), 0});
  }
  ::poll(polled.data(), polled.size(), 20);
  bool all = true;
  for (client& c : clients) {
    const bool greeted = c.greeted;
    if (!c.ended) turn(c, memory, early);
    all = all && c.ended;
    // What it has to send was compressed just now, which takes its time on a busy machine: the others are not to seem stuck.
    if (c.greeted && !greeted) return true;
  }
  return !all;
}

// Prints what clients complain of, by their names if they have some.
int report(std::deque<client>& clients, std::span<char*> names = {}) {
  int passed = 0, failed = 0;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    client& c = clients[i];
    if (c.dead && !c.closed) c.complaint = "it reads nothing and was not dropped";
    if (c.complaint.empty() && !c.closed) c.complaint = "no Close came; " + std::to_string(c.sent.size()) + " messages did not come back";
    if (c.complaint.empty() && !c.ended) c.complaint = "the server did not end the connection";
    if (c.complaint.empty()) ++passed;
    else ++failed, std::printf("FAIL client %s: %s\n", i < names.size() ? names[i] : std::to_string(i).c_str(), c.complaint.c_str());
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}

int idle(std::span<char*> servers, const ws::options& options, ws::masking_keys& keys) {
  std::deque<client> clients;
  for (const char* server : servers) clients.emplace_back(std::atoi(std::strrchr(server, ':') + 1), options, keys).code = 0;
  for (const std::uint64_t start = now(); wait_and_turn(clients, false) && now() < start + 36'000'000;) {
    for (client& c : clients) {
      if (c.code != 0 || c.ended || !c.greeted) continue;
      const std::uint64_t silence = (c.pinged_at != 0 ? c.pinged_at : now()) - c.greeted_at;
      if (c.pinged_at == 0 && silence > 32'000'000) c.complaint = "no ping within 32 s";
      if (c.pinged_at != 0 && silence < 29'000'000) c.complaint = "a ping after " + std::to_string(silence) + " us";
      if (c.complaint.empty() && (c.pinged_at == 0 || now() < c.pinged_at + 500'000)) continue;
      c.code = 1000;  // the pong is there by now
      c.session.send(ws::opcode::text, "still here");
      c.sent.push_back({ws::opcode::text, "still here"});
    }
  }
  return report(clients, servers);
}

int chat(int port, int server, const ws::options& plain, const ws::options& compressing, ws::masking_keys& keys) {
  std::deque<client> clients;
  for (int i = 0; i < 5; ++i) {
    client& c = clients.emplace_back(port, i % 2 == 0 ? plain : compressing, keys);
    c.code = 0;
    c.chats = true;
  }
  client &talker = clients.front(), &slow = clients.back();
  const int little = 32 * 1024;
  ::setsockopt(slow.link.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  const auto until = [&](auto done) {
    for (const std::uint64_t start = now(); !done() && now() < start + 20'000'000;) wait_and_turn(clients, true);
    return done();
  };
  const auto all = [&](auto what) { return [&clients, what] { return std::all_of(clients.begin(), clients.end(), what); }; };

  // Everybody hears the same, in the same order.
  until(all([](const client& c) { return c.greeted; }));
  for (std::size_t i = 0; i < 15; ++i) clients[i % 5].session.send(ws::opcode::text, "first talk " + std::to_string(i));
  until(all([](const client& c) { return c.heard.size() == 15; }));
  std::vector<std::string> heard = talker.heard;
  for (client& c : clients)
    if (c.heard != heard) c.complaint = "heard something else than others";
  std::sort(heard.begin(), heard.end());
  if (heard.size() != 15 || std::unique(heard.begin(), heard.end()) != heard.end()) talker.complaint = "heard not all, or twice the same";

  // One who does not read misses something, and is told how much.
  for (client& c : clients) c.heard.clear();
  slow.slow = true;
  constexpr std::size_t total = 2500;
  std::size_t said = 0;
  until([&] {
    while (said != total && said < talker.heard.size() + 16) talker.session.send(ws::opcode::text, std::to_string(said++) + ' ' + content(4000, 1));
    return talker.heard.size() == total;
  });
  until([&] { return std::all_of(clients.begin(), clients.end() - 1, [](const client& c) { return c.heard.size() == total; }); });
  slow.slow = false;
  std::size_t seen = 0, expected = 0, missed = 0;
  until([&] {
    for (; seen != slow.heard.size(); ++seen) {
      unsigned long n = 1;
      if (std::sscanf(slow.heard[seen].c_str(), "(you missed %lu messages)", &n) == 1) missed += n;
      else if (!slow.heard[seen].starts_with(std::to_string(expected) + ' ')) slow.complaint = "misses more than it is told";
      expected += n;
    }
    return expected == total;
  });
  if (expected != total) slow.complaint = "is told of " + std::to_string(expected) + " of " + std::to_string(total) + " messages";
  if (missed == 0) slow.complaint = "missed nothing: it was not slow";
  for (client& c : clients)
    if (&c != &slow && c.heard.size() != total) c.complaint = "heard " + std::to_string(c.heard.size()) + " messages";

  for (client& c : clients) c.code = 1001, c.greeted = false;
  ::kill(server, SIGINT);
  until(all([](const client& c) { return c.ended; }));
  return report(clients);
}

}  // namespace

int main(int argc, char** argv) {
  const string_view mode = argc > 2 ? argv[1] : "";
  const bool idles = mode == "--idle", chats = mode == "--chat" && argc == 4;
  if (argc < 2 || (argc > 3 && !idles && !chats))
    return std::fputs("usage: client PORT [SECONDS] | client --idle NAME:PORT... | client --chat PORT PID\n", stderr), 2;
  ::signal(SIGPIPE, SIG_IGN);
  ws::masking_keys keys{ws::system_entropy};
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options plain;
  plain.close_timeout = 0;
  ws::options compressing = plain;
  compressing.extension = &hook;

  if (chats) return chat(std::atoi(argv[2]), std::atoi(argv[3]), plain, compressing, keys);
  if (idles) return idle({argv + 2, argv + argc}, plain, keys);
  std::deque<client> clients;
  const bool steady = argc == 3;
  for (unsigned i = 0; steady && i < 8; ++i) {
    client& c = clients.emplace_back(std::atoi(argv[1]), i % 2 == 0 ? plain : compressing, keys);
    c.until = now() + 1'000'000 * std::strtoull(argv[2], nullptr, 10);
    for (const std::size_t size : {20U, 300U, 3000U}) c.to_send.push_back({ws::opcode::text, content(size, i)});
  }
  constexpr std::size_t sizes[] = {0, 1, 125, 126, 1000, 65535, 65536, 300'000};
  for (unsigned i = 0; !steady && i < 50; ++i) {
    client& c = clients.emplace_back(std::atoi(argv[1]), i % 2 == 0 ? plain : compressing, keys);
    for (const std::size_t size : sizes) c.to_send.push_back({i % 3 == 0 ? ws::opcode::binary : ws::opcode::text, content(size, i)});
    if (i % 10 < 2) c.to_send.push_back({ws::opcode::binary, content(4 * 1024 * 1024, i)});
    c.slow = i % 10 == 1;
    constexpr unsigned codes[] = {1000, 1001, 1011, 3000, 4999};
    c.code = codes[i % 5];
    if (i % 10 == 5) c.breaks = std::string("\x82\x01x", 3), c.code = 1002;                      // not masked
    if (i % 10 == 6) c.breaks = std::string("\x81\x81\0\0\0\0\xFF", 7), c.code = 1007;           // not UTF-8
    if (i % 10 == 7) c.breaks = std::string("\x82\xFF\0\0\0\1\0\0\0\0\0\0\0\0", 14), c.code = 1009;  // 4 GiB
  }
  if (!steady) {
    client& c = clients.emplace_back(std::atoi(argv[1]), plain, keys);
    c.dead = true;
    for (int i = 0; i < 32; ++i) c.to_send.push_back({ws::opcode::binary, std::string(1024 * 1024, 'x')});
  }
#ifdef CLIENT_TLS
  // Somebody who speaks no TLS is no harm to others.
  constexpr string_view plain_http = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  if (!steady && ::send(dial(std::atoi(argv[1])), plain_http.data(), plain_http.size(), MSG_NOSIGNAL) < 0) return std::perror("send"), 1;
#endif
  const std::uint64_t start = now();
  while (wait_and_turn(clients, now() < start + 1'000'000) && now() < start + 40'000'000) continue;
  return report(clients);
}
