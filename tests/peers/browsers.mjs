// Chromium or Firefox as the client of our echo_server: what a page sees through the browser's own WebSocket.

import { once } from 'node:events';
import http from 'node:http';
import { MiB, check, finish, options, part, start_relay, start_server, unicode } from './checks.mjs';
import { launch_chromium } from './chromium.mjs';
import { launch_firefox } from './firefox.mjs';

part(options.browser);
const server = await start_server();
const small = await start_server('--max-message', '100');
const chat = await start_server('--subprotocol', 'chat');

// A page with an origin of its own, so that cookies and Origin are those of real pages.
const pages = http.createServer((request, response) => response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>peers</title>'));
pages.listen(0, '127.0.0.1');
await once(pages, 'listening');
const origin = `http://127.0.0.1:${pages.address().port}`;
const ours = await start_server('--origin', origin);
const theirs = await start_server('--origin', 'http://example.test');

const browser = await (options.browser === 'firefox' ? launch_firefox(options.executable) : launch_chromium(options.executable));
console.log(`# ${browser.name} ${browser.version}`);

// Runs inside the page, before anything else there.
function page_helpers() {
  // A WebSocket whose events are kept: `messages` can be awaited one by one, `events` are the names of all others.
  globalThis.Conversation = class {
    constructor(url, protocols = []) {
      this.events = [];
      this.arrived = [];
      this.takers = [];
      this.socket = new WebSocket(url, protocols);
      this.socket.binaryType = 'arraybuffer';
      this.socket.onmessage = ({ data }) => (this.takers.length ? this.takers.shift()(data) : this.arrived.push(data));
      this.opened = new Promise((resolve) => (this.socket.onopen = () => (this.events.push('open'), resolve())));
      this.socket.onerror = () => this.events.push('error');
      this.closed = new Promise((resolve) => {
        this.socket.onclose = ({ wasClean, code, reason }) => (this.events.push('close'), resolve({ wasClean, code, reason }));
      });
    }
    message() {
      if (this.arrived.length) return Promise.resolve(this.arrived.shift());
      const arriving = new Promise((resolve) => this.takers.push(resolve));
      return Promise.race([arriving, this.closed.then(({ code }) => `closed with ${code}`)]);
    }
  };
  // 'same', or what differs. The type counts: text must come back as text.
  globalThis.echoed = async (conversation, message) => {
    conversation.socket.send(message);
    const got = await conversation.message();
    if (typeof message === 'string') return got === message ? 'same' : typeof got === 'string' ? `text of ${got.length}: ${got.slice(0, 40)}` : 'binary';
    if (typeof got === 'string') return `text: ${got.slice(0, 40)}`;
    const sent = new Uint8Array(message instanceof Blob ? await message.arrayBuffer() : message);
    const back = new Uint8Array(got);
    if (sent.length !== back.length) return `${back.length} bytes for ${sent.length}`;
    const differs = sent.findIndex((byte, i) => byte !== back[i]);
    return differs < 0 ? 'same' : `differs at ${differs}`;
  };
  globalThis.some_bytes = (size) => {
    const bytes = new Uint8Array(size);
    for (let i = 0, x = 1; i < size; ++i) bytes[i] = (x = (Math.imul(x, 1664525) + 1013904223) >>> 0) >>> 24;
    return bytes;
  };
  globalThis.some_text = (size) => 'aé€𝄞'.repeat(Math.floor(size / 10)) + 'x'.repeat(size % 10);
}

const new_page = () => browser.new_page(`${origin}/`, page_helpers);
const page = await new_page();
const url = server.url;
const in_page = (name, expected, action, argument) => check(name, expected, () => page.evaluate(action, argument));

// ---- messages

await in_page('what is negotiated', { extensions: options.deflate ? 'permessage-deflate' : '', protocol: '' }, async (url) => {
  const { socket, opened } = new Conversation(url);
  await opened;
  const result = { extensions: socket.extensions.split(';')[0], protocol: socket.protocol };
  socket.close();
  return result;
}, url);

await in_page('text', 'same', async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  return echoed(talk, 'hello');
}, url);
await in_page('F17 text of every kind', 'same', async ({ url, unicode }) => {
  const talk = new Conversation(url);
  await talk.opened;
  return echoed(talk, unicode);
}, { url, unicode });
await in_page('binary from an ArrayBuffer, a view and a Blob', ['same', 'same', 'same'], async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  return [
    await echoed(talk, Uint8Array.from({ length: 256 }, (_, i) => i).buffer),
    await echoed(talk, new Uint8Array([0, 255, 128])),
    await echoed(talk, new Blob([some_bytes(1000)])),
  ];
}, url);
await in_page('F14 empty messages', ['same', 'same', 'same'], async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  return [await echoed(talk, ''), await echoed(talk, new ArrayBuffer(0)), await echoed(talk, 'after')];
}, url);
for (const size of [125, 126, 65535, 65536, MiB, 16 * MiB])
  await in_page(`text and binary of ${size} bytes`, ['same', 'same'], async ({ url, size }) => {
    const talk = new Conversation(url);
    await talk.opened;
    const result = [await echoed(talk, some_text(size)), await echoed(talk, some_bytes(size))];
    talk.socket.close();
    return result;
  }, { url, size });
