#include <wscodec/allocator.hpp>

#include <cstring>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/counting_allocator.hpp"

namespace ws = wscodec;

namespace {

struct call {
  void* context;
  void* memory;
  std::size_t old_size, new_size;
};
std::vector<call> calls;
char storage[64];
void* given = storage;  // not the array: gcc would warn that it may be given to free()

void* record_reallocate(void* context, void* memory, std::size_t old_size, std::size_t new_size) {
  calls.push_back({context, memory, old_size, new_size});
  return new_size <= sizeof storage ? given : nullptr;
}
void record_free(void* context, void* memory, std::size_t size) { calls.push_back({context, memory, size, 0}); }

}  // namespace

TEST_CASE("without an allocator memory comes from malloc", "[allocator]") {
  void* memory = ws::detail::reallocate(nullptr, nullptr, 0, 16);
  REQUIRE(memory != nullptr);
  std::memcpy(memory, "0123456789abcdef", 16);
  memory = ws::detail::reallocate(nullptr, memory, 16, 4096);
  REQUIRE(memory != nullptr);
  CHECK(std::memcmp(memory, "0123456789abcdef", 16) == 0);
  ws::detail::release(nullptr, memory, 4096);
  ws::detail::release(nullptr, nullptr, 0);
}

TEST_CASE("an allocator is told its context and the old size", "[allocator]") {
  int context = 0;
  const ws::allocator hook{&context, &record_reallocate, &record_free};
  calls.clear();

  CHECK(ws::detail::reallocate(&hook, nullptr, 0, 10) == given);
  CHECK(ws::detail::reallocate(&hook, given, 10, 20) == given);
  CHECK(ws::detail::reallocate(&hook, given, 20, 1000) == nullptr);
  ws::detail::release(&hook, given, 20);

  REQUIRE(calls.size() == 4);
  for (const call& c : calls) CHECK(c.context == &context);
  CHECK((calls[0].memory == nullptr && calls[0].old_size == 0 && calls[0].new_size == 10));
  CHECK((calls[1].memory == given && calls[1].old_size == 10 && calls[1].new_size == 20));
  CHECK((calls[2].memory == given && calls[2].old_size == 20 && calls[2].new_size == 1000));
  CHECK((calls[3].memory == given && calls[3].old_size == 20));
}

TEST_CASE("an allocator is never asked to free nothing", "[allocator]") {
  const ws::allocator hook{nullptr, &record_reallocate, &record_free};
  calls.clear();
  ws::detail::release(&hook, nullptr, 0);
  CHECK(calls.empty());
}

TEST_CASE("the tests' own allocator counts, moves, fails, and sees wrong sizes", "[allocator]") {
  counting_allocator memory;
  char* a = static_cast<char*>(ws::detail::reallocate(memory.hook(), nullptr, 0, 3));
  REQUIRE(a != nullptr);
  std::memcpy(a, "abc", 3);
  CHECK(memory.bytes == 3);

  memory.fail_at = 1;
  CHECK(ws::detail::reallocate(memory.hook(), a, 3, 100) == nullptr);
  CHECK(std::string(a, 3) == "abc");  // a block that could not grow stays
  CHECK(memory.bytes == 3);
  a = static_cast<char*>(ws::detail::reallocate(memory.hook(), a, 3, 100));
  REQUIRE(a != nullptr);
  CHECK(std::string(a, 3) == "abc");
  CHECK((memory.blocks() == 1 && memory.bytes == 100 && memory.peak == 100 && memory.calls == 3 && memory.refused == 1));
  CHECK(memory.mistakes == 0);
  ws::detail::release(memory.hook(), a, 100);
  CHECK(memory.idle());

  a = static_cast<char*>(ws::detail::reallocate(memory.hook(), nullptr, 0, 8));
  ws::detail::release(memory.hook(), a, 7);
  CHECK(memory.mistakes == 1);
  CHECK(!memory.idle());
}
