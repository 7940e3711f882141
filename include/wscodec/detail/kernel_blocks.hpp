// wscodec: layer 2, inside mask: masking in vectors.
//
// No `#pragma once`: kernels.hpp includes this once for each instruction set, inside that set's namespace, with
// WSCODEC_TARGET defined and with `vec`, the vector type, and its operations.
#if defined(WSCODEC_TARGET)

/// XORs `n >= 4 * sizeof(vec)` bytes. `to` may be `from`: the first and last vector, which overlap the aligned ones in
/// the middle, are loaded before and stored after them.
WSCODEC_TARGET inline void mask_blocks(char* to, const char* from, std::size_t n, std::uint32_t key) noexcept {
  constexpr std::size_t width = sizeof(vec);
  const vec first = load(from) ^ splat(key);
  const vec last = load(from + n - width) ^ splat(rotate_key(key, n));
  std::size_t i = width - (reinterpret_cast<std::uintptr_t>(to) & (width - 1));
  const vec keys = splat(rotate_key(key, i));
  for (; n - i >= 4 * width; i += 4 * width) {
    const vec a = load(from + i) ^ keys;
    const vec b = load(from + i + width) ^ keys;
    const vec c = load(from + i + 2 * width) ^ keys;
    const vec d = load(from + i + 3 * width) ^ keys;
    store(to + i, a);
    store(to + i + width, b);
    store(to + i + 2 * width, c);
    store(to + i + 3 * width, d);
  }
  for (; n - i >= width; i += width) store(to + i, load(from + i) ^ keys);
  store(to, first);
  store(to + n - width, last);
}

#endif
