import { defineConfig } from 'vitest/config'

// Tests with the real program, real servers and, in test/chromium, a real browser.
export default defineConfig({
  test: {
    include: ['test/sealed/**/*.test.ts', 'test/injection/**/*.test.ts', 'test/chromium/**/*.test.ts'],
    globalSetup: ['test/injection/setup.ts'],
    pool: 'forks', // a worker must start after the setup, to trust its authority
    server: { deps: { inline: ['graphql-ws', 'graphql'] } }, // or there are two modules graphql
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
