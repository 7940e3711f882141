// wscodec: layer 4, the options: every limit, policy and deadline in one place, with the defaults of the rule table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "config.hpp"
#include "extensions.hpp"
#include "http_head.hpp"
#include "trace.hpp"

WSCODEC_TYPES_BEGIN

/// Shared by any number of connections and sessions, which keep a reference: it must outlive them and not change.
/// Sizes in bytes, times in microseconds; a time of 0 turns its deadline off.
struct options {
  // Limits.
  std::uint64_t max_message = 16 * 1024 * 1024;    ///< F18, over the sum of the fragments
  std::uint32_t max_fragments = 65536;             ///< F12
  head_limits head = {};                           ///< H26
  std::uint32_t max_response_body = 64 * 1024;     ///< C07, the rest is left out
  std::uint64_t max_discarded = 16 * 1024 * 1024;  ///< K15, input eaten after the end before the transport is dropped

  // The opening handshake.
  std::span<const std::string_view> subprotocols = {};  ///< client: what to offer, the best first; server: those that `subprotocol()` can tell
  bool require_subprotocol = false;                     ///< C03, as browsers do
  bool pass_plain_requests = false;                     ///< H04b, a page and a WebSocket on one port
  std::span<const std::string_view> allowed_origins = {};  ///< H34; none listed: every origin
  bool allow_null_origin = false;                          ///< H34, with a list: `Origin: null`
  bool allow_absent_origin = true;                         ///< H34, with a list: no Origin, as from a program
  const extension_hook* extension = nullptr;               ///< permessage-deflate

  // Messages and closing.
  bool auto_pong = true;                ///< F19; off: the caller answers pings
  bool auto_close_reply = true;         ///< K01; off: the caller answers the peer's Close by `close`
  bool pong_after_close = false;        ///< F19, after our own Close
  bool discard_after_close = false;     ///< K10, data after our own Close
  bool trust_text = false;              ///< F22, do not check text that is sent
  bool cut_long_reason = false;         ///< K05, cut at a code point rather than refuse

  // Seeing what happens.
  const trace_hook* trace = nullptr;    ///< called for each frame, both ways; set before a session begins

  // Deadlines (rules T01-T07), driven by `tick`.
  std::uint64_t handshake_timeout = 10'000'000;
  std::uint64_t close_timeout = 5'000'000;
  std::uint64_t ping_interval = 0;
  std::uint64_t ping_jitter = 0;  ///< by up to so much earlier, so that many connections do not ping at once; see `session::set_jitter`
  std::uint64_t pong_timeout = 20'000'000;
  std::uint64_t idle_timeout = 0;
  std::uint64_t write_timeout = 30'000'000;

  // Sessions.
  std::size_t high_water = 1024 * 1024;  ///< `backed_up()` from here ...
  std::size_t low_water = 256 * 1024;    ///< ... until the output has shrunk to here
};

WSCODEC_TYPES_END
