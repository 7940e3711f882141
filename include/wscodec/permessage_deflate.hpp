// wscodec: layer 5, permessage-deflate (RFC 7692): negotiation as data, the interface an engine fills, and messages.
//
//   const ws::deflate_options deflate{.engine = &ws::zlib_engine};          // zlib.hpp
//   const ws::extension_hook extension = ws::permessage_deflate(deflate);
//   options.extension = &extension;                                        // of connections and sessions
//
// A session then inflates and compresses by itself. A connection passes compressed pieces on (`event::compressed`); an
// `inflating_reader` inflates them in bounded memory. Nothing is allocated before the first compressed message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "allocator.hpp"
#include "bytes.hpp"
#include "config.hpp"
#include "error.hpp"
#include "extensions.hpp"

WSCODEC_TYPES_BEGIN

/// What one direction is to be compressed or inflated with.
struct deflate_parameters {
  std::uint8_t window_bits = 15;  ///< 8-15: nothing refers further back than 2^window_bits bytes
  bool takeover = true;           ///< a message may refer to those before it
  std::int8_t level = 6;          ///< compressing: 0-9
  std::uint8_t memory_level = 8;  ///< compressing: 1-9
};

enum class deflate_status : std::uint8_t {
  done,           ///< all the input was taken and all of its output written
  output_full,    ///< call again with more room
  final_block,    ///< inflating: a block with BFINAL ended; call again with what follows
  corrupt,        ///< inflating: this is not DEFLATE data
  too_much,       ///< `finish`: the message is larger than `most`
  out_of_memory,  ///< what was begun is lost
};

/// A compression library. All its memory comes from the allocator it is given (null: malloc). A function that takes
/// `in` takes bytes off its front; `out` has room for at least one byte.
struct deflate_engine {
  /// Whether it can work so; called while a handshake is negotiated.
  bool (*compresses)(const deflate_parameters&) = nullptr;
  bool (*inflates)(const deflate_parameters&) = nullptr;

  /// Null when there is no memory.
  void* (*open_compressor)(const allocator*, const deflate_parameters&) = nullptr;
  /// Compresses and flushes, so that the output ends with 00 00 FF FF; `done` without output when there is nothing new
  /// since the last flush. After `output_full` it is called again with what is left of `in`.
  deflate_status (*compress)(void* compressor, std::string_view& in, output& out) = nullptr;
  /// Forgets everything: what follows refers to nothing before.
  void (*reset_compressor)(void* compressor) = nullptr;
  void (*close_compressor)(void* compressor) = nullptr;

  void* (*open_inflater)(const allocator*, const deflate_parameters&) = nullptr;
  /// Inflates; stops behind a block with BFINAL, to go on at the next byte with the window kept.
  deflate_status (*inflate)(void* inflater, std::string_view& in, output& out) = nullptr;
  /// The message is complete: writes what is left, `corrupt` when a block is incomplete. After `output_full` it is called
  /// again. More than `most` bytes are refused: what inflates whole messages here need not make more (D13).
  deflate_status (*finish)(void* inflater, output& out, std::uint64_t most) = nullptr;
  void (*reset_inflater)(void* inflater) = nullptr;
  void (*close_inflater)(void* inflater) = nullptr;
  /// Copies the window, at most 32,768 bytes, to `to` and returns its size; with null the size only. Null for engines
  /// without takeover, like the next.
  std::size_t (*save_window)(void* inflater, char* to) = nullptr;
  /// Gives a new inflater such a window; false when there is no memory.
  bool (*load_window)(void* inflater, std::string_view window) = nullptr;
};

/// One offer of a client (RFC 7692 7.1).
struct deflate_offer {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  std::uint8_t server_max_window_bits = 15;  ///< 8-15: the server must not use more; 15 asks nothing
  std::uint8_t client_max_window_bits = 15;  ///< 8-15: we use no more, and the server may ask for less; 0: it may not
};

class deflate_pool;  // deflate_pool.hpp

/// Shared by any number of connections and sessions, which keep a reference: it must outlive them and not change.
struct deflate_options {
  /// Does the work; without one compressed pieces can only be passed on, by `connection`.
  const deflate_engine* engine = nullptr;

