// The client of a game inside its frame loop with SDL2: once a frame it reads, sends one input, and writes, with so
// many bytes each way at most. A ping a second measures the round trip. In steady state no frame allocates.
// (Debian: libsdl2-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/sdl_client.cpp -o sdl_client $(pkg-config --cflags --libs sdl2)
//   ./sdl_client [ws://127.0.0.1:9001/ [SECONDS]]       it takes the server's echoes for answers
#include <SDL.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>

namespace ws = wscodec;

namespace {

constexpr std::uint64_t frame_time = 16'667;      // microseconds
constexpr std::size_t bytes_a_frame = 16 * 1024;  // each way

std::uint64_t now() { return SDL_GetPerformanceCounter() / (SDL_GetPerformanceFrequency() / 1'000'000); }
bool for_later() { return errno == EAGAIN || errno == EINTR; }

struct input {
  std::uint32_t number;
  float x, y;
};

struct game {
  ws::session session;
  int fd = -1;
  bool connected = false;  // the transport
  bool ended = false;      // the server's side
  bool gone = false;       // both sides
  bool half_closed = false;
  std::uint32_t sent = 0, answered = 0, wrong = 0;  // inputs
  ws::round_trip_statistics trips;

  game(const ws::options& options, ws::masking_keys& keys) : session(ws::role::client, options, &keys) {}
  game(const game&) = delete;
  game& operator=(const game&) = delete;
  ~game() { ::close(fd); }
};

void handle(game& g, const ws::event& ev) {
  input answer{};
  switch (ev.type) {
    case ws::event_type::message:
      if (ev.payload.size() == sizeof answer) std::memcpy(&answer, ev.payload.data(), sizeof answer);
      if (answer.number != ++g.answered) ++g.wrong;
      break;
    case ws::event_type::pong:
      if (g.session.take_round_trip(g.trips))
        std::printf("%u inputs, %u answers, round trip %.3f ms, at least %.3f, about %.3f +- %.3f\n", g.sent,
                    g.answered, g.trips.last / 1e3, g.trips.least / 1e3, g.trips.smoothed / 1e3,
                    g.trips.deviation / 1e3);
      break;
    case ws::event_type::rejected:
      std::printf("the server answers %d\n", ev.response().status());
      break;
    case ws::event_type::failed:
      std::printf("%s\n", ws::explain(ev.why()).what.data());
      break;
    default:
      break;
  }
}

void end(game& g, bool gone) {
  g.ended = true;
  g.gone = g.gone || gone;
  if (const ws::event ev = g.session.end_of_input()) handle(g, ev);
}

// Begins to connect, to the first address that lets it; goes on while frames do.
void connect(game& g, const addrinfo*& to) {
  const int on = 1;
  for (; to != nullptr; to = to->ai_next) {
    ::close(g.fd);
    g.fd = ::socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ::setsockopt(g.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // an input does not wait for the next one
    if (::connect(g.fd, to->ai_addr, to->ai_addrlen) == 0 || errno == EINPROGRESS) return;
  }
  end(g, true);
}

bool ready(const game& g, int events, int milliseconds) {
  pollfd polled{g.fd, static_cast<short>(events), 0};
  return ::poll(&polled, 1, milliseconds) > 0;
}

// Reads what is there, but leaves what exceeds the frame's share in the kernel, which holds the server up.
void receive(game& g, std::size_t& share) {
  char memory[4 * 1024];
  if (const ws::event ev = g.session.tick(now()))
    handle(g, ev);  // what `next` tells of happens at the time of the last tick
  while (share != 0 && g.connected && !g.ended) {
    const ssize_t n = ::recv(g.fd, memory, share < sizeof memory ? share : sizeof memory, 0);
    if (n < 0 && for_later()) break;
    if (n <= 0) return end(g, n < 0);
    share -= static_cast<std::size_t>(n);
    std::span<char> bytes{memory, static_cast<std::size_t>(n)};
    while (const ws::event ev = g.session.next(bytes)) handle(g, ev);
  }
}

void transmit(game& g, std::size_t share) {
  while (share != 0 && g.session.buffered_amount() != 0) {
    const std::string_view out = g.session.output().substr(0, share);
    const ssize_t n = ::send(g.fd, out.data(), out.size(), MSG_NOSIGNAL);
    if (n < 0 && for_later()) break;
    if (n < 0) return end(g, true);
    g.session.consume(static_cast<std::size_t>(n));
    share -= static_cast<std::size_t>(n);
  }
  if (g.session.wants() == ws::transport::half_close && !g.half_closed) g.half_closed = ::shutdown(g.fd, SHUT_WR) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const ws::uri_result where = ws::parse_uri(argc > 1 ? argv[1] : "ws://127.0.0.1:9001/");
  const std::uint64_t frames = argc > 2 ? 60 * std::strtoull(argv[2], nullptr, 10) : ws::never;
  char host_memory[300], target_memory[1000];
  ws::output host{host_memory}, target{target_memory};
  if (where.why != ws::error::none || where.value.secure || !ws::write_host(host, where.value) ||
      !ws::write_target(target, where.value))
    return std::fputs("usage: sdl_client [ws://HOST[:PORT]/ [SECONDS]]\n", stderr), 2;
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  // The one call that waits, before the game begins.
  if (::getaddrinfo(std::string(where.value.host).c_str(), std::to_string(where.value.port).c_str(), &hints, &found) !=
      0)
    return std::fputs("no such host\n", stderr), 1;
  SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");
  if (SDL_Init(SDL_INIT_EVENTS) != 0) return std::fprintf(stderr, "SDL: %s\n", SDL_GetError()), 1;

  ws::masking_keys keys{ws::system_entropy};
  ws::options options;
  options.max_message = bytes_a_frame;
  game g{options, keys};
  if (g.session.connect({.host = host.written(), .target = target.written()}) != ws::error::none) return 1;
  const addrinfo* to = found;
  connect(g, to);
  bool running = true;
  for (std::uint64_t frame = 0; !g.gone && g.session.wants() != ws::transport::drop; ++frame) {
    const std::uint64_t begin = now();
    std::size_t share = bytes_a_frame;
    for (SDL_Event ev; SDL_PollEvent(&ev) != 0;) running = running && ev.type != SDL_QUIT;
    running = running && frame < frames;
    if (!g.connected && ready(g, POLLOUT, 0)) {
      int why = 0;
      socklen_t size = sizeof why;
      ::getsockopt(g.fd, SOL_SOCKET, SO_ERROR, &why, &size);
      g.connected = why == 0;
      if (!g.connected) connect(g, to = to->ai_next);
    }
    receive(g, share);
    if (g.session.is_open() && running && !g.session.backed_up()) {
      const input mine{g.sent + 1, static_cast<float>(frame % 100), 0};
      if (g.session.send(ws::opcode::binary, {reinterpret_cast<const char*>(&mine), sizeof mine}) == ws::error::none)
        ++g.sent;
      if (frame % 60 == 30) (void)g.session.ping();
    }
    if (!running && g.answered == g.sent) (void)g.session.close(ws::close_code::normal);
    if (g.connected) transmit(g, bytes_a_frame);
    // ... the game's own frame: move, draw ...
    // What is left of the frame waits for bytes too: so a round trip is not rounded up to frames.
    for (std::uint64_t used = 0; (used = now() - begin) < frame_time && !g.gone;) {
      const auto left = static_cast<int>((frame_time - used) / 1000);
      if (left != 0 && g.connected && !g.ended && share != 0 && ready(g, POLLIN, left)) receive(g, share);
      else SDL_Delay(static_cast<Uint32>(now() - begin < frame_time ? left : 0));
    }
  }
  const bool all = g.answered == g.sent && g.wrong == 0;
  std::printf("closed with %d, %u inputs, %s\n", static_cast<int>(g.session.code()), g.sent,
              all ? "all answered" : "not all answered");
  ::freeaddrinfo(found);
  SDL_Quit();
  return g.session.was_clean() && g.session.code() == ws::close_code::normal && all ? 0 : 1;
}
