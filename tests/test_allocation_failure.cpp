#include <wscodec/session.hpp>

#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/link.hpp"
#include "support/wire.hpp"

// Every allocation of every scenario fails once, alone and with all that follow. Whatever happens then is told: by
// error::out_of_memory, by a `failed` event, or (an answer to the peer's Close) by an end that is not clean. If nothing is told, nothing is missing but pongs for which there never was memory again.
namespace ws = wscodec;
using wire::frame;
using wire::other;

namespace {

constexpr std::string_view request =
    "GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// One run of a scenario: a side whose calls are watched.
struct trial {
  trial(ws::role role, bool open, const ws::options& opt, const counting_allocator& memory) : s(role, opt, open, memory.hook()) {
    s.accepts = false;
    s.on_event = [this](const ws::event& ev) {
      if (ev.type == ws::event_type::request && accepts) call(s.session.accept({.subprotocol = "chat"}));
      if (ev.type != ws::event_type::failed) return;
      told = true;
      failure = ev.why();
    };
  }

  /// Checks what a call returned: success, no memory, or what must be after an end for that reason.
  void call(ws::error why) {
    if (why == ws::error::none) return;
    const bool ended = failure == ws::error::out_of_memory &&
                       (why == ws::error::not_open || why == ws::error::already_closing || why == ws::error::no_request);
    const bool follows = told && (why == ws::error::send_out_of_order || why == ws::error::no_request || why == ws::error::not_open);
    if (why != ws::error::out_of_memory && !ended && !follows) FAIL("error " << ws::explain(why).name);
    told = true;
  }
  void read(std::string_view bytes, std::size_t step = 1'000'000) {
    for (; !bytes.empty(); bytes.remove_prefix(bytes.size() < step ? bytes.size() : step)) {
      const std::unique_ptr<char[]> memory{new char[bytes.size()]};
      const std::size_t n = bytes.size() < step ? bytes.size() : step;
      std::memcpy(memory.get(), bytes.data(), n);
      std::span<char> rest{memory.get(), n};
      while (const ws::event ev = s.session.next(rest)) s.happened(ev);
      if (!rest.empty() && !told) FAIL("input is left over");  // a request that could not be accepted waits
    }
  }
  void read_prepared(std::string_view bytes, std::size_t step) {
    while (!bytes.empty()) {
      const std::span<char> memory = s.session.prepare(step);
      if (memory.empty()) {  // as a program that knows nothing of it: nothing was read
        s.session.commit(0);
        while (const ws::event ev = s.session.next()) s.happened(ev);
        if (!told) FAIL("prepare gave nothing, and nobody says why");
        return;
      }
      std::size_t n = bytes.size() < memory.size() ? bytes.size() : memory.size();
      if (n > step) n = step;
      std::memcpy(memory.data(), bytes.data(), n);
      bytes.remove_prefix(n);
      s.session.commit(n);
      while (const ws::event ev = s.session.next()) s.happened(ev);
    }
  }
  /// A frame of the peer's.
  [[nodiscard]] std::string frame(unsigned first, std::string_view payload) const { return wire::frame(other(s.self), first, payload); }
  void drain() { sent += s.take(); }
  void returned() {
    for (void* token = nullptr; s.session.returned(token);) ++tokens_back;
  }
  void lend(std::string_view payload) {
    const ws::error why = s.session.send_borrowed(ws::opcode::binary, payload, this);
    call(why);
    tokens += why == ws::error::none;
  }

