#include <wscodec/session.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/link.hpp"
#include "support/wire.hpp"

namespace ws = wscodec;
using sim::side;
using wire::both_roles;
using wire::frame;
using wire::other;
using namespace std::string_view_literals;

namespace {

constexpr std::string_view request =
    "GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, super\r\n\r\n";

const ws::options& defaults() {
  static const ws::options opt;
  return opt;
}

/// A message in frames of the given sizes.
std::string frames_of(ws::role sender, unsigned opcode, std::string_view payload, const std::vector<std::size_t>& sizes) {
  std::string out;
  for (std::size_t i = 0, at = 0; i < sizes.size(); at += sizes[i], ++i)
    out += frame(sender, (i == 0 ? opcode : 0) | (i + 1 == sizes.size() ? 0x80U : 0), payload.substr(at, sizes[i]));
  return out;
}

}  // namespace

TEST_CASE("a session is small, moves, and cannot be copied", "[session]") {
  STATIC_REQUIRE(sizeof(ws::session) <= 320);
  STATIC_REQUIRE(!std::is_copy_constructible_v<ws::session>);
  STATIC_REQUIRE(!std::is_copy_assignable_v<ws::session>);
  STATIC_REQUIRE(std::is_nothrow_move_constructible_v<ws::session>);
  STATIC_REQUIRE(std::is_nothrow_move_assignable_v<ws::session>);
}

// ---- the handshake

