// How connections begin and end, and what follows an end.

import type { Effect, Ending, Event, Link, LocalCode, State, Status } from './machine-state.js'
import type { Behaviour } from './reasons.js'

/** One step of the machine: the state being made, the event, and the effects so far. */
export interface Turn {
  s: State
  e: Event
  fx: Effect[]
}

const local: LocalCode[] = ['local.silent', 'local.timeout', 'local.suspended', 'local.superseded', 'local.protocol']
const hiddenEvery = 60_000
const maxAdvice = 3_600_000
const lastWords = 3000
const maxOld = 2

/** Begins an attempt. */
export function dial({ s, fx }: Turn): void {
  s.at = Infinity
  s.tried = s.t
  const l: Link = {
    gen: ++s.gen,
    step: 'dial',
    since: Infinity,
    by: s.t + s.rules.connectTimeout,
    beat: 0,
    heard: s.t,
    silent: Infinity,
    long: false,
    probe: Infinity,
    buffered: 0,
    ask: Infinity,
    renew: Infinity,
    tries: 0,
    refused: false,
    woken: false,
    stale: false,
    announced: undefined,
    bye: { close: 1000, reason: '' },
  }
  if (s.cur) s.move = l
  else {
    s.cur = l
    s.status = { status: 'connecting' }
  }
  fx.push({ do: 'dial', gen: l.gen, why: s.why })
  s.why = 'reconnect'
}

/**
 * Attempts again at a time. What the application or the visitor wants (force) is done even while the page is hidden or the platform
 * believes to be without a network, which may be wrong; the server's advice holds for everybody.
 */
export function wait(x: Turn, at: number, force: boolean, why?: Ending): void {
  const { s, e } = x
  if (!s.cur && !force) {
    if (e.offline) {
      s.at = Infinity
      s.status = { status: 'paused', paused: 'offline' }
      return
    }
    // Read now and not remembered: a flag that misses an event would never be reset.
    if (e.hidden) at = Math.max(at, s.tried + hiddenEvery)
  }
  s.at = Math.max(at, s.floor)
  if (s.at <= s.t) dial(x)
  else if (!s.cur) {
    s.status = { status: 'waiting', retryIn: s.at - s.t, why: why ?? (s.status.status === 'waiting' ? s.status.why : undefined) }
  }
}

/** Full jitter: anything between nothing and a bound that doubles. */
export function jitter({ s, e }: Turn, tries: number, base = s.rules.base): number {
  return e.random * Math.min(s.rules.max, base * 2 ** tries)
}

/** The server's advice in milliseconds, bounded. */
export function advice(seconds: number): number {
  return Math.min(maxAdvice, seconds * 1000)
}

/** A connection or an attempt is over. What follows depends on whether the application still wants one. */
export function over(x: Turn, l: Link, ending: Omit<Ending, 'opened'>, act: Behaviour, retryAfter = 0): void {
  const { s, fx } = x
  const told: Ending = { ...ending, opened: l.step !== 'dial' }
  fx.push({ do: 'over', gen: l.gen, ending: told })
  if (s.old.includes(l)) {
    s.old = s.old.filter(o => o !== l)
    settle(s)
    return
  }
  if (l === s.move) {
    s.move = undefined
    // The connection in use will say so itself, if there is nothing to come back to.
    if (act === 'never' || act === 'next-use') return
  } else {
    rest(s, l)
    s.cur = s.move
    s.move = undefined
    if (s.cur) {
      s.status = { status: 'connecting' }
      return
    }
  }
  follow(x, l, told, act, advice(retryAfter))
}

/** Counts failures from nothing after a connection that was stable; opening alone is no success. */
function rest(s: State, l: Link): void {
  if (l.step === 'open' && s.t - l.since >= s.rules.stableAfter) {
    s.failures = 0
    s.rejected = false
    s.since = s.t
  }
}

function follow(x: Turn, l: Link, ending: Ending, act: Behaviour, pause: number): void {
  const { s, e } = x
  if (act === 'never') return finish(x, { status: 'closed', code: ending.code ?? 'application', why: ending })
  if (act === 'next-use') {
    s.wanted = false
    s.at = Infinity
    s.status = { status: 'idle', why: ending }
    return
  }
  s.floor = Math.max(s.floor, s.t + pause)
  if (act === 'reauth') s.why = 'rejected'
  if (act === 'reauth' && !s.rejected) {
    s.rejected = true
    wait(x, s.t, false, ending)
    return
  }
  let delay: number
  if (l.woken) {
    // It died in its sleep: no failure of the server's.
    s.failures = 0
    delay = e.random * 1000
  } else {
    const restart = ending.code === 'drain' || (!ending.code && (ending.close === 1001 || ending.close === 1012))
    delay =
      restart && !s.failures
        ? e.random * 5000
        : jitter(x, s.failures, !ending.code && ending.close === 1013 ? Math.max(s.rules.base, 5000) : undefined)
    s.failures++
  }
  wait(x, s.t + pause + delay, false, ending)
}

/** Gives a connection up by itself. Always retried: only the application's own close is for good. */
export function giveUp(x: Turn, l: Link, code: LocalCode): void {
  over(x, l, { close: 4900 + local.indexOf(code), reason: code, code }, 'later')
}

/** Lets a connection go in peace: waits for what it still has to say of the messages sent, then closes it. */
export function last(x: Turn, l: Link, close = 1000, reason = ''): void {
  const { s, fx } = x
  l.step = 'last'
  l.by = s.t + lastWords
  l.bye = { close, reason }
  s.old.push(l)
  fx.push({ do: 'finish', gen: l.gen }, { do: 'probe', gen: l.gen })
  if (s.old.length > maxOld) giveUp(x, s.old[0]!, 'local.superseded')
}

/** Begins the closing handshake. */
export function bye({ s, fx }: Turn, l: Link): void {
  l.step = 'bye'
  l.by = s.t + lastWords
  fx.push({ do: 'close', gen: l.gen, ...l.bye })
}

/** Ends the client, until the application connects again. */
export function finish(x: Turn, final: Status, close = 1000, reason = ''): void {
  const { s } = x
  s.wanted = false
  s.at = Infinity
  s.final = final
  for (const l of [s.cur, s.move]) {
    if (l?.step === 'open') last(x, l, close, reason)
    else if (l) x.fx.push({ do: 'over', gen: l.gen, ending: { close, reason, opened: false } })
  }
  s.cur = s.move = undefined
  settle(s)
}

/** Once everything is gone, the client is closed. */
function settle(s: State): void {
  if (!s.final) return
  s.status = s.old.length ? { status: 'closing' } : s.final
  if (!s.old.length) s.final = undefined
}

/** The page goes into the back/forward cache, which takes none with an open socket: everything ends at once. */
export function suspend(x: Turn): void {
  const { s, fx } = x
  for (const l of [s.cur, s.move, ...s.old]) {
    if (!l) continue
    rest(s, l)
    fx.push({ do: 'over', gen: l.gen, ending: { close: 4902, reason: local[2]!, code: local[2]!, opened: l.step !== 'dial' } })
  }
  s.cur = s.move = undefined
  s.old = []
  s.at = s.since = Infinity
  if (s.wanted) s.status = { status: 'paused', paused: 'suspended' }
  settle(s)
}
