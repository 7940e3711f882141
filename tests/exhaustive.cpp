// Every start of a frame (two bytes), in both roles, in every state that a connection can be in, and every close code,
// against an oracle that says which rules a frame breaks and what comes out. Written from the rules F01-F18, K01-K10
// and D01-D14, without the parser; compressed messages are put together bit by bit, so what they inflate to is known.
// Ends with `N passed, N failed`, in frames.
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>

#include "support/deflate.hpp"
#if __has_include(<zlib.h>) && !defined(WITHOUT_ZLIB)
#include <wscodec/zlib.hpp>
#endif

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

enum class state { idle, in_text, in_binary, in_compressed_text, in_compressed_binary, closing };

struct setting {
  ws::role self = ws::role::server;
  state at = state::idle;
  bool deflate = false;    // negotiated
  bool inflates = false;   // and what is compressed is inflated, not passed on
  std::size_t before = 2;  // bytes received of the message that is open

  [[nodiscard]] bool in_message() const { return at != state::idle && at != state::closing; }
  [[nodiscard]] bool in_compressed() const {
    return at == state::in_compressed_text || at == state::in_compressed_binary;
  }
  [[nodiscard]] bool in_text() const { return at == state::in_text || at == state::in_compressed_text; }
};

struct start {
  unsigned b0 = 0, b1 = 0;
  std::uint64_t extended = 0;

  [[nodiscard]] bool fin() const { return b0 >= 128; }
  [[nodiscard]] bool rsv(unsigned n) const { return (b0 >> (7 - n) & 1) != 0; }
  [[nodiscard]] unsigned opcode() const { return b0 % 16; }
  [[nodiscard]] bool control() const { return opcode() >= 8; }
  [[nodiscard]] bool begins() const { return opcode() == 1 || opcode() == 2; }
  [[nodiscard]] bool masked() const { return b1 >= 128; }
  [[nodiscard]] std::uint64_t length() const { return b1 % 128 < 126 ? b1 % 128 : extended; }
};

// The rules that a frame breaks; each by itself would fail the connection.
std::vector<ws::error> broken_rules(const setting& s, const start& f) {
  std::vector<ws::error> broken;
  const auto when = [&](bool condition, ws::error rule) {
    if (condition) broken.push_back(rule);
  };
  const bool in_message = s.in_message(), begins = f.begins();
  const bool compressed = s.in_compressed() || (begins && f.rsv(1));
  constexpr std::uint64_t most = 16 * 1024 * 1024;
  when(f.rsv(1) && !(s.deflate && begins), ws::error::rsv1_unexpected);          // F07
  when(f.rsv(2), ws::error::rsv2_set);                                           // F07
  when(f.rsv(3), ws::error::rsv3_set);                                           // F07
  when(f.opcode() % 8 >= 3, ws::error::opcode_reserved);                         // F08
  when(s.self == ws::role::server && !f.masked(), ws::error::mask_missing);      // F05
  when(s.self == ws::role::client && f.masked(), ws::error::mask_present);       // F05
  when(f.control() && !f.fin(), ws::error::control_fragmented);                  // F09
  when(f.control() && f.b1 % 128 > 125, ws::error::control_too_long);            // F09
  when(f.opcode() == 0 && !in_message, ws::error::continuation_unexpected);      // F11
  when(begins && in_message, ws::error::message_interrupted);                    // F11
  when(f.b1 % 128 == 126 && f.extended < 126, ws::error::length_not_minimal);    // F01
  when(f.b1 % 128 == 127 && f.extended < 65536, ws::error::length_not_minimal);  // F01
  when(f.b1 % 128 == 127 && f.extended >> 63 != 0, ws::error::length_top_bit);   // F02
  when(!f.control() && f.length() > (compressed && s.inflates ? most + most / 64 + 1024 : most),
       ws::error::message_too_big);                                                // F03, F18
  when(f.opcode() == 8 && f.length() == 1, ws::error::close_payload_of_one_byte);  // K02
  return broken;
}

