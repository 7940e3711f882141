// The opening handshake as a client sees it (RFC 6455 4.1): rules C01-C12 and C14, each response whole and at every cut.
#include <wscodec/handshake.hpp>

#include <cstring>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "support/handshake.hpp"
#include "wscodec/connection.hpp"
#include "wscodec/session.hpp"

using namespace std::string_literals;
using namespace std::string_view_literals;
using namespace handshake;
namespace ws = wscodec;

namespace {

constexpr std::string_view subprotocols[] = {"chat.v2", "chat.v1"};

ws::options offering() {
  ws::options options;
  options.subprotocols = subprotocols;
  return options;
}

ws::options extending() {
  ws::options options;
  options.extension = &fake::hook;
  return options;
}

/// Where the head ends a failure is reported behind it.
std::string with(std::string_view lines) { return added(good_response, lines); }

/// A response other than 101, its body in `o.body`.
outcome check_rejected_by_server(std::string_view input, std::string_view body, bool eof = false,
                                 const ws::options& options = {}) {
  const outcome o = check({.self = ws::role::client, .input = std::string{input}, .options = options, .eof = eof});
  INFO("input: " << wire::show(input.substr(0, 600)) << "\n" << describe(o));
  CHECK(o.events == "rejected body ");
  CHECK(o.body == body);
  CHECK(wire::name(o.why) == wire::name(ws::error::handshake_refused));
  CHECK(o.state == ws::close_state::failed);
  CHECK(o.wants == ws::transport::drop);
  return o;
}

static_assert(ws::detail::compute_accept(sample_key) ==
              [] {
                ws::accept_value value{};
                for (std::size_t i = 0; i < value.size(); ++i) value[i] = sample_accept[i];
                return value;
              }(),
              "RFC 6455 1.3");

}  // namespace

