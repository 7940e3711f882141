// wscodec: layer 0, configuration. The only header that defines macros; all of them begin with WSCODEC_.
#pragma once

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error "wscodec needs C++20: -std=c++20, or /std:c++20"
#endif

#define WSCODEC_VERSION_MAJOR 0
#define WSCODEC_VERSION_MINOR 1
#define WSCODEC_VERSION_PATCH 0

#if defined(_MSC_VER) && !defined(__clang__)
#define WSCODEC_INLINE __forceinline
#define WSCODEC_NOINLINE __declspec(noinline)
#else
#define WSCODEC_INLINE inline __attribute__((always_inline))
#define WSCODEC_NOINLINE __attribute__((noinline))
#endif

// Public types live in `wscodec::v1`, so an object can pass between any two files of a program. Functions live one
// level deeper, in a namespace that names the instruction set the file is compiled for: a file built with -mavx2
// never donates its copy of an inline function to a program that must run on older machines. Views that nobody keeps
// (cursors, heads) live there too, since their members do work. Members of the public types are always inlined.
#if defined(__AVX512BW__)
#define WSCODEC_ISA isa_avx512
#elif defined(__AVX2__)
#define WSCODEC_ISA isa_avx2
#elif defined(__AVX__)
#define WSCODEC_ISA isa_avx
#elif defined(__SSE4_1__)
#define WSCODEC_ISA isa_sse4
#elif defined(__SSSE3__)
#define WSCODEC_ISA isa_ssse3
#else
#define WSCODEC_ISA isa_base
#endif

// clang-format off
#define WSCODEC_TYPES_BEGIN     namespace wscodec { inline namespace v1 {
#define WSCODEC_TYPES_END       } }
#define WSCODEC_FUNCTIONS_BEGIN namespace wscodec { inline namespace v1 { inline namespace WSCODEC_ISA {
#define WSCODEC_FUNCTIONS_END   } } }
#define WSCODEC_DETAIL_BEGIN    namespace wscodec { inline namespace v1 { namespace detail { inline namespace WSCODEC_ISA {
#define WSCODEC_DETAIL_END      } } } }
// clang-format on
