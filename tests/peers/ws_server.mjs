// npm's ws as the server of our echo_client and conformance_client.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { WebSocketServer } from 'ws';
import {
  MiB, binary, check, conversation, finish, options, part, perMessageDeflate, some_bytes, some_text, start_client, text, unicode,
} from './checks.mjs';

part('ws server');

// A server whose connections all go to `on_peer(peer, request)`. What a handler throws ends the connection.
async function serve(on_peer, how = {}) {
  const server = http.createServer();
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate, ...how });
  server.on('upgrade', (request, socket, head) => {
    if (how.refuse) return socket.end(how.refuse);
    if (request.url === how.first_frames_with_the_head_of) {
      socket.cork();
      setImmediate(() => socket.uncork());
    }
    wss.handleUpgrade(request, socket, head, (ws) => {
      const peer = conversation(ws);
      Promise.resolve(on_peer(peer, request)).catch(() => ws.terminate());
    });
  });
  return listening(server, () => wss.clients.forEach((ws) => ws.terminate()));
}

// A TCP server that says what `answers(accept)` lists: the first when the request's head has come, each other one when
// the client has said something more. With the last one it ends the stream.
async function serve_raw(answers) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    let head = '';
    let left;
    sockets.add(socket);
    socket.on('error', () => {}).on('data', (bytes) => {
      head += bytes;
      if (!head.includes('\r\n\r\n')) return;
      const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1] ?? '';
      left ??= answers(createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64'));
      if (left.length) socket.write(left.shift(), 'latin1');
      if (!left.length) socket.end();
    });
  });
  return listening(server, () => sockets.forEach((socket) => socket.destroy()));
}

async function listening(server, end) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `ws://127.0.0.1:${server.address().port}`, end: () => (end(), server.close()) };
}

// Gives `action` the url of a server for as long as it runs.
async function during(starting, action) {
  const server = await starting;
  try {
    return await action(server.url);
  } finally {
    server.end();
  }
}

// Runs echo_client with all of its input at hand.
async function run_echo_client(url, input = '') {
  const client = start_client('echo_client', url);
  client.write(input);
  const status = await client.finish();
  return { status, stdout: client.stdout, stderr: client.stderr };
}

const echo_everything = ({ ws }) => ws.on('message', (data, is_binary) => ws.send(data, { binary: is_binary }));

// ---- echo_client: conversations

async function echo_run(input, how = {}, handle = echo_everything, path = '') {
  let end;
  let seen;
  const result = await during(serve((peer, request) => {
    seen = { url: request.url, headers: request.headers, extensions: peer.ws.extensions };
    end = peer.closed;
    return handle(peer, request);
  }, how), async (url) => {
    const { status, stdout } = await run_echo_client(url + path, input);
    return { status, stdout, code: (await end)?.code };
  });
  return { ...result, seen };
}
const talk = async (...args) => {
  const { seen, ...result } = await echo_run(...args);
  return result;
};
const clean = (stdout) => ({ status: 0, stdout, code: 1000 });

await check('echo_client with nothing to say', clean(''), () => talk(''));
await check('echo_client, one line', clean('hello\n'), () => talk('hello\n'));
await check('echo_client, a last line without its end', clean('hello\nworld\n'), () => talk('hello\nworld'));
await check('F14 echo_client, an empty line', clean('before\n\nafter\n'), () => talk('before\n\nafter\n'));
await check('echo_client, Unicode', clean(`${unicode}\n`), () => talk(`${unicode}\n`));
const thousand = Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join('');
await check('echo_client, 1000 lines in order', clean(thousand), () => talk(thousand));
const long = `${some_text(MiB)}\n`;
await check('echo_client, a line of 1 MiB', text(long),
  async () => {
    const { status, stdout, code } = await talk(long);
    return status === 0 && code === 1000 ? text(stdout) : { status, code };
  });
await check('echo_client sends text', 'text "is it text?"',
  async () => {
    let got;
    await talk('is it text?\n', {}, async (peer) => ((got = await peer.message()), peer.ws.send('yes')));
    return got;
  });
await check('echo_client waits for late replies', clean('one\ntwo\n'),
  () => talk('one\ntwo\n', {}, ({ ws }) => ws.on('message', (data) => setTimeout(() => ws.send(data.toString()), 300))));
await check('F10 echo_client, replies in fragments with pings between', { ...clean('fragments\n'), pong: 'between' },
  async () => {
    let pong;
    const result = await talk('anything\n', {}, async (peer) => {
      await peer.message();
      peer.ws.send('frag', { fin: false });
      peer.ws.ping('between');
      pong = await peer.pong();
      peer.ws.send('', { fin: false });
      peer.ws.send('ments', { fin: true });
    });
    return { ...result, pong };
  });

