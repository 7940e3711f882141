// Big-endian numbers, and the append cursor.
#include <wscodec/bytes.hpp>

#include <array>
#include <cstddef>
#include <string_view>

#include "catch.hpp"

namespace ws = wscodec;
using namespace std::string_view_literals;

static_assert(ws::detail::load_big<std::uint16_t>("\x01\x02") == 0x0102);
static_assert(ws::detail::load_big<std::uint64_t>("\xFF\x00\x00\x00\x00\x00\x00\x01") == 0xFF00000000000001U);
static_assert([] {
  char memory[8] = {};
  ws::detail::store_big(memory, std::uint32_t{0x01020380U});
  return std::string_view{memory, 5} == "\x01\x02\x03\x80\0"sv;
}());
static_assert([] {
  char memory[4] = {};
  ws::output out{memory};
  return out.put("abc") && !out.put("de") && out.put("d") && out.put("") && out.written() == "abcd";
}());

TEST_CASE("output takes a text whole or not at all", "[bytes]") {
  char memory[5];
  ws::output out{memory};
  CHECK(out.put("abc"));
  CHECK(!out.put("def"));
  CHECK(out.written() == "abc");
  CHECK(out.room() == 2);
  const std::size_t before = out.size();
  CHECK(out.put("de"));
  CHECK(out.room() == 0);
  CHECK(out.claim(1) == nullptr);
  CHECK(out.claim(0) == memory + 5);
  out.rewind(before);
  CHECK(out.written() == "abc");
  CHECK(out.capacity() == 5);
}

TEST_CASE("after clear all of the memory is room again, from its front", "[bytes]") {
  char memory[4];
  ws::output out{memory};
  CHECK(out.put("abc"));
  out.clear();
  CHECK(out.size() == 0);
  CHECK(out.put("defg"));
  CHECK(out.written() == "defg");
}

TEST_CASE("no memory at all is no room", "[bytes]") {
  ws::output none;
  CHECK(none.put(""));
  CHECK(!none.put("x"));
  CHECK(none.written().empty());
}

TEST_CASE("bytes of other types are seen as chars", "[bytes]") {
  std::array<std::byte, 2> bytes{std::byte{0x81}, std::byte{0}};
  const std::span<char> chars = ws::as_chars(std::span{bytes});
  CHECK(static_cast<const void*>(chars.data()) == bytes.data());
  CHECK(ws::as_text(std::span<const std::byte>{bytes}) == "\x81\0"sv);
}

namespace {

struct owner_of_a_byte {
  char byte;
  ~owner_of_a_byte() {}
};
template <class T>
concept seen_as_chars = requires(T bytes) { ws::as_chars(bytes); };
template <class T>
concept seen_as_text = requires(T bytes) { ws::as_text(bytes); };

}  // namespace

TEST_CASE("only bytes are seen as chars, and constant ones only as text", "[bytes]") {
  static_assert(seen_as_chars<std::span<unsigned char>> && seen_as_text<std::span<unsigned char>>);
  static_assert(seen_as_chars<std::span<std::byte, 3>> && seen_as_text<std::span<std::byte, 3>>);
  static_assert(!seen_as_chars<std::span<const char>> && seen_as_text<std::span<const char>>);
  static_assert(!seen_as_chars<std::span<short>> && !seen_as_text<std::span<short>>);
  static_assert(!seen_as_chars<std::span<const short>> && !seen_as_text<std::span<const short>>);
  static_assert(!seen_as_chars<std::span<owner_of_a_byte>> && !seen_as_text<std::span<owner_of_a_byte>>);
}

TEST_CASE("a size beyond all memory is no room", "[bytes]") {
  char memory[4];
  ws::output out{memory};
  REQUIRE(out.put("a"));
  for (const std::size_t n : {std::size_t{4}, ~std::size_t{0}, ~std::size_t{0} - 1}) CHECK(out.claim(n) == nullptr);
  CHECK(out.written() == "a");
  CHECK(out.claim(3) == memory + 1);
}

TEST_CASE("a part of a text is what there is of it, behind the end nothing", "[bytes]") {
  CHECK(ws::detail::part("abc", 1) == "bc");
  CHECK(ws::detail::part("abc", 1, 1) == "b");
  CHECK(ws::detail::part("abc", 2, 2) == "c");
  CHECK(ws::detail::part("abc", 2, 9) == "c");
  CHECK(ws::detail::part("abc", 3).empty());
  CHECK(ws::detail::part("abc", 4).empty());
  CHECK(ws::detail::part("abc", ~std::size_t{0}, ~std::size_t{0}).empty());
}

TEST_CASE("big-endian numbers come back from memory, and touch nothing beside them", "[bytes]") {
  const auto round_trip = [](auto value) {
    char memory[10] = {'<', 0, 0, 0, 0, 0, 0, 0, 0, 0};
    memory[1 + sizeof value] = '>';
    ws::detail::store_big(memory + 1, value);
    CHECK(ws::detail::load_big<decltype(value)>(memory + 1) == value);
    CHECK(memory[0] == '<');
    CHECK(memory[1 + sizeof value] == '>');
  };
  for (unsigned bit = 0; bit < 64; ++bit) {
    round_trip(std::uint64_t{1} << bit);
    round_trip(static_cast<std::uint32_t>(std::uint64_t{1} << bit % 32));
    round_trip(static_cast<std::uint16_t>(std::uint64_t{1} << bit % 16));
  }
}

TEST_CASE("nothing is copied to and from nowhere", "[bytes]") {
  ws::detail::copy_bytes(nullptr, nullptr, 0);
  ws::output none{std::span<char>{}};
  CHECK(none.put({}));
  CHECK(none.claim(0) == nullptr);
}
