"""python3-websockets against our programs, in both roles: client of echo_server, server of echo_client and
conformance_client. Prints `ok …` or `FAIL …: expected …, got …` for each check and `end` after the last one."""

import argparse
import asyncio
import contextlib
import hashlib
import http
import logging
import pathlib
import re
import time
import urllib.parse
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # later versions would rather see their second interface used
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.legacy.client import connect as websockets_connect
from websockets.legacy.server import serve as websockets_serve

logging.getLogger("websockets").setLevel(logging.CRITICAL)  # broken peers are what some checks are about

parser = argparse.ArgumentParser()
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--deflate", action="store_true")
options = parser.parse_args()

MiB = 1024 * 1024
UNICODE = "Grüße, 世界 𝄞 \U0010FFFF \uFEFF \uFFFF \0 end"
PROSE = "All work and no play makes a dull message. " * 25000
REASONS = [(1000, ""), (1001, "going away"), (3000, "Grüße"), (4999, "r" * 123)]
EXTENSION = ["permessage-deflate"] if options.deflate else []


# ---- checks


async def check(name, expected, action, limit=20):
    """Awaits `action()` and compares. An exception or a passed limit is a failure like any other."""
    try:
        got = await asyncio.wait_for(action(), limit)
    except asyncio.TimeoutError:
        got = f"nothing within {limit} s"
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
    line = f"websockets{', deflate' if options.deflate else ''}: {name}"
    if got == expected:
        print("ok", line, flush=True)
    else:
        print(f"FAIL {line}: expected {show(expected)}, got {show(got)}", flush=True)


def show(value):
    line = repr(value).replace("\n", " ")
    return line if len(line) <= 400 else line[:400] + "…"


def brief(message):
    """A message in a form that can be compared and printed."""
    if len(message) <= 60:
        return message
    data = message.encode() if isinstance(message, str) else message
    return f"{type(message).__name__} of {len(data)} bytes, sha1 {hashlib.sha1(data).hexdigest()}"


def some_bytes(size):
    """Bytes without a pattern that a wrong mask phase or a lost piece could leave unchanged; always the same for one size."""
    return hashlib.shake_128(b"peers").digest(size)


