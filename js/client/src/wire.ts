// The control channel sallyport.v1, as spec/protocol.md says: what a client offers, reads and writes.
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

/** One message from the door, read. What is `ignored` is of a later version of the protocol. */
export type Read =
  | { is: 'application'; data: Data }
  | { is: 'control'; control: Control }
  | { is: 'ignored' }
  | { is: 'fault'; why: string }

// The members of each type: $ text, # a number that is not negative, + a whole one; ? may be absent.
const shapes = new Map(
  Object.entries({
    hello: 'id$ beat# idle# idle_counts$? expires_in#? ends_in# max_message+ messages_per_second#? bytes_per_second#?',
    beat: 'got+',
    renewed: 'expires_in#?',
    'renew-refused': 'code$',
    drain: 'spread# deadline#',
    long: '',
    close: 'code$ got+ retry_after#?',
  }),
)

const maxControl = 4096
const token = /^(?!sallyport)[!#$%&'*+.^`|~\w-]+$/

/** What to offer in the handshake. Throws a `SyntaxError` DOMException if a subprotocol is none, is ours, or comes twice. */
export function offer(protocols: readonly string[], ticket?: string): string[] {
  if (protocols.some((p, i) => !token.test(p) || protocols.indexOf(p) < i)) {
    throw new DOMException('a subprotocol is no token, begins with "sallyport" or is given twice', 'SyntaxError')
  }
  return [...(ticket ? [ticket] : []), ...protocols.map(p => `sallyport.v1~${p}`), 'sallyport.v1']
}

/** The application's subprotocol in the token that the door selected; undefined if `sallyport.v1` is not spoken. */
export function shown(selected: string): string | undefined {
  return selected === 'sallyport.v1' ? '' : selected.startsWith('sallyport.v1~') ? selected.slice(13) : undefined
}

/** An application message for the wire. */
export function wrap(data: string | Uint8Array): string | Uint8Array<ArrayBuffer> {
  if (typeof data === 'string') return `\0${data}`
  const bytes = new Uint8Array(data.length + 1)
  bytes.set(data, 1)
  return bytes
}

/** A control message for the wire. */
export function control(message: { t: 'probe' } | { t: 'renew'; ticket: string } | { t: 'renew'; token: string }): string {
  return `\x01${JSON.stringify(message)}`
}

/** Reads a whole message from the door. */
export function read(data: string | ArrayBuffer): Read {
  if (typeof data !== 'string') {
    return new Uint8Array(data)[0] === 0
      ? { is: 'application', data: new Uint8Array(data, 1) }
      : { is: 'fault', why: 'a binary message without its first byte' }
  }
  if (data[0] === '\0') return { is: 'application', data: data.slice(1) }
  if (data[0] !== '\x01') return { is: 'fault', why: 'a text without its first byte' }
  try {
    return readControl(data.slice(1))
  } catch {
    return { is: 'fault', why: 'a control message that is no JSON' }
  }
}

function readControl(text: string): Read {
  const fault: Read = { is: 'fault', why: 'a control message of the wrong shape' }
  if (new TextEncoder().encode(text).length > maxControl) return fault
  const message = JSON.parse(text)
  if (typeof message?.t !== 'string') return fault
  const shape = shapes.get(message.t)
  if (shape === undefined) return { is: 'ignored' }
  for (const [, name, kind, optional] of shape.matchAll(/(\w+)(.)(\??)/g)) {
    const value = message[name!]
    const fits = kind === '$' ? typeof value === 'string' : value >= 0 && (kind === '#' ? Number.isFinite : Number.isSafeInteger)(value)
    if (!fits && !(optional && value === undefined)) return fault
  }
  return { is: 'control', control: message }
}

/**
 * Who ended a connection, by its close frame (`close`, `reason`) and the code announced before it. The door, with the
 * code of its reason and what to do; undefined if the application did.
 */
export function judge(close: number, reason: string, announced?: string): { code: string; act: Behaviour } | undefined {
  const [title, code] = announced === undefined ? reason.split(';') : [undefined, announced]
  const known = lookup(code ?? '')
  if (known && (announced !== undefined || (known.close === close && known.title === title))) return { code: code!, act: known.act }
  if (announced === undefined) return
  const act = close === 4000 ? 'next-use' : close === 4001 ? 'reauth' : close === 1011 || (close > 4199 && close < 4300) ? 'later' : 'never'
  return { code: announced, act }
}
