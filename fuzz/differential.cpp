// The same frames through us and through wslay: a disagreement must be one of those that tests/differential explains. However
// the frames are cut we say the same of them, nothing comes after the end, and our memory stays in proportion.
// The first byte of an input chooses who reads: 0 a server, 1 a client.
#include <cstdio>
#include <span>
#include <string_view>

#include "../tests/differential/disagreements.hpp"
#include "../tests/differential/wslay.hpp"
#include "fuzz.hpp"

namespace d = differential;

namespace {

d::our_outcome ours(d::kind what, std::string_view input, fuzz::splits pieces) {
  fuzz::counted_memory memory;
  d::our_outcome got;
  {
    d::endpoint we{what, &memory.hook};
    std::uint64_t waited = 0;
    for (std::size_t at = 0; at < input.size();) {
      const fuzz::exact piece{input.substr(at, pieces.next(input.size() - at))};
      at += piece.size();
      std::span<char> bytes = piece.bytes();
      fuzz::feed(we.session, bytes, [&](const d::ws::event& ev) {
        (void)we.take(ev);
        if (waited < we.session.buffered_amount()) waited = we.session.buffered_amount();
        we.session.consume(we.session.output().size());
      });
      REQUIRE(bytes.empty());
      REQUIRE(memory.most <= fuzz::most_memory(at, waited));
    }
    if (fuzz::has_ended(we.session.state()))
      fuzz::try_after_the_end(we.session, [&] { return we.session.send(d::ws::opcode::binary, "late"); });
    got = we.o;
  }
  REQUIRE(memory.live == 0);
  return got;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::choices input{data, size};
  const d::kind what = (input.byte() & 1U) == 0 ? d::kind::frames_to_server : d::kind::frames_to_client;
  const std::string_view bytes = input.rest();
  const d::our_outcome us = ours(what, bytes, {fuzz::splits::how::whole, 0});
  for (const fuzz::splits::how way : {fuzz::splits::how::bytes, fuzz::splits::how::random}) {
    const d::our_outcome cut = ours(what, bytes, {way, static_cast<std::uint32_t>(size)});
    REQUIRE(cut == us && cut.why == us.why && cut.offset == us.offset && cut.before_close == us.before_close);
  }
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
