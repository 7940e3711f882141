// Arbitrary text as a URI: what is taken apart lies inside it, put together again it says the same, and a request made of it is
// one that our server takes.
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <wscodec.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;

namespace {

bool same_key(void*, char* to, std::size_t n) {
  std::memset(to, 'a', n);
  return true;
}

bool inside(std::string_view part, std::string_view text) {
  return part.empty() || part.data() == ws::uri{}.target.data() ||
         (part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::exact memory_of_text{fuzz::choices{data, size}.rest()};
  const std::string_view text = memory_of_text.view();
  const ws::uri_result got = ws::parse_uri(text);
  if (got.why != ws::error::none) {
    REQUIRE(!ws::explain(got.why).what.empty());
    return 0;
  }
  const ws::uri& parts = got.value;
  REQUIRE(inside(parts.userinfo, text) && inside(parts.host, text) && inside(parts.target, text));
  REQUIRE(!parts.host.empty() && !parts.target.empty());

  std::string memory(3 * size + 64, '\0');
  ws::output out{memory};
  REQUIRE(ws::write_host(out, parts));
  const std::string host{out.written()};
  REQUIRE(ws::is_valid_authority(host));
  out.clear();
  REQUIRE(ws::write_target(out, parts));
  const std::string target{out.written()};
  out.clear();
  REQUIRE(ws::write_basic_credentials(out, parts.userinfo));

  const std::string again_text = std::string{parts.secure ? "wss" : "ws"} + "://" + host + target;
  const ws::uri_result again = ws::parse_uri(again_text);
  REQUIRE(again.why == ws::error::none);
  REQUIRE(again.value.host == parts.host && again.value.port == parts.port && again.value.target == target);
  REQUIRE(again.value.secure == parts.secure && again.value.ipv6 == parts.ipv6 && again.value.userinfo.empty());

  ws::options options;
  ws::masking_keys keys{&same_key, nullptr};
  ws::session client{ws::role::client, options, &keys};
  ws::session server{ws::role::server, options};
  REQUIRE(client.connect({.host = host, .target = target}) == ws::error::none);
  std::string request{client.output()};
  std::span<char> bytes{request};
  const ws::event ev = server.next(bytes);
  // A long one may pass the limits of the head.
  if (request.size() < 8000) REQUIRE(ev.type == ws::event_type::request && ev.request().target() == target);
  return 0;
}
