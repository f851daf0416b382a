// What the page of chromium.test.ts runs.
export { expected, scenarios } from './scenarios.js'
