"""wsproto as a peer of the differential test: reads batches of cases on its standard input, writes their outcomes (outcome.hpp)."""

import base64
import hashlib
import struct
import sys

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, RejectConnection, Request, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

TO_SERVER, TO_CLIENT, DEFLATE_TO_SERVER, DEFLATE_TO_CLIENT, REQUEST, RESPONSE = range(6)
WAITS, CLOSED, FAILED, ACCEPTED, REJECTED = range(5)
ACCEPT_HERE = b"<<the right accept, in 28>>!"
ABORTS = 0xFFFF  # an exception that the library does not tell of


def item(what, data):
    return what + struct.pack(">I", len(data)) + data


def frames(kind, data):
    extensions = []
    if kind >= DEFLATE_TO_SERVER:
        extensions = [PerMessageDeflate()]
        if kind == DEFLATE_TO_SERVER:
            extensions[0].accept("permessage-deflate")
        else:
            extensions[0].finalize("permessage-deflate")
    connection = Connection(ConnectionType.SERVER if kind in (TO_SERVER, DEFLATE_TO_SERVER) else ConnectionType.CLIENT, extensions)
    log, parts = [], []
    try:
        connection.receive_data(data)
        for event in connection.events():
            if isinstance(event, TextMessage):
                parts.append(event.data.encode())
                if event.message_finished:
                    log.append(item(b"t", b"".join(parts)))
                    parts = []
            elif isinstance(event, BytesMessage):
                parts.append(bytes(event.data))
                if event.message_finished:
                    log.append(item(b"b", b"".join(parts)))
                    parts = []
            elif isinstance(event, Ping):
                log.append(item(b"i", bytes(event.payload)))
            elif isinstance(event, Pong):
                log.append(item(b"o", bytes(event.payload)))
            elif isinstance(event, CloseConnection):
                if connection.state.name != "REMOTE_CLOSING":  # a failure, which is told in the same way
                    return FAILED, int(event.code), b"".join(log)
                code = 0 if event.code == 1005 else int(event.code)
                log.append(item(b"c", struct.pack(">H", code) + (event.reason or "").encode()))
                return CLOSED, 0, b"".join(log)
    except Exception:
        return FAILED, ABORTS, b"".join(log)
    return WAITS, 0, b"".join(log)


def request(data):
    handshake = H11Handshake(ConnectionType.SERVER)
    try:
        handshake.receive_data(data)
        for event in handshake.events():
            if isinstance(event, Request):
                head = handshake.send(AcceptConnection())
                accept = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-accept: ")).split(b": ")[1]
                return ACCEPTED, 0, item(b"a", accept) + item(b"p", ",".join(event.subprotocols).encode())
            return REJECTED, 0, b""
    except Exception:
        return REJECTED, 0, b""
    return WAITS, 0, b""


def response(data):
    handshake = H11Handshake(ConnectionType.CLIENT)
    head = handshake.send(Request(host="example.org", target="/chat", subprotocols=["chat.v2", "chat.v1"]))
    key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: ")).split(b": ")[1]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    try:
        handshake.receive_data(data.replace(ACCEPT_HERE, accept))
        for event in handshake.events():
            if isinstance(event, AcceptConnection):
                return ACCEPTED, 0, item(b"p", (event.subprotocol or "").encode())
            if isinstance(event, RejectConnection):
                return REJECTED, 0, b""
    except Exception:
        return REJECTED, 0, b""
    return WAITS, 0, b""


def outcome(kind, data):
    return request(data) if kind == REQUEST else response(data) if kind == RESPONSE else frames(kind, data)


def main():
    given, taken = sys.stdin.buffer, sys.stdout.buffer
    while size := given.read(4):
        batch = given.read(struct.unpack(">I", size)[0])
        at, answers = 0, []
        while at < len(batch):
            kind, n = struct.unpack_from(">BI", batch, at)
            at += 5 + n
            end, code, log = outcome(kind, batch[at - n : at])
            answers.append(struct.pack(">BHI", end, code, len(log)) + log)
        answer = b"".join(answers)
        taken.write(struct.pack(">I", len(answer)) + answer)
        taken.flush()


main()
