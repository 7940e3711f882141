#include <wscodec/session.hpp>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "support/link.hpp"
#include "support/wire.hpp"

// Both roles against each other over a simulated link: delays, reads and writes of any size, ends anywhere.
namespace ws = wscodec;
using sim::side;

namespace {

using message = std::pair<ws::opcode, std::string>;

/// What one end sends and what it receives.
struct speaker {
  explicit speaker(side& end) : s(end) {
    s.on_event = [this](const ws::event& ev) {
      if (ev.type == ws::event_type::message) received.emplace_back(ev.opcode, ev.payload);
      if (ev.type == ws::event_type::close) ++closes, reason = ev.payload;
      if (ev.type == ws::event_type::failed) ++failures;
    };
  }
  speaker(const speaker&) = delete;
  speaker& operator=(const speaker&) = delete;

  /// Sends something, in one of the ways there are.
  void speak(sim::generator& random, std::size_t largest) {
    const std::size_t n = random.one_in(5) ? 0 : static_cast<std::size_t>(random(largest));
    const bool text = random.one_in(2);
    message m{text ? ws::opcode::text : ws::opcode::binary, text ? sim::letters(n, random(100)) : sim::pattern(n, random(100))};
    const std::string_view payload = m.second;
    switch (random(4)) {
      case 0: {  // in pieces, with a ping between
        const std::size_t cut = static_cast<std::size_t>(random(n + 1));
        if (s.session.send(m.first, payload.substr(0, cut), false) != ws::error::none) return;
        CHECK(s.session.ping("between") == ws::error::none);
        CHECK(s.session.send(ws::opcode::continuation, payload.substr(cut), true) == ws::error::none);
        break;
      }
      case 1:
        borrowed.push_back(m);
        borrowed.back().second.shrink_to_fit();
        if (s.session.send_borrowed(m.first, borrowed.back().second, nullptr) != ws::error::none) return;
        break;
      default:
        if (s.session.send(m.first, payload) != ws::error::none) return;
    }
    sent.push_back(std::move(m));
  }

  side& s;
  std::vector<message> sent, received;
  std::deque<message> borrowed;
  std::string reason;
  int closes = 0, failures = 0;
};

/// The lines of what an end sent that are Close frames; "" if anything came after one, or was wrong.
std::vector<std::string> closes_in(ws::role self, std::string_view bytes) {
  std::vector<std::string> closes;
  const std::string lines = wire::describe_sent(self, bytes);
  CHECK(lines.find("BAD") == lines.npos);
  for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
    if (!closes.empty()) closes.emplace_back("something after it");
    const std::string line = lines.substr(at, lines.find('\n', at) - at);
    if (line.starts_with("-> close")) closes.push_back(line);
  }
  return closes;
}

struct conversation {
  explicit conversation(std::uint64_t seed, const ws::options& opt = defaults())
      : random{seed}, client(ws::role::client, opt, false), server(ws::role::server, opt, false), link(client, server, seed) {
    CHECK(client.session.connect({.host = "example.org"}) == ws::error::none);
  }
  static const ws::options& defaults() {
    static const ws::options opt;
    return opt;
  }
  /// Goes on until both transports are gone; false if that does not happen.
  bool run(const std::function<bool()>& act) {
    for (int round = 0; round < 10'000; ++round) {
      if (link.client().dropped && link.server().dropped) return true;
      const bool more = act();
      link.run([&] { return more && random.one_in(3); });
      if (!more && !(link.client().dropped && link.server().dropped)) return false;
    }
    return false;
  }
  [[nodiscard]] bool is_clean() const { return client.session.was_clean() && server.session.was_clean(); }

  sim::generator random;
  side client, server;
  speaker from_client{client}, from_server{server};
  sim::link link;
};

}  // namespace

TEST_CASE("every message arrives, and the end is clean, over a link that cuts and delays as it likes",
          "[link][F13][K11][K13]") {
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) {
    INFO("seed " << seed);
    conversation c{seed};
    c.link.largest_part = static_cast<std::size_t>(1 + c.random(c.random.one_in(3) ? 4 : 400));
    c.link.largest_delay = 1 + c.random(100);
    const std::size_t largest = c.random.one_in(10) ? 5000 : 200;
    std::uint64_t turns = c.random(12);
    const std::uint64_t closer = c.random(3);  // the client, the server, or both at about the same time
    const bool ended = c.run([&] {
      const bool open = c.client.session.is_open() && c.server.session.is_open();
      if (!open) return c.client.session.state() == ws::close_state::open && c.server.session.state() == ws::close_state::open;
      if (turns != 0) {
        --turns;
        if (!c.random.one_in(3)) c.from_client.speak(c.random, largest);
        if (!c.random.one_in(3)) c.from_server.speak(c.random, largest);
        return true;
      }
      if (closer != 1) CHECK(c.client.session.close(ws::close_code::normal, "from the client") == ws::error::none);
      if (closer != 0) CHECK(c.server.session.close(ws::close_code::going_away, "from the server") == ws::error::none);
      return false;
    });
    REQUIRE(ended);
    CHECK(c.is_clean());
    CHECK((c.from_server.received == c.from_client.sent));
    CHECK((c.from_client.received == c.from_server.sent));
    CHECK(c.from_client.closes == 1);
    CHECK(c.from_server.closes == 1);
    CHECK(c.from_client.failures + c.from_server.failures == 0);
    CHECK(closes_in(ws::role::client, c.link.client().sent).size() == 1);
    CHECK(closes_in(ws::role::server, c.link.server().sent).size() == 1);
    CHECK((c.link.client().saw_end && c.link.now < 10'000'000));  // the server ends first, and nobody waits for a deadline
  }
}

