// The same in Chromium: a page of a trusted origin, a ticket from the door's origin, restarts while the page is open.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { expect, test } from 'vitest'
import { bundle } from '../parity/bundle.js'
import { graphql } from './backends.js'
import { door, token, until } from './door.js'

test('a page subscribes through the door, and the subscription continues over a restart', { timeout: 60_000 }, async () => {
  const script = await bundle('../injection/page.ts', { globalName: 'page' })
  const out = process.env.JS_TEST_OUT!
  const pages = createServer(
    { cert: readFileSync(join(out, 'door.pem')), key: readFileSync(join(out, 'door.key')) },
    (request, response) => {
      response.writeHead(200, { 'content-type': request.url === '/page.js' ? 'text/javascript' : 'text/html' })
      response.end(request.url === '/page.js' ? script : '<!doctype html><title>page</title><script src="/page.js"></script>')
    },
  )
  await new Promise<void>(done => pages.listen(0, '127.0.0.1', done))
  const { port } = pages.address() as AddressInfo
  const backend = await graphql()
  const gate = await door({ '/graphql': backend.port })
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--headless=new',
      '--disable-gpu',
      '--no-proxy-server',
      '--ignore-certificate-errors',
      `--host-resolver-rules=MAP app.example.com:443 127.0.0.1:${port}`,
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  })
  try {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
    await page.goto('https://app.example.com/')
    const url = `${gate.url.replace('https', 'wss')}/graphql`
    const inPage = () => page.evaluate(() => (globalThis as unknown as { page: typeof import('./page.js') }).page.seen)
    await page.evaluate(
      ([url, door, token]) => {
        ;(globalThis as unknown as { page: typeof import('./page.js') }).page.subscribe(url, door, token)
      },
      [url, gate.url, token()] as const,
    )
    await until('the first results', async () => (await inPage()).counts.length > 5)
    const before = (await inPage()).counts.length
    await gate.restart()
    await until('results after the restart', async () => (await inPage()).counts.slice(before).includes(2))
    expect(await inPage()).toMatchObject({ ends: [4200] })
    const end = await page.evaluate(
      ([url, door]) => (globalThis as unknown as { page: typeof import('./page.js') }).page.refused(url, door),
      [url, gate.url] as const,
    )
    expect(end).toEqual([1006, true, 'unauthenticated'])
  } finally {
    await browser.close()
    await Promise.all([gate.stop(), backend.stop()])
    pages.closeAllConnections()
    pages.close()
  }
})
