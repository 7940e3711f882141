// The grammar of Sec-WebSocket-Extensions (RFC 6455 9.1, RFC 9110 5.6). Negotiation is in test_handshake_server.cpp and
// test_handshake_client.cpp.
#include <wscodec/extensions.hpp>

#include <cstddef>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "guarded.hpp"
#include "wscodec/handshake.hpp"

namespace ws = wscodec;
using namespace std::string_view_literals;

namespace {

/// The list in a notation of our own: `name(a b=c d="e")`, and `!` where the grammar breaks.
std::string parsed(std::initializer_list<std::string_view> lines) {
  std::string text;
  for (const std::string_view line : lines) ((text += "Sec-WebSocket-Extensions: ") += line) += "\r\n";
  ws::extension_cursor list{ws::field_cursor{text}};
  std::string out;
  for (ws::extension e; list.next(e);) {
    (out += out.empty() ? "" : " ") += e.name();
    std::string parameters;
    for (ws::extension_parameter p; e.next(p);) {
      (parameters += parameters.empty() ? "" : " ") += p.name;
      if (p.has_value) (((parameters += '=') += p.quoted ? "\"" : "") += p.value) += p.quoted ? "\"" : "";
    }
    CHECK_FALSE(e.malformed());
    if (!parameters.empty()) out += "(" + parameters + ")";
  }
  return list.malformed() ? out + "!" : out;
}
std::string parsed(std::string_view line) { return parsed({line}); }

constexpr ws::error grammar(std::string_view value) {
  const ws::field list[] = {{"Sec-WebSocket-Extensions", value}};
  std::uint32_t agreement = 0;
  return ws::detail::negotiate_extension(ws::field_cursor{std::span<const ws::field>{list}}, nullptr, agreement);
}

constexpr bool unquotes_to(ws::extension_parameter p, std::string_view expected) {
  char memory[8] = {};
  const std::size_t n = ws::unquote(p, memory, sizeof memory);
  return n != std::string_view::npos && std::string_view{memory, n} == expected;
}
constexpr bool is_no_token(ws::extension_parameter p) {
  char memory[8] = {};
  return ws::unquote(p, memory, sizeof memory) == std::string_view::npos;
}
constexpr ws::extension_parameter plain(std::string_view value) { return {"a", value, true, false}; }
constexpr ws::extension_parameter quoted(std::string_view value) { return {"a", value, true, true}; }

}  // namespace

static_assert(grammar("a") == ws::error::none);
static_assert(grammar("permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\", b") == ws::error::none);
static_assert(grammar("a; b=\"c, d; e=\\\"f\\\"\"") == ws::error::none);
static_assert(grammar("a;") == ws::error::extensions_malformed);
static_assert(grammar("a; b=\"c") == ws::error::extensions_malformed);
static_assert(grammar("a; b=\"c\\") == ws::error::extensions_malformed);
static_assert(grammar("a b") == ws::error::extensions_malformed);
static_assert(grammar(" , ") == ws::error::list_empty);

static_assert(unquotes_to(plain("10"), "10") && unquotes_to(quoted("10"), "10"));
static_assert(unquotes_to(quoted("\\1\\0"), "10") && unquotes_to({"a", "", false, false}, ""));
static_assert(unquotes_to(quoted("12345678"), "12345678") && is_no_token(quoted("123456789")));
static_assert(unquotes_to(quoted("\\1\\2\\3\\4\\5\\6\\7\\8"), "12345678"));
static_assert(is_no_token(quoted("")) && is_no_token(quoted(" 1")) && is_no_token(quoted("1,")) && is_no_token(quoted("\\\"")));
static_assert(is_no_token(quoted("\\\\")) && is_no_token(quoted("1\\")) && is_no_token(quoted("\xC3\xA9")));

TEST_CASE("H12 extensions and their parameters, in order", "[extensions][H12]") {
  CHECK(parsed("") == "");
  CHECK(parsed("a") == "a");
  CHECK(parsed("a, b,c ,\td") == "a b c d");
  CHECK(parsed("a; b; c=d, e ; f=\"g\"\t;h") == "a(b c=d) e(f=\"g\" h)");
  CHECK(parsed(",, a ,,; b") == "a!");
  CHECK(parsed(", ,a,, ,b,") == "a b");
  CHECK(parsed("a;b;b;b=1") == "a(b b b=1)");
  CHECK(parsed("!#$%&'*+-.^_`|~") == "!#$%&'*+-.^_`|~");
}

TEST_CASE("H11 several fields are one list", "[extensions][H11]") {
  CHECK(parsed({"a; b", "c", "", "d; e=\"f\""}) == "a(b) c d(e=\"f\")");
  CHECK(parsed({"a; b=\"c", "d\""}) == "!");
  CHECK(parsed({"a;", "b"}) == "!");
  CHECK(parsed({"a", ";b"}) == "a!");
}

