// Errors in words: every enumerator is explained, and the close codes are those of the RFC.
#include <wscodec/error.hpp>

#include <set>
#include <string_view>

#include "catch.hpp"

namespace ws = wscodec;

static_assert(ws::explain(ws::error::none).name == "none");
static_assert(ws::explain(ws::error::text_not_utf8).answer == 1007);
static_assert(ws::explain(ws::error::method_not_get).answer == 405);
static_assert(ws::explain(static_cast<ws::error>(0xFFFF)).name == "none", "numbers that are no errors are harmless");

TEST_CASE("every error has a name of its own, words, and an answer that may be sent", "[error]") {
  std::set<std::string_view> names;
  for (unsigned i = 0; i < static_cast<unsigned>(ws::error::count_); ++i) {
    const ws::explanation& words = ws::explain(static_cast<ws::error>(i));
    INFO(words.name);
    CHECK(names.insert(words.name).second);
    CHECK(!words.what.empty());
    if (i != 0) CHECK(!words.source.empty());
    const bool status = words.answer >= 400 && words.answer < 600;
    const bool close = words.answer == 1001 || words.answer == 1002 || (words.answer >= 1007 && words.answer <= 1011);
    CHECK((words.answer == 0 || status || close));
    if (status) CHECK(words.source.starts_with("RFC"));
  }
}
