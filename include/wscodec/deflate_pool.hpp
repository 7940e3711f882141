// wscodec: layer 5, the pool of compressors and inflaters for directions without takeover.
#pragma once

#include <cstddef>

#include "allocator.hpp"
#include "config.hpp"
#include "permessage_deflate.hpp"

WSCODEC_TYPES_BEGIN

/// Compressors and inflaters that are idle, for the sessions of one thread: without takeover (RFC 7692 7.1.1) nothing in
/// them matters between two messages, so a session borrows one for the time of a message and holds none in between.
/// Set as `deflate_options::pool`; must outlive the sessions. Not copyable.
class deflate_pool {
 public:
  /// Idle ones that are kept, of each kind; more are closed.
  static constexpr std::size_t capacity = 4;

  WSCODEC_INLINE explicit deflate_pool(const deflate_engine& engine, const allocator* memory = nullptr) noexcept
      : engine_(engine), memory_(memory) {}
  deflate_pool(const deflate_pool&) = delete;
  deflate_pool& operator=(const deflate_pool&) = delete;
  WSCODEC_INLINE ~deflate_pool() { release(); }

  /// One that works so, forgetful of what it did before; null when there is no memory.
  [[nodiscard]] WSCODEC_INLINE void* borrow_compressor(const deflate_parameters& p) noexcept {
    void* const codec = compressors_.take(p);
    if (codec == nullptr) return engine_.open_compressor(memory_, p);
    engine_.reset_compressor(codec);
    return codec;
  }
  [[nodiscard]] WSCODEC_INLINE void* borrow_inflater(const deflate_parameters& p) noexcept {
    void* const codec = inflaters_.take(p);
    if (codec == nullptr) return engine_.open_inflater(memory_, p);
    engine_.reset_inflater(codec);
    return codec;
  }
  WSCODEC_INLINE void give_back_compressor(void* codec, const deflate_parameters& p) noexcept {
    if (!compressors_.keep(codec, p)) engine_.close_compressor(codec);
  }
  WSCODEC_INLINE void give_back_inflater(void* codec, const deflate_parameters& p) noexcept {
    if (!inflaters_.keep(codec, p)) engine_.close_inflater(codec);
  }

  /// Gives back the memory of the idle ones.
  WSCODEC_INLINE void release() noexcept {
    while (compressors_.size != 0) engine_.close_compressor(compressors_.items[--compressors_.size].codec);
    while (inflaters_.size != 0) engine_.close_inflater(inflaters_.items[--inflaters_.size].codec);
  }

 private:
  struct item {
    void* codec = nullptr;
    deflate_parameters p;
  };
  struct shelf {
    item items[capacity];
    std::size_t size = 0;

    WSCODEC_INLINE void* take(const deflate_parameters& p) noexcept {
      for (std::size_t i = 0; i < size; ++i) {
        const deflate_parameters& q = items[i].p;
        if (q.window_bits != p.window_bits || q.level != p.level || q.memory_level != p.memory_level) continue;
        void* const codec = items[i].codec;
        items[i] = items[--size];
        return codec;
      }
      return nullptr;
    }
    WSCODEC_INLINE bool keep(void* codec, const deflate_parameters& p) noexcept {
      if (size == capacity) return false;
      items[size++] = {codec, p};
      return true;
    }
  };

  const deflate_engine& engine_;
  const allocator* memory_;
  shelf compressors_;
  shelf inflaters_;
};

WSCODEC_TYPES_END
