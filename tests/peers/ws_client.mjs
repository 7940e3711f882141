// npm's ws as the client of our echo_server.

import http from 'node:http';
import WebSocket from 'ws';
import {
  MiB, binary, check, conversation, finish, options, part, perMessageDeflate, sleep, some_bytes, some_text, start_server,
  text, unicode,
} from './checks.mjs';

part('ws client');
const server = await start_server();
const small = await start_server('--max-message', '1000');
const chat = await start_server('--subprotocol', 'chat');

async function connect(url = server.url, protocols = [], how = {}) {
  const peer = conversation(new WebSocket(url, protocols, { perMessageDeflate, ...how }));
  await new Promise((resolve, reject) => peer.ws.on('open', resolve).on('error', reject));
  return peer;
}

// One conversation on a connection of its own, ended hard: how it closes is checked elsewhere.
async function talk(action, ...where) {
  const peer = await connect(...where);
  try {
    return await action(peer);
  } finally {
    peer.ws.terminate();
  }
}

// ---- messages

await check('what is negotiated', { extensions: options.deflate ? 'permessage-deflate' : '', protocol: '' },
  () => talk(async ({ ws }) => ({ extensions: ws.extensions, protocol: ws.protocol })));

await check('F14 empty messages', ['text ""', 'binary <>', 'text "after"'],
  () => talk(async (peer) => [await peer.echo(''), await peer.echo(Buffer.alloc(0)), await peer.echo('after')]));

await check('text', text('hello'), () => talk((peer) => peer.echo('hello')));
await check('F17 text of every kind', text(unicode), () => talk((peer) => peer.echo(unicode)));
const every_byte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
await check('binary', binary(every_byte), () => talk((peer) => peer.echo(every_byte)));

for (const size of [1, 125, 126, 127, 65535, 65536, MiB, 16 * MiB]) {
  await check(`binary of ${size} bytes`, binary(some_bytes(size)), () => talk((peer) => peer.echo(some_bytes(size))));
  await check(`text of ${size} bytes`, text(some_text(size)), () => talk((peer) => peer.echo(some_text(size))));
}

await check('1000 small messages come back in order', 'all',
  () => talk(async (peer) => {
    for (let i = 0; i < 1000; ++i) peer.ws.send(i % 2 ? `message ${i}` : Buffer.from(`message ${i}`));
    for (let i = 0; i < 1000; ++i) {
      const expected = (i % 2 ? text : binary)(`message ${i}`);
      const got = await peer.message();
      if (got !== expected) return `at ${i}: ${got}`;
    }
    return 'all';
  }));

await check('100 connections at once, 10 messages each, all closed', { right: 1000, closed: 100 },
  async () => {
    const peers = await Promise.all(Array.from({ length: 100 }, () => connect()));
    let right = 0;
    await Promise.all(peers.map(async (peer, i) => {
      for (let k = 0; k < 10; ++k) if ((await peer.echo(`${i}/${k}`)) === text(`${i}/${k}`)) ++right;
    }));
    const ends = await Promise.all(peers.map((peer) => peer.close(1000)));
    return { right, closed: ends.filter(({ code }) => code === 1000).length };
  });

await check('a client that reads late gets all of 24 MiB', 'all',
  () => talk(async (peer) => {
    const pieces = Array.from({ length: 24 }, (_, i) => Buffer.concat([Buffer.from([i]), some_bytes(MiB - 1)]));
    peer.ws.pause();
    pieces.forEach((piece) => peer.ws.send(piece));
    await sleep(500);
    peer.ws.resume();
    for (const piece of pieces) {
      const got = await peer.message();
      if (got !== binary(piece)) return got;
    }
    return 'all';
  }));

// ---- fragments and control frames

function send_fragments(peer, pieces, is_binary, between = () => {}) {
  pieces.forEach((piece, i) => {
    peer.ws.send(piece, { binary: is_binary, fin: i === pieces.length - 1 });
    if (i !== pieces.length - 1) between(i);
  });
  return peer.message();
}

