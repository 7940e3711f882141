// An echo server inside the frame loop of a game with SDL2: once a frame it does what there is to do, with so many bytes of one
// client at most; nothing new begins after the network's share of the frame. A message is handled whole, so a game sets a small
// `max_message` too. In steady state no frame allocates.     (Debian: libsdl2-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/sdl.cpp -o sdl_echo $(pkg-config --cflags --libs sdl2) -lz && ./sdl_echo [--port N]
#include <SDL.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

constexpr std::uint64_t frame_time = 16'667;      // microseconds
constexpr std::uint64_t network_time = 4'000;     // of each frame
constexpr std::size_t bytes_a_frame = 256 * 1024; // of one client, each way

std::uint64_t now() { return SDL_GetPerformanceCounter() / (SDL_GetPerformanceFrequency() / 1'000'000); }

struct client {
  int fd;
  ws::session session;
  bool ended = false;  // the peer's side
  bool half_closed = false;

  client(int descriptor, const ws::options& options) : fd(descriptor), session(ws::role::server, options) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { ::close(fd); }
};

bool for_later() { return errno == EAGAIN || errno == EINTR; }

// False: the connection is gone. What exceeds the frame's share waits in the kernel, and so holds the peer up.
bool frame_of(client& c, std::uint64_t until) {
  char memory[16 * 1024];
  (void)c.session.tick(now());  // what `next` tells of happens at the time of the last tick
  for (std::size_t read = 0; read < bytes_a_frame && now() < until && !c.ended && !c.session.backed_up();) {
    const ssize_t n = ::recv(c.fd, memory, sizeof memory, 0);
    if (n < 0 && for_later()) break;
    if (n <= 0) {
      c.ended = true;
      (void)c.session.end_of_input();
      break;
    }
    std::span<char> bytes{memory, static_cast<std::size_t>(n)};
    while (const ws::event ev = c.session.next(bytes)) {
      if (ev.type == ws::event_type::request) c.session.accept();
      if (ev.type == ws::event_type::message) c.session.send(ev.opcode, ev.payload);
    }
    read += static_cast<std::size_t>(n);
  }
  for (std::size_t sent = 0; sent < bytes_a_frame && c.session.buffered_amount() != 0;) {
    const std::string_view out = c.session.output().substr(0, bytes_a_frame - sent);
    const ssize_t n = ::send(c.fd, out.data(), out.size(), MSG_NOSIGNAL);
    if (n < 0 && !for_later()) return false;
    if (n < 0) break;
    c.session.consume(static_cast<std::size_t>(n));
    sent += static_cast<std::size_t>(n);
  }
  if (c.session.wants() == ws::transport::half_close && !c.half_closed) c.half_closed = ::shutdown(c.fd, SHUT_WR) == 0;
  return c.session.wants() != ws::transport::drop;
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;

  sockaddr_in here{};
  socklen_t size = sizeof here;
  here.sin_family = AF_INET;
  here.sin_port = htons(static_cast<std::uint16_t>(port));
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(listener, 64) != 0) return std::perror("listen"), 1;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size);
  SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
  if (SDL_Init(SDL_INIT_EVENTS) != 0) return std::fprintf(stderr, "SDL: %s\n", SDL_GetError()), 1;
  std::printf("listening on ws://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);

  std::array<std::optional<client>, 64> clients;  // more wait in the kernel's queue
  std::size_t first = 0;                          // whose turn it is: the last frame's time may have ended before it
  for (bool running = true; running;) {
    const std::uint64_t begin = now();
    for (SDL_Event ev; SDL_PollEvent(&ev) != 0;) running = running && ev.type != SDL_QUIT;
    for (std::size_t i = 0; i < clients.size() && now() < begin + network_time; ++i) {
      std::optional<client>& c = clients[first];
      first = (first + 1) % clients.size();
      if (c && !frame_of(*c, begin + network_time)) c.reset();
      if (c) continue;
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
      if (fd < 0) continue;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // small messages are not kept back for larger packets
      c.emplace(fd, options);
    }
    // ... the game's own frame: move, draw ...
    const std::uint64_t used = now() - begin;
    if (used < frame_time) SDL_Delay(static_cast<Uint32>((frame_time - used) / 1000));
  }
  SDL_Quit();
}
