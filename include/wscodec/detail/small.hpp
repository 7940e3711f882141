// wscodec: layer 2, inside mask: up to 128 bytes: masked, and ASCII recognised, by pieces that overlap.
//
// No loop, no dispatch, every load before every store, and nothing is stored beyond the payload: the next frame's head,
// which lies right behind it, can be loaded while these stores are still on their way.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../config.hpp"

WSCODEC_DETAIL_BEGIN

WSCODEC_INLINE constexpr std::uint32_t rotate_key(std::uint32_t key, std::uint64_t n) noexcept {
  const auto bits = static_cast<std::uint8_t>(8 * (n % 4));  // int or unsigned: libraries differ in what std::rotl takes
  return std::endian::native == std::endian::big ? std::rotl(key, bits) : std::rotr(key, bits);
}

WSCODEC_INLINE constexpr std::uint64_t double_key(std::uint32_t key) noexcept { return std::uint64_t{key} << 32 | key; }

template <class Word>
WSCODEC_INLINE Word load_word(const char* p) noexcept {
  Word word;
  std::memcpy(&word, p, sizeof word);
  return word;
}
template <class Word>
WSCODEC_INLINE void store_word(char* p, Word word) noexcept {
  std::memcpy(p, &word, sizeof word);
}

/// The same pointer, but gcc cannot tell to what: of a small buffer whose size it knows it would warn that the paths
/// for longer payloads read beyond it.
template <class Char>
WSCODEC_INLINE Char* anonymous(Char* p) noexcept {
#if defined(__GNUC__) && !defined(__clang__)
  __asm__("" : "+r"(p));
#endif
  return p;
}

inline constexpr std::uint64_t top_bits = 0x8080808080808080U;

/// XORs a few bytes, one by one; gives the key as the next byte sees it. `to` may be `from`.
WSCODEC_INLINE std::uint32_t mask_few(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  for (std::size_t i = 0; i != n; ++i) {
    to[i] = static_cast<char>(from[i] ^ static_cast<char>(std::endian::native == std::endian::big ? key >> 24 : key));
    key = rotate_key(key, 1);
  }
  return key;
}

/// XORs 64-bit words, any length; `to` may be `from`. Machines without vectors have nothing better.
inline void mask_words(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  std::size_t i = 0;
  for (; n - i >= 8; i += 8) store_word(to + i, load_word<std::uint64_t>(from + i) ^ double_key(key));
  mask_few(to + i, from + i, n - i, key);
}

/// What becomes of `n <= 16` bytes. `ascii_only`: if a byte is not ASCII nothing is stored and the answer is false.
template <bool Store, bool AsciiOnly>
WSCODEC_INLINE bool mask_16(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  if (n >= 8) {
    const std::uint64_t a = load_word<std::uint64_t>(from) ^ double_key(key);
    const std::uint64_t b = load_word<std::uint64_t>(from + n - 8) ^ double_key(rotate_key(key, n));
    if (AsciiOnly && ((a | b) & top_bits) != 0) return false;
    if constexpr (Store) {
      store_word(to, a);
      store_word(to + n - 8, b);
    }
  } else if (n >= 4) {
    const std::uint32_t a = load_word<std::uint32_t>(from) ^ key;
    const std::uint32_t b = load_word<std::uint32_t>(from + n - 4) ^ rotate_key(key, n);
    if (AsciiOnly && ((a | b) & static_cast<std::uint32_t>(top_bits)) != 0) return false;
    if constexpr (Store) {
      store_word(to, a);
      store_word(to + n - 4, b);
    }
  } else if (n != 0) {
    // Of three bytes the first, the middle and the last; of fewer some are the same.
    char keys[4];
    store_word(keys, key);
    const char a = static_cast<char>(from[0] ^ keys[0]);
    const char b = static_cast<char>(from[n / 2] ^ keys[n / 2]);
    const char c = static_cast<char>(from[n - 1] ^ keys[n - 1]);
    if (AsciiOnly && (static_cast<unsigned char>(a | b | c) & 0x80U) != 0) return false;
    if constexpr (Store) {
      to[0] = a;
      to[n / 2] = b;
      to[n - 1] = c;
    }
  }
  return true;
}

