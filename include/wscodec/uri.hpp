// wscodec: layer 3, URIs (RFC 6455 3, RFC 3986): taking a ws: or wss: URI apart, and the fields that are made of it.
//
// What RFC 3986 wants percent-encoded or in punycode must come so: IDNA is the caller's (C11).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base64.hpp"
#include "bytes.hpp"
#include "config.hpp"
#include "error.hpp"

WSCODEC_TYPES_BEGIN

/// A URI taken apart; the views point into the text that was parsed.
struct uri {
  bool secure = false;             ///< wss or https: TLS is wanted
  bool ipv6 = false;               ///< `host` is an IPv6 address, which stands in brackets elsewhere
  std::uint16_t port = 80;         ///< the scheme's default when the text names none
  std::string_view userinfo = {};  ///< still percent-encoded, without `@`
  std::string_view host = {};      ///< name or address, as written, without brackets
  std::string_view target = "/";   ///< path and query as written; may begin with `?`: see `write_target`
};

/// `value` means something only when `why` is `error::none`.
struct uri_result {
  uri value;
  error why = error::none;
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// The value of a hexadecimal digit, or -1.
constexpr int hex_value(char c) noexcept {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// RFC 3986 2.2, 2.3: unreserved / sub-delims.
constexpr bool is_plain_uri_char(char c) noexcept {
  return is_letter(c) || is_digit(c) || std::string_view{"-._~!$&'()*+,;="}.find(c) != std::string_view::npos;
}

/// RFC 3986 3.2.1, 3.2.2: *( unreserved / pct-encoded / sub-delims / ":" ); a host holds no colon, it ends there.
constexpr bool is_encoded_text(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%') {
      if (text.size() - i < 3 || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) return false;
      i += 2;
    } else if (!is_plain_uri_char(text[i]) && text[i] != ':') {
      return false;
    }
  }
  return true;
}

/// RFC 3986 3.2.2: four numbers of 0-255 without leading zeros.
constexpr bool is_ipv4(std::string_view text) noexcept {
  std::size_t i = 0;
  for (int parts = 0;; ++parts) {
    const std::size_t begin = i;
    int value = 0;
    while (i < text.size() && is_digit(text[i]) && i - begin < 3) value = 10 * value + (text[i++] - '0');
    if (i == begin || value > 255 || (i - begin > 1 && text[begin] == '0')) return false;
    if (parts == 3) return i == text.size();
    if (i == text.size() || text[i++] != '.') return false;
  }
}

/// RFC 3986 3.2.2: eight groups of one to four hexadecimal digits; `::` stands for one or more groups of zeros, an
/// IPv4 address for the last two. Stricter than RFC 6874: a zone is refused, it means nothing to another machine.
constexpr bool is_ipv6(std::string_view text) noexcept {
  int groups = 0;
  bool gap = false;
  std::size_t i = 0;
  if (text.size() >= 2 && text[0] == ':' && text[1] == ':') {
    gap = true;
    i = 2;
  }
  while (i < text.size()) {
    const std::size_t begin = i;
    while (i < text.size() && hex_value(text[i]) >= 0) ++i;
    if (i < text.size() && text[i] == '.') {
      if (!is_ipv4(part(text, begin))) return false;
      groups += 2;
      break;
    }
    if (i == begin || i - begin > 4) return false;
    ++groups;
    if (i == text.size()) break;
    if (text[i++] != ':' || i == text.size()) return false;
    if (text[i] == ':') {
      if (gap) return false;
      gap = true;
      ++i;
    }
  }
  return gap ? groups < 8 : groups == 8;
}

/// What stands between `//` and the path, without userinfo.
struct authority {
  std::string_view host = {};
  bool ipv6 = false;
  bool has_port = false;
  std::uint16_t port = 0;
  error why = error::none;
};

/// RFC 3986 3.2: host [ ":" port ]. Stricter: the host may not be empty; of the bracketed forms IPv6 alone is known.
constexpr authority parse_authority(std::string_view text) noexcept {
  authority result;
  std::size_t end = text.find(text.starts_with('[') ? ']' : ':');
  if (text.starts_with('[')) {
    if (end == std::string_view::npos || !is_ipv6(part(text, 1, end - 1))) return {.why = error::uri_host};
    result.ipv6 = true;
    result.host = part(text, 1, end - 1);
    ++end;
    if (end != text.size() && text[end] != ':') return {.why = error::uri_host};
  } else {
    if (end == std::string_view::npos) end = text.size();
    result.host = part(text, 0, end);
    if (result.host.empty() || !is_encoded_text(result.host)) return {.why = error::uri_host};
  }
  // RFC 3986 3.2.3: the colon may stand without digits.
  std::uint32_t port = 0;
  for (std::size_t i = end + 1; i < text.size(); ++i) {
    if (!is_digit(text[i])) return {.why = error::uri_port};
    port = 10 * port + static_cast<std::uint32_t>(text[i] - '0');
    if (port > 65535) return {.why = error::uri_port};
    result.has_port = true;
  }
  result.port = static_cast<std::uint16_t>(port);
  return result;
}

/// Takes `scheme` and a colon off the front of `text`, in any letter case. RFC 3986 3.1.
constexpr bool take_scheme(std::string_view& text, std::string_view scheme) noexcept {
  if (text.size() <= scheme.size() || text[scheme.size()] != ':') return false;
  for (std::size_t i = 0; i < scheme.size(); ++i)
    if (static_cast<char>(text[i] | 0x20) != scheme[i]) return false;
  text.remove_prefix(scheme.size() + 1);
  return true;
}

