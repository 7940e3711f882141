// Every start of a frame (two bytes), in both roles, in every state that a connection can be in, and every close code,
// against an oracle that says which rules a frame breaks. Written from the rules F01-F11, F18, K01-K10, without the parser.
// Ends with `N passed, N failed`, in frames.
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>

namespace ws = wscodec;
using std::string_view;

namespace {

std::uint64_t passed = 0, failed = 0;

// ---- frames, by hand

constexpr std::uint32_t key = 0x8A5C13E7;

void add_big(std::string& to, std::uint64_t number, unsigned bytes) {
  while (bytes-- != 0) to += static_cast<char>(number >> 8 * bytes & 0xFF);
}

std::string frame(unsigned b0, unsigned b1, std::uint64_t extended, string_view payload) {
  std::string bytes;
  add_big(bytes, b0, 1);
  add_big(bytes, b1, 1);
  if (b1 % 128 >= 126) add_big(bytes, extended, b1 % 128 == 126 ? 2 : 8);
  if (b1 < 128) return bytes.append(payload);
  add_big(bytes, key, 4);
  for (std::size_t i = 0; i < payload.size(); ++i)
    bytes += static_cast<char>(static_cast<unsigned char>(payload[i]) ^ (key >> (24 - i % 4 * 8) & 0xFF));
  return bytes;
}

// ---- the oracle

enum class state { idle, in_text, in_binary, in_compressed, closing };

struct setting {
  ws::role self = ws::role::server;
  state at = state::idle;
  bool deflate = false;  // negotiated
};

struct start {
  unsigned b0 = 0, b1 = 0;
  std::uint64_t extended = 0;

