"""What a hostile server sends to conformance_client and to echo_client, and how they must end.

CASES are for clients without compression, DEFLATE for those that offer it, SLOW wait for deadlines and run all at once.
"""

import collections
import itertools
import os
import random
import select
import socket
import subprocess
import tempfile
import threading
import time
from types import SimpleNamespace

import cases_client
import cases_deflate
from cases_client import response
from inputs_server import (BAD, BOMBS, COMPRESSED, FRAMES, LIMITED, MALLOC, MIB, NOTHING, WINDOW, Memory, bomb_fails,
                           bomb_of, deflated, never_reads, unfinished)
from peer import Keys, Peer
from wire import BINARY, CLOSE, CONT, NAMES, PING, TEXT, Failure, close_payload, head

# `functions`: one for each connection, of a Peer whose request was read but not answered. `words`: what echo_client says; None: the
# case is for conformance_client only. `holds`: bytes of memory that it may make the client hold. `arguments`: of both clients.
Case = collections.namedtuple("Case", "name title functions words holds arguments")
CASES = []
DEFLATE = []
SLOW = []
PROCESSOR = 0.4  # seconds of it that a client may use in a case


def case(name, title, functions, words, holds=0, arguments=(), into=CASES):
    into.append(Case(name, title, functions if isinstance(functions, list) else [functions], words, holds, arguments))


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


def fails(code, make, start=opened):
    def run(peer):
        start(peer).send(make(peer))
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
}
for name, (raw, title, words) in FOREIGN.items():
    case(f"foreign.{name}", title, dropped(raw), words)
for status in (200, 204, 301, 400, 401, 403, 404, 407, 426, 500, 503):
    case(f"status.{status}", f"C07 C08 status {status}", lambda peer, s=status: answer(peer, b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % s),
         f"refused: {status}")
