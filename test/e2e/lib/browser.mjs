// A real Chromium, and pages of other origins for it.
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { asRoot, certs, chromium as executablePath, out, scratch } from './env.mjs'

/**
 * Starts Chromium. map says where names are: {'app.example.com': 8443}; a name
 * may have a port, and without one it is reached on 443. Every other name is not
 * found, so that nothing leaves the machine.
 */
export async function browse(map = {}) {
  const rules = Object.entries(map).map(([name, port]) => `MAP ${name.includes(':') ? name : `${name}:443`} 127.0.0.1:${port}`)
  const browser = await chromium.launch({
    executablePath,
    timeout: 60_000,
    env: { ...process.env, HOME: scratch('home') },
    args: [
      '--headless=new', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server',
      `--host-resolver-rules=${[...rules, 'MAP * ~NOTFOUND', 'EXCLUDE localhost', 'EXCLUDE 127.0.0.1'].join(', ')}`,
      // The tests' own authority is not the system's; that TLS is checked is for other tests.
      '--ignore-certificate-errors',
      ...(asRoot ? ['--no-sandbox'] : []),
    ],
  })
  browser.fresh = options => browser.newContext({ ignoreHTTPSErrors: true, ...options }).then(context => {
    context.setDefaultTimeout(15_000)
    return context
  })
  return browser
}

/**
 * A server for pages, https under every name of the tests or plain http. answer
 * gets the request and the response; unless it answers, there is an empty page.
 */
export async function pages({ secure = true, port = 0, answer } = {}) {
  const handler = (r, w) => {
    if (answer?.(r, w)) return
    w.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<!doctype html><title>page</title><link rel="icon" href="data:,">')
  }
  const server = secure
    ? https.createServer({ cert: readFileSync(join(certs, 'pages.pem')), key: readFileSync(join(certs, 'pages.key')) }, handler)
    : http.createServer(handler)
  await new Promise(done => server.listen(port, '127.0.0.1', done))
  return {
    port: server.address().port,
    stop: () => {
      server.closeAllConnections()
      return new Promise(done => server.close(done))
    },
  }
}

/** What a page sees of a WebSocket: how it opened and how it ended. */
export const fromPage = (page, url, protocols) => page.evaluate(([url, protocols]) => new Promise(done => {
  const ws = protocols ? new WebSocket(url, protocols) : new WebSocket(url)
  const seen = { opened: false }
  ws.onopen = () => {
    seen.opened = true
    seen.protocol = ws.protocol
    setTimeout(() => { if (ws.readyState === 1) { ws.close(); done({ ...seen, stays: true }) } }, 1500)
  }
  ws.onclose = e => done({ ...seen, code: e.code, reason: e.reason, clean: e.wasClean })
}), [url, protocols])

export const shot = (page, name) => page.screenshot({ path: join(out, 'screenshots', `${name}.png`), fullPage: true })
