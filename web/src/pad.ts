/** A pad to draw on: with mouse, touch, pen or keyboard. */

import { element, iconButton, rename, svg } from './dom';
import { inkPaths, SIDE } from './ink';
import type { Drawing, Point, Stroke } from './strokes';

/** How far an arrow key moves the pen, in units; with shift, further. */
const MOVE = 3;
const FAR = 12;

const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/** The pointer that draws: one at a time, on all pads together. */
let drawing: { readonly pad: Pad; readonly id: number; readonly type: string } | null = null;

export interface PadEvents {
  /** The drawing is another; `finished` unless the pen is still down. */
  readonly changed: (finished: boolean) => void;
  /** Something that only those who do not see the pad have to be told. */
  readonly say: (words: string) => void;
}

/** Draws on `drawing`, which it changes in place. */
export class Pad {
  /** The pad with its buttons below. */
  readonly element: HTMLElement;
  private readonly surface = element('div', {
    class: 'pad-surface',
    tabindex: 0,
    role: 'application',
    'aria-roledescription': 'drawing pad',
    'aria-describedby': 'pad-help',
  });
  private readonly paths = svg('g', { class: 'ink' });
  private readonly cursor = svg('circle', { class: 'cursor', r: 4 });
  private readonly undoButton = iconButton('undo', '', () => this.undo());
  private readonly clearButton = iconButton('erase', '', () => this.clear());
  private pen: Point = { x: 0.5, y: 0.5 };
  private penDown = false;

  constructor(
    readonly drawing: Drawing,
    private name: string,
    private readonly events: PadEvents,
    further: readonly HTMLElement[] = [],
  ) {
    const picture = svg(
      'svg',
      { viewBox: `0 0 ${SIDE} ${SIDE}`, 'aria-hidden': 'true' },
      this.paths,
      this.cursor,
    );
    this.surface.append(picture);
    const buttons = element('div', { class: 'pad-buttons' }, this.undoButton, this.clearButton);
    buttons.append(...further);
    this.element = element('div', { class: 'pad' }, this.surface, buttons);
    this.listen();
    this.show();
  }

  /** Puts another drawing in place of this one. */
  replace(strokes: readonly Stroke[]): void {
    this.drawing.clear();
    for (const stroke of strokes) {
      stroke.forEach((point, i) => (i ? this.drawing.extend(point) : this.drawing.begin(point)));
    }
    this.forget();
    this.penDown = false;
    this.show();
    this.events.changed(true);
  }

  focus(): void {
    this.surface.focus();
  }

  private listen(): void {
    const surface = this.surface;
    surface.addEventListener('pointerdown', (event) => this.pointerDown(event));
    surface.addEventListener('pointermove', (event) => this.pointerMove(event));
    for (const end of ['pointerup', 'lostpointercapture'] as const) {
      surface.addEventListener(end, (event) => this.draws(event) && this.finish());
    }
    surface.addEventListener('pointercancel', (event) => this.draws(event) && this.takeBack());
    // A menu would take the pointer away.
    surface.addEventListener('contextmenu', (event) => drawing && event.preventDefault());
    surface.addEventListener('keydown', (event) => this.key(event));
    surface.addEventListener('blur', () => this.liftPen());
  }

  private pointerDown(event: PointerEvent): void {
    if (!event.isPrimary || event.button !== 0 || !takesOver(event)) return;
    this.liftPen();
    surfaceCapture(this.surface, event.pointerId);
    drawing = { pad: this, id: event.pointerId, type: event.pointerType };
    this.surface.classList.remove('by-keyboard');
    this.drawing.begin(this.at(event));
    this.show();
    this.events.changed(false);
  }

  private pointerMove(event: PointerEvent): void {
    if (!this.draws(event)) return;
    // Released unseen, or while another button is held, which is no pointerup.
    if (!(event.buttons & 1)) return this.finish();
    const all = event.getCoalescedEvents?.() ?? [];
    for (const one of all.length ? all : [event]) this.drawing.extend(this.at(one));
    this.show();
    this.events.changed(false);
  }

  private draws(event: PointerEvent): boolean {
    return drawing?.pad === this && drawing.id === event.pointerId;
  }

  private forget(): void {
    if (drawing?.pad === this) drawing = null;
  }

