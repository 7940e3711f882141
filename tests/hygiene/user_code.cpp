// What a user may write: small buffers on the stack, sizes the compiler can see. It must not warn about our insides.
#include <array>
#include <wscodec.hpp>

namespace ws = wscodec;

bool small_input(ws::session& session) {
  std::array<char, 8> bytes{'\x81', '\x80', 0, 0, 0, 0, '\x88', '\x00'};
  std::span<char> rest{bytes};
  return static_cast<bool>(session.next(rest));
}

bool one_byte(ws::connection& connection) {
  char byte = '\x81';
  std::span<char> rest{&byte, 1};
  return static_cast<bool>(connection.next(rest));
}

bool no_input(ws::connection& connection) {
  std::span<char> rest;
  return static_cast<bool>(connection.next(rest));
}

ws::error small_output(ws::connection& connection) {
  char memory[4];
  ws::output out{memory};
  return connection.send(out, ws::opcode::text, "Hello");
}

bool short_texts() {
  char hello[] = "Hello";
  ws::mask(hello, 5, 0x01020304);
  return ws::is_utf8("Gr\u00fc\u00dfe") && ws::is_utf8("") && ws::is_utf8({hello, 5});
}
