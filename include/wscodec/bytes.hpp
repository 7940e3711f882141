// wscodec: layer 1, bytes: big-endian loads and stores, and the append cursor over the caller's memory.
//
// A byte on the wire is a `char` everywhere in this library, so that literals, `std::string_view`, `recv` and
// constant expressions work without conversions. `as_chars` views other byte types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "config.hpp"

WSCODEC_TYPES_BEGIN

namespace detail {

/// memcpy and memmove that also work in constant expressions and take a null pointer when `n` is 0.
WSCODEC_INLINE constexpr void copy_bytes(char* to, const char* from, std::size_t n) noexcept {
  if (std::is_constant_evaluated())
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i];  // not covered: constant expressions
  else if (n != 0)
    std::memcpy(to, from, n);
}

}  // namespace detail

/// An append cursor over the caller's memory. Whatever is put is put whole or not at all.
/// `0 <= size() <= capacity()`; the bytes written so far are `written()`.
class output {
 public:
  constexpr output() noexcept = default;
  WSCODEC_INLINE constexpr explicit output(std::span<char> memory) noexcept : data_(memory.data()), capacity_(memory.size()) {}

  [[nodiscard]] WSCODEC_INLINE constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] WSCODEC_INLINE constexpr std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] WSCODEC_INLINE constexpr std::size_t room() const noexcept { return capacity_ - size_; }
  [[nodiscard]] WSCODEC_INLINE constexpr std::string_view written() const noexcept { return {data_, size_}; }

  /// Takes the next `n` bytes of memory for the caller to fill; nullptr (and no change) when there are not so many.
  [[nodiscard]] WSCODEC_INLINE constexpr char* claim(std::size_t n) noexcept {
    if (n > room()) return nullptr;
    char* at = data_ + size_;
    size_ += n;
    return at;
  }

  /// Appends `text`, whole or not at all; says whether it did.
  WSCODEC_INLINE constexpr bool put(std::string_view text) noexcept {
    char* at = claim(text.size());
    if (at == nullptr) return text.empty();
    detail::copy_bytes(at, text.data(), text.size());
    return true;
  }

  /// Begins anew at the front of the memory.
  WSCODEC_INLINE constexpr void clear() noexcept { size_ = 0; }

  /// Goes back to an earlier `size()`: what was put since is taken back.
  WSCODEC_INLINE constexpr void rewind(std::size_t size) noexcept { size_ = size; }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// Views bytes of another byte type (`std::byte`, `unsigned char`, ...) as the `char`s this library works on.
template <class Byte, std::size_t N>
  requires(sizeof(Byte) == 1 && std::is_trivially_copyable_v<Byte> && !std::is_const_v<Byte>)
WSCODEC_INLINE std::span<char> as_chars(std::span<Byte, N> bytes) noexcept {
  return {reinterpret_cast<char*>(bytes.data()), bytes.size()};
}
template <class Byte, std::size_t N>
  requires(sizeof(Byte) == 1 && std::is_trivially_copyable_v<Byte>)
WSCODEC_INLINE std::string_view as_text(std::span<Byte, N> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

namespace detail {

WSCODEC_INLINE constexpr std::uint8_t byte_at(const char* p) noexcept { return static_cast<std::uint8_t>(*p); }

/// Big-endian (network order) loads and stores; the caller owns the bounds. RFC 6455 5.2 sends lengths so.
template <class Unsigned>
WSCODEC_INLINE constexpr Unsigned load_big(const char* p) noexcept {
  Unsigned value = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
    value = static_cast<Unsigned>(static_cast<Unsigned>(value << 8) | byte_at(p + i));
  return value;
}
template <class Unsigned>
WSCODEC_INLINE constexpr void store_big(char* p, Unsigned value) noexcept {
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
    p[i] = static_cast<char>(static_cast<std::uint8_t>(value >> (8 * (sizeof(Unsigned) - 1 - i))));
}

/// `s.substr(from, n)` that cannot throw: behind the end there is nothing. A checked one asks for the C++ runtime.
WSCODEC_INLINE constexpr std::string_view part(std::string_view s, std::size_t from,
                                               std::size_t n = std::string_view::npos) noexcept {
  if (from > s.size()) return {};
  return {s.data() + from, n < s.size() - from ? n : s.size() - from};
}

}  // namespace detail

WSCODEC_TYPES_END
