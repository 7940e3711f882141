// One message of 16 MiB, in one frame, in 16,384 fragments, and sent one byte at a time: the echo server gives it back.
//
//   large_messages PATH_TO_ECHO_SERVER
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr std::size_t message_size = 16 * 1024 * 1024;

struct server {
  pid_t pid = -1;
  int port = 0;

  explicit server(const char* path) {
    int out[2];
    if (::pipe(out) != 0) return;
    pid = ::fork();
    if (pid == 0) {
      ::dup2(out[1], 1);
      ::close(out[0]);
      ::execl(path, path, "--port", "0", static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::close(out[1]);
    char line[200] = {};
    for (std::size_t n = 0; n + 1 < sizeof line && ::read(out[0], line + n, 1) == 1 && line[n] != '\n';) ++n;
    ::close(out[0]);
    const char* const colon = std::strrchr(line, ':');
    port = colon != nullptr ? std::atoi(colon + 1) : 0;
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server() {
    if (pid > 0) ::kill(pid, SIGKILL);
    if (pid > 0) ::waitpid(pid, nullptr, 0);
  }
};

void append_head(std::string& to, unsigned first, std::size_t length, bool masked) {
  to += static_cast<char>(first);
  to += static_cast<char>((masked ? 128 : 0) | (length < 126 ? static_cast<int>(length) : length < 65536 ? 126 : 127));
  for (int shift = length < 126 ? -8 : length < 65536 ? 8 : 56; shift >= 0; shift -= 8) to += static_cast<char>(length >> shift);
  if (masked) to += "\x11\x22\x33\x44";
}

std::string message(std::size_t fragments) {
  std::string wire;
  wire.reserve(message_size + fragments * 14);
  const std::size_t piece = message_size / fragments;
  for (std::size_t f = 0; f < fragments; ++f) {
    append_head(wire, (f == 0 ? 2U : 0U) | (f + 1 == fragments ? 0x80U : 0U), piece, true);
    for (std::size_t i = 0; i < piece; ++i)
      wire += static_cast<char>((f * piece + i) * 7 % 251 ^ static_cast<unsigned char>("\x11\x22\x33\x44"[i % 4]));
  }
  return wire;
}

// Sends `wire` in pieces of `step` bytes while it reads what comes back.
bool comes_back(int port, const std::string& wire, std::size_t step) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return false;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const std::string request =
      "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) return false;
  std::string got;
  while (got.size() < 4 || got.substr(got.size() - 4) != "\r\n\r\n") {
    char c = 0;
    if (::recv(fd, &c, 1, 0) != 1) return false;
    got += c;
  }
  ::fcntl(fd, F_SETFL, O_NONBLOCK);
  std::string expected;
  append_head(expected, 0x82, message_size, false);
  for (std::size_t i = 0; i < message_size; ++i) expected += static_cast<char>(i * 7 % 251);
  got.clear();
  std::vector<char> memory(1024 * 1024);
  std::size_t sent = 0;
  while (got.size() < expected.size()) {
    pollfd polled{fd, static_cast<short>(sent < wire.size() ? POLLIN | POLLOUT : POLLIN), 0};
    if (::poll(&polled, 1, 30'000) <= 0) break;
    for (int i = 0; i < 256 && sent < wire.size(); ++i) {
      const ssize_t n = ::send(fd, wire.data() + sent, std::min(step, wire.size() - sent), MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    const ssize_t n = ::recv(fd, memory.data(), memory.size(), 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) break;
    if (n > 0) got.append(memory.data(), static_cast<std::size_t>(n));
  }
  ::close(fd);
  return got == expected;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const server echo{argv[1]};
  int passed = 0;
  int failed = 0;
  const auto check = [&](const char* what, std::size_t fragments, std::size_t step) {
    const bool good = comes_back(echo.port, message(fragments), step);
    std::printf("%s 16 MiB %s\n", good ? "ok  " : "FAIL", what);
    std::fflush(stdout);
    ++(good ? passed : failed);
  };
  check("in one frame", 1, 1024 * 1024);
  check("in 16,384 fragments", 16384, 1024 * 1024);
  check("in one frame, one byte at a time", 1, 1);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
