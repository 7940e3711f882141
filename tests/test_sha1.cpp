#include <wscodec/sha1.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "catch.hpp"

namespace ws = wscodec;

namespace {

constexpr bool digest_is(std::string_view a, std::string_view b, std::string_view hex) {
  constexpr std::string_view digits = "0123456789abcdef";
  const std::array<char, 20> digest = ws::sha1(a, b);
  for (std::size_t i = 0; i < 20; ++i) {
    const auto byte = static_cast<unsigned char>(digest[i]);
    if (digits[byte >> 4] != hex[2 * i] || digits[byte & 15U] != hex[2 * i + 1]) return false;
  }
  return true;
}

}  // namespace

// RFC 3174 7.3.
static_assert(digest_is("abc", "", "a9993e364706816aba3e25717850c26c9cd0d89d"));
static_assert(digest_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "",
                        "84983e441c3bd26ebaae4aa1f95129e5e54670f1"));
static_assert(digest_is("", "", "da39a3ee5e6b4b0d3255bfef95601890afd80709"));
// Where the length just fits into the last block, and where it does not.
static_assert(digest_is("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", "c1c8bbdc22796e28c0e15163d20899b65621d65a"));
static_assert(digest_is("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "", "c2db330f6083854c99d4b5bfb6e8f29f201be699"));
// RFC 6455 1.3: b3 7a 4f 2c c0 62 4f 16 90 f6 46 06 cf 38 59 45 b2 be c4 ea.
static_assert(digest_is("dGhlIHNhbXBsZSBub25jZQ==", "258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                        "b37a4f2cc0624f1690f64606cf385945b2bec4ea"));

TEST_CASE("H09 the RFC's accept digest comes out at run time too", "[sha1][H09]") {
  CHECK(digest_is("dGhlIHNhbXBsZSBub25jZQ==", "258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                  "b37a4f2cc0624f1690f64606cf385945b2bec4ea"));
}

TEST_CASE("the digest of a million letters is that of RFC 3174", "[sha1]") {
  const std::string letters(1'000'000, 'a');
  CHECK(digest_is(letters, "", "34aa973cd4c4daa4f61eeb2bdbad27316534016f"));
  std::string text;
  for (int i = 0; i < 80; ++i) text += "01234567";
  CHECK(digest_is(text, "", "dea356a2cddd90c7a7ecedc5ebb563934f460452"));
}

TEST_CASE("two parts are hashed as one string, wherever the cut is", "[sha1]") {
  std::string text;
  for (int i = 0; i < 200; ++i) text.push_back(static_cast<char>('!' + i % 90));
  for (std::size_t n = 0; n <= text.size(); ++n) {
    const std::string_view part = std::string_view{text}.substr(0, n);
    const auto whole = ws::sha1(part);
    for (std::size_t cut = 0; cut <= n; ++cut)
      if (ws::sha1(part.substr(0, cut), part.substr(cut)) != whole) FAIL("length " << n << ", cut at " << cut);
  }
}

TEST_CASE("every machine's way to a block gives the same", "[sha1][kernels]") {
  std::string bytes;
  for (std::size_t i = 0; i < 64 * 40; ++i) bytes.push_back(static_cast<char>(i * i * 7 + i / 5));
  std::uint32_t by_words[5] = {0x67452301U, 0xEFCDAB89U, 0x98BADCFEU, 0x10325476U, 0xC3D2E1F0U};
  std::uint32_t by_machine[5] = {0x67452301U, 0xEFCDAB89U, 0x98BADCFEU, 0x10325476U, 0xC3D2E1F0U};
  for (std::size_t at = 0; at < bytes.size(); at += 64) {
    ws::detail::sha1_block_words(by_words, bytes.data() + at);
    ws::detail::sha1_block(by_machine, bytes.data() + at);
    for (int i = 0; i < 5; ++i) REQUIRE(by_words[i] == by_machine[i]);
  }
}
