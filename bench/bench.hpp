// What all parts of the benchmark share: the bytes on the wire, reads, what was delivered, and the rows to measure.
//
// A small loop of our own rather than Google Benchmark: contestants take turns within every repetition, because on a
// shared machine only times taken side by side can be compared; each delivers its messages to a hash in an untimed pass,
// so that nobody wins by leaving something out; and allocations are counted. C++17, since websocketpp compiles as no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace bench {

/// The opcodes that the workloads use.
inline constexpr unsigned text = 1, binary = 2, ping = 9;

// ---- what is measured ----

/// What a pass is about: the bytes that arrive, or the payloads to send.
/// Puts a vector where malloc puts large blocks when they are new, 16 bytes behind a page's begin: always there, since a
/// copy between addresses that differ modulo 32 takes a third longer.
template <class T>
struct behind_16 {
  using value_type = T;
  T* allocate(std::size_t n) {
    auto* const page = static_cast<char*>(std::aligned_alloc(4096, (n * sizeof(T) + 16 + 4095) / 4096 * 4096));
    return page != nullptr ? reinterpret_cast<T*>(page + 16) : nullptr;
  }
  void deallocate(T* p, std::size_t) { std::free(reinterpret_cast<char*>(p) - 16); }
  friend bool operator==(const behind_16&, const behind_16&) { return true; }
  friend bool operator!=(const behind_16&, const behind_16&) { return false; }
};
using wire_bytes = std::vector<char, behind_16<char>>;

struct workload {
  bool from_client = true;  ///< masked, and received by a server; sends: we are the client
  unsigned opcode = binary;
  std::size_t payload = 0;             ///< of a message
  std::size_t messages = 0;            ///< in a pass
  std::size_t read_size = 64 * 1024;   ///< bytes that one read brings at most
  bool pings = false;                  ///< there are pings, whose pongs must be written
  wire_bytes wire;              ///< receiving: all frames
  std::string sample;                  ///< receiving: 64 KiB of the same kind of content
  std::vector<std::string> payloads;   ///< sending: what the messages hold
};

/// Collects what a contestant delivered: the bytes, where messages end, and their opcodes.
class delivery {
 public:
  void piece(const void* data, std::size_t n) {
    const auto* p = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < n; ++i) hash_ = (hash_ ^ p[i]) * 0x100000001B3U;
    size_ += n;
  }
  void end(unsigned opcode) {
    hash_ = (hash_ ^ (opcode + 256 + (size_ << 9))) * 0x100000001B3U;
    size_ = 0;
    ++messages_;
  }
  std::uint64_t hash() const { return hash_; }
  std::size_t messages() const { return messages_; }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325U;
  std::size_t size_ = 0;
  std::size_t messages_ = 0;
};

/// Stands for it in timed passes: counts only.
class tally {
 public:
  void piece(const void*, std::size_t n) { bytes_ += n; }
  void end(unsigned) { ++messages_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t messages() const { return messages_; }

 private:
  std::size_t bytes_ = 0;
  std::size_t messages_ = 0;
};

/// One way to do a workload. `pass` does all of it once and may be called again and again.
class contestant {
 public:
  virtual ~contestant() = default;
  virtual void pass(tally&) = 0;
  virtual void pass(delivery&) = 0;
};

/// Derives both passes from one template `run(sink)`.
template <class Self>
class contestant_of : public contestant {
 public:
  void pass(tally& to) final { static_cast<Self*>(this)->run(to); }
  void pass(delivery& to) final { static_cast<Self*>(this)->run(to); }
};

using contestant_ptr = std::unique_ptr<contestant>;

// ---- bytes ----

/// The one buffer that everybody reads into: its address alone is worth 15 %.
inline constexpr std::size_t read_buffer_size = 64 * 1024;
extern char* const read_buffer;

/// Where sends end up; large enough for every workload's largest frame.
inline constexpr std::size_t send_buffer_size = 128 * 1024;
extern char* const send_buffer;

/// Stands for the socket: hands out the wire's bytes, no more at a time than one read brings.
class reader {
 public:
  explicit reader(const workload& w) : at_(w.wire.data()), left_(w.wire.size()), read_size_(w.read_size) {}

  /// Copies the next bytes to `to`; 0 at the end.
  std::size_t read(char* to, std::size_t room) {
    if (segment_ == 0) segment_ = left_ < read_size_ ? left_ : read_size_;
    const std::size_t n = segment_ < room ? segment_ : room;
    std::memcpy(to, at_, n);
    at_ += n;
    left_ -= n;
    segment_ -= n;
    return n;
  }
  std::size_t read() { return read(read_buffer, read_buffer_size); }
  bool done() const { return left_ == 0; }

