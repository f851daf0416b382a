// When a client comes back, and when it does not: the rows about back-off, attempts, codes and tickets.
import { describe, expect, test } from 'vitest'
import { later, outcome, setup, waitOf } from './setup.js'

describe('back-off', () => {
  test('full jitter: rand(0, min(30 s, 500 ms * 2^n)), n counts failures', async () => {
    const { clock, client, door } = setup()
    door.handshake = c => c.fail()
    later(client.connect())
    const waits: number[] = []
    for (let i = 0; i < 9; i++) {
      await clock.advance(0)
      waits.push(waitOf(client))
      await clock.advance(waits.at(-1)!)
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
  })

  test('the whole range is drawn from', async () => {
    for (const [dice, want] of [
      [0.001, 0.5],
      [0.999, 499.5],
    ] as const) {
      const s = setup()
      s.clock.random = () => dice
      s.door.handshake = c => c.fail()
      later(s.client.connect())
      await s.clock.advance(0)
      expect(waitOf(s.client)).toBeCloseTo(want)
      await s.client.close()
    }
  })

  test('opening alone resets nothing; 10 s of open do', async () => {
    const s = setup()
    const c = await s.open()
    await s.clock.advance(9_999)
    c.lose()
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(250)
    await s.clock.advance(250)
    s.door.last().lose()
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(500)
    await s.clock.advance(500)
    await s.clock.advance(10_000)
    s.door.last().lose()
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(250)
  })

  test('one timer at most', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    for (let i = 0; i < 50; i++) {
      await s.clock.advance(997)
      expect(s.clock.timers()).toBe(1)
    }
  })

  test('retry_after is waited out, by everybody, and spread', async () => {
    const s = setup()
    const c = await s.open()
    c.end('guard.full', 4203, 'Try again later', 20)
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(20_250)
    s.clock.tell('seen')
    later(s.client.connect())
    later(s.client.send('x'))
    await s.clock.advance(19_999)
    expect(s.dials()).toBe(1)
    await s.clock.advance(1)
    expect(s.dials()).toBe(2)
  })

  test('absurd advice is bounded by an hour', async () => {
    const s = setup()
    const c = await s.open()
    c.end('guard.full', 4203, 'Try again later', 1e300)
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(3_600_250)
  })

  test('maxElapsed ends the attempts', async () => {
    const s = setup({ maxElapsed: 60_000 })
    s.door.handshake = c => c.fail()
    const opened = later(s.client.connect())
    await s.clock.advance(59_999)
    expect(s.client.state.status).not.toBe('closed')
    await s.clock.advance(1)
    expect(s.client.state).toMatchObject({ status: 'closed', code: 'elapsed' })
    expect(await outcome(opened)).toBe('closed')
    expect(s.clock.timers()).toBe(0)
  })

  test.each([65_000, 100_000])('maxElapsed begins anew after a connection of %s ms', async ms => {
    const s = setup({ maxElapsed: 60_000 })
    const c = await s.open()
    await s.clock.advance(ms)
    s.door.handshake = c => c.fail()
    c.lose()
    await s.clock.advance(59_999)
    expect(s.client.state.status).not.toBe('closed')
    await s.clock.advance(1)
    expect(s.client.state).toMatchObject({ code: 'elapsed' })
  })

  test('maxElapsed begins anew after every connection, stable or not', async () => {
    const s = setup({ maxElapsed: 60_000 })
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(40_000)
    s.door.handshake = c => c.accept()
    s.client.reconnect()
    await s.clock.advance(5000)
    s.door.handshake = c => c.fail()
    s.door.last().lose()
    await s.clock.advance(59_999)
    expect(s.client.state.status).not.toBe('closed')
    await s.clock.advance(1)
    expect(s.client.state).toMatchObject({ code: 'elapsed' })
  })

  test('SR-60: many clients that are told of a restart at once come back spread', async () => {
    const waits: number[] = []
    for (let i = 0; i < 200; i++) {
      const one = setup()
      one.clock.random = Math.random
      const c = await one.open()
      await one.clock.advance(20_000)
      c.end('drain', 4200, 'Restarting')
      await one.clock.advance(0)
      waits.push(waitOf(one.client))
    }
    const seconds = [0, 1, 2, 3, 4].map(from => waits.filter(w => w >= from * 1000 && w < (from + 1) * 1000).length)
    expect(Math.max(...waits)).toBeLessThan(5000)
    for (const n of seconds) expect(n).toBeGreaterThan(10)
  })
})

