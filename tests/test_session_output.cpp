#include <wscodec/session.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/link.hpp"
#include "support/wire.hpp"
#include "wscodec/prepared_message.hpp"

namespace ws = wscodec;
using sim::side;
using wire::both_roles;
using wire::frame;
using wire::other;

namespace {

const ws::options& defaults() {
  static const ws::options opt;
  return opt;
}

/// What a gather write of at most `count` slices would send.
std::string gather(const ws::session& s, std::size_t count = 64) {
  std::vector<ws::slice> slices(count);
  const std::size_t n = s.output(slices);
  CHECK(n <= count);
  std::string bytes;
  for (std::size_t i = 0; i < n; ++i) {
    CHECK(slices[i].size != 0);
    bytes.append(slices[i].data, slices[i].size);
  }
  return bytes;
}

void* token(std::uintptr_t number) { return reinterpret_cast<void*>(number); }

/// The tokens that are free again, as text.
std::string returned(ws::session& s) {
  std::string out;
  for (void* t = nullptr; s.returned(t);) out += std::to_string(reinterpret_cast<std::uintptr_t>(t)) + " ";
  return out;
}

/// Memory with a mark behind every block, which must still be there when the block grows or goes.
struct marked_memory {
  static constexpr std::string_view mark = "nobody writes here, not even one byte of it, however long a message is";
  std::size_t harmed = 0;
  ws::allocator hook{this, reallocate, release};

  void look(void* memory, std::size_t size) {
    if (memory != nullptr && std::memcmp(static_cast<char*>(memory) + size, mark.data(), mark.size()) != 0) ++harmed;
  }
  static void* reallocate(void* context, void* memory, std::size_t old_size, std::size_t new_size) {
    static_cast<marked_memory*>(context)->look(memory, old_size);
    char* const grown = static_cast<char*>(std::realloc(memory, new_size + mark.size()));
    std::memcpy(grown + new_size, mark.data(), mark.size());
    return grown;
  }
  static void release(void* context, void* memory, std::size_t size) {
    static_cast<marked_memory*>(context)->look(memory, size);
    std::free(memory);
  }
};

/// Messages of all kinds, borrowed or not, and what a peer must see of them.
const std::string first_lent = sim::letters(300, 1), second_lent = sim::letters(5, 2), third_lent = sim::pattern(70'000, 3);
void send_mixture(ws::session& s) {
  CHECK(s.send(ws::opcode::text, "copied") == ws::error::none);
  CHECK(s.send_borrowed(ws::opcode::text, first_lent, token(1)) == ws::error::none);
  CHECK(s.send_borrowed(ws::opcode::text, "", token(2)) == ws::error::none);
  CHECK(s.send_borrowed(ws::opcode::binary, second_lent, token(3)) == ws::error::none);
  CHECK(s.ping("ping") == ws::error::none);
  CHECK(s.send(ws::opcode::binary, "piece", false) == ws::error::none);
  CHECK(s.send_borrowed(ws::opcode::continuation, third_lent, token(4)) == ws::error::none);
  CHECK(s.close(ws::close_code::normal, "bye") == ws::error::none);
}
std::string mixture() {
  return "-> text \"copied\"\n-> text " + wire::show(first_lent) + "\n-> text \"\"\n-> binary " + wire::show(second_lent) +
         "\n-> ping \"ping\"\n-> binary \"piece\" ...\n-> ... " + wire::show(third_lent) + "\n-> close 1000 \"bye\"\n";
}

}  // namespace

TEST_CASE("output() gives everything in order, and consume() may end anywhere", "[session][output][K13]") {
  for (const ws::role self : both_roles)
    for (const std::size_t step : {1U, 2U, 3U, 5U, 11U, 64U, 301U, 1000U, 65'536U, 100'000U}) {
      INFO(wire::name(self) << " takes " << step);
      side s{self, defaults()};
      send_mixture(s.session);
      const std::uint64_t total = s.session.buffered_amount();
      std::string sent;
      while (!s.session.output().empty()) {
        const std::string_view part = s.session.output().substr(0, step);
        sent += part;
        s.session.consume(part.size());
        if (s.session.buffered_amount() != total - sent.size()) FAIL("buffered_amount is wrong");
      }
      CHECK(sent.size() == total);
      CHECK((wire::describe_sent(self, sent) == mixture()));
      CHECK(returned(s.session) == "1 2 3 4 ");
      CHECK(s.session.buffered_amount() == 0);
      s.session.consume(0);
      CHECK(s.session.output().empty());
    }
}

TEST_CASE("output(slices) shows the same bytes as output(), after any number was consumed", "[session][output]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    send_mixture(s.session);
    std::string whole = gather(s.session);
    CHECK((wire::describe_sent(self, whole) == mixture()));
    CHECK(whole.size() == s.session.buffered_amount());
    if (self == ws::role::server) {
      // Borrowed payloads are not copied, and what is between two of them is one slice: three, and four around them
      // (the empty one is in none).
      ws::slice slices[16];
      const std::size_t n = s.session.output(slices);
      std::vector<const char*> places;
      for (std::size_t i = 0; i < n; ++i) places.push_back(slices[i].data);
      for (const std::string* lent : {&first_lent, &second_lent, &third_lent})
        CHECK(std::count(places.begin(), places.end(), lent->data()) == 1);
      CHECK(n == 7);
    }
    const std::size_t near = whole.size() - third_lent.size();  // every byte of the small ones, then some
    for (std::size_t done = 0; done < whole.size();) {
      for (const std::size_t count : {1U, 2U, 3U, 16U}) {
        const std::string front = gather(s.session, count);
        if (front.empty() || std::string_view{whole}.substr(done, front.size()) != front) FAIL("at " << done << " with " << count);
      }
      if (s.session.output() != gather(s.session, 1)) FAIL("output() is another at " << done);
      const std::size_t n = std::min<std::size_t>(done < near ? 1 : 997, whole.size() - done);
      s.session.consume(n);
      done += n;
    }
    CHECK(gather(s.session).empty());
    CHECK(gather(s.session, 0).empty());
  }
}

