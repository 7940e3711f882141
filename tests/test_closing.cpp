// Closing (RFC 6455 5.5.1, 7): rules K01-K15.
#include "wscodec/closing.hpp"

#include <array>

#include "catch.hpp"
#include "support/wire.hpp"

using namespace wire;

// ---- payloads and the table, in constant expressions

namespace {

/// True when `bytes` reads as this code and reason, and is what they are written as.
constexpr bool proves(std::string_view bytes, unsigned code, std::string_view reason) {
  const auto c = static_cast<ws::close_code>(code);
  const ws::close_payload read = ws::parse_close_payload(bytes);
  std::array<char, 125> written{};
  std::size_t size = 999;
  return read.why == ws::error::none && read.code == c && read.reason == reason &&
         ws::write_close_payload(written.data(), size, c, reason) == ws::error::none &&
         std::string_view{written.data(), size} == bytes;
}
constexpr ws::error complaint(std::string_view bytes) { return ws::parse_close_payload(bytes).why; }
constexpr ws::error refusal(unsigned code, std::string_view reason) {
  std::array<char, 125> to{};
  std::size_t size = 0;
  return ws::write_close_payload(to.data(), size, static_cast<ws::close_code>(code), reason);
}
constexpr std::size_t empty_size() {
  std::array<char, 125> to{};
  std::size_t size = 999;
  return ws::write_close_payload(to.data(), size, ws::close_code::none, "") == ws::error::none ? size : 999;
}

static_assert(proves("\x03\xe8"sv, 1000, ""));
static_assert(
    proves("\x03\xe8"
           "bye"sv,
           1000, "bye"));
static_assert(proves("\x03\xe9\xe2\x82\xac"sv, 1001, "\xe2\x82\xac"));
static_assert(proves("\x03\xf6"sv, 1014, ""));
static_assert(proves("\x0b\xb8"sv, 3000, ""));
static_assert(
    proves("\x13\x87"
           "\0"sv,
           4999, "\0"sv));
static_assert(ws::parse_close_payload("").why == ws::error::none);               // K01
static_assert(ws::parse_close_payload("").code == ws::close_code::no_status);    // K01
static_assert(empty_size() == 0);                                                // K01
static_assert(complaint("\x03"sv) == ws::error::close_payload_of_one_byte);      // K02
static_assert(complaint("\x03\xed"sv) == ws::error::close_code_invalid);         // K04: 1005
static_assert(complaint("\x00\x00"sv) == ws::error::close_code_invalid);         // K04: 0
static_assert(complaint("\x03\xe8\xc3"sv) == ws::error::close_reason_not_utf8);  // K06
static_assert(refusal(1005, "") == ws::error::sent_close_code_invalid);          // K07
static_assert(refusal(1006, "") == ws::error::sent_close_code_invalid);          // K07
static_assert(refusal(1015, "") == ws::error::sent_close_code_invalid);          // K07
static_assert(refusal(0, "why") == ws::error::sent_close_code_invalid);          // K07: a reason needs a code

/// Once both sides are done nothing leads back, and only two states owe a Close (K08, K09, K14).
constexpr bool table_is_sound() {
  using enum ws::close_state;
  constexpr ws::close_step steps[] = {ws::close_step::close_sent, ws::close_step::close_received,
                                      ws::close_step::broken, ws::close_step::given_up, ws::close_step::ended};
  for (const auto step : steps)
    for (const auto done : {closed, failed, lost})
      if (ws::next_state(done, step) != done) return false;
  for (const auto state : {open, closing, replying, closed, failing, failed, lost}) {
    if (ws::reads(state) != (state == open || state == closing)) return false;
    if (ws::owes_close(state) != (state == replying || state == failing)) return false;
  }
  return ws::next_state(open, ws::close_step::close_sent) == closing &&
         ws::next_state(closing, ws::close_step::close_received) == closed &&
         ws::next_state(open, ws::close_step::close_received) == replying &&
         ws::next_state(replying, ws::close_step::close_sent) == closed &&
         ws::next_state(open, ws::close_step::ended) == lost;
}
static_assert(table_is_sound());
static_assert(ws::detail::close_states == static_cast<std::size_t>(ws::close_state::lost) + 1);
static_assert(ws::detail::close_steps == static_cast<std::size_t>(ws::close_step::ended) + 1);

void both(const std::function<void(ws::role self, ws::role peer)>& test) {
  for (const ws::role self : both_roles) test(self, other(self));
}

/// The last line of a clean end: the server ends its side, the client waits for the server (K11).
std::string clean(ws::role self, unsigned code) {
  return "= closed " + std::string{self == ws::role::server ? "half_close " : "keep "} + std::to_string(code);
}
std::string failure(std::string_view why, std::size_t offset, unsigned code) {
  return "failed " + std::string{why} + " @" + std::to_string(offset) + "\n-> close " + std::to_string(code) +
         " \"\"\n= failed half_close 1006";
}

/// What the table says of a code, from its words.
bool may_be_sent(unsigned code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/// What is wanted while our answer to a Close waits to be written: a client's session goes on as before, for it stays.
ws::transport to_be_flushed(ws::role self, through way) {
  return is_session(way) && self == ws::role::client ? ws::transport::keep : ws::transport::flush;
}

void close_ours(endpoint& e) { CHECK(e.close(ws::close_code::going_away, "moved") == ws::error::none); }

}  // namespace

// ---- the peer's Close

TEST_CASE("K01 a Close without payload is reported as 1005 and answered without payload", "[closing][K01]") {
  both([](ws::role self, ws::role peer) {
    check(
        {.self = self, .input = frame(peer, 0x88, ""), .log = "close 1005 \"\"\n-> close \"\"\n" + clean(self, 1005)});
    check({.self = self,
           .input = frame(peer, 0x88, ""),
           .log = "-> close 1001 \"moved\"\nclose 1005 \"\"\n" + clean(self, 1005),
           .before = close_ours});
  });
  // The very bytes.
  const plan p{.input = frame(ws::role::client, 0x88, "")};
  const ws::options opt;
  for (const through way : all_ways) {
    const auto e = make_endpoint(p, opt, way);
    e->flush_late = true;
    e->read(p.input);
    CHECK(to_hex(e->take_sent()) == "88 00");
  }
}

TEST_CASE("K02 a Close with one byte fails with 1002", "[closing][K02]") {
  both([](ws::role self, ws::role peer) {
    for (const std::string_view byte : {"\x03"sv, "\0"sv, "\xFF"sv})
      check({.self = self,
             .input = frame(peer, 0x88, byte),
             .log = failure("close_payload_of_one_byte", head(peer, 0x88, 1).size(), 1002)});
  });
}

TEST_CASE("K03 K04 every close code there is: echoed, or failed with 1002 and never echoed", "[closing][K03][K04]") {
  const ws::options opt;
  const auto gather = [&](ws::role self, unsigned code, through way) {
    const plan p{.self = self};
    const auto e = make_endpoint(p, opt, way);
    e->read(close_frame(other(self), code));
    e->log.add(e->end_line());
    return e->log.text();
  };
  both([&](ws::role self, ws::role peer) {
    const std::string failed = failure("close_code_invalid", head(peer, 0x88, 2).size(), 1002) + "\n";
    std::size_t wrong = 0;
    for (unsigned code = 0; code < 65536; ++code) {
      const std::string n = std::to_string(code);
      const std::string expected =
          may_be_sent(code) ? "close " + n + " \"\"\n-> close " + n + " \"\"\n" + clean(self, code) + "\n" : failed;
      for (const through way : {through::connection, through::session})
        if (gather(self, code, way) != expected && ++wrong < 5) CHECK(gather(self, code, way) == expected);
    }
    CHECK(wrong == 0);
  });
}

TEST_CASE("K03 K04 the edges of the ranges, at every split", "[closing][K03][K04]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned code : {1000U, 1003U, 1007U, 1014U, 3000U, 3999U, 4000U, 4999U}) {
      const std::string n = std::to_string(code);
      check({.self = self,
             .input = close_frame(peer, code, "why"),
             .log = "close " + n + " \"why\"\n-> close " + n + " \"\"\n" + clean(self, code)});
    }
    for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 2999U, 5000U, 65535U})
      check({.self = self,
             .input = close_frame(peer, code, "why"),
             .log = failure("close_code_invalid", head(peer, 0x88, 5).size(), 1002)});
  });
}

