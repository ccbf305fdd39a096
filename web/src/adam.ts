/** The inner optimizers of supervised_reptile/algorithms/inner_loop.py: one step, as a pure function. */

import {
  add,
  div,
  mul,
  sqrt,
  square,
  sub,
  tidy,
  valueAndGrads,
  type Scalar,
  type Tensor,
} from '@tensorflow/tfjs-core';

export const ADAM_BETA2 = 0.999;
export const ADAM_EPSILON = 1e-8;

/** How one inner step moves the weights. */
export interface InnerRule {
  readonly rate: number;
  /** Plain SGD; else Adam with beta1 = 0. */
  readonly sgd: boolean;
  /** Weights are multiplied by it before the step. */
  readonly weightDecay: number;
}

/** What inner steps change. */
export interface InnerState {
  readonly weights: readonly Tensor[];
  /** Adam's v. */
  readonly secondMoment: readonly Tensor[];
  /** Adam's t: inner steps taken so far, training included. */
  readonly time: number;
}

/**
 * One step on `loss`. Returns the new state, whose tensors the caller owns, and the loss before
 * the step; disposes nothing of `state`.
 */
export function innerStep(
  rule: InnerRule,
  state: InnerState,
  loss: (...weights: Tensor[]) => Scalar,
): { state: InnerState; loss: Scalar } {
  const time = state.time + 1;
  let [weights, secondMoment]: [Tensor[], Tensor[]] = [[], []];
  const value = tidy(() => {
    const decay = rule.weightDecay;
    const start = state.weights.map((w) => (decay === 1 ? w : mul(w, decay)));
    const { value, grads } = valueAndGrads(loss)(start);
    secondMoment = state.secondMoment.map((v, i) =>
      rule.sgd ? v.clone() : add(mul(v, ADAM_BETA2), mul(square(grads[i]!), 1 - ADAM_BETA2)),
    );
    const rate = rule.sgd ? rule.rate : rule.rate * Math.sqrt(1 - ADAM_BETA2 ** time);
    weights = start.map((w, i) => {
      const slope = grads[i]!;
      const step = rule.sgd ? slope : div(slope, add(sqrt(secondMoment[i]!), ADAM_EPSILON));
      return sub(w, mul(step, rate));
    });
    return [value, ...weights, ...secondMoment] as Tensor[];
  })[0] as Scalar;
  return { state: { weights, secondMoment, time }, loss: value };
}
