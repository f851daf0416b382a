// The sockets of a client: it does what the machine asks for, and tells it what happens.
import type { Seal } from './crypto/index.js'
import { SallyportError } from './error.js'
import type { ClientEvents } from './events.js'
import type { Ending, Happening } from './machine-state.js'
import { acknowledge, type Lane, lane } from './queue.js'
import { type Credentials, getTicket, getToken, type Why } from './ticket.js'
import { control, judge, offer, read, shown } from './wire.js'

/** A constructor whose objects are those of `WebSocket`: the platform's, or that of package `ws`. */
export type WebSocketLike = new (url: string, ...rest: never[]) => object

/** How a connection ended that the application, or the network, ended. */
export interface AppEnd {
  code: number
  reason: string
  wasClean: boolean
}

/** One connection. */
export interface Conn {
  readonly gen: number
  readonly abort: AbortController
  socket?: WebSocket
  protocol: string
  /** Set by hello. */
  lane?: Lane
  /** Nothing more is handed to it. */
  shut: boolean
  /** The code that the door announced. */
  announced?: string
}

/** What the sockets need of the client. */
export interface Owner {
  url: URL
  options: Credentials & { WebSocket?: WebSocketLike | undefined; seal?: Seal | undefined }
  protocols: readonly string[]
  step(happening: Happening): void
  tell<K extends keyof ClientEvents>(type: K, detail: ClientEvents[K]): void
  retry(end: AppEnd): boolean
}

/** A new connection, without a socket. */
export function conn(gen: number): Conn {
  return { gen, abort: new AbortController(), protocol: '', shut: false }
}

/** Whether messages can be handed to it. */
export function ready(c: Conn | undefined): c is Conn & { lane: Lane; socket: WebSocket } {
  return !!c?.lane && !c.shut && c.socket?.readyState === 1
}

/** Gets a ticket and opens a socket with it. */
export function dial(o: Owner, c: Conn, why: Why): void {
  credential(o, c, why, ({ ticket, token }) => {
    const { url, options } = o
    const protocols = offer(o.protocols, ticket)
    const headers = { authorization: `Bearer ${token}` }
    // A page cannot set headers, and then there is no token here. Programs can: ws takes them apart, the platforms in one object.
    const rest = !token ? [protocols] : options.WebSocket ? [protocols, { headers }] : [{ protocols, headers }]
    const Socket = (options.seal?.(options, true) ?? options.WebSocket ?? WebSocket) as new (url: string, ...rest: unknown[]) => WebSocket
    const s = new Socket(url.href, ...rest)
    c.socket = s
    s.binaryType = 'arraybuffer'
    s.onopen = () => {
      const app = shown(s.protocol)
      if (app === undefined) fault(o, c)
      else c.protocol = app
    }
    s.onmessage = ({ data }) => receive(o, c, data)
    const closed = ({ code: told, reason = '', wasClean = false }: Partial<AppEnd>) => {
      // Deno says 0; 4905 is said by the seal on this side, and by nobody else.
      const code = (wasClean && told === 4905 ? 0 : told) || 1006
      const retry = !judge(code, reason, c.announced) && o.retry({ code, reason, wasClean })
      o.step({ type: 'closed', gen: c.gen, close: code, reason, retry })
    }
    s.onerror = event => {
      const { error } = event as ErrorEvent
      if (error) o.tell('error', error)
      // Node 22 tells no close of a handshake that failed. Elsewhere it follows, and is one too many.
      if (!c.lane && !c.announced) closed(event as Partial<AppEnd>)
    }
    s.onclose = closed
  })
}

/** Gets a ticket and renews with it, over the open connection. */
export function renew(o: Owner, c: Conn, why: Why): void {
  credential(o, c, why, got => {
    if (ready(c)) c.socket.send(control({ t: 'renew', ...got }))
  })
}

async function credential(o: Owner, c: Conn, reason: Why, use: (got: { ticket?: string; token?: string }) => void): Promise<void> {
  const { gen } = c
  const { signal } = c.abort
  const { options, url } = o
  const request = { reason, signal, url: url.href, gate: options.gate ?? url.pathname }
  try {
    let got: { ticket?: string; token?: string } | null = {}
    if (options.ticket && !(options.seal && options.token)) {
      const t = await getTicket(options, request)
      got = t && { ticket: t.ticket }
    } else if (options.token) {
      const token = await getToken(options, request)
      got = token ? { token } : null
    }
    if (signal.aborted) return
    if (got) use(got)
    else o.step({ type: 'none', gen })
  } catch (error) {
    if (signal.aborted) return
    o.tell('error', error)
    const { retryAfter } = error as { retryAfter?: number | undefined }
    o.step({ type: 'failed', gen, why: `${error}`, retryAfter })
  }
}

function fault(o: Owner, c: Conn): void {
  o.tell('error', new SallyportError('protocol', 'not sallyport.v1'))
  o.step({ type: 'fault', gen: c.gen })
}

function receive(o: Owner, c: Conn, raw: string | ArrayBuffer): void {
  const { gen } = c
  const message = read(raw)
  if (!message) return fault(o, c)
  const { data, control: m } = message
  if (m?.t === 'hello') {
    c.lane ??= lane(m)
    return o.step({ type: 'hello', gen, hello: m, protocol: c.protocol })
  }
  if (!m) {
    // Whatever is not known is ignored, even before hello; it is a sign of life.
    if (data !== undefined || c.lane) o.step({ type: 'message', gen })
    // A message before hello is a fault, and then the connection is over.
    if (data !== undefined && !c.abort.signal.aborted) o.tell('message', data)
    return
  }
  if (m.t === 'close') {
    c.announced = m.code
    c.shut = true
  }
  const news = c.lane && 'got' in m
  if (news && !acknowledge(c.lane!, m.got)) return fault(o, c)
  o.step({ type: 'control', gen, control: m })
  if (m.t === 'renewed') o.tell('renewed', { expiresIn: m.expires_in })
  if (news && !c.lane!.sent.length) o.step({ type: 'settled', gen })
}

/** Forgets a connection; what it still does is heard by nobody. */
export function drop(c: Conn, { close: code, reason }: Ending): void {
  c.abort.abort()
  const s = c.socket as (WebSocket & { terminate?(): void }) | undefined
  if (!s) return
  s.onopen = s.onmessage = s.onclose = null
  // The class of package ws throws an error that nobody hears.
  s.onerror = () => {}
  const late = s.readyState === 2
  s.close(code === 1000 || code > 2999 ? code : 1000, reason)
  // A peer that is gone does not answer a close; where that can be cut short, it does not hold up the process.
  if (late || code === 4900) s.terminate?.()
}
