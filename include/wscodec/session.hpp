// wscodec: layer 7, session: the comfortable endpoint. Whole messages in, a queue of bytes to send out, deadlines.
//
//     while (const ws::event ev = session.next(rest)) { ... session.send(ev.opcode, ev.payload) ... }
//     n = ::send(fd, session.output().data(), session.output().size()); session.consume(n);
//     if (const ws::event ev = session.tick(now)) ...
//     switch (session.wants()) { ... }
//
// Owns memory, through the allocator hook, only while it needs it: buffers are kept from message to message and given
// back by `release()`. `send`, `tick`, `consume` and `take_output` never invalidate a payload; only `next`, `prepare`,
// `commit`, `release` and destruction do. One session, one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "allocator.hpp"
#include "bytes.hpp"
#include "config.hpp"
#include "connection.hpp"
#include "detail/session_send.hpp"
#include "detail/session_state.hpp"
#include "error.hpp"
#include "keepalive.hpp"
#include "masking_keys.hpp"
#include "options.hpp"
#include "prepared_message.hpp"

WSCODEC_TYPES_BEGIN

/// One endpoint of one WebSocket connection, with whole messages; see the top of this file. Keeps references to the
/// options, the allocator and the keys, which must outlive it. Can be moved, but not while a payload or slice is held.
class session {
 public:
  WSCODEC_INLINE explicit session(role self, const options& opt, masking_keys* keys = nullptr,
                                  const allocator* memory = nullptr) noexcept {
    s_.memory = memory;
    detail::begin(s_.conn, self, opt, keys);
  }
  /// Starts open, after a handshake that was done elsewhere (`upgrade`).
  WSCODEC_INLINE session(role self, const negotiated& agreed, const options& opt, masking_keys* keys = nullptr,
                         const allocator* memory = nullptr) noexcept {
    s_.memory = memory;
    detail::begin(s_.conn, self, opt, keys);
    s_.conn.agreement = agreed.agreement;
    detail::start_frames(s_.conn);
  }
  /// The options are kept by reference: a temporary would be gone at once.
  session(role, options&&, masking_keys* = nullptr, const allocator* = nullptr) = delete;
  session(role, const negotiated&, options&&, masking_keys* = nullptr, const allocator* = nullptr) = delete;
  WSCODEC_INLINE session(session&& other) noexcept : s_{other.s_} { other.forget(); }
  WSCODEC_INLINE session& operator=(session&& other) noexcept {
    if (this != &other) {
      detail::free_everything(s_);
      s_ = other.s_;
      other.forget();
    }
    return *this;
  }
  session(const session&) = delete;
  session& operator=(const session&) = delete;
  WSCODEC_INLINE ~session() { detail::free_everything(s_); }

  // ---- receiving ----

  /// Takes one event off the front of `in`, which shrinks by what was consumed and is unmasked in place. Messages are
  /// whole: in place if they arrived so, else joined. The payload is valid until the next call of `next`, `prepare`,
  /// `commit` or `release`.
  [[nodiscard]] WSCODEC_INLINE event next(std::span<char>& in) noexcept { return detail::session_next(s_, in); }

  /// Memory to read into, at least 1 byte and about `size`. Empty, so that nothing is to be read, when there is no memory,
  /// which `next()` then tells as out_of_memory, or while an undecided request keeps `head.max_head` bytes waiting. While a
  /// large binary frame is received it is the message's own, so that nothing is copied. It stays until `commit(n)`, which
  /// takes its first `n` bytes; then `next()` until none.
  [[nodiscard]] WSCODEC_INLINE std::span<char> prepare(std::size_t size = 16 * 1024) noexcept {
    return detail::prepare(s_, size);
  }
  WSCODEC_INLINE void commit(std::size_t n) noexcept { detail::commit(s_, n); }
  [[nodiscard]] WSCODEC_INLINE event next() noexcept { return detail::session_next_committed(s_); }

  /// Tells that the peer's stream has ended (K12).
  [[nodiscard]] WSCODEC_INLINE event end_of_input() noexcept {
    const event ev = detail::end_of_input(s_.conn);
    if (ev && !s_.message_given) s_.message.end = 0;
    return ev;
  }

  // ---- the handshake ----

