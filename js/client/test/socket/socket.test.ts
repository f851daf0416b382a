// What the drop-in adds to a WebSocket: the ticket. The life cycle is in ../parity.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket as Ws } from 'ws'
import { SallyportError, type SocketOptions, secureWebSocket, type TicketRequest } from '../../src/socket.js'
import { next, observe, seen, story, thrown } from '../parity/cases.js'
import { serve } from '../parity/server.js'

let server: { url: string; stop: () => Promise<void> }
beforeAll(async () => {
  const running = globalThis.process?.env.JS_TEST_SERVER // set where other runtimes are tested
  server = running ? { url: running, stop: async () => {} } : await serve()
})
afterAll(() => server.stop())

const inject = globalThis.WebSocket ? {} : { WebSocket: Ws } // Node 20 has none
let ids = 0
const name = () => `socket-${Date.now()}-${++ids}`
const at = (path: string) => server.url.replace('http', 'ws') + path
const endpoint = (query = '') => `${server.url}/sallyport/ticket${query}`
const dropIn = (options: SocketOptions = {}) =>
  secureWebSocket({ ticket: endpoint(), dangerouslyAllowPlaintext: 'a test on loopback', ...inject, ...options })
const failed = ['error in CLOSED or CLOSING', 'close 1006 - unclean in 3']

/** Opens and closes a socket: what the server saw of it. */
async function visit(options: SocketOptions, path = '/echo', protocols?: string | string[]) {
  const id = name()
  const ws = new (dropIn(options))(`${at(path)}?id=${id}`, protocols)
  await next(ws, 'open')
  const shown = { url: ws.url === `${at(path)}?id=${id}`, protocol: ws.protocol }
  ws.close(1000)
  await next(ws, 'close')
  const known = await seen({ base: server.url }, id)
  const offered = known.offered as string[]
  return { ...shown, offered, authorization: known.authorization, minted: tickets(offered) }
}

/** What the ticket of the scripted server says: its number, the gate and the Authorization of the request. */
const tickets = (offered: string[]) =>
  offered
    .filter(p => p.startsWith('sallyport.ticket.'))
    .map(p => atob(p.slice(17).replaceAll('-', '+').replaceAll('_', '/')).replace(/^\d+ /, ''))

/** A socket that fails: its story, and the cause. */
async function failure(options: SocketOptions, path = '/echo') {
  const ws = new (dropIn(options))(at(path))
  const told = await story(ws)
  const { code, status, retryAfter } = ws.cause as SallyportError
  return { told, cause: ws.cause, code, status, retryAfter }
}

test('the ticket is offered first, then the subprotocols of the application', async () => {
  const v = await visit({}, '/echo', ['chat.v2', 'chat.v1'])
  expect(v.offered.slice(1)).toEqual(['chat.v2', 'chat.v1'])
  expect(v).toMatchObject({ url: true, protocol: 'chat.v2', minted: ['/echo '], authorization: null })
})

test('without subprotocols the neutral one is offered, and shown as none', async () => {
  const v = await visit({})
  expect(v.offered.slice(1)).toEqual(['sallyport'])
  expect(v.protocol).toBe('')
})

test('the neutral subprotocol is the one that came with the ticket', async () => {
  const ticket = async () => ({ ticket: 'sallyport.ticket.abc', protocol: 'sallyport.neutral' })
  expect(await visit({ ticket })).toMatchObject({ offered: ['sallyport.ticket.abc', 'sallyport.neutral'], protocol: '' })
})

test('every connection has a ticket of its own', async () => {
  const all = await Promise.all([visit({}), visit({}), visit({})])
  expect(new Set(all.map(v => v.offered[0])).size).toBe(3)
})

test('the gate is the path of the URL, or what is said', async () => {
  expect((await visit({ gate: '/all/' })).minted).toEqual(['/all/ '])
})

test('a relative endpoint is that of the socket’s server, where there is no page', async () => {
  expect((await visit({ ticket: '/sallyport/ticket' })).minted).toEqual(['/echo '])
})

test('a function is told what is wanted', async () => {
  const requests: TicketRequest[] = []
  const ticket = async (request: TicketRequest) => {
    requests.push(request)
    return { ticket: 'sallyport.ticket.abc', expires_in: 10 }
  }
  await visit({ ticket, gate: '/gate' })
  expect(requests).toMatchObject([{ reason: 'connect', gate: '/gate', url: expect.stringContaining('/echo?id=') }])
  expect(requests[0]!.signal.aborted).toBe(false)
})

test('a bearer token goes to the ticket endpoint only', async () => {
  expect(await visit({ token: 'abc.def' })).toMatchObject({ minted: ['/echo Bearer abc.def'], authorization: null })
  expect(await visit({ token: async () => 'later' })).toMatchObject({ minted: ['/echo Bearer later'] })
})

