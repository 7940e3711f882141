// The peers that run in the same process; each in a file of its own, for what they include. C++17.
#pragma once

#include <string_view>

#include "outcome.hpp"

namespace differential {

outcome run_beast(kind k, std::string_view input);
outcome run_websocketpp(kind k, std::string_view input);

}  // namespace differential
