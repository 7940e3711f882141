#include <wscodec/options.hpp>

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "catch.hpp"

namespace ws = wscodec;

// The defaults, as the rule table has them.
namespace {

constexpr ws::options defaults;
constexpr std::uint64_t second = 1'000'000;

}  // namespace

TEST_CASE("the limits are those of the rule table", "[options][F12][F18][H26][C07][K15]") {
  STATIC_REQUIRE(defaults.max_message == 16 * 1024 * 1024);     // F18
  STATIC_REQUIRE(defaults.max_fragments == 65'536);             // F12
  STATIC_REQUIRE(defaults.head.max_request_line == 8'192);      // H26
  STATIC_REQUIRE(defaults.head.max_head == 16 * 1024);          // H26
  STATIC_REQUIRE(defaults.head.max_fields == 100);              // H26
  STATIC_REQUIRE(defaults.max_response_body == 64 * 1024);      // C07
  STATIC_REQUIRE(defaults.max_discarded == 16 * 1024 * 1024);   // K15
}

TEST_CASE("F23 lengths and limits of messages have 64 bits everywhere", "[options][F23]") {
  STATIC_REQUIRE(std::is_same_v<decltype(ws::options::max_message), std::uint64_t>);
  STATIC_REQUIRE(std::is_same_v<decltype(ws::options::max_discarded), std::uint64_t>);
}

TEST_CASE("the deadlines are those of the rule table", "[options][T01][T02][T03][T04][T05][T07]") {
  STATIC_REQUIRE(defaults.handshake_timeout == 10 * second);  // T01
  STATIC_REQUIRE(defaults.close_timeout == 5 * second);       // T02
  STATIC_REQUIRE(defaults.ping_interval == 0);                // T03: off
  STATIC_REQUIRE(defaults.ping_jitter == 0);                  // T03: off
  STATIC_REQUIRE(defaults.pong_timeout == 20 * second);       // T04
  STATIC_REQUIRE(defaults.idle_timeout == 0);                 // T05: off
  STATIC_REQUIRE(defaults.write_timeout == 30 * second);      // T07
}

TEST_CASE("each policy's default is the one that the rule table names first",
          "[options][H04b][H22][H34][C03][F19][F22][K05][K10]") {
  STATIC_REQUIRE(!defaults.pass_plain_requests);         // H04b: rejected
  STATIC_REQUIRE(!defaults.head.allow_bare_line_feed);   // H22: rejected
  STATIC_REQUIRE(defaults.allowed_origins.empty());      // H34: every origin
  STATIC_REQUIRE(!defaults.allow_null_origin);           // H34: a choice of its own
  STATIC_REQUIRE(defaults.allow_absent_origin);          // H34: another
  STATIC_REQUIRE(!defaults.require_subprotocol);         // C03: allowed
  STATIC_REQUIRE(defaults.auto_pong);                    // F19
  STATIC_REQUIRE(!defaults.pong_after_close);            // F19: none after ours
  STATIC_REQUIRE(defaults.auto_close_reply);             // K01
  STATIC_REQUIRE(!defaults.discard_after_close);         // K10: delivered
  STATIC_REQUIRE(!defaults.trust_text);                  // F22: refused
  STATIC_REQUIRE(!defaults.cut_long_reason);             // K05: refused
}

TEST_CASE("nothing is offered or negotiated unless asked for", "[options][H17]") {
  STATIC_REQUIRE(defaults.subprotocols.empty());
  STATIC_REQUIRE(defaults.extension == nullptr);
}

TEST_CASE("the water marks leave room between them", "[options]") {
  STATIC_REQUIRE(defaults.high_water == 1024 * 1024);
  STATIC_REQUIRE(defaults.low_water == 256 * 1024);
}
