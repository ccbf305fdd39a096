/** Characters to begin with: invented ones, each drawn by several invented people. */

import recorded from './samples.json';
import { Drawing, type Stroke } from './strokes';

/** In the recording the pad is so many units wide. */
const UNITS = 1000;

/** [sets][characters][drawings][strokes][x0, y0, x1, y1 ...] */
const SETS = recorded as readonly (readonly (readonly (readonly (readonly number[])[])[])[])[];

export const SAMPLE_SETS = SETS.length;

/** The characters of set `set`, each with all its drawings. */
export function sampleCharacters(set: number): Drawing[][] {
  return SETS[set % SETS.length]!.map((drawings) =>
    drawings.map((strokes) => new Drawing(strokes.map(strokeOf))),
  );
}

function strokeOf(numbers: readonly number[]): Stroke {
  return Array.from({ length: numbers.length / 2 }, (_, i) => ({
    x: numbers[2 * i]! / UNITS,
    y: numbers[2 * i + 1]! / UNITS,
  }));
}
