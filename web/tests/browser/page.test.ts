/** The page as people use it. */

import { pathToFileURL } from 'node:url';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { CDPSession, Locator, Page, Route } from 'playwright-core';

import { adapted, openBrowser, PAGE, pageWith, percentages, type Opened } from './browser';

const { REPTILE_STATIC_PAGE, REPTILE_BUILT, REPTILE_PICTURES } = process.env;
let opened: Opened;
let page: Page;

beforeAll(async () => {
  opened = await openBrowser({ touch: true });
  page = opened.page;
});

afterAll(() => opened.close());

beforeEach(async () => {
  opened.complaints.length = 0;
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(PAGE);
  await adapted(page);
});

const query = () => page.locator('#query .pad-surface');
const examples = (name: string) =>
  page.getByRole('region', { name: `Class ${name}` }).locator('.pad-surface');
const strokes = (pad: Locator) => pad.locator('path').count();
const button = (name: string) => page.getByRole('button', { name, exact: true });

/** A zigzag over a pad, in parts of its side. */
const ZIGZAG = [
  [0.2, 0.2],
  [0.8, 0.3],
  [0.3, 0.6],
  [0.8, 0.85],
] as const;

/** The zigzag in pixels of the window. */
async function zigzagOn(pad: Locator): Promise<{ x: number; y: number }[]> {
  await pad.scrollIntoViewIfNeeded();
  const box = (await pad.boundingBox())!;
  return ZIGZAG.map(([x, y]) => ({ x: box.x + x * box.width, y: box.y + y * box.height }));
}

async function drawWithMouse(pad: Locator): Promise<void> {
  const [first, ...rest] = await zigzagOn(pad);
  await page.mouse.move(first!.x, first!.y);
  await page.mouse.down();
  for (const { x, y } of rest) await page.mouse.move(x, y, { steps: 5 });
  await page.mouse.up();
}

async function drawWithTouch(pad: Locator, session: CDPSession): Promise<void> {
  const points = await zigzagOn(pad);
  for (const [i, point] of points.entries()) {
    const type = i === 0 ? 'touchStart' : 'touchMove';
    await session.send('Input.dispatchTouchEvent', { type, touchPoints: [point] });
  }
  await session.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
}

async function drawWithPen(pad: Locator, session: CDPSession): Promise<void> {
  const points = await zigzagOn(pad);
  const pen = { button: 'left', pointerType: 'pen', clickCount: 1 } as const;
  const send = (type: 'mousePressed' | 'mouseMoved' | 'mouseReleased', at: (typeof points)[0]) =>
    session.send('Input.dispatchMouseEvent', { type, ...pen, ...at, buttons: 1 });
  await send('mousePressed', points[0]!);
  for (const point of points) await send('mouseMoved', point);
  await send('mouseReleased', points.at(-1)!);
}

/** Waits for an answer that is none of the given percentages. */
async function anotherAnswer(than: readonly string[]): Promise<string[]> {
  await page.waitForFunction((old) => {
    const now = Array.from(document.querySelectorAll('#bars .percent'), (e) => e.textContent);
    return now.join() !== old && now.every((text) => text !== '–');
  }, than.join());
  return percentages(page);
}

const MANIFEST = '**/model/export.json';

/** Has the page's weights described otherwise, until `unroute`. */
async function servedWith(change: (manifest: any) => void): Promise<void> {
  await opened.context.route(MANIFEST, async (route) => {
    const response = await route.fetch();
    const manifest = await response.json();
    change(manifest);
    await route.fulfill({ response, json: manifest });
  });
}

