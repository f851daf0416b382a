// The drop-in: a class with the interface and the life cycle of the platform's WebSocket, that fetches a one-time ticket
// for every connection and hides it. One connection each; it never reconnects, and adds nothing to the messages.
import { address, subprotocols, syntax } from './address.js'
import type { Seal } from './crypto/index.js'
import { SallyportError } from './error.js'
import { type Credentials, getTicket, getToken } from './ticket.js'

export { type Problem, SallyportError } from './error.js'
export type { Credentials, Ticket, TicketRequest, TicketSource, TokenSource, Why } from './ticket.js'

/** Options of {@link secureWebSocket}. Without `ticket` and `token` the connection is as good as its cookies. */
export interface SocketOptions extends Credentials {
  /** Longest time for the ticket or token, in milliseconds; then the connection fails. @default 10_000 */
  ticketTimeout?: number | undefined
  /**
   * Used in place of the global `WebSocket`, for example the class of package `ws` in Node 20. With `token` alone it
   * is called as `(url, protocols, { headers })`, as `ws` takes it; the platform's as `(url, { protocols, headers })`.
   */
  WebSocket?: WebSocketLike | undefined
  /**
   * Seals every connection above TLS and refuses any other: `sealed()` of `sallyport/crypto`. The ticket or token travels
   * inside. An endpoint for tickets is outside, and sees what it is sent: with `token`, `ticket` is not used.
   */
  seal?: Seal | undefined
}

/** A constructor whose objects are those of `WebSocket`: the platform's, or that of package `ws`. */
export type WebSocketLike = new (url: string, ...rest: never[]) => object

/** A `WebSocket` that knows more of its failure. */
export interface SecureWebSocket extends WebSocket {
  /**
   * Why the connection failed, as far as it is known: a {@link SallyportError} if it was for want of a ticket, else
   * what the platform says. Set before `error` is fired; undefined until then.
   */
  readonly cause: unknown
}

/** The constructor that {@link secureWebSocket} makes: that of `WebSocket`. */
export interface SecureWebSocketClass {
  new (url: string | URL, protocols?: string | string[]): SecureWebSocket
  readonly prototype: SecureWebSocket
  readonly CONNECTING: 0
  readonly OPEN: 1
  readonly CLOSING: 2
  readonly CLOSED: 3
}

/**
 * Makes a class that can stand wherever a library wants a `WebSocket` constructor.
 *
 * ```ts
 * const SecureWebSocket = secureWebSocket({ ticket: '/sallyport/ticket' })
 * const ws = new SecureWebSocket('wss://rt.example.com/ws', 'chat.v1')
 * ```
 *
 * While the ticket is fetched the socket is CONNECTING. If there is none, `error` and `close` with 1006 follow, as after
 * any failed handshake, and `cause` says why. The constructor throws a SyntaxError where the platform's does, and also
 * for `ws:` (unless `dangerouslyAllowPlaintext` is given) and for subprotocols that begin with `sallyport`.
 */
