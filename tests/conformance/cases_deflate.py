"""permessage-deflate (RFC 7692) in both roles: negotiation, the message forms, and messages in volume.

Compressing and judging use Python's zlib; what zlib does not write (BFINAL blocks in the middle, invalid codes, a distance of
32,768) is put together bit by bit.
"""

import base64
import json
import os
import random
import re
import zlib

import cases_client
import cases_server
from cases_both import MIB, blob
from wire import BINARY, CONT, PING, PONG, TEXT, TOKEN, Failure, show

MESSAGES = 1000  # of each volume case; --fast takes fewer
TAIL = b"\x00\x00\xff\xff"
RSV1 = 4
FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
WINDOWS = ("server_max_window_bits", "client_max_window_bits")


class Bits:
    """Deflate's bit order: integers least significant bit first, Huffman codes most significant bit first."""

    def __init__(self):
        self.bits = []

    def number(self, value, width):
        self.bits += [value >> at & 1 for at in range(width)]
        return self

    def code(self, value, width):
        self.bits += [value >> at & 1 for at in reversed(range(width))]
        return self

    def literal(self, byte):
        return self.code(0x30 + byte, 8) if byte < 144 else self.code(0x190 + byte - 144, 9)

    def end(self):
        return self.code(0, 7)

    def data(self):
        padded = self.bits + [0] * (-len(self.bits) % 8)
        return bytes(sum(bit << at for at, bit in enumerate(padded[i:i + 8])) for i in range(0, len(padded), 8))


class Deflate:
    """Both directions of one connection, seen from the driver. `their_*` is what the peer under test compresses with."""

    def __init__(self, our_bits=15, our_takeover=True, their_bits=15, their_takeover=True, level=6):
        self.our_bits, self.our_takeover = max(our_bits,
            9), our_takeover  # D10: at 9 zlib reaches back 250 bytes at most
        self.their_bits, self.their_takeover = their_bits, their_takeover
        self.level = level
        self.packer = self.unpacker = None
        self.history = b""
        self.seen = 0  # compressed messages of the peer

    def compress(self, data):
        """One message, its tail taken off (7692 section 7.2.1)."""
        if self.packer is None or not self.our_takeover:
            self.packer = zlib.compressobj(self.level, zlib.DEFLATED, -self.our_bits)
        out = self.packer.compress(data) + self.packer.flush(zlib.Z_SYNC_FLUSH)
        assert out.endswith(TAIL)
        return out[:-4] or b"\x00"

    def inflate(self, data):
        """One message of the peer. A small window is judged by taking the output in small steps, since zlib only refuses a
        distance beyond its window and what it has written in the call."""
        if not data:
            raise Failure("the peer sent a compressed message without a single byte (D03)")
        self.seen += 1
        if self.unpacker is None or not self.their_takeover:
            self.unpacker = zlib.decompressobj(-self.their_bits)
            self.history = b""
        step = 0 if self.their_bits == 15 else max(16, 1 << self.their_bits - 3)
        out, rest = [], data + TAIL
        try:
            while rest:
                piece = self.unpacker.decompress(rest, step)
                rest = self.unpacker.unconsumed_tail
                out.append(piece)
                if self.unpacker.eof:  # a BFINAL block: the window stays (7692 section 7.2.3.4)
                    rest = self.unpacker.unused_data
                    if rest == TAIL:  # the message ends exactly here (D04): the tail is no block
                        rest = b""
                    self.unpacker = zlib.decompressobj(-self.their_bits, zdict=(self.history + b"".join(out))[-32768:])
            while step and (piece := self.unpacker.decompress(b"", step)):
                out.append(piece)
        except zlib.error as problem:
            raise Failure(f"the peer's compressed message does not inflate at window bits {self.their_bits}: {problem}") from None
        whole = b"".join(out)
        self.history = (self.history + whole)[-32768:]
        return whole


def parse(value):
    """An extensions field: [(name, [(parameter, value or None)])], strictly."""
    out = []
    for member in re.findall(rb'(?:[^",]|"(?:[^"\\]|\\.)*")+', value):
        parts = [part.strip(b" \t") for part in member.split(b";")]
        parameters = []
        for part in parts[1:]:
            match = re.fullmatch(b"(" + TOKEN + rb")(?:=(?:\"?(" + TOKEN + rb')"?))?', part)
            if not match:
                raise Failure(f"not an extension parameter: {show(part, 40)}")
            parameters.append((match[1].decode(), match[2].decode() if match[2] else None))
        out.append((parts[0].decode(), parameters))
    return out


def checked(name, parameters, offer):
    """What a party may say of permessage-deflate: known names, once each, right values (D09, D11)."""
    if name != "permessage-deflate":
        raise Failure(f"an extension {name} was negotiated or offered")
    out = {}
    for key, value in parameters:
        if key in out:
            raise Failure(f"the parameter {key} comes twice")
        if key in FLAGS:
            if value is not None:
                raise Failure(f"the parameter {key} has a value")
        elif key in WINDOWS:
            if value is None and not (offer and key == "client_max_window_bits"):
                raise Failure(f"the parameter {key} has no value")
            if value is not None and value not in ("8", "9", "10", "11", "12", "13", "14", "15"):
                raise Failure(f"the parameter {key} has the value {value}")
        else:
            raise Failure(f"an unknown parameter {key}")
        out[key] = int(value) if value else None
    return out


def codec(agreed, tested):
    """The two directions from the agreed parameters."""
    ours, theirs = ("client", "server") if tested == "server" else ("server", "client")
    return Deflate(agreed.get(f"{ours}_max_window_bits") or 15, f"{ours}_no_context_takeover" not in agreed,
                   agreed.get(f"{theirs}_max_window_bits") or 15, f"{theirs}_no_context_takeover" not in agreed)


