// wscodec: layer 2, SHA-1 (FIPS 180-4 6.1). Here it is no defence, only the handshake's checksum (RFC 6455 1.3).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "bytes.hpp"
#include "config.hpp"
#include "detail/kernels.hpp"
#include "detail/sha1_x86.hpp"

WSCODEC_DETAIL_BEGIN

/// Takes one block of 64 bytes into the hash.
constexpr void sha1_block_words(std::uint32_t (&hash)[5], const char* block) noexcept {
  std::uint32_t w[80] = {};
  for (std::size_t t = 0; t < 16; ++t) w[t] = load_big<std::uint32_t>(block + 4 * t);
  for (std::size_t t = 16; t < 80; ++t) w[t] = std::rotl(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
  std::uint32_t a = hash[0], b = hash[1], c = hash[2], d = hash[3], e = hash[4];
  const auto round = [&](std::uint32_t mixed, std::uint32_t scheduled) {
    const std::uint32_t next = std::rotl(a, 5) + mixed + e + scheduled;
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  };
  for (std::size_t t = 0; t < 20; ++t) round(((c ^ d) & b) ^ d, w[t] + 0x5A827999U);
  for (std::size_t t = 20; t < 40; ++t) round(b ^ c ^ d, w[t] + 0x6ED9EBA1U);
  for (std::size_t t = 40; t < 60; ++t) round((b & c) | (d & (b | c)), w[t] + 0x8F1BBCDCU);
  for (std::size_t t = 60; t < 80; ++t) round(b ^ c ^ d, w[t] + 0xCA62C1D6U);
  hash[0] += a;
  hash[1] += b;
  hash[2] += c;
  hash[3] += d;
  hash[4] += e;
}

constexpr void sha1_block(std::uint32_t (&hash)[5], const char* block) noexcept {
#if defined(__GNUC__) && defined(__x86_64__) && defined(__SSE2__)
  if (!std::is_constant_evaluated() && has_sha_instructions()) return sha_x86::block(hash, block);
#endif
  sha1_block_words(hash, block);
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// The digest of `a` followed by `b`, as if they were one string.
[[nodiscard]] constexpr std::array<char, 20> sha1(std::string_view a, std::string_view b = {}) noexcept {
  std::uint32_t hash[5] = {0x67452301U, 0xEFCDAB89U, 0x98BADCFEU, 0x10325476U, 0xC3D2E1F0U};
  char block[64] = {};
  std::size_t filled = 0;
  for (std::string_view rest : {a, b}) {
    while (!rest.empty()) {
      const std::size_t take = rest.size() < 64 - filled ? rest.size() : 64 - filled;
      detail::copy_bytes(block + filled, rest.data(), take);
      rest.remove_prefix(take);
      filled += take;
      if (filled == 64) {
        detail::sha1_block(hash, block);
        filled = 0;
      }
    }
  }
  // FIPS 180-4 5.1.1: one bit, zeros, and the length in bits end the last block.
  block[filled++] = static_cast<char>(0x80);
  if (filled > 56) {
    while (filled < 64) block[filled++] = 0;
    detail::sha1_block(hash, block);
    filled = 0;
  }
  while (filled < 56) block[filled++] = 0;
  detail::store_big<std::uint64_t>(block + 56, 8 * (std::uint64_t{a.size()} + b.size()));
  detail::sha1_block(hash, block);
  std::array<char, 20> digest{};
  for (std::size_t i = 0; i < 5; ++i) detail::store_big<std::uint32_t>(digest.data() + 4 * i, hash[i]);
  return digest;
}

WSCODEC_FUNCTIONS_END
