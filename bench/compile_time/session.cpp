// One loop over a connection, and one over a session.
#include "connection.cpp"

void echo(ws::session& session, std::span<char> bytes) {
  while (const ws::event ev = session.next(bytes)) {
    if (ev.type == ws::event_type::request) session.accept();
    if (ev.type == ws::event_type::message) session.send(ev.opcode, ev.payload);
  }
}
