#include <wscodec/mask.hpp>
#include <wscodec/sha1.hpp>
#include <wscodec/utf8.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "guarded.hpp"

namespace ws = wscodec;

// RFC 6455 5.7: a masked "Hello".
static_assert([] {
  char bytes[] = {'\x7f', '\x9f', '\x4d', '\x51', '\x58'};
  ws::mask(bytes, 5, ws::load_masking_key("\x37\xfa\x21\x3d"));
  return std::string_view{bytes, 5} == "Hello";
}());
static_assert([] {
  char bytes[5] = {};
  ws::mask_copy(bytes, "Hello", 5, ws::load_masking_key("\x37\xfa\x21\x3d"));
  return std::string_view{bytes, 5} == "\x7f\x9f\x4d\x51\x58";
}());
static_assert([] {
  char bytes[4] = {};
  ws::store_masking_key(bytes, ws::load_masking_key("\x01\x02\x03\xff"));
  return std::string_view{bytes, 4} == "\x01\x02\x03\xff";
}());

namespace {

using mask_function = void (*)(char* to, const char* from, std::size_t n, std::uint32_t key);

void public_mask(char* to, const char* from, std::size_t n, std::uint32_t key) {
  if (to == from) ws::mask(to, n, key);
  else ws::mask_copy(to, from, n, key);
}

constexpr std::string_view key_bytes = "\x37\xfa\x21\x9d";

std::string some_bytes(std::size_t n) {
  std::string bytes(n, '\0');
  std::uint32_t x = 1;
  for (char& byte : bytes) byte = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return bytes;
}

/// RFC 6455 5.3, in so many words.
std::string masked(std::string_view bytes) {
  std::string result{bytes};
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<char>(bytes[i] ^ key_bytes[i % 4]);
  return result;
}

bool every_length_and_alignment(mask_function f) {
  const std::uint32_t key = ws::load_masking_key(key_bytes.data());
  guarded from, to;
  for (std::size_t n = 0; n <= 300; ++n) {
    const std::string plain = some_bytes(n);
    const std::string wanted = masked(plain);
    for (std::size_t shift = 0; shift < 64; ++shift) {
      char* const at = to.begin() + shift;
      std::memset(to.begin(), 0x55, n + 128);
      std::memcpy(at, plain.data(), n);
      f(at, at, n, key);
      if (std::string_view{at, n} != wanted) return false;
      for (std::size_t i = 0; i < n + 128; ++i)
        if ((i < shift || i >= shift + n) && to.begin()[i] != 0x55) return false;

      std::memset(to.begin(), 0x55, n + 128);
      std::memcpy(from.last(n), plain.data(), n);
      f(at, from.last(n), n, key);
      if (std::string_view{at, n} != wanted || std::string_view{from.last(n), n} != plain) return false;
    }
    // Against both forbidden pages.
    std::memcpy(to.last(n), plain.data(), n);
    f(to.last(n), to.last(n), n, key);
    std::memcpy(from.begin(), plain.data(), n);
    f(from.begin(), from.begin(), n, key);
    if (std::string_view{to.last(n), n} != wanted || std::string_view{from.begin(), n} != wanted) return false;
  }
  return true;
}

/// Runs this whole program on the kernels that WSCODEC_TEST_KERNELS names, or, where there are none, not at all.
const bool forced = [] {
  const char* const name = std::getenv("WSCODEC_TEST_KERNELS");
  if (name == nullptr) return false;
  bool done = false;
  ws::detail::for_each_kernels([&](const ws::detail::kernels& k) {
    if (std::string_view{name} == k.name) done = ws::detail::force_kernels(k);
  });
  if (!done) {
    std::printf("SKIPPED: %s cannot be forced here\n0 passed, 0 failed\n", name);
    std::exit(0);
  }
  return true;
}();

}  // namespace

TEST_CASE("F06 a payload is masked alike at every length and alignment, and nothing beside it is touched",
          "[mask][F06]") {
  CHECK(every_length_and_alignment(public_mask));
}

TEST_CASE("every kernel masks alike", "[mask][kernels]") {
  if (forced) CHECK(ws::detail::the_kernels().name == std::string_view{std::getenv("WSCODEC_TEST_KERNELS")});
  ws::detail::for_each_kernels([](const ws::detail::kernels& k) {
    INFO(k.name);
    CHECK(every_length_and_alignment(k.mask));
  });
}

TEST_CASE("F06 the key's phase goes on over every split", "[mask][F06]") {
  const std::string plain = some_bytes(700);
  const std::string wanted = masked(plain);
  for (std::size_t split = 0; split <= plain.size(); ++split) {
    std::string bytes = plain;
    std::uint32_t key = ws::load_masking_key(key_bytes.data());
    ws::mask(bytes.data(), split, key);
    key = ws::rotate_masking_key(key, split);
    ws::mask(bytes.data() + split, bytes.size() - split, key);
    if (bytes != wanted) FAIL("split at " << split);
  }
  std::string bytes = plain;
  std::uint32_t key = ws::load_masking_key(key_bytes.data());
  for (char& byte : bytes) {
    ws::mask(&byte, 1, key);
    key = ws::rotate_masking_key(key, 1);
  }
  CHECK(bytes == wanted);
}

TEST_CASE("F06 a key of zero leaves the payload as it is", "[mask][F06]") {
  for (const std::size_t n : {0U, 5U, 16U, 31U, 128U, 129U, 1000U}) {
    std::string bytes = some_bytes(n);
    ws::mask(bytes.data(), n, 0);
    CHECK(bytes == some_bytes(n));
  }
}

