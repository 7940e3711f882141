#include <wscodec/uri.hpp>

#include <string>
#include <string_view>

#include "catch.hpp"
#include "guarded.hpp"

namespace ws = wscodec;
using namespace std::string_view_literals;

namespace {

constexpr ws::error fault(std::string_view text) { return ws::parse_uri(text).why; }

constexpr bool parts_are(std::string_view text, bool secure, std::string_view host, unsigned port,
                         std::string_view target) {
  const auto [parts, why] = ws::parse_uri(text);
  return why == ws::error::none && parts.secure == secure && parts.host == host && parts.port == port &&
         parts.target == target;
}

template <class Write>
std::string written(Write write) {
  char memory[256];
  ws::output whole{memory};
  REQUIRE(write(whole));
  // Whole or not at all: with every byte less there is nothing.
  for (std::size_t room = 0; room < whole.size(); ++room) {
    char small[256];
    ws::output out{std::span{small}.first(room + 2)};
    REQUIRE(out.put("xy"));
    CHECK_FALSE(write(out));
    CHECK(out.written() == "xy");
  }
  return std::string{whole.written()};
}

std::string host_of(std::string_view text) {
  const ws::uri_result result = ws::parse_uri(text);
  REQUIRE(result.why == ws::error::none);
  return written([&](ws::output& out) { return ws::write_host(out, result.value); });
}

std::string target_of(std::string_view text) {
  const ws::uri_result result = ws::parse_uri(text);
  REQUIRE(result.why == ws::error::none);
  return written([&](ws::output& out) { return ws::write_target(out, result.value); });
}

std::string credentials_of(std::string_view text) {
  const ws::uri_result result = ws::parse_uri(text);
  REQUIRE(result.why == ws::error::none);
  return written([&](ws::output& out) { return ws::write_basic_credentials(out, result.value.userinfo); });
}

}  // namespace

static_assert(parts_are("ws://example.com/chat", false, "example.com", 80, "/chat"));
static_assert(parts_are("wss://example.com:8443/a/b?c=d&e", true, "example.com", 8443, "/a/b?c=d&e"));
static_assert(parts_are("ws://h", false, "h", 80, "/"));
static_assert(ws::is_valid_authority("server.example.com"));
static_assert(ws::uri{}.port == 80 && !ws::uri{}.secure && !ws::uri{}.ipv6 && ws::uri{}.target == "/");

TEST_CASE("C11 the schemes, in any letter case", "[uri][C11]") {
  CHECK(parts_are("ws://h/", false, "h", 80, "/"));
  CHECK(parts_are("WSS://h/", true, "h", 443, "/"));
  CHECK(parts_are("http://h/", false, "h", 80, "/"));
  CHECK(parts_are("HttpS://h/", true, "h", 443, "/"));
  for (const std::string_view text : {""sv, "h"sv, "//h/"sv, "ftp://h/"sv, "wsx://h/"sv, "w://h/"sv, "ws"sv,
                                      " ws://h/"sv, "xs://h/"sv, "xttps://h/"sv, "ws://h/"sv.substr(0, 2), "httpss://h/"sv, "\x17\x13://h/"sv, "ws+unix://h/"sv, "://h/"sv})
    CHECK(fault(text) == ws::error::uri_scheme);
}

TEST_CASE("C11 path and query", "[uri][C11]") {
  CHECK(parts_are("ws://h:81", false, "h", 81, "/"));
  CHECK(parts_are("ws://h?a=b", false, "h", 80, "?a=b"));
  CHECK(target_of("ws://h?a=b") == "/?a=b");
  CHECK(target_of("ws://h") == "/");
  CHECK(target_of("ws://h/?") == "/?");
  CHECK(target_of("ws://h//x/../y?z=/?&%20") == "//x/../y?z=/?&%20");
  CHECK(target_of("ws://h/@:[]") == "/@:[]");
  std::string all;
  for (char c = '!'; c <= '~'; ++c)
    if (c != '#') all += c;
  CHECK(target_of("ws://h/" + all) == "/" + all);
  for (const std::string_view text : {"ws://h/a b"sv, "ws://h/\xc3\xa9"sv, "ws://h/a\tb"sv, "ws://h/a\r\nX: y"sv,
                                      "ws://h/\0"sv, "ws://h/?\x7f"sv, "ws://h? "sv, "ws://h/ "sv})
    CHECK(fault(text) == ws::error::uri_target);
}

