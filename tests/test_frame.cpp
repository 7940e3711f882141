// The frame head (RFC 6455 5.2): rules F01-F05, F07-F09, F23.
#include "wscodec/frame.hpp"

#include <array>

#include "catch.hpp"
#include "support/wire.hpp"
#include "wscodec/message.hpp"

using namespace wire;

// ---- one literal proves parsing and writing

namespace {

/// True when `bytes` reads as `head`, no shorter piece of it reads as anything, bytes behind it change nothing, and
/// `head` is written as `bytes`.
constexpr bool proves(std::string_view bytes, const ws::frame_head& head) {
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const ws::parsed_frame_head cut = ws::parse_frame_head(bytes.substr(0, n));
    if (cut.size != 0 || cut.why != ws::error::none) return false;
  }
  std::array<char, 2 * ws::max_frame_head> longer{};
  for (std::size_t i = 0; i < longer.size(); ++i) longer[i] = i < bytes.size() ? bytes[i] : '\xFF';
  for (const std::size_t n : {bytes.size(), longer.size()}) {
    const ws::parsed_frame_head parsed = ws::parse_frame_head({longer.data(), n});
    if (parsed.size != bytes.size() || parsed.why != ws::error::none || !(parsed.head == head)) return false;
  }
  std::array<char, ws::max_frame_head> written{};
  return ws::write_frame_head(written.data(), head) == bytes.size() &&
         std::string_view{written.data(), bytes.size()} == bytes &&
         ws::frame_head_size(head.length, head.masked) == bytes.size() &&
         ws::frame_head_size(bytes.data()) == bytes.size();
}

/// What parsing `bytes` complains about.
constexpr ws::error complaint(std::string_view bytes) { return ws::parse_frame_head(bytes).why; }

constexpr std::uint32_t key_of(std::string_view four) { return ws::load_masking_key(four.data()); }
constexpr std::uint32_t key = key_of(rfc_key);

constexpr ws::frame_head text(std::uint64_t n) { return {.opcode = ws::opcode::text, .length = n}; }

// RFC 6455 5.7, the examples in their order.
static_assert(proves("\x81\x05"sv, text(5)));
static_assert(proves("\x81\x85\x37\xfa\x21\x3d"sv,
                     {.opcode = ws::opcode::text, .masked = true, .masking_key = key, .length = 5}));
static_assert(proves("\x01\x03"sv, {.fin = false, .opcode = ws::opcode::text, .length = 3}));
static_assert(proves("\x80\x02"sv, {.opcode = ws::opcode::continuation, .length = 2}));
static_assert(proves("\x89\x05"sv, {.opcode = ws::opcode::ping, .length = 5}));
static_assert(proves("\x8a\x85\x37\xfa\x21\x3d"sv,
                     {.opcode = ws::opcode::pong, .masked = true, .masking_key = key, .length = 5}));
static_assert(proves("\x82\x7e\x01\x00"sv, {.opcode = ws::opcode::binary, .length = 256}));
static_assert(proves("\x82\x7f\0\0\0\0\0\1\0\0"sv, {.opcode = ws::opcode::binary, .length = 65536}));

// The edges between the three forms of the length, and the largest of all.
static_assert(proves("\x81\x00"sv, text(0)));
static_assert(proves("\x81\x7d"sv, text(125)));
static_assert(proves("\x81\x7e\x00\x7e"sv, text(126)));
static_assert(proves("\x81\x7e\x00\x7f"sv, text(127)));
static_assert(proves("\x81\x7e\xff\xff"sv, text(65535)));
static_assert(proves("\x81\x7f\0\0\0\0\0\1\0\0"sv, text(65536)));
static_assert(proves("\x81\x7f\0\0\0\0\xff\xff\xff\xff"sv, text(0xFFFFFFFF)));      // F23
static_assert(proves("\x81\x7f\0\0\0\1\0\0\0\0"sv, text(std::uint64_t{1} << 32)));  // F23
static_assert(proves("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"sv, text(0x7FFFFFFFFFFFFFFF)));
static_assert(proves(
    "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\1\2\3\4"sv,
    {.opcode = ws::opcode::binary, .masked = true, .masking_key = key_of("\1\2\3\4"), .length = 0x7FFFFFFFFFFFFFFF}));
