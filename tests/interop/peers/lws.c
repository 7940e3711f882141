// libwebsockets as a client and as an echo server. How: tests/interop/run.
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int done, deflate, client, port;

static void check(int good, const char* name, size_t n) {
  printf(good ? "ok %s %zu\n" : "FAIL %s %zu: another\n", name, n);
  fflush(stdout);
}

static char* letters(char* to, size_t n) {
  for (size_t i = 0; i < n; ++i) to[i] = (char)(97 + i * i % 23);
  return to;
}

// What was received of a message, and for a server what waits to be sent.
struct state {
  char* bytes;  // behind LWS_PRE
  size_t size;
  int binary, ready, closing;
  unsigned char said[125];
};
static struct state ours;  // a client's

static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 1 << 20};
static const int codes[] = {4001, 1000};
static size_t sample, conversation;
static int may_send;
static char sent[LWS_PRE + (1 << 20)];  // which it masks in place
static char expected[1 << 20];

static void collect(struct lws* wsi, struct state* s, const void* in, size_t n) {
  if (lws_is_first_fragment(wsi)) s->size = 0;
  s->bytes = realloc(s->bytes, LWS_PRE + s->size + n);
  if (n != 0) memcpy(s->bytes + LWS_PRE + s->size, in, n);
  s->size += n;
  s->binary = lws_frame_is_binary(wsi);
  s->ready = lws_is_final_fragment(wsi);
}

static int on_client(struct lws* wsi, enum lws_callback_reasons why, void* user, void* in, size_t n) {
  (void)user;
  switch (why) {
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
      check(0, in != NULL ? in : "connect", 0);
      done = 1;
      break;
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH: {
      char agreed[200] = "";
      lws_hdr_copy(wsi, agreed, sizeof agreed, WSI_TOKEN_EXTENSIONS);
      check((strstr(agreed, "permessage-deflate") != NULL) == deflate, "extensions", strlen(agreed));
      break;
    }
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      check(1, "opening handshake", 0);
      sample = 0;
      ours.closing = 0;
      may_send = 1;
      lws_callback_on_writable(wsi);
      break;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
      if (ours.closing || !may_send) break;  // it is called for its own leftovers, too
      may_send = 0;
      if (sample / 2 == LWS_ARRAY_SIZE(sizes)) {
        ours.closing = 1;
        lws_close_reason(wsi, codes[conversation], (unsigned char*)"own reason", 10);
        return -1;
      }
      lws_write(wsi, (unsigned char*)letters(sent + LWS_PRE, sizes[sample / 2]), sizes[sample / 2], sample % 2 == 0 ? LWS_WRITE_TEXT : LWS_WRITE_BINARY);
      break;
    case LWS_CALLBACK_CLIENT_RECEIVE:
      collect(wsi, &ours, in, n);
      if (!ours.ready) break;
      check(ours.size == sizes[sample / 2] && memcmp(ours.bytes + LWS_PRE, letters(expected, ours.size), ours.size) == 0 && ours.binary == (int)(sample % 2),
            sample % 2 == 0 ? "text" : "binary", ours.size);
      ++sample;
      may_send = 1;
      lws_callback_on_writable(wsi);
      break;
    case LWS_CALLBACK_CLIENT_CLOSED:  // the code of the answer is not shown
      check(ours.closing && sample / 2 == LWS_ARRAY_SIZE(sizes), "ends after all, closed by", (size_t)codes[conversation]);
      done = 1;
      break;
    default: break;
  }
  return 0;
}

static int on_server(struct lws* wsi, enum lws_callback_reasons why, void* user, void* in, size_t n) {
  struct state* const s = user;
  switch (why) {
    case LWS_CALLBACK_ESTABLISHED: memset(s, 0, sizeof *s); break;
    case LWS_CALLBACK_RECEIVE:
      collect(wsi, s, in, n);
      if (s->ready) lws_callback_on_writable(wsi);
      break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
      if (!s->ready) break;
      s->ready = 0;
      lws_write(wsi, (unsigned char*)s->bytes + LWS_PRE, s->size, s->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
      break;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
      if (n >= 2) printf("closed %d %.*s\n", ((unsigned char*)in)[0] << 8 | ((unsigned char*)in)[1], (int)n - 2, (char*)in + 2);
      fflush(stdout);
      break;
    case LWS_CALLBACK_CLOSED: free(s->bytes); break;
    default: break;
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  client = strcmp(argv[1], "client") == 0;
  deflate = strcmp(argv[3], "deflate") == 0;
  port = atoi(client ? strrchr(argv[2], ':') + 1 : argv[2]);
  const struct lws_protocols protocols[] = {{"echo", client ? on_client : on_server, client ? 0 : sizeof(struct state), 65536, 0, NULL, 0}, {NULL, NULL, 0, 0, 0, NULL, 0}};
  const struct lws_extension extensions[] = {{"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate; client_max_window_bits"}, {NULL, NULL, NULL}};
  struct lws_context_creation_info info;
  memset(&info, 0, sizeof info);
  lws_set_log_level(LLL_ERR, NULL);
  info.port = client ? CONTEXT_PORT_NO_LISTEN : port;
  info.iface = "127.0.0.1";
  info.protocols = protocols;
  info.extensions = deflate ? extensions : NULL;
  struct lws_context* const context = lws_create_context(&info);
  if (context == NULL) return 1;
  if (!client) puts("listening");
  fflush(stdout);
  for (; !client; ) lws_service(context, 0);
  for (; conversation != LWS_ARRAY_SIZE(codes); ++conversation) {
    struct lws_client_connect_info to;
    memset(&to, 0, sizeof to);
    to.context = context;
    to.address = to.host = "127.0.0.1";
    to.port = port;
    to.path = "/";
    to.local_protocol_name = "echo";
    done = 0;
    lws_client_connect_via_info(&to);
    while (!done) lws_service(context, 0);
  }
  lws_context_destroy(context);
  return 0;
}
