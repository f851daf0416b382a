// What waits to be sent, and what was sent and has not been acknowledged. Both are bounded.
import { SallyportError } from './error.js'
import { type Abortable, onAbort, type Unsure } from './events.js'
import { type Data, type Hello, wrap } from './wire.js'

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

interface Entry {
  wire: string | Uint8Array<ArrayBuffer>
  size: number
  id: string | number | undefined
  until: number
  settle(error?: SallyportError): void
}

/** What was handed to one socket, in order, and not acknowledged. */
export interface Lane {
  sent: Entry[]
  bytes: number
  got: number
  /** It was asked what has arrived, and there is no answer yet. */
  asked: boolean
  limits: Hello
  budgets: Budget[]
}

/** A part of a rate of the door, spent by what is sent. */
interface Budget {
  burst: number
  /** Per millisecond. */
  rate: number
  level: number
  at: number
}

/** The queue of a client. Times are in milliseconds of the machine's clock. */
export interface Queue {
  /** Adds a message; rejects when it is not sent. flush is called once it is in. */
  add(data: string | Uint8Array, options: SendOptions, now: number, flush: () => void): Promise<void>
  /** Hands over to lane what may go; true if the door must be asked what has arrived. */
  flush(lane: Lane, now: number, send: (wire: Entry['wire']) => void): boolean
  /** Rejects what is too old. */
  expire(now: number): void
  /** Rejects everything. */
  clear(error: SallyportError): void
  /** When `expire` or `flush` has something to do. */
  due(): number
  /** Bytes that wait. */
  bytes(): number
  /** Messages that wait. */
  count(): number
  /** Whether there is as much room as `ready` promises, given the bytes that the socket holds. */
  low(buffered: number): boolean
}

const windowCount = 256
const windowBytes = 1 << 20

/** A lane for a connection with these limits. */
export function lane(limits: Hello, now: number): Lane {
  // A tenth below the rates, and half of the burst that the door allows: what it counts may arrive in a bunch.
  const budget = (burst = Infinity) => ({ burst, rate: (burst * 0.9) / 1000, level: burst, at: now })
  return {
    sent: [],
    bytes: 0,
    got: 0,
    asked: false,
    limits,
    budgets: [budget(limits.messages_per_second), budget(limits.bytes_per_second)],
  }
}

/** The door has handed over the first n messages; false if it cannot have. */
export function acknowledge(l: Lane, n: number): boolean {
  const news = n - l.got
  if (news < 0 || news > l.sent.length) return false
  for (const e of l.sent.splice(0, news)) l.bytes -= e.size
  l.got = n
  l.asked = false
  return true
}

/** What of a lane may have arrived and may not. */
export function unsure(l: Lane): Unsure[] {
  return l.sent.map(({ wire, id }) => ({
    data: typeof wire === 'string' ? wire.slice(1) : (wire.subarray(1) as Data),
    ...(id !== undefined && { id }),
  }))
}

/** How long until a budget allows so much, in milliseconds; more than its burst, as soon as it is full. */
function pause(b: Budget, amount: number, now: number): number {
  if (b.burst === Infinity) return 0
  b.level = Math.min(b.burst, b.level + b.rate * (now - b.at))
  b.at = now
  return Math.max(0, Math.ceil((Math.min(amount, b.burst) - b.level) / b.rate))
}

/** Makes a queue. */
export function queue({ count = 1000, bytes = 1 << 20, maxAge = Infinity }: QueueOptions): Queue {
  const entries: Entry[] = []
  let held = 0
  let paced = Infinity

  const remove = (e: Entry, error?: SallyportError) => {
    entries.splice(entries.indexOf(e), 1)
    held -= e.size
    e.settle(error)
  }
  const expire = (now: number) => {
    for (const e of [...entries]) if (now >= e.until) remove(e, new SallyportError('expired', 'waited too long'))
  }
  return {
    expire,
    async add(data, { signal, expiresIn = Infinity, id }, now, flush) {
      const size = typeof data === 'string' ? new TextEncoder().encode(data).length : data.length
      await new Promise<void>((done, fail) => {
        let forget = () => {}
        const e: Entry = {
          wire: wrap(data),
          size,
          id,
          until: now + Math.min(expiresIn, maxAge),
          settle(error) {
            forget()
            error ? fail(error) : done()
          },
        }
        entries.push(e)
        held += size
        forget = onAbort(signal, error => remove(e, error))
        if (signal?.aborted) return
        flush()
        if (entries.at(-1) === e && (entries.length > count || held > bytes)) {
          remove(e, new SallyportError('queue-full', `${entries.length} messages of ${held} bytes wait`))
        }
      })
    },
    flush(l, now, send) {
      paced = Infinity
      expire(now)
      const { limits, budgets } = l
      for (let e = entries[0]; e; e = entries[0]) {
        if (e.size > limits.max_message) {
          remove(e, new SallyportError('too-large', `more than ${limits.max_message} bytes`))
          continue
        }
        const costs = [1, e.size + 1]
        const wait = Math.max(...budgets.map((b, i) => pause(b, costs[i]!, now)))
        if (wait) {
          paced = now + wait
          break
        }
        if (l.sent.length && (l.sent.length >= windowCount || l.bytes + e.size > windowBytes)) break
        budgets.forEach((b, i) => {
          b.level -= costs[i]!
        })
        l.sent.push(e)
        l.bytes += e.size
        send(e.wire)
        remove(e)
      }
      if (l.asked || (l.sent.length < windowCount / 2 && l.bytes <= windowBytes / 2)) return false
      l.asked = true
      return true
    },
    clear(error) {
      for (const e of [...entries]) remove(e, error)
    },
    due: () => Math.min(paced, ...entries.map(e => e.until)),
    bytes: () => held,
    count: () => entries.length,
    low: buffered => (held + buffered) * 4 <= bytes && entries.length * 4 <= count,
  }
}
