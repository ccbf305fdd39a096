import { describe, expect, test } from 'vitest';

import { IMAGE_SIDE, imageOf, inked, PAPER_SIDE, placed, shrink } from '../../src/preprocess';
import { SAMPLE_SETS, sampleCharacters } from '../../src/samples';
import { Drawing, type Stroke } from '../../src/strokes';
import { bits, python } from './python';

const HOOK: Stroke[] = [
  [
    { x: 0.2, y: 0.1 },
    { x: 0.6, y: 0.1 },
    { x: 0.6, y: 0.5 },
  ],
  [{ x: 0.3, y: 0.4 }],
];

function moved(strokes: readonly Stroke[], scale: number, dx: number, dy: number): Stroke[] {
  return strokes.map((s) => s.map(({ x, y }) => ({ x: x * scale + dx, y: y * scale + dy })));
}

/** First and last line with ink, and first and last column. */
function extent(paper: Uint8Array): { rows: number[]; columns: number[] } {
  const ink = Array.from(paper.keys()).filter((i) => paper[i]);
  const ends = (values: number[]) => [Math.min(...values), Math.max(...values)];
  const rows = ends(ink.map((i) => Math.floor(i / PAPER_SIDE)));
  return { rows, columns: ends(ink.map((i) => i % PAPER_SIDE)) };
}

describe('making drawings smaller', () => {
  test.each(python.shrunk)('is what Pillow does', (pair) => {
    const paper = bits(pair.drawing, PAPER_SIDE ** 2);
    const ink = bits(pair.image, IMAGE_SIDE ** 2);
    expect(ink).toContain(1);
    expect(Array.from(shrink(paper))).toEqual(ink.map((bit) => 1 - bit));
  });
});

describe('strokes', () => {
  test('nothing drawn is all paper', () => {
    expect(new Set(imageOf([]))).toEqual(new Set([1]));
  });

  test('come to lie in the middle, as large as Omniglot’s', () => {
    const { rows, columns } = extent(inked(placed(HOOK)));
    for (const [low, high] of [rows, columns] as [number, number][]) {
      expect((low + high) / 2).toBeCloseTo(50.6, -0.3);
      expect(Math.abs(high - low + 1 - 69)).toBeLessThanOrEqual(1);
    }
  });

  test('give the same image wherever and however large they are drawn', () => {
    const image = imageOf(HOOK);
    expect(imageOf(moved(HOOK, 0.5, 0.4, 0.1))).toEqual(image);
    expect(imageOf(moved(HOOK, 1.25, -0.1, 0.2))).toEqual(image);
  });

  test('keep their proportions', () => {
    const flat: Stroke[] = [
      [
        { x: 0.1, y: 0.5 },
        { x: 0.9, y: 0.5 },
      ],
    ];
    const { rows, columns } = extent(inked(placed(flat)));
    expect(columns[1]! - columns[0]! + 1).toBeGreaterThan(66);
    expect(rows[1]! - rows[0]! + 1).toBeLessThanOrEqual(6);
  });

  test('a dot stays a dot', () => {
    const ink = inked(placed([[{ x: 0.9, y: 0.1 }]])).reduce((a, b) => a + b);
    expect(ink).toBeGreaterThan(15); // a pen of 5.2 pixels
    expect(ink).toBeLessThan(30);
  });

  test('never leave the paper, however wild', () => {
    const wild = [Array.from({ length: 50 }, (_, i) => ({ x: (i * 0.37) % 1, y: (i * 0.61) % 1 }))];
    const { rows, columns } = extent(inked(placed(wild)));
    expect(Math.min(...rows, ...columns)).toBeGreaterThan(10);
    expect(Math.max(...rows, ...columns)).toBeLessThan(95);
  });

  test('have as much ink as Omniglot’s: 8 in 100 pixels, with the samples', () => {
    const sets = Array.from({ length: SAMPLE_SETS }, (_, set) => sampleCharacters(set).flat());
    const shares = sets
      .flat()
      .map((drawing) => imageOf(drawing.strokes).filter((value) => value === 0).length / 784);
    const mean = shares.reduce((a, b) => a + b) / shares.length;
    expect(mean).toBeGreaterThan(0.06);
    expect(mean).toBeLessThan(0.1);
  });
});

describe('a drawing', () => {
  test('grows stroke by stroke, and back', () => {
    const drawing = new Drawing();
    expect(drawing.isEmpty).toBe(true);
    drawing.begin({ x: 0.1, y: 0.2 });
    drawing.extend({ x: 0.3, y: 0.2 });
    drawing.begin({ x: 0.5, y: 0.5 });
    expect(drawing.strokes.map((s) => s.length)).toEqual([2, 1]);
    drawing.undo();
    expect(drawing.strokes.length).toBe(1);
    drawing.undo();
    drawing.undo();
    expect(drawing.isEmpty).toBe(true);
    drawing.extend({ x: 0.3, y: 0.2 }); // the pen is up
    expect(drawing.isEmpty).toBe(true);
  });

  test('stays on its pad', () => {
    const drawing = new Drawing();
    drawing.begin({ x: -3, y: 0.5 });
    drawing.extend({ x: 2, y: 1.5 });
    expect(drawing.strokes[0]).toEqual([
      { x: 0, y: 0.5 },
      { x: 1, y: 1 },
    ]);
  });

  test('copies what it is given', () => {
    const drawing = new Drawing(HOOK);
    drawing.extend({ x: 0.9, y: 0.9 });
    expect(HOOK[1]!.length).toBe(1);
  });
});