TEST_CASE("consume ends at every byte: all that was not consumed comes again", "[session][output]") {
  for (const ws::role self : both_roles) {
    side model{self, defaults()};
    const auto fill = [](ws::session& s) {
      CHECK(s.send_borrowed(ws::opcode::text, "lent", token(1)) == ws::error::none);
      CHECK(s.send(ws::opcode::text, "copied") == ws::error::none);
      CHECK(s.send_borrowed(ws::opcode::text, second_lent, token(2)) == ws::error::none);
      CHECK(s.send_borrowed(ws::opcode::text, "", token(3)) == ws::error::none);
    };
    fill(model.session);
    const std::string whole = gather(model.session);
    for (std::size_t first = 0; first <= whole.size(); ++first)
      for (std::size_t second = first; second <= whole.size(); ++second) {
        side s{self, defaults()};
        fill(s.session);
        s.session.consume(first);
        s.session.consume(second - first);
        if (gather(s.session) != whole.substr(second)) FAIL("after " << first << " and " << second);
        if (s.session.buffered_amount() != whole.size() - second) FAIL("buffered_amount after " << second);
      }
  }
}

TEST_CASE("a queue that was sent in part: the next message moves it to the front or grows it, and stays within its memory", "[session][output]") {
  for (const std::size_t sent : {0U, 1U, 127U, 128U, 150U, 201U, 202U})
    for (std::size_t n = 1; n < 300; n += 3) {
      marked_memory memory;
      {
        side s{ws::role::server, defaults(), true, &memory.hook};
        CHECK(s.session.send(ws::opcode::binary, sim::pattern(198, 1)) == ws::error::none);
        std::string all{s.session.output()};
        s.session.consume(sent);
        CHECK(s.session.send(ws::opcode::binary, sim::pattern(n, 2)) == ws::error::none);
        all += frame(ws::role::server, 0x82, sim::pattern(n, 2));
        if (s.session.output() != std::string_view{all}.substr(sent)) FAIL("other bytes, after " << sent << " and with " << n);
      }
      if (memory.harmed != 0) FAIL("bytes beyond the memory were written, after " << sent << " and with " << n);
    }
}

TEST_CASE("prepare gives the room that was asked for while input that was not looked at waits", "[session][output]") {
  for (std::size_t n = 1; n < 300; n += 3) {
    marked_memory memory;
    {
      side s{ws::role::client, defaults(), true, &memory.hook};
      const std::string first = frame(ws::role::server, 0x82, sim::pattern(150, 1)), second = frame(ws::role::server, 0x82, sim::pattern(40, 2));
      const std::string both = first + second;
      const std::span<char> room = s.session.prepare(both.size());
      std::memcpy(room.data(), both.data(), both.size());
      s.session.commit(both.size());
      CHECK(s.session.next().payload == sim::pattern(150, 1));
      if (s.session.prepare(n).size() < n) FAIL("less than " << n);
      s.session.commit(0);
      CHECK(s.session.next().payload == sim::pattern(40, 2));
    }
    CHECK(memory.harmed == 0);
  }
}

TEST_CASE("a server borrows without copying, and the token comes back with the last byte", "[session][output]") {
  counting_allocator memory;
  side s{ws::role::server, defaults(), true, memory.hook()};
  CHECK(s.session.send_borrowed(ws::opcode::binary, third_lent, token(7)) == ws::error::none);
  CHECK(memory.peak < 2048);
  CHECK(s.session.buffered_amount() == third_lent.size() + 10);
  CHECK(s.session.output().size() == 10);
  s.session.consume(10);
  CHECK(s.session.output().data() == third_lent.data());
  CHECK(s.session.output().size() == third_lent.size());
  CHECK(returned(s.session).empty());
  s.session.consume(third_lent.size() - 1);
  CHECK(returned(s.session).empty());
  CHECK(s.session.output() == third_lent.substr(third_lent.size() - 1));
  s.session.consume(1);
  CHECK(returned(s.session) == "7 ");
  CHECK(returned(s.session).empty());
}

