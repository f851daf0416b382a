// A WebSocket whose other end is in the same program.
import type { Data } from '../wire.js'

/** The other end of a {@link FakeSocket}. */
export interface Peer {
  /** The handshake succeeds with this subprotocol. */
  open(protocol: string): void
  message(data: string | Uint8Array): void
  /** A close frame. */
  close(code: number, reason: string): void
  /** The connection breaks. */
  lose(): void
  readonly stalled: boolean
  /** Nothing moves any more, or what stood still moves on. */
  stall(yes: boolean): void
  onmessage: (data: Data) => void
  onclose: (code: number, reason: string) => void
}

type Handler = ((event: never) => void) | null

const size = (data: string | Uint8Array) => (typeof data === 'string' ? new TextEncoder().encode(data).length : data.length)

/** The part of `WebSocket` that a client uses, with its life cycle. */
export class FakeSocket extends EventTarget {
  readonly url: string
  readonly peer: Peer
  readyState = 0
  protocol = ''
  extensions = ''
  binaryType: BinaryType = 'blob'
  bufferedAmount = 0
  onopen: Handler = null
  onmessage: Handler = null
  onerror: Handler = null
  onclose: Handler = null
  #later: (f: () => void) => void
  // What is on its way, in order, and how much of it has been on its way for long enough.
  #under: (() => void)[] = []
  #arrived = 0
  #stalled = false

  /** later runs a function after the latency of the network, in order. */
  constructor(url: string, later: (f: () => void) => void) {
    super()
    this.url = url
    this.#later = later
    for (const type of ['open', 'message', 'error', 'close'] as const) {
      this.addEventListener(type, event => (this[`on${type}`] as ((event: Event) => void) | null)?.(event))
    }
    const socket = this
    this.peer = {
      open: protocol =>
        this.#move(() => {
          if (this.readyState) return
          this.readyState = 1
          this.protocol = protocol
          this.dispatchEvent(new Event('open'))
        }),
      message: data =>
        this.#move(() => {
          // As in browsers: what arrives after close() was called is dropped.
          if (this.readyState !== 1) return
          this.dispatchEvent(new MessageEvent('message', { data: typeof data === 'string' ? data : Uint8Array.from(data).buffer }))
        }),
      close: (code, reason) => this.#move(() => this.#closed(code, reason, true)),
      lose: () => this.#later(() => this.#closed(1006, '', false)),
      get stalled() {
        return socket.#stalled
      },
      stall: yes => {
        this.#stalled = yes
        this.#arrive()
      },
      onmessage() {},
      onclose() {},
    }
  }

  send(data: string | Uint8Array): void {
    if (!this.readyState) throw new DOMException('Still connecting', 'InvalidStateError')
    this.bufferedAmount += size(data)
    if (this.readyState !== 1) return
    this.#move(() => {
      this.bufferedAmount -= size(data)
      this.peer.onmessage(typeof data === 'string' ? data : data.slice())
    })
  }

  close(code = 1005, reason = ''): void {
    if (code !== 1005 && code !== 1000 && !(code > 2999 && code < 5000)) throw new DOMException(`code ${code}`, 'InvalidAccessError')
    if (size(reason) > 123) throw new DOMException('reason', 'SyntaxError')
    if (this.readyState > 1) return
    const connecting = !this.readyState
    this.readyState = 2
    this.#move(() => this.peer.onclose(code, reason))
    if (connecting) this.#later(() => this.#closed(1006, '', false))
  }

  #move(f: () => void): void {
    this.#under.push(f)
    this.#later(() => {
      this.#arrived++
      this.#arrive()
    })
  }

  #arrive(): void {
    for (; this.#arrived && !this.#stalled; this.#arrived--) this.#under.shift()!()
  }

  #closed(code: number, reason: string, wasClean: boolean): void {
    if (this.readyState === 3) return
    this.readyState = 3
    if (!wasClean) this.dispatchEvent(new Event('error'))
    // Node 22 has no global CloseEvent.
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason, wasClean }))
  }
}
