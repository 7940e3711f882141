#include <wscodec/base64.hpp>

#include <cstdint>
#include <string>
#include <string_view>

#include "catch.hpp"

namespace ws = wscodec;
using namespace std::string_view_literals;

namespace {

constexpr bool becomes(std::string_view bytes, std::string_view text) {
  char to[64] = {};
  ws::base64_encode(to, bytes);
  return ws::base64_size(bytes.size()) == text.size() && std::string_view{to, text.size()} == text &&
         to[text.size()] == '\0';
}

}  // namespace

// RFC 4648 10.
static_assert(becomes("", ""));
static_assert(becomes("f", "Zg=="));
static_assert(becomes("fo", "Zm8="));
static_assert(becomes("foo", "Zm9v"));
static_assert(becomes("foob", "Zm9vYg=="));
static_assert(becomes("fooba", "Zm9vYmE="));
static_assert(becomes("foobar", "Zm9vYmFy"));
// RFC 6455 1.2 and 1.3.
static_assert(becomes("the sample nonce", "dGhlIHNhbXBsZSBub25jZQ=="));
static_assert(becomes("\xb3\x7a\x4f\x2c\xc0\x62\x4f\x16\x90\xf6\x46\x06\xcf\x38\x59\x45\xb2\xbe\xc4\xea",
                      "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
static_assert(becomes("\xff\xff\xfe\x00"sv, "///+AA=="));

static_assert(ws::is_base64_of_16("dGhlIHNhbXBsZSBub25jZQ=="));
static_assert(ws::is_base64_of_16("AQIDBAUGBwgJCgsMDQ4PEC=="));

TEST_CASE("H08 a key may have any bits behind its last byte", "[base64][H08]") {
  CHECK(ws::is_base64_of_16("AQIDBAUGBwgJCgsMDQ4PEC=="));
  CHECK(ws::is_base64_of_16("AQIDBAUGBwgJCgsMDQ4PEA=="));
  CHECK(ws::is_base64_of_16("//////////////////////=="));
}

TEST_CASE("H07 what is not 16 bytes of base64 is no key", "[base64][H07]") {
  for (const std::string_view text :
       {""sv, "=="sv, "AQIDBAUGBwgJCgsMDQ4PEA"sv, "AQIDBAUGBwgJCgsMDQ4PEA="sv, "AQIDBAUGBwgJCgsMDQ4PEA==="sv,
        "AQIDBAUGBwgJCgsMDQ4PEA== "sv, " QIDBAUGBwgJCgsMDQ4PEA=="sv, "AQIDBAUGBwgJCgsMDQ4PEAA="sv,
        "AQIDBAUGBwgJCgsMDQ4PEAAA"sv, "AQIDBAUGBwgJCgsMDQ4PEA=A"sv, "AQIDBAUGBwgJCgsMDQ4P=A=="sv,
        "AQIDBAUGBwgJ-gsMDQ4PEA=="sv, "AQIDBAUGBwgJ_gsMDQ4PEA=="sv, "AQIDBAUGBwgJ\0gsMDQ4PEA=="sv,
        "AQIDBAUGBwgJ\xc3gsMDQ4PEA=="sv, "AQIDBAUGBwgJCgsMDQ4PEBESEw=="sv})
    CHECK_FALSE(ws::is_base64_of_16(text));
  // Every byte, at the first and the last place that counts: the alphabet and nothing else.
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (int byte = 0; byte < 256; ++byte)
    for (const std::size_t place : {0U, 21U}) {
      std::string text = "AQIDBAUGBwgJCgsMDQ4PEA==";
      text[place] = static_cast<char>(byte);
      CHECK(ws::is_base64_of_16(text) == (alphabet.find(text[place]) != alphabet.npos));
    }
}

TEST_CASE("what is written decodes to what was given", "[base64]") {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  for (std::size_t n = 0; n <= 300; ++n) {
    std::string text(ws::base64_size(n), '\0');
    ws::base64_encode(text.data(), bytes);
    std::string decoded;
    std::uint32_t bits = 0;
    unsigned have = 0;
    for (const char c : text.substr(0, text.find('='))) {
      bits = bits << 6 | static_cast<std::uint32_t>(alphabet.find(c));
      if ((have += 6) >= 8) decoded.push_back(static_cast<char>(bits >> (have -= 8) & 0xFF));
    }
    CHECK(decoded == bytes);
    CHECK((bits & ((1U << have) - 1)) == 0);
    bytes.push_back(static_cast<char>(n * 89 + n / 7));
  }
}
