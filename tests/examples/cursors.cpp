// Live cursors: a page and its WebSocket on one port. Whoever has the page open sees everybody's cursor move.
//
//   c++ -std=c++20 -O2 -Iinclude tests/examples/cursors.cpp -o cursors
//   ./cursors [--port N] [--host NAME]
//
// Messages are JSON; x and y are ten-thousandths of the page's width and height, -1 before the first move.
//   page:    {"x":4200,"y":1300}
//   server:  {"type":"you","id":7}
//            {"type":"room","visitors":[{"id":7,"name":"Brisk Otter","hue":239,"x":4200,"y":1300},...]}
//            {"type":"news","joined":[visitors],"left":[ids],"moved":[[id,x,y],...]}
//
// News are made once a turn for everybody. A page that has not taken the last ones yet gets none: nothing queues up for
// it, and once it can take more it is told the whole room as it is then.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <wscodec.hpp>

namespace ws = wscodec;

namespace {

constexpr std::string_view page = R"page(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Live cursors</title>
<link rel="icon" href="data:,">
<style>
  html, body { height: 100%; margin: 0; overflow: hidden; touch-action: none; cursor: none; user-select: none; }
  body { font: 15px/1.4 system-ui, sans-serif; color: #e8ecf8; background: #10142a radial-gradient(#2b3460 1.2px, transparent 1.6px) 0 0 / 28px 28px; }
  body::before { content: ""; position: fixed; inset: 0; background: radial-gradient(circle at 30% 20%, #3b2f7a88, transparent 55%),
    radial-gradient(circle at 80% 85%, #0f6a7a77, transparent 50%); }
  header { position: fixed; top: 20px; left: 50%; transform: translateX(-50%); padding: 8px 18px; border-radius: 99px; white-space: nowrap;
    background: #0a0d1ecc; border: 1px solid #ffffff22; }
  header::before { content: ""; display: inline-block; width: 9px; height: 9px; margin-right: 9px; border-radius: 50%; background: #f2b84b; }
  body[data-state=live] header::before { background: #4be3a0; box-shadow: 0 0 8px #4be3a0; }
  p { position: fixed; inset: auto 0 22px; margin: 0; text-align: center; opacity: .55; }
  .cursor { position: fixed; left: 0; top: 0; color: hsl(var(--hue) 90% 66%); transition: transform 70ms linear, opacity .3s; will-change: transform; }
  .cursor.me { transition: none; z-index: 1; }
  .cursor svg { display: block; width: 22px; height: 26px; fill: currentColor; stroke: #0a0d1e; stroke-width: 1.5; filter: drop-shadow(0 2px 4px #0008); }
  .cursor span { position: absolute; left: 17px; top: 21px; padding: 1px 9px 2px; border-radius: 9px; background: currentColor; white-space: nowrap; }
  .cursor b { font-size: 13px; font-weight: 600; color: #0a0d1e; }
  body:not([data-state=live]) .cursor { opacity: .3; }
</style>
<body data-state="connecting">
<header>connecting</header>
<p>Open this page in another window, and move the pointer.</p>
<script>
  const header = document.querySelector('header'), shown = new Map();
  let socket, me, silence, failures = 0, my_x = -1, my_y = -1, sent = '', sent_at = 0, later;

  function show(state, text) {
    document.body.dataset.state = state;
    header.textContent = text;
  }
  function place(cursor, x, y) {
    Object.assign(cursor.dataset, { x, y });
    cursor.style.visibility = x < 0 ? 'hidden' : 'visible';
    cursor.style.transform = `translate(${x * innerWidth / 1e4}px, ${y * innerHeight / 1e4}px)`;
  }
  function join({ id, name, hue, x, y }) {
    if (!shown.has(id)) {
      const cursor = document.createElement('div');
      cursor.className = id === me ? 'cursor me' : 'cursor';
      cursor.innerHTML = '<svg viewBox="0 0 22 26"><path d="M2 2v19l5-4.5 3.2 7.3 3.6-1.6-3.2-7.2H18z"/></svg><span><b></b></span>';
      cursor.querySelector('b').textContent = name;
      cursor.style.setProperty('--hue', hue);
      Object.assign(cursor.dataset, { id, name, hue });
      document.body.append(cursor);
      shown.set(id, cursor);
    }
    if (id !== me) place(shown.get(id), x, y);
    else if (my_x >= 0) place(shown.get(id), my_x, my_y);
  }
  function leave(id) {
    shown.get(id)?.remove();
    shown.delete(id);
  }

  // At most 20 positions a second, and none while one still waits to be sent.
  function send() {
    clearTimeout(later);
    const text = JSON.stringify({ x: my_x, y: my_y }), wait = sent_at + 50 - performance.now();
    if (socket?.readyState !== WebSocket.OPEN || me === undefined || my_x < 0 || text === sent) return;
    if (wait > 0 || socket.bufferedAmount > 0) return void (later = setTimeout(send, Math.max(wait, 10)));
    sent = text;
    sent_at = performance.now();
    socket.send(text);
  }
  addEventListener('pointermove', (ev) => {
    my_x = Math.round(Math.min(Math.max(ev.clientX / innerWidth, 0), 1) * 1e4);
    my_y = Math.round(Math.min(Math.max(ev.clientY / innerHeight, 0), 1) * 1e4);
    if (shown.has(me)) place(shown.get(me), my_x, my_y);
    send();
  });
  addEventListener('resize', () => shown.forEach((cursor) => place(cursor, +cursor.dataset.x, +cursor.dataset.y)));

  // The server says something every 5 s at least: after 12 s of silence the connection is not worth keeping.
  function heard() {
    clearTimeout(silence);
    silence = setTimeout(() => { socket.onclose(); socket.close(); }, 12000);
  }
  const take = {
    you({ id }) {
      if (me !== undefined && me !== id) leave(me);
      me = id;
    },
    room({ visitors }) {
      const here = new Set(visitors.map(({ id }) => id));
      for (const id of shown.keys()) if (!here.has(id)) leave(id);
      visitors.forEach(join);
      failures = 0;
      sent = '';
      send();
    },
    news({ joined, left, moved }) {
      left.forEach(leave);
      joined.forEach(join);
      for (const [id, x, y] of moved) if (id !== me && shown.has(id)) place(shown.get(id), x, y);
    },
  };

  function connect() {
    // The id asks for the name and colour that we had.
    const mine = socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/cursors${me === undefined ? '' : `?id=${me}`}`);
    show('connecting', 'connecting');
    heard();
    mine.onmessage = (ev) => {
      if (mine !== socket) return;
      heard();
      const message = JSON.parse(ev.data);
      take[message.type](message);
      show('live', `${shown.get(me)?.dataset.name ?? ''} · ${shown.size} here`);
    };
    mine.onclose = () => {
      if (mine !== socket) return;
      socket = undefined;
      clearTimeout(silence);
      // Full jitter: a random time within a window that doubles, from 1 s up to 20 s.
      const wait = Math.random() * Math.min(1000 * 2 ** failures++, 20000);
      show('waiting', `connection lost, trying again in ${Math.ceil(wait / 1000)} s`);
      setTimeout(connect, wait);
    };
  }
  connect();
</script>
)page";

using std::string_view;

// Microseconds.
std::uint64_t now() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

struct visitor {
  int fd;
  ws::session session;
  int id = 0;  // 0: asks for the page, or has not asked yet
  int x = -1, y = -1;
  bool joined = false;  // since the last news
  bool moved = false;
  bool behind = true;  // must be told the whole room
  bool ended = false;  // the peer's side
  bool half_closed = false;
  bool gone = false;

  visitor(int descriptor, const ws::options& options) : fd(descriptor), session(ws::role::server, options) {}
  visitor(const visitor&) = delete;
  visitor& operator=(const visitor&) = delete;
  ~visitor() { ::close(fd); }
};

struct room {
  std::vector<std::unique_ptr<visitor>> visitors;
  std::unordered_set<int> ids;
  int last_id = 0;
  std::string left;  // since the last news: ids
  bool changed = false;
  std::uint64_t next_news = 0, heartbeat = 0;
};

// ---- JSON

void add_number(std::string& to, int number) {
  char digits[16];
  to.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

void add_comma(std::string& to) {
  if (!to.empty()) to += ',';
}

void add_visitor(std::string& to, const visitor& v) {
  constexpr string_view first[] = {"Brisk", "Calm", "Clever", "Dapper", "Gentle", "Happy", "Jolly", "Keen",
                                   "Lucky", "Merry", "Nimble", "Proud", "Quick", "Sunny", "Witty", "Zesty"};
  constexpr string_view second[] = {"Otter", "Lynx", "Heron", "Badger", "Falcon", "Gecko", "Hare", "Ibis", "Jackdaw", "Koala",
                                    "Lemur", "Marten", "Newt", "Owl", "Panda", "Quail", "Raven", "Seal", "Tapir"};
  const auto n = static_cast<unsigned>(v.id);
  add_comma(to);
  to.append("{\"id\":");
  add_number(to, v.id);
  to.append(",\"name\":\"").append(first[n * 5 % 16]).append(" ").append(second[n % 19]).append("\",\"hue\":");
  add_number(to, static_cast<int>(n * 137 % 360));
  to.append(",\"x\":");
  add_number(to, v.x);
  to.append(",\"y\":");
  add_number(to, v.y);
  to += '}';
}

// The number behind `"name":`; false when there is none from 0 to 10,000.
bool find_number(string_view json, string_view name, int& number) {
  const std::size_t at = json.find(name);
  if (at == json.npos) return false;
  const char* const begin = json.data() + at + name.size();
  return std::from_chars(begin, json.data() + json.size(), number).ec == std::errc{} && number >= 0 && number <= 10000;
}

// ---- the room

void join(room& r, visitor& v, string_view query) {
  int wanted = 0;
  if (query.starts_with("id=")) std::from_chars(query.data() + 3, query.data() + query.size(), wanted);
  if (wanted > 0 && wanted < 1'000'000 && r.ids.insert(wanted).second) v.id = wanted;
  while (v.id == 0)
    if (r.ids.insert(++r.last_id).second) v.id = r.last_id;
  v.joined = r.changed = true;
  std::string you = R"({"type":"you","id":)";
  add_number(you, v.id);
  v.session.send(ws::opcode::text, you += '}');
}

void leave(room& r, const visitor& v) {
  if (v.id == 0) return;
  r.ids.erase(v.id);
  add_comma(r.left);
  add_number(r.left, v.id);
  r.changed = true;
}

void tell_news(room& r) {
  std::string joined, moved;
  for (const auto& v : r.visitors) {
    if (v->joined) add_visitor(joined, *v);
    else if (v->moved) {
      add_comma(moved);
      add_number(moved += '[', v->id);
      add_number(moved += ',', v->x);
      add_number(moved += ',', v->y);
      moved += ']';
    }
    v->joined = v->moved = false;
  }
  const ws::prepared_message news{ws::opcode::text,
                                  R"({"type":"news","joined":[)" + joined + R"(],"left":[)" + r.left + R"(],"moved":[)" + moved + "]}"};
  std::optional<ws::prepared_message> whole;
  r.left.clear();
  r.changed = false;
  for (const auto& v : r.visitors) {
    if (v->id == 0 || !v->session.is_open()) continue;
    if (v->session.buffered_amount() != 0) {
      v->behind = true;
    } else if (v->behind) {
      if (!whole) {
        std::string all;
        for (const auto& other : r.visitors)
          if (other->id != 0) add_visitor(all, *other);
        whole.emplace(ws::opcode::text, R"({"type":"room","visitors":[)" + all + "]}");
      }
      v->behind = v->session.send(*whole) != ws::error::none;
    } else {
      v->behind = v->session.send(news) != ws::error::none;
    }
  }
}

// ---- a visitor's connection

// A page is for those who ask for one; a WebSocket is for that page only, not for those of other sites.
void answer(room& r, visitor& v, const ws::event& asked) {
  const ws::request_view request = asked.request();
  const string_view path = request.path();
  const ws::field html[] = {{"Content-Type", "text/html; charset=utf-8"}, {"Cache-Control", "no-cache"}};
  const ws::field text[] = {{"Content-Type", "text/plain"}, {"Allow", "GET, HEAD"}};
  if (!asked.plain) {
    const string_view origin = request.origin();
    if (path != "/cursors") v.session.respond({.status = 404, .fields = {text, 1}, .body = "no such WebSocket\n"});
    else if (!origin.empty() && !origin.ends_with(std::string("://").append(request.field("Host"))))
      v.session.respond({.status = 403, .fields = {text, 1}, .body = "not from this page\n"});
    else if (v.session.accept() == ws::error::none) join(r, v, request.query());
  } else if (request.method() != "GET" && request.method() != "HEAD") {
    v.session.respond({.status = 405, .fields = text, .body = "only GET and HEAD\n"});
  } else if (path == "/") {
    v.session.respond({.status = 200, .fields = html, .body = page});
  } else {
    v.session.respond({.status = 404, .fields = {text, 1}, .body = "no such page\n"});
  }
}

void handle(room& r, visitor& v, std::span<char> bytes) {
  while (const ws::event ev = v.session.next(bytes)) {
    if (ev.type == ws::event_type::request) answer(r, v, ev);
    if (ev.type != ws::event_type::message) continue;
    if (find_number(ev.payload, "\"x\":", v.x) && find_number(ev.payload, "\"y\":", v.y)) v.moved = r.changed = true;
  }
}

void receive(room& r, visitor& v, std::span<char> memory) {
  const ssize_t n = ::recv(v.fd, memory.data(), memory.size(), 0);
  if (n > 0) {
    handle(r, v, memory.first(static_cast<std::size_t>(n)));
  } else if (n == 0) {
    v.ended = true;
    (void)v.session.end_of_input();
  } else if (errno != EAGAIN && errno != EINTR) {
    v.gone = true;  // reset by the peer
  }
}

// Sends what there is, and does what the session says about the transport (RFC 6455 7.1.1).
void settle(visitor& v) {
  while (v.session.buffered_amount() != 0) {
    const string_view out = v.session.output();
    const ssize_t n = ::send(v.fd, out.data(), out.size(), MSG_NOSIGNAL);
    if (n < 0) {
      if (errno != EAGAIN && errno != EINTR) v.gone = true;
      break;
    }
    v.session.consume(static_cast<std::size_t>(n));
  }
  if (v.session.wants() == ws::transport::drop) v.gone = true;
  if (v.session.wants() == ws::transport::half_close && !v.half_closed) {
    ::shutdown(v.fd, SHUT_WR);
    v.half_closed = true;
  }
}

// ---- the loop

int listen_on(const char* host, const char* port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host, port, &hints, &found) != 0) return -1;
  const int fd = ::socket(found->ai_family, found->ai_socktype, 0), on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool good = fd >= 0 && ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, 1024) == 0;
  ::freeaddrinfo(found);
  if (good) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return good ? fd : -1;
}

int port_of(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// False when there are no descriptors left for more visitors.
bool accept_visitors(int listener, room& r, const ws::options& options) {
  for (;;) {
    const int fd = ::accept(listener, nullptr, nullptr), on = 1;
    if (fd < 0) return errno != EMFILE && errno != ENFILE;
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef TCP_NOTSENT_LOWAT
    const int waiting = 64 * 1024;  // bytes: nor do old positions queue up in the kernel
    ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &waiting, sizeof waiting);
#endif
    r.visitors.push_back(std::make_unique<visitor>(fd, options));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char *host = "127.0.0.1", *port = "9001";
  for (int i = 1; i < argc; i += 2) {
    const string_view name = argv[i];
    if (i + 1 < argc && name == "--port") port = argv[i + 1];
    else if (i + 1 < argc && name == "--host") host = argv[i + 1];
    else return std::fputs("usage: cursors [--port N] [--host NAME]\n", stderr), 2;
  }
  ws::options options;
  options.pass_plain_requests = true;
  options.max_message = 256;
  options.ping_interval = 15'000'000;
  options.pong_timeout = 10'000'000;

  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  ::signal(SIGPIPE, SIG_IGN);
  const int listener = listen_on(host, port);
  if (listener < 0) return std::fprintf(stderr, "cannot listen on %s:%s: %s\n", host, port, std::strerror(errno)), 1;
  std::printf("listening on http://%s:%d\n", host, port_of(listener));
  std::fflush(stdout);

  room r;
  std::vector<pollfd> polled;
  char memory[16 * 1024];
  bool space = true;
  for (;;) {
    const std::uint64_t before = now();
    std::uint64_t wake = std::min(before + 1'000'000, r.changed ? r.next_news : r.heartbeat);
    polled.assign(1, {listener, static_cast<short>(space ? POLLIN : 0), 0});
    for (const auto& v : r.visitors) {
      const int events = (v->ended ? 0 : POLLIN) | (v->session.buffered_amount() != 0 ? POLLOUT : 0);
      polled.push_back({v->fd, static_cast<short>(events), 0});
      wake = std::min(wake, v->session.next_deadline());
    }
    const int timeout = wake <= before ? 0 : static_cast<int>((wake - before) / 1000 + 1);
    if (::poll(polled.data(), polled.size(), timeout) < 0 && errno != EINTR) return 1;
    const std::uint64_t time = now();
    for (std::size_t i = 0; i < r.visitors.size(); ++i) {
      visitor& v = *r.visitors[i];
      (void)v.session.tick(time);
      if ((polled[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(r, v, memory);
      settle(v);
      if (v.gone) leave(r, v);
      else if (v.behind && v.session.is_open() && v.session.buffered_amount() == 0) r.changed = true;
    }
    space |= std::erase_if(r.visitors, [](const auto& v) { return v->gone; }) != 0;
    if ((r.changed && time >= r.next_news) || time >= r.heartbeat) {
      tell_news(r);
      for (const auto& v : r.visitors) settle(*v);
      // 60 times a second, or half of the time when the room is large. A heartbeat is news without content.
      const std::uint64_t after = now();
      r.next_news = after + std::max<std::uint64_t>(16'000, after - time);
      r.heartbeat = after + 5'000'000;
    }
    if ((polled[0].revents & POLLIN) != 0) space = accept_visitors(listener, r, options);
  }
}
