// wslay's event API: it joins messages, checks text and answers. It has neither a handshake nor compression.
#pragma once

#include <wslay/wslay.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "outcome.hpp"

namespace differential {

inline outcome run_wslay(kind k, std::string_view input) {
  struct run {
    std::string_view in;
    outcome o;
    std::string sent;
  } r{input, {}, {}};
  wslay_event_callbacks calls{};
  calls.recv_callback = [](wslay_event_context_ptr context, std::uint8_t* to, std::size_t room, int,
                           void* self) -> ssize_t {
    auto& in = static_cast<run*>(self)->in;
    const std::size_t n = std::min(room, in.size());
    if (n == 0) {
      wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
      return -1;
    }
    std::memcpy(to, in.data(), n);
    in.remove_prefix(n);
    return static_cast<ssize_t>(n);
  };
  calls.send_callback = [](wslay_event_context_ptr, const std::uint8_t* data, std::size_t n, int, void* self) {
    static_cast<run*>(self)->sent.append(reinterpret_cast<const char*>(data), n);
    return static_cast<ssize_t>(n);
  };
  calls.genmask_callback = [](wslay_event_context_ptr, std::uint8_t* to, std::size_t n, void*) {
    std::memset(to, 'a', n);
    return 0;
  };
  calls.on_msg_recv_callback = [](wslay_event_context_ptr, const wslay_event_on_msg_recv_arg* got, void* self) {
    outcome& o = static_cast<run*>(self)->o;
    const std::string_view bytes{reinterpret_cast<const char*>(got->msg), got->msg_length};
    switch (got->opcode) {
      case WSLAY_TEXT_FRAME:
        o.add('t', bytes);
        break;
      case WSLAY_BINARY_FRAME:
        o.add('b', bytes);
        break;
      case WSLAY_PING:
        o.add('i', bytes);
        break;
      case WSLAY_PONG:
        o.add('o', bytes);
        break;
      case WSLAY_CONNECTION_CLOSE:
        o.add_close(got->status_code, bytes.substr(std::min<std::size_t>(2, bytes.size())));
        break;
      default:
        o.add('?', bytes);
    }
  };
  wslay_event_context_ptr context = nullptr;
  const auto init = to_server(k) ? wslay_event_context_server_init : wslay_event_context_client_init;
  if (init(&context, &calls, &r) != 0) std::abort();
  wslay_event_config_set_max_recv_msg_length(context, max_message);
  int result = 0;
  while (result == 0 && !r.in.empty() && wslay_event_get_read_enabled(context) != 0) result = wslay_event_recv(context);
  if (r.o.end != verdict::closed) {
    (void)wslay_event_send(context);
    const unsigned code = close_code_in(r.sent);
    if (code != 0 || result != 0) r.o.fail(code);
  }
  wslay_event_context_free(context);
  return r.o;
}

}  // namespace differential
