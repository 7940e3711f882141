// A second engine beside zlib.hpp's, over libdeflate 1.14: whole messages, a window of 15 bits, no takeover either way; it
// declines the rest. Link with -ldeflate.
//
// libdeflate compresses a buffer into another, and so does this: a message, or a piece of a streamed one, becomes blocks of
// which the last has BFINAL, and an empty one for its tail (RFC 7692 7.2.3.4). What arrives is kept until its message is
// complete, then inflated at once, never to more than the limit of the message.
//
// libdeflate is laxer than D12: the length codes 286 and 287, which do not exist, pass for 285. It
// reads and writes nothing that is not its own all the same.
//
// libdeflate takes memory from two functions for the whole process, which are set here before main. It must not be in use
// ahead of that.
#pragma once

#include <libdeflate.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include <wscodec/allocator.hpp>
#include <wscodec/bytes.hpp>
#include <wscodec/permessage_deflate.hpp>

namespace libdeflate_engine {

namespace ws = wscodec;

// ---- memory

/// Memory that grows. What is in it stays.
struct buffer {
  char* data = nullptr;
  std::size_t size = 0;
  std::size_t capacity = 0;

  bool reserve(const ws::allocator* memory, std::size_t wanted) {
    if (wanted <= capacity) return true;
    void* const grown = ws::detail::reallocate(memory, data, capacity, wanted);
    if (grown == nullptr) return false;
    data = static_cast<char*>(grown);
    capacity = wanted;
    return true;
  }
  bool append(const ws::allocator* memory, std::string_view bytes) {
    if (bytes.size() > capacity - size && !reserve(memory, size + size / 2 + bytes.size() + 64)) return false;
    ws::detail::copy_bytes(data + size, bytes.data(), bytes.size());
    size += bytes.size();
    return true;
  }
  void free(const ws::allocator* memory) { ws::detail::release(memory, data, capacity); }
};

/// Ahead of libdeflate's own memory, which it frees without telling size or owner.
struct alignas(16) block_head {
  const ws::allocator* memory;
  std::size_t size;
};

inline thread_local const ws::allocator* allocating = nullptr;

inline void* take(std::size_t size) {
  if (size > ~std::size_t{0} - sizeof(block_head)) return nullptr;
  size += sizeof(block_head);
  void* const place = ws::detail::reallocate(allocating, nullptr, 0, size);
  return place != nullptr ? new (place) block_head{allocating, size} + 1 : nullptr;
}

inline void give_back(void* at) {
  if (at == nullptr) return;
  block_head* const head = static_cast<block_head*>(at) - 1;
  ws::detail::release(head->memory, head, head->size);
}

inline const bool memory_is_ours = (libdeflate_set_memory_allocator(take, give_back), true);

/// Lets libdeflate allocate from `memory` meanwhile.
struct allocating_from {
  explicit allocating_from(const ws::allocator* memory) { allocating = memory; }
  allocating_from(const allocating_from&) = delete;
  allocating_from& operator=(const allocating_from&) = delete;
  ~allocating_from() { allocating = nullptr; }
};

/// One of these, with the memory it came from.
template <class State>
State* create(const ws::allocator* memory) {
  void* const place = ws::detail::reallocate(memory, nullptr, 0, sizeof(State));
  if (place == nullptr) return nullptr;
  State* const state = new (place) State;
  state->memory = memory;
  return state;
}
template <class State>
void destroy(State* state) {
  ws::detail::release(state->memory, state, sizeof(State));
}

/// Hands out a buffer, as much as fits. True when that was all.
inline bool drain(const buffer& from, std::size_t& at, ws::output& out) {
  const std::size_t left = from.size - at;
  const std::size_t n = left < out.room() ? left : out.room();
  (void)out.put({from.data + at, n});
  at += n;
  return at == from.size;
}

// ---- compressing

struct compressor {
  const ws::allocator* memory = nullptr;
  libdeflate_compressor* library = nullptr;
  buffer waiting;       // compressed, and did not fit yet
  std::size_t at = 0;
};

inline bool compresses(const ws::deflate_parameters& p) { return p.window_bits == 15 && !p.takeover && p.level >= 0 && p.level <= 9; }

inline void* open_compressor(const ws::allocator* memory, const ws::deflate_parameters& p) {
  compressor* const c = create<compressor>(memory);
  if (c == nullptr) return nullptr;
  const allocating_from here{memory};
  c->library = libdeflate_alloc_compressor(p.level);
  if (c->library != nullptr) return c;
  destroy(c);
  return nullptr;
}

/// An empty stored block, with the tail as its length and the complement of that.
inline constexpr std::string_view empty_block{"\0\0\0\xFF\xFF", 5};

inline ws::deflate_status compress(void* state, std::string_view& in, ws::output& out) {
  compressor& c = *static_cast<compressor*>(state);
  if (!in.empty()) {
    const std::size_t bound = libdeflate_deflate_compress_bound(c.library, in.size()) + empty_block.size();
    if (out.room() >= bound) {
      const std::size_t before = out.size();
      char* const to = out.claim(bound);
      const std::size_t n = libdeflate_deflate_compress(c.library, in.data(), in.size(), to, bound - empty_block.size());
      out.rewind(before + n);
      (void)out.put(empty_block);
      in = {};
      return ws::deflate_status::done;
    }
    if (!c.waiting.reserve(c.memory, bound)) return ws::deflate_status::out_of_memory;
    c.at = 0;
    c.waiting.size = libdeflate_deflate_compress(c.library, in.data(), in.size(), c.waiting.data, bound - empty_block.size());
    (void)c.waiting.append(c.memory, empty_block);  // there is room
    in = {};
  }
  return drain(c.waiting, c.at, out) ? ws::deflate_status::done : ws::deflate_status::output_full;
}

inline void reset_compressor(void* state) {
  compressor& c = *static_cast<compressor*>(state);
  c.waiting.size = c.at = 0;
}

inline void close_compressor(void* state) {
  compressor* const c = static_cast<compressor*>(state);
  libdeflate_free_compressor(c->library);
  c->waiting.free(c->memory);
  destroy(c);
}

// ---- inflating

struct inflater {
  const ws::allocator* memory = nullptr;
  libdeflate_decompressor* library = nullptr;
  buffer in;           // of the message so far
  buffer out;          // the message, where it did not fit at once
  std::size_t at = 0;
  bool inflated = false;
};

inline bool inflates(const ws::deflate_parameters& p) { return p.window_bits == 15 && !p.takeover; }

inline void* open_inflater(const ws::allocator* memory, const ws::deflate_parameters&) {
  inflater* const i = create<inflater>(memory);
  if (i == nullptr) return nullptr;
  const allocating_from here{memory};
  i->library = libdeflate_alloc_decompressor();
  if (i->library != nullptr) return i;
  destroy(i);
  return nullptr;
}

/// Keeps the input. The tail that comes at the end is input as well.
inline ws::deflate_status inflate(void* state, std::string_view& in, ws::output&) {
  inflater& i = *static_cast<inflater*>(state);
  if (!i.in.append(i.memory, in)) return ws::deflate_status::out_of_memory;
  in = {};
  return ws::deflate_status::done;
}


/// Behind the tail, so that libdeflate finds an end: an empty stored block with BFINAL.
inline constexpr std::string_view last_block{"\x01\0\0\xFF\xFF", 5};
inline constexpr std::size_t tail_size = 4;

/// Inflates the whole message to `to`; `done` sets `size`, `output_full` means that the room was too small.
inline ws::deflate_status inflate_all(inflater& i, char* to, std::size_t room, std::size_t& size) {
  size = 0;
  buffer again;
  ws::deflate_status status = ws::deflate_status::output_full;
  for (std::size_t at = 0;;) {
    // Behind a block with BFINAL libdeflate knows nothing of what was before: a stored block says it again (D04).
    const std::size_t window = size < 32768 ? size : 32768;
    std::string_view from{i.in.data + at, i.in.size - at};
    std::size_t repeated = 0;
    if (window != 0) {
      const auto low = static_cast<char>(window & 0xFF), high = static_cast<char>(window >> 8);
      const char head[5] = {0, low, high, static_cast<char>(~low), static_cast<char>(~high)};
      again.size = 0;
      if (!again.append(i.memory, {head, sizeof head}) || !again.append(i.memory, {to + size - window, window}) ||
          !again.append(i.memory, from)) {
        status = ws::deflate_status::out_of_memory;
        break;
      }
      from = {again.data, again.size};
      repeated = sizeof head + window;
    }
    std::size_t taken = 0, made = 0;
    const libdeflate_result result = libdeflate_deflate_decompress_ex(i.library, from.data(), from.size(), to + size - window,
                                                                      room - (size - window), &taken, &made);
    if (result != LIBDEFLATE_SUCCESS) {
      if (result != LIBDEFLATE_INSUFFICIENT_SPACE) status = ws::deflate_status::corrupt;
      break;
    }
    at += taken - repeated;
    size += made - window;
    // A message may end with a block with BFINAL: then there was no place for the tail, and it is no block.
    const std::size_t left = i.in.size - at;
    if (left == 0 || left == tail_size + last_block.size()) {
      status = ws::deflate_status::done;
      break;
    }
  }
  again.free(i.memory);
  return status;
}

inline ws::deflate_status finish(void* state, ws::output& out, std::uint64_t most) {
  inflater& i = *static_cast<inflater*>(state);
  if (!i.inflated) {
    if (!i.in.append(i.memory, last_block)) return ws::deflate_status::out_of_memory;
    // Into the caller's memory if it fits there, else into ours, which grows up to the limit.
    const std::size_t before = out.size(), room = out.room();
    std::size_t size = 0;
    ws::deflate_status status = inflate_all(i, out.claim(room), room, size);
    out.rewind(before + (status == ws::deflate_status::done ? size : 0));
    if (status != ws::deflate_status::output_full) return status;
    for (std::size_t wanted = i.in.size * 4 + 64;; wanted *= 2) {
      if (wanted > most) wanted = static_cast<std::size_t>(most);
      if (!i.out.reserve(i.memory, wanted)) return ws::deflate_status::out_of_memory;
      status = inflate_all(i, i.out.data, i.out.capacity < most ? i.out.capacity : static_cast<std::size_t>(most), i.out.size);
      if (status == ws::deflate_status::output_full && wanted == most) return ws::deflate_status::too_much;
      if (status != ws::deflate_status::output_full) break;
    }
    if (status != ws::deflate_status::done) return status;
    i.inflated = true;
  }
  return drain(i.out, i.at, out) ? ws::deflate_status::done : ws::deflate_status::output_full;
}

inline void reset_inflater(void* state) {
  inflater& i = *static_cast<inflater*>(state);
  i.in.size = i.out.size = i.at = 0;
  i.inflated = false;
}

inline void close_inflater(void* state) {
  inflater* const i = static_cast<inflater*>(state);
  libdeflate_free_decompressor(i->library);
  i->in.free(i->memory);
  i->out.free(i->memory);
  destroy(i);
}

inline constexpr ws::deflate_engine engine = {
    .compresses = compresses,
    .inflates = inflates,
    .open_compressor = open_compressor,
    .compress = compress,
    .reset_compressor = reset_compressor,
    .close_compressor = close_compressor,
    .open_inflater = open_inflater,
    .inflate = inflate,
    .finish = finish,
    .reset_inflater = reset_inflater,
    .close_inflater = close_inflater,
};

}  // namespace libdeflate_engine
