// wscodec: layer 6, events: what a connection or session reports, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "closing.hpp"
#include "config.hpp"
#include "error.hpp"
#include "frame.hpp"
#include "http_head.hpp"

WSCODEC_TYPES_BEGIN

enum class role : std::uint8_t { server, client };

enum class event_type : std::uint8_t {
  none,      ///< nothing more for now
  request,   ///< server: a good request; answer by accept or respond. `request()`
  open,      ///< client: the server said 101. `response()`
  rejected,  ///< client: the server said something else. `response()`; pieces of its body follow
  body,      ///< client: a piece of the rejecting response's body; `last` on the last one
  data,      ///< connection: a piece of a message, `first` ... `last`
  message,   ///< session: a whole message
  ping,      ///< answered already, unless `auto_pong` is off
  pong,      ///< asked for or not
  close,     ///< the peer's Close: `code()`, and the reason as payload; answered already, unless told otherwise
  failed,    ///< a rule was broken, a deadline passed, or the transport was lost: `why()`. Comes once
};

/// One thing that happened. Converts to false when nothing did. 24 bytes.
struct event {
  event_type type = event_type::none;
  wscodec::opcode opcode = opcode::continuation;  ///< data, message: text or binary
  bool first = false;                             ///< data: the message begins here
  bool last = false;                              ///< data, body: it ends here
  bool compressed = false;                        ///< data: as the peer compressed it (RFC 7692)
  bool plain = false;                             ///< request: an HTTP request that is no upgrade (H04b)
  std::uint16_t number = 0;                       ///< see `code()` and `why()`
  std::string_view payload = {};

  WSCODEC_INLINE explicit constexpr operator bool() const noexcept { return type != event_type::none; }
  [[nodiscard]] WSCODEC_INLINE constexpr close_code code() const noexcept {
    return type == event_type::close ? static_cast<close_code>(number) : close_code::none;
  }
  [[nodiscard]] WSCODEC_INLINE constexpr error why() const noexcept {
    return type == event_type::failed ? static_cast<error>(number) : error::none;
  }
  [[nodiscard]] WSCODEC_INLINE request_view request() const noexcept { return request_view{payload}; }
  [[nodiscard]] WSCODEC_INLINE response_view response() const noexcept { return response_view{payload}; }
};

/// Scratch memory a connection needs besides itself: for a cut control frame and an owed pong. The head of a
/// handshake that arrives in several reads must fit in it too.
inline constexpr std::size_t min_scratch = 256;

WSCODEC_TYPES_END