TEST_CASE("K08 crossed Close frames: both ends finish, there is no third", "[link][K08]") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    INFO("seed " << seed);
    conversation c{seed};
    c.link.largest_part = static_cast<std::size_t>(1 + c.random(20));
    REQUIRE(c.run([&] {
      if (!c.client.session.is_open() || !c.server.session.is_open()) return c.client.session.state() == ws::close_state::open;
      c.from_client.speak(c.random, 50);
      c.from_server.speak(c.random, 50);
      CHECK(c.client.session.close(static_cast<ws::close_code>(3001), "c") == ws::error::none);
      CHECK(c.server.session.close(static_cast<ws::close_code>(4002), "s") == ws::error::none);
      return false;
    }));
    CHECK(c.is_clean());
    CHECK((c.from_server.received == c.from_client.sent));
    CHECK((c.from_client.received == c.from_server.sent));
    CHECK(c.client.session.code() == static_cast<ws::close_code>(4002));
    CHECK(c.server.session.code() == static_cast<ws::close_code>(3001));
    CHECK(c.from_client.reason == "s");
    CHECK(c.from_server.reason == "c");
    CHECK((closes_in(ws::role::client, c.link.client().sent) == std::vector<std::string>{"-> close 3001 \"c\""}));
    CHECK((closes_in(ws::role::server, c.link.server().sent) == std::vector<std::string>{"-> close 4002 \"s\""}));
  }
}

TEST_CASE("K12 a stream that ends at any byte, from either side, leaves nobody behind", "[link][K12]") {
  // The same conversation each time: messages both ways, a ping, and the client closes.
  const auto talk = [](conversation& c) {
    bool said = false;
    return c.run([&c, said]() mutable {
      if (!c.client.session.is_open() || !c.server.session.is_open())
        return c.client.session.state() == ws::close_state::open && c.server.session.state() == ws::close_state::open && !said;
      if (said) return false;
      said = true;
      for (speaker* who : {&c.from_client, &c.from_server}) {
        for (const message& m : {message{ws::opcode::text, "hello"}, message{ws::opcode::binary, sim::pattern(130)}}) {
          CHECK(who->s.session.send(m.first, m.second) == ws::error::none);
          who->sent.push_back(m);
        }
        CHECK(who->s.session.ping() == ws::error::none);
      }
      CHECK(c.client.session.close() == ws::error::none);
      return true;
    });
  };
  const auto is_prefix = [](const std::vector<message>& part, const std::vector<message>& all) {
    return part.size() <= all.size() && std::equal(part.begin(), part.end(), all.begin());
  };
  conversation whole{1};
  REQUIRE(talk(whole));
  REQUIRE(whole.is_clean());
  for (const bool from_client : {true, false}) {
    const std::size_t total = (from_client ? whole.link.client() : whole.link.server()).sent.size();
    REQUIRE(total > 250);
    for (std::size_t n = 0; n <= total; ++n) {
      INFO((from_client ? "the client's" : "the server's") << " stream ends after " << n << " of " << total << " bytes");
      conversation c{n + 1};
      sim::link::end& cut = from_client ? c.link.client() : c.link.server();
      const side& reader = from_client ? c.server : c.client;
      cut.out.cut_after(n);
      REQUIRE(talk(c));
      CHECK(is_prefix(c.from_server.received, c.from_client.sent));
      CHECK(is_prefix(c.from_client.received, c.from_server.sent));
      CHECK(closes_in(ws::role::client, c.link.client().sent).size() <= 1);
      CHECK(closes_in(ws::role::server, c.link.server().sent).size() <= 1);
      CHECK(reader.session.was_clean() == (n == total));
      if (n != total) CHECK(reader.session.code() == ws::close_code::abnormal);
      CHECK(c.link.now < 60'000'000);
    }
  }
}

TEST_CASE("H35 a refusal arrives whole, and the client lets go", "[link][H35][C07][K15]") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    INFO("seed " << seed);
    conversation c{seed};
    c.link.largest_part = static_cast<std::size_t>(1 + c.random(300));
    const std::string page = sim::letters(static_cast<std::size_t>(c.random(3000)), seed);
    std::string body;
    int status = 0;
    c.client.on_event = [&](const ws::event& ev) {
      if (ev.type == ws::event_type::rejected) status = ev.response().status();
      if (ev.type == ws::event_type::body) body += ev.payload;
    };
    c.server.accepts = false;
    c.server.on_event = [&](const ws::event& ev) {
      if (ev.type == ws::event_type::request) CHECK(c.server.session.respond({.status = 404, .body = page}) == ws::error::none);
    };
    REQUIRE(c.run([] { return false; }));
    CHECK(status == 404);
    CHECK(body == page);
    CHECK(c.client.session.why() == ws::error::handshake_refused);
    CHECK(c.link.now < 1'000'000);
  }
}

TEST_CASE("a peer that vanishes is dropped by its deadlines alone", "[link][T01][T02][T04]") {
  ws::options opt;
  opt.ping_interval = 30'000'000;
  for (const bool client_vanishes : {true, false})
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      conversation c{seed, opt};
      c.link.run([&] { return c.client.session.is_open() && c.server.session.is_open() && c.random.one_in(5); });
      sim::link::end& gone = client_vanishes ? c.link.client() : c.link.server();
      sim::link::end& left = client_vanishes ? c.link.server() : c.link.client();
      gone.dropped = true;  // without a word: nothing is read, written or ended any more
      const std::uint64_t since = c.link.now;
      c.link.run();
      CHECK(left.dropped);
      CHECK(left.s.session.why() == ws::error::pong_timeout);
      CHECK(c.link.now - since <= 56'000'000);  // T03, T04 and T02
      CHECK(!left.s.session.was_clean());
    }
}
