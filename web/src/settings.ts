/** How to adapt: what the sliders and the switch say. */

import type { Task } from './adapt';
import { byId } from './dom';
import type { ModelSummary } from './messages';

export type Settings = Pick<Task, 'steps' | 'rate' | 'start'>;

const FIELDS = ['steps', 'rate'] as const;

export class SettingsView {
  private readonly steps = byId<HTMLInputElement>('steps');
  /** Its value is the rate's decimal logarithm. */
  private readonly rate = byId<HTMLInputElement>('rate');
  private readonly start = byId('start');

  /** Begins with what the weights were evaluated with. */
  constructor(
    private readonly model: ModelSummary,
    changed: () => void,
  ) {
    this.steps.max = String(Math.max(Number(this.steps.max), model.steps));
    this.reset();
    for (const field of FIELDS) {
      this[field].addEventListener('input', () => {
        this.show();
        changed();
      });
    }
    this.start.addEventListener('change', changed);
    byId('defaults').addEventListener('click', () => {
      this.reset();
      changed();
    });
  }

  get values(): Settings {
    const chosen = this.start.querySelector<HTMLInputElement>('input:checked');
    return {
      steps: Number(this.steps.value),
      rate: Number(rounded(10 ** Number(this.rate.value))),
      start: chosen?.value === 'random' ? 'random' : 'trained',
    };
  }

  private reset(): void {
    this.steps.value = String(this.model.steps);
    this.rate.value = String(Math.log10(this.model.rate));
    this.show();
  }

  private show(): void {
    const { steps, rate } = this.values;
    byId('steps-value').textContent = String(steps);
    byId('rate-value').textContent = String(rate);
    this.rate.setAttribute('aria-valuetext', String(rate));
  }
}

/** Two digits are enough for a rate. */
function rounded(value: number): string {
  return value.toPrecision(2);
}
