// Catch2, whichever of its two generations is installed.
#ifndef WSCODEC_TESTS_CATCH_HPP
#define WSCODEC_TESTS_CATCH_HPP

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif

#endif
