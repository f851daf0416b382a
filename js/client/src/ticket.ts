import { SallyportError } from './error.js'

/** A one-time ticket, as `POST <prefix>/ticket` answers it. */
export interface Ticket {
  /** `sallyport.ticket.<base64url>`: good once, for one gate and one page origin. At most 1,024 characters. */
  ticket: string
  /** Seconds for which it is good, from now. */
  expires_in?: number | undefined
  /** The subprotocol to offer beside it if the application has none. @default 'sallyport' */
  protocol?: string | undefined
}

/**
 * Why a ticket is wanted: for the first connection, for a later one, because the credential of the
 * open connection is about to expire, or because the last one was refused.
 */
export type Why = 'connect' | 'reconnect' | 'expiring' | 'rejected'

/** What a ticket source is told. */
export interface TicketRequest {
  reason: Why
  /** Aborted when the ticket is no longer wanted. */
  signal: AbortSignal
  /** The URL of the socket. */
  url: string
  /** The gate for which the ticket must be minted. */
  gate: string
}

/**
 * Where tickets come from: the URL of the door's endpoint, or a function. A function answers `null` if nobody is
 * signed in, which ends the attempts; what it throws counts as a failure that may pass.
 */
export type TicketSource = string | URL | ((request: TicketRequest) => Promise<Ticket | null>)

/** A bearer token, or a function that gives one (`null`: nobody is signed in). */
export type TokenSource = string | ((request: TicketRequest) => string | null | Promise<string | null>)

/** How to prove who connects; common to the drop-in and the client. */
export interface Credentials {
  /**
   * Source of one-time tickets; one is fetched for every connection. A relative URL is resolved like any other in a
   * page, and against the socket's URL elsewhere.
   */
  ticket?: TicketSource | undefined
  /**
   * A bearer token for the ticket endpoint. Without `ticket` it goes into the handshake itself, which works outside
   * browsers only: a page cannot set headers.
   */
  token?: TokenSource | undefined
  /** The gate to ask a ticket for. @default the path of the socket's URL */
  gate?: string | undefined
  /** Whether cookies go to a ticket endpoint of another origin. @default 'same-origin' */
  credentials?: 'same-origin' | 'include' | 'omit' | undefined
  /** Used in place of the global `fetch`. */
  fetch?: typeof fetch | undefined
  /** Permits `ws:` and `http:`, where everybody on the way can read and change everything. The text is the reason. */
  dangerouslyAllowPlaintext?: string | undefined
}

// An answer of the endpoint is far smaller; what is larger is not from a door.
const maxAnswer = 16_384

/**
 * Gets a ticket from `options.ticket`; `null` if nobody is signed in. Rejects with a `SallyportError` (`ticket`) if the
 * endpoint cannot be reached or does not answer with a ticket, and with whatever a function throws.
 */
export async function getTicket(options: Credentials, request: TicketRequest): Promise<Ticket | null> {
  const source = options.ticket
  const ticket = typeof source === 'function' ? await source(request) : await post(options, String(source), request)
  // The pattern is that of the door: anything else would be a syntax error, or be sent to strangers by mistake.
  if (ticket !== null && !/^sallyport\.ticket\.[\w-]{1,1000}$/.test(ticket?.ticket)) throw failed('none in the answer')
  return ticket
}

/** Gets the bearer token of `options.token`, checked so that it can stand in a header; `null` if nobody is signed in. */
export async function getToken(options: Credentials, request: TicketRequest): Promise<string | null> {
  const token = typeof options.token === 'function' ? await options.token(request) : options.token
  // Checked here, because a platform that refuses a header shows its value in the error.
  if (token != null && !/^[\w.~+/-]{1,8192}=*$/.test(token)) throw failed('no bearer token')
  return token ?? null
}

async function post(options: Credentials, source: string, request: TicketRequest): Promise<Ticket | null> {
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (options.token) {
    const token = await getToken(options, request)
    if (!token) return null
    headers.authorization = `Bearer ${token}`
  }
  const url = new URL(source, globalThis.document?.baseURI ?? globalThis.location?.href ?? request.url.replace(/^ws/, 'http'))
  if (url.protocol !== 'https:' && !options.dangerouslyAllowPlaintext) throw failed('not https:')
  let answer: Response
  try {
    answer = await (options.fetch ?? fetch)(url, {
      method: 'POST',
      headers,
      body: JSON.stringify({ gate: request.gate }),
      credentials: options.credentials ?? 'same-origin',
      cache: 'no-store',
      redirect: 'error',
      signal: request.signal,
    })
    if (answer.ok) return JSON.parse(await read(answer.body!))
  } catch (cause) {
    throw failed('no answer', { cause })
  }
  answer.body?.cancel().catch(() => {})
  const { status } = answer
  if (status === 401 || status === 403) return null
  throw failed(`status ${status}`, { status, retryAfter: Number(answer.headers.get('retry-after')) || undefined })
}

async function read(body: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (text.length < maxAnswer) {
    const { done, value } = await reader.read()
    if (done) return text
    text += value
  }
  reader.cancel().catch(() => {})
  throw new RangeError('too long')
}

function failed(what: string, more?: { cause?: unknown; status?: number; retryAfter?: number | undefined }): SallyportError {
  return new SallyportError('ticket', `ticket endpoint: ${what}`, more)
}
