"""A connection to the peer under test: raw bytes first (Link), then WebSocket frames judged strictly (Peer)."""

import os
import re
import select
import socket
import time

from wire import (BINARY, CLOSE, CONT, NAMES, PING, PONG, TEXT, Failure, Head, close_payload, head, is_utf8, mask, show,
                  valid_close_code)

CHUNK = 1 << 20


class Link:
    """A socket that never blocks for longer than the case may last, and that reads while it writes."""

    def __init__(self, sock, timeout):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.buffer = bytearray()
        self.ended = None  # "EOF" or "a TCP reset"
        self.write_ended = False
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout
        self.poller = select.poll()
        self.poller.register(sock, select.POLLIN)

    def close(self):
        self.sock.close()

    def abort(self):
        """Drop the connection with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def _receive(self):
        """Take what is there. True when anything (bytes or the end) came."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.ended = "a TCP reset"
            return True
        if not data:
            self.ended = "EOF"
        self.buffer += data
        return True

    def _wait(self, events, until):
        left = until - time.monotonic()
        if left <= 0:
            return 0
        self.poller.modify(self.sock, events)
        found = self.poller.poll(left * 1000 + 1)
        return found[0][1] if found else 0

    def send(self, data, chop=0, pause=0.0, read=True):
        """Send all of it, in pieces of `chop` bytes. A peer that does not read any more is no failure here: what it sent
        decides."""
        view = memoryview(data)
        size, at, since_read = len(view), 0, 0
        while at < size and not self.write_ended:
            try:
                at += self.sock.send(view[at:at + chop] if chop else view[at:at + CHUNK])
                since_read += 1
                if read and since_read >= 64:
                    since_read = 0
                    self._receive()
                if pause:
                    time.sleep(pause)
            except (BlockingIOError, InterruptedError):
                events = select.POLLOUT | (select.POLLIN if read and not self.ended else 0)
                happened = self._wait(events, self.deadline)
                if not happened:
                    raise Failure(f"the peer stopped reading: {at} of {size} bytes taken") from None
                if happened & select.POLLIN and read:
                    self._receive()
            except OSError:
                self.write_ended = True
                self._receive()

    def shutdown(self):
        """End our direction: the peer reads EOF."""
        if not self.write_ended:
            self.write_ended = True
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def fill(self, until=None):
        """Wait for more bytes or the end. False when the time is over first."""
        until = min(until or self.deadline, self.deadline)
        while not self._receive():
            if self.ended or not self._wait(select.POLLIN, until):
                return False
        return True

    def take(self, size, what):
        while len(self.buffer) < size:
            if self.ended:
                raise Failure(f"expected {what}, got {self.ended}" + self._rest())
            if not self.fill():
                raise Failure(f"expected {what}, got nothing within {self.timeout:g} s" + self._rest())
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def _rest(self):
        return f" after {show(self.buffer)}" if self.buffer else ""

    def take_head(self, what):
        """Everything up to and with the empty line of an HTTP head."""
        searched = 0
        while (end := self.buffer.find(b"\r\n\r\n", max(searched - 3, 0))) < 0:
            searched = len(self.buffer)
            if self.ended:
                raise Failure(f"expected {what}, got {self.ended}" + self._rest())
            if searched > 1 << 20 or not self.fill():
                raise Failure(f"expected {what}, got no complete head" + self._rest())
        return Head(self.take(end + 4, what))

    def quiet(self, seconds):
        """Nothing may arrive for a while."""
        if self.buffer or (self.fill(time.monotonic() + seconds) and (self.buffer or self.ended)):
            raise Failure(f"expected nothing yet, got {show(self.buffer) if self.buffer else self.ended}")

    def expect_eof(self, seconds, allow_reset=False):
        """The peer ends its direction, and sends nothing before that."""
        until = time.monotonic() + seconds
        while not self.ended and not self.buffer and self.fill(until):
            pass
        if self.buffer:
            raise Failure(f"expected EOF and nothing else, got {show(self.buffer)}")
        if not self.ended:
            raise Failure(f"expected EOF within {seconds:g} s, the connection is still open")
        if self.ended != "EOF" and not allow_reset:
            raise Failure(f"expected EOF, got {self.ended}")


