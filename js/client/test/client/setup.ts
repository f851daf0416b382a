// A client, a door in memory and a clock, and what the client told.
import { type Client, type ClientOptions, createClient } from '../../src/client.js'
import type { Unsure } from '../../src/events.js'
import type { Ending, Status } from '../../src/machine-state.js'
import { type DoorOptions, fakeDoor, virtualClock } from '../../src/testing/index.js'

export function setup(options: ClientOptions = {}, doorOptions: DoorOptions = {}) {
  const clock = virtualClock({ random: () => 0.5 })
  const door = fakeDoor(clock, doorOptions)
  const client = createClient('wss://app.test/chat', { ticket: door.ticket, WebSocket: door.WebSocket, env: clock.env, ...options })
  const states: Status[] = []
  const ends: Ending[] = []
  const unknown: Unsure[] = []
  const messages: unknown[] = []
  const errors: unknown[] = []
  client.addEventListener('state', e => states.push(e.detail))
  client.addEventListener('close', e => ends.push(e.detail))
  client.addEventListener('unknown', e => unknown.push(...e.detail.messages))
  client.addEventListener('message', e => messages.push(e.detail))
  client.addEventListener('error', e => errors.push(e.detail))
  return {
    clock,
    door,
    client,
    states,
    ends,
    unknown,
    messages,
    errors,
    /** Connects and lets it happen. */
    async open() {
      const opened = client.connect()
      await clock.advance(0)
      await opened
      return door.last()
    },
    /** How many handshakes there were. */
    dials: () => door.connections.length,
    /** How long until the next handshake, in milliseconds; Infinity if not within limit. Exact to 1 ms. */
    async untilDial(limit = 40_000) {
      const before = door.connections.length
      for (let ms = 0; ms <= limit; ms++) {
        await clock.advance(ms ? 1 : 0)
        if (door.connections.length > before) return ms
      }
      return Infinity
    },
  }
}

/** A promise whose failure is looked at later. */
export function later<T>(p: Promise<T>): Promise<T> {
  p.catch(() => {})
  return p
}

/** The wait that is announced. */
export function waitOf(client: Client): number {
  const s = client.state
  if (s.status !== 'waiting') throw new Error(`the client is ${s.status}`)
  return s.retryIn
}

/** How a promise settled: its value, or the code of its error; pending if it did not. */
export async function outcome(p: Promise<unknown>): Promise<unknown> {
  const pending = Symbol()
  const got = await Promise.race([
    p.then(
      v => v ?? 'done',
      e => e.code ?? e.name,
    ),
    new Promise(done => setImmediate(() => done(pending))),
  ])
  return got === pending ? 'pending' : got
}
