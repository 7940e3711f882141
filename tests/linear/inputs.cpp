// Hostile inputs, each of size n and of 2n, whose instructions tests/linear/run counts under callgrind: work that grew
// with the square would be four times as much.
#include <valgrind/callgrind.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;
using std::string_view;

namespace {

bool always_the_same(void*, char* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = 'Z';
  return true;
}

ws::masking_keys keys{always_the_same};
ws::deflate_options deflate{.engine = &ws::zlib_engine};
const ws::extension_hook hook = ws::permessage_deflate(deflate);
ws::options usual{.extension = &hook};

void insist(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s: not as it should be\n", what);
  std::exit(1);
}

std::string repeated(string_view unit, std::size_t n) {
  std::string all;
  for (std::size_t i = 0; i < n; ++i) all += unit;
  return all;
}

// Unmasked, as from a server; with the mask bit and a key of 0 as from a client.
std::string frame(unsigned char first, string_view payload, bool masked = true) {
  std::string bytes(1, static_cast<char>(first));
  const unsigned mask = masked ? 128 : 0;
  if (payload.size() < 126) {
    bytes += static_cast<char>(mask + payload.size());
  } else {
    const bool large = payload.size() > 65535;
    bytes += static_cast<char>(mask + (large ? 127 : 126));
    for (int shift = large ? 56 : 8; shift >= 0; shift -= 8) bytes += static_cast<char>(payload.size() >> shift & 0xFF);
  }
  if (masked) bytes.append(4, '\0');
  return bytes.append(payload);
}

// Gives the bytes in reads of `step` bytes; what is to be sent is drained, or not. Returns the number of events.
std::size_t feed(ws::session& s, std::string& bytes, std::size_t step, bool drains = true) {
  std::size_t events = 0;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    std::span<char> in{bytes.data() + at, step < bytes.size() - at ? step : bytes.size() - at};
    while (const ws::event ev = s.next(in)) {
      ++events;
      if (ev.type == ws::event_type::request) (void)s.accept();
    }
    if (drains) s.consume(s.output().size());
  }
  return events;
}

template <class Work>
void count(const char* name, std::size_t n, Work work) {
  work(n);  // what happens once only
  for (const std::size_t size : {n, 2 * n}) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    work(size);
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
  }
}

// An open session of either role.
struct opened : ws::session {
  explicit opened(ws::role self = ws::role::server, bool compresses = false)
      : ws::session(self, compresses ? ws::negotiated{&hook, ws::deflate_agreement{}.number()} : ws::negotiated{}, usual, &keys) {}
};

constexpr string_view request =
    "GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

void count_head(const char* name, std::size_t n, std::size_t step, std::string (*rest)(std::size_t)) {
  count(name, n, [&](std::size_t size) {
    std::string bytes = std::string(request) + rest(size) + "\r\n";
    ws::session s{ws::role::server, usual};
    insist(feed(s, bytes, step) == 1 && s.is_open(), name);
  });
}

void count_frames(const char* name, std::size_t n, std::size_t step, bool drains, std::string (*bytes_of)(std::size_t), bool open = true) {
  count(name, n, [&](std::size_t size) {
    std::string bytes = bytes_of(size);
    opened s;
    (void)feed(s, bytes, step, drains);
    insist(s.is_open() == open, name);
  });
}

std::string deflated(string_view text) {
  std::string to(text.size() + 64, '\0');
  z_stream z{};
  insist(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<unsigned>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(to.data());
  z.avail_out = static_cast<unsigned>(to.size());
  insist(::deflate(&z, Z_SYNC_FLUSH) == Z_OK, "zlib");
  to.resize(to.size() - z.avail_out - 4);
  (void)deflateEnd(&z);
  return to;
}

}  // namespace

