// A chat over standalone Asio with coroutines: each message goes to everybody, the sender too. Whoever does not keep up
// misses messages, and is told how many. Silent peers are pinged; Ctrl-C says 1001 to all.       (Debian: libasio-dev,
// see asio_coroutines.cpp for clang)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/asio_chat.cpp -o asio_chat -lz && ./asio_chat [--port N]
#include <asio.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;
using asio::redirect_error;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

struct visitor {
  tcp::socket socket;
  asio::steady_timer output;  // never expires: the writer sleeps on it until it is cancelled
  ws::session session;
  ws::output_buffer writing;  // stays put while it is written; two of them circulate
  std::uint64_t missed = 0;   // messages, since the last that it was sent

  visitor(tcp::socket from, const ws::options& options)
      : socket(std::move(from)), output(socket.get_executor()), session(ws::role::server, options) {}
  visitor(const visitor&) = delete;
  visitor& operator=(const visitor&) = delete;
  ~visitor() { session.free_buffer(writing); }

  void tell_what_it_missed() {
    if (missed == 0 || session.backed_up()) return;
    if (session.send(ws::opcode::text, "(you missed " + std::to_string(missed) + " messages)") == ws::error::none)
      missed = 0;
  }
  // Wakes the writer, also out of a write that will not end.
  void go_on() {
    std::error_code ignored;
    if (session.wants() == ws::transport::drop) socket.close(ignored);
    output.cancel();
  }
};

struct room {
  tcp::acceptor listener;
  asio::steady_timer ticks;
  ws::options options;
  std::set<std::shared_ptr<visitor>> visitors;

  // Serialised once for all, compressed once for all that agreed on the same.
  void tell_everybody(ws::opcode op, std::string_view payload) {
    const ws::prepared_message news{op, payload};
    for (const auto& v : visitors) {
      if (!v->session.is_open()) continue;
      v->tell_what_it_missed();
      if (v->session.backed_up()) ++v->missed;
      else v->session.send(news);
      v->output.cancel();
    }
  }
  void end() {
    std::error_code ignored;
    listener.close(ignored);
    ticks.cancel();
    for (const auto& v : visitors) {
      if (v->session.close(ws::close_code::going_away, "the chat ends") == ws::error::not_open)
        v->socket.close(ignored);
      v->output.cancel();
    }
  }
};

asio::awaitable<void> read(room& r, std::shared_ptr<visitor> v) {
  char memory[16 * 1024];
  for (std::error_code failed; !failed;) {
    const std::size_t n =
        co_await v->socket.async_read_some(asio::buffer(memory), redirect_error(use_awaitable, failed));
    (void)v->session.tick(now());  // what `next` tells of happens at the time of the last tick
    if (failed) (void)v->session.end_of_input();
    std::span<char> bytes{memory, n};
    while (const ws::event ev = v->session.next(bytes)) {
      if (ev.type == ws::event_type::request) v->session.accept();
      if (ev.type == ws::event_type::message) r.tell_everybody(ev.opcode, ev.payload);
    }
    v->go_on();
  }
}

asio::awaitable<void> write(room& r, std::shared_ptr<visitor> v) {
  ws::session& session = v->session;
  bool half_closed = false;
  for (std::error_code failed; !failed && session.wants() != ws::transport::drop && v->socket.is_open();) {
    if (session.wants() == ws::transport::half_close && !half_closed) {
      half_closed = true;
      v->socket.shutdown(tcp::socket::shutdown_send, failed);
      continue;
    }
    v->writing = session.take_output(v->writing);
    if (v->writing.size == 0) {
      std::error_code woken;
      v->output.expires_at(asio::steady_timer::time_point::max());
      co_await v->output.async_wait(redirect_error(use_awaitable, woken));
    }
    for (std::size_t done = 0, n = 0; !failed && done != v->writing.size; done += n) {
      n = co_await v->socket.async_write_some(asio::buffer(v->writing.data + done, v->writing.size - done),
                                              redirect_error(use_awaitable, failed));
      session.consume(n);
      v->tell_what_it_missed();
    }
  }
  std::error_code ignored;
  v->socket.close(ignored);
  r.visitors.erase(v);
}

// Deadlines need not be exact: twice a second is enough. Goes on until the last visitor has gone.
asio::awaitable<void> tick(room& r) {
  while (r.listener.is_open() || !r.visitors.empty()) {
    for (const auto& v : r.visitors) {
      (void)v->session.tick(now());
      v->go_on();
    }
    std::error_code cancelled;
    r.ticks.expires_after(std::chrono::milliseconds(500));
    co_await r.ticks.async_wait(redirect_error(use_awaitable, cancelled));
  }
}

asio::awaitable<void> listen(room& r) {
  while (r.listener.is_open()) {
    std::error_code failed;
    tcp::socket socket = co_await r.listener.async_accept(redirect_error(use_awaitable, failed));
    if (failed) continue;
    socket.set_option(tcp::no_delay(true), failed);
    const auto v = std::make_shared<visitor>(std::move(socket), r.options);
    r.visitors.insert(v);
    co_spawn(r.listener.get_executor(), read(r, v), asio::detached);
    co_spawn(r.listener.get_executor(), write(r, v), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  asio::io_context loop;
  room r{{loop, {asio::ip::address_v4::loopback(), static_cast<asio::ip::port_type>(port)}},
         asio::steady_timer{loop},
         {},
         {}};
  r.options.extension = &extension;
  r.options.max_message = 16 * 1024;
  r.options.ping_interval = 30'000'000;
  r.options.high_water = 256 * 1024;
  r.options.low_water = 64 * 1024;
  asio::signal_set signals{loop, SIGINT, SIGTERM};
  signals.async_wait([&](std::error_code, int) { r.end(); });
  std::printf("listening on ws://127.0.0.1:%d\n", r.listener.local_endpoint().port());
  std::fflush(stdout);
  co_spawn(loop, listen(r), asio::detached);
  co_spawn(loop, tick(r), asio::detached);
  loop.run();
}
