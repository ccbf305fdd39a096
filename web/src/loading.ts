/** Files of the page, and words for those that do not come. */

/** The content of a file. Throws an Error that names it and says what came instead. */
export async function load(
  url: URL,
  cache: RequestCache = 'default',
): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  let content: ArrayBuffer;
  try {
    response = await fetch(url, { cache });
    content = await response.arrayBuffer();
  } catch {
    throw notLoaded(url, 'no connection, or it broke off');
  }
  if (!response.ok) throw notLoaded(url, `status ${response.status}`);
  // Many hosts answer with a page of their own, and status 200, where there is no file.
  if (response.headers.get('content-type')?.startsWith('text/html')) {
    throw notLoaded(url, 'the server sent a web page instead');
  }
  return new Uint8Array(content);
}

export function notLoaded(url: URL | string, reason = ''): Error {
  return new Error(`${url} could not be loaded${reason && ` (${reason})`}.`);
}
