// wscodec: layer 2, inside mask: checking UTF-8 in vectors, in one pass with unmasking.
//
// After J. Keiser and D. Lemire, "Validating UTF-8 in less than one instruction per byte" (2021). No `#pragma once`:
// see kernel_blocks.hpp.
#if defined(WSCODEC_TARGET)

/// Each byte is checked against the ones before it. Three look-ups, by the two halves of the byte before and the upper
/// half of the byte itself, give the rules that each half would allow to be broken; what is in all three is broken.
/// One of the eight, a continuation byte after another, is right where a longer code point wants it, and only there.
/// `older` is the vector that precedes `now`. Zero means good.
WSCODEC_TARGET WSCODEC_INLINE vec utf8_errors(vec older, vec now) noexcept {
  const vec bridge = bridge_of(older, now);
  const vec one_before = behind<1>(bridge, now);
  const vec two_before = behind<2>(bridge, now);
  const vec three_before = behind<3>(bridge, now);
  const auto* const tables = reinterpret_cast<const char*>(&utf8_rules);
  const vec pairs = look_up(load(tables), one_before >> 4) &               // by_upper_before
                    look_up(load(tables + 32), one_before & fill(0x0F)) &  // by_lower_before
                    look_up(load(tables + 64), now >> 4);                  // by_upper
  // 0x80 at the third byte of E0.. and the third and fourth of F0..: there must be a continuation after another.
  const vec longer = (subtract(two_before, fill(0xE0 - 0x80)) | subtract(three_before, fill(0xF0 - 0x80))) & fill(0x80);
  return pairs ^ longer;
}

/// Does a code point go on behind this vector?
WSCODEC_TARGET WSCODEC_INLINE bool utf8_is_cut(vec last) noexcept {
  vec bounds = fill(0xFF);
  bounds[sizeof(vec) - 3] = 0xF0 - 1;
  bounds[sizeof(vec) - 2] = 0xE0 - 1;
  bounds[sizeof(vec) - 1] = 0xC0 - 1;
  return any(subtract(last, bounds));
}

template <bool Masked>
WSCODEC_TARGET WSCODEC_INLINE vec take(const char* from, vec keys) noexcept {
  return Masked ? load(from) ^ keys : load(from);
}

/// Unmasks (unless `!Store`) and checks `n >= sizeof(vec)` bytes; `to` may be `from`.
template <bool Store>
WSCODEC_TARGET inline std::size_t utf8_blocks(char* to, const char* from, std::size_t n, std::uint32_t key,
                                              std::uint8_t& state) noexcept {
  constexpr std::size_t width = sizeof(vec);
  const char* const text = Store ? to : from;
  const vec keys = splat(key);

  vec older = fill(0);
  if (state != utf8_complete) older[width - 1] = utf8_lead_of(state);

  // The last vector overlaps others: it is loaded before they are stored, together with the one that precedes it.
  const vec last_keys = splat(rotate_key(key, n));
  const vec last = take<Store>(from + n - width, last_keys);
  vec before_last;
  if (n >= 2 * width) {
    before_last = take<Store>(from + n - 2 * width, last_keys);
  } else {
    char both[2 * width];
    store(both, older);
    store(both + width, take<Store>(from, keys));
    before_last = load(both + n - width);
  }

  std::size_t i = 0;
  for (; n - i >= 4 * width; i += 4 * width) {
    const vec a = take<Store>(from + i, keys);
    vec b = take<Store>(from + i + width, keys);
    vec c = take<Store>(from + i + 2 * width, keys);
    vec d = take<Store>(from + i + 3 * width, keys);
    if constexpr (Store) {
      store(to + i, a);
      store(to + i + width, b);
      store(to + i + 2 * width, c);
      store(to + i + 3 * width, d);
    }
    if (is_ascii(a | b | c | d)) {
      if (utf8_is_cut(older)) return utf8_check_from(text, i, n, state);
    } else {
      // One after the other: gcc would begin all four at once, and run out of registers.
      vec wrong = utf8_errors(older, a);
      __asm__("" : "+x"(wrong), "+x"(b));
      wrong |= utf8_errors(a, b);
      __asm__("" : "+x"(wrong), "+x"(c));
      wrong |= utf8_errors(b, c);
      __asm__("" : "+x"(wrong), "+x"(d));
      wrong |= utf8_errors(c, d);
      if (any(wrong)) return utf8_check_from(text, i, i + 4 * width, state);
    }
    older = d;
  }
  for (; n - i >= width; i += width) {
    const vec a = take<Store>(from + i, keys);
    if constexpr (Store) store(to + i, a);
    if (!is_ascii(older | a) && any(utf8_errors(older, a))) return utf8_check_from(text, i, i + width, state);
    older = a;
  }
  if constexpr (Store) store(to + n - width, last);
  if (is_ascii(before_last | last)) {
    state = utf8_complete;
    return n;
  }
  if (any(utf8_errors(before_last, last))) return utf8_check_from(text, i, n, state);
  return utf8_check_from(text, n, n, state);
}

#endif
