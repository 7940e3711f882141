// wscodec: layer 4, masking keys: a pool over the caller's source of unpredictable bytes (RFC 6455 10.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "config.hpp"
#include "mask.hpp"

WSCODEC_TYPES_BEGIN

/// Fills `n` bytes at `to` with unpredictable bytes; false if it cannot. Never `rand()`, never a clock.
using entropy_source = bool (*)(void* context, char* to, std::size_t n);

/// Hands out masking keys and nonces. Asks the source for 256 bytes at a time, because a system call for each frame
/// costs more than the frame; each byte is used once. Not copyable: two copies would hand out the same keys. May be
/// shared by the connections of one thread, and must outlive them.
class masking_keys {
 public:
  WSCODEC_INLINE explicit masking_keys(entropy_source source, void* context = nullptr) noexcept
      : source_(source), context_(context) {}
  masking_keys(const masking_keys&) = delete;
  masking_keys& operator=(const masking_keys&) = delete;

  /// The next key, in memory order; false, and no key, when the source fails.
  [[nodiscard]] WSCODEC_INLINE bool next(std::uint32_t& key) noexcept {
    if (left_ < 4 && !refill()) return false;
    left_ -= 4;
    std::memcpy(&key, pool_ + left_, 4);
    return true;
  }

  /// Whether the next key is here already, so that the source need not be asked.
  [[nodiscard]] WSCODEC_INLINE bool ready() const noexcept { return left_ >= 4; }

  /// `n` bytes straight from the source, for a nonce.
  [[nodiscard]] WSCODEC_INLINE bool fill(char* to, std::size_t n) noexcept { return source_ != nullptr && source_(context_, to, n); }

 private:
  WSCODEC_INLINE bool refill() noexcept {
    left_ = 0;
    if (!fill(pool_, sizeof pool_)) return false;
    left_ = sizeof pool_;
    return true;
  }

  entropy_source source_;
  void* context_;
  std::size_t left_ = 0;
  char pool_[256];
};

WSCODEC_TYPES_END
