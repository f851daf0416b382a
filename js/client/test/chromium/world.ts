// The real program in front of a ws backend, pages of a trusted origin, and a Chromium that behaves as at home.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { WebSocketServer } from 'ws'
import { type Door, door, token, until } from '../injection/door.js'
import { bundle } from '../parity/bundle.js'
import { freePort, type Tab, tabs } from './tab.js'

type InPage = typeof import('./page.js')

export interface World {
  gate: Door
  /** How many connections the backend has now and has had, and the close codes that it saw. */
  backend: { open(): number; total(): number; ends: number[] }
  /** The process of the browser. */
  pid: number
  /** A tab in front of the others, whose client is connected. */
  connected(): Promise<Visit>
  /** Another tab in front of the others. */
  open(): Promise<Tab>
  stop(): Promise<void>
}

/** A tab with a client. */
export interface Visit extends Tab {
  call<K extends 'status' | 'id' | 'close'>(what: K): Promise<Awaited<ReturnType<InPage[K]>>>
  say(text: string): Promise<void>
  seen(): Promise<InPage['seen']>
  /** Waits until the client is in this status. */
  is(status: string): Promise<void>
}

/** Where Chromium is. */
export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** Arguments of every browser here. */
export const args = [
  '--headless=new',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-proxy-server',
  '--ignore-certificate-errors',
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
]

/** Starts everything. beat: the heartbeat of the door, in seconds. */
export async function world(beat: number): Promise<World> {
  const out = process.env.JS_TEST_OUT!
  const script = await bundle('../chromium/page.ts', { globalName: 'page' })
  const pages = createServer(
    { cert: readFileSync(join(out, 'door.pem')), key: readFileSync(join(out, 'door.key')) },
    (request, response) => {
      response.writeHead(200, { 'content-type': request.url === '/page.js' ? 'text/javascript' : 'text/html' })
      response.end(
        request.url === '/page.js'
          ? script
          : '<!doctype html><title>page</title><script src="/page.js"></script><a href="/other">other</a>',
      )
    },
  )
  await new Promise<void>(done => pages.listen(0, '127.0.0.1', done))

  let total = 0
  const ends: number[] = []
  const echo = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  echo.on('connection', ws => {
    total++
    ws.on('message', (data, binary) => ws.send(data, { binary }))
    ws.on('close', code => ends.push(code))
  })
  await new Promise(done => echo.once('listening', done))
  const gate = await door({ '/chat': (echo.address() as AddressInfo).port }, { guard: { ping: `${beat}s`, pong_wait: '60s', idle: '5m' } })

  const debugging = await freePort()
  const server = await chromium.launchServer({
    executablePath,
    // Playwright turns off what these tests are about.
    ignoreDefaultArgs: [
      '--disable-back-forward-cache',
      '--disable-renderer-backgrounding',
      '--disable-backgrounding-occluded-windows',
      '--disable-background-timer-throttling',
    ],
    args: [
      ...args,
      `--remote-debugging-port=${debugging}`,
      `--host-resolver-rules=MAP app.example.com:443 127.0.0.1:${(pages.address() as AddressInfo).port}`,
    ],
  })
  const window = await tabs(debugging)
  const open = async () => {
    const tab = await window.open('https://app.example.com/')
    // From here on, since a socket that is open already would not feel that the network is cut.
    await tab.send('Network.enable')
    await until('the page', () => tab.evaluate('typeof page === "object"').catch(() => false))
    return tab
  }

  return {
    gate,
    backend: { open: () => echo.clients.size, total: () => total, ends },
    pid: server.process().pid!,
    open,
    async connected() {
      const tab = await open()
      const call = (what: string, ...rest: string[]) => tab.evaluate(`page.${what}(...${JSON.stringify(rest)})`)
      await call('connect', `${gate.url.replace('https', 'wss')}/chat`, `${gate.url}/sallyport/ticket`, token())
      return {
        ...tab,
        call: call as Visit['call'],
        say: text => call('send', text) as Promise<void>,
        seen: () => tab.evaluate('page.seen'),
        is: status => until(`the client is ${status}`, async () => (await tab.evaluate('page.status().status')) === status),
      }
    },
    async stop() {
      window.stop()
      await server.close()
      await gate.stop()
      for (const c of echo.clients) c.terminate()
      echo.close()
      pages.closeAllConnections()
      pages.close()
    },
  }
}
