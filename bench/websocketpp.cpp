// websocketpp: its processor for RFC 6455, fed directly, without its connections and their locks. Compiles as C++17 only.
#include <websocketpp/config/core.hpp>
#include <websocketpp/processors/hybi13.hpp>
#include <websocketpp/random/random_device.hpp>
#include <websocketpp/server.hpp>

#include <ostream>

#include "bench.hpp"

namespace bench {

namespace {

// As its own client configurations have it: keys from the system.
struct config : websocketpp::config::core {
  using rng_type = websocketpp::random::random_device::int_generator<std::uint32_t, concurrency_type>;
};
using processor = websocketpp::processor::hybi13<config>;
using manager = config::con_msg_manager_type;
namespace opcode = websocketpp::frame::opcode;

struct endpoint {
  explicit endpoint(bool is_server) : one(false, is_server, messages, random) { one.set_max_message_size(SIZE_MAX / 2); }
  config::rng_type random;
  manager::ptr messages = std::make_shared<manager>();
  processor one;
};

class receives : public contestant_of<receives> {
 public:
  explicit receives(const workload& w) : w_(w), end_(w.from_client) {}

  template <class Sink>
  void run(Sink& to) {
    reader in{w_};
    while (const std::size_t n = in.read()) {
      auto* p = reinterpret_cast<std::uint8_t*>(read_buffer);
      for (std::size_t at = 0; at != n;) {
        websocketpp::lib::error_code ec;
        at += end_.one.consume(p + at, n - at, ec);
        if (ec) give_up("websocketpp", ec.message().c_str());
        if (!end_.one.ready()) continue;
        const auto got = end_.one.get_message();
        if (got->get_opcode() == opcode::ping) {
          const auto pong = end_.messages->get_message();
          (void)end_.one.prepare_pong(got->get_payload(), pong);
          continue;
        }
        to.piece(got->get_payload().data(), got->get_payload().size());
        to.end(static_cast<unsigned>(got->get_opcode()));
      }
    }
  }

 private:
  const workload& w_;
  endpoint end_;
};

// The payload is its message's own; what is ready is a head and a payload for a gather write, which is not done here.
class sends : public contestant_of<sends> {
 public:
  explicit sends(const workload& w) : w_(w), end_(!w.from_client) {
    for (const std::string& payload : w.payloads) {
      in_.push_back(end_.messages->get_message(static_cast<opcode::value>(w.opcode), 0));
      in_.back()->set_payload(payload);
    }
  }

  template <class Sink>
  void run(Sink& to) {
    for (const auto& in : in_) {
      const auto out = end_.messages->get_message();
      if (end_.one.prepare_data_frame(in, out)) give_up("websocketpp", "cannot send");
      if constexpr (std::is_same_v<Sink, delivery>) {
        const std::string bytes = out->get_header() + out->get_payload();
        if (!read_frames(bytes.data(), bytes.size(), w_.from_client, to)) give_up("websocketpp", "sent no frame");
      } else {
        to.piece(nullptr, in->get_payload().size());
        to.end(w_.opcode);
      }
    }
  }

 private:
  const workload& w_;
  endpoint end_;
  std::vector<config::message_type::ptr> in_;
};

class accepts : public contestant_of<accepts> {
 public:
  explicit accepts(const workload& w) : w_(w) {}

  template <class Sink>
  void run(Sink& to) {
    for (std::size_t i = 0; i < w_.messages; ++i) {
      std::memcpy(read_buffer, w_.wire.data(), w_.wire.size());
      config::request_type request;
      request.consume(read_buffer, w_.wire.size());
      endpoint end{true};
      config::response_type response;
      if (!request.ready() || !websocketpp::processor::is_websocket_handshake(request) || end.one.validate_handshake(request) ||
          end.one.negotiate_extensions(request).first || end.one.process_handshake(request, "", response))
        give_up("websocketpp", "cannot accept");
      response.set_version("HTTP/1.1");
      response.set_status(websocketpp::http::status_code::switching_protocols);
      const std::string bytes = response.raw();
      if constexpr (std::is_same_v<Sink, delivery>) {
        const std::string name = "Sec-WebSocket-Accept: ";
        to.piece(bytes.data() + bytes.find(name) + name.size(), 28);
      } else {
        to.piece(bytes.data(), w_.payload);
      }
      to.end(text);
    }
  }

 private:
  const workload& w_;
};

}  // namespace

contestant_ptr websocketpp_receives(const workload& w) { return std::make_unique<receives>(w); }
contestant_ptr websocketpp_sends(const workload& w) { return std::make_unique<sends>(w); }
contestant_ptr websocketpp_accepts(const workload& w) { return std::make_unique<accepts>(w); }

// A whole connection of a server that reads and writes streams of the standard library.
void websocketpp_idle(std::vector<idle_memory>& to) {
  using server = websocketpp::server<websocketpp::config::core>;
  const workload w = receiving(true, content::bytes, 1000, 100'000, 1460);
  server all;
  all.clear_access_channels(websocketpp::log::alevel::all);
  all.clear_error_channels(websocketpp::log::elevel::all);
  std::size_t messages = 0;
  all.set_message_handler([&](websocketpp::connection_hdl, server::message_ptr) { ++messages; });
  struct : std::streambuf {
    int_type overflow(int_type c) override { return traits_type::not_eof(c); }
    std::streamsize xsputn(const char*, std::streamsize n) override { return n; }
  } nothing;
  std::ostream sent{&nothing};
  all.register_ostream(&sent);
  const std::int64_t before = heap_now().bytes;
  const server::connection_ptr one = all.get_connection();
  one->start();
  one->read_all(browser_request.data(), browser_request.size());
  one->read_all(w.wire.data(), w.wire.size());
  if (messages != w.messages) give_up("websocketpp", "lost messages");
  const std::size_t used = static_cast<std::size_t>(heap_now().bytes - before);
  to.push_back({"websocketpp", 0, used});
}

}  // namespace bench
