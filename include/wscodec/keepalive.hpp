// wscodec: layer 4, keepalive: every deadline of the rule table (T01-T07). Time is an argument: microseconds, monotonic,
// any epoch. What happened since the last tick counts from the next `tick`, or from the last one if `next_deadline`
// sees it first: so it does not matter whether a turn begins or ends with its tick, and no deadline falls too early.
#pragma once

#include <cstdint>

#include "config.hpp"
#include "options.hpp"

WSCODEC_TYPES_BEGIN

/// What has come due.
enum class due : std::uint8_t { nothing, ping, handshake_timeout, close_timeout, pong_timeout, idle_timeout, write_timeout };

/// What the deadlines must know of their connection at a tick.
struct activity {
  bool handshaking = false;     ///< the opening handshake has begun and is not finished
  bool ending = false;          ///< our Close or rejection is out, or a failure happened; the transport is still there
  bool open = false;            ///< messages may be sent
  bool output_waits = false;    ///< there are bytes the transport has not taken
  std::uint64_t received = 0;   ///< bytes so far
  std::uint64_t sent = 0;       ///< bytes so far that the transport took
};

/// No deadline at all.
inline constexpr std::uint64_t never = ~std::uint64_t{0};

/// The clock of one connection.
struct keepalive {
  std::uint64_t now = 0;
  std::uint64_t phase_since = 0;     ///< handshaking or ending began
  std::uint64_t received_at = 0;
  std::uint64_t sent_at = 0;
  std::uint64_t stuck_since = 0;     ///< output waits and none was taken
  std::uint64_t pinged_at = 0;       ///< when the ping that `pinged` speaks of was sent
  std::uint32_t round_trip = 0;      ///< of the last answered ping; 0: none yet
  std::uint32_t ping_lag = 0;        ///< by how much `pinged_at` is later than the tick before the ping
  std::uint32_t seen_received = 0;   ///< counters at the last look, enough to see a change
  std::uint32_t seen_sent = 0;
  std::uint32_t random = 0;          ///< of the caller, for `ping_jitter`; another one after each ping; 0: no jitter
  bool started : 1 = false;
  bool was_handshaking : 1 = false;
  bool was_ending : 1 = false;
  bool was_waiting : 1 = false;      ///< output waited
  bool was_pinged : 1 = false;
  bool out : 1 = false;              ///< all that was to be sent before the end was taken
  bool pinged : 1 = false;           ///< a ping of ours is unanswered since `pinged_at`
  bool measured : 1 = false;         ///< `round_trip` was not taken into statistics yet
};