int main() {
  count_head("a long field, byte by byte", 4000, 1, [](std::size_t n) { return "X: " + repeated("y", n) + "\r\n"; });
  count_head("many fields, byte by byte", 40, 1, [](std::size_t n) { return repeated("X-Field: value\r\n", n); });
  count_head("many offered subprotocols", 45, 1000000, [](std::size_t n) {
    std::string list = "Sec-WebSocket-Protocol: p";
    for (std::size_t i = 0; i < n; ++i) list += ", protocol-with-a-long-name-" + std::to_string(i + 100);
    return list + "\r\n";
  });
  count_head("many offered extensions", 500, 1000000,
             [](std::size_t n) { return "Sec-WebSocket-Extensions: x" + repeated(", permessage-x", n) + "\r\n"; });
  count_head("a parameter of many", 700, 1000000,
             [](std::size_t n) { return "Sec-WebSocket-Extensions: permessage-deflate" + repeated("; x=\"\\y\"", n) + "\r\n"; });
  count_frames("empty fragments", 20000, 1000000, true, [](std::size_t n) { return frame(0x01, "") + repeated(frame(0x00, ""), n); });
  count_frames("fragments of one byte", 20000, 1000000, true, [](std::size_t n) { return frame(0x01, "a") + repeated(frame(0x00, "a"), n); });
  count_frames("fragments of one byte, byte by byte", 5000, 1, true,
               [](std::size_t n) { return frame(0x01, "a") + repeated(frame(0x00, "a"), n); });
  count_frames("pings of a peer that does not read", 5000, 1000000, false, [](std::size_t n) { return repeated(frame(0x89, "ping"), n); });
  count_frames("pings between fragments", 5000, 7, true, [](std::size_t n) {
    return frame(0x01, "a") + repeated(frame(0x00, "a") + frame(0x89, "ping"), n);
  });
  count_frames("a long text, byte by byte", 50000, 1, true, [](std::size_t n) { return frame(0x81, repeated("\xC3\xA9", n / 2)); });
  count_frames("small messages in one read", 10000, 1000000, true, [](std::size_t n) { return repeated(frame(0x82, "message"), n); });
  count_frames("bytes behind a Close", 20000, 100, true, [](std::size_t n) { return frame(0x88, "") + repeated("x", n * 10); }, false);
  count_frames("bytes behind a broken rule", 20000, 100, true, [](std::size_t n) { return frame(0x83, "") + repeated("x", n * 10); }, false);
  count("a bomb", 1 << 20, [](std::size_t n) {
    std::string bytes = frame(0xC1, deflated(std::string(n, 'x')));
    opened s{ws::role::server, true};
    insist(feed(s, bytes, 1000) == 1 && s.is_open(), "a bomb");
  });
  count("compressed fragments of one byte", 2000, [](std::size_t n) {
    std::string text;
    for (unsigned noise = 1; text.size() < n;) text += static_cast<char>('a' + ((noise = noise * 1664525U + 1013904223U) >> 24) % 26);
    const std::string packed = deflated(text);
    std::string bytes = frame(0x41, "");
    for (const char c : packed) bytes += frame(0x00, {&c, 1});
    bytes += frame(0x80, "");
    opened s{ws::role::server, true};
    insist(feed(s, bytes, 1000000) == 1 && s.is_open(), "compressed fragments of one byte");
  });
  count("a rejection in chunks of one byte", 5000, [](std::size_t n) {
    std::string bytes = "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n" + repeated("1\r\nx\r\n", n) + "0\r\n\r\n";
    ws::session s{ws::role::client, usual, &keys};
    (void)s.connect({.host = "example.org"});
    s.consume(s.output().size());
    insist(feed(s, bytes, 100) > 1, "a rejection in chunks of one byte");
  });
  count("output that is taken byte by byte", 20000, [](std::size_t n) {
    opened s;
    for (std::size_t i = 0; i < n / 10; ++i) (void)s.send(ws::opcode::text, "eight ch");
    while (!s.output().empty()) s.consume(1);
  });
  const std::string large(2000, 'x');
  count("borrowed payloads of a client that wait", 2000, [&](std::size_t n) {
    opened s{ws::role::client};
    for (std::size_t i = 0; i < n; ++i) (void)s.send_borrowed(ws::opcode::text, "small", &s);
    while (!s.output().empty()) s.consume(1);
  });
  count("borrowed payloads that wait", 5000, [&](std::size_t n) {
    opened s;
    void* token = nullptr;
    for (std::size_t i = 0; i < n; ++i) (void)s.send_borrowed(ws::opcode::text, large, &s);
    while (!s.output().empty()) s.consume(s.output().size());
    for (std::size_t i = 0; i < n; ++i) insist(s.returned(token), "borrowed payloads that wait");
  });
  count("borrowed payloads that wait, taken as buffers", 1000, [&](std::size_t n) {
    opened s;
    for (std::size_t i = 0; i < n; ++i) (void)s.send_borrowed(ws::opcode::text, large, &s);
    for (ws::output_buffer spare{}; s.buffered_amount() != 0;) {
      spare = s.take_output(spare);
      s.consume(spare.size);
      if (s.output().empty() == false && spare.size == 0) s.consume(s.output().size());
      spare.size = 0;
    }
  });
}