#if defined(__GNUC__) && (defined(__SSE2__) || defined(__ARM_NEON))

using vec16 __attribute__((vector_size(16))) = std::uint8_t;

WSCODEC_INLINE vec16 load_16(const char* p) noexcept { return load_word<vec16>(p); }
WSCODEC_INLINE vec16 splat_16(std::uint32_t key) noexcept {
  using keys_of_16 __attribute__((vector_size(16))) = std::uint32_t;
  return reinterpret_cast<vec16>(keys_of_16{key, key, key, key});
}
WSCODEC_INLINE bool is_ascii_16(vec16 v) noexcept {
#if defined(__SSE2__)
  using chars_of_16 __attribute__((vector_size(16))) = char;
  return __builtin_ia32_pmovmskb128(reinterpret_cast<chars_of_16>(v)) == 0;
#else
  using words_of_16 __attribute__((vector_size(16))) = std::uint64_t;
  const words_of_16 words = reinterpret_cast<words_of_16>(v);
  return ((words[0] | words[1]) & top_bits) == 0;
#endif
}

/// `Vectors` vectors in a row, one after the other in memory: 1, 2 or 4 of them. (A loop over an array would be kept by
/// gcc -O2 as it stands, in memory.)
template <std::size_t Vectors>
struct row_16 {
  row_16<Vectors / 2> low, high;

  WSCODEC_INLINE row_16(const char* p, vec16 key) noexcept : low(p, key), high(p + 8 * Vectors, key) {}
  WSCODEC_INLINE void store(char* p) const noexcept {
    low.store(p);
    high.store(p + 8 * Vectors);
  }
  [[nodiscard]] WSCODEC_INLINE vec16 joined() const noexcept { return low.joined() | high.joined(); }
};
template <>
struct row_16<1> {
  vec16 only;

  WSCODEC_INLINE row_16(const char* p, vec16 key) noexcept : only(load_16(p) ^ key) {}
  WSCODEC_INLINE void store(char* p) const noexcept { store_word(p, only); }
  [[nodiscard]] WSCODEC_INLINE vec16 joined() const noexcept { return only; }
};

/// `Half` vectors from the front and as many from the back, which overlap: `16 * Half <= n <= 32 * Half`.
template <std::size_t Half, bool Store, bool AsciiOnly>
WSCODEC_INLINE bool mask_overlapped(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  const row_16<Half> front{from, splat_16(key)};
  const row_16<Half> back{from + n - 16 * Half, splat_16(rotate_key(key, n))};
  if constexpr (AsciiOnly)
    if (!is_ascii_16(front.joined() | back.joined())) return false;
  if constexpr (Store) {
    front.store(to);
    back.store(to + n - 16 * Half);
  }
  return true;
}

/// 33 to 128 bytes.
template <bool Store, bool AsciiOnly>
inline bool mask_128(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  return n <= 64 ? mask_overlapped<2, Store, AsciiOnly>(to, from, n, key)
                 : mask_overlapped<4, Store, AsciiOnly>(to, from, n, key);
}

/// Up to 128 bytes: the shortest are dealt with where this is called.
template <bool Store, bool AsciiOnly>
WSCODEC_INLINE bool mask_small(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  if (n <= 16) return mask_16<Store, AsciiOnly>(to, from, n, key);
  if (n <= 32) return mask_overlapped<1, Store, AsciiOnly>(to, from, n, key);
  return mask_128<Store, AsciiOnly>(to, from, n, key);
}

inline constexpr std::size_t small_payload = 128;

#else

template <bool Store, bool AsciiOnly>
WSCODEC_INLINE bool mask_small(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  return mask_16<Store, AsciiOnly>(to, from, n, key);
}

inline constexpr std::size_t small_payload = 16;

#endif

WSCODEC_DETAIL_END
