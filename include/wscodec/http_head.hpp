// wscodec: layer 3, HTTP/1.1 message heads: an incremental scanner and a view (RFC 9112 2-5, RFC 9110 5).
//
// `scan_head` finds the end of a head and checks its grammar; it can be called again with more bytes and goes on where
// it stopped, so the work is linear in the bytes. `http_head` is a view of a head that was scanned: it reads fields
// from the text whenever it is asked and keeps nothing.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "bytes.hpp"
#include "config.hpp"
#include "error.hpp"
#include "uri.hpp"

WSCODEC_TYPES_BEGIN

/// A name and a value, of a head that was read or of one to be written.
struct field {
  std::string_view name;
  std::string_view value;
};

/// What a head may cost (rule H26). Sizes in bytes.
struct head_limits {
  std::uint32_t max_head = 16 * 1024;
  std::uint32_t max_request_line = 8192;
  std::uint32_t max_fields = 100;
  bool allow_bare_line_feed = false;  ///< policy of rule H22
};

/// Where `scan_head` stopped; start with a fresh one. `line <= at <= bytes seen`.
struct head_progress {
  std::uint32_t at = 0;      ///< everything before is known to hold no line end
  std::uint32_t line = 0;    ///< where the current line begins
  std::uint32_t fields = 0;  ///< complete fields so far
  bool skipped_empty_line = false;
  bool start_line_done = false;
};

/// What `scan_head` found: `size` is the head's size in bytes with its empty line, 0 while more bytes are needed.
struct scanned_head {
  std::size_t size = 0;
  error why = error::none;
  std::size_t offset = 0;  ///< of the byte that broke the rule
};

enum class head_kind : std::uint8_t { request, response };

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

constexpr bool is_token_byte(char c) noexcept {
  const unsigned u = byte_at(&c);
  // RFC 9110 5.6.2: letters, digits and !#$%&'*+-.^_`|~
  constexpr std::uint64_t low = 0x03FF6CFA00000000U;   // 0x20-0x3F
  constexpr std::uint64_t high = 0x57FFFFFFC7FFFFFEU;  // 0x40-0x7F
  return u < 64 ? ((low >> u) & 1U) != 0 : u < 128 && ((high >> (u - 64)) & 1U) != 0;
}

constexpr bool is_token(std::string_view s) noexcept {
  for (const char c : s)
    if (!is_token_byte(c)) return false;
  return !s.empty();
}

constexpr bool is_ows(char c) noexcept { return c == ' ' || c == '\t'; }

constexpr std::string_view trim_ows(std::string_view s) noexcept {
  while (!s.empty() && is_ows(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_ows(s.back())) s.remove_suffix(1);
  return s;
}

constexpr char to_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

/// Whether eight bytes are the same without regard to ASCII letter case: they differ in bit 5 of letters only.
constexpr bool same_eight(std::uint64_t a, std::uint64_t b) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101U;
  const std::uint64_t differ = a ^ b;
  const std::uint64_t lower = a | ones * 0x20;
  const std::uint64_t low_bits = lower & ones * 0x7F;
  const std::uint64_t letters = (low_bits + ones * (0x80 - 'a')) & ~(low_bits + ones * (0x7F - 'z')) & ~lower;
  return (differ & ~(ones * 0x20)) == 0 && ((differ << 2) & ~letters & ones * 0x80) == 0;
}

/// Compares without regard to ASCII letter case.
constexpr bool same_name(std::string_view a, std::string_view b) noexcept {
  const std::size_t n = a.size();
  if (n != b.size()) return false;
  std::size_t i = 0;
  if (!std::is_constant_evaluated() && n >= 8) {
    const auto eight = [](std::string_view s, std::size_t at) {
      std::uint64_t word;
      std::memcpy(&word, s.data() + at, 8);
      return word;
    };
    for (; i + 8 <= n; i += 8)
      if (!same_eight(eight(a, i), eight(b, i))) return false;
    return same_eight(eight(a, n - 8), eight(b, n - 8));
  }
  for (; i < n; ++i)
    if (to_lower(a[i]) != to_lower(b[i])) return false;
  return true;
}

/// A byte that may not stand inside a line: a control byte other than HTAB (RFC 9110 5.5).
constexpr bool is_control_byte(char c) noexcept {
  const unsigned u = byte_at(&c);
  return (u < 0x20 && u != '\t') || u == 0x7F;
}

