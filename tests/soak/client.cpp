// Many connections to an echo server for a long time: messages of mixed sizes and kinds, half of the connections with
// compression, that end at random (by a closing handshake, a reset, EOF, or by silence) and come again.
//   client PORT SECONDS CONNECTIONS
// Every message must come back, in order and with the same hash. A line `lost: REASON` for each that did not, unless this
// program itself cut its connection; the last line is `N passed, N failed`, in messages.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

constexpr std::uint64_t second = 1'000'000;
constexpr std::uint64_t echo_limit = 60 * second;
constexpr std::size_t pool_size = 2 * 1024 * 1024;

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

std::mt19937_64 dice{20240601};

std::uint64_t below(std::uint64_t limit) { return dice() % limit; }

struct expected {
  std::size_t hash;
  ws::opcode op;
  std::uint64_t sent_at;
};

struct link {
  int fd = -1;
  std::unique_ptr<ws::session> session;
  std::deque<expected> unanswered;
  std::uint64_t send_at = 0;
  std::uint64_t end_at = 0;     // when this program ends it, in one of four ways
  std::uint64_t silent_until = 0;  // half open: nothing is read or sent until then
  std::uint32_t wanted = 0;
};

struct totals {
  std::uint64_t echoed = 0, lost = 0, sent = 0, connections = 0, clean = 0, resets = 0, ends = 0, silent = 0, cut = 0;
};

class soak {
 public:
  soak(int port, std::size_t count) : port_(port), links_(count), loop_(::epoll_create1(0)) {
    for (std::size_t i = 0; i < pool_size; ++i) binary_ += static_cast<char>(dice());
    while (text_.size() < pool_size) text_ += "{\"id\": " + std::to_string(below(100000)) + ", \"name\": \"player\"}, ";
    plain_.handshake_timeout = plain_.close_timeout = echo_limit;  // a slow machine is no fault
    compressing_ = plain_;
    compressing_.extension = &extension_;
  }

  // False if a connection could not be had.
  bool run(std::uint64_t duration) {
    longest_life_ = duration / 5 < 60 * second ? duration / 5 + second : 60 * second;  // so that the mix is soon steady
    for (link& l : links_)
      if (!call(l)) return false;
    std::printf("%zu connections\n", links_.size());
    std::fflush(stdout);
    const std::uint64_t end = now() + duration;
    while (now() < end) {
      turn();
      for (link& l : links_)
        if (!act(l, now())) return false;
    }
    for (link& l : links_)  // what is half open or not yet open is cut, the rest says good-bye behind its messages
      if (l.session && (l.silent_until != 0 || l.session->close() == ws::error::not_open)) cut(l);
    for (const std::uint64_t until = now() + echo_limit; any() && now() < until;) turn();
    for (link& l : links_)
      if (l.session) drop(l, "no echo or Close at the end");
    return true;
  }

  const totals& sums() const { return sums_; }

 private:
  bool any() const {
    for (const link& l : links_)
      if (l.session) return true;
    return false;
  }

