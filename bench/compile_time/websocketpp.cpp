// An echo server with websocketpp over Asio.
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/server.hpp>

using server = websocketpp::server<websocketpp::config::asio>;

int main() {
  server all;
  all.init_asio();
  all.set_message_handler([&](websocketpp::connection_hdl to, server::message_ptr message) {
    websocketpp::lib::error_code ec;
    all.send(to, message->get_payload(), message->get_opcode(), ec);
  });
  all.listen(9001);
  all.start_accept();
  all.run();
}
