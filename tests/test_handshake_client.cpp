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
  check_rejected_by_server("HTTP/1.1 500 x\r\nContent-Length: 12\r\n\r\nhello, world!", "hello, world");
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
  CHECK(called("[::1]:9001", "/~") == ws::error::none);
  for (const auto host : {""sv, "a b"sv, "a\r\nX: y"sv, "a\x00"sv, "\xC3\xA9"sv, "user@host"sv})
    CHECK(called(host, "/") == ws::error::request_refused);
  for (const auto target : {""sv, "chat"sv, "/a b"sv, "/\r\nX: y"sv, "/#f"sv, "/\xC3\xA9"sv, "/\x80"sv, "/\x00"sv, "/\x7F"sv})
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
                           "HTTP/1.1  101 x", "HTTP/1.1-101 x"})
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

namespace {

/// RFC 6455 1.3: what the client of the example asks for, and is answered.
constexpr std::string_view rfc_response =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "Sec-WebSocket-Protocol: chat\r\n"
    "\r\n";
constexpr std::string_view rfc_subprotocols[] = {"chat", "superchat"};

constexpr bool agrees_with_the_rfc() {
  const ws::options options{.subprotocols = rfc_subprotocols};
  const ws::response_view head{rfc_response};
  const ws::detail::checked_response checked =
      ws::detail::check_response(head.start_line(), head.fields(), ws::detail::compute_accept(sample_key), options);
  return checked.why == ws::error::none && checked.subprotocol == "chat";
}

constexpr std::string_view chunked = "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The offset at which the body of a response is found to be badly framed, marked by `<!>`.
void check_badly_framed(std::string_view input, const ws::options& options = {}) {
  const marked m{input};
  const outcome o = check({.self = ws::role::client, .input = m.text, .options = options});
  INFO(wire::show(m.text) << "\n" << describe(o));
  CHECK(wire::name(o.why) == wire::name(ws::error::response_body_malformed));
  CHECK(o.events == "rejected failed ");
  CHECK(o.offset == m.offset);
  CHECK(o.wants == ws::transport::drop);
}

}  // namespace

static_assert(agrees_with_the_rfc());

TEST_CASE("The request, byte for byte", "[handshake][client][C10][C12]") {
  constexpr ws::field fields[] = {{"Authorization", "Basic eA=="}, {"Cookie", "a=b"}};
  const ws::options options{.subprotocols = subprotocols, .extension = &fake::hook};
  const ws::client_request request{.host = "server.example.com:81", .target = "/chat?a=b", .origin = "http://example.com", .fields = fields};
  constexpr std::string_view expected =
      "GET /chat?a=b HTTP/1.1\r\n"
      "Host: server.example.com:81\r\n"
      "Upgrade: websocket\r\n"
      "Connection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
      "Sec-WebSocket-Version: 13\r\n"
      "Origin: http://example.com\r\n"
      "Sec-WebSocket-Protocol: chat.v2, chat.v1\r\n"
      "Sec-WebSocket-Extensions: x-fake; level=5, x-fake\r\n"
      "Authorization: Basic eA==\r\n"
      "Cookie: a=b\r\n"
      "\r\n";
  ws::masking_keys keys{&sample_nonce};
  char scratch[ws::min_scratch];
  char memory[1024];
  ws::connection conn{ws::role::client, options, scratch, &keys};
  for (std::size_t room = 0; room < expected.size(); ++room) {
    ws::output out{std::span{memory}.first(room)};
    CHECK(conn.connect(out, request) == ws::error::output_full);
    CHECK(out.size() == 0);
  }
  ws::output out{std::span{memory}.first(expected.size())};
  CHECK(conn.connect(out, request) == ws::error::none);
  CHECK(out.written() == expected);
  CHECK(conn.connect(out, request) == ws::error::no_request);
  CHECK_FALSE(conn.is_open());

  ws::session session{ws::role::client, options, &keys};
  CHECK(session.connect(request) == ws::error::none);
  CHECK(session.output() == expected);

  // The least that can be asked for.
  const outcome o = run({.self = ws::role::client, .request = {.host = "h"}});
  CHECK(o.sent == changed(good_request, "/chat", "/"));
}

TEST_CASE("C01 a higher minor version is treated as 1.1", "[handshake][client][C01]") {
  check_opened(changed(good_response, "HTTP/1.1", "HTTP/1.2"));
  check_opened(changed(good_response, "HTTP/1.1", "HTTP/1.9"));
  check_failed(changed(good_response, "HTTP/1.1", "HTTP/0.9"), ws::error::response_http_too_old);
}

