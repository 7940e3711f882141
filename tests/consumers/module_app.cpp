// Uses wscodec by import only.
#include <cstdio>
#include <span>
#include <string_view>

import wscodec;

namespace ws = wscodec;

int main() {
  char bytes[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
  ws::options options;
  ws::session session{ws::role::server, ws::negotiated{}, options};
  std::span<char> rest{bytes, sizeof bytes - 1};
  const ws::event ev = session.next(rest);
  std::printf("%.*s\n", static_cast<int>(ev.payload.size()), ev.payload.data());
  return ev.type == ws::event_type::message && ev.payload == "Hello" ? 0 : 1;
}