TEST_CASE("K04 K06 a bad Close after ours fails too, and is not answered", "[closing][K04][K06][K08]") {
  both([](ws::role self, ws::role peer) {
    const std::size_t at = head(peer, 0x88, 3).size();
    for (const auto& [payload, why] :
         {std::pair{"\x03\xed!"sv, "close_code_invalid"}, std::pair{"\x03\xe8\x80"sv, "close_reason_not_utf8"}})
      check({.self = self,
             .input = frame(peer, 0x88, payload),
             .log = "-> close 1001 \"moved\"\nfailed " + std::string{why} + " @" + std::to_string(at) +
                    "\n= failed half_close 1006",
             .before = close_ours});
  });
}

TEST_CASE("K06 a reason that is not UTF-8 fails with 1007", "[closing][K06]") {
  both([](ws::role self, ws::role peer) {
    for (const std::string_view reason :
         {"\x80"sv, "abc\xFF"sv, "\xC0\xAF"sv, "\xED\xA0\x80"sv, "\xF4\x90\x80\x80"sv, "caf\xC3"sv, "\xE2\x82"sv})
      check({.self = self,
             .input = close_frame(peer, 1000, reason),
             .log = failure("close_reason_not_utf8", head(peer, 0x88, 0).size(), 1007)});
    check({.self = self,
           .input = close_frame(peer, 1000, "\xC3\xA9\xF0\x9F\x98\x80"),
           .log = "close 1000 \"\\xc3\\xa9\\xf0\\x9f\\x98\\x80\"\n-> close 1000 \"\"\n" + clean(self, 1000)});
  });
}

