// wscodec: layer 4, messages: which frame may follow which, and how big a message may become (RFC 6455 5.2, 5.4, 5.5).
#pragma once

#include <cstdint>

#include "config.hpp"
#include "error.hpp"
#include "frame.hpp"

WSCODEC_TYPES_BEGIN

/// The message that is being received, `{}` between messages. `size` and `fragments` count what frame heads have announced so far.
struct message_state {
  std::uint64_t size;
  std::uint32_t fragments;
  wscodec::opcode opcode;  ///< of the open message; continuation: none is open
  std::uint8_t utf8;       ///< a code point that is cut (utf8.hpp)
  bool compressed;
};

/// What a message may cost.
struct message_limits {
  std::uint64_t max_message;
  std::uint32_t max_fragments;
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// Everything the first byte of a frame can break: F07, F08, F09 (FIN), F11.
constexpr error check_first_byte(unsigned first, const message_state& message, bool rsv1_allowed) noexcept {
  const auto op = static_cast<opcode>(first & 0x0FU);
  const bool fin = (first & 0x80U) != 0;
  const bool control = is_control(op);
  // RFC 6455 5.2: reserved bits MUST be 0 unless an extension was negotiated that defines them.
  if ((first & 0x20U) != 0) return error::rsv2_set;
  if ((first & 0x10U) != 0) return error::rsv3_set;
  if ((first & 0x0FU) > 10 || ((first & 0x0FU) > 2 && !control)) return error::opcode_reserved;
  // RFC 7692 6.1: RSV1 is set on the first frame of a message only.
  if ((first & 0x40U) != 0 && (!rsv1_allowed || control || op == opcode::continuation)) return error::rsv1_unexpected;
  // RFC 6455 5.5: control frames MUST NOT be fragmented.
  if (control) return fin ? error::none : error::control_fragmented;
  if (op == opcode::continuation)
    return message.opcode == opcode::continuation ? error::continuation_unexpected : error::none;
  return message.opcode != opcode::continuation ? error::message_interrupted : error::none;
}

/// Everything the second byte can break: F05, F09 (length).
constexpr error check_second_byte(unsigned first, unsigned second, bool mask_expected) noexcept {
  const bool masked = (second & 0x80U) != 0;
  // RFC 6455 5.1: a client MUST mask all frames, a server MUST NOT mask any.
  if (masked != mask_expected) return masked ? error::mask_present : error::mask_missing;
  if ((first & 8U) != 0 && (second & 0x7FU) > max_control_payload) return error::control_too_long;
  return error::none;
}

/// Counts the head of a data frame against the limits (F12, F18), before any of its payload is looked at. Lengths
/// are compared by subtraction, so that none near 2^63 can wrap (F03).
constexpr error begin_data_frame(message_state& message, opcode op, bool rsv1, std::uint64_t length,
                                 const message_limits& limits) noexcept {
  if (op != opcode::continuation) {
    message = {};
    message.opcode = op;
    message.compressed = rsv1;
  }
  if (message.fragments >= limits.max_fragments) return error::too_many_fragments;
  ++message.fragments;
  // RFC 7692: of a compressed message the inflated bytes are limited; its own bytes have a limit with some slack.
  const std::uint64_t slack = message.compressed ? limits.max_message / 64 + 1024 : 0;
  const std::uint64_t limit = slack > ~limits.max_message ? ~std::uint64_t{0} : limits.max_message + slack;
  if (length > limit - message.size) return error::message_too_big;
  message.size += length;
  return error::none;
}

WSCODEC_DETAIL_END
