#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <vector>
#include <wscodec.hpp>

namespace ws = wscodec;

int main() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in here{.sin_family = AF_INET, .sin_port = htons(9001), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 || ::listen(listener, 64) != 0) return 1;
  const ws::options options;
  std::map<int, ws::session> clients;
  static char memory[64 * 1024];
  for (;;) {
    std::vector<pollfd> polled{{listener, POLLIN, 0}};
    for (auto& [fd, session] : clients)
      polled.push_back({fd, static_cast<short>(session.buffered_amount() != 0 ? POLLOUT : POLLIN), 0});
    ::poll(polled.data(), polled.size(), -1);
    if (polled[0].revents != 0) clients.try_emplace(::accept(listener, nullptr, nullptr), ws::role::server, options);
    for (std::size_t i = 1; i < polled.size(); ++i) {
      if (polled[i].revents == 0) continue;
      const int fd = polled[i].fd;
      ws::session& session = clients.at(fd);
      bool dead = false;
      if ((polled[i].revents & ~POLLOUT) != 0) {
        const ssize_t n = ::recv(fd, memory, sizeof memory, 0);
        if (n == 0) (void)session.end_of_input();
        if (n < 0) dead = true;
        std::span<char> bytes{memory, n > 0 ? static_cast<std::size_t>(n) : 0};
        while (const ws::event ev = session.next(bytes)) {  // bytes in, events out
          if (ev.type == ws::event_type::request) session.accept();
          if (ev.type == ws::event_type::message) session.send(ev.opcode, ev.payload);
        }
      }
      const ssize_t sent = ::send(fd, session.output().data(), session.output().size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) session.consume(static_cast<std::size_t>(sent));  // bytes to send out
      if (sent < 0 && errno != EAGAIN) dead = true;
      if (session.wants() == ws::transport::half_close) ::shutdown(fd, SHUT_WR);
      if (!dead && session.wants() != ws::transport::drop) continue;
      clients.erase(fd);
      ::close(fd);
    }
  }
}
