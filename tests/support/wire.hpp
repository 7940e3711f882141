// Helpers for tests that speak in bytes: frames made from literals by a writer of their own, and a driver that feeds an
// endpoint a whole input, byte by byte, at every split, and (up to 512 bytes) at every pair of splits, and says as text
// what came of it. One log for all of them:
//
//     text "Hello"                       a whole message; pieces that follow one another are one line
//     binary "ab" ...   ... "c" ...      a message's beginning, and its middle, when something came between
//     ... "d"                            its end
//     ping "x"   pong "x"   close 1000 "bye"
//     failed rsv2_set @0                 the broken rule, and the offset of the byte that broke it
//     -> pong "x"   -> close 1002 ""     what the endpoint sent, read by a decoder of our own
//     -> text "ab" ...                   the same with FIN 0
//     -> HTTP/1.1 101 Switching Protocols, and with `show_fields` a line for each field; a body must be as long as said
//     body "x"                           a rejecting response's, once all of it is there
//     = open keep                        at the end: state(), wants(), and the close code if there is one
//
// A string is shown in quotes, other bytes as \x00, runs of eight and more as "a"*8.
#ifndef WSCODEC_TESTS_SUPPORT_WIRE_HPP
#define WSCODEC_TESTS_SUPPORT_WIRE_HPP

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../catch.hpp"
#include "wscodec/connection.hpp"
#include "wscodec/session.hpp"

namespace wire {

namespace ws = wscodec;
using namespace std::string_view_literals;

inline constexpr ws::role both_roles[] = {ws::role::server, ws::role::client};
inline constexpr ws::role other(ws::role r) { return r == ws::role::server ? ws::role::client : ws::role::server; }

// ---- bytes and text

/// `hex("81 05")`: bytes from hexadecimal digits; spaces are skipped.
inline std::string hex(std::string_view digits) {
  std::string bytes;
  unsigned value = 0, count = 0;
  for (const char c : digits) {
    const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                           : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10
                           : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A') + 10
                                                  : 16;
    if (digit == 16) continue;
    value = value << 4 | digit;
    if (++count % 2 == 0) bytes += static_cast<char>(static_cast<unsigned char>(value & 0xFFU));
  }
  return bytes;
}

inline std::string to_hex(std::string_view bytes) {
  std::string digits;
  for (const char c : bytes) {
    const auto u = static_cast<unsigned char>(c);
    if (!digits.empty()) digits += ' ';
    digits += "0123456789abcdef"[u >> 4];
    digits += "0123456789abcdef"[u & 15];
  }
  return digits;
}

/// Bytes as the log shows them.
inline std::string show(std::string_view bytes) {
  const auto put = [](std::string& to, char c) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') (to += '\\') += c;
    else if (u >= 0x20 && u < 0x7F) to += c;
    else ((to += "\\x") += "0123456789abcdef"[u >> 4]) += "0123456789abcdef"[u & 15];
  };
  std::string out, open;
  const auto end_chunk = [&] {
    if (!open.empty()) (((out += out.empty() ? "" : " ") += '"') += open) += '"';
    open.clear();
  };
  for (std::size_t i = 0; i < bytes.size();) {
    std::size_t run = 1;
    while (i + run < bytes.size() && bytes[i + run] == bytes[i]) ++run;
    if (run >= 8) {
      end_chunk();
      put(open, bytes[i]);
      end_chunk();
      out += "*" + std::to_string(run);
    } else {
      for (std::size_t k = 0; k < run; ++k) put(open, bytes[i]);
    }
    i += run;
  }
  end_chunk();
  return out.empty() ? "\"\"" : out;
}

inline std::string name(ws::role r) { return r == ws::role::server ? "server" : "client"; }
inline std::string name(ws::error e) { return std::string{ws::explain(e).name}; }
inline std::string name(ws::close_state s) {
  static constexpr std::string_view names[] = {"open", "closing", "replying", "closed", "failing", "failed", "lost"};
  return std::string{names[static_cast<std::size_t>(s)]};
}
inline std::string name(ws::transport t) {
  static constexpr std::string_view names[] = {"keep", "flush", "half_close", "drop"};
  return std::string{names[static_cast<std::size_t>(t)]};
}
inline std::string name(ws::close_code c) { return std::to_string(static_cast<unsigned>(c)); }

// ---- frames, by a writer that shares nothing with the library

