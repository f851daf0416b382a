// What is shown outside a seal, who says what is spoken inside, and how sockets end: each named after what somebody in between would gain.
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createClient } from '../../src/client.js'
import { auth, binary, end, filler, text } from '../../src/crypto/half.js'
import type { Ending } from '../../src/machine-state.js'
import { secureWebSocket } from '../../src/socket.js'
import { pinned } from './pinned.js'

afterEach(() => vi.useRealTimers())

/** Ten seconds pass on the faked clock, slowly enough for the platform's cryptography, which works elsewhere. */
async function pass(until: () => unknown) {
  for (let i = 0; i < 1000 && !until(); i++) {
    await new Promise(done => setImmediate(done))
    await vi.advanceTimersByTimeAsync(10)
  }
}

const url = 'wss://app.example.com/ws'
type Door = Awaited<ReturnType<typeof pinned>>

/** The drop-in, and what it tells. */
function dropIn({ options }: Door, more: object = {}, ...args: [protocols?: string]) {
  const ws = new (secureWebSocket({ ...options, ...more }))(url, ...args)
  const events: string[] = []
  const closes: CloseEvent[] = []
  for (const type of ['open', 'message', 'error', 'close']) ws.addEventListener(type, () => events.push(type))
  ws.addEventListener('close', e => closes.push(e))
  return { ws, events, closes }
}
async function opened(door: Door) {
  const d = dropIn(door)
  await vi.waitFor(() => expect(d.ws.readyState).toBe(1))
  return { ...d, line: door.lines[0]! }
}

describe('the ticket endpoint, which may be the intermediary itself, does not say what is spoken', () => {
  test.each(['admin.v1', 'sallyport.v1~admin.v1', 'sallyport.v1'])('protocol: %s', async protocol => {
    const door = await pinned({ greets: false })
    const { ws } = dropIn(door, { ticket: async () => ({ ticket: 'sallyport.ticket.abc', protocol }) })
    await vi.waitFor(() => expect(door.lines[0]?.opened.length).toBe(1))
    await new Promise(done => setTimeout(done, 30))
    expect(door.lines[0]!.protocols).toEqual(['sallyport.v1+seal'])
    // Nor is anything open before the door has accepted the credential.
    expect(ws.readyState).toBe(0)
    ws.close()
  })

  test('a subprotocol of the application is offered as it is', async () => {
    const door = await pinned()
    const { ws } = dropIn(door, {}, 'x.sallyport.v1~y')
    await vi.waitFor(() => expect(ws.readyState).toBe(1))
    expect(door.lines[0]!.protocols).toEqual(['sallyport.v1+seal~x.sallyport.v1~y'])
    expect(ws.protocol).toBe('x.sallyport.v1~y')
  })
})

describe('nothing of the application is shown outside', () => {
  test('code and reason of the drop-in', async () => {
    const door = await pinned()
    const { ws, line } = await opened(door)
    ws.close(4950, 'account 1234 closed')
    await vi.waitFor(() => expect(line.opened.at(-1)?.kind).toBe(end))
    expect(Buffer.from(line.opened.at(-1)!.data).toString('latin1')).toContain('account 1234 closed')
    expect(line.closed).toBeUndefined()
    await line.end(1000)
    await vi.waitFor(() => expect(line.closed).toEqual([1000]))
  })

  test.each([
    [4950, 'account 1234 closed'],
    [4902, 'local.Secret 1234'],
  ])('code and reason of the client: %i %s', async (code, reason) => {
    const door = await pinned()
    const client = createClient(url, door.options)
    await client.connect()
    const line = door.lines[0]!
    client.close(code, reason)
    await vi.waitFor(() => expect(line.opened.at(-1)?.kind).toBe(end))
    expect(Buffer.from(line.opened.at(-1)!.data).toString('latin1')).toContain(reason)
    await line.end(1000)
    await vi.waitFor(() => expect(line.closed).toEqual([1000]))
  })

  test('a user in the URL', async () => {
    const door = await pinned({ keys: 'https://app.example.com/keys' })
    ;new (secureWebSocket(door.options))('wss://ada:secret@app.example.com/ws')
    await vi.waitFor(() => expect(door.lines.length).toBe(1))
    expect(door.lines[0]!.url).toBe(url)
  })

  test('a token: none of it goes to the endpoint of tickets, which is not asked', async () => {
    const door = await pinned()
    let asked = 0
    const ticket = async () => {
      asked++
      return { ticket: 'sallyport.ticket.abc' }
    }
    const { ws } = dropIn(door, { ticket, token: 'a.bearer.token' })
    const client = createClient(url, { ...door.options, ticket, token: 'a.bearer.token' })
    await Promise.all([client.connect(), vi.waitFor(() => expect(ws.readyState).toBe(1))])
    expect(asked).toBe(0)
    for (const line of door.lines) {
      expect(Buffer.from(line.opened[0]!.data).toString('latin1')).toBe('\x02\0\x0ea.bearer.token\0')
      expect(line.protocols).toEqual(['sallyport.v1+seal'])
    }
    client.close()
    ws.close()
  })

  test('why the client gives a connection up', async () => {
    const door = await pinned()
    const heard: Record<string, () => void> = {}
    const client = createClient(url, {
      ...door.options,
      env: {
        listen(hear) {
          heard.suspend = () => hear('suspend')
          return () => {}
        },
      },
    })
    await client.connect()
    heard.suspend!() // the page goes into the cache: there is no time for a goodbye
    expect(door.lines[0]!.closed).toEqual([1000])
    client.close()
  })
})

