// A WebSocket whose messages are sealed. It is made like the platform's, and stands in its place in both clients.
import { SallyportError } from '../error.js'
import { type Bytes, join, uint } from './bytes.js'
import type { Key } from './document.js'
import { fail } from './fault.js'
import { auth, binary, end, maxData, text } from './half.js'
import { begin, type Credential, credential, type Handshake } from './handshake.js'
import type { Usable } from './hpke.js'
import { decode, readEnd, type Session, session } from './session.js'

/** What a sealed socket is made of. */
export interface Parts {
  WebSocket: new (url: string, protocols: string[]) => WebSocket
  /** The sealing key for the host of a URL; fresh: not from a cache. */
  key(url: URL, fresh: boolean, signal: AbortSignal): Promise<[Key, Usable]>
  device: CryptoKeyPair | undefined
  /** What the platform sends as `Origin`. */
  origin: string
  pad: boolean
  /** Whether messages of `sallyport.v1` pass as they are, the door's own among them. */
  raw: boolean
}

/** What the clients use of a WebSocket. */
export interface SealedSocket extends Pick<WebSocket, 'binaryType' | 'bufferedAmount' | 'close' | 'extensions' | 'protocol'> {
  onopen?: ((event: object) => void) | null
  onmessage?: ((event: { data: unknown }) => void) | null
  onerror?: ((event: { code: number; reason: string; error: unknown }) => void) | null
  onclose?: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null
  readonly readyState: 0 | 1 | 2 | 3
  send(data: string | ArrayBuffer | ArrayBufferView | Blob): void
  terminate(): void
}

interface Headers {
  headers: { authorization: string }
}

/** A class of {@link SealedSocket}, made like those of the platform. */
export type SealedSocketClass = new (url: string, second: string[] | ({ protocols: string[] } & Headers), third?: Headers) => SealedSocket

// What was received and not delivered, in bytes with what the promises for each record take, and what a handshake and a goodbye may take, in milliseconds.
const maxHeld = 2 ** 26
const patience = 10_000
const farewell = 2000
const price = (data: string | ArrayBuffer) => ((data as ArrayBuffer).byteLength ?? (data as string).length) + 512

/**
 * Makes the class. Like the platform's it is given a URL and subprotocols, a ticket among them, or `{ protocols, headers }`
 * with a bearer token; neither leaves it but sealed, and a user in the URL does not at all. For who speaks `sallyport.v1` its
 * messages are passed on as they are; else they are the application's, and what the door says beside them is kept here.
 */
