// Plays the page's part of a step of steps.txt through websocket.hpp, over a socket: page URL, and on standard input its
// `offer` and `at` lines. Prints what compare.mjs has Chromium print.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <wscodec/system_entropy.hpp>
#include <wscodec/websocket.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

/// x*3 is xxx.
std::string repeated(const std::string& word) {
  const std::size_t star = word.find('*');
  if (star == std::string::npos) return word;
  std::string out;
  for (long n = std::stol(word.substr(star + 1)); n > 0; --n) out += word.substr(0, star);
  return out;
}

std::string from_hex(const std::string& digits) {
  std::string out;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return out;
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += digits;
  }
  return out;
}

/// The exception that a browser throws.
std::string exception(ws::error why) {
  switch (why) {
    case ws::error::none: return "ok";
    case ws::error::not_open: return "InvalidStateError";
    case ws::error::sent_close_code_invalid: return "InvalidAccessError";
    case ws::error::close_reason_too_long:
    case ws::error::subprotocol_doubled:
    case ws::error::subprotocol_not_offered:
    case ws::error::uri_scheme:
    case ws::error::uri_fragment: return "SyntaxError";
    default: return std::string{ws::explain(why).name};
  }
}

struct page {
  struct action {
    std::string event, line;
  };
  std::vector<action> actions;
  std::vector<std::string> offers;
  std::vector<std::string_view> offered;

  void read(std::istream& in) {
    for (std::string line; std::getline(in, line);) {
      std::istringstream words{line};
      std::string first, word;
      words >> first >> word;
      if (first == "offer")
        for (offers.push_back(word); words >> word;) offers.push_back(word);
      if (first == "at") {
        std::string rest;
        std::getline(words >> std::ws, rest);
        actions.push_back({word, rest});
      }
    }
    offered.assign(offers.begin(), offers.end());
  }
  static std::string state(const ws::websocket& socket) {
    return " | " + std::to_string(static_cast<int>(socket.ready_state())) + " " + std::to_string(socket.buffered_amount());
  }
  static std::string act(ws::websocket& socket, const std::string& line) {
    std::istringstream words{line};
    std::string verb, first, second;
    words >> verb >> first >> second;
    if (verb == "send") return exception(first == "text" ? socket.send(repeated(second)) : socket.send(from_hex(second), ws::opcode::binary));
    if (first.empty()) return exception(socket.close());
    return exception(socket.close(static_cast<ws::close_code>(first == "-" ? 0 : std::stoi(first)), repeated(second)));
  }
  void at(std::string_view event, ws::websocket& socket) {
    for (action& a : actions) {
      if (a.event != event) continue;
      a.event.clear();  // once
      const std::string result = act(socket, a.line);
      std::cout << "  " << a.line << " -> " << result << state(socket) << "\n";
    }
  }
};

int connect_to(const ws::uri& where) {
  const sockaddr_in there{.sin_family = AF_INET, .sin_port = htons(where.port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&there), sizeof there) == 0) return fd;
  ::close(fd);
  return -1;
}

std::uint64_t now() {
  using namespace std::chrono;
  return static_cast<std::uint64_t>(duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  page p;
  p.read(std::cin);
  ws::options options;
  options.subprotocols = p.offered;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  options.extension = &extension;
  options.close_timeout = 1'000'000;
  ws::masking_keys keys{ws::system_entropy};
  ws::websocket socket{options, &keys};
  socket.on_open = [&] {
    std::cout << "open \"" << socket.protocol() << "\" \"" << socket.extensions() << "\"" << page::state(socket) << "\n";
    p.at("open", socket);
  };
  socket.on_message = [&](const ws::message_event& ev) {
    const bool text = ev.opcode == ws::opcode::text;
    std::cout << (text ? "text " : "binary ") << (text ? std::string{ev.data} : to_hex(ev.data)) << " | " << static_cast<int>(socket.ready_state()) << "\n";
    p.at("message", socket);
  };
  socket.on_error = [&](const ws::error_event&) {
    std::cout << "error" << page::state(socket) << "\n";
    p.at("error", socket);
  };
  socket.on_close = [&](const ws::close_event& ev) {
    std::cout << "close " << (ev.was_clean ? "true " : "false ") << static_cast<int>(ev.code) << " \"" << ev.reason << "\"" << page::state(socket) << "\n";
    p.at("close", socket);
  };
  const ws::error why = socket.connect(argv[1]);
  std::cout << "new -> " << exception(why);
  if (why != ws::error::none) return std::cout << "\n", 0;
  std::cout << " " << socket.url() << " \"" << socket.protocol() << "\" \"" << socket.extensions() << "\"" << page::state(socket) << "\n";
  p.at("start", socket);

  const std::uint64_t limit = now() + 10'000'000;
  int fd = -1;
  if (socket.ready_state() == ws::ready_state::connecting) {
    fd = connect_to(socket.where());
    if (fd < 0) socket.end_of_input();
  }
  bool half_closed = false, ended = false;
  for (socket.tick(now()); socket.wants() != ws::transport::drop && now() < limit; socket.tick(now())) {
    if (fd < 0) continue;
    while (!socket.output().empty()) {
      const ssize_t n = ::send(fd, socket.output().data(), socket.output().size(), MSG_NOSIGNAL);
      if (n <= 0) break;
      socket.consume(static_cast<std::size_t>(n));
    }
    if (socket.wants() == ws::transport::half_close && !half_closed) half_closed = ::shutdown(fd, SHUT_WR) == 0;
    pollfd polled{fd, POLLIN, 0};
    if (::poll(&polled, ended ? 0 : 1, 20) <= 0) continue;
    char memory[64 * 1024];
    const ssize_t n = ::recv(fd, memory, sizeof memory, 0);
    if (n > 0) socket.receive({memory, static_cast<std::size_t>(n)});
    ended = n <= 0;
    if (ended) socket.end_of_input();
  }
  if (fd >= 0) ::close(fd);
  if (now() >= limit) std::cout << "nothing more happened within 10 s\n";
}
