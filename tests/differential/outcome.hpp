// What the peers of the differential test are given and what comes of it, in one form for all of them. C++17, for
// websocketpp compiles as nothing newer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace differential {

enum class kind : std::uint8_t {
  frames_to_server,
  frames_to_client,
  deflate_to_server,  // permessage-deflate was agreed on, without parameters
  deflate_to_client,
  request,
  response,  // `accept_here` stands for the right Sec-WebSocket-Accept
};
inline constexpr kind kinds[] = {kind::frames_to_server,  kind::frames_to_client, kind::deflate_to_server,
                                 kind::deflate_to_client, kind::request,          kind::response};

constexpr bool is_handshake(kind k) { return k >= kind::request; }
constexpr bool is_deflate(kind k) { return k == kind::deflate_to_server || k == kind::deflate_to_client; }
constexpr bool to_server(kind k) {
  return k == kind::frames_to_server || k == kind::deflate_to_server || k == kind::request;
}

/// No endpoint takes a larger message.
inline constexpr std::size_t max_message = 65536;

/// As long as what takes its place.
inline constexpr std::string_view accept_here = "<<the right accept, in 28>>!";
static_assert(accept_here.size() == 28);

inline constexpr std::string_view offered[] = {"chat.v2", "chat.v1"};

enum class verdict : std::uint8_t {
  waits,     // for more
  closed,    // the peer's Close was good
  failed,    // with `code`: what its Close says, 0 when it sends none
  accepted,  // handshakes
  rejected,
};

struct outcome {
  verdict end = verdict::waits;
  std::uint16_t code = 0;
  // t, b: a message, i: a ping, o: a pong, c: a Close, two bytes of code (0: none) and the reason; of a handshake a:
  // the accept value, p: the subprotocols that were found. Each is that letter, four bytes of size, and the bytes.
  std::string log;

  void add(char what, std::string_view bytes) {
    const auto n = static_cast<std::uint32_t>(bytes.size());
    const char head[] = {what, static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
                         static_cast<char>(n)};
    log.append(head, sizeof head).append(bytes);
  }
  void add_close(unsigned number, std::string_view reason) {
    const char bytes[] = {static_cast<char>(number >> 8), static_cast<char>(number)};
    add('c', std::string(bytes, 2).append(reason));
    end = verdict::closed;
  }
  void fail(unsigned with) {
    end = verdict::failed;
    code = static_cast<std::uint16_t>(with);
  }
};

inline bool operator==(const outcome& a, const outcome& b) {
  return a.end == b.end && a.code == b.code && a.log == b.log;
}

/// The code of the first Close among frames that an endpoint has sent: 0 if there is none, 1005 if it has none.
inline unsigned close_code_in(std::string_view sent) {
  const auto at = [&](std::size_t i) { return i < sent.size() ? static_cast<unsigned char>(sent[i]) : 0U; };
  for (std::size_t i = 0; i + 2 <= sent.size();) {
    const bool masked = (at(i + 1) & 0x80U) != 0;
    std::size_t n = at(i + 1) & 0x7FU, head = 2;
    if (n == 126) n = at(i + 2) << 8 | at(i + 3), head = 4;
    const std::size_t key = i + head;
    if (masked) head += 4;
    if ((at(i) & 0x0FU) == 8) {
      if (n < 2) return 1005;
      const unsigned code = at(i + head) << 8 | at(i + head + 1);
      return masked ? code ^ (at(key) << 8 | at(key + 1)) : code;
    }
    i += head + n;
  }
  return 0;
}

inline constexpr std::string_view good_request =
    "GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
inline constexpr std::string_view good_response =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: <<the right accept, in 28>>!\r\n";
inline constexpr std::string_view with_deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// A field's value in a head that an endpoint has written.
inline std::string_view field_of(std::string_view head, std::string_view name) {
  const std::size_t at = head.find("\r\n" + std::string(name) + ": ");
  if (at == std::string_view::npos) return {};
  const std::size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

}  // namespace differential
