// The engine over libdeflate: the same vectors as zlib's, what it declines, and each against the other (rules D01-D05, D07,
// D10, D12, D13, D17). tests/engines/run compiles and runs this.
#include "libdeflate_engine.hpp"

#include <string>
#include <vector>

#include "catch.hpp"
#include "support/deflate.hpp"
#include "support/wire.hpp"
#include "wscodec/inflating_reader.hpp"
#include "wscodec/session.hpp"
#include "wscodec/zlib.hpp"

using namespace wire;

namespace {

constexpr ws::deflate_options libdeflate{.engine = &libdeflate_engine::engine};
constexpr ws::deflate_options zlib{.engine = &ws::zlib_engine};
constexpr ws::deflate_agreement no_takeover{.server_no_context_takeover = true, .client_no_context_takeover = true};

/// What a reader makes of messages, a line each.
class inflated {
 public:
  explicit inflated(const ws::deflate_options& opt = libdeflate, std::size_t room = 4096, std::uint64_t limit = 1 << 20,
                    const ws::allocator* memory = nullptr, bool text = false)
      : reader_(opt, no_takeover.number(), true, limit, memory), room_(room), text_(text) {}

  inflated& message(std::string_view bytes, std::size_t step = ~std::size_t{0}) {
    for (; bytes.size() > step; bytes.remove_prefix(step)) piece(bytes.substr(0, step), false);
    return piece(bytes, true);
  }
  inflated& piece(std::string_view bytes, bool last) {
    reader_.feed(text_, bytes, last);
    while (const ws::inflated_piece p = reader_.next(room_)) {
      if (p.type == ws::inflated_piece::kind::failed) {
        log += "failed " + name(p.why) + "\n";
        break;
      }
      message_ += p.payload;
      if (!p.last) continue;
      log += show(message_) + "\n";
      whole = std::exchange(message_, {});
    }
    return *this;
  }
  std::string log, whole;

 private:
  ws::inflating_reader reader_;
  std::vector<char> room_;
  std::string message_;
  bool text_;
};

std::string made_of(std::string_view bytes, const ws::deflate_options& opt = libdeflate, std::size_t room = 4096) {
  return inflated{opt, room}.message(bytes).log;
}

std::string compress(std::string_view text, const ws::deflate_options& opt = libdeflate, std::size_t grow = 4096) {
  ws::detail::deflate_state d;
  ws::detail::setup(d, opt, nullptr, no_takeover.number(), true);
  REQUIRE(ws::detail::begin_compressing(d));
  std::string memory;
  for (std::size_t used = 0;;) {
    memory.resize(memory.size() + grow);
    ws::output out{memory};
    (void)out.claim(used);
    const ws::deflate_status status = ws::detail::compress_piece(d, text, true, out, 0);
    used = out.size();
    if (status == ws::deflate_status::done) {
      ws::detail::close_all(d);
      return memory.substr(0, used);
    }
    REQUIRE(status == ws::deflate_status::output_full);
  }
}

const std::string corrupt = "failed deflate_data_corrupt\n";

std::string sample(std::size_t n) {
  std::string out;
  for (unsigned i = 0; out.size() < n; ++i) out += "{\"id\":" + std::to_string(i * 7919 % 1000) + ",\"name\":\"\xC3\xA9t\xC3\xA9\"},";
  return out.substr(0, n);
}

}  // namespace

TEST_CASE("D01 D03 D04 D05 the examples of RFC 7692 7.2.3 inflate at every split, to every size of output") {
  for (const auto& [bytes, log] : {std::pair{"\xf2\x48\xcd\xc9\xc9\x07\x00"sv, "\"Hello\"\n"},
                                   {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"sv, "\"Hello\"\n"},
                                   {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"sv, "\"Hello\"\n"},
                                   {"\xf3\x48\xcd\xc9\xc9\x07\x00"sv, "\"Hello\"\n"},
                                   {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"sv, "\"Hello\"\n"},
                                   {"\x00"sv, "\"\"\n"},
                                   {"\x02\x00"sv, "\"\"\n"},
                                   {"\x01"sv, "\"\"\n"}})
    for (std::size_t room = 1; room <= 64; ++room)
      for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        inflated got{libdeflate, room};
        got.piece(bytes.substr(0, cut), false).piece(bytes.substr(cut), true).message(bytes);
        if (got.log != std::string{log} + log) FAIL(to_hex(bytes) << " room " << room << " cut " << cut << ": " << got.log);
      }
  CHECK(made_of("") == corrupt);
}

