// Arbitrary messages through two sessions that compress: what arrives is what was sent, whatever windows, levels, takeover
// and thresholds were agreed, whole or in pieces, the queue holds little more than was sent, and memory is what zlib says that it takes.
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

#include "fuzz.hpp"

namespace ws = wscodec;
using split = fuzz::splits::how;

namespace {

bool same_key(void*, char* to, std::size_t n) {
  std::memset(to, 0x5A, n);
  return true;
}

/// Lets all that was sent arrive: that is this one message, and nothing else happens.
void arrives(ws::session& from, ws::session& to, ws::opcode op, std::string_view message, fuzz::splits& pieces) {
  std::size_t arrived = 0;
  while (!from.output().empty()) {
    const fuzz::exact read{from.output().substr(0, pieces.next(from.output().size()))};
    from.consume(read.size());
    std::span<char> bytes = read.bytes();
    fuzz::feed(to, bytes, [&](const ws::event& ev) {
      REQUIRE(ev.type == ws::event_type::message && ev.opcode == op && ev.payload == message);
      ++arrived;
    });
  }
  REQUIRE(arrived == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  const unsigned a = input.byte(), b = input.byte(), c = input.byte();
  ws::deflate_options deflate{.engine = &ws::zlib_engine};
  deflate.level = static_cast<std::int8_t>(a % 10);
  deflate.memory_level = static_cast<std::uint8_t>(1 + b % 9);
  deflate.threshold = (c & 1U) != 0 ? 0 : 64;
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &hook;
  ws::deflate_agreement agreed;
  agreed.server_no_context_takeover = (c & 2U) != 0;
  agreed.client_no_context_takeover = (c & 4U) != 0;
  agreed.server_max_window_bits = static_cast<std::uint8_t>(8 + (c >> 3U) % 8);
  agreed.client_max_window_bits = static_cast<std::uint8_t>(15 - (b >> 4U) % 8);

  // A compressor takes four windows and its hashes, an inflater one; a message has at most 960 bytes.
  std::size_t most = 16 * 1024;
  for (const unsigned bits : {agreed.server_max_window_bits, agreed.client_max_window_bits})
    most += (std::size_t{5} << bits) + (std::size_t{512} << deflate.memory_level) + 24 * 1024;

  fuzz::counted_memory memory;
  ws::masking_keys keys{&same_key, nullptr};
  {
    ws::session server{ws::role::server, {&hook, agreed.number()}, options, nullptr, &memory.hook};
    ws::session client{ws::role::client, {&hook, agreed.number()}, options, &keys, &memory.hook};
    fuzz::splits pieces{split::random, a};
    std::string_view rest = input.rest();
    while (!rest.empty()) {
      // A message begins with how it goes: by whom, in pieces, prepared for many, or after the memory was given back.
      const auto how = static_cast<unsigned char>(rest[0]);
      rest.remove_prefix(1);
      const std::string_view message = rest.substr(0, (how & 0xF0U) * 4U);
      rest.remove_prefix(message.size());
      ws::session& from = (how & 1U) != 0 ? client : server;
      ws::session& to = (how & 1U) != 0 ? server : client;
      if ((how & 8U) != 0) from.release(), to.release();
      if ((how & 2U) != 0) {
        const std::size_t half = message.size() / 2;
        REQUIRE(from.send(ws::opcode::binary, message.substr(0, half), false) == ws::error::none);
        REQUIRE(from.send(ws::opcode::binary, message.substr(half), true) == ws::error::none);
      } else if ((how & 4U) != 0) {
        const ws::prepared_message prepared{ws::opcode::binary, message, &memory.hook};
        REQUIRE(from.send(prepared) == ws::error::none);
      } else {
        REQUIRE(from.send(ws::opcode::binary, message) == ws::error::none);
      }
      REQUIRE(from.buffered_amount() <= message.size() + message.size() / 8 + 64);
      arrives(from, to, ws::opcode::binary, message, pieces);
      REQUIRE(memory.live <= most);
    }
  }
  REQUIRE(memory.live == 0);
  return 0;
}
