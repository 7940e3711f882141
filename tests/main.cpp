// Runs the unit tests. The last line says how many test cases passed and failed, like every part of tests/run.
#include <cstddef>
#include <cstdio>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_session.hpp>
#include <catch2/reporters/catch_reporter_event_listener.hpp>
#include <catch2/reporters/catch_reporter_registrars.hpp>
using listener_base = Catch::EventListenerBase;
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
using listener_base = Catch::TestEventListenerBase;
#endif

namespace {

Catch::Counts test_cases;

struct counter : listener_base {
  using listener_base::listener_base;
  void testRunEnded(const Catch::TestRunStats& run) override { test_cases = run.totals.testCases; }
};
CATCH_REGISTER_LISTENER(counter)

}  // namespace

int main(int argc, char** argv) {
  const int status = Catch::Session().run(argc, argv);
  const auto failed = static_cast<unsigned long>(test_cases.failed);
  const auto passed = static_cast<unsigned long>(test_cases.total()) - failed;
  if (passed + failed != 0) std::printf("%lu passed, %lu failed\n", passed, failed);
  return status;
}