TEST_CASE("C11 a fragment is an error", "[uri][C11]") {
  CHECK(fault("ws://h/#") == ws::error::uri_fragment);
  CHECK(fault("ws://h#top") == ws::error::uri_fragment);
  CHECK(fault("ws://h/a?b#c") == ws::error::uri_fragment);
  CHECK(target_of("ws://h/a%23b") == "/a%23b");
}

TEST_CASE("C11 the host", "[uri][C11]") {
  CHECK(parts_are("ws://127.0.0.1/", false, "127.0.0.1", 80, "/"));
  CHECK(parts_are("ws://a-b_c~d.%41/", false, "a-b_c~d.%41", 80, "/"));
  for (const std::string_view text : {"ws:"sv,
                                      "ws:/"sv,
                                      "ws:h/"sv,
                                      "ws:/h/"sv,
                                      "ws://"sv,
                                      "ws:///"sv,
                                      "ws://:80/"sv,
                                      "ws://b\xc3\xbc"
                                      "cher/"sv,
                                      "ws://a b/"sv,
                                      "ws://a\r\nb/"sv,
                                      "ws://a\0/"sv,
                                      "ws://h%/"sv,
                                      "ws://h%4/"sv,
                                      "ws://h%zz/"sv,
                                      "ws://h%4g/"sv,
                                      "ws://a\\b/"sv,
                                      "ws://a<b/"sv,
                                      "ws://[::1/"sv,
                                      "ws://::1/"sv,
                                      "ws://[::1]x/"sv,
                                      "ws://[]/"sv,
                                      "ws://h]/"sv,
                                      "ws://[h]/"sv,
                                      "ws://u@/"sv})
    CHECK(fault(text) == ws::error::uri_host);
}

TEST_CASE("C11 which bytes a host is made of", "[uri][C11]") {
  // RFC 3986 2.2, 2.3: unreserved and sub-delims.
  constexpr std::string_view good =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=";
  for (int c = 0; c < 256; ++c) {
    INFO(c);
    CHECK(ws::is_valid_authority(std::string(1, static_cast<char>(c))) == (good.find(static_cast<char>(c)) != std::string_view::npos));
  }
  for (const std::string_view text : {"%00"sv, "%41"sv, "a%20"sv, "%0a%A0"sv, "%fF:80"sv}) CHECK(ws::is_valid_authority(text));
  // A view that ends within a percent-encoding, whatever comes behind it.
  for (const std::string_view text : {"h%41"sv.substr(0, 3), "h%41"sv.substr(0, 2), "h%g1"sv, "h%1g"sv, "h%20<"sv, "%<"sv, "%%41"sv, "%1%41"sv})
    CHECK_FALSE(ws::is_valid_authority(text));
}

TEST_CASE("C11 nothing is read beyond the end", "[uri][C11]") {
  guarded memory;
  const auto exact = [&](std::string_view text) { return std::string_view{memory.last(text.size()), text.copy(memory.last(text.size()), text.size())}; };
  for (const std::string_view whole : {"wss://u%41:p@h%41:80/x?y"sv, "https://[1:2:3:4:5:6:100.2.3.4]:80"sv, "ws://[::ffff]"sv, "ws://100.2.3.4"sv})
    for (std::size_t n = 0; n <= whole.size(); ++n) {
      (void)ws::parse_uri(exact(whole.substr(0, n)));
      (void)ws::is_valid_authority(exact(whole.substr(0, n)));
      (void)ws::detail::is_ipv6(exact(whole.substr(whole.size() - n)));
      (void)ws::detail::is_ipv4(exact(whole.substr(whole.size() - n)));
    }
  for (const std::string_view text : {":"sv, "::"sv, "1"sv, "::1.2.3"sv, "::1.2.3.4"sv}) CHECK(ws::detail::is_ipv6(exact(text)) == (text == "::" || text == "::1.2.3.4"));
  char credentials[64];
  for (const std::string_view text : {"u"sv, "u:"sv, "u:p"sv, "%41"sv}) {
    ws::output out{credentials};
    CHECK(ws::write_basic_credentials(out, exact(text)));
  }
}

