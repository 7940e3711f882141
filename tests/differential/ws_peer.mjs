// npm's ws as a peer of the differential test: reads batches of cases on its standard input, writes their outcomes (outcome.hpp).
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { Duplex } from 'node:stream';

const require = createRequire(new URL('../peers/package.json', import.meta.url));
const { WebSocket, WebSocketServer } = require('ws');
const folder = require.resolve('ws').replace(/[^/]*$/, 'lib/');
const Receiver = require(`${folder}receiver.js`);
const PerMessageDeflate = require(`${folder}permessage-deflate.js`);

const TO_SERVER = 0, DEFLATE_TO_SERVER = 2, REQUEST = 4, RESPONSE = 5;
const WAITS = 0, CLOSED = 1, FAILED = 2, ACCEPTED = 3, REJECTED = 4;
const MAX_MESSAGE = 65536;
const ACCEPT_HERE = '<<the right accept, in 28>>!';

function item(what, bytes) {
  const head = Buffer.alloc(5);
  head.write(what);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
const turn = () => new Promise(setImmediate);

// ---- frames

async function frames(kind, data) {
  const isServer = kind === TO_SERVER || kind === DEFLATE_TO_SERVER;
  const deflate = kind >= DEFLATE_TO_SERVER ? new PerMessageDeflate({ isServer, maxPayload: MAX_MESSAGE }) : null;
  if (deflate) deflate.accept([{}]);
  const receiver = new Receiver({ isServer, maxPayload: MAX_MESSAGE, extensions: deflate ? { 'permessage-deflate': deflate } : {} });
  const log = [];
  let end = WAITS, code = 0;
  receiver.on('message', (bytes, isBinary) => log.push(item(isBinary ? 'b' : 't', bytes)));
  receiver.on('ping', (bytes) => log.push(item('i', bytes)));
  receiver.on('pong', (bytes) => log.push(item('o', bytes)));
  receiver.on('conclude', (number, reason) => {
    end = CLOSED;
    const two = Buffer.alloc(2);
    two.writeUInt16BE(number === 1005 ? 0 : number);
    log.push(item('c', Buffer.concat([two, reason])));
  });
  receiver.on('error', (error) => {
    end = FAILED;
    const status = Object.getOwnPropertySymbols(error).find((s) => s.description === 'status-code');
    code = status ? error[status] : 0xffff;
  });
  // The write is done when it is told so, or when the receiver waits for more. An error is told a little later.
  let written = false;
  receiver.write(data, () => (written = true));
  const INFLATING = 5;
  while (deflate && !written && end === WAITS && receiver._state === INFLATING) await turn();
  for (let i = 0; deflate && end === WAITS && i < 3; ++i) await turn();
  if (end === WAITS) await new Promise(process.nextTick);
  if (deflate) deflate.cleanup();
  return [end, code, Buffer.concat(log)];
}

// ---- handshakes

class Wire extends Duplex {
  sent = [];
  _read() {}
  _write(chunk, _, done) {
    this.sent.push(chunk);
    done();
  }
  setTimeout() {}
  setNoDelay() {}
  setKeepAlive() {}
  ref() {}
  unref() {}
}

const server = createServer();
const acceptor = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  handleProtocols: (set, request) => {
    request.offers = [...set].join(',');
    return false;
  },
});
server.on('upgrade', (request, socket, head) =>
  acceptor.handleUpgrade(request, socket, head, (one) => {
    one.on('error', () => {});  // of what follows the head
    socket.offers = request.offers ?? '';
  }));
server.on('request', (request, response) => {
  response.statusCode = 426;
  response.end();
});

function value(head, name) {
  const at = head.toLowerCase().indexOf(`\r\n${name}: `);
  return at < 0 ? '' : head.slice(at + name.length + 4, head.indexOf('\r\n', at + 2));
}

async function request(data) {
  const wire = new Wire();
  wire.on('error', () => {});
  server.emit('connection', wire);
  wire.push(data);
  for (let i = 0; i < 3 && wire.sent.length === 0 && !wire.destroyed; ++i) await turn();
  const head = Buffer.concat(wire.sent).toString('latin1');
  const refused = wire.destroyed && head === '';
  wire.destroy();
  if (head.startsWith('HTTP/1.1 101 '))
    return [ACCEPTED, 0, Buffer.concat([item('a', Buffer.from(value(head, 'sec-websocket-accept'))), item('p', Buffer.from(wire.offers ?? '', 'latin1'))])];
  return [head !== '' || refused ? REJECTED : WAITS, 0, Buffer.alloc(0)];
}

async function response(data) {
  const wire = new Wire();
  let end = WAITS;
  const socket = new WebSocket('ws://example.org/chat', ['chat.v2', 'chat.v1'], { perMessageDeflate: false, createConnection: () => wire });
  socket.on('open', () => (end = ACCEPTED));
  socket.on('error', () => (end = end === WAITS ? REJECTED : end));
  socket.on('unexpected-response', () => (end = REJECTED));
  for (let i = 0; i < 5 && wire.sent.length === 0; ++i) await turn();
  const key = value(Buffer.concat(wire.sent).toString('latin1'), 'sec-websocket-key');
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  wire.push(Buffer.from(data.toString('latin1').replaceAll(ACCEPT_HERE, accept), 'latin1'));
  for (let i = 0; i < 4 && end === WAITS; ++i) await turn();
  const selected = socket.protocol;
  socket.terminate();
  wire.destroy();
  return [end, 0, end === ACCEPTED ? item('p', Buffer.from(selected, 'latin1')) : Buffer.alloc(0)];
}

// ---- batches

let waiting = Buffer.alloc(0);
for await (const chunk of process.stdin) {
  waiting = Buffer.concat([waiting, chunk]);
  while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE()) {
    const batch = waiting.subarray(4, 4 + waiting.readUInt32BE());
    waiting = waiting.subarray(4 + batch.length);
    const answers = [Buffer.alloc(4)];
    for (let at = 0; at < batch.length;) {
      const kind = batch[at], n = batch.readUInt32BE(at + 1);
      const data = Buffer.from(batch.subarray(at + 5, at + 5 + n));
      at += 5 + n;
      const [end, code, log] = await (kind === REQUEST ? request(data) : kind === RESPONSE ? response(data) : frames(kind, data));
      const head = Buffer.alloc(7);
      head[0] = end;
      head.writeUInt16BE(code, 1);
      head.writeUInt32BE(log.length, 3);
      answers.push(head, log);
    }
    const answer = Buffer.concat(answers);
    answer.writeUInt32BE(answer.length - 4);
    process.stdout.write(answer);
  }
}
process.exit(0);
