/** The classes and their examples, to be drawn, added and taken away. */

import { element, icon, iconButton } from './dom';
import { Pad } from './pad';
import { Drawing } from './strokes';

export const FEWEST_CLASSES = 2;
export const MOST_CLASSES = 5;
const MOST_EXAMPLES = 5;

/** A, B, C ... */
export function className(index: number): string {
  return String.fromCharCode('A'.charCodeAt(0) + index);
}

/** The coloured letter that stands for a class everywhere. */
export function chip(index: number): HTMLElement {
  return element('span', { class: `chip class-${index}` }, className(index));
}

export interface ClassListEvents {
  /** Examples are others than before; `finished` unless a pen is still down. */
  readonly changed: (finished: boolean) => void;
  /** There are more or fewer classes. */
  readonly counted: () => void;
  readonly say: (words: string) => void;
}

export class ClassList {
  /** [classes][examples] */
  private drawings: Drawing[][] = [];
  private readonly addButton = element(
    'button',
    { type: 'button', class: 'add-class' },
    icon('plus'),
    'Add a class',
  );

  /** Shows itself in `place`. `most` is how many classes the network can tell apart. */
  constructor(
    private readonly place: HTMLElement,
    private readonly most: number,
    private readonly events: ClassListEvents,
  ) {
    this.addButton.addEventListener('click', () => this.addClass());
  }

  get classes(): readonly (readonly Drawing[])[] {
    return this.drawings;
  }

  /** Replaces everything. */
  set(drawings: Drawing[][]): void {
    this.drawings = drawings.slice(0, this.most);
    this.rebuild();
  }

  private addClass(): void {
    this.drawings.push([new Drawing()]);
    this.rebuild();
    this.focusPad(this.drawings.length - 1, 0);
    this.events.say(`Class ${className(this.drawings.length - 1)} added.`);
  }

  private removeClass(index: number): void {
    this.drawings.splice(index, 1);
    this.rebuild();
    this.focusPad(Math.min(index, this.drawings.length - 1), 0);
    this.events.say(`Class ${className(index)} removed; those after it moved up.`);
  }

  private addExample(index: number): void {
    const examples = this.drawings[index]!;
    examples.push(new Drawing());
    this.rebuild();
    this.focusPad(index, examples.length - 1);
  }

  private removeExample(index: number, example: number): void {
    const examples = this.drawings[index]!;
    examples.splice(example, 1);
    this.rebuild();
    this.focusPad(index, Math.min(example, examples.length - 1));
    this.events.say(`Example ${example + 1} of ${className(index)} removed.`);
  }

  private rebuild(): void {
    const cards = this.drawings.map((_, index) => this.card(index));
    this.place.replaceChildren(...cards);
    if (this.drawings.length < this.most) this.place.append(this.addButton);
    this.events.counted();
    this.events.changed(true);
  }

  private card(index: number): HTMLElement {
    const name = className(index);
    const heading = element('h3', {}, element('span', { class: 'hidden' }, 'Class '), chip(index));
    const head = element('div', { class: 'class-head' }, heading);
    if (this.drawings.length > FEWEST_CLASSES) {
      head.append(iconButton('close', `Remove class ${name}`, () => this.removeClass(index)));
    }
    const pads = element('div', { class: 'examples' });
    pads.append(...this.drawings[index]!.map((_, example) => this.pad(index, example)));
    if (this.drawings[index]!.length < MOST_EXAMPLES) pads.append(this.moreButton(index));
    return element('section', { class: 'class-card', 'aria-label': `Class ${name}` }, head, pads);
  }

  private pad(index: number, example: number): HTMLElement {
    const examples = this.drawings[index]!;
    const name = `example ${example + 1} of ${className(index)}`;
    const further =
      examples.length > 1
        ? [iconButton('close', `Remove ${name}`, () => this.removeExample(index, example))]
        : [];
    return new Pad(examples[example]!, name, this.events, further).element;
  }

  private moreButton(index: number): HTMLElement {
    const label = `Add an example of ${className(index)}`;
    const button = element(
      'button',
      {
        type: 'button',
        class: 'add-example',
        'aria-label': label,
        title: label,
      },
      icon('plus'),
    );
    button.addEventListener('click', () => this.addExample(index));
    return button;
  }

  private focusPad(index: number, example: number): void {
    const card = this.place.querySelectorAll('.class-card')[index];
    card?.querySelectorAll<HTMLElement>('.pad-surface')[example]?.focus();
  }
}
