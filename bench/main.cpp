// The rows: which contestants do what, and what we want to reach. Prints every time that was taken, as JSON; report.py
// makes tables of them.
//     bench [--quick] [--only PART-OF-A-NAME] > results.json
#include <errno.h>
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "bench.hpp"

// ---- counting allocations: glibc lets a program replace these, and then everybody uses them ----

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}

namespace {

std::uint64_t heap_calls = 0;
std::int64_t heap_bytes = 0;

void* counted(void* p) {
  ++heap_calls;
  if (p != nullptr) heap_bytes += static_cast<std::int64_t>(malloc_usable_size(p));
  return p;
}
void uncounted(void* p) {
  if (p != nullptr) heap_bytes -= static_cast<std::int64_t>(malloc_usable_size(p));
}

}  // namespace

extern "C" {
void* malloc(std::size_t n) { return counted(__libc_malloc(n)); }
void* calloc(std::size_t n, std::size_t size) { return counted(__libc_calloc(n, size)); }
void* realloc(void* p, std::size_t n) {
  uncounted(p);
  return counted(__libc_realloc(p, n));
}
void* aligned_alloc(std::size_t alignment, std::size_t n) { return counted(__libc_memalign(alignment, n)); }
int posix_memalign(void** to, std::size_t alignment, std::size_t n) {
  *to = counted(__libc_memalign(alignment, n));
  return *to == nullptr ? ENOMEM : 0;
}
void free(void* p) {
  uncounted(p);
  __libc_free(p);
}
}

namespace bench {

heap_use heap_now() { return {heap_calls, heap_bytes}; }

namespace {

struct settings {
  int rounds = 11;
  double chunk = 4e6;  // nanoseconds of one measurement, at least one pass
  std::string only;
  bool quick = false;
} set;

double now() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return 1e9 * static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec);
}

/// What we want: time of `entry` over time of `against` at most `reach`, or with `times_faster` its inverse at least; or
/// with `nanoseconds` the time of `entry` at most so many.
enum class kind { multiple, times_faster, nanoseconds };
struct target {
  std::string entry;
  double reach, stretch;
  std::string against = "";  // nothing: the first entry
  kind what = kind::multiple;
};

struct entry {
  std::string name;
  contestant_ptr it;
  bool judged = true;  // delivers, so that it can be compared; the limits do not
  bool allocates = false;  // once for all messages of a pass
};

bool first_row = true;

void print_string(const char* name, const std::string& value, const char* end = ", ") {
  std::printf("\"%s\": \"%s\"%s", name, value.c_str(), end);
}

bool wanted(const std::string& group, const std::string& name) {
  return set.only.empty() || (group + " " + name).find(set.only) != std::string::npos;
}

void begin_row(const std::string& group, const std::string& name) {
  std::printf("%s{", first_row ? "" : ",\n");
  first_row = false;
  print_string("group", group);
  print_string("name", name);
}

