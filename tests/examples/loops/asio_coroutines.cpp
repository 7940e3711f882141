// An echo server over standalone Asio: a coroutine that reads and one that writes for each client.       (Debian: libasio-dev,
// whose Asio 1.22 knows clang's coroutines by -DASIO_HAS_CO_AWAIT -DASIO_HAS_STD_COROUTINE only, from some clang after 14 on)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/asio_coroutines.cpp -o asio_coroutines_echo -lz && ./asio_coroutines_echo [--port N]
#include <asio.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;
using asio::ip::tcp;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

using asio::redirect_error;
using asio::use_awaitable;

// What a coroutine sleeps on until another one wakes it: a timer that never expires. What it waits for it looks at first,
// for nobody is woken who does not sleep.
struct bell {
  asio::steady_timer timer;

  explicit bell(const asio::any_io_executor& loop) : timer(loop) {}
  asio::awaitable<void> wait() {
    std::error_code woken;
    timer.expires_at(asio::steady_timer::time_point::max());
    co_await timer.async_wait(redirect_error(use_awaitable, woken));
  }
  void ring() { timer.cancel(); }
};

struct client {
  tcp::socket socket;
  asio::steady_timer ticks;
  bell output, room;  // there is something to send, or to do; so much was sent that reading may go on
  ws::session session;
  ws::output_buffer writing;  // stays put while it is written; two of them circulate

  client(tcp::socket from, const ws::options& options)
      : socket(std::move(from)), ticks(socket.get_executor()), output(socket.get_executor()), room(socket.get_executor()),
        session(ws::role::server, options) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { session.free_buffer(writing); }

  // Ends whatever is awaited.
  void end() {
    std::error_code ignored;
    socket.close(ignored);
    ticks.cancel();
    output.ring();
    room.ring();
  }
};

// Deadlines need not be exact: twice a second is enough. What they queue, pings too, is written whether anything is read or not.
asio::awaitable<void> tick(std::shared_ptr<client> c) {
  while (c->socket.is_open()) {
    (void)c->session.tick(now());
    if (c->session.wants() == ws::transport::drop) c->end();
    c->output.ring();
    std::error_code cancelled;
    c->ticks.expires_after(std::chrono::milliseconds(500));
    co_await c->ticks.async_wait(redirect_error(use_awaitable, cancelled));
  }
}

// Nothing is read from a peer that does not read.
asio::awaitable<void> read(std::shared_ptr<client> c) {
  ws::session& session = c->session;
  char memory[16 * 1024];
  for (std::error_code failed; !failed;) {
    while (session.backed_up() && c->socket.is_open()) co_await c->room.wait();
    const std::size_t n = co_await c->socket.async_read_some(asio::buffer(memory), redirect_error(use_awaitable, failed));
    (void)session.tick(now());  // what `next` tells of happens at the time of the last tick
    if (failed) (void)session.end_of_input();
    std::span<char> bytes{memory, n};
    while (const ws::event ev = session.next(bytes)) {
      if (ev.type == ws::event_type::request) session.accept();
      if (ev.type == ws::event_type::message) session.send(ev.opcode, ev.payload);
    }
    c->output.ring();
  }
}

asio::awaitable<void> write(std::shared_ptr<client> c) {
  ws::session& session = c->session;
  bool half_closed = false;
  for (std::error_code failed; !failed && session.wants() != ws::transport::drop;) {
    if (session.wants() == ws::transport::half_close && !half_closed) {
      half_closed = true;
      c->socket.shutdown(tcp::socket::shutdown_send, failed);
      continue;
    }
    c->writing = session.take_output(c->writing);
    if (c->writing.size == 0) co_await c->output.wait();
    for (std::size_t done = 0, n = 0; !failed && done != c->writing.size; done += n) {
      n = co_await c->socket.async_write_some(asio::buffer(c->writing.data + done, c->writing.size - done),
                                              redirect_error(use_awaitable, failed));
      session.consume(n);
      if (!session.backed_up()) c->room.ring();
    }
  }
  c->end();
}

asio::awaitable<void> listen(tcp::acceptor& listener, const ws::options& options) {
  for (;;) {
    std::error_code failed;
    tcp::socket socket = co_await listener.async_accept(redirect_error(use_awaitable, failed));
    if (failed) continue;
    const auto c = std::make_shared<client>(std::move(socket), options);
    for (auto* const part : {tick, read, write}) co_spawn(listener.get_executor(), part(c), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;
  asio::io_context loop;
  tcp::acceptor listener{loop, {asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(port)}};
  std::printf("listening on ws://127.0.0.1:%d\n", listener.local_endpoint().port());
  std::fflush(stdout);
  co_spawn(loop, listen(listener, options), asio::detached);
  loop.run();
}
