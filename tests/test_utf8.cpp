#include <wscodec/utf8.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "guarded.hpp"

namespace ws = wscodec;
using namespace std::string_view_literals;

// RFC 3629 7.
static_assert(ws::is_utf8("\x41\xE2\x89\xA2\xCE\x91\x2E"));
static_assert(ws::is_utf8("\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4"));
static_assert(ws::is_utf8("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E"));
static_assert(ws::is_utf8("\xEF\xBB\xBF\xF0\xA3\x8E\xB4"));
// RFC 3629 10 warns of these two.
static_assert(!ws::is_utf8("\xC0\x80"));
static_assert(!ws::is_utf8("\x2F\xC0\xAE\x2E\x2F"));

namespace {

/// The answer of a check: how many bytes are good, and whether the text could end there.
struct answer {
  std::size_t good;
  bool complete;
  friend bool operator==(const answer&, const answer&) = default;
};

/// Decodes code points and knows nothing of tables: a byte can be part of valid text as long as some code point that
/// is allowed begins with the bytes so far.
answer reference(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at])); };
    const std::uint32_t lead = byte(i);
    const unsigned length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;
    if (length == 0) return {i, false};
    constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    std::uint32_t value = length == 1 ? lead : lead & (0xFFU >> (length + 1));
    for (unsigned have = 1;; ++have) {
      const unsigned bits = 6 * (length - have);
      const std::uint32_t low = value << bits;
      const std::uint32_t high = low | ((1U << bits) - 1);
      const bool possible = high >= smallest[length] && low <= 0x10FFFF && !(low >= 0xD800 && high <= 0xDFFF);
      if (!possible) return {i + have - 1, false};
      if (have == length) break;
      if (i + have == text.size()) return {text.size(), false};
      if (byte(i + have) >> 6 != 2) return {i + have, false};
      value = value << 6 | (byte(i + have) & 0x3F);
    }
    i += length;
  }
  return {text.size(), true};
}

answer ask(std::size_t good, std::size_t n, std::uint8_t state) { return {good, good == n && state == 0}; }

constexpr std::uint32_t key = 0x9D21FA37U;

std::string masked(std::string_view text) {
  std::string bytes{text};
  ws::mask(bytes.data(), bytes.size(), key);
  return bytes;
}

/// Every way into the library, and every kernel, must give the reference's answer, and the text.
bool all_agree(std::string_view text) {
  const answer wanted = reference(text);
  const std::size_t n = text.size();
  const std::string wire = masked(text);
  static guarded in, out;
  bool same = true;
  const auto expect = [&](answer got, const char* unmasked) {
    same = same && got == wanted &&
           (unmasked == nullptr || text.substr(0, wanted.good) == std::string_view{unmasked, wanted.good});
  };
  std::uint8_t state = 0;
  std::memcpy(in.last(n), text.data(), n);
  std::size_t good = ws::utf8_check(in.last(n), n, state);
  expect(ask(good, n, state), nullptr);

  state = 0;
  good = ws::copy_utf8(out.last(n), in.last(n), n, state);
  expect(ask(good, n, state), out.last(n));

  state = 0;
  std::memcpy(in.last(n), wire.data(), n);
  good = ws::unmask_copy_utf8(out.begin(), in.last(n), n, key, state);
  expect(ask(good, n, state), out.begin());

  state = 0;
  good = ws::unmask_utf8(in.last(n), n, key, state);
  expect(ask(good, n, state), in.last(n));

  ws::detail::for_each_kernels([&](const ws::detail::kernels& k) {
    std::uint8_t s = 0;
    std::memcpy(in.begin(), text.data(), n);
    std::size_t g = k.utf8(in.begin(), n, s);
    expect(ask(g, n, s), nullptr);
    s = 0;
    std::memcpy(out.last(n), wire.data(), n);
    g = k.unmask_utf8(out.last(n), out.last(n), n, key, s);
    expect(ask(g, n, s), out.last(n));
    s = 0;
    std::memcpy(in.begin(), wire.data(), n);
    g = k.unmask_utf8(out.begin(), in.begin(), n, key, s);
    expect(ask(g, n, s), out.begin());
  });
  if (!same) UNSCOPED_INFO("length " << n << ", good " << wanted.good);
  return same;
}