TEST_CASE("a client copies what it borrows, masked, and gives the token back in its turn", "[session][output][F21]") {
  side s{ws::role::client, defaults()};
  {
    const std::string gone = sim::letters(1000);
    CHECK(s.session.send_borrowed(ws::opcode::text, gone, token(9)) == ws::error::none);
  }
  CHECK(returned(s.session).empty());
  CHECK((s.sent() == "-> text " + wire::show(sim::letters(1000)) + "\n"));
  CHECK(returned(s.session) == "9 ");
}

TEST_CASE("what a client borrowed is shown in one piece, however many payloads it was", "[session][output]") {
  side s{ws::role::client, defaults()};
  std::size_t size = 0;
  for (std::uintptr_t i = 1; i <= 3; ++i) CHECK(s.session.send_borrowed(ws::opcode::text, std::string(i * 10, 'x'), token(i)) == ws::error::none);
  CHECK(s.session.ping("p") == ws::error::none);
  size = static_cast<std::size_t>(s.session.buffered_amount());
  CHECK(s.session.output().size() == size);
  ws::slice slices[4];
  CHECK(s.session.output(slices) == 1);
  CHECK(slices[0].size == size);
  s.session.consume(6 + 10 + 6 + 20 - 1);
  CHECK(returned(s.session) == "1 ");
  CHECK(s.session.output().size() == size - (6 + 10 + 6 + 20 - 1));
  s.session.consume(1);
  CHECK(returned(s.session) == "2 ");
}

TEST_CASE("many borrowed payloads: the tokens come back in order, whenever they are asked for", "[session][output]") {
  for (const ws::role self : both_roles)
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      INFO(wire::name(self) << " seed " << seed);
      sim::generator random{seed};
      counting_allocator memory;
      {
        side s{self, defaults(), true, memory.hook()};
        std::uintptr_t lent = 0, back = 0;
        std::string sent, expected;
        for (int i = 0; i < 300; ++i) {
          switch (random(4)) {
            case 0:
            case 1: {
              const std::string_view payload = std::string_view{first_lent}.substr(0, static_cast<std::size_t>(random(40)));
              CHECK(s.session.send_borrowed(ws::opcode::text, payload, token(++lent)) == ws::error::none);
              expected += "-> text " + wire::show(payload) + "\n";
              break;
            }
            case 2:
              sent += s.take(static_cast<std::size_t>(random(100)));
              break;
            default:
              if (random.one_in(3))
                for (void* t = nullptr; s.session.returned(t);)
                  if (t != token(++back)) FAIL("out of order");
          }
        }
        sent += s.take();
        for (void* t = nullptr; s.session.returned(t);)
          if (t != token(++back)) FAIL("out of order");
        CHECK(back == lent);
        CHECK((wire::describe_sent(self, sent) == expected));
        CHECK(memory.bytes < 64 * 1024);
        s.session.release();
        CHECK(memory.blocks() == 0);
      }
      CHECK(memory.idle());
    }
}

TEST_CASE("borrowed payloads in a steady stream need no more memory, however many wait", "[session][output][memory]") {
  CHECK((ws::slice{}.data == nullptr && ws::slice{}.size == 0));
  for (const std::size_t waiting : {1U, 3U, 10U}) {
    counting_allocator memory;
    side s{ws::role::server, defaults(), true, memory.hook()};
    std::uintptr_t lent = 0, back = 0;
    std::size_t calls = 0;
    for (int i = 0; i < 500; ++i) {
      if (i == 100) calls = memory.calls;
      CHECK(s.session.send_borrowed(ws::opcode::binary, second_lent, token(++lent)) == ws::error::none);
      if (lent - back <= waiting) continue;
      s.session.consume(second_lent.size() + 2);
      void* t = nullptr;
      CHECK((s.session.returned(t) && t == token(++back)));
    }
    CHECK(memory.calls == calls);
  }
}

TEST_CASE("a refused send_borrowed gives no token and sends nothing", "[session][output][F22]") {
  for (const ws::role self : both_roles) {
    side s{self, defaults()};
    CHECK(s.session.send_borrowed(ws::opcode::text, "\xFF", token(1)) == ws::error::send_text_not_utf8);
    CHECK(s.session.send_borrowed(ws::opcode::text, "\xE2\x82", token(1)) == ws::error::send_text_not_utf8);
    CHECK(s.session.send_borrowed(ws::opcode::ping, "x", token(1)) == ws::error::opcode_not_sendable);
    CHECK(s.session.send_borrowed(ws::opcode::continuation, "x", token(1)) == ws::error::send_out_of_order);
    CHECK(s.session.buffered_amount() == 0);
    CHECK(s.session.send_borrowed(ws::opcode::text, "good", token(2)) == ws::error::none);
    CHECK(s.sent() == "-> text \"good\"\n");
    CHECK(returned(s.session) == "2 ");
  }
}