// Bits are read and written as they are: what they mean is for others to judge.
static_assert(proves("\xc2\x00"sv, {.rsv1 = true}));
static_assert(proves("\xa2\x00"sv, {.rsv2 = true}));
static_assert(proves("\x92\x00"sv, {.rsv3 = true}));
static_assert(proves("\x88\x80\0\0\0\0"sv, {.opcode = ws::opcode::close, .masked = true}));

// F01, F02
static_assert(complaint("\x81\x7e\x00\x00"sv) == ws::error::length_not_minimal);
static_assert(complaint("\x81\x7e\x00\x7d"sv) == ws::error::length_not_minimal);
static_assert(complaint("\x81\x7f\0\0\0\0\0\0\0\0"sv) == ws::error::length_not_minimal);
static_assert(complaint("\x81\x7f\0\0\0\0\0\0\xff\xff"sv) == ws::error::length_not_minimal);
static_assert(complaint("\x81\xfe\x00\x7d"sv) == ws::error::length_not_minimal);
static_assert(complaint("\x81\x7f\x80\0\0\0\0\0\0\0"sv) == ws::error::length_top_bit);
static_assert(complaint("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"sv) == ws::error::length_top_bit);

/// Both roles read frames of their peer.
void both(const std::function<void(ws::role self, ws::role peer)>& test) {
  for (const ws::role self : both_roles) test(self, other(self));
}

/// The log of a connection that fails with `why` at `offset`.
std::string failure(std::string_view why, std::size_t offset, unsigned code = 1002) {
  return "failed " + std::string{why} + " @" + std::to_string(offset) + "\n-> close " + std::to_string(code) +
         " \"\"\n= failed half_close 1006";
}

}  // namespace

