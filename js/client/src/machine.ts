// When to connect, to wait, to probe, to renew, to move and to stop. A function from a state and an event to a state and
// what is to be done: every decision of the client is here, and can be tested without a network or a clock.

import { bye, dial, finish, giveUp, last, over, suspend, type Turn, wait } from './machine-ends.js'
import { advised, ask, ended, heard, live, opened, probe, unrenewed, wake } from './machine-life.js'
import { clock, due, type Effect, type Event, givenUp, type Link, type State } from './machine-state.js'

const jump = 10_000

/** Takes one event. The state given is not changed. */
export function next(state: State, e: Event): [State, Effect[]] {
  const copy = (l: Link | undefined) => l && { ...l }
  const s = { ...state, cur: copy(state.cur), move: copy(state.move), old: state.old.map(l => ({ ...l })) }
  const x: Turn = { s, e, fx: [] }
  s.t = clock(state, e)
  s.wall = e.now
  s.steady = e.steady
  // Some timers fire a little early.
  if (e.type === 'timer') s.t = Math.max(s.t, e.due)
  const late = s.t - due(state)
  if (late > jump) wake(x, late)
  happen(x)
  return [s, x.fx]
}

function happen(x: Turn): void {
  const { s, e } = x
  switch (e.type) {
    case 'connect':
      return s.wanted ? seek(x) : start(x)
    case 'send':
      if (!s.wanted) return start(x)
      // Once in the longest wait: whoever sends all the time must not undo the back-off.
      if (s.t - s.pushed < s.rules.max) return
      s.pushed = s.t
      return seek(x)
    case 'reconnect':
      return reconnect(x, e.why)
    case 'close':
      return finish(x, { status: 'closed', code: 'closed' }, e.close, e.reason)
    case 'timer':
      return timers(x)
    case 'seen':
      return seek(x)
    case 'resume':
      wake(x, Infinity)
      return seek(x)
    case 'online':
      s.failures = 0
      if (s.cur) return probe(x, s.cur)
      return seek(x, e.random * 500, false)
    case 'offline':
      if (s.cur) return probe(x, s.cur)
      if (s.status.status === 'waiting') wait(x, s.at, false)
      return
    case 'suspend':
      return suspend(x)
    case 'restore':
      if (s.status.status !== 'paused') return
      s.since = s.t
      return wait(x, s.t, true)
    default: {
      const l = [s.cur, s.move, ...s.old].find(l => l?.gen === e.gen)
      if (l) onLink(x, l)
    }
  }
}

/** What happens on a connection that still counts. */
function onLink(x: Turn, l: Link): void {
  const { s, e } = x
  const fresh = l.step === 'dial'
  switch (e.type) {
    case 'hello':
      return fresh ? opened(x, l, e.hello, e.protocol) : giveUp(x, l, 'local.protocol')
    case 'message':
      return fresh ? giveUp(x, l, 'local.protocol') : heard(x, l)
    case 'control': {
      const c = e.control
      // The only one that may come in place of hello is the door's refusal.
      if (c.t === 'hello' || (fresh && c.t !== 'close')) return giveUp(x, l, 'local.protocol')
      heard(x, l)
      if (fresh) l.by = Math.min(l.by, s.t + 3000)
      return advised(x, l, c)
    }
    case 'fault':
      return giveUp(x, l, 'local.protocol')
    case 'closed':
      return ended(x, l, e.close, e.reason, e.retry)
    case 'none':
      if (s.wanted) finish(x, { status: 'closed', code: 'unauthenticated' })
      return
    case 'failed':
      if (!fresh) return unrenewed(x, l, e.retryAfter)
      return over(x, l, { close: 1006, reason: e.why, code: 'ticket' }, 'later', e.retryAfter)
    case 'ask':
      return ask(x, l)
    case 'settled':
      if (l.step === 'last') bye(x, l)
  }
}

/** The application wants to be connected, from now on. */
function start(x: Turn): void {
  const { s } = x
  s.wanted = true
  s.final = undefined
  s.failures = 0
  s.rejected = false
  s.since = s.t
  s.why = 'connect'
  wait(x, s.t, true)
}

/** Ends a wait, but never one that the application did not begin, and not within the cache. */
function seek(x: Turn, delay = 0, force = true): void {
  const { s } = x
  const { status } = s.status
  if (status === 'waiting' || (s.status.status === 'paused' && s.status.paused === 'offline')) wait(x, s.t + delay, force)
}

function reconnect(x: Turn, why: string): void {
  const { s } = x
  s.failures = 0
  if (!s.wanted) return start(x)
  if (s.cur?.step !== 'open') return seek(x)
  last(x, s.cur, 1000, why)
  s.cur = s.move
  s.move = undefined
  if (s.cur) s.status = { status: 'connecting' }
  else dial(x)
}

function timers(x: Turn): void {
  const { s } = x
  for (const l of [...s.old]) {
    if (s.t < l.by) continue
    if (l.step === 'last') bye(x, l)
    else over(x, l, l.bye, 'never')
  }
  for (const l of [s.cur, s.move]) {
    if (!l) continue
    if (l.step === 'open') live(x, l)
    else if (s.t >= l.by) l.announced ? ended(x, l, 1006, '', false) : giveUp(x, l, 'local.timeout')
  }
  if (s.t >= s.at) wait(x, s.at, false)
  if (s.t >= givenUp(s)) finish(x, { status: 'closed', code: 'elapsed' })
}