/// RFC 7617 2: neither user-id nor password may hold control characters, the user-id no colon; encoded ones count.
constexpr bool is_userinfo(std::string_view text) noexcept {
  if (!is_encoded_text(text)) return false;
  bool in_name = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ':') in_name = false;
    if (text[i] != '%') continue;
    const int byte = 16 * hex_value(text[i + 1]) + hex_value(text[i + 2]);
    if (byte < 0x20 || byte == 0x7F || (in_name && byte == ':')) return false;
  }
  return true;
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Is this `host` or `host:port`, as the Host field must be (H06, RFC 9112 3.2)? Empty is not.
[[nodiscard]] constexpr bool is_valid_authority(std::string_view text) noexcept {
  return detail::parse_authority(text).why == error::none;
}

/// Takes apart an absolute URI with the scheme ws, wss, http or https (C11, RFC 6455 3). Errors: uri_scheme,
/// uri_userinfo, uri_host, uri_port, uri_target, uri_fragment.
[[nodiscard]] constexpr uri_result parse_uri(std::string_view text) noexcept {
  const auto fail = [](error why) { return uri_result{{}, why}; };
  uri_result result;
  uri& parts = result.value;
  if (detail::take_scheme(text, "wss") || detail::take_scheme(text, "https")) parts.secure = true;
  else if (!detail::take_scheme(text, "ws") && !detail::take_scheme(text, "http")) return fail(error::uri_scheme);
  if (detail::part(text, 0, 2) != "//") return fail(error::uri_host);
  text.remove_prefix(2);

  // RFC 3986 3.2: the authority ends at the next slash, question mark or number sign.
  std::string_view at_host = detail::part(text, 0, text.find_first_of("/?#"));
  text.remove_prefix(at_host.size());
  if (const std::size_t at = at_host.find('@'); at != std::string_view::npos) {
    parts.userinfo = detail::part(at_host, 0, at);
    at_host.remove_prefix(at + 1);
    if (!detail::is_userinfo(parts.userinfo)) return fail(error::uri_userinfo);
  }
  const detail::authority where = detail::parse_authority(at_host);
  if (where.why != error::none) return fail(where.why);
  parts.host = where.host;
  parts.ipv6 = where.ipv6;
  parts.port = where.has_port ? where.port : parts.secure ? 443 : 80;

  for (const char c : text) {
    // RFC 6455 3: fragment identifiers MUST NOT be used on these URIs.
    if (c == '#') return fail(error::uri_fragment);
    if (detail::byte_at(&c) <= 0x20 || detail::byte_at(&c) >= 0x7F) return fail(error::uri_target);
  }
  if (!text.empty()) parts.target = text;
  return result;
}

/// Writes the value of the Host field: the scheme's default port left out, IPv6 in brackets (C10). Whole or not at
/// all, like all of these; false when there is no room.
constexpr bool write_host(output& out, const uri& parts) noexcept {
  const std::size_t before = out.size();
  char port[6] = {':'};
  std::size_t digits = 0;
  if (parts.port != (parts.secure ? 443 : 80)) {
    std::uint32_t unit = 1;
    while (unit * 10 <= parts.port) unit *= 10;
    for (++digits; unit != 0; unit /= 10) port[digits++] = static_cast<char>('0' + parts.port / unit % 10);
  }
  if (out.put(parts.ipv6 ? "[" : "") && out.put(parts.host) && out.put(parts.ipv6 ? "]" : "") &&
      out.put({port, digits}))
    return true;
  out.rewind(before);
  return false;
}

/// Writes the request target (RFC 6455 3: a missing path is `/`).
constexpr bool write_target(output& out, const uri& parts) noexcept {
  const std::size_t before = out.size();
  if ((detail::part(parts.target, 0, 1) == "/" || out.put("/")) && out.put(parts.target)) return true;
  out.rewind(before);
  return false;
}

/// Writes the value of an Authorization field, `Basic ...`, for a URI's userinfo, percent-decoded (RFC 7617). A name
/// without a password gets an empty one. False also when `userinfo` is not what `parse_uri` would let through.
constexpr bool write_basic_credentials(output& out, std::string_view userinfo) noexcept {
  if (!detail::is_userinfo(userinfo)) return false;
  const bool has_password = userinfo.find(':') != std::string_view::npos;
  std::size_t size = has_password ? 0 : 1;
  for (std::size_t i = 0; i < userinfo.size(); i += userinfo[i] == '%' ? 3U : 1U) ++size;

  constexpr std::string_view scheme = "Basic ";
  char* to = out.claim(scheme.size() + base64_size(size));
  if (to == nullptr) return false;
  detail::copy_bytes(to, scheme.data(), scheme.size());
  to += scheme.size();

  char group[3] = {};
  std::size_t filled = 0;
  std::size_t i = 0;
  for (; size != 0; --size) {
    char c = ':';
    if (i < userinfo.size() && userinfo[i] == '%') {
      c = static_cast<char>(16 * detail::hex_value(userinfo[i + 1]) + detail::hex_value(userinfo[i + 2]));
      i += 3;
    } else if (i < userinfo.size()) {
      c = userinfo[i++];
    }
    group[filled++] = c;
    if (filled == 3 || size == 1) {
      base64_encode(to, {group, filled});
      to += 4;
      filled = 0;
    }
  }
  return true;
}

WSCODEC_FUNCTIONS_END