/// The index of the first control byte (a line end, if all is well), or `n`.
constexpr std::size_t find_control_byte(const char* p, std::size_t n) noexcept {
  std::size_t i = 0;
#if defined(__SSE2__) && defined(__GNUC__)
  if (!std::is_constant_evaluated()) {
    typedef signed char bytes16 __attribute__((vector_size(16)));
    typedef char chars16 __attribute__((vector_size(16)));
    for (; i + 16 <= n; i += 16) {
      bytes16 v;
      __builtin_memcpy(&v, p + i, 16);
      const auto found = ((v >= 0) & (v < 0x20) & (v != '\t')) | (v == 0x7F);
      const auto bits = static_cast<unsigned>(__builtin_ia32_pmovmskb128(__builtin_bit_cast(chars16, found)));
      if (bits != 0) return i + static_cast<std::size_t>(std::countr_zero(bits));
    }
  }
#endif
  while (i < n && !is_control_byte(p[i])) ++i;
  return i;
}

/// `METHOD SP target SP HTTP/d.d`, each part where it stands. Errors of rule H29.
struct request_line {
  std::string_view method;
  std::string_view target;
  int major = 0;
  int minor = 0;
  error why = error::none;
};

constexpr bool is_http_version(std::string_view s) noexcept {
  return s.size() == 8 && part(s, 0, 5) == "HTTP/" && s[5] >= '0' && s[5] <= '9' && s[6] == '.' && s[7] >= '0' &&
         s[7] <= '9';
}

/// Splits the authority and the origin-form part from an absolute-form target; false if it is not one (H28).
constexpr bool split_absolute_target(std::string_view target, std::string_view& authority,
                                     std::string_view& path) noexcept {
  const std::size_t scheme = target.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view name = part(target, 0, scheme);
  if (!same_name(name, "ws") && !same_name(name, "http") && !same_name(name, "wss") && !same_name(name, "https"))
    return false;
  const std::string_view rest = part(target, scheme + 3);
  authority = part(rest, 0, rest.find_first_of("/?"));
  path = part(rest, authority.size());
  return is_valid_authority(authority);
}

constexpr request_line parse_request_line(std::string_view line) noexcept {
  request_line result;
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    result.why = error::request_line_invalid;
    return result;
  }
  result.method = part(line, 0, first);
  result.target = part(line, first + 1, last - first - 1);
  const std::string_view version = part(line, last + 1);
  if (!is_token(result.method) || !is_http_version(version)) {
    result.why = error::request_line_invalid;
    return result;
  }
  result.major = version[5] - '0';
  result.minor = version[7] - '0';
  for (const char c : result.target)
    if (c == ' ' || c == '\t' || c == '#' || byte_at(&c) >= 0x80) result.why = error::target_invalid;
  std::string_view authority;
  std::string_view path;
  if (!result.target.starts_with('/') && !split_absolute_target(result.target, authority, path))
    result.why = error::target_invalid;
  return result;
}

/// `HTTP/d.d SP ddd [SP reason]`; the reason may be empty or absent (rule C05).
constexpr bool is_status_line(std::string_view line) noexcept {
  if (line.size() < 12 || !is_http_version(part(line, 0, 8)) || line[8] != ' ') return false;
  for (std::size_t i = 9; i < 12; ++i)
    if (line[i] < '0' || line[i] > '9') return false;
  return line[9] != '0' && (line.size() == 12 || line[12] == ' ');
}

constexpr error check_start_line(std::string_view line, head_kind kind) noexcept {
  if (kind == head_kind::request) return parse_request_line(line).why;
  return is_status_line(line) ? error::none : error::status_line_invalid;
}

/// Where the token ends that `s` begins with. Most names are letters, digits and hyphens: sixteen are looked at at once.
constexpr std::size_t name_end(std::string_view s) noexcept {
  std::size_t i = 0;
#if defined(__SSE2__) && defined(__GNUC__)
  if (!std::is_constant_evaluated() && s.size() >= 16) {
    typedef signed char bytes16 __attribute__((vector_size(16)));
    typedef char chars16 __attribute__((vector_size(16)));
    bytes16 v;
    __builtin_memcpy(&v, s.data(), 16);
    const bytes16 lower = v | 0x20;
    const auto other = ~(((lower >= 'a') & (lower <= 'z')) | ((v >= '0') & (v <= '9')) | (v == '-'));
    const auto bits = static_cast<unsigned>(__builtin_ia32_pmovmskb128(__builtin_bit_cast(chars16, other)));
    i = bits != 0 ? static_cast<std::size_t>(std::countr_zero(bits)) : 16;
  }
#endif
  while (i < s.size() && is_token_byte(s[i])) ++i;
  return i;
}