/// Measures a row. The first entry is what the others are compared with. `units` of `unit` happen in a pass.
void measure(const std::string& group, const std::string& name, const workload& w, std::vector<entry> entries,
             const std::vector<target>& targets = {}, double at = 0, double units = 0, const char* unit = "message") {
  if (units == 0) units = static_cast<double>(w.messages);
  const auto ours = [](const entry& e) { return e.name.rfind("connection", 0) == 0 || e.name.rfind("session", 0) == 0; };

  // All deliver the same.
  const entry* first = nullptr;
  std::uint64_t hash = 0;
  for (const entry& e : entries) {
    if (!e.judged) continue;
    delivery got;
    e.it->pass(got);
    if (got.messages() != w.messages) give_up((name + ": " + e.name).c_str(), "delivers another number of messages");
    if (first != nullptr && got.hash() != hash) give_up((name + ": " + e.name).c_str(), "delivers something else");
    first = &e;
    hash = got.hash();
  }

  // How many passes make a measurement, and what is allocated after the first.
  std::vector<std::size_t> passes;
  std::vector<double> allocations;
  for (const entry& e : entries) {
    tally warm;
    e.it->pass(warm);
    const heap_use before = heap_now();
    e.it->pass(warm);
    allocations.push_back(static_cast<double>(heap_now().calls - before.calls) / static_cast<double>(w.messages));
    if (ours(e) && !e.allocates && allocations.back() != 0) give_up((name + ": " + e.name).c_str(), "allocates");
    std::size_t n = 0;
    const double start = now();
    double spent = 0;
    for (std::size_t next = 1; spent < set.chunk / 8; next *= 2) {
      for (std::size_t i = 0; i < next; ++i) e.it->pass(warm);
      n += next;
      spent = now() - start;
    }
    passes.push_back(std::max<std::size_t>(1, static_cast<std::size_t>(set.chunk / (spent / static_cast<double>(n)))));
  }

  std::vector<std::vector<double>> times(entries.size());
  for (int round = 0; round < set.rounds; ++round) {
    for (std::size_t k = 0; k < entries.size(); ++k) {
      // A neighbour of its own in every round.
      const std::size_t i = round % 2 == 0 ? (k + static_cast<std::size_t>(round)) % entries.size()
                                           : entries.size() - 1 - (k + static_cast<std::size_t>(round)) % entries.size();
      tally got;
      const double start = now();
      for (std::size_t p = 0; p < passes[i]; ++p) entries[i].it->pass(got);
      times[i].push_back((now() - start) / static_cast<double>(passes[i]));
      if (entries[i].judged && got.messages() != passes[i] * w.messages) give_up(entries[i].name.c_str(), "lost messages");
    }
  }

  begin_row(group, name);
  std::printf("\"at\": %.0f, \"units\": %.0f, ", at, units);
  print_string("unit", unit);
  std::printf("\"entries\": [");
  for (std::size_t i = 0; i < entries.size(); ++i) {
    std::printf("%s\n  {", i == 0 ? "" : ",");
    print_string("name", entries[i].name);
    std::printf("\"ours\": %s, \"allocations\": %.3f, \"ns\": [", ours(entries[i]) ? "true" : "false", allocations[i]);
    for (std::size_t r = 0; r < times[i].size(); ++r) std::printf("%s%.1f", r == 0 ? "" : ", ", times[i][r]);
    std::printf("]}");
  }
  std::printf("], \"targets\": [");
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const target& t = targets[i];
    std::printf("%s{", i == 0 ? "" : ", ");
    print_string("entry", t.entry);
    print_string("against", t.against.empty() ? entries[0].name : t.against);
    print_string("kind", t.what == kind::multiple ? "multiple" : t.what == kind::times_faster ? "times_faster" : "nanoseconds");
    std::printf("\"reach\": %g, \"stretch\": %g}", t.reach, t.stretch);
  }
  std::printf("]}");
  std::fflush(stdout);
  std::fprintf(stderr, ".");
}

std::string size_name(std::size_t n) {
  if (n >= 1024 * 1024) return std::to_string(n / (1024 * 1024)) + " MiB";
  return n >= 1024 ? std::to_string(n / 1024) + " KiB" : std::to_string(n) + " B";
}

constexpr std::size_t kib = 1024, mib = 1024 * 1024;

/// Everybody who can receive this. wslay's frame API knows nothing of text.
void receive_row(const std::string& group, const std::string& name, const workload& w, const std::vector<target>& targets,
                 double at = 0) {
  if (!wanted(group, name)) return;
  std::vector<entry> all;
  if (w.from_client)
    all.push_back({"limit: copy + XOR", copy_and_xor(w), false});
  else
    all.push_back({"limit: copy", copy_only(w), false});
  all.push_back({"connection", connection_receives(w)});
  // Beast and wslay read into smaller buffers of their own, and copies that stay in the first cache are faster: this is
  // what the same would do for us.
  workload small_reads = w;
  small_reads.read_size = 4 * kib;
  if (w.read_size > 4 * kib) all.push_back({"connection, reads of 4 KiB", connection_receives(small_reads)});
  all.push_back({"session", session_receives(w)});
  all.push_back({"session, prepare", session_receives_prepared(w)});
  all.push_back({"Beast", beast_receives(w)});
  all.push_back({"websocketpp", websocketpp_receives(w)});
  if (w.opcode == binary) all.push_back({"wslay, frames", wslay_frames_receives(w)});
  all.push_back({"wslay, events", wslay_events_receives(w)});
  if (w.opcode == text && w.from_client) {
    all.push_back({"copy + XOR + simdjson", copy_xor_validate(w, false), false});
    all.push_back({"copy + XOR + simdjson, AVX2", copy_xor_validate(w, true), false});
  }
  measure(group, name, w, std::move(all), targets, at);
}