/// The masking key of RFC 6455 5.7.
inline constexpr std::string_view rfc_key = "\x37\xfa\x21\x3d";

inline std::string masked(std::string_view payload, std::string_view key) {
  std::string out{payload};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>(out[i] ^ key[i % 4]);
  return out;
}

inline std::string big_endian(std::uint64_t value, unsigned bytes) {
  std::string out;
  for (unsigned i = bytes; i-- > 0;) out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
  return out;
}

/// A head with any length code (0-127) and any extended length; a client's has the key.
inline std::string head(ws::role sender, unsigned first, unsigned code, std::string_view extended,
                        std::string_view key = rfc_key) {
  const bool mask = sender == ws::role::client;
  std::string out;
  out += static_cast<char>(static_cast<unsigned char>(first));
  out += static_cast<char>(static_cast<unsigned char>((mask ? 128U : 0U) | code));
  out += extended;
  if (mask) out += key;
  return out;
}

/// A head that declares `length` bytes in the shortest form.
inline std::string head(ws::role sender, unsigned first, std::uint64_t length, std::string_view key = rfc_key) {
  if (length < 126) return head(sender, first, static_cast<unsigned>(length), ""sv, key);
  if (length < 65536) return head(sender, first, 126U, big_endian(length, 2), key);
  return head(sender, first, 127U, big_endian(length, 8), key);
}

/// A whole frame; `first` is its first byte: 0x81 for a text message in one frame.
inline std::string frame(ws::role sender, unsigned first, std::string_view payload, std::string_view key = rfc_key) {
  return head(sender, first, std::uint64_t{payload.size()}, key) +
         (sender == ws::role::client ? masked(payload, key) : std::string{payload});
}

/// A Close frame.
inline std::string close_frame(ws::role sender, unsigned code, std::string_view reason = {}) {
  return frame(sender, 0x88, big_endian(code, 2) + std::string{reason});
}

/// A frame of the bytes that were sent.
struct sent_frame {
  unsigned first = 0;
  bool is_masked = false;
  std::string key, payload;
};

/// Takes one frame off the front; says what is wrong with it, `""` if nothing, `"cut"` if it is not all there.
inline std::string take_frame(std::string_view& bytes, sent_frame& out) {
  const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(bytes[i])}; };
  if (bytes.size() < 2) return "cut";
  out.first = static_cast<unsigned>(byte(0));
  out.is_masked = byte(1) >= 128;
  const std::uint64_t code = byte(1) % 128;
  std::size_t at = code < 126 ? 2 : code == 126 ? 4 : 10;
  if (bytes.size() < at) return "cut";
  std::uint64_t length = code < 126 ? code : 0;
  for (std::size_t i = 2; i < at; ++i) length = length << 8 | byte(i);
  if ((code == 126 && length < 126) || (code == 127 && length < 65536)) return "length not minimal";
  if (out.is_masked) {
    if (bytes.size() < at + 4) return "cut";
    out.key = bytes.substr(at, 4);
    at += 4;
  }
  if (bytes.size() - at < length) return "cut";
  out.payload = bytes.substr(at, static_cast<std::size_t>(length));
  if (out.is_masked) out.payload = masked(out.payload, out.key);
  bytes.remove_prefix(at + static_cast<std::size_t>(length));
  return "";
}

/// The lines of an HTTP message's fields but those that tell of its body, which is taken off `rest`.
inline std::string describe_fields(std::string_view head, std::string_view& rest) {
  std::string out;
  for (head.remove_prefix(head.find("\r\n") + 2); !head.empty(); head.remove_prefix(head.find("\r\n") + 2)) {
    const std::string line{head.substr(0, head.find("\r\n"))};
    if (line.starts_with("Content-Type: ")) continue;
    if (!line.starts_with("Content-Length: ")) {
      out += "-> " + line + "\n";
      continue;
    }
    const std::size_t length = std::stoul(line.substr(16));
    if (length > rest.size()) out += "-> BAD: cut body\n";
    rest.remove_prefix(length < rest.size() ? length : rest.size());
  }
  return out;
}

