// Messages that are prepared once and sent to many sessions, without compression (with it: test_session_deflate.cpp).
#include "wscodec/prepared_message.hpp"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/counting_allocator.hpp"
#include "support/link.hpp"
#include "support/wire.hpp"

using namespace wire;
using sim::side;

namespace {

const ws::options defaults;

std::string sent_as(ws::role self, const ws::prepared_message& message) {
  side s{self, defaults};
  CHECK(s.session.send(message) == ws::error::none);
  return s.take();
}

}  // namespace

TEST_CASE("a prepared message is sent like any other, by both roles", "[prepared_message]") {
  for (const std::size_t size : {0U, 1U, 125U, 126U, 500U, 520U, 65535U, 65536U, 1000000U}) {
    const std::string payload(size, 'x');
    const ws::prepared_message message{ws::opcode::text, payload};
    REQUIRE(message.why() == ws::error::none);
    CHECK(message.payload() == payload);
    CHECK(sent_as(ws::role::server, message) == frame(ws::role::server, 0x81, payload));
    side client{ws::role::client, defaults};
    side server{ws::role::server, defaults};
    CHECK(client.session.send(message) == ws::error::none);
    CHECK(client.session.send(message) == ws::error::none);
    std::size_t messages = 0;
    server.on_event = [&](const ws::event& ev) { messages += ev.payload == payload ? 1U : 0U; };
    server.read(client.take());
    CHECK(messages == 2);
  }
  CHECK(sent_as(ws::role::server, {ws::opcode::binary, "\xFF"}) == "\x82\x01\xFF");
}

TEST_CASE("what cannot be a message says so, and so does every send of it", "[prepared_message][F22]") {
  for (const auto& [message, why] : {std::pair{ws::prepared_message{ws::opcode::text, "\xC3"}, ws::error::send_text_not_utf8},
                                     std::pair{ws::prepared_message{ws::opcode::text, "a\xFF"}, ws::error::send_text_not_utf8},
                                     std::pair{ws::prepared_message{ws::opcode::ping, "a"}, ws::error::opcode_not_sendable},
                                     std::pair{ws::prepared_message{ws::opcode::continuation, "a"}, ws::error::opcode_not_sendable}}) {
    CHECK(message.why() == why);
    CHECK(message.payload() == "");
    side s{ws::role::server, defaults};
    CHECK(s.session.send(message) == why);
    CHECK(s.session.buffered_amount() == 0);
  }
}

TEST_CASE("a prepared message, and one that failed, can be copied and assigned", "[prepared_message]") {
  counting_allocator memory;
  {
    const ws::prepared_message first{ws::opcode::text, "good", memory.hook()};
    const ws::prepared_message second{first};
    CHECK(second.payload().data() == first.payload().data());
    CHECK(second.why() == ws::error::none);
  }
  CHECK(memory.idle());
  const ws::prepared_message bad{ws::opcode::text, "\xC3"};
  const ws::prepared_message copy{bad};
  CHECK(copy.why() == ws::error::send_text_not_utf8);
  ws::prepared_message other{ws::opcode::text, "good"};
  other = bad;
  CHECK(other.why() == ws::error::send_text_not_utf8);
  CHECK(other.payload().empty());
  other = ws::prepared_message{ws::opcode::text, "again"};
  CHECK(other.payload() == "again");
}

TEST_CASE("F23 a message longer than all memory cannot be prepared", "[prepared_message][F23]") {
  counting_allocator memory;
  const char byte = 'x';
  const ws::prepared_message message{ws::opcode::binary, {&byte, ~std::size_t{0} / 2}, memory.hook()};  // nothing of it is read
  CHECK(message.why() == ws::error::out_of_memory);
  CHECK(memory.idle());
}

TEST_CASE("a prepared message keeps to the order of what is sent", "[prepared_message][K13]") {
  const ws::prepared_message message{ws::opcode::text, std::string(1000, 'x')};
  side s{ws::role::server, defaults};
  CHECK(s.session.send(ws::opcode::text, "a", false) == ws::error::none);
  CHECK(s.session.send(message) == ws::error::send_out_of_order);
  CHECK(s.session.send(ws::opcode::text, "b", true) == ws::error::none);
  CHECK(s.session.send(message) == ws::error::none);
  CHECK(s.session.close() == ws::error::none);
  CHECK(s.session.send(message) == ws::error::already_closing);
  CHECK(s.take() == frame(ws::role::server, 0x01, "a") + frame(ws::role::server, 0x80, "b") +
                        frame(ws::role::server, 0x81, message.payload()) + close_frame(ws::role::server, 1000));
  side early{ws::role::server, defaults, false};
  CHECK(early.session.send(message) == ws::error::not_open);
}