describe('a first visit', () => {
  test('shows an example that is classified already', async () => {
    const numbers = await percentages(page);
    expect(numbers.length).toBe(5);
    for (const number of numbers) expect(number).toMatch(/^[<>]?\d+%$/);
    expect(await page.textContent('#verdict')).toMatch(/^[A-E]>?\d+% sure$/);
    expect(await strokes(query())).toBeGreaterThan(0);
    for (const name of 'ABCDE') expect(await strokes(examples(name).first())).toBeGreaterThan(0);
    expect(await page.locator('#bars .example path').count()).toBeGreaterThanOrEqual(5);
    expect(await page.locator('#chart polyline.trained').count()).toBe(1);
  });

  test('raises no complaint, and asks nobody else for anything', async () => {
    expect(opened.complaints).toEqual([]);
    expect(await page.locator('#failure').isHidden()).toBe(true);
  });

  test('happens under a strict policy', async () => {
    const reply = await page.request.get(PAGE);
    expect(reply.headers()['content-security-policy']).toContain("default-src 'none'");
    const outcome = await page.evaluate(async () => {
      const violated: string[] = [];
      document.addEventListener('securitypolicyviolation', (event) => {
        violated.push(event.effectiveDirective);
      });
      const inline = document.createElement('script');
      inline.textContent = 'window.ran = true';
      document.head.append(inline);
      document.body.setAttribute('style', 'color: red');
      const elsewhere = await Promise.allSettled([fetch('https://example.com/')]);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return { ran: 'ran' in window, fetched: elsewhere[0]!.status, violated };
    });
    expect(outcome.ran).toBe(false);
    expect(outcome.fetched).toBe('rejected');
    expect(new Set(outcome.violated)).toEqual(
      new Set(['script-src-elem', 'style-src-attr', 'connect-src']),
    );
  });
});

describe('drawing', () => {
  const ways: Record<string, (pad: Locator) => Promise<void>> = {
    mouse: drawWithMouse,
    touch: async (pad) => drawWithTouch(pad, await opened.context.newCDPSession(page)),
    pen: async (pad) => drawWithPen(pad, await opened.context.newCDPSession(page)),
  };

  test.each(Object.keys(ways))('with the %s gives another answer', async (way) => {
    await button('Erase the new character').click();
    expect(await percentages(page)).toEqual(['–', '–', '–', '–', '–']);
    await ways[way]!(query());
    expect(await strokes(query())).toBe(1);
    const numbers = await anotherAnswer(['–']);
    for (const number of numbers) expect(number).toMatch(/%$/);
  });

  test('leaves ink where the pointer was', async () => {
    await button('Erase the new character').click();
    await drawWithMouse(query());
    const box = (await query().boundingBox())!;
    const ink = (await query().locator('path').boundingBox())!;
    const [left, top] = [(ink.x - box.x) / box.width, (ink.y - box.y) / box.height];
    expect(Math.abs(left - 0.2)).toBeLessThan(0.04);
    expect(Math.abs(top - 0.2)).toBeLessThan(0.04);
    expect(Math.abs(ink.width / box.width - 0.6)).toBeLessThan(0.06);
    expect(Math.abs(ink.height / box.height - 0.65)).toBeLessThan(0.06);
  });

  test('what was drawn is recognized, as soon as it is an example', async () => {
    await button('Erase example 1 of B').click();
    await drawWithMouse(examples('B').first());
    await adapted(page);
    await button('Erase the new character').click();
    await drawWithMouse(query());
    await page.waitForFunction(() =>
      document.querySelector('#verdict')?.textContent?.startsWith('B'),
    );
  });

  test('a stroke is undone, a drawing erased', async () => {
    const before = await strokes(query());
    await drawWithMouse(query());
    await drawWithMouse(query());
    expect(await strokes(query())).toBe(before + 2);
    await button('Undo the last stroke of the new character').click();
    expect(await strokes(query())).toBe(before + 1);
    await button('Erase the new character').click();
    expect(await strokes(query())).toBe(0);
    expect(await button('Erase the new character').isDisabled()).toBe(true);
  });

  test('beyond the pad goes on at its edge', async () => {
    await button('Erase the new character').click();
    const box = (await query().boundingBox())!;
    await page.mouse.move(box.x + 20, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x - 200, box.y + 100, { steps: 4 });
    await page.mouse.up();
    expect(await strokes(query())).toBe(1);
    await page.mouse.move(box.x + 60, box.y + 60); // with the pen up
    expect(await query().locator('path').getAttribute('d')).not.toContain('-');
  });
});

