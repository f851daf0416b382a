// An active intermediary between a client and the server: whatever it does ends in the stated fault, with nothing delivered.
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Bytes } from '../../src/crypto/bytes.js'
import { end, text } from '../../src/crypto/half.js'
import { sealedSocket } from '../../src/crypto/socket.js'
import { accept, type ServerKey, type ServerSession, serverKey, serverSession, suite, utf8 } from './setup.js'

const url = 'wss://app.example.com/ws?x=1'
const context = ['sallyport.v1+seal~chat', 'app.example.com:443', '/ws?x=1', 'https://app.example.com']

/** What passes between: each may answer other messages in place of one. */
interface Middle {
  select?: string
  answer?(m: Bytes): (Bytes | string)[]
  record?(m: Bytes, i: number): (Bytes | string)[]
}

let keys: Record<number, ServerKey>
beforeAll(async () => {
  keys = { 1: await serverKey(await suite(1)), 2: await serverKey(await suite(2)) }
})
afterEach(() => vi.useRealTimers())

/** The socket below, with a server at its other end. */
class Wire {
  static middle: Middle = {}
  static id = 2
  static last: Wire
  readyState = 0
  binaryType = ''
  bufferedAmount = 0
  protocol = ''
  sent: Bytes[] = []
  closed: unknown[] | undefined
  server: ServerSession | undefined
  credential: Bytes | undefined
  onopen?: () => void
  onmessage?: ((e: { data: unknown }) => void) | null
  onclose?: ((e: { code: number; reason: string }) => void) | null
  private n = 0
  private line: Promise<unknown> = Promise.resolve()

  constructor(_url: string, protocols: string[]) {
    Wire.last = this
    setTimeout(() => {
      this.readyState = 1
      this.protocol = Wire.middle.select ?? protocols[0]!
      this.onopen?.()
    })
  }
  send(m: Bytes) {
    this.sent.push(m)
    this.line = this.line.then(() => this.hear(m))
  }
  async hear(m: Bytes) {
    if (this.sent.length && !this.server) {
      const key = keys[Wire.id]!
      const a = await accept(key, context, m)
      this.server = await serverSession(key, a)
      for (const x of Wire.middle.answer?.(a.answer) ?? [a.answer]) this.deliver(x)
      return
    }
    const o = await this.server!.open(m)
    if (o.kind === 3) {
      this.credential = o.data
      await this.say('\x01{"t":"hello","id":"x"}')
      await this.say('\0first')
      await this.say('\0second')
    }
  }
  async say(message: string, kind: 1 | 2 = text) {
    const r = await this.server!.seal(kind, utf8(message))
    for (const x of Wire.middle.record?.(r, this.n++) ?? [r]) this.deliver(x)
  }
  deliver(data: Bytes | string) {
    this.onmessage?.({ data: typeof data === 'string' ? data : data.slice().buffer })
  }
  close(...args: unknown[]) {
    this.closed = args
    this.readyState = 3
  }
  cut(code = 1006, reason = '') {
    this.readyState = 3
    this.onclose?.({ code, reason })
  }
}

interface Result {
  events: string[]
  error?: { code: string }
  close?: { code: number; reason: string; wasClean: boolean }
}

/** Connects through a middle; then waits for the end, or for both messages. */
async function connect(
  middle: Middle,
  { id = 2, ticket = 'sallyport.ticket.abc', after }: { id?: number; ticket?: string; after?(w: Wire, s: WebSocket): unknown } = {},
) {
  Object.assign(Wire, { middle, id })
  const s = await suite(id)
  const key = { suite: id, from: 0, until: 2 ** 40, public: keys[id]!.public }
  const Socket = sealedSocket({
    WebSocket: Wire as never,
    key: async () => [key, s],
    device: undefined,
    origin: context[3]!,
    pad: true,
    raw: false,
  })
  const ws = new Socket(url, [ticket, 'chat'])
  const result: Result = { events: [] }
  const done = new Promise<void>(resolve => {
    ws.onopen = () => result.events.push('open')
    ws.onmessage = e => {
      result.events.push(`message ${e.data}`)
      if (e.data === 'second') setTimeout(resolve, 5)
    }
    ws.onerror = e => {
      result.events.push('error')
      result.error = e.error as { code: string }
    }
    ws.onclose = e => {
      result.events.push('close')
      result.close = e
      resolve()
    }
  })
  await done
  if (after) {
    await after(Wire.last, ws as never)
    await new Promise(r => setTimeout(r, 20))
  }
  return { ...result, ws, wire: Wire.last }
}

const flip = (m: Bytes, i: number) => {
  const bad = m.slice()
  bad[i]! ^= 1 << (i % 8)
  return bad
}

/** Refused in the handshake: no credential left, nothing was opened, and the application heard the fault. */
function refused(r: Awaited<ReturnType<typeof connect>>, fault: string, sent: number) {
  expect(r.events).toEqual(['error', 'close'])
  expect(r.error?.code).toBe(fault)
  expect(r.close).toEqual({ code: 4905, reason: fault, wasClean: false })
  expect(r.wire.sent.length).toBe(sent)
  expect(r.wire.closed).toEqual([4905, fault])
}

describe.each([1, 2])('suite %i', id => {
  test('without anybody in between both messages arrive, and the ticket travelled inside', async () => {
    const r = await connect({}, { id })
    expect(r.events).toEqual(['open', 'message first', 'message second'])
    expect(new TextDecoder().decode(r.wire.credential!)).toContain('sallyport.ticket.abc')
    for (const m of r.wire.sent) expect(new TextDecoder('latin1').decode(m)).not.toContain('ticket')
    expect(r.ws.protocol).toBe('chat')
  })

  test('every byte of the answer flipped', { timeout: 60_000 }, async () => {
    const n = id === 1 ? 1153 : 65
    for (let i = 0; i < n; i += id === 1 ? 16 : 1) refused(await connect({ answer: m => [flip(m, i)] }, { id }), 'seal.handshake', 1)
  })
})