TEST_CASE("C01 field names in any case, values with spaces around them", "[handshake][client][C01][C14]") {
  check_opened(
      "HTTP/1.1 101 x\r\nUPGRADE:websocket\t \r\nconnection: \t upgrade\r\nsec-WEBSOCKET-accept:s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n"
      "X: \x80\xFF\tz\r\n\r\n");
  check_failed(changed(good_response, "Upgrade: websocket\r\n", ""), ws::error::response_upgrade_wrong);
  check_failed(changed(good_response, "Connection: Upgrade\r\n", ""), ws::error::response_connection_wrong);
  check_failed(changed(good_response, sample_accept, "\"" + std::string{sample_accept} + "\""), ws::error::accept_wrong);
  check_failed(changed(good_response, sample_accept, sample_key), ws::error::accept_wrong);
}

TEST_CASE("C01 of several mistakes the first in the order is reported", "[handshake][client][C01][C02][C04]") {
  struct breakage {
    std::string_view from, to;
    ws::error why;
  };
  constexpr breakage order[] = {
      {"HTTP/1.1", "HTTP/1.0", ws::error::response_http_too_old},
      {"Upgrade: websocket", "Upgrade: h2c", ws::error::response_upgrade_wrong},
      {"Connection: Upgrade", "Connection: close", ws::error::response_connection_wrong},
      {"s3pP", "s3pQ", ws::error::accept_wrong},
      {"X-Extensions", "Sec-WebSocket-Extensions", ws::error::extension_not_requested},
      {"X-Protocol", "Sec-WebSocket-Protocol", ws::error::subprotocol_not_requested},
  };
  const std::string good = "HTTP/1.1 101 x\r\nX-Protocol: a\r\nX-Extensions: a\r\nSec-WebSocket-Accept: " + std::string{sample_accept} +
                           "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  check_opened(good);
  for (const breakage& first : order) {
    check_failed(changed(good, first.from, first.to), first.why);
    for (const breakage* second = &first + 1; second != std::end(order); ++second)
      check_failed(changed(changed(good, first.from, first.to), second->from, second->to), first.why);
  }
}

TEST_CASE("C02 what a client offers must be tokens, each once", "[handshake][client][C02]") {
  for (const std::string_view bad : {"", "a b", "a,b", "a\r\nX: y", "a/b", "\xC3\xA9", "good"}) {
    const std::string_view list[] = {"first", "good", bad};
    const outcome o = run({.self = ws::role::client, .options = {.subprotocols = list}});
    CHECK(o.called == ws::error::subprotocol_not_offered);
    CHECK(o.sent == "");
  }
}

TEST_CASE("C04 an extension that writes no offer has offered nothing", "[handshake][client][C04]") {
  ws::extension_hook silent = fake::hook;
  silent.write_offer = [](const void*, char*, std::size_t) { return std::size_t{0}; };
  const ws::options options{.extension = &silent};
  CHECK(check_opened(good_response, options).sent.find("Extensions") == std::string::npos);
  check_failed(with("Sec-WebSocket-Extensions: x-fake; level=3\r\n"), ws::error::extension_not_requested, options);
}

TEST_CASE("C04 RSV1 belongs to the extension that was agreed on", "[handshake][client][C04][C09]") {
  const std::string frame = wire::frame(ws::role::server, 0xC1, "Hello");
  const std::string agreed = with("Sec-WebSocket-Extensions: x-fake; level=3\r\n");
  CHECK(check_opened(agreed + frame, extending()).messages == "Hello");
  const outcome o = check({.self = ws::role::client, .input = std::string{good_response} + frame, .options = extending()});
  CHECK(o.why == ws::error::rsv1_unexpected);
  CHECK(o.offset == good_response.size());
}

TEST_CASE("C06 interim responses and what comes after them", "[handshake][client][C06]") {
  const std::string hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nSec-WebSocket-Accept: x\r\nContent-Length: 3\r\n\r\n";
  CHECK(check_opened(hints + std::string{good_response} + wire::frame(ws::role::server, 0x81, "Hello")).messages == "Hello");
  check_rejected_by_server(hints + "HTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\nno", "no");
  // Limits are for each head of its own.
  const ws::options options{.head = {.max_head = static_cast<std::uint32_t>(good_response.size()), .max_fields = 3}};
  check_opened(hints + hints + std::string{good_response}, options);
  // One 1xx after another, whatever the number; and each must be a good head.
  check_opened("HTTP/1.1 199 \r\n\r\n" + hints + std::string{good_response});
  check_failed(hints + "HTTP/1.1 100 x\r\nA: b<!>\n\r\n", ws::error::bare_line_feed);
  check_failed("HTTP/1.1 100 x\r\n\r\n<!>\r\n", ws::error::status_line_invalid);
  const outcome o = check({.self = ws::role::client, .input = hints, .eof = true});
  CHECK(o.why == ws::error::connection_lost);
}

