// What an application sees: options, events, closing, and that importing does nothing.
import { describe, expect, test, vi } from 'vitest'
import { createClient } from '../../src/client.js'
import { SallyportError } from '../../src/error.js'
import { next } from '../../src/machine.js'
import { due, initial } from '../../src/machine-state.js'
import { later, outcome, setup } from './setup.js'

describe('options', () => {
  test.each([
    ['SR-01: ws:', 'ws://app.test/', {}],
    ['SR-01: http:', 'http://app.test/', {}],
    ['a relative URL outside a page', '/chat', {}],
    ['another scheme', 'ftp://app.test/', { dangerouslyAllowPlaintext: 'test' }],
    ['a fragment', 'wss://app.test/#x', {}],
    ['an empty fragment', 'wss://app.test/#', {}],
    ['nothing', '', {}],
    ['a subprotocol of ours', 'wss://app.test/', { protocols: 'sallyport.v1' }],
    ['a subprotocol twice', 'wss://app.test/', { protocols: ['a', 'a'] }],
  ])('%s is a SyntaxError', (_, url, options) => {
    expect(() => createClient(url, options)).toThrow(expect.objectContaining({ name: 'SyntaxError' }))
  })

  test('https: means wss:, plaintext needs a reason, and the path is the gate', async () => {
    expect(createClient('https://app.test/chat').url).toBe('wss://app.test/chat')
    expect(createClient(new URL('http://app.test/'), { dangerouslyAllowPlaintext: 'a test' }).url).toBe('ws://app.test/')
    const s = setup({ gate: '/other' })
    await s.open()
    expect(s.door.requests[0]).toMatchObject({ gate: '/other' })
  })

  test.each([
    { backoff: { base: -1 } },
    { backoff: { max: Number.NaN } },
    { connectTimeout: -1 },
    { maxElapsed: Number.NaN },
    { queue: { count: -1 } },
    { queue: { bytes: Number.NaN } },
  ])('a bound without sense is a RangeError: %o', options => {
    expect(() => createClient('wss://app.test/', options)).toThrow(RangeError)
  })

  test('a page cannot set headers, so it needs a source of tickets', () => {
    vi.stubGlobal('document', { baseURI: 'https://app.test/page', visibilityState: 'visible' })
    expect(() => createClient('/chat', { token: 'abc' })).toThrow(TypeError)
    expect(createClient('/chat', { token: 'abc', ticket: '/sallyport/ticket' }).url).toBe('wss://app.test/chat')
    vi.unstubAllGlobals()
  })

  test('back-off and timeout of the options are used', async () => {
    const s = setup({ backoff: { base: 100, max: 150, stableAfter: 5 }, connectTimeout: 1000 })
    s.door.handshake = () => {}
    later(s.client.connect())
    await s.clock.advance(1000)
    expect(s.client.state).toMatchObject({ status: 'waiting', retryIn: 50 })
    await s.clock.advance(1050)
    expect(s.client.state).toMatchObject({ status: 'waiting', retryIn: 75 })
    s.door.handshake = c => c.accept()
    await s.clock.advance(75 + 5)
    s.door.last().lose()
    await s.clock.advance(0)
    expect(s.client.state).toMatchObject({ status: 'waiting', retryIn: 50 })
  })
})

