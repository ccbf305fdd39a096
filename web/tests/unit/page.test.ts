import { describe, expect, test } from 'vitest';

import { percent, spoken } from '../../src/answer';
import { answerOf, collect } from '../../src/examples';
import { SAMPLE_SETS, sampleCharacters } from '../../src/samples';
import { Drawing } from '../../src/strokes';

const drawn = () => new Drawing([[{ x: 0.1, y: 0.1 }, { x: 0.9, y: 0.6 }]]); // prettier-ignore

describe('examples', () => {
  test('are numbered among the classes that have some', () => {
    const classes = [[drawn()], [new Drawing()], [drawn(), new Drawing(), drawn()]];
    const { images, labels, classes: used } = collect(classes);
    expect(labels).toEqual([0, 1, 1]);
    expect(used).toEqual([0, 2]);
    expect(images.length).toBe(3 * 784);
  });

  test('may be none', () => {
    expect(collect([[new Drawing()], []]).classes).toEqual([]);
  });
});

describe('an answer', () => {
  test('leaves out classes without examples', () => {
    const answer = answerOf([1, 1 + Math.log(3)], [0, 2], 3);
    expect(answer[0]).toBeCloseTo(0.25);
    expect(answer[1]).toBeNull();
    expect(answer[2]).toBeCloseTo(0.75);
    expect(spoken(answer)).toBe('The network says C, 75%.');
  });

  test('bears any scores', () => {
    expect(answerOf([1000, -1000], [0, 1], 2)).toEqual([1, 0]);
  });

  test('is never more certain than it is', () => {
    expect([1, 0.9951, 0.994, 0.5, 0.004, 0].map(percent)).toEqual(
      ['>99%', '>99%', '99%', '50%', '<1%', '<1%'], // prettier-ignore
    );
  });
});

test('there are five characters to begin with, each drawn several times', () => {
  for (let set = 0; set < SAMPLE_SETS + 1; set++) {
    const characters = sampleCharacters(set);
    expect(characters.length).toBe(5);
    for (const drawings of characters) {
      expect(drawings.length).toBe(4);
      for (const { strokes, isEmpty } of drawings) {
        expect(isEmpty).toBe(false);
        for (const { x, y } of strokes.flat()) {
          expect(Math.min(x, y)).toBeGreaterThanOrEqual(0);
          expect(Math.max(x, y)).toBeLessThanOrEqual(1);
        }
      }
    }
  }
});