std::size_t total_for(std::size_t payload) { return payload >= mib ? payload : 256 * kib; }

void receiving_rows() {
  struct size {
    std::size_t payload;
    std::vector<target> targets;
  };
  for (const size& s : {size{16, {{"connection", 7.0, 5.5}, {"session", 7.2, 6}}},
                        size{125, {{"connection", 2.2, 1.9}}},
                        size{kib, {{"connection", 1.4, 1.25}, {"session", 1.45, 1.3}}},
                        size{16 * kib, {{"connection", 1.08, 1.03}}},
                        size{64 * kib, {{"connection", 1.08, 1.03}, {"session", 1.35, 1.15}}},
                        size{mib, {{"connection", 1.08, 1.03}, {"session, prepare", 1.6, 1.46}}}})
    receive_row("server receives binary", size_name(s.payload), receiving(true, content::bytes, s.payload, total_for(s.payload)),
                s.targets);
  for (const size& s : {size{16, {{"connection", 9, 7}}},
                        size{125, {{"connection", 2.6, 2.1}}},
                        size{200, {{"connection", 3.0, 2.3}}},
                        size{kib, {{"connection", 1.7, 1.4}}},
                        size{16 * kib, {{"connection", 1.35, 1.2}}},
                        size{64 * kib, {{"connection", 1.35, 1.2}}}})
    receive_row("server receives ASCII text", size_name(s.payload), receiving(true, content::ascii, s.payload, 256 * kib), s.targets);
  const target as_simdjson{"connection", 1, 1, "copy + XOR + simdjson"};
  for (const size& s : {size{125, {{"connection", 6.5, 5}}},
                        size{kib, {{"connection", 3.8, 3.2}}},
                        size{16 * kib, {{"connection", 3.4, 2.8}, as_simdjson}},
                        size{64 * kib, {{"connection", 3.4, 2.8}, as_simdjson}}})
    receive_row("server receives mixed-script text", size_name(s.payload), receiving(true, content::mixed_scripts, s.payload, 256 * kib),
                s.targets);
  for (const size& s : {size{16, {{"connection", 12, 9}}},
                        size{125, {{"connection", 2.6, 2.1}}},
                        size{16 * kib, {{"connection", 1.05, 1.0}}},
                        size{64 * kib, {{"connection", 1.05, 1.0}, {"session", 2.2, 1.6}}},
                        size{mib, {{"connection", 1.05, 1.0}, {"session, prepare", 1.9, 1.6}}}})
    receive_row("client receives binary", size_name(s.payload), receiving(false, content::bytes, s.payload, total_for(s.payload)),
                s.targets);

  const std::string cut = "server receives in pieces";
  receive_row(cut, "reads of 1460 B, 1 KiB frames", receiving(true, content::bytes, kib, 256 * kib, 1460), {{"connection", 1.6, 1.3}});
  receive_row(cut, "reads of 1 B, 1 KiB frames", receiving(true, content::bytes, kib, 64 * kib, 1),
              {{"connection", 1.6, 1.25}, {"session", 2.2, 1.6}});
  receive_row(cut, "1 MiB binary in 1 KiB fragments, 64 pings", receiving(true, content::bytes, mib, mib, 64 * kib, kib, 16),
              {{"connection", 1.6, 1.45}, {"session", 2.1, 1.7}});
  receive_row(cut, "1 MiB ASCII in 1 KiB fragments, 64 pings", receiving(true, content::ascii, mib, mib, 64 * kib, kib, 16),
              {{"connection", 1.8, 1.6}, {"session", 2.6, 2.1}});
}