  /// Server: answers the request by 101. Errors: no_request, subprotocol_not_offered, field_refused, out_of_memory.
  WSCODEC_INLINE error accept(const acceptance& answer = {}) noexcept {
    return detail::session_accept(s_, answer);
  }
  /// Server: answers otherwise (H35), HEAD without the body; the session then ends. Errors: no_request, status_refused, field_refused, out_of_memory.
  WSCODEC_INLINE error respond(const response& answer) noexcept {
    return detail::session_respond(s_, answer);
  }
  /// Client: asks. Errors: no_request (asked already), no_entropy, request_refused, field_refused, subprotocol_not_offered, out_of_memory.
  WSCODEC_INLINE error connect(const client_request& request) noexcept {
    return detail::session_connect(s_, request);
  }

  // ---- sending ----

  /// Queues a message, or with `last` false a piece of one of unknown length. Errors: not_open, already_closing,
  /// send_out_of_order, opcode_not_sendable, send_text_not_utf8, no_entropy, out_of_memory; on each nothing is queued.
  /// With permessage-deflate messages from the threshold on are compressed, unless `how` is `off`: a message that holds
  /// a secret beside another's text should not be (RFC 7692 8). All pieces of a message go as its first.
  WSCODEC_INLINE error send(opcode op, std::string_view payload, bool last = true,
                            compression how = compression::automatic) noexcept {
    return detail::session_send(s_, op, payload, last, how);
  }
  /// Queues a message without copying its payload, which must stay until `returned` gives the token back.
  /// What is compressed (or masked, by a client) is copied all the same.
  WSCODEC_INLINE error send_borrowed(opcode op, std::string_view payload, void* token,
                                     compression how = compression::automatic) noexcept {
    return detail::send_borrowed(s_, op, payload, token, how);
  }
  /// Queues a message that was prepared for many; a server copies it only if it is small. Errors as for `send`, and the
  /// message's own `why()`.
  WSCODEC_INLINE error send(const prepared_message& message, compression how = compression::automatic) noexcept {
    return message.p_ != nullptr ? detail::send_prepared(s_, *message.p_, how) : message.why_;
  }
  /// The token of a borrowed payload that is free again; false when there is none.
  [[nodiscard]] WSCODEC_INLINE bool returned(void*& token) noexcept { return detail::returned(s_, token); }
  /// Queues a ping whose answer measures `round_trip_time()`.
  WSCODEC_INLINE error ping() noexcept { return detail::session_ping(s_); }
  /// Queues a ping or pong with up to 125 bytes of one's own.
  WSCODEC_INLINE error ping(std::string_view payload) noexcept {
    return detail::session_control(s_, opcode::ping, payload);
  }
  WSCODEC_INLINE error pong(std::string_view payload) noexcept {
    return detail::session_control(s_, opcode::pong, payload);
  }
  /// Queues our Close behind everything else (K13). Errors: not_open, already_closing, sent_close_code_invalid,
  /// close_reason_too_long, no_entropy, out_of_memory.
  WSCODEC_INLINE error close(close_code code = close_code::normal, std::string_view reason = {}) noexcept {
    return detail::session_close(s_, code, reason);
  }
  /// Fails the session from outside (an application's rule); the peer is told the error's close code.
  WSCODEC_INLINE event fail(error why) noexcept {
    const event ev = detail::fail_from_outside(s_.conn, why);
    if (ev && !s_.message_given) s_.message.end = 0;
    detail::queue_owed(s_);
    return ev;
  }

  // ---- output ----

