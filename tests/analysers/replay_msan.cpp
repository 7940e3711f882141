// Replays a fuzz target's seeds under the memory sanitizer, which does not see into Debian's libraries. The files are
// read by C, and zlib is called through what stands here (`-Wl,--wrap`): it may read initialised memory only, and what
// it wrote is that.
#include <sanitizer/msan_interface.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

extern "C" {

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
int __real_deflate(z_stream* z, int flush);
int __real_inflate(z_stream* z, int flush);
int __real_inflateGetDictionary(z_stream* z, Bytef* to, uInt* size);
int __real_inflateSetDictionary(z_stream* z, const Bytef* from, uInt size);
}

namespace {

int step(z_stream* z, int flush, int (*call)(z_stream*, int)) {
  __msan_check_mem_is_initialized(z->next_in, z->avail_in);
  Bytef* const before = z->next_out;
  const int result = call(z, flush);
  __msan_unpoison(before, static_cast<std::size_t>(z->next_out - before));
  return result;
}

}  // namespace

extern "C" {

int __wrap_deflate(z_stream* z, int flush) { return step(z, flush, __real_deflate); }
int __wrap_inflate(z_stream* z, int flush) { return step(z, flush, __real_inflate); }

int __wrap_inflateGetDictionary(z_stream* z, Bytef* to, uInt* size) {
  const int result = __real_inflateGetDictionary(z, to, size);
  if (to != nullptr) __msan_unpoison(to, *size);
  return result;
}

int __wrap_inflateSetDictionary(z_stream* z, const Bytef* from, uInt size) {
  __msan_check_mem_is_initialized(from, size);
  return __real_inflateSetDictionary(z, from, size);
}
}

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::FILE* const file = std::fopen(argv[i], "rb");
    if (file == nullptr) return std::perror(argv[i]), 1;
    std::vector<std::uint8_t> bytes(1 << 20);
    bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
    bytes.shrink_to_fit();  // so that what stands behind them is not theirs
    std::fclose(file);
    std::fprintf(stderr, "%s\n", argv[i]);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%d passed, %d failed\n", argc - 1, argc == 1);
  return argc == 1;
}