await check('fragments of a binary message', binary(some_bytes(1000)),
  () => talk((peer) => send_fragments(peer, [0, 1, 2, 3].map((i) => some_bytes(1000).subarray(i * 250, (i + 1) * 250)), true)));
await check('F16 fragments that cut a code point', text('𝄞€'),
  () => talk((peer) => send_fragments(peer, [...Buffer.from('𝄞€')].map((byte) => Buffer.from([byte])), false)));
await check('empty fragments around one that is not', text('middle'),
  () => talk((peer) => send_fragments(peer, ['', '', 'middle', '', ''], false)));
await check('10000 fragments', text('0123456789'.repeat(1000)),
  () => talk((peer) => send_fragments(peer, [...'0123456789'.repeat(1000)], false)));
await check('F10 pings between fragments', { message: text('one two three'), pongs: ['0', '1'] },
  () => talk(async (peer) => {
    const pongs = [];
    const pieces = ['one ', 'two ', 'three'];
    // One ping at a time: of several unanswered ones only the latest need be answered.
    for (let i = 0; i < 2; ++i) {
      peer.ws.send(pieces[i], { binary: false, fin: false });
      peer.ws.ping(String(i));
      pongs.push(await peer.pong());
    }
    peer.ws.send(pieces[2], { fin: true });
    return { message: await peer.message(), pongs };
  }));

for (const payload of ['', 'x', 'p'.repeat(125)])
  await check(`F19 a ping of ${payload.length} bytes`, payload,
    () => talk((peer) => (peer.ws.ping(payload), peer.pong())));
await check('F20 a pong nobody asked for', text('still here'),
  () => talk((peer) => (peer.ws.pong('unasked'), peer.echo('still here'))));

// ---- closing

for (const [code, reason] of [
  [1000, ''], [1000, 'goodbye'], [1001, 'going away'], [1011, ''], [3000, 'Grüße'], [4000, ''], [4999, 'r'.repeat(123)],
])
  await check(`K03 close ${code} with a reason of ${Buffer.byteLength(reason)} bytes`, { code, soon: true },
    async () => {
      const end = await (await connect()).close(code, reason);
      return { code: end.code, soon: end.soon };
    });
await check('K01 close without a code', { code: 1005, reason: '', soon: true }, async () => (await connect()).close());
await check('K13 messages sent before the close come back before the close', ['text "0"', 'text "1"', 'text "2"', 1000],
  async () => {
    const peer = await connect();
    for (const i of [0, 1, 2]) peer.ws.send(String(i));
    const { code } = await peer.close(1000);
    return [await peer.message(), await peer.message(), await peer.message(), code];
  });
await check('K12 the end of the stream without a close', 1006,
  async () => {
    const peer = await connect();
    peer.ws._socket.end();
    return (await peer.closed).code;
  });
await check('a connection dropped inside a message leaves the others alone', text('unharmed'),
  () => talk(async (other) => {
    const peer = await connect();
    peer.ws.send('never finished', { fin: false });
    peer.ws.send(some_bytes(MiB), { fin: false });
    await sleep(50);
    peer.ws._socket.resetAndDestroy();
    await peer.closed;
    return other.echo('unharmed');
  }));

// ---- limits and broken peers: what the Close frame says must arrive, not a reset

const close_code = (url, action) => talk(async (peer) => (action(peer), (await peer.closed).code), url);

await check('F18 a message of exactly the limit', binary(some_bytes(1000)), () => talk((peer) => peer.echo(some_bytes(1000)), small.url));
await check('F18 one byte over the limit', 1009, () => close_code(small.url, ({ ws }) => ws.send(some_bytes(1001))));
await check('F18 over the limit in fragments', 1009,
  () => close_code(small.url, ({ ws }) => {
    ws.send(some_bytes(600), { fin: false });
    ws.send(some_bytes(401), { fin: true });
  }));
await check('F18 one byte over the default limit of 16 MiB', 1009,
  () => close_code(server.url, ({ ws }) => ws.send(some_bytes(16 * MiB + 1))));