/// The same, cut in two at `split`: the first piece carries a code point over (F16).
bool agrees_when_cut(std::string_view text, std::size_t split) {
  const answer wanted = reference(text);
  bool same = true;
  ws::detail::for_each_kernels([&](const ws::detail::kernels& k) {
    std::string bytes = masked(text);
    std::uint8_t state = 0;
    std::size_t good = k.unmask_utf8(bytes.data(), bytes.data(), split, key, state);
    if (good == split)
      good += k.unmask_utf8(bytes.data() + split, bytes.data() + split, bytes.size() - split,
                            ws::rotate_masking_key(key, split), state);
    same = same && ask(good, bytes.size(), state) == wanted;
    state = 0;
    good = k.utf8(text.data(), split, state);
    if (good == split) good += k.utf8(text.data() + split, text.size() - split, state);
    same = same && ask(good, text.size(), state) == wanted;
  });
  std::string bytes = masked(text);
  std::uint8_t state = 0;
  std::size_t good = ws::unmask_utf8(bytes.data(), split, key, state);
  if (good == split)
    good += ws::unmask_utf8(bytes.data() + split, bytes.size() - split, ws::rotate_masking_key(key, split), state);
  return same && ask(good, bytes.size(), state) == wanted;
}

class random_numbers {
 public:
  std::uint32_t below(std::uint32_t n) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>((state_ >> 33) % n);
  }

 private:
  std::uint64_t state_ = 42;
};

void append_code_point(std::string& text, std::uint32_t value) {
  const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (value < 0x80) {
    put(value);
  } else if (value < 0x800) {
    put(0xC0 | value >> 6);
    put(0x80 | (value & 0x3F));
  } else if (value < 0x10000) {
    put(0xE0 | value >> 12);
    put(0x80 | (value >> 6 & 0x3F));
    put(0x80 | (value & 0x3F));
  } else {
    put(0xF0 | value >> 18);
    put(0x80 | (value >> 12 & 0x3F));
    put(0x80 | (value >> 6 & 0x3F));
    put(0x80 | (value & 0x3F));
  }
}

std::string random_text(random_numbers& random, std::size_t size) {
  constexpr std::uint32_t limits[] = {0x80, 0x80, 0x800, 0xD800, 0x110000};
  std::string text;
  while (text.size() < size) {
    std::uint32_t value = random.below(limits[random.below(5)]);
    if (value >= 0xD800 && value <= 0xDFFF) value = 0x20AC;
    append_code_point(text, value);
  }
  return text;
}

}  // namespace

TEST_CASE("F17 overlong forms, surrogates and what is above U+10FFFF are refused at the byte that cannot be",
          "[utf8][F15][F17]") {
  struct {
    std::string_view text;
    std::size_t good;
  } const cases[] = {
      {"\xC0\xAF", 0},
      {"\xC1\xBF", 0},
      {"\xE0\x80\xAF", 1},
      {"\xE0\x9F\xBF", 1},
      {"\xF0\x80\x80\xAF", 1},
      {"\xF0\x8F\xBF\xBF", 1},
      {"\xED\xA0\x80", 1},
      {"\xED\xBF\xBF", 1},
      {"\xF4\x90\x80\x80", 1},
      {"\xF5\x80\x80\x80", 0},
      {"\xF8\x88\x80\x80", 0},
      {"\xFF", 0},
      {"\xFE", 0},
      {"\x80", 0},
      {"a\xBF", 1},
      {"\xC3(", 1},
      {"\xE2\x82(", 2},
      {"\xF0\x9F\x98(", 3},
      {"\xE2(\xA1", 1},
      {"\xC3\xA9\xA9", 2},
  };
  for (const auto& one : cases) {
    INFO("good: " << one.good);
    std::uint8_t state = 0;
    CHECK(ws::utf8_check(one.text.data(), one.text.size(), state) == one.good);
    CHECK(reference(one.text).good == one.good);
    CHECK_FALSE(ws::is_utf8(one.text));
    // The same wherever it stands in a longer text.
    for (std::size_t n = 0; n < 300; ++n) {
      std::string text(n, 'x');
      text += one.text;
      if (!all_agree(text)) FAIL("after " << n);
      text += std::string(n % 67, 'y');
      if (!all_agree(text)) FAIL("in the middle, after " << n);
    }
  }
}

