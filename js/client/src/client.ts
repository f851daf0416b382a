// createClient: a connection that stays. The machine decides, the shell does, and this is what an application sees.
import { address } from './address.js'
import { type Env, platform } from './browser.js'
import type { Seal } from './crypto/index.js'
import type { Abortable, Bounds, ClientEvents, Listener } from './events.js'
import type { Status } from './machine-state.js'
import type { QueueOptions, SendOptions } from './queue.js'
import type { AppEnd, WebSocketLike } from './shell.js'
import { check, engine } from './shell-engine.js'
import type { Credentials } from './ticket.js'
import { type Data, type Hello, offer } from './wire.js'

/** Options of {@link createClient}. Times are in milliseconds. Without `ticket` and `token` the connection is as good as its cookies. */
export interface ClientOptions extends Credentials {
  /** The application's subprotocols, in the order of preference. */
  protocols?: string | readonly string[] | undefined
  /**
   * The wait before attempt n is random between 0 and min(max, base * 2^n). n counts from 0 again once a connection
   * was open for stableAfter. @default { base: 500, max: 30_000, stableAfter: 10_000 }
   */
  backoff?: { base?: number; max?: number; stableAfter?: number } | undefined
  /** Longest time for ticket, handshake and hello together. @default 10_000 */
  connectTimeout?: number | undefined
  /** Ends the client with `elapsed` when it was not connected for so long. @default without a limit */
  maxElapsed?: number | undefined
  /** Bounds of what waits to be sent. */
  queue?: QueueOptions | undefined
  /**
   * Decides whether to connect again after an end that is the application's or the network's, not the door's.
   * @default true for 1001, 1005, 1006 and 1011 to 1014
   */
  shouldRetry?: ((end: AppEnd) => boolean) | undefined
  /** Used in place of the global `WebSocket`, for example the class of package `ws` in Node 20. */
  WebSocket?: WebSocketLike | undefined
  /**
   * Seals every connection above TLS and refuses any other: `sealed()` of `sallyport/crypto`. The ticket or token travels
   * inside. An endpoint for tickets is outside, and sees what it is sent: with `token`, `ticket` is not used.
   */
  seal?: Seal | undefined
  /** Whether the platform's `online` and `offline` are believed. @default true */
  networkEvents?: boolean | undefined
  /** Lets a program end while a timer of the client runs. @default false */
  unref?: boolean | undefined
  /** Closes the client when aborted. */
  signal?: AbortSignal | undefined
  /** The clock, the dice and the surroundings, for tests: see `sallyport/testing`. */
  env?: Partial<Env> | undefined
}

/** A connection that stays: see {@link createClient}. */
export interface Client extends AsyncIterable<Data> {
  /** The URL of the socket. */
  readonly url: string
  readonly state: Status
  /** The application's subprotocol that the server selected; empty if there is none, or no connection. */
  readonly protocol: string
  /** The connection's name in the door's logs; empty without a connection. */
  readonly id: string
  /** The door's limits for this connection; undefined without one. */
  readonly limits: Hello | undefined

  /**
   * Connects and stays connected, until `close()`. Resolves when connected; rejects with a {@link SallyportError}:
   * `unauthenticated`, `closed` (the message names the reason) or `aborted`. Aborting ends this wait only.
   */
  connect(options?: Abortable): Promise<void>
  /**
   * Sends a message, or keeps it until it can be sent, and connects if need be. Resolves when the message was handed
   * to the socket, which is no promise that it arrives: see the event `unknown`. Rejects with a {@link SallyportError}
   * if it was not and will not be: `queue-full`, `expired`, `too-large`, `closed` or `aborted`. Bytes are copied.
   */
  send(data: string | ArrayBuffer | ArrayBufferView, options?: SendOptions): Promise<void>
  /** Resolves when a quarter of the queue's bounds is not exceeded by what waits here and in the socket. */
  ready(options?: Abortable): Promise<void>
  /** Lets the connection go and makes a new one; why is told to the server and holds at most 123 bytes. */
  reconnect(why?: string): void
  /**
   * Closes for good: what waits rejects with `closed`, what was sent may still be acknowledged for up to 3 s. Resolves
   * when the connection is gone, after 6 s at most. code is 1000, the default, or 3000 to 4999.
   */
  close(code?: number, reason?: string): Promise<void>
  /**
   * The messages from now on. Ends with `close()`; fails with `overflow` when more than the bounds wait to be taken,
   * and with the reason when the client ends by itself.
   */
  messages(bounds?: Bounds): AsyncGenerator<Data, void, undefined>
  [Symbol.asyncIterator](): AsyncGenerator<Data, void, undefined>
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>

  addEventListener<K extends keyof ClientEvents>(type: K, listener: Listener<K>, options?: AddEventListenerOptions | boolean): void
  removeEventListener<K extends keyof ClientEvents>(type: K, listener: Listener<K>, options?: EventListenerOptions | boolean): void
}

/**
 * Makes a client for the gate at url. Nothing happens before `connect()` or `send()`.
 *
 * ```ts
 * const client = createClient('wss://rt.example.com/chat', { ticket: '/sallyport/ticket' })
 * client.addEventListener('message', e => console.log(e.detail))
 * await client.connect()
 * await client.send('hello')
 * ```
 *
 * Throws a SyntaxError DOMException for a bad URL, for `ws:` (unless `dangerouslyAllowPlaintext` is given) and for
 * subprotocols that are none; a RangeError for options without sense; a TypeError in a page for `token` without
 * `ticket` or `seal`, since a page cannot set headers.
 */
export function createClient(url: string | URL, options: ClientOptions = {}): Client {
  const { ticket, token, connectTimeout = 10_000, maxElapsed = Infinity } = options
  const protocols = [options.protocols ?? []].flat()
  const rules = { base: 500, max: 30_000, stableAfter: 10_000, ...options.backoff, connectTimeout, maxElapsed }
  check(...Object.values({ ...rules, ...options.queue }))
  offer(protocols)
  if (token && !ticket && !options.seal && globalThis.document) throw new TypeError('token')
  return engine(
    address(url, options),
    protocols,
    options,
    { ...rules, renewable: !!(ticket || token) },
    { ...platform(options.networkEvents ?? true, !!options.unref), ...options.env },
  )
}
