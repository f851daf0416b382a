// A door in memory that clients find by its pin: an identity, its documents, and the server's end of their sockets.
import { ascii, type Bytes, join, label, lp, sha, uint } from '../../src/crypto/bytes.js'
import { auth, end, text } from '../../src/crypto/half.js'
import { type SealOptions, sealed, X25519 } from '../../src/crypto/index.js'
import { accept, type ServerKey, type ServerSession, serverKey, serverSession, suite, utf8 } from './setup.js'

export const authority = 'app.example.com:443'
export const hello = '\x01{"t":"hello","id":"x","beat":30,"idle":60,"ends_in":3600,"max_message":1000000}'
const seconds = () => Math.floor(Date.now() / 1000)

/** What signs documents. */
export interface Identity {
  pair: CryptoKeyPair
  raw: Bytes
  pin: string
}

export async function identity(): Promise<Identity> {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair
  const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))
  return { pair, raw, pin: `sp1.${Buffer.from(await sha(label('identity', raw))).toString('base64url')}` }
}

/** A signed document of some keys, good for a day. others: so many signatures of strangers stand before that of the identity. */
export async function signed(id: Identity, generation: number, keys: ServerKey[], others = 0): Promise<Bytes> {
  const now = seconds()
  const time = (from: number, until: number) => join(uint(from, 8), uint(until, 8))
  const body = join(
    Uint8Array.of(0x53, 0x50, 0x4b, 1),
    uint(generation, 4),
    time(now - 100, now + 86_400),
    lp(ascii(authority)),
    uint(keys.length, 1),
    ...keys.map(k => join(uint(k.suite.id, 2), time(now - 100, now + 86_400), lp(k.public))),
  )
  const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', id.pair.privateKey, label('keys', body)))
  const strangers = Array.from({ length: others }, () => crypto.getRandomValues(new Uint8Array(96)))
  return join(body, uint(1 + others, 1), ...strangers, join(id.raw, signature))
}

/** The socket below, with a door at its other end that says hello to whoever presents a credential. */
export class Line {
  readyState = 0
  binaryType = ''
  bufferedAmount = 0
  protocol = ''
  sent: Bytes[] = []
  /** How it was closed first. */
  closed: unknown[] | undefined
  opened: { kind: number; data: Bytes }[] = []
  server: ServerSession | undefined
  onopen?: () => void
  onmessage?: ((e: { data: unknown }) => void) | null
  onclose?: ((e: { code: number; reason: string }) => void) | null
  private order: Promise<unknown> = Promise.resolve()

  constructor(
    readonly url: string,
    readonly protocols: string[],
    private key: ServerKey,
    private greets: boolean,
  ) {
    setTimeout(() => {
      if (this.readyState) return
      this.readyState = 1
      this.protocol = protocols[0]!
      this.onopen?.()
    })
  }
  send(m: Bytes) {
    this.sent.push(m)
    this.order = this.order.then(() => this.hear(m))
  }
  private async hear(m: Bytes) {
    if (!this.server) {
      const a = await accept(this.key, [this.protocols[0]!, authority, '/ws', ''], m)
      this.server = await serverSession(this.key, a)
      this.deliver(a.answer)
      return
    }
    const o = await this.server.open(m)
    this.opened.push(o)
    if (o.kind === auth && this.greets) await this.say(hello)
  }
  async say(message: string, kind: 1 | 2 = text, more = false) {
    this.deliver(await this.server!.seal(kind, utf8(message), more))
  }
  /** The sealed end of the door. */
  async end(code: number, reason = '') {
    this.deliver(await this.server!.seal(end, join(uint(code, 2), utf8(reason))))
  }
  deliver(data: Bytes) {
    this.onmessage?.({ data: data.slice().buffer })
  }
  close(...args: unknown[]) {
    this.closed ??= args
    this.readyState = 2
  }
}

/** A door and the options of a client for it. greets: whether it says hello to credentials. */
export async function pinned({ greets = true, ...more }: { greets?: boolean } & Partial<SealOptions> = {}) {
  const id = await identity()
  const key = await serverKey(await suite(2))
  const lines: Line[] = []
  class Below extends Line {
    constructor(url: string, protocols: string[]) {
      super(url, protocols, key, greets)
      lines.push(this)
    }
  }
  const document = await signed(id, 1, [key])
  const asked: RequestInit[] = []
  const get = async (_: unknown, how: RequestInit = {}) => {
    asked.push(how)
    return new Response(document)
  }
  const options = {
    fetch: get as typeof fetch,
    WebSocket: Below as never,
    ticket: async () => ({ ticket: 'sallyport.ticket.abc' }),
    seal: sealed({ pins: [id.pin], suites: [X25519], ...more }),
  }
  return { id, key, lines, asked, options }
}
