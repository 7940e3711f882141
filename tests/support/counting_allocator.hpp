// An allocator for tests: it knows every block it gave out, checks the sizes it is told, always moves a block that
// grows (so that a stale pointer is found by the address sanitizer), and can be made to fail.
#ifndef WSCODEC_TESTS_SUPPORT_COUNTING_ALLOCATOR_HPP
#define WSCODEC_TESTS_SUPPORT_COUNTING_ALLOCATOR_HPP

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>

#include "wscodec/allocator.hpp"

class counting_allocator {
 public:
  static constexpr std::size_t never = ~std::size_t{0};

  counting_allocator() = default;
  counting_allocator(const counting_allocator&) = delete;
  counting_allocator& operator=(const counting_allocator&) = delete;
  ~counting_allocator() {
    for (const auto& [memory, size] : blocks_) std::free(memory);
  }

  [[nodiscard]] const wscodec::allocator* hook() const { return &hook_; }

  std::size_t calls = 0;         ///< of reallocate
  std::size_t fail_at = never;   ///< the call (counted from 0) that gets nothing ...
  bool fail_after = false;       ///< ... and all that come after it too
  std::size_t refused = 0;       ///< calls that got nothing
  std::size_t bytes = 0;         ///< held now
  std::size_t peak = 0;          ///< the most that was held; while a block moves the old one does not count
  std::size_t largest = 0;       ///< the largest size ever asked for
  std::size_t mistakes = 0;      ///< unknown blocks, wrong old sizes, sizes of 0

  [[nodiscard]] std::size_t blocks() const { return blocks_.size(); }
  [[nodiscard]] bool idle() const { return blocks_.empty() && bytes == 0 && mistakes == 0; }

 private:
  static void* reallocate(void* context, void* memory, std::size_t old_size, std::size_t new_size) {
    auto& self = *static_cast<counting_allocator*>(context);
    const std::size_t index = self.calls++;
    if (new_size > self.largest) self.largest = new_size;
    if (new_size == 0) ++self.mistakes;
    if (memory == nullptr ? old_size != 0 : !self.knows(memory, old_size)) ++self.mistakes;
    if (index == self.fail_at || (self.fail_after && index > self.fail_at)) {
      ++self.refused;
      return nullptr;
    }
    void* const fresh = std::malloc(new_size != 0 ? new_size : 1);
    if (fresh == nullptr) return nullptr;
    if (memory != nullptr) {
      const std::size_t kept = old_size < new_size ? old_size : new_size;
      if (kept != 0) std::memcpy(fresh, memory, kept);
      self.forget(memory);
    }
    self.blocks_[fresh] = new_size;
    self.bytes += new_size;
    if (self.bytes > self.peak) self.peak = self.bytes;
    return fresh;
  }
  static void free(void* context, void* memory, std::size_t size) {
    auto& self = *static_cast<counting_allocator*>(context);
    if (!self.knows(memory, size)) ++self.mistakes;
    self.forget(memory);
  }
  [[nodiscard]] bool knows(void* memory, std::size_t size) const {
    const auto found = blocks_.find(memory);
    return found != blocks_.end() && found->second == size;
  }
  void forget(void* memory) {
    const auto found = blocks_.find(memory);
    if (found == blocks_.end()) return;
    bytes -= found->second;
    blocks_.erase(found);
    std::free(memory);
  }

  std::map<void*, std::size_t> blocks_;
  wscodec::allocator hook_{this, &counting_allocator::reallocate, &counting_allocator::free};
};

#endif
