// Where the peers do otherwise than we do, and why: a disagreement that no row explains is a failure of the test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "facts.hpp"
#include "outcome.hpp"
#include "wscodec.hpp"

namespace differential {

enum class peer : std::uint8_t { wslay, beast, websocketpp, wsproto, npm_ws };
inline constexpr std::size_t n_peers = 5;
inline constexpr const char* peer_names[n_peers] = {"wslay", "Beast", "websocketpp", "wsproto", "ws"};

using enum ws::error;

/// One disagreement.
struct met {
  peer who;
  kind what;
  std::string_view input;
  const our_outcome& us;
  const outcome& them;

  bool same_log() const { return us.log == them.log; }
  /// It gave what we gave, and perhaps more.
  bool went_on() const { return them.log.compare(0, us.log.size(), us.log) == 0; }
  bool why(std::initializer_list<ws::error> some) const {
    return std::find(some.begin(), some.end(), us.why) != some.end();
  }
  bool failed(unsigned code) const { return them.end == verdict::failed && them.code == code; }
  bool waits() const { return them.end == verdict::waits; }
  bool accepts() const { return them.end == verdict::accepted; }
  /// We reject for one of these, it accepts; or it still waits for more.
  bool passes(std::initializer_list<ws::error> some) const { return why(some) && accepts(); }
  bool awaits(std::initializer_list<ws::error> some) const { return why(some) && waits(); }
  std::vector<std::string_view> fields(std::string_view name) const { return values_of(input, name); }
  bool rejects() const { return us.end == verdict::accepted && them.end == verdict::rejected; }
  place broken() const { return frame_at(input, us.offset); }
  inflated inflates() const { return inflate_all(input); }
  /// The same up to the end of the frame that we failed in.
  inflated inflates_with() const {
    const place p = frame_at(input, us.offset - 1);
    return inflate_all(input.substr(0, p.has_all ? p.end : input.size()));
  }
  std::string_view more() const { return std::string_view{them.log}.substr(went_on() ? us.log.size() : 0); }
  /// Of the peer's good Close.
  unsigned close_code() const {
    return us.end == verdict::closed ? static_cast<unsigned>(number(us.log, us.before_close + 5, 2)) : 0U;
  }
  /// What we gave but for the last item, the Close.
  std::string_view before_close() const { return std::string_view{us.log}.substr(0, us.before_close); }
};

/// Of a handshake Beast tells no subprotocols: there only the accept value is compared.
inline bool agrees(const met& m) {
  if (m.us.end != m.them.end || m.us.code != m.them.code) return false;
  if (m.who != peer::beast || !is_handshake(m.what)) return m.same_log();
  return m.us.log.compare(0, m.them.log.size(), m.them.log) == 0;
}

/// It begins with a response that is not the last one.
inline bool is_interim(std::string_view text) {
  return text.size() > 12 && text[9] == '1' && text.substr(9, 3) != "101";
}

/// Each value is a list of tokens, perhaps with empty members.
inline bool are_tokens(const std::vector<std::string_view>& values) {
  for (std::string_view value : values) {
    while (!value.empty()) {
      const std::size_t comma = std::min(value.find(','), value.size());
      std::string_view member = value.substr(0, comma);
      value.remove_prefix(std::min(comma + 1, value.size()));
      member.remove_prefix(std::min(member.find_first_not_of(" \t"), member.size()));
      member = member.substr(0, member.find_last_not_of(" \t") + 1);
      for (const char c : member)
        if (c <= ' ' || std::string_view{"\"()/:;<=>?@[\\]{}\x7f"}.find(c) != std::string_view::npos) return false;
    }
  }
  return true;
}

/// One of the values, which lie in their head.
inline bool has_tab_behind(const std::vector<std::string_view>& values) {
  for (const std::string_view v : values)
    for (const char* at = v.data() + v.size(); !v.empty() && *at != '\r' && *at != '\n'; ++at)
      if (*at == '\t') return true;
  return false;
}

inline bool head_error(const met& m) {
  return m.why({length_not_minimal, length_top_bit, mask_missing, mask_present, rsv1_unexpected, rsv2_set, rsv3_set,
                opcode_reserved, control_fragmented, control_too_long, continuation_unexpected, message_interrupted,
                message_too_big, too_many_fragments});
}

inline bool no_messages(std::string_view log) {
  for (; log.size() >= 5; log.remove_prefix(5 + number(log, 1, 4)))
    if (log[0] == 't' || log[0] == 'b') return false;
  return true;
}

/// Up to the end of the first `n` messages.
inline bool same_messages(std::string_view a, std::string_view b, std::size_t n) {
  std::size_t at = 0;
  for (; n != 0 && at + 5 <= a.size(); at += 5 + number(a, at + 1, 4)) n -= a[at] == 't' || a[at] == 'b' ? 1U : 0U;
  return a.substr(0, at) == b.substr(0, at);
}

/// A text that would be good if it went on.
inline bool begins_with_cut_text(std::string_view log) {
  if (log.substr(0, 1) != "t") return false;
  std::uint8_t state = 0;
  const std::string_view text = log.substr(5, number(log, 1, 4));
  return ws::utf8_check(text.data(), text.size(), state) == text.size() && state != 0;
}

inline bool ends_in_surrogate(std::string_view text) {
  return text.size() >= 2 && text[text.size() - 2] == '\xed' && (text.back() & 0xE0) == 0xA0;
}

/// Who is right: we, where the peer does what the RFC forbids or does not do what it asks for; both, where it leaves a
/// choice, or where only the moment differs.
enum class right : std::uint8_t { we, both };

struct row {
  std::initializer_list<peer> who;
  std::string_view rule;  // of the rule table
  right who_is_right;
  std::string_view source;  // where it is written
  std::string_view words;   // what the peer does
  bool (*applies)(const met&);