  // What is asked for. A server asks nothing of a client that did not offer it, and never answers more than was offered.
  std::uint8_t server_max_window_bits = 15;
  std::uint8_t client_max_window_bits = 15;
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  /// Client: the offers, the best first; none: one, of the four members above.
  std::span<const deflate_offer> offers = {};

  // How we compress.
  std::int8_t level = 6;           ///< 0-9
  std::uint8_t memory_level = 8;   ///< 1-9
  std::size_t threshold = 64;      ///< shorter messages are sent as they are (D15)

  // Memory.
  std::uint64_t release_after = 0;  ///< sessions: `tick` gives back what was not used so long (microseconds); 0 keeps it
  deflate_pool* pool = nullptr;     ///< directions without takeover borrow here, one message at a time
};

/// What both sides agreed on; the number that `extension_hook` and `negotiated` carry, in words.
struct deflate_agreement {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  std::uint8_t server_max_window_bits = 15;
  std::uint8_t client_max_window_bits = 15;
  bool answers_server_window = false;  ///< the server's answer names server_max_window_bits
  bool answers_client_window = false;

  [[nodiscard]] WSCODEC_INLINE constexpr std::uint32_t number() const noexcept {
    return 1U | (server_no_context_takeover ? 2U : 0U) | (client_no_context_takeover ? 4U : 0U) |
           (answers_server_window ? 8U : 0U) | (answers_client_window ? 16U : 0U) |
           std::uint32_t{server_max_window_bits} << 8 | std::uint32_t{client_max_window_bits} << 12;
  }
  WSCODEC_INLINE static constexpr deflate_agreement of(std::uint32_t number) noexcept {
    return {(number & 2U) != 0,  (number & 4U) != 0,  static_cast<std::uint8_t>(number >> 8 & 15U),
            static_cast<std::uint8_t>(number >> 12 & 15U), (number & 8U) != 0, (number & 16U) != 0};
  }

  /// Of the direction from the server to the client, and of the other.
  [[nodiscard]] WSCODEC_INLINE constexpr deflate_parameters parameters(bool from_server, const deflate_options& opt) const noexcept {
    return {from_server ? server_max_window_bits : client_max_window_bits,
            from_server ? !server_no_context_takeover : !client_no_context_takeover, opt.level, opt.memory_level};
  }
};

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

// ---- negotiation ----

/// The parameters of an offer or answer as they are written. A window of 0 is absent.
struct deflate_words {
  bool server_no_context_takeover = false;
  bool client_no_context_takeover = false;
  bool client_window_offered = false;  // with or without a value
  std::uint8_t server_window = 0;
  std::uint8_t client_window = 0;
};

/// RFC 7692 7.1.2: 8 to 15, decimal, no leading zero (D09); quoted counts like plain (H16). 0 when it is not that.
constexpr std::uint8_t parse_window_bits(const extension_parameter& p) noexcept {
  char digits[2] = {};
  const std::size_t n = unquote(p, digits, 2);
  if (n == 1 && (digits[0] == '8' || digits[0] == '9')) return static_cast<std::uint8_t>(digits[0] - '0');
  if (n == 2 && digits[0] == '1' && digits[1] >= '0' && digits[1] <= '5') return static_cast<std::uint8_t>(10 + digits[1] - '0');
  return 0;
}

/// D09, D11: false when a parameter is unknown, doubled or wrongly valued.
constexpr bool parse_deflate_words(std::string_view text, bool answer, deflate_words& out) noexcept {
  extension words{"", text};
  const auto set_once = [](bool& flag) {
    const bool was = flag;
    flag = true;
    return !was;
  };
  for (extension_parameter p; words.next(p);) {
    bool good = false;
    if (same_name(p.name, "server_no_context_takeover")) {
      good = !p.has_value && set_once(out.server_no_context_takeover);
    } else if (same_name(p.name, "client_no_context_takeover")) {
      good = !p.has_value && set_once(out.client_no_context_takeover);
    } else if (same_name(p.name, "server_max_window_bits")) {
      good = out.server_window == 0 && p.has_value;
      out.server_window = parse_window_bits(p);
      good = good && out.server_window != 0;
    } else if (same_name(p.name, "client_max_window_bits")) {
      // RFC 7692 7.1.2.2: an offer may leave the value out, an answer may not (D08).
      good = set_once(out.client_window_offered) && (p.has_value || !answer);
      if (p.has_value) {
        out.client_window = parse_window_bits(p);
        good = good && out.client_window != 0;
      }
    }
    if (!good) return false;
  }
  return !words.malformed();
}