TEST_CASE("D04 five final blocks in one message, with references over them") {
  std::string bytes = deflate_bits{}.begin(true, 1).literals("one ").end_block().bytes();
  bytes += deflate_bits{}.stored("two ", true).bytes();
  bytes += deflate_bits{}.begin(true, 1).literals("three ").copy_3(14).end_block().bytes();
  bytes += deflate_bits{}.begin(true, 1).end_block().bytes();
  bytes += deflate_bits{}.begin(true, 1).literals("five ").end_block().bytes();
  CHECK(made_of(bytes) == "\"one two three onefive \"\n");
  bytes += deflate_bits{}.begin(false, 1).literals("six ").copy_3(26).end_block().message();
  for (const std::size_t room : {1U, 2U, 5U, 64U}) CHECK(made_of(bytes, libdeflate, room) == "\"one two three onefive six one\"\n");
  CHECK(made_of(bytes + "Hello") == corrupt);
  const std::string block = noise_bytes(32768);
  const std::string far = deflate_bits{}.stored("x" + block, true).bytes();
  CHECK(inflated{}.message(far + deflate_bits{}.begin(false, 1).copy_3(32768).end_block().message()).whole == "x" + block + block.substr(0, 3));
}

TEST_CASE("D05 D07 what either engine compresses the other inflates, for all levels and sizes") {
  for (const std::int8_t level : {std::int8_t{0}, std::int8_t{1}, std::int8_t{6}, std::int8_t{9}}) {
    const ws::deflate_options ours{.engine = &libdeflate_engine::engine, .level = level};
    const ws::deflate_options theirs{.engine = &ws::zlib_engine, .level = level};
    inflated by_zlib{zlib}, by_libdeflate{libdeflate, 16384};
    for (const std::string& m : {sample(1), sample(63), std::string{}, noise_bytes(300), sample(5000), noise_bytes(70000), sample(300000), std::string(500000, 'x')})
      for (const std::size_t grow : {7U, 1000U, 1000000U}) {
        if (grow == 7 && m.size() > 10000) continue;
        CHECK(by_zlib.message(compress(m, ours, grow), 999).whole == m);
        CHECK(by_libdeflate.message(compress(m, theirs, grow), 999).whole == m);
        CHECK(by_libdeflate.message(compress(m, ours, grow), 1).whole == m);
      }
  }
}

TEST_CASE("D12 of twenty thousand damaged messages it takes what zlib takes, and no more but for the lengths 286 and 287") {
  std::uint32_t random = 1;
  const auto next = [&](std::uint32_t below) { return (random = random * 1664525U + 1013904223U) / 65536U % below; };
  std::size_t refused = 0, laxer = 0;
  const std::string whole[] = {compress(sample(200), zlib), compress(sample(200)), compress(std::string(300, 'a'), zlib),
                               std::string("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 13),
                               deflate_bits{}.stored("stored", true).begin(false, 1).literals("abc").copy_3(5).end_block().message()};
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = whole[next(5)];
    for (std::uint32_t n = 0; n <= next(3); ++n) bytes[next(static_cast<std::uint32_t>(bytes.size()))] ^= static_cast<char>(1U << next(8));
    if (next(4) == 0) bytes.resize(1 + next(static_cast<std::uint32_t>(bytes.size())));
    const std::string a = made_of(bytes), b = made_of(bytes, zlib);
    if (a == corrupt) ++refused;
    if (a != b && b == corrupt) ++laxer;
    if (a != b && b != corrupt) FAIL(to_hex(bytes) << "\nlibdeflate: " << a << "zlib: " << b);
  }
  CHECK(refused > 5000);
  CHECK(refused < 19000);
  CHECK(laxer < 400);
}

