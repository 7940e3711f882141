// An echo server over GLib's main loop and GIO's sockets.       (Debian: libglib2.0-dev)
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/glib.cpp -o glib_echo $(pkg-config --cflags --libs gio-2.0) -lz && ./glib_echo [--port N]
#include <gio/gio.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

struct client {
  GSocketConnection* connection;
  GSocket* socket;  // the connection's
  GSource* io = nullptr;
  guint timer = 0;
  int wanted = 0;  // conditions that `io` waits for
  ws::session session;
  bool ended = false;  // the peer's side
  bool half_closed = false;

  client(GSocketConnection* from, const ws::options& options)
      : connection(from), socket(g_socket_connection_get_socket(from)), session(ws::role::server, options) {
    g_object_ref(connection);
    g_socket_set_blocking(socket, FALSE);
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() {
    wait_for(0);
    g_source_remove(timer);
    g_object_unref(connection);
  }
  void wait_for(int conditions);
};

bool is_for_later(gssize n, GError*& failed) {
  const bool later = n < 0 && g_error_matches(failed, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) != 0;
  g_clear_error(&failed);
  return later;
}

// False: the connection is gone.
bool receive(client& c) {
  char memory[16 * 1024];
  GError* failed = nullptr;
  const gssize n = g_socket_receive(c.socket, memory, sizeof memory, nullptr, &failed);
  if (n < 0) return is_for_later(n, failed);
  c.ended = n == 0;
  if (c.ended) (void)c.session.end_of_input();
  std::span<char> bytes{memory, static_cast<std::size_t>(n)};
  while (const ws::event ev = c.session.next(bytes)) {
    if (ev.type == ws::event_type::request) c.session.accept();
    if (ev.type == ws::event_type::message) c.session.send(ev.opcode, ev.payload);
  }
  return true;
}

bool transmit(client& c) {
  while (c.session.buffered_amount() != 0) {
    GError* failed = nullptr;
    const gssize n = g_socket_send(c.socket, c.session.output().data(), c.session.output().size(), nullptr, &failed);
    if (n < 0) return is_for_later(n, failed);
    c.session.consume(static_cast<std::size_t>(n));
  }
  return true;
}

// Sends what there is, does what the session says about the transport, and asks for the conditions that can be used.
void settle(client& c, bool alive) {
  if (!alive || !transmit(c) || c.session.wants() == ws::transport::drop) return delete &c;
  if (c.session.wants() == ws::transport::half_close && !c.half_closed)
    c.half_closed = g_socket_shutdown(c.socket, FALSE, TRUE, nullptr) != 0;
  c.wait_for((c.ended || c.session.backed_up() ? 0 : G_IO_IN) | (c.session.buffered_amount() != 0 ? G_IO_OUT : 0));
}

gboolean turn(GSocket*, GIOCondition what, gpointer state) {
  auto& c = *static_cast<client*>(state);
  settle(c, (what & (G_IO_IN | G_IO_HUP | G_IO_ERR)) == 0 || receive(c));
  return G_SOURCE_CONTINUE;
}

// Deadlines need not be exact: twice a second is enough.
gboolean tick(gpointer state) {
  auto& c = *static_cast<client*>(state);
  (void)c.session.tick(static_cast<std::uint64_t>(g_get_monotonic_time()));
  settle(c, true);
  return G_SOURCE_CONTINUE;
}

// A source keeps its conditions: other ones need another source.
void client::wait_for(int conditions) {
  if (conditions == wanted) return;
  wanted = conditions;
  if (io != nullptr) {
    g_source_destroy(io);
    g_source_unref(io);
    io = nullptr;
  }
  if (conditions == 0) return;
  io = g_socket_create_source(socket, static_cast<GIOCondition>(conditions), nullptr);
  g_source_set_callback(io, reinterpret_cast<GSourceFunc>(reinterpret_cast<void (*)()>(turn)), this, nullptr);
  g_source_attach(io, nullptr);
}

gboolean accept_client(GSocketService*, GSocketConnection* connection, GObject*, gpointer options) {
  auto* const c = new client{connection, *static_cast<const ws::options*>(options)};
  c->wait_for(G_IO_IN);
  c->timer = g_timeout_add(500, tick, c);
  return TRUE;
}

}  // namespace

int main(int argc, char** argv) {
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;

  GSocketService* const service = g_socket_service_new();
  GSocketAddress* const wanted = g_inet_socket_address_new_from_string("127.0.0.1", static_cast<guint>(port));
  GSocketAddress* here = nullptr;
  GError* failed = nullptr;
  if (!g_socket_listener_add_address(G_SOCKET_LISTENER(service), wanted, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, nullptr, &here, &failed))
    return std::fprintf(stderr, "listen: %s\n", failed->message), 1;
  std::printf("listening on ws://127.0.0.1:%d\n", g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(here)));
  std::fflush(stdout);
  g_signal_connect(service, "incoming", G_CALLBACK(accept_client), &options);
  g_main_loop_run(g_main_loop_new(nullptr, FALSE));
}