TEST_CASE("K09 anything after the peer's Close is discarded and not parsed", "[closing][K09]") {
  both([](ws::role self, ws::role peer) {
    const std::string close = close_frame(peer, 1000);
    const std::string log = "close 1000 \"\"\n-> close 1000 \"\"\n" + clean(self, 1000);
    for (const std::string& late :
         {frame(peer, 0x81, "late"), frame(peer, 0x89, "late"), close_frame(peer, 4000), frame(peer, 0xF3, "x"),
          frame(self, 0x81, "wrong mask"), std::string(20, '\xFF'), close.substr(0, 1)})
      check({.self = self, .input = close + late, .log = log});
    // Also before our answer was written, and when ours was first.
    for (const through way : {through::connection, through::session}) {
      plan p{.self = self, .input = close + frame(peer, 0x89, "late") + "\xFF\xFF", .flush_late = true};
      CHECK(run(p, way, {}).text == log + "\n");
      CHECK(run(p, way, {close.size()}).text == log + "\n");
    }
    check({.self = self,
           .input = close + frame(peer, 0x81, "late") + "\xFF\xFF",
           .log = "-> close 1001 \"moved\"\nclose 1000 \"\"\n" + clean(self, 1000),
           .before = close_ours});
  });
}

// ---- our Close

TEST_CASE("K12 K01 a peer that ends the transport before its Close was answered is dropped", "[closing][K01][K12]") {
  const ws::options own{.auto_close_reply = false};
  char scratch[ws::min_scratch];
  ws::connection c{ws::role::server, ws::negotiated{}, own, scratch};
  std::string bytes = close_frame(ws::role::client, 1000);
  std::span<char> rest{bytes};
  CHECK(c.next(rest).type == ws::event_type::close);
  CHECK(c.wants() == ws::transport::keep);
  CHECK(!c.end_of_input());
  CHECK(c.state() == ws::close_state::replying);
  CHECK(c.wants() == ws::transport::drop);
}

TEST_CASE("K05 a reason over 123 bytes is refused, or cut at a code point by policy", "[closing][K05]") {
  both([](ws::role self, ws::role) {
    for (const bool cut : {false, true}) {
      ws::options opt;
      opt.cut_long_reason = cut;
      for (const through way : {through::connection, through::session}) {
        const auto sent = [&](const std::string& reason) {
          const plan p{.self = self};
          const auto e = make_endpoint(p, opt, way);
          const ws::error why = e->close(ws::close_code::normal, reason);
          if (why != ws::error::none) {
            CHECK(e->take_sent().empty());
            CHECK(e->is_open());
            CHECK(e->wants() == ws::transport::keep);
            CHECK(e->close(ws::close_code::normal, "short") == ws::error::none);  // not sticky
            return name(why);
          }
          return describe_sent(self, e->take_sent());
        };
        const auto close_with = [](const std::string& reason) { return "-> close 1000 " + show(reason) + "\n"; };
        for (const std::size_t n : std::initializer_list<std::size_t>{0, 1, 122, 123})
          CHECK(sent(std::string(n, 'r')) == close_with(std::string(n, 'r')));
        for (const std::size_t n : std::initializer_list<std::size_t>{124, 125, 126, 1000, 70000})
          CHECK(sent(std::string(n, 'r')) == (cut ? close_with(std::string(123, 'r')) : "close_reason_too_long"));
        // A code point that would be cut is left out whole, wherever the limit falls in it.
        for (const std::string_view point : {"\xC3\xA9"sv, "\xE2\x82\xAC"sv, "\xF0\x9F\x98\x80"sv})
          for (std::size_t before = 123 - point.size(); before <= 123; ++before) {
            const std::string start(before, 'r');
            const bool fits = before + point.size() <= 123;
            CHECK(sent(start + std::string{point}) == (fits  ? close_with(start + std::string{point})
                                                       : cut ? close_with(start)
                                                             : "close_reason_too_long"));
          }
        // Text that is not UTF-8 is never sent.
        CHECK(sent("bad \xFF") == "close_reason_too_long");
        CHECK(sent("cut \xE2\x82") == "close_reason_too_long");
        CHECK(sent(std::string(130, 'r') + "\xFF") == "close_reason_too_long");
      }
    }
  });
}

