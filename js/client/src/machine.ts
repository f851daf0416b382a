// When to connect, to wait, to probe, to renew, to move and to stop. A function from a state and an event to a state with
// what is to be done: every decision of the client is here, and can be tested without a network or a clock.
import { bye, dial, finish, giveUp, last, over, suspend, use, wait } from './machine-ends.js'
import { advised, ask, ended, heard, live, opened, probe, unrenewed, wake } from './machine-life.js'
import { clock, due, givenUp, type Happening, type Link, links, type Reading, type State } from './machine-state.js'

const jump = 10_000

/** Takes one event. The state given is not changed; the new one has the effects. */
export function next(state: State, e: Happening, reading: Reading): State {
  const copy = (l: Link | undefined) => l && { ...l }
  const s: State = { ...state, ...reading, effects: [], cur: copy(state.cur), move: copy(state.move), old: state.old.map(l => ({ ...l })) }
  s.t = clock(state, reading)
  // Some timers fire a little early.
  if (e.type === 'timer') s.t = Math.max(s.t, e.due)
  const late = s.t - due(state)
  if (late > jump) wake(s, late)
  happen(s, e)
  return s
}

function happen(s: State, e: Happening): void {
  switch (e.type) {
    case 'connect':
      return s.wanted ? seek(s) : start(s)
    case 'send':
      if (!s.wanted) return start(s)
      // Once in the longest wait: whoever sends all the time must not undo the back-off.
      if (s.t - s.pushed < s.rules.max) return
      s.pushed = s.t
      return seek(s)
    case 'reconnect':
      return reconnect(s, e.why)
    case 'close':
      return finish(s, 'closed', undefined, e.close, e.reason)
    case 'timer':
      return timers(s)
    case 'seen':
      return seek(s)
    case 'resume':
      wake(s, Infinity)
      return seek(s)
    case 'online':
      s.failures = 0
      if (s.cur) return probe(s, s.cur)
      return seek(s, s.random * 500, false)
    case 'offline':
      if (s.cur) return probe(s, s.cur)
      if (s.at < Infinity) wait(s, s.at, false)
      return
    case 'suspend':
      return suspend(s)
    case 'restore':
      if (s.status.status !== 'paused') return
      s.since = s.t
      return wait(s, s.t, true)
    default: {
      const l = links(s).find(l => l.gen === e.gen)
      if (l) onLink(s, e, l)
    }
  }
}

/** What happens on a connection that still counts. */
function onLink(s: State, e: Happening, l: Link): void {
  const fresh = l.step === 'dial'
  switch (e.type) {
    case 'hello':
      return fresh ? opened(s, l, e.hello, e.protocol) : giveUp(s, l, 'protocol')
    case 'message':
      return fresh ? giveUp(s, l, 'protocol') : heard(s, l)
    case 'control': {
      const c = e.control
      // The only one that may come in place of hello is the door's refusal.
      if (c.t === 'hello' || (fresh && c.t !== 'close')) return giveUp(s, l, 'protocol')
      heard(s, l)
      return advised(s, l, c)
    }
    case 'fault':
      return giveUp(s, l, 'protocol')
    case 'closed':
      return ended(s, l, e.close, e.reason, e.retry)
    case 'none':
      if (s.wanted) finish(s, 'unauthenticated')
      return
    case 'failed':
      return fresh ? over(s, l, 'later', 1006, e.why, 'ticket', e.retryAfter) : unrenewed(s, l, e.retryAfter)
    case 'ask':
      return ask(s, l)
    case 'settled':
      if (l.step === 'last') bye(s, l)
  }
}

/** The application wants to be connected, from now on. */
function start(s: State): void {
  s.wanted = true
  s.rejected = false
  s.final = undefined
  s.failures = 0
  s.since = s.t
  s.why = 'connect'
  wait(s, s.t, true)
}

/** Ends a wait, but never one that the application did not begin, and not within the cache. */
function seek(s: State, delay = 0, force = true): void {
  const { status, paused } = s.status as { status: string; paused?: string }
  if (status === 'waiting' || paused === 'offline') wait(s, s.t + delay, force)
}

function reconnect(s: State, why: string): void {
  s.failures = 0
  if (!s.wanted) return start(s)
  if (s.cur?.step !== 'open') return seek(s)
  last(s, s.cur, 1000, why)
  s.cur = undefined
  if (s.move) use(s, s.move)
  else dial(s)
}

function timers(s: State): void {
  for (const l of links(s)) {
    if (l.step === 'open') live(s, l)
    else if (s.t < l.by) continue
    else if (l.step === 'last') bye(s, l)
    else if (l.step === 'bye') over(s, l, 'never', l.bye!.close, l.bye!.reason)
    else if (l.announced) ended(s, l, 1006, '', false)
    else giveUp(s, l, 'timeout')
  }
  if (s.t >= s.at) wait(s, s.at, false)
  if (s.t >= givenUp(s)) finish(s, 'elapsed')
}