describe('one pointer draws at a time', () => {
  type Point = { x: number; y: number };
  let session: CDPSession;
  let at: Point[];
  let elsewhere: Point;

  const pen = (type: 'mousePressed' | 'mouseMoved' | 'mouseReleased', point: Point) =>
    session.send('Input.dispatchMouseEvent', {
      ...{ type, ...point, button: 'left', buttons: type === 'mouseReleased' ? 0 : 1 },
      ...{ pointerType: 'pen', clickCount: 1 },
    });
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd' | 'touchCancel', ...p: Point[]) =>
    session.send('Input.dispatchTouchEvent', { type, touchPoints: p });
  const width = async () => {
    const [pad, ink] = [await query().boundingBox(), await query().locator('path').boundingBox()];
    return ink!.width / pad!.width;
  };

  beforeEach(async () => {
    session = await opened.context.newCDPSession(page);
    await button('Clear all').click();
    const other = (await examples('A').first().boundingBox())!;
    elsewhere = { x: other.x + other.width / 2, y: other.y + other.height / 2 };
    at = await zigzagOn(query());
  });

  test('a palm neither ends the stroke of a pen nor leaves a dot', async () => {
    await pen('mousePressed', at[0]!);
    await pen('mouseMoved', { x: at[0]!.x + 5, y: at[0]!.y });
    for (const palm of [at[3]!, elsewhere]) {
      await touch('touchStart', palm);
      await touch('touchMove', { x: palm.x + 3, y: palm.y + 3 });
      await pen('mouseMoved', { x: at[0]!.x + 8, y: at[0]!.y });
      await touch('touchEnd');
    }
    await pen('mouseMoved', at[1]!);
    await pen('mouseReleased', at[1]!);
    expect(await strokes(query())).toBe(1);
    expect(await strokes(examples('A').first())).toBe(0);
    expect(await width()).toBeGreaterThan(0.55);
    await drawWithTouch(query(), session);
    expect(await strokes(query())).toBe(2);
  });

  test('a pen takes over from a palm that came first', async () => {
    await touch('touchStart', elsewhere);
    expect(await strokes(examples('A').first())).toBe(1);
    await pen('mousePressed', at[0]!);
    await pen('mouseMoved', at[1]!);
    await touch('touchEnd');
    await pen('mouseReleased', at[1]!);
    expect(await strokes(examples('A').first())).toBe(0);
    expect(await strokes(query())).toBe(1);
    expect(await width()).toBeGreaterThan(0.55);
  });

  test('a second finger does not draw', async () => {
    await touch('touchStart', at[0]!);
    await touch('touchStart', at[0]!, at[3]!);
    await touch('touchMove', at[1]!, at[3]!);
    await touch('touchEnd');
    expect(await strokes(query())).toBe(1);
  });

  test('a stroke that the browser cancels is taken back', async () => {
    await drawWithTouch(query(), session);
    await touch('touchStart', at[0]!);
    await touch('touchMove', at[1]!);
    expect(await strokes(query())).toBe(2);
    await touch('touchCancel');
    expect(await strokes(query())).toBe(1);
    await drawWithTouch(query(), session);
    expect(await strokes(query())).toBe(2);
  });

  test('a stroke ends where the pointer is lost', async () => {
    await page.mouse.move(at[0]!.x, at[0]!.y);
    await page.mouse.down();
    await page.mouse.move(at[1]!.x, at[1]!.y);
    await query().evaluate((pad) => pad.releasePointerCapture(1));
    await page.mouse.move(at[2]!.x, at[2]!.y);
    const path = await query().locator('path').getAttribute('d');
    await page.mouse.move(at[3]!.x, at[3]!.y);
    expect(await query().locator('path').getAttribute('d')).toBe(path);
    await page.mouse.up();
    expect(await strokes(query())).toBe(1);
  });

  test('a second button neither draws nor goes on drawing', async () => {
    await page.mouse.move(at[0]!.x, at[0]!.y);
    await page.mouse.down();
    await page.mouse.move(at[1]!.x, at[1]!.y);
    await page.mouse.down({ button: 'right' });
    await page.mouse.up();
    const path = await query().locator('path').getAttribute('d');
    await page.mouse.move(at[2]!.x, at[2]!.y);
    await page.mouse.up({ button: 'right' });
    await page.mouse.click(at[2]!.x, at[2]!.y, { button: 'right' });
    expect(await query().locator('path').getAttribute('d')).toBe(path);
    expect(await strokes(query())).toBe(1);
  });

  test('a pad that goes away does not keep the others from drawing', async () => {
    await touch('touchStart', elsewhere);
    await page.evaluate(() => document.querySelector<HTMLElement>('#clear')!.click());
    await page.evaluate(() => document.querySelector<HTMLElement>('#samples')!.click());
    const before = await strokes(query());
    await drawWithMouse(query());
    expect(await strokes(query())).toBe(before + 1);
    await touch('touchEnd');
  });
});

