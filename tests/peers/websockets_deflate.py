"""python3-websockets and permessage-deflate: every pair of windows with every takeover, websockets as client of our
echo_server and as server of our deflate_client, asked for by either side. Its own side cannot compress with 8 bits, so that
row is left out. --thorough sends 1,000 messages of each kind in each conversation; otherwise four conversations of a kind do,
and the others send seven. Prints `ok …` or `FAIL …: expected …, got …` for each check and `end` after the last one."""

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import pathlib
import random
import re
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # later versions would rather see their second interface used
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.legacy.client import connect
from websockets.legacy.server import serve

parser = argparse.ArgumentParser()
parser.add_argument("--build", type=pathlib.Path, required=True)
parser.add_argument("--deflate", action="store_true")
parser.add_argument("--thorough", action="store_true")
options = parser.parse_args()

LIMIT = 3600 if options.thorough else 120
HOW = {"compression": None, "max_size": None, "ping_interval": None, "close_timeout": 10}

# ---- what is sent

EDGES = [0, 1, 64, 126, 700, 4000, 20000]
LONG_EDGES = [0, 1, 63, 64, 125, 126, 127, 8191, 8192, 32767, 32768, 65535, 65536, 131071, 131072]


def volume(count):
    """`count` messages each of text, JSON and random bytes; mostly small, now and then up to 128 KiB."""
    chance = random.Random(7)
    sizes = LONG_EDGES if count > len(EDGES) else EDGES
    sizes = sizes + [int(2 ** chance.uniform(0, 12 if i % 25 else 17)) for i in range(count - len(sizes))]
    words = "the quick brown fox, Grüße, 世界 𝄞 — jumps over " * 4000
    records = "".join(
        f'{{"id":{i},"price":{i * 7919 % 1000 / 10},"name":"item {i % 17}","tags":["a","b"],"ok":{str(i % 3 == 0).lower()}}},'
        for i in range(2500)
    )  # fmt: skip
    noise = hashlib.shake_128(b"peers").digest(300000)
    out = []
    for i, size in enumerate(sizes):
        out += [cut(words[i * 37 % 3000 :], size), cut(records[i * 53 % 3000 :], size), noise[i * 131 % 100000 :][:size]]
    return out


def cut(text, size):
    """Its first `size` bytes; a code point that would be cut gives way to letters."""
    whole = text[:size].encode()[:size].decode(errors="ignore")
    return whole + "x" * (size - len(whole.encode()))


FEW, MANY = volume(len(EDGES)), volume(1000)

# ---- the conversations

CASES = [
    (server, client, s, c)
    for s, c in itertools.product(["yes", "no"], repeat=2)
    for server, client in itertools.product(range(8, 16), repeat=2)
]
LONG = {(9, 9, "yes", "yes"), (15, 15, "yes", "yes"), (9, 13, "no", "no"), (12, 10, "yes", "no")}

inflated = 0
decode = PerMessageDeflate.decode


def counting_decode(self, frame, **how):
    global inflated
    inflated += frame.rsv1
    return decode(self, frame, **how)


PerMessageDeflate.decode = counting_decode


def wishes(case):
    server, client, s, c = case
    return {
        "server_no_context_takeover": s == "no",
        "client_no_context_takeover": c == "no",
        "server_max_window_bits": server,
        "client_max_window_bits": client,
    }


def agreed(peer, is_client):
    """What was agreed as websockets sees it, in the order of CASES."""
    if not peer.extensions:
        return None
    e = peer.extensions[0]
    local = e.local_max_window_bits, "no" if e.local_no_context_takeover else "yes"
    remote = e.remote_max_window_bits, "no" if e.remote_no_context_takeover else "yes"
    server, client = (remote, local) if is_client else (local, remote)
    return server[0], client[0], server[1], client[1]


async def converse(peer, case):
    """Sends everything at once and compares what comes back; also that it came compressed. None, or what differs."""
    messages = MANY if options.thorough or case in LONG else FEW
    before = inflated

    async def send():
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                await peer.send(message)

    sending = asyncio.ensure_future(send())
    try:
        for i, message in enumerate(messages):
            if await peer.recv() != message:
                return f"message {i} differs"
    except ConnectionClosed:
        return f"closed with {peer.close_code} at message {i}"
    finally:
        sending.cancel()
        await peer.close()
    # Ours sends short messages, and without takeover those that would grow, as they are.
    packs = sum(isinstance(message, str) and len(message.encode()) >= 500 for message in messages)
    if inflated - before < packs:
        return f"only {inflated - before} of {packs} were compressed"
    return None if peer.close_code == 1000 else f"closed with {peer.close_code}"


