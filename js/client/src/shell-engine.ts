// Turns the machine: measures, feeds it events, does what it asks for, and keeps its one timer.
import type { Env } from './browser.js'
import { type Bounds, type ClientEvents, type Feed, feed, gone, type Waiting, waiting } from './events.js'
import { next } from './machine.js'
import { clock, due, type Effect, type Happening, initial, type Rules, type Status } from './machine-state.js'
import { type QueueOptions, queue, type SendOptions, unsure } from './queue.js'
import { type AppEnd, type Conn, conn, dial, drop, type Owner, ready, renew } from './shell.js'
import { control, type Data } from './wire.js'

/** What an engine is made of. */
export interface Parts extends Pick<Owner, 'url' | 'gate' | 'protocols'> {
  options: Owner['options'] & { shouldRetry?: ((end: AppEnd) => boolean) | undefined }
  rules: Rules
  bounds: QueueOptions
  env: Env
}

/** The moving part of a client. */
export interface Engine {
  events: EventTarget
  until: Waiting['until']
  status(): Status
  /** The connection that messages go to. */
  current(): Conn | undefined
  /** Tells the machine what happened. What happens meanwhile, by a listener for example, waits its turn. */
  step(happening: Happening): void
  send(data: string | Uint8Array, options: SendOptions): Promise<void>
  ready(signal: AbortSignal | undefined): Promise<void>
  close(code: number, reason: string): Promise<void>
  messages(bounds: Bounds): AsyncIterableIterator<Data>
}

// The longest that setTimeout can wait.
const maxDelay = 2 ** 31 - 1
const pollEvery = 50

const defaultRetry = ({ code }: AppEnd) => [1001, 1005, 1006, 1011, 1012, 1013, 1014].includes(code)

/** Makes an engine, which does nothing before its first step. */
export function engine({ url, gate, protocols, options, rules, bounds, env }: Parts): Engine {
  const events = new EventTarget()
  const waiters = waiting()
  const feeds = new Set<Feed>()
  const outbox = queue(bounds)
  const conns = new Map<number, Conn>()
  const todo: Happening[] = []
  const clocks = () => ({ now: env.now(), steady: env.steady() })
  let busy = false
  let state = initial(rules, clocks())
  let current: Conn | undefined
  let timer: { due: number; handle: unknown } | undefined
  let deaf: (() => void) | undefined
  let polling = 0

  const tell = <K extends keyof ClientEvents>(type: K, detail: ClientEvents[K]) => events.dispatchEvent(new CustomEvent(type, { detail }))
  const time = () => clock(state, clocks())
  const buffered = () => current?.socket?.bufferedAmount ?? 0

  const owner: Owner = {
    url,
    gate,
    options,
    protocols,
    time,
    step,
    message(data) {
      tell('message', data)
      for (const f of feeds) f.push(data)
    },
    acknowledged: settle,
    renewed: expiresIn => tell('renewed', { expiresIn }),
    failed: error => tell('error', error),
    retry(end) {
      try {
        return (options.shouldRetry ?? defaultRetry)(end)
      } catch (error) {
        tell('error', error)
        return defaultRetry(end)
      }
    },
  }

  function step(happening: Happening): void {
    todo.push(happening)
    if (busy) return
    busy = true
    for (let h = todo.shift(); h; h = todo.shift()) {
      const before = state.status
      const [after, effects] = next(state, {
        ...h,
        ...clocks(),
        random: env.random(),
        hidden: env.hidden(),
        offline: env.offline(),
        buffered: buffered(),
      })
      state = after
      for (const f of effects) run(f)
      if (state.status !== before) changed(state.status)
    }
    busy = false
    settle()
  }

  function run(f: Effect): void {
    if (f.do === 'dial') {
      const c = conn(f.gen)
      conns.set(f.gen, c)
      dial(owner, c, f.why)
      return
    }
    const c = conns.get(f.gen)!
    if (f.do === 'renew') renew(owner, c, f.why)
    else if (f.do === 'probe') {
      if (c.socket?.readyState === 1) c.socket.send(control({ t: 'probe' }))
    } else if (f.do === 'open') current = c
    else if (f.do === 'finish') {
      c.shut = true
      if (!c.lane?.sent.length) step({ type: 'settled', gen: f.gen })
    } else if (f.do === 'close') c.socket?.close(f.close, f.reason)
    else {
      conns.delete(f.gen)
      if (current === c) current = undefined
      drop(c, f.ending)
      if (c.lane?.sent.length) tell('unknown', { messages: unsure(c.lane), why: f.ending })
      tell('close', f.ending)
    }
  }

  function changed(s: Status): void {
    const error = gone(s)
    if (error) {
      outbox.clear(error)
      // By close() it ends as it should.
      for (const f of [...feeds]) f.end(s.status === 'closed' && s.code !== 'closed' ? error : undefined)
    }
    if (s.status === 'idle' || s.status === 'closed') {
      deaf?.()
      deaf = undefined
    } else deaf ??= env.listen(type => step({ type }))
    tell('state', s)
    // It ended while something was left to send: that is a use.
    if (s.status === 'idle' && outbox.count()) step({ type: 'send' })
  }

  /** After everything that happens: what may go is handed over, who waits is told, and the timer is set. */
  function settle(): void {
    if (busy) return
    const c = current
    if (ready(c) && outbox.flush(c.lane, time(), wire => c.socket.send(wire))) return step({ type: 'ask', gen: c.gen })
    waiters.look()
    arm()
  }

  /** One timer for everything, so that none is forgotten. */
  function arm(): void {
    const now = time()
    const at = Math.min(due(state), outbox.due(), polling && current ? now + pollEvery : Infinity)
    if (timer?.due === at) return
    if (timer) env.clearTimeout(timer.handle)
    timer = undefined
    if (at === Infinity) return
    const delay = Math.min(maxDelay, Math.max(0, at - now))
    timer = {
      due: at,
      handle: env.setTimeout(() => {
        timer = undefined
        outbox.expire(now + delay)
        step({ type: 'timer', due: now + delay })
      }, delay),
    }
  }

  return {
    events,
    until: waiters.until,
    status: () => state.status,
    current: () => current,
    step,
    send: (data, how) => outbox.add(data, how, time(), () => (state.status.status === 'open' ? settle() : step({ type: 'send' }))),
    async ready(signal) {
      polling++
      const low = waiters.until(
        () => outbox.low(buffered()),
        signal,
        () => gone(state.status),
      )
      arm()
      await low.finally(() => polling--)
    },
    async close(code, reason) {
      const leaving = [...conns.values()]
      step({ type: 'close', close: code, reason })
      await waiters.until(() => !leaving.some(c => conns.get(c.gen) === c))
    },
    messages(bounds) {
      const f = feed(bounds, feeds)
      const error = gone(state.status)
      if (error) f.end(error)
      return f.iterator
    },
  }
}
