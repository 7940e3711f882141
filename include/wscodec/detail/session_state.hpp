// wscodec: layer 7, inside session: its state, and receiving.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "../allocator.hpp"
#include "../bytes.hpp"
#include "../config.hpp"
#include "../event.hpp"
#include "../keepalive.hpp"
#include "../options.hpp"
#include "connection_frames.hpp"
#include "connection_send.hpp"
#include "deflate_messages.hpp"

WSCODEC_TYPES_BEGIN

namespace detail {

/// Memory that grows: [begin, end) is in use. `0 <= begin <= end <= capacity`.
struct buffer {
  char* data = nullptr;
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t capacity = 0;

  [[nodiscard]] WSCODEC_INLINE std::size_t size() const noexcept { return end - begin; }
  [[nodiscard]] WSCODEC_INLINE std::string_view view() const noexcept { return {data + begin, end - begin}; }
};

/// The same without a front: [0, end) is in use.
struct message_buffer {
  char* data = nullptr;
  std::size_t end = 0;
  std::size_t capacity = 0;
};

/// A payload of the caller's that waits in the output, after `before` bytes of the queue.
struct borrowed {
  std::size_t before = 0;
  const char* data = nullptr;
  std::size_t size = 0;
  void* token = nullptr;
  bool prepared = false;  // the token is a prepared message, of which this holds a reference
};

/// The borrowed payloads: [0, given) are free again, [given, done) were sent and their tokens wait to be given back (but
/// prepared messages, which are nobody's to give back), [done, end) wait in the output. The items follow in memory.
struct borrowed_list {
  std::size_t given = 0;
  std::size_t done = 0;
  std::size_t end = 0;
  std::size_t capacity = 0;
  std::uint64_t bytes = 0;         // of the waiting payloads
  std::size_t queued_before = 0;   // bytes of the queue before the last item

  [[nodiscard]] WSCODEC_INLINE borrowed* items() noexcept { return reinterpret_cast<borrowed*>(this + 1); }
};

/// Where the memory is that `prepare` gave out, until `commit`; `refused`: there was none, which `next` is to tell.
enum class prepared_in : std::uint8_t { nothing, input, message, refused };

struct session_state {
  connection_state conn;
  const allocator* memory = nullptr;
  message_buffer message;  // pieces of the open message, or the message just given out
  buffer input;    // what `prepare` gives out
  buffer queue;    // output
  borrowed_list* lent = nullptr;
  deflate_state* deflate = nullptr;  // from the first compressed message on
  keepalive clock;
  std::size_t taken = 0;           // bytes that `take_output` handed out and the transport has not taken yet
  std::uint32_t sent = 0;          // bytes that the transport took, enough to see a change
  std::uint16_t ping_number = 0;   // of our last measured ping
  bool message_given = false;      // `message` was given out: the next call empties it
  prepared_in prepared : 2 = prepared_in::nothing;
  bool backed_up : 1 = false;
  bool dropped : 1 = false;        // a deadline passed: nothing more to wait for
};

}  // namespace detail

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// No memory is larger than half of what can be addressed (F23).
inline constexpr std::size_t most_memory = ~std::size_t{0} / 2;
constexpr std::size_t doubled(std::size_t n) noexcept { return n < most_memory / 2 ? n * 2 : most_memory; }

inline bool grow(session_state& s, auto& b, std::size_t capacity) noexcept {
  void* const memory = reallocate(s.memory, b.data, b.capacity, capacity);
  if (memory == nullptr) return false;
  b.data = static_cast<char*>(memory);
  b.capacity = capacity;
  return true;
}

inline void free_buffer(const session_state& s, auto& b) noexcept {
  release(s.memory, b.data, b.capacity);
  b = {};
}

/// Makes room for `n` more bytes at the end; moves what is there to the front before it grows, to twice the size.
inline bool make_room(session_state& s, buffer& b, std::size_t n) noexcept {
  if (b.begin == b.end) b.begin = b.end = 0;
  if (b.capacity - b.end >= n) return true;
  if (b.capacity - b.size() >= n && b.begin >= b.capacity / 2) {
    std::memmove(b.data, b.data + b.begin, b.size());
    b.end -= b.begin;
    b.begin = 0;
    return true;
  }
  if (n > most_memory - b.end) return false;
  const std::size_t needed = b.end + n;
  std::size_t capacity = doubled(b.capacity);
  if (capacity < needed) capacity = needed;
  if (capacity < 256) capacity = 256;
  return grow(s, b, capacity);
}

