// Explains a captured stream, one direction of a connection: bytes on stdin, a line for each frame on stdout, and at the end
// the rule that was broken, if one was.
//
//   c++ -std=c++20 -O2 -Iinclude tests/examples/wsdump.cpp -o wsdump
//   printf '\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58' | ./wsdump
//   echo '81 05 48 65 6c 6c 6f' | ./wsdump --hex
//
// The stream may begin with the head of the handshake. With -DWSDUMP_DEFLATE and -lz messages are inflated where the head
// agrees on permessage-deflate (a client's request: where it offers it), or where --deflate says so.
// The exit status is 1 when a rule was broken.
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <wscodec.hpp>
#ifdef WSDUMP_DEFLATE
#include <wscodec/zlib.hpp>
#endif

namespace ws = wscodec;

namespace {

/// At most 60 bytes of it, in quotes as far as it can be printed.
std::string excerpt(std::string_view bytes, bool text) {
  std::string out = "\"";
  for (const char c : bytes.substr(0, 60)) {
    const auto u = static_cast<unsigned char>(c);
    char escaped[5];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", u);
    if (c == '"' || c == '\\') out += '\\';
    if (u >= 0x20 && u != 0x7F && (u < 0x80 || text)) out += c;
    else if (c == '\n') out += "\\n";
    else out += escaped;
  }
  return out + (bytes.size() > 60 ? "\"..." : "\"");
}

void print(std::uint64_t offset, const std::string& what) { std::printf("%8llu  %s\n", static_cast<unsigned long long>(offset), what.c_str()); }

/// Says which rule was broken; the exit status.
int broken(ws::error why, std::uint64_t offset) {
  const ws::explanation& e = ws::explain(why);
  print(offset, "BROKEN: " + std::string{e.what} + " (" + std::string{e.name} + "; " + std::string{e.source} + ")");
  std::printf("          %s\n", std::string{e.cause}.c_str());
  if (e.answer != 0) std::printf("          An endpoint answers with %s %u.\n", e.answer < 1000 ? "status" : "close code", e.answer);
  return 1;
}

std::string head_line(const ws::frame_head& head) {
  char line[96];
  ws::output out{line};
  (void)ws::describe(out, head);
  return std::string{out.written()};
}

/// Prints the head of a handshake and takes it off `rest`. `deflate` becomes true when it names permessage-deflate.
int dump_head(std::string_view& rest, bool request, bool& deflate) {
  ws::head_progress progress;
  const ws::scanned_head scanned = ws::scan_head(rest, progress, request ? ws::head_kind::request : ws::head_kind::response, {});
  if (scanned.why != ws::error::none) return broken(scanned.why, scanned.offset);
  if (scanned.size == 0) return broken(ws::error::connection_lost, rest.size());
  const ws::http_head head{rest.substr(0, scanned.size)};
  print(0, (request ? "request: " : "response: ") + std::string{head.start_line()});
  ws::field field;
  for (ws::field_cursor fields = head.fields(); fields.next(field);)
    std::printf("          %s: %s\n", std::string{field.name}.c_str(), std::string{field.value}.c_str());
  ws::extension one;
  for (ws::extension_cursor list{head.fields()}; list.next(one);) deflate = deflate || one.name() == "permessage-deflate";
  rest.remove_prefix(scanned.size);
  return 0;
}

std::string read_stdin(bool hex) {
  std::string bytes;
  char piece[64 * 1024];
  while (const std::size_t n = std::fread(piece, 1, sizeof piece, stdin)) bytes.append(piece, n);
  if (!hex) return bytes;
  std::string from_hex;
  int high = -1;
  for (const char c : bytes) {
    const char* const digits = "0123456789abcdef";
    const char* const at = c != 0 ? std::strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c) : nullptr;
    if (at == nullptr) continue;
    const int digit = static_cast<int>(at - digits);
    if (high >= 0) from_hex += static_cast<char>(high * 16 + digit);
    high = high >= 0 ? -1 : digit;
  }
  return from_hex;
}

}  // namespace

int main(int argc, char** argv) {
  bool hex = false, deflate = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--hex") hex = true;
    else if (argument == "--deflate") deflate = true;
    else return std::fprintf(stderr, "usage: wsdump [--hex] [--deflate] < BYTES\n"), 2;
  }
  std::string bytes = read_stdin(hex);
  std::string_view rest = bytes;
  const bool response = rest.starts_with("HTTP/");
  const bool request = !response && !rest.empty() && rest[0] >= 'A' && rest[0] <= 'Z';
  if (request || response)
    if (const int status = dump_head(rest, request, deflate); status != 0) return status;

  // Who reads this? Clients mask what they send, servers do not (RFC 6455 5.1).
  const bool from_client = request || (!response && rest.size() > 1 && (static_cast<unsigned char>(rest[1]) & 0x80U) != 0);
  const ws::role reader = from_client ? ws::role::server : ws::role::client;
  ws::options options;
  options.max_message = ~std::uint64_t{0} >> 1;
  options.max_fragments = ~0U;
#ifdef WSDUMP_DEFLATE
  const ws::deflate_options inflating{.engine = &ws::zlib_engine};
#else
  const ws::deflate_options inflating;
#endif
  const ws::extension_hook hook = ws::permessage_deflate(inflating);
  options.extension = &hook;
  const std::uint32_t agreement = deflate ? ws::deflate_agreement{}.number() : 0U;
  std::vector<char> scratch(ws::min_scratch);
  ws::connection connection{reader, ws::negotiated{&hook, agreement}, options, scratch};
  ws::inflating_reader inflater{inflating, agreement, !from_client, options.max_message};
  std::vector<char> inflated(16 * 1024);

  const std::uint64_t before = bytes.size() - rest.size();
  while (!rest.empty()) {
    const std::uint64_t offset = bytes.size() - rest.size();
    const ws::parsed_frame_head parsed = ws::parse_frame_head(rest);
    if (parsed.size != 0) print(offset, head_line(parsed.head));
    const std::size_t size = parsed.size != 0 && parsed.head.length <= rest.size() - parsed.size ? parsed.size + static_cast<std::size_t>(parsed.head.length)
                                                                                               : rest.size();
    std::span<char> frame{bytes.data() + offset, size};
    while (const ws::event ev = connection.next(frame)) {
      if (ev.type == ws::event_type::failed) return broken(ev.why(), before + connection.offset());
      if (ev.type == ws::event_type::close)
        std::printf("          code %u, reason %s\n", static_cast<unsigned>(ev.code()), excerpt(ev.payload, true).c_str());
      else if (!ev.compressed)
        std::printf("          %s\n", excerpt(ev.payload, ev.opcode == ws::opcode::text).c_str());
      else if (inflating.engine == nullptr)
        std::printf("          compressed\n");
      else
        for (inflater.feed(ev.opcode == ws::opcode::text, ev.payload, ev.last); const ws::inflated_piece piece = inflater.next(inflated);) {
          if (piece.why != ws::error::none) return broken(piece.why, before + connection.offset());
          std::printf("          inflated %zu bytes: %s\n", piece.payload.size(), excerpt(piece.payload, ev.opcode == ws::opcode::text).c_str());
        }
    }
    rest.remove_prefix(size);
  }
  if (const ws::event ev = connection.end_of_input(); ev.type == ws::event_type::failed) return broken(ev.why(), bytes.size());
  return 0;
}
