// The engine over zlib and messages through it (RFC 7692 7.2): rules D01-D05, D07, D10, D12, D13, D17.
#include "wscodec/zlib.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "catch.hpp"
#include "support/deflate.hpp"
#include "support/wire.hpp"
#include "wscodec/inflating_reader.hpp"

using namespace wire;

namespace {

constexpr ws::deflate_options plain{.engine = &ws::zlib_engine};

struct reading {
  ws::deflate_agreement agreed = {};
  std::uint64_t max_message = 16 * 1024 * 1024;
  bool text = false;
  std::size_t room = 4096;   // of the memory that is inflated into
  std::size_t pieces = 0;    // the size of the compressed pieces; 0: whole messages
};

/// Inflates messages one after the other; the log has a line for each and for a failure.
class inflated {
 public:
  explicit inflated(const reading& how = {}, const ws::deflate_options& opt = plain, const ws::allocator* memory = nullptr)
      : how_(how), reader_(opt, how.agreed.number(), true, how.max_message, memory), room_(how.room) {}

  inflated& message(std::string_view bytes) {
    const std::size_t step = how_.pieces != 0 ? how_.pieces : bytes.size() + 1;
    for (std::size_t at = 0; at + step < bytes.size(); at += step) piece(bytes.substr(at, step), false);
    return piece(bytes.substr(bytes.empty() ? 0 : (bytes.size() - 1) / step * step), true);
  }
  inflated& piece(std::string_view bytes, bool ends) {
    reader_.feed(how_.text, bytes, ends);
    while (const ws::inflated_piece p = reader_.next(room_)) {
      if (p.type == ws::inflated_piece::kind::failed) {
        log += "failed " + name(p.why) + "\n";
        if (p.first || p.last || !p.payload.empty()) log += "BAD: failed with a piece\n";
        break;
      }
      if (p.payload.size() > 16384) log += "BAD: more than a block\n";
      if (p.first != begins_) log += "BAD: first\n";
      begins_ = p.last;
      message_ += p.payload;
      size += p.payload.size();
      if (!p.last) continue;
      log += show(message_) + "\n";
      last = std::exchange(message_, {});
    }
    return *this;
  }
  void release() { reader_.release(); }

  std::string log, last;
  std::size_t size = 0;

 private:
  reading how_;
  ws::inflating_reader reader_;
  std::vector<char> room_;
  std::string message_;
  bool begins_ = true;
};

std::string inflate(std::string_view bytes, const reading& how = {}) { return inflated{how}.message(bytes).log; }

/// Compresses messages one after the other.
class compressed {
 public:
  explicit compressed(const ws::deflate_agreement& agreed = {}) : compressed(agreed, plain) {}
  compressed(const ws::deflate_agreement&, const ws::deflate_options&&, std::size_t = 0) = delete;
  compressed(const ws::deflate_agreement& agreed, const ws::deflate_options& opt, std::size_t grow = 4096)
      : grow_(grow) {
    ws::detail::setup(d_, opt, nullptr, agreed.number(), true);
  }
  compressed(const compressed&) = delete;
  compressed& operator=(const compressed&) = delete;
  ~compressed() { ws::detail::close_all(d_); }

  std::string message(std::string_view text) {
    REQUIRE(ws::detail::begin_compressing(d_));
    std::string out = piece(text, true);
    ws::detail::end_compressing(d_);
    return out;
  }
  std::string piece(std::string_view text, bool last) {
    std::string memory;
    for (std::size_t used = 0;;) {
      memory.resize(memory.size() + grow_);
      ws::output out{memory};
      (void)out.claim(used);
      const ws::deflate_status status = ws::detail::compress_piece(d_, text, last, out, 0);
      used = out.size();
      if (status == ws::deflate_status::done) return memory.substr(0, used);
      REQUIRE(status == ws::deflate_status::output_full);
    }
  }
  ws::detail::deflate_state d_;

 private:
  std::size_t grow_;
};

const std::string corrupt = "failed deflate_data_corrupt\n";
const std::string hello = "\"Hello\"\n";

/// A message that compresses well and one that does not, with text of three scripts.
std::string sample(std::size_t n) {
  std::string out;
  for (unsigned i = 0; out.size() < n; ++i)
    out += "{\"id\":" + std::to_string(i * 7919 % 1000) + ",\"name\":\"\xC3\xA9t\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\",\"ok\":true},";
  return out.substr(0, n);
}

}  // namespace

// ---- the RFC's examples

struct rfc_example {
  const char* section;
  std::string_view bytes;
  const char* log;
};
constexpr rfc_example rfc_examples[] = {
    {"7.2.3.1", "\xf2\x48\xcd\xc9\xc9\x07\x00"sv, "\"Hello\"\n"},
    {"7.2.3.3", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"sv, "\"Hello\"\n"},
    {"7.2.3.4", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"sv, "\"Hello\"\n"},
    {"7.2.3.5", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"sv, "\"Hello\"\n"},
    {"7.2.3.6", "\x00"sv, "\"\"\n"},
    {"7.2.3.6, compressed", "\x02\x00"sv, "\"\"\n"},
};

