// npm's ws and permessage-deflate: every pair of windows with every takeover, ws as client of our echo_server and as server
// of our deflate_client, asked for by either side. `--thorough` sends 1,000 messages of each kind in each conversation;
// otherwise four conversations of a kind do, and the others send seven.

import { once } from 'node:events';
import http from 'node:http';
import { createInterface } from 'node:readline';
import WebSocket, { WebSocketServer } from 'ws';
import { check, finish, options, part, some_bytes, start_client, start_server } from './checks.mjs';

// ---- what is sent

const edges = [0, 1, 64, 126, 700, 4000, 20000];
const long_edges = [0, 1, 63, 64, 125, 126, 127, 8191, 8192, 32767, 32768, 65535, 65536, 131071, 131072];

function volume(count) {
  const sizes = (count > edges.length ? long_edges : edges).slice();
  for (let x = 7; sizes.length < count;) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    // Mostly small, so that 1,000 take no time, and now and then up to 128 KiB.
    sizes.push(Math.floor(2 ** ((x / 2 ** 32) * (sizes.length % 25 ? 12 : 17))));
  }
  const words = Buffer.from('the quick brown fox, Grüße, 世界 𝄞 — jumps over '.repeat(4000));
  const record = (i) => `{"id":${i},"price":${(i * 7919) % 1000 / 10},"name":"item ${i % 17}","tags":["a","b"],"ok":${i % 3 === 0}},`;
  let records = '[';
  for (let i = 0; records.length < 140000; ++i) records += record(i);
  records = Buffer.from(records);
  const noise = some_bytes(300000);
  // Valid UTF-8 of `size` bytes: a code point that is cut at the end gives way to letters.
  const cut = (bytes, from, size) => {
    const out = Buffer.from(bytes.subarray(from, from + size));
    for (let i = out.length - 1; i >= 0 && i >= out.length - 4; --i) {
      if (out[i] >= 0xC0) out.fill(0x78, i);
      if ((out[i] & 0xC0) !== 0x80) break;
    }
    for (let i = 0; i < out.length && (out[i] & 0xC0) === 0x80; ++i) out[i] = 0x78;
    return out;
  };
  return sizes.flatMap((size, i) => [
    { data: cut(words, (i * 37) % 3000, size), binary: false },
    { data: cut(records, (i * 53) % 3000, size), binary: false },
    { data: noise.subarray((i * 131) % 100000, (i * 131) % 100000 + size), binary: true },
  ]);
}

const few = volume(edges.length);
const many = volume(1000);

// ---- the conversations

const windows = [8, 9, 10, 11, 12, 13, 14, 15];
const long_ones = new Set(['8 8 yes yes', '15 15 yes yes', '9 13 no no', '12 10 yes no']);
const cases = windows.flatMap((server) => windows.flatMap((client) =>
  ['yes', 'no'].flatMap((s) => ['yes', 'no'].map((c) => ({ server, client, s, c, name: `${server} ${client} ${s} ${c}` })))));

const wishes = ({ server, client, s, c }) => ({
  threshold: 0,
  serverMaxWindowBits: server,
  clientMaxWindowBits: client,
  serverNoContextTakeover: s === 'no',
  clientNoContextTakeover: c === 'no',
});

// What was agreed as ws sees it.
function agreed(ws) {
  const extension = ws._extensions['permessage-deflate'];
  if (!extension) return 'nothing';
  const { params: p } = extension;
  return `${p.server_max_window_bits ?? 15} ${p.client_max_window_bits ?? 15} ${p.server_no_context_takeover ? 'no' : 'yes'} ${p.client_no_context_takeover ? 'no' : 'yes'}`;
}

