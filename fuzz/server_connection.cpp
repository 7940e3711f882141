// A server reads arbitrary bytes, as a connection and as a session, whole and in pieces. Whatever the bytes are and
// however they are cut, what happens is the same, memory and output stay in proportion to the input, and errors stick.
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;
using split = fuzz::splits::how;

namespace {

// The first bytes of an input choose this.
struct setting {
  ws::options options;
  bool open = false;         // the handshake was done elsewhere
  bool close_early = false;  // we close after the first message
  ws::negotiated agreed;
  std::uint32_t seed = 0;
  std::uint8_t failing_allocation = 0;
};

setting choose(fuzz::choices& input) {
  setting s;
  const unsigned a = input.byte();
  const unsigned b = input.byte();
  s.seed = static_cast<std::uint32_t>(input.byte()) * 2654435761U;
  s.failing_allocation = input.byte();
  s.open = (a & 1U) != 0;
  s.close_early = (a & 2U) != 0;
  s.options.auto_pong = (a & 4U) == 0;
  s.options.auto_close_reply = (a & 8U) == 0;
  s.options.pong_after_close = (a & 16U) != 0;
  s.options.discard_after_close = (a & 32U) != 0;
  s.options.pass_plain_requests = (a & 64U) != 0;
  s.options.head.allow_bare_line_feed = (a & 128U) != 0;
  if ((b & 1U) != 0) s.options.max_message = b;
  if ((b & 2U) != 0) s.options.max_fragments = b >> 2U;
  if ((b & 4U) != 0) s.options.head = {512, 128, 8, s.options.head.allow_bare_line_feed};
  if (s.open && (b & 8U) != 0) s.agreed.agreement = 1;
  return s;
}

// What came of a run. All runs over the same input have the same events and output.
struct outcome {
  std::string events;
  std::string output;
  std::string unfinished;  // what a connection gave of a message that did not end

