// The core without the test framework and zlib, for tools that want every library instrumented or every branch short: two
// sessions over a link that cuts, a connection on its own memory, and streams that are damaged. Prints `N passed, N failed`.
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

  end(ws::role self, const ws::options& options) : session{self, options, &keys} {}

  void read(std::string bytes) {
    std::span<char> rest{bytes};
    while (const ws::event ev = session.next(rest)) {
      if (ev.type == ws::event_type::request) (void)session.accept();
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

}  // namespace

int main(int argc, char**) {
  const bool few = argc > 1;  // any argument: for the slow tools
  std::string to_server, to_client;
  for (const std::size_t most : {std::size_t{1}, std::size_t{13}, std::size_t{1500}, std::size_t{100'000}}) {
    if (few && most == 1) continue;
    life(most, to_server, to_client);
  }
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