// Sends everything at once and compares what comes back; also that it came compressed. 'same', or what differs.
function converse(ws, name) {
  const messages = options.thorough || long_ones.has(name) ? many : few;
  const extension = ws._extensions['permessage-deflate'];
  let inflated = 0;
  const inflate = extension?.decompress;
  if (extension) extension.decompress = (...args) => (++inflated, inflate.apply(extension, args));
  return new Promise((resolve) => {
    let at = 0;
    ws.on('message', (data, binary) => {
      const expected = messages[at];
      if (!expected || binary !== expected.binary || !data.equals(expected.data)) {
        resolve(`message ${at} differs`);
        return ws.terminate();
      }
      if (++at < messages.length) return;
      // Ours sends short messages, and without takeover those that would grow, as they are.
      const packs = messages.filter(({ data, binary }) => data.length >= 500 && !binary).length;
      resolve(inflated >= packs ? 'same' : `only ${inflated} of ${packs} were compressed`);
      ws.close(1000);
    });
    ws.on('error', (error) => resolve(error.message));
    ws.on('close', (code) => resolve(`closed with ${code} after ${at} messages`));
    for (const { data, binary } of messages) ws.send(data, { binary });
  });
}

// The cases with a flaw, each with what it is; none of them all goes well.
async function flaws_of(some, action) {
  const flaws = [];
  for (const one of some) {
    const got = await action(one).catch((error) => error.message);
    if (got !== 'same') flaws.push(`${one.name}: ${got}`);
  }
  return flaws.slice(0, 3);
}

const groups = ['yes yes', 'yes no', 'no yes', 'no no'].map((flags) => [flags, cases.filter(({ s, c }) => `${s} ${c}` === flags)]);
const limit = options.thorough ? 3_600_000 : 120_000;

// ---- ws as the client of echo_server

part('ws client, windows');
async function ask(url, one, how) {
  const ws = new WebSocket(url, { perMessageDeflate: how });
  const opened = new Promise((resolve, reject) => ws.on('open', resolve).on('error', reject));
  const closed = once(ws, 'close');
  await opened;
  if (agreed(ws) !== one.name) return `agreed on ${agreed(ws)}`;
  const got = await converse(ws, one.name);
  const [code] = await closed;
  return got === 'same' && code !== 1000 ? `closed with ${code}` : got;
}

const server = await start_server();
for (const [flags, some] of groups)
  await check(`D10 D18 ws asks, takeover ${flags}, 64 pairs of windows`, [], () => flaws_of(some, (one) => ask(server.url, one, wishes(one))), limit);
await server.stop();
for (const [flags, some] of groups)
  await check(`D10 D18 our server asks, takeover ${flags}, 64 pairs of windows`, [], () => flaws_of(some, async (one) => {
    const asking = await start_server('--server-window', `${one.server}`, '--client-window', `${one.client}`,
      '--server-takeover', one.s, '--client-takeover', one.c);
    try {
      return await ask(asking.url, one, { threshold: 0 });
    } finally {
      await asking.stop();
    }
  }), limit);

// ---- ws as the server of deflate_client

part('ws server, windows');
let wss;
let outcome;
const http_server = http.createServer();
http_server.on('upgrade', (request, socket, head) => wss.handleUpgrade(request, socket, head, (ws) => {
  outcome({ ws, name: agreed(ws) });
}));
http_server.listen(0, '127.0.0.1');
await once(http_server, 'listening');
const client = start_client('deflate_client', '127.0.0.1', `${http_server.address().port}`);
const lines = createInterface({ input: client.child.stdout })[Symbol.asyncIterator]();

async function answer(one, line, how) {
  wss = new WebSocketServer({ noServer: true, perMessageDeflate: how });
  const arrives = new Promise((resolve) => (outcome = resolve));
  client.write(`/ ${line}\n`);
  const { ws, name } = await Promise.race([arrives, client.ended.then(() => Promise.reject(new Error('our client has ended')))]);
  if (name !== one.name) ws.terminate();
  const got = name !== one.name ? `agreed on ${name}` : await converse(ws, one.name);
  const { value: ours } = await lines.next();
  return got === 'same' && ours !== `/ ${one.name}` ? `our client says ${ours}` : got;
}

for (const [flags, some] of groups)
  await check(`D10 D18 our client asks, takeover ${flags}, 64 pairs of windows`, [],
    () => flaws_of(some, (one) => answer(one, one.name, { threshold: 0 })), limit);
for (const [flags, some] of groups)
  await check(`D10 D18 ws asks, takeover ${flags}, 64 pairs of windows`, [],
    () => flaws_of(some, (one) => answer(one, '15 15 yes yes', wishes(one))), limit);
await check('our client has survived all this', 0, () => client.finish());
finish();
