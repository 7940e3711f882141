// An echo server over standalone Asio, with callbacks.       (Debian: libasio-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/asio.cpp -o asio_echo -lz && ./asio_echo [--port N]
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

// Lives as long as an operation is under way: one read, one write and the timer at most.
class client : public std::enable_shared_from_this<client> {
 public:
  client(tcp::socket socket, const ws::options& options)
      : socket_(std::move(socket)), timer_(socket_.get_executor()), session_(ws::role::server, options) {}

  void start() {
    read();
    tick();
  }

 private:
  void read() {
    if (reading_ || ended_ || session_.backed_up()) return;
    reading_ = true;
    socket_.async_read_some(asio::buffer(memory_), [self = shared_from_this()](std::error_code failed, std::size_t n) {
      self->reading_ = false;
      self->ended_ = static_cast<bool>(failed);
      (void)self->session_.tick(now());  // what `next` tells of happens at the time of the last tick
      if (failed) (void)self->session_.end_of_input();
      std::span<char> bytes{self->memory_, n};
      while (const ws::event ev = self->session_.next(bytes)) {
        if (ev.type == ws::event_type::request) self->session_.accept();
        if (ev.type == ws::event_type::message) self->session_.send(ev.opcode, ev.payload);
      }
      self->go_on();
    });
  }

  // Hands out the output as a buffer that stays put while it is written; two of them circulate.
  void write() {
    if (writes_ || session_.buffered_amount() == 0) return;
    if (written_ == writing_.size) {
      writing_ = session_.take_output(writing_);
      written_ = 0;
    }
    writes_ = true;
    socket_.async_write_some(asio::buffer(writing_.data + written_, writing_.size - written_),
                             [self = shared_from_this()](std::error_code failed, std::size_t n) {
                               self->writes_ = false;
                               self->written_ += n;
                               self->session_.consume(n);
                               if (failed) self->end();
                               else self->go_on();
                             });
  }

  void go_on() {
    if (!socket_.is_open()) return;
    write();
    read();
    std::error_code ignored;
    if (session_.wants() == ws::transport::half_close && !half_closed_) {
      half_closed_ = true;
      socket_.shutdown(tcp::socket::shutdown_send, ignored);
    }
    if (session_.wants() == ws::transport::drop) end();
  }

  // Deadlines need not be exact: twice a second is enough.
  void tick() {
    timer_.expires_after(std::chrono::milliseconds(500));
    timer_.async_wait([self = shared_from_this()](std::error_code cancelled) {
      if (cancelled || !self->socket_.is_open()) return;
      (void)self->session_.tick(now());
      self->go_on();
      self->tick();
    });
  }

  void end() {
    std::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }

 public:
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() { session_.free_buffer(writing_); }

 private:
  tcp::socket socket_;
  asio::steady_timer timer_;
  ws::session session_;
  ws::output_buffer writing_;
  std::size_t written_ = 0;  // of it
  bool writes_ = false;
  bool reading_ = false;
  bool ended_ = false;  // the peer's side
  bool half_closed_ = false;
  char memory_[16 * 1024];
};

void accept(tcp::acceptor& listener, const ws::options& options) {
  listener.async_accept([&](std::error_code failed, tcp::socket socket) {
    if (!failed) std::make_shared<client>(std::move(socket), options)->start();
    accept(listener, options);
  });
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
  accept(listener, options);
  loop.run();
}
