/**
 * The network's layers, with gradients of their own.
 *
 * Only kernels that every TensorFlow.js backend has are used, in the form that its WebAssembly
 * backend runs fast: matrix products without its transposing flags (those take a slow path),
 * sums over rows as products with a row of ones, and patches by looking up rows, forward and
 * backward. Rows are output positions, image by image; columns are channels.
 */

import {
  add,
  concat,
  customGrad,
  div,
  exp,
  fill,
  log,
  matMul,
  max,
  mul,
  relu,
  reshape,
  rsqrt,
  square,
  step,
  sub,
  sum,
  tensor2d,
  transpose,
  unstack,
  type Scalar,
  type Tensor,
  type Tensor2D,
} from '@tensorflow/tfjs-core';

import { patchPixels, TAPS } from './patches';

export const BATCH_NORM_EPSILON = 1e-3;

/**
 * A function of tensors with its gradient spelled out.
 *
 * TensorFlow.js disposes of what the forward pass made, so a gradient sees only what is in `keep`.
 */
interface WithGradient {
  readonly value: Tensor;
  readonly keep: Tensor[];
  readonly gradient: (upstream: Tensor, kept: Tensor[]) => Tensor[];
}

type Layer = (...inputs: Tensor[]) => WithGradient;

function differentiable(layer: Layer): (...inputs: Tensor[]) => Tensor {
  return customGrad((...inputsAndSave) => {
    const inputs = inputsAndSave.slice(0, -1) as Tensor[];
    const save = inputsAndSave.at(-1) as unknown as (tensors: Tensor[]) => void;
    const { value, keep, gradient } = layer(...inputs);
    save(keep);
    return {
      value,
      gradFunc: (upstream: Tensor, kept: Tensor[]) => gradient(upstream, kept),
    };
  });
}

/** left' @ right, [rows, a] and [rows, b] -> [a, b]. */
function innerProduct(left: Tensor, right: Tensor): Tensor {
  return matMul(transpose(left as Tensor2D), right);
}

/** left @ right', [rows, a] and [b, a] -> [rows, b]. */
function outerProduct(left: Tensor, right: Tensor): Tensor {
  return matMul(left, transpose(right as Tensor2D));
}

/**
 * Sums over rows, [rows, columns] -> [1, columns], each divided by `divisor`.
 *
 * In two stages of about as many terms: a product adds one after the other, and what rounding
 * loses grows with their number. `x` may be the right side of no other product: WebAssembly's
 * remember what they made of it, whatever its shape.
 */
function sumRows(x: Tensor, divisor = 1): Tensor {
  const [rows, columns] = x.shape as [number, number];
  const group = largestDivisor(rows);
  const groups = rows / group;
  const first = matMul(fill([1, groups], 1), reshape(x, [groups, group * columns]));
  return matMul(fill([1, group], 1 / divisor), reshape(first, [group, columns]));
}

/** The largest divisor of a count that is not above its square root. */
function largestDivisor(count: number): number {
  let divisor = Math.floor(Math.sqrt(count));
  while (count % divisor) divisor -= 1;
  return divisor;
}

/** A matrix product with a constant on the left: [rows, a] and a weight [a, b] -> [rows, b]. */
export function constantProduct(constant: Tensor, weight: Tensor): Tensor {
  return differentiable((w) => ({
    value: matMul(constant, w!),
    keep: [],
    gradient: (upstream) => [innerProduct(constant, upstream)],
  }))(weight);
}

/** A matrix product, [rows, a] and [a, b] -> [rows, b]. */
export const product = differentiable((x, w) => ({
  value: matMul(x!, w!),
  keep: [x!, w!],
  gradient: (upstream, [x, w]) => [outerProduct(upstream, w!), innerProduct(x!, upstream)],
}));

/**
 * Patches of feature maps, [images * pixels, channels] -> [images * positions, 9 * channels].
 *
 * `selection` is `patchSelection` of their size. A product for each image: WebAssembly has no
 * fast product of stacks of matrices, and looking rows up takes twice the time.
 */