inline std::uint64_t buffered(const session_state& s) noexcept {
  return std::uint64_t{s.taken} + s.queue.size() + (s.lent != nullptr ? s.lent->bytes : 0);
}

inline void watch_water(session_state& s) noexcept {
  const std::uint64_t waiting = buffered(s);
  if (waiting != 0 && waiting >= s.conn.opt->high_water)
    s.backed_up = true;
  else if (waiting <= s.conn.opt->low_water)
    s.backed_up = false;
}

/// Writes through `write(output&)` at the end of the queue, which grows when that says output_full: a call that fails
/// for another reason allocates nothing.
inline error queue_up(session_state& s, std::size_t guess, auto&& write) noexcept {
  for (std::size_t room = guess;; room *= 2) {
    output out{{s.queue.data + s.queue.end, s.queue.capacity - s.queue.end}};
    const error why = write(out);
    s.queue.end += out.size();
    if (why != error::output_full) {
      watch_water(s);
      return why;
    }
    if (!make_room(s, s.queue, room)) return error::out_of_memory;
  }
}

/// Queues what the protocol owes. A pong waits while the output is backed up, so that a flood of pings costs nothing.
inline void queue_owed(session_state& s) noexcept {
  connection_state& c = s.conn;
  if (!owes(c) || (c.pong_owed && s.backed_up)) return;
  const error why = queue_up(s, 512, [&](output& out) { return write_owed(c, out); });
  // Without memory for the few bytes of a Close the peer is not told.
  if (why == error::out_of_memory && owes_close(c.closing)) c.closing = next_state(c.closing, close_step::given_up);
}

inline bool grow_scratch(session_state& s, std::size_t wanted) noexcept {
  connection_state& c = s.conn;
  std::size_t size = std::size_t{c.scratch_size} * 2;
  if (size > c.opt->head.max_head) size = c.opt->head.max_head;
  if (size < min_scratch) size = min_scratch;
  if (size < wanted) size = wanted;
  void* const memory = reallocate(s.memory, c.scratch, c.scratch_size, size);
  if (memory == nullptr) return false;
  c.scratch = static_cast<char*>(memory);
  c.scratch_size = static_cast<std::uint32_t>(size);
  return true;
}

inline void free_scratch(session_state& s) noexcept {
  connection_state& c = s.conn;
  release(s.memory, c.scratch, c.scratch_size);
  c.scratch = nullptr;
  c.scratch_size = 0;
}

/// The scratch of the handshake is not needed once frames flow; 256 bytes are. Called before anything of theirs is in it.
inline void trim_scratch(session_state& s) noexcept {
  connection_state& c = s.conn;
  if (c.phase == phase::frames && c.scratch_size > min_scratch) free_scratch(s);
}

/// Fails for a reason of the session's own.
inline advanced give_up(session_state& s, error why, char* at) noexcept {
  connection_state& c = s.conn;
  if (!reads(c.closing)) return {0, nullptr, 0, at};
  return fail(c, why, c.offset, at);
}

/// Makes room in the message for the pieces at hand: never for a declared length, never more than twice what came.
inline bool make_message_room(session_state& s, std::size_t at_hand) noexcept {
  const connection_state& c = s.conn;
  const std::uint64_t left = c.fr.remaining;
  const std::size_t take = at_hand < left ? at_hand : static_cast<std::size_t>(left);
  const std::size_t needed = s.message.end + take;
  std::size_t capacity = doubled(needed);
  // Once a head announced the last fragment, its sum is known: no more than that.
  if ((c.first_byte & 0x80U) != 0 && c.fr.message.size < capacity) capacity = static_cast<std::size_t>(c.fr.message.size);
  if (capacity < needed) capacity = needed;  // not covered: only past what 32 bits can address
  return grow(s, s.message, capacity < 256 ? 256 : capacity);
}

inline void answered(session_state& s, std::string_view pong) noexcept {
  char expected[4];
  store_big(expected, std::uint32_t{s.ping_number});
  if (!s.clock.pinged || pong != std::string_view{expected, 4}) return;
  ping_answered(s.clock);
}