unsigned close_code_for(ws::error rule) {
  return rule == ws::error::message_too_big                                            ? 1009
         : rule == ws::error::text_not_utf8 || rule == ws::error::deflate_data_corrupt ? 1007
                                                                                       : 1002;
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
        text += (ev.opcode == ws::opcode::text ? "text " : "binary ") +
                std::string(ev.compressed ? "compressed " : "") + data + "\n";
        data.clear();
        return;
      case ws::event_type::ping:
        text.append("ping ").append(ev.payload).append("\n");
        return;
      case ws::event_type::pong:
        text.append("pong ").append(ev.payload).append("\n");
        return;
      case ws::event_type::close:
        text += "close " + std::to_string(static_cast<unsigned>(ev.code())) + " " + std::string(ev.payload) + "\n";
        return;
      case ws::event_type::failed:
        why = ev.why();
        return;
      default:
        text += "something else\n";
        return;
    }
  }
};

// ---- messages of a size

// What a compressed message holds: first those that are good, then those that are not.
enum class content {
  fixed,
  copies,
  dynamic,
  stored,
  final_stored,
  final_inside,
  bad_symbol,
  bad_distance,
  bad_block,
  bad_size,
  bad_behind_final,
  no_block_at_end,
  block_cut,
  not_utf8,
  utf8_cut,
  count
};

constexpr std::size_t at_end = ~std::size_t{0};

struct message {
  bool exists = false;
  std::string bytes;
  std::string text;
  ws::error why = ws::error::none;
  std::size_t wrong_at = at_end;  // the byte with which it breaks the rule
};

std::string letters(std::size_t n) {
  std::string text(n, ' ');
  for (std::size_t i = 0; i < n; ++i) text[i] = static_cast<char>('a' + i % 23);
  return text;
}

// A block whose only literal is `a`, both codes of one bit (RFC 1951 3.2.7).
void add_dynamic(deflate_bits& to, std::size_t n) {
  to.begin(false, 2).put(0, 5).put(0, 5).put(14, 4);
  for (const unsigned length : {0U, 0U, 1U, 2U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 0U, 2U})
    to.put(length, 3);
  const auto unused = [&](unsigned symbols) { to.code(0, 1).put(symbols - 11, 7); };
  unused('a');
  to.code(3, 2);
  unused(138);
  unused(255 - 'a' - 138);
  to.code(3, 2).code(2, 2);
  while (n-- != 0) to.code(0, 1);
  to.code(1, 1);
}

