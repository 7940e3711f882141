// wscodec: layer 6, inside connection: reading frames. The shape of the hot path is deliberate: an inlined gate, one
// event word, results by value.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "../mask.hpp"
#include "../utf8.hpp"
#include "connection_handshake.hpp"
#include "connection_state.hpp"

WSCODEC_DETAIL_BEGIN

inline void owe_pong(connection_state& s, const char* payload, std::size_t size) noexcept {
  // RFC 6455 5.5.3: of several unanswered pings only the latest need be answered.
  if (!s.opt->auto_pong || (s.closing != close_state::open && !s.opt->pong_after_close)) return;
  std::memcpy(s.scratch + max_control_payload, payload, size);
  s.pong_size = static_cast<std::uint8_t>(size);
  s.pong_owed = true;
}

/// A control frame is complete; `offset` is that of its payload.
inline advanced received_control(connection_state& s, const char* payload, std::size_t size, std::uint64_t offset,
                                 char* at) noexcept {
  const auto op = static_cast<opcode>(s.first_byte & 0x0FU);
  s.in_frame = false;
  s.scratch_used = 0;
  if (op == opcode::close) {
    const close_payload said = parse_close_payload({payload, size});
    if (said.why != error::none) return fail(s, said.why, offset, at);
    s.closing = next_state(s.closing, close_step::close_received);
    s.peer_code = static_cast<std::uint16_t>(said.code);
    s.pong_owed = false;
    s.fr = {};
    return {word_of(event_type::close, op, false, false, false, false, s.peer_code), said.reason.data(),
            said.reason.size(), at};
  }
  if (op == opcode::ping && size != 0) owe_pong(s, payload, size);
  if (op == opcode::ping && size == 0) owe_pong(s, s.scratch, 0);
  return {word_of(op == opcode::ping ? event_type::ping : event_type::pong, op), payload, size, at};
}

/// The limit of a message: one that is joined must also fit into half the address space (F23).
inline std::uint64_t message_limit(const connection_state& s, placing how) noexcept {
  constexpr std::uint64_t half = ~std::size_t{0} / 2;
  const bool joined = how == placing::joining || how == placing::inflating;
  return joined && s.opt->max_message > half ? half : s.opt->max_message;
}

/// The head of a frame is there: what it may be, and what it begins. `offset` is that of its first byte.
inline error begin_frame(connection_state& s, const parsed_frame_head& parsed, unsigned second, placing how,
                         std::uint64_t& offset) noexcept {
  const unsigned first = s.first_byte;
  if (const error why = check_first_byte(first, s.fr.message, s.agreement != 0); why != error::none) return why;
  if (const error why = check_second_byte(first, second, s.self == role::server); why != error::none) {
    offset += 1;
    return why;
  }
  if (parsed.why != error::none) {
    offset += 2;
    return parsed.why;
  }
  s.fr.remaining = parsed.head.length;
  s.fr.key = parsed.head.masking_key;
  s.fr.head_size = 0;
  s.in_frame = true;
  error why = error::none;
  if (!is_control(parsed.head.opcode)) {
    if (parsed.head.opcode != opcode::continuation) s.first_pending = true;
    why = begin_data_frame(s.fr.message, parsed.head.opcode, parsed.head.rsv1, parsed.head.length,
                           {message_limit(s, how), s.opt->max_fragments});
  }
  if (why == error::none) trace_received(s, parsed.head, offset);
  return why;
}