describe('with the keyboard', () => {
  test('a character is drawn and taken back', async () => {
    await button('Erase the new character').click();
    const pad = query();
    await pad.focus();
    const press = async (keys: string) => {
      for (const key of keys.split(' ')) await page.keyboard.press(key);
    };
    await press('ArrowLeft Shift+ArrowUp Space ArrowRight ArrowRight Shift+ArrowDown Space');
    expect(await strokes(pad)).toBe(1);
    await anotherAnswer(['–']);
    await press('ArrowLeft Enter Shift+ArrowLeft ArrowUp Escape');
    expect(await strokes(pad)).toBe(2);
    expect(await pad.getAttribute('aria-label')).toBe('the new character, 2 strokes');
    await press('Backspace');
    expect(await strokes(pad)).toBe(1);
    await press('Delete');
    expect(await strokes(pad)).toBe(0);
  });

  test('everything that can be used has a name, and can be reached', async () => {
    const names = new Set<string>();
    const roles = new Set<string>();
    await page.locator('h1').click();
    for (let i = 0; i < 70; i++) {
      await page.keyboard.press('Tab');
      const [role, name] = await page.evaluate(() => {
        const at = document.activeElement as HTMLInputElement;
        const label = at.labels?.[0]?.textContent ?? at.textContent;
        return [
          at.getAttribute('role') ?? at.tagName,
          at.getAttribute('aria-label') ?? label ?? '',
        ];
      });
      if (role === 'BODY') break;
      expect(name!.trim(), role!).not.toBe('');
      names.add(name!.trim());
      roles.add(role!);
    }
    expect([...roles].sort()).toEqual(['A', 'BUTTON', 'INPUT', 'application']);
    for (const name of ['Other characters', 'Add an example of C', 'Remove class E']) {
      expect(names).toContain(name);
    }
    for (const name of ['Inner steps', 'Learning rate', 'Reptile’s', 'Adapt again']) {
      expect(names).toContain(name);
    }
  });

  test('the answer is said', async () => {
    await button('Other characters').click();
    await page.waitForFunction(() =>
      /^The network says [A-E], [<>]?\d+%\.$/.test(document.querySelector('#live')!.textContent!),
    );
  });
});

describe('classes and examples', () => {
  test('a class without example is left out', async () => {
    await button('Erase example 1 of B').click();
    await page.waitForFunction(() => document.querySelector('#bars')!.textContent!.includes('no'));
    await adapted(page);
    const numbers = await percentages(page);
    expect(numbers[1]).toBe('no example');
    const pictures = page.locator('#bars .example');
    expect(await pictures.nth(1).locator('path').count()).toBe(0);
    expect(await pictures.nth(2).locator('path').count()).toBeGreaterThan(0);
    for (const i of [0, 2, 3, 4]) expect(numbers[i]).toMatch(/%$/);
  });

  test('with fewer than two there is nothing to tell apart', async () => {
    await button('Clear all').click();
    await drawWithMouse(examples('A').first());
    await drawWithMouse(query());
    await page.waitForFunction(() =>
      document.querySelector('#verdict')!.textContent!.includes('at least two classes'),
    );
    expect(await page.textContent('#status')).toBe('Waiting for examples.');
    expect(await page.locator('#chart polyline').count()).toBe(0);
    await drawWithMouse(examples('D').first());
    await adapted(page);
    const numbers = await percentages(page);
    expect(numbers.map((n) => n === 'no example')).toEqual([false, true, true, false, true]);
  });

  test('are two to five, with one to five examples each', async () => {
    for (const name of ['E', 'D', 'C']) await button(`Remove class ${name}`).click();
    expect(await page.locator('.class-card').count()).toBe(2);
    expect(await page.getByRole('button', { name: /^Remove class/ }).count()).toBe(0);
    await adapted(page);
    expect((await percentages(page)).length).toBe(2);
    for (let i = 0; i < 3; i++) await button('Add a class').click();
    expect(await page.locator('.class-card').count()).toBe(5);
    expect(await button('Add a class').count()).toBe(0);
    for (let i = 0; i < 4; i++) await button('Add an example of A').click();
    expect(await examples('A').count()).toBe(5);
    expect(await button('Add an example of A').count()).toBe(0);
    await drawWithMouse(examples('A').nth(3));
    await button('Remove example 1 of A').click();
    expect(await examples('A').count()).toBe(4);
    expect(await strokes(examples('A').nth(2))).toBe(1);
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe(
      'example 1 of A, empty',
    );
    expect(opened.complaints).toEqual([]);
  });
});

