// One turn of a server session: what was received in, an echo of every message queued. Both files of the test do it.
#ifndef WSCODEC_TESTS_ODR_SHARED_HPP
#define WSCODEC_TESTS_ODR_SHARED_HPP

#include <wscodec.hpp>

void plain_turn(wscodec::session& session, std::span<char> bytes);
void avx2_turn(wscodec::session& session, std::span<char> bytes);

// Uses what a program uses, so that every function of ours is in both files.
#define TURN(name)                                                                                 \
  void name(wscodec::session& session, std::span<char> bytes) {                                    \
    namespace ws = wscodec;                                                                        \
    while (const ws::event ev = session.next(bytes)) {                                             \
      if (ev.type == ws::event_type::request && !ev.request().path().empty()) session.accept();    \
      if (ev.type == ws::event_type::message) {                                                    \
        session.send(ev.opcode, ev.payload);                                                       \
        session.send_borrowed(ws::opcode::binary, "lent", nullptr);                                \
        session.ping();                                                                            \
        session.pong({});                                                                          \
        session.ping("ping");                                                                      \
      }                                                                                            \
      if (ev.type == ws::event_type::open) session.fail(ws::error::pong_timeout);                  \
      if (ev.type == ws::event_type::rejected) session.close();                                    \
    }                                                                                              \
    if (bytes.size() == 1) {                                                                       \
      session.respond({});                                                                         \
      session.connect({});                                                                         \
      (void)session.end_of_input();                                                                \
    }                                                                                              \
    const std::span<char> more = session.prepare();                                                \
    session.commit(more.size() / 2 * 0);                                                           \
    (void)session.next();                                                                          \
    (void)session.tick(session.next_deadline() & 1U);                                              \
    ws::slice slices[8];                                                                           \
    std::size_t left = 0;                                                                          \
    const std::size_t count = session.output(slices);                                              \
    for (std::size_t i = 0; i < count; ++i) left += slices[i].size;                                \
    session.consume(left);                                                                         \
    void* token = nullptr;                                                                         \
    while (session.returned(token)) {                                                              \
    }                                                                                              \
    session.free_buffer(session.take_output());                                                    \
    if (session.wants() == ws::transport::keep) session.release();                                 \
    char memory[512];                                                                              \
    char scratch[ws::min_scratch];                                                                 \
    ws::options options;                                                                           \
    ws::output out{memory};                                                                        \
    ws::masking_keys keys{nullptr};                                                                \
    ws::connection client{ws::role::client, session.agreed(), options, scratch, &keys};            \
    std::uint32_t key = 0;                                                                         \
    (void)client.send(out, ws::opcode::text, "text");                                              \
    (void)client.head(out, ws::opcode::text, 4, true, key);                                        \
    (void)client.close(out);                                                                       \
    (void)client.write_owed(out);                                                                  \
    ws::session moved{static_cast<ws::session&&>(session)};                                        \
    session = static_cast<ws::session&&>(moved);                                                   \
    (void)ws::parse_uri("ws://example.org/");                                                      \
    (void)ws::explain(session.why());                                                              \
  }

#endif
