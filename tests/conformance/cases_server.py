"""Cases for a server: the opening handshake as rules H01 to H35 have it, and load that only a client can put on."""

import base64
import os
import random
import re
import select
import socket
import time

import cases_both
from cases_both import MIB, blob
from peer import Link, Peer
from wire import BINARY, CONT, PING, PONG, TEXT, Failure, accept_for, show

CASES = []  # (id, title, function of a Target, seconds)
LIMIT = 70000  # of the second server, whose messages are limited and which speaks the subprotocol below
SUBPROTOCOL = b"chat.v2"
KEY = b"AQIDBAUGBwgJCgsMDQ4PEA=="


def case(name, title, function, seconds=10):
    CASES.append((name, title, function, seconds))


class Target:
    """Where the servers under test listen, and how to open connections to them."""

    def __init__(self, address, limited, timeout):
        self.address = address
        self.limited = limited
        self.timeout = timeout
        self.links = []

    def dial(self, which=None):
        try:
            sock = socket.create_connection(which or self.address, self.timeout)
        except OSError as problem:
            raise Failure(f"cannot connect: {problem}") from None
        link = Peer(sock, self.timeout, "server")
        self.links.append(link)
        return link

    def open(self, which=None, fields=(), behind=b""):
        """An open connection with the usual handshake, `behind` sent in the segment of the request."""
        peer = self.dial(which)
        key = base64.b64encode(os.urandom(16))
        peer.send(request(peer, key=key, more=fields) + behind)
        peer.response = accepted(peer, key)
        return peer

    def close(self):
        for link in self.links:
            link.close()


def host_of(link):
    return b"%s:%d" % (link.sock.getpeername()[0].encode(), link.sock.getpeername()[1])


def lines_of(link, key=KEY):
    """The fields of a usual request, in the order of rule H31's table, to be changed by name."""
    return {"Host": host_of(link), "Upgrade": b"websocket", "Connection": b"Upgrade", "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": b"13"}


def request(link, line=b"GET /chat?room=1 HTTP/1.1", *, key=KEY, more=(), **changes):
    """A request; `Sec_WebSocket_Key=None` leaves a field out, another value replaces it, a list repeats it. `more` are whole
    lines."""
    fields = lines_of(link, key)
    for name, value in changes.items():
        fields[name.replace("_", "-")] = value
    out = [line]
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            out.append(name.encode() + b": " + one)
    return b"\r\n".join(out + list(more)) + b"\r\n\r\n"


def sane(response):
    """What every response must keep to (H17, RFC 9110 section 6.6.1 and 9112)."""
    for name, value in response.fields:
        if not value and name.startswith("sec-websocket"):
            raise Failure(f"the response has an empty {name}")
    for name in ("content-length", "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"):
        if len(response.all(name)) > 1:
            raise Failure(f"the response has {name} more than once")


def accepted(link, key=KEY, protocol=None, extensions=None):
    """The 101 that must come: section 4.2.2. `extensions` None: none may be answered; False: the caller looks."""
    response = link.take_head("a 101 response")
    if not re.fullmatch(rb"HTTP/1\.1 101 [\t \x21-\x7e\x80-\xff]*", response.start):
        raise Failure(f"expected HTTP/1.1 101, got {show(response.start, 60)}")
    sane(response)
    if response.one("upgrade").lower() != b"websocket":
        raise Failure(f"the 101 has Upgrade: {show(response.one('upgrade'))}")
    if b"upgrade" not in response.tokens("connection"):
        raise Failure("the 101 has no upgrade token in Connection")
    if response.one("sec-websocket-accept") != accept_for(key):
        raise Failure(f"expected the accept value {show(accept_for(key), 40)}, got {show(response.one('sec-websocket-accept'), 40)}")
    if response.all("sec-websocket-protocol") != ([protocol] if protocol else []):
        raise Failure(f"expected the subprotocol {protocol}, got {response.all('sec-websocket-protocol')}")
    if extensions is None and response.all("sec-websocket-extensions"):
        raise Failure(f"no extension was expected, got {response.all('sec-websocket-extensions')}")
    for name in ("content-length", "transfer-encoding"):
        if response.all(name):
            raise Failure(f"the 101 has {name} (RFC 9110 section 8.6, 9112 section 6.1)")
    return response


