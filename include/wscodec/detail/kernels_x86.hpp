// wscodec: layer 2, inside mask: the kernels for x86-64: SSSE3 and AVX2.
//
// By builtins of gcc and clang: <immintrin.h> alone would double the time it takes to compile everything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "small.hpp"
#include "utf8_automaton.hpp"

WSCODEC_DETAIL_BEGIN

/// Sixteen bytes each, twice: a look-up works on each half of a vector by itself.
struct alignas(32) utf8_rule_tables {
  std::uint8_t by_upper_before[32], by_lower_before[32], by_upper[32];
};

consteval utf8_rule_tables make_utf8_rules() noexcept {
  // A rule is broken by a byte whose predecessor has its upper and lower half in these sets, and whose own upper half
  // is in that set. Bit 0 of a set stands for 0, bit 15 for F.
  constexpr struct {
    unsigned upper_before, lower_before, upper;
  } rules[8] = {
      {0xF000, 0xFFFF, 0xF0FF},  // C0..FF, then no continuation
      {0x00FF, 0xFFFF, 0x0F00},  // 00..7F, then a continuation
      {0x1000, 0x0003, 0x0F00},  // C0, C1: overlong
      {0x4000, 0x0001, 0x0300},  // E0, then 80..9F: overlong
      {0x4000, 0x2000, 0x0C00},  // ED, then A0..BF: a surrogate
      {0x8000, 0xFFE1, 0x0100},  // F0, then 80..8F: overlong; F5..FF, then the same: above U+10FFFF
      {0x8000, 0xFFF0, 0x0E00},  // F4..FF, then 90..BF: above U+10FFFF
      {0x0F00, 0xFFFF, 0x0F00},  // a continuation, then another: right in longer code points, and bit 7 says so
  };
  utf8_rule_tables tables{};
  for (unsigned i = 0; i < 32; ++i)
    for (unsigned r = 0; r < 8; ++r) {
      const auto bit = [=](unsigned set) { return static_cast<std::uint8_t>((set >> i % 16 & 1U) << r); };
      tables.by_upper_before[i] |= bit(rules[r].upper_before);
      tables.by_lower_before[i] |= bit(rules[r].lower_before);
      tables.by_upper[i] |= bit(rules[r].upper);
    }
  return tables;
}
inline constexpr utf8_rule_tables utf8_rules = make_utf8_rules();

#define WSCODEC_TARGET __attribute__((target("ssse3")))
namespace ssse3 {

using vec = vec16;
using chars __attribute__((vector_size(16))) = char;
using words __attribute__((vector_size(16))) = long long;

WSCODEC_TARGET WSCODEC_INLINE vec load(const char* p) noexcept { return load_word<vec>(p); }
WSCODEC_TARGET WSCODEC_INLINE void store(char* p, vec v) noexcept { store_word(p, v); }
WSCODEC_TARGET WSCODEC_INLINE vec splat(std::uint32_t key) noexcept { return splat_16(key); }
WSCODEC_TARGET WSCODEC_INLINE vec fill(std::uint8_t byte) noexcept { return vec{} + byte; }
WSCODEC_TARGET WSCODEC_INLINE bool is_ascii(vec v) noexcept { return is_ascii_16(v); }
WSCODEC_TARGET WSCODEC_INLINE bool any(vec v) noexcept { return !is_ascii_16(~(v == vec{})); }
WSCODEC_TARGET WSCODEC_INLINE vec look_up(vec table, vec index) noexcept {
  return reinterpret_cast<vec>(
      __builtin_ia32_pshufb128(reinterpret_cast<chars>(table), reinterpret_cast<chars>(index)));
}
/// Saturating: never below 0.
WSCODEC_TARGET WSCODEC_INLINE vec subtract(vec a, vec b) noexcept {
#if defined(__clang__) && __clang_major__ > 14
  return __builtin_elementwise_sub_sat(a, b);
#else
  return reinterpret_cast<vec>(__builtin_ia32_psubusb128(reinterpret_cast<chars>(a), reinterpret_cast<chars>(b)));
#endif
}
WSCODEC_TARGET WSCODEC_INLINE vec bridge_of(vec older, vec) noexcept { return older; }
/// Each byte of `now` becomes the one `N` places before it.
template <int N>
WSCODEC_TARGET WSCODEC_INLINE vec behind(vec bridge, vec now) noexcept {
#if defined(__clang__)
  return reinterpret_cast<vec>(
      __builtin_ia32_palignr128(reinterpret_cast<chars>(now), reinterpret_cast<chars>(bridge), 16 - N));
#else
  return reinterpret_cast<vec>(
      __builtin_ia32_palignr128(reinterpret_cast<words>(now), reinterpret_cast<words>(bridge), 8 * (16 - N)));
#endif
}

#include "kernel_blocks.hpp"
#include "utf8_lookup.hpp"

}  // namespace ssse3
#undef WSCODEC_TARGET

