// wscodec: layer 6, inside connection: writing frames and handshakes, and what the transport should do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../base64.hpp"
#include "../bytes.hpp"
#include "../mask.hpp"
#include "../utf8.hpp"
#include "connection_state.hpp"

WSCODEC_DETAIL_BEGIN

/// Bytes that a frame with this payload takes.
constexpr std::uint64_t frame_size(const connection_state& s, std::uint64_t payload) noexcept {
  return payload + frame_head_size(payload, s.self == role::client);
}

/// Whether frames may be sent now.
inline error can_send(const connection_state& s) noexcept {
  if (s.phase != phase::frames || s.closing == close_state::lost || s.closing == close_state::failed) return error::not_open;
  const bool may = s.closing == close_state::open || (s.closing == close_state::replying && !s.opt->auto_close_reply);
  return may ? error::none : error::already_closing;
}

/// Writes one frame, whole or not at all. RFC 6455 5.2, 5.3: a client masks each frame with a fresh key (F21).
inline error write_frame(connection_state& s, output& out, frame_head head, std::string_view payload) noexcept {
  head.length = payload.size();
  head.masked = s.self == role::client;
  if (out.room() < frame_size(s, payload.size())) return error::output_full;
  if (head.masked && (s.keys == nullptr || !s.keys->next(head.masking_key))) return error::no_entropy;
  char* const at = out.claim(static_cast<std::size_t>(frame_size(s, payload.size())));
  const std::size_t size = write_frame_head(at, head);
  if (head.masked)
    mask_copy(at + size, payload.data(), payload.size(), head.masking_key);
  else
    copy_bytes(at + size, payload.data(), payload.size());
  trace_sent(s, head);
  return error::none;
}

/// The head for the next piece of a message, if it may be sent.
inline error data_head(const connection_state& s, opcode op, bool last, frame_head& head) noexcept {
  if (const error why = can_send(s); why != error::none) return why;
  if (op > opcode::binary) return error::opcode_not_sendable;
  const bool goes_on = s.send_opcode != opcode::continuation;
  // The same opcode goes on with the open message, as does `continuation`; another would interrupt it (5.4).
  if (goes_on ? op != s.send_opcode && op != opcode::continuation : op == opcode::continuation) return error::send_out_of_order;
  head = {.fin = last, .opcode = goes_on ? opcode::continuation : op};
  return error::none;
}

inline void data_sent(connection_state& s, opcode op, bool last, std::uint8_t utf8) noexcept {
  if (op != opcode::continuation) s.send_opcode = op;
  if (last) s.send_opcode = opcode::continuation;
  s.send_utf8 = last ? std::uint8_t{0} : utf8;
}

inline error check_sent_text(const connection_state& s, opcode op, std::string_view payload, bool last,
                             std::uint8_t& utf8) noexcept {
  utf8 = s.send_utf8;
  const bool text = (op == opcode::continuation ? s.send_opcode : op) == opcode::text;
  if (!text || s.opt->trust_text) return error::none;
  if (utf8_check(payload.data(), payload.size(), utf8) != payload.size() || (last && utf8 != 0)) return error::send_text_not_utf8;
  return error::none;
}

/// Begins a frame that is a whole message of `length` < 64 KiB, if that can be done at once: writes its head and claims
/// `room` bytes behind it, where the result points to; null: nothing was written. An open gate says that frames may be
/// sent and that nobody wants to see them.
WSCODEC_INLINE char* begin_at_once(connection_state& s, output& out, opcode op, std::uint64_t length, bool last, std::size_t room,
                                   std::uint32_t& key) noexcept {
  const bool whole = last && s.send_opcode == opcode::continuation && (op == opcode::text || op == opcode::binary);
  if (s.fast_max < 0 || !whole || length >= 65536) return nullptr;
  const bool masks = s.self == role::client;
  const std::size_t head = (length < 126 ? 2U : 4U) + (masks ? 4U : 0U);
  // A source is asked step by step, once, where its failure can be told (F21).
  if (out.room() < head + room || (masks && (s.keys == nullptr || !s.keys->ready()))) return nullptr;
  if (masks) (void)s.keys->next(key);  // it is ready
  char* const at = out.claim(head + room);
  const auto n = static_cast<unsigned>(length);
  store_big(at, static_cast<std::uint16_t>(0x8000U | static_cast<unsigned>(op) << 8 | (masks ? 0x80U : 0U) | (n < 126 ? n : 126U)));
  if (n >= 126) store_big(at + 2, static_cast<std::uint16_t>(n));
  if (masks) store_masking_key(at + head - 4, key);
  return at + head;
}

