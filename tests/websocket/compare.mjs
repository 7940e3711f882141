// Plays every step of steps.txt twice against a scripted server: in Chromium, and by `page`, which is websocket.hpp over a
// socket. What happened must be the same: the events with state, code, reason and buffered bytes, exceptions by name, and
// what the server saw. Called by tests/websocket/run.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { launch_chromium } from '../peers/chromium.mjs';

const [program, executable, only] = process.argv.slice(2);
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const repeated = (word = '') => word.replace(/^(.*)\*(\d+)$/, (_, unit, n) => unit.repeat(n));

function read_steps() {
  const steps = [];
  for (const line of readFileSync(new URL('steps.txt', import.meta.url), 'utf8').split('\n')) {
    const [, verb, rest] = /^\s*(\S*) ?(.*)$/.exec(line);
    if (verb === '' || verb === '#' || verb.startsWith('#')) continue;
    if (verb === 'step') steps.push({ name: rest, server: [], page: [] });
    else if (verb === 'server') steps.at(-1).server.push(rest);
    else if (verb === 'url') steps.at(-1).url = rest;
    else if (verb === 'offer' || verb === 'at') steps.at(-1).page.push(`${verb} ${rest}`);
    else throw new Error(`steps.txt: ${line}`);
  }
  return steps;
}

// ---- the server

const steps = read_steps();
let connection_ended;  // resolves to what the server saw, once the page's connection is gone

const frame = (first, payload) => {
  const bytes = Buffer.from(payload);
  if (bytes.length > 125) throw new Error('the scripted server sends short frames');
  return Buffer.concat([Buffer.from([first, bytes.length]), bytes]);
};

const close_payload = (code, reason) => {
  const text = Buffer.from(repeated(reason));
  return code === undefined ? '' : Buffer.concat([Buffer.from([code >> 8, code & 255]), text]);
};

