// A game's server and eight players, as an engine would embed wscodec: all memory comes from one fixed arena, no exceptions, no
// RTTI, a byte budget for each connection and frame, and the engine's macros are defined before our headers are read.
// A level, 600 states and the inputs go over links in memory, as fast as they can, by a simulated clock; with glibc the calls of
// the heap are counted.
//   c++ -std=c++20 -O2 -fno-exceptions -fno-rtti -Wall -Werror -Iinclude tests/examples/engine/game.cpp -o game && ./game
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

// What engines and windows.h define.
#define check(expression) static_cast<void>(0)
#define verify(expression) static_cast<void>(expression)
#define ensure(expression) (!!(expression))
#define TEXT(text) L##text
#define PI (3.1415926535897932f)
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define ERROR 0
#define IN
#define OUT
#define DELETE (0x00010000L)
#define interface struct
#define small char

#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>

namespace ws = wscodec;

namespace {

// ---- what an engine brings along

/// As an engine's array view: bytes are `uint8_t`, sizes are `int32_t`.
template <class T>
struct TArrayView {
  T* data = nullptr;
  std::int32_t num = 0;
};
std::span<char> chars(TArrayView<std::uint8_t> view) { return ws::as_chars(std::span{view.data, static_cast<std::size_t>(view.num)}); }
std::string_view text(TArrayView<const std::uint8_t> view) { return ws::as_text(std::span{view.data, static_cast<std::size_t>(view.num)}); }

/// As an engine's FMalloc: blocks of 64 bytes to 64 KiB, powers of two, out of memory that is there from the start.
class FArenaMalloc {
 public:
  void* Malloc(std::size_t size) {
    const std::size_t c = class_of(size);
    if (c >= free_.size()) return nullptr;
    if (block* const b = free_[c]) {
      free_[c] = b->next;
      return b;
    }
    const std::size_t bytes = smallest << c;
    if (bytes > sizeof memory_ - used_) return nullptr;
    used_ += bytes;
    return memory_ + used_ - bytes;
  }
  void Free(void* memory, std::size_t size) {
    const std::size_t c = class_of(size);
    free_[c] = new (memory) block{free_[c]};
  }
  void* Realloc(void* memory, std::size_t old_size, std::size_t size) {
    if (memory == nullptr) return Malloc(size);
    if (class_of(size) == class_of(old_size)) return memory;
    void* const other = Malloc(size);
    if (other == nullptr) return nullptr;
    std::memcpy(other, memory, min(old_size, size));
    Free(memory, old_size);
    return other;
  }
  std::size_t used() const { return used_; }

 private:
  struct block {
    block* next;
    static void* operator new(std::size_t, void* at) { return at; }
  };
  static constexpr std::size_t smallest = 64;
  static std::size_t class_of(std::size_t size) { return size <= smallest ? 0 : static_cast<std::size_t>(std::bit_width((size - 1) / smallest)); }

  alignas(16) char memory_[256 * 1024];
  std::size_t used_ = 0;
  std::array<block*, 11> free_{};
};

FArenaMalloc arena;
const ws::allocator from_arena{
    &arena,
    [](void* a, void* memory, std::size_t old_size, std::size_t size) { return static_cast<FArenaMalloc*>(a)->Realloc(memory, old_size, size); },
    [](void* a, void* memory, std::size_t size) { static_cast<FArenaMalloc*>(a)->Free(memory, size); }};

// ---- the wire: bytes that were sent in one frame arrive in the next

constexpr std::size_t bytes_a_frame = 1200;

struct wire {
  std::uint8_t bytes[bytes_a_frame];
  std::int32_t size = 0;
  int full = 0;  // frames whose budget was not enough