def rejected(link, status, body=True):
    """The response that refuses: its status and the fields that belong to it, a short body, then the end."""
    wanted = status if isinstance(status, tuple) else (status,)
    response = link.take_head(f"a {' or '.join(map(str, wanted))} response")
    match = re.fullmatch(rb"HTTP/1\.1 (\d\d\d) [\t \x21-\x7e\x80-\xff]*", response.start)
    if not match:
        raise Failure(f"not a status line: {show(response.start, 60)}")
    got = int(match[1])
    if got not in wanted:
        raise Failure(f"expected status {' or '.join(map(str, wanted))}, got {show(response.start, 60)}")
    sane(response)
    if b"close" not in response.tokens("connection"):
        raise Failure(f"the {got} has no Connection: close")
    if response.all("sec-websocket-accept"):
        raise Failure(f"the {got} has a Sec-WebSocket-Accept")
    if got == 426 and (response.tokens("upgrade") != [b"websocket"] or b"upgrade" not in response.tokens("connection")):
        raise Failure("the 426 lacks Upgrade: websocket and Connection: Upgrade, close")
    if got == 405 and response.one("allow") != b"GET":
        raise Failure("the 405 lacks Allow: GET")
    if not body:
        link.fill()
        link.buffer.clear()
        return response
    length = response.one("content-length")
    if not re.fullmatch(rb"\d{1,4}", length) or not 3 <= int(length) <= 1000:
        raise Failure(f"the {got} has Content-Length {show(length)}, a short body was expected")
    if not response.one("content-type").lower().startswith(b"text/plain"):
        raise Failure(f"the {got} has Content-Type {show(response.one('content-type'))}")
    link.take(int(length), f"{int(length)} bytes of body")
    return response


def accepts(make, protocol=None, limited=False, key=KEY):
    """The request is accepted and the connection works."""
    def run(target):
        link = target.dial(target.limited if limited else None)
        link.send(make(link))
        accepted(link, key, protocol)
        link.echo(TEXT, b"it works")
        link.finish()
    return run


def rejects(make, status, limited=False, check=None, chop=0, body=True):
    """The request is rejected, the connection ends, and what stands behind the request is not echoed."""
    def run(target):
        link = target.dial(target.limited if limited else None)
        link.send(make(link) + link.text(b"behind the request"), chop=chop)
        response = rejected(link, status, body)
        if check:
            check(response)
        link.expect_eof(2.5)
    return run


def req(*args, **rest):
    return lambda link: request(link, *args, **rest)


def more(*lines):
    return req(more=lines)


def version_named(response):
    if response.one("sec-websocket-version") != b"13":
        raise Failure("the 426 lacks Sec-WebSocket-Version: 13")


# H01, H02, H29, H21, H22: the request line.

for method in (b"POST", b"PUT", b"OPTIONS", b"DELETE", b"CONNECT", b"get", b"GETS", b"BREW"):
    case(f"handshake.method.{method.decode()}", f"H01 method {method.decode()}",
         rejects(req(method + b" / HTTP/1.1"), 405))
case("handshake.method.HEAD", "H01 method HEAD", rejects(req(b"HEAD / HTTP/1.1"), 405, body=False))
case("handshake.version.1.0", "H02 HTTP/1.0 with Upgrade", rejects(req(b"GET / HTTP/1.0"), 400))
case("handshake.version.0.9", "H02 H29 HTTP/0.9", rejects(req(b"GET / HTTP/0.9"), (400, 505)))
for version in (b"2.0", b"3.0", b"9.9"):
    case(f"handshake.version.{version.decode()}", "H29 another major version",
         rejects(req(b"GET / HTTP/" + version), 505))
for label, line in (("none", b"GET /"), ("method.only", b"GET"), ("target.missing", b"GET HTTP/1.1"),
                    ("empty.target", b"GET  HTTP/1.1"),
                    ("two.spaces.before", b"GET  / HTTP/1.1"), ("two.spaces.after", b"GET /  HTTP/1.1"),
                    ("tab", b"GET\t/ HTTP/1.1"),
                    ("space.end", b"GET / HTTP/1.1 "), ("space.start", b" GET / HTTP/1.1"),
                    ("lower", b"GET / http/1.1"),
                    ("digits", b"GET / HTTP/1.10"), ("no.dot", b"GET / HTTP/11"), ("short", b"GET / HTTP/1."),
                    ("long", b"GET / HTTP/1.1.1"),
                    ("letters", b"GET / HTTP/a.b"), ("ftp", b"GET / FTP/1.1"), ("four.words", b"GET / x HTTP/1.1"),
                    ("method.bad", b"G@T / HTTP/1.1"),
                    ("method.empty", b"/ HTTP/1.1"), ("fragment", b"GET /a#b HTTP/1.1"), ("nul", b"GET /a\0b HTTP/1.1"),
                    ("control", b"GET /a\x1fb HTTP/1.1"), ("del", b"GET /a\x7fb HTTP/1.1"),
                    ("utf8", "GET /ä HTTP/1.1".encode()),
                    ("relative", b"GET chat HTTP/1.1"), ("asterisk", b"GET * HTTP/1.1"),
                    ("authority", b"GET localhost:80 HTTP/1.1"),
                    ("query.only", b"GET ?a=b HTTP/1.1")):
    case(f"handshake.line.{label}", f"H29 the request line {show(line)}", rejects(req(line), 400))
for label, target_ in (("root", b"/"), ("query", b"/chat?a=b&c=/d?e"), ("escapes", b"/%F0%9F%92%A9/%00?%23"),
                       ("double", b"//x//y"),
                       ("absolute.ws", b"ws://example.com/chat"),
                       ("absolute.http", b"http://example.com:8080/chat?x"), ("absolute.bare", b"ws://example.com"),
                       ("absolute.upper", b"WS://EXAMPLE.com/")):
    case(f"handshake.target.{label}", f"H28 H29 the target {show(target_, 40)}",
         accepts(req(b"GET " + target_ + b" HTTP/1.1")))
