// Sealed from Chromium and from Node 20, 22 and 24, through the real program, to a backend that knows nothing of it.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { args, executablePath } from '../chromium/world.js'
import { bundle } from '../parity/bundle.js'
import { node } from './runtimes.js'
import { expected, type play } from './scenes.js'
import { type Stack, stack } from './stack.js'

let world: Stack
beforeAll(async () => {
  world = await stack(await bundle('../sealed/page.ts', { globalName: 'sealed' }))
}, 120_000)
afterAll(() => world?.stop())

// Each message as it was sent, without a mark, a control message or a record; cut to 100 characters.
const sent = ['hello ✓', '\0\x01\ufffd', '', 'x'.repeat(100), '😀'.repeat(50), 'many', '\x01\x02\x03', 'close', 'x']
const rest = ['with a ticket', 'with another', 'still here']

/** What the backend saw of a run: that, and the application's subprotocols alone. */
function unchanged() {
  const { got, offered } = world.backend
  expect(got).toEqual([...sent, ...rest])
  expect(offered).toEqual(['chat.v2', 'chat.v1', '', '', '', ''])
  got.length = offered.length = 0
}

const runtimes: [string, string | undefined, boolean][] = [
  ['this Node', process.execPath, false],
  ['Node 22, with ML-KEM of noble', node(22), false],
  ['Node 24, with its own ML-KEM', node(24), true],
]
for (const [name, binary, native] of runtimes) {
  if (!binary) console.log(`sealed: ${name} is skipped: js/runtimes/nodes is not installed`)
  test.skipIf(!binary)(`${name}: every scene`, { timeout: 120_000 }, async () => {
    const folder = join(process.env.JS_TEST_OUT!, 'sealed')
    mkdirSync(folder, { recursive: true })
    const file = join(folder, 'program.mjs')
    const head = "import { createRequire as makeRequire } from 'node:module'\nconst require = makeRequire('file:///')\n"
    writeFileSync(file, head + (await bundle('../sealed/program.ts', { platform: 'node' })))
    const text = await new Promise<string>((done, fail) => {
      const child = spawn(binary!, [file], { env: { ...process.env, SEALED_PLACE: JSON.stringify(world.place) } })
      let all = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', d => (all += d))
      child.once('error', fail)
      child.once('close', () => done(all))
    })
    const line = text.split('\n').find(l => l.startsWith('RESULT '))
    expect(line, text).toBeDefined()
    const got = JSON.parse(line!.slice(7))
    expect(got.results).toEqual(expected)
    if (name !== 'this Node') expect(got.native).toBe(native) // its version is not ours to say
    unchanged()
  })
}

test('Chromium, with its own ML-KEM: every scene', { timeout: 120_000 }, async () => {
  const browser = await chromium.launch({ executablePath, args: [...args, world.rule] })
  try {
    const page = await browser.newPage({ ignoreHTTPSErrors: true })
    await page.goto(world.place.origin)
    await page.addScriptTag({ url: '/page.js' })
    const got = await page.evaluate(place => (globalThis as unknown as { sealed: { play: typeof play } }).sealed.play(place), world.place)
    expect(got).toEqual(expected)
    unchanged()
  } finally {
    await browser.close()
  }
})

test('the log of the door has neither tokens nor messages', () => {
  expect(world.gate.logged('hello ✓') + world.gate.logged('still here')).toBe(0)
  expect(world.gate.logged('eyJhbGci')).toBe(0)
})
