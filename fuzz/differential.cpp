// The same frames through us and through wslay: a disagreement must be one of those that tests/differential explains.
// The first byte of an input chooses who reads: 0 a server, 1 a client.
#include <cstdio>
#include <string_view>

#include "../tests/differential/disagreements.hpp"
#include "../tests/differential/wslay.hpp"
#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace d = differential;
  fuzz::choices input{data, size};
  const d::kind what = (input.byte() & 1U) == 0 ? d::kind::frames_to_server : d::kind::frames_to_client;
  const std::string_view bytes = input.rest();
  const d::our_outcome us = d::ours(what, bytes);
  const d::outcome them = d::run_wslay(what, bytes);
  const d::met m{d::peer::wslay, what, bytes, us, them};
  bool explained = d::agrees(m);
  for (const d::row& r : d::rows) explained = explained || (r.is_of(d::peer::wslay) && r.applies(m));
  if (!explained)
    std::fprintf(stderr, "we: %u %u %.*s at %llu, wslay: %u %u\n", static_cast<unsigned>(us.end), us.code,
                 static_cast<int>(d::ws::explain(us.why).name.size()), d::ws::explain(us.why).name.data(),
                 static_cast<unsigned long long>(us.offset), static_cast<unsigned>(them.end), them.code);
  REQUIRE(explained);
  return 0;
}