class Keys:
    """The masking keys of one client process: RFC 6455 section 10.3 wants them fresh and unpredictable."""

    def __init__(self):
        self.seen = {}
        self.count = 0
        self.last = None

    def note(self, key):
        if key == self.last:
            raise Failure(f"the masking key {key.hex()} came twice in a row")
        self.last = key
        self.count += 1
        if self.count <= 200000:
            self.seen[key] = self.seen.get(key, 0) + 1

    def judge(self):
        count = min(self.count, 200000)
        if count < 20:
            return
        if len(self.seen) < count - 2 - count // 1000:
            raise Failure(f"{count} masking keys, only {len(self.seen)} of them different")
        for at in range(4):
            values = {key[at] for key in self.seen}
            if count >= 200 and len(values) < 100:
                raise Failure(f"byte {at} of the masking keys has only {len(values)} values in {count} keys")
        for order in ("big", "little"):
            steps = [int.from_bytes(key, order) for key in self.seen]
            near = sum(1 for a, b in zip(steps, steps[1:]) if abs(a - b) < 1 << 16)
            if near > 3 + count // 1000:
                raise Failure(f"{near} of {count} masking keys lie next to the key before them: a counter or a clock")


class Peer(Link):
    """An open WebSocket connection. `tested` says which role the peer under test plays; we play the other one."""

    def __init__(self, sock, timeout, tested, keys=None):
        super().__init__(sock, timeout)
        self.tested = tested
        self.keys = keys
        self.deflate = None  # set by the compression cases
        self.part = None  # opcode, RSV1 and pieces of the peer's unfinished message
        self.closed = False  # the peer sent its Close
        self.frames = 0

    # Building: everything has the right mask for our role unless the case says otherwise.

    def key(self):
        return os.urandom(4) if self.tested == "server" else None

    def head(self, opcode, length, *, fin=True, rsv=0, key="right", form=None):
        return head(opcode, length, fin=fin, rsv=rsv, key=self.key() if key == "right" else key, form=form)

    def frame(self, opcode, payload=b"", *, fin=True, rsv=0, key="right", form=None):
        if key == "right":
            key = self.key()
        start = head(opcode, len(payload), fin=fin, rsv=rsv, key=key, form=form)
        return start + (mask(payload, key) if key else bytes(payload))

    def text(self, payload=b"", **rest):
        return self.frame(TEXT, payload, **rest)

    def binary(self, payload=b"", **rest):
        return self.frame(BINARY, payload, **rest)

    def ping(self, payload=b"", **rest):
        return self.frame(PING, payload, **rest)

    def close_frame(self, code=None, reason=b"", **rest):
        return self.frame(CLOSE, b"" if code is None else close_payload(code, reason), **rest)

    def wrong_key(self):
        """What the other role would do: no mask towards a server, a mask towards a client."""
        return None if self.tested == "server" else b"\x12\x34\x56\x78"

    def fragments(self, opcode, pieces, **rest):
        last = len(pieces) - 1
        return b"".join(self.frame(opcode if at == 0 else CONT, piece, fin=at == last, **rest)
                        for at, piece in enumerate(pieces))

    # Reading.

    def read_frame(self, what):
        """One frame of the peer: its bits and its unmasked payload, checked against sections 5.1, 5.2, 5.4 and 5.5."""
        first, second = self.take(2, what)
        if self.closed:
            raise Failure(f"expected nothing after the peer's Close, got a frame starting {first:02x} {second:02x}")
        fin, rsv, opcode = first >> 7, first >> 4 & 7, first & 15
        if opcode not in NAMES:
            raise Failure(f"expected {what}, got a frame with opcode {opcode}")
        name = NAMES[opcode]
        if rsv and not (rsv == 4 and self.deflate and opcode in (TEXT, BINARY)):
            raise Failure(f"the peer's {name} frame has reserved bits {rsv:03b}")
        masked = second >> 7
        if masked != (self.tested == "client"):
            raise Failure(f"the peer's {name} frame is {'' if masked else 'not '}masked")
        length = second & 127
        if opcode >= 8 and (not fin or length > 125):
            raise Failure(f"the peer's {name} frame is fragmented or longer than 125 bytes")
        if length == 126:
            length = int.from_bytes(self.take(2, what), "big")
            if length < 126:
                raise Failure(f"the peer wrote length {length} in 16 bits")
        elif length == 127:
            length = int.from_bytes(self.take(8, what), "big")
            if length < 65536 or length >> 63:
                raise Failure(f"the peer wrote length {length} in 64 bits")
        key = b""
        if masked:
            key = self.take(4, what)
            if self.keys:
                self.keys.note(key)
        payload = self.take(length, f"{length} bytes of a {name} frame")
        self.frames += 1
        return fin, rsv, opcode, mask(payload, key) if masked else payload

    def read(self, what):
        """The next whole message or control frame: (opcode, payload)."""
        while True:
            fin, rsv, opcode, payload = self.read_frame(what)
            if opcode == CLOSE:
                self.closed = True
                self._check_close(payload)
                return opcode, payload
            if opcode >= 8:
                return opcode, payload
            if (opcode == CONT) != (self.part is not None):
                raise Failure(f"the peer's {NAMES[opcode]} frame {'starts' if opcode == CONT else 'is inside'} a message")
            if opcode != CONT:
                self.part = (opcode, rsv, [])
            self.part[2].append(payload)
            if fin:
                opcode, rsv, pieces = self.part
                self.part = None
                data = b"".join(pieces)
                if rsv:
                    data = self.deflate.inflate(data)
                if opcode == TEXT and not is_utf8(data):
                    raise Failure(f"the peer sent text that is not UTF-8: {show(data)}")
                return opcode, data

    @staticmethod
    def _check_close(payload):
        if len(payload) == 1:
            raise Failure("the peer's Close has a payload of one byte")
        if payload:
            code = int.from_bytes(payload[:2], "big")
            if not valid_close_code(code):
                raise Failure(f"the peer's Close has the code {code}")
            if not is_utf8(payload[2:]):
                raise Failure("the reason of the peer's Close is not UTF-8")

    @staticmethod
    def _name(opcode, payload):
        if opcode == CLOSE:
            if not payload:
                return "a Close without a code"
            reason = payload[2:].decode()
            return f"Close {int.from_bytes(payload[:2], 'big')}" + (f" ({reason})" if reason else "")
        return f"{NAMES[opcode]} {show(payload)}"

    def expect(self, opcode, payload, pongs=()):
        """Exactly this comes next. Pongs with a payload of `pongs` may come before it."""
        want = self._name(opcode, payload)
        got = self.read(want)
        while got[0] == PONG and got[1] in pongs:
            got = self.read(want)
        if got != (opcode, bytes(payload)):
            detail = ""
            if got[0] == opcode and opcode != CLOSE:
                at = next((i for i, (a, b) in enumerate(zip(got[1], payload)) if a != b),
                          min(len(got[1]), len(payload)))
                detail = f" (they differ at byte {at}, sizes {len(payload)} and {len(got[1])})"
            raise Failure(f"expected {want}, got {self._name(*got)}{detail}")

    def expect_text(self, payload):
        self.expect(TEXT, payload)

    def expect_binary(self, payload):
        self.expect(BINARY, payload)

    def expect_pong(self, payload=b""):
        self.expect(PONG, payload)

    def expect_close(self, code):
        """A Close with this code (None: without payload); the reason is the peer's own affair."""
        want = "a Close without a code" if code is None else f"Close {code}"
        got = self.read(want)
        have = int.from_bytes(got[1][:2], "big") if got[1] else None
        if got[0] != CLOSE or have != code:
            raise Failure(f"expected {want}, got {self._name(*got)}")

    def expect_end(self, limit=2.5):
        """After the last Close: a server drops the transport at once, a client when we have (K11); no reset (K15)."""
        if self.tested == "client":
            self.shutdown()
        self.expect_eof(limit)

    # Whole exchanges.

    def echo(self, opcode, payload, **how):
        self.send(self.frame(opcode, payload), **how)
        self.expect(opcode, payload)

    def finish(self, code=1000):
        """The closing handshake, started by us."""
        self.send(self.close_frame(code))
        self.expect_close(code)
        self.expect_end()

    def fails(self, code):
        """The peer fails the connection with this code: its Close, nothing else, then the end of the connection."""
        self.expect_close(code)
        if self.tested == "client":
            self.send(self.close_frame(code))
        self.expect_end()