  void add(std::string_view what, std::uint64_t number = 0, std::string_view payload = {}) {
    events.append(what).append(" ").append(std::to_string(number)).append(" ").append(payload).append("\n");
  }
};

void add(outcome& o, const ws::event& ev, std::uint64_t offset) {
  switch (ev.type) {
    case ws::event_type::none: break;
    case ws::event_type::request: o.add(ev.plain ? "plain request" : "request", 0, ev.payload); break;
    case ws::event_type::message:
      o.add(ev.compressed ? "compressed" : "message", static_cast<std::uint64_t>(ev.opcode), ev.payload);
      break;
    case ws::event_type::ping: o.add("ping", 0, ev.payload); break;
    case ws::event_type::pong: o.add("pong", 0, ev.payload); break;
    case ws::event_type::close: o.add("close", static_cast<std::uint64_t>(ev.code()), ev.payload); break;
    case ws::event_type::failed:
      o.add("failed", static_cast<std::uint64_t>(ev.why()));
      o.add("at", offset);
      break;
    case ws::event_type::data:
    case ws::event_type::open:
    case ws::event_type::rejected:
    case ws::event_type::body: fuzz::broken("a server gives no such event", __FILE__, __LINE__);
  }
}

// Does what the event asks for through `to`, which writes, and is the same for connection and session.
void answer(auto&& to, const setting& s, const ws::event& ev, bool& closed) {
  if (ev.type == ws::event_type::request) {
    const ws::request_view request = ev.request();
    ws::acceptance yes;
    ws::list_cursor offers = request.subprotocols();
    std::string_view first;
    if (offers.next(first)) yes.subprotocol = first;
    const ws::field extra[] = {{"X-Path", request.path()}};
    if (ev.plain)
      REQUIRE(to.respond({.status = 404, .fields = extra, .body = "no"}) == ws::error::none);
    else
      REQUIRE(to.accept(yes) == ws::error::none);
  }
  if (ev.type == ws::event_type::message && !ev.compressed) {
    const ws::error sent = to.send(ev.opcode, ev.payload);
    REQUIRE((sent == ws::error::already_closing) == closed);
    REQUIRE(closed || sent == ws::error::none);
    if (s.close_early && !closed) {
      REQUIRE(to.close(ws::close_code::going_away, "early") == ws::error::none);
      closed = true;
    }
  }
  if (ev.type == ws::event_type::close && !s.options.auto_close_reply && !closed) {
    REQUIRE(to.close(ev.code() == ws::close_code::no_status ? ws::close_code::none : ev.code(), {}) == ws::error::none);
    closed = true;
  }
}

// ---- the connection ----

struct writer {
  ws::connection& conn;
  ws::output& out;
  ws::error accept(const ws::acceptance& a) { return conn.accept(out, a); }
  ws::error respond(const ws::response& r) { return conn.respond(out, r); }
  ws::error send(ws::opcode op, std::string_view payload) { return conn.send(out, op, payload); }
  ws::error close(ws::close_code code, std::string_view reason) { return conn.close(out, code, reason); }
};

outcome run_connection(const setting& s, std::string_view input, split how, bool copying) {
  outcome o;
  fuzz::splits pieces{how, s.seed};
  // A head that is cut must fit in the scratch, as it does in the limits.
  std::vector<char> scratch(s.open ? ws::min_scratch : s.options.head.max_head);
  ws::connection conn = s.open ? ws::connection{ws::role::server, s.agreed, s.options, scratch}
                               : ws::connection{ws::role::server, s.options, scratch};
  std::vector<char> memory(input.size() + 4096);
  ws::output out{memory};
  std::string message;
  bool message_open = false;
  bool closed = false;
  bool failed = false;

  const auto handle = [&](ws::event ev) {
    if (!ev) return;
    if (ev.type == ws::event_type::data) {
      REQUIRE(ev.first == !message_open);
      REQUIRE(!ev.payload.empty() || ev.last);
      message_open = !ev.last;
      message.append(ev.payload);
      if (!ev.last) return;
      ev.type = ws::event_type::message;
      ev.payload = message;
    }
    REQUIRE(!failed);  // nothing comes after a failure
    failed = ev.type == ws::event_type::failed;
    add(o, ev, conn.offset());
    // Owed frames are written whole or not at all.
    ws::output none;
    const ws::error owed = conn.write_owed(none);
    REQUIRE(owed == ws::error::none || owed == ws::error::output_full);
    REQUIRE(conn.write_owed(out) == ws::error::none);
    REQUIRE(conn.write_owed(none) == ws::error::none);
    answer(writer{conn, out}, s, ev, closed);
    if (ev.type == ws::event_type::message) message.clear();
  };

  for (std::size_t at = 0; at < input.size();) {
    const std::size_t n = pieces.next(input.size() - at);
    const fuzz::exact piece{input.substr(at, n)};
    at += n;
    std::span<char> bytes = piece.bytes();
    std::string_view constant = piece.view();
    std::size_t idle = 0;
    while (!(copying ? constant.empty() : bytes.empty())) {
      const fuzz::exact to{16};
      const std::size_t before = copying ? constant.size() : bytes.size();
      const ws::event ev = copying ? conn.next(constant, to.bytes()) : conn.next(bytes);
      const std::size_t after = copying ? constant.size() : bytes.size();
      REQUIRE(after <= before);
      REQUIRE(ev || after == 0);  // without an event the input is eaten
      idle = after == before ? idle + 1 : 0;
      REQUIRE(idle <= 2);  // an event that eats nothing is followed by one that does
      if (ev.type == ws::event_type::request) {
        // Until it is decided nothing is consumed.
        std::array<char, 1> next_byte{};
        std::span<char> waiting{next_byte};
        REQUIRE(!conn.next(waiting) && waiting.size() == 1);
      }
      handle(ev);
    }
    REQUIRE(!copying || piece.view() == input.substr(at - n, n));
    // The failure after the last good bytes needs no further input.
    std::span<char> nothing;
    while (const ws::event ev = conn.next(nothing)) handle(ev);
  }
  if (fuzz::has_ended(conn.state()))
    fuzz::try_after_the_end(conn, [&] {
      const std::size_t before = out.size();
      const ws::error why = conn.send(out, ws::opcode::binary, "late");
      REQUIRE(out.size() == before);
      return why;
    });
  handle(conn.end_of_input());
  REQUIRE(!conn.end_of_input());
  REQUIRE(conn.wants() == ws::transport::drop);
  o.add("code", static_cast<std::uint64_t>(conn.code()));
  o.add("state", static_cast<std::uint64_t>(conn.state()));
  o.unfinished = message;
  o.output = out.written();
  return o;
}

// ---- the session ----

outcome run_session(const setting& s, std::string_view input, split how, bool prepared, std::size_t failing = 0) {
  outcome o;
  fuzz::splits pieces{how, s.seed};
  fuzz::counted_memory memory;
  memory.failing = failing;
  {
    ws::session session = s.open ? ws::session{ws::role::server, s.agreed, s.options, nullptr, &memory.hook}
                                 : ws::session{ws::role::server, s.options, nullptr, &memory.hook};
    bool closed = false;
    bool failed = false;
    std::size_t received = 0, asked = 0;
    std::uint64_t waited = session.buffered_amount();

    // Memory grows with what has come, never with what is announced.
    const auto in_proportion = [&] { REQUIRE(memory.most <= fuzz::most_memory(received, waited, asked)); };
    const auto handle = [&](const ws::event& ev) {
      if (!ev) return;
      REQUIRE(!failed);
      failed = ev.type == ws::event_type::failed;
      add(o, ev, session.offset());
      if (failing == 0) answer(session, s, ev, closed);
      if (failing != 0 && ev.type == ws::event_type::request) (void)session.accept();
      if (failing != 0 && ev.type == ws::event_type::message) (void)session.send(ev.opcode, ev.payload);
      if (waited < session.buffered_amount()) waited = session.buffered_amount();
      std::array<ws::slice, 3> slices;
      while (session.output(slices) != 0) {
        o.output.append(slices[0].data, slices[0].size);
        session.consume(slices[0].size);
      }
    };

    for (std::size_t at = 0; at < input.size();) {
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
        REQUIRE(bytes.empty() || failing != 0);
      }
      at += n;
      in_proportion();
    }
    if (fuzz::has_ended(session.state())) fuzz::try_after_the_end(session, [&] { return session.send(ws::opcode::binary, "late"); });
    handle(session.end_of_input());
    REQUIRE(!session.end_of_input());
    REQUIRE(failing != 0 || session.wants() == ws::transport::drop);
    o.add("code", static_cast<std::uint64_t>(session.code()));
    o.add("state", static_cast<std::uint64_t>(session.state()));
    session.release();
    in_proportion();
  }
  REQUIRE(memory.live == 0);
  return o;
}

