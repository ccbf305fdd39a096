import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { FromWorker, ToWorker } from '../../src/messages';

const adaptation = vi.hoisted(() => ({ made: vi.fn(), step: vi.fn(), disposed: vi.fn() }));

vi.mock('../../src/model', () => ({
  loadModel: async () => ({
    net: { way: 5 },
    evaluation: { steps: 2, batch: 5, replacement: false },
    rule: { rate: 0.001 },
    outerSteps: 8,
  }),
}));
vi.mock('../../src/backend', () => ({ startBackend: async () => 'wasm' }));
vi.mock('../../src/adapt', () => ({
  Adaptation: class {
    steps = 0;
    constructor() {
      adaptation.made();
    }
    get finished() {
      return this.steps >= 2;
    }
    async step() {
      await adaptation.step();
      this.steps += 1;
      return 0.5;
    }
    async scores() {
      return [1, 0];
    }
    dispose() {
      adaptation.disposed();
    }
  },
}));

const TASK = {
  images: new Float32Array(),
  labels: [0, 1],
  classes: 2,
  steps: 2,
  rate: 0.001,
  start: 'trained',
} as const;
let told: FromWorker[];

beforeEach(async () => {
  vi.resetModules();
  for (const one of Object.values(adaptation)) one.mockReset();
  told = [];
  vi.stubGlobal('postMessage', (message: FromWorker) => told.push(message));
  vi.stubGlobal('onmessage', null);
  await import('../../src/worker');
  ask({ kind: 'start', modelUrl: 'http://host/model/' });
  await expect.poll(kinds).toEqual(['ready']);
  told.length = 0;
});

afterEach(() => vi.unstubAllGlobals());

function ask(message: ToWorker): void {
  (onmessage as unknown as (event: { data: ToWorker }) => void)({ data: message });
}

const kinds = () => told.map((message) => message.kind);

/** Long enough for many inner steps. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 50));

test('a task is adapted to', async () => {
  ask({ kind: 'adapt', id: 1, task: TASK });
  await expect.poll(kinds).toEqual(['step', 'step', 'adapted']);
});

test('an inner step that fails is told once, and not tried again', async () => {
  adaptation.step.mockRejectedValue(new Error('no memory'));
  ask({ kind: 'adapt', id: 1, task: TASK });
  await aWhile();
  expect(told).toEqual([{ kind: 'failed', message: 'no memory' }]);
  expect(adaptation.step).toHaveBeenCalledTimes(1);
});

test('a task that cannot be begun leaves nothing of the one before', async () => {
  ask({ kind: 'adapt', id: 1, task: TASK });
  await expect.poll(kinds).toEqual(['step', 'step', 'adapted']);
  told.length = 0;
  adaptation.made.mockImplementation(() => {
    throw new Error('no memory');
  });
  ask({ kind: 'adapt', id: 2, task: TASK });
  ask({ kind: 'score', id: 3, image: new Float32Array() });
  await aWhile();
  expect(told).toEqual([
    { kind: 'failed', message: 'no memory' },
    { kind: 'scores', id: 3, scores: null },
  ]);
  expect(adaptation.disposed).toHaveBeenCalledTimes(1);
});