TEST_CASE("F17 noncharacters, NUL and the byte order mark pass", "[utf8][F17]") {
  CHECK(ws::is_utf8("\xEF\xBF\xBE\xEF\xBF\xBF\xF4\x8F\xBF\xBF\xEF\xB7\x90"));
  CHECK(ws::is_utf8("a\0b"sv));
  CHECK(ws::is_utf8("\xEF\xBB\xBFtext"));
  CHECK(ws::is_utf8(""));
}

TEST_CASE("every code point passes, and its encoding cut short is incomplete", "[utf8][F16][F17]") {
  std::size_t wrong = 0;
  for (std::uint32_t value = 0; value < 0x110000; ++value) {
    std::string text;
    append_code_point(text, value);
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    wrong += ws::is_utf8(text) == surrogate;
    for (std::size_t cut = 1; cut < text.size(); ++cut) wrong += ws::is_utf8(text.substr(0, cut));
  }
  CHECK(wrong == 0);
}

TEST_CASE("F16 a code point may be cut at every place", "[utf8][F16]") {
  random_numbers random;
  for (int round = 0; round < 40; ++round) {
    const std::string text = random_text(random, 20 + random.below(250));
    for (std::size_t split = 0; split <= text.size(); ++split)
      if (!agrees_when_cut(text, split)) FAIL("round " << round << ", split at " << split);
  }
}

TEST_CASE("F16 byte by byte", "[utf8][F16]") {
  random_numbers random;
  const std::string text = random_text(random, 2000);
  std::uint8_t state = 0;
  std::size_t good = 0;
  for (const char& byte : text) good += ws::utf8_check(&byte, 1, state);
  CHECK(good == text.size());
  CHECK(state == 0);
}

TEST_CASE("F15 every kernel finds the first bad byte, at every length", "[utf8][F15][kernels]") {
  random_numbers random;
  for (std::size_t n = 0; n <= 300; ++n)
    for (int round = 0; round < 20; ++round) {
      std::string text = round % 4 == 0 ? std::string(n, 'a') : random_text(random, n);
      text.resize(n);  // perhaps cuts a code point
      if (round >= 2 && n != 0)
        text[random.below(static_cast<std::uint32_t>(n))] = static_cast<char>(random.below(256));
      if (round >= 12 && n != 0)
        text[random.below(static_cast<std::uint32_t>(n))] = static_cast<char>(0x80 + random.below(128));
      if (!all_agree(text)) FAIL("length " << n << ", round " << round);
    }
}

TEST_CASE("F16 every second byte there is behind a lead that a read cut off", "[utf8][F15][F16][kernels]") {
  for (int lead = 0xC2; lead <= 0xF4; ++lead)
    for (int second = 0; second < 256; ++second) {
      const std::size_t more = lead < 0xE0 ? 0 : lead < 0xF0 ? 1 : 2;
      const std::string text = std::string{static_cast<char>(lead), static_cast<char>(second)} + std::string(more, '\x80') + std::string(70, 'z');
      if (!agrees_when_cut(text, 1)) FAIL("lead " << lead << ", second " << second);
    }
}