TEST_CASE("RFC 6455 5.7: the examples are what they say, at both ends", "[frame][F06][F13]") {
  check({.self = ws::role::client, .input = hex("81 05 48 65 6c 6c 6f"), .log = R"(text "Hello"
                                                                                   = open keep)"});
  check({.input = hex("81 85 37 fa 21 3d 7f 9f 4d 51 58"), .log = R"(text "Hello"
                                                                     = open keep)"});
  check({.self = ws::role::client, .input = hex("01 03 48 65 6c 80 02 6c 6f"), .log = R"(text "Hello"
                                                                                         = open keep)"});
  check({.self = ws::role::client, .input = hex("89 05 48 65 6c 6c 6f"), .log = R"(ping "Hello"
                                                                                   -> pong "Hello"
                                                                                   = open keep)"});
  check({.input = hex("8a 85 37 fa 21 3d 7f 9f 4d 51 58"), .log = R"(pong "Hello"
                                                                     = open keep)"});
  check({.self = ws::role::client, .input = hex("82 7e 01 00") + std::string(256, 'x'), .log = R"(binary "x"*256
                                                                                                  = open keep)"});
  check({.self = ws::role::client,
         .input = hex("82 7f 00 00 00 00 00 01 00 00") + std::string(65536, 'x'),
         .log = R"(binary "x"*65536
                   = open keep)"});
}

TEST_CASE("F01 a length in a longer form than it needs fails with 1002", "[frame][F01]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned n : {0U, 1U, 124U, 125U})
      check({.self = self, .input = head(peer, 0x82, 126U, big_endian(n, 2)), .log = failure("length_not_minimal", 2)});
    for (const unsigned n : {0U, 125U, 126U, 65535U})
      check({.self = self, .input = head(peer, 0x82, 127U, big_endian(n, 8)), .log = failure("length_not_minimal", 2)});
    // With the payload there, and another frame behind it.
    for (const std::size_t n : std::initializer_list<std::size_t>{1, 124, 125})
      for (const std::string& before : {std::string{}, frame(peer, 0x02, "ab")})
        check({.self = self,
               .input = before + head(peer, before.empty() ? 0x82U : 0x80U, 126U, big_endian(n, 2)) +
                        std::string(n, 'x') + frame(peer, 0x81, ""),
               .log = (before.empty() ? "" : "binary \"ab\" ...\n") + failure("length_not_minimal", before.size() + 2),
               .pairs = false});
    // Known before the key and the payload have come.
    check({.self = self,
           .input = head(peer, 0x82, 126U, big_endian(125, 2), ""),
           .log = failure("length_not_minimal", 2)});
    check({.self = self,
           .input = head(peer, 0x82, 127U, big_endian(65535, 8), ""),
           .log = failure("length_not_minimal", 2)});
    // In the second fragment too; what came before stays.
    check({.self = self,
           .input = frame(peer, 0x02, "ab") + head(peer, 0x80, 126U, big_endian(1, 2)),
           .log = "binary \"ab\" ...\n" + failure("length_not_minimal", frame(peer, 0x02, "ab").size() + 2)});
  });
}

TEST_CASE("F01 the shortest forms pass at their edges", "[frame][F01]") {
  both([](ws::role self, ws::role peer) {
    for (const std::size_t n : std::initializer_list<std::size_t>{125, 126, 127, 65535, 65536})
      check({.self = self,
             .input = frame(peer, 0x82, std::string(n, 'a')),
             .log = "binary \"a\"*" + std::to_string(n) + "\n= open keep",
             .pairs = false});
  });
}

TEST_CASE("F07 a head is read and written with its bits as they are; one byte of it is none", "[frame][F07]") {
  for (unsigned bits = 0; bits < 16; ++bits)
    for (const bool masked : {false, true}) {
      const ws::frame_head head{.fin = (bits & 8) != 0,
                                .rsv1 = (bits & 4) != 0,
                                .rsv2 = (bits & 2) != 0,
                                .rsv3 = (bits & 1) != 0,
                                .opcode = ws::opcode::binary,
                                .masked = masked,
                                .masking_key = masked ? ws::load_masking_key("abcd") : 0,
                                .length = 7};
      char bytes[ws::max_frame_head];
      const std::size_t n = ws::write_frame_head(bytes, head);
      CHECK((std::string_view{bytes, n} ==
             std::string{static_cast<char>(static_cast<unsigned char>(bits << 4 | 2))} + (masked ? "\x87"
                                                                                                   "abcd"
                                                                                                 : "\x07")));
      for (std::size_t part = 0; part < n; ++part) CHECK(ws::parse_frame_head({bytes, part}).size == 0);
      CHECK(ws::parse_frame_head({bytes, n}).size == n);
    }
}

TEST_CASE("F02 a 64-bit length with its top bit set fails with 1002", "[frame][F02]") {
  both([](ws::role self, ws::role peer) {
    for (const std::uint64_t n : {0x8000000000000000U, 0x8000000000000001U, 0x8000000000010000U, 0xFFFFFFFFFFFFFFFFU})
      check({.self = self,
             .input = head(peer, 0x82, 127U, big_endian(n, 8)),
             .log = failure("length_top_bit", 2),
             .options = [](ws::options& o) { o.max_message = ~std::uint64_t{0}; }});
  });
}

TEST_CASE("F03 a length near 2^63 does not wrap: refused at the head with 1009", "[frame][F03]") {
  both([](ws::role self, ws::role peer) {
    for (const std::uint64_t n : {0x7FFFFFFFFFFFFFFFU, 0x7FFFFFFFFFFFFFF2U, 0x7FFFFFFF00000000U, 0x100000000U})
      check({.self = self, .input = head(peer, 0x82, n), .log = failure("message_too_big", 0, 1009)});
    // After a fragment the sum of the lengths passes 2^63, and, with the limit at its largest, still does not wrap.
    const std::string begun = frame(peer, 0x02, "0123456789");
    for (const std::uint64_t n : {0x7FFFFFFFFFFFFFFFU, 0x7FFFFFFFFFFFFFF8U})
      check({.self = self,
             .input = begun + head(peer, 0x80, n),
             .log = "binary \"0123456789\" ...\n" + failure("message_too_big", begun.size(), 1009)});
    // One whose upper bytes look like a length of 16 bits, with as many bytes behind it.
    check({.self = self,
           .input = head(peer, 0x82, std::uint64_t{0x0080} << 48) + std::string(200, 'x'),
           .log = failure("message_too_big", 0, 1009),
           .pairs = false});
  });
  // Three fragments whose lengths add up to 2^64 + 1: a sum that wrapped would be within the limit. Their payloads
  // need not come, since a connection counts what heads announce.
  ws::message_state message{};
  const ws::message_limits limits{.max_message = ~std::uint64_t{0}, .max_fragments = 100};
  CHECK(ws::detail::begin_data_frame(message, ws::opcode::binary, false, 0x7FFFFFFFFFFFFFFFU, limits) ==
        ws::error::none);
  CHECK(ws::detail::begin_data_frame(message, ws::opcode::continuation, false, 0x7FFFFFFFFFFFFFFFU, limits) ==
        ws::error::none);
  CHECK(ws::detail::begin_data_frame(message, ws::opcode::continuation, false, 3, limits) ==
        ws::error::message_too_big);
}

TEST_CASE("F04 a declared length is never the size of an allocation", "[frame][F04]") {
  struct counting {
    std::size_t held = 0, most = 0;
    static void* reallocate(void* self, void* memory, std::size_t old_size, std::size_t new_size) {
      auto& c = *static_cast<counting*>(self);
      c.held = c.held - old_size + new_size;
      if (c.held > c.most) c.most = c.held;
      return std::realloc(memory, new_size);
    }
    static void free(void* self, void* memory, std::size_t size) {
      static_cast<counting*>(self)->held -= size;
      std::free(memory);
    }
  };
  for (const std::uint64_t length : {std::uint64_t{16 * 1024 * 1024}, std::uint64_t{1} << 40, 0x7FFFFFFFFFFFFFFFU >> 1})
    for (const bool prepared : {false, true})
      both([&](ws::role self, ws::role peer) {
        counting c;
        const ws::allocator memory{&c, &counting::reallocate, &counting::free};
        ws::options opt;
        opt.max_message = ~std::uint64_t{0};
        test_entropy entropy;
        ws::masking_keys keys{&test_entropy::fill, &entropy};
        std::uint64_t refused = 0;
        {
          ws::session s{self, ws::negotiated{}, opt, &keys, &memory};
          std::string bytes = head(peer, 0x82, length) + std::string(1000, 'x');
          std::size_t given = 0;
          while (given < bytes.size()) {
            ws::event ev;
            if (prepared) {
              const std::span<char> to = s.prepare(100);
              REQUIRE(!to.empty());
              const std::size_t n = bytes.size() - given < to.size() ? bytes.size() - given : to.size();
              std::memcpy(to.data(), bytes.data() + given, n);
              given += n;
              s.commit(n);
              ev = s.next();
            } else {
              std::span<char> rest{bytes.data() + given, 1};
              ++given;
              ev = s.next(rest);
            }
            if (ev) ++refused;
          }
          CHECK(refused <= 1);  // what no memory could hold may be refused, once
        }
        CHECK(c.most <= 256 * 1024);
        CHECK(c.held == 0);
      });
}

TEST_CASE("F05 a frame that is not masked to a server, or masked to a client, fails with 1002", "[frame][F05]") {
  both([](ws::role self, ws::role peer) {
    const std::string why = self == ws::role::server ? "mask_missing" : "mask_present";
    for (const unsigned first : {0x81U, 0x82U, 0x01U, 0x02U, 0x88U, 0x89U, 0x8AU}) {
      for (const std::string_view payload : {""sv, "Hello"sv})
        check({.self = self, .input = frame(self, first, payload), .log = failure(why, 1)});
      check({.self = self, .input = frame(self, first, "").substr(0, 2), .log = failure(why, 1)});
    }
    // In a later fragment, with a key of zero, which changes no byte.
    const std::string begun = frame(peer, 0x01, "ab");
    check({.self = self,
           .input = begun + frame(self, 0x80, "cd", "\0\0\0\0"sv),
           .log = "text \"ab\" ...\n" + failure(why, begun.size() + 1)});
  });
}

TEST_CASE("F07 RSV2, RSV3, and RSV1 without the extension, fail with 1002", "[frame][F07]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned op : {1U, 2U, 8U, 9U, 10U})
      for (const unsigned bits : {0x10U, 0x20U, 0x40U}) {
        const std::string why = bits == 0x10 ? "rsv3_set" : bits == 0x20 ? "rsv2_set" : "rsv1_unexpected";
        check({.self = self, .input = frame(peer, 0x80 | bits | op, ""), .log = failure(why, 0)});
        check({.self = self, .input = frame(peer, 0x80 | bits | op, "").substr(0, 1), .log = failure(why, 0)});
        if (op < 3) check({.self = self, .input = frame(peer, bits | op, "abc"), .log = failure(why, 0)});
      }
    const std::string begun = frame(peer, 0x02, "a");
    for (const unsigned first : {0x40U, 0x20U, 0x10U, 0xC0U, 0xA0U, 0x90U}) {
      const std::string why = (first & 0x10U) != 0 ? "rsv3_set" : (first & 0x20U) != 0 ? "rsv2_set" : "rsv1_unexpected";
      check({.self = self,
             .input = begun + frame(peer, first, "b"),
             .log = "binary \"a\" ...\n" + failure(why, begun.size())});
    }
  });
}

TEST_CASE("F07 RSV1 with the extension: on the first frame of a message only", "[frame][F07]") {
  const ws::negotiated agreed{.extension = nullptr, .agreement = 1};
  both([&](ws::role self, ws::role peer) {
    // On control and continuation frames it means nothing still.
    for (const unsigned first : {0xC8U, 0xC9U, 0xCAU})
      check({.self = self, .input = frame(peer, first, ""), .log = failure("rsv1_unexpected", 0), .agreed = agreed});
    const std::string begun = frame(peer, 0x02, "a");
    for (const unsigned first : {0x40U, 0xC0U})
      check({.self = self,
             .input = begun + frame(peer, first, "b"),
             .log = "binary \"a\" ...\n" + failure("rsv1_unexpected", begun.size()),
             .agreed = agreed});
    for (const unsigned first : {0x40U, 0xC0U})
      check({.self = self, .input = frame(peer, first, "b"), .log = failure("rsv1_unexpected", 0), .agreed = agreed});
    // RSV2 and RSV3 never.
    for (const unsigned first : {0xA1U, 0xB1U, 0xE1U, 0xD1U})
      check({.self = self,
             .input = frame(peer, first, "b"),
             .log = failure((first & 0x20U) != 0 ? "rsv2_set" : "rsv3_set", 0),
             .agreed = agreed});
    // A message with RSV1 is passed on as it is, flagged.
    std::string bytes = frame(peer, 0xC1, "\xF2\x48") + frame(peer, 0x81, "x");
    test_entropy entropy;
    ws::masking_keys keys{&test_entropy::fill, &entropy};
    const ws::options opt;
    char scratch[ws::min_scratch];
    ws::connection c{self, agreed, opt, scratch, &keys};
    std::span<char> rest{bytes};
    ws::event ev = c.next(rest);
    CHECK((ev.type == ws::event_type::data && ev.compressed && ev.payload == "\xF2\x48" && ev.first && ev.last));
    ev = c.next(rest);
    CHECK((ev.type == ws::event_type::data && !ev.compressed && ev.payload == "x"));
  });
}

TEST_CASE("F08 a reserved opcode fails with 1002 at the first byte", "[frame][F08]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned op : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U})
      for (const unsigned fin : {0U, 0x80U}) {
        check({.self = self, .input = frame(peer, fin | op, "ab"), .log = failure("opcode_reserved", 0)});
        check({.self = self, .input = frame(peer, fin | op, "").substr(0, 1), .log = failure("opcode_reserved", 0)});
        const std::string begun = frame(peer, 0x01, "a");
        check({.self = self,
               .input = begun + frame(peer, fin | op, "").substr(0, 1),
               .log = "text \"a\" ...\n" + failure("opcode_reserved", begun.size())});
      }
  });
}

TEST_CASE("F09 a control frame that is fragmented or long fails with 1002, at the head", "[frame][F09]") {
  both([](ws::role self, ws::role peer) {
    for (const unsigned op : {8U, 9U, 10U}) {
      check({.self = self, .input = frame(peer, op, ""), .log = failure("control_fragmented", 0)});
      check({.self = self, .input = frame(peer, op, "").substr(0, 1), .log = failure("control_fragmented", 0)});
      for (const unsigned code : {126U, 127U}) {
        const std::string two = head(peer, 0x80 | op, code, "", "");
        check({.self = self, .input = two, .log = failure("control_too_long", 1)});
        check({.self = self, .input = two + std::string(8, '\0'), .log = failure("control_too_long", 1)});
      }
      check({.self = self,
             .input = frame(peer, 0x80 | op, std::string(126, 'a')),
             .log = failure("control_too_long", 1)});
    }
    // 125 bytes are not too long.
    const std::string longest(125, 'p');
    check({.self = self, .input = frame(peer, 0x89, longest), .log = R"(ping "p"*125
                                                                        -> pong "p"*125
                                                                        = open keep)"});
    check({.self = self, .input = frame(peer, 0x8A, longest), .log = "pong \"p\"*125\n= open keep", .pairs = false});
    check({.self = self,
           .input = close_frame(peer, 1000, std::string(123, 'r')),
           .log = "close 1000 \"r\"*123\n-> close 1000 \"\"\n= closed " +
                  std::string{self == ws::role::server ? "half_close" : "keep"} + " 1000",
           .pairs = false});
  });
}

// ---- every start of a frame

namespace {

enum class situation { idle, in_text, in_binary, closing };
constexpr situation situations[] = {situation::idle, situation::in_text, situation::in_binary, situation::closing};

/// What RFC 6455 5.2-5.5 say of a first byte, by opcode: legal between messages, legal inside one, a control frame.
struct opcode_rule {
  bool idle, inside, control;
};
constexpr opcode_rule opcode_rules[16] = {
    {false, true, false},  // 0: continuation
    {true, false, false},  // 1: text
    {true, false, false},  // 2: binary
    {},
    {},
    {},
    {},
    {},                  // 3-7: reserved
    {true, true, true},  // 8: close
    {true, true, true},  // 9: ping
    {true, true, true},  // 10: pong
    {},
    {},
    {},
    {},
    {},  // 11-15: reserved
};

/// Which byte breaks a rule (2: none does), and the errors that may be named for it.
struct verdict {
  std::size_t offset = 2;
  std::set<ws::error> why = {};
};

verdict judge(unsigned first, unsigned second, ws::role self, situation now) {
  verdict v;
  const unsigned op = first & 15U;
  const bool inside = now == situation::in_text || now == situation::in_binary;
  const opcode_rule rule = opcode_rules[op];
  if ((first & 0x40U) != 0) v.why.insert(ws::error::rsv1_unexpected);
  if ((first & 0x20U) != 0) v.why.insert(ws::error::rsv2_set);
  if ((first & 0x10U) != 0) v.why.insert(ws::error::rsv3_set);
  if (!rule.idle && !rule.inside) v.why.insert(ws::error::opcode_reserved);
  if (op == 0 && !inside) v.why.insert(ws::error::continuation_unexpected);
  if ((op == 1 || op == 2) && inside) v.why.insert(ws::error::message_interrupted);
  if (rule.control && first < 128) v.why.insert(ws::error::control_fragmented);
  if (!v.why.empty()) {
    v.offset = 0;
    return v;
  }
  if (second < 128 && self == ws::role::server) v.why.insert(ws::error::mask_missing);
  if (second >= 128 && self == ws::role::client) v.why.insert(ws::error::mask_present);
  if (rule.control && second % 128 > 125) v.why.insert(ws::error::control_too_long);
  if (!v.why.empty()) v.offset = 1;
  return v;
}

/// What a frame that ends with its head must give: a frame without payload.
std::string empty_frame_gives(unsigned first, situation now) {
  const bool inside = now == situation::in_text || now == situation::in_binary;
  switch (first & 15U) {
    case 8:
      return "close 1005";
    case 9:
      return "ping";
    case 10:
      return "pong";
    default:
      break;
  }
  if (first < 128) return "";
  const bool text = inside ? now == situation::in_text : (first & 15U) == 1;
  return text ? "text" : "binary";
}

/// Runs one start of a frame and says what came: an event's name, or "", or "failed".
template <class Machine, class Next>
std::string try_start(Machine& m, std::string& bytes, std::size_t cut, ws::error& why, std::uint64_t& offset,
                      const Next& next) {
  std::string got;
  for (std::size_t at = 0; at < bytes.size(); at = at == 0 && cut != 0 ? cut : bytes.size()) {
    std::span<char> rest{bytes.data() + at, (at == 0 && cut != 0 ? cut : bytes.size()) - at};
    for (;;) {
      const ws::event ev = next(m, rest);
      if (!ev) break;
      switch (ev.type) {
        case ws::event_type::failed:
          got += "failed";
          break;
        case ws::event_type::close:
          got += ev.code() == ws::close_code::no_status ? "close 1005" : "close";
          break;
        case ws::event_type::ping:
          got += "ping";
          break;
        case ws::event_type::pong:
          got += "pong";
          break;
        case ws::event_type::data:
        case ws::event_type::message:
          if (ev.type == ws::event_type::message || ev.last) got += ev.opcode == ws::opcode::text ? "text" : "binary";
          break;
        default:
          got += "BAD";
          break;
      }
    }
  }
  why = m.why();
  offset = m.offset();
  return got;
}

template <class Make, class Next>
std::size_t wrong_starts(const Make& make, const Next& next, std::initializer_list<std::size_t> cuts) {
  std::size_t wrong = 0;
  for (const ws::role self : both_roles)
    for (const situation now : situations)
      for (unsigned first = 0; first < 256; ++first)
        for (unsigned second = 0; second < 256; ++second)
          for (const std::size_t cut : cuts) {
            std::string bytes = now == situation::in_text     ? frame(other(self), 0x01, "a")
                                : now == situation::in_binary ? frame(other(self), 0x02, "a")
                                                              : std::string{};
            const std::size_t begin = bytes.size();
            bytes += static_cast<char>(static_cast<unsigned char>(first));
            bytes += static_cast<char>(static_cast<unsigned char>(second));
            if (second == 128) bytes += rfc_key;
            const verdict v = judge(first, second, self, now);
            auto m = make(self, now == situation::closing);
            ws::error why{};
            std::uint64_t offset = 0;
            const std::string got = try_start(m, bytes, cut == 0 ? 0 : begin + cut, why, offset, next);
            const bool good = v.offset < 2        ? got == "failed" && v.why.contains(why) && offset == begin + v.offset
                              : second % 128 == 0 ? got == empty_frame_gives(first, now) && why == ws::error::none &&
                                                        offset == bytes.size()
                                                  : got.empty() && why == ws::error::none;
            if (!good && ++wrong <= 5) {
              INFO(name(self) << " reads " << to_hex(bytes) << " in situation " << static_cast<int>(now) << ": " << got
                              << " " << name(why) << " @" << offset);
              CHECK(good);
            }
          }
  return wrong;
}

}  // namespace

TEST_CASE("F05 F07 F08 F09 F11 every two bytes a frame can begin with, by the table of the RFC",
          "[frame][F05][F07][F08][F09][F11]") {
  const ws::options opt;
  test_entropy entropy;
  ws::masking_keys keys{&test_entropy::fill, &entropy};
  char scratch[ws::min_scratch];
  const auto make_connection = [&](ws::role self, bool closing) {
    ws::connection c{self, ws::negotiated{}, opt, scratch, &keys};
    char memory[16];
    ws::output out{memory};
    if (closing) (void)c.close(out);
    return c;
  };
  const auto make_session = [&](ws::role self, bool closing) {
    ws::session s{self, ws::negotiated{}, opt, &keys};
    if (closing) (void)s.close();
    return s;
  };
  const auto next = [](auto& m, std::span<char>& rest) { return m.next(rest); };
  CHECK(wrong_starts(make_connection, next, {0, 1}) == 0);
  CHECK(wrong_starts(make_session, next, {0}) == 0);
}

TEST_CASE("F23 lengths and limits are 64 bits wide everywhere", "[frame][F23]") {
  // 2^32 + 5 bytes are not 5 bytes: the frame goes on after them.
  both([](ws::role self, ws::role peer) {
    const ws::options opt{.max_message = std::uint64_t{1} << 40};
    test_entropy entropy;
    ws::masking_keys keys{&test_entropy::fill, &entropy};
    char scratch[ws::min_scratch];
    ws::connection c{self, ws::negotiated{}, opt, scratch, &keys};
    const std::uint64_t length = (std::uint64_t{1} << 32) + 5;
    std::string bytes = head(peer, 0x82, length) + "01234" + "56789";
    std::span<char> rest{bytes};
    const ws::event ev = c.next(rest);
    CHECK((ev.type == ws::event_type::data && ev.first && !ev.last && ev.payload.size() == 10));
    CHECK(c.frame_remaining() == length - 10);
    CHECK(c.frame_size(length) == length + (self == ws::role::client ? 14 : 10));
    // Heads for it are written too.
    char memory[16];
    ws::output out{memory};
    std::uint32_t key_used = 0;
    REQUIRE(c.head(out, ws::opcode::binary, length, true, key_used) == ws::error::none);
    CHECK(ws::parse_frame_head(out.written()).head.length == length);
  });
  // The limit itself is compared with all its bits.
  both([](ws::role self, ws::role peer) {
    check({.self = self,
           .input = head(peer, 0x82, (std::uint64_t{1} << 32) + 1),
           .log = failure("message_too_big", 0, 1009),
           .options = [](ws::options& o) { o.max_message = std::uint64_t{1} << 32; }});
  });
}
