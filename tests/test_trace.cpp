#include <wscodec/trace.hpp>

#include <string>
#include <string_view>

#include "catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/link.hpp"
#include "support/wire.hpp"
#include "wscodec/prepared_message.hpp"

namespace ws = wscodec;

namespace {

std::string in_words(const ws::frame_head& head) {
  char line[96];
  ws::output out{line};
  CHECK(ws::describe(out, head));
  return std::string{out.written()};
}

/// A line for each call of the hook.
struct listener {
  std::string lines;
  const void* who = nullptr;
  ws::trace_hook hook{[](void* self, const ws::traced_frame& f) noexcept { static_cast<listener*>(self)->add(f); }, this};

  void add(const ws::traced_frame& f) {
    who = f.who;
    if (f.sent) CHECK(f.offset == 0);
    ws::frame_head head = f.head;
    head.masking_key = 0;
    lines += (f.sent ? "-> " : std::to_string(f.offset) + " <- ") + in_words(head) + "\n";
  }
};

}  // namespace

TEST_CASE("describe says a head in words", "[trace]") {
  CHECK(in_words({}) == "binary, fin, 0 bytes");
  CHECK(in_words({.opcode = ws::opcode::text, .masked = true, .masking_key = ws::load_masking_key("\x37\xfa\x21\x3d"), .length = 5}) ==
        "text, fin, masked 37fa213d, 5 bytes");
  CHECK(in_words({.fin = false, .rsv1 = true, .opcode = ws::opcode::continuation, .length = 1}) ==
        "continuation, more follow, rsv1, 1 byte");
  const std::string longest = in_words({.fin = false, .rsv1 = true, .rsv2 = true, .rsv3 = true, .opcode = ws::opcode::continuation, .masked = true, .length = ~std::uint64_t{0}});
  CHECK(longest == "continuation, more follow, rsv1, rsv2, rsv3, masked 00000000, 18446744073709551615 bytes");
  CHECK(longest.size() <= 96);
  for (unsigned i = 0; i < 16; ++i) {
    const bool known = i <= 2 || (i >= 8 && i <= 10);
    CHECK(ws::name_of(static_cast<ws::opcode>(i)).starts_with("reserved ") != known);
  }
}

TEST_CASE("the hook hears nothing of a prepared message for which there is no memory", "[trace][memory]") {
  for (const ws::role self : {ws::role::server, ws::role::client})
    for (const std::size_t n : {10U, 1000U}) {
      listener heard;
      ws::options opt;
      opt.trace = &heard.hook;
      counting_allocator memory;
      sim::side s{self, opt, true, memory.hook()};
      const ws::prepared_message message{ws::opcode::binary, std::string(n, 'x')};
      memory.fail_at = memory.calls;
      CHECK(s.session.send(message) == ws::error::out_of_memory);
      CHECK(heard.lines == "");
      CHECK(s.session.send(message) == ws::error::none);
      CHECK(heard.lines.starts_with("-> binary, fin"));
    }
}

TEST_CASE("describe writes the whole line or nothing", "[trace]") {
  for (const bool all : {false, true}) {
    const ws::frame_head head{.rsv1 = all, .rsv2 = all, .rsv3 = all, .opcode = ws::opcode::text, .masked = true, .length = 5};
    const std::size_t whole = in_words(head).size();
    char line[96];
    for (std::size_t room = 0; room <= whole; ++room) {
      ws::output out{{line, room}};
      CHECK(ws::describe(out, head) == (room == whole));
      CHECK(out.size() == (room == whole ? whole : 0));
    }
  }
}

