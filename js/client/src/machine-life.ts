// The life of an open connection: heartbeat, probes, renewal, advice of the door, and waking up. These functions change
// the state that `next` is making.
import { advice, giveUp, jitter, last, over, wait } from './machine-ends.js'
import type { Link, State } from './machine-state.js'
import { lookup } from './reasons.js'
import { type Control, type Hello, judge } from './wire.js'

const allowance = 10_000
const answer = 3000
const askAgain = 5000
const longest = 300_000
const hiccup = 1000

/** The door said hello: this is the connection in use from now on. */
export function opened(s: State, l: Link, hello: Hello, protocol: string): void {
  if (s.move === l) {
    last(s, s.cur!)
    s.cur = l
    s.move = undefined
  }
  l.step = 'open'
  l.since = s.t
  l.beat = hello.beat * 1000 + allowance
  heard(s, l)
  expires(s, l, hello.expires_in)
  s.status = { status: 'open', protocol, limits: hello, draining: false }
  s.effects.push({ do: 'open', gen: l.gen })
}

/** Any message is a sign of life. */
export function heard(s: State, l: Link): void {
  l.heard = s.t
  l.silent = s.t + l.beat
  l.probe = Infinity
  // Alive, but nobody knows how much of its time passed in the sleep.
  if (l.stale && l.renew < Infinity) l.renew = s.t
  l.long = l.woken = l.stale = false
}

/** Asks whether it is alive. */
export function probe(s: State, l: Link): void {
  if (l.step !== 'open' || l.long || l.announced) return
  l.held = s.buffered
  l.probe = Math.min(l.probe, s.t + answer)
  s.effects.push({ do: 'probe', gen: l.gen })
}

/** Asks what has arrived, unless that was asked already. */
export function ask(s: State, l: Link): void {
  if (l.step !== 'open' || l.ask < Infinity) return
  l.ask = s.t + askAgain
  s.effects.push({ do: 'probe', gen: l.gen })
}

/** Renews at 80 % of the time that is left, give or take a tenth, so that many clients do not come at once. */
function expires(s: State, l: Link, seconds = Infinity): void {
  l.renew = s.rules.renewable ? s.t + seconds * 1000 * (0.7 + 0.2 * s.random) : Infinity
}

/** The credential could not be renewed: later. */
export function unrenewed(s: State, l: Link, retryAfter?: number): void {
  l.renew = s.t + advice(retryAfter) + jitter(s, l.tries++)
}

/** What is due on an open connection. */
export function live(s: State, l: Link): void {
  if (s.t >= l.probe) {
    // While the queue to the network shrinks, the probe may still be in it.
    if (s.buffered >= l.held) return giveUp(s, l, 'silent')
    l.held = s.buffered
    l.probe = s.t + answer
  }
  if (s.t >= l.silent) {
    if (l.announced) return ended(s, l, 1006, '', false)
    const twice = l.heard + 2 * l.beat
    if (s.hidden && !l.long && s.t < twice) l.silent = twice
    else if (l.long || s.t - l.silent < hiccup) return giveUp(s, l, 'silent')
    else {
      // This process stood still for a while; what came meanwhile may not be read yet.
      l.silent = Infinity
      probe(s, l)
    }
  }
  if (s.t >= l.ask) {
    l.ask = Infinity
    ask(s, l)
  }
  if (s.t >= l.renew) renew(s, l, 'expiring')
}

function renew(s: State, l: Link, why: 'expiring' | 'rejected'): void {
  // Until then there is an answer, or it is asked for again.
  l.renew = s.t + s.rules.connectTimeout
  s.effects.push({ do: 'renew', gen: l.gen, why })
}

/** A control message, other than hello. */
export function advised(s: State, l: Link, c: Exclude<Control, Hello>): void {
  if (c.t === 'beat' && c.got > l.got) {
    l.got = c.got
    l.ask = Infinity
  }
  if (c.t === 'renewed') {
    l.tries = 0
    l.refused = false
    expires(s, l, c.expires_in)
  }
  if (c.t === 'renew-refused') refused(s, l, lookup(c.code)?.act)
  if (c.t === 'drain' && l === s.cur && !s.move && s.at === Infinity && s.status.status === 'open') {
    s.status = { ...s.status, draining: true }
    // Moved here a moment ago: servers that all drain must not be run through without a pause.
    const again = s.t - l.since < s.rules.stableAfter ? jitter(s, ++s.failures) : 0
    wait(s, s.t + Math.max(s.random * advice(c.spread), again), true)
  }
  if (c.t === 'long') {
    l.long = true
    l.silent = s.t + longest
  }
  if (c.t === 'close') {
    l.announced = c
    l.ask = l.renew = Infinity
    // The close frame is right behind.
    l.by = l.silent = s.t + answer
  }
}

/** Once more at once with a fresh credential, then not again: the connection lives to its old end. */
function refused(s: State, l: Link, act: string | undefined): void {
  if (act === 'later') unrenewed(s, l)
  else if (act === 'reauth' && !l.refused) {
    l.refused = true
    renew(s, l, 'rejected')
  } else l.renew = Infinity
}

/** The socket is closed. */
export function ended(s: State, l: Link, close: number, reason: string, retry: boolean): void {
  const judged = judge(close, reason, l.announced?.code)
  over(s, l, judged ? judged.act : retry ? 'later' : 'never', close, reason, judged?.code, l.announced?.retry_after)
}

/** The clock jumped, or the page was frozen: nothing that was known is certain. */
export function wake(s: State): void {
  const l = s.cur
  s.failures = 0
  if (s.since < Infinity) s.since = s.t
  for (const d of [s.move, l]) {
    if (d?.step !== 'dial') continue
    d.woken = true
    giveUp(s, d, 'timeout')
  }
  if (l?.step === 'open' && !l.announced) {
    l.woken = l.stale = true
    l.probe = Infinity
    l.silent = l.long ? s.t + longest : Infinity
    probe(s, l)
  } else if (!s.cur && s.at < Infinity) wait(s, s.t + s.random * 1000, false)
}
