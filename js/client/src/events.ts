// What an application hears from its client, and how it waits for it.
import { SallyportError } from './error.js'
import type { Ending, Status } from './machine-state.js'
import type { Data } from './wire.js'

/** A message whose fate is unknown. */
export interface Unsure {
  data: Data
  /** As given to `send`. */
  id: string | number | undefined
}

/** The events of a client, with the type of their `detail`. */
export interface ClientEvents {
  /** The status changed. */
  state: Status
  /** A message arrived. */
  message: Data
  /** A connection or an attempt ended. The client may go on. */
  close: Ending
  /**
   * A connection ended before it was known whether these messages had arrived. They may have and may not; nothing
   * sends them again.
   */
  unknown: { messages: Unsure[]; why: Ending }
  /** The connection may live longer: for so many seconds, or without an end. */
  renewed: { expiresIn: number | undefined }
  /** A source of tickets or tokens failed, or a socket; the client goes on. */
  error: unknown
}

/** A listener of one kind of event. */
export type Listener<K extends keyof ClientEvents> =
  | ((event: CustomEvent<ClientEvents[K]>) => void)
  | { handleEvent(event: CustomEvent<ClientEvents[K]>): void }
  | null

/** What takes a signal: aborting ends the wait, not the connection. */
export interface Abortable {
  signal?: AbortSignal | undefined
}

/** Why there will be no connection, as an error; undefined while there may be one. */
export function gone(s: Status): SallyportError | undefined {
  const { status, code = 'closed', why } = s as { status: string; code?: string; why?: Ending }
  if (status !== 'closing' && status !== 'closed') return
  return new SallyportError(code === 'unauthenticated' ? code : 'closed', code, { cause: why })
}

/** The signal's abort as an error; undefined if it is not aborted. */
export function aborted(signal: AbortSignal | undefined): SallyportError | undefined {
  return signal?.aborted ? new SallyportError('aborted', 'aborted', { cause: signal.reason }) : undefined
}

/** Promises that are looked at after everything that happens. */
export interface Waiting {
  /** Resolves once test answers true; rejects with an error that it answers, and when signal aborts. */
  until(test: () => true | Error | false | undefined, signal?: AbortSignal | undefined): Promise<void>
  /** Looks at all of them. */
  look(): void
}

/** Makes a {@link Waiting}. */
export function waiting(): Waiting {
  const all = new Set<() => void>()
  return {
    until: (test, signal) =>
      new Promise((done, fail) => {
        const look = () => {
          const answer = aborted(signal) ?? test()
          if (!answer) return
          all.delete(look)
          signal?.removeEventListener('abort', look)
          answer === true ? done() : fail(answer)
        }
        all.add(look)
        signal?.addEventListener('abort', look)
        look()
      }),
    look: () => {
      for (const look of [...all]) look()
    },
  }
}

/** Bounds of an iteration: beyond them it fails with `overflow`. */
export interface Bounds extends Abortable {
  /** Messages that wait to be taken. @default 1000 */
  count?: number | undefined
  /** Their size in bytes; a character of a text counts as two. @default 1_048_576 */
  bytes?: number | undefined
}

/**
 * Iterates over what arrives from now on, with a bounded buffer. ended answers when there will be no more: true if that
 * is as it should be, or why.
 */
export function iterate(
  events: EventTarget,
  until: Waiting['until'],
  ended: () => true | Error | false | undefined,
  { signal, count = 1000, bytes = 1 << 20 }: Bounds,
) {
  const buffer: Data[] = []
  const size = (data: Data) => data.length * (typeof data === 'string' ? 2 : 1)
  let held = 0
  let overflow: Error | undefined
  const tap = (event: Event) => {
    const data: Data = (event as CustomEvent).detail
    held += size(data)
    buffer.push(data)
    if (buffer.length <= count && held <= bytes) return
    buffer.pop()
    overflow = new SallyportError('overflow', 'too slow')
    deaf()
  }
  const deaf = () => events.removeEventListener('message', tap)
  events.addEventListener('message', tap)
  return (async function* () {
    try {
      for (;;) {
        await until(() => !!buffer.length || overflow || ended(), signal)
        const data = buffer.shift()
        if (data === undefined) return
        held -= size(data)
        yield data
      }
    } finally {
      deaf()
    }
  })()
}
