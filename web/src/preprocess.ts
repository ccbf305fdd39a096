/**
 * From pen strokes to what the network was trained on.
 *
 * Omniglot's drawings are 105x105 one-bit images, made smaller to 28x28 by taking the nearest
 * pixel. Measured on 3,856 of them: the longer side of a drawing takes 69 pixels (median; nine in
 * ten between 44 and 88), its middle lies at pixel 50.6 both ways, and its pen is 5.2 pixels wide
 * (by the mean distance of ink to paper, 1.79 pixels).
 */

import type { Stroke } from './strokes';

export const PAPER_SIDE = 105;
export const IMAGE_SIDE = 28;
const EXTENT = 69;
const MIDDLE = 50.6;
const PEN = 5.2;
/** In parts of the pad: what is smaller is a dot or a dash, and is not blown up any further. */
const SMALLEST = 0.12;

/** The image of a drawing, [28 * 28], 0 is ink and 1 is paper. */
export function imageOf(strokes: readonly Stroke[]): Float32Array {
  return shrink(inked(placed(strokes)));
}

/** Strokes in pixels of the paper, as large and in the middle as Omniglot's. */
export function placed(strokes: readonly Stroke[]): Stroke[] {
  const points = strokes.flat();
  if (points.length === 0) return [];
  const [left, right] = range(points.map((p) => p.x));
  const [top, bottom] = range(points.map((p) => p.y));
  const scale = (EXTENT - PEN) / Math.max(right - left, bottom - top, SMALLEST);
  return strokes.map((stroke) =>
    stroke.map(({ x, y }) => ({
      x: MIDDLE + (x - (left + right) / 2) * scale,
      y: MIDDLE + (y - (top + bottom) / 2) * scale,
    })),
  );
}

function range(values: readonly number[]): [number, number] {
  return values.reduce<[number, number]>(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
}

/** What a round pen leaves on the paper, [105 * 105], 1 where there is ink. */
export function inked(strokes: readonly Stroke[]): Uint8Array {
  const paper = new Uint8Array(PAPER_SIDE * PAPER_SIDE);
  for (const stroke of strokes) {
    stroke.forEach((point, i) => inkLine(paper, stroke[i - 1] ?? point, point));
  }
  return paper;
}

/** Inks the pixels whose middle is no further than half the pen from the line. */
function inkLine(paper: Uint8Array, from: Stroke[number], to: Stroke[number]): void {
  const reach = PEN / 2;
  const first = (a: number, b: number) => Math.max(0, Math.ceil(Math.min(a, b) - reach));
  const last = (a: number, b: number) =>
    Math.min(PAPER_SIDE - 1, Math.floor(Math.max(a, b) + reach));
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const lengthSquared = dx * dx + dy * dy;
  for (let y = first(from.y, to.y); y <= last(from.y, to.y); y++) {
    for (let x = first(from.x, to.x); x <= last(from.x, to.x); x++) {
      const along = ((x - from.x) * dx + (y - from.y) * dy) / (lengthSquared || 1);
      const t = Math.min(1, Math.max(0, along));
      if (Math.hypot(x - from.x - t * dx, y - from.y - t * dy) <= reach) {
        paper[y * PAPER_SIDE + x] = 1;
      }
    }
  }
}

/** 105x105 ink to a 28x28 image, as Pillow's nearest-neighbour resize does; 1 becomes paper. */
export function shrink(paper: ArrayLike<number>): Float32Array {
  const nearest = (i: number) => Math.floor(((i + 0.5) * PAPER_SIDE) / IMAGE_SIDE);
  return Float32Array.from({ length: IMAGE_SIDE * IMAGE_SIDE }, (_, i) => {
    const [y, x] = [nearest(Math.floor(i / IMAGE_SIDE)), nearest(i % IMAGE_SIDE)];
    return paper[y * PAPER_SIDE + x] ? 0 : 1;
  });
}
