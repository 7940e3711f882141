"""wsproto, aiohttp, tornado and autobahn as clients and as echo servers: python.py NAME ROLE WHERE MODE. How: tests/interop/run."""
import asyncio
import socket
import sys
from urllib.parse import urlsplit

name, role, where, mode = sys.argv[1:]
deflate = mode == "deflate"
CLOSES = [(4001, "own reason"), (1000, "done")]


def check(good, what, why=""):
    print(f"ok {what}" if good else f"FAIL {what}: {why!r:.200}", flush=True)


def letters(n):
    return bytes(97 + i * i % 23 for i in range(n))


SAMPLES = ["Hello", "Grüße, 世界, \U0001f310", "", b"", letters(1), letters(125), letters(126), letters(65535).decode(), letters(65536), letters(1 << 20)]


def describe(sample):
    return f"{'text' if isinstance(sample, str) else 'binary'} of {len(sample)}"


# ---- wsproto has no I/O, as ours: sockets of our own


def wsproto_events(connection, peer):
    """What arrives, one event after the other, until the end."""
    while True:
        yield from connection.events()
        bytes_ = peer.recv(65536)
        connection.receive_data(bytes_ or None)
        if not bytes_:
            yield from connection.events()
            return


def wsproto_message(event, parts):
    parts.append(event.data)
    if not event.message_finished:
        return None
    whole = type(event.data)().join(parts)
    parts.clear()
    return whole


def wsproto_client(extensions):
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, CloseConnection, Message, Request

    target = urlsplit(where)
    for code, reason in CLOSES:
        peer = socket.create_connection((target.hostname, target.port))
        connection = WSConnection(ConnectionType.CLIENT)
        peer.sendall(connection.send(Request(host=target.netloc, target="/", extensions=extensions())))
        events, parts = wsproto_events(connection, peer), []
        event = next(events)
        check(isinstance(event, AcceptConnection), "opening handshake", event)
        check(bool(event.extensions) == deflate, f"extensions: {len(event.extensions)}")
        for sample in SAMPLES:
            peer.sendall(connection.send(Message(data=sample)))
            whole = None
            while whole is None:
                event = next(events)
                whole = wsproto_message(event, parts) if hasattr(event, "message_finished") else event
            check(whole == sample, describe(sample), event)
        peer.sendall(connection.send(CloseConnection(code=code, reason=reason)))
        event = next(events)
        check(isinstance(event, CloseConnection) and event.code == code, f"closed by {code}", event)


def wsproto_server(extensions):
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, CloseConnection, Message, Ping, Request

    listener = socket.create_server(("127.0.0.1", int(where)))
    print("listening", flush=True)
    while True:
        peer, _ = listener.accept()
        connection, parts = WSConnection(ConnectionType.SERVER), []
        for event in wsproto_events(connection, peer):
            if isinstance(event, Request):
                peer.sendall(connection.send(AcceptConnection(extensions=extensions())))
            elif isinstance(event, CloseConnection):
                print(f"closed {event.code} {event.reason}", flush=True)
                peer.sendall(connection.send(event.response()))
                break
            elif isinstance(event, Ping):
                peer.sendall(connection.send(event.response()))
            elif hasattr(event, "message_finished"):
                whole = wsproto_message(event, parts)
                if whole is not None:
                    peer.sendall(connection.send(Message(data=whole)))
        peer.close()


def wsproto():
    from wsproto.extensions import PerMessageDeflate

    (wsproto_client if role == "client" else wsproto_server)(lambda: [PerMessageDeflate()] if deflate else [])


# ---- aiohttp


async def aiohttp_client():
    import aiohttp

    for code, reason in CLOSES:
        async with aiohttp.ClientSession() as session:
            link = await session.ws_connect(where, compress=15 if deflate else 0, max_msg_size=0)
            check(True, "opening handshake")
            check(bool(link.compress) == deflate, f"compress: {link.compress}")
            for sample in SAMPLES:
                await (link.send_str if isinstance(sample, str) else link.send_bytes)(sample)
                got = await link.receive()
                check(got.data == sample, describe(sample), got)
            await link.close(code=code, message=reason.encode())
            check(link.close_code == code, f"closed by {code}", link.close_code)


