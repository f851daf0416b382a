// As much of vitest as the tests of the packages use, for runtimes in which vitest itself does not run. Tests run one after
// the other, in the order of their writing; the matchers are vitest's own.
import { ASYMMETRIC_MATCHERS_OBJECT, getState, JestAsymmetricMatchers, JestChaiExpect, JestExtend, setState } from '@vitest/expect'
import * as chai from 'chai'

for (const plugin of [JestExtend, JestChaiExpect, JestAsymmetricMatchers]) chai.use(plugin)

export const expect = (value, message) => chai.expect(value, message)
Object.assign(expect, chai.expect, globalThis[ASYMMETRIC_MATCHERS_OBJECT], {
  getState: () => getState(expect),
  setState: state => setState(state, expect),
})
expect.setState({ assertionCalls: 0, currentTestName: '' })

const tests = []
const hooks = { beforeAll: [], afterAll: [], beforeEach: [], afterEach: [] }
let path = []

export const beforeAll = f => void hooks.beforeAll.push(f)
export const afterAll = f => void hooks.afterAll.push(f)
export const beforeEach = f => void hooks.beforeEach.push({ path: path.join(), f })
export const afterEach = f => void hooks.afterEach.push({ path: path.join(), f })

/** test(name, fn), test(name, options, fn), and test.each(rows)(name, fn). */
export function test(name, a, b) {
  const [options, f] = typeof a === 'function' ? [{}, a] : [a, b]
  tests.push({ name: [...path, name].join(' > '), path: path.join(), f, timeout: options?.timeout ?? 60_000 })
}
export { test as it }

export function describe(name, f) {
  path = [...path, name]
  f()
  path = path.slice(0, -1)
}

for (const f of [test, describe]) {
  f.each =
    rows =>
    (name, ...rest) => {
      const body = rest.pop()
      for (const row of rows) {
        const args = Array.isArray(row) ? row : [row]
        let n = 0
        const text = name.replace(/%[sidjo]/g, () => String(args[n++])).replace(/\$(\w+)/g, (_, k) => String(row?.[k]))
        f(text, ...rest, () => body(...args))
      }
    }
}

describe.skipIf = is => (is ? () => {} : describe)

const stubbed = new Map()
export const vi = {
  stubGlobal(name, value) {
    if (!stubbed.has(name)) stubbed.set(name, Object.getOwnPropertyDescriptor(globalThis, name))
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: true })
  },
  unstubAllGlobals() {
    for (const [name, how] of stubbed) {
      delete globalThis[name]
      if (how) Object.defineProperty(globalThis, name, how)
    }
    stubbed.clear()
  },
}

/** Runs what was written: how many passed, and what failed. */
export async function run() {
  const failed = []
  for (const f of hooks.beforeAll) await f()
  for (const t of tests) {
    const here = list => list.filter(h => t.path === h.path || h.path === '' || t.path.startsWith(`${h.path},`))
    try {
      for (const h of here(hooks.beforeEach)) await h.f()
      await bounded(t)
    } catch (error) {
      failed.push(`${t.name}: ${error?.stack ?? error}`)
    } finally {
      for (const h of here(hooks.afterEach)) await h.f()
    }
  }
  for (const f of hooks.afterAll) await f()
  return { passed: tests.length - failed.length, failed }
}

function bounded({ f, timeout }) {
  let timer
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`not within ${timeout} ms`)), timeout)
  })
  return Promise.race([f({ signal: new AbortController().signal }), late]).finally(() => clearTimeout(timer))
}
