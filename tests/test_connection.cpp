// The streaming core: sending, memory that is too small, copying, hand-over. Rules F10, F13, F18, F19, F21, F22, H20.
// Its rules about what is received are in test_frame, test_message, test_closing and the transcripts.
#include "wscodec/connection.hpp"

#include <array>
#include <bit>
#include <type_traits>

#include "catch.hpp"
#include "guarded.hpp"
#include "support/wire.hpp"

using namespace wire;

static_assert(sizeof(ws::connection) <= 128);
static_assert(std::is_trivially_copyable_v<ws::connection>);

namespace {

void both(const std::function<void(ws::role self, ws::role peer)>& test) {
  for (const ws::role self : both_roles) test(self, other(self));
}

/// A source that gives the RFC's sample key always: for literals only.
bool sample_key(void* /*context*/, char* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = rfc_key[i % 4];
  return true;
}

/// A connection that is open, with everything it needs.
struct open_connection {
  explicit open_connection(ws::role role, const ws::options& opt = default_options())
      : c(role, ws::negotiated{}, opt, scratch, &keys) {}

  static const ws::options& default_options() {
    static const ws::options opt;
    return opt;
  }
  ws::event read(std::string& bytes) {
    std::span<char> rest{bytes};
    const ws::event ev = c.next(rest);
    bytes.erase(0, bytes.size() - rest.size());
    return ev;
  }

  char scratch[ws::min_scratch] = {};
  test_entropy entropy;
  ws::masking_keys keys{&test_entropy::fill, &entropy};
  ws::connection c;
};

}  // namespace

// ---- sending

TEST_CASE("RFC 6455 5.7: one literal is what is sent and what is read", "[connection][F06][F19]") {
  const auto proves = [](ws::role sender, std::string_view literal,
                         const std::function<ws::error(ws::connection&, ws::output&)>& send, std::string_view log) {
    const ws::options opt;
    char scratch[ws::min_scratch];
    ws::masking_keys keys{&sample_key};
    ws::connection c{sender, ws::negotiated{}, opt, scratch, &keys};
    std::vector<char> memory(70000);
    ws::output out{memory};
    CHECK(send(c, out) == ws::error::none);
    CHECK(out.written() == literal);
    check({.self = other(sender), .input = std::string{literal}, .log = std::string{log}});
  };
  using c = ws::connection;
  using o = ws::output;
  const ws::role server = ws::role::server, client = ws::role::client;
  proves(
      server, hex("81 05 48 65 6c 6c 6f"), [](c& x, o& out) { return x.send(out, ws::opcode::text, "Hello"); },
      "text \"Hello\"\n= open keep");
  proves(
      client, hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"),
      [](c& x, o& out) { return x.send(out, ws::opcode::text, "Hello"); }, "text \"Hello\"\n= open keep");
  proves(
      server, hex("01 03 48 65 6c 80 02 6c 6f"),
      [](c& x, o& out) {
        CHECK(x.send(out, ws::opcode::text, "Hel", false) == ws::error::none);
        return x.send(out, ws::opcode::text, "lo");
      },
      "text \"Hello\"\n= open keep");
  proves(
      server, hex("89 05 48 65 6c 6c 6f"), [](c& x, o& out) { return x.ping(out, "Hello"); },
      "ping \"Hello\"\n-> pong \"Hello\"\n= open keep");
  proves(
      client, hex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"), [](c& x, o& out) { return x.pong(out, "Hello"); },
      "pong \"Hello\"\n= open keep");
  proves(
      server, hex("82 7e 01 00") + std::string(256, 'b'),
      [](c& x, o& out) { return x.send(out, ws::opcode::binary, std::string(256, 'b')); },
      "binary \"b\"*256\n= open keep");
  proves(
      server, hex("82 7f 00 00 00 00 00 01 00 00") + std::string(65536, 'b'),
      [](c& x, o& out) { return x.send(out, ws::opcode::binary, std::string(65536, 'b')); },
      "binary \"b\"*65536\n= open keep");
}

TEST_CASE("F01 whatever is sent has the shortest length, and the other role reads it", "[connection][F01][F13]") {
  both([](ws::role self, ws::role peer) {
    for (const std::size_t n :
         std::initializer_list<std::size_t>{0, 1, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537}) {
      open_connection sender{self};
      std::vector<char> memory(n + 14);
      ws::output out{memory};
      const std::string payload(n, 'm');
      REQUIRE(sender.c.send(out, ws::opcode::binary, payload) == ws::error::none);
      CHECK(out.size() == sender.c.frame_size(n));
      CHECK(describe_sent(self, out.written()) == "-> binary " + show(payload) + "\n");
      CHECK(run({.self = peer, .input = std::string{out.written()}}, through::connection, {}).text ==
            "binary " + show(payload) + "\n= open keep\n");
    }
  });
}

