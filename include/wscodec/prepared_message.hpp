// wscodec: layer 7, a message that is made once and sent to many: one frame, and one compressed copy a class of windows.
//
//   const ws::prepared_message all{ws::opcode::text, "everybody"};
//   for (ws::session& each : room) each.send(all);      // copies nothing that is worth borrowing
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "allocator.hpp"
#include "bytes.hpp"
#include "config.hpp"
#include "detail/atomic.hpp"
#include "detail/deflate_messages.hpp"
#include "error.hpp"
#include "frame.hpp"
#include "permessage_deflate.hpp"
#include "utf8.hpp"

WSCODEC_TYPES_BEGIN

namespace detail {

/// A frame as a server sends it; its bytes follow in memory.
struct prepared_frame {
  std::size_t room = 0;       // bytes behind this head
  std::size_t begin = 0;      // of the frame
  std::size_t payload = 0;    // of its payload
  std::size_t end = 0;
  bool compressed = false;
};

/// The windows that a copy may be made for: 8 to 15 bits.
inline constexpr std::size_t window_classes = 8;

struct prepared_state {
  const allocator* memory = nullptr;
  std::uint32_t references = 1;
  opcode op = opcode::text;
  prepared_frame* plain = nullptr;                      // in the same block, behind this
  prepared_frame* compressed[window_classes] = {};  // from the first receiver of the class on
};

}  // namespace detail

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

WSCODEC_INLINE char* bytes_of(prepared_frame* f) noexcept { return reinterpret_cast<char*>(f + 1); }
WSCODEC_INLINE const char* bytes_of(const prepared_frame* f) noexcept { return reinterpret_cast<const char*>(f + 1); }
WSCODEC_INLINE std::string_view frame_of(const prepared_frame* f) noexcept {
  return {bytes_of(f) + f->begin, f->end - f->begin};
}
WSCODEC_INLINE std::string_view payload_of(const prepared_frame* f) noexcept {
  return {bytes_of(f) + f->payload, f->end - f->payload};
}

inline constexpr std::size_t before_payload = sizeof(prepared_frame) + max_frame_head;

/// The size of a message's block with its plain frame; 0 when that is more than memory can hold.
constexpr std::size_t prepared_size(std::size_t payload) noexcept {
  constexpr std::size_t before = sizeof(prepared_state) + before_payload;
  return payload > ~std::size_t{0} / 2 - before ? 0 : before + payload;
}

/// A frame with room for so many bytes besides its head, or `old` with more; null without memory.
inline prepared_frame* grow_frame(const allocator* memory, prepared_frame* old, std::size_t room) noexcept {
  const std::size_t old_size = old != nullptr ? before_payload + old->room : 0;
  auto* const f = static_cast<prepared_frame*>(reallocate(memory, old, old_size, before_payload + room));
  if (f == nullptr) return nullptr;
  if (old == nullptr) *f = {};
  f->room = room;
  return f;
}

inline void free_frame(const allocator* memory, prepared_frame* f) noexcept {
  if (f != nullptr) release(memory, f, before_payload + f->room);
}

/// The payload is there, `size` bytes behind the room for the longest head: writes the head right before it.
inline void finish_frame(prepared_frame* f, opcode op, bool compressed, std::size_t size) noexcept {
  char head[max_frame_head];
  const std::size_t head_size = write_frame_head(head, {.fin = true, .rsv1 = compressed, .opcode = op, .length = size});
  f->compressed = compressed;
  f->payload = max_frame_head;
  f->begin = max_frame_head - head_size;
  f->end = max_frame_head + size;
  std::memcpy(bytes_of(f) + f->begin, head, head_size);
}

inline error prepare_message(prepared_state*& result, opcode op, std::string_view payload, const allocator* memory) noexcept {
  if (op != opcode::text && op != opcode::binary) return error::opcode_not_sendable;
  std::uint8_t utf8 = 0;
  if (op == opcode::text && (utf8_check(payload.data(), payload.size(), utf8) != payload.size() || utf8 != 0))
    return error::send_text_not_utf8;
  const std::size_t size = prepared_size(payload.size());
  auto* const p = size != 0 ? static_cast<prepared_state*>(reallocate(memory, nullptr, 0, size)) : nullptr;
  if (p == nullptr) return error::out_of_memory;
  *p = {.memory = memory, .op = op, .plain = reinterpret_cast<prepared_frame*>(p + 1)};
  *p->plain = {.room = payload.size()};
  copy_bytes(bytes_of(p->plain) + max_frame_head, payload.data(), payload.size());
  finish_frame(p->plain, op, false, payload.size());
  result = p;
  return error::none;
}

