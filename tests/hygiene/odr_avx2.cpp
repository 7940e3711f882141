// Compiled with -mavx2, and linked first.
#include "odr_shared.hpp"

TURN(avx2_turn)