describe('life', () => {
  test('making a client does nothing', async () => {
    const s = setup()
    await s.clock.advance(60_000)
    expect(s.client.state).toEqual({ status: 'idle' })
    expect(s.door.requests).toEqual([])
    expect(s.clock.timers()).toBe(0)
  })

  test('connect() resolves when open; twice is once', async () => {
    const s = setup()
    const both = Promise.all([s.client.connect(), s.client.connect()])
    await s.clock.advance(0)
    await both
    await s.client.connect()
    expect(s.dials()).toBe(1)
    expect(s.states.map(t => t.status)).toEqual(['connecting', 'open'])
  })

  test('aborting connect() ends the wait, not the client; an aborted one does not begin', async () => {
    const s = setup()
    expect(await outcome(s.client.connect({ signal: AbortSignal.abort() }))).toBe('aborted')
    expect(s.client.state.status).toBe('idle')
    const stop = new AbortController()
    const opened = later(s.client.connect({ signal: stop.signal }))
    stop.abort()
    expect(await outcome(opened)).toBe('aborted')
    await s.clock.advance(0)
    expect(s.client.state.status).toBe('open')
  })

  test('close() at every moment: resolves, leaves no timer and no socket, and is never retried', async () => {
    const moments: Record<string, (s: ReturnType<typeof setup>) => Promise<unknown>> = {
      idle: async () => {},
      'getting a ticket': async s => {
        later(s.client.connect())
      },
      connecting: async s => {
        s.door.handshake = () => {}
        later(s.client.connect())
        await s.clock.advance(0)
      },
      open: s => s.open(),
      waiting: async s => {
        s.door.handshake = c => c.fail()
        later(s.client.connect())
        await s.clock.advance(0)
      },
      draining: async s => {
        const c = await s.open()
        s.door.handshake = () => {}
        c.control({ t: 'drain', spread: 0, deadline: 20 })
        await s.clock.advance(0)
      },
      'moved a moment ago': async s => {
        const c = await s.open()
        c.control({ t: 'drain', spread: 0, deadline: 20 })
        c.got = 0
        later(s.client.send('x'))
        await s.clock.advance(0)
      },
      stalled: async s => {
        const c = await s.open()
        c.stalled = true
      },
      'paused, offline': async s => {
        const c = await s.open()
        s.clock.offline = true
        c.lose()
        await s.clock.advance(0)
      },
      suspended: async s => {
        await s.open()
        s.clock.tell('suspend')
      },
    }
    for (const [what, reach] of Object.entries(moments)) {
      const s = setup()
      await reach(s)
      const closed = s.client.close()
      expect(['closing', 'closed'], what).toContain(s.client.state.status)
      await s.clock.advance(6000)
      expect(await outcome(closed), what).toBe('done')
      expect(s.client.state, what).toMatchObject({ status: 'closed', code: 'closed' })
      expect(s.clock.timers(), what).toBe(0)
      const dials = s.dials()
      for (const sign of ['online', 'seen', 'resume', 'restore'] as const) s.clock.tell(sign)
      await s.clock.advance(3_600_000)
      expect(s.dials(), what).toBe(dials)
      for (const c of s.door.connections) expect(c.state === 'closed' || c.stalled, what).toBe(true)
    }
  })

  test('connect() after close() begins anew, also while it is closing', async () => {
    const s = setup()
    const c = await s.open()
    c.stalled = true
    const closed = s.client.close()
    const opened = s.client.connect()
    await s.clock.advance(0)
    await opened
    expect(s.client.state.status).toBe('open')
    await s.clock.advance(6000)
    expect(await outcome(closed)).toBe('done')
    expect(s.client.state.status).toBe('open')
    expect(s.dials()).toBe(2)
  })

  test('connect() after close() has forgotten what failed before', async () => {
    const s = setup()
    s.door.handshake = c => c.refuse('auth.expired', 4001, 'Unauthorized')
    later(s.client.connect())
    await s.clock.advance(20_000)
    s.client.close()
    const asked = s.door.requests.length
    later(s.client.connect())
    await s.clock.advance(0)
    expect(s.door.requests.slice(asked).map(r => r.reason)).toEqual(['connect', 'rejected'])
    expect(s.client.state).toMatchObject({ status: 'waiting', retryIn: 250 })
  })

  test('reconnect() forgets failures too', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(20_000)
    s.client.reconnect()
    await s.clock.advance(0)
    expect(s.client.state).toMatchObject({ status: 'waiting', retryIn: 250 })
  })

  test('reconnect(): a new connection at once, the old one is let go with the reason', async () => {
    const s = setup()
    const c = await s.open()
    s.client.reconnect('the user asked')
    expect(s.client.state.status).toBe('connecting')
    await s.clock.advance(0)
    expect(s.client.state.status).toBe('open')
    expect(s.dials()).toBe(2)
    expect(c.ended).toEqual({ code: 1000, reason: 'the user asked' })
  })

  test('reconnect(): what is sent meanwhile goes to the new connection', async () => {
    const s = setup()
    const c = await s.open()
    s.door.handshake = () => {}
    s.client.reconnect()
    const sent = s.client.send('x')
    await s.clock.advance(0)
    expect(await outcome(sent)).toBe('pending')
    s.door.last().accept()
    await s.clock.advance(0)
    expect(await outcome(sent)).toBe('done')
    expect([c.received, s.door.last().received]).toEqual([[], ['x']])
  })

  test('a client that was closed and connects again hears the page again', async () => {
    const s = setup()
    await s.open()
    s.client.close()
    await s.clock.advance(0)
    await s.open()
    s.clock.tell('suspend')
    expect(s.client.state).toMatchObject({ status: 'paused' })
  })

  test('reconnect() many times keeps two old connections at most', async () => {
    const s = setup()
    for (let i = 0; i < 5; i++) {
      await s.open()
      s.door.last().stalled = true
      s.client.reconnect()
      await s.clock.advance(0)
    }
    expect(s.ends.filter(e => e.code === 'local.superseded')).toHaveLength(3)
    expect(s.ends).toHaveLength(3)
  })

  test('what a close frame cannot hold is refused', async () => {
    const s = setup()
    await s.open()
    await expect(s.client.close(1001)).rejects.toThrow(RangeError)
    await expect(s.client.close(5000)).rejects.toThrow(RangeError)
    await expect(s.client.close(1000, 'ä'.repeat(62))).rejects.toThrow(RangeError)
    expect(() => s.client.reconnect('x'.repeat(124))).toThrow(RangeError)
    expect(s.client.state.status).toBe('open')
  })

  test('the signal of the options closes the client', async () => {
    const stop = new AbortController()
    const s = setup({ signal: stop.signal })
    await s.open()
    stop.abort()
    await s.clock.advance(0)
    expect(s.client.state).toMatchObject({ status: 'closed', code: 'closed' })
    const t = setup({ signal: stop.signal })
    expect(await outcome(t.client.connect())).toBe('pending')
  })

  test('await using closes', async () => {
    // Called as the statement would.
    const s = setup()
    await s.open()
    const dispose = (s.client as unknown as Record<symbol, () => Promise<void>>)[Symbol.asyncDispose ?? Symbol()]
    if (!Symbol.asyncDispose) return
    const disposed = dispose!.call(s.client)
    await s.clock.advance(0)
    await disposed
    expect(s.client.state.status).toBe('closed')
  })

  test('a listener may call anything: it happens after what it heard', async () => {
    const s = setup()
    s.client.addEventListener('state', e => {
      if (e.detail.status === 'open') {
        later(s.client.send('from a listener'))
        s.client.close()
      }
    })
    later(s.client.connect())
    await s.clock.advance(0)
    expect(s.client.state).toMatchObject({ status: 'closed' })
    expect(s.states.map(t => t.status)).toEqual(['connecting', 'open', 'closing', 'closed'])
  })

  test('the client is an EventTarget with once, signal and removal', async () => {
    const s = setup()
    expect(s.client).toBeInstanceOf(EventTarget)
    let heard = 0
    const listener = () => heard++
    s.client.addEventListener('message', listener, { once: true })
    const c = await s.open()
    c.send('a')
    c.send('b')
    await s.clock.advance(0)
    expect(heard).toBe(1)
    s.client.addEventListener('message', listener)
    s.client.removeEventListener('message', listener)
    c.send('c')
    await s.clock.advance(0)
    expect(heard).toBe(1)
  })

  test('SallyportError is an Error with a code', () => {
    const e = new SallyportError('expired', 'x')
    expect(e).toBeInstanceOf(Error)
    expect(e).toMatchObject({ name: 'SallyportError', code: 'expired' })
  })
})

