// An echo server over standalone Asio, a coroutine a client.       (Debian: libasio-dev)
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

struct client {
  tcp::socket socket;
  asio::steady_timer timer;
  ws::session session;
  ws::output_buffer writing;  // stays put while it is written

  client(tcp::socket from, const ws::options& options)
      : socket(std::move(from)), timer(socket.get_executor()), session(ws::role::server, options) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { session.free_buffer(writing); }
};

// Closes the socket when a deadline has passed, which ends whatever is awaited. They need not be exact.
void watch(const std::shared_ptr<client>& c) {
  c->timer.expires_after(std::chrono::milliseconds(500));
  c->timer.async_wait([c](std::error_code cancelled) {
    if (cancelled || !c->socket.is_open()) return;
    (void)c->session.tick(now());
    if (c->session.wants() == ws::transport::drop) c->socket.close(cancelled);
    watch(c);
  });
}

// Reads, answers, and writes all of it before it reads again: so a peer that does not read is not read from.
asio::awaitable<void> serve(std::shared_ptr<client> c) {
  watch(c);
  ws::session& session = c->session;
  char memory[16 * 1024];
  bool half_closed = false;
  for (std::error_code failed; !failed;) {
    while (!failed && session.buffered_amount() != 0) {
      c->writing = session.take_output(c->writing);
      for (std::size_t done = 0, n = 0; !failed && done != c->writing.size; done += n) {
        n = co_await c->socket.async_write_some(asio::buffer(c->writing.data + done, c->writing.size - done),
                                                asio::redirect_error(asio::use_awaitable, failed));
        session.consume(n);
      }
    }
    if (session.wants() == ws::transport::half_close && !half_closed) {
      half_closed = true;
      c->socket.shutdown(tcp::socket::shutdown_send, failed);
    }
    if (failed || session.wants() == ws::transport::drop) break;
    const std::size_t n = co_await c->socket.async_read_some(asio::buffer(memory), asio::redirect_error(asio::use_awaitable, failed));
    std::span<char> bytes{memory, n};
    if (failed == asio::error::eof) {  // there may be an answer to send
      failed.clear();
      (void)session.end_of_input();
    }
    while (const ws::event ev = session.next(bytes)) {
      if (ev.type == ws::event_type::request) session.accept();
      if (ev.type == ws::event_type::message) session.send(ev.opcode, ev.payload);
    }
  }
  std::error_code ignored;
  c->socket.close(ignored);
  c->timer.cancel();
}

asio::awaitable<void> listen(tcp::acceptor& listener, const ws::options& options) {
  for (;;) {
    std::error_code failed;
    tcp::socket socket = co_await listener.async_accept(asio::redirect_error(asio::use_awaitable, failed));
    if (!failed) co_spawn(listener.get_executor(), serve(std::make_shared<client>(std::move(socket), options)), asio::detached);
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
