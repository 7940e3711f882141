// The differential test's view of us: a session, and why and where it failed.
#pragma once

#include <cstring>
#include <span>
#include <string>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

#include "outcome.hpp"

namespace differential {

namespace ws = wscodec;

struct our_outcome : outcome {
  ws::error why = ws::error::none;
  std::uint64_t offset = 0;      // of the broken byte, or behind the Close
  std::size_t before_close = 0;  // the size of the log then
};

/// The same key for every handshake, so that there is one right Sec-WebSocket-Accept.
inline bool same_key(void*, char* to, std::size_t n) {
  std::memset(to, 'a', n);
  return true;
}
inline constexpr std::string_view accept_of_same_key = "3SC6TZx4582OZaOogPVxMx5CGS0=";

inline std::string with_accept(std::string_view text, std::string_view accept) {
  std::string all{text};
  for (std::size_t at = 0; (at = all.find(accept_here, at)) != std::string::npos;)
    all.replace(at, accept_here.size(), accept);
  return all;
}

/// One of our sessions, and what came of what it read.
class endpoint {
  ws::masking_keys keys_{&same_key, nullptr};

 public:
  ws::session session;
  our_outcome o;

  explicit endpoint(kind k, const ws::allocator* memory = nullptr)
      : session(is_handshake(k) ? ws::session{role_of(k), plain(), &keys_, memory}
                                : ws::session{role_of(k), agreed(k), is_deflate(k) ? deflating() : plain(), &keys_, memory}),
        handshake_(is_handshake(k)) {
    if (k == kind::response && session.connect({.host = "example.org", .target = "/chat"}) != ws::error::none)
      std::abort();
  }

  /// Writes an event down. False when the handshake is decided: nothing is read behind it.
  bool take(const ws::event& ev) {
    switch (ev.type) {
      case ws::event_type::message:
        o.add(ev.opcode == ws::opcode::text ? 't' : 'b', ev.payload);
        break;
      case ws::event_type::ping:
        o.add('i', ev.payload);
        break;
      case ws::event_type::pong:
        o.add('o', ev.payload);
        break;
      case ws::event_type::close:
        o.offset = session.offset();
        o.before_close = o.log.size();
        o.add_close(ev.code() == ws::close_code::no_status ? 0U : static_cast<unsigned>(ev.code()), ev.payload);
        break;
      case ws::event_type::failed:
        o.why = ev.why();
        o.offset = session.offset();
        if (handshake_) o.end = verdict::rejected;
        else o.fail(ws::explain(o.why).answer);
        break;
      case ws::event_type::request: {
        std::string list;
        ws::list_cursor offers = ev.request().subprotocols();
        for (std::string_view one; offers.next(one);) list.append(list.empty() ? "" : ",").append(one);
        if (session.accept() != ws::error::none) std::abort();
        o.end = verdict::accepted;
        o.add('a', field_of(session.output(), "Sec-WebSocket-Accept"));
        o.add('p', list);
        return false;
      }
      case ws::event_type::open:
        o.end = verdict::accepted;
        o.add('p', session.subprotocol());
        return false;
      case ws::event_type::rejected:
        o.end = verdict::rejected;
        o.why = ws::error::handshake_refused;
        return false;
      case ws::event_type::none:
      case ws::event_type::data:
      case ws::event_type::body:
        break;
    }
    return true;
  }

 private:
  bool handshake_;

  static ws::role role_of(kind k) { return to_server(k) ? ws::role::server : ws::role::client; }
  static const ws::extension_hook& hook() {
    static const ws::deflate_options deflate{.engine = &ws::zlib_engine};
    static const ws::extension_hook one = ws::permessage_deflate(deflate);
    return one;
  }
  static const ws::options& plain() {
    static const ws::options one = [] {
      ws::options made;
      made.max_message = max_message;
      made.subprotocols = offered;
      return made;
    }();
    return one;
  }
  static const ws::options& deflating() {
    static const ws::options one = [] {
      ws::options made = plain();
      made.extension = &hook();
      return made;
    }();
    return one;
  }
  static ws::negotiated agreed(kind k) {
    if (!is_deflate(k)) return {};
    return {&hook(), ws::deflate_agreement{}.number()};
  }
};

inline our_outcome ours(kind k, std::string_view input) {
  endpoint we{k};
  std::string memory = k == kind::response ? with_accept(input, accept_of_same_key) : std::string{input};
  std::span<char> bytes{memory};
  while (const ws::event ev = we.session.next(bytes))
    if (!we.take(ev)) break;
  return we.o;
}

}  // namespace differential