test('the answer cut short, too long, doubled, reflected, of another session, or nothing', async () => {
  let other: Bytes | undefined
  await connect({ answer: m => [(other = m)] })
  for (const answer of [
    (m: Bytes) => [m.slice(0, -1)],
    (m: Bytes) => [new Uint8Array([...m, 0])],
    () => [other!],
    () => [Wire.last.sent[0]!],
    () => [new Uint8Array()],
  ])
    refused(await connect({ answer }), 'seal.handshake', 1)
  const twice = await connect({ answer: m => [m, m] })
  expect(twice.error?.code).toBe('seal.broken')
  expect(twice.events).toEqual(['error', 'close'])
})

test('another subprotocol selected: nothing is sent', async () => {
  for (const select of ['sallyport.v1', 'sallyport.v1~chat', 'sallyport.v1+seal', 'chat', ''])
    refused(await connect({ select }), 'local.unsealed', 0)
})

test('every byte of a record flipped', { timeout: 30_000 }, async () => {
  for (let i = 0; i < 49; i++) {
    const r = await connect({ record: (m, n) => (n === 1 ? [flip(m, i)] : [m]) })
    expect(r.events, `${i}`).toEqual(['open', 'error', 'close'])
    expect(r.close).toEqual({ code: 4905, reason: 'seal.broken', wasClean: false })
  }
})

test.each<[string, (m: Bytes, n: number, all: Bytes[]) => (Bytes | string)[], string[]?]>([
  ['dropped', (m, n) => (n === 1 ? [] : [m])],
  ['doubled', m => [m, m]],
  ['out of order', (m, n, all) => (n === 1 ? [] : n === 2 ? [m, all[1]!] : [m])],
  ['reflected', (m, n) => (n === 1 ? [Wire.last.sent[1]!] : [m])],
  ['cut short', (m, n) => (n === 1 ? [m.slice(0, -1)] : [m])],
  ['longer', (m, n) => (n === 1 ? [new Uint8Array([...m, 0])] : [m])],
  ['replaced by nothing', (m, n) => (n === 1 ? [new Uint8Array()] : [m])],
  ['replaced by more than a record', (m, n) => (n === 1 ? [new Uint8Array(20_000).fill(0x10)] : [m])],
  ['replaced by text', (m, n) => (n === 1 ? ['\0forged'] : [m])],
  ['the second one replayed', (m, n, all) => (n === 2 ? [m, all[1]!] : [m]), ['open', 'message first', 'message second', 'error', 'close']],
])('a record %s', async (_, change, events = ['open', 'error', 'close']) => {
  const all: Bytes[] = []
  const middle: Middle = {
    record(m, n) {
      all[n] = m
      return change(m, n, all)
    },
  }
  const seen: string[] = []
  const r = await connect(middle, {
    after: async (_w, s) => {
      for (const type of ['error', 'close'] as const) if (s.readyState < 3) s[`on${type}`] = () => seen.push(type)
      await vi.waitFor(() => expect(s.readyState).toBe(3))
    },
  })
  expect([...r.events, ...seen]).toEqual(events)
  expect(r.wire.closed).toEqual([4905, 'seal.broken'])
})

test('a record of another connection', async () => {
  let taken: Bytes | undefined
  await connect({
    record(m, n) {
      if (n === 1) taken = m
      return [m]
    },
  })
  const r = await connect({ record: (m, n) => (n === 1 ? [taken!] : [m]) })
  expect(r.error?.code).toBe('seal.broken')
  expect(r.events).toEqual(['open', 'error', 'close'])
})

test('a close that nobody sealed proves nothing, whatever it says', async () => {
  for (const [code, reason] of [
    [1000, ''],
    [4001, 'Unauthorized;auth.invalid'],
    [1006, ''],
  ] as const) {
    const r: Result = { events: [] }
    const got = await connect(
      {},
      {
        after: (w, s) => {
          s.onclose = e => {
            r.close = { code: e.code, reason: e.reason, wasClean: e.wasClean }
          }
          s.onerror = e => {
            r.error = (e as unknown as { error: { code: string } }).error
          }
          w.cut(code, reason)
        },
      },
    )
    expect(got.events).toContain('message second')
    expect(r.error?.code).toBe('seal.truncated')
    expect(r.close).toEqual({ code: 1006, reason: '', wasClean: false })
  }
})

test('a sealed end is told with its code and reason, and answered', async () => {
  let told: unknown
  const r = await connect(
    {},
    {
      after: async (w, s) => {
        s.onclose = e => {
          told = { code: e.code, reason: e.reason, wasClean: e.wasClean }
        }
        w.deliver(await w.server!.seal(end, new Uint8Array([4123 >> 8, 4123 & 255, ...utf8('bye')])))
        await vi.waitFor(() => expect(w.closed).toEqual([1000]))
        w.onclose!({ code: 1000, reason: 'forged' })
      },
    },
  )
  expect(told).toEqual({ code: 4123, reason: 'bye', wasClean: true })
  expect(r.wire.sent.length).toBe(3)
})

test('what the door seals after its end, or against the protocol, is malformed', async () => {
  for (const kind of [3, 5, 7] as const) {
    let fault = ''
    await connect(
      {},
      {
        after: async (w, s) => {
          s.onerror = e => {
            fault = (e as unknown as { error: { code: string } }).error.code
          }
          w.deliver(await w.server!.seal(kind, new Uint8Array()))
        },
      },
    )
    expect(fault).toBe('seal.malformed')
  }
})