TEST_CASE("K05 what writes a Close payload refuses unless told to cut, and looks at nothing behind the reason", "[closing][K05]") {
  std::array<char, 125> to{};
  std::size_t size = 0;
  const std::string behind = std::string(123, 'r') + '\x80';
  CHECK(ws::write_close_payload(to.data(), size, ws::close_code::normal, std::string_view{behind}.substr(0, 123)) == ws::error::none);
  CHECK(size == 125);
  CHECK(ws::write_close_payload(to.data(), size, ws::close_code::normal, std::string(124, 'r')) == ws::error::close_reason_too_long);
}

TEST_CASE("K07 every code there is to send: sent, or a local error that changes nothing", "[closing][K07]") {
  const ws::options opt;
  both([&](ws::role self, ws::role) {
    const plan p{.self = self};
    for (const through way : {through::connection, through::session}) {
      auto e = make_endpoint(p, opt, way);
      std::size_t wrong = 0;
      for (unsigned code = 1; code < 65536; ++code) {
        const ws::error why = e->close(static_cast<ws::close_code>(code), "r");
        if (may_be_sent(code)) {
          wrong += why != ws::error::none ||
                   describe_sent(self, e->take_sent()) != "-> close " + std::to_string(code) + " \"r\"\n";
          e = make_endpoint(p, opt, way);
        } else {
          wrong += why != ws::error::sent_close_code_invalid || !e->is_open() || e->why() != ws::error::none;
        }
      }
      CHECK(wrong == 0);
      CHECK(e->take_sent().empty());
      CHECK(e->send(ws::opcode::text, "still open") == ws::error::none);
      // A Close without a payload is asked for by `none`, which takes no reason.
      CHECK(e->close(ws::close_code::none, "why") == ws::error::sent_close_code_invalid);
      CHECK(e->close(ws::close_code::none) == ws::error::none);
      CHECK(describe_sent(self, e->take_sent()) == "-> text \"still open\"\n-> close \"\"\n");
    }
  });
}

TEST_CASE("K08 crossed Close frames: both sides finish, and there is no third", "[closing][K08]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned code : {1000U, 4000U})
      check({.self = self,
             .input = close_frame(peer, code, "theirs"),
             .log = "-> close 1001 \"moved\"\nclose " + std::to_string(code) + " \"theirs\"\n" + clean(self, code),
             .before = close_ours});
  });
  // Both ends at once.
  const ws::options opt;
  for (const through way : all_ways) {
    const plan server{.self = ws::role::server}, client{.self = ws::role::client};
    const auto a = make_endpoint(server, opt, way);
    const auto b = make_endpoint(client, opt, way);
    CHECK(a->close(ws::close_code::normal, "a") == ws::error::none);
    CHECK(b->close(ws::close_code::going_away, "b") == ws::error::none);
    const std::string from_a = a->take_sent(), from_b = b->take_sent();
    a->read(from_b);
    b->read(from_a);
    CHECK(a->take_sent().empty());
    CHECK(b->take_sent().empty());
    CHECK(a->log.text() + a->end_line() == "close 1001 \"b\"\n= closed half_close 1001");
    CHECK(b->log.text() + b->end_line() == "close 1000 \"a\"\n= closed keep 1000");
    b->eof();
    a->eof();
    CHECK(a->end_line() == "= closed drop 1001");
    CHECK(b->end_line() == "= closed drop 1000");
  }
}

