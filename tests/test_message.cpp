// Messages: fragments, text, limits, pings and pongs (RFC 6455 5.4-5.6, 8.1): rules F06, F10-F20, F23.
#include "wscodec/message.hpp"

#include "catch.hpp"
#include "support/wire.hpp"

using namespace wire;

namespace {

void both(const std::function<void(ws::role self, ws::role peer)>& test) {
  for (const ws::role self : both_roles) test(self, other(self));
}

std::string failure(std::string_view why, std::size_t offset, unsigned code) {
  return "failed " + std::string{why} + " @" + std::to_string(offset) + "\n-> close " + std::to_string(code) +
         " \"\"\n= failed half_close 1006";
}

std::size_t head_size(ws::role sender, std::uint64_t length) { return head(sender, 0x82, length).size(); }

constexpr ws::error first_byte(unsigned first, ws::opcode open, bool rsv1 = false) {
  ws::message_state message{};
  message.opcode = open;
  return ws::detail::check_first_byte(first, message, rsv1);
}
constexpr ws::opcode none_open = ws::opcode::continuation;

// F11
static_assert(first_byte(0x80, none_open) == ws::error::continuation_unexpected);
static_assert(first_byte(0x00, none_open) == ws::error::continuation_unexpected);
static_assert(first_byte(0x80, ws::opcode::text) == ws::error::none);
static_assert(first_byte(0x81, ws::opcode::text) == ws::error::message_interrupted);
static_assert(first_byte(0x02, ws::opcode::text) == ws::error::message_interrupted);
// F10
static_assert(first_byte(0x89, ws::opcode::binary) == ws::error::none);
// F07: RSV1 where the extension gives it a meaning
static_assert(first_byte(0xC1, none_open, true) == ws::error::none);
static_assert(first_byte(0x42, none_open, true) == ws::error::none);
static_assert(first_byte(0xC0, ws::opcode::text, true) == ws::error::rsv1_unexpected);
static_assert(first_byte(0xC9, none_open, true) == ws::error::rsv1_unexpected);

/// A frame of `more` bytes inside a message of `before`.
constexpr ws::error grown(std::uint64_t before, std::uint64_t more, std::uint64_t limit, bool compressed = false) {
  ws::message_state message{};
  message.opcode = ws::opcode::binary;
  message.size = before;
  message.compressed = compressed;
  return ws::detail::begin_data_frame(message, ws::opcode::continuation, false, more, {limit, 1});
}
constexpr std::uint64_t last = ~std::uint64_t{0};

// F03: nothing wraps, up to the last number.
static_assert(grown(last - 1, 1, last) == ws::error::none);
static_assert(grown(last - 1, 2, last) == ws::error::message_too_big);
static_assert(grown(last, 1, last) == ws::error::message_too_big);
static_assert(grown(0, last, last) == ws::error::none);
static_assert(grown(1, last, last) == ws::error::message_too_big);
static_assert(grown(last - 1, 1, last, true) == ws::error::none);
static_assert(grown(last - 1, 2, last, true) == ws::error::message_too_big);

}  // namespace

TEST_CASE("F06 the key's phase starts afresh in each frame and goes on over splits", "[message][F06]") {
  for (const std::string_view key : {"\0\0\0\0"sv, "\xFF\xFF\xFF\xFF"sv, "\0\0\0\1"sv, "\x80\0\0\0"sv, "\1\2\4\x80"sv})
    for (const std::size_t n : std::initializer_list<std::size_t>{1, 2, 3, 5, 8, 9})
      check({.input = frame(ws::role::client, 0x02, std::string(n, 'a'), key) +
                      frame(ws::role::client, 0x00, "bcdefg", "\x11\x22\x33\x44"sv) +
                      frame(ws::role::client, 0x80, std::string(n, 'z'), key),
             .log = "binary " + show(std::string(n, 'a') + "bcdefg" + std::string(n, 'z')) + "\n= open keep",
             .pairs = n == 3});
  // Inside a ping, whose payload is gathered, and across one.
  check({.input = frame(ws::role::client, 0x01, "abc") + frame(ws::role::client, 0x89, "0123456", "\1\2\4\x80"sv) +
                  frame(ws::role::client, 0x80, "def"),
         .log = R"(text "abc" ...
                   ping "0123456"
                   -> pong "0123456"
                   ... "def"
                   = open keep)"});
}

TEST_CASE("F06 long payloads are unmasked at every phase", "[message][F06]") {
  std::string payload;
  for (std::size_t i = 0; i < 1000; ++i)
    payload += static_cast<char>(static_cast<unsigned char>((i * 7 + i / 256) % 128));
  for (const unsigned first : {0x81U, 0x82U})
    check({.input = frame(ws::role::client, first, payload, "\x9a\x5b\xc3\x1d"sv),
           .log = (first == 0x81 ? "text " : "binary ") + show(payload) + "\n= open keep",
           .pairs = false});
}

TEST_CASE("F10 control frames between fragments are handled at once", "[message][F10]") {
  both([](ws::role self, ws::role peer) {
    check({.self = self,
           .input = frame(peer, 0x02, "a") + frame(peer, 0x89, "1") + frame(peer, 0x00, "b") + frame(peer, 0x8A, "2") +
                    frame(peer, 0x80, "c"),
           .log = R"(binary "a" ...
                     ping "1"
                     -> pong "1"
                     ... "b" ...
                     pong "2"
                     ... "c"
                     = open keep)"});
    // Inside a code point, before any byte of the message, and before its empty end.
    check({.self = self,
           .input = frame(peer, 0x01, "") + frame(peer, 0x89, "") + frame(peer, 0x00, "\xF0\x9F") +
                    frame(peer, 0x89, "\xFF") + frame(peer, 0x00, "\x98\x80") + frame(peer, 0x89, "") +
                    frame(peer, 0x80, ""),
           .log = R"(ping ""
                     -> pong ""
                     text "\xf0\x9f" ...
                     ping "\xff"
                     -> pong "\xff"
                     ... "\x98\x80" ...
                     ping ""
                     -> pong ""
                     ... ""
                     = open keep)",
           .pairs = false});
    // A Close ends it: the message never comes to its end.
    check({.self = self,
           .input = frame(peer, 0x01, "ab") + close_frame(peer, 1001) + frame(peer, 0x80, "cd"),
           .log = R"(text "ab" ...
                     close 1001 ""
                     -> close 1001 ""
                     = closed )" +
                  std::string{self == ws::role::server ? "half_close 1001" : "keep 1001"}});
  });
}

