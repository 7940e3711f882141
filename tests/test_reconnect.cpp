#include <wscodec/reconnect.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "catch.hpp"
#include "support/link.hpp"

namespace ws = wscodec;
using ws::never;

namespace {

constexpr std::uint64_t s = 1'000'000;
constexpr std::uint64_t now = 77 * s;

/// The window before the n-th attempt in a row, found by the largest random number there is in it.
constexpr std::uint64_t window(std::uint32_t failures, const ws::reconnect_options& opt) {
  ws::reconnect at_once{.failures = failures}, at_last{.failures = failures};
  if (ws::next_attempt(at_once, now, 0, opt) != now) return never;
  // `random % (w + 1)` is w for random = w, and 0 for w + 1.
  for (std::uint64_t w = opt.first; w <= opt.cap; w *= 2) {
    ws::reconnect a{.failures = failures}, b{.failures = failures};
    if (ws::next_attempt(a, now, w, opt) == now + w && ws::next_attempt(b, now, w + 1, opt) == now) return w;
  }
  return ws::next_attempt(at_last, now, opt.cap, opt) - now;
}

static_assert(window(0, {}) == 5 * s);  // RFC 6455 7.2.3
static_assert(window(3, {}) == 40 * s);

}  // namespace

TEST_CASE("R01 the first attempt comes at random within the first window, both ends included", "[reconnect][R01]") {
  ws::reconnect_options opt;
  opt.first = 9;
  std::uint64_t seen[10] = {};
  sim::generator random;
  for (int i = 0; i < 10'000; ++i) {
    ws::reconnect r;
    const std::uint64_t at = ws::next_attempt(r, now, random.state = random(never >> 34), opt);
    REQUIRE(at >= now);
    REQUIRE(at <= now + 9);
    ++seen[at - now];
    CHECK(r.failures == 1);
  }
  for (const std::uint64_t n : seen) CHECK((n > 800 && n < 1200));
}

TEST_CASE("R02 the window doubles with every failure, up to the cap", "[reconnect][R02]") {
  const std::uint64_t expected[] = {5, 10, 20, 40, 60, 60, 60};
  for (std::uint32_t i = 0; i < 7; ++i) CHECK(window(i, {}) == expected[i] * s);
  ws::reconnect_options opt;
  for (const auto& [first, cap] : {std::pair{1 * s, 64 * s}, {3 * s, 3 * s}, {7 * s, 2 * s}, {1 * s, never}, {std::uint64_t{0}, 9 * s}}) {
    opt.first = first;
    opt.cap = cap;
    ws::reconnect r;
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t wait = ws::next_attempt(r, now, never >> 1, opt) - now;
      CHECK(wait <= cap);
      if (cap == never && i > 64) CHECK(wait == never >> 1);
    }
    CHECK(r.failures == 200);
  }
  opt.first = 4;
  opt.cap = 9;
  for (const auto& [failures, wait] : {std::pair{0U, 4U}, {1U, 8U}, {2U, 9U}, {3U, 9U}}) {
    ws::reconnect a{.failures = failures}, b{.failures = failures};
    CHECK(ws::next_attempt(a, now, wait, opt) == now + wait);
    CHECK(ws::next_attempt(b, now, wait + 1, opt) == now);
  }
  ws::reconnect r{.failures = ~std::uint32_t{0}};
  (void)ws::next_attempt(r, now, 1, {});
  CHECK(r.failures == ~std::uint32_t{0});
}

TEST_CASE("R03 a connection that lasted begins anew, a shorter one is a failure", "[reconnect][R03]") {
  for (const std::uint64_t lasted : {0 * s, 10 * s - 1, 10 * s, 1000 * s}) {
    ws::reconnect r;
    for (int i = 0; i < 4; ++i) (void)ws::next_attempt(r, now, 0, {});
    CHECK(r.failures == 4);
    ws::connected(r, now);
    (void)ws::next_attempt(r, now + lasted, 0, {});
    CHECK(r.failures == (lasted >= 10 * s ? 1U : 5U));
    // An attempt that failed is no connection, whenever it was made.
    (void)ws::next_attempt(r, now + 5000 * s, 0, {});
    CHECK(r.failures == (lasted >= 10 * s ? 2U : 6U));
  }
  ws::reconnect_options any;
  any.steady = 0;
  ws::reconnect at_once{.opened_at = now, .failures = 3};
  (void)ws::next_attempt(at_once, now, 0, any);
  CHECK(at_once.failures == 1);
  ws::reconnect backwards{.failures = 3};
  ws::connected(backwards, now);
  (void)ws::next_attempt(backwards, now - 1, 0, {});
  CHECK(backwards.failures == 4);
}

