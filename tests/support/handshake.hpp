// Helpers for tests of the opening handshake: heads made by changing one line of a good one, a driver that feeds them
// to a server or client however they are cut, and a reader of HTTP responses that shares nothing with the library.
//
// `check` runs a scenario whole, byte by byte, at every split and (up to 512 bytes) at every pair of splits, through
// connection and session, and wants the same outcome each time: events, head, messages, body, bytes sent, error, offset.
#ifndef WSCODEC_TESTS_SUPPORT_HANDSHAKE_HPP
#define WSCODEC_TESTS_SUPPORT_HANDSHAKE_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wire.hpp"

namespace handshake {

namespace ws = wscodec;
using namespace std::string_view_literals;

// ---- heads

/// RFC 6455 1.3: the key, and the accept value that belongs to it.
inline constexpr std::string_view sample_key = "dGhlIHNhbXBsZSBub25jZQ==";
inline constexpr std::string_view sample_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

inline constexpr std::string_view good_request =
    "GET /chat HTTP/1.1\r\n"
    "Host: h\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "\r\n";

/// What a server answers it with.
inline constexpr std::string_view good_response =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "\r\n";

/// `head` with one place changed, which must be there exactly once.
inline std::string changed(std::string_view head, std::string_view from, std::string_view to) {
  const std::size_t at = head.find(from);
  INFO("changing " << from);
  REQUIRE(at != head.npos);
  REQUIRE(head.find(from, at + 1) == head.npos);
  return std::string{head.substr(0, at)} + std::string{to} + std::string{head.substr(at + from.size())};
}

/// `head` with more lines at its end; each of `lines` ends in CRLF.
inline std::string added(std::string_view head, std::string_view lines) {
  return std::string{head.substr(0, head.size() - 2)} + std::string{lines} + "\r\n";
}

/// Where `text` stands in `head`.
inline std::uint64_t offset_of(std::string_view head, std::string_view text) {
  INFO("looking for " << text);
  REQUIRE(head.find(text) != head.npos);
  return head.find(text);
}

/// A text with the mark `<!>` where an error is expected, or none if it is expected at the end of the head.
struct marked {
  std::string text;
  std::uint64_t offset = 0;

  explicit marked(std::string_view with_mark) : text(with_mark) {
    if (const std::size_t at = text.find("<!>"); at != text.npos) {
      text.erase(at, 3);
      offset = at;
    } else {
      offset = text.find("\r\n\r\n") + 4;
    }
  }
};

// ---- reading what was sent

struct message {
  std::string start_line, body;
  std::vector<std::pair<std::string, std::string>> fields;