case("handshake.crlf.one", "H21 an empty line before the request line", accepts(lambda p: b"\r\n" + request(p)))
case("handshake.crlf.two", "H21 two empty lines before the request line",
     rejects(lambda p: b"\r\n\r\n" + request(p), 400))
case("handshake.lf.all", "H22 bare LF everywhere", rejects(lambda p: request(p).replace(b"\r\n", b"\n"), 400))
case("handshake.lf.line", "H22 the request line ends with a bare LF",
     rejects(lambda p: request(p).replace(b"\r\n", b"\n", 1), 400))
case("handshake.lf.field", "H22 a field ends with a bare LF",
     rejects(lambda p: request(p).replace(b"websocket\r\n", b"websocket\n"), 400))
case("handshake.lf.last", "H22 the last line is a bare LF", rejects(lambda p: request(p)[:-2] + b"\n", 400))
case("handshake.cr.line", "H22 a bare CR in the request line", rejects(req(b"GET /a\rb HTTP/1.1"), 400))
case("handshake.cr.value", "H22 a bare CR in a value", rejects(more(b"X-A: b\rc"), 400))
case("handshake.cr.field", "H22 a field ends with a bare CR",
     rejects(lambda p: request(p).replace(b"websocket\r\n", b"websocket\r"), 400))
case("handshake.cr.twice", "H22 CR CR LF", rejects(more(b"X-A: b\r"), 400))

# H03 to H05: Connection and Upgrade.

for label, value in (("lower", b"upgrade"), ("upper", b"UPGRADE"), ("list", b"keep-alive, Upgrade"),
                     ("list.first", b"Upgrade,keep-alive"),
                     ("empty.members", b", ,keep-alive,,\tUpgrade ,"), ("lines", [b"keep-alive", b"Upgrade"]),
                     ("lines.three", [b"a", b"", b"b,UpGrAdE , c"]), ("spaces", b"  \t Upgrade \t ")):
    case(f"handshake.connection.{label}", f"H03 Connection: {value!r}", accepts(req(Connection=value)))
for label, value in (("missing", None), ("not", b"not-upgrade"), ("suffix", b"upgrades"), ("keepalive", b"keep-alive"),
                     ("quoted", b'"upgrade"'),
                     ("joined", b"keep-alive upgrade"), ("empty", b""), ("semicolon", b"keep-alive;upgrade")):
    case(f"handshake.connection.bad.{label}", f"H04 H04b Connection: {value!r}", rejects(req(Connection=value), 400))
for label, value in (("case", b"WebSocket"), ("upper", b"WEBSOCKET"), ("list", b"h2c, websocket"),
                     ("lines", [b"h2c", b"websocket"]),
                     ("empty.members", b",websocket,,"), ("first", b"websocket,h2c")):
    case(f"handshake.upgrade.{label}", f"H05 Upgrade: {value!r}", accepts(req(Upgrade=value)))
for label, value in (("missing", None), ("prefix", b"xwebsocket"), ("suffix", b"websockets"), ("h2c", b"h2c"),
                     ("empty", b""),
                     ("dash", b"not-websocket"), ("space", b"web socket"), ("joined", b"h2c websocket")):
    case(f"handshake.upgrade.bad.{label}", f"H04 H04b Upgrade: {value!r}", rejects(req(Upgrade=value), 426))
case("handshake.plain", "H04b a plain GET without any WebSocket field",
     rejects(lambda p: b"GET / HTTP/1.1\r\nHost: " + host_of(p) + b"\r\n\r\n", 426))

# H06: Host.

for label, value in (("name", b"example.com"), ("name.port", b"example.com:8080"), ("upper", b"EXAMPLE.com"),
                     ("ipv4", b"192.0.2.1:80"),
                     ("ipv6", b"[2001:db8::1]"), ("ipv6.port", b"[::1]:8080"), ("localhost", b"localhost"),
                     ("under", b"a_b.example")):
    case(f"handshake.host.{label}", f"H06 Host: {value!r}", accepts(req(Host=value)))
for label, value in (("missing", None), ("doubled", [b"example.com", b"example.com"]),
                     ("two", [b"a.example", b"b.example"]), ("empty", b""),
                     ("space", b"a b"), ("path", b"example.com/path"), ("user", b"user@example.com"),
                     ("list", b"a.example, b.example"),
                     ("port.letters", b"example.com:http"), ("bracket", b"[::1"), ("bracket.only", b"[]"),
                     ("colons", b"::1"),
                     ("url", b"http://example.com"), ("query", b"example.com?x"), ("hash", b"example.com#x"),
                     ("backslash", b"a\\b"), ("percent", b"a%zz"), ("utf8", "bücher.example".encode()),
                     ("port.sign", b"example.com:+80")):
    case(f"handshake.host.bad.{label}", f"H06 Host: {value!r}", rejects(req(Host=value), 400))

# H07 to H10: key and version.