TEST_CASE("R04 Retry-After is waited for before the window begins", "[reconnect][R04]") {
  ws::reconnect r;
  CHECK(ws::next_attempt(r, now, 0, {}, 7 * s) == now + 7 * s);
  CHECK(ws::next_attempt(r, now, 10 * s, {}, 7 * s) == now + 17 * s);
  CHECK(ws::next_attempt(r, now, 0, {}, 100'000 * s) == now + 3600 * s);
}

TEST_CASE("R04 Retry-After in seconds or as a date", "[reconnect][R04]") {
  static_assert(ws::parse_retry_after("120") == 120 * s);
  static_assert(ws::parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 30) == 30 * s);  // RFC 9110 5.6.7
  const std::pair<std::string_view, std::uint64_t> rows[] = {
      {"", 0}, {"0", 0}, {"1", s}, {"0007", 7 * s}, {"-1", 0}, {"1.5", 0}, {"5s", 0}, {" 5", 0}, {"soon", 0},
      {"Thu, 01 Jan 1970 00:00:01 GMT", 0},              // has passed
      {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400 * s - 900000000 * s},
      {"Wed, 01 Mar 2000 00:00:00 GMT", 951868800 * s - 900000000 * s},
      {"Fri, 31 Dec 2100 23:59:59 GMT", 4133980799 * s - 900000000 * s},
      {"Sun, 06 Nov 1994 08:49:37 UTC", 0}, {"Sunday, 06-Nov-94 08:49:37 GMT", 0}, {"Sun Nov  6 08:49:37 1994", 0},
      {"Sun, 32 Nov 2034 08:49:37 GMT", 0}, {"Sun, 06 anF 2034 08:49:37 GMT", 0}, {"Sun, 06 Nov 2034 24:00:00 GMT", 0},
      {"Sun, 06 Nov 2034 08:60:00 GMT", 0}, {"Sun, 06 Nov 2034 08:00:6x GMT", 0}, {"Sun, 0x Nov 2034 08:00:00 GMT", 0},
      {"Sun, 06 Nov 20x4 08:00:00 GMT", 0}, {"Sun; 06 Nov 2034 08:49:37 GMT", 0}, {"Sun, 06-Nov 2034 08:49:37 GMT", 0},
      {"Sun, 06 Nov-2034 08:49:37 GMT", 0}, {"Sun, 06 Nov 2034T08:49:37 GMT", 0}, {"Sun, 06 Nov 2034 08.49:37 GMT", 0},
      {"Sun, 06 Nov 2034 08:49.37 GMT", 0}, {"Sun, 06 nov 2034 08:49:37 GMT", 0}, {"Sun, 06 Nov 2034 -8:49:37 GMT", 0},
      {"Sun, 06 Nov 2034 08:+9:37 GMT", 0}, {"Sun, 06 Nov 2034 08:49:61 GMT", 0}, {"Sun, 00 Nov 2034 08:49:37 GMT", 0},
      {"Sun, 06 Nov 2034 23:59:60 GMT", 2046470400 * s - 900000000 * s},  // a leap second
      {"Sun, 06 Nox 2034 08:00:00 GMT", 0}, {"Tue, 29 Feb 2000 00:00:60 GMT", 951782460 * s - 900000000 * s}, {"Tue, 29 Feb 2000 00:00:61 GMT", 0},
      {"x1n, 06 Nov 2034 0", 0}};
  for (const auto& [text, expected] : rows) {
    INFO(text);
    CHECK(ws::parse_retry_after(text, 900000000) == expected);
  }
  CHECK(ws::parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 30) == 30 * s);
  CHECK(ws::parse_retry_after("Wed, 31 Dec 1969 00:01:00 GMT", 30) == 0);
  // Each byte that is no letter or digit must be what it is, and nothing may be left out or added.
  const std::string date = "Tue, 29 Feb 2000 00:00:00 GMT";
  for (const std::size_t i : {3U, 4U, 7U, 11U, 16U, 19U, 22U, 25U, 26U, 27U, 28U}) {
    std::string broken = date;
    broken[i] = '0';
    CHECK(ws::parse_retry_after(broken, 900000000) == 0);
  }
  for (std::size_t n = 0; n < date.size(); ++n) CHECK(ws::parse_retry_after(std::string{date.data(), n}, 900000000) == 0);
  CHECK(ws::parse_retry_after(date + "x", 900000000) == 0);
  CHECK(ws::parse_retry_after("1844674407370") == 1844674407370 * s);
  CHECK(ws::parse_retry_after("17000000000000") == 17000000000000 * s);
  CHECK(ws::parse_retry_after("18446744073708") == 18446744073708 * s);
  CHECK(ws::parse_retry_after("18446744073710") == 18446744073709 * s);  // the most there is
  CHECK(ws::parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT") == 0);  // the caller does not know what time it is
  CHECK(ws::parse_retry_after(std::string(50, '9')) == never / s * s);
  ws::reconnect r;
  CHECK(ws::next_attempt(r, now, 0, {}, ws::parse_retry_after(std::string(50, '9'))) == now + 3600 * s);
}

TEST_CASE("R05 after so many failures in a row there is no next attempt", "[reconnect][R05]") {
  ws::reconnect_options opt;
  opt.attempts = 3;
  ws::reconnect r;
  for (int i = 0; i < 3; ++i) CHECK(ws::next_attempt(r, now, 0, opt) == now);
  CHECK(ws::next_attempt(r, now, 0, opt) == never);
  CHECK(ws::next_attempt(r, now, 0, opt) == never);
  ws::connected(r, now);  // the user tried again
  CHECK(ws::next_attempt(r, now + 10 * s, 0, opt) == now + 10 * s);
}

TEST_CASE("R06 which codes, statuses and failures are worth retrying", "[reconnect][R06]") {
  const auto rows = [](std::initializer_list<unsigned> codes, bool worth) {
    for (const unsigned code : codes) {
      INFO(code);
      CHECK(ws::advise_retry(code).retry == worth);
      CHECK(!ws::advise_retry(code).why.empty());
    }
  };
  rows({408, 425, 429, 500, 502, 503, 504, 520, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 3008}, true);
  rows({0, 101, 200, 301, 307, 400, 401, 403, 404, 405, 407, 426, 431, 501, 505, 1000, 1002, 1003, 1004, 1007, 1008, 1009, 1010, 1015,
        2000, 3000, 3001, 3003, 4000, 4999, 5000, 65535, 65536},
       false);
  // The first row that a number is in says why; each says it in words of its own.
  constexpr std::pair<unsigned, unsigned> ranges[] = {
      {300, 399}, {408, 408}, {425, 425}, {429, 429}, {400, 499}, {501, 501}, {505, 505}, {500, 599}, {1000, 1000},
      {1001, 1001}, {1002, 1003}, {1005, 1005}, {1006, 1006}, {1007, 1007}, {1008, 1008}, {1009, 1009}, {1010, 1010},
      {1011, 1011}, {1012, 1012}, {1013, 1013}, {1014, 1014}, {1015, 1015}, {3000, 3000}, {3003, 3003}, {3008, 3008},
      {0, 65535}, {65536, 65537}};
  constexpr std::size_t rows_in_all = std::size(ranges);
  std::string_view words[rows_in_all];
  for (unsigned code = 0; code <= 65537; ++code) {
    std::size_t i = 0;
    while (code < ranges[i].first || code > ranges[i].second) ++i;
    const std::string_view why = ws::advise_retry(code).why;
    if (words[i].empty()) words[i] = why;
    if (words[i] != why) FAIL_CHECK(code << ": " << why);
  }
  std::sort(words, words + rows_in_all);
  CHECK(std::adjacent_find(words, words + rows_in_all) == words + rows_in_all);
  for (const ws::error why : {ws::error::connection_lost, ws::error::handshake_timeout, ws::error::close_timeout, ws::error::pong_timeout,
                              ws::error::idle_timeout, ws::error::write_timeout, ws::error::out_of_memory})
    CHECK(ws::advise_retry(why).retry);
  for (const ws::error why : {ws::error::none, ws::error::accept_wrong, ws::error::rsv2_set, ws::error::handshake_refused, ws::error::uri_host})
    CHECK(!ws::advise_retry(why).retry);
}
