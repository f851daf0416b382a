// What the platform tells of the page and the network. Pages tell all of it, workers and programs less; nothing here needs a DOM.

/** What a page or the network does that matters to a connection. */
export type Sign = 'online' | 'offline' | 'seen' | 'resume' | 'suspend' | 'restore'

/** The clock, the dice and the surroundings of a client. Tests give their own. */
export interface Env {
  /** The wall clock, in milliseconds. It may jump, in both directions. */
  now(): number
  /** A clock that never goes backwards, in milliseconds from anywhere. It may stand still during sleep. */
  steady(): number
  /** At least 0 and below 1. */
  random(): number
  /** Whether nobody can see the page now. */
  hidden(): boolean
  /** Whether the platform says now that there is no network. */
  offline(): boolean
  setTimeout(f: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  /** Tells every sign from now on, until the function returned is called. */
  listen(tell: (sign: Sign) => void): () => void
}

/** The surroundings that the platform offers. */
export function platform(networkEvents: boolean, unref: boolean): Env {
  return {
    now: Date.now,
    steady: () => performance.now(),
    random: Math.random,
    hidden: () => globalThis.document?.visibilityState === 'hidden',
    offline: () => networkEvents && globalThis.navigator?.onLine === false,
    setTimeout(f, ms) {
      const timer: unknown = setTimeout(f, ms)
      if (unref) (timer as { unref?(): void }).unref?.()
      return timer
    },
    clearTimeout: timer => clearTimeout(timer as number),
    listen(tell) {
      const stop = new AbortController()
      const hear = (event: Event) => {
        const sign = meaning(event)
        if (sign) tell(sign)
      }
      // Never unload or beforeunload: they keep a page out of the back/forward cache. Caught on their way down, since
      // those of the document do not all come up.
      const types = ['pagehide', 'pageshow', 'focus', 'visibilitychange', 'resume']
      if (networkEvents) types.push('online', 'offline')
      for (const type of types) globalThis.addEventListener?.(type, hear, { capture: true, signal: stop.signal })
      return () => stop.abort()
    },
  }
}

function meaning({ type, target, persisted }: Event & { persisted?: boolean }): Sign | false {
  if (type === 'pagehide') return !!persisted && 'suspend'
  if (type === 'pageshow') return persisted ? 'restore' : 'seen'
  if (type === 'focus') return target === globalThis && 'seen'
  if (type === 'visibilitychange') return globalThis.document.visibilityState === 'visible' && 'seen'
  return type as Sign
}