async function serve(socket) {
  const saw = [];
  let rest = Buffer.alloc(0), head, last_close = '', closing = false, wake = () => {};
  const take = () => {
    if (head === undefined) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) return false;
      head = rest.subarray(0, end).toString('latin1');
      rest = rest.subarray(end + 4);
      return true;
    }
    if (rest.length < 2) return false;
    const code = rest[1] & 127, extended = code === 126 ? 2 : code === 127 ? 8 : 0;
    if (rest.length < 6 + extended) return false;
    const length = code === 126 ? rest.readUInt16BE(2) : code === 127 ? Number(rest.readBigUInt64BE(2)) : code;
    const at = 6 + extended;
    if (rest.length < at + length) return false;
    const payload = Buffer.from(rest.subarray(at, at + length).map((byte, i) => byte ^ rest[at - 4 + (i & 3)]));
    const kind = { 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' }[rest[0] & 15] ?? `opcode ${rest[0] & 15}`;
    rest = rest.subarray(at + length);
    let what = kind === 'binary' ? payload.toString('hex') : payload.toString();
    if (kind === 'close') {
      last_close = payload;
      const number = payload.length ? payload.readUInt16BE() : '';
      // How a broken rule is told, and whether a reason is sent back, no page sees: there Chromium does otherwise.
      const broken = [1002, 1007, 1009].includes(number);
      what = broken ? 'for a broken rule' : closing ? `${number}` : `${number} ${payload.subarray(2)}`;
    }
    saw.push(what.length > 200 ? `${kind} of ${what.length}` : `${kind} ${what}`.trim());
    return true;
  };
  socket.on('error', () => {}).on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (take());
    wake();
  });
  let gone = false;
  const ended = new Promise((resolve) => socket.on('end', () => { gone = true; wake(); }).on('close', () => { gone = true; wake(); resolve(); }));
  const until = async (ready) => {
    while (!ready() && !gone) await new Promise((resolve) => (wake = resolve));
    return ready();
  };
  connection_ended(ended.then(() => saw));
  if (!(await until(() => head !== undefined))) return;
  const step = steps[Number(/^GET \/(\d+) /.exec(head)?.[1])];
  const key = /^sec-websocket-key: *(.*?)\s*$/im.exec(head)[1];
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  for (const command of step.server) {
    const [, verb, text] = /^(\S+) ?(.*)$/.exec(command);
    const words = text.split(' ');
    if (verb === 'accept')
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${text && `${text}\r\n`}\r\n`);
    else if (verb === 'line') socket.write(`${text}\r\n`);
    else if (verb === 'raw') socket.write(Buffer.from(text, 'hex'));
    else if (verb === 'text') socket.write(frame(0x81, repeated(text)));
    else if (verb === 'part') socket.write(frame(0x01, repeated(text)));
    else if (verb === 'rest') socket.write(frame(0x80, repeated(text)));
    else if (verb === 'binary') socket.write(frame(0x82, Buffer.from(text, 'hex')));
    else if (verb === 'ping') socket.write(frame(0x89, text));
    else if (verb === 'close') (closing = true), socket.write(frame(0x88, close_payload(text ? Number(words[0]) : undefined, words[1])));
    else if (verb === 'wait') await sleep(Number(text));
    else if (verb === 'await') await until(() => saw.some((line) => line.split(' ')[0] === text));
    else if (verb === 'close-back') (await until(() => saw.some((line) => line.startsWith('close')))) && socket.write(frame(0x88, last_close));
    else if (verb === 'end') socket.end();
    else if (verb === 'reset') socket.resetAndDestroy();
    else throw new Error(`steps.txt: server ${command}`);
  }
}

const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('end', () => socket.end());
  serve(socket);
});
server.listen(0, '127.0.0.1');
const nobody = net.createServer().listen(0, '127.0.0.1');
await Promise.all([once(server, 'listening'), once(nobody, 'listening')]);
const closed_port = nobody.address().port;
nobody.close();

// ---- the two pages

// Runs inside Chromium; returns the log.
async function play({ url, lines }) {
  const repeated = (word = '') => word.replace(/^(.*)\*(\d+)$/, (_, unit, n) => unit.repeat(n));
  const log = [];
  const offers = [], actions = [];
  for (const line of lines) {
    const [verb, ...words] = line.split(' ');
    if (verb === 'offer') offers.push(...words);
    else actions.push({ event: words[0], line: words.slice(1).join(' ') });
  }
  let socket;
  try {
    socket = new WebSocket(url, offers);
  } catch (exception) {
    return [`new -> ${exception.name}`];
  }
  socket.binaryType = 'arraybuffer';
  const state = () => ` | ${socket.readyState} ${socket.bufferedAmount}`;
  const act = (line) => {
    const [verb, first, second] = line.split(' ');
    try {
      if (verb === 'send' && first === 'text') socket.send(repeated(second));
      else if (verb === 'send') socket.send(Uint8Array.from(second.match(/../g), (digits) => parseInt(digits, 16)));
      else if (first === undefined) socket.close();
      else if (second === undefined) socket.close(Number(first));
      else socket.close(first === '-' ? undefined : Number(first), repeated(second));
    } catch (exception) {
      return exception.name;
    }
    return 'ok';
  };
  const at = (event) => {
    for (const action of actions.filter((action) => action.event === event)) {
      action.event = '';
      const result = act(action.line);
      log.push(`  ${action.line} -> ${result}${state()}`);
    }
  };
  log.push(`new -> ok ${socket.url} "${socket.protocol}" "${socket.extensions}"${state()}`);
  at('start');
  socket.onopen = () => { log.push(`open "${socket.protocol}" "${socket.extensions}"${state()}`); at('open'); };
  socket.onmessage = ({ data }) => {
    const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
    log.push(`${typeof data === 'string' ? `text ${data}` : `binary ${hex(new Uint8Array(data))}`} | ${socket.readyState}`);
    at('message');
  };
  socket.onerror = () => { log.push(`error${state()}`); at('error'); };
  await new Promise((resolve) => {
    setTimeout(() => { log.push('nothing more happened within 10 s'); resolve(); }, 10000);
    socket.onclose = ({ wasClean, code, reason }) => {
      log.push(`close ${wasClean} ${code} "${reason}"${state()}`);
      at('close');
      setTimeout(resolve, 50);
    };
  });
  return log;
}

async function play_ours({ url, lines }) {
  const child = spawn(program, [url], { stdio: ['pipe', 'pipe', 'inherit'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), 20000);
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (piece) => (out += piece));
  child.stdin.on('error', () => {});
  child.stdin.end(lines.map((line) => `${line}\n`).join(''));
  const [status, signal] = await once(child, 'close');
  clearTimeout(timer);
  return [...out.split('\n').slice(0, -1), ...(status === 0 ? [] : [`ended with ${signal ?? status}`])];
}

// The log of a step, and what the server saw if there was a connection at all.
async function logged(step, index, player) {
  const url = step.url === 'closed' ? `ws://127.0.0.1:${closed_port}/` : step.url ?? `ws://127.0.0.1:${server.address().port}/${index}`;
  let saw = Promise.resolve();
  connection_ended = (promise) => (saw = promise);
  const log = await player({ url, lines: step.page });
  // A connection that was given up while connecting may not have got as far as the server.
  if (log.some((line) => line.startsWith('open'))) log.push(...((await Promise.race([saw, sleep(5000)])) ?? ['the connection stays']).map((line) => `server saw ${line}`));
  return log;
}

// A page with an origin of its own; a new one for each step, since Chromium delays the connections of one that failed often.
const pages = http.createServer((request, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>steps</title>'));
pages.listen(0, '127.0.0.1');
await once(pages, 'listening');

const browser = await launch_chromium(executable);
console.log(`# ${browser.name} ${browser.version}`);
let passed = 0, failed = 0;
for (const [index, step] of steps.entries()) {
  if (only && !step.name.includes(only)) continue;
  const page = await browser.new_page(`http://127.0.0.1:${pages.address().port}/`, () => {});
  const theirs = await logged(step, index, (what) => page.evaluate(play, what));
  await page.close();
  const ours = await logged(step, index, play_ours);
  const same = theirs.join('\n') === ours.join('\n') && theirs.length > 0;
  same ? ++passed : ++failed;
  console.log(`${same ? 'ok  ' : 'FAIL'} ${step.name}`);
  if (only || !same) console.log(['Chromium:', ...theirs, 'websocket.hpp:', ...ours].map((line) => `     ${line.replace(/(.)\1{40,}/g, '$1…$1')}`).join('\n'));
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