describe('the machine', () => {
  const rules = { base: 500, max: 30_000, stableAfter: 10_000, connectTimeout: 10_000, maxElapsed: Infinity, renewable: true }
  const reading = { now: 0, steady: 0, random: 0.5, hidden: false, offline: false, buffered: 0, pending: false }
  const frozen = <T>(o: T): T => {
    if (o && typeof o === 'object') for (const v of Object.values(Object.freeze(o))) frozen(v)
    return o
  }

  test('is pure: changes nothing that it is given, and answers the same again', () => {
    let s = frozen(initial(rules, reading))
    const hello = { t: 'hello', id: 'a', beat: 25, idle: 60, ends_in: 86_400, max_message: 65_536, expires_in: 60 } as const
    const story = [
      [{ type: 'connect' }, 0],
      [{ type: 'hello', gen: 1, hello, protocol: '' }, 5],
      [{ type: 'message', gen: 1 }, 10],
      [{ type: 'control', gen: 1, control: { t: 'drain', spread: 1, deadline: 20 } }, 20],
      [{ type: 'timer', due: 520 }, 520],
      [{ type: 'hello', gen: 2, hello, protocol: '' }, 530],
      [{ type: 'settled', gen: 1 }, 540],
      [{ type: 'closed', gen: 1, close: 1000, reason: '', retry: false }, 550],
      [{ type: 'timer', due: 60_000 }, 1_000_000],
      [{ type: 'closed', gen: 2, close: 1006, reason: '', retry: true }, 1_000_100],
      [{ type: 'suspend' }, 1_000_200],
      [{ type: 'restore' }, 1_000_300],
      [{ type: 'close', close: 1000, reason: '' }, 1_000_400],
    ] as const
    for (const [event, now] of story) {
      const at = frozen({ ...reading, now, steady: now })
      const after = next(s, frozen(event), at)
      expect(next(s, event, at)).toEqual(after)
      s = frozen(after)
    }
    expect(s.status).toMatchObject({ status: 'closed', code: 'closed' })
    expect(due(s)).toBe(Infinity)
  })
})
