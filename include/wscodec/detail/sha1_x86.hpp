// wscodec: layer 2, inside sha1: a block with the SHA instructions of x86-64.
#pragma once

#if defined(__GNUC__) && defined(__x86_64__) && defined(__SSE2__)

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "../config.hpp"

WSCODEC_DETAIL_BEGIN

namespace sha_x86 {

using words __attribute__((vector_size(16))) = int;
using chars __attribute__((vector_size(16))) = char;

/// Twenty rounds, of which the instruction does four: with the constant and the function of round `20 * Part`.
template <int Part>
__attribute__((target("sha,ssse3"))) WSCODEC_INLINE void twenty_rounds(words& abcd, words& before,
                                                                       const words* schedule) noexcept {
  for (int i = 0; i < 5; ++i) {
    const words e = __builtin_ia32_sha1nexte(before, schedule[5 * Part + i]);
    before = abcd;
    abcd = __builtin_ia32_sha1rnds4(abcd, e, Part);
  }
}

__attribute__((target("sha,ssse3"))) inline void block(std::uint32_t (&hash)[5], const char* p) noexcept {
  // The instructions want the first of four words on top, the other way round than it lies in memory.
  const chars backwards = {15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
  words schedule[20];
  for (int i = 0; i < 4; ++i) {
    chars bytes;
    std::memcpy(&bytes, p + 16 * i, 16);
    schedule[i] = reinterpret_cast<words>(__builtin_ia32_pshufb128(bytes, backwards));
  }
  for (int i = 4; i < 20; ++i)
    schedule[i] = __builtin_ia32_sha1msg2(__builtin_ia32_sha1msg1(schedule[i - 4], schedule[i - 3]) ^ schedule[i - 2],
                                          schedule[i - 1]);

  const auto word = [&](int i) { return static_cast<int>(hash[i]); };
  const words start = {word(3), word(2), word(1), word(0)};
  words abcd = start;
  // `sha1nexte` makes e of the a of four rounds before, turned by 30 bits; the first e is turned back beforehand.
  words before = {0, 0, 0, static_cast<int>(std::rotl(hash[4], 2))};
  twenty_rounds<0>(abcd, before, schedule);
  twenty_rounds<1>(abcd, before, schedule);
  twenty_rounds<2>(abcd, before, schedule);
  twenty_rounds<3>(abcd, before, schedule);
  for (int i = 0; i < 4; ++i) hash[i] += static_cast<std::uint32_t>(abcd[3 - i]);
  hash[4] += std::rotl(static_cast<std::uint32_t>(before[3]), 30);
}

}  // namespace sha_x86

WSCODEC_DETAIL_END

#endif
