// wscodec: layer 7, inside session: the output, and time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "../prepared_message.hpp"
#include "session_deflate.hpp"
#include "session_state.hpp"

WSCODEC_TYPES_BEGIN

/// A piece of output for a gather write.
struct slice {
  const char* data = nullptr;
  std::size_t size = 0;
};

/// A filled buffer that `take_output` hands out, or a spare one that it takes in exchange. Its memory comes from the
/// session's allocator and goes back by the next `take_output` or by `free_buffer`.
struct output_buffer {
  char* data = nullptr;
  std::size_t size = 0;
  std::size_t capacity = 0;
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// Up to the first payload that lies elsewhere: a copied one (a client's) is in the queue, and its item is empty. Looks at
/// no more than 32 of those, so that taking the output in small parts stays cheap.
inline std::string_view output_front(const session_state& s) noexcept {
  std::size_t n = 0;
  const std::size_t done = s.lent != nullptr ? s.lent->done : 0;
  const std::size_t items = s.lent != nullptr ? s.lent->end - done : 0;
  for (std::size_t i = 0; i < items; ++i) {
    const borrowed& item = s.lent->items()[done + i];
    n += item.before;
    if (item.size != 0 && n == 0) return {item.data, item.size};
    if (item.size != 0 || i == 31) return part(s.queue.view(), 0, n);
  }
  return s.queue.view();
}

inline std::size_t gather_output(const session_state& s, std::span<slice> to) noexcept {
  std::size_t n = 0;
  std::size_t at = s.queue.begin;
  const auto add = [&](const char* data, std::size_t size) {
    if (n != 0 && to[n - 1].data + to[n - 1].size == data) to[n - 1].size += size;
    else if (size != 0 && n == to.size()) return false;
    else if (size != 0) to[n++] = {data, size};
    return true;
  };
  const std::size_t items = s.lent != nullptr ? s.lent->end : 0;
  for (std::size_t i = s.lent != nullptr ? s.lent->done : 0; i < items; ++i) {
    const borrowed& item = s.lent->items()[i];
    if (!add(s.queue.data + at, item.before)) return n;
    at += item.before;
    if (!add(item.data, item.size)) return n;
  }
  add(s.queue.data + at, s.queue.end - at);
  return n;
}

/// The first waiting payload is sent.
inline void borrowed_done(borrowed_list& list) noexcept {
  borrowed& item = list.items()[list.done++];
  if (item.prepared) forget_prepared(static_cast<prepared_state*>(item.token));
}

/// Passes over what nobody waits to be given back.
inline void skip_prepared(borrowed_list& list) noexcept {
  while (list.given != list.done && list.items()[list.given].prepared) ++list.given;
  if (list.given == list.end) list.given = list.done = list.end = 0;
}

/// Up to `n` bytes of the first waiting payload, before which nothing is queued, are sent; returns how many.
inline std::size_t consume_borrowed(borrowed_list& list, std::size_t n) noexcept {
  borrowed& item = list.items()[list.done];
  const std::size_t sent = n < item.size ? n : item.size;
  item.data += sent;
  item.size -= sent;
  list.bytes -= sent;
  if (item.size == 0) borrowed_done(list);
  return sent;
}

inline void consume(session_state& s, std::size_t n) noexcept {
  s.sent += static_cast<std::uint32_t>(n);
  const std::size_t taken = n < s.taken ? n : s.taken;
  s.taken -= taken;
  n -= taken;
  while (s.lent != nullptr && s.lent->done != s.lent->end) {
    borrowed& item = s.lent->items()[s.lent->done];
    const std::size_t queued = n < item.before ? n : item.before;
    item.before -= queued;
    s.lent->queued_before -= queued;
    s.queue.begin += queued;
    n -= queued;
    if (item.before != 0) break;
    n -= consume_borrowed(*s.lent, n);
    if (item.size != 0) break;
  }
  if (s.lent != nullptr) skip_prepared(*s.lent);
  s.queue.begin += n < s.queue.size() ? n : s.queue.size();
  if (s.queue.begin == s.queue.end) s.queue.begin = s.queue.end = 0;
  watch_water(s);
  queue_owed(s);
}

inline error session_accept(session_state& s, const acceptance& answer) noexcept {
  return queue_up(s, 512, [&](output& out) { return accept(s.conn, out, answer); });
}

inline error session_respond(session_state& s, const response& answer) noexcept {
  return queue_up(s, 512 + answer.body.size(), [&](output& out) { return respond(s.conn, out, answer); });
}

inline error session_connect(session_state& s, const client_request& request) noexcept {
  return queue_up(s, 512 + request.target.size(), [&](output& out) { return connect(s.conn, out, request); });
}

WSCODEC_NOINLINE inline error session_send_step_by_step(session_state& s, opcode op, std::string_view payload, bool last, compression how) noexcept {
  if (payload.size() > ~std::size_t{0} / 4) return error::out_of_memory;
  if (compresses(s, payload, last, how)) {
    bool sent = false;
    const error why = send_compressed(s, op, payload, last, sent);
    if (sent || why != error::none) return why;
  }
  return queue_up(s, payload.size() + max_frame_head,
                  [&](output& out) { return send(s.conn, out, op, payload, last); });
}

WSCODEC_INLINE error session_send(session_state& s, opcode op, std::string_view payload, bool last, compression how) noexcept {
  output out{{s.queue.data + s.queue.end, s.queue.capacity - s.queue.end}};
  if (s.conn.agreement != 0 || !send_at_once(s.conn, out, op, payload, last)) return session_send_step_by_step(s, op, payload, last, how);
  s.queue.end += out.size();
  watch_water(s);
  return error::none;
}

inline error session_control(session_state& s, opcode op, std::string_view payload) noexcept {
  return queue_up(s, max_control_payload + max_frame_head,
                  [&](output& out) { return send_control(s.conn, out, op, payload); });
}

inline error session_close(session_state& s, close_code code, std::string_view reason) noexcept {
  return queue_up(s, max_control_payload + max_frame_head,
                  [&](output& out) { return send_close(s.conn, out, code, reason); });
}

/// Room for one more borrowed payload.
inline bool grow_lent(session_state& s) noexcept {
  if (s.lent != nullptr && s.lent->end < s.lent->capacity) return true;
  if (s.lent != nullptr && s.lent->given > s.lent->capacity / 2) {
    std::memmove(s.lent->items(), s.lent->items() + s.lent->given, (s.lent->end - s.lent->given) * sizeof(borrowed));
    s.lent->done -= s.lent->given;
    s.lent->end -= s.lent->given;
    s.lent->given = 0;
    return true;
  }
  const std::size_t old = s.lent != nullptr ? s.lent->capacity : 0;
  const std::size_t capacity = old != 0 ? old * 2 : 4;
  const auto bytes = [](std::size_t items) { return items != 0 ? sizeof(borrowed_list) + items * sizeof(borrowed) : 0; };
  void* const memory = reallocate(s.memory, s.lent, bytes(old), bytes(capacity));
  if (memory == nullptr) return false;
  auto* const list = static_cast<borrowed_list*>(memory);
  if (old == 0) *list = {};
  list->capacity = capacity;
  s.lent = list;
  return true;
}

inline void free_lent(session_state& s) noexcept {
  if (s.lent == nullptr) return;
  while (s.lent->done != s.lent->end) borrowed_done(*s.lent);
  release(s.memory, s.lent, sizeof(borrowed_list) + s.lent->capacity * sizeof(borrowed));
  s.lent = nullptr;
}

/// Puts a payload behind everything in the output; there is room.
inline void lend(session_state& s, borrowed item) noexcept {
  borrowed_list& list = *s.lent;
  item.before = s.queue.size() - list.queued_before;
  list.queued_before += item.before;
  list.bytes += item.size;
  list.items()[list.end++] = item;
  watch_water(s);
}

inline error send_borrowed(session_state& s, opcode op, std::string_view payload, void* token, compression how) noexcept {
  connection_state& c = s.conn;
  if (!grow_lent(s)) return error::out_of_memory;
  borrowed item{.data = payload.data(), .size = payload.size(), .token = token};
  if (c.self == role::client || compresses(s, payload, true, how)) {
    // What is masked or compressed is copied; the payload is free again at once.
    if (const error why = session_send(s, op, payload, true, how); why != error::none) return why;
    item.size = 0;
  } else {
    std::uint8_t utf8 = 0;
    if (const error why = check_sent_text(c, op, payload, true, utf8); why != error::none) return why;
    std::uint32_t key = 0;
    const error why = queue_up(s, max_frame_head, [&](output& out) { return send_head(c, out, op, payload.size(), true, key); });
    if (why != error::none) return why;
  }
  lend(s, item);
  return error::none;
}

/// A prepared frame up to this size is copied: that costs less than to keep account of it.
inline constexpr std::size_t worth_lending = 512;

inline error send_prepared(session_state& s, prepared_state& p, compression how) noexcept {
  connection_state& c = s.conn;
  frame_head head;
  if (const error why = data_head(c, p.op, true, head); why != error::none) return why;
  if (head.opcode == opcode::continuation) return error::send_out_of_order;  // it is a message of its own
  const prepared_frame* f = p.plain;
  const std::string_view payload = payload_of(f);
  if (compresses(s, payload, true, how)) {
    const deflate_options& opt = *deflate_of(c);
    const bool server = c.self == role::server;
    f = compressed_copy(p, opt, deflate_agreement::of(c.agreement).parameters(server, opt).window_bits);
    if (f == nullptr) return error::out_of_memory;
  }
  error why = error::none;
  if (c.self == role::client) {
    head.rsv1 = f->compressed;
    why = queue_up(s, f->end, [&](output& out) { return write_frame(c, out, head, payload_of(f)); });
  } else if (frame_of(f).size() <= worth_lending) {
    why = queue_up(s, f->end, [&](output& out) { return out.put(frame_of(f)) ? error::none : error::output_full; });
  } else if (grow_lent(s)) {
    add_reference(p.references);
    lend(s, {.data = frame_of(f).data(), .size = frame_of(f).size(), .token = &p, .prepared = true});
  } else {
    why = error::out_of_memory;
  }
  if (c.self == role::server && why == error::none && c.opt->trace != nullptr) [[unlikely]]
    trace_sent(c, parse_frame_head(frame_of(f)).head);
  // The receiver's window holds what our own compressor never saw (D16).
  if (why == error::none && f->compressed && s.deflate != nullptr) forget_compressed(*s.deflate);
  return why;
}

/// Gives back a token whose payload was sent; false when there is none.
inline bool returned(session_state& s, void*& token) noexcept {
  if (s.lent == nullptr || s.lent->given == s.lent->done) return false;
  token = s.lent->items()[s.lent->given++].token;
  skip_prepared(*s.lent);
  return true;
}

/// As much of a borrowed payload is copied at a time, so that a large one for many receivers does not take memory in each.
inline constexpr std::size_t borrowed_piece = 64 * 1024;

/// Hands out a copy of a piece of the borrowed payload that is in front.
inline output_buffer take_borrowed(session_state& s, buffer next) noexcept {
  const borrowed& item = s.lent->items()[s.lent->done];
  const std::size_t n = item.size < borrowed_piece ? item.size : borrowed_piece;
  if (!make_room(s, next, n)) {
    release(s.memory, next.data, next.capacity);
    return {};
  }
  std::memcpy(next.data, item.data, n);
  s.taken += consume_borrowed(*s.lent, n);
  skip_prepared(*s.lent);
  return {next.data, n, next.capacity};
}

/// Hands out the queue up to a borrowed payload, or a piece of that.
inline output_buffer take_output(session_state& s, output_buffer spare) noexcept {
  buffer next;
  next.data = spare.data;
  next.capacity = spare.capacity;
  const bool lending = s.lent != nullptr && s.lent->done != s.lent->end;
  if (lending && s.lent->items()[s.lent->done].before == 0 && s.lent->items()[s.lent->done].size != 0) return take_borrowed(s, next);
  const std::size_t front = lending ? s.lent->items()[s.lent->done].before : s.queue.size();
  const std::size_t rest = s.queue.size() - front;
  // What is less, the front or what comes after the borrowed payload, moves to the other buffer; without memory for it
  // nothing is handed out.
  const std::size_t moved = front < rest ? front : rest;
  if (moved != 0 && !make_room(s, next, moved)) {
    release(s.memory, next.data, next.capacity);
    return {};
  }
  output_buffer filled{next.data, front, next.capacity};
  if (front < rest) {
    if (front != 0) std::memcpy(next.data, s.queue.data + s.queue.begin, front);
    s.queue.begin += front;
  } else {
    if (rest != 0) std::memcpy(next.data, s.queue.data + s.queue.begin + front, rest);
    next.end = rest;
    if (s.queue.begin != 0) std::memmove(s.queue.data, s.queue.data + s.queue.begin, front);
    filled = {s.queue.data, front, s.queue.capacity};
    s.queue = next;
  }
  if (lending) {
    s.lent->items()[s.lent->done].before = 0;
    s.lent->queued_before -= front;
    // A payload of no bytes (a client's was copied) has gone with what was before it.
    if (s.lent->items()[s.lent->done].size == 0) borrowed_done(*s.lent);
  }
  s.taken += front;
  return filled;
}

inline transport session_wants(const session_state& s) noexcept {
  // A handshake whose transport took nothing before it was lost, or was never had, has nobody to send the rest to.
  if (s.dropped || (s.conn.closing == close_state::lost && s.conn.phase != phase::frames && s.sent == 0)) return transport::drop;
  const transport wish = wants(s.conn);
  return wish != transport::keep && buffered(s) != 0 ? transport::flush : wish;
}

// ---- time ----

inline activity activity_of(const session_state& s) noexcept {
  const connection_state& c = s.conn;
  const bool before = c.phase == phase::head || c.phase == phase::deciding || c.phase == phase::body;
  activity a;
  a.handshaking = before && c.closing == close_state::open;
  a.ending = c.closing != close_state::open && !s.dropped;
  a.open = c.phase == phase::frames && c.closing == close_state::open;
  a.output_waits = buffered(s) != 0 && !s.dropped;
  a.received = c.offset;
  a.sent = s.sent;
  return a;
}

inline error session_ping(session_state& s) noexcept {
  // While a ping is unanswered the next ones say the same: the answer to any of them ends the wait that began with the
  // first, however fast they come.
  const auto number = static_cast<std::uint16_t>(s.ping_number + (s.clock.pinged ? 0U : 1U));
  char payload[4];
  store_big(payload, std::uint32_t{number});
  const error why = session_control(s, opcode::ping, {payload, 4});
  if (why != error::none) return why;
  s.ping_number = number;
  ping_sent(s.clock);
  return error::none;
}

inline event session_tick(session_state& s, std::uint64_t now) noexcept {
  connection_state& c = s.conn;
  for (;;) {
    const due what = tick(s.clock, now, activity_of(s), *c.opt);
    error why = error::none;
    switch (what) {
      case due::nothing: release_unused_deflate(s); return {};
      case due::ping:
        // Queued is sent; one that cannot be (no entropy, no memory) is tried again after another interval.
        (void)session_ping(s);
        s.clock.sent_at = s.clock.now;
        continue;
      case due::handshake_timeout: why = error::handshake_timeout; break;
      case due::pong_timeout: why = error::pong_timeout; break;
      case due::idle_timeout: why = error::idle_timeout; break;
      case due::close_timeout:
        why = error::close_timeout;
        s.dropped = true;
        break;
      case due::write_timeout:
        why = error::write_timeout;
        s.dropped = true;
        break;
    }
    const bool news = reads(c.closing);
    const event ev = fail_from_outside(c, why);
    s.message.end = s.message_given ? s.message.end : 0;
    queue_owed(s);
    if (news) return ev;
  }
}

/// Gives back all memory that holds nothing.
inline void release_memory(session_state& s) noexcept {
  const connection_state& c = s.conn;
  if (s.prepared != prepared_in::message && (s.message_given || s.message.end == 0)) free_buffer(s, s.message);
  if (s.prepared != prepared_in::input && s.input.size() == 0) free_buffer(s, s.input);
  if (s.queue.size() == 0) free_buffer(s, s.queue);
  if (s.lent != nullptr && s.lent->given == s.lent->end) free_lent(s);
  if ((c.scratch_used == 0 || !reads(c.closing)) && !c.pong_owed) free_scratch(s);
  shrink_deflate(s);
}

inline void free_everything(session_state& s) noexcept {
  free_deflate(s);
  free_buffer(s, s.message);
  free_buffer(s, s.input);
  free_buffer(s, s.queue);
  free_lent(s);
  free_scratch(s);
}

WSCODEC_DETAIL_END
