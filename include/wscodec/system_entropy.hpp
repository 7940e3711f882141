// wscodec: system entropy: the only header that calls the system. A masking-key source for those who want it:
//
//     ws::masking_keys keys{ws::system_entropy};
#pragma once

#include <cstddef>

#if defined(_WIN32)
extern "C" __declspec(dllimport) unsigned char __stdcall SystemFunction036(void* to, unsigned long n);
#elif defined(__linux__)
#include <sys/random.h>
#else
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif
#endif

#include "config.hpp"

WSCODEC_FUNCTIONS_BEGIN

/// Fills `n` bytes from the system's generator (getrandom, getentropy, RtlGenRandom); false if it fails.
inline bool system_entropy(void* /*context*/, char* to, std::size_t n) noexcept {
  while (n != 0) {
    const std::size_t part = n < 256 ? n : 256;
#if defined(_WIN32)
    if (SystemFunction036(to, static_cast<unsigned long>(part)) == 0) return false;
#elif defined(__linux__)
    if (::getrandom(to, part, 0) != static_cast<ssize_t>(part)) return false;
#else
    if (::getentropy(to, part) != 0) return false;
#endif
    to += part;
    n -= part;
  }
  return true;
}

WSCODEC_FUNCTIONS_END
