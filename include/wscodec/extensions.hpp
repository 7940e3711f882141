// wscodec: layer 4, the extension list and the hook through which an extension negotiates (RFC 6455 9.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config.hpp"
#include "error.hpp"
#include "http_head.hpp"

WSCODEC_FUNCTIONS_BEGIN

/// One parameter of an extension. `value` is what stands between the quotes when it was quoted, escapes and all:
/// `unquote` takes them away.
struct extension_parameter {
  std::string_view name;
  std::string_view value;
  bool has_value = false;
  bool quoted = false;
};

/// One extension of a list, its parameters still as text: `foo` with `; a=1; b="x"`.
class extension {
 public:
  constexpr extension() noexcept = default;
  constexpr extension(std::string_view name, std::string_view parameters) noexcept
      : name_(name), rest_(parameters) {}

  [[nodiscard]] constexpr std::string_view name() const noexcept { return name_; }

  /// Takes the next parameter off the front; false when there are no more, or when the grammar is broken: then
  /// `malformed()` is true.
  constexpr bool next(extension_parameter& out) noexcept;

  [[nodiscard]] constexpr bool malformed() const noexcept { return malformed_; }
  /// What was not read yet.
  [[nodiscard]] constexpr std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view name_;
  std::string_view rest_;
  bool malformed_ = false;
};

WSCODEC_FUNCTIONS_END

WSCODEC_DETAIL_BEGIN

constexpr void skip_ows(std::string_view& s) noexcept {
  while (!s.empty() && is_ows(s.front())) s.remove_prefix(1);
}

constexpr std::string_view take_token(std::string_view& s) noexcept {
  std::size_t n = 0;
  while (n < s.size() && is_token_byte(s[n])) ++n;
  const std::string_view token = part(s, 0, n);
  s.remove_prefix(n);
  return token;
}

/// Takes a quoted-string off the front (RFC 9110 5.6.4); `inside` is what stands between the quotes.
constexpr bool take_quoted(std::string_view& s, std::string_view& inside) noexcept {
  for (std::size_t i = 1; i < s.size(); ++i) {
    if (s[i] == '"') {
      inside = part(s, 1, i - 1);
      s.remove_prefix(i + 1);
      return true;
    }
    if (s[i] == '\\') ++i;
    if (i < s.size() && is_control_byte(s[i])) return false;
  }
  return false;
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

constexpr bool extension::next(extension_parameter& out) noexcept {
  out = {};
  detail::skip_ows(rest_);
  if (rest_.empty() || rest_.front() != ';') return false;
  rest_.remove_prefix(1);
  detail::skip_ows(rest_);
  out.name = detail::take_token(rest_);
  detail::skip_ows(rest_);  // RFC 6455 9.1: the implied *LWS of RFC 2616, also around "="
  if (!out.name.empty() && !rest_.empty() && rest_.front() == '=') {
    rest_.remove_prefix(1);
    detail::skip_ows(rest_);
    out.has_value = true;
    out.quoted = !rest_.empty() && rest_.front() == '"';
    if (!out.quoted)
      out.value = detail::take_token(rest_);
    else if (!detail::take_quoted(rest_, out.value))
      malformed_ = true;
    if (!out.quoted && out.value.empty()) malformed_ = true;
  }
  if (out.name.empty()) malformed_ = true;
  return !malformed_;
}

/// Reads an extension list member by member, over several fields (H11); empty members are skipped (H12). Commas and
/// semicolons inside quotes are data (H15).
class extension_cursor {
 public:
  constexpr explicit extension_cursor(field_cursor fields) noexcept : fields_(fields) {}

  /// Gives the next extension; false at the end, or when the grammar is broken: then `malformed()` is true.
  constexpr bool next(extension& out) noexcept {
    for (;;) {
      detail::skip_ows(rest_);
      if (rest_.empty()) {
        if (!fields_.next("Sec-WebSocket-Extensions", rest_)) return false;
        continue;
      }
      if (rest_.front() == ',') {
        rest_.remove_prefix(1);
        continue;
      }
      const std::string_view name = detail::take_token(rest_);
      out = extension{name, rest_};
      extension end = out;
      for (extension_parameter p; end.next(p);) {
      }
      rest_ = end.rest();
      detail::skip_ows(rest_);
      malformed_ = name.empty() || end.malformed() || (!rest_.empty() && rest_.front() != ',');
      return !malformed_;
    }
  }

  [[nodiscard]] constexpr bool malformed() const noexcept { return malformed_; }

 private:
  field_cursor fields_;
  std::string_view rest_;
  bool malformed_ = false;
};

/// Writes a parameter's value without its escapes to `to` (of `room` bytes); returns its size, or npos if it does not
/// fit or is not a token, as the value of a known extension must be (H15).
[[nodiscard]] constexpr std::size_t unquote(const extension_parameter& p, char* to, std::size_t room) noexcept {
  std::size_t n = 0;
  for (std::size_t i = 0; i < p.value.size(); ++i) {
    if (p.quoted && p.value[i] == '\\') ++i;
    if (n == room || i == p.value.size() || !detail::is_token_byte(p.value[i])) return std::string_view::npos;
    to[n++] = p.value[i];
  }
  return n == 0 && p.has_value ? std::string_view::npos : n;
}

WSCODEC_FUNCTIONS_END

WSCODEC_TYPES_BEGIN

struct deflate_options;  // permessage_deflate.hpp

/// How an extension takes part in the opening handshake; permessage-deflate fills one of these. The agreement is a
/// number of the extension's own making, 0 for none; while it is not 0 the extension owns RSV1.
struct extension_hook {
  const void* options = nullptr;  ///< handed back to each function
  std::string_view name;          ///< as registered with IANA
  /// Server: takes an offer, or declines it by 0; called once for each offer of this name until one is taken.
  std::uint32_t (*accept)(const void* options, std::string_view parameters) = nullptr;
  /// Client: what the server's answer amounts to, or 0 when it contradicts the offer.
  std::uint32_t (*confirm)(const void* options, std::string_view parameters) = nullptr;
  /// Client: the offers, as one list, into `to`; returns its size, 0 to offer nothing. At most `room` bytes.
  std::size_t (*write_offer)(const void* options, char* to, std::size_t room) = nullptr;
  /// Server: the answer, name and parameters.
  std::size_t (*write_answer)(std::uint32_t agreement, char* to, std::size_t room) = nullptr;
  /// permessage-deflate with an engine: a session compresses and inflates; otherwise messages with RSV1 pass as they are.
  const deflate_options* deflate = nullptr;
};

WSCODEC_TYPES_END