// ---- take_output

TEST_CASE("take_output hands out the bytes, and two buffers circulate", "[session][output]") {
  for (const ws::role self : both_roles) {
    counting_allocator memory;
    {
      side s{self, defaults(), true, memory.hook()};
      ws::output_buffer in_flight, spare;
      std::size_t calls = 0;
      for (int i = 0; i < 50; ++i) {
        if (i == 5) calls = memory.calls;
        const std::string message = sim::letters(400, static_cast<std::uint64_t>(i));
        CHECK(s.session.send(ws::opcode::text, message) == ws::error::none);
        in_flight = s.session.take_output(spare);
        CHECK((wire::describe_sent(self, {in_flight.data, in_flight.size}) == "-> text " + wire::show(message) + "\n"));
        CHECK(s.session.buffered_amount() == in_flight.size);
        CHECK(s.session.output().empty());
        // While it is on its way more is queued: the bytes stay put.
        const std::string before{in_flight.data, in_flight.size};
        CHECK(s.session.send(ws::opcode::text, "more") == ws::error::none);
        CHECK(std::string_view{in_flight.data, in_flight.size} == before);
        s.session.consume(in_flight.size);
        CHECK(s.session.buffered_amount() == s.session.output().size());
        CHECK(s.sent() == "-> text \"more\"\n");
        spare = in_flight;
      }
      CHECK(memory.calls == calls);
      CHECK(memory.blocks() == 2);
      s.session.free_buffer(spare);
    }
    CHECK(memory.idle());
  }
}

