#include <wscodec/keepalive.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <wscodec/session.hpp>

#include "catch.hpp"
#include "support/link.hpp"
#include "support/wire.hpp"

namespace ws = wscodec;
using ws::due;
using ws::never;
using wire::both_roles;
using wire::frame;
using wire::other;

namespace {

constexpr std::uint64_t us = 1;
constexpr std::uint64_t s = 1'000'000;
constexpr std::uint64_t year = 365 * 24 * 3600 * s;

// ---- the machine alone

struct machine_row {
  const char* name;
  due what;
  ws::activity activity;
  std::uint64_t ws::options::* option;
};
constexpr machine_row machine_rows[] = {
    {"T01", due::handshake_timeout, {.handshaking = true}, &ws::options::handshake_timeout},
    {"T02", due::close_timeout, {.ending = true}, &ws::options::close_timeout},
    {"T03", due::ping, {.open = true}, &ws::options::ping_interval},
    {"T05", due::idle_timeout, {.open = true}, &ws::options::idle_timeout},
    {"T07", due::write_timeout, {.open = true, .output_waits = true}, &ws::options::write_timeout},
};

ws::options all_off() {
  ws::options opt;
  opt.handshake_timeout = opt.close_timeout = opt.ping_interval = opt.pong_timeout = opt.idle_timeout = opt.write_timeout = 0;
  return opt;
}

constexpr ws::activity all_activities(unsigned bits) {
  return {(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0, (bits & 8U) != 0, 0, 0};
}

}  // namespace

TEST_CASE("each deadline falls due at its microsecond, not before", "[keepalive][T01][T02][T03][T05][T07]") {
  for (const machine_row& row : machine_rows)
    for (const std::uint64_t start : {0 * us, 1 * us, 123'456'789 * us, 3000 * year})
      for (const std::uint64_t length : {1 * us, 2 * us, 30 * s, 100 * year}) {
        INFO(row.name << " from " << start << " for " << length);
        ws::options opt = all_off();
        opt.*row.option = length;
        ws::keepalive k;
        CHECK(ws::next_deadline(k, row.activity, opt) == 0);  // before the first tick: now
        CHECK(ws::tick(k, start, row.activity, opt) == due::nothing);
        CHECK(ws::next_deadline(k, row.activity, opt) == start + length);
        CHECK(ws::tick(k, start + length - 1, row.activity, opt) == due::nothing);
        ws::keepalive at = k, after = k;
        CHECK(ws::tick(at, start + length, row.activity, opt) == row.what);
        CHECK(ws::tick(after, start + length + 1, row.activity, opt) == row.what);
      }
}

TEST_CASE("a deadline of 0 is off, whatever happens", "[keepalive]") {
  const ws::options opt = all_off();
  for (unsigned bits = 0; bits < 16; ++bits) {
    ws::keepalive k;
    k.pinged = (bits & 4U) != 0;
    const ws::activity a = all_activities(bits);
    for (const std::uint64_t now : {std::uint64_t{0}, 1 * s, 1000 * year, never - 1, never}) {
      CHECK(ws::tick(k, now, a, opt) == due::nothing);
      CHECK(ws::next_deadline(k, a, opt) == never);
    }
  }
}

TEST_CASE("nothing is due at the first tick, whenever it comes", "[keepalive][T06]") {
  ws::options opt;
  opt.ping_interval = opt.idle_timeout = 1;
  for (const std::uint64_t first : {std::uint64_t{0}, 1 * us, 50 * year, never - 1, never})
    for (unsigned bits = 0; bits < 16; ++bits) {
      INFO("activity " << bits << " first tick at " << first);
      ws::keepalive k;
      CHECK(ws::tick(k, first, all_activities(bits), opt) == due::nothing);
      CHECK(ws::next_deadline(k, all_activities(bits), opt) >= first);
    }
}

TEST_CASE("a deadline past the end of time never comes", "[keepalive]") {
  STATIC_REQUIRE(never == std::numeric_limits<std::uint64_t>::max());  // no time is later
  ws::options opt = all_off();
  opt.handshake_timeout = never;
  ws::keepalive k;
  const ws::activity a{.handshaking = true};
  CHECK(ws::tick(k, 5, a, opt) == due::nothing);
  CHECK(ws::next_deadline(k, a, opt) == never);
  CHECK(ws::tick(k, never, a, opt) == due::nothing);
}

TEST_CASE("T06 time that goes backwards does not pass", "[keepalive][T06]") {
  ws::options opt = all_off();
  opt.idle_timeout = 100;
  ws::activity a{.open = true};
  ws::keepalive k;
  CHECK(ws::tick(k, 1000, a, opt) == due::nothing);
  for (const std::uint64_t back : {999U, 500U, 0U}) {
    CHECK(ws::tick(k, back, a, opt) == due::nothing);
    CHECK(ws::next_deadline(k, a, opt) == 1100);
  }
  a.received = 1;  // happens at 1000, the latest time that was told
  CHECK(ws::next_deadline(k, a, opt) == 1100);
  CHECK(ws::tick(k, 1099, a, opt) == due::nothing);
  CHECK(ws::tick(k, 900, a, opt) == due::nothing);
  CHECK(ws::tick(k, 1100, a, opt) == due::idle_timeout);
}

TEST_CASE("what happens late after the last tick does not make a deadline fall in the past", "[keepalive]") {
  // A program that handles its input first and ticks afterwards: the last tick may be long ago.
  ws::options opt = all_off();
  opt.handshake_timeout = opt.close_timeout = opt.idle_timeout = opt.write_timeout = 10 * s;
  ws::keepalive k;
  ws::activity a;
  CHECK(ws::tick(k, 0, a, opt) == due::nothing);
  const auto begins_at = [&](std::uint64_t now) {
    CHECK(ws::tick(k, now, a, opt) == due::nothing);
    CHECK(ws::next_deadline(k, a, opt) == now + 10 * s);
  };
  a.handshaking = true;
  begins_at(100 * s);
  a.handshaking = false;
  a.open = true;
  a.received = 1;
  begins_at(109 * s);
  a.received = 2;
  begins_at(118 * s);  // nearly 10 s later: not idle
  a.open = false;
  a.output_waits = true;
  begins_at(200 * s);
  a.sent = 1;
  begins_at(209 * s);  // some of the output was taken
  a.output_waits = false;
  a.ending = true;
  begins_at(300 * s);
}

TEST_CASE("T02 the time for the peer's Close begins anew as long as what comes before ours is taken, and only then",
          "[keepalive][T02]") {
  ws::options opt = all_off();
  opt.close_timeout = 10;
  ws::keepalive k;
  ws::activity a{.ending = true, .output_waits = true};
  CHECK(ws::tick(k, 100, a, opt) == due::nothing);
  CHECK(ws::tick(k, 105, a, opt) == due::nothing);
  CHECK(ws::next_deadline(k, a, opt) == 110);
  a.sent = 1;
  CHECK(ws::tick(k, 106, a, opt) == due::nothing);
  CHECK(ws::next_deadline(k, a, opt) == 116);
  CHECK(ws::tick(k, 107, a, opt) == due::nothing);
  CHECK(ws::next_deadline(k, a, opt) == 116);
  a.sent = 2;
  a.output_waits = false;  // all is out
  CHECK(ws::tick(k, 108, a, opt) == due::nothing);
  CHECK(ws::next_deadline(k, a, opt) == 118);
  a.sent = 3;  // as no more can be
  CHECK(ws::tick(k, 109, a, opt) == due::nothing);
  CHECK(ws::next_deadline(k, a, opt) == 118);
}

TEST_CASE("next_deadline sees what happened since the tick", "[keepalive]") {
  ws::options opt = all_off();
  opt.idle_timeout = 10;
  ws::keepalive k;
  ws::activity a{.open = true};
  CHECK(ws::tick(k, 100, a, opt) == due::nothing);
  CHECK(ws::tick(k, 105, a, opt) == due::nothing);
  a.received = 7;
  CHECK(ws::next_deadline(k, a, opt) == 115);
  CHECK(ws::tick(k, 114, a, opt) == due::nothing);
  CHECK(ws::tick(k, 115, a, opt) == due::idle_timeout);
}

// ---- sessions

namespace {

/// A session and its clock.
struct timed : sim::side {
  using sim::side::side;

