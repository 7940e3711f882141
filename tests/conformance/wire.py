"""The wire format as the RFCs describe it: frames, masking, UTF-8 and HTTP heads.

Written from RFC 6455, 3629 and 9112 alone, so that a misreading in the codec is not repeated here. What is built here may
be wrong on purpose (a forced length form, a missing mask); what is read is judged strictly.
"""

import base64
import hashlib
import re
import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
NAMES = {CONT: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Failure(Exception):
    """The peer under test did something else than the rule asks for."""


def show(data, most=24):
    """Bytes for a message: short, printable, with their length when cut."""
    data = bytes(data)
    if len(data) <= most:
        return repr(data)[1:]
    return f"{repr(data[:most])[1:]}…({len(data)} bytes)"


def mask(data, key):
    """XOR with the key, its phase starting at 0 (RFC 6455 section 5.3); one big integer, which is fast enough for 16 MiB."""
    size = len(data)
    if size == 0 or key == b"\0\0\0\0":
        return bytes(data)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")).to_bytes(size, "little")


def head(opcode, length, *, fin=True, rsv=0, key=None, form=None):
    """A frame head. `form` 7, 16 or 64 forces the length form, minimal or not; `key` None leaves the MASK bit off."""
    if form is None:
        form = 7 if length < 126 else 16 if length < 65536 else 64
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if key is not None else 0
    if form == 7:
        out = struct.pack("!BB", first, bit | length)
    elif form == 16:
        out = struct.pack("!BBH", first, bit | 126, length)
    else:
        out = struct.pack("!BBQ", first, bit | 127, length)
    return out + (key or b"")


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + reason


def accept_for(key):
    return base64.b64encode(hashlib.sha1(key + GUID).digest())


def utf8_scan(data):
    """(index of the first byte that cannot be part of valid text, or None; whether the end is a code point's end)."""
    need, low, high = 0, 0x80, 0xBF
    for index, byte in enumerate(data):
        if need:
            if not low <= byte <= high:
                return index, False
            need, low, high = need - 1, 0x80, 0xBF
        elif byte < 0x80:
            continue
        elif 0xC2 <= byte <= 0xDF:
            need = 1
        elif 0xE0 <= byte <= 0xEF:
            need, low, high = 2, 0xA0 if byte == 0xE0 else 0x80, 0x9F if byte == 0xED else 0xBF
        elif 0xF0 <= byte <= 0xF4:
            need, low, high = 3, 0x90 if byte == 0xF0 else 0x80, 0x8F if byte == 0xF4 else 0xBF
        else:
            return index, False
    return None, need == 0


def is_utf8(data):
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def valid_close_code(code):
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"


class Head:
    """The head of a request or a response: its start line and its fields in order, names in lower case."""

    def __init__(self, raw):
        lines = raw.split(b"\r\n")
        if lines[-2:] != [b"", b""]:
            raise Failure("a head that does not end with an empty line")
        self.start = lines[0]
        self.fields = []
        for line in lines[1:-2]:
            match = re.fullmatch(b"(" + TOKEN + rb"):[ \t]*(.*?)[ \t]*", line, re.DOTALL)
            if not match or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", match[2]):
                raise Failure(f"not a header field: {show(line, 80)}")
            self.fields.append((match[1].lower().decode(), match[2]))

    def all(self, name):
        return [value for field, value in self.fields if field == name]

    def one(self, name):
        """The value of a field that must be there exactly once."""
        values = self.all(name)
        if len(values) != 1:
            raise Failure(f"expected the field {name} once, got it {len(values)} times")
        return values[0]

    def tokens(self, name):
        return [part.strip(b" \t").lower() for part in b",".join(self.all(name)).split(b",") if part.strip(b" \t")]
