// Helpers for the tests of permessage-deflate: DEFLATE blocks bit by bit (RFC 1951 3.2), and an allocator that counts.
#ifndef WSCODEC_TESTS_SUPPORT_DEFLATE_HPP
#define WSCODEC_TESTS_SUPPORT_DEFLATE_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "wscodec/allocator.hpp"

/// Writes DEFLATE data. `message()` is what stands in a message: the rest of the byte filled as a sync flush does, tail cut.
class deflate_bits {
 public:
  deflate_bits& put(unsigned value, unsigned count) {  // the lowest bit first
    for (unsigned i = 0; i < count; ++i, ++used_) {
      if (used_ % 8 == 0) bytes_ += '\0';
      bytes_.back() = static_cast<char>(static_cast<unsigned char>(bytes_.back()) | (value >> i & 1U) << used_ % 8);
    }
    return *this;
  }
  deflate_bits& code(unsigned value, unsigned count) {  // Huffman codes: the highest bit first
    while (count-- != 0) put(value >> count & 1U, 1);
    return *this;
  }
  deflate_bits& align() {
    used_ = bytes_.size() * 8;
    return *this;
  }
  deflate_bits& begin(bool final_block, unsigned type) { return put(final_block ? 1 : 0, 1).put(type, 2); }

  deflate_bits& stored(std::string_view text, bool final_block = false) {
    begin(final_block, 0).align();
    const auto n = static_cast<unsigned>(text.size());
    put(n, 16).put(~n & 0xFFFFU, 16);
    bytes_ += text;
    return align();
  }
  // A block with the fixed codes: begin(_, 1), then these.
  deflate_bits& symbol(unsigned s) {
    if (s < 144) return code(0x30 + s, 8);
    if (s < 256) return code(0x190 + s - 144, 9);
    if (s < 280) return code(s - 256, 7);
    return code(0xC0 + s - 280, 8);
  }
  deflate_bits& literals(std::string_view text) {
    for (const char c : text) symbol(static_cast<unsigned char>(c));
    return *this;
  }
  /// Three bytes from so far back.
  deflate_bits& copy_3(unsigned distance) {
    symbol(257);
    unsigned code_number = 0, base = 1, extra = 0;
    for (unsigned next = 1; next <= distance; ++code_number) {
      base = next;
      extra = code_number < 2 ? 0 : code_number / 2 - 1;
      next += 1U << extra;
    }
    return code(code_number - 1, 5).put(distance - base, extra);
  }
  deflate_bits& end_block() { return symbol(256); }

  /// Bytes as they are.
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::string message() {
    begin(false, 0).align();
    return bytes_;
  }

 private:
  std::string bytes_;
  std::size_t used_ = 0;
};

/// Counts what is live, and fails one call if told to.
struct counting_memory {
  std::size_t live = 0, peak = 0, calls = 0;
  std::size_t fail_at = ~std::size_t{0};  // index of the call that gives nothing
  bool fail_after = false;                // and all behind it
  bool wrong_size = false;                // something was given back with another size than it had
  wscodec::allocator hook{this, reallocate, free};

  static void* reallocate(void* self, void* memory, std::size_t old_size, std::size_t new_size) {
    auto& m = *static_cast<counting_memory*>(self);
    const std::size_t call = m.calls++;
    if (call == m.fail_at || (m.fail_after && call > m.fail_at)) return nullptr;
    m.check(memory, old_size);
    char* const now = static_cast<char*>(std::realloc(memory != nullptr ? static_cast<char*>(memory) - 16 : nullptr, new_size + 16));
    *reinterpret_cast<std::size_t*>(now) = new_size;
    m.live = m.live - old_size + new_size;
    if (m.live > m.peak) m.peak = m.live;
    return now + 16;
  }
  static void free(void* self, void* memory, std::size_t size) {
    auto& m = *static_cast<counting_memory*>(self);
    m.check(memory, size);
    m.live -= size;
    std::free(static_cast<char*>(memory) - 16);
  }
  void check(void* memory, std::size_t size) {
    if (memory != nullptr && *reinterpret_cast<std::size_t*>(static_cast<char*>(memory) - 16) != size) wrong_size = true;
  }
};

/// Bytes that do not compress, the same in each run.
inline std::string noise_bytes(std::size_t n, std::uint32_t seed = 1) {
  std::string out(n, '\0');
  for (char& c : out) {
    seed = seed * 1664525U + 1013904223U;
    c = static_cast<char>(static_cast<unsigned char>(seed >> 24));
  }
  return out;
}

#endif