/// Reads a frame's head, at once or over several reads; `at` moves behind it. True when the head is complete.
inline bool read_frame_head(connection_state& s, char*& at, const char* end, placing how, error& why,
                            std::uint64_t& where) noexcept {
  const std::size_t n = static_cast<std::size_t>(end - at);
  where = s.offset - s.fr.head_size;
  if (s.fr.head_size == 0 && n >= 2 && n >= frame_head_size(at)) {
    s.first_byte = byte_at(at);
    const parsed_frame_head parsed = parse_frame_head({at, frame_head_size(at)});
    why = begin_frame(s, parsed, byte_at(at + 1), how, where);
    at += parsed.size;
    s.offset += parsed.size;
    return why == error::none;
  }
  while (at != end) {
    s.fr.head[s.fr.head_size++] = *at++;
    ++s.offset;
    s.first_byte = byte_at(s.fr.head);
    if (s.fr.head_size == 1) {
      why = check_first_byte(s.first_byte, s.fr.message, s.agreement != 0);
      if (why != error::none) return false;
      continue;
    }
    const unsigned second = byte_at(s.fr.head + 1);
    const parsed_frame_head parsed = parse_frame_head({s.fr.head, s.fr.head_size});
    if (parsed.size != 0 || s.fr.head_size == 2) {
      if (parsed.size == 0) {
        why = check_second_byte(s.first_byte, second, s.self == role::server);
        where += 1;
      } else {
        why = begin_frame(s, parsed, second, how, where);
      }
      if (why != error::none) return false;
      if (parsed.size != 0) return true;
      where -= 1;
    }
  }
  return false;
}

/// Reads the head of a data frame as most are: here as a whole, under 64 KiB, within the limits. False: nothing was read.
WSCODEC_INLINE bool read_usual_head(connection_state& s, char*& at, const char* end, placing how) noexcept {
  const bool masked = s.self == role::server;
  message_state message = s.fr.message;
  if (end - at < 8 || s.fr.head_size != 0) return false;
  const unsigned code = byte_at(at + 1) ^ (masked ? 0x80U : 0U);
  const auto op = static_cast<opcode>(byte_at(at) & 0x7FU);
  if (op > opcode::binary || (op == opcode::continuation) == (message.opcode == opcode::continuation) || code > 126) return false;
  if (op != opcode::continuation) {
    message = {};
    message.opcode = op;
  }
  const std::size_t length = code == 126 ? load_big<std::uint16_t>(at + 2) : code;
  const std::size_t size = (code == 126 ? 4U : 2U) + (masked ? 4U : 0U);
  if (length < code || message.compressed || message.fragments >= s.opt->max_fragments ||
      length > message_limit(s, how) - message.size || s.opt->trace != nullptr)
    return false;
  if (op != opcode::continuation) s.first_pending = true;
  ++message.fragments;
  message.size += length;
  s.fr.message = message;
  s.first_byte = byte_at(at);
  s.fr.remaining = length;
  s.fr.key = masked ? load_masking_key(at + size - 4) : 0;
  s.in_frame = true;
  s.offset += size;
  at += size;
  return true;
}

/// Takes payload bytes of a data frame: unmasks, validates, copies if told to. Returns how many are good.
inline std::size_t take_payload(connection_state& s, char* p, std::size_t n, char* to) noexcept {
  const bool masked = s.self == role::server;
  const bool check = s.fr.message.opcode == opcode::text && !s.fr.message.compressed;
  std::uint8_t& utf8 = s.fr.message.utf8;
  std::size_t good = n;
  if (to == nullptr) {
    if (check)
      good = masked ? unmask_utf8(p, n, s.fr.key, utf8) : utf8_check(p, n, utf8);
    else if (masked)
      mask(p, n, s.fr.key);
  } else if (check) {
    good = masked ? unmask_copy_utf8(to, p, n, s.fr.key, utf8) : copy_utf8(to, p, n, utf8);
  } else if (masked) {
    mask_copy(to, p, n, s.fr.key);
  } else {
    copy_bytes(to, p, n);
  }
  s.fr.key = rotate_masking_key(s.fr.key, n);
  return good;
}

