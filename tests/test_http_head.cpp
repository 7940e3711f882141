// HTTP heads: the scanner, and what the views show. The rules as an endpoint applies them are in
// test_handshake_server.cpp and test_handshake_client.cpp.
#include <wscodec/http_head.hpp>

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "guarded.hpp"

namespace ws = wscodec;
using namespace std::string_literals;
using namespace std::string_view_literals;

namespace {

/// One call with everything.
constexpr ws::scanned_head scan(std::string_view text, ws::head_kind kind = ws::head_kind::request,
                                const ws::head_limits& limits = {}) {
  ws::head_progress progress;
  return ws::scan_head(text, progress, kind, limits);
}

/// A call for each byte more, as if they came one by one.
constexpr ws::scanned_head scan_slowly(std::string_view text, ws::head_kind kind = ws::head_kind::request,
                                       const ws::head_limits& limits = {}) {
  ws::head_progress progress;
  for (std::size_t n = 0; n <= text.size(); ++n)
    if (const ws::scanned_head found = ws::scan_head(text.substr(0, n), progress, kind, limits);
        found.size != 0 || found.why != ws::error::none)
      return found;
  return {};
}

constexpr bool same(const ws::scanned_head& a, const ws::scanned_head& b) {
  return a.size == b.size && a.why == b.why && a.offset == b.offset;
}

constexpr bool is_head(std::string_view text, std::size_t size, ws::head_kind kind = ws::head_kind::request) {
  const ws::scanned_head found = scan(text, kind);
  return found.size == size && found.why == ws::error::none && same(found, scan_slowly(text, kind));
}
constexpr bool is_bad(std::string_view text, ws::error why, std::size_t offset,
                      ws::head_kind kind = ws::head_kind::request) {
  const ws::scanned_head found = scan(text, kind);
  return found.size == 0 && found.why == why && found.offset == offset && same(found, scan_slowly(text, kind));
}

constexpr std::string_view head =
    "GET /a/b?c=d HTTP/1.1\r\n"
    "Host: example.com:81\r\n"
    "X-List: a, b\r\n"
    "Origin:\thttp://o \r\n"
    "x-list:,c,\r\n"
    "Empty:\r\n"
    "Sec-WebSocket-Protocol: p , q\r\n"
    "\r\n";

constexpr ws::request_view request{head};
constexpr ws::request_view absolute{"\r\nGET ws://other:81?q HTTP/1.1\r\nHost: h\r\n\r\n"};
constexpr ws::response_view response{"HTTP/1.1 302 Found it\r\nLocation: /x\r\nWWW-authenticate: Basic\r\n\r\n"};

constexpr bool list_is(ws::list_cursor list, std::initializer_list<std::string_view> members) {
  for (const std::string_view expected : members) {
    std::string_view member;
    if (!list.next(member) || member != expected) return false;
  }
  std::string_view more;
  return !list.next(more) && !list.next(more);
}

constexpr std::string_view token_bytes =
    "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

}  // namespace

static_assert(is_head(head, head.size()));
static_assert(is_head("GET / HTTP/1.1\r\n\r\n", 18));
static_assert(is_head("GET / HTTP/1.1\r\n\r\nmore\x01", 18));
static_assert(is_head("\r\nGET / HTTP/1.1\r\n\r\n", 20));
static_assert(is_head("GET / HTTP/1.1\r\nA:\x80\xFF\tb\r\n\r\n", 26));
static_assert(is_head("HTTP/1.1 200\r\n\r\n", 16, ws::head_kind::response));
static_assert(is_head("HTTP/1.1 200 \r\n\r\n", 17, ws::head_kind::response));
static_assert(is_head("GET / HTTP/1.1\r\n", 0) && is_head("", 0));

