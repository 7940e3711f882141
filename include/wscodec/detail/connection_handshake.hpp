// wscodec: layer 6, inside connection: reading the opening handshake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "connection_state.hpp"

WSCODEC_DETAIL_BEGIN

/// Keeps a request's head, or at least its subprotocols, in the scratch until it is decided.
inline bool retain_head(connection_state& s, std::string_view& text) noexcept {
  if (text.data() == s.scratch) {
    s.scratch_used = static_cast<std::uint32_t>(text.size());
    return true;
  }
  if (text.size() <= s.scratch_size) {
    copy_bytes(s.scratch, text.data(), text.size());
    s.scratch_used = static_cast<std::uint32_t>(text.size());
    text = {s.scratch, text.size()};
    return true;
  }
  output kept{{s.scratch, s.scratch_size}};
  writer w{kept};
  w << "-\n";
  field_cursor fields = http_head{text}.fields();
  for (std::string_view value; fields.next("Sec-WebSocket-Protocol", value);) w << "Sec-WebSocket-Protocol:" << value << "\n";
  s.scratch_used = static_cast<std::uint32_t>(kept.size());
  return w.finish() == error::none;
}

inline advanced received_request(connection_state& s, std::string_view text, char* at) noexcept {
  const request_line line = parse_request_line(http_head{text}.start_line());
  const checked_request checked = check_request(&line, http_head{text}.fields(), *s.opt);
  if (checked.why != error::none) return fail(s, checked.why, s.offset, at);
  if (!retain_head(s, text)) return fail(s, error::head_too_large, s.offset, at);
  s.hs.accept = checked.accept;
  s.hs.plain = checked.plain;
  s.agreement = checked.agreement;
  s.phase = phase::deciding;
  return {word_of(event_type::request, opcode::continuation, false, false, false, checked.plain), text.data(),
          text.size(), at};
}

/// RFC 9112 6.3: how long the body of a response is.
inline bool begin_body(connection_state& s, const response_view& head) noexcept {
  s.body = {};
  s.body.kind = body_kind::until_end;
  const int status = head.status();
  field_cursor fields = head.fields();
  std::string_view value;
  const bool bodiless = status == 204 || status == 304;
  bool counted = bodiless;
  bool coded = false;
  bool chunked = false;  // it is the last coding; after any other the body goes on until the end
  list_cursor codings = head.list("Transfer-Encoding");
  while (codings.next(value)) {
    coded = true;
    chunked = same_name(value, "chunked");
  }
  while (!coded && fields.next("Content-Length", value)) {
    std::uint64_t n = 0;
    if (value.empty() || value.size() > 18) return false;
    for (const char c : value) {
      if (c < '0' || c > '9') return false;
      n = n * 10 + static_cast<std::uint64_t>(c - '0');
    }
    if (counted && n != s.body.left && !bodiless) return false;
    s.body.left = n;
    counted = true;
  }
  if (bodiless) s.body.left = 0;
  if (chunked && !bodiless)
    s.body.kind = body_kind::chunk_size;
  else if (counted)
    s.body.kind = body_kind::counted;
  return true;
}

inline advanced received_response(connection_state& s, std::string_view text, char* at, bool& again) noexcept {
  const response_view head{text};
  const int status = head.status();
  if (status < 200 && status != 101) {
    // RFC 9110 15.2: a client must be able to parse interim responses; we skip at most eight (C06).
    if (++s.hs.interim > 8) return fail(s, error::too_many_interim_responses, s.offset, at);
    s.hs.progress = {};
    s.scratch_used = 0;
    again = true;
    return {0, nullptr, 0, at};
  }
  if (status == 101) {
    const checked_response checked = check_response(head.start_line(), head.fields(), s.hs.accept, *s.opt);
    if (checked.why != error::none) return fail(s, checked.why, s.offset, at);
    s.agreement = checked.agreement;
    keep_subprotocol(s, checked.subprotocol);
    start_frames(s);
    return {word_of(event_type::open), text.data(), text.size(), at};
  }
  if (!begin_body(s, head)) return fail(s, error::response_body_malformed, s.offset, at);
  s.phase = phase::body;
  return {word_of(event_type::rejected), text.data(), text.size(), at};
}

/// Ends the rejecting response: nothing more is read.
inline advanced end_body(connection_state& s, char* at) noexcept {
  s.why = error::handshake_refused;
  s.closing = next_state(s.closing, close_step::given_up);
  s.fr = {};
  return {word_of(event_type::body, opcode::continuation, false, true), nullptr, 0, at};
}

