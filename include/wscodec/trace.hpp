// wscodec: layer 4, trace: a call for each frame, both ways, for those who want to see what goes over the wire.
//
//     const ws::trace_hook hook{[](void*, const ws::traced_frame& f) noexcept { ... ws::describe(line, f.head) ... }};
//     options.trace = &hook;
#pragma once

#include <cstdint>
#include <string_view>

#include "bytes.hpp"
#include "config.hpp"
#include "frame.hpp"

WSCODEC_TYPES_BEGIN

/// A frame of which the head was accepted, or which was put into the output. Payloads are told by events; a frame that
/// breaks a rule by the event `failed`.
struct traced_frame {
  const void* who;       ///< the address of the session or connection at that time
  bool sent;             ///< by us
  frame_head head;
  std::uint64_t offset;  ///< of a received frame's first byte in the stream; 0 of a sent one
};

/// Set as `options.trace`. The hook must not call the session or connection that calls it.
struct trace_hook {
  void (*frame)(void* context, const traced_frame& frame) noexcept = nullptr;
  void* context = nullptr;
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

inline constexpr std::string_view opcode_names[16] = {
    "continuation", "text", "binary", "reserved 3",  "reserved 4",  "reserved 5",  "reserved 6",  "reserved 7",
    "close",        "ping", "pong",   "reserved 11", "reserved 12", "reserved 13", "reserved 14", "reserved 15"};

constexpr bool put_decimal(output& out, std::uint64_t n) noexcept {
  char digits[20];
  std::size_t at = sizeof digits;
  do digits[--at] = static_cast<char>('0' + n % 10);
  while ((n /= 10) != 0);
  return out.put({digits + at, sizeof digits - at});
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// The name that RFC 6455 11.8 has for an opcode, as `text`, or `reserved 3`.
[[nodiscard]] constexpr std::string_view name_of(opcode op) noexcept {
  return detail::opcode_names[static_cast<unsigned>(op) & 15U];
}

/// Appends a frame's head in words, as `text, fin, masked 37fa213d, 5 bytes`: up to 96 bytes, whole or not at all; says
/// whether it did.
constexpr bool describe(output& out, const frame_head& head) noexcept {
  const std::size_t before = out.size();
  bool fits = out.put(name_of(head.opcode)) && out.put(head.fin ? ", fin" : ", more follow") &&
              (!head.rsv1 || out.put(", rsv1")) && (!head.rsv2 || out.put(", rsv2")) && (!head.rsv3 || out.put(", rsv3"));
  if (head.masked) {
    char key[4] = {};
    store_masking_key(key, head.masking_key);
    fits = fits && out.put(", masked ");
    for (const char c : key) {
      const std::uint8_t byte = detail::byte_at(&c);
      const char digits[2] = {"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15U]};
      fits = fits && out.put({digits, 2});
    }
  }
  fits = fits && out.put(", ") && detail::put_decimal(out, head.length) && out.put(head.length == 1 ? " byte" : " bytes");
  if (!fits) out.rewind(before);
  return fits;
}

WSCODEC_FUNCTIONS_END
