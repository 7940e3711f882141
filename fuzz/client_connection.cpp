// A client reads arbitrary bytes from its server, as a connection and as a session, whole and in pieces: what happens is the
// same however they are cut, memory stays in proportion, and nothing comes after a failure.
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;
using split = fuzz::splits::how;

namespace {

constexpr std::string_view offered[] = {"chat.v2", "chat.v1"};

// The same key for every frame and every handshake: the right Sec-WebSocket-Accept is 3SC6TZx4582OZaOogPVxMx5CGS0=.
bool same_key(void*, char* to, std::size_t n) {
  std::memset(to, 'a', n);
  return true;
}

// The first bytes of an input choose this.
struct setting {
  ws::options options;
  bool open = false;  // the handshake was done elsewhere
  ws::negotiated agreed;
  std::uint32_t seed = 0;
  std::uint8_t failing_allocation = 0;

  explicit setting(fuzz::choices& input) {
    const unsigned a = input.byte(), b = input.byte();
    seed = static_cast<std::uint32_t>(input.byte()) * 2654435761U;
    failing_allocation = input.byte();
    open = (a & 1U) != 0;
    options.subprotocols = offered;
    options.require_subprotocol = (a & 2U) != 0;
    options.auto_pong = (a & 4U) == 0;
    options.auto_close_reply = (a & 8U) == 0;
    options.discard_after_close = (a & 16U) != 0;
    options.head.allow_bare_line_feed = (a & 32U) != 0;
    if ((b & 1U) != 0) options.max_message = b;
    if ((b & 2U) != 0) options.max_fragments = b >> 2U;
    if ((b & 4U) != 0) options.head = {512, 128, 8, options.head.allow_bare_line_feed};
    if ((b & 8U) != 0) options.max_response_body = b;
    if (open && (b & 16U) != 0) agreed.agreement = 1;
  }
};

// What came of a run. All runs over the same input have the same.
struct outcome {
  std::string log;
  std::string message;  // of which the end did not come yet
  std::string body;
  std::string output;