inline void forget_prepared(prepared_state* p) noexcept {
  if (p == nullptr || !drop_reference(p->references)) return;
  for (prepared_frame* const f : p->compressed)
    if (f != p->plain) free_frame(p->memory, f);
  release(p->memory, p, prepared_size(p->plain->room));
}

/// Compresses a whole message by itself; the plain frame if that would not be smaller (D15), null without memory.
inline prepared_frame* compress_whole(prepared_state& p, const deflate_options& opt, std::uint8_t window_bits) noexcept {
  deflate_state d;
  d.opt = &opt;
  d.memory = p.memory;
  d.sending = {window_bits, false, opt.level, opt.memory_level};
  if (!begin_compressing(d)) return nullptr;
  std::string_view in = payload_of(p.plain);
  const std::size_t worth_it = in.size();
  prepared_frame* f = nullptr;
  std::size_t used = max_frame_head;
  deflate_status status = deflate_status::output_full;
  for (std::size_t room = worth_it / 2 + 64; status == deflate_status::output_full; room *= 2) {
    prepared_frame* const grown = grow_frame(p.memory, f, room);
    status = deflate_status::out_of_memory;
    if (grown == nullptr) break;
    f = grown;
    output out{{bytes_of(f), max_frame_head + room}};
    (void)out.claim(used);
    status = compress_piece(d, in, true, out, max_frame_head);
    used = out.size();
    if (used - max_frame_head >= worth_it) break;
  }
  close_compressor(d);
  if (status == deflate_status::done && used - max_frame_head < worth_it) {
    finish_frame(f, p.op, true, used - max_frame_head);
    return f;
  }
  free_frame(p.memory, f);
  return status == deflate_status::out_of_memory ? nullptr : p.plain;
}

/// The copy for a receiver with such a window, made when it is first asked for (D16). A small message needs no large
/// window, so that receivers with different ones share a copy. zlib keeps 262 bytes of the window to itself.
inline const prepared_frame* compressed_copy(prepared_state& p, const deflate_options& opt, std::uint8_t window_bits) noexcept {
  const std::size_t reach = payload_of(p.plain).size() + 262;
  std::uint8_t enough = 9;
  while (enough < window_bits && std::size_t{1} << enough < reach) ++enough;
  if (enough < window_bits && opt.engine->compresses({enough, false, opt.level, opt.memory_level})) window_bits = enough;
  prepared_frame*& slot = p.compressed[window_bits - 8];
  if (prepared_frame* const there = load_shared(slot); there != nullptr) return there;
  prepared_frame* const mine = compress_whole(p, opt, window_bits);
  if (mine == nullptr) return nullptr;
  prepared_frame* const there = publish(slot, mine);
  if (there != mine && mine != p.plain) free_frame(p.memory, mine);
  return there;
}

WSCODEC_DETAIL_END

WSCODEC_TYPES_BEGIN

/// A message for many receivers: `session::send` takes it. Holds its own copy of the payload, and counts references, so
/// that copies are cheap and the memory stays until the last session has sent it. May be sent from several threads at
/// once if the allocator may. With permessage-deflate it is compressed once for each class of windows, by the options of
/// the first session of the class; the receivers' own compressors then start afresh (D16).
class prepared_message {
 public:
  /// A text is checked here. What went wrong is in `why()`: opcode_not_sendable, send_text_not_utf8 or out_of_memory.
  WSCODEC_INLINE prepared_message(opcode op, std::string_view payload, const allocator* memory = nullptr) noexcept
      : why_(detail::prepare_message(p_, op, payload, memory)) {}
  WSCODEC_INLINE prepared_message(const prepared_message& other) noexcept : p_(other.p_), why_(other.why_) {
    if (p_ != nullptr) detail::add_reference(p_->references);
  }
  // NOLINTNEXTLINE(bugprone-unhandled-self-assignment,cert-oop54-cpp): it is counted before it is forgotten
  WSCODEC_INLINE prepared_message& operator=(const prepared_message& other) noexcept {
    if (other.p_ != nullptr) detail::add_reference(other.p_->references);
    detail::forget_prepared(p_);
    p_ = other.p_;
    why_ = other.why_;
    return *this;
  }
  WSCODEC_INLINE ~prepared_message() { detail::forget_prepared(p_); }

  /// none, or what every `send` of it will say.
  [[nodiscard]] WSCODEC_INLINE error why() const noexcept { return why_; }
  [[nodiscard]] WSCODEC_INLINE std::string_view payload() const noexcept {
    return p_ != nullptr ? detail::payload_of(p_->plain) : std::string_view{};
  }

 private:
  friend class session;
  detail::prepared_state* p_ = nullptr;
  error why_ = error::none;
};

WSCODEC_TYPES_END
