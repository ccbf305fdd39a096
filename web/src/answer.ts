/** What the network says: a bar for each class. */

import { chip, className } from './classes';
import { byId, element } from './dom';
import { thumbnail } from './ink';
import type { Drawing } from './strokes';

/** Probabilities by class; null where a class has no example yet. */
export type Answer = readonly (number | null)[];

interface Row {
  readonly item: HTMLElement;
  readonly example: HTMLElement;
  readonly bar: HTMLElement;
  readonly number: HTMLElement;
}

export class AnswerView {
  private rows: Row[] = [];
  private readonly list = byId('bars');
  private readonly verdict = byId('verdict');

  /** Bars for so many classes, empty. */
  setClasses(count: number): void {
    this.rows = Array.from({ length: count }, (_, index) => {
      const bar = element('span', { class: `bar class-${index}` });
      const number = element('span', { class: 'percent' });
      const example = element('span', { class: 'example', 'aria-hidden': 'true' });
      const track = element('span', { class: 'track', 'aria-hidden': 'true' }, bar);
      return {
        item: element('li', {}, chip(index), example, track, number),
        example,
        bar,
        number,
      };
    });
    this.list.replaceChildren(...this.rows.map((row) => row.item));
  }

  /** Puts an example of each class beside its bar. */
  showExamples(classes: readonly (readonly Drawing[])[]): void {
    this.rows.forEach(({ example }, index) => {
      const drawn = classes[index]?.find((drawing) => !drawing.isEmpty);
      example.replaceChildren(...(drawn ? [thumbnail(drawn.strokes)] : []));
    });
  }

  /** Shows an answer. */
  show(answer: Answer): void {
    const best = bestOf(answer);
    this.rows.forEach(({ item, bar, number }, index) => {
      const probability = answer[index] ?? null;
      item.classList.toggle('best', index === best);
      item.classList.toggle('absent', probability === null);
      bar.style.width = `${100 * (probability ?? 0)}%`;
      number.textContent = probability === null ? 'no example' : percent(probability);
    });
    if (best === null) return;
    this.verdict.classList.remove('hint');
    this.verdict.replaceChildren(chip(best), `${percent(answer[best]!)} sure`);
  }

  /** Says why there is no answer. */
  hint(words: string): void {
    this.verdict.classList.add('hint');
    this.verdict.replaceChildren(words);
    for (const { item, bar, number } of this.rows) {
      item.classList.remove('best', 'absent');
      bar.style.width = '0';
      number.textContent = '–';
    }
  }
}

/** The answer in words. */
export function spoken(answer: Answer): string {
  const best = bestOf(answer);
  return best === null ? '' : `The network says ${className(best)}, ${percent(answer[best]!)}.`;
}

function bestOf(answer: Answer): number | null {
  const known = answer.filter((p): p is number => p !== null);
  return known.length ? answer.indexOf(Math.max(...known)) : null;
}

/** Whole per cent, but never 100 % or 0 % where it is not that. */
export function percent(probability: number): string {
  if (probability > 0.99 && probability < 0.995) return '99%';
  if (probability >= 0.995) return '>99%';
  return probability < 0.005 ? '<1%' : `${Math.round(100 * probability)}%`;
}