TEST_CASE("D12 what libdeflate refuses and what it does not") {
  for (const std::string& bytes : {deflate_bits{}.begin(false, 3).put(0, 32).bytes(), deflate_bits{}.begin(false, 1).literals("abc").copy_3(4).end_block().message(),
                                   deflate_bits{}.begin(false, 0).align().put(5, 16).put(0xFFFB, 16).put(0, 32).bytes(), std::string("\xf2\x48\xcd\xc9", 4)})
    CHECK(made_of(bytes) == corrupt);
  // It takes the length codes 286 and 287, which do not exist, for 285.
  CHECK(made_of(deflate_bits{}.begin(false, 1).literals("abc").symbol(286).code(0, 5).end_block().message()) == show("abc" + std::string(258, 'c')) + "\n");
}

TEST_CASE("D13 F18 the inflated size is limited to the byte, and a bomb takes no more memory than the limit") {
  for (const std::size_t limit : {0U, 1U, 100U, 4095U, 4096U, 4097U, 50000U})
    for (const std::size_t room : {1U, 64U, 4096U, 100000U})
      for (int more = limit == 0 ? 0 : -1; more <= 1; ++more) {
        const std::size_t size = limit + static_cast<std::size_t>(more);
        for (const std::string& m : {std::string(size, 'a'), noise_bytes(size)}) {
          inflated got{libdeflate, room, limit};
          got.message(compress(m, zlib));
          INFO("limit " << limit << " size " << size << " room " << room);
          CHECK((more == 1 ? got.log == "failed message_too_big\n" : got.whole == m));
        }
      }
  counting_memory memory;
  {
    inflated got{libdeflate, 16384, 1 << 20, &memory.hook};
    CHECK(got.message(compress(std::string(std::size_t{16} << 20, '\0'), zlib)).log == "failed message_too_big\n");
  }
  CHECK(memory.peak < 1'100'000 + 30'000);  // and the compressed bytes
  CHECK(memory.live == 0);
}

TEST_CASE("F15 F16 text is checked") {
  CHECK(inflated{libdeflate, 3, 100, nullptr, true}.message(compress("\xF0\x9F\x98\x80\xE2\x82\xAC")).whole == "\xF0\x9F\x98\x80\xE2\x82\xAC");
  CHECK(inflated{libdeflate, 3, 100, nullptr, true}.message(compress("abc\xFFxyz")).log == "failed text_not_utf8\n");
  CHECK(inflated{libdeflate, 3, 100, nullptr, true}.message(compress("abc\xE2\x82")).log == "failed text_not_utf8\n");
}

TEST_CASE("D07 D10 it declines smaller windows and takeover") {
  const ws::deflate_engine& e = libdeflate_engine::engine;
  CHECK(e.compresses({.takeover = false}));
  CHECK(e.inflates({.takeover = false}));
  CHECK_FALSE((e.compresses({}) || e.inflates({})));
  CHECK_FALSE((e.compresses({.window_bits = 14, .takeover = false}) || e.inflates({.window_bits = 14, .takeover = false})));
  CHECK_FALSE(e.compresses({.takeover = false, .level = 10}));
  char text[200];
  const std::size_t n = ws::detail::write_deflate_offers(libdeflate, text, sizeof text);
  CHECK(std::string(text, n) == "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
  CHECK(ws::detail::accept_deflate_offer(libdeflate, "; server_max_window_bits=10") == 0);
  const std::uint32_t agreed = ws::detail::accept_deflate_offer(libdeflate, "; client_max_window_bits");
  REQUIRE(agreed != 0);
  CHECK(std::string(text, ws::detail::write_deflate_answer(agreed, text, sizeof text)) ==
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
  CHECK(ws::detail::confirm_deflate_answer(libdeflate, "; server_no_context_takeover; server_max_window_bits=9") == 0);
}

TEST_CASE("D17 sessions with either engine talk to each other, and all memory is the allocator's") {
  for (const bool server_has : {true, false}) {
    counting_memory memory;
    {
      const ws::deflate_options& ours = libdeflate;
      const ws::extension_hook hook = ws::permessage_deflate(ours), other = ws::permessage_deflate(zlib);
      ws::options server_options, client_options;
      server_options.extension = server_has ? &hook : &other;
      client_options.extension = server_has ? &other : &hook;
      test_entropy entropy;
      ws::masking_keys keys{&test_entropy::fill, &entropy};
      ws::session server{ws::role::server, server_options, nullptr, server_has ? &memory.hook : nullptr};
      ws::session client{ws::role::client, client_options, &keys, server_has ? nullptr : &memory.hook};
      std::vector<std::string> got;
      const auto run = [&] {
        while (server.buffered_amount() + client.buffered_amount() != 0)
          for (const auto& [from, to] : {std::pair{&client, &server}, {&server, &client}}) {
            std::string bytes;
            while (!from->output().empty()) {
              bytes += from->output();
              from->consume(from->output().size());
            }
            std::span<char> rest{bytes};
            while (const ws::event ev = to->next(rest)) {
              if (ev.type == ws::event_type::request) REQUIRE(to->accept() == ws::error::none);
              REQUIRE(ev.type != ws::event_type::failed);
              if (ev.type == ws::event_type::message) got.emplace_back(ev.payload);
            }
          }
      };
      REQUIRE(client.connect({.host = "a"}) == ws::error::none);
      run();
      REQUIRE((server.is_open() && client.is_open()));
      CHECK(ws::deflate_agreement::of(client.agreed().agreement).number() == ws::deflate_agreement::of(server.agreed().agreement).number());
      for (ws::session* s : {&server, &client})
        for (const std::string& m : {sample(100), sample(5000), noise_bytes(300), noise_bytes(100000), sample(200000), sample(3)}) {
          got.clear();
          REQUIRE(s->send(ws::opcode::binary, m) == ws::error::none);
          if (m.size() >= 5000 && m[0] == '{') CHECK((static_cast<unsigned char>(s->output()[0]) & 0x40U) != 0);
          run();
          CHECK((got.size() == 1 && got[0] == m));
          // In pieces: each ends with a block that has BFINAL.
          got.clear();
          REQUIRE(s->send(ws::opcode::binary, m, false) == ws::error::none);
          REQUIRE(s->send(ws::opcode::continuation, "", false) == ws::error::none);
          REQUIRE(s->send(ws::opcode::continuation, m, true) == ws::error::none);
          run();
          CHECK((got.size() == 1 && got[0] == m + m));
        }
      const std::size_t calls = memory.calls;
      for (int i = 0; i < 20; ++i)
        for (ws::session* s : {&server, &client}) {
          REQUIRE(s->send(ws::opcode::binary, sample(2000)) == ws::error::none);
          run();
        }
      CHECK(memory.calls == calls);
      CHECK(memory.live > 50000);
      server.release();
      client.release();
      CHECK(memory.live == 0);
    }
    CHECK(memory.live == 0);
    CHECK_FALSE(memory.wrong_size);
  }
}

TEST_CASE("D12 D17 an allocation that fails is an error, at every index") {
  const std::string block = deflate_bits{}.stored("abc", true).begin(false, 1).copy_3(3).end_block().message(), large = compress(sample(20000));
  for (std::size_t fail_at = 0;; ++fail_at) {
    counting_memory memory;
    memory.fail_at = fail_at;
    bool done = false;
    {
      inflated got{libdeflate, 64, 1 << 20, &memory.hook};
      got.message(large).message(block);
      ws::detail::deflate_state d;
      ws::detail::setup(d, libdeflate, &memory.hook, no_takeover.number(), true);
      bool good = ws::detail::begin_compressing(d);
      if (good) {
        char room[100];
        ws::output out{room};
        std::string noise = noise_bytes(5000);
        std::string_view in = noise;
        good = ws::detail::compress_piece(d, in, true, out, 0) == ws::deflate_status::output_full;
      }
      ws::detail::close_all(d);
      done = memory.calls <= fail_at;
      if (done) CHECK((good && got.whole == "abcabc"));
      if (!done) CHECK((!good || got.log.ends_with("failed out_of_memory\n")));
    }
    CHECK(memory.live == 0);
    if (done) break;
  }
}