  sim::side s;
  std::string sent = {};
  bool told = false;     ///< something failed, and the caller knows
  bool accepts = true;
  bool may_fail = false; ///< the scenario ends in a failure of its own
  ws::error failure = ws::error::none;
  std::size_t tokens = 0, tokens_back = 0;
};

const std::string large = sim::pattern(20'000), lent = sim::letters(500);

/// Not a role: both, one after the other.
constexpr auto either = static_cast<ws::role>(2);

struct scenario {
  const char* name;
  ws::role self;
  bool open;
  void (*run)(trial&);
};
constexpr scenario scenarios[] = {
    {"a request in one read", ws::role::server, false,
     [](trial& t) {
       t.read(std::string{request} + frame(ws::role::client, 0x81, "early"));
       t.drain();
     }},
    {"a request byte by byte", ws::role::server, false, [](trial& t) { t.read(request, 1); }},
    {"a long request in parts", ws::role::server, false,
     [](trial& t) {
       std::string cookies{request.substr(0, request.size() - 2)};
       for (int i = 0; i < 10; ++i) cookies += "Cookie: " + std::string(1000, 'c') + "\r\n";
       t.read(cookies + "\r\n", 700);
     }},
    {"a request through prepare", ws::role::server, false,
     [](trial& t) {
       t.read_prepared(request, 50);
       t.drain();
     }},
    {"a request that is rejected", ws::role::server, false,
     [](trial& t) {
       t.may_fail = true;
       t.read("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
       t.drain();
     }},
    {"a page of our own", ws::role::server, false,
     [](trial& t) {
       t.accepts = false;
       t.read(request, 100);
       t.call(t.s.session.respond({.status = 200, .body = large}));
       t.drain();
     }},
    {"accept with many fields", ws::role::server, false,
     [](trial& t) {
       t.accepts = false;
       t.read(request);
       const ws::field more[] = {{"Set-Cookie", lent}, {"Server", lent}, {"X-More", lent}};
       t.call(t.s.session.accept({.subprotocol = "chat", .fields = more}));
       t.drain();
     }},
    {"asking", ws::role::client, false,
     [](trial& t) {
       const std::string target = "/" + lent + lent;
       t.call(t.s.session.connect({.host = "example.org", .target = target}));
       t.drain();
     }},
    {"a response in parts that rejects", ws::role::client, false,
     [](trial& t) {
       t.may_fail = true;
       t.call(t.s.session.connect({.host = "example.org"}));
       t.drain();
       t.read("HTTP/1.1 404 Not Found\r\nX: " + lent + "\r\nContent-Length: 500\r\n\r\n" + lent, 100);
     }},
    {"small messages in place", either, true, [](trial& t) { t.read(t.frame(0x81, "hello")); }},
    {"a message joined from parts", either, true, [](trial& t) { t.read(t.frame(0x82, large), 777); }},
    {"a message joined from fragments", either, true,
     [](trial& t) {
       for (int i = 0; i < 20; ++i)
         t.read(t.frame((i == 0 ? 1U : 0U) | (i == 19 ? 0x80U : 0), lent));
     }},
    {"a binary message through prepare", either, true,
     [](trial& t) { t.read_prepared(t.frame(0x82, large) + t.frame(0x82, large), 3000); }},
    {"a text message through prepare", either, true,
     [](trial& t) { t.read_prepared(t.frame(0x81, sim::letters(20'000)), 3000); }},
    {"pings, whole and cut", either, true,
     [](trial& t) {
       t.read(t.frame(0x89, "whole"));
       t.drain();
       t.read(t.frame(0x89, "cut into bytes"), 1);
       t.drain();
     }},
    {"pongs pile up", either, true,
     [](trial& t) {
       for (int i = 0; i < 50; ++i) t.read(t.frame(0x89, std::string(100, 'p')));
       t.drain();
     }},
    {"small messages sent", either, true,
     [](trial& t) {
       for (int i = 0; i < 100; ++i) t.call(t.s.session.send(ws::opcode::text, "hello"));
       t.drain();
     }},
    {"large messages sent, slowly drained", either, true,
     [](trial& t) {
       for (int i = 0; i < 10; ++i) {
         t.call(t.s.session.send(ws::opcode::binary, large));
         t.sent += t.s.take(15'000);
       }
       t.drain();
     }},
    {"a message sent in pieces", either, true,
     [](trial& t) {
       t.call(t.s.session.send(ws::opcode::text, lent, false));
       for (int i = 0; i < 10; ++i) {
         t.call(t.s.session.send(ws::opcode::continuation, lent, false));
         t.call(t.s.session.ping("between"));
       }
       t.call(t.s.session.send(ws::opcode::continuation, lent));
       t.drain();
     }},
    {"borrowed payloads", either, true,
     [](trial& t) {
       for (int i = 0; i < 40; ++i) {
         t.lend(lent);
         if (i % 7 == 0) t.sent += t.s.take(1200);
         if (i % 9 == 0) t.returned();
       }
       t.drain();
       t.returned();
     }},
    {"borrowed payloads of a client", either, true,
     [](trial& t) {
       for (int i = 0; i < 20; ++i) t.lend(lent);
       t.drain();
       t.returned();
     }},
    {"our Close", either, true,
     [](trial& t) {
       t.call(t.s.session.close(ws::close_code::normal, "bye"));
       t.drain();
       t.read(wire::close_frame(other(t.s.self), 1000, "bye"));
       t.s.eof();
     }},
    {"the peer's Close, cut", either, true,
     [](trial& t) {
       t.read(wire::close_frame(other(t.s.self), 1000, "bye"), 2);
       t.drain();
       t.s.eof();
     }},
    {"a broken rule inside a message", either, true,
     [](trial& t) {
       t.may_fail = true;
       t.read(t.frame(0x01, lent) + "\xFF");
       t.drain();
     }},
    {"a failure from outside", either, true,
     [](trial& t) {
       t.may_fail = true;
       t.read(t.frame(0x01, lent));
       t.s.happened(t.s.session.fail(ws::error::message_too_big));
       t.drain();
     }},
    {"output taken in turns, with borrowed payloads between", either, true,
     [](trial& t) {
       ws::output_buffer spare;
       for (int i = 0; i < 12; ++i) {
         t.call(t.s.session.send(ws::opcode::text, "before"));
         if (i % 3 == 0) t.lend(lent);
         t.call(t.s.session.send(ws::opcode::text, lent));
         spare = t.s.session.take_output(spare);
         if (spare.size != 0) t.sent.append(spare.data, spare.size);
         t.s.session.consume(spare.size);
         if (i % 2 == 0) t.sent += t.s.take(300);
       }
       t.s.session.free_buffer(spare);
       t.drain();
       t.returned();
     }},
    {"pings of the clock", either, true,
     [](trial& t) {
       for (std::uint64_t now = 0; now < 100; now += 10) {
         t.s.happened(t.s.session.tick(now * 1'000'000));
         t.drain();
         t.read(t.frame(0x8A, wire::hex("00 00 00 01")));
       }
     }},
    {"a handshake that times out", ws::role::server, false,
     [](trial& t) {
       t.may_fail = true;
       t.read(request.substr(0, 60), 10);
       t.s.happened(t.s.session.tick(0));
       t.s.happened(t.s.session.tick(20'000'000));
       t.drain();
     }},
    {"released between all steps", either, true,
     [](trial& t) {
       const std::string bytes = t.frame(0x82, large);
       for (std::size_t at = 0; at < bytes.size(); at += 3000) {
         t.read(std::string_view{bytes}.substr(at, 3000));
         t.s.session.release();
         t.call(t.s.session.send(ws::opcode::text, "hello"));
         t.lend(lent);
         t.drain();
         t.returned();
         t.s.session.release();
       }
     }},
    {"moved between all steps", either, true,
     [](trial& t) {
       const std::string bytes = t.frame(0x82, large) + t.frame(0x89, "ping");
       for (std::size_t at = 0; at < bytes.size(); at += 3000) {
         t.read(std::string_view{bytes}.substr(at, 3000), 1500);
         t.call(t.s.session.send(ws::opcode::text, "hello"));
         ws::session other_place{std::move(t.s.session)};
         t.s.session = std::move(other_place);
       }
       t.drain();
     }},
    {"a whole message, and one in pieces behind it", either, true,
     [](trial& t) { t.read(t.frame(0x82, lent) + t.frame(0x01, "a") + t.frame(0x80, lent), 400); }},
    {"many messages in one read, each answered", either, true,
     [](trial& t) {
       t.s.on_event = [&t, before = t.s.on_event](const ws::event& ev) {
         before(ev);
         if (ev.type == ws::event_type::message) t.call(t.s.session.send(ev.opcode, ev.payload));
       };
       std::string bytes;
       for (int i = 0; i < 30; ++i) bytes += t.frame(0x82, lent);
       t.read(bytes);
       t.drain();
     }},
    {"prepared messages, small and large", either, true,
     [](trial& t) {
       const ws::prepared_message small{ws::opcode::text, "small"}, big{ws::opcode::binary, large};
       for (int i = 0; i < 6; ++i) {
         t.call(t.s.session.send(small));
         t.call(t.s.session.send(big));
         t.sent += t.s.take(7'000);
       }
       t.drain();
     }},
    {"messages through prepare, answered from its memory", either, true,
     [](trial& t) {
       t.read_prepared(t.frame(0x82, large), 5000);
       t.call(t.s.session.send(ws::opcode::binary, lent));
       t.read_prepared(t.frame(0x81, lent) + t.frame(0x89, "ping"), 100);
       t.drain();
     }},
    {"a Close behind borrowed payloads", either, true,
     [](trial& t) {
       for (int i = 0; i < 5; ++i) t.lend(large);
       t.call(t.s.session.close(ws::close_code::going_away, "enough"));
       t.drain();
       t.returned();
       t.read(wire::close_frame(other(t.s.self), 1001));
       t.s.eof();
     }},
    {"both close at once", either, true,
     [](trial& t) {
       t.call(t.s.session.send(ws::opcode::text, lent));
       t.call(t.s.session.close());
       t.read(wire::close_frame(other(t.s.self), 1000));
       t.drain();
       t.s.eof();
     }},
    {"pings of ours, and their pongs cut", either, true,
     [](trial& t) {
       for (int i = 0; i < 4; ++i) {
         t.call(t.s.session.ping());
         t.call(t.s.session.ping(std::string(125, 'x')));
         t.drain();
         t.read(t.frame(0x8A, std::string(125, 'x')), 50);
       }
     }},
};

/// After a scenario: no call does harm, whatever state it left.
void use_further(trial& t) {
  ws::session& s = t.s.session;
  std::string more = frame(other(t.s.self), 0x81, "more") + frame(other(t.s.self), 0x89, "ping") + "\xFF\xFF";
  std::span<char> bytes{more};
  while (const ws::event ev = s.next(bytes)) {
    if (ev.type == ws::event_type::request) break;
  }
  (void)s.send(ws::opcode::text, "x");
  (void)s.send_borrowed(ws::opcode::text, lent, nullptr);
  (void)s.ping();
  (void)s.accept();
  (void)s.connect({.host = "a"});
  (void)s.tick(1'000'000'000);
  (void)s.tick(2'000'000'000);
  (void)s.next_deadline();
  const ws::output_buffer taken = s.take_output();
  s.consume(taken.size);
  s.free_buffer(taken);
  if (!s.prepare(100).empty()) s.commit(0);
  (void)s.next();
  (void)s.close();
  (void)s.fail(ws::error::out_of_memory);
  (void)s.end_of_input();
  (void)t.s.take();
  for (void* token = nullptr; s.returned(token);) {}
  s.release();
  CHECK(!s.is_open());
  CHECK(s.wants() == ws::transport::drop);
}

struct outcome {
  std::string events, sent;
  std::size_t calls = 0, refused = 0;
  bool told = false;
};

outcome run(const scenario& what, ws::role self, std::size_t fail_at, bool fail_after) {
  counting_allocator memory;
  memory.fail_at = fail_at;
  memory.fail_after = fail_after;
  ws::options opt;
  opt.ping_interval = 5'000'000;
  outcome result;
  {
    trial t{self, what.open, opt, memory};
    what.run(t);
    result = {t.s.events(), t.sent, memory.calls, memory.refused, t.told || t.s.session.state() == ws::close_state::failed};
    if (t.failure != ws::error::none && t.failure != ws::error::out_of_memory && !t.may_fail)
      FAIL("failed for " << ws::explain(t.failure).name);
    if (t.failure == ws::error::out_of_memory && t.s.session.why() != ws::error::out_of_memory) FAIL("why() says another error");
    // What was sent is whole, up to what the transport did not take.
    if (!t.sent.starts_with("HTTP/") || t.sent.starts_with("HTTP/1.1 101"))
      CHECK(wire::describe_sent(self, t.sent).find("BAD") == std::string::npos);
    if (t.s.session.buffered_amount() == 0) CHECK(t.tokens == t.tokens_back);
    use_further(t);
  }
  CHECK(memory.mistakes == 0);
  CHECK(memory.blocks() == 0);
  return result;
}

std::string without_pongs(ws::role self, std::string_view sent) {
  std::string out;
  const std::string lines = wire::describe_sent(self, sent);
  for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
    const std::string line = lines.substr(at, lines.find('\n', at) - at);
    if (!line.starts_with("-> pong")) out += line + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("an allocation that fails is told, leaks nothing, and leaves a harmless session", "[allocation_failure][F04][K14]") {
  std::size_t failures = 0, swept = 0;
  for (const scenario& what : scenarios)
    for (const ws::role self : wire::both_roles) {
      if (what.self != either && what.self != self) continue;
      ++swept;
      const outcome good = run(what, self, counting_allocator::never, false);
      CHECK(good.refused == 0);
      for (const bool fail_after : {false, true})
        for (std::size_t i = 0; i < good.calls; ++i) {
          INFO(what.name << ", " << wire::name(self) << ": allocation " << i << " of " << good.calls << (fail_after ? " and all after it" : ""));
          const outcome bad = run(what, self, i, fail_after);
          failures += bad.refused;
          CHECK(bad.refused >= 1);
          if (bad.told) continue;
          CHECK((bad.events == good.events));
          if (fail_after) CHECK((without_pongs(self, bad.sent) == without_pongs(self, good.sent)));
          else CHECK((bad.sent == good.sent));
        }
    }
  CHECK(swept >= 60);
  CHECK(failures > 200);
}

TEST_CASE("a session that had no memory once goes on where it can", "[allocation_failure]") {
  for (const ws::role self : wire::both_roles) {
    counting_allocator memory;
    const ws::options opt;
    sim::side s{self, opt, true, memory.hook()};
    const auto failing = [&](ws::error why) {
      CHECK(why == ws::error::out_of_memory);
      CHECK(s.session.buffered_amount() == 0);
      CHECK(s.session.is_open());
      memory.fail_at = memory.calls;
    };
    memory.fail_at = 0;
    failing(s.session.send(ws::opcode::text, "hello"));
    failing(s.session.send_borrowed(ws::opcode::text, "hello", nullptr));
    failing(s.session.ping());
    failing(s.session.ping("x"));
    failing(s.session.close());
    CHECK(s.session.prepare().empty());
    memory.fail_at = counting_allocator::never;
    CHECK(s.session.send(ws::opcode::text, "hello") == ws::error::none);
    CHECK(!s.session.prepare().empty());
    CHECK(s.sent() == "-> text \"hello\"\n");
  }
}

TEST_CASE("a pong for which there was no memory is sent when there is", "[allocation_failure][F19]") {
  for (const ws::role self : wire::both_roles) {
    counting_allocator memory;
    const ws::options opt;
    sim::side s{self, opt, true, memory.hook()};
    s.read(frame(other(self), 0x89, "first"));
    CHECK(s.sent() == "-> pong \"first\"\n");
    for (int i = 0; i < 3; ++i) {
      s.session.release();
      memory.fail_at = memory.calls + 1;  // the scratch is there, the queue is not
      s.read(frame(other(self), 0x89, "second"));
      CHECK(s.session.is_open());
      CHECK(s.session.wants() != ws::transport::drop);
    }
    memory.fail_at = counting_allocator::never;
    s.read(frame(other(self), 0x81, "hello"));
    s.session.consume(0);
    CHECK(s.sent().find("-> pong \"second\"\n") != std::string::npos);
  }
}

TEST_CASE("without memory for a message the peer is told 1011", "[allocation_failure]") {
  for (const ws::role self : wire::both_roles) {
    counting_allocator memory;
    const ws::options opt;
    sim::side s{self, opt, true, memory.hook()};
    memory.fail_at = 0;
    const std::string bytes = frame(other(self), 0x82, large);
    s.read(bytes.substr(0, 1000));
    s.read(bytes.substr(1000));
    CHECK(s.events().starts_with("failed out_of_memory"));
    CHECK(s.events().find('\n') + 1 == s.events().size());
    CHECK(s.sent() == "-> close 1011 \"\"\n");
    CHECK(s.session.wants() == ws::transport::half_close);
  }
}
