// libsoup 3 as a client and as an echo server. How: tests/interop/run.
#include <libsoup/soup.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static GMainLoop* loop;
static gboolean deflate;

static void check(gboolean good, const char* name, const char* why) {
  printf(good ? "ok %s\n" : "FAIL %s: %s\n", name, why);
  fflush(stdout);
}

static GBytes* letters(gsize n) {
  char* const bytes = g_malloc(n + 1);
  for (gsize i = 0; i < n; ++i) bytes[i] = (char)(97 + i * i % 23);
  bytes[n] = 0;
  return g_bytes_new_take(bytes, n);
}

// ---- client

static const gsize sizes[] = {0, 1, 125, 126, 65535, 65536, 1 << 20};
static const unsigned codes[] = {4001, 1000};
static unsigned conversation, sample;  // sample: twice the index of its size, 1 more for binary
static const char* url;
static SoupSession* session;

static void send_next(SoupWebsocketConnection* c) {
  if (sample / 2 == G_N_ELEMENTS(sizes)) return soup_websocket_connection_close(c, (gushort)codes[conversation], "own reason");
  soup_websocket_connection_send_message(c, sample % 2 == 0 ? SOUP_WEBSOCKET_DATA_TEXT : SOUP_WEBSOCKET_DATA_BINARY, letters(sizes[sample / 2]));
}

static void received(SoupWebsocketConnection* c, gint kind, GBytes* message, gpointer unused) {
  (void)unused;
  char* const name = g_strdup_printf("%s of %zu", sample % 2 == 0 ? "text" : "binary", sizes[sample / 2]);
  check(g_bytes_equal(message, letters(sizes[sample / 2])) && kind == (sample % 2 == 0 ? SOUP_WEBSOCKET_DATA_TEXT : SOUP_WEBSOCKET_DATA_BINARY), name, "another");
  ++sample;
  send_next(c);
}

static void begin(void);

static void closed(SoupWebsocketConnection* c, gpointer unused) {
  (void)unused;
  char* const name = g_strdup_printf("closed by %u", codes[conversation]);
  check(soup_websocket_connection_get_close_code(c) == codes[conversation], name, "another code");
  if (++conversation == G_N_ELEMENTS(codes)) g_main_loop_quit(loop);
  else begin();
}

static void opened(GObject* from, GAsyncResult* result, gpointer unused) {
  (void)unused;
  GError* failed = NULL;
  SoupWebsocketConnection* const c = soup_session_websocket_connect_finish(SOUP_SESSION(from), result, &failed);
  check(c != NULL, "opening handshake", failed != NULL ? failed->message : "");
  if (c == NULL) return g_main_loop_quit(loop);
  check((soup_websocket_connection_get_extensions(c) != NULL) == deflate, "extensions", "agreed or not");
  soup_websocket_connection_set_max_incoming_payload_size(c, 1 << 24);
  g_signal_connect(c, "message", G_CALLBACK(received), NULL);
  g_signal_connect(c, "closed", G_CALLBACK(closed), NULL);
  send_next(c);
}

static void begin(void) {
  sample = 0;
  soup_session_websocket_connect_async(session, soup_message_new("GET", url), NULL, NULL, G_PRIORITY_DEFAULT, NULL, opened, NULL);
}

// ---- server

static void echo(SoupWebsocketConnection* c, gint kind, GBytes* message, gpointer unused) {
  (void)unused;
  soup_websocket_connection_send_message(c, kind, message);
}

static void gone(SoupWebsocketConnection* c, gpointer unused) {
  (void)unused;
  printf("closed %d %s\n", soup_websocket_connection_get_close_code(c), soup_websocket_connection_get_close_data(c));
  fflush(stdout);
  g_object_unref(c);
}

static void serve(SoupServer* server, SoupServerMessage* message, const char* path, SoupWebsocketConnection* c, gpointer unused) {
  (void)server, (void)message, (void)path, (void)unused;
  soup_websocket_connection_set_max_incoming_payload_size(c, 1 << 24);
  g_object_ref(c);
  g_signal_connect(c, "message", G_CALLBACK(echo), NULL);
  g_signal_connect(c, "closed", G_CALLBACK(gone), NULL);
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  loop = g_main_loop_new(NULL, FALSE);
  deflate = strcmp(argv[3], "deflate") == 0;
  if (strcmp(argv[1], "client") == 0) {
    url = argv[2];
    session = soup_session_new();
    soup_session_add_feature_by_type(session, SOUP_TYPE_WEBSOCKET_EXTENSION_MANAGER);
    if (!deflate) soup_session_remove_feature_by_type(session, SOUP_TYPE_WEBSOCKET_EXTENSION_MANAGER);
    begin();
  } else {
    SoupServer* const server = soup_server_new(NULL, NULL);
    GError* failed = NULL;
    if (!deflate) soup_server_remove_websocket_extension(server, SOUP_TYPE_WEBSOCKET_EXTENSION_DEFLATE);
    soup_server_add_websocket_handler(server, "/", NULL, NULL, serve, NULL, NULL);
    if (!soup_server_listen_local(server, (guint)atoi(argv[2]), SOUP_SERVER_LISTEN_IPV4_ONLY, &failed)) return 1;
    puts("listening");
    fflush(stdout);
  }
  g_main_loop_run(loop);
  return 0;
}
