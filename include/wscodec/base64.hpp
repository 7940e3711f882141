// wscodec: layer 2, base64 (RFC 4648 4), as far as the handshake needs it: writing any bytes, recognising a key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bytes.hpp"
#include "config.hpp"

WSCODEC_DETAIL_BEGIN

inline constexpr char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr bool is_base64_digit(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// How many characters `n` bytes become, padding included.
[[nodiscard]] constexpr std::size_t base64_size(std::size_t n) noexcept { return n / 3 * 4 + (n % 3 != 0 ? 4 : 0); }

/// Writes `base64_size(bytes.size())` characters to `to`, which must not overlap `bytes`.
constexpr void base64_encode(char* to, std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const std::size_t have = bytes.size() < 3 ? bytes.size() : 3;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < have ? detail::byte_at(bytes.data() + i) : 0U);
    for (std::size_t i = 0; i < 4; ++i) to[i] = i <= have ? detail::base64_alphabet[group >> (18 - 6 * i) & 63U] : '=';
    to += 4;
    bytes.remove_prefix(have);
  }
}

/// Is this the base64 form of 16 bytes, as Sec-WebSocket-Key must be? The four bits of padding may have any value: the
/// RFC's own sample sets them (H08).
[[nodiscard]] constexpr bool is_base64_of_16(std::string_view text) noexcept {
  if (text.size() != 24 || text[22] != '=' || text[23] != '=') return false;
  for (std::size_t i = 0; i < 22; ++i)
    if (!detail::is_base64_digit(text[i])) return false;
  return true;
}

WSCODEC_FUNCTIONS_END
