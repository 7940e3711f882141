// Compiled for the baseline. Feeds one session to this file and to the other in turns.
#include "odr_shared.hpp"

TURN(plain_turn)

int main() {
  const wscodec::options options;
  wscodec::session session{wscodec::role::server, wscodec::negotiated{}, options};
  for (int i = 0; i < 4; ++i) {
    // A masked text frame: "Hello" (RFC 6455 5.7).
    char frame[] = "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    const std::span<char> bytes{frame, sizeof frame - 1};
    (i % 2 == 0 ? plain_turn : avx2_turn)(session, bytes);
  }
  return session.is_open() && session.offset() == 44 ? 0 : 1;
}
