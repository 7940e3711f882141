// What the fuzz targets share: a check that ends the program, a reader of the input's first bytes, splits, memory of the exact
// size and memory that is counted, and a main that replays files where there is no libFuzzer (-DWSCODEC_FUZZ_REPLAY).
#ifndef WSCODEC_FUZZ_FUZZ_HPP
#define WSCODEC_FUZZ_FUZZ_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <wscodec/allocator.hpp>
#include <wscodec/closing.hpp>
#include <wscodec/error.hpp>

#include "../tests/guarded.hpp"

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
  std::string_view bytes(std::size_t n) {
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(taken.size());
    return taken;
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

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool watched = true;
#elif defined(__has_feature)
inline constexpr bool watched = __has_feature(address_sanitizer) || __has_feature(memory_sanitizer);
#else
inline constexpr bool watched = false;
#endif

/// Memory of its exact size: whoever touches the byte behind it (with the address sanitizer also the one before it) is
/// caught. Without the sanitizer its end is where a page begins that may not be touched, up to 16 KiB.
class exact {
 public:
  explicit exact(std::size_t size) : size_(size) {
    if (watched || size > guarded::room) {
      block_.reset(new char[size]);
      return;
    }
    if (spare.empty()) spare.push_back(std::make_unique<guarded>());
    page_ = std::move(spare.back());
    spare.pop_back();
  }
  explicit exact(std::string_view from) : exact(from.size()) {
    if (!from.empty()) std::memcpy(data(), from.data(), from.size());
  }
  exact(const exact&) = delete;
  exact& operator=(const exact&) = delete;
  ~exact() {
    if (page_) spare.push_back(std::move(page_));
  }
  char* data() const { return page_ ? page_->last(size_) : block_.get(); }
  std::size_t size() const { return size_; }
  std::string_view view() const { return {data(), size_}; }
  std::span<char> bytes() const { return {data(), size_}; }

 private:
  inline static std::vector<std::unique_ptr<guarded>> spare;
  std::unique_ptr<guarded> page_;
  std::unique_ptr<char[]> block_;
  std::size_t size_;
};

/// Lets an endpoint read `bytes` and gives each event to `take`. Every call must get further: an event that eats nothing
/// is followed by one that does.
void feed(auto& endpoint, std::span<char>& bytes, auto&& take) {
  for (std::size_t idle = 0;;) {
    const std::size_t before = bytes.size();
    const auto ev = endpoint.next(bytes);
    REQUIRE(bytes.size() <= before);
    if (!ev) return;
    idle = bytes.size() == before ? idle + 1 : 0;
    REQUIRE(idle <= 2);
    take(ev);
  }
}

/// Copies `bytes` into what `prepare` gives and commits them, as many as there is room for: that many.
std::size_t commit(auto& session, std::string_view bytes) {
  const std::span<char> room = session.prepare(bytes.size());
  const std::size_t n = bytes.size() < room.size() ? bytes.size() : room.size();
  if (n != 0) std::memcpy(room.data(), bytes.data(), n);
  session.commit(n);
  return n;
}

/// Nothing is read any more, and nothing may be sent; `replying`, a caller that answers Closes itself may still send.
constexpr bool has_ended(wscodec::close_state state) {
  return state != wscodec::close_state::open && state != wscodec::close_state::closing &&
         state != wscodec::close_state::replying;
}

/// After the end everything is harmless and says the same.
void try_after_the_end(auto& endpoint, auto&& send) {
  const wscodec::error why = endpoint.why();
  const wscodec::close_state state = endpoint.state();
  const std::uint64_t offset = endpoint.offset();
  std::array<char, 10> more{'\x81', '\x00', '\x81', '\x80', 0, 0, 0, 0, '\x88', '\x00'};
  std::span<char> bytes{more};
  REQUIRE(!endpoint.next(bytes) && bytes.empty());
  REQUIRE(endpoint.why() == why && endpoint.state() == state && endpoint.offset() == offset);
  if (state != wscodec::close_state::replying) REQUIRE(send() != wscodec::error::none);
}

// Counts what is allocated, and can fail at one allocation.
struct counted_memory {
  std::size_t live = 0;
  std::size_t most = 0;  // that was live at once
  std::size_t calls = 0;
  std::size_t failing = 0;  // which call fails, counted from 1; 0 for none
  wscodec::allocator hook{this, reallocate, release};

  static void* reallocate(void* context, void* memory, std::size_t old_size, std::size_t new_size) {
    auto& self = *static_cast<counted_memory*>(context);
    if (++self.calls == self.failing) return nullptr;
    REQUIRE(self.live >= old_size);
    self.live = self.live - old_size + new_size;
    if (self.most < self.live) self.most = self.live;
    return std::realloc(memory, new_size);
  }
  static void release(void* context, void* memory, std::size_t size) {
    auto& self = *static_cast<counted_memory*>(context);
    REQUIRE(self.live >= size);
    self.live -= size;
    std::free(memory);
  }
};

/// The most that a session without compression may allocate, whatever was announced: twice what came, twice what waited
/// in its output, for its memory doubles, and twice what was asked of `prepare`, in the read buffer and in the message. Beside
/// that only the smallest sizes of the scratch (a cut control frame and a pong), the joined message, what `prepare` gives, and
/// the queue (a pong, a Close).
constexpr std::size_t most_memory(std::size_t received, std::uint64_t waited, std::size_t asked = 0) {
  constexpr std::size_t scratch = 256, message = 256, input = 256, queue = 512;
  return 2 * (received + static_cast<std::size_t>(waited) + 2 * asked) + scratch + message + input + queue;
}

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
  if (!file) broken("there is such a file", path.c_str(), 0);
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