describe('a credential that the door refuses', () => {
  test('does not open the drop-in: it fails as a handshake does, with what the door said in the cause', async () => {
    const door = await pinned({ greets: false })
    const { ws, events, closes } = dropIn(door)
    await vi.waitFor(() => expect(door.lines[0]?.opened[0]?.kind).toBe(auth))
    await door.lines[0]!.say('\x01{"t":"close","code":"auth.invalid","got":0}')
    await door.lines[0]!.end(4001, 'Unauthorized;auth.invalid')
    await vi.waitFor(() => expect(events).toContain('close'))
    expect(events).toEqual(['error', 'close'])
    expect(closes[0]!.code).toBe(1006)
    expect(ws.cause).toMatchObject({ code: 'closed', message: '4001 Unauthorized;auth.invalid' })
  })

  test('tells the client its reason', async () => {
    const door = await pinned({ greets: false })
    const client = createClient(url, door.options)
    const ends: Ending[] = []
    client.addEventListener('close', e => ends.push(e.detail))
    client.connect().catch(() => {})
    await vi.waitFor(() => expect(door.lines[0]?.opened[0]?.kind).toBe(auth))
    await door.lines[0]!.say('\x01{"t":"close","code":"auth.invalid","got":0}')
    await door.lines[0]!.end(4001, 'Unauthorized;auth.invalid')
    door.lines[0]!.onclose?.({ code: 1000, reason: '' })
    await vi.waitFor(() => expect(ends.length).toBe(1))
    expect(ends[0]).toMatchObject({ close: 4001, code: 'auth.invalid', opened: false })
    client.close()
  })
})

test('a sealed end is one, though whoever is in between holds the connection open', async () => {
  const { line, closes } = await opened(await pinned())
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  await line.end(4123, 'bye')
  await pass(() => closes.length)
  expect(line.closed).toEqual([1000])
  expect(closes[0]).toMatchObject({ code: 4123, reason: 'bye', wasClean: true })
})

test('an end of ours that nobody answers is one that was cut', async () => {
  const { ws, line, closes } = await opened(await pinned())
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  ws.close()
  await pass(() => closes.length)
  expect(line.closed).toEqual([1000])
  expect(closes[0]).toMatchObject({ code: 1006, wasClean: false })
  expect(ws.cause).toMatchObject({ code: 'seal.truncated' })
})

test('a record that was under way when the socket was closed leaves nothing behind', async () => {
  const { ws, line, events } = await opened(await pinned())
  line.deliver(await line.server!.seal(text, new TextEncoder().encode('\0late')))
  line.deliver(new Uint8Array(30)) // broken
  await vi.waitFor(() => expect(ws.readyState).toBe(3))
  const before = events.length
  await new Promise(done => setTimeout(done, 20))
  expect(events.length).toBe(before)
})