async def check(name, cases, action):
    """Awaits `action` for each case. None of them may have a flaw."""

    async def flaws():
        for case in cases:
            try:
                flaw = await asyncio.wait_for(action(case), 60)
            except Exception as error:
                flaw = f"{type(error).__name__}: {error}"
            if flaw:
                got.append((case, flaw))

    got = []
    try:
        await asyncio.wait_for(flaws(), LIMIT)
    except asyncio.TimeoutError:
        got.append(f"not done within {LIMIT} s")
    line = f"websockets, deflate: D10 D18 {name}, {len(cases)} pairs of windows"
    print(f"FAIL {line}: expected none with a flaw, got {got[:3]}" if got or not cases else f"ok {line}", flush=True)


def groups(own):
    """The cases by takeover, without those whose window number `own` is 8."""
    for flags in itertools.product(["yes", "no"], repeat=2):
        yield " ".join(flags), [case for case in CASES if case[2:] == flags and case[own] != 8]


# ---- websockets as the client of echo_server


@contextlib.asynccontextmanager
async def echo_server(*args):
    process = await asyncio.create_subprocess_exec(
        options.build / "echo_server", "--port", "0", *args, stdout=asyncio.subprocess.PIPE
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 10)).decode()
        yield re.search(r"ws://127\.0\.0\.1:\d+", line)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ask(url, case, how):
    async with connect(url, extensions=[ClientPerMessageDeflateFactory(**how)], **HOW) as peer:
        if agreed(peer, True) != case:
            return f"agreed on {agreed(peer, True)}"
        return await converse(peer, case)


async def client_checks():
    async with echo_server() as url:
        for flags, cases in groups(own=1):
            await check(f"client: it asks, takeover {flags}", cases, lambda case: ask(url, case, wishes(case)))

    async def asked(case):
        server, client, s, c = case
        how = "--server-window", server, "--client-window", client, "--server-takeover", s, "--client-takeover", c
        async with echo_server(*map(str, how)) as url:
            return await ask(url, case, {"client_max_window_bits": True})

    for flags, cases in groups(own=1):
        await check(f"client: our server asks, takeover {flags}", cases, asked)


# ---- websockets as the server of deflate_client


async def server_checks():
    factory = outcome = case = None

    async def handle(peer):
        got = agreed(peer, False)
        outcome.set_result(f"agreed on {got}" if got != case else await converse(peer, case))

    # The extension is looked up at each handshake.
    class Asking:
        name = "permessage-deflate"

        def process_request_params(self, params, accepted):
            return factory.process_request_params(params, accepted)

    async with serve(handle, "127.0.0.1", 0, extensions=[Asking()], **HOW) as server:
        client = await asyncio.create_subprocess_exec(
            options.build / "deflate_client", "127.0.0.1", str(server.sockets[0].getsockname()[1]),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip

        async def answer(this, line, how):
            nonlocal factory, outcome, case
            factory, outcome, case = ServerPerMessageDeflateFactory(**how), asyncio.get_running_loop().create_future(), this
            client.stdin.write(b"/ %s\n" % line.encode())
            flaw = await outcome
            ours = (await client.stdout.readline()).decode().strip()
            return flaw or (None if ours == "/ %d %d %s %s" % this else f"our client says {ours}")

        try:
            for flags, cases in groups(own=0):
                await check(f"server: our client asks, takeover {flags}", cases, lambda case: answer(case, "%d %d %s %s" % case, {}))
            for flags, cases in groups(own=0):
                await check(f"server: it asks, takeover {flags}", cases, lambda case: answer(case, "15 15 yes yes", wishes(case)))
            client.stdin.close()
            status = await asyncio.wait_for(client.wait(), 10)
            line = "websockets, deflate: our client has survived all this"
            print(f"FAIL {line}: expected status 0, got {status}" if status else f"ok {line}", flush=True)
        finally:
            with contextlib.suppress(ProcessLookupError):
                client.kill()
            await client.wait()


async def main():
    await client_checks()
    await server_checks()
    print("end", flush=True)


asyncio.run(main())