describe('learning', () => {
  test('random weights know less, and both curves are shown', async () => {
    const trained = await percentages(page);
    await page.getByText('random', { exact: true }).click();
    await anotherAnswer(trained);
    await page.waitForFunction(() => document.querySelector('#chart polyline.random.current'));
    await adapted(page);
    expect(await page.locator('#chart polyline').count()).toBe(2);
    const label = await page.locator('#chart svg').getAttribute('aria-label');
    expect(label).toMatch(/^Loss per example from random weights: [\d.]+ at first, [\d.]+ after/);
    await button('Other characters').click();
    await page.waitForFunction(() => document.querySelectorAll('#chart polyline').length === 1);
  });

  test('steps and rate are what the sliders say', async () => {
    await page.locator('#steps').fill('7');
    await page.waitForFunction(() =>
      document.querySelector('#status')!.textContent!.includes('Adapted: 7 inner steps'),
    );
    const points = await page.locator('#chart polyline').getAttribute('points');
    expect(points!.split(' ').length).toBe(7);
    await page.locator('#rate').fill('-4');
    expect(await page.textContent('#rate-value')).toBe('0.0001');
    await button('Default settings').click();
    expect(await page.textContent('#steps-value')).not.toBe('7');
  });

  test.each([
    [0.2345, 0],
    [0.00000123, 120],
    [0.0012345, 3],
    [0, 1],
  ])('begins with what the weights were evaluated with: %d, %d', async (rate, steps) => {
    await servedWith((manifest) => {
      manifest.config = { ...manifest.config, inner_rate: rate, eval_steps: steps };
    });
    await page.goto(PAGE);
    await adapted(page);
    const settings = () =>
      Promise.all(['rate', 'steps'].map((name) => page.textContent(`#${name}-value`)));
    expect(await settings()).toEqual([String(rate), String(steps)]);
    const words = steps === 1 ? '1 inner step ' : `${steps} inner steps `;
    expect(await page.textContent('#status')).toContain(words);
    await page.locator('#rate').fill('-2');
    await page.locator('#steps').fill('2');
    expect(await settings()).toEqual(['0.01', '2']);
    await button('Default settings').click();
    expect(await settings()).toEqual([String(rate), String(steps)]);
    await opened.context.unroute(MANIFEST);
  });

  test('a newer task takes the place of an older one', async () => {
    const outcome = await page.evaluate(async () => {
      const { learner } = (window as unknown as { reptile: any }).reptile;
      const images = Float32Array.from({ length: 2 * 784 }, (_, i) => +(i % 3 === 0));
      const task = { images, labels: [0, 1], classes: 2, steps: 40, rate: 1e-3, start: 'trained' };
      const first = learner.adapt(task);
      const second = learner.adapt({ ...task, steps: 3 });
      return [await first, typeof (await second)];
    });
    expect(outcome).toEqual([null, 'number']);
  });

  test('goes on while people draw', async () => {
    await button('Erase the new character').click();
    await page.locator('#steps').fill('100');
    const status = page.locator('#status');
    await page.waitForFunction(
      () => document.querySelector('#status')!.textContent === 'Adapting …',
    );
    await drawWithMouse(query());
    await anotherAnswer(['–', '–', '–', '–', '–']);
    expect(await strokes(query())).toBe(1);
    expect(await status.textContent()).toBe('Adapting …');
    const points = await page.locator('#chart polyline.current').getAttribute('points');
    expect(points!.split(' ').length).toBeLessThan(100);
    await adapted(page);
    expect(await status.textContent()).toContain('100 inner steps');
  });
});

