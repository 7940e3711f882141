// What the table of disagreements asks about a stream: a reader of frames that is not ours, and zlib by itself.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace differential {

/// The big-endian number of `n` bytes at `at`.
inline std::size_t number(std::string_view text, std::size_t at, std::size_t n) {
  std::size_t value = 0;
  for (; n != 0 && at < text.size(); --n) value = value << 8 | static_cast<unsigned char>(text[at++]);
  return value;
}

/// The frame that holds an offset of a stream, as far as it is there; not by our parser.
struct place {
  std::size_t begin = 0;
  bool has_head = false;  // all of it
  bool has_all = false;   // with its payload
  unsigned first = 0;     // its first byte
  std::string_view rest;  // the stream from it
  bool masked = false;
  unsigned after_key = 0;    // where its payload begins in `rest`
  std::uint64_t length = 0;  // of the payload
  std::size_t end = 0;       // of it in the stream, if it has all
};
inline place frame_at(std::string_view stream, std::uint64_t offset) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(stream[i]); };
  for (place p;;) {
    p.rest = stream.substr(p.begin);
    const std::size_t left = p.rest.size();
    p.first = left == 0 ? 0U : at(p.begin);
    if (left < 2) return p;
    const unsigned code = at(p.begin + 1) & 0x7FU, more = code == 126 ? 2 : code == 127 ? 8 : 0;
    p.masked = (at(p.begin + 1) & 0x80U) != 0;
    p.after_key = 2 + more + (p.masked ? 4U : 0U);
    if (left < p.after_key) return p;
    p.has_head = true;
    std::uint64_t length = more == 0 ? code : 0;
    for (unsigned i = 0; i < more; ++i) length = length << 8 | at(p.begin + 2 + i);
    p.length = length;
    if (length > left - p.after_key) return p;
    p.has_all = true;
    p.end = p.begin + p.after_key + static_cast<std::size_t>(length);
    if (p.end > offset) return p;
    const std::size_t next = p.end;
    p = {};
    p.begin = next;
  }
}

/// The payload of a frame, unmasked, as far as it has come.
inline std::string payload_of(const place& p) {
  std::string bytes;
  if (!p.has_head) return bytes;
  for (std::size_t i = p.after_key; i < (p.has_all ? p.end - p.begin : p.rest.size()); ++i)
    bytes += static_cast<char>(p.rest[i] ^ (p.masked ? p.rest[p.after_key - 4 + (i - p.after_key) % 4] : '\0'));
  return bytes;
}

/// The payload of the message that a frame belongs to, up to what has come of that frame.
inline std::string message_until(std::string_view stream, const place& last) {
  std::string bytes;
  for (std::size_t at = 0; at < last.begin;) {
    const place p = frame_at(stream, at);
    if (p.first % 16 == 1 || p.first % 16 == 2) bytes.clear();
    if (p.first % 16 < 8) bytes += payload_of(p);
    at = p.end;
  }
  return (last.first % 16 == 0 ? bytes : std::string{}) + payload_of(last);
}

/// What zlib alone makes of the compressed messages of a stream of good frames, each with its tail.
struct inflated {
  bool corrupt = false;      // zlib says so
  bool final_block = false;  // a block had BFINAL
  bool empty = false;        // the last message has no payload at all
  bool unfinished = false;   // it did not end
  bool open_block = false;   // it ends inside a block, even with its tail
  bool interleaved = false;  // a control frame came inside one
  std::string last;          // what the last message has inflated to
  std::size_t largest = 0;   // the size of the largest
  // Messages, compressed or not, before the first with BFINAL, and with a control frame inside it.
  std::size_t before_final = 0, before_interleaved = 0;
};
inline inflated inflate_all(std::string_view stream) {
  inflated got;
  z_stream z{};
  if (inflateInit2(&z, -15) != Z_OK) std::abort();
  std::size_t messages = 0;
  const auto feed = [&](std::string_view bytes) {
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    z.avail_in = static_cast<uInt>(bytes.size());
    int result = Z_OK;
    while (result == Z_OK) {
      Bytef out[4096];
      z.next_out = out;
      z.avail_out = sizeof out;
      result = inflate(&z, Z_SYNC_FLUSH);
      got.last.append(reinterpret_cast<const char*>(out), sizeof out - z.avail_out);
      got.largest = std::max(got.largest, got.last.size());
    }
    got.corrupt = got.corrupt || result == Z_DATA_ERROR;
    if (result == Z_STREAM_END && !got.final_block) {
      got.final_block = true;
      got.before_final = messages;
    }
  };
  bool compressed = false;
  for (std::size_t at = 0; at < stream.size();) {
    const place p = frame_at(stream, at);
    const bool fin = (p.first & 0x80U) != 0;
    if (p.first % 16 >= 8) {
      if (got.unfinished && !got.interleaved) got.before_interleaved = messages;
      got.interleaved = got.interleaved || got.unfinished;
    } else {
      const std::string payload = payload_of(p);
      if (p.first % 16 != 0) {
        compressed = (p.first & 0x40U) != 0;
        got.empty = compressed;
        got.last.clear();
      }
      got.empty = got.empty && payload.empty();
      got.unfinished = compressed && !(fin && p.has_all);
      if (compressed) feed(payload);
      if (compressed && fin && p.has_all) feed({"\0\0\xff\xff", 4});
      got.open_block = compressed && fin && p.has_all && (z.data_type & 128) == 0;
      messages += fin ? 1U : 0U;
    }
    if (!p.has_all) break;
    at = p.end;
  }
  inflateEnd(&z);
  return got;
}

// ---- heads

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// The values of all fields of a name, which is given in lower case, without the blanks around them.
inline std::vector<std::string_view> values_of(std::string_view head, std::string_view name) {
  std::vector<std::string_view> all;
  for (std::size_t at = head.find('\n'); at != std::string_view::npos && at + 1 < head.size();
       at = head.find('\n', at + 1)) {
    const std::string_view line = head.substr(at + 1, head.find('\n', at + 1) - at - 1);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.substr(0, colon).find_last_not_of(" \t") + 1 != name.size()) continue;
    bool same = true;
    for (std::size_t i = 0; i < name.size(); ++i) same = same && lower(line[i]) == name[i];
    if (!same) continue;
    const std::size_t first = line.find_first_not_of(" \t\r", colon + 1);
    all.push_back(first == std::string_view::npos ? std::string_view{}
                                                  : line.substr(first, line.find_last_not_of(" \t\r") + 1 - first));
  }
  return all;
}
/// A list of several fields, or of one, has a member that is empty.
inline bool has_empty_member(const std::vector<std::string_view>& fields) {
  for (std::string_view value : fields) {
    for (std::size_t comma = 0; comma != std::string_view::npos;) {
      comma = value.find(',');
      if (value.substr(0, comma).find_first_not_of(" \t") == std::string_view::npos) return true;
      value.remove_prefix(comma == std::string_view::npos ? value.size() : comma + 1);
    }
  }
  return false;
}
inline bool is_whole_head(std::string_view text) {
  return text.find("\r\n\r\n", text.find_first_not_of("\r\n")) != std::string_view::npos;
}

}  // namespace differential
