// Bytes that a session holds for permessage-deflate, by window and memory level, measured through its allocator: after
// traffic in both directions, after `release()`, and what the settings cost in compression. README.md shows the table.
//
//   c++ -std=c++20 -O2 -Iinclude bench/deflate_memory.cpp -lz -o build/deflate_memory && build/deflate_memory
#include <cstdio>
#include <cstdlib>
#include <string>

#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::size_t live = 0;

void* reallocate(void*, void* memory, std::size_t old_size, std::size_t new_size) {
  live = live - old_size + new_size;
  return std::realloc(memory, new_size);
}
void give_back(void*, void* memory, std::size_t size) {
  live -= size;
  std::free(memory);
}

// An update as applications send them, about 400 bytes.
std::string update(unsigned i) {
  std::string out = "{\"type\":\"update\",\"sequence\":" + std::to_string(100000 + i) + ",\"items\":[";
  for (unsigned k = 0; k < 6; ++k)
    out += (k != 0 ? ",{" : "{") + std::string{"\"symbol\":\"S"} + std::to_string((i * 7919 + k * 104729) % 500) + "\",\"price\":" +
           std::to_string((i * 31 + k * 17) % 1000) + "." + std::to_string((i * 13 + k) % 100) + ",\"size\":" + std::to_string(i * k % 90) + "}";
  return out + "]}";
}

void transfer(ws::session& from, ws::session& to) {
  std::string bytes{from.output()};
  from.consume(bytes.size());
  std::span<char> rest{bytes};
  while (to.next(rest)) {
  }
}

}  // namespace

int main() {
  const ws::allocator counting{nullptr, reallocate, give_back};
  std::puts("| window bits | memory level | takeover | in use | after `release()` | sent, of 100 bytes |");
  std::puts("|---|---|---|---|---|---|");
  struct row {
    std::uint8_t bits, level;
    bool takeover;
  };
  for (const row r : {row{15, 8, true}, row{15, 5, true}, row{13, 6, true}, row{12, 5, true}, row{11, 4, true}, row{9, 1, true}, row{15, 8, false}, row{12, 5, false}}) {
    const ws::deflate_options opt{.engine = &ws::zlib_engine, .server_max_window_bits = r.bits, .client_max_window_bits = r.bits,
                                  .server_no_context_takeover = !r.takeover, .client_no_context_takeover = !r.takeover, .memory_level = r.level};
    const ws::extension_hook hook = ws::permessage_deflate(opt);
    ws::options options;
    options.extension = &hook;
    const ws::deflate_agreement agreed{!r.takeover, !r.takeover, r.bits, r.bits};
    live = 0;
    ws::session server{ws::role::server, {&hook, agreed.number()}, options, nullptr, &counting};
    ws::session other{ws::role::client, {&hook, agreed.number()}, options};
    std::size_t plain = 0, sent = 0;
    // The same bytes that the server sends come back to it as a client's frames: masked with the key 0.
    for (unsigned i = 0; i < 1000; ++i) {
      const std::string text = update(i);
      plain += text.size();
      if (server.send(ws::opcode::text, text) != ws::error::none) return 1;
      std::string bytes{server.output()};
      sent += bytes.size();
      const std::size_t head = static_cast<unsigned char>(bytes[1]) < 126 ? 2 : 4;
      bytes[1] = static_cast<char>(static_cast<unsigned char>(bytes[1]) | 0x80U);
      bytes.insert(head, 4, '\0');
      transfer(server, other);
      std::span<char> rest{bytes};
      const ws::event ev = server.next(rest);
      if (ev.type != ws::event_type::message || ev.payload != text) return 1;
    }
    const std::size_t used = live;
    server.release();
    std::printf("| %u | %u | %s | %zu | %zu | %.0f |\n", r.bits, r.level, r.takeover ? "yes" : "no", used, live,
                100.0 * static_cast<double>(sent) / static_cast<double>(plain));
  }
}
