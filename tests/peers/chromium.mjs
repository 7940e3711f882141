// Chromium by Playwright, which gives it a fresh profile and removes it afterwards. What Playwright cannot start is
// Debian's Firefox: see firefox.mjs.

import { chromium } from 'playwright-core';

export async function launch_chromium(executable) {
  const browser = await chromium.launch({
    executablePath: executable,
    headless: true,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
  return {
    name: 'Chromium',
    version: browser.version(),
    new_page: async (url, before) => {
      const context = await browser.newContext();
      if (before) await context.addInitScript(before);
      const page = await context.newPage();
      await page.goto(url);
      return {
        page,
        evaluate: (action, argument) => page.evaluate(action, argument),
        set_cookie: (name, value) => context.addCookies([{ name, value, url }]),
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
  };
}
