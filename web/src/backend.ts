/** Where TensorFlow.js computes: WebGPU or WebGL where there is a GPU, else WebAssembly. */

import { env, ready, setBackend } from '@tensorflow/tfjs-core';

import { BACKEND_NAMES, BACKENDS, type Backend } from './messages';

/** Graphics "cards" that are programs: WebAssembly is faster. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Starts the backend that is `wanted`, or else the best there is. */
export async function startBackend(wanted?: Backend): Promise<Backend> {
  for (const backend of wanted ? [wanted] : BACKENDS) {
    try {
      if (!wanted && !(await promises[backend]())) continue;
      await register[backend]();
      if (!(await setBackend(backend))) continue;
      await ready();
      if (backend === 'webgl' && !env().getBool('WEBGL_RENDER_FLOAT32_ENABLED')) continue;
      return backend;
    } catch (error) {
      console.info(`${BACKEND_NAMES[backend]} does not work here:`, error);
    }
  }
  throw new Error('Neither a GPU nor WebAssembly can be used in this browser.');
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
    const [{ setWasmPaths }, simd, plain] = await Promise.all([
      import('@tensorflow/tfjs-backend-wasm'),
      import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm?url'),
      import('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm?url'),
    ]);
    // Threads of WebAssembly would need headers that few web hosts send.
    env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    setWasmPaths({
      'tfjs-backend-wasm-threaded-simd.wasm': simd.default, // wants a name, never asks for it
      'tfjs-backend-wasm-simd.wasm': simd.default,
      'tfjs-backend-wasm.wasm': plain.default,
    });
  },
};
