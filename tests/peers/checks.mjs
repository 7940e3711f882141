// What the Node parts share: a check with a verdict and a time limit, our programs as child processes, messages in a
// form that can be compared and printed, and a conversation over a ws socket of either role.
//
// A part prints `ok …` or `FAIL …: expected …, got …` for each check and `end` after the last one, so that tests/peers/run
// can tell a part that finished from one that died.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { inspect, isDeepStrictEqual, parseArgs } from 'node:util';

export const { values: options } = parseArgs({
  options: {
    build: { type: 'string' },
    deflate: { type: 'boolean', default: false },
    thorough: { type: 'boolean', default: false },
    browser: { type: 'string' },
    executable: { type: 'string' },
  },
});

// The peers' side of permessage-deflate: off, or on for every message however short.
export const perMessageDeflate = options.deflate && { threshold: 0 };

// ---- checks

const seconds = 1000;
let title = '';

export function part(name) {
  title = options.deflate ? `${name}, deflate` : name;
}

// Runs `action` and compares what it resolves to. An exception or a passed limit is a failure like any other.
export async function check(name, expected, action, limit = 20 * seconds) {
  let got;
  try {
    got = await within(limit, action());
  } catch (error) {
    got = error instanceof Error ? `exception: ${error.message}` : error;
  }
  const passed = isDeepStrictEqual(got, expected);
  const line = `${title}: ${name}`;
  console.log(passed ? `ok ${line}` : `FAIL ${line}: expected ${show(expected)}, got ${show(got)}`);
  return passed;
}

export function finish() {
  console.log('end');
  process.exit(0);
}