TEST_CASE("a server session: request, accept, messages", "[session][H09][H13][H20]") {
  const std::string_view ours[] = {"super"};
  ws::options opt;
  opt.subprotocols = ours;
  const std::string input = std::string{request} + frame(ws::role::client, 0x81, "early");
  for (std::size_t cut = 0; cut <= input.size(); ++cut) {
    side s{ws::role::server, opt, false};
    s.accepts = false;
    s.on_event = [&](const ws::event& ev) {
      if (ev.type != ws::event_type::request) return;
      CHECK(ev.request().target() == "/chat");
      CHECK(s.session.accept({.subprotocol = "other"}) == ws::error::subprotocol_not_offered);
      CHECK(s.session.buffered_amount() == 0);
      CHECK(s.session.accept({.subprotocol = "super"}) == ws::error::none);
      CHECK(s.session.accept() == ws::error::no_request);
    };
    s.read(std::string_view{input}.substr(0, cut));
    s.read(std::string_view{input}.substr(cut));
    CHECK(s.events() == "request\ntext \"early\"\n");
    const std::string answer = s.take();
    CHECK(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
    CHECK(answer.find("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") != answer.npos);
    CHECK(answer.find("\r\nSec-WebSocket-Protocol: super\r\n") != answer.npos);
    CHECK(s.session.subprotocol() == "super");
    CHECK(s.session.is_open());
    CHECK(s.session.wants() == ws::transport::keep);
  }
}

TEST_CASE("H20 bytes after an undecided request wait for the decision", "[session][H20]") {
  side s{ws::role::server, defaults(), false};
  std::string input = std::string{request} + frame(ws::role::client, 0x81, "early");
  std::span<char> rest{input};
  CHECK(s.session.next(rest).type == ws::event_type::request);
  const std::size_t waiting = rest.size();
  CHECK(waiting == frame(ws::role::client, 0x81, "early").size());
  for (int i = 0; i < 3; ++i) CHECK(!s.session.next(rest));
  CHECK(rest.size() == waiting);
  CHECK(s.session.send(ws::opcode::text, "too early") == ws::error::not_open);
  CHECK(s.session.accept() == ws::error::none);
  const ws::event ev = s.session.next(rest);
  CHECK(ev.type == ws::event_type::message);
  CHECK(ev.payload == "early");
}

TEST_CASE("H20 what was committed waits too", "[session][H20]") {
  side s{ws::role::server, defaults(), false};
  const std::string input = std::string{request} + frame(ws::role::client, 0x81, "early");
  const std::span<char> memory = s.session.prepare(input.size());
  REQUIRE(memory.size() >= input.size());
  std::memcpy(memory.data(), input.data(), input.size());
  s.session.commit(input.size());
  CHECK(s.session.next().type == ws::event_type::request);
  CHECK(!s.session.next());
  CHECK(s.session.accept() == ws::error::none);
  CHECK(s.session.next().payload == "early");
}

TEST_CASE("a client session: connect, open, messages", "[session][C09][C12]") {
  side client{ws::role::client, defaults(), false}, server{ws::role::server, defaults(), false};
  CHECK(!client.session.is_open());
  CHECK(client.session.send(ws::opcode::text, "x") == ws::error::not_open);
  CHECK(client.session.connect({.host = "exa mple"}) == ws::error::request_refused);
  CHECK(client.session.buffered_amount() == 0);
  CHECK(client.session.connect({.host = "example.org", .target = "/chat"}) == ws::error::none);
  CHECK(client.session.connect({.host = "example.org"}) == ws::error::no_request);
  server.read(client.take());
  CHECK(server.session.send(ws::opcode::text, "welcome") == ws::error::none);
  client.read(server.take());
  CHECK(client.events() == "open\ntext \"welcome\"\n");
  CHECK(client.session.is_open());
}

TEST_CASE("F21 a client without entropy asks for nothing and sends nothing", "[session][F21]") {
  for (const bool failing : {true, false}) {
    wire::test_entropy entropy;
    entropy.fails = true;
    ws::masking_keys keys{&wire::test_entropy::fill, &entropy};
    ws::session asking{ws::role::client, defaults(), failing ? &keys : nullptr};
    CHECK(asking.connect({.host = "a"}) == ws::error::no_entropy);
    ws::session open{ws::role::client, sim::nothing_agreed, defaults(), failing ? &keys : nullptr};
    CHECK(open.send(ws::opcode::text, "x") == ws::error::no_entropy);
    CHECK(open.send_borrowed(ws::opcode::text, "x", nullptr) == ws::error::no_entropy);
    CHECK(open.ping() == ws::error::no_entropy);
    CHECK(open.ping("x") == ws::error::no_entropy);
    CHECK(open.pong("x") == ws::error::no_entropy);
    CHECK(open.close() == ws::error::no_entropy);
    CHECK((asking.buffered_amount() == 0 && open.buffered_amount() == 0));
    CHECK(open.is_open());
    void* token = nullptr;
    CHECK(!open.returned(token));
  }
}

// ---- whole messages

TEST_CASE("a message that arrived whole is given in place, one that did not is joined", "[session][F13]") {
  for (const ws::role self : both_roles)
    for (const std::size_t size : {1U, 5U, 125U, 126U, 127U, 200U, 1000U, 70'000U}) {
      const std::string payload = sim::letters(size);
      const std::string bytes = frame(other(self), 0x81, payload);
      const std::size_t head = bytes.size() - size;
      for (std::size_t cut = 0; cut <= bytes.size(); cut += size < 200 ? 1 : size < 10'000 || cut < 20 ? 37 : bytes.size() / 8) {
        INFO(wire::name(self) << ", " << size << " bytes, cut at " << cut);
        side s{self, defaults()};
        std::string memory = bytes;
        std::span<char> first{memory.data(), cut}, second{memory.data() + cut, bytes.size() - cut};
        ws::event ev = s.session.next(first);
        CHECK(first.empty());
        if (!ev) ev = s.session.next(second);
        REQUIRE(ev.type == ws::event_type::message);
        CHECK(ev.opcode == ws::opcode::text);
        CHECK(ev.payload == payload);
        // Whole: its payload came in one read, whatever came of the head.
        const bool in_place = ev.payload.data() == memory.data() + head;
        if (cut == 0 || cut == bytes.size()) CHECK(in_place);
        if (cut > head && cut < bytes.size()) CHECK(!in_place);
        CHECK(!s.session.next(second));
      }
    }
}

TEST_CASE("F10 fragments are joined, in any number, with control frames between", "[session][F10][F16]") {
  for (const ws::role self : both_roles) {
    const std::string payload = "fragments of \xE2\x82\xAC and \xF0\x9F\x98\x80, cut anywhere";
    for (std::size_t a = 0; a <= payload.size(); ++a)
      for (std::size_t b = a; b <= payload.size(); b += 7) {
        side s{self, defaults()};
        std::string input = frame(other(self), 0x01, payload.substr(0, a)) + frame(other(self), 0x89, "p") +
                            frame(other(self), 0x00, payload.substr(a, b - a)) + frame(other(self), 0x8A, "q") +
                            frame(other(self), 0x80, payload.substr(b)) + frame(other(self), 0x82, "next");
        s.read(input);
        CHECK(s.events() == "ping \"p\"\npong \"q\"\ntext " + wire::show(payload) + "\nbinary \"next\"\n");
        CHECK(s.sent() == "-> pong \"p\"\n");
      }
  }
}

TEST_CASE("F14 empty messages are delivered (session)", "[session][F14]") {
  for (const ws::role self : both_roles) {
    const ws::role peer = other(self);
    side s{self, defaults()};
    s.read(frame(peer, 0x81, "") + frame(peer, 0x82, "") + frame(peer, 0x01, "") + frame(peer, 0x00, "") +
           frame(peer, 0x80, "") + frame(peer, 0x81, "x"));
    CHECK(s.events() == "text \"\"\nbinary \"\"\ntext \"\"\ntext \"x\"\n");
    CHECK(s.session.send(ws::opcode::text, "") == ws::error::none);
    CHECK(s.session.send(ws::opcode::binary, "", false) == ws::error::none);
    CHECK(s.session.send(ws::opcode::continuation, "") == ws::error::none);
    CHECK(s.session.send_borrowed(ws::opcode::binary, "", nullptr) == ws::error::none);
    CHECK(s.sent() == "-> text \"\"\n-> binary \"\" ...\n-> ... \"\"\n-> binary \"\"\n");
  }
}

TEST_CASE("K10 what is discarded after our Close takes no memory, and has none to overflow", "[session][K10]") {
  ws::options opt;
  opt.discard_after_close = true;
  struct {
    std::size_t pieces[2];  // of the message that is open at our Close: they fill its memory to the last byte
    std::size_t next;       // a message after it, which comes cut
  } const rows[] = {{{1000, 1000}, 300}, {{1000, 1000}, 5000}, {{100, 156}, 200}, {{100, 156}, 20}};
  for (const auto& row : rows)
    for (const ws::role self : both_roles) {
      counting_allocator memory;
      {
        side s{self, opt, true, memory.hook()};
        const ws::role peer = other(self);
        s.read(frame(peer, 0x02, sim::pattern(row.pieces[0])));
        s.read(frame(peer, 0x00, sim::pattern(row.pieces[1])));
        CHECK(s.session.close() == ws::error::none);
        const std::size_t held = memory.bytes;
        s.read(frame(peer, 0x80, ""));
        const std::string cut = frame(peer, 0x82, sim::pattern(row.next));
        for (std::size_t at = 0; at < cut.size(); at += 7) s.read(cut.substr(at, 7));
        s.read(frame(peer, 0x01, "text that is not \xFF UTF-8"));
        CHECK(memory.bytes <= held + 256);  // scratch for a control frame, at most
        CHECK(s.session.why() == ws::error::text_not_utf8);
      }
      CHECK(memory.idle());
    }
}

TEST_CASE("a payload stays as it is through send, tick, consume and take_output", "[session]") {
  for (const bool whole : {true, false}) {
    side s{ws::role::server, defaults()};
    std::string bytes = frame(ws::role::client, 0x82, sim::pattern(5000));
    std::span<char> first{bytes.data(), whole ? 0U : 100U}, rest{bytes.data() + first.size(), bytes.size() - first.size()};
    CHECK(!s.session.next(first));
    const ws::event ev = s.session.next(rest);
    REQUIRE(ev.type == ws::event_type::message);
    for (int i = 0; i < 20; ++i) {
      CHECK(s.session.send(ev.opcode, ev.payload) == ws::error::none);
      CHECK(s.session.ping("ping") == ws::error::none);
      CHECK(!s.session.tick(static_cast<std::uint64_t>(i) * 1000));
      s.session.consume(700);
      s.session.free_buffer(s.session.take_output());
    }
    CHECK(s.session.close() == ws::error::none);
    CHECK(ev.payload == sim::pattern(5000));
    CHECK(s.session.next_deadline() < 10'000'000'000);
    CHECK(s.session.tick(10'000'000'000).type == ws::event_type::failed);
    CHECK(ev.payload == sim::pattern(5000));
  }
}

// ---- prepare and commit

TEST_CASE("prepare and commit: every size, by chunks of any size", "[session][F13]") {
  constexpr std::size_t kib = 1024, mib = 1024 * kib;
  const std::size_t sizes[] = {0,        1,          125,          126,          4095,    4096,    4097,   8191, 65535,
                               65536,    65537,      65536 + 4096, mib - 1,      mib,     mib + 1, 3 * mib + 12345};
  const std::size_t chunks[] = {7, 1000, 4096, 4099, 65537, 2 * mib};
  for (const ws::role self : both_roles)
    for (const std::size_t size : sizes)
      for (const std::size_t chunk : chunks) {
        if (size / chunk > 10'000) continue;  // what is slow and the same
        INFO(wire::name(self) << ": " << size << " bytes by " << chunk);
        const bool text = size % 2 == 1;
        const std::string payload = text ? sim::letters(size) : sim::pattern(size);
        std::string input = frame(other(self), text ? 0x81 : 0x82, payload) + frame(other(self), 0x81, "after");
        side s{self, defaults()};
        std::vector<std::string> got;
        std::string_view rest = input;
        while (!rest.empty()) {
          const std::span<char> memory = s.session.prepare(chunk);
          REQUIRE(!memory.empty());
          const std::size_t n = std::min({memory.size(), chunk, rest.size()});
          std::memcpy(memory.data(), rest.data(), n);
          rest.remove_prefix(n);
          s.session.commit(n);
          while (const ws::event ev = s.session.next()) {
            REQUIRE(ev.type == ws::event_type::message);
            got.emplace_back(ev.payload);
          }
        }
        CHECK(s.session.offset() == input.size());
        REQUIRE(got.size() == 2);
        CHECK((got[0] == payload));
        CHECK(got[1] == "after");
      }
}

TEST_CASE("prepare and commit: fragments, pings between, text and binary, at every chunk size", "[session][F10][F13]") {
  for (const ws::role self : both_roles)
    for (const unsigned opcode : {1U, 2U}) {
      const std::string payload = sim::letters(30'000);
      std::string input;
      const std::vector<std::size_t> sizes = {0, 10, 5000, 4096, 0, 4095, 16799, 0};
      std::size_t at = 0;
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        input += frame(other(self), (i == 0 ? opcode : 0U) | (i + 1 == sizes.size() ? 0x80U : 0U), payload.substr(at, sizes[i]));
        if (i + 1 != sizes.size()) input += frame(other(self), 0x8A, "between");
        at += sizes[i];
      }
      REQUIRE(at == payload.size());
      std::string expected;
      for (int i = 0; i < 7; ++i) expected += "pong \"between\"\n";
      expected += (opcode == 1 ? "text " : "binary ") + wire::show(payload) + "\n";
      for (std::size_t chunk = 1; chunk < 9000; chunk = chunk * 3 / 2 + 1) {
        INFO("chunks of " << chunk);
        side s{self, defaults()};
        s.read_prepared(input, chunk);
        CHECK((s.events() == expected));
      }
    }
}

TEST_CASE("prepare gives at least one byte, and commit of less or nothing is fine", "[session]") {
  side s{ws::role::server, defaults()};
  CHECK(!s.session.prepare(0).empty());
  s.session.commit(0);
  CHECK(!s.session.next());
  CHECK(!s.session.prepare(1).empty());
  CHECK(!s.session.prepare(100'000).empty());  // asking again before a commit is no harm
  const std::string bytes = frame(ws::role::client, 0x82, sim::pattern(10'000));
  std::string_view rest = bytes;
  for (std::size_t turn = 0; !rest.empty(); ++turn) {
    const std::span<char> memory = s.session.prepare(turn % 3 == 0 ? 0 : 999);
    REQUIRE(!memory.empty());
    const std::size_t n = turn % 5 == 4 ? 0 : std::min({memory.size(), rest.size(), turn + 1});
    if (n != 0) std::memcpy(memory.data(), rest.data(), n);
    s.session.commit(n);
    rest.remove_prefix(n);
    const ws::event ev = s.session.next();
    CHECK((ev.type == ws::event_type::message) == rest.empty());
    if (ev) CHECK(ev.payload == sim::pattern(10'000));
  }
}

TEST_CASE("prepare gives about as much as it is asked for, 16 KiB unless told otherwise", "[session]") {
  for (const std::size_t size : {1'000U, 16'384U, 100'000U}) {
    side s{ws::role::server, defaults()};
    const std::size_t got = (size == 16'384 ? s.session.prepare() : s.session.prepare(size)).size();
    CHECK(got >= size);
    CHECK(got <= 2 * size);
  }
}

TEST_CASE("without memory prepare gives nothing, and next says so; asking again may help", "[session]") {
  for (const bool commits : {false, true})
    for (const bool again : {false, true}) {
      counting_allocator memory;
      memory.fail_at = 0;
      const ws::options opt;
      side s{ws::role::server, opt, true, memory.hook()};
      CHECK(s.session.prepare().empty());
      if (commits) s.session.commit(0);
      if (again) CHECK(!s.session.prepare().empty());
      const ws::event ev = s.session.next();
      CHECK(ev.type == (again ? ws::event_type::none : ws::event_type::failed));
      CHECK(s.session.why() == (again ? ws::error::none : ws::error::out_of_memory));
      CHECK(!s.session.next());
      CHECK(s.session.is_open() == again);
      if (!again) CHECK(s.sent() == "-> close 1011 \"\"\n");
    }
}

TEST_CASE("F23 prepare for more than any memory gives what room there is, or none", "[session][F23]") {
  side s{ws::role::server, defaults()};
  const std::size_t all = s.session.prepare(100).size();
  CHECK(s.session.prepare(~std::size_t{0}).size() == all);
  side none{ws::role::server, defaults()};
  CHECK(none.session.prepare(~std::size_t{0}).empty());
  CHECK(none.session.next().type == ws::event_type::failed);
  CHECK(none.session.why() == ws::error::out_of_memory);
  // What grows is doubled, up to half of what can be addressed.
  constexpr std::size_t half = ~std::size_t{0} / 2;
  CHECK(ws::detail::doubled(1000) == 2000);
  CHECK(ws::detail::doubled(half / 2 - 1) == half - 3);
  CHECK(ws::detail::doubled(half / 2) == half);
  CHECK(ws::detail::doubled(half) == half);
}

TEST_CASE("prepare stays with the buffer that holds bytes which were not looked at", "[session]") {
  counting_allocator memory;
  side s{ws::role::server, defaults(), true, memory.hook()};
  const std::string bytes = frame(ws::role::client, 0x82, sim::pattern(100'000));
  std::string_view rest = bytes;
  const auto give = [&](std::span<char> room) {
    REQUIRE_FALSE(room.empty());
    const std::size_t n = std::min(room.size(), rest.size());
    std::memcpy(room.data(), rest.data(), n);
    rest.remove_prefix(n);
    s.session.commit(n);
  };
  s.read(rest.substr(0, 20'000));
  rest.remove_prefix(20'000);
  give(s.session.prepare());  // fills the message
  memory.fail_at = memory.calls;
  give(s.session.prepare(1000));  // the message cannot grow
  CHECK(memory.refused == 1);
  give(s.session.prepare(1000));  // now it could, but the bytes before these wait elsewhere
  while (const ws::event ev = s.session.next()) s.happened(ev);
  s.read(rest);
  CHECK((s.events() == "binary " + wire::show(sim::pattern(100'000)) + "\n"));
}

TEST_CASE("commit of more than prepare gave takes what it gave, at the end of a fragment too", "[session]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    const std::string first = frame(other(self), 0x02, sim::pattern(20'000));
    s.read(std::string_view{first}.substr(0, 12'000));
    for (std::string_view rest = std::string_view{first}.substr(12'000); !rest.empty();) {
      const std::span<char> room = s.session.prepare();
      const std::size_t n = std::min(room.size(), rest.size());
      std::memcpy(room.data(), rest.data(), n);
      rest.remove_prefix(n);
      s.session.commit(rest.empty() ? ~std::size_t{0} : n);
      CHECK(!s.session.next());
    }
    s.read(frame(other(self), 0x80, "end"));
    CHECK((s.events() == "binary " + wire::show(sim::pattern(20'000) + "end") + "\n"));
  }
}

TEST_CASE("commit of more than prepare gave takes what it gave, in the middle of a frame too", "[session]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    const std::string bytes = frame(other(self), 0x82, sim::pattern(1'000'000));
    s.read(std::string_view{bytes}.substr(0, 10'000));
    const std::span<char> room = s.session.prepare();
    REQUIRE(room.size() < 900'000);
    std::memcpy(room.data(), bytes.data() + 10'000, room.size());
    s.session.commit(room.size() + 500);
    CHECK(!s.session.next());
    CHECK(s.session.offset() == 10'000 + room.size());
    s.read(std::string_view{bytes}.substr(10'000 + room.size()));
    CHECK((s.events() == "binary " + wire::show(sim::pattern(1'000'000)) + "\n"));
  }
}

TEST_CASE("commit may leave any number of a frame's bytes to come", "[session][F13]") {
  for (const ws::role self : both_roles)
    for (const unsigned first : {0x82U, 0x02U})
      for (std::size_t left = 0; left <= 5; ++left) {
        side s{self, defaults()};
        const std::string end = first == 0x02 ? frame(other(self), 0x80, "end") : "";
        const std::string bytes = frame(other(self), first, sim::pattern(20'000)) + end;
        s.read(std::string_view{bytes}.substr(0, 100));
        s.read_prepared(std::string_view{bytes}.substr(100, bytes.size() - 100 - end.size() - left), 20'000);
        s.read(std::string_view{bytes}.substr(bytes.size() - end.size() - left));
        CHECK((s.events() == "binary " + wire::show(sim::pattern(20'000) + (first == 0x02 ? "end" : "")) + "\n"));
      }
}

TEST_CASE("commit of more than prepare gave takes what it gave, behind bytes that wait too", "[session]") {
  side s{ws::role::server, defaults(), false};
  s.accepts = false;
  s.read_prepared(request);
  std::string frames;
  while (frames.size() < 100'000) frames += frame(ws::role::client, 0x82, "");
  std::size_t given = 0;
  for (const std::size_t n : {600U, 100U}) {
    const std::span<char> room = s.session.prepare(n);
    REQUIRE((room.size() >= n && given + room.size() <= frames.size()));
    std::memcpy(room.data(), frames.data() + given, room.size());
    const std::size_t taken = n == 600 ? n : room.size();
    s.session.commit(n == 600 ? n : room.size() + 300);
    given += taken;
  }
  CHECK(s.session.accept() == ws::error::none);
  std::size_t messages = 0;
  for (ws::event ev = s.session.next(); ev; ev = s.session.next()) messages += ev.type == ws::event_type::message ? 1U : 0U;
  CHECK(messages == given / 6);
  CHECK(s.session.why() == ws::error::none);
  CHECK(s.session.offset() == request.size() + given);
}

TEST_CASE("a message that was committed to its last byte is given by next with other bytes, which wait", "[session]") {
  side s{ws::role::server, defaults()};
  const std::string bytes = frame(ws::role::client, 0x82, sim::pattern(20'000));
  s.read(std::string_view{bytes}.substr(0, 12'000));
  for (std::string_view rest = std::string_view{bytes}.substr(12'000); !rest.empty();) {
    const std::span<char> room = s.session.prepare();
    const std::size_t n = std::min(room.size(), rest.size());
    std::memcpy(room.data(), rest.data(), n);
    rest.remove_prefix(n);
    s.session.commit(n);
    if (!rest.empty()) CHECK(!s.session.next());
  }
  s.read(frame(ws::role::client, 0x82, "another"));
  CHECK((s.events() == "binary " + wire::show(sim::pattern(20'000)) + "\nbinary \"another\"\n"));
}

TEST_CASE("what fails between prepare and commit stays failed", "[session][K14][K15]") {
  for (const bool is_large : {false, true}) {
    side s{ws::role::server, defaults()};
    const std::string bytes = frame(ws::role::client, 0x82, sim::pattern(100'000));
    s.read_prepared(std::string_view{bytes}.substr(0, is_large ? 20'000 : 1));
    const std::span<char> memory = s.session.prepare(5000);
    REQUIRE(memory.size() >= 5000);
    std::memset(memory.data(), 'x', 5000);
    CHECK(s.session.fail(ws::error::out_of_memory).type == ws::event_type::failed);
    s.session.commit(5000);
    CHECK(!s.session.next());
    CHECK(s.sent() == "-> close 1011 \"\"\n");
    CHECK(s.session.wants() == ws::transport::half_close);
    CHECK(s.session.why() == ws::error::out_of_memory);
  }
}

// ---- limits

TEST_CASE("F18 a message of exactly the limit is delivered, one byte more fails with 1009 at the header",
          "[session][F18]") {
  for (const ws::role self : both_roles)
    for (const std::size_t limit : {0U, 1U, 124U, 125U, 126U, 127U, 4096U, 65535U, 65536U, 70'000U})
      for (const bool prepared : {false, true}) {
        INFO("limit " << limit);
        ws::options opt;
        opt.max_message = limit;
        const auto read = [&](side& s, std::string_view bytes) { prepared ? s.read_prepared(bytes, 5000) : s.read(bytes); };

        side exact{self, opt};
        const std::string payload = sim::pattern(limit);
        read(exact, frame(other(self), 0x82, payload));
        read(exact, frames_of(other(self), 2, payload, {limit / 2, 0, limit - limit / 2}));
        const std::string line = "binary " + wire::show(payload) + "\n";
        CHECK((exact.events() == line + line));

        side more{self, opt};
        read(more, wire::head(other(self), 0x82, std::uint64_t{limit + 1}));  // the header alone
        CHECK(more.session.why() == ws::error::message_too_big);
        CHECK(more.sent() == "-> close 1009 \"\"\n");

        side sum{self, opt};
        read(sum, frame(other(self), 0x02, payload) + wire::head(other(self), 0x80, std::uint64_t{1}));
        CHECK(sum.session.why() == ws::error::message_too_big);
      }
}

TEST_CASE("F12 a message of exactly the most fragments is delivered, one more fails with 1008", "[session][F12]") {
  for (const ws::role self : both_roles)
    for (const std::uint32_t most : {1U, 2U, 3U, 65536U}) {
      INFO(most << " fragments");
      ws::options opt;
      opt.max_fragments = most;
      const std::string middle = frame(other(self), 0x00, "");
      std::string begin;
      for (std::uint32_t i = 0; i + 1 < most; ++i) begin += i == 0 ? frame(other(self), 0x02, "") : middle;
      side exact{self, opt};
      exact.read(begin + frame(other(self), most == 1 ? 0x82 : 0x80, "x"));
      CHECK(exact.events() == "binary \"x\"\n");
      side more{self, opt};
      more.read(begin + frame(other(self), most == 1 ? 0x02 : 0x00, "x") + frame(other(self), 0x80, ""));
      CHECK(more.session.why() == ws::error::too_many_fragments);
      CHECK(more.sent() == "-> close 1008 \"\"\n");
    }
}

// ---- memory

TEST_CASE("F04 a declared length is never the size of an allocation (session)", "[session][F04][F03]") {
  for (const ws::role self : both_roles)
    for (const std::uint64_t declared : {std::uint64_t{1} << 20, std::uint64_t{1} << 40, (std::uint64_t{1} << 62) - 1, (std::uint64_t{1} << 63) - 1})
      for (const unsigned first : {0x81U, 0x82U, 0x01U, 0x02U})
        for (const bool prepared : {false, true}) {
          counting_allocator memory;
          ws::options opt;
          opt.max_message = ~std::uint64_t{0};
          {
            side s{self, opt, true, memory.hook()};
            const std::string bytes = wire::head(other(self), first, declared) + 
                                      (self == ws::role::server ? wire::masked(std::string(5000, 'a'), wire::rfc_key) : std::string(5000, 'a'));
            prepared ? s.read_prepared(bytes, 1000) : s.read(bytes);
            // What the address space cannot hold is over every limit.
            CHECK(s.events() == (declared > ~std::size_t{0} / 2 ? "failed message_too_big @0\n" : ""));
            CHECK(memory.bytes <= 2 * bytes.size() + 2 * 1024 + 256);
            CHECK(memory.largest <= 2 * bytes.size());
          }
          CHECK(memory.idle());
        }
}

TEST_CASE("F04 memory is at most twice what was received", "[session][F04]") {
  for (const std::size_t total : {300U, 5000U, 70'000U, 300'000U}) {
    for (const std::size_t part : {1U, 100U, 1500U, 65'536U}) {
      if (total / part > 5000) continue;
      counting_allocator memory;
      side s{ws::role::server, defaults(), true, memory.hook()};
      const std::string payload = sim::pattern(total);
      // Fragments, so that no header tells the sum.
      std::size_t received = 0;
      for (std::size_t at = 0; at < total; at += part) {
        const std::string bytes = frame(ws::role::client, at == 0 ? 0x02 : 0x00, std::string_view{payload}.substr(at, part));
        s.read(bytes);
        received += bytes.size();
        CHECK(memory.bytes <= 2 * received + ws::min_scratch + 256);
      }
    }
  }
}

TEST_CASE("steady state allocates nothing", "[session]") {
  for (const ws::role self : both_roles) {
    counting_allocator memory;
    side s{self, defaults(), true, memory.hook()};
    const std::string whole = frame(other(self), 0x81, sim::letters(100)) + frame(other(self), 0x82, sim::pattern(3000));
    const std::string cut = frames_of(other(self), 2, sim::pattern(20'000), {1, 10'000, 9'999}) + frame(other(self), 0x89, "ping");
    void* token = nullptr;
    const auto round = [&] {
      s.read(whole);
      for (std::size_t at = 0; at < cut.size(); at += 999) s.read(std::string_view{cut}.substr(at, 999));
      s.read_prepared(cut, 7777);
      CHECK(s.session.send(ws::opcode::binary, sim::pattern(9000)) == ws::error::none);
      CHECK(s.session.send_borrowed(ws::opcode::text, "borrowed", nullptr) == ws::error::none);
      CHECK(s.session.ping() == ws::error::none);
      (void)s.take();
      while (s.session.returned(token)) {}
    };
    for (int i = 0; i < 3; ++i) round();
    const std::size_t calls = memory.calls;
    for (int i = 0; i < 20; ++i) round();
    CHECK(memory.calls == calls);
    CHECK(memory.mistakes == 0);
  }
}

TEST_CASE("messages that arrive whole and are answered at once need one buffer", "[session]") {
  counting_allocator memory;
  side s{ws::role::server, defaults(), true, memory.hook()};
  s.on_event = [&](const ws::event& ev) { CHECK(s.session.send(ev.opcode, ev.payload) == ws::error::none); };
  for (int i = 0; i < 100; ++i) {
    s.read(frame(ws::role::client, 0x81, "hello"));
    CHECK(s.sent() == "-> text \"hello\"\n");
  }
  CHECK(memory.calls <= 1);
}

TEST_CASE("a new session and an idle one hold no heap", "[session]") {
  const struct {
    const char* name;
    void (*use)(side&);
  } uses[] = {
      {"nothing", [](side&) {}},
      {"messages in place", [](side& s) { s.read(frame(other(s.self), 0x81, "x")); }},
      {"a joined message",
       [](side& s) {
         const std::string bytes = frame(other(s.self), 0x82, sim::pattern(1000));
         s.read(bytes.substr(0, 500));
         s.read(bytes.substr(500));
       }},
      {"a prepared message", [](side& s) { s.read_prepared(frame(other(s.self), 0x82, sim::pattern(50'000)), 999); }},
      {"prepare, and nothing read",
       [](side& s) {
         CHECK(!s.session.prepare().empty());
         s.session.commit(0);
       }},
      {"a cut ping",
       [](side& s) {
         const std::string bytes = frame(other(s.self), 0x89, "ping");
         s.read(bytes.substr(0, 5));
         s.read(bytes.substr(5));
       }},
      {"messages sent", [](side& s) { CHECK(s.session.send(ws::opcode::text, sim::letters(10'000)) == ws::error::none); }},
      {"a ping", [](side& s) { CHECK(s.session.ping() == ws::error::none); }},
      {"refused sends",
       [](side& s) {
         CHECK(s.session.send(ws::opcode::text, "\xFF") == ws::error::send_text_not_utf8);
         CHECK(s.session.send_borrowed(ws::opcode::text, "\xFF", nullptr) == ws::error::send_text_not_utf8);
       }},
      {"borrowed payloads",
       [](side& s) {
         for (int i = 0; i < 10; ++i) CHECK(s.session.send_borrowed(ws::opcode::text, "x", nullptr) == ws::error::none);
         (void)s.take();
         for (void* token = nullptr; s.session.returned(token);) {}
       }},
      {"taken output",
       [](side& s) {
         CHECK(s.session.send(ws::opcode::text, "hello") == ws::error::none);
         const ws::output_buffer taken = s.session.take_output();
         s.session.consume(taken.size);
         s.session.free_buffer(taken);
       }},
      {"a Close", [](side& s) { CHECK(s.session.close() == ws::error::none); }},
      {"the peer's Close", [](side& s) { s.read(wire::close_frame(other(s.self), 1000, "bye")); }},
      {"the peer's Close, cut",
       [](side& s) {
         const std::string bytes = wire::close_frame(other(s.self), 1000, "bye");
         s.read(bytes.substr(0, 3));
         s.read(bytes.substr(3));
       }},
      {"a broken rule", [](side& s) { s.read("\xFF\xFF"); }},
      {"a broken rule after fragments", [](side& s) { s.read(frame(other(s.self), 0x01, sim::letters(5000)) + "\xFF"); }},
      {"EOF inside a ping", [](side& s) { s.read(frame(other(s.self), 0x89, "ping").substr(0, 5)); s.eof(); }},
      {"a failure from outside, inside a message",
       [](side& s) {
         s.read(frame(other(s.self), 0x01, sim::letters(5000)));
         CHECK(s.session.fail(ws::error::message_too_big));
       }},
      {"a failure from outside, inside a prepared message",
       [](side& s) {
         s.read_prepared(frame(other(s.self), 0x82, sim::pattern(50'000)).substr(0, 30'000), 999);
         CHECK(s.session.fail(ws::error::message_too_big));
       }},
      {"EOF inside a message",
       [](side& s) {
         s.read(frame(other(s.self), 0x01, sim::letters(5000)));
         s.eof();
       }},
      {"a deadline inside a message",
       [](side& s) {
         s.read(frame(other(s.self), 0x01, sim::letters(5000)));
         CHECK(s.session.ping() == ws::error::none);
         (void)s.take();
         CHECK(!s.session.tick(1));
         CHECK(s.session.next_deadline() == 20'000'001);
         CHECK(s.session.tick(20'000'001));
       }},
  };
  for (const ws::role self : both_roles)
    for (const auto& use : uses) {
      INFO(wire::name(self) << ": " << use.name);
      counting_allocator memory;
      side s{self, defaults(), true, memory.hook()};
      CHECK(memory.calls == 0);
      use.use(s);
      (void)s.take();
      s.session.release();
      CHECK(memory.blocks() == 0);
      s.session.release();
      // And it goes on as if nothing had been.
      if (s.session.is_open()) {
        s.log = {};
        s.read(frame(other(self), 0x81, "after"));
        CHECK(s.events() == "text \"after\"\n");
        CHECK(s.session.send(ws::opcode::text, "after") == ws::error::none);
        CHECK(s.take().size() == (self == ws::role::server ? 7 : 11));
      }
      s.session.release();
      CHECK(memory.idle());
    }
}

TEST_CASE("what prepare gave out stays until commit, which takes no more than that", "[session]") {
  for (const ws::role self : both_roles)
    for (const bool large : {false, true}) {
      counting_allocator memory;
      side s{self, defaults(), true, memory.hook()};
      s.session.commit(5);
      CHECK(!s.session.next());
      const std::string bytes = frame(other(self), 0x82, sim::pattern(50'000));
      std::size_t at = large ? 10'000 : 0;
      s.read(bytes.substr(0, at));
      std::span<char> room = s.session.prepare();
      s.session.release();
      while (at != bytes.size()) {
        const std::size_t n = std::min(room.size(), bytes.size() - at);
        REQUIRE(n != 0);
        std::memcpy(room.data(), bytes.data() + at, n);
        at += n;
        s.session.commit(at == bytes.size() ? ~std::size_t{0} : n);
        s.session.release();
        while (const ws::event ev = s.session.next()) {
          s.happened(ev);
          CHECK(ev.payload.size() == 50'000);
          at = bytes.size();
        }
        if (at != bytes.size()) {
          room = s.session.prepare();
          s.session.release();
        }
      }
      CHECK(s.events().starts_with("binary "));
    }
}

TEST_CASE("H20 while a request waits for its answer no more than a head is kept", "[session][H20]") {
  for (const std::size_t piece : {1000U, 16384U}) {
    counting_allocator memory;
    side s{ws::role::server, defaults(), false, memory.hook()};
    s.accepts = false;
    s.read_prepared(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    std::size_t kept = 0;
    for (;;) {
      const std::span<char> room = s.session.prepare(piece);
      if (room.empty() || kept > 1'000'000) break;
      const std::size_t n = std::min(piece, room.size());
      std::memset(room.data(), 'x', n);
      s.session.commit(n);
      kept += n;
      CHECK(!s.session.next());
    }
    CHECK(kept == (16384 + piece - 1) / piece * piece);
    CHECK(s.session.accept() == ws::error::none);
  }
}

TEST_CASE("H26 a request that comes in pieces is kept in memory that grows with it, up to the limit", "[session][H26]") {
  ws::options opt;
  opt.head.max_head = 6000;
  const std::string line = "GET /" + std::string(3000, 'x') + " HTTP/1.1\r\n";
  const std::string fields = std::string{request.substr(request.find("Host"))};
  const std::string padded = "X: " + std::string(6000 - line.size() - fields.size() - 5, 'x') + "\r\n" + fields;
  for (const std::size_t piece : {1U, 7U, 100U, 256U, 257U, 1000U, 5999U, 6000U})
    for (const bool prepared : {false, true})
      for (const bool over : {false, true}) {
        INFO("by " << piece);
        counting_allocator memory;
        {
          side s{ws::role::server, opt, false, memory.hook()};
          const std::string input = line + (over ? "Y" : "") + padded;
          for (std::size_t at = 0; at < input.size(); at += piece)
            prepared ? s.read_prepared(std::string_view{input}.substr(at, piece)) : s.read(std::string_view{input}.substr(at, piece));
          CHECK(s.session.is_open() == !over);
          CHECK(s.session.why() == (over ? ws::error::head_too_large : ws::error::none));
          CHECK(memory.largest <= 16 * 1024);  // of `prepare`
        }
        CHECK(memory.idle());
      }
}

TEST_CASE("a head that comes but for its last byte is kept in one piece of memory, and none is for no bytes", "[session][memory]") {
  for (const ws::role self : both_roles) {
    INFO(wire::name(self));
    counting_allocator memory;
    side s{self, defaults(), false, memory.hook()};
    std::string head{request};
    if (self == ws::role::client) {
      CHECK(s.session.connect({.host = "h"}) == ws::error::none);
      side server{ws::role::server, defaults(), false};
      server.read(s.take());
      head = server.take();
    }
    head.insert(head.size() - 2, "X: " + std::string(3000, 'x') + "\r\n");
    const std::size_t calls = memory.calls;
    s.read("");
    CHECK(memory.calls == calls);
    s.read(std::string_view{head}.substr(0, head.size() - 1));
    CHECK(memory.calls == calls + 1);
    CHECK(memory.largest < 2 * head.size());
    s.read(std::string_view{head}.substr(head.size() - 1));
    CHECK(s.session.is_open());
  }
}

TEST_CASE("a session that failed before the first byte asks for no memory that it cannot do without", "[session][K14]") {
  counting_allocator memory;
  side s{ws::role::server, defaults(), false, memory.hook()};
  CHECK(s.session.fail(ws::error::refused_by_caller));
  memory.fail_at = memory.calls;
  memory.fail_after = true;
  s.read("GET / HTTP/1.1\r\n");
  CHECK(s.events() == "");
  CHECK(s.session.why() == ws::error::refused_by_caller);
}

TEST_CASE("C10 a request and an answer of any size", "[session][C10][H35]") {
  side client{ws::role::client, defaults(), false};
  const std::string target = "/" + sim::letters(5000);
  CHECK(client.session.connect({.host = "h", .target = target}) == ws::error::none);
  CHECK(client.take().starts_with("GET " + target + " HTTP/1.1\r\n"));
  side server{ws::role::server, defaults(), false};
  server.accepts = false;
  server.read(request);
  const std::string body = sim::letters(5000);
  CHECK(server.session.respond({.status = 404, .body = body}) == ws::error::none);
  CHECK(server.take().ends_with("\r\n\r\n" + body));
}

TEST_CASE("a high-water mark of 0 lets pongs out", "[session]") {
  ws::options opt;
  opt.high_water = opt.low_water = 0;
  side s{ws::role::server, opt};
  s.read(frame(ws::role::client, 0x89, "a"));
  CHECK(s.take() == frame(ws::role::server, 0x8A, "a"));
  CHECK(!s.session.backed_up());
}

TEST_CASE("K07 a failure for any reason tells the peer a code that may be sent", "[session][K04][K07]") {
  for (unsigned i = 0; i < static_cast<unsigned>(ws::error::count_) + 2; ++i) {
    const auto why = static_cast<ws::error>(i);
    side s{ws::role::server, defaults()};
    const ws::event ev = s.session.fail(why);
    const std::string sent = s.take();
    INFO(ws::explain(why).name << " sends " << sent);
    if (why == ws::error::none || why >= ws::error::count_) {
      CHECK(!ev);
      CHECK(s.session.is_open());
      continue;
    }
    CHECK(ev.why() == why);
    if (ws::explain(why).answer == 0) {
      CHECK(sent.empty());
      continue;
    }
    REQUIRE(sent.size() == 4);
    CHECK(ws::is_sendable(static_cast<ws::close_code>(ws::detail::load_big<std::uint16_t>(sent.data() + 2))));
  }
}

TEST_CASE("release keeps what is still needed", "[session]") {
  for (const ws::role self : both_roles)
    for (const bool prepared : {false, true}) {
      counting_allocator memory;
      side s{self, defaults(), true, memory.hook()};
      const std::string input = frames_of(other(self), 1, sim::letters(9000), {4000, 5000}) + frame(other(self), 0x89, "ping") +
                                frame(other(self), 0x82, sim::pattern(6000));
      for (std::size_t at = 0; at < input.size(); at += 333) {
        const std::string_view part = std::string_view{input}.substr(at, 333);
        prepared ? s.read_prepared(part, 100) : s.read(part);
        s.session.release();
        CHECK(s.session.ping("p") == ws::error::none);
        s.session.release();
        (void)s.take(3);
        s.session.release();
      }
      CHECK((s.events() == "text " + wire::show(sim::letters(9000)) + "\nping \"ping\"\nbinary " + wire::show(sim::pattern(6000)) + "\n"));
    }
  // A pong that waits for the output to drain.
  {
    ws::options opt;
    opt.high_water = 10;
    side s{ws::role::server, opt};
    CHECK(s.session.send(ws::opcode::binary, sim::pattern(100)) == ws::error::none);
    s.read(frame(ws::role::client, 0x89, "still here?"));
    s.session.release();
    CHECK(s.take().size() > 102);
    CHECK(s.session.backed_up() == false);
    s.read(frame(ws::role::client, 0x8A, ""));
    CHECK(s.events() == "ping \"still here?\"\npong \"\"\n");
  }
  // A request that waits for its decision, and the borrowed payloads.
  counting_allocator memory;
  side s{ws::role::server, defaults(), false, memory.hook()};
  s.accepts = false;
  s.read(request.substr(0, 100));
  s.session.release();
  s.read(request.substr(100));
  s.session.release();
  CHECK(s.session.accept({.subprotocol = "super"}) == ws::error::none);
  s.session.release();
  int one = 1;
  void* token = nullptr;
  CHECK(s.session.send_borrowed(ws::opcode::text, "borrowed", &one) == ws::error::none);
  s.session.release();
  const std::string out = s.take();
  s.session.release();
  CHECK(out.find("Sec-WebSocket-Protocol: super\r\n") != out.npos);
  CHECK(out.ends_with("borrowed"));
  CHECK(s.session.returned(token));
  CHECK(token == &one);
  s.session.release();
  CHECK(memory.idle());
}

// ---- moving

TEST_CASE("a session can be moved at any time, and goes on", "[session]") {
  const auto run = [](bool moves, bool prepared) {
    counting_allocator memory;
    wire::test_entropy entropy;
    ws::masking_keys keys{&wire::test_entropy::fill, &entropy};
    auto s = std::make_unique<ws::session>(ws::role::server, defaults(), &keys, memory.hook());
    std::string log, sent;
    std::string input = std::string{request} + frames_of(ws::role::client, 1, sim::letters(6000), {10, 5000, 990}) +
                        frame(ws::role::client, 0x89, "ping") + frame(ws::role::client, 0x82, sim::pattern(5000)) +
                        wire::close_frame(ws::role::client, 1000, "bye");
    const auto move = [&] {
      if (!moves) return;
      auto fresh = std::make_unique<ws::session>(std::move(*s));
      s = std::move(fresh);
      ws::session another{ws::role::server, defaults(), &keys, memory.hook()};
      another = std::move(*s);
      *s = std::move(another);
    };
    const auto handle = [&](const ws::event& ev) {
      log += std::to_string(static_cast<int>(ev.type)) + " " + std::string{ev.payload} + "\n";
      if (ev.type == ws::event_type::request) CHECK(s->accept() == ws::error::none);
      if (ev.type == ws::event_type::message) CHECK(s->send(ev.opcode, ev.payload) == ws::error::none);
    };
    for (std::size_t at = 0; at < input.size(); at += 61) {
      const std::size_t n = std::min<std::size_t>(61, input.size() - at);
      if (prepared) {
        std::size_t done = 0;
        while (done < n) {
          const std::span<char> to = s->prepare(40);
          const std::size_t k = std::min(n - done, to.size());
          std::memcpy(to.data(), input.data() + at + done, k);
          done += k;
          s->commit(k);
          while (const ws::event ev = s->next()) handle(ev);
          move();
        }
      } else {
        std::span<char> rest{input.data() + at, n};
        while (const ws::event ev = s->next(rest)) handle(ev);
      }
      move();
      sent += s->output().substr(0, 50);
      s->consume(std::min<std::size_t>(50, s->output().size()));
      move();
    }
    sent += s->output();
    s.reset();
    CHECK(memory.idle());
    return log + sent;
  };
  for (const bool prepared : {false, true}) {
    const std::string stays = run(false, prepared);
    CHECK(stays.size() > 20'000);
    CHECK((run(true, prepared) == stays));
  }
}

TEST_CASE("moving onto itself changes nothing; what was moved from can go or be filled again", "[session]") {
  counting_allocator memory;
  {
    side s{ws::role::server, defaults(), true, memory.hook()};
    CHECK(s.session.send(ws::opcode::text, "hello") == ws::error::none);
    ws::session& same = s.session;
    s.session = std::move(same);
    CHECK(s.session.buffered_amount() == 7);
    ws::session target{ws::role::server, sim::nothing_agreed, defaults(), nullptr, memory.hook()};
    CHECK(target.send(ws::opcode::text, "is lost") == ws::error::none);
    target = std::move(s.session);
    CHECK(target.output() == "\x81\x05hello");
    s.session = ws::session{ws::role::server, sim::nothing_agreed, defaults(), nullptr, memory.hook()};
    s.read(frame(ws::role::client, 0x81, "fresh"));
    CHECK(s.events() == "text \"fresh\"\n");
  }
  CHECK(memory.idle());
}

// ---- after the end, before the beginning, and out of turn

TEST_CASE("K14 each call in each state is harmless and gives its error", "[session][K14]") {
  const struct {
    const char* state;
    bool open;
    ws::role self;
    void (*bring_there)(side&);
    ws::error send, close, answer, ask;
  } rows[] = {
      {"a server before the request", false, ws::role::server, [](side&) {}, ws::error::not_open, ws::error::not_open, ws::error::no_request,
       ws::error::no_request},
      {"inside the request", false, ws::role::server, [](side& s) { s.read(request.substr(0, 50)); }, ws::error::not_open,
       ws::error::not_open, ws::error::no_request, ws::error::no_request},
      {"a rejected request", false, ws::role::server, [](side& s) { s.read("POST / HTTP/1.1\r\n\r\n"); }, ws::error::not_open,
       ws::error::not_open, ws::error::no_request, ws::error::no_request},
      {"a client that has asked", false, ws::role::client,
       [](side& s) { CHECK(s.session.connect({.host = "a"}) == ws::error::none); }, ws::error::not_open, ws::error::not_open,
       ws::error::no_request, ws::error::no_request},
      {"open", true, ws::role::server, [](side&) {}, ws::error::none, ws::error::none, ws::error::no_request, ws::error::no_request},
      {"our Close is out", true, ws::role::server, [](side& s) { CHECK(s.session.close() == ws::error::none); },
       ws::error::already_closing, ws::error::already_closing, ws::error::no_request, ws::error::no_request},
      {"both Closes", true, ws::role::server, [](side& s) { s.read(wire::close_frame(ws::role::client, 1000)); },
       ws::error::already_closing, ws::error::already_closing, ws::error::no_request, ws::error::no_request},
      {"failed", true, ws::role::server, [](side& s) { s.read("\xFF"); }, ws::error::not_open, ws::error::already_closing,
       ws::error::no_request, ws::error::no_request},
      {"failed after our Close", true, ws::role::client,
       [](side& s) {
         CHECK(s.session.close() == ws::error::none);
         s.read("\xFF");
       },
       ws::error::not_open, ws::error::already_closing, ws::error::no_request, ws::error::no_request},
      {"lost", true, ws::role::client, [](side& s) { s.eof(); }, ws::error::not_open, ws::error::not_open, ws::error::no_request,
       ws::error::no_request},
  };
  for (const auto& row : rows) {
    INFO(row.state);
    const auto fresh = [&] {
      auto s = std::make_unique<side>(row.self, defaults(), row.open);
      row.bring_there(*s);
      (void)s->take();
      return s;
    };
    const auto expect = [&](const char* call, ws::error expected, const std::function<ws::error(ws::session&)>& act) {
      INFO(call);
      const auto s = fresh();
      const ws::close_state state = s->session.state();
      const ws::transport wants = s->session.wants();
      CHECK(act(s->session) == expected);
      if (expected == ws::error::none) return;
      CHECK(s->session.buffered_amount() == 0);
      CHECK(s->session.state() == state);
      CHECK(s->session.wants() == wants);
      void* token = nullptr;
      CHECK(!s->session.returned(token));
      CHECK(act(s->session) == expected);
    };
    expect("send", row.send, [](ws::session& s) { return s.send(ws::opcode::text, "x"); });
    expect("send_borrowed", row.send, [](ws::session& s) { return s.send_borrowed(ws::opcode::text, "x", nullptr); });
    expect("ping", row.send, [](ws::session& s) { return s.ping(); });
    expect("ping with payload", row.send, [](ws::session& s) { return s.ping("x"); });
    expect("pong", row.send, [](ws::session& s) { return s.pong("x"); });
    expect("close", row.close, [](ws::session& s) { return s.close(); });
    expect("accept", row.answer, [](ws::session& s) { return s.accept(); });
    expect("respond", row.answer, [](ws::session& s) { return s.respond({.status = 404}); });
    expect("connect", row.ask, [](ws::session& s) { return s.connect({.host = "a"}); });
  }
}

TEST_CASE("a server does not ask", "[session]") {
  ws::session server{ws::role::server, defaults()};
  CHECK(server.connect({.host = "a"}) == ws::error::no_request);
}

TEST_CASE("what may not be sent is refused, and the session lives on", "[session][F22][K05][K07]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    CHECK(s.session.send(ws::opcode::text, "\xC3") == ws::error::send_text_not_utf8);
    CHECK(s.session.send(ws::opcode::ping, "x") == ws::error::opcode_not_sendable);
    CHECK(s.session.send(ws::opcode::continuation, "x") == ws::error::send_out_of_order);
    CHECK(s.session.send_borrowed(ws::opcode::continuation, "x", nullptr) == ws::error::send_out_of_order);
    CHECK(s.session.ping(std::string(126, 'x')) == ws::error::control_payload_too_long);
    CHECK(s.session.pong(std::string(126, 'x')) == ws::error::control_payload_too_long);
    CHECK(s.session.close(ws::close_code::abnormal) == ws::error::sent_close_code_invalid);
    CHECK(s.session.close(ws::close_code::normal, std::string(124, 'x')) == ws::error::close_reason_too_long);
    CHECK(s.session.buffered_amount() == 0);
    CHECK(s.session.send(ws::opcode::text, "a", false) == ws::error::none);
    CHECK(s.session.send(ws::opcode::binary, "b") == ws::error::send_out_of_order);
    CHECK(s.session.send_borrowed(ws::opcode::binary, "b", nullptr) == ws::error::send_out_of_order);
    CHECK(s.session.send(ws::opcode::continuation, "\xFF") == ws::error::send_text_not_utf8);
    CHECK(s.session.send(ws::opcode::text, "c") == ws::error::none);
    CHECK(s.sent() == "-> text \"a\" ...\n-> ... \"c\"\n");
    CHECK(s.session.is_open());
  }
}

TEST_CASE("F22 one bad byte, wherever it stands in a text of whatever size, and it is not sent", "[session][F22]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    for (std::size_t n = 1; n <= 300; ++n) {
      std::string text = sim::letters(n);
      for (std::size_t at = 0; at < n; ++at) {
        text[at] = '\xFF';
        if (s.session.send(ws::opcode::text, text) != ws::error::send_text_not_utf8) FAIL(n << " bytes, bad at " << at);
        text[at] = 'x';
      }
      if (s.session.send(ws::opcode::text, text) != ws::error::none || s.take().size() <= n) FAIL(n << " good bytes");
    }
  }
}

TEST_CASE("F16 a code point may be cut over pieces of text, borrowed ones too", "[session][F16][F22]") {
  side s{ws::role::server, defaults()};
  CHECK(s.session.send(ws::opcode::text, "\xE2\x82", false) == ws::error::none);
  CHECK(s.session.send_borrowed(ws::opcode::text, "\xAC", nullptr) == ws::error::none);
  CHECK(s.sent() == "-> text \"\\xe2\\x82\" ...\n-> ... \"\\xac\"\n");
  CHECK(s.session.send(ws::opcode::text, "\xE2\x82", false) == ws::error::none);
  CHECK(s.session.send_borrowed(ws::opcode::text, "x", nullptr) == ws::error::send_text_not_utf8);
  CHECK(s.session.send(ws::opcode::text, "", true) == ws::error::send_text_not_utf8);
  CHECK(s.session.send(ws::opcode::text, "\xAC", true) == ws::error::none);
}

TEST_CASE("F23 a message too long for the memory of any machine is refused", "[session][F23]") {
  side s{ws::role::server, defaults()};
  const char byte = 'x';
  // Never looked at: the size alone is refused.
  CHECK(s.session.send(ws::opcode::binary, {&byte, ~std::size_t{0} / 2}) == ws::error::out_of_memory);
  CHECK(s.session.buffered_amount() == 0);
  CHECK(s.session.is_open());
}

TEST_CASE("K12 the end of input without a Close is 1006", "[session][K12]") {
  for (const ws::role self : both_roles)
    for (const std::string_view before : {""sv, "\x81"sv, "\x82\x05"sv}) {
      side s{self, defaults()};
      if (self == ws::role::client || before.size() < 2) s.read(before);
      s.eof();
      s.eof();
      CHECK(s.session.why() == ws::error::connection_lost);
      CHECK(s.events().starts_with("failed connection_lost @"));
      CHECK(s.events().find('\n') + 1 == s.events().size());
      CHECK(s.session.code() == ws::close_code::abnormal);
      CHECK(!s.session.was_clean());
      CHECK(s.session.wants() == ws::transport::drop);
    }
}

TEST_CASE("a session that starts open after somebody else's handshake", "[session]") {
  const ws::field fields[] = {{"Host", "a"},
                              {"Upgrade", "websocket"},
                              {"Connection", "Upgrade"},
                              {"Sec-WebSocket-Version", "13"},
                              {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
  ws::upgraded answer;
  REQUIRE(ws::upgrade(fields, defaults(), "", answer) == ws::error::none);
  ws::session s{ws::role::server, answer.agreed, defaults()};
  CHECK(s.is_open());
  CHECK(s.accept() == ws::error::no_request);
  std::string leftover = frame(ws::role::client, 0x81, "hello");
  std::span<char> bytes{leftover};
  CHECK(s.next(bytes).payload == "hello");
}

TEST_CASE("fail() tells the peer and is sticky", "[session][K14]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    CHECK(s.session.fail(ws::error::message_too_big).why() == ws::error::message_too_big);
    CHECK(!s.session.fail(ws::error::pong_timeout));
    CHECK(s.sent() == "-> close 1009 \"\"\n");
    s.read(frame(other(self), 0x81, "not any more"));
    CHECK(s.events() == "");
    CHECK(s.session.why() == ws::error::message_too_big);
  }
}

TEST_CASE("round_trip_time is from the ping to its pong", "[session]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    CHECK(s.session.round_trip_time() == 0);
    CHECK(!s.session.tick(1'000'000));
    CHECK(s.session.ping() == ws::error::none);
    const std::string bytes = s.take();
    std::string_view rest = bytes;
    wire::sent_frame ping;
    REQUIRE(wire::take_frame(rest, ping) == "");
    CHECK(ping.payload == "\0\0\0\1"sv);  // a number of its own, as others count
    CHECK(!s.session.tick(1'030'000));
    s.read(frame(other(self), 0x8A, "unasked"));
    CHECK(s.session.round_trip_time() == 0);
    CHECK(!s.session.tick(1'042'000));
    s.read(frame(other(self), 0x8A, ping.payload));
    CHECK(s.session.round_trip_time() == 42'000);
    CHECK(!s.session.tick(9'000'000));
    s.read(frame(other(self), 0x8A, ping.payload));  // the same again is one nobody asked for
    CHECK(s.session.round_trip_time() == 42'000);
  }
}

// ---- any order of calls

namespace {

/// Calls of all kinds in any order, sensible or not, on a session that may be in any state. What must hold: no error
/// but the documented ones, no event after the end but the end itself, a why() that stays, and output that a peer can
/// read.
void call_in_any_order(std::uint64_t seed) {
  sim::generator random{seed};
  ws::options opt;
  opt.max_message = random.one_in(3) ? 1000 : 1'000'000;
  opt.auto_pong = !random.one_in(5);
  opt.auto_close_reply = !random.one_in(5);
  opt.discard_after_close = random.one_in(4);
  opt.pong_after_close = random.one_in(4);
  opt.high_water = 3000;
  opt.low_water = 500;
  opt.ping_interval = random.one_in(2) ? 10'000 : 0;
  counting_allocator memory;
  const ws::role self = random.one_in(2) ? ws::role::server : ws::role::client;
  const ws::role peer = other(self);
  const std::string lent = sim::letters(700);
  const std::string valid[] = {frame(peer, 0x81, "hello"),         frame(peer, 0x82, sim::pattern(300)),
                               frame(peer, 0x01, "frag"),          frame(peer, 0x80, "ment"),
                               frame(peer, 0x89, "ping"),          frame(peer, 0x8A, wire::hex("00 00 00 01")),
                               frame(peer, 0x82, sim::pattern(9000)), std::string{request},
                               "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc"};
  {
    side s{self, opt, !random.one_in(4), memory.hook()};
    s.accepts = false;
    std::string sent;
    ws::output_buffer spare;
    std::string pending;  // input that is still to be read
    bool ended = false;
    ws::error why = ws::error::none;
    std::uint64_t now = 0, tokens = 0, back = 0;
    const auto check = [&](const ws::event& ev) {
      if (!ev) return;
      CHECK(!ended);
      if (ev.type == ws::event_type::failed) {
        CHECK(ev.why() == s.session.why());
        why = ev.why();
        ended = true;
      }
      if (ev.type == ws::event_type::message) CHECK(ev.payload.size() <= opt.max_message);
    };
    const int steps = 60;
    for (int i = 0; i < steps; ++i) {
      switch (random(26)) {
        case 0:
        case 1:
        case 2:
        case 3: {
          if (pending.empty() && !random.one_in(40)) pending = valid[random(std::size(valid))];
          if (pending.empty()) pending = random.one_in(3) ? wire::close_frame(peer, 1000, "bye") : std::string{"\xFFgarbage"};
          const std::size_t n = static_cast<std::size_t>(1 + random(random.one_in(2) ? 20 : 10'000));
          std::string part = pending.substr(0, n);
          std::span<char> bytes{part};
          while (const ws::event ev = s.session.next(bytes)) {
            check(ev);
            if (ev.type == ws::event_type::request && !random.one_in(5)) (void)s.session.accept();
          }
          pending.erase(0, part.size() - bytes.size());
          break;
        }
        case 4:
        case 5: {
          if (pending.empty()) pending = valid[random(std::size(valid))];
          const std::span<char> to = s.session.prepare(static_cast<std::size_t>(random(6000)));
          if (to.empty()) break;
          std::size_t n = static_cast<std::size_t>(random(to.size() + 1));
          if (n > pending.size()) n = pending.size();
          if (n != 0) std::memcpy(to.data(), pending.data(), n);
          pending.erase(0, n);
          // What may come between the two.
          if (random.one_in(10)) (void)s.session.send(ws::opcode::text, "between");
          if (random.one_in(10)) check(s.session.tick(now));
          if (random.one_in(30)) check(s.session.fail(ws::error::out_of_memory));
          if (random.one_in(30)) check(s.session.end_of_input());
          if (random.one_in(30)) (void)s.session.close();
          s.session.commit(n);
          while (const ws::event ev = s.session.next()) check(ev);
          break;
        }
        case 6: (void)s.session.send(ws::opcode::text, "hello", !random.one_in(3)); break;
        case 7: (void)s.session.send(ws::opcode::binary, lent, !random.one_in(3)); break;
        case 8: (void)s.session.send(ws::opcode::continuation, "c", !random.one_in(3)); break;
        case 9:
          if (s.session.send_borrowed(random.one_in(2) ? ws::opcode::text : ws::opcode::binary, lent,
                                      reinterpret_cast<void*>(tokens + 1)) == ws::error::none)
            ++tokens;
          break;
        case 10: (void)s.session.send(ws::opcode::text, "\xFF\xFE"); break;
        case 11: (void)s.session.ping(); break;
        case 12: (void)s.session.ping("own"); break;
        case 13: (void)s.session.pong("own"); break;
        case 14:
          if (random.one_in(6)) (void)s.session.close(static_cast<ws::close_code>(random(2) == 0 ? 1000 : random(6000)), "why");
          break;
        case 15: (void)s.session.accept(); break;
        case 16:
          if (random.one_in(6)) (void)s.session.respond({.status = 404, .body = "no"});
          break;
        case 17: (void)s.session.connect({.host = "example.org"}); break;
        case 18:
        case 19: sent += s.take(static_cast<std::size_t>(random(2000))); break;
        case 20: {
          ws::slice slices[3];
          const std::size_t n = s.session.output(slices);
          std::size_t total = 0;
          for (std::size_t k = 0; k < n; ++k) {
            sent.append(slices[k].data, slices[k].size);
            total += slices[k].size;
          }
          s.session.consume(total);
          break;
        }
        case 21: {
          const ws::output_buffer filled = s.session.take_output(spare);
          sent.append(filled.data != nullptr ? filled.data : "", filled.size);
          s.session.consume(filled.size);
          spare = filled;
          break;
        }
        case 22: s.session.release(); break;
        case 23:
          now += random(30'000);
          check(s.session.tick(now));
          (void)s.session.next_deadline();
          break;
        case 24:
          for (void* token = nullptr; s.session.returned(token);) CHECK(reinterpret_cast<std::uintptr_t>(token) == ++back);
          break;
        case 25:
          if (random.one_in(15)) check(s.session.end_of_input());
          else if (random.one_in(15)) check(s.session.fail(ws::error::message_too_big));
          break;
        default: break;
      }
      if (s.session.buffered_amount() > 200'000) FAIL("too much output");
      if (ended && (s.session.why() != why || s.session.is_open())) FAIL("the end is not the end");
      (void)s.session.wants();
      (void)s.session.code();
      (void)s.session.was_clean();
    }
    sent += s.take();
    for (void* token = nullptr; s.session.returned(token);) CHECK(reinterpret_cast<std::uintptr_t>(token) == ++back);
    CHECK(back == tokens);
    s.session.free_buffer(spare);
    // Heads aside, everything that was sent is whole frames, and the last of them is the Close if there is one.
    if (!sent.starts_with("HTTP/") || sent.starts_with("HTTP/1.1 101")) {
      const std::string lines = wire::describe_sent(self, sent);
      CHECK(lines.find("BAD") == lines.npos);
      const std::size_t close = lines.find("-> close");
      if (close != lines.npos && !opt.pong_after_close) CHECK(lines.find('\n', close) + 1 == lines.size());
    }
  }
  CHECK(memory.idle());
}

}  // namespace

TEST_CASE("K14 calls in any order do no harm", "[session][K14]") {
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    INFO("seed " << seed);
    call_in_any_order(seed);
  }
}

namespace {

/// A connection from its handshake to its end, and one that is refused, by both roles with these options; how they ended.
std::string two_lives(const ws::options& opt) {
  constexpr std::uint64_t year = 31'557'600'000'000;
  const auto carry = [](side& client, side& server) {
    while (client.session.buffered_amount() + server.session.buffered_amount() != 0) {
      server.read(client.take());
      client.read(server.take());
    }
  };
  side client{ws::role::client, opt, false}, server{ws::role::server, opt, false};
  for (side* s : {&client, &server}) s->happened(s->session.tick(40 * year));
  CHECK(client.session.connect({.host = "h"}) == ws::error::none);
  carry(client, server);
  if (client.session.is_open()) {
    CHECK(client.session.send(ws::opcode::text, "he", false) == ws::error::none);
    CHECK(client.session.send(ws::opcode::continuation, "y") == ws::error::none);
    carry(client, server);
  }
  for (const std::uint64_t now : {41 * year, 42 * year, 43 * year}) {
    for (side* s : {&client, &server}) s->happened(s->session.tick(now));
    carry(client, server);
  }
  std::string seen = client.events().find("ping") != std::string::npos ? ", pinged" : "";
  (void)client.session.close();
  if (client.session.backed_up()) seen += ", backed up";
  carry(client, server);
  server.read("junk!");
  std::string ends = wire::name(server.session.why()) + " " + wire::name(client.session.why());
  if (server.session.was_clean() && client.session.was_clean() && server.events().find("text \"hey\"") != std::string::npos) ends += ", clean";
  ends += seen + ", " + wire::name(server.session.wants());

  side asks{ws::role::client, opt, false}, refuses{ws::role::server, opt, false};
  refuses.accepts = false;
  std::string body;
  asks.on_event = [&](const ws::event& ev) {
    if (ev.type == ws::event_type::body) body += ev.payload;
  };
  CHECK(asks.session.connect({.host = "h"}) == ws::error::none);
  refuses.read(asks.take());
  if (refuses.session.respond({.status = 404, .body = "no"}) == ws::error::none) asks.read(refuses.take());
  return ends + ", " + body;
}

}  // namespace

TEST_CASE("every limit and deadline may be 0, 1 and the largest of its type", "[session][F12][F18][F23][H26][C07][K15][T01][T02][T03][T04][T05][T07]") {
  const std::string usual = "none none, clean, half_close, no";
  CHECK(two_lives({}) == usual);
  const auto three = [](auto ws::options::*member, const std::string& at_0, const std::string& at_1, const std::string& at_most,
                        ws::options opt = {}) {
    using number = std::remove_reference_t<decltype(opt.*member)>;
    opt.*member = 0;
    CHECK(two_lives(opt) == at_0);
    opt.*member = 1;
    CHECK(two_lives(opt) == at_1);
    opt.*member = std::numeric_limits<number>::max();
    CHECK(two_lives(opt) == at_most);
  };
  const auto three_of_head = [&](std::uint32_t ws::head_limits::*member, const std::string& small) {
    ws::options opt;
    for (const std::uint32_t n : {0U, 1U}) {
      opt.head.*member = n;
      CHECK(two_lives(opt) == small);
    }
    opt.head.*member = ~std::uint32_t{0};
    CHECK(two_lives(opt) == usual);
  };
  const std::string too_big = "message_too_big none, drop, no", too_many = "too_many_fragments none, drop, no";
  three(&ws::options::max_message, too_big, too_big, usual);
  three(&ws::options::max_fragments, too_many, too_many, usual);
  three(&ws::options::max_response_body, "none none, clean, half_close, ", "none none, clean, half_close, n", usual);
  three(&ws::options::max_discarded, "none none, clean, drop, no", "none none, clean, drop, no", usual);
  three_of_head(&ws::head_limits::max_head, "head_too_large head_too_large, drop, ");
  three_of_head(&ws::head_limits::max_request_line, "request_line_too_long handshake_refused, drop, ");
  three_of_head(&ws::head_limits::max_fields, "too_many_fields too_many_fields, drop, ");
  three(&ws::options::handshake_timeout, usual, usual, usual);
  three(&ws::options::close_timeout, usual, usual, usual);
  const std::string pinged = "none none, clean, pinged, half_close, no", waiting = "none none, clean, backed up, half_close, no";
  three(&ws::options::ping_interval, usual, pinged, usual);
  three(&ws::options::ping_jitter, pinged, pinged, pinged, {.ping_interval = 1000});
  three(&ws::options::pong_timeout, pinged, pinged, pinged, {.ping_interval = 1000});
  three(&ws::options::idle_timeout, usual, "idle_timeout idle_timeout, half_close, no", usual);
  three(&ws::options::write_timeout, usual, usual, usual);
  three(&ws::options::high_water, waiting, waiting, usual);
  three(&ws::options::low_water, waiting, waiting, waiting, {.high_water = 8});
}

TEST_CASE("deadlines for a pong and marks of the output of 0, 1 and the most there is, with a peer that reads nothing", "[session][T04]") {
  for (const std::uint64_t timeout : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    ws::options opt;
    opt.ping_interval = 10;
    opt.pong_timeout = timeout;
    side s{ws::role::client, opt};
    for (const std::uint64_t now : {100U, 110U, 111U, 112U}) s.happened(s.session.tick(now));
    CHECK((s.session.why() == ws::error::pong_timeout) == (timeout == 1));
  }
  for (const std::size_t low : {std::size_t{0}, std::size_t{1}, std::size_t{2}, ~std::size_t{0}}) {
    ws::options opt;
    opt.high_water = 4;
    opt.low_water = low;
    side s{ws::role::server, opt};
    CHECK(s.session.send(ws::opcode::binary, "xx") == ws::error::none);
    CHECK(s.session.backed_up());
    s.session.consume(2);
    CHECK(s.session.backed_up() == (low < 2));
    s.session.consume(1);
    CHECK(s.session.backed_up() == (low < 1));
    s.session.consume(1);
    CHECK_FALSE(s.session.backed_up());
  }
}