describe('an attempt', () => {
  test('ticket, handshake and hello together have 10 s', async () => {
    const slow = {
      ticket: (s: ReturnType<typeof setup>) => s,
      hello: (s: ReturnType<typeof setup>) => {
        s.door.handshake = c => c.accept({ hello: false })
        return s
      },
      handshake: (s: ReturnType<typeof setup>) => {
        s.door.handshake = () => {}
        return s
      },
    }
    for (const [what, make] of Object.entries(slow)) {
      const s = make(setup(what === 'ticket' ? { ticket: () => new Promise(() => {}) } : {}))
      later(s.client.connect())
      await s.clock.advance(9_999)
      expect(s.client.state.status, what).toBe('connecting')
      await s.clock.advance(1)
      expect(s.ends, what).toMatchObject([{ close: 4901, code: 'local.timeout', opened: false }])
      expect(s.client.state.status, what).toBe('waiting')
    }
  })

  test('the ticket that is too late is aborted, and opens nothing', async () => {
    let give = (_: { ticket: string }) => {}
    let signal: AbortSignal | undefined
    const s = setup({
      ticket: r => {
        signal = r.signal
        return new Promise(done => {
          give = done
        })
      },
    })
    later(s.client.connect())
    await s.clock.advance(10_000)
    expect(signal!.aborted).toBe(true)
    const { ticket } = (await s.door.ticket({ reason: 'connect', signal: signal!, url: '', gate: '' }))!
    give({ ticket })
    await s.clock.advance(1)
    expect(s.dials()).toBe(0)
  })

  test('late events of an abandoned socket change nothing', async () => {
    const s = setup()
    s.door.handshake = () => {}
    later(s.client.connect())
    await s.clock.advance(10_000)
    const first = s.door.last()
    s.door.handshake = c => c.accept()
    await s.clock.advance(250)
    expect(s.client.state.status).toBe('open')
    first.accept()
    first.send('from the grave')
    first.close(4001, 'Unauthorized;auth.invalid')
    await s.clock.advance(0)
    expect(s.client.state.status).toBe('open')
    expect(s.messages).toEqual([])
  })

  test('a server that does not speak sallyport.v1 is a fault', async () => {
    const s = setup({ protocols: ['chat'] }, { handshake: c => c.accept({ protocol: 'chat' }) })
    later(s.client.connect())
    await s.clock.advance(0)
    expect(s.ends).toMatchObject([{ close: 4904, code: 'local.protocol' }])
  })

  test('offers the ticket, each subprotocol within the channel, and the bare channel', async () => {
    const s = setup({ protocols: ['chat.v2', 'chat.v1'] })
    const c = await s.open()
    expect(c.offered).toEqual(['sallyport.ticket.1', 'sallyport.v1~chat.v2', 'sallyport.v1~chat.v1', 'sallyport.v1'])
    expect(s.client.protocol).toBe('chat.v2')
    expect(s.client.id).toBe('c1')
    expect(s.client.limits).toMatchObject({ max_message: 65_536 })
  })

  test('a bearer token alone goes into the header', async () => {
    const s = setup({ ticket: undefined, token: async () => 'abc.def' })
    const c = await s.open()
    expect(c.headers).toEqual({ authorization: 'Bearer abc.def' })
    expect(c.offered).toEqual(['sallyport.v1'])
  })
})

