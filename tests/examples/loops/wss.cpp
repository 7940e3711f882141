// An echo server for wss over poll and OpenSSL, without a socket inside OpenSSL: its memory BIOs take and give bytes as the
// session does. Bytes come from the socket, go through TLS, then through WebSocket, and back the same way.
//   c++ -std=c++20 -O2 -Iinclude tests/examples/loops/wss.cpp -o wss_echo -lssl -lcrypto -lz
//   ./wss_echo [--port N] [--certificate FILE --key FILE]        without: it makes one for localhost that nobody trusts
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

struct client {
  int fd;
  SSL* tls;
  BIO *from_peer = BIO_new(BIO_s_mem()), *to_peer = BIO_new(BIO_s_mem());
  ws::session session;
  ws::output_buffer writing;  // goes through TLS
  std::size_t encrypted = 0;  // of it
  std::size_t unsent = 0;     // of that, while the record's ciphertext waits
  bool ended = false;  // the peer's side
  bool half_closed = false;
  bool gone = false;

  client(int descriptor, SSL_CTX* context, const ws::options& options)
      : fd(descriptor), tls(SSL_new(context)), session(ws::role::server, options) {
    SSL_set_bio(tls, from_peer, to_peer);  // which then belong to it
    SSL_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_accept_state(tls);
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;
  ~client() {
    session.free_buffer(writing);
    SSL_free(tls);
    ::close(fd);
  }
  // Ciphertext that waits.
  std::string_view output() const {
    char* data = nullptr;
    const long size = BIO_get_mem_data(to_peer, &data);
    return {data, static_cast<std::size_t>(size)};
  }
};

void receive(client& c) {
  char memory[16 * 1024];
  const ssize_t n = ::recv(c.fd, memory, sizeof memory, 0);
  if (n < 0 && errno != EAGAIN && errno != EINTR) c.gone = true;
  if (n < 0) return;
  BIO_write(c.from_peer, memory, static_cast<int>(n));
  int size = 0;
  ERR_clear_error();  // what is left of another client's failure would be taken for this one's
  while ((size = SSL_read(c.tls, memory, sizeof memory)) > 0) {
    std::span<char> bytes{memory, static_cast<std::size_t>(size)};
    while (const ws::event ev = c.session.next(bytes)) {
      if (ev.type == ws::event_type::request) c.session.accept();
      if (ev.type == ws::event_type::message) c.session.send(ev.opcode, ev.payload);
    }
  }
  const int why = SSL_get_error(c.tls, size);
  if (why == SSL_ERROR_SSL) c.gone = true;  // no TLS, or a broken one
  if (n != 0 && why != SSL_ERROR_ZERO_RETURN) return;
  c.ended = true;
  (void)c.session.end_of_input();
}

// Encrypts a record when the last one is gone, and says that it was sent when its ciphertext was: so the session knows how much
// waits, and for how long.
void settle(client& c) {
  for (bool more = true; more && !c.gone;) {
    more = false;
    if (c.encrypted == c.writing.size) {
      c.writing = c.session.take_output(c.writing);
      c.encrypted = 0;
    }
    if (!SSL_in_init(c.tls) && c.encrypted != c.writing.size && c.output().empty()) {
      const std::size_t left = c.writing.size - c.encrypted;
      const int n = SSL_write(c.tls, c.writing.data + c.encrypted, static_cast<int>(left < 16384 ? left : 16384));
      c.unsent = n > 0 ? static_cast<std::size_t>(n) : 0;
      c.encrypted += c.unsent;
    }
    while (!c.output().empty()) {
      const ssize_t n = ::send(c.fd, c.output().data(), c.output().size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN && errno != EINTR) c.gone = true;
      if (n < 0) break;
      std::vector<char> sent(static_cast<std::size_t>(n));
      more = BIO_read(c.to_peer, sent.data(), static_cast<int>(n)) > 0;
    }
    if (c.output().empty()) {
      c.session.consume(c.unsent);
      c.unsent = 0;
    }
  }
  if (c.session.wants() == ws::transport::drop) c.gone = true;
  if (c.session.wants() == ws::transport::half_close && !c.half_closed) {
    c.half_closed = true;
    SSL_shutdown(c.tls);  // says so inside TLS; the socket follows
    settle(c);
    ::shutdown(c.fd, SHUT_WR);
  }
}

// A certificate for localhost, valid for a day.
bool make_certificate(SSL_CTX* context) {
  EVP_PKEY* const key = EVP_EC_gen("P-256");
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 24 * 60 * 60);
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  const bool good = X509_sign(certificate, key, EVP_sha256()) != 0 && SSL_CTX_use_certificate(context, certificate) == 1 &&
                    SSL_CTX_use_PrivateKey(context, key) == 1;
  X509_free(certificate);
  EVP_PKEY_free(key);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  int port = 9001;
  const char *certificate = nullptr, *key = nullptr;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--port") port = std::atoi(argv[i + 1]);
    if (name == "--certificate") certificate = argv[i + 1];
    if (name == "--key") key = argv[i + 1];
  }
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  const bool good = certificate == nullptr ? make_certificate(context)
                                           : key != nullptr && SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
                                                 SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
  if (!good) return std::fputs("no certificate\n", stderr), 1;

  sockaddr_in here{};
  socklen_t size = sizeof here;
  here.sin_family = AF_INET;
  here.sin_port = htons(static_cast<std::uint16_t>(port));
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0), on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&here), size) != 0 || ::listen(listener, 1024) != 0) return std::perror("listen"), 1;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&here), &size);
  ::fcntl(listener, F_SETFL, O_NONBLOCK);
  std::printf("listening on wss://127.0.0.1:%d\n", ntohs(here.sin_port));
  std::fflush(stdout);

  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;
  std::vector<std::unique_ptr<client>> clients;
  std::vector<pollfd> polled;
  for (;;) {
    polled.assign(1, {listener, POLLIN, 0});
    for (const auto& c : clients) {
      const int events = (c->ended || c->session.backed_up() ? 0 : POLLIN) | (c->output().empty() ? 0 : POLLOUT);
      polled.push_back({c->fd, static_cast<short>(events), 0});
    }
    ::poll(polled.data(), polled.size(), 500);  // deadlines need not be exact
    for (std::size_t i = 0; i < clients.size(); ++i) {
      client& c = *clients[i];
      (void)c.session.tick(now());
      if ((polled[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(c);
      settle(c);
    }
    std::erase_if(clients, [](const auto& c) { return c->gone; });
    for (int fd; (fd = ::accept(listener, nullptr, nullptr)) >= 0;) {
      ::fcntl(fd, F_SETFL, O_NONBLOCK);
      clients.push_back(std::make_unique<client>(fd, context, options));
    }
  }
}
