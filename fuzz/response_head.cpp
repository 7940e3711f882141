// The head of a response: two bytes of choices, and then the head and what follows. Scanned the same however it is cut, and a
// client that asked says the same of it; a key of its own is known, so that good answers can be found.
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <wscodec.hpp>

#include "fuzz.hpp"
#include "head.hpp"

namespace ws = wscodec;

namespace {

bool same_key(void*, char* to, std::size_t n) {
  std::memset(to, 'a', n);
  return true;
}

struct verdict {
  std::string events;
  ws::error why = ws::error::none;
  std::uint64_t offset = 0;
  std::uint32_t agreement = 0;
  std::string subprotocol;
  bool operator==(const verdict&) const = default;
};

verdict ask(std::string_view text, const ws::options& options, fuzz::splits pieces) {
  fuzz::counted_memory memory;
  verdict v;
  {
    ws::masking_keys keys{&same_key, nullptr};
    ws::session session{ws::role::client, options, &keys, &memory.hook};
    REQUIRE(session.connect({.host = "example.org"}) == ws::error::none);
    const std::size_t asked = session.output().size();
    std::string body;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t n = pieces.next(text.size() - at);
      const fuzz::exact piece{text.substr(at, n)};
      std::span<char> bytes = piece.bytes();
      fuzz::feed(session, bytes, [&](const ws::event& ev) {
        if (ev.type == ws::event_type::open) {
          v.events += "open ";
          REQUIRE(ev.response().status() == 101);
        } else if (ev.type == ws::event_type::rejected) {
          v.events += "rejected " + std::to_string(ev.response().status()) + " ";
          REQUIRE(ev.response().status() >= 200 && ev.response().status() != 101);
        } else if (ev.type == ws::event_type::body) {
          body += ev.payload;
          if (ev.last) v.events += "end ";
        } else if (ev.type == ws::event_type::failed) {
          v.events += "failed ";
        }
      });
      at += n;
      REQUIRE(session.output().size() <= asked + text.size() + 64);
      REQUIRE(memory.live <= 2 * std::size_t{options.head.max_head} + 8192 + 4 * text.size());
    }
    REQUIRE(body.size() <= options.max_response_body);
    v.events += body;
    v.why = session.why();
    v.offset = v.why != ws::error::none ? session.offset() : 0;
    v.agreement = session.agreed().agreement;
    v.subprotocol = session.subprotocol();
  }
  REQUIRE(memory.live == 0);
  return v;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  const unsigned a = input.byte();
  const std::uint32_t seed = input.byte() * 2654435761U;
  ws::options options;
  options.head.allow_bare_line_feed = (a & 1U) != 0;
  if ((a & 2U) != 0) options.head.max_head = 200 + (a >> 4) * 20;
  if ((a & 4U) != 0) options.head.max_fields = a >> 4;
  const std::string_view offered[] = {"chat.v2", "chat.v1"};
  if ((a & 8U) != 0) options.subprotocols = offered;
  const ws::deflate_options deflate;
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  if ((a & 16U) != 0) options.extension = &hook;
  options.max_response_body = 64;
  const std::string_view text = input.rest();

  const std::size_t found = fuzz::scanned(text, ws::head_kind::response, options.head, seed);
  if (found != 0) {
    const fuzz::exact head{text.substr(0, found)};
    (void)fuzz::fields_of(head.view(), ws::head_kind::response, options.head);
    const int status = ws::response_view{head.view()}.status();
    REQUIRE(status >= 100 && status <= 999);
  }
  const verdict whole = ask(text, options, {fuzz::splits::how::whole, 0});
  REQUIRE(whole == ask(text, options, {fuzz::splits::how::bytes, 0}));
  REQUIRE(whole == ask(text, options, {fuzz::splits::how::random, seed}));
  REQUIRE(whole.agreement == 0 || options.extension != nullptr);
  REQUIRE(whole.subprotocol.empty() || !options.subprotocols.empty());
  return 0;
}