// The compressed message of so many bytes, the first `before` of which break no rule.
message compressed_message(content what, std::size_t size, std::size_t before, bool is_text) {
  message m;
  deflate_bits bits;
  const auto good = [&](std::size_t least, std::size_t most = at_end) {
    return m.exists = size >= least && size <= most;
  };
  const auto corrupt = [&](std::size_t wrong_at, std::size_t least) {
    m.why = ws::error::deflate_data_corrupt;
    m.wrong_at = wrong_at;
    m.exists = size >= least;
    bits.put(0, 32);
    m.bytes = bits.bytes();
    m.bytes.resize(size, '\0');
  };
  const auto stored = [&](std::size_t used, std::size_t least) {
    if (!good(least, 65535 + used)) return false;
    m.text += letters(size - used);
    return true;
  };
  std::size_t distance = 0;
  // Literals, so that what follows them ends in the byte behind `before`.
  const std::size_t known = before == 0 ? 0 : before - 1;
  bits.begin(what == content::final_inside || what == content::bad_behind_final, 1);
  switch (what) {
    case content::fixed:
      m.exists = true;
      m.text = letters(size < 2 ? 0 : size - 2);
      m.bytes = size < 2 ? std::string(size, '\0') : bits.literals(m.text).end_block().message();
      if (size == 0) m.why = ws::error::deflate_data_corrupt;  // D03
      break;
    case content::copies:
      if (!good(5)) break;
      m.text = letters(size - 4);
      distance = m.text.size() < 300 ? m.text.size() : 300;
      m.bytes = bits.literals(m.text).copy_3(static_cast<unsigned>(distance)).end_block().message();
      while (m.text.size() != size - 1) m.text += m.text[m.text.size() - distance];
      break;
    case content::dynamic:
      if (!good(14)) break;
      m.text.assign(size * 8 - 105, 'a');
      bits = {};
      add_dynamic(bits, m.text.size());
      m.bytes = bits.message();
      break;
    case content::stored:
      if (stored(6, 6)) m.bytes = deflate_bits{}.stored(m.text).message();
      break;
    case content::final_stored:  // D04: nothing is missing behind it
      if (stored(5, 5)) m.bytes = deflate_bits{}.stored(m.text, true).bytes();
      break;
    case content::final_inside:  // D04: the block behind it may copy from before it
      if (!stored(13, 13)) break;
      bits.literals("xy").end_block().align().begin(false, 1).copy_3(2).end_block();
      m.bytes = bits.stored(m.text).message();
      m.text = "xyxyx" + m.text;
      break;
    case content::bad_symbol:
      bits.literals(letters(known)).symbol(286);
      corrupt(known + 1, known + 2);
      break;
    case content::bad_distance:  // D12
      bits.literals(letters(known)).copy_3(static_cast<unsigned>(known) + 1);
      corrupt(known + 1, known + 2);
      break;
    case content::bad_block:
      bits.literals(letters(known)).end_block().begin(false, 3);
      corrupt(known + 1, known + 2);
      break;
    case content::bad_size:
      bits.end_block().begin(false, 0).align().put(1, 16).put(1, 16);
      corrupt(5, 6);
      break;
    case content::bad_behind_final:  // D04
      bits.literals("x").end_block().align().begin(false, 3);
      corrupt(3, 4);
      break;
    case content::no_block_at_end:  // the tail needs the start of a block before it
      if (stored(5, 5)) m.bytes = deflate_bits{}.stored(m.text).bytes();
      m.why = ws::error::deflate_data_corrupt;
      break;
    case content::block_cut:  // two bytes are missing, which the tail is not to stand for
      if (stored(3, 5)) m.bytes = deflate_bits{}.stored(m.text).bytes().substr(0, size);
      m.why = ws::error::deflate_data_corrupt;
      break;
    case content::not_utf8:  // F15
      if (!stored(6, 7)) break;
      m.text[m.text.size() / 2] = '\xFF';
      m.bytes = deflate_bits{}.stored(m.text).message();
      if (is_text) m.why = ws::error::text_not_utf8;
      m.wrong_at = 5 + m.text.size() / 2;
      break;
    case content::utf8_cut:  // F16
      if (!stored(6, 7)) break;
      m.text.back() = '\xC3';
      m.bytes = deflate_bits{}.stored(m.text).message();
      if (is_text) m.why = ws::error::text_not_utf8;
      break;
    case content::count:
      break;
  }
  if (m.exists && m.bytes.size() != size) {
    std::printf("FAIL content %d is of %zu bytes, not of %zu\n", static_cast<int>(what), m.bytes.size(), size);
    ++failed;
  }
  return m;
}

// Frames that follow the one that is judged: a ping, and the end of the message where one is open.
constexpr std::size_t behind = 8;

struct expectation {
  std::string text;
  ws::error why = ws::error::none;
};

// What comes of a frame that breaks no rule, and of what follows it.
expectation expected(const setting& s, const start& f, string_view control_payload, const message& m) {
  if (f.opcode() == 8) {
    if (control_payload.empty()) return {"close 1005 \n"};  // K01
    return {"close " +
            std::to_string(static_cast<unsigned char>(control_payload[0]) * 256U +
                           static_cast<unsigned char>(control_payload[1])) +
            " " + std::string(control_payload.substr(2)) + "\n"};  // and nothing behind it (K09)
  }
  const bool is_text = s.in_message() ? s.in_text() : f.opcode() == 1;
  const bool passed_on = (s.in_message() ? s.in_compressed() : f.rsv(1)) && !s.inflates;
  const std::string whole =
      (is_text ? "text " : "binary ") + std::string(passed_on ? "compressed " : "") + m.text + "\n";
  std::string text;
  if (f.control()) {
    text = (f.opcode() == 9 ? "ping " : "pong ") + std::string(control_payload) + "\n";
  } else {
    const std::size_t received = (s.in_message() ? s.before : 0) + static_cast<std::size_t>(f.length());
    if (m.why != ws::error::none && (f.fin() || m.wrong_at < received)) return {"", m.why};
    if (f.fin()) return {whole + "ping after\n"};
  }
  text += "ping after\n";
  if (!s.in_message() && f.control()) return {text};
  return m.why != ws::error::none ? expectation{text, m.why} : expectation{text + whole};
}