TEST_CASE("D01 D02 D03 D04 D05 the examples of RFC 7692 7.2.3 inflate at every split, to every size of output", "[deflate][D01][D02][D03][D04][D05]") {
  for (const rfc_example& e : rfc_examples) {
    INFO(e.section);
    for (std::size_t room = 1; room <= 64; ++room)
      for (std::size_t i = 0; i <= e.bytes.size(); ++i)
        for (std::size_t k = i; k <= e.bytes.size(); ++k) {
          inflated got{{.text = true, .room = room}};
          got.piece(e.bytes.substr(0, i), false).piece(e.bytes.substr(i, k - i), false).piece(e.bytes.substr(k), true);
          // And again: each leaves the inflater at the beginning of a block.
          got.piece(e.bytes.substr(0, k), false).piece(e.bytes.substr(k), true);
          if (got.log != std::string{e.log} + e.log) FAIL(e.section << " room " << room << " cut " << i << " " << k << ": " << got.log);
        }
  }
}

TEST_CASE("D01 D07 we compress as the examples do, and share the window", "[deflate][D01][D07]") {
  compressed c;
  CHECK(to_hex(c.message("Hello")) == "f2 48 cd c9 c9 07 00");
  CHECK(to_hex(c.message("Hello")) == "f2 00 11 00 00");
  compressed forgetful{{.server_no_context_takeover = true}};
  CHECK(to_hex(forgetful.message("Hello")) == "f2 48 cd c9 c9 07 00");
  CHECK(to_hex(forgetful.message("Hello")) == "f2 48 cd c9 c9 07 00");
  CHECK(inflated{}.message(hex("f2 48 cd c9 c9 07 00")).message(hex("f2 00 11 00 00")).log == hello + hello);
}

TEST_CASE("D03 an empty message is one byte 00, fresh, later, and at the end of pieces", "[deflate][D03]") {
  compressed c;
  CHECK(to_hex(c.message("")) == "00");
  CHECK(to_hex(c.message("Hello")) == "f2 48 cd c9 c9 07 00");
  CHECK(to_hex(c.message("")) == "00");
  REQUIRE(ws::detail::begin_compressing(c.d_));
  const std::string first = c.piece("Hello", false);
  CHECK(to_hex(first) == "f2 00 11 00 00 00 00 ff ff");
  CHECK(to_hex(c.piece("", true)) == "00");
  CHECK(inflated{}.message("\0"sv).message(hex("f2 48 cd c9 c9 07 00")).message(first + '\0').log == "\"\"\n" + hello + hello);
}

TEST_CASE("D03 a compressed message without any payload fails", "[deflate][D03]") {
  CHECK(inflate("") == corrupt);
  CHECK(inflated{}.piece("", false).piece("", false).piece("", true).log == corrupt);
  CHECK(inflated{}.message("\0"sv).piece("", true).log == "\"\"\n" + corrupt);
  // Also behind a message that ended with a final block, after which no tail is fed.
  CHECK(inflated{}.message("\x01"sv).piece("", true).log == "\"\"\n" + corrupt);
}

TEST_CASE("D05 what we compress inflates, for all windows, levels, takeovers and sizes of output", "[deflate][D05][D07][D10]") {
  const std::string messages[] = {sample(1), sample(63), "", noise_bytes(300), sample(5000), noise_bytes(70000), sample(70000), std::string(100000, 'x'), noise_bytes(300)};
  for (std::uint8_t bits = 8; bits <= 15; ++bits)
    for (const bool forgets : {false, true})
      for (const std::int8_t level : {std::int8_t{0}, std::int8_t{1}, std::int8_t{6}, std::int8_t{9}})
        for (const std::size_t room : {std::size_t{7}, std::size_t{1000}, std::size_t{100000}}) {
          if (room == 7 && level != 6) continue;
          const ws::deflate_agreement agreed{.server_no_context_takeover = forgets, .server_max_window_bits = bits};
          const ws::deflate_options opt{.engine = &ws::zlib_engine, .level = level, .memory_level = static_cast<std::uint8_t>(level == 9 ? 9 : 1)};
          compressed c{agreed, opt, room};
          inflated got{{.agreed = agreed, .room = room, .pieces = 1000}};
          for (const std::string& m : messages) {
            got.message(c.message(m));
            if (got.last != m) FAIL("window " << int{bits} << " level " << int{level} << " room " << room << " size " << m.size());
          }
        }
}

TEST_CASE("D01 a message compressed in pieces is one message", "[deflate][D01]") {
  compressed c;
  for (const std::size_t step : {1U, 3U, 100U, 1000U}) {
    const std::string text = sample(1500);
    REQUIRE(ws::detail::begin_compressing(c.d_));
    std::string bytes;
    for (std::size_t at = 0; at < text.size(); at += step) bytes += c.piece(std::string_view{text}.substr(at, step), at + step >= text.size());
    inflated got{{.agreed = {.server_no_context_takeover = step == 1}, .pieces = 11}};
    if (step != 1) continue;  // later messages refer to the first
    CHECK(got.message(bytes).last == text);
  }
}

// ---- BFINAL

