// A program of calls to a session of either role, in any order, with any arguments: whatever comes back, memory and output
// stay in proportion, failures stick, tokens come back once, and what was sent is whole frames.
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
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
  std::string sent;  // all of it, once the handshake is done
  const std::string lent = "borrowed payload, long enough to be worth it " + std::string(600, '.');
  std::size_t tokens = 0, given_back = 0, received = 0, queued = 0, calls = 0;
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
        if (!ev) return;
        if (ev.type != ws::event_type::failed) return REQUIRE(!failed);
        REQUIRE(!failed && ev.why() == s.why());
        failed = gave_failure = true;
      };
      const auto op = [&] { return static_cast<ws::opcode>(run.number() % 4); };
      const auto sends = [&](ws::error e, std::size_t n) {
        if (e == ws::error::none) queued += n;
      };
      ++calls;
      switch (run.number() % 24) {
        case 0:
        case 1:
        case 2: {
          const fuzz::exact bytes{run.bytes()};
          received += bytes.size();
          std::span<char> rest = bytes.bytes();
          fuzz::feed(s, rest, take);
          break;
        }
        case 3: (void)s.prepare(1 + run.number() * 20U); break;
        case 4: {
          const std::string bytes = run.bytes();
          const std::span<char> into = s.prepare(bytes.size());
          const std::size_t n = bytes.size() < into.size() ? bytes.size() : into.size();
          if (n != 0) std::memcpy(into.data(), bytes.data(), n);
          received += n;
          s.commit(n);
          std::size_t events = 0;
          while (const ws::event ev = s.next()) {
            REQUIRE(++events <= received + 2);
            take(ev);
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
          const bool taken = s.send_borrowed(op(), lent, &tokens) == ws::error::none;
          if (taken) ++tokens, queued += lent.size();
          break;
        }
        case 10: sends(s.send(news), 100); break;
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
      (void)s.next_deadline();
      // What the caller sends, with heads; a few frames and answers of our own for each call, one for what came.
      REQUIRE(sent.size() + s.buffered_amount() <= queued + queued / 8 + received + 1024 + 64 * calls);
      // Two compressors and inflaters, and what came and waits, twice.
      REQUIRE(memory.live <= 700000 + 8 * (received + queued));
    }
    holder->free_buffer(spare);
  }
  REQUIRE(memory.live == 0);
  if (self == ws::role::server && open) require_frames(sent);
  return 0;
}
