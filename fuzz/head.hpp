// What the targets for heads share: a head is scanned whole and in pieces, and what was found good is written and read again.
#ifndef WSCODEC_FUZZ_HEAD_HPP
#define WSCODEC_FUZZ_HEAD_HPP

#include <string>
#include <string_view>
#include <vector>
#include <wscodec/http_head.hpp>

#include "fuzz.hpp"

namespace fuzz {

namespace ws = wscodec;

inline bool inside(std::string_view part, std::string_view text) {
  return part.empty() || (part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size());
}

/// Scans `text` in pieces; the bytes so far are in memory of exactly their size.
inline ws::scanned_head scan(std::string_view text, ws::head_kind kind, const ws::head_limits& limits, splits pieces) {
  ws::head_progress progress;
  ws::scanned_head got{};
  for (std::size_t n = 0; n < text.size() && got.size == 0 && got.why == ws::error::none;) {
    n += pieces.next(text.size() - n);
    const exact so_far{text.substr(0, n)};
    got = ws::scan_head(so_far.view(), progress, kind, limits);
    REQUIRE(progress.at <= n && progress.line <= progress.at + 2);
  }
  return got;
}

/// What the scanner says of the head, however it is cut; its size, or 0.
inline std::size_t scanned(std::string_view text, ws::head_kind kind, const ws::head_limits& limits, std::uint32_t seed) {
  const ws::scanned_head whole = scan(text, kind, limits, splits{splits::how::whole, 0});
  for (const splits::how way : {splits::how::bytes, splits::how::random}) {
    const ws::scanned_head cut = scan(text, kind, limits, splits{way, seed});
    REQUIRE(cut.size == whole.size && cut.why == whole.why && (cut.why == ws::error::none || cut.offset == whole.offset));
  }
  REQUIRE(whole.size <= text.size() && whole.size <= limits.max_head && whole.offset <= text.size());
  REQUIRE(whole.size == 0 || whole.why == ws::error::none);
  return whole.size;
}

/// A good head: its fields lie inside it and are as RFC 9112 wants them; written again they are read again.
inline std::vector<ws::field> fields_of(std::string_view head, ws::head_kind kind, const ws::head_limits& limits) {
  const ws::http_head view{head};
  std::vector<ws::field> fields;
  std::string written{view.start_line()};
  written += "\r\n";
  ws::field f;
  for (ws::field_cursor all = view.fields(); all.next(f);) {
    REQUIRE(inside(f.name, head) && inside(f.value, head) && ws::detail::is_token(f.name));
    REQUIRE(f.value == ws::detail::trim_ows(f.value));
    REQUIRE(f.value.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos);
    fields.push_back(f);
    written.append(f.name).append(": ").append(f.value).append("\r\n");
  }
  written += "\r\n";
  REQUIRE(fields.size() <= limits.max_fields);
  ws::head_limits wider = limits;
  wider.max_head = 1 << 20;  // a space after each colon may be new
  ws::head_progress progress;
  REQUIRE(ws::scan_head(written, progress, kind, wider).size == written.size());
  ws::field_cursor again = ws::http_head{written}.fields();
  for (const ws::field& before : fields) REQUIRE(again.next(f) && f.name == before.name && f.value == before.value);
  REQUIRE(!again.next(f));
  return fields;
}

}  // namespace fuzz

#endif