case("handshake.key.rfc", "H09 the RFC's sample key", accepts(req(key=b"dGhlIHNhbXBsZSBub25jZQ=="),
    key=b"dGhlIHNhbXBsZSBub25jZQ=="))
for label, key in (("padbits.C", b"AQIDBAUGBwgJCgsMDQ4PEC=="), ("padbits.B", b"AAAAAAAAAAAAAAAAAAAAAB=="),
                   ("plus", b"++++////++++////++++/w=="),
                   ("zero", b"AAAAAAAAAAAAAAAAAAAAAA==")):
    case(f"handshake.key.{label}", "H08 H09 the accept value is taken over the key's own text",
         accepts(req(key=key), key=key))
case("handshake.key.ows", "H09 white space around the key is no part of it",
     accepts(req(Sec_WebSocket_Key=b" \t " + KEY + b"\t  ")))
for label, value in (("missing", None), ("doubled", [KEY, KEY]), ("empty", b""), ("short", base64.b64encode(b"x" * 15)),
                     ("long", base64.b64encode(b"x" * 17)), ("eighteen", base64.b64encode(b"x" * 18)),
                     ("unpadded", KEY[:-2]), ("one.pad", KEY[:-1]),
                     ("three.pads", KEY[:-3] + b"==="), ("urlsafe", b"__" + KEY[2:]), ("dash", b"-" + KEY[1:]),
                     ("inner.space", KEY[:5] + b" " + KEY[6:]),
                     ("inner.pad", KEY[:10] + b"=" + KEY[11:]), ("text", b"not base64 at all"),
                     ("list", KEY + b", " + KEY), ("quoted", b'"' + KEY + b'"'),
                     ("trailing", KEY + b"x"), ("latin1", KEY[:5] + b"\xe4" + KEY[6:]), ("1000", b"A" * 1000)):
    case(f"handshake.key.bad.{label}", f"H07 Sec-WebSocket-Key: {show(value, 40) if isinstance(value, bytes) else value}",
         rejects(req(Sec_WebSocket_Key=value), 400))
for label, value in (("12", b"12"), ("14", b"14"), ("0", b"0"), ("8", b"8"), ("7", b"7"), ("113", b"113"), ("1", b"1"),
                     ("255", b"255")):
    case(f"handshake.swv.{label}", f"H10 Sec-WebSocket-Version: {label}", rejects(req(Sec_WebSocket_Version=value), 426,
        check=version_named))
case("handshake.swv.missing", "H10 no Sec-WebSocket-Version", rejects(req(Sec_WebSocket_Version=None), 400))
case("handshake.swv.doubled", "H10 Sec-WebSocket-Version twice", rejects(req(Sec_WebSocket_Version=[b"13", b"13"]),
    400))
case("handshake.swv.ows", "H10 white space around the version", accepts(req(Sec_WebSocket_Version=b" \t13\t ")))

# H11 to H13, H32: subprotocols; the second server speaks one.

for label, lines in (("one", [SUBPROTOCOL]), ("last", [b"a, b, " + SUBPROTOCOL]), ("first", [SUBPROTOCOL + b",a,b"]),
                     ("lines", [b"a", b"b", SUBPROTOCOL]),
                     ("lines.mixed", [b"a,b", b"c , " + SUBPROTOCOL]),
                     ("empty.members", [b", ,a,," + SUBPROTOCOL + b",\t,"]), ("tight", [b"a,b," + SUBPROTOCOL]),
                     ("wide", [b" a \t,\t b , " + SUBPROTOCOL + b" "]), ("empty.line", [b"", SUBPROTOCOL])):
    case(f"handshake.protocol.{label}", f"H11 H12 H13 Sec-WebSocket-Protocol: {lines}",
         accepts(req(Sec_WebSocket_Protocol=lines), SUBPROTOCOL, limited=True))
case("handshake.protocol.none.offered", "H17 no subprotocol offered, none answered", accepts(req(), limited=True))
case("handshake.protocol.none.wanted", "H17 subprotocols offered to a server without any",
     accepts(req(Sec_WebSocket_Protocol=b"a, b")))
for label, value in (("space", b"a b"), ("slash", b"a/b"), ("quoted", b'"a"'), ("semicolon", b"a;b"), ("at", b"a@b"),
                     ("utf8", "ä".encode()), ("colon", b"a:b"),
                     ("doubled", b"a, b, a"), ("doubled.lines", [b"a, b", b"c, a"]), ("empty", b""), ("commas", b", ,"),
                     ("lines.empty", [b"", b""])):
    case(f"handshake.protocol.bad.{label}", f"H13 H32 Sec-WebSocket-Protocol: {value!r}",
         rejects(req(Sec_WebSocket_Protocol=value), 400, limited=True))

# H15 to H17: the grammar of extensions; nothing here can be negotiated.

