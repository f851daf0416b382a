// What waits to be sent, and what was sent and has not been acknowledged. Both are bounded.
import { SallyportError } from './error.js'
import type { Abortable, Unsure } from './events.js'
import { type Data, type Hello, size, wrap } from './wire.js'

/** Bounds of the queue. */
export interface QueueOptions {
  /** Messages that wait. @default 1000 */
  count?: number | undefined
  /** Their size in bytes. @default 1_048_576 */
  bytes?: number | undefined
  /** How long one waits, in milliseconds, before its `send` rejects with `expired`. @default without a limit */
  maxAge?: number | undefined
}

/** Options of `send`. */
export interface SendOptions extends Abortable {
  /** Do not send it later than in so many milliseconds. */
  expiresIn?: number | undefined
  /** The application's name for the message, told by `unknown`. */
  id?: string | number | undefined
}

/** A message of the queue. */
export interface Entry {
  wire: string | Uint8Array<ArrayBuffer>
  size: number
  id: string | number | undefined
  /** When it is too old to be sent. */
  until: number
  /** Once it left the queue: it was handed over, or why not. */
  fate?: true | SallyportError
}

/** What was handed to one socket, in order, and not acknowledged. */
export interface Lane {
  sent: Entry[]
  bytes: number
  got: number
  /** It was asked what has arrived, and there is no answer yet. */
  asked?: boolean
  limits: Hello
  /** When the rates of the door have recovered from all that was sent. */
  free: number
}

/** The queue of a client. Times are in milliseconds of the machine's clock. */
export interface Queue {
  /** Adds a message, beyond the bounds too: see `bound`. */
  add(data: string | Uint8Array, options: SendOptions, now: number): Entry
  /** Refuses the message added last, if it still waits and is too much. */
  bound(): void
  /** Hands over what may go to a lane, if there is one; true if the door must be asked what has arrived. */
  flush(lane: Lane | undefined, now: number, send: (wire: Entry['wire']) => void): boolean
  /** Takes a message out, if it still waits. */
  remove(entry: Entry, fate?: Entry['fate']): void
  /** Refuses everything. */
  clear(error: SallyportError): void
  /** When `flush` has something to do. */
  due(): number
  /** Messages that wait. */
  count(): number
  /** Whether there is as much room as `ready` promises, given the bytes that the socket holds. */
  low(buffered: number): boolean
}

const windowCount = 256
const windowBytes = 1 << 20
// Half of the burst that the door allows, and nine tenths of its rates: what it counts may arrive in a bunch.
const burst = 1000
const share = 0.9

/** A lane for a connection with these limits. */
export function lane(limits: Hello): Lane {
  return { sent: [], bytes: 0, got: 0, limits, free: 0 }
}

/** How much of the rates a message takes, in milliseconds. */
function cost({ messages_per_second, bytes_per_second }: Hello, bytes: number): number {
  return (1000 / share) * Math.max(1 / (messages_per_second || Infinity), bytes / (bytes_per_second || Infinity))
}

/** The door has handed over the first n messages; false if it cannot have. */
export function acknowledge(l: Lane, n: number): boolean {
  const news = n - l.got
  if (news < 0 || news > l.sent.length) return false
  for (const e of l.sent.splice(0, news)) l.bytes -= e.size
  l.got = n
  if (news) l.asked = false
  return true
}

/** What of a lane may have arrived and may not. */
export function unsure(l: Lane): Unsure[] {
  return l.sent.map(({ wire, id }) => ({
    data: typeof wire === 'string' ? wire.slice(1) : (wire.subarray(1) as Data),
    id,
  }))
}

/** Makes a queue. */
export function queue({ count = 1000, bytes = 1 << 20, maxAge = Infinity }: QueueOptions): Queue {
  const entries: Entry[] = []
  let held = 0
  let paced = Infinity

  const remove = (e: Entry, fate?: Entry['fate']) => {
    const i = entries.indexOf(e)
    if (i < 0) return
    entries.splice(i, 1)
    held -= e.size
    if (fate) e.fate = fate
  }
  const refuse = (e: Entry, code: 'expired' | 'too-large' | 'queue-full') => remove(e, new SallyportError(code, code))
  return {
    remove,
    add(data, { id, expiresIn = Infinity }, now) {
      const e = { wire: wrap(data), size: size(data), id, until: now + Math.min(expiresIn, maxAge) }
      entries.push(e)
      held += e.size
      return e
    },
    bound() {
      if (entries.length > count || held > bytes) refuse(entries.at(-1)!, 'queue-full')
    },
    flush(l, now, send) {
      paced = Infinity
      for (const e of [...entries]) if (now >= e.until) refuse(e, 'expired')
      if (!l) return false
      for (let e = entries[0]; e; e = entries[0]) {
        if (e.size > l.limits.max_message) {
          refuse(e, 'too-large')
          continue
        }
        if (l.sent.length && (l.sent.length >= windowCount || l.bytes + e.size > windowBytes)) break
        if (l.free > now + burst) {
          paced = l.free - burst
          break
        }
        l.free = Math.max(l.free, now) + cost(l.limits, e.size + 1)
        l.sent.push(e)
        l.bytes += e.size
        send(e.wire)
        remove(e, true)
      }
      const half = l.sent.length >= windowCount / 2 || l.bytes > windowBytes / 2
      if (!half || l.asked) return false
      l.asked = true
      return true
    },
    clear(error) {
      for (const e of [...entries]) remove(e, error)
    },
    due: () => Math.min(paced, ...entries.map(e => e.until)),
    count: () => entries.length,
    low: buffered => (held + buffered) * 4 <= bytes && entries.length * 4 <= count,
  }
}