# Opening, role by role.

def offered_to_server(target, offer, limited=False, negotiated=True):
    """Open a connection with this offer; the answer must fit it (D07, D08, D18), or be none at all."""
    link = target.dial(target.limited if limited else None)
    key = base64.b64encode(os.urandom(16))
    offers = offer if isinstance(offer, list) else [offer]
    link.send(cases_server.request(link, key=key, Sec_WebSocket_Extensions=offers))
    response = cases_server.accepted(link, key, extensions=False)
    values = response.all("sec-websocket-extensions")
    if negotiated is False and values:
        raise Failure(f"the offer should be declined, got {show(values[0], 100)}")
    if negotiated is True and not values:
        raise Failure("the offer was declined")
    if not values:
        return link
    answers = parse(values[0])
    if len(answers) != 1:
        raise Failure(f"expected one extension, got {show(values[0], 100)}")
    link.agreed = checked(*answers[0], offer=False)
    link.deflate = codec(link.agreed, "server")
    return link


def fits(agreed, offer):
    """D18: the answer to an offer that is good by itself."""
    asked = checked(*parse(offer)[0], offer=True)
    if "server_no_context_takeover" in asked and "server_no_context_takeover" not in agreed:
        raise Failure("server_no_context_takeover was asked for, the answer lacks it")
    if "server_max_window_bits" in asked and agreed.get("server_max_window_bits", 16) > asked["server_max_window_bits"]:
        raise Failure(f"server_max_window_bits={asked['server_max_window_bits']} was asked for, got {agreed.get('server_max_window_bits')}")
    if "client_max_window_bits" in agreed:
        if "client_max_window_bits" not in asked:
            raise Failure("client_max_window_bits is in the answer, but was not offered")
        if agreed["client_max_window_bits"] > (asked["client_max_window_bits"] or 15):
            raise Failure(f"client_max_window_bits={agreed['client_max_window_bits']} is more than was offered")


def offer_of(peer):
    """What the client under test offers; its first offer is the one that is answered."""
    values = peer.request.all("sec-websocket-extensions")
    offers = parse(b", ".join(values))
    if not offers:
        raise Failure("the client offers no permessage-deflate")
    return checked(*offers[0], offer=True)


def answer_to(peer, **wanted):
    """The parameters of a right answer: what is wanted, and what the client's offer demands."""
    asked = offer_of(peer)
    agreed = dict(wanted)
    if "server_no_context_takeover" in asked:
        agreed["server_no_context_takeover"] = None
    if "server_max_window_bits" in asked:
        agreed["server_max_window_bits"] = min(asked["server_max_window_bits"],
            wanted.get("server_max_window_bits", 15))
    return agreed


def written(agreed):
    return b"permessage-deflate" + b"".join(b"; " + k.encode() + (b"=%d" % v if v is not None else b"") for k,
        v in agreed.items())


def opened_by_client(peer, **wanted):
    agreed = answer_to(peer, **wanted)
    peer.send(cases_client.response(peer, Sec_WebSocket_Extensions=written(agreed)))
    peer.agreed = agreed
    peer.deflate = codec(agreed, "client")
    return peer


# Sending compressed messages.

def packed(p, opcode, data, pieces=1, rng=random):
    """A message through the connection's compressor, in one frame or several."""
    payload = p.deflate.compress(data)
    cuts = sorted(rng.randrange(len(payload) + 1) for _ in range(pieces - 1))
    return raw(p, opcode, [payload[a:b] for a, b in zip([0] + cuts, cuts + [len(payload)])])


def raw(p, opcode, payload, rsv=RSV1):
    """A compressed payload as it is; a list is sent as fragments."""
    pieces = payload if isinstance(payload, list) else [payload]
    return b"".join(p.frame(CONT if at else opcode, piece, fin=at == len(pieces) - 1, rsv=0 if at else rsv)
                    for at, piece in enumerate(pieces))


def inflates(*messages):
    """Compressed payloads and what they inflate to; a wrong one would come back as something else."""
    def run(p):
        for opcode, payload, expected in messages:
            p.send(raw(p, opcode, payload))
            p.expect(opcode, expected)
        p.send(p.text(b"uncompressed, last"))
        p.expect_text(b"uncompressed, last")
        p.finish()
    return run


def corrupt(payload, code=1007, opcode=BINARY, before=()):
    """Good messages, then this one: the good ones come back first, the connection fails, nothing behind it is looked at."""
    def run(p):
        data = b"".join(raw(p, op, good) for op, good, _ in before)
        p.send(data + raw(p, opcode, payload) + p.text(b"behind the error"))
        for op, _, expected in before:
            p.expect(op, expected)
        p.fails(code)
    return run


def frames(make, code, before=()):
    def run(p):
        p.send(make(p) + p.text(b"behind the error"))
        for answer in before:
            p.expect(*answer)
        p.fails(code)
    return run


# The forms of a message.

HELLO = bytes.fromhex("f248cdc9c90700")
BOTH = []


def both(name, title, function, seconds=10):
    BOTH.append((name, title, function, seconds))


def deflated(data, *, strategy=zlib.Z_DEFAULT_STRATEGY, level=6, finish=False, zdict=None):
    extra = {"zdict": zdict} if zdict else {}
    packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy, **extra)
    out = packer.compress(data) + packer.flush(zlib.Z_FINISH if finish else zlib.Z_SYNC_FLUSH)
    return out if finish else out[:-4]


