"""Cases for a client: the server's side of the opening handshake as rules C01 to C14 have it."""

import base64
import re
import time

import cases_both
from cases_both import blob
from wire import BINARY, TEXT, Failure, accept_for, show

CASES = []  # (id, title, function of a Peer whose request was read but not answered, seconds)


def case(name, title, function, seconds=10):
    CASES.append((name, title, function, seconds))


def check_request(peer, target, seen_keys, deflate):
    """The request of section 4.1 and 4.2.1: what the client must write, and nothing doubled or empty."""
    head = peer.request
    if not re.fullmatch(rb"GET \S+ HTTP/1\.1", head.start):
        raise Failure(f"not the request line of a handshake: {show(head.start, 80)}")
    if head.start.split(b" ")[1] != target:
        raise Failure(f"expected the target {show(target, 60)}, got {show(head.start, 80)}")
    host = b"%s:%d" % (peer.sock.getsockname()[0].encode(), peer.sock.getsockname()[1])
    if head.one("host") != host:
        raise Failure(f"expected Host: {show(host)}, got {show(head.one('host'))} (C10)")
    if head.one("upgrade").lower() != b"websocket" or b"upgrade" not in head.tokens("connection"):
        raise Failure("the request lacks Upgrade: websocket or Connection: Upgrade")
    if head.one("sec-websocket-version") != b"13":
        raise Failure("the request lacks Sec-WebSocket-Version: 13")
    key = head.one("sec-websocket-key")
    if not re.fullmatch(rb"[A-Za-z0-9+/]{21}[AQgw]==", key) or len(base64.b64decode(key)) != 16:
        raise Failure(f"not a key of 16 bytes: {show(key, 40)}")
    if key in seen_keys:
        raise Failure(f"the key {show(key, 40)} came before: a nonce is fresh in every handshake (C12)")
    seen_keys.add(key)
    for name, value in head.fields:
        if not value:
            raise Failure(f"the request has an empty {name}")
    for name in ("content-length", "transfer-encoding"):
        if head.all(name):
            raise Failure(f"the request has {name}")
    if not deflate and head.all("sec-websocket-extensions"):
        raise Failure("an extension is offered by a client that has none")
    peer.response_key = accept_for(key)


def response(peer, line=b"HTTP/1.1 101 Switching Protocols", *, more=(), **changes):
    """A usual 101; `Upgrade=None` leaves a field out, a list repeats it. `more` are whole lines."""
    fields = {"Upgrade": b"websocket", "Connection": b"Upgrade", "Sec-WebSocket-Accept": peer.response_key}
    for name, value in changes.items():
        fields[name.replace("_", "-")] = value
    out = [line]
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            out.append(name.encode() + b": " + one)
    return b"\r\n".join(out + list(more)) + b"\r\n\r\n"


def open_peer(peer, more=()):
    peer.send(response(peer, more=more))
    return peer


def accepts(make, chop=0, pause=0.0):
    def run(peer):
        peer.send(make(peer), chop=chop, pause=pause)
        peer.echo(TEXT, b"it works")
        peer.finish()
    return run


def refused(peer):
    """The client drops the connection and writes nothing at all."""
    peer.expect_eof(5, allow_reset=True)


def refuses(make, ends=False, chop=0):
    """The response is refused; the frame in its segment is neither echoed nor answered. `ends`: the server ends the
    connection itself, as the response asks for."""
    def run(peer):
        peer.send(make(peer) + (b"" if ends else peer.text(b"refuse me") + peer.ping(b"me too")), chop=chop)
        if ends:
            peer.shutdown()
        refused(peer)
    return run


def res(*args, **rest):
    return lambda peer: response(peer, *args, **rest)


def more(*lines):
    return res(more=lines)


# What is accepted.