export const sealedSocket = ({ WebSocket, key, device, origin, pad, raw }: Parts): SealedSocketClass =>
  class implements SealedSocket {
    declare onopen?: ((event: object) => void) | null
    declare onmessage?: ((event: { data: unknown }) => void) | null
    declare onerror?: ((event: { code: number; reason: string; error: unknown }) => void) | null
    declare onclose?: ((event: { code: number; reason: string; wasClean: boolean }) => void) | null
    readyState: 0 | 1 | 2 | 3 = 0
    binaryType: BinaryType = 'blob'
    readonly extensions = ''
    readonly protocol: string
    readonly #url: URL
    readonly #tokens: string[]
    #credential: Credential
    readonly #gone = new AbortController()
    #handshake: Handshake | undefined
    #late: ReturnType<typeof setTimeout> | undefined
    #inner: WebSocket | undefined
    #session: Session | undefined
    #line: Promise<unknown> = Promise.resolve()
    #held = 0 // to be sent
    #unread = 0
    #kept = 0 // of a message that is arriving
    #parts: Bytes[] = []
    #end: [code: number, reason: string] | undefined

    constructor(url: string, second: string[] | ({ protocols: string[] } & Headers), third?: Headers) {
      const [all, more] = Array.isArray(second) ? [second, third] : [second.protocols, second]
      const ticket = all.find(p => p.startsWith('sallyport.ticket.'))
      const own = all.filter(p => p !== ticket)
      const apps = raw ? own.slice(0, -1).map(p => p.slice(13)) : own // 'sallyport.v1~' before each, 'sallyport.v1' at the end
      const token = more?.headers.authorization.slice(7)
      this.#credential = ticket ? [1, ticket] : token ? [2, token] : [0, '']
      this.#tokens = apps.length ? apps.map(p => `sallyport.v1+seal~${p}`) : ['sallyport.v1+seal']
      this.#url = Object.assign(new URL(url), { username: '', password: '' })
      this.protocol = own[0] ?? ''
      // A client has a limit of its own.
      if (!raw) this.#late = setTimeout(() => this.#fail(new SallyportError('timeout', 'no seal')), patience)
      this.#do(() => this.#connect(false))
    }

    get bufferedAmount(): number {
      return this.#held + (this.#inner?.bufferedAmount ?? 0)
    }

    /** One thing after the other; the first that fails is the end. */
    #do(job: () => unknown): void {
      this.#line = this.#line.then(() => this.readyState < 3 && job()).catch(error => this.#fail(error))
    }

    async #connect(fresh: boolean): Promise<void> {
      const url = this.#url
      const [token] = this.#tokens
      const [found, suite] = await key(url, fresh, this.#gone.signal)
      const context = [token!, authority(url), url.href.replace(/^\w+:\/\/[^/?]*/, ''), origin] as const
      // Kept here alone: with the key in it one could read the beginning of the session.
      this.#handshake = await begin(suite, found, context).catch(cause => fail('local.keys', cause))
      if (this.readyState > 2) return this.#erase()
      const inner = new WebSocket(url.href, this.#tokens)
      this.#inner = inner
      inner.binaryType = 'arraybuffer'
      inner.onopen = () => {
        if (inner.protocol === token) inner.send(this.#handshake!.hello)
        else this.#fail(new SallyportError('local.unsealed', inner.protocol))
      }
      inner.onmessage = ({ data }) => {
        this.#unread += price(data)
        if (this.#unread > maxHeld) this.#fail(new SallyportError('seal.limit', 'unread'))
        else this.#do(() => this.#receive(data, suite))
      }
      // What happens outside proves nothing: it is told as the network's doing.
      let cause: unknown
      inner.onerror = event => {
        cause = (event as ErrorEvent).error ?? (event as ErrorEvent).message
        // After a failed handshake no close event comes in Node 22.
        this.#do(() => !this.#session && this.#over('', fresh, cause))
      }
      inner.onclose = ({ reason }) => this.#do(() => this.#over(reason, fresh, cause))
    }

    async #receive(data: string | ArrayBuffer, suite: Usable): Promise<void> {
      if (typeof data === 'string') {
        // Before there is a seal the door has no other words for a refusal; the close frame behind it has the reason too.
        if (this.#session) fail('seal.broken')
        this.#unread -= price(data)
        return
      }
      const record = new Uint8Array(data)
      if (!this.#session) {
        this.#unread -= price(data)
        const keys = await this.#handshake!.finish(record)
        this.#handshake = undefined
        const s = session(
          suite,
          keys,
          pad,
          r => this.#inner!.send(r),
          error => this.#fail(error),
        )
        this.#session = s
        if (this.readyState > 2) return this.#erase()
        const proof = await credential(keys.th, this.#credential, device)
        this.#credential = [0, '']
        await s.write(auth, proof.length, () => proof)
        if (raw) this.#open()
        return
      }
      const opened = await this.#session.open(record)
      if (this.readyState > 2) return
      this.#kept += price(data)
      if (opened.kind === text || opened.kind === binary) {
        this.#parts.push(opened.data)
        if (opened.more) return
        this.#deliver(opened.kind === text, join(...this.#parts.splice(0)))
      } else if (opened.kind === end) {
        const [code, reason] = (this.#end = readEnd(opened.data))
        // Refused before hello: a handshake that failed.
        if (!this.readyState) throw new SallyportError('closed', `${code} ${reason}`)
        if (this.readyState > 1) this.#hangUp()
        else this.#leave(opened.data)
      }
      if (!this.#parts.length) {
        this.#unread -= this.#kept
        this.#kept = 0
      }
    }

    #deliver(isText: boolean, message: Bytes): void {
      const [mark] = message
      const rest = raw ? message : message.subarray(1)
      if (raw || (mark === 0 && this.readyState)) {
        const data = isText ? decode(rest) : this.binaryType === 'blob' ? new Blob([rest]) : rest.slice().buffer
        if (this.readyState === 1) this.onmessage?.({ data })
      } else if (mark !== 1 || !isText) fail('seal.malformed')
      else if (JSON.parse(decode(rest))?.t === 'hello') this.#open()
    }

    #open(): void {
      if (this.readyState) return
      clearTimeout(this.#late)
      this.readyState = 1
      this.onopen?.({})
    }

    send(data: string | ArrayBuffer | ArrayBufferView | Blob): void {
      const mark = raw ? [] : [0]
      const bytes = (b: ArrayBuffer | ArrayBufferView) =>
        join(mark as never, ArrayBuffer.isView(b) ? new Uint8Array(b.buffer, b.byteOffset, b.byteLength) : new Uint8Array(b))
      const blob = data instanceof Blob && data
      const all = blob
        ? blob.arrayBuffer().then(bytes)
        : bytes(typeof data === 'string' ? new TextEncoder().encode(data) : (data as ArrayBuffer))
      const size = blob ? blob.size + mark.length : (all as Bytes).length
      if (blob) (all as Promise<Bytes>).catch(() => {}) // it is told where it is waited for
      this.#held += size
      if (this.readyState > 1) return
      for (let at = 0; at < size; at += maxData) {
        const n = Math.min(maxData, size - at)
        const part = async () => (await all).subarray(at, at + n)
        this.#session!.write(typeof data === 'string' ? text : binary, n, part, at + n < size).then(() => {
          this.#held -= n
        })
      }
    }

    close(code?: number, reason = ''): void {
      if (this.readyState > 1) return
      if (!this.readyState) this.#fail(new SallyportError('aborted', 'closed'))
      // A connection that is given up is not asked for a goodbye, and a page on its way into the cache has no time for one.
      else if (raw && /^local\.[a-z]+$/.test(reason)) this.#done(code!, reason, false)
      else this.#leave(code ? join(uint(code, 2), new TextEncoder().encode(reason)) : new Uint8Array())
    }

    #leave(data: Bytes): void {
      this.readyState = 2
      // Once it is closed the platform drops what still comes: the other side's end is waited for.
      this.#session!.write(end, data.length, () => data).then(() => {
        if (this.#end) this.#hangUp()
        else if (this.readyState < 3) this.#late = setTimeout(() => this.#hangUp(), farewell)
      })
    }

    /** Both have said their last, or one would not. */
    #hangUp(): void {
      if (this.readyState > 2) return
      clearTimeout(this.#late)
      this.#inner!.close(1000)
      // Whoever is in between may never close what is below.
      this.#late = setTimeout(() => this.#do(() => this.#over('')), farewell)
    }

    /** The socket below is closed. */
    #over(reason: string, again?: boolean, cause?: unknown): Promise<void> | void {
      const [code, text] = this.#end ?? []
      if (code) this.#done(code, text!, true)
      else if (this.#session) fail('seal.truncated', cause)
      // The keys may have changed since the document was fetched.
      else if (reason.endsWith(';seal.keys') && !again) return this.#connect(true)
      else throw new SallyportError('network', `unsealed: ${reason}`, { cause })
    }

    #fail(cause: unknown): void {
      if (this.readyState > 2) return
      const ours = cause instanceof SallyportError
      const error = ours ? cause : new SallyportError(this.#session ? 'seal.broken' : 'seal.handshake', `${cause}`, { cause })
      const { code } = error
      const fault = code === 'unsupported' || (code.includes('.') && code !== 'seal.truncated')
      this.#done(fault ? 4905 : 1006, fault ? code : '', false, error)
    }

    #done(code: number, reason: string, wasClean: boolean, error?: SallyportError): void {
      this.readyState = 3
      clearTimeout(this.#late)
      this.#gone.abort()
      this.#erase()
      const inner = this.#inner
      if (inner) {
        inner.onopen = inner.onmessage = inner.onclose = null
        inner.onerror = () => {} // the class of package ws throws an error that nobody hears
        // Outside nothing is said but the fault of a seal.
        if (error && reason) inner.close(code, reason)
        else inner.close(1000)
      }
      if (error) this.onerror?.({ code, reason, error })
      this.onclose?.({ code, reason, wasClean })
    }

    #erase(): void {
      this.#handshake?.erase()
      this.#session?.erase()
      this.#handshake = this.#session = undefined
      this.#parts = []
    }

    terminate(): void {
      ;(this.#inner as { terminate?(): void } | undefined)?.terminate?.()
    }
  }

/** Whom a URL names, as documents do. */
export const authority = ({ hostname, port }: URL): string => `${hostname}:${port || 443}`
