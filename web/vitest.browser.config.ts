import { defineConfig } from 'vitest/config';

/** Tests in a real browser, of a page that is being served at $REPTILE_PAGE. */
export default defineConfig({
  test: {
    include: ['tests/browser/**/*.test.ts'],
    fileParallelism: false, // one browser at a time
    testTimeout: 120_000,
    hookTimeout: 60_000,
  },
});
