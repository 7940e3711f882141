"""What a hostile server sends to conformance_client and to echo_client, and how they must end.

A case: (name, title with the rule ids, function of a Peer whose request was read but not answered, what echo_client says, bytes
of memory that it may make the client hold).
"""

import os
import select
import socket
import subprocess
import tempfile
import time

import cases_client
from cases_client import response
from inputs_server import BAD, FRAMES, MALLOC, MIB, SLACK, memory_of
from peer import Keys, Peer
from wire import BINARY, CONT, PING, TEXT, Failure, head

CASES = []
PROCESSOR = 0.4  # seconds of it that a client may use in a case


def case(name, title, function, words, holds=0):
    CASES.append((name, title, function, words, holds))


# ---- outcomes

def dropped(make):
    """The handshake fails: the client ends the connection without a frame."""
    def run(peer):
        peer.send(make(peer) if callable(make) else make, read=False)
        peer.expect_eof(3, allow_reset=True)
    return run


def opened(peer):
    peer.send(response(peer))
    return peer


def fails(code, make):
    def run(peer):
        opened(peer).send(make(peer))
        peer.expect_close(code)
        peer.send(peer.text(b"behind the end") * 20)
        peer.send(peer.close_frame(code))
        peer.expect_end()
    return run


# ---- the handshake: C01 to C14

