#include <wscodec/websocket.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/wire.hpp"

#if __has_include(<zlib.h>) && !defined(WITHOUT_ZLIB)
#include <wscodec/zlib.hpp>
#endif

namespace ws = wscodec;
using ws::error;
using ws::ready_state;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

const std::string accepted =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";  // to the nonce below

std::string frame(unsigned first, std::string_view payload) { return wire::frame(ws::role::server, first, payload); }
std::string close_frame(unsigned code, std::string_view reason = {}) { return wire::close_frame(ws::role::server, code, reason); }

/// A WebSocket in a page, so to speak: its events as text, and what to do at each of them.
struct page {
  wire::test_entropy entropy;
  ws::masking_keys keys{&wire::test_entropy::fill, &entropy};
  std::unique_ptr<ws::websocket> socket;
  std::string log;
  std::function<void()> at_open, at_error, at_close;
  std::function<void(std::string_view)> at_message;
  std::string why, head;  // of the error event
  std::uint64_t now = 1000;

  explicit page(const ws::options& opt = {}, const ws::allocator* memory = nullptr)
      : socket(std::make_unique<ws::websocket>(opt, &keys, memory)) {
    entropy.nonce = "the sample nonce";
    socket->on_open = [this] { happened("open", at_open); };
    socket->on_message = [this](const ws::message_event& ev) {
      happened((ev.opcode == ws::opcode::text ? "text " : "binary ") + wire::show(ev.data), [this, &ev] {
        if (at_message) at_message(ev.data);
      });
    };
    socket->on_error = [this](const ws::error_event& ev) {
      why = wire::name(ev.why);
      head = ev.response().text();
      happened("error", at_error);
    };
    socket->on_close = [this](const ws::close_event& ev) {
      happened("close " + wire::name(ev.code) + " " + wire::show(ev.reason) + (ev.was_clean ? " clean" : ""), at_close);
    };
  }
  page(const page&) = delete;
  page& operator=(const page&) = delete;

  int state() const { return static_cast<int>(socket->ready_state()); }
  void happened(const std::string& what, const std::function<void()>& then) {
    log += what + " @" + std::to_string(state()) + "\n";
    if (then) then();
  }
  /// The log since the last look.
  std::string events() { return std::exchange(log, {}); }
  /// In memory of its exact size, gone afterwards.
  void read(std::string_view bytes) {
    const std::unique_ptr<char[]> memory{new char[bytes.size() + 1]};
    std::memcpy(memory.get(), bytes.data(), bytes.size());
    socket->receive({memory.get(), bytes.size()});
  }
  void read_prepared(std::string_view bytes, std::size_t size = 16) {
    while (!bytes.empty() && socket != nullptr) {
      const std::span<char> to = socket->prepare(size);
      const std::size_t n = std::min({bytes.size(), to.size(), size});
      if (n == 0) return;
      std::memcpy(to.data(), bytes.data(), n);
      bytes.remove_prefix(n);
      socket->commit(n);
    }
  }
  std::string take() {
    std::string bytes;
    while (!socket->output().empty()) {
      const std::string part{socket->output()};
      bytes += part;
      socket->consume(part.size());
    }
    return bytes;
  }
  std::string sent() { return wire::describe_sent(ws::role::client, take()); }
  std::string request(std::string_view url = "ws://example.org/") {
    REQUIRE(socket->connect(url) == error::none);
    return take();
  }
  void open(std::string_view fields = {}) {
    (void)request();
    read(accepted + std::string{fields} + "\r\n");
    CHECK(events() == "open @1\n");
  }
  void tick() { socket->tick(now); }
};

const std::string failed = "error @3\nclose 1006 \"\" @3\n";

}  // namespace

