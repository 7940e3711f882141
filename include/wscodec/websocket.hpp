// wscodec: layer 8, websocket: the browser's `WebSocket` (WHATWG WebSockets) over a client session, still without I/O.
//
//     ws::websocket socket{options, &keys};
//     socket.on_open = [&] { socket.send("hello"); };
//     socket.on_message = [&](const ws::message_event& ev) { ... ev.data ... };
//     socket.on_close = [&](const ws::close_event& ev) { ... ev.code ... };
//     if (socket.connect("ws://example.org/chat") != ws::error::none) ...
//     // connect to socket.where().host and .port; then, as for a session: output, consume, receive, tick, wants
//
// Events come out of `receive`, `commit`, `resume`, `tick` and `end_of_input` only, one after another, never out of
// `send` or `close`. A callback may call anything, also destroy the object; what it feeds waits until it has returned.
//
// Rules, by the id that their tests carry:
//   W01  connect: ws, wss, http or https, without fragment; each subprotocol once; otherwise an error, nothing happens.
//   W02  connecting, open, closing, closed; open, messages, error, close in this order, close once; messages only while open.
//   W03  send before open is an error; after closing began it is dropped but counted.
//   W04  buffered_amount: bytes of the messages that the transport has not taken whole; never less after the end.
//   W05  close(code, reason): 1000 or 3000-4999, at most 123 bytes of UTF-8, looked at before the state.
//   W06  close: nothing when closing; while connecting it fails the handshake; when open it starts the closing handshake.
//   W07  the close event has the peer's code and reason, once the transport has ended; no code is 1005.
//   W08  whatever fails reports 1006, not clean, no reason. An error event comes first, unless the transport was just lost.
//   W09  protocol and extensions are empty until open; where subprotocols were offered, one must be selected.
//   W10  callbacks may call anything on the object, and destroy it.
//   W11  pause holds back messages, and the end, until resume.
//   W12  memory that cannot be had is an error, or fails the connection; nothing is leaked.
//
// In C++'s terms: there are no exceptions, so what throws there returns an error here (InvalidStateError: not_open;
// SyntaxError: the URI's error, or close_reason_too_long; InvalidAccessError: sent_close_code_invalid). There is no
// binaryType: a message is a view of its bytes, and its opcode says text or binary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>

#include "allocator.hpp"
#include "bytes.hpp"
#include "config.hpp"
#include "error.hpp"
#include "event.hpp"
#include "handshake.hpp"
#include "masking_keys.hpp"
#include "options.hpp"
#include "session.hpp"
#include "uri.hpp"
#include "utf8.hpp"

WSCODEC_TYPES_BEGIN

enum class ready_state : std::uint8_t { connecting, open, closing, closed };

/// The data is valid until the callback returns, or feeds or destroys the object.
struct message_event {
  wscodec::opcode opcode;  ///< text or binary
  std::string_view data;
};

struct error_event {
  error why;                   ///< `explain` has the words
  std::string_view head = {};  ///< of the response, when the server refused: `response()`, gone when the callback returns
  [[nodiscard]] WSCODEC_INLINE response_view response() const noexcept { return response_view{head}; }
};

struct close_event {
  bool was_clean;
  close_code code;
  std::string_view reason;  ///< gone with the object
};

/// Something to call: a function, or a lambda with captures of up to three pointers or references. Neither allocates nor
/// owns: what is captured by reference must outlive it. An empty one does nothing. It must not throw.
template <class... Arguments>
class callback {
 public:
  WSCODEC_INLINE callback() noexcept = default;
  template <class F>
    requires std::is_invocable_v<F&, Arguments...>
  WSCODEC_INLINE callback(F f) noexcept : call_([](void* at, Arguments... arguments) { (*static_cast<F*>(at))(arguments...); }) {
    static_assert(sizeof(F) <= sizeof memory_ && alignof(F) <= alignof(void*), "capture one pointer to what you need");
    static_assert(std::is_trivially_copyable_v<F> && std::is_trivially_destructible_v<F>, "capture pointers or references");
    ::new (static_cast<void*>(memory_)) F(f);
  }
  WSCODEC_INLINE callback(std::nullptr_t) noexcept {}
  WSCODEC_INLINE void operator()(Arguments... arguments) { call_ != nullptr ? call_(memory_, arguments...) : void(); }

