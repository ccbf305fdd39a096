import { expect, test } from 'vitest';

import { crc32, readDocument } from '../../src/document';
import { python } from './python';

const WRITTEN = python.documents.map((text) => new TextEncoder().encode(text));

function read(text: string): unknown {
  return readDocument('it.json', new TextEncoder().encode(text));
}

test('the checksum is CRC-32', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe('cbf43926'); // its check value
});

test.each(WRITTEN)('what Python wrote is read', (bytes) => {
  const content = readDocument('it.json', bytes);
  expect(content).toEqual(JSON.parse(new TextDecoder().decode(bytes)));
  expect(content).toHaveProperty('crc32');
});

test.each(WRITTEN)('a digit or letter that is not as it was written is noticed', (bytes) => {
  bytes.forEach((byte, place) => {
    if (!/[\da-z]/.test(String.fromCharCode(byte))) return;
    const other = bytes.slice();
    other[place]! ^= 1;
    // Where it is the name of the checksum that changes, there is none any more.
    if (!new TextDecoder().decode(other).includes('"crc32": "')) return;
    expect(() => readDocument('it.json', other), `byte ${place}`).toThrow('not as it was written');
  });
});

test('half a document is noticed', () => {
  const half = () => readDocument('it.json', WRITTEN[0]!.slice(0, WRITTEN[0]!.length / 2));
  expect(half).toThrow('it.json is not as it was written');
});

test.each(['null', '[]', '3', '"{}"'])('what is no object is noticed: %s', (text) => {
  expect(() => read(text)).toThrow('it.json is not as it was written');
});

test('how it is set does not matter, what it holds does', () => {
  const sum = crc32(new TextEncoder().encode('{"a":[],"b":{"crc32":1.0},"c":"{, }"}'));
  const content = { c: '{, }', b: { crc32: 1 }, a: [] };
  expect(read(`{"c":"{, }", "b" : {"crc32":1.0},\n "crc32":"${sum}","a":[ ]}`)).toMatchObject(
    content,
  );
  expect(() => read(`{"c":"{,}","b":{"crc32":1.0},"crc32":"${sum}","a":[]}`)).toThrow();
});

test('a document by hand, without a checksum, is taken as it is', () => {
  expect(read('{"a": 1}')).toEqual({ a: 1 });
});