BODIES = {
    "endless": b"\r\n" + b"x" * (4 * MIB), "chunks": b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000,
    "chunk.huge": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", "chunk.bad": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "chunk.extension": b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * MIB, "length.huge": b"Content-Length: 99999999999999999999\r\n\r\n",
    **{f"length.{n}": b"Content-Length: %d\r\n\r\n" % (1 << n) for n in (31, 32, 62)},
    **{f"chunk.{n}": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (1 << n) for n in (31, 32, 62)},
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


# ---- lengths that are only declared

def waits(make, start=opened, seconds=0.1):
    """The client goes on waiting for the rest, which does not come."""
    def run(peer):
        start(peer).send(make(peer))
        peer.quiet(seconds)
        peer.shutdown()
        peer.expect_eof(3)
    return run


LOST = "without a closing handshake"
LIMIT = 16 * MIB
MOST = (1 << 63) - 1
NO_LIMIT = ("--max-message", str(MOST))  # so that nothing but F04 stands between a declared length and the allocator
for name, length, arguments in (("limit", LIMIT, ()), ("31", 1 << 31, NO_LIMIT), ("32", 1 << 32, NO_LIMIT), ("62", 1 << 62, NO_LIMIT),
                                ("most", MOST, NO_LIMIT)):
    for opcode in (TEXT, BINARY):
        case(f"declared.{name}.{NAMES[opcode]}", f"F04 a {NAMES[opcode]} frame of {length:#x} bytes is announced, nothing comes",
             waits(lambda peer, o=opcode, n=length: peer.head(o, n)), LOST, 0, arguments)
    case(f"declared.{name}.byte", f"F04 {length:#x} bytes are announced, one comes",
         waits(lambda peer, n=length: peer.head(BINARY, n) + b"x"), LOST, 0, arguments)
    case(f"declared.{name}.continuation", f"F04 {length:#x} bytes over two fragments are announced",
         waits(lambda peer, n=length: peer.text(b"x", fin=False) + peer.head(CONT, n - 1)), LOST, 0, arguments)
case("declared.many", "F04 20 connections announce 16 MiB and send a byte",
     [waits(lambda peer: peer.head(BINARY, LIMIT) + b"x", seconds=0.02)] * 20, LOST)
case("declared.half", "F04 8 MiB of a message that does not end",
     waits(lambda peer: peer.head(BINARY, LIMIT) + bytes(8 * MIB), seconds=0.3), LOST, 2 * 8 * MIB)
case("declared.part", "F04 3 MiB of a message that does not end",
     waits(lambda peer: peer.head(BINARY, LIMIT) + bytes(3 * MIB), seconds=0.3), LOST, 2 * 3 * MIB)


def never_ends(opcode):
    def run(peer):
        unfinished(opened(peer), peer.process, opcode)
        peer.shutdown()
        peer.expect_eof(3)
    return run


for opcode in (TEXT, BINARY):
    case(f"unfinished.{NAMES[opcode]}", f"F04 8 MiB of {NAMES[opcode]} in fragments of which none is the last", never_ends(opcode),
         LOST, 2 * 8 * MIB)


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


# ---- cut and reset at each byte

def cut(whole, at, start=opened):
    """Some bytes of it, then EOF: the client goes, without a word."""
    def run(peer):
        start(peer).send(whole(peer)[:at] if callable(whole) else whole[:at])
        peer.shutdown()
        peer.expect_eof(3)
    return run


def torn(whole, at, start=opened):
    """Some bytes of it, time to read them, then a reset."""
    def run(peer):
        start(peer).send(whole(peer)[:at] if callable(whole) else whole[:at])
        time.sleep(0.005)
        peer.abort()
    return run


def unanswered(peer):
    return peer


RESPONSE = 129  # bytes of a 101
assert len(response(SimpleNamespace(response_key=b"A" * 28))) == RESPONSE
PIECES = {  # (the title, frames, where the resets are)
    "7": ("a frame with a length of 7 bits", head(TEXT, 10) + b"seven bits", (1, 2, 11)),
    "16": ("a frame with a length of 16 bits", head(BINARY, 126) + b"x" * 126, (1, 2, 3, 4, 5, 129)),
    "64": ("a frame with a length of 64 bits", head(BINARY, 65536) + b"x" * 8, (1, 2, 3, 9, 10, 11)),
    "text": ("a text of characters of one to four bytes", head(TEXT, 30) + "aé€😀".encode() * 3, (3, 5, 10)),
    "fragments": ("a text in three fragments, one of them empty",
                  head(TEXT, 2, fin=False) + b"ab" + head(CONT, 0, fin=False) + head(CONT, 1) + b"c", (4, 5, 6, 8)),
    "ping": ("a ping", head(PING, 4) + b"ping", (1, 5)), "close": ("a Close", head(CLOSE, 5) + close_payload(1000, b"bye"), (1, 3, 4)),
}
case("cut.response", "K12 a response that ends at each byte", [cut(response, at, unanswered) for at in range(RESPONSE)], LOST)
case("torn.response", "K12 a reset inside the response", [torn(response, at, unanswered) for at in (0, 1, 12, 17, 60, RESPONSE - 1)], "")
case("torn.open", "K12 a reset right behind the response", torn(response, RESPONSE, unanswered), "")
for name, (title, frames, places) in PIECES.items():
    case(f"cut.{name}", f"K12 {title} that ends at each byte", [cut(frames, at) for at in range(1, len(frames))], LOST)
    case(f"torn.{name}", f"K12 {title} that ends by a reset", [torn(frames, at) for at in places], "")


def closed_then(make, pieces=1):
    """A good Close, and more behind it that is not looked at; the answer can still be read (K09, K15)."""
    def run(peer):
        opened(peer).send(peer.close_frame(1000) + make(peer) * pieces)
        if peer.write_ended != (pieces > 16):
            raise Failure("the client " + ("goes on reading" if pieces > 16 else "reset the connection while we were still sending"))
        peer.expect_close(1000)
        peer.shutdown()
        peer.expect_eof(3, allow_reset=pieces > 16)
    return run


def failed_then_much(peer):
    opened(peer).send(b"\xff" + b"x" * (8 * MIB))
    peer.fails(1002)


case("after.close", "K08 two Closes", closed_then(lambda peer: peer.close_frame(1001)), "")
case("after.ping", "K09 F19 a ping after Close", closed_then(lambda peer: peer.ping(b"x")), "")
case("after.text", "K09 a text after Close", closed_then(lambda peer: peer.text(b"x")), "")
case("after.bad", "K09 a broken frame after Close", closed_then(lambda peer: b"\xff\xff\xff\xff"), "")
case("after.much", "K15 8 MiB after Close", closed_then(lambda peer: b"x" * MIB, 8), "")
case("after.too.much", "K15 64 MiB after Close: dropped at 16 MiB", closed_then(lambda peer: b"x" * MIB, 64), "")
case("after.failure", "K14 K15 8 MiB after a broken frame", failed_then_much, "RSV2")
case("storm.close", "K01 300 connections that close at once", [closed_then(lambda peer: b"")] * 300, None)
case("storm.silent", "K12 300 connections that end without a byte", [cut(b"", 0, unanswered)] * 300, None)
case("storm.resets", "K12 300 resets behind the response", [torn(response, RESPONSE, unanswered)] * 300, None)


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


# ---- permessage-deflate

def agreed(peer, **parameters):
    return cases_deflate.opened_by_client(peer, **parameters)


def declined(peer):
    """The client offered compression and did not get it."""
    cases_deflate.offer_of(peer)
    return opened(peer)


def compressed(name, title, functions, words, holds=WINDOW, arguments=()):
    case(name, title, functions, words, holds, arguments, DEFLATE)


def words_of(name, code):
    return "DEFLATE" if code == 1007 and "utf8" not in name else WORDS[code]


SMALL = ("--max-message", "70000")
INFLATED = LIMIT + 16 * 1024 + WINDOW  # not twice: as the limit nears, no more than a block over it is made
for name, title, make in BOMBS:
    compressed("bomb" + name, title, lambda peer, m=make: bomb_fails(agreed(peer), m), WORDS[1009], LIMITED + WINDOW, SMALL)
    compressed("bomb.16" + name, title + ", against 16 MiB", lambda peer, m=make: bomb_fails(agreed(peer), m), WORDS[1009], INFLATED)
for name, title, make in NOTHING:
    compressed("bomb.nothing" + name, title, lambda peer, m=make: bomb_fails(agreed(peer), m), WORDS[1009], WINDOW, SMALL)
for name, title, code, make in COMPRESSED:
    compressed(name, title, fails(code, make, agreed), words_of(name, code))
    if code == 1002:
        compressed("declined." + name, title.replace("with", "without"), fails(code, make, declined), "", 0)
for name, data in (("text", b"hello, hello, hello"), ("empty", b"")):
    compressed(f"declined.{name}", "F07 H17 a compressed message, where compression was offered but not agreed on",
               fails(1002, lambda peer, d=data: peer.text(deflated(d), rsv=4), declined), "RSV1", 0)
NOISE = random.Random(7692).randbytes(1000)


def refers_back(peer):
    """A message, then one that refers to the whole of it."""
    return cases_deflate.raw(peer, BINARY, cases_deflate.stored(NOISE) + b"\0") + cases_deflate.raw(
        peer, BINARY, cases_deflate.deflated(NOISE, zdict=NOISE))


def fails_second(code, **parameters):
    def run(peer):
        agreed(peer, **parameters).send(refers_back(peer))
        peer.expect(BINARY, NOISE)
        peer.fails(code)
    return run


compressed("window.9", "D12 a distance beyond the window of 9 bits", fails_second(1007, server_max_window_bits=9), None)
compressed("window.no.takeover", "D07 D12 a distance into the message before, without takeover",
           fails_second(1007, server_no_context_takeover=None), None)


def echoed(opcode, payload, expected):
    def run(peer):
        agreed(peer).send(cases_deflate.raw(peer, opcode, payload))
        peer.expect(opcode, expected)
        peer.finish()
    return run


GOOD = {
    "empty": ("D03 an empty message as 00", b"\0", b""), "empty.fixed": ("D03 an empty message as 02 00", b"\2\0", b""),
    "empty.final": ("D03 D04 an empty message that is a final block", b"\3\0", b""),
    "empty.fragments": ("D03 an empty message in four fragments", [b"", b"\0", b"", b""], b""),
    "final": ("D04 a message that ends at a final block", cases_deflate.deflated(b"final", finish=True), b"final"),
    "finals": ("D04 1,000 final blocks in a message", cases_deflate.deflated(b"f", finish=True) * 1000, b"f" * 1000),
    "finals.nothing": ("D04 a megabyte of empty final blocks, below the limit", b"\3\0" * 500_000, b""),
    "limit": ("D13 F18 exactly the limit", deflated(bytes(70_000)), bytes(70_000)),
}
for name, (title, payload, expected) in GOOD.items():
    compressed(f"good.{name}", title, echoed(BINARY, payload, expected), None, LIMITED + WINDOW + 2 * MIB, SMALL if name == "limit" else ())


def echoes_both(peer):
    agreed(peer).send(refers_back(peer))
    peer.expect(BINARY, NOISE)
    peer.expect(BINARY, NOISE)
    peer.finish()


compressed("good.takeover", "D07 a distance into the message before, with takeover", echoes_both, None)
compressed("limit.over", "D13 F18 a byte more than the limit",
           fails(1009, lambda peer: peer.binary(deflated(bytes(70_001)), rsv=4), agreed), WORDS[1009], LIMITED + WINDOW, SMALL)
compressed("limit.compressed", "F18 a byte more than the limit of compressed bytes is announced",
           fails(1009, lambda peer: peer.head(BINARY, LIMIT + LIMIT // 64 + 1025, rsv=4), agreed), WORDS[1009], 0)
compressed("declared.limit", "F04 compressed 16 MiB are announced, nothing comes",
           waits(lambda peer: peer.head(BINARY, LIMIT, rsv=4), agreed), LOST)
compressed("declared.limit.byte", "F04 compressed 16 MiB are announced, a byte comes",
           waits(lambda peer: peer.head(BINARY, LIMIT, rsv=4) + b"\0", agreed), LOST)
for name, length in (("31", 1 << 31), ("32", 1 << 32), ("62", 1 << 62)):
    compressed(f"declared.{name}", f"F04 compressed {length:#x} bytes are announced, a byte comes",
               waits(lambda peer, n=length: peer.head(BINARY, n, rsv=4) + b"\0", agreed), LOST, WINDOW, NO_LIMIT)
for name, value in cases_deflate.REFUSED.items():
    value = b"permessage-deflate; " + value.encode()
    compressed(f"answer.{name}", f"C04 D09 D11 the answer {value.decode()}",
               dropped(lambda peer, v=value: response(peer, Sec_WebSocket_Extensions=v)), "extension", 0)
for name, value in {"twice": b"permessage-deflate, permessage-deflate", "other": b"x-webkit-deflate-frame",
                    "besides": b"permessage-deflate, x-unknown", "long": b"permessage-deflate" + b"; a" * 4000}.items():
    compressed(f"answer.{name}", f"C04 the answer {value.decode()[:60]}",
               dropped(lambda peer, v=value: response(peer, Sec_WebSocket_Extensions=v)), "extension", 0)
compressed("answer.quote", "C04 a quoted value that does not end", dropped(lambda peer: response(
    peer, Sec_WebSocket_Extensions=b"permessage-deflate; server_max_window_bits=\"")), "breaks its grammar", 0)
HELLO = deflated(b"Hello, hello, hello")
ONE = head(BINARY, len(HELLO), rsv=4) + HELLO
TWO = head(BINARY, 5, rsv=4, fin=False) + HELLO[:5] + head(CONT, len(HELLO) - 5) + HELLO[5:]
compressed("cut.one", "K12 a compressed message that ends at each byte", [cut(ONE, at, agreed) for at in range(1, len(ONE))], LOST)
compressed("cut.two", "K12 D02 the same in two fragments", [cut(TWO, at, agreed) for at in range(1, len(TWO))], LOST)
compressed("torn.one", "K12 a reset inside a compressed message", [torn(ONE, at, agreed) for at in (1, 2, 3, 6, len(ONE) - 1)], "")
compressed("torn.bomb", "K12 a reset inside a bomb", torn(bomb_of(64 * MIB, 50), 30_000, agreed), "", INFLATED)
compressed("cut.bomb", "K12 EOF inside a bomb", cut(bomb_of(64 * MIB, 50), 8_000, agreed), LOST, INFLATED)

# ---- deadlines

def timed(start, step, least, most, every=0.5, half=False):
    """`start(peer)`, then an element of `step(peer)` every half second; the client goes in so many seconds by itself. `half`: it has
    ended its side already, so that only what it does not take any more tells."""
    def run(peer):
        began = time.monotonic()
        peer.deadline = began + most
        start(peer)
        for piece in step(peer):
            if (peer.write_ended if half else peer.ended) or time.monotonic() > began + most:
                break
            if peer.ended:
                time.sleep(every)
            else:
                peer.fill(time.monotonic() + every)
            if peer.buffer:
                raise Failure(f"expected nothing, got {bytes(peer.buffer[:40])!r}")
            peer.send(piece, read=False)
        if not (peer.write_ended if half else peer.ended):
            raise Failure(f"the client is still there after {time.monotonic() - began:.1f} s")
        if time.monotonic() < began + least:
            raise Failure(f"the client went after {time.monotonic() - began:.1f} s")
    return run


def endless(piece):
    return lambda peer: itertools.repeat(piece)


def raw(data):
    return lambda peer: peer.send(data, read=False)


def slow(name, title, function, words, holds=0):
    case(name, title, function, words, holds, into=SLOW)


def one_by_one(peer):
    return (response(peer)[at:at + 1] for at in range(RESPONSE))


def failed(peer):
    opened(peer).send(b"\xff")
    peer.expect_close(1002)


def closed(peer):
    opened(peer).send(peer.close_frame(1000))
    peer.expect_close(1000)


LATE = "the opening handshake took too long"
slow("silent", "T01 a server that says nothing", timed(raw(b""), endless(b""), 9, 12.5), LATE)
slow("head", "T01 half a response", timed(lambda peer: peer.send(response(peer)[:60], read=False), endless(b""), 9, 12.5), LATE)
slow("bytes", "T01 a byte of a good response every half second", timed(raw(b""), one_by_one, 9, 12.5), LATE)
slow("line", "T01 a byte of an endless status line every half second", timed(raw(b"HTTP/1.1 101 "), endless(b"a"), 9, 12.5), LATE)
slow("fields", "T01 a field every half second", timed(raw(b"HTTP/1.1 101 a\r\n"), endless(b"X: 1\r\n"), 9, 12.5), LATE)
slow("interim", "T01 C06 an interim response every 1.5 seconds",
     timed(raw(b""), endless(b"HTTP/1.1 103 Hints\r\n\r\n"), 9, 12.5, 1.5), LATE)
slow("body", "T01 C07 a byte of a refusal's body every half second", timed(
    raw(b"HTTP/1.1 404 No\r\nContent-Length: 1000\r\n\r\n"), endless(b"x"), 0, 13), "refused: 404")
slow("failure", "T02 a byte every half second behind a broken frame", timed(failed, endless(b"x"), 4, 8, half=True), "RSV2")
slow("failure.silent", "T02 the client's Close is not answered", timed(
    failed, lambda peer: itertools.chain([b""] * 13, itertools.repeat(b"x")), 6, 8.5, half=True), "RSV2")
slow("close", "T02 K11 a byte every half second behind both Closes", timed(closed, endless(b"x"), 4, 8), "")
slow("closing", "T02 K11 both Closes, and the server does not end the connection", timed(closed, endless(b""), 4, 8), "")
slow("reader", "T07 a server that never reads", lambda peer: never_reads(opened(peer), head(BINARY, 65536) + bytes(65536)), None,
     2 * (MIB + 65536) + 2 * 65536)  # twice: what waits to be sent, and a message

# ---- the two clients

class Client:
    """A client program that runs against our listener."""

    def __init__(self, program, *arguments, deflate=False):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.listener.settimeout(5)
        self.words = tempfile.TemporaryFile()
        self.process = subprocess.Popen([program, "ws://127.0.0.1:%d" % self.listener.getsockname()[1], *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.words, env=os.environ | MALLOC)
        self.deflate = deflate
        self.nonces = set()

    def accept(self):
        try:
            sock, _ = self.listener.accept()
        except TimeoutError:
            raise Failure(f"the client did not connect within 5 s (status {self.process.poll()})") from None
        peer = Peer(sock, 12, "client", Keys())
        peer.process = self.process
        peer.request = peer.take_head("a handshake request")
        cases_client.check_request(peer, peer.request.start.split(b" ")[1], self.nonces, self.deflate)
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


class Beside:
    """A healthy client, which is served by a thread of its own while hostile servers are at work: each echo must be right, and come
    within a second."""

    def __init__(self, program, deflate=False):
        self.client = Client(program, deflate=deflate)
        link = opened(self.client.accept())
        link.send(link.text(b"1"))
        link.finish()
        link.close()
        self.link = (agreed if deflate else opened)(self.client.accept())
        self.echoes = 0

    def echo(self):
        link, opcode = self.link, random.choice((TEXT, BINARY))
        data = os.urandom(random.choice((0, 1, 60, 500, 2000, 40_000)))
        data = data.hex().encode() if opcode == TEXT else data
        link.deadline, link.timeout = time.monotonic() + 1, 1
        link.send(cases_deflate.packed(link, opcode, data) if link.deflate else link.frame(opcode, data))
        link.expect(opcode, data)
        self.echoes += 1

    def serve(self):
        try:
            while True:
                self.echo()
                if self.stop.wait(0.02):
                    break
            self.echo()
        except Failure as problem:
            self.problem = problem

    def __enter__(self):
        self.problem, self.stop = None, threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __exit__(self, kind, *_):
        """What the case itself raises is more telling."""
        self.stop.set()
        self.thread.join()
        if self.problem and kind is None:
            raise Failure(f"beside it, the healthy client: {self.problem}")

    def finish(self):
        """It closes well, and its program ends with status 0."""
        self.link.deadline = time.monotonic() + 5
        self.link.finish()
        link = opened(self.client.accept())
        link.finish()
        link.close()
        if status := self.client.process.wait(5):
            raise Failure(f"the healthy client ended with status {status}")

    def end(self):
        self.link.close()
        self.client.end()


def through_loop(program, one, deflate, beside):
    """conformance_client: these are all but the last of its cases; that one is healthy. Before it its memory is looked at."""
    client = Client(program, *one.arguments, deflate=deflate)
    try:
        peer = opened(client.accept())
        peer.send(peer.text(b"%d" % (len(one.functions) + 1)))
        peer.finish()
        peer.close()
        before = None
        for number, function in enumerate(one.functions):
            peer = client.accept()
            before = before or Memory(client.process)
            try:
                with beside:
                    function(peer)
            except Failure as problem:
                raise Failure(f"{problem}" + (f" (connection {number})" if number else "")) from None
            finally:
                peer.close()
        peer = opened(client.accept())
        before.judge("client", one.holds)
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


def through_line(program, one, deflate, beside):
    """echo_client, whose input does not end: it must say what was wrong, and end with status 1."""
    for number, function in enumerate(one.functions):
        client = Client(program, *one.arguments, deflate=deflate)
        try:
            peer = client.accept()
            try:
                with beside:
                    function(peer)
            finally:
                peer.close()
            status = client.wait()
            client.words.seek(0)
            said = client.words.read(100_000).decode(errors="replace")
            if status not in (0, 1):
                raise Failure(f"the client ended with status {status}: {said[:200]}")
            if one.words and (status != 1 or one.words not in said):
                raise Failure(f"expected status 1 and {one.words!r}, got {status} and {said[:200]!r} (connection {number})")
        finally:
            client.end()
