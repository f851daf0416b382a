// Parity in a real browser: what differs from the standard, and what differs between the two.
import { chromium } from 'playwright-core'
import { expect, test } from 'vitest'
import { bundle } from './bundle.js'
import type { Compared } from './compare.js'
import { serve } from './server.js'

test('in Chromium the drop-in behaves like the platform', { timeout: 240_000 }, async () => {
  const script = await bundle('./compare.ts', { globalName: 'parity' })
  const server = await serve(path => (path === '/' ? '<!doctype html><title>parity</title>' : path === '/parity.js' ? script : undefined))
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--headless=new', '--disable-gpu', '--no-proxy-server', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])],
  })
  try {
    const page = await browser.newPage()
    await page.goto(`${server.url}/`)
    await page.addScriptTag({ url: '/parity.js' })
    const all = await page.evaluate<Compared[], string>(
      base => (globalThis as unknown as { parity: typeof import('./compare.js') }).parity.compare(base),
      server.url,
    )
    if (process.env.PARITY_PRINT)
      for (const c of all)
        if (JSON.stringify(c.dropIn) !== JSON.stringify(c.want) || JSON.stringify(c.platform) !== JSON.stringify(c.want))
          console.log(JSON.stringify(c))
    expect(all.length).toBeGreaterThan(100)
    expect(all.filter(c => JSON.stringify(c.dropIn) !== JSON.stringify(c.platform))).toEqual([])
    expect(all.filter(c => JSON.stringify(c.dropIn) !== JSON.stringify(c.want))).toEqual([])
  } finally {
    await browser.close()
    await server.stop()
  }
})
