/** The worker as the page sees it. */

import type { Task } from './adapt';
import { notLoaded } from './loading';
import type { Backend, FromWorker, ModelSummary, ToWorker } from './messages';
import workerUrl from './worker.ts?worker&url';

export interface Ready {
  readonly backend: Backend;
  readonly model: ModelSummary;
}

interface Run {
  readonly id: number;
  readonly onStep: (step: number, loss: number) => void;
  /** Gets the seconds it took, or null if a newer task took its place. */
  readonly end: (seconds: number | null) => void;
}

export class Learner {
  private readonly worker = startWorker();
  private lastId = 0;
  private run: Run | null = null;
  private readonly waiting = new Map<number, (scores: readonly number[] | null) => void>();
  private readonly failure: Promise<never>;
  private fail: (error: Error) => void = () => undefined;
  private started: (ready: Ready) => void = () => undefined;
  /** Resolves when tasks can be given; rejects, with words for people, when nothing works. */
  readonly ready: Promise<Ready>;

  /** Weights are read from the folder `modelUrl`. */
  constructor(modelUrl: string, backend?: Backend) {
    this.failure = new Promise((_, reject) => (this.fail = reject));
    this.failure.catch(() => undefined);
    const started = new Promise<Ready>((resolve) => (this.started = resolve));
    this.ready = Promise.race([started, this.failure]);
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
    // Without a message the worker has not started.
    this.worker.onerror = ({ message }) =>
      this.fail(
        message
          ? new Error(message)
          : notLoaded(`${new URL(workerUrl, import.meta.url)}, or a script that it needs,`),
      );
    this.tell({ kind: 'start', modelUrl, ...(backend && { backend }) });
  }

  /**
   * Adapts to a task, instead of any before it. Resolves to the seconds it took, or to null if a
   * newer task took its place; rejects when nothing works any more.
   */
  adapt(task: Task, onStep: Run['onStep'] = () => undefined): Promise<number | null> {
    this.run?.end(null);
    const id = ++this.lastId;
    const done = new Promise<number | null>((end) => (this.run = { id, onStep, end }));
    this.tell({ kind: 'adapt', id, task });
    return Promise.race([done, this.failure]);
  }

  /** Scores of an image for each class of the task, with the weights of this moment. */
  score(image: Float32Array): Promise<readonly number[] | null> {
    const id = ++this.lastId;
    const answer = new Promise<readonly number[] | null>((end) => this.waiting.set(id, end));
    this.tell({ kind: 'score', id, image });
    return Promise.race([answer, this.failure]);
  }

  stop(): void {
    this.worker.terminate();
  }

  private tell(message: ToWorker): void {
    this.worker.postMessage(message);
  }

  private receive(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        return this.started({ backend: message.backend, model: message.model });
      case 'failed':
        return this.fail(new Error(message.message));
      case 'step':
        if (message.id === this.run?.id) this.run.onStep(message.step, message.loss);
        return;
      case 'adapted':
        if (message.id === this.run?.id) this.run.end(message.seconds);
        return;
      case 'scores':
        this.waiting.get(message.id)?.(message.scores);
        this.waiting.delete(message.id);
    }
  }
}

function startWorker(): Worker {
  try {
    return new Worker(new URL(workerUrl, import.meta.url), { type: 'module' });
  } catch {
    throw new Error(
      'The browser does not let this page start a worker, as in a sandboxed frame: ' +
        'open it in a window of its own.',
    );
  }
}
