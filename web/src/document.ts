/** JSON as the Python package writes it; older exports have a member "crc32", which is ignored. */

/** The object in a JSON file. Throws an Error if there is none. */
export function readDocument(name: string, bytes: Uint8Array): object {
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw damaged(name);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw damaged(name);
  return content;
}

/** An Error for a file that does not hold what was written into it. */
export function damaged(name: string): Error {
  return new Error(
    `${name} is not as it was written: reload the page, or export the weights again.`,
  );
}
