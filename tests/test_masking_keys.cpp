// Masking keys (RFC 6455 5.3, 10.3): rule F21.
#include "wscodec/masking_keys.hpp"

#include <cstring>
#include <type_traits>

#include "catch.hpp"
#include "support/wire.hpp"

using namespace wire;

static_assert(!std::is_copy_constructible_v<ws::masking_keys> && !std::is_copy_assignable_v<ws::masking_keys>);

namespace {

std::string four_bytes(std::uint32_t key) {
  std::string out(4, '\0');
  std::memcpy(out.data(), &key, 4);
  return out;
}

/// A source whose bytes count up, so that it is seen which of them were used.
struct counting_source {
  unsigned char value = 0;
  static bool fill(void* self, char* to, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<char>(static_cast<counting_source*>(self)->value++);
    return true;
  }
};

/// Sends every kind of frame there is; gives the keys in the order they were used.
std::vector<std::string> keys_of_all_kinds(endpoint& e) {
  CHECK(e.send(ws::opcode::text, "") == ws::error::none);
  CHECK(e.send(ws::opcode::text, "text") == ws::error::none);
  CHECK(e.send(ws::opcode::binary, std::string(70000, 'b')) == ws::error::none);
  CHECK(e.send(ws::opcode::binary, "piece", false) == ws::error::none);
  CHECK(e.ping("") == ws::error::none);
  CHECK(e.ping("ping") == ws::error::none);
  CHECK(e.pong("pong") == ws::error::none);
  CHECK(e.send(ws::opcode::binary, "more", false) == ws::error::none);
  CHECK(e.send(ws::opcode::binary, "last") == ws::error::none);
  std::string sent = e.take_sent();
  e.flush_late = true;
  e.read(frame(ws::role::server, 0x89, "ping") + close_frame(ws::role::server, 1000).substr(0, 3));
  sent += e.take_sent();  // the pong
  e.read(close_frame(ws::role::server, 1000).substr(3));
  sent += e.take_sent();  // the Close
  std::vector<std::string> keys;
  std::string_view rest = sent;
  while (!rest.empty()) {
    sent_frame f;
    REQUIRE(take_frame(rest, f) == "");
    CHECK(f.is_masked);
    keys.push_back(f.key);
  }
  CHECK(keys.size() == 11);
  return keys;
}

}  // namespace

TEST_CASE("F21 every key is made of bytes of the source, each used once", "[masking_keys][F21]") {
  test_entropy entropy;
  ws::masking_keys keys{&test_entropy::fill, &entropy};
  std::set<std::string> seen;
  for (std::size_t i = 1; i <= 5000; ++i) {
    std::uint32_t key = 0;
    REQUIRE(keys.next(key));
    seen.insert(four_bytes(key));
    CHECK(entropy.bytes >= 4 * i);  // no more keys than bytes were drawn
  }
  CHECK(seen.size() == 5000);
  CHECK(entropy.calls <= 5000 / 16);  // asked for many at a time

  // All the bytes of one draw come out, once each.
  counting_source counting;
  ws::masking_keys counted{&counting_source::fill, &counting};
  std::set<char> bytes;
  for (int i = 0; i < 64; ++i) {
    std::uint32_t key = 0;
    REQUIRE(counted.next(key));
    for (const char c : four_bytes(key)) CHECK(bytes.insert(c).second);
  }
  CHECK(bytes.size() == 256);
}

TEST_CASE("F21 a source that fails gives no key, and is asked again", "[masking_keys][F21]") {
  test_entropy entropy;
  ws::masking_keys keys{&test_entropy::fill, &entropy};
  std::uint32_t key = 0x01020304;
  entropy.fails = true;
  for (int i = 0; i < 3; ++i) CHECK(!keys.next(key));
  CHECK(key == 0x01020304);
  entropy.fails = false;
  CHECK(keys.next(key));
  // It fails when the pool is used up, not before, and no old bytes come again.
  std::set<std::string> seen{four_bytes(key)};
  entropy.fails = true;
  std::size_t given = 1;
  while (keys.next(key)) {
    CHECK(seen.insert(four_bytes(key)).second);
    ++given;
  }
  CHECK(given * 4 == entropy.bytes);
  CHECK(!keys.next(key));
  entropy.fails = false;
  CHECK(keys.next(key));
  CHECK(seen.insert(four_bytes(key)).second);
}