TEST_CASE("D04 five final blocks in one message, and data after them", "[deflate][D04]") {
  std::string bytes = deflate_bits{}.begin(true, 1).literals("one ").end_block().bytes();
  bytes += deflate_bits{}.stored("two ", true).bytes();
  // The window is kept: this copies from the first block.
  bytes += deflate_bits{}.begin(true, 1).literals("three ").copy_3(14).end_block().bytes();
  bytes += deflate_bits{}.begin(true, 1).end_block().bytes();
  bytes += deflate_bits{}.begin(true, 1).literals("five ").end_block().bytes();
  const std::string ends_there = bytes;
  bytes += deflate_bits{}.begin(false, 1).literals("six ").copy_3(26).end_block().message();
  const std::string next = deflate_bits{}.begin(false, 1).literals("[").copy_3(4).end_block().message();
  for (const std::size_t room : {1U, 2U, 5U, 64U})
    for (std::size_t pieces = 0; pieces < 12; ++pieces) {
      CHECK(inflated{{.room = room, .pieces = pieces}}.message(bytes).message(next).log == "\"one two three onefive six one\"\n\"[one\"\n");
      CHECK(inflated{{.room = room, .pieces = pieces}}.message(ends_there).message(next).log == "\"one two three onefive \"\n\"[ve \"\n");
    }
}

TEST_CASE("D04 a final block that refers back over 32,768 bytes and a message boundary", "[deflate][D04]") {
  const std::string block = noise_bytes(32768);
  inflated got{{.room = 1000, .pieces = 999}};
  got.message(deflate_bits{}.stored(block, true).bytes());
  CHECK(got.last == block);
  got.message(deflate_bits{}.begin(true, 1).copy_3(32768).end_block().bytes());
  CHECK(got.last == block.substr(0, 3));
  got.message(deflate_bits{}.begin(true, 1).copy_3(32768).end_block().bytes());
  CHECK(got.last == block.substr(3, 3));
}

TEST_CASE("D04 behind a final block there must be a block", "[deflate][D04]") {
  const std::string final_block = deflate_bits{}.begin(true, 1).literals("one").end_block().bytes();
  CHECK(inflate(final_block) == "\"one\"\n");
  CHECK(inflate(final_block + '\0') == "\"one\"\n");
  CHECK(inflate(final_block + "\x07") == corrupt);                // block type 3
  CHECK(inflate(final_block + hex("00 05 00 05 00")) == corrupt);  // a stored block's length and its complement
  CHECK(inflate(final_block + "Hello") == corrupt);
  // An empty final block whose last bytes are the tail itself.
  CHECK(inflate("\x01"sv) == "\"\"\n");
}

// ---- limits

TEST_CASE("D13 F18 the inflated size is limited, to the byte, at the edges of blocks too", "[deflate][D13][F18]") {
  for (const std::size_t limit : {0U, 1U, 5U, 100U, 16383U, 16384U, 16385U, 32768U, 50000U})
    for (const std::size_t room : {1U, 64U, 4096U, 100000U}) {
      if (room == 1 && limit > 16385) continue;
      for (const bool noisy : {false, true})
        for (int more = -1; more <= 1; ++more) {
          if (limit == 0 && more < 0) continue;
          const std::size_t size = limit + static_cast<std::size_t>(more);
          compressed c;
          const std::string bytes = c.message(noisy ? noise_bytes(size) : std::string(size, 'a'));
          inflated got{{.max_message = limit, .room = room}};
          got.message(bytes);
          INFO("limit " << limit << " size " << size << " room " << room);
          if (more <= 0) CHECK(got.last.size() == size);
          if (more == 1) CHECK(got.log == "failed message_too_big\n");
          CHECK(got.size <= limit);
        }
    }
}

TEST_CASE("D13 a bomb is stopped at the limit and nothing is inflated afterwards", "[deflate][D13]") {
  compressed c;
  const std::string bomb = c.message(std::string(std::size_t{16} << 20, '\0'));
  CHECK(bomb.size() < 17000);
  counting_memory memory;
  {
    inflated got{{.max_message = 1 << 20, .room = 1 << 16}, plain, &memory.hook};
    got.message(bomb);
    CHECK(got.log == "failed message_too_big\n");
    CHECK(got.size == 1 << 20);
    got.message(bomb).message("\0"sv);
    CHECK(got.log == "failed message_too_big\n");
  }
  CHECK(memory.peak < 50000);
  CHECK(memory.live == 0);
}

// ---- text

TEST_CASE("F15 F16 text is checked over inflated blocks, wherever they cut a code point", "[deflate][F15][F16]") {
  const std::string text = "\xF0\x9F\x98\x80\xE2\x82\xAC\xC3\xA9|\xF0\x9F\x98\x80";
  compressed c{{.server_no_context_takeover = true}};
  const std::string bytes = c.message(text);
  for (std::size_t room = 1; room <= 64; ++room)
    for (std::size_t pieces = 1; pieces <= bytes.size(); ++pieces)
      CHECK(inflated{{.text = true, .room = room, .pieces = pieces}}.message(bytes).last == text);
  for (const std::string_view bad : {"abc\xFFxyz"sv, "\xED\xA0\x80"sv, "\xC0\x80"sv, "abc\xE2\x82"sv, "\xE2\x82|"sv})
    for (std::size_t room = 1; room <= 8; ++room) {
      const std::string packed = c.message(bad);
      CHECK(inflate(packed, {.text = true, .room = room}) == "failed text_not_utf8\n");
      CHECK(inflate(packed, {.text = false, .room = room}) == show(bad) + "\n");
    }
}