await in_page('1000 messages come back in order', 'all', async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  for (let i = 0; i < 1000; ++i) talk.socket.send(`message ${i}`);
  for (let i = 0; i < 1000; ++i) {
    const got = await talk.message();
    if (got !== `message ${i}`) return `at ${i}: ${got}`;
  }
  return 'all';
}, url);
await in_page('20 connections at once', 20, async (url) => {
  const talks = Array.from({ length: 20 }, () => new Conversation(url));
  await Promise.all(talks.map(({ opened }) => opened));
  const results = await Promise.all(talks.map((talk, i) => echoed(talk, `from ${i}`)));
  talks.forEach(({ socket }) => socket.close());
  return results.filter((result) => result === 'same').length;
}, url);

// ---- closing

// The browser reports what the Close frame that came says, not what it sent: our reply has the code alone.
for (const [code, reason] of [[1000, ''], [1000, 'goodbye'], [3000, 'Grüße'], [4999, 'r'.repeat(123)]])
  await in_page(`K03 close ${code} with a reason of ${Buffer.byteLength(reason)} bytes`,
    { wasClean: true, code, reason: '', events: ['open', 'close'] },
    async ({ url, code, reason }) => {
      const talk = new Conversation(url);
      await talk.opened;
      talk.socket.close(code, reason);
      return { ...(await talk.closed), events: talk.events };
    }, { url, code, reason });
await in_page('K01 close without a code', { wasClean: true, code: 1005, reason: '', events: ['open', 'close'] }, async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  talk.socket.close();
  return { ...(await talk.closed), events: talk.events };
}, url);
// Whether this counts as clean depends, in Firefox, on what comes first: its answer to our Close or the end of our half of
// the stream. The code is told all the same.
for (const kind of ['text', 'binary'])
  await in_page(`F18 ${kind} over the limit`, { exactly: 'same', code: 1009 }, async ({ url, kind }) => {
    const talk = new Conversation(url);
    await talk.opened;
    const make = (size) => (kind === 'text' ? 'x'.repeat(size) : some_bytes(size));
    const exactly = await echoed(talk, make(100));
    talk.socket.send(make(101));
    const { code } = await talk.closed;
    return { exactly, code };
  }, { url: small.url, kind });
await in_page('F18 over the default limit of 16 MiB', { code: 1009 }, async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  talk.socket.send(some_bytes(16 * 1024 * 1024 + 1));
  const { code } = await talk.closed;
  return { code };
}, url);

// ---- the handshake

for (const offer of ['chat', ['chat'], ['superchat', 'chat']])
  await in_page(`the subprotocol, offered as ${JSON.stringify(offer)}`, ['chat', 'same'], async ({ url, offer }) => {
    const talk = new Conversation(url, offer);
    await talk.opened;
    return [talk.socket.protocol, await echoed(talk, 'hello')];
  }, { url: chat.url, offer });
await in_page('no subprotocol offered', ['', 'same'], async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  return [talk.socket.protocol, await echoed(talk, 'hello')];
}, chat.url);

// Whether the server refuses or selects nothing, a page sees the same.
const refused = { wasClean: false, code: 1006, reason: '', events: ['error', 'close'], protocol: '' };
const attempt = async ({ url, offer }) => {
  const talk = new Conversation(url, offer);
  await Promise.race([talk.opened, talk.closed]);
  return { ...(talk.events.includes('open') ? {} : await talk.closed), events: talk.events, protocol: talk.socket.protocol };
};
// Firefox opens without a subprotocol, where the WHATWG's rules have it fail.
const unselected = options.browser === 'firefox' ? { events: ['open'], protocol: '' } : refused;
await in_page('another subprotocol offered', unselected, attempt, { url: chat.url, offer: ['other'] });
await in_page('a subprotocol offered to a server without one', unselected, attempt, { url, offer: ['chat'] });

await in_page('H34 a page whose origin is allowed', 'same', async (url) => {
  const talk = new Conversation(url);
  await talk.opened;
  return echoed(talk, 'hello');
}, ours.url);
await in_page('H34 a page whose origin is not allowed', refused, attempt, { url: theirs.url, offer: [] });