TEST_CASE("F10 a Close inside a message is one however it is cut", "[message][F10][K03]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned first : {0x01U, 0x02U})
      check({.self = self,
             .input = frame(peer, first, "a") + close_frame(peer, 1000, "reason"),
             .log = std::string{first == 1 ? "text" : "binary"} + " \"a\" ...\nclose 1000 \"reason\"\n-> close 1000 \"\"\n= closed " +
                    (self == ws::role::server ? "half_close" : "keep") + " 1000"});
  });
}

TEST_CASE("F10 a pong that waits between pieces of a binary message makes no piece of nothing", "[message][F10][F19]") {
  both([](ws::role self, ws::role peer) {
    const std::string begun = frame(peer, 0x02, "a") + frame(peer, 0x89, "1");
    const std::string rest = frame(peer, 0x80, "0123456789");
    for (const through way : {through::connection, through::copying})
      for (std::size_t n = 1; n < rest.size(); ++n) {
        const plan p{.self = self};
        ws::options opt;
        const auto e = make_endpoint(p, opt, way, 100);
        e->flush_late = true;
        e->read(begun + rest.substr(0, n));
        const std::string before = e->log.text();
        e->read({});
        e->read({});
        CHECK(e->log.text() == before);
        e->read(rest.substr(n));
        e->flush();
        CHECK(e->log.whole() == "ping \"1\"\nbinary \"a0123456789\"\n-> pong \"1\"\n");
      }
  });
}

TEST_CASE("F11 a continuation of nothing, and a message inside another, fail with 1002", "[message][F11]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned first : {0x00U, 0x80U}) {
      check({.self = self, .input = frame(peer, first, "a"), .log = failure("continuation_unexpected", 0, 1002)});
      check({.self = self,
             .input = frame(peer, first, "a").substr(0, 1),
             .log = failure("continuation_unexpected", 0, 1002)});
      for (const std::string& before : {frame(peer, 0x81, "x"), frame(peer, 0x01, "") + frame(peer, 0x80, "x")})
        check({.self = self,
               .input = before + frame(peer, first, "a"),
               .log = "text \"x\"\n" + failure("continuation_unexpected", before.size(), 1002)});
    }
    for (const unsigned begun : {0x01U, 0x02U})
      for (const unsigned first : {0x01U, 0x02U, 0x81U, 0x82U}) {
        const std::string before = frame(peer, begun, "x") + frame(peer, 0x8A, "") + frame(peer, 0x00, "");
        check({.self = self,
               .input = before + frame(peer, first, "a"),
               .log = (begun == 1 ? "text" : "binary") + std::string{" \"x\" ...\npong \"\"\n"} +
                      failure("message_interrupted", before.size(), 1002),
               .pairs = first == 0x81});
      }
  });
}

TEST_CASE("F12 fragments that come in one read are counted too", "[message][F12]") {
  const ws::options two{.max_fragments = 2};
  for (const ws::role self : both_roles) {
    char scratch[ws::min_scratch];
    ws::connection c{self, ws::negotiated{}, two, scratch};
    std::string bytes = frame(other(self), 0x02, "12345678");
    for (const unsigned first : {0x00U, 0x80U}) bytes += frame(other(self), first, "12345678");
    std::span<char> rest{bytes};
    for (int i = 0; i < 2; ++i) CHECK(c.next(rest).payload == "12345678");
    CHECK(c.next(rest).type == ws::event_type::failed);
    CHECK(c.why() == ws::error::too_many_fragments);
  }
}

