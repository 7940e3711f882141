// wscodec: layer 2, UTF-8 (RFC 3629): checking text that arrives in pieces, alone or in one pass with unmasking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "config.hpp"
#include "detail/kernels.hpp"
#include "detail/small.hpp"
#include "detail/utf8_automaton.hpp"
#include "mask.hpp"

WSCODEC_TYPES_BEGIN

/// Where a text was cut: 0 between code points, so the text may end here; anything else inside one (F16).
using utf8_state = std::uint8_t;

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

// Short ASCII between code points is the commonest text of all and needs no kernel.

WSCODEC_INLINE std::size_t check_text(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  if (n <= small_payload && state == utf8_complete && mask_small<false, true>(nullptr, p, n, 0)) return n;
  return the_kernels().utf8(p, n, state);
}

WSCODEC_INLINE std::size_t unmask_text(char* to, const char* from, std::size_t n, std::uint32_t key,
                                       std::uint8_t& state) noexcept {
  if (n <= small_payload && state == utf8_complete && mask_small<true, true>(to, from, n, key)) return n;
  return the_kernels().unmask_utf8(to, from, n, key, state);
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Checks the next `n` bytes of a text. Returns how many can be part of valid text: `n`, or the index of the first
/// byte that cannot (F15); then `state` means nothing. `state` is 0 at the start of the text, and at its end if the
/// text is complete.
WSCODEC_INLINE constexpr std::size_t utf8_check(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  return std::is_constant_evaluated() ? detail::utf8_check_bytes(p, n, state)
                                      : detail::check_text(detail::anonymous(p), n, state);
}

/// Is this a whole text in UTF-8?
[[nodiscard]] WSCODEC_INLINE constexpr bool is_utf8(std::string_view text) noexcept {
  std::uint8_t state = 0;
  return utf8_check(text.data(), text.size(), state) == text.size() && state == 0;
}

/// Copies while unmasking `n` bytes, and checks them, in one pass; returns and keeps state like `utf8_check`. The bytes
/// before the returned index are there, those behind it are unspecified. `to` and `from` must not overlap.
WSCODEC_INLINE constexpr std::size_t unmask_copy_utf8(char* to, const char* from, std::size_t n, std::uint32_t key,
                                                      std::uint8_t& state) noexcept {
  if (std::is_constant_evaluated()) {  // not covered: constant expressions
    detail::mask_bytes(to, from, n, key);
    return detail::utf8_check_bytes(to, n, state);
  }
  return detail::unmask_text(detail::anonymous(to), detail::anonymous(from), n, key, state);
}

/// The same in place.
WSCODEC_INLINE constexpr std::size_t unmask_utf8(char* data, std::size_t n, std::uint32_t key,
                                                 std::uint8_t& state) noexcept {
  if (std::is_constant_evaluated()) return unmask_copy_utf8(data, data, n, key, state);
  data = detail::anonymous(data);
  return detail::unmask_text(data, data, n, key, state);
}

/// The same for text that is not masked.
WSCODEC_INLINE constexpr std::size_t copy_utf8(char* to, const char* from, std::size_t n,
                                               std::uint8_t& state) noexcept {
  return unmask_copy_utf8(to, from, n, 0, state);
}

WSCODEC_FUNCTIONS_END
