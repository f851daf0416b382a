// What clients do with a seal against the real program, in every runtime. No test framework in here.
import { type Client, createClient } from '../../src/client.js'
import { type Kems, MLKEM768_X25519, type Seal, type SealOptions, sealed, X25519 } from '../../src/crypto/index.js'
import type { Ending } from '../../src/machine-state.js'
import { secureWebSocket } from '../../src/socket.js'

/** Where the program and the issuer of tokens are. */
export interface Place {
  url: string
  pin: string
  issuer: string
  /** The page's, which programs name of their own accord. */
  origin: string
}

/** What a runtime lacks: a kem, a WebSocket, an origin of its own. */
export interface Platform {
  hpke?: Kems
  WebSocket?: new (url: string, ...rest: never[]) => object
}

/** A device's key and its thumbprint (RFC 7638). */
async function enrol(name: 'Ed25519' | 'ECDSA'): Promise<{ device: CryptoKeyPair; jkt: string }> {
  const device = (await crypto.subtle.generateKey({ name, namedCurve: 'P-256' }, false, ['sign', 'verify'])) as CryptoKeyPair
  const { crv, kty, x, y } = await crypto.subtle.exportKey('jwk', device.publicKey)
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify({ crv, kty, x, ...(y && { y }) })))
  const jkt = btoa(String.fromCharCode(...new Uint8Array(hash)))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace('=', '')
  return { device, jkt }
}

const once = <T>(target: EventTarget, type: string): Promise<T> =>
  new Promise(done => target.addEventListener(type, e => done((e as CustomEvent).detail ?? e), { once: true }))