/// What an endpoint sent, one line a frame; `keys` collects the masking keys, none of which may come twice (F21).
inline std::string describe_sent(ws::role sender, std::string_view bytes, std::set<std::string>* keys = nullptr,
                                 bool show_fields = false) {
  std::string out;
  while (!bytes.empty()) {
    if (bytes.starts_with("HTTP/") || bytes.starts_with("GET ")) {
      const std::size_t end = bytes.find("\r\n\r\n");
      if (end == bytes.npos) return out + "-> BAD: cut head\n";
      out += "-> " + std::string{bytes.substr(0, bytes.find("\r\n"))} + "\n";
      const std::string_view message_head = bytes.substr(0, end + 2);
      bytes.remove_prefix(end + 4);
      const std::string fields = describe_fields(message_head, bytes);
      if (show_fields) out += fields;
      continue;
    }
    sent_frame f;
    if (const std::string wrong = take_frame(bytes, f); !wrong.empty()) return out + "-> BAD: " + wrong + "\n";
    if (f.is_masked != (sender == ws::role::client)) out += "-> BAD: mask bit\n";
    if (f.is_masked && keys != nullptr && !keys->insert(f.key).second) out += "-> BAD: key used twice\n";
    static constexpr std::string_view names[] = {"...",   "text", "binary", "?3",  "?4",  "?5",  "?6",  "?7",
                                                 "close", "ping", "pong",   "?11", "?12", "?13", "?14", "?15"};
    out += "-> " + std::string{names[f.first & 15U]};
    if ((f.first & 0x40U) != 0) out += " rsv1";
    if ((f.first & 0x30U) != 0) out += " BAD: rsv";
    if ((f.first & 15U) == 8 && f.payload.size() >= 2) {
      out += " " + std::to_string(static_cast<unsigned>(static_cast<unsigned char>(f.payload[0])) * 256 +
                                  static_cast<unsigned char>(f.payload[1]));
      f.payload.erase(0, 2);
    }
    out += " " + show(f.payload) + ((f.first & 0x80U) != 0 ? "\n" : " ...\n");
  }
  return out;
}

// ---- a source of keys for tests: every word it gives is another one

struct test_entropy {
  std::uint64_t state = 0x9E3779B97F4A7C15U;
  std::size_t calls = 0, bytes = 0;
  bool fails = false;
  std::string_view nonce = {};  ///< given whenever as many bytes are asked for

  static bool fill(void* self, char* to, std::size_t n) {
    auto& e = *static_cast<test_entropy*>(self);
    ++e.calls;
    if (e.fails) return false;
    e.bytes += n;
    if (!e.nonce.empty() && n == e.nonce.size()) return std::memcpy(to, e.nonce.data(), n) != nullptr;
    for (std::size_t i = 0; i < n; ++i) {
      e.state = e.state * 6364136223846793005U + 1442695040888963407U;
      to[i] = static_cast<char>(static_cast<unsigned char>(e.state >> 33));
    }
    return true;
  }
};

// ---- the log

/// Whether an event says nothing beyond what its type has to say, and no event nothing at all.
inline bool is_tidy(const ws::event& ev) {
  using type = ws::event_type;
  const bool piece = ev.type == type::data || ev.type == type::message;
  if (ev.first && !piece) return false;
  if (ev.last && !piece && ev.type != type::body) return false;
  if (ev.compressed && !piece) return false;
  if (ev.plain && ev.type != type::request) return false;
  if (ev.number != 0 && ev.type != type::close && ev.type != type::failed) return false;
  return ev.type != type::none || (ev.payload.empty() && ev.opcode == ws::opcode::continuation);
}

/// Events as text, with the pieces of a message coalesced; `whole` has whole messages only, as a session gives them.
class event_log {
 public:
  void add(std::string_view line) {
    end_piece();
    (text_ += line) += '\n';
    (whole_ += line) += '\n';
  }
  void add(const ws::event& ev, std::uint64_t offset) {
    if (!is_tidy(ev)) add("BAD: more said than there is");
    switch (ev.type) {
      case ws::event_type::data:
        return add_piece(ev);
      case ws::event_type::message:
        return add(kind(ev.opcode) + " " + show(ev.payload));
      case ws::event_type::ping:
        return add("ping " + show(ev.payload));
      case ws::event_type::pong:
        return add("pong " + show(ev.payload));
      case ws::event_type::close:
        return add("close " + name(ev.code()) + " " + show(ev.payload));
      case ws::event_type::failed:
        return add("failed " + name(ev.why()) + " @" + std::to_string(offset));
      case ws::event_type::request:
        return add("request");
      case ws::event_type::open:
        return add("open");
      case ws::event_type::rejected:
        return add("rejected " + std::to_string(ev.response().status()));
      case ws::event_type::body:
        body_ += ev.payload;
        if (ev.last) add("body " + show(body_));
        return;
      case ws::event_type::none:
        return;
    }
  }
  /// Everything up to now.
  const std::string& text() {
    end_piece();
    return text_;
  }
  /// The same with whole messages only, at the place of their last piece.
  const std::string& whole() {
    end_piece();
    return whole_;
  }