for label, make in (
        ("plain", res()), ("upgrade.case", res(Upgrade=b"WebSocket")), ("upgrade.upper", res(Upgrade=b"WEBSOCKET")),
        ("connection.case", res(Connection=b"uPGRADE")),
        ("connection.list", res(Connection=b"keep-alive, Upgrade")),
        ("connection.lines", res(Connection=[b"keep-alive", b"upgrade"])),
        ("connection.empty.members", res(Connection=b", ,Upgrade,"))):
    case(f"response.{label}", "C01 a right 101", accepts(make))
case("response.reason.other", "C05 another reason phrase",
     accepts(res("HTTP/1.1 101 Wechsel, bitte: Überraschung".encode())))
case("response.reason.empty", "C05 an empty reason phrase", accepts(res(b"HTTP/1.1 101 ")))
case("response.reason.absent", "C05 no reason phrase and no space", accepts(res(b"HTTP/1.1 101")))
case("response.names.lower", "H27 C14 field names in lower case", accepts(
    lambda p: b"\r\n".join(re.sub(rb"^[A-Za-z-]+(?=: )", lambda m: m[0].lower(), line)
                           for line in response(p).split(b"\r\n"))))
case("response.names.upper", "H27 C14 field names in upper case", accepts(
    lambda p: b"\r\n".join(re.sub(rb"^[A-Za-z-]+(?=: )", lambda m: m[0].upper(), line)
                           for line in response(p).split(b"\r\n"))))
case("response.tight", "C14 no space behind the colon", accepts(lambda p: response(p).replace(b": ", b":")))
case("response.ows", "C14 white space around the values", accepts(
    lambda p: response(p, Upgrade=b" \t websocket \t", Sec_WebSocket_Accept=b"\t " + p.response_key + b" \t")))
case("response.fields", "C14 fields the client does not know",
     accepts(more(b"Server: x/1 (y)", b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"X-Empty:", b"Set-Cookie: a=b",
                                                                            b"Set-Cookie: c=d", b"X-Obs: \xe4\xff\x80",
                                                                            b"X-Tab: a\tb")))
case("response.order", "C14 the fields in reverse order",
     accepts(lambda p: b"\r\n".join([(r := response(p).split(b"\r\n"))[0]] + r[-3:0:-1] + [b"", b""])))