  /// "", or the event.
  std::string tick(std::uint64_t now) {
    const ws::event ev = session.tick(now);
    return !ev ? "" : ev.type == ws::event_type::failed ? "failed " + wire::name(ev.why()) : "BAD event";
  }
  std::string wants() { return wire::name(session.wants()); }
  std::uint64_t deadline() { return session.next_deadline(); }
  /// Everything that happened at this tick.
  std::string all(std::uint64_t now) {
    std::string out = tick(now) + "|";
    out += sent();
    while (out.back() == '\n') out.pop_back();
    out += "|" + wants() + "|" + wire::name(session.code());
    if (session.was_clean()) out += " clean";
    return out;
  }
};

using make_timed = std::function<std::unique_ptr<timed>()>;

/// The session that `make` gives, afresh for each try: nothing is due a microsecond before `deadline`; at it, after it,
/// years after it and at the end of time `expected` happens, once.
void falls_due(std::uint64_t deadline, const make_timed& make, std::string_view expected) {
  for (const std::uint64_t now : {deadline, deadline + 1, deadline + 5 * year, never}) {
    INFO("deadline " << deadline << ", tick at " << now);
    const std::unique_ptr<timed> t = make();
    const std::string before = t->wants() + wire::name(t->session.state());
    CHECK(t->deadline() == deadline);
    CHECK(t->tick(deadline - 1) == "");
    CHECK(t->sent() == "");
    CHECK(t->wants() + wire::name(t->session.state()) == before);
    CHECK(t->deadline() == deadline);
    CHECK(t->all(now) == expected);
    CHECK(t->tick(now) == "");
    CHECK(t->sent() == "");
  }
}

constexpr std::uint64_t starts[] = {0, 1, 77 * s, 40 * year};

}  // namespace

TEST_CASE("T01 an unfinished handshake is answered with 408", "[keepalive][T01]") {
  ws::options opt;
  for (const std::uint64_t start : starts)
    for (const std::string_view input : {"", "G", "GET / HTTP/1.1\r\nHost: example.org\r\n"}) {
      const make_timed make = [&] {
        auto t = std::make_unique<timed>(ws::role::server, opt, false);
        CHECK(t->tick(start) == "");
        t->read(input);
        return t;
      };
      falls_due(start + 10 * s, make,
                "failed handshake_timeout|-> HTTP/1.1 408 Request Timeout|half_close|1006");
    }
  // The whole answer, and the end.
  timed t{ws::role::server, opt, false};
  CHECK(t.tick(0) == "");
  CHECK(t.tick(10 * s) == "failed handshake_timeout");
  CHECK(t.wants() == "flush");
  const std::string answer = t.take();
  CHECK(answer.find("\r\nConnection: close\r\n") != answer.npos);
  CHECK(answer.find("\r\n\r\nhandshake_timeout: ") != answer.npos);
  CHECK(t.deadline() == 15 * s);
  CHECK(t.all(15 * s - 1) == "||half_close|1006");
  CHECK(t.all(15 * s) == "||drop|1006");
  CHECK(t.deadline() == never);
}

TEST_CASE("T01 bytes that trickle in do not prolong the handshake", "[keepalive][T01]") {
  ws::options opt;
  opt.handshake_timeout = 100;
  timed t{ws::role::server, opt, false};
  CHECK(t.tick(0) == "");
  const std::string_view request = "GET / HTTP/1.1\r\nHost: example.org\r\nX: ";
  for (std::uint64_t now = 1; now < 100; ++now) {
    t.read(now <= request.size() ? request.substr(static_cast<std::size_t>(now - 1), 1) : "x");
    CHECK(t.tick(now) == "");
  }
  CHECK(t.tick(100) == "failed handshake_timeout");
}

TEST_CASE("T01 a client whose server does not answer fails", "[keepalive][T01]") {
  ws::options opt;
  for (const std::uint64_t start : starts)
    for (const std::string_view input : {"", "HTTP/1.1 101 Switching Protocols\r\n", "HTTP/1.1 102 Processing\r\n\r\n",
                                         "HTTP/1.1 404 Not Found\r\n\r\na body until clos"}) {
      const make_timed make = [&] {
        auto t = std::make_unique<timed>(ws::role::client, opt, false);
        CHECK(t->tick(start) == "");
        CHECK(t->session.connect({.host = "example.org"}) == ws::error::none);
        (void)t->sent();
        t->read(input);
        return t;
      };
      falls_due(start + 10 * s, make, "failed handshake_timeout||drop|1006");
    }
}

TEST_CASE("T01 a finished handshake has no deadline", "[keepalive][T01]") {
  const ws::options opt;
  timed t{ws::role::server, opt, false};
  CHECK(t.tick(0) == "");
  t.read("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  CHECK(t.session.is_open());
  (void)t.sent();
  CHECK(t.deadline() == never);
  CHECK(t.all(10 * year) == "||keep|0");
}

TEST_CASE("T02 a Close that is not answered ends in a drop", "[keepalive][T02]") {
  const ws::options opt;
  for (const ws::role role : both_roles)
    for (const std::uint64_t start : starts) {
      const make_timed make = [&] {
        auto t = std::make_unique<timed>(role, opt);
        CHECK(t->tick(start) == "");
        CHECK(t->session.close() == ws::error::none);
        CHECK(t->sent() == "-> close 1000 \"\"\n");
        return t;
      };
      falls_due(start + 5 * s, make, "failed close_timeout||drop|1006");
    }
}

TEST_CASE("T02 messages that still arrive do not prolong it", "[keepalive][T02]") {
  ws::options opt;
  opt.close_timeout = 10;
  timed t{ws::role::server, opt};
  CHECK(t.tick(100) == "");
  CHECK(t.session.close() == ws::error::none);
  (void)t.sent();
  for (std::uint64_t now = 100; now < 110; ++now) {
    CHECK(t.tick(now) == "");
    t.read(frame(ws::role::client, 0x81, "still here"));
    t.read(frame(ws::role::client, 0x89, "ping"));
    CHECK(t.deadline() == 110);
  }
  CHECK(t.tick(110) == "failed close_timeout");
}

TEST_CASE("T02 pongs that are sent after our Close do not prolong it", "[keepalive][T02][F19]") {
  ws::options opt;
  opt.close_timeout = 10;
  opt.pong_after_close = true;
  timed t{ws::role::server, opt};
  CHECK(t.tick(100) == "");
  CHECK(t.session.close() == ws::error::none);
  CHECK(t.sent() == "-> close 1000 \"\"\n");
  for (std::uint64_t now = 100; now < 110; ++now) {
    CHECK(t.tick(now) == "");
    t.read(frame(ws::role::client, 0x89, "ping"));
    CHECK(t.deadline() == 110);  // the pong waits
    CHECK(t.tick(now) == "");
    t.session.consume(1);
    CHECK(t.deadline() == 110);  // some of it was taken
    CHECK(t.take().size() == 5);
    CHECK(t.deadline() == 110);
  }
  CHECK(t.tick(110) == "failed close_timeout");
}

TEST_CASE("T02 starts when our Close is out: a peer that still takes what is before it has time", "[keepalive][T02]") {
  const ws::options opt;
  timed t{ws::role::server, opt};
  CHECK(t.tick(0) == "");
  CHECK(t.session.send(ws::opcode::binary, std::string(100, 'x')) == ws::error::none);
  CHECK(t.session.close() == ws::error::none);
  for (std::uint64_t now = 0; now < 100 * s; now += s) {
    CHECK(t.tick(now) == "");
    t.session.consume(1);
    CHECK(t.deadline() == now + 5 * s);
  }
  (void)t.take();
  CHECK(t.deadline() == 104 * s);  // 99 s, the last tick, and five
  CHECK(t.tick(104 * s - 1) == "");
  CHECK(t.tick(104 * s) == "failed close_timeout");
}

TEST_CASE("T02 after the exchange a client waits for the end, and then drops; it stays clean", "[keepalive][T02][K11]") {
  const ws::options opt;
  for (const bool we_begin : {false, true}) {
    const make_timed make = [&] {
      auto t = std::make_unique<timed>(ws::role::client, opt);
      CHECK(t->tick(7) == "");
      if (we_begin) CHECK(t->session.close() == ws::error::none);
      (void)t->sent();
      t->read(wire::close_frame(ws::role::server, 1000));
      (void)t->sent();
      CHECK(t->wants() == "keep");
      return t;
    };
    falls_due(7 + 5 * s, make, "||drop|1000 clean");
  }
}

TEST_CASE("T02 a server half-closes after the exchange, and drops in the end", "[keepalive][T02][K15]") {
  const ws::options opt;
  const make_timed make = [&] {
    auto t = std::make_unique<timed>(ws::role::server, opt);
    CHECK(t->tick(7) == "");
    t->read(wire::close_frame(ws::role::client, 4000));
    CHECK(t->sent() == "-> close 4000 \"\"\n");
    CHECK(t->wants() == "half_close");
    return t;
  };
  falls_due(7 + 5 * s, make, "||drop|4000 clean");
}

TEST_CASE("T02 after a broken rule too the transport is dropped in the end", "[keepalive][T02]") {
  const ws::options opt;
  for (const ws::role role : both_roles) {
    const make_timed make = [&] {
      auto t = std::make_unique<timed>(role, opt);
      CHECK(t->tick(7) == "");
      t->read("\x83");
      CHECK(t->session.why() == ws::error::opcode_reserved);
      (void)t->sent();
      return t;
    };
    falls_due(7 + 5 * s, make, "||drop|1006");
  }
}

TEST_CASE("T03 after silence a ping is sent", "[keepalive][T03]") {
  ws::options opt;
  opt.ping_interval = 30 * s;
  for (const ws::role role : both_roles)
    for (const std::uint64_t start : starts) {
      const make_timed make = [&] {
        auto t = std::make_unique<timed>(role, opt);
        CHECK(t->tick(start) == "");
        return t;
      };
      falls_due(start + 30 * s, make, "|-> ping \"\\x00\\x00\\x00\\x01\"|keep|0");
    }
}

TEST_CASE("T03 what is received and what is sent put the ping off", "[keepalive][T03]") {
  ws::options opt;
  opt.ping_interval = 100;
  const struct {
    const char* name;
    void (*act)(timed&);
  } rows[] = {
      {"a message received", [](timed& t) { t.read(frame(ws::role::client, 0x81, "x")); }},
      {"a piece of a frame received", [](timed& t) { t.read("\x82"); }},
      {"a pong received", [](timed& t) { t.read(frame(ws::role::client, 0x8A, "x")); }},
      {"a message sent", [](timed& t) {
         CHECK(t.session.send(ws::opcode::text, "x") == ws::error::none);
         (void)t.sent();
       }},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    timed t{ws::role::server, opt};
    CHECK(t.tick(1000) == "");
    CHECK(t.tick(1099) == "");
    row.act(t);
    CHECK(t.deadline() == 1199);
    CHECK(t.all(1198) == "||keep|0");
    CHECK(t.all(1199) == "|-> ping \"\\x00\\x00\\x00\\x01\"|keep|0");
  }
}

TEST_CASE("T03 is off by default, and only for open connections", "[keepalive][T03]") {
  ws::options opt;
  CHECK(timed{ws::role::server, opt}.all(0) == "||keep|0");
  timed quiet{ws::role::server, opt};
  CHECK(quiet.tick(0) == "");
  CHECK(quiet.deadline() == never);
  CHECK(quiet.all(year) == "||keep|0");

  opt.ping_interval = 1;
  timed handshaking{ws::role::server, opt, false};
  CHECK(handshaking.tick(0) == "");
  CHECK(handshaking.all(5 * s) == "||keep|0");
  timed closing{ws::role::server, opt};
  CHECK(closing.tick(0) == "");
  CHECK(closing.session.close() == ws::error::none);
  CHECK(closing.sent() == "-> close 1000 \"\"\n");
  CHECK(closing.deadline() == 5 * s);
  CHECK(closing.all(4 * s) == "||keep|0");
}

TEST_CASE("T03 one ping at a time; the next comes a whole interval after the answer", "[keepalive][T03][T04]") {
  ws::options opt;
  opt.ping_interval = 100;
  opt.pong_timeout = 1000;
  timed t{ws::role::server, opt};
  CHECK(t.tick(0) == "");
  CHECK(t.all(100) == "|-> ping \"\\x00\\x00\\x00\\x01\"|keep|0");
  CHECK(t.all(300) == "||keep|0");
  CHECK(t.deadline() == 1100);
  t.read(frame(ws::role::client, 0x8A, wire::hex("00 00 00 01")));
  CHECK(t.session.round_trip_time() == 200);
  CHECK(t.deadline() == 400);
  CHECK(t.all(399) == "||keep|0");
  CHECK(t.all(400) == "|-> ping \"\\x00\\x00\\x00\\x02\"|keep|0");
}

TEST_CASE("T03 a client that has no masking key goes on without pinging", "[keepalive][T03][F21]") {
  ws::options opt;
  opt.ping_interval = 100;
  timed t{ws::role::client, opt};
  t.entropy.fails = true;
  CHECK(t.tick(0) == "");
  CHECK(t.all(100) == "||keep|0");
  CHECK(t.deadline() == 200);  // a loop that waits for it must not spin
  t.entropy.fails = false;
  CHECK(t.all(199) == "||keep|0");
  CHECK(t.all(200) == "|-> ping \"\\x00\\x00\\x00\\x01\"|keep|0");
}

TEST_CASE("T03 pings go on when no deadline waits for the pong", "[keepalive][T03][T04]") {
  ws::options opt;
  opt.ping_interval = 100;
  opt.pong_timeout = 0;
  timed t{ws::role::server, opt};
  CHECK(t.tick(0) == "");
  for (std::uint64_t now = 100; now < 1000; now += 100) {
    CHECK(t.deadline() == now);
    CHECK(t.all(now) == "|-> ping \"\\x00\\x00\\x00\\x01\"|keep|0");
  }
}

TEST_CASE("T04 a ping that is not answered closes with 1011, and drops after T02", "[keepalive][T04]") {
  const ws::options opt;
  for (const ws::role role : both_roles)
    for (const std::uint64_t start : starts) {
      const make_timed make = [&] {
        auto t = std::make_unique<timed>(role, opt);
        CHECK(t->tick(start) == "");
        CHECK(t->session.ping() == ws::error::none);
        (void)t->sent();
        return t;
      };
      falls_due(start + 20 * s, make, "failed pong_timeout|-> close 1011 \"\"|half_close|1006");

      const std::unique_ptr<timed> t = make();
      CHECK(t->deadline() == start + 20 * s);
      CHECK(t->tick(start + 20 * s) == "failed pong_timeout");
      (void)t->sent();
      CHECK(t->deadline() == start + 25 * s);
      CHECK(t->all(start + 25 * s - 1) == "||half_close|1006");
      CHECK(t->all(start + 25 * s) == "||drop|1006");
    }
}

TEST_CASE("T04 only the pong to our ping counts", "[keepalive][T04][F20]") {
  ws::options opt;
  opt.pong_timeout = 100;
  for (const std::string_view pong : {"", "x", "00 00 00 02", "00 00 00 01 00", "00 00 01"}) {
    timed t{ws::role::server, opt};
    CHECK(t.tick(0) == "");
    CHECK(t.session.ping() == ws::error::none);
    (void)t.sent();
    CHECK(t.deadline() == 100);
    CHECK(t.tick(50) == "");
    t.read(frame(ws::role::client, 0x8A, wire::hex(pong)));
    t.read(frame(ws::role::client, 0x81, "hello"));
    CHECK(t.session.round_trip_time() == 0);
    CHECK(t.tick(99) == "");
    CHECK(t.tick(100) == "failed pong_timeout");
  }
  timed t{ws::role::server, opt};
  CHECK(t.tick(0) == "");
  CHECK(t.session.ping() == ws::error::none);
  (void)t.sent();
  CHECK(t.tick(99) == "");
  t.read(frame(ws::role::client, 0x8A, wire::hex("00 00 00 01")));
  CHECK(t.session.round_trip_time() == 99);
  CHECK(t.deadline() == never);
  CHECK(t.tick(year) == "");
}

TEST_CASE("T04 pings that come faster than their answers are all right", "[keepalive][T04]") {
  // A ping a second, each answered after 1.5 s.
  const ws::options opt;
  timed t{ws::role::server, opt};
  std::vector<std::pair<std::uint64_t, std::string>> answers;
  for (std::uint64_t now = 0; now < 100 * s; now += s / 2) {
    CHECK(t.tick(now) == "");
    while (!answers.empty() && answers.front().first <= now) {
      t.read(frame(ws::role::client, 0x8A, answers.front().second));
      answers.erase(answers.begin());
    }
    if (now % s != 0) continue;
    CHECK(t.session.ping() == ws::error::none);
    const std::string bytes = t.take();
    std::string_view rest = bytes;
    wire::sent_frame ping;
    REQUIRE(wire::take_frame(rest, ping) == "");
    answers.emplace_back(now + 3 * s / 2, ping.payload);
  }
  CHECK(t.session.is_open());
  CHECK(t.session.round_trip_time() == 3 * s / 2);
}

TEST_CASE("T04 a peer that only answers the latest ping is all right", "[keepalive][T04][F19]") {
  const ws::options opt;
  timed t{ws::role::server, opt};
  std::string last;
  for (std::uint64_t now = 0; now < 10 * s; now += s) {
    CHECK(t.tick(now) == "");
    CHECK(t.session.ping() == ws::error::none);
    const std::string bytes = t.take();
    std::string_view rest = bytes;
    wire::sent_frame ping;
    REQUIRE(wire::take_frame(rest, ping) == "");
    last = ping.payload;
  }
  t.read(frame(ws::role::client, 0x8A, last));
  CHECK(t.deadline() == never);
}

TEST_CASE("T05 a peer that is not heard of is closed with 1001", "[keepalive][T05]") {
  ws::options opt;
  opt.idle_timeout = 60 * s;
  for (const ws::role role : both_roles)
    for (const std::uint64_t start : starts) {
      const make_timed make = [&] {
        auto t = std::make_unique<timed>(role, opt);
        CHECK(t->tick(start) == "");
        return t;
      };
      falls_due(start + 60 * s, make, "failed idle_timeout|-> close 1001 \"\"|half_close|1006");
    }
}

TEST_CASE("T05 what we send does not count, what we receive does", "[keepalive][T05]") {
  ws::options opt;
  opt.idle_timeout = 100;
  timed t{ws::role::server, opt};
  CHECK(t.tick(0) == "");
  CHECK(t.tick(60) == "");
  CHECK(t.session.send(ws::opcode::text, "x") == ws::error::none);
  CHECK(t.sent() == "-> text \"x\"\n");
  CHECK(t.deadline() == 100);
  t.read("\x81");
  CHECK(t.deadline() == 160);
  CHECK(t.tick(159) == "");
  CHECK(t.tick(160) == "failed idle_timeout");
}

TEST_CASE("T06 time that goes backwards is no time", "[keepalive][T06]") {
  ws::options opt;
  opt.idle_timeout = 100;
  timed t{ws::role::server, opt};
  CHECK(t.tick(1000) == "");
  for (const std::uint64_t now : {999U, 0U, 500U, 1000U, 3U}) {
    CHECK(t.all(now) == "||keep|0");
    CHECK(t.deadline() == 1100);
  }
  t.read("\x81");
  CHECK(t.deadline() == 1100);
  CHECK(t.all(1099) == "||keep|0");
  CHECK(t.all(5) == "||keep|0");
  CHECK(t.tick(1100) == "failed idle_timeout");
}

TEST_CASE("T07 output of which nothing is taken ends in a drop", "[keepalive][T07]") {
  const ws::options opt;
  for (const ws::role role : both_roles)
    for (const std::uint64_t start : starts)
      for (const std::uint64_t now : {start + 30 * s, start + 30 * s + 1, start + year, never}) {
        timed t{role, opt};
        CHECK(t.tick(start) == "");
        CHECK(t.session.send(ws::opcode::text, "hello") == ws::error::none);
        CHECK(t.deadline() == start + 30 * s);
        CHECK(t.tick(start + 30 * s - 1) == "");
        CHECK(t.tick(now) == "failed write_timeout");
        CHECK(t.wants() == "drop");
        CHECK(t.session.code() == ws::close_code::abnormal);
        CHECK(!t.session.was_clean());
        CHECK(t.tick(never) == "");
        CHECK(t.deadline() == never);
      }
}

TEST_CASE("T07 each byte that is taken gives new time", "[keepalive][T07]") {
  ws::options opt;
  opt.write_timeout = 100;
  timed t{ws::role::server, opt};
  CHECK(t.tick(0) == "");
  CHECK(t.session.send(ws::opcode::text, "hello") == ws::error::none);
  for (std::uint64_t now = 99; now < 99 * 6; now += 99) {
    CHECK(t.tick(now) == "");
    t.session.consume(1);
    CHECK(t.deadline() == now + 100);
    CHECK(t.session.send(ws::opcode::text, "more") == ws::error::none);  // more to send is no progress
    CHECK(t.deadline() == now + 100);
  }
  (void)t.take();
  CHECK(t.deadline() == never);
  CHECK(t.tick(year) == "");
  CHECK(t.session.send(ws::opcode::text, "again") == ws::error::none);
  CHECK(t.deadline() == year + 100);
}

TEST_CASE("T07 covers the answers of a handshake too", "[keepalive][T07]") {
  ws::options opt;
  opt.handshake_timeout = opt.close_timeout = 0;
  timed t{ws::role::server, opt, false};
  CHECK(t.tick(0) == "");
  t.read("POST / HTTP/1.1\r\n\r\n");
  CHECK(t.wants() == "flush");
  CHECK(t.deadline() == 30 * s);
  CHECK(t.tick(30 * s - 1) == "");
  CHECK(t.tick(30 * s) == "");  // that it failed was told already
  CHECK(t.wants() == "drop");
}

TEST_CASE("every deadline can be turned off", "[keepalive][T01][T02][T03][T04][T05][T07]") {
  const ws::options opt = all_off();
  timed handshaking{ws::role::server, opt, false};
  timed open{ws::role::server, opt};
  timed closing{ws::role::client, opt};
  for (timed* t : {&handshaking, &open, &closing}) CHECK(t->tick(5) == "");
  CHECK(open.session.ping() == ws::error::none);
  CHECK(closing.session.close() == ws::error::none);
  for (timed* t : {&handshaking, &open, &closing}) {
    CHECK(t->deadline() == never);
    CHECK(t->tick(100 * year) == "");
    CHECK(t->tick(never) == "");
    CHECK(t->session.why() == ws::error::none);
  }
}

TEST_CASE("it does not matter whether a turn begins or ends with the tick", "[keepalive][T02][T04][T05][T07]") {
  // A long quiet time, then something happens, then the tick of that turn: its deadline begins there.
  ws::options opt;
  opt.idle_timeout = 1000 * s;
  const struct {
    const char* name;
    std::uint64_t timeout;
    void (*act)(timed&);
    const char* then;
  } rows[] = {
      {"T02 close", 5 * s, [](timed& t) { CHECK(t.session.close() == ws::error::none); (void)t.take(); }, "failed close_timeout"},
      {"T04 ping", 20 * s, [](timed& t) { CHECK(t.session.ping() == ws::error::none); (void)t.take(); }, "failed pong_timeout"},
      {"T07 send", 30 * s, [](timed& t) { CHECK(t.session.send(ws::opcode::text, "x") == ws::error::none); }, "failed write_timeout"},
      {"T05 read", 1000 * s, [](timed& t) { t.read("\x81"); }, "failed idle_timeout"},
  };
  for (const auto& row : rows)
    for (const bool tick_first : {false, true}) {
      INFO(row.name << (tick_first ? ", tick first" : ", tick last"));
      timed t{ws::role::server, opt};
      CHECK(t.tick(0) == "");
      CHECK(t.deadline() == 1000 * s);
      const std::uint64_t now = 999 * s;
      if (tick_first) CHECK(t.tick(now) == "");
      row.act(t);
      if (!tick_first) CHECK(t.tick(now) == "");
      if (std::string_view{row.name}.substr(0, 3) != "T05") t.read("\x81");
      CHECK(t.deadline() == now + row.timeout);
      CHECK(t.tick(now + row.timeout - 1) == "");
      CHECK(t.tick(now + row.timeout) == row.then);
    }
}

// ---- any history

namespace {

/// A session on which things happen at random times; ticked at each microsecond, or only when it asks for it and when
/// something happens. Says what came of it, and when.
std::string live(std::uint64_t seed, bool every_microsecond) {
  sim::generator random{seed};
  ws::options opt;
  const auto time = [&] { return random(3) == 0 ? 0 : 1 + random(30); };
  opt.handshake_timeout = time();
  opt.close_timeout = time();
  opt.ping_interval = time();
  opt.pong_timeout = time();
  opt.idle_timeout = time();
  opt.write_timeout = time();
  timed t{random(2) == 0 ? ws::role::server : ws::role::client, opt, random(4) != 0};
  if (!t.session.is_open() && t.self == ws::role::client) CHECK(t.session.connect({.host = "a"}) == ws::error::none);
  const bool tick_last = random(2) == 0;
  std::uint64_t next_action = 5;
  std::string log;
  const auto tick = [&](std::uint64_t now) {
    const std::string what = t.tick(now);
    if (!what.empty()) log += std::to_string(now) + " " + what + "\n";
  };
  std::string state;
  for (std::uint64_t now = 5; now < 400; ++now) {
    const bool acts = now == next_action;
    if (every_microsecond || t.deadline() <= now || (acts && !tick_last)) tick(now);
    if (acts) {
      next_action = now + 1 + random(40);
      switch (random(7)) {
        case 0: t.read(frame(other(t.self), 0x81, "hello")); break;
        case 1: (void)t.session.send(ws::opcode::text, "hello"); break;
        case 2: t.session.consume(random(2) == 0 ? 3 : 1000); break;
        case 3: (void)t.session.ping(); break;
        case 4:
          if (random(8) == 0) (void)t.session.close();
          break;
        case 5: t.session.consume(1000); break;
        default: break;
      }
      if (tick_last) tick(now);
    }
    if (every_microsecond) (void)t.deadline();
    const std::string fresh = wire::name(t.session.state()) + " " + t.wants() + " " + std::to_string(t.session.buffered_amount()) + "\n";
    if (fresh != state) log += std::to_string(now) + " " + fresh;
    state = fresh;
  }
  return log;
}

}  // namespace

TEST_CASE("who ticks only at next_deadline misses nothing", "[keepalive][T01][T02][T03][T04][T05][T07]") {
  bool good = true;
  for (std::uint64_t seed = 1; seed <= 3000 && good; ++seed) {
    const std::string every = live(seed, true);
    const std::string asked = live(seed, false);
    if (every == asked) continue;
    good = false;
    INFO("seed " << seed);
    CHECK(asked == every);
  }
  CHECK(good);
}

TEST_CASE("T03 with jitter each ping comes earlier by a random part of it, and never later", "[keepalive][T03]") {
  for (const auto& [interval, jitter] : {std::pair{30 * s, 10 * s}, {30 * s, 30 * s}, {30 * s, 90 * s}, {1 * us, 1 * us}, {20'000 * s, 10'000 * s}}) {
    INFO(interval << " less " << jitter);
    ws::options opt = all_off();
    opt.ping_interval = interval;
    opt.ping_jitter = jitter;
    std::uint64_t least = never, most = 0, sum = 0;
    ws::keepalive k;
    k.random = 1;  // the first ping's part is next to nothing
    ws::activity a{.open = true};
    std::uint64_t last = 77;
    CHECK(ws::tick(k, last, a, opt) == due::nothing);
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t at = ws::next_deadline(k, a, opt);
      CHECK(ws::tick(k, at - 1, a, opt) == due::nothing);
      CHECK(ws::next_deadline(k, a, opt) == at);  // the same until it has come
      CHECK(ws::tick(k, at, a, opt) == due::ping);
      k.sent_at = at;
      ++a.sent;
      least = std::min(least, at - last);
      most = std::max(most, at - last);
      sum += at - last;
      last = at;
    }
    CHECK(most <= interval);
    CHECK(least >= 1);
    if (jitter >= interval) continue;
    CHECK(least >= interval - jitter);
    // All of the range is used, evenly.
    CHECK(least < interval - jitter + jitter / 50);
    CHECK(most > interval - jitter / 50);
    CHECK(sum / 1000 > interval - jitter / 2 - jitter / 20);
    CHECK(sum / 1000 < interval - jitter / 2 + jitter / 20);
  }
}

TEST_CASE("T03 no random number, no jitter; and none without the option", "[keepalive][T03]") {
  ws::options opt = all_off();
  opt.ping_interval = 30 * s;
  opt.ping_jitter = 10 * s;
  for (const bool seeded : {false, true}) {
    ws::keepalive k;
    if (seeded) k.random = 0x80000000U;
    if (seeded) opt.ping_jitter = 0;
    const ws::activity a{.open = true};
    for (std::uint64_t now = 0; now < 10 * 30 * s; now += 30 * s) {
      k.sent_at = now;
      CHECK(ws::tick(k, now, a, opt) == due::nothing);
      CHECK(ws::next_deadline(k, a, opt) == now + 30 * s);
      CHECK(ws::tick(k, now + 30 * s, a, opt) == due::ping);
    }
  }
}

TEST_CASE("T03 the random part of an interval, to the microsecond", "[keepalive][T03]") {
  constexpr auto interval = [](std::uint64_t whole, std::uint64_t jitter, std::uint32_t random) {
    ws::options opt;
    opt.ping_interval = whole;
    opt.ping_jitter = jitter;
    ws::keepalive k;
    k.random = random;
    return ws::detail::ping_interval(k, opt);
  };
  constexpr std::uint32_t highest = 0xFFFFFFFFU;
  STATIC_REQUIRE(interval(100, 50, highest) == 51);
  STATIC_REQUIRE(interval(100, 99, highest) == 2);
  STATIC_REQUIRE(interval(100, 100, highest) == 2);  // a microsecond of it is left
  STATIC_REQUIRE(interval(100, 1000, highest) == 2);
  STATIC_REQUIRE(interval(std::uint64_t{3} << 32, std::uint64_t{2} << 32, 5) == (std::uint64_t{3} << 32) - 10);
  // George Marsaglia's generator, with 13, 17 and 5.
  STATIC_REQUIRE(ws::detail::next_random(1) == 270369);
  STATIC_REQUIRE(ws::detail::next_random(270369) == 67634689);
  STATIC_REQUIRE(ws::detail::next_random(0) == 0);
}

TEST_CASE("T03 a thousand sessions that open at once do not ping at once", "[keepalive][T03]") {
  ws::options opt;
  opt.ping_interval = 30 * s;
  opt.ping_jitter = 10 * s;
  std::uint64_t pings_in[31] = {};
  sim::generator random;
  for (int i = 0; i < 1000; ++i) {
    timed t{ws::role::server, opt};
    t.session.set_jitter(static_cast<std::uint32_t>(1 + 2 * random(0x7FFFFFFFU)));
    CHECK(t.tick(0) == "");
    ++pings_in[t.deadline() / s];
  }
  for (std::uint64_t at = 0; at <= 30; ++at) CHECK((at < 20 ? pings_in[at] == 0 : at == 30 || (pings_in[at] > 60 && pings_in[at] < 140)));
}

TEST_CASE("round trips are smoothed as RFC 6298 says", "[keepalive]") {
  constexpr auto after = [](std::initializer_list<std::uint32_t> times) {
    ws::round_trip_statistics stats;
    for (const std::uint32_t time : times) ws::add_round_trip(stats, time);
    return stats;
  };
  constexpr ws::round_trip_statistics none = after({});
  STATIC_REQUIRE((none.last == 0 && none.least == 0xFFFFFFFFU && none.smoothed == 0 && none.deviation == 0 && none.count == 0));
  constexpr ws::round_trip_statistics one = after({800}), two = after({800, 1600}), three = after({800, 1600, 100});
  STATIC_REQUIRE((one.last == 800 && one.least == 800 && one.smoothed == 800 && one.deviation == 400 && one.count == 1));
  // 3/4 * 400 + 1/4 * |800 - 1600|; 7/8 * 800 + 1/8 * 1600
  STATIC_REQUIRE((two.last == 1600 && two.least == 800 && two.smoothed == 900 && two.deviation == 500 && two.count == 2));
  STATIC_REQUIRE((three.last == 100 && three.least == 100 && three.smoothed == 800 && three.deviation == 575));
  ws::round_trip_statistics many{.count = 0xFFFFFFFFU};
  ws::add_round_trip(many, 1);
  CHECK((many.count == 0xFFFFFFFFU && many.last == 1));
  ws::round_trip_statistics same;
  for (int i = 0; i < 200; ++i) ws::add_round_trip(same, 0xFFFFFFFFU);
  CHECK((same.smoothed == 0xFFFFFFFFU && same.deviation < 4 && same.least == 0xFFFFFFFFU));
  for (int i = 0; i < 200; ++i) ws::add_round_trip(same, 0);
  CHECK((same.smoothed < 8 && same.least == 0 && same.last == 0 && same.count == 400));
  same.count = 0xFFFFFFFEU;  // counted to the end, and no further
  for (int i = 0; i < 3; ++i) ws::add_round_trip(same, 1);
  CHECK(same.count == 0xFFFFFFFFU);
  // Times that do not fit are as long as can be said.
  STATIC_REQUIRE(ws::detail::to_32_bits(0xFFFFFFFEU) == 0xFFFFFFFEU);
  STATIC_REQUIRE(ws::detail::to_32_bits(0xFFFFFFFFU) == 0xFFFFFFFFU);
  STATIC_REQUIRE(ws::detail::to_32_bits(std::uint64_t{1} << 32) == 0xFFFFFFFFU);
}

TEST_CASE("a round trip is counted from the first tick at the earliest, and is nothing between two ticks", "[keepalive]") {
  const ws::options opt;
  const std::string_view pong{"\0\0\0\1", 4};
  for (const std::uint64_t first : {std::uint64_t{0}, 1 * us, 77 * s, 40 * year}) {
    timed early{ws::role::server, opt};
    CHECK(early.session.ping() == ws::error::none);
    CHECK(early.tick(first) == "");
    CHECK(early.tick(first + 250) == "");
    early.read(frame(ws::role::client, 0x8A, pong));
    CHECK(early.session.round_trip_time() == 250);

    timed at_once{ws::role::server, opt};
    CHECK(at_once.tick(first) == "");
    CHECK(at_once.session.ping() == ws::error::none);
    at_once.read(frame(ws::role::client, 0x8A, pong));
    CHECK(at_once.tick(first + 250) == "");
    CHECK(at_once.session.round_trip_time() == 0);
  }
}

TEST_CASE("a round trip of more than 71 minutes counts as the longest there is", "[keepalive]") {
  ws::options opt;
  opt.pong_timeout = 0;
  for (const std::uint64_t time : {std::uint64_t{0xFFFFFFFE}, std::uint64_t{0xFFFFFFFF}, std::uint64_t{0x100000000}}) {
    sim::side peer{ws::role::server, opt};
    CHECK(!peer.session.tick(1));
    CHECK(peer.session.ping() == ws::error::none);
    CHECK(!peer.session.tick(1));
    CHECK(peer.sent() == "-> ping \"\\x00\\x00\\x00\\x01\"\n");
    CHECK(!peer.session.tick(1 + time));
    peer.read(frame(ws::role::client, 0x8A, std::string{"\0\0\0\1", 4}));
    CHECK(peer.session.round_trip_time() == (time < 0xFFFFFFFF ? time : 0xFFFFFFFF));
  }
}

TEST_CASE("a session's round trips are taken once each; a pong nobody asked for is none", "[keepalive][F20]") {
  const ws::options opt;
  timed t{ws::role::server, opt};
  ws::round_trip_statistics stats;
  CHECK(t.tick(100) == "");
  CHECK(!t.session.take_round_trip(stats));
  const std::string_view pongs[] = {{"\0\0\0\1", 4}, {"\0\0\0\2", 4}};
  for (std::uint32_t i = 0; i < 2; ++i) {
    CHECK(t.session.ping() == ws::error::none);
    t.read(frame(ws::role::client, 0x8A, "unasked"));
    CHECK(!t.session.take_round_trip(stats));
    CHECK(t.tick(1000 * (i + 1)) == "");
    t.read(frame(ws::role::client, 0x8A, pongs[i]));
    CHECK(t.session.take_round_trip(stats));
    CHECK(!t.session.take_round_trip(stats));
    CHECK(stats.count == i + 1);
  }
  CHECK((stats.last == 1000 && stats.least == 900 && stats.smoothed == 912));
}
