/**
 * The paper's Omniglot classifier as a pure function of (weights, images).
 *
 * Four blocks of 3x3 convolution with stride 2, batch norm and ReLU, then one dense layer: the
 * network of supervised_reptile/networks/conv4.py, whose flat vector of weights is cut up here.
 */

import { keep, tensor2d, tidy, type Tensor } from '@tensorflow/tfjs-core';

import {
  batchNormRelu,
  constantProduct,
  dense,
  patches,
  patchSelection,
  product,
  type Selection,
} from './layers';
import { imagePatches, outputSize, TAPS } from './patches';
import { randomNumbers } from './random';

export interface Net {
  readonly height: number;
  readonly width: number;
  readonly filters: number;
  readonly blocks: number;
  /** Outputs of the dense layer. */
  readonly way: number;
}

/** A weight, or Adam's value for each of its numbers. Matrices are [inputs, outputs]. */
export interface Part {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Name and shape of every weight, in their order in the flat vector. */
export function partShapes(net: Net): Omit<Part, 'values'>[] {
  const shapes: Omit<Part, 'values'>[] = [];
  let [height, width, channels] = [net.height, net.width, 1];
  for (let block = 0; block < net.blocks; block++) {
    shapes.push(
      { name: `block${block}/kernel`, shape: [TAPS * channels, net.filters] },
      { name: `block${block}/gamma`, shape: [net.filters] },
      { name: `block${block}/beta`, shape: [net.filters] },
    );
    [height, width, channels] = [outputSize(height), outputSize(width), net.filters];
  }
  shapes.push(
    { name: 'dense/kernel', shape: [height * width * channels, net.way] },
    { name: 'dense/bias', shape: [net.way] },
  );
  return shapes;
}

export function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** How many weights the network has. */
export function netSize(net: Net): number {
  return partShapes(net).reduce((total, { shape }) => total + size(shape), 0);
}

/** The flat vector, [netSize(net)], as parts. */
export function split(net: Net, flat: Float32Array): Part[] {
  let start = 0;
  return partShapes(net).map(({ name, shape }) => {
    const values = flat.slice(start, (start += size(shape)));
    return { name, shape, values };
  });
}

/** The same weights with only the first `classes` outputs. */
export function firstOutputs(net: Net, parts: readonly Part[], classes: number): Part[] {
  return parts.map((part) => {
    if (!part.name.startsWith('dense/')) return part;
    const shape = [...part.shape.slice(0, -1), classes];
    return {
      ...part,
      shape,
      values: part.values.filter((_, i) => i % net.way < classes),
    };
  });
}

/** A network that has learnt nothing: Glorot uniform kernels, gamma 1, all biases 0. */
export function initialParts(net: Net, seed: number): Part[] {
  const random = randomNumbers(seed);
  return partShapes(net).map(({ name, shape }) => {
    const values = new Float32Array(size(shape)).fill(name.endsWith('gamma') ? 1 : 0);
    if (name.endsWith('kernel')) {
      const [inputs, outputs] = shape as [number, number];
      // A filter's gradient arrives at nine positions: Glorot counts them as outputs.
      const reach = name.startsWith('dense') ? outputs : TAPS * outputs;
      const limit = Math.sqrt(6 / (inputs + reach));
      values.forEach((_, i) => (values[i] = limit * (2 * random() - 1)));
    }
    return { name, shape, values };
  });
}

/** Patches of images [n * height * width], ready for `logits`: made once, used at every step. */
export function encodeImages(net: Net, images: Float32Array): Tensor {
  const { values, rows } = imagePatches(images, net.height, net.width);
  return tensor2d(values, [rows, TAPS]);
}

/**
 * Class scores [n, classes] of images given as `encodeImages`.
 *
 * Batch norm uses the statistics of these images: what is in the batch matters.
 */
export function logits(net: Net, weights: readonly Tensor[], images: Tensor): Tensor {
  return tidy(() => {
    let [height, width] = [outputSize(net.height), outputSize(net.width)];
    let x = constantProduct(images, weights[0]!);
    x = batchNormRelu(x, weights[1]!, weights[2]!);
    for (let block = 1; block < net.blocks; block++) {
      const [kernel, gamma, beta] = weights.slice(3 * block) as [Tensor, Tensor, Tensor];
      x = product(patches(x, selectionFor(height, width)), kernel);
      x = batchNormRelu(x, gamma, beta);
      [height, width] = [outputSize(height), outputSize(width)];
    }
    return dense(x, weights.at(-2)!, weights.at(-1)!);
  });
}

const selections = new Map<string, Selection>();

/** Made once and kept: a network meets only a few sizes. */
function selectionFor(height: number, width: number): Selection {
  const key = `${height}x${width}`;
  const known = selections.get(key);
  if (known) return known;
  const made = patchSelection(height, width);
  keep(made.forward);
  keep(made.backward);
  selections.set(key, made);
  return made;
}