const not_utf8 = { binary: false };  // ws sends what it is given
await check('F15 text that is not UTF-8', 1007, () => close_code(server.url, ({ ws }) => ws.send(Buffer.from([0x61, 0xff]), not_utf8)));
await check('F15 bad UTF-8 is refused before its message ends', 1007,
  () => close_code(server.url, ({ ws }) => ws.send(Buffer.from([0xc0, 0xaf]), { binary: false, fin: false })));
await check('F16 a message that ends inside a code point', 1007,
  () => close_code(server.url, ({ ws }) => ws.send(Buffer.from('€').subarray(0, 2), not_utf8)));
await check('F17 a surrogate', 1007, () => close_code(server.url, ({ ws }) => ws.send(Buffer.from([0xed, 0xa0, 0x80]), not_utf8)));

// A frame ws would not send: `bits` is the first byte; masking key 0 is legal and leaves the payload as it is (F06).
const raw = ({ ws }, bits, payload, mask_bit = 0x80) =>
  ws._socket.write(Buffer.from([bits, mask_bit | payload.length, ...(mask_bit ? [0, 0, 0, 0] : []), ...payload]));
await check('F06 a masking key of zero', text('plain'), () => talk((peer) => (raw(peer, 0x81, Buffer.from('plain')), peer.message())));
for (const [name, code, ...frame] of [
  ['F05 a frame without a mask', 1002, 0x81, [0x61], 0],
  ['F07 RSV2', 1002, 0xa1, [0x61]],
  ['F08 opcode 3', 1002, 0x83, []],
  ['F09 a fragment of a ping', 1002, 0x09, []],
  ['F11 a continuation of nothing', 1002, 0x80, [0x61]],
  ['K02 a close of one byte', 1002, 0x88, [0x03]],
  ['K04 close 1005 on the wire', 1002, 0x88, [0x03, 0xed]],
  ['K04 close 999', 1002, 0x88, [0x03, 0xe7]],
  ['K06 a reason that is not UTF-8', 1007, 0x88, [0x03, 0xe8, 0xff]],
])
  await check(name, code, () => close_code(server.url, (peer) => raw(peer, ...frame)));

// ---- the handshake

await check('the subprotocol, offered alone', 'chat', () => talk(async ({ ws }) => ws.protocol, chat.url, ['chat']));
await check('the subprotocol, offered second', 'chat', () => talk(async ({ ws }) => ws.protocol, chat.url, ['superchat', 'chat']));
await check('no subprotocol offered', '', () => talk(async ({ ws }) => ws.protocol, chat.url));
// The server may refuse or select nothing; ws takes neither.
await check('another subprotocol offered', 'refused', () => connect(chat.url, ['other']).then(() => 'opened', () => 'refused'));
await check('a subprotocol offered to a server without one', 'refused',
  () => connect(server.url, ['chat']).then(() => 'opened', () => 'refused'));

if (!options.deflate)
  await check('H17 permessage-deflate offered in vain', ['', text('hello'), text(some_text(MiB))],
    () => talk(async (peer) => [peer.ws.extensions, await peer.echo('hello'), await peer.echo(some_text(MiB))],
      server.url, [], { perMessageDeflate: { threshold: 0 } }));
await check('H26 cookies of 4 KiB', text('hello'),
  () => talk((peer) => peer.echo('hello'), server.url, [], { headers: { Cookie: `c=${'c'.repeat(4094)}` } }));
await check('a target with path and query', text('hello'), () => talk((peer) => peer.echo('hello'), `${server.url}/some/path?with=query&x=%20`));

function refusal(how, url = server.url) {
  return new Promise((resolve) => {
    const ws = new WebSocket(url, [], how);
    ws.on('unexpected-response', (request, response) => (resolve(response), response.resume(), request.destroy()));
    ws.on('open', () => (resolve({ statusCode: 'opened' }), ws.terminate()));
    ws.on('error', (error) => resolve({ statusCode: error.message }));
  });
}
await check('H10 version 8', [426, '13'],
  async () => {
    const { statusCode, headers } = await refusal({ protocolVersion: 8 });
    return [statusCode, headers['sec-websocket-version']];
  });
