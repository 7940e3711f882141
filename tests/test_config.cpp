#include <wscodec/config.hpp>

// Whatever the macros need must come with the header itself: nothing is included before this line.
WSCODEC_TYPES_BEGIN
struct test_type {};
WSCODEC_TYPES_END

WSCODEC_FUNCTIONS_BEGIN
WSCODEC_INLINE constexpr int test_inline() noexcept { return 1; }
WSCODEC_NOINLINE inline int test_noinline() noexcept { return 2; }
WSCODEC_FUNCTIONS_END

WSCODEC_DETAIL_BEGIN
constexpr int test_detail() noexcept { return 3; }
WSCODEC_DETAIL_END

#include <string_view>
#include <type_traits>

#include "catch.hpp"

namespace ws = wscodec;

TEST_CASE("the version is made of three numbers", "[config]") {
  STATIC_REQUIRE(WSCODEC_VERSION_MAJOR >= 0);
  STATIC_REQUIRE(WSCODEC_VERSION_MINOR >= 0);
  STATIC_REQUIRE(WSCODEC_VERSION_PATCH >= 0);
}

TEST_CASE("public types do not depend on the instruction set, functions do", "[config]") {
  STATIC_REQUIRE(std::is_same_v<ws::test_type, ws::v1::test_type>);
  STATIC_REQUIRE(ws::test_inline() == 1);
  STATIC_REQUIRE(&ws::test_noinline == &ws::v1::WSCODEC_ISA::test_noinline);
  STATIC_REQUIRE(ws::detail::test_detail() == ws::v1::detail::WSCODEC_ISA::test_detail());
  CHECK(ws::test_noinline() == 2);
}

TEST_CASE("the name of the instruction set is that of this file's flags", "[config]") {
#define WSCODEC_TEST_NAME(x) #x
#define WSCODEC_TEST_TEXT(x) WSCODEC_TEST_NAME(x)
  const std::string_view isa = WSCODEC_TEST_TEXT(WSCODEC_ISA);
#if defined(__AVX512BW__)
  CHECK(isa == "isa_avx512");
#elif defined(__AVX2__)
  CHECK(isa == "isa_avx2");
#elif !defined(__SSSE3__)
  CHECK(isa == "isa_base");
#endif
  CHECK(isa.substr(0, 4) == "isa_");
#undef WSCODEC_TEST_TEXT
#undef WSCODEC_TEST_NAME
}