test('a bearer token alone goes into the handshake', async () => {
  expect(await visit({ ticket: undefined, token: 'abc.def' }, '/echo', 'chat.v1')).toMatchObject({
    authorization: 'Bearer abc.def',
    offered: ['chat.v1'],
    protocol: 'chat.v1',
  })
  expect(await visit({ ticket: undefined, token: () => 'abc' })).toMatchObject({ authorization: 'Bearer abc', offered: [] })
})

test('without ticket and token nothing is added', async () => {
  expect(await visit({ ticket: undefined })).toMatchObject({ authorization: null, offered: [], protocol: '' })
  expect(await visit({ ticket: undefined }, '/echo', 'chat.v1')).toMatchObject({ offered: ['chat.v1'], protocol: 'chat.v1' })
})

test.each([
  ['nobody is signed in, says the endpoint', { query: '?do=refuse' }, { code: 'unauthenticated' }],
  ['the endpoint is full', { query: '?do=full' }, { code: 'ticket', status: 503, retryAfter: 7 }],
  ['the endpoint redirects', { query: '?do=redirect' }, { code: 'ticket', status: undefined }],
  ['the endpoint answers a page', { query: '?do=garbage' }, { code: 'ticket' }],
  ['the endpoint answers something else than a ticket', { query: '?do=strange' }, { code: 'ticket' }],
  ['the endpoint answers without end', { query: '?do=huge' }, { code: 'ticket' }],
  ['the endpoint does not answer', { query: '?do=never', ticketTimeout: 100 }, { code: 'timeout' }],
  ['there is no endpoint', { ticket: 'http://127.0.0.1:9/' }, { code: 'ticket' }],
  ['a function says that nobody is signed in', { ticket: async () => null }, { code: 'unauthenticated' }],
  ['a function gives no ticket', { ticket: async () => ({ ticket: 'abc' }) }, { code: 'ticket' }],
  ['a function gives nothing', { ticket: (async () => undefined) as never }, { code: 'ticket' }],
  ['a function never ends', { ticket: () => new Promise<null>(() => {}), ticketTimeout: 100 }, { code: 'timeout' }],
  ['a token function says that nobody is signed in', { token: () => null }, { code: 'unauthenticated' }],
  ['a token cannot stand in a header', { token: 'a\r\nb' }, { code: 'ticket' }],
  ['a token alone cannot stand in a header', { ticket: undefined, token: 'a b' }, { code: 'ticket' }],
  ['a token function alone has none', { ticket: undefined, token: () => null }, { code: 'unauthenticated' }],
] as [string, SocketOptions & { query?: string }, Partial<SallyportError>][])(
  'fails as a handshake does: %s',
  async (_, { query, ...options }, want) => {
    const f = await failure({ ticket: endpoint(query), ...options })
    expect(f.told).toEqual(failed)
    expect(f).toMatchObject(want)
    expect(f.cause).toBeInstanceOf(SallyportError)
  },
)

test('what a function throws is the cause', async () => {
  const error = new Error('of the application')
  expect((await failure({ ticket: () => Promise.reject(error) })).cause).toBe(error)
  const sync = () => {
    throw error
  }
  expect((await failure({ ticket: sync })).cause).toBe(error)
})

test('the token is in no error', async () => {
  const { cause } = await failure({ token: 'secret\n' })
  expect(`${cause} ${(cause as Error).stack} ${JSON.stringify(cause)}`).not.toContain('secret')
})

test('close while the ticket is on its way aborts the request, and no handshake follows', async () => {
  let signal: AbortSignal | undefined
  let give = (_: { ticket: string }) => {}
  const ticket = (r: TicketRequest) => {
    signal = r.signal
    return new Promise<{ ticket: string }>(done => {
      give = done
    })
  }
  const id = name()
  const ws = new (dropIn({ ticket }))(`${at('/echo')}?id=${id}`)
  const told = story(ws)
  expect(ws.readyState).toBe(0)
  expect(thrown(() => ws.send('early'))).toBe('DOMException InvalidStateError')
  ws.close(3000, 'changed my mind')
  expect(ws.readyState).toBe(2)
  expect(signal?.aborted).toBe(true)
  ws.send('late') // silent, like everywhere
  expect(ws.bufferedAmount).toBe(4)
  give({ ticket: 'sallyport.ticket.abc' })
  expect(await told).toEqual(failed)
  expect(ws.cause).toMatchObject({ code: 'aborted' })
  expect(await (await fetch(`${server.url}/seen?id=${id}`)).json()).toBeNull()
})

test('close during the request of the endpoint aborts it', async () => {
  const ws = new (dropIn({ ticket: endpoint('?do=late') }))(at('/echo'))
  const told = story(ws)
  await new Promise(done => setTimeout(done, 50))
  ws.close()
  const began = performance.now()
  expect(await told).toEqual(failed)
  expect(performance.now() - began).toBeLessThan(200)
})

test('listeners that come after an await hear of the failure', async () => {
  const ws = new (dropIn({ ticket: () => Promise.reject(new Error('at once')) }))(at('/echo'))
  for (let n = 0; n < 20; n++) await Promise.resolve()
  expect(ws.readyState).toBe(0)
  expect(await story(ws)).toEqual(failed)
})

