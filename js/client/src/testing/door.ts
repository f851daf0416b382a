// A door in memory: it speaks sallyport.v1, does by itself what a door does by itself, and the rest as a test says.
import type { Ticket, TicketRequest } from '../ticket.js'
import type { Control, Data, Hello } from '../wire.js'
import type { VirtualClock } from './clock.js'
import { FakeSocket, type Peer } from './socket.js'

/** Options of {@link fakeDoor}. */
export interface DoorOptions {
  /** Members of hello that differ from `{beat: 25, idle: 60, ends_in: 86400, max_message: 65536}`. */
  hello?: Partial<Hello>
  /** How long a message takes in each direction, in milliseconds. @default 0 */
  latency?: number
  /** What happens to a handshake. @default it is accepted */
  handshake?: (connection: FakeConnection) => void
}

/** A door in memory. */
export interface FakeDoor {
  /** Give this to the client as its `WebSocket`. */
  readonly WebSocket: new (
    url: string,
    protocols?: string | string[],
  ) => object
  /** A source of one-time tickets of this door. A ticket that comes twice is refused with `auth.ticket-used`. */
  readonly ticket: (request: TicketRequest) => Promise<Ticket | null>
  /** What was asked of `ticket`, in order. */
  readonly requests: TicketRequest[]
  /** Every handshake so far, in order. */
  readonly connections: FakeConnection[]
  handshake: (connection: FakeConnection) => void
  /** The last handshake; throws if there was none. */
  last(): FakeConnection
}

/** One connection, seen from the door. Everything it does reaches the client when the clock moves. */
export interface FakeConnection {
  readonly url: string
  /** The subprotocols offered. */
  readonly offered: readonly string[]
  /** What the third argument of the constructor said, if there was one. */
  readonly headers: Record<string, string> | undefined
  /** `handshake`, `open` or `closed`. */
  readonly state: 'handshake' | 'open' | 'closed'
  /** How the client closed it, or it was closed here. */
  readonly ended: { code: number; reason: string } | undefined
  /** The application messages that arrived. */
  readonly received: Data[]
  /** The control messages that arrived. */
  readonly commands: { t: string; ticket?: string; token?: string }[]
  /** How many messages were handed over, i.e. `got`. @default those received */
  got: number | undefined
  /** Whether beats, and answers to `probe` and `renew`, are sent without being told to. @default true */
  lively: boolean
  /** The cable is cut: nothing moves in either direction, and nobody is told. */
  stalled: boolean
  /** Lets the client in. protocol: the token selected. @default the first offered that is no ticket */
  accept(options?: { protocol?: string; hello?: Partial<Hello> | false }): void
  /** Fails the handshake, as a page sees an HTTP status: 1006. */
  fail(): void
  /** Lets the client in only to say why not. */
  refuse(code: string, close: number, title: string, retryAfter?: number): void
  send(data: string | Uint8Array): void
  /** Sends a control message. */
  control(message: Control): void
  /** Sends a message as it is: a fault, for example. */
  raw(data: string | Uint8Array): void
  /** Ends it for a reason of the door: announced, with the text of that form. */
  end(code: string, close: number, title: string, retryAfter?: number): void
  /** Ends it as the application would. */
  close(code: number, reason?: string): void
  /** The network breaks, and the client's platform notices: 1006. */
  lose(): void
}

