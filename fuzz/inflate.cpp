// Arbitrary bytes as compressed messages, for a session of either role and for the inflating reader, whole and in pieces:
// the same messages and the same verdict, nothing after a failure, never more than the limit, and memory in proportion.
#include <span>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;
using split = fuzz::splits::how;

namespace {

// The first bytes of an input choose this.
struct setting {
  ws::role self = ws::role::server;
  ws::opcode op = ws::opcode::binary;
  ws::deflate_options deflate{.engine = &ws::zlib_engine};
  ws::deflate_agreement agreed;
  ws::extension_hook hook;
  ws::options options;
  std::uint32_t seed = 0;
  bool one_message = false;  // the input is one message, rather than several with their sizes

  explicit setting(fuzz::choices& input) : hook(ws::permessage_deflate(deflate)) {
    const unsigned a = input.byte(), b = input.byte();
    seed = static_cast<std::uint32_t>(input.byte()) * 2654435761U;
    if ((a & 1U) != 0) self = ws::role::client;
    if ((a & 2U) != 0) op = ws::opcode::text;
    agreed.server_no_context_takeover = agreed.client_no_context_takeover = (a & 4U) != 0;
    agreed.server_max_window_bits = agreed.client_max_window_bits = static_cast<std::uint8_t>(8 + (a >> 4U) % 8);
    one_message = (a & 128U) != 0;
    options.extension = &hook;
    options.max_message = (a & 8U) != 0 ? b * 16U : 1U << 16U;
  }
  setting(const setting&) = delete;
  setting& operator=(const setting&) = delete;
};

// The messages: before each are two bytes that say its size.
std::vector<std::string_view> messages_of(std::string_view input) {
  std::vector<std::string_view> found;
  while (input.size() >= 2) {
    const std::size_t wanted = ws::detail::load_big<std::uint16_t>(input.data());
    input.remove_prefix(2);
    found.push_back(input.substr(0, wanted));
    input.remove_prefix(found.back().size());
  }
  return found;
}

void add(std::string& log, std::string_view message) { log.append(std::to_string(message.size())).append(" ").append(message).append("\n"); }
void add(std::string& log, ws::error why) { log.append(ws::explain(why).name).append("\n"); }

std::string run_session(const setting& s, const std::vector<std::string_view>& messages, split how, bool prepared,
                        std::size_t failing = 0, std::uint8_t window_bits = 0) {
  ws::deflate_agreement agreed = s.agreed;
  if (window_bits != 0) agreed.server_max_window_bits = agreed.client_max_window_bits = window_bits;
  std::string wire;
  for (const std::string_view message : messages) {
    char head[ws::max_frame_head];
    const bool masked = s.self == ws::role::server;
    const std::uint32_t key = masked ? 0x31323334U : 0U;
    wire.append(head, ws::write_frame_head(head, {.fin = true, .rsv1 = true, .opcode = s.op, .masked = masked,
                                                  .masking_key = key, .length = message.size()}));
    const std::size_t at = wire.size();
    wire.append(message);
    ws::mask(wire.data() + at, message.size(), key);
  }
  std::string log;
  fuzz::counted_memory memory;
  memory.failing = failing;
  {
    ws::session session{s.self, {&s.hook, agreed.number()}, s.options, nullptr, &memory.hook};
    fuzz::splits pieces{how, s.seed};
    std::size_t given = 0, asked = 0;
    bool failed = false;
    const auto take = [&](const ws::event& ev) {
      REQUIRE(!failed);
      REQUIRE(ev.type == ws::event_type::message || ev.type == ws::event_type::failed);
      failed = ev.type == ws::event_type::failed;
      if (failed) {
        REQUIRE(ev.why() == session.why());
        add(log, ev.why());
      } else {
        REQUIRE(ev.payload.size() <= s.options.max_message);
        add(log, ev.payload);
        if (ev.payload.size() > given) given = ev.payload.size();
      }
      session.consume(session.output().size());
    };
    for (std::size_t at = 0; at < wire.size();) {
      std::size_t n = pieces.next(wire.size() - at);
      if (prepared) {
        if (asked < n) asked = n;
        n = fuzz::commit(session, std::string_view{wire}.substr(at, n));
        REQUIRE(n != 0 || failing != 0);
        while (const ws::event ev = session.next()) take(ev);
        if (n == 0) break;
      } else {
        const fuzz::exact piece{std::string_view{wire}.substr(at, n)};
        std::span<char> bytes = piece.bytes();
        fuzz::feed(session, bytes, take);
        REQUIRE(bytes.empty());
      }
      at += n;
      // The inflater itself has 8 KiB and its window; an inflated message has at most twice its size, or its limit; and
      // what `prepare` gives grows to twice its size.
      REQUIRE(memory.live <= 56 * 1024 + s.options.max_message + 2 * given + 2 * asked);
    }
    REQUIRE(failed == (session.why() != ws::error::none));
    if (failed) fuzz::try_after_the_end(session, [&] { return session.send(ws::opcode::binary, "late"); });
    session.release();
  }
  REQUIRE(memory.live == 0);
  return log;
}

std::string run_reader(const setting& s, const std::vector<std::string_view>& messages, split how, split room) {
  std::string log;
  fuzz::counted_memory memory;
  {
    ws::inflating_reader reader{s.deflate, s.agreed.number(), s.self == ws::role::client, s.options.max_message, &memory.hook};
    fuzz::splits pieces{how, s.seed};
    fuzz::splits rooms{room, s.seed + 1};
    for (const std::string_view message : messages) {
      std::string inflated;
      ws::inflated_piece got;
      std::size_t at = 0;
      do {
        const std::size_t n = message.empty() ? 0 : pieces.next(message.size() - at);
        const fuzz::exact piece{message.substr(at, n)};
        at += n;
        reader.feed(s.op == ws::opcode::text, piece.view(), at == message.size());
        for (;;) {
          const fuzz::exact to{rooms.next(guarded::room)};
          got = reader.next(to.bytes());
          if (!got) break;
          if (got.type == ws::inflated_piece::kind::failed) {
            add(log, got.why);
            for (int again = 0; again < 2; ++again) {
              REQUIRE(!reader.next(to.bytes()));
              reader.feed(s.op == ws::opcode::text, piece.view(), true);
            }
            return log;
          }
          inflated.append(got.payload);
          REQUIRE(inflated.size() <= s.options.max_message);
          if (got.last) break;
        }
      } while (at != message.size());
      REQUIRE(got.last);
      add(log, inflated);
      REQUIRE(memory.live <= 56 * 1024);
    }
  }
  REQUIRE(memory.live == 0);
  return log;
}

// `exact` is how it goes with the largest window. With a smaller one zlib may also refuse a distance beyond it, or not, by
// how it is cut (D12).
void require_same(const setting& s, const std::string& exact, std::string_view log) {
  if (log == exact) return;
  constexpr std::string_view corrupt = "deflate_data_corrupt\n";
  std::string_view before = log;
  if (s.agreed.server_max_window_bits < 15 && log.ends_with(corrupt)) before.remove_suffix(corrupt.size());
  if (before.size() == log.size() || !exact.starts_with(before))
    std::fprintf(stderr, "---- exact:\n%s---- this run:\n%.*s", exact.c_str(), static_cast<int>(log.size()), log.data());
  REQUIRE(before.size() != log.size() && exact.starts_with(before));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  const setting s{input};
  const std::vector<std::string_view> messages = s.one_message ? std::vector{input.rest()} : messages_of(input.rest());
  const std::string exact = run_session(s, messages, split::whole, false, 0, 15);
  for (const split how : {split::whole, split::bytes, split::random}) require_same(s, exact, run_session(s, messages, how, false));
  for (const split how : {split::whole, split::random}) require_same(s, exact, run_session(s, messages, how, true));
  // The session says more where a message is too big before it is inflated: the reader never sees its frames' heads.
  if (exact.find("message_too_big") == exact.npos) {
    require_same(s, exact, run_reader(s, messages, split::whole, split::whole));
    require_same(s, exact, run_reader(s, messages, split::random, exact.size() < 2000 ? split::bytes : split::random));
    require_same(s, exact, run_reader(s, messages, split::bytes, split::random));
  }
  for (std::size_t failing = 1; failing <= 4; ++failing) (void)run_session(s, messages, split::random, failing % 2 == 0, failing);
  return 0;
}
