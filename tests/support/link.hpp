// One end of a connection for the tests of sessions, and a simulated link between two of them.
#ifndef WSCODEC_TESTS_SUPPORT_LINK_HPP
#define WSCODEC_TESTS_SUPPORT_LINK_HPP

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "wire.hpp"
#include "wscodec/session.hpp"

namespace sim {

namespace ws = wscodec;

/// Numbers that are the same in every run.
struct generator {
  std::uint64_t state = 1;
  std::uint64_t operator()(std::uint64_t below) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    return below == 0 ? 0 : (state >> 33) % below;
  }
  std::size_t size(std::size_t most) { return 1 + static_cast<std::size_t>((*this)(most)); }
  bool one_in(std::uint64_t n) { return (*this)(n) == 0; }
};

/// A handshake that agreed on nothing.
inline constexpr ws::negotiated nothing_agreed{};

/// A session with what it needs, and a log of its events as wire.hpp writes it.
struct side {
  ws::role self;
  wire::test_entropy entropy;
  ws::masking_keys keys{&wire::test_entropy::fill, &entropy};
  ws::session session;
  wire::event_log log;
  std::function<void(const ws::event&)> on_event = {};
  bool accepts = true;  ///< requests are answered by 101

  /// With `open` it starts after the handshake. The options must outlive it.
  side(ws::role role, const ws::options& opt, bool open = true, const ws::allocator* memory = nullptr)
      : self(role),
        session(open ? ws::session{role, nothing_agreed, opt, &keys, memory} : ws::session{role, opt, &keys, memory}) {
    entropy.state += role == ws::role::server ? 1 : 0;
  }
  side(const side&) = delete;
  side& operator=(const side&) = delete;

  void happened(const ws::event& ev) {
    if (!ev && !ev.payload.empty()) log.add("BAD: bytes without an event");
    if (ev.type == ws::event_type::message && !(ev.first && ev.last)) log.add("BAD: a message that is not whole");
    if (!ev) return;
    log.add(ev, session.offset());
    if (ev.type == ws::event_type::request && accepts) (void)session.accept();
    if (on_event) on_event(ev);
  }
  /// One read, in memory of its exact size that is gone afterwards.
  void read(std::string_view bytes) {
    const std::unique_ptr<char[]> memory{new char[bytes.size()]};
    if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
    std::span<char> rest{memory.get(), bytes.size()};
    for (ws::event ev = session.next(rest);; ev = session.next(rest)) {
      happened(ev);
      if (!ev) break;
    }
    if (!rest.empty()) log.add("BAD: input left over");
  }
  /// The same through `prepare` and `commit`, at most `size` bytes at a time.
  void read_prepared(std::string_view bytes, std::size_t size = 16 * 1024) {
    while (!bytes.empty()) {
      const std::span<char> memory = session.prepare(size);
      if (memory.empty()) return log.add("BAD: no memory");
      std::size_t n = bytes.size() < memory.size() ? bytes.size() : memory.size();
      if (n > size) n = size;
      std::memcpy(memory.data(), bytes.data(), n);
      bytes.remove_prefix(n);
      session.commit(n);
      for (ws::event ev = session.next();; ev = session.next()) {
        happened(ev);
        if (!ev) break;
      }
    }
  }
  void eof() { happened(session.end_of_input()); }
  /// At most `most` bytes of the output, which then count as sent.
  std::string take(std::size_t most = ~std::size_t{0}) {
    std::string bytes;
    while (!session.output().empty() && bytes.size() < most) {
      const std::string_view part = session.output().substr(0, most - bytes.size());
      bytes += part;
      session.consume(part.size());
    }
    return bytes;
  }
  /// All of it, a line a frame; of an HTTP answer that is not followed by frames the first line.
  std::string sent() {
    const std::string bytes = take();
    if (bytes.starts_with("HTTP/") && !bytes.starts_with("HTTP/1.1 101")) return "-> " + bytes.substr(0, bytes.find("\r\n")) + "\n";
    return wire::describe_sent(self, bytes);
  }
  /// The events since the beginning, a line each.
  std::string events() { return log.text(); }
};

/// Bytes that tell one place from another.
inline std::string pattern(std::size_t n, std::uint64_t seed = 0) {
  std::string bytes(n, '\0');
  for (std::size_t i = 0; i < n; ++i)
    bytes[i] = static_cast<char>(static_cast<unsigned char>((i * 131 + (i >> 8) * 17 + seed * 29) & 0xFFU));
  return bytes;
}
inline std::string letters(std::size_t n, std::uint64_t seed = 0) {
  std::string bytes = pattern(n, seed);
  for (char& c : bytes) c = static_cast<char>('a' + static_cast<unsigned char>(c) % 26);
  return bytes;
}

/// One direction of a link: bytes, each with the time when it arrives, and the end of the stream.
class pipe {
 public:
  static constexpr std::uint64_t not_yet = ~std::uint64_t{0};

