/** Where TensorFlow.js computes: WebGPU or WebGL where there is a GPU, else WebAssembly. */

import plain from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url';
import simd from '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url';
import { env, ready, setBackend } from '@tensorflow/tfjs-core';

import { load, notLoaded } from './loading';
import { BACKEND_NAMES, BACKENDS, type Backend } from './messages';

/** Graphics "cards" that are programs: WebAssembly is faster. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/**
 * Starts the backend that is `wanted`, or else the best there is. Throws an Error that names what
 * could not be loaded, or else blames the browser.
 */
export async function startBackend(wanted?: Backend): Promise<Backend> {
  let missing: unknown;
  for (const backend of wanted ? [wanted] : BACKENDS) {
    try {
      if (!wanted && !(await promises[backend]())) continue;
      await register[backend]().catch((error: unknown) => {
        missing = error;
        throw error;
      });
      if (!(await setBackend(backend))) continue;
      await ready();
      if (backend === 'webgl' && !env().getBool('WEBGL_RENDER_FLOAT32_ENABLED')) continue;
      return backend;
    } catch (error) {
      console.info(`${BACKEND_NAMES[backend]} does not work here:`, error);
    }
  }
  if (missing) throw missing;
  if (wanted && wanted !== 'wasm') {
    throw new Error(`${BACKEND_NAMES[wanted]} cannot be used in this browser.`);
  }
  await checkWasm();
  throw new Error('Neither a GPU nor WebAssembly can be used in this browser.');
}

/** TensorFlow.js does not say why WebAssembly does not start: was its file there? */
async function checkWasm(): Promise<void> {
  for (const file of [simd, plain]) {
    const url = new URL(file, self.location.href);
    const content = await load(url, 'reload');
    if (!WebAssembly.validate(content)) throw notLoaded(url, 'what came is not WebAssembly');
  }
}

/** Whether a backend is worth loading. */
const promises: Readonly<Record<Backend, () => Promise<boolean>>> = {
  webgpu: async () => {
    const gpu = (navigator as { gpu?: GpuAccess }).gpu;
    const adapter = await gpu?.requestAdapter();
    const info = adapter?.info ?? {};
    const fallback = info.isFallbackAdapter ?? adapter?.isFallbackAdapter ?? false;
    return !!adapter && !fallback && !SOFTWARE.test(Object.values(info).join(' '));
  },
  webgl: async () => {
    if (typeof OffscreenCanvas === 'undefined') return false;
    const options = { failIfMajorPerformanceCaveat: true };
    const context = new OffscreenCanvas(1, 1).getContext('webgl2', options);
    if (!context) return false;
    const extension = context.getExtension('WEBGL_debug_renderer_info');
    const name = context.getParameter(extension?.UNMASKED_RENDERER_WEBGL ?? context.RENDERER);
    context.getExtension('WEBGL_lose_context')?.loseContext();
    return !SOFTWARE.test(String(name));
  },
  wasm: async () => true,
};

/** As much of WebGPU's interface as is asked for here. */
interface GpuAccess {
  requestAdapter(): Promise<null | {
    isFallbackAdapter?: boolean;
    info?: { isFallbackAdapter?: boolean; [name: string]: unknown };
  }>;
}

/** Loads a backend's code. */
const register: Readonly<Record<Backend, () => Promise<unknown>>> = {
  webgpu: () => import('@tensorflow/tfjs-backend-webgpu'),
  webgl: () => import('@tensorflow/tfjs-backend-webgl'),
  wasm: async () => {
    const { setWasmPaths } = await import('@tensorflow/tfjs-backend-wasm');
    // Threads of WebAssembly would need headers that few web hosts send.
    env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    setWasmPaths({
      'tfjs-backend-wasm-threaded-simd.wasm': simd, // wants a name, never asks for it
      'tfjs-backend-wasm-simd.wasm': simd,
      'tfjs-backend-wasm.wasm': plain,
    });
  },
};