TEST_CASE("K10 data after our Close is delivered until the peer's comes", "[closing][K10]") {
  both([](ws::role self, ws::role peer) {
    const std::string input = frame(peer, 0x01, "a") + frame(peer, 0x80, "b") + frame(peer, 0x82, "") +
                              frame(peer, 0x82, "cd") + frame(peer, 0x8A, "p") + close_frame(peer, 1001);
    check({.self = self,
           .input = input,
           .log = "-> close 1001 \"moved\"\ntext \"ab\"\nbinary \"\"\nbinary \"cd\"\npong \"p\"\nclose 1001 \"\"\n" +
                  clean(self, 1001),
           .before = close_ours});
    check({.self = self,
           .input = input,
           .log = "-> close 1001 \"moved\"\npong \"p\"\nclose 1001 \"\"\n" + clean(self, 1001),
           .before = close_ours,
           .options = [](ws::options& o) { o.discard_after_close = true; }});
    // A message that was begun before is discarded with its end.
    for (const through way : all_ways) {
      const plan p{.self = self,
                   .input = frame(peer, 0x80, "end") + frame(peer, 0x81, "more"),
                   .before =
                       [&](endpoint& e) {
                         e.read(frame(peer, 0x02, "begin"));
                         close_ours(e);
                       },
                   .options = [](ws::options& o) { o.discard_after_close = true; }};
      for (std::size_t i = 0; i <= p.input.size(); ++i)
        CHECK(run(p, way, {i}).whole == "-> close 1001 \"moved\"\n= closing keep\n");
    }
    // Rules go on being enforced; there is no second Close.
    for (const bool discard : {false, true})
      check({.self = self,
             .input = frame(peer, 0x82, "x") + frame(peer, 0x83, "y"),
             .log = "-> close 1001 \"moved\"\n" + std::string{discard ? "" : "binary \"x\"\n"} +
                    "failed opcode_reserved @" + std::to_string(frame(peer, 0x82, "x").size()) +
                    "\n= failed half_close 1006",
             .before = close_ours,
             .options = [discard](ws::options& o) { o.discard_after_close = discard; }});
  });
}

TEST_CASE("K13 queued messages, then the Close, then nothing", "[closing][K13]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    for (const through way : {through::connection, through::session}) {
      const plan p{.self = self};
      const auto nothing_more = [&](endpoint& e) {
        CHECK(e.send(ws::opcode::text, "late") == ws::error::already_closing);
        CHECK(e.send(ws::opcode::continuation, "late") == ws::error::already_closing);
        CHECK(e.ping("late") == ws::error::already_closing);
        CHECK(e.pong("late") == ws::error::already_closing);
        CHECK(!e.is_open());
      };
      auto e = make_endpoint(p, opt, way);
      CHECK(e->send(ws::opcode::text, "one") == ws::error::none);
      CHECK(e->send(ws::opcode::binary, "two, ", false) == ws::error::none);
      CHECK(e->ping("x") == ws::error::none);
      CHECK(e->close(ws::close_code::normal, "done") == ws::error::none);  // the second message is never finished
      nothing_more(*e);
      CHECK(e->close() == ws::error::already_closing);
      CHECK(describe_sent(self, e->take_sent()) ==
            "-> text \"one\"\n-> binary \"two, \" ...\n-> ping \"x\"\n-> close 1000 \"done\"\n");
      nothing_more(*e);
      CHECK(e->take_sent().empty());
      // When the peer closes, what was queued before goes before the answer.
      e = make_endpoint(p, opt, way);
      CHECK(e->send(ws::opcode::text, "one") == ws::error::none);
      e->flush_late = true;
      e->read(close_frame(peer, 1000));
      nothing_more(*e);
      CHECK(e->wants() == to_be_flushed(self, way));
      CHECK(describe_sent(self, e->take_sent()) == "-> text \"one\"\n-> close 1000 \"\"\n");
      // And when it fails.
      e = make_endpoint(p, opt, way);
      CHECK(e->send(ws::opcode::text, "one") == ws::error::none);
      e->flush_late = true;
      e->read(frame(peer, 0xF1, ""));
      CHECK(e->wants() == ws::transport::flush);
      CHECK(describe_sent(self, e->take_sent()) == "-> text \"one\"\n-> close 1002 \"\"\n");
    }
  });
}

TEST_CASE("K13 a session sends borrowed payloads before its Close", "[closing][K13]") {
  both([](ws::role self, ws::role) {
    const ws::options opt;
    const plan p{.self = self};
    session_endpoint e{self, opt, &p.agreed};
    const std::string large(5000, 'b');
    int token = 0;
    CHECK(e.send(ws::opcode::text, "one") == ws::error::none);
    CHECK(e.machine->send_borrowed(ws::opcode::binary, large, &token) == ws::error::none);
    CHECK(e.send(ws::opcode::text, "two") == ws::error::none);
    CHECK(e.close() == ws::error::none);
    CHECK(describe_sent(self, e.take_sent()) ==
          "-> text \"one\"\n-> binary \"b\"*5000\n-> text \"two\"\n-> close 1000 \"\"\n");
    void* back = nullptr;
    CHECK((e.machine->returned(back) && back == &token));
    CHECK(e.wants() == ws::transport::keep);
  });
}