  void add(std::string_view what, std::uint64_t number = 0, std::string_view payload = {}) {
    log.append(what).append(" ").append(std::to_string(number)).append(" ").append(payload).append("\n");
  }
  /// False once nothing may follow.
  bool add(const ws::event& ev, std::uint64_t offset) {
    switch (ev.type) {
      case ws::event_type::none: break;
      case ws::event_type::open: add("open", 0, ev.response().reason()); break;
      case ws::event_type::rejected: add("rejected", static_cast<std::uint64_t>(ev.response().status()), ev.response().location()); break;
      case ws::event_type::body:
        body += ev.payload;
        if (ev.last) add("body", body.size(), body);
        break;
      case ws::event_type::data:
        REQUIRE(!ev.payload.empty() || ev.last);
        if (ev.first) message.clear();
        message += ev.payload;
        if (ev.last) add(ev.compressed ? "compressed" : "message", static_cast<std::uint64_t>(ev.opcode), message);
        break;
      case ws::event_type::message:
        add(ev.compressed ? "compressed" : "message", static_cast<std::uint64_t>(ev.opcode), ev.payload);
        break;
      case ws::event_type::ping: add("ping", 0, ev.payload); break;
      case ws::event_type::pong: add("pong", 0, ev.payload); break;
      case ws::event_type::close: add("close", static_cast<std::uint64_t>(ev.code()), ev.payload); break;
      case ws::event_type::failed:
        add("failed", static_cast<std::uint64_t>(ev.why()));
        add("at", offset);
        return false;
      case ws::event_type::request: fuzz::broken("a client gives no such event", __FILE__, __LINE__);
    }
    return true;
  }
  void end(const auto& endpoint) {
    add("subprotocol", 0, endpoint.subprotocol());
    add("code", static_cast<std::uint64_t>(endpoint.code()));
    add("why", static_cast<std::uint64_t>(endpoint.why()));
    add("state", static_cast<std::uint64_t>(endpoint.state()));
  }
};

outcome run_connection(const setting& s, std::string_view input, split how) {
  outcome o;
  std::vector<char> scratch(s.open ? ws::min_scratch : s.options.head.max_head);
  ws::masking_keys keys{&same_key, nullptr};
  ws::connection conn = s.open ? ws::connection{ws::role::client, s.agreed, s.options, scratch, &keys}
                               : ws::connection{ws::role::client, s.options, scratch, &keys};
  std::vector<char> memory(4 * input.size() + 4096);
  ws::output out{memory};
  if (!s.open) REQUIRE(conn.connect(out, {.host = "a"}) == ws::error::none);
  fuzz::splits pieces{how, s.seed};
  bool failed = false;
  const auto handle = [&](const ws::event& ev) {
    REQUIRE(!failed);
    failed = !o.add(ev, conn.offset());
    REQUIRE(conn.write_owed(out) == ws::error::none);
  };
  for (std::size_t at = 0; at < input.size();) {
    const std::size_t n = pieces.next(input.size() - at);
    const fuzz::exact piece{input.substr(at, n)};
    at += n;
    std::span<char> bytes = piece.bytes();
    fuzz::feed(conn, bytes, handle);
    REQUIRE(bytes.empty());
  }
  if (const ws::event ev = conn.end_of_input()) handle(ev);
  REQUIRE(!conn.end_of_input() && conn.wants() == ws::transport::drop);
  o.end(conn);
  o.output = out.written();
  fuzz::try_after_the_end(conn, [&] { return conn.send(out, ws::opcode::binary, "late"); });
  REQUIRE(out.size() == o.output.size() || conn.state() == ws::close_state::replying);
  return o;
}

outcome run_session(const setting& s, std::string_view input, split how, bool prepared, std::size_t failing = 0) {
  outcome o;
  fuzz::counted_memory memory;
  memory.failing = failing;
  ws::masking_keys keys{&same_key, nullptr};
  {
    ws::session session = s.open ? ws::session{ws::role::client, s.agreed, s.options, &keys, &memory.hook}
                                 : ws::session{ws::role::client, s.options, &keys, &memory.hook};
    const ws::error connected = s.open ? ws::error::none : session.connect({.host = "a"});
    REQUIRE(connected == ws::error::none || (failing != 0 && connected == ws::error::out_of_memory));
    fuzz::splits pieces{how, s.seed};
    bool failed = false;
    std::size_t received = 0, asked = 0;
    std::uint64_t waited = session.buffered_amount();
    // Memory grows with what has come, never with what is announced.
    const auto in_proportion = [&] { REQUIRE(memory.most <= fuzz::most_memory(received, waited, asked)); };
    const auto handle = [&](const ws::event& ev) {
      REQUIRE(!failed);
      failed = !o.add(ev, session.offset());
      if (waited < session.buffered_amount()) waited = session.buffered_amount();
      o.output.append(session.output());
      session.consume(session.output().size());
    };
    for (std::size_t at = 0; at < input.size() && connected == ws::error::none;) {
      std::size_t n = pieces.next(input.size() - at);
      if (prepared) {
        if (asked < n) asked = n;
        n = fuzz::commit(session, input.substr(at, n));
        REQUIRE(n != 0 || failing != 0);
        if (n == 0) break;
        received += n;
        while (const ws::event ev = session.next()) handle(ev);
      } else {
        const fuzz::exact piece{input.substr(at, n)};
        received += n;
        std::span<char> bytes = piece.bytes();
        fuzz::feed(session, bytes, handle);
        REQUIRE(bytes.empty());
      }
      at += n;
      in_proportion();
    }
    if (const ws::event ev = session.end_of_input()) handle(ev);
    o.end(session);
    o.output.append(session.output());
    session.consume(session.output().size());
    fuzz::try_after_the_end(session, [&] { return session.send(ws::opcode::binary, "late"); });
    REQUIRE(!session.end_of_input());
    REQUIRE(session.buffered_amount() == 0 || session.state() == ws::close_state::replying);
    session.release();
    in_proportion();
  }
  REQUIRE(memory.live == 0);
  return o;
}

void require_same(const outcome& a, const outcome& b) {
  if (a.log != b.log) std::fprintf(stderr, "---- one run:\n%s---- the other:\n%s", a.log.c_str(), b.log.c_str());
  REQUIRE(a.log == b.log);
  REQUIRE(a.output == b.output);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  const setting s{input};
  const std::string_view bytes = input.rest();
  const outcome whole = run_connection(s, bytes, split::whole);
  for (const split how : {split::bytes, split::random}) require_same(whole, run_connection(s, bytes, how));
  for (const split how : {split::whole, split::bytes, split::random})
    for (const bool prepared : {false, true}) require_same(whole, run_session(s, bytes, how, prepared));
  (void)run_session(s, bytes, split::random, (s.failing_allocation & 1U) != 0, s.failing_allocation / 2 % 16 + 1U);
  return 0;
}
