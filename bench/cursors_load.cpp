// How much the cursors example bears: many connections, each of which sends so many positions a second. Linux only.
//
//   c++ -std=c++20 -O2 -Iinclude tests/examples/cursors.cpp -o cursors
//   c++ -std=c++20 -O2 -Iinclude bench/cursors_load.cpp -o cursors_load
//   ./cursors_load ./cursors [CONNECTIONS [POSITIONS_A_SECOND [SECONDS]]]
//
// Both run on this machine and share it. One connection in 50 looks up when the positions it is told were sent, and
// every connection counts its messages. One more connection is a page that hangs: it reads nothing until the end.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>

namespace ws = wscodec;

namespace {

double now() {  // seconds
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

[[noreturn]] void give_up(const char* why) {
  std::perror(why);
  std::exit(1);
}

struct visitor {
  int fd = -1;
  ws::session session;
  int id = 0;
  unsigned sent = 0;           // positions; the n-th has x = n % 10,000
  double sent_at[256] = {};    // of the last ones
  unsigned long messages = 0;  // received
  unsigned long rooms = 0;     // of them: the whole room

  visitor(const ws::options& options, ws::masking_keys& keys) : session(ws::role::client, options, &keys) {}
};

struct server {
  pid_t pid = 0;
  int port = 0;

  explicit server(const char* program) {
    int out[2];
    if (::pipe(out) != 0) give_up("pipe");
    pid = ::fork();
    if (pid == 0) {
      ::dup2(out[1], 1);
      ::close(out[0]);
      ::execl(program, program, "--port", "0", static_cast<char*>(nullptr));
      give_up(program);
    }
    ::close(out[1]);
    FILE* const said = ::fdopen(out[0], "r");
    if (std::fscanf(said, "listening on http://127.0.0.1:%d", &port) != 1) give_up(program);
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server() {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  double cpu() const {  // seconds used so far
    char name[64], line[1024] = {};
    std::snprintf(name, sizeof name, "/proc/%d/stat", static_cast<int>(pid));
    FILE* const f = std::fopen(name, "r");
    if (f == nullptr || std::fgets(line, sizeof line, f) == nullptr) give_up(name);
    std::fclose(f);
    unsigned long user = 0, system = 0;
    std::sscanf(std::strrchr(line, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  double memory() const {  // MB resident at most
    char name[64], line[256];
    std::snprintf(name, sizeof name, "/proc/%d/status", static_cast<int>(pid));
    FILE* const f = std::fopen(name, "r");
    long kib = 0;
    while (f != nullptr && std::fgets(line, sizeof line, f) != nullptr) (void)std::sscanf(line, "VmHWM: %ld", &kib);
    if (f != nullptr) std::fclose(f);
    return static_cast<double>(kib) * 1024 / 1e6;
  }
};

std::unordered_map<int, visitor*> by_id;
std::vector<double> latencies;

void look_up(std::string_view news, double time) {
  std::size_t at = news.find("\"moved\":[");
  if (at == news.npos) return;
  const char *p = news.data() + at + 9, *const end = news.data() + news.size();
  while (p < end && *p == '[') {
    int id = 0, x = 0, y = 0;
    p = std::from_chars(p + 1, end, id).ptr;
    p = std::from_chars(p + 1, end, x).ptr;
    p = std::from_chars(p + 1, end, y).ptr + 1;
    if (p < end && *p == ',') ++p;
    const auto found = by_id.find(id);
    if (found == by_id.end()) continue;
    const visitor& v = *found->second;
    const unsigned age = (v.sent + 10000 - static_cast<unsigned>(x)) % 10000;
    if (age < 256 && age <= v.sent) latencies.push_back(time - v.sent_at[(v.sent - age) % 256]);
  }
}

void receive(visitor& v, std::span<char> memory, bool looks) {
  for (;;) {
    const ssize_t n = ::recv(v.fd, memory.data(), memory.size(), MSG_DONTWAIT);
    if (n == 0) give_up("the server ended a connection");
    if (n < 0) return;
    std::span<char> bytes = memory.first(static_cast<std::size_t>(n));
    while (const ws::event ev = v.session.next(bytes)) {
      if (ev.type == ws::event_type::failed) give_up(ws::explain(ev.why()).what.data());
      if (ev.type != ws::event_type::message) continue;
      ++v.messages;
      if (ev.payload.starts_with(R"({"type":"you","id":)")) {
        std::from_chars(ev.payload.data() + 19, ev.payload.data() + ev.payload.size(), v.id);
        by_id[v.id] = &v;
      }
      if (ev.payload.starts_with(R"({"type":"room")")) ++v.rooms;
      if (looks) look_up(ev.payload, now());
    }
    if (static_cast<std::size_t>(n) < memory.size()) return;
  }
}

void transmit(visitor& v) {
  while (!v.session.output().empty()) {
    const ssize_t n = ::send(v.fd, v.session.output().data(), v.session.output().size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    v.session.consume(static_cast<std::size_t>(n));
  }
}

void open(visitor& v, int port, int receive_buffer) {
  v.fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  if (receive_buffer != 0) ::setsockopt(v.fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  sockaddr_in there{};
  there.sin_family = AF_INET;
  there.sin_port = htons(static_cast<std::uint16_t>(port));
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (v.fd < 0 || ::connect(v.fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0) give_up("connect");
  ::setsockopt(v.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (v.session.connect({.host = "127.0.0.1", .target = "/cursors"}) != ws::error::none) give_up("handshake");
  transmit(v);
}

double part(double p) { return latencies[static_cast<std::size_t>(static_cast<double>(latencies.size() - 1) * p)] * 1000; }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fputs("usage: cursors_load SERVER [CONNECTIONS [POSITIONS_A_SECOND [SECONDS]]]\n", stderr), 2;
  const unsigned n = argc > 2 ? static_cast<unsigned>(std::atoi(argv[2])) : 2000;
  const double rate = argc > 3 ? std::atof(argv[3]) : 20, seconds = argc > 4 ? std::atof(argv[4]) : 10;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  ::signal(SIGPIPE, SIG_IGN);

  const server cursors{argv[1]};
  const ws::options options;
  ws::masking_keys keys{ws::system_entropy};
  std::deque<visitor> visitors;
  std::vector<char> memory(256 * 1024);
  const int poll = ::epoll_create1(0);
  visitor hanging{options, keys};
  open(hanging, cursors.port, 4096);
  const auto turn = [&](int timeout) {
    epoll_event ready[512];
    const int count = ::epoll_wait(poll, ready, 512, timeout);
    for (int i = 0; i < count; ++i) {
      visitor& v = visitors[ready[i].data.u32];
      receive(v, memory, ready[i].data.u32 % 50 == 0);
      transmit(v);
    }
  };
  for (unsigned i = 0; i < n; ++i) {
    open(visitors.emplace_back(options, keys), cursors.port, 0);
    epoll_event wanted{};
    wanted.events = EPOLLIN;
    wanted.data.u32 = i;
    ::epoll_ctl(poll, EPOLL_CTL_ADD, visitors.back().fd, &wanted);
    if (i % 20 == 0) turn(10);
  }
  while (by_id.size() < n) turn(100);

  // The first second warms up.
  double begin = 0, cpu = 0, own_cpu = 0;
  const auto used = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  const auto received = [&] {
    unsigned long sum = 0;
    for (const visitor& v : visitors) sum += v.messages;
    return sum;
  };
  unsigned long before = 0, sent = 0;
  const double start = now();
  double due = start;  // each in turn, evenly over time
  unsigned next = 0;
  for (double time = start; time < start + 1 + seconds; time = now()) {
    if (begin == 0 && time >= start + 1) {
      begin = time;
      cpu = cursors.cpu();
      own_cpu = used();
      before = received();
      sent = 0;
      latencies.clear();
    }
    for (; due <= time; due += 1 / (rate * n), next = (next + 1) % n) {
      visitor& v = visitors[next];
      ++v.sent;
      v.sent_at[v.sent % 256] = time;
      char text[64];
      const int size = std::snprintf(text, sizeof text, R"({"x":%u,"y":%u})", v.sent % 10000, next % 10000);
      v.session.send(ws::opcode::text, {text, static_cast<std::size_t>(size)});
      transmit(v);
      ++sent;
    }
    turn(1);
  }
  const double took = now() - begin, server_cpu = cursors.cpu() - cpu;
  const unsigned long messages = received() - before;
  std::sort(latencies.begin(), latencies.end());
  std::printf("%u connections, %.0f positions a second in, %.0f messages a second out (%.1f each)\n", n, static_cast<double>(sent) / took,
              static_cast<double>(messages) / took, static_cast<double>(messages) / took / n);
  std::printf("from sending to being told: p50 %.1f ms, p99 %.1f ms (%zu positions looked up)\n", part(0.5), part(0.99), latencies.size());
  std::printf("server: %.0f %% of a processor, %.1f MB resident; this program: %.0f %%\n", server_cpu / took * 100, cursors.memory(),
              (used() - own_cpu) / took * 100);
  // The page that hung now reads what waited for it (its first message of the room was one of those), until it is told
  // the room anew.
  const double until = now() + 10;
  const double hung = now() - start;
  while (hanging.rooms < 2 && now() < until) {
    receive(hanging, memory, false);
    transmit(hanging);
    turn(1);
  }
  std::printf("a page that hung for %.0f s: %lu old messages, then %s\n", hung, hanging.messages - 1,
              hanging.rooms == 2 ? "the whole room" : "NOT the whole room");
  return hanging.rooms == 2 ? 0 : 1;
}
