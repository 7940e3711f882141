// The macros that game engines, windows.h, X11, Qt and macOS define before our headers are read.
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#if defined(__linux__)
#include <sys/random.h>
#endif

#define check(...) ((void)sizeof(__VA_ARGS__), undeclared_)
#define checkf(...) undeclared_
#define verify(...) undeclared_
#define ensure(...) undeclared_
#define require(...) undeclared_
#define require_noerr(...) undeclared_
#define PI (3.1415926535897932f)
#define TEXT(x) L##x
#define INDEX_NONE undeclared_
#define TRUE 1
#define FALSE 0
#define BOOL undeclared_
#define CONST undeclared_
#define VOID undeclared_
#define CALLBACK undeclared_
#define IN
#define OUT
#define OPTIONAL
#define ERROR 0
#define NO_ERROR 0L
#define DELETE (0x00010000L)
#define IGNORE 0
#define INFINITE 0xFFFFFFFF
#define ABSOLUTE 1
#define RELATIVE 2
#define STRICT 1
#define DIFFERENCE 11
#define OVERFLOW 3
#define DOMAIN 1
#define THIS undeclared_
#define interface struct
#define small char
#define near
#define far
#define pascal
#define cdecl
#define min(a, b) undeclared_
#define max(a, b) undeclared_
#define GetMessage GetMessageW
#define SendMessage SendMessageW
#define CreateEvent CreateEventW
#define GetObject GetObjectW
#define Yield()
#define Bool int
#define None 0L
#define Status int
#define Success 0
#define Always 2
#define Below 1
#define Unsorted 0
#define signals undeclared_
#define slots undeclared_
#define emit undeclared_
#define foreach undeclared_
#define forever undeclared_
#define nil undeclared_
#define YES undeclared_
#define NO undeclared_
#define major(x) undeclared_
#define minor(x) undeclared_

#include <wscodec.hpp>
#include <wscodec/system_entropy.hpp>

int main() {}
