// permessage-deflate: negotiation (RFC 7692 5, 7.1), rules D07-D11, D18, H15-H17, C04. Most are static_asserts.
// Messages are in test_zlib.cpp.
#include "wscodec/permessage_deflate.hpp"

#include <array>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/wire.hpp"

using namespace wire;

namespace {

using options = ws::deflate_options;

/// Whether a server answers an offer (its parameters) so; "" when it declines.
constexpr bool answers(const options& opt, std::string_view offer, std::string_view answer) {
  const std::uint32_t agreement = ws::detail::accept_deflate_offer(opt, offer);
  if (agreement == 0) return answer.empty();
  std::array<char, 256> text{};
  const std::size_t n = ws::detail::write_deflate_answer(agreement, text.data(), text.size());
  return std::string_view{text.data(), n} == answer;
}

/// Whether a client offers so.
constexpr bool offers(const options& opt, std::string_view expected) {
  std::array<char, 512> text{};
  const std::size_t n = ws::detail::write_deflate_offers(opt, text.data(), text.size());
  return std::string_view{text.data(), n} == expected;
}

/// What a client understands from an answer: window bits of both, `s` and `c` for takeover of each; "" for a refusal.
constexpr bool understands(const options& opt, std::string_view answer, unsigned server, unsigned client, std::string_view takeover) {
  const std::uint32_t agreement = ws::detail::confirm_deflate_answer(opt, answer);
  if (agreement == 0) return false;
  const ws::deflate_agreement a = ws::deflate_agreement::of(agreement);
  return a.server_max_window_bits == server && a.client_max_window_bits == client &&
         a.server_no_context_takeover == (takeover.find('s') == takeover.npos) &&
         a.client_no_context_takeover == (takeover.find('c') == takeover.npos);
}
constexpr bool refuses(const options& opt, std::string_view answer) { return ws::detail::confirm_deflate_answer(opt, answer) == 0; }

constexpr options plain{};
constexpr options small{.server_max_window_bits = 10, .client_max_window_bits = 9};
constexpr options forgetful{.server_no_context_takeover = true, .client_no_context_takeover = true};

// ---- what a server answers

// The browsers' offers: Firefox's bare, Chromium's, and Safari's.
static_assert(answers(plain, "", "permessage-deflate"));
static_assert(answers(plain, "; client_max_window_bits", "permessage-deflate"));

// D18: what was asked for is answered, with a window no larger than asked.
static_assert(answers(plain, "; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"));
static_assert(answers(plain, "; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"));
static_assert(answers(plain, "; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"));
static_assert(answers(plain, "; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"));
static_assert(answers(plain, "; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"));
static_assert(answers(plain, "; client_max_window_bits=15", "permessage-deflate"));
static_assert(answers(small, "; server_max_window_bits=12; client_max_window_bits=12",
                      "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"));
static_assert(answers(small, "; server_max_window_bits=9; client_max_window_bits=8",
                      "permessage-deflate; server_max_window_bits=9; client_max_window_bits=8"));
static_assert(answers(small, "; client_max_window_bits", "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"));
// RFC 7692 7.1.2.2: nothing about the client's window unless the client spoke of it.
static_assert(answers(small, "", "permessage-deflate; server_max_window_bits=10"));
static_assert(answers(forgetful, "", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"));
static_assert(answers(plain, "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12",
                      "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12"));

// D09: 8 to 15, decimal, without sign or leading zero; without a value only client_max_window_bits.
constexpr bool window_values() {
  const std::string_view bad[] = {"=7",  "=16", "=0",   "=08",  "=010", "=+8",  "=-8", "=1", "=100", "=8.0",
                                  "=0x9", "=9a", "=\"7\"", "=\"\"", "=\"1\\6\"", "=\" 9\""};
  for (const std::string_view name : {"; server_max_window_bits"sv, "; client_max_window_bits"sv})
    for (const std::string_view value : bad) {
      std::array<char, 64> text{};
      ws::output out{text};
      if (!out.put(name) || !out.put(value) || !answers(plain, out.written(), "")) return false;
    }
  return answers(plain, "; server_max_window_bits", "");
}
static_assert(window_values());

// D11: a doubled, unknown or wrongly valued parameter.
static_assert(answers(plain, "; server_no_context_takeover; server_no_context_takeover", ""));
static_assert(answers(plain, "; client_no_context_takeover; client_no_context_takeover", ""));
static_assert(answers(plain, "; server_max_window_bits=10; server_max_window_bits=10", ""));
static_assert(answers(plain, "; client_max_window_bits; client_max_window_bits", ""));
static_assert(answers(plain, "; client_max_window_bits=10; client_max_window_bits", ""));
static_assert(answers(plain, "; server_no_context_takeover=1", ""));
static_assert(answers(plain, "; client_no_context_takeover=true", ""));
static_assert(answers(plain, "; max_window_bits=10", ""));
static_assert(answers(plain, "; server_max_window_bits_=10", ""));

// H16: quoted values count like plain ones; parameter names in any case, spaces or none.
static_assert(answers(plain, "; server_max_window_bits=\"10\"", "permessage-deflate; server_max_window_bits=10"));
static_assert(answers(plain, ";client_max_window_bits=\"1\\0\"", "permessage-deflate; client_max_window_bits=10"));
static_assert(answers(plain, " ;  Server_No_Context_Takeover\t", "permessage-deflate; server_no_context_takeover"));

// ---- what a client offers

static_assert(offers(plain, "permessage-deflate; client_max_window_bits"));
static_assert(offers(small, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"));
static_assert(offers(forgetful, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"));
static_assert(offers({.client_max_window_bits = 0}, "permessage-deflate"));

constexpr ws::deflate_offer ladder[] = {{.server_no_context_takeover = true, .server_max_window_bits = 8},
                                        {.server_max_window_bits = 12, .client_max_window_bits = 10},
                                        {.client_max_window_bits = 0}};
constexpr options falling_back{.offers = ladder};
static_assert(offers(falling_back,
                     "permessage-deflate; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits, "
                     "permessage-deflate; server_max_window_bits=12; client_max_window_bits=10, permessage-deflate"));

// An offer that does not fit is left out, whole.
constexpr bool offers_in(std::size_t room, std::string_view expected) {
  std::array<char, 512> text{};
  return std::string_view{text.data(), ws::detail::write_deflate_offers(falling_back, text.data(), room)} == expected;
}
static_assert(offers_in(17, ""));
static_assert(offers_in(18, "permessage-deflate"));
static_assert(offers_in(100, "permessage-deflate; server_no_context_takeover; server_max_window_bits=8; client_max_window_bits"));

// ---- what a client makes of an answer

static_assert(understands(plain, "", 15, 15, "sc"));
static_assert(understands(plain, "; client_no_context_takeover", 15, 15, "s"));  // D07: unasked
static_assert(understands(plain, "; server_no_context_takeover", 15, 15, "c"));
static_assert(understands(plain, "; server_max_window_bits=9", 9, 15, "sc"));    // D08: unasked
static_assert(understands(plain, "; client_max_window_bits=8", 15, 8, "sc"));
static_assert(understands(plain, "; client_max_window_bits=\"12\"", 15, 12, "sc"));

// D08: client_max_window_bits only if it was offered, and with a value.
static_assert(refuses(plain, "; client_max_window_bits"));
static_assert(refuses({.client_max_window_bits = 0}, "; client_max_window_bits=15"));

// D11, C04: contradictions.
static_assert(refuses(plain, "; server_no_context_takeover; server_no_context_takeover"));
static_assert(refuses(plain, "; server_max_window_bits"));
static_assert(refuses(plain, "; server_max_window_bits=16"));
static_assert(refuses(plain, "; foo"));
static_assert(refuses(plain, "; client_no_context_takeover=x"));

// D18: a response that lacks what was asked for, or has a larger window, fails; of our hint and the answer the smaller counts.
static_assert(refuses(forgetful, ""));
static_assert(refuses(forgetful, "; client_no_context_takeover"));
static_assert(understands(forgetful, "; server_no_context_takeover", 15, 15, ""));
static_assert(refuses(small, ""));
static_assert(refuses(small, "; server_max_window_bits=11"));
static_assert(understands(small, "; server_max_window_bits=10", 10, 9, "sc"));
static_assert(understands(small, "; server_max_window_bits=8; client_max_window_bits=15", 8, 9, "sc"));
static_assert(understands(small, "; server_max_window_bits=8; client_max_window_bits=8", 8, 8, "sc"));

// Of several offers the first that the answer does not contradict.
static_assert(understands(falling_back, "; server_no_context_takeover; server_max_window_bits=8", 8, 15, "c"));
static_assert(understands(falling_back, "; server_max_window_bits=8", 8, 10, "sc"));
static_assert(understands(falling_back, "", 15, 15, "sc"));
static_assert(refuses(falling_back, "; client_max_window_bits=9"));

// The agreement as a number keeps everything, and is never 0.
constexpr bool numbers_hold() {
  for (unsigned i = 0; i < 16; ++i)
    for (std::uint8_t server = 8; server <= 15; ++server)
      for (std::uint8_t client = 8; client <= 15; ++client) {
        const ws::deflate_agreement a{(i & 1) != 0, (i & 2) != 0, server, client, (i & 4) != 0, (i & 8) != 0};
        const ws::deflate_agreement b = ws::deflate_agreement::of(a.number());
        if (a.number() == 0 || b.number() != a.number() || b.server_max_window_bits != server || b.client_max_window_bits != client ||
            b.server_no_context_takeover != ((i & 1) != 0) || b.client_no_context_takeover != ((i & 2) != 0))
          return false;
      }
  return true;
}
static_assert(numbers_hold());
static_assert(ws::deflate_agreement{}.number() == 0xFF01);
static_assert(ws::deflate_agreement{.server_no_context_takeover = true}.number() == 0xFF03);
static_assert(ws::deflate_agreement{.client_no_context_takeover = true}.number() == 0xFF05);
static_assert(ws::deflate_agreement{.server_max_window_bits = 8}.number() == 0xF801);
static_assert(ws::deflate_agreement{.client_max_window_bits = 8}.number() == 0x8F01);
static_assert(ws::deflate_agreement{.answers_server_window = true}.number() == 0xFF09);
static_assert(ws::deflate_agreement{.answers_client_window = true}.number() == 0xFF11);

// What is said where nothing is said.
static_assert(plain.server_max_window_bits == 15 && plain.client_max_window_bits == 15 && !plain.server_no_context_takeover && !plain.client_no_context_takeover);
static_assert(plain.level == 6 && plain.memory_level == 8 && plain.threshold == 64 && plain.release_after == 0);
static_assert(ws::deflate_offer{}.server_max_window_bits == 15 && ws::deflate_offer{}.client_max_window_bits == 15);
static_assert(!ws::deflate_offer{}.server_no_context_takeover && !ws::deflate_offer{}.client_no_context_takeover);
static_assert(ws::deflate_parameters{}.window_bits == 15 && ws::deflate_parameters{}.takeover);
static_assert(ws::deflate_parameters{}.level == 6 && ws::deflate_parameters{}.memory_level == 8);

// ---- through the handshake

/// The extensions a server answers to a request whose extension fields these are; "-" for none.
std::string negotiate(const options& opt, std::initializer_list<std::string_view> values, ws::error expected = ws::error::none) {
  const ws::extension_hook hook = ws::permessage_deflate(opt);
  ws::options server;
  server.extension = &hook;
  std::vector<ws::field> request = {{"Host", "a"}, {"Upgrade", "websocket"}, {"Connection", "Upgrade"},
                                    {"Sec-WebSocket-Version", "13"}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}};
  for (const std::string_view value : values) request.push_back({"Sec-WebSocket-Extensions", value});
  ws::upgraded got;
  REQUIRE(ws::upgrade(request, server, "", got) == expected);
  for (const ws::field& f : got.fields())
    if (f.name == "Sec-WebSocket-Extensions") return std::string{f.value};
  return "-";
}

/// Why a client's handshake fails on an answer whose extensions field is this; none when it does not.
ws::error answered(const options& deflate, std::string_view value) {
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options opt;
  opt.extension = &hook;
  session_endpoint client{ws::role::client, opt};
  REQUIRE(client.machine->connect({.host = "a"}) == ws::error::none);
  const std::string request = client.take_sent();
  const std::size_t at = request.find("Sec-WebSocket-Key: ") + 19;
  const ws::accept_value accept = ws::detail::compute_accept(std::string_view{request}.substr(at, 24));
  client.read("HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
              std::string{accept.data(), accept.size()} + "\r\nSec-WebSocket-Extensions: " + std::string{value} + "\r\n\r\n");
  return client.machine->why();
}

/// An engine that can do less than all.
struct pretended {
  static inline bool takes_8 = true, takes_takeover = true;

  static bool can(const ws::deflate_parameters& p) { return (p.window_bits != 8 || takes_8) && (!p.takeover || takes_takeover); }
};
constexpr ws::deflate_engine fake_engine{.compresses = pretended::can, .inflates = pretended::can};

}  // namespace

TEST_CASE("D11 H16 an offer that is unknown or malformed is declined and the next is considered", "[deflate][D11][H16]") {
  CHECK(negotiate(plain, {"permessage-deflate"}) == "permessage-deflate");
  CHECK(negotiate(plain, {"Permessage-Deflate"}) == "permessage-deflate");
  CHECK(negotiate(plain, {"foo, permessage-deflate; bar, permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=\"10\""}) ==
        "permessage-deflate; server_max_window_bits=10");
  CHECK(negotiate(plain, {"permessage-deflate; server_max_window_bits=20", "x-webkit-deflate-frame", "permessage-deflate"}) == "permessage-deflate");
}

TEST_CASE("H17 H16 when every offer is declined there is no extensions field", "[deflate][H16][H17]") {
  CHECK(negotiate(plain, {}) == "-");
  CHECK(negotiate(plain, {"permessage-deflate; server_max_window_bits=7"}) == "-");
  CHECK(negotiate(plain, {"permessage-deflate; unknown=\"permessage-deflate\""}) == "-");
  CHECK(negotiate(plain, {"permessage-bzip2"}) == "-");
}

TEST_CASE("H15 an extension is not found inside a quoted string", "[deflate][H15]") {
  CHECK(negotiate(plain, {"foo; a=\", permessage-deflate\""}) == "-");
  CHECK(negotiate(plain, {"foo; a=\"x;, y\", permessage-deflate; client_max_window_bits"}) == "permessage-deflate");
  CHECK(negotiate(plain, {"permessage-deflate; server_max_window_bits=\"1 0\", permessage-deflate"}) == "permessage-deflate");
  CHECK(negotiate(plain, {"permessage-deflate; server_max_window_bits=\"10"}, ws::error::extensions_malformed) == "-");
}

TEST_CASE("D10 where the engine cannot do 8 bits the offer is declined, and a client does not offer its window", "[deflate][D10]") {
  const options opt{.engine = &fake_engine};
  pretended::takes_8 = pretended::takes_takeover = true;
  CHECK(negotiate(opt, {"permessage-deflate; server_max_window_bits=8"}) == "permessage-deflate; server_max_window_bits=8");
  CHECK(offers(opt, "permessage-deflate; client_max_window_bits"));
  CHECK(understands(opt, "; client_max_window_bits=8", 15, 8, "sc"));
  pretended::takes_8 = false;
  CHECK(negotiate(opt, {"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9"}) ==
        "permessage-deflate; server_max_window_bits=9");
  CHECK(offers(opt, "permessage-deflate"));
  CHECK(refuses(opt, "; client_max_window_bits=8"));
  pretended::takes_8 = true;
}

TEST_CASE("D10 D07 what an engine cannot do at all is declined, and a client refuses it", "[deflate][D07][D10]") {
  const options opt{.engine = &fake_engine}, no_client_window{.engine = &fake_engine, .client_max_window_bits = 0};
  CHECK(offers(no_client_window, "permessage-deflate"));
  pretended::takes_8 = false;
  CHECK(negotiate(opt, {"permessage-deflate; server_no_context_takeover; server_max_window_bits=8"}) == "-");
  CHECK(negotiate(opt, {"permessage-deflate; client_max_window_bits=8"}) == "-");
  CHECK(answered(opt, "permessage-deflate; server_max_window_bits=8") == ws::error::extension_parameters_wrong);
  pretended::takes_8 = true;
  pretended::takes_takeover = false;
  CHECK(answered(opt, "permessage-deflate; client_no_context_takeover") == ws::error::extension_parameters_wrong);
  pretended::takes_takeover = true;
  constexpr ws::deflate_engine one_window{.compresses = [](const ws::deflate_parameters& p) { return p.window_bits == 8; },
                                          .inflates = [](const ws::deflate_parameters&) { return true; }};
  const options eight{.engine = &one_window};
  CHECK(answered(eight, "permessage-deflate; client_max_window_bits=8") == ws::error::none);
  CHECK(answered(eight, "permessage-deflate") == ws::error::extension_parameters_wrong);
}

TEST_CASE("D07 an engine without takeover negotiates none", "[deflate][D07]") {
  const options opt{.engine = &fake_engine};
  pretended::takes_takeover = false;
  CHECK(negotiate(opt, {"permessage-deflate"}) == "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
  CHECK(offers(opt, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"));
  CHECK(understands(opt, "; server_no_context_takeover", 15, 15, ""));
  CHECK(refuses(opt, ""));
  pretended::takes_takeover = true;
}

TEST_CASE("D18 an offer that does not fit is left out whole, and so is an answer", "[deflate][D18]") {
  constexpr ws::deflate_offer list[] = {{true, true, 8, 9}, {false, false, 10, 15}, {false, false, 15, 0}};
  constexpr std::string_view words[] = {
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=9",
      "permessage-deflate; server_max_window_bits=10; client_max_window_bits", "permessage-deflate"};
  const options opt{.offers = list};
  char memory[256];
  for (std::size_t room = 0; room <= sizeof memory; ++room) {
    std::string expected;
    for (const std::string_view offer : words) {
      const std::string more = (expected.empty() ? "" : ", ") + std::string{offer};
      if (expected.size() + more.size() <= room) expected += more;
    }
    CHECK(std::string_view{memory, ws::detail::write_deflate_offers(opt, memory, room)} == expected);
  }
  const ws::deflate_agreement all{true, true, 8, 9, true, true};
  for (std::size_t room = 0; room <= sizeof memory; ++room)
    CHECK(std::string_view{memory, ws::detail::write_deflate_answer(all.number(), memory, room)} == words[0].substr(0, room < words[0].size() ? 0 : words[0].size()));
}

TEST_CASE("D07 D10 an engine for the largest window alone, without takeover, is offered so", "[deflate][D07][D10]") {
  constexpr ws::deflate_engine engine{.compresses = [](const ws::deflate_parameters& p) { return p.window_bits == 15 && !p.takeover; },
                                      .inflates = [](const ws::deflate_parameters&) { return true; }};
  CHECK(offers({.engine = &engine}, "permessage-deflate; client_no_context_takeover"));
}

TEST_CASE("C04 a client's handshake fails on an answer that contradicts its offer", "[deflate][C04][D18]") {
  CHECK(answered(plain, "permessage-deflate") == ws::error::none);
  CHECK(answered(plain, "permessage-deflate; client_max_window_bits=9") == ws::error::none);
  CHECK(answered(plain, "permessage-deflate; client_max_window_bits") == ws::error::extension_parameters_wrong);
  CHECK(answered(small, "permessage-deflate") == ws::error::extension_parameters_wrong);
  for (std::uint8_t bits = 8; bits < 15; ++bits) {
    const options asks{.server_max_window_bits = bits};
    const std::string window = "permessage-deflate; server_max_window_bits=";
    CHECK(answered(asks, "permessage-deflate") == ws::error::extension_parameters_wrong);
    CHECK(answered(asks, window + std::to_string(bits + 1)) == ws::error::extension_parameters_wrong);
    CHECK(answered(asks, window + std::to_string(bits)) == ws::error::none);
  }
  CHECK(answered(plain, "permessage-deflate, permessage-deflate") == ws::error::extension_repeated);
  CHECK(answered(plain, "permessage-bzip2") == ws::error::extension_not_requested);
}

TEST_CASE("D08 windows in an answer: the server's unasked, the client's only if it was offered, and with a value", "[deflate][D08]") {
  const options without{.client_max_window_bits = 0};
  CHECK(answered(plain, "permessage-deflate; server_max_window_bits=8") == ws::error::none);
  CHECK(answered(without, "permessage-deflate; server_max_window_bits=8") == ws::error::none);
  CHECK(answered(plain, "permessage-deflate; client_max_window_bits=8") == ws::error::none);
  CHECK(answered(without, "permessage-deflate; client_max_window_bits=8") == ws::error::extension_parameters_wrong);
  CHECK(answered(plain, "permessage-deflate; client_max_window_bits") == ws::error::extension_parameters_wrong);
}

TEST_CASE("D11 a parameter that is doubled, or has a value where none belongs, is wrong", "[deflate][D11]") {
  for (const char* words : {"server_no_context_takeover=1", "server_no_context_takeover; server_no_context_takeover", "client_no_context_takeover=\"\\1\"",
                            "client_no_context_takeover; client_no_context_takeover", "server_max_window_bits=9; server_max_window_bits=9",
                            "client_max_window_bits=9; client_max_window_bits=9", "client_max_window_bits=7", "server_max_window_bits=1!"}) {
    const std::string value = "permessage-deflate; " + std::string{words};
    INFO(value);
    CHECK(negotiate(plain, {value}) == "-");
    CHECK(answered(plain, value) == ws::error::extension_parameters_wrong);
  }
  CHECK(answered(small, "permessage-deflate; server_max_window_bits=11") == ws::error::extension_parameters_wrong);  // D18: more than was asked for
}

TEST_CASE("D09 window values: an offer with a wrong one is declined, an answer with one fails", "[deflate][D09]") {
  for (const char* bits : {"8", "9", "10", "15"}) {
    const std::string value = "permessage-deflate; server_max_window_bits=" + std::string{bits};
    CHECK(negotiate(plain, {value}) == value);
    CHECK(answered(plain, value) == ws::error::none);
  }
  for (const char* bits : {"=7", "=16", "=08", "=010", "=+9", "=-9", "=0", "=100", "=9.0", "=0x9", "=\"\"", ""}) {
    const std::string value = "permessage-deflate; server_max_window_bits" + std::string{bits};
    INFO(value);
    CHECK(negotiate(plain, {value}) == "-");
    const ws::error why = answered(plain, value);
    CHECK((why == ws::error::extension_parameters_wrong || why == ws::error::extensions_malformed));
  }
  CHECK(negotiate(plain, {"permessage-deflate; client_max_window_bits"}) == "permessage-deflate");
}
