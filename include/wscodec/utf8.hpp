// wscodec: layer 2, UTF-8 (RFC 3629): checking text that arrives in pieces, alone or in one pass with unmasking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "config.hpp"
#include "mask.hpp"

WSCODEC_TYPES_BEGIN

/// Where a text was cut: 0 between code points, so the text may end here; anything else inside one (F16).
using utf8_state = std::uint8_t;

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

// A table-driven automaton for single bytes and short pieces. A state is a shift: each class of bytes has a 64-bit
// word that holds, at the shift of each state, the state that follows. So the chain from byte to byte is one shift.
enum utf8_states : std::uint8_t {
  utf8_complete = 0,
  utf8_one_more = 6,     // one continuation byte is missing
  utf8_two_more = 12,
  utf8_three_more = 18,
  utf8_after_e0 = 24,    // A0..BF must follow: overlong forms begin below
  utf8_after_ed = 30,    // 80..9F must follow: surrogates begin above
  utf8_after_f0 = 36,    // 90..BF must follow: overlong forms begin below
  utf8_after_f4 = 42,    // 80..8F must follow: U+10FFFF is the last code point
  utf8_refused = 48,
};

struct utf8_automaton {
  std::uint8_t classes[256];
  std::uint64_t rows[12];
};

constexpr utf8_automaton make_utf8_automaton() noexcept {
  utf8_automaton a{};
  constexpr struct {
    int first, last;
  } ranges[12] = {{0x00, 0x7F}, {0x80, 0x8F}, {0x90, 0x9F}, {0xA0, 0xBF}, {0xC2, 0xDF}, {0xE0, 0xE0},
                  {0xE1, 0xEF}, {0xED, 0xED}, {0xF0, 0xF0}, {0xF1, 0xF3}, {0xF4, 0xF4}, {0xC0, 0xC1}};
  for (int i = 0; i < 256; ++i) a.classes[i] = 11;
  for (int c = 0; c < 12; ++c)
    for (int i = ranges[c].first; i <= ranges[c].last; ++i) a.classes[i] = static_cast<std::uint8_t>(c);
  for (std::uint64_t& row : a.rows)
    for (int s = 0; s <= utf8_refused; s += 6) row |= std::uint64_t{utf8_refused} << s;
  const auto go = [&](int from, int first_class, int last_class, int to) {
    for (int c = first_class; c <= last_class; ++c)
      a.rows[c] ^= static_cast<std::uint64_t>(utf8_refused ^ to) << from;
  };
  go(utf8_complete, 0, 0, utf8_complete);
  go(utf8_complete, 4, 4, utf8_one_more);
  go(utf8_complete, 5, 5, utf8_after_e0);
  go(utf8_complete, 6, 6, utf8_two_more);
  go(utf8_complete, 7, 7, utf8_after_ed);
  go(utf8_complete, 8, 8, utf8_after_f0);
  go(utf8_complete, 9, 9, utf8_three_more);
  go(utf8_complete, 10, 10, utf8_after_f4);
  go(utf8_one_more, 1, 3, utf8_complete);
  go(utf8_two_more, 1, 3, utf8_one_more);
  go(utf8_three_more, 1, 3, utf8_two_more);
  go(utf8_after_e0, 3, 3, utf8_one_more);
  go(utf8_after_ed, 1, 2, utf8_one_more);
  go(utf8_after_f0, 2, 3, utf8_two_more);
  go(utf8_after_f4, 1, 1, utf8_two_more);
  return a;
}
inline constexpr utf8_automaton utf8_table = make_utf8_automaton();

constexpr std::uint8_t utf8_step(std::uint8_t state, char byte) noexcept {
  const std::uint64_t row = utf8_table.rows[utf8_table.classes[static_cast<std::uint8_t>(byte)]];
  return static_cast<std::uint8_t>(row >> state & 63U);
}

/// Byte by byte: what a constant expression uses.
constexpr std::size_t utf8_check_bytes(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint8_t next = utf8_step(state, p[i]);
    if (next == utf8_refused) return i;
    state = next;
  }
  return n;
}

/// The same, eight ASCII bytes at a time.
inline std::size_t utf8_check_words(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  std::size_t i = 0;
  while (n - i >= 8) {
    std::uint64_t word;
    std::memcpy(&word, p + i, 8);
    if (state != utf8_complete || (word & 0x8080808080808080U) != 0) {
      const std::size_t good = utf8_check_bytes(p + i, 8, state);
      if (good != 8) return i + good;
    }
    i += 8;
  }
  return i + utf8_check_bytes(p + i, n - i, state);
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Checks the next `n` bytes of a text. Returns how many can be part of valid text: `n`, or the index of the first
/// byte that cannot (F15); then `state` means nothing. `state` is 0 at the start of the text, and at its end if the
/// text is complete.
WSCODEC_INLINE constexpr std::size_t utf8_check(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  return std::is_constant_evaluated() ? detail::utf8_check_bytes(p, n, state) : detail::utf8_check_words(p, n, state);
}

/// Is this a whole text in UTF-8?
[[nodiscard]] WSCODEC_INLINE constexpr bool is_utf8(std::string_view text) noexcept {
  std::uint8_t state = 0;
  return utf8_check(text.data(), text.size(), state) == text.size() && state == 0;
}

/// Unmasks `n` bytes in place and checks them in one pass; returns and keeps state like `utf8_check`. The bytes before
/// the returned index are unmasked, those behind it unspecified.
WSCODEC_INLINE constexpr std::size_t unmask_utf8(char* data, std::size_t n, std::uint32_t key,
                                                 std::uint8_t& state) noexcept {
  mask(data, n, key);
  return utf8_check(data, n, state);
}

/// The same while copying; `to` and `from` must not overlap.
WSCODEC_INLINE constexpr std::size_t unmask_copy_utf8(char* to, const char* from, std::size_t n, std::uint32_t key,
                                                      std::uint8_t& state) noexcept {
  mask_copy(to, from, n, key);
  return utf8_check(to, n, state);
}

/// Copies and checks text that is not masked; otherwise like `unmask_copy_utf8`.
WSCODEC_INLINE constexpr std::size_t copy_utf8(char* to, const char* from, std::size_t n, std::uint8_t& state) noexcept {
  return unmask_copy_utf8(to, from, n, 0, state);
}

WSCODEC_FUNCTIONS_END
