// A client and a server session on a link, driven by a program of calls. On a good link every message arrives, in order and
// unchanged, and both ends close cleanly; on a hostile one, which flips, drops and inserts bytes, there is a clear error, and
// memory stays in proportion.
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;

namespace {

bool counted_keys(void* context, char* to, std::size_t n) {
  auto& state = *static_cast<std::uint32_t*>(context);
  for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
  return true;
}

struct message {
  ws::opcode op;
  std::string payload;
};

struct end {
  fuzz::counted_memory memory;
  std::uint32_t entropy = 1;
  ws::masking_keys keys{&counted_keys, &entropy};
  ws::session session;
  std::deque<message> sent;   // and not yet arrived
  std::deque<std::string> lent;
  std::string streamed;       // of the open message
  ws::output_buffer spare;
  std::size_t queued = 0, received = 0;
  bool in_message = false, failed = false, closed = false;

  end(ws::role self, const ws::options& options) : session{self, options, &keys, &memory.hook} {}
  /// An open message is given up when the other end closes.
  bool all_arrived() const { return sent.empty() || (in_message && sent.size() == 1); }
};

struct pair {
  ws::options options;
  end client{ws::role::client, options}, server{ws::role::server, options};
  bool hostile = false, damaged = false;
  std::uint64_t now = 1;

  explicit pair(const ws::options& o) : options(o) {}

  end& other(end& e) { return &e == &client ? server : client; }

  void handle(end& e, const ws::event& ev) {
    end& from = other(e);
    switch (ev.type) {
      case ws::event_type::request: (void)e.session.accept(); break;
      case ws::event_type::message:
        if (damaged) break;
        REQUIRE(!from.sent.empty() && from.sent.front().op == ev.opcode && from.sent.front().payload == ev.payload);
        from.sent.pop_front();
        break;
      case ws::event_type::close:
        REQUIRE(!e.closed && (damaged || from.all_arrived()));
        e.closed = true;
        break;
      case ws::event_type::failed:
        REQUIRE(!e.failed && damaged);
        REQUIRE(!ws::explain(ev.why()).what.empty());
        e.failed = true;
        break;
      default: break;
    }
  }

  void reads(end& to, std::string_view bytes, std::size_t piece) {
    to.received += bytes.size();
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const fuzz::exact part{bytes.substr(at, piece)};
      std::span<char> rest = part.bytes();
      fuzz::feed(to.session, rest, [&](const ws::event& ev) { handle(to, ev); });
    }
  }

