// What the platform tells, and that a client listens only while it has to.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { platform, type Sign } from '../../src/browser.js'
import { createClient } from '../../src/client.js'
import { fakeDoor, virtualClock } from '../../src/testing/index.js'

/** Makes the global object a window, with the listeners that it has. */
function page() {
  const target = new EventTarget()
  const listeners = new Set<string>()
  const document = { visibilityState: 'visible', baseURI: 'https://app.test/' }
  vi.stubGlobal('document', document)
  vi.stubGlobal('navigator', { onLine: true })
  vi.stubGlobal('addEventListener', (type: string, f: (e: Event) => void, options: { signal: AbortSignal; capture: boolean }) => {
    expect(options.capture).toBe(true)
    listeners.add(type)
    target.addEventListener(type, f)
    options.signal.addEventListener('abort', () => {
      listeners.delete(type)
      target.removeEventListener(type, f)
    })
  })
  return {
    document,
    listeners,
    tell: (type: string, more: object = {}) => {
      const event = new Event(type)
      for (const [name, value] of Object.entries({ target: globalThis, ...more })) Object.defineProperty(event, name, { value })
      target.dispatchEvent(event)
    },
  }
}

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('in a page', () => {
  let p: ReturnType<typeof page>
  beforeEach(() => {
    p = page()
  })

  test.each<[string, object, Sign | undefined]>([
    ['online', {}, 'online'],
    ['offline', {}, 'offline'],
    ['pagehide', { persisted: true }, 'suspend'],
    ['pagehide', { persisted: false }, undefined],
    ['pageshow', { persisted: true }, 'restore'],
    ['pageshow', { persisted: false }, 'seen'],
    ['focus', {}, 'seen'],
    ['focus', { target: new EventTarget() }, undefined], // of an element
    ['resume', {}, 'resume'],
    ['visibilitychange', {}, 'seen'],
    ['freeze', {}, undefined],
  ])('%s %o means %s', (type, more, sign) => {
    const told: Sign[] = []
    const deaf = platform(true, false).listen(s => told.push(s))
    p.tell(type, more)
    expect(told).toEqual(sign ? [sign] : [])
    deaf()
    p.tell(type, more)
    expect(told).toHaveLength(sign ? 1 : 0)
  })

  test('a page that is hidden now was not seen', () => {
    const told: Sign[] = []
    platform(true, false).listen(s => told.push(s))
    p.document.visibilityState = 'hidden'
    p.tell('visibilitychange')
    expect(told).toEqual([])
    expect(platform(true, false).hidden()).toBe(true)
  })

  test('nothing keeps the page out of the back/forward cache, and the network is believed only if wanted', () => {
    platform(true, false).listen(() => {})
    expect(p.listeners).toEqual(new Set(['online', 'offline', 'pagehide', 'pageshow', 'focus', 'visibilitychange', 'resume']))
    p.listeners.clear()
    platform(false, false).listen(() => {})
    expect(p.listeners).toEqual(new Set(['pagehide', 'pageshow', 'focus', 'visibilitychange', 'resume']))
    vi.stubGlobal('navigator', { onLine: false })
    expect(platform(true, false).offline()).toBe(true)
    expect(platform(false, false).offline()).toBe(false)
  })

  test('a client listens from its first use to its end', async () => {
    const clock = virtualClock()
    const door = fakeDoor(clock)
    const { listen: _, ...env } = clock.env
    const client = createClient('/chat', { ticket: door.ticket, WebSocket: door.WebSocket, env })
    expect(client.url).toBe('wss://app.test/chat')
    expect(p.listeners.size).toBe(0)
    client.connect()
    expect(p.listeners.size).toBe(7)
    await clock.advance(0)
    p.tell('pagehide', { persisted: true })
    expect(client.state).toEqual({ status: 'paused', paused: 'suspended' })
    p.tell('pageshow', { persisted: true })
    await clock.advance(0)
    expect(client.state.status).toBe('open')
    client.close()
    await clock.advance(0)
    expect(p.listeners.size).toBe(0)
  })
})

describe('in a program', () => {
  test('there is no page, no network to ask, and nothing to listen to', () => {
    const env = platform(true, false)
    expect(env.hidden()).toBe(false)
    expect(env.offline()).toBe(false)
    env.listen(() => expect.unreachable())()
  })

  test('timers hold the process, unless they must not', async () => {
    for (const unref of [false, true]) {
      const env = platform(true, unref)
      const timer = env.setTimeout(() => {}, 1_000_000) as { hasRef?(): boolean }
      if (timer.hasRef) expect(timer.hasRef()).toBe(!unref)
      env.clearTimeout(timer)
    }
    const env = platform(true, false)
    await new Promise<void>(done => env.setTimeout(done, 1))
    expect(env.now()).toBeGreaterThan(1e12)
    expect(env.random()).toBeLessThan(1)
    expect(env.steady()).toBeGreaterThan(0)
  })
})