export async function within(limit, promise) {
  let timer;
  const passed = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${limit / seconds} s`)), limit);
  });
  try {
    return await Promise.race([promise, passed]);
  } finally {
    clearTimeout(timer);
  }
}

function show(value) {
  const line = inspect(value, { breakLength: Infinity, depth: 6, maxStringLength: 200 }).replaceAll('\n', ' ');
  return line.length > 400 ? `${line.slice(0, 400)}…` : line;
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// ---- messages

// Short messages are shown whole; long ones by size and digest, so that a failure stays on one line.
export function text(data) {
  const bytes = Buffer.from(data);
  return bytes.length <= 60 ? `text "${bytes}"` : `text of ${bytes.length} bytes, sha1 ${sha1(bytes)}`;
}

export function binary(data) {
  const bytes = Buffer.from(data);
  return bytes.length <= 30 ? `binary <${bytes.toString('hex')}>` : `binary of ${bytes.length} bytes, sha1 ${sha1(bytes)}`;
}

const sha1 = (bytes) => createHash('sha1').update(bytes).digest('hex');

// Bytes without a pattern that a wrong mask phase or a lost piece could leave unchanged; always the same for one size.
export function some_bytes(size) {
  const bytes = Buffer.allocUnsafe(size);
  for (let i = 0, x = 1; i < size; ++i) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

// Valid text of exactly `size` bytes, with code points of one to four bytes.
export function some_text(size) {
  const unit = 'aé€𝄞';  // 10 bytes
  return unit.repeat(Math.floor(size / 10)) + 'x'.repeat(size % 10);
}

export const unicode = 'Grüße, 世界 𝄞 \u{10FFFF} \uFEFF \uFFFF \u0000 end';

export const MiB = 1024 * 1024;

// ---- our programs

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

function start(name, args) {
  const child = spawn(join(options.build, name), args, { stdio: 'pipe' });
  const program = { child, stdout: '', stderr: '' };
  children.add(child);
  child.stdout.setEncoding('utf8').on('data', (piece) => (program.stdout += piece));
  child.stderr.setEncoding('utf8').on('data', (piece) => (program.stderr += piece));
  child.stdin.on('error', () => {});  // it may end before it has read everything
  program.ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => resolve(signal ?? status));
  });
  program.ended.catch(() => {}).finally(() => children.delete(child));
  return program;
}

// An echo_server on a free port. `alive()` is false once it has ended by itself.
export async function start_server(...args) {
  const server = start('echo_server', ['--port', '0', ...args]);
  const lines = createInterface({ input: server.child.stdout });
  const [line] = await within(10 * seconds, Promise.race([
    once(lines, 'line'),
    server.ended.then((status) => Promise.reject(new Error(`echo_server ended with ${status}: ${server.stderr}`))),
  ]));
  const match = /^listening on (ws:\/\/127\.0\.0\.1:(\d+))\/?$/.exec(line);
  if (!match) throw new Error(`echo_server says "${line}", not "listening on ws://127.0.0.1:PORT"`);
  return {
    url: match[1],
    port: Number(match[2]),
    alive: () => server.child.exitCode === null && server.child.signalCode === null,
    stop: () => (server.child.kill('SIGKILL'), server.ended),
  };
}

// A client program with its standard input still open.
export function start_client(name, ...args) {
  const client = start(name, args);
  client.write = (input) => client.child.stdin.write(input);
  client.finish = (limit = 10 * seconds) => {
    client.child.stdin.end();
    return client.wait(limit);
  };
  client.wait = async (limit = 10 * seconds) => {
    try {
      return await within(limit, client.ended);
    } finally {
      client.child.kill('SIGKILL');
    }
  };
  return client;
}

// ---- what is on the wire

// Passes everything on to 127.0.0.1:`port` and back, and keeps of the last connection the heads of its handshake and of
// its frames, each { opcode, rsv1, length }. It knows nothing of extensions.
export async function start_relay(port) {
  let seen;
  const server = net.createServer((client) => {
    const upstream = net.connect(port, '127.0.0.1');
    const [from_client, from_server] = [frame_reader(), frame_reader()];
    seen = { from_client, from_server };
    client.on('data', from_client.read).on('error', () => upstream.destroy()).pipe(upstream);
    upstream.on('data', from_server.read).on('error', () => client.destroy()).pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    last: () => ({
      head_of_client: seen.from_client.head(), from_client: seen.from_client.frames,
      head_of_server: seen.from_server.head(), from_server: seen.from_server.frames,
    }),
    end: () => server.close(),
  };
}

function frame_reader() {
  const frames = [];
  let rest = Buffer.alloc(0);
  let head = '';
  let skip = 0;
  return {
    frames,
    head: () => head,
    read: (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      if (!head) {
        const end = rest.indexOf('\r\n\r\n');
        if (end < 0) return;
        head = rest.subarray(0, end + 4).toString('latin1');
        rest = rest.subarray(end + 4);
      }
      for (;;) {
        const skipped = Math.min(skip, rest.length);
        skip -= skipped;
        rest = rest.subarray(skipped);
        const code = rest.length < 2 ? 0 : rest[1] & 127;
        const size = 2 + (code === 126 ? 2 : code === 127 ? 8 : 0) + (rest[1] & 128 ? 4 : 0);
        if (skip || rest.length < size) return;
        const length = code === 126 ? rest.readUInt16BE(2) : code === 127 ? Number(rest.readBigUInt64BE(2)) : code;
        frames.push({ opcode: rest[0] & 15, rsv1: rest[0] >> 6 & 1, length });
        skip = size + length;
      }
    },
  };
}

// ---- a conversation over a ws socket, either role

// message() gives the next message, pong() the next pong's payload, both in order of arrival; closed resolves to the close
// code and reason that came, 1006 without a Close frame.
export function conversation(ws) {
  const messages = queue();
  const pongs = queue();
  const closed = new Promise((resolve) => {
    ws.on('close', (code, reason) => {
      const end = { code, reason: reason.toString() };
      messages.end(end);
      pongs.end(end);
      resolve(end);
    });
  });
  ws.on('message', (data, is_binary) => messages.put(is_binary ? binary(data) : text(data)));
  ws.on('pong', (payload) => pongs.put(payload.toString('latin1')));
  ws.on('error', () => {});  // 'close' follows and carries the verdict
  return {
    ws,
    message: messages.take,
    pong: pongs.take,
    closed,
    echo: (data, how) => (ws.send(data, how), messages.take()),
    // Closes from our side; `soon` is false when the peer left us waiting for the end of the stream.
    close: async (...args) => {
      const before = performance.now();
      ws.close(...args);
      const end = await closed;
      return { ...end, soon: performance.now() - before < 3 * seconds };
    },
  };
}

function queue() {
  const items = [];
  const takers = [];
  let over;
  return {
    put: (item) => (takers.length ? takers.shift().resolve(item) : items.push(item)),
    take: () => new Promise((resolve, reject) => {
      if (items.length) resolve(items.shift());
      else if (over) reject(over);
      else takers.push({ resolve, reject });
    }),
    end: ({ code, reason }) => {
      over = new Error(`closed with ${code} "${reason}" instead`);
      takers.splice(0).forEach((taker) => taker.reject(over));
    },
  };
}
