// The bytes of the workloads.
#include <cstdio>
#include <cstdlib>

#include "bench.hpp"

namespace bench {

namespace {

alignas(4096) char read_memory[16 + read_buffer_size];
alignas(4096) char send_memory[send_buffer_size];

void fill_bytes(std::string& to, std::size_t n, noise& any) {
  while (to.size() < n) to += static_cast<char>(any.next());
}

void fill_ascii(std::string& to, std::size_t n, noise& any) {
  while (to.size() < n) to += static_cast<char>(' ' + any.below(95));
}

// Words of many scripts, so that code points of one to four bytes come in no order a branch could learn.
void fill_mixed(std::string& to, std::size_t n, noise& any) {
  static const char* const words[] = {"stream ", "codec ",   "größe ",  "été ",   "naïve ",     "Ωμέγα ",   "κόσμε ", "привет ",
                                      "мир ",    "שלום ",    "مرحبا ",  "日本語", "東京",       "文字列",   "한국어 ", "नमस्ते ",
                                      "ไทย ",     "😀",       "🚀 ",     "𝄞",      "12345.67 ",  "\"key\": ", "— ",     "€ "};
  for (;;) {
    const std::string word = words[any.below(sizeof words / sizeof *words)];
    if (to.size() + word.size() > n) break;
    to += word;
  }
  while (to.size() < n) to += '.';
}

// Updates as applications send them.
void fill_json(std::string& to, std::size_t n, noise& any) {
  to += "{\"type\":\"update\",\"items\":[";
  while (to.size() < n)
    to += "{\"symbol\":\"S" + std::to_string(any.below(500)) + "\",\"price\":" + std::to_string(any.below(1000)) + "." +
          std::to_string(any.below(100)) + ",\"size\":" + std::to_string(any.below(900)) + "},";
  to.resize(n);
}

void append_big(wire_bytes& to, std::uint64_t value, int bytes) {
  while (bytes-- > 0) to.push_back(static_cast<char>(value >> (8 * bytes)));
}

unsigned opcode_of(content what) { return what == content::bytes ? binary : text; }

std::size_t count_of(std::size_t payload, std::size_t total) { return payload >= total ? 1 : total / payload; }

}  // namespace

char* const read_buffer = read_memory + 16;  // as the wire
char* const send_buffer = send_memory;

std::string make_payload(content what, std::size_t n, std::uint64_t seed) {
  noise any{seed};
  std::string made;
  made.reserve(n + 64);
  switch (what) {
    case content::bytes: fill_bytes(made, n, any); break;
    case content::ascii: fill_ascii(made, n, any); break;
    case content::mixed_scripts: fill_mixed(made, n, any); break;
    case content::json: fill_json(made, n, any); break;
  }
  return made;
}

void append_frame(wire_bytes& wire, unsigned first_byte, const std::string& payload, bool masked, noise& keys) {
  wire.push_back(static_cast<char>(first_byte));
  const unsigned mask_bit = masked ? 0x80U : 0U;
  if (payload.size() < 126) {
    append_big(wire, mask_bit | payload.size(), 1);
  } else if (payload.size() < 65536) {
    append_big(wire, mask_bit | 126U, 1);
    append_big(wire, payload.size(), 2);
  } else {
    append_big(wire, mask_bit | 127U, 1);
    append_big(wire, payload.size(), 8);
  }
  char key[4] = {};
  if (masked) {
    for (char& c : key) c = static_cast<char>(keys.next());
    wire.insert(wire.end(), key, key + 4);
  }
  for (std::size_t i = 0; i < payload.size(); ++i) wire.push_back(static_cast<char>(payload[i] ^ key[i % 4]));
}

workload receiving(bool from_client, content what, std::size_t payload, std::size_t total, std::size_t read_size,
                   std::size_t fragment, std::size_t ping_every) {
  workload w;
  w.from_client = from_client;
  w.opcode = opcode_of(what);
  w.payload = payload;
  w.messages = count_of(payload, total);
  w.read_size = read_size;
  w.pings = ping_every != 0;
  w.sample = make_payload(what, 64 * 1024, 0);
  noise keys{payload};
  std::size_t fragments = 0;
  for (std::size_t m = 0; m < w.messages; ++m) {
    const std::string message = make_payload(what, payload, m + 1);
    std::size_t at = 0;
    do {
      const std::size_t n = payload - at < fragment ? payload - at : fragment;
      const bool last = at + n == payload;
      append_frame(w.wire, (last ? 0x80U : 0U) | (at == 0 ? w.opcode : 0U), message.substr(at, n), from_client, keys);
      at += n;
      if (w.pings && !last && ++fragments % ping_every == 0) append_frame(w.wire, 0x80U | ping, "beat", from_client, keys);
    } while (at != payload);
  }
  return w;
}

workload sending(bool from_client, content what, std::size_t payload, std::size_t total) {
  workload w;
  w.from_client = from_client;
  w.opcode = opcode_of(what);
  w.payload = payload;
  w.messages = count_of(payload, total);
  for (std::size_t m = 0; m < w.messages; ++m) w.payloads.push_back(make_payload(what, payload, m + 1));
  return w;
}

bool read_frames(const char* bytes, std::size_t n, bool masked, delivery& to) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes);
  unsigned opcode = 0;
  for (std::size_t at = 0; at != n;) {
    if (n - at < 2 || ((p[at + 1] & 0x80U) != 0) != masked) return false;
    const unsigned first = p[at];
    std::size_t length = p[at + 1] & 0x7FU;
    at += 2;
    const std::size_t more = length < 126 ? 0 : length == 126 ? 2 : 8;
    if (n - at < more + (masked ? 4 : 0)) return false;
    if (more != 0) length = 0;
    for (std::size_t i = 0; i < more; ++i) length = length << 8 | p[at++];
    unsigned char key[4] = {};
    if (masked) {
      std::memcpy(key, p + at, 4);
      at += 4;
    }
    if (n - at < length) return false;
    for (std::size_t i = 0; i < length; ++i) {
      const unsigned char plain = static_cast<unsigned char>(p[at + i] ^ key[i % 4]);
      to.piece(&plain, 1);
    }
    at += length;
    if ((first & 0x0FU) != 0) opcode = first & 0x0FU;
    if ((first & 0x80U) != 0) to.end(opcode);
  }
  return true;
}

const std::string browser_request =
    "GET /chats HTTP/1.1\r\n"
    "Host: server.example.com:9001\r\n"
    "Connection: Upgrade\r\n"
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
    "Upgrade: websocket\r\n"
    "Sec-Fetch-Mode: websocket\r\n"
    "Origin: https://app.example.com\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n"
    "Cookie: session=0a1b2c3d4e5f60718293a4b5c6d7e8f9; theme=dark; consent=yes\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    "\r\n";

void give_up(const char* who, const char* what) {
  std::fprintf(stderr, "%s: %s\n", who, what);
  std::exit(1);
}

}  // namespace bench
