// wscodec: layer 2, inside mask: UTF-8 byte by byte: constant expressions, short pieces, the exact bad byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../config.hpp"

WSCODEC_DETAIL_BEGIN

// A state is a shift: each class of bytes has a 64-bit word that holds, at the shift of each state, the state that
// follows. So the chain from one byte to the next is one shift.
enum utf8_states : std::uint8_t {
  utf8_complete = 0,
  utf8_one_more = 6,  // one continuation byte is missing
  utf8_two_more = 12,
  utf8_three_more = 18,
  utf8_after_e0 = 24,  // A0..BF must follow: below it would be overlong
  utf8_after_ed = 30,  // 80..9F must follow: above it would be a surrogate
  utf8_after_f0 = 36,  // 90..BF must follow: below it would be overlong
  utf8_after_f4 = 42,  // 80..8F must follow: above it would pass U+10FFFF
  utf8_refused = 48,
};

struct utf8_automaton {
  std::uint8_t classes[256];
  std::uint64_t rows[12];
};

consteval utf8_automaton make_utf8_automaton() noexcept {
  utf8_automaton made{};
  // From this byte on, this class; before the first it is 0. In 11 are the bytes that are in no text.
  constexpr struct {
    int byte, that;
  } classes[] = {{0x80, 1}, {0x90, 2}, {0xA0, 3}, {0xC0, 11}, {0xC2, 4},  {0xE0, 5}, {0xE1, 6},
                 {0xED, 7}, {0xEE, 6}, {0xF0, 8}, {0xF1, 9},  {0xF4, 10}, {0xF5, 11}};
  for (const auto& from : classes)
    for (int i = from.byte; i < 256; ++i) made.classes[i] = static_cast<std::uint8_t>(from.that);
  for (std::uint64_t& row : made.rows)
    for (int state = 0; state <= utf8_refused; state += 6) row |= std::uint64_t{utf8_refused} << state;
  // RFC 3629 4, the grammar, as: in this state, these classes, lead to that state.
  constexpr struct {
    utf8_states from;
    int first_class, last_class;
    utf8_states to;
  } steps[] = {
      {utf8_complete, 0, 0, utf8_complete},   {utf8_complete, 4, 4, utf8_one_more},
      {utf8_complete, 5, 5, utf8_after_e0},   {utf8_complete, 6, 6, utf8_two_more},
      {utf8_complete, 7, 7, utf8_after_ed},   {utf8_complete, 8, 8, utf8_after_f0},
      {utf8_complete, 9, 9, utf8_three_more}, {utf8_complete, 10, 10, utf8_after_f4},
      {utf8_one_more, 1, 3, utf8_complete},   {utf8_two_more, 1, 3, utf8_one_more},
      {utf8_three_more, 1, 3, utf8_two_more}, {utf8_after_e0, 3, 3, utf8_one_more},
      {utf8_after_ed, 1, 2, utf8_one_more},   {utf8_after_f0, 2, 3, utf8_two_more},
      {utf8_after_f4, 1, 1, utf8_two_more},
  };
  for (const auto& step : steps)
    for (int c = step.first_class; c <= step.last_class; ++c)
      made.rows[c] ^= std::uint64_t{static_cast<std::uint8_t>(utf8_refused ^ step.to)} << step.from;
  return made;
}
inline constexpr utf8_automaton utf8_table = make_utf8_automaton();

WSCODEC_INLINE constexpr std::uint8_t utf8_step(std::uint8_t state, char byte) noexcept {
  const std::uint64_t row = utf8_table.rows[utf8_table.classes[static_cast<std::uint8_t>(byte)]];
  return static_cast<std::uint8_t>(row >> state & 63U);
}

/// Returns `n`, or the index of the first byte that cannot be part of valid text.
constexpr std::size_t utf8_check_bytes(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  std::uint8_t now = state;
  for (std::size_t i = 0; i < n; ++i) {
    now = utf8_step(now, p[i]);
    if (now == utf8_refused) return i;
  }
  state = now;
  return n;
}

/// Checks `text[begin, end)` again, byte by byte, where everything before `begin` is known to be good, up to a code
/// point that `begin` cuts: so it goes back to where that code point starts. `state` is that before `text[0]`; `begin`
/// is 0 or at least 3.
inline std::size_t utf8_check_from(const char* text, std::size_t begin, std::size_t end, std::uint8_t& state) noexcept {
  if (begin != 0) {
    state = utf8_complete;
    for (std::size_t back = 1; back <= 3; ++back)
      if ((static_cast<std::uint8_t>(text[begin - back]) & 0xC0U) != 0x80) {
        begin -= back;
        break;
      }
  }
  return begin + utf8_check_bytes(text + begin, end - begin, state);
}

/// A first byte after which the same must follow as in this state; NUL for the complete state.
inline constexpr std::uint8_t utf8_leads[8] = {0x00, 0xC2, 0xE1, 0xF1, 0xE0, 0xED, 0xF0, 0xF4};
WSCODEC_INLINE std::uint8_t utf8_lead_of(std::uint8_t state) noexcept { return utf8_leads[state / 6U]; }

WSCODEC_DETAIL_END