inline advanced read_frames(connection_state& s, char* const begin, std::size_t size, const destination& dest) noexcept {
  char* p = begin;
  char* const end = begin + size;
  if (s.pending != error::none) return fail(s, s.pending, s.offset, p);
  for (;;) {
    if (!s.in_frame) {
      if (p == end) return {0, nullptr, 0, p};
      error why = error::none;
      std::uint64_t where = 0;
      if (!read_usual_head(s, p, end, dest.how) && !read_frame_head(s, p, end, dest.how, why, where)) {
        if (why != error::none) return fail(s, why, where, end);
        return {0, nullptr, 0, p};
      }
    }
    const std::size_t left = static_cast<std::size_t>(end - p);
    if ((s.first_byte & 8U) != 0) {
      // A control frame is given out whole: in place, or gathered in the scratch.
      if (s.scratch_size < min_scratch) return ask(needs_scratch, p);
      const std::size_t whole = s.scratch_used + static_cast<std::size_t>(s.fr.remaining);
      const std::size_t take = left < s.fr.remaining ? left : static_cast<std::size_t>(s.fr.remaining);
      const bool in_place = s.scratch_used == 0 && take == s.fr.remaining && dest.how != placing::copying;
      char* const to = in_place ? p : s.scratch + s.scratch_used;
      if (!in_place) copy_bytes(to, p, take);
      if (s.self == role::server) mask(to, take, s.fr.key);
      s.fr.key = rotate_masking_key(s.fr.key, take);
      s.fr.remaining -= take;
      s.scratch_used += static_cast<std::uint32_t>(take);
      p += take;
      s.offset += take;
      if (s.fr.remaining != 0) return {0, nullptr, 0, p};
      return received_control(s, in_place ? to : s.scratch, whole, s.offset - whole, p);
    }
    std::size_t take = left < s.fr.remaining ? left : static_cast<std::size_t>(s.fr.remaining);
    const bool fin = (s.first_byte & 0x80U) != 0;
    // A message that is here as one whole frame stays in place even when pieces are joined.
    const bool whole = fin && s.first_pending && take == s.fr.remaining && take == s.fr.message.size;
    char* to = nullptr;
    const bool join = dest.how == placing::joining || (dest.how == placing::inflating && !s.fr.message.compressed);
    // What nobody is told of (K10) needs no place: a session would keep it behind what it had of an open message.
    const bool quiet = discards_data(s);
    if (dest.how == placing::copying || (join && !whole && !quiet)) {
      if (take != 0 && dest.room == 0) return ask(needs_room, p);
      if (take > dest.room) take = dest.room;
      to = dest.to;
    }
    if (take == 0 && s.fr.remaining != 0) return {0, nullptr, 0, p};
    const std::size_t good = take_payload(s, p, take, to);
    const char* const payload = to != nullptr ? to : p;
    p += take;
    s.offset += good;
    s.fr.remaining -= take;
    bool last = s.fr.remaining == 0 && fin;
    if (s.fr.remaining == 0) s.in_frame = false;
    const opcode op = s.fr.message.opcode;
    const bool compressed = s.fr.message.compressed;
    // RFC 6455 8.1: text that is not UTF-8 fails, at the first byte that cannot be part of it, or at the end.
    if (good != take || (last && s.fr.message.utf8 != 0)) {
      last = false;
      s.pending = error::text_not_utf8;
    }
    if (last) s.fr.message.opcode = opcode::continuation;
    if ((good == 0 && !last) || quiet) {
      if (s.pending != error::none) return fail(s, s.pending, s.offset, p);
      continue;
    }
    const bool first = s.first_pending;
    s.first_pending = false;
    return {word_of(event_type::data, op, first, last, compressed), payload, good, p};
  }
}

// What is returned by value below is built where the caller wants it: a copy of what was just stored would stall.

inline advanced read_frames_and_open(connection_state& s, char* p, std::size_t n, const destination& dest) noexcept {
  advanced result = read_frames(s, p, n, dest);
  open_gate(s);
  return result;
}

/// Everything but whole small messages.
WSCODEC_NOINLINE inline advanced advance(connection_state& s, char* p, std::size_t n,
                                         const destination& dest = {}) noexcept {
  for (;;) {
    if (!reads(s.closing)) return discard(s, p, n);
    switch (s.phase) {
      case phase::idle:
      case phase::deciding:
        return {0, nullptr, 0, p};
      case phase::head: {
        if (n == 0) return {0, nullptr, 0, p};
        bool again = false;
        const advanced result = read_head(s, p, n, again);
        if (!again) return result;
        n -= static_cast<std::size_t>(result.at - p);
        p = result.at;
        continue;
      }
      case phase::body:
        return read_body(s, p, n);
      case phase::frames:
        return read_frames_and_open(s, p, n, dest);
    }
  }
}

