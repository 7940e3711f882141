// The opening handshake as a server sees it: rules H01-H36. tests/support/handshake.hpp says how inputs are cut.
#include <wscodec/handshake.hpp>
#include <wscodec/session.hpp>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/handshake.hpp"

namespace ws = wscodec;
using namespace handshake;

namespace {

/// The good request with one place changed must be rejected so.
struct bad_request {
  std::string_view from, to;
  ws::error why;
  unsigned status = 400;
};
void check_all(std::initializer_list<bad_request> rows, const ws::options& options = {}) {
  for (const bad_request& row : rows) check_rejected(changed(good_request, row.from, row.to), row.why, row.status, options);
}

/// The fields of the 101 that answers a request, after the three that are always there.
std::vector<std::pair<std::string, std::string>> further_fields(const outcome& o) {
  message sent = read_message(o.sent);
  REQUIRE(sent.fields.size() >= 3);
  CHECK(sent.fields[2].first == "Sec-WebSocket-Accept");
  sent.fields.erase(sent.fields.begin(), sent.fields.begin() + 3);
  return sent.fields;
}
using fields = std::vector<std::pair<std::string, std::string>>;

std::string accept_of(std::string_view request) { return read_message(check_accepted(request).sent)["Sec-WebSocket-Accept"]; }

constexpr bool is_accept(std::string_view key, std::string_view accept) {
  const ws::accept_value value = ws::detail::compute_accept(key);
  return std::string_view{value.data(), value.size()} == accept;
}

/// The whole check of a request in a constant expression.
constexpr ws::detail::checked_request checked(std::string_view text, const ws::options& options = {}) {
  const ws::request_view head{text};
  const ws::detail::request_line line = ws::detail::parse_request_line(head.start_line());
  return ws::detail::check_request(&line, head.fields(), options);
}

/// RFC 6455 1.3.
constexpr std::string_view rfc_request =
    "GET /chat HTTP/1.1\r\n"
    "Host: server.example.com\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Origin: http://example.com\r\n"
    "Sec-WebSocket-Protocol: chat, superchat\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "\r\n";
constexpr std::string_view rfc_response =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "Sec-WebSocket-Protocol: chat\r\n"
    "\r\n";

constexpr bool answers_as_the_rfc_does() {
  const ws::detail::checked_request request = checked(rfc_request);
  char memory[256] = {};
  ws::output out{memory};
  return request.why == ws::error::none &&
         ws::detail::write_acceptance(out, request.accept, {}, {.subprotocol = "chat"}) == ws::error::none &&
         out.written() == rfc_response;
}

}  // namespace

// RFC 6455 1.3, 4.2.2.
static_assert(is_accept(sample_key, sample_accept));
static_assert(answers_as_the_rfc_does());
static_assert(checked(good_request).why == ws::error::none);
static_assert(checked("GET / HTTP/1.0\r\n\r\n").why == ws::error::http_too_old);
static_assert(checked("PUT / HTTP/1.1\r\n\r\n").why == ws::error::method_not_get);
static_assert(checked("GET / HTTP/1.1\r\n\r\n").why == ws::error::host_missing);

TEST_CASE("The RFC's own handshake, as a server", "[handshake][H09][H11]") {
  const outcome o = check_accepted(rfc_request, {}, {.acceptance = {.subprotocol = "chat"}});
  CHECK(o.sent == rfc_response);
  CHECK(o.head == rfc_request);
  CHECK(o.offset == rfc_request.size());
}

TEST_CASE("H01 a method that is not GET is rejected with 405 and Allow", "[handshake][H01]") {
  for (const std::string_view method : {"POST", "HEAD", "OPTIONS", "CONNECT", "get", "GETT", "G", "M-SEARCH"})
    check_rejected(changed(good_request, "GET", method), ws::error::method_not_get, 405);
}

TEST_CASE("H02 HTTP/1.0 never gets a 101", "[handshake][H02]") {
  check_all({{"HTTP/1.1", "HTTP/1.0", ws::error::http_too_old}});
  // RFC 9110 2.5: a higher minor version is treated as the highest one we know.
  check_accepted(changed(good_request, "HTTP/1.1", "HTTP/1.2"));
  check_accepted(changed(good_request, "HTTP/1.1", "HTTP/1.9"));
}

TEST_CASE("H03 upgrade is found in Connection as a whole token", "[handshake][H03]") {
  for (const std::string_view value :
       {"Connection: upgrade", "Connection: UPGRADE", "Connection:uPgRaDe", "Connection: keep-alive, Upgrade",
        "Connection: Upgrade,keep-alive", "Connection: a,b ,\tUpgrade\t, c", "Connection: ,,upgrade,,",
        "Connection: keep-alive\r\nConnection: Upgrade", "Connection: Upgrade\r\nX: y\r\nconnection: close",
        "Connection:\r\nConnection: upgrade"})
    check_accepted(changed(good_request, "Connection: Upgrade", value));
}

TEST_CASE("H04 tokens are compared whole, never searched for", "[handshake][H04]") {
  for (const std::string_view value : {"not-upgrade", "upgrade-not", "upgrad", "upgrades", "up grade", "\"upgrade\"",
                                       "upgrade;q=1", "keep-alive upgrade", "upgrade/1"})
    check_rejected(changed(good_request, "Connection: Upgrade", "Connection: " + std::string{value}),
                   ws::error::connection_without_upgrade, 400);
  for (const std::string_view value : {"xwebsocket", "websocketx", "websocke", "web socket", "h2c websocket",
                                       "\"websocket\"", "websocket;v=13", "websocket/13"})
    check_rejected(changed(good_request, "Upgrade: websocket", "Upgrade: " + std::string{value}),
                   ws::error::upgrade_without_websocket, 426);
}

TEST_CASE("H04b no websocket token is answered with 426, no upgrade token with 400", "[handshake][H04b]") {
  check_all({
      {"Upgrade: websocket\r\n", "", ws::error::upgrade_without_websocket, 426},
      {"Upgrade: websocket", "Upgrade: h2c", ws::error::upgrade_without_websocket, 426},
      {"Upgrade: websocket", "Upgrade:", ws::error::upgrade_without_websocket, 426},
      {"Upgrade: websocket", "Upgrade: , ,", ws::error::upgrade_without_websocket, 426},
      {"Connection: Upgrade\r\n", "", ws::error::connection_without_upgrade},
      {"Connection: Upgrade", "Connection: keep-alive", ws::error::connection_without_upgrade},
      {"Connection: Upgrade", "Connection:", ws::error::connection_without_upgrade},
      {"Upgrade: websocket\r\nConnection: Upgrade", "A: b", ws::error::upgrade_without_websocket, 426},
  });
}

TEST_CASE("H04b by policy a request that is no upgrade goes to the caller", "[handshake][H04b]") {
  const ws::options pages{.pass_plain_requests = true};
  const decision page{.respond = true, .response = {.status = 200, .body = "<p>hello</p>"}};
  for (const std::string_view text : {
           "GET / HTTP/1.1\r\nHost: h\r\n\r\n"sv,
           "POST /form?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"sv,
           "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"sv,
           "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"sv,
           "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n"sv,
           "GET / HTTP/1.0\r\n\r\n"sv,
           "GET / HTTP/1.0\r\nHost: h\r\n\r\n"sv,
       }) {
    const outcome o = check({.input = std::string{text}, .options = pages, .decide = page});
    INFO(describe(o));
    CHECK(o.events == "request ");
    CHECK(o.plain);
    CHECK(o.head == text);
    CHECK(o.called == ws::error::none);
    CHECK(o.sent == std::string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 12\r\n\r\n"} +
                        (text.starts_with("HEAD") ? "" : "<p>hello</p>"));
    CHECK(o.wants == ws::transport::half_close);

    // Such a request cannot be accepted.
    const outcome refused = check({.input = std::string{text}, .options = pages});
    CHECK(refused.called == ws::error::no_request);
    CHECK(refused.sent == "");
    CHECK_FALSE(refused.open);
  }
  // An upgrade is one as ever, and the rules about heads and bodies stay.
  CHECK_FALSE(check_accepted(good_request, pages).plain);
  check_rejected("GET / HTTP/1.1\r\n\r\n", ws::error::host_missing, 400, pages);
  check_rejected("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n<!>hello", ws::error::request_has_body, 400, pages);
  check_rejected("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", ws::error::host_doubled, 400, pages);
  check_rejected("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", ws::error::host_invalid, 400, pages);
  check_rejected("GET / HTTP/3.0\r\nHost: h\r\n\r\n", ws::error::http_major_unsupported, 505, pages);
  check_rejected(changed(good_request, "Sec-WebSocket-Version: 13\r\n", ""), ws::error::version_missing, 400, pages);
  check_rejected(changed(good_request, "GET", "PUT"), ws::error::method_not_get, 405, pages);
  check_rejected(changed(good_request, "HTTP/1.1", "HTTP/1.0"), ws::error::http_too_old, 400, pages);
}