await check('H26 a head over the limit', 431,
  async () => (await refusal({ headers: { Cookie: `c=${'c'.repeat(20000)}` } })).statusCode);
await check('H01 POST', 405,
  async () => (await refusal({
    finishRequest: (request) => ((request.method = 'POST'), request.setHeader('Content-Length', 0), request.end()),
  })).statusCode);
const fenced = await start_server('--origin', 'https://example.test');
await check('H34 the origin that is allowed', text('hello'),
  () => talk((peer) => peer.echo('hello'), fenced.url, [], { origin: 'https://example.test' }));
for (const origin of ['https://example.test.evil', 'http://example.test', 'https://example.test:444', 'null'])
  await check(`H34 the origin ${origin} that is not`, 403, async () => (await refusal({ origin }, fenced.url)).statusCode);
await check('H04b a request for a page', [426, 'websocket', 'complete'],
  () => new Promise((resolve, reject) => {
    http.get({ port: server.port, host: '127.0.0.1', agent: false }, (response) => {
      const { statusCode, headers: { upgrade } } = response;
      response.on('end', () => resolve([statusCode, upgrade, response.complete ? 'complete' : 'cut'])).resume();
    }).on('error', reject);
  }));

// ---- compression

if (options.deflate) {
  const plain = 'All work and no play makes a dull message. '.repeat(25000);
  await check('the echo of 1 MiB of prose is short on the wire', [text(plain), true],
    () => talk(async (peer) => {
      const before = peer.ws._socket.bytesRead;
      const message = await peer.echo(plain);
      return [message, peer.ws._socket.bytesRead - before < 50000];
    }));
  await check('D06 an uncompressed message', text(plain), () => talk((peer) => peer.echo(plain, { compress: false })));
  await check('D13 a short frame that inflates over the limit', 1009, () => close_code(small.url, ({ ws }) => ws.send(Buffer.alloc(100000))));
  await check('D14 a ping inside a compressed message', ['ping', text(plain)],
    () => talk(async (peer) => {
      peer.ws.send(plain.slice(0, 70000), { fin: false });
      peer.ws.ping('ping');
      const pong = await peer.pong();
      peer.ws.send(plain.slice(70000), { fin: true });
      return [pong, await peer.message()];
    }));
  for (const [name, offer, answered] of [
    ['D07 server_no_context_takeover', { serverNoContextTakeover: true }, (p) => p.server_no_context_takeover === true],
    ['D07 client_no_context_takeover', { clientNoContextTakeover: true }, () => true],
    ['D18 server_max_window_bits=9', { serverMaxWindowBits: 9 }, (p) => p.server_max_window_bits <= 9],
    ['D18 client_max_window_bits=9', { clientMaxWindowBits: 9 }, () => true],
    ['D18 both windows of 10 bits, no takeover',
      { serverMaxWindowBits: 10, clientMaxWindowBits: 10, serverNoContextTakeover: true, clientNoContextTakeover: true },
      (p) => p.server_max_window_bits <= 10 && p.server_no_context_takeover === true],
  ]) {
    const messages = [plain, some_text(100000), plain, plain.slice(1000), ''];
    await check(name, [true, ...messages.map(text)],
      () => talk(async (peer) => {
        const got = [answered(peer.ws._extensions['permessage-deflate'].params)];
        for (const message of messages) got.push(await peer.echo(message));
        return got;
      }, server.url, [], { perMessageDeflate: { threshold: 0, ...offer } }));
  }
}

// ---- afterwards

await check('the servers have survived all this', [true, true, true, true],
  async () => [server, small, chat, fenced].map(({ alive }) => alive()));
await check('and the first one still echoes', text('hello'), () => talk((peer) => peer.echo('hello')));
finish();