TEST_CASE("F07 F08 F09 F11 what may not come inside a message fails there too, however much is behind it",
          "[message][F07][F08][F09][F11]") {
  both([](ws::role self, ws::role peer) {
    const std::string begun = frame(peer, 0x02, "a");
    for (unsigned first = 0; first < 256; ++first) {
      const ws::error why = first_byte(first, ws::opcode::binary);
      if (why == ws::error::none) continue;
      for (const std::size_t n : std::initializer_list<std::size_t>{10, 200}) {
        if (n == 200 && (first & 8U) != 0) continue;  // then it is too long as well
        const plan p{.self = self, .input = begun + frame(peer, first, std::string(n, 'x'))};
        for (const through way : all_ways)
          CHECK(run(p, way, {begun.size()}).whole == failure(name(why), begun.size(), 1002) + "\n");
      }
    }
    for (const unsigned first : {0x80U, 0x00U}) {
      const plan p{.self = self, .input = frame(peer, first, "0123456789")};
      for (const through way : all_ways) CHECK(run(p, way, {}).whole == failure("continuation_unexpected", 0, 1002) + "\n");
    }
  });
}

TEST_CASE("F10 a control payload that looks like a frame is none, wherever it is cut", "[message][F10]") {
  both([](ws::role self, ws::role peer) {
    const std::string looks = frame(peer, 0x82, "ab") + frame(peer, 0x81, "");
    const std::string_view no_key = "\0\0\0\0"sv;
    check({.self = self,
           .input = frame(peer, 0x8A, looks, no_key) + frame(peer, 0x02, "c") + frame(peer, 0x8A, looks, no_key) +
                    frame(peer, 0x80, "d"),
           .log = "pong " + show(looks) + "\nbinary \"c\" ...\npong " + show(looks) + "\n... \"d\"\n= open keep"});
  });
}

TEST_CASE("F12 more fragments than the limit fail with 1008, empty ones too", "[message][F12]") {
  const auto three = [](ws::options& o) { o.max_fragments = 3; };
  both([&](ws::role self, ws::role peer) {
    const std::string most = frame(peer, 0x02, "a") + frame(peer, 0x00, "b") + frame(peer, 0x80, "c");
    // Exactly the limit, and counted afresh for each message; control frames are no fragments.
    check({.self = self,
           .input = most + frame(peer, 0x89, "") + most,
           .log = R"(binary "abc"
                     ping ""
                     -> pong ""
                     binary "abc"
                     = open keep)",
           .options = three,
           .pairs = false});
    for (const std::string_view piece : {""sv, "xyz"sv}) {
      const std::string some = frame(peer, 0x01, piece) + frame(peer, 0x00, piece) + frame(peer, 0x00, piece);
      check(
          {.self = self,
           .input = some + frame(peer, 0x80, ""),
           .log = (piece.empty() ? "" : "text \"xyzxyzxyz\" ...\n") + failure("too_many_fragments", some.size(), 1008),
           .options = three});
    }
    check({.self = self,
           .input = frame(peer, 0x01, "a") + frame(peer, 0x80, "b"),
           .log = "text \"a\" ...\n" + failure("too_many_fragments", frame(peer, 0x01, "a").size(), 1008),
           .options = [](ws::options& o) { o.max_fragments = 1; }});
    check({.self = self,
           .input = frame(peer, 0x02, "0123456789") + frame(peer, 0x80, "0123456789"),
           .log = "binary \"0123456789\" ...\n" + failure("too_many_fragments", frame(peer, 0x02, "0123456789").size(), 1008),
           .options = [](ws::options& o) { o.max_fragments = 1; }});
  });
}

TEST_CASE("F12 a limit of no fragments refuses every message, a small whole one too", "[message][F12]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned first : {0x81U, 0x82U, 0x01U})
      for (const std::string_view payload : {""sv, "a"sv})
        check({.self = self,
               .input = frame(peer, 0x8A, "") + frame(peer, first, payload),
               .log = "pong \"\"\n" + failure("too_many_fragments", frame(peer, 0x8A, "").size(), 1008),
               .options = [](ws::options& o) { o.max_fragments = 0; }});
  });
}

TEST_CASE("F12 the default limit is 65,536 fragments", "[message][F12]") {
  both([](ws::role self, ws::role peer) {
    for (const through way : {through::connection, through::session})
      for (const std::string_view piece : {""sv, "x"sv}) {
        std::string input = frame(peer, 0x02, piece);
        const std::string more = frame(peer, 0x00, piece);
        for (int i = 0; i < 65534; ++i) input += more;
        plan p{.self = self, .input = input + frame(peer, 0x80, piece)};
        CHECK(run(p, way, {}).whole ==
              "binary " + show(std::string(piece.empty() ? 0U : 65536U, 'x')) + "\n= open keep\n");
        p.input = input + more + more;
        CHECK(run(p, way, {}).whole == failure("too_many_fragments", input.size() + more.size(), 1008) + "\n");
      }
  });
}