constexpr std::uint8_t smaller(std::uint8_t a, std::uint8_t b) noexcept { return a < b ? a : b; }

/// Whether the engine can work so; if not so, then perhaps without takeover, which then is agreed on.
constexpr bool engine_can(bool (*able)(const deflate_parameters&), deflate_parameters p, bool& no_takeover) noexcept {
  p.takeover = !no_takeover;
  if (able(p)) return true;
  p.takeover = false;
  if (no_takeover || !able(p)) return false;
  no_takeover = true;
  return true;
}

/// Server: takes an offer or gives 0 (D10, D11, D18).
constexpr std::uint32_t accept_deflate_offer(const deflate_options& opt, std::string_view parameters) noexcept {
  deflate_words offer;
  if (!parse_deflate_words(parameters, false, offer)) return 0;
  deflate_agreement a;
  a.server_no_context_takeover = offer.server_no_context_takeover || opt.server_no_context_takeover;
  a.client_no_context_takeover = offer.client_no_context_takeover || opt.client_no_context_takeover;
  a.server_max_window_bits = opt.server_max_window_bits;
  if (offer.server_window != 0) a.server_max_window_bits = smaller(offer.server_window, opt.server_max_window_bits);
  a.answers_server_window = offer.server_window != 0 || a.server_max_window_bits < 15;
  // RFC 7692 7.1.2.2: the answer may hold client_max_window_bits only if the offer did.
  if (offer.client_window_offered)
    a.client_max_window_bits = smaller(offer.client_window != 0 ? offer.client_window : std::uint8_t{15}, opt.client_max_window_bits);
  a.answers_client_window = a.client_max_window_bits < 15;
  if (opt.engine != nullptr &&
      (!engine_can(opt.engine->compresses, a.parameters(true, opt), a.server_no_context_takeover) ||
       !engine_can(opt.engine->inflates, a.parameters(false, opt), a.client_no_context_takeover)))
    return 0;
  return a.number();
}

/// Client: the offer at `i` as far as the engine can keep it; false behind the last.
constexpr bool deflate_offer_at(const deflate_options& opt, std::size_t i, deflate_offer& offer) noexcept {
  if (i >= opt.offers.size() && i != 0) return false;
  offer = !opt.offers.empty() ? opt.offers[i]
                              : deflate_offer{opt.server_no_context_takeover, opt.client_no_context_takeover,
                                              opt.server_max_window_bits, opt.client_max_window_bits};
  if (opt.engine == nullptr) return true;
  deflate_parameters p{.window_bits = offer.server_max_window_bits, .level = opt.level, .memory_level = opt.memory_level};
  (void)engine_can(opt.engine->inflates, p, offer.server_no_context_takeover);
  // D10: a server may ask for any window, so all must be possible where one may be asked for.
  p.window_bits = 8;
  if (offer.client_max_window_bits != 0 && !engine_can(opt.engine->compresses, p, offer.client_no_context_takeover)) {
    offer.client_max_window_bits = 0;
    p.window_bits = 15;
    (void)engine_can(opt.engine->compresses, p, offer.client_no_context_takeover);
  }
  return true;
}

constexpr bool put_window_bits(output& out, std::string_view name, std::uint8_t bits) noexcept {
  const char digits[] = {static_cast<char>('0' + bits / 10), static_cast<char>('0' + bits % 10)};
  return out.put(name) && out.put("=") && out.put({digits + (bits < 10 ? 1 : 0), bits < 10 ? 1U : 2U});
}

