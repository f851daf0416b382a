// The control channel sallyport.v1, as spec/protocol.md says: what a client offers, reads and writes.
import { subprotocols } from './address.js'
import { type Behaviour, lookup } from './reasons.js'

/** An application message as it arrives: text, or the bytes of a binary message. */
export type Data = string | Uint8Array<ArrayBuffer>

/** What the door says first on a connection. Times are in seconds from the arrival, sizes in bytes. */
export interface Hello {
  t: 'hello'
  /** The connection's name in the door's logs. */
  id: string
  /** The door is never silent for longer. */
  beat: number
  /** The connection ends with `guard.idle` after so long without an application message. */
  idle: number
  /** `client`: only messages from the client count as activity. */
  idle_counts?: string
  /** The connection ends with `auth.expired` then, unless it is renewed; absent if the credential has no end. */
  expires_in?: number
  /** The connection ends with `guard.max-life` then. */
  ends_in: number
  /** The largest application message that the door accepts. */
  max_message: number
  /** The rates beyond which the door reads more slowly. */
  messages_per_second?: number
  bytes_per_second?: number
}

/** The control messages from the door. */
export type Control =
  | Hello
  | { t: 'beat'; got: number }
  | { t: 'renewed'; expires_in?: number }
  | { t: 'renew-refused'; code: string }
  | { t: 'drain'; spread: number; deadline: number }
  | { t: 'long' }
  | { t: 'close'; code: string; got: number; retry_after?: number }

/** One message from the door, read: the application's, a control message, or nothing that this version knows. */
export interface Read {
  data?: Data
  control?: Control
}

// The members of each type: $ text, # a number that is not negative, + a whole one; ? may be absent.
const shapes: Record<string, string> = {
  hello: 'id$ beat# idle# idle_counts$? expires_in#? ends_in# max_message+ messages_per_second#? bytes_per_second#?',
  beat: 'got+',
  renewed: 'expires_in#?',
  'renew-refused': 'code$',
  drain: 'spread# deadline#',
  long: '',
  close: 'code$ got+ retry_after#?',
}

const maxControl = 4096

/** The size of a message in bytes. */
export function size(data: string | Uint8Array): number {
  return (typeof data === 'string' ? new TextEncoder().encode(data) : data).length
}

/** What to offer in the handshake. Throws a `SyntaxError` DOMException if a subprotocol is none, is ours, or comes twice. */
export function offer(protocols: readonly string[], ticket?: string): string[] {
  return [...(ticket ? [ticket] : []), ...subprotocols(protocols).map(p => `sallyport.v1~${p}`), 'sallyport.v1']
}

/** The application's subprotocol in the token that the door selected; undefined if `sallyport.v1` is not spoken. */
export function shown(selected: string): string | undefined {
  const [spoken, app = ''] = /^sallyport\.v1(?:~(.*))?$/.exec(selected) ?? []
  return spoken && app
}

/** An application message for the wire. */
export function wrap(data: string | Uint8Array): string | Uint8Array<ArrayBuffer> {
  if (typeof data === 'string') return `\0${data}`
  const bytes = new Uint8Array(data.length + 1)
  bytes.set(data, 1)
  return bytes
}

/** A control message for the wire. */
export function control(message: { t: 'probe' } | { t: 'renew'; ticket?: string; token?: string }): string {
  return `\x01${JSON.stringify(message)}`
}

/** Reads a whole message from the door; undefined if it breaks the protocol. */
export function read(data: string | ArrayBuffer): Read | undefined {
  if (typeof data !== 'string') return new Uint8Array(data)[0] === 0 ? { data: new Uint8Array(data, 1) } : undefined
  const rest = data.slice(1)
  if (data[0] === '\0') return { data: rest }
  if (data[0] !== '\x01' || size(rest) > maxControl) return
  let message: Control & Record<string, unknown>
  try {
    message = JSON.parse(rest)
  } catch {
    return
  }
  const t: unknown = message?.t
  if (typeof t !== 'string') return
  if (!Object.hasOwn(shapes, t)) return {}
  for (const [, name, kind, optional] of shapes[t]!.matchAll(/(\w+)(.)(\??)/g)) {
    const value = message[name!]
    if (optional && value === undefined) continue
    const number = typeof value === 'number' && value >= 0 && value < Infinity && (kind === '#' || value % 1 === 0)
    if (kind === '$' ? typeof value !== 'string' : !number) return
  }
  return { control: message }
}

/**
 * Who ended a connection, by its close frame (`close`, `reason`) and the code announced before it. The door, with the
 * code of its reason and what to do; undefined if the application did.
 */
export function judge(close: number, reason: string, announced?: string): { code: string; act: Behaviour } | undefined {
  const [title, code = ''] = reason.split(';')
  const known = lookup(announced ?? code)
  // Said by the seal on this side, never by the door. What a platform lacks it lacks at the next attempt, too.
  if (close === 4905 && !announced) return { code: reason, act: lookup(reason)?.act ?? (reason === 'unsupported' ? 'never' : 'later') }
  if (announced === undefined) return known && known.close === close && known.title === title ? { code, act: known.act } : undefined
  const later = close === 1011 || (close > 4199 && close < 4300)
  return { code: announced, act: known?.act ?? (close === 4000 ? 'next-use' : close === 4001 ? 'reauth' : later ? 'later' : 'never') }
}
