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
  /** Where the slider of the rate is while nobody has moved it. */
  private untouched = '';

  /** Begins with what the weights were evaluated with. */
  constructor(
    private readonly model: ModelSummary,
    changed: () => void,
  ) {
    reachTo(this.steps, model.steps);
    if (model.rate > 0) reachTo(this.rate, Math.log10(model.rate));
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
      rate: this.rate.value === this.untouched ? this.model.rate : this.chosenRate,
      start: chosen?.value === 'random' ? 'random' : 'trained',
    };
  }

  /** Two digits are enough for a rate that is chosen by hand. */
  private get chosenRate(): number {
    return Number((10 ** Number(this.rate.value)).toPrecision(2));
  }

  private reset(): void {
    const { steps, rate } = this.model;
    this.steps.value = String(steps);
    this.rate.value = rate > 0 ? String(Math.log10(rate)) : this.rate.min;
    this.untouched = this.rate.value;
    this.show();
  }

  private show(): void {
    const { steps, rate } = this.values;
    byId('steps-value').textContent = String(steps);
    byId('rate-value').textContent = String(rate);
    this.rate.setAttribute('aria-valuetext', String(rate));
  }
}

/** Widens a slider so that it can be set to `value`. */
function reachTo(slider: HTMLInputElement, value: number): void {
  slider.min = String(Math.min(Number(slider.min), value));
  slider.max = String(Math.max(Number(slider.max), value));
}
