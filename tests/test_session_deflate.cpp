// Sessions with permessage-deflate over zlib: rules D01-D18 as a whole endpoint keeps them, and their memory.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/deflate.hpp"
#include "support/wire.hpp"
#include "wscodec/session.hpp"
#include "wscodec/zlib.hpp"

using namespace wire;

namespace {

struct setup {
  ws::deflate_options deflate{.engine = &ws::zlib_engine};
  ws::extension_hook hook;
  ws::options options;

  explicit setup(const ws::deflate_options& opt = {.engine = &ws::zlib_engine}) : deflate(opt), hook(ws::permessage_deflate(deflate)) {
    options.extension = &hook;
  }
  setup(const setup&) = delete;
  setup& operator=(const setup&) = delete;
};

/// A server and a client, and the bytes between them.
struct both_ends {
  setup server_side, client_side;
  test_entropy entropy;
  ws::masking_keys keys{&test_entropy::fill, &entropy};
  ws::session server, client;
  std::string to_server, to_client;        // everything that was sent, once it is delivered
  std::vector<std::string> at_server, at_client;  // what came of it, a line an event
  std::vector<std::string> messages;       // the payloads, at either
  bool failed = false;
  bool echo = false;
  std::size_t cut = ~std::size_t{0};  // the size of a read

  explicit both_ends(const ws::deflate_options& server_options = {.engine = &ws::zlib_engine},
                const ws::deflate_options& client_options = {.engine = &ws::zlib_engine}, const ws::allocator* server_memory = nullptr,
                const ws::allocator* client_memory = nullptr)
      : server_side(server_options),
        client_side(client_options),
        server(ws::role::server, server_side.options, nullptr, server_memory),
        client(ws::role::client, client_side.options, &keys, client_memory) {}

  bool open() {
    if (client.connect({.host = "a"}) != ws::error::none) return false;
    run();
    return server.is_open() && client.is_open();
  }
  ws::deflate_agreement agreed() const { return ws::deflate_agreement::of(client.agreed().agreement); }

  /// Delivers until both are silent.
  void run() {
    while (server.buffered_amount() + client.buffered_amount() != 0) {
      deliver(client, server, to_server, at_server);
      deliver(server, client, to_client, at_client);
    }
  }
  void deliver(ws::session& from, ws::session& to, std::string& sent, std::vector<std::string>& log) {
    std::string bytes;
    while (!from.output().empty()) {
      bytes += from.output();
      from.consume(from.output().size());
    }
    sent += bytes;
    for (std::size_t at = 0; at < bytes.size(); at += std::min(cut, bytes.size() - at)) {
      const std::size_t n = std::min(cut, bytes.size() - at);
      const std::unique_ptr<char[]> memory{new char[n]};
      std::memcpy(memory.get(), bytes.data() + at, n);
      std::span<char> rest{memory.get(), n};
      while (const ws::event ev = to.next(rest)) {
        event_log one;
        if (ev.payload.size() < 300) one.add(ev, to.offset());
        log.push_back(one.text());
        if (ev.type == ws::event_type::request && to.accept() != ws::error::none) failed = true;
        if (ev.type == ws::event_type::failed) failed = true;
        if (ev.type == ws::event_type::message) messages.emplace_back(ev.payload);
        if (ev.type == ws::event_type::message && (ev.compressed || !ev.first || !ev.last)) failed = true;
        if (ev.type == ws::event_type::message && echo && &to == &server && to.send(ev.opcode, ev.payload) != ws::error::none) failed = true;
      }
    }
  }
  /// Sends a message and gives what the other end made of it.
  std::string pass(ws::session& from, std::string_view text, ws::compression how = ws::compression::automatic) {
    messages.clear();
    if (from.send(ws::opcode::binary, text, true, how) != ws::error::none) return "not sent";
    run();
    return messages.size() == 1 ? messages[0] : "not received";
  }
};

/// The first byte of the first frame that a session is about to send.
unsigned first_byte(const ws::session& s) { return static_cast<unsigned char>(s.output().at(0)); }

std::string sample(std::size_t n) {
  std::string out;
  for (unsigned i = 0; out.size() < n; ++i)
    out += "{\"id\":" + std::to_string(i * 7919 % 1000) + ",\"name\":\"\xC3\xA9t\xC3\xA9 \xE2\x82\xAC\",\"ok\":true},";
  return out.substr(0, n);
}

// ---- input given to one session

const std::string packed_hello = hex("f2 48 cd c9 c9 07 00");

/// What a session of this role makes of an input, as text; with takeover and windows of 15 bits unless told otherwise.
std::string outcome_of(ws::role self, const std::string& input, through way, std::initializer_list<std::size_t> cuts = {}, bool bytes = false,
                       std::uint64_t max_message = 1 << 20, const ws::deflate_agreement& agreed = {}) {
  static const setup s;
  plan p;
  p.self = self;
  p.input = input;
  p.agreed = {&s.hook, agreed.number()};
  p.options = [&](ws::options& opt) {
    opt.extension = &s.hook;
    opt.max_message = max_message;
  };
  return run(p, way, cuts, bytes).whole;
}

/// Checks both roles, whole, byte by byte, and at every split; `expected` as in wire.hpp.
void check_both(const std::function<std::string(ws::role sender)>& input, const std::function<std::string(ws::role self)>& expected,
                std::uint64_t max_message = 1 << 20, const ws::deflate_agreement& agreed = {}) {
  for (const ws::role self : both_roles) {
    const std::string in = input(other(self)), log = trim_lines(expected(self));
    for (const through way : {through::session, through::prepared}) {
      INFO(name(self) << " " << name(way) << " reads " << (in.size() < 200 ? to_hex(in) : std::to_string(in.size()) + " bytes"));
      CHECK(outcome_of(self, in, way, {}, false, max_message, agreed) == log);
      CHECK(outcome_of(self, in, way, {}, true, max_message, agreed) == log);
      for (std::size_t i = 1; i < in.size() && in.size() <= 300; ++i)
        if (const std::string got = outcome_of(self, in, way, {i}, false, max_message, agreed); got != log) {
          INFO("cut at " << i);
          CHECK(got == log);
          break;
        }
    }
  }
}

std::string failure(std::string_view rule, std::size_t offset, unsigned code) {
  return "failed " + std::string{rule} + " @" + std::to_string(offset) + "\n-> close " + std::to_string(code) + " \"\"\n= failed half_close 1006\n";
}

}  // namespace

