// An echo server over Qt 5 or 6: QTcpServer and QTcpSocket, lambdas instead of slots, so that no moc is needed.
//   c++ -std=c++20 -O2 -fPIC -Iinclude tests/examples/loops/qt.cpp -o qt_echo $(pkg-config --cflags --libs Qt5Network) -lz && ./qt_echo [--port N]
// (Debian: qtbase5-dev)
#include <sys/socket.h>

#include <QCoreApplication>
#include <QTcpServer>
#include <QTcpSocket>
#include <QTimer>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <wscodec.hpp>
#include <wscodec/zlib.hpp>

namespace ws = wscodec;

namespace {

std::uint64_t now() {  // microseconds
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

// Belongs to its socket, and goes with it.
class client : public QObject {
 public:
  client(QTcpSocket* socket, const ws::options& options) : QObject(socket), socket_(*socket), session_(ws::role::server, options) {
    socket_.setReadBufferSize(64 * 1024);  // so that not reading from it holds the peer up
    connect(&socket_, &QTcpSocket::readyRead, this, [this] { go_on(); });
    connect(&socket_, &QTcpSocket::bytesWritten, this, [this](qint64 n) {
      session_.consume(static_cast<std::size_t>(n));
      go_on();
    });
    connect(&socket_, &QTcpSocket::readChannelFinished, this, [this] {
      ended_ = true;
      go_on();
    });
    connect(&socket_, &QTcpSocket::disconnected, &socket_, &QObject::deleteLater);
    connect(&timer_, &QTimer::timeout, this, [this] {
      (void)session_.tick(now());
      go_on();
    });
    timer_.start(500);  // deadlines need not be exact
  }
  ~client() override { session_.free_buffer(writing_); }
  client(const client&) = delete;
  client& operator=(const client&) = delete;

 private:
  void go_on() {
    read();
    write();
    if (session_.wants() == ws::transport::half_close && !half_closed_)
      half_closed_ = ::shutdown(static_cast<int>(socket_.socketDescriptor()), SHUT_WR) == 0;
    if (session_.wants() == ws::transport::drop) socket_.abort();
  }
  void read() {
    while (!session_.backed_up() && socket_.bytesAvailable() > 0) {
      const qint64 n = socket_.read(memory_, sizeof memory_);
      if (n <= 0) break;
      std::span<char> bytes{memory_, static_cast<std::size_t>(n)};
      while (const ws::event ev = session_.next(bytes)) {
        if (ev.type == ws::event_type::request) session_.accept();
        if (ev.type == ws::event_type::message) session_.send(ev.opcode, ev.payload);
      }
    }
    if (ended_ && socket_.bytesAvailable() == 0) (void)session_.end_of_input();
  }
  // Qt copies what it is given; it counts as waiting until `bytesWritten` tells of it.
  void write() {
    if (socket_.bytesToWrite() != 0) return;
    writing_ = session_.take_output(writing_);
    if (writing_.size != 0) socket_.write(writing_.data, static_cast<qint64>(writing_.size));
  }

  QTcpSocket& socket_;
  QTimer timer_;
  ws::session session_;
  ws::output_buffer writing_;
  bool ended_ = false;  // the peer's side
  bool half_closed_ = false;
  char memory_[16 * 1024];
};

}  // namespace

int main(int argc, char** argv) {
  const QCoreApplication app{argc, argv};
  const int port = argc == 3 && std::string_view{argv[1]} == "--port" ? std::atoi(argv[2]) : 9001;
  const ws::deflate_options deflate{.engine = &ws::zlib_engine};
  const ws::extension_hook extension = ws::permessage_deflate(deflate);
  ws::options options;
  options.extension = &extension;
  options.ping_interval = 30'000'000;

  QTcpServer listener;
  QObject::connect(&listener, &QTcpServer::newConnection, &listener, [&] {
    while (QTcpSocket* const socket = listener.nextPendingConnection()) new client{socket, options};
  });
  if (!listener.listen(QHostAddress::LocalHost, static_cast<quint16>(port)))
    return std::fprintf(stderr, "listen: %s\n", qPrintable(listener.errorString())), 1;
  std::printf("listening on ws://127.0.0.1:%d\n", listener.serverPort());
  std::fflush(stdout);
  return QCoreApplication::exec();
}
