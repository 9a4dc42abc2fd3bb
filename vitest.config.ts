import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // What needs programs besides Node; .ci/run installs them and runs these too.
    exclude: process.env.WEIR_PEERS === '1' ? [] : ['test/peers/**'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    pool: 'forks',
    // As Weir's workers have it.
    execArgv: ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'],
    // .ci/run counts the tests in this file.
    reporters: process.env.VITEST_REPORT === undefined ? ['default'] : ['default', 'json'],
    ...(process.env.VITEST_REPORT === undefined ? {} : { outputFile: { json: process.env.VITEST_REPORT } }),
  },
  ssr: { resolve: { conditions: ['source'] } },
});