describe('what a code means', () => {
  const codes = [
    { code: 'origin.untrusted', close: 4001, title: 'Unauthorized', status: 'closed' },
    { code: 'guard.too-big', close: 1009, title: 'Too big', status: 'closed' },
    { code: 'backend.closed', close: 1000, title: 'Closed', status: 'closed' },
    { code: 'guard.idle', close: 4000, title: 'Idle timeout', status: 'idle' },
    { code: 'guard.slow', close: 4201, title: 'Too slow', status: 'waiting' },
    { code: 'auth.expired', close: 4001, title: 'Unauthorized', status: 'open' },
    { code: 'moon.full', close: 4299, title: 'Moon', status: 'waiting' },
    { code: 'moon.full', close: 4242, title: 'Moon', status: 'waiting' },
    { code: 'moon.full', close: 1002, title: 'Moon', status: 'closed' },
  ]
  test.each(codes)('$code with $close leaves the client $status', async ({ code, close, title, status }) => {
    const s = setup()
    const c = await s.open()
    c.end(code, close, title)
    await s.clock.advance(0)
    expect(s.ends).toMatchObject([{ code, close, opened: true }])
    await s.clock.advance(0)
    expect(s.client.state.status).toBe(status)
    if (status === 'closed') expect(s.clock.timers()).toBe(0)
  })

  test('never: SR-60: does not connect again by itself, whatever the page does', async () => {
    const s = setup()
    s.door.handshake = c => c.refuse('origin.untrusted', 4001, 'Unauthorized')
    const opened = later(s.client.connect())
    await s.clock.advance(0)
    expect(await outcome(opened)).toBe('closed')
    await opened.catch(e => expect(e.message).toBe('origin.untrusted'))
    for (const sign of ['online', 'seen', 'resume', 'restore'] as const) s.clock.tell(sign)
    await s.clock.advance(3_600_000)
    expect(s.dials()).toBe(1)
    expect(await outcome(s.client.send('x'))).toBe('closed')
    s.door.handshake = c => c.accept()
    await s.open()
  })

  test('next-use: stays away until something is sent, and then sends it', async () => {
    const s = setup()
    const c = await s.open()
    c.end('guard.idle', 4000, 'Idle timeout')
    await s.clock.advance(0)
    s.clock.tell('seen')
    s.clock.tell('online')
    await s.clock.advance(3_600_000)
    expect(s.dials()).toBe(1)
    const sent = s.client.send('hello again')
    await s.clock.advance(0)
    expect(await outcome(sent)).toBe('done')
    expect(s.door.last().received).toEqual(['hello again'])
  })

  test('next-use: what could not be sent any more is a use', async () => {
    const s = setup({}, { hello: { messages_per_second: 1 } })
    const c = await s.open()
    s.client.send('one')
    const two = s.client.send('two')
    await s.clock.advance(0)
    c.end('guard.idle', 4000, 'Idle timeout')
    await s.clock.advance(250)
    expect(await outcome(two)).toBe('done')
    expect(s.door.last().received).toEqual(['two'])
  })

  test('next-use: a server that is idle at once is not asked without end', async () => {
    const s = setup()
    s.door.handshake = c => c.refuse('guard.idle', 4000, 'Idle timeout')
    later(s.client.send('x'))
    await s.clock.advance(60_000)
    expect(s.dials()).toBeLessThan(14)
  })

  test("without announcement our form must be exact, else the end is the application's", async () => {
    for (const [close, reason, status] of [
      [4001, 'Unauthorized;origin.untrusted', 'closed'],
      [4200, 'Restarting;drain', 'waiting'],
      [4200, 'Stop;drain', 'closed'],
      [4201, 'Restarting;drain', 'closed'],
      [1011, 'oops', 'waiting'],
    ] as const) {
      const s = setup()
      const c = await s.open()
      c.close(close, reason)
      await s.clock.advance(0)
      expect(s.client.state.status, `${close} ${reason}`).toBe(status)
    }
  })

  test('an end of the application: later for 1001, 1005, 1006, 1011 to 1014, else never', async () => {
    const later = [1001, 1005, 1006, 1011, 1012, 1013, 1014]
    for (const code of [...later, 1000, 1002, 1003, 1007, 1008, 1009, 1010, 1015, 3000, 4400, 4500, 4999]) {
      const s = setup()
      const c = await s.open()
      c.close(code, 'bye')
      await s.clock.advance(0)
      expect(s.client.state.status, `${code}`).toBe(later.includes(code) ? 'waiting' : 'closed')
      if (!later.includes(code)) expect(s.client.state).toMatchObject({ code: 'application', why: { close: code, reason: 'bye' } })
    }
  })

  test('shouldRetry decides, but not about ends of the door; one that throws decides nothing', async () => {
    const asked: number[] = []
    const shouldRetry = ({ code }: { code: number }) => {
      asked.push(code)
      if (code === 1006) throw new Error('a mistake')
      return code === 4500
    }
    for (const [code, reason, status] of [
      [4500, '', 'waiting'],
      [1001, '', 'closed'],
      [1006, '', 'waiting'],
      [4200, 'Restarting;drain', 'waiting'],
    ] as const) {
      const s = setup({ shouldRetry })
      const c = await s.open()
      c.close(code, reason)
      await s.clock.advance(0)
      expect(s.client.state.status, `${code}`).toBe(status)
    }
    expect(asked).toEqual([4500, 1001, 1006])
  })

  test('after drain, 1001 and 1012 the first wait is random within 5 s; after 1013 it doubles from 5 s', async () => {
    for (const [close, reason, wait] of [
      [4200, 'Restarting;drain', 2500],
      [1001, '', 2500],
      [1012, '', 2500],
      [1013, '', 2500],
      [1011, '', 250],
    ] as const) {
      const s = setup()
      const c = await s.open()
      c.close(close, reason)
      await s.clock.advance(0)
      expect(waitOf(s.client), `${close}`).toBe(wait)
      await s.clock.advance(wait)
      s.door.last().close(close, reason)
      await s.clock.advance(0)
      expect(waitOf(s.client), `${close} again`).toBe(close === 1013 ? 5000 : 500)
    }
  })

  test('an announced end counts although the close frame is lost', async () => {
    for (const how of ['lost', 'missing'] as const) {
      const s = setup()
      const c = await s.open()
      c.control({ t: 'close', code: 'origin.untrusted', got: 0 })
      if (how === 'lost') c.lose()
      await s.clock.advance(3000)
      expect(s.client.state, how).toMatchObject({ status: 'closed', code: 'origin.untrusted' })
    }
  })
})

