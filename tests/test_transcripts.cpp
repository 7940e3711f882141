// Runs tests/transcripts/*.txt: input and the exact event log, through connection and session, at every split.
#include "wscodec/session.hpp"

#include <fstream>
#include <sstream>

#include "catch.hpp"
#include "support/handshake.hpp"
#include "support/wire.hpp"

using namespace wire;

namespace {

/// One case of a file, for one role.
struct transcript {
  std::string ids, what;
  plan todo;
};

/// Takes one word off the front: up to a space outside quotes.
std::string take_word(std::string_view& line) {
  while (line.starts_with(' ')) line.remove_prefix(1);
  std::size_t n = 0;
  bool quoted = false;
  for (; n < line.size() && (quoted || line[n] != ' '); ++n) {
    if (quoted && line[n] == '\\' && n + 1 < line.size()) ++n;
    else if (line[n] == '"') quoted = !quoted;
  }
  const std::string word{line.substr(0, n)};
  line.remove_prefix(n);
  return word;
}

/// The bytes of words: hex digits, "text" with \x00 escapes, "a"*9. False when a word is none of these.
bool bytes_of(std::string_view line, std::string& bytes) {
  for (std::string word = take_word(line); !word.empty(); word = take_word(line)) {
    if (word[0] != '"') {
      if (word.find_first_not_of("0123456789abcdef") != word.npos || word.size() % 2 != 0) return false;
      bytes += hex(word);
      continue;
    }
    const std::size_t end = word.rfind('"');
    if (end == 0) return false;
    std::string text;
    for (std::size_t i = 1; i < end; ++i) {
      if (word[i] != '\\') {
        text += word[i];
      } else if (word[i + 1] == 'x') {
        text += hex(std::string_view{word}.substr(i + 2, 2));
        i += 3;
      } else {
        text += word[i + 1] == 'r' ? '\r' : word[i + 1] == 'n' ? '\n' : word[i + 1];
        ++i;
      }
    }
    int times = end + 1 < word.size() && word[end + 1] == '*' ? std::stoi(word.substr(end + 2)) : 1;
    while (times-- > 0) bytes += text;
  }
  return true;
}

/// What a `<` line sends.
bool input_of(std::string_view line, ws::role sender, std::string& input) {
  std::string_view rest = line;
  const std::string word = take_word(rest);
  if (word != "frame") return bytes_of(line, input);
  const std::string first = hex(take_word(rest));
  std::string payload;
  if (first.size() != 1 || !bytes_of(rest, payload)) return false;
  input += frame(sender, static_cast<unsigned char>(first[0]), payload);
  return true;
}

/// What a `>` line calls or sets.
bool setting_of(std::string_view line, plan& todo) {
  const std::string word = take_word(line);
  const std::string argument = take_word(line);
  const auto option = [&](auto change) {
    todo.options = [before = todo.options, change](ws::options& o) {
      if (before) before(o);
      change(o);
    };
    return true;
  };
  if (word == "eof") return todo.eof = true;
  if (word == "handshake") return todo.handshake = true;
  if (word == "rsv1") return todo.agreed.agreement = 1, true;
  if (word == "discard_after_close") return option([](ws::options& o) { o.discard_after_close = true; });
  if (word == "pong_after_close") return option([](ws::options& o) { o.pong_after_close = true; });
  if (word == "subprotocols") {
    static constexpr std::string_view names[] = {"chat", "superchat"};
    return option([](ws::options& o) { o.subprotocols = names; });
  }
  if (word == "extension") return option([](ws::options& o) { o.extension = &handshake::fake::hook; });
  if (argument.empty()) return false;
  if (word == "accept" || word == "connect") {  // a subprotocol, or `-`; a target, with the nonce of RFC 6455 1.3
    todo.handshake = true;
    todo.pairs = false;
    todo.before = [argument, connects = word == "connect"](endpoint& e) {
      e.show_fields = !connects;
      e.entropy.nonce = "the sample nonce";
      if (connects) CHECK(e.connect({.host = "h", .target = argument}) == ws::error::none);
      else if (argument != "-") e.acceptance.subprotocol = argument;
    };
    return true;
  }
  const unsigned long n = std::stoul(argument);
  if (word == "max_message") return option([n](ws::options& o) { o.max_message = n; });
  if (word == "max_fragments") return option([n](ws::options& o) { o.max_fragments = static_cast<std::uint32_t>(n); });
  if (word != "close") return false;
  todo.before = [n](endpoint& e) { CHECK(e.close(static_cast<ws::close_code>(n)) == ws::error::none); };
  return true;
}

/// An expected line for one role: `a|b` is a for the server and b for the client.
std::string for_role(std::string_view line, ws::role self) {
  std::string out;
  while (!line.empty()) {
    const std::string word = take_word(line);
    const std::size_t bar = word.find('"') == word.npos ? word.find('|') : word.npos;
    if (word.empty()) break;
    if (!out.empty()) out += ' ';
    if (bar == word.npos) {
      out += word;
    } else {
      if (word[0] == '@') out += '@';
      out += self == ws::role::server ? word.substr(word[0] == '@', bar - (word[0] == '@')) : word.substr(bar + 1);
    }
  }
  return out + "\n";
}

std::string read_file(const std::string& name) {
  const std::string here{__FILE__};
  const std::string beside = here.substr(0, here.find_last_of("/\\") + 1) + "transcripts/";
  for (const std::string& folder : {beside, std::string{"tests/transcripts/"}, std::string{"../tests/transcripts/"},
                                    std::string{"../../tests/transcripts/"}}) {
    std::ifstream file{folder + name};
    if (!file) continue;
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  return "";
}

/// Reads a file's cases, each once for every role it is for.
std::vector<transcript> read_transcripts(const std::string& name) {
  std::vector<transcript> all;
  std::istringstream text{read_file(name)};
  std::vector<std::string> lines;
  const auto finish = [&] {
    if (lines.empty()) return;
    const std::string& title = lines[0];
    const std::size_t a = title.find(": "), b = title.find(": ", a + 2);
    INFO(name << ": " << title);
    REQUIRE(b != title.npos);
    const std::string who = title.substr(a + 2, b - a - 2);
    REQUIRE((who == "server" || who == "client" || who == "both"));
    for (const ws::role self : both_roles) {
      if (who != "both" && who != wire::name(self)) continue;
      transcript t{.ids = title.substr(0, a), .what = title.substr(b + 2), .todo = {.self = self}};
      for (std::size_t i = 1; i < lines.size(); ++i) {
        const std::string_view line = lines[i];
        INFO(line);
        if (line.starts_with("< ")) REQUIRE(input_of(line.substr(2), other(self), t.todo.input));
        else if (line.starts_with("> ")) REQUIRE(setting_of(line.substr(2), t.todo));
        else t.todo.log += for_role(line, self);
      }
      all.push_back(std::move(t));
    }
    lines.clear();
  };
  for (std::string line; std::getline(text, line);) {
    if (line.empty()) finish();
    else if (line[0] != '#') lines.push_back(line);
  }
  finish();
  return all;
}

/// Runs a file; all of `rules` must be named in it.
void run_file(const std::string& file, std::initializer_list<const char*> rules) {
  const std::vector<transcript> all = read_transcripts(file);
  CHECK(all.size() >= rules.size());
  for (const transcript& t : all) {
    INFO(file << ": " << t.ids << ": " << t.what);
    check(t.todo);
  }
  for (const char* const rule : rules) {
    bool found = false;
    for (const transcript& t : all) found |= t.ids.find(rule) != t.ids.npos;
    INFO(file << " says nothing of " << rule);
    CHECK(found);
  }
}

}  // namespace

TEST_CASE("transcripts: the server's handshake",
          "[transcripts][H01][H05][H06][H07][H10][H13][H16][H16b][H19][H20][H21][H23][H29][H31]") {
  run_file("handshake_server.txt",
           {"H01", "H05", "H06", "H07", "H10", "H13", "H16", "H16b", "H19", "H20", "H21", "H23", "H29", "H31"});
}

TEST_CASE("transcripts: the client's handshake", "[transcripts][C01][C02][C04][C05][C06][C07][C08][C09][C14]") {
  run_file("handshake_client.txt", {"C01", "C02", "C04", "C05", "C06", "C07", "C08", "C09", "C14"});
}

TEST_CASE("transcripts: frames", "[transcripts][F01][F02][F03][F05][F06][F07][F08][F09]") {
  run_file("frames.txt", {"F01", "F02", "F03", "F05", "F06", "F07", "F08", "F09"});
}

TEST_CASE("transcripts: messages", "[transcripts][F10][F11][F12][F14][F15][F16][F17][F18][F19][F20]") {
  run_file("messages.txt", {"F10", "F11", "F12", "F14", "F15", "F16", "F17", "F18", "F19", "F20"});
}

TEST_CASE("transcripts: closing", "[transcripts][K01][K02][K03][K04][K06][K08][K09][K10][K11][K12][K14][K15]") {
  run_file("closing.txt", {"K01", "K02", "K03", "K04", "K06", "K08", "K09", "K10", "K11", "K12", "K14", "K15"});
}
