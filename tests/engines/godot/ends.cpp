// How connections begin and end between us and Godot 3: refusals, the close codes and reasons of both sides, pings, empty messages.
//   ends server                  serves Godot's client (ends.gd), a connection for each case
//   ends client ws://HOST:PORT/  talks to Godot's server (server.gd)
// A line a check, `ok NAME` or `FAIL NAME: what happened`; the last line is `N passed, N failed`.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>

namespace ws = wscodec;

namespace {

int passed = 0, failed = 0;

void check(bool good, const std::string& name, const std::string& why) {
  ++(good ? passed : failed);
  std::printf(good ? "ok %s\n" : "FAIL %s: %s\n", name.c_str(), why.c_str());
}

void wait_at_most_ten_seconds(int fd) {
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

/// Godot 3 sends the zero that ends a string of C along with its own reason: that is shown as `\0`.
std::string shown(std::string_view payload) {
  std::string text{payload};
  if (text.ends_with('\0')) text.replace(text.size() - 1, 1, "\\0");
  return text;
}

/// Drives a session to its end: `act` is called with each event. What happened, a word each, and `clean` if it ended so.
template <class Act>
std::string drive(int fd, ws::session& session, Act act) {
  std::string happened;
  char memory[4096];
  const auto handle = [&](const ws::event& ev) {
    if (ev.type == ws::event_type::open) happened += "open ";
    if (ev.type == ws::event_type::message) happened += "message:" + std::string{ev.payload} + " ";
    if (ev.type == ws::event_type::pong) happened += "pong:" + std::string{ev.payload} + " ";
    if (ev.type == ws::event_type::close)
      happened += "close:" + std::to_string(static_cast<unsigned>(ev.code())) + ":" + shown(ev.payload) + " ";
    if (ev.type == ws::event_type::failed) happened += "failed:" + std::string{ws::explain(ev.why()).name} + " ";
    act(ev);
  };
  bool half_closed = false;
  while (session.wants() != ws::transport::drop) {
    while (!session.output().empty()) {
      const ssize_t sent = ::send(fd, session.output().data(), session.output().size(), MSG_NOSIGNAL);
      if (sent <= 0) return happened + "lost";
      session.consume(static_cast<std::size_t>(sent));
    }
    if (session.wants() == ws::transport::drop) break;
    if (session.wants() == ws::transport::half_close && !half_closed) half_closed = ::shutdown(fd, SHUT_WR) == 0;
    const ssize_t n = ::recv(fd, memory, sizeof memory, 0);
    if (n < 0) return happened + std::strerror(errno);  // EAGAIN: the ten seconds are over
    if (n == 0)
      if (const ws::event ev = session.end_of_input()) handle(ev);
    std::span<char> bytes{memory, static_cast<std::size_t>(n)};
    while (const ws::event ev = session.next(bytes)) handle(ev);
  }
  return happened + (session.was_clean() ? "clean" : "unclean");
}

// ---- our server

template <class Answer>
void serve(int listener, const ws::options& options, const char* name, const char* target, std::string_view wanted, Answer answer) {
  const int fd = ::accept(listener, nullptr, nullptr);
  if (fd < 0) return check(false, name, "nobody came");
  wait_at_most_ten_seconds(fd);
  ws::session session{ws::role::server, options};
  bool asked = false;
  const std::string happened = drive(fd, session, [&](const ws::event& ev) {
    if (ev.type == ws::event_type::request) asked = ev.request().target() == target;
    answer(session, ev);
  });
  ::close(fd);
  check(asked && happened == wanted, name, happened);
}

int server() {
  const std::string_view known[] = {"chat"};
  ws::options options;
  options.subprotocols = known;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(listener, 8) != 0) return std::perror("listen"), 1;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size);
  wait_at_most_ten_seconds(listener);
  std::printf("listening on ws://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);

  serve(listener, options, "we close, Godot's client answers", "/told", "close:4005:the server's reason clean", [](ws::session& session, const ws::event& ev) {
    if (ev.type != ws::event_type::request) return;
    session.accept({.subprotocol = "chat"});
    for (const ws::opcode op : {ws::opcode::text, ws::opcode::binary}) session.send(op, "");
    session.send(ws::opcode::text, "last");
    session.close(static_cast<ws::close_code>(4005), "the server's reason");
  });
  const std::string longest(125, 'p');
  serve(listener, options, "Godot's client answers pings and closes", "/asked", "pong: pong:" + longest + " close:4001:the client's reason\\0 clean",
        [&](ws::session& session, const ws::event& ev) {
          if (ev.type == ws::event_type::pong && !ev.payload.empty()) session.send(ws::opcode::text, "close");
          if (ev.type != ws::event_type::request) return;
          session.accept({.subprotocol = "chat"});
          session.ping("");
          session.ping(longest);
        });
  serve(listener, options, "Godot's client leaves when no subprotocol is selected", "/none", "failed:connection_lost unclean",
        [](ws::session& session, const ws::event& ev) {
          if (ev.type == ws::event_type::request) session.accept();
        });
  serve(listener, options, "we refuse a subprotocol by 400", "/refused", "unclean", [](ws::session& session, const ws::event& ev) {
    if (ev.type == ws::event_type::request) session.respond({.status = 400});
  });
  ::close(listener);
  return 0;
}

// ---- our client

template <class Act>
void visit(const ws::uri& where, const char* name, std::string_view subprotocol, std::string_view wanted, Act act) {
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(where.port);
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  wait_at_most_ten_seconds(fd);
  ws::masking_keys keys{ws::system_entropy};
  const std::string_view offered[] = {subprotocol};
  ws::options options;
  if (!subprotocol.empty()) options.subprotocols = offered;
  ws::session session{ws::role::client, options, &keys};
  std::string happened = "refused";
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0 &&
      session.connect({.host = where.host, .target = "/"}) == ws::error::none)
    happened = drive(fd, session, [&](const ws::event& ev) { act(session, ev); });
  ::close(fd);
  check(happened == wanted, name, happened);
}