test('cause is undefined while nothing has failed', async () => {
  const ws = new (dropIn())(at('/close?code=3000'))
  expect(ws.cause).toBeUndefined()
  await story(ws)
  expect(ws.cause).toBeUndefined()
})

test('it never connects again', async () => {
  let asked = 0
  const ticket = async () => ({ ticket: `sallyport.ticket.${++asked}` })
  const ws = new (dropIn({ ticket }))(at('/drop'))
  await story(ws)
  await new Promise(done => setTimeout(done, 300))
  expect([asked, ws.readyState]).toEqual([1, 3])
})

test.each([
  ['the ticket', '/select?p=TICKET', undefined],
  ['the ticket in place of the application’s', '/select?p=TICKET', 'chat.v1'],
  ['none', '/select?p=', undefined],
  ['none of the application’s', '/select?p=', 'chat.v1'],
  ['one that was not offered', '/select?p=other', 'chat.v1'],
])('a server that selects %s fails the connection', async (_, path, protocols) => {
  const ws = new (dropIn())(at(path), protocols)
  expect(await story(ws)).toEqual(failed)
  expect(ws.protocol).toBe('')
  expect(`${ws.cause}`).not.toContain('sallyport.ticket')
})

test('a constructor that throws is a failed handshake', async () => {
  class Broken {
    constructor() {
      throw new TypeError('broken')
    }
  }
  const f = await failure({ WebSocket: Broken })
  expect(f.told).toEqual(failed)
  expect(f.cause).toEqual(new TypeError('broken'))
})

test('an injected class with token alone gets the headers as package ws takes them', async () => {
  const calls: unknown[][] = []
  class Spy {
    constructor(...args: unknown[]) {
      calls.push(args)
      throw new Error('enough')
    }
  }
  await failure({ WebSocket: Spy as never, ticket: undefined, token: 'abc' })
  expect(calls).toEqual([[at('/echo'), [], { headers: { authorization: 'Bearer abc' } }]])
})

test('plaintext is refused without a reason', () => {
  const Secure = secureWebSocket({ ticket: 'https://localhost/ticket', ...inject })
  for (const url of ['ws://127.0.0.1:9/', 'http://127.0.0.1:9/']) expect(thrown(() => new Secure(url))).toBe('DOMException SyntaxError')
})

test('a ticket is not asked for over plain HTTP', async () => {
  let asked = 0
  const Secure = secureWebSocket({
    ticket: 'http://127.0.0.1:9/',
    fetch: async () => {
      asked++
      return new Response()
    },
    ...inject,
  })
  const ws = new Secure('wss://127.0.0.1:9/')
  expect(await story(ws)).toEqual(failed)
  expect(ws.cause).toMatchObject({ code: 'ticket' })
  expect(asked).toBe(0)
})

test('wss: and https: are good', () => {
  const Secure = secureWebSocket({ ticket: () => new Promise(() => {}), ticketTimeout: 1, ...inject })
  for (const url of ['wss://localhost:9/a', 'https://localhost:9/a', new URL('wss://localhost:9/a')]) {
    const ws = new Secure(url)
    expect(ws.url).toBe('wss://localhost:9/a')
    ws.close()
  }
})

test.each(['sallyport', 'sallyport.v1', 'sallyport.ticket.abc', 'sallyportish'])(
  'the subprotocol %s is not the application’s to offer',
  p => {
    expect(thrown(() => new (dropIn())(at('/echo'), [p]))).toBe('DOMException SyntaxError')
  },
)

test('the request is what the door wants', async () => {
  const requests: [string, RequestInit][] = []
  const fetch = async (url: string | URL | Request, init?: RequestInit) => {
    requests.push([`${url}`, init!])
    return new Response(JSON.stringify({ ticket: 'sallyport.ticket.abc' }))
  }
  await visit({ fetch, credentials: 'include', token: 'abc' })
  const [[url, init]] = requests as [[string, RequestInit]]
  expect(url).toBe(endpoint())
  expect(init).toMatchObject({
    method: 'POST',
    body: '{"gate":"/echo"}',
    headers: { 'content-type': 'application/json', authorization: 'Bearer abc' },
    credentials: 'include',
    redirect: 'error',
    cache: 'no-store',
  })
})

test('the standard’s behaviour holds over package ws too', { timeout: 60_000 }, async () => {
  const { cases } = await import('../parity/cases.js')
  const WS = dropIn({ WebSocket: Ws }) as unknown as typeof WebSocket
  const differ: string[] = []
  for (const c of cases) {
    const got = await observe(c, { WS, base: server.url })
    if (JSON.stringify(got) !== JSON.stringify(c.want)) differ.push(`${c.name}: ${JSON.stringify(got)}`)
  }
  // ws counts the bytes that the socket did not take, and frames are masked and written at once.
  expect(differ).toEqual(['bufferedAmount grows in the turn of a send, and shrinks: [0,0]'])
})
