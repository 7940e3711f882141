// A list of extensions: two bytes of choices, and then the value of Sec-WebSocket-Extensions, as an offer to a server and as an
// answer to a client. What is well-formed can be written again; what our server answers, our client understands.
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>

#include "fuzz.hpp"
#include "head.hpp"

namespace ws = wscodec;

namespace {

struct parameter {
  std::string name, value;
  bool has_value, quoted;
  bool operator==(const parameter&) const = default;
};
struct member {
  std::string name;
  std::vector<parameter> parameters;
  std::string rest = {};  // of its text, behind the name
  bool operator==(const member& other) const { return name == other.name && parameters == other.parameters; }
};

/// The whole list; false when its grammar is broken.
bool read(std::span<const ws::field> fields, std::vector<member>& to) {
  ws::extension_cursor all{ws::field_cursor{fields}};
  for (ws::extension one; all.next(one);) {
    member m{std::string{one.name()}, {}};
    const std::string_view rest = one.rest();
    REQUIRE(ws::detail::is_token(m.name));
    for (ws::extension_parameter p; one.next(p);) {
      char plain[64];
      const std::size_t n = ws::unquote(p, plain, sizeof plain);
      REQUIRE(n == std::string_view::npos || n <= p.value.size());
      m.parameters.push_back({std::string{p.name}, std::string{p.value}, p.has_value, p.quoted});
    }
    REQUIRE(!one.malformed());
    m.rest = rest.substr(0, rest.size() - one.rest().size());
    to.push_back(std::move(m));
  }
  return !all.malformed();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  const unsigned a = input.byte(), b = input.byte();
  std::string text{input.rest()};
  for (const char c : text)
    if (ws::detail::is_control_byte(c)) return 0;  // that cannot be a field's value
  const fuzz::exact value{text};
  const ws::field one[] = {{"Sec-WebSocket-Extensions", value.view()}};
  std::vector<member> list;
  const bool good = read(one, list);

  if (good) {
    // Written again, one field a member: the same.
    std::vector<std::string> lines;
    for (const member& m : list) {
      lines.push_back(m.name);
      for (const parameter& p : m.parameters)
        lines.back() += "; " + p.name + (!p.has_value ? "" : p.quoted ? "=\"" + p.value + "\"" : "=" + p.value);
    }
    std::vector<ws::field> fields;
    for (const std::string& line : lines) fields.push_back({"sec-websocket-extensions", line});
    std::vector<member> again;
    REQUIRE(read(fields, again) && again == list);
  }

  ws::deflate_options server{.server_max_window_bits = static_cast<std::uint8_t>(8 + a % 8),
                             .client_max_window_bits = static_cast<std::uint8_t>(8 + a / 8 % 8),
                             .server_no_context_takeover = (b & 1U) != 0,
                             .client_no_context_takeover = (b & 2U) != 0};
  const ws::extension_hook hook = ws::permessage_deflate(server);
  std::uint32_t agreement = 0;
  const ws::error why = ws::detail::negotiate_extension(ws::field_cursor{std::span<const ws::field>{one}}, &hook, agreement);
  REQUIRE((why == ws::error::none) == (good && !list.empty()));
  if (agreement != 0) {
    REQUIRE(why == ws::error::none);
    const ws::deflate_agreement agreed = ws::deflate_agreement::of(agreement);
    REQUIRE(agreed.number() == agreement);
    REQUIRE(agreed.server_max_window_bits >= 8 && agreed.server_max_window_bits <= server.server_max_window_bits);
    REQUIRE(agreed.client_max_window_bits >= 8 && agreed.client_max_window_bits <= 15);
    char answer[128];
    const std::size_t n = hook.write_answer(agreement, answer, sizeof answer);
    REQUIRE(n != 0 && n <= sizeof answer);
    const ws::field answered[] = {{"Sec-WebSocket-Extensions", {answer, n}}};
    std::vector<member> said;
    REQUIRE(read(answered, said) && said.size() == 1 && said[0].name == "permessage-deflate" && said[0].parameters.size() <= 4);
    for (std::size_t room = 0; room < n; ++room) REQUIRE(hook.write_answer(agreement, answer, room) == 0);
    // A client that offered all there is takes what a server may answer to that.
    const ws::deflate_options client;
    const ws::extension_hook asking = ws::permessage_deflate(client);
    const std::string_view parameters = std::string_view{answer, n}.substr(std::string_view{"permessage-deflate"}.size());
    const std::uint32_t confirmed = asking.confirm(&client, parameters);
    REQUIRE(confirmed != 0 && ws::deflate_agreement::of(confirmed).server_max_window_bits == agreed.server_max_window_bits);
  }
  // As an answer: a client that confirms it has the windows that it says.
  for (const member& m : list)
    if (m.name == "permessage-deflate") {
      const ws::deflate_options client;
      const ws::extension_hook asking = ws::permessage_deflate(client);
      const std::uint32_t confirmed = asking.confirm(&client, m.rest);
      if (confirmed == 0) continue;
      const ws::deflate_agreement agreed = ws::deflate_agreement::of(confirmed);
      REQUIRE(m.parameters.size() <= 4);
      for (const parameter& p : m.parameters) {
        const unsigned bits = p.name == "server_max_window_bits" ? agreed.server_max_window_bits : p.name == "client_max_window_bits" ? agreed.client_max_window_bits : 0U;
        REQUIRE(p.name != "server_max_window_bits" || (bits >= 8 && bits <= 15));
        REQUIRE(bits == 0 || p.quoted || p.value == std::to_string(bits));
        REQUIRE(p.name != "server_no_context_takeover" || agreed.server_no_context_takeover);
        REQUIRE(p.name != "client_no_context_takeover" || agreed.client_no_context_takeover);
      }
    }
  return 0;
}