case("response.length", "C14 Content-Length: 0 in a 101 is ignored", accepts(more(b"Content-Length: 0")))
case("response.length.lie", "C14 Content-Length: 100 in a 101 is ignored", accepts(more(b"Content-Length: 100")))
case("response.chunked", "C14 Transfer-Encoding in a 101 is ignored", accepts(more(b"Transfer-Encoding: chunked")))
case("response.cookie", "C14 a field of 4,096 bytes", accepts(more(b"Set-Cookie: a=" + b"c" * 4096)))
case("response.fields.100", "H26 C14 exactly 100 fields", accepts(more(*[b"X-%d: x" % i for i in range(97)])))
case("response.bytes", "C09 the 101 one byte at a time", accepts(res(), chop=1, pause=0.0005))
for status in (b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Odd"):
    case(f"response.interim.{status[:3].decode()}", f"C06 {status.decode()} before the 101", accepts(
        lambda p, s=status: b"HTTP/1.1 " + s + b"\r\nLink: </a>; rel=preload\r\n\r\n" + response(p)))
case("response.interim.bare", "C06 an interim response without any field",
     accepts(lambda p: b"HTTP/1.1 100 Continue\r\n\r\n" + response(p)))
case("response.interim.eight", "C06 eight interim responses",
     accepts(lambda p: b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 8 + response(p)))
case("response.interim.eight.bytes", "C06 F13 eight interim responses, one byte at a time", accepts(
    lambda p: b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 8 + response(p), chop=1))
case("response.interim.key", "C06 an interim response with handshake fields decides nothing", accepts(
    lambda p: response(p, b"HTTP/1.1 103 Early Hints", Sec_WebSocket_Accept=b"wrong") + response(p)))


def frames_behind(size, count=1):
    def run(peer):
        data = blob(size)
        peer.send(response(peer) + peer.binary(data) * count + peer.ping(b"early"))
        for _ in range(count):
            peer.expect_binary(data)
        peer.expect_pong(b"early")
        peer.finish()
    return run


case("response.behind.small", "C09 a small frame in the segment of the 101", frames_behind(5))
case("response.behind.many", "C09 100 frames in the segment of the 101", frames_behind(100, 100))
case("response.behind.large", "C09 a frame of 100,000 bytes in the segment of the 101", frames_behind(100000))
case("response.behind.close", "C09 a message and a Close in the segment of the 101",
     lambda p: (p.send(response(p) + p.text(b"all at once") + p.close_frame(1001)), p.expect_text(b"all at once"),
                p.expect_close(1001), p.expect_end()))
case("response.behind.error", "C09 bad text in the segment of the 101",
     lambda p: (p.send(response(p) + p.text(b"\xff")), p.fails(1007)))


def half_behind(cut):
    def run(peer):
        data = response(peer) + peer.text(b"in two parts")
        at = len(data) - 14 + cut
        peer.send(data[:at])
        time.sleep(0.005)
        peer.send(data[at:])
        peer.expect_text(b"in two parts")
        peer.finish()
    return run


for cut in (-4, -3, -2, -1, 0, 1, 2, 7):
    case(f"response.split.{cut}", f"C09 F13 the 101 and a frame, cut {cut} bytes from the end of the head",
         half_behind(cut))

# What is refused.


def gives_up(peer, least, most):
    """The client drops the connection by itself, within these seconds."""
    began = time.monotonic()
    peer.expect_eof(most, allow_reset=True)
    if time.monotonic() - began < least:
        raise Failure(f"expected EOF after {least} s or more, got it after {time.monotonic() - began:.1f} s")


WRONG = base64.b64encode(b"x" * 20)
for label, make in (
        ("accept.wrong", res(Sec_WebSocket_Accept=WRONG)), ("accept.missing", res(Sec_WebSocket_Accept=None)),
        ("accept.empty", res(Sec_WebSocket_Accept=b"")),
        ("accept.doubled", lambda p: response(p, Sec_WebSocket_Accept=[p.response_key] * 2)),
        ("accept.two", lambda p: response(p, Sec_WebSocket_Accept=[p.response_key, WRONG])),
        ("accept.list", lambda p: response(p, Sec_WebSocket_Accept=p.response_key + b", " + p.response_key)),
        ("accept.case", lambda p: response(p, Sec_WebSocket_Accept=p.response_key.swapcase())),
        ("accept.cut", lambda p: response(p, Sec_WebSocket_Accept=p.response_key[:-1])),
        ("accept.longer", lambda p: response(p, Sec_WebSocket_Accept=p.response_key + b"=")),
        ("accept.key", lambda p: response(p, Sec_WebSocket_Accept=p.request.one("sec-websocket-key"))),
        ("accept.last", lambda p: response(p, Sec_WebSocket_Accept=p.response_key[:-2]
            + (b"A=" if p.response_key[-2:] != b"A=" else b"E="))),
        ("upgrade.missing", res(Upgrade=None)), ("upgrade.other", res(Upgrade=b"h2c")),
        ("upgrade.list", res(Upgrade=b"websocket, h2c")),
        ("upgrade.twice", res(Upgrade=[b"websocket", b"websocket"])), ("upgrade.prefix", res(Upgrade=b"xwebsocket")),
        ("upgrade.suffix", res(Upgrade=b"websockets")),
        ("upgrade.empty", res(Upgrade=b"")), ("connection.missing", res(Connection=None)),
        ("connection.other", res(Connection=b"keep-alive")),
        ("connection.not", res(Connection=b"not-upgrade")), ("connection.close", res(Connection=b"close")),
        ("connection.empty", res(Connection=b"")),
        ("version.1.0", res(b"HTTP/1.0 101 Switching Protocols"))):
    case(f"response.bad.{label}", "C01 a 101 that does not fit", refuses(make))
for label, value in (("one", b"chat"), ("list", b"chat, superchat"), ("empty", b""), ("twice", [b"a", b"a"])):
    case(f"response.bad.protocol.{label}", "C02 a subprotocol that was not offered",
         refuses(res(Sec_WebSocket_Protocol=value)))
for label, value in (("unknown", b"x-unknown"), ("unknown.params", b"x-unknown; a=1"),
                     ("frame", b"x-webkit-deflate-frame"), ("broken", b"foo; =")):
    case(f"response.bad.extension.{label}", "C04 an extension that was not offered",
         refuses(res(Sec_WebSocket_Extensions=value)))
for label, line in (("version.2.0", b"HTTP/2.0 101 x"), ("version.0.9", b"HTTP/0.9 101 x"), ("short", b"HTTP/1.1 10"),
                    ("four.digits", b"HTTP/1.1 1011 x"),
                    ("letters", b"HTTP/1.1 1o1 x"), ("two.spaces", b"HTTP/1.1  101 x"), ("no.space", b"HTTP/1.1 101x"),
                    ("lower", b"http/1.1 101 x"),
                    ("no.version", b"101 Switching Protocols"), ("icy", b"ICY 200 OK"),
                    ("space.first", b" HTTP/1.1 101 x"), ("nul", b"HTTP/1.1 101 a\0b"),
                    ("cr", b"HTTP/1.1 101 a\rb"), ("digits", b"HTTP/1.10 101 x"), ("request", b"GET / HTTP/1.1")):
    case(f"response.bad.line.{label}", f"C14 the status line {show(line)}", refuses(res(line)))
for label, line in (("fold", b"X-A: b\r\n c"), ("colon.space", b"X-A : b"), ("no.name", b": b"), ("no.colon", b"X-A b"),
                    ("name.space", b"X A: b"), ("nul", b"X-A: b\0c"),
                    ("control", b"X-A: b\x01c"), ("del", b"X-A: b\x7fc"), ("cr", b"X-A: b\rc"),
                    ("cr.twice", b"X-A: b\r"), ("lf", b"X-A: b\nX-B: c")):
    case(f"response.bad.field.{label}", f"C14 H22 H24 H25 the field {show(line)}", refuses(more(line, b"X-Last: 1")))
case("response.bad.lf.all", "C14 H22 bare LF everywhere", refuses(lambda p: response(p).replace(b"\r\n", b"\n")))
case("response.bad.fields.101", "C14 H26 101 fields", refuses(more(*[b"X-%d: x" % i for i in range(98)])))
case("response.bad.head", "C14 H26 a head of 20,000 bytes", refuses(more(*[b"X-A: " + b"v" * 4000] * 5)))
case("response.bad.head.endless", "C14 H26 a field without end fails as the limit is passed",
     lambda p: (p.send(response(p)[:-2] + b"X-A: " + b"v" * 20000), refused(p)))
case("response.bad.interim.nine", "C06 nine interim responses",
     refuses(lambda p: b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 9 + response(p)))
case("response.bad.interim.endless", "C06 1,000 interim responses",
     refuses(lambda p: b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + response(p)))



def frames_as_body(peer):
    """A body that a client which thinks itself connected would echo and answer."""
    return peer.text(b"body, not frame") + peer.ping(b"body, not frame")


def status_refused(line, ends, *fields, body=frames_as_body):
    """Another status than 101, its body looking like frames. `ends`: the body ends with the connection."""
    def run(peer):
        content = body(peer)
        out = [line, *(field.replace(b"SIZE", b"%d" % len(content)) for field in fields), b"", content]
        peer.send(b"\r\n".join(out))
        if ends:
            peer.shutdown()
        refused(peer)
    return run


for status in (b"200 OK", b"301 Moved Permanently", b"302 Found", b"307 Temporary Redirect", b"308 Permanent Redirect",
               b"400 Bad Request",
               b"401 Unauthorized", b"403 Forbidden", b"404 Not Found", b"407 Proxy Authentication Required",
               b"426 Upgrade Required", b"429 Too Many Requests",
               b"500 Internal Server Error", b"503 Service Unavailable", b"599 Odd"):
    case(f"response.status.{status[:3].decode()}",
         f"C07 C08 {status.decode()} instead of 101; the client drops the connection itself",
         status_refused(b"HTTP/1.1 " + status, False, b"Location: ws://127.0.0.1:1/elsewhere",
                        b'WWW-Authenticate: Basic realm="x"', b"Content-Length: SIZE"))
case("response.status.204", "C07 204 has no body", status_refused(b"HTTP/1.1 204 No Content", False, b"X: y"))
case("response.status.200.handshake", "C07 200 with all the fields of a 101",
     lambda p: (p.send(response(p, b"HTTP/1.1 200 OK") + frames_as_body(p)), p.shutdown(), refused(p)))
case("response.status.body.none", "C07 Content-Length: 0", status_refused(b"HTTP/1.1 403 Forbidden", False,
    b"Content-Length: 0"))
case("response.status.body.chunked", "C07 a chunked body", status_refused(
    b"HTTP/1.1 404 Not Found", False, b"Transfer-Encoding: chunked",
    body=lambda p: b"%x;x=y\r\n" % len(f := frames_as_body(p)) + f + b"\r\n0\r\nX-T: 1\r\n\r\n"))
case("response.status.body.eof", "C07 a body until EOF", status_refused(b"HTTP/1.0 500 Oops", True, b"X: y"))
case("response.status.body.large", "C07 a body of 4 MiB is bounded", status_refused(
    b"HTTP/1.1 404 Not Found", True, b"Content-Length: SIZE", body=lambda p: frames_as_body(p) * 60000))
case("response.status.body.endless", "C07 a body of 4 MiB without a length is bounded", status_refused(
    b"HTTP/1.1 404 Not Found", True, b"X: y", body=lambda p: frames_as_body(p) * 60000))
case("response.eof.empty", "K12 EOF instead of a response", refuses(lambda p: b"", ends=True))
case("response.eof.line", "K12 EOF inside the status line", refuses(lambda p: b"HTTP/1.1 10", ends=True))
case("response.eof.head", "K12 EOF inside the head", refuses(lambda p: response(p)[:-2], ends=True))
case("response.reset", "K12 a reset instead of a response", lambda p: p.abort())
case("response.timeout.half", "T01 half a response: the client gives up after 10 s",
     lambda p: (p.send(response(p)[:-3]), gives_up(p, 9, 13)), 15)
case("close.never.leaving", "K11 a server that does not drop the transport: the client does, after a deadline",
     lambda p: (p.send(response(p) + p.close_frame(1000)), p.expect_close(1000), gives_up(p, 0, 12)), 15)
case("response.garbage", "C14 a binary answer", refuses(lambda p: blob(300).replace(b"\r", b"") + b"\r\n\r\n"))
case("response.frame", "C14 a frame instead of a response", refuses(lambda p: p.text(b"no response")))

for label, cut in (("reset.message", True), ("reset.idle", False)):
    case(f"eof.{label}", "K12 a reset in the open state: the next case goes on",
         lambda p, cut=cut: (p.send(response(p)), p.echo(TEXT, b"before"),
                             p.send(p.text(b"Hello")[:-1] if cut else b""), p.abort()))


def after_handshake(function):
    return lambda peer: function(open_peer(peer))


for name, title, function, seconds in cases_both.CASES:
    case(name, title, after_handshake(function), seconds)
cases_both.limit_cases(lambda n, t, f, s: case(n, t, after_handshake(f), s), "limit.default", 16 << 20)
LONG_CASES = [(n, t, after_handshake(f), s) for n, t, f, s in cases_both.LONG_CASES]
LONG_CASES.append(("response.timeout", "T01 no response at all: the client gives up after 10 s",
                   lambda p: gives_up(p, 9, 13), 15))