for label, value in (("unknown", b"x-unknown"), ("params", b"foo; a; b=1; c=\"x\""),
                     ("quoted.comma", b'foo; a="b, c; d"'), ("list", b"foo, bar; x, baz"),
                     ("quoted.escape", b'foo; a="x\\"y\\\\"'), ("empty.members", b", foo,,bar ,"),
                     ("lines", [b"foo; a", b"bar"]), ("tight", b"foo;a=1;b,bar;c"),
                     ("quoted.empty", b'foo; a=""'), ("inside.quotes", b'foo; a="x, permessage-deflate"'),
                     ("frame", b"x-webkit-deflate-frame")):
    case(f"handshake.extension.{label}", f"H12 H15 H17 Sec-WebSocket-Extensions: {value!r}",
         accepts(req(Sec_WebSocket_Extensions=value)))
for label, value in (("no.name", b"; a=1"), ("two.words", b"foo bar"), ("no.parameter", b"foo;"),
                     ("no.parameter.name", b"foo; =1"), ("no.value", b"foo; a="),
                     ("unterminated", b'foo; a="b'), ("quote.end", b'foo; a="b\\'), ("slash", b"fo/o"),
                     ("quoted.name", b'"foo"'), ("after.quotes", b'foo; a="b"c'),
                     ("double.semicolon", b"foo;; a"), ("double.equals", b"foo; a==1"), ("behind.good", b"foo, bar; ="),
                     ("empty", b""), ("commas", b",, ,")):
    case(f"handshake.extension.bad.{label}", f"H16b H32 Sec-WebSocket-Extensions: {value!r}",
         rejects(req(Sec_WebSocket_Extensions=value), 400))

# H19: a body.

case("handshake.body.length", "H19 Content-Length: 5", rejects(more(b"Content-Length: 5"), 400))
case("handshake.body.chunked", "H19 Transfer-Encoding: chunked", rejects(more(b"Transfer-Encoding: chunked"), 400))
case("handshake.body.huge", "H19 Content-Length beyond 64 bits", rejects(more(b"Content-Length: 18446744073709551616"),
    400))
case("handshake.body.zero", "H19 Content-Length: 0 is no body", accepts(more(b"Content-Length: 0")))

# H20: bytes behind the request.


def frames_behind(size, count=1):
    def run(target):
        link = target.dial()
        data = blob(size)
        link.send(request(link) + b"".join(link.binary(data) for _ in range(count)) + link.ping(b"early"))
        accepted(link)
        for _ in range(count):
            link.expect_binary(data)
        link.expect_pong(b"early")
        link.finish()
    return run


case("handshake.behind.small", "H20 a small frame in the request's segment", frames_behind(5))
case("handshake.behind.many", "H20 100 frames in the request's segment", frames_behind(100, 100))
case("handshake.behind.large", "H20 a frame of 100,000 bytes in the request's segment", frames_behind(100000))


def half_frame_behind(target):
    link = target.dial()
    frame = link.text(b"begun before the 101")
    link.send(request(link) + frame[:7])
    accepted(link)
    link.send(frame[7:])
    link.expect_text(b"begun before the 101")
    link.finish()


def close_behind(target):
    link = target.dial()
    link.send(request(link) + link.text(b"all at once") + link.close_frame(1001))
    accepted(link)
    link.expect_text(b"all at once")
    link.expect_close(1001)
    link.expect_end()


def error_behind(target):
    link = target.dial()
    link.send(request(link) + link.text(b"\xff") + link.text(b"x"))
    accepted(link)
    link.fails(1007)


case("handshake.behind.half", "H20 half a frame in the request's segment, the rest later", half_frame_behind)
case("handshake.behind.close", "H20 a message and a Close in the request's segment", close_behind)
case("handshake.behind.error", "H20 bad text in the request's segment: the 101, then Close 1007", error_behind)

# H22 to H27, H30, H34: fields.

for label, line in (("fold", b"X-A: b\r\n c"), ("fold.tab", b"X-A: b\r\n\tc"), ("colon.space", b"X-A : b"),
                    ("colon.tab", b"X-A\t: b"), ("no.name", b": b"),
                    ("no.colon", b"X-A b"), ("name.space", b"X A: b"), ("name.paren", b"X(A): b"),
                    ("name.utf8", "X-ä: b".encode()), ("name.nul", b"X\0A: b"),
                    ("space.first", b" X-A: b")):
    case(f"handshake.field.bad.{label}", f"H23 H24 the field {show(line)}", rejects(more(line, b"X-Last: 1"), 400))
case("handshake.field.bad.fold.first", "H23 a folded line right behind the request line",
     rejects(lambda p: request(p).replace(b"\r\n", b"\r\n X-A: b\r\n", 1), 400))
for byte in (0, 1, 7, 8, 11, 12, 14, 27, 31, 127):
    case(f"handshake.value.bad.{byte:02x}", f"H25 byte {byte:02x} in a value",
         rejects(more(b"X-A: b" + bytes([byte]) + b"c"), 400))
case("handshake.value.tab", "H25 a tab inside a value", accepts(more(b"X-A: b\tc")))
case("handshake.value.obs", "H25 bytes 80 to ff in a value", accepts(more(b"X-A: " + bytes(range(128, 256)))))
case("handshake.value.empty", "H25 an empty value of an unknown field", accepts(more(b"X-A:", b"X-B: \t ")))
case("handshake.value.tight", "H27 no space behind the colon", accepts(lambda p: request(p).replace(b": ", b":")))
case("handshake.name.lower", "H27 field names in lower case", accepts(
    lambda p: b"\r\n".join(re.sub(rb"^[A-Za-z-]+(?=: )", lambda m: m[0].lower(), line)
                           for line in request(p).split(b"\r\n"))))
