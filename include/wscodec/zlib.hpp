// wscodec: layer 5, the engine over zlib, 1.2.11 or newer: the only header that includes <zlib.h>. Link with -lz.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>

#include "allocator.hpp"
#include "bytes.hpp"
#include "config.hpp"
#include "permessage_deflate.hpp"

static_assert(ZLIB_VERNUM >= 0x12B0, "wscodec needs zlib 1.2.11 or newer");

WSCODEC_TYPES_BEGIN

namespace detail {

/// A compressor or an inflater. zlib keeps a pointer to the stream, so it stays where it is.
struct zlib_stream {
  z_stream z;
  const allocator* memory;
  bool between_blocks;  // of an inflater
};

/// Memory on the stack, for the self-test; taken only.
struct zlib_arena {
  std::size_t used = 0;
  alignas(16) char bytes[28 * 1024];
};

}  // namespace detail

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

// ---- memory ----

/// zlib frees without telling the size, so it stands before the memory; 16 bytes keep the alignment. It never asks for
/// more than some 256 KiB, so sizes cannot overflow.
inline constexpr std::size_t zlib_prefix = 16;

inline void* zlib_allocate(void* opaque, unsigned items, unsigned size) noexcept {
  const std::size_t bytes = std::size_t{items} * size + zlib_prefix;
  char* const memory = static_cast<char*>(reallocate(static_cast<const allocator*>(opaque), nullptr, 0, bytes));
  if (memory == nullptr) return nullptr;
  std::memcpy(memory, &bytes, sizeof bytes);
  return memory + zlib_prefix;
}

inline void zlib_free(void* opaque, void* address) noexcept {
  char* const memory = static_cast<char*>(address) - zlib_prefix;
  std::size_t bytes;
  std::memcpy(&bytes, memory, sizeof bytes);
  release(static_cast<const allocator*>(opaque), memory, bytes);
}

inline zlib_stream* new_zlib_stream(const allocator* memory) noexcept {
  void* const place = reallocate(memory, nullptr, 0, sizeof(zlib_stream));
  if (place == nullptr) return nullptr;
  zlib_stream* const s = new (place) zlib_stream{};
  s->memory = memory;
  s->z.zalloc = zlib_allocate;
  s->z.zfree = zlib_free;
  s->z.opaque = const_cast<allocator*>(memory);
  return s;
}

inline void delete_zlib_stream(zlib_stream* s) noexcept { release(s->memory, s, sizeof(zlib_stream)); }

// ---- one call ----

/// zlib counts in `unsigned`: larger memory goes through in parts.
inline unsigned zlib_size(std::size_t n) noexcept { return static_cast<unsigned>(n < (1U << 30) ? n : 1U << 30); }

/// Lets `call` (deflate or inflate) work on the front of `in` and the end of `out`.
inline int zlib_step(z_stream& z, std::string_view& in, output& out, auto&& call) noexcept {
  const unsigned given = zlib_size(in.size());
  const unsigned room = zlib_size(out.room());
  const std::size_t before = out.size();
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  z.avail_in = given;
  z.next_out = reinterpret_cast<Bytef*>(out.claim(room));
  z.avail_out = room;
  const int result = call(given == in.size());
  in.remove_prefix(given - z.avail_in);
  out.rewind(before + (room - z.avail_out));
  return result;
}

// ---- compressing ----

/// A window of 8 bits is compressed with 9 (D10): zlib itself no longer takes 8 for raw data.
inline int zlib_window(const deflate_parameters& p) noexcept { return p.window_bits == 8 ? 9 : p.window_bits; }

inline void* zlib_open_compressor(const allocator* memory, const deflate_parameters& p) noexcept {
  zlib_stream* const s = new_zlib_stream(memory);
  if (s == nullptr) return nullptr;
  if (deflateInit2(&s->z, p.level, Z_DEFLATED, -zlib_window(p), p.memory_level, Z_DEFAULT_STRATEGY) == Z_OK) return s;
  delete_zlib_stream(s);
  return nullptr;
}