TEST_CASE("F16 a code point that is cut where many vectors of ASCII begin is found", "[utf8][F15][F16][kernels]") {
  for (const std::string_view point : {"\xC3\xA9"sv, "\xE2\x82\xAC"sv, "\xE1\x80\x80"sv, "\xF0\x9F\x98\x80"sv, "\xF1\x80\x80\x80"sv})
    for (std::size_t have = 1; have <= point.size(); ++have)
      for (const std::size_t seam : {16U, 32U, 64U, 128U, 256U, 512U})
        for (const std::size_t behind : {0U, 63U, 64U, 127U, 128U, 129U, 300U})
          if (!all_agree(std::string(seam - have, 'a') + std::string{point.substr(0, have)} + std::string(behind, 'z')))
            FAIL("length " << point.size() << ", have " << have << ", seam " << seam << ", behind " << behind);
}

TEST_CASE("F15 every kernel goes on alike where it takes long text in pieces", "[utf8][F15][kernels]") {
  random_numbers random;
  for (const std::size_t pieces : {4096U, 8192U, 12288U, 16384U - 9U})
    for (std::size_t n = pieces - 9; n <= pieces + 9; ++n)
      for (int round = 0; round < 3; ++round) {
        std::string text = round == 0 ? std::string(n, 'a') : random_text(random, n);
        text.resize(n);  // perhaps cuts a code point
        if (round == 2) text[n - 1 - random.below(40)] = '\xC0';
        if (!all_agree(text)) FAIL("length " << n << ", round " << round);
      }
}

TEST_CASE("F15 every kernel finds the first bad byte of a cut and broken text", "[utf8][F15][F16][kernels]") {
  random_numbers random;
  for (int round = 0; round < 3000; ++round) {
    std::string text = random_text(random, 10 + random.below(300));
    text[random.below(static_cast<std::uint32_t>(text.size()))] = static_cast<char>(random.below(256));
    const std::size_t split = random.below(static_cast<std::uint32_t>(text.size()));
    if (!agrees_when_cut(text, split)) FAIL("round " << round << ", split at " << split);
  }
}

TEST_CASE("every pair of neighbours, at the seams of vectors", "[utf8][kernels]") {
  // What a vector sees of the one before: three bytes before a seam, in all combinations that matter.
  constexpr std::string_view bytes =
      "\x41\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC1\xC2\xDF\xE0\xE1\xEC\xED\xEE\xEF\xF0\xF1\xF3\xF4\xF5\xFF";
  std::size_t wrong = 0;
  for (const std::size_t seam : {16U, 32U, 64U, 96U, 128U, 160U, 256U})
    for (const char a : bytes)
      for (const char b : bytes)
        for (const char c : bytes)
          for (const std::size_t back : {1U, 2U}) {
            std::string text(seam + 40, 'z');
            text[seam - back] = a;
            text[seam - back + 1] = b;
            text[seam - back + 2] = c;
            const answer wanted = reference(text);
            ws::detail::for_each_kernels([&](const ws::detail::kernels& k) {
              std::uint8_t state = 0;
              const std::size_t good = k.utf8(text.data(), text.size(), state);
              wrong += ask(good, text.size(), state) != wanted;
              // The seam of the overlapped last vector.
              const std::size_t n = seam - back + 3;
              state = 0;
              const std::size_t good_of_n = k.utf8(text.data(), n, state);
              wrong += ask(good_of_n, n, state) != reference(std::string_view{text}.substr(0, n));
            });
          }
  CHECK(wrong == 0);
}

TEST_CASE("large texts, in place and copied", "[utf8]") {
  random_numbers random;
  for (const std::size_t size : {4095U, 4096U, 70'000U, 1'000'003U}) {
    const std::string text = random_text(random, size);
    std::string bytes = masked(text);
    std::string copy(bytes.size(), '\0');
    std::uint8_t state = 0;
    CHECK(ws::unmask_copy_utf8(copy.data(), bytes.data(), bytes.size(), key, state) == text.size());
    CHECK(state == 0);
    CHECK(copy == text);
    CHECK(ws::unmask_utf8(bytes.data(), bytes.size(), key, state) == text.size());
    CHECK(bytes == text);
    CHECK(ws::is_utf8(text));
  }
}
