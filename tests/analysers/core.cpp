// The core without the test framework and zlib, for tools that want every library instrumented or every branch short: two
// sessions over a link that cuts, a websocket, a connection on its own memory, and streams that are damaged. Prints
// `N passed, N failed`.
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <wscodec.hpp>

namespace ws = wscodec;

namespace {

int passed = 0, failed = 0;

void check(bool good, const char* what) {
  ++(good ? passed : failed);
  if (!good) std::printf("FAIL %s\n", what);
}

struct random_numbers {
  std::uint64_t state = 1;
  std::size_t operator()(std::size_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::size_t>(state % below);
  }
};

bool fill(void* context, char* to, std::size_t n) {
  auto& random = *static_cast<random_numbers*>(context);
  for (std::size_t i = 0; i < n; ++i) to[i] = static_cast<char>(random(128));
  return true;
}

struct end {
  random_numbers entropy;
  ws::masking_keys keys{fill, &entropy};
  ws::session session;
  std::string got;
  std::string wire;  // all that was sent
  std::string_view subprotocol;

  end(ws::role self, const ws::options& options) : session{self, options, &keys} {}

  void read(std::string bytes) {
    std::span<char> rest{bytes};
    while (const ws::event ev = session.next(rest)) {
      if (ev.type == ws::event_type::request) (void)session.accept({.subprotocol = subprotocol});
      if (ev.type == ws::event_type::message) got.append(ev.payload).append("|");
      if (ev.type == ws::event_type::close) got.append("closed");
    }
  }
  std::string take(std::size_t most) {
    const std::string_view out = session.output();
    std::string bytes{out.data() != nullptr ? out.data() : "", out.size() < most ? out.size() : most};
    session.consume(bytes.size());
    wire += bytes;
    return bytes;
  }
};

void carry(end& a, end& b, random_numbers& random, std::size_t most) {
  while (a.session.buffered_amount() != 0 || b.session.buffered_amount() != 0) {
    b.read(a.take(1 + random(most)));
    a.read(b.take(1 + random(most)));
  }
}

/// A whole life of a connection, cut into pieces of at most `most`; what each end sent.
void life(std::size_t most, std::string& to_server, std::string& to_client) {
  random_numbers random{most + 1};
  ws::options options;
  options.high_water = 1000;
  end client{ws::role::client, options}, server{ws::role::server, options};
  (void)client.session.connect({.host = "example.org", .target = "/chat?room=1", .origin = "https://example.org"});
  carry(client, server, random, most);
  check(client.session.is_open() && server.session.is_open(), "opens");
  std::string expected;
  for (const std::size_t size : {0U, 1U, 7U, 31U, 125U, 126U, 300U, 5000U, 70000U}) {
    const std::string ascii(size, 'a');
    std::string text;
    while (text.size() + 6 < size) text += "\xc3\xbc\xe2\x82\xac" "x";
    (void)client.session.send(ws::opcode::binary, ascii);
    (void)client.session.send(ws::opcode::text, text);
    (void)server.session.send(ws::opcode::text, text, false);
    (void)server.session.ping("are you there");
    (void)server.session.send(ws::opcode::continuation, ascii);
    (void)server.session.send(ws::prepared_message{ws::opcode::text, text});
    expected += ascii + "|" + text + "|";
    carry(client, server, random, most);
  }
  check(server.got == expected, "the server got every message");
  (void)client.session.tick(1'000'000);
  (void)client.session.close(ws::close_code::normal, "bye");
  carry(client, server, random, most);
  check(client.session.was_clean() && server.session.was_clean(), "closes");
  client.session.release();
  server.session.release();
  to_server = client.wire;
  to_client = server.wire;
}

/// The same stream with some bytes changed: an end by a rule, or none; never more than one failure.
void damaged(ws::role self, std::string stream, std::uint64_t seed) {
  random_numbers random{seed};
  for (int i = 0; i < 3; ++i) stream[random(stream.size() < 600 ? stream.size() : 600)] = static_cast<char>(random(256));
  ws::options options;
  options.max_message = 4096;
  char scratch[2048];
  random_numbers entropy;
  ws::masking_keys keys{fill, &entropy};
  ws::connection connection{self, options, scratch, &keys};
  char memory[2048];
  ws::output out{memory};
  if (self == ws::role::client) (void)connection.connect(out, {.host = "example.org"});
  int failures = 0;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t n = 1 + random(200) < stream.size() - at ? 1 + random(stream.size() - at < 200 ? stream.size() - at : 200) : stream.size() - at;
    std::string piece = stream.substr(at, n);
    std::span<char> rest{piece};
    while (const ws::event ev = connection.next(rest)) {
      if (ev.type == ws::event_type::request) {
        out.clear();
        (void)connection.accept(out);
      }
      failures += ev.type == ws::event_type::failed;
      out.clear();
      (void)connection.write_owed(out);
    }
    at += n;
  }
  failures += connection.end_of_input().type == ws::event_type::failed;
  check(failures <= 1, "one failure at most");
}

