// wscodec: a WebSocket codec without I/O. Everything but the headers that need a library or the system:
// include `wscodec/system_entropy.hpp` besides for a source of masking keys.
#pragma once

#include "wscodec/connection.hpp"
#include "wscodec/inflating_reader.hpp"
#include "wscodec/reconnect.hpp"
#include "wscodec/session.hpp"
#include "wscodec/websocket.hpp"