/// One piece of the rejecting response's body (C07), counted, chunked or until the end; bounded by max_response_body.
inline advanced read_body(connection_state& s, char* p, std::size_t n) noexcept {
  const char* const begin = p;
  const auto offset = [&] { return s.offset + static_cast<std::uint64_t>(p - begin); };
  for (;;) {
    const std::uint64_t allowed = s.opt->max_response_body - s.body.size;
    const bool data = s.body.kind == body_kind::counted || s.body.kind == body_kind::until_end ||
                      s.body.kind == body_kind::chunk_data;
    if (data && ((s.body.kind == body_kind::counted && s.body.left == 0) || allowed == 0)) {
      s.offset = offset();
      return end_body(s, p);
    }
    const std::size_t left = n - static_cast<std::size_t>(p - begin);
    if (left == 0) {
      s.offset = offset();
      return {0, nullptr, 0, p};
    }
    if (data) {
      std::uint64_t take = left < allowed ? left : allowed;
      if (s.body.kind != body_kind::until_end && take > s.body.left) take = s.body.left;
      if (s.body.kind != body_kind::until_end) s.body.left -= take;
      s.body.size += static_cast<std::uint32_t>(take);
      if (s.body.kind == body_kind::chunk_data && s.body.left == 0) {
        s.body.kind = body_kind::chunk_end;
        s.body.line_size = 0;
      }
      const char* const piece = p;
      p += take;
      s.offset = offset();
      return {word_of(event_type::body), piece, static_cast<std::size_t>(take), p};
    }
    // RFC 9112 7.1: chunk-size [ext] CRLF, data CRLF, ..., 0 CRLF, trailers, CRLF. Lines may be at most 255 bytes.
    const char c = *p++;
    if ((s.body.after_cr && c != '\n') || (c != '\r' && c != '\n' && s.body.kind == body_kind::chunk_end))
      return fail(s, error::response_body_malformed, offset() - 1, p);
    s.body.after_cr = c == '\r';
    // Trailers count against the bound like the body itself: the rest is left out.
    if (s.body.kind == body_kind::trailer && s.body.size++ == s.opt->max_response_body) {
      s.offset = offset();
      return end_body(s, p);
    }
    if (c == '\n') {
      if (s.body.kind == body_kind::trailer && s.body.line_size == 0) {
        s.offset = offset();
        return end_body(s, p);
      }
      if (s.body.kind == body_kind::chunk_end) {
        s.body.kind = body_kind::chunk_size;
      } else if (s.body.kind != body_kind::trailer) {
        if (s.body.line_size == 0) return fail(s, error::response_body_malformed, offset() - 1, p);
        s.body.kind = s.body.left != 0 ? body_kind::chunk_data : body_kind::trailer;
      }
      s.body.line_size = 0;
      continue;
    }
    if (c == '\r') continue;
    if (s.body.kind == body_kind::chunk_size) {
      const int digit = hex_value(c);
      if (digit >= 0 && s.body.line_size < 15)
        s.body.left = s.body.left * 16 + static_cast<std::uint64_t>(digit);
      else if (digit < 0 && s.body.line_size != 0 && (c == ';' || is_ows(c)))
        s.body.kind = body_kind::chunk_extension;
      else
        return fail(s, error::response_body_malformed, offset() - 1, p);
    }
    if (++s.body.line_size == 255) return fail(s, error::response_body_malformed, offset() - 1, p);
  }
}

/// Gathers a head: scanned in place if it arrived whole, else in the scratch.
inline advanced read_head(connection_state& s, char* p, std::size_t n, bool& again) noexcept {
  const head_kind kind = s.self == role::server ? head_kind::request : head_kind::response;
  const std::uint32_t kept = s.scratch_used;
  std::string_view text{p, n};
  std::size_t given = n;
  if (kept != 0) {
    if (given > s.scratch_size - kept) given = s.scratch_size - kept;
    copy_bytes(s.scratch + kept, p, given);
    text = {s.scratch, kept + given};
  }
  const scanned_head found = scan_head(text, s.hs.progress, kind, s.opt->head);
  const std::uint64_t head_offset = s.offset - kept;
  if (found.why != error::none) return fail(s, found.why, head_offset + found.offset, p + n);
  if (found.size != 0) {
    const std::size_t used = found.size - kept;
    s.offset += used;
    text = part(text, 0, found.size);
    return kind == head_kind::request ? received_request(s, text, p + used) : received_response(s, text, p + used, again);
  }
  // The head is cut: what there is of it stays in the scratch.
  if (kept == 0) {
    if (n > s.scratch_size) {
      s.hs.progress = {};
      return ask(needs_scratch, p);
    }
    copy_bytes(s.scratch, p, n);
  }
  s.scratch_used = static_cast<std::uint32_t>(kept + given);
  s.offset += given;
  if (given < n) return ask(needs_scratch, p + given);
  return {0, nullptr, 0, p + n};
}

WSCODEC_DETAIL_END
