// Uses every layer, for objects that must ask for nothing of the C++ runtime when they are built without exceptions.
#include <wscodec.hpp>
#include <wscodec/reconnect.hpp>
#include <wscodec/system_entropy.hpp>
#include <wscodec/websocket.hpp>

namespace ws = wscodec;

bool retries_and_addresses(std::string_view text, ws::output& out) {
  const ws::uri_result parsed = ws::parse_uri(text);
  return ws::write_host(out, parsed.value) && ws::write_target(out, parsed.value) && ws::parse_retry_after(text, 1) != 0;
}

bool as_in_browsers(ws::websocket& socket, std::span<char> bytes, std::string_view url) {
  if (socket.connect(url) != ws::error::none) return false;
  socket.receive(bytes);
  return socket.send("hello") == ws::error::none;
}

bool talks(ws::session& session, std::span<char> bytes, const ws::prepared_message& prepared) {
  const ws::field fields[] = {{"X-Name", "value"}};
  const std::string_view subprotocols[] = {"chat"};
  while (const ws::event ev = session.next(bytes)) {
    if (ev.type == ws::event_type::request) {
      const ws::request_view request = ev.request();
      if (request.path() == "/" && request.query().empty()) session.accept({.fields = fields});
      else session.respond({.status = 404, .fields = fields});
    }
    if (ev.type == ws::event_type::message) session.send(ev.opcode, ev.payload);
  }
  (void)session.connect({.host = "example.com", .target = "/chat", .fields = fields});
  (void)session.send(prepared);
  (void)session.send_borrowed(ws::opcode::text, subprotocols[0], nullptr);
  session.free_buffer(session.take_output());
  ws::slice slices[4];
  if (session.tick(1) || session.output(slices) == 0) return false;
  session.consume(1);
  session.release();
  (void)session.close(ws::close_code::normal, "bye");
  return session.prepare().empty();
}