  [[nodiscard]] bool fin() const { return b0 >= 128; }
  [[nodiscard]] bool rsv(unsigned n) const { return (b0 >> (7 - n) & 1) != 0; }
  [[nodiscard]] unsigned opcode() const { return b0 % 16; }
  [[nodiscard]] bool control() const { return opcode() >= 8; }
  [[nodiscard]] bool masked() const { return b1 >= 128; }
  [[nodiscard]] std::uint64_t length() const { return b1 % 128 < 126 ? b1 % 128 : extended; }
};

// The rules that a frame breaks; each by itself would fail the connection.
std::vector<ws::error> broken_rules(const setting& s, const start& f) {
  std::vector<ws::error> broken;
  const auto when = [&](bool condition, ws::error rule) {
    if (condition) broken.push_back(rule);
  };
  const bool in_message = s.at == state::in_text || s.at == state::in_binary || s.at == state::in_compressed;
  const bool begins = f.opcode() == 1 || f.opcode() == 2;
  when(f.rsv(1) && !(s.deflate && begins), ws::error::rsv1_unexpected);                     // F07
  when(f.rsv(2), ws::error::rsv2_set);                                                      // F07
  when(f.rsv(3), ws::error::rsv3_set);                                                      // F07
  when(f.opcode() % 8 >= 3, ws::error::opcode_reserved);                                    // F08
  when(s.self == ws::role::server && !f.masked(), ws::error::mask_missing);                 // F05
  when(s.self == ws::role::client && f.masked(), ws::error::mask_present);                  // F05
  when(f.control() && !f.fin(), ws::error::control_fragmented);                             // F09
  when(f.control() && f.b1 % 128 > 125, ws::error::control_too_long);                       // F09
  when(f.opcode() == 0 && !in_message, ws::error::continuation_unexpected);                 // F11
  when(begins && in_message, ws::error::message_interrupted);                               // F11
  when(f.b1 % 128 == 126 && f.extended < 126, ws::error::length_not_minimal);               // F01
  when(f.b1 % 128 == 127 && f.extended < 65536, ws::error::length_not_minimal);             // F01
  when(f.b1 % 128 == 127 && f.extended >> 63 != 0, ws::error::length_top_bit);              // F02
  when(!f.control() && f.length() > 16 * 1024 * 1024, ws::error::message_too_big);          // F03, F18
  when(f.opcode() == 8 && f.length() == 1, ws::error::close_payload_of_one_byte);           // K02
  return broken;
}

unsigned close_code_for(ws::error rule) {
  return rule == ws::error::message_too_big ? 1009 : rule == ws::error::text_not_utf8 ? 1007 : 1002;
}

bool code_valid(unsigned code) {  // K03, K04
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

// What comes out, as a line an event. Data is joined, for a frame may come in pieces.
struct record {
  std::string text;
  std::string data;
  ws::error why = ws::error::none;

  void take(const ws::event& ev) {
    switch (ev.type) {
      case ws::event_type::data:
      case ws::event_type::message:
        data.append(ev.payload);
        if (!ev.last) return;
        text += (ev.opcode == ws::opcode::text ? "text " : "binary ") + std::string(ev.compressed ? "compressed " : "") + data + "\n";
        data.clear();
        return;
      case ws::event_type::ping: text.append("ping ").append(ev.payload).append("\n"); return;
      case ws::event_type::pong: text.append("pong ").append(ev.payload).append("\n"); return;
      case ws::event_type::close: text += "close " + std::to_string(static_cast<unsigned>(ev.code())) + " " + std::string(ev.payload) + "\n"; return;
      case ws::event_type::failed: why = ev.why(); return;
      default: text += "something else\n"; return;
    }
  }
};

constexpr string_view before = "ab";  // what was received of the message so far

std::string expected(const setting& s, const start& f, string_view payload) {
  const bool in_message = s.at == state::in_text || s.at == state::in_binary || s.at == state::in_compressed;
  std::string text;
  if (f.opcode() == 8) {
    if (payload.empty()) return "close 1005 \n";  // K01
    return "close " + std::to_string(static_cast<unsigned char>(payload[0]) * 256U + static_cast<unsigned char>(payload[1])) + " " +
           std::string(payload.substr(2)) + "\n";  // and nothing behind it (K09)
  }
  if (f.opcode() >= 9) {
    text = (f.opcode() == 9 ? "ping " : "pong ") + std::string(payload) + "\n";
  } else if (f.fin()) {
    const bool is_text = in_message ? s.at == state::in_text : f.opcode() == 1;
    text = is_text ? "text " : "binary ";
    if (s.at == state::in_compressed || f.rsv(1)) text += "compressed ";
    if (in_message) text += before;
    text.append(payload).append("\n");
  }
  return text + "ping after\n";
}

// ---- what is judged

// The same calls for a connection and a session.
struct connection_under_test {
  char scratch[256];
  ws::connection c;
  explicit connection_under_test(const setting& s, const ws::negotiated& agreed, const ws::options& options, ws::masking_keys& keys)
      : c(s.self, agreed, options, scratch, &keys) {}
  ws::event next(std::span<char>& in) { return c.next(in); }
  void close() {
    char memory[64];
    ws::output out{memory};
    (void)c.close(out);
  }
  std::string owed() {
    char memory[512];
    ws::output out{memory};
    (void)c.write_owed(out);
    return std::string(out.written());
  }
};

struct session_under_test {
  ws::session c;
  explicit session_under_test(const setting& s, const ws::negotiated& agreed, const ws::options& options, ws::masking_keys& keys)
      : c(s.self, agreed, options, &keys) {}
  ws::event next(std::span<char>& in) { return c.next(in); }
  void close() {
    (void)c.close();
    c.consume(c.output().size());
  }
  std::string owed() {
    std::string all;
    while (!c.output().empty()) {
      all.append(c.output());
      c.consume(c.output().size());
    }
    return all;
  }
};

bool zero_entropy(void*, char* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = 0;
  return true;
}

// The code in the last Close of what is sent (masked with key 0 by a client); 0: there is none.
unsigned sent_close(string_view out, ws::role self) {
  const std::size_t head = self == ws::role::client ? 6 : 2;
  unsigned code = 0;
  while (out.size() >= head) {
    const std::size_t size = static_cast<unsigned char>(out[1]) % 128;
    const string_view payload = out.substr(head, size);
    if (static_cast<unsigned char>(out[0]) == 0x88)
      code = size < 2 ? 1005 : static_cast<unsigned char>(payload[0]) * 256U + static_cast<unsigned char>(payload[1]);
    out.remove_prefix(head + size);
  }
  return code;
}

template <class Under>
class judge {
 public:
  judge() : deflate_(), hook_(ws::permessage_deflate(deflate_)), keys_(zero_entropy) {}

  void frame_start(const setting& s, const start& f) {
    // As a Close, 3137 and a reason; as text, valid.
    std::string payload = "\x0C\x41";
    const std::vector<ws::error> broken = broken_rules(s, f);
    payload.resize(broken.empty() || f.length() < 65536 ? static_cast<std::size_t>(f.length()) : 16, 'r');
    const std::string bytes = frame(f.b0, f.b1, f.extended, payload) + frame(0x89, s.self == ws::role::server ? 0x85 : 0x05, 0, "after");
    const string_view wanted_text = wanted_ = broken.empty() ? expected(s, f, payload) : "";
    // Whole, and cut behind the first byte: a reserved opcode must be refused there (F08).
    for (const std::size_t cut : {bytes.size(), std::size_t{1}}) {
      Under under{s, agreed(s), options_, keys_};
      record got;
      reach(under, s, got);
      feed(under, bytes.substr(0, cut), got);
      const bool at_once = cut != 1 || f.opcode() % 8 < 3 || got.why != ws::error::none;
      feed(under, bytes.substr(cut), got);
      bool good = at_once && got.text == wanted_text;
      if (broken.empty()) {
        good = good && got.why == ws::error::none && (f.opcode() == 8 || under.c.is_open() || s.at == state::closing);
      } else {
        bool named = false;
        for (const ws::error rule : broken) named = named || rule == got.why;
        const unsigned code = s.at == state::closing ? 0 : close_code_for(got.why);
        good = good && named && sent_close(under.owed(), s.self) == code && under.c.why() == got.why;
      }
      count(good, s, bytes, got);
    }
  }

  void close_code(ws::role self, unsigned code, string_view reason) {
    const setting s{self, state::idle, false};
    std::string payload;
    add_big(payload, code, 2);
    payload += reason;
    const std::string bytes = frame(0x88, static_cast<unsigned>(payload.size()) + (self == ws::role::server ? 128 : 0), 0, payload);
    Under under{s, agreed(s), options_, keys_};
    record got;
    feed(under, bytes, got);
    const unsigned answered = sent_close(under.owed(), self);
    if (code_valid(code)) {
      count(got.text == "close " + std::to_string(code) + " " + std::string(reason) + "\n" && got.why == ws::error::none && answered == code,
            s, bytes, got);
    } else {
      count(got.text.empty() && got.why == ws::error::close_code_invalid && answered == 1002, s, bytes, got);
    }
  }

 private:
  ws::negotiated agreed(const setting& s) const {
    return s.deflate ? ws::negotiated{&hook_, ws::deflate_agreement{}.number()} : ws::negotiated{};
  }

  static void feed(Under& under, std::string bytes, record& got) {
    std::span<char> in{bytes};
    while (const ws::event ev = under.next(in)) got.take(ev);
  }

  static void reach(Under& under, const setting& s, record& got) {
    const unsigned mask = s.self == ws::role::server ? 128 : 0;
    if (s.at == state::in_text) feed(under, frame(0x01, mask + 2, 0, before), got);
    if (s.at == state::in_binary) feed(under, frame(0x02, mask + 2, 0, before), got);
    if (s.at == state::in_compressed) feed(under, frame(0x42, mask + 2, 0, before), got);
    if (s.at == state::closing) under.close();
  }

  void count(bool good, const setting& s, string_view bytes, const record& got) {
    if (good) return void(++passed);
    if (++failed > 20) return;
    std::printf("FAIL %s, state %d, deflate %d:", s.self == ws::role::server ? "server" : "client", static_cast<int>(s.at), s.deflate);
    for (const char c : bytes.substr(0, 16)) std::printf(" %02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    std::printf(": %.*s, %.60s, wanted %.60s\n", static_cast<int>(ws::explain(got.why).name.size()), ws::explain(got.why).name.data(),
                got.text.c_str(), wanted_.c_str());
  }

  ws::options options_;
  ws::deflate_options deflate_;
  ws::extension_hook hook_;
  ws::masking_keys keys_;
  std::string wanted_;
};

template <class Under>
void all_starts(judge<Under>& j, const setting& s) {
  for (unsigned b0 = 0; b0 < 256; ++b0) {
    for (unsigned b1 = 0; b1 < 256; ++b1) {
      if (b1 % 128 < 126) {
        j.frame_start(s, {b0, b1, 0});
      } else if (b1 % 128 == 126) {
        for (const unsigned extended : {0U, 125U, 126U, 1000U}) j.frame_start(s, {b0, b1, extended});
      } else {
        for (const std::uint64_t extended : {std::uint64_t{0}, std::uint64_t{65535}, std::uint64_t{65536}, std::uint64_t{1} << 32,
                                             ~std::uint64_t{0} >> 1, std::uint64_t{1} << 63, ~std::uint64_t{0}})
          j.frame_start(s, {b0, b1, extended});
      }
    }
  }
}

}  // namespace

int main() {
  judge<connection_under_test> connections;
  judge<session_under_test> sessions;
  for (const ws::role self : {ws::role::server, ws::role::client}) {
    for (const state at : {state::idle, state::in_text, state::in_binary, state::closing}) {
      for (const bool deflate : {false, true}) all_starts(connections, {self, at, deflate});
      all_starts(sessions, {self, at, false});
    }
    all_starts(connections, {self, state::in_compressed, true});  // a connection does not inflate
    for (unsigned code = 0; code < 65536; ++code) {
      for (const string_view reason : {"", "why"}) {
        connections.close_code(self, code, reason);
        sessions.close_code(self, code, reason);
      }
    }
  }
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(passed), static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