  /** The pointer's stroke is complete. */
  finish(): void {
    this.forget();
    this.events.changed(true);
  }

  /** The pointer's stroke was none. */
  takeBack(): void {
    this.forget();
    this.drawing.undo();
    this.show();
    this.events.changed(true);
  }

  get isShown(): boolean {
    return this.element.isConnected;
  }

  private at(event: PointerEvent): Point {
    const box = this.surface.getBoundingClientRect();
    return {
      x: (event.clientX - box.left) / box.width,
      y: (event.clientY - box.top) / box.height,
    };
  }

  private key(event: KeyboardEvent): void {
    if (event.altKey || event.metaKey || (event.ctrlKey && event.key !== 'z')) return;
    const arrow = ARROWS[event.key];
    if (arrow) this.movePen(arrow, event.shiftKey ? FAR : MOVE);
    else if (event.key === ' ' || event.key === 'Enter') this.togglePen();
    else if (event.key === 'Escape' && this.penDown) this.liftPen();
    else if (event.key === 'Backspace' || event.key === 'z') this.undo();
    else if (event.key === 'Delete') this.clear();
    else return;
    event.preventDefault();
    this.surface.classList.add('by-keyboard');
  }

  private movePen([dx, dy]: readonly [number, number], by: number): void {
    const moved = (value: number, way: number) =>
      Math.min(1, Math.max(0, value + (way * by) / SIDE));
    this.pen = { x: moved(this.pen.x, dx), y: moved(this.pen.y, dy) };
    if (this.penDown) {
      this.drawing.extend(this.pen);
      this.events.changed(false);
    }
    this.show();
  }

  private togglePen(): void {
    if (this.penDown) {
      this.liftPen();
      this.events.say('Pen up.');
      return;
    }
    this.penDown = true;
    this.drawing.begin(this.pen);
    this.show();
    this.events.changed(false);
    this.events.say('Pen down.');
  }

  private liftPen(): void {
    if (!this.penDown) return;
    this.penDown = false;
    this.show();
    this.events.changed(true);
  }

  private undo(): void {
    this.change(() => this.drawing.undo());
  }

  private clear(): void {
    this.change(() => this.drawing.clear());
  }

  private change(edit: () => void): void {
    this.forget();
    this.penDown = false;
    if (this.drawing.isEmpty) return;
    edit();
    this.show();
    this.events.changed(true);
    this.events.say(`${this.name}: ${this.content()}.`);
    // A button that has just been switched off would lose the focus to nowhere.
    if (this.drawing.isEmpty && this.element.contains(document.activeElement)) this.focus();
  }

  private show(): void {
    const { strokes, isEmpty } = this.drawing;
    this.paths.replaceChildren(...inkPaths(strokes));
    this.cursor.setAttribute('cx', String(this.pen.x * SIDE));
    this.cursor.setAttribute('cy', String(this.pen.y * SIDE));
    this.surface.classList.toggle('pen-down', this.penDown);
    this.surface.classList.toggle('empty', isEmpty);
    this.surface.setAttribute('aria-label', `${this.name}, ${this.content()}`);
    rename(this.undoButton, `Undo the last stroke of ${this.name}`).disabled = isEmpty;
    rename(this.clearButton, `Erase ${this.name}`).disabled = isEmpty;
  }

  private content(): string {
    const { length } = this.drawing.strokes;
    return length === 0 ? 'empty' : length === 1 ? '1 stroke' : `${length} strokes`;
  }
}

/** Whether a pointer that comes down may draw; ends the stroke of the one that drew before. */
function takesOver({ pointerId, pointerType }: PointerEvent): boolean {
  if (!drawing?.pad.isShown) return true;
  // Of one type one pointer is primary: the end of the older one was lost.
  if (drawing.type === pointerType || drawing.id === pointerId) drawing.pad.finish();
  // The hand came down before the pen.
  else if (drawing.type === 'touch' && pointerType === 'pen') drawing.pad.takeBack();
  else return false;
  return true;
}

/** Capturing fails where a pointer is gone already; drawing goes on without. */
function surfaceCapture(surface: HTMLElement, pointer: number): void {
  try {
    surface.setPointerCapture(pointer);
  } catch {
    // Nothing is lost but the part of the stroke that leaves the pad.
  }
}
