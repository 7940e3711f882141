// Bytes that end (or begin) right where a page begins that may not be touched: whoever reads or writes beyond the span
// crashes here. Where there is no mmap it is plain memory.
#pragma once

#include <cstddef>
#include <cstring>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

class guarded {
 public:
  static constexpr std::size_t room = 4096 * 4;

  guarded() {
#if __has_include(<sys/mman.h>)
    void* all = mmap(nullptr, page + room + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bytes_ = static_cast<char*>(all) + page;
    mprotect(bytes_, room, PROT_READ | PROT_WRITE);
#else
    bytes_ = new char[room];
#endif
  }
  guarded(const guarded&) = delete;
  guarded& operator=(const guarded&) = delete;
  ~guarded() {
#if __has_include(<sys/mman.h>)
    munmap(bytes_ - page, page + room + page);
#else
    delete[] bytes_;
#endif
  }

  char* begin() { return bytes_; }
  /// The last `n` bytes before the forbidden page.
  char* last(std::size_t n) { return bytes_ + room - n; }

 private:
  static constexpr std::size_t page = 65536;  // the largest that is common
  char* bytes_ = nullptr;
};