static_assert(is_bad("GET / HTTP/1.1\n", ws::error::bare_line_feed, 14));
static_assert(is_bad("GET / HTTP/1.1\r\r\n", ws::error::bare_carriage_return, 14));
static_assert(is_bad("GET / HTTP/1.1\r\n a\r\n", ws::error::line_folding, 16));
static_assert(is_bad("GET / HTTP/1.1\r\nA b: c\r\n", ws::error::field_name_invalid, 16));
static_assert(is_bad("GET / HTTP/1.1\r\nA: b\0c\r\n"sv, ws::error::field_value_invalid, 20));
static_assert(is_bad("GET / HTTP/1.1\r\n: b\r\n", ws::error::field_name_invalid, 16));
static_assert(is_bad("GET / HTTP/1.1\r\n::b\r\n", ws::error::field_name_invalid, 16));
static_assert(is_bad("GET / HTTP/1.1\r\nabc\r\n", ws::error::field_name_invalid, 16));
static_assert(is_bad("GET / HTTP/1.:\r\n", ws::error::request_line_invalid, 0));
static_assert(is_bad("GET / HTTP/1./\r\n", ws::error::request_line_invalid, 0));
static_assert(is_bad("GET / HTTP/:.1\r\n", ws::error::request_line_invalid, 0));
static_assert(is_bad("GET / HTTP//.1\r\n", ws::error::request_line_invalid, 0));
static_assert(is_bad("GET / HTTP/1,1\r\n", ws::error::request_line_invalid, 0));
static_assert(is_bad("\r\n\r\n", ws::error::request_line_invalid, 2));
static_assert(is_bad("\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1 20\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1 20x\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1 2:0\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1 /00\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/x.1 200\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1x200\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1 2000\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1 020\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1\t200\r\n", ws::error::status_line_invalid, 0, ws::head_kind::response));
static_assert(is_bad("HTTP/1.1 200\x01", ws::error::status_line_invalid, 12, ws::head_kind::response));

static_assert(request.method() == "GET" && request.target() == "/a/b?c=d");
static_assert(request.path() == "/a/b" && request.query() == "c=d");
static_assert(request.authority() == "example.com:81" && request.origin() == "http://o");
static_assert(request.start_line() == "GET /a/b?c=d HTTP/1.1" && request.text() == head);
static_assert(request.field("HOST") == "example.com:81", "H27");
static_assert(request.field("empty").empty() && request.field("empty").data() != nullptr);
static_assert(request.field("Hos").data() == nullptr && request.field("").data() == nullptr);
static_assert(list_is(request.list("X-List"), {"a", "b", "c"}), "H11, H12");
static_assert(list_is(request.subprotocols(), {"p", "q"}));
static_assert(list_is(request.list("Empty"), {}) && list_is(request.list("None"), {}));
static_assert(absolute.authority() == "other:81" && absolute.path() == "/" && absolute.query() == "q", "H21, H28");

static_assert(response.status() == 302 && response.reason() == "Found it");
static_assert(response.location() == "/x" && response.www_authenticate() == "Basic", "C08");
static_assert(ws::response_view{"HTTP/1.1 418\r\n\r\n"}.status() == 418 && ws::response_view{"HTTP/1.1 593 x\r\n\r\n"}.status() == 593);
static_assert(ws::response_view{"HTTP/1.1 40\r\n\r\n"}.status() == 0 && ws::response_view{"HTTP/1.1 40x\r\n\r\n"}.reason().empty());
static_assert(ws::response_view{"HTTP/1.1 401 x\r\n\r\n"}.reason() == "x", "C05");
static_assert(ws::response_view{"HTTP/1.1 401\r\n\r\n"}.reason().empty(), "C05");
static_assert(ws::response_view{"HTTP/1.1 401 \r\n\r\n"}.reason().empty(), "C05");

static_assert(ws::detail::trim_ows(" \t a b\t ") == "a b" && ws::detail::trim_ows("\t \t").empty());
static_assert(ws::detail::same_name("aZ-1", "Az-1") && !ws::detail::same_name("a", "ab"));

TEST_CASE("H24 a token is made of the bytes of RFC 9110 5.6.2", "[http_head][H24]") {
  for (int u = 0; u < 256; ++u) {
    const char c = static_cast<char>(static_cast<unsigned char>(u));
    INFO(u);
    CHECK(ws::detail::is_token_byte(c) == (token_bytes.find(c) != token_bytes.npos));
    CHECK(ws::detail::is_control_byte(c) == ((u < 0x20 && u != 0x09) || u == 0x7F));
  }
  CHECK(ws::detail::is_token(token_bytes));
  CHECK_FALSE(ws::detail::is_token(""));
  CHECK_FALSE(ws::detail::is_token("a b"));
}