inline deflate_status zlib_compress(void* compressor, std::string_view& in, output& out) noexcept {
  z_stream& z = static_cast<zlib_stream*>(compressor)->z;
  for (;;) {
    if (out.room() == 0) return deflate_status::output_full;
    const auto call = [&](bool all) { return deflate(&z, all ? Z_SYNC_FLUSH : Z_NO_FLUSH); };  // not covered: over 1 GiB
    const int result = zlib_step(z, in, out, call);
    // Z_BUF_ERROR: nothing new since the last flush.
    if (result != Z_OK && result != Z_BUF_ERROR) return deflate_status::out_of_memory;
    if (out.room() != 0 && in.empty()) return deflate_status::done;  // not covered: over 1 GiB
  }
}

inline void zlib_reset_compressor(void* compressor) noexcept { (void)deflateReset(&static_cast<zlib_stream*>(compressor)->z); }

inline void zlib_close_compressor(void* compressor) noexcept {
  zlib_stream* const s = static_cast<zlib_stream*>(compressor);
  (void)deflateEnd(&s->z);
  delete_zlib_stream(s);
}

// ---- inflating ----

inline void* zlib_open_inflater(const allocator* memory, const deflate_parameters& p) noexcept {
  zlib_stream* const s = new_zlib_stream(memory);
  if (s == nullptr) return nullptr;
  if (inflateInit2(&s->z, -int{p.window_bits}) == Z_OK) return s;
  delete_zlib_stream(s);
  return nullptr;
}

inline deflate_status zlib_inflate(void* inflater, std::string_view& in, output& out) noexcept {
  zlib_stream& s = *static_cast<zlib_stream*>(inflater);
  for (;;) {
    if (out.room() == 0) return deflate_status::output_full;
    const std::size_t before = in.size() + out.room();
    // Z_SYNC_FLUSH rather than Z_FINISH: with it zlib also keeps the last bytes in its window.
    const int result = zlib_step(s.z, in, out, [&](bool) { return inflate(&s.z, Z_SYNC_FLUSH); });
    // data_type: 128 at the end of a block, and in the low bits those of the last byte that were not used. A call that
    // does nothing says nothing.
    if (in.size() + out.room() != before) s.between_blocks = (s.z.data_type & 128) != 0 && (s.z.data_type & 63) == 0;
    if (result == Z_STREAM_END) {
      // RFC 7692 7.2.3.4: a final block does not end the message; this forgets all but the window (D04).
      (void)inflateResetKeep(&s.z);
      s.between_blocks = true;
      return deflate_status::final_block;
    } else if (result == Z_MEM_ERROR) {
      return deflate_status::out_of_memory;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      return deflate_status::corrupt;
    }
    if (out.room() != 0 && in.empty()) return deflate_status::done;  // not covered: over 1 GiB
  }
}

inline deflate_status zlib_finish(void* inflater, output&, std::uint64_t) noexcept {
  return static_cast<const zlib_stream*>(inflater)->between_blocks ? deflate_status::done : deflate_status::corrupt;
}

inline void zlib_reset_inflater(void* inflater) noexcept {
  zlib_stream* const s = static_cast<zlib_stream*>(inflater);
  (void)inflateReset(&s->z);
  s->between_blocks = false;
}

inline void zlib_close_inflater(void* inflater) noexcept {
  zlib_stream* const s = static_cast<zlib_stream*>(inflater);
  (void)inflateEnd(&s->z);
  delete_zlib_stream(s);
}

inline std::size_t zlib_save_window(void* inflater, char* to) noexcept {
  unsigned size = 0;
  (void)inflateGetDictionary(&static_cast<zlib_stream*>(inflater)->z, reinterpret_cast<Bytef*>(to), &size);
  return size;
}

inline bool zlib_load_window(void* inflater, std::string_view window) noexcept {
  return inflateSetDictionary(&static_cast<zlib_stream*>(inflater)->z, reinterpret_cast<const Bytef*>(window.data()),
                              zlib_size(window.size())) == Z_OK;
}

// ---- the window of 8 bits ----

inline void* zlib_arena_allocate(void* opaque, unsigned items, unsigned size) noexcept {
  zlib_arena& arena = *static_cast<zlib_arena*>(opaque);
  const std::size_t bytes = (std::size_t{items} * size + 15) / 16 * 16;
  if (bytes > sizeof arena.bytes - arena.used) return nullptr;
  char* const memory = arena.bytes + arena.used;
  arena.used += bytes;
  return memory;
}
inline void zlib_arena_free(void*, void*) noexcept {}

