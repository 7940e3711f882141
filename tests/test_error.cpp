// Errors in words: every enumerator is explained, and the peer is told what the rule table says.
#include <wscodec/error.hpp>

#include <set>
#include <string>
#include <string_view>

#include "catch.hpp"

namespace ws = wscodec;

namespace {

// RFC 6455 7.4.1 and the registry of IANA: from 1000 on, without 1004.
static_assert([] {
  using enum ws::close_code;
  const ws::close_code codes[] = {normal,   going_away,      protocol_error,   unsupported_data, none,
                                  no_status, abnormal,        invalid_payload,  policy_violation, message_too_big,
                                  mandatory_extension, internal_error, service_restart, try_again_later, bad_gateway};
  unsigned number = 1000;
  for (const ws::close_code code : codes) {
    if (code != none && static_cast<unsigned>(code) != number) return false;
    ++number;
  }
  return number == 1015 && static_cast<unsigned>(none) == 0;
}());

/// What the peer is told of a broken rule: an HTTP status of the opening handshake, or a close code. Everything else is
/// told to nobody.
struct answered {
  ws::error why;
  std::string_view name;
  unsigned answer;
};
constexpr answered answers[] = {
    {ws::error::bare_line_feed, "bare_line_feed", 400},
    {ws::error::bare_carriage_return, "bare_carriage_return", 400},
    {ws::error::line_folding, "line_folding", 400},
    {ws::error::field_name_invalid, "field_name_invalid", 400},
    {ws::error::field_value_invalid, "field_value_invalid", 400},
    {ws::error::request_line_too_long, "request_line_too_long", 414},
    {ws::error::head_too_large, "head_too_large", 431},
    {ws::error::too_many_fields, "too_many_fields", 431},
    {ws::error::request_line_invalid, "request_line_invalid", 400},
    {ws::error::target_invalid, "target_invalid", 400},
    {ws::error::http_major_unsupported, "http_major_unsupported", 505},
    {ws::error::http_too_old, "http_too_old", 400},
    {ws::error::method_not_get, "method_not_get", 405},
    {ws::error::host_missing, "host_missing", 400},
    {ws::error::host_doubled, "host_doubled", 400},
    {ws::error::host_invalid, "host_invalid", 400},
    {ws::error::request_has_body, "request_has_body", 400},
    {ws::error::upgrade_without_websocket, "upgrade_without_websocket", 426},
    {ws::error::connection_without_upgrade, "connection_without_upgrade", 400},
    {ws::error::version_missing, "version_missing", 400},
    {ws::error::version_doubled, "version_doubled", 400},
    {ws::error::version_unsupported, "version_unsupported", 426},
    {ws::error::key_missing, "key_missing", 400},
    {ws::error::key_doubled, "key_doubled", 400},
    {ws::error::key_invalid, "key_invalid", 400},
    {ws::error::extensions_malformed, "extensions_malformed", 400},
    {ws::error::subprotocol_invalid, "subprotocol_invalid", 400},
    {ws::error::subprotocol_doubled, "subprotocol_doubled", 400},
    {ws::error::list_empty, "list_empty", 400},
    {ws::error::origin_doubled, "origin_doubled", 400},
    {ws::error::origin_refused, "origin_refused", 403},
    {ws::error::handshake_timeout, "handshake_timeout", 408},
    {ws::error::length_not_minimal, "length_not_minimal", 1002},
    {ws::error::length_top_bit, "length_top_bit", 1002},
    {ws::error::mask_missing, "mask_missing", 1002},
    {ws::error::mask_present, "mask_present", 1002},
    {ws::error::rsv1_unexpected, "rsv1_unexpected", 1002},
    {ws::error::rsv2_set, "rsv2_set", 1002},
    {ws::error::rsv3_set, "rsv3_set", 1002},
    {ws::error::opcode_reserved, "opcode_reserved", 1002},
    {ws::error::control_fragmented, "control_fragmented", 1002},
    {ws::error::control_too_long, "control_too_long", 1002},
    {ws::error::continuation_unexpected, "continuation_unexpected", 1002},
    {ws::error::message_interrupted, "message_interrupted", 1002},
    {ws::error::too_many_fragments, "too_many_fragments", 1008},
    {ws::error::text_not_utf8, "text_not_utf8", 1007},
    {ws::error::message_too_big, "message_too_big", 1009},
    {ws::error::deflate_data_corrupt, "deflate_data_corrupt", 1007},
    {ws::error::close_payload_of_one_byte, "close_payload_of_one_byte", 1002},
    {ws::error::close_code_invalid, "close_code_invalid", 1002},
    {ws::error::close_reason_not_utf8, "close_reason_not_utf8", 1007},
    {ws::error::pong_timeout, "pong_timeout", 1011},
    {ws::error::idle_timeout, "idle_timeout", 1001},
    {ws::error::out_of_memory, "out_of_memory", 1011},
    {ws::error::scratch_too_small, "scratch_too_small", 1011},
};

}  // namespace

static_assert(ws::explain(ws::error::none).name == "none" && static_cast<int>(ws::error::none) == 0);
static_assert(ws::explain(ws::error::text_not_utf8).answer == 1007);
static_assert(ws::explain(ws::error::count_).name == "none", "numbers that are no errors are harmless");
static_assert(ws::explain(static_cast<ws::error>(0xFFFF)).name == "none");

TEST_CASE("the peer is told what the rule table says, or nothing", "[error]") {
  std::set<ws::error> told;
  for (const answered& a : answers) {
    INFO(a.name);
    CHECK(ws::explain(a.why).name == a.name);
    CHECK(ws::explain(a.why).answer == a.answer);
    CHECK(told.insert(a.why).second);
  }
  for (unsigned i = 0; i < static_cast<unsigned>(ws::error::count_); ++i) {
    const auto e = static_cast<ws::error>(i);
    INFO(ws::explain(e).name);
    CHECK((ws::explain(e).answer != 0) == told.contains(e));
  }
}

TEST_CASE("every error has a name of its own and words", "[error]") {
  std::set<std::string_view> names;
  std::set<std::string_view> whats;
  for (unsigned i = 0; i < static_cast<unsigned>(ws::error::count_); ++i) {
    const ws::explanation& words = ws::explain(static_cast<ws::error>(i));
    INFO(words.name);
    CHECK(names.insert(words.name).second);
    CHECK(whats.insert(words.what).second);
    for (const char c : words.name) CHECK(((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'));
    // They go into a response's body as they are: printable, on one line, of ASCII.
    for (const std::string_view text : {words.what, words.source, words.cause})
      for (const char c : text) CHECK((c >= ' ' && c <= '~'));
    if (i == 0) continue;
    CHECK(!words.what.empty());
    CHECK(!words.cause.empty());
    CHECK((words.source.starts_with("RFC ") || words.source == "WHATWG WebSockets" || words.source == "the caller"));
    // What a peer is told is a rule of an RFC, or a shortage of our own.
    if (words.answer != 0 && words.answer != 1011) CHECK(words.source.starts_with("RFC "));
  }
}