 private:
  static std::string kind(ws::opcode op) {
    return op == ws::opcode::text ? "text" : op == ws::opcode::binary ? "binary" : "BAD opcode";
  }
  void add_piece(const ws::event& ev) {
    if (ev.first == in_message_) add(ev.first ? "BAD: first inside a message" : "BAD: a piece outside a message");
    if (ev.first) {
      opcode_ = ev.opcode;
      message_.clear();
    }
    if (ev.opcode != opcode_) add("BAD: the opcode changed");
    if (!has_piece_) begins_ = ev.first;
    if (has_piece_ && ev.first) {
      end_piece();
      begins_ = true;
    }
    has_piece_ = true;
    in_message_ = !ev.last;
    piece_ += ev.payload;
    message_ += ev.payload;
    if (!ev.last) return;
    const std::string message = kind(opcode_) + " " + show(message_) + "\n";
    end_piece();
    whole_ += message;
  }
  void end_piece() {
    // A piece that holds nothing and ends nothing says nothing, unless it begins a message.
    if (has_piece_ && (begins_ || !in_message_ || !piece_.empty())) {
      text_ += begins_ ? kind(opcode_) : "...";
      text_ += " " + show(piece_) + (in_message_ ? " ...\n" : "\n");
    }
    has_piece_ = false;
    piece_.clear();
  }

  std::string text_, whole_, piece_, message_, body_;
  ws::opcode opcode_ = ws::opcode::continuation;
  bool has_piece_ = false, begins_ = false, in_message_ = false;
};

// ---- endpoints

enum class through {
  connection,  ///< `next(span&)`, in place
  copying,     ///< `next(string_view&, to)`
  session,     ///< `next(span&)`
  prepared,    ///< `prepare`, `commit`, `next()`
};
inline constexpr through all_ways[] = {through::connection, through::copying, through::session, through::prepared};
inline std::string name(through t) {
  static constexpr std::string_view names[] = {"connection", "copying connection", "session", "prepared session"};
  return std::string{names[static_cast<std::size_t>(t)]};
}
inline constexpr bool is_session(through t) { return t == through::session || t == through::prepared; }

/// A connection or session under test, with its memory, keys and log. Input is given in memory of its exact size, which
/// is gone after the read.
class endpoint {
 public:
  endpoint() = default;
  endpoint(const endpoint&) = delete;
  endpoint& operator=(const endpoint&) = delete;
  virtual ~endpoint() = default;

  /// One read: logs all its events, and what is sent after each unless `flush_late`.
  virtual void read(std::string_view bytes) = 0;
  virtual ws::event eof_event() = 0;
  virtual ws::error send(ws::opcode op, std::string_view payload, bool last = true) = 0;
  virtual ws::error ping(std::string_view payload) = 0;
  virtual ws::error pong(std::string_view payload) = 0;
  virtual ws::error close(ws::close_code code = ws::close_code::normal, std::string_view reason = {}) = 0;
  virtual ws::error connect(const ws::client_request& request) = 0;
  virtual ws::event fail_event(ws::error why) = 0;
  virtual ws::transport wants() = 0;
  virtual ws::close_state state() = 0;
  virtual ws::close_code code() = 0;
  virtual ws::error why() = 0;
  virtual std::uint64_t offset() = 0;
  virtual bool is_open() = 0;
  /// Everything that is to be sent, which then counts as sent.
  virtual std::string take_sent() = 0;

  /// Logs what is to be sent.
  void flush() {
    const std::string lines = describe_sent(self, take_sent(), &keys_seen, show_fields);
    for (std::size_t at = 0; at < lines.size();) {
      const std::size_t end = lines.find('\n', at);
      log.add(std::string_view{lines}.substr(at, end - at));
      at = end + 1;
    }
  }
  void eof() { (void)happened(eof_event()); }
  void fail(ws::error why_so) { (void)happened(fail_event(why_so)); }
  /// The last line of a log.
  std::string end_line() {
    return "= " + name(state()) + " " + name(wants()) + (code() == ws::close_code::none ? "" : " " + name(code()));
  }