TEST_CASE("H15 quoted strings keep their separators and escapes", "[extensions][H15]") {
  CHECK(parsed(R"(a; b="c, d; e=f")") == R"(a(b="c, d; e=f"))");
  CHECK(parsed(R"(a; b="\"", c)") == R"(a(b="\"") c)");
  CHECK(parsed(R"(a; b="\\", c)") == R"(a(b="\\") c)");
  CHECK(parsed(R"(a; b="\\\"", c)") == R"(a(b="\\\"") c)");
  CHECK(parsed(R"(a; b="", c)") == R"(a(b="") c)");
  CHECK(parsed(R"(a; b="c"; d)") == R"(a(b="c" d))");
  CHECK(parsed("a; b=\"\t \x80\xFF\"") == "a(b=\"\t \x80\xFF\")");
}

TEST_CASE("H15 a value loses its escapes; one that is no token, or does not fit, is none", "[extensions][H15]") {
  CHECK(unquotes_to(quoted(R"(1\0)"), "10"));
  CHECK(unquotes_to(plain("12345678"), "12345678"));
  CHECK(unquotes_to({"a", "", false, false}, ""));
  for (const ws::extension_parameter& p : {plain("123456789"), quoted("1 0"), quoted(""), quoted(R"(a\)"), quoted(R"(\)")}) {
    INFO(p.value);
    CHECK(is_no_token(p));
  }
}

TEST_CASE("H12 blanks may stand around the equals sign", "[extensions][H12]") {
  for (const std::string_view blanks : {"a; b = c", "a; b= c", "a; b =c", "a;b\t=\t c "}) CHECK(parsed(blanks) == "a(b=c)");
  CHECK(parsed("a; b = \"c d\" ; e = f, g ; h ; i") == "a(b=\"c d\" e=f) g(h i)");
}

TEST_CASE("H16b what breaks the grammar", "[extensions][H16b]") {
  for (const std::string_view broken :
       {";", ";a", "a;", "a; ", "a;;b", "a; b;", "a; b=", "a; b=;c", "a; =b", "a; b==c", "a; b=c=d", "a b", "a; b c", "a; b=c d",
        "a; b = ", "a; b = c d", "a; b = c = d", "\"a\"", "a; \"b\"", "a; b=\"", "a; b=\"c", "a; b=\"c\\", "a; b=\"c\\\"", "a; b=\"c\"d",
        "a; b=\"c\x01\"", "a; b=\"\\\x7F\"", "a; b=c\"d\"", "a; b=\"c\"\"d\"", "a; b=\"c\" \"d\"", "a=b", "a/b", "(a)", "a; b=(c)", "\xC3\xA9", "a; \xC3\xA9", "a; b=\xC3\xA9",
        "a; b=\"\x01\"", "a; b=\"c\x7F\"", "a; b=\"c\\\n\""}) {
    INFO(broken);
    CHECK(grammar(broken) == ws::error::extensions_malformed);
    CHECK(parsed(broken).ends_with("!"));
    // Behind good members, and before them.
    CHECK(grammar("x; y=z, " + std::string{broken}) == ws::error::extensions_malformed);
    CHECK(grammar(std::string{broken} + ", x") == ws::error::extensions_malformed);
  }
}

TEST_CASE("H16b every cut of a good list is good or broken, and never read beyond", "[extensions][H16b]") {
  constexpr std::string_view list = R"(a; b; c=d; e="f, \"g;\\", h ,, i;j="k")";
  guarded memory;
  for (std::size_t n = 0; n <= list.size(); ++n) {
    const std::string_view exact{memory.last(n), list.copy(memory.last(n), n)};
    const ws::error why = grammar(exact);
    const bool good = why == ws::error::none || why == ws::error::list_empty || why == ws::error::extensions_malformed;
    CHECK(good);
    CHECK(parsed(exact).ends_with("!") == (why == ws::error::extensions_malformed));
  }
  CHECK(parsed(list) == R"(a(b c=d e="f, \"g;\\") h i(j="k"))");
}

TEST_CASE("H16b the parameters alone tell what breaks them", "[extensions][H16b]") {
  for (const std::string_view broken : {";", "; =b", "; b=", "; b=\"", "; b=\"c", "; b=\"c\\", "; b=\"c\x01\""}) {
    INFO(broken);
    ws::extension e{"a", broken};
    ws::extension_parameter p;
    CHECK_FALSE(e.next(p));
    CHECK(e.malformed());
  }
}

TEST_CASE("H16 only a value in quotes counts as quoted", "[extensions][H16]") {
  ws::extension e{"a", "; b=\"c\"; d; e=f"};
  ws::extension_parameter p;
  for (const bool quoted : {true, false, false}) {
    REQUIRE(e.next(p));
    CHECK(p.quoted == quoted);
  }
}

TEST_CASE("An extension hands its parameters on as text", "[extensions]") {
  const ws::field list[] = {{"Sec-WebSocket-Extensions", "a ; b=\"c,d\" , e"}};
  ws::extension_cursor cursor{ws::field_cursor{std::span<const ws::field>{list}}};
  ws::extension e;
  REQUIRE(cursor.next(e));
  CHECK(e.name() == "a");
  // What a hook gets: the parameters are read from it again.
  ws::extension again{"a", e.rest()};
  ws::extension_parameter p;
  REQUIRE(again.next(p));
  CHECK(p.name == "b");
  CHECK(p.value == "c,d");
  CHECK_FALSE(again.next(p));
  CHECK_FALSE(again.malformed());
}
