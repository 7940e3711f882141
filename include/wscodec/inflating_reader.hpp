// wscodec: layer 5, the inflating reader: compressed pieces of a `connection` become inflated ones in bounded memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "allocator.hpp"
#include "config.hpp"
#include "detail/deflate_messages.hpp"
#include "error.hpp"
#include "permessage_deflate.hpp"

WSCODEC_TYPES_BEGIN

/// A piece of an inflated message, or a broken rule.
struct inflated_piece {
  enum class kind : std::uint8_t { none, data, failed } type = kind::none;
  bool first = false;
  bool last = false;
  error why = error::none;  ///< failed: deflate_data_corrupt, text_not_utf8, message_too_big or out_of_memory
  std::string_view payload = {};

  WSCODEC_INLINE explicit constexpr operator bool() const noexcept { return type != kind::none; }
};

namespace detail {

struct reader_state {
  deflate_state d;
  std::string_view in;  // what was fed and is not inflated yet
  std::uint64_t max_message = 0;
  bool text = false;
  bool last = false;
  bool fed = false;
  bool first = false;
  bool failed = false;
};

}  // namespace detail

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

inline inflated_piece read_inflated(reader_state& r, std::span<char> to) noexcept {
  if (!r.fed || to.empty()) return {};
  inflated_some got;
  if (!r.d.in_message) {
    r.first = true;
    if (!begin_inflating(r.d, r.text)) got.why = error::out_of_memory;
  }
  if (got.why == error::none) got = inflate_some(r.d, r.in, r.last, to.data(), to.size(), r.max_message);
  r.failed = got.why != error::none;
  r.fed = !got.done && !r.failed;
  if (r.failed) return {inflated_piece::kind::failed, false, false, got.why, {}};
  const bool last = got.done && r.last;
  if (got.size == 0 && !last) return {};
  const bool first = r.first;
  r.first = false;
  return {inflated_piece::kind::data, first, last, error::none, {to.data(), got.size}};
}

WSCODEC_DETAIL_END

WSCODEC_TYPES_BEGIN

/// Inflates what a connection gives out with `compressed` set, and applies the rules that the connection cannot: valid
/// text (F15, F16), message size (F18, D13), DEFLATE (D12). Holds memory of the allocator between the first compressed
/// message and `release()`; what it gives out is in the caller's memory.
///
///     if (ev.type == ws::event_type::data && ev.compressed) {
///       reader.feed(ev.opcode == ws::opcode::text, ev.payload, ev.last);
///       while (const ws::inflated_piece piece = reader.next(memory)) {
///         if (piece.why != ws::error::none) failed(conn.fail(piece.why));
///         ...
///       }
///     }
class inflating_reader {
 public:
  /// `agreement` is what the handshake gave (`connection::agreed()`), `from_server` whether the messages come from the
  /// server. Keeps references to `opt` and `memory`.
  WSCODEC_INLINE inflating_reader(const deflate_options& opt, std::uint32_t agreement, bool from_server,
                                  std::uint64_t max_message, const allocator* memory = nullptr) noexcept {
    detail::setup(r_.d, opt, memory, agreement, !from_server);
    r_.max_message = max_message;
  }
  inflating_reader(const inflating_reader&) = delete;
  inflating_reader& operator=(const inflating_reader&) = delete;
  WSCODEC_INLINE ~inflating_reader() { detail::close_all(r_.d); }

  /// Takes a compressed piece, which must stay until `next` has given none.
  WSCODEC_INLINE void feed(bool text, std::string_view payload, bool last) noexcept {
    r_.text = text;
    r_.in = payload;
    r_.last = last;
    r_.fed = !r_.failed;
  }

  /// Inflates the next piece into `to` (at least one byte; at most 16 KiB of it are used). None: feed more. After
  /// `failed` there is nothing but none.
  [[nodiscard]] WSCODEC_INLINE inflated_piece next(std::span<char> to) noexcept { return detail::read_inflated(r_, to); }

  /// Gives back the memory that is not needed between messages (D17).
  WSCODEC_INLINE void release() noexcept { detail::shrink(r_.d); }

 private:
  detail::reader_state r_;
};

WSCODEC_TYPES_END