case("handshake.name.upper", "H27 field names in upper case", accepts(
    lambda p: b"\r\n".join(re.sub(rb"^[A-Za-z-]+(?=: )", lambda m: m[0].upper(), line)
                           for line in request(p).split(b"\r\n"))))
case("handshake.name.marks", "H24 a field name of every token character", accepts(more(b"!#$%&'*+-.^_`|~09azAZ: x")))
case("handshake.order", "H27 the fields in reverse order", accepts(
    lambda p: b"\r\n".join([(r := request(p).split(b"\r\n"))[0]] + r[-3:0:-1] + [b"", b""])))
case("handshake.origin", "H34 an Origin, and what else a browser sends", accepts(more(
    b"Origin: https://example.com", b"Pragma: no-cache", b"Cache-Control: no-cache",
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
    b"Accept-Encoding: gzip, deflate, br", b"Accept-Language: de,en;q=0.9", b"Sec-Fetch-Mode: websocket")))
case("handshake.origin.null", "H34 Origin: null", accepts(more(b"Origin: null")))
case("handshake.origin.doubled", "H30 Origin twice",
     rejects(more(b"Origin: https://a.example", b"Origin: https://b.example"), 400))

# H26: sizes.


def line_of(size):
    """A request line of this many bytes, its CRLF not counted."""
    return b"GET /" + b"t" * (size - 14) + b" HTTP/1.1"


def head_of(size):
    """A request whose head has this many bytes, in fields of at most 4 KiB."""
    def make(link):
        lines = []
        while (left := size - len(request(link, more=lines))) > 0:
            room = min(left, 4096) if left - min(left, 4096) == 0 or left - 4096 >= 64 else left - 64
            lines.append(b"X-%02d: " % len(lines) + b"v" * (room - 8))
        assert len(request(link, more=lines)) == size
        return request(link, more=lines)
    return make


def unfinished(make, status):
    """What is over a limit is refused before the head ends."""
    def run(target):
        link = target.dial()
        link.send(make(link))
        rejected(link, status)
        link.expect_eof(2.5)
    return run


case("handshake.size.line", "H26 a request line just under 8,192 bytes", accepts(req(line_of(8190))))
case("handshake.size.line.over", "H26 a request line of 8,200 bytes", rejects(req(line_of(8200)), 414))
case("handshake.size.line.early", "H26 a request line without end fails as its limit is passed",
     unfinished(lambda p: b"GET /" + b"t" * 8300, 414))
case("handshake.size.line.method", "H26 a method without end", unfinished(lambda p: b"G" * 8300, (400, 405, 414)))
case("handshake.size.cookie", "H26 a cookie of 4,096 bytes", accepts(more(b"Cookie: session=" + b"c" * 4096)))
case("handshake.size.cookies", "H26 three cookies of 4,096 bytes", accepts(more(*[b"Cookie: c=" + b"c" * 4096] * 3)))
case("handshake.size.head", "H26 a head of 16,384 bytes", accepts(head_of(16384)))
case("handshake.size.head.over", "H26 a head of 16,500 bytes", rejects(head_of(16500), 431))
case("handshake.size.head.early", "H26 a field without end fails as the limit is passed",
     unfinished(lambda p: request(p)[:-2] + b"X-A: " + b"v" * 17000, 431))
case("handshake.size.head.name", "H26 a field name without end", unfinished(lambda p: request(p)[:-2] + b"n" * 17000,
    431))
case("handshake.size.head.mebibyte", "H26 K15 a head of 1 MiB: the 431 can be read, without a reset",
     rejects(more(*[b"X-A: " + b"v" * 8000] * 131), 431))
case("handshake.fields.100", "H26 exactly 100 fields", accepts(more(*[b"X-%d: x" % i for i in range(95)])))
case("handshake.fields.101", "H26 101 fields", rejects(more(*[b"X-%d: x" % i for i in range(96)]), 431))
case("handshake.fields.1000", "H26 1,000 fields", rejects(more(*[b"X:" for i in range(995)]), 431))

# H31: the first of several errors, in the table's order.

