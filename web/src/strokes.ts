/** A drawing as the pen made it: strokes of points, in parts of the pad's side. */

export interface Point {
  /** 0 at the left edge, 1 at the right. */
  readonly x: number;
  /** 0 at the top, 1 at the bottom. */
  readonly y: number;
}

export type Stroke = readonly Point[];

export class Drawing {
  private finished: Point[][] = [];

  constructor(strokes: readonly Stroke[] = []) {
    this.finished = strokes.map((stroke) => [...stroke]);
  }

  get strokes(): readonly Stroke[] {
    return this.finished;
  }

  get isEmpty(): boolean {
    return this.finished.length === 0;
  }

  /** Puts the pen down. */
  begin(point: Point): void {
    this.finished.push([inside(point)]);
  }

  /** Moves the pen, which is down. */
  extend(point: Point): void {
    this.finished.at(-1)?.push(inside(point));
  }

  /** Takes the last stroke back. */
  undo(): void {
    this.finished.pop();
  }

  clear(): void {
    this.finished = [];
  }
}

function inside({ x, y }: Point): Point {
  return { x: Math.min(1, Math.max(0, x)), y: Math.min(1, Math.max(0, y)) };
}
