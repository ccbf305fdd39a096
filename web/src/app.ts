/** The page: what is drawn goes to the learner, what it answers is shown. */

import type { Task } from './adapt';
import { AnswerView, spoken } from './answer';
import { BACKEND_NAMES } from './messages';
import { LossChart } from './chart';
import { ClassList, FEWEST_CLASSES, MOST_CLASSES } from './classes';
import { byId, element } from './dom';
import { answerOf, collect, type Examples } from './examples';
import type { Learner, Ready } from './learner';
import { Pad } from './pad';
import { IMAGE_SIDE, imageOf } from './preprocess';
import { sampleCharacters, SAMPLE_SETS } from './samples';
import { SettingsView, type Settings } from './settings';
import { Drawing } from './strokes';

/** Milliseconds that drawing must rest before adapting begins anew. */
const REST = 150;
/** Milliseconds between two looks at the answer while adapting. */
const PAUSE = 120;

export class App {
  private readonly query = new Drawing();
  private readonly queryPad: Pad;
  private readonly list: ClassList;
  private readonly settings: SettingsView;
  private readonly answer = new AnswerView();
  private readonly chart = new LossChart();
  private readonly preview = byId<HTMLCanvasElement>('preview');
  private readonly status = byId('status');
  private set = -1;
  private examples: Examples = {
    images: new Float32Array(),
    labels: [],
    classes: [],
  };
  /** What the newest adaptation is to; compared to know whether two curves belong together. */
  private taskKey = '';
  private timer = 0;
  /** When the last answer was asked for, in milliseconds. */
  private scored = 0;
  private scoring = false;
  private scoreAgain = false;
  private sayNext = false;

  constructor(
    private readonly learner: Learner,
    private readonly ready: Ready,
  ) {
    const say = (words: string) => this.say(words);
    const most = Math.min(MOST_CLASSES, ready.model.way);
    this.settings = new SettingsView(ready.model, () => this.learnSoon());
    this.queryPad = new Pad(this.query, 'the new character', {
      changed: (finished) => this.queryChanged(finished),
      say,
    });
    byId('query').append(this.queryPad.element);
    this.list = new ClassList(byId('classes'), most, {
      changed: (finished) => this.examplesChanged(finished),
      counted: () => this.answer.setClasses(this.list.classes.length),
      say,
    });
    byId('samples').addEventListener('click', () => this.showSamples());
    byId('clear').addEventListener('click', () => this.clearAll());
    byId('again').addEventListener('click', () => void this.learn());
    this.showSamples();
  }

  /** The next set of characters: an example of each, and another drawing of one of them. */
  private showSamples(): void {
    this.set += 1;
    const characters = sampleCharacters(this.set);
    this.list.set(characters.map((drawings) => [drawings[0]!]));
    const shown = this.list.classes.length;
    const asked =
      characters[(2 + this.set) % shown]![2 + (Math.floor(this.set / SAMPLE_SETS) % 2)]!;
    this.queryPad.replace(asked.strokes);
  }

  private clearAll(): void {
    this.list.set(this.list.classes.map(() => [new Drawing()]));
    this.queryPad.replace([]);
    this.say('Everything is erased.');
  }

  private examplesChanged(finished: boolean): void {
    this.answer.showExamples(this.list.classes);
    if (finished) this.learnSoon();
  }

  private queryChanged(finished: boolean): void {
    this.showPreview();
    void this.score(finished);
  }