// ---- what is judged

// The same calls for a connection and a session.
struct connection_under_test {
  char scratch[256];
  ws::connection c;
  explicit connection_under_test(const setting& s, const ws::negotiated& agreed, const ws::options& options,
                                 ws::masking_keys& keys)
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
  explicit session_under_test(const setting& s, const ws::negotiated& agreed, const ws::options& options,
                              ws::masking_keys& keys)
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
  explicit judge(const ws::deflate_engine* engine = nullptr)
      : deflate_{.engine = engine}, hook_(ws::permessage_deflate(deflate_)), keys_(zero_entropy) {
    options_.extension = &hook_;
  }

  void frame_start(const setting& s, const start& f) {
    const std::vector<ws::error> broken = broken_rules(s, f);
    // As a Close, 3137 and a reason; as text, valid.
    std::string payload = "\x0C\x41";
    const bool compressed = s.in_compressed() || (f.begins() && f.rsv(1));
    if (!broken.empty()) {
      payload.resize(f.length() < 65536 ? static_cast<std::size_t>(f.length()) : 16, 'r');
      message m;  // only its start comes, so that it may be wrong later
      if (s.in_message())
        m = compressed && s.inflates ? compressed_message(content::fixed, 64, s.before, s.in_text())
                                     : message{true, letters(64), letters(64)};
      frame_with(s, f, broken, payload, m);
      return;
    }
    if (f.control()) payload.resize(static_cast<std::size_t>(f.length()), 'r');
    const bool ends = f.control() ? !s.in_message() : f.fin();
    const std::size_t size = (s.in_message() ? s.before : 0) +
                             (f.control() ? 0 : static_cast<std::size_t>(f.length())) + (ends ? 0 : behind);
    if (!compressed || !s.inflates) return frame_with(s, f, broken, payload, {true, letters(size), letters(size)});
    const bool is_text = s.in_message() ? s.in_text() : f.opcode() == 1;
    for (int what = 0; what < static_cast<int>(content::count); ++what) {
      const message m = compressed_message(static_cast<content>(what), size, s.in_message() ? s.before : 0, is_text);
      if (m.exists) frame_with(s, f, broken, payload, m);
    }
  }

  void close_code(ws::role self, unsigned code, string_view reason) {
    const setting s{self, state::idle, false};
    std::string payload;
    add_big(payload, code, 2);
    payload += reason;
    const std::string bytes =
        frame(0x88, static_cast<unsigned>(payload.size()) + (self == ws::role::server ? 128 : 0), 0, payload);
    Under under{s, agreed(s), options_, keys_};
    record got;
    feed(under, bytes, got);
    const unsigned answered = sent_close(under.owed(), self);
    if (code_valid(code)) {
      count(got.text == "close " + std::to_string(code) + " " + std::string(reason) + "\n" &&
                got.why == ws::error::none && answered == code,
            s, bytes, got);
    } else {
      count(got.text.empty() && got.why == ws::error::close_code_invalid && answered == 1002, s, bytes, got);
    }
  }

 private:
  ws::negotiated agreed(const setting& s) const {
    return s.deflate ? ws::negotiated{&hook_, ws::deflate_agreement{}.number()} : ws::negotiated{};
  }