test('4905 is the seal’s own: a backend that closes with it ends nothing for good', async () => {
  for (const [code, reason] of [
    [4905, 'unsupported'],
    [4905, 'seal.malformed'],
    [4905, 'local.pin'],
  ] as const) {
    const door = await pinned()
    const client = createClient(url, { ...door.options, backoff: { base: 1, max: 1 } })
    const ends: Ending[] = []
    client.addEventListener('close', e => ends.push(e.detail))
    await client.connect()
    await door.lines[0]!.end(code, reason)
    await vi.waitFor(() => expect(door.lines[0]!.closed).toEqual([1000]))
    door.lines[0]!.onclose?.({ code: 1000, reason: '' })
    await vi.waitFor(() => expect(ends.length).toBe(1))
    expect(ends[0]!.code).toBeUndefined()
    await vi.waitFor(() => expect(client.state.status).toBe('open')) // again
    client.close()
  }
})

test('a blob that cannot be read ends the session, and nothing else', async () => {
  const { ws, closes } = await opened(await pinned())
  const unhandled: unknown[] = []
  const hear = (e: unknown) => unhandled.push(e)
  process.on('unhandledRejection', hear)
  class Gone extends Blob {
    override arrayBuffer(): Promise<ArrayBuffer> {
      return Promise.reject(new DOMException('changed', 'NotReadableError'))
    }
  }
  for (let i = 0; i < 200; i++) ws.send('x'.repeat(1000))
  ws.send(new Gone(['abc']))
  await vi.waitFor(() => expect(closes.length).toBe(1))
  await new Promise(done => setTimeout(done, 30))
  process.off('unhandledRejection', hear)
  expect(unhandled).toEqual([])
})

describe('64 MiB', () => {
  test('of records that nobody reads yet are the limit', async () => {
    const { ws, line, closes } = await opened(await pinned())
    const record = await line.server!.seal(filler, new Uint8Array())
    const junk = new Uint8Array(2 ** 24).fill(0x10)
    line.deliver(record)
    for (let i = 0; i < 5; i++) line.deliver(junk)
    await vi.waitFor(() => expect(closes.length).toBe(1))
    expect(ws.cause).toMatchObject({ code: 'seal.limit' })
    expect(line.closed).toEqual([4905, 'seal.limit'])
  })

  test('of one message are the limit, and half as much is delivered', { timeout: 60_000 }, async () => {
    const { ws, line, closes } = await opened(await pinned())
    const got: number[] = []
    ws.binaryType = 'arraybuffer'
    ws.onmessage = e => got.push(e.data.byteLength)
    const part = new Uint8Array(16_000)
    const say = async (data: Uint8Array<ArrayBuffer>, more: boolean) => line.deliver(await line.server!.seal(binary, data, more))
    const message = async (bytes: number) => {
      for (let n = 0; n < bytes && !closes.length; n += part.length) await say(n ? part : part.slice(), true)
      if (!closes.length) await say(part.slice(0, 1), false)
    }
    await message(2 ** 25)
    await vi.waitFor(() => expect(got.length).toBe(1))
    await message(2 ** 25) // what was delivered counts no longer
    await vi.waitFor(() => expect(got.length).toBe(2))
    await message(2 ** 26 + 2 ** 20)
    await vi.waitFor(() => expect(closes.length).toBe(1))
    expect(ws.cause).toMatchObject({ code: 'seal.limit' })
    expect(got.length).toBe(2)
  })

  test('of texts, before there is a seal, are no way around the limit', async () => {
    const door = await pinned({ greets: false })
    const { ws, closes } = dropIn(door)
    await vi.waitFor(() => expect(door.lines.length).toBe(1))
    const line = door.lines[0]!
    line.onmessage?.({ data: 'x' })
    const long = 'x'.repeat(2 ** 24)
    for (let i = 0; i < 5; i++) line.onmessage?.({ data: long })
    await vi.waitFor(() => expect(closes.length).toBe(1))
    expect(ws.cause).toMatchObject({ code: 'seal.limit' })
  })
})

test('what the door says before hello that is no control message is against the protocol', async () => {
  for (const message of ['\0early', '', 'x', '\x01null', '\x01{"t":"beat"}']) {
    const door = await pinned({ greets: false })
    const { ws, events } = dropIn(door)
    await vi.waitFor(() => expect(door.lines[0]?.opened[0]?.kind).toBe(auth))
    await door.lines[0]!.say(message, text)
    await new Promise(done => setTimeout(done, 20))
    // Null and what is not known are no hello, and are waited past.
    if (message[0] === '\x01') expect(ws.readyState).toBe(0)
    else expect(ws.cause).toMatchObject({ code: 'seal.malformed' })
    expect(events).not.toContain('message')
    expect(events).not.toContain('open')
    ws.close()
  }
})