/// Inflates with a window of 8 bits and byte by byte: then zlib refuses every distance over its window.
inline bool zlib_inflates_with_8(zlib_arena& arena, std::string_view packed, std::string_view plain) noexcept {
  arena.used = 0;
  z_stream z{};
  z.zalloc = zlib_arena_allocate;
  z.zfree = zlib_arena_free;
  z.opaque = &arena;
  (void)inflateInit2(&z, -8);  // where this fails, so does what follows
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<unsigned>(packed.size());
  bool good = true;
  for (std::size_t i = 0; good && i < plain.size(); ++i) {
    char byte = 0;
    z.next_out = reinterpret_cast<Bytef*>(&byte);
    z.avail_out = 1;
    const int result = inflate(&z, Z_SYNC_FLUSH);
    good = (result == Z_OK || result == Z_STREAM_END) && z.avail_out == 0 && byte == plain[i];
  }
  (void)inflateEnd(&z);
  return good;
}

/// Whether what the linked zlib compresses with a window of so many bits (9) inflates with one of 8 bits. zlib's compressors
/// reach back at most their window less 262 bytes, so 250. Compresses about 1 KiB in which strings recur at distances around
/// 250, 256 and 512, and inflates it again. No heap.
inline bool zlib_window_fits_8(int level, int window_bits) noexcept {
  zlib_arena arena;
  char plain[1200];
  char packed[1800];
  std::uint32_t noise = 1;
  for (std::size_t i = 0; i < 250; ++i) {
    noise = noise * 1664525U + 1013904223U;
    plain[i] = static_cast<char>(noise >> 24);
  }
  std::size_t n = 250;
  for (const std::size_t distance : {249U, 250U, 251U, 252U, 255U, 256U, 257U, 262U, 300U, 400U, 500U, 511U, 512U}) {
    std::memcpy(plain + n, plain + n - distance, 60);
    n += 60;
    for (std::size_t i = 0; i < 12; ++i) {
      noise = noise * 1664525U + 1013904223U;
      plain[n++] = static_cast<char>(noise >> 24);
    }
  }
  z_stream z{};
  z.zalloc = zlib_arena_allocate;
  z.zfree = zlib_arena_free;
  z.opaque = &arena;
  if (deflateInit2(&z, level, Z_DEFLATED, -window_bits, 1, Z_DEFAULT_STRATEGY) != Z_OK) return false;
  z.next_in = reinterpret_cast<Bytef*>(plain);
  z.avail_in = static_cast<unsigned>(n);
  z.next_out = reinterpret_cast<Bytef*>(packed);
  z.avail_out = sizeof packed;
  (void)deflate(&z, Z_FINISH);
  const std::size_t size = sizeof packed - z.avail_out;
  (void)deflateEnd(&z);
  return zlib_inflates_with_8(arena, {packed, size}, {plain, n});
}

inline bool zlib_compresses(const deflate_parameters& p) noexcept {
  if (p.window_bits < 8 || p.window_bits > 15 || p.level < 0 || p.level > 9 || p.memory_level < 1 || p.memory_level > 9) return false;
  return p.window_bits != 8 || zlib_window_fits_8(p.level, 9);
}

inline bool zlib_inflates(const deflate_parameters& p) noexcept { return p.window_bits >= 8 && p.window_bits <= 15; }

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// zlib as an engine: all windows, with and without takeover. zlib-ng in its compatible build serves as well.
inline constexpr deflate_engine zlib_engine = {
    .compresses = detail::zlib_compresses,
    .inflates = detail::zlib_inflates,
    .open_compressor = detail::zlib_open_compressor,
    .compress = detail::zlib_compress,
    .reset_compressor = detail::zlib_reset_compressor,
    .close_compressor = detail::zlib_close_compressor,
    .open_inflater = detail::zlib_open_inflater,
    .inflate = detail::zlib_inflate,
    .finish = detail::zlib_finish,
    .reset_inflater = detail::zlib_reset_inflater,
    .close_inflater = detail::zlib_close_inflater,
    .save_window = detail::zlib_save_window,
    .load_window = detail::zlib_load_window,
};

WSCODEC_FUNCTIONS_END
