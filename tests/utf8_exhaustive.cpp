// Every string of four bytes, all 2^32, against a decoder that works with code points and knows no table. Then every
// kernel, the last two bytes only from those at the edges of what means the same, at places in a vector that go round.
// `--sample` tries one in 256. Ends with `N passed, N failed`, in strings.
#include <wscodec/utf8.hpp>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace ws = wscodec;

namespace {

constexpr std::size_t nowhere = 99;

/// A text, byte by byte. A byte is possible as long as some code point that is allowed begins so; which those are is
/// told by the smallest and the largest code point that the bytes so far can become.
struct decoder {
  std::uint32_t value = 0;
  unsigned missing = 0;  // continuation bytes
  unsigned length = 0;   // of this code point
  std::size_t read = 0;
  std::size_t bad = nowhere;

  [[nodiscard]] decoder then(std::uint32_t byte) const {
    decoder next = *this;
    if (bad != nowhere) return next;
    next.read = read + 1;
    if (missing == 0) {
      next.length = byte < 0x80 ? 1 : byte < 0xC0 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF8 ? 4 : 0;
      if (next.length == 0) {
        next.bad = read;
        return next;
      }
      next.missing = next.length - 1;
      next.value = next.length == 1 ? byte : byte & (0x7FU >> next.length);
    } else {
      if (byte >> 6 != 2) {
        next.bad = read;
        return next;
      }
      next.missing = missing - 1;
      next.value = value << 6 | (byte & 0x3F);
    }
    const std::uint32_t low = next.value << 6 * next.missing;
    const std::uint32_t high = low + ((1U << 6 * next.missing) - 1);
    const std::uint32_t smallest = next.length == 1 ? 0 : next.length == 2 ? 0x80 : next.length == 3 ? 0x800 : 0x10000;
    if (high < smallest || low > 0x10FFFF || (low >= 0xD800 && high <= 0xDFFF)) next.bad = read;
    return next;
  }
};

std::uint64_t passed = 0;
std::uint64_t failed = 0;

void judge(bool right, const char* who, const char* bytes) {
  if (right) {
    ++passed;
  } else if (++failed <= 10) {
    const auto hex = [&](int i) { return static_cast<unsigned>(static_cast<unsigned char>(bytes[i])); };
    std::printf("%s: %02X %02X %02X %02X\n", who, hex(0), hex(1), hex(2), hex(3));
  }
}

constexpr unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1,
                                   0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF};

}  // namespace

int main(int argc, char** argv) {
  const bool sample = argc > 1 && std::string_view{argv[1]} == "--sample";

  for (std::uint32_t ab = 0; ab < 65536; ++ab) {
    char bytes[4] = {static_cast<char>(ab >> 8), static_cast<char>(ab & 0xFF)};
    const decoder two = decoder{}.then(ab >> 8).then(ab & 0xFF);
    const std::uint32_t first = sample ? ab * 13 % 256 : 0;
    for (std::uint32_t c = first; c < (sample ? first + 1 : 256); ++c) {
      bytes[2] = static_cast<char>(c);
      const decoder three = two.then(c);
      for (std::uint32_t d = 0; d < 256; ++d) {
        bytes[3] = static_cast<char>(d);
        const decoder wanted = three.then(d);
        std::uint8_t state = 0;
        const std::size_t good = ws::utf8_check(bytes, 4, state);
        judge(wanted.bad != nowhere ? good == wanted.bad : good == 4 && (state == 0) == (wanted.missing == 0),
              "utf8_check", bytes);
      }
    }
  }

  ws::detail::for_each_kernels([&](const ws::detail::kernels& k) {
    char text[160];
    std::size_t place = 0;
    for (std::uint32_t ab = 0; ab < 65536; ab += sample ? 251 : 1) {
      const decoder two = decoder{}.then(ab >> 8).then(ab & 0xFF);
      for (const unsigned char c : edges)
        for (const unsigned char d : edges) {
          place = (place + 5) % 64;
          std::memset(text, 'a', sizeof text);
          char* const bytes = text + place;
          const char four_bytes[] = {static_cast<char>(ab >> 8), static_cast<char>(ab & 0xFF), static_cast<char>(c),
                                     static_cast<char>(d)};
          std::memcpy(bytes, four_bytes, 4);
          const decoder four = two.then(c).then(d);
          const decoder five = four.then('a');
          // The text ends with the four bytes, or goes on.
          std::uint8_t state = 0;
          std::size_t good = k.utf8(text, place + 4, state);
          judge(
              four.bad != nowhere ? good == place + four.bad : good == place + 4 && (state == 0) == (four.missing == 0),
              k.name, bytes);
          state = 0;
          good = k.utf8(text, place + 70, state);
          judge(five.bad != nowhere ? good == place + five.bad : good == place + 70 && state == 0, k.name, bytes);
        }
    }
  });

  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(passed),
              static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
