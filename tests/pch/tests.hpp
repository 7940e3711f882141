// Precompiled for the unit tests.
#ifndef WSCODEC_TESTS_PCH_HPP
#define WSCODEC_TESTS_PCH_HPP

#include "../catch.hpp"

#endif