 private:
  void (*call_)(void*, Arguments...) = nullptr;
  alignas(void*) char memory_[3 * sizeof(void*)] = {};
};

namespace detail {

struct websocket_state {
  WSCODEC_INLINE websocket_state(const options& o, masking_keys* keys, const allocator* from) noexcept
      : opt{o}, link{role::client, opt, keys, from}, memory{from} {
    opt.require_subprotocol = true;  // W09
    opt.auto_close_reply = opt.auto_pong = true;
  }

  callback<> on_open;
  callback<const message_event&> on_message;
  callback<const error_event&> on_error;
  callback<const close_event&> on_close;

  options opt;
  session link;
  const allocator* memory;
  uri where;                           // points into `url`
  char* url = nullptr;
  std::size_t url_size = 0;
  std::size_t url_room = 0;
  char* extensions = nullptr;
  std::size_t extensions_size = 0;
  std::uint64_t buffered = 0;
  bool* alive = nullptr;               // of the turn that is calling back, which must know when the object is gone
  std::span<char>* direct = nullptr;   // what that turn has not read yet
  ready_state state = ready_state::connecting;
  bool opened = false;
  bool paused = false;
  bool ended = false;                  // the transport
  std::uint8_t peer_reason_size = 0;
  char peer_reason[max_control_payload - 2];
};

}  // namespace detail

WSCODEC_TYPES_END

WSCODEC_DETAIL_BEGIN

/// Keeps bytes for a later turn. Without memory for them the connection fails (W12).
inline void keep_for_later(websocket_state& w, std::span<char>& bytes) noexcept {
  while (!bytes.empty()) {
    const std::span<char> to = w.link.prepare(bytes.size());
    if (to.empty()) (void)w.link.fail(error::out_of_memory);
    const std::size_t n = bytes.size() < to.size() ? bytes.size() : to.size();
    copy_bytes(to.data(), bytes.data(), n);
    w.link.commit(n);
    bytes = to.empty() ? to : bytes.subspan(n);
  }
}

/// Whether the close event is due.
inline bool is_over(const websocket_state& w) noexcept {
  const close_state how = w.link.state();
  if (how == close_state::closed) return w.ended || w.link.wants() == transport::drop;  // W07: the server ends the transport
  return !reads(how);  // what is owed is queued at once, so no Close of ours waits
}

/// A copy is called: the callback may assign another, or destroy the object.
WSCODEC_INLINE void call(auto what, auto... event) noexcept { what(event...); }

/// The last events.
inline void finish(websocket_state& w, std::string_view response, const bool& alive) noexcept {
  const bool clean = w.link.was_clean();
  const error why = w.link.why();
  // The WHATWG fires error where the connection was made to fail, which the loss of an open one is not.
  const bool lost = w.opened && (why == error::connection_lost || why == error::close_timeout);
  w.state = ready_state::closed;
  if (!clean && !lost) call(w.on_error, error_event{why, response});
  if (!alive) return;
  if (clean) call(w.on_close, close_event{true, w.link.code(), {w.peer_reason, w.peer_reason_size}});
  else call(w.on_close, close_event{false, close_code::abnormal, {}});
}

/// What the server accepted: one extension, since we know of one.
inline bool keep_extensions(websocket_state& w, const response_view& response) noexcept {
  std::string_view value;
  (void)response.list("Sec-WebSocket-Extensions").next(value);
  w.extensions = static_cast<char*>(reallocate(w.memory, nullptr, 0, value.size()));
  if (w.extensions == nullptr) return false;
  copy_bytes(w.extensions, value.data(), value.size());
  w.extensions_size = value.size();
  return true;
}

