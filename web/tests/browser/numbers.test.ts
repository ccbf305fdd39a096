/**
 * Episodes solved by the page as Python solves them: $REPTILE_CASES, of which
 * benchmarks/browser_cases.py says what they hold. What was measured goes to $REPTILE_REPORT.
 * In $REPTILE_FLIPS of them (none by default) logits may differ by more than 1e-3.
 */

import { readFileSync, writeFileSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { openBrowser, PAGE, type Opened } from './browser';

interface Case {
  readonly classes: number;
  readonly rate: number;
  readonly support: readonly string[];
  readonly labels: readonly number[];
  readonly batches: readonly (readonly number[])[];
  readonly queries: readonly string[];
  readonly right: readonly number[];
  readonly scores: readonly (readonly number[])[];
}

const { REPTILE_CASES, REPTILE_REPORT, REPTILE_FLAGS, REPTILE_FLIPS } = process.env;
const cases = REPTILE_CASES ? (JSON.parse(readFileSync(REPTILE_CASES, 'utf8')) as Case[]) : [];
const scores: number[][][] = [];
const seconds: number[] = [];
let opened: Opened;

/** Runs in the page. */
async function solve(given: Case): Promise<{ scores: number[][]; seconds: number }> {
  const { learner, shrink } = (window as unknown as { reptile: any }).reptile;
  const side = 105;
  const image = (packed: string): Float32Array => {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const bit = (_: unknown, i: number) => (bytes[i >> 3]! >> (7 - (i & 7))) & 1;
    return shrink(Uint8Array.from({ length: side * side }, bit));
  };
  const support = given.support.map(image);
  const images = new Float32Array(support.length * support[0]!.length);
  support.forEach((one, i) => images.set(one, i * one.length));
  const { labels, classes, rate, batches } = given;
  const start = 'trained';
  const task = { images, labels, classes, rate, batches, start, steps: batches.length };
  const seconds = await learner.adapt(task);
  const scores = [];
  for (const query of given.queries) scores.push(await learner.score(image(query)));
  return { scores, seconds };
}

describe.skipIf(cases.length === 0)('episodes', () => {
  beforeAll(async () => {
    const flags = REPTILE_FLAGS?.split(' ');
    opened = await openBrowser(flags ? { flags } : {});
    await opened.page.goto(PAGE);
    await opened.page.waitForFunction(() =>
      /Adapted|Stopped/.test(document.querySelector('#status')!.textContent!),
    );
    expect(await opened.page.textContent('#failure')).toBe('');
    await opened.page.evaluate(solve, cases[0]!); // the first of a size compiles or packs things
    for (const one of cases) {
      const solved = await opened.page.evaluate(solve, one);
      scores.push(solved.scores);
      seconds.push(solved.seconds);
    }
    if (REPTILE_REPORT) writeFileSync(REPTILE_REPORT, JSON.stringify({ scores, seconds }));
  }, 1_800_000);

  afterAll(() => opened.close());

  // Where rounding moves an activation across a ReLU's edge, a whole episode comes out otherwise.
  test('logits are those of Python', () => {
    const off = cases.map((one, i) =>
      Math.max(
        ...one.scores.flatMap((row, j) =>
          row.map((score, k) => Math.abs(score - scores[i]![j]![k]!)),
        ),
      ),
    );
    const others = off.filter((largest) => !(largest < 5e-4));
    expect(others.length, `${others}`).toBeLessThanOrEqual(Number(REPTILE_FLIPS ?? 0));
    expect(Math.max(...off)).toBeLessThan(1e-2);
  });

  test('the network names the same classes', () => {
    const best = (row: readonly number[]) => row.indexOf(Math.max(...row));
    const named = cases.map((one) => one.scores.map(best));
    expect(scores.map((one) => one.map(best))).toEqual(named);
  });
});
