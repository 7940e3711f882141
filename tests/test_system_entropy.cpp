#include <wscodec/system_entropy.hpp>

#include <algorithm>
#include <set>
#include <string>

#include <wscodec/masking_keys.hpp>

#include "catch.hpp"
#include "guarded.hpp"

namespace ws = wscodec;

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