  /** Adapts once drawing has rested for a moment. */
  private learnSoon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.learn(), REST);
  }

  private async learn(): Promise<void> {
    clearTimeout(this.timer);
    this.examples = collect(this.list.classes);
    const settings = this.settings.values;
    if (this.examples.classes.length < FEWEST_CLASSES) {
      this.chart.clear();
      this.taskKey = '';
      this.status.textContent = 'Waiting for examples.';
      this.answer.hint('Draw an example of at least two classes.');
      return;
    }
    await this.adapt(this.taskOf(settings), settings);
  }

  private taskOf(settings: Settings): Task {
    const { images, labels, classes } = this.examples;
    return { images, labels, classes: classes.length, ...settings };
  }

  private async adapt(task: Task, settings: Settings): Promise<void> {
    const key = keyOf(task);
    this.chart.begin(task.start, task.steps, key === this.taskKey);
    this.taskKey = key;
    this.status.textContent = 'Adapting …';
    const seconds = await this.guarded(
      this.learner.adapt(task, (step, loss) => {
        if (key !== this.taskKey) return; // there is nothing to adapt to any more
        this.chart.add(step, loss);
        this.scoreNowAndThen();
      }),
    );
    if (seconds === null || key !== this.taskKey) return;
    const steps = settings.steps === 1 ? '1 inner step' : `${settings.steps} inner steps`;
    const where = BACKEND_NAMES[this.ready.backend];
    this.status.textContent = `Adapted: ${steps} in ${seconds.toFixed(2)} s with ${where}.`;
    await this.score(true);
  }

  /** Follows the answer while adapting; every question takes time from adapting. */
  private scoreNowAndThen(): void {
    if (performance.now() - this.scored > PAUSE) void this.score(false);
  }

  /** Asks for the answer as it is now; `final` answers are also said. */
  private async score(final: boolean): Promise<void> {
    this.sayNext ||= final;
    if (this.examples.classes.length < FEWEST_CLASSES) return;
    if (this.query.isEmpty) {
      this.answer.hint('Draw the character to be named.');
      return;
    }
    if (this.scoring) {
      this.scoreAgain = true;
      return;
    }
    this.scoring = true;
    this.scored = performance.now();
    const { classes } = this.examples;
    const scores = await this.guarded(this.learner.score(imageOf(this.query.strokes)));
    this.scoring = false;
    // Between question and answer the examples or the drawing may have changed.
    if (scores?.length === classes.length && classes === this.examples.classes) {
      const answer = answerOf(scores, classes, this.list.classes.length);
      if (!this.query.isEmpty) this.answer.show(answer);
      if (this.sayNext && !this.scoreAgain) this.say(spoken(answer));
    }
    if (this.scoreAgain) {
      this.scoreAgain = false;
      await this.score(false);
    } else {
      this.sayNext = false;
    }
  }

  /** null, and a notice on the page, when the learner does not work any more. */
  private async guarded<T>(work: Promise<T>): Promise<T | null> {
    try {
      return await work;
    } catch (error) {
      showFailure(error);
      return null;
    }
  }

  private showPreview(): void {
    const context = this.preview.getContext('2d')!;
    const pixels = context.createImageData(IMAGE_SIDE, IMAGE_SIDE);
    const image = imageOf(this.query.strokes);
    // Ink is opaque and paper transparent: the page's colours show through in light and dark.
    image.forEach((value, i) => (pixels.data[4 * i + 3] = value === 0 ? 255 : 0));
    context.putImageData(pixels, 0, 0);
  }

  private say(words: string): void {
    byId('live').textContent = words;
  }
}

/** Shows a failure and, if it may pass, a button that tries `again`. */
export function showFailure(error: unknown, again?: () => void): void {
  const words = error instanceof Error ? error.message : String(error);
  const notice = byId('failure');
  notice.replaceChildren(element('strong', {}, 'The demo cannot run. '), words);
  if (again) {
    const button = element('button', { type: 'button' }, 'Try again');
    button.addEventListener('click', again);
    notice.append(button);
  }
  notice.hidden = false;
  byId('status').textContent = 'Stopped.';
}

function keyOf({ images, labels, steps, rate }: Task): string {
  let hash = 0;
  for (const value of images) hash = (Math.imul(hash, 31) + value) | 0;
  return [hash, labels.join(''), steps, rate].join(' ');
}
