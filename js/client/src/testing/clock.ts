// A clock that stands still until a test moves it, and the page around it.
import type { Env, Sign } from '../browser.js'

/** Options of {@link virtualClock}. */
export interface ClockOptions {
  /** The wall clock at the start, in milliseconds. @default 1_000_000 */
  start?: number
  /** At least 0 and below 1. @default a sequence that is the same for every clock */
  random?: () => number
}

/** A clock for tests. Times are in milliseconds. */
export interface VirtualClock {
  /** The `env` of the clients that live by this clock. */
  readonly env: Env
  /** Whether nobody can see the page. Changing it tells nobody: see `tell`. */
  hidden: boolean
  /** Whether the platform says that there is no network. Changing it tells nobody: see `tell`. */
  offline: boolean
  /** What the dice show. */
  random: () => number
  /** The wall clock. */
  now(): number
  /** How many timers of clients are pending. */
  timers(): number
  /** Lets time pass. Everything that is due happens in its order, and what follows from it too. */
  advance(ms: number): Promise<void>
  /** The machine sleeps: the wall clock moves, no timer does. A negative time sets the wall clock back. */
  sleep(ms: number): void
  /** The page tells its clients, as the platform would: `online`, `offline`, `seen`, `resume`, `suspend`, `restore`. */
  tell(sign: Sign): void
  /** Runs f in ms; for what is not of the client. Not counted by `timers`. Returns how to cancel it. */
  later(ms: number, f: () => void): () => void
}

interface Timer {
  at: number
  run(): void
  client: boolean
}

/** Makes a clock that stands still. */
export function virtualClock({ start = 1_000_000, random = sequence() }: ClockOptions = {}): VirtualClock {
  // Taken now: a test may have replaced the timers of the platform.
  const turn = endOfTurn()
  const timers = new Set<Timer>()
  const listeners = new Set<(sign: Sign) => void>()
  let passed = 0
  let asleep = 0

  const add = (ms: number, run: () => void, client: boolean): Timer => {
    const t = { at: passed + Math.max(0, ms), run, client }
    timers.add(t)
    return t
  }
  const clock: VirtualClock = {
    env: {
      now: () => clock.now(),
      steady: () => passed,
      random: () => clock.random(),
      hidden: () => clock.hidden,
      offline: () => clock.offline,
      setTimeout: (f, ms) => add(ms, f, true),
      clearTimeout: t => timers.delete(t as Timer),
      listen(tell) {
        listeners.add(tell)
        return () => listeners.delete(tell)
      },
    },
    hidden: false,
    offline: false,
    random,
    now: () => start + passed + asleep,
    timers: () => [...timers].filter(t => t.client).length,
    async advance(ms) {
      const end = passed + ms
      for (;;) {
        await turn()
        let first: Timer | undefined
        for (const t of timers) if (t.at <= end && (!first || t.at < first.at)) first = t
        if (!first) break
        timers.delete(first)
        passed = Math.max(passed, first.at)
        first.run()
      }
      passed = end
    },
    sleep(ms) {
      asleep += ms
    },
    tell(sign) {
      for (const l of [...listeners]) l(sign)
    },
    later(ms, f) {
      const t = add(ms, f, false)
      return () => timers.delete(t)
    },
  }
  return clock
}

/** Lets every promise that can settle do so. */
function endOfTurn(): () => Promise<void> {
  const { setTimeout } = globalThis
  const soon: ((f: () => void) => unknown) | undefined = (globalThis as { setImmediate?: (f: () => void) => unknown }).setImmediate
  return () => new Promise<void>(done => (soon ? soon(done) : setTimeout(done)))
}

/** Numbers without a visible pattern, always the same. */
function sequence(): () => number {
  let n = 1
  return () => {
    n = (n * 48_271) % 2_147_483_647
    return n / 2_147_483_647
  }
}
