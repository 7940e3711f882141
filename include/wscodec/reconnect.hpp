// wscodec: layer 4, reconnect: when to connect again (RFC 6455 7.2.3): back-off with full jitter, and whether it is worth it.
//
// Without jitter all clients of a server that restarted come back at the same moments, however long they wait. So each
// waits a random time within a window, which doubles with every failure in a row up to a cap, and begins anew once a
// connection has lasted. Time and randomness are arguments: microseconds, monotonic; any 64 bits that differ by client.
//
// Rules, by the id that their tests carry:
//   R01  an attempt comes at random within the window, ends included; the first window is `first`.
//   R02  the window doubles with every failure in a row, up to `cap`.
//   R03  a connection that was open for `steady` begins anew; a shorter one counts as a failure.
//   R04  Retry-After is waited for before the window begins; seconds or a date, at most `longest_wait`.
//   R05  after `attempts` failures in a row there is no next attempt.
//   R06  what is worth retrying is in the table below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "config.hpp"
#include "error.hpp"
#include "keepalive.hpp"

WSCODEC_TYPES_BEGIN

/// Times in microseconds.
struct reconnect_options {
  std::uint64_t first = 5'000'000;             ///< the first window; RFC 6455 7.2.3 proposes 0 to 5 s
  std::uint64_t cap = 60'000'000;              ///< the largest window
  std::uint64_t steady = 10'000'000;           ///< a connection that lasted so long was a good one
  std::uint64_t longest_wait = 3'600'000'000;  ///< the most that a server's Retry-After is believed
  std::uint32_t attempts = 0;                  ///< failures in a row after which it ends; 0: none
};

/// What one client must remember from connection to connection.
struct reconnect {
  std::uint64_t opened_at = never;
  std::uint32_t failures = 0;  ///< in a row
};

