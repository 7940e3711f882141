// wscodec: layer 7, inside session: sending compressed messages (RFC 7692 7.2.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "session_state.hpp"

WSCODEC_TYPES_BEGIN

/// Whether a message is sent compressed: as `deflate_options::threshold` says, or not at all.
enum class compression : std::uint8_t { automatic, off };

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// D15: decides for a whole message by its size, for a streamed one before its first frame; its pieces follow.
inline bool compresses(const session_state& s, std::string_view payload, bool last, compression how) noexcept {
  const connection_state& c = s.conn;
  const deflate_options* const opt = deflate_of(c);
  if (opt == nullptr) return false;
  if (c.send_opcode != opcode::continuation) return s.deflate != nullptr && s.deflate->out_message;
  return how == compression::automatic && (!last || payload.size() >= opt->threshold);
}

/// Queues a message or a piece of one, compressed straight into the queue behind room for the longest head. `sent` stays
/// false, with error::none, when it would grow: then it is to be sent as it is. With takeover a message that grows is sent
/// compressed all the same, since the compressor remembers it (D15). On an error nothing is queued.
WSCODEC_NOINLINE inline error send_compressed(session_state& s, opcode op, std::string_view payload, bool last, bool& sent) noexcept {
  connection_state& c = s.conn;
  frame_head head;
  if (const error why = data_head(c, op, last, head); why != error::none) return why;
  std::uint8_t utf8 = 0;
  if (const error why = check_sent_text(c, op, payload, last, utf8); why != error::none) return why;
  const bool first = head.opcode != opcode::continuation;
  head.rsv1 = first;
  head.masked = c.self == role::client;
  if (head.masked && (c.keys == nullptr || !c.keys->next(head.masking_key))) return error::no_entropy;
  deflate_state* const d = open_deflate(s, *deflate_of(c));
  if (d == nullptr || ((first || d->compressor == nullptr) && !begin_compressing(*d))) return error::out_of_memory;

  const bool may_grow = d->sending.takeover || !first || !last;
  std::string_view in = payload;
  std::size_t used = 0;  // behind the queue: the room for the head, and what was compressed so far
  std::size_t more = payload.size() <= 4096 ? max_frame_head + payload.size() + payload.size() / 8 + 64 : payload.size() / 2;
  for (;;) {
    s.queue.end += used;
    const bool room = make_room(s, s.queue, more);
    s.queue.end -= used;
    deflate_status status = deflate_status::out_of_memory;
    if (room) {
      if (used == 0) used = max_frame_head;
      output out{{s.queue.data + s.queue.end, s.queue.capacity - s.queue.end}};
      (void)out.claim(used);
      status = compress_piece(*d, in, last, out, max_frame_head);
      used = out.size();
    }
    if (status == deflate_status::done) break;
    if (status != deflate_status::output_full) {
      forget_compressed(*d);
      return error::out_of_memory;
    }
    if (!may_grow && used - max_frame_head > payload.size()) break;
    more = used;
  }
  head.length = used - max_frame_head;
  if (last) end_compressing(*d);
  if (!may_grow && head.length >= payload.size()) return error::none;

  char* const at = s.queue.data + s.queue.end;
  const std::size_t head_size = write_frame_head(at, head);
  const auto size = static_cast<std::size_t>(head.length);
  std::memmove(at + head_size, at + max_frame_head, size);
  if (head.masked) mask(at + head_size, size, head.masking_key);
  s.queue.end += head_size + size;
  trace_sent(c, head);
  data_sent(c, op, last, utf8);
  d->out_message = !last;
  sent = true;
  watch_water(s);
  return error::none;
}

/// `deflate_options::release_after`.
inline void release_unused_deflate(session_state& s) noexcept {
  if (s.deflate == nullptr || s.deflate->opt->release_after == 0) return;
  if (s.clock.now - s.deflate->used_at >= s.deflate->opt->release_after) shrink_deflate(s);
}

WSCODEC_DETAIL_END