def some_text(size):
    """Valid text of exactly `size` bytes, with code points of one to four bytes."""
    return "aé€𝄞" * (size // 10) + "x" * (size % 10)


# ---- our programs


@contextlib.asynccontextmanager
async def echo_server(*args):
    process = await asyncio.create_subprocess_exec(
        options.build / "echo_server", "--port", "0", *args, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 10)).decode().strip()
        match = re.fullmatch(r"listening on (ws://127\.0\.0\.1:\d+)/?", line)
        if not match:
            raise RuntimeError(f'echo_server says "{line}", not "listening on ws://127.0.0.1:PORT"')
        yield match[1]
        if process.returncode is not None:
            raise RuntimeError(f"echo_server has ended with {process.returncode}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def run_client(name, *args, stdin=b"", limit=10):
    """Runs a client program on all of `stdin`; None keeps its standard input open until it ends by itself."""
    process = await asyncio.create_subprocess_exec(
        options.build / name, *args,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        if stdin is None:
            await asyncio.wait_for(process.wait(), limit)
        out, err = await asyncio.wait_for(process.communicate(stdin or b""), limit)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return process.returncode, out.decode(), err.decode()


# ---- websockets as the client of echo_server


def connect(url, **how):
    how.setdefault("compression", "deflate" if options.deflate else None)
    return websockets_connect(url, max_size=None, ping_interval=None, close_timeout=10, **how)


async def echo(peer, message):
    await peer.send(message)
    return brief(await peer.recv())


async def close_code(url, action):
    """The code the server closes with after `action`."""
    async with connect(url) as peer:
        with contextlib.suppress(ConnectionClosed):
            await action(peer)
        await peer.wait_closed()
        return peer.close_code


async def client_checks(url, small, chat):
    async def talk(action, to=url, **how):
        async with connect(to, **how) as peer:
            return await action(peer)

    async def negotiated(peer):
        return [extension.name for extension in peer.extensions], peer.subprotocol

    async def echoes(*messages):
        return await talk(lambda peer: each(peer, messages))

    async def each(peer, messages):
        return [await echo(peer, message) for message in messages]

    await check("what is negotiated", (EXTENSION, None), lambda: talk(negotiated))
    for name, message in [("text", "hello"), ("F17 text of every kind", UNICODE), ("binary", bytes(range(256)))]:
        await check(name, brief(message), lambda: talk(lambda peer: echo(peer, message)))
    await check("F14 empty messages", ["", b"", "after"], lambda: echoes("", b"", "after"))
    for size in 125, 126, 65535, 65536, MiB, 16 * MiB:
        for kind in some_text, some_bytes:
            message = kind(size)
            await check(f"{type(message).__name__} of {size} bytes", [brief(message)], lambda: echoes(message))

    async def thousand(peer):
        async def send():
            for i in range(1000):
                await peer.send(f"message {i}")

        sending = asyncio.ensure_future(send())
        got = [await peer.recv() for _ in range(1000)]
        await sending
        return got == [f"message {i}" for i in range(1000)]

    await check("1000 small messages come back in order", True, lambda: talk(thousand))

    async def parallel():
        peers = await asyncio.gather(*(connect(url) for _ in range(100)))
        got = await asyncio.gather(*(each(peer, [f"{i}/{k}" for k in range(10)]) for i, peer in enumerate(peers)))
        await asyncio.gather(*(peer.close() for peer in peers))
        right = sum(got[i] == [f"{i}/{k}" for k in range(10)] for i in range(100))
        return right, sum(peer.close_code == 1000 for peer in peers)

    await check("100 connections at once, 10 messages each, all closed", (100, 100), parallel)

    await check("fragments of a text message, one of them empty", "€uro€", lambda: talk(lambda peer: echo(peer, ["€uro", "", "€"])))
    await check("fragments of a binary message", b"one two", lambda: talk(lambda peer: echo(peer, [b"one", b"", b" two"])))

    async def ping(peer, payload):
        await (await peer.ping(payload))  # done when a pong with this payload arrives
        return True

    for payload in b"", b"x", b"p" * 125:
        await check(f"F19 a ping of {len(payload)} bytes", True, lambda: talk(lambda peer: ping(peer, payload)))

    async def pong(peer):
        await peer.pong(b"unasked")
        return await echo(peer, "still here")

    await check("F20 a pong nobody asked for", "still here", lambda: talk(pong))

    async def close(*args):
        async with connect(url) as peer:
            before = time.monotonic()
            await peer.close(*args)
            return peer.close_code, time.monotonic() - before < 3

    for code, reason in REASONS:
        await check(f"K03 close {code}, {len(reason.encode())} bytes of reason", (code, True), lambda: close(code, reason))

    await check("F18 a message of exactly the limit", brief(some_bytes(1000)),
                lambda: talk(lambda peer: echo(peer, some_bytes(1000)), small))
    await check("F18 one byte over the limit", 1009, lambda: close_code(small, lambda peer: peer.send(some_bytes(1001))))
    await check("F18 over the limit in fragments", 1009,
                lambda: close_code(small, lambda peer: peer.send([some_bytes(600), some_bytes(401)])))
    await check("F15 text that is not UTF-8", 1007, lambda: close_code(url, lambda peer: peer.write_frame(True, 1, b"a\xff")))

    await check("the subprotocol", (EXTENSION, "chat"), lambda: talk(negotiated, chat, subprotocols=["superchat", "chat"]))

    # What the server does without a common subprotocol is its choice; it must not select one that was not offered.
    async def other(to):
        try:
            return await talk(lambda peer: negotiated(peer), to, subprotocols=["other"])
        except InvalidHandshake:
            return EXTENSION, None

    for name, to in ("another subprotocol offered", chat), ("a subprotocol offered to a server without one", url):
        await check(name, (EXTENSION, None), lambda: other(to))

    if not options.deflate:
        await check("H17 permessage-deflate offered in vain", ([], None), lambda: talk(negotiated, compression="deflate"))
        return
    await check("prose, compressed, several times", [brief(PROSE), brief(PROSE[5:]), brief(PROSE)],
                lambda: echoes(PROSE, PROSE[5:], PROSE))
    for names in [
        {"server_no_context_takeover": True}, {"client_no_context_takeover": True},
        {"server_max_window_bits": 9}, {"client_max_window_bits": 9}, {"client_max_window_bits": True},
    ]:
        async def agreed(peer):
            return [await negotiated(peer), *await each(peer, [PROSE, some_text(100000), PROSE, ""])]

        await check(f"D18 offer {names}", [(EXTENSION, None), brief(PROSE), brief(some_text(100000)), brief(PROSE), ""],
                    lambda: talk(agreed, compression=None, extensions=[ClientPerMessageDeflateFactory(**names)]))


# ---- websockets as the server of echo_client and conformance_client


def serve(handler, **how):
    how.setdefault("compression", "deflate" if options.deflate else None)
    return websockets_serve(handler, "127.0.0.1", 0, max_size=None, ping_interval=None, close_timeout=5, **how)


def address(server):
    return "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]


async def echo_everything(peer):
    with contextlib.suppress(ConnectionClosed):
        async for message in peer:
            await peer.send(message)


async def echo_client_checks():
    async def talk(lines, handler=echo_everything, **how):
        ends = []

        async def handle(peer):
            await handler(peer)
            await peer.wait_closed()
            ends.append(([extension.name for extension in peer.extensions], peer.close_code))

        async with serve(handle, **how) as server:
            status, out, _ = await run_client("echo_client", address(server), stdin=lines.encode())
        return status, brief(out), ends

    def clean(out):
        return 0, brief(out), [(EXTENSION, 1000)]

    for name, lines in [
        ("nothing to say", ""), ("one line", "hello\n"), ("an empty line", "before\n\nafter\n"), ("Unicode", UNICODE + "\n"),
        ("a line of 1 MiB", some_text(MiB) + "\n"), ("1000 lines in order", "".join(f"line {i}\n" for i in range(1000))),
    ]:
        await check(f"echo_client, {name}", clean(lines), lambda: talk(lines))

    async def in_fragments(peer):
        async for message in peer:
            await (await peer.ping(b"before"))
            await peer.send([message[:2], "", message[2:]])

    await check("echo_client, replies in fragments after pings", clean("hello\n"), lambda: talk("hello\n", in_fragments))

    # Each side's kernel buffers fill up unless the client reads while it still has lines to send.
    lines = 40 * (some_text(MiB) + "\n")
    await check("echo_client, 40 MiB of lines to a server that reads only as fast as it is read from", clean(lines),
                lambda: talk(lines, max_queue=1, write_limit=65536))

    async def answered(code, reason):
        ends = []

        async def handle(peer):
            await peer.close(code, reason)
            ends.append(peer.close_code)

        async with serve(handle) as server:
            await run_client("echo_client", address(server), stdin=None)
        return ends

    for code, reason in REASONS:
        await check(f"K03 echo_client answers a close {code}", [code], lambda: answered(code, reason))

    async def refused():
        async def refuse(path, headers):
            return http.HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="test"'}, b"who are you?\n"

        async with serve(echo_everything, process_request=refuse) as server:
            status, out, err = await run_client("echo_client", address(server), stdin=b"hello\n")
        return status != 0, out, "401" in err

    await check("C07 echo_client, refused with 401", (True, "", True), refused)

    if not options.deflate:
        await check("H17 echo_client, a server that knows permessage-deflate", clean("hello\n"),
                    lambda: talk("hello\n", compression="deflate"))
        return
    for names in [
        {"server_no_context_takeover": True}, {"client_no_context_takeover": True}, {"server_max_window_bits": 9},
    ]:
        await check(f"D18 echo_client, answer {names}", clean(PROSE + "\n" + PROSE + "\n"),
                    lambda: talk(PROSE + "\n" + PROSE + "\n", compression=None, extensions=[ServerPerMessageDeflateFactory(**names)]))


async def conformance_client_checks():
    def echoes(name, *messages):
        async def run(peer):
            return [await echo(peer, message) for message in messages]

        return name, [brief(message) for message in messages], run

    def closes(name, code, action):
        async def run(peer):
            with contextlib.suppress(ConnectionClosed):
                await action(peer)
            await peer.wait_closed()
            return peer.close_code

        return name, code, run

    async def ping(peer):
        await (await peer.ping(b"p" * 125))
        return True

    cases = [
        echoes("F14 empty messages", "", b""),
        echoes("text and binary", "hello", bytes(range(256))),
        echoes("F17 text of every kind", UNICODE),
        *(echoes(f"messages of {size} bytes", some_text(size), some_bytes(size))
          for size in (125, 126, 65535, 65536, MiB, 16 * MiB)),
        ("fragments", "onetwothree", lambda peer: echo(peer, ["one", "", "two", "three"])),
        ("F19 a ping of 125 bytes", True, ping),
        *(closes(f"K03 close {code}", code, lambda peer, code=code, reason=reason: peer.close(code, reason))
          for code, reason in REASONS),
        closes("F15 text that is not UTF-8", 1007, lambda peer: peer.write_frame(True, 1, b"a\xff")),
        closes("F11 a continuation of nothing", 1002, lambda peer: peer.write_frame(True, 0, b"")),
        closes("F08 opcode 3", 1002, lambda peer: send_raw(peer, b"\x83\x00")),
    ]  # fmt: skip
    if options.deflate:
        cases.append(echoes("prose, compressed, several times", PROSE, PROSE[5:], PROSE))
    outcomes, agents, negotiated, reports = {}, set(), set(), []

    async def handle(peer, path=None):
        url = urllib.parse.urlsplit(path or peer.path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/getCaseCount":
            await peer.send(str(len(cases)))
            return
        agents.update(query.get("agent", [None]))
        if url.path != "/runCase":
            reports.append(url.path)
            return
        number = int(query["case"][0])
        negotiated.update([tuple(extension.name for extension in peer.extensions)])
        try:
            outcomes[number] = await asyncio.wait_for(cases[number - 1][2](peer), 20)
        except Exception as error:
            outcomes[number] = f"{type(error).__name__}: {error}"

    async def whole_run():
        async with serve(handle) as server:
            status, _, _ = await run_client("conformance_client", address(server), "--agent", "a-peer", limit=90)
        return status, len(outcomes)

    await check("conformance_client goes through all cases and ends with 0", (0, len(cases)), whole_run, 100)

    async def outcome(number):
        return outcomes.get(number)

    for number, (name, expected, _) in enumerate(cases, 1):
        await check(f"conformance_client, {name}", expected, lambda: outcome(number))

    async def rest():
        return agents, reports, negotiated

    await check("conformance_client, agent, report and extensions", ({"a-peer"}, ["/updateReports"], {tuple(EXTENSION)}), rest)


async def send_raw(peer, data):
    peer.transport.write(data)


async def main():
    async with echo_server() as url, echo_server("--max-message", "1000") as small, echo_server("--subprotocol", "chat") as chat:
        await client_checks(url, small, chat)
        await check("echo_server has survived all this", "hello", lambda: survivor(url))
    await echo_client_checks()
    await conformance_client_checks()
    print("end", flush=True)


async def survivor(url):
    async with connect(url) as peer:
        return await echo(peer, "hello")


asyncio.run(main())
