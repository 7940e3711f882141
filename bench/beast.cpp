// Boost.Beast: websocket::stream over a stream in memory, read by read_some.
#include <boost/asio/io_context.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include "bench.hpp"

namespace bench {

namespace {

namespace beast = boost::beast;
namespace net = boost::asio;
namespace websocket = beast::websocket;
using beast::error_code;

net::io_context context;

// Bytes come from `in`, or from `text` while the handshake is done; what is written goes to the send buffer.
struct memory_stream {
  using executor_type = net::io_context::executor_type;
  executor_type get_executor() { return context.get_executor(); }

  template <class Buffers>
  std::size_t read_some(const Buffers& to, error_code& ec) {
    ec = {};
    std::size_t n = 0;
    for (auto it = net::buffer_sequence_begin(to); it != net::buffer_sequence_end(to); ++it) {
      const net::mutable_buffer b = *it;
      if (b.size() == 0) continue;
      if (!text.empty() || on_request) {
        if (text.empty()) text = on_request(std::string(send_buffer, used));
        n = net::buffer_copy(b, net::buffer(text));
        text.erase(0, n);
        if (text.empty()) on_request = nullptr;
      } else {
        n = in->read(static_cast<char*>(b.data()), b.size());
      }
      break;
    }
    if (n == 0) ec = net::error::eof;
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
    const std::size_t n = net::buffer_copy(net::buffer(send_buffer + used, send_buffer_size - used), from);
    used += n;
    return n;
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& from) {
    error_code ec;
    return write_some(from, ec);
  }

  reader* in = nullptr;
  std::string text;
  std::function<std::string(std::string)> on_request;
  std::size_t used = 0;
};

[[maybe_unused]] void teardown(beast::role_type, memory_stream&, error_code& ec) { ec = {}; }

using stream = websocket::stream<memory_stream>;

void check(const error_code& ec) {
  if (ec) give_up("beast", ec.message().c_str());
}

void open(stream& ws, bool is_server) {
  error_code ec;
  ws.read_message_max(0);
  ws.auto_fragment(false);
  ws.binary(true);
  if (is_server) {
    ws.next_layer().text = browser_request;
    ws.accept(ec);
  } else {
    ws.next_layer().on_request = [](const std::string& request) {
      beast::http::request_parser<beast::http::empty_body> parser;
      error_code failed;
      parser.put(net::buffer(request), failed);
      check(failed);
      websocket::detail::sec_ws_accept_type accept;
      websocket::detail::make_sec_ws_accept(accept, parser.get()["Sec-WebSocket-Key"]);
      return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
             std::string(accept.data(), accept.size()) + "\r\n\r\n";
    };
    ws.handshake("server.example.com", "/", ec);
  }
  check(ec);
  ws.next_layer().used = 0;
}

class receives : public contestant_of<receives> {
 public:
  explicit receives(const workload& w) : w_(w) { open(ws_, w.from_client); }

  template <class Sink>
  void run(Sink& to) {
    reader in{w_};
    ws_.next_layer().in = &in;
    for (std::size_t m = 0; m < w_.messages; ++m) {
      do {
        error_code ec;
        const std::size_t n = ws_.read_some(net::buffer(read_buffer, read_buffer_size), ec);
        if (ec) check(ec);
        to.piece(read_buffer, n);
      } while (!ws_.is_message_done());
      to.end(ws_.got_text() ? text : binary);
    }
    ws_.next_layer().used = 0;  // the pongs
  }

 private:
  const workload& w_;
  stream ws_;
};

class sends : public contestant_of<sends> {
 public:
  explicit sends(const workload& w) : w_(w) {
    open(ws_, !w.from_client);
    ws_.text(w.opcode == text);
  }

  template <class Sink>
  void run(Sink& to) {
    const auto flush = [&] {
      if constexpr (std::is_same_v<Sink, delivery>)
        if (!read_frames(send_buffer, ws_.next_layer().used, w_.from_client, to)) give_up("beast", "sent no frames");
      ws_.next_layer().used = 0;
    };
    for (const std::string& payload : w_.payloads) {
      if (send_buffer_size - ws_.next_layer().used < payload.size() + 14) flush();
      error_code ec;
      ws_.write(net::buffer(payload), ec);
      if (ec) check(ec);
      if constexpr (std::is_same_v<Sink, tally>) to.piece(nullptr, payload.size()), to.end(w_.opcode);
    }
    flush();
  }

 private:
  const workload& w_;
  stream ws_;
};

class accepts : public contestant_of<accepts> {
 public:
  explicit accepts(const workload& w) : w_(w) {}

  template <class Sink>
  void run(Sink& to) {
    for (std::size_t i = 0; i < w_.messages; ++i) {
      reader in{w_};
      stream ws;
      ws.next_layer().in = &in;
      error_code ec;
      ws.accept(ec);
      if (ec) check(ec);
      if constexpr (std::is_same_v<Sink, delivery>) {
        const std::string response{send_buffer, ws.next_layer().used};
        const std::string name = "Sec-WebSocket-Accept: ";
        to.piece(response.data() + response.find(name) + name.size(), 28);
      } else {
        to.piece(send_buffer, w_.payload);
      }
      to.end(text);
    }
  }

 private:
  const workload& w_;
};

}  // namespace

contestant_ptr beast_receives(const workload& w) { return std::make_unique<receives>(w); }
contestant_ptr beast_sends(const workload& w) { return std::make_unique<sends>(w); }
contestant_ptr beast_accepts(const workload& w) { return std::make_unique<accepts>(w); }

void beast_idle(std::vector<idle_memory>& to) {
  const workload w = receiving(true, content::bytes, 1000, 100'000, 1460);
  const std::int64_t before = heap_now().bytes;
  {
    receives one{w};
    tally any;
    one.run(any);
    // The stream in memory, which is part of what it allocates, stands for a socket.
    to.push_back({"Beast", sizeof(stream), static_cast<std::size_t>(heap_now().bytes - before) - sizeof(memory_stream)});
  }
}

}  // namespace bench