void sending_rows(bool v3) {
  for (const bool client : {false, true})
    for (const std::size_t payload : {std::size_t{16}, std::size_t{125}, kib, 16 * kib, 64 * kib}) {
      const std::string group = client ? "client sends binary" : "server sends binary";
      if (!wanted(group, size_name(payload))) continue;
      const workload w = sending(client, content::bytes, payload, 256 * kib);
      std::vector<entry> all;
      all.push_back({"limit: memcpy", memcpy_payloads(w), false});
      all.push_back({"connection", connection_sends(w, false)});
      // websocketpp writes each message to memory that it has just freed: what the same would do for us.
      all.push_back({"connection, one by one", connection_sends(w, true)});
      if (!client && payload == 125) all.push_back({"connection, head only", connection_sends_heads(w)});
      all.push_back({"session", session_sends(w)});
      all.push_back({"Beast", beast_sends(w)});
      all.push_back({"websocketpp", websocketpp_sends(w)});
      all.push_back({"wslay, frames", wslay_frames_sends(w)});
      std::vector<target> targets;
      if (!client && payload == 125) targets.push_back({"connection, head only", 2.5, 1.5, "", kind::nanoseconds});
      if (!client && payload >= kib) targets.push_back({"connection", 1.05, 1.0});
      if (client && payload >= kib) targets.push_back({"connection", v3 ? 1.15 : 1.7, v3 ? 1.05 : 1.35});
      measure(group, size_name(payload), w, std::move(all), targets);
    }
}

void handshake_row() {
  if (!wanted("opening handshake", "server")) return;
  if (browser_request.size() != 626) give_up("handshake", "the request has not 626 bytes");
  workload w;
  w.wire.assign(browser_request.begin(), browser_request.end());
  w.payload = 28;
  w.messages = 1;
  std::vector<entry> all;
  all.push_back({"connection", connection_accepts(w)});
  all.push_back({"Beast", beast_accepts(w)});
  all.push_back({"websocketpp", websocketpp_accepts(w)});
  measure("opening handshake", "server, request of 626 B", w, std::move(all),
          {{"connection", 25, 40, "Beast", kind::times_faster}, {"connection", 40, 60, "websocketpp", kind::times_faster}});
}

void deflate_rows() {
  for (const std::size_t payload : {std::size_t{128}, kib, 16 * kib}) {
    const std::string compressing = size_name(payload) + ", compressing", inflating = size_name(payload) + ", inflating";
    workload w = sending(true, content::json, payload, 256 * kib);
    w.opcode = binary;
    const double reach = payload < kib ? 1.05 : 1.02;
    if (wanted("permessage-deflate", compressing)) {
      std::vector<entry> all;
      all.push_back({"limit: zlib", zlib_compresses(w)});
      all.push_back({"session", session_compresses(w)});
      measure("permessage-deflate", compressing, w, std::move(all), {{"session", reach, 1.01}});
    }
    if (const std::string echoing = size_name(payload) + ", both"; wanted("permessage-deflate", echoing)) {
      const workload small = compressed(w, true);
      std::vector<entry> all;
      all.push_back({"limit: zlib", zlib_echoes(small)});
      all.push_back({"session", session_echoes(small)});
      measure("permessage-deflate", echoing, small, std::move(all), {{"session", reach, 1.01}});
    }
    for (const bool takeover : {true, false}) {
      const std::string name = inflating + (takeover ? "" : ", no takeover");
      if (!wanted("permessage-deflate", name)) continue;
      const workload small = compressed(w, takeover);
      std::vector<entry> all;
      all.push_back({"limit: zlib", zlib_inflates(small, takeover)});
      all.push_back({"session", session_inflates(small, takeover)});
      if (!takeover) all.push_back({"session over libdeflate", session_inflates_by_libdeflate(small)});
      measure("permessage-deflate", name, small, std::move(all), takeover ? std::vector<target>{{"session", reach, 1.01}} : std::vector<target>{});
    }
  }
}

