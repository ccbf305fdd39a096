/** Adapting to a few examples, and classifying beside them, as evaluation does in Python. */

import { concat, dispose, tensor, tensor2d, tidy, type Tensor } from '@tensorflow/tfjs-core';

import { innerStep, type InnerState } from './adam';
import { summedCrossEntropy } from './layers';
import type { Model, Start } from './model';
import { encodeImages, firstOutputs, initialParts, logits, type Part } from './network';
import { randomNumbers, shuffled } from './random';

/** A few examples of a few classes, and how to learn from them. */
export interface Task {
  /** [n * height * width], 0 is ink and 1 is paper. */
  readonly images: Float32Array;
  /** [n], 0 ... classes - 1. */
  readonly labels: readonly number[];
  readonly classes: number;
  readonly steps: number;
  readonly rate: number;
  /** Start from the trained weights and Adam's state, or from random weights. */
  readonly start: 'trained' | 'random';
  /** The examples of each inner batch; by default drawn as in evaluation, the same every time. */
  readonly batches?: readonly (readonly number[])[];
}

const SEED = 0;

/**
 * The examples of every inner batch, [steps][batch]: consecutive pieces of a shuffled pass over
 * all examples, shuffled anew when they run out.
 */
export function innerBatches(
  examples: number,
  steps: number,
  batch: number,
  replacement: boolean,
  random: () => number,
): number[][] {
  let left: number[] = [];
  return Array.from({ length: steps }, () => {
    if (replacement) return shuffled(examples, random).slice(0, batch);
    while (left.length < batch) left = left.concat(shuffled(examples, random));
    const piece = left.slice(0, batch);
    left = left.slice(batch);
    return piece;
  });
}

/** Weights on their way to a task's classes. Owns tensors: `dispose` it. */
export class Adaptation {
  /** Inner steps taken. */
  steps = 0;
  private state: InnerState;
  private readonly batches: readonly (readonly number[])[];
  private readonly support: Tensor;
  private readonly pixels: number;

  constructor(
    private readonly model: Model,
    private readonly task: Task,
  ) {
    const { net, evaluation } = model;
    this.pixels = net.height * net.width;
    this.batches =
      task.batches ??
      innerBatches(
        task.labels.length,
        task.steps,
        evaluation.batch,
        evaluation.replacement,
        randomNumbers(SEED),
      );
    const start = task.start === 'trained' ? model : randomStart(model);
    const tensors = (parts: readonly Part[]) =>
      firstOutputs(net, parts, task.classes).map((p) => tensor(p.values, [...p.shape]));
    this.state = {
      weights: tensors(start.weights),
      secondMoment: tensors(start.secondMoment),
      time: start.time,
    };
    this.support = encodeImages(net, task.images);
  }

  get finished(): boolean {
    return this.steps >= this.batches.length;
  }

  /** One inner step. Returns the loss before it, per example. */
  async step(): Promise<number> {
    const chosen = this.batches[this.steps]!;
    const images = encodeImages(this.model.net, this.imagesOf(chosen));
    const targets = this.targetsOf(chosen);
    const rule = { ...this.model.rule, rate: this.task.rate };
    const { state, loss } = innerStep(rule, this.state, (...weights) =>
      summedCrossEntropy(logits(this.model.net, weights, images), targets),
    );
    this.disposeState();
    this.state = state;
    this.steps += 1;
    const [total] = await loss.data();
    dispose([images, targets, loss]);
    return total! / chosen.length;
  }

  /**
   * Class scores [classes] of one image, 0 ... 1: a forward pass over all examples and the image,
   * which is how non-transductive evaluation gets its batch statistics.
   */
  async scores(image: Float32Array): Promise<number[]> {
    const last = tidy(() => {
      const all = concat([this.support, encodeImages(this.model.net, image)], 0);
      return logits(this.model.net, this.state.weights, all);
    });
    const values = await last.data();
    last.dispose();
    return Array.from(values.slice(-this.task.classes));
  }

  dispose(): void {
    this.disposeState();
    this.support.dispose();
  }

  private disposeState(): void {
    dispose([...this.state.weights, ...this.state.secondMoment]);
  }

  private imagesOf(chosen: readonly number[]): Float32Array {
    const images = new Float32Array(chosen.length * this.pixels);
    chosen.forEach((example, i) => {
      const start = example * this.pixels;
      images.set(this.task.images.subarray(start, start + this.pixels), i * this.pixels);
    });
    return images;
  }

  /** 1 where a class is right, [batch, classes]. */
  private targetsOf(chosen: readonly number[]): Tensor {
    const { classes, labels } = this.task;
    const targets = new Float32Array(chosen.length * classes);
    chosen.forEach((example, i) => (targets[i * classes + labels[example]!] = 1));
    return tensor2d(targets, [chosen.length, classes]);
  }
}

/** Weights that nothing was learnt with. */
function randomStart({ net }: Model): Start {
  const weights = initialParts(net, SEED);
  const nothing = weights.map((part) => ({
    ...part,
    values: part.values.map(() => 0),
  }));
  return { weights, secondMoment: nothing, time: 0 };
}