  ws::role self = ws::role::server;
  bool flush_late = false;
  bool show_fields = false;
  ws::acceptance acceptance = {};  ///< what a good request is answered with
  event_log log;
  test_entropy entropy;
  ws::masking_keys keys{&test_entropy::fill, &entropy};
  std::set<std::string> keys_seen;

 protected:
  /// Complains of an input that did not shrink from its front.
  void see_rest(std::string_view all, std::string_view rest) {
    if (rest.size() > all.size() || rest.data() + rest.size() != all.data() + all.size()) log.add("BAD: the input grew");
  }
  /// Logs an event; whether it is one.
  bool happened(const ws::event& ev) {
    log.add(ev, offset());
    if (!ev) return false;
    if (ev.type == ws::event_type::request) answer();
    if (!flush_late) flush();
    return true;
  }
  virtual void answer() = 0;
};

template <class Machine>
class machine_endpoint : public endpoint {
 public:
  ws::transport wants() override { return machine->wants(); }
  ws::close_state state() override { return machine->state(); }
  ws::close_code code() override { return machine->code(); }
  ws::error why() override { return machine->why(); }
  std::uint64_t offset() override { return machine->offset(); }
  bool is_open() override { return machine->is_open(); }
  ws::event eof_event() override { return machine->end_of_input(); }
  ws::event fail_event(ws::error why_so) override { return machine->fail(why_so); }

  std::unique_ptr<Machine> machine;
};

class connection_endpoint final : public machine_endpoint<ws::connection> {
 public:
  /// With `open` the connection starts after the handshake.
  connection_endpoint(ws::role role, const ws::options& opt, const ws::negotiated* open = nullptr,
                      std::size_t copy_to = 0, std::size_t scratch_size = ws::min_scratch)
      : scratch(new char[scratch_size]), copy_to_(copy_to) {
    self = role;
    const std::span<char> memory{scratch.get(), scratch_size};
    machine = open != nullptr ? std::make_unique<ws::connection>(role, *open, opt, memory, &keys)
                              : std::make_unique<ws::connection>(role, opt, memory, &keys);
  }

  void read(std::string_view bytes) override {
    const std::unique_ptr<char[]> memory{new char[bytes.size()]};
    if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
    if (copy_to_ != 0) return read_copying({memory.get(), bytes.size()}, bytes);
    std::span<char> rest{memory.get(), bytes.size()};
    while (happened(machine->next(rest))) see_rest({memory.get(), bytes.size()}, {rest.data(), rest.size()});
    if (!rest.empty()) log.add("BAD: input left over");
  }
  ws::error send(ws::opcode op, std::string_view payload, bool last = true) override {
    return write(payload.size(), [&](ws::output& out) { return machine->send(out, op, payload, last); });
  }
  ws::error ping(std::string_view payload) override {
    return write(payload.size(), [&](ws::output& out) { return machine->ping(out, payload); });
  }
  ws::error pong(std::string_view payload) override {
    return write(payload.size(), [&](ws::output& out) { return machine->pong(out, payload); });
  }
  ws::error close(ws::close_code code = ws::close_code::normal, std::string_view reason = {}) override {
    return write(256, [&](ws::output& out) { return machine->close(out, code, reason); });
  }
  ws::error connect(const ws::client_request& request) override {
    return write(1024, [&](ws::output& out) { return machine->connect(out, request); });
  }
  std::string take_sent() override {
    const ws::error e = write(4096, [&](ws::output& out) { return machine->write_owed(out); });
    if (e != ws::error::none) log.add("BAD: write_owed: " + name(e));
    return std::exchange(sent_, {});
  }
  /// Runs a call that writes, with enough room.
  template <class Call>
  ws::error write(std::size_t payload, Call call) {
    std::vector<char> memory(payload + 64);
    ws::output out{memory};
    const ws::error e = call(out);
    if (e != ws::error::none && out.size() != 0) log.add("BAD: an error wrote something");
    sent_ += out.written();
    return e;
  }

  std::unique_ptr<char[]> scratch;

