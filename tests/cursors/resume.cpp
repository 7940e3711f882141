// Visitors of cursors_redis that each send 10 numbered events a second and lose nothing when their server is killed:
//   resume PORT VISITORS
// Says `ready` when all are there, goes on until its input ends, then waits until everybody has been told everything.
// The last line is what was lost and doubled; the exit status tells whether that was nothing.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <wscodec.hpp>
#include <wscodec/reconnect.hpp>
#include <wscodec/system_entropy.hpp>

namespace ws = wscodec;
using std::string_view;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

const ws::options options{.ping_interval = 2'000'000, .pong_timeout = 3'000'000};
ws::masking_keys keys{ws::system_entropy};
std::minstd_rand noise{1};
unsigned long lost = 0, doubled = 0, wrong = 0, told = 0, resumed = 0, sent_again = 0, forgotten = 0;

struct visitor {
  int fd = -1;
  std::optional<ws::session> session;
  ws::reconnect again;
  std::uint64_t next_try = 0;
  bool live = false;      // was told where it stands since it connected
  int id = 0;
  int sent = 0;           // events
  int seen = 0;           // of them: came back
  std::string last;       // entry of the stream
  std::unordered_map<int, int> of;  // the last event of each other visitor
};

void transmit(visitor& v) {
  while (!v.session->output().empty()) {
    const ssize_t n = ::send(v.fd, v.session->output().data(), v.session->output().size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0) return;
    v.session->consume(static_cast<std::size_t>(n));
  }
}

void hang_up(visitor& v) {
  if (v.fd >= 0) ::close(v.fd);
  v.fd = -1;
  v.session.reset();
  v.live = false;
  v.next_try = ws::next_attempt(v.again, now(), static_cast<std::uint32_t>(noise()), {.first = 300'000, .cap = 2'000'000});
}

void call(visitor& v, int port) {
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(static_cast<std::uint16_t>(port));
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  v.fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(v.fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) return hang_up(v);
  ::setsockopt(v.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  v.session.emplace(ws::role::client, options, &keys);
  const std::string target = v.id == 0 ? "/cursors" : "/cursors?id=" + std::to_string(v.id) + "&last=" + v.last;
  v.session->connect({.host = "127.0.0.1", .target = target});
  transmit(v);
}

void send_event(visitor& v, int seq) {
  char text[64];
  const int size = std::snprintf(text, sizeof text, R"({"seq":%d,"x":%d,"y":%d})", seq, seq % 10000, v.id % 10000);
  v.session->send(ws::opcode::text, {text, static_cast<std::size_t>(size)});
}

void take(visitor& v, string_view message) {
  const auto behind = [&](string_view name) {
    const std::size_t at = message.find(name);
    return at == message.npos ? string_view{} : message.substr(at + name.size());
  };
  if (const string_view you = behind(R"("type":"you","id":)"); !you.empty()) {
    std::from_chars(you.data(), you.data() + you.size(), v.id);
    return;
  }
  const bool whole = !behind(R"("type":"room")").empty(), first = v.last.empty();
  const string_view last = behind(R"("last":")");
  v.last = last.substr(0, last.find('"'));
  if (whole && !first) ++forgotten;  // where it stood is too long ago, or so the server thinks
  string_view list = behind(whole ? R"("visitors":[)" : R"("events":[)");
  const char *p = list.data(), *const end = list.data() + list.size();
  while (p < end && *p == '[') {
    int number[4];
    for (int& n : number) p = std::from_chars(p + 1, end, n).ptr;
    p += p + 1 < end && p[1] == ',' ? 2 : 1;
    const auto [id, seq, x, y] = number;
    if (seq == 0) continue;  // has joined
    if (x < 0) {
      ++wrong;  // nobody leaves
      continue;
    }
    int& before = v.of[id];
    if (!whole && seq <= before) ++doubled;
    if (!whole && seq > before + 1) lost += static_cast<unsigned long>(seq - before - 1);
    if (x != seq % 10000 || y != id % 10000) ++wrong;
    before = seq;
    if (id == v.id) v.seen = seq;
    ++told;
  }
  if (v.live) return;
  v.live = true;
  ws::connected(v.again, now());
  if (!first) ++resumed;
  for (int seq = v.seen + 1; seq <= v.sent; ++seq, ++sent_again) send_event(v, seq);
}

void receive(visitor& v, std::span<char> memory) {
  const ssize_t n = ::recv(v.fd, memory.data(), memory.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  std::span<char> bytes = memory.first(n > 0 ? static_cast<std::size_t>(n) : 0);
  while (const ws::event ev = v.session->next(bytes))
    if (ev.type == ws::event_type::message) take(v, ev.payload);
  if (n <= 0) return hang_up(v);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: resume PORT VISITORS\n", stderr), 2;
  const int port = std::atoi(argv[1]);
  std::vector<visitor> visitors(static_cast<std::size_t>(std::atoi(argv[2])));
  std::vector<char> memory(256 * 1024);
  std::vector<pollfd> polled;
  ::signal(SIGPIPE, SIG_IGN);
  bool ready = false, sending = true;
  std::uint64_t next_event = 0, end = ws::never;
  for (;;) {
    polled.assign(1, {0, static_cast<short>(sending ? POLLIN : 0), 0});
    for (const visitor& v : visitors) polled.push_back({v.fd, POLLIN, 0});
    ::poll(polled.data(), polled.size(), 10);
    const std::uint64_t time = now();
    bool all_live = true, all_told = true;
    for (std::size_t i = 0; i < visitors.size(); ++i) {
      visitor& v = visitors[i];
      if (v.fd < 0 && time >= v.next_try) call(v, port);
      else if (v.fd >= 0 && polled[i + 1].revents != 0) receive(v, memory);
      if (v.fd >= 0) {
        const ws::event failed = v.session->tick(time);
        transmit(v);
        if (failed || v.session->wants() == ws::transport::drop) hang_up(v);
      }
      all_live = all_live && v.live;
    }
    if (all_live && !ready) {
      ready = true;
      std::puts("ready");
      std::fflush(stdout);
    }
    if (ready && sending && time >= next_event) {
      next_event = time + 100'000;
      for (visitor& v : visitors) {
        ++v.sent;
        if (v.live) send_event(v, v.sent);
        if (v.live) transmit(v);
      }
    }
    if (sending && polled[0].revents != 0) {
      sending = false;
      end = time + 30'000'000;
    }
    if (sending) continue;
    for (const visitor& v : visitors)
      for (const visitor& other : visitors) all_told = all_told && v.of.contains(other.id) && v.of.at(other.id) == other.sent;
    if (all_told || time > end) {
      if (!all_told) ++lost;
      break;
    }
  }
  unsigned long events = 0;
  for (const visitor& v : visitors) events += static_cast<unsigned long>(v.sent);
  std::printf("%zu visitors, %lu events, told %lu times; %lu connections resumed, %lu events sent again; %lu lost, "
              "%lu doubled, %lu wrong, %lu forgotten\n",
              visitors.size(), events, told, resumed, sent_again, lost, doubled, wrong, forgotten);
  return lost + doubled + wrong + forgotten == 0 && told >= events * visitors.size() ? 0 : 1;
}