  void write(std::string_view bytes, std::uint64_t arrives) {
    if (bytes.empty() || closed_) return;
    if (!parts_.empty() && parts_.back().first > arrives) arrives = parts_.back().first;  // in order
    parts_.emplace_back(arrives, bytes);
    written += bytes.size();
  }
  /// The end of the stream; what was written before arrives first.
  void close(std::uint64_t arrives) {
    if (closed_) return;
    closed_ = true;
    end_at_ = parts_.empty() || parts_.back().first < arrives ? arrives : parts_.back().first;
  }
  /// The stream ends after `n` bytes in all, whatever is written.
  void cut_after(std::uint64_t n) { cut_ = n; }

  /// Up to `most` bytes that are there at `now`.
  std::string read(std::uint64_t now, std::size_t most) {
    std::string bytes;
    while (!parts_.empty() && parts_.front().first <= now && bytes.size() < most && taken + bytes.size() < cut_) {
      std::string& part = parts_.front().second;
      std::uint64_t n = most - bytes.size();
      if (n > part.size()) n = part.size();
      if (n > cut_ - taken - bytes.size()) n = cut_ - taken - bytes.size();
      bytes.append(part, 0, static_cast<std::size_t>(n));
      part.erase(0, static_cast<std::size_t>(n));
      if (part.empty()) parts_.pop_front();
    }
    taken += bytes.size();
    return bytes;
  }
  [[nodiscard]] bool at_end(std::uint64_t now) const {
    return taken >= cut_ || (closed_ && parts_.empty() && now >= end_at_);
  }
  /// When there is something to read next.
  [[nodiscard]] std::uint64_t ready_at() const {
    if (taken >= cut_) return 0;
    return !parts_.empty() ? parts_.front().first : closed_ ? end_at_ : not_yet;
  }

  std::uint64_t written = 0, taken = 0;

 private:
  std::deque<std::pair<std::uint64_t, std::string>> parts_;
  std::uint64_t end_at_ = 0, cut_ = ~std::uint64_t{0};
  bool closed_ = false;
};

/// A client and a server on a link. Time moves from event to event; reads and writes are cut at random, bytes are late
/// at random. Each end does to its transport what `wants()` says.
class link {
 public:
  struct end {
    side& s;
    pipe out = {};
    std::string sent = {};  ///< everything that was given to the transport
    bool half_closed = false, saw_end = false, dropped = false;
  };

  link(side& client, side& server, std::uint64_t seed) : random{seed}, client_{client}, server_{server} {}

  generator random;
  std::size_t largest_part = 64;     ///< bytes of a read or a write
  std::uint64_t largest_delay = 50;  ///< microseconds
  std::uint64_t now = 1000;

  end& client() { return client_; }
  end& server() { return server_; }

  /// Goes on until both transports are dropped, or nothing happens any more, or `until` is true.
  void run(const std::function<bool()>& until = {}) {
    for (int idle = 0; idle < 2;) {
      if (until && until()) return;
      const bool client_busy = turn(client_, server_.out);
      const bool server_busy = turn(server_, client_.out);
      const bool busy = client_busy || server_busy;
      if (client_.dropped && server_.dropped) return;
      if (busy) {
        idle = 0;
        continue;
      }
      std::uint64_t next = ws::never;
      for (end* e : {&client_, &server_}) {
        if (e->dropped) continue;
        if (e->s.session.next_deadline() < next) next = e->s.session.next_deadline();
        const pipe& in = e == &client_ ? server_.out : client_.out;
        if (!e->saw_end && in.ready_at() < next) next = in.ready_at();
      }
      if (next == ws::never) ++idle;
      else now = next > now ? next : now + 1;
    }
  }

 private:
  bool turn(end& e, pipe& in) {
    if (e.dropped) return false;
    bool busy = false;
    e.s.happened(e.s.session.tick(now));
    if (const std::string bytes = in.read(now, random.size(largest_part)); !bytes.empty()) {
      busy = true;
      if (random.one_in(2)) e.s.read(bytes);
      else e.s.read_prepared(bytes, random.size(2 * largest_part));
    } else if (!e.saw_end && in.at_end(now)) {
      busy = e.saw_end = true;
      e.s.eof();
    }
    if (const std::string bytes = e.s.take(random.size(largest_part)); !bytes.empty()) {
      busy = true;
      e.sent += bytes;
      e.out.write(bytes, now + random(largest_delay));
    }
    switch (e.s.session.wants()) {
      case ws::transport::keep:
      case ws::transport::flush: break;
      case ws::transport::half_close:
        busy |= !e.half_closed;
        e.half_closed = true;
        e.out.close(now + random(largest_delay));
        break;
      case ws::transport::drop:
        busy = e.dropped = e.half_closed = true;
        e.out.close(now + random(largest_delay));
        break;
    }
    return busy;
  }

  end client_, server_;
};

}  // namespace sim

#endif
