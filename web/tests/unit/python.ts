/** What Python computed (scripts/fixture.py), and TensorFlow.js in Node to compare with. */

import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { ready, setBackend } from '@tensorflow/tfjs-core';
import { readFileSync } from 'node:fs';

import type { InnerRule } from '../../src/adam';
import type { Model } from '../../src/model';
import { split, type Net } from '../../src/network';

interface PythonRun {
  readonly rule: { readonly rate: number; readonly sgd: boolean; readonly weight_decay: number };
  readonly classes: number;
  readonly labels: number[];
  readonly losses: number[];
  readonly weights: number[];
  readonly secondMoment: number[];
  readonly scores: number[][];
}

interface Python {
  readonly net: Net;
  readonly parts: readonly { readonly name: string; readonly shape: number[] }[];
  /** [n + 1, height * width]: the last one has no label. */
  readonly images: number[];
  readonly batches: number[][];
  readonly time: number;
  readonly weights: number[];
  readonly secondMoment: number[];
  readonly runs: Readonly<Record<string, PythonRun>>;
  readonly shrunk: readonly { readonly drawing: string; readonly image: string }[];
}

const file = new URL('../fixtures/python.json', import.meta.url);
export const python = JSON.parse(readFileSync(file, 'utf8')) as Python;

export function ruleOf({ rule }: PythonRun): InnerRule {
  return { rate: rule.rate, sgd: rule.sgd, weightDecay: rule.weight_decay };
}

/** The model that a run in Python starts from. */
export function modelFor(run: PythonRun): Model {
  return {
    net: python.net,
    weights: split(python.net, Float32Array.from(python.weights)),
    secondMoment: split(python.net, Float32Array.from(python.secondMoment)),
    time: python.time,
    rule: ruleOf(run),
    evaluation: { steps: 3, batch: 4, replacement: false },
    outerSteps: 1,
  };
}

/** Bits in base64, the highest of a byte first. */
export function bits(packed: string, count: number): number[] {
  const bytes = Buffer.from(packed, 'base64');
  return Array.from({ length: count }, (_, i) => (bytes[i >> 3]! >> (7 - (i & 7))) & 1);
}

export async function startInNode(backend: 'cpu' | 'wasm'): Promise<void> {
  const wasm = new URL('../../node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url);
  if (backend === 'wasm') setWasmPaths(wasm.pathname);
  await setBackend(backend);
  await ready();
}

/** The largest difference of two lists of numbers. */
export function distance(some: ArrayLike<number>, others: ArrayLike<number>): number {
  if (some.length !== others.length) throw new Error(`${some.length} and ${others.length} numbers`);
  return Math.max(...Array.from(some, (value, i) => Math.abs(value - others[i]!)));
}
