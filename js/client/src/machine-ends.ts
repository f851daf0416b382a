// How connections begin and end, and what follows an end. These functions change the state that `next` is making.
import { type Ending, type Link, type LocalCode, links, type State } from './machine-state.js'
import type { Behaviour } from './reasons.js'

// The close codes from 4900 on.
const locals = ['silent', 'timeout', 'suspended', 'superseded', 'protocol'] as const
const hiddenEvery = 60_000
const maxAdvice = 3_600_000
const lastWords = 3000
const maxOld = 2

/** Begins an attempt. */
export function dial(s: State): void {
  s.at = Infinity
  s.tried = s.t
  const l: Link = {
    gen: ++s.gen,
    step: 'dial',
    by: s.t + s.rules.connectTimeout,
    silent: Infinity,
    probe: Infinity,
    ask: Infinity,
    renew: Infinity,
    since: 0,
    beat: 0,
    heard: 0,
    held: 0,
    got: 0,
    tries: 0,
  }
  if (s.cur) s.move = l
  else use(s, l)
  s.effects.push({ do: 'dial', gen: l.gen, why: s.why })
  s.why = 'reconnect'
}

/** Makes l, which has said no hello yet, the connection that counts. */
export function use(s: State, l: Link): void {
  s.cur = l
  s.move = undefined
  s.status = { status: 'connecting' }
}

/**
 * Attempts again at a time. What the application or the visitor wants (force) is done even while the page is hidden or
 * the platform believes to be without a network, which may be wrong; the server's advice holds for everybody.
 */
export function wait(s: State, at: number, force: boolean, why?: Ending): void {
  s.at = Infinity
  if (!s.cur && !force) {
    if (s.offline) {
      s.status = { status: 'paused', paused: 'offline' }
      return
    }
    // Read now and not remembered: a flag that misses an event would never be reset.
    if (s.hidden) at = Math.max(at, s.tried + hiddenEvery)
  }
  at = Math.max(at, s.floor)
  if (at <= s.t) return dial(s)
  s.at = at
  if (!s.cur) s.status = { status: 'waiting', retryIn: at - s.t, why: why ?? (s.status as { why?: Ending }).why }
}

/** Full jitter: anything between nothing and a bound that doubles. */
export function jitter(s: State, tries: number, base = s.rules.base): number {
  return s.random * Math.min(s.rules.max, base * 2 ** tries)
}

/** The server's advice in milliseconds, bounded. */
export function advice(seconds: number | undefined): number {
  return seconds! > 0 ? Math.min(maxAdvice, seconds! * 1000) : 0
}

function tell(s: State, { gen, step }: Link, close: number, reason: string, code?: string): Ending {
  const ending = { close, reason, code, opened: step !== 'dial' }
  s.effects.push({ do: 'over', gen, ending })
  return ending
}

/** A connection or an attempt is over. What follows depends on whether the application still wants one. */
export function over(s: State, l: Link, act: Behaviour, close: number, reason: string, code?: string, retryAfter?: number): void {
  const ending = tell(s, l, close, reason, code)
  if (s.old.includes(l)) {
    s.old = s.old.filter(o => o !== l)
    return settle(s)
  }
  if (l === s.move) {
    s.move = undefined
    // The connection in use will say so itself, if there is nothing to come back to.
    if (act === 'never' || act === 'next-use') return
  } else {
    rest(s, l)
    s.cur = undefined
    if (s.move) return use(s, s.move)
  }
  follow(s, l, ending, act, advice(retryAfter))
}

/** Counts failures from nothing after a connection that was stable; opening alone is no success. */
function rest(s: State, l: Link): void {
  if (l.step !== 'open') return
  s.since = s.t
  if (s.t - l.since < s.rules.stableAfter) return
  s.failures = 0
  s.rejected = false
}

function follow(s: State, l: Link, ending: Ending, act: Behaviour, pause: number): void {
  const { code, close } = ending
  if (act === 'never') return finish(s, code ?? 'application', ending)
  // What waits to be sent is a use; not at once, or a server that is always idle would be asked without end.
  if (act === 'next-use' && !s.pending) {
    s.wanted = false
    s.at = Infinity
    s.status = { status: 'idle', why: ending }
    return
  }
  const at = s.t + pause
  s.floor = Math.max(s.floor, at)
  if (act === 'reauth') {
    s.why = 'rejected'
    if (!s.rejected) {
      s.rejected = true
      return wait(s, at, false, ending)
    }
  }
  // It died in its sleep: no failure of the server's.
  if (l.woken) s.failures = 0
  const restart = code ? code === 'drain' : close === 1001 || close === 1012
  const first = l.woken ? 1000 : restart && !s.failures ? 5000 : 0
  const delay = first ? s.random * first : jitter(s, s.failures, !code && close === 1013 ? 5000 : undefined)
  if (!l.woken) s.failures++
  wait(s, at + delay, false, ending)
}

/** Gives a connection up by itself. Always retried: only the application's own close is for good. */
export function giveUp(s: State, l: Link, what: (typeof locals)[number]): void {
  const code: LocalCode = `local.${what}`
  over(s, l, 'later', 4900 + locals.indexOf(what), code, code)
}

/** Lets a connection go in peace: waits for what it still has to say of the messages sent, then closes it. */
export function last(s: State, l: Link, close = 1000, reason = ''): void {
  l.step = 'last'
  l.by = s.t + lastWords
  l.bye = { close, reason }
  s.old.push(l)
  s.effects.push({ do: 'finish', gen: l.gen })
  if (s.old.length > maxOld) giveUp(s, s.old[0]!, 'superseded')
}

/** Begins the closing handshake. */
export function bye(s: State, l: Link): void {
  l.step = 'bye'
  l.by = s.t + lastWords
  s.effects.push({ do: 'close', gen: l.gen, ...l.bye! })
}

/** Ends the client, until the application connects again. */
export function finish(s: State, code: string, why?: Ending, close = 1000, reason = ''): void {
  s.wanted = false
  s.at = Infinity
  s.final = { status: 'closed', code, why }
  for (const l of [s.cur, s.move]) {
    if (l?.step === 'open') last(s, l, close, reason)
    else if (l) tell(s, l, close, reason)
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
export function suspend(s: State): void {
  for (const l of links(s)) {
    rest(s, l)
    tell(s, l, 4902, 'local.suspended', 'local.suspended')
  }
  s.cur = s.move = undefined
  s.old = []
  s.at = s.since = Infinity
  if (s.wanted) s.status = { status: 'paused', paused: 'suspended' }
  settle(s)
}
