/** Adapts and classifies off the page's thread, so that drawing never stutters. */

import { Adaptation, type Task } from './adapt';
import { startBackend } from './backend';
import type { FromWorker, ToWorker } from './messages';
import { loadModel, type Model } from './model';

let model: Model;
let current: Adaptation | null = null;
let newest = 0;
/** One thing at a time touches tensors; between two inner steps others get their turn. */
let turn: Promise<unknown> = Promise.resolve();

function tell(message: FromWorker): void {
  postMessage(message);
}

function inTurn(work: () => Promise<void>): Promise<void> {
  const done = turn.then(work);
  turn = done.catch(() => undefined);
  return done.catch(fail);
}

function fail(error: unknown): void {
  newest = 0; // ids begin with 1: an inner step that failed is not tried again
  tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
}

async function start(modelUrl: string, wanted: Parameters<typeof startBackend>[0]): Promise<void> {
  const [loaded, backend] = await Promise.all([loadModel(modelUrl), startBackend(wanted)]);
  model = loaded;
  const { net, evaluation, rule, outerSteps } = model;
  const summary = { way: net.way, steps: evaluation.steps, rate: rule.rate, outerSteps };
  tell({ kind: 'ready', backend, model: summary });
}

/** Adapts until done, or until a newer task has come. */
async function adapt(id: number, task: Task): Promise<void> {
  const begun = performance.now();
  await inTurn(async () => {
    if (id !== newest) return;
    current?.dispose();
    current = null;
    current = new Adaptation(model, task);
  });
  while (id === newest && current && !current.finished) {
    await inTurn(async () => {
      if (id !== newest || !current) return;
      const loss = await current.step();
      tell({ kind: 'step', id, step: current.steps, loss });
    });
    await nextMessages();
  }
  if (id === newest) {
    tell({ kind: 'adapted', id, seconds: (performance.now() - begun) / 1000 });
  }
}

async function score(id: number, image: Float32Array): Promise<void> {
  await inTurn(async () => {
    tell({ kind: 'scores', id, scores: current ? await current.scores(image) : null });
  });
}

/** Lets messages that have arrived be handled; timers would make every step wait 4 ms. */
function nextMessages(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === 'start') void inTurn(() => start(data.modelUrl, data.backend));
  if (data.kind === 'adapt') {
    newest = data.id;
    void adapt(data.id, data.task);
  }
  if (data.kind === 'score') void score(data.id, data.image);
};
