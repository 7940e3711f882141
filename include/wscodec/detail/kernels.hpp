// wscodec: layer 2, inside mask: masking and checking whole payloads with each instruction set, and choosing one.
//
// Nothing outside the given spans is read or written. A program compiled for any x86-64 uses AVX2 all the same where
// the machine has it: kernels are compiled for what they need, and reached through one pointer, the library's only
// global. Its first value is a table whose functions look at the machine, set the pointer, and go on; whatever thread
// comes first finds the same answer, so nothing is locked.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../config.hpp"
#include "small.hpp"
#include "utf8_automaton.hpp"
#if defined(__GNUC__) && defined(__x86_64__) && defined(__SSE2__)
#include "kernels_x86.hpp"
#endif

WSCODEC_DETAIL_BEGIN

/// One implementation of everything. The lengths may be anything; `to` may be `from`, but not overlap it otherwise.
struct kernels {
  const char* name;
  void (*mask)(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept;
  std::size_t (*unmask_utf8)(char* to, const char* from, std::size_t n, std::uint32_t key,
                             std::uint8_t& state) noexcept;
  std::size_t (*utf8)(const char* p, std::size_t n, std::uint8_t& state) noexcept;
  bool sha = false;  // SHA instructions can be used
};

// Any machine: 64-bit words.

inline std::size_t utf8_words(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  std::size_t i = 0;
  for (; n - i >= 8; i += 8) {
    if (state == utf8_complete && (load_word<std::uint64_t>(p + i) & top_bits) == 0) continue;
    const std::size_t good = utf8_check_bytes(p + i, 8, state);
    if (good != 8) return i + good;
  }
  return i + utf8_check_bytes(p + i, n - i, state);
}

inline std::size_t unmask_utf8_words(char* to, const char* from, std::size_t n, std::uint32_t key,
                                     std::uint8_t& state) noexcept {
  // In pieces, so that the bytes are still near when they are checked.
  std::size_t done = 0;
  while (done != n) {
    const std::size_t piece = n - done < 4096 ? n - done : 4096;
    mask_words(to + done, from + done, piece, key);
    const std::size_t good = utf8_words(to + done, piece, state);
    done += good;
    if (good != piece) break;
  }
  return done;
}

inline constexpr kernels word_kernels{"words", &mask_words, &unmask_utf8_words, &utf8_words};

#if defined(__GNUC__) && (defined(__SSE2__) || defined(__ARM_NEON))

// Any machine with vectors of 16 bytes that the compiler knows: SSE2, NEON, and the like.

#define WSCODEC_TARGET
namespace plain {

using vec = vec16;
WSCODEC_INLINE vec load(const char* p) noexcept { return load_16(p); }
WSCODEC_INLINE void store(char* p, vec v) noexcept { store_word(p, v); }
WSCODEC_INLINE vec splat(std::uint32_t key) noexcept { return splat_16(key); }

#include "kernel_blocks.hpp"

inline void mask(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  if (n <= small_payload) mask_small<true, false>(to, from, n, key);
  else mask_blocks(to, from, n, key);
}

}  // namespace plain
#undef WSCODEC_TARGET

inline constexpr kernels plain_kernels{"plain", &plain::mask, &unmask_utf8_words, &utf8_words};

#endif

#if defined(__GNUC__) && defined(__x86_64__) && defined(__SSE2__)

namespace ssse3 {

__attribute__((target("ssse3"))) inline std::size_t unmask_utf8(char* to, const char* from, std::size_t n,
                                                                std::uint32_t key, std::uint8_t& state) noexcept {
  return n < sizeof(vec) ? unmask_utf8_words(to, from, n, key, state) : utf8_blocks<true>(to, from, n, key, state);
}
__attribute__((target("ssse3"))) inline std::size_t utf8(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  return n < sizeof(vec) ? utf8_words(p, n, state) : utf8_blocks<false>(nullptr, p, n, 0, state);
}

}  // namespace ssse3

namespace avx2 {

__attribute__((target("avx2"))) inline void mask(char* to, const char* from, std::size_t n,
                                                 std::uint32_t key) noexcept {
  if (n <= small_payload) mask_small<true, false>(to, from, n, key);
  else mask_blocks(to, from, n, key);
}
__attribute__((target("avx2"))) inline std::size_t unmask_utf8(char* to, const char* from, std::size_t n,
                                                               std::uint32_t key, std::uint8_t& state) noexcept {
  return n < sizeof(vec) ? ssse3::unmask_utf8(to, from, n, key, state) : utf8_blocks<true>(to, from, n, key, state);
}
__attribute__((target("avx2"))) inline std::size_t utf8(const char* p, std::size_t n, std::uint8_t& state) noexcept {
  return n < sizeof(vec) ? ssse3::utf8(p, n, state) : utf8_blocks<false>(nullptr, p, n, 0, state);
}

}  // namespace avx2

inline constexpr kernels ssse3_kernels{"ssse3", &plain::mask, &ssse3::unmask_utf8, &ssse3::utf8};
inline constexpr kernels avx2_kernels{"avx2", &avx2::mask, &avx2::unmask_utf8, &avx2::utf8};
inline constexpr kernels avx2_sha_kernels{"avx2_sha", &avx2::mask, &avx2::unmask_utf8, &avx2::utf8, true};

inline const kernels& best_kernels(const x86_features& machine) noexcept {
  if (machine.avx2) return machine.sha ? avx2_sha_kernels : avx2_kernels;
  return machine.ssse3 ? ssse3_kernels : plain_kernels;
}

// The table that is there at first.
inline const kernels& choose_kernels() noexcept;
inline constexpr kernels undecided_kernels{
    "undecided",
    [](char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
      choose_kernels().mask(to, from, n, key);
    },
    [](char* to, const char* from, std::size_t n, std::uint32_t key, std::uint8_t& state) noexcept {
      return choose_kernels().unmask_utf8(to, from, n, key, state);
    },
    [](const char* p, std::size_t n, std::uint8_t& state) noexcept { return choose_kernels().utf8(p, n, state); }};

inline constinit const kernels* chosen_kernels = &undecided_kernels;

inline const kernels& choose_kernels() noexcept {
  const kernels& best = best_kernels(find_x86_features());
  __atomic_store_n(&chosen_kernels, &best, __ATOMIC_RELAXED);
  return best;
}

/// For tests: everything in this file's instruction set goes through these kernels from now on. False where the
/// compiler was told that AVX2 is there, since then nothing is chosen.
inline bool force_kernels(const kernels& these) noexcept {
  __atomic_store_n(&chosen_kernels, &these, __ATOMIC_RELAXED);
#if defined(__AVX2__)
  return false;
#else
  return true;
#endif
}

/// Every kernel this machine can run.
template <class Use>
void for_each_kernels(Use use, const x86_features& machine = find_x86_features()) {
  use(word_kernels);
  use(plain_kernels);
  if (machine.ssse3) use(ssse3_kernels);
  if (machine.avx2) use(machine.sha ? avx2_sha_kernels : avx2_kernels);
}

inline bool has_sha_instructions() noexcept {
  const kernels* chosen = __atomic_load_n(&chosen_kernels, __ATOMIC_RELAXED);
  return chosen == &undecided_kernels ? choose_kernels().sha : chosen->sha;
}

WSCODEC_INLINE const kernels& the_kernels() noexcept {
#if defined(__AVX2__)
  return avx2_kernels;
#else
  return *__atomic_load_n(&chosen_kernels, __ATOMIC_RELAXED);
#endif
}

#else

#if defined(__GNUC__) && (defined(__SSE2__) || defined(__ARM_NEON))
inline constexpr const kernels& only_kernels = plain_kernels;
#else
inline constexpr const kernels& only_kernels = word_kernels;
#endif

inline bool force_kernels(const kernels&) noexcept { return false; }

template <class Use>
void for_each_kernels(Use use) {
  use(word_kernels);
  if (&only_kernels != &word_kernels) use(only_kernels);
}

WSCODEC_INLINE constexpr const kernels& the_kernels() noexcept { return only_kernels; }

#endif

WSCODEC_DETAIL_END
