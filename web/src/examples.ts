/** Between the page's classes, some of which may be empty, and the learner's. */

import type { Answer } from './answer';
import { IMAGE_SIDE, imageOf } from './preprocess';
import type { Drawing } from './strokes';

/** What was drawn, in the learner's terms: the classes that have examples, renumbered. */
export interface Examples {
  readonly images: Float32Array;
  readonly labels: readonly number[];
  /** Class numbers on the page, in the order of the labels. */
  readonly classes: readonly number[];
}

/** The examples that are not empty. */
export function collect(drawings: readonly (readonly Drawing[])[]): Examples {
  const drawn = drawings.map((examples) => examples.filter((drawing) => !drawing.isEmpty));
  const classes = drawn.flatMap((examples, index) => (examples.length ? [index] : []));
  const images = classes.flatMap((index) => drawn[index]!.map((d) => imageOf(d.strokes)));
  const joined = new Float32Array(images.length * IMAGE_SIDE ** 2);
  images.forEach((image, i) => joined.set(image, i * image.length));
  const labels = classes.flatMap((index, label) => drawn[index]!.map(() => label));
  return { images: joined, labels, classes };
}

/** Scores of the classes with examples as probabilities of all `count` classes. */
export function answerOf(
  scores: readonly number[],
  classes: readonly number[],
  count: number,
): Answer {
  const highest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - highest));
  const total = powers.reduce((a, b) => a + b, 0);
  const answer: (number | null)[] = Array.from({ length: count }, () => null);
  classes.forEach((index, label) => (answer[index] = powers[label]! / total));
  return answer;
}
