// 10,000 clients lose their server at once. It is back after 2 s; a handshake takes it 1 ms, 1,000 may wait for theirs, others
// are refused. How many arrive at a time, and when they are back, by three ways to connect again. Time is simulated: every
// run gives the same figures. bench/reconnect_storm.py calls this and draws it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include <wscodec/reconnect.hpp>

namespace ws = wscodec;

namespace {

constexpr std::uint64_t s = 1'000'000;
constexpr std::uint64_t back_at = 2 * s, bin = s / 10;
constexpr std::uint64_t handshake = s / 1000, longest_queue = 1000 * handshake;
constexpr std::size_t clients = 10'000;

std::uint64_t random_bits() {
  static std::uint64_t state = 1;
  state += 0x9E3779B97F4A7C15U;  // splitmix64
  std::uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

enum class way { every_second, doubling, full_jitter };

/// When a client that lost its connection or was refused at `now` tries again.
std::uint64_t next(way how, ws::reconnect& r, std::uint64_t now) {
  const ws::reconnect_options opt;
  switch (how) {
    case way::every_second: return now + s;
    case way::doubling: {
      // The same windows, each waited for to its end.
      const std::uint64_t window = std::min(opt.cap, opt.first << std::min(r.failures, 10U));
      ++r.failures;
      return now + window;
    }
    case way::full_jitter: return ws::next_attempt(r, now, random_bits(), opt);
  }
  return ws::never;
}

void simulate(way how, const char* name) {
  using attempt = std::pair<std::uint64_t, std::size_t>;
  std::priority_queue<attempt, std::vector<attempt>, std::greater<>> waiting;
  std::vector<ws::reconnect> state(clients);
  // They notice the loss within 50 ms, not in the same microsecond.
  for (std::size_t i = 0; i < clients; ++i) waiting.push({next(how, state[i], random_bits() % (s / 20)), i});
  std::vector<std::size_t> arrivals;
  std::vector<std::uint64_t> back;
  std::uint64_t busy_until = back_at;
  while (!waiting.empty()) {
    const auto [at, client] = waiting.top();
    waiting.pop();
    const std::size_t here = static_cast<std::size_t>(at / bin);
    if (arrivals.size() <= here) arrivals.resize(here + 1);
    ++arrivals[here];
    busy_until = std::max(busy_until, at);
    if (at >= back_at && busy_until - at < longest_queue) back.push_back(busy_until += handshake);
    else waiting.push({next(how, state[client], at), client});
  }
  std::size_t total = 0, peak = 0;
  for (const std::size_t n : arrivals) total += n, peak = std::max(peak, n);
  std::printf("{\"name\": \"%s\", \"peak_per_second\": %zu, \"attempts_per_client\": %.2f, \"half_back_after\": %.1f, \"all_back_after\": %.1f, \"arrivals\": [", name,
              peak * static_cast<std::size_t>(s / bin), static_cast<double>(total) / clients, static_cast<double>(back[clients / 2]) / s,
              static_cast<double>(back.back()) / s);
  for (std::size_t i = 0; i < arrivals.size(); ++i) std::printf("%s%zu", i == 0 ? "" : ", ", arrivals[i]);
  std::printf("]}\n");
}

}  // namespace

int main() {
  simulate(way::every_second, "every second");
  simulate(way::doubling, "doubling, no jitter");
  simulate(way::full_jitter, "reconnect.hpp, full jitter");
}