TEST_CASE("F13 streams of random frames give the same events however they are cut", "[message][F13]") {
  test_entropy random;
  const auto below = [&](std::size_t n) {
    unsigned char four[4] = {};
    (void)test_entropy::fill(&random, reinterpret_cast<char*>(four), 4);
    return (four[0] | std::size_t{four[1]} << 8 | std::size_t{four[2]} << 16) % n;
  };
  for (int round = 0; round < 60; ++round)
    both([&](ws::role self, ws::role peer) {
      std::string input;
      unsigned open = 0;
      for (std::size_t frames = 1 + below(12); frames-- > 0;) {
        const std::size_t sizes[] = {0, 1, below(8), below(125), 125 + below(4), below(2000)};
        std::string payload(sizes[below(6)], ' ');
        const std::size_t kind = below(10);
        std::string key(4, '\0');
        (void)test_entropy::fill(&random, key.data(), 4);
        if (kind < 3) {
          payload.resize(payload.size() % 126);
          input += frame(peer, kind == 0 ? 0x8AU : 0x89U, payload, key);
          continue;
        }
        const bool fin = below(3) == 0;
        const unsigned first = (fin ? 0x80U : 0U) | (open != 0 ? 0U : kind < 6 ? 1U : 2U);
        if (open == 0) open = first & 15U;
        for (char& c : payload) c = static_cast<char>('a' + below(26));
        if (below(60) == 0 && !payload.empty()) payload[below(payload.size())] = '\xC3';  // now and then, bad text
        input += frame(peer, first, payload, key);
        if (fin) open = 0;
      }
      plan p{.self = self, .input = input};
      const outcome whole = run(p, through::connection, {});
      const bool good = [&] {
        for (const through way : all_ways) {
          for (int i = 0; i < 3; ++i) {
            std::size_t a = below(input.size() + 1), b = below(input.size() + 1);
            if (a > b) std::swap(a, b);
            const outcome got = run(p, way, {a, b}, false, 1 + below(300));
            if (is_session(way) ? got.whole != whole.whole : got.text != whole.text) return false;
          }
          const outcome got = run(p, way, {}, true, 3);
          if (is_session(way) ? got.whole != whole.whole : got.text != whole.text) return false;
        }
        return true;
      }();
      INFO("round " << round << ", " << name(self));
      CHECK(good);
    });
}

