import { readFileSync } from 'node:fs';

import { defineConfig, type Plugin } from 'vite';

/**
 * The same policy as the demo server's header, for hosts that send none: nothing is loaded from
 * or sent to anywhere else. Not while developing, when Vite injects scripts and styles.
 */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; " +
  "connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'";

function contentSecurityPolicy(): Plugin {
  const attrs = { 'http-equiv': 'Content-Security-Policy', content: POLICY };
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [{ tag: 'meta', attrs, injectTo: 'head-prepend' }],
  };
}

/** A stylesheet asked for without CORS also comes where the page is a file or in a sandbox. */
function stylesheetWithoutCors(): Plugin {
  return {
    name: 'stylesheet-without-cors',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler: (html) => html.replace('rel="stylesheet" crossorigin', 'rel="stylesheet"'),
    },
  };
}

const LICENCES = 'public/licenses.txt';

/** Whatever becomes part of the page must be named, with its licence, in the file that goes along. */
function licencesOfEverything(): Plugin {
  return {
    name: 'licences-of-everything',
    apply: 'build',
    generateBundle(_, bundle) {
      const named = readFileSync(LICENCES, 'utf8');
      for (const part of Object.values(bundle)) {
        for (const module of part.type === 'chunk' ? part.moduleIds : []) {
          const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(module)?.[1];
          if (name && !named.includes(`\n${name} `)) {
            this.error(`${name} is part of the page and not named in ${LICENCES}`);
          }
        }
      }
    },
  };
}

export default defineConfig({
  base: './', // works below any address
  plugins: [contentSecurityPolicy(), stylesheetWithoutCors(), licencesOfEverything()],
  worker: { format: 'es', plugins: () => [licencesOfEverything()] },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // data: addresses are not allowed by the policy
    chunkSizeWarningLimit: 2000,
    modulePreload: { polyfill: false },
  },
});
