// Masking and UTF-8 validation by every kernel that this machine can run, against the plainest code there is: whole and cut
// anywhere, in memory of the exact size.
#include <cstring>
#include <string>
#include <string_view>
#include <wscodec/mask.hpp>
#include <wscodec/utf8.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;

namespace {

struct verdict {
  std::size_t good;  // bytes before the first that cannot be part of a text
  bool cut;          // they end inside a character
  bool operator==(const verdict&) const = default;
};

// The table 3-7 of the Unicode standard.
verdict reference(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto first = static_cast<unsigned char>(text[i]);
    std::size_t more = 0;
    unsigned low = 0x80, high = 0xBF;
    if (first < 0x80) {
      ++i;
      continue;
    }
    if (first >= 0xC2 && first <= 0xDF) more = 1;
    else if (first >= 0xE0 && first <= 0xEF) more = 2;
    else if (first >= 0xF0 && first <= 0xF4) more = 3;
    else return {i, false};
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    for (++i; more != 0; --more, ++i) {
      if (i == text.size()) return {i, true};
      const auto next = static_cast<unsigned char>(text[i]);
      if (next < low || next > high) return {i, false};
      low = 0x80;
      high = 0xBF;
    }
  }
  return {i, false};
}

/// Runs `check(piece's copy, its size, key there, state)`, which returns how many bytes are good, over pieces.
verdict in_pieces(std::string_view wire, std::uint32_t key, std::string_view plain, std::uint32_t seed, auto&& check) {
  fuzz::splits pieces{fuzz::splits::how::random, seed};
  std::uint8_t state = 0;
  for (std::size_t at = 0; at < wire.size();) {
    const std::size_t n = seed == 0 ? wire.size() : pieces.next(wire.size() - at);
    const fuzz::exact piece{wire.substr(at, n)}, to{n};
    const std::size_t good = check(piece.data(), to.data(), n, ws::rotate_masking_key(key, at), state, plain.substr(at, n));
    if (good != n) return {at + good, false};
    at += n;
  }
  return {wire.size(), state != 0};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  char key_bytes[4];
  for (char& b : key_bytes) b = static_cast<char>(input.byte());
  const std::uint32_t seed = input.byte();
  const std::uint32_t key = ws::load_masking_key(key_bytes);
  const std::string_view text = input.rest();
  std::string wire{text};
  for (std::size_t i = 0; i < wire.size(); ++i) wire[i] = static_cast<char>(wire[i] ^ key_bytes[i % 4]);
  const verdict wanted = reference(text);

  for (const std::uint32_t split : {std::uint32_t{0}, seed}) {
    const auto unmask = [](auto&& utf8) {
      return [utf8](char* p, char* to, std::size_t n, std::uint32_t k, std::uint8_t& state, std::string_view plain) {
        const std::size_t good = utf8(to, p, n, k, state);
        REQUIRE(std::memcmp(to, plain.data(), good) == 0);
        return good;
      };
    };
    const auto same = [&](const verdict& v) { REQUIRE(v == wanted); };
    same(in_pieces(text, key, text, split, [](char* p, char*, std::size_t n, std::uint32_t, std::uint8_t& state, std::string_view) {
      return ws::utf8_check(p, n, state);
    }));
    same(in_pieces(wire, key, text, split, [](char* p, char*, std::size_t n, std::uint32_t k, std::uint8_t& state, std::string_view plain) {
      const std::size_t good = ws::unmask_utf8(p, n, k, state);
      REQUIRE(std::memcmp(p, plain.data(), good) == 0);
      return good;
    }));
    ws::detail::for_each_kernels([&](const ws::detail::kernels& k) {
      same(in_pieces(text, key, text, split, [&](char* p, char*, std::size_t n, std::uint32_t, std::uint8_t& state, std::string_view) {
        return k.utf8(p, n, state);
      }));
      same(in_pieces(wire, key, text, split, unmask(k.unmask_utf8)));
      (void)in_pieces(wire, key, text, split, [&](char* p, char* to, std::size_t n, std::uint32_t at, std::uint8_t&, std::string_view plain) {
        k.mask(to, p, n, at);
        REQUIRE(std::memcmp(to, plain.data(), n) == 0);
        return n;
      });
    });
  }
  return 0;
}
