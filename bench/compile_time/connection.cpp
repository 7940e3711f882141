// One loop over a connection.
#include <wscodec.hpp>

namespace ws = wscodec;

void echo(ws::connection& connection, std::span<char> bytes, ws::output& out) {
  while (const ws::event ev = connection.next(bytes)) {
    if (ev.type == ws::event_type::request) (void)connection.accept(out);
    if (ev.type == ws::event_type::data) (void)connection.send(out, ev.opcode, ev.payload, ev.last);
  }
  (void)connection.write_owed(out);
}