// Cookies do not know ports, so the page's go to echo_server as well: 4 KB each. What a page sets itself may come too late
// for a handshake right behind it, so they are set from outside.
const cookies_then = async (count, action, argument) => {
  const page = await new_page();
  for (let i = 0; i < count; ++i) await page.set_cookie(`cookie${i}`, 'c'.repeat(4000));
  const result = await page.evaluate(action, argument);
  await page.close();
  return result;
};
await check('H26 12 KB of cookies pass', 'same', () => cookies_then(3, async (url) => {
  const talk = new Conversation(url);
  await Promise.race([talk.opened, talk.closed]);
  return talk.events[0] === 'open' ? echoed(talk, 'hello') : talk.events;
}, url));
await check('H26 20 KB of cookies are refused', refused, () => cookies_then(5, attempt, { url, offer: [] }));

await check('K03 a page that goes away leaves the others alone', 'same', async () => {
  const leaving = await new_page();
  await leaving.evaluate(async (url) => {
    const talk = new Conversation(url);
    await talk.opened;
    for (let i = 0; i < 10; ++i) talk.socket.send(some_bytes(100000));
  }, url);
  await leaving.close();
  return page.evaluate(async (url) => {
    const talk = new Conversation(url);
    await talk.opened;
    return echoed(talk, 'still here');
  }, url);
});

if (options.deflate) {
  await in_page('prose, compressed, several times', ['same', 'same', 'same', 'same'], async (url) => {
    const prose = 'All work and no play makes a dull message. '.repeat(25000);
    const talk = new Conversation(url);
    await talk.opened;
    return [await echoed(talk, prose), await echoed(talk, prose.slice(5)), await echoed(talk, new TextEncoder().encode(prose)), await echoed(talk, '')];
  }, url);

  // What is on the wire, as a relay between the two reads it: that both compress, and how much is left.
  const relay = await start_relay(server.port);
  const all = { browser: [1, 1, 1, 1], server: [1, 1, 1, 1], small: true };
  const wire = async () => {
    const { head_of_client, head_of_server, from_client, from_server } = relay.last();
    const rsv1 = (frames) => frames.filter(({ opcode }) => opcode === 1 || opcode === 2).map(({ rsv1 }) => rsv1);
    const bytes = [...from_client, ...from_server].reduce((sum, { length }) => sum + length, 0);
    return {
      offered: extensions(head_of_client), answered: extensions(head_of_server),
      browser: rsv1(from_client), server: rsv1(from_server), small: bytes < 100_000,
    };
  };
  const extensions = (head) => /^sec-websocket-extensions: *(.*?)\r$/im.exec(head)?.[1] ?? '';
  const offered = options.browser === 'firefox' ? 'permessage-deflate' : 'permessage-deflate; client_max_window_bits';
  await in_page('text and binary of 1 MiB through a relay', ['same', 'same', 'same', 'same'], async (url) => {
    const prose = 'All work and no play makes a dull message. '.repeat(25000).slice(0, 1024 * 1024);
    const talk = new Conversation(url);
    await talk.opened;
    const got = [await echoed(talk, prose), await echoed(talk, prose), await echoed(talk, new TextEncoder().encode(prose)), await echoed(talk, 'short, but 64 bytes or more, so that it is compressed like others')];
    talk.socket.close();
    await talk.closed;
    return got;
  }, relay.url);
  await check('every message on the wire has RSV1, and is short', { offered, answered: 'permessage-deflate', ...all }, wire);
  const asking = await start_server('--server-window', '9', '--client-window', '8', '--server-takeover', 'no', '--client-takeover', 'no');
  const asked = await start_relay(asking.port);
  // Firefox does not offer client_max_window_bits, so its window cannot be asked for.
  const window = options.browser === 'firefox' ? '' : '; client_max_window_bits=8';
  await in_page('D10 small windows and no takeover', ['same', 'same', 'same'], async (url) => {
    const prose = 'All work and no play makes a dull message. '.repeat(2500);
    const talk = new Conversation(url);
    await talk.opened;
    const got = [await echoed(talk, prose), await echoed(talk, prose), await echoed(talk, some_text(100000))];
    talk.socket.close();
    await talk.closed;
    return got;
  }, asked.url);
  await check('D18 what was asked is what was agreed on',
    `permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9${window}`,
    async () => extensions(asked.last().head_of_server));
  relay.end();
  asked.end();
}

await check('the servers have survived all this', [true, true, true, true, true],
  async () => [server, small, chat, ours, theirs].map(({ alive }) => alive()));
await browser.close();
finish();