TEST_CASE("C11 the port", "[uri][C11]") {
  CHECK(parts_are("ws://h:0/", false, "h", 0, "/"));
  CHECK(parts_are("ws://h:65535/", false, "h", 65535, "/"));
  CHECK(parts_are("ws://h:00080/", false, "h", 80, "/"));
  CHECK(parts_are("wss://h:/", true, "h", 443, "/"));
  for (const std::string_view text :
       {"ws://h:65536/"sv, "ws://h:-1/"sv, "ws://h:+1/"sv, "ws://h:8o/"sv, "ws://h:80:80/"sv, "ws://h: 80/"sv,
        "ws://h:99999999999999999999/"sv, "ws://[::1]:x/"sv})
    CHECK(fault(text) == ws::error::uri_port);
}

TEST_CASE("C11 IPv6 addresses stand in brackets", "[uri][C11]") {
  for (const std::string_view good :
       {"::"sv, "::1"sv, "1::"sv, "2001:db8::8a2e:370:7334"sv, "1:2:3:4:5:6:7:8"sv, "1:2:3:4:5:6:7::"sv,
        "::2:3:4:5:6:7:8"sv, "1::3:4:5:6:7:8"sv, "::ffff:192.0.2.128"sv, "1:2:3:4:5:6:1.2.3.4"sv, "::255.255.255.255"sv,
        "ABCD:ef01::"sv, "1:2:3:4:5::1.2.3.4"sv}) {
    INFO(good);
    const std::string text = "ws://[" + std::string{good} + "]:90/x";
    CHECK(parts_are(text, false, good, 90, "/x"));
    CHECK(ws::parse_uri(text).value.ipv6);
    CHECK(ws::is_valid_authority("[" + std::string{good} + "]"));
  }
  for (const std::string_view bad : {""sv,
                                     ":"sv,
                                     ":::"sv,
                                     "1:2:3:4:5:6:7"sv,
                                     "1:2:3:4:5:6:7:8:9"sv,
                                     "1::2::3"sv,
                                     "::12345"sv,
                                     ":1::"sv,
                                     ":12"sv,
                                     ":1:2:3:4:5:6:7:8"sv,
                                     "1::2:"sv,
                                     "1:2:3:4:5:6:7:"sv,
                                     "1:2:3:4::5:6:7:8"sv,
                                     "::1.2.3"sv,
                                     "::1.2.3.4.5"sv,
                                     "::256.0.0.1"sv,
                                     "::01.2.3.4"sv,
                                     "1.2.3.4"sv,
                                     "::1.2.3.4:1"sv,
                                     "1:2:3:4:5:6:7:1.2.3.4"sv,
                                     "g::"sv,
                                     "fe80::1%25eth0"sv,
                                     "fe80::1%eth0"sv,
                                     "v1.x"sv,
                                     "::1 "sv,
                                     "::1.2.3."sv,
                                     "::1."sv,
                                     "::1921.6.8.0"sv,
                                     "::1.2:3.4"sv}) {
    INFO(bad);
    CHECK(fault("ws://[" + std::string{bad} + "]/") == ws::error::uri_host);
    CHECK_FALSE(ws::is_valid_authority("[" + std::string{bad} + "]"));
  }
  CHECK_FALSE(ws::parse_uri("ws://h/").value.ipv6);
}

