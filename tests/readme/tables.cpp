// Prints the README's tables out of the headers: tests/readme/tables errors|events|closing|limits|disagreements
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <wscodec.hpp>

#include "../differential/disagreements.hpp"

namespace ws = wscodec;

namespace {

using text = std::string;

void row(std::initializer_list<text> cells) {
  text line = "|";
  for (const text& cell : cells) line += cell.empty() ? " |" : " " + cell + " |";
  std::puts(line.c_str());
}

text code(std::string_view name) { return "`" + text(name) + "`"; }

// ---- errors ----

void errors() {
  row({"error", "what happened", "answer"});
  std::puts("|---|---|---|");
  for (const auto& [e, words] : ws::detail::explanations)
    if (e != ws::error::none)
      row({code(words.name), text(words.what), words.answer != 0 ? std::to_string(words.answer) : ""});
}

// ---- events: only their names; the README says what to do at each ----

std::string_view name_of(ws::event_type type) {
  switch (type) {
    case ws::event_type::none: return "";
    case ws::event_type::request: return "request";
    case ws::event_type::open: return "open";
    case ws::event_type::rejected: return "rejected";
    case ws::event_type::body: return "body";
    case ws::event_type::data: return "data";
    case ws::event_type::message: return "message";
    case ws::event_type::ping: return "ping";
    case ws::event_type::pong: return "pong";
    case ws::event_type::close: return "close";
    case ws::event_type::failed: return "failed";
  }
  return "";
}

void events() {
  for (int i = 1; i < 256; ++i)
    if (const std::string_view name = name_of(static_cast<ws::event_type>(i)); !name.empty()) std::puts(code(name).c_str());
}

// ---- closing ----

std::string_view name_of(ws::close_state state) {
  switch (state) {
    case ws::close_state::open: return "open";
    case ws::close_state::closing: return "closing";
    case ws::close_state::replying: return "replying";
    case ws::close_state::closed: return "closed";
    case ws::close_state::failing: return "failing";
    case ws::close_state::failed: return "failed";
    case ws::close_state::lost: return "lost";
  }
  return "";
}

void closing() {
  row({"`state()`", "frames are read", "our Close is sent", "the peer's Close comes", "a rule is broken",
       "… that the peer cannot be told of", "the stream ends"});
  std::puts("|---|---|---|---|---|---|---|");
  for (std::size_t s = 0; s < ws::detail::close_states; ++s) {
    const auto state = static_cast<ws::close_state>(s);
    const auto after = [&](ws::close_step step) {
      const ws::close_state then = ws::next_state(state, step);
      return then == state ? text() : code(name_of(then));
    };
    row({code(name_of(state)), ws::reads(state) ? "yes" : "no", after(ws::close_step::close_sent),
         after(ws::close_step::close_received), after(ws::close_step::broken), after(ws::close_step::given_up),
         after(ws::close_step::ended)});
  }
}

// ---- limits ----

text bytes(std::uint64_t n) {
  if (n >= 1024 * 1024 && n % (1024 * 1024) == 0) return std::to_string(n / (1024 * 1024)) + " MiB";
  if (n >= 10 * 1024 && n % 1024 == 0) return std::to_string(n / 1024) + " KiB";
  return std::to_string(n);
}
text time(std::uint64_t us) {
  if (us == 0) return "off";
  return us % 1'000'000 == 0 ? std::to_string(us / 1'000'000) + " s" : std::to_string(us) + " µs";
}
text flag(bool on) { return on ? "on" : "off"; }

void limits() {
  const ws::options options;
  // Every member by its name: one more or less does not compile, so that none is left out below.
  const auto& [max_message, max_fragments, head, max_response_body, max_discarded, subprotocols, require_subprotocol,
               pass_plain_requests, allowed_origins, allow_null_origin, allow_absent_origin, extension, auto_pong,
               auto_close_reply, pong_after_close, discard_after_close, trust_text, cut_long_reason, trace, handshake_timeout,
               close_timeout, ping_interval, ping_jitter, pong_timeout, idle_timeout, write_timeout, high_water, low_water] = options;
  const auto& [max_head, max_request_line, max_fields, allow_bare_line_feed] = head;

  row({"option", "default", "what it is for"});
  std::puts("|---|---|---|");
#define OPTION(name, shown, words) row({code(#name), shown(name), words})
#define HEAD(name, shown, words) row({code("head." #name), shown(name), words})
  OPTION(max_message, bytes, "the largest message to receive, all its fragments together");
  OPTION(max_fragments, std::to_string, "the most fragments of one message");
  HEAD(max_head, bytes, "the largest head of a handshake");
  HEAD(max_request_line, bytes, "the longest first line of a request");
  HEAD(max_fields, std::to_string, "the most header fields");
  HEAD(allow_bare_line_feed, flag, "lines of a head may end without CR");
  OPTION(max_response_body, bytes, "client: how much of a rejection's body is given");
  OPTION(max_discarded, bytes, "what may still arrive after the end before the transport is dropped");
  row({"`subprotocols`", subprotocols.empty() ? "none" : "", "client: what to offer, the best first; server: those that `subprotocol()` can tell"});
  OPTION(require_subprotocol, flag, "client: fails when something was offered and nothing selected, as browsers do");
  OPTION(pass_plain_requests, flag, "server: requests that ask for no WebSocket are given to the caller");
  row({"`allowed_origins`", allowed_origins.empty() ? "all" : "", "server: the pages that may connect; others are rejected"});
  OPTION(allow_null_origin, flag, "server, with such a list: `Origin: null` may connect");
  OPTION(allow_absent_origin, flag, "server, with such a list: programs, which send no Origin, may connect");
  row({"`extension`", extension == nullptr ? "none" : "", "the hook that negotiates permessage-deflate"});
  OPTION(auto_pong, flag, "pings are answered");
  OPTION(auto_close_reply, flag, "the peer's Close is answered");
  OPTION(pong_after_close, flag, "pings are answered even after our own Close");
  OPTION(discard_after_close, flag, "messages that arrive after our own Close are not given out");
  OPTION(trust_text, flag, "text to send is not checked for UTF-8");
  OPTION(cut_long_reason, flag, "a close reason over 123 bytes is cut rather than refused");
  row({"`trace`", trace == nullptr ? "none" : "", "a hook that is called for each frame"});
  OPTION(handshake_timeout, time, "for the whole opening handshake");
  OPTION(close_timeout, time, "from our Close to the peer's");
  OPTION(ping_interval, time, "of silence, then a ping is sent");
  OPTION(ping_jitter, time, "by up to so much earlier, at random, if `set_jitter` was called");
  OPTION(pong_timeout, time, "for the answer to our ping");
  OPTION(idle_timeout, time, "without receiving anything");
  OPTION(write_timeout, time, "in which the transport takes no output at all");
  OPTION(high_water, bytes, "of queued output: `backed_up()` from here …");
  OPTION(low_water, bytes, "… down to here");
#undef OPTION
#undef HEAD
}

// ---- disagreements: those about messages and closing where we are right ----

void disagreements() {
  row({"rule", "what it does otherwise", "who", "source"});
  std::puts("|---|---|---|---|");
  for (const differential::row& r : differential::rows) {
    if (r.who_is_right != differential::right::we || r.rule[0] == 'H' || r.rule[0] == 'C') continue;
    text who;
    for (const differential::peer p : r.who) who += (who.empty() ? "" : ", ") + text(differential::peer_names[static_cast<int>(p)]);
    row({text(r.rule), text(r.words), who, text(r.source)});
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view which = argc == 2 ? argv[1] : "";
  if (which == "errors") return errors(), 0;
  if (which == "events") return events(), 0;
  if (which == "closing") return closing(), 0;
  if (which == "limits") return limits(), 0;
  if (which == "disagreements") return disagreements(), 0;
  std::fputs("tables errors|events|closing|limits|disagreements\n", stderr);
  return 2;
}