constexpr error check_field_line(std::string_view line) noexcept {
  if (is_ows(line[0])) return error::line_folding;
  const std::size_t colon = name_end(line);
  return colon == 0 || colon == line.size() || line[colon] != ':' ? error::field_name_invalid : error::none;
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Looks for the end of the head at the front of `bytes`, which are all the bytes so far; `progress` carries over
/// from call to call. Every line is checked as it is met: line ends (H22), folding (H23), names (H24), control bytes
/// (H25), limits (H26), the start line (H29, C14). RFC 9112 2-5.
[[nodiscard]] constexpr scanned_head scan_head(std::string_view bytes, head_progress& progress, head_kind kind,
                                               const head_limits& limits) noexcept {
  using detail::is_control_byte;
  const auto fail = [](error why, std::size_t offset) { return scanned_head{0, why, offset}; };
  // Which limit is passed by a line that reaches to `at`? The one that lies lower is met first.
  const auto limit_passed = [&](std::size_t at) {
    const std::size_t line_end = std::size_t{progress.line} + limits.max_request_line;
    if (kind == head_kind::request && !progress.start_line_done && at > line_end && line_end < limits.max_head)
      return error::request_line_too_long;
    return at >= limits.max_head ? error::head_too_large : error::none;
  };
  // A limit is passed at its own offset, wherever the bytes were cut.
  const auto over = [&](error why) {
    return fail(why, why == error::head_too_large ? limits.max_head : std::size_t{progress.line} + limits.max_request_line);
  };
  for (;;) {
    const std::size_t at = progress.at + detail::find_control_byte(bytes.data() + progress.at, bytes.size() - progress.at);
    if (const error why = limit_passed(at); why != error::none) return over(why);
    if (at == bytes.size()) {
      progress.at = static_cast<std::uint32_t>(at);
      return {};
    }
    const std::string_view line = detail::part(bytes, progress.line, at - progress.line);
    std::size_t next = at + 1;
    if (bytes[at] == '\r') {
      if (at + 2 > limits.max_head) return over(error::head_too_large);
      if (at + 1 == bytes.size()) {
        progress.at = static_cast<std::uint32_t>(at);
        return {};
      }
      if (bytes[at + 1] != '\n') return fail(error::bare_carriage_return, at);
      next = at + 2;
    } else if (bytes[at] == '\n') {
      if (!limits.allow_bare_line_feed) return fail(error::bare_line_feed, at);
    } else {
      if (!progress.start_line_done)
        return fail(kind == head_kind::request ? error::request_line_invalid : error::status_line_invalid, at);
      if (!line.empty() && detail::is_ows(line[0])) return fail(error::line_folding, progress.line);
      const bool in_value = !line.empty() && detail::check_field_line(line) == error::none;
      return fail(in_value ? error::field_value_invalid : error::field_name_invalid, at);
    }
    const std::size_t line_at = progress.line;
    progress.at = progress.line = static_cast<std::uint32_t>(next);
    if (!progress.start_line_done) {
      // RFC 9112 2.2: a server should ignore at least one empty line before the request line; we ignore one.
      if (line.empty() && kind == head_kind::request && !progress.skipped_empty_line) {
        progress.skipped_empty_line = true;
        continue;
      }
      if (const error why = detail::check_start_line(line, kind); why != error::none) return fail(why, line_at);
      progress.start_line_done = true;
    } else if (line.empty()) {
      return {next, error::none, 0};
    } else {
      if (const error why = detail::check_field_line(line); why != error::none) return fail(why, line_at);
      if (++progress.fields > limits.max_fields) return fail(error::too_many_fields, line_at);
    }
    if (const error why = limit_passed(next); why != error::none) return over(why);
  }
}

/// The fields of a head, one after another: of head text that was scanned, or of a list that somebody else parsed.
/// A cursor: copy it to start again. The views it gives point into the text or the list.
class field_cursor {
 public:
  constexpr field_cursor() noexcept = default;
  /// `text` are the lines after the start line, up to the empty line or the end.
  constexpr explicit field_cursor(std::string_view text) noexcept : text_(text) {}
  constexpr explicit field_cursor(std::span<const field> list) noexcept : list_(list) {}

  /// Gives the next field; false at the end. Values are trimmed of spaces and tabs.
  constexpr bool next(field& out) noexcept {
    if (!list_.empty()) {
      out = {list_[0].name, detail::trim_ows(list_[0].value)};
      list_ = list_.subspan(1);
      return true;
    }
    const std::size_t colon = detail::name_end(text_);
    const std::size_t end = text_.find('\n', colon);
    if (end == std::string_view::npos || text_[colon] != ':') {
      text_ = {};
      return false;
    }
    std::string_view value = detail::part(text_, colon + 1, end - colon - 1);
    if (!value.empty() && value.back() == '\r') value.remove_suffix(1);
    out = {detail::part(text_, 0, colon), detail::trim_ows(value)};
    text_.remove_prefix(end + 1);
    return true;
  }

  /// Goes on to the next field of this name, any letter case (H27).
  constexpr bool next(std::string_view name, std::string_view& value) noexcept {
    for (field f; next(f);)
      if (detail::same_name(f.name, name)) {
        value = f.value;
        return true;
      }
    return false;
  }

 private:
  std::string_view text_;
  std::span<const field> list_;
};

/// The members of a comma-separated list of tokens that may be spread over several fields of one name (H03, H11).
/// Empty members are skipped (H12). Not for values with quoted strings: see extensions.hpp.
class list_cursor {
 public:
  constexpr list_cursor(field_cursor fields, std::string_view name) noexcept : fields_(fields), name_(name) {}

  constexpr bool next(std::string_view& member) noexcept {
    for (;;) {
      while (rest_.empty())
        if (!fields_.next(name_, rest_)) return false;
      const std::size_t comma = rest_.find(',');
      member = detail::trim_ows(detail::part(rest_, 0, comma));
      rest_ = comma == std::string_view::npos ? std::string_view{} : detail::part(rest_, comma + 1);
      if (!member.empty()) return true;
    }
  }

 private:
  field_cursor fields_;
  std::string_view name_;
  std::string_view rest_;
};

/// A view of a head that `scan_head` found good. Points into the caller's memory.
class http_head {
 public:
  constexpr http_head() noexcept = default;
  constexpr explicit http_head(std::string_view text) noexcept : text_(text) {
    while (!text_.empty() && (text_.front() == '\r' || text_.front() == '\n')) text_.remove_prefix(1);
  }

  [[nodiscard]] constexpr std::string_view text() const noexcept { return text_; }
  [[nodiscard]] constexpr std::string_view start_line() const noexcept {
    std::string_view line = detail::part(text_, 0, text_.find('\n'));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
  }
  [[nodiscard]] constexpr field_cursor fields() const noexcept {
    const std::size_t end = text_.find('\n');
    return end == std::string_view::npos ? field_cursor{} : field_cursor{detail::part(text_, end + 1)};
  }
  /// The value of the first field of this name, any letter case; a null view (`data() == nullptr`) when there is none.
  [[nodiscard]] constexpr std::string_view field(std::string_view name) const noexcept {
    std::string_view value;
    return fields().next(name, value) ? value : std::string_view{};
  }
  [[nodiscard]] constexpr list_cursor list(std::string_view name) const noexcept { return {fields(), name}; }

 private:
  std::string_view text_;
};

/// The request a client sent. `subprotocols()` are in the client's order of preference (RFC 6455 4.1).
class request_view : public http_head {
 public:
  using http_head::http_head;

  [[nodiscard]] constexpr std::string_view method() const noexcept {
    return detail::parse_request_line(start_line()).method;
  }
  /// As it was sent: origin-form (`/chat?x=1`) or absolute-form (`ws://host/chat?x=1`), rule H28.
  [[nodiscard]] constexpr std::string_view target() const noexcept {
    return detail::parse_request_line(start_line()).target;
  }
  /// The target without scheme, authority and query.
  [[nodiscard]] constexpr std::string_view path() const noexcept {
    std::string_view p = origin_form();
    p = detail::part(p, 0, p.find('?'));
    return p.empty() ? std::string_view{"/"} : p;
  }
  /// What follows the `?`, without it.
  [[nodiscard]] constexpr std::string_view query() const noexcept {
    const std::string_view p = origin_form();
    const std::size_t mark = p.find('?');
    return mark == std::string_view::npos ? std::string_view{} : detail::part(p, mark + 1);
  }
  /// The absolute-form target's authority, else the Host field.
  [[nodiscard]] constexpr std::string_view authority() const noexcept {
    std::string_view authority;
    std::string_view rest;
    const std::string_view t = target();
    return !t.starts_with('/') && detail::split_absolute_target(t, authority, rest) ? authority : field("Host");
  }
  [[nodiscard]] constexpr std::string_view origin() const noexcept { return field("Origin"); }
  [[nodiscard]] constexpr list_cursor subprotocols() const noexcept { return list("Sec-WebSocket-Protocol"); }

 private:
  [[nodiscard]] constexpr std::string_view origin_form() const noexcept {
    std::string_view authority;
    std::string_view rest;
    const std::string_view t = target();
    return !t.starts_with('/') && detail::split_absolute_target(t, authority, rest) ? rest : t;
  }
};

/// The response a server sent.
class response_view : public http_head {
 public:
  using http_head::http_head;

  [[nodiscard]] constexpr int status() const noexcept {
    const std::string_view line = start_line();
    return line.size() < 12 ? 0 : (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  }
  [[nodiscard]] constexpr std::string_view reason() const noexcept {
    const std::string_view line = start_line();
    return line.size() < 14 ? std::string_view{} : detail::part(line, 13);
  }
  [[nodiscard]] constexpr std::string_view location() const noexcept { return field("Location"); }
  [[nodiscard]] constexpr std::string_view www_authenticate() const noexcept { return field("WWW-Authenticate"); }
};

WSCODEC_FUNCTIONS_END
