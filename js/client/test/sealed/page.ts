// What the page in Chromium runs: with the browser's own ML-KEM, and nothing from noble.
export { play } from './scenes.js'