void growth_rows() {
  for (std::size_t payload = 16; payload <= 16 * mib; payload *= 4) {
    const std::string group = "growth: payload";
    if (!wanted(group, size_name(payload)) || (set.quick && payload > mib)) continue;
    const workload w = receiving(true, content::bytes, payload, total_for(payload));
    std::vector<entry> all;
    all.push_back({"limit: copy + XOR", copy_and_xor(w), false});
    all.push_back({"connection", connection_receives(w)});
    all.push_back({"session", session_receives(w)});
    measure(group, size_name(payload), w, std::move(all), {}, static_cast<double>(payload));
  }
  for (std::size_t fragments = 1; fragments <= 65536; fragments *= 4) {
    const std::string group = "growth: fragments of a message, 64 B each";
    if (!wanted(group, std::to_string(fragments))) continue;
    const workload w = receiving(true, content::bytes, 64 * fragments, 256 * kib, 64 * kib, 64);
    std::vector<entry> all;
    all.push_back({"limit: copy + XOR", copy_and_xor(w), false});
    all.push_back({"connection", connection_receives(w)});
    all.push_back({"session", session_receives(w)});
    measure(group, std::to_string(fragments), w, std::move(all), {}, static_cast<double>(fragments),
            static_cast<double>(w.messages * fragments), "fragment");
  }
  for (std::size_t size : {200U, 400U, 800U, 1600U, 3200U, 6400U, 12800U, 16384U}) {
    const std::string group = "growth: request of an opening handshake";
    if (!wanted(group, std::to_string(size) + " B")) continue;
    std::string request =
        "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    // Fields of at most 200 bytes.
    for (int i = 0; request.size() + 2 < size; ++i) {
      const std::string name = "X-Field-" + std::to_string(i) + ": ";
      const std::size_t left = size - 2 - request.size();
      std::size_t n = left <= 200 ? left : left < 240 ? left - 40 : 200;
      if (n < name.size() + 2) give_up("handshake", "cannot make a request of this size");
      request += name + std::string(n - name.size() - 2, 'v') + "\r\n";
    }
    request += "\r\n";
    workload w;
    w.wire.assign(request.begin(), request.end());
    w.payload = 28;
    w.messages = 1;
    std::vector<entry> all;
    all.push_back({"limit: copy", copy_only(w), false});
    all.push_back({"connection", connection_accepts(w)});
    measure(group, std::to_string(size) + " B", w, std::move(all), {}, static_cast<double>(size));
  }
  for (std::size_t count = 1; count <= 1'000'000; count *= 10) {
    const std::string group = "growth: sessions in a process";
    if (!wanted(group, std::to_string(count)) || (set.quick && count > 100'000)) continue;
    workload w = receiving(true, content::bytes, 16, 16);
    w.messages = 10'000;
    double bytes_each = 0;
    std::vector<entry> all;
    all.push_back({"session", crowd_of_sessions(w, count, bytes_each)});
    measure(group, std::to_string(count), w, std::move(all), {}, static_cast<double>(count));
    begin_row("bytes of each of many sessions", std::to_string(count));
    std::printf("\"bytes\": %.1f}", bytes_each);
  }
}

void broadcast_rows() {
  const std::string group = "broadcast to 10,000 sessions";
  for (const bool compressed : {false, true}) {
    for (const std::size_t payload : {std::size_t{128}, kib, 16 * kib}) {
      const std::string name = size_name(payload) + (compressed ? ", compressed" : "");
      if (!wanted(group, name) || (set.quick && compressed && payload > kib)) continue;
      workload w = sending(false, content::json, payload, payload);
      w.messages = 10'000;
      std::vector<entry> all;
      all.push_back({"session, one by one", broadcast_one_by_one(w, compressed)});
      all.push_back({"session, prepared message", broadcast_prepared(w, compressed), true, true});
      measure(group, name, w, std::move(all), {}, 0, 0, "receiver");
    }
  }
}

void idle_rows() {
  if (!wanted("idle connection", "")) return;
  std::vector<idle_memory> all;
  wscodec_idle(all);
  beast_idle(all);
  websocketpp_idle(all);
  wslay_idle(all);
  for (const idle_memory& one : all) {
    begin_row("idle connection", one.name);
    std::printf("\"object\": %zu, \"heap\": %zu}", one.object, one.heap);
  }
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  using namespace bench;
  bool v3 = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--quick") {
      set.quick = true;
      set.rounds = 9;
      set.chunk = 1e6;
    } else if (argument == "--v3") {
      v3 = true;
    } else if (argument == "--only" && i + 1 < argc) {
      set.only = argv[++i];
    } else {
      give_up(argv[0], "unknown argument");
    }
  }
  std::printf("[");
  receiving_rows();
  sending_rows(v3);
  handshake_row();
  deflate_rows();
  broadcast_rows();
  idle_rows();
  growth_rows();
  std::printf("]\n");
  std::fprintf(stderr, "\n");
}
