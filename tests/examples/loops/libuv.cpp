// An echo server over libuv.       (Debian: libuv1-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/libuv.cpp -o libuv_echo -luv -lz && ./libuv_echo [--port N]
#include <netinet/in.h>
#include <uv.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

struct client {
  uv_tcp_t socket;
  uv_timer_t timer;
  uv_write_t write;
  uv_shutdown_t shutdown;
  ws::session session;
  ws::output_buffer writing;
  std::size_t left = 0;  // of it, to be written
  char memory[16 * 1024];
  int handles = 2;  // that libuv must close before this can go
  bool reading = false;
  bool ended = false;  // the peer's side
  bool half_closed = false;

  explicit client(const ws::options& options) : session(ws::role::server, options) {}
};

void end(client& c) {
  const auto closed = [](uv_handle_t* handle) {
    auto* const c = static_cast<client*>(handle->data);
    if (--c->handles != 0) return;
    c->session.free_buffer(c->writing);
    delete c;
  };
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&c.socket)) != 0) return;
  uv_close(reinterpret_cast<uv_handle_t*>(&c.socket), closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&c.timer), closed);
}

void go_on(client& c);

void allocate(uv_handle_t* handle, std::size_t, uv_buf_t* to) {
  auto& c = *static_cast<client*>(handle->data);
  *to = uv_buf_init(c.memory, sizeof c.memory);
}

void receive(uv_stream_t* stream, ssize_t n, const uv_buf_t*) {
  auto& c = *static_cast<client*>(stream->data);
  if (n < 0) {
    c.ended = true;
    (void)c.session.end_of_input();
  }
  std::span<char> bytes{c.memory, n > 0 ? static_cast<std::size_t>(n) : 0};
  while (const ws::event ev = c.session.next(bytes)) {
    if (ev.type == ws::event_type::request) c.session.accept();
    if (ev.type == ws::event_type::message) c.session.send(ev.opcode, ev.payload);
  }
  go_on(c);
}

// Tells the session how much of the buffer was written.
void written(client& c, std::size_t left) {
  c.session.consume(c.left - left);
  c.left = left;
}

// Hands out the output as a buffer that stays put while it is written; two of them circulate.
void transmit(client& c) {
  if (c.left != 0 || c.session.buffered_amount() == 0) return;
  c.writing = c.session.take_output(c.writing);
  c.left = c.writing.size;
  const uv_buf_t bytes = uv_buf_init(c.writing.data, static_cast<unsigned>(c.writing.size));
  const int failed = uv_write(&c.write, reinterpret_cast<uv_stream_t*>(&c.socket), &bytes, 1, [](uv_write_t* write, int why) {
    auto& mine = *static_cast<client*>(write->data);
    written(mine, 0);
    if (why != 0) end(mine);
    else go_on(mine);
  });
  if (failed != 0) end(c);
}

void go_on(client& c) {
  auto* const stream = reinterpret_cast<uv_stream_t*>(&c.socket);
  if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&c.socket)) != 0) return;
  transmit(c);
  const bool reads = !c.ended && !c.session.backed_up();
  if (reads && !c.reading) uv_read_start(stream, allocate, receive);
  if (!reads && c.reading) uv_read_stop(stream);
  c.reading = reads;
  if (c.session.wants() == ws::transport::half_close && !c.half_closed) {
    c.half_closed = true;
    uv_shutdown(&c.shutdown, stream, [](uv_shutdown_t*, int) {});
  }
  if (c.session.wants() == ws::transport::drop) end(c);
}

void accept(uv_stream_t* listener, int failed) {
  if (failed != 0) return;
  auto* const c = new client{*static_cast<const ws::options*>(listener->data)};
  uv_tcp_init(listener->loop, &c->socket);
  uv_timer_init(listener->loop, &c->timer);
  c->socket.data = c->timer.data = c->write.data = c;
  if (uv_accept(listener, reinterpret_cast<uv_stream_t*>(&c->socket)) != 0) return end(*c);
  // Deadlines need not be exact: twice a second is enough.
  uv_timer_start(&c->timer, [](uv_timer_t* timer) {
    auto& mine = *static_cast<client*>(timer->data);
    written(mine, mine.left == 0 ? 0 : uv_stream_get_write_queue_size(reinterpret_cast<uv_stream_t*>(&mine.socket)));
    (void)mine.session.tick(uv_now(timer->loop) * 1000);
    go_on(mine);
  }, 0, 500);
  go_on(*c);
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;

  uv_loop_t* const loop = uv_default_loop();
  uv_tcp_t listener;
  uv_tcp_init(loop, &listener);
  listener.data = &options;
  sockaddr_in here{};
  uv_ip4_addr("127.0.0.1", port, &here);
  uv_tcp_bind(&listener, reinterpret_cast<const sockaddr*>(&here), 0);
  if (const int failed = uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 1024, accept); failed != 0)
    return std::fprintf(stderr, "listen: %s\n", uv_strerror(failed)), 1;
  int size = sizeof here;
  uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&here), &size);
  std::printf("listening on ws://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);
  return uv_run(loop, UV_RUN_DEFAULT);
}