TEST_CASE("prepared, borrowed and copied messages leave in order, however the output is taken", "[prepared_message]") {
  const std::string lent(700, 'l');
  for (std::size_t step = 1; step < 2600; step += step < 20 ? 1 : 97)
    for (const bool gather : {false, true}) {
      counting_allocator memory;
      {
        ws::prepared_message message{ws::opcode::binary, std::string(600, 'p'), memory.hook()};
        side s{ws::role::server, defaults, true, memory.hook()};
        int first = 0, second = 0;
        CHECK(s.session.send(message) == ws::error::none);
        CHECK(s.session.send_borrowed(ws::opcode::binary, lent, &first) == ws::error::none);
        CHECK(s.session.send(message) == ws::error::none);
        CHECK(s.session.send(ws::opcode::binary, "copied") == ws::error::none);
        CHECK(s.session.send_borrowed(ws::opcode::binary, "", &second) == ws::error::none);
        CHECK(s.session.send(message) == ws::error::none);
        const std::string prepared = frame(ws::role::server, 0x82, message.payload());
        // The sessions keep it.
        message = {ws::opcode::text, "another"};
        const std::string all = prepared + frame(ws::role::server, 0x82, lent) + prepared +
                                frame(ws::role::server, 0x82, "copied") + frame(ws::role::server, 0x82, "") + prepared;
        CHECK(s.session.buffered_amount() == all.size());
        std::string got;
        std::vector<void*> tokens;
        while (s.session.buffered_amount() != 0) {
          std::array<ws::slice, 3> slices;
          std::string bytes;
          const std::size_t n = s.session.output(slices);
          for (std::size_t i = 0; i < n; ++i) bytes.append(slices[i].data, slices[i].size);
          if (!gather) bytes = s.session.output();
          bytes.resize(std::min(bytes.size(), step));
          got += bytes;
          s.session.consume(bytes.size());
          for (void* token = nullptr; s.session.returned(token);) tokens.push_back(token);
        }
        CHECK(got == all);
        CHECK(tokens == std::vector<void*>{&first, &second});
        s.session.release();
      }
      CHECK(memory.idle());
    }
}

TEST_CASE("a session that goes away gives up what it has not sent", "[prepared_message]") {
  counting_allocator memory;
  {
    side s{ws::role::server, defaults, true, memory.hook()};
    for (int i = 0; i < 20; ++i)
      CHECK(s.session.send(ws::prepared_message{ws::opcode::binary, std::string(600, 'p'), memory.hook()}) == ws::error::none);
    s.session.consume(5 * 604 + 10);
    ws::session other = std::move(s.session);
    CHECK(other.buffered_amount() == 15 * 604 - 10);
  }
  CHECK(memory.idle());
}

TEST_CASE("ten thousand receivers share one copy", "[prepared_message]") {
  counting_allocator message_memory, memory;
  {
    const ws::prepared_message message{ws::opcode::binary, std::string(100000, 'x'), message_memory.hook()};
    std::vector<ws::session> room;
    for (int i = 0; i < 10000; ++i) {
      room.emplace_back(ws::role::server, sim::nothing_agreed, defaults, nullptr, memory.hook());
      REQUIRE(room.back().send(message) == ws::error::none);
    }
    CHECK(message_memory.blocks() == 1);
    CHECK(message_memory.bytes < 100300);
    CHECK(memory.bytes < 10000 * 300);
  }
  CHECK(memory.idle());
  CHECK(message_memory.idle());
}

TEST_CASE("a prepared message without memory is an error, nothing is lost", "[prepared_message]") {
  for (std::size_t fail_at = 0;; ++fail_at) {
    counting_allocator memory;
    memory.fail_at = fail_at;
    {
      const ws::prepared_message message{ws::opcode::binary, std::string(600, 'p'), memory.hook()};
      side s{ws::role::server, defaults, true, memory.hook()};
      std::size_t sent = 0;
      for (int i = 0; i < 10; ++i) {
        const ws::error why = s.session.send(message);
        sent += why == ws::error::none ? 1U : 0U;
        if (why != ws::error::none) CHECK(why == ws::error::out_of_memory);
      }
      CHECK(s.take().size() == sent * 604);
      if (memory.refused == 0) {
        CHECK(sent == 10);
        break;
      }
    }
    CHECK(memory.idle());
  }
}