// ---- corrupt data

TEST_CASE("D12 broken Huffman tables fail, at every split", "[deflate][D12]") {
  // A dynamic block's head: HLIT, HDIST, HCLEN and the code lengths of code lengths in the order 16 17 18 0 8 7 9 6 ...
  const auto dynamic = [](unsigned hlit, unsigned hdist, std::initializer_list<unsigned> lengths) {
    deflate_bits b;
    b.begin(false, 2).put(hlit, 5).put(hdist, 5).put(static_cast<unsigned>(lengths.size()) - 4, 4);
    for (const unsigned n : lengths) b.put(n, 3);
    return b;
  };
  std::vector<std::pair<const char*, std::string>> broken;
  broken.emplace_back("code lengths over-subscribed", dynamic(0, 0, {1, 1, 1, 0}).put(0, 32).bytes());
  broken.emplace_back("code lengths incomplete", dynamic(0, 0, {0, 0, 0, 2}).put(0, 32).bytes());
  broken.emplace_back("no code lengths at all", dynamic(0, 0, {0, 0, 0, 0}).put(0, 32).bytes());
  broken.emplace_back("287 literal codes", dynamic(30, 0, {1, 1, 0, 0}).put(0, 32).bytes());
  broken.emplace_back("31 distance codes", dynamic(0, 30, {1, 1, 0, 0}).put(0, 32).bytes());
  broken.emplace_back("a repeat before any length", dynamic(0, 0, {1, 0, 0, 1}).code(1, 1).put(0, 2).put(0, 32).bytes());
  // Codes 0 (length 0) and 18 (run of zeros): all lengths zero, so there is no end-of-block code.
  broken.emplace_back("no end of block", dynamic(0, 0, {0, 0, 1, 1}).code(1, 1).put(127, 7).code(1, 1).put(108, 7).put(0, 32).bytes());
  // Lengths by 8 (of 1 bit) and 18: 256 literals of length 8 and an end of block of length 8 are too many.
  {
    deflate_bits b = dynamic(0, 0, {0, 0, 1, 0, 1});
    for (int i = 0; i < 258; ++i) b.code(0, 1);
    broken.emplace_back("literals over-subscribed", b.put(0, 32).bytes());
  }
  {
    deflate_bits b = dynamic(0, 0, {0, 0, 1, 0, 1});
    for (int i = 0; i < 10; ++i) b.code(0, 1);  // ten codes of 8 bits
    b.code(1, 1).put(127, 7).code(1, 1).put(246 - 138 - 11, 7);  // and zeros up to the end of block
    for (int i = 0; i < 2; ++i) b.code(0, 1);
    broken.emplace_back("literals incomplete", b.put(0, 32).bytes());
  }
  // Lengths by 1 (of 1 bit) and 18: end of block and two or three distances of length 1, or one of length 1 and one of 2.
  const auto with_distances = [&](unsigned hdist, std::initializer_list<unsigned> lengths) {
    deflate_bits b = dynamic(0, hdist, {0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1});  // 1: 0, 2: 10, 18: 11
    b.code(3, 2).put(127, 7).code(3, 2).put(256 - 138 - 11, 7).code(0, 1);
    for (const unsigned n : lengths) b.code(n == 1 ? 0 : 2, n);
    return b.put(0, 1);  // end of block
  };
  broken.emplace_back("distances over-subscribed", with_distances(2, {1, 1, 1}).put(0, 32).bytes());
  broken.emplace_back("distances incomplete", with_distances(1, {1, 2}).put(0, 32).bytes());
  CHECK(inflate(with_distances(1, {1, 1}).message()) == "\"\"\n");
  broken.emplace_back("block type 3", deflate_bits{}.begin(false, 3).put(0, 32).bytes());
  broken.emplace_back("length code 286", deflate_bits{}.begin(false, 1).literals("abc").symbol(286).put(0, 32).bytes());
  broken.emplace_back("length code 287", deflate_bits{}.begin(false, 1).literals("abc").symbol(287).put(0, 32).bytes());
  broken.emplace_back("distance code 30", deflate_bits{}.begin(false, 1).literals("abc").symbol(257).code(30, 5).put(0, 32).bytes());
  broken.emplace_back("distance code 31", deflate_bits{}.begin(false, 1).literals("abc").symbol(257).code(31, 5).put(0, 32).bytes());
  broken.emplace_back("distance before the beginning", deflate_bits{}.begin(false, 1).literals("abc").copy_3(4).end_block().message());
  broken.emplace_back("distance 32,768 into nothing", deflate_bits{}.begin(false, 1).literals("abc").copy_3(32768).end_block().message());
  broken.emplace_back("stored lengths disagree", deflate_bits{}.begin(false, 0).align().put(5, 16).put(0xFFFB, 16).put(0, 32).bytes());
  for (const auto& [what, bytes] : broken) {
    INFO(what);
    for (std::size_t pieces = 0; pieces <= bytes.size(); ++pieces)
      for (const std::size_t room : {1U, 2U, 64U}) CHECK(inflate(bytes, {.room = room, .pieces = pieces}) == corrupt);
  }
}

