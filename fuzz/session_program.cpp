// A program of calls to a session of either role, in any order, with any arguments: whatever comes back, memory and output
// stay in proportion, failures stick, tokens come back once, what was sent is whole frames, and all is the same when
// each read comes byte by byte.
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;

namespace {

bool same_key(void* context, char* to, std::size_t n) {
  std::memset(to, 'a', n);
  return *static_cast<const bool*>(context);
}

/// Takes numbers and bytes off the front of the program.
class program {
 public:
  explicit program(fuzz::choices& input) : input_(input) {}
  bool done() const { return input_.rest().empty(); }
  unsigned number() { return input_.byte(); }
  std::string bytes() {
    std::string taken;
    for (unsigned n = number(); n != 0 && !done(); --n) taken += static_cast<char>(number());
    return taken;
  }

 private:
  fuzz::choices& input_;
};

/// What a server sent must be frames without a mask that are whole, behind the head of the handshake.
void require_frames(std::string_view sent) {
  while (sent.size() >= 2) {
    const ws::parsed_frame_head head = ws::parse_frame_head(sent);
    if (head.size == 0 || head.head.length > sent.size() - head.size) return;  // it was cut by a failure of the transport
    REQUIRE(head.why == ws::error::none && !head.head.masked);
    sent.remove_prefix(head.size + static_cast<std::size_t>(head.head.length));
  }
}

/// How a session stood after a call.
struct standing {
  ws::error why;
  ws::close_state state;
  ws::transport wants;
  std::uint64_t waits, deadline;
  std::uint64_t offset;  // of compressed messages it is known only that they are broken, not at which byte of a read
  std::size_t events;    // the size of the log
  bool operator==(const standing&) const = default;
};

/// What came of a program.
struct outcome {
  std::string log;  // the events
  std::vector<standing> calls;
  std::string body;   // of a refusal, which comes in pieces
  std::string sent;   // all of it, once the handshake is done
  bool starved = false;  // an allocation failed
  bool full = false;     // `prepare` had no room behind an undecided request, so that bytes were lost