TEST_CASE("H25 a control byte is found at every place and every alignment", "[http_head][H25]") {
  std::vector<char> bytes(80);
  for (std::size_t begin = 0; begin < 16; ++begin)
    for (std::size_t n = 0; n <= 50; ++n)
      for (std::size_t at = 0; at <= n; ++at)
        for (const char c : {'\0', '\n', '\r', '\x1F', '\x7F', '\t', ' ', '\x80', '\xFF'}) {
          // Harmless bytes around it, control bytes outside the range.
          bytes.assign(bytes.size(), '\x01');
          for (std::size_t i = 0; i < n; ++i) bytes[begin + i] = "\x80\t~"[i % 3];
          if (at < n) bytes[begin + at] = c;
          const std::size_t expected = ws::detail::is_control_byte(c) ? at : n;
          if (ws::detail::find_control_byte(bytes.data() + begin, n) == expected) continue;
          CAPTURE(begin, n, at, static_cast<int>(c));
          REQUIRE(ws::detail::find_control_byte(bytes.data() + begin, n) == expected);
        }
}

TEST_CASE("H24 a name ends at the same byte at every length", "[http_head][H24]") {
  guarded memory;
  // Downwards, so that a longer name's bytes are what was looked at before.
  for (std::size_t n = 40; n > 0; --n)
    for (const char in : {'a', 'z', 'A', 'Z', '0', '9', '-', '~'})
      for (const char behind : {':', '{', '@', '[', '/', ' ', '\x80', '\0'}) {
        char* const p = memory.last(n);
        std::memset(p, in, n);
        CHECK(ws::detail::name_end({p, n}) == n);
        for (std::size_t at = n; at-- > 0;) {
          p[at] = behind;
          if (ws::detail::name_end({p, n}) != at) FAIL(n << " bytes, ends at " << at);
          p[at] = in;
        }
      }
}

TEST_CASE("H25 nothing is read beyond the end", "[http_head][H25]") {
  guarded memory;
  for (std::size_t n = 0; n <= 50; ++n) {
    std::memset(memory.last(n), 'x', n);
    CHECK(ws::detail::find_control_byte(memory.last(n), n) == n);
  }
  // Heads, and what is none, cut anywhere.
  for (std::size_t n = 0; n <= head.size(); ++n) {
    const std::string_view cut{memory.last(n), head.copy(memory.last(n), n)};
    CHECK(scan(cut).size == (n == head.size() ? n : 0));
    const ws::request_view view{cut};
    ws::field f;
    for (ws::field_cursor fields = view.fields(); fields.next(f);) CHECK(f.name.size() < n);
    (void)view.authority();
    (void)view.path();
    (void)view.query();
    (void)ws::response_view{cut}.status();
    (void)ws::response_view{cut}.reason();
  }
}

TEST_CASE("H26 a head is found at the same place at every pair of splits", "[http_head][H26]") {
  for (std::size_t a = 0; a < head.size(); ++a)
    for (std::size_t b = a; b < head.size(); ++b) {
      ws::head_progress progress;
      for (const std::size_t n : {a, b}) {
        const ws::scanned_head found = ws::scan_head(head.substr(0, n), progress, ws::head_kind::request, {});
        REQUIRE(same(found, {}));
        REQUIRE(progress.at + 1 >= n);  // at most a CR waits for its LF: no byte is looked at twice
        REQUIRE(progress.line <= progress.at);
      }
      REQUIRE(same(ws::scan_head(head, progress, ws::head_kind::request, {}), {head.size(), ws::error::none, 0}));
    }
}

TEST_CASE("H26 limits at, below and above, in one call and in many", "[http_head][H26]") {
  const auto why = [](ws::head_limits limits) {
    const ws::scanned_head found = scan(head, ws::head_kind::request, limits);
    CHECK(same(found, scan_slowly(head, ws::head_kind::request, limits)));
    return found.why;
  };
  const auto line = static_cast<std::uint32_t>(head.find('\r'));
  CHECK(why({.max_request_line = line + 1}) == ws::error::none);
  CHECK(why({.max_request_line = line}) == ws::error::none);
  CHECK(why({.max_request_line = line - 1}) == ws::error::request_line_too_long);
  CHECK(why({.max_fields = 7}) == ws::error::none);
  CHECK(why({.max_fields = 6}) == ws::error::none);
  CHECK(why({.max_fields = 5}) == ws::error::too_many_fields);
  for (std::uint32_t n = 0; n < head.size() + 3; ++n) {
    CHECK(why({.max_head = n}) == (n < head.size() ? ws::error::head_too_large : ws::error::none));
    CHECK(scan(head, ws::head_kind::request, {.max_head = n}).offset == (n < head.size() ? n : 0));
  }
}

