// What every consumer builds: a client and a server session talk over two strings.
#include <cstdio>
#include <string>
#include <string_view>
#ifdef ONE_FILE
#include "wscodec.hpp"
#else
#include <wscodec.hpp>
#ifdef WITH_DEFLATE
#include <wscodec/zlib.hpp>
#endif
#endif

namespace ws = wscodec;

/// Not for use: a key that everybody knows.
bool known_key(void*, char* to, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) to[i] = 'k';
  return true;
}

/// Hands what `from` sends to `to`; `heard` gets the messages.
bool carry(ws::session& from, ws::session& to, std::string& heard) {
  std::string bytes{from.output()};
  from.consume(bytes.size());
  std::span<char> rest{bytes};
  while (const ws::event ev = to.next(rest)) {
    if (ev.type == ws::event_type::request) to.accept();
    if (ev.type == ws::event_type::message) heard += ev.payload;
  }
  return !bytes.empty();
}

int main() {
  ws::options options;
#ifdef WITH_DEFLATE
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  options.extension = &extension;
#endif
  ws::masking_keys keys{known_key};
  ws::session client{ws::role::client, options, &keys}, server{ws::role::server, options};
  std::string heard, answer;
  client.connect({.host = "example.org"});
  while (carry(client, server, heard) || carry(server, client, answer)) {
    if (heard.empty() && client.is_open() && client.buffered_amount() == 0) client.send(ws::opcode::text, std::string(1000, 'a'));
    if (!heard.empty() && answer.empty() && server.buffered_amount() == 0) server.send(ws::opcode::text, "got it");
  }
  std::printf("wscodec %d.%d, %zu bytes, %s, %s\n", WSCODEC_VERSION_MAJOR, WSCODEC_VERSION_MINOR, heard.size(), answer.c_str(),
              server.agreed().agreement != 0 ? "compressed" : "plain");
  return heard.size() == 1000 && answer == "got it" ? 0 : 1;
}
