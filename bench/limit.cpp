// The limits: what the bytes cost when nobody looks at them. The same AVX2 code in every flavour.
#include <bit>
#include <immintrin.h>
#include <simdjson.h>

#include "bench.hpp"

namespace bench {

namespace {

// In place, four vectors a turn, aligned behind the first. Not inlined, so that it does not learn sizes from its caller.
__attribute__((noinline, target("avx2"))) void xor_in_place(char* p, std::size_t n, std::uint32_t key) {
  __m256i keys = _mm256_set1_epi32(static_cast<int>(key));
  std::size_t i = 0;
  __m256i first = keys;
  char* const front = p;
  const bool long_enough = n >= 256;
  if (long_enough) {  // stored last: its end overlaps what begins aligned
    first = _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), keys);
    i = 32 - reinterpret_cast<std::uintptr_t>(p) % 32;
    key = std::rotr(key, static_cast<int>(8 * (i % 4)));
    keys = _mm256_set1_epi32(static_cast<int>(key));
    p += i;
    n -= i;
    i = 0;
  }
  const auto turn = [&](std::size_t at) __attribute__((always_inline, target("avx2"))) {
    auto* const v = reinterpret_cast<__m256i*>(p + at);
    _mm256_storeu_si256(v, _mm256_xor_si256(_mm256_loadu_si256(v), keys));
  };
  for (; n - i >= 128; i += 128) {
    turn(i);
    turn(i + 32);
    turn(i + 64);
    turn(i + 96);
  }
  for (; n - i >= 32; i += 32) turn(i);
  for (; i != n; ++i) p[i] = static_cast<char>(p[i] ^ static_cast<char>(key >> (8 * (i % 4))));
  if (long_enough) _mm256_storeu_si256(reinterpret_cast<__m256i*>(front), first);
}

// Known to be zero only at run time: what it is XORed with stays text.
volatile std::uint32_t run_time_zero = 0;

class reads : public contestant {
 public:
  reads(const workload& w, bool unmasks) : w_(w), unmasks_(unmasks) {}
  void pass(tally& to) override {
    reader in{w_};
    while (const std::size_t n = in.read()) {
      if (unmasks_) xor_in_place(read_buffer, n, 0xA5C3F017U);
      to.piece(read_buffer, n);
    }
  }
  void pass(delivery&) override {}

 private:
  const workload& w_;
  bool unmasks_;
};

// Text instead of frames, as many bytes; no code point is cut by the end of a read, so that the whole read is checked.
class validates : public contestant {
 public:
  validates(const workload& w, bool avx2_only) : w_(w) {
    const std::string& sample = w.sample;
    const std::size_t size = w.wire.size();
    w_.wire.clear();
    while (w_.wire.size() < size) {
      std::size_t room = w.read_size < size - w_.wire.size() ? w.read_size : size - w_.wire.size();
      for (; room >= sample.size(); room -= sample.size()) w_.wire.insert(w_.wire.end(), sample.begin(), sample.end());
      std::size_t part = room;
      while (part != 0 && (static_cast<unsigned char>(sample[part]) & 0xC0U) == 0x80U) --part;
      w_.wire.insert(w_.wire.end(), sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(part));
      w_.wire.insert(w_.wire.end(), room - part, '.');
    }
    checker_ = simdjson::get_active_implementation();
    if (const auto* haswell = simdjson::get_available_implementations()["haswell"]; avx2_only && haswell != nullptr) checker_ = haswell;
  }
  void pass(tally& to) override {
    reader in{w_};
    while (const std::size_t n = in.read()) {
      xor_in_place(read_buffer, n, run_time_zero);
      if (!checker_->validate_utf8(read_buffer, n)) give_up("simdjson", "the text is no text");
      to.piece(read_buffer, n);
    }
  }
  void pass(delivery&) override {}

 private:
  workload w_;
  const simdjson::implementation* checker_;
};

class copies : public contestant {
 public:
  explicit copies(const workload& w) : w_(w) {}
  void pass(tally& to) override {
    std::size_t at = 0;
    for (const std::string& payload : w_.payloads) {
      if (send_buffer_size - at < payload.size()) at = 0;
      std::memcpy(send_buffer + at, payload.data(), payload.size());
      at += payload.size();
      to.piece(nullptr, payload.size());
    }
  }
  void pass(delivery&) override {}

 private:
  const workload& w_;
};

}  // namespace

contestant_ptr copy_only(const workload& w) { return std::make_unique<reads>(w, false); }
contestant_ptr copy_and_xor(const workload& w) { return std::make_unique<reads>(w, true); }
contestant_ptr copy_xor_validate(const workload& w, bool avx2_only) { return std::make_unique<validates>(w, avx2_only); }
contestant_ptr memcpy_payloads(const workload& w) { return std::make_unique<copies>(w); }

}  // namespace bench
