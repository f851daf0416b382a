// Turns the machine: measures, feeds it events, does what it asks for, and keeps its one timer. What it makes is the client.
import type { Env } from './browser.js'
import type { Client, ClientOptions } from './client.js'
import { type Abortable, aborted, type Bounds, type ClientEvents, gone, iterate, waiting } from './events.js'
import { next } from './machine.js'
import { clock, due, type Effect, type Happening, initial, type Rules, type Status } from './machine-state.js'
import { queue, type SendOptions, unsure } from './queue.js'
import { type AppEnd, type Conn, conn, dial, drop, type Owner, ready, renew } from './shell.js'
import { control, size } from './wire.js'

// The longest that setTimeout can wait.
const maxDelay = 2 ** 31 - 1
const pollEvery = 50

const defaultRetry = ({ code }: AppEnd) => [1001, 1005, 1006, 1011, 1012, 1013, 1014].includes(code)

/** Makes a client, which does nothing before it is asked to. */
export function engine(url: URL, protocols: readonly string[], options: ClientOptions, rules: Rules, env: Env): Client {
  const events = new EventTarget()
  const waiters = waiting()
  const outbox = queue(options.queue ?? {})
  const conns = new Map<number, Conn>()
  const todo: Happening[] = []
  let busy = false
  let current: Conn | undefined
  let timer: { due: number; handle: unknown } | undefined
  let deaf: (() => void) | undefined
  let polling = 0

  const buffered = () => current?.socket?.bufferedAmount ?? 0
  const measure = () => ({
    now: env.now(),
    steady: env.steady(),
    random: env.random(),
    hidden: env.hidden(),
    offline: env.offline(),
    buffered: buffered(),
    pending: outbox.count() > 0,
  })
  let state = initial(rules, measure())
  const time = () => clock(state, measure())
  const ended = () => gone(state.status)

  function tell<K extends keyof ClientEvents>(type: K, detail: ClientEvents[K]): void {
    events.dispatchEvent(new CustomEvent(type, { detail }))
    // Who iterates waits for messages.
    waiters.look()
  }

  const owner: Owner = {
    url,
    options,
    protocols,
    step,
    tell,
    retry(end) {
      try {
        return (options.shouldRetry ?? defaultRetry)(end)
      } catch (error) {
        tell('error', error)
        return defaultRetry(end)
      }
    },
  }

  /** Tells the machine what happened. What happens meanwhile, by a listener for example, waits its turn. */
  function step(happening: Happening): void {
    todo.push(happening)
    if (busy) return
    busy = true
    for (let h = todo.shift(); h; h = todo.shift()) {
      const before = state.status
      state = next(state, h, measure())
      for (const f of state.effects) run(f)
      if (state.status !== before) changed(state.status)
    }
    busy = false
    settle()
  }

  function run(f: Effect): void {
    const { gen } = f
    const c = conns.get(gen) ?? conn(gen)
    const { socket, lane } = c
    if (f.do === 'dial') {
      conns.set(gen, c)
      dial(owner, c, f.why)
    } else if (f.do === 'renew') renew(owner, c, f.why)
    else if (f.do === 'open') current = c
    else if (f.do === 'close') socket?.close(f.close, f.reason)
    else if (f.do === 'over') {
      conns.delete(gen)
      if (current === c) current = undefined
      drop(c, f.ending)
      if (lane?.sent.length) tell('unknown', { messages: unsure(lane), why: f.ending })
      tell('close', f.ending)
    } else {
      if (f.do === 'finish') {
        c.shut = true
        if (!lane?.sent.length) step({ type: 'settled', gen })
      }
      if (socket?.readyState === 1) socket.send(control({ t: 'probe' }))
    }
  }

  function changed(s: Status): void {
    const error = gone(s)
    if (error) outbox.clear(error)
    if (s.status === 'idle' || s.status === 'closed') {
      deaf?.()
      deaf = undefined
    } else deaf ??= env.listen(type => step({ type }))
    tell('state', s)
  }

  /** After everything that happens: what may go is handed over, who waits is told, and the timer is set. */
  function settle(): void {
    if (busy) return
    const c = ready(current) ? current : undefined
    if (outbox.flush(c?.lane, time(), wire => c!.socket.send(wire))) return step({ type: 'ask', gen: c!.gen })
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
        step({ type: 'timer', due: now + delay })
      }, delay),
    }
  }

  const over = () => client.close()
  // By close() it ends as it should.
  const messages = (bounds: Bounds = {}) =>
    iterate(events, waiters.until, () => state.status.status === 'closed' && (state.status.code === 'closed' || ended()), bounds)
  const client: Omit<Client, 'addEventListener' | 'removeEventListener'> = {
    url: url.href,
    get state() {
      return state.status
    },
    get protocol() {
      return current?.protocol ?? ''
    },
    get id() {
      return client.limits?.id ?? ''
    },
    get limits() {
      return current?.lane?.limits
    },
    async connect({ signal }: Abortable = {}) {
      if (!aborted(signal)) step({ type: 'connect' })
      await waiters.until(() => state.status.status === 'open' || ended(), signal)
    },
    async send(data, how: SendOptions = {}) {
      const error = aborted(how.signal) ?? ended()
      if (error) throw error
      check(how.expiresIn)
      const e = outbox.add(typeof data === 'string' ? data : bytes(data), how, time())
      if (state.status.status === 'open') settle()
      else step({ type: 'send' })
      if (!e.fate) outbox.bound()
      try {
        await waiters.until(() => e.fate, how.signal)
      } finally {
        outbox.remove(e)
        arm()
      }
    },
    async ready({ signal }: Abortable = {}) {
      polling++
      const low = waiters.until(() => ended() || outbox.low(buffered()), signal)
      arm()
      await low.finally(() => polling--)
    },
    reconnect(why = '') {
      farewell(1000, why)
      step({ type: 'reconnect', why })
    },
    async close(code = 1000, reason = '') {
      farewell(code, reason)
      const leaving = [...conns.keys()]
      step({ type: 'close', close: code, reason })
      await waiters.until(() => !leaving.some(gen => conns.has(gen)))
    },
    messages,
    [Symbol.asyncIterator]: messages,
    // Node 20 and older browsers do not know the symbol yet.
    ...(Symbol.asyncDispose && { [Symbol.asyncDispose]: over }),
  } as Client
  const { signal } = options
  signal?.addEventListener('abort', over)
  if (signal?.aborted) over()
  return Object.defineProperties(events, Object.getOwnPropertyDescriptors(client)) as Client & EventTarget
}

/** Refuses a bound that is none. */
export function check(...values: (number | undefined)[]): void {
  for (const v of values) if (v !== undefined && !(v >= 0)) throw new RangeError(`${v}`)
}

// A buffer has no buffer of its own, and is used whole.
function bytes(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  const { buffer = data as ArrayBuffer, byteOffset, byteLength } = data as ArrayBufferView
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** Refuses what a script may not say in a close frame. */
function farewell(code: number, reason: string): void {
  if (code !== 1000 && !(code > 2999 && code < 5000)) throw new RangeError(`close code ${code}`)
  if (size(reason) > 123) throw new RangeError('close reason')
}