WRONG = {
    "accept.wrong": (dict(Sec_WebSocket_Accept=b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="), "C01", "does not match"),
    "accept.none": (dict(Sec_WebSocket_Accept=None), "C01", "no Sec-WebSocket-Accept"),
    "accept.empty": (dict(Sec_WebSocket_Accept=b""), "C01", "does not match"),
    "accept.twice": (dict(Sec_WebSocket_Accept=[b"a", b"b"]), "C01", "several Sec-WebSocket-Accept"),
    "accept.long": (dict(Sec_WebSocket_Accept=b"A" * 4000), "C01", "does not match"),
    "upgrade.none": (dict(Upgrade=None), "C01", "Upgrade is not"),
    "upgrade.other": (dict(Upgrade=b"h2c"), "C01", "Upgrade is not"),
    "upgrade.longer": (dict(Upgrade=b"websocketx"), "C01", "Upgrade is not"),
    "upgrade.two": (dict(Upgrade=b"websocket, h2c"), "C01", "Upgrade is not"),
    "connection.none": (dict(Connection=None), "C01", "no `upgrade`"),
    "connection.close": (dict(Connection=b"close"), "C01", "no `upgrade`"),
    "connection.substring": (dict(Connection=b"not-upgrade"), "C01", "no `upgrade`"),
}
for name, (changes, rule, words) in WRONG.items():
    case(f"handshake.{name}", f"{rule} {changes}"[:70], dropped(lambda peer, c=changes: response(peer, **c)), words)
LINES = {
    "protocol": (b"Sec-WebSocket-Protocol: chat", "C02 a subprotocol nobody asked for", "was not offered"),
    "protocols": (b"Sec-WebSocket-Protocol: a, b", "C02 several subprotocols", "subprotocol"),
    "extension": (b"Sec-WebSocket-Extensions: permessage-deflate", "C04 an extension nobody asked for", "extension"),
    "lf": (b"X-A: 1\nX-B: 2", "C14 H22 a lone LF", "LF without CR"), "cr": (b"X-A: 1\rX-B: 2", "C14 H22 a lone CR", "CR in the head"),
    "fold": (b"X-A: 1\r\n more", "C14 a folded line", "second line"), "colon": (b"X-A : 1", "C14 H24 a space before the colon", "field"),
    "name": (b": 1", "C14 H24 no name", "field"), "nul": (b"X-A: a\0b", "C14 H25 NUL", "control byte"),
    "escape": (b"X-A: \x1b[2J", "C14 H25 an escape sequence", "control byte"),
    "fields": (b"\r\n".join([b"X-A: 1"] * 100), "C14 H26 more than 100 fields", "more fields"),
    "large": (b"X-A: " + b"a" * 17000, "C14 H26 a head over 16 KiB", "limit"),
}
for name, (line, title, words) in LINES.items():
    case(f"handshake.line.{name}", title, dropped(lambda peer, l=line: response(peer, more=(l,))), words)
FOREIGN = {
    "http10": (b"HTTP/1.0 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "C01 HTTP/1.0", "not HTTP/1.1"),
    "word": (b"HTTP/1.1 abc\r\n\r\n", "C14 a status that is no number", "response does not begin"),
    "four": (b"HTTP/1.1 1010 OK\r\n\r\n", "C14 a status of four digits", "response does not begin"),
    "icy": (b"ICY 200 OK\r\n\r\n", "C14 another protocol", "response does not begin"),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "C14 an SSH server", "response does not begin"),
    "tls": (b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n", "C14 a TLS alert", "response does not begin"),
    "http2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\r\n\r\n", "C14 SETTINGS of HTTP/2", "response does not begin"),
    "request": (b"GET / HTTP/1.1\r\n\r\n", "C14 a request", "response does not begin"),
    "zeros": (bytes(MIB), "C14 zeros", ""), "endless": (b"HTTP/1.1 101 " + b"a" * MIB, "C14 H26 an endless status line", "limit"),
    "endless.field": (b"HTTP/1.1 101 a\r\nX: " + b"a" * MIB, "C14 H26 an endless field", "limit"),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, "C06 nine interim responses", "more than eight"),
    "interim.endless": (b"HTTP/1.1 103 Hints\r\n\r\n" * 20_000, "C06 endless interim responses", "more than eight"),
    "nothing": (b"", "K12 no byte at all", None),
}
for name, (raw, title, words) in FOREIGN.items():
    if words is not None:
        case(f"foreign.{name}", title, dropped(raw), words)
for status in (200, 204, 301, 400, 401, 403, 404, 407, 426, 500, 503):
    case(f"status.{status}", f"C07 C08 status {status}", lambda peer, s=status: answer(peer, b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % s),
         f"refused: {status}")
BODIES = {
    "endless": b"\r\n" + b"x" * (4 * MIB), "chunks": b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000,
    "chunk.huge": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "chunk.bad": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk.extension": b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * MIB, "length.huge": b"Content-Length: 99999999999999999999\r\n\r\n",
    "length.negative": b"Content-Length: -1\r\n\r\n", "length.two": b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
}
for name, body in BODIES.items():
    case(f"body.{name}", "C07 a hostile body of a refusal", lambda peer, b=body: answer(peer, b"HTTP/1.1 404 No\r\n" + b), "")


def answer(peer, raw):
    """A refusal, and the end of our direction; the client goes."""
    peer.send(raw, read=False)
    peer.shutdown()
    peer.expect_eof(3, allow_reset=True)


# ---- frames: those that a server refuses, and their own

WORDS = {1002: "", 1007: "UTF-8", 1009: "over the limit"}
for name, title, code, make in FRAMES:
    case(name.replace("unmasked", "masked"), title.replace("without a mask", "with a mask"), fails(code, make), WORDS[code])
case("utf8.early", "F15 a bad byte in a frame that does not end", fails(1007, lambda peer: peer.head(TEXT, 1000) + BAD["ff"]), "UTF-8")
case("frames.with.101", "C09 a bad frame behind the 101", lambda peer: (peer.send(response(peer) + b"\xff"), peer.fails(1002)), "")
case("flood.empty", "F12 10^6 empty fragments",
     fails(1008, lambda peer: head(BINARY, 0, fin=False) + head(CONT, 0, fin=False) * 1_000_000), "fragments")
case("flood.bytes", "F12 131,000 fragments of one byte",
     fails(1008, lambda peer: head(TEXT, 1, fin=False) + b"a" + (head(CONT, 1, fin=False) + b"a") * 131_000), "fragments")


# ---- transports that end

def reset(make):
    def run(peer):
        peer.send(make(peer), read=False)
        peer.abort()
    return run


def ended(make):
    """Our direction ends; the client must go, and not be told twice."""
    def run(peer):
        peer.send(make(peer), read=False)
        peer.shutdown()
        until = time.monotonic() + 3
        while not peer.ended and peer.fill(until):
            pass
        if not peer.ended:
            raise Failure("the client is still there 3 s after EOF")
    return run


STATES = {
    "silent": lambda peer: b"", "head": lambda peer: b"HTTP/1.1 101 Sw", "open": response,
    "frame": lambda peer: response(peer) + peer.binary(b"x" * 100)[:50],
    "fragment": lambda peer: response(peer) + peer.text(b"x", fin=False), "close": lambda peer: response(peer) + peer.close_frame(1000),
    "failure": lambda peer: response(peer) + b"\xff", "ping": lambda peer: response(peer) + peer.ping(b"x") * 1000,
    "message": lambda peer: response(peer) + peer.binary(bytes(4 * MIB)),
    "message.failure": lambda peer: response(peer) + peer.binary(bytes(4 * MIB)) + b"\xff",
    "message.close": lambda peer: response(peer) + peer.binary(bytes(4 * MIB)) + peer.close_frame(1000),
    "refusal": lambda peer: b"HTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\n",
}
for name, make in STATES.items():
    held = 3 * 4 * MIB if name.startswith("message") else 0  # twice the message, and its answer
    case(f"reset.{name}", f"K12 a reset, before it: {name}", reset(make), "", held)
    case(f"end.{name}", f"K12 EOF, before it: {name}", ended(make), "", held)


def ended_unread(make):
    """Our direction ends while the client's answers do not fit into the transport: it must wait, or go, in peace."""
    def run(peer):
        peer.send(make(peer), read=False)
        peer.shutdown()
        time.sleep(2)
    return run


def reset_unread(make):
    """The same, and then a reset."""
    def run(peer):
        peer.send(make(peer), read=False)
        time.sleep(0.3)
        peer.abort()
    return run


UNREAD = {
    "messages": (lambda peer: response(peer) + peer.binary(bytes(MIB)) * 6, 2 * MIB + 2 * MIB),  # a message, and answers up to high_water
    "pings": (lambda peer: response(peer) + peer.ping(b"p" * 125) * 60_000, MIB),
    "failure": (lambda peer: response(peer) + peer.binary(bytes(12 * MIB)) + b"\xff", 3 * 12 * MIB),
}
for name, (make, held) in UNREAD.items():
    case(f"unread.end.{name}", f"K12 EOF while nothing is drained: {name}", ended_unread(make), "", held)
    case(f"unread.reset.{name}", f"K12 a reset while nothing is drained: {name}", reset_unread(make), "", held)


def no_answer(peer):
    """A broken frame, the client's Close is not answered and nothing ends: it drops the connection itself (T02)."""
    opened(peer).send(b"\xff")
    peer.expect_close(1002)
    began = time.monotonic()
    while not peer.ended and peer.fill(began + 8):
        peer.buffer.clear()
    peer.send(b"x")
    if time.monotonic() - began > 7:
        raise Failure("the client waits for more than 7 s")


case("no.answer", "T02 the client's Close is not answered", no_answer, "")


# ---- the two clients

class Client:
    """A client program that runs against our listener."""

    def __init__(self, program, *arguments):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.listener.settimeout(5)
        self.words = tempfile.TemporaryFile()
        self.process = subprocess.Popen([program, "ws://127.0.0.1:%d" % self.listener.getsockname()[1], *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.words, env=os.environ | MALLOC)
        self.nonces = set()

    def accept(self):
        try:
            sock, _ = self.listener.accept()
        except TimeoutError:
            raise Failure(f"the client did not connect within 5 s (status {self.process.poll()})") from None
        peer = Peer(sock, 12, "client", Keys())
        peer.request = peer.take_head("a handshake request")
        cases_client.check_request(peer, peer.request.start.split(b" ")[1], self.nonces, False)
        return peer

    def wait(self, seconds=7):
        """The exit status; the processor must not have been busy for long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if done:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                if usage.ru_utime + usage.ru_stime > PROCESSOR:
                    raise Failure(f"the client used {usage.ru_utime + usage.ru_stime:.1f} s of the processor")
                return self.process.returncode
            time.sleep(0.005)
        raise Failure(f"the client still runs after {seconds} s")

    def end(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.listener.close()
        self.words.close()


def through_loop(program, function, holds):
    """conformance_client: this is its first case of two; the second is healthy. Between them its memory is looked at."""
    client = Client(program)
    try:
        peer = opened(client.accept())
        peer.send(peer.text(b"2"))
        peer.finish()
        peer.close()
        peer = client.accept()
        before = memory_of(client.process, "VmRSS")
        try:
            function(peer)
        finally:
            peer.close()
        peer = opened(client.accept())
        if (more := memory_of(client.process, "VmHWM") - before) > holds + SLACK:
            raise Failure(f"the client held {more >> 10} KiB more, at most {holds + SLACK >> 10} are expected")
        peer.echo(TEXT, b"still there?")
        peer.finish()
        peer.close()
        peer = opened(client.accept())
        peer.finish()
        peer.close()
        if status := client.wait():
            raise Failure(f"the client ended with status {status}")
    finally:
        client.end()


def through_line(program, function, words):
    """echo_client, whose input does not end: it must say what was wrong, and end with status 1."""
    client = Client(program)
    try:
        peer = client.accept()
        try:
            function(peer)
        finally:
            peer.close()
        status = client.wait()
        client.words.seek(0)
        said = client.words.read(100_000).decode(errors="replace")
        if status not in (0, 1):
            raise Failure(f"the client ended with status {status}: {said[:200]}")
        if words and (status != 1 or words not in said):
            raise Failure(f"expected status 1 and {words!r}, got {status} and {said[:200]!r}")
    finally:
        client.end()
