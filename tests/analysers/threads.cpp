// Sessions on several threads that share what may be shared: options, prepared messages with their compressed copies, and the
// kernels that the first use chooses. For the thread sanitizer. Prints `N passed, N failed`.
#include <atomic>
#include <barrier>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

constexpr int how_many = 4;

/// D16: threads ask at once for the compressed copies of a message, which the first to have one gives to all.
bool share_compressed() {
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook hook = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &hook;
  const std::string text(2000, 'x');
  constexpr int rounds = 200;
  std::vector<ws::prepared_message> messages;
  for (int i = 0; i < rounds; ++i) messages.push_back(ws::prepared_message{ws::opcode::text, text});
  std::barrier<> together{how_many};
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < how_many; ++t)
    threads.emplace_back([&, t] {
      ws::deflate_agreement agreed;
      agreed.server_max_window_bits = static_cast<std::uint8_t>(t % 2 == 0 ? 15 : 9);
      for (const ws::prepared_message& message : messages) {
        ws::session server{ws::role::server, {&hook, agreed.number()}, options}, client{ws::role::client, {&hook, agreed.number()}, options};
        together.arrive_and_wait();
        (void)server.send(message);
        bool got = false;
        while (!server.output().empty()) {
          std::string bytes{server.output()};
          got = bytes.size() < text.size();
          server.consume(bytes.size());
          std::span<char> rest{bytes};
          while (const ws::event ev = client.next(rest)) got = got && ev.payload == text;
        }
        good += got;
      }
    });
  for (std::thread& t : threads) t.join();
  return good == how_many * rounds;
}

bool share_plain() {
  const ws::options options;
  const std::string text(2000, 'x');
  const ws::prepared_message shared{ws::opcode::text, text};
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < how_many; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const ws::prepared_message mine = shared;  // counts a reference
        ws::session server{ws::role::server, ws::negotiated{}, options}, client{ws::role::client, ws::negotiated{}, options};
        (void)server.send(mine);
        (void)server.send(shared);
        std::size_t got = 0;
        while (!server.output().empty()) {
          std::string bytes{server.output()};
          server.consume(bytes.size());
          std::span<char> rest{bytes};
          while (const ws::event ev = client.next(rest)) got += ev.payload == text;
        }
        char masked[300] = {};
        ws::mask(masked, sizeof masked, 0x01020304);
        good += got == 2 && ws::is_utf8(text);
      }
    });
  for (std::thread& t : threads) t.join();
  return good == how_many * 200;
}

}  // namespace

int main() {
  int passed = 0, failed = 0;
  for (const bool good : {share_plain(), share_compressed()}) ++(good ? passed : failed);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed;
}