for label, make, status in (
        ("version.method", req(b"POST / HTTP/1.0"), 400), ("major.method", req(b"POST / HTTP/2.0", Host=None), 505),
        ("method.host", req(b"POST / HTTP/1.1", Host=None), 405),
        ("method.swv", req(b"POST / HTTP/1.1", Sec_WebSocket_Version=b"8"), 405),
        ("method.body", req(b"POST / HTTP/1.1", more=[b"Content-Length: 3"]), 405),
        ("host.upgrade", req(Host=None, Upgrade=None), 400),
        ("body.upgrade", req(Upgrade=None, more=[b"Content-Length: 3"]), 400),
        ("upgrade.connection", req(Upgrade=None, Connection=None), 426),
        ("upgrade.key", req(Upgrade=b"h2c", Sec_WebSocket_Key=None), 426),
        ("connection.swv", req(Connection=None, Sec_WebSocket_Version=b"8"), 400),
        ("swv.key", req(Sec_WebSocket_Version=b"8", Sec_WebSocket_Key=None), 426),
        ("swv.extension", req(Sec_WebSocket_Version=b"8", Sec_WebSocket_Extensions=b";"), 426),
        ("swv.protocol", req(Sec_WebSocket_Version=b"8", Sec_WebSocket_Protocol=b"a, a"), 426),
        ("grammar.method", req(b"POST / HTTP/1.1", more=[b"X : y"]), 400),
        ("grammar.swv", req(Sec_WebSocket_Version=b"8", more=[b"X: \x01"]), 400),
        ("limit.swv", req(Sec_WebSocket_Version=b"8", more=[b"X: x"] * 100), 431)):
    case(f"handshake.order.{label}", "H31 two rules broken: which is reported", rejects(make, status))


def same_at_every_split(make, status):
    """H31, F13: a doubly broken request, cut at every byte."""
    def run(target):
        whole = len(make(target.dial()))
        for cut in range(1, whole, 3):
            link = target.dial()
            data = make(link)
            link.send(data[:cut])
            time.sleep(0.0005)
            link.send(data[cut:])
            rejected(link, status)
            link.expect_eof(2.5)
            link.close()
    return run


case("handshake.order.splits", "H31 F13 POST without Host, cut at every third byte, is always 405",
     same_at_every_split(req(b"POST / HTTP/1.1", Host=None), 405), 20)


def split_everywhere(target):
    size = len(request(target.dial()))
    for cut in range(1, size + 9):
        link = target.dial()
        data = request(link) + link.text(b"hi")
        link.send(data[:cut])
        time.sleep(0.0005)
        link.send(data[cut:])
        accepted(link)
        link.expect_text(b"hi")
        link.close()


case("handshake.split.two", "H20 F13 a request and a frame, cut in two at every byte", split_everywhere, 20)


def bytewise(target):
    link = target.dial()
    link.send(request(link) + link.text(b"slowly"), chop=1, pause=0.0005)
    accepted(link)
    link.expect_text(b"slowly")
    link.finish()


case("handshake.split.bytes", "H20 F13 a request and a frame, one byte at a time", bytewise)
case("handshake.split.rejected", "F13 a request that is rejected, one byte at a time",
     rejects(req(Sec_WebSocket_Version=b"8"), 426, check=version_named, chop=1))


def partial_head(target):
    link = target.dial()
    link.send(request(link)[:-10])
    link.shutdown()
    link.expect_eof(2.5)


def nothing_at_all(target):
    link = target.dial()
    link.shutdown()
    link.expect_eof(2.5)


case("handshake.eof.inside", "K12 EOF inside the request", partial_head)
case("handshake.eof.empty", "K12 EOF before the request", nothing_at_all)
case("handshake.tls", "H29 a TLS greeting instead of a request", rejects(
    lambda p: bytes.fromhex("16030100c8010000c40303") + bytes(range(200)), 400))
case("handshake.preface", "H29 the preface of HTTP/2", rejects(lambda p: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    (400, 505)))
case("handshake.frame.first", "H29 a frame instead of a request",
     rejects(lambda p: p.text(b"no handshake\r\n\r\n", key=b"abcd"), 400))


def garbage_head(target):
    rng = random.Random(7)
    for _ in range(100):
        link = target.dial()
        link.send(rng.randbytes(rng.randrange(1, 300)).replace(b"\r", b"") + b"\r\n\r\n")
        rejected(link, (400, 405, 414, 431, 505))
        link.expect_eof(2.5)
        link.close()


case("handshake.garbage", "H29 100 random requests are rejected", garbage_head)

# Masking keys and frames that only a client writes.


def with_key(key):
    def run(target):
        link = target.open()
        for size in (0, 1, 3, 4, 5, 125, 126, 65536):
            for chop in (0, 1) if size < 1000 else (0, 997):
                link.send(link.binary(blob(size), key=key), chop=chop)
                link.expect_binary(blob(size))
        link.send(link.fragments(TEXT, [b"one", b"two", b"three"], key=key) + link.ping(b"ping", key=key))
        link.expect_text(b"onetwothree")
        link.expect_pong(b"ping")
        link.send(link.close_frame(1000, key=key))
        link.expect_close(1000)
        link.expect_end()
    return run


for key in ("00000000", "ffffffff", "00000001", "80000000", "7f000000", "12345678", "00ff00ff"):
    case(f"mask.key.{key}", f"F06 the masking key {key}", with_key(bytes.fromhex(key)))


def random_frames(target):
    """Random bytes as frames: the connection fails with some code or waits for more; never silence after the end, no reset."""
    rng = random.Random(11)
    for _ in range(150):
        link = target.open()
        link.send(rng.randbytes(rng.randrange(2, 400)))
        link.shutdown()
        try:
            while link.read("a frame or EOF")[0] != 8:
                pass
        except Failure as problem:
            if link.ended != "EOF" or link.buffer or "got EOF" not in str(problem):
                raise
        link.expect_eof(2.5)
        link.close()


