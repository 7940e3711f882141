// A client over standalone Asio, with the browser's WebSocket interface: sends its arguments, prints what it receives,
// and closes when it has received as many messages as it sent, or at Ctrl-C.       (Debian: libasio-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/asio_client.cpp -o asio_client
//   ./asio_client ws://127.0.0.1:9001/ hello
#include <algorithm>
#include <asio.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>

namespace ws = wscodec;
using asio::ip::tcp;

namespace {

std::uint64_t now() {  // microseconds, by the clock of the timer
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count());
}

class client {
 public:
  client(asio::io_context& loop, const ws::options& options, ws::masking_keys& keys, std::span<char*> messages)
      : resolver_(loop),
        tcp_(loop),
        timer_(loop),
        signals_(loop, SIGINT),
        socket_(options, &keys),
        messages_(messages) {
    socket_.on_open = [this] {
      for (const char* message : messages_) socket_.send(message);
    };
    socket_.on_message = [this](const ws::message_event& ev) {
      std::printf("%.*s\n", static_cast<int>(ev.data.size()), ev.data.data());
      if (++received_ == messages_.size()) socket_.close(ws::close_code::normal);
    };
    socket_.on_error = [](const ws::error_event& ev) { std::printf("%s\n", ws::explain(ev.why).what.data()); };
    socket_.on_close = [this](const ws::close_event& ev) {
      std::printf("closed with %d%s%.*s\n", static_cast<int>(ev.code), ev.reason.empty() ? "" : ": ",
                  static_cast<int>(ev.reason.size()), ev.reason.data());
      good = ev.was_clean && ev.code == ws::close_code::normal;
    };
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { socket_.free_buffer(writing_); }

  // False: it is no such URL.
  bool start(std::string_view url) {
    if (socket_.connect(url) != ws::error::none || socket_.where().secure) return false;
    resolver_.async_resolve(socket_.where().host, std::to_string(socket_.where().port),
                            [this](std::error_code failed, auto found) {
                              if (failed) return end();
                              asio::async_connect(tcp_, found, [this](std::error_code why, const tcp::endpoint&) {
                                if (why) return end();
                                connected_ = true;
                                tcp_.set_option(tcp::no_delay(true), why);
                                read();
                                go_on();
                              });
                            });
    signals_.async_wait([this](std::error_code cancelled, int) {
      if (cancelled) return;
      socket_.close(ws::close_code::normal);
      go_on();
    });
    go_on();
    return true;
  }

  bool good = false;  // it ended as it should

 private:
  void read() {
    tcp_.async_read_some(asio::buffer(memory_), [this](std::error_code failed, std::size_t n) {
      socket_.tick(now());  // what `receive` tells of happens at the time of the last tick
      socket_.receive({memory_, n});
      if (failed && failed != asio::error::eof) return end();
      if (failed) socket_.end_of_input();
      else read();
      go_on();
    });
  }

  // Hands out the output as a buffer that stays put while it is written; two of them circulate.
  void write() {
    if (writes_ || !connected_) return;
    if (written_ == writing_.size) writing_ = socket_.take_output(writing_), written_ = 0;
    if (writing_.size == 0) return;
    writes_ = true;
    tcp_.async_write_some(asio::buffer(writing_.data + written_, writing_.size - written_),
                          [this](std::error_code failed, std::size_t n) {
                            writes_ = false;
                            written_ += n;
                            socket_.consume(n);
                            if (failed) end();
                            else go_on();
                          });
  }

  // Ticks when the next deadline passes. One that has become later is seen when the timer expires.
  void wait() {
    const std::uint64_t at = socket_.next_deadline();
    if (at >= waits_until_) return;
    waits_until_ = at;
    timer_.expires_at(std::chrono::steady_clock::time_point{std::chrono::microseconds{at}});
    timer_.async_wait([this](std::error_code cancelled) {
      if (cancelled) return;
      waits_until_ = ws::never;
      socket_.tick(now());
      go_on();
    });
  }

  void go_on() {
    if (socket_.wants() == ws::transport::drop) return end();
    write();
    wait();
    if (socket_.wants() != ws::transport::half_close || half_closed_) return;
    std::error_code ignored;
    tcp_.shutdown(tcp::socket::shutdown_send, ignored);
    half_closed_ = true;
  }

  // The transport ends, or could not be had; then nothing is awaited any more, and the loop ends.
  void end() {
    std::error_code ignored;
    socket_.end_of_input();
    resolver_.cancel();
    tcp_.close(ignored);
    timer_.cancel();
    signals_.cancel(ignored);
  }

  tcp::resolver resolver_;
  tcp::socket tcp_;
  asio::steady_timer timer_;
  asio::signal_set signals_;
  ws::websocket socket_;
  std::span<char*> messages_;
  std::size_t received_ = 0;
  ws::output_buffer writing_;
  std::size_t written_ = 0;  // of it
  std::uint64_t waits_until_ = ws::never;
  bool connected_ = false, writes_ = false, half_closed_ = false;
  char memory_[16 * 1024];
};

}  // namespace

int main(int argc, char** argv) {
  asio::io_context loop;
  ws::masking_keys keys{ws::system_entropy};
  const ws::options options;
  client c{loop, options, keys, {argv + std::min(argc, 2), argv + argc}};
  if (argc < 2 || !c.start(argv[1]))
    return std::fputs("usage: asio_client ws://HOST[:PORT]/PATH [MESSAGE...]\n", stderr), 2;
  loop.run();
  return c.good ? 0 : 1;
}