TEST_CASE("take_output copies nothing where nothing is borrowed, and else the smaller side", "[session][output]") {
  for (const std::size_t before : {0U, 10U, 50'000U})
    for (const std::size_t after : {0U, 10U, 50'000U}) {
      INFO(before << " before, " << after << " after");
      counting_allocator memory;
      side s{ws::role::server, defaults(), true, memory.hook()};
      const std::string lent(1000, 'b');
      if (before != 0) CHECK(s.session.send(ws::opcode::binary, sim::letters(before)) == ws::error::none);
      if (after != 0) {
        CHECK(s.session.send_borrowed(ws::opcode::binary, lent, nullptr) == ws::error::none);
        CHECK(s.session.send(ws::opcode::binary, sim::letters(after)) == ws::error::none);
      }
      const std::size_t calls = memory.calls, bytes = memory.bytes;
      const ws::output_buffer filled = s.session.take_output({});
      CHECK(memory.calls <= calls + (after != 0 ? 1 : 0));
      CHECK(memory.bytes - bytes <= std::max<std::size_t>(std::min(before, after) + 10, 256));
      s.session.free_buffer(filled);
    }
}

TEST_CASE("take_output when there is nothing gives no bytes and loses no memory", "[session][output]") {
  counting_allocator memory;
  {
    side s{ws::role::server, defaults(), true, memory.hook()};
    CHECK(s.session.take_output().size == 0);
    CHECK(s.session.send(ws::opcode::text, "hello") == ws::error::none);
    ws::output_buffer spare = s.session.take_output();
    CHECK(spare.size == 5 + 2);
    s.session.consume(spare.size);
    for (int i = 0; i < 5; ++i) {
      spare = s.session.take_output(spare);
      CHECK(spare.size == 0);
    }
    s.session.free_buffer(spare);
    s.session.free_buffer({});
  }
  CHECK(memory.idle());
}

TEST_CASE("take_output after some of the output was consumed gives the rest", "[session][output]") {
  for (std::size_t cut = 0; cut <= 14; ++cut) {
    side s{ws::role::server, defaults()};
    CHECK(s.session.send(ws::opcode::text, "hello") == ws::error::none);
    CHECK(s.session.send(ws::opcode::text, "world") == ws::error::none);
    s.session.consume(cut);
    const ws::output_buffer got = s.session.take_output();
    CHECK(std::string(got.data != nullptr ? got.data : "", got.size) == std::string("\x81\x05hello\x81\x05world").substr(cut));
    s.session.free_buffer(got);
  }
}

TEST_CASE("T07 what was taken waits until it is consumed: for the write timeout, and before the transport is closed", "[session][output][T07]") {
  ws::options opt;
  opt.write_timeout = 1000;
  side s{ws::role::server, opt};
  CHECK(!s.session.tick(0));
  CHECK(s.session.send(ws::opcode::text, "hello") == ws::error::none);
  ws::output_buffer taken = s.session.take_output();
  CHECK(!s.session.tick(10));
  CHECK(s.session.next_deadline() == 1010);
  s.session.consume(3);  // a part was written: the time begins anew
  CHECK(!s.session.tick(1000));
  CHECK(s.session.next_deadline() == 2000);
  s.session.consume(4);
  CHECK(!s.session.tick(1990));
  CHECK(s.session.next_deadline() == ws::never);

  s.read(wire::close_frame(ws::role::client, 1000));
  taken = s.session.take_output(taken);
  CHECK(taken.size == 4);
  CHECK(s.session.wants() == ws::transport::flush);
  s.session.consume(taken.size);
  CHECK(s.session.wants() == ws::transport::half_close);
  s.session.free_buffer(taken);

  side stuck{ws::role::server, opt};
  CHECK(!stuck.session.tick(0));
  CHECK(stuck.session.send(ws::opcode::text, "hello") == ws::error::none);
  taken = stuck.session.take_output();
  CHECK(!stuck.session.tick(10));
  const ws::event ev = stuck.session.tick(1010);
  CHECK((ev.type == ws::event_type::failed && ev.why() == ws::error::write_timeout));
  CHECK(stuck.session.wants() == ws::transport::drop);
  stuck.session.free_buffer(taken);
}

TEST_CASE("take_output and borrowed payloads: what is before one, then it, then the rest", "[session][output]") {
  for (const ws::role self : both_roles)
    for (std::size_t consumed = 0; consumed <= 30; consumed += 3) {
      counting_allocator memory;
      {
        side s{self, defaults(), true, memory.hook()};
        send_mixture(s.session);
        std::string sent = s.take(consumed);
        ws::output_buffer spare;
        for (int turn = 0; s.session.buffered_amount() != 0; ++turn) {
          REQUIRE(turn < 100);
          spare = s.session.take_output(spare);
          if (spare.size != 0) sent.append(spare.data, spare.size);
          s.session.consume(spare.size);
          // Now a borrowed payload is in front, if there is one.
          const std::string_view front = s.session.output();
          const std::size_t n = std::min<std::size_t>(front.size(), turn % 2 == 0 ? 50'000 : 100);
          sent += front.substr(0, n);
          s.session.consume(n);
        }
        s.session.free_buffer(spare);
        CHECK((wire::describe_sent(self, sent) == mixture()));
        CHECK(returned(s.session) == "1 2 3 4 ");
      }
      CHECK(memory.idle());
    }
}

TEST_CASE("take_output alone sends borrowed and prepared messages, a large one in copies of at most 64 KiB",
          "[session][output]") {
  counting_allocator memory;
  {
    side s{ws::role::server, defaults(), true, memory.hook()};
    std::string large(200'000, ' ');
    for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>('a' + i % 7);
    const ws::prepared_message told{ws::opcode::binary, std::string(1000, 'p'), memory.hook()};
    CHECK(s.session.send(told) == ws::error::none);
    CHECK(s.session.send_borrowed(ws::opcode::binary, large, token(1)) == ws::error::none);
    CHECK(s.session.send(ws::opcode::text, "after") == ws::error::none);
    CHECK(s.session.send(told) == ws::error::none);
    const std::uint64_t all = s.session.buffered_amount();
    std::string sent, sizes;
    ws::output_buffer writing;
    while (s.session.buffered_amount() != 0) {
      const std::uint64_t before = s.session.buffered_amount();
      writing = s.session.take_output(writing);
      REQUIRE(writing.size != 0);
      CHECK(s.session.buffered_amount() == before);
      // The bytes that were handed out are copies: neither the caller's nor the session's are needed for them.
      if (writing.size == 200'000 % 65536) {
        CHECK(returned(s.session) == "1 ");
        std::fill(large.begin(), large.end(), '!');
      }
      sizes += std::to_string(writing.size) + " ";
      sent.append(writing.data, writing.size);
      s.session.consume(writing.size / 2);
      s.session.consume(writing.size - writing.size / 2);
    }
    s.session.free_buffer(writing);
    CHECK(sizes == "1004 10 65536 65536 65536 3392 7 1004 ");
    CHECK(sent.size() == all);
    std::string expected(200'000, ' ');
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<char>('a' + i % 7);
    CHECK((sent.substr(1004 + 10, 200'000) == expected));
    CHECK(sent.substr(1004 + 10 + 200'000, 7) ==
          "\x81\x05"
          "after");
  }
  CHECK(memory.idle());
}

TEST_CASE("take_output gives a token back once its payload is out, however small: a client's, and one byte", "[session][output]") {
  side client{ws::role::client, defaults()};
  CHECK(client.session.send_borrowed(ws::opcode::binary, "copied when it is masked", token(1)) == ws::error::none);
  ws::output_buffer taken = client.session.take_output();
  CHECK(taken.size == 6 + 24);
  CHECK(returned(client.session) == "1 ");
  client.session.free_buffer(taken);

  side server{ws::role::server, defaults()};
  CHECK(server.session.send_borrowed(ws::opcode::binary, "x", token(2)) == ws::error::none);
  std::string sent;
  taken = {};
  for (int i = 0; i < 4 && server.session.buffered_amount() != 0; ++i) {
    taken = server.session.take_output(taken);
    sent.append(taken.data, taken.size);
    server.session.consume(taken.size);
  }
  CHECK(sent == "\x82\x01x");
  CHECK(returned(server.session) == "2 ");
  server.session.free_buffer(taken);
}

TEST_CASE("take_output without memory for a copy hands out nothing, and the payload waits", "[session][output]") {
  counting_allocator memory;
  {
    side s{ws::role::server, defaults(), true, memory.hook()};
    const std::string lent(1000, 'l');
    CHECK(s.session.send_borrowed(ws::opcode::binary, lent, token(1)) == ws::error::none);
    ws::output_buffer taken = s.session.take_output();
    CHECK(taken.size == 4);
    s.session.consume(4);
    memory.fail_at = memory.calls;
    taken = s.session.take_output(taken);
    CHECK((taken.data == nullptr && taken.size == 0));
    CHECK(s.session.buffered_amount() == 1000);
    CHECK(returned(s.session).empty());
    taken = s.session.take_output();
    CHECK((std::string_view{taken.data, taken.size} == lent));
    s.session.free_buffer(taken);
  }
  CHECK(memory.idle());
}

TEST_CASE("take_output gives all that is before a borrowed payload, at once", "[session][output]") {
  for (const std::size_t before : {1U, 5000U})  // less and more than what comes behind
    for (const bool spare : {false, true}) {
      side s{ws::role::server, defaults()};
      CHECK(s.session.send(ws::opcode::binary, sim::pattern(before)) == ws::error::none);
      CHECK(s.session.send_borrowed(ws::opcode::text, first_lent, token(1)) == ws::error::none);
      CHECK(s.session.send(ws::opcode::binary, sim::pattern(1000)) == ws::error::none);
      const std::string front = frame(ws::role::server, 0x82, sim::pattern(before)) + frame(ws::role::server, 0x81, first_lent).substr(0, 4);
      ws::output_buffer got;
      if (spare) {
        side other{ws::role::server, defaults()};
        CHECK(other.session.send(ws::opcode::text, "x") == ws::error::none);
        got = other.session.take_output();
      }
      got = s.session.take_output(got);
      CHECK((std::string(got.data, got.size) == front));
      CHECK(s.session.output().data() == first_lent.data());
      s.session.consume(got.size + first_lent.size());
      CHECK(returned(s.session) == "1 ");
      got = s.session.take_output(got);
      CHECK((std::string(got.data, got.size) == frame(ws::role::server, 0x82, sim::pattern(1000))));
      s.session.free_buffer(got);
    }
}

TEST_CASE("a server lends a large prepared message and copies a small one", "[session][output]") {
  const ws::prepared_message small{ws::opcode::binary, sim::pattern(100)}, large{ws::opcode::binary, sim::pattern(10'000)};
  side s{ws::role::server, defaults()};
  CHECK(s.session.send(large) == ws::error::none);
  CHECK(s.session.send(small) == ws::error::none);
  ws::slice slices[4];
  REQUIRE(s.session.output(slices) == 2);
  CHECK(slices[0].size == 10'004);
  CHECK(slices[0].data + 4 == large.payload().data());
  CHECK(slices[1].size == 102);
  CHECK(slices[1].data + 2 != small.payload().data());
}

TEST_CASE("what a client borrowed goes with the buffer that is taken: its token is free, nothing is in the way", "[session][output]") {
  side s{ws::role::client, defaults()};
  CHECK(s.session.send_borrowed(ws::opcode::text, "one", token(1)) == ws::error::none);
  ws::output_buffer taken = s.session.take_output();
  CHECK(taken.size == 3 + 6);
  s.session.consume(taken.size);
  CHECK(s.session.buffered_amount() == 0);
  CHECK(returned(s.session) == "1 ");
  CHECK(s.session.send_borrowed(ws::opcode::text, "two", token(2)) == ws::error::none);
  taken = s.session.take_output(taken);
  s.session.consume(taken.size);
  CHECK(s.session.send(ws::opcode::text, "three") == ws::error::none);
  CHECK(s.session.output().size() == 5 + 6);
  CHECK(s.sent() == "-> text \"three\"\n");
  CHECK(returned(s.session) == "2 ");
  s.session.free_buffer(taken);
}

// ---- water marks

TEST_CASE("backed_up from the high-water mark until the low-water mark", "[session][output]") {
  for (const ws::role self : both_roles) {
    ws::options opt;
    opt.high_water = 1000;
    opt.low_water = 300;
    side s{self, opt};
    const std::size_t head = self == ws::role::server ? 2 : 6;
    const auto grow_to = [&](std::size_t n) {
      while (s.session.buffered_amount() < n) {
        const std::size_t missing = n - static_cast<std::size_t>(s.session.buffered_amount());
        const std::size_t payload = missing > 100 ? 50 : missing - head;
        CHECK(s.session.send(ws::opcode::binary, std::string(payload, 'x')) == ws::error::none);
      }
      CHECK(s.session.buffered_amount() == n);
    };
    CHECK(!s.session.backed_up());
    grow_to(999);
    CHECK(!s.session.backed_up());
    s.session.consume(100);
    grow_to(1000);
    CHECK(s.session.backed_up());
    s.session.consume(699);  // 301 are left
    CHECK(s.session.backed_up());
    s.session.consume(1);
    CHECK(!s.session.backed_up());
    grow_to(999);
    CHECK(!s.session.backed_up());
    grow_to(1100);
    CHECK(s.session.backed_up());
    const ws::output_buffer taken = s.session.take_output();
    CHECK(s.session.backed_up());
    s.session.consume(taken.size - 301);
    CHECK(s.session.backed_up());
    s.session.consume(1);
    CHECK(!s.session.backed_up());
    s.session.free_buffer(taken);
  }
}

TEST_CASE("borrowed bytes count as buffered", "[session][output]") {
  ws::options opt;
  opt.high_water = 1000;
  opt.low_water = 300;
  side s{ws::role::server, opt};
  const std::string lent(996, 'x');
  CHECK(s.session.send_borrowed(ws::opcode::binary, lent, token(1)) == ws::error::none);
  CHECK(s.session.buffered_amount() == 1000);
  CHECK(s.session.backed_up());
  s.session.consume(4);
  s.session.consume(695);
  CHECK(s.session.backed_up());
  s.session.consume(1);
  CHECK(!s.session.backed_up());
}

TEST_CASE("F19 a flood of pings that nobody drains: the output stays bounded, the latest is answered",
          "[session][output][F19]") {
  for (const ws::role self : both_roles) {
    ws::options opt;
    opt.high_water = 10'000;
    opt.low_water = 2'000;
    counting_allocator memory;
    side s{self, opt, true, memory.hook()};
    std::string flood;
    for (int i = 0; i < 1000; ++i) flood += frame(other(self), 0x89, std::to_string(i) + std::string(120, '.'));
    for (int i = 0; i < 20; ++i) {
      s.log = {};
      s.read(flood);
    }
    CHECK(s.session.buffered_amount() <= 10'000 + 131);
    CHECK(memory.bytes < 64 * 1024);
    CHECK(s.session.backed_up());
    s.log = {};
    s.read(frame(other(self), 0x89, "the latest"));
    CHECK(s.events() == "ping \"the latest\"\n");
    const std::string sent = s.sent();
    CHECK(sent.ends_with("-> pong \"the latest\"\n"));
    CHECK(s.session.buffered_amount() == 0);
    s.read(frame(other(self), 0x89, "after"));
    CHECK(s.sent() == "-> pong \"after\"\n");
  }
}

TEST_CASE("a Close is queued although the output is backed up", "[session][output][K13]") {
  for (const ws::role self : both_roles) {
    ws::options opt;
    opt.high_water = 10;
    opt.low_water = 5;
    side s{self, opt};
    CHECK(s.session.send(ws::opcode::text, "a message that is too long for it") == ws::error::none);
    CHECK(s.session.backed_up());
    s.read(frame(other(self), 0x89, "ping") + wire::close_frame(other(self), 1000));
    CHECK(s.session.state() == ws::close_state::closed);
    CHECK(s.session.wants() == (self == ws::role::server ? ws::transport::flush : ws::transport::keep));
    CHECK(s.sent() == "-> text \"a message that is too long for it\"\n-> close 1000 \"\"\n");
    CHECK(s.session.wants() == (self == ws::role::server ? ws::transport::half_close : ws::transport::keep));
  }
}

TEST_CASE("a slow reader: memory stays in proportion to what waits", "[session][output]") {
  counting_allocator memory;
  side s{ws::role::server, defaults(), true, memory.hook()};
  const std::string message = sim::pattern(1000);
  CHECK(s.session.ping("never quite empty") == ws::error::none);
  for (int i = 0; i < 5000; ++i) {
    CHECK(s.session.send(ws::opcode::binary, message) == ws::error::none);
    s.session.consume(i % 2 == 0 ? 1003 : 1005);  // 4 bytes of head: it is drained as fast as it grows
    if (s.session.buffered_amount() > 3000) FAIL("the output grows");
  }
  CHECK(memory.bytes < 16 * 1024);
  CHECK(memory.calls < 10);
}

TEST_CASE("buffers grow by doubling: a megabyte in small parts asks for memory a few times", "[session][output]") {
  for (const ws::role self : both_roles) {
    counting_allocator memory;
    side s{self, defaults(), true, memory.hook()};
    for (int i = 0; i < 10'000; ++i) CHECK(s.session.send(ws::opcode::binary, sim::pattern(100)) == ws::error::none);
    CHECK(memory.calls <= 16);
    memory.calls = 0;
    for (int i = 0; i < 10'000; ++i) s.read(frame(other(self), i == 0 ? 0x02 : 0x00, sim::pattern(100)));
    CHECK(memory.calls <= 18);
  }
}

TEST_CASE("F21 each frame of a client has another key, a server masks nothing", "[session][output][F21]") {
  side client{ws::role::client, defaults()}, server{ws::role::server, defaults()};
  for (side* s : {&client, &server}) {
    for (int i = 0; i < 500; ++i) CHECK(s->session.send(ws::opcode::text, "same") == ws::error::none);
    for (int i = 0; i < 50; ++i) s->read(frame(other(s->self), 0x89, "p"));
    CHECK(s->session.close() == ws::error::none);
    std::set<std::string> keys;
    const std::string lines = wire::describe_sent(s->self, s->take(), &keys);
    CHECK(lines.find("BAD") == lines.npos);
    CHECK(keys.size() == (s->self == ws::role::client ? 551U : 0U));
  }
}

TEST_CASE("wants: flush while there is output, whatever the end", "[session][output][K11][K15]") {
  const struct {
    const char* name;
    ws::role self;
    void (*act)(side&);
    ws::transport then;
  } rows[] = {
      {"nothing", ws::role::server, [](side&) {}, ws::transport::keep},
      {"our Close", ws::role::server, [](side& s) { CHECK(s.session.close() == ws::error::none); }, ws::transport::keep},
      {"server, both", ws::role::server, [](side& s) { s.read(wire::close_frame(ws::role::client, 1000)); }, ws::transport::half_close},
      {"client, both", ws::role::client, [](side& s) { s.read(wire::close_frame(ws::role::server, 1000)); }, ws::transport::keep},
      {"server, a broken rule", ws::role::server, [](side& s) { s.read("\xFF"); }, ws::transport::half_close},
      {"client, a broken rule", ws::role::client, [](side& s) { s.read("\xFF"); }, ws::transport::half_close},
  };
  for (const auto& row : rows) {
    INFO(row.name);
    side s{row.self, defaults()};
    row.act(s);
    for (; s.session.buffered_amount() != 0; s.session.consume(1)) {
      const ws::transport wants = s.session.wants();
      CHECK((wants == ws::transport::flush || (wants == ws::transport::keep && row.then == ws::transport::keep)));
    }
    CHECK(s.session.wants() == row.then);
    if (row.then == ws::transport::keep && s.session.state() != ws::close_state::closed) continue;
    s.eof();
    CHECK(s.session.wants() == ws::transport::drop);
  }
}

TEST_CASE("K12 a transport that could not be had is dropped at once, though the request was never sent", "[session][output][K12]") {
  side s{ws::role::client, defaults(), false};
  CHECK(s.session.connect({.host = "example.org"}) == ws::error::none);
  CHECK(s.session.wants() == ws::transport::keep);
  s.eof();
  CHECK(s.session.why() == ws::error::connection_lost);
  CHECK(s.session.buffered_amount() != 0);
  CHECK(s.session.wants() == ws::transport::drop);
  // After an open connection's end what is queued may still be wanted: a peer can end its side and go on reading.
  side half{ws::role::server, defaults()};
  CHECK(half.session.send(ws::opcode::text, "for who still reads") == ws::error::none);
  half.eof();
  CHECK(half.session.wants() == ws::transport::flush);
  CHECK(half.sent() == "-> text \"for who still reads\"\n");
  CHECK(half.session.wants() == ws::transport::drop);
}

TEST_CASE("K15 what arrives after the end is eaten, up to a bound", "[session][output][K15]") {
  ws::options opt;
  opt.max_discarded = 1000;
  for (const bool rejected : {false, true})
    for (const bool prepared : {false, true}) {
      side s{ws::role::server, opt, !rejected};
      s.read(rejected ? std::string{"POST / HTTP/1.1\r\n\r\n"} : wire::close_frame(ws::role::client, 1000));
      (void)s.take();
      const std::string late(500, 'x');
      const auto read = [&](std::string_view bytes) { prepared ? s.read_prepared(bytes, 100) : s.read(bytes); };
      read(late);
      read(late);
      CHECK(s.session.wants() == ws::transport::half_close);
      read("x");
      CHECK(s.session.wants() == ws::transport::drop);
      CHECK(s.session.buffered_amount() == 0);
    }
}
