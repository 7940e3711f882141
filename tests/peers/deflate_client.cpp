// The client end of tests/peers/run's compression checks: conversations with permessage-deflate as each asks for it.
//
//   c++ -std=c++20 -O2 -Iinclude tests/peers/deflate_client.cpp -o deflate_client -lz
//   echo '/target 9 12 yes no' | ./deflate_client 127.0.0.1 PORT
//
// A line of standard input is a conversation: the target, server_max_window_bits and client_max_window_bits, then whether
// server and client keep their context. It echoes until the server closes, then prints the same line as it was agreed, or
// `/target` and what went wrong.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::uint64_t now() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

int connect_to(const char* host, int port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, host, &to.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    ::close(fd);
    return -1;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

/// Moves bytes between the session and the socket, and echoes, until the session wants no transport any more.
void echo_over(int fd, ws::session& session) {
  static char memory[256 * 1024];
  for (;;) {
    (void)session.tick(now());
    const ws::transport wish = session.wants();
    if (wish == ws::transport::drop) return;
    if (wish == ws::transport::half_close) ::shutdown(fd, SHUT_WR);
    pollfd polled{fd, static_cast<short>((session.backed_up() ? 0 : POLLIN) | (session.buffered_amount() != 0 ? POLLOUT : 0)), 0};
    ::poll(&polled, 1, 1000);
    if ((polled.revents & POLLOUT) != 0) {
      const std::string_view out = session.output();
      const ssize_t n = ::send(fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) session.consume(static_cast<std::size_t>(n));
    }
    if ((polled.revents & ~POLLOUT) == 0) continue;
    const ssize_t n = ::recv(fd, memory, sizeof memory, MSG_DONTWAIT);
    if (n <= 0) {
      (void)session.end_of_input();
      if (n < 0) return;
      continue;
    }
    std::span<char> bytes{memory, static_cast<std::size_t>(n)};
    while (const ws::event ev = session.next(bytes))
      if (ev.type == ws::event_type::message) (void)session.send(ev.opcode, ev.payload);
  }
}

std::string converse(int fd, const std::string& target, const ws::deflate_options& deflate, ws::masking_keys& keys) {
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  ws::session session{ws::role::client, options, &keys};
  if (session.connect({.host = "127.0.0.1", .target = target}) != ws::error::none) return " cannot connect";
  echo_over(fd, session);
  if (session.why() != ws::error::none) return " " + std::string{ws::explain(session.why()).what};
  if (!session.was_clean()) return " not clean";
  if (session.agreed().agreement == 0) return " nothing agreed";
  const ws::deflate_agreement a = ws::deflate_agreement::of(session.agreed().agreement);
  return " " + std::to_string(a.server_max_window_bits) + " " + std::to_string(a.client_max_window_bits) +
         (a.server_no_context_takeover ? " no" : " yes") + (a.client_no_context_takeover ? " no" : " yes");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: deflate_client ADDRESS PORT\n";
    return 2;
  }
  ws::masking_keys keys{ws::system_entropy};
  std::string target, server_takeover, client_takeover;
  for (int server_window, client_window; std::cin >> target >> server_window >> client_window >> server_takeover >> client_takeover;) {
    const int fd = connect_to(argv[1], std::atoi(argv[2]));
    if (fd < 0) return 1;
    const ws::deflate_options deflate{.engine = &ws::zlib_engine,
                                      .server_max_window_bits = static_cast<std::uint8_t>(server_window),
                                      .client_max_window_bits = static_cast<std::uint8_t>(client_window),
                                      .server_no_context_takeover = server_takeover == "no",
                                      .client_no_context_takeover = client_takeover == "no"};
    std::cout << target << converse(fd, target, deflate, keys) << std::endl;
    ::close(fd);
  }
}
