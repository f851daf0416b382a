// createClient in a program, through the real door to a ws backend: pace, restart and renewal.
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { type Client, type ClientOptions, createClient, type Ending } from '../../src/index.js'
import { type Door, door, sleep, token, tokenFor, until } from './door.js'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** A backend that keeps what arrives, and answers it. */
async function place(guard: object = {}): Promise<{ gate: Door; arrived: string[]; make(options?: ClientOptions): Client }> {
  const arrived: string[] = []
  const echo = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  echo.on('connection', ws =>
    ws.on('message', data => {
      arrived.push(String(data))
      ws.send(String(data))
    }),
  )
  await new Promise(done => echo.once('listening', done))
  stops.push(() => {
    for (const c of echo.clients) c.terminate()
    echo.close()
  })
  const gate = await door({ '/chat': (echo.address() as AddressInfo).port }, { guard })
  stops.push(() => gate.stop())
  return {
    gate,
    arrived,
    make(options = {}) {
      const client = createClient(`${gate.url.replace('https', 'wss')}/chat`, { token, WebSocket, ...options })
      stops.push(() => client.close())
      return client
    },
  }
}

/** What a client tells of ends, and of what is unknown. */
function hear(client: Client) {
  const ends: Ending[] = []
  const unknown: string[] = []
  client.addEventListener('close', e => ends.push(e.detail))
  client.addEventListener('unknown', e => unknown.push(...e.detail.messages.map(m => String(m.data))))
  return { ends, unknown }
}

test('a backlog of ten seconds goes out at the pace of the door, in order, without an end', { timeout: 60_000 }, async () => {
  const { arrived, make } = await place({ messages: '50/s' })
  const client = make()
  const { ends, unknown } = hear(client)
  const texts = Array.from({ length: 500 }, (_, i) => `${i}`)
  await Promise.all(texts.map(t => client.send(t)))
  await until('everything has arrived', () => arrived.length === texts.length)
  await client.close()
  expect(arrived).toEqual(texts)
  expect(ends).toMatchObject([{ close: 1000 }])
  expect(unknown).toEqual([])
})

test('a restart in the midst of sending: everything arrived once, or was reported', { timeout: 60_000 }, async () => {
  const { gate, arrived, make } = await place({ messages: '1000/s', bytes: '1MiB/s' })
  const client = make()
  const { ends, unknown } = hear(client)
  await client.connect()
  const sent: string[] = []
  const refused: string[] = []
  let going = true
  const sending = (async () => {
    for (let i = 0; going; i++) {
      const text = `${i}`
      sent.push(text)
      await client.send(text).catch(() => refused.push(text))
      await sleep(2)
    }
  })()
  await sleep(500)
  await gate.restart()
  await until('it is back', () => client.state.status === 'open')
  await sleep(500)
  going = false
  await sending
  await client.close()
  expect(ends.some(e => e.code === 'drain')).toBe(true)
  expect(refused).toEqual([])
  expect(new Set(arrived).size).toBe(arrived.length)
  const lost = sent.filter(t => !arrived.includes(t) && !unknown.includes(t))
  expect(lost).toEqual([])
  expect(sent.length).toBeGreaterThan(200)
})

test('a token of some seconds is renewed over the live connection, and the connection stays', { timeout: 60_000 }, async () => {
  const { make } = await place()
  const reasons: string[] = []
  const client = make({
    token: ({ reason }) => {
      reasons.push(reason)
      return tokenFor(6)
    },
  })
  const { ends } = hear(client)
  await client.connect()
  const { id } = client
  await sleep(15_000)
  expect(client.id).toBe(id)
  expect(client.state.status).toBe('open')
  expect(ends).toEqual([])
  expect(reasons.filter(r => r === 'expiring').length).toBeGreaterThanOrEqual(2)
  await client.send('still here')
})

test('by tickets too', { timeout: 60_000 }, async () => {
  const { gate, make } = await place()
  const client = make({ ticket: `${gate.url}/sallyport/ticket`, token: () => tokenFor(6) })
  const { ends } = hear(client)
  const renewed: unknown[] = []
  client.addEventListener('renewed', e => renewed.push(e.detail.expiresIn))
  await client.connect()
  await sleep(7_000)
  expect(ends).toEqual([])
  expect(renewed.length).toBeGreaterThan(0)
})

test('a message larger than the door accepts rejects, and the others arrive', async () => {
  const { arrived, make } = await place({ max_message: '1KiB' })
  const client = make()
  await client.connect()
  expect(client.limits?.max_message).toBe(1024)
  const [a, b, c] = await Promise.allSettled([client.send('a'), client.send('x'.repeat(1025)), client.send('y'.repeat(1024))])
  expect([a.status, b.status, c.status]).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  await until('both have arrived', () => arrived.length === 2)
})

test('no credential: unauthenticated; a wrong one: tried once more, then later', async () => {
  const { make } = await place()
  const none = make({ token: () => null })
  await expect(none.connect()).rejects.toMatchObject({ code: 'unauthenticated' })
  const reasons: string[] = []
  const wrong = make({
    token: ({ reason }) => {
      reasons.push(reason)
      return 'not.a.token'
    },
  })
  const { ends } = hear(wrong)
  wrong.connect().catch(() => {})
  await until('it waits', () => wrong.state.status === 'waiting')
  expect(reasons.slice(0, 2)).toEqual(['connect', 'rejected'])
  expect(ends[0]).toMatchObject({ close: 4001, code: 'auth.invalid', opened: false })
})
