// Firefox, driven over WebDriver BiDi as its own --remote-debugging-port speaks it: no more than browsers.mjs needs.
// https://w3c.github.io/webdriver-bidi/

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';

// A browser that is to talk to loopback only.
const preferences = {
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.newtabpage.enabled': false,
  'browser.region.network.url': '',
  'browser.safebrowsing.downloads.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.search.update': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage': 'about:blank',
  'browser.startup.page': 0,
  'datareporting.policy.dataSubmissionEnabled': false,
  'dom.push.connection.enabled': false,
  'extensions.getAddons.cache.enabled': false,
  'extensions.update.enabled': false,
  'media.gmp-manager.updateEnabled': false,
  'messaging-system.rsexperimentloader.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.dns.disablePrefetch': true,
  'network.http.speculative-parallel-limit': 0,
  'network.prefetch-next': false,
  'network.trr.mode': 5,
  'services.settings.server': 'data:,#none',
  'signon.autofillForms': false,
  'toolkit.telemetry.enabled': false,
  'toolkit.telemetry.server': 'data:,',
};

// A fresh profile, removed at the end. `new_page(url, before)` runs the function `before` in the page ahead of its scripts.
export async function launch_firefox(executable) {
  const profile = mkdtempSync(join(tmpdir(), 'wscodec-firefox-'));
  writeFileSync(join(profile, 'user.js'), Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`).join(''));
  const child = spawn(executable, ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'],
    { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' } });
  const ended = new Promise((resolve) => child.on('close', resolve).on('error', resolve));
  const clear = () => {
    child.kill('SIGKILL');
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  };
  process.on('exit', clear);

  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const match = /^WebDriver BiDi listening on (ws:\/\/\S+)/.exec(line);
      if (match) resolve(`${match[1]}/session`);
    });
    ended.then(() => reject(new Error('Firefox ended at once')));
    setTimeout(() => reject(new Error('Firefox did not say where it listens within 60 s')), 60_000).unref();
  });

  const socket = new WebSocket(url, { perMessageDeflate: false });
  await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
  const waiting = new Map();
  let number = 0;
  const command = (method, params = {}) => new Promise((resolve, reject) => {
    waiting.set(++number, { resolve, reject });
    socket.send(JSON.stringify({ id: number, method, params }));
  });
  socket.on('message', (data) => {
    const { id, type, result, error, message } = JSON.parse(data);
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (type === 'success') resolve?.(result);
    if (type === 'error') reject?.(new Error(`${error}: ${message}`));
  });
  socket.on('close', () => waiting.forEach(({ reject }) => reject(new Error('Firefox is gone'))));

  const { capabilities } = await command('session.new', { capabilities: {} });
  return {
    name: 'Firefox',
    version: capabilities.browserVersion,
    new_page: async (url, before) => {
      const { userContext } = await command('browser.createUserContext');
      const { context } = await command('browsingContext.create', { type: 'tab', userContext });
      await command('script.addPreloadScript', { functionDeclaration: `${before}`, contexts: [context] });
      await command('browsingContext.navigate', { context, url, wait: 'complete' });
      return {
        // What goes in and comes out is JSON.
        evaluate: async (action, argument) => {
          const { type, result, exceptionDetails } = await command('script.callFunction', {
            functionDeclaration: `async (argument) => JSON.stringify(await (${action})(JSON.parse(argument)))`,
            arguments: [{ type: 'string', value: JSON.stringify(argument ?? null) }],
            awaitPromise: true,
            target: { context },
          });
          if (type === 'exception') throw new Error(exceptionDetails.text);
          return result.type === 'string' ? JSON.parse(result.value) : undefined;
        },
        set_cookie: (name, value) => command('storage.setCookie', {
          cookie: { name, value: { type: 'string', value }, domain: new URL(url).hostname },
          partition: { type: 'storageKey', userContext },  // unpartitioned: partitions hold 10 KiB
        }),
        close: () => command('browser.removeUserContext', { userContext }),
      };
    },
    close: async () => {
      await command('browser.close').catch(() => {});
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10_000))]);
      process.off('exit', clear);
      clear();
    },
  };
}