/// Whether to connect again, and why.
struct retry_advice {
  bool retry;
  std::string_view why;
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

struct retry_row {
  std::uint16_t first, last;
  retry_advice advice;
};

/// By HTTP status (below 1000) and close code; the first row that fits.
inline constexpr retry_row retry_table[] = {
    {300, 399, {false, "go to its Location instead"}},
    {408, 408, {true, "the server did not wait longer"}},
    {425, 425, {true, "too early, not wrong"}},
    {429, 429, {true, "too many requests; Retry-After says when"}},
    {400, 499, {false, "the same request would be refused again"}},
    {501, 501, {false, "the server cannot do it"}},
    {505, 505, {false, "the server does not speak HTTP/1.1"}},
    {500, 599, {true, "the server or a gateway is in trouble"}},
    {1000, 1000, {false, "the peer has finished"}},
    {1001, 1001, {true, "the server goes away; another, or the next, is there"}},
    {1002, 1003, {false, "the peers do not speak the same protocol"}},
    {1005, 1005, {true, "closed without saying why"}},
    {1006, 1006, {true, "the connection was lost"}},
    {1007, 1007, {false, "the same bytes would fail again"}},
    {1008, 1008, {false, "against the server's policy"}},
    {1009, 1009, {false, "the same message would be too big again"}},
    {1010, 1010, {false, "an extension is missing"}},
    {1011, 1011, {true, "the server met an error of its own"}},
    {1012, 1012, {true, "the service restarts"}},
    {1013, 1013, {true, "the server is overloaded"}},
    {1014, 1014, {true, "a gateway got no good answer"}},
    {1015, 1015, {false, "TLS failed: a certificate does not mend itself"}},
    {3000, 3000, {false, "unauthorized: ask for credentials first"}},
    {3003, 3003, {false, "forbidden"}},
    {3008, 3008, {true, "a timeout of the application"}},
    {0, 0xFFFF, {false, "only the application knows what it means"}},
};

/// Days from 1970-01-01 in the Gregorian calendar; months and days count from 1.
constexpr std::int64_t days_from_1970(std::int64_t year, unsigned month, unsigned day) noexcept {
  if (month <= 2) --year;  // a year that begins in March has its leap day at the end
  const unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

/// The digits of `text` at `at`, which all must be; -1 otherwise.
constexpr int number_at(std::string_view text, std::size_t at, std::size_t digits) noexcept {
  int value = 0;
  for (std::size_t i = at; i < at + digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = 10 * value + (text[i] - '0');
  }
  return value;
}

/// RFC 9110 5.6.7, the preferred form: `Sun, 06 Nov 1994 08:49:37 GMT`, as seconds since 1970; negative if it is not that.
constexpr std::int64_t parse_http_date(std::string_view text) noexcept {
  if (text.size() != 29 || part(text, 3, 2) != ", " || text[7] != ' ' || text[11] != ' ' || text[16] != ' ' ||
      text[19] != ':' || text[22] != ':' || part(text, 25) != " GMT")
    return -1;
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const std::size_t month = months.find(part(text, 8, 3));
  const int day = number_at(text, 5, 2), year = number_at(text, 12, 4);
  const int hour = number_at(text, 17, 2), minute = number_at(text, 20, 2), second = number_at(text, 23, 2);
  if (month == std::string_view::npos || month % 3 != 0 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60)
    return -1;
  return days_from_1970(year, static_cast<unsigned>(month / 3 + 1), static_cast<unsigned>(day)) * 86400 + hour * 3600 + minute * 60 + second;
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Whether to connect again after a close code, or an HTTP status instead of 101 (R06).
[[nodiscard]] constexpr retry_advice advise_retry(unsigned code) noexcept {
  for (const detail::retry_row& row : detail::retry_table)
    if (code >= row.first && code <= row.last) return row.advice;
  return {false, "no such code"};
}

/// The same after a failure of ours: what time or the network did is worth it, a broken rule is not. After
/// `handshake_refused` the status decides.
[[nodiscard]] constexpr retry_advice advise_retry(error why) noexcept {
  switch (why) {
    case error::connection_lost:
    case error::handshake_timeout:
    case error::close_timeout:
    case error::pong_timeout:
    case error::idle_timeout:
    case error::write_timeout: return {true, "the network or the server did not answer"};
    case error::out_of_memory: return {true, "memory may be had later"};
    default: return {false, "the same would happen again"};
  }
}

/// Microseconds that a Retry-After field asks for (RFC 9110 10.2.3): seconds, or a date, for which the caller says what
/// time it is, in seconds since 1970 (0: not known). 0 when there is none, it is malformed, or the date has passed.
[[nodiscard]] constexpr std::uint64_t parse_retry_after(std::string_view value, std::uint64_t seconds_since_1970 = 0) noexcept {
  constexpr std::uint64_t most = never / 1'000'000;
  std::uint64_t seconds = 0;
  if (const std::int64_t at = detail::parse_http_date(value); at > 0) {
    const auto then = static_cast<std::uint64_t>(at);
    seconds = seconds_since_1970 != 0 && then > seconds_since_1970 ? then - seconds_since_1970 : 0;
  } else {
    for (const char c : value) {
      if (c < '0' || c > '9') return 0;
      if (seconds < most) seconds = 10 * seconds + static_cast<std::uint64_t>(c - '0');
    }
  }
  return (seconds < most ? seconds : most) * 1'000'000;
}

/// The connection is open.
constexpr void connected(reconnect& r, std::uint64_t now) noexcept { r.opened_at = now; }

/// The connection has ended, or an attempt has failed: the time of the next attempt, or `never` (R05).
[[nodiscard]] constexpr std::uint64_t next_attempt(reconnect& r, std::uint64_t now, std::uint64_t random, const reconnect_options& opt,
                                                   std::uint64_t retry_after = 0) noexcept {
  const bool lasted = r.opened_at != never && now >= r.opened_at && now - r.opened_at >= opt.steady;
  r.failures = lasted ? 0 : r.failures;
  r.opened_at = never;
  if (opt.attempts != 0 && r.failures >= opt.attempts) return never;
  std::uint64_t window = opt.first;
  for (std::uint32_t i = 0; i < r.failures && window < opt.cap; ++i) window = window > opt.cap / 2 ? opt.cap : window * 2;
  if (window > opt.cap) window = opt.cap;
  if (r.failures != ~std::uint32_t{0}) ++r.failures;
  const std::uint64_t wait = retry_after < opt.longest_wait ? retry_after : opt.longest_wait;
  return now + wait + (window == never ? random : random % (window + 1));
}

WSCODEC_FUNCTIONS_END
