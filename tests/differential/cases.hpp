// The cases of the differential test: frame streams and handshakes, good ones and ones that are broken in one way or
// several. Case `index` of a seed is always the same, whatever was made before it.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "outcome.hpp"

namespace differential {

struct test_case {
  kind what;
  std::string bytes;
};

// clang-format off
class generator {
 public:
  generator(std::uint64_t seed, std::uint64_t index) : state_(seed * 0x9E3779B97F4A7C15U + index * 0xD1B54A32D192ED03U) {}

  test_case make() {
    const unsigned n = below(100);
    const kind k = n < 34   ? kind::frames_to_server
                   : n < 56 ? kind::frames_to_client
                   : n < 63 ? kind::deflate_to_server
                   : n < 70 ? kind::deflate_to_client
                   : n < 88 ? kind::request
                            : kind::response;
    return {k, k == kind::request ? request() : k == kind::response ? response() : frames(k)};
  }

 private:
  // splitmix64
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
  }
  unsigned below(std::size_t n) { return static_cast<unsigned>(next() % n); }
  bool one_in(unsigned n) { return below(n) == 0; }
  template <class T, std::size_t n>
  T any(const T (&list)[n]) {
    return list[below(n)];
  }

  // ---- frames

  struct frame {
    unsigned first = 0;  // FIN, RSV, opcode
    std::string payload;
    int form = 0;              // of the length: 0 the shortest, else 16 or 64
    std::uint64_t length = 0;  // what it says
    bool masked = false;       // what the MASK bit says
    bool has_key = false;
    std::uint32_t key = 0;
  };