int client(const char* url) {
  const ws::uri_result parsed = ws::parse_uri(url);
  if (parsed.why != ws::error::none) return 2;
  const ws::uri& where = parsed.value;
  const auto nothing = [](ws::session&, const ws::event&) {};
  visit(where, "Godot's server refuses a subprotocol", "other", "failed:connection_lost unclean", nothing);
  visit(where, "Godot's server refuses to do without one", "", "failed:connection_lost unclean", nothing);
  visit(where, "Godot's server closes, we answer", "chat", "open close:4006:the server's reason\\0 clean",
        [](ws::session& session, const ws::event& ev) {
          if (ev.type == ws::event_type::open) session.send(ws::opcode::text, "close");
        });
  visit(where, "Godot's server answers pings", "chat", "open pong: pong:" + std::string(125, 'p') + " close:4007:" + std::string(123, 'r') + " clean",
        [](ws::session& session, const ws::event& ev) {
          if (ev.type == ws::event_type::pong && !ev.payload.empty())
            session.close(static_cast<ws::close_code>(4007), std::string(123, 'r'));
          if (ev.type != ws::event_type::open) return;
          session.ping("");
          session.ping(std::string(125, 'p'));
        });
  visit(where, "Godot's server takes empty messages", "chat", "open message:behind them close:1000: clean", [](ws::session& session, const ws::event& ev) {
    if (ev.type == ws::event_type::message) session.close();
    if (ev.type != ws::event_type::open) return;
    for (const ws::opcode op : {ws::opcode::text, ws::opcode::binary}) session.send(op, "");
    session.send(ws::opcode::text, "behind them");
  });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view role = argc > 1 ? argv[1] : "";
  const int status = role == "server" ? server() : role == "client" && argc == 3 ? client(argv[2]) : 2;
  if (status == 0) std::printf("%d passed, %d failed\n", passed, failed);
  return status != 0 ? status : failed != 0;
}