/// Client: the list of offers; one that does not fit is left out.
constexpr std::size_t write_deflate_offers(const deflate_options& opt, char* to, std::size_t room) noexcept {
  output out{{to, room}};
  deflate_offer offer;
  for (std::size_t i = 0; deflate_offer_at(opt, i, offer); ++i) {
    const std::size_t before = out.size();
    bool fits = (before == 0 || out.put(", ")) && out.put("permessage-deflate");
    if (offer.server_no_context_takeover) fits = fits && out.put("; server_no_context_takeover");
    if (offer.client_no_context_takeover) fits = fits && out.put("; client_no_context_takeover");
    if (offer.server_max_window_bits < 15)
      fits = fits && put_window_bits(out, "; server_max_window_bits", offer.server_max_window_bits);
    if (offer.client_max_window_bits == 15) fits = fits && out.put("; client_max_window_bits");
    if (offer.client_max_window_bits != 0 && offer.client_max_window_bits < 15)
      fits = fits && put_window_bits(out, "; client_max_window_bits", offer.client_max_window_bits);
    if (!fits) out.rewind(before);
  }
  return out.size();
}

/// Client: what the server's answer amounts to under the first offer it does not contradict; 0 when there is none
/// (C04, D07, D08, D11, D18).
constexpr std::uint32_t confirm_deflate_answer(const deflate_options& opt, std::string_view parameters) noexcept {
  deflate_words answer;
  if (!parse_deflate_words(parameters, true, answer)) return 0;
  deflate_offer offer;
  for (std::size_t i = 0; deflate_offer_at(opt, i, offer); ++i) {
    // RFC 7692 7.1.1.1, 7.1.2.1: a server that takes such an offer answers with it.
    if (offer.server_no_context_takeover && !answer.server_no_context_takeover) continue;
    if (offer.server_max_window_bits < 15 &&
        (answer.server_window == 0 || answer.server_window > offer.server_max_window_bits))
      continue;
    if (answer.client_window_offered && offer.client_max_window_bits == 0) continue;
    deflate_agreement a;
    a.server_no_context_takeover = answer.server_no_context_takeover;
    a.client_no_context_takeover = answer.client_no_context_takeover || offer.client_no_context_takeover;
    if (answer.server_window != 0) a.server_max_window_bits = answer.server_window;
    if (offer.client_max_window_bits != 0) a.client_max_window_bits = offer.client_max_window_bits;
    if (answer.client_window != 0) a.client_max_window_bits = smaller(a.client_max_window_bits, answer.client_window);
    if (opt.engine != nullptr && (!opt.engine->compresses(a.parameters(false, opt)) ||
                                  !opt.engine->inflates(a.parameters(true, opt))))
      continue;
    return a.number();
  }
  return 0;
}

/// Server: the answer to the offer that was taken (D18).
constexpr std::size_t write_deflate_answer(std::uint32_t agreement, char* to, std::size_t room) noexcept {
  const deflate_agreement a = deflate_agreement::of(agreement);
  output out{{to, room}};
  bool fits = out.put("permessage-deflate");
  if (a.server_no_context_takeover) fits = fits && out.put("; server_no_context_takeover");
  if (a.client_no_context_takeover) fits = fits && out.put("; client_no_context_takeover");
  if (a.answers_server_window) fits = fits && put_window_bits(out, "; server_max_window_bits", a.server_max_window_bits);
  if (a.answers_client_window) fits = fits && put_window_bits(out, "; client_max_window_bits", a.client_max_window_bits);
  return fits ? out.size() : 0;
}

WSCODEC_DETAIL_END

WSCODEC_FUNCTIONS_BEGIN

/// The hook for `options::extension`. Keeps a reference to `opt`, which must outlive it.
[[nodiscard]] inline extension_hook permessage_deflate(const deflate_options& opt) noexcept {
  extension_hook hook;
  hook.options = &opt;
  hook.name = "permessage-deflate";
  hook.deflate = opt.engine != nullptr ? &opt : nullptr;
  hook.accept = [](const void* options, std::string_view parameters) {
    return detail::accept_deflate_offer(*static_cast<const deflate_options*>(options), parameters);
  };
  hook.confirm = [](const void* options, std::string_view parameters) {
    return detail::confirm_deflate_answer(*static_cast<const deflate_options*>(options), parameters);
  };
  hook.write_offer = [](const void* options, char* to, std::size_t room) {
    return detail::write_deflate_offers(*static_cast<const deflate_options*>(options), to, room);
  };
  hook.write_answer = detail::write_deflate_answer;
  return hook;
}
extension_hook permessage_deflate(const deflate_options&&) = delete;

WSCODEC_FUNCTIONS_END