await check('what echo_client asks for',
  { url: '/some/path?with=query', host: true, upgrade: 'websocket', version: '13', key: true, extensions: options.deflate ? 'permessage-deflate' : '' },
  async () => {
    const { seen: { url, headers, extensions } } = await echo_run('hello\n', {}, echo_everything, '/some/path?with=query');
    return {
      url,
      host: /^127\.0\.0\.1:\d+$/.test(headers.host),
      upgrade: headers.upgrade,
      version: headers['sec-websocket-version'],
      key: /^[A-Za-z0-9+/]{22}==$/.test(headers['sec-websocket-key']),
      extensions,
    };
  });
await check('C11 echo_client, no path', '/', async () => (await echo_run('')).seen.url);
await check('C12 echo_client, a fresh nonce each time', 3,
  async () => {
    const keys = new Set();
    for (let i = 0; i < 3; ++i) keys.add((await echo_run('')).seen.headers['sec-websocket-key']);
    return keys.size;
  });

// ---- echo_client: the server ends it

// The close code that comes back from a client that waits on its standard input; the client has to end by itself.
async function answered(action) {
  let end;
  return during(serve((peer) => {
    end = peer.closed;
    return action(peer);
  }), async (url) => {
    const client = start_client('echo_client', url);
    await client.wait();
    return end ? (await end).code : 'never connected';
  });
}
for (const [code, reason] of [[1000, ''], [1001, 'going away'], [1011, 'trouble'], [3000, 'Grüße'], [4999, 'r'.repeat(123)]])
  await check(`K03 echo_client answers a close ${code}`, code, () => answered(({ ws }) => ws.close(code, reason)));
await check('K01 echo_client answers a close without a code', 1005, () => answered(({ ws }) => ws.close()));
await check('F15 echo_client refuses text that is not UTF-8', 1007,
  () => answered(({ ws }) => ws.send(Buffer.from([0x61, 0xff]), { binary: false })));
await check('F05 echo_client refuses a masked frame', 1002,
  () => answered(({ ws }) => ws._socket.write(Buffer.from([0x81, 0x81, 1, 2, 3, 4, 0x60]))));
await check('F07 echo_client refuses RSV2', 1002, () => answered(({ ws }) => ws._socket.write(Buffer.from([0xa1, 0x01, 0x61]))));
await check('K04 echo_client refuses close 1006 on the wire', 1002, () => answered(({ ws }) => ws._socket.write(Buffer.from([0x88, 0x02, 0x03, 0xee]))));
await check('F18 echo_client refuses a message over 16 MiB', 1009, () => answered(({ ws }) => ws.send(some_bytes(16 * MiB + 1))));

// What a caller learns from an echo_client that did not get its replies.
const failed = ({ status, stdout, stderr }) => ({ failed: typeof status === 'number' && status !== 0, stdout, explained: stderr.trim() !== '' });
const explained_failure = { failed: true, stdout: '', explained: true };
await check('K12 echo_client, a connection dropped before the reply', explained_failure,
  () => during(serve(async (peer) => (await peer.message(), peer.ws.terminate())),
    async (url) => failed(await run_echo_client(url, 'hello\n'))));
await check('echo_client, a close before the reply', explained_failure,
  () => during(serve(async (peer) => (await peer.message(), peer.ws.close(1001))),
    async (url) => failed(await run_echo_client(url, 'hello\n'))));

// ---- echo_client: refused handshakes

const refused_with = (head, body) =>
  during(serve(() => {}, { refuse: `HTTP/1.1 ${head}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}` }),
    async (url) => {
      const result = await run_echo_client(url, 'hello\n');
      return { ...failed(result), names_status: result.stderr.includes(head.slice(0, 3)) };
    });
for (const [head, body] of [
  ['401 Unauthorized\r\nWWW-Authenticate: Basic realm="test"', 'who are you?\n'],
  ['403 Forbidden', ''],
  ['503 Service Unavailable', 'later\n'.repeat(10000)],
  ['302 Found\r\nLocation: ws://127.0.0.1:1/', ''],
  ['200 OK\r\nContent-Type: text/html', '<!doctype html><title>no</title>'],
])
  await check(`C07 echo_client, refused with ${head.slice(0, 3)}`, { ...explained_failure, names_status: true }, () => refused_with(head, body));

const head = (accept, fields = '', start = 'HTTP/1.1 101 Switching Protocols') =>
  `${start}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${fields}\r\n`;
