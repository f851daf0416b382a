// What the platform tells of the page and the network. Pages tell all of it, workers and programs less; nothing here needs a DOM.

/** What a page or the network does that matters to a connection. */
export type Sign = 'online' | 'offline' | 'seen' | 'resume' | 'suspend' | 'restore'

/** The clock, the dice and the surroundings of a client. Tests give their own. */
export interface Env {
  /** The wall clock, in milliseconds. */
  now(): number
  /** A clock that never goes backwards, in milliseconds. */
  steady(): number
  /** At least 0, below 1. */
  random(): number
  setTimeout(f: () => void, ms: number): unknown
  clearTimeout(timer: unknown): void
  /** Whether nobody can see the page now. */
  hidden(): boolean
  /** Whether the platform says now that there is no network. */
  offline(): boolean
  /** Tells every sign from now on, until the function returned is called. */
  listen(tell: (sign: Sign) => void): () => void
}

/** The surroundings that the platform offers. */
export function platform(networkEvents: boolean, unref: boolean): Env {
  return {
    now: () => Date.now(),
    steady: () => performance.now(),
    random: () => Math.random(),
    setTimeout(f, ms) {
      const timer: unknown = setTimeout(f, ms)
      if (unref) (timer as { unref?(): void }).unref?.()
      return timer
    },
    clearTimeout: timer => clearTimeout(timer as number),
    hidden: () => globalThis.document?.visibilityState === 'hidden',
    offline: () => networkEvents && globalThis.navigator?.onLine === false,
    listen(tell) {
      const stop = new AbortController()
      const on = (target: EventTarget | undefined, type: string, sign: (event: Event) => Sign | '') =>
        target?.addEventListener?.(
          type,
          event => {
            const s = sign(event)
            if (s) tell(s)
          },
          { signal: stop.signal },
        )
      const kept = (event: Event) => (event as PageTransitionEvent).persisted
      const page = globalThis.document
      if (networkEvents) {
        on(globalThis, 'online', () => 'online')
        on(globalThis, 'offline', () => 'offline')
      }
      // Never unload or beforeunload: they keep a page out of the back/forward cache.
      on(globalThis, 'pagehide', event => (kept(event) ? 'suspend' : ''))
      on(globalThis, 'pageshow', event => (kept(event) ? 'restore' : 'seen'))
      on(globalThis, 'focus', () => 'seen')
      on(page, 'visibilitychange', () => (page.visibilityState === 'visible' ? 'seen' : ''))
      on(page, 'resume', () => 'resume')
      return () => stop.abort()
    },
  }
}
