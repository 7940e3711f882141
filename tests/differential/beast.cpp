// Boost.Beast: websocket::stream over a stream in memory.
#include <boost/asio/io_context.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include <algorithm>
#include <cstdlib>

#include "peers.hpp"

namespace differential {

namespace {

namespace beast_ = boost::beast;
namespace net = boost::asio;
namespace websocket = beast_::websocket;
using beast_::error_code;

net::io_context context;

// Gives the bytes of `in` and then says that there are none yet; keeps what is written. A client's first read comes
// behind its request, so that the right answer can be made then.
struct memory_stream {
  using executor_type = net::io_context::executor_type;
  executor_type get_executor() { return context.get_executor(); }

  template <class Buffers>
  std::size_t read_some(const Buffers& to, error_code& ec) {
    ec = {};
    if (answers) {
      answers = false;
      std::string_view key = field_of(sent, "Sec-WebSocket-Key");
      websocket::detail::sec_ws_accept_type accept;
      websocket::detail::make_sec_ws_accept(accept, key);
      for (std::size_t at = 0; (at = in.find(accept_here, at)) != std::string::npos;)
        in.replace(at, accept_here.size(), accept.data(), accept.size());
    }
    const std::size_t n = net::buffer_copy(to, net::buffer(in.data() + at, in.size() - at));
    at += n;
    if (n == 0) ec = net::error::would_block;
    return n;
  }
  template <class Buffers>
  std::size_t read_some(const Buffers& to) {
    error_code ec;
    return read_some(to, ec);
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& from, error_code& ec) {
    ec = {};
    sent += beast_::buffers_to_string(from);
    return beast_::buffer_bytes(from);
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& from) {
    error_code ec;
    return write_some(from, ec);
  }

  std::string in, sent;
  std::size_t at = 0;
  bool answers = false;
};

[[maybe_unused]] void teardown(beast_::role_type, memory_stream&, error_code& ec) { ec = {}; }

using stream = websocket::stream<memory_stream>;

}  // namespace

outcome run_beast(kind k, std::string_view input) {
  outcome o;
  error_code ec;
  stream ws;
  memory_stream& wire = ws.next_layer();
  websocket::permessage_deflate deflate;
  deflate.server_enable = deflate.client_enable = is_deflate(k);
  deflate.msg_size_threshold = max_message;  // nothing is sent
  deflate.memLevel = 1;
  ws.set_option(deflate);
  ws.read_message_max(max_message);
  wire.in = is_handshake(k) ? input : to_server(k) ? good_request : good_response;
  if (!is_handshake(k)) wire.in.append(is_deflate(k) ? with_deflate : "").append("\r\n");
  if (to_server(k)) {
    ws.accept(ec);
  } else {
    wire.answers = true;
    ws.handshake("example.org", "/chat", ec);
  }
  if (is_handshake(k)) {
    o.end = !ec ? verdict::accepted : ec == net::error::would_block ? verdict::waits : verdict::rejected;
    if (!ec && to_server(k)) o.add('a', field_of(wire.sent, "Sec-WebSocket-Accept"));
    return o;
  }
  if (ec) std::abort();
  wire.in = input;
  wire.at = 0;
  wire.sent.clear();
  ws.control_callback([&o](websocket::frame_type type, beast_::string_view payload) {
    if (type != websocket::frame_type::close)
      o.add(type == websocket::frame_type::ping ? 'i' : 'o', {payload.data(), payload.size()});
  });
  beast_::flat_buffer message;
  while (!ec) {
    ws.read_some(message, 0, ec);
    if (ec || !ws.is_message_done()) continue;
    o.add(ws.got_text() ? 't' : 'b', {static_cast<const char*>(message.data().data()), message.size()});
    message.clear();
  }
  if (ec == websocket::error::closed)
    o.add_close(ws.reason().code, {ws.reason().reason.data(), ws.reason().reason.size()});
  else if (ec != net::error::would_block) o.fail(close_code_in(wire.sent));
  return o;
}

}  // namespace differential