 private:
  const char* at_;
  std::size_t left_;
  std::size_t read_size_;
  std::size_t segment_ = 0;  // of the current read, what was not taken yet
};

/// Bytes that tell nothing: the same in every run.
class noise {
 public:
  explicit noise(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 1) {}
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  std::uint32_t below(std::uint32_t n) { return next() % n; }

 private:
  std::uint64_t state_;
};

enum class content { bytes, ascii, mixed_scripts, json };

/// A payload of exactly `n` bytes; text is valid UTF-8.
std::string make_payload(content what, std::size_t n, std::uint64_t seed);

/// Appends a frame, masked with a key of its own if `masked`.
void append_frame(wire_bytes& wire, unsigned first_byte, const std::string& payload, bool masked, noise& keys);

/// Messages of `payload` bytes each, in frames of at most `fragment` bytes, about `total` bytes of them, with a ping
/// after every `ping_every` fragments (0: none).
workload receiving(bool from_client, content what, std::size_t payload, std::size_t total, std::size_t read_size = 64 * 1024,
                   std::size_t fragment = SIZE_MAX, std::size_t ping_every = 0);

/// Messages of `payload` bytes to send, about `total` bytes of them, so that they are not all in the first cache.
workload sending(bool from_client, content what, std::size_t payload, std::size_t total);

/// Reads frames that were sent, byte by byte, into `to`: the judge of sends. False if they are no frames.
bool read_frames(const char* bytes, std::size_t n, bool masked, delivery& to);

/// A browser's opening request of 626 bytes.
extern const std::string browser_request;

// ---- allocations ----

/// How often malloc, calloc, realloc or operator new were called, and how many bytes are in use.
struct heap_use {
  std::uint64_t calls;
  std::int64_t bytes;
};
heap_use heap_now();

// ---- the contestants, by file ----

// limit.cpp
contestant_ptr copy_only(const workload&);               // what a read costs
contestant_ptr copy_and_xor(const workload&);            // and unmasking
contestant_ptr copy_xor_validate(const workload&, bool avx2_only);  // and simdjson's check of UTF-8
contestant_ptr memcpy_payloads(const workload&);         // the limit of sending

// wscodec_connection.cpp, wscodec_session.cpp
contestant_ptr connection_receives(const workload&);
contestant_ptr session_receives(const workload&);
contestant_ptr session_receives_prepared(const workload&);
contestant_ptr connection_sends(const workload&, bool one_by_one);
contestant_ptr connection_sends_heads(const workload&);
contestant_ptr session_sends(const workload&);

// beast.cpp, websocketpp.cpp, wslay.cpp
contestant_ptr beast_receives(const workload&);
contestant_ptr beast_sends(const workload&);
contestant_ptr websocketpp_receives(const workload&);
contestant_ptr websocketpp_sends(const workload&);
contestant_ptr wslay_frames_receives(const workload&);
contestant_ptr wslay_events_receives(const workload&);
contestant_ptr wslay_frames_sends(const workload&);

// The opening handshake of a server, each in the file of its contestant. Delivered is the accept value.
contestant_ptr connection_accepts(const workload&);
contestant_ptr beast_accepts(const workload&);
contestant_ptr websocketpp_accepts(const workload&);

// deflate.cpp: windows of 15 bits, level 6, memory level 8, with takeover.
contestant_ptr zlib_compresses(const workload&);
contestant_ptr session_compresses(const workload&);
contestant_ptr zlib_echoes(const workload&);  // inflates, and compresses the answer
contestant_ptr session_echoes(const workload&);
contestant_ptr zlib_inflates(const workload&, bool takeover);
contestant_ptr session_inflates(const workload&, bool takeover);
contestant_ptr session_inflates_by_libdeflate(const workload&);  // without takeover
/// The payloads of `w` as compressed frames on the wire.
workload compressed(workload w, bool takeover);

// sessions.cpp: a pass gives the wire's one frame, `messages` times, to a session at random.
contestant_ptr crowd_of_sessions(const workload& w, std::size_t count, double& bytes_each);

// sessions.cpp: a pass sends the workload's first payload to as many sessions as it has messages.
contestant_ptr broadcast_one_by_one(const workload&, bool compressed);
contestant_ptr broadcast_prepared(const workload&, bool compressed);

// Bytes of an open, idle connection: of the object, and of heap behind it.
struct idle_memory {
  std::string name;
  std::size_t object;
  std::size_t heap;
};
void wscodec_idle(std::vector<idle_memory>&);
void beast_idle(std::vector<idle_memory>&);
void websocketpp_idle(std::vector<idle_memory>&);
void wslay_idle(std::vector<idle_memory>&);

// ---- stop ----

/// Ends the run: a number from a contestant that did something else is worth nothing.
[[noreturn]] void give_up(const char* who, const char* what);

}  // namespace bench
