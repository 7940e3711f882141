// wscodec: layer 5, inside inflating_reader: compressing and inflating messages with any engine (RFC 7692 7.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "../allocator.hpp"
#include "../bytes.hpp"
#include "../config.hpp"
#include "../deflate_pool.hpp"
#include "../error.hpp"
#include "../permessage_deflate.hpp"
#include "../utf8.hpp"

WSCODEC_TYPES_BEGIN

namespace detail {

/// Both directions of one connection. Compressors and inflaters exist from their first message on.
struct deflate_state {
  const deflate_options* opt = nullptr;
  const allocator* memory = nullptr;
  deflate_parameters sending;
  deflate_parameters receiving;
  void* compressor = nullptr;
  void* inflater = nullptr;
  char* window = nullptr;         // of an inflater that was given back
  std::size_t window_size = 0;
  std::uint64_t size = 0;         // inflated so far of the message that is being received
  std::uint64_t used_at = 0;      // for `release_after`
  std::uint8_t utf8 = 0;
  std::uint8_t tail = 0;          // bytes of the message tail that were fed, or stand behind the message already
  bool in_message = false;        // between the first and the last compressed byte received
  bool out_message = false;       // between the first and the last piece of a streamed message
  bool after_final = false;       // its bytes so far end with a final block
  bool text = false;
  bool compressor_used = false;   // since it was opened or reset
};

}  // namespace detail

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// RFC 7692 7.2.1: what a sync flush ends with, and what is left out of a message (D01).
inline constexpr char deflate_tail[4] = {0x00, 0x00, static_cast<char>(0xFF), static_cast<char>(0xFF)};

/// Output of the inflater is made in blocks of at most this size (D13).
inline constexpr std::size_t inflate_block = 16 * 1024;

inline void setup(deflate_state& d, const deflate_options& opt, const allocator* memory, std::uint32_t agreement,
                  bool server) noexcept {
  d = {};
  d.opt = &opt;
  d.memory = memory;
  d.sending = deflate_agreement::of(agreement).parameters(server, opt);
  d.receiving = deflate_agreement::of(agreement).parameters(!server, opt);
}

inline bool pools(const deflate_state& d, const deflate_parameters& p) noexcept { return d.opt->pool != nullptr && !p.takeover; }

inline void close_compressor(deflate_state& d) noexcept {
  if (d.compressor == nullptr) return;
  if (pools(d, d.sending))
    d.opt->pool->give_back_compressor(d.compressor, d.sending);
  else
    d.opt->engine->close_compressor(d.compressor);
  d.compressor = nullptr;
}

inline void close_inflater(deflate_state& d) noexcept {
  if (d.inflater == nullptr) return;
  if (pools(d, d.receiving))
    d.opt->pool->give_back_inflater(d.inflater, d.receiving);
  else
    d.opt->engine->close_inflater(d.inflater);
  d.inflater = nullptr;
}

inline void close_all(deflate_state& d) noexcept {
  close_compressor(d);
  close_inflater(d);
  release(d.memory, d.window, d.window_size);
  d.window = nullptr;
  d.window_size = 0;
}

/// D17: gives back what is not needed between messages. A compressor starts afresh, even
/// between two pieces; of an inflater that the peer's next message may refer to, the window stays.
inline void shrink(deflate_state& d) noexcept {
  close_compressor(d);
  if (d.in_message || d.inflater == nullptr) return;
  if (d.receiving.takeover) {
    const std::size_t size = d.opt->engine->save_window(d.inflater, nullptr);
    char* const window = size != 0 ? static_cast<char*>(reallocate(d.memory, nullptr, 0, size)) : nullptr;
    if (size != 0 && window == nullptr) return;  // no memory to give memory back with: it stays as it is
    if (size != 0) d.opt->engine->save_window(d.inflater, window);
    d.window = window;
    d.window_size = size;
  }
  close_inflater(d);
}

// ---- compressing ----

/// Before the first piece of a message: a compressor that may not remember has forgotten.
inline bool begin_compressing(deflate_state& d) noexcept {
  if (d.compressor == nullptr) {
    d.compressor = pools(d, d.sending) ? d.opt->pool->borrow_compressor(d.sending)
                                       : d.opt->engine->open_compressor(d.memory, d.sending);
    d.compressor_used = false;
  } else if (!d.sending.takeover && d.compressor_used) {
    d.opt->engine->reset_compressor(d.compressor);
    d.compressor_used = false;
  }
  return d.compressor != nullptr;
}

/// Compresses a piece into `out`, which grows until this is `done`. `begin` is `out.size()` before the piece.
inline deflate_status compress_piece(deflate_state& d, std::string_view& in, bool last, output& out, std::size_t begin) noexcept {
  d.compressor_used = true;
  const deflate_status status = d.opt->engine->compress(d.compressor, in, out);
  if (status != deflate_status::done || !last) return status;
  // RFC 7692 7.2.1: the last 4 bytes go; when there is nothing new, one byte 00 stands for an empty block (D03).
  if (out.size() - begin >= sizeof deflate_tail)
    out.rewind(out.size() - sizeof deflate_tail);
  else
    (void)out.put({deflate_tail, 1});  // where nothing was written there is room
  return status;
}

