// wscodec: layer 6, inside connection: its state, and the result of the slow path.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../closing.hpp"
#include "../config.hpp"
#include "../error.hpp"
#include "../event.hpp"
#include "../frame.hpp"
#include "../handshake.hpp"
#include "../masking_keys.hpp"
#include "../message.hpp"
#include "../options.hpp"

WSCODEC_TYPES_BEGIN

namespace detail {

enum class phase : std::uint8_t { idle, head, deciding, body, frames };
enum class body_kind : std::uint8_t { counted, until_end, chunk_size, chunk_extension, chunk_data, chunk_end, trailer };

/// What a handshake must remember.
struct handshake_memory {
  accept_value accept;
  head_progress progress;
  std::uint8_t interim;
  bool plain;
};

/// What the body of a rejecting response must remember.
struct body_memory {
  std::uint64_t left;      // of the body, or of its chunk
  std::uint32_t size;      // delivered
  body_kind kind;
  std::uint8_t line_size;  // of a chunk-size or trailer line so far
  bool after_cr;           // the line's last byte was a CR: LF must follow
};

inline constexpr std::uint16_t no_subprotocol = 0xFFFF;

/// What frames must remember.
struct frame_memory {
  message_state message;
  std::uint64_t remaining;  // payload bytes of the current frame
  std::uint32_t key;        // as the next payload byte sees it
  char head[max_frame_head];
  std::uint8_t head_size;
};

/// Everything a connection is. No pointer points into it.
struct connection_state {
  WSCODEC_INLINE connection_state() noexcept : hs{} {}

  std::uint64_t offset = 0;        // bytes consumed; after a failure, where it happened
  std::int32_t fast_max = -1;      // the largest payload the inlined gate takes, -1 for none
  std::uint16_t fast_pattern = 0;  // the first two bytes of a whole message of length 0, opcode 0
  role self = role::server;
  detail::phase phase = detail::phase::idle;
  close_state closing = close_state::open;
  bool ended = false;           // EOF
  bool in_frame = false;        // a head was read, payload or its end is to come
  bool first_pending = false;   // no piece of the open message was given out yet
  bool pong_owed = false;
  bool tell = false;            // `failing` owes an HTTP rejection rather than a Close
  std::uint8_t first_byte = 0;  // of the current frame
  std::uint8_t pong_size = 0;
  error why = error::none;
  error pending = error::none;  // the failure that follows the good bytes just given out, of a text that is still open
  std::uint16_t peer_code = 0;
  std::uint16_t subprotocol = no_subprotocol;  // index into the options' list
  wscodec::opcode send_opcode = opcode::continuation;  // of the message that is being sent
  std::uint8_t send_utf8 = 0;
  std::uint32_t agreement = 0;
  std::uint32_t scratch_size = 0;
  std::uint32_t scratch_used = 0;
  const options* opt = nullptr;
  masking_keys* keys = nullptr;
  char* scratch = nullptr;
  union {
    handshake_memory hs;
    body_memory body;
    frame_memory fr;
  };
};

/// Whether data is discarded: what arrives after our own Close, if the options say so (K10).
WSCODEC_INLINE bool discards_data(const connection_state& s) noexcept {
  return s.closing == close_state::closing && s.opt->discard_after_close;
}

/// What the slow path gives back, by value.
struct advanced {
  std::uint64_t word = 0;
  const char* payload = nullptr;
  std::size_t size = 0;
  char* at = nullptr;
};

/// Where payloads go: they stay in place, or whole messages do and pieces are joined (`inflating`: but compressed ones
/// stay), or all are copied.
enum class placing : std::uint8_t { in_place, joining, inflating, copying };
struct destination {
  placing how = placing::in_place;
  char* to = nullptr;
  std::size_t room = 0;
};

/// Event types that only `session` sees: it gives what is missing and calls again.
inline constexpr auto needs_scratch = static_cast<event_type>(250);
inline constexpr auto needs_room = static_cast<event_type>(251);

}  // namespace detail

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// The first eight bytes of an event as one word.
struct event_word {
  event_type type;
  opcode op;
  bool first, last, compressed, plain;
  std::uint16_t number;
};
WSCODEC_INLINE constexpr std::uint64_t word_of(event_type type, opcode op = opcode::continuation, bool first = false,
                                               bool last = false, bool compressed = false, bool plain = false,
                                               std::uint16_t number = 0) noexcept {
  return __builtin_bit_cast(std::uint64_t, (event_word{type, op, first, last, compressed, plain, number}));
}
WSCODEC_INLINE event event_of(std::uint64_t word, const char* payload, std::size_t size) noexcept {
  const auto w = __builtin_bit_cast(event_word, word);
  return {w.type, w.op, w.first, w.last, w.compressed, w.plain, w.number, {payload, size}};
}

