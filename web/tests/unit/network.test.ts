import { memory, tensor, tensor2d } from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';

import { innerStep, type InnerState } from '../../src/adam';
import { Adaptation, type Task } from '../../src/adapt';
import { summedCrossEntropy } from '../../src/layers';
import {
  encodeImages,
  firstOutputs,
  initialParts,
  logits,
  netSize,
  partShapes,
  size,
  split,
  type Part,
} from '../../src/network';
import { distance, modelFor, python, ruleOf, startInNode } from './python';

const { net } = python;
const pixels = net.height * net.width;
const images = Float32Array.from(python.images);
const examples = images.subarray(0, images.length - pixels);
const query = images.subarray(images.length - pixels);

test('the flat vector is cut up as in Python', () => {
  const shapes = partShapes(net);
  expect(shapes.map((part) => part.name)).toEqual(python.parts.map((part) => part.name));
  expect(shapes.map((part) => size(part.shape))).toEqual(python.parts.map((p) => size(p.shape)));
  expect(netSize(net)).toBe(python.weights.length);
});

test('a network with fewer classes has the first outputs', () => {
  const flat = Float32Array.from({ length: netSize(net) }, (_, i) => i);
  const whole = split(net, flat);
  const part = firstOutputs(net, whole, 2);
  const [kernel, bias] = [part.at(-2)!, part.at(-1)!];
  expect(kernel.shape).toEqual([whole.at(-2)!.shape[0], 2]);
  const columns = Array.from(whole.at(-2)!.values).filter((_, i) => i % 3 < 2);
  expect(Array.from(kernel.values)).toEqual(columns);
  expect(Array.from(bias.values)).toEqual(Array.from(whole.at(-1)!.values.slice(0, 2)));
  expect(part.slice(0, -2)).toEqual(whole.slice(0, -2));
});

test('random weights are Glorot uniform', () => {
  const paper = { height: 28, width: 28, filters: 64, blocks: 4, way: 5 };
  for (const { name, shape, values } of initialParts(paper, 0)) {
    if (name.endsWith('gamma')) expect(new Set(values)).toEqual(new Set([1]));
    if (name.endsWith('beta') || name.endsWith('bias')) {
      expect(new Set(values)).toEqual(new Set([0]));
    }
    if (!name.endsWith('kernel')) continue;
    const outputs = shape[1]! * (name.startsWith('dense') ? 1 : 9);
    const limit = Math.sqrt(6 / (shape[0]! + outputs));
    expect(Math.max(...values)).toBeLessThan(limit);
    expect(Math.max(...values)).toBeGreaterThan(0.97 * limit);
    const variance = values.reduce((sum, x) => sum + x * x, 0) / values.length;
    expect(variance / (limit ** 2 / 3)).toBeCloseTo(1, 0);
  }
});

describe.each(['wasm', 'cpu'] as const)('on %s', (backend) => {
  beforeAll(() => startInNode(backend));

  test.each(Object.keys(python.runs))('inner steps are those of Python: %s', async (name) => {
    const run = python.runs[name]!;
    const model = modelFor(run);
    const tensors = (parts: readonly Part[]) =>
      firstOutputs(net, parts, run.classes).map((p) => tensor(p.values, [...p.shape]));
    let state: InnerState = {
      weights: tensors(model.weights),
      secondMoment: tensors(model.secondMoment),
      time: model.time,
    };
    for (const [i, batch] of python.batches.entries()) {
      const chosen = batch.flatMap((k) => Array.from(images.slice(k * pixels, (k + 1) * pixels)));
      const input = encodeImages(net, Float32Array.from(chosen));
      const rows = batch.map((k) =>
        Array.from({ length: run.classes }, (_, c) => +(c === run.labels[k])),
      );
      const targets = tensor2d(rows);
      const step = innerStep(ruleOf(run), state, (...weights) =>
        summedCrossEntropy(logits(net, weights, input), targets),
      );
      expect((await step.loss.data())[0]).toBeCloseTo(run.losses[i]!, 4);
      state = step.state;
    }
    expect(state.time).toBe(python.time + python.batches.length);
    for (const field of ['weights', 'secondMoment'] as const) {
      const wanted = firstOutputs(net, split(net, Float32Array.from(run[field])), run.classes);
      for (const [i, part] of wanted.entries()) {
        expect(distance(await state[field][i]!.data(), part.values), part.name).toBeLessThan(1e-4);
      }
    }
    const scores = await logits(net, state.weights, encodeImages(net, images)).data();
    expect(distance(scores, run.scores.flat())).toBeLessThan(1e-4);
  });

  const taskOf = (name: string): Task => {
    const run = python.runs[name]!;
    const { labels, classes } = run;
    const task = { images: examples, labels, classes, rate: run.rule.rate, steps: 3 };
    return { ...task, start: 'trained', batches: python.batches };
  };

  test.each(Object.keys(python.runs))('classifying beside the examples: %s', async (name) => {
    const run = python.runs[name]!;
    const adaptation = new Adaptation(modelFor(run), taskOf(name));
    for (const loss of run.losses) {
      expect(adaptation.finished).toBe(false);
      expect(await adaptation.step()).toBeCloseTo(loss / 4, 4);
    }
    expect(adaptation.finished).toBe(true);
    const scores = await adaptation.scores(query);
    expect(distance(scores, run.scores.at(-1)!)).toBeLessThan(1e-4);
    adaptation.dispose();
  });

  test('nothing is left behind', async () => {
    const run = python.runs['adam']!;
    const before = memory().numTensors;
    const adaptation = new Adaptation(modelFor(run), taskOf('adam'));
    const started = memory().numTensors;
    await adaptation.step();
    await adaptation.scores(query);
    expect(memory().numTensors).toBe(started);
    adaptation.dispose();
    expect(memory().numTensors).toBe(before);
  });

  test('random weights are random, without Adam’s memory', async () => {
    const run = python.runs['adam']!;
    const adaptation = new Adaptation(modelFor(run), { ...taskOf('adam'), start: 'random' });
    const before = await adaptation.scores(query);
    await adaptation.step();
    // With v = 0 every weight moves by the rate, whatever its gradient: far in one step.
    expect(distance(await adaptation.scores(query), before)).toBeGreaterThan(0.01);
    adaptation.dispose();
  });
});
