// What the library's headers include anyway.
#include <cstring>
#include <span>
#include <string_view>