TEST_CASE("C07 how long a body is", "[handshake][client][C07]") {
  // RFC 9112 6.3: no body; chunked before Content-Length; another coding goes until the end.
  check_rejected_by_server("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\nabc", "");
  check_rejected_by_server("HTTP/1.1 304 x\r\nContent-Length: 3\r\n\r\nabc", "");
  check_rejected_by_server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: CHUNKED\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab");
  check_rejected_by_server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip , chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab");
  check_rejected_by_server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", "ab");
  check_rejected_by_server("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\nab\r\n", "2\r\nab\r\n", true);
  check_rejected_by_server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\nContent-Length: 1\r\n\r\n2\r\nab\r\n", "2\r\nab\r\n", true);
  check_rejected_by_server("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabcd", "abc");
  check_rejected_by_server("HTTP/1.1 200 OK\r\nContent-Length: 000000000000000003\r\n\r\nabcd", "abc");
  check_rejected_by_server("HTTP/1.0 200 OK\r\n\r\n", "", true);
  check_rejected_by_server("HTTP/1.1 999 ?\r\nContent-Length: 1\r\n\r\nx", "x");
  check_failed("HTTP/1.1 500 x\r\nContent-Length: 3, 3\r\n\r\n", ws::error::response_body_malformed);
}

TEST_CASE("C07 a body that ends too early is a lost connection", "[handshake][client][C07]") {
  for (const std::string& input : {"HTTP/1.1 500 x\r\nContent-Length: 3\r\n\r\nab"s, std::string{chunked}, std::string{chunked} + "3",
                                   std::string{chunked} + "3\r\nab", std::string{chunked} + "3\r\nabc", std::string{chunked} + "0\r\n",
                                   std::string{chunked} + "0\r\nA: b\r\n"}) {
    const outcome o = check({.self = ws::role::client, .input = input, .eof = true});
    INFO(describe(o));
    CHECK(o.events == "rejected failed ");
    CHECK(o.why == ws::error::connection_lost);
    CHECK(o.wants == ws::transport::drop);
  }
}

TEST_CASE("C07 good chunks", "[handshake][client][C07]") {
  const auto body = [](std::string_view chunks, std::string_view expected) {
    check_rejected_by_server(std::string{chunked} + std::string{chunks}, expected);
  };
  body("00a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789");
  body("1;a\r\n\r\r\n1 ; a=\"b\"\r\n\n\r\n0;z\r\n\r\n", "\r\n");  // data that looks like line ends
  body("2\t;abc=def;0\r\n0\r\r\n0\r\n\r\n", "0\r");
  body("10\r\n0123456789abcdef\r\n1f\r\n" + std::string(31, 'x') + "\r\n0\r\n\r\n", "0123456789abcdef" + std::string(31, 'x'));
  body("000000000000002\r\nab\r\n000000000000000\r\n\r\n", "ab");
  body("2;" + std::string(250, 'e') + "\r\nab\r\n0\r\nT: " + std::string(250, 't') + "\r\n\r\n", "ab");
}

TEST_CASE("C07 bad chunks", "[handshake][client][C07]") {
  for (const std::string_view chunks :
       {"\r<!>\n", "<!>\n", "<!> 2\r\nab", "<!>;\r\n", "<!>-1\r\n", "<!>g\r\n", "0<!>x2\r\nab", "2<!>x\r\nab", "2<!>,\r\nab", "1\r<!>2\r\nab",
        "2\r<!>\r\nab", "2\r\nab<!>c\r\n", "2\r\nab<!>0\r\n", "2\r\nab\r<!>\r\n", "2\r\nab\r\n\r<!>\n", "000000000000000<!>2\r\nab",
        "FFFFFFFFFFFFFFF<!>F\r\n", "0\r\nA: b\r<!>c\r\n", "0\r\n\r<!>\r\n"})
    check_badly_framed(std::string{chunked} + std::string{chunks});
  check_badly_framed(std::string{chunked} + "2;" + std::string(252, 'e') + "<!>e\r\n");
  check_badly_framed(std::string{chunked} + "0\r\n" + std::string(254, 't') + "<!>t\r\n");
}

