import { describe, expect, test } from 'vitest';

import { innerBatches } from '../../src/adapt';
import { randomNumbers, shuffled } from '../../src/random';

describe('inner batches', () => {
  test('cut shuffled passes over the examples', () => {
    const flat = innerBatches(7, 10, 5, false, randomNumbers(1)).flat();
    expect(flat.length).toBe(50);
    for (let pass = 0; pass + 7 <= flat.length; pass += 7) {
      expect(flat.slice(pass, pass + 7).sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    }
  });

  test('may hold an example more than once where there are few', () => {
    const batches = innerBatches(2, 4, 5, false, randomNumbers(2));
    expect(batches.map((batch) => batch.length)).toEqual([5, 5, 5, 5]);
    expect(new Set(batches.flat())).toEqual(new Set([0, 1]));
  });

  test('with replacement are independent, and never repeat an example', () => {
    const batches = innerBatches(6, 40, 4, true, randomNumbers(3));
    for (const batch of batches) expect(new Set(batch).size).toBe(4);
    expect(new Set(batches.map((batch) => batch[0])).size).toBe(6);
  });

  test('are the same every time', () => {
    const draw = () => innerBatches(5, 6, 3, false, randomNumbers(0));
    expect(draw()).toEqual(draw());
  });
});

test('random numbers are uniform', () => {
  const random = randomNumbers(5);
  const numbers = Array.from({ length: 20_000 }, random);
  expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...numbers)).toBeLessThan(1);
  expect(numbers.reduce((a, b) => a + b) / numbers.length).toBeCloseTo(0.5, 1);
  const tenths = new Array<number>(10).fill(0);
  for (const number of numbers) tenths[Math.floor(10 * number)]! += 1;
  for (const count of tenths) expect(Math.abs(count - 2000)).toBeLessThan(200);
});

test('every order is as likely', () => {
  const random = randomNumbers(6);
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const order = shuffled(3, random).join('');
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  expect(counts.size).toBe(6);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});