TEST_CASE("a websocket's prepare gives about as much as it is asked for, 16 KiB unless told otherwise", "[websocket]") {
  for (const std::size_t size : {1'000U, 16'384U, 100'000U}) {
    page p;
    p.open();
    const std::size_t got = (size == 16'384 ? p.socket->prepare() : p.socket->prepare(size)).size();
    CHECK(got >= size);
    CHECK(got <= 2 * size);
  }
}

TEST_CASE("W01 what connect refuses leaves the object as it was", "[websocket][W01]") {
  page p;
  const std::pair<std::string_view, error> wrong[] = {
      {"", error::uri_scheme},           {"example.org", error::uri_scheme},     {"ftp://example.org/", error::uri_scheme},
      {"ws://", error::uri_host},        {"ws://a b/", error::uri_host},         {"ws://h:65536/", error::uri_port},
      {"ws://h/#", error::uri_fragment}, {"ws://h/a b", error::uri_target},      {"ws:/h", error::uri_host},
  };
  for (const auto& [url, why] : wrong) {
    INFO(url);
    CHECK(p.socket->connect(url) == why);
    CHECK(p.state() == 0);
    CHECK(p.socket->url().empty());
    CHECK(p.socket->output().empty());
  }
  CHECK(p.socket->connect("ws://h/", "", std::array{ws::field{"a b", "c"}}) == error::field_refused);
  CHECK(p.socket->connect("ws://h/") == error::none);
  CHECK(p.socket->connect("ws://h/") == error::no_request);
  CHECK(p.socket->url() == "ws://h/");
}

TEST_CASE("W01 a subprotocol may be offered once, and must be a token", "[websocket][W01]") {
  const std::string_view twice[] = {"a", "b", "a"}, later[] = {"a", "b", "c", "c"}, no_token[] = {"a", "b c"};
  ws::options opt;
  opt.subprotocols = twice;
  CHECK(page{opt}.socket->connect("ws://h/") == error::subprotocol_doubled);
  opt.subprotocols = later;
  CHECK(page{opt}.socket->connect("ws://h/") == error::subprotocol_doubled);
  opt.subprotocols = no_token;
  CHECK(page{opt}.socket->connect("ws://h/") == error::subprotocol_not_offered);
}

TEST_CASE("W01 url() is the URL as it was understood, and so is the request", "[websocket][W01]") {
  const std::tuple<std::string_view, std::string_view, std::string_view, std::string_view, unsigned> rows[] = {
      {"ws://Example.ORG", "ws://example.org/", "example.org", "/", 80},
      {"ws://AZaz09.@Z/AZ", "ws://z/AZ", "z", "/AZ", 80},
      {"ws://A@aZzA.Z/", "ws://azza.z/", "azza.z", "/", 80},
      {"http://h:80/A?b", "ws://h/A?b", "h", "/A?b", 80},
      {"WSS://h:8443?q=1", "wss://h:8443/?q=1", "h:8443", "/?q=1", 8443},
      {"https://[::1]/", "wss://[::1]/", "[::1]", "/", 443},
      {"ws://u:p@h/x", "ws://h/x", "h", "/x", 80},
  };
  for (const auto& [given, url, host, target, port] : rows) {
    INFO(given);
    page p;
    const std::string request = p.request(std::string{given});  // which is gone
    CHECK(p.socket->url() == url);
    CHECK(request.starts_with("GET " + std::string{target} + " HTTP/1.1\r\n"));
    CHECK(request.find("\r\nHost: " + std::string{host} + "\r\n") != request.npos);
    CHECK(p.socket->where().port == port);
    CHECK(p.socket->where().secure == url.starts_with("wss"));
  }
}

TEST_CASE("W02 open, messages, close; and the states they are seen in", "[websocket][W02]") {
  for (const bool prepared : {false, true})
    for (const std::size_t step : {1U, 3U, 1000U}) {
      INFO(prepared << " by " << step);
      page p;
      (void)p.request();
      CHECK(p.state() == 0);
      const std::string bytes = accepted + "\r\n" + frame(0x81, "one") + frame(0x89, "?") + frame(0x02, "tw") + frame(0x80, "o") +
                                frame(0x81, "") + close_frame(4000, "bye") + frame(0x81, "never");
      for (std::size_t at = 0; at < bytes.size(); at += step) {
        if (prepared) p.read_prepared(std::string_view{bytes}.substr(at, step));
        else p.read(std::string_view{bytes}.substr(at, step));
      }
      CHECK(p.events() == "open @1\ntext \"one\" @1\nbinary \"two\" @1\ntext \"\" @1\n");
      CHECK(p.state() == 2);
      CHECK(p.sent() == "-> pong \"?\"\n-> close 4000 \"\"\n");
      CHECK(p.socket->wants() == ws::transport::keep);
      p.socket->end_of_input();
      CHECK(p.events() == "close 4000 \"bye\" clean @3\n");
      CHECK(p.socket->wants() == ws::transport::drop);
      p.socket->end_of_input();
      p.tick();
      p.read("\x81\x01x");
      CHECK(p.events() == "");
    }
}

TEST_CASE("W02 messages that come after close() was called are not given", "[websocket][W02]") {
  page p;
  p.open();
  CHECK(p.socket->close() == error::none);
  p.read(frame(0x81, "late") + frame(0x02, "la") + frame(0x80, "te") + close_frame(1000));
  p.socket->end_of_input();
  CHECK(p.events() == "close 1000 \"\" clean @3\n");
}

TEST_CASE("W03 send before open is an error, and counts for nothing", "[websocket][W03]") {
  page p;
  CHECK(p.socket->send("x") == error::not_open);
  (void)p.request();
  CHECK(p.socket->send("x") == error::not_open);
  CHECK(p.socket->buffered_amount() == 0);
  CHECK(p.socket->output().empty());
}

TEST_CASE("W03 send after closing began is dropped but counted", "[websocket][W03][W04]") {
  enum class end { own, peer, failed };
  for (const end how : {end::own, end::peer, end::failed}) {
    page p;
    p.open();
    if (how == end::own) CHECK(p.socket->close() == error::none);
    if (how == end::peer) p.read(close_frame(1000));
    if (how == end::failed) p.read("\x83");
    (void)p.sent();
    CHECK(p.state() == (how == end::failed ? 3 : 2));
    CHECK(p.socket->send("12345") == error::none);
    CHECK(p.socket->buffered_amount() == 5);
    p.socket->end_of_input();
    CHECK(p.state() == 3);
    CHECK(p.socket->send("678", ws::opcode::binary) == error::none);
    CHECK(p.socket->buffered_amount() == 8);
    CHECK(p.sent() == "");
    CHECK(p.socket->buffered_amount() == 8);
  }
}

TEST_CASE("W03 send takes text, which must be UTF-8, and binary", "[websocket][W03]") {
  page p;
  p.open();
  CHECK(p.socket->send("\xff") == error::send_text_not_utf8);
  CHECK(p.socket->send("x", ws::opcode::ping) == error::opcode_not_sendable);
  CHECK(p.socket->send("x", ws::opcode::continuation) == error::send_out_of_order);
  CHECK(p.socket->buffered_amount() == 0);
  CHECK(p.socket->send("\xff", ws::opcode::binary) == error::none);
  CHECK(p.socket->send("Grüße") == error::none);
  CHECK(p.socket->buffered_amount() == 1 + 7);
  CHECK(p.sent() == "-> binary \"\\xff\"\n-> text \"Gr\\xc3\\xbc\\xc3\\x9fe\"\n");
}

TEST_CASE("W04 buffered_amount falls by a message with its last byte, whatever is sent between", "[websocket][W04]") {
  page p;
  p.open();
  CHECK(p.socket->send("0123456789") == error::none);
  CHECK(p.socket->ping() == error::none);
  CHECK(p.socket->send("") == error::none);
  CHECK(p.socket->send(std::string(100, 'x'), ws::opcode::binary) == error::none);
  CHECK(p.socket->buffered_amount() == 110);
  std::uint64_t sent = 0;
  const std::uint64_t first = 6 + 10, all = first + 6 + 4 + 6 + 6 + 100;
  while (!p.socket->output().empty()) {
    p.socket->consume(1);
    ++sent;
    const std::uint64_t expected = sent < first ? 110 : sent < all ? 100 : 0;
    if (p.socket->buffered_amount() != expected) FAIL(p.socket->buffered_amount() << " after " << sent);
  }
  CHECK(sent == all);
}

TEST_CASE("W04 what take_output hands out stays put, and is buffered no more", "[websocket][W04]") {
  page p;
  p.open();
  CHECK(p.socket->send("one") == error::none);
  ws::output_buffer writing = p.socket->take_output();
  CHECK(p.socket->buffered_amount() == 0);
  CHECK(p.socket->send("two and more", ws::opcode::text) == error::none);
  CHECK(p.socket->buffered_amount() == 12);
  CHECK(wire::describe_sent(ws::role::client, {writing.data, writing.size}) == "-> text \"one\"\n");
  p.socket->consume(1);
  CHECK(p.socket->buffered_amount() == 12);
  p.socket->consume(writing.size - 1);
  writing = p.socket->take_output(writing);
  CHECK(wire::describe_sent(ws::role::client, {writing.data, writing.size}) == "-> text \"two and more\"\n");
  p.socket->consume(writing.size);
  CHECK(p.socket->buffered_amount() == 0);
  p.socket->free_buffer(writing);
}

TEST_CASE("W04 what the transport never took stays counted after the end", "[websocket][W04]") {
  page p;
  p.open();
  CHECK(p.socket->send("0123456789") == error::none);
  p.socket->consume(15);
  p.socket->end_of_input();
  CHECK(p.events() == "close 1006 \"\" @3\n");
  CHECK(p.socket->buffered_amount() == 10);
  CHECK(p.socket->send("x") == error::none);
  CHECK(p.socket->buffered_amount() == 11);
}

TEST_CASE("W05 close looks at code and reason before the state", "[websocket][W05]") {
  const auto wrong = [](page& p) {
    const int before = p.state();
    for (const unsigned code : {1U, 999U, 1001U, 1002U, 1005U, 1006U, 1011U, 1015U, 2999U, 5000U, 65535U})
      CHECK(p.socket->close(static_cast<ws::close_code>(code)) == error::sent_close_code_invalid);
    CHECK(p.socket->close(ws::close_code::none, "a reason needs a code") == error::sent_close_code_invalid);
    for (const ws::close_code code : {ws::close_code::normal, static_cast<ws::close_code>(3000)}) {
      CHECK(p.socket->close(code, std::string(124, 'x')) == error::close_reason_too_long);
      CHECK(p.socket->close(code, std::string(122, 'x') + "é") == error::close_reason_too_long);
      CHECK(p.socket->close(code, "\xff") == error::close_reason_too_long);
    }
    CHECK(p.state() == before);
    CHECK(p.socket->output().empty());
  };
  page p;
  wrong(p);
  p.open();
  wrong(p);
  CHECK(p.socket->close(static_cast<ws::close_code>(3000), std::string(121, 'x') + "é") == error::none);
  CHECK(p.sent() == "-> close 3000 " + wire::show(std::string(121, 'x') + "é") + "\n");
  wrong(p);
  p.socket->end_of_input();
  wrong(p);
}

TEST_CASE("W05 the Close has the code and reason that were given, or neither", "[websocket][W05]") {
  const std::tuple<unsigned, std::string_view, std::string_view> rows[] = {
      {0, "", "-> close \"\"\n"}, {1000, "", "-> close 1000 \"\"\n"}, {4999, "bye", "-> close 4999 \"bye\"\n"}};
  for (const auto& [code, reason, expected] : rows) {
    page p;
    p.open();
    CHECK(p.socket->send("before") == error::none);
    CHECK(p.socket->close(static_cast<ws::close_code>(code), reason) == error::none);
    CHECK(p.state() == 2);
    CHECK(p.sent() == "-> text \"before\"\n" + std::string{expected});
  }
}

TEST_CASE("W03 W06 in a callback, on a connection that has failed since: send is counted, close does nothing", "[websocket][W03][W06]") {
  ws::options opt;
  opt.idle_timeout = 1'000'000;
  page p{opt};
  p.open();
  p.tick();
  p.at_message = [&](std::string_view) {
    p.tick();
    p.now += 1'000'000;
    p.tick();  // its events come after this one
    CHECK(p.state() == 1);
    CHECK(p.socket->send("too late") == error::none);
    CHECK(p.socket->buffered_amount() == 8);
    CHECK(p.socket->close() == error::none);
    CHECK(p.state() == 2);
  };
  p.read(frame(0x81, "x"));
  CHECK(p.events() == "text \"x\" @1\n" + failed);
  CHECK(p.sent() == "-> close 1001 \"\"\n");
}

TEST_CASE("W05 a Close that cannot be sent leaves the WebSocket open", "[websocket][W05][F21]") {
  page p;
  p.open();
  CHECK(p.socket->send("x") == error::none);
  p.entropy.fails = true;
  while (p.socket->send("x") == error::none) continue;  // the keys that were left
  CHECK(p.socket->close() == error::no_entropy);
  CHECK(p.state() == 1);
  p.entropy.fails = false;
  CHECK(p.socket->close() == error::none);
  CHECK(p.state() == 2);
  CHECK(p.sent().ends_with("-> text \"x\"\n-> close \"\"\n"));
  CHECK(p.socket->buffered_amount() == 0);
}

TEST_CASE("W06 close does nothing when closing or closed", "[websocket][W06]") {
  page p;
  p.open();
  CHECK(p.socket->close() == error::none);
  CHECK(p.socket->close(static_cast<ws::close_code>(4000)) == error::none);
  CHECK(p.sent() == "-> close \"\"\n");
  p.read(close_frame(1000));
  CHECK(p.socket->close() == error::none);
  p.socket->end_of_input();
  CHECK(p.socket->close() == error::none);
  CHECK(p.sent() == "");
  CHECK(p.events() == "close 1000 \"\" clean @3\n");
  CHECK(p.state() == 3);
}

TEST_CASE("W06 close where a deadline has just passed changes nothing more", "[websocket][W06][W08]") {
  ws::options opt;
  opt.idle_timeout = 1000;
  page p{opt};
  p.open();
  p.tick();
  p.at_message = [&](std::string_view) {
    p.socket->tick(p.now + 10'000);
    p.socket->tick(p.now + 20'000);
    CHECK(p.socket->close(static_cast<ws::close_code>(3000)) == error::none);
    CHECK(p.state() == 2);
  };
  p.read(frame(0x81, "x"));
  CHECK(p.events() == "text \"x\" @1\n" + failed);
  CHECK(p.why == "idle_timeout");
}

TEST_CASE("W06 close while connecting fails the handshake; its events come at the next turn", "[websocket][W06][W08]") {
  for (const int asked : {0, 1, 2}) {
    INFO(asked);
    page p;
    if (asked != 0) (void)p.request();
    if (asked == 2) p.read(accepted);
    p.tick();
    CHECK(p.socket->close(ws::close_code::normal, "never said") == error::none);
    CHECK(p.state() == 2);
    CHECK(p.events() == "");
    CHECK(p.socket->wants() == ws::transport::keep);
    CHECK(p.socket->next_deadline() == 0);
    CHECK(p.socket->send("x") == error::none);
    CHECK(p.socket->buffered_amount() == 1);
    p.tick();
    CHECK(p.events() == failed);
    CHECK(p.why == "refused_by_caller");
    CHECK(p.socket->wants() == ws::transport::drop);
    CHECK(p.socket->next_deadline() != 0);
    p.read("\r\n" + frame(0x81, "x"));
    CHECK(p.events() == "");
  }
}

TEST_CASE("W07 the close event has the peer's code and reason", "[websocket][W07]") {
  const std::string longest(123, 'r');
  const std::tuple<std::string, std::string, std::string> rows[] = {
      {frame(0x88, ""), "close 1005 \"\" clean @3\n", "-> close \"\"\n"},
      {close_frame(1000), "close 1000 \"\" clean @3\n", "-> close 1000 \"\"\n"},
      {close_frame(1001, "Grüße"), "close 1001 \"Gr\\xc3\\xbc\\xc3\\x9fe\" clean @3\n", "-> close 1001 \"\"\n"},
      {close_frame(4999, longest), "close 4999 " + wire::show(longest) + " clean @3\n", "-> close 4999 \"\"\n"}};
  for (const auto& [bytes, event, answer] : rows)
    for (const bool ours_first : {false, true}) {
      page p;
      p.open();
      if (ours_first) CHECK(p.socket->close() == error::none);
      p.read(bytes);
      CHECK(p.events() == "");
      CHECK(p.sent() == (ours_first ? "-> close \"\"\n" : answer));
      p.socket->end_of_input();
      CHECK(p.events() == event);
      CHECK(p.socket->why() == error::none);
    }
}

TEST_CASE("W07 a server that does not end the transport: the close event comes with the deadline", "[websocket][W07]") {
  page p;
  p.open();
  p.tick();
  p.read(close_frame(1000, "bye"));
  CHECK(p.sent() == "-> close 1000 \"\"\n");
  CHECK(p.socket->next_deadline() == 1000 + 5'000'000);
  p.now = 1000 + 5'000'000;
  p.tick();
  CHECK(p.events() == "close 1000 \"bye\" clean @3\n");
  CHECK(p.socket->wants() == ws::transport::drop);
}

TEST_CASE("W08 every way to fail reports 1006, with an error event before it", "[websocket][W08]") {
  const std::pair<std::string, std::string_view> handshakes[] = {
      {"", "connection_lost"},
      {"HTTP/1.1 101", "connection_lost"},
      {"nonsense\r\n\r\n", "status_line_invalid"},
      {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "accept_missing"},
      {accepted + "Sec-WebSocket-Protocol: x\r\n\r\n", "subprotocol_not_requested"},
      {"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy", "handshake_refused"},
      {"HTTP/1.1 301 Moved\r\nLocation: ws://h/\r\n\r\n", "handshake_refused"},
  };
  for (const auto& [bytes, why] : handshakes) {
    INFO(bytes);
    page p;
    (void)p.request();
    p.read(bytes);
    p.socket->end_of_input();
    CHECK(p.events() == failed);
    CHECK(p.why == why);
    CHECK(wire::name(p.socket->why()) == why);
    CHECK(p.head.starts_with(why == "handshake_refused" ? bytes.substr(0, 20) : ""));
    CHECK(p.socket->wants() == ws::transport::drop);
  }
  const std::pair<std::string, std::string_view> frames[] = {
      {"\x83", "opcode_reserved"},
      {"\xc1", "rsv1_unexpected"},
      {frame(0x81, "\xff"), "text_not_utf8"},
      {"\x81\x80\x01\x02\x03\x04"s, "mask_present"},
      {"\x82\x7f\0\0\0\1\0\0\0\0"s, "message_too_big"},
      {frame(0x88, "x"), "close_payload_of_one_byte"},
      {close_frame(1006), "close_code_invalid"},
      {close_frame(1000, "\xff"), "close_reason_not_utf8"},
  };
  for (const auto& [bytes, why] : frames)
    for (const bool closing : {false, true}) {
      INFO(why << closing);
      if (closing && why != "opcode_reserved" && !why.starts_with("close_")) continue;
      page p;
      p.open();
      if (closing) CHECK(p.socket->close() == error::none);
      p.read(bytes);
      CHECK(p.events() == failed);
      CHECK(p.why == why);
      if (!closing) CHECK(p.sent().starts_with("-> close 10"));  // the peer is told all the same
      CHECK(p.socket->wants() != ws::transport::keep);
      p.socket->end_of_input();
      CHECK(p.events() == "");
    }
}

TEST_CASE("W08 an open connection that is lost, or not closed in time, has no error event", "[websocket][W08]") {
  for (const bool closing : {false, true})
    for (const std::string_view cut : {"", "\x81\x05He"}) {
      page p;
      p.open();
      if (closing) CHECK(p.socket->close() == error::none);
      (void)p.sent();
      p.read(cut);
      p.socket->end_of_input();
      CHECK(p.events() == "close 1006 \"\" @3\n");
      CHECK(p.socket->why() == error::connection_lost);
    }
  page p;
  p.open();
  p.tick();
  CHECK(p.socket->close() == error::none);
  (void)p.sent();
  p.now = p.socket->next_deadline();
  p.tick();
  CHECK(p.events() == "close 1006 \"\" @3\n");
  CHECK(p.socket->why() == error::close_timeout);
}

TEST_CASE("W08 a deadline that passes fails the connection", "[websocket][W08]") {
  ws::options opt;
  opt.ping_interval = 10;
  opt.pong_timeout = 20;
  page p{opt};
  p.open();
  p.tick();
  for (int i = 0; i < 2; ++i) {
    (void)p.sent();
    p.now = p.socket->next_deadline();
    p.tick();
  }
  CHECK(p.events() == failed);
  CHECK(p.why == "pong_timeout");
  page slow;
  (void)slow.request();
  slow.tick();
  slow.now = slow.socket->next_deadline();
  slow.tick();
  CHECK(slow.events() == failed);
  CHECK(slow.why == "handshake_timeout");
}

TEST_CASE("W09 protocol is empty until open, and what the server selected from then on", "[websocket][W09]") {
  const std::string_view offered[] = {"a", "b"};
  ws::options opt;
  opt.subprotocols = offered;
  page p{opt};
  CHECK(p.request().find("Sec-WebSocket-Protocol: a, b\r\n") != std::string::npos);
  CHECK(p.socket->protocol() == "");
  p.at_open = [&] { CHECK(p.socket->protocol() == "b"); };
  p.read(accepted + "Sec-WebSocket-Protocol: b\r\n\r\n");
  CHECK(p.events() == "open @1\n");
  p.socket->end_of_input();
  CHECK(p.socket->protocol() == "b");
}

TEST_CASE("W09 where subprotocols were offered one must be selected", "[websocket][W09][W08]") {
  const std::string_view offered[] = {"a"};
  ws::options opt;
  opt.subprotocols = offered;
  opt.require_subprotocol = false;  // a page cannot choose this
  page p{opt};
  (void)p.request();
  p.read(accepted + "\r\n");
  CHECK(p.events() == failed);
  CHECK(p.why == "no_subprotocol_selected");
  CHECK(p.socket->protocol() == "");
}

#if __has_include(<zlib.h>) && !defined(WITHOUT_ZLIB)
TEST_CASE("W09 extensions are empty until open, and what was agreed from then on", "[websocket][W09][W04]") {
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options opt;
  opt.extension = &hook;
  page none{opt};
  none.open();
  CHECK(none.socket->extensions() == "");
  page p{opt};
  (void)p.request("ws://example.org/a/path");
  CHECK(p.socket->extensions() == "");
  p.read(accepted + "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=9\r\n\r\n");
  CHECK(p.events() == "open @1\n");
  CHECK(p.socket->extensions() == "permessage-deflate; server_no_context_takeover; server_max_window_bits=9");
  CHECK(p.socket->url() == "ws://example.org/a/path");
  // Bytes as the application counts them, not as they are compressed.
  CHECK(p.socket->send(std::string(1000, 'x')) == error::none);
  CHECK(p.socket->output().size() < 100);
  CHECK(p.socket->buffered_amount() == 1000);
  (void)p.take();
  CHECK(p.socket->buffered_amount() == 0);
}

TEST_CASE("W12 without memory for the extensions the handshake fails", "[websocket][W12]") {
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options opt;
  opt.extension = &hook;
  counting_allocator memory;
  {
    page p{opt, memory.hook()};
    (void)p.request();
    memory.fail_at = memory.calls;  // the head arrives whole: nothing else needs any
    p.read(accepted + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    CHECK(p.events() == failed);
    CHECK(p.why == "out_of_memory");
    CHECK(p.socket->extensions() == "");
  }
  CHECK(memory.idle());
}
#endif

TEST_CASE("W10 a callback holds three pointers, and an empty one does nothing", "[websocket][W10]") {
  static_assert(sizeof(ws::callback<>) == 4 * sizeof(void*));
  int a = 0, b = 0, c = 0;
  ws::callback<int> three = [&a, &b, &c](int n) {
    a = n;
    b = 2 * n;
    c = 3 * n;
  };
  three(7);
  CHECK((a == 7 && b == 14 && c == 21));
  three = nullptr;
  three(1);
  CHECK(a == 7);
}

TEST_CASE("W10 callbacks send and close", "[websocket][W10]") {
  page p;
  p.at_open = [&] { CHECK(p.socket->send("hello") == error::none); };
  p.at_message = [&](std::string_view data) { CHECK(p.socket->send(data) == error::none); };
  (void)p.request();
  p.read(accepted + "\r\n" + frame(0x81, "a") + frame(0x82, "b"));
  CHECK(p.sent() == "-> text \"hello\"\n-> text \"a\"\n-> text \"b\"\n");
  p.at_message = [&](std::string_view) { CHECK(p.socket->close() == error::none); };
  p.at_close = [&] {
    CHECK(p.socket->close() == error::none);
    CHECK(p.socket->send("x") == error::none);
  };
  p.read(frame(0x81, "c") + frame(0x82, "not seen") + close_frame(1000));
  p.socket->end_of_input();
  CHECK(p.events() == "open @1\ntext \"a\" @1\nbinary \"b\" @1\ntext \"c\" @1\nclose 1000 \"\" clean @3\n");

  page early;
  early.at_open = [&] { CHECK(early.socket->close() == error::none); };
  (void)early.request();
  early.read(accepted + "\r\n" + frame(0x81, "not seen"));
  CHECK(early.sent() == "-> close \"\"\n");
  CHECK(early.events() == "open @1\n");
}

TEST_CASE("W10 the object may be destroyed in each callback", "[websocket][W10]") {
  for (const int where : {0, 1, 2, 3, 4})
    for (const bool prepared : {false, true}) {
      INFO(where << prepared);
      page p;
      const auto destroy = [&] { p.socket.reset(); };
      if (where == 0) p.at_open = destroy;
      if (where == 1) p.at_message = [&](std::string_view) { p.socket.reset(); };
      if (where == 2) p.at_error = destroy;
      if (where == 3 || where == 4) p.at_close = destroy;
      const std::string bytes = accepted + "\r\n" + frame(0x81, std::string(300, 'm')) + (where == 4 ? close_frame(1000) : "\x83\x01"s) + "rest";
      (void)p.request();
      // `state` of what is gone is not for the log.
      p.socket->on_message = [](const ws::message_event&) {};
      if (where == 1) p.socket->on_message = [&p](const ws::message_event&) { p.socket.reset(); };
      if (prepared) p.read_prepared(bytes, 1000);
      else p.read(bytes);
      if (where == 4) p.socket->end_of_input();
      CHECK(p.socket == nullptr);
      CHECK(p.log.ends_with(where == 0 ? "open @1\n" : where == 1 ? "open @1\n" : where == 2 ? "error @3\n" : where == 3 ? "close 1006 \"\" @3\n" : "close 1000 \"\" clean @3\n"));
    }
  // And in a turn that is none of receiving.
  page ticked;
  (void)ticked.request();
  CHECK(ticked.socket->close() == error::none);
  ticked.at_close = [&] { ticked.socket.reset(); };
  ticked.tick();
  CHECK(ticked.socket == nullptr);
  page resumed;
  resumed.open();
  resumed.socket->pause();
  resumed.read(frame(0x81, "x") + frame(0x81, "y"));
  resumed.at_message = [&](std::string_view) { resumed.socket.reset(); };
  resumed.socket->resume();
  CHECK(resumed.socket == nullptr);
  CHECK(resumed.events() == "text \"x\" @1\n");
}

TEST_CASE("W10 what a callback feeds is read after it, in order; so is the end", "[websocket][W10]") {
  for (const bool prepared : {false, true}) {
    page p;
    int depth = 0;
    p.at_message = [&](std::string_view data) {
      CHECK(++depth == 1);
      if (data == "a") {
        if (prepared) p.read_prepared(frame(0x81, "d"));
        else p.read(frame(0x81, "d"));
        p.read(frame(0x81, "e").substr(0, 1));
        p.socket->end_of_input();
        p.tick();
        p.socket->resume();
        CHECK(p.log == "text \"a\" @1\n");
      }
      if (data == "d") p.read(frame(0x81, "e").substr(1) + close_frame(1000));
      --depth;
    };
    p.open();
    p.read(frame(0x81, "a") + frame(0x81, "b") + frame(0x81, "c"));
    CHECK(p.events() == "text \"a\" @1\ntext \"b\" @1\ntext \"c\" @1\ntext \"d\" @1\ntext \"e\" @1\nclose 1000 \"\" clean @3\n");
  }
}

TEST_CASE("W10 what a callback feeds before it pauses stays behind what had arrived", "[websocket][W10][W11]") {
  for (const bool prepared : {false, true}) {
    page p;
    p.at_message = [&](std::string_view data) {
      if (data != "a") return;
      if (prepared) p.read_prepared(frame(0x81, "c"));
      else p.read(frame(0x81, "c"));
      p.socket->pause();
    };
    p.open();
    p.read(frame(0x81, "a") + frame(0x81, "b"));
    p.read(frame(0x81, "d"));
    CHECK(p.events() == "text \"a\" @1\n");
    p.socket->resume();
    CHECK(p.events() == "text \"b\" @1\ntext \"c\" @1\ntext \"d\" @1\n");
  }
}

TEST_CASE("W10 a callback may take another's place, and its own", "[websocket][W10]") {
  page p;
  p.open();
  p.at_message = [&](std::string_view) { p.socket->on_message = nullptr; };
  p.read(frame(0x81, "a") + frame(0x81, "b"));
  CHECK(p.events() == "text \"a\" @1\n");
  static std::string seen;
  struct free_function {
    static void called(const ws::message_event& ev) { seen += ev.data; }
  };
  p.socket->on_message = &free_function::called;
  p.read(frame(0x81, "c"));
  CHECK(seen == "c");
}

TEST_CASE("W11 pause holds messages and the end back until resume, however they arrive", "[websocket][W11]") {
  for (const bool prepared : {false, true})
    for (const bool in_callback : {false, true}) {
      INFO(prepared << in_callback);
      page p;
      p.open();
      const auto give = [&](std::string_view bytes) { prepared ? p.read_prepared(bytes) : p.read(bytes); };
      if (in_callback) p.at_message = [&](std::string_view data) { if (data == "a") p.socket->pause(); };
      else p.socket->pause();
      give(frame(0x81, "a") + frame(0x89, "?") + frame(0x81, "b").substr(0, 2));
      give(frame(0x81, "b").substr(2));
      give(close_frame(1000));
      p.socket->end_of_input();
      p.tick();
      CHECK(p.events() == (in_callback ? "text \"a\" @1\n" : ""));
      CHECK(p.sent() == "");
      p.socket->resume();
      CHECK(p.events() == std::string{in_callback ? "" : "text \"a\" @1\n"} + "text \"b\" @1\nclose 1000 \"\" clean @3\n");
    }
}

TEST_CASE("W11 a pause does not hold back the end of the handshake, close() and deadlines", "[websocket][W11]") {
  page p;
  p.socket->pause();
  (void)p.request();
  p.read(accepted + "\r\n" + frame(0x81, "a"));
  CHECK(p.events() == "open @1\n");
  CHECK(p.socket->close() == error::none);
  p.read(close_frame(1000));
  p.socket->end_of_input();
  CHECK(p.events() == "close 1000 \"\" clean @3\n");
  ws::options opt;
  opt.idle_timeout = 10;
  page idle{opt};
  idle.open();
  idle.tick();
  idle.socket->pause();
  idle.now = idle.socket->next_deadline();
  idle.tick();
  CHECK(idle.events() == failed);
}

TEST_CASE("a ping measures the round trip", "[websocket]") {
  page p;
  p.open();
  p.tick();
  CHECK(p.socket->ping() == error::none);
  CHECK(p.socket->pong("x") == error::none);
  CHECK(p.sent() == "-> ping \"\\x00\\x00\\x00\\x01\"\n-> pong \"x\"\n");
  p.now += 250;
  p.tick();
  p.read(frame(0x8A, "\0\0\0\1"sv));
  CHECK(p.socket->round_trip_time() == 250);
  ws::round_trip_statistics all;
  CHECK(p.socket->take_round_trip(all));
  CHECK_FALSE(p.socket->take_round_trip(all));
  CHECK((all.count == 1 && all.last == 250));
}

TEST_CASE("jitter brings the pings of each WebSocket at another time", "[websocket][T03]") {
  ws::options opt;
  opt.ping_interval = opt.ping_jitter = 1'000'000;
  std::uint64_t at[2] = {};
  for (const unsigned random : {0U, 0x80000000U}) {
    page p{opt};
    p.socket->set_jitter(random);
    p.open();
    p.tick();
    at[random != 0] = p.socket->next_deadline();
  }
  CHECK(at[0] == 1000 + 1'000'000);
  CHECK(at[1] == 1000 + 500'001);
}

TEST_CASE("output as slices is the output", "[websocket]") {
  page p;
  p.open();
  CHECK(p.socket->send("one") == error::none);
  CHECK(p.socket->send("two") == error::none);
  ws::slice slices[4];
  const std::size_t n = p.socket->output(slices);
  std::string bytes;
  for (std::size_t i = 0; i < n; ++i) bytes.append(slices[i].data, slices[i].size);
  CHECK(wire::describe_sent(ws::role::client, bytes) == "-> text \"one\"\n-> text \"two\"\n");
  CHECK(bytes == p.take());
}

TEST_CASE("W12 an allocation that fails is told or fails the connection; nothing leaks, events stay in order", "[websocket][W12]") {
  struct outcome {
    std::string events;
    std::size_t calls = 0, refused = 0, told = 0;
  };
  const std::string large(20'000, 'x');
  const auto run = [&](std::size_t fail_at, bool fail_after) {
    counting_allocator memory;
    memory.fail_at = fail_at;
    memory.fail_after = fail_after;
    outcome result;
    {
      page p{{}, memory.hook()};
      const auto note = [&](error why) {
        if (why == error::out_of_memory) ++result.told;
        else CHECK((why == error::none || (why == error::not_open && p.state() == 3)));
      };
      p.at_message = [&](std::string_view) {
        note(p.socket->send("an answer"));
        p.read(frame(0x81, "queued"));
        p.at_message = nullptr;
      };
      const error asked = p.socket->connect("ws://example.org/");
      note(asked);
      if (asked == error::none) {
        (void)p.take();
        p.read(accepted.substr(0, 50));
        p.read(accepted.substr(50) + "\r\n" + frame(0x81, "a"));
        p.read(frame(0x02, large).substr(0, 5000));
        p.read(frame(0x02, large).substr(5000));
        p.read_prepared(frame(0x80, large), 4096);
        note(p.socket->ping());
        if (p.state() == 1) note(p.socket->send(large));
        (void)p.take();
        p.socket->pause();
        p.read(frame(0x89, "?") + frame(0x81, "b"));
        p.socket->resume();
        if (p.state() == 1) note(p.socket->close(ws::close_code::normal, "bye"));
        p.read(close_frame(1000));
        p.socket->end_of_input();
        p.tick();
        CHECK(p.state() == 3);
      }
      result.events = p.events();
    }
    CHECK(memory.idle());
    result.calls = memory.calls;
    result.refused = memory.refused;
    return result;
  };
  const outcome good = run(counting_allocator::never, false);
  CHECK(good.told == 0);
  CHECK(good.events.starts_with("open @1\ntext \"a\" @1\ntext \"queued\" @1\nbinary \"x\"*40000 @1\ntext \"b\" @1\n"));
  CHECK(good.calls >= 8);
  for (const bool fail_after : {false, true})
    for (std::size_t i = 0; i < good.calls; ++i) {
      INFO("allocation " << i << " of " << good.calls << (fail_after ? " and all after it" : ""));
      const outcome bad = run(i, fail_after);
      CHECK(bad.refused >= 1);
      const bool in_order = bad.events.empty() || bad.events.ends_with("close 1000 \"\" clean @3\n") || bad.events.ends_with(failed) ||
                            bad.events.ends_with("close 1006 \"\" @3\n");
      CHECK(in_order);
    }
}
