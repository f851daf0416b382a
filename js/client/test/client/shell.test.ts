// What a client does to its sockets, and what it takes from those of each platform.
import { expect, test } from 'vitest'
import { type ClientOptions, createClient } from '../../src/client.js'
import { virtualClock } from '../../src/testing/index.js'
import { later, outcome, setup } from './setup.js'

const hello = '\x01{"t":"hello","id":"a","beat":25,"idle":60,"ends_in":86400,"max_message":65536}'

/** A client whose sockets do nothing by themselves, and note what is done to them. */
function bare(options: ClientOptions = {}) {
  const clock = virtualClock({ random: () => 0.5 })
  const sockets: Socket[] = []
  class Socket {
    readyState = 0
    protocol = 'sallyport.v1'
    bufferedAmount = 0
    binaryType = 'blob'
    done: unknown[] = []
    onopen: (() => void) | null = null
    onmessage: ((e: { data: unknown }) => void) | null = null
    onerror: ((e: object) => void) | null = null
    onclose: ((e: object) => void) | null = null
    constructor() {
      sockets.push(this)
    }
    send(data: string) {
      this.done.push(data)
    }
    close(...how: unknown[]) {
      this.done.push(['close', ...how])
      if (this.readyState < 2) this.readyState = 2
    }
    terminate() {
      this.done.push('terminate')
    }
    open() {
      this.readyState = 1
      this.onopen?.()
      this.onmessage?.({ data: hello })
    }
  }
  const client = createClient('wss://app.test/', { WebSocket: Socket, env: clock.env, ...options })
  const ends: unknown[] = []
  const errors: unknown[] = []
  client.addEventListener('close', e => ends.push(e.detail))
  client.addEventListener('error', e => errors.push(e.detail))
  later(client.connect())
  return { clock, client, sockets, ends, errors, turn: () => clock.advance(0) }
}

test('asks for bytes as they are', async () => {
  const { sockets, turn } = bare()
  await turn()
  expect(sockets[0]!.binaryType).toBe('arraybuffer')
})

test('Node 22: an error without a close is the end of a handshake, and a close after it is none', async () => {
  const asked: unknown[] = []
  const { sockets, ends, errors, turn } = bare({ shouldRetry: end => asked.push(end) > 0 })
  await turn()
  const late = sockets[0]!.onclose!
  sockets[0]!.onerror!({ error: 'why' })
  late({ code: 1006, reason: '', wasClean: false })
  expect(ends).toEqual([{ close: 1006, reason: '', code: undefined, opened: false }])
  expect(errors).toEqual(['why'])
  expect(asked[0]).toEqual({ code: 1006, reason: '', wasClean: false })
})

test('Deno: a close with code 0 is 1006', async () => {
  const { sockets, ends, turn } = bare()
  await turn()
  sockets[0]!.onclose!({ code: 0, reason: '', wasClean: false })
  expect(ends).toMatchObject([{ close: 1006 }])
})

test('browsers tell nothing with an error: nothing is told', async () => {
  const { sockets, errors, turn } = bare()
  await turn()
  sockets[0]!.onerror!({})
  expect(errors).toEqual([])
})

test('an error of an open socket, or of a refused one, is not its end: the close tells more', async () => {
  for (const refused of [true, false]) {
    const { sockets, ends, turn } = bare()
    await turn()
    const s = sockets[0]!
    if (refused) {
      s.readyState = 1
      s.onopen!()
      s.onmessage!({ data: '\x01{"t":"close","code":"origin.untrusted","got":0}' })
    } else s.open()
    s.onerror!({})
    expect(ends).toEqual([])
    s.onclose!(refused ? { code: 4001, reason: 'Unauthorized;origin.untrusted' } : { code: 1000, reason: 'bye' })
    expect(ends).toMatchObject([refused ? { close: 4001, code: 'origin.untrusted' } : { close: 1000, reason: 'bye' }])
  }
})

test('the application is not asked about an end that the door announced', async () => {
  const asked: unknown[] = []
  const { sockets, client, turn } = bare({ shouldRetry: end => asked.push(end) > 0 })
  await turn()
  sockets[0]!.open()
  sockets[0]!.onmessage!({ data: '\x01{"t":"close","code":"drain","got":0}' })
  sockets[0]!.onclose!({ code: 1006, reason: '', wasClean: false })
  expect(asked).toEqual([])
  expect(client.state.status).toBe('waiting')
})

test('a shouldRetry that throws is told of', async () => {
  const { sockets, errors, turn } = bare({
    shouldRetry: () => {
      throw new Error('a mistake')
    },
  })
  await turn()
  sockets[0]!.open()
  sockets[0]!.onclose!({ code: 1006, reason: '', wasClean: false })
  expect(errors).toEqual([new Error('a mistake')])
})

test('a socket that was given up is closed with the reason, cut short where that is possible, and heard no more', async () => {
  const { clock, sockets, ends, turn } = bare()
  await turn()
  const s = sockets[0]!
  s.open()
  await clock.advance(35_000)
  expect(ends).toMatchObject([{ close: 4900 }])
  expect(s.done).toEqual([['close', 4900, 'local.silent'], 'terminate'])
  expect([s.onopen, s.onmessage, s.onclose]).toEqual([null, null, null])
  // The class of package ws tells an error of a socket that is closed before it opened.
  s.onerror!({ error: 'late' })
})

test('a socket that does not answer a close is cut short, another is left to finish', async () => {
  for (const answers of [true, false]) {
    const { clock, client, sockets, turn } = bare()
    await turn()
    const s = sockets[0]!
    s.open()
    const closed = client.close(3000, 'bye')
    expect(s.done.at(-1)).toEqual(['close', 3000, 'bye'])
    if (answers) {
      s.readyState = 3
      s.onclose!({ code: 3000, reason: 'bye', wasClean: true })
    }
    await clock.advance(3000)
    await closed
    expect(s.done.includes('terminate')).toBe(!answers)
  }
})

test('what ends by a code that no script may say is closed with 1000', async () => {
  const { sockets, client, turn } = bare()
  await turn()
  sockets[0]!.open()
  sockets[0]!.onmessage!({ data: '\x01{"t":"close","code":"drain","got":0}' })
  client.close()
  await turn()
  sockets[0]!.readyState = 1
  expect(sockets[0]!.done.filter(d => Array.isArray(d))).toEqual([['close', 1000, '']])
})

test('a listener that closes while an end is told sees every state once, in order', async () => {
  const s = setup()
  s.client.addEventListener('close', () => s.client.close())
  const c = await s.open()
  c.lose()
  await s.clock.advance(0)
  expect(s.states.map(t => t.status)).toEqual(['connecting', 'open', 'waiting', 'closed'])
})

test('who iterates gets a message at once, not with the next event', async () => {
  const s = setup()
  const c = await s.open()
  c.lively = false
  const next = s.client.messages().next()
  c.send('now')
  await s.clock.advance(0)
  expect(await outcome(next)).toEqual({ value: 'now', done: false })
})