/// After the last piece.
inline void end_compressing(deflate_state& d) noexcept {
  if (pools(d, d.sending)) close_compressor(d);
}

/// What was compressed is not what the peer inflated: nothing may refer to it (D15, D16).
inline void forget_compressed(deflate_state& d) noexcept {
  if (d.compressor == nullptr) return;
  if (d.compressor_used) d.opt->engine->reset_compressor(d.compressor);
  d.compressor_used = false;
  end_compressing(d);
}

// ---- inflating ----

inline bool begin_inflating(deflate_state& d, bool text) noexcept {
  if (d.inflater == nullptr) {
    d.inflater = pools(d, d.receiving) ? d.opt->pool->borrow_inflater(d.receiving)
                                       : d.opt->engine->open_inflater(d.memory, d.receiving);
    if (d.inflater == nullptr) return false;
    if (d.window != nullptr && !d.opt->engine->load_window(d.inflater, {d.window, d.window_size})) return false;
    release(d.memory, d.window, d.window_size);
    d.window = nullptr;
    d.window_size = 0;
  } else if (!d.receiving.takeover) {
    d.opt->engine->reset_inflater(d.inflater);
  }
  d.in_message = true;
  d.text = text;
  d.after_final = false;
  d.size = 0;
  d.utf8 = 0;
  d.tail = 0;
  return true;
}

/// Inflates what there is, over final blocks (D04); behind one of those the tail is left, if it is there.
WSCODEC_INLINE deflate_status inflate_blocks(deflate_state& d, std::string_view& in, output& out) noexcept {
  for (;;) {
    const std::size_t before = in.size();
    const deflate_status status = d.opt->engine->inflate(d.inflater, in, out);
    if (in.size() != before) d.after_final = false;
    if (status != deflate_status::final_block) return status;
    d.after_final = true;
    if (d.tail == sizeof deflate_tail && in.size() == sizeof deflate_tail) in = {};
    if (in.empty()) return deflate_status::done;
    if (out.room() == 0) return deflate_status::output_full;
  }
}

/// Inflates, and feeds the tail after the last byte (D01), unless the message ends with a final block (D04). The tail by
/// itself is no whole block, so a message without any payload is corrupt (D03).
WSCODEC_INLINE deflate_status inflate_with_tail(deflate_state& d, std::string_view& in, bool last, output& out,
                                        std::uint64_t most) noexcept {
  deflate_status status = inflate_blocks(d, in, out);
  if (status != deflate_status::done || !last) return status;
  if (d.tail == 0 && d.after_final) d.tail = sizeof deflate_tail;
  if (d.tail < sizeof deflate_tail) {
    std::string_view rest{deflate_tail + d.tail, sizeof deflate_tail - d.tail};
    status = inflate_blocks(d, rest, out);
    d.tail = static_cast<std::uint8_t>(sizeof deflate_tail - rest.size());
    if (status != deflate_status::done) return status;
  }
  return d.opt->engine->finish(d.inflater, out, most);
}

struct inflated_some {
  error why = error::none;
  std::size_t size = 0;  // written to `to`
  bool done = false;     // the piece is eaten: give the next, or the message is complete
};

/// Inflates one block of at most `inflate_block` bytes of a message (D12, D13, F15, F16). `room` must not be 0.
WSCODEC_INLINE inflated_some inflate_some(deflate_state& d, std::string_view& in, bool last, char* to, std::size_t room,
                                  std::uint64_t max_message) noexcept {
  const std::uint64_t left = max_message - d.size;
  // At the limit one byte more is asked for, to see whether there is any.
  char beyond;
  if (room > inflate_block) room = inflate_block;
  if (room > left) room = static_cast<std::size_t>(left);
  output out = left == 0 ? output{{&beyond, 1}} : output{{to, room}};
  const deflate_status status = inflate_with_tail(d, in, last, out, left);
  if (status == deflate_status::too_much || (left == 0 && out.size() != 0)) return {error::message_too_big};
  d.size += out.size();
  if (d.text && utf8_check(to, out.size(), d.utf8) != out.size()) return {error::text_not_utf8};
  if (status == deflate_status::corrupt) return {error::deflate_data_corrupt};
  if (status == deflate_status::out_of_memory) return {error::out_of_memory};
  const bool done = status == deflate_status::done;
  if (done && last) {
    if (d.utf8 != 0) return {error::text_not_utf8};
    d.in_message = false;
    if (pools(d, d.receiving)) close_inflater(d);
  }
  return {error::none, out.size(), done};
}

WSCODEC_DETAIL_END
