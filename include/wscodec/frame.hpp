// wscodec: layer 3, the frame head: parse and write, without state (RFC 6455 5.2).
//
//   byte 0: FIN RSV1 RSV2 RSV3 opcode(4)   byte 1: MASK length(7)   then 0, 2 or 8 bytes of length, 0 or 4 of key
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bytes.hpp"
#include "config.hpp"
#include "error.hpp"
#include "mask.hpp"

WSCODEC_TYPES_BEGIN

/// What a frame is (RFC 6455 5.2). Values 3-7 and 11-15 are reserved.
enum class opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// The largest payload of a ping, pong or close (RFC 6455 5.5), and the largest frame head.
inline constexpr std::size_t max_control_payload = 125;
inline constexpr std::size_t max_frame_head = 14;

/// A frame's head. `masking_key` is in memory order (see mask.hpp) and means nothing unless `masked`.
struct frame_head {
  bool fin = true;
  bool rsv1 = false;
  bool rsv2 = false;
  bool rsv3 = false;
  wscodec::opcode opcode = wscodec::opcode::binary;
  bool masked = false;
  std::uint32_t masking_key = 0;
  std::uint64_t length = 0;  ///< of the payload

  [[nodiscard]] friend constexpr bool operator==(const frame_head&, const frame_head&) = default;
};

/// What `parse_frame_head` found. `size` is the length of the head in bytes, 0 while more bytes are needed.
struct parsed_frame_head {
  frame_head head;
  std::size_t size = 0;
  error why = error::none;  ///< length_not_minimal or length_top_bit
};

WSCODEC_TYPES_END

WSCODEC_FUNCTIONS_BEGIN

[[nodiscard]] constexpr bool is_control(opcode op) noexcept { return (static_cast<unsigned>(op) & 8U) != 0; }

/// The length of the head that begins with these two bytes.
[[nodiscard]] WSCODEC_INLINE constexpr std::size_t frame_head_size(const char* two_bytes) noexcept {
  const unsigned second = detail::byte_at(two_bytes + 1);
  const unsigned code = second & 127U;
  return 2U + (code < 126 ? 0U : code == 126 ? 2U : 8U) + ((second & 128U) != 0 ? 4U : 0U);
}

/// The length of the head that `write_frame_head` writes.
[[nodiscard]] constexpr std::size_t frame_head_size(std::uint64_t length, bool masked) noexcept {
  return 2U + (length < 126 ? 0U : length < 65536 ? 2U : 8U) + (masked ? 4U : 0U);
}

/// Reads the head at the front of `bytes`. Fails as soon as a length is known to be in a longer form than it needs
/// (F01) or to have its top bit set (F02); all other rules need a role and a state: see message.hpp. RFC 6455 5.2.
[[nodiscard]] constexpr parsed_frame_head parse_frame_head(std::string_view bytes) noexcept {
  parsed_frame_head result;
  if (bytes.size() < 2) return result;
  const char* p = bytes.data();
  const unsigned first = detail::byte_at(p);
  const unsigned second = detail::byte_at(p + 1);
  frame_head& head = result.head;
  head.fin = (first & 0x80U) != 0;
  head.rsv1 = (first & 0x40U) != 0;
  head.rsv2 = (first & 0x20U) != 0;
  head.rsv3 = (first & 0x10U) != 0;
  head.opcode = static_cast<opcode>(first & 0x0FU);
  head.masked = (second & 0x80U) != 0;
  head.length = second & 0x7FU;
  std::size_t at = 2;
  if (head.length == 126) {
    if (bytes.size() < 4) return result;
    head.length = detail::load_big<std::uint16_t>(p + 2);
    at = 4;
    if (head.length < 126) result.why = error::length_not_minimal;
  } else if (head.length == 127) {
    if (bytes.size() < 10) return result;
    head.length = detail::load_big<std::uint64_t>(p + 2);
    at = 10;
    if ((head.length >> 63) != 0)
      result.why = error::length_top_bit;
    else if (head.length < 65536)
      result.why = error::length_not_minimal;
  }
  if (head.masked && result.why == error::none) {
    if (bytes.size() < at + 4) return result;
    head.masking_key = load_masking_key(p + at);
    at += 4;
  }
  result.size = at;
  return result;
}

/// Writes `head` at `to`, which has room for `max_frame_head` bytes, with the shortest form of the length; returns
/// the head's size in bytes. RFC 6455 5.2.
constexpr std::size_t write_frame_head(char* to, const frame_head& head) noexcept {
  to[0] = static_cast<char>((head.fin ? 0x80U : 0U) | (head.rsv1 ? 0x40U : 0U) | (head.rsv2 ? 0x20U : 0U) |
                            (head.rsv3 ? 0x10U : 0U) | static_cast<unsigned>(head.opcode));
  const unsigned mask_bit = head.masked ? 0x80U : 0U;
  std::size_t at = 2;
  if (head.length < 126) {
    to[1] = static_cast<char>(mask_bit | static_cast<unsigned>(head.length));
  } else if (head.length < 65536) {
    to[1] = static_cast<char>(mask_bit | 126U);
    detail::store_big(to + 2, static_cast<std::uint16_t>(head.length));
    at = 4;
  } else {
    to[1] = static_cast<char>(mask_bit | 127U);
    detail::store_big(to + 2, head.length);
    at = 10;
  }
  if (head.masked) {
    store_masking_key(to + at, head.masking_key);
    at += 4;
  }
  return at;
}

WSCODEC_FUNCTIONS_END
