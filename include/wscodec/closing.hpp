// wscodec: layer 4, closing (RFC 6455 5.5.1, 7): the states of a connection's end, as data, and close payloads.
//
// Rules. Everything that decides whether frames may be read or written, and when the transport goes, is in the table
// below; it does not know roles, bytes or time. A Close is sent at most once and nothing follows it (5.5.1). After the
// peer's Close nothing is parsed. After a failure nothing is parsed either, and our Close says why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bytes.hpp"
#include "config.hpp"
#include "error.hpp"
#include "frame.hpp"
#include "utf8.hpp"

WSCODEC_TYPES_BEGIN

/// How far a connection's end has come.
enum class close_state : std::uint8_t {
  open,      ///< no Close was sent or received
  closing,   ///< our Close was sent; the peer's is awaited, its data is still read
  replying,  ///< the peer's Close was received; ours is owed
  closed,    ///< both were sent: clean
  failing,   ///< a rule was broken; our Close (or HTTP rejection) is owed
  failed,    ///< it was sent, or none is due: not clean
  lost,      ///< the transport ended first: not clean
};

enum class close_step : std::uint8_t {
  close_sent,      ///< our Close was written
  close_received,  ///< the peer's Close was read
  broken,          ///< a rule was broken, and the peer is to be told
  given_up,        ///< a rule was broken, and there is nobody to tell
  ended,           ///< the peer ended the transport (EOF)
};

/// What the owner of the transport should do.
enum class transport : std::uint8_t {
  keep,        ///< go on
  flush,       ///< write all the output, then ask again
  half_close,  ///< end the sending side (`shutdown(SHUT_WR)`), go on reading until the peer ends (K15)
  drop,        ///< close it
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

inline constexpr std::size_t close_states = 7;
inline constexpr std::size_t close_steps = 5;

/// The next state, by state and step.
inline constexpr close_state close_table[close_states][close_steps] = {
    // close_sent            close_received          broken                 given_up               ended
    /* open     */ {close_state::closing, close_state::replying, close_state::failing, close_state::failed, close_state::lost},
    /* closing  */ {close_state::closing, close_state::closed, close_state::failed, close_state::failed, close_state::lost},
    /* replying */ {close_state::closed, close_state::replying, close_state::replying, close_state::failed, close_state::replying},
    /* closed   */ {close_state::closed, close_state::closed, close_state::closed, close_state::closed, close_state::closed},
    /* failing  */ {close_state::failed, close_state::failing, close_state::failing, close_state::failed, close_state::failing},
    /* failed   */ {close_state::failed, close_state::failed, close_state::failed, close_state::failed, close_state::failed},
    /* lost     */ {close_state::lost, close_state::lost, close_state::lost, close_state::lost, close_state::lost},
};

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

[[nodiscard]] constexpr close_state next_state(close_state state, close_step step) noexcept {
  return detail::close_table[static_cast<std::size_t>(state)][static_cast<std::size_t>(step)];
}

/// Whether input is still parsed.
[[nodiscard]] constexpr bool reads(close_state state) noexcept {
  return state == close_state::open || state == close_state::closing;
}

/// Whether we owe the peer a Close.
[[nodiscard]] constexpr bool owes_close(close_state state) noexcept {
  return state == close_state::replying || state == close_state::failing;
}

/// Whether a code may stand in a Close frame (K03, K04): RFC 6455 7.4 and the IANA registry.
[[nodiscard]] constexpr bool is_sendable(close_code code) noexcept {
  const auto n = static_cast<unsigned>(code);
  return (n >= 1000 && n <= 1003) || (n >= 1007 && n <= 1014) || (n >= 3000 && n <= 4999);
}

/// What a Close frame says.
struct close_payload {
  close_code code = close_code::no_status;
  std::string_view reason = {};
  error why = error::none;  ///< a broken rule: K02, K04, K06
};

/// Reads a Close frame's payload, which may be empty (K01). The reason points into it. RFC 6455 5.5.1.
[[nodiscard]] constexpr close_payload parse_close_payload(std::string_view payload) noexcept {
  close_payload result;
  if (payload.empty()) return result;
  if (payload.size() == 1) {
    result.why = error::close_payload_of_one_byte;
    return result;
  }
  result.code = static_cast<close_code>(detail::load_big<std::uint16_t>(payload.data()));
  result.reason = detail::part(payload, 2);
  if (!is_sendable(result.code))
    result.why = error::close_code_invalid;
  else if (!is_utf8(result.reason))
    result.why = error::close_reason_not_utf8;
  return result;
}

/// Writes a Close frame's payload to `to`, which has room for 125 bytes, and its size to `size`. `none` writes an
/// empty payload and takes no reason. Errors: sent_close_code_invalid (K07), close_reason_too_long (K05; cut at a code
/// point instead if `cut`). RFC 6455 5.5.1.
[[nodiscard]] constexpr error write_close_payload(char* to, std::size_t& size, close_code code, std::string_view reason,
                                                  bool cut = false) noexcept {
  constexpr std::size_t max_reason = max_control_payload - 2;
  if (code == close_code::none && reason.empty()) {
    size = 0;
    return error::none;
  }
  if (!is_sendable(code)) return error::sent_close_code_invalid;
  if (!is_utf8(reason) || (reason.size() > max_reason && !cut)) return error::close_reason_too_long;
  if (reason.size() > max_reason) {
    std::size_t n = max_reason;
    // At most three of them follow one another: it is UTF-8.
    while ((detail::byte_at(reason.data() + n) & 0xC0U) == 0x80U) --n;
    reason = detail::part(reason, 0, n);
  }
  detail::store_big(to, static_cast<std::uint16_t>(code));
  detail::copy_bytes(to + 2, reason.data(), reason.size());
  size = 2 + reason.size();
  return error::none;
}

WSCODEC_FUNCTIONS_END
