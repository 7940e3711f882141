// wscodec: layer 4, the opening handshake (RFC 6455 4): what a request or response must hold, and writing both.
//
// Nothing here keeps state: `connection` calls these with heads it has scanned; a program whose HTTP server has parsed
// the request already calls `upgrade`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base64.hpp"
#include "bytes.hpp"
#include "config.hpp"
#include "error.hpp"
#include "extensions.hpp"
#include "http_head.hpp"
#include "options.hpp"
#include "sha1.hpp"
#include "uri.hpp"

WSCODEC_TYPES_BEGIN

/// The value of Sec-WebSocket-Accept.
using accept_value = std::array<char, 28>;

/// How a server accepts a request. The subprotocol must be one the client offered.
struct acceptance {
  std::string_view subprotocol = {};
  std::span<const field> fields = {};  ///< more fields for the 101 response
};

/// A response of the caller's own (H35): an HTTP answer, or a refusal. Written with `Connection: close`.
struct response {
  std::uint16_t status = 200;  ///< 200-599
  std::span<const field> fields = {};
  std::string_view body = {};
};

/// What a client asks for. `write_host` and `parse_uri` of uri.hpp help to make it.
struct client_request {
  std::string_view host;          ///< `name[:port]`, the default port left out
  std::string_view target = "/";  ///< path and query
  std::string_view origin = {};
  std::span<const field> fields = {};
};