TEST_CASE("K03 with auto_close_reply off the caller answers, and may send before that", "[closing][K03][K13]") {
  ws::options opt;
  opt.auto_close_reply = false;
  both([&](ws::role self, ws::role peer) {
    for (const through way : all_ways) {
      const plan p{.self = self};
      const auto e = make_endpoint(p, opt, way);
      e->read(close_frame(peer, 1000, "x") + frame(peer, 0x81, "late"));
      CHECK(e->end_line() == "= replying keep 1000");
      CHECK(e->send(ws::opcode::text, "last words") == ws::error::none);
      CHECK(e->close(static_cast<ws::close_code>(4000), "bye") == ws::error::none);
      CHECK(e->send(ws::opcode::text, "late") == ws::error::already_closing);
      CHECK(e->close() == ws::error::already_closing);
      CHECK(describe_sent(self, e->take_sent()) == "-> text \"last words\"\n-> close 4000 \"bye\"\n");
      CHECK(e->log.text() == "close 1000 \"x\"\n");
      CHECK(e->end_line() == clean(self, 1000));
    }
  });
}

// ---- the transport

TEST_CASE("K11 the server ends the transport at once after the exchange, the client waits for it",
          "[closing][K11][K15]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    const ws::transport after = self == ws::role::server ? ws::transport::half_close : ws::transport::keep;
    const std::string input = frame(peer, 0x81, "x") + frame(peer, 0x89, "") + close_frame(peer, 1000, "bye");
    for (const bool ours_first : {false, true})
      for (const through way : all_ways) {
        plan p{.self = self};
        const auto e = make_endpoint(p, opt, way);
        e->flush_late = true;
        if (ours_first) {
          CHECK(e->close() == ws::error::none);
          if (is_session(way)) CHECK(e->wants() == ws::transport::keep);
          (void)e->take_sent();
        }
        // Asked after every byte: nothing until the Close is complete.
        for (std::size_t i = 0; i < input.size(); ++i) {
          CHECK(e->wants() == ws::transport::keep);
          e->read(std::string_view{input}.substr(i, 1));
          if (i + 1 < input.size()) (void)e->take_sent();
        }
        if (!ours_first) {
          CHECK(e->wants() == to_be_flushed(self, way));
          CHECK(describe_sent(self, e->take_sent()) == "-> close 1000 \"\"\n");
        }
        CHECK(e->wants() == after);
        e->read("more");
        CHECK(e->wants() == after);
        e->eof();
        CHECK(e->wants() == ws::transport::drop);
        CHECK(e->end_line() == "= closed drop 1000");
        CHECK(e->log.text() == "text \"x\"\nping \"\"\nclose 1000 \"bye\"\n");  // EOF was expected
      }
  });
}

TEST_CASE("K11 a client whose server never ends the transport drops it at the deadline", "[closing][K11]") {
  both([](ws::role self, ws::role peer) {
    ws::options opt;
    opt.close_timeout = 1000;
    const plan p{.self = self};
    session_endpoint e{self, opt, &p.agreed};
    CHECK(!e.machine->tick(5));
    e.read(close_frame(peer, 1000));
    CHECK(!e.machine->tick(6));
    CHECK(e.end_line() == clean(self, 1000));
    CHECK(e.machine->next_deadline() <= 1006);
    CHECK(!e.machine->tick(e.machine->next_deadline() - 1));
    CHECK(e.end_line() == clean(self, 1000));
    (void)e.machine->tick(1006);
    CHECK(e.end_line() == "= closed drop 1000");
    CHECK(e.machine->was_clean());
  });
}

TEST_CASE("K12 EOF without a Close is 1006 and not clean, at every byte", "[closing][K12]") {
  both([](ws::role self, ws::role peer) {
    const std::string close = close_frame(peer, 1000);
    const std::string before = frame(peer, 0x81, "Hello") + frame(peer, 0x01, "caf\xC3") + frame(peer, 0x89, "ping") +
                               frame(peer, 0x80, "\xA9") + frame(peer, 0x82, std::string(130, 'x'));
    for (const through way : all_ways)
      for (const bool ours_first : {false, true})
        for (std::size_t n = 0; n < before.size() + close.size(); ++n) {
          plan p{.self = self, .input = (before + close).substr(0, n), .before = [&](endpoint& e) {
                   if (ours_first) close_ours(e);
                 }};
          const std::string without = run(p, way, {}).text;
          p.eof = true;
          const std::string got = run(p, way, {}).text;
          const std::string events = without.substr(0, without.find(ours_first ? "= closing" : "= open"));
          if (got != events + "failed connection_lost @" + std::to_string(n) + "\n= lost drop 1006\n") {
            INFO(name(self) << ", " << name(way) << ", EOF after " << n);
            CHECK(got == events + "failed connection_lost @" + std::to_string(n) + "\n= lost drop 1006\n");
          }
        }
    // Only after the peer's Close it is expected; then ours is still written, since the peer may read on.
    for (const bool late : {false, true})
      for (const through way : all_ways) {
        const plan p{.self = self, .input = before + close, .eof = true, .flush_late = late};
        const std::string got = run(p, way, {}).text;
        CHECK(got.find("failed") == got.npos);
        CHECK(got.find("-> close 1000 \"\"\n") != got.npos);
        CHECK(got.ends_with("= closed drop 1000\n"));
      }
  });
}