/// What this connection's compressed messages go through; null: they pass as they are.
inline const deflate_options* deflate_of(const connection_state& c) noexcept {
  return c.agreement != 0 && c.opt->extension != nullptr ? c.opt->extension->deflate : nullptr;
}

/// Nothing is allocated for compression before the first compressed message (D17). Null without memory.
inline deflate_state* open_deflate(session_state& s, const deflate_options& opt) noexcept {
  if (s.deflate == nullptr) {
    s.deflate = static_cast<deflate_state*>(reallocate(s.memory, nullptr, 0, sizeof(deflate_state)));
    if (s.deflate != nullptr) setup(*s.deflate, opt, s.memory, s.conn.agreement, s.conn.self == role::server);
  }
  if (s.deflate != nullptr) s.deflate->used_at = s.clock.now;
  return s.deflate;
}

/// Room for inflated bytes: at first by what there is to inflate, then twice, never over the limit. zlib is half as fast
/// where there is room for fewer than 258 bytes, the longest that DEFLATE copies at once.
inline bool make_inflated_room(session_state& s, std::size_t at_hand, std::uint64_t limit) noexcept {
  std::size_t capacity = 512 + (at_hand < inflate_block / 4 ? at_hand * 4 : inflate_block);
  if (capacity < s.message.capacity * 2) capacity = s.message.capacity * 2;
  return grow(s, s.message, capacity < limit ? capacity : static_cast<std::size_t>(limit));
}

/// Inflates a piece behind the message so far. `with_tail`: it is a whole message, and the tail stands behind it.
inline error inflate_piece(session_state& s, const deflate_options& opt, opcode op, std::string_view in, bool last,
                           bool with_tail = false) noexcept {
  deflate_state* const d = open_deflate(s, opt);
  if (d == nullptr || (!d->in_message && !begin_inflating(*d, op == opcode::text))) return error::out_of_memory;
  if (with_tail) d->tail = sizeof deflate_tail;
  const std::uint64_t limit = message_limit(s.conn, placing::inflating);
  for (;;) {
    if (s.message.end == s.message.capacity && s.message.end < limit && !make_inflated_room(s, in.size(), limit))
      return error::out_of_memory;
    const inflated_some got =
        inflate_some(*d, in, last, s.message.data + s.message.end, s.message.capacity - s.message.end, limit);
    s.message.end += got.size;
    if (got.why != error::none || got.done) return got.why;
  }
}

inline void free_deflate(session_state& s) noexcept {
  if (s.deflate == nullptr) return;
  close_all(*s.deflate);
  release(s.memory, s.deflate, sizeof(deflate_state));
  s.deflate = nullptr;
}

/// D17: gives back what is not needed before the next compressed message.
inline void shrink_deflate(session_state& s) noexcept {
  if (s.deflate == nullptr) return;
  deflate_state& d = *s.deflate;
  if (reads(s.conn.closing)) shrink(d);
  const bool idle = d.compressor == nullptr && d.inflater == nullptr && d.window == nullptr && !d.out_message;
  if (idle || (!reads(s.conn.closing) && !d.out_message)) free_deflate(s);
}

/// The message that was inflated, or why it could not be. `got.at` is behind it.
WSCODEC_INLINE void give_inflated(session_state& s, error why, opcode op, advanced& got) noexcept {
  if (why != error::none) {
    got = give_up(s, why, got.at);
    s.message.end = 0;
    queue_owed(s);
    return;
  }
  s.message_given = true;
  got.payload = s.message.data;
  got.size = s.message.end;
  got.word = word_of(event_type::message, op, true, true);
}

/// Looks after an event of the connection; true when it is for the caller.
inline bool settle(session_state& s, advanced& got) noexcept {
  const event ev = event_of(got.word, got.payload, got.size);
  const deflate_options* const inflating = ev.type == event_type::data && ev.compressed ? deflate_of(s.conn) : nullptr;
  if (inflating != nullptr) {
    const error why = inflate_piece(s, *inflating, ev.opcode, ev.payload, ev.last);
    if (why == error::none && !ev.last) return false;
    give_inflated(s, why, ev.opcode, got);
    return true;
  }
  if (ev.type == event_type::data) {
    if (got.payload == s.message.data + s.message.end) s.message.end += got.size;
    if (!ev.last) return false;
    if (s.message.end != 0) {
      s.message_given = true;
      got.payload = s.message.data;
      got.size = s.message.end;
    }
    got.word = word_of(event_type::message, ev.opcode, true, true, ev.compressed);
    return true;
  }
  if (ev.type == event_type::pong) answered(s, ev.payload);
  if (ev.type == event_type::failed || ev.type == event_type::close) s.message.end = 0;
  queue_owed(s);
  return true;
}

