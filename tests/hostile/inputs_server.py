"""What a hostile client sends to an echo server, and what the rule table and the RFCs have it answer.

A case: (name, title with the rule ids, function of a Target, bytes of memory that it may make the server hold; where these are two,
the second are those that it may ask for). Each is run against the server with and without compression; DEFLATE holds those that need
compression, SLOW those that wait for deadlines.
"""

import functools
import os
import socket
import time
import zlib

from cases_deflate import Bits
from cases_server import accepted, more, rejected, req, request
from wire import BINARY, CLOSE, CONT, NAMES, PING, PONG, TEXT, Failure, close_payload, head, valid_close_code

CASES = []
DEFLATE = []
SLOW = []  # without a bound of their own: they run beside all others
MIB = 1 << 20
SLACK = MIB  # the kernel counts pages in lots, and a buffer to read into is not given back
# Freed memory goes back at once, so that the next case begins with what is needed.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_TOP_PAD_": "0"}


def memory_of(process, field):
    """A row of what the system knows of a process's memory, in bytes."""
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field + ":"))


class Memory:
    """What a process has before a case: pages, and addresses, since pages that were asked for and never touched are not resident."""

    def __init__(self, process):
        self.process = process
        self.before = [(peak, memory_of(process, now)) for peak, now in (("VmHWM", "VmRSS"), ("VmPeak", "VmSize"))]

    def judge(self, who, holds):
        for (field, before), most in zip(self.before, holds if isinstance(holds, tuple) else (holds, holds)):
            if (more := memory_of(self.process, field) - before) > most + SLACK:
                raise Failure(f"the {who} held {more >> 10} KiB more ({field}), at most {most + SLACK >> 10} are expected")


NO_KEY = b"\0\0\0\0"  # legal (F06), and quick to write a million times
OFFER = (b"Sec-WebSocket-Extensions: permessage-deflate",)


def case(name, title, function, holds=0, into=CASES):
    into.append((name, title, function, holds))


FRAMES = []  # (name, title, close code, function that makes the bytes): broken frames, which a client refuses as well
COMPRESSED = []  # the same, where permessage-deflate was agreed on


def broken(name, title, code, make):
    FRAMES.append((name, title, code, make))
    case(name, title, fails(code, make))


def broken_compressed(name, title, code, make):
    COMPRESSED.append((name, title, code, make))
    case(name, title, fails(code, make, OFFER), WINDOW, DEFLATE)


# ---- outcomes

def send_on(link, data):
    """Send behind the end, without reading: it must be taken, else the kernel has reset us and our Close was luck (K15)."""
    link.send(data, read=False)
    if link.write_ended:
        raise Failure("the server reset the connection while we were still sending")


def refused(make, status, body=True):
    """The handshake is refused, and what stands behind the request is not looked at (K15: the peer can read the answer)."""
    def run(target):
        link = target.dial()
        link.send(make(link) if callable(make) else make)
        send_on(link, b"x" * 1000)
        rejected(link, status, body)
        link.expect_eof(2.5)
    return run


def works(make, extensions=None):
    """The handshake is accepted, nothing of the peer's making stands in the response, and a message is echoed."""
    def run(target):
        link = target.dial()
        link.send(make(link))
        response = accepted(link, extensions=extensions)
        if any(name.startswith("x-") for name, value in response.fields):
            raise Failure("a field of the request is in the response")
        link.echo(TEXT, b"it works")
        link.finish()
    return run


def fails(code, make, fields=()):
    """The bytes make the connection fail with this code, although the peer goes on sending."""
    def run(target):
        link = opened(target, fields) if fields else target.open()
        link.send(make(link))
        send_on(link, link.text(b"behind the end") * 20)
        link.fails(code)
    return run


def opened(target, fields=OFFER):
    """A connection with compression."""
    link = target.dial()
    link.send(request(link, more=fields))
    response = accepted(link, extensions=False)
    if b"permessage-deflate" not in response.tokens("sec-websocket-extensions"):
        raise Failure("permessage-deflate was not agreed on")
    return link


def echoes(make, opcode, payload):
    """The bytes are a message that comes back."""
    def run(target):
        link = target.open()
        link.send(make(link))
        link.expect(opcode, payload)
        link.finish()
    return run


# ---- the opening handshake

FOREIGN = {
    "http09": (b"GET /\r\n\r\n", 400, "H29 HTTP/0.9"),
    "http09.named": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "H29 HTTP/0.9 by name"),
    "http2.preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505), "H29 the preface of HTTP/2"),
    "http2.line": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "H29 HTTP/2.0 in text"),
    "http3.line": (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "H29 HTTP/3.0 in text"),
    "http11.long": (b"GET / HTTP/11.1\r\nHost: a\r\n\r\n", 400, "H29 a version of two digits"),
    "http.small": (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "H29 the name in small letters"),
    "tls.hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2 + b"\r\n\r\n", 400, "H29 TLS hello"),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400, "H29 an SSH client"),
    "smtp": (b"EHLO example.org\r\n\r\n", 400, "H29 a mail client"),
    "proxy": (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n\r\n", 400, "H29 the PROXY protocol"),
    "rtsp": (b"OPTIONS rtsp://a/b RTSP/1.0\r\n\r\n", 400, "H29 RTSP"),
    "zeros": (bytes(1000) + b"\r\n\r\n", 400, "H29 zeros"),
    "high": (b"\xff" * 1000 + b"\r\n\r\n", 400, "H29 bytes over 127"),
    "response": (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 400, "H29 a response"),
    "two.spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "H29 two spaces"),
    "tab": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "H29 a tab"),
    "two.lines": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "H21 two empty lines first"),
}
for name, (raw, status, title) in FOREIGN.items():
    case(f"foreign.{name}", title, refused(raw, status))

