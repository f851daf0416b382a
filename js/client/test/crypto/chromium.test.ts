// Both clients, sealed, in a real browser, against the door itself: with the browser's own ML-KEM, and nothing from noble.
import { chromium } from 'playwright-core'
import { expect, test } from 'vitest'
import { bundle } from '../parity/bundle.js'
import { door } from './door.js'
import { expected } from './scenarios.js'

test('in Chromium both clients talk sealed to the door', { timeout: 240_000 }, async () => {
  const script = await bundle('../crypto/page.ts', { globalName: 'seal' })
  const peer = await door()
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless=new', '--disable-gpu', '--no-proxy-server', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])],
  })
  try {
    const page = await browser.newPage({ ignoreHTTPSErrors: true })
    await page.goto(`${peer.secure}/page`)
    await page.addScriptTag({ content: script })
    for (const name of Object.keys(expected)) {
      const got = await page.evaluate(
        ([which, to]) => (globalThis as unknown as { seal: typeof import('./page.js') }).seal.scenarios[which as string]!(to as never),
        [name, { url: peer.secure, pin: peer.pin }] as const,
      )
      expect(got, name).toEqual(expected[name])
    }
  } finally {
    await browser.close()
    peer.stop()
  }
})
