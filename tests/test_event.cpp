#include <wscodec/event.hpp>

#include <string_view>
#include <type_traits>

#include "catch.hpp"

namespace ws = wscodec;
using ws::event;
using ws::event_type;

namespace {

constexpr event_type all_types[] = {event_type::none, event_type::request, event_type::open,    event_type::rejected,
                                    event_type::body, event_type::data,    event_type::message, event_type::ping,
                                    event_type::pong, event_type::close,   event_type::failed};

constexpr event of(event_type type, std::uint16_t number) {
  event ev;
  ev.type = type;
  ev.number = number;
  return ev;
}

}  // namespace

TEST_CASE("an event is three words and cheap to copy", "[event]") {
  STATIC_REQUIRE((sizeof(void*) != 8 || sizeof(event) == 24));
  STATIC_REQUIRE(std::is_trivially_copyable_v<event>);
  STATIC_REQUIRE(std::is_nothrow_default_constructible_v<event>);
}

TEST_CASE("an event is true when something happened", "[event]") {
  STATIC_REQUIRE(!event{});
  STATIC_REQUIRE(!std::is_convertible_v<event, bool>);  // only in conditions, never as a number by accident
  for (const event_type type : all_types) CHECK(static_cast<bool>(of(type, 0)) == (type != event_type::none));
}

TEST_CASE("a new event says nothing", "[event]") {
  constexpr event ev;
  STATIC_REQUIRE(ev.type == event_type::none);
  STATIC_REQUIRE((!ev.first && !ev.last && !ev.compressed && !ev.plain));
  STATIC_REQUIRE(ev.payload.empty());
  STATIC_REQUIRE(ev.code() == ws::close_code::none);
  STATIC_REQUIRE(ev.why() == ws::error::none);
}

TEST_CASE("code() is only a close event's and why() only a failure's", "[event]") {
  for (const event_type type : all_types) {
    INFO(static_cast<int>(type));
    CHECK(of(type, 1001).code() == (type == event_type::close ? ws::close_code::going_away : ws::close_code::none));
    CHECK(of(type, 1).why() == (type == event_type::failed ? static_cast<ws::error>(1) : ws::error::none));
  }
}

TEST_CASE("K01 a Close without a code is told as 1005, which is not none", "[event][K01]") {
  STATIC_REQUIRE(of(event_type::close, 1005).code() == ws::close_code::no_status);
  STATIC_REQUIRE(ws::close_code::no_status != ws::close_code::none);
}

TEST_CASE("request() and response() read the head that is the payload", "[event]") {
  event ev;
  ev.type = event_type::request;
  ev.payload = "GET /chat?room=1 HTTP/1.1\r\nHost: example.org\r\nORIGIN: https://example.org\r\n\r\n";
  CHECK(ev.request().method() == "GET");
  CHECK(ev.request().target() == "/chat?room=1");
  CHECK(ev.request().path() == "/chat");
  CHECK(ev.request().query() == "room=1");
  CHECK(ev.request().field("origin") == "https://example.org");

  ev.type = event_type::rejected;
  ev.payload = "HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n";
  CHECK(ev.response().status() == 302);
  CHECK(ev.response().reason() == "Found");
  CHECK(ev.response().location() == "/there");
}

TEST_CASE("scratch for a cut control frame and an owed pong", "[event]") {
  // 125 bytes for each, and what the head of a control frame needs.
  STATIC_REQUIRE(ws::min_scratch == 256);
  STATIC_REQUIRE(ws::min_scratch >= 2 * ws::max_control_payload + 6);
}