/** Makes a door that lives by clock. */
export function fakeDoor(clock: VirtualClock, options: DoorOptions = {}): FakeDoor {
  const { latency = 0 } = options
  const redeemed = new Set<string>()
  let minted = 0
  const door: FakeDoor = {
    requests: [],
    connections: [],
    handshake: options.handshake ?? (c => c.accept()),
    last() {
      const c = door.connections.at(-1)
      if (!c) throw new Error('nobody came yet')
      return c
    },
    async ticket(request) {
      door.requests.push(request)
      return { ticket: `sallyport.ticket.${++minted}`, protocol: 'sallyport', expires_in: 10 }
    },
    WebSocket: class extends FakeSocket {
      constructor(url: string, protocols: string | string[] = [], rest?: { headers?: Record<string, string> }) {
        super(url, f => clock.later(latency, f))
        const offered = [protocols].flat()
        const c = connection(clock, this, options.hello ?? {}, `c${door.connections.length + 1}`, offered, rest?.headers)
        door.connections.push(c)
        clock.later(latency, () => {
          if (c.state === 'closed') return
          const ticket = offered.find(p => p.startsWith('sallyport.ticket.'))
          if (ticket && redeemed.has(ticket)) c.refuse('auth.ticket-used', 4001, 'Unauthorized')
          else door.handshake(c)
          if (ticket) redeemed.add(ticket)
        })
      }
    },
  }
  return door
}

function connection(
  clock: VirtualClock,
  socket: FakeSocket,
  defaults: Partial<Hello>,
  id: string,
  offered: readonly string[],
  headers: Record<string, string> | undefined,
): FakeConnection {
  const peer: Peer = socket.peer
  let beat = 25
  let silence = () => {}
  const open = () => c.state === 'open'

  /** Every message of the door begins its silence again, at the end of which it beats. */
  function say(data: string | Uint8Array): void {
    if (!open()) return
    peer.message(data)
    silence()
    silence = clock.later(beat * 1000, () => (c.lively ? c.control({ t: 'beat', got: count() }) : undefined))
  }
  const count = () => c.got ?? c.received.length
  const ended = (code: number, reason: string) => {
    silence()
    Object.assign(c, { state: 'closed', ended: { code, reason } })
  }

  const c: FakeConnection = {
    url: socket.url,
    offered,
    headers,
    state: 'handshake',
    ended: undefined,
    received: [],
    commands: [],
    got: undefined,
    lively: true,
    get stalled() {
      return peer.stalled
    },
    set stalled(yes) {
      peer.stall(yes)
    },
    accept({ protocol = offered.find(p => !p.startsWith('sallyport.ticket.')) ?? '', hello } = {}) {
      peer.open(protocol)
      Object.assign(c, { state: 'open' })
      if (hello === false) return
      const m: Hello = { t: 'hello', id, beat: 25, idle: 60, ends_in: 86_400, max_message: 65_536, ...defaults, ...hello }
      beat = m.beat
      c.control(m)
    },
    fail() {
      ended(1006, '')
      peer.lose()
    },
    refuse(...why) {
      c.accept({ hello: false })
      c.end(...why)
    },
    send: data => say(typeof data === 'string' ? `\0${data}` : Uint8Array.of(0, ...data)),
    control: message => say(`\x01${JSON.stringify(message)}`),
    raw: say,
    end(code, close, title, retryAfter) {
      c.control({ t: 'close', code, got: count(), ...(retryAfter !== undefined && { retry_after: retryAfter }) })
      c.close(close, `${title};${code}`)
    },
    close(code, reason = '') {
      if (!open()) return
      ended(code, reason)
      peer.close(code, reason)
    },
    lose() {
      ended(1006, '')
      peer.lose()
    },
  }

  peer.onmessage = data => {
    if (!open()) return
    if (typeof data !== 'string') c.received.push(data.slice(1))
    else if (data[0] === '\0') c.received.push(data.slice(1))
    else command(JSON.parse(data.slice(1)))
  }
  function command(m: FakeConnection['commands'][0]): void {
    c.commands.push(m)
    if (!c.lively) return
    if (m.t === 'probe') c.control({ t: 'beat', got: count() })
    if (m.t === 'renew') c.control({ t: 'renewed', expires_in: 300 })
  }
  peer.onclose = (code, reason) => {
    if (c.state === 'closed') return
    const wasOpen = open()
    ended(code, reason)
    if (wasOpen) peer.close(code, reason)
  }
  return c
}
