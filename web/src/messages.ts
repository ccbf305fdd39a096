/** What the page and its worker say to each other. */

import type { Task } from './adapt';

/** Where TensorFlow.js may compute, the best first. */
export const BACKENDS = ['webgpu', 'webgl', 'wasm'] as const;
export type Backend = (typeof BACKENDS)[number];

export const BACKEND_NAMES: Readonly<Record<Backend, string>> = {
  webgpu: 'WebGPU',
  webgl: 'WebGL',
  wasm: 'WebAssembly',
};

/** What the page has to know of the weights. */
export interface ModelSummary {
  readonly way: number;
  readonly steps: number;
  readonly rate: number;
  readonly outerSteps: number;
}

export type ToWorker =
  | {
      readonly kind: 'start';
      readonly modelUrl: string;
      readonly backend?: Backend;
    }
  /** Forget what was adapted to and adapt to `task`. */
  | { readonly kind: 'adapt'; readonly id: number; readonly task: Task }
  /** Scores of an image with the weights as they are now, be it in the middle of adapting. */
  | {
      readonly kind: 'score';
      readonly id: number;
      readonly image: Float32Array;
    };

export type FromWorker =
  | {
      readonly kind: 'ready';
      readonly backend: Backend;
      readonly model: ModelSummary;
    }
  /** Nothing will work any more. */
  | { readonly kind: 'failed'; readonly message: string }
  /** After an inner step of adaptation `id`: the loss before it. */
  | {
      readonly kind: 'step';
      readonly id: number;
      readonly step: number;
      readonly loss: number;
    }
  | { readonly kind: 'adapted'; readonly id: number; readonly seconds: number }
  /** `scores` is null before the first task. */
  | {
      readonly kind: 'scores';
      readonly id: number;
      readonly scores: readonly number[] | null;
    };
