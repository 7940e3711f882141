// wscodec: layer 6, connection: the streaming core. Works in the caller's memory only and never allocates.
//
// The contract:
//  1. `next` eats the front of the given bytes, unmasks in place, and returns one event; when it returns none, the
//     input is empty (its memory is free again) or an undecided request is waiting.
//  2. A payload is valid until the following call with input, or until its memory is used again.
//  3. After each turn `write_owed` writes what the protocol owes: at most one pong and one Close, or one rejection.
//  4. A call that returns an error has written and changed nothing; wire errors are sticky: `failed` comes once, then
//     input is eaten.
//  5. `wants()` says what to do with the transport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "bytes.hpp"
#include "closing.hpp"
#include "config.hpp"
#include "detail/connection_frames.hpp"
#include "detail/connection_send.hpp"
#include "detail/connection_state.hpp"
#include "error.hpp"
#include "event.hpp"
#include "frame.hpp"
#include "handshake.hpp"
#include "masking_keys.hpp"
#include "options.hpp"

WSCODEC_TYPES_BEGIN

/// One endpoint of one WebSocket connection, either role; see the contract at the top of this file.
///
///     while (const ws::event ev = conn.next(rest)) {
///       if (ev.type == ws::event_type::request) conn.accept(out);
///       if (ev.type == ws::event_type::data) conn.send(out, ev.opcode, ev.payload, ev.last);
///     }
///     conn.write_owed(out);
///
/// Trivially copyable: it can be moved to another process, together with its scratch; of two copies only one may go
/// on. Keeps references to the options, the scratch (at least `min_scratch` bytes) and the keys.
class connection {
 public:
  WSCODEC_INLINE connection(role self, const options& opt, std::span<char> scratch, masking_keys* keys = nullptr) noexcept {
    detail::begin(s_, self, opt, keys);
    rebind(opt, scratch, keys);
  }
  /// Starts open, after a handshake that was done elsewhere (`upgrade`).
  WSCODEC_INLINE connection(role self, const negotiated& agreed, const options& opt, std::span<char> scratch,
                            masking_keys* keys = nullptr) noexcept {
    detail::begin(s_, self, opt, keys);
    s_.agreement = agreed.agreement;
    rebind(opt, scratch, keys);
    detail::start_frames(s_);
  }

  /// The options are kept by reference: a temporary would be gone at once.
  connection(role, options&&, std::span<char>, masking_keys* = nullptr) = delete;
  connection(role, const negotiated&, options&&, std::span<char>, masking_keys* = nullptr) = delete;

  /// Gives the connection other options, scratch (with the old one's content) and keys, after a move.
  WSCODEC_INLINE void rebind(const options& opt, std::span<char> scratch, masking_keys* keys) noexcept {
    s_.opt = &opt;
    s_.scratch = scratch.data();
    s_.scratch_size = static_cast<std::uint32_t>(scratch.size() < 0xFFFFFFFFU ? scratch.size() : 0xFFFFFFFFU);
    s_.keys = keys;
    detail::open_gate(s_);
  }

  /// Takes one event off the front of `in`, which is unmasked in place and shrinks by what was consumed.
  [[nodiscard]] WSCODEC_INLINE event next(std::span<char>& in) noexcept { return detail::next(s_, in); }

  /// The same, but data payloads are unmasked into `to` and `in` stays as it is. When `to` has no room, data waits.
  [[nodiscard]] WSCODEC_INLINE event next(std::string_view& in, std::span<char> to) noexcept {
    return detail::next_copied(s_, in, to);
  }

  /// Tells that the peer's stream has ended: gives `failed` with connection_lost unless it was expected (K12).
  [[nodiscard]] WSCODEC_INLINE event end_of_input() noexcept { return detail::end_of_input(s_); }

  /// Server: answers the request by 101. Errors: no_request, subprotocol_not_offered, field_refused, output_full.
  [[nodiscard]] WSCODEC_INLINE error accept(output& out, const acceptance& answer = {}) noexcept {
    return detail::accept(s_, out, answer);
  }
  /// Server: answers the request otherwise, HEAD without the body; then the codec is finished. Errors: no_request,
  /// status_refused, field_refused, output_full. RFC 6455 4.2.2, 9110 9.3.2.
  [[nodiscard]] WSCODEC_INLINE error respond(output& out, const response& answer) noexcept {
    return detail::respond(s_, out, answer);
  }
  /// Client: writes the opening request. Errors: no_request (asked already), no_entropy, request_refused,
  /// field_refused, subprotocol_not_offered, output_full. RFC 6455 4.1.
  [[nodiscard]] WSCODEC_INLINE error connect(output& out, const client_request& request) noexcept {
    return detail::connect(s_, out, request);
  }