/// What a caller may gather of round trips, in microseconds; as RFC 6298 2 smooths them.
struct round_trip_statistics {
  std::uint32_t last = 0;
  std::uint32_t least = 0xFFFFFFFF;
  std::uint32_t smoothed = 0;
  std::uint32_t deviation = 0;
  std::uint32_t count = 0;
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

constexpr std::uint64_t later(std::uint64_t since, std::uint64_t by) noexcept {
  return by == 0 ? never : since > never - by ? never : since + by;
}

constexpr std::uint32_t to_32_bits(std::uint64_t time) noexcept {
  return time < 0xFFFFFFFFU ? static_cast<std::uint32_t>(time) : 0xFFFFFFFFU;
}

/// Our ping was sent, or its answer came. The round trip is as exact as the ticks are.
constexpr void ping_sent(keepalive& k) noexcept {
  if (k.pinged) return;
  k.pinged = true;
  k.was_pinged = false;
  k.pinged_at = k.now;
  k.ping_lag = 0;
}
constexpr void ping_answered(keepalive& k) noexcept {
  k.pinged = false;
  k.measured = true;
  k.round_trip = to_32_bits(k.now - k.pinged_at + k.ping_lag);
}

/// Sees what happened since the last look; it happened at `k.now`.
constexpr void observe(keepalive& k, const activity& a) noexcept {
  const auto received = static_cast<std::uint32_t>(a.received);
  const auto sent = static_cast<std::uint32_t>(a.sent);
  if (received != k.seen_received) k.received_at = k.now;
  if (sent != k.seen_sent) k.sent_at = k.now;
  if (!a.output_waits || sent != k.seen_sent) k.stuck_since = k.now;
  if (a.output_waits && !k.was_waiting) k.stuck_since = k.now;
  // T02 is about a Close that is out: as long as the peer takes what comes before it, the time begins anew.
  const bool other_phase = a.handshaking != k.was_handshaking || a.ending != k.was_ending;
  if (other_phase || (a.ending && !k.out && sent != k.seen_sent)) k.phase_since = k.now;
  if (k.pinged && !k.was_pinged) {
    k.ping_lag = to_32_bits(k.now - k.pinged_at);
    k.pinged_at = k.now;
  }
  k.out = a.ending && (!a.output_waits || k.out);
  k.seen_received = received;
  k.seen_sent = sent;
  k.was_handshaking = a.handshaking;
  k.was_ending = a.ending;
  k.was_waiting = a.output_waits;
  k.was_pinged = k.pinged;
}

/// The silence before a ping: `ping_interval`, less a random part of `ping_jitter`.
constexpr std::uint64_t ping_interval(const keepalive& k, const options& opt) noexcept {
  if (opt.ping_interval == 0) return 0;
  const std::uint64_t most = opt.ping_jitter < opt.ping_interval ? opt.ping_jitter : opt.ping_interval - 1;
  return opt.ping_interval - (most >> 32) * k.random - ((most & 0xFFFFFFFFU) * k.random >> 32);
}

/// Xorshift: goes through all numbers but 0, which stays.
constexpr std::uint32_t next_random(std::uint32_t x) noexcept {
  x ^= x << 13;
  x ^= x >> 17;
  return x ^ x << 5;
}

/// When each deadline falls due, the earliest first in importance.
constexpr std::uint64_t deadline(const keepalive& k, const activity& a, const options& opt, due what) noexcept {
  const std::uint64_t last = k.received_at > k.sent_at ? k.received_at : k.sent_at;
  switch (what) {
    case due::handshake_timeout: return a.handshaking ? later(k.phase_since, opt.handshake_timeout) : never;
    case due::close_timeout: return a.ending ? later(k.phase_since, opt.close_timeout) : never;
    case due::write_timeout: return a.output_waits ? later(k.stuck_since, opt.write_timeout) : never;
    case due::pong_timeout: return a.open && k.pinged ? later(k.pinged_at, opt.pong_timeout) : never;
    case due::idle_timeout: return a.open ? later(k.received_at, opt.idle_timeout) : never;
    // A ping. Where no pong is waited for, pings go on without one.
    default: return a.open && (!k.pinged || opt.pong_timeout == 0) ? later(last, ping_interval(k, opt)) : never;
  }
}

inline constexpr due all_dues[] = {due::write_timeout, due::handshake_timeout, due::close_timeout,
                                   due::pong_timeout,  due::idle_timeout,      due::ping};

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// Moves the clock to `now` (never back, T06) and says what has come due; call again until nothing is.
[[nodiscard]] constexpr due tick(keepalive& k, std::uint64_t now, const activity& a, const options& opt) noexcept {
  if (!k.started) {
    k.started = true;
    k.now = k.phase_since = k.received_at = k.sent_at = k.stuck_since = k.pinged_at = now;
  }
  if (now > k.now) k.now = now;
  detail::observe(k, a);
  for (const due what : detail::all_dues)
    if (const std::uint64_t at = detail::deadline(k, a, opt, what); at <= k.now && at != never) {
      if (what == due::ping) k.random = detail::next_random(k.random);
      return what;
    }
  return due::nothing;
}

/// Adds a round trip. RFC 6298 2.2, 2.3: 1/4 of the newest difference, then 1/8 of the newest time.
constexpr void add_round_trip(round_trip_statistics& s, std::uint32_t time) noexcept {
  const std::uint32_t apart = time > s.smoothed ? time - s.smoothed : s.smoothed - time;
  if (s.count == 0) {
    s.smoothed = time;
    s.deviation = time / 2;
  } else {
    s.deviation = s.deviation - s.deviation / 4 + apart / 4;
    s.smoothed = time > s.smoothed ? s.smoothed + apart / 8 : s.smoothed - apart / 8;
  }
  s.last = time;
  if (time < s.least) s.least = time;
  if (s.count != 0xFFFFFFFFU) ++s.count;
}

/// Adds the latest round trip if there was one since the last call; says whether there was.
constexpr bool take_round_trip(keepalive& k, round_trip_statistics& to) noexcept {
  if (!k.measured) return false;
  k.measured = false;
  add_round_trip(to, k.round_trip);
  return true;
}

/// The time at which `tick` should be called at the latest; `never` if nothing is awaited.
[[nodiscard]] constexpr std::uint64_t next_deadline(keepalive& k, const activity& a, const options& opt) noexcept {
  if (!k.started) return 0;
  detail::observe(k, a);
  std::uint64_t earliest = never;
  for (const due what : detail::all_dues) {
    const std::uint64_t at = detail::deadline(k, a, opt, what);
    if (at < earliest) earliest = at;
  }
  return earliest;
}

WSCODEC_FUNCTIONS_END