TEST_CASE("F21 without a source there are no keys and no nonces", "[masking_keys][F21]") {
  ws::masking_keys none{nullptr};
  std::uint32_t key = 7;
  CHECK(!none.next(key));
  CHECK(key == 7);
  char nonce[16];
  CHECK(!none.fill(nonce, sizeof nonce));
}

TEST_CASE("F21 a nonce comes straight from the source, whole or not at all", "[masking_keys][F21]") {
  counting_source counting;
  ws::masking_keys keys{&counting_source::fill, &counting};
  char nonce[16];
  REQUIRE(keys.fill(nonce, sizeof nonce));
  CHECK(to_hex({nonce, 16}) == "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f");
  std::uint32_t key = 0;
  REQUIRE(keys.next(key));
  REQUIRE(keys.fill(nonce, sizeof nonce));
  CHECK(to_hex({nonce, 16}) == "10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f");  // 256 bytes later
}

TEST_CASE("F21 a client masks every frame with a fresh key, control frames and answers too", "[masking_keys][F21]") {
  const ws::options opt;
  const plan p{.self = ws::role::client};
  for (const through way : {through::connection, through::session}) {
    const auto e = make_endpoint(p, opt, way);
    const std::vector<std::string> used = keys_of_all_kinds(*e);
    CHECK(std::set<std::string>(used.begin(), used.end()).size() == used.size());
    // They are what a pool over the same source gives: nothing else was mixed in, none was left out.
    test_entropy same;
    ws::masking_keys pool{&test_entropy::fill, &same};
    for (const std::string& key : used) {
      std::uint32_t next = 0;
      REQUIRE(pool.next(next));
      CHECK(to_hex(four_bytes(next)) == to_hex(key));
    }
  }
}

TEST_CASE("F21 two connections on one pool never have the same key", "[masking_keys][F21]") {
  const ws::options opt;
  test_entropy entropy;
  ws::masking_keys shared{&test_entropy::fill, &entropy};
  char scratch[2][ws::min_scratch];
  ws::connection a{ws::role::client, ws::negotiated{}, opt, scratch[0], &shared};
  ws::connection b{ws::role::client, ws::negotiated{}, opt, scratch[1], &shared};
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i)
    for (ws::connection* c : {&a, &b}) {
      char memory[32];
      ws::output out{memory};
      REQUIRE(c->send(out, ws::opcode::text, "same text") == ws::error::none);
      std::string_view rest = out.written();
      sent_frame f;
      REQUIRE(take_frame(rest, f) == "");
      CHECK(f.payload == "same text");
      CHECK(seen.insert(f.key).second);
    }
}

TEST_CASE("F21 when the source fails every send is refused, nothing is written, and it may be tried again",
          "[masking_keys][F21]") {
  const ws::options opt;
  const plan p{.self = ws::role::client};
  for (const through way : {through::connection, through::session}) {
    const auto e = make_endpoint(p, opt, way);
    const auto refused = [&] {
      CHECK(e->send(ws::opcode::text, "x") == ws::error::no_entropy);
      CHECK(e->send(ws::opcode::text, "", false) == ws::error::no_entropy);
      CHECK(e->ping("x") == ws::error::no_entropy);
      CHECK(e->pong("x") == ws::error::no_entropy);
      CHECK(e->close() == ws::error::no_entropy);
      CHECK(e->take_sent().empty());
      CHECK(e->is_open());
      CHECK(e->why() == ws::error::none);
      CHECK(e->wants() == ws::transport::keep);
    };
    e->entropy.fails = true;
    refused();
    refused();
    e->entropy.fails = false;
    CHECK(e->send(ws::opcode::text, "a", false) == ws::error::none);
    while (e->ping("") == ws::error::none && !e->entropy.fails) e->entropy.fails = e->entropy.calls >= 3;
    // Refused inside a message too; it goes on where it was.
    while (e->ping("") == ws::error::none) {
    }
    (void)e->take_sent();
    CHECK(e->send(ws::opcode::continuation, "b") == ws::error::no_entropy);
    CHECK(e->send(ws::opcode::binary, "b") == ws::error::send_out_of_order);
    e->entropy.fails = false;
    CHECK(e->send(ws::opcode::continuation, "b") == ws::error::none);
    CHECK(describe_sent(ws::role::client, e->take_sent()) == "-> ... \"b\"\n");
  }
}

