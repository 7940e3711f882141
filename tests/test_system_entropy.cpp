#include <wscodec/system_entropy.hpp>

#include <algorithm>
#include <set>
#include <string>

#include <wscodec/masking_keys.hpp>

#include "catch.hpp"
#include "guarded.hpp"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>
#endif

namespace ws = wscodec;

#if defined(__linux__)

namespace {

/// What the system was asked for, and by how much what it gives falls short.
struct {
  std::vector<std::size_t> sizes;
  unsigned flags = 0;
  ssize_t missing = 0;
} asked;

}  // namespace

// Stands before the C library's.
extern "C" ssize_t getrandom(void* to, std::size_t n, unsigned flags) {
  asked.sizes.push_back(n);
  asked.flags |= flags;
  return syscall(SYS_getrandom, to, n, flags) - asked.missing;
}

TEST_CASE("F21 the system is asked for 256 bytes at a time, which no signal cuts short", "[system_entropy][F21]") {
  std::string memory(513, '\0');
  const auto parts = [&](std::size_t n) {
    asked = {};
    CHECK(ws::system_entropy(nullptr, memory.data(), n));
    CHECK(asked.flags == 0);  // waits for the generator, which is not ready while a machine starts
    return asked.sizes;
  };
  CHECK(parts(0).empty());
  CHECK(parts(255) == std::vector<std::size_t>{255});
  CHECK(parts(256) == std::vector<std::size_t>{256});
  CHECK(parts(257) == std::vector<std::size_t>{256, 1});
  CHECK(parts(513) == std::vector<std::size_t>{256, 256, 1});
}

TEST_CASE("F21 less than was asked for is a failure", "[system_entropy][F21]") {
  std::string memory(16, '\0');
  for (const ssize_t missing : {1, 16, 17}) {  // 17: -1, as on an error
    asked = {};
    asked.missing = missing;
    CHECK_FALSE(ws::system_entropy(nullptr, memory.data(), memory.size()));
  }
  asked = {};
}

#endif

TEST_CASE("F21 the system's source fills exactly what it is asked for", "[system_entropy][F21]") {
  // The system gives at most 256 bytes at a time: the sizes around that are where a part could be left out.
  for (const std::size_t n : {0U, 1U, 2U, 4U, 16U, 255U, 256U, 257U, 511U, 512U, 513U, 4096U, 70'001U}) {
    INFO(n << " bytes");
    std::string memory(n + 64, '\x5A');
    REQUIRE(ws::system_entropy(nullptr, memory.data() + 32, n));
    CHECK(memory.substr(0, 32) == std::string(32, '\x5A'));
    CHECK(memory.substr(32 + n) == std::string(32, '\x5A'));
    if (n < 512) continue;
    // A run of 32 bytes that stayed as they were would be an accident of one in 2^256.
    CHECK(memory.substr(32, n).find(std::string(32, '\x5A')) == std::string::npos);
    // About 1/256 of the bytes has each value: far from it in 512 bytes would be 40.
    if (n <= 4096) CHECK(std::count(memory.begin() + 32, memory.end() - 32, '\0') < 80);
  }
}

TEST_CASE("F21 two calls never give the same bytes", "[system_entropy][F21]") {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    std::string nonce(16, '\0');
    REQUIRE(ws::system_entropy(&seen, nonce.data(), nonce.size()));  // the context is not used
    CHECK(seen.insert(nonce).second);
  }
}

#if defined(__linux__)
TEST_CASE("F21 when the system cannot fill the memory the source has failed", "[system_entropy][F21]") {
  guarded memory;
  CHECK_FALSE(ws::system_entropy(nullptr, memory.begin() + guarded::room, 16));
  ws::masking_keys keys{[](void*, char*, std::size_t n) { return ws::system_entropy(nullptr, nullptr, n); }};
  std::uint32_t key = 0;
  CHECK_FALSE(keys.next(key));
}
#endif

TEST_CASE("F21 a pool of masking keys over the system's source gives different keys", "[system_entropy][F21]") {
  ws::masking_keys keys{ws::system_entropy};
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 1000; ++i) {
    std::uint32_t key = 0;
    REQUIRE(keys.next(key));
    seen.insert(key);
  }
  CHECK(seen.size() >= 998);  // two of 1,000 are alike once in 8,600 runs
}
