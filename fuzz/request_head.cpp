// The head of a request: two bytes of choices, and then the head and what follows. Scanned the same however it is cut; a server
// session and `upgrade`, for a head that somebody else parsed, say the same of it; memory and
// output stay in proportion.
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>

#include "fuzz.hpp"
#include "head.hpp"

namespace ws = wscodec;

namespace {

struct verdict {
  bool asked = false;
  ws::error why = ws::error::none;
  std::uint64_t offset = 0;
  std::string answer;
  bool operator==(const verdict&) const = default;
};

verdict serve(std::string_view text, const ws::options& options, fuzz::splits pieces) {
  fuzz::counted_memory memory;
  verdict v;
  {
    ws::session session{ws::role::server, options, nullptr, &memory.hook};
    for (std::size_t at = 0; at < text.size() && !v.asked;) {
      const std::size_t n = pieces.next(text.size() - at);
      const fuzz::exact piece{text.substr(at, n)};
      std::span<char> bytes = piece.bytes();
      while (const ws::event ev = session.next(bytes)) {
        REQUIRE(!v.asked && v.why == ws::error::none);
        v.why = session.why();
        REQUIRE(ev.type == (v.why == ws::error::none ? ws::event_type::request : ws::event_type::failed));
        if (ev.type == ws::event_type::failed) continue;
        v.asked = true;
        REQUIRE(fuzz::inside(ev.request().target(), ev.payload) && !ev.request().path().empty());
        REQUIRE(session.accept() == ws::error::none);
        break;
      }
      at += n;
      REQUIRE(memory.live <= 2 * std::size_t{options.head.max_head} + 4096);
    }
    REQUIRE(v.why == session.why());
    v.offset = v.why != ws::error::none ? session.offset() : 0;
    v.answer = session.output();
    REQUIRE(v.answer.size() <= 512);
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
  if ((a & 8U) != 0) options.head.max_request_line = 16 + (a >> 4);
  const ws::deflate_options deflate;
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  options.extension = &hook;
  const std::string_view text = input.rest();

  const std::size_t found = fuzz::scanned(text, ws::head_kind::request, options.head, seed);
  const verdict whole = serve(text, options, {fuzz::splits::how::whole, 0});
  REQUIRE(whole == serve(text, options, {fuzz::splits::how::bytes, 0}));
  REQUIRE(whole == serve(text, options, {fuzz::splits::how::random, seed}));
  REQUIRE(!whole.asked || found != 0);
  if (found == 0) return 0;

  const fuzz::exact head{text.substr(0, found)};
  const std::vector<ws::field> fields = fuzz::fields_of(head.view(), ws::head_kind::request, options.head);
  // The request line is the session's to judge; of GET and HTTP/1.1 both judge the fields alone.
  const ws::request_view view{head.view()};
  if (view.method() != "GET" || !view.start_line().ends_with("HTTP/1.1") || view.target().find("://") != std::string_view::npos) return 0;
  ws::upgraded answer;
  const ws::error why = ws::upgrade(fields, options, "", answer);
  REQUIRE((why == ws::error::none) == whole.asked);
  REQUIRE(whole.asked || why == whole.why);
  if (!whole.asked) return 0;
  // The same answer, and its head is a good one.
  std::string line = "Sec-WebSocket-Accept: ";
  for (const ws::field& f : answer.fields())
    if (f.name == "Sec-WebSocket-Accept") line += f.value;
  REQUIRE(whole.answer.find(line + "\r\n") != std::string::npos);
  ws::head_progress progress;
  REQUIRE(ws::scan_head(whole.answer, progress, ws::head_kind::response, {}).size == whole.answer.size());
  return 0;
}
