import { defineConfig } from 'vitest/config'

// The tests of real servers and browsers have a configuration of their own: they take seconds and need the binary.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/sealed/**', 'test/injection/**', 'test/chromium/**', '**/node_modules/**'],
    testTimeout: 10_000,
    maxWorkers: 2,
  },
})