inline void handle(websocket_state& w, const event& ev, const bool& alive) noexcept {
  switch (ev.type) {
    case event_type::open:
      if (w.link.agreed().agreement != 0 && !keep_extensions(w, ev.response())) {
        (void)w.link.fail(error::out_of_memory);
        return finish(w, {}, alive);
      }
      w.state = ready_state::open;
      w.opened = true;
      return call(w.on_open);
    case event_type::message:
      if (w.state == ready_state::open) call(w.on_message, message_event{ev.opcode, ev.payload});
      return;
    case event_type::close:
      w.state = ready_state::closing;
      w.peer_reason_size = static_cast<std::uint8_t>(ev.payload.size());
      return copy_bytes(w.peer_reason, ev.payload.data(), ev.payload.size());
    case event_type::rejected:
      (void)w.link.fail(error::handshake_refused);
      return finish(w, ev.payload, alive);
    case event_type::failed: return finish(w, {}, alive);
    default: return;
  }
}

/// One turn: reads, calls back, and sees whether it is over. Within a callback the turn that called it does all this.
inline void turn(websocket_state& w, std::span<char> bytes = {}) noexcept {
  if (w.alive != nullptr) return;
  bool alive = true;
  w.alive = &alive;
  w.direct = &bytes;
  while (!w.paused || w.state != ready_state::open) {
    const event ev = bytes.empty() ? w.link.next() : w.link.next(bytes);
    if (!ev) break;
    handle(w, ev, alive);
    if (!alive) return;
  }
  const bool held = w.paused && w.state == ready_state::open;
  if (held) keep_for_later(w, bytes);
  if (w.ended && !held) (void)w.link.end_of_input();
  if (w.state != ready_state::closed && is_over(w)) finish(w, {}, alive);
  if (!alive) return;
  w.alive = nullptr;
  w.direct = nullptr;
}

/// What was kept comes first, so that behind it goes all the rest.
inline void receive(websocket_state& w, std::span<char> bytes) noexcept {
  if (w.direct != nullptr) keep_for_later(w, *w.direct);
  if (w.direct != nullptr || w.paused) keep_for_later(w, bytes);
  turn(w, bytes);
}

inline void free_url(websocket_state& w) noexcept {
  release(w.memory, w.url, w.url_room);
  w.url = nullptr;
  w.url_size = 0;
  w.where = {};
}

inline error websocket_connect(websocket_state& w, std::string_view url, std::string_view origin,
                               std::span<const field> fields) noexcept {
  if (w.url != nullptr) return error::no_request;
  const uri_result parsed = parse_uri(url);
  if (parsed.why != error::none) return parsed.why;
  for (std::size_t i = 1; i < w.opt.subprotocols.size(); ++i)
    for (std::size_t k = 0; k < i; ++k)
      if (w.opt.subprotocols[i] == w.opt.subprotocols[k]) return error::subprotocol_doubled;

  // As the URL standard writes it, but for userinfo: the scheme ws or wss, the host in lower case, no default port.
  w.url_room = url.size() + 1;
  w.url = static_cast<char*>(reallocate(w.memory, nullptr, 0, w.url_room));
  if (w.url == nullptr) return error::out_of_memory;
  output out{{w.url, w.url_room}};
  (void)out.put(parsed.value.secure ? "wss://" : "ws://");
  const std::size_t host = out.size();
  (void)write_host(out, parsed.value);
  for (std::size_t i = host; i < out.size(); ++i)
    if (w.url[i] >= 'A' && w.url[i] <= 'Z') w.url[i] = static_cast<char>(w.url[i] | 0x20);
  const std::size_t target = out.size();
  (void)write_target(out, parsed.value);
  w.url_size = out.size();
  w.where = parse_uri(out.written()).value;

  const std::string_view text = out.written();
  const error why = w.link.connect({part(text, host, target - host), part(text, target), origin, fields});
  if (why != error::none) free_url(w);
  return why;
}