/// A browser's client with a server that greets it, over a link that cuts; it holds messages back for a while.
void websocket_life(std::size_t most) {
  random_numbers random{most + 1};
  const std::string_view protocols[] = {"chat.v2", "chat.v1"};
  ws::options options;
  options.subprotocols = protocols;
  end server{ws::role::server, options};
  server.subprotocol = protocols[1];
  random_numbers entropy;
  ws::masking_keys keys{fill, &entropy};
  ws::websocket socket{options, &keys};
  std::string log;
  socket.on_open = [&] { log.append("open ").append(socket.protocol()).append("|"); };
  socket.on_message = [&](const ws::message_event& ev) { log.append(ev.data).append("|"); };
  socket.on_error = [&](const ws::error_event& ev) {
    log.append("error ").append(ws::explain(ev.why).what).append("|");
  };
  socket.on_close = [&](const ws::close_event& ev) {
    log.append("close ").append(std::to_string(static_cast<unsigned>(ev.code))).append(ev.reason);
  };
  const auto settle = [&] {
    while (socket.wants() != ws::transport::drop && (!socket.output().empty() || !server.session.output().empty())) {
      const std::string_view out = socket.output();
      const std::string bytes{out.substr(0, 1 + random(most))};
      socket.consume(bytes.size());
      server.read(bytes);
      std::string answer = server.take(1 + random(most));
      if (random(2) == 0) {
        socket.receive(answer);
        continue;
      }
      const std::span<char> room = socket.prepare(answer.size() + 1);
      std::memcpy(room.data(), answer.data(), answer.size());
      socket.commit(answer.size());
    }
  };
  check(socket.connect("ws://example.org/#a") != ws::error::none, "no fragment");
  check(socket.connect("ws://user@Example.org:80/chat?room=1", "https://example.org") == ws::error::none, "connects");
  check(socket.url() == "ws://example.org/chat?room=1", "the URL");
  settle();
  const std::string text(5000, 'a');
  (void)socket.send("hello");
  (void)socket.send(text, ws::opcode::binary);
  (void)server.session.send(ws::opcode::text, text);
  settle();
  socket.pause();
  (void)server.session.send(ws::opcode::text, "held back");
  (void)server.session.close(static_cast<ws::close_code>(3008), "enough");
  settle();
  socket.resume();
  settle();
  socket.tick(1'000'000);
  socket.end_of_input();
  check(server.got == "hello|" + text + "|closed", "what the server of a websocket got");
  check(log == "open chat.v1|" + text + "|held back|close 3008enough", "what a websocket told");
}

/// A server that is overloaded: when to connect again.
void refused() {
  ws::options options;
  random_numbers entropy;
  ws::masking_keys keys{fill, &entropy};
  ws::websocket socket{options, &keys};
  ws::reconnect again;
  std::uint64_t at = 0;
  socket.on_error = [&](const ws::error_event& ev) {
    const ws::response_view head = ev.response();
    if (!ws::advise_retry(head.status()).retry) return;
    at = ws::next_attempt(again, 1'000'000, entropy(1000), {},
                          ws::parse_retry_after(head.field("Retry-After"), 784'111'700));
  };
  (void)socket.connect("wss://example.org");
  socket.consume(socket.output().size());
  std::string answer = "HTTP/1.1 503 Overloaded\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
  socket.receive(answer);
  socket.end_of_input();
  check(at >= 78'000'000 && at <= 78'000'000 + ws::reconnect_options{}.first, "when to connect again");
}

}  // namespace

int main(int argc, char**) {
  const bool few = argc > 1;  // any argument: for the slow tools
  std::string to_server, to_client;
  for (const std::size_t most : {std::size_t{1}, std::size_t{13}, std::size_t{1500}, std::size_t{100'000}}) {
    if (few && most == 1) continue;
    life(most, to_server, to_client);
    websocket_life(most);
  }
  refused();
  for (std::uint64_t seed = 1; seed < (few ? 200U : 3000U); ++seed) {
    damaged(ws::role::server, to_server, seed);
    damaged(ws::role::client, to_client, seed);
  }
  for (const std::string_view uri : {"ws://a", "wss://u:p@[::1]:80/x?y", "ws://a:65536", "http://\xff"}) {
    const ws::uri_result parsed = ws::parse_uri(uri);
    char memory[100];
    ws::output out{memory};
    check(parsed.why != ws::error::none || (ws::write_host(out, parsed.value) && ws::write_target(out, parsed.value)), "addresses");
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