  std::string bytes(std::size_t n) {
    std::string all(n, '\0');
    for (char& c : all) c = static_cast<char>(next());
    return all;
  }
  std::size_t size() {
    static constexpr std::size_t edges[] = {0, 1, 2, 124, 125, 126, 127, 128, 255, 256, 300, 1000};
    if (one_in(1500)) return max_message + below(3) - 1;
    return one_in(4) ? any(edges) : below(one_in(3) ? 140 : 24);
  }
  std::string text(bool good) {
    static constexpr std::string_view good_ones[] = {
        "a", "hello", "\x7f", std::string_view("\0", 1), "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
        "\xef\xbb\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    static constexpr std::string_view bad_ones[] = {
        "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xff", "\xfe", "\xe2\x82", "\xf0\x9f\x98", "\xc3", "\xe2(\xac", "\xf0(\x8c\xbc"};
    std::string all;
    const std::size_t n = size();
    const std::size_t bad = good ? n + 1 : below(n + 1);
    bool was_bad = good;
    while (all.size() < n || !was_bad) {
      if (!was_bad && all.size() >= bad) {
        all += any(bad_ones);
        was_bad = true;
      }
      all += any(good_ones);
    }
    return all;
  }
  std::string close_payload() {
    static constexpr unsigned odd[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535};
    static constexpr unsigned fine[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    if (one_in(5)) return {};
    if (one_in(20)) return bytes(1);
    const unsigned code = one_in(5) ? any(odd) : one_in(20) ? below(65536) : any(fine);
    std::string reason = one_in(2) ? text(!one_in(6)) : "";
    if (!one_in(20) && reason.size() > 123) reason.resize(0);
    return std::string{static_cast<char>(code >> 8), static_cast<char>(code)} + reason;
  }

  frame plain(kind k, unsigned first, std::string payload) {
    frame f;
    f.first = first;
    f.masked = f.has_key = to_server(k);
    f.key = one_in(20) ? 0 : static_cast<std::uint32_t>(next());
    f.length = payload.size();
    f.payload = std::move(payload);
    return f;
  }
  frame control(kind k) {
    static constexpr std::size_t edges[] = {0, 1, 124, 125};
    return plain(k, one_in(2) ? 0x89 : 0x8A, bytes(one_in(4) ? any(edges) : below(20)));
  }

  std::string frames(kind k) {
    z_stream deflater{};
    const bool deflates = is_deflate(k);
    if (deflates && deflateInit2(&deflater, static_cast<int>(below(10)), Z_DEFLATED, -15, 4, one_in(4) ? Z_FIXED : Z_DEFAULT_STRATEGY) != Z_OK)
      std::abort();
    std::vector<frame> all;
    const bool broken = !one_in(3);
    for (unsigned n = below(4); n != ~0U; --n) {
      if (one_in(5)) all.push_back(control(k));
      const bool is_text = one_in(2);
      std::string payload = is_text ? text(!broken || !one_in(8)) : bytes(size());
      unsigned first = is_text ? 1 : 2;
      if (deflates && !one_in(4)) {
        if (!payload.empty() && one_in(2)) payload = payload.substr(0, 8) + payload + payload.substr(0, payload.size() / 2);
        if (is_text && payload.size() > 8 && !broken) payload = std::string(payload.size(), 'x');
        payload = compress(deflater, payload);
        first |= 0x40;
      }
      const std::size_t pieces = one_in(3) ? 1 + below(4) : 1;
      for (std::size_t i = 1; i <= pieces; ++i) {
        const std::size_t take = i == pieces ? payload.size() : below(payload.size() + 1);
        all.push_back(plain(k, first | (i == pieces ? 0x80U : 0U), payload.substr(0, take)));
        payload.erase(0, take);
        first = 0;
        if (one_in(8)) all.push_back(control(k));
      }
    }
    if (deflates) deflateEnd(&deflater);
    if (one_in(3)) all.push_back(plain(k, 0x88, close_payload()));
    if (broken) break_frames(k, all);
    std::string stream;
    for (const frame& f : all) write(f, stream);
    if (broken && one_in(3)) break_bytes(stream);
    if (one_in(6)) stream.resize(below(stream.size() + 1));
    return stream;
  }

  std::string compress(z_stream& z, const std::string& payload) {
    std::string out(payload.size() + payload.size() / 2 + 200, '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));
    z.avail_in = static_cast<uInt>(payload.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    const bool final_block = one_in(12);
    deflate(&z, final_block ? Z_FINISH : Z_SYNC_FLUSH);
    out.resize(out.size() - z.avail_out);
    if (final_block) {
      deflateReset(&z);
      if (one_in(2)) out += '\0';
    } else if (out.size() >= 4) {
      out.resize(out.size() - 4);
    }
    if (out.empty()) out += '\0';
    return out;
  }

  void break_frames(kind k, std::vector<frame>& all) {
    for (unsigned times = one_in(4) ? 2 : 1; times != 0; --times) {
      const std::size_t at = below(all.size());
      frame& f = all[at];
      switch (below(20)) {
        case 0: f.form = f.payload.size() < 126 ? (one_in(2) ? 16 : 64) : 64; break;
        case 1: f.length += one_in(2) ? std::uint64_t{0} - 1 : 1; break;
        case 2: f.length = below(300); break;
        case 3:
          f.form = 64;
          f.length = next() >> below(64);
          break;
        case 4: f.masked = !f.masked; break;
        case 5: f.masked = f.has_key = !f.masked; break;
        case 6: f.first ^= 0x10U << below(3); break;
        case 7: f.first = (f.first & 0xF0U) | below(16); break;
        case 8: f.first ^= 0x80U; break;
        case 9: all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), plain(k, 0x80, text(true))); break;
        case 10: all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), plain(k, one_in(2) ? 0x01 : 0x82, text(true))); break;
        case 11: all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), plain(k, one_in(2) ? 0x89 : 0x8A, bytes(126 + below(3)))); break;
        case 12: all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), plain(k, one_in(2) ? 0x09 : 0x0A, bytes(below(9)))); break;
        case 13: all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), plain(k, 0x88, close_payload())); break;
        case 14: all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), plain(k, 0x81, text(false))); break;
        case 15: all.insert(all.begin() + static_cast<std::ptrdiff_t>(at), frame{f}); break;
        case 16: all.erase(all.begin() + static_cast<std::ptrdiff_t>(at)); break;
        case 17: std::swap(f, all[below(all.size())]); break;
        case 18:
          if (!f.payload.empty()) f.payload[below(f.payload.size())] = static_cast<char>(next());
          break;
        case 19: f.first = below(256); break;
      }
      if (all.empty()) all.push_back(control(k));
    }
  }

  static void write(const frame& f, std::string& to) {
    to += static_cast<char>(f.first);
    const int form = f.form != 0 ? f.form : f.length < 126 ? 7 : f.length < 65536 ? 16 : 64;
    const auto code = static_cast<unsigned>(form == 7 ? f.length : form == 16 ? 126 : 127);
    to += static_cast<char>((f.masked ? 0x80U : 0U) | code);
    for (int shift = (form == 7 ? 0 : form) - 8; shift >= 0; shift -= 8) to += static_cast<char>(f.length >> shift);
    for (int shift = 24; f.has_key && shift >= 0; shift -= 8) to += static_cast<char>(f.key >> shift);
    for (std::size_t i = 0; i < f.payload.size(); ++i)
      to += static_cast<char>(static_cast<unsigned char>(f.payload[i]) ^ (f.has_key ? f.key >> (24 - 8 * (i % 4)) & 0xFFU : 0U));
  }

  void break_bytes(std::string& stream) {
    if (stream.empty()) return;
    for (unsigned times = 1 + below(3); times != 0; --times) {
      const std::size_t at = below(stream.size());
      switch (below(6)) {
        case 0: stream.erase(at, 1 + below(4)); break;
        case 1: stream.insert(at, bytes(1 + below(4))); break;
        case 2: stream += bytes(below(16)); break;
        default: stream[at] = static_cast<char>(static_cast<unsigned char>(stream[at]) ^ 1U << below(8)); break;
      }
      if (stream.empty()) return;
    }
  }

  // ---- heads

  struct field {
    std::string name, value;
  };

  std::string request() {
    static constexpr std::string_view lines[] = {
        "POST /chat HTTP/1.1", "get /chat HTTP/1.1", "GET /chat HTTP/1.0", "GET /chat HTTP/1.2", "GET /chat HTTP/2.0", "GET /chat HTTP/1.10",
        "GET /chat http/1.1", "GET /chat", "GET  /chat HTTP/1.1", "GET /chat  HTTP/1.1", " GET /chat HTTP/1.1", "GET /chat HTTP/1.1 ",
        "GET chat HTTP/1.1", "GET * HTTP/1.1", "GET /ch at HTTP/1.1", "GET /ch#at HTTP/1.1", "GET /ch\xc3\xa9 HTTP/1.1", "GET /ch\x7f HTTP/1.1",
        "GET\t/chat HTTP/1.1", "HEAD /chat HTTP/1.1", "OPTIONS /chat HTTP/1.1", "GET  HTTP/1.1", "G@T /chat HTTP/1.1", "GET /chat HTTP/1.",
        "GET example.org:80 HTTP/1.1", "CONNECT example.org:80 HTTP/1.1"};
    static constexpr std::string_view fine[] = {"GET /chat?room=1 HTTP/1.1", "GET / HTTP/1.1", "GET ws://example.org/chat HTTP/1.1",
                                                "GET http://example.org/ HTTP/1.1", "GET /%20\"<>\\^`{|} HTTP/1.1"};
    std::string line = one_in(10) ? std::string(any(fine)) : "GET /chat HTTP/1.1";
    std::vector<field> fields{{"Host", "example.org"},
                              {"Upgrade", "websocket"},
                              {"Connection", "Upgrade"},
                              {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                              {"Sec-WebSocket-Version", "13"}};
    if (one_in(2)) fields[3].value = base64_of_16();
    if (one_in(3)) fields.push_back({"Sec-WebSocket-Protocol", one_in(2) ? "chat.v2, chat.v1" : "chat.v1"});
    if (one_in(3)) fields.push_back({"Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"});
    if (one_in(3)) fields.push_back({"Origin", "https://example.org"});
    if (one_in(4)) fields.push_back({"User-Agent", "Mozilla/5.0 (X11; Linux) \"q\" \xe9"});
    if (one_in(4)) fields.push_back({"Cookie", "a=b; c=\"d,e\""});
    const bool broken = !one_in(4);
    if (broken && one_in(8)) line = any(lines);
    return head(line, fields, broken);
  }

  std::string response() {
    static constexpr std::string_view lines[] = {
        "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.0 101 Switching Protocols", "HTTP/1.2 101 Switching Protocols",
        "HTTP/2.0 101 Switching Protocols", "http/1.1 101 Switching Protocols", "HTTP/1.1 101", "HTTP/1.1 101 ", "HTTP/1.1  101 Switching Protocols",
        "HTTP/1.1 0101 Switching Protocols", "HTTP/1.1 10 Switching", "HTTP/1.1 1010 Switching", "HTTP/1.1 100 Continue", "HTTP/1.1 103 Early Hints",
        "HTTP/1.1 301 Moved", "HTTP/1.1 401 Unauthorized", "HTTP/1.1 426 Upgrade Required", "HTTP/1.1 503 No", "HTTP/1.1 abc Switching", "101 Switching Protocols",
        " HTTP/1.1 101 Switching Protocols", "HTTP/1.1\t101 Switching Protocols", "HTTP/1.1 101 \xc3\xa9", "HTTP/1.1 101 a\x01z", "ICY 101 OK", "HTTP/1.1 001 Odd"};
    std::string line = one_in(8) ? "HTTP/1.1 101 Whatever you like" : "HTTP/1.1 101 Switching Protocols";
    std::vector<field> fields{{"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", std::string(accept_here)}};
    if (one_in(3)) fields.push_back({"Sec-WebSocket-Protocol", one_in(2) ? "chat.v2" : "chat.v1"});
    if (one_in(3)) fields.push_back({"Server", "nginx/1.0 \xe9 (\"q\")"});
    const bool broken = !one_in(4);
    if (broken && one_in(6)) line = any(lines);
    return head(line, fields, broken);
  }

  std::string base64_of_16() {
    static constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string key;
    for (int i = 0; i < 22; ++i) key += letters[below(64)];
    return key + "==";
  }

  std::string head(const std::string& line, std::vector<field>& fields, bool broken) {
    if (one_in(3)) std::swap(fields[below(fields.size())], fields[below(fields.size())]);
    if (one_in(10))
      for (char& c : fields[below(fields.size())].name) c = static_cast<char>(one_in(2) ? lower(c) : upper(c));
    std::string end = "\r\n";
    std::vector<std::string> lines;
    std::string before;
    if (broken)
      for (unsigned times = one_in(4) ? 2 : 1; times != 0; --times) break_fields(fields);
    for (const field& f : fields) lines.push_back(f.name.empty() ? f.value : f.name + ": " + f.value);
    if (broken && one_in(5)) break_lines(lines, end, before);
    std::string all = before + line + end;
    for (const std::string& l : lines) all += l + end;
    all += end;
    if (broken && one_in(16)) break_bytes(all);
    if (one_in(30)) all.resize(below(all.size()));
    return all;
  }
  static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
  static char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

  void break_fields(std::vector<field>& fields) {
    static constexpr std::string_view extra[] = {
        "Content-Length: 0", "Content-Length: 5", "Content-Length: x", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Expect: 100-continue",
        "Sec-WebSocket-Protocol: chat.v1", "Sec-WebSocket-Protocol: chat.v1,chat.v1", "Sec-WebSocket-Protocol: ,chat.v1,, chat.v2,", "Sec-WebSocket-Protocol: ",
        "Sec-WebSocket-Protocol: a b", "Sec-WebSocket-Protocol: chat/v1", "Sec-WebSocket-Protocol: chat.v1 , chat.v2", "Sec-WebSocket-Protocol: ,",
        "Sec-WebSocket-Protocol: \"chat.v1\"", "Sec-WebSocket-Protocol: chat.v1;q=1", "Sec-WebSocket-Protocol: other", "Sec-WebSocket-Protocol: CHAT.V1",
        "Sec-WebSocket-Extensions: ", "Sec-WebSocket-Extensions: a, b; c=d", "Sec-WebSocket-Extensions: a;b=\"c, d\"", "Sec-WebSocket-Extensions: a; b = c",
        "Sec-WebSocket-Extensions: a b", "Sec-WebSocket-Extensions: a;", "Sec-WebSocket-Extensions: ;a", "Sec-WebSocket-Extensions: a=b", "Sec-WebSocket-Extensions: ,a,,",
        "Sec-WebSocket-Extensions: a; b=\"c", "Sec-WebSocket-Extensions: a; b=\"c d\"", "Sec-WebSocket-Extensions: a; b=", "Sec-WebSocket-Extensions: a; b=\"\"",
        "Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Extensions: permessage-deflate; x", "Sec-WebSocket-Extensions: ,",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==", "Upgrade: h2c", "Upgrade: websocket",
        "Connection: keep-alive", "Connection: close", "Host: other", "Origin: https://other", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "X: ", "X:y", "X : y", ": y", "no colon", "X@: y", "X: a\tb", "X(): y", "Via: 1.1 a"};
    static constexpr std::pair<std::string_view, std::string_view> values[] = {
        {"Host", ""}, {"Host", "example.org:9001"}, {"Host", "[::1]:80"}, {"Host", "a b"}, {"Host", "a,b"}, {"Host", "user@example.org"}, {"Host", "example.org:"},
        {"Host", "example.org:x"}, {"Host", "example.org/"}, {"Host", "exa%6dple.org"}, {"Host", "ex\xc3\xa4mple.org"}, {"Host", "example.org:99999"}, {"Host", "[::1"},
        {"Upgrade", "WebSocket"}, {"Upgrade", "h2c, websocket"}, {"Upgrade", "websocket, h2c"}, {"Upgrade", "xwebsocket"}, {"Upgrade", "websocketx"}, {"Upgrade", ""},
        {"Upgrade", "websocket/13"}, {"Upgrade", "websocket,"}, {"Upgrade", "\"websocket\""}, {"Upgrade", "web socket"}, {"Upgrade", "h2c"}, {"Upgrade", "websocket websocket"},
        {"Connection", "keep-alive, Upgrade"}, {"Connection", "upgrade"}, {"Connection", "UPGRADE,close"}, {"Connection", "not-upgrade"}, {"Connection", "Upgrade2"},
        {"Connection", "keep-alive"}, {"Connection", ""}, {"Connection", ",Upgrade,"}, {"Connection", "Upgrade; a=b"}, {"Connection", "keep-alive Upgrade"},
        {"Connection", "\"Upgrade\""}, {"Connection", "close"}, {"Connection", "keep-alive , upgrade"}, {"Connection", "keep-al\tive, Upgrade"}, {"Upgrade", "h2\xe9, websocket"},
        {"Sec-WebSocket-Key", ""}, {"Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC=="}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ="},
        {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ"}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ==="}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSBsb25nZXI="},
        {"Sec-WebSocket-Key", "dGhl"}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j_Q=="}, {"Sec-WebSocket-Key", "dGhlIHNhbXBs ZSBub25jZQ=="},
        {"Sec-WebSocket-Key", "\"dGhlIHNhbXBsZSBub25jZQ==\""}, {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="},
        {"Sec-WebSocket-Version", "8"}, {"Sec-WebSocket-Version", "12"}, {"Sec-WebSocket-Version", "14"}, {"Sec-WebSocket-Version", ""}, {"Sec-WebSocket-Version", "013"},
        {"Sec-WebSocket-Version", "13, 8"}, {"Sec-WebSocket-Version", "+13"}, {"Sec-WebSocket-Version", "13.0"}, {"Sec-WebSocket-Version", "x"}, {"Sec-WebSocket-Version", "0"},
        {"Sec-WebSocket-Version", "13 "}, {"Sec-WebSocket-Version", "130"},
        {"Sec-WebSocket-Accept", ""}, {"Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, {"Sec-WebSocket-Accept", "<<the right accept, in 28>>! "},
        {"Sec-WebSocket-Accept", "<<the right accept, in 28>>!x"}, {"Sec-WebSocket-Accept", "x<<the right accept, in 28>>!"}, {"Sec-WebSocket-Accept", "\"<<the right accept, in 28>>!\""},
        {"Sec-WebSocket-Protocol", "other"}, {"Sec-WebSocket-Protocol", "chat.v2, chat.v1"}, {"Sec-WebSocket-Protocol", ""}, {"Sec-WebSocket-Protocol", "CHAT.V2"},
        {"Sec-WebSocket-Protocol", "chat.v2,"}};
    const std::size_t at = below(fields.size());
    switch (below(8)) {
      case 0: fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(at)); break;
      case 1: fields.insert(fields.begin() + below(fields.size() + 1), field{fields[at]}); break;
      case 2:
      case 3: {
        const std::string_view line = any(extra);
        const std::size_t colon = line.find(": ");
        if (colon == std::string_view::npos)
          fields.insert(fields.begin() + below(fields.size() + 1), field{"", std::string(line)});  // written as it is
        else
          fields.insert(fields.begin() + below(fields.size() + 1), field{std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))});
        break;
      }
      default:
        for (int tries = 0; tries < 20; ++tries) {
          const auto& [name, value] = values[below(sizeof values / sizeof values[0])];
          bool found = false;
          for (field& f : fields)
            if (f.name == name && !found) f.value = value, found = true;
          if (found) break;
        }
        break;
    }
    if (fields.empty()) fields.push_back({"X", "y"});
  }

  void break_lines(std::vector<std::string>& lines, std::string& end, std::string& before) {
    static constexpr char odd[] = {'\0', '\x01', '\x0b', '\x1f', '\x7f', '\x80', '\xff', '\r', '\n', '"', '\t'};
    std::string& l = lines[below(lines.size())];
    const std::size_t colon = l.find(':') == std::string::npos ? 0 : l.find(':');
    switch (below(12)) {
      case 0: l.insert(colon, 1, ' '); break;
      case 1: l.insert(colon, 1, '\t'); break;
      case 2: l += " \t "; break;
      case 3: l.insert(colon + (colon < l.size() ? 1 : 0), "  \t"); break;
      case 4:
        if (colon + 1 < l.size() && l[colon + 1] == ' ') l.erase(colon + 1, 1);
        break;
      case 5: l.insert(0, 1, ' '); break;
      case 6: l.insert(l.size() < colon + 3 ? l.size() : colon + 2 + below(l.size() - colon - 1), "\r\n "); break;
      case 7: l.insert(below(l.size() + 1), 1, any(odd)); break;
      case 8: end = "\n"; break;
      case 9: end = "\r"; break;
      case 10: before = one_in(2) ? "\r\n" : "\r\n\r\n"; break;
      case 11: l += one_in(2) ? "\n" : "\r"; break;
    }
  }

  std::uint64_t state_;
};
// clang-format on

}  // namespace differential