TEST_CASE("D05 D06 compressed and plain messages, whole and in fragments, with pings between them", "[deflate][D02][D05][D06][D14]") {
  check_both(
      [](ws::role r) {
        return frame(r, 0xC1, packed_hello) + frame(r, 0x81, "plain") + frame(r, 0xC1, hex("f2 00 11 00 00")) +
               frame(r, 0x41, packed_hello.substr(0, 3)) + frame(r, 0x89, "?") + frame(r, 0x00, "") +
               frame(r, 0x80, packed_hello.substr(3)) + frame(r, 0xC2, "\0"sv) + frame(r, 0x02, "a") + frame(r, 0x80, "b");
      },
      [](ws::role) {
        return "text \"Hello\"\ntext \"plain\"\ntext \"Hello\"\nping \"?\"\n-> pong \"?\"\ntext \"Hello\"\nbinary \"\"\nbinary \"ab\"\n= open keep\n";
      });
}

TEST_CASE("D05 offsets go on behind compressed messages", "[deflate][D05]") {
  for (const ws::role self : both_roles) {
    const std::string good = frame(other(self), 0xC1, packed_hello) + frame(other(self), 0xC1, std::string(1, '\0'));
    for (const bool bytes : {false, true}) {
      const std::string expected = "text \"Hello\"\ntext \"\"\nfailed rsv2_set @" + std::to_string(good.size()) + "\n";
      CHECK(outcome_of(self, good + frame(other(self), 0xA1, "x"), through::session, {}, bytes).starts_with(expected));
    }
  }
}

TEST_CASE("D14 a ping inside a compressed message leaves its text and its size as they are", "[deflate][D14][D13][F16]") {
  const std::string euro = deflate_bits{}.stored("\xE2\x82").stored("\xAC").message();
  check_both([&](ws::role r) { return frame(r, 0x41, euro.substr(0, 7)) + frame(r, 0x89, "?") + frame(r, 0x80, euro.substr(7)); },
             [](ws::role) { return "ping \"?\"\n-> pong \"?\"\ntext \"\\xe2\\x82\\xac\"\n= open keep\n"; });
  const std::string sixty(60, 'x');
  const std::string first = deflate_bits{}.stored(sixty).bytes(), second = deflate_bits{}.stored(sixty).message();
  for (const ws::role self : both_roles) {
    const std::string input = frame(other(self), 0x42, first) + frame(other(self), 0x89, "?") + frame(other(self), 0x80, second);
    CHECK(outcome_of(self, input, through::session, {}, false, 119).starts_with("ping \"?\"\n-> pong \"?\"\nfailed message_too_big @"));
    CHECK(outcome_of(self, input, through::session, {}, false, 120) == "ping \"?\"\n-> pong \"?\"\nbinary " + show(sixty + sixty) + "\n= open keep\n");
  }
}

TEST_CASE("D04 final blocks and data after them, whatever the cut", "[deflate][D04]") {
  std::string bytes = deflate_bits{}.begin(true, 1).literals("one ").end_block().bytes() + deflate_bits{}.stored("two ", true).bytes();
  bytes += deflate_bits{}.begin(true, 1).literals("three ").copy_3(14).end_block().bytes();
  check_both([&](ws::role r) { return frame(r, 0xC1, bytes) + frame(r, 0xC1, deflate_bits{}.begin(false, 1).copy_3(4).end_block().message()); },
             [](ws::role) { return "text \"one two three one\"\ntext \" on\"\n= open keep\n"; });
}

TEST_CASE("D01 D04 what goes to the inflater together with its tail is as in pieces, at the largest size too", "[deflate][D01][D04]") {
  const std::string next = deflate_bits{}.begin(false, 1).copy_3(4).end_block().message();
  for (std::size_t n = 1012; n < 1024; ++n) {
    const std::string block = noise_bytes(n);
    const std::string expected = "binary " + show(block) + "\nbinary " + show(block.substr(n - 4, 3)) + "\n= open keep\n";
    for (const std::string& bytes : {deflate_bits{}.stored(block).message(), deflate_bits{}.stored(block, true).bytes()})
      check_both([&](ws::role r) { return frame(r, 0xC2, bytes) + frame(r, 0xC2, next); }, [&](ws::role) { return expected; });
  }
  // Every byte of a message made of fixed, stored and final blocks is broken in some ways: the verdicts are the same.
  const std::string good = deflate_bits{}.begin(false, 1).literals("one ").end_block().stored("two ").begin(true, 1).literals("three").end_block().bytes();
  std::size_t failures = 0;
  for (std::size_t at = 0; at < good.size(); ++at)
    for (const unsigned flip : {0x01U, 0x02U, 0x04U, 0x10U, 0x80U, 0xFFU}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ flip);
      const std::string input = frame(ws::role::client, 0xC2, bytes);
      const auto verdict = [&](bool in_bytes) {
        std::string log = outcome_of(ws::role::server, input, through::session, {}, in_bytes);
        if (log.starts_with("failed")) log = log.substr(0, log.find('@'));
        return log;
      };
      INFO(to_hex(bytes));
      CHECK(verdict(false) == verdict(true));
      failures += verdict(false).starts_with("failed") ? 1U : 0U;
    }
  CHECK(failures > 20);
}

TEST_CASE("D02 large compressed frames, also read where prepare says", "[deflate][D02]") {
  const std::string block = noise_bytes(50000);
  const std::string bytes = deflate_bits{}.stored(block).message();
  check_both([&](ws::role r) { return frame(r, 0xC2, bytes) + frame(r, 0x42, bytes.substr(0, 20000)) + frame(r, 0x80, bytes.substr(20000)); },
             [&](ws::role) { return "binary " + show(block) + "\nbinary " + show(block) + "\n= open keep\n"; });
}

TEST_CASE("D02 D05 a stored block of 65,535 bytes in frames of one byte", "[deflate][D02][D05]") {
  const std::string block = noise_bytes(65535);
  const std::string bytes = deflate_bits{}.stored(block).message();
  const setup s;
  for (const ws::role self : both_roles) {
    ws::options options = s.options;
    options.max_fragments = 70000;
    ws::session session{self, ws::negotiated{&s.hook, ws::deflate_agreement{}.number()}, options};
    std::string whole;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      std::string one = frame(other(self), (i == 0 ? 0x42U : 0U) | (i + 1 == bytes.size() ? 0x80U : 0U), bytes.substr(i, 1));
      std::span<char> rest{one};
      while (const ws::event ev = session.next(rest)) {
        REQUIRE(ev.type == ws::event_type::message);
        whole = ev.payload;
      }
    }
    CHECK(whole == block);
  }
}

TEST_CASE("D07 D17 the second message refers 32,768 bytes back, also over a release", "[deflate][D07][D17]") {
  const std::string block = noise_bytes(40000);
  const std::string back = deflate_bits{}.begin(false, 1).copy_3(32768).end_block().message();
  const setup s;
  for (const ws::role self : both_roles)
    for (const bool released : {false, true}) {
      ws::session session{self, ws::negotiated{&s.hook, ws::deflate_agreement{}.number()}, s.options};
      std::vector<std::string> messages;
      for (const std::string& bytes : {deflate_bits{}.stored(block).message(), back, back}) {
        std::string one = frame(other(self), 0xC2, bytes);
        std::span<char> rest{one};
        while (const ws::event ev = session.next(rest)) {
          REQUIRE(ev.type == ws::event_type::message);
          messages.emplace_back(ev.payload);
        }
        if (released) session.release();
      }
      CHECK(messages == std::vector<std::string>{block, block.substr(40000 - 32768, 3), block.substr(40003 - 32768, 3)});
    }
}