 private:
  void read_copying(std::string_view rest, std::string_view original) {
    const std::string_view all = rest;
    const std::unique_ptr<char[]> to{new char[copy_to_]};
    ws::event ev;
    do {
      ev = machine->next(rest, std::span<char>{to.get(), copy_to_});
      if (ev.type == ws::event_type::data && ev.payload.size() > copy_to_) log.add("BAD: more than there is room for");
    } while (happened(ev));
    if (!rest.empty()) log.add("BAD: input left over");
    if (all != original) log.add("BAD: const input changed");
  }
  void answer() override {
    (void)write(1024, [&](ws::output& out) { return machine->accept(out, acceptance); });
  }

  std::size_t copy_to_;
  std::string sent_;
};

class session_endpoint final : public machine_endpoint<ws::session> {
 public:
  session_endpoint(ws::role role, const ws::options& opt, const ws::negotiated* open = nullptr, bool prepared = false)
      : prepared_(prepared) {
    self = role;
    machine = open != nullptr ? std::make_unique<ws::session>(role, *open, opt, &keys)
                              : std::make_unique<ws::session>(role, opt, &keys);
  }

  void read(std::string_view bytes) override {
    if (prepared_) return read_prepared(bytes);
    const std::unique_ptr<char[]> memory{new char[bytes.size()]};
    if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
    std::span<char> rest{memory.get(), bytes.size()};
    while (happened(machine->next(rest))) see_rest({memory.get(), bytes.size()}, {rest.data(), rest.size()});
    if (!rest.empty()) log.add("BAD: input left over");
  }
  ws::error send(ws::opcode op, std::string_view payload, bool last = true) override {
    return machine->send(op, payload, last);
  }
  ws::error ping(std::string_view payload) override { return machine->ping(payload); }
  ws::error pong(std::string_view payload) override { return machine->pong(payload); }
  ws::error close(ws::close_code code = ws::close_code::normal, std::string_view reason = {}) override {
    return machine->close(code, reason);
  }
  ws::error connect(const ws::client_request& request) override { return machine->connect(request); }
  std::string take_sent() override {
    std::string sent;
    while (!machine->output().empty()) {
      sent += machine->output();
      machine->consume(machine->output().size());
    }
    return sent;
  }

 private:
  void read_prepared(std::string_view bytes) {
    do {
      const std::span<char> memory = machine->prepare();
      if (memory.empty()) return log.add("BAD: no memory");
      const std::size_t n = bytes.size() < memory.size() ? bytes.size() : memory.size();
      if (n != 0) std::memcpy(memory.data(), bytes.data(), n);
      bytes.remove_prefix(n);
      machine->commit(n);
      while (happened(machine->next())) {
      }
    } while (!bytes.empty());
  }
  void answer() override { (void)machine->accept(acceptance); }

  bool prepared_;
};

// ---- plans: an input, and all that must come of it however it is cut

struct plan {
  ws::role self = ws::role::server;
  std::string input = {};
  std::string log = {};                        ///< what is expected, as a connection gives it; lines may be indented
  std::function<void(endpoint&)> before = {};  ///< calls before the input arrives
  std::function<void(endpoint&)> after = {};   ///< calls after it
  std::function<void(ws::options&)> options = {};  ///< changes to the options
  bool eof = false;                                ///< the peer ends the stream after the input
  bool flush_late = false;                         ///< nothing is sent before all input was read
  bool pairs = true;                               ///< of splits too; off where an input is long and simple
  bool handshake = false;                          ///< starts before the handshake
  ws::negotiated agreed = {};
};

inline std::unique_ptr<endpoint> make_endpoint(const plan& p, const ws::options& opt, through way,
                                               std::size_t copy_to = 7) {
  const ws::negotiated* open = p.handshake ? nullptr : &p.agreed;
  std::unique_ptr<endpoint> e;
  if (is_session(way)) e = std::make_unique<session_endpoint>(p.self, opt, open, way == through::prepared);
  else
    e = std::make_unique<connection_endpoint>(p.self, opt, open, way == through::copying ? copy_to : 0,
                                              p.handshake ? 4096 : ws::min_scratch);
  e->flush_late = p.flush_late;
  return e;
}

/// Lines without the spaces before them, each ended.
inline std::string trim_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    line.remove_prefix(line.find_first_not_of(' ') == line.npos ? line.size() : line.find_first_not_of(' '));
    if (!line.empty()) (out += line) += '\n';
  }
  return out;
}