  bool call(link& l) {
    sockaddr_in here{}, there{};
    here.sin_family = there.sin_family = AF_INET;
    // Eight source addresses: closed connections keep their ports for a minute.
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + static_cast<std::uint32_t>(below(8)));
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(static_cast<std::uint16_t>(port_));
    const int on = 1;
    l.fd = ::socket(AF_INET, SOCK_STREAM, 0);
    ::setsockopt(l.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (l.fd < 0 || ::bind(l.fd, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0 ||
        ::connect(l.fd, reinterpret_cast<sockaddr*>(&there), sizeof there) != 0) {
      std::perror("connect");
      return false;
    }
    ::setsockopt(l.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    l.session = std::make_unique<ws::session>(ws::role::client, below(2) == 0 ? plain_ : compressing_, &keys_);
    if (l.session->connect({.host = "127.0.0.1", .target = "/"}) != ws::error::none) return false;
    l.send_at = now() + below(2 * second);
    l.end_at = now() + second + below(longest_life_);
    l.wanted = EPOLLIN;
    epoll_event ev{};
    ev.events = EPOLLIN;
    ev.data.ptr = &l;
    ::epoll_ctl(loop_, EPOLL_CTL_ADD, l.fd, &ev);
    ++sums_.connections;
    return settle(l);
  }

  void hang_up(link& l) {
    ::close(l.fd);
    l.fd = -1;
    l.session.reset();
    l.unanswered.clear();
    l.silent_until = 0;
  }

  // It ended, but not by our doing: every message that is unanswered is lost.
  void drop(link& l, std::string_view reason) {
    const std::string why{ws::explain(l.session->why()).name};
    if (l.unanswered.empty() && !l.session->was_clean()) l.unanswered.push_back({});  // the connection itself counts as one
    for (std::size_t i = 0; i < l.unanswered.size(); ++i)
      std::printf("lost: %.*s (%s)\n", static_cast<int>(reason.size()), reason.data(), why.c_str());
    sums_.lost += l.unanswered.size();
    hang_up(l);
  }

  // A reset by this program; its unanswered messages are its own fault.
  void cut(link& l) {
    const linger at_once{1, 0};
    ::setsockopt(l.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    sums_.cut += l.unanswered.size();
    hang_up(l);
  }

  std::size_t size() {
    const std::uint64_t kind = below(2000);
    if (kind == 0) return below(1024 * 1024);
    if (kind < 40) return below(64 * 1024);
    return kind < 400 ? below(4096) : below(200);
  }

  // What is due on this connection.
  bool act(link& l, std::uint64_t time) {
    if (!l.session) return call(l);
    if (l.silent_until != 0) {
      if (time >= l.silent_until) cut(l);
      return true;
    }
    if (!l.session->is_open() || l.session->state() != ws::close_state::open) return true;
    if (!l.unanswered.empty() && time > l.unanswered.front().sent_at + echo_limit) {
      drop(l, "no echo within a minute");
      return true;
    }
    const bool ends = time >= l.end_at;
    if (!ends && (time < l.send_at || l.unanswered.size() >= 3 || l.session->backed_up())) return true;
    const ws::opcode op = below(2) == 0 ? ws::opcode::text : ws::opcode::binary;
    const std::size_t length = size();
    const std::string_view pool = op == ws::opcode::text ? text_ : binary_;
    const std::string_view payload = pool.substr(below(pool_size - length), length);
    if (l.session->send(op, payload) != ws::error::none) {
      drop(l, "could not be sent");
      return true;
    }
    ++sums_.sent;
    l.unanswered.push_back({std::hash<std::string_view>{}(payload), op, time});
    l.send_at = time + below(4 * second) + 8 * delay_;
    (void)settle(l);
    return ends && l.session ? finish(l, time) : true;  // with this message under way
  }

  bool finish(link& l, std::uint64_t time) {
    switch (below(4)) {
      case 0:
        ++sums_.clean;
        (void)l.session->close();
        return settle(l);
      case 1:
        ++sums_.resets;
        cut(l);
        return true;
      case 2:
        ++sums_.ends;
        sums_.cut += l.unanswered.size();
        hang_up(l);
        return true;
      default:
        ++sums_.silent;
        ::epoll_ctl(loop_, EPOLL_CTL_DEL, l.fd, nullptr);
        l.silent_until = time + below(longest_life_ / 3);
        return true;
    }
  }

  void answered(link& l, const ws::event& ev) {
    if (l.unanswered.empty()) return wrong("a message that was not sent");
    const expected want = l.unanswered.front();
    l.unanswered.pop_front();
    if (want.op != ev.opcode || want.hash != std::hash<std::string_view>{}(ev.payload)) return wrong("another message came back");
    ++sums_.echoed;
    delay_ = (31 * delay_ + now() - want.sent_at) / 32;
  }

  void wrong(const char* what) {
    std::printf("lost: %s\n", what);
    ++sums_.lost;
  }

  void receive(link& l) {
    const ssize_t n = ::recv(l.fd, memory_.data(), memory_.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) (void)l.session->end_of_input();
    if (n < 0) return drop(l, "the connection was reset");
    std::span<char> bytes{memory_.data(), static_cast<std::size_t>(n)};
    while (const ws::event ev = l.session->next(bytes))
      if (ev.type == ws::event_type::message) answered(l, ev);
    if (n == 0 && !(l.session->was_clean() && l.unanswered.empty())) return drop(l, "the connection ended");
    if (n == 0) hang_up(l);
  }

  // Sends what there is. True always: a connection that is lost is told there, and called again.
  bool settle(link& l) {
    while (l.session->buffered_amount() != 0) {
      const std::string_view out = l.session->output();
      const ssize_t n = ::send(l.fd, out.data(), out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN && errno != EINTR) return drop(l, "the connection was reset"), true;
      if (n < 0) break;
      l.session->consume(static_cast<std::size_t>(n));
    }
    if (l.session->wants() == ws::transport::drop) {
      if (l.session->was_clean() && l.unanswered.empty()) hang_up(l);
      else drop(l, "the session failed");
      return true;
    }
    const std::uint32_t wanted = EPOLLIN | (l.session->buffered_amount() != 0 ? EPOLLOUT : 0U);
    if (wanted == l.wanted) return true;
    epoll_event ev{};
    ev.events = l.wanted = wanted;
    ev.data.ptr = &l;
    ::epoll_ctl(loop_, EPOLL_CTL_MOD, l.fd, &ev);
    return true;
  }

  void turn() {
    epoll_event ready[512];
    const int count = ::epoll_wait(loop_, ready, 512, 20);
    for (int i = 0; i < count; ++i) {
      link& l = *static_cast<link*>(ready[i].data.ptr);
      if ((ready[i].events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) receive(l);
      if (l.session) (void)settle(l);
    }
    if (now() < next_tick_) return;
    next_tick_ = now() + second / 2;
    for (link& l : links_) {
      if (!l.session || l.silent_until != 0) continue;
      (void)l.session->tick(now());
      (void)settle(l);
    }
  }

  int port_;
  std::vector<link> links_;
  int loop_;
  ws::masking_keys keys_{ws::system_entropy};
  ws::options plain_;
  ws::options compressing_;
  ws::deflate_options deflate_{.engine = &ws::zlib_engine};
  ws::extension_hook extension_ = ws::permessage_deflate(deflate_);
  std::string text_, binary_;
  std::vector<char> memory_ = std::vector<char>(256 * 1024);
  std::uint64_t next_tick_ = 0;
  std::uint64_t delay_ = 0;  // of echoes, lately: who is slow is asked less often
  std::uint64_t longest_life_ = 0;
  totals sums_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: client PORT SECONDS CONNECTIONS\n", stderr);
    return 2;
  }
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::signal(SIGPIPE, SIG_IGN);
  soak all{std::atoi(argv[1]), std::strtoul(argv[3], nullptr, 10)};
  const bool ran = all.run(std::strtoull(argv[2], nullptr, 10) * second);
  const totals& t = all.sums();
  std::printf("%llu messages sent, %llu of them cut off by this program; %llu connections: %llu closed, %llu reset, %llu ended, "
              "%llu silent\n",
              static_cast<unsigned long long>(t.sent), static_cast<unsigned long long>(t.cut),
              static_cast<unsigned long long>(t.connections), static_cast<unsigned long long>(t.clean),
              static_cast<unsigned long long>(t.resets), static_cast<unsigned long long>(t.ends),
              static_cast<unsigned long long>(t.silent));
  const std::uint64_t failed = t.lost + (ran ? 0 : 1);
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(t.echoed), static_cast<unsigned long long>(failed));
  return failed == 0 && t.echoed + t.cut == t.sent ? 0 : 1;
}