/// Sends what is binary, or a small text that is ASCII, at once, if it can be; false: nothing was written.
WSCODEC_INLINE bool send_at_once(connection_state& s, output& out, opcode op, std::string_view payload, bool last) noexcept {
  const std::size_t n = payload.size();
  if (op != opcode::binary && (n > small_payload || !mask_small<false, true>(nullptr, payload.data(), n, 0))) return false;
  std::uint32_t key = 0;
  char* const to = begin_at_once(s, out, op, n, last, n, key);
  if (to == nullptr) return false;
  if (s.self == role::client) mask_copy(to, payload.data(), n, key);
  else copy_bytes(to, payload.data(), n);
  return true;
}

WSCODEC_NOINLINE inline error send_step_by_step(connection_state& s, output& out, opcode op, std::string_view payload, bool last) noexcept {
  frame_head head;
  if (const error why = data_head(s, op, last, head); why != error::none) return why;
  if (out.room() < frame_size(s, payload.size())) return error::output_full;  // before the text is looked at
  std::uint8_t utf8 = 0;
  if (const error why = check_sent_text(s, op, payload, last, utf8); why != error::none) return why;
  if (const error why = write_frame(s, out, head, payload); why != error::none) return why;
  data_sent(s, op, last, utf8);
  return error::none;
}

WSCODEC_INLINE error send(connection_state& s, output& out, opcode op, std::string_view payload, bool last) noexcept {
  return send_at_once(s, out, op, payload, last) ? error::none : send_step_by_step(s, out, op, payload, last);
}

WSCODEC_NOINLINE inline error send_head_step_by_step(connection_state& s, output& out, opcode op, std::uint64_t length, bool last,
                                                     std::uint32_t& key) noexcept {
  frame_head head;
  if (const error why = data_head(s, op, last, head); why != error::none) return why;
  if ((length >> 63) != 0) return error::length_top_bit;
  head.length = length;
  head.masked = s.self == role::client;
  if (out.room() < frame_head_size(length, head.masked)) return error::output_full;
  if (head.masked && (s.keys == nullptr || !s.keys->next(head.masking_key))) return error::no_entropy;
  write_frame_head(out.claim(frame_head_size(length, head.masked)), head);
  key = head.masking_key;
  trace_sent(s, head);
  data_sent(s, op, last, 0);
  return error::none;
}

WSCODEC_INLINE error send_head(connection_state& s, output& out, opcode op, std::uint64_t length, bool last,
                               std::uint32_t& key) noexcept {
  key = 0;
  if (begin_at_once(s, out, op, length, last, 0, key) != nullptr) return error::none;
  return send_head_step_by_step(s, out, op, length, last, key);
}

inline error send_control(connection_state& s, output& out, opcode op, std::string_view payload) noexcept {
  if (const error why = can_send(s); why != error::none) return why;
  if (payload.size() > max_control_payload) return error::control_payload_too_long;
  return write_frame(s, out, {.opcode = op}, payload);
}

inline error send_close(connection_state& s, output& out, close_code code, std::string_view reason) noexcept {
  if (s.phase != phase::frames || s.closing == close_state::lost) return error::not_open;
  if (s.closing != close_state::open && s.closing != close_state::replying) return error::already_closing;
  char payload[max_control_payload];
  std::size_t size = 0;
  if (const error why = write_close_payload(payload, size, code, reason, s.opt->cut_long_reason); why != error::none) return why;
  if (const error why = write_frame(s, out, {.opcode = opcode::close}, {payload, size}); why != error::none) return why;
  s.closing = next_state(s.closing, close_step::close_sent);
  if (!s.opt->pong_after_close) s.pong_owed = false;  // RFC 6455 5.5.1: nothing follows a Close (F19)
  open_gate(s);
  return error::none;
}

/// What a failure says to the peer of an open connection; a handshake's rule stands for none of the codes but policy.
constexpr std::uint16_t close_code_for(error why) noexcept {
  const std::uint16_t answer = explain(why).answer;
  return answer < 1000 ? static_cast<std::uint16_t>(close_code::policy_violation) : answer;
}