/// A text message in the gate was not UTF-8: gives the good bytes, then fails.
WSCODEC_NOINLINE inline advanced whole_text_failed(connection_state& s, char* payload, std::size_t good, std::size_t size) noexcept {
  s.offset += good;
  s.fast_max = -1;
  if (good == 0) return fail(s, error::text_not_utf8, s.offset, payload + size);
  s.pending = error::text_not_utf8;
  s.fr.message.opcode = opcode::text;
  return {word_of(event_type::data, opcode::text, true), payload, good, payload + size};
}

/// A whole message that goes through the gate: unmasks and checks it, in place.
WSCODEC_INLINE advanced take_whole(connection_state& s, opcode op, char* p, std::size_t payload_at, std::size_t length,
                                   bool masked) noexcept {
  char* const payload = p + payload_at;
  s.offset += payload_at;
  if (op == opcode::binary) {
    if (masked) mask(payload, length, load_masking_key(payload - 4));
  } else {
    std::uint8_t utf8 = 0;
    const std::size_t good = masked ? unmask_utf8(payload, length, load_masking_key(payload - 4), utf8)
                                    : utf8_check(payload, length, utf8);
    if (good != length || utf8 != 0) [[unlikely]]
      return whole_text_failed(s, payload, good, length);
  }
  s.offset += length;
  return {op == opcode::binary ? word_of(event_type::data, opcode::binary, true, true)
                               : word_of(event_type::data, opcode::text, true, true),
          payload, length, payload + length};
}

/// The gate for a length of 16 bits. `at` is null if this is not a whole message, or one over the limit.
WSCODEC_NOINLINE inline advanced medium_gate(connection_state& s, opcode op, char* p, std::size_t n,
                                             bool masked) noexcept {
  const std::size_t payload_at = masked ? 8 : 4;
  if (n < payload_at) return {};
  const std::size_t length = load_big<std::uint16_t>(p + 2);
  if (length <= max_control_payload || length > n - payload_at || length > s.opt->max_message) return {};
  return take_whole(s, op, p, payload_at, length, masked);
}

/// The inlined gate: a whole text or binary message of at most 125 bytes, nothing else going on. The first two bytes
/// are compared with the role's pattern, so that what remains is the opcode and the length. False: not such a one.
WSCODEC_INLINE bool gate(connection_state& s, char* p, std::size_t n, advanced& result) noexcept {
  if (n < 2) return false;
  const unsigned head = (static_cast<unsigned>(byte_at(p)) | static_cast<unsigned>(byte_at(p + 1)) << 8) ^ s.fast_pattern;
  const unsigned op = head & 0xFFU;
  const auto length = static_cast<std::size_t>(head >> 8);
  const bool masked = (s.fast_pattern & 0x8000U) != 0;
  const std::size_t payload_at = masked ? 6 : 2;
  if (op - 1 >= 2) return false;
  if (static_cast<std::int32_t>(length) > s.fast_max) {
    if (length != 126 || s.fast_max < 0) return false;
    result = medium_gate(s, static_cast<opcode>(op), p, n, masked);
    return result.at != nullptr;
  }
  if (n < payload_at + length) return false;
  result = take_whole(s, static_cast<opcode>(op), p, payload_at, length, masked);
  return true;
}

/// Whether these bytes begin inside a binary frame, and nothing else is to be thought of. (In a frame means that the union
/// holds `fr`.)
WSCODEC_INLINE bool is_piece(const connection_state& s, std::size_t n) noexcept {
  return s.in_frame && n != 0 && s.fr.remaining != 0 && (s.first_byte & 8U) == 0 && s.fr.message.opcode == opcode::binary &&
         s.closing == close_state::open;
}

/// Takes a few bytes that do not end the frame, to `to`, which may be `p`. The key of an unmasked frame is 0.
WSCODEC_INLINE advanced take_crumb(connection_state& s, char* to, char* p, std::size_t n) noexcept {
  s.fr.key = mask_few(to, p, n, s.fr.key);
  s.fr.remaining -= n;
  s.offset += n;
  const bool first = s.first_pending;
  s.first_pending = false;
  return {word_of(event_type::data, opcode::binary, first, false, s.fr.message.compressed), to, n, p + n};
}

