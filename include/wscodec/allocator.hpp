// wscodec: layer 1, the allocator hook.
#pragma once

#include <cstddef>
#include <cstdlib>

#include "config.hpp"

WSCODEC_TYPES_BEGIN

/// Where a session's memory comes from. `reallocate` is also given the old size; each may return nullptr, which
/// becomes error::out_of_memory. Memory is aligned to 16 bytes. Must outlive the sessions that use it.
struct allocator {
  void* context = nullptr;
  void* (*reallocate)(void* context, void* memory, std::size_t old_size, std::size_t new_size) = nullptr;
  void (*free)(void* context, void* memory, std::size_t size) = nullptr;
};

namespace detail {

/// malloc, unless the caller gave an allocator. `memory` may be null.
WSCODEC_INLINE void* reallocate(const allocator* from, void* memory, std::size_t old_size, std::size_t new_size) noexcept {
  return from != nullptr ? from->reallocate(from->context, memory, old_size, new_size) : std::realloc(memory, new_size);
}
WSCODEC_INLINE void release(const allocator* from, void* memory, std::size_t size) noexcept {
  if (memory == nullptr) return;
  if (from != nullptr)
    from->free(from->context, memory, size);
  else
    std::free(memory);
}

}  // namespace detail

WSCODEC_TYPES_END