/// Writes the owed rejection, pong and Close, each whole or not at all.
inline error write_owed(connection_state& s, output& out) noexcept {
  if (s.pong_owed) {
    // A client without masking keys cannot answer: its pong is owed no longer, so that a Close is not held up.
    const error why = write_frame(s, out, {.opcode = opcode::pong}, {s.scratch + max_control_payload, s.pong_size});
    if (why == error::output_full) return why;
    s.pong_owed = false;
  }
  if (!owes_close(s.closing)) return error::none;
  error why = error::none;
  if (s.closing == close_state::failing && s.tell) {
    why = write_rejection(out, s.why);
  } else if (s.closing == close_state::failing) {
    char payload[2];
    store_big(payload, close_code_for(s.why));
    why = write_frame(s, out, {.opcode = opcode::close}, {payload, 2});
  } else if (s.opt->auto_close_reply) {
    // RFC 6455 5.5.1: the answer typically echoes the code; a Close without a code is answered without one (K01).
    char payload[2];
    store_big(payload, s.peer_code);
    const bool with_code = s.peer_code != static_cast<std::uint16_t>(close_code::no_status);
    why = write_frame(s, out, {.opcode = opcode::close}, {payload, with_code ? 2U : 0U});
  } else {
    return error::none;
  }
  // A client without masking keys cannot say why it goes: it goes all the same.
  if (why == error::output_full) return why;
  s.closing = next_state(s.closing, why == error::none ? close_step::close_sent : close_step::given_up);
  return error::none;
}

inline bool owes(const connection_state& s) noexcept {
  return s.pong_owed || s.closing == close_state::failing ||
         (s.closing == close_state::replying && s.opt->auto_close_reply);
}

inline transport wants(const connection_state& s) noexcept {
  if (owes(s)) return transport::flush;
  const bool spoke = s.phase == phase::frames || s.self == role::server;
  if (s.ended) return transport::drop;
  if (reads(s.closing) || s.closing == close_state::replying) return transport::keep;
  if (!spoke || s.fr.remaining > s.opt->max_discarded) return transport::drop;
  // RFC 6455 7.1.1: the server closes the transport first; the client waits for it (K11).
  return s.closing == close_state::closed && s.self == role::client ? transport::keep : transport::half_close;
}

// ---- deciding a request, and asking ----

inline error accept(connection_state& s, output& out, const acceptance& answer) noexcept {
  if (s.phase != phase::deciding || s.hs.plain || !reads(s.closing)) return error::no_request;
  if (!answer.subprotocol.empty() &&
      !offers_subprotocol(http_head{{s.scratch, s.scratch_used}}.fields(), answer.subprotocol))
    return error::subprotocol_not_offered;
  const negotiated agreed{s.opt->extension, s.agreement};
  if (const error why = write_acceptance(out, s.hs.accept, agreed, answer); why != error::none) return why;
  keep_subprotocol(s, answer.subprotocol);
  start_frames(s);
  return error::none;
}

inline error respond(connection_state& s, output& out, const response& answer) noexcept {
  if (s.phase != phase::deciding || !reads(s.closing)) return error::no_request;
  const bool to_head_method = request_view{{s.scratch, s.scratch_used}}.method() == "HEAD";
  if (const error why = write_response(out, answer, to_head_method); why != error::none) return why;
  s.why = error::refused_by_caller;
  s.closing = next_state(s.closing, close_step::given_up);
  s.fr = {};
  return error::none;
}

inline error connect(connection_state& s, output& out, const client_request& request) noexcept {
  if (s.phase != phase::idle || !reads(s.closing)) return error::no_request;
  char nonce[16];
  char key[24];
  if (s.keys == nullptr || !s.keys->fill(nonce, sizeof nonce)) return error::no_entropy;
  base64_encode(key, {nonce, sizeof nonce});
  if (const error why = write_request(out, request, {key, sizeof key}, *s.opt); why != error::none) return why;
  s.hs.accept = compute_accept({key, sizeof key});
  s.phase = phase::head;
  return error::none;
}

/// Fails the connection for a reason found outside: a deadline, an inflater, memory.
inline event fail_from_outside(connection_state& s, error why) noexcept {
  if (why == error::none || why >= error::count_) return {};
  if (s.closing != close_state::open && s.closing != close_state::closing) return {};
  const advanced result = fail(s, why, s.offset, nullptr);
  return event_of(result.word, result.payload, result.size);
}

WSCODEC_INLINE void begin(connection_state& s, role self, const options& opt, masking_keys* keys) noexcept {
  s.self = self;
  s.phase = self == role::server ? phase::head : phase::idle;
  s.opt = &opt;
  s.keys = keys;
}

WSCODEC_INLINE bool is_open(const connection_state& s) noexcept {
  return s.phase == phase::frames && s.closing == close_state::open;
}

WSCODEC_INLINE close_code code(const connection_state& s) noexcept {
  if (s.peer_code != 0) return static_cast<close_code>(s.peer_code);
  return reads(s.closing) ? close_code::none : close_code::abnormal;
}

WSCODEC_INLINE std::string_view subprotocol(const connection_state& s) noexcept {
  return s.subprotocol != no_subprotocol ? s.opt->subprotocols[s.subprotocol] : std::string_view{};
}

WSCODEC_DETAIL_END