export function patches(x: Tensor, selection: Selection): Tensor {
  const channels = x.shape[1]!;
  const [entries, pixels] = selection.forward.shape as [number, number];
  return differentiable((x) => ({
    value: reshape(ofEachImage(selection.forward, x!, pixels), [-1, TAPS * channels]),
    keep: [],
    gradient: (upstream) => [
      ofEachImage(selection.backward, reshape(upstream, [-1, channels]), entries),
    ],
  }))(x);
}

/** 0/1 matrices that make patches of an image's pixels. */
export interface Selection {
  /** [positions * 9, pixels] */
  readonly forward: Tensor2D;
  /** Its transpose. */
  readonly backward: Tensor2D;
}

/** The selection for images of this size; the caller owns its tensors. */
export function patchSelection(height: number, width: number): Selection {
  const pixels = patchPixels(height, width);
  const matrix = new Float32Array(pixels.length * height * width);
  pixels.forEach((pixel, entry) => {
    if (pixel < height * width) matrix[entry * height * width + pixel] = 1;
  });
  const forward = tensor2d(matrix, [pixels.length, height * width]);
  return { forward, backward: transpose(forward) };
}

/** matrix @ image for each image, of which `rows` rows of `images` are one. */
function ofEachImage(matrix: Tensor2D, images: Tensor, rows: number): Tensor {
  const each = unstack(reshape(images, [-1, rows, images.shape[1]!]));
  return concat(
    each.map((image) => matMul(matrix, image)),
    0,
  );
}

/**
 * Batch norm with the statistics of the rows at hand, then ReLU.
 *
 * x [rows, channels], gamma and beta [channels] -> [rows, channels].
 */
export const batchNormRelu = differentiable((x, gamma, beta) => {
  const rows = x!.shape[0]!;
  const centred = sub(x!, sumRows(x!, rows));
  const scale = rsqrt(add(sumRows(square(centred), rows), BATCH_NORM_EPSILON));
  const normal = mul(centred, scale);
  const value = relu(add(mul(normal, gamma!), beta!));
  return {
    value,
    keep: [value, normal, scale, gamma!],
    gradient: (upstream, [value, normal, scale, gamma]) => {
      const passed = mul(upstream, step(value!));
      const forBeta = sumRows(passed);
      const forGamma = sumRows(mul(passed, normal!));
      const explained = div(add(forBeta, mul(normal!, forGamma)), rows);
      const forX = mul(mul(gamma!, scale!), sub(passed, explained));
      return [forX, reshape(forGamma, gamma!.shape), reshape(forBeta, gamma!.shape)];
    },
  };
});

/** The last layer: rows of an image side by side, then affine. [n * p, c] -> [n, classes]. */
export const dense = differentiable((x, kernel, bias) => {
  const flat = reshape(x!, [-1, kernel!.shape[0]!]);
  return {
    value: add(matMul(flat, kernel!), bias!),
    keep: [flat, kernel!],
    gradient: (upstream, [flat, kernel]) => [
      reshape(outerProduct(upstream, kernel!), x!.shape),
      innerProduct(flat!, upstream),
      reshape(matMul(fill([1, upstream.shape[0]!], 1), upstream), bias!.shape),
    ],
  };
});

/** Probabilities of the classes, [n, classes]. */
export function probabilities(scores: Tensor): Tensor {
  const powers = exp(sub(scores, max(scores, 1, true)));
  return div(powers, sum(powers, 1, true));
}

/**
 * The inner loss: cross-entropy SUMMED over the examples, as in the Python program.
 *
 * `targets` [n, classes] hold 1 where the class is right; they are constants.
 */
export function summedCrossEntropy(scores: Tensor, targets: Tensor): Scalar {
  return differentiable((s) => {
    const shifted = sub(s!, max(s!, 1, true));
    const logSum = log(sum(exp(shifted), 1, true));
    return {
      value: sum(mul(targets, sub(logSum, shifted))),
      keep: [s!],
      gradient: (upstream, [s]) => [mul(upstream, sub(probabilities(s!), targets))],
    };
  })(scores) as Scalar;
}