  [[nodiscard]] std::string operator[](std::string_view name) const {
    for (const auto& [n, v] : fields)
      if (n == name) return v;
    return "(none)";
  }
};

/// Takes an HTTP message apart that has to be perfect: CRLF, one space after each colon, a Content-Length that is right.
inline message read_message(std::string_view text) {
  message m;
  INFO(text);
  const std::size_t end = text.find("\r\n\r\n");
  REQUIRE(end != text.npos);
  m.body = text.substr(end + 4);
  text = text.substr(0, end + 2);
  REQUIRE(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\r')) ==
          static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
  for (bool first = true; !text.empty(); first = false) {
    const std::string_view line = text.substr(0, text.find("\r\n"));
    text.remove_prefix(line.size() + 2);
    if (first) {
      m.start_line = line;
      continue;
    }
    const std::size_t colon = line.find(": ");
    REQUIRE(colon != line.npos);
    m.fields.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  if (m["Content-Length"] != "(none)") CHECK(m["Content-Length"] == std::to_string(m.body.size()));
  return m;
}

// ---- scenarios

/// What the server does with a good request.
struct decision {
  bool respond = false;  ///< by `response`, else by `accept`
  bool late = false;     ///< after all input came
  ws::acceptance acceptance = {};
  ws::response response = {};
};

struct scenario {
  ws::role self = ws::role::server;
  std::string input = {};
  ws::options options = {};
  decision decide = {};
  ws::client_request request = {.host = "h", .target = "/chat"};
  bool eof = false;  ///< the peer ends the stream after the input
};

/// All that came of it, the same however the input was cut.
struct outcome {
  std::string events;    ///< "request data ", ...; `data` for a whole message, `body` for the end of a body
  std::string head;      ///< the request's or response's text
  std::string messages;  ///< payloads, one after another
  std::string body;      ///< of a rejecting response
  std::string sent;
  std::string subprotocol;
  std::uint64_t offset = 0;
  ws::error why = ws::error::none;
  ws::error called = ws::error::none;  ///< what accept, respond or connect said
  ws::close_state state = ws::close_state::open;
  ws::transport wants = ws::transport::keep;
  std::uint32_t agreement = 0;
  bool plain = false;
  bool open = false;

  bool operator==(const outcome&) const = default;

  void clear() {
    for (std::string* text : {&events, &head, &messages, &body, &sent, &subprotocol}) text->clear();
    offset = 0;
    why = called = ws::error::none;
    plain = false;
  }
};

inline std::string describe(const outcome& o) {
  return o.events + "@" + std::to_string(o.offset) + "\nwhy: " + wire::name(o.why) + ", called: " + wire::name(o.called) +
         "\nstate: " + wire::name(o.state) + " " + wire::name(o.wants) + (o.open ? " open" : "") +
         (o.plain ? " plain" : "") + "\nsubprotocol: " + o.subprotocol + ", agreement: " + std::to_string(o.agreement) +
         "\nhead: " + wire::show(o.head) + "\nmessages: " + wire::show(o.messages) + "\nbody: " + wire::show(o.body) +
         "\nsent: " + wire::show(o.sent) + "\n";
}

/// The nonce of RFC 6455 1.3, over and over: so that a response can be written down.
inline bool sample_nonce(void*, char* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = "the sample nonce"[i % 16];
  return true;
}

/// Runs a scenario through one kind of endpoint, as often as it is told.
class runner {
 public:
  runner(const scenario& s, wire::through way)
      : scenario_(s), way_(way), scratch_size_(std::max(ws::min_scratch, s.input.size())), scratch_(new char[scratch_size_]),
        memory_(new char[s.input.size()]) {}

  /// With the input cut at `cuts` (rising).
  const outcome& run(std::initializer_list<std::size_t> cuts = {}) {
    begin();
    const std::string_view input = scenario_.input;
    std::size_t at = 0;
    for (const std::size_t cut : cuts) {
      read(input.substr(at, cut - at));
      at = cut;
    }
    read(input.substr(at));
    finish();
    return result_;
  }
  const outcome& run_byte_by_byte() {
    begin();
    for (const char& c : scenario_.input) read({&c, 1});
    finish();
    return result_;
  }

 private:
  void begin() {
    result_.clear();
    held_ = {};
    undecided_ = false;
    keys_.emplace(&sample_nonce);
    const scenario& s = scenario_;
    if (wire::is_session(way_)) session_.emplace(s.self, s.options, &*keys_);
    else connection_.emplace(s.self, s.options, std::span<char>{scratch_.get(), scratch_size_}, &*keys_);
    if (s.self == ws::role::server) return;
    if (session_) result_.called = session_->connect(s.request);
    else result_.called = write([&](ws::output& out) { return connection_->connect(out, s.request); });
  }

  /// One read: the bytes, after those that were held back, end where the memory does. Afterwards they are overwritten.
  void read(std::string_view bytes) {
    const std::size_t n = held_.size() + bytes.size();
    char* const at = memory_.get() + scenario_.input.size() - n;
    if (!held_.empty()) std::memmove(at, held_.data(), held_.size());
    if (!bytes.empty()) std::memcpy(at + held_.size(), bytes.data(), bytes.size());
    std::span<char> rest{at, n};
    std::string_view const_rest{at, n};
    switch (way_) {
      case wire::through::connection:
        while (happened(connection_->next(rest))) {
        }
        held_.assign(rest.data(), rest.size());
        break;
      case wire::through::copying: {
        char to[16];
        while (happened(connection_->next(const_rest, to))) {
        }
        held_ = const_rest;
        break;
      }
      case wire::through::session:
        while (happened(session_->next(rest))) {
        }
        held_.assign(rest.data(), rest.size());
        break;
      case wire::through::prepared:
        if (n != 0) std::memcpy(session_->prepare(n).data(), at, n);
        session_->commit(n);
        while (happened(session_->next())) {
        }
        break;
    }
    if (n != 0) std::memset(at, 0xDD, n);
    if (!held_.empty() && !undecided_) result_.events += "BAD:left-over ";
  }

  void finish() {
    if (undecided_) {
      undecided_ = false;
      decide();
      read({});
    }
    if (scenario_.eof) (void)happened(session_ ? session_->end_of_input() : connection_->end_of_input());
    if (session_) {
      while (!session_->output().empty()) {
        result_.sent += session_->output();
        session_->consume(session_->output().size());
      }
      summarise(*session_);
    } else {
      (void)write([&](ws::output& out) { return connection_->write_owed(out); });
      summarise(*connection_);
    }
  }

  /// Notes an event; whether it is one.
  bool happened(const ws::event& ev) {
    if (!wire::is_tidy(ev)) result_.events += "BAD:more-said ";
    switch (ev.type) {
      case ws::event_type::request:
        result_.events += "request ";
        result_.head = ev.request().text();
        result_.plain = ev.plain;
        undecided_ = scenario_.decide.late;
        if (!undecided_) decide();
        break;
      case ws::event_type::open:
        result_.events += "open ";
        result_.head = ev.response().text();
        break;
      case ws::event_type::rejected:
        result_.events += "rejected ";
        result_.head = ev.response().text();
        break;
      case ws::event_type::body:
        result_.body += ev.payload;
        if (ev.last) result_.events += "body ";
        break;
      case ws::event_type::data:
      case ws::event_type::message:
        result_.messages += ev.payload;
        if (ev.last) result_.events += "data ";
        break;
      case ws::event_type::ping:
        result_.events += "ping ";
        break;
      case ws::event_type::failed:
        result_.events += "failed ";
        break;
      case ws::event_type::none:
        break;
      case ws::event_type::pong:
      case ws::event_type::close:
        result_.events += "BAD:event ";
        break;
    }
    return static_cast<bool>(ev);
  }

  void decide() {
    const decision& d = scenario_.decide;
    if (session_) result_.called = d.respond ? session_->respond(d.response) : session_->accept(d.acceptance);
    else
      result_.called = write([&](ws::output& out) {
        return d.respond ? connection_->respond(out, d.response) : connection_->accept(out, d.acceptance);
      });
  }

  template <class Call>
  ws::error write(Call call) {
    char memory[1024];
    ws::output out{memory};
    const ws::error e = call(out);
    if (e != ws::error::none && out.size() != 0) result_.events += "BAD:written ";
    result_.sent += out.written();
    return e;
  }

  void summarise(const auto& machine) {
    result_.subprotocol = machine.subprotocol();
    result_.offset = machine.offset();
    result_.why = machine.why();
    result_.state = machine.state();
    result_.wants = machine.wants();
    result_.agreement = machine.agreed().agreement;
    result_.open = machine.is_open();
  }

  const scenario& scenario_;
  wire::through way_;
  std::size_t scratch_size_;
  std::unique_ptr<char[]> scratch_;
  std::unique_ptr<char[]> memory_;
  std::optional<ws::masking_keys> keys_;
  std::optional<ws::connection> connection_;
  std::optional<ws::session> session_;
  std::string held_;  // what was not consumed while the request waits
  bool undecided_ = false;
  outcome result_;
};

inline outcome run(const scenario& s, wire::through way = wire::through::connection,
                   std::initializer_list<std::size_t> cuts = {}) {
  return runner{s, way}.run(cuts);
}

/// Runs it in every way; gives the outcome, which must always be the same. Of inputs over 2,048 bytes the cuts are near
/// both ends, near `near`, and some between.
inline outcome check(const scenario& s, std::size_t near = 0) {
  const outcome expected = run(s);
  INFO("input: " << wire::show(std::string_view{s.input}.substr(0, 600)));
  bool good = true;
  const auto same = [&](const outcome& got, wire::through way, std::initializer_list<std::size_t> cuts) {
    if (!good || got == expected) return;
    good = false;
    std::string where;
    for (const std::size_t cut : cuts) where += " " + std::to_string(cut);
    INFO(wire::name(way) << ", cut at" << where);
    CHECK(describe(got) == describe(expected));
  };
  const std::size_t n = s.input.size();
  const auto worth_cutting = [&](std::size_t i) {
    return n <= 2048 || i < 20 || i + 20 > n || (i + 20 > near && i < near + 20) || i % (n / 8) == 0;
  };
  for (const wire::through way : wire::all_ways) {
    runner r{s, way};
    same(r.run(), way, {});
    same(r.run_byte_by_byte(), way, {1, 2, 3});
    for (std::size_t i = 1; i < n; ++i)
      if (worth_cutting(i)) same(r.run({i}), way, {i});
    if (way != wire::through::connection || n > 512 || wire::quick()) continue;
    for (std::size_t i = 1; i < n; ++i)
      for (std::size_t k = i + 1; k < n; ++k) same(r.run({i, k}), way, {i, k});
  }
  CHECK(good);
  return expected;
}

/// A server that rejects the input at the mark `<!>` (or after the head): the error, the status, and exactly the
/// response that belongs to it.
inline void check_rejected(std::string_view input, ws::error why, unsigned status, const ws::options& options = {}) {
  const marked m{input};
  const outcome o = check({.input = m.text, .options = options}, static_cast<std::size_t>(m.offset));
  INFO("input: " << wire::show(std::string_view{m.text}.substr(0, 600)) << "\n" << describe(o));
  CHECK(wire::name(o.why) == wire::name(why));
  CHECK(o.offset == m.offset);
  CHECK(o.events == "failed ");
  CHECK(o.state == ws::close_state::failed);
  CHECK(o.wants == ws::transport::half_close);
  REQUIRE(!o.sent.empty());
  const message sent = read_message(o.sent);
  CHECK(sent.start_line.starts_with("HTTP/1.1 " + std::to_string(status) + " "));
  CHECK(sent.start_line.size() > 13);
  std::vector<std::pair<std::string, std::string>> fields;
  if (status == 426) fields = {{"Upgrade", "websocket"}, {"Connection", "Upgrade, close"}, {"Sec-WebSocket-Version", "13"}};
  else fields = {{"Connection", "close"}};
  if (status == 405) fields.emplace_back("Allow", "GET");
  fields.emplace_back("Content-Type", "text/plain");
  fields.emplace_back("Content-Length", std::to_string(sent.body.size()));
  CHECK(sent.fields == fields);
  CHECK(sent.body.starts_with(wire::name(why) + ": "));
  CHECK(sent.body.ends_with(")\n"));
}

/// A server that takes the request and answers 101; gives the outcome for more checks.
inline outcome check_accepted(std::string_view input, const ws::options& options = {}, const decision& decide = {}) {
  const outcome o = check({.input = std::string{input}, .options = options, .decide = decide});
  INFO("input: " << wire::show(input.substr(0, 600)) << "\n" << describe(o));
  CHECK(o.why == ws::error::none);
  CHECK(o.called == ws::error::none);
  CHECK(o.open);
  CHECK(o.wants == ws::transport::keep);
  CHECK(o.events.starts_with("request "));
  REQUIRE(o.sent.starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
  return o;
}

/// A client that fails at the mark `<!>` (or after the head), and writes nothing more.
inline void check_failed(std::string_view input, ws::error why, const ws::options& options = {}) {
  const marked m{input};
  const outcome o =
      check({.self = ws::role::client, .input = m.text, .options = options}, static_cast<std::size_t>(m.offset));
  INFO("input: " << wire::show(std::string_view{m.text}.substr(0, 600)) << "\n" << describe(o));
  CHECK(wire::name(o.why) == wire::name(why));
  CHECK(o.offset == m.offset);
  CHECK(o.events == "failed ");
  CHECK(o.state == ws::close_state::failed);
  CHECK(o.wants == ws::transport::drop);
  CHECK(o.sent.find("\r\n\r\n") + 4 == o.sent.size());
}

/// A client that finds the response good.
inline outcome check_opened(std::string_view input, const ws::options& options = {}) {
  const outcome o = check({.self = ws::role::client, .input = std::string{input}, .options = options});
  INFO("input: " << wire::show(input.substr(0, 600)) << "\n" << describe(o));
  CHECK(o.why == ws::error::none);
  CHECK(o.open);
  CHECK(o.events.starts_with("open "));
  CHECK(o.wants == ws::transport::keep);
  return o;
}

// ---- an extension

/// `x-fake; level=1` ... `level=9`: the agreement is the level. Any other parameter is declined; so is what was not
/// offered, which is level 5 and less.
namespace fake {

inline std::uint32_t level(std::string_view parameters, std::uint32_t highest) {
  ws::extension list{"x-fake", parameters};
  std::uint32_t found = 0;
  for (ws::extension_parameter p; list.next(p);) {
    char value[8];
    const std::size_t n = ws::unquote(p, value, sizeof value);
    if (p.name != "level" || found != 0 || n != 1 || value[0] < '1' || value[0] > '9') return 0;
    found = static_cast<std::uint32_t>(value[0] - '0');
  }
  return found <= highest ? found : 0;
}

inline std::size_t put(std::string_view text, char* to, std::size_t room) {
  if (text.size() > room) return 0;
  std::memcpy(to, text.data(), text.size());
  return text.size();
}

inline constexpr ws::extension_hook hook{
    .name = "x-fake",
    .accept = [](const void*, std::string_view parameters) { return level(parameters, 9); },
    .confirm = [](const void*, std::string_view parameters) { return level(parameters, 5); },
    .write_offer = [](const void*, char* to, std::size_t room) { return put("x-fake; level=5, x-fake", to, room); },
    .write_answer =
        [](std::uint32_t agreement, char* to, std::size_t room) {
          return put("x-fake; level=" + std::to_string(agreement), to, room);
        },
};

}  // namespace fake

}  // namespace handshake

#endif
