#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <span>
#include <thread>
#include <wscodec.hpp>

namespace ws = wscodec;

void serve(int client) {
  const ws::options options;
  ws::session session{ws::role::server, options};
  char memory[16 * 1024];
  while (session.wants() != ws::transport::drop) {
    const ssize_t n = ::recv(client, memory, sizeof memory, 0);
    if (n <= 0) (void)session.end_of_input();
    std::span<char> bytes{memory, n > 0 ? static_cast<std::size_t>(n) : 0};
    while (const ws::event ev = session.next(bytes)) {  // bytes in, events out
      if (ev.type == ws::event_type::request) session.accept();
      if (ev.type == ws::event_type::message) session.send(ev.opcode, ev.payload);
    }
    while (!session.output().empty()) {  // bytes to send out
      const ssize_t sent = ::send(client, session.output().data(), session.output().size(), MSG_NOSIGNAL);
      if (sent <= 0) return (void)::close(client);
      session.consume(static_cast<std::size_t>(sent));
    }
    if (session.wants() == ws::transport::half_close) ::shutdown(client, SHUT_WR);
  }
  ::close(client);
}

int main() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0), on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in here{.sin_family = AF_INET, .sin_port = htons(9001), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 || ::listen(listener, 64) != 0)
    return std::perror("port 9001"), 1;
  std::puts("listening on ws://127.0.0.1:9001");
  for (;;)
    if (const int client = ::accept(listener, nullptr, nullptr); client >= 0) std::thread{serve, client}.detach();
}