#if defined(__GNUC__) && defined(__x86_64__) && defined(__SSE2__)
TEST_CASE("whatever is called first looks at the machine and chooses the kernels", "[mask][kernels]") {
  const ws::detail::kernels& now = ws::detail::the_kernels();
  const auto undecided = [] { return ws::detail::force_kernels(ws::detail::undecided_kernels); };
  const auto chosen = [] { return ws::detail::the_kernels().name != std::string_view{"undecided"}; };
  if (undecided()) {
    std::string bytes = some_bytes(1000);
    const std::uint32_t key = ws::load_masking_key(key_bytes.data());
    CHECK_FALSE(chosen());
    ws::mask(bytes.data(), bytes.size(), key);
    CHECK(chosen());
    CHECK(bytes == masked(some_bytes(1000)));
    const std::string text(1000, 'x');
    std::string hidden = masked(text);
    for (const bool is_masked : {false, true}) {
      CHECK(undecided());
      std::uint8_t state = 0;
      CHECK((is_masked ? ws::unmask_utf8(hidden.data(), hidden.size(), key, state)
                       : ws::utf8_check(text.data(), text.size(), state)) == 1000);
      CHECK(chosen());
    }
    CHECK(hidden == text);
    CHECK(undecided());
    (void)ws::detail::has_sha_instructions();
    CHECK(chosen());
    ws::detail::for_each_kernels([](const ws::detail::kernels& k) {
      CHECK(ws::detail::force_kernels(k));
      CHECK(ws::detail::has_sha_instructions() == std::string_view{k.name}.ends_with("_sha"));
    });
  } else {
    CHECK(&ws::detail::the_kernels() == &ws::detail::avx2_kernels);
  }
  (void)ws::detail::force_kernels(now);
}

TEST_CASE("the best kernels are the last that the machine can run", "[mask][kernels]") {
  using ws::detail::x86_features;
  const auto best = [](const x86_features& machine) {
    std::string_view last;
    ws::detail::for_each_kernels([&](const ws::detail::kernels& k) { last = k.name; }, machine);
    CHECK(last == ws::detail::best_kernels(machine).name);
    return last;
  };
  CHECK(best({}) == "plain");
  CHECK(best({.ssse3 = true}) == "ssse3");
  CHECK(best({.ssse3 = true, .sha = true}) == "ssse3");
  CHECK(best({.ssse3 = true, .avx2 = true}) == "avx2");
  CHECK(best({.ssse3 = true, .avx2 = true, .sha = true}) == "avx2_sha");
}

TEST_CASE("what CPUID and XCR0 say of a machine", "[mask][kernels]") {
  // Intel SDM, CPUID: leaf 1, ecx: SSSE3 9, SSE4.1 19, OSXSAVE 27, AVX 28; leaf 7, ebx: AVX2 5, SHA 29. XCR0: XMM 1,
  // YMM 2.
  constexpr std::uint32_t ssse3 = 0x200, sse41 = 0x80000, avx = 0x18000000, avx2 = 0x20, sha = 0x20000000;
  const auto found = [](std::uint32_t one, std::uint32_t seven, std::uint32_t xcr0) {
    const ws::detail::x86_features f = ws::detail::x86_features_of(one, seven, xcr0);
    return std::string{f.ssse3 ? "ssse3 " : ""} + (f.avx2 ? "avx2 " : "") + (f.sha ? "sha " : "");
  };
  CHECK(found(0, 0, 0).empty());
  CHECK(found(ssse3, 0, 0) == "ssse3 ");
  CHECK(found(ssse3 | sse41 | avx, avx2 | sha, 7) == "ssse3 avx2 sha ");
  CHECK(found(ssse3 | sse41 | avx, avx2 | sha, 3) == "ssse3 sha ");  // the operating system saves half of the registers
  CHECK(found(ssse3 | sse41 | avx, avx2 | sha, 5) == "ssse3 sha ");
  CHECK(found(ssse3 | sse41, avx2 | sha, 7) == "ssse3 sha ");
  CHECK(found(ssse3 | sse41 | avx, sha, 7) == "ssse3 sha ");
  CHECK(found(ssse3 | avx, avx2 | sha, 7) == "ssse3 avx2 ");
  CHECK(found(sse41, sha, 0).empty());
}
#endif

TEST_CASE("F06 a position beyond 32 bits has its phase", "[mask][F06]") {
  const std::uint32_t key = ws::load_masking_key("\x01\x02\x03\x04");
  CHECK(ws::rotate_masking_key(key, (std::uint64_t{1} << 40) + 1) == ws::load_masking_key("\x02\x03\x04\x01"));
  CHECK(ws::rotate_masking_key(key, 3) == ws::load_masking_key("\x04\x01\x02\x03"));
}

TEST_CASE("masking twice gives the payload back, at large sizes too", "[mask]") {
  const std::string plain = some_bytes(1'000'003);
  std::string bytes = plain;
  ws::mask(bytes.data(), bytes.size(), ws::load_masking_key(key_bytes.data()));
  CHECK(bytes == masked(plain));
  std::string copy(bytes.size(), '\0');
  ws::mask_copy(copy.data(), bytes.data(), bytes.size(), ws::load_masking_key(key_bytes.data()));
  CHECK(copy == plain);
}