def stored(data, final=False):
    return bytes([final]) + len(data).to_bytes(2, "little") + (len(data) ^ 0xffff).to_bytes(2, "little") + data


PROSE = (b"The quick brown fox jumps over the lazy dog, and over the lazier one. " * 60)[:4000]

both("form.hello", "D01 the RFC's compressed Hello, twice", inflates((TEXT, HELLO, b"Hello"), (TEXT, HELLO, b"Hello")))
both("form.takeover", "D07 the RFC's second Hello refers to the first",
     inflates((TEXT, HELLO, b"Hello"), (TEXT, bytes.fromhex("f200110000"), b"Hello")))
both("form.stored", "D05 a stored block", inflates((TEXT, stored(b"Hello") + b"\0", b"Hello")))
both("form.two.blocks", "D05 two blocks with an empty one between",
     inflates((TEXT, bytes.fromhex("f248050000 00ffffcac9c90700"), b"Hello")))
both("form.fixed", "D05 fixed Huffman codes", inflates((TEXT, deflated(PROSE, strategy=zlib.Z_FIXED), PROSE)))
both("form.dynamic", "D05 dynamic Huffman codes", inflates((TEXT, deflated(PROSE, level=9), PROSE)))
both("form.huffman.only", "D05 Huffman codes without matches",
     inflates((TEXT, deflated(PROSE, strategy=zlib.Z_HUFFMAN_ONLY), PROSE)))
both("form.rle", "D05 matches of distance 1", inflates((TEXT, deflated(b"a" * 5000, strategy=zlib.Z_RLE), b"a" * 5000)))
both("form.level0", "D05 stored blocks as zlib writes them",
     inflates((BINARY, deflated(blob(40000), level=0), blob(40000))))
both("form.empty.00", "D03 an empty message as 00", inflates((TEXT, b"\0", b""), (BINARY, b"\0", b""),
    (TEXT, HELLO, b"Hello")))
both("form.empty.0200", "D03 an empty message as 02 00", inflates((TEXT, b"\2\0", b""), (TEXT, HELLO, b"Hello")))
both("form.empty.uncompressed", "D03 D06 an empty message, not compressed",
     lambda p: (p.echo(TEXT, b""), p.echo(BINARY, b""), p.finish()))
both("form.empty.fragments", "D03 an empty message in three fragments, two of them empty",
     inflates((TEXT, [b"", b"\0", b""], b"")))
both("form.none", "D03 RSV1 without any payload", corrupt(b""))
both("form.none.text", "D03 RSV1 on an empty text", corrupt(b"", opcode=TEXT))
both("form.none.fragments", "D03 RSV1 without any payload in three fragments", corrupt([b"", b"", b""]))
both("form.final", "D04 the RFC's Hello in a BFINAL block",
     inflates((TEXT, bytes.fromhex("f348cdc9c9070000"), b"Hello"), (TEXT, HELLO, b"Hello")))
both("form.final.exact", "D04 a message that ends exactly at a BFINAL block",
     inflates((TEXT, bytes.fromhex("f348cdc9c90700"), b"Hello"), (TEXT, HELLO, b"Hello")))
both("form.final.stored", "D04 a stored block with BFINAL, then an empty one",
     inflates((TEXT, stored(b"Hello", True) + b"\0", b"Hello")))
both("form.final.stored.exact", "D04 a stored block with BFINAL at the end",
     inflates((TEXT, stored(b"Hello", True), b"Hello"), (TEXT, HELLO, b"Hello")))
both("form.final.five", "D04 five BFINAL blocks, then an open one",
     inflates((TEXT, b"".join(deflated(b"part %d, " % i, finish=True) for i in range(5)) + deflated(b"rest"),
               b"part 0, part 1, part 2, part 3, part 4, rest")))
both("form.final.window", "D04 behind a BFINAL block the window is kept",
     inflates((BINARY, deflated(blob(300), finish=True) + deflated(blob(300) + b"!", zdict=blob(300)), blob(300) * 2
               + b"!")))
both("form.final.window.next", "D04 D07 the next message refers to bytes before a BFINAL block",
     inflates((BINARY, deflated(blob(300), finish=True), blob(300)), (BINARY, deflated(blob(300), zdict=blob(300)),
         blob(300))))
both("form.final.fragments", "D02 D04 BFINAL blocks in one-byte fragments",
     inflates((TEXT, [bytes([b]) for b in deflated(b"one,", finish=True) + deflated(b"two", finish=True) + b"\0"],
               b"one,two")))
both("form.final.garbage", "D04 what stands behind a BFINAL block is no block",
     corrupt(deflated(b"fine", finish=True) + b"\x06\xff\xff"))
both("form.fragments", "D02 the RFC's Hello in two fragments", inflates((TEXT, [HELLO[:3], HELLO[3:]], b"Hello")))
both("form.fragments.every", "D02 a message cut in two at every byte", lambda p: [
    (p.send(raw(p, TEXT, [x[:cut], x[cut:]])), p.expect_text(PROSE[:500])) for x in [deflated(PROSE[:500])]
    for cut in range(len(x) + 1)] and p.finish())
both("form.fragments.octets", "D02 a message in fragments of one byte",
     inflates((TEXT, [bytes([b]) for b in deflated(PROSE)], PROSE)))
both("form.fragments.empty", "D02 empty fragments first, between and last",
     inflates((TEXT, [b"", HELLO[:2], b"", b"", HELLO[2:], b""], b"Hello")))
both("form.chop1", "D02 F13 a compressed message, one byte at a time",
     lambda p: (p.send(packed(p, TEXT, PROSE, 3), chop=1), p.expect_text(PROSE), p.finish()))