describe('tickets', () => {
  test('a fresh one for every attempt, with the reason', async () => {
    const s = setup()
    const c = await s.open()
    c.lose()
    await s.clock.advance(250)
    s.door.last().end('auth.revoked', 4001, 'Unauthorized')
    await s.clock.advance(0)
    expect(s.door.requests.map(r => r.reason)).toEqual(['connect', 'reconnect', 'rejected'])
    expect(new Set(s.door.connections.map(c => c.offered[0])).size).toBe(3)
    expect(s.door.requests[0]).toMatchObject({ url: 'wss://app.test/chat', gate: '/chat' })
  })

  test('reauth: one immediate retry with "rejected", then back-off, also when the connection opened in between', async () => {
    for (const open of [false, true]) {
      const s = setup()
      s.door.handshake = c => {
        if (open) c.accept()
        open ? c.end('auth.expired', 4001, 'Unauthorized') : c.refuse('auth.expired', 4001, 'Unauthorized')
      }
      later(s.client.connect())
      await s.clock.advance(0)
      expect(s.door.requests.map(r => r.reason)).toEqual(['connect', 'rejected'])
      expect(waitOf(s.client)).toBe(250)
      await s.clock.advance(250)
      expect(s.door.requests.at(-1)!.reason).toBe('rejected')
      expect(waitOf(s.client)).toBe(500)
    }
  })

  test('the immediate retry waits for a network, and for a page that somebody sees', async () => {
    for (const [what, status] of [
      ['offline', 'paused'],
      ['hidden', 'waiting'],
    ] as const) {
      const s = setup()
      const c = await s.open()
      s.clock[what] = true
      c.end('auth.expired', 4001, 'Unauthorized')
      await s.clock.advance(0)
      expect(s.client.state.status).toBe(status)
    }
  })

  test('the immediate retry is there again after a stable connection', async () => {
    const s = setup()
    await s.open()
    for (let i = 0; i < 3; i++) {
      await s.clock.advance(10_000)
      s.door.last().end('guard.max-life', 4206, 'Lifetime over')
      await s.clock.advance(0)
      expect(s.client.state.status).toBe('open')
    }
  })

  test('null ends the client as unauthenticated, without a retry', async () => {
    const s = setup({ ticket: async () => null })
    const opened = later(s.client.connect())
    await s.clock.advance(0)
    expect(await outcome(opened)).toBe('unauthenticated')
    expect(s.client.state).toMatchObject({ status: 'closed', code: 'unauthenticated' })
    expect(s.clock.timers()).toBe(0)
  })

  test('what the source throws is retried with back-off, not before its retryAfter', async () => {
    let retryAfter: number | undefined
    const s = setup({
      ticket: async () => {
        throw Object.assign(new Error('no'), { retryAfter })
      },
    })
    later(s.client.connect())
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(250)
    expect(s.ends).toMatchObject([{ code: 'ticket', close: 1006, opened: false }])
    expect(s.errors).toHaveLength(1)
    retryAfter = 7
    await s.clock.advance(250)
    expect(waitOf(s.client)).toBe(7500)
  })

  test('something that is no ticket is retried like a throw', async () => {
    const s = setup({ ticket: (async () => ({ ticket: 'sallyport.ticket.a b' })) as never })
    later(s.client.connect())
    await s.clock.advance(0)
    expect(s.client.state.status).toBe('waiting')
    expect(s.dials()).toBe(0)
  })
})