TEST_CASE("F14 empty messages are delivered", "[message][F14]") {
  both([](ws::role self, ws::role peer) {
    check({.self = self, .input = frame(peer, 0x81, ""), .log = "text \"\"\n= open keep"});
    check({.self = self, .input = frame(peer, 0x82, ""), .log = "binary \"\"\n= open keep"});
    check({.self = self,
           .input = frame(peer, 0x01, "") + frame(peer, 0x00, "") + frame(peer, 0x80, "") + frame(peer, 0x82, "") +
                    frame(peer, 0x81, "x") + frame(peer, 0x81, ""),
           .log = R"(text ""
                     binary ""
                     text "x"
                     text ""
                     = open keep)"});
  });
}

namespace {

struct bad_text {
  std::string_view bytes;
  std::size_t bad;  ///< the first byte that cannot be part of valid text
};
constexpr bad_text bad_texts[] = {
    {"\x80"sv, 0},              // a continuation byte alone
    {"\xBF"sv, 0},              //
    {"\xC0\x80"sv, 0},          // overlong NUL
    {"\xC0\xAF"sv, 0},          // overlong slash
    {"\xC1\xBF"sv, 0},          //
    {"\xE0\x80\x80"sv, 1},      // overlong
    {"\xE0\x9F\xBF"sv, 1},      // overlong U+07FF
    {"\xF0\x80\x80\x80"sv, 1},  // overlong
    {"\xF0\x8F\xBF\xBF"sv, 1},  // overlong U+FFFF
    {"\xED\xA0\x80"sv, 1},      // surrogate U+D800
    {"\xED\xBF\xBF"sv, 1},      // surrogate U+DFFF
    {"\xF4\x90\x80\x80"sv, 1},  // U+110000
    {"\xF5\x80\x80\x80"sv, 0},  // above everything
    {"\xF8\x88\x80\x80\x80"sv, 0},
    {"\xFE"sv, 0},
    {"\xFF"sv, 0},
    {"\xC3\x28"sv, 1},              // a cut code point, then ASCII
    {"\xE2\x82\x41"sv, 2},          //
    {"\xE2\x41"sv, 1},              //
    {"\xF0\x9F\x98\x41"sv, 3},      //
    {"\xE2\x82\xE2\x82\xAC"sv, 2},  // ... then another code point
    {"\xF0\x9F\x98\xF0\x9F\x98\x80"sv, 3},
    {"\xE2\x82\xAC\xAC"sv, 3},  // one continuation byte too many
};

/// The log of text that fails: the good bytes, then the failure.
std::string bad_text_log(std::string_view good, std::size_t offset) {
  return (good.empty() ? "" : "text " + show(good) + " ...\n") + failure("text_not_utf8", offset, 1007);
}

}  // namespace

TEST_CASE("F15 F17 text that is not UTF-8 fails with 1007 at its first impossible byte", "[message][F15][F17]") {
  both([](ws::role self, ws::role peer) {
    for (const bad_text& t : bad_texts)
      for (const std::size_t before : std::initializer_list<std::size_t>{0, 1, 15, 32, 63, 130}) {
        const std::string good = std::string(before, 'a') + std::string{t.bytes.substr(0, t.bad)};
        const std::string text = std::string(before, 'a') + std::string{t.bytes};
        const std::string more = text + "bbbb";
        // In a message that is all there ...
        check({.self = self,
               .input = frame(peer, 0x81, more),
               .log = bad_text_log(good, head_size(peer, more.size()) + good.size()),
               .pairs = before == 1});
        // ... and in a frame that never ends: what arrived up to the bad byte is enough.
        const std::string endless = frame(peer, 0x01, text + std::string(3000, 'c'));
        check({.self = self,
               .input = endless.substr(0, head_size(peer, 3000) + good.size() + 1),
               .log = bad_text_log(good, head_size(peer, 3000) + good.size()),
               .pairs = false});
      }
  });
}

TEST_CASE("F15 no message slips in between the good bytes of bad text and the failure", "[message][F15][K14]") {
  both([](ws::role self, ws::role peer) {
    for (const std::string_view next : {""sv, "x"sv})
      for (const unsigned first : {0x81U, 0x82U, 0x89U})
        check({.self = self,
               .input = frame(peer, 0x81, "ab\xFF") + frame(peer, first, next) + frame(peer, first, next),
               .log = bad_text_log("ab", head_size(peer, 3) + 2)});
  });
}

TEST_CASE("F15 bad text in a later fragment fails there, at any cut", "[message][F15][F16]") {
  both([](ws::role self, ws::role peer) {
    for (const bad_text& t : bad_texts)
      for (std::size_t cut = 0; cut <= t.bytes.size(); ++cut) {
        const std::string first = frame(peer, 0x01, "ab" + std::string{t.bytes.substr(0, cut)});
        const std::string second = frame(peer, 0x80, std::string{t.bytes.substr(cut)} + "cd");
        const std::size_t at =
            t.bad < cut ? head_size(peer, 0) + 2 + t.bad : first.size() + head_size(peer, 0) + t.bad - cut;
        check({.self = self,
               .input = first + second,
               .log = bad_text_log("ab" + std::string{t.bytes.substr(0, t.bad)}, at),
               .pairs = false});
      }
  });
}

TEST_CASE("F16 a code point may be cut over fragments and reads", "[message][F16]") {
  both([](ws::role self, ws::role peer) {
    for (const std::string_view point : {"\xC3\xA9"sv, "\xE2\x82\xAC"sv, "\xF0\x9F\x98\x80"sv})
      for (std::size_t cut = 0; cut <= point.size(); ++cut)
        check({.self = self,
               .input = frame(peer, 0x01, "x" + std::string{point.substr(0, cut)}) +
                        frame(peer, 0x80, std::string{point.substr(cut)} + "y"),
               .log = "text " + show("x" + std::string{point} + "y") + "\n= open keep"});
    // One byte a fragment.
    check({.self = self,
           .input = frame(peer, 0x01, "\xF0") + frame(peer, 0x00, "\x9F") + frame(peer, 0x00, "") +
                    frame(peer, 0x00, "\x98") + frame(peer, 0x80, "\x80"),
           .log = "text \"\\xf0\\x9f\\x98\\x80\"\n= open keep"});
  });
}

TEST_CASE("F16 a code point that is cut at the end of the message fails with 1007", "[message][F16]") {
  both([](ws::role self, ws::role peer) {
    for (const std::string_view cut : {"\xC3"sv, "\xE2"sv, "\xE2\x82"sv, "\xF0"sv, "\xF0\x9F"sv, "\xF0\x9F\x98"sv})
      for (const std::string_view before : {""sv, "abc"sv}) {
        const std::string text = std::string{before} + std::string{cut};
        const std::string one = frame(peer, 0x81, text);
        check({.self = self, .input = one, .log = bad_text_log(text, one.size())});
        check({.self = self, .input = one + frame(peer, 0x81, "\x80"), .log = bad_text_log(text, one.size())});
        // The end is an empty frame.
        const std::string two = frame(peer, 0x01, text) + frame(peer, 0x80, "");
        check({.self = self, .input = two, .log = bad_text_log(text, two.size())});
      }
    // It does not reach into the next message, which is judged by itself; and binary is not judged.
    check({.self = self,
           .input = frame(peer, 0x82, "\xF0\x9F") + frame(peer, 0x81, "a") + frame(peer, 0x02, "\xC3") +
                    frame(peer, 0x80, "\xFF"),
           .log = R"(binary "\xf0\x9f"
                     text "a"
                     binary "\xc3\xff"
                     = open keep)"});
  });
}

TEST_CASE("F17 noncharacters, NUL, BOM and the edges of every length pass unchanged", "[message][F17]") {
  both([](ws::role self, ws::role peer) {
    for (const std::string_view text :
         {"\0"sv, "\x7F"sv, "\xC2\x80"sv, "\xDF\xBF"sv, "\xE0\xA0\x80"sv, "\xED\x9F\xBF"sv, "\xEE\x80\x80"sv,
          "\xEF\xB7\x90"sv, "\xEF\xBF\xBE"sv, "\xEF\xBF\xBF"sv, "\xEF\xBB\xBFx"sv, "\xF0\x90\x80\x80"sv,
          "\xF0\x9F\xBF\xBF"sv, "\xF4\x8F\xBF\xBF"sv})
      for (const std::size_t before : std::initializer_list<std::size_t>{0, 30, 130}) {
        const std::string all = std::string(before, 'a') + std::string{text};
        check({.self = self,
               .input = frame(peer, 0x81, all),
               .log = "text " + show(all) + "\n= open keep",
               .pairs = before == 0});
      }
  });
}

TEST_CASE("F18 a message of exactly the limit is delivered, one byte more fails with 1009 at the head",
          "[message][F18]") {
  both([](ws::role self, ws::role peer) {
    for (const std::size_t limit : std::initializer_list<std::size_t>{0, 1, 124, 125, 126, 300}) {
      const auto limited = [limit](ws::options& o) { o.max_message = limit; };
      const std::string exactly(limit, 'x');
      check({.self = self,
             .input = frame(peer, 0x82, exactly) + frame(peer, 0x81, exactly),
             .log = "binary " + show(exactly) + "\ntext " + show(exactly) + "\n= open keep",
             .options = limited,
             .pairs = false});
      check({.self = self,
             .input = head(peer, 0x82, limit + 1),
             .log = failure("message_too_big", 0, 1009),
             .options = limited});
      check({.self = self,
             .input = frame(peer, 0x81, exactly + "y"),
             .log = failure("message_too_big", 0, 1009),
             .options = limited,
             .pairs = false});
    }
  });
}

TEST_CASE("F18 the limit is over the sum of the fragments, and afresh for each message", "[message][F18]") {
  const auto ten = [](ws::options& o) { o.max_message = 10; };
  both([&](ws::role self, ws::role peer) {
    const std::string message =
        frame(peer, 0x02, "0123") + frame(peer, 0x00, "") + frame(peer, 0x00, "45678") + frame(peer, 0x80, "9");
    check({.self = self,
           .input = message + message,
           .log = "binary \"0123456789\"\nbinary \"0123456789\"\n= open keep",
           .options = ten,
           .pairs = false});
    const std::string most = frame(peer, 0x02, "0123") + frame(peer, 0x00, "456789");
    for (const std::uint64_t more : {std::uint64_t{1}, std::uint64_t{10}, std::uint64_t{200}, std::uint64_t{70000}})
      check({.self = self,
             .input = most + head(peer, 0x80, more),
             .log = "binary \"0123456789\" ...\n" + failure("message_too_big", most.size(), 1009),
             .options = ten,
             .pairs = more == 1});
    check({.self = self,
           .input = most + frame(peer, 0x80, ""),
           .log = "binary \"0123456789\"\n= open keep",
           .options = ten});
    check({.self = self,
           .input = most + frame(peer, 0x80, "01234567"),
           .log = "binary \"0123456789\" ...\n" + failure("message_too_big", most.size(), 1009),
           .options = ten});
    // Control frames are not counted.
    check({.self = self,
           .input = frame(peer, 0x02, "0123456789") + frame(peer, 0x89, "01234567890") + frame(peer, 0x80, ""),
           .log = R"(binary "0123456789" ...
                     ping "01234567890"
                     -> pong "01234567890"
                     ... ""
                     = open keep)",
           .options = ten});
  });
}

TEST_CASE("F18 the default limit is 16 MiB", "[message][F18]") {
  both([](ws::role self, ws::role peer) {
    check({.self = self, .input = head(peer, 0x82, 16 * 1024 * 1024), .log = "= open keep"});
    check({.self = self, .input = head(peer, 0x82, 16 * 1024 * 1024 + 1), .log = failure("message_too_big", 0, 1009)});
  });
}

TEST_CASE("F18 a compressed message's own bytes are limited to limit + limit/64 + 1 KiB", "[message][F18]") {
  both([](ws::role self, ws::role peer) {
    ws::options opt;
    opt.max_message = 6400;
    const std::uint64_t most = 6400 + 100 + 1024;
    const ws::negotiated agreed{.extension = nullptr, .agreement = 1};
    const auto announce = [&](std::initializer_list<std::uint64_t> lengths, bool rsv1) {
      char scratch[ws::min_scratch];
      test_entropy entropy;
      ws::masking_keys keys{&test_entropy::fill, &entropy};
      ws::connection c{self, agreed, opt, scratch, &keys};
      std::string input;
      std::size_t i = 0;
      for (const std::uint64_t n : lengths) {
        const unsigned first = i == 0 ? (rsv1 ? 0x42U : 0x02U) : 0U;
        input += ++i == lengths.size() ? head(peer, first, n)
                                       : frame(peer, first, std::string(static_cast<std::size_t>(n), '\0'));
      }
      std::span<char> rest{input};
      while (c.next(rest)) {
      }
      return c.why();
    };
    CHECK(announce({most}, true) == ws::error::none);
    CHECK(announce({most + 1}, true) == ws::error::message_too_big);
    CHECK(announce({7000, most - 7000}, true) == ws::error::none);
    CHECK(announce({7000, most - 7000 + 1}, true) == ws::error::message_too_big);
    CHECK(announce({0x7FFFFFFFFFFFFFFFU}, true) == ws::error::message_too_big);
    // A message that is not compressed has no slack.
    CHECK(announce({6400}, false) == ws::error::none);
    CHECK(announce({6401}, false) == ws::error::message_too_big);
    opt.max_message = ~std::uint64_t{0};  // limit + slack does not wrap
    CHECK(announce({0x7FFFFFFFFFFFFFFFU}, true) == ws::error::none);
  });
}

TEST_CASE("F19 a ping is answered by a pong with the same bytes", "[message][F19]") {
  both([](ws::role self, ws::role peer) {
    for (const std::string_view payload : {""sv, "x"sv, "\0\xFF\x80"sv, "Hello, World"sv})
      check({.self = self,
             .input = frame(peer, 0x89, payload),
             .log = "ping " + show(payload) + "\n-> pong " + show(payload) + "\n= open keep"});
    for (const std::size_t n : std::initializer_list<std::size_t>{124, 125})
      check({.self = self,
             .input = frame(peer, 0x89, std::string(n, 'p')) + frame(peer, 0x89, "q"),
             .log = "ping \"p\"*" + std::to_string(n) + "\n-> pong \"p\"*" + std::to_string(n) +
                    "\nping \"q\"\n-> pong \"q\"\n= open keep",
             .pairs = false});
  });
}

TEST_CASE("F19 of several unanswered pings the connection answers the latest", "[message][F19]") {
  both([](ws::role self, ws::role peer) {
    for (const through way : {through::connection, through::copying}) {
      plan p{.self = self,
             .input = frame(peer, 0x89, "first, the longest") + frame(peer, 0x89, "second") + frame(peer, 0x89, "3"),
             .flush_late = true};
      const std::string events = "ping \"first, the longest\"\nping \"second\"\nping \"3\"\n";
      for (std::size_t i = 0; i <= p.input.size(); ++i)
        CHECK(run(p, way, {i}).text == events + "-> pong \"3\"\n= open keep\n");
      // The latest may be one without payload; a pong that is owed is not disturbed by a ping that is cut.
      p.input = frame(peer, 0x89, "12") + frame(peer, 0x89, "");
      CHECK(run(p, way, {}).text == "ping \"12\"\nping \"\"\n-> pong \"\"\n= open keep\n");
      const std::string owed = frame(peer, 0x89, std::string(125, 'a'));
      p.input = owed + frame(peer, 0x89, std::string(125, 'b')).substr(0, 100);
      CHECK(run(p, way, {}).text == "ping \"a\"*125\n-> pong \"a\"*125\n= open keep\n");
      CHECK(run(p, way, {owed.size() + 50}).text == "ping \"a\"*125\n-> pong \"a\"*125\n= open keep\n");
    }
    // A session has queued the earlier ones already; the latest is answered last.
    const plan p{.self = self, .input = frame(peer, 0x89, "1") + frame(peer, 0x89, "2"), .flush_late = true};
    for (const through way : {through::session, through::prepared})
      CHECK(run(p, way, {}).text.ends_with("-> pong \"2\"\n= open keep\n"));
  });
}

TEST_CASE("F19 no pong after a Close: the peer's, or ours", "[message][F19][K13]") {
  both([](ws::role self, ws::role peer) {
    const std::string end = self == ws::role::server ? "half_close" : "keep";
    // The peer's.
    check({.self = self,
           .input = close_frame(peer, 1000) + frame(peer, 0x89, "late"),
           .log = "close 1000 \"\"\n-> close 1000 \"\"\n= closed " + end + " 1000"});
    // A pong that was owed when the peer's Close came.
    plan p{.self = self, .input = frame(peer, 0x89, "1") + close_frame(peer, 1000), .flush_late = true};
    CHECK(run(p, through::connection, {}).text ==
          "ping \"1\"\nclose 1000 \"\"\n-> close 1000 \"\"\n= closed " + end + " 1000\n");
    // Ours.
    p = {.self = self,
         .input = frame(peer, 0x89, "late"),
         .log = "-> close 1000 \"\"\nping \"late\"\n= closing keep",
         .before = [](endpoint& e) { CHECK(e.close() == ws::error::none); }};
    check(p);
    // A pong that was owed when ours was sent.
    p = {.self = self,
         .input = frame(peer, 0x89, "1"),
         .after = [](endpoint& e) { CHECK(e.close() == ws::error::none); },
         .flush_late = true};
    CHECK(run(p, through::connection, {}).text == "ping \"1\"\n-> close 1000 \"\"\n= closing keep\n");
    // By policy, after ours they are answered.
    p = {.self = self,
         .input = frame(peer, 0x89, "1") + close_frame(peer, 1000),
         .log = "-> close 1000 \"\"\nping \"1\"\n-> pong \"1\"\nclose 1000 \"\"\n= closed " + end + " 1000",
         .before = [](endpoint& e) { CHECK(e.close() == ws::error::none); },
         .options = [](ws::options& o) { o.pong_after_close = true; }};
    check(p);
    // ... but never after both.
    p.input = close_frame(peer, 1000) + frame(peer, 0x89, "1");
    p.log = "-> close 1000 \"\"\nclose 1000 \"\"\n= closed " + end + " 1000";
    check(p);
  });
}

TEST_CASE("F19 with auto_pong off the caller answers", "[message][F19]") {
  both([](ws::role self, ws::role peer) {
    check({.self = self,
           .input = frame(peer, 0x89, "1"),
           .log = "ping \"1\"\n-> pong \"mine\"\n= open keep",
           .after = [](endpoint& e) { CHECK(e.pong("mine") == ws::error::none); },
           .options = [](ws::options& o) { o.auto_pong = false; }});
  });
}

TEST_CASE("F19 a ping after a failure in the same read is not answered", "[message][F19][K14]") {
  both([](ws::role self, ws::role peer) {
    check({.self = self,
           .input = frame(peer, 0x89, "1") + frame(peer, 0xB1, "") + frame(peer, 0x89, "2"),
           .log = "ping \"1\"\n-> pong \"1\"\n" + failure("rsv2_set", frame(peer, 0x89, "1").size(), 1002)});
    // One that was owed and not yet written is dropped: the Close says more.
    const plan p{.self = self,
                 .input = frame(peer, 0x89, "1") + frame(peer, 0xB1, "") + frame(peer, 0x89, "2"),
                 .flush_late = true};
    CHECK(run(p, through::connection, {}).text ==
          "ping \"1\"\n" + failure("rsv2_set", frame(peer, 0x89, "1").size(), 1002) + "\n");
  });
}

TEST_CASE("F20 a pong nobody asked for is an event and nothing else", "[message][F20]") {
  both([](ws::role self, ws::role peer) {
    check({.self = self,
           .input = frame(peer, 0x8A, "") + frame(peer, 0x8A, "\xFF\0x"sv) + frame(peer, 0x01, "a") +
                    frame(peer, 0x8A, "y") + frame(peer, 0x80, "b"),
           .log = R"(pong ""
                     pong "\xff\x00x"
                     text "a" ...
                     pong "y"
                     ... "b"
                     = open keep)"});
    check({.self = self,
           .input = frame(peer, 0x8A, "x"),
           .log = "-> close 1000 \"\"\npong \"x\"\n= closing keep",
           .before = [](endpoint& e) { (void)e.close(); }});
  });
}

TEST_CASE("F23 a message over half the address space: a connection streams it, a session fails it with 1009",
          "[message][F23]") {
  if (sizeof(std::size_t) != 8) return;
  both([](ws::role self, ws::role peer) {
    const std::string begun = frame(peer, 0x02, "0123456789") + head(peer, 0x80, 0x7FFFFFFFFFFFFFFFU, "\0\0\0\0"sv);
    const std::size_t head_end = peer == ws::role::client ? 14 : 10;
    const plan p{.self = self, .input = begun + std::string(1000, 'x'), .options = [](ws::options& o) {
                   o.max_message = ~std::uint64_t{0};
                 }};
    CHECK(run(p, through::connection, {}).text == "binary \"0123456789\" \"x\"*1000 ...\n= open keep\n");
    // A session joins, so it fails at the head.
    for (const through way : {through::session, through::prepared})
      for (std::size_t i = 0; i <= begun.size() + 3; ++i) {
        CHECK(run(p, way, {i}).text == "failed message_too_big @" + std::to_string(begun.size() - head_end) +
                                           "\n-> close 1009 \"\"\n= failed half_close 1006\n");
      }
    // Exactly half is not too long.
    const plan half{.self = self, .input = head(peer, 0x82, 0x7FFFFFFFFFFFFFFFU) + "x", .options = p.options};
    for (const through way : all_ways)
      CHECK(run(half, way, {}).text.ends_with("= open keep\n"));
  });
}