  /// Writes a message, or a piece of one: the first with `last` false, then more of the same opcode, the last with
  /// `last` true. Errors: not_open, already_closing, send_out_of_order, opcode_not_sendable, send_text_not_utf8,
  /// no_entropy, output_full (`frame_size` says how much is needed). RFC 6455 5.4.
  [[nodiscard]] WSCODEC_INLINE error send(output& out, opcode op, std::string_view payload, bool last = true) noexcept {
    return detail::send(s_, out, op, payload, last);
  }
  /// Writes only the head of such a frame, for `writev`; the caller sends `length` bytes of payload after it: a client
  /// masks them with `key` first, and text is the caller's to check. Errors as for send.
  [[nodiscard]] WSCODEC_INLINE error head(output& out, opcode op, std::uint64_t length, bool last, std::uint32_t& key) noexcept {
    return detail::send_head(s_, out, op, length, last, key);
  }
  /// Writes a ping or pong of at most 125 bytes; may come between the pieces of a message. RFC 6455 5.5.2.
  [[nodiscard]] WSCODEC_INLINE error ping(output& out, std::string_view payload = {}) noexcept {
    return detail::send_control(s_, out, opcode::ping, payload);
  }
  [[nodiscard]] WSCODEC_INLINE error pong(output& out, std::string_view payload = {}) noexcept {
    return detail::send_control(s_, out, opcode::pong, payload);
  }
  /// Writes our Close; nothing may follow it. `close_code::none` for a Close without a payload. Errors: not_open,
  /// already_closing, sent_close_code_invalid, close_reason_too_long, no_entropy, output_full. RFC 6455 5.5.1.
  [[nodiscard]] WSCODEC_INLINE error close(output& out, close_code code = close_code::normal, std::string_view reason = {}) noexcept {
    return detail::send_close(s_, out, code, reason);
  }
  /// Writes what is owed: a rejection, a pong, a Close, each whole or not at all. Only error: output_full.
  [[nodiscard]] WSCODEC_INLINE error write_owed(output& out) noexcept { return detail::write_owed(s_, out); }
  /// Fails the connection from outside; the event is to be treated like one from `next`.
  [[nodiscard]] WSCODEC_INLINE event fail(error why) noexcept { return detail::fail_from_outside(s_, why); }

  /// The size in bytes of a frame with a payload of `n` bytes.
  [[nodiscard]] WSCODEC_INLINE std::uint64_t frame_size(std::uint64_t n) const noexcept { return detail::frame_size(s_, n); }
  [[nodiscard]] WSCODEC_INLINE transport wants() const noexcept { return detail::wants(s_); }
  [[nodiscard]] WSCODEC_INLINE bool is_open() const noexcept {
    return detail::is_open(s_);
  }
  [[nodiscard]] WSCODEC_INLINE close_state state() const noexcept { return s_.closing; }
  /// The code of the peer's Close: no_status if it had none, abnormal if there was none (K12), none before the end.
  [[nodiscard]] WSCODEC_INLINE close_code code() const noexcept {
    return detail::code(s_);
  }
  /// The rule that was broken; none if none was (K14).
  [[nodiscard]] WSCODEC_INLINE error why() const noexcept { return s_.why; }
  /// Bytes consumed since the beginning; after a failure, the offset of the byte that broke the rule.
  [[nodiscard]] WSCODEC_INLINE std::uint64_t offset() const noexcept { return s_.offset; }
  /// What was agreed about the extension.
  [[nodiscard]] WSCODEC_INLINE negotiated agreed() const noexcept { return {s_.opt->extension, s_.agreement}; }
  /// The subprotocol in use, if it is one of the options' list.
  [[nodiscard]] WSCODEC_INLINE std::string_view subprotocol() const noexcept {
    return detail::subprotocol(s_);
  }
  /// The frame that the last piece of a message came from: its first byte, and how much payload is still to come. Says
  /// nothing of a message that came whole (`first` and `last`), so that those cost nothing more.
  [[nodiscard]] WSCODEC_INLINE std::uint8_t frame_bits() const noexcept { return s_.first_byte; }
  [[nodiscard]] WSCODEC_INLINE std::uint64_t frame_remaining() const noexcept {
    return s_.phase == detail::phase::frames && s_.in_frame ? s_.fr.remaining : 0;
  }

 private:
  detail::connection_state s_;
};

static_assert(sizeof(void*) != 8 || sizeof(event) == 24);
static_assert(std::is_trivially_copyable_v<connection> && sizeof(connection) <= 128);

WSCODEC_TYPES_END
