// What an application hears from its client, and how it waits for it.
import { SallyportError } from './error.js'
import type { Ending, Status } from './machine-state.js'
import type { Data } from './wire.js'

/** A message whose fate is unknown. */
export interface Unsure {
  data: Data
  /** As given to `send`. */
  id?: string | number
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
  if (s.status === 'closing') return new SallyportError('closed', 'closed')
  if (s.status !== 'closed') return
  return new SallyportError(s.code === 'unauthenticated' ? 'unauthenticated' : 'closed', s.code, { cause: s.why })
}

/** Runs f when signal aborts, now if it is; returns how to forget it. */
export function onAbort(signal: AbortSignal | undefined, f: (error: SallyportError) => void): () => void {
  const heard = () => f(new SallyportError('aborted', 'aborted', { cause: signal!.reason }))
  if (signal?.aborted) heard()
  else signal?.addEventListener('abort', heard)
  return () => signal?.removeEventListener('abort', heard)
}

/** Promises that are looked at after everything that happens. */
export interface Waiting {
  /** Resolves once test is true; rejects when signal aborts, or with what failed answers. */
  until(test: () => boolean, signal?: AbortSignal, failed?: () => SallyportError | undefined): Promise<void>
  /** Looks at all of them. */
  look(): void
}

/** Makes a {@link Waiting}. */
export function waiting(): Waiting {
  const all = new Set<() => void>()
  return {
    until: (test, signal, failed) =>
      new Promise((done, fail) => {
        const end = (settle: () => void) => {
          all.delete(look)
          forget()
          settle()
        }
        const look = () => {
          const error = failed?.()
          if (error) end(() => fail(error))
          else if (test()) end(done)
        }
        let forget = () => {}
        all.add(look)
        forget = onAbort(signal, error => end(() => fail(error)))
        if (signal?.aborted) return
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

/** An iteration over what arrives, and how to feed and end it. */
export interface Feed {
  iterator: AsyncIterableIterator<Data>
  push(data: Data): void
  /** Ends it after what is buffered, with an error if there is one. */
  end(error?: SallyportError): void
}

/** Makes an iteration with a bounded buffer, which is among the feeds for as long as it wants more. */
export function feed({ signal, count = 1000, bytes = 1 << 20 }: Bounds, feeds: Set<Feed>): Feed {
  type Result = IteratorResult<Data, undefined>
  const buffer: Data[] = []
  const takers: { done(result: Result): void; fail(error: unknown): void }[] = []
  let held = 0
  let over: { error?: SallyportError | undefined } | undefined
  const size = (data: Data) => (typeof data === 'string' ? 2 * data.length : data.length)

  function end(error?: SallyportError): void {
    if (over) return
    over = { error }
    forget()
    feeds.delete(self)
    for (const t of takers.splice(0)) answer(t)
  }
  function answer({ done, fail }: (typeof takers)[0]): void {
    const data = buffer.shift()
    if (data !== undefined) {
      held -= size(data)
      done({ value: data, done: false })
    } else if (over?.error) {
      fail(over.error)
      over = {}
    } else done({ value: undefined, done: true })
  }
  let forget = () => {}
  const iterator: AsyncIterableIterator<Data> = {
    next: () => new Promise<Result>((done, fail) => (buffer.length || over ? answer({ done, fail }) : takers.push({ done, fail }))),
    return: async () => {
      buffer.length = 0
      end()
      return { value: undefined, done: true }
    },
    [Symbol.asyncIterator]: () => iterator,
  }
  const self: Feed = {
    iterator,
    end,
    push(data) {
      if (over) return
      held += size(data)
      buffer.push(data)
      const taker = takers.shift()
      if (taker) answer(taker)
      else if (buffer.length > count || held > bytes) {
        held -= size(buffer.pop()!)
        end(new SallyportError('overflow', 'messages were not taken fast enough'))
      }
    },
  }
  feeds.add(self)
  forget = onAbort(signal, error => {
    buffer.length = 0
    end(error)
  })
  return self
}