describe('the window', () => {
  test('may be as narrow as a phone, or wide', async () => {
    for (const width of [320, 375, 700, 900, 1280, 2000]) {
      await page.setViewportSize({ width, height: 800 });
      // The loss curve is drawn anew in the next frame.
      await page.waitForFunction((width) => document.documentElement.scrollWidth <= width, width);
      const cut = await page.evaluate(() =>
        Array.from(document.querySelectorAll('button, .pad-surface, input[type=range]'))
          .map((one) => one.getBoundingClientRect())
          .filter((box) => box.left < 0 || box.right > innerWidth || box.width < 24)
          .map((box) => [box.left, box.right]),
      );
      expect(cut, `${width} pixels`).toEqual([]);
    }
  });

  test('may change while there are drawings', async () => {
    const before = await percentages(page);
    const path = await query().locator('path').first().getAttribute('d');
    await page.setViewportSize({ width: 375, height: 800 });
    expect(await query().locator('path').first().getAttribute('d')).toBe(path);
    expect(await percentages(page)).toEqual(before);
    const width = await page.evaluate(() => document.querySelector('#chart')!.clientWidth);
    await page.waitForFunction(
      (width) => document.querySelector('#chart svg')!.clientWidth === width,
      width,
    );
    await button('Erase the new character').click();
    await drawWithMouse(query());
    const box = (await query().boundingBox())!;
    const ink = (await query().locator('path').boundingBox())!;
    expect(Math.abs((ink.x - box.x) / box.width - 0.2)).toBeLessThan(0.05);
  });

  test('reads well in light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const poor = await page.evaluate(contrasts);
      expect(poor).toEqual([]);
      if (!REPTILE_PICTURES) continue;
      for (const width of [1280, 375]) {
        await page.setViewportSize({ width, height: 900 });
        await page.waitForTimeout(300);
        const path = `${REPTILE_PICTURES}/${colorScheme}-${width}.png`;
        await page.screenshot({ path, fullPage: true });
      }
    }
  });
});

/** Runs in the page: texts with less contrast to what is behind them than 4.5 (WCAG 2.2, AA). */
function contrasts(): string[] {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
  const rgba = (colour: string): number[] => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return Array.from(canvas.getImageData(0, 0, 1, 1).data);
  };
  const luminance = (colour: number[]) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const behind = (one: Element | null): number[] => {
    for (; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const poor: string[] = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement!;
    const text = walker.currentNode.textContent!.trim();
    if (!text || one.closest('svg, .hidden, [hidden], .absent, script, style')) continue;
    const [a, b] = [rgba(getComputedStyle(one).color), behind(one)].map(luminance);
    const contrast = (Math.max(a!, b!) + 0.05) / (Math.min(a!, b!) + 0.05);
    if (contrast < 4.5) poor.push(`${text}: ${contrast.toFixed(2)}`);
  }
  return poor;
}

const WEIGHTS = '**/model/weights.bin';
const html = (route: Route) => route.fulfill({ contentType: 'text/html', body: '<h1>Hello</h1>' });

