// Sessions on several threads that share what may be shared: options, prepared messages, and the kernels that the first use
// chooses. For the thread sanitizer. Prints `N passed, N failed`.
#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>
#include <wscodec.hpp>

namespace ws = wscodec;

int main() {
  const ws::options options;
  const std::string text(2000, 'x');
  const ws::prepared_message shared{ws::opcode::text, text};
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
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
  std::printf("%d passed, %d failed\n", good == 800, good != 800);
  return good != 800;
}
