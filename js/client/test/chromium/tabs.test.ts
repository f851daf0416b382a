// Two tabs of one person in the demo: signed out in one, the client of the other ends, and says why.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Client, ClientOptions } from '../../src/index.js'
import { type Program, start, until } from '../injection/door.js'
import { freePort } from './tab.js'
import { args, executablePath } from './world.js'

let demo: Program
let browser: Browser
let url: string
const scratch = mkdtempSync(join(tmpdir(), 'sallyport-tabs-'))

beforeAll(async () => {
  const port = await freePort()
  url = `https://localhost:${port}`
  demo = start(join(process.env.JS_TEST_OUT!, 'sallyport'), ['demo', '--port', `${port}`, '--state', scratch])
  await demo.line(l => l.includes(url))
  browser = await chromium.launch({ executablePath, args })
})
afterAll(async () => {
  await browser?.close()
  await demo?.stop()
  rmSync(scratch, { recursive: true, force: true })
})

// What the demo's page has: the client as it is built for <script>.
type InPage = { Sallyport: { createClient(url: string, options: ClientOptions): Client }; mine: Client; ends: string[] }

const post = (page: Page, path: string, body: object) =>
  page.evaluate(
    async ([path, body]) => {
      const headers = { 'content-type': 'application/json' }
      return (await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })).status
    },
    [path, body] as const,
  )

/** Connects a client of the test's own, by the session's cookie. */
const connect = (page: Page) =>
  page.evaluate(async () => {
    const here = globalThis as unknown as InPage
    here.ends = []
    here.mine = here.Sallyport.createClient(`wss://${location.host}/chat`, { ticket: '/api/ticket' })
    here.mine.addEventListener('close', e => here.ends.push(`${e.detail.close} ${e.detail.code}`))
    await here.mine.connect()
  })

const status = (page: Page) => page.evaluate(() => (globalThis as unknown as InPage).mine.state)
const ends = (page: Page) => page.evaluate(() => (globalThis as unknown as InPage).ends)

test('SR-43: signed out in one tab, the client of the other ends as unauthenticated, and does not come back', async () => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  const one = await context.newPage()
  const two = await context.newPage()
  await one.goto(url)
  expect(await post(one, '/api/login', { who: 'ada' })).toBe(200)
  await two.goto(url)
  await connect(one)
  await connect(two)
  expect((await status(two)).status).toBe('open')

  expect(await post(one, '/api/logout', {})).toBeLessThan(300)
  for (const page of [one, two]) {
    await until('the client has ended', async () => (await status(page)).status === 'closed')
    expect(await status(page)).toMatchObject({ status: 'closed', code: 'unauthenticated' })
    expect((await ends(page))[0]).toBe('4001 auth.signed-out')
  }
  await new Promise(done => setTimeout(done, 2000))
  expect(await ends(two)).toHaveLength(2)

  // Somebody signs in again: the application asks, and it connects.
  expect(await post(one, '/api/login', { who: 'ada' })).toBe(200)
  await two.evaluate(() => (globalThis as unknown as InPage).mine.connect())
  expect((await status(two)).status).toBe('open')
  await context.close()
})