inline error websocket_send(websocket_state& w, std::string_view payload, opcode op) noexcept {
  if (w.state == ready_state::connecting) return error::not_open;
  // For a client this copies; the token, its size, comes back when the transport has taken all of it.
  error why = error::already_closing;
  if (w.state == ready_state::open) why = w.link.send_borrowed(op, payload, reinterpret_cast<void*>(payload.size()));
  if (why == error::already_closing || why == error::not_open) why = error::none;  // W03
  if (why == error::none) w.buffered += payload.size();
  return why;
}

/// Messages that the transport has whole are no longer buffered.
inline void count_taken(websocket_state& w) noexcept {
  for (void* token = nullptr; w.link.returned(token);) w.buffered -= reinterpret_cast<std::uintptr_t>(token);
}

inline error websocket_close(websocket_state& w, close_code code, std::string_view reason) noexcept {
  const auto number = static_cast<unsigned>(code);
  if (number != 1000 && (number < 3000 || number > 4999) && (number != 0 || !reason.empty())) return error::sent_close_code_invalid;
  if (reason.size() > sizeof w.peer_reason || !is_utf8(reason)) return error::close_reason_too_long;
  error why = error::none;
  if (w.state == ready_state::connecting) (void)w.link.fail(error::refused_by_caller);
  else if (w.state == ready_state::open) why = w.link.close(code, reason);
  if (why == error::already_closing) why = error::none;  // it has failed, which the next turn tells
  if (why == error::none && w.state != ready_state::closed) w.state = ready_state::closing;
  return why;
}

WSCODEC_DETAIL_END

WSCODEC_TYPES_BEGIN

/// A client as in a browser; see the top of this file. Keeps copies of the options, but what they refer to (subprotocols,
/// extension), the keys and the allocator must outlive it. It stays where it is; to connect again, make another.
class websocket : detail::websocket_state {
 public:
  WSCODEC_INLINE explicit websocket(const options& chosen, masking_keys* keys, const allocator* from = nullptr) noexcept
      : websocket_state{chosen, keys, from} {}
  websocket(const websocket&) = delete;
  websocket& operator=(const websocket&) = delete;
  WSCODEC_INLINE ~websocket() {
    if (alive != nullptr) *alive = false;
    detail::free_url(*this);
    detail::release(memory, websocket_state::extensions, extensions_size);
  }

  using websocket_state::on_close;
  using websocket_state::on_error;
  using websocket_state::on_message;
  using websocket_state::on_open;

  // ---- as in a browser ----

  /// What `new WebSocket(url, protocols)` does; the subprotocols are the options'. The URL is copied; its userinfo is not
  /// sent: `write_basic_credentials` makes a field of it. Errors: those of `parse_uri`, subprotocol_doubled, no_request
  /// (connected already), and those of a session's `connect`.
  WSCODEC_INLINE error connect(std::string_view url, std::string_view origin = {}, std::span<const field> fields = {}) noexcept {
    return detail::websocket_connect(*this, url, origin, fields);
  }
  /// Errors: not_open (W03), and those of a session's `send`, after which nothing was sent or counted.
  WSCODEC_INLINE error send(std::string_view data, opcode as = opcode::text) noexcept {
    return detail::websocket_send(*this, data, as);
  }
  /// Without a code the Close has none, and may have no reason. Errors: sent_close_code_invalid, close_reason_too_long
  /// (W05), out_of_memory, no_entropy.
  WSCODEC_INLINE error close(close_code code = close_code::none, std::string_view reason = {}) noexcept {
    return detail::websocket_close(*this, code, reason);
  }
  /// The URL as it was understood; empty before `connect`. Gone with the object, like the next two.
  [[nodiscard]] WSCODEC_INLINE std::string_view url() const noexcept { return {websocket_state::url, url_size}; }
  [[nodiscard]] WSCODEC_INLINE std::string_view protocol() const noexcept { return link.subprotocol(); }
  [[nodiscard]] WSCODEC_INLINE std::string_view extensions() const noexcept { return {websocket_state::extensions, extensions_size}; }
  [[nodiscard]] WSCODEC_INLINE wscodec::ready_state ready_state() const noexcept { return state; }
  [[nodiscard]] WSCODEC_INLINE std::uint64_t buffered_amount() const noexcept { return buffered; }

