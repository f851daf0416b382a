// What both clients do with a seal, against the door itself. No test framework in here: it runs in browsers, too.
import { createClient } from '../../src/client.js'
import { type Kems, MLKEM768_X25519, type Seal, type SealOptions, sealed, X25519 } from '../../src/crypto/index.js'
import type { Ending } from '../../src/machine-state.js'
import { secureWebSocket } from '../../src/socket.js'

/** Where the door is, and with what it is reached. */
export interface Peer {
  url: string
  pin: string
  hpke?: Kems
  WebSocket?: new (url: string, ...rest: never[]) => object
  /** What that sends as Origin, where no page does. */
  origin?: string
}

const device = (name: 'Ed25519' | 'ECDSA') =>
  crypto.subtle.generateKey({ name, namedCurve: 'P-256' }, false, ['sign', 'verify']) as Promise<CryptoKeyPair>

function seal(peer: Peer, more: Partial<SealOptions> = {}): Seal {
  return sealed({ pins: [peer.pin], ...(peer.hpke && { hpke: peer.hpke }), origin: peer.origin, ...more })
}

const common = (peer: Peer, token: string) => ({ token, WebSocket: peer.WebSocket, dangerouslyAllowPlaintext: 'loopback' })
const at = (peer: Peer, path: string) => peer.url.replace(/^http/, 'ws') + path

/** Waits for one event. */
const once = <T>(target: EventTarget, type: string): Promise<T> =>
  new Promise(done => target.addEventListener(type, e => done((e as CustomEvent).detail ?? e), { once: true }))

async function kept(peer: Peer, how: Partial<SealOptions>, path = '/required?room=1', token = 'ada.key') {
  const client = createClient(at(peer, path), { ...common(peer, token), protocols: ['chat.v2', 'chat.v1'], seal: seal(peer, how) })
  const errors: unknown[] = []
  client.addEventListener('error', e => errors.push(e.detail))
  return { client, errors }
}

/** The drop-in, opened. */
async function socket(peer: Peer, path = '/required', how: Partial<SealOptions> = {}, protocols: string[] = []): Promise<WebSocket> {
  const Socket = secureWebSocket({ ...common(peer, 'ada.key'), seal: seal(peer, { device: await device('Ed25519'), ...how }) })
  const ws = new Socket(at(peer, path), protocols)
  ws.binaryType = 'arraybuffer'
  await new Promise<void>((done, fail) => {
    ws.onopen = () => done()
    ws.onclose = e => fail(ws.cause ?? new Error(`${e.code} ${e.reason}`))
  })
  return ws
}

const received = (ws: WebSocket, n: number): Promise<unknown[]> =>
  new Promise((done, fail) => {
    const got: unknown[] = []
    ws.onmessage = e => {
      if (got.push(e.data) === n) done(got)
    }
    ws.onclose = e => fail(new Error(`${e.code} ${e.reason}`))
  })

const closing = (ws: WebSocket) => once<CloseEvent>(ws, 'close').then(({ code, reason, wasClean }) => ({ code, reason, wasClean }))

