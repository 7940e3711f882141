// Qt's QWebSocket as a client, QWebSocketServer as an echo server. How: tests/interop/run.
#include <QCoreApplication>
#include <QTimer>
#include <QWebSocket>
#include <QWebSocketServer>
#include <cstdio>
#include <functional>

namespace {

void check(bool good, const QString& name, const QString& why = {}) {
  std::printf(good ? "ok %s\n" : "FAIL %s: %s\n", qPrintable(name), qPrintable(why));
  std::fflush(stdout);
}

QByteArray letters(int n) {
  QByteArray bytes(n, '\0');
  for (qint64 i = 0; i < n; ++i) bytes[static_cast<int>(i)] = static_cast<char>(97 + i * i % 23);
  return bytes;
}

// One conversation; the next begins when it has ended.
void talk(const QUrl& url, int code, const std::function<void()>& done) {
  auto* const socket = new QWebSocket;
  auto* const left = new QList<QByteArray>{"Hello", QString::fromUtf8("Gr\xc3\xbc\xc3\x9f" "e").toUtf8(), letters(1), letters(125), letters(126), letters(65535), letters(65536), letters(1 << 20)};
  static bool text;
  text = true;
  const auto send = [=] {
    if (left->isEmpty()) socket->close(static_cast<QWebSocketProtocol::CloseCode>(code), "own reason");
    else if (text) socket->sendTextMessage(QString::fromUtf8(left->front()));
    else socket->sendBinaryMessage(left->front());
  };
  const auto got = [=](const QByteArray& bytes) {
    check(bytes == left->front(), QString("%1 of %2").arg(text ? "text" : "binary").arg(bytes.size()));
    if (!text) left->pop_front();
    text = !text;
    send();
  };
  QObject::connect(socket, &QWebSocket::connected, socket, [=] {
    check(true, "opening handshake");
    send();
  });
  QObject::connect(socket, &QWebSocket::textMessageReceived, socket, [=](const QString& message) { got(message.toUtf8()); });
  QObject::connect(socket, &QWebSocket::binaryMessageReceived, socket, got);
  QObject::connect(socket, &QWebSocket::disconnected, socket, [=] {
    check(socket->closeCode() == code && left->isEmpty(), QString("closed by %1").arg(code), QString::number(socket->closeCode()));
    done();
  });
  socket->open(url);
}

}  // namespace

int main(int argc, char** argv) {
  QCoreApplication app{argc, argv};
  const QStringList arguments = app.arguments();
  if (arguments[1] == "client") {
    const QUrl url{arguments[2]};
    talk(url, 4001, [&] { talk(url, 1000, [&] { app.quit(); }); });
    return app.exec();
  }
  QWebSocketServer server{"echo", QWebSocketServer::NonSecureMode};
  QObject::connect(&server, &QWebSocketServer::newConnection, &server, [&] {
    QWebSocket* const socket = server.nextPendingConnection();
    QObject::connect(socket, &QWebSocket::textMessageReceived, socket, [=](const QString& message) { socket->sendTextMessage(message); });
    QObject::connect(socket, &QWebSocket::binaryMessageReceived, socket, [=](const QByteArray& message) { socket->sendBinaryMessage(message); });
    QObject::connect(socket, &QWebSocket::disconnected, socket, [=] {
      std::printf("closed %d %s\n", socket->closeCode(), qPrintable(socket->closeReason()));
      std::fflush(stdout);
    });
  });
  if (!server.listen(QHostAddress::LocalHost, arguments[2].toUShort())) return 1;
  std::puts("listening");
  std::fflush(stdout);
  return app.exec();
}