WSCODEC_NOINLINE inline advanced session_advance(session_state& s, char* p, std::size_t n) noexcept {
  connection_state& c = s.conn;
  char* const end = p + n;
  // A piece from the middle of a frame that the message has room for.
  if (is_piece(c, n) && n < c.fr.remaining && !c.fr.message.compressed && n <= s.message.capacity - s.message.end) {
    if (n < 8) take_crumb(c, s.message.data + s.message.end, p, n);
    else take_piece(c, s.message.data + s.message.end, p, n);
    s.message.end += n;
    return {0, nullptr, 0, end};
  }
  if (s.message_given) {
    s.message_given = false;
    s.message.end = 0;
  }
  trim_scratch(s);
  const auto head_scratch = [&](std::size_t at_hand) { return at_hand < c.opt->head.max_head ? at_hand : c.opt->head.max_head; };
  // A request stays in the scratch until it is decided.
  if (c.phase == phase::head && c.self == role::server && c.scratch == nullptr && n != 0 && !grow_scratch(s, head_scratch(n))) {
    advanced got = give_up(s, error::out_of_memory, end);
    settle(s, got);
    return got;
  }
  for (;;) {
    const std::size_t left = static_cast<std::size_t>(end - p);
    const placing how = deflate_of(c) != nullptr ? placing::inflating : placing::joining;
    advanced got = advance(c, p, left, {how, s.message.data + s.message.end, s.message.capacity - s.message.end});
    p = got.at;
    const event_type type = __builtin_bit_cast(event_word, got.word).type;
    if (type == needs_scratch || type == needs_room) {
      const bool head = c.phase == phase::head;
      const std::size_t at_hand = static_cast<std::size_t>(end - p);
      const bool done = type == needs_room ? make_message_room(s, at_hand)
                                           : grow_scratch(s, head ? head_scratch(c.scratch_used + at_hand) : min_scratch);
      if (done) continue;
      got = give_up(s, error::out_of_memory, end);
    }
    if (settle(s, got)) return got;
  }
}

/// A compressed message that is here as one small frame goes to the inflater together with its tail, in one call: a second
/// one costs zlib an eighth of the time of 128 bytes. What is none goes on to `session_advance`.
WSCODEC_NOINLINE inline advanced session_take_compressed(session_state& s, char* p, std::size_t n) noexcept {
  connection_state& c = s.conn;
  char message[1024 + sizeof deflate_tail];
  const deflate_options* const opt = deflate_of(c);
  // The gate is open between messages only.
  if (opt == nullptr || c.fast_max < 0 || n < 2 || byte_at(p) - 0xC1U >= 2 || n < frame_head_size(p)) return session_advance(s, p, n);
  const parsed_frame_head parsed = parse_frame_head({p, frame_head_size(p)});
  const auto length = static_cast<std::size_t>(parsed.head.length);
  if (parsed.why != error::none || parsed.head.masked != (c.self == role::server) ||
      parsed.head.length - 1 >= sizeof message - sizeof deflate_tail || length > n - parsed.size)
    return session_advance(s, p, n);
  if (parsed.head.masked)
    mask_copy(message, p + parsed.size, length, parsed.head.masking_key);
  else
    copy_bytes(message, p + parsed.size, length);
  copy_bytes(message + length, deflate_tail, sizeof deflate_tail);
  s.message.end = 0;  // what was given out is over
  c.offset += parsed.size + length;
  advanced got{0, nullptr, 0, p + parsed.size + length};
  const error why = inflate_piece(s, *opt, parsed.head.opcode, {message, length + sizeof deflate_tail}, true, true);
  give_inflated(s, why, parsed.head.opcode, got);
  return got;
}

/// A small message that did not get through the gate whole: its text was not UTF-8.
WSCODEC_NOINLINE inline advanced session_small_text_failed(session_state& s, advanced got) noexcept {
  return settle(s, got) ? got : session_advance(s, got.at, 0);
}

