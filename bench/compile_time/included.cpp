#include <wscodec.hpp>
