// What holds whatever happens, in whatever order.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createClient } from '../../src/client.js'
import { type FakeConnection, fakeDoor, virtualClock } from '../../src/testing/index.js'

const signs = ['online', 'offline', 'seen', 'resume', 'suspend', 'restore'] as const
const ends = [
  ['drain', 4200, 'Restarting'],
  ['guard.idle', 4000, 'Idle timeout'],
  ['auth.expired', 4001, 'Unauthorized'],
  ['guard.full', 4203, 'Try again later'],
  ['origin.untrusted', 4001, 'Unauthorized'],
] as const

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 40_000 })),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      expiresIn: fc.option(fc.integer({ min: 1, max: 20_000 })),
      size: fc.integer({ min: 0, max: 120 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('sleep' as const), ms: fc.integer({ min: -100_000, max: 3_600_000 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('tell' as const), sign: fc.constantFrom(...signs) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('page' as const), hidden: fc.boolean(), offline: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('connect' as const, 'reconnect' as const, 'close' as const, 'abort' as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('handshake' as const),
      how: fc.constantFrom('accept' as const, 'fail' as const, 'hang' as const, 'mute' as const, 'refuse' as const),
      which: fc.nat(ends.length - 1),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('door' as const),
      what: fc.constantFrom(
        'lose' as const,
        'end' as const,
        'bye' as const,
        'drain' as const,
        'stall' as const,
        'flow' as const,
        'hold' as const,
        'free' as const,
        'long' as const,
        'say' as const,
        'fault' as const,
        'limp' as const,
      ),
      which: fc.nat(ends.length - 1),
      retry: fc.option(fc.integer({ min: 0, max: 60 })),
    }),
  },
)

type Action = typeof action extends fc.Arbitrary<infer A> ? A : never

async function live(actions: Action[], latency: number, seed: number) {
  let dice = seed
  const random = () => {
    dice = (dice * 48_271) % 2_147_483_647
    return dice / 2_147_483_647
  }
  const clock = virtualClock({ random })
  const door = fakeDoor(clock, { latency, hello: { expires_in: 60, max_message: 100, messages_per_second: 20 } })
  const sockets: { readyState: number }[] = []
  class Counted extends (door.WebSocket as new (url: string, protocols?: string[]) => object) {
    constructor(url: string, protocols?: string[]) {
      super(url, protocols)
      sockets.push(this as unknown as { readyState: number })
    }
  }
  const client = createClient('wss://app.test/', {
    ticket: door.ticket,
    WebSocket: Counted,
    env: clock.env,
    queue: { count: 10, bytes: 2000 },
  })
  const sent: { text: string; fate: 'pending' | 'done' | 'rejected' }[] = []
  const unknown: string[] = []
  client.addEventListener('unknown', e => unknown.push(...e.detail.messages.map(m => String(m.data))))
  let stop = new AbortController()

  const look = () => {
    expect(clock.timers()).toBeLessThanOrEqual(1)
    const connecting = sockets.filter(s => s.readyState === 0).length
    const alive = sockets.filter(s => s.readyState < 2).length
    expect(connecting).toBeLessThanOrEqual(1)
    expect(alive).toBeLessThanOrEqual(4) // one in use, one being made, two that say their last words
    const s = client.state
    if (s.status === 'waiting') {
      expect(s.retryIn).toBeGreaterThan(0)
      expect(s.retryIn).toBeLessThanOrEqual(60_000 + 30_000 + 60_000) // advice, back-off, hidden
    }
    if (s.status === 'idle' || s.status === 'closed') expect(connecting).toBe(0)
  }
  const onDoor = (c: FakeConnection, a: Extract<Action, { do: 'door' }>) => {
    const [code, close, title] = ends[a.which]!
    if (a.what === 'lose') c.lose()
    if (a.what === 'end') c.end(code, close, title, a.retry ?? undefined)
    if (a.what === 'bye') c.close(a.which % 2 ? 1000 : 1001, 'bye')
    if (a.what === 'drain') c.control({ t: 'drain', spread: a.which, deadline: 20 })
    if (a.what === 'stall') c.stalled = true
    if (a.what === 'flow') c.stalled = false
    if (a.what === 'hold') c.got = c.got ?? c.received.length
    if (a.what === 'free') c.got = undefined
    if (a.what === 'long') c.control({ t: 'long' })
    if (a.what === 'say') c.send('hello')
    if (a.what === 'fault') c.raw('not ours')
    if (a.what === 'limp') c.lively = !c.lively
  }

  for (const a of actions) {
    if (a.do === 'advance') await clock.advance(a.ms)
    if (a.do === 'sleep') clock.sleep(a.ms)
    if (a.do === 'tell') clock.tell(a.sign)
    if (a.do === 'page') Object.assign(clock, { hidden: a.hidden, offline: a.offline })
    if (a.do === 'connect') client.connect({ signal: stop.signal }).catch(() => {})
    if (a.do === 'reconnect') client.reconnect()
    if (a.do === 'close') client.close()
    if (a.do === 'abort') {
      stop.abort()
      stop = new AbortController()
    }
    if (a.do === 'send') {
      const m = { text: `${sent.length}`.padEnd(a.size, '.'), fate: 'pending' as 'pending' | 'done' | 'rejected' }
      sent.push(m)
      client.send(m.text, { signal: stop.signal, ...(a.expiresIn !== null && { expiresIn: a.expiresIn }) }).then(
        () => {
          m.fate = 'done'
        },
        () => {
          m.fate = 'rejected'
        },
      )
    }
    if (a.do === 'handshake') {
      const [code, close, title] = ends[a.which]!
      door.handshake = c => {
        if (a.how === 'accept') c.accept()
        if (a.how === 'fail') c.fail()
        if (a.how === 'mute') c.accept({ hello: false })
        if (a.how === 'refuse') c.refuse(code, close, title)
      }
    }
    const c = door.connections.at(-1)
    if (a.do === 'door' && c) onDoor(c, a)
    look()
  }

  const closed = client.close()
  // What stood still flows on, so that the door sees all that was sent.
  for (const c of door.connections) c.stalled = false
  await clock.advance(7000)
  await closed
  look()
  expect(client.state.status).toBe('closed')
  expect(clock.timers()).toBe(0)
  expect(sockets.filter(s => s.readyState < 2)).toEqual([])
  for (const { text, fate } of sent) {
    const arrived = door.connections.flatMap(c => c.received).filter(m => m === text).length
    const told = unknown.filter(m => m === text).length
    expect(fate).not.toBe('pending')
    expect(arrived, `${text} arrived`).toBeLessThanOrEqual(1)
    expect(told, `${text} reported`).toBeLessThanOrEqual(1)
    if (fate === 'rejected') expect([arrived, told]).toEqual([0, 0])
    else if (!told) expect(arrived, `${text} neither arrived nor reported`).toBe(1)
  }
}

const story = fc.tuple(
  fc.array(action, { minLength: 1, maxLength: 60 }),
  fc.constantFrom(0, 5, 200),
  fc.integer({ min: 1, max: 2_000_000_000 }),
)

test('never two sockets connecting; one timer at most, none after close(); waits within bounds; every message delivered, rejected or reported unknown exactly once', async () => {
  await fc.assert(
    fc.asyncProperty(story, ([actions, latency, seed]) => live(actions, latency, seed)),
    { numRuns: Number(process.env.FC_RUNS ?? 300), timeout: 20_000 },
  )
}, 600_000)
