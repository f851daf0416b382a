// The drop-in in the place where each library takes a constructor, through the real program, to real servers.
import { Centrifuge } from 'centrifuge'
import { createClient as createGraphql } from 'graphql-ws'
import PartyWebSocket from 'partysocket/ws'
import { Socket as Phoenix } from 'phoenix'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket as Ws } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import * as Y from 'yjs'
import { type SocketOptions, secureWebSocket } from '../../src/socket.js'
import { type Backend, centrifuge, echo, graphql, phoenixFake, yjs } from './backends.js'
import { type Door, door, token, until } from './door.js'

let gate: Door
let backends: Record<string, Backend>

beforeAll(async () => {
  const [g, e, p, y, c] = await Promise.all([graphql(), echo(), phoenixFake(), yjs(), centrifuge()])
  backends = { '/graphql': g, '/party': e, '/phoenix/': p, '/y/': y, '/connection/websocket': c }
  gate = await door(Object.fromEntries(Object.entries(backends).map(([path, b]) => [path, b.port])))
}, 60_000)

afterAll(async () => {
  await gate?.stop()
  await Promise.all(Object.values(backends ?? {}).map(b => b.stop()))
})

/** The class, and how many tickets it has got. */
function secure(options: SocketOptions = {}) {
  let asked = 0
  const count: typeof fetch = (...args) => {
    asked++
    return fetch(...args)
  }
  const SecureWebSocket = secureWebSocket({ ticket: '/sallyport/ticket', token, fetch: count, WebSocket: Ws, ...options })
  return { SecureWebSocket, tickets: () => asked }
}

const at = (path: string) => gate.url.replace('https', 'wss') + path

test('graphql-ws: a subscription continues over restarts of the backend and of the door', { timeout: 60_000 }, async () => {
  const { SecureWebSocket, tickets } = secure()
  const counts: number[] = []
  const ends: unknown[] = []
  const client = createGraphql({
    url: at('/graphql'),
    webSocketImpl: SecureWebSocket,
    retryAttempts: 50,
    retryWait: () => new Promise(done => setTimeout(done, 100)),
    on: { closed: e => ends.push((e as CloseEvent).code) },
  })
  let failed: unknown
  const stop = client.subscribe<{ count: number }>(
    { query: 'subscription { count }' },
    {
      next: ({ data }) => counts.push(data!.count),
      error: e => {
        failed = e
      },
      complete: () => {},
    },
  )
  await until('the first results', () => counts.length > 5)
  expect(tickets()).toBe(1)

  // The counter of the server starts again for the new subscription.
  const again = async (what: string, restart: () => Promise<unknown>) => {
    const before = counts.length
    await restart()
    await until(`results after the restart of ${what}`, () => failed || counts.slice(before).includes(2))
    expect(failed).toBeUndefined()
  }
  await again('the backend', async () => {
    const { port } = backends['/graphql']!
    await backends['/graphql']!.stop()
    backends['/graphql'] = await graphql(port)
  })
  await again('the door', () => gate.restart())
  expect(tickets()).toBeGreaterThanOrEqual(3)
  expect(ends).toContain(4200)
  stop()
  await client.dispose()
})

test('partysocket: messages come back, also after a restart of the door', { timeout: 60_000 }, async () => {
  const { SecureWebSocket, tickets } = secure()
  const socket = new PartyWebSocket(at('/party'), [], { WebSocket: SecureWebSocket, minReconnectionDelay: 50, maxReconnectionDelay: 200 })
  const got: string[] = []
  socket.addEventListener('message', e => got.push(e.data))
  socket.send('before')
  await until('the echo', () => got.includes('before'))
  await gate.restart()
  await until('the socket to be open again', () => socket.readyState === 1)
  socket.send('after')
  await until('the second echo', () => got.includes('after'))
  expect(tickets()).toBeGreaterThan(1)
  socket.close()
})

test('centrifuge-js: a publication arrives, also after a restart of the door', { timeout: 60_000 }, async () => {
  const { SecureWebSocket, tickets } = secure()
  const client = new Centrifuge(at('/connection/websocket'), { websocket: SecureWebSocket, minReconnectDelay: 50, maxReconnectDelay: 200 })
  const room = client.newSubscription('room')
  const got: unknown[] = []
  room.on('publication', e => got.push(e.data))
  room.subscribe()
  client.connect()
  await room.ready(20_000)
  await room.publish({ text: 'before' })
  await until('the publication', () => got.length === 1)
  await gate.restart()
  await until('the second publication', async () => {
    await room.publish({ text: 'after' }).catch(() => {})
    return got.length > 1
  })
  expect(got.slice(0, 2)).toEqual([{ text: 'before' }, { text: 'after' }])
  expect(tickets()).toBeGreaterThan(1)
  client.disconnect()
})

test('phoenix: a channel joins and pushes arrive, also after a restart of the door', { timeout: 60_000 }, async () => {
  const { SecureWebSocket, tickets } = secure({ gate: '/phoenix/' })
  const socket = new Phoenix(at('/phoenix'), { transport: SecureWebSocket, reconnectAfterMs: () => 100, rejoinAfterMs: () => 100 })
  socket.connect()
  const channel = socket.channel('room:1', {})
  const got: unknown[] = []
  channel.on('said', payload => {
    got.push(payload)
  })
  await new Promise((done, fail) => channel.join(20_000).receive('ok', done).receive('error', fail).receive('timeout', fail))
  channel.push('said', { text: 'before' })
  await until('the push', () => got.length === 1)
  await gate.restart()
  await until('the channel to be joined again', () => channel.state === 'joined' && socket.isConnected())
  channel.push('said', { text: 'after' })
  await until('the second push', () => got.length === 2)
  expect(got).toEqual([{ text: 'before' }, { text: 'after' }])
  expect(tickets()).toBeGreaterThan(1)
  await new Promise<void>(done => socket.disconnect(done))
})

test('y-websocket: two documents agree, also after a restart of the door', { timeout: 60_000 }, async () => {
  const { SecureWebSocket, tickets } = secure({ gate: '/y/' })
  const peers = ['one', 'two'].map(() => {
    const doc = new Y.Doc()
    const provider = new WebsocketProvider(at('/y'), 'room', doc, {
      WebSocketPolyfill: SecureWebSocket,
      disableBc: true, // or they would agree without a server
      maxBackoffTime: 200,
    })
    return { doc, provider, text: doc.getText('text') }
  })
  const [one, two] = peers as [(typeof peers)[0], (typeof peers)[0]]
  one.text.insert(0, 'before')
  await until('the text', () => two.text.toString() === 'before')
  await gate.restart()
  two.text.insert(0, 'after, ')
  await until('both to agree', () => one.text.toString() === 'after, before' && two.text.toString() === 'after, before')
  expect(tickets()).toBeGreaterThan(3)
  for (const { provider, doc } of peers) {
    provider.destroy()
    doc.destroy()
  }
})

test('the ticket and the token are not in the log of the door', () => {
  expect(gate.logged('admitted')).toBeGreaterThan(0)
  expect(gate.logged('sallyport.ticket.')).toBe(0)
  expect(gate.logged('eyJ')).toBe(0)
})