/// What an opening handshake agreed on, as far as a codec must know it.
struct negotiated {
  const extension_hook* extension = nullptr;
  std::uint32_t agreement = 0;  ///< of the extension; 0 for none
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// The fields of a handshake that carry rules, gathered in one pass.
struct handshake_fields {
  std::string_view host, origin, key, version, accept, subprotocol;
  unsigned hosts = 0, origins = 0, keys = 0, versions = 0, accepts = 0, subprotocols = 0;
  unsigned upgrade_tokens = 0;
  bool has_extensions = false;
  bool has_body = false;
  bool upgrade_has_websocket = false;
  bool connection_has_upgrade = false;
};

constexpr void for_each_token(std::string_view value, auto&& use) noexcept {
  const field one[] = {{"", value}};
  list_cursor list{field_cursor{std::span<const field>{one}}, ""};
  for (std::string_view member; list.next(member);) use(member);
}

constexpr handshake_fields gather(field_cursor fields) noexcept {
  handshake_fields g;
  const auto keep = [](std::string_view& to, unsigned& count, std::string_view value) {
    if (count++ == 0) to = value;
  };
  for (field f; fields.next(f);) {
    switch (f.name.size()) {
      case 4:
        if (same_name(f.name, "host")) keep(g.host, g.hosts, f.value);
        break;
      case 6:
        if (same_name(f.name, "origin")) keep(g.origin, g.origins, f.value);
        break;
      case 7:
        if (same_name(f.name, "upgrade"))
          for_each_token(f.value, [&](std::string_view token) {
            ++g.upgrade_tokens;
            if (same_name(token, "websocket")) g.upgrade_has_websocket = true;
          });
        break;
      case 10:
        if (same_name(f.name, "connection"))
          for_each_token(f.value, [&](std::string_view token) {
            if (same_name(token, "upgrade")) g.connection_has_upgrade = true;
          });
        break;
      case 14:
        if (same_name(f.name, "content-length"))
          g.has_body |= f.value.empty() || f.value.find_first_not_of('0') != std::string_view::npos;
        break;
      case 17:
        if (same_name(f.name, "sec-websocket-key"))
          keep(g.key, g.keys, f.value);
        else if (same_name(f.name, "transfer-encoding"))
          g.has_body = true;
        break;
      case 20:
        if (same_name(f.name, "sec-websocket-accept")) keep(g.accept, g.accepts, f.value);
        break;
      case 21:
        if (same_name(f.name, "sec-websocket-version")) keep(g.version, g.versions, f.value);
        break;
      case 22:
        if (same_name(f.name, "sec-websocket-protocol")) keep(g.subprotocol, g.subprotocols, f.value);
        break;
      case 24:
        if (same_name(f.name, "sec-websocket-extensions")) g.has_extensions = true;
        break;
      default:
        break;
    }
  }
  return g;
}

/// FNV-1a.
constexpr std::uint32_t hash_of(std::string_view text) noexcept {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return hash;
}

/// H13: each member a token, none twice: compared where hashes agree. The members count against the limit of fields,
/// which bounds the comparisons.
constexpr error check_offered_subprotocols(field_cursor fields, const head_limits& limits) noexcept {
  list_cursor offers{fields, "Sec-WebSocket-Protocol"};
  constexpr unsigned most_hashes = 128;
  std::uint32_t hashes[most_hashes] = {};
  unsigned n = 0;
  for (std::string_view offer; offers.next(offer); ++n) {
    if (!is_token(offer)) return error::subprotocol_invalid;
    if (n >= limits.max_fields) return error::too_many_fields;
    const std::uint32_t hash = hash_of(offer);
    bool compares = n >= most_hashes;
    for (unsigned i = 0; i < n && i < most_hashes; ++i) compares = compares || hashes[i] == hash;
    if (n < most_hashes) hashes[n] = hash;
    if (!compares) continue;
    list_cursor before{fields, "Sec-WebSocket-Protocol"};
    std::string_view other;
    for (unsigned i = 0; i < n; ++i) {
      (void)before.next(other);
      if (other == offer) return error::subprotocol_doubled;
    }
  }
  return n == 0 ? error::list_empty : error::none;
}

/// H15-H16b: checks the whole list's grammar, then lets the hook take the first offer it likes.
constexpr error negotiate_extension(field_cursor fields, const extension_hook* hook,
                                    std::uint32_t& agreement) noexcept {
  agreement = 0;
  extension_cursor all{fields};
  extension offer;
  bool any = false;
  while (all.next(offer)) any = true;
  if (all.malformed()) return error::extensions_malformed;
  if (!any) return error::list_empty;
  if (hook == nullptr) return error::none;
  extension_cursor offers{fields};
  while (agreement == 0 && offers.next(offer))
    if (same_name(offer.name(), hook->name)) agreement = hook->accept(hook->options, offer.rest());
  return error::none;
}

/// An origin without the port that its scheme has anyway: `scheme`, `host[:port]`.
constexpr bool same_origin(std::string_view a, std::string_view b) noexcept {
  const auto without_default_port = [](std::string_view origin) {
    const std::size_t end = origin.find("://");
    if (end == std::string_view::npos) return origin;
    const std::string_view scheme = part(origin, 0, end);
    const std::string_view port = same_name(scheme, "http") || same_name(scheme, "ws")     ? ":80"
                                  : same_name(scheme, "https") || same_name(scheme, "wss") ? ":443"
                                                                                           : "";
    if (origin.ends_with(port)) origin.remove_suffix(port.size());
    return origin;
  };
  return same_name(without_default_port(a), without_default_port(b));
}

constexpr bool origin_allowed(const handshake_fields& g, const options& opt) noexcept {
  if (opt.allowed_origins.empty()) return true;
  if (g.origins == 0) return opt.allow_absent_origin;
  if (g.origin == "null") return opt.allow_null_origin;
  for (const std::string_view allowed : opt.allowed_origins)
    if (same_origin(g.origin, allowed)) return true;
  return false;
}

/// What a server does with a request.
struct checked_request {
  error why = error::none;
  bool plain = false;  ///< a request that is no upgrade, under `pass_plain_requests`
  accept_value accept = {};
  std::uint32_t agreement = 0;
};

constexpr accept_value compute_accept(std::string_view key) noexcept {
  const std::array<char, 20> digest = sha1(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
  accept_value value{};
  base64_encode(value.data(), {digest.data(), digest.size()});
  return value;
}

/// The rules in the order of H31; the first that is broken is reported. `line` is null when somebody else's HTTP
/// server has seen to the request line.
constexpr checked_request check_request(const request_line* line, field_cursor fields, const options& opt) noexcept {
  checked_request result;
  const handshake_fields g = gather(fields);
  const auto fail = [&](error why) {
    result.why = why;
    return result;
  };
  const bool wants_websocket = g.upgrade_has_websocket && g.connection_has_upgrade;
  result.plain = opt.pass_plain_requests && line != nullptr && !wants_websocket;
  const bool http_1_0 = line != nullptr && line->major == 1 && line->minor == 0;
  if (line != nullptr && line->major != 1) return fail(error::http_major_unsupported);
  if (!result.plain && http_1_0) return fail(error::http_too_old);
  if (!result.plain && line != nullptr && line->method != "GET") return fail(error::method_not_get);
  if (g.hosts == 0 && !(result.plain && http_1_0)) return fail(error::host_missing);
  if (g.hosts > 1) return fail(error::host_doubled);
  if (g.hosts == 1 && !is_valid_authority(g.host)) return fail(error::host_invalid);
  if (g.has_body) return fail(error::request_has_body);
  if (result.plain) return result;
  if (!g.upgrade_has_websocket) return fail(error::upgrade_without_websocket);
  if (!g.connection_has_upgrade) return fail(error::connection_without_upgrade);
  if (g.versions == 0) return fail(error::version_missing);
  if (g.versions > 1) return fail(error::version_doubled);
  if (g.version != "13") return fail(error::version_unsupported);
  if (g.keys == 0) return fail(error::key_missing);
  if (g.keys > 1) return fail(error::key_doubled);
  if (!is_base64_of_16(g.key)) return fail(error::key_invalid);
  if (g.has_extensions)
    if (const error why = negotiate_extension(fields, opt.extension, result.agreement); why != error::none)
      return fail(why);
  if (g.subprotocols != 0)
    if (const error why = check_offered_subprotocols(fields, opt.head); why != error::none) return fail(why);
  if (g.origins > 1) return fail(error::origin_doubled);
  if (!origin_allowed(g, opt)) return fail(error::origin_refused);
  // RFC 6455 4.2.2: SHA-1 over the literal text of the key, then base64 (H09).
  result.accept = compute_accept(g.key);
  return result;
}

constexpr bool offers_subprotocol(field_cursor fields, std::string_view subprotocol) noexcept {
  list_cursor offers{fields, "Sec-WebSocket-Protocol"};
  for (std::string_view offer; offers.next(offer);)
    if (offer == subprotocol) return true;
  return false;
}

/// H36: a field that the caller wants written.
constexpr bool field_is_writable(const field& f) noexcept {
  if (!is_token(f.name)) return false;
  for (const char c : f.value)
    if (is_control_byte(c)) return false;
  for (const std::string_view ours : {std::string_view{"connection"}, std::string_view{"upgrade"},
                                      std::string_view{"host"}, std::string_view{"content-length"},
                                      std::string_view{"transfer-encoding"}})
    if (same_name(f.name, ours)) return false;
  return !same_name(part(f.name, 0, 14), "sec-websocket-");
}

/// Puts pieces, or nothing at all: `finish` takes everything back if one did not fit.
class writer {
 public:
  constexpr explicit writer(output& out) noexcept : out_(out), begin_(out.size()) {}

  constexpr writer& operator<<(std::string_view text) noexcept {
    if (!out_.put(text)) fail(error::output_full);
    return *this;
  }
  constexpr writer& operator<<(std::uint64_t number) noexcept {
    char digits[20] = {};
    std::size_t at = sizeof digits;
    do {
      digits[--at] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    return *this << std::string_view{digits + at, sizeof digits - at};
  }
  constexpr writer& operator<<(const field& f) noexcept { return *this << f.name << ": " << f.value << "\r\n"; }
  constexpr writer& operator<<(std::span<const field> fields) noexcept {
    for (const field& f : fields) {
      if (!field_is_writable(f)) fail(error::field_refused);
      *this << f;
    }
    return *this;
  }
  constexpr void fail(error why) noexcept {
    if (why_ == error::none || why_ == error::output_full) why_ = why;  // a mistake outweighs a shortage
  }
  [[nodiscard]] constexpr error finish() noexcept {
    if (why_ != error::none) out_.rewind(begin_);
    return why_;
  }
  /// Memory for a part that another function writes.
  constexpr void write_with(auto&& write) noexcept {
    char part[512];
    const std::size_t n = write(part, sizeof part);
    *this << std::string_view{part, n};
  }

 private:
  output& out_;
  std::size_t begin_;
  error why_ = error::none;
};

constexpr std::string_view reason_phrase(unsigned status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 204: return "No Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 414: return "URI Too Long";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

constexpr error write_acceptance(output& out, const accept_value& accept, const negotiated& agreed,
                                 const acceptance& answer) noexcept {
  writer w{out};
  w << "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    << std::string_view{accept.data(), accept.size()} << "\r\n";
  if (!answer.subprotocol.empty()) w << field{"Sec-WebSocket-Protocol", answer.subprotocol};
  if (agreed.agreement != 0) {
    w << "Sec-WebSocket-Extensions: ";
    w.write_with([&](char* to, std::size_t room) { return agreed.extension->write_answer(agreed.agreement, to, room); });
    w << "\r\n";
  }
  w << answer.fields << "\r\n";
  return w.finish();
}

/// The beginning of every answer but 101.
constexpr void write_final_status(writer& w, std::uint16_t status) noexcept {
  w << "HTTP/1.1 " << std::uint64_t{status} << " " << reason_phrase(status) << "\r\n";
  // RFC 9110 15.5.22, RFC 6455 4.4: 426 says what to upgrade to.
  if (status == 426)
    w << "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n";
  else
    w << "Connection: close\r\n";
}

constexpr error write_response(output& out, const response& answer, bool to_head_method) noexcept {
  if (answer.status < 200 || answer.status > 599) return error::status_refused;
  writer w{out};
  write_final_status(w, answer.status);
  const bool has_content = answer.status != 204 && answer.status != 304;
  if (has_content) w << "Content-Length: " << std::uint64_t{answer.body.size()} << "\r\n";
  w << answer.fields << "\r\n";
  // RFC 9110 9.3.2: the answer to HEAD is the same without its body.
  if (has_content && !to_head_method) w << answer.body;
  return w.finish();
}

/// The codec's own answer to a request that breaks a rule: the status of the rule, and the rule in words.
constexpr error write_rejection(output& out, error why) noexcept {
  const explanation& words = explain(why);
  const std::uint16_t status = words.answer < 1000 ? words.answer : std::uint16_t{500};
  writer w{out};
  write_final_status(w, status);
  if (status == 405) w << "Allow: GET\r\n";
  w << "Content-Type: text/plain\r\nContent-Length: "
    << std::uint64_t{words.what.size() + words.source.size() + words.name.size() + 6} << "\r\n\r\n"
    << words.name << ": " << words.what << " (" << words.source << ")\n";
  return w.finish();
}

/// C10: a host and target that may be written into a request.
constexpr bool request_is_writable(const client_request& request) noexcept {
  if (!is_valid_authority(request.host) || !request.target.starts_with('/')) return false;
  for (const char c : request.target)
    if (c == ' ' || c == '\t' || c == '#' || is_control_byte(c) || byte_at(&c) >= 0x80) return false;
  for (const char c : request.origin)
    if (is_control_byte(c)) return false;
  return true;
}

constexpr error write_request(output& out, const client_request& request, std::string_view key,
                              const options& opt) noexcept {
  if (!request_is_writable(request)) return error::request_refused;
  writer w{out};
  w << "GET " << request.target << " HTTP/1.1\r\nHost: " << request.host
    << "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " << key
    << "\r\nSec-WebSocket-Version: 13\r\n";
  if (!request.origin.empty()) w << field{"Origin", request.origin};
  for (std::size_t i = 0; i < opt.subprotocols.size(); ++i) {
    // RFC 6455 4.1: tokens, and each of them once.
    if (!is_token(opt.subprotocols[i])) w.fail(error::subprotocol_not_offered);
    for (std::size_t j = 0; j < i; ++j)
      if (opt.subprotocols[j] == opt.subprotocols[i]) w.fail(error::subprotocol_not_offered);
    w << (i == 0 ? "Sec-WebSocket-Protocol: " : ", ") << opt.subprotocols[i];
  }
  if (!opt.subprotocols.empty()) w << "\r\n";
  if (opt.extension != nullptr) {
    char offer[512];
    const std::size_t n = opt.extension->write_offer(opt.extension->options, offer, sizeof offer);
    if (n != 0) w << "Sec-WebSocket-Extensions: " << std::string_view{offer, n} << "\r\n";
  }
  w << request.fields << "\r\n";
  return w.finish();
}

/// What a client makes of a 101 response (rules C01-C04).
struct checked_response {
  error why = error::none;
  std::string_view subprotocol = {};
  std::uint32_t agreement = 0;
};

constexpr bool offers_something(const extension_hook& hook) noexcept {
  char offer[512] = {};
  return hook.write_offer(hook.options, offer, sizeof offer) != 0;
}

constexpr checked_response check_response(std::string_view status_line, field_cursor fields,
                                          const accept_value& expected, const options& opt) noexcept {
  checked_response result;
  const handshake_fields g = gather(fields);
  const auto fail = [&](error why) {
    result.why = why;
    return result;
  };
  const std::string_view version = part(status_line, 0, 8);
  if (!version.starts_with("HTTP/1.") || version == "HTTP/1.0") return fail(error::response_http_too_old);
  if (!g.upgrade_has_websocket || g.upgrade_tokens != 1) return fail(error::response_upgrade_wrong);
  if (!g.connection_has_upgrade) return fail(error::response_connection_wrong);
  if (g.accepts == 0) return fail(error::accept_missing);
  if (g.accepts > 1) return fail(error::accept_doubled);
  if (g.accept != std::string_view{expected.data(), expected.size()}) return fail(error::accept_wrong);
  if (g.has_extensions) {
    extension_cursor list{fields};
    bool any = false;
    for (extension e; list.next(e);) {
      if (opt.extension == nullptr || !same_name(e.name(), opt.extension->name) || !offers_something(*opt.extension))
        return fail(error::extension_not_requested);
      if (any) return fail(error::extension_repeated);
      any = true;
      result.agreement = opt.extension->confirm(opt.extension->options, e.rest());
      if (result.agreement == 0) return fail(error::extension_parameters_wrong);
    }
    if (list.malformed()) return fail(error::extensions_malformed);
    if (!any) return fail(error::list_empty);
  }
  if (g.subprotocols > 1) return fail(error::several_subprotocols);
  if (g.subprotocols == 1) {
    if (g.subprotocol.empty()) return fail(error::list_empty);
    bool offered = false;
    for (const std::string_view ours : opt.subprotocols) offered |= g.subprotocol == ours;
    if (!offered)
      return fail(g.subprotocol.find(',') == std::string_view::npos ? error::subprotocol_not_requested
                                                                    : error::several_subprotocols);
    result.subprotocol = g.subprotocol;
  } else if (opt.require_subprotocol && !opt.subprotocols.empty()) {
    return fail(error::no_subprotocol_selected);
  }
  return result;
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// A handshake that somebody else's HTTP server has read, answered by `upgrade`.
struct upgraded {
  constexpr upgraded() noexcept = default;
  upgraded(const upgraded&) = delete;
  upgraded& operator=(const upgraded&) = delete;

  error why = error::none;      ///< not none: answer `status` and these fields, and close
  std::uint16_t status = 101;
  accept_value accept = {};     ///< `fields` points here
  negotiated agreed = {};       ///< for `connection` or `session`, which then start open
  char extension_answer[128] = {};
  std::array<field, 5> field_list = {};
  std::size_t field_count = 0;

  /// The fields to write, besides those of the HTTP server itself. They point into this object and `subprotocol`.
  [[nodiscard]] constexpr std::span<const field> fields() const noexcept { return {field_list.data(), field_count}; }
};

/// Checks the fields of a GET request (HTTP/1.1) that another HTTP server parsed, and gives the status and fields of the
/// response. `subprotocol` must be one the client offered, or empty. Fills `to`, which must stay where it is while
/// `fields()` is used. Rules H03-H19 and H30-H34. RFC 6455 4.2.
constexpr error upgrade(std::span<const field> request, const options& opt, std::string_view subprotocol,
                        upgraded& to) noexcept {
  to.why = error::none;
  to.status = 101;
  to.agreed = {};
  to.field_count = 0;
  const auto add = [&](std::string_view name, std::string_view value) {
    to.field_list[to.field_count++] = {name, value};
  };
  const detail::checked_request checked = detail::check_request(nullptr, field_cursor{request}, opt);
  to.why = checked.why;
  if (to.why == error::none && !subprotocol.empty() &&
      !detail::offers_subprotocol(field_cursor{request}, subprotocol))
    to.why = error::subprotocol_not_offered;
  if (to.why != error::none) {
    to.status = explain(to.why).answer != 0 ? explain(to.why).answer : std::uint16_t{500};
    if (to.status == 426) {
      add("Upgrade", "websocket");
      add("Connection", "Upgrade, close");
      add("Sec-WebSocket-Version", "13");
    } else {
      add("Connection", "close");
    }
    return to.why;
  }
  to.accept = checked.accept;
  to.agreed = {checked.agreement != 0 ? opt.extension : nullptr, checked.agreement};
  add("Upgrade", "websocket");
  add("Connection", "Upgrade");
  add("Sec-WebSocket-Accept", {to.accept.data(), to.accept.size()});
  if (!subprotocol.empty()) add("Sec-WebSocket-Protocol", subprotocol);
  if (to.agreed.agreement != 0)
    add("Sec-WebSocket-Extensions",
        {to.extension_answer,
         opt.extension->write_answer(to.agreed.agreement, to.extension_answer, sizeof to.extension_answer)});
  return error::none;
}

WSCODEC_FUNCTIONS_END
