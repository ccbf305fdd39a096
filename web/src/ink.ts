/** Drawings as pictures. */

import { svg } from './dom';
import { PAPER_SIDE, placed } from './preprocess';
import type { Point, Stroke } from './strokes';

/** Units along a side of a picture: Omniglot's pixels. */
export const SIDE = PAPER_SIDE;
/** Units around a thumbnail that are cut off: drawings in their place leave them free. */
const MARGIN = 11;

/** A path for each stroke. */
export function inkPaths(strokes: readonly Stroke[]): SVGPathElement[] {
  return strokes.map((stroke) => svg('path', { d: outline(stroke) }));
}

/** A small picture of a drawing, in its place and size before the network. */
export function thumbnail(strokes: readonly Stroke[]): SVGSVGElement {
  const inParts = placed(strokes).map((stroke) =>
    stroke.map(({ x, y }) => ({ x: x / SIDE, y: y / SIDE })),
  );
  const shown = SIDE - 2 * MARGIN;
  return svg(
    'svg',
    { viewBox: `${MARGIN} ${MARGIN} ${shown} ${shown}`, 'aria-hidden': 'true' },
    svg('g', { class: 'ink' }, ...inkPaths(inParts)),
  );
}

/** A smooth line through the middles between the points. */
function outline(stroke: Stroke): string {
  const at = ({ x, y }: Point) => `${(x * SIDE).toFixed(2)} ${(y * SIDE).toFixed(2)}`;
  const middle = (a: Point, b: Point) => at({ x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 });
  const first = stroke[0]!;
  const last = stroke.at(-1)!;
  const curves = stroke
    .slice(1, -1)
    .map((point, i) => `Q${at(point)} ${middle(point, stroke[i + 2]!)}`);
  return `M${at(first)} ${curves.join(' ')} L${at(last)}`;
}
