// WebSocket as browsers have it, in Node, undici, Bun and Deno; and the echo servers of Bun and Deno. How: tests/interop/run.
const [role, where, mode] = (globalThis.Deno?.args ?? process.argv.slice(2));
const API = globalThis.process?.env.UNDICI ? (await import(process.env.UNDICI)).WebSocket : WebSocket;

function check(good, name, why = "") {
  console.log(good ? `ok ${name}` : `FAIL ${name}: ${why}`);
}

function letters(n) {
  return Uint8Array.from({ length: n }, (_, i) => 97 + ((i * i) % 23));
}

async function talk(url, sent, code) {
  const socket = new API(url);
  socket.binaryType = "arraybuffer";
  const events = [];
  let wake = () => {};
  for (const type of ["open", "message", "close"])
    socket.addEventListener(type, (event) => {
      events.push(event);
      wake();
    });
  const next = async () => {
    while (events.length === 0) await new Promise((done) => (wake = done));
    return events.shift();
  };
  check((await next()).type === "open", "opening handshake");
  check(socket.extensions.includes("permessage-deflate") === (mode === "deflate"), `extensions: "${socket.extensions}"`);
  for (const message of sent) {
    socket.send(message);
    const event = await next();
    const name = `${message.length} ${typeof message === "string" ? "characters" : "bytes"}`;
    const same = typeof message === "string" ? event.data === message : Buffer.compare(Buffer.from(event.data ?? []), Buffer.from(message)) === 0;
    check(event.type === "message" && typeof event.data === (typeof message === "string" ? "string" : "object") && same, name, event.type);
  }
  socket.close(code, "own reason");
  const event = await next();
  // The answer to a Close has its code; our server gives no reason of its own.
  check(event.type === "close" && event.code === code && event.wasClean && event.reason === "", `closed by ${code}`, `${event.code} ${event.reason}`);
}

async function client() {
  const { Buffer } = await import("node:buffer");
  globalThis.Buffer = Buffer;
  const text = new TextDecoder().decode(letters(65535));
  await talk(where, ["Hello", "Grüße, 世界, 🌐", "", letters(0), letters(1), letters(125), letters(126), text, letters(65536), letters(1 << 20)], 4001);
  await talk(where, ["again"], 1000);
  globalThis.Deno?.exit(0) ?? process.exit(0);
}

function server() {
  const deflate = mode === "deflate";
  if (globalThis.Bun) {
    Bun.serve({
      port: Number(where),
      hostname: "127.0.0.1",
      fetch: (request, bun) => (bun.upgrade(request) ? undefined : new Response("no", { status: 400 })),
      websocket: {
        perMessageDeflate: deflate,
        maxPayloadLength: 2 << 20,
        message: (socket, message) => void socket.send(message, deflate),
        close: (_, code, reason) => console.log(`closed ${code} ${reason}`),
      },
    });
    console.log("listening");
  } else {
    Deno.serve({ port: Number(where), hostname: "127.0.0.1", onListen: () => console.log("listening") }, (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.binaryType = "arraybuffer";
      socket.onmessage = (event) => socket.send(event.data);
      socket.onclose = (event) => console.log(`closed ${event.code} ${event.reason}`);
      return response;
    });
  }
}

await (role === "client" ? client() : server());
