/**
 * JSON documents that hold the checksum of their own content, as the Python package writes them
 * (`documents.py`): "crc32" is the CRC-32 of the other members, as JSON with sorted keys and no
 * spaces.
 */

const CRC = 'crc32';
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;
const POLYNOMIAL = 0xedb88320; // of CRC-32, its bits in reverse

/** The content of a document. Throws an Error if it is not as it was written. */
export function readDocument(name: string, bytes: Uint8Array): unknown {
  const text = new TextDecoder().decode(bytes);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw damaged(name);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw damaged(name);
  // Without a checksum it was written by an older program, or by hand: it is taken as it is.
  const sum: unknown = Reflect.get(content, CRC);
  if (sum !== undefined && sum !== crc32(new TextEncoder().encode(withoutSum(text)))) {
    throw damaged(name);
  }
  return content;
}

/** An Error for a file that does not hold what was written into it. */
export function damaged(name: string): Error {
  return new Error(
    `${name} is not as it was written: reload the page, or export the weights again.`,
  );
}

/** CRC-32, as 8 hexadecimal digits. */
export function crc32(bytes: Uint8Array): string {
  let rest = -1;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? POLYNOMIAL : 0);
  }
  return (~rest >>> 0).toString(16).padStart(8, '0');
}

/**
 * The text that the checksum is of. Numbers keep their digits: Python writes 1.0 where JavaScript
 * would write 1.
 */
function withoutSum(text: string): string {
  const tokens = text.match(TOKENS)!;
  let next = 0;

  function value(): string {
    const token = tokens[next++]!;
    if (token === '{') return `{${members().join(',')}}`;
    if (token === '[') return `[${listed(']', value).join(',')}]`;
    return token;
  }

  function members(): string[] {
    const pairs = listed('}', () => {
      const key = tokens[next]!;
      next += 2; // the colon, too
      return [key, value()] as const;
    });
    const outermost = next === tokens.length;
    return pairs
      .filter(([key]) => !outermost || key !== `"${CRC}"`)
      .sort(([one], [other]) => (JSON.parse(one) < JSON.parse(other) ? -1 : 1))
      .map((pair) => pair.join(':'));
  }

  /** What stands before the bracket `end`. */
  function listed<T>(end: string, read: () => T): T[] {
    const found: T[] = [];
    while (tokens[next] !== end) {
      if (tokens[next] === ',') next++;
      found.push(read());
    }
    next++;
    return found;
  }

  return value();
}