void require_same(const outcome& a, const outcome& b) {
  if (a.events != b.events || a.output != b.output)
    std::fprintf(stderr, "---- one run:\n%s---- the other:\n%s", a.events.c_str(), b.events.c_str());
  REQUIRE(a.events == b.events);
  REQUIRE(a.output == b.output);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  const setting s = choose(input);
  const std::string_view bytes = input.rest();

  const outcome whole = run_connection(s, bytes, split::whole, false);
  REQUIRE(whole.output.size() <= bytes.size() + 2048);
  for (const split how : {split::bytes, split::random}) {
    const outcome other = run_connection(s, bytes, how, false);
    require_same(whole, other);
    REQUIRE(whole.unfinished == other.unfinished);
  }
  for (const split how : {split::whole, split::random}) {
    const outcome other = run_connection(s, bytes, how, true);
    require_same(whole, other);
    REQUIRE(whole.unfinished == other.unfinished);
  }
  for (const split how : {split::whole, split::bytes, split::random}) require_same(whole, run_session(s, bytes, how, false));
  for (const split how : {split::whole, split::random}) require_same(whole, run_session(s, bytes, how, true));
  (void)run_session(s, bytes, split::random, (s.failing_allocation & 1U) != 0, s.failing_allocation / 2 % 16 + 1U);
  return 0;
}