TEST_CASE("C07 the bound of the body holds for chunks and trailers", "[handshake][client][C07]") {
  const ws::options small{.max_response_body = 8};
  const auto body = [&](std::string_view input, std::string_view expected, bool eof = false) {
    check_rejected_by_server(input, expected, eof, small);
  };
  body(std::string{chunked} + "8\r\n12345678\r\n0\r\n\r\n", "12345678");
  body(std::string{chunked} + "9\r\n123456789\r\n0\r\n\r\n", "12345678");
  body(std::string{chunked} + "5\r\n12345\r\n5\r\n67890\r\n0\r\n\r\n", "12345678");
  body(std::string{chunked} + "FFFFFFFFFFFFFFF\r\n123456789", "12345678");
  body("HTTP/1.1 500 x\r\nContent-Length: 999999999999999999\r\n\r\n123456789", "12345678");
  body("HTTP/1.1 500 x\r\n\r\n1234567", "1234567", true);
  body("HTTP/1.1 500 x\r\n\r\n12345678", "12345678");
  check_rejected_by_server("HTTP/1.1 500 x\r\nContent-Length: 5\r\n\r\n12345", "", false, {.max_response_body = 0});
  // Trailers without end count as well.
  std::string endless = std::string{chunked} + "1\r\nx\r\n0\r\n";
  for (int i = 0; i < 100; ++i) endless += "T: t\r\n";
  body(endless, "x");
}

TEST_CASE("C09 bytes behind the 101, with control frames, a Close and the server's end", "[handshake][client][C09]") {
  const std::string frames = wire::frame(ws::role::server, 0x01, "Hel") + wire::frame(ws::role::server, 0x89, "p") +
                             wire::frame(ws::role::server, 0x80, "lo");
  const outcome o = check_opened(std::string{good_response} + frames);
  CHECK(o.events == "open ping data ");
  CHECK(o.messages == "Hello");
  CHECK(o.head == good_response);
  CHECK(o.offset == good_response.size() + frames.size());
}

TEST_CASE("C10 an origin with control bytes is refused", "[handshake][client][C10]") {
  for (const std::string_view origin : {"http://a\r\nX: y"sv, "\n"sv, "a\0b"sv, "\x7F"sv}) {
    const outcome o = run({.self = ws::role::client, .request = {.host = "h", .origin = origin}});
    CHECK(o.called == ws::error::request_refused);
    CHECK(o.sent == "");
  }
  for (const std::string_view host : {"h:", "h:99999", "h/", "[::1", "::1", "a,b", "h?", "a\tb", ":80"}) {
    const outcome o = run({.self = ws::role::client, .request = {.host = host}});
    const bool good = host == "h:" || host == "a,b";  // RFC 3986 has them
    CHECK(o.called == (good ? ws::error::none : ws::error::request_refused));
  }
  CHECK(run({.self = ws::role::client, .request = {.host = "h", .target = "/a\tb"}}).called == ws::error::request_refused);
  CHECK(run({.self = ws::role::client, .request = {.host = "h", .target = "ws://h/"}}).called == ws::error::request_refused);
}

TEST_CASE("C11 a URI becomes a request", "[handshake][client][C10][C11]") {
  struct row {
    std::string_view uri, first_lines;
    bool secure = false;
  };
  for (const row& r : {
           row{"ws://example.com", "GET / HTTP/1.1\r\nHost: example.com\r\n"},
           row{"ws://example.com:80/a?b=c&d", "GET /a?b=c&d HTTP/1.1\r\nHost: example.com\r\n"},
           row{"wss://example.com:443/", "GET / HTTP/1.1\r\nHost: example.com\r\n", true},
           row{"wss://example.com:80?q", "GET /?q HTTP/1.1\r\nHost: example.com:80\r\n", true},
           row{"http://[::1]:8080/x", "GET /x HTTP/1.1\r\nHost: [::1]:8080\r\n"},
           row{"https://h:65535/%20", "GET /%20 HTTP/1.1\r\nHost: h:65535\r\n", true},
       }) {
    const ws::uri_result parsed = ws::parse_uri(r.uri);
    REQUIRE(parsed.why == ws::error::none);
    CHECK(parsed.value.secure == r.secure);
    char host_memory[64];
    char target_memory[64];
    ws::output host{host_memory};
    ws::output target{target_memory};
    REQUIRE(ws::write_host(host, parsed.value));
    REQUIRE(ws::write_target(target, parsed.value));
    const outcome o = run({.self = ws::role::client, .request = {.host = host.written(), .target = target.written()}});
    CHECK(o.called == ws::error::none);
    CHECK(o.sent.starts_with(r.first_lines));
  }
  // Credentials, on request.
  const ws::uri_result parsed = ws::parse_uri("ws://Aladdin:open%20sesame@h/");
  char memory[64];
  ws::output credentials{memory};
  REQUIRE(ws::write_basic_credentials(credentials, parsed.value.userinfo));
  const ws::field authorization[] = {{"Authorization", credentials.written()}};
  const outcome o = run({.self = ws::role::client, .request = {.host = "h", .fields = authorization}});
  CHECK(o.sent.ends_with("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"));
  CHECK(run({.self = ws::role::client, .request = {.host = "h"}}).sent.find("Authorization") == std::string::npos);
  CHECK(ws::parse_uri("ws://h/#a").why == ws::error::uri_fragment);
  CHECK(ws::parse_uri("ws://b\xC3\xBC" "cher/").why == ws::error::uri_host);
  CHECK(ws::parse_uri("ws://h/a b").why == ws::error::uri_target);
}

