import { expect, test } from 'vitest';

import { readDocument } from '../../src/document';

function read(text: string): object {
  return readDocument('it.json', new TextEncoder().encode(text));
}

test.each(['{"a": 1', '', 'null', '[]', '3', '"{}"'])(
  'what is no object is noticed: %s',
  (text) => {
    expect(() => read(text)).toThrow('it.json is not as it was written');
  },
);

test('the checksum that older exports have is ignored', () => {
  expect(read('{"a": 1, "crc32": "00000000"}')).toMatchObject({ a: 1 });
});