  void frame_with(const setting& s, const start& f, const std::vector<ws::error>& broken, std::string payload,
                  const message& m) {
    const string_view whole = m.bytes;
    const std::size_t before = s.in_message() ? s.before : 0;
    const unsigned mask = s.self == ws::role::server ? 128 : 0;
    if (broken.empty() && !f.control()) payload = whole.substr(before, static_cast<std::size_t>(f.length()));
    std::string bytes = frame(f.b0, f.b1, f.extended, payload) + frame(0x89, mask + 5, 0, "after");
    const bool open = broken.empty() && (f.control() ? s.in_message() : !f.fin());
    if (open) bytes += frame(0x80, mask + behind, 0, whole.substr(whole.size() - behind));
    const expectation wanted = broken.empty() ? expected(s, f, payload, m) : expectation{};
    wanted_ = wanted.text;
    // Whole, and cut behind the first byte: a reserved opcode must be refused there (F08).
    for (const std::size_t cut : {bytes.size(), std::size_t{1}}) {
      Under under{s, agreed(s), options_, keys_};
      record got;
      reach(under, s, whole.substr(0, before), got);
      feed(under, bytes.substr(0, cut), got);
      const bool at_once = cut != 1 || f.opcode() % 8 < 3 || got.why != ws::error::none;
      feed(under, bytes.substr(cut), got);
      bool good = at_once && got.text == wanted.text;
      if (broken.empty() && wanted.why == ws::error::none) {
        good = good && got.why == ws::error::none && (f.opcode() == 8 || under.c.is_open() || s.at == state::closing);
      } else {
        bool named = broken.empty() && wanted.why == got.why;
        for (const ws::error rule : broken) named = named || rule == got.why;
        const unsigned code = s.at == state::closing ? 0 : close_code_for(got.why);
        good = good && named && sent_close(under.owed(), s.self) == code && under.c.why() == got.why;
      }
      count(good, s, bytes, got);
    }
  }

  static void feed(Under& under, std::string bytes, record& got) {
    std::span<char> in{bytes};
    while (const ws::event ev = under.next(in)) got.take(ev);
  }

  static void reach(Under& under, const setting& s, string_view before, record& got) {
    if (s.at == state::closing) under.close();
    if (!s.in_message()) return;
    const unsigned mask = s.self == ws::role::server ? 128 : 0;
    feed(under,
         frame((s.in_text() ? 1U : 2U) + (s.in_compressed() ? 64U : 0U), mask + static_cast<unsigned>(before.size()), 0,
               before),
         got);
  }

  void count(bool good, const setting& s, string_view bytes, const record& got) {
    if (good) return void(++passed);
    if (++failed > 20) return;
    std::printf("FAIL %s, state %d, deflate %d:", s.self == ws::role::server ? "server" : "client",
                static_cast<int>(s.at), s.deflate);
    for (const char c : bytes.substr(0, 16)) std::printf(" %02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    std::printf(": %.*s, %.60s, wanted %.60s\n", static_cast<int>(ws::explain(got.why).name.size()),
                ws::explain(got.why).name.data(), got.text.c_str(), wanted_.c_str());
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
        for (const std::uint64_t extended :
             {std::uint64_t{0}, std::uint64_t{65535}, std::uint64_t{65536}, std::uint64_t{1} << 32,
              ~std::uint64_t{0} >> 1, std::uint64_t{1} << 63, ~std::uint64_t{0}})
          j.frame_start(s, {b0, b1, extended});
      }
    }
  }
}

}  // namespace

int main() {
  judge<connection_under_test> connections;  // they do not inflate
  judge<session_under_test> sessions;
  for (const ws::role self : {ws::role::server, ws::role::client}) {
    for (const state at : {state::idle, state::in_text, state::in_binary, state::closing, state::in_compressed_text,
                           state::in_compressed_binary}) {
      const bool compressed = at == state::in_compressed_text || at == state::in_compressed_binary;
      for (const bool deflate : {false, true}) {
        if (compressed && !deflate) continue;
        all_starts(connections, {self, at, deflate});
        all_starts(sessions, {self, at, deflate});
      }
#if __has_include(<zlib.h>) && !defined(WITHOUT_ZLIB)
      judge<session_under_test> inflating{&ws::zlib_engine};
      all_starts(inflating, {self, at, true, true});
      if (compressed) all_starts(inflating, {self, at, true, true, 0});
#endif
    }
    for (unsigned code = 0; code < 65536; ++code) {
      for (const string_view reason : {"", "why"}) {
        connections.close_code(self, code, reason);
        sessions.close_code(self, code, reason);
      }
    }
  }
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(passed),
              static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
