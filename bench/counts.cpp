// Twelve fixed workloads whose instructions bench/counts counts under callgrind. Unlike times they do not depend on what
// else the machine does, so a test can notice a regression. One kernel is forced, so that every machine runs the same.
#include <valgrind/callgrind.h>

#include <algorithm>
#include <wscodec.hpp>

#include "bench.hpp"

namespace ws = wscodec;
using bench::content;

namespace bench {
heap_use heap_now() { return {}; }  // nobody counts allocations here
}  // namespace bench

namespace {

bool always_the_same(void*, char* to, std::size_t n) {
  std::memset(to, 0x5A, n);
  return true;
}

const ws::options opt;
ws::masking_keys keys{always_the_same};
char scratch[ws::min_scratch];

template <class Work>
void count(const char* name, Work work) {
  work();  // the first time decides and allocates
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  work();
  CALLGRIND_DUMP_STATS_AT(name);
  CALLGRIND_STOP_INSTRUMENTATION;
}

template <class Codec>
__attribute__((noinline)) void receive(Codec& codec, const bench::workload& w, char* wire) {
  for (std::size_t at = 0; at < w.wire.size(); at += w.read_size) {
    std::span<char> bytes{wire + at, std::min(w.read_size, w.wire.size() - at)};
    while (const ws::event ev = codec.next(bytes))
      if (ev.type == ws::event_type::failed) bench::give_up("counts", "broken");
  }
}

template <class Codec>
void count_receiving(const char* name, Codec codec, const bench::workload& w) {
  bench::wire_bytes wire = w.wire;
  receive(codec, w, wire.data());
  wire = w.wire;  // it was unmasked in place
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  receive(codec, w, wire.data());
  CALLGRIND_DUMP_STATS_AT(name);
  CALLGRIND_STOP_INSTRUMENTATION;
}

ws::connection a_connection() { return {ws::role::server, ws::negotiated{}, opt, scratch}; }
ws::session a_session() { return ws::session{ws::role::server, ws::negotiated{}, opt}; }

void count_sending(const char* name, bool client, std::size_t payload) {
  ws::connection codec{client ? ws::role::client : ws::role::server, ws::negotiated{}, opt, scratch, &keys};
  const std::string message = bench::make_payload(content::bytes, payload, 1);
  count(name, [&] {
    for (int i = 0; i < 100; ++i) {
      ws::output out{{bench::send_buffer, bench::send_buffer_size}};
      if (codec.send(out, ws::opcode::binary, message) != ws::error::none) bench::give_up("counts", "cannot send");
    }
  });
}

}  // namespace

int main() {
#if defined(__x86_64__)
  if (!ws::detail::force_kernels(ws::detail::ssse3_kernels)) bench::give_up("counts", "cannot force a kernel");
#endif
  using bench::receiving;
  count_receiving("connection, 100 binary of 16 B", a_connection(), receiving(true, content::bytes, 16, 1600));
  count_receiving("connection, 100 binary of 125 B", a_connection(), receiving(true, content::bytes, 125, 12500));
  count_receiving("connection, 100 binary of 1 KiB", a_connection(), receiving(true, content::bytes, 1024, 102400));
  count_receiving("connection, binary of 64 KiB", a_connection(), receiving(true, content::bytes, 65536, 65536));
  count_receiving("connection, 100 ASCII of 125 B", a_connection(), receiving(true, content::ascii, 125, 12500));
  count_receiving("connection, 100 mixed scripts of 1 KiB", a_connection(), receiving(true, content::mixed_scripts, 1024, 102400));
  count_receiving("connection, 1 KiB byte by byte", a_connection(), receiving(true, content::bytes, 1024, 1024, 1));
  count_receiving("session, 100 binary of 16 B", a_session(), receiving(true, content::bytes, 16, 1600));
  count_receiving("session, 64 KiB ASCII in fragments of 1 KiB", a_session(), receiving(true, content::ascii, 65536, 65536, 65536, 1024));
  count_sending("connection, 100 sends of 125 B", false, 125);
  count_sending("connection, 100 masked sends of 1 KiB", true, 1024);
  count("connection, 10 opening handshakes", [] {
    for (int i = 0; i < 10; ++i) {
      std::string request = bench::browser_request;
      std::span<char> bytes{request};
      ws::connection codec{ws::role::server, opt, scratch};
      ws::output out{{bench::send_buffer, bench::send_buffer_size}};
      if (codec.next(bytes).type != ws::event_type::request || codec.accept(out) != ws::error::none)
        bench::give_up("counts", "cannot accept");
    }
  });
}