TEST_CASE("D03 RSV1 on a message without any payload fails with 1007", "[deflate][D03]") {
  check_both([](ws::role r) { return frame(r, 0xC1, ""); }, [](ws::role r) { return failure("deflate_data_corrupt", r == ws::role::server ? 6 : 2, 1007); });
  check_both([](ws::role r) { return frame(r, 0x42, "") + frame(r, 0x00, "") + frame(r, 0x80, ""); },
             [](ws::role r) { return failure("deflate_data_corrupt", r == ws::role::server ? 18 : 6, 1007); });
}

TEST_CASE("D12 corrupt data fails with 1007", "[deflate][D12]") {
  for (const std::string& bad : {hex("07"), hex("00 05 00 05 00"), deflate_bits{}.begin(false, 1).literals("abc").copy_3(4).bytes()})
    for (const ws::role self : both_roles) {
      const std::string log = outcome_of(self, frame(other(self), 0xC2, bad), through::session);
      CHECK(log.starts_with("failed deflate_data_corrupt @"));
      CHECK(log.find("-> close 1007 \"\"\n") != log.npos);
    }
}

TEST_CASE("F15 F16 compressed text that is not UTF-8 fails with 1007", "[deflate][F15][F16]") {
  for (const std::string_view bad : {"abc\xFF"sv, "abc\xE2\x82"sv})
    for (const ws::role self : both_roles) {
      const std::string bytes = deflate_bits{}.stored(bad).message();
      CHECK(outcome_of(self, frame(other(self), 0xC1, bytes), through::session).starts_with("failed text_not_utf8 @"));
      CHECK(outcome_of(self, frame(other(self), 0xC2, bytes), through::session).starts_with("binary "));
    }
  // Cut between two blocks, and two frames.
  const std::string euro = deflate_bits{}.stored("\xE2").stored("\x82").stored("\xAC").message();
  check_both([&](ws::role r) { return frame(r, 0x41, euro.substr(0, 7)) + frame(r, 0x80, euro.substr(7)); },
             [](ws::role) { return "text \"\\xe2\\x82\\xac\"\n= open keep\n"; });
}

TEST_CASE("D07 a peer that keeps its context though none was agreed fails with 1007", "[deflate][D07]") {
  for (const ws::role self : both_roles) {
    const std::string input = frame(other(self), 0xC1, packed_hello) + frame(other(self), 0xC1, hex("f2 00 11 00 00"));
    ws::deflate_agreement theirs, ours;
    (self == ws::role::server ? theirs.client_no_context_takeover : theirs.server_no_context_takeover) = true;
    (self == ws::role::server ? ours.server_no_context_takeover : ours.client_no_context_takeover) = true;
    const std::string refused = outcome_of(self, input, through::session, {}, false, 1 << 20, theirs);
    CHECK(refused.starts_with("text \"Hello\"\nfailed deflate_data_corrupt @"));
    CHECK(refused.find("\n-> close 1007 \"\"\n") != refused.npos);
    CHECK(outcome_of(self, input, through::session, {}, false, 1 << 20, ours) == "text \"Hello\"\ntext \"Hello\"\n= open keep\n");
  }
}

TEST_CASE("F07 RSV1 on a continuation or control frame, and without agreement", "[deflate][F07]") {
  for (const ws::role self : both_roles) {
    const ws::role peer = other(self);
    const std::string begun = frame(peer, 0x41, packed_hello.substr(0, 3));
    CHECK(outcome_of(self, begun + frame(peer, 0xC0, packed_hello.substr(3)), through::session).starts_with("failed rsv1_unexpected @"));
    CHECK(outcome_of(self, frame(peer, 0xC9, ""), through::session).starts_with("failed rsv1_unexpected @"));
    // Whole small frames that are not what the inflater may be given.
    for (const unsigned first : {0xC0U, 0xC3U, 0xC4U}) {
      const std::string got = outcome_of(self, frame(peer, first, packed_hello), through::session);
      CHECK(got == outcome_of(self, frame(peer, first, packed_hello), through::session, {1}));
      CHECK(got.starts_with(first == 0xC0U ? "failed " : "failed opcode_reserved @"));
    }
  }
}

TEST_CASE("F05 a compressed frame that is masked wrongly fails like any other", "[deflate][F05]") {
  for (const ws::role self : both_roles) {
    const std::string plain = outcome_of(self, frame(self, 0x81, "Hello"), through::session);
    CHECK(plain.starts_with("failed mask"));
    CHECK(outcome_of(self, frame(self, 0xC1, packed_hello), through::session) == plain);
  }
}

TEST_CASE("D13 F18 the limits of both sizes", "[deflate][D13][F18]") {
  for (const ws::role self : both_roles) {
    const ws::role peer = other(self);
    for (const std::size_t limit : {100U, 16384U, 40000U}) {
      for (int more = -1; more <= 1; ++more) {
        const std::string text(limit + static_cast<std::size_t>(more), 'x');
        both_ends l{{.engine = &ws::zlib_engine}, {.engine = &ws::zlib_engine}};
        l.server_side.options.max_message = l.client_side.options.max_message = limit;
        REQUIRE(l.open());
        ws::session& from = self == ws::role::server ? l.client : l.server;
        const std::string got = l.pass(from, text);
        CHECK((got == text) == (more <= 0));
        CHECK((self == ws::role::server ? l.server : l.client).why() == (more <= 0 ? ws::error::none : ws::error::message_too_big));
        if (more == 1) CHECK(from.code() == ws::close_code::message_too_big);
      }
      // The compressed bytes: limit + limit/64 + 1 KiB, decided at the head. These inflate to nothing.
      const std::uint64_t packed = limit + limit / 64 + 1024;
      std::string nothing;
      while (nothing.size() + 5 <= packed) nothing += hex("00 00 00 ff ff");
      nothing = nothing.substr(0, nothing.size() - 4);
      CHECK(outcome_of(self, frame(peer, 0xC2, nothing), through::session, {}, false, limit) == "binary \"\"\n= open keep\n");
      CHECK(outcome_of(self, head(peer, 0xC2, packed), through::session, {}, false, limit) == "= open keep\n");
      CHECK(outcome_of(self, head(peer, 0xC2, packed + 1), through::session, {}, false, limit).starts_with("failed message_too_big @"));
      CHECK(outcome_of(self, frame(peer, 0x42, nothing) + head(peer, 0x80, packed), through::session, {}, false, limit)
                .starts_with("failed message_too_big @"));
    }
  }
}