TARGETS = (b"*", b"chat", b"/a#b", b"/a b", b"/a\x00b", b"/\x7f", b"/\xc3\xa9", b"/a\tb", b"\\a")
for at, target_text in enumerate(TARGETS):
    case(f"target.{at}", f"H29 the target {target_text!r}", refused(req(b"GET " + target_text + b" HTTP/1.1"), 400))
for method, status in ((b"POST", 405), (b"PUT", 405), (b"get", 405), (b"OPTIONS", 405), (b"G(T", 400), (b"", 400)):
    case(f"method.{method.decode() or 'none'}", f"H01 H29 the method {method!r}", refused(req(method + b" / HTTP/1.1"), status))
case("method.HEAD", "H01 HEAD: 405 without a body", refused(req(b"HEAD / HTTP/1.1"), 405, body=False))
case("http10", "H02 HTTP/1.0 with Upgrade", refused(req(b"GET / HTTP/1.0"), 400))

LINES = {
    "bare.lf": (b"X-A: 1\nX-B: 2", "H22 a lone LF"), "bare.cr": (b"X-A: 1\rX-B: 2", "H22 a lone CR"),
    "fold": (b"X-A: 1\r\n more", "H23 a folded line"), "fold.tab": (b"X-A: 1\r\n\tmore", "H23 a line folded by a tab"),
    "space.colon": (b"X-A : 1", "H24 a space before the colon"), "no.name": (b": 1", "H24 no name"),
    "no.colon": (b"X-A", "H24 no colon"), "space.name": (b"X A: 1", "H24 a space in a name"),
    "high.name": (b"X-\xc3\xa9: 1", "H24 a name that is no token"), "brace.name": (b"X-{a}: 1", "H24 a brace in a name"),
    "body": (b"Content-Length: 5", "H19 a body"), "chunked": (b"Transfer-Encoding: chunked", "H19 a chunked body"),
    "smuggle": (b"Content-Length: 0\r\nTransfer-Encoding: chunked", "H19 both lengths"),
    "host.twice": (b"Host: other", "H06 two hosts"), "origin.twice": (b"Origin: http://a\r\nOrigin: http://b", "H30 two origins"),
    "key.twice": (b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==", "H07 the key twice"),
    "version.twice": (b"Sec-WebSocket-Version: 13", "H10 the version twice"),
}
for name, (line, title) in LINES.items():
    case(f"line.{name}", title, refused(more(line), 400))
for byte in (0x00, 0x01, 0x07, 0x08, 0x0b, 0x0c, 0x0e, 0x1b, 0x1f, 0x7f):
    case(f"line.control.{byte:02x}", f"H25 the byte {byte:02x} in a value", refused(more(b"X-A: a%cb" % byte), 400))

FIELDS = {
    "Host": ("H06", 400, (None, b"a b", b"a/b", b"a@b", b"[::1", b"a:x", b"<script>")),
    "Sec_WebSocket_Key": ("H07", 400, (None, b"", b"AQIDBAUGBwgJCgsMDQ4P", b"AQIDBAUGBwgJCgsMDQ4PEBE=", b"AQIDBAUGBwgJCgsMDQ4PEA",
                                       b"AQIDBAUGBwgJ CgsMDQ4PEA=", b"-_IDBAUGBwgJCgsMDQ4PEA==", b"=" * 24, b"A" * 4000)),
    "Sec_WebSocket_Version": ("H10", 426, (b"0", b"8", b"12", b"14", b"013", b"+13", b"13, 8", b"99999999999999999999")),
    "Upgrade": ("H04b", 426, (None, b"h2c", b"xwebsocket", b"websocketx", b"web socket", b"\"websocket\"")),
    "Connection": ("H04b", 400, (None, b"close", b"not-upgrade", b"upgrade-insecure", b"up grade")),
}
for name, (rule, status, values) in FIELDS.items():
    for at, value in enumerate(values):
        case(f"field.{name.lower()}.{at}", f"{rule} {name} is {value and value[:30]!r}", refused(req(**{name: value}), status))
case("field.sec_websocket_version.none", "H10 no version", refused(req(Sec_WebSocket_Version=None), 400))

for at, value in enumerate((b"", b",", b"a, a", b"a b", b"\"a\"", b"a\x80", b"a, b, a", b"a/b", b"a;b")):
    case(f"subprotocol.{at}", f"H13 H32 Sec-WebSocket-Protocol: {value!r}", refused(more(b"Sec-WebSocket-Protocol: " + value), 400))
case("subprotocol.lines", "H11 H13 the same subprotocol in two lines",
     refused(more(b"Sec-WebSocket-Protocol: a", b"Sec-WebSocket-Protocol: a"), 400))
for count in (100, 101, 1000):  # each is compared with the others, so the limit of fields (H26) holds for them
    line = b"Sec-WebSocket-Protocol: " + b", ".join(b"p%d" % at for at in range(count))
    case(f"subprotocol.{count}", f"H13 H17 H26 {count} subprotocols", works(more(line)) if count <= 100 else refused(more(line), 431))
case("subprotocol.inject", "H36 a field after the subprotocol is not answered", works(more(b"Sec-WebSocket-Protocol: a\r\nX-Evil: 1")))
case("target.inject", "H36 an encoded CR LF in the target is not answered", works(req(b"GET /%0d%0aX-Evil:%201 HTTP/1.1")))

for at, value in enumerate((b"", b",", b"permessage-deflate;", b";x", b"a b", b"permessage-deflate; =1", b"permessage-deflate; x=",
                            b"a; x=\"", b"a; x=\"y", b"a=1", b"a;;b", b"a; x=(")):
    case(f"extension.grammar.{at}", f"H16b H32 Sec-WebSocket-Extensions: {value!r}",
         refused(more(b"Sec-WebSocket-Extensions: " + value), 400))
for at, value in enumerate((b"x", b"x; a=\"permessage-deflate\"", b"x; a=\", permessage-deflate\"", b"permessage-deflate; bogus",
                            b"permessage-deflate; server_max_window_bits=7", b"permessage-deflate; server_max_window_bits=16",
                            b"permessage-deflate; server_max_window_bits=08", b"permessage-deflate; server_max_window_bits",
                            b"permessage-deflate; client_max_window_bits=99999999999",
                            b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                            b"permessage-deflate; server_no_context_takeover=1", b"x-webkit-deflate-frame",
                            b", ".join([b"permessage-deflate; server_max_window_bits=16"] * 200))):
    case(f"extension.declined.{at}", f"H15 H16 H17 D09 D11 {value[:70].decode()}: declined", works(more(b"Sec-WebSocket-Extensions: " + value)))

case("accepted.pad", "H08 a key with pad bits set", works(req()))
case("accepted.lists", "H03 H05 H12 empty members, other tokens, odd case",
     works(req(Connection=[b",,keep-alive,", b", UPGRADE ,"], Upgrade=b"h2c, WebSocket")))
case("accepted.line", "H21 an empty line first", works(lambda link: b"\r\n" + request(link)))
case("accepted.absolute", "H28 an absolute target", works(req(b"GET ws://example.org/a HTTP/1.1")))
case("accepted.fields", "H26 100 fields", works(more(*[b"X-%d: 1" % at for at in range(95)])))
case("accepted.cookie", "H26 a cookie of 4 KiB with obs-text", works(more(b"Cookie: a=" + b"\xe9" * 4096)))
case("limit.fields", "H26 101 fields", refused(more(*[b"X-%d: 1" % at for at in range(96)]), 431))


def endless(piece, status, start=b""):
    """Never ends; the refusal comes as soon as the limit is passed."""
    def run(target):
        link = target.dial()
        link.send(start)
        send_on(link, piece * (4 * MIB // len(piece)))
        rejected(link, status)
        link.expect_eof(2.5)
    return run


START = b"GET / HTTP/1.1\r\nHost: a\r\n"
case("endless.line", "H26 an endless request line", endless(b"GET /" + b"a" * 1000, 414))
case("endless.method", "H26 an endless method", endless(b"G", 414))
case("endless.value", "H26 an endless value", endless(b"a", 431, START + b"X: "))
case("endless.name", "H26 an endless name", endless(b"a", 431, START))
case("endless.fields", "H26 endless fields", endless(b"X: 1\r\n", 431, START))
case("endless.spaces", "H26 endless spaces before a value", endless(b" ", 431, START + b"X:"))
case("endless.commas", "H26 endless empty members", endless(b",", 431, START + b"Connection: upgrade"))


def cut_heads(target):
    """Half a head, then the end, at each byte. No 101 may come."""
    whole = request(target.dial())
    for at in range(len(whole)):
        link = target.dial()
        link.send(whole[:at])
        link.shutdown()
        until = time.monotonic() + 2
        while not link.ended and link.fill(until):
            pass
        if link.ended != "EOF" or b" 101 " in link.buffer:
            raise Failure(f"a head cut at byte {at}: {bytes(link.buffer[:40])!r}, {link.ended or 'still open'}")
        link.close()


def split_head(target):
    link = target.dial()
    link.send(request(link), chop=1)
    accepted(link)
    link.finish()


def smuggled(target):
    """A second request behind the first is frames, not a request: 'G' has RSV1 set (H20, F07)."""
    link = target.dial()
    link.send(request(link) * 2)
    accepted(link)
    link.fails(1002)


case("cut.heads", "K12 a head that ends at each byte", cut_heads, 256 * 1024)
case("split.head", "F13 a head in segments of one byte", split_head)
case("smuggled", "H20 a second request behind the first", smuggled)

# ---- frames

for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    broken(f"opcode.{opcode}", f"F08 opcode {opcode}", 1002, lambda link, o=opcode: link.frame(o, b"abc"))


def at_first_byte(byte):
    def run(target):
        link = target.open()
        link.send(bytes([byte]))
        link.fails(1002)
    return run


for byte in (0x83, 0x8b, 0x07, 0x0f, 0x80, 0xa1, 0x91, 0x09, 0x08, 0x0a):
    case(f"first.{byte:02x}", f"F07 F08 F09 F11 refused at the byte {byte:02x}", at_first_byte(byte))
for rsv in range(1, 8):
    for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
        broken(f"rsv.{rsv}.{NAMES[opcode]}", f"F07 reserved bits {rsv:03b} on a {NAMES[opcode]} frame without the extension", 1002, lambda link, o=opcode, r=rsv: link.frame(o, b"", rsv=r))
for form, length in ((16, 0), (16, 1), (16, 125), (64, 0), (64, 125), (64, 126), (64, 65535)):
    broken(f"length.{form}.{length}", f"F01 the length {length} in {form} bits", 1002, lambda link, f=form, n=length: link.binary(b"x" * n, form=f))
for name, length, code in (("top", 1 << 63, 1002), ("all", (1 << 64) - 1, 1002), ("most", (1 << 63) - 1, 1009),
                           ("62", 1 << 62, 1009), ("32", 1 << 32, 1009), ("31", 1 << 31, 1009), ("over", 16 * MIB + 1, 1009)):
    broken(f"length.{name}", f"F02 F03 F18 the length {length:#x}", code, lambda link, n=length: link.head(BINARY, n))
for opcode in (CLOSE, PING, PONG):
    broken(f"control.part.{NAMES[opcode]}", f"F09 a {NAMES[opcode]} with FIN 0", 1002, lambda link, o=opcode: link.frame(o, fin=False))
    for form, length in ((16, 126), (64, 65536)):
        broken(f"control.long.{NAMES[opcode]}.{form}", f"F09 a {NAMES[opcode]} of {length} bytes", 1002, lambda link, o=opcode, n=length: link.frame(o, b"\x03\xe8" + b"x" * (n - 2)))
for opcode in (TEXT, BINARY, CLOSE, PING, PONG):
    broken(f"unmasked.{NAMES[opcode]}", f"F05 a {NAMES[opcode]} without a mask", 1002, lambda link, o=opcode: link.frame(o, key=link.wrong_key()))
broken("unmasked.large", "F05 64 KiB without a mask", 1002, lambda link: link.binary(bytes(65536), key=link.wrong_key()))
broken("continuation.first", "F11 a continuation first", 1002, lambda link: link.frame(CONT, b"x"))
broken("continuation.open", "F11 a continuation with FIN 0 first", 1002, lambda link: link.frame(CONT, b"x", fin=False))
broken("interrupted.text", "F11 text inside a message", 1002, lambda link: link.text(b"a", fin=False) + link.text(b"b"))
broken("interrupted.binary", "F11 binary inside a message", 1002, lambda link: link.binary(b"a", fin=False) + link.binary(b"b"))
case("frames.with.request", "H20 F05 a bad frame behind the request",
     lambda target: target.open(behind=b"\x81\x01a").fails(1002))

BAD = {"c0": b"\xc0\x80", "c1": b"\xc1\xbf", "e0": b"\xe0\x80\x80", "e09f": b"\xe0\x9f\xbf", "surrogate": b"\xed\xa0\x80",
       "surrogate.low": b"\xed\xbf\xbf", "f0": b"\xf0\x80\x80\x80", "f08f": b"\xf0\x8f\xbf\xbf", "f490": b"\xf4\x90\x80\x80",
       "f5": b"\xf5\x80\x80\x80", "f8": b"\xf8\x88\x80\x80\x80", "fe": b"\xfe", "ff": b"\xff", "lone": b"\x80", "lone.bf": b"\xbf",
       "short2": b"\xc3a", "short3": b"\xe2\x82a", "short4": b"\xf0\x9f\x98a"}
for name, bad in BAD.items():
    broken(f"utf8.{name}", f"F15 F17 {bad.hex(' ')}", 1007, lambda link, b=bad: link.text(b"ok " + b + b" ok"))
    case(f"utf8.early.{name}", f"F15 {bad.hex(' ')} in a frame that does not end",
         lambda target, b=bad: early(target, b))
for name, cut in (("2", b"\xc3"), ("3", b"\xe2\x82"), ("4", b"\xf0\x9f\x98")):
    broken(f"utf8.cut.{name}", "F16 a code point cut at the end", 1007, lambda link, c=cut: link.text(b"ok " + c))
    broken(f"utf8.cut.empty.{name}", "F16 a code point cut, then an empty last fragment", 1007, lambda link, c=cut: link.fragments(TEXT, [c, b""]))


def early(target, bad):
    link = target.open()
    link.send(link.frame(TEXT, b"ok " + bad + b"x" * 100)[:6 + 3 + len(bad)])
    link.fails(1007)


def bad_at_each_byte(target):
    good = "aé€😀".encode() * 3
    for at in range(len(good)):
        link = target.open()
        link.send(link.text(good[:at] + b"\xff" + good[at + 1:]))
        link.fails(1007)
        link.close()


case("utf8.each", "F15 ff at each byte of a text", bad_at_each_byte, 256 * 1024)

# ---- closing

for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 32768, 65535):
    assert not valid_close_code(code)
    broken(f"close.code.{code}", f"K04 Close {code}", 1002, lambda link, c=code: link.close_frame(c))
broken("close.one", "K02 a Close of one byte", 1002, lambda link: link.frame(CLOSE, b"\x03"))
for name in ("ff", "surrogate", "c0", "short3"):
    broken(f"close.reason.{name}", "K06 a reason that is not UTF-8", 1007, lambda link, b=BAD[name]: link.close_frame(1000, b))
broken("close.reason.cut", "K06 a reason cut in a code point", 1007, lambda link: link.close_frame(1000, b"\xe2\x82"))


def closed_then(code, make, pieces=1, reset=False):
    """A good Close, and more behind it that is not looked at; the answer can still be read (K09, K15)."""
    def run(target):
        link = target.open()
        (link.send if reset else lambda data: send_on(link, data))(link.close_frame(code) + make(link) * pieces)
        link.expect_close(code)
        link.expect_eof(5, allow_reset=reset)
    return run


case("after.close", "K08 two Closes", closed_then(1000, lambda link: link.close_frame(1001)))
case("after.ping", "K09 F19 a ping after Close", closed_then(1001, lambda link: link.ping(b"x")))
case("after.text", "K09 a text after Close", closed_then(3000, lambda link: link.text(b"x")))
case("after.bad", "K09 a broken frame after Close", closed_then(1000, lambda link: b"\xff\xff\xff\xff"))
case("after.empty", "K01 K09 text after a Close without payload", closed_then(None, lambda link: link.text(b"x")))
case("after.much", "K15 8 MiB after Close", closed_then(1000, lambda link: b"x" * MIB, 8))
case("after.too.much", "K15 64 MiB after Close: dropped at 16 MiB", closed_then(1000, lambda link: b"x" * MIB, 64, True))


def failed_then_much(target):
    link = target.open()
    send_on(link, b"\xff" + b"x" * (8 * MIB))
    link.fails(1002)


def refused_then_much(target):
    link = target.dial()
    send_on(link, request(link, b"POST / HTTP/1.1") + b"x" * (8 * MIB))
    rejected(link, 405)
    link.expect_eof(2.5)


def close_inside(target):
    link = target.open()
    link.send(link.text(b"half", fin=False) + link.close_frame(1001))
    link.expect_close(1001)
    link.expect_end()


case("after.failure", "K14 K15 8 MiB after a broken frame", failed_then_much)
case("after.refusal", "K15 8 MiB after a refused request", refused_then_much)
case("close.inside", "F10 Close inside a message", close_inside)

# ---- floods

def empty_fragments(count):
    def run(target):
        link = target.open()
        link.send(head(BINARY, 0, fin=False, key=NO_KEY) + head(CONT, 0, fin=False, key=NO_KEY) * count, read=False)
        link.fails(1008)
    return run


def byte_fragments(target):
    link = target.open()
    link.send(head(TEXT, 1, fin=False, key=NO_KEY) + b"a" + (head(CONT, 1, fin=False, key=NO_KEY) + b"a") * 131_000, read=False)
    link.fails(1008)


def most_fragments(target):
    link = target.open()
    piece = head(CONT, 1, fin=False, key=NO_KEY) + b"a"
    link.send(head(TEXT, 1, fin=False, key=NO_KEY) + b"a" + piece * 60_000 + head(CONT, 0, key=NO_KEY))
    link.expect(TEXT, b"a" * 60_001)
    link.finish()


def push(link, data):
    """Send until nothing was taken for a second, without reading; how much of it was."""
    sent, until = 0, time.monotonic() + 1
    while sent < len(data) and time.monotonic() < until:
        try:
            sent += link.sock.send(data[sent:sent + MIB])
            until = time.monotonic() + 1
        except BlockingIOError:
            time.sleep(0.01)
    return sent


def ping_flood(target):
    """Nothing is read meanwhile: of the unanswered pings the latest must be answered, others may be (F19)."""
    link = target.open()
    data = memoryview((head(PING, 125, key=NO_KEY) + b"p" * 125) * 200_000)
    link.send(data[push(link, data):])
    link.send(link.ping(b"the last"))
    while True:
        opcode, payload = link.read("a pong")
        if opcode != PONG or payload not in (b"p" * 125, b"the last"):
            raise Failure(f"expected a pong, got {opcode} {payload!r}")
        if payload == b"the last":
            break
    link.finish()


def pong_flood(target):
    link = target.open()
    link.send((head(PONG, 5, key=NO_KEY) + b"nobdy") * 200_000)
    link.echo(TEXT, b"F20")
    link.finish()


def message_flood(target):
    """Small messages while nothing is drained: the server stops reading. Then each of them comes back."""
    link = target.open()
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)  # else it may grow until all answers fit
    data = memoryview((head(BINARY, 1000, key=NO_KEY) + b"m" * 1000) * 20_000)
    sent = push(link, data)
    if sent == len(data):
        raise Failure("the server takes 20 MB without getting rid of any answer")
    link.send(data[sent:])
    for _ in range(20_000):
        link.expect(BINARY, b"m" * 1000)
    link.finish()


def fragment_pings(target):
    link = target.open()
    part = head(CONT, 1, fin=False, key=NO_KEY) + b"f" + head(PING, 1, key=NO_KEY) + b"p"
    link.send(head(TEXT, 0, fin=False, key=NO_KEY) + part * 20_000 + head(CONT, 0, key=NO_KEY))
    link.expect(TEXT, b"f" * 20_000, pongs=(b"p",))
    link.finish()


def drip(target):
    link = target.open()
    link.send(link.text(b"d" * 1000), chop=1)
    link.expect(TEXT, b"d" * 1000)
    link.finish()


def cut_frames(target):
    """Half a frame, then the end, at each byte (K12): no Close, no echo, just the end."""
    for form in (b"seven bits", b"x" * 200):
        whole = target.open().text(form)
        for at in range(1, len(whole)):
            link = target.open()
            link.send(whole[:at])
            link.shutdown()
            link.expect_eof(2)
            link.close()


def declared(target):
    """100 connections announce 16 MiB and send a byte of it: nothing is held for what did not come (F04)."""
    for _ in range(100):
        link = target.open()
        link.send(link.head(BINARY, 16 * MIB) + b"x")
    link.quiet(0.2)


def largest(target):
    link = target.open()
    link.send(head(BINARY, 16 * MIB, key=NO_KEY) + bytes(16 * MIB))
    link.expect(BINARY, bytes(16 * MIB))
    link.finish()


def part_of_largest(size):
    """Some of a message of 16 MiB that never ends: at most twice of it is held."""
    def run(target):
        link = target.open()
        link.send(head(BINARY, 16 * MIB, key=NO_KEY) + bytes(size))
        link.quiet(0.3)
    return run


STEP = 64 * 1024
UNFINISHED_SLACK = 128 * 1024


def unfinished(link, process, opcode):
    """8 MiB in fragments of which none is the last: no sum is ever announced that could be a bound. The connection stays, and behind
    each of them the process has grown by at most twice of what came (F04)."""
    before = memory_of(process, "VmSize")
    for came in range(STEP, 8 * MIB + STEP, STEP):
        link.send(link.frame(opcode if came == STEP else CONT, bytes(STEP), fin=False) + link.ping(b"%d" % came))
        link.expect_pong(b"%d" % came)
        if (more := memory_of(process, "VmSize") - before) > 2 * came + UNFINISHED_SLACK:
            raise Failure(f"{more >> 10} KiB are held for {came >> 10} KiB that came")


def sum_over(target):
    link = target.open()
    link.send(head(BINARY, 8 * MIB, fin=False, key=NO_KEY) + bytes(8 * MIB) + head(CONT, 8 * MIB + 1, key=NO_KEY))
    link.fails(1009)


case("flood.empty", "F12 10^6 empty fragments", empty_fragments(1_000_000))
case("flood.bytes", "F12 131,000 fragments of one byte", byte_fragments, 2 * 131_000)
case("flood.most", "F12 60,001 fragments are a message", most_fragments, 4 * 60_001)
case("flood.pings", "F19 200,000 pings while nothing is drained", ping_flood,
     (MIB, 2 * MIB))  # pongs up to high_water; their queue doubles
case("flood.pongs", "F20 200,000 pongs", pong_flood)
case("flood.messages", "K15 20 MB of messages while nothing is drained", message_flood, 3 * MIB)
case("flood.fragments.pings", "F10 20,000 pings between fragments", fragment_pings, 2 * MIB)
case("drip", "F13 a message in segments of one byte", drip)
case("cut.frames", "K12 a frame that ends at each byte", cut_frames, 256 * 1024)
case("declared", "F04 100 times 16 MiB announced", declared, 100 * 8192)
case("largest", "F18 exactly the limit: the message and its answer", largest, 2 * 16 * MIB + 3 * MIB)
case("half.largest", "F04 8 MiB of a message that does not end", part_of_largest(8 * MIB), 2 * 8 * MIB)
case("part.largest", "F04 3 MiB of a message that does not end", part_of_largest(3 * MIB), 2 * 3 * MIB)
for opcode in (TEXT, BINARY):
    case(f"unfinished.{NAMES[opcode]}", f"F04 8 MiB of {NAMES[opcode]} in fragments of which none is the last",
         lambda target, o=opcode: unfinished(target.open(), target.process, o), 2 * 8 * MIB)
case("sum.over", "F18 a byte too many over two fragments", sum_over, 2 * 8 * MIB)

# ---- resets and storms

def reset(make):
    def run(target):
        link = target.dial()
        make(link)
        link.abort()
    return run


def reset_open(data):
    def run(target):
        link = target.open()
        link.send(data(link), read=False)
        link.abort()
    return run


def storm(count, act):
    def run(target):
        links = [act(target) for _ in range(count)]
        for link in links:
            link.close()
    return run


def open_and_close(target):
    link = target.open()
    link.send(link.close_frame(1000))
    link.expect_close(1000)
    return link


def dial_and_abort(target):
    link = target.dial()
    link.abort()
    return link


def half_head(target):
    link = target.dial()
    link.send(START)
    return link


case("reset.silent", "K12 a reset before any byte", reset(lambda link: None))
case("reset.head", "K12 a reset inside the head", reset(lambda link: link.send(START)))
case("reset.request", "K12 a reset behind the request", reset(lambda link: link.send(request(link))))
case("reset.open", "K12 a reset of an open connection", reset_open(lambda link: b""))
case("reset.frame", "K12 a reset inside a frame", reset_open(lambda link: link.text(b"x" * 100)[:50]))
case("reset.echo", "K12 a reset while 4 MiB come back", reset_open(lambda link: link.binary(bytes(4 * MIB))), 5 * 4 * MIB)
case("reset.close", "K12 a reset behind our Close", reset_open(lambda link: link.close_frame(1000)))
case("reset.failure", "K12 a reset behind a broken frame", reset_open(lambda link: b"\xff"))
case("storm.close", "K01 300 connections that close at once", storm(300, open_and_close), 2 * MIB)
case("storm.silent", "300 connections without a byte", storm(300, lambda target: target.dial()), MIB)
case("storm.heads", "300 half heads", storm(300, half_head), 2 * MIB)
case("storm.resets", "1,000 resets", storm(1000, dial_and_abort), MIB)
case("storm.open", "300 open connections that end without Close", storm(300, lambda target: target.open()), 2 * MIB)

# ---- permessage-deflate; `limited` takes messages of 70,000 bytes

def deflated(data, flush=zlib.Z_SYNC_FLUSH):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = packer.compress(data) + packer.flush(flush)
    return out[:-4] if flush == zlib.Z_SYNC_FLUSH else out


def as_fragments(link, data, step, between=b"", ends=True):
    """A compressed message in frames of `step` bytes; if it does not end, none of them is the last."""
    return b"".join(link.frame(CONT if at else BINARY, data[at:at + step], fin=ends and at + step >= len(data), rsv=0 if at else 4)
                    + between for at in range(0, len(data), step))


def without_end(data):
    return lambda link: as_fragments(link, data, 1000, ends=False)


@functools.cache
def zeros(size):
    """Compressed; half a gigabyte takes seconds, which would be of each link's deadline."""
    return deflated(bytes(size))


def bomb_of(size, fragments=1, pings=False):
    def make(link):
        data = zeros(size)
        return as_fragments(link, data, -(-len(data) // fragments), link.ping(b"tick") if pings else b"")
    return make


BOMBS = [  # (name, title, function that makes the bytes)
    ("", "D13 64 MiB of zeros in a frame", bomb_of(64 * MIB)),
    (".pings", "D13 D14 a bomb in fragments with pings between", bomb_of(64 * MIB, 50, True)),
    (".bytes", "D13 a bomb in fragments of a few bytes", bomb_of(64 * MIB, 20_000)),
    (".large", "D13 512 MiB of zeros: refused by its compressed size or while inflating", bomb_of(512 * MIB)),
    (".endless", "D13 a bomb whose last frame does not come", without_end(zeros(64 * MIB))),
    (".final", "D04 D13 2,000 final blocks of 32 KiB each", without_end(deflated(bytes(32768), zlib.Z_FINISH) * 2000)),
]
# Refused by F18's limit of compressed bytes: they make nothing, and hold nothing.
NOTHING = [
    ("", "D13 F18 a megabyte that inflates to nothing", without_end(b"\0\0\0\xff\xff" * 200_000)),
    (".final", "D04 D13 F18 a megabyte of final blocks that inflate to nothing", without_end(b"\3\0" * 500_000)),
]


def bomb_fails(link, make):
    """1009, behind nothing but pongs."""
    link.send(make(link))
    while True:
        opcode, payload = link.read("Close 1009")
        if opcode == CLOSE:
            break
        if (opcode, payload) != (PONG, b"tick"):
            raise Failure(f"expected a pong or Close, got {opcode} {payload[:20]!r}")
    if payload[:2] != close_payload(1009):
        raise Failure(f"expected Close 1009, got {payload!r}")
    if link.tested == "client":
        link.send(link.close_frame(1009))
    link.expect_end()


def bomb(make, limited=True):
    def run(target):
        link = target.dial(target.limited if limited else None)
        link.send(request(link, more=OFFER))
        accepted(link, extensions=False)
        bomb_fails(link, make)
    return run


LIMITED = 2 * 70_000 + 16 * 1024  # what a message of `limited` may hold, and a block
WINDOW = 64 * 1024 + 2 * 16 * 1024  # of the inflater
for name, title, make in BOMBS:
    case("bomb" + name, title, bomb(make), LIMITED + WINDOW, DEFLATE)
case("bomb.16", "D13 64 MiB against the limit of 16 MiB", bomb(bomb_of(64 * MIB), limited=False), 16 * MIB + 16 * 1024 + WINDOW, DEFLATE)
for name, title, make in NOTHING:
    case("bomb.nothing" + name, title, bomb(make), WINDOW, DEFLATE)


def far_distance(distance):
    """A literal, then a copy of three bytes from further back than there are any: fixed Huffman, distances 2 and 4."""
    bits = Bits().number(0, 1).number(1, 2).literal(0x61).code(1, 7)
    return bits.code(distance - 1, 5).end().number(0, 1).number(0, 2).data()


CORRUPT = {"type": b"\x06", "type.final": b"\x07", "stored": b"\x00\x05\x00\x05\x00hello", "rubbish": b"\xff" * 50,
           "huffman": b"\x04" + b"\xff" * 40, "distance.2": far_distance(2), "distance.4": far_distance(4),
           "final.rubbish": b"\x03\x00\x06"}
for name, data in CORRUPT.items():
    broken_compressed(f"corrupt.{name}", "D04 D12 what is not DEFLATE data", 1007, lambda link, d=data: link.binary(d, rsv=4))
    broken_compressed(f"corrupt.split.{name}", "D12 the same in fragments of a byte", 1007,
                      lambda link, d=data: as_fragments(link, d, 1, ends=False) + link.frame(CONT))
broken_compressed("corrupt.utf8", "F15 compressed text that is not UTF-8", 1007, lambda link: link.text(deflated(b"ok \xff ok"), rsv=4))
broken_compressed("deflate.empty", "D03 RSV1 without payload", 1007, lambda link: link.text(b"", rsv=4))
for rsv in (1, 2, 3, 5, 6, 7):
    broken_compressed(f"deflate.rsv.{rsv}", f"F07 reserved bits {rsv:03b} with the extension", 1002,
                      lambda link, r=rsv: link.text(deflated(b"x"), rsv=r))
for opcode in (CLOSE, PING, PONG):
    broken_compressed(f"deflate.{NAMES[opcode]}", f"F07 RSV1 on a {NAMES[opcode]}", 1002, lambda link, o=opcode: link.frame(o, rsv=4))
broken_compressed("deflate.continuation", "F07 RSV1 on a continuation", 1002,
                  lambda link: link.frame(TEXT, deflated(b"x"), fin=False, rsv=4) + link.frame(CONT, b"", rsv=4))

# ---- deadlines

def timed(start, step=b"", first=0.5):
    """A head that comes so slowly that it never ends: 408 after ten seconds (T01), not sooner."""
    def run(target):
        link = target.dial()
        began = time.monotonic()
        link.send(start)
        while time.monotonic() < began + 13 and not link.ended and not link.buffer:
            link.fill(time.monotonic() + first)
            if step and not link.buffer:
                link.send(step)
        rejected(link, 408)
        if not 9 < time.monotonic() - began < 12.5:
            raise Failure(f"the 408 came after {time.monotonic() - began:.1f} s")
    return run


def never_reads(link, message):
    """Who sends this again and again, and never reads the answers, is dropped when nothing was drained for 30 seconds (T07)."""
    data = memoryview(message)
    began = time.monotonic()
    sent = 0
    while time.monotonic() < began + 45:
        try:
            sent += link.sock.send(data[sent % len(data):][:MIB])
        except BlockingIOError:
            time.sleep(0.1)
        except OSError:
            if not 25 < time.monotonic() - began < 40:
                raise Failure(f"dropped after {time.monotonic() - began:.1f} s") from None
            return
    raise Failure("still connected after 45 s without reading")


case("slow.silent", "T01 a client that says nothing", timed(b""), into=SLOW)
case("slow.tls", "T01 H29 a TLS hello without a line end", lambda target: tls(target), into=SLOW)
case("slow.bytes", "T01 a byte every half second", timed(b"GET /", b"a"), into=SLOW)
case("slow.fields", "T01 a field every half second", timed(START, b"X: 1\r\n"), into=SLOW)
case("slow.reader", "T07 a client that never reads",
     lambda target: never_reads(target.open(), head(BINARY, 4 * MIB, key=NO_KEY) + bytes(4 * MIB)), into=SLOW)


def tls(target):
    link = target.dial()
    link.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500).replace(b"\n", b"x").replace(b"\r", b"x"))
    rejected(link, (400, 408))
