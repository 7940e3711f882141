// wscodec: layer 2, masking: XOR with a repeated four-byte key (RFC 6455 5.3).
//
// A masking key travels through this library as one 32-bit word in *memory order*: the word that memcpy makes of its
// four bytes on the wire. So it can be XORed over memory without knowing the byte order of the machine.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "config.hpp"
#include "detail/kernels.hpp"
#include "detail/small.hpp"

WSCODEC_DETAIL_BEGIN

struct four_bytes {
  char at[4];
};

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Reads the key from the four bytes at `p`.
WSCODEC_INLINE constexpr std::uint32_t load_masking_key(const char* p) noexcept {
  if (std::is_constant_evaluated()) return std::bit_cast<std::uint32_t>(detail::four_bytes{{p[0], p[1], p[2], p[3]}});
  std::uint32_t key;
  std::memcpy(&key, p, 4);
  return key;
}

/// Writes the key to the four bytes at `p`.
WSCODEC_INLINE constexpr void store_masking_key(char* p, std::uint32_t key) noexcept {
  if (std::is_constant_evaluated()) {  // not covered: constant expressions
    const auto bytes = std::bit_cast<detail::four_bytes>(key);
    for (int i = 0; i < 4; ++i) p[i] = bytes.at[i];
  } else {
    std::memcpy(p, &key, 4);
  }
}

/// The key as the payload's byte `n` meets it: what to mask with when the first `n` bytes are done (F06).
WSCODEC_INLINE constexpr std::uint32_t rotate_masking_key(std::uint32_t key, std::uint64_t n) noexcept {
  return detail::rotate_key(key, n);
}

WSCODEC_FUNCTIONS_END

WSCODEC_DETAIL_BEGIN

/// Byte by byte. `to` may be `from`.
constexpr void mask_bytes(char* to, const char* from, std::size_t n,
                          std::uint32_t key) noexcept {  // not covered: constant expressions
  const auto bytes = std::bit_cast<four_bytes>(key);
  for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<char>(from[i] ^ bytes.at[i % 4]);
}

WSCODEC_INLINE void mask_payload(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  if (n <= small_payload) mask_small<true, false>(to, from, n, key);
  else the_kernels().mask(to, from, n, key);
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Masks or unmasks `n` bytes in place. RFC 6455 5.3: octet i is XORed with octet i mod 4 of the key.
WSCODEC_INLINE constexpr void mask(char* data, std::size_t n, std::uint32_t key) noexcept {
  if (std::is_constant_evaluated()) return detail::mask_bytes(data, data, n, key);
  data = detail::anonymous(data);
  detail::mask_payload(data, data, n, key);
}

/// The same while copying; `to` and `from` must not overlap.
WSCODEC_INLINE constexpr void mask_copy(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  if (std::is_constant_evaluated()) return detail::mask_bytes(to, from, n, key);
  detail::mask_payload(detail::anonymous(to), detail::anonymous(from), n, key);
}

WSCODEC_FUNCTIONS_END