/// Takes what is here of the frame.
WSCODEC_NOINLINE inline advanced take_piece(connection_state& s, char* to, char* p, std::size_t n) noexcept {
  if (n > s.fr.remaining) n = static_cast<std::size_t>(s.fr.remaining);
  if (s.self == role::server) mask_payload(to, p, n, s.fr.key);
  else if (to != p) copy_bytes(to, p, n);
  s.fr.key = rotate_masking_key(s.fr.key, n);
  s.fr.remaining -= n;
  s.offset += n;
  const bool last = s.fr.remaining == 0 && (s.first_byte & 0x80U) != 0;
  const advanced result{word_of(event_type::data, opcode::binary, s.first_pending, last, s.fr.message.compressed), to, n, p + n};
  s.first_pending = false;
  if (s.fr.remaining == 0) {
    s.in_frame = false;
    if (last) s.fr.message.opcode = opcode::continuation;
    open_gate(s);
  }
  return result;
}

/// Whether there is nothing to read, nothing left over to say, and nothing owed.
WSCODEC_INLINE bool is_quiet(const connection_state& s, std::size_t n) noexcept {
  return n == 0 && s.closing == close_state::open && s.phase == phase::frames && s.pending == error::none &&
         !s.pong_owed && (!s.in_frame || s.fr.remaining != 0);
}

/// For a caller whose scratch is all there is: a lack of it is an error.
inline advanced advance_or_fail(connection_state& s, char* p, std::size_t n, const destination& dest = {}) noexcept {
  const bool in_head = s.phase == phase::head;
  advanced result = advance(s, p, n, dest);
  if (__builtin_bit_cast(event_word, result.word).type == needs_scratch) {
    // Of a head, the scratch could have held so many bytes, however they were cut.
    const std::uint64_t offset = s.offset + (in_head ? s.scratch_size - s.scratch_used : 0U);
    result = fail(s, in_head ? error::head_too_large : error::scratch_too_small, offset, p + n);
  }
  return result;
}

/// Everything but whole small messages.
WSCODEC_NOINLINE inline advanced next_slowly(connection_state& s, char* p, std::size_t n) noexcept {
  if (is_piece(s, n)) return n < 8 && n < s.fr.remaining ? take_crumb(s, p, p, n) : take_piece(s, p, p, n);
  return advance_or_fail(s, p, n);
}

WSCODEC_INLINE event next(connection_state& s, std::span<char>& in) noexcept {
  char* const p = in.data();
  const std::size_t n = in.size();
  advanced result;
  if (!gate(s, p, n, result)) [[unlikely]]
    result = is_quiet(s, n) ? advanced{0, nullptr, 0, p} : next_slowly(s, p, n);
  in = {result.at, n - static_cast<std::size_t>(result.at - p)};
  return event_of(result.word, result.payload, result.size);
}

/// The same without writing to the input. When there is no room, data waits.
inline event next_copied(connection_state& s, std::string_view& in, std::span<char> to) noexcept {
  char* const p = const_cast<char*>(in.data());
  const advanced result = advance_or_fail(s, p, in.size(), {placing::copying, to.data(), to.size()});
  in.remove_prefix(static_cast<std::size_t>(result.at - p));
  if (__builtin_bit_cast(event_word, result.word).type == needs_room) return {};
  return event_of(result.word, result.payload, result.size);
}

/// The peer's stream has ended (K12).
inline event end_of_input(connection_state& s) noexcept {
  if (s.ended) return {};
  s.ended = true;
  s.fast_max = -1;
  advanced result;
  if (s.phase == phase::body && reads(s.closing) && s.body.kind == body_kind::until_end) {
    result = end_body(s, nullptr);
  } else if (reads(s.closing)) {
    s.closing = next_state(s.closing, close_step::ended);
    s.why = error::connection_lost;
    const std::string_view words = explain(s.why).what;
    result = {word_of(event_type::failed, opcode::continuation, false, false, false, false,
                      static_cast<std::uint16_t>(s.why)),
              words.data(), words.size(), nullptr};
  }
  return event_of(result.word, result.payload, result.size);
}

WSCODEC_DETAIL_END
