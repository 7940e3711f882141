// websocketpp: whole connections of a server and a client that read and write streams of the standard library.
#include <websocketpp/client.hpp>
#include <websocketpp/config/core.hpp>
#include <websocketpp/config/core_client.hpp>
#include <websocketpp/extensions/permessage_deflate/enabled.hpp>
#include <websocketpp/server.hpp>

#include <cstdlib>
#include <sstream>

#include "peers.hpp"

namespace differential {

namespace {

template <class Base>
struct plain : Base {
  using type = plain;
  static const std::size_t connection_read_buffer_size = 2048;
};
template <class Base>
struct deflating : plain<Base> {
  using type = deflating;
  using permessage_deflate_type =
      websocketpp::extensions::permessage_deflate::enabled<typename Base::permessage_deflate_config>;
};

template <bool is_server, class Endpoint>
outcome run(kind k, std::string_view input) {
  static Endpoint& all = []() -> Endpoint& {
    static Endpoint one;
    one.clear_access_channels(websocketpp::log::alevel::all);
    one.clear_error_channels(websocketpp::log::elevel::all);
    one.set_max_message_size(max_message);
    return one;
  }();
  outcome o;
  std::ostringstream sent;
  all.register_ostream(&sent);
  bool open = false, failed = false;
  typename Endpoint::connection_ptr one;
  if constexpr (is_server) {
    one = all.get_connection();
  } else {
    websocketpp::lib::error_code ec;
    one = all.get_connection("ws://example.org/chat", ec);
    if (ec) std::abort();
    for (const std::string_view name : offered) one->add_subprotocol(std::string(name));
  }
  one->set_open_handler([&](websocketpp::connection_hdl) { open = true; });
  one->set_fail_handler([&](websocketpp::connection_hdl) { failed = true; });
  one->set_message_handler([&](websocketpp::connection_hdl, typename Endpoint::message_ptr got) {
    o.add(got->get_opcode() == websocketpp::frame::opcode::text ? 't' : 'b', got->get_payload());
  });
  one->set_ping_handler([&](websocketpp::connection_hdl, std::string payload) {
    o.add('i', payload);
    return true;
  });
  one->set_pong_handler([&](websocketpp::connection_hdl, std::string payload) { o.add('o', payload); });

  std::string head{is_handshake(k) ? input : to_server(k) ? good_request : good_response};
  if (!is_handshake(k)) head.append(is_deflate(k) ? with_deflate : "").append("\r\n");
  if constexpr (is_server) {
    one->start();
  } else {
    all.connect(one);
    const std::string accept = [&] {
      std::string key{field_of(sent.str(), "Sec-WebSocket-Key")};
      key += websocketpp::processor::constants::handshake_guid;
      unsigned char digest[20];
      websocketpp::sha1::calc(key.c_str(), key.size(), digest);
      return websocketpp::base64_encode(digest, sizeof digest);
    }();
    for (std::size_t at = 0; (at = head.find(accept_here, at)) != std::string::npos;)
      head.replace(at, accept_here.size(), accept);
    sent.str({});
  }
  one->read_all(head.data(), head.size());
  if (is_handshake(k)) {
    o.end = open ? verdict::accepted : failed || !sent.str().empty() ? verdict::rejected : verdict::waits;
    if (open && is_server) {
      std::string list;
      for (const std::string& name : one->get_requested_subprotocols()) list += (list.empty() ? "" : ",") + name;
      o.add('a', field_of(sent.str(), "Sec-WebSocket-Accept"));
      o.add('p', list);
    } else if (open) {
      o.add('p', one->get_subprotocol());
    }
  } else {
    if (!open) std::abort();
    sent.str({});
    one->read_all(input.data(), input.size());
    const unsigned code = close_code_in(sent.str());
    const bool said_so = one->get_remote_close_code() != websocketpp::close::status::abnormal_close &&
                         one->get_local_close_reason() != "Invalid close code" &&
                         one->get_local_close_reason() != "Invalid close reason";
    if (code != 0 && said_so)
      o.add_close(
          one->get_remote_close_code() == websocketpp::close::status::no_status ? 0U : one->get_remote_close_code(),
          one->get_remote_close_reason());
    else if (code != 0 || one->get_state() != websocketpp::session::state::open) o.fail(code);
  }
  one->eof();
  return o;
}

}  // namespace

outcome run_websocketpp(kind k, std::string_view input) {
  using websocketpp::config::core;
  using websocketpp::config::core_client;
  if (to_server(k))
    return is_deflate(k) ? run<true, websocketpp::server<deflating<core>>>(k, input)
                         : run<true, websocketpp::server<plain<core>>>(k, input);
  return is_deflate(k) ? run<false, websocketpp::client<deflating<core_client>>>(k, input)
                       : run<false, websocketpp::client<plain<core_client>>>(k, input);
}

}  // namespace differential