TEST_CASE("H05 websocket is one of several Upgrade tokens, in any case", "[handshake][H05]") {
  for (const std::string_view value : {"Upgrade: WebSocket", "Upgrade: WEBSOCKET", "Upgrade: h2c, websocket",
                                       "Upgrade:websocket,h2c", "Upgrade: h2c\r\nUpgrade: websocket",
                                       "Upgrade: websocket\r\nUpgrade: h2c", "Upgrade: , websocket ,"})
    check_accepted(changed(good_request, "Upgrade: websocket", value));
}

TEST_CASE("H06 Host is there once and is an authority", "[handshake][H06]") {
  check_all({
      {"Host: h\r\n", "", ws::error::host_missing},
      {"Host: h\r\n", "Hosts: h\r\n", ws::error::host_missing},
      {"Host: h\r\n", "Host: h\r\nhost: h\r\n", ws::error::host_doubled},
      {"Host: h\r\n", "Host: h\r\nX: y\r\nHOST:\r\n", ws::error::host_doubled},
  });
  for (const std::string_view value : {"", "a b", "a, b", "user@h", "h/", "http://h", "h:x", "h:65536", "h:-1", ":80",
                                       "[::1", "[::1]x", "[]", "[h]", "h%2", "h%zz", "h\xC3\xA9", "h?", "h#", "h\"", "h:80:80"})
    check_rejected(changed(good_request, "Host: h", "Host: " + std::string{value}), ws::error::host_invalid, 400);
  for (const std::string_view value :
       {"h:80", "h:", "h:65535", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443", "a.b-c_d~e", "xn--bcher-kva.example", "h%41", "\th "})
    check_accepted(changed(good_request, "Host: h", "Host: " + std::string{value}));
}

TEST_CASE("H07 a missing, doubled or wrong key is rejected with 400", "[handshake][H07]") {
  check_all({
      {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", ws::error::key_missing},
      {"Sec-WebSocket-Key:", "Sec-WebSocket-Key-X:", ws::error::key_missing},
      {"Sec-WebSocket-Key:", "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\nSec-WebSocket-Key:", ws::error::key_doubled},
      {"Sec-WebSocket-Key:", "sec-websocket-key:\r\nSec-WebSocket-Key:", ws::error::key_doubled},
      {"dGhlIHNhbXBsZSBub25jZQ==", "", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ===", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWQ=", ws::error::key_invalid},      // 17 bytes
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", ws::error::key_invalid},          // 15 bytes
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWRk", ws::error::key_invalid},      // 18 bytes
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ===", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBu=25jZQ==", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBu 25jZQ==", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBu-_5jZQ==", ws::error::key_invalid},      // base64url
      {"dGhlIHNhbXBsZSBub25jZQ==", "\"dGhlIHNhbXBsZSBub25jZQ==\"", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==, a", ws::error::key_invalid},
      {"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25\xC3\xA9Q==", ws::error::key_invalid},
  });
}

TEST_CASE("H08 pad bits of the key may have any value", "[handshake][H08]") {
  CHECK(accept_of(changed(good_request, sample_key, "AQIDBAUGBwgJCgsMDQ4PEC==")) == "OfS0wDaT5NoxF2gqm7Zj2YtetzM=");
  CHECK(accept_of(changed(good_request, sample_key, "//////////////////////==")) == "zXRQvy1wi5A4l0hwWYxMN3e2wNk=");
}

TEST_CASE("H09 the accept value is made of the key's literal text, without the spaces around it", "[handshake][H09]") {
  CHECK(accept_of(good_request) == sample_accept);
  CHECK(accept_of(changed(good_request, " dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==")) == sample_accept);
  CHECK(accept_of(changed(good_request, "Q==\r\n", "Q== \t \r\n")) == sample_accept);
  CHECK(accept_of(changed(good_request, " dGhl", "\t  \tdGhl")) == sample_accept);
  // The same sixteen bytes as in H08, but another text.
  CHECK(accept_of(changed(good_request, sample_key, "AQIDBAUGBwgJCgsMDQ4PEA==")) == "C/0nmHhBztSRGR1CwL6Tf4ZjwpY=");
  CHECK(accept_of(changed(good_request, sample_key, "AAAAAAAAAAAAAAAAAAAAAA==")) == "ICX+Yqv66kxgM0FcWaLWlFLwTAI=");
}

TEST_CASE("H10 a version other than 13 is answered with 426, none or two with 400", "[handshake][H10]") {
  for (const std::string_view value : {"12", "8", "7", "0", "14", "130", "1", "3", "013", "+13", "13.0", "13, 8", "8, 13",
                                       "13 13", "\"13\"", "", "x"})
    check_rejected(changed(good_request, "Version: 13", "Version: " + std::string{value}), ws::error::version_unsupported, 426);
  check_all({
      {"Sec-WebSocket-Version: 13\r\n", "", ws::error::version_missing},
      {"Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13", ws::error::version_doubled},
      {"Sec-WebSocket-Version: 13", "sec-websocket-version: 8\r\nSec-WebSocket-Version: 13", ws::error::version_doubled},
  });
  check_accepted(changed(good_request, "Version: 13", "Version:\t13\t"));
}

TEST_CASE("H11 subprotocols over several lines are one list, in order", "[handshake][H11]") {
  const std::string request =
      added(good_request, "Sec-WebSocket-Protocol: a, b\r\nX: y\r\nsec-websocket-protocol: c\r\nSEC-WEBSOCKET-PROTOCOL: d\r\n");
  for (const std::string_view choice : {"a", "b", "c", "d"}) {
    const outcome o = check_accepted(request, {}, {.acceptance = {.subprotocol = choice}});
    CHECK(further_fields(o) == fields{{"Sec-WebSocket-Protocol", std::string{choice}}});
  }
  const ws::request_view view{request};
  std::string order;
  for (auto [list, member] = std::pair{view.subprotocols(), std::string_view{}}; list.next(member);) order += member;
  CHECK(order == "abcd");
  // Doubled and broken offers are found across the lines as well.
  check_rejected(added(good_request, "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, a\r\n"),
                 ws::error::subprotocol_doubled, 400);
  check_rejected(added(good_request, "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b/c\r\n"),
                 ws::error::subprotocol_invalid, 400);
}

TEST_CASE("H11 extensions over several lines are one list, in order", "[handshake][H11]") {
  const ws::options options{.extension = &fake::hook};
  for (const auto& [lines, level] : {
           std::pair{"Sec-WebSocket-Extensions: x-fake; level=3\r\nSec-WebSocket-Extensions: x-fake; level=4\r\n"sv, 3U},
           std::pair{"Sec-WebSocket-Extensions: other\r\nA: b\r\nsec-websocket-extensions: x-fake; level=4\r\n"sv, 4U},
           std::pair{"Sec-WebSocket-Extensions:\r\nSec-WebSocket-Extensions: x-fake; level=5\r\n"sv, 5U},
       })
    CHECK(check_accepted(added(good_request, lines), options).agreement == level);
  // But no extension and no quoted string goes on over the end of a line.
  check_rejected(added(good_request, "Sec-WebSocket-Extensions: x-fake;\r\nSec-WebSocket-Extensions: level=1\r\n"),
                 ws::error::extensions_malformed, 400, options);
  check_rejected(added(good_request, "Sec-WebSocket-Extensions: a; b=\"c\r\nSec-WebSocket-Extensions: d\"\r\n"),
                 ws::error::extensions_malformed, 400, options);
}

TEST_CASE("H12 empty list members are skipped, spaces do not matter", "[handshake][H12]") {
  for (const std::string_view list : {"a,b", " a , b ", ",a,,b,", "\ta\t,\tb\t", ", , a , , b , ,"}) {
    const outcome o = check_accepted(added(good_request, "Sec-WebSocket-Protocol: " + std::string{list} + "\r\n"), {},
                                     {.acceptance = {.subprotocol = "b"}});
    CHECK(further_fields(o) == fields{{"Sec-WebSocket-Protocol", "b"}});
  }
  const ws::options options{.extension = &fake::hook};
  for (const std::string_view list : {"x-fake;level=2,b", ",, x-fake ; level=2 ,, b ,", "a,x-fake\t;\tlevel=2", " , a , x-fake; level=2"})
    CHECK(check_accepted(added(good_request, "Sec-WebSocket-Extensions: " + std::string{list} + "\r\n"), options).agreement == 2);
}

TEST_CASE("a failure that has no HTTP status of its own is told as 500", "[handshake]") {
  char to[512];
  for (const ws::error why : {ws::error::message_too_big, ws::error::text_not_utf8}) {
    ws::output out{to};
    CHECK(ws::detail::write_rejection(out, why) == ws::error::none);
    CHECK(std::string_view{to, out.size()}.starts_with("HTTP/1.1 500 "));
  }
}

TEST_CASE("H13 subprotocols are tokens, each offered once", "[handshake][H13]") {
  for (const std::string_view list : {"a b", "a, b c", "a/b", "\"a\"", "a;q=1", "a, b=c", "\xC3\xA9", "a, (b)", "@"})
    check_rejected(added(good_request, "Sec-WebSocket-Protocol: " + std::string{list} + "\r\n"), ws::error::subprotocol_invalid, 400);
  for (const std::string_view list : {"a, a", "a,b,c,b", "a,,a"})
    check_rejected(added(good_request, "Sec-WebSocket-Protocol: " + std::string{list} + "\r\n"), ws::error::subprotocol_doubled, 400);
  // Names are compared with regard to case (RFC 6455 1.9), so these are two.
  check_accepted(added(good_request, "Sec-WebSocket-Protocol: a, A, soap.v1~!#$%&'*+-.^_`|\r\n"));
}

TEST_CASE("H13 members of the list count against the limit of fields", "[handshake][H13][H26]") {
  const auto request = [](unsigned n) {
    std::string list = "Sec-WebSocket-Protocol: ";
    for (unsigned i = 0; i < n; ++i) list += "p" + std::to_string(i) + ",";
    return added(good_request, list + "\r\n");
  };
  const ws::options eight{.head = {.max_fields = 8}};
  check_accepted(request(8), eight);
  check_rejected(request(9), ws::error::too_many_fields, 431, eight);
}

TEST_CASE("H13 a list of a thousand subprotocols is compared to its end", "[handshake][H13]") {
  std::string list = "Sec-WebSocket-Protocol: p0";
  for (unsigned i = 1; i < 1000; ++i) list += ",p" + std::to_string(i);
  const ws::options many{.head = {.max_fields = 1001}};
  const auto why = [&](const std::string& last) {
    return run({.input = added(good_request, list + "," + last + "\r\n"), .options = many}).why;
  };
  CHECK(why("p1000") == ws::error::none);
  for (const char* const same : {"p0", "p127", "p128", "p129", "p999"}) CHECK(why(same) == ws::error::subprotocol_doubled);
  CHECK(why("p1000,p1001") == ws::error::too_many_fields);
}

TEST_CASE("H13 only what was offered can be selected", "[handshake][H13]") {
  const std::string request = added(good_request, "Sec-WebSocket-Protocol: chat, superchat\r\n");
  for (const std::string_view choice : {"other", "Chat", "chat, superchat", "cha", "chat\r\nX: y", " chat", ","}) {
    const outcome o = check({.input = request, .decide = {.acceptance = {.subprotocol = choice}}});
    CHECK(o.called == ws::error::subprotocol_not_offered);
    CHECK(o.sent == "");
    CHECK_FALSE(o.open);
    CHECK(o.state == ws::close_state::open);
  }
  CHECK(check({.input = std::string{good_request}, .decide = {.acceptance = {.subprotocol = "chat"}}}).called ==
        ws::error::subprotocol_not_offered);

  // Decided late, from what the connection kept; and known afterwards if it is one of the options' list.
  constexpr std::string_view ours[] = {"superchat", "chat"};
  for (const bool late : {false, true}) {
    const outcome o = check_accepted(request, {.subprotocols = ours}, {.late = late, .acceptance = {.subprotocol = "chat"}});
    CHECK(further_fields(o) == fields{{"Sec-WebSocket-Protocol", "chat"}});
    CHECK(o.subprotocol == "chat");
  }
  CHECK(check_accepted(request, {.subprotocols = ours}).subprotocol == "");
  // Of an endless list the first 65,535 are told, and no other is taken for one of them.
  for (const std::size_t at : {std::size_t{65534}, std::size_t{65535}, std::size_t{65536}}) {
    std::vector<std::string_view> many(at, "x");
    many.push_back("chat");
    const ws::options endless{.subprotocols = many};
    ws::session server{ws::role::server, endless};
    std::string bytes{request};
    std::span<char> rest{bytes};
    CHECK(server.next(rest).type == ws::event_type::request);
    CHECK(server.accept({.subprotocol = "chat"}) == ws::error::none);
    CHECK(server.subprotocol() == (at == 65534 ? "chat" : ""));
  }
}

TEST_CASE("H13 a head larger than the scratch still knows its subprotocols", "[handshake][H13][H26]") {
  const std::string request = added(good_request, "Cookie: " + std::string(300, 'c') + "\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b,c\r\n");
  const ws::options options;
  for (const std::string_view choice : {"a", "c", "d"}) {
    char scratch[ws::min_scratch];
    ws::connection conn{ws::role::server, options, scratch};
    std::string input = request;
    std::span<char> rest{input};
    REQUIRE(conn.next(rest).type == ws::event_type::request);
    CHECK(rest.empty());
    input.assign(input.size(), 'x');  // the memory of the request is used again before the decision
    char memory[512];
    ws::output out{memory};
    CHECK(conn.accept(out, {.subprotocol = choice}) == (choice == "d" ? ws::error::subprotocol_not_offered : ws::error::none));
  }
}

TEST_CASE("H13 subprotocols that do not fit in the scratch either are too much", "[handshake][H13][H26]") {
  const ws::options options;
  const std::string one(ws::min_scratch - 26, 'p');  // "-", a name, a colon, two line feeds: 26 bytes
  for (const std::string& list : {one, one + "x", one.substr(1) + "\r\nSec-WebSocket-Protocol: q"}) {
    char scratch[ws::min_scratch];
    ws::connection conn{ws::role::server, options, scratch};
    std::string input = added(good_request, "Sec-WebSocket-Protocol: " + list + "\r\n");
    std::span<char> rest{input};
    const ws::event ev = conn.next(rest);
    CHECK(ev.type == (list == one ? ws::event_type::request : ws::event_type::failed));
    CHECK(conn.why() == (list == one ? ws::error::none : ws::error::head_too_large));
  }
}

TEST_CASE("H15 what stands in quotes is data", "[handshake][H15]") {
  const ws::options options{.extension = &fake::hook};
  const auto agreed = [&](std::string_view list) {
    return check_accepted(added(good_request, "Sec-WebSocket-Extensions: " + std::string{list} + "\r\n"), options).agreement;
  };
  CHECK(agreed(R"(other; a="x-fake; level=1, x-fake; level=2")") == 0);
  CHECK(agreed(R"(other; a="\", x-fake; level=1, \"")") == 0);
  CHECK(agreed(R"(other; a="\\", x-fake; level=1)") == 1);
  CHECK(agreed(R"(other; a=";,=\,", x-fake; level=2)") == 2);
  CHECK(agreed("other; a=\"\t \x80\xFF\", x-fake; level=3") == 3);
  // A known extension's value must be a token once it is unescaped; else that offer is declined, not the request.
  CHECK(agreed(R"(x-fake; level="4")") == 4);
  CHECK(agreed(R"(x-fake; level="\4")") == 4);
  CHECK(agreed(R"(x-fake; level="")") == 0);
  CHECK(agreed(R"(x-fake; level="4 ", x-fake; level=" 4", x-fake; level="4,", x-fake; level="\"4")") == 0);
  CHECK(agreed(R"(x-fake; level="4;", x-fake; level=5)") == 5);
}

TEST_CASE("H16 the first offer that the extension takes wins, others are declined one by one", "[handshake][H16][H17]") {
  const ws::options options{.extension = &fake::hook};
  const auto answered = [&](std::string_view list) {
    return further_fields(check_accepted(added(good_request, "Sec-WebSocket-Extensions: " + std::string{list} + "\r\n"), options));
  };
  CHECK(answered("x-fake; level=3") == fields{{"Sec-WebSocket-Extensions", "x-fake; level=3"}});
  CHECK(answered("X-FAKE; level=3") == fields{{"Sec-WebSocket-Extensions", "x-fake; level=3"}});
  CHECK(answered("x-fake; level=\"3\"") == fields{{"Sec-WebSocket-Extensions", "x-fake; level=3"}});
  CHECK(answered("x-fake; level=3, x-fake; level=7") == fields{{"Sec-WebSocket-Extensions", "x-fake; level=3"}});
  CHECK(answered("x-fake; level=0, x-fake, x-fake; level, x-fake; height=2, x-fake; level=1; level=1, x-fake; level=7") ==
        fields{{"Sec-WebSocket-Extensions", "x-fake; level=7"}});
  CHECK(answered("x-other; level=1, y, x-fake; level=2") == fields{{"Sec-WebSocket-Extensions", "x-fake; level=2"}});
  // None left: no header.
  CHECK(answered("x-fake; level=0") == fields{});
  CHECK(answered("x-fake, x-fak; level=1, x-fakee; level=1") == fields{});
}

TEST_CASE("H16b a broken extension list is rejected with 400, with and without an extension", "[handshake][H16b]") {
  for (const std::string_view list :
       {"x-fake;", "x-fake; ;a", "x-fake; =1", "x-fake; a=", "x-fake; a==1", "x-fake; a=1 b", "x fake", "x-fake a", ";a=1",
        "\"x-fake\"", "x-fake; \"a\"=1", "x-fake; a=\"b", "x-fake; a=\"b\\", "x-fake; a=\"b\\\"", "x-fake; a=\"b\"c",
        "x-fake; a=\"b\"\"c\"", "x-fake; a=b\"c\"", "x-fake; a = ", "x-fake; a = 1 b", "x-fake=1", "a/b",
        "x-fake; a=b/c", "x-fake; a=(b)", "\xC3\xA9", "x-fake; a=\xC3\xA9", "x-fake; level=1, ;", "x-fake; level=1, b;",
        "x-fake; level=1, b; c=\""}) {
    const std::string request = added(good_request, "Sec-WebSocket-Extensions: " + std::string{list} + "\r\n");
    check_rejected(request, ws::error::extensions_malformed, 400, {.extension = &fake::hook});
    CHECK(run({.input = request}).why == ws::error::extensions_malformed);
  }
}

TEST_CASE("H17 nothing negotiated: no empty header", "[handshake][H17]") {
  CHECK(further_fields(check_accepted(good_request)) == fields{});
  CHECK(further_fields(check_accepted(good_request, {.extension = &fake::hook})) == fields{});
  const std::string offers = added(good_request, "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Extensions: b\r\n");
  CHECK(further_fields(check_accepted(offers)) == fields{});
  CHECK(further_fields(check_accepted(offers, {.extension = &fake::hook})) == fields{});
}

TEST_CASE("H19 a request that announces a body is rejected, the body is not read", "[handshake][H19]") {
  for (const std::string_view line :
       {"Content-Length: 1", "Content-Length: 5", "content-length: 18446744073709551616", "Content-Length: 0\r\nContent-Length: 1",
        "Content-Length: 0, 0", "Content-Length: -0", "Content-Length: +0", "Content-Length: x", "Content-Length:",
        "Content-Length: 0x0", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "TRANSFER-ENCODING:",
        "Transfer-Encoding: gzip, chunked", "Content-Length: 0\r\nTransfer-Encoding: chunked"})
    check_rejected(added(good_request, std::string{line} + "\r\n") + "<!>hello", ws::error::request_has_body, 400);
  check_accepted(added(good_request, "Content-Length: 0\r\n"));
}

TEST_CASE("H20 bytes after the request are the first frames", "[handshake][H20]") {
  const std::string frames = wire::frame(ws::role::client, 0x81, "Hello") + wire::frame(ws::role::client, 0x89, "p") +
                             wire::frame(ws::role::client, 0x82, "again");
  for (const bool late : {false, true}) {
    const outcome o = check_accepted(std::string{good_request} + frames, {}, {.late = late});
    CHECK(o.events == "request data ping data ");
    CHECK(o.messages == "Helloagain");
    CHECK(o.offset == good_request.size() + frames.size());
    CHECK(o.sent.substr(o.sent.size() - 3) == "\x8A\x01p"sv);
  }
  // Nothing of it is touched, and nothing is consumed, while the request is undecided.
  const ws::options options;
  char scratch[512];
  ws::connection conn{ws::role::server, options, scratch};
  std::string input = std::string{good_request} + frames;
  std::span<char> rest{input};
  REQUIRE(conn.next(rest).type == ws::event_type::request);
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(conn.next(rest));
    CHECK(std::string_view{rest.data(), rest.size()} == frames);
  }
  CHECK(conn.offset() == good_request.size());
}

TEST_CASE("H21 one empty line before the request line is skipped", "[handshake][H21]") {
  const outcome o = check_accepted("\r\n" + std::string{good_request});
  CHECK(o.head == good_request);
  CHECK(o.offset == good_request.size() + 2);
  check_rejected("\r\n<!>\r\n" + std::string{good_request}, ws::error::request_line_invalid, 400);
  check_rejected("\r\n<!>\r\n", ws::error::request_line_invalid, 400);
  check_rejected("<!> \r\n" + std::string{good_request}, ws::error::request_line_invalid, 400);
  check_rejected("<!>\n" + std::string{good_request}, ws::error::bare_line_feed, 400);
  check_rejected("\r\n<!>\rGET / HTTP/1.1\r\n", ws::error::bare_carriage_return, 400);
  // The limit of the request line begins after it.
  constexpr std::uint32_t line = 18;  // GET /chat HTTP/1.1
  check_accepted("\r\n" + std::string{good_request}, {.head = {.max_request_line = line}});
  check_rejected("\r\n" + changed(good_request, "HTTP/1.1\r", "HTTP/1.1<!>2\r"), ws::error::request_line_too_long, 414,
                 {.head = {.max_request_line = line}});
}

TEST_CASE("H22 a bare LF is rejected where it stands, unless it is allowed", "[handshake][H22]") {
  check_all({
      {"HTTP/1.1\r\n", "HTTP/1.1<!>\n", ws::error::bare_line_feed},
      {"GET /chat", "GET<!>\n/chat", ws::error::bare_line_feed},
      {"Host: h\r\n", "Host: h<!>\n", ws::error::bare_line_feed},
      {"Host: h\r\n", "Host: h<!>\nX: y\r\n", ws::error::bare_line_feed},
      {"13\r\n\r\n", "13<!>\n\r\n", ws::error::bare_line_feed},
      {"13\r\n\r\n", "13\r\n<!>\n", ws::error::bare_line_feed},
      {"13\r\n\r\n", "13<!>\n\n", ws::error::bare_line_feed},
  });
  const ws::options lenient{.head = {.allow_bare_line_feed = true}};
  std::string all{good_request};
  std::erase(all, '\r');
  CHECK(check_accepted(all, lenient).offset == all.size());
  check_accepted("\n" + all, lenient);
  check_accepted(changed(good_request, "13\r\n\r\n", "13\r\n\n"), lenient);
  check_accepted(changed(good_request, "13\r\n\r\n", "13\n\r\n"), lenient);
  CHECK(check_accepted(changed(good_request, "Host: h\r\n", "Host: h\nUser-Agent: y\n"), lenient).head.find("y") != std::string::npos);
}

TEST_CASE("H22 a bare CR is rejected where it stands", "[handshake][H22]") {
  for (const bool lenient : {false, true})
    check_all(
        {
            {"HTTP/1.1\r\n", "HTTP/1.1<!>\rHost: x\r\n", ws::error::bare_carriage_return},
            {"GET /chat", "GET<!>\r/chat", ws::error::bare_carriage_return},
            {"Host: h", "Host: h<!>\rh", ws::error::bare_carriage_return},
            {"Host: h", "Ho<!>\rst: h", ws::error::bare_carriage_return},
            {"Host: h\r\n", "Host: h<!>\r\r\n", ws::error::bare_carriage_return},
            {"Host: h\r\n", "Host: h<!>\rX: y\n", ws::error::bare_carriage_return},
            {"13\r\n\r\n", "13\r\n<!>\r\r\n", ws::error::bare_carriage_return},
            {"13\r\n\r\n", "13\r\n<!>\r \n", ws::error::bare_carriage_return},
        },
        {.head = {.allow_bare_line_feed = lenient}});
}

TEST_CASE("H23 a folded line is rejected", "[handshake][H23]") {
  check_all({
      {"Host: h\r\n", "Host: h\r\n<!> more\r\n", ws::error::line_folding},
      {"Host: h\r\n", "Host: h\r\n<!>\tX: y\r\n", ws::error::line_folding},
      {"Host: h\r\n", "Host:\r\n<!> h\r\n", ws::error::line_folding},
      {"HTTP/1.1\r\n", "HTTP/1.1\r\n<!> X: y\r\n", ws::error::line_folding},  // RFC 9112 2.2
      {"13\r\n\r\n", "13\r\n<!> \r\n\r\n", ws::error::line_folding},
      {"Host: h\r\n", "Host: h\r\n<!> a\x01\r\n", ws::error::line_folding},
  });
}

TEST_CASE("H24 a bad field name is rejected", "[handshake][H24]") {
  check_all({
      {"Host: h\r\n", "<!>Host : h\r\n", ws::error::field_name_invalid},
      {"Host: h\r\n", "Host: h\r\n<!>X\t: y\r\n", ws::error::field_name_invalid},
      {"Host: h\r\n", "Host: h\r\n<!>: y\r\n", ws::error::field_name_invalid},
      {"Host: h\r\n", "Host: h\r\n<!>:\r\n", ws::error::field_name_invalid},
      {"Host: h\r\n", "Host: h\r\n<!>no colon\r\n", ws::error::field_name_invalid},
      {"Host: h\r\n", "Host: h\r\n<!>nocolon\r\n", ws::error::field_name_invalid},
      {"Host: h\r\n", "Host: h\r\nX<!>\x01y: z\r\n", ws::error::field_name_invalid},
      {"Host: h\r\n", "Host: h\r\nno-colon<!>\x7F\r\n", ws::error::field_name_invalid},
  });
  for (const char c : "()/;<=>?@[\\]{}\" ,\x80\xFF"sv)
    check_rejected(changed(good_request, "Host: h\r\n", "Host: h\r\n<!>X" + std::string{c} + "y: z\r\n"), ws::error::field_name_invalid, 400);
  check_accepted(added(good_request, "!#$%&'*+-.^_`|~09AZaz: x\r\nX:\r\nY::\r\n"));
}

TEST_CASE("H25 control bytes in a value are rejected where they stand, others pass", "[handshake][H25]") {
  for (int c = 0; c < 256; ++c) {
    if (c == '\r' || c == '\n') continue;  // H22
    const std::string byte(1, static_cast<char>(static_cast<unsigned char>(c)));
    const bool control = (c < 0x20 && c != '\t') || c == 0x7F;
    // The whole range one way; some in every way.
    if (c != 0 && c != 1 && c != 0x1F && c != 0x7F && c != 0x80 && c != 0xFF) {
      const outcome o = run({.input = added(good_request, "X: a" + byte + "b\r\n")});
      CHECK(o.why == (control ? ws::error::field_value_invalid : ws::error::none));
    } else if (control) {
      check_rejected(added(good_request, "X: a<!>" + byte + "b\r\n"), ws::error::field_value_invalid, 400);
      check_rejected(added(good_request, "X:<!>" + byte + "\r\n"), ws::error::field_value_invalid, 400);
      check_rejected(added(good_request, "X: a\r\nY: b<!>" + byte), ws::error::field_value_invalid, 400);
    } else {
      CHECK(check_accepted(added(good_request, "X: a" + byte + "b\r\n")).head.find("a" + byte + "b") != std::string::npos);
    }
  }
}

TEST_CASE("H26 the request line at its limit", "[handshake][H26]") {
  const std::string_view line = "GET /chat HTTP/1.1";
  const auto limit = [&](std::size_t n) { return ws::options{.head = {.max_request_line = static_cast<std::uint32_t>(n)}}; };
  check_accepted(good_request, limit(line.size()));
  check_accepted(good_request, limit(line.size() + 1));
  check_rejected(changed(good_request, "1.1\r", "1.<!>1\r"), ws::error::request_line_too_long, 414, limit(line.size() - 1));
  // As early as it is passed: nothing after it is looked at, and no end of line is needed.
  check_rejected("GET /chat HTTP/1.<!>1", ws::error::request_line_too_long, 414, limit(line.size() - 1));
  check_rejected("GET /<!>\x01", ws::error::request_line_invalid, 400, limit(5));
  check_rejected("GET /<!>a\x01", ws::error::request_line_too_long, 414, limit(5));
  check_rejected("<!>\x16\x03\x01", ws::error::request_line_invalid, 400, limit(5));
  CHECK(run({.input = "GET /", .options = limit(5)}).why == ws::error::none);
}

TEST_CASE("H26 the head at its limit", "[handshake][H26]") {
  const auto limit = [](std::size_t n) { return ws::options{.head = {.max_head = static_cast<std::uint32_t>(n)}}; };
  const std::size_t size = good_request.size();
  check_accepted(good_request, limit(size));
  check_accepted(good_request, limit(size + 1));
  for (std::size_t less = 1; less < 8; ++less) {
    const std::string cut = std::string{good_request}.insert(size - less, "<!>");
    check_rejected(cut, ws::error::head_too_large, 431, limit(size - less));
  }
  // Bytes after the head do not count.
  CHECK(check_accepted(std::string{good_request} + wire::frame(ws::role::client, 0x81, "Hello"), limit(size)).messages == "Hello");
  // As early as it is passed.
  const std::string begun = "GET / HTTP/1.1\r\nX: 1234";
  CHECK(run({.input = begun, .options = limit(begun.size() + 1)}).why == ws::error::none);
  check_rejected(begun + "<!>", ws::error::head_too_large, 431, limit(begun.size()));
  check_rejected(begun + "<!>\x01", ws::error::head_too_large, 431, limit(begun.size()));
  check_rejected(begun + "<!>\x01", ws::error::field_value_invalid, 400, limit(begun.size() + 1));
  CHECK(run({.input = begun + "\r", .options = limit(begun.size() + 2)}).why == ws::error::none);
  for (const char* end : {"\r", "\r\n"}) check_rejected(begun.substr(0, begun.size()) + std::string{end}.insert(1, "<!>"), ws::error::head_too_large, 431, limit(begun.size() + 1));
}

TEST_CASE("H26 of two limits the lower one is reported", "[handshake][H26]") {
  const std::string line = "GET /" + std::string(200, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n";
  const auto at = [&](std::size_t offset) { return line.substr(0, offset) + "<!>" + line.substr(offset); };
  check_rejected(at(100), ws::error::request_line_too_long, 414, {.head = {.max_head = 101, .max_request_line = 100}});
  check_rejected(at(100), ws::error::head_too_large, 431, {.head = {.max_head = 100, .max_request_line = 100}});
  check_rejected(at(100), ws::error::head_too_large, 431, {.head = {.max_head = 100, .max_request_line = 8192}});
  check_rejected(at(8), ws::error::request_line_too_long, 414, {.head = {.max_head = 9, .max_request_line = 8}});
}

TEST_CASE("H26 the number of fields at its limit", "[handshake][H26]") {
  const auto limit = [](std::uint32_t n) { return ws::options{.head = {.max_fields = n}}; };
  check_accepted(good_request, limit(5));
  check_accepted(good_request, limit(6));
  check_rejected(changed(good_request, "Sec-WebSocket-Version", "<!>Sec-WebSocket-Version"), ws::error::too_many_fields, 431, limit(4));
  check_rejected("GET / HTTP/1.1\r\nA: b\r\n<!>C: d\r\n", ws::error::too_many_fields, 431, limit(1));
  check_rejected("GET / HTTP/1.1\r\n<!>A: b\r\n", ws::error::too_many_fields, 431, limit(0));
  // A field that is broken itself is that first.
  check_rejected("GET / HTTP/1.1\r\nA: b\r\n<!>C : d\r\n", ws::error::field_name_invalid, 400, limit(1));
  // A limit beyond sixteen bits holds as well.
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 70000; ++i) many += "a:\r\n";
  scenario s{.input = many + "a:\r\n", .options = limit(70000)};
  s.options.head.max_head = 1U << 20;
  const outcome o = run(s);
  CHECK(o.why == ws::error::too_many_fields);
  CHECK(o.offset == many.size());
}

TEST_CASE("H26 the defaults: 8,192 bytes of request line, 16 KiB of head, 100 fields", "[handshake][H26]") {
  const auto request_with_line = [](std::size_t n) {
    return changed(good_request, "/chat", "/" + std::string(n - std::string_view{"GET / HTTP/1.1"}.size(), 'a'));
  };
  check_accepted(request_with_line(8192));
  check_rejected(request_with_line(8193).insert(8192, "<!>"), ws::error::request_line_too_long, 414);

  const auto request_of = [](std::size_t n) {
    return added(good_request, "Cookie: " + std::string(n - good_request.size() - 10, 'c') + "\r\n");
  };
  check_accepted(request_of(4096));  // browsers' cookies
  check_accepted(request_of(16384));
  check_rejected(request_of(16385).insert(16384, "<!>"), ws::error::head_too_large, 431);

  const auto request_with_fields = [](int n) {
    std::string lines;
    for (int i = 5; i < n; ++i) lines += "a:\r\n";
    return added(good_request, lines);
  };
  check_accepted(request_with_fields(100));
  const std::string over = request_with_fields(101);
  check_rejected(std::string{over}.insert(over.size() - 6, "<!>"), ws::error::too_many_fields, 431);
}

TEST_CASE("H26 a head that comes in pieces must fit in the scratch", "[handshake][H26]") {
  const std::string request = added(good_request, "Cookie: " + std::string(ws::min_scratch - good_request.size() - 10, 'c') + "\r\n");
  REQUIRE(request.size() == ws::min_scratch);
  const ws::options options;
  const auto why = [&](const std::string& text, std::size_t cut, std::uint64_t& offset) {
    char scratch[ws::min_scratch];
    ws::connection conn{ws::role::server, options, scratch};
    std::string one = text.substr(0, cut), two = text.substr(cut);
    for (std::string* piece : {&one, &two}) {
      CHECK((piece == &one || one.size() > ws::min_scratch || conn.why() == ws::error::none));
      std::span<char> rest{*piece};
      while (conn.next(rest)) {
      }
    }
    offset = conn.offset();
    return conn.why();
  };
  std::uint64_t offset = 0;
  for (std::size_t cut = 1; cut < request.size(); ++cut) CHECK(why(request, cut, offset) == ws::error::none);
  const std::string larger = changed(request, "ccc\r\n", "cccc\r\n");
  for (std::size_t cut = 1; cut < larger.size(); ++cut) {
    CHECK(why(larger, cut, offset) == ws::error::head_too_large);
    CHECK(offset == ws::min_scratch);
  }
  CHECK(why(larger, larger.size(), offset) == ws::error::none);
  // The offset is the same when the first piece is larger already.
  const std::string large = changed(request, "ccc\r\n", "ccc" + std::string(100, 'c') + "\r\n");
  for (std::size_t cut = 1; cut < large.size(); ++cut) {
    CHECK(why(large, cut, offset) == ws::error::head_too_large);
    CHECK(offset == ws::min_scratch);
  }
}

TEST_CASE("H27 field names are found in any case", "[handshake][H27]") {
  std::string upper{good_request}, lower{good_request};
  for (std::size_t i = upper.find("Host"); i < upper.size(); ++i) {
    const std::size_t line = upper.rfind('\n', i);
    if (upper.find(':', line) < i) continue;  // values stay
    if (upper[i] >= 'a' && upper[i] <= 'z') upper[i] = static_cast<char>(upper[i] - 32);
    if (lower[i] >= 'A' && lower[i] <= 'Z') lower[i] = static_cast<char>(lower[i] + 32);
  }
  REQUIRE(upper.find("\nSEC-WEBSOCKET-KEY: dGhl") != upper.npos);
  CHECK(accept_of(upper) == sample_accept);
  CHECK(accept_of(lower) == sample_accept);
  CHECK(accept_of(changed(good_request, "Sec-WebSocket-Key", "sEC-wEBsOCKET-kEY")) == sample_accept);
  check_rejected(added(good_request, "CONTENT-length: 3\r\n"), ws::error::request_has_body, 400);
  check_rejected(added(good_request, "ZZZ: z\r\ntransfer-encodinG: z\r\n"), ws::error::request_has_body, 400);
  // Letters only: these pairs differ by the same bit.
  CHECK_FALSE(ws::detail::same_name("[", "{"));
  CHECK_FALSE(ws::detail::same_name("@", "`"));
  CHECK_FALSE(ws::detail::same_name("^", "~"));
}

TEST_CASE("H27 a name that is as long as one of ours is another all the same", "[handshake][H27]") {
  for (const std::string_view name : {"Hosu", "Oriyin", "Upgradf", "Connectioo", "Content-Lengti", "Sec-WebSocket-Kez", "Transfer-Encodinh",
                                      "Sec-WebSocket-Accepu", "Sec-WebSocket-Versioo", "Sec-WebSocket-Protocom", "Sec-WebSocket-Extensiont"}) {
    INFO(name);
    const outcome o = check_accepted(added(good_request, std::string{name} + ": ;\"\r\n"), {.extension = &fake::hook});
    CHECK(further_fields(o) == fields{});
  }
}

TEST_CASE("H28 an absolute target is accepted, its parts are available", "[handshake][H28]") {
  struct row {
    std::string_view target, path, query, authority;
  };
  for (const row& r : {
           row{"/", "/", "", "h"},
           row{"/a/b?c=d?e", "/a/b", "c=d?e", "h"},
           row{"/?", "/", "", "h"},
           row{"//x/y", "//x/y", "", "h"},
           row{"/:://?http://a", "/:://", "http://a", "h"},
           row{"ws://server:81/a?b", "/a", "b", "server:81"},
           row{"http://server/a", "/a", "", "server"},
           row{"wss://server/", "/", "", "server"},
           row{"https://[::1]:443/x", "/x", "", "[::1]:443"},
           row{"HTTP://server", "/", "", "server"},
           row{"ws://server?a=/b", "/", "a=/b", "server"},
       }) {
    const outcome o = check_accepted(changed(good_request, "/chat", r.target));
    const ws::request_view request{o.head};
    CHECK(request.target() == r.target);
    CHECK(request.path() == r.path);
    CHECK(request.query() == r.query);
    CHECK(request.authority() == r.authority);
    CHECK(request.method() == "GET");
  }
}

TEST_CASE("H29 a request line that is none is rejected with 400", "[handshake][H29]") {
  for (const std::string_view line :
       {"", "GET", "GET /", "GET / ", " / HTTP/1.1", "GET /HTTP/1.1", "GET / HTTP/1", "GET / HTTP/1.", "GET / HTTP/.1",
        "GET / HTTP/11.1", "GET / HTTP/1.10", "GET / HTTP/a.1", "GET / HTTP/-.1", "GET / HTTP/1.-", "GET / HTTP/1.x", "GET / HTTP/1,1", "GET / HTTP 1.1", "GET / http/1.1",
        "GET / Http/1.1", "GET / HTTPS/1.1", "GET / HTTP/1.1 ", "GET / HTTP/1.1\t", "G@T / HTTP/1.1", "GET\t/ HTTP/1.1",
        "GET:/ HTTP/1.1", "\x80 / HTTP/1.1", "GET / \"HTTP/1.1", "HTTP/1.1 101 Switching Protocols", "Host: h"}) {
    if (line.empty()) continue;  // H21
    check_rejected("<!>" + changed(good_request, "GET /chat HTTP/1.1", line), ws::error::request_line_invalid, 400);
  }
  // A control byte is met before the line ends.
  for (const char c : "\0\x01\x7F\x1B"sv)
    check_rejected(changed(good_request, "/chat", "/<!>" + std::string{c}), ws::error::request_line_invalid, 400);
}

TEST_CASE("H29 a target that is none is rejected with 400", "[handshake][H29]") {
  for (const std::string_view target :
       {"", "*", "chat", "?a", "h:80", "h", "ftp://h/", "//", "file:///", "ws:/h", "ws:h", "ws://", "ws:///a", "http://?a",
        "ws://h h/", "ws://user@h/", "ws://h:99999/", "xws://h/", "://h/", "/a b", "/ ", " /", "/a\tb", "/#", "/a#b", "/\xC3\xA9",
        "/\x80", "/\xFF", "ws://h/#a", "ws://\xC3\xA9/"}) {
    if (target == "//") continue;  // a path, if an odd one
    check_rejected("<!>" + changed(good_request, "/chat", target), ws::error::target_invalid, 400);
  }
  check_accepted(changed(good_request, "/chat", "/a%20b%C3%A9;=!$&'()*+,-._~:@|{}\"<>^`[]\\"));
}

TEST_CASE("H29 a major version other than 1 is rejected with 505", "[handshake][H29]") {
  for (const std::string_view version : {"HTTP/0.9", "HTTP/2.0", "HTTP/3.1", "HTTP/9.9", "HTTP/0.0"})
    check_rejected(changed(good_request, "HTTP/1.1", version), ws::error::http_major_unsupported, 505);
  // The preface of HTTP/2 fails at its target.
  check_rejected("<!>PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ws::error::target_invalid, 400);
}

TEST_CASE("H30 a doubled Origin is rejected", "[handshake][H30]") {
  check_rejected(added(good_request, "Origin: http://a\r\nOrigin: http://a\r\n"), ws::error::origin_doubled, 400);
  check_rejected(added(good_request, "Origin: http://a\r\norigin:\r\n"), ws::error::origin_doubled, 400);
  constexpr std::string_view allowed[] = {"http://a"};
  check_rejected(added(good_request, "Origin: http://a\r\nOrigin: http://evil\r\n"), ws::error::origin_doubled, 400,
                 {.allowed_origins = allowed});
}

namespace {

/// A way to break the good request, in the order in which rules are reported (H31).
struct breakage {
  std::string_view from, to;
  ws::error why;
  unsigned status;
};
constexpr breakage order[] = {
    {" HTTP/1.1", " HTTP/2.1", ws::error::http_major_unsupported, 505},
    {"GET ", "PUT ", ws::error::method_not_get, 405},
    {"Host: h\r\n", "", ws::error::host_missing, 400},
    {"X-Body: 5", "Content-Length: 5", ws::error::request_has_body, 400},
    {"websocket", "h2c", ws::error::upgrade_without_websocket, 426},
    {"Connection: Upgrade", "Connection: close", ws::error::connection_without_upgrade, 400},
    {"Version: 13", "Version: 12", ws::error::version_unsupported, 426},
    {"Q==", "Q=", ws::error::key_invalid, 400},
    {"Extensions: a", "Extensions: a;", ws::error::extensions_malformed, 400},
    {"Protocol: a, b", "Protocol: b, b", ws::error::subprotocol_doubled, 400},
    {"X-Origin: a", "Origin: b", ws::error::origin_doubled, 400},
};
constexpr std::string_view breakable =
    "GET / HTTP/1.1\r\n"
    "Origin: a\r\n"
    "X-Origin: a\r\n"
    "Sec-WebSocket-Protocol: a, b\r\n"
    "Sec-WebSocket-Extensions: a\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "X-Body: 5\r\n"
    "Host: h\r\n"
    "\r\n";

}  // namespace

TEST_CASE("H31 of two broken rules the first in the order is reported", "[handshake][H31]") {
  check_accepted(breakable);
  for (const breakage& first : order) {
    const std::string broken = changed(breakable, first.from, first.to);
    check_rejected(broken, first.why, first.status);
    for (const breakage* second = &first + 1; second != std::end(order); ++second) {
      const std::string twice = changed(broken, second->from, second->to);
      CHECK(run({.input = twice}).why == first.why);
      CHECK(run({.input = twice}, wire::through::session).why == first.why);
      for (std::size_t cut = 1; cut < twice.size(); ++cut)
        CHECK(handshake::run({.input = twice}, wire::through::connection, {cut}).why == first.why);
    }
  }
  // All broken at once, and mended one after another in order.
  std::string request{breakable};
  for (const breakage& b : order) request = changed(request, b.from, b.to);
  for (const breakage& b : order) {
    check_rejected(request, b.why, b.status);
    request = b.to.empty() ? added(request, b.from) : changed(request, b.to, b.from);
  }
  check_accepted(request);
}

TEST_CASE("H31 grammar and limits come before all that", "[handshake][H31]") {
  std::string broken{breakable};
  for (const breakage& b : order) broken = changed(broken, b.from, b.to);
  check_rejected(added(broken, "<!>bad name: x\r\n"), ws::error::field_name_invalid, 400);
  check_rejected(added(broken, "X: a<!>\x01\r\n"), ws::error::field_value_invalid, 400);
  check_rejected(added(broken, "X: a<!>\n"), ws::error::bare_line_feed, 400);
  check_rejected(added(broken, "<!> X: a\r\n"), ws::error::line_folding, 400);
  check_rejected("<!>" + changed(broken, "PUT / ", "PUT x "), ws::error::target_invalid, 400);
  check_rejected(std::string{broken}.insert(broken.size() - 1, "<!>"), ws::error::head_too_large, 431,
                 {.head = {.max_head = static_cast<std::uint32_t>(broken.size() - 1)}});
  // Of two breaches of the grammar the one that comes first in the bytes.
  check_rejected(added(good_request, "X: a<!>\x01\r\nbad name: x\r\n"), ws::error::field_value_invalid, 400);
  check_rejected(added(good_request, "<!>bad name: x\r\nX: a\x01\r\n"), ws::error::field_name_invalid, 400);
}

TEST_CASE("H31 within a rule: missing, doubled, wrong; a refused origin comes last", "[handshake][H31][H34]") {
  constexpr std::string_view allowed[] = {"http://good"};
  const ws::options options{.allowed_origins = allowed};
  const std::string request = added(breakable, "Z: z\r\n");
  check_rejected(request, ws::error::origin_refused, 403, options);
  for (const breakage& b : order) check_rejected(changed(request, b.from, b.to), b.why, b.status, options);
  check_rejected(added(good_request, "Host: a b\r\n"), ws::error::host_doubled, 400);
  check_rejected(changed(good_request, "Version: 13", "Version: 12\r\nSec-WebSocket-Version: 12"), ws::error::version_doubled, 400);
  check_rejected(changed(good_request, "Key: ", "Key: x\r\nSec-WebSocket-Key: "), ws::error::key_doubled, 400);
}

TEST_CASE("H32 a list field without a member is rejected", "[handshake][H32]") {
  for (const std::string_view value : {"", " ", ",", " , ,\t,"})
    for (const std::string_view name : {"Sec-WebSocket-Protocol:", "Sec-WebSocket-Extensions:", "sec-websocket-protocol:"})
      check_rejected(added(good_request, std::string{name} + std::string{value} + "\r\n"), ws::error::list_empty, 400);
  check_rejected(added(good_request, "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: ,\r\n"), ws::error::list_empty, 400);
  check_accepted(added(good_request, "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: a\r\n"));
}

TEST_CASE("H34 the origin is available, and an allow list refuses others with 403", "[handshake][H34]") {
  const auto from = [](std::string_view origin) { return added(good_request, "Origin: " + std::string{origin} + "\r\n"); };
  // Without a list everyone may come.
  for (const std::string_view origin : {"http://a", "null", "https://evil.example", "", "not an origin"})
    CHECK(ws::request_view{check_accepted(from(origin)).head}.origin() == origin);
  CHECK(ws::request_view{check_accepted(good_request).head}.origin().data() == nullptr);

  constexpr std::string_view allowed[] = {"https://example.com", "http://localhost:8080", "http://plain:80", "https://[::1]"};
  const ws::options options{.allowed_origins = allowed};
  for (const std::string_view origin : {"https://example.com", "https://example.com:443", "HTTPS://EXAMPLE.com", "http://localhost:8080",
                                        "http://plain", "http://plain:80", "https://[::1]:443"})
    check_accepted(from(origin), options);
  for (const std::string_view origin :
       {"http://example.com", "https://example.com:80", "https://example.com:8443", "https://example.co", "https://example.com.evil",
        "https://evilexample.com", "https://evil.example.com", "https://example.com/", "https://example.com, https://evil", "wss://example.com",
        "example.com", "https://", "//example.com", "http://localhost", "http://localhost:80801", "https://localhost:8080", "http://plain:443",
        "https://plain", "ws://localhost", "ws://localhost:80", "wss://localhost:443", "ftp://localhost", "://localhost", "null", "NULL", "", "*", "https://example.com:443:443", "https://user@example.com", "https://[::1]:80"})
    check_rejected(from(origin), ws::error::origin_refused, 403, options);

  // The schemes of WebSocket have default ports too; of others none is known.
  constexpr std::string_view others[] = {"ws://a:80", "wss://a", "ftp://a:21"};
  for (const std::string_view origin : {"ws://a", "ws://a:80", "wss://a:443", "WSS://a", "ftp://a:21"}) check_accepted(from(origin), {.allowed_origins = others});
  for (const std::string_view origin : {"ws://a:443", "wss://a:80", "ftp://a", "ftp://a:80"})
    check_rejected(from(origin), ws::error::origin_refused, 403, {.allowed_origins = others});

  // `null` and absent are choices of their own.
  ws::options choices{.allowed_origins = allowed, .allow_null_origin = true, .allow_absent_origin = false};
  check_accepted(from("null"), choices);
  check_rejected(from("Null"), ws::error::origin_refused, 403, choices);
  check_rejected(good_request, ws::error::origin_refused, 403, choices);
  choices = {.allowed_origins = allowed, .allow_null_origin = false, .allow_absent_origin = true};
  check_accepted(good_request, choices);
  check_rejected(from("null"), ws::error::origin_refused, 403, choices);
  check_rejected(from(""), ws::error::origin_refused, 403, choices);
}

TEST_CASE("H35 the caller answers itself, then the codec is finished", "[handshake][H35]") {
  constexpr ws::field extra[] = {{"Location", "/other"}, {"X-A", ""}, {"Set-Cookie", "a=b; c\td"}};
  struct row {
    std::uint16_t status;
    std::string_view body, sent;
  };
  for (const row& r : {
           row{200, "hi", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n"},
           row{301, "", "HTTP/1.1 301 Moved Permanently\r\nConnection: close\r\nContent-Length: 0\r\n"},
           row{404, "no", "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 2\r\n"},
           row{299, "", "HTTP/1.1 299 \r\nConnection: close\r\nContent-Length: 0\r\n"},
           row{599, "x", "HTTP/1.1 599 \r\nConnection: close\r\nContent-Length: 1\r\n"},
           row{426, "a", "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
                         "Sec-WebSocket-Version: 13\r\nContent-Length: 1\r\n"},
           // RFC 9110 8.6, 15.3.5, 15.4.5: these have no body, and 204 no Content-Length.
           row{204, "", "HTTP/1.1 204 No Content\r\nConnection: close\r\n"},
           row{304, "", "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n"},
       }) {
    const outcome o = check({.input = std::string{good_request} + "whatever follows",
                             .decide = {.respond = true, .response = {.status = r.status, .fields = extra, .body = r.body}}});
    INFO(describe(o));
    CHECK(o.events == "request ");
    CHECK(o.called == ws::error::none);
    CHECK(o.why == ws::error::refused_by_caller);
    CHECK(o.state == ws::close_state::failed);
    CHECK(o.wants == ws::transport::half_close);
    CHECK(o.sent == std::string{r.sent} + "Location: /other\r\nX-A: \r\nSet-Cookie: a=b; c\td\r\n\r\n" + std::string{r.body});
  }
  for (const std::uint16_t status : std::initializer_list<std::uint16_t>{0, 1, 100, 101, 199, 600, 999, 65535}) {
    const outcome o = check({.input = std::string{good_request}, .decide = {.respond = true, .response = {.status = status}}});
    CHECK(o.called == ws::error::status_refused);
    CHECK(o.sent == "");
    CHECK(o.why == ws::error::none);
  }
}

TEST_CASE("H35 statuses have the reason phrases that are registered, others none", "[handshake][H35]") {
  // RFC 9110 15, RFC 6585.
  const std::pair<unsigned, std::string_view> rows[] = {
      {200, "OK"}, {204, "No Content"}, {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"}, {304, "Not Modified"},
      {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"},
      {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {414, "URI Too Long"}, {426, "Upgrade Required"},
      {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"}, {503, "Service Unavailable"},
      {505, "HTTP Version Not Supported"}, {299, ""}, {418, ""}, {599, ""}};
  for (const auto& [status, phrase] : rows) {
    const outcome o = run({.input = std::string{good_request}, .decide = {.respond = true, .response = {.status = static_cast<std::uint16_t>(status)}}});
    CHECK(o.sent.substr(0, o.sent.find('\r')) == "HTTP/1.1 " + std::to_string(status) + " " + std::string{phrase});
  }
}

TEST_CASE("H35 the answer to HEAD has no body but says how long it were", "[handshake][H35]") {
  ws::options options;
  options.pass_plain_requests = true;
  const outcome o = check({.input = "HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n",
                           .options = options,
                           .decide = {.respond = true, .response = {.status = 200, .body = "page"}}});
  INFO(describe(o));
  CHECK(o.sent == "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n");
}

TEST_CASE("H35 a request is answered once", "[handshake][H35]") {
  const ws::options options;
  char memory[1024];
  ws::output out{memory};
  for (const bool first_accept : {true, false}) {
    char scratch[ws::min_scratch];
    ws::connection conn{ws::role::server, options, scratch};
    CHECK(conn.accept(out) == ws::error::no_request);
    CHECK(conn.respond(out, {}) == ws::error::no_request);
    CHECK(out.size() == 0);
    std::string input{good_request};
    std::span<char> rest{input};
    REQUIRE(conn.next(rest).type == ws::event_type::request);
    CHECK((first_accept ? conn.accept(out) : conn.respond(out, {})) == ws::error::none);
    const std::size_t size = out.size();
    CHECK(conn.accept(out) == ws::error::no_request);
    CHECK(conn.respond(out, {}) == ws::error::no_request);
    CHECK(out.size() == size);
    out.rewind(0);
  }
}

namespace {

constexpr ws::field refused_fields[] = {
    {"X", "a\rb"}, {"X", "a\nb"}, {"X", "a\r\nSet-Cookie: b"}, {"X", {"a\0b", 3}}, {"X", "\x7F"}, {"X", "\x1B"},
    {"", "a"}, {"X Y", "a"}, {"X:", "a"}, {"X\r\nY", "a"}, {"X\xC3\xA9", "a"}, {" X", "a"}, {"X\t", "a"},
    {"Connection", "a"}, {"UPGRADE", "a"}, {"host", "a"}, {"Content-Length", "0"}, {"content-length", "a"},
    {"Transfer-Encoding", "chunked"}, {"Sec-WebSocket-Accept", "a"}, {"sec-websocket-key", "a"},
    {"SEC-WEBSOCKET-PROTOCOL", "a"}, {"Sec-WebSocket-Extensions", "a"}, {"Sec-WebSocket-Version", "13"},
    {"Sec-WebSocket-Anything", "a"},
};

}  // namespace

TEST_CASE("H36 a field that may not be written is refused, and nothing is written", "[handshake][H36]") {
  for (const ws::field& bad : refused_fields) {
    INFO(wire::show(bad.name) << ": " << wire::show(bad.value));
    const ws::field list[] = {{"X-Good", "a"}, bad, {"X-Also", "b"}};
    for (const bool respond : {false, true}) {
      const decision decide{.respond = respond, .acceptance = {.fields = list}, .response = {.fields = list}};
      for (const wire::through way : wire::all_ways) {
        const outcome o = run({.input = std::string{good_request}, .decide = decide}, way);
        CHECK(o.called == ws::error::field_refused);
        CHECK(o.sent == "");
        CHECK(o.why == ws::error::none);
        CHECK_FALSE(o.open);
      }
    }
    const outcome o = run({.self = ws::role::client, .request = {.host = "h", .fields = list}});
    CHECK(o.called == ws::error::field_refused);
    CHECK(o.sent == "");
  }
  constexpr ws::field good[] = {{"X-A", " a\tb\x80\xFF "}, {"Sec-WebSocke", "a"}, {"Set-Cookie", "a=b"}, {"Sec-Fetch-Mode", "websocket"}};
  CHECK(check_accepted(good_request, {}, {.acceptance = {.fields = good}}).sent.ends_with(
      "\r\nX-A:  a\tb\x80\xFF \r\nSec-WebSocke: a\r\nSet-Cookie: a=b\r\nSec-Fetch-Mode: websocket\r\n\r\n"));
}

TEST_CASE("H36 after a local mistake, or without room, the request can still be answered", "[handshake][H36]") {
  const ws::options options;
  char scratch[ws::min_scratch];
  ws::connection conn{ws::role::server, options, scratch};
  std::string input{good_request};
  std::span<char> rest{input};
  REQUIRE(conn.next(rest).type == ws::event_type::request);
  constexpr ws::field bad[] = {{"X", "\n"}};
  char memory[512];
  ws::output full{std::span{memory}.first(3)};
  CHECK(conn.accept(full, {.fields = bad}) == ws::error::field_refused);  // a mistake outweighs a shortage
  for (std::size_t room = 0; room < good_response.size(); ++room) {
    ws::output out{std::span{memory}.first(room)};
    CHECK(conn.accept(out) == ws::error::output_full);
    CHECK(out.size() == 0);
    CHECK(conn.respond(out, {.status = 418, .body = "I am a teapot, short and stout, and no WebSocket server: ask the kettle over there, it has more patience."}) ==
          ws::error::output_full);
    CHECK(out.size() == 0);
  }
  ws::output out{std::span{memory}.first(good_response.size())};
  CHECK(conn.accept(out, {.subprotocol = "a"}) == ws::error::subprotocol_not_offered);
  CHECK(conn.respond(out, {.status = 101}) == ws::error::status_refused);
  CHECK(conn.accept(out) == ws::error::none);
  CHECK(out.written() == good_response);
}

TEST_CASE("A rejection is written whole or not at all", "[handshake][H36]") {
  const ws::options options;
  char scratch[ws::min_scratch];
  ws::connection conn{ws::role::server, options, scratch};
  std::string input = "GET / HTTP/1.0\r\n\r\n";
  std::span<char> rest{input};
  REQUIRE(conn.next(rest).why() == ws::error::http_too_old);
  char memory[1024];
  std::size_t room = 0;
  for (;; ++room) {
    CHECK(conn.wants() == ws::transport::flush);
    ws::output out{std::span{memory}.first(room)};
    const ws::error e = conn.write_owed(out);
    if (e == ws::error::none) break;
    REQUIRE(e == ws::error::output_full);
    REQUIRE(out.size() == 0);
  }
  CHECK(std::string_view{memory, room}.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(conn.wants() == ws::transport::half_close);
  ws::output out{memory};
  CHECK(conn.write_owed(out) == ws::error::none);
  CHECK(out.size() == 0);
}

TEST_CASE("A request that ends too early is a lost connection", "[handshake][H20]") {
  for (std::size_t n = 0; n < good_request.size(); ++n) {
    const outcome o = run({.input = std::string{good_request.substr(0, n)}, .eof = true});
    CHECK(o.events == "failed ");
    CHECK(o.why == ws::error::connection_lost);
    CHECK(o.sent == "");
    CHECK(o.wants == ws::transport::drop);
  }
}