TEST_CASE("K12 EOF comes once, and nothing is sent", "[closing][K12][K14]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    for (const through way : all_ways) {
      const plan p{.self = self};
      const auto e = make_endpoint(p, opt, way);
      e->read(frame(peer, 0x01, "a"));
      e->eof();
      e->eof();
      e->read(frame(peer, 0x80, "b"));
      e->eof();
      CHECK(e->log.whole() == "failed connection_lost @" + std::to_string(frame(peer, 0x01, "a").size()) + "\n");
      CHECK(e->take_sent().empty());
      CHECK(e->send(ws::opcode::text, "x") == ws::error::not_open);
      CHECK(e->close() == ws::error::not_open);
      CHECK(e->why() == ws::error::connection_lost);
      CHECK(e->end_line() == "= lost drop 1006");
    }
  });
}

TEST_CASE("K12 EOF during the opening handshake", "[closing][K12]") {
  const std::string_view begun = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (const through way : all_ways)
    for (std::size_t n = 0; n <= begun.size(); ++n) {
      const plan p{.input = std::string{begun.substr(0, n)}, .eof = true, .handshake = true};
      CHECK(run(p, way, {}).text == "failed connection_lost @" + std::to_string(n) + "\n= lost drop 1006\n");
    }
}

TEST_CASE("K14 after a failure everything is harmless and says the same", "[closing][K14]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    for (const through way : all_ways)
      for (const bool flushed : {false, true}) {
        const plan p{.self = self};
        const auto e = make_endpoint(p, opt, way);
        e->flush_late = true;
        e->read(frame(peer, 0x82, "before"));
        e->read(frame(peer, 0xA1, "x"));
        if (flushed) (void)e->take_sent();
        const std::string log = e->log.text();
        const std::uint64_t offset = e->offset();
        CHECK(offset == frame(peer, 0x82, "before").size());
        for (int i = 0; i < 3; ++i) {
          e->read(frame(peer, 0x81, "y"));
          e->read(close_frame(peer, 1000));
          e->read(frame(peer, 0xC1, "another rule"));
          e->fail(ws::error::pong_timeout);
          CHECK(e->send(ws::opcode::text, "z") != ws::error::none);
          CHECK(e->send(ws::opcode::text, "z", false) != ws::error::none);
          CHECK(e->ping("z") != ws::error::none);
          CHECK(e->pong("z") != ws::error::none);
          CHECK(e->close() != ws::error::none);
          CHECK(e->why() == ws::error::rsv2_set);
          CHECK(e->offset() == offset);
          CHECK(!e->is_open());
          CHECK(e->code() == ws::close_code::abnormal);
        }
        CHECK(e->log.text() == log);
        CHECK(describe_sent(self, e->take_sent()) == (flushed ? "" : "-> close 1002 \"\"\n"));
        CHECK(e->take_sent().empty());
        CHECK(e->end_line() == "= failed half_close 1006");
        e->eof();
        e->read("x");
        CHECK(e->log.text() == log);
        CHECK(e->why() == ws::error::rsv2_set);
        CHECK(e->end_line() == "= failed drop 1006");
      }
  });
}

TEST_CASE("K14 failing from outside is as sticky, and tells the peer", "[closing][K14]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    for (const through way : all_ways) {
      const plan p{.self = self};
      const auto e = make_endpoint(p, opt, way);
      e->read(frame(peer, 0x01, "ab"));
      e->fail(ws::error::idle_timeout);
      e->fail(ws::error::pong_timeout);
      e->read(frame(peer, 0x80, "cd"));
      CHECK(e->log.whole() ==
            "failed idle_timeout @" + std::to_string(frame(peer, 0x01, "ab").size()) + "\n-> close 1001 \"\"\n");
      CHECK(e->why() == ws::error::idle_timeout);
      CHECK(e->end_line() == "= failed half_close 1006");
    }
  });
}