  bool is_of(peer p) const { return std::find(who.begin(), who.end(), p) != who.end(); }
};

using enum peer;
using enum right;

// The first that applies counts.
// clang-format off
inline const row rows[] = {
    // ---- frames
    {{wslay, beast, websocketpp, wsproto, npm_ws}, "F05", both, "RFC 6455 5.2", "looks at a frame's head when all of it has come",
     [](const met& m) {
       const place p = m.broken();
       return head_error(m) && m.waits() && m.same_log() && (!p.has_head || (m.who == wslay && p.rest.size() == p.after_key));
     }},
    {{wslay}, "K14", both, "RFC 6455 7.1.7", "fails a bad head with a Close that has no code",
     [](const met& m) { return head_error(m) && m.failed(1005) && m.same_log(); }},
    {{npm_ws}, "F01", we, "RFC 6455 5.2", "takes a length that is not in its shortest form",
     [](const met& m) { return m.why({length_not_minimal}) && m.went_on(); }},
    {{websocketpp}, "F01", we, "RFC 6455 7.4.1", "fails a length that is not in its shortest form with 1011",
     [](const met& m) { return m.why({length_not_minimal}) && m.failed(1011) && m.same_log(); }},
    {{beast, websocketpp, npm_ws}, "F02", both, "RFC 6455 5.2", "fails a length with the top bit set as one that is too large, 1009",
     [](const met& m) { return m.why({length_top_bit}) && m.failed(1009) && m.same_log(); }},
    {{websocketpp}, "F03", we, "RFC 6455 5.2", "adds a length near 2^64 to what the message has, and so takes it for a small one",
     [](const met& m) { return m.why({length_top_bit}) && m.same_log() && m.broken().first % 16 == 0 && (m.waits() || m.failed(1007) || m.failed(1005)); }},
    {{npm_ws}, "F18", both, "RFC 6455 10.4", "refuses a length that is too large before the masking key has come",
     [](const met& m) { return m.us.end == verdict::waits && m.failed(1009) && m.same_log() && !frame_at(m.input, m.input.size()).has_head; }},
    {{wsproto}, "F11", both, "RFC 6455 5.4", "looks at the order of fragments when payload has come",
     [](const met& m) {
       const place p = m.broken();
       return m.why({continuation_unexpected, message_interrupted}) && m.waits() && m.same_log() && p.rest.size() == p.after_key;
     }},
    {{wsproto}, "F15", both, "RFC 6455 8.1", "waits for the third byte of a surrogate",
     [](const met& m) {
       return m.why({text_not_utf8}) && m.went_on() && no_messages(m.more()) &&
              (ends_in_surrogate(message_until(m.input, m.broken())) || (is_deflate(m.what) && ends_in_surrogate(m.inflates_with().last)));
     }},
    {{wsproto}, "F18", both, "RFC 6455 10.4", "has no limit for messages", [](const met& m) { return m.why({message_too_big}) && m.went_on(); }},
    {{npm_ws}, "F15", both, "RFC 6455 8.1", "looks at text when the message is complete, not before something else is wrong",
     [](const met& m) { return m.why({text_not_utf8}) && m.went_on() && no_messages(m.more()); }},
    {{beast, websocketpp}, "F16", we, "RFC 6455 8.1", "may take a text that ends in the middle of a code point",
     [](const met& m) { return m.why({text_not_utf8}) && m.went_on() && begins_with_cut_text(m.more()); }},
    {{wslay, beast, wsproto}, "K03", we, "IANA's close codes", "does not know the close codes 1012 to 1014",
     [](const met& m) { return m.close_code() >= 1012 && m.close_code() <= 1014 && m.failed(1002) && m.before_close() == m.them.log; }},
    {{beast}, "K04", both, "RFC 6455 7.4.2", "takes close codes from 5000 on",
     [](const met& m) {
       return m.why({close_code_invalid}) && m.went_on() && m.more().substr(0, 1) == "c" && number(m.more(), 5, 2) >= 5000;
     }},
    {{npm_ws}, "K02", both, "RFC 6455 5.5.1", "refuses a Close with a payload of one byte before that has come",
     [](const met& m) {
       const place p = frame_at(m.input, m.input.size());
       return m.us.end == verdict::waits && m.failed(1002) && m.same_log() && p.first == 0x88 && p.rest.size() >= 2 && (p.rest[1] & 0x7F) == 1;
     }},
    {{wslay}, "K02", we, "RFC 6455 5.5.1", "takes a Close with a payload of one byte",
     [](const met& m) { return m.why({close_payload_of_one_byte}) && m.went_on() && m.more().substr(0, 1) == "c"; }},
    {{wslay}, "K06", both, "RFC 6455 5.5.1", "looks at a close reason before the code, and before the Close is complete",
     [](const met& m) {
       return m.failed(1007) && m.same_log() &&
              (m.why({close_code_invalid}) || (m.us.end == verdict::waits && frame_at(m.input, m.input.size()).first == 0x88));
     }},
    {{beast, websocketpp, wsproto}, "K06", both, "RFC 6455 7.4.1", "fails a close reason that is not UTF-8 with 1002",
     [](const met& m) { return m.why({close_reason_not_utf8}) && m.failed(1002) && m.same_log(); }},
    {{websocketpp}, "K09", we, "RFC 6455 5.5.1", "goes on parsing after a Close, so that what follows takes its place",
     [](const met& m) {
       const bool is_close = m.us.end == verdict::closed || m.why({close_code_invalid, close_payload_of_one_byte, close_reason_not_utf8});
       const place p = m.us.end == verdict::closed ? frame_at(m.input, m.us.offset) : m.broken();
       const std::size_t end = m.us.end == verdict::closed ? m.us.offset : m.input.size() - p.rest.size() + p.after_key;
       return is_close && m.input.size() > end && (m.us.end == verdict::closed ? m.them.log.find(m.before_close()) == 0 : m.went_on());
     }},

    // ---- compressed
    {{beast, websocketpp, wsproto, npm_ws}, "D04", we, "RFC 7692 7.2.3.4", "does not go on after a block with BFINAL, or forgets the window",
     [](const met& m) {
       if (!is_deflate(m.what)) return false;
       const inflated all = m.inflates();
       return all.final_block && same_messages(m.us.log, m.them.log, all.before_final);
     }},
    {{beast, websocketpp, wsproto, npm_ws}, "D03", both, "RFC 7692 7.2.3.6", "takes a compressed message without any payload for an empty one",
     [](const met& m) { return m.why({deflate_data_corrupt}) && m.went_on() && m.inflates_with().empty; }},
    {{beast, websocketpp, wsproto, npm_ws}, "D12", both, "RFC 7692 7.2.2", "takes a message whose last block is not complete",
     [](const met& m) { return m.why({deflate_data_corrupt}) && m.went_on() && !m.inflates_with().corrupt; }},
    {{beast}, "D01", we, "RFC 7692 7.2.2", "puts the tail on again for as long as that brings something out",
     [](const met& m) {
       return m.why({deflate_data_corrupt}) && m.failed(1009) && m.same_log() && (m.inflates_with().corrupt || m.inflates_with().open_block);
     }},
    {{npm_ws}, "D12", both, "RFC 7692 7.2.2", "inflates a frame when all of it has come",
     [](const met& m) {
       return is_deflate(m.what) && m.why({deflate_data_corrupt, message_too_big}) && m.waits() && m.same_log() &&
              !frame_at(m.input, m.us.offset - 1).has_all;
     }},
    {{beast, websocketpp}, "D12", both, "RFC 6455 7.1.7", "fails DEFLATE data that is corrupt without a code",
     [](const met& m) { return m.why({deflate_data_corrupt}) && m.same_log() && m.failed(m.who == beast ? 0 : 1005); }},
    {{beast, websocketpp}, "D12", both, "RFC 6455 8.1", "finds DEFLATE data corrupt before it looks at the text that it gave",
     [](const met& m) {
       return is_deflate(m.what) && m.why({text_not_utf8}) && m.same_log() && m.failed(m.who == beast ? 0 : 1005) &&
              (m.inflates_with().corrupt || m.inflates_with().open_block);
     }},
    {{beast}, "F18", both, "RFC 6455 10.4", "limits what a compressed message inflates to, not its compressed bytes",
     [](const met& m) {
       return is_deflate(m.what) && m.why({message_too_big, length_top_bit}) && m.same_log() && (m.waits() || m.failed(0) || m.failed(1007));
     }},
    {{beast}, "F15", both, "RFC 6455 8.1", "looks at compressed text when it has inflated more of it",
     [](const met& m) { return is_deflate(m.what) && m.why({text_not_utf8}) && (m.waits() || m.failed(1002)) && m.same_log() && m.inflates_with().unfinished; }},
    {{websocketpp}, "F15", we, "RFC 6455 8.1", "does not look at text that the tail of a compressed message brings out",
     [](const met& m) { return is_deflate(m.what) && m.why({text_not_utf8}) && m.went_on() && m.more().substr(0, 1) == "t"; }},
    {{websocketpp, npm_ws}, "F18", both, "RFC 6455 10.4", "limits the compressed bytes of a message as it does those that they inflate to",
     [](const met& m) {
       if (!is_deflate(m.what) || !m.failed(1009)) return false;
       const std::uint64_t at = m.us.end == verdict::waits ? m.input.size() : m.us.offset - 1;
       if (m.same_log() && m.why({none, deflate_data_corrupt, text_not_utf8})) return frame_at(m.input, at).length > max_message;
       return m.us.log.size() > m.them.log.size() && m.us.log.find(m.them.log) == 0 &&
              number(m.us.log, m.them.log.size() + 1, 4) > max_message - 64;
     }},
    {{websocketpp}, "D13", both, "RFC 6455 10.4", "limits the compressed bytes of a message, not what they inflate to",
     [](const met& m) { return is_deflate(m.what) && m.why({message_too_big}) && m.went_on() && m.inflates_with().largest > max_message; }},
    {{websocketpp}, "F07", we, "RFC 7692 6.1", "takes RSV1 on a continuation",
     [](const met& m) { return is_deflate(m.what) && m.why({rsv1_unexpected}) && m.went_on() && m.broken().first % 16 == 0; }},
    {{wsproto}, "D14", we, "RFC 6455 5.4", "gives a compressed message wrongly, or fails it, when a control frame came inside it",
     [](const met& m) {
       if (!is_deflate(m.what)) return false;
       const inflated all = m.inflates();
       return all.interleaved && same_messages(m.us.log, m.them.log, all.before_interleaved);
     }},
    {{wsproto}, "F11", both, "RFC 6455 5.4", "inflates before it sees that a message begins inside another",
     [](const met& m) { return is_deflate(m.what) && m.why({message_interrupted}) && m.same_log() && m.failed(1007); }},

    // ---- heads: the peers are laxer
    {{websocketpp, wsproto}, "H22", both, "RFC 9112 2.2", "takes bare CR or LF for an end of line, or goes on reading behind them",
     [](const met& m) { return m.passes({bare_line_feed, bare_carriage_return}) || m.awaits({bare_line_feed, bare_carriage_return}); }},
    {{beast, websocketpp, wsproto}, "H23", both, "RFC 9112 5.2", "takes folded lines",
     [](const met& m) { return m.passes({line_folding}) || m.awaits({line_folding}); }},
    {{websocketpp}, "H24", we, "RFC 9112 5.1", "takes blanks before the colon, names that are no tokens, and lines without a colon",
     [](const met& m) { return m.passes({field_name_invalid}); }},
    {{websocketpp, wsproto}, "H25", we, "RFC 9110 5.5", "takes control bytes in field values",
     [](const met& m) { return m.passes({field_value_invalid}); }},
    {{websocketpp, npm_ws}, "H29", we, "RFC 9112 3", "takes a request line that is not one",
     [](const met& m) { return m.passes({request_line_invalid}); }},
    {{beast, websocketpp, wsproto, npm_ws}, "H29", we, "RFC 9112 3.2", "takes request targets that are none",
     [](const met& m) { return m.passes({target_invalid}); }},
    {{wsproto, npm_ws}, "H02", we, "RFC 6455 4.2.1", "takes a request of another HTTP than 1.1",
     [](const met& m) { return m.passes({http_too_old, http_major_unsupported}); }},
    {{npm_ws}, "H06", we, "RFC 6455 4.2.1", "takes a request without Host",
     [](const met& m) { return m.passes({host_missing}); }},
    {{beast, websocketpp, npm_ws}, "H06", we, "RFC 9112 3.2", "takes several Host fields",
     [](const met& m) { return m.passes({host_doubled}); }},
    {{beast, websocketpp, wsproto, npm_ws}, "H06", we, "RFC 9112 3.2", "takes a Host that is none",
     [](const met& m) { return m.passes({host_invalid}); }},
    {{beast, websocketpp, wsproto, npm_ws}, "H19", both, "RFC 9112 6", "takes a request that announces a body",
     [](const met& m) { return m.passes({request_has_body}); }},
    {{npm_ws}, "H19", both, "RFC 9112 6.3", "refuses several Content-Length fields that say the same",
     [](const met& m) { return m.rejects() && m.what == kind::request && m.fields("content-length").size() > 1; }},
    {{beast, websocketpp}, "H19", both, "RFC 9112 6", "waits for the body of a request",
     [](const met& m) {
       return m.what == kind::request && m.us.end == verdict::rejected && m.waits() &&
              (!m.fields("content-length").empty() || !m.fields("transfer-encoding").empty());
     }},
    {{beast, websocketpp}, "H04b", we, "RFC 9110 7.8", "finds websocket in `websocket/13` or `websocket websocket`, and upgrade in the like",
     [](const met& m) { return m.passes({upgrade_without_websocket, connection_without_upgrade}); }},
    {{beast, websocketpp, wsproto}, "H10", we, "RFC 6455 11.3.5", "takes several Sec-WebSocket-Version fields",
     [](const met& m) { return m.passes({version_doubled}); }},
    {{websocketpp, npm_ws}, "H10", we, "RFC 6455 4.2.1", "takes versions that read as the number 13, or 8",
     [](const met& m) { return m.passes({version_unsupported}); }},
    {{beast, websocketpp, wsproto}, "H07", we, "RFC 6455 11.3.1", "takes several Sec-WebSocket-Key fields",
     [](const met& m) { return m.passes({key_doubled}); }},
    {{beast, websocketpp, wsproto}, "H07", we, "RFC 6455 4.2.1", "takes keys that are not 16 bytes in base64",
     [](const met& m) { return m.passes({key_invalid}); }},
    {{beast, websocketpp, wsproto, npm_ws}, "H16b", both, "RFC 6455 9.1", "takes an extension list that breaks its grammar",
     [](const met& m) { return m.passes({extensions_malformed}); }},
    {{beast, websocketpp, wsproto, npm_ws}, "H32", both, "RFC 9110 5.6.1", "takes a list without a member",
     [](const met& m) { return m.passes({list_empty}); }},
    {{beast, websocketpp, wsproto}, "H13", both, "RFC 6455 4.1", "takes subprotocols that are no tokens, or are there twice",
     [](const met& m) { return m.passes({subprotocol_invalid, subprotocol_doubled}); }},
    {{beast, websocketpp, wsproto, npm_ws}, "H30", we, "RFC 6454 7.3", "takes several Origin fields",
     [](const met& m) { return m.passes({origin_doubled}); }},
    {{websocketpp, wsproto, npm_ws}, "C01", we, "RFC 6455 4.1", "takes a 101 of another HTTP than 1.1",
     [](const met& m) { return m.passes({response_http_too_old}); }},
    {{beast, websocketpp, wsproto}, "C01", we, "RFC 6455 4.1", "takes an Upgrade that is not `websocket` alone",
     [](const met& m) { return m.passes({response_upgrade_wrong}); }},
    {{websocketpp}, "C01", we, "RFC 6455 4.1", "finds upgrade inside another token of Connection",
     [](const met& m) { return m.passes({response_connection_wrong}); }},
    {{beast, websocketpp, wsproto}, "C01", we, "RFC 6455 11.3.3", "takes several Sec-WebSocket-Accept fields",
     [](const met& m) { return m.passes({accept_doubled}); }},
    {{beast, websocketpp, wsproto}, "C02", we, "RFC 6455 4.1", "takes several subprotocols, or ones that were not asked for",
     [](const met& m) { return m.passes({several_subprotocols, subprotocol_not_requested}); }},
    {{beast, websocketpp}, "C04", we, "RFC 6455 4.1", "takes extensions that were not asked for",
     [](const met& m) { return m.passes({extension_not_requested}); }},
    {{websocketpp, wsproto, npm_ws}, "C14", we, "RFC 9112 4", "takes a status line that is not one, or skips empty lines before it",
     [](const met& m) { return m.passes({status_line_invalid}) || (m.awaits({status_line_invalid}) && (m.input.substr(0, 2) == "\r\n" || is_interim(m.input))); }},
    {{beast}, "C14", both, "RFC 9110 15", "takes a status under 100 for an answer whose body is to come",
     [](const met& m) { return m.awaits({status_line_invalid}) && m.input.size() > 12 && m.input[9] == '0'; }},
    {{beast}, "C07", both, "RFC 9112 6.3", "waits for the body of a rejecting response",
     [](const met& m) { return m.awaits({handshake_refused}); }},

    // ---- heads: the peers are stricter, or look later or sooner
    {{beast, websocketpp, wsproto, npm_ws}, "H26", both, "RFC 9112 2", "looks at the head, or at a line, when all of it has come",
     [](const met& m) { return is_handshake(m.what) && m.us.end == verdict::rejected && m.waits() && !is_whole_head(m.input); }},
    {{beast, websocketpp, wsproto, npm_ws}, "H26", both, "RFC 9112 2", "looks at a line before all of it has come",
     [](const met& m) { return is_handshake(m.what) && m.us.end == verdict::waits && m.them.end == verdict::rejected && !is_whole_head(m.input); }},
    {{beast, websocketpp, wsproto}, "C06", we, "RFC 9110 15.2", "does not skip interim responses",
     [](const met& m) { return m.what == kind::response && m.us.end == verdict::waits && m.them.end == verdict::rejected && is_interim(m.input); }},
    {{npm_ws}, "C06", both, "RFC 9110 15.2", "refuses an interim response, or what follows it, whose HTTP is broken",
     [](const met& m) { return m.what == kind::response && m.us.end == verdict::waits && m.them.end == verdict::rejected && is_interim(m.input); }},
    {{beast, websocketpp, wsproto}, "H21", both, "RFC 9112 2.2", "does not skip an empty line before the request",
     [](const met& m) { return m.rejects() && m.input.substr(0, 2) == "\r\n"; }},
    {{beast, websocketpp, npm_ws}, "H02", we, "RFC 6455 4.2.1", "refuses HTTP/1.2 and higher",
     [](const met& m) {
       const std::size_t at = m.input.find("HTTP/1.");
       return m.rejects() && at < m.input.find('\n', m.input.find_first_not_of("\r\n")) && m.input.size() > at + 7 && m.input[at + 7] > '1';
     }},
    {{npm_ws}, "H24", we, "RFC 9110 5.5", "keeps a tab behind the value of Connection, Upgrade or Content-Length",
     [](const met& m) {
       return m.rejects() &&
              (has_tab_behind(m.fields("connection")) || has_tab_behind(m.fields("upgrade")) || has_tab_behind(m.fields("content-length")));
     }},
    {{beast, wsproto, npm_ws}, "H03", both, "RFC 9110 5.6.1", "refuses a Connection or Upgrade with a member that is no token",
     [](const met& m) {
       return m.rejects() && m.fields("connection").size() == 1 && m.fields("upgrade").size() == 1 &&
              !(are_tokens(m.fields("connection")) && are_tokens(m.fields("upgrade")));
     }},
    {{beast, wsproto}, "H03", we, "RFC 9110 5.3", "looks at one of several Connection fields",
     [](const met& m) { return m.rejects() && m.fields("connection").size() > 1; }},
    {{beast, wsproto, npm_ws}, "H05", we, "RFC 9110 7.8", "looks at one of several Upgrade fields",
     [](const met& m) { return m.rejects() && m.fields("upgrade").size() > 1; }},
    {{wsproto, npm_ws}, "H05", we, "RFC 6455 4.2.1", "wants Upgrade to be `websocket` alone, without even an empty member of the list",
     [](const met& m) { return m.rejects() && m.fields("upgrade").size() == 1 && m.fields("upgrade")[0].find(',') != std::string_view::npos; }},
    {{websocketpp}, "H12", we, "RFC 9110 5.6.1", "refuses empty members of an extension list",
     [](const met& m) { return m.rejects() && has_empty_member(m.fields("sec-websocket-extensions")); }},
    {{npm_ws}, "H12", we, "RFC 9110 5.6.1", "refuses empty members of a subprotocol list",
     [](const met& m) { return m.rejects() && m.what == kind::request && has_empty_member(m.fields("sec-websocket-protocol")); }},
    {{websocketpp, wsproto}, "H12", we, "RFC 9110 5.6.1", "finds no subprotocol, or an empty one, in a list with empty members",
     [](const met& m) { return m.us.end == verdict::accepted && m.accepts() && m.what == kind::request && has_empty_member(m.fields("sec-websocket-protocol")); }},
    {{beast, websocketpp, wsproto, npm_ws}, "C14", we, "RFC 9112 6.3", "looks at Content-Length and Transfer-Encoding of a 101",
     [](const met& m) { return m.rejects() && m.what == kind::response && (!m.fields("content-length").empty() || !m.fields("transfer-encoding").empty()); }},
    {{beast, websocketpp}, "C05", both, "RFC 9112 4", "wants a space behind the status",
     [](const met& m) { return m.rejects() && m.what == kind::response && m.input.substr(0, 14) == "HTTP/1.1 101\r\n"; }},
    {{npm_ws}, "C03", both, "WHATWG", "wants one of the subprotocols that it offered to be selected",
     [](const met& m) { return m.rejects() && m.what == kind::response && m.us.log == std::string_view{"p\0\0\0\0", 5}; }},
    {{websocketpp}, "C02", we, "RFC 6455 4.1", "does not look at the subprotocol that was selected",
     [](const met& m) { return m.us.end == verdict::accepted && m.accepts() && m.what == kind::response && m.them.log == std::string_view{"p\0\0\0\0", 5}; }},
};
// clang-format on

}  // namespace differential
