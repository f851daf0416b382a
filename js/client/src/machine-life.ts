// The life of an open connection: heartbeat, probes, renewal, advice of the door, and waking up.
import { advice, giveUp, jitter, last, over, type Turn, wait } from './machine-ends.js'
import type { Link } from './machine-state.js'
import { lookup } from './reasons.js'
import { type Control, type Hello, judge } from './wire.js'

const allowance = 10_000
const answer = 3000
const askAgain = 5000
const longest = 300_000
// A timer of a hidden page may be late by a minute, without any sleep.
const throttled = 70_000
const hiccup = 1000

/** The door said hello: this is the connection in use from now on. */
export function opened(x: Turn, l: Link, hello: Hello, protocol: string): void {
  const { s, fx } = x
  if (s.move === l) {
    last(x, s.cur!)
    s.cur = l
    s.move = undefined
  }
  l.step = 'open'
  l.since = s.t
  l.beat = hello.beat * 1000 + allowance
  heard(x, l)
  expires(x, l, hello.expires_in)
  s.at = Infinity
  s.status = { status: 'open', protocol, limits: hello, draining: false }
  fx.push({ do: 'open', gen: l.gen })
}

/** Any message is a sign of life. */
export function heard({ s }: Turn, l: Link): void {
  l.heard = s.t
  l.silent = s.t + l.beat
  l.probe = Infinity
  l.long = l.woken = false
  // Alive, but nobody knows how much of its time passed in the sleep.
  if (l.stale && l.renew < Infinity) l.renew = s.t
  l.stale = false
}

/** Asks whether it is alive. */
export function probe({ s, e, fx }: Turn, l: Link): void {
  if (l.step !== 'open' || l.long || l.announced) return
  l.buffered = e.buffered
  l.probe = Math.min(l.probe, s.t + answer)
  fx.push({ do: 'probe', gen: l.gen })
}

/** Asks what has arrived, unless that was asked already. */
export function ask({ s, fx }: Turn, l: Link): void {
  if (l.step !== 'open' || l.ask < Infinity) return
  l.ask = s.t + askAgain
  fx.push({ do: 'probe', gen: l.gen })
}

/** Renews at 80 % of the time that is left, give or take a tenth, so that many clients do not come at once. */
function expires({ s, e }: Turn, l: Link, seconds: number | undefined): void {
  l.renew = s.rules.renewable && seconds !== undefined ? s.t + seconds * 1000 * (0.7 + 0.2 * e.random) : Infinity
}

/** The credential could not be renewed: later. */
export function unrenewed(x: Turn, l: Link, retryAfter = 0): void {
  l.renew = x.s.t + advice(retryAfter) + jitter(x, l.tries++)
}

/** What is due on an open connection. */
export function live(x: Turn, l: Link): void {
  const { s, e } = x
  if (s.t >= l.probe) {
    // While the queue to the network shrinks, the probe may still be in it.
    if (e.buffered >= l.buffered) return giveUp(x, l, 'local.silent')
    l.buffered = e.buffered
    l.probe = s.t + answer
  }
  if (s.t >= l.silent) {
    const late = s.t - l.silent
    const twice = l.heard + 2 * l.beat
    if (l.announced) return ended(x, l, 1006, '', false)
    if (l.long) return giveUp(x, l, 'local.silent')
    if (e.hidden && s.t < twice) l.silent = twice
    else if (late < hiccup) return giveUp(x, l, 'local.silent')
    else {
      // This process stood still for a while; what came meanwhile may not be read yet.
      l.silent = Infinity
      probe(x, l)
    }
  }
  if (s.t >= l.ask) {
    l.ask = Infinity
    ask(x, l)
  }
  if (s.t >= l.renew) renew(x, l, 'expiring')
}

function renew({ s, fx }: Turn, l: Link, why: 'expiring' | 'rejected'): void {
  // Until then there is an answer, or it is asked for again.
  l.renew = s.t + s.rules.connectTimeout
  fx.push({ do: 'renew', gen: l.gen, why })
}

/** A control message, other than hello. */
export function advised(x: Turn, l: Link, c: Exclude<Control, Hello>): void {
  const { s, e } = x
  switch (c.t) {
    case 'beat':
      l.ask = Infinity
      break
    case 'renewed':
      l.tries = 0
      l.refused = false
      expires(x, l, c.expires_in)
      break
    case 'renew-refused':
      refused(x, l, c.code)
      break
    case 'drain':
      if (l !== s.cur || s.move || s.at < Infinity || s.status.status !== 'open') break
      s.status = { ...s.status, draining: true }
      // Moved here a moment ago: servers that all drain must not be run through without a pause.
      wait(x, s.t + e.random * advice(c.spread) + (s.t - l.since < s.rules.stableAfter ? jitter(x, ++s.failures) : 0), true)
      break
    case 'long':
      l.long = true
      l.silent = s.t + longest
      break
    case 'close':
      l.announced = { code: c.code, retryAfter: c.retry_after ?? 0 }
      l.ask = l.renew = Infinity
      // The close frame is right behind.
      l.silent = s.t + answer
  }
}

/** Once more at once with a fresh credential, then not again: the connection lives to its old end. */
function refused(x: Turn, l: Link, code: string): void {
  const act = lookup(code)?.act
  if (act === 'later') unrenewed(x, l)
  else if (act === 'reauth' && !l.refused) {
    l.refused = true
    renew(x, l, 'rejected')
  } else l.renew = Infinity
}

/** The socket is closed. */
export function ended(x: Turn, l: Link, close: number, reason: string, retry: boolean): void {
  const judged = judge(close, reason, l.announced?.code)
  const ending = { close, reason, ...(judged && { code: judged.code }) }
  over(x, l, ending, judged ? judged.act : retry ? 'later' : 'never', l.announced?.retryAfter)
}

/** The clock jumped, or the page was frozen: nothing that was known is certain. */
export function wake(x: Turn, late: number): void {
  const { s, e } = x
  const l = s.cur
  s.failures = 0
  if (s.since < Infinity) s.since = s.t
  for (const d of [s.move, l]) {
    if (d?.step !== 'dial') continue
    d.woken = true
    giveUp(x, d, 'local.timeout')
  }
  if (l?.step === 'open' && !l.announced) {
    l.woken = true
    l.stale = !e.hidden || late > throttled
    l.probe = Infinity
    l.silent = l.long ? s.t + longest : Infinity
    probe(x, l)
  } else if (!s.cur && s.at < Infinity) wait(x, s.t + e.random * 1000, false)
}