TEST_CASE("K15 input after the end is eaten up to a bound, then the transport is dropped", "[closing][K15]") {
  ws::options opt;
  opt.max_discarded = 100;
  struct ending {
    std::string last;
    bool ours_first;
  };
  both([&](ws::role self, ws::role peer) {
    for (const ending& end : {ending{close_frame(peer, 1000), false}, ending{close_frame(peer, 1000), true},
                              ending{frame(peer, 0xB1, ""), false}, ending{frame(peer, 0xB1, ""), true}})
      for (const through way : all_ways)
        for (const std::size_t piece : std::initializer_list<std::size_t>{1, 3, 100}) {
          const plan p{.self = self};
          const auto e = make_endpoint(p, opt, way);
          if (end.ours_first) close_ours(*e);
          e->read(end.last);
          (void)e->take_sent();
          const bool was_clean = e->state() == ws::close_state::closed;
          const ws::transport waits =
              was_clean && self == ws::role::client ? ws::transport::keep : ws::transport::half_close;
          std::size_t eaten = 0;
          for (; eaten + piece <= 100; eaten += piece) {
            CHECK(e->wants() == waits);
            e->read(std::string(piece, '\xFF'));
          }
          e->read(std::string(100 - eaten, '\xFF'));
          CHECK(e->wants() == waits);
          e->read("x");
          CHECK(e->wants() == ws::transport::drop);
          e->read(std::string(500, '\xFF'));
          CHECK(e->wants() == ws::transport::drop);
        }
    // EOF ends it at any byte.
    for (const through way : all_ways)
      for (std::size_t n = 0; n < 30; ++n) {
        const plan p{.self = self};
        const auto e = make_endpoint(p, opt, way);
        e->read(frame(peer, 0xB1, ""));
        CHECK(e->wants() == ws::transport::half_close);
        e->read(std::string(n, '\x88'));
        CHECK(e->wants() == ws::transport::half_close);
        e->eof();
        CHECK(e->end_line() == "= failed drop 1006");
      }
  });
}

TEST_CASE("K15 the default bound is 16 MiB", "[closing][K15]") {
  const plan p{};
  const ws::options opt;
  const auto e = make_endpoint(p, opt, through::connection);
  e->read(close_frame(ws::role::client, 1000));
  const std::string block(1024 * 1024, 'x');
  for (int i = 0; i < 16; ++i) e->read(block);
  CHECK(e->wants() == ws::transport::half_close);
  e->read("x");
  CHECK(e->wants() == ws::transport::drop);
}

TEST_CASE("K15 a rejecting response is flushed, then half-closed", "[closing][K15]") {
  const std::string_view bad = "GET / HTTP/1.1\r\n\r\n";  // no Host
  const std::string_view good =
      "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  ws::options opt;
  opt.max_discarded = 100;
  const plan p{.handshake = true};
  const auto ends_well = [](endpoint& e) {
    CHECK(e.wants() == ws::transport::half_close);
    e.read(std::string(100, 'x'));
    CHECK(e.wants() == ws::transport::half_close);
    e.read("x");
    CHECK(e.wants() == ws::transport::drop);
  };
  for (const through way : all_ways) {
    const auto e = make_endpoint(p, opt, way);
    e->flush_late = true;
    for (std::size_t i = 0; i < bad.size(); ++i) {
      CHECK(e->wants() == ws::transport::keep);
      e->read(bad.substr(i, 1));
    }
    CHECK(e->wants() == ws::transport::flush);
    CHECK(e->take_sent().starts_with("HTTP/1.1 400 "));
    ends_well(*e);
  }
  // The caller's own refusal.
  session_endpoint s{ws::role::server, opt};
  std::string memory{good};
  std::span<char> rest{memory};
  const ws::event ev = s.machine->next(rest);
  REQUIRE(ev.type == ws::event_type::request);
  CHECK(s.wants() == ws::transport::keep);
  CHECK(s.machine->respond({.status = 503, .body = "later"}) == ws::error::none);
  CHECK(s.wants() == ws::transport::flush);
  CHECK(s.take_sent().starts_with("HTTP/1.1 503 "));
  ends_well(s);
}

TEST_CASE("K15 a session asks for a flush until the last byte of its Close is sent", "[closing][K15]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    for (const bool broken : {false, true}) {
      const plan p{.self = self};
      session_endpoint e{self, opt, &p.agreed};
      CHECK(e.send(ws::opcode::binary, std::string(300, 'x')) == ws::error::none);
      CHECK(e.wants() == ws::transport::keep);
      e.flush_late = true;
      e.read(broken ? frame(peer, 0xB1, "") : close_frame(peer, 1000));
      std::size_t sent = 0;
      while (!e.machine->output().empty()) {
        CHECK(e.wants() == (broken ? ws::transport::flush : to_be_flushed(self, through::session)));
        e.machine->consume(1);
        ++sent;
      }
      CHECK(sent == (self == ws::role::client ? 308U + 8U : 304U + 4U));
      CHECK(e.end_line() == (broken ? "= failed half_close 1006" : clean(self, 1000)));
    }
  });
}
