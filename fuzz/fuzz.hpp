// What the fuzz targets share: a check that ends the program, a reader of the input's first bytes, splits, memory that is
// counted, and a main that replays files where there is no libFuzzer (-DWSCODEC_FUZZ_REPLAY).
#ifndef WSCODEC_FUZZ_FUZZ_HPP
#define WSCODEC_FUZZ_FUZZ_HPP

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <wscodec/allocator.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

#define REQUIRE(condition) ((condition) ? void() : fuzz::broken(#condition, __FILE__, __LINE__))

[[noreturn]] inline void broken(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
  std::abort();
}

/// Takes choices off the front of the input; zeros once it is empty.
class choices {
 public:
  choices(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto b = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return b;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

/// Sizes for the pieces of an input: everything at once, byte by byte, or pseudo-random.
class splits {
 public:
  enum class how { whole, bytes, random };
  splits(how h, std::uint32_t seed) : how_(h), state_(seed | 1U) {}
  std::size_t next(std::size_t left) {
    if (how_ == how::whole) return left;
    if (how_ == how::bytes) return 1;
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    // Mostly short pieces, now and then a long one.
    const std::size_t n = 1 + ((state_ & 0x70U) == 0 ? (state_ >> 8) % 1024 : (state_ >> 8) % 16);
    return n < left ? n : left;
  }

 private:
  how how_;
  std::uint32_t state_;
};

// Counts what is allocated, and can fail at one allocation.
struct counted_memory {
  std::size_t live = 0;
  std::size_t calls = 0;
  std::size_t failing = 0;  // which call fails, counted from 1; 0 for none
  wscodec::allocator hook{this, reallocate, release};

  static void* reallocate(void* context, void* memory, std::size_t old_size, std::size_t new_size) {
    auto& self = *static_cast<counted_memory*>(context);
    if (++self.calls == self.failing) return nullptr;
    REQUIRE(self.live >= old_size);
    self.live = self.live - old_size + new_size;
    return std::realloc(memory, new_size);
  }
  static void release(void* context, void* memory, std::size_t size) {
    auto& self = *static_cast<counted_memory*>(context);
    REQUIRE(self.live >= size);
    self.live -= size;
    std::free(memory);
  }
};

}  // namespace fuzz

#if defined(WSCODEC_FUZZ_REPLAY)
#include <filesystem>
#include <fstream>
#include <iterator>

namespace fuzz {

inline int replayed = 0;

inline void replay(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    for (const auto& entry : std::filesystem::directory_iterator(path)) replay(entry.path());
    return;
  }
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::fprintf(stderr, "%s\n", path.c_str());
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  ++replayed;
}

}  // namespace fuzz

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) fuzz::replay(argv[i]);
  std::printf("%d passed, %d failed\n", fuzz::replayed, fuzz::replayed == 0 ? 1 : 0);
  return fuzz::replayed == 0 ? 1 : 0;
}
#endif

#endif
