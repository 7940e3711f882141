"""Cases that any endpoint must pass, whichever role it plays: frames, messages, UTF-8, limits and closing.

Each case gets an open connection. It may not wait for silence where order proves the same: a ping sent behind a frame that
must be ignored is answered next.
"""

import random
import time

from wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, Failure, close_payload, utf8_scan

CASES = []  # (id, title, function, seconds)
VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
INVALID_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535]
KIND = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong", CLOSE: "close", CONT: "continuation"}


def case(name, title, function, seconds=10):
    CASES.append((name, title, function, seconds))


def blob(size, seed=1):
    return random.Random(seed * 1000003 + size).randbytes(size)


def prose(size):
    """Text of exactly `size` bytes with code points of every length, at changing offsets."""
    unit = "Größe ≥ 日本語 𝄞 and plain words; ".encode()
    cut = (unit * (size // len(unit) + 1))[:size].decode(errors="ignore").encode()
    return cut + b"." * (size - len(cut))


def content(opcode, size):
    return prose(size) if opcode == TEXT else blob(size)


def good(data_of):
    """A case that sends what `data_of(p)` gives and expects the echoes and pongs it names, then a clean close."""
    def run(p):
        data, expected = data_of(p)
        p.send(data)
        for opcode, payload in expected:
            p.expect(opcode, payload)
        p.finish()
    return run


def bad(data_of, code, before=(), after=True, **how):
    """A case that must fail with `code`; `before` is what still comes first; a message behind it must not be echoed."""
    def run(p):
        data = data_of(p)
        if after:
            data += p.text(b"behind the error")
        p.send(data, **how)
        for opcode, payload in before:
            p.expect(opcode, payload)
        p.fails(code)
    return run


# 1. Messages in one frame.

def whole(opcode, size, chop=0):
    def run(p):
        p.echo(opcode, content(opcode, size), chop=chop)
        p.echo(opcode, content(opcode, size), chop=chop)
        p.finish()
    return run


for op in (TEXT, BINARY):
    for n in (0, 1, 2, 124, 125, 126, 127, 128, 129, 255, 256, 4096, 65534, 65535, 65536, 65537, 131072):
        case(f"framing.{KIND[op]}.{n}", f"F14 {KIND[op]} of {n} bytes in one frame", whole(op, n))
    for n, step in ((0, 1), (1, 1), (125, 1), (126, 1), (127, 1), (128, 1), (2000, 1), (65535, 997), (65536, 997),
                    (65536, 1)):
        case(f"framing.{KIND[op]}.{n}.chop{step}", f"F13 {KIND[op]} of {n} bytes sent in pieces of {step}",
             whole(op, n, step))


def pipelined(p):
    messages = [(TEXT, b"message %d" % i) if i % 2 else (BINARY, blob(i * 3)) for i in range(200)]
    p.send(b"".join(p.frame(*message) for message in messages))
    for message in messages:
        p.expect(*message)
    p.finish()


case("framing.pipelined", "200 messages in one go come back in order", pipelined)


def every_split(p):
    pieces = [b"cut ", b"over \xe2\x82\xac", b"frames"]
    for cut in range(1, 1000):
        data = (p.text(b"Hello") + p.binary(blob(130)) + p.ping(b"between") + p.fragments(TEXT, pieces) + p.text(b""))
        if cut >= len(data):
            break
        p.send(data[:cut])
        time.sleep(0.0004)
        p.send(data[cut:])
        for answer in ((TEXT, b"Hello"), (BINARY, blob(130)), (PONG, b"between"), (TEXT, b"".join(pieces)),
                       (TEXT, b"")):
            p.expect(*answer)
    p.finish()


case("framing.split.small", "F13 a run of frames, cut in two at every offset", every_split)


def header_splits(p):
    for size in (126, 65535, 65536):
        for cut in range(1, 16):
            data = p.binary(blob(size))
            p.send(data[:cut])
            time.sleep(0.0005)
            p.send(data[cut:])
            p.expect_binary(blob(size))
    p.finish()


case("framing.split.header", "F13 16- and 64-bit heads, cut at every offset", header_splits)


def phases(p):
    for size in list(range(1, 40)) + [61, 64, 67, 127, 128, 131]:
        for chop in (1, 2, 3, 5, 7, 8, 13):
            if chop < size:
                p.echo(BINARY, blob(size), chop=chop)
    p.finish()


case("framing.split.phase", "F06 F13 sizes 1 to 131 in pieces of 1 to 13 bytes: the key's phase goes on over the cuts",
     phases)


# 2. Ping and pong.

def ping_echo(payload, chop=0):
    def run(p):
        p.send(p.ping(payload), chop=chop)
        p.expect_pong(payload)
        p.send(p.ping(payload) + p.text(b"then text"), chop=chop)
        p.expect_pong(payload)
        p.expect_text(b"then text")
        p.finish()
    return run


case("ping.empty", "F19 a ping without payload", ping_echo(b""))
case("ping.text", "F19 a ping with a payload", ping_echo(b"Hello, world!"))
case("ping.binary", "F19 a ping's payload need not be UTF-8", ping_echo(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))
case("ping.124", "F19 a ping of 124 bytes", ping_echo(blob(124)))
case("ping.125", "F19 a ping of 125 bytes", ping_echo(blob(125)))
case("ping.125.chop1", "F19 F13 a ping of 125 bytes, one byte at a time", ping_echo(blob(125), 1))
for op in (PING, PONG):
    case(f"{KIND[op]}.126", f"F09 a {KIND[op]} of 126 bytes", bad(lambda p, op=op: p.frame(op, blob(126)), 1002))
    case(f"{KIND[op]}.126.header", f"F09 a {KIND[op]} of 126 bytes fails at its head",
         bad(lambda p, op=op: p.head(op, 126), 1002, after=False))
    case(f"{KIND[op]}.65536.header", f"F09 a {KIND[op]} of 65,536 bytes fails at its head",
         bad(lambda p, op=op: p.head(op, 65536), 1002, after=False))
    case(f"{KIND[op]}.form16", f"F09 a {KIND[op]} of 5 bytes with a 16-bit length",
         bad(lambda p, op=op: p.frame(op, b"Hello", form=16), 1002))
    case(f"{KIND[op]}.form64", f"F09 a {KIND[op]} of 5 bytes with a 64-bit length",
         bad(lambda p, op=op: p.frame(op, b"Hello", form=64), 1002))
    case(f"{KIND[op]}.nofin", f"F09 a {KIND[op]} with FIN=0", bad(lambda p, op=op: p.frame(op, b"Hello", fin=False),
        1002))
    case(f"{KIND[op]}.nofin.empty", f"F09 an empty {KIND[op]} with FIN=0",
         bad(lambda p, op=op: p.frame(op, fin=False), 1002))
    case(f"{KIND[op]}.nofin.inside", f"F09 a {KIND[op]} with FIN=0 inside a message",
         bad(lambda p, op=op: p.text(b"a", fin=False) + p.frame(op, b"b", fin=False) + p.frame(CONT, b"c"), 1002))
    case(f"{KIND[op]}.126.after", f"F09 a {KIND[op]} of 126 bytes behind a message, which is echoed first",
         bad(lambda p, op=op: p.text(b"first") + p.frame(op, blob(126)), 1002, before=[(TEXT, b"first")]))

for label, payload in (("empty", b""), ("payload", b"nobody asked"), ("125", blob(125))):
    case(f"pong.unasked.{label}", "F20 a pong nobody asked for is ignored",
         good(lambda p, x=payload: (p.frame(PONG, x) + p.ping(b"p") + p.text(b"t"), [(PONG, b"p"), (TEXT, b"t")])))
case("pong.unasked.chop1", "F20 F13 a pong nobody asked for, one byte at a time",
     lambda p: (p.send(p.frame(PONG, b"nobody asked"), chop=1), p.echo(TEXT, b"text"), p.finish()))


def ten_pings(chop=0, apart=False):
    def run(p):
        payloads = [b"payload-%d" % i for i in range(10)]
        for payload in payloads if apart else ():
            p.send(p.ping(payload))
            p.expect_pong(payload)
        p.send(b"".join(p.ping(payload) for payload in payloads), chop=chop)
        for payload in payloads:
            p.expect_pong(payload)
        p.finish()
    return run


case("ping.ten", "F19 ten pings in one go, ten pongs in order", ten_pings())
case("ping.ten.chop1", "F19 ten pings, one byte at a time", ten_pings(1))
case("ping.ten.apart", "F19 ten pings, each answered before the next", ten_pings(apart=True))
case("ping.order", "F19 pings between messages are answered in order",
     good(lambda p: (p.text(b"1") + p.ping(b"2") + p.binary(b"3") + p.ping(b"4") + p.text(b"5"),
                     [(TEXT, b"1"), (PONG, b"2"), (BINARY, b"3"), (PONG, b"4"), (TEXT, b"5")])))
case("ping.huge", "F09 a ping whose 64-bit length is 2^63-1", bad(lambda p: p.head(PING, (1 << 63) - 1), 1002,
    after=False))


# 3. Reserved bits.

for rsv in range(1, 8):
    bits = f"{rsv:03b}"
    for label, make in (
            ("text", lambda p, r: p.text(b"Hello", rsv=r)), ("binary", lambda p, r: p.binary(b"\0\1", rsv=r)),
            ("empty", lambda p, r: p.text(rsv=r)), ("ping", lambda p, r: p.ping(b"Hello", rsv=r)),
            ("pong", lambda p, r: p.frame(PONG, b"Hello", rsv=r)), ("close", lambda p, r: p.close_frame(1000, rsv=r)),
            ("continuation", lambda p, r: p.text(b"a", fin=False) + p.frame(CONT, b"b", rsv=r))):
        case(f"rsv.{bits}.{label}", f"F07 reserved bits {bits} in a {label} frame",
             bad(lambda p, make=make, r=rsv: make(p, r), 1002))
    case(f"rsv.{bits}.chop1", f"F07 F13 reserved bits {bits}, one byte at a time",
         bad(lambda p, r=rsv: p.text(b"Hello", rsv=r), 1002, chop=1, after=False))
    case(f"rsv.{bits}.after", f"F07 reserved bits {bits} behind a message and a ping, which are answered first",
         bad(lambda p, r=rsv: p.text(b"first") + p.ping(b"then") + p.text(b"bad", rsv=r), 1002,
             before=[(TEXT, b"first"), (PONG, b"then")]))


# 4. Opcodes.

for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    case(f"opcode.{opcode}.empty", f"F08 opcode {opcode} without payload", bad(lambda p, o=opcode: p.frame(o), 1002))
    case(f"opcode.{opcode}.payload", f"F08 opcode {opcode} with payload", bad(lambda p, o=opcode: p.frame(o, b"Hello"),
        1002))
    case(f"opcode.{opcode}.first", f"F08 opcode {opcode} fails at its first byte",
         bad(lambda p, o=opcode: bytes([0x80 | o]), 1002, after=False))
    case(f"opcode.{opcode}.after", f"F08 opcode {opcode} behind a message, which is echoed first",
         bad(lambda p, o=opcode: p.text(b"first") + p.frame(o, b"Hello"), 1002, before=[(TEXT, b"first")]))
    case(f"opcode.{opcode}.inside", f"F08 opcode {opcode} inside a message, one byte at a time",
         bad(lambda p, o=opcode: p.text(b"a", fin=False) + p.frame(o, b"x"), 1002, chop=1, after=False))


# 5. Fragments.

def joined(opcode, pieces, chop=0, apart=False, wrap=None):
    """The pieces as fragments: in one go, chopped, or each in its own segment with a ping behind it."""
    def run(p):
        last = len(pieces) - 1
        if apart:
            for at, piece in enumerate(pieces):
                p.send(p.frame(CONT if at else opcode, piece, fin=at == last), chop=chop)
                if at < last:
                    p.send(p.ping(b"%d" % at), chop=chop)
                    p.expect_pong(b"%d" % at)
        else:
            p.send(p.fragments(opcode, pieces), chop=chop)
        p.expect(opcode, b"".join(pieces))
        p.finish()
    return run


def control_between(control, opcode=TEXT, pieces=(b"fragment1", b"fragment2"), chop=0):
    def run(p):
        last = len(pieces) - 1
        data = b"".join(p.frame(CONT if at else opcode, piece, fin=at == last)
                        + (p.frame(control, b"c%d" % at) if at < last else b"") for at, piece in enumerate(pieces))
        p.send(data, chop=chop)
        for at in range(last if control == PING else 0):
            p.expect_pong(b"c%d" % at)
        p.expect(opcode, b"".join(pieces))
        p.finish()
    return run


for op in (TEXT, BINARY):
    name = KIND[op]
    case(f"fragment.two.{name}", f"F10 {name} in two fragments", joined(op, [b"first ", b"second"]))
    case(f"fragment.two.{name}.chop1", f"F10 F13 {name} in two fragments, one byte at a time",
         joined(op, [b"first ", b"second"], 1))
    case(f"fragment.five.{name}.apart", f"F10 {name} in five fragments, a ping answered between each",
         joined(op, [b"1", b"22", b"333", b"4444", b"55555"], apart=True))
    case(f"fragment.empty.first.{name}", f"F14 {name} whose first fragment is empty", joined(op, [b"", b"rest"]))
    case(f"fragment.empty.middle.{name}", f"F14 {name} whose middle fragment is empty",
         joined(op, [b"one", b"", b"two"]))
    case(f"fragment.empty.last.{name}", f"F14 {name} whose last fragment is empty", joined(op, [b"one", b"two", b""]))
    case(f"fragment.empty.all.{name}", f"F14 {name} of three empty fragments is an empty message",
         joined(op, [b"", b"", b""]))
    case(f"fragment.sizes.{name}", f"{name} in fragments of 0 to 70,000 bytes",
         joined(op, [b"x" * n for n in (1, 125, 126, 127, 0, 65535, 65536, 70000, 2)]))
    case(f"fragment.ping.{name}", f"F10 a ping between two fragments of {name} in one go", control_between(PING, op))
    case(f"fragment.octets.{name}", f"F10 {name} of 1,000 bytes in fragments of one byte",
         joined(op, [bytes([97 + i % 26]) for i in range(1000)]))
case("fragment.pong", "F20 a pong between two fragments", control_between(PONG))
case("fragment.ping.chop1", "F10 F13 a ping between two fragments, one byte at a time", control_between(PING, chop=1))
case("fragment.ping.many", "F10 a ping after each of 100 fragments",
     control_between(PING, TEXT, [b"%d," % i for i in range(100)]))
case("fragment.empty.many", "F12 1,000 empty fragments, then the text", joined(TEXT, [b""] * 1000 + [b"at last"]))
case("fragment.twice", "two fragmented messages in a row",
     good(lambda p: (p.fragments(TEXT, [b"a", b"b"]) + p.fragments(BINARY, [b"c", b"d", b"e"]),
                     [(TEXT, b"ab"), (BINARY, b"cde")])))

for fin in (True, False):
    for payload in (b"", b"nothing to continue"):
        label = f"{'fin' if fin else 'nofin'}.{'payload' if payload else 'empty'}"
        case(f"fragment.orphan.{label}", "F11 a continuation with nothing to continue",
             bad(lambda p, f=fin, x=payload: p.frame(CONT, x, fin=f), 1002))
case("fragment.orphan.header", "F11 a continuation with nothing to continue fails at its head",
     bad(lambda p: p.head(CONT, 100), 1002, after=False))
case("fragment.orphan.chop1", "F11 a continuation with nothing to continue, one byte at a time",
     bad(lambda p: p.frame(CONT, b"x"), 1002, chop=1, after=False))
case("fragment.orphan.after", "F11 a continuation behind a message, which is echoed first",
     bad(lambda p: p.text(b"whole") + p.frame(CONT, b"x"), 1002, before=[(TEXT, b"whole")]))
case("fragment.orphan.after.fragmented", "F11 a continuation behind a fragmented message, which is echoed first",
     bad(lambda p: p.fragments(TEXT, [b"a", b"b"]) + p.frame(CONT, b"c", fin=False), 1002, before=[(TEXT, b"ab")]))
case("fragment.orphan.repeat", "F11 continuations without a start, over and over",
     bad(lambda p: b"".join(p.frame(CONT, b"fragment", fin=i % 2 == 1) + p.text(b"text") for i in range(4)), 1002))
for first in (TEXT, BINARY):
    for second in (TEXT, BINARY):
        for fin in (True, False):
            case(f"fragment.inside.{KIND[first]}.{KIND[second]}.{'fin' if fin else 'nofin'}",
                 f"F11 a {KIND[second]} frame inside a {KIND[first]} message",
                 bad(lambda p, a=first, b=second, f=fin: p.frame(a, b"started", fin=False) + p.frame(b, b"x", fin=f),
                     1002))
case("fragment.inside.header", "F11 a text frame inside a message fails at its head",
     bad(lambda p: p.text(b"started", fin=False) + p.head(TEXT, 100), 1002, after=False))
case("fragment.inside.chop1", "F11 a text frame inside a message, one byte at a time",
     bad(lambda p: p.text(b"started", fin=False) + p.text(b"x"), 1002, chop=1, after=False))
case("fragment.inside.ping", "F11 a text frame inside a message behind a ping, which is answered first",
     bad(lambda p: p.text(b"started", fin=False) + p.ping(b"p") + p.text(b"x"), 1002, before=[(PONG, b"p")]))


# 6. UTF-8.

def points(*values):
    return b"".join(chr(v).encode() for v in values)


VALID_TEXT = {
    "mixed": "Hello-µ@ßöäüàá-UTF-8!!".encode(), "kosme": "κόσμε".encode(), "cjk": "日本語テキスト".encode(),
    "emoji": "😀👩‍👩‍👧".encode(),
    "nul": b"\x00", "nul.inside": b"a\x00b", "del": b"\x7f", "controls": bytes(range(1, 32)),
    "bom": b"\xef\xbb\xbfafter a BOM",
    "bom.only": b"\xef\xbb\xbf", "first1": points(0), "first2": points(0x80), "first3": points(0x800),
    "first4": points(0x10000),
    "last1": points(0x7f), "last2": points(0x7ff), "last3": points(0xffff), "last4": points(0x10ffff),
    "d7ff": points(0xd7ff), "e000": points(0xe000), "fffd": points(0xfffd), "fffe": points(0xfffe),
    "fdd0": points(0xfdd0),
    "fdef": points(0xfdef), "combining": "é".encode(), "0fff": points(0xfff), "1000": points(0x1000),
    "cfff": points(0xcfff),
    "d000": points(0xd000), "3ffff": points(0x3ffff), "40000": points(0x40000), "fffff": points(0xfffff),
    "100000": points(0x100000), "planes": b"".join(points(p << 16 | 0xfffe, p << 16 | 0xffff) for p in range(17)),
    "ascii64": b"0123456789abcdef" * 4, "late": b"x" * 63 + "é".encode() + b"y" * 61 + "€𝄞".encode(),
}

INVALID_TEXT = {
    # Continuation bytes and impossible bytes (Markus Kuhn's sections 3.1 to 3.5, by own choice of bytes).
    "alone.80": b"\x80", "alone.bf": b"\xbf", "alone.two": b"\x80\xbf", "alone.all": bytes(range(0x80, 0xc0)),
    "alone.inside": b"ok \x80 ok", "lead.c2.space": b"\xc2 ", "lead.df.space": b"\xdf ", "lead.e0.space": b"\xe0 ",
    "lead.ef.space": b"\xef ", "lead.f0.space": b"\xf0 ", "lead.f4.space": b"\xf4 ", "lead.twice": b"\xc3\xc3\xa9",
    "cut3.ascii": b"\xe2\x82A", "cut4.ascii": b"\xf0\x9d\x84A", "cut4.two.ascii": b"\xf0\x9dA",
    "cut3.lead": b"\xe2\x82\xe2\x82\xac",
    "byte.fe": b"\xfe", "byte.ff": b"\xff", "byte.fefeffff": b"\xfe\xfe\xff\xff", "byte.f5": b"\xf5\x80\x80\x80",
    "byte.f7": b"\xf7\xbf\xbf\xbf", "five.f8": b"\xf8\x88\x80\x80\x80", "five.fb": b"\xfb\xbf\xbf\xbf\xbf",
    "six.fc": b"\xfc\x84\x80\x80\x80\x80", "six.fd": b"\xfd\xbf\xbf\xbf\xbf\xbf",
    # Overlong forms.
    "overlong.slash2": b"\xc0\xaf", "overlong.slash3": b"\xe0\x80\xaf", "overlong.slash4": b"\xf0\x80\x80\xaf",
    "overlong.slash5": b"\xf8\x80\x80\x80\xaf", "overlong.slash6": b"\xfc\x80\x80\x80\x80\xaf",
    "overlong.max1": b"\xc1\xbf",
    "overlong.max2": b"\xe0\x9f\xbf", "overlong.max3": b"\xf0\x8f\xbf\xbf", "overlong.nul2": b"\xc0\x80",
    "overlong.nul3": b"\xe0\x80\x80", "overlong.nul4": b"\xf0\x80\x80\x80",
    # Surrogates, alone and paired.
    "surrogate.d800": b"\xed\xa0\x80", "surrogate.db7f": b"\xed\xad\xbf", "surrogate.db80": b"\xed\xae\x80",
    "surrogate.dbff": b"\xed\xaf\xbf", "surrogate.dc00": b"\xed\xb0\x80", "surrogate.df80": b"\xed\xbe\x80",
    "surrogate.dfff": b"\xed\xbf\xbf", "surrogate.pair.low": b"\xed\xa0\x80\xed\xb0\x80",
    "surrogate.pair.high": b"\xed\xaf\xbf\xed\xbf\xbf",
    # Beyond U+10FFFF.
    "beyond.110000": b"\xf4\x90\x80\x80", "beyond.13ffff": b"\xf4\xbf\xbf\xbf", "beyond.140000": b"\xf5\x90\x80\x80",
    "beyond.1fffff": b"\xf7\xbf\xbf\xbf",
    # In the middle and at the end of longer text.
    "late.block": b"x" * 31 + b"\xff" + b"y" * 64, "late.64": b"x" * 64 + b"\xed\xa0\x80" + b"y" * 64,
    "late.word": "κόσμε".encode() + b"\xed\xa0\x80" + b"edited", "late.max": "κόσμε".encode() + b"\xf4\x90\x80\x80"
    + b"edited",
    "late.mixed": b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64",
    "latin1": "Grüße".encode("latin-1"),
}

CUT_TEXT = {
    "2": "é".encode()[:1], "3.1": "€".encode()[:1], "3.2": "€".encode()[:2], "4.1": "𝄞".encode()[:1],
    "4.2": "𝄞".encode()[:2],
    "4.3": "𝄞".encode()[:3], "late": b"plain text, then " + "𝄞".encode()[:3], "long": b"x" * 4095 + b"\xc3",
}


def valid_text(data):
    """Whole, in a fragment a byte (with a ping between each), and one byte at a time."""
    def run(p):
        p.echo(TEXT, data)
        p.echo(TEXT, data, chop=1)
        for at in range(len(data)):
            p.send(p.frame(CONT if at else TEXT, data[at:at + 1], fin=at == len(data) - 1))
        p.expect_text(data)
        for cut in range(len(data) + 1):
            p.send(p.fragments(TEXT, [data[:cut], data[cut:]]))
            p.expect_text(data)
        p.finish()
    return run


def fails_early(data, fragments):
    """The valid prefix is taken in silence, the first bad byte fails at once; the rest is never sent. The frame (or the
    message) promises more."""
    where, _ = utf8_scan(data)

    def run(p):
        if fragments:
            pieces = [p.frame(CONT if at else TEXT, data[at:at + 1], fin=False) for at in range(where + 1)]
            p.send(b"".join(pieces[:-1]))
            last = pieces[-1]
        else:
            frame = p.text(data + b"and much more" * 10)
            start = len(frame) - len(data) - 130
            p.send(frame[:start + where])
            last = frame[start + where:start + where + 1]
        p.quiet(0.015)
        p.send(last)
        p.fails(1007)
    return run


for name, text in VALID_TEXT.items():
    assert utf8_scan(text) == (None, True), name
    case(f"utf8.valid.{name}", f"F17 valid text {name}: whole, chopped, in fragments cut everywhere", valid_text(text))
for name, text in INVALID_TEXT.items():
    assert utf8_scan(text)[0] is not None, name
    case(f"utf8.invalid.{name}", f"F15 F17 invalid text {name} in one frame", bad(lambda p, t=text: p.text(t), 1007))
    case(f"utf8.early.{name}", f"F15 invalid text {name} fails at its first bad byte, inside the frame",
         fails_early(text, False))
    case(f"utf8.octets.{name}", f"F15 F16 invalid text {name} in one-byte fragments fails at the bad one",
         fails_early(text, True))
for name, text in CUT_TEXT.items():
    assert utf8_scan(text) == (None, False), name
    case(f"utf8.cut.{name}", f"F16 text cut inside a code point ({name})", bad(lambda p, t=text: p.text(t), 1007))
    case(f"utf8.cut.{name}.fragments", f"F16 the same, ended by an empty fragment",
         bad(lambda p, t=text: p.fragments(TEXT, [t, b""]), 1007))
    case(f"utf8.cut.{name}.binary", "F15 bytes that are no text are fine in a binary message",
         good(lambda p, t=text: (p.binary(t) + p.fragments(BINARY, [t, t]), [(BINARY, t), (BINARY, t + t)])))
case("utf8.cut.next", "F16 a code point cannot go on in the next message",
     bad(lambda p: p.text(b"\xe2\x82") + p.text(b"\xac"), 1007))
case("utf8.after", "F15 invalid text behind two messages, which are echoed first",
     bad(lambda p: p.text(b"1") + p.binary(b"\xff") + p.text(b"\xff"), 1007, before=[(TEXT, b"1"), (BINARY, b"\xff")]))
case("utf8.binary", "F15 every byte value in a binary message",
     good(lambda p: (p.binary(bytes(range(256))), [(BINARY, bytes(range(256)))])))
case("utf8.ping.inside", "F10 F16 a ping between the halves of a code point",
     good(lambda p: (p.text(b"\xe2\x82", fin=False) + p.ping(b"\xff") + p.frame(CONT, b"\xac"),
                     [(PONG, b"\xff"), (TEXT, "€".encode())])))
case("utf8.early.large", "F15 a bad byte in the middle of a frame of 1 MiB fails before the rest is sent",
     bad(lambda p: (lambda f: f[:600000])(p.text(b"x" * 500000 + b"\xc0" + b"y" * 548575)), 1007, after=False))


# 7. Closing.

def close_echo(code, reason=b"", chop=0):
    def run(p):
        p.send(p.close_frame(code, reason), chop=chop)
        p.expect_close(code)
        p.expect_end()
    return run


case("close.empty", "K01 a Close without payload is answered without payload", close_echo(None))
case("close.empty.chop1", "K01 F13 the same, one byte at a time", close_echo(None, chop=1))
case("close.one", "K02 a Close with one byte", bad(lambda p: p.frame(CLOSE, b"\x03"), 1002))
for code in VALID_CODES:
    case(f"close.code.{code}", f"K03 Close {code} is answered with {code}", close_echo(code))
    case(f"close.code.{code}.reason", f"K03 Close {code} with a reason", close_echo(code, "Grund: ≥ 1".encode()))
for code in INVALID_CODES:
    case(f"close.bad.{code}", f"K04 Close {code} fails, the code is not echoed",
         bad(lambda p, c=code: p.close_frame(c), 1002))
    case(f"close.bad.{code}.reason", f"K04 Close {code} with a reason", bad(lambda p, c=code: p.close_frame(c, b"why"),
        1002))
case("close.reason.123", "K03 a reason of 123 bytes", close_echo(1000, b"r" * 123))
case("close.reason.123.utf8", "K03 a reason of 123 bytes in three-byte code points",
     close_echo(1001, "語".encode() * 41))
case("close.reason.chop1", "K03 F13 a Close with a reason, one byte at a time", close_echo(1000, b"r" * 100, 1))
case("close.reason.124", "F09 a Close of 126 bytes", bad(lambda p: p.close_frame(1000, b"r" * 124), 1002))
case("close.reason.124.header", "F09 a Close of 126 bytes fails at its head",
     bad(lambda p: p.head(CLOSE, 126), 1002, after=False))
case("close.form16", "F09 a Close with a 16-bit length", bad(lambda p: p.close_frame(1000, form=16), 1002))
case("close.form64", "F09 a Close with a 64-bit length", bad(lambda p: p.close_frame(1000, form=64), 1002))
case("close.nofin", "F09 a Close with FIN=0", bad(lambda p: p.close_frame(1000, fin=False), 1002))
case("close.nofin.empty", "F09 an empty Close with FIN=0", bad(lambda p: p.frame(CLOSE, fin=False), 1002))
for name, reason in (("ff", b"\xff"), ("cut", b"ok \xe2\x82"), ("surrogate", b"\xed\xa0\x80"),
                     ("overlong", b"\xc0\xaf"),
                     ("word", "κόσμε".encode() + b"\xf4\x90\x80\x80"), ("123", b"x" * 122 + b"\xc3")):
    case(f"close.reason.bad.{name}", f"K06 a reason that is not UTF-8 ({name})",
         bad(lambda p, r=reason: p.close_frame(1000, r), 1007))


def ignored(extra, before=b"", expected=()):
    """What stands behind the Close in the same segment is not looked at."""
    def run(p):
        p.send((before(p) if before else b"") + p.close_frame(1000, b"bye") + extra(p))
        for answer in expected:
            p.expect(*answer)
        p.expect_close(1000)
        p.expect_end()
    return run


case("close.then.text", "K09 text behind the Close is not echoed", ignored(lambda p: p.text(b"too late")))
case("close.then.ping", "K09 F19 a ping behind the Close is not answered", ignored(lambda p: p.ping(b"too late")))
case("close.then.close", "K09 a second Close is not answered", ignored(lambda p: p.close_frame(1001)))
case("close.then.close.empty", "K09 ten Closes are answered once", ignored(lambda p: p.close_frame() * 9))
case("close.then.bad", "K09 a broken frame behind the Close is not parsed",
     ignored(lambda p: b"\xff\xff\xff\xff\xff\xff"))
case("close.then.utf8", "K09 invalid text behind the Close is not parsed", ignored(lambda p: p.text(b"\xff\xff")))
case("close.then.wrong.mask", "K09 a wrongly masked frame behind the Close is not parsed",
     ignored(lambda p: p.text(b"x", key=p.wrong_key())))
case("close.then.much", "K15 64 KiB of text behind the Close", ignored(lambda p: p.text(b"x" * 65536)))
case("close.inside", "K03 a Close inside a fragmented message",
     ignored(lambda p: b"", lambda p: p.text(b"part", fin=False)))
case("close.inside.rest", "K09 a Close inside a fragmented message, the rest behind it",
     ignored(lambda p: p.frame(CONT, b"rest"), lambda p: p.text(b"part", fin=False)))
case("close.after.ten", "K13 ten messages and a Close in one go: ten echoes, then the Close",
     ignored(lambda p: b"", lambda p: b"".join(p.text(b"%d" % i) for i in range(10)),
             [(TEXT, b"%d" % i) for i in range(10)]))
for size in (65536, 1 << 20, 4 << 20):
    case(f"close.after.large.{size}", f"K13 a message of {size} bytes and a Close in one go: the echo first",
         ignored(lambda p: b"", lambda p, n=size: p.text(b"L" * n), [(TEXT, b"L" * size)]))
case("close.after.text.chop1", "K13 a message and a Close, one byte at a time",
     lambda p: (p.send(p.text(b"last words") + p.close_frame(1000), chop=1), p.expect_text(b"last words"),
                p.expect_close(1000),
                p.expect_end()))


def close_after_ping(p):
    p.send(p.ping(b"late") + p.close_frame(1000))
    got = p.read("a pong or Close 1000")  # F19: after the peer's Close the pong is not owed any more
    if got == (PONG, b"late"):
        got = p.read("Close 1000")
    if got[0] != CLOSE or got[1][:2] != close_payload(1000):
        raise Failure(f"expected Close 1000, got {p._name(*got)}")
    p.expect_end()


case("close.after.ping", "F19 a ping and a Close in one go: at most the pong, then the Close", close_after_ping)


# 8. After an error: sticky, silent, readable.

def linger(code, frame_of, size=4 << 20, before=()):
    """Much more is sent behind the error before anything is read: the Close must still be readable, without a reset."""
    def run(p):
        p.send(b"".join(p.frame(*message) for message in before) + frame_of(p), read=False)
        p.send(b"\x55" * size)
        time.sleep(0.05)
        p.send(b"\x55" * 1000)
        for message in before:
            p.expect(*message)
        p.fails(code)
    return run


case("error.linger.opcode", "K15 4 MiB behind a bad opcode, then the Close is read", linger(1002, lambda p: p.frame(3)))
case("error.linger.utf8", "K15 4 MiB behind bad text, then the Close is read", linger(1007, lambda p: p.text(b"\xff")))
case("error.linger.size", "K15 4 MiB of a message that is too long, then the Close is read",
     linger(1009, lambda p: p.head(BINARY, 1 << 40)))
case("error.linger.echo", "K15 4 MiB behind an error behind 64 KiB that are echoed first",
     linger(1002, lambda p: p.frame(3), before=[(BINARY, blob(65536))]))
case("error.once", "K14 ten different errors in one go: one Close, of the first",
     bad(lambda p: p.text(b"\xff") + p.frame(3) + p.frame(CONT) + p.close_frame(999) + p.ping(blob(126)) * 6, 1007))
case("error.ping", "K14 a ping behind an error is not answered", bad(lambda p: p.frame(5) + p.ping(b"hello?"), 1002))
case("error.close", "K14 a Close behind an error changes nothing", bad(lambda p: p.frame(5) + p.close_frame(1000),
    1002))
for size in (65536, 1 << 20):
    case(f"error.after.large.{size}", f"F11 K13 an error behind a message of {size} bytes, which is flushed first",
         bad(lambda p, n=size: p.binary(blob(n)) + p.frame(CONT, b"x"), 1002, before=[(BINARY, blob(size))]))
case("error.after.hundred", "K13 an error behind 100 messages, which are flushed first",
     bad(lambda p: b"".join(p.text(b"%d" % i) for i in range(100)) + p.frame(7), 1002,
         before=[(TEXT, b"%d" % i) for i in range(100)]))


# 9. Lengths and masks.

for form, lengths in ((16, (0, 1, 125)), (64, (0, 1, 125, 126, 65535))):
    for n in lengths:
        case(f"length.form{form}.{n}", f"F01 length {n} written in {form} bits",
             bad(lambda p, f=form, n=n: p.text(b"x" * n, form=f), 1002))
        case(f"length.form{form}.{n}.header", f"F01 length {n} written in {form} bits fails at the head, after a message",
             bad(lambda p, f=form, n=n: p.text(b"first") + p.head(BINARY, n, form=f), 1002,
                 before=[(TEXT, b"first")], after=False))
case("length.form16.continuation", "F01 a continuation of 5 bytes written in 16 bits",
     bad(lambda p: p.text(b"a", fin=False) + p.frame(CONT, b"Hello", form=16), 1002))
for name, n in (("2^63", 1 << 63), ("2^63+5", (1 << 63) + 5), ("2^64-1", (1 << 64) - 1)):
    case(f"length.top.{name}", f"F02 length {name}: the top bit is set",
         bad(lambda p, n=n: p.head(BINARY, n), 1002, after=False))
    case(f"length.top.{name}.continuation", f"F02 length {name} in a continuation",
         bad(lambda p, n=n: p.text(b"a", fin=False) + p.head(CONT, n), 1002, after=False))
for name, n in (("2^63-1", (1 << 63) - 1), ("2^62", 1 << 62), ("2^32", 1 << 32), ("2^32+5", (1 << 32) + 5),
                ("2^31", 1 << 31)):
    for op in (TEXT, BINARY):
        case(f"length.huge.{name}.{KIND[op]}", f"F03 F04 {KIND[op]} of {name} bytes is refused at its head",
             bad(lambda p, n=n, o=op: p.head(o, n), 1009, after=False))
    case(f"length.huge.{name}.sum", f"F03 a continuation of {name} bytes: the sum does not wrap",
         bad(lambda p, n=n: p.binary(b"0123456789", fin=False) + p.head(CONT, n), 1009, after=False))
    case(f"length.huge.{name}.payload", f"F03 {name} bytes announced, five sent: nothing is echoed",
         bad(lambda p, n=n: p.head(BINARY, n) + b"Hello", 1009))

for name, make in (("text", lambda p, k: p.text(b"Hello", key=k)), ("binary", lambda p, k: p.binary(b"Hello", key=k)),
                   ("empty", lambda p, k: p.text(key=k)), ("ping", lambda p, k: p.ping(b"Hello", key=k)),
                   ("pong", lambda p, k: p.frame(PONG, key=k)), ("close", lambda p, k: p.close_frame(1000, key=k)),
                   ("close.empty", lambda p, k: p.frame(CLOSE, key=k)),
                   ("continuation", lambda p, k: p.text(b"a", fin=False) + p.frame(CONT, b"b", key=k)),
                   ("large", lambda p, k: p.binary(blob(70000), key=k))):
    case(f"mask.wrong.{name}", f"F05 a {name} frame with the wrong MASK bit",
         bad(lambda p, m=make: m(p, p.wrong_key()), 1002))
case("mask.wrong.after", "F05 a frame with the wrong MASK bit behind a message, which is echoed first",
     bad(lambda p: p.text(b"first") + p.text(b"x", key=p.wrong_key()), 1002, before=[(TEXT, b"first")]))
case("mask.wrong.header", "F05 a frame with the wrong MASK bit fails at its head",
     bad(lambda p: p.head(TEXT, 1000, key=p.wrong_key()), 1002, after=False))


# 10. Limits and large messages.

FRAGMENT_LIMIT = 65536
MIB = 1 << 20


def limit_cases(add, prefix, limit):
    """F18 for an endpoint whose message limit is `limit`."""
    def exact(opcode, cuts):
        def run(p):
            data = b"m" * limit
            for _ in range(2):
                p.send(p.fragments(opcode, [data[a:b] for a, b in zip([0] + cuts, cuts + [limit])]))
                p.expect(opcode, data)
            p.finish()
        return run

    for op in (TEXT, BINARY):
        add(f"{prefix}.exact.{KIND[op]}", f"F18 {KIND[op]} of exactly {limit} bytes is delivered", exact(op, []), 30)
        add(f"{prefix}.over.{KIND[op]}", f"F18 {KIND[op]} of {limit + 1} bytes fails at its head",
            bad(lambda p, o=op: p.head(o, limit + 1), 1009, after=False), 20)
    add(f"{prefix}.exact.fragments", f"F18 exactly {limit} bytes in five fragments are delivered",
        exact(TEXT, [1, limit // 2, limit // 2, limit - 7]), 30)
    add(f"{prefix}.exact.empty", f"F18 exactly {limit} bytes and an empty last fragment are delivered",
        exact(BINARY, [limit]), 30)
    add(f"{prefix}.over.first", f"F18 a first fragment of {limit + 1} bytes fails at its head",
        bad(lambda p: p.head(TEXT, limit + 1, fin=False), 1009, after=False), 20)
    add(f"{prefix}.over.sum", "F18 the sum of two fragments is one byte over, decided at the second head",
        bad(lambda p: p.text(b"m" * (limit - 10), fin=False) + p.head(CONT, 11), 1009, after=False), 30)
    add(f"{prefix}.over.last", "F18 a full message and one byte more in a last fragment",
        bad(lambda p: p.binary(b"m" * limit, fin=False) + p.head(CONT, 1), 1009, after=False), 30)
    add(f"{prefix}.over.ping", "F18 pings between fragments do not count, the fragments do",
        bad(lambda p: p.text(b"m" * (limit - 1), fin=False) + p.ping(b"c" * 100) + p.frame(CONT, b"m", fin=False)
            + p.ping(b"d") + p.head(CONT, 1), 1009, before=[(PONG, b"c" * 100), (PONG, b"d")], after=False), 30)
    add(f"{prefix}.over.after", "F18 a message that is too long behind two others, which are echoed first",
        bad(lambda p: p.text(b"one") + p.binary(b"t" * (limit // 2)) + p.head(TEXT, limit + 1), 1009,
            before=[(TEXT, b"one"), (BINARY, b"t" * (limit // 2))], after=False), 30)


def many_fragments(opcode, count, size):
    """Exactly `count` fragments: a piece of the message at a time, so that building them takes little."""
    def run(p):
        piece = blob(size) if opcode == BINARY else b"abcdefghijklmnop" * (size // 16) + b"x" * (size % 16)
        middle = p.frame(CONT, piece, fin=False)
        p.send(p.frame(opcode, piece, fin=False) + middle * (count - 2) + p.frame(CONT, piece))
        p.expect(opcode, piece * count)
        p.finish()
    return run


def too_many_fragments(size, finished):
    """One fragment more than the limit: refused at its head, before its payload."""
    def run(p):
        p.send(p.frame(BINARY, b"f" * size, fin=False) + p.frame(CONT, b"f" * size, fin=False) * (FRAGMENT_LIMIT - 1))
        p.send(p.ping(b"still fine"))
        p.expect_pong(b"still fine")
        p.send(p.head(CONT, 5, fin=finished))
        p.fails(1008)
    return run


for op in (TEXT, BINARY):
    for n in (64 << 10, 256 << 10, MIB, 4 * MIB, 8 * MIB, 16 * MIB):
        case(f"large.{KIND[op]}.{n}", f"{KIND[op]} of {n >> 10} KiB in one frame", whole(op, n) if n < MIB else
             (lambda p, o=op, n=n: (p.echo(o, content(o, n)), p.finish())), 30)
    for n, size in ((4 * MIB, 64), (4 * MIB, 256), (4 * MIB, 1024), (4 * MIB, 65536), (4 * MIB, MIB), (16 * MIB, 1024),
                    (16 * MIB, 256)):
        case(f"large.{KIND[op]}.{n}.fragments{size}",
             f"F12 {KIND[op]} of {n >> 20} MiB in {n // size} fragments of {size} bytes",
             many_fragments(op, n // size, size), 30)
    for n, step in ((MIB, 997), (MIB, 64), (128 << 10, 1)):
        case(f"large.{KIND[op]}.{n}.chop{step}", f"F13 {KIND[op]} of {n >> 10} KiB sent in pieces of {step} bytes",
             lambda p, o=op, n=n, s=step: (p.echo(o, content(o, n), chop=s), p.finish()), 30)
case("large.fragments.65536", "F12 65,536 fragments of one byte", many_fragments(TEXT, FRAGMENT_LIMIT, 1), 30)
case("large.fragments.65537", "F12 the 65,537th fragment fails at its head", too_many_fragments(1, True), 30)
case("large.fragments.65537.nofin", "F12 the 65,537th fragment fails, even when more would follow",
     too_many_fragments(1, False), 30)
case("large.fragments.65537.empty", "F12 65,537 empty fragments fail", too_many_fragments(0, False), 30)
case("large.fragments.endless", "F12 endless empty fragments fail",
     bad(lambda p: p.text(fin=False) + p.frame(CONT, fin=False) * 100000, 1008, after=False), 30)
case("large.fragments.reset", "F12 the count starts afresh with each message",
     lambda p: [(p.send(p.text(b"a", fin=False) + p.frame(CONT, b"b", fin=False) * 39998 + p.frame(CONT, b"c")),
                 p.expect_text(b"a" + b"b" * 39998 + b"c")) for _ in range(2)] and p.finish(), 30)


def backlog(p):
    """32 messages of 256 KiB are sent before the first echo is read."""
    data = [blob(256 << 10, seed=i) for i in range(4)]
    p.send(b"".join(p.binary(data[i % 4]) for i in range(32)))
    for i in range(32):
        p.expect_binary(data[i % 4])
    p.finish()


case("large.backlog", "8 MiB in 32 messages come back in order", backlog, 30)



def round_trips(opcode, size, count):
    def run(p):
        for _ in range(count):
            p.echo(opcode, content(opcode, size))
        p.finish()
    return run


for op in (TEXT, BINARY):
    for n in (0, 125, 4096, 65536):
        case(f"large.{KIND[op]}.trips.{n}", f"300 round trips with {KIND[op]} of {n} bytes", round_trips(op, n, 300),
             30)

LONG_CASES = [(f"long.{KIND[op]}.16777216.chop1", f"F13 {KIND[op]} of 16 MiB sent one byte at a time",
               (lambda p, o=op: (p.echo(o, content(o, 16 * MIB), chop=1), p.finish())), 600) for op in (TEXT, BINARY)]


# 11. The transport ends without a Close.

def ends(data_of, answers=()):
    """EOF in the middle of something: the peer closes too, and sends nothing more."""
    def run(p):
        p.echo(TEXT, b"before")
        p.send(data_of(p))
        for answer in answers:
            p.expect(*answer)
        p.shutdown()
        p.expect_eof(2.5)
    return run


case("eof.idle", "K12 EOF between messages", ends(lambda p: b""))
case("eof.head", "K12 EOF after the first byte of a frame", ends(lambda p: p.text(b"Hello")[:1]))
case("eof.length", "K12 EOF inside a 64-bit length", ends(lambda p: p.binary(blob(70000))[:5]))
case("eof.payload", "K12 EOF inside a payload", ends(lambda p: p.text(b"Hello")[:-2]))
case("eof.control", "K12 EOF inside a ping", ends(lambda p: p.ping(b"Hello")[:-2]))
case("eof.close", "K12 EOF inside a Close", ends(lambda p: p.close_frame(1000, b"bye")[:-2]))
case("eof.fragment", "K12 EOF between two fragments", ends(lambda p: p.text(b"Hello", fin=False)))
case("eof.ping", "K12 EOF between fragments, after a ping that was answered",
     ends(lambda p: p.text(b"Hello", fin=False) + p.ping(b"p"), [(PONG, b"p")]))
