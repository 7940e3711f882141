// An echo server with Boost.Beast: one connection after the other.
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>

namespace beast = boost::beast;
using tcp = boost::asio::ip::tcp;

int main() {
  boost::asio::io_context context;
  tcp::acceptor acceptor{context, {tcp::v4(), 9001}};
  for (;;) {
    beast::websocket::stream<tcp::socket> ws{acceptor.accept()};
    beast::error_code ec;
    ws.accept(ec);
    for (beast::flat_buffer buffer; !ec; buffer.consume(buffer.size())) {
      ws.read(buffer, ec);
      ws.text(ws.got_text());
      if (!ec) ws.write(buffer.data(), ec);
    }
  }
}
