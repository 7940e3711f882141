// Writes what a client and a server of ours say to each other with compression, in the form text2pcap reads.
//
//   c++ -std=c++20 -Iinclude tests/judges/exchange.cpp -o exchange -lz
//   ./exchange 15 15 yes yes        both windows, and whether server and client keep their context
//
// A packet is a line with I (from the client) or O (from the server) and lines of bytes. Before those of a message comes
// what a judge should make of it: `# DIRECTION COMPRESSED OPCODE MASKED HEX`.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

constexpr std::size_t segment = 1400;  // bytes of a packet: larger messages are of several

void print_packets(char direction, std::string_view bytes) {
  for (; !bytes.empty(); bytes.remove_prefix(bytes.size() < segment ? bytes.size() : segment)) {
    const std::string_view packet = bytes.substr(0, segment);
    std::printf("%c", direction);
    for (std::size_t i = 0; i < packet.size(); ++i) {
      if (i % 16 == 0) std::printf("\n%06zx", i);
      std::printf(" %02x", static_cast<unsigned>(static_cast<unsigned char>(packet[i])));
    }
    std::printf("\n\n");
  }
}

/// Hands on what `from` has to send. False when `to` finds fault with it.
bool deliver(ws::session& from, ws::session& to, char direction) {
  std::string bytes;
  while (!from.output().empty()) {
    bytes += from.output();
    from.consume(from.output().size());
  }
  print_packets(direction, bytes);
  std::span<char> rest{bytes};
  while (const ws::event ev = to.next(rest)) {
    if (ev.type == ws::event_type::request && to.accept() != ws::error::none) return false;
    if (ev.type == ws::event_type::failed || ev.type == ws::event_type::rejected) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine,
                                    .server_max_window_bits = static_cast<std::uint8_t>(std::atoi(argv[1])),
                                    .client_max_window_bits = static_cast<std::uint8_t>(std::atoi(argv[2])),
                                    .server_no_context_takeover = argv[3] == std::string_view{"no"},
                                    .client_no_context_takeover = argv[4] == std::string_view{"no"}};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  ws::masking_keys keys{ws::system_entropy};
  ws::session server{ws::role::server, options};
  ws::session client{ws::role::client, options, &keys};
  if (client.connect({.host = "localhost"}) != ws::error::none) return 1;
  if (!deliver(client, server, 'I') || !deliver(server, client, 'O') || client.agreed().agreement == 0) return 1;

  std::string prose, noise;
  for (unsigned i = 0; prose.size() < 70000; ++i) prose += "{\"id\":" + std::to_string(i * 7919 % 1000) + ",\"text\":\"Gr\xC3\xBC\xC3\x9F" "e \xE4\xB8\x96\"}";
  for (std::uint32_t i = 0, x = 1; i < 3000; ++i) noise += static_cast<char>((x = x * 1664525U + 1013904223U) >> 24);
  const auto front = [&](std::size_t size) {  // up to the end of a record
    return std::string_view{prose}.substr(0, prose.rfind('}', size) + 1);
  };
  const std::string_view texts[] = {front(100), front(100), "short", "", front(3000), front(65000), front(300), noise, front(1000)};
  for (const std::string_view text : texts)
    for (const bool from_server : {false, true}) {
      ws::session& from = from_server ? server : client;
      const ws::opcode op = text == noise ? ws::opcode::binary : ws::opcode::text;
      if (from.send(op, text) != ws::error::none) return 1;
      const bool compressed = (static_cast<unsigned char>(from.output()[0]) & 0x40U) != 0;
      std::printf("# %c %d %d %d ", from_server ? 'O' : 'I', compressed, static_cast<int>(op), !from_server);
      for (const char c : text) std::printf("%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      std::printf("\n");
      if (!deliver(from, from_server ? client : server, from_server ? 'O' : 'I')) return 1;
    }
}