  // ---- beyond the browser ----

  /// Where to connect to: host, port, and whether by TLS.
  [[nodiscard]] WSCODEC_INLINE const uri& where() const noexcept { return websocket_state::where; }
  /// Queues a ping whose answer measures `round_trip_time()`. Errors as for a session's.
  WSCODEC_INLINE error ping() noexcept { return link.ping(); }
  WSCODEC_INLINE error pong(std::string_view payload) noexcept { return link.pong(payload); }
  [[nodiscard]] WSCODEC_INLINE std::uint64_t round_trip_time() const noexcept { return link.round_trip_time(); }
  WSCODEC_INLINE bool take_round_trip(round_trip_statistics& to) noexcept { return link.take_round_trip(to); }
  WSCODEC_INLINE void set_jitter(std::uint32_t random) noexcept { link.set_jitter(random); }
  /// Holds back messages until `resume`, which gives them. Stop reading from the transport meanwhile: what `receive` is
  /// given is kept in memory, and pings in it wait for their answer.
  WSCODEC_INLINE void pause() noexcept { paused = true; }
  WSCODEC_INLINE void resume() noexcept {
    paused = false;
    detail::turn(*this);
  }
  /// The rule that was broken, or none; `explain(why())` has the words.
  [[nodiscard]] WSCODEC_INLINE error why() const noexcept { return link.why(); }

  // ---- the transport ----

  /// Bytes that arrived; they are unmasked in place. From within a callback they are kept, and read after it.
  WSCODEC_INLINE void receive(std::span<char> bytes) noexcept { detail::receive(*this, bytes); }
  /// The same without a copy of large messages: memory to read into, then how much was read. See `session`.
  [[nodiscard]] WSCODEC_INLINE std::span<char> prepare(std::size_t size = 16 * 1024) noexcept {
    if (direct != nullptr) detail::keep_for_later(*this, *direct);
    return link.prepare(size);
  }
  WSCODEC_INLINE void commit(std::size_t n) noexcept {
    link.commit(n);
    detail::turn(*this);
  }
  /// The transport has ended, or could not be had in the first place.
  WSCODEC_INLINE void end_of_input() noexcept {
    ended = true;
    detail::turn(*this);
  }
  [[nodiscard]] WSCODEC_INLINE std::string_view output() const noexcept { return link.output(); }
  [[nodiscard]] WSCODEC_INLINE std::size_t output(std::span<slice> to) const noexcept { return link.output(to); }
  WSCODEC_INLINE void consume(std::size_t n) noexcept {
    link.consume(n);
    detail::count_taken(*this);
  }
  /// For writes that go on meanwhile; see `session`. What is handed out is not in `buffered_amount()` any more.
  [[nodiscard]] WSCODEC_INLINE output_buffer take_output(output_buffer spare = {}) noexcept {
    const output_buffer taken = link.take_output(spare);
    detail::count_taken(*this);
    return taken;
  }
  WSCODEC_INLINE void free_buffer(output_buffer b) noexcept { link.free_buffer(b); }
  /// Moves the clock, microseconds; the deadlines are the options'.
  WSCODEC_INLINE void tick(std::uint64_t now) noexcept {
    (void)link.tick(now);
    detail::turn(*this);
  }
  /// When to `tick` at the latest: 0, at once, while events wait for it; `never` if it need not be.
  [[nodiscard]] WSCODEC_INLINE std::uint64_t next_deadline() noexcept {
    return state != wscodec::ready_state::closed && detail::is_over(*this) ? 0 : link.next_deadline();
  }
  /// What to do with the transport. `drop` comes after the close event only.
  [[nodiscard]] WSCODEC_INLINE transport wants() const noexcept {
    const transport wish = link.wants();
    return wish == transport::drop && state != wscodec::ready_state::closed ? transport::keep : wish;
  }
};

WSCODEC_TYPES_END
