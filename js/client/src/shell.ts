// The sockets of a client: it does what the machine asks for, and tells it what happens.
import type { Ending, Happening } from './machine-state.js'
import { acknowledge, type Lane, lane } from './queue.js'
import { type Credentials, getTicket, getToken, type Why } from './ticket.js'
import { control, type Data, type Hello, judge, offer, read, shown } from './wire.js'

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
  socket: WebSocket | undefined
  protocol: string
  /** Set by hello. */
  lane: Lane | undefined
  /** Nothing more is handed to it. */
  shut: boolean
  /** The code that the door announced. */
  announced: string | undefined
}

/** What the sockets need of the client. */
export interface Owner {
  url: string
  gate: string
  options: Credentials & { WebSocket?: WebSocketLike | undefined }
  protocols: readonly string[]
  /** The machine's clock. */
  time(): number
  step(happening: Happening): void
  message(data: Data): void
  acknowledged(): void
  renewed(expiresIn: number | undefined): void
  failed(error: unknown): void
  retry(end: AppEnd): boolean
}

/** A new connection, without a socket. */
export function conn(gen: number): Conn {
  return { gen, abort: new AbortController(), socket: undefined, protocol: '', lane: undefined, shut: false, announced: undefined }
}

/** Whether messages can be handed to it. */
export function ready(c: Conn | undefined): c is Conn & { lane: Lane; socket: WebSocket } {
  return !!c?.lane && !c.shut && c.socket?.readyState === 1
}

/** Gets a ticket and opens a socket with it. */
export function dial(o: Owner, c: Conn, why: Why): void {
  credential(o, c, why, ({ ticket, token }) => {
    const protocols = offer(o.protocols, ticket)
    const headers = { authorization: `Bearer ${token}` }
    // A page cannot set headers, and then there is no token here. Programs can: ws takes them apart, the platforms in one object.
    const rest = !token ? [protocols] : o.options.WebSocket ? [protocols, { headers }] : [{ protocols, headers }]
    const Socket = (o.options.WebSocket ?? WebSocket) as new (url: string, ...rest: unknown[]) => WebSocket
    const s = new Socket(o.url, ...rest)
    c.socket = s
    s.binaryType = 'arraybuffer'
    s.onopen = () => {
      const app = shown(s.protocol)
      if (app === undefined) fault(o, c, 'the server does not speak sallyport.v1')
      else c.protocol = app
    }
    s.onmessage = ({ data }) => receive(o, c, data)
    s.onerror = event => {
      const { error } = event as ErrorEvent
      if (error) o.failed(error)
    }
    s.onclose = ({ code, reason, wasClean }) => {
      const retry = !judge(code, reason, c.announced) && o.retry({ code, reason, wasClean })
      o.step({ type: 'closed', gen: c.gen, close: code, reason, retry })
    }
  })
}

/** Gets a ticket and renews with it, over the open connection. */
export function renew(o: Owner, c: Conn, why: Why): void {
  credential(o, c, why, ({ ticket, token }) => {
    if (ready(c)) c.socket.send(control(ticket ? { t: 'renew', ticket } : { t: 'renew', token: token! }))
  })
}

async function credential(o: Owner, c: Conn, reason: Why, use: (got: { ticket?: string; token?: string }) => void): Promise<void> {
  const { signal } = c.abort
  const { options, url, gate } = o
  const request = { reason, signal, url, gate }
  try {
    let got: { ticket?: string; token?: string } | undefined = {}
    if (options.ticket) {
      const t = await getTicket(options, request)
      got = t ? { ticket: t.ticket } : undefined
    } else if (options.token) {
      const token = await getToken(options, request)
      got = token ? { token } : undefined
    }
    if (signal.aborted) return
    if (got) use(got)
    else o.step({ type: 'none', gen: c.gen })
  } catch (error) {
    if (signal.aborted) return
    o.failed(error)
    const { message = error, retryAfter } = error as { message?: unknown; retryAfter?: unknown }
    o.step({
      type: 'failed',
      gen: c.gen,
      why: String(message),
      retryAfter: typeof retryAfter === 'number' && retryAfter > 0 ? retryAfter : 0,
    })
  }
}

function fault(o: Owner, c: Conn, why: string): void {
  o.failed(new Error(why))
  o.step({ type: 'fault', gen: c.gen, why })
}

function receive(o: Owner, c: Conn, data: string | ArrayBuffer): void {
  const { gen } = c
  const r = read(data)
  if (r.is === 'fault') return fault(o, c, r.why)
  if (r.is === 'ignored') return c.lane && o.step({ type: 'message', gen })
  if (r.is === 'application') {
    o.step({ type: 'message', gen })
    // A message before hello is a fault, and then the connection is over.
    if (!c.abort.signal.aborted) o.message(r.data)
    return
  }
  const m = r.control
  if (m.t === 'hello') return hello(o, c, m)
  if (m.t === 'close') {
    c.announced = m.code
    c.shut = true
  }
  if ('got' in m && c.lane && !acknowledge(c.lane, m.got)) return fault(o, c, 'more has arrived than was sent')
  o.step({ type: 'control', gen, control: m })
  if (m.t === 'renewed') o.renewed(m.expires_in)
  if ('got' in m) {
    if (c.lane && !c.lane.sent.length) o.step({ type: 'settled', gen })
    o.acknowledged()
  }
}

function hello(o: Owner, c: Conn, m: Hello): void {
  c.lane ??= lane(m, o.time())
  o.step({ type: 'hello', gen: c.gen, hello: m, protocol: c.protocol })
}

/** Forgets a connection; what it still does is heard by nobody. */
export function drop(c: Conn, { close: code, reason }: Ending): void {
  c.abort.abort()
  const s = c.socket as (WebSocket & { terminate?(): void }) | undefined
  if (!s || s.readyState === 3) return
  s.onopen = s.onmessage = s.onclose = null
  // The class of package ws throws an error that nobody hears.
  s.onerror = () => {}
  const late = s.readyState === 2
  if (!late) s.close(code === 1000 || code > 2999 ? code : 1000, reason)
  // A peer that is gone does not answer a close; where that can be cut short, it does not hold up the process.
  if (late || code === 4900) s.terminate?.()
}