  void add(std::string_view what, std::uint64_t number, std::string_view payload = {}) {
    log.append(what).append(" ").append(std::to_string(number)).append(" ").append(payload).append("\n");
  }
  void add(const ws::event& ev) {
    switch (ev.type) {
      case ws::event_type::none: break;
      case ws::event_type::request: add(ev.plain ? "plain request" : "request", 0, ev.request().target()); break;
      case ws::event_type::open: add("open", 0, ev.response().reason()); break;
      case ws::event_type::rejected: add("rejected", static_cast<std::uint64_t>(ev.response().status())); break;
      case ws::event_type::body:
        body += ev.payload;
        if (ev.last) add("body", body.size(), body);
        break;
      case ws::event_type::message: add("message", static_cast<std::uint64_t>(ev.opcode), ev.payload); break;
      case ws::event_type::ping: add("ping", 0, ev.payload); break;
      case ws::event_type::pong: add("pong", 0, ev.payload); break;
      case ws::event_type::close: add("close", static_cast<std::uint64_t>(ev.code()), ev.payload); break;
      case ws::event_type::failed: add("failed", static_cast<std::uint64_t>(ev.why())); break;
      case ws::event_type::data: fuzz::broken("a session gives no such event", __FILE__, __LINE__);
    }
  }
};

outcome run_program(const std::uint8_t* data, std::size_t size, fuzz::splits::how how) {
  outcome o;
  std::string& sent = o.sent;
  fuzz::choices input{data, size};
  fuzz::splits pieces{how, 0};
  program run{input};
  const unsigned a = run.number(), b = run.number();
  fuzz::counted_memory memory;
  memory.failing = run.number();
  const ws::role self = (a & 1U) != 0 ? ws::role::client : ws::role::server;
  const bool open = (a & 2U) != 0;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine, .threshold = 8, .release_after = (a & 4U) != 0 ? 1000U : 0U};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options options;
  const bool compresses = (a & 8U) != 0;
  if (compresses) options.extension = &hook;
  options.auto_pong = (a & 16U) == 0;
  options.auto_close_reply = (a & 32U) == 0;
  options.discard_after_close = (a & 64U) != 0;
  options.cut_long_reason = (a & 128U) != 0;
  options.max_message = (b & 1U) != 0 ? b : 100000;
  options.high_water = (b & 2U) != 0 ? b : 4096;
  options.low_water = (b & 4U) != 0 ? options.high_water : 100;
  options.ping_interval = (b & 8U) != 0 ? 5000 : 0;
  options.idle_timeout = (b & 16U) != 0 ? 20000 : 0;
  bool entropy = true;
  ws::masking_keys keys{&same_key, &entropy};
  const std::string lent = "borrowed payload, long enough to be worth it " + std::string(600, '.');
  std::size_t tokens = 0, given_back = 0, received = 0, queued = 0, calls = 0, asked = 0, lists = 0, largest = 0;
  std::uint64_t waited = 0;
  {
    const ws::negotiated agreed{&hook, compresses ? ws::deflate_agreement{}.number() : 0U};
    std::optional<ws::session> holder;
    if (open)
      holder.emplace(self, agreed, options, &keys, &memory.hook);
    else
      holder.emplace(self, options, &keys, &memory.hook);
    const ws::prepared_message news{ws::opcode::text, "to everybody, and long enough for all of them", &memory.hook};
    std::uint64_t now = 1;
    bool failed = false, dropped = false;
    ws::output_buffer spare;
    while (!run.done()) {
      ws::session& s = *holder;
      const ws::error why = s.why();
      const std::uint64_t offset = s.offset();
      bool gave_failure = false;
      const auto take = [&](const ws::event& ev) {
        o.add(ev);
        if (!ev) return;
        if (ev.type != ws::event_type::failed) return REQUIRE(!failed);
        REQUIRE(!failed && ev.why() == s.why());
        failed = gave_failure = true;
      };
      const auto op = [&] { return static_cast<ws::opcode>(run.number() % 4); };
      const auto sends = [&](ws::error e, std::size_t n) {
        if (largest < n + 14) largest = n + 14;
        if (e == ws::error::none) queued += n;
      };
      ++calls;
      switch (run.number() % 24) {
        case 0:
        case 1:
        case 2: {
          const std::string bytes = run.bytes();
          received += bytes.size();
          for (std::size_t at = 0; at < bytes.size();) {
            const fuzz::exact piece{std::string_view{bytes}.substr(at, pieces.next(bytes.size() - at))};
            at += piece.size();
            std::span<char> rest = piece.bytes();
            fuzz::feed(s, rest, take);
          }
          break;
        }
        case 3: {
          const std::size_t n = 1 + run.number() * 20U;
          if (asked < n) asked = n;
          (void)s.prepare(n);
          break;
        }
        case 4: {
          const std::string bytes = run.bytes();
          if (asked < bytes.size()) asked = bytes.size();
          for (std::size_t at = 0;;) {
            const std::size_t wanted = at == bytes.size() ? 0 : pieces.next(bytes.size() - at);
            const std::size_t n = fuzz::commit(s, std::string_view{bytes}.substr(at, wanted));
            received += n;
            at += n;
            std::size_t events = 0;
            while (const ws::event ev = s.next()) {
              REQUIRE(++events <= received + 2);
              take(ev);
            }
            if (at == bytes.size()) break;
            if (n == 0) {
              o.full = true;
              break;
            }
          }
          break;
        }
        case 5: (void)s.accept(); break;
        case 6: (void)s.respond({.status = static_cast<std::uint16_t>(run.number() * 4U), .body = "no"}); break;
        case 7: (void)s.connect({.host = "a", .target = (run.number() & 1U) != 0 ? "/" : "/chat"}); break;
        case 8: {
          const std::string text = run.bytes();
          sends(s.send(op(), text, (run.number() & 3U) != 0), text.size());
          break;
        }
        case 9: {
          const ws::error e = s.send_borrowed(op(), lent, &tokens);
          sends(e, lent.size());
          if (e == ws::error::none) ++tokens, ++lists;
          break;
        }
        case 10: sends(s.send(news), 100), ++lists; break;
        case 11: sends(s.ping(), 16); break;
        case 12: {
          const std::string text = run.bytes();
          sends((run.number() & 1U) != 0 ? s.ping(text) : s.pong(text), text.size());
          break;
        }
        case 13: (void)s.close(static_cast<ws::close_code>(run.number() * 20U), "because"); break;
        case 14: take(s.fail(static_cast<ws::error>(run.number()))); break;
        case 15: take(s.end_of_input()); break;
        case 16: take(s.tick(now += run.number() * run.number() * 50U)); break;
        case 17:
        case 18: {
          std::array<ws::slice, 4> slices;
          const std::size_t n = s.output(slices);
          std::size_t all = 0;
          for (std::size_t i = 0; i < n; ++i) all += slices[i].size;
          REQUIRE(all <= s.buffered_amount());
          std::size_t eaten = run.number() * 8U;
          if (eaten > all) eaten = all;
          for (std::size_t i = 0, left = eaten; left != 0; ++i) {
            const std::size_t part = slices[i].size < left ? slices[i].size : left;
            sent.append(slices[i].data, part);
            left -= part;
          }
          s.consume(eaten);
          break;
        }
        case 19:
          spare = s.take_output(spare);
          sent.append(spare.data, spare.size);
          s.consume(spare.size);
          break;
        case 20: {
          void* token = nullptr;
          if (s.returned(token)) {
            REQUIRE(token == &tokens);
            ++given_back;
          }
          break;
        }
        case 21: s.release(); break;
        case 22: {
          ws::session moved{std::move(s)};
          s = std::move(moved);
          break;
        }
        case 23: entropy = (run.number() & 1U) != 0; break;
      }
      if (failed && !gave_failure && why != ws::error::none) REQUIRE(s.why() == why && s.offset() == offset);
      // A caller that answers Closes itself may still send after the peer's end.
      REQUIRE(!dropped || s.wants() == ws::transport::drop || s.buffered_amount() != 0);
      dropped = s.wants() == ws::transport::drop;
      REQUIRE(given_back <= tokens);
      if (waited < s.buffered_amount()) waited = s.buffered_amount();
      o.calls.push_back({s.why(), s.state(), s.wants(), s.buffered_amount(), s.next_deadline(), compresses ? 0 : s.offset(), o.log.size()});
      // What the caller sends, with heads; a few frames and answers of our own for each call, one for what came.
      REQUIRE(sent.size() + s.buffered_amount() <= queued + queued / 8 + received + 1024 + 64 * calls);
      // What waits may be in the queue and in the buffer that was taken, each with room for a message that was refused for its
      // text; a prepared message, and what is known of those that wait; two compressors and inflaters, and an inflated message.
      const std::size_t most = fuzz::most_memory(received, 2 * (waited + largest), asked) + 1024 + 96 * lists;
      REQUIRE(memory.most <= most + (compresses ? 700000U : 0U));
    }
    holder->free_buffer(spare);
  }
  REQUIRE(memory.live == 0);
  o.starved = memory.failing != 0 && memory.calls >= memory.failing;
  if (self == ws::role::server && open) require_frames(sent);
  return o;
}

void require_same(const outcome& a, const outcome& b) {
  if (a.log != b.log) std::fprintf(stderr, "---- one run:\n%s---- the other:\n%s", a.log.c_str(), b.log.c_str());
  REQUIRE(a.log == b.log);
  for (std::size_t i = 0; i < a.calls.size() && i < b.calls.size(); ++i)
    if (a.calls[i] != b.calls[i]) std::fprintf(stderr, "after call %zu it does not stand the same\n", i);
  REQUIRE(a.calls == b.calls);
  REQUIRE(a.body == b.body);
  REQUIRE(a.sent == b.sent);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const outcome whole = run_program(data, size, fuzz::splits::how::whole);
  // Which allocation is the one that fails, and how much fits behind an undecided request, depends on the reads.
  if (whole.starved || whole.full) return 0;
  const outcome cut = run_program(data, size, fuzz::splits::how::bytes);
  if (!cut.starved && !cut.full) require_same(whole, cut);
  return 0;
}