  /// The first contiguous bytes to send; `consume(n)` says how many were. They stay where they are until the next call that
  /// is not const: a write that goes on meanwhile takes what `take_output` gives.
  [[nodiscard]] WSCODEC_INLINE std::string_view output() const noexcept { return detail::output_front(s_); }
  /// The same as slices for a gather write; returns how many were filled. `consume` may end inside one.
  [[nodiscard]] WSCODEC_INLINE std::size_t output(std::span<slice> to) const noexcept { return detail::gather_output(s_, to); }
  /// The transport took `n` bytes: of what `take_output` handed out first, then of `output()`.
  WSCODEC_INLINE void consume(std::size_t n) noexcept { detail::consume(s_, n); }
  /// Hands out the bytes to send as a buffer that stays put, in exchange for a spare one: two buffers circulate in a
  /// completion loop. Its bytes wait, for deadlines and `buffered_amount()`, until `consume(n)` says that they were written;
  /// what is queued meanwhile is for the next call. Of a borrowed payload or a large prepared message it is a copy, at most
  /// 64 KiB at a time, and the token is free at once. Empty when nothing waits, or there is no memory.
  [[nodiscard]] WSCODEC_INLINE output_buffer take_output(output_buffer spare = {}) noexcept { return detail::take_output(s_, spare); }
  /// Gives back the last buffer that `take_output` handed out, once it is written.
  WSCODEC_INLINE void free_buffer(output_buffer b) noexcept { detail::release(s_.memory, b.data, b.capacity); }
  /// Bytes that wait to be sent, or were taken and not consumed yet.
  [[nodiscard]] WSCODEC_INLINE std::uint64_t buffered_amount() const noexcept { return detail::buffered(s_); }
  /// True from the high-water mark until the low-water mark: stop reading from this peer, or sending to it.
  [[nodiscard]] WSCODEC_INLINE bool backed_up() const noexcept { return s_.backed_up; }

  // ---- time and the end ----

  /// Moves the clock (microseconds, monotonic) and does what is due; call it once a turn. Gives `failed` when a
  /// deadline ended the connection. Rules T01-T07.
  [[nodiscard]] WSCODEC_INLINE event tick(std::uint64_t now) noexcept { return detail::session_tick(s_, now); }
  /// When `tick` must be called at the latest; `never` if it need not be. 0 before the first tick.
  [[nodiscard]] WSCODEC_INLINE std::uint64_t next_deadline() noexcept {
    return wscodec::next_deadline(s_.clock, detail::activity_of(s_), *s_.conn.opt);
  }
  /// Microseconds of the last answered `ping()`, as far as the ticks tell; 0 before the first.
  [[nodiscard]] WSCODEC_INLINE std::uint64_t round_trip_time() const noexcept { return s_.clock.round_trip; }
  /// Adds the latest round trip to the statistics if there was one since the last call; after a `pong`, say.
  WSCODEC_INLINE bool take_round_trip(round_trip_statistics& to) noexcept { return wscodec::take_round_trip(s_.clock, to); }
  /// A random number of the caller's, another for each session, from which `ping_jitter` is drawn; 0: no jitter.
  WSCODEC_INLINE void set_jitter(std::uint32_t random) noexcept { s_.clock.random = random; }

  /// What to do with the transport: go on, flush the output, end our side, or drop it (K11, K15).
  [[nodiscard]] WSCODEC_INLINE transport wants() const noexcept { return detail::session_wants(s_); }
  [[nodiscard]] WSCODEC_INLINE bool is_open() const noexcept { return detail::is_open(s_.conn); }
  [[nodiscard]] WSCODEC_INLINE close_state state() const noexcept { return s_.conn.closing; }
  /// Both Close frames were exchanged.
  [[nodiscard]] WSCODEC_INLINE bool was_clean() const noexcept { return state() == close_state::closed; }
  /// The code of the peer's Close; abnormal (1006) when the connection ended without one.
  [[nodiscard]] WSCODEC_INLINE close_code code() const noexcept { return detail::code(s_.conn); }
  [[nodiscard]] WSCODEC_INLINE error why() const noexcept { return s_.conn.why; }
  [[nodiscard]] WSCODEC_INLINE std::uint64_t offset() const noexcept { return s_.conn.offset; }
  [[nodiscard]] WSCODEC_INLINE negotiated agreed() const noexcept { return {s_.conn.opt->extension, s_.conn.agreement}; }
  /// The subprotocol in use, if it is one of the options' list, on a server too.
  [[nodiscard]] WSCODEC_INLINE std::string_view subprotocol() const noexcept { return detail::subprotocol(s_.conn); }

  /// Gives back every buffer that holds nothing (and was not given out by `prepare`): an idle session then has no heap at
  /// all, but for the window of an inflater with takeover.
  WSCODEC_INLINE void release() noexcept { detail::release_memory(s_); }

 private:
  WSCODEC_INLINE void forget() noexcept {
    s_.message = {};
    s_.input = s_.queue = {};
    s_.taken = 0;
    s_.lent = nullptr;
    s_.deflate = nullptr;
    s_.conn.scratch = nullptr;
    s_.conn.scratch_size = 0;
  }

  detail::session_state s_;
};

static_assert(sizeof(session) <= 320);

WSCODEC_TYPES_END
