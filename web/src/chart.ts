/** The loss at every inner step, of this start and, fainter, of the other one. */

import type { Task } from './adapt';
import { byId, svg } from './dom';

export type Start = Task['start'];

const START_NAMES: Readonly<Record<Start, string>> = {
  trained: 'Reptile’s weights',
  random: 'random weights',
};
const HEIGHT = 190;
const EDGE = { left: 52, right: 14, top: 14, bottom: 34 };

export class LossChart {
  private readonly place = byId('chart');
  private curves: Record<Start, number[]> = { trained: [], random: [] };
  private current: Start = 'trained';
  private steps = 1;

  constructor() {
    new ResizeObserver(() => this.draw()).observe(this.place);
  }

  /** Begins a new curve. The other start's stays, if it was for the same task. */
  begin(start: Start, steps: number, sameTask: boolean): void {
    if (!sameTask) this.curves = { trained: [], random: [] };
    this.curves[start] = [];
    this.current = start;
    this.steps = steps;
    this.draw();
  }

  /** Adds the loss per example before inner step `step`, from 1 on. */
  add(step: number, loss: number): void {
    this.curves[this.current][step - 1] = loss;
    this.draw();
  }

  clear(): void {
    this.begin(this.current, this.steps, false);
  }

  private draw(): void {
    const width = this.place.clientWidth;
    if (width === 0) return;
    const shown = (['trained', 'random'] as const).filter((s) => this.curves[s].length > 0);
    const [low, high] = decades(shown.flatMap((s) => this.curves[s]));
    const across = (i: number) =>
      EDGE.left + (i / Math.max(this.steps - 1, 1)) * (width - EDGE.left - EDGE.right);
    const down = (power: number) =>
      EDGE.top + ((high - power) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
    const picture = svg('svg', {
      viewBox: `0 0 ${width} ${HEIGHT}`,
      width,
      height: HEIGHT,
      role: 'img',
      'aria-label': this.inWords(),
    });
    for (let power = low; power <= high; power++) {
      const y = down(power);
      const value = Number(`1e${power}`);
      picture.append(
        svg('line', { class: 'grid', x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }),
        tick(EDGE.left - 8, y + 4, String(value), 'end'),
      );
    }
    picture.append(
      tick(EDGE.left, HEIGHT - 10, '1', 'middle'),
      tick((EDGE.left + width - EDGE.right) / 2, HEIGHT - 10, 'inner step', 'middle'),
      tick(width - EDGE.right, HEIGHT - 10, String(Math.max(this.steps, 1)), 'end'),
    );
    for (const start of shown) {
      const points = this.curves[start].map((loss, i): [number, number] => [
        across(i),
        down(Math.max(Math.log10(loss), low)),
      ]);
      const kind = `curve ${start}${start === this.current ? ' current' : ''}`;
      const [x, y] = points.at(-1)!;
      picture.append(
        svg('polyline', { class: kind, points: points.map((p) => p.map(short)).join(' ') }),
        svg('circle', { class: kind, cx: short(x), cy: short(y), r: 3.5 }),
      );
    }
    this.place.replaceChildren(picture);
  }

  private inWords(): string {
    const values = this.curves[this.current];
    if (values.length === 0) return 'The loss of the adaptation; nothing yet.';
    const [first, last] = [values[0]!, values.at(-1)!].map((v) => v.toFixed(2));
    return `Loss per example from ${START_NAMES[this.current]}: ${first} at first, ${last} after ${values.length} steps.`;
  }
}

function tick(x: number, y: number, words: string, anchor: string): SVGTextElement {
  return svg('text', { class: 'tick', x, y, 'text-anchor': anchor }, words);
}

function short(value: number): string {
  return value.toFixed(1);
}

/** Powers of ten around the losses: from 0.01 to 1 at least, from 0.0001 at most. */
function decades(losses: readonly number[]): [number, number] {
  const powers = losses.map((loss) => Math.log10(loss)).filter(Number.isFinite);
  const low = Math.floor(Math.min(...powers, -2));
  return [Math.max(low, -4), Math.max(Math.ceil(Math.max(...powers, 0)), 0)];
}