  void carry(ws::session& from) {
    size = 0;
    while (!from.output().empty() && static_cast<std::size_t>(size) != bytes_a_frame) {
      const std::size_t n = min(from.output().size(), bytes_a_frame - static_cast<std::size_t>(size));
      std::memcpy(bytes + size, from.output().data(), n);
      size += static_cast<std::int32_t>(n);
      from.consume(n);
    }
    full += from.output().empty() ? 0 : 1;
  }
  TArrayView<std::uint8_t> arrived() { return {bytes, size}; }
};

// ---- the game

constexpr int players = 8, frames = 600;

struct input {
  std::uint32_t number;
  std::int16_t dx, dy;
};
using level = std::array<std::uint8_t, 2500>;  // what a player is sent first: several frames' budget
struct state {
  std::uint32_t frame = 0;
  std::array<std::array<std::int16_t, 2>, players> at{};
};

template <class Value>
std::string_view bytes_of(const Value& value) {
  return text({reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}
template <class Value>
bool read(std::string_view payload, Value& value) {
  if (payload.size() != sizeof value) return false;
  std::memcpy(&value, payload.data(), sizeof value);
  return true;
}

struct player {
  ws::session here, there;  // the player's end and the server's
  wire up{}, down{};
  bool loaded = false;      // has the level
  std::uint32_t seen = 0;   // states
  std::uint32_t sent = 0;   // inputs
  std::uint32_t heard = 0;  // inputs, by the server
  std::uint32_t wrong = 0;
  bool clean = false;

  player(const ws::options& options, ws::masking_keys& keys)
      : here(ws::role::client, options, &keys, &from_arena), there(ws::role::server, options, nullptr, &from_arena) {}
};

struct world {
  level map{};
  state now;
  std::array<state, frames + 1> history{};  // what each state must have been
};

void play(player& p, const world& w) {
  std::span<char> bytes = chars(p.down.arrived());
  while (const ws::event ev = p.here.next(bytes)) {
    state s;
    if (ev.type == ws::event_type::message && !p.loaded) {
      p.loaded = ev.payload == bytes_of(w.map);
    } else if (ev.type == ws::event_type::message) {
      if (!read(ev.payload, s) || s.frame != p.seen + 1 || bytes_of(s) != bytes_of(w.history[s.frame])) ++p.wrong;
      p.seen = s.frame;
    }
    if (ev.type == ws::event_type::failed) ++p.wrong;
    if (ev.type == ws::event_type::close) p.clean = ev.code() == ws::close_code::normal;
  }
}

void serve(player& p, const level& map, std::array<std::int16_t, 2>& at) {
  std::span<char> bytes = chars(p.up.arrived());
  while (const ws::event ev = p.there.next(bytes)) {
    input i{};
    if (ev.type == ws::event_type::request) {
      p.there.accept();
      p.there.send(ws::opcode::binary, bytes_of(map));
    }
    if (ev.type == ws::event_type::failed) ++p.wrong;
    if (ev.type != ws::event_type::message) continue;
    if (!read(ev.payload, i) || i.number != ++p.heard) ++p.wrong;
    at[0] = static_cast<std::int16_t>(at[0] + i.dx);
    at[1] = static_cast<std::int16_t>(at[1] + i.dy);
  }
}

}  // namespace

// ---- the heap, counted

namespace {
unsigned long heap_calls = 0;
}
#ifdef __GLIBC__
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* malloc(std::size_t size) { return ++heap_calls, __libc_malloc(size); }
void* calloc(std::size_t n, std::size_t size) { return ++heap_calls, __libc_calloc(n, size); }
void* realloc(void* memory, std::size_t size) { return ++heap_calls, __libc_realloc(memory, size); }
}
#endif

int main() {
  static world w;
  static std::array<std::optional<player>, players> room;
  const unsigned long before = heap_calls;
  std::uint64_t clock = 1'000'000;
  ws::masking_keys keys{ws::system_entropy};
  ws::options options;
  options.max_message = 4096;
  for (auto& p : room) {
    p.emplace(options, keys);
    if (p->here.connect({.host = "game.example", .target = "/match"}) != ws::error::none) return 1;
  }
  for (std::size_t i = 0; i < w.map.size(); ++i) w.map[i] = static_cast<std::uint8_t>(i * i % 251);
  int open_since = 0;
  for (int frame = 0; frame < frames + 60; ++frame, clock += 16'667) {
    bool all_open = true;
    for (int i = 0; i < players; ++i) {
      player& p = *room[static_cast<std::size_t>(i)];
      (void)p.here.tick(clock);  // before anything is read: what `next` tells of happens at the time of the last tick
      (void)p.there.tick(clock);
      serve(p, w.map, w.now.at[static_cast<std::size_t>(i)]);
      play(p, w);
      all_open = all_open && p.here.is_open() && p.there.is_open();
      const input step{p.sent + 1, static_cast<std::int16_t>(i + 1), static_cast<std::int16_t>(frame % 3 - 1)};
      if (p.here.send(ws::opcode::binary, bytes_of(step)) == ws::error::none) ++p.sent;
      if (frame % 60 == 59) (void)p.here.ping();  // measures the round trip
    }
    if (all_open && w.now.frame < frames) {
      if (open_since == 0) open_since = frame;
      ++w.now.frame;
      w.history[w.now.frame] = w.now;
      const ws::prepared_message told{ws::opcode::binary, bytes_of(w.now), &from_arena};  // serialised once for all
      for (auto& p : room) (void)p->there.send(told);
    } else if (all_open) {
      for (auto& p : room) (void)p->there.close(ws::close_code::normal, "the match is over");
    }
    for (auto& p : room) {
      p->up.carry(p->here);
      p->down.carry(p->there);
    }
  }
  std::uint32_t states = 0, wrong = 0;
  std::uint32_t inputs = 0, lost = 0;
  int full = 0;
  bool clean = true;
  for (const auto& p : room) {
    states += p->seen;
    wrong += p->wrong;
    inputs += p->heard;
    lost += p->sent - p->heard;
    full += p->down.full;
    clean = clean && p->clean && p->there.was_clean() && p->here.round_trip_time() != 0;
  }
  const unsigned long calls = heap_calls - before;
  std::printf("%d frames from frame %d on, %d players: %u states seen, %u inputs heard, %u lost, %u wrong\n", frames, open_since, players,
              states, inputs, lost, wrong);
  std::printf("%d times over budget, ends %s; arena %zu bytes, heap %lu calls\n", full, clean ? "clean" : "unclean", arena.used(), calls);
  return states == frames * players && inputs >= frames * players && lost == 0 && wrong == 0 && full != 0 && clean && calls == 0 ? 0 : 1;
}