async def aiohttp_server():
    from aiohttp import WSMsgType, web

    async def echo(request):
        link = web.WebSocketResponse(compress=deflate, max_msg_size=0)
        await link.prepare(request)
        async for message in link:
            if message.type == WSMsgType.TEXT:
                await link.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await link.send_bytes(message.data)
        print(f"closed {link.close_code}", flush=True)  # it does not show the reason
        return link

    app = web.Application()
    app.add_routes([web.get("/", echo)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(where)).start()
    print("listening", flush=True)
    await asyncio.Event().wait()


def aiohttp():
    asyncio.run(aiohttp_client() if role == "client" else aiohttp_server())


# ---- tornado


async def tornado_client():
    from tornado.websocket import websocket_connect

    for code, reason in CLOSES:
        link = await websocket_connect(where, compression_options={} if deflate else None, max_message_size=1 << 24)
        check(True, "opening handshake")
        agreed = "permessage-deflate" in link.headers.get("Sec-WebSocket-Extensions", "")
        check(agreed == deflate, f"permessage-deflate: {agreed}")
        for sample in SAMPLES:
            await link.write_message(sample, binary=isinstance(sample, bytes))
            got = await link.read_message()
            check(got == sample, describe(sample), got)
        link.close(code, reason)
        got = await link.read_message()
        check(got is None and link.close_code == code, f"closed by {code}", link.close_code)


async def tornado_server():
    from tornado.web import Application
    from tornado.websocket import WebSocketHandler

    class Echo(WebSocketHandler):
        def get_compression_options(self):
            return {} if deflate else None

        def on_message(self, message):
            self.write_message(message, binary=isinstance(message, bytes))

        def on_close(self):
            print(f"closed {self.close_code} {self.close_reason}", flush=True)

    Application([("/", Echo)], websocket_max_message_size=1 << 24).listen(int(where), "127.0.0.1")
    print("listening", flush=True)
    await asyncio.Event().wait()


def tornado():
    asyncio.run(tornado_client() if role == "client" else tornado_server())


# ---- autobahn


def autobahn():
    from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol, WebSocketServerFactory, WebSocketServerProtocol
    from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept, PerMessageDeflateResponse
    from autobahn.websocket.compress import PerMessageDeflateResponseAccept

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    class Client(WebSocketClientProtocol):
        code, reason, ended = *CLOSES[0], None

        def onOpen(self):
            agreed = self.websocket_extensions_in_use
            check(bool(agreed) == deflate, f"extensions: {len(agreed)}")
            self.left = list(SAMPLES)
            self.send_next()

        def send_next(self):
            if self.left:
                self.sendMessage(self.left[0] if isinstance(self.left[0], bytes) else self.left[0].encode(), isinstance(self.left[0], bytes))
            else:
                self.sendClose(self.code, self.reason)

        def onMessage(self, payload, isBinary):
            got = payload if isBinary else payload.decode()
            check(got == self.left[0] and isBinary == isinstance(self.left[0], bytes), describe(self.left.pop(0)), got)
            self.send_next()

        def onClose(self, wasClean, code, reason):
            check(wasClean and code == self.code, f"closed by {self.code}", (wasClean, code, reason))
            Client.ended.set_result(None)

    class Server(WebSocketServerProtocol):
        def onMessage(self, payload, isBinary):
            self.sendMessage(payload, isBinary)

        def onClose(self, wasClean, code, reason):
            print(f"closed {code} {reason}", flush=True)

    if role == "client":
        target = urlsplit(where)
        factory = WebSocketClientFactory(where)
        factory.protocol = Client
        if deflate:
            factory.setProtocolOptions(
                perMessageCompressionOffers=[PerMessageDeflateOffer()],
                perMessageCompressionAccept=lambda r: PerMessageDeflateResponseAccept(r) if isinstance(r, PerMessageDeflateResponse) else None,
            )
        for Client.code, Client.reason in CLOSES:
            Client.ended = loop.create_future()
            loop.run_until_complete(loop.create_connection(factory, target.hostname, target.port))
            loop.run_until_complete(Client.ended)
        return
    factory = WebSocketServerFactory(f"ws://127.0.0.1:{where}")
    factory.protocol = Server
    if deflate:
        factory.setProtocolOptions(
            perMessageCompressionAccept=lambda offers: next((PerMessageDeflateOfferAccept(o) for o in offers if isinstance(o, PerMessageDeflateOffer)), None)
        )
    loop.run_until_complete(loop.create_server(factory, "127.0.0.1", int(where)))
    print("listening", flush=True)
    loop.run_forever()


{"wsproto": wsproto, "aiohttp": aiohttp, "tornado": tornado, "autobahn": autobahn}[name]()