#define WSCODEC_TARGET __attribute__((target("avx2")))
namespace avx2 {

using vec __attribute__((vector_size(32))) = std::uint8_t;
using chars __attribute__((vector_size(32))) = char;
using words __attribute__((vector_size(32))) = long long;
using keys_of_32 __attribute__((vector_size(32))) = std::uint32_t;

WSCODEC_TARGET WSCODEC_INLINE vec load(const char* p) noexcept {
  vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
WSCODEC_TARGET WSCODEC_INLINE void store(char* p, vec v) noexcept { std::memcpy(p, &v, sizeof v); }
WSCODEC_TARGET WSCODEC_INLINE vec splat(std::uint32_t key) noexcept {
  return reinterpret_cast<vec>(keys_of_32{key, key, key, key, key, key, key, key});
}
WSCODEC_TARGET WSCODEC_INLINE vec fill(std::uint8_t byte) noexcept { return vec{} + byte; }
WSCODEC_TARGET WSCODEC_INLINE bool is_ascii(vec v) noexcept {
  return __builtin_ia32_pmovmskb256(reinterpret_cast<chars>(v)) == 0;
}
WSCODEC_TARGET WSCODEC_INLINE bool any(vec v) noexcept {
  return __builtin_ia32_ptestz256(reinterpret_cast<words>(v), reinterpret_cast<words>(v)) == 0;
}
WSCODEC_TARGET WSCODEC_INLINE vec look_up(vec table, vec index) noexcept {
  return reinterpret_cast<vec>(
      __builtin_ia32_pshufb256(reinterpret_cast<chars>(table), reinterpret_cast<chars>(index)));
}
WSCODEC_TARGET WSCODEC_INLINE vec subtract(vec a, vec b) noexcept {
#if defined(__clang__) && __clang_major__ > 14
  return __builtin_elementwise_sub_sat(a, b);
#else
  return reinterpret_cast<vec>(__builtin_ia32_psubusb256(reinterpret_cast<chars>(a), reinterpret_cast<chars>(b)));
#endif
}
/// The upper half of `older` and the lower half of `now`: the bytes before each half of `now`.
WSCODEC_TARGET WSCODEC_INLINE vec bridge_of(vec older, vec now) noexcept {
  return reinterpret_cast<vec>(
      __builtin_ia32_permti256(reinterpret_cast<words>(older), reinterpret_cast<words>(now), 0x21));
}
template <int N>
WSCODEC_TARGET WSCODEC_INLINE vec behind(vec bridge, vec now) noexcept {
#if defined(__clang__)
  return reinterpret_cast<vec>(
      __builtin_ia32_palignr256(reinterpret_cast<chars>(now), reinterpret_cast<chars>(bridge), 16 - N));
#else
  return reinterpret_cast<vec>(
      __builtin_ia32_palignr256(reinterpret_cast<words>(now), reinterpret_cast<words>(bridge), 8 * (16 - N)));
#endif
}

#include "kernel_blocks.hpp"
#include "utf8_lookup.hpp"

}  // namespace avx2
#undef WSCODEC_TARGET

/// What the machine and its operating system offer.
struct x86_features {
  bool ssse3 = false, avx2 = false, sha = false;
};

/// From CPUID: ecx of leaf 1, ebx of leaf 7; and from XCR0, which AVX registers the operating system saves.
constexpr x86_features x86_features_of(std::uint32_t one, std::uint32_t seven, std::uint32_t xcr0) noexcept {
  x86_features found;
  found.ssse3 = (one >> 9 & 1U) != 0;
  found.sha = (seven >> 29 & 1U) != 0 && found.ssse3 && (one >> 19 & 1U) != 0;       // with SSE4.1
  found.avx2 = (seven >> 5 & 1U) != 0 && (one >> 28 & 1U) != 0 && (xcr0 & 6U) == 6;  // with AVX
  return found;
}

inline x86_features find_x86_features() noexcept {
  struct registers {
    std::uint32_t a, b, c, d;
  };
  const auto cpuid = [](std::uint32_t leaf) {
    registers r{};
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(0));
    return r;
  };
  const std::uint32_t one = cpuid(1).c;
  const std::uint32_t seven = cpuid(0).a >= 7 ? cpuid(7).b : 0;  // not covered: processors before 2006
  std::uint32_t xcr0 = 0;
  std::uint32_t high = 0;
  // OSXSAVE: the operating system says which registers it saves.
  if ((one >> 27 & 1U) != 0)  // not covered: operating systems before 2009
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  return x86_features_of(one, seven, xcr0);
}

WSCODEC_DETAIL_END