TEST_CASE("H22 heads with lone line feeds, where they are allowed", "[http_head][H22]") {
  std::string text{head};
  std::erase(text, '\r');
  const ws::request_view view{text};
  CHECK(view.target() == "/a/b?c=d");
  CHECK(view.field("x-list") == "a, b");
  CHECK(list_is(view.list("X-LIST"), {"a", "b", "c"}));
  for (std::size_t n = text.size() - 3; n < text.size() + 2; ++n) {
    const ws::head_limits limits{.max_head = static_cast<std::uint32_t>(n), .allow_bare_line_feed = true};
    const ws::scanned_head found = scan(text, ws::head_kind::request, limits);
    CHECK(found.why == (n < text.size() ? ws::error::head_too_large : ws::error::none));
    CHECK(found.size == (n < text.size() ? 0 : text.size()));
    CHECK(same(found, scan_slowly(text, ws::head_kind::request, limits)));
  }
}

TEST_CASE("H11 the fields of a list that somebody else parsed", "[http_head][H11][H27]") {
  constexpr ws::field list[] = {{"A", " b "}, {"C", ""}, {"a", "d,e"}, {"", "nameless"}};
  ws::field_cursor cursor{std::span<const ws::field>{list}};
  ws::field_cursor again = cursor;
  std::string all;
  ws::field f;
  while (cursor.next(f)) all += std::string{f.name} + "=" + std::string{f.value} + ";";
  CHECK(all == "A=b;C=;a=d,e;=nameless;");
  CHECK_FALSE(cursor.next(f));
  CHECK(list_is({again, "A"}, {"b", "d", "e"}));
  std::string_view value;
  CHECK(again.next("c", value));
  CHECK(again.next("a", value));
  CHECK(value == "d,e");
  CHECK_FALSE(again.next("a", value));
  CHECK_FALSE(ws::field_cursor{}.next(f));
}

TEST_CASE("A view of a text that is no head is harmless", "[http_head]") {
  for (const std::string_view text : {""sv, "\r\n"sv, "\n"sv, "x"sv, "x y"sv, "GET / HTTP/1.1"sv,
                                      "GET / HTTP/1.1\r\nno colon\r\nA: b\r\n"sv, "\r"sv, "a\nb"sv, "HTTP/1.1 4"sv}) {
    const std::string exact{text};
    const ws::request_view q{exact};
    const ws::response_view s{exact};
    (void)q.target();
    (void)q.query();
    (void)q.authority();
    (void)s.reason();
    CHECK(q.path() == "/");
    CHECK(s.status() >= 0);
    CHECK(q.field("A").data() == nullptr);
    CHECK(list_is(q.subprotocols(), {}));
  }
  CHECK(ws::response_view{}.status() == 0);
  CHECK(ws::request_view{}.method().empty());
}

TEST_CASE("A target that is neither a path nor a URI is its own path, and the Host field says the authority", "[http_head]") {
  for (const std::string_view target : {"*"sv, "chat?q"sv, "ftp://a/b"sv, "ws:///b"sv}) {
    const std::string text = "GET " + std::string{target} + " HTTP/1.1\r\nHost: h\r\n\r\n";
    const ws::request_view q{text};
    CHECK(q.target() == target);
    CHECK(q.path() == target.substr(0, target.find('?')));
    CHECK(q.authority() == "h");
  }
}

TEST_CASE("H25 a control byte where a field begins is no name", "[http_head][H25]") {
  for (const char* line : {"\x01", "\x7F: a", "\x01\r\n"}) CHECK(is_bad("GET / HTTP/1.1\r\nA: b\r\n"s + line, ws::error::field_name_invalid, 22));
}

TEST_CASE("H03 names are compared without regard to the case of ASCII letters, every byte in every place", "[http_head][H03]") {
  const auto lower = [](unsigned c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; };
  for (const std::size_t size : {1U, 7U, 8U, 9U, 15U, 16U, 17U})
    for (std::size_t at = 0; at < size; ++at)
      for (unsigned x = 0; x < 256; ++x)
        for (unsigned y = 0; y < 256; ++y) {
          std::string a(size + 1, 'k'), b(size + 1, 'K');
          b[size] = 'z';  // what stands behind the names is not looked at
          a[at] = static_cast<char>(x);
          b[at] = static_cast<char>(y);
          if (ws::detail::same_name({a.data(), size}, {b.data(), size}) != (lower(x) == lower(y))) FAIL(size << " bytes, at " << at << ": " << x << " and " << y);
        }
  CHECK(!ws::detail::same_name("12345678", "123456789"));
}