export function secureWebSocket(options: SocketOptions = {}): SecureWebSocketClass {
  class Socket extends EventTarget {
    readonly #url: URL
    readonly #own: string[] // the subprotocols of the application
    readonly #abort = new AbortController() // aborted once this object has failed by itself
    readonly #late: ReturnType<typeof setTimeout>
    readonly #on: Record<string, unknown> = {}
    readonly #listener = (event: Event) => {
      const f = this.#on[event.type]
      if (typeof f === 'function') f.call(this, event)
    }
    // Stands in for the platform's socket while there is none, and after a failure of our own.
    readonly #none = {
      readyState: 0 as 0 | 1 | 2 | 3,
      protocol: '',
      extensions: '',
      bufferedAmount: 0,
      binaryType: 'blob' as BinaryType,
      send: (data: unknown) => {
        this.#none.bufferedAmount += size(data as BlobPart)
      },
      close: () => {
        this.#none.readyState ||= 2
        this.#fail(new SallyportError('aborted', 'closed'))
      },
    }
    #inner: Pick<WebSocket, 'readyState' | 'protocol' | 'extensions' | 'bufferedAmount' | 'binaryType' | 'send' | 'close'> = this.#none
    cause: unknown

    constructor(url: string | URL, protocols: string | string[] = []) {
      if (!arguments.length) throw new TypeError('1 argument required')
      super()
      this.#url = address(url, options)
      this.#own = subprotocols([...(typeof protocols === 'string' ? [protocols] : protocols)].map(String))
      this.#late = setTimeout(() => this.#fail(new SallyportError('timeout', 'no ticket')), options.ticketTimeout ?? 10_000)
      this.#connect().catch(cause => this.#fail(cause))
    }

    get url() {
      return this.#url.href
    }
    get readyState() {
      return this.#inner.readyState
    }
    get protocol() {
      const p = this.#inner.protocol
      return this.#own.includes(p) ? p : ''
    }
    get extensions() {
      return this.#inner.extensions
    }
    get bufferedAmount() {
      return this.#inner.bufferedAmount
    }
    get binaryType() {
      return this.#inner.binaryType
    }
    set binaryType(type) {
      if (type === 'blob' || type === 'arraybuffer') this.#inner.binaryType = type
    }
    get [Symbol.toStringTag]() {
      return 'WebSocket'
    }

    send(data: string) {
      if (!arguments.length) throw new TypeError('1 argument required')
      if (!this.readyState) throw new DOMException('still connecting', 'InvalidStateError')
      this.#inner.send(data)
    }

    close(...args: [code?: number, reason?: string]) {
      const [code, reason = ''] = args
      if (code !== undefined) {
        const n = Math.round(code)
        if (n !== 1000 && !(n > 2999 && n < 5000)) throw new DOMException(`code: ${code}`, 'InvalidAccessError')
      }
      if (size(`${reason}`) > 123) throw syntax('long reason')
      this.#inner.close(...args)
    }

    async #connect() {
      const { signal } = this.#abort
      const request = { reason: 'connect', signal, url: this.url, gate: options.gate ?? this.#url.pathname } as const
      const proof =
        options.ticket && !(options.seal && options.token)
          ? await getTicket(options, request)
          : options.token && (await getToken(options, request))
      if (proof === null) throw new SallyportError('unauthenticated', 'nobody is signed in')
      let good = this.#own // what the server may select
      let rest: unknown[] = [good]
      if (typeof proof === 'object') {
        // Within a seal nobody outside says what is spoken.
        if (!good.length && !options.seal) good = [proof.protocol ?? 'sallyport']
        rest = [[proof.ticket, ...good]]
      } else if (proof) {
        const headers = { authorization: `Bearer ${proof}` }
        rest = options.WebSocket ? [good, { headers }] : [{ protocols: good, headers }]
      }
      if (signal.aborted) return
      clearTimeout(this.#late)
      const Inner = (options.seal?.(options) ?? options.WebSocket ?? WebSocket) as new (url: string, ...rest: unknown[]) => WebSocket
      const inner = new Inner(this.url, ...rest)
      inner.binaryType = this.binaryType
      this.#inner = inner
      inner.onmessage = ({ data }) => this.dispatchEvent(new MessageEvent('message', { data, origin: this.#url.origin }))
      inner.onclose = ({ code, reason, wasClean }) => this.dispatchEvent(closeEvent({ code: code || 1006, reason, wasClean }))
      const drop = (cause: unknown) => {
        // Not null: an error that nobody listens to is thrown by package ws.
        inner.onmessage = inner.onclose = inner.onerror = () => {}
        inner.close()
        this.#none.readyState = inner.readyState && 2 // until the events
        this.#inner = this.#none
        this.#fail(cause)
      }
      // Node 22 sends no close event after a failed handshake, and Deno one with code 0; so the end is told from here.
      inner.onerror = event => {
        const cause = (event as ErrorEvent).error ?? (event as ErrorEvent).message
        if (!opened) return drop(cause)
        this.cause = cause
        this.dispatchEvent(new Event('error'))
      }
      let opened = false
      inner.onopen = () => {
        // Deno does not check it; and a server that selects the ticket takes whatever comes first: it is no door.
        if (good.length && !good.includes(inner.protocol)) return drop(new SallyportError('protocol', 'wrong subprotocol'))
        opened = true
        this.dispatchEvent(new Event('open'))
      }
    }

    /** Ends this object as after a failed handshake: in a task of its own, so that listeners can be added meanwhile. */
    #fail(cause: unknown) {
      if (this.#abort.signal.aborted) return
      this.#abort.abort(cause)
      clearTimeout(this.#late)
      setTimeout(() => {
        this.#none.readyState = 3
        this.cause = cause
        this.dispatchEvent(new Event('error'))
        this.dispatchEvent(closeEvent({ code: 1006 }))
      })
    }

    static {
      const proto: object = Socket.prototype
      const member = (on: object, name: string, how: PropertyDescriptor) => Object.defineProperty(on, name, { enumerable: true, ...how })
      for (const name of Object.getOwnPropertyNames(proto)) if (name !== 'constructor') member(proto, name, {})
      for (const [value, name] of ['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED'].entries())
        for (const on of [Socket, proto]) member(on, name, { value })
      for (const type of ['open', 'message', 'error', 'close']) {
        member(proto, `on${type}`, {
          configurable: true,
          get(this: Socket) {
            return this.#on[type] ?? null
          },
          // A handler keeps its place among the listeners until it is set to null.
          set(this: Socket, f: unknown) {
            const set = Object(f) === f
            this.#on[type] = set ? f : null
            this[set ? 'addEventListener' : 'removeEventListener'](type, this.#listener)
          },
        })
      }
    }
  }
  return Socket as unknown as SecureWebSocketClass
}

const size = (data: BlobPart) => new Blob([data]).size // as UTF-8

// Node 22 has no global CloseEvent.
const closeEvent = (init: CloseEventInit) =>
  globalThis.CloseEvent ? new CloseEvent('close', init) : Object.assign(new Event('close'), { reason: '', wasClean: false }, init)