TEST_CASE("C01 a 101 must hold the right Accept, once", "[handshake][client][C01]") {
  CHECK(check_opened(good_response).messages.empty());
  check_failed(changed(good_response, "s3pP", "s3pQ"), ws::error::accept_wrong);
  check_failed(changed(good_response, sample_accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo"), ws::error::accept_wrong);
  check_failed(changed(good_response, sample_accept, ""), ws::error::accept_wrong);
  check_failed(changed(good_response, "Sec-WebSocket-Accept", "Sec-WebSocket-Except"), ws::error::accept_missing);
  check_failed(with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), ws::error::accept_doubled);
  // Base64 is case-sensitive.
  check_failed(changed(good_response, "xOo=", "xoo="), ws::error::accept_wrong);
}

TEST_CASE("C01 Upgrade must be websocket alone, Connection must hold upgrade, the version 1.1",
          "[handshake][client][C01]") {
  for (const auto* good : {"websocket", "WebSocket", " websocket\t", ",websocket,"})
    check_opened(changed(good_response, "Upgrade: websocket", "Upgrade: "s + good));
  for (const auto* bad : {"", "h2c", "websocket, h2c", "h2c, websocket", "xwebsocket", "websocket/13"})
    check_failed(changed(good_response, "Upgrade: websocket", "Upgrade: "s + bad), ws::error::response_upgrade_wrong);
  check_failed(with("Upgrade: h2c\r\n"), ws::error::response_upgrade_wrong);
  for (const auto* good : {"upgrade", "keep-alive, UPGRADE", "keep-alive\r\nConnection: Upgrade"})
    check_opened(changed(good_response, "Connection: Upgrade", "Connection: "s + good));
  for (const auto* bad : {"", "close", "not-upgrade", "upgrade-insecure"})
    check_failed(changed(good_response, "Connection: Upgrade", "Connection: "s + bad),
                 ws::error::response_connection_wrong);
  check_failed(changed(good_response, "HTTP/1.1", "HTTP/1.0"), ws::error::response_http_too_old);
}

TEST_CASE("C02 a subprotocol must have been offered, and be one", "[handshake][client][C02]") {
  const outcome o = check_opened(with("Sec-WebSocket-Protocol: chat.v1\r\n"), offering());
  CHECK(o.subprotocol == "chat.v1");
  CHECK(o.sent.find("Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n") != o.sent.npos);
  // Of the same length, or another case, is not the same.
  for (const auto* other : {"chat.v3", "Chat.v1", "chat", "chat.v1x"})
    check_failed(with("Sec-WebSocket-Protocol: "s + other + "\r\n"), ws::error::subprotocol_not_requested, offering());
  check_failed(with("Sec-WebSocket-Protocol: chat.v1\r\n"), ws::error::subprotocol_not_requested);
  check_failed(with("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n"), ws::error::several_subprotocols, offering());
  check_failed(with("Sec-WebSocket-Protocol: chat.v1\r\nSec-WebSocket-Protocol: chat.v2\r\n"),
               ws::error::several_subprotocols, offering());
  check_failed(with("Sec-WebSocket-Protocol:\r\n"), ws::error::list_empty, offering());
}

TEST_CASE("C03 no subprotocol selected is allowed, unless one is required", "[handshake][client][C03]") {
  CHECK(check_opened(good_response, offering()).subprotocol.empty());
  ws::options strict = offering();
  strict.require_subprotocol = true;
  check_failed(good_response, ws::error::no_subprotocol_selected, strict);
  CHECK(check_opened(with("Sec-WebSocket-Protocol: chat.v2\r\n"), strict).subprotocol == "chat.v2");
  ws::options nothing_offered;
  nothing_offered.require_subprotocol = true;
  check_opened(good_response, nothing_offered);
}

TEST_CASE("C04 an extension must have been offered, once, with fitting parameters", "[handshake][client][C04]") {
  const outcome o = check_opened(with("Sec-WebSocket-Extensions: x-fake; level=3\r\n"), extending());
  CHECK(o.agreement == 3);
  CHECK(o.sent.find("Sec-WebSocket-Extensions: x-fake; level=5, x-fake\r\n") != o.sent.npos);
  CHECK(check_opened(with("Sec-WebSocket-Extensions: X-Fake; level=\"3\"\r\n"), extending()).agreement == 3);
  CHECK(check_opened(good_response, extending()).agreement == 0);
  const auto fails = [](std::string_view value, ws::error why, const ws::options& options) {
    check_failed(with("Sec-WebSocket-Extensions: "s + std::string{value} + "\r\n"), why, options);
  };
  fails("x-fake; level=3", ws::error::extension_not_requested, {});
  fails("x-other", ws::error::extension_not_requested, extending());
  fails("x-fake; level=3, x-other", ws::error::extension_not_requested, extending());
  fails("x-fake; level=3, x-fake; level=3", ws::error::extension_repeated, extending());
  fails("x-fake; level=9", ws::error::extension_parameters_wrong, extending());
  fails("x-fake; color=3", ws::error::extension_parameters_wrong, extending());
  fails("x-fake; level=3; level=3", ws::error::extension_parameters_wrong, extending());
  fails("x-fake; level=3 level=3", ws::error::extensions_malformed, extending());
  fails("=", ws::error::extensions_malformed, extending());
  fails(", ,", ws::error::list_empty, extending());
}

TEST_CASE("C05 the reason phrase may be empty or absent", "[handshake][client][C05]") {
  for (const auto* line : {"HTTP/1.1 101 \r\n", "HTTP/1.1 101\r\n", "HTTP/1.1 101 \x80 what?\r\n"})
    check_opened(changed(good_response, "HTTP/1.1 101 Switching Protocols\r\n", line));
}

TEST_CASE("C06 at most eight interim responses are skipped", "[handshake][client][C06]") {
  const auto interim = [](int n) {
    std::string heads;
    for (int i = 0; i < n; ++i) heads += i % 2 == 0 ? "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" : "HTTP/1.1 100\r\n\r\n";
    return heads;
  };
  for (const int n : {1, 2, 7, 8}) check_opened(interim(n) + std::string{good_response});
  check_failed(interim(9) + "<!>" + std::string{good_response}, ws::error::too_many_interim_responses);
  check_failed(interim(2) + changed(good_response, "s3pP", "s3pQ") + "<!>", ws::error::accept_wrong);
}

TEST_CASE("C07 another status is a rejection with a bounded body", "[handshake][client][C07]") {
  const outcome o = check_rejected_by_server(
      "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-Why: none\r\n\r\nhello", "hello");
  CHECK(ws::response_view{o.head}.status() == 404);
  CHECK(ws::response_view{o.head}.reason() == "Not Found");
  CHECK(ws::response_view{o.head}.field("x-why") == "none");
  // What comes behind the body is not part of it.
  check_rejected_by_server("HTTP/1.1 500 x\r\nContent-Length: 5\r\n\r\nhello, world", "hello");
  check_rejected_by_server("HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\nhello", "");
  check_rejected_by_server("HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end", true);
  check_rejected_by_server("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "");
}

TEST_CASE("C07 chunked bodies, with extensions and trailers", "[handshake][client][C07]") {
  const std::string head = "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n";
  check_rejected_by_server(head + "5\r\nhello\r\n0\r\n\r\n", "hello");
  check_rejected_by_server(head + "5;name=value\r\nhello\r\nA ; x\r\n, world ok\r\n00\r\nTrailer: x\r\nMore: y\r\n\r\nrest",
                           "hello, world ok");
  check_rejected_by_server(head + "0\r\n\r\n", "");
  const auto malformed = [&](std::string_view body) {
    const outcome o = check({.self = ws::role::client, .input = head + std::string{body}});
    INFO(wire::show(body) << "\n" << describe(o));
    CHECK(wire::name(o.why) == wire::name(ws::error::response_body_malformed));
    CHECK(o.wants == ws::transport::drop);
  };
  for (const auto* body : {"\r\n", "x\r\n", ";\r\n", "5\r\nhelloX\r\n0\r\n\r\n"}) malformed(body);
}

TEST_CASE("C07 a body is cut at its bound, and must be well framed", "[handshake][client][C07]") {
  ws::options small;
  small.max_response_body = 8;
  check_rejected_by_server("HTTP/1.1 500 x\r\nContent-Length: 8\r\n\r\n12345678", "12345678", false, small);
  check_rejected_by_server("HTTP/1.1 500 x\r\nContent-Length: 9\r\n\r\n123456789", "12345678", false, small);
  check_rejected_by_server("HTTP/1.1 500 x\r\n\r\n123456789abc", "12345678", false, small);
  for (const auto* length : {"", "-1", "5x", "1 2", "9999999999999999999"})
    check_failed("HTTP/1.1 500 x\r\nContent-Length: "s + length + "\r\n\r\n", ws::error::response_body_malformed);
  check_failed("HTTP/1.1 500 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ws::error::response_body_malformed);
}

TEST_CASE("C08 redirects and logins are easy to read", "[handshake][client][C08]") {
  for (const auto* status : {"301", "302", "307", "308"}) {
    const outcome o = check_rejected_by_server(
        "HTTP/1.1 "s + status + " x\r\nLocation: wss://other/\r\nContent-Length: 0\r\n\r\n", "");
    CHECK(ws::response_view{o.head}.location() == "wss://other/");
  }
  for (const auto* status : {"401", "407"}) {
    const outcome o = check_rejected_by_server(
        "HTTP/1.1 "s + status + " x\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n", "");
    CHECK(ws::response_view{o.head}.www_authenticate() == "Basic realm=\"x\"");
  }
}

TEST_CASE("C09 bytes behind the 101 are the first frames", "[handshake][client][C09]") {
  const outcome o = check_opened(std::string{good_response} + wire::frame(ws::role::server, 0x81, "Hello") +
                                 wire::frame(ws::role::server, 0x82, "again"));
  CHECK(o.messages == "Helloagain");
}

TEST_CASE("C10 a host or target that may not be written is refused", "[handshake][client][C10]") {
  const auto called = [](std::string_view host, std::string_view target) {
    const outcome o = run({.self = ws::role::client, .request = {.host = host, .target = target}});
    if (o.called != ws::error::none) CHECK(o.sent.empty());
    return o.called;
  };
  CHECK(called("example.org:8080", "/chat?x=1") == ws::error::none);
  CHECK(called("[::1]:9001", "/") == ws::error::none);
  for (const auto host : {""sv, "a b"sv, "a\r\nX: y"sv, "a\x00"sv, "\xC3\xA9"sv, "user@host"sv})
    CHECK(called(host, "/") == ws::error::request_refused);
  for (const auto target : {""sv, "chat"sv, "/a b"sv, "/\r\nX: y"sv, "/#f"sv, "/\xC3\xA9"sv, "/\x00"sv, "/\x7F"sv})
    CHECK(called("h", target) == ws::error::request_refused);
  ws::uri parts = ws::parse_uri("ws://[2001:db8::1]:80/x").value;
  char memory[100];
  ws::output out{memory};
  CHECK(ws::write_host(out, parts));
  CHECK(out.written() == "[2001:db8::1]");  // the default port is left out
}

TEST_CASE("C12 every handshake has a fresh nonce of 16 bytes, or none at all", "[handshake][client][C12]") {
  int asked = 0;
  const auto source = [](void* context, char* to, std::size_t n) {
    int& times = *static_cast<int*>(context);
    CHECK(n == 16);
    std::memset(to, 'a' + ++times % 26, n);
    return true;
  };
  ws::masking_keys keys{source, &asked};
  const ws::options options;
  std::string requests[2];
  for (std::string& request : requests) {
    ws::session client{ws::role::client, options, &keys};
    REQUIRE(client.connect({.host = "h"}) == ws::error::none);
    request = client.output();
    CHECK(request.find("Sec-WebSocket-Key: ") != request.npos);
    CHECK(client.connect({.host = "h"}) == ws::error::no_request);
  }
  CHECK(asked >= 2);
  CHECK(requests[0] != requests[1]);
  const auto key = [](const std::string& request) { return request.substr(request.find("Key: ") + 5, 24); };
  CHECK(ws::is_base64_of_16(key(requests[0])));

  ws::masking_keys broken{[](void*, char*, std::size_t) { return false; }};
  for (ws::masking_keys* none : {&broken, static_cast<ws::masking_keys*>(nullptr)}) {
    ws::session client{ws::role::client, options, none};
    CHECK(client.connect({.host = "h"}) == ws::error::no_entropy);
    CHECK(client.output().empty());
  }
}

TEST_CASE("C14 the grammar of the response's head", "[handshake][client][C14]") {
  for (const auto* line : {"HTTP/1.1 099 x", "HTTP/1.1 1x1 x", "HTTP/1.1 101x", "HTTP/1 101 x", "HTTPS/1.1 101 x", "hello",
                           "HTTP/1.1  101 x"})
    check_failed("<!>"s + line + "\r\n\r\n", ws::error::status_line_invalid);
  const std::string line = "HTTP/1.1 101 x\r\n";
  check_failed(line + "A: b<!>\nC: d\r\n\r\n", ws::error::bare_line_feed);
  check_failed(line + "A: b<!>\rC: d\r\n\r\n", ws::error::bare_carriage_return);
  check_failed(line + "A: b\r\n<!> folded\r\n\r\n", ws::error::line_folding);
  check_failed(line + "<!>A : b\r\n\r\n", ws::error::field_name_invalid);
  check_failed(line + "<!>: b\r\n\r\n", ws::error::field_name_invalid);
  check_failed(line + "A: b<!>\x01\r\n\r\n", ws::error::field_value_invalid);
  ws::options two;
  two.head.max_fields = 2;
  check_failed(line + "A: b\r\nC: d\r\n<!>E: f\r\n\r\n", ws::error::too_many_fields, two);
  ws::options small;
  small.head.max_head = 64;
  check_failed(line + std::string(48, 'a') + "<!>" + std::string(40, 'a'), ws::error::head_too_large, small);
  // Content-Length and Transfer-Encoding of a 101 are ignored.
  CHECK(check_opened(with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") +
                     wire::frame(ws::role::server, 0x81, "Hello"))
            .messages == "Hello");
}