both("form.stored.fragments", "D05 a stored block of 60,000 bytes in fragments of one byte",
     inflates((BINARY, [bytes([b]) for b in stored(blob(60000)) + b"\0"], blob(60000))))
both("form.stored.65535", "D05 a stored block of 65,535 bytes, one byte at a time", lambda p: (
    p.send(raw(p, BINARY, stored(blob(65535)) + b"\0"), chop=1), p.expect_binary(blob(65535)), p.finish()))
both("form.blocks.many", "D05 10,000 blocks in one message",
     inflates((TEXT, stored(b"x") * 10000 + b"\0", b"x" * 10000)))
both("form.flush.inside", "D01 00 00 ff ff inside a message is data of the stream",
     inflates((TEXT, (deflated(b"one ") + TAIL) * 3 + deflated(b"end"), b"one one one end")))
both("form.tail.kept", "D01 a message whose sender forgot to take the tail off",
     inflates((TEXT, HELLO[:-1] + b"\0" + TAIL + b"\0", b"Hello")))
far = Bits().number(0, 1).number(1, 2).code(0xc5, 8).code(29, 5).number(8191, 13).end()
both("form.distance.32768", "D07 message 2 refers 32,768 bytes back", inflates(
    (BINARY, stored(blob(32768)) + b"\0", blob(32768)), (BINARY, far.number(0, 3).data(), blob(32768)[:258])))
both("form.same", "D15 random bytes that would grow, again and again",
     lambda p: [p.echo(BINARY, blob(1000)) for _ in range(20)] and p.finish())
both("form.same.compressed", "D15 random bytes compressed by us, again and again", lambda p: [
    (p.send(packed(p, BINARY, blob(n))), p.expect_binary(blob(n))) for _ in range(5)
    for n in (1, 20, 63, 64, 65, 1000, 5000)] and p.finish())


def alternating(p):
    """D06, D15: compressed and not, large and small, in turn; both compressors must stay in step."""
    rng = random.Random(5)
    expected, data = [], b""
    for index in range(200):
        message = PROSE[rng.randrange(3000):][:rng.choice((0, 1, 5, 63, 64, 200, 900))]
        data += packed(p, TEXT, message, 1 + index % 3, rng) if index % 2 else p.text(message)
        expected.append(message)
    p.send(data)
    for message in expected:
        p.expect_text(message)
    if not p.deflate.seen:
        raise Failure("the peer compressed none of 200 messages")
    p.finish()


both("form.alternating", "D06 compressed and uncompressed messages in turn", alternating)
both("form.compresses", "D15 text of 4,000 bytes comes back compressed", lambda p: (
    p.send(packed(p, TEXT, PROSE)), p.expect_text(PROSE), judge_compressed(p), p.finish()))


def judge_compressed(p):
    if not p.deflate.seen:
        raise Failure("expected the echo to be compressed")