const hello = '\x81\x05hello';
const close_1000 = '\x88\x02\x03\xe8';
for (const [name, answer] of [
  ['C01 a wrong accept value', () => head('AAAAAAAAAAAAAAAAAAAAAAAAAAA=')],
  ['C01 no accept value', (accept) => head(accept).replace(/Sec-WebSocket-Accept.*\r\n/, '')],
  ['C01 101 from HTTP/1.0', (accept) => head(accept, '', 'HTTP/1.0 101 Switching Protocols')],
  ['C02 a subprotocol nobody offered', (accept) => head(accept, 'Sec-WebSocket-Protocol: chat\r\n')],
  ['C04 an extension nobody offered', (accept) => head(accept, 'Sec-WebSocket-Extensions: x-unasked\r\n')],
  ['an answer that is not HTTP', () => 'SSH-2.0-test\r\n\r\n'],
  ['no answer at all', () => ''],
  ['half an answer', (accept) => head(accept).slice(0, 40)],
])
  await check(`echo_client, ${name}`, explained_failure,
    () => during(serve_raw((accept) => [answer(accept) && answer(accept) + close_1000]),
      async (url) => failed(await run_echo_client(url))));
await check('C05, C06 echo_client, 103 before a 101 without a reason phrase', { status: 0, stdout: 'hello\n' },
  () => during(serve_raw((accept) =>
    [`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${head(accept, '', 'HTTP/1.1 101 ')}`, hello, close_1000]),
  async (url) => {
    const { status, stdout } = await run_echo_client(url, 'hello\n');
    return { status, stdout };
  }));
await check('echo_client, nobody listens', explained_failure,
  async () => {
    const server = await serve(() => {});
    server.end();
    return failed(await run_echo_client(server.url, 'hello\n'));
  });
for (const url of ['ws://', 'nonsense', 'ftp://127.0.0.1/', 'ws://127.0.0.1:99999/', 'ws://127.0.0.1/#fragment'])
  await check(`C11 echo_client, the address ${url}`, explained_failure, async () => failed(await run_echo_client(url)));

// ---- conformance_client

// Each case sends, compares what comes back, and leaves the close to the server, unless it ends the connection itself.
// A case is [name, what it should come to, what to do].
function echoes(name, ...messages) {
  return [name, messages.map((message) => (typeof message === 'string' ? text : binary)(message)), async (peer) => {
    for (const message of messages) peer.ws.send(message);
    const got = [];
    for (const _ of messages) got.push(await peer.message());
    return got;
  }];
}
const closes = (name, code, action) => [name, code, async (peer) => (action(peer.ws), (await peer.closed).code)];

const cases = [
  echoes('F14 empty messages', '', Buffer.alloc(0)),
  echoes('text and binary', 'hello', Buffer.from([0, 1, 2, 255])),
  echoes('F17 text of every kind', unicode),
  ...[125, 126, 65535, 65536, MiB, 16 * MiB].flatMap((size) => [
    echoes(`text of ${size} bytes`, some_text(size)),
    echoes(`binary of ${size} bytes`, some_bytes(size)),
  ]),
  ['1000 small messages come back in order', true, async (peer) => {
    for (let i = 0; i < 1000; ++i) peer.ws.send(`message ${i}`);
    for (let i = 0; i < 1000; ++i) if ((await peer.message()) !== text(`message ${i}`)) return i;
    return true;
  }],
  ['F16 fragments that cut a code point', text('𝄞€'), (peer) => {
    const bytes = Buffer.from('𝄞€');
    bytes.forEach((byte, i) => peer.ws.send(Buffer.from([byte]), { binary: false, fin: i === bytes.length - 1 }));
    return peer.message();
  }],
  ['10000 fragments', text('x'.repeat(10000)), (peer) => {
    for (let i = 0; i < 10000; ++i) peer.ws.send('x', { fin: i === 9999 });
    return peer.message();
  }],
  ...['', 'x', 'p'.repeat(125)].map((payload) =>
    [`F19 a ping of ${payload.length} bytes`, payload, (peer) => (peer.ws.ping(payload), peer.pong())]),
  ['F20 a pong nobody asked for', text('still here'), (peer) => (peer.ws.pong('unasked'), peer.echo('still here'))],
  ['F10 a ping between fragments', ['between', text('onetwo')], async (peer) => {
    peer.ws.send('one', { fin: false });
    peer.ws.ping('between');
    const pong = await peer.pong();
    peer.ws.send('two', { fin: true });
    return [pong, await peer.message()];
  }],
  ...[[1000, ''], [1001, 'away'], [1011, ''], [3000, 'Grüße'], [4999, 'r'.repeat(123)]].map(([code, reason]) =>
    closes(`K03 close ${code}`, code, (ws) => ws.close(code, reason))),
  closes('K01 close without a code', 1005, (ws) => ws.close()),
  ['messages before the close come back before the close', [text('one'), text('two'), 4000], async (peer) => {
    peer.ws.send('one');
    peer.ws.send('two');
    peer.ws.close(4000);
    const { code } = await peer.closed;
    return [await peer.message(), await peer.message(), code];
  }],
  closes('F15 text that is not UTF-8', 1007, (ws) => ws.send(Buffer.from([0xff]), { binary: false })),
  closes('F16 a message that ends inside a code point', 1007, (ws) => ws.send(Buffer.from([0xe2, 0x82]), { binary: false })),
  closes('F05 a masked frame', 1002, (ws) => ws._socket.write(Buffer.from([0x81, 0x81, 1, 2, 3, 4, 0x60]))),
  closes('F08 opcode 11', 1002, (ws) => ws._socket.write(Buffer.from([0x8b, 0x00]))),
  closes('F11 a continuation of nothing', 1002, (ws) => ws._socket.write(Buffer.from([0x80, 0x00]))),
  closes('K06 a reason that is not UTF-8', 1007, (ws) => ws._socket.write(Buffer.from([0x88, 0x03, 0x03, 0xe8, 0xff]))),
];
if (options.deflate) {
  const prose = 'All work and no play makes a dull message. '.repeat(25000);
  cases.push(
    ['the echo of 1 MiB of prose is short on the wire', [text(prose), true], async (peer) => {
      const before = peer.ws._socket.bytesRead;
      const message = await peer.echo(prose);
      return [message, peer.ws._socket.bytesRead - before < 50000];
    }],
    ['D06 an uncompressed message', text(prose), (peer) => peer.echo(prose, { compress: false })],
    ['D07 the window is kept from message to message', [text(prose), text(prose.slice(5)), text('short')],
      async (peer) => [await peer.echo(prose), await peer.echo(prose.slice(5)), await peer.echo('short')]],
    // Reserved bit 1 and a block of the reserved type.
    closes('D12 bytes that are no DEFLATE', 1007, (ws) => ws._socket.write(Buffer.from([0xc1, 0x01, 0x07]))),
  );
}

