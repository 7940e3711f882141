// wscodec as a C++20 module. What the standard library has is included ahead of it, so that only ours is exported.
module;
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif
export module wscodec;
export extern "C++" {
#include <wscodec.hpp>
}