WSCODEC_INLINE void open_gate(connection_state& s) noexcept {
  const bool idle = s.phase == phase::frames && s.closing == close_state::open && !s.in_frame &&
                    s.fr.head_size == 0 && s.fr.message.opcode == opcode::continuation && s.opt->max_fragments != 0 &&
                    s.opt->trace == nullptr;
  s.fast_max = !idle ? -1 : s.opt->max_message < 125 ? static_cast<std::int32_t>(s.opt->max_message) : 125;
}

/// Keeps which of the options' list was agreed on; what only stands behind the first 65,535 is not told.
inline void keep_subprotocol(connection_state& s, std::string_view agreed) noexcept {
  if (agreed.empty()) return;
  for (std::uint16_t i = 0; i < s.opt->subprotocols.size() && i != no_subprotocol; ++i)
    if (s.opt->subprotocols[i] == agreed) s.subprotocol = i;
}

inline void start_frames(connection_state& s) noexcept {
  s.phase = phase::frames;
  s.scratch_used = 0;
  s.fr = {};
  s.fast_pattern = s.self == role::server ? 0x8080 : 0x0080;
  open_gate(s);
}

/// Tells the caller's hook of a frame. A connection and a session begin with their state: its address is theirs.
WSCODEC_NOINLINE inline void call_trace(const connection_state& s, bool sent, const frame_head& head, std::uint64_t offset) noexcept {
  if (s.opt->trace->frame != nullptr) s.opt->trace->frame(s.opt->trace->context, {&s, sent, head, offset});
}
WSCODEC_INLINE void trace_received(const connection_state& s, const frame_head& head, std::uint64_t offset) noexcept {
  if (s.opt->trace != nullptr) [[unlikely]] call_trace(s, false, head, offset);
}
WSCODEC_INLINE void trace_sent(const connection_state& s, const frame_head& head) noexcept {
  if (s.opt->trace != nullptr) [[unlikely]] call_trace(s, true, head, 0);
}

/// Goes into failure at the stream offset `offset`.
inline advanced fail(connection_state& s, error why, std::uint64_t offset, char* at) noexcept {
  const bool frames = s.phase == phase::frames;
  const bool tell = explain(why).answer != 0 && (frames || s.self == role::server);
  s.tell = tell && !frames;
  s.closing = next_state(s.closing, tell ? close_step::broken : close_step::given_up);
  s.why = why;
  s.pending = error::none;
  s.offset = offset;
  s.pong_owed = false;
  s.fast_max = -1;
  s.fr = {};
  s.in_frame = false;
  const std::string_view words = explain(why).what;
  return {word_of(event_type::failed, opcode::continuation, false, false, false, false,
                  static_cast<std::uint16_t>(why)),
          words.data(), words.size(), at};
}

inline advanced ask(event_type what, char* at) noexcept { return {word_of(what), nullptr, 0, at}; }

/// After the end nothing is parsed (K09, K14): input is counted against the bound of K15 and eaten.
inline advanced discard(connection_state& s, char* p, std::size_t n) noexcept {
  s.fr.remaining += n;  // nobody sends 2^64 bytes
  return {0, nullptr, 0, p + n};
}

WSCODEC_DETAIL_END