TEST_CASE("F21 a client without keys reads all the same, and what it owes is not written", "[masking_keys][F21][K14]") {
  const ws::options opt;
  struct {
    std::string input, log, end;
  } const cases[] = {
      {frame(ws::role::server, 0x89, "p"), "ping \"p\"\n", "= open keep"},
      {close_frame(ws::role::server, 1000), "close 1000 \"\"\n", ""},
      {frame(ws::role::server, 0xA1, ""), "failed rsv2_set @0\n", "= failed half_close 1006"},
      {frame(ws::role::server, 0x89, "p") + frame(ws::role::server, 0xA1, ""), "ping \"p\"\nfailed rsv2_set @3\n",
       "= failed half_close 1006"},
  };
  const plan p{.self = ws::role::client};
  for (const auto& c : cases)
    for (const through way : all_ways) {
      const auto e = make_endpoint(p, opt, way);
      e->entropy.fails = true;
      e->read(c.input);
      INFO(name(way) << " " << c.log);
      CHECK(e->log.text() == c.log);
      CHECK(e->take_sent().empty());
      CHECK(e->wants() != ws::transport::flush);  // there will never be anything to flush
      if (!c.end.empty()) CHECK(e->end_line() == c.end);
    }
}

TEST_CASE("F21 a server needs no keys and asks for none", "[masking_keys][F21]") {
  const ws::options opt;
  const plan p{.self = ws::role::server};
  for (const through way : {through::connection, through::session}) {
    const auto e = make_endpoint(p, opt, way);
    e->entropy.fails = true;
    CHECK(e->send(ws::opcode::text, "x") == ws::error::none);
    CHECK(e->ping("y") == ws::error::none);
    CHECK(e->close() == ws::error::none);
    CHECK(to_hex(e->take_sent()) == "81 01 78 89 01 79 88 02 03 e8");
    CHECK(e->entropy.calls == 0);
  }
}

TEST_CASE("F21 a source that fails once refuses that send, which asks it once", "[masking_keys][F21]") {
  struct failing_once {
    int calls = 0;
    static bool fill(void* self, char* to, std::size_t n) {
      std::memset(to, 'k', n);
      return ++static_cast<failing_once*>(self)->calls != 1;
    }
  };
  for (int what = 0; what < 3; ++what) {
    failing_once source;
    ws::masking_keys keys{&failing_once::fill, &source};
    const ws::options opt;
    char scratch[ws::min_scratch];
    char memory[64];
    ws::output out{memory};
    ws::connection connection{ws::role::client, ws::negotiated{}, opt, scratch, &keys};
    ws::session session{ws::role::client, ws::negotiated{}, opt, &keys};
    std::uint32_t key = 0;
    const auto send = [&] {
      if (what == 0) return connection.send(out, ws::opcode::binary, "x");
      if (what == 1) return connection.head(out, ws::opcode::binary, 1, true, key);
      return session.send(ws::opcode::binary, "x");
    };
    CHECK(send() == ws::error::no_entropy);
    CHECK(source.calls == 1);
    CHECK(out.size() == 0);
    CHECK(session.output().empty());
    CHECK(send() == ws::error::none);
    CHECK(source.calls == 2);
    for (int i = 0; i < 63; ++i) {  // as many as the pool holds
      out.clear();
      CHECK(send() == ws::error::none);
    }
    CHECK(source.calls == 2);
    out.clear();
    CHECK(send() == ws::error::none);
    CHECK(source.calls == 3);
  }
}
