// Live cursors of more than one server: any number of these processes share the room through a Redis stream.
//
//   c++ -std=c++20 -O2 -Iinclude tests/examples/cursors_redis.cpp -o cursors_redis -lhiredis     (Debian: libhiredis-dev, redis-server)
//   ./cursors_redis [--port N] [--host NAME] [--redis HOST:PORT or PATH]
//
// What a visitor does is written to the stream only; every process reads the stream and tells its own visitors. So all
// of them are told the same in the same order, and each message says up to which entry. A page that lost its connection
// gives that entry to whichever process it reaches next, and goes on behind it: it misses nothing. Its own events have
// numbers; those that did not come back to it are sent again, and what the stream holds twice is told once.
//   page:    {"seq":1,"x":4200,"y":1300}
//   server:  {"type":"you","id":7}
//            {"type":"room","last":"ENTRY","visitors":[[id,seq,x,y],...]}
//            {"type":"news","last":"ENTRY","events":[[id,seq,x,y],...]}     x -1: has left; seq 0: has joined
// A process that loses Redis ends: its pages find another, and who watches over processes starts it again.
#include <fcntl.h>
#include <hiredis/hiredis.h>
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
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <wscodec.hpp>

namespace ws = wscodec;

namespace {

constexpr std::string_view page = R"page(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Live cursors of many servers</title>
<link rel="icon" href="data:,">
<style>
  html, body { height: 100%; margin: 0; overflow: hidden; touch-action: none; }
  body { font: 15px/1.4 system-ui, sans-serif; color: #e8ecf8; background: #10142a; }
  header { padding: 20px; text-align: center; }
  .cursor { position: fixed; left: 0; top: 0; padding: 1px 9px 2px; border-radius: 0 9px 9px; color: #0a0d1e; background: hsl(var(--hue) 90% 66%);
    font-weight: 600; transition: transform 70ms linear; }
</style>
<body data-state="connecting">
<header>connecting</header>
<script>
  const first = ['Brisk', 'Calm', 'Clever', 'Dapper', 'Gentle', 'Happy', 'Jolly', 'Keen', 'Lucky', 'Merry', 'Nimble', 'Proud'];
  const second = ['Otter', 'Lynx', 'Heron', 'Badger', 'Falcon', 'Gecko', 'Hare', 'Ibis', 'Koala', 'Lemur', 'Newt', 'Owl', 'Panda'];
  const header = document.querySelector('header'), shown = new Map();
  // `seq` counts what was sent, `seen` what came back.
  let socket, me, last = '', mine, seq = 0, seen = 0, moved = false, failures = 0, later, sent_at = 0, silence;

  function show(state, text) {
    document.body.dataset.state = state;
    header.textContent = text;
  }
  function place([id, number, x, y]) {
    if (id === me) seen = number;
    if (x < 0 && number !== 0) {
      shown.get(id)?.remove();
      return void shown.delete(id);
    }
    if (!shown.has(id)) {
      const cursor = document.createElement('div');
      cursor.className = 'cursor';
      cursor.textContent = `${first[id % 12]} ${second[id % 13]}`;
      cursor.style.setProperty('--hue', id * 137 % 360);
      cursor.dataset.id = id;
      document.body.append(cursor);
      shown.set(id, cursor);
    }
    const cursor = shown.get(id);
    Object.assign(cursor.dataset, { x, y });
    cursor.style.visibility = x < 0 ? 'hidden' : 'visible';
    cursor.style.transform = `translate(${x * innerWidth / 1e4}px, ${y * innerHeight / 1e4}px)`;
  }
  function send() {
    clearTimeout(later);
    const wait = sent_at + 50 - performance.now();
    if (document.body.dataset.state !== 'live' || !moved) return;
    if (wait > 0 || socket.bufferedAmount > 0) return void (later = setTimeout(send, Math.max(wait, 10)));
    sent_at = performance.now();
    moved = false;
    socket.send(JSON.stringify({ seq: ++seq, ...mine }));
  }
  addEventListener('pointermove', ({ clientX, clientY }) => {
    const part = (n, of) => Math.round(Math.min(Math.max(n / of, 0), 1) * 1e4);
    mine = { x: part(clientX, innerWidth), y: part(clientY, innerHeight) };
    moved = true;
    send();
  });
  const take = {
    you({ id }) { me = id; },
    room({ visitors }) {
      shown.forEach((cursor) => cursor.remove());
      shown.clear();
      visitors.forEach(place);
    },
    news({ events }) { events.forEach(place); },
  };
  function heard() {
    clearTimeout(silence);
    silence = setTimeout(() => { socket.onclose(); socket.close(); }, 12000);
  }
  function connect() {
    const own = socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/cursors${me === undefined ? '' : `?id=${me}&last=${last}`}`);
    show('connecting', 'connecting');
    heard();
    own.onmessage = (ev) => {
      if (own !== socket) return;
      heard();
      const message = JSON.parse(ev.data);
      take[message.type](message);
      if (message.last === undefined) return;
      last = message.last;
      failures = 0;
      if (document.body.dataset.state !== 'live' && seen !== seq) moved = true;  // what did not come back is sent again
      show('live', `${shown.size} here`);
      send();
    };
    own.onclose = () => {
      if (own !== socket) return;
      socket = undefined;
      clearTimeout(silence);
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

// ---- the room, as the stream tells it

// The id of a stream's entry, MILLISECONDS-NUMBER.
struct entry_id {
  std::uint64_t time = 0, number = 0;
  friend auto operator<=>(const entry_id&, const entry_id&) = default;
};

entry_id parse_entry_id(string_view text) {
  entry_id id;
  const char *const end = text.data() + text.size(), *const at = std::from_chars(text.data(), end, id.time).ptr;
  if (at != end && *at == '-') std::from_chars(at + 1, end, id.number);
  return id;
}

std::string text_of(entry_id id) { return std::to_string(id.time) + "-" + std::to_string(id.number); }

// What a visitor did: number 0 is joining, x -1 with another number is leaving.
struct deed {
  int id = 0, seq = 0, x = -1, y = -1;
};

void add_deed(std::string& to, const deed& d) {
  if (to.back() != '[') to += ',';
  to += '[';
  for (const int number : {d.id, d.seq, d.x, d.y}) to.append(std::to_string(number)).append(",");
  to.back() = ']';
}

struct visitor {
  int fd;
  ws::session session;
  int id = 0;     // 0: asks for the page, or has not asked yet
  std::optional<entry_id> told;  // up to this entry; none: must be told the whole room
  bool waits = true;             // for its first news, which it gets even if they are empty
  int ahead = 0;                 // heartbeats since it knew more than we
  bool ended = false;  // the peer's side
  bool half_closed = false;
  bool gone = false;

  visitor(int descriptor, const ws::options& options) : fd(descriptor), session(ws::role::server, options) {}
  visitor(const visitor&) = delete;
  visitor& operator=(const visitor&) = delete;
  ~visitor() { ::close(fd); }
};

struct room {
  std::vector<std::unique_ptr<visitor>> visitors;  // of this process
  std::unordered_map<int, deed> here;              // of all, and the last they did
  std::deque<std::pair<entry_id, deed>> past;      // to go on behind: the stream's last entries
  entry_id forgotten;                              // the newest entry that is no longer in `past`
  entry_id last;
  std::minstd_rand random{std::random_device{}()};
  std::uint64_t heartbeat = 0;
};

constexpr std::size_t kept = 20000;  // entries; the stream itself keeps a few more

// An entry of the stream. What a visitor had to send twice is told once: every process sees the same order and agrees.
void learn(room& r, entry_id id, const deed& d) {
  r.last = id;
  const auto before = r.here.find(d.id);
  const bool leaves = d.seq != 0 && d.x < 0;
  if (before != r.here.end() ? !leaves && d.seq <= before->second.seq : leaves) return;
  if (leaves) r.here.erase(before);
  else r.here[d.id] = d;
  r.past.emplace_back(id, d);
  while (r.past.size() > kept) {
    r.forgotten = r.past.front().first;
    r.past.pop_front();
  }
}

std::string whole_room(const room& r) {
  std::string text = R"({"type":"room","last":")" + text_of(r.last) + R"(","visitors":[)";
  for (const auto& [id, d] : r.here) add_deed(text, d);
  return text += "]}";
}

std::string news_since(const room& r, entry_id told) {
  std::string text = R"({"type":"news","last":")" + text_of(r.last) + R"(","events":[)";
  const auto after = [](entry_id value, const auto& entry) { return value < entry.first; };
  for (auto i = std::upper_bound(r.past.begin(), r.past.end(), told, after); i != r.past.end(); ++i) add_deed(text, i->second);
  return text += "]}";
}

// Whoever has taken what it was told before is told what is new; most are at the same entry and share a message.
void tell_news(room& r, bool heartbeat) {
  std::optional<ws::prepared_message> shared;
  std::optional<entry_id> shared_since;
  for (const auto& v : r.visitors) {
    if (v->id == 0 || !v->session.is_open() || v->session.buffered_amount() != 0) continue;
    if (v->told == r.last && !heartbeat && !v->waits) continue;
    if (v->told && *v->told > r.last) {
      // A page may know more than this process has read yet; not for long, unless Redis has lost the stream.
      v->ahead += heartbeat;
      if (v->ahead < 2) continue;
      v->told.reset();
    }
    if (!shared || shared_since != v->told) {
      const bool whole = !v->told || *v->told < r.forgotten;
      shared.emplace(ws::opcode::text, whole ? whole_room(r) : news_since(r, *v->told));
      shared_since = v->told;
    }
    if (v->session.send(*shared) != ws::error::none) continue;
    v->told = r.last;
    v->waits = false;
  }
}

// ---- Redis

struct free_redis {
  void operator()(redisContext* c) const { redisFree(c); }
  void operator()(redisReply* r) const { freeReplyObject(r); }
};
using redis = std::unique_ptr<redisContext, free_redis>;
using reply = std::unique_ptr<redisReply, free_redis>;

[[noreturn]] void end(const char* why) {
  std::fprintf(stderr, "Redis: %s\n", why);
  std::exit(1);
}

redis connect_to_redis(const std::string& where) {
  const std::size_t colon = where.rfind(':');
  redis c{colon == where.npos ? redisConnectUnix(where.c_str())
                              : redisConnect(where.substr(0, colon).c_str(), std::atoi(where.c_str() + colon + 1))};
  if (c == nullptr || c->err != 0) end(c == nullptr ? "out of memory" : c->errstr);
  return c;
}

string_view text_of(const redisReply* r) { return {r->str, r->len}; }

// An entry: its id, and "id" N "seq" N "x" N "y" N.
void learn_entry(room& r, const redisReply* entry) {
  if (entry->elements != 2 || entry->element[1]->elements != 8) return;
  const auto number = [&](std::size_t i) { return std::atoi(entry->element[1]->element[i]->str); };
  learn(r, parse_entry_id(text_of(entry->element[0])), {number(1), number(3), number(5), number(7)});
}

void learn_past(room& r, redisContext* c) {
  const reply entries{static_cast<redisReply*>(redisCommand(c, "XREVRANGE cursors + - COUNT %d", static_cast<int>(kept)))};
  if (entries == nullptr || entries->type != REDIS_REPLY_ARRAY) end("cannot read the stream");
  if (entries->elements == kept) r.forgotten = parse_entry_id(text_of(entries->element[kept - 1]->element[0]));
  for (std::size_t i = entries->elements; i-- != 0;) learn_entry(r, entries->element[i]);
}

void ask_for_entries(redisContext* c, entry_id last) {
  redisAppendCommand(c, "XREAD COUNT 1000 BLOCK 0 STREAMS cursors %s", text_of(last).c_str());
}

void write_deed(redisContext* c, const deed& d) {
  redisAppendCommand(c, "XADD cursors MAXLEN ~ 40000 * id %d seq %d x %d y %d", d.id, d.seq, d.x, d.y);
}

// By Redis' clock, notes that these visitors are here; every process says so every 5 s. Who was not for 15 s, since its
// process died and it came back nowhere, leaves.
void say_who_is_here(redisContext* c, const std::vector<int>& ids) {
  std::vector<std::string> words = {"EVAL",
                                    "local now = redis.call('TIME')[1] "
                                    "for _, id in ipairs(ARGV) do redis.call('ZADD', KEYS[2], now, id) end "
                                    "for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - 15)) do "
                                    "redis.call('ZREM', KEYS[2], id) "
                                    "redis.call('XADD', KEYS[1], '*', 'id', id, 'seq', '1', 'x', '-1', 'y', '-1') end",
                                    "2", "cursors", "cursors:seen"};
  for (const int id : ids) words.push_back(std::to_string(id));
  std::vector<const char*> text;
  for (const std::string& word : words) text.push_back(word.c_str());
  redisAppendCommandArgv(c, static_cast<int>(text.size()), text.data(), nullptr);
}

// Exchanges what there is with Redis, without waiting.
void exchange(redisContext* c, auto&& use) {
  int done = 0;
  while (done == 0)
    if (redisBufferWrite(c, &done) != REDIS_OK) end(c->errstr);
    else if (done == 0 && errno == EAGAIN) break;
  if (redisBufferRead(c) != REDIS_OK) end(c->errstr);
  for (;;) {
    void* got = nullptr;
    if (redisGetReplyFromReader(c, &got) != REDIS_OK) end(c->errstr);
    if (got == nullptr) return;
    const reply answer{static_cast<redisReply*>(got)};
    if (answer->type == REDIS_REPLY_ERROR) end(answer->str);
    use(*answer);
  }
}

bool has_output(const redisContext* c) { return c->obuf != nullptr && *c->obuf != '\0'; }

// ---- a visitor's connection

// The number behind `name`; false when there is none from 0 to `most`.
bool find_number(string_view text, string_view name, int& number, int most = 10000) {
  const std::size_t at = text.find(name);
  if (at == text.npos) return false;
  const char* const begin = text.data() + at + name.size();
  return std::from_chars(begin, text.data() + text.size(), number).ec == std::errc{} && number >= 0 && number <= most;
}

constexpr int most_ids = 2'000'000'000;

// An application would make sure that the id is the page's own, by a signed cookie, say.
void join(room& r, visitor& v, redisContext* writer, string_view query) {
  if (!find_number(query, "id=", v.id, most_ids) || v.id == 0) v.id = static_cast<int>(r.random() % most_ids) + 1;
  if (const std::size_t at = query.find("last="); at != query.npos) v.told = parse_entry_id(query.substr(at + 5));
  v.session.send(ws::opcode::text, R"({"type":"you","id":)" + std::to_string(v.id) + "}");
  write_deed(writer, {v.id, 0, -1, -1});
  say_who_is_here(writer, {v.id});
}

void answer(room& r, visitor& v, redisContext* writer, const ws::event& asked) {
  const ws::request_view request = asked.request();
  const ws::field html[] = {{"Content-Type", "text/html; charset=utf-8"}, {"Cache-Control", "no-cache"}};
  const ws::field text[] = {{"Content-Type", "text/plain"}, {"Allow", "GET, HEAD"}};
  const string_view origin = request.origin();
  if (!asked.plain && request.path() == "/cursors") {
    if (!origin.empty() && !origin.ends_with(std::string("://").append(request.field("Host"))))
      v.session.respond({.status = 403, .fields = {text, 1}, .body = "not from this page\n"});
    else if (v.session.accept() == ws::error::none) join(r, v, writer, request.query());
  } else if (asked.plain && request.method() != "GET" && request.method() != "HEAD") {
    v.session.respond({.status = 405, .fields = text, .body = "only GET and HEAD\n"});
  } else if (asked.plain && request.path() == "/") {
    v.session.respond({.status = 200, .fields = html, .body = page});
  } else {
    v.session.respond({.status = 404, .fields = {text, 1}, .body = "no such page\n"});
  }
}

void handle(room& r, visitor& v, redisContext* writer, std::span<char> bytes) {
  while (const ws::event ev = v.session.next(bytes)) {
    if (ev.type == ws::event_type::request) answer(r, v, writer, ev);
    // A page that goes says so, and leaves; one whose connection broke may come back.
    if (ev.type == ws::event_type::close && v.id != 0) write_deed(writer, {v.id, 1, -1, -1});
    if (ev.type != ws::event_type::message) continue;
    deed d{.id = v.id};
    if (find_number(ev.payload, "\"seq\":", d.seq, most_ids) && d.seq != 0 && find_number(ev.payload, "\"x\":", d.x) &&
        find_number(ev.payload, "\"y\":", d.y))
      write_deed(writer, d);
  }
}

void receive(room& r, visitor& v, redisContext* writer, std::span<char> memory) {
  const ssize_t n = ::recv(v.fd, memory.data(), memory.size(), 0);
  if (n > 0) {
    handle(r, v, writer, memory.first(static_cast<std::size_t>(n)));
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
    r.visitors.push_back(std::make_unique<visitor>(fd, options));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char *host = "127.0.0.1", *port = "9001";
  std::string where = "127.0.0.1:6379";
  for (int i = 1; i < argc; i += 2) {
    const string_view name = argv[i];
    if (i + 1 < argc && name == "--port") port = argv[i + 1];
    else if (i + 1 < argc && name == "--host") host = argv[i + 1];
    else if (i + 1 < argc && name == "--redis") where = argv[i + 1];
    else return std::fputs("usage: cursors_redis [--port N] [--host NAME] [--redis HOST:PORT or PATH]\n", stderr), 2;
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
  room r;
  const redis reader = connect_to_redis(where), writer = connect_to_redis(where);
  learn_past(r, reader.get());
  ask_for_entries(reader.get(), r.last);
  for (redisContext* const c : {reader.get(), writer.get()}) {
    ::fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->flags &= ~REDIS_BLOCK;
  }
  const int listener = listen_on(host, port);
  if (listener < 0) return std::fprintf(stderr, "cannot listen on %s:%s: %s\n", host, port, std::strerror(errno)), 1;
  std::printf("listening on http://%s:%d\n", host, port_of(listener));
  std::fflush(stdout);

  std::vector<pollfd> polled;
  char memory[16 * 1024];
  bool space = true;
  for (;;) {
    const std::uint64_t before = now();
    std::uint64_t wake = std::min(before + 1'000'000, r.heartbeat);
    polled.assign(1, {listener, static_cast<short>(space ? POLLIN : 0), 0});
    for (const redisContext* const c : {reader.get(), writer.get()})
      polled.push_back({c->fd, static_cast<short>(POLLIN | (has_output(c) ? POLLOUT : 0)), 0});
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
      if ((polled[i + 3].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(r, v, writer.get(), memory);
      settle(v);
    }
    space |= std::erase_if(r.visitors, [](const auto& v) { return v->gone; }) != 0;
    exchange(reader.get(), [&](const redisReply& streams) {
      for (std::size_t s = 0; s < streams.elements; ++s)
        for (std::size_t i = 0; i < streams.element[s]->element[1]->elements; ++i) learn_entry(r, streams.element[s]->element[1]->element[i]);
      ask_for_entries(reader.get(), r.last);
    });
    const bool heartbeat = time >= r.heartbeat;
    if (heartbeat) {
      std::vector<int> ids;
      for (const auto& v : r.visitors)
        if (v->id != 0) ids.push_back(v->id);
      say_who_is_here(writer.get(), ids);
      r.heartbeat = time + 5'000'000;
    }
    exchange(writer.get(), [](const redisReply&) {});
    tell_news(r, heartbeat);
    for (const auto& v : r.visitors) settle(*v);
    if ((polled[0].revents & POLLIN) != 0) space = accept_visitors(listener, r, options);
  }
}