WSCODEC_INLINE event session_next(session_state& s, std::span<char>& in) noexcept {
  char* const p = in.data();
  const std::size_t n = in.size();
  advanced got;
  // A whole small message goes straight through; the gate is shut while a message is open.
  if (!gate(s.conn, p, n, got)) [[unlikely]]
    got = is_quiet(s.conn, n) ? advanced{0, nullptr, 0, p} : session_take_compressed(s, p, n);
  else if (got.word == word_of(event_type::data, opcode::text, true, true))
    got.word = word_of(event_type::message, opcode::text, true, true);
  else if (got.word == word_of(event_type::data, opcode::binary, true, true))
    got.word = word_of(event_type::message, opcode::binary, true, true);
  else
    got = session_small_text_failed(s, got);
  in = {got.at, n - static_cast<std::size_t>(got.at - p)};
  return event_of(got.word, got.payload, got.size);
}

/// Gives memory to read into: the message itself while a large binary frame is being received, else a buffer.
inline std::span<char> prepare(session_state& s, std::size_t size) noexcept {
  connection_state& c = s.conn;
  constexpr std::size_t worth_it = 4096;
  if (size == 0) size = 1;
  s.prepared = prepared_in::nothing;
  if (s.message_given) {
    s.message_given = false;
    s.message.end = 0;
  }
  const bool receiving = c.phase == phase::frames && c.in_frame && reads(c.closing) && (c.first_byte & 8U) == 0 &&
                         c.fr.remaining >= worth_it && c.fr.message.opcode == opcode::binary && !c.fr.message.compressed &&
                         s.input.size() == 0 && !discards_data(c);
  if (receiving && (s.message.capacity != s.message.end || make_message_room(s, size))) {
    const std::size_t room = s.message.capacity - s.message.end;
    s.prepared = prepared_in::message;
    return {s.message.data + s.message.end, room < c.fr.remaining ? room : static_cast<std::size_t>(c.fr.remaining)};
  }
  // While a request waits for its answer its bytes and what follows stay here: no more than a head (H20).
  if (c.phase == phase::deciding && s.input.size() >= c.opt->head.max_head) return {};
  // Without memory for so much, what room there is will do.
  const bool room = make_room(s, s.input, size) || s.input.capacity != s.input.end;
  s.prepared = room ? prepared_in::input : prepared_in::refused;
  if (!room) return {};
  return {s.input.data + s.input.end, s.input.capacity - s.input.end};
}

/// `next` over the bytes that `commit` took.
inline event session_next_committed(session_state& s) noexcept {
  if (s.prepared == prepared_in::refused) {
    s.prepared = prepared_in::nothing;
    const event ev = fail_from_outside(s.conn, error::out_of_memory);
    if (ev) s.message.end = 0;
    queue_owed(s);
    if (ev) return ev;
  }
  std::span<char> in{s.input.data + s.input.begin, s.input.size()};
  const event ev = session_next(s, in);
  s.input.begin = s.input.end - in.size();
  return ev;
}

/// `n` bytes were read into what `prepare` gave.
inline void commit(session_state& s, std::size_t n) noexcept {
  const prepared_in where = s.prepared;
  if (where == prepared_in::nothing || where == prepared_in::refused) return;
  s.prepared = prepared_in::nothing;
  if (where == prepared_in::input) {
    const std::size_t room = s.input.capacity - s.input.end;
    s.input.end += n < room ? n : room;
    return;
  }
  // The bytes are in their place already: they are only unmasked. The last piece stays for `next` to give out.
  connection_state& c = s.conn;
  const std::size_t room = s.message.capacity - s.message.end;
  if (n > room) n = room;
  if (!reads(c.closing)) {  // it failed since `prepare`
    discard(c, s.message.data, n);
    return;
  }
  if (n > c.fr.remaining) n = static_cast<std::size_t>(c.fr.remaining);
  const bool fin = (c.first_byte & 0x80U) != 0;
  const bool last = fin && n == c.fr.remaining;
  if (c.self == role::server) mask(s.message.data + s.message.end, n, c.fr.key);
  c.fr.key = rotate_masking_key(c.fr.key, n);
  c.fr.remaining -= n;
  c.offset += n;
  s.message.end += n;
  if (c.fr.remaining == 0 && !last) c.in_frame = false;
}

WSCODEC_DETAIL_END