TEST_CASE("D01 the tail is fed once, also where it is data and the output is full in its middle", "[deflate][D01]") {
  for (std::size_t room = 1; room <= 8; ++room)
    CHECK(inflate(hex("00 05 00 fa ff 48"), {.room = room}) == "\"H\\x00\\x00\\xff\\xff\"\n");
}

TEST_CASE("D12 a message that ends inside a block fails", "[deflate][D12]") {
  for (const std::string_view whole : {"\xf2\x48\xcd\xc9\xc9\x07\x00"sv, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"sv})
    for (std::size_t n = 1; n < whole.size(); ++n) {
      // Cut here the message and its tail happen to be whole blocks.
      if (whole[0] == 0 && (n == 1 || n == 6)) continue;
      INFO(to_hex(whole.substr(0, n)));
      CHECK(inflate(whole.substr(0, n)) == corrupt);
    }
  CHECK(inflate("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"sv) == corrupt);  // the tail was left on: 00 00 ff ff begins a block
}

TEST_CASE("D12 a message whose last block ends inside the tail, with the beginning of another behind it, fails", "[deflate][D12]") {
  // Literals 0 to 30 have 5 bits, 31 to 35 have 6 to 10, and the end of block is 1111111111. Lengths by 0, 5 to 10 and 18.
  deflate_bits b;
  b.begin(false, 2).put(0, 5).put(0, 5).put(6, 4);
  for (const unsigned n : {0U, 0U, 3U, 3U, 3U, 3U, 3U, 3U, 3U, 3U}) b.put(n, 3);
  for (int i = 0; i < 31; ++i) b.code(1, 3);
  for (const unsigned n : {2U, 3U, 4U, 5U, 6U}) b.code(n, 3);
  b.code(7, 3).put(127, 7).code(7, 3).put(220 - 138 - 11, 7).code(6, 3).code(0, 3);
  for (int i = 0; i < 7; ++i) b.code(3, 5);  // up to a byte's end
  // The tail reads as 00000 00000 00000 01111 1111111111, and then two bits of a block's head.
  CHECK(inflate(b.bytes()) == corrupt);
  CHECK(inflate(b.bytes() + hex("00 00 ff 3f 00 00 00 ff ff 00")) == show(std::string(7, '\3') + std::string{"\0\0\0\17"sv}) + "\n");
}

TEST_CASE("D07 D12 a peer that keeps its context though none was agreed fails", "[deflate][D07][D12]") {
  compressed keeps;
  const std::string one = keeps.message("Hello Hello Hello"), two = keeps.message("Hello Hello Hello");
  CHECK(inflated{}.message(one).message(two).log == "\"Hello Hello Hello\"\n\"Hello Hello Hello\"\n");
  CHECK(inflated{{.agreed = {.server_no_context_takeover = true}}}.message(one).message(two).log == "\"Hello Hello Hello\"\n" + corrupt);
  CHECK(inflated{{.agreed = {.client_no_context_takeover = true}}}.message(one).message(two).log == "\"Hello Hello Hello\"\n\"Hello Hello Hello\"\n");
}

TEST_CASE("D12 a distance over the window is refused where zlib refuses it: one output byte a call", "[deflate][D12][D10]") {
  const std::string block = noise_bytes(600);
  const auto far = [&](unsigned distance) { return deflate_bits{}.stored(block).begin(false, 1).copy_3(distance).end_block().message(); };
  for (const auto& [bits, window] : {std::pair<std::uint8_t, unsigned>{8, 256}, {9, 512}}) {
    const reading how{.agreed = {.server_max_window_bits = bits}, .room = 1};
    CHECK(inflated{how}.message(far(window)).last == block + block.substr(600 - window, 3));
    CHECK(inflate(far(window + 1), how) == corrupt);
  }
}

TEST_CASE("D07 the second message refers 32,768 bytes back", "[deflate][D07]") {
  const std::string block = noise_bytes(32768);
  for (const std::size_t room : {1U, 64U, 100000U}) {
    inflated got{{.room = room, .pieces = 1001}};
    got.message(deflate_bits{}.stored(block).message());
    got.message(deflate_bits{}.begin(false, 1).copy_3(32768).end_block().message());
    CHECK(got.last == block.substr(0, 3));
  }
}

TEST_CASE("D05 a stored block of 65,535 bytes in pieces of one byte", "[deflate][D05]") {
  const std::string block = noise_bytes(65535);
  const std::string bytes = deflate_bits{}.stored(block).message();
  CHECK(inflated{{.pieces = 1}}.message(bytes).last == block);
  CHECK(inflated{{.room = 1, .pieces = 1}}.message(bytes).last == block);
}

// ---- the window of 8 bits

TEST_CASE("D10 the linked zlib compresses with a window of 9 bits so that 8 are enough, at every level", "[deflate][D10]") {
  for (std::int8_t level = 0; level <= 9; ++level) {
    INFO("level " << int{level});
    CHECK(ws::zlib_engine.compresses({.window_bits = 8, .level = level}));
    // Much data, inflated with one output byte a call: then zlib refuses what is over the window.
    const ws::deflate_agreement agreed{.server_max_window_bits = 8};
    const ws::deflate_options opt{.engine = &ws::zlib_engine, .level = level};
    compressed c{agreed, opt};
    inflated got{{.agreed = agreed, .room = 1}};
    for (unsigned round = 0; round < 40; ++round) {
      std::string text = noise_bytes(251 + round % 14, round + 1);
      for (unsigned i = 0; i < 30; ++i) text += text.substr(text.size() - 235 - (i * 7 + round) % 17, 40 + i) + noise_bytes(i % 5, i);
      got.message(c.message(text));
      REQUIRE(got.last == text);
    }
  }
}

TEST_CASE("D10 a compressor that reaches back over 256 bytes would be found out", "[deflate][D10]") {
  for (int level = 1; level <= 9; ++level) {
    CHECK(ws::detail::zlib_window_fits_8(level, 9));
    CHECK_FALSE(ws::detail::zlib_window_fits_8(level, 10));
  }
  CHECK(ws::detail::zlib_window_fits_8(0, 10));  // which copies nothing
}

TEST_CASE("D10 what zlib cannot do is declined", "[deflate][D10]") {
  CHECK_FALSE(ws::zlib_engine.compresses({.window_bits = 7}));
  CHECK_FALSE(ws::zlib_engine.compresses({.window_bits = 16}));
  CHECK_FALSE(ws::zlib_engine.compresses({.level = -1}));
  CHECK_FALSE(ws::zlib_engine.compresses({.level = 10}));
  CHECK_FALSE(ws::zlib_engine.compresses({.memory_level = 0}));
  CHECK_FALSE(ws::zlib_engine.compresses({.memory_level = 10}));
  CHECK_FALSE(ws::zlib_engine.inflates({.window_bits = 7}));
  CHECK_FALSE(ws::zlib_engine.inflates({.window_bits = 16}));
  for (std::uint8_t bits = 8; bits <= 15; ++bits) {
    CHECK(ws::zlib_engine.inflates({.window_bits = bits}));
    for (const std::int8_t level : std::initializer_list<std::int8_t>{0, 1, 9})
      for (const std::uint8_t memory_level : std::initializer_list<std::uint8_t>{1, 9})
        CHECK(ws::zlib_engine.compresses({.window_bits = bits, .level = level, .memory_level = memory_level}));
  }
}

TEST_CASE("D10 the self-test would see a zlib whose output reaches back too far, is cut, or says something else", "[deflate][D10]") {
  const auto arena = std::make_unique<ws::detail::zlib_arena>();
  const auto fits = [&](std::string_view packed, std::string_view text) { return ws::detail::zlib_inflates_with_8(*arena, packed, text); };
  const std::string text = noise_bytes(256);
  const std::string good = deflate_bits{}.stored(text).begin(true, 1).copy_3(256).end_block().bytes();
  CHECK(fits(good, text + text.substr(0, 3)));
  CHECK_FALSE(fits(deflate_bits{}.stored(text).stored("x").begin(true, 1).copy_3(257).end_block().bytes(), text + "x" + text.substr(0, 3)));
  for (const std::size_t cut : {std::size_t{0}, std::size_t{5}, std::size_t{100}}) CHECK_FALSE(fits(std::string_view{good}.substr(0, cut), text));
  const std::string zero(1, '\0'), stored = deflate_bits{}.stored(zero).bytes();
  CHECK_FALSE(fits(std::string_view{stored}.substr(0, 5), zero));  // all but the byte itself
  CHECK_FALSE(fits(good, text + "???"));
  CHECK_FALSE(fits("\xFF", "x"));
  // Where zlib cannot be had at all it does not fit either.
  CHECK_FALSE(ws::detail::zlib_window_fits_8(10, 9));
  arena->used = 0;
  for (const unsigned size : {1U, 16U, 17U}) (void)ws::detail::zlib_arena_allocate(arena.get(), size, 1);
  CHECK(arena->used == 16 + 16 + 32);
  arena->used = sizeof arena->bytes - 15;
  CHECK(ws::detail::zlib_arena_allocate(arena.get(), 1, 1) == nullptr);
}

TEST_CASE("zlib is given at most 1 GiB at a time, and what it refuses is an error", "[deflate][memory]") {
  CHECK(ws::detail::zlib_size(5) == 5);
  CHECK(ws::detail::zlib_size((std::size_t{1} << 30) - 1) == (1U << 30) - 1);
  CHECK(ws::detail::zlib_size(~std::size_t{0}) == 1U << 30);
  void* const aligned = ws::detail::zlib_allocate(nullptr, 10, 10);
  CHECK(reinterpret_cast<std::uintptr_t>(aligned) % alignof(void*) == 0);
  ws::detail::zlib_free(nullptr, aligned);
  void* const compressor = ws::zlib_engine.open_compressor(nullptr, {});
  REQUIRE(compressor != nullptr);
  (void)deflateEnd(&static_cast<ws::detail::zlib_stream*>(compressor)->z);
  char memory[64];
  ws::output out{memory};
  std::string_view in = "Hello";
  CHECK(ws::zlib_engine.compress(compressor, in, out) == ws::deflate_status::out_of_memory);
  ws::zlib_engine.close_compressor(compressor);
}

// ---- memory

TEST_CASE("D17 a reader that was fed nothing gives nothing, from no memory", "[deflate][D17]") {
  counting_memory memory;
  ws::inflating_reader reader{plain, ws::deflate_agreement{}.number(), true, 100, &memory.hook};
  char room[16];
  for (int i = 0; i < 3; ++i) {
    const ws::inflated_piece none = reader.next(room);
    CHECK((!none && !none.first && !none.last && none.why == ws::error::none && none.payload.empty()));
  }
  CHECK(memory.calls == 0);
}

TEST_CASE("D17 nothing is allocated before the first compressed message, and release gives it back", "[deflate][D17]") {
  counting_memory memory;
  {
    inflated got{{}, plain, &memory.hook};
    CHECK(memory.calls == 0);
    got.message(hex("f2 48 cd c9 c9 07 00"));
    CHECK(memory.live > 7000);
    got.release();
    CHECK(memory.live == 5);  // the window
    got.message(hex("f2 00 11 00 00"));
    CHECK(got.log == hello + hello);
    // In the middle of a message nothing is given back.
    got.piece(hex("f2"), false);
    const std::size_t live = memory.live;
    got.release();
    CHECK(memory.live == live);
    got.piece(hex("00 11 00 00"), true);
    CHECK(got.log == hello + hello + hello);
  }
  CHECK(memory.live == 0);
  {
    inflated got{{.agreed = {.server_no_context_takeover = true}}, plain, &memory.hook};
    got.message(hex("f2 48 cd c9 c9 07 00"));
    got.release();
    CHECK(memory.live == 0);
    CHECK(got.message(hex("f2 48 cd c9 c9 07 00")).log == hello + hello);
  }
  CHECK_FALSE(memory.wrong_size);
}

TEST_CASE("D17 D03 an inflater that has inflated nothing leaves no window", "[deflate][D17][D03]") {
  counting_memory memory;
  inflated got{{}, plain, &memory.hook};
  got.message(hex("00"));
  CHECK(memory.live > 7000);
  const std::size_t calls = memory.calls;
  got.release();
  CHECK(memory.live == 0);
  CHECK(memory.calls == calls);
  CHECK(got.message(hex("f2 48 cd c9 c9 07 00")).log == "\"\"\n" + hello);
}

TEST_CASE("D17 a window of one byte stays, and where there is no memory to take it up again the message fails", "[deflate][D17][memory]") {
  std::size_t failed = 0;
  for (bool went_well = false; !went_well; ++failed) {
    counting_memory memory;
    inflated got{{}, plain, &memory.hook};
    got.message(deflate_bits{}.stored("x").message());
    got.release();
    CHECK(memory.live == 1);
    memory.fail_at = memory.calls + failed;
    got.message(deflate_bits{}.begin(false, 1).copy_3(1).end_block().message());
    went_well = got.log == "\"x\"\n\"xxx\"\n";
    if (!went_well) CHECK(got.log == "\"x\"\nfailed out_of_memory\n");
  }
  CHECK(failed >= 3);  // for the stream, its state and its window
}

TEST_CASE("a reader that is given no memory says nothing, and goes on when it is", "[deflate]") {
  ws::inflating_reader reader{plain, ws::deflate_agreement{}.number(), true, 100};
  const std::string packed = hex("f2 48 cd c9 c9 07 00");
  reader.feed(true, packed, true);
  CHECK_FALSE(reader.next({}));
  char memory[16];
  const ws::inflated_piece piece = reader.next(memory);
  CHECK((piece.first && piece.last && piece.payload == "Hello"));
}

TEST_CASE("D17 a window of 32,768 bytes survives being given back", "[deflate][D17]") {
  const std::string block = noise_bytes(40000);
  for (const std::size_t n : {std::size_t{1}, std::size_t{1000}, std::size_t{32768}, std::size_t{40000}}) {
    inflated got;
    got.message(deflate_bits{}.stored(block.substr(0, n)).message());
    got.release();
    got.release();
    const auto back = static_cast<unsigned>(n < 32768 ? n : 32768);
    got.message(deflate_bits{}.begin(false, 1).copy_3(back).end_block().message());
    CHECK(got.last == (n == 1 ? std::string(3, block[0]) : block.substr(n - back, 3)));
  }
}

namespace {

/// An engine whose compressors and inflaters are places in an array, and what was done to them.
struct counted {
  static inline char places[64];
  static inline int opened, reset, closed;

  static void* open(const ws::allocator*, const ws::deflate_parameters&) { return &places[opened++]; }
  static void forget(void*) { ++reset; }
  static void close(void*) { ++closed; }
};
constexpr ws::deflate_engine counting_engine{.open_compressor = counted::open,
                                             .reset_compressor = counted::forget,
                                             .close_compressor = counted::close,
                                             .open_inflater = counted::open,
                                             .reset_inflater = counted::forget,
                                             .close_inflater = counted::close};

}  // namespace

TEST_CASE("D17 a pool keeps four idle ones of each kind and gives out what fits, reset", "[deflate][D17]") {
  const ws::deflate_parameters p{.window_bits = 12, .takeover = false, .level = 5, .memory_level = 7};
  for (const bool compressors : {true, false}) {
    counted::opened = counted::reset = counted::closed = 0;
    {
      ws::deflate_pool pool{counting_engine};
      const auto borrow = [&](const ws::deflate_parameters& q) { return compressors ? pool.borrow_compressor(q) : pool.borrow_inflater(q); };
      const auto give_back = [&](void* codec) { compressors ? pool.give_back_compressor(codec, p) : pool.give_back_inflater(codec, p); };
      std::vector<void*> all;
      for (int i = 0; i < 5; ++i) all.push_back(borrow(p));
      CHECK((counted::opened == 5 && counted::reset == 0));
      for (void* codec : all) give_back(codec);
      CHECK(counted::closed == 1);  // the fifth
      for (ws::deflate_parameters other : {ws::deflate_parameters{11, false, 5, 7}, {12, false, 4, 7}, {12, false, 5, 8}}) {
        const int before = counted::opened;
        CHECK(borrow(other) == &counted::places[before]);
      }
      std::vector<void*> again;
      for (int i = 0; i < 4; ++i) again.push_back(borrow(p));
      CHECK((counted::opened == 8 && counted::reset == 4));
      std::sort(again.begin(), again.end());
      CHECK(again == std::vector<void*>(all.begin(), all.begin() + 4));
      CHECK(borrow(p) == &counted::places[8]);
      give_back(again[0]);
      give_back(again[1]);
      pool.release();
      CHECK(counted::closed == 3);
      pool.release();
      CHECK(counted::closed == 3);
      give_back(again[2]);
    }
    CHECK(counted::closed == 4);
  }
}

TEST_CASE("D17 directions without takeover share a pool", "[deflate][D17]") {
  counting_memory memory;
  {
    ws::deflate_pool pool{ws::zlib_engine, &memory.hook};
    const ws::deflate_options opt{.engine = &ws::zlib_engine, .pool = &pool};
    const ws::deflate_agreement agreed{.server_no_context_takeover = true};
    compressed a{agreed, opt}, b{agreed, opt};
    const std::string packed = a.message("Hello");
    const std::size_t one = memory.live;
    CHECK(b.message("Hello") == packed);
    CHECK(memory.live == one);
    inflated x{{.agreed = agreed}, opt}, y{{.agreed = agreed}, opt};
    x.message(packed);
    y.message(packed);
    const std::size_t two = memory.live;
    // Two at the same time need two.
    x.piece(packed.substr(0, 3), false);
    y.piece(packed.substr(0, 4), false);
    CHECK(memory.live > two);
    y.piece(packed.substr(4), true);
    x.piece(packed.substr(3), true);
    CHECK(x.log == hello + hello);
    CHECK(y.log == hello + hello);
    const std::size_t calls = memory.calls;
    x.message(packed);
    CHECK(a.message("Hello") == packed);
    CHECK(memory.calls == calls);
    pool.release();
    CHECK(memory.live == 0);
  }
  CHECK(memory.live == 0);
}

TEST_CASE("D17 a pool lends what works as asked, and keeps only so many", "[deflate][D17]") {
  counting_memory memory;
  {
    ws::deflate_pool pool{ws::zlib_engine, &memory.hook};
    const ws::deflate_parameters usual{.takeover = false};
    for (const ws::deflate_parameters& other : {ws::deflate_parameters{.window_bits = 10, .takeover = false}, ws::deflate_parameters{.takeover = false, .level = 1},
                                                ws::deflate_parameters{.takeover = false, .memory_level = 1}}) {
      void* const one = pool.borrow_compressor(usual);
      REQUIRE(one != nullptr);
      pool.give_back_compressor(one, usual);
      void* const two = pool.borrow_compressor(other);
      CHECK(two != one);
      pool.give_back_compressor(two, other);
      pool.release();
      CHECK(memory.live == 0);
    }
    std::vector<void*> compressors, inflaters;
    std::size_t kept = 0;
    for (std::size_t i = 0; i <= ws::deflate_pool::capacity; ++i) {
      if (i == ws::deflate_pool::capacity) kept = memory.live;
      compressors.push_back(pool.borrow_compressor(usual));
      inflaters.push_back(pool.borrow_inflater(usual));
    }
    for (void* const c : compressors) pool.give_back_compressor(c, usual);
    for (void* const c : inflaters) pool.give_back_inflater(c, usual);
    CHECK(memory.live == kept);
  }
  CHECK(memory.live == 0);
}

TEST_CASE("D12 an allocation that fails is an error, at every index", "[deflate][memory]") {
  for (std::size_t fail_at = 0;; ++fail_at) {
    counting_memory memory;
    memory.fail_at = fail_at;
    {
      inflated got{{.room = 64, .pieces = 3}, plain, &memory.hook};
      got.message(hex("f2 48 cd c9 c9 07 00"));
      got.release();
      got.message(hex("f2 00 11 00 00"));
      ws::detail::deflate_state d;
      ws::detail::setup(d, plain, &memory.hook, ws::deflate_agreement{}.number(), true);
      const bool began = ws::detail::begin_compressing(d);
      ws::detail::close_all(d);
      if (memory.calls <= fail_at) {
        CHECK(got.log == hello + hello);
        CHECK(began);
        break;
      }
      // Where it is only the window that cannot be kept, nothing is given back and all goes on.
      const bool failed = got.log.ends_with("failed out_of_memory\n");
      CHECK((failed || !began || got.log == hello + hello));
    }
    CHECK(memory.live == 0);
  }
}