def pings_between(p):
    payload = p.deflate.compress(PROSE)
    step = max(1, len(payload) // 20)
    pieces = [payload[at:at + step] for at in range(0, len(payload), step)]
    for at, piece in enumerate(pieces):
        p.send(p.frame(CONT if at else TEXT, piece, fin=at == len(pieces) - 1, rsv=0 if at else RSV1))
        if at < len(pieces) - 1:
            p.send(p.ping(b"ping %d" % at) + p.frame(PONG, b"pong"))
            p.expect_pong(b"ping %d" % at)
    p.expect_text(PROSE)
    p.send(packed(p, TEXT, PROSE))
    p.expect_text(PROSE)
    p.finish()


both("control.ping", "D14 pings and pongs between the fragments", pings_between)
both("control.close", "D14 a Close between the fragments", lambda p: (
    p.send(p.text(HELLO[:3], fin=False, rsv=RSV1) + p.close_frame(1000) + p.frame(CONT, HELLO[3:])),
    p.expect_close(1000), p.expect_end()))
both("control.eof", "K12 EOF inside a compressed message", lambda p: (p.send(raw(p, TEXT, HELLO)[:-3]), p.shutdown(),
    p.expect_eof(2.5)))

# RSV1 where it may not be.

for label, make in (("ping", lambda p: p.ping(b"Hello", rsv=RSV1)),
                    ("pong", lambda p: p.frame(PONG, b"Hello", rsv=RSV1)),
                    ("close", lambda p: p.close_frame(1000, rsv=RSV1)),
                    ("continuation", lambda p: raw(p, TEXT, HELLO[:3]).replace(b"\xc1", b"\x41", 1)
                     + p.frame(CONT, HELLO[3:], rsv=RSV1)),
                    ("continuation.plain", lambda p: p.text(b"plain", fin=False) + p.frame(CONT, HELLO, rsv=RSV1)),
                    ("continuation.orphan", lambda p: p.frame(CONT, HELLO, rsv=RSV1)),
                    ("opcode", lambda p: p.frame(3, HELLO, rsv=RSV1)),
                    ("unmasked", lambda p: p.frame(TEXT, HELLO, rsv=RSV1, key=p.wrong_key()))):
    both(f"rsv.{label}", f"F07 RSV1 misused: {label}", frames(make, 1002))
for rsv in (1, 2, 3, 5, 6, 7):
    both(f"rsv.{rsv:03b}", f"F07 reserved bits {rsv:03b} on a text frame", frames(lambda p, r=rsv: p.text(HELLO, rsv=r),
        1002))
both("rsv.after", "F07 RSV2 behind a compressed message, which is echoed first",
     frames(lambda p: raw(p, TEXT, HELLO) + p.text(HELLO, rsv=6), 1002, [(TEXT, b"Hello")]))

# Data that does not inflate.

bad_blocks = {
    "type3": b"\x06\x00", "type3.final": b"\x07\x00", "stored.length": b"\x00\x05\x00\x05\x00Hello\x00",
    "ones": b"\xff" * 50,
    "random": b"\x1d" + blob(200), "distance.first": bytes.fromhex("f200110000"), "symbols.many": b"\xfc\xff\xff\xff",
    "length.286": Bits().number(0, 1).number(1, 2).code(0xc6, 8).number(0, 32).data(),
    "length.287": Bits().number(0, 1).number(1, 2).code(0xc7, 8).number(0, 32).data(),
    "distance.30": Bits().number(0, 1).number(1, 2).literal(65).code(1, 7).code(30, 5).number(0, 32).data(),
    "distance.31": Bits().number(0, 1).number(1, 2).literal(65).code(1, 7).code(31, 5).number(0, 32).data(),
    "distance.2of1": Bits().number(0, 1).number(1, 2).literal(65).code(1, 7).code(1, 5).end().number(0, 32).data(),
    "huffman.over": Bits().number(0, 1).number(2, 2).number(0, 5).number(0, 5).number(15, 4).number(int("001" * 19, 2),
        57).number(0, 64).data(),
    "huffman.incomplete": Bits().number(0, 1).number(2, 2).number(0, 5).number(0, 5).number(0, 4).number(0, 3).number(3,
        3).number(0, 6).number(0, 64).data(),
}
for label, payload in bad_blocks.items():
    both(f"corrupt.{label}", f"D12 corrupt data: {label}", corrupt(payload))
    both(f"corrupt.{label}.text", f"D12 corrupt data in text, in one-byte fragments: {label}",
         corrupt([bytes([b]) for b in payload], opcode=TEXT))
both("corrupt.after", "D12 corrupt data behind two messages, which are echoed first",
     corrupt(b"\x06\x00", before=[(TEXT, HELLO, b"Hello"), (BINARY, stored(b"x") + b"\0", b"x")]))
both("corrupt.stored.cut", "D12 a message that ends inside a stored block", corrupt(stored(b"0123456789")[:10]))
both("corrupt.early", "D12 a first fragment that does not inflate fails before the rest is sent", lambda p: (
    p.send(p.binary(b"\x06" + bytes(100), fin=False, rsv=RSV1)), p.fails(1007)))
for label, text in (("ff", b"\xff"), ("late", b"fine " * 100 + b"\xc0\xaf"), ("cut", b"cut \xe2\x82"),
                    ("surrogate", b"\xed\xa0\x80"), ("long", b"x" * 70000 + b"\xff")):
    both(f"utf8.{label}", f"F15 F16 compressed text that is not UTF-8 ({label})", corrupt(deflated(text), opcode=TEXT))
    both(f"utf8.{label}.stored", f"F15 F16 the same in stored blocks ({label})",
         corrupt(deflated(text, level=0), opcode=TEXT))
both("utf8.cut.blocks", "F16 a code point cut between two blocks and two fragments", inflates(
    (TEXT, [deflated(b"\xe2\x82") + TAIL, deflated(b"\xac!")], "€!".encode())))
both("utf8.early", "F15 bad text in a first fragment fails before the rest is sent", lambda p: (
    p.send(p.text(deflated(b"bad \xff text") + TAIL, fin=False, rsv=RSV1)), p.fails(1007)))
both("utf8.binary", "F15 the same bytes are fine in a binary message",
     inflates((BINARY, deflated(b"\xff\xfe" * 100), b"\xff\xfe" * 100)))


def bomb(size):
    """This many zero bytes; what fits whole MiB is one MiB's blocks repeated, each after a full flush."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    one = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return one * (size // MIB) + deflated(bytes(size % MIB))


def limit_cases(limit):
    """D13, F18: the limit is about the inflated bytes; the compressed bytes have one of their own."""
    allowed = limit + limit // 64 + 1024
    yield "limit.exact", f"D13 exactly {limit} bytes inflated are delivered", inflates((BINARY, bomb(limit),
        bytes(limit)))
    yield "limit.exact.fragments", f"D13 exactly {limit} bytes inflated, in fragments", inflates((TEXT,
        [x := bomb(limit), b""], bytes(limit)), (TEXT, [x[:9], x[9:]], bytes(limit)))
    yield "limit.over", f"D13 {limit + 1} bytes inflated", corrupt(bomb(limit + 1), 1009)
    yield "limit.over.text", f"D13 text of {limit + 1} bytes inflated", corrupt(deflated(b"t" * (limit + 1)), 1009,
        TEXT)
    yield "limit.bomb", "D13 a bomb of 256 MiB", corrupt(bomb(256 * MIB), 1009)
    yield "limit.bomb.early", "D13 a bomb in a first fragment fails before the rest is sent", lambda p: (
        p.send(p.binary(bomb(32 * MIB) + TAIL, fin=False, rsv=RSV1)), p.fails(1009))
    yield "limit.sum", "D13 two fragments of a message that is one byte too long", corrupt(
        [deflated(bytes(limit // 2)) + TAIL, deflated(bytes(limit - limit // 2 + 1))], 1009)
    yield "limit.compressed.header", f"F18 {allowed + 1} compressed bytes are refused at the head", lambda p: (
        p.send(p.head(BINARY, allowed + 1, rsv=RSV1)), p.fails(1009))
    yield "limit.compressed.sum", "F18 the sum of the fragments' compressed bytes is over, refused at the head", lambda p: (
        p.send(p.binary(stored(b"") * (allowed // 5), fin=False, rsv=RSV1) + p.head(CONT, allowed % 5 + 1)),
        p.fails(1009))
    six = next(b for b in range(5) if (allowed - 1 - 6 * b) % 5 == 0)
    nothing = stored(b"") * ((allowed - 1 - 6 * six) // 5) + stored(b"x") * six + b"\0"
    assert len(nothing) == allowed
    yield "limit.compressed.exact", f"F18 {allowed} compressed bytes that inflate to next to nothing", inflates((TEXT,
        nothing, b"x" * six))
    yield "limit.uncompressed", f"F18 an uncompressed message of {limit + 1} bytes is refused at the head", lambda p: (
        p.send(p.head(BINARY, limit + 1)), p.fails(1009))


# Messages in volume.

CORPUS = {}


def corpus(kind):
    """About 1 MiB of each kind, built once."""
    if kind not in CORPUS:
        rng = random.Random(42)
        if kind == "text":
            words = ["".join(rng.choices("etaoinshrdlucmfwypvbgkjqxzäöüé€語", k=rng.randrange(1, 11)))
                     for _ in range(3000)]
            CORPUS[kind] = " ".join(rng.choices(words, k=170000)).encode()
        elif kind == "json":
            CORPUS[kind] = json.dumps([{"id": rng.randrange(10 ** 9), "name": f"user{rng.randrange(999)}",
                                        "tags": rng.choices(["a", "new", "hot"], k=3),
                                        "position": [rng.random(), rng.random()], "active": rng.random() < .5}
                                        for _ in range(9000)]).encode()
        else:
            CORPUS[kind] = rng.randbytes(1 << 20)
    return CORPUS[kind]


def sample(kind, size, rng):
    """`size` bytes of a kind and the opcode they are sent with."""
    body = corpus(kind)
    data = body[(at := rng.randrange(len(body) - size)):at + size]
    if kind == "random":
        return BINARY, data
    whole = data.decode(errors="ignore").encode()
    return TEXT, whole + b"." * (size - len(whole))


def volume(kind, size=None, mixed=True):
    """Many messages, some at a time under way. `size` None: 0 to 128 KiB, small ones more often. `mixed`: fragments, pings
    and uncompressed messages among them."""
    def run(p):
        rng = random.Random(f"{kind}{size}")
        if p.deflate:
            p.deflate.level = 1 if size and size >= 32768 else 6
        left, pings = MESSAGES, set()
        while left:
            out, expected, total = [], [], 0
            while left and len(expected) < 32 and total < 262144:
                opcode, data = sample(kind, int(2 ** (rng.random() * 17)) if size is None else size, rng)
                if mixed and left % 7 == 0:
                    out.append(p.frame(opcode, data))
                else:
                    out.append(packed(p, opcode, data, 1 + left % 3 if mixed else 1, rng))
                expected.append((opcode, data))
                if mixed and left % 11 == 0:
                    out.append(p.ping(b"%d" % left))
                    pings.add(b"%d" % left)
                total += len(data)
                left -= 1
            p.send(b"".join(out))
            for answer in expected:
                p.expect(*answer, pongs=pings)
        p.send(p.ping(b"the last"))
        p.expect(PONG, b"the last", pongs=pings)
        p.finish()
    return run


SIZES = [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072]


def fragmented(kind, size, piece):
    """Messages whose compressed bytes go out in frames of a fixed size."""
    def run(p):
        rng = random.Random(size)
        for _ in range(max(1, MESSAGES // 10)):
            opcode, data = sample(kind, size, rng)
            payload = p.deflate.compress(data)
            p.send(raw(p, opcode, [payload[at:at + piece] for at in range(0, len(payload), piece)]))
            p.expect(opcode, data)
        p.finish()
    return run


for kind in ("text", "json", "random"):
    for size in SIZES:
        both(f"volume.{kind}.{size}", f"messages of {size} bytes of {kind}", volume(kind, size, mixed=False), 120)
    both(f"volume.{kind}.mixed", f"{kind} of 0 to 128 KiB, with fragments, pings and uncompressed messages",
         volume(kind), 120)
    for size, piece in ((1024, 1), (8192, 256), (131072, 1024), (131072, 32768)):
        both(f"volume.{kind}.{size}.frames{piece}", f"{kind} of {size} bytes in frames of {piece}",
             fragmented(kind, size, piece), 120)

# Negotiation, a server under test.

FIELD = "permessage-deflate"
VARIANTS = {
    "plain": {}, "client.bits": {"client_max_window_bits": None}, "no.client": {"client_no_context_takeover": None},
    "no.server": {"server_no_context_takeover": None},
    "no.both": {"server_no_context_takeover": None, "client_no_context_takeover": None},
    **{f"server.{n}": {"server_max_window_bits": n} for n in range(8, 16)},
    **{f"client.{n}": {"client_max_window_bits": n} for n in range(8, 16)},
    **{f"both.{n}": {"server_max_window_bits": n, "client_max_window_bits": n} for n in range(8, 16)},
    **{f"both.{n}.no.both": {"server_max_window_bits": n, "client_max_window_bits": n,
                             "server_no_context_takeover": None, "client_no_context_takeover": None}
       for n in range(8, 16)},
    "9.15.no.server": {"server_max_window_bits": 9, "client_max_window_bits": 15, "server_no_context_takeover": None},
    "15.9.no.client": {"server_max_window_bits": 15, "client_max_window_bits": 9, "client_no_context_takeover": None},
}


def server_variant(parameters, kind):
    def run(target):
        offer = written(parameters)
        eight = 8 in parameters.values()
        link = offered_to_server(target, offer, negotiated=None if eight else True)
        if link.deflate is None:  # D10: where the linked zlib cannot, the offer is declined
            link.echo(TEXT, b"declined")
            link.finish()
            return
        fits(link.agreed, offer)
        volume(kind)(link)
    return run


DECLINED = {
    "server.7": "server_max_window_bits=7", "server.16": "server_max_window_bits=16",
    "server.08": "server_max_window_bits=08", "server.0": "server_max_window_bits=0",
    "server.plus": "server_max_window_bits=+9", "server.minus": "server_max_window_bits=-9",
    "server.word": "server_max_window_bits=ten", "server.hex": "server_max_window_bits=0xf",
    "server.none": "server_max_window_bits", "server.huge": "server_max_window_bits=4294967305",
    "server.tail": "server_max_window_bits=9a", "server.point": "server_max_window_bits=9.0",
    "client.7": "client_max_window_bits=7", "client.16": "client_max_window_bits=16",
    "client.08": "client_max_window_bits=08", "client.word": "client_max_window_bits=x",
    "client.015": "client_max_window_bits=015", "flag.server": "server_no_context_takeover=1",
    "flag.client": "client_no_context_takeover=true", "flag.quoted": 'server_no_context_takeover="1"',
    "unknown": "foo", "unknown.value": "foo=1", "unknown.server": "server_max_window_bits=10; foo",
    "twice.server": "server_max_window_bits=10; server_max_window_bits=10",
    "twice.client": "client_max_window_bits; client_max_window_bits=10",
    "twice.flag": "server_no_context_takeover; server_no_context_takeover",
    "twice.flag.client": "client_no_context_takeover; client_no_context_takeover",
    "quoted.no.token": 'server_max_window_bits="1 0"', "quoted.empty": 'client_max_window_bits=""',
    "quoted.list": 'server_max_window_bits="10, 11"', "quoted.16": 'server_max_window_bits="16"',
}


def declined(offer):
    def run(target):
        link = offered_to_server(target, offer, negotiated=False)
        link.echo(TEXT, b"still open")
        link.send(raw(link, TEXT, HELLO) + link.text(b"behind the error"))
        link.fails(1002)
    return run


def answered(offer, want=(), lack=(), exact=None):
    """Negotiated with these parameters: `exact` is the good offer of several, which the answer must fit."""
    def run(target):
        link = offered_to_server(target, offer)
        if exact:
            fits(link.agreed, exact.encode())
        for name in want:
            if name not in link.agreed:
                raise Failure(f"expected {name} in the answer, got {link.agreed}")
        for name in lack:
            if name in link.agreed:
                raise Failure(f"{name} may not be in the answer, got {link.agreed}")
        alternating(link)
    return run


def context_misused(target):
    """D07: client_no_context_takeover is agreed, and the client refers back all the same."""
    link = offered_to_server(target, b"permessage-deflate; client_no_context_takeover")
    link.send(raw(link, TEXT, HELLO))
    link.expect_text(b"Hello")
    link.send(raw(link, TEXT, bytes.fromhex("f200110000")))
    if "client_no_context_takeover" in link.agreed:
        link.fails(1007)
    else:
        link.expect_text(b"Hello")
        link.finish()


def server_cases():
    """(id, title, function of a Target, seconds)."""
    cases = []

    def add(name, title, function, seconds=10):
        cases.append((f"deflate.{name}", title, function, seconds))

    def with_offer(function, limited=False):
        return lambda target: function(offered_to_server(target, b"permessage-deflate", limited))

    for name, title, function, seconds in BOTH:
        add(name, title, with_offer(function), seconds)
    for name, title, function in limit_cases(cases_server.LIMIT):
        add(f"small.{name}", title, with_offer(function, True), 20)
    for name, title, function in limit_cases(16 * MIB):
        add(f"default.{name}", title, with_offer(function), 30)
    for label, parameters in VARIANTS.items():
        add(f"variant.{label}", f"D09 D10 D18 the offer {written(parameters).decode()}",
            server_variant(parameters, "json" if len(label) % 2 else "text"), 120)
    for label, offer in DECLINED.items():
        add(f"declined.{label}", f"D09 D11 H16 {offer}", declined(f"{FIELD}; {offer}".encode()))
        add(f"fallback.{label}", f"H16 {offer}, then a good offer",
            answered(f"{FIELD}; {offer}, {FIELD}; server_no_context_takeover".encode(), ["server_no_context_takeover"],
                     exact=f"{FIELD}; server_no_context_takeover"))
    add("offer.none", "F07 no offer: RSV1 fails", lambda t: (lambda p: (p.send(raw(p, TEXT, HELLO)), p.fails(1002)))(
        t.open()))
    add("offer.other", "H16 H17 an unknown extension alone is declined", declined(b"x-unknown; a=1"))
    add("offer.inside.quotes", "H15 an offer inside a quoted string is none",
        declined(b'x-unknown; a="x, permessage-deflate"'))
    add("offer.similar", "H16 names that begin or end alike are other extensions",
        declined(b"permessage-deflate2, x-permessage-deflate, permessage"))
    add("offer.behind.unknown", "H16 an unknown extension, then an offer",
        answered(b'x-unknown; a="b, c; d", permessage-deflate'))
    add("offer.lines", "H11 offers over two lines",
        answered([b"permessage-deflate; foo", b"permessage-deflate; server_max_window_bits=10"],
                 exact=f"{FIELD}; server_max_window_bits=10"))
    add("offer.empty.members", "H12 empty members around an offer", answered(b", ,permessage-deflate,,"))
    add("offer.tight", "H12 no spaces at all", answered(
        b"permessage-deflate;server_no_context_takeover;client_max_window_bits", ["server_no_context_takeover"],
                                                        exact=f"{FIELD}; server_no_context_takeover; client_max_window_bits"))
    add("offer.quoted", "H15 H16 quoted values count like plain ones",
        answered(b'permessage-deflate; server_max_window_bits="10"; client_max_window_bits="11"',
                                                                               ["server_max_window_bits"],
                                                                               exact=f"{FIELD}; server_max_window_bits=10; client_max_window_bits=11"))
    add("offer.quoted.escape", "H15 an escape inside a quoted value is undone",
        answered(b'permessage-deflate; server_max_window_bits="1\\0"', ["server_max_window_bits"],
                                                                                        exact=f"{FIELD}; server_max_window_bits=10"))
    add("offer.no.client.bits", "D08 client_max_window_bits is not answered when it was not offered",
        answered(b"permessage-deflate", lack=["client_max_window_bits"]))
    add("offer.order", "H16 the first of two good offers is taken",
        answered(b"permessage-deflate; server_max_window_bits=9, permessage-deflate",
                 exact=f"{FIELD}; server_max_window_bits=9"))
    add("offer.browser", "D18 what Chromium offers", answered(b"permessage-deflate; client_max_window_bits",
        exact=f"{FIELD}; client_max_window_bits"))
    add("offer.all", "D18 all four parameters", answered(
        b"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12",
                                                        ["server_no_context_takeover", "server_max_window_bits"],
                                                        exact=f"{FIELD}; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12"))
    add("takeover.misused", "D07 a reference back although takeover is off", context_misused)
    return cases


# Negotiation, a client under test.

def client_variant(parameters, kind):
    """A right answer is accepted and lived by. One with client_max_window_bits where none was offered must be refused (D08)."""
    def run(peer):
        wanted = {k: v for k, v in parameters.items() if not (k == "client_max_window_bits" and v is None)}
        asked = offer_of(peer)
        if "client_max_window_bits" in wanted and "client_max_window_bits" not in asked:
            refused_answer(written(wanted))(peer)
            return
        hint = asked.get("client_max_window_bits") or 15
        if wanted.get("client_max_window_bits", 15) > hint:
            wanted["client_max_window_bits"] = hint
        opened_by_client(peer, **wanted)
        volume(kind)(peer)
    return run


def refused_answer(value):
    return cases_client.refuses(cases_client.res(Sec_WebSocket_Extensions=value))


REFUSED = {
    "server.7": "server_max_window_bits=7", "server.16": "server_max_window_bits=16",
    "server.08": "server_max_window_bits=08", "server.none": "server_max_window_bits",
    "server.plus": "server_max_window_bits=+9", "client.7": "client_max_window_bits=7",
    "client.16": "client_max_window_bits=16", "client.09": "client_max_window_bits=09",
    "client.none": "client_max_window_bits", "flag.server": "server_no_context_takeover=1",
    "flag.client": "client_no_context_takeover=0", "unknown": "foo", "unknown.value": "foo=1",
    "twice.server": "server_max_window_bits=10; server_max_window_bits=10",
    "twice.flag": "client_no_context_takeover; client_no_context_takeover",
    "twice.differ": "server_max_window_bits=10; server_max_window_bits=11",
    "quoted.no.token": 'server_max_window_bits="1 0"',
}


def no_answer(peer):
    """The offer is not answered: no compression, and RSV1 fails."""
    offer_of(peer)
    peer.send(cases_client.response(peer))
    peer.echo(TEXT, PROSE)
    peer.send(raw(peer, TEXT, HELLO))
    peer.fails(1002)


def server_context_misused(peer):
    opened_by_client(peer, server_no_context_takeover=None)
    peer.send(raw(peer, TEXT, HELLO))
    peer.expect_text(b"Hello")
    peer.send(raw(peer, TEXT, bytes.fromhex("f200110000")))
    peer.fails(1007)


def client_cases():
    """(id, title, function of a Peer whose request was read but not answered, seconds)."""
    cases = []

    def add(name, title, function, seconds=10):
        cases.append((f"deflate.{name}", title, function, seconds))

    def with_answer(function):
        return lambda peer: function(opened_by_client(peer))

    for name, title, function, seconds in BOTH:
        add(name, title, with_answer(function), seconds)
    for name, title, function in limit_cases(16 * MIB):
        add(f"default.{name}", title, with_answer(function), 30)
    for label, parameters in VARIANTS.items():
        if label != "client.bits":
            add(f"variant.{label}", f"D07 D08 D10 D18 the answer {written(parameters).decode()}",
                client_variant(parameters, "json" if len(label) % 2 else "text"), 120)
    for label, parameters in REFUSED.items():
        add(f"refused.{label}", f"C04 D09 D11 the answer {parameters}",
            refused_answer(f"{FIELD}; {parameters}".encode()))
    for label, value in (("twice", b"permessage-deflate, permessage-deflate"),
                         ("lines", [b"permessage-deflate", b"permessage-deflate"]),
                         ("beside", b"permessage-deflate, x-unknown"),
                         ("other", b"x-unknown"), ("similar", b"permessage-deflate2"),
                         ("frame", b"x-webkit-deflate-frame")):
        add(f"refused.{label}", f"C04 the answer {value!r}", refused_answer(value))
    add("answer.quoted", "H16 a quoted value in the answer", lambda p: (
        offer_of(p), p.send(cases_client.response(p,
            Sec_WebSocket_Extensions=b'permessage-deflate; server_max_window_bits="10"')),
        setattr(p, "deflate", Deflate(our_bits=10)), alternating(p)))
    add("answer.none", "C03 F07 no answer to the offer: no compression, and RSV1 fails", no_answer)
    add("takeover.misused", "D07 a reference back although takeover is off", server_context_misused)
    return cases
