/** Starting a browser, and looking at the page. */

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium, type BrowserContext, type Page } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export const PAGE = process.env['REPTILE_PAGE'] ?? 'http://127.0.0.1:8765/';

/** The address with other values behind the question mark. */
export function pageWith(values: Record<string, string>): string {
  const url = new URL(PAGE);
  for (const [name, value] of Object.entries(values)) url.searchParams.set(name, value);
  return url.href;
}

interface Options {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
  readonly touch?: boolean;
  /** Further flags of Chromium. */
  readonly flags?: readonly string[];
}

export interface Opened {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors on the console, exceptions, and requests to anywhere but the page's own place. */
  readonly complaints: string[];
  readonly close: () => Promise<void>;
}

/** A new browser with an empty tab. */
export async function openBrowser(options: Options = {}): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'reptile-browser-'));
  const executablePath = process.env['CHROMIUM'] ?? PLACES.find((place) => existsSync(place));
  if (!executablePath) throw new Error('There is no Chromium; set CHROMIUM to where it is.');
  const context = await chromium.launchPersistentContext(folder, {
    executablePath,
    headless: true,
    viewport: { width: options.width ?? 1280, height: options.height ?? 900 },
    colorScheme: options.dark ? 'dark' : 'light',
    hasTouch: options.touch ?? false,
    args: [
      '--no-sandbox',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-quic',
      '--disable-sync',
      ...(options.flags ?? ['--disable-gpu']),
    ],
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints = watch(page);
  const close = async () => {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { page, context, complaints, close };
}

function watch(page: Page): string[] {
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('requestfailed', (request) => complaints.push(`failed: ${request.url()}`));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(PAGE).origin) complaints.push(request.url());
  });
  return complaints;
}

/** Waits until the page has adapted to what is on it now. */
export async function adapted(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const status = document.querySelector('#status')?.textContent ?? '';
    return status.startsWith('Adapted') || status.startsWith('Stopped');
  });
}

/** Per cent of every class, as written on the page: "94%", ">99%", "no example", "–". */
export function percentages(page: Page): Promise<string[]> {
  return page.locator('#bars .percent').allTextContents();
}