TEST_CASE("C10 the Host field leaves the default port out and has IPv6 in brackets", "[uri][C10]") {
  CHECK(host_of("ws://example.com/") == "example.com");
  CHECK(host_of("ws://example.com:80/") == "example.com");
  CHECK(host_of("wss://example.com:443/") == "example.com");
  CHECK(host_of("ws://example.com:443/") == "example.com:443");
  CHECK(host_of("wss://example.com:80/") == "example.com:80");
  CHECK(host_of("ws://example.com:8080/") == "example.com:8080");
  CHECK(host_of("ws://example.com:65535/") == "example.com:65535");
  CHECK(host_of("ws://example.com:0/") == "example.com:0");
  for (const std::string port : {"1", "9", "10", "99", "100", "999", "1000", "9999", "10000", "12345"})
    CHECK(host_of("ws://h:" + port) == "h:" + port);
  CHECK(host_of("ws://[::1]/") == "[::1]");
  CHECK(host_of("ws://[::1]:9/") == "[::1]:9");
  CHECK(host_of("ws://user:secret@h/") == "h");
}

TEST_CASE("C11 userinfo becomes Basic credentials", "[uri][C11]") {
  // RFC 7617 2 and 2.1.
  CHECK(credentials_of("ws://Aladdin:open%20sesame@h/") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  CHECK(credentials_of("ws://test:123%C2%A3@h/") == "Basic dGVzdDoxMjPCow==");
  CHECK(credentials_of("ws://u:p@h/") == "Basic dTpw");
  CHECK(credentials_of("ws://u:a:b@h/") == "Basic dTphOmI=");
  CHECK(credentials_of("ws://u@h/") == "Basic dTo=");
  CHECK(credentials_of("ws://u:@h/") == "Basic dTo=");
  CHECK(credentials_of("ws://%75:%70@h/") == "Basic dTpw");
  CHECK(credentials_of("ws://:p@h/") == "Basic OnA=");
  CHECK(ws::parse_uri("ws://u:p@h/").value.userinfo == "u:p");
  CHECK(ws::parse_uri("ws://h/@").value.userinfo.empty());
  // Control characters and, in the name, a colon cannot be said in Basic credentials.
  for (const std::string_view text :
       {"ws://%00@h/"sv, "ws://a%1F@h/"sv, "ws://a:%1f@h/"sv, "ws://a%3Ab:c@h/"sv, "ws://a%3ab@h/"sv, "ws://a%00@h/"sv, "ws://a:%0d%0A@h/"sv, "ws://a:%7F@h/"sv,
        "ws://a%@h/"sv, "ws://a%1@h/"sv, "ws://a b@h/"sv, "ws://\xc3\xa9@h/"sv, "ws://a\r\n@h/"sv, "ws://[a]@h/"sv})
    CHECK(fault(text) == ws::error::uri_userinfo);
  CHECK(credentials_of("ws://a:b%3Ac@h/") == "Basic YTpiOmM=");
  CHECK(fault("ws://a@b@h/") == ws::error::uri_host);
  char memory[64];
  ws::output out{memory};
  CHECK_FALSE(ws::write_basic_credentials(out, "a%4"));
  CHECK(out.size() == 0);
}

TEST_CASE("H06 what may stand in a Host field", "[uri][H06]") {
  for (const std::string_view good :
       {"h"sv, "example.com"sv, "example.com:80"sv, "example.com:"sv, "192.0.2.1:8080"sv, "[::1]"sv, "[::1]:443"sv,
        "a_b"sv, "xn--bcher-kva.example"sv, "h:65535"sv, "a%20b"sv})
    CHECK(ws::is_valid_authority(good));
  for (const std::string_view bad : {""sv, ":80"sv, "h:65536"sv, "h:8a"sv, "a b"sv, "user@h"sv, "h/"sv, "http://h"sv,
                                     "h?"sv, "h#"sv, "::1"sv, "[::1"sv, "[::1]80"sv, "h\t"sv, "\xc3\xa9"sv, "a\\b"sv})
    CHECK_FALSE(ws::is_valid_authority(bad));
}