/** Plays all scenes, one after the other; what each returns is compared with {@link expected}. */
export async function play(place: Place, { hpke, WebSocket }: Platform = {}): Promise<Record<string, unknown>> {
  // A ticket is for the origin that bought it. Pages cannot say another one than theirs.
  const own = globalThis.document ? {} : { origin: place.origin }
  const seal = (more: Partial<SealOptions> = {}): Seal => sealed({ pins: [place.pin], ...(hpke && { hpke }), ...own, ...more })
  const token = async (query: string) => (await fetch(`${place.issuer}/token?${query}`)).text()
  const ws = (path: string) => place.url.replace('https', 'wss') + path
  // The ends of the first connection or attempt.
  const end = async (client: Client) => {
    const over = once<Ending>(client as never, 'close')
    client.connect().catch(() => {})
    const { close, code, opened } = await over
    await client.close()
    return { close, code, opened }
  }
  const scenes: Record<string, () => Promise<unknown>> = {
    async 'a client with an Ed25519 key: messages of all sizes, in order'() {
      const { device, jkt } = await enrol('Ed25519')
      const client = createClient(ws('/required?room=1'), {
        WebSocket,
        token: () => token(`jkt=${jkt}`),
        protocols: ['chat.v2', 'chat.v1'],
        seal: seal({ device }),
      })
      await client.connect()
      const messages = client.messages({ count: 1000, bytes: 2 ** 24 })
      const sent = ['hello ✓', Uint8Array.of(0, 1, 255), '', 'x'.repeat(16_380), '😀'.repeat(60_000)]
      for (const m of sent) await client.send(m)
      const same: boolean[] = []
      for (const m of sent) {
        const { value } = await messages.next()
        same.push(typeof m === 'string' ? value === m : `${value}` === `${m}`)
      }
      await client.send('many')
      let many = 0
      for (let i = 0; i < 200; i++) if ((await messages.next()).value === `${i}`) many++
      const { protocol } = client
      await client.close()
      return { same, many, protocol, state: client.state.status }
    },
    async 'the drop-in with a key on P-256, and the backend’s own close'() {
      const { device, jkt } = await enrol('ECDSA')
      const Socket = secureWebSocket({ WebSocket, token: () => token(`jkt=${jkt}`), seal: seal({ device }) })
      const socket = new Socket(ws('/required'), 'chat.v1')
      socket.binaryType = 'arraybuffer'
      const closed = once<CloseEvent>(socket, 'close')
      await Promise.race([once(socket, 'open'), closed.then(() => Promise.reject(socket.cause))])
      const message = once<MessageEvent>(socket, 'message')
      socket.send(Uint8Array.of(1, 2, 3))
      const data = [...new Uint8Array((await message).data)]
      socket.send('close')
      const { code, reason, wasClean } = await closed
      return { data, protocol: socket.protocol, code, reason, wasClean }
    },
    async 'the classical suite, where it is named'() {
      const { device, jkt } = await enrol('Ed25519')
      const how = seal({ device, suites: [X25519, MLKEM768_X25519] })
      const client = createClient(ws('/required'), { WebSocket, token: () => token(`jkt=${jkt}`), seal: how })
      await client.connect()
      const messages = client.messages()
      await client.send('x')
      const { value } = await messages.next()
      await client.close()
      return value
    },
    async 'a ticket, bought with a bearer token, travels inside'() {
      // The endpoint is outside the seal: this gate takes credentials that are bound to no key.
      const client = createClient(ws('/offered'), {
        WebSocket,
        seal: seal(),
        ticket: async ({ gate }) => {
          const headers = { 'content-type': 'application/json', authorization: `Bearer ${await token('')}`, ...own }
          const answer = await fetch(`${place.url}/sallyport/ticket`, { method: 'POST', headers, body: JSON.stringify({ gate }) })
          return answer.json()
        },
      })
      await client.connect()
      const messages = client.messages()
      const got: unknown[] = []
      await client.send('with a ticket')
      got.push((await messages.next()).value)
      client.reconnect('another one') // each ticket is good once
      await client.connect()
      await client.send('with another')
      got.push((await messages.next()).value)
      await client.close()
      return got
    },
    async 'a token that is about to end is renewed inside, and the connection lives on'() {
      const { device, jkt } = await enrol('Ed25519')
      const client = createClient(ws('/required'), { WebSocket, token: () => token(`jkt=${jkt}&life=5`), seal: seal({ device }) })
      await client.connect()
      const { id } = client
      await once(client as never, 'renewed')
      await new Promise(done => setTimeout(done, 2000)) // the first one is over
      const messages = client.messages()
      await client.send('still here')
      const { value } = await messages.next()
      const same = id === client.id
      await client.close()
      return { value, same }
    },
    async 'the token of another device'() {
      const [mine, other] = [await enrol('Ed25519'), await enrol('Ed25519')]
      const how = seal({ device: mine.device })
      return end(createClient(ws('/required'), { WebSocket, token: () => token(`jkt=${other.jkt}`), seal: how }))
    },
    async 'a token that is bound to no key, where one is required'() {
      return end(createClient(ws('/required'), { WebSocket, token: () => token(''), seal: seal() }))
    },
    async 'another pin'() {
      return end(createClient(ws('/required'), { WebSocket, token: 'never.sent', seal: seal({ pins: [`sp1.${'A'.repeat(43)}`] }) }))
    },
  }
  const results: Record<string, unknown> = {}
  for (const [name, scene] of Object.entries(scenes)) {
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise((_, fail) => {
      timer = setTimeout(() => fail(new Error('not within 30 s')), 30_000)
    })
    results[name] = await Promise.race([scene(), late]).catch(error => `failed: ${error?.stack ?? error}`)
    clearTimeout(timer)
  }
  return results
}

/** What {@link play} returns everywhere. */
export const expected: Record<string, unknown> = {
  'a client with an Ed25519 key: messages of all sizes, in order': {
    same: [true, true, true, true, true],
    many: 200,
    protocol: 'chat.v2',
    state: 'closed',
  },
  'the drop-in with a key on P-256, and the backend’s own close': {
    data: [1, 2, 3],
    protocol: 'chat.v1',
    code: 4123,
    reason: 'that is all',
    wasClean: true,
  },
  'the classical suite, where it is named': 'x',
  'a ticket, bought with a bearer token, travels inside': ['with a ticket', 'with another'],
  'a token that is about to end is renewed inside, and the connection lives on': { value: 'still here', same: true },
  'the token of another device': { close: 4001, code: 'seal.unbound', opened: false },
  'a token that is bound to no key, where one is required': { close: 4001, code: 'seal.unbound', opened: false },
  'another pin': { close: 4905, code: 'local.pin', opened: false },
}