  /// Carries up to `most` bytes from one end to the other, as pieces of `piece`.
  void carry(end& from, std::size_t most, std::size_t piece, unsigned damage, bool takes) {
    std::string bytes;
    if (takes) {
      from.spare = from.session.take_output(from.spare);
      bytes.assign(from.spare.data != nullptr ? from.spare.data : "", from.spare.size);
      from.session.consume(bytes.size());
    } else {
      while (bytes.size() < most && !from.session.output().empty()) {
        const std::string_view out = from.session.output().substr(0, most - bytes.size());
        bytes += out;
        from.session.consume(out.size());
      }
    }
    if (hostile && damage != 0 && !bytes.empty()) {
      const std::size_t at = damage * 7 % bytes.size();
      damaged = true;
      if (damage % 3 == 0) bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << damage % 8));
      else if (damage % 3 == 1) bytes.erase(at, 1);
      else bytes.insert(at, 1, static_cast<char>(damage));
    }
    end& to = other(from);
    reads(to, bytes, piece);
  }

  void sends(end& e, ws::opcode op, std::string payload, bool last, bool borrows) {
    ws::error why;
    if (borrows && last && !e.in_message) {
      e.lent.push_back(payload);
      why = e.session.send_borrowed(op, e.lent.back(), &e);
    } else {
      why = e.session.send(e.in_message ? ws::opcode::continuation : op, payload, last);
    }
    if (why != ws::error::none) {
      REQUIRE(!e.session.is_open());
      return;
    }
    e.queued += payload.size();
    if (!e.in_message) e.sent.push_back({op, {}});
    e.sent.back().payload += payload;
    e.in_message = !last;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices run{data, size};
  const unsigned a = run.byte(), b = run.byte();
  const ws::deflate_options deflate{.engine = &ws::zlib_engine,
                                    .server_max_window_bits = static_cast<std::uint8_t>(9 + b % 7),
                                    .server_no_context_takeover = (b & 8U) != 0,
                                    .client_no_context_takeover = (b & 16U) != 0,
                                    .level = 1,
                                    .threshold = 16};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options options;
  if ((a & 1U) != 0) options.extension = &hook;
  options.high_water = 4096;
  options.low_water = 100;
  options.handshake_timeout = options.close_timeout = options.pong_timeout = options.write_timeout = 0;
  pair both{options};
  both.hostile = (a & 2U) != 0;
  const ws::prepared_message news{ws::opcode::text, "to everybody, and long enough to be compressed, to be compressed, compressed"};
  REQUIRE(both.client.session.connect({.host = "a"}) == ws::error::none);
  while (!run.rest().empty()) {
    const unsigned what = run.byte();
    end& e = (what & 1U) != 0 ? both.client : both.server;
    switch (what / 2 % 12) {
      case 0:
      case 1: {
        const std::size_t n = run.byte();
        both.sends(e, (what & 64U) != 0 ? ws::opcode::text : ws::opcode::binary, std::string(n * n / 16, static_cast<char>('a' + n % 26)), (what & 128U) == 0, false);
        break;
      }
      case 2: both.sends(e, ws::opcode::binary, std::string(run.byte() * 4U, 'l'), true, true); break;
      case 3:
        if (!e.in_message && e.session.send(news) == ws::error::none) e.sent.push_back({ws::opcode::text, std::string{news.payload()}}), e.queued += 100;
        break;
      case 4: (void)e.session.ping(); break;
      case 5: e.session.release(); break;
      case 6: {
        const unsigned step = run.byte();
        both.now += step * step * step;
        if (const ws::event ev = e.session.tick(both.now)) both.handle(e, ev);
        break;
      }
      case 7:
        if (run.byte() < 8 && !e.in_message) (void)e.session.close(ws::close_code::normal, "enough");
        break;
      case 8: {
        // Bytes of the input: as a message, or on a hostile link as if the other end had sent them.
        const std::string_view bytes = run.bytes(run.byte());
        if (both.hostile && (what & 64U) != 0) {
          both.damaged = true;
          both.reads(e, bytes, 1 + bytes.size() / 2);
        } else if (!e.in_message || e.sent.back().op == ws::opcode::binary) {
          both.sends(e, ws::opcode::binary, std::string{bytes}, (what & 128U) == 0, false);
        }
        break;
      }
      default: {
        const std::size_t most = 1U + run.byte() * 16U;
        const unsigned how = run.byte();
        both.carry(e, most, 1 + how % 64 * 8U, how / 64 == 3 ? run.byte() : 0, (how & 32U) != 0);
        break;
      }
    }
    for (void* token = nullptr; e.session.returned(token);) REQUIRE(token == &e);
    for (const end* one : {&both.client, &both.server}) REQUIRE(one->memory.live <= 700000 + 8 * (one->received + one->queued));
  }
  // What is open is finished, what was sent arrives, and both ends close.
  for (end* e : {&both.client, &both.server})
    if (e->in_message) both.sends(*e, ws::opcode::binary, "", true, false);
  const auto settle = [&] {
    for (int i = 0; i < 200 && both.client.session.buffered_amount() + both.server.session.buffered_amount() != 0; ++i) {
      both.carry(both.client, ~std::size_t{0}, 4096, 0, false);
      both.carry(both.server, ~std::size_t{0}, 4096, 0, false);
    }
    REQUIRE(both.client.session.buffered_amount() + both.server.session.buffered_amount() == 0);
  };
  settle();
  if (!both.damaged) REQUIRE(both.client.closed || (both.client.session.is_open() && both.server.session.is_open()));
  (void)both.client.session.close();
  settle();
  if (!both.damaged) {
    REQUIRE(both.client.all_arrived() && both.server.all_arrived());
    REQUIRE(both.client.session.was_clean() && both.server.session.was_clean());
    REQUIRE(both.server.session.wants() == ws::transport::half_close);
  }
  for (end* e : {&both.client, &both.server}) {
    if (const ws::event ev = e->session.end_of_input()) both.handle(*e, ev);
    REQUIRE(!e->session.is_open());
    REQUIRE(e->session.wants() == ws::transport::drop || e->session.buffered_amount() != 0);
    e->session.free_buffer(e->spare);
  }
  return 0;
}