const outcomes = new Map();
const extensions = new Set();
const agents = new Set();
const other_requests = [];

const cases_server = await serve(async (peer, request) => {
  const url = new URL(request.url, 'ws://127.0.0.1');
  const agent = url.searchParams.get('agent');
  if (url.pathname === '/getCaseCount') {
    peer.ws.send(String(cases.length), { compress: false });  // at once, to go out with the 101
    peer.ws.close(1000);
  } else if (url.pathname === '/runCase') {
    agents.add(agent);
    extensions.add(peer.ws.extensions);
    const number = Number(url.searchParams.get('case'));
    const [, , action] = cases[number - 1];
    const dead = setTimeout(() => peer.ws.terminate(), 20000);
    outcomes.set(number, await Promise.resolve(action(peer)).catch((error) => `exception: ${error.message}`));
    peer.ws.close(1000);
    peer.closed.then(() => clearTimeout(dead));
  } else {
    agents.add(agent);
    other_requests.push(url.pathname);
    peer.ws.close(1000);
  }
}, { first_frames_with_the_head_of: '/getCaseCount' });
const client = start_client('conformance_client', cases_server.url, '--agent', 'a-peer');
await check('C09 conformance_client reads a count that came with the 101, goes through all cases and ends with 0', { status: 0, cases: cases.length },
  async () => ({ status: await client.wait(90000), cases: outcomes.size }), 100000);
for (const [i, [name, expected]] of cases.entries())
  await check(`conformance_client, ${name}`, expected, async () => outcomes.get(i + 1));
await check('conformance_client names its agent and asks for a report at the end', { agents: ['a-peer'], other_requests: ['/updateReports'] },
  async () => ({ agents: [...agents], other_requests }));
await check('what conformance_client negotiates', [options.deflate ? 'permessage-deflate' : ''], async () => [...extensions]);
cases_server.end();

if (options.deflate) {
  for (const [name, offer] of [
    ['D07 no takeover either way', { serverNoContextTakeover: true, clientNoContextTakeover: true }],
    ['D18 server_max_window_bits=9', { serverMaxWindowBits: 9 }],
  ]) {
    const lines = thousand.repeat(10);
    await check(`echo_client, ${name}`, text(lines),
      async () => {
        const { status, stdout, code } = await talk(lines, { perMessageDeflate: { threshold: 0, ...offer } });
        return status === 0 && code === 1000 ? text(stdout) : { status, code };
      });
  }
} else {
  await check('H17 echo_client, a server that knows permessage-deflate', { ...clean('hello\n'), extensions: '' },
    async () => {
      const { seen, ...result } = await echo_run('hello\n', { perMessageDeflate: true });
      return { ...result, extensions: seen.extensions };
    });
}
finish();
