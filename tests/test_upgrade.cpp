// A handshake that somebody else's HTTP server has parsed: `upgrade`, and the endpoints that start open after it.
#include <wscodec/handshake.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/handshake.hpp"
#include "wscodec/permessage_deflate.hpp"

namespace ws = wscodec;
using namespace handshake;

namespace {

using names_and_values = std::vector<std::pair<std::string, std::string>>;

/// A good request as a list; `changes` replace fields of their name, or come on top. An empty value takes away.
std::vector<ws::field> request(std::initializer_list<ws::field> changes = {}) {
  std::vector<ws::field> list = {{"Host", "h"},
                                 {"Upgrade", "websocket"},
                                 {"Connection", "Upgrade"},
                                 {"Sec-WebSocket-Key", sample_key},
                                 {"Sec-WebSocket-Version", "13"}};
  for (const ws::field& change : changes) {
    const auto at = std::find_if(list.begin(), list.end(), [&](const ws::field& f) { return f.name == change.name; });
    if (at == list.end()) list.push_back(change);
    else if (change.value.empty()) list.erase(at);
    else *at = change;
  }
  return list;
}

names_and_values fields_of(const ws::upgraded& answer) {
  names_and_values list;
  for (const ws::field& f : answer.fields()) list.emplace_back(f.name, f.value);
  return list;
}

const names_and_values good_answer = {
    {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", std::string{sample_accept}}};

names_and_values good_answer_and(std::string_view name, std::string_view value) {
  names_and_values list = good_answer;
  list.emplace_back(name, value);
  return list;
}

constexpr bool answers_in_a_constant_expression() {
  const ws::field list[] = {{"host", "server.example.com"},      {"upgrade", "websocket"},
                            {"connection", "Upgrade"},           {"sec-websocket-key", sample_key},
                            {"origin", "http://example.com"},    {"sec-websocket-protocol", "chat, superchat"},
                            {"sec-websocket-version", "13"}};
  ws::upgraded answer;
  return ws::upgrade(list, {}, "chat", answer) == ws::error::none && answer.status == 101 &&
         answer.fields().size() == 4 && answer.fields()[2].value == sample_accept && answer.fields()[3].value == "chat";
}

}  // namespace

// RFC 6455 1.3.
static_assert(answers_in_a_constant_expression());

TEST_CASE("H09 a good list of fields is answered with 101", "[upgrade][H09][H17][H27]") {
  ws::upgraded answer;
  CHECK(ws::upgrade(request(), {}, "", answer) == ws::error::none);
  CHECK(answer.why == ws::error::none);
  CHECK(answer.status == 101);
  CHECK(fields_of(answer) == good_answer);
  CHECK(answer.agreed.agreement == 0);
  CHECK(answer.agreed.extension == nullptr);

  // Values come with or without the spaces around them; lists over several fields.
  const std::vector<ws::field> list = request(
      {{"Sec-WebSocket-Key", " dGhlIHNhbXBsZSBub25jZQ==\t"}, {"Upgrade", "h2c"}, {"upgrade", "WEBSOCKET"}, {"Connection", "keep-alive , upgrade"}});
  CHECK(ws::upgrade(list, {}, "", answer) == ws::error::none);
  CHECK(fields_of(answer) == good_answer);
}

TEST_CASE("H13 the subprotocol must have been offered", "[upgrade][H11][H13]") {
  ws::upgraded answer;
  const std::vector<ws::field> list = request({{"Sec-WebSocket-Protocol", "a, b"}, {"sec-websocket-protocol", "c"}});
  for (const std::string_view choice : {"a", "b", "c"}) {
    CHECK(ws::upgrade(list, {}, choice, answer) == ws::error::none);
    CHECK(fields_of(answer) == good_answer_and("Sec-WebSocket-Protocol", choice));
  }
  for (const std::string_view choice : {"d", "A", "a, b", "a\r\nX: y"}) {
    CHECK(ws::upgrade(list, {}, choice, answer) == ws::error::subprotocol_not_offered);
    // The application's mistake, not the client's.
    CHECK(answer.why == ws::error::subprotocol_not_offered);
    CHECK(answer.status == 500);
    CHECK(fields_of(answer) == names_and_values{{"Connection", "close"}});
  }
  CHECK(ws::upgrade(request(), {}, "a", answer) == ws::error::subprotocol_not_offered);
  CHECK(ws::upgrade(list, {}, "", answer) == ws::error::none);
  CHECK(fields_of(answer) == good_answer);
}

TEST_CASE("H13 of very many subprotocols each is offered once, wherever the same two stand", "[upgrade][H13]") {
  const ws::options options{.head = {.max_fields = 1000}};
  constexpr unsigned all = 300;
  const auto offers = [&](unsigned same, unsigned as) {
    std::string list;
    for (unsigned i = 0; i < all; ++i) list += "p" + std::to_string(i == same ? as : i) + ",";
    ws::upgraded answer;
    return ws::upgrade(request({{"Sec-WebSocket-Protocol", list}}), options, "", answer);
  };
  CHECK(offers(0, 0) == ws::error::none);
  constexpr unsigned places[] = {0, 1, 126, 127, 128, 129, 130, 250, 298, 299};
  for (const unsigned a : places)
    for (const unsigned b : places)
      if (a != b) CHECK(offers(a, b) == ws::error::subprotocol_doubled);
}

TEST_CASE("D18 the longest answer of permessage-deflate", "[upgrade][D18]") {
  const ws::deflate_options deflate;
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  const ws::options options{.extension = &hook};
  constexpr std::string_view longest =
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=10";
  ws::upgraded answer;
  CHECK(ws::upgrade(request({{"Sec-WebSocket-Extensions", longest}}), options, "", answer) == ws::error::none);
  CHECK(fields_of(answer) == good_answer_and("Sec-WebSocket-Extensions", longest));
}

TEST_CASE("H35 the words of each status", "[upgrade][H35]") {
  constexpr std::pair<unsigned, std::string_view> words[] = {
      {200, "OK"}, {204, "No Content"}, {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"}, {304, "Not Modified"},
      {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"},
      {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {414, "URI Too Long"}, {426, "Upgrade Required"},
      {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
      {503, "Service Unavailable"}, {505, "HTTP Version Not Supported"}};
  for (unsigned status = 0; status <= 1000; ++status) {
    const auto known = std::find_if(std::begin(words), std::end(words), [&](const auto& w) { return w.first == status; });
    CHECK(ws::detail::reason_phrase(status) == (known != std::end(words) ? known->second : ""));
  }
  CHECK(ws::response{}.status == 200);
}

TEST_CASE("H16 an extension is negotiated", "[upgrade][H15][H16][H17]") {
  const ws::options options{.extension = &fake::hook};
  ws::upgraded answer;
  const std::vector<ws::field> list =
      request({{"Sec-WebSocket-Extensions", "x-fake, other; a=\"x-fake; level=1\", x-fake; level=\"7\", x-fake; level=2"}});
  CHECK(ws::upgrade(list, options, "", answer) == ws::error::none);
  CHECK(fields_of(answer) == good_answer_and("Sec-WebSocket-Extensions", "x-fake; level=7"));
  CHECK(answer.agreed.agreement == 7);
  CHECK(answer.agreed.extension == &fake::hook);

  // All five fields at once.
  CHECK(ws::upgrade(request({{"Sec-WebSocket-Extensions", "x-fake; level=7"}, {"Sec-WebSocket-Protocol", "a"}}), options, "a", answer) == ws::error::none);
  names_and_values all = good_answer_and("Sec-WebSocket-Protocol", "a");
  all.emplace_back("Sec-WebSocket-Extensions", "x-fake; level=7");
  CHECK(fields_of(answer) == all);

  CHECK(ws::upgrade(list, {}, "", answer) == ws::error::none);
  CHECK(fields_of(answer) == good_answer);
  CHECK(ws::upgrade(request({{"Sec-WebSocket-Extensions", "x-fake; level=0"}}), options, "", answer) == ws::error::none);
  CHECK(fields_of(answer) == good_answer);
  CHECK(answer.agreed.extension == nullptr);
}

TEST_CASE("What breaks a rule gets a status and fields", "[upgrade][H03][H04b][H06][H07][H10][H13][H16b][H19][H30][H32][H34]") {
  constexpr std::string_view allowed[] = {"http://good"};
  const ws::options options{.allowed_origins = allowed, .allow_absent_origin = true};
  struct row {
    std::vector<ws::field> request;
    ws::error why;
    unsigned status = 400;
  };
  for (const row& r : {
           row{request({{"Host", ""}}), ws::error::host_missing},
           row{request({{"Host", "a b"}}), ws::error::host_invalid},
           row{request({{"host", "h"}}), ws::error::host_doubled},
           row{request({{"Content-Length", "1"}}), ws::error::request_has_body},
           row{request({{"Transfer-Encoding", "chunked"}}), ws::error::request_has_body},
           row{request({{"Upgrade", ""}}), ws::error::upgrade_without_websocket, 426},
           row{request({{"Upgrade", "xwebsocket"}}), ws::error::upgrade_without_websocket, 426},
           row{request({{"Connection", ""}}), ws::error::connection_without_upgrade},
           row{request({{"Connection", "keep-alive"}}), ws::error::connection_without_upgrade},
           row{request({{"Sec-WebSocket-Version", ""}}), ws::error::version_missing},
           row{request({{"sec-websocket-version", "13"}}), ws::error::version_doubled},
           row{request({{"Sec-WebSocket-Version", "8"}}), ws::error::version_unsupported, 426},
           row{request({{"Sec-WebSocket-Key", ""}}), ws::error::key_missing},
           row{request({{"sec-websocket-key", sample_key}}), ws::error::key_doubled},
           row{request({{"Sec-WebSocket-Key", "x"}}), ws::error::key_invalid},
           row{request({{"Sec-WebSocket-Extensions", "a;"}}), ws::error::extensions_malformed},
           row{request({{"Sec-WebSocket-Extensions", ","}}), ws::error::list_empty},
           row{request({{"Sec-WebSocket-Protocol", "a b"}}), ws::error::subprotocol_invalid},
           row{request({{"Sec-WebSocket-Protocol", "a, a"}}), ws::error::subprotocol_doubled},
           row{request({{"Sec-WebSocket-Protocol", ""}}), ws::error::list_empty},
           row{request({{"Origin", "http://good"}, {"origin", "http://good"}}), ws::error::origin_doubled},
           row{request({{"Origin", "http://evil"}}), ws::error::origin_refused, 403},
           row{{}, ws::error::host_missing},
       }) {
    ws::upgraded answer;
    INFO(wire::name(r.why));
    // A subprotocol does not matter when the request is bad.
    for (const std::string_view subprotocol : {"", "a"}) {
      CHECK(wire::name(ws::upgrade(r.request, options, subprotocol, answer)) == wire::name(r.why));
      CHECK(answer.why == r.why);
      CHECK(answer.status == r.status);
      if (r.status == 426)
        CHECK(fields_of(answer) ==
              names_and_values{{"Upgrade", "websocket"}, {"Connection", "Upgrade, close"}, {"Sec-WebSocket-Version", "13"}});
      else
        CHECK(fields_of(answer) == names_and_values{{"Connection", "close"}});
    }
  }
}

TEST_CASE("H04b what is handed to upgrade() is to be one, whatever the policy for plain requests", "[upgrade][H04b]") {
  ws::options options;
  options.pass_plain_requests = true;
  ws::upgraded answer;
  CHECK(ws::upgrade(request({{"Upgrade", ""}}), options, "", answer) == ws::error::upgrade_without_websocket);
  CHECK(answer.status == 426);
  CHECK(ws::upgrade(request(), options, "", answer) == ws::error::none);
}

TEST_CASE("A result can be used again", "[upgrade]") {
  ws::upgraded answer;
  CHECK(ws::upgrade({}, {}, "", answer) == ws::error::host_missing);
  CHECK(ws::upgrade(request(), {}, "", answer) == ws::error::none);
  CHECK(answer.status == 101);
  CHECK(fields_of(answer) == good_answer);
}

TEST_CASE("H20 an endpoint starts open with what was agreed and the bytes that came along", "[upgrade][H20]") {
  const ws::options options{.extension = &fake::hook};
  ws::upgraded answer;
  REQUIRE(ws::upgrade(request({{"Sec-WebSocket-Extensions", "x-fake; level=4"}}), options, "", answer) == ws::error::none);
  // RSV1 is the extension's now.
  const std::string input = wire::frame(ws::role::client, 0xC1, "Hello") + wire::frame(ws::role::client, 0x81, "plain");

  char scratch[ws::min_scratch];
  ws::connection conn{ws::role::server, answer.agreed, options, scratch};
  CHECK(conn.is_open());
  CHECK(conn.agreed().agreement == 4);
  std::string first = input;
  std::span<char> rest{first};
  ws::event ev = conn.next(rest);
  CHECK(ev.type == ws::event_type::data);
  CHECK(ev.compressed);
  CHECK(ev.payload == "Hello");
  ev = conn.next(rest);
  CHECK_FALSE(ev.compressed);
  CHECK(ev.payload == "plain");
  char memory[64];
  ws::output out{memory};
  CHECK(conn.accept(out) == ws::error::no_request);
  CHECK(conn.send(out, ws::opcode::text, "Hello") == ws::error::none);
  CHECK(out.written() == "\x81\x05Hello");

  ws::session session{ws::role::server, answer.agreed, options};
  CHECK(session.is_open());
  CHECK(session.agreed().agreement == 4);
  std::string second = input;
  rest = second;
  CHECK(session.next(rest).payload == "Hello");
  CHECK(session.next(rest).payload == "plain");

  // Without an agreement it is nobody's.
  ws::connection plain{ws::role::server, ws::negotiated{}, options, scratch};
  std::string third = input;
  rest = third;
  CHECK(plain.next(rest).why() == ws::error::rsv1_unexpected);
}
