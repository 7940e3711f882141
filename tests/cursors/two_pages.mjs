// Two pages of cursors_redis that see each other, also when every server was killed in between. Called by
// tests/cursors/several: it kills them when this says `kill`, and says `killed` when they are back. Else this says nothing
// unless something is wrong.

import { once } from 'node:events';
import { launch_chromium } from '../peers/chromium.mjs';

const [url, executable] = process.argv.slice(2);
const browser = await launch_chromium(executable);
try {
  const pages = [await browser.new_page(url), await browser.new_page(url)];
  const seen = ({ page }) => page.evaluate(() => Object.fromEntries(
    [...document.querySelectorAll('.cursor')].map(({ textContent, dataset: { id, x, y } }) => [id, [textContent, x, y]])));
  const live = async (n) => {
    for (const { page } of pages) await page.waitForFunction((count) => document.body.dataset.state === 'live' &&
      document.querySelectorAll('.cursor').length === count, n, { timeout: 25000 });
  };
  const same = async (what) => {
    for (const end = Date.now() + 5000; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
      const [a, b] = [JSON.stringify(await seen(pages[0])), JSON.stringify(await seen(pages[1]))];
      if (a === b && !a.includes('"-1"')) return a;
      if (Date.now() > end) throw new Error(`${what}: ${a} and ${b}`);
    }
  };
  await live(2);
  for (const [n, { page }] of pages.entries()) for (let x = 100; x < 400; x += 20) await page.mouse.move(x, 100 + 200 * n);
  await same('where they are');
  process.stdout.write('kill\n');
  for (const { page } of pages) await page.waitForFunction(() => document.body.dataset.state !== 'live');
  // One moves where nobody can be told: that is made up for.
  await pages[0].page.mouse.move(333, 222);
  await once(process.stdin, 'data');
  await live(2);
  const where = await same('where they are after a kill');
  const { width, height } = pages[0].page.viewportSize();
  if (!where.includes(`"${Math.round(333 / width * 1e4)}","${Math.round(222 / height * 1e4)}"`)) throw new Error(`the move is lost: ${where}`);
  await pages.pop().close();
  await live(1);
} catch (error) {
  console.log(error.stack.replaceAll('\n', ' '));
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