/** Each returns what the test compares. */
export const scenarios: Record<string, (peer: Peer) => Promise<unknown>> = {
  async 'a client that stays: echo, both kinds, and a close of its own'(peer) {
    const { client, errors } = await kept(peer, { device: await device('Ed25519') })
    await client.connect()
    const iterator = client.messages()
    await client.send('hello ✓')
    await client.send(Uint8Array.of(0, 1, 255))
    await client.send('')
    const got = [await iterator.next(), await iterator.next(), await iterator.next()].map(r =>
      typeof r.value === 'string' ? r.value : [...(r.value ?? [])],
    )
    const { protocol } = client
    const end = once<Ending>(client as never, 'close')
    await client.close(3001, 'done')
    const { close, reason } = await end
    return { got, protocol, close, reason, state: client.state.status, errors: errors.map(String) }
  },
  async 'a client with a key on P-256, many messages and a big one, in order'(peer) {
    const { client } = await kept(peer, { device: await device('ECDSA') })
    await client.connect()
    const iterator = client.messages({ count: 5000, bytes: 2 ** 26 })
    const sent = Array.from({ length: 150 }, (_, i) => `${i}`.repeat(1 + (i % 7) * 400))
    await Promise.all(sent.map(s => client.send(s)))
    let ok = 0
    for (const s of sent) if ((await iterator.next()).value === s) ok++
    await client.send('many')
    for (let i = 0; i < 200; i++) if ((await iterator.next()).value === `${i}`) ok++
    await client.send('big')
    const { value } = await iterator.next()
    await client.close()
    return { ok, big: value === '0123456789abcdef'.repeat(1 << 16) }
  },
  async 'a client with the classical suite, by name'(peer) {
    const { client } = await kept(peer, { device: await device('Ed25519'), suites: [X25519, MLKEM768_X25519] })
    await client.connect()
    const iterator = client.messages()
    await client.send('x')
    const { value } = await iterator.next()
    await client.close()
    return value
  },
  async 'a credential that is bound to no key is refused, inside the seal'(peer) {
    const { client } = await kept(peer, {}, '/required', 'ada')
    const end = once<Ending>(client as never, 'close')
    client.connect().catch(() => {})
    const { close, code } = await end
    await client.close()
    return { close, code }
  },
  async 'another pin'(peer) {
    const { client, errors } = await kept({ ...peer, pin: `sp1.${'A'.repeat(43)}` }, {})
    const end = once<Ending>(client as never, 'close')
    client.connect().catch(() => {})
    const { close, code, opened } = await end
    await client.close()
    return { close, code, opened, errors: errors.map(e => (e as { code?: string }).code) }
  },
  async 'another key document'(peer) {
    const { client } = await kept(peer, { keys: '/nothing' })
    const end = once<Ending>(client as never, 'close')
    client.connect().catch(() => {})
    const { close, code } = await end
    await client.close()
    return { close, code }
  },
  async 'a gate without a seal gets no credential'(peer) {
    const { client, errors } = await kept(peer, {}, '/off')
    const end = once<Ending>(client as never, 'close')
    client.connect().catch(() => {})
    const { opened } = await end
    await client.close()
    return { opened, error: ['local.unsealed', 'network'].includes((errors[0] as { code: string }).code) }
  },
  async 'ended by the operator: the door says so inside'(peer) {
    const { client } = await kept(peer, { device: await device('Ed25519') })
    await client.connect()
    const end = once<Ending>(client as never, 'close')
    await fetch(`${peer.url}/end`, { method: 'POST' })
    const { close, code } = await end
    await client.close()
    return { close, code }
  },
  async 'keys that changed after they were fetched'(peer) {
    const one = seal(peer, { device: await device('Ed25519') })
    const Socket = secureWebSocket({ ...common(peer, 'ada.key'), seal: one })
    const opened: string[] = []
    for (let i = 0; i < 2; i++) {
      const ws = new Socket(at(peer, '/required'))
      opened.push(await Promise.race([once(ws, 'open').then(() => 'open'), once(ws, 'close').then(() => `closed: ${ws.cause}`)]))
      ws.close()
      await fetch(`${peer.url}/rotate`, { method: 'POST' })
    }
    return opened
  },
  async 'the drop-in: echo of text, bytes and a blob'(peer) {
    const ws = await socket(peer, '/required?x', {}, ['chat.v1'])
    const all = received(ws, 4)
    ws.send('hello')
    ws.send(Uint8Array.of(1, 2, 3))
    ws.send(new Blob(['blob']))
    ws.send('😀'.repeat(10_000))
    const waiting = ws.bufferedAmount > 0
    const got = (await all).map(d => (typeof d === 'string' ? d : [...new Uint8Array(d as ArrayBuffer)]))
    const end = closing(ws)
    ws.close(3000, 'bye')
    const state = ws.readyState
    return { got: got.slice(0, 3), long: got[3] === '😀'.repeat(10_000), waiting, protocol: ws.protocol, state, end: await end }
  },
  async 'the drop-in: the backend closes with its own code'(peer) {
    const ws = await socket(peer)
    const end = closing(ws)
    ws.send('close')
    return { end: await end, protocol: ws.protocol, state: ws.readyState }
  },
  async 'the drop-in: another pin fails like any handshake'(peer) {
    const Socket = secureWebSocket({ ...common(peer, 'ada'), seal: seal({ ...peer, pin: `sp1.${'A'.repeat(43)}` }) })
    const ws = new Socket(at(peer, '/required'))
    const seen: string[] = []
    for (const type of ['open', 'error', 'close']) ws.addEventListener(type, () => seen.push(type))
    const { code } = await closing(ws)
    return { seen, code, cause: (ws.cause as { code: string }).code }
  },
}

/** What is expected of all. */
export const expected: Record<string, unknown> = {
  'a client that stays: echo, both kinds, and a close of its own': {
    got: ['hello ✓', [0, 1, 255], ''],
    protocol: 'chat.v2',
    close: 3001,
    reason: '',
    state: 'closed',
    errors: [],
  },
  'a client with a key on P-256, many messages and a big one, in order': { ok: 350, big: true },
  'a client with the classical suite, by name': 'x',
  'a credential that is bound to no key is refused, inside the seal': { close: 4001, code: 'seal.unbound' },
  'another pin': { close: 4905, code: 'local.pin', opened: false, errors: ['local.pin'] },
  'another key document': { close: 4905, code: 'local.keys' },
  'a gate without a seal gets no credential': { opened: false, error: true },
  'ended by the operator: the door says so inside': { close: 4208, code: 'admin.closed' },
  'keys that changed after they were fetched': ['open', 'open'],
  'the drop-in: echo of text, bytes and a blob': {
    got: ['hello', [1, 2, 3], [98, 108, 111, 98]],
    long: true,
    waiting: true,
    protocol: 'chat.v1',
    state: 2,
    end: { code: 3000, reason: '', wasClean: true },
  },
  'the drop-in: the backend closes with its own code': {
    end: { code: 4123, reason: 'that is all', wasClean: true },
    protocol: '',
    state: 3,
  },
  'the drop-in: another pin fails like any handshake': { seen: ['error', 'close'], code: 1006, cause: 'local.pin' },
}
