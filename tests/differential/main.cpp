// Gives the same cases to us and to the peers, and holds each disagreement against the table.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cases.hpp"
#include "disagreements.hpp"
#include "peers.hpp"
#include "wscodec.hpp"
#include "wslay.hpp"

namespace differential {

namespace {

constexpr std::size_t n_rows = sizeof rows / sizeof rows[0];

constexpr const char* kind_names[] = {"frames to a server",
                                      "frames to a client",
                                      "compressed, to a server",
                                      "compressed, to a client",
                                      "request",
                                      "response"};

[[noreturn]] void give_up(const std::string& why) {
  std::printf("FAIL %s\n0 passed, 1 failed\n", why.c_str());
  std::exit(1);
}

// ---- a peer in a process of its own: gets a batch whole, answers it whole

class subprocess {
 public:
  explicit subprocess(std::string command) : command_(std::move(command)) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) give_up("no pipe");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      execl("/bin/sh", "sh", "-c", ("exec " + command_).c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "wb");
    from_ = fdopen(from[0], "rb");
  }
  subprocess(const subprocess&) = delete;
  subprocess& operator=(const subprocess&) = delete;
  ~subprocess() {
    std::fclose(to_);
    std::fclose(from_);
    waitpid(pid_, nullptr, 0);
  }

  void send(const std::vector<test_case>& cases) {
    std::string batch;
    for (const test_case& c : cases) {
      batch += static_cast<char>(c.what);
      put(batch, c.bytes.size());
      batch += c.bytes;
    }
    std::string size;
    put(size, batch.size());
    if (std::fwrite(size.data(), 1, size.size(), to_) != size.size() ||
        std::fwrite(batch.data(), 1, batch.size(), to_) != batch.size() || std::fflush(to_) != 0)
      give_up(command_ + ": takes no more cases");
  }
  std::vector<outcome> receive(std::size_t n) {
    const std::string answer = get(number(get(4), 0, 4));
    std::vector<outcome> all(n);
    std::size_t at = 0;
    for (outcome& o : all) {
      if (answer.size() - at < 7) give_up(command_ + ": answers too little");
      o.end = static_cast<verdict>(answer[at]);
      o.code = static_cast<std::uint16_t>(number(answer, at + 1, 2));
      const std::size_t size = number(answer, at + 3, 4);
      o.log = answer.substr(at + 7, size);
      at += 7 + size;
    }
    if (at != answer.size()) give_up(command_ + ": answers too much");
    return all;
  }

 private:
  static void put(std::string& to, std::size_t n) {
    for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>(n >> shift);
  }
  std::string get(std::size_t n) {
    std::string text(n, '\0');
    if (std::fread(text.data(), 1, n, from_) != n) give_up(command_ + ": ended");
    return text;
  }

  std::string command_;
  pid_t pid_ = 0;
  std::FILE *to_ = nullptr, *from_ = nullptr;
};

// ---- what is counted and told

struct counts {
  std::uint64_t cases[6] = {};
  std::uint64_t all = 0, agreed = 0, explained = 0, unexplained = 0;
};
counts of_peer[n_peers];
std::uint64_t of_row[n_rows][n_peers];
std::map<std::string, std::uint64_t> unexplained;

std::string name_of(ws::error why) { return std::string{ws::explain(why).name}; }

std::string words(const outcome& o) {
  static constexpr const char* ends[] = {"waits", "closed", "failed", "accepted", "rejected"};
  return ends[static_cast<unsigned>(o.end)] + (o.end == verdict::failed ? " " + std::to_string(o.code) : std::string{});
}

std::size_t most_shown = 600;

std::string shown(std::string_view bytes, bool as_text) {
  std::string all;
  for (const char c : bytes.substr(0, most_shown)) {
    char hex[8];
    std::snprintf(hex, sizeof hex, as_text ? "\\x%02x" : "%02x ", static_cast<unsigned>(static_cast<unsigned char>(c)));
    if (as_text && c == '\n') all += "\\n\n        ";
    else if (as_text && c == '\r') all += "\\r";
    else if (as_text && c >= ' ' && c <= '~' && c != '\\') all += c;
    else all += hex;
  }
  return all + (bytes.size() > most_shown ? "..." : "");
}