TEST_CASE("D13 F18 a message that fills its memory up to the limit asks for no more", "[deflate][D13][F18][memory]") {
  for (const std::size_t limit : {0U, 600U, 20'000U}) {
    std::size_t calls[2];
    for (const std::size_t spare : {0U, 1U}) {
      counting_allocator memory;
      both_ends l{{.engine = &ws::zlib_engine}, {.engine = &ws::zlib_engine, .threshold = 0}, memory.hook()};
      l.server_side.options.max_message = limit + spare;
      REQUIRE(l.open());
      const std::size_t before = memory.calls;
      const std::string text(limit, 'x');
      CHECK((l.pass(l.client, text) == text));
      CHECK(memory.mistakes == 0);
      calls[spare] = memory.calls - before;
    }
    INFO(limit);
    CHECK(calls[0] <= calls[1]);
  }
}

TEST_CASE("D13 an inflated message has at most twice the memory it needs", "[deflate][D13][memory]") {
  for (const std::size_t n : {500'000U, 1'000'000U, 1'200'000U, 1'400'000U, 2'000'000U}) {
    counting_allocator memory;
    both_ends l{{.engine = &ws::zlib_engine}, {.engine = &ws::zlib_engine}, memory.hook()};
    l.server_side.options.max_message = 16 << 20;
    REQUIRE(l.open());
    l.cut = 1;
    CHECK((l.pass(l.client, std::string(n, 'x')) == std::string(n, 'x')));
    CHECK(memory.largest <= 2 * n);
  }
}

TEST_CASE("D13 a bomb of 16 MiB under a limit of 1 MiB never has more than 1.1 MiB, and the client reads the 1009", "[deflate][D13][memory]") {
  for (const std::size_t read : {std::size_t{1}, std::size_t{700}, ~std::size_t{0}}) {
    counting_memory memory;
    {
      both_ends l{{.engine = &ws::zlib_engine}, {.engine = &ws::zlib_engine}, &memory.hook};
      l.server_side.options.max_message = 1 << 20;
      REQUIRE(l.open());
      l.cut = read;
      CHECK(l.pass(l.client, std::string(std::size_t{16} << 20, 'x')) == "not received");
      CHECK(l.server.why() == ws::error::message_too_big);
      CHECK(l.client.code() == ws::close_code::message_too_big);
      CHECK(memory.peak < (std::size_t{1} << 20) * 11 / 10);
    }
    CHECK(memory.live == 0);
  }
}

TEST_CASE("D10 D18 every pair of windows and every takeover, both ways", "[deflate][D07][D10][D18]") {
  const std::string messages[] = {sample(3000), sample(100), noise_bytes(700), sample(3000), std::string(1000, 'a'), sample(70)};
  for (std::uint8_t server = 8; server <= 15; ++server)
    for (std::uint8_t client = 8; client <= 15; ++client)
      for (unsigned flags = 0; flags < 4; ++flags) {
        const ws::deflate_options opt{.engine = &ws::zlib_engine,
                                      .server_max_window_bits = server,
                                      .client_max_window_bits = client,
                                      .server_no_context_takeover = (flags & 1) != 0,
                                      .client_no_context_takeover = (flags & 2) != 0};
        const ws::deflate_options bare{.engine = &ws::zlib_engine};
        for (const bool client_asks : {false, true}) {
          both_ends l{client_asks ? bare : opt, client_asks ? opt : bare};
          REQUIRE(l.open());
          const ws::deflate_agreement a = l.agreed();
          const ws::deflate_agreement b = ws::deflate_agreement::of(l.server.agreed().agreement);
          CHECK((a.server_max_window_bits == b.server_max_window_bits && a.client_max_window_bits == b.client_max_window_bits));
          CHECK((a.server_max_window_bits == server && a.client_max_window_bits == client));
          CHECK((a.server_no_context_takeover == ((flags & 1) != 0) && a.client_no_context_takeover == ((flags & 2) != 0)));
          l.cut = 100;
          for (const std::string& m : messages) {
            if (l.pass(l.client, m) != m) FAIL("to the server: " << int{server} << " " << int{client} << " " << flags);
            if (l.pass(l.server, m) != m) FAIL("to the client: " << int{server} << " " << int{client} << " " << flags);
          }
        }
      }
}

TEST_CASE("D15 messages below the threshold, and those that would grow, are sent as they are", "[deflate][D15]") {
  for (const bool takeover : {true, false}) {
    const ws::deflate_options opt{.engine = &ws::zlib_engine, .server_no_context_takeover = !takeover, .client_no_context_takeover = !takeover};
    both_ends l{opt, opt};
    REQUIRE(l.open());
    for (ws::session* s : {&l.server, &l.client}) {
      const auto first = [&](std::string_view text, ws::compression how = ws::compression::automatic) {
        REQUIRE(s->send(ws::opcode::binary, text, true, how) == ws::error::none);
        const unsigned byte = first_byte(*s);
        l.messages.clear();
        l.run();
        CHECK((l.messages.size() == 1 && l.messages[0] == text));
        return byte;
      };
      CHECK(first(std::string(63, 'a')) == 0x82);
      CHECK(first(std::string(64, 'a')) == 0xC2);
      CHECK(first(std::string(64, 'a'), ws::compression::off) == 0x82);
      CHECK(first("") == 0x82);
      // With takeover what grows is sent compressed: the compressor remembers it, and the next message may refer to it.
      const std::string noise = noise_bytes(1000);
      CHECK(first(noise) == (takeover ? 0xC2U : 0x82U));
      CHECK(first(noise + sample(200)) == 0xC2);
      CHECK(first(noise_bytes(100000)) == (takeover ? 0xC2U : 0x82U));
      CHECK(first(sample(300)) == 0xC2);
    }
  }
}

TEST_CASE("D15 without takeover what would stay as long as it is is sent as it is", "[deflate][D15]") {
  std::size_t as_long = 0;
  for (std::size_t n = 0; n < 60; ++n) {
    const std::string text = noise_bytes(100) + std::string(n, 'a');
    std::size_t compressed = 0;
    for (const bool takeover : {true, false}) {
      const ws::deflate_options opt{.engine = &ws::zlib_engine, .server_no_context_takeover = !takeover};
      both_ends l{opt, opt};
      REQUIRE(l.open());
      REQUIRE(l.server.send(ws::opcode::binary, text) == ws::error::none);
      const std::size_t frame = l.server.buffered_amount();
      if (takeover) compressed = frame - (frame < 128 ? 2 : 4);
      else CHECK(first_byte(l.server) == (compressed < text.size() ? 0xC2 : 0x82));
    }
    as_long += compressed == text.size() ? 1U : 0U;
  }
  CHECK(as_long != 0);
}

TEST_CASE("D15 a streamed message decides before its first frame, and only that has RSV1", "[deflate][D15][F07]") {
  both_ends l;
  REQUIRE(l.open());
  for (ws::session* s : {&l.server, &l.client})
    for (const ws::compression how : {ws::compression::automatic, ws::compression::off}) {
      const std::size_t before = (s == &l.server ? l.to_client : l.to_server).size();
      l.messages.clear();
      REQUIRE(s->send(ws::opcode::text, "Hel", false, how) == ws::error::none);
      REQUIRE(s->ping("?") == ws::error::none);
      REQUIRE(s->send(ws::opcode::continuation, "", false) == ws::error::none);
      REQUIRE(s->send(ws::opcode::continuation, sample(500), false) == ws::error::none);
      CHECK(s->send(ws::opcode::binary, "x") == ws::error::send_out_of_order);
      CHECK(s->send(ws::opcode::continuation, "\xFF") == ws::error::send_text_not_utf8);
      REQUIRE(s->send(ws::opcode::continuation, "", true, how) == ws::error::none);
      l.run();
      CHECK((l.messages.size() == 1 && l.messages[0] == "Hel" + sample(500)));
      std::string_view sent = std::string_view{s == &l.server ? l.to_client : l.to_server}.substr(before);
      std::string firsts;
      for (sent_frame f; take_frame(sent, f).empty();) firsts += to_hex(std::string(1, static_cast<char>(static_cast<unsigned char>(f.first)))) + " ";
      CHECK(firsts == (how == ws::compression::automatic ? "41 89 00 00 80 " : "01 89 00 00 80 "));
    }
}

TEST_CASE("D15 a message that began uncompressed, before any that was, goes on so", "[deflate][D15]") {
  for (const bool inflates_first : {false, true}) {
    both_ends l;
    REQUIRE(l.open());
    if (inflates_first) CHECK(l.pass(l.client, sample(100)) == sample(100));
    l.messages.clear();
    REQUIRE(l.server.send(ws::opcode::binary, sample(300), false, ws::compression::off) == ws::error::none);
    REQUIRE(l.server.send(ws::opcode::binary, sample(300), true) == ws::error::none);
    CHECK(l.server.buffered_amount() == 608);
    l.run();
    CHECK((l.messages.size() == 1 && l.messages[0] == sample(300) + sample(300)));
  }
}

TEST_CASE("D06 D11 where nothing is agreed nothing is compressed, and RSV1 fails", "[deflate][D06][D11]") {
  for (const bool server_has : {false, true}) {
    both_ends l;
    (server_has ? l.client_side : l.server_side).options.extension = nullptr;
    REQUIRE(l.open());
    CHECK(l.client.agreed().agreement == 0);
    REQUIRE(l.client.send(ws::opcode::text, std::string(1000, 'a')) == ws::error::none);
    CHECK(first_byte(l.client) == 0x81);
    CHECK(l.pass(l.server, "x") == "not received");  // two messages came
    CHECK(l.messages.size() == 2);
  }
  const ws::options opt;
  for (const ws::role self : both_roles)
    for (const unsigned first : {0xC1U, 0xC2U, 0x41U}) {
      ws::session s{self, ws::negotiated{}, opt, nullptr};
      std::string bytes = frame(other(self), first, packed_hello);
      std::span<char> rest{bytes};
      CHECK(s.next(rest).why() == ws::error::rsv1_unexpected);
      CHECK(s.offset() == 0);
    }
}

TEST_CASE("D06 without an engine compressed messages pass as they are", "[deflate][D06]") {
  const setup s{ws::deflate_options{}};
  session_endpoint e{ws::role::client, s.options, nullptr};
  ws::session session{ws::role::client, ws::negotiated{&s.hook, ws::deflate_agreement{}.number()}, s.options};
  std::string bytes = frame(ws::role::server, 0x41, packed_hello.substr(0, 3)) + frame(ws::role::server, 0x80, packed_hello.substr(3));
  std::span<char> rest{bytes};
  const ws::event ev = session.next(rest);
  CHECK(ev.type == ws::event_type::message);
  CHECK(ev.compressed);
  CHECK(ev.payload == packed_hello);
}

TEST_CASE("F21 without a masking key nothing is compressed either", "[deflate][F21]") {
  both_ends l;
  REQUIRE(l.open());
  REQUIRE(l.pass(l.client, sample(500)) == sample(500));
  l.entropy.fails = true;
  unsigned sent = 0;
  ws::error why = ws::error::none;
  for (; why == ws::error::none; ++sent) why = l.client.send(ws::opcode::binary, sample(400 + sent));
  CHECK(why == ws::error::no_entropy);
  l.messages.clear();
  l.entropy.fails = false;
  REQUIRE(l.client.send(ws::opcode::text, sample(500)) == ws::error::none);
  l.run();
  CHECK(l.messages.size() == sent);
  CHECK((!l.messages.empty() && l.messages.back() == sample(500)));
}

TEST_CASE("F21 a client that never had keys compresses nothing", "[deflate][F21]") {
  const setup s;
  ws::session client{ws::role::client, ws::negotiated{&s.hook, ws::deflate_agreement{}.number()}, s.options};
  CHECK(client.send(ws::opcode::binary, sample(500)) == ws::error::no_entropy);
  CHECK(client.buffered_amount() == 0);
}

TEST_CASE("F01 F05 a compressed frame with a wrong head fails like any other", "[deflate][F01][F05]") {
  for (const ws::role self : both_roles) {
    const ws::role peer = other(self);
    const std::string payload = peer == ws::role::client ? masked(packed_hello, rfc_key) : packed_hello;
    CHECK(outcome_of(self, wire::head(peer, 0xC1, 126U, std::string{"\0\7", 2}) + payload, through::session) == trim_lines(failure("length_not_minimal", 2, 1002)));
    CHECK(outcome_of(self, frame(self, 0xC1, packed_hello), through::session) ==
          trim_lines(failure(self == ws::role::server ? "mask_missing" : "mask_present", 1, 1002)));
  }
}

TEST_CASE("D13 a message that the engine calls too much fails with 1009", "[deflate][D13]") {
  ws::deflate_engine engine = ws::zlib_engine;
  engine.finish = [](void*, ws::output&, std::uint64_t most) { return most < 100 ? ws::deflate_status::too_much : ws::deflate_status::done; };
  for (const unsigned limit : {99U, 100U}) {
    both_ends l{{.engine = &engine}};
    l.server_side.options.max_message = limit;
    REQUIRE(l.open());
    REQUIRE(l.client.send(ws::opcode::binary, std::string(64, 'a')) == ws::error::none);
    l.run();
    CHECK(l.failed == (limit == 99));
    CHECK(l.server.why() == (limit == 99 ? ws::error::message_too_big : ws::error::none));
  }
}

TEST_CASE("D15 a borrowed payload that is compressed is free at once", "[deflate][D15]") {
  both_ends l;
  REQUIRE(l.open());
  const std::string text = sample(1000), small = "small";
  int a = 0, b = 0, c = 0;
  REQUIRE(l.server.send_borrowed(ws::opcode::text, text, &a) == ws::error::none);
  REQUIRE(l.server.send_borrowed(ws::opcode::text, small, &b) == ws::error::none);
  REQUIRE(l.server.send_borrowed(ws::opcode::text, text, &c, ws::compression::off) == ws::error::none);
  CHECK(l.server.buffered_amount() < 2 * text.size());
  l.run();
  CHECK(l.messages == std::vector<std::string>{text, small, text});
  void* token = nullptr;
  for (int* expected : {&a, &b, &c}) CHECK((l.server.returned(token) && token == expected));
}

TEST_CASE("D17 a session that moves takes its compression along", "[deflate][D17]") {
  both_ends l;
  REQUIRE(l.open());
  REQUIRE(l.pass(l.client, sample(500)) == sample(500));
  ws::session moved{std::move(l.client)};
  l.client = std::move(moved);
  CHECK(l.pass(l.client, sample(500)) == sample(500));
  CHECK(l.pass(l.server, sample(500)) == sample(500));
}

TEST_CASE("D17 nothing is allocated before the first compressed message, and nothing per message afterwards", "[deflate][D17][memory]") {
  counting_memory server, client;
  {
    both_ends l{{.engine = &ws::zlib_engine}, {.engine = &ws::zlib_engine}, &server.hook, &client.hook};
    REQUIRE(l.open());
    l.echo = true;
    l.server.release();
    l.client.release();
    CHECK(server.live == 0);
    CHECK(client.live == 0);
    REQUIRE(l.pass(l.client, "uncompressed") == "not received");  // and its echo
    CHECK(l.messages.size() == 2);
    CHECK(server.live < 1000);
    for (int i = 0; i < 3; ++i) (void)l.pass(l.client, sample(2000));
    const std::size_t calls = server.calls + client.calls, live = server.live;
    CHECK(live > 250000);
    for (int i = 0; i < 50; ++i) (void)l.pass(l.client, sample(2000 - static_cast<std::size_t>(i)));
    CHECK(server.calls + client.calls == calls);
    // release(): the compressor goes, of the inflater the window stays; then all goes on.
    l.server.release();
    CHECK(server.live < 33200);
    l.client.release();
    l.messages.clear();
    (void)l.pass(l.client, sample(1999));
    CHECK(l.messages == std::vector<std::string>{sample(1999), sample(1999)});
  }
  CHECK(server.live == 0);
  CHECK(client.live == 0);
  CHECK_FALSE(server.wrong_size);
}

TEST_CASE("D17 without takeover release gives back everything", "[deflate][D17][memory]") {
  const ws::deflate_options opt{.engine = &ws::zlib_engine, .server_no_context_takeover = true, .client_no_context_takeover = true};
  counting_memory server, client;
  both_ends l{opt, opt, &server.hook, &client.hook};
  REQUIRE(l.open());
  l.echo = true;
  (void)l.pass(l.client, sample(2000));
  CHECK(server.live > 250000);
  l.server.release();
  l.client.release();
  CHECK(server.live == 0);
  CHECK(client.live == 0);
  l.messages.clear();
  (void)l.pass(l.client, sample(1999));
  CHECK(l.messages.size() == 2);
}

TEST_CASE("D17 with a pool a session holds no compressor between messages", "[deflate][D17][memory]") {
  counting_memory pooled, server;
  ws::deflate_pool pool{ws::zlib_engine, &pooled.hook};
  const ws::deflate_options opt{.engine = &ws::zlib_engine, .server_no_context_takeover = true, .client_no_context_takeover = true, .pool = &pool};
  {
    both_ends l{opt, {.engine = &ws::zlib_engine}, &server.hook};
    REQUIRE(l.open());
    l.echo = true;
    for (int i = 0; i < 3; ++i) (void)l.pass(l.client, sample(2000));
    CHECK(server.live < 10000);
    const std::size_t calls = pooled.calls + server.calls;
    for (int i = 0; i < 20; ++i) (void)l.pass(l.client, sample(2000));
    CHECK(l.messages.size() == 2);
    CHECK(pooled.calls + server.calls == calls);
    // Another session needs no memory of its own.
    const std::size_t live = pooled.live;
    both_ends other{opt, {.engine = &ws::zlib_engine}};
    REQUIRE(other.open());
    CHECK(other.pass(other.server, sample(3000)) == sample(3000));
    CHECK(other.pass(other.client, sample(3000)) == sample(3000));
    CHECK(pooled.live == live);
    l.server.release();
    CHECK(server.live == 0);
    // Streamed: the compressor is held from the first piece to the last.
    REQUIRE(l.server.send(ws::opcode::text, "Hello", false) == ws::error::none);
    l.server.release();
    REQUIRE(l.server.send(ws::opcode::text, "Hello", true) == ws::error::none);
    l.messages.clear();
    l.run();
    CHECK((l.messages.size() == 1 && l.messages[0] == "HelloHello"));
  }
  CHECK(server.live == 0);
}

TEST_CASE("D17 where takeover was agreed nothing comes from the pool", "[deflate][D17]") {
  counting_memory pooled;
  ws::deflate_pool pool{ws::zlib_engine, &pooled.hook};
  both_ends l{{.engine = &ws::zlib_engine, .pool = &pool}};
  REQUIRE(l.open());
  l.echo = true;
  (void)l.pass(l.client, sample(2000));
  CHECK(l.messages.size() == 2);
  l.server.release();
  CHECK(pooled.calls == 0);
}

TEST_CASE("D17 without release_after tick gives nothing back", "[deflate][D17]") {
  counting_memory server;
  both_ends l{{.engine = &ws::zlib_engine}, {.engine = &ws::zlib_engine}, &server.hook};
  REQUIRE(l.open());
  (void)l.pass(l.client, sample(2000));
  (void)l.server.tick(0);
  const std::size_t live = server.live;
  (void)l.server.tick(~std::uint64_t{0} / 2);
  CHECK(server.live == live);
}

TEST_CASE("D17 a streamed message goes on after the peer's Close and a release, when we answer that ourselves", "[deflate][D17][K10]") {
  both_ends l;
  l.server_side.options.auto_close_reply = false;
  REQUIRE(l.open());
  REQUIRE(l.server.send(ws::opcode::binary, sample(300), false) == ws::error::none);
  REQUIRE(l.client.close() == ws::error::none);
  l.run();
  CHECK(l.server.state() == ws::close_state::replying);
  l.server.release();
  REQUIRE(l.server.send(ws::opcode::binary, sample(300), true) == ws::error::none);
  REQUIRE(l.server.close() == ws::error::none);
  l.run();
  CHECK((l.messages.size() == 1 && l.messages[0] == sample(300) + sample(300)));
  CHECK(l.client.was_clean());
  CHECK_FALSE(l.failed);
}

TEST_CASE("D17 tick gives back what was not used for release_after", "[deflate][D17]") {
  counting_memory server;
  const ws::deflate_options opt{.engine = &ws::zlib_engine, .release_after = 1'000'000};
  both_ends l{opt, {.engine = &ws::zlib_engine}, &server.hook};
  (void)l.server.tick(0);
  REQUIRE(l.open());
  l.echo = true;
  (void)l.pass(l.client, sample(2000));
  (void)l.server.tick(999'999);
  CHECK(server.live > 250000);
  (void)l.server.tick(1'000'000);
  CHECK(server.live < 20000);
  l.messages.clear();
  (void)l.pass(l.client, sample(2000));
  CHECK(l.messages.size() == 2);
  CHECK_FALSE(l.failed);
  // It counts from the last use.
  (void)l.server.tick(1'999'999);
  CHECK(server.live > 250000);
  (void)l.server.tick(2'000'000);
  CHECK(server.live < 20000);
}

TEST_CASE("D17 ten thousand negotiated sessions that are idle hold under 5 MB", "[deflate][D17][memory]") {
  counting_memory memory;
  const setup s;
  std::vector<ws::session> sessions;
  sessions.reserve(10000);
  const std::string request =
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
  for (int i = 0; i < 10000; ++i) {
    ws::session& one = sessions.emplace_back(ws::role::server, s.options, nullptr, &memory.hook);
    std::string bytes = request;
    std::span<char> rest{bytes};
    REQUIRE(one.next(rest).type == ws::event_type::request);
    REQUIRE(one.accept() == ws::error::none);
    one.consume(one.output().size());
    one.release();
    if (i == 0) CHECK(one.agreed().agreement != 0);
  }
  CHECK(memory.live + 10000 * sizeof(ws::session) < 5'000'000);
}

TEST_CASE("D17 an allocation that fails is an error, at every index of a conversation", "[deflate][D17][memory]") {
  std::size_t indexes = 0;
  for (const bool takeover : {true, false})
    for (const bool for_good : {false, true})
      for (std::size_t fail_at = 0;; ++fail_at) {
        counting_memory memory;
        memory.fail_at = fail_at;
        memory.fail_after = for_good;
        bool done = false;
        {
          const ws::deflate_options opt{.engine = &ws::zlib_engine, .server_no_context_takeover = !takeover, .client_no_context_takeover = !takeover,
                                        .memory_level = 3};
          both_ends l{opt, opt, &memory.hook, &memory.hook};
          if (l.open())
            for (std::size_t i = 0; i < 10; ++i) {
              (void)l.client.send(ws::opcode::text, sample(100 * i + 10));
              (void)l.server.send(ws::opcode::text, sample(300 * i + 10));
              if (i % 4 == 1) (void)l.server.send(ws::opcode::binary, noise_bytes(12000, 5));  // for which the queue grows twice
              l.run();
              if (i == 5) l.server.release();
            }
          // Whatever arrived arrived whole.
          for (const std::string& m : l.messages) CHECK((m == sample(m.size()) || m == noise_bytes(12000, 5)));
          CHECK((l.server.why() != ws::error::deflate_data_corrupt && l.client.why() != ws::error::deflate_data_corrupt));
          (void)l.client.close();
          l.run();
          done = memory.calls <= fail_at;
          if (done) CHECK((l.messages.size() == 23 && l.server.was_clean() && l.client.was_clean()));
        }
        CHECK(memory.live == 0);
        ++indexes;
        if (done) break;
      }
  CHECK(indexes > 40);
}

TEST_CASE("D02 a thousand messages of each kind and size", "[deflate][D02]") {
  both_ends l;
  REQUIRE(l.open());
  l.cut = 4096;
  std::uint32_t random = 1;
  for (int i = 0; i < 1000; ++i) {
    random = random * 1664525U + 1013904223U;
    const std::size_t size = i % 50 == 0 ? (random >> 8) % 131073 : (random >> 8) % 2000;
    const std::string message = i % 2 != 0 ? noise_bytes(size, random) : sample(size);
    if (l.pass(i % 3 != 0 ? l.client : l.server, message) != message) FAIL("message " << i);
  }
}

// ---- messages prepared for many

namespace {

ws::deflate_options windows(std::uint8_t server, std::uint8_t client, bool takeover) {
  ws::deflate_options opt{.engine = &ws::zlib_engine};
  opt.server_max_window_bits = server;
  opt.client_max_window_bits = client;
  opt.server_no_context_takeover = opt.client_no_context_takeover = !takeover;
  return opt;
}

}  // namespace

TEST_CASE("D16 one compressed payload goes to receivers of every window, with their own messages between", "[D16]") {
  for (const std::size_t size : {100U, 700U, 5000U, 100000U}) {
    counting_allocator memory;
    const ws::prepared_message all{ws::opcode::binary, sample(size), memory.hook()};
    REQUIRE(all.why() == ws::error::none);
    for (const bool takeover : {true, false})
      for (std::uint8_t bits = 8; bits <= 15; ++bits) {
        INFO(size << " bytes, window " << int{bits} << ", takeover " << takeover);
        both_ends ends{windows(bits, bits, takeover), windows(bits, bits, takeover)};
        REQUIRE(ends.open());
        for (ws::session* const from : {&ends.server, &ends.client})
          for (int turn = 0; turn < 4; ++turn) {
            // Its own message may refer to those before it, but to nothing that only the peer's window holds.
            const std::string own = sample(900 + static_cast<std::size_t>(turn)).substr(0, 899) + "!";
            REQUIRE(ends.pass(*from, own) == own);
            ends.messages.clear();
            REQUIRE(from->send(all) == ws::error::none);
            CHECK(from->buffered_amount() < size);
            if (from == &ends.server) CHECK(first_byte(*from) == 0xC2);
            REQUIRE(from->send(all) == ws::error::none);
            ends.run();
            REQUIRE(ends.messages == std::vector<std::string>(2, std::string{all.payload()}));
          }
        CHECK(!ends.failed);
      }
    // The message itself, and a copy for each class that differs.
    CHECK(memory.blocks() <= 2 + 8);
    if (size == 100) CHECK(memory.blocks() == 3);   // windows of 8 bits, and of 9 and more
    if (size == 700) CHECK(memory.blocks() == 4);   // 8, 9, 10 and more
    if (size == 5000) CHECK(memory.blocks() == 7);  // 8 to 12, 13 and more
    if (size == 100000) CHECK(memory.blocks() == 1 + 8);
  }
}

TEST_CASE("D16 what is short, asked to stay as it is, or would grow, is sent as it is", "[D16][D15]") {
  const std::string text = sample(300), noise = hex("00 61 ff 07 80 93 a4 b2 3c 4d 5e 6f 70 81 92 a3");
  const ws::prepared_message prepared{ws::opcode::binary, text}, small{ws::opcode::binary, text.substr(0, 63)},
      growing{ws::opcode::binary, noise};
  ws::deflate_options all_sizes{.engine = &ws::zlib_engine};
  all_sizes.threshold = 0;
  both_ends ends, eager{all_sizes, all_sizes};
  REQUIRE(ends.open());
  REQUIRE(eager.open());
  const auto sent = [](both_ends& e, const ws::prepared_message& message, ws::compression how) {
    CHECK(e.server.send(message, how) == ws::error::none);
    const unsigned first = first_byte(e.server);
    e.messages.clear();
    e.run();
    CHECK(e.messages == std::vector<std::string>{std::string{message.payload()}});
    return first;
  };
  CHECK(sent(ends, prepared, ws::compression::automatic) == 0xC2);
  CHECK(sent(ends, prepared, ws::compression::off) == 0x82);
  CHECK(sent(ends, small, ws::compression::automatic) == 0x82);
  CHECK(sent(eager, small, ws::compression::automatic) == 0xC2);
  CHECK(sent(eager, growing, ws::compression::automatic) == 0x82);
  CHECK(sent(eager, growing, ws::compression::automatic) == 0x82);
}

TEST_CASE("D16 a message that compresses to more than half grows its copy", "[D16]") {
  std::string text;
  std::uint32_t x = 1;
  while (text.size() < 3000) text += "abcdefghijklmnopqrstuvwxyzABCDEF"[(x = x * 1664525 + 1013904223) >> 27];
  counting_allocator memory;
  {
    const ws::prepared_message prepared{ws::opcode::text, text, memory.hook()};
    both_ends ends;
    REQUIRE(ends.open());
    REQUIRE(ends.server.send(prepared) == ws::error::none);
    CHECK(first_byte(ends.server) == 0xC1);
    CHECK(ends.server.buffered_amount() > 1600);
    CHECK(ends.server.buffered_amount() < 2200);
    ends.run();
    CHECK(ends.messages == std::vector<std::string>{text});
  }
  CHECK(memory.idle());
}

TEST_CASE("D16 an engine that cannot do a smaller window compresses with the one agreed on", "[D16]") {
  static std::uint8_t asked;
  ws::deflate_engine engine = ws::zlib_engine;
  engine.compresses = [](const ws::deflate_parameters& p) { return p.window_bits == 15; };
  engine.open_compressor = [](const ws::allocator* memory, const ws::deflate_parameters& p) {
    asked = p.window_bits;
    return ws::zlib_engine.open_compressor(memory, p);
  };
  both_ends ends{{.engine = &engine}};
  const ws::prepared_message prepared{ws::opcode::binary, sample(300)};
  REQUIRE(ends.open());
  asked = 0;
  REQUIRE(ends.server.send(prepared) == ws::error::none);
  CHECK(asked == 15);
  ends.run();
  CHECK(ends.messages == std::vector<std::string>{sample(300)});
}

TEST_CASE("D16 of two copies that are made at the same time one is kept", "[D16][memory]") {
  // The other thread is played by the engine: while it opens a compressor for one session, another sends the message.
  static both_ends* second;
  static const ws::prepared_message* message;
  ws::deflate_engine engine = ws::zlib_engine;
  engine.open_compressor = [](const ws::allocator* memory, const ws::deflate_parameters& p) {
    if (both_ends* const now = std::exchange(second, nullptr); now != nullptr) CHECK(now->server.send(*message) == ws::error::none);
    return ws::zlib_engine.open_compressor(memory, p);
  };
  // Of level 0, which compresses nothing, the copy is the message itself.
  for (const std::int8_t level : {std::int8_t{6}, std::int8_t{0}}) {
    counting_allocator memory;
    {
      const ws::prepared_message prepared{ws::opcode::text, sample(2000), memory.hook()};
      both_ends slow{{.engine = &engine, .level = level}}, fast;
      REQUIRE(slow.open());
      REQUIRE(fast.open());
      message = &prepared;
      second = &fast;
      REQUIRE(slow.server.send(prepared) == ws::error::none);
      CHECK(second == nullptr);
      CHECK(memory.blocks() == 2);
      for (both_ends* const ends : {&slow, &fast}) {
        CHECK(first_byte(ends->server) == 0xC1);
        ends->run();
        CHECK(ends->messages == std::vector<std::string>{sample(2000)});
      }
    }
    CHECK(memory.idle());
  }
}

TEST_CASE("D16 a copy that cannot be made is an error, and later messages arrive", "[D16]") {
  for (std::size_t fail_at = 0;; ++fail_at) {
    counting_allocator memory;
    memory.fail_at = fail_at;
    {
      both_ends ends{windows(12, 15, true), windows(12, 15, true), memory.hook()};
      const ws::prepared_message all{ws::opcode::binary, sample(6000), memory.hook()};
      if (!ends.open()) continue;
      std::size_t sent = 0;
      for (int i = 0; i < 3; ++i) {
        sent += ends.server.send(all) == ws::error::none ? 1U : 0U;
        sent += ends.server.send(ws::opcode::binary, sample(3000)) == ws::error::none ? 1U : 0U;
      }
      ends.run();
      CHECK(ends.messages.size() == sent);
      CHECK(!ends.failed);
      if (memory.refused == 0) {
        CHECK(sent == 6);
        break;
      }
      CHECK(sent >= (all.why() == ws::error::none ? 4 : 3));
    }
    CHECK(memory.idle());
  }
}

TEST_CASE("the trace hook sees compressed frames, both ways", "[session_deflate][trace]") {
  std::string lines;
  const ws::trace_hook hook{[](void* to, const ws::traced_frame& f) noexcept {
                              char line[96];
                              ws::output out{line};
                              ws::frame_head head = f.head;
                              head.masking_key = 0;
                              head.length = 0;
                              (void)ws::describe(out, head);
                              static_cast<std::string*>(to)->append(f.sent ? "-> " : "<- ").append(out.written()).append("\n");
                            },
                            &lines};
  both_ends e;
  e.server_side.options.trace = &hook;
  e.echo = true;
  REQUIRE(e.open());
  CHECK(e.client.send(ws::opcode::text, std::string(100, 'x')) == ws::error::none);
  CHECK(e.client.send(ws::opcode::text, std::string(5000, 'y')) == ws::error::none);
  e.run();
  CHECK(e.server.send(ws::prepared_message{ws::opcode::text, std::string(2000, 'z')}) == ws::error::none);
  e.run();
  const std::string read = "<- text, fin, rsv1, masked 00000000, 0 bytes\n", sent = "-> text, fin, rsv1, 0 bytes\n";
  CHECK(lines == read + sent + read + sent + sent);
}