TEST_CASE("C12 the answer must fit this handshake's key, not another's", "[handshake][client][C12]") {
  const ws::options options;
  wire::test_entropy entropy;
  ws::masking_keys keys{&wire::test_entropy::fill, &entropy};
  std::string accept_of_first;
  for (int i = 0; i < 3; ++i) {
    ws::session client{ws::role::client, options, &keys};
    REQUIRE(client.connect({.host = "h"}) == ws::error::none);
    CHECK(entropy.bytes == 16 * entropy.calls);
    const message request = read_message(std::string{client.output()});
    const ws::accept_value value = ws::detail::compute_accept(request["Sec-WebSocket-Key"]);
    const std::string accept{value.data(), value.size()};
    std::string answer = changed(good_response, sample_accept, i == 1 ? accept_of_first : accept);
    if (i == 0) accept_of_first = accept;
    std::span<char> rest{answer};
    const ws::event ev = client.next(rest);
    CHECK(ev.why() == (i == 1 ? ws::error::accept_wrong : ws::error::none));
    CHECK(client.is_open() == (i != 1));
  }
}

TEST_CASE("C14 the rules of a head hold for a response", "[handshake][client][C14]") {
  const auto fails = [](std::string_view from, std::string_view to, ws::error why, const ws::options& options = {}) {
    check_failed(changed(good_response, from, to), why, options);
  };
  fails("=\r\n\r\n", "=\r\n<!>\n", ws::error::bare_line_feed);
  fails("=\r\n\r\n", "=<!>\n\n", ws::error::bare_line_feed);
  fails("=\r\n\r\n", "=\r\n<!>\r\r\n", ws::error::bare_carriage_return);
  fails("Protocols\r\n", "Protocols<!>\n", ws::error::bare_line_feed);
  fails("Protocols\r\n", "Protocols<!>\rA: b\r\n", ws::error::bare_carriage_return);
  fails("Protocols", "Proto<!>\x01", ws::error::status_line_invalid);
  fails("Protocols\r\n", "Protocols\r\n<!>\tA: b\r\n", ws::error::line_folding);
  fails("Upgrade: websocket", "Upgrade:\r\n<!> websocket", ws::error::line_folding);
  fails("Upgrade: websocket", "<!>Upgrade : websocket", ws::error::field_name_invalid);
  fails("Upgrade: websocket", "<!>Upgrade websocket", ws::error::field_name_invalid);
  fails("Upgrade: websocket", "X: <!>\x7F\r\nUpgrade: websocket", ws::error::field_value_invalid);
  fails("HTTP/1.1 101", "<!>\r\nHTTP/1.1 101", ws::error::status_line_invalid);  // H21 is for requests
  // Lone line feeds by policy.
  std::string lenient_text{good_response};
  std::erase(lenient_text, '\r');
  check_opened(lenient_text, {.head = {.allow_bare_line_feed = true}});
  // Limits.
  const auto size = static_cast<std::uint32_t>(good_response.size());
  check_opened(good_response, {.head = {.max_head = size, .max_fields = 3}});
  fails("=\r\n\r\n", "=\r\n\r<!>\n", ws::error::head_too_large, {.head = {.max_head = size - 1}});
  fails("Sec-", "<!>Sec-", ws::error::too_many_fields, {.head = {.max_fields = 2}});
  // The limit of the request line is for requests.
  check_opened(good_response, {.head = {.max_request_line = 8}});
  const std::string cookies = "Set-Cookie: " + std::string(16384 - good_response.size() - 14, 'c') + "\r\n";
  CHECK(check_opened(with(cookies)).offset == 16384);
  check_failed(with("x" + cookies).insert(16384, "<!>"), ws::error::head_too_large);
}
