import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test, vi } from 'vitest';

import { loadModel } from '../../src/model';
import { netSize } from '../../src/network';
import { sha256 } from '../../src/sha256';

const NET = { image_shape: [28, 28, 1], way: 5, filters: 8, blocks: 4, pooling: false };
const COUNT = netSize({ height: 28, width: 28, filters: 8, blocks: 4, way: 5 });
const BYTES = new Uint8Array(Float32Array.from({ length: 2 * COUNT }, (_, i) => i / 7).buffer);
const MANIFEST = {
  format: 'supervised-reptile export 1',
  net: NET,
  config: {
    inner_rate: 0.001,
    sgd: false,
    weight_decay: 1,
    eval_batch: 5,
    eval_steps: 50,
    replacement: false,
  },
  time: 40,
  outer_steps: 8,
  files: { 'weights.bin': { bytes: BYTES.length, sha256: sha256(BYTES) } },
};

function serve(files: Record<string, Uint8Array | string>): void {
  vi.stubGlobal('fetch', async (url: URL) => {
    const content = files[url.pathname.replace('/somewhere/model/', '')];
    return new Response(content as BodyInit, { status: content === undefined ? 404 : 200 });
  });
}

function load(manifest: object = MANIFEST, bytes = BYTES) {
  serve({ 'export.json': JSON.stringify(manifest), 'weights.bin': bytes });
  return loadModel('http://host/somewhere/model/');
}

afterEach(() => vi.unstubAllGlobals());

test('the digest is SHA-256', () => {
  for (const length of [0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003]) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) % 251);
    expect(sha256(bytes)).toBe(createHash('sha256').update(bytes).digest('hex'));
  }
});

describe('a model', () => {
  test('is read as it was exported', async () => {
    const model = await load();
    expect(model.weights[0]!.values[5]).toBeCloseTo(5 / 7, 5);
    expect(model.secondMoment[0]!.values[5]).toBeCloseTo((COUNT + 5) / 7, 2);
    expect(model.net).toEqual({ height: 28, width: 28, filters: 8, blocks: 4, way: 5 });
    expect([model.time, model.outerSteps]).toEqual([40, 8]);
    expect(model.rule).toEqual({ rate: 0.001, sgd: false, weightDecay: 1 });
    expect(model.evaluation).toEqual({ steps: 50, batch: 5, replacement: false });
  });

  test('that was damaged is refused', async () => {
    const damaged = BYTES.slice();
    damaged[1000]! ^= 1;
    await expect(load(MANIFEST, damaged)).rejects.toThrow('not as it was written');
    await expect(load(MANIFEST, BYTES.slice(0, -4))).rejects.toThrow('not as it was written');
  });

  test('that is missing is said to be', async () => {
    serve({});
    await expect(loadModel('http://host/somewhere/model/')).rejects.toThrow('reptile export');
  });

  test('that cannot read what is drawn is refused', async () => {
    for (const side of [20, 84]) {
      const image_shape = [side, side, 1];
      await expect(load({ ...MANIFEST, net: { ...NET, image_shape } })).rejects.toThrow('Omniglot');
    }
    await expect(load({ ...MANIFEST, drawings: false })).rejects.toThrow('Omniglot');
    await expect(load({ ...MANIFEST, drawings: true })).resolves.toBeDefined();
    await expect(load({ ...MANIFEST, net: { ...NET, way: 1 } })).rejects.toThrow('one class');
  });

  test('of another format, network or size is refused', async () => {
    await expect(load({ ...MANIFEST, format: 'other' })).rejects.toThrow('another format');
    await expect(load({ ...MANIFEST, net: { ...NET, pooling: true } })).rejects.toThrow('Omniglot');
    await expect(load({ ...MANIFEST, net: { ...NET, filters: 9 } })).rejects.toThrow('instead of');
  });
});
