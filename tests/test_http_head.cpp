// HTTP heads: what the views show of a head, and that scanning goes on where it stopped. The rules of the grammar are
// tested in test_handshake_server.cpp and test_handshake_client.cpp.
#include <wscodec/http_head.hpp>

#include <string>
#include <string_view>

#include "catch.hpp"

namespace ws = wscodec;

namespace {

constexpr std::string_view head =
    "\r\nGET /chat/room?x=1&y HTTP/1.1\r\nHost: example.org\r\nCookie:\ta=b \r\nX-List: a, b ,,\r\nx-list:c\r\n\r\n";

constexpr bool scans(std::string_view text, std::size_t size) {
  ws::head_progress progress;
  return ws::scan_head(text, progress, ws::head_kind::request, {}).size == size;
}
static_assert(scans(head, head.size()));
static_assert(scans(head.substr(0, head.size() - 1), 0));

constexpr ws::request_view request{head};
static_assert(request.method() == "GET" && request.target() == "/chat/room?x=1&y");
static_assert(request.path() == "/chat/room" && request.query() == "x=1&y");
static_assert(request.authority() == "example.org" && request.origin().data() == nullptr);
static_assert(request.field("COOKIE") == "a=b", "H27, and the spaces around a value are not part of it");
static_assert(ws::request_view{"GET ws://other:81?q HTTP/1.1\r\nHost: h\r\n\r\n"}.authority() == "other:81", "H28");
static_assert(ws::request_view{"GET ws://other:81?q HTTP/1.1\r\nHost: h\r\n\r\n"}.path() == "/");
static_assert(ws::request_view{"GET ws://other:81?q HTTP/1.1\r\nHost: h\r\n\r\n"}.query() == "q");

constexpr ws::response_view response{"HTTP/1.1 302 Found it\r\nLocation: /x\r\n\r\n"};
static_assert(response.status() == 302 && response.reason() == "Found it" && response.location() == "/x");
static_assert(ws::response_view{"HTTP/1.1 401\r\n\r\n"}.reason().empty(), "C05");

}  // namespace

TEST_CASE("H11 H12 H27 the members of a list, over several fields of any letter case", "[http_head][H11][H12][H27]") {
  std::string members;
  ws::list_cursor list = request.list("X-LIST");
  for (std::string_view member; list.next(member);) members += std::string{member} + "|";
  CHECK(members == "a|b|c|");
}

TEST_CASE("the fields of a head in order", "[http_head]") {
  std::string names;
  ws::field_cursor fields = request.fields();
  for (ws::field f; fields.next(f);) names += std::string{f.name} + "=" + std::string{f.value} + "|";
  CHECK(names == "Host=example.org|Cookie=a=b|X-List=a, b ,,|x-list=c|");
}

TEST_CASE("a scan that is cut anywhere looks at no byte twice", "[http_head]") {
  for (std::size_t cut = 0; cut < head.size(); ++cut) {
    ws::head_progress progress;
    const ws::scanned_head first = ws::scan_head(head.substr(0, cut), progress, ws::head_kind::request, {});
    CHECK(first.size == 0);
    CHECK(first.why == ws::error::none);
    CHECK(progress.at + 1 >= cut);  // at most a CR waits for its LF
    CHECK(progress.line <= progress.at);
    CHECK(ws::scan_head(head, progress, ws::head_kind::request, {}).size == head.size());
  }
}

TEST_CASE("views of nothing show nothing", "[http_head]") {
  const ws::request_view none;
  CHECK(none.method().empty());
  CHECK(none.path() == "/");
  CHECK(none.field("Host").data() == nullptr);
  CHECK(ws::response_view{}.status() == 0);
}