void compare(peer who, const test_case& c, const our_outcome& us, const outcome& them, std::uint64_t index,
             bool shows) {
  counts& n = of_peer[static_cast<unsigned>(who)];
  ++n.all;
  ++n.cases[static_cast<unsigned>(c.what)];
  const met m{who, c.what, c.bytes, us, them};
  if (shows)
    std::printf("%s: we: %s %s at %llu [%s]; it: %s [%s]\n", peer_names[static_cast<unsigned>(who)], words(us).c_str(),
                name_of(us.why).c_str(), static_cast<unsigned long long>(us.offset), shown(us.log, true).c_str(),
                words(them).c_str(), shown(them.log, true).c_str());
  if (agrees(m)) {
    ++n.agreed;
    return;
  }
  for (std::size_t i = 0; i < n_rows; ++i) {
    if (!rows[i].is_of(who) || !rows[i].applies(m)) continue;
    ++n.explained;
    ++of_row[i][static_cast<unsigned>(who)];
    return;
  }
  ++n.unexplained;
  const std::string what = std::string(peer_names[static_cast<unsigned>(who)]) + ", " +
                           kind_names[static_cast<unsigned>(c.what)] + ": we: " + words(us) + " " + name_of(us.why) +
                           ", it: " + words(them) +
                           (m.same_log()  ? ""
                            : m.went_on() ? ", and it gave more"
                                          : ", and it gave something else");
  if (unexplained[what]++ >= 2) return;
  std::printf("FAIL case %llu, %s\n    %s\n    we gave: %s\n    it gave: %s\n", static_cast<unsigned long long>(index),
              what.c_str(), shown(c.bytes, is_handshake(c.what)).c_str(), shown(us.log, true).c_str(),
              shown(them.log, true).c_str());
}

}  // namespace

}  // namespace differential

// differential CASES SEED INDEX [PEER COMMAND]...: INDEX, unless -1, runs that case alone.
int main(int argc, char** argv) {
  using namespace differential;
  if (argc < 4) return 2;
  std::signal(SIGPIPE, SIG_IGN);  // a peer that ends is told of
  const std::uint64_t cases = std::strtoull(argv[1], nullptr, 10), seed = std::strtoull(argv[2], nullptr, 10);
  const std::int64_t only = std::strtoll(argv[3], nullptr, 10);
  if (only >= 0) most_shown = 4096;
  std::map<peer, subprocess> others;
  for (int i = 4; i + 1 < argc; i += 2)
    others.try_emplace(std::string_view{argv[i]} == "ws" ? peer::npm_ws : peer::wsproto, argv[i + 1]);

  constexpr std::uint64_t batch_size = 1000;
  const std::uint64_t first = only >= 0 ? static_cast<std::uint64_t>(only) : 0, end = only >= 0 ? first + 1 : cases;
  for (std::uint64_t at = first; at < end; at += batch_size) {
    std::vector<test_case> batch;
    for (std::uint64_t i = at; i < at + batch_size && i < end; ++i) batch.push_back(generator{seed, i}.make());
    for (auto& [who, other] : others) other.send(batch);
    std::vector<our_outcome> us;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const test_case& c = batch[i];
      us.push_back(ours(c.what, c.bytes));
      const auto against = [&](peer who, const outcome& them) { compare(who, c, us[i], them, at + i, only >= 0); };
      if (only >= 0) std::printf("%s\n", shown(c.bytes, is_handshake(c.what)).c_str());
      if (!is_handshake(c.what) && !is_deflate(c.what)) against(peer::wslay, run_wslay(c.what, c.bytes));
      against(peer::beast, run_beast(c.what, c.bytes));
      against(peer::websocketpp, run_websocketpp(c.what, c.bytes));
    }
    for (auto& [who, other] : others) {
      const std::vector<outcome> them = other.receive(batch.size());
      for (std::size_t i = 0; i < batch.size(); ++i) compare(who, batch[i], us[i], them[i], at + i, only >= 0);
    }
  }
  if (only >= 0) return 0;

  std::uint64_t agreed = 0, failed = 0;
  for (std::size_t p = 0; p < n_peers; ++p) {
    const counts& n = of_peer[p];
    if (n.all == 0) continue;
    std::printf("%s: %llu cases, %llu alike, %llu explained, %llu not explained\n", peer_names[p],
                static_cast<unsigned long long>(n.all), static_cast<unsigned long long>(n.agreed),
                static_cast<unsigned long long>(n.explained), static_cast<unsigned long long>(n.unexplained));
    std::printf("   ");
    for (std::size_t k = 0; k < 6; ++k)
      if (n.cases[k] != 0) std::printf(" %s: %llu;", kind_names[k], static_cast<unsigned long long>(n.cases[k]));
    std::printf("\n");
    for (std::size_t i = 0; i < n_rows; ++i)
      if (rows[i].is_of(static_cast<peer>(p)))
        std::printf("%10llu  %-4s %s: %s (%s)%s\n", static_cast<unsigned long long>(of_row[i][p]), rows[i].rule.data(),
                    rows[i].words.data(), rows[i].who_is_right == right::we ? "we are right" : "both may",
                    rows[i].source.data(), of_row[i][p] == 0 ? ": not met" : "");
    agreed += n.agreed + n.explained;
    failed += n.unexplained;
  }
  for (const auto& [what, times] : unexplained)
    std::printf("FAIL %8llu times %s\n", static_cast<unsigned long long>(times), what.c_str());
  std::printf("%llu passed, %llu failed\n", static_cast<unsigned long long>(agreed),
              static_cast<unsigned long long>(failed));
  return failed != 0 || agreed == 0;
}