describe('when something is wrong', () => {
  const failure = async (target = PAGE): Promise<string> => {
    await page.goto(target);
    await page.locator('#failure').waitFor();
    return (await page.textContent('#failure'))!;
  };

  afterEach(() => opened.context.unrouteAll());

  test.each([
    ['missing', (route: Route) => route.fulfill({ status: 404 }), 'status 404'],
    ['web pages', html, 'a web page instead'],
    ['unreachable', (route: Route) => route.abort(), 'no connection'],
  ] as const)('files that are %s are named, and asked for again', async (_, answer, reason) => {
    for (const file of [MANIFEST, WEIGHTS, '**/*.wasm']) {
      await opened.context.route(file, answer);
      const words = await failure();
      expect(words).toMatch(new RegExp(`http://.*${file.slice(file.lastIndexOf('/') + 2)}`));
      expect(words).toContain(reason);
      expect(words).not.toContain('browser');
      expect(await page.textContent('#verdict')).toBe('');
      if (REPTILE_PICTURES) await page.screenshot({ path: `${REPTILE_PICTURES}/again.png` });
      await opened.context.unroute(file);
      await button('Try again').click();
      await adapted(page);
      expect(await page.locator('#failure').isHidden()).toBe(true);
    }
  });

  test.each([
    ['that the worker needs', /worker-\w+\.js, or a script that it needs, could not be/, ''],
    ['of a backend', /http:.*dist-.*\.js/, 'tfjs-backend-wasm-threaded-simd.wasm'],
  ] as const)('a script %s is named', async (_, words, content) => {
    await opened.context.route('**/assets/dist-*.js', async (route) => {
      const response = await route.fetch();
      const wanted = (await response.text()).includes(content);
      return wanted ? html(route) : route.fulfill({ response });
    });
    expect(await failure()).toMatch(words);
    await opened.context.unrouteAll();
    await button('Try again').click();
    await adapted(page);
  });

  test('damaged and truncated weights are noticed', async () => {
    for (const change of [(body: Buffer) => body.fill(1, 99, 100), (b: Buffer) => b.subarray(4)]) {
      await opened.context.route(WEIGHTS, async (route) => {
        const response = await route.fetch();
        await route.fulfill({ body: change(await response.body()) });
      });
      expect(await failure()).toMatch(/weights.bin is not as it was written: reload/);
      await opened.context.unrouteAll();
    }
  });

  test('weights of an older export in the cache are loaded again', async () => {
    await opened.context.route(WEIGHTS, (route) => route.fulfill({ body: 'older' }), { times: 1 });
    await page.goto(PAGE);
    await adapted(page);
    expect(await page.locator('#failure').isHidden()).toBe(true);
  });

  test.each<[string, (manifest: any) => void]>([
    ['format', (manifest) => (manifest.format = 'supervised-reptile export 9')],
    ['description', (manifest) => delete manifest.config],
    ['size', (manifest) => (manifest.net.filters += 1)],
  ])('weights of another %s: reload', async (_, change) => {
    await servedWith(change);
    expect(await failure()).toContain('reload the page');
  });

  test('a backend that does not exist here is said to', async () => {
    expect(await failure(pageWith({ backend: 'webgpu' }))).toContain('WebGPU cannot be used');
  });

  test('a page whose program does not come says so', async () => {
    await opened.context.route('**/assets/index-*.js', (route) => route.fulfill({ status: 404 }));
    await page.goto(PAGE);
    await page.getByText('reload the page').waitFor();
    expect(await page.textContent('body')).not.toContain('Loading');
  });

  test('so does one whose scripts are not allowed', async () => {
    const text = await (await page.request.get(PAGE)).text();
    expect(text).toMatch(/<noscript>[^]*allow\s+scripts\s+for\s+this\s+page[^]*<\/noscript>/);
  });

  test.skipIf(!REPTILE_BUILT)('so does one that is opened as a file', async () => {
    await page.goto(pathToFileURL(`${REPTILE_BUILT}/index.html`).href);
    await page.getByText('run reptile demo').waitFor();
    if (REPTILE_PICTURES) await page.screenshot({ path: `${REPTILE_PICTURES}/file.png` });
  });

  test.skipIf(!REPTILE_STATIC_PAGE)('or in a sandboxed frame', async () => {
    const withCors = async (route: Route) => {
      const response = await route.fetch();
      const headers = { ...response.headers(), 'access-control-allow-origin': '*' };
      await route.fulfill({ response, headers });
    };
    for (const words of ['run reptile demo', 'does not let this page start a worker']) {
      if (words.includes('worker')) await opened.context.route('**/assets/**', withCors);
      const frame = `<iframe sandbox="allow-scripts" src="${REPTILE_STATIC_PAGE}"></iframe>`;
      const outer = new URL('outer.html', REPTILE_STATIC_PAGE).href;
      await page.route(outer, (route) => route.fulfill({ contentType: 'text/html', body: frame }));
      await page.goto(outer);
      await page.frameLocator('iframe').getByText(words).waitFor();
      await page.unroute(outer);
    }
  });
});

describe.skipIf(!REPTILE_STATIC_PAGE)('on any web host', () => {
  test('the page works below another address, without the server’s headers', async () => {
    const other = await openBrowser();
    await other.page.goto(REPTILE_STATIC_PAGE!);
    await adapted(other.page);
    expect(await percentages(other.page)).toEqual(await percentages(page));
    const elsewhere = other.complaints.filter((one) => !one.startsWith(REPTILE_STATIC_PAGE!));
    expect(elsewhere).toEqual([]);
    await other.close();
  });

  test('works without a network once it is there', async () => {
    const other = await openBrowser();
    await other.page.goto(REPTILE_STATIC_PAGE!);
    await adapted(other.page);
    await other.context.setOffline(true);
    await other.page.locator('#samples').click();
    await other.page.waitForFunction(() =>
      document.querySelector('#status')!.textContent!.startsWith('Adapting'),
    );
    await adapted(other.page);
    await other.close();
  });
});