TEST_CASE("a message of unknown length: first, more, last, with control frames between", "[connection][F10]") {
  both([](ws::role self, ws::role peer) {
    for (const through way : {through::connection, through::session})
      for (const bool by_continuation : {false, true}) {
        const ws::options opt;
        const plan p{.self = self};
        const auto e = make_endpoint(p, opt, way);
        const ws::opcode more = by_continuation ? ws::opcode::continuation : ws::opcode::text;
        CHECK(e->send(ws::opcode::text, "first ", false) == ws::error::none);
        CHECK(e->ping("?") == ws::error::none);
        CHECK(e->send(more, "", false) == ws::error::none);
        CHECK(e->send(more, "more \xE2", false) == ws::error::none);
        CHECK(e->pong("!") == ws::error::none);
        CHECK(e->send(more, "\x82\xAC last", false) == ws::error::none);
        CHECK(e->send(more, "", true) == ws::error::none);
        CHECK(e->send(ws::opcode::binary, "next") == ws::error::none);
        const std::string sent = e->take_sent();
        CHECK(describe_sent(self, sent) == trim_lines(R"(-> text "first " ...
                                                          -> ping "?"
                                                          -> ... "" ...
                                                          -> ... "more \xe2" ...
                                                          -> pong "!"
                                                          -> ... "\x82\xac last" ...
                                                          -> ... ""
                                                          -> binary "next")"));
        CHECK(run({.self = peer, .input = sent}, through::session, {}).text == trim_lines(R"(ping "?"
                            -> pong "?"
                            pong "!"
                            text "first more \xe2\x82\xac last"
                            binary "next"
                            = open keep)"));
      }
  });
}

TEST_CASE("F11 what is sent out of order is refused, and nothing changes", "[connection][F11]") {
  both([](ws::role self, ws::role) {
    for (const through way : {through::connection, through::session}) {
      const ws::options opt;
      const plan p{.self = self};
      const auto e = make_endpoint(p, opt, way);
      CHECK(e->send(ws::opcode::continuation, "x") == ws::error::send_out_of_order);
      CHECK(e->send(ws::opcode::continuation, "x", false) == ws::error::send_out_of_order);
      CHECK(e->send(ws::opcode::text, "a", false) == ws::error::none);
      CHECK(e->send(ws::opcode::binary, "x") == ws::error::send_out_of_order);
      CHECK(e->send(ws::opcode::binary, "x", false) == ws::error::send_out_of_order);
      CHECK(e->send(ws::opcode::text, "b") == ws::error::none);
      CHECK(e->send(ws::opcode::continuation, "x") == ws::error::send_out_of_order);
      for (const unsigned op : {3U, 4U, 5U, 6U, 7U, 8U, 9U, 10U, 11U, 12U, 13U, 14U, 15U, 16U, 0x81U}) {
        CHECK(e->send(static_cast<ws::opcode>(op), "x") == ws::error::opcode_not_sendable);
        CHECK(e->send(static_cast<ws::opcode>(op), "x", false) == ws::error::opcode_not_sendable);
      }
      CHECK(e->ping(std::string(126, 'x')) == ws::error::control_payload_too_long);
      CHECK(e->pong(std::string(126, 'x')) == ws::error::control_payload_too_long);
      CHECK(e->ping(std::string(125, 'x')) == ws::error::none);
      CHECK(describe_sent(self, e->take_sent()) == "-> text \"a\" ...\n-> ... \"b\"\n-> ping \"x\"*125\n");
      CHECK(e->is_open());
      CHECK(e->why() == ws::error::none);
    }
  });
}

TEST_CASE("F22 text that is not UTF-8 is refused, and nothing is sent", "[connection][F22]") {
  both([](ws::role self, ws::role) {
    for (const through way : {through::connection, through::session})
      for (const bool trusted : {false, true}) {
        ws::options opt;
        opt.trust_text = trusted;
        const plan p{.self = self};
        for (const std::string_view bad :
             {"\x80"sv, "a\xFF"sv, "\xC0\x80"sv, "\xED\xA0\x80"sv, "\xF4\x90\x80\x80"sv, "abc\xE2\x82"sv, "\xC3"sv,
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xF8"sv}) {
          const auto e = make_endpoint(p, opt, way);
          const ws::error why = e->send(ws::opcode::text, bad);
          CHECK(why == (trusted ? ws::error::none : ws::error::send_text_not_utf8));
          CHECK(e->take_sent().empty() != trusted);
          CHECK(e->send(ws::opcode::binary, bad) == ws::error::none);  // as binary it is nobody's concern
          CHECK(e->is_open());
        }
        if (trusted) continue;
        // Over the pieces: a code point may be cut, the end may not; a refused piece can be given again, mended.
        const auto e = make_endpoint(p, opt, way);
        CHECK(e->send(ws::opcode::text, "a\xF0\x9F", false) == ws::error::none);
        CHECK(e->send(ws::opcode::text, "x", false) == ws::error::send_text_not_utf8);
        CHECK(e->send(ws::opcode::text, "") == ws::error::send_text_not_utf8);
        CHECK(e->send(ws::opcode::continuation, "\x98") == ws::error::send_text_not_utf8);
        CHECK(e->send(ws::opcode::text, "\x98", false) == ws::error::none);
        CHECK(e->send(ws::opcode::text, "\x98\x80", false) == ws::error::send_text_not_utf8);
        CHECK(e->send(ws::opcode::text, "\x80!") == ws::error::none);
        // The next message begins afresh; binary pieces are not judged.
        CHECK(e->send(ws::opcode::text, "\x80") == ws::error::send_text_not_utf8);
        CHECK(e->send(ws::opcode::binary, "\xE2", false) == ws::error::none);
        CHECK(e->send(ws::opcode::continuation, "\xFF") == ws::error::none);
        CHECK(e->send(ws::opcode::text, "ok") == ws::error::none);
        CHECK(describe_sent(self, e->take_sent()) == trim_lines(R"(-> text "a\xf0\x9f" ...
                                                                    -> ... "\x98" ...
                                                                    -> ... "\x80!"
                                                                    -> binary "\xe2" ...
                                                                    -> ... "\xff"
                                                                    -> text "ok")"));
      }
  });
}

TEST_CASE("head() writes what send() would have written before the payload", "[connection][F21]") {
  both([](ws::role self, ws::role) {
    struct piece {
      ws::opcode op;
      std::size_t size;
      bool last;
    };
    const piece pieces[] = {
        {ws::opcode::text, 5, true},      {ws::opcode::binary, 0, true},           {ws::opcode::binary, 125, false},
        {ws::opcode::binary, 126, false}, {ws::opcode::continuation, 65535, true}, {ws::opcode::text, 65536, false},
        {ws::opcode::text, 1, true}};
    open_connection whole{self}, heads{self};
    for (const piece& piece : pieces) {
      const std::string payload(piece.size, 'x');
      std::vector<char> a(piece.size + 14), b(14);
      ws::output out{a}, head_out{b};
      REQUIRE(whole.c.send(out, piece.op, payload, piece.last) == ws::error::none);
      std::uint32_t key = 7;
      REQUIRE(heads.c.head(head_out, piece.op, piece.size, piece.last, key) == ws::error::none);
      if (self == ws::role::server) CHECK(key == 0);
      std::string sent{head_out.written()};
      std::string four(4, '\0');
      std::memcpy(four.data(), &key, 4);
      sent += self == ws::role::client ? masked(payload, four) : payload;
      CHECK(sent == out.written());
    }
    // It obeys the same order, and says the same when it cannot; a text that began so may go on by send().
    std::array<char, 14> memory{};
    ws::output out{memory}, more{memory};
    std::uint32_t key = 0;
    CHECK(heads.c.head(more, ws::opcode::text, 1, false, key) == ws::error::none);
    CHECK(heads.c.send(more, ws::opcode::continuation, "\xC3\xA9") == ws::error::none);
    CHECK(heads.c.head(out, ws::opcode::continuation, 1, true, key) == ws::error::send_out_of_order);
    CHECK(heads.c.head(out, ws::opcode::ping, 1, true, key) == ws::error::opcode_not_sendable);
    CHECK(heads.c.head(out, static_cast<ws::opcode>(3), 1, true, key) == ws::error::opcode_not_sendable);
    heads.entropy.fails = true;
    ws::error why = ws::error::none;
    for (int i = 0; i < 100 && why == ws::error::none; ++i) {
      ws::output again{memory};
      why = heads.c.head(again, ws::opcode::binary, 1, true, key);
      if (why != ws::error::none) CHECK(again.size() == 0);
    }
    CHECK(why == (self == ws::role::client ? ws::error::no_entropy : ws::error::none));
  });
}

TEST_CASE("before the handshake and after the end nothing can be sent", "[connection][K13]") {
  const ws::options opt;
  both([&](ws::role self, ws::role) {
    for (const through way : {through::connection, through::session}) {
      const plan p{.self = self, .handshake = true};
      const auto e = make_endpoint(p, opt, way);
      const auto nothing = [&] {
        CHECK(e->send(ws::opcode::text, "x") == ws::error::not_open);
        CHECK(e->ping("x") == ws::error::not_open);
        CHECK(e->pong("x") == ws::error::not_open);
        CHECK(e->close() == ws::error::not_open);
        CHECK(e->take_sent().empty());
        CHECK(!e->is_open());
      };
      nothing();
      CHECK(e->why() == ws::error::none);
      CHECK(e->code() == ws::close_code::none);
      e->eof();
      nothing();
    }
  });
}

TEST_CASE("F21 a client without keys sends nothing", "[connection][F21]") {
  const ws::options opt;
  char scratch[ws::min_scratch];
  ws::connection c{ws::role::client, ws::negotiated{}, opt, scratch};
  std::array<char, 64> memory{};
  ws::output out{memory};
  std::uint32_t key = 0;
  CHECK(c.send(out, ws::opcode::text, "x") == ws::error::no_entropy);
  CHECK(c.head(out, ws::opcode::text, 1, true, key) == ws::error::no_entropy);
  CHECK(c.ping(out) == ws::error::no_entropy);
  CHECK(c.close(out) == ws::error::no_entropy);
  CHECK(out.size() == 0);
  CHECK(c.is_open());
}

// ---- too little room

namespace {

using object_bytes = std::array<char, sizeof(ws::connection)>;
object_bytes snapshot(const ws::connection& c) {
  object_bytes bytes{};
  std::memcpy(bytes.data(), &c, sizeof c);
  return bytes;
}

}  // namespace

TEST_CASE("output_full writes nothing, changes nothing, and can be retried, with every room there is",
          "[connection][F21]") {
  struct call {
    std::string name;
    std::function<void(open_connection&, ws::role peer)> before;
    std::function<ws::error(ws::connection&, ws::output&)> write;
  };
  const auto nothing = [](open_connection&, ws::role) {};
  const auto reads = [](std::function<std::string(ws::role)> what) {
    return [what](open_connection& o, ws::role peer) {
      std::string bytes = what(peer);
      while (o.read(bytes)) {
      }
    };
  };
  const std::string medium(130, 'm');
  const auto owed = [](ws::connection& c, ws::output& out) { return c.write_owed(out); };
  const call calls[] = {
      {"text", nothing, [](ws::connection& c, ws::output& out) { return c.send(out, ws::opcode::text, "Hello"); }},
      {"empty", nothing, [](ws::connection& c, ws::output& out) { return c.send(out, ws::opcode::binary, ""); }},
      {"medium", nothing, [&](ws::connection& c, ws::output& out) { return c.send(out, ws::opcode::binary, medium); }},
      {"piece", nothing,
       [](ws::connection& c, ws::output& out) { return c.send(out, ws::opcode::text, "\xE2\x82", false); }},
      {"head", nothing,
       [](ws::connection& c, ws::output& out) {
         std::uint32_t key = 0;
         return c.head(out, ws::opcode::binary, 70000, false, key);
       }},
      {"ping", nothing, [](ws::connection& c, ws::output& out) { return c.ping(out, "ping"); }},
      {"pong", nothing, [](ws::connection& c, ws::output& out) { return c.pong(out, "pong"); }},
      {"close", nothing,
       [](ws::connection& c, ws::output& out) { return c.close(out, ws::close_code::normal, "bye"); }},
      {"owed pong", reads([](ws::role peer) { return frame(peer, 0x89, "ping"); }), owed},
      {"owed close", reads([](ws::role peer) { return close_frame(peer, 1000, "x"); }), owed},
      {"owed empty close", reads([](ws::role peer) { return frame(peer, 0x88, ""); }), owed},
      {"owed failure", reads([](ws::role peer) { return frame(peer, 0xB1, ""); }), owed},
  };
  both([&](ws::role self, ws::role peer) {
    for (const call& call : calls) {
      open_connection reference{self};
      call.before(reference, peer);
      std::array<char, 256> memory{};
      ws::output all{memory};
      REQUIRE(call.write(reference.c, all) == ws::error::none);
      const std::string expected{all.written()};
      open_connection o{self};
      call.before(o, peer);
      const object_bytes before = snapshot(o.c);
      for (std::size_t room = 0; room < expected.size(); ++room) {
        INFO(name(self) << " " << call.name << ", room " << room);
        std::vector<char> small(room + 4, '#');
        ws::output out{small};
        (void)out.put("....");  // what is there already stays
        CHECK(call.write(o.c, out) == ws::error::output_full);
        CHECK(out.written() == "....");
        CHECK(std::string_view{small.data(), small.size()}.substr(4) == std::string(room, '#'));
        CHECK((snapshot(o.c) == before));
        CHECK(o.entropy.calls == 0);
      }
      std::vector<char> exact(expected.size());
      ws::output out{exact};
      CHECK(call.write(o.c, out) == ws::error::none);
      CHECK(out.written() == expected);
    }
  });
}

TEST_CASE("write_owed writes each frame whole or not at all", "[connection][F19][K01]") {
  // A pong and a Close are owed together only by policy: nobody else answers a ping after a Close.
  ws::options opt;
  opt.auto_close_reply = false;
  open_connection o{ws::role::server, opt};
  std::array<char, 64> memory{};
  for (int i = 0; i < 3; ++i) {
    ws::output none{std::span<char>{memory}.first(0)};
    CHECK(o.c.write_owed(none) == ws::error::none);  // nothing is owed
  }
  std::string bytes = frame(ws::role::client, 0x89, "ping");
  CHECK(o.read(bytes).type == ws::event_type::ping);
  ws::output small{std::span<char>{memory}.first(5)};
  CHECK(o.c.write_owed(small) == ws::error::output_full);
  CHECK(o.c.wants() == ws::transport::flush);
  ws::output out{memory};
  CHECK(o.c.write_owed(out) == ws::error::none);
  CHECK(o.c.write_owed(out) == ws::error::none);
  CHECK(to_hex(out.written()) == "8a 04 70 69 6e 67");
  CHECK(o.c.wants() == ws::transport::keep);
}

TEST_CASE("scratch under 256 bytes fails when it is needed", "[connection]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    char scratch[255];
    test_entropy entropy;
    ws::masking_keys keys{&test_entropy::fill, &entropy};
    ws::connection c{self, ws::negotiated{}, opt, scratch, &keys};
    std::string bytes = frame(peer, 0x81, "x") + frame(peer, 0x89, "y");
    std::span<char> rest{bytes};
    CHECK(c.next(rest).payload == "x");
    CHECK(c.next(rest).why() == ws::error::scratch_too_small);
    CHECK(rest.empty());
    CHECK(c.offset() == bytes.size() - 1);  // the head was read
  });
}

// ---- reading into other memory

namespace {

/// A bit of everything, and what comes of it.
std::string everything(ws::role peer) {
  return frame(peer, 0x81, "Hello") + frame(peer, 0x82, "") + frame(peer, 0x01, "caf\xC3") +
         frame(peer, 0x89, "ping!") + frame(peer, 0x00, "") + frame(peer, 0x80, "\xA9, \xF0\x9F\x98\x80") +
         frame(peer, 0x02, std::string(70, 'b')) + frame(peer, 0x8A, std::string(20, 'p')) +
         frame(peer, 0x80, std::string(130, 'c'));
}
const std::string everything_log = trim_lines(R"(text "Hello"
                                                  binary ""
                                                  text "caf\xc3" ...
                                                  ping "ping!"
                                                  -> pong "ping!"
                                                  ... "\xa9, \xf0\x9f\x98\x80"
                                                  binary "b"*70 ...
                                                  pong "p"*20
                                                  ... "c"*130
                                                  )");

}  // namespace

TEST_CASE("F13 copying while reading, with every size of the memory to copy to", "[connection][F13]") {
  both([](ws::role self, ws::role peer) {
    const std::string close = close_frame(peer, 1000, "reason");
    const std::string end = "close 1000 \"reason\"\n-> close 1000 \"\"\n= closed " +
                            std::string{self == ws::role::server ? "half_close" : "keep"} + " 1000\n";
    const plan good{.self = self, .input = everything(peer) + close};
    const plan bad{.self = self, .input = frame(peer, 0x81, std::string(40, 'a') + "\xC3(bad")};
    const outcome fails = run(bad, through::connection, {});
    for (std::size_t to = 1; to <= 64; ++to) {
      CHECK(run(good, through::copying, {}, false, to).text == everything_log + end);
      CHECK(run(good, through::copying, {}, true, to).text == everything_log + end);
      CHECK(run(good, through::copying, {7, 50}, false, to).text == everything_log + end);
      CHECK(run(bad, through::copying, {}, false, to).text == fails.text);
    }
  });
}

TEST_CASE("copying from memory that cannot be written, to memory that is full", "[connection][F06]") {
  const ws::options opt;
  char scratch[ws::min_scratch];
  ws::connection c{ws::role::server, ws::negotiated{}, opt, scratch};
  // RFC 6455 5.7 in constant memory: a masked "Hello", a ping before and after.
  constexpr std::string_view bytes =
      "\x89\x80\1\2\3\4\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x89\x81\x37\xfa\x21\x3d\x7f";
  std::string_view in = bytes;
  char to[3];
  const std::span<char> none = std::span{to}.first(0);
  ws::event ev = c.next(in, none);
  CHECK(ev.type == ws::event_type::ping);  // needs no room
  for (int i = 0; i < 3; ++i) {
    ev = c.next(in, none);
    CHECK(!ev);  // data waits
    CHECK(c.why() == ws::error::none);
  }
  ev = c.next(in, to);
  CHECK((ev.type == ws::event_type::data && ev.payload == "Hel" && ev.payload.data() == to && ev.first && !ev.last));
  ev = c.next(in, none);
  CHECK(!ev);
  ev = c.next(in, to);
  CHECK((ev.type == ws::event_type::data && ev.payload == "lo" && ev.payload.data() == to && !ev.first && ev.last));
  ev = c.next(in, none);
  CHECK((ev.type == ws::event_type::ping && ev.payload == "H"));
  CHECK(in.empty());
  CHECK(c.offset() == bytes.size());
}

TEST_CASE("in place means in place: payloads point into the input", "[connection]") {
  both([](ws::role self, ws::role peer) {
    open_connection o{self};
    std::string bytes =
        frame(peer, 0x81, "Hello") + frame(peer, 0x82, std::string(1000, 'x')) + frame(peer, 0x8A, "pong");
    std::span<char> rest{bytes};
    const char* const end = bytes.data() + bytes.size();
    for (const std::size_t n : std::initializer_list<std::size_t>{5, 1000, 4}) {
      const ws::event ev = o.c.next(rest);
      CHECK(ev.payload.size() == n);
      CHECK((ev.payload.data() >= bytes.data() && ev.payload.data() + n <= end));
    }
    CHECK(!o.c.next(rest));
  });
}

TEST_CASE("what a frame was is told with its pieces", "[connection]") {
  both([](ws::role self, ws::role peer) {
    open_connection o{self};
    CHECK(o.c.frame_bits() == 0);
    CHECK(o.c.frame_remaining() == 0);
    std::string bytes = frame(peer, 0x02, std::string(1000, 'x'));
    std::string cut = bytes.substr(0, bytes.size() - 300);
    ws::event ev = o.read(cut);
    CHECK((ev.type == ws::event_type::data && ev.first && !ev.last && ev.payload.size() == 700));
    CHECK(o.c.frame_bits() == 0x02);
    CHECK(o.c.frame_remaining() == 300);
    cut = bytes.substr(bytes.size() - 300);
    ev = o.read(cut);
    CHECK((ev.type == ws::event_type::data && !ev.first && !ev.last && ev.payload.size() == 300));
    CHECK(o.c.frame_remaining() == 0);
    cut = frame(peer, 0x80, "");
    ev = o.read(cut);
    CHECK((ev.type == ws::event_type::data && !ev.first && ev.last && ev.payload.empty()));
    CHECK(o.c.frame_bits() == 0x80);
    // The end is told with the last byte, however few bytes come.
    bytes = frame(peer, 0x82, std::string(20, 'y'));
    for (std::size_t at = 0, n = 0; at < bytes.size(); at += n) {
      n = bytes.size() - at < 3 ? bytes.size() - at : 3;
      cut = bytes.substr(at, n);
      ev = o.read(cut);
      CHECK(cut.empty());
      CHECK(ev.last == (at + n == bytes.size()));
      CHECK(!o.read(cut));
    }
    CHECK(o.c.frame_size(0) == (self == ws::role::client ? 6U : 2U));
    CHECK(o.c.frame_size(65536) == (self == ws::role::client ? 65550U : 65546U));
  });
}

TEST_CASE("what a frame was: nothing before the handshake, and after a failure", "[connection]") {
  const ws::options opt;
  char scratch[ws::min_scratch];
  both([&](ws::role self, ws::role peer) {
    CHECK(ws::connection{self, opt, scratch}.frame_remaining() == 0);
    open_connection o{self};
    std::string cut = frame(peer, 0x81, std::string(1000, '\xFF')).substr(0, 500);
    while (o.read(cut)) {
    }
    CHECK(o.c.why() == ws::error::text_not_utf8);
    CHECK(o.c.frame_remaining() == 0);
    cut = "what is discarded";
    CHECK(!o.read(cut));
    CHECK(o.c.frame_remaining() == 0);
  });
}

TEST_CASE("before the handshake nothing is agreed on", "[connection]") {
  const ws::options opt;
  char scratch[ws::min_scratch];
  for (const ws::role self : both_roles) CHECK(ws::connection{self, opt, scratch}.agreed().agreement == 0);
}

TEST_CASE("F05 F07 F08 F09 F11 every first byte there is of a whole frame, masked or not, between messages",
          "[connection][F05][F07][F08][F09][F11]") {
  both([](ws::role self, ws::role peer) {
    for (unsigned first = 0; first < 256; ++first) {
      const unsigned op = first & 0x0FU;
      const bool control = op >= 8 && op <= 10;
      const bool good = (first & 0x70U) == 0 && (op == 1 || op == 2 || (control && (first & 0x80U) != 0));
      INFO(first);
      for (const ws::role sender : both_roles) {
        open_connection o{self};
        std::string bytes = frame(sender, first, big_endian(1000, 2) + "12345678");
        CHECK((o.read(bytes).type == ws::event_type::failed) == !(good && sender == peer));
        CHECK(ws::explain(o.c.why()).answer == (good && sender == peer ? 0 : 1002));
      }
    }
  });
}

#if __has_include(<sys/mman.h>) && UINTPTR_MAX > 0xFFFFFFFF
TEST_CASE("F23 a scratch of over 4 GiB is not taken for a small one", "[connection][F23]") {
  const std::size_t size = (std::size_t{1} << 32) + 16;
  void* const memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;  // a machine may say no
  const ws::options opt;
  ws::connection c{ws::role::server, ws::negotiated{}, opt, {static_cast<char*>(memory), size}};
  std::string bytes = frame(ws::role::client, 0x89, "ping").substr(0, 8);
  std::span<char> rest{bytes};
  CHECK(!c.next(rest));
  CHECK(c.why() == ws::error::none);
  munmap(memory, size);
}
#endif

TEST_CASE("F02 a head for more than 63 bits of length is refused", "[connection][F02]") {
  open_connection o{ws::role::server};
  char memory[16];
  ws::output out{memory};
  std::uint32_t key = 0;
  CHECK(o.c.head(out, ws::opcode::binary, std::uint64_t{1} << 63, true, key) == ws::error::length_top_bit);
  CHECK(out.size() == 0);
  CHECK(o.c.head(out, ws::opcode::binary, (std::uint64_t{1} << 63) - 1, true, key) == ws::error::none);
}

// ---- starting open, and moving

TEST_CASE("H20 after a handshake done elsewhere the leftover bytes are the first frames", "[connection][H20]") {
  const ws::options opt;
  both([&](ws::role self, ws::role peer) {
    for (const std::uint32_t agreement : {0U, 5U}) {
      const ws::negotiated agreed{.extension = nullptr, .agreement = agreement};
      check({.self = self,
             .input = everything(peer),
             .log = everything_log + "= open keep",
             .pairs = false,
             .agreed = agreed});
      test_entropy entropy;
      ws::masking_keys keys{&test_entropy::fill, &entropy};
      char scratch[ws::min_scratch];
      const ws::connection c{self, agreed, opt, scratch, &keys};
      CHECK(c.is_open());
      CHECK(c.agreed().agreement == agreement);
      CHECK(c.offset() == 0);
      CHECK(c.state() == ws::close_state::open);
      CHECK(c.wants() == ws::transport::keep);
      CHECK(c.subprotocol().empty());
      const ws::session s{self, agreed, opt, &keys};
      CHECK(s.is_open());
      CHECK(s.agreed().agreement == agreement);
    }
  });
}

TEST_CASE("H13 no subprotocol is in use unless one was agreed on, also of a long list", "[connection][H13]") {
  const std::vector<std::string_view> names(65536, "chat");
  ws::options opt;
  for (const std::size_t n : std::initializer_list<std::size_t>{0, 1, 65534, 65535}) {
    opt.subprotocols = std::span{names}.first(n);
    open_connection o{ws::role::server, opt};
    CHECK(o.c.subprotocol() == "");
  }
}

TEST_CASE("H13 the subprotocol that was selected is the one in use, wherever it is in the list", "[connection][H13]") {
  constexpr std::string_view names[] = {"first", "second", "third"};
  const ws::options opt{.subprotocols = names};
  for (const std::string_view selected : {names[0], names[1], names[2], std::string_view{}}) {
    char scratch[ws::min_scratch];
    ws::connection c{ws::role::server, opt, scratch};
    std::string request =
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: third, second, first\r\n\r\n";
    std::span<char> rest{request};
    REQUIRE(c.next(rest).type == ws::event_type::request);
    char to[512];
    ws::output out{to};
    REQUIRE(c.accept(out, {.subprotocol = selected}) == ws::error::none);
    CHECK(c.subprotocol() == selected);
  }
}

TEST_CASE("F13 a connection can be handed over at any byte, with its scratch", "[connection][F13]") {
  both([](ws::role self, ws::role peer) {
    const std::string input = everything(peer) + close_frame(peer, 1000, "reason");
    const std::string end = "close 1000 \"reason\"\n-> close 1000 \"\"\n= closed " +
                            std::string{self == ws::role::server ? "half_close" : "keep"} + " 1000\n";
    for (const bool at_every_byte : {false, true})
      for (std::size_t cut = 0; cut <= input.size(); ++cut) {
        if (at_every_byte && cut != 0) break;
        const ws::options opt;
        const ws::negotiated open;
        const auto e = std::make_unique<connection_endpoint>(self, opt, &open);
        const ws::options other_options;
        const auto hand_over = [&] {
          // The bytes travel; everything they pointed to is elsewhere and the old memory holds something else.
          object_bytes bytes = snapshot(*e->machine);
          std::unique_ptr<char[]> scratch{new char[ws::min_scratch]};
          std::memcpy(scratch.get(), e->scratch.get(), ws::min_scratch);
          std::memset(e->scratch.get(), '#', ws::min_scratch);
          e->scratch = std::move(scratch);
          auto moved = std::make_unique<ws::connection>(__builtin_bit_cast(ws::connection, bytes));
          moved->rebind(other_options, std::span<char>{e->scratch.get(), ws::min_scratch}, &e->keys);
          e->machine = std::move(moved);
        };
        for (std::size_t i = 0; i <= input.size(); ++i) {
          if (at_every_byte || i == cut) hand_over();
          if (i < input.size()) e->read(std::string_view{input}.substr(i, 1));
        }
        const std::string got = e->log.text() + e->end_line() + "\n";
        if (got != everything_log + end) {
          INFO(name(self) << " at " << cut);
          CHECK(got == everything_log + end);
        }
      }
  });
}

TEST_CASE("F19 an owed pong moves with the scratch", "[connection][F19]") {
  const ws::options opt;
  open_connection a{ws::role::server};
  std::string bytes = frame(ws::role::client, 0x89, "owed");
  CHECK(a.read(bytes).type == ws::event_type::ping);
  char scratch[ws::min_scratch];
  std::memcpy(scratch, a.scratch, sizeof scratch);
  std::memset(a.scratch, '#', sizeof a.scratch);
  ws::connection b = a.c;
  b.rebind(opt, scratch, nullptr);
  std::array<char, 64> memory{};
  ws::output out{memory};
  CHECK(b.write_owed(out) == ws::error::none);
  CHECK(describe_sent(ws::role::server, out.written()) == "-> pong \"owed\"\n");
}

// ---- both roles together

TEST_CASE("F13 what one role sends the other reads, in any pieces", "[connection][F13][F06]") {
  test_entropy random;
  const auto below = [&](std::size_t n) {
    unsigned char two[4];
    (void)test_entropy::fill(&random, reinterpret_cast<char*>(two), 4);
    return (two[0] | std::size_t{two[1]} << 8 | std::size_t{two[2]} << 16) % n;
  };
  both([&](ws::role self, ws::role peer) {
    for (int round = 0; round < 40; ++round) {
      const ws::options opt;
      const plan sending{.self = self}, receiving{.self = peer};
      const through way = all_ways[below(4)];
      const auto a = make_endpoint(sending, opt, round % 2 == 0 ? through::connection : through::session);
      const auto b = make_endpoint(receiving, opt, way, 1 + below(100));
      b->flush_late = true;
      std::string expected;
      for (int i = 0; i < 20; ++i) {
        std::string payload(below(3) == 0 ? below(1000) : below(20), static_cast<char>('a' + i));
        if (below(4) == 0) {
          payload.resize(payload.size() % 126);
          CHECK(a->pong(payload) == ws::error::none);
          expected += "pong " + show(payload) + "\n";
          continue;
        }
        const bool text = below(2) == 0;
        const ws::opcode op = text ? ws::opcode::text : ws::opcode::binary;
        std::size_t at = 0;
        for (std::size_t pieces = below(3); pieces > 0; --pieces) {
          const std::size_t n = below(payload.size() - at + 1);
          CHECK(a->send(op, std::string_view{payload}.substr(at, n), false) == ws::error::none);
          at += n;
        }
        CHECK(a->send(op, std::string_view{payload}.substr(at)) == ws::error::none);
        expected += (text ? "text " : "binary ") + show(payload) + "\n";
      }
      const std::string sent = a->take_sent();
      for (std::size_t at = 0; at < sent.size();) {
        const std::size_t n = 1 + below(200);
        b->read(std::string_view{sent}.substr(at, n));
        at += n;
      }
      CHECK(b->log.whole() == expected);
    }
  });
}