case("garbage.frames", "150 connections with random bytes for frames", random_frames, 20)


def never_reading(target):
    """A peer that sends and does not read: the server stops reading too, and goes on where it was."""
    link = target.open()
    data = blob(1 << 20)
    frame = link.binary(data)
    sent, last = 0, time.monotonic()
    while sent < len(frame) * 200 and time.monotonic() - last < 0.7:
        try:
            at = sent % len(frame)
            sent += link.sock.send(memoryview(frame)[at:])
            last = time.monotonic()
        except BlockingIOError:
            link._wait(select.POLLOUT, time.monotonic() + 0.1)
    if sent >= len(frame) * 200:
        raise Failure("the server took 200 MiB from a peer that does not read: no water marks")
    link.deadline = time.monotonic() + 25
    if sent % len(frame):
        link.send(frame[sent % len(frame):])
    for _ in range(-(-sent // len(frame))):
        link.expect_binary(data)
    link.finish()


def others_are_served(target):
    """While one peer does not read, another is served."""
    stuck = target.open()
    stuck.sock.setblocking(False)
    frame = stuck.binary(blob(1 << 20))
    try:
        for _ in range(64):
            sent = 0
            while sent < len(frame):
                sent += stuck.sock.send(memoryview(frame)[sent:])
    except BlockingIOError:
        pass
    other = target.open()
    other.echo(TEXT, b"am I served?")
    other.finish()
    stuck.abort()


def thousand(target):
    """1,000 connections at a time, each served, then dropped without a Close."""
    links = []
    for index in range(1000):
        link = target.open()
        links.append(link)
    for index, link in enumerate(links):
        link.deadline = time.monotonic() + 10
        link.send(link.text(b"number %d" % index))
    for index, link in enumerate(links):
        link.expect_text(b"number %d" % index)
    for index, link in enumerate(links):
        link.abort() if index % 2 else link.close()
    still = target.open()
    still.echo(TEXT, b"still there?")
    still.finish()


def resets(target):
    """Peers that vanish with a reset at any point do no harm."""
    for at in range(40):
        link = target.dial()
        data = request(link) + link.text(b"x" * 200) + link.text(b"part", fin=False) + link.ping(b"p")
        link.send(data[:len(data) * at // 39])
        link.abort()
    link = target.open()
    link.send(link.text(b"a" * 1000))
    link.abort()
    link = target.open()
    link.echo(TEXT, b"still there?")
    link.finish()


case("load.unread", "a peer that never reads: the server stops reading, then everything comes", never_reading, 40)
case("load.other", "a peer that never reads does not hold up others", others_are_served)
case("load.thousand", "1,000 connections at once", thousand, 40)
case("load.resets", "peers that vanish with a reset, at 40 points", resets)

def endless_after_error(target):
    """K15: what comes behind the last Close is discarded, but not for ever: the byte bound is 16 MiB."""
    link = target.open()
    link.send(link.frame(3))
    link.expect_close(1002)
    link.expect_eof(2.5)
    rubbish = bytes(MIB)
    for _ in range(64):
        link.send(rubbish, read=False)
        if link.write_ended:
            return
    raise Failure("64 MiB were taken behind the server's last Close")


case("error.linger.bound", "K15 more than 16 MiB behind an error: the server drops the connection", endless_after_error,
     20)


def never_leaving(target):
    """K11: a peer that never ends its direction does not hold the connection for ever."""
    link = target.open()
    link.send(link.close_frame(1000))
    link.expect_close(1000)
    link.expect_eof(2.5)
    began = time.monotonic()
    while time.monotonic() - began < 12:
        link.send(b"x")
        if link.write_ended:
            return
        time.sleep(0.1)
    raise Failure("12 s after the closing handshake the server still takes bytes")


case("close.never.leaving", "K11 K15 a peer that goes on sending after the closing handshake is dropped", never_leaving,
     15)

# Every case of cases_both, over a usual handshake; the limits of both servers.


def over_handshake(function, limited=False):
    def run(target):
        function(target.open(target.limited if limited else None))
    return run


for name, title, function, seconds in cases_both.CASES:
    case(name, title, over_handshake(function), seconds)
cases_both.limit_cases(lambda n, t, f, s: case(n, t, over_handshake(f, True), s), "limit.small", LIMIT)
cases_both.limit_cases(lambda n, t, f, s: case(n, t, over_handshake(f), s), "limit.default", 16 << 20)
LONG_CASES = [(n, t, over_handshake(f), s) for n, t, f, s in cases_both.LONG_CASES]


def silent_handshake(link):
    """T01, run beside the others: a request that never ends is answered with 408 after 10 s. `link` was dialled and given half a
    request at `link.began`."""
    link.deadline = link.began + 14
    rejected(link, 408)
    took = time.monotonic() - link.began
    if took < 9:
        raise Failure(f"expected the 408 after 10 s, got it after {took:.1f} s")
    link.expect_eof(2.5)
