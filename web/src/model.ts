/** Trained weights as `reptile export --format web` writes them: export.json and weights.bin. */

import type { InnerRule } from './adam';
import { damaged, readDocument } from './document';
import { load } from './loading';
import { netSize, split, type Net, type Part } from './network';
import { IMAGE_SIDE } from './preprocess';
import { sha256 } from './sha256';

const FORMAT = 'supervised-reptile export 1';
const MANIFEST = 'export.json';
const FILE = 'weights.bin';

/** How evaluation adapts: the page's defaults. */
export interface Evaluation {
  readonly steps: number;
  /** Examples in an inner batch. */
  readonly batch: number;
  /** Whether every inner batch is drawn independently of the others. */
  readonly replacement: boolean;
}

/** What adapting starts from. */
export interface Start {
  readonly weights: readonly Part[];
  /** Adam's v. */
  readonly secondMoment: readonly Part[];
  /** Adam's t. */
  readonly time: number;
}

export interface Model extends Start {
  readonly net: Net;
  readonly rule: InnerRule;
  readonly evaluation: Evaluation;
  /** Outer steps of training behind the weights. */
  readonly outerSteps: number;
}

interface Manifest {
  readonly format: string;
  readonly net: {
    readonly image_shape: readonly [number, number, number];
    readonly way: number;
    readonly filters: number;
    readonly blocks: number;
    readonly pooling: boolean;
  };
  readonly config: {
    readonly inner_rate: number;
    readonly sgd: boolean;
    readonly weight_decay: number;
    readonly eval_batch: number;
    readonly eval_steps: number;
    readonly replacement: boolean;
  };
  /** Whether the images were drawings as in Omniglot; older exports do not say. */
  readonly drawings?: boolean;
  readonly time: number;
  readonly outer_steps: number;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

/** Reads and checks the weights in the folder `url`. Throws an Error that people can read. */
export async function loadModel(url: string): Promise<Model> {
  // The browser may have kept one of the files from an older export: then all are loaded again.
  return read(url, 'default').catch(() => read(url, 'reload'));
}

async function read(url: string, cache: RequestCache): Promise<Model> {
  const part = (name: string) =>
    load(new URL(name, url), cache).catch((error: Error) => {
      throw new Error(
        `${error.message} The trained weights belong there: ` +
          'write them with “reptile export --format web”.',
      );
    });
  const manifest = readDocument(MANIFEST, await part(MANIFEST)) as Manifest;
  if (manifest.format !== FORMAT) throw otherFormat();
  const content = await part(FILE);
  if (sha256(content) !== manifest.files?.[FILE]?.sha256) throw damaged(FILE);
  try {
    return modelOf(manifest, content);
  } catch (error) {
    throw error instanceof TypeError ? otherFormat() : error; // something is not described
  }
}

function otherFormat(): Error {
  return new Error(
    `${MANIFEST} is of another format than this page reads: reload the page, ` +
      'or export the weights with the version of the program that the page came with.',
  );
}

/** The model in a manifest and the bytes it describes. */
export function modelOf(manifest: Manifest, content: Uint8Array): Model {
  const { net: described, config } = manifest;
  const [height, width, channels] = described.image_shape;
  const fits = height === IMAGE_SIDE && width === IMAGE_SIDE && channels === 1;
  if (described.pooling || !fits || manifest.drawings === false) {
    throw new Error('These weights are not for drawings: export a run on Omniglot.');
  }
  if (described.way < 2) throw new Error('These weights know only one class.');
  const net: Net = {
    height,
    width,
    filters: described.filters,
    blocks: described.blocks,
    way: described.way,
  };
  const numbers = floats(content);
  const count = netSize(net);
  if (numbers.length !== 2 * count) {
    throw new Error(
      `${FILE} holds ${numbers.length} numbers instead of ${2 * count}: ` +
        'reload the page, or export the weights again.',
    );
  }
  return {
    net,
    weights: split(net, numbers.subarray(0, count)),
    secondMoment: split(net, numbers.subarray(count)),
    time: manifest.time,
    rule: {
      rate: config.inner_rate,
      sgd: config.sgd,
      weightDecay: config.weight_decay,
    },
    evaluation: {
      steps: config.eval_steps,
      batch: config.eval_batch,
      replacement: config.replacement,
    },
    outerSteps: manifest.outer_steps,
  };
}

/** Little-endian float32, whatever the machine's own order. */
function floats(content: Uint8Array): Float32Array {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  return Float32Array.from({ length: content.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}