/// Runs a plan with its input cut at `cuts` (rising); gives the two logs, of pieces and of whole messages.
struct outcome {
  std::string text, whole;
};
inline outcome run(const plan& p, through way, std::initializer_list<std::size_t> cuts, bool byte_by_byte = false,
                   std::size_t copy_to = 7) {
  ws::options opt;
  if (p.options) p.options(opt);
  const std::unique_ptr<endpoint> e = make_endpoint(p, opt, way, copy_to);
  if (p.before) {
    p.before(*e);
    if (!p.flush_late) e->flush();
  }
  const std::string_view input = p.input;
  std::size_t at = 0;
  if (byte_by_byte)
    for (; at < input.size(); ++at) e->read(input.substr(at, 1));
  for (const std::size_t cut : cuts) {
    e->read(input.substr(at, cut - at));
    at = cut;
  }
  if (at < input.size() || input.empty()) e->read(input.substr(at));
  e->read({});  // an empty read changes nothing
  if (p.eof) e->eof();
  if (p.after) p.after(*e);
  e->flush();
  e->log.add(e->end_line());

  // After the end nothing that arrives is parsed, and no call does anything (K09, K14).
  const ws::close_state state = e->state();
  if (state != ws::close_state::open && state != ws::close_state::closing && cuts.size() < 2) {
    const outcome end{e->log.text(), e->log.whole()};
    const std::uint64_t offset = e->offset();
    const ws::error why = e->why();
    const std::string end_line = e->end_line();
    e->read(frame(other(p.self), 0x82, "") + frame(other(p.self), 0x81, "late") + frame(other(p.self), 0x89, "late") + "\xFF\xFF\xFF\xFF\xFF");
    if (e->send(ws::opcode::text, "late") == ws::error::none) e->log.add("BAD: sent after the end");
    if (e->ping("late") == ws::error::none) e->log.add("BAD: pinged after the end");
    if (e->close() == ws::error::none) e->log.add("BAD: closed after the end");
    if (p.eof) e->eof();
    e->flush();
    if (e->why() != why) e->log.add("BAD: another error later: " + name(e->why()));
    if (e->end_line() != end_line) e->log.add("BAD: another end later: " + e->end_line());
    if (why != ws::error::none && e->offset() != offset) e->log.add("BAD: another offset later");
    if (e->log.text() != end.text) e->log.add("BAD: more happened after the end");
  }
  return {e->log.text(), e->log.whole()};
}

/// Whether pairs of splits are left out: tests/mutation/run asks for it where most of what is broken is seen without.
inline bool quick() {
  static const bool asked = std::getenv("WSCODEC_TESTS_QUICK") != nullptr;
  return asked;
}

/// Checks a plan: through connection and session, whole, byte by byte, at every split (of inputs over 2,048 bytes at
/// those near both ends and some between), and at every pair of splits up to 512 bytes.
inline void check(const plan& p) {
  const std::string expected = trim_lines(p.log);
  const outcome reference = run(p, through::connection, {});
  INFO(name(p.self) << " reads "
                    << (p.input.size() <= 256 ? to_hex(p.input) : std::to_string(p.input.size()) + " bytes"));
  CHECK(reference.text == expected);
  if (reference.text != expected) return;
  bool good = true;
  const auto same = [&](const outcome& got, through way, const auto&... cut) {
    if (!good || (is_session(way) ? got.whole == reference.whole : got.text == expected)) return;
    good = false;
    std::string where;
    ((where += " " + std::to_string(cut)), ...);
    INFO(name(way) << ", cut at" << where);
    CHECK((is_session(way) ? got.whole : got.text) == (is_session(way) ? reference.whole : expected));
  };
  const std::size_t n = p.input.size();
  const bool large = n > 2048;
  const std::size_t copy_to = large ? 1000 : 7;
  for (const through way : all_ways) {
    same(run(p, way, {}, false, copy_to), way);
    if (!large || way == through::connection || way == through::prepared) same(run(p, way, {}, true, copy_to), way, -1);
    for (std::size_t i = 1; i < n; ++i) {
      if (large && i > 16 && i + 2 < n && i % (n / 4) != 0) continue;
      same(run(p, way, {i}, false, copy_to), way, i);
    }
  }
  for (const through way : {through::connection, through::session})
    for (std::size_t i = 1; p.pairs && !quick() && n <= 512 && i < n; ++i)
      for (std::size_t k = i + 1; k < n; ++k) same(run(p, way, {i, k}), way, i, k);
  CHECK(good);
}

}  // namespace wire

#endif