TEST_CASE("the hook is called for each received frame, wherever the input is cut, and changes no event", "[trace]") {
  for (const ws::role self : {ws::role::server, ws::role::client}) {
    const ws::role peer = wire::other(self);
    const std::string bytes = wire::frame(peer, 0x81, "small") + wire::frame(peer, 0x02, std::string(300, 'x')) + wire::frame(peer, 0x89, "p") +
                              wire::frame(peer, 0x80, "") + wire::close_frame(peer, 1000);
    const std::size_t key = self == ws::role::server ? 4 : 0;
    const std::string masked = key != 0 ? ", masked 00000000" : "";
    const std::string expected = "0 <- text, fin" + masked + ", 5 bytes\n" + std::to_string(7 + key) + " <- binary, more follow" + masked + ", 300 bytes\n" +
                                 std::to_string(7 + 304 + 2 * key) + " <- ping, fin" + masked + ", 1 byte\n" +
                                 std::to_string(7 + 304 + 3 + 3 * key) + " <- continuation, fin" + masked + ", 0 bytes\n" +
                                 std::to_string(7 + 304 + 3 + 2 + 4 * key) + " <- close, fin" + masked + ", 2 bytes\n";
    const ws::options plain;
    sim::side untraced{self, plain};
    untraced.read(bytes);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      listener heard;
      ws::options opt;
      opt.trace = &heard.hook;
      opt.auto_pong = opt.auto_close_reply = false;
      sim::side s{self, opt};
      s.read({bytes.data(), cut});
      s.read({bytes.data() + cut, bytes.size() - cut});
      CHECK(heard.lines == expected);
      CHECK(heard.who == &s.session);
      CHECK(s.events() == untraced.events());
    }
  }
}

TEST_CASE("a frame that breaks a rule is told by its event, not by the hook", "[trace]") {
  for (const std::string_view bytes : {"\x91\x80", "\x83\x80", "\x80\x80", "\x81\x01"}) {
    listener heard;
    ws::options opt;
    opt.trace = &heard.hook;
    opt.auto_close_reply = false;
    sim::side s{ws::role::server, opt};
    s.read(bytes);
    CHECK(s.session.why() != ws::error::none);
    CHECK(heard.lines == "-> close, fin, 2 bytes\n");
  }
}

TEST_CASE("the hook is called for each frame that is sent", "[trace]") {
  for (const ws::role self : {ws::role::server, ws::role::client}) {
    listener heard;
    ws::options opt;
    opt.trace = &heard.hook;
    sim::side s{self, opt};
    const std::string masked = self == ws::role::client ? ", masked 00000000" : "";
    const std::string large(1000, 'x');
    CHECK(s.session.send(ws::opcode::text, "a", false) == ws::error::none);
    CHECK(s.session.ping("hi") == ws::error::none);
    CHECK(s.session.send(ws::opcode::text, "", true) == ws::error::none);
    CHECK(s.session.send_borrowed(ws::opcode::binary, large, nullptr) == ws::error::none);
    CHECK(s.session.send(ws::prepared_message{ws::opcode::text, "prepared"}) == ws::error::none);
    CHECK(s.session.send(ws::prepared_message{ws::opcode::text, large}) == ws::error::none);
    CHECK(s.session.send(ws::opcode::text, "\xff") == ws::error::send_text_not_utf8);
    CHECK(s.session.close(ws::close_code::normal, "bye") == ws::error::none);
    std::string expected;
    for (const char* frame : {"text, more follow%, 1 byte", "ping, fin%, 2 bytes", "continuation, fin%, 0 bytes", "binary, fin%, 1000 bytes",
                              "text, fin%, 8 bytes", "text, fin%, 1000 bytes", "close, fin%, 5 bytes"}) {
      std::string line = frame;
      line.replace(line.find('%'), 1, masked);
      expected += "-> " + line + "\n";
    }
    CHECK(heard.lines == expected);
  }
}

TEST_CASE("a hook without a function is none", "[trace]") {
  const ws::trace_hook nothing;
  ws::options opt;
  opt.trace = &nothing;
  sim::side s{ws::role::server, opt};
  s.read(wire::frame(ws::role::client, 0x81, "hello"));
  CHECK(s.session.send(ws::opcode::text, "hello") == ws::error::none);
  CHECK(s.sent() == "-> text \"hello\"\n");
}
