// The life of a connection: heartbeat, sleep, network, page, drain, renewal.
import { describe, expect, test } from 'vitest'
import { later, outcome, setup, waitOf } from './setup.js'

const probes = (c: { commands: { t: string }[] }) => c.commands.filter(m => m.t === 'probe').length
const renewals = (c: { commands: { t: string }[] }) => c.commands.filter(m => m.t === 'renew')

describe('heartbeat', () => {
  test('silence of beat + 10 s is death: 4900, and a new connection', async () => {
    const s = setup()
    const c = await s.open()
    c.stalled = true
    await s.clock.advance(34_999)
    expect(s.client.state.status).toBe('open')
    await s.clock.advance(1)
    expect(s.ends).toMatchObject([{ close: 4900, code: 'local.silent' }])
    await s.clock.advance(250)
    expect(s.client.state.status).toBe('open')
    expect(s.dials()).toBe(2)
  })

  test('any message is a sign of life, of the application or ignored', async () => {
    const s = setup()
    const c = await s.open()
    c.lively = false
    for (const say of [() => c.send('x'), () => c.raw('\x01{"t":"tea"}'), () => c.control({ t: 'beat', got: 0 })]) {
      await s.clock.advance(34_000)
      say()
      await s.clock.advance(0)
    }
    await s.clock.advance(34_000)
    expect(s.ends).toEqual([])
    await s.clock.advance(1000)
    expect(s.ends).toHaveLength(1)
  })

  test('beats of the door keep it for ever', async () => {
    const s = setup()
    await s.open()
    await s.clock.advance(3_600_000)
    expect(s.dials()).toBe(1)
  })

  test('while hidden the allowance is doubled', async () => {
    const s = setup()
    const c = await s.open()
    s.clock.hidden = true
    await s.clock.advance(20_000)
    c.send('x')
    await s.clock.advance(0)
    c.stalled = true
    await s.clock.advance(69_999)
    expect(s.ends).toEqual([])
    await s.clock.advance(1)
    expect(s.ends).toMatchObject([{ close: 4900 }])
  })

  test('long: silence is no death for 5 minutes, and no probe ends it', async () => {
    const s = setup()
    const c = await s.open()
    c.lively = false
    c.control({ t: 'long' })
    await s.clock.advance(0)
    s.clock.tell('offline')
    await s.clock.advance(299_999)
    expect(s.ends).toEqual([])
    await s.clock.advance(1)
    expect(s.ends).toMatchObject([{ close: 4900 }])
  })

  test('long ends with the message', async () => {
    const s = setup()
    const c = await s.open()
    c.lively = false
    c.control({ t: 'long' })
    await s.clock.advance(100_000)
    c.send('the long message')
    await s.clock.advance(30_000)
    expect(s.ends).toEqual([])
    s.clock.tell('offline')
    await s.clock.advance(2999)
    expect(s.ends).toEqual([])
    await s.clock.advance(1)
    expect(s.ends).toMatchObject([{ close: 4900 }])
  })

  test('a process that stood still for some seconds asks before it gives up', async () => {
    const s = setup()
    const c = await s.open()
    c.lively = false
    await s.clock.advance(30_000)
    s.clock.sleep(9000)
    await s.clock.advance(5000)
    expect(s.ends).toEqual([])
    expect(probes(c)).toBe(1)
    c.lively = true
    c.control({ t: 'beat', got: 0 })
    await s.clock.advance(5000)
    expect(s.ends).toEqual([])
  })
})

describe('sleep', () => {
  test('a clock that jumps by more than 10 s is a wake: a probe, and the connection stays if it is answered', async () => {
    const s = setup()
    const c = await s.open()
    await s.clock.advance(1000)
    s.clock.sleep(3_600_000)
    await s.clock.advance(60_000)
    expect(probes(c)).toBe(1)
    expect(s.ends).toEqual([])
  })

  test('a connection that answered is one like any other: what ends it later is a failure', async () => {
    const s = setup()
    const c = await s.open()
    s.clock.tell('resume')
    await s.clock.advance(1000)
    c.lose()
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(250)
  })

  test('no answer within 3 s: 4900, and at once a new one within 1 s, as if nothing had failed', async () => {
    const s = setup()
    const c = await s.open()
    c.lively = false
    s.clock.sleep(3_600_000)
    c.stalled = true
    // The first thing that happens after the sleep.
    s.clock.tell('seen')
    await s.clock.advance(2_999)
    expect(s.ends).toEqual([])
    await s.clock.advance(1)
    expect(s.ends).toMatchObject([{ close: 4900 }])
    expect(waitOf(s.client)).toBe(500)
  })

  test('the 3 s have not begun while the queue to the network shrinks', async () => {
    const s = setup()
    const c = await s.open()
    c.stalled = true
    await outcome(s.client.send('x'.repeat(1000)))
    await outcome(s.client.send('y'.repeat(1000)))
    s.clock.sleep(3_600_000)
    s.clock.tell('seen')
    await s.clock.advance(2_000)
    expect(s.ends).toEqual([])
    // Both messages leave, the probe behind them is lost.
    c.lively = false
    c.stalled = false
    await s.clock.advance(2_000)
    expect(s.ends).toEqual([])
    await s.clock.advance(1_999)
    expect(s.ends).toEqual([])
    await s.clock.advance(1)
    expect(s.ends).toMatchObject([{ close: 4900 }])
  })

  test('an attempt that began before the sleep is abandoned', async () => {
    const s = setup()
    s.door.handshake = () => {}
    later(s.client.connect())
    await s.clock.advance(1000)
    s.clock.sleep(3_600_000)
    s.door.handshake = c => c.accept()
    await s.clock.advance(9000)
    expect(s.ends).toMatchObject([{ close: 4901 }])
    expect(waitOf(s.client)).toBe(500)
    await s.clock.advance(500)
    expect(s.client.state.status).toBe('open')
  })

  test('a wait ends, and failures are forgotten', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(20_000)
    const dials = s.dials()
    expect(waitOf(s.client)).toBeGreaterThan(5000)
    s.clock.sleep(3_600_000)
    s.clock.tell('online')
    expect(waitOf(s.client)).toBe(250)
    await s.clock.advance(250)
    expect(s.dials()).toBe(dials + 1)
    expect(waitOf(s.client)).toBe(250)
  })

  test('10 s late is a wake, less is not', async () => {
    for (const [late, wait] of [
      [10_001, 500],
      [9_999, 250],
    ] as const) {
      const s = setup()
      s.door.handshake = () => {}
      later(s.client.connect())
      await s.clock.advance(1000)
      s.clock.sleep(late)
      await s.clock.advance(9000)
      expect(waitOf(s.client)).toBe(wait)
    }
  })

  test('a wait ends at the first thing that happens, within a second', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(15_750)
    expect(waitOf(s.client)).toBe(15_000)
    s.clock.sleep(3_600_000)
    const dials = s.dials()
    await s.clock.advance(15_000)
    expect(waitOf(s.client)).toBe(500)
    await s.clock.advance(500)
    expect(s.dials()).toBe(dials + 1)
    expect(waitOf(s.client)).toBe(250)
  })

  test('the time asleep does not count for maxElapsed', async () => {
    for (const how of ['asleep', 'in the cache'] as const) {
      const s = setup({ maxElapsed: 60_000 })
      s.door.handshake = c => c.fail()
      later(s.client.connect())
      await s.clock.advance(50_000)
      if (how === 'in the cache') s.clock.tell('suspend')
      s.clock.sleep(3_600_000)
      s.clock.tell(how === 'in the cache' ? 'restore' : 'online')
      await s.clock.advance(59_000)
      expect(s.client.state.status, how).toBe('waiting')
      await s.clock.advance(1000)
      expect(s.client.state, how).toMatchObject({ status: 'closed', code: 'elapsed' })
    }
  })

  test('a wall clock that is set back changes nothing', async () => {
    const s = setup()
    const c = await s.open()
    await s.clock.advance(10_000)
    s.clock.sleep(-3_600_000)
    await s.clock.advance(100_000)
    expect(s.dials()).toBe(1)
    expect(probes(c)).toBe(0)
    c.stalled = true
    await s.clock.advance(70_000)
    expect(s.ends).toMatchObject([{ close: 4900 }])
  })

  test('freeze: resume is a wake, however short', async () => {
    const s = setup()
    const c = await s.open()
    s.clock.tell('resume')
    await s.clock.advance(0)
    expect(probes(c)).toBe(1)
    c.stalled = true
    s.clock.tell('resume')
    await s.clock.advance(3000)
    expect(s.ends).toMatchObject([{ close: 4900 }])
  })
})

describe('network', () => {
  test('offline: an open connection is probed and not cut', async () => {
    const s = setup()
    const c = await s.open()
    s.clock.offline = true
    s.clock.tell('offline')
    await s.clock.advance(0)
    expect(probes(c)).toBe(1)
    await s.clock.advance(60_000)
    expect(s.client.state.status).toBe('open')
  })

  test('offline: if the probe is not answered, paused without a timer until online', async () => {
    const s = setup()
    const c = await s.open()
    c.stalled = true
    s.clock.offline = true
    s.clock.tell('offline')
    await s.clock.advance(3000)
    expect(s.client.state).toEqual({ status: 'paused', paused: 'offline' })
    expect(s.clock.timers()).toBe(0)
    await s.clock.advance(3_600_000)
    expect(s.dials()).toBe(1)
    s.clock.offline = false
    s.clock.tell('online')
    expect(waitOf(s.client)).toBe(250)
    await s.clock.advance(250)
    expect(s.client.state.status).toBe('open')
  })

  test('offline: a wait becomes a pause', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(10_000)
    s.clock.offline = true
    s.clock.tell('offline')
    expect(s.client.state).toEqual({ status: 'paused', paused: 'offline' })
    expect(s.clock.timers()).toBe(0)
  })

  test('offline may be wrong: whoever sends or connects tries', async () => {
    for (const use of [(s: ReturnType<typeof setup>) => s.client.connect(), (s: ReturnType<typeof setup>) => s.client.send('x')]) {
      const s = setup()
      const c = await s.open()
      s.clock.offline = true
      c.lose()
      await s.clock.advance(0)
      expect(s.client.state.status).toBe('paused')
      const used = use(s)
      await s.clock.advance(0)
      await used
      expect(s.client.state.status).toBe('open')
    }
  })

  test('online: connects within 500 ms, and failures are forgotten', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(33_000)
    expect(waitOf(s.client)).toBeGreaterThan(5000)
    s.clock.tell('online')
    expect(waitOf(s.client)).toBe(250)
    await s.clock.advance(250)
    expect(waitOf(s.client)).toBe(250)
  })

  test('online: a page that nobody sees has a minute', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(0)
    s.clock.hidden = true
    s.clock.tell('online')
    expect(waitOf(s.client)).toBe(60_000)
  })

  test('the first connect() is tried without a network, and in a page that nobody sees', async () => {
    const s = setup()
    s.clock.offline = s.clock.hidden = true
    await s.open()
  })

  test('online: an open connection is probed', async () => {
    const s = setup()
    const c = await s.open()
    s.clock.tell('online')
    await s.clock.advance(0)
    expect(probes(c)).toBe(1)
  })
})

describe('page', () => {
  test('hidden: stays connected; retries at most once a minute, judged when they are due', async () => {
    const s = setup()
    const c = await s.open()
    await s.clock.advance(120_000)
    s.door.handshake = c => c.fail()
    c.lose()
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(250)
    s.clock.hidden = true
    // It was 2 minutes ago, so the first may be tried.
    await s.clock.advance(250)
    expect(s.dials()).toBe(2)
    for (let i = 3; i < 6; i++) {
      await s.clock.advance(59_999)
      expect(s.dials()).toBe(i - 1)
      await s.clock.advance(1)
      expect(s.dials()).toBe(i)
    }
  })

  test('hidden or offline is read when a retry is due, though nothing told of it', async () => {
    for (const [what, state] of [
      ['hidden', { status: 'waiting', retryIn: 59_750 }],
      ['offline', { status: 'paused' }],
    ] as const) {
      const s = setup()
      s.door.handshake = c => c.fail()
      later(s.client.connect())
      await s.clock.advance(0)
      s.clock[what] = true
      await s.clock.advance(250)
      expect(s.client.state).toMatchObject(state)
      expect(s.dials()).toBe(1)
    }
  })

  test('hidden: no flag is kept: a page that is visible again without saying so retries as any other', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    s.clock.hidden = true
    later(s.client.connect())
    await s.clock.advance(60_000)
    expect(s.dials()).toBe(2)
    s.clock.hidden = false
    await s.clock.advance(60_000)
    expect(s.dials()).toBe(3)
    await s.clock.advance(10_000)
    expect(s.dials()).toBeGreaterThan(5)
  })

  const ends = {
    'visible, pageshow or focus': (s: ReturnType<typeof setup>) => s.clock.tell('seen'),
    resume: (s: ReturnType<typeof setup>) => s.clock.tell('resume'),
    restore: (s: ReturnType<typeof setup>) => s.clock.tell('restore'),
    'connect()': (s: ReturnType<typeof setup>) => later(s.client.connect()),
    'send()': (s: ReturnType<typeof setup>) => later(s.client.send('x')),
    'reconnect()': (s: ReturnType<typeof setup>) => s.client.reconnect(),
  }
  test.each(Object.entries(ends))('%s alone ends the wait and connects now', async (what, tell) => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(33_000)
    expect(s.client.state.status).toBe('waiting')
    const dials = s.dials()
    if (what === 'restore') s.clock.offline = true
    if (what === 'restore') s.clock.tell('offline')
    tell(s)
    await s.clock.advance(0)
    expect(s.dials()).toBe(dials + 1)
  })

  test.each(Object.entries(ends))('%s does not connect what the application did not open, or closed', async (what, tell) => {
    if (what.endsWith('()')) return
    const s = setup()
    tell(s)
    s.clock.tell('online')
    await s.clock.advance(60_000)
    expect(s.dials()).toBe(0)
    await s.open()
    const closed = s.client.close()
    await s.clock.advance(0)
    await closed
    tell(s)
    s.clock.tell('online')
    await s.clock.advance(60_000)
    expect(s.dials()).toBe(1)
    expect(s.clock.timers()).toBe(0)
  })

  test('one who sends all the time does not undo the back-off', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    for (let i = 0; i < 600; i++) {
      later(s.client.send('x', { expiresIn: 1 }))
      await s.clock.advance(100)
    }
    expect(s.dials()).toBeLessThan(14)
  })

  test('BFCache: pagehide closes with 4902 at once; pageshow connects at once, and it is no failure', async () => {
    const s = setup()
    const c = await s.open()
    s.client.send('on its way')
    s.clock.tell('suspend')
    expect(s.ends).toMatchObject([{ close: 4902, code: 'local.suspended' }])
    expect(s.unknown).toEqual([{ data: 'on its way' }])
    expect(s.client.state).toEqual({ status: 'paused', paused: 'suspended' })
    expect(s.clock.timers()).toBe(0)
    for (const sign of ['seen', 'resume', 'online', 'offline'] as const) s.clock.tell(sign)
    await s.clock.advance(3_600_000)
    expect(c.ended).toEqual({ code: 4902, reason: 'local.suspended' })
    expect(s.dials()).toBe(1)
    s.clock.tell('restore')
    await s.clock.advance(0)
    expect(s.client.state.status).toBe('open')
    expect(s.door.requests.map(r => r.reason)).toEqual(['connect', 'reconnect'])
  })

  test('BFCache: what the socket still says after pageshow is not heard', async () => {
    const s = setup({}, { latency: 5 })
    later(s.client.connect())
    await s.clock.advance(20)
    const c = s.door.last()
    c.lose()
    s.clock.tell('suspend')
    s.clock.tell('restore')
    await s.clock.advance(100)
    expect(s.dials()).toBe(2)
    expect(s.client.state.status).toBe('open')
    expect(s.ends).toHaveLength(1)
  })

  test('BFCache: no timer runs there, whatever it was for', async () => {
    const s = setup({ maxElapsed: 60_000 })
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(10_000)
    expect(s.client.state.status).toBe('waiting')
    s.clock.tell('suspend')
    expect(s.client.state.status).toBe('paused')
    expect(s.clock.timers()).toBe(0)
  })

  test('BFCache: ends those that say their last words too', async () => {
    const s = setup()
    const old = await s.open()
    old.got = 0
    await outcome(s.client.send('x'))
    old.control({ t: 'drain', spread: 0, deadline: 20 })
    await s.clock.advance(500)
    expect(s.dials()).toBe(2)
    s.clock.tell('suspend')
    expect(s.ends).toMatchObject([{ close: 4902 }, { close: 4902 }])
    expect(s.unknown).toMatchObject([{ data: 'x' }])
    await s.clock.advance(10_000)
    expect(s.ends).toHaveLength(2)
    expect(s.clock.timers()).toBe(0)
  })

  test('BFCache: a stable connection before it counts', async () => {
    const s = setup()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(10_000)
    s.door.handshake = c => c.accept()
    s.client.connect()
    await s.clock.advance(20_000)
    s.clock.tell('suspend')
    s.door.handshake = c => c.fail()
    s.clock.tell('restore')
    await s.clock.advance(0)
    expect(waitOf(s.client)).toBe(250)
  })

  test('BFCache: what waits is sent after pageshow', async () => {
    const s = setup()
    await s.open()
    s.clock.tell('suspend')
    const sent = s.client.send('later')
    await s.clock.advance(60_000)
    expect(await outcome(sent)).toBe('pending')
    s.clock.tell('restore')
    await s.clock.advance(0)
    expect(await outcome(sent)).toBe('done')
  })

  test('BFCache: a page that closes meanwhile stays closed', async () => {
    const s = setup()
    await s.open()
    const closed = s.client.close()
    s.clock.tell('suspend')
    await s.clock.advance(0)
    expect(await outcome(closed)).toBe('done')
    s.clock.tell('restore')
    await s.clock.advance(60_000)
    expect(s.dials()).toBe(1)
    expect(s.client.state).toMatchObject({ status: 'closed', code: 'closed' })
  })
})

describe('a page that was hidden for long, whose timers run once a minute', () => {
  const throttled = () =>
    setup({}, {}, clock => {
      const { setTimeout } = clock.env
      clock.hidden = true
      clock.env.setTimeout = (f, ms) => setTimeout(f, Math.ceil((clock.now() + ms) / 60_000) * 60_000 - clock.now())
    })

  test('goes on retrying', async () => {
    const s = throttled()
    s.door.handshake = c => c.fail()
    later(s.client.connect())
    await s.clock.advance(600_000)
    expect(s.dials()).toBeGreaterThanOrEqual(5)
    expect(s.dials()).toBeLessThanOrEqual(11)
  })

  test('keeps a connection that lives, and renews it no more often than is due', async () => {
    const s = throttled()
    s.door.handshake = c => c.accept({ hello: { expires_in: 3600 } })
    const c = await s.open()
    await s.clock.advance(1_800_000)
    expect(s.ends).toEqual([])
    expect(renewals(c)).toEqual([])
  })

  test('finds out that a connection died', async () => {
    const s = throttled()
    const c = await s.open()
    c.stalled = true
    await s.clock.advance(240_000)
    expect(s.ends).toMatchObject([{ close: 4900 }])
    await s.clock.advance(120_000)
    expect(s.client.state.status).toBe('open')
  })

  test('gives up an attempt that hangs, and tries again', async () => {
    const s = throttled()
    s.door.handshake = () => {}
    later(s.client.connect())
    await s.clock.advance(300_000)
    expect(s.dials()).toBeGreaterThanOrEqual(2)
    expect(s.ends[0]).toMatchObject({ close: 4901 })
  })
})

describe('drain', () => {
  test('at a random moment within the spread: the new connection first, then the old one is closed with 1000', async () => {
    const s = setup()
    const old = await s.open()
    await s.clock.advance(20_000)
    old.control({ t: 'drain', spread: 15, deadline: 20 })
    await s.clock.advance(0)
    expect(s.client.state).toMatchObject({ status: 'open', draining: true })
    await s.clock.advance(7_499)
    expect(s.dials()).toBe(1)
    s.door.handshake = () => {}
    await s.clock.advance(1)
    expect(s.dials()).toBe(2)
    expect(old.state).toBe('open')
    await outcome(s.client.send('to the old one'))
    old.send('from the old one')
    await s.clock.advance(0)
    expect(old.received).toEqual(['to the old one'])
    s.door.last().accept()
    await s.clock.advance(0)
    expect(s.client.state).toMatchObject({ status: 'open', draining: false })
    expect(old.ended).toEqual({ code: 1000, reason: '' })
    await outcome(s.client.send('to the new one'))
    await s.clock.advance(0)
    expect(s.door.last().received).toEqual(['to the new one'])
    expect(s.messages).toEqual(['from the old one'])
    expect(s.unknown).toEqual([])
    expect(s.states.map(t => t.status)).toEqual(['connecting', 'open', 'open', 'open'])
  })

  test('the old one is asked what arrived, and waited for, for 3 s at most', async () => {
    for (const answers of [true, false]) {
      const s = setup()
      const old = await s.open()
      old.got = 0
      await outcome(s.client.send('slow'))
      old.control({ t: 'drain', spread: 0, deadline: 20 })
      await s.clock.advance(500)
      expect(s.dials()).toBe(2)
      expect(old.state).toBe('open')
      old.send('last words')
      await s.clock.advance(2000)
      expect(s.messages).toEqual(['last words'])
      old.got = answers ? 1 : 0
      old.control({ t: 'beat', got: old.got })
      await s.clock.advance(answers ? 0 : 1000)
      expect(old.ended).toEqual({ code: 1000, reason: '' })
      await s.clock.advance(0)
      expect(s.unknown).toEqual(answers ? [] : [{ data: 'slow' }])
    }
  })

  test('an old one that does not answer the close is let go after 3 s more', async () => {
    const s = setup()
    const old = await s.open()
    old.got = 0
    await outcome(s.client.send('x'))
    old.control({ t: 'drain', spread: 0, deadline: 20 })
    await s.clock.advance(500)
    old.stalled = true
    await s.clock.advance(5_999)
    expect(s.ends).toEqual([])
    await s.clock.advance(1)
    expect(s.ends).toMatchObject([{ close: 1000 }])
    expect(s.unknown).toMatchObject([{ data: 'x' }])
    expect(s.dials()).toBe(2)
  })

  test('if the new connection fails, the old one serves and the next attempt waits', async () => {
    const s = setup()
    const old = await s.open()
    await s.clock.advance(20_000)
    s.door.handshake = c => c.fail()
    old.control({ t: 'drain', spread: 0, deadline: 20 })
    await s.clock.advance(0)
    expect(s.dials()).toBe(2)
    expect(s.client.state).toMatchObject({ status: 'open', draining: true })
    s.door.handshake = c => c.accept()
    await s.clock.advance(250)
    expect(s.dials()).toBe(3)
    expect(s.client.state).toMatchObject({ status: 'open', draining: false })
  })

  test('if the old one ends while the new one connects, there is no third', async () => {
    const s = setup()
    const old = await s.open()
    s.door.handshake = () => {}
    old.control({ t: 'drain', spread: 0, deadline: 20 })
    await s.clock.advance(1000)
    expect(s.dials()).toBe(2)
    old.end('drain', 4200, 'Restarting')
    await s.clock.advance(0)
    expect(s.client.state.status).toBe('connecting')
    s.door.last().accept()
    await s.clock.advance(60_000)
    expect(s.dials()).toBe(2)
    expect(s.client.state.status).toBe('open')
  })

  test('a new place that refuses for good leaves the old one alone', async () => {
    const s = setup()
    const old = await s.open()
    await s.clock.advance(20_000)
    s.door.handshake = c => c.refuse('origin.untrusted', 4001, 'Unauthorized')
    old.control({ t: 'drain', spread: 0, deadline: 20 })
    await s.clock.advance(60_000)
    expect(s.client.state.status).toBe('open')
    expect(s.dials()).toBe(2)
    expect(s.ends).toHaveLength(1)
  })

  test('advised to move, and then idle: stays away', async () => {
    const s = setup()
    const c = await s.open()
    c.control({ t: 'drain', spread: 15, deadline: 20 })
    c.end('guard.idle', 4000, 'Idle timeout')
    await s.clock.advance(60_000)
    expect(s.client.state.status).toBe('idle')
    expect(s.dials()).toBe(1)
    expect(s.clock.timers()).toBe(0)
  })

  test('one restart after another: moves each time', async () => {
    const s = setup()
    await s.open()
    for (let i = 2; i < 5; i++) {
      await s.clock.advance(20_000)
      s.door.last().control({ t: 'drain', spread: 10, deadline: 20 })
      await s.clock.advance(5000)
      expect(s.dials()).toBe(i)
      expect(s.client.state).toMatchObject({ status: 'open', draining: false })
    }
  })

  test('reconnect() before the moment has come moves once', async () => {
    const s = setup()
    const c = await s.open()
    c.control({ t: 'drain', spread: 15, deadline: 20 })
    await s.clock.advance(0)
    s.door.handshake = () => {}
    s.client.reconnect()
    await s.clock.advance(9000)
    expect(s.dials()).toBe(2)
  })

  test('servers that all drain are not run through without a pause', async () => {
    const s = setup()
    s.door.handshake = c => {
      c.accept()
      c.control({ t: 'drain', spread: 0, deadline: 20 })
    }
    later(s.client.connect())
    await s.clock.advance(60_000)
    expect(s.dials()).toBeLessThan(12)
  })
})

describe('renewal', () => {
  const expiring = { hello: { expires_in: 100 } }

  test('at 80 % of the time left, give or take a tenth, over the open connection, with a fresh ticket', async () => {
    for (const [dice, at] of [
      [0, 70_000],
      [0.5, 80_000],
      [0.999, 89_980],
    ] as const) {
      const s = setup({}, expiring)
      s.clock.random = () => dice
      const c = await s.open()
      await s.clock.advance(at - 1)
      expect(renewals(c)).toEqual([])
      await s.clock.advance(1)
      expect(renewals(c)).toEqual([{ t: 'renew', ticket: 'sallyport.ticket.2' }])
      expect(s.door.requests.at(-1)!.reason).toBe('expiring')
      expect(s.dials()).toBe(1)
    }
  })

  test('again and again, by the time that each answer leaves', async () => {
    const s = setup({}, expiring)
    const c = await s.open()
    const told: unknown[] = []
    s.client.addEventListener('renewed', e => told.push(e.detail))
    await s.clock.advance(80_000)
    await s.clock.advance(239_999)
    expect(renewals(c)).toHaveLength(1)
    await s.clock.advance(1)
    expect(renewals(c)).toHaveLength(2)
    expect(told).toEqual([{ expiresIn: 300 }, { expiresIn: 300 }])
  })

  test('with a token, if there is no ticket', async () => {
    const s = setup({ ticket: undefined, token: () => 'abc' }, expiring)
    const c = await s.open()
    await s.clock.advance(80_000)
    expect(renewals(c)).toEqual([{ t: 'renew', token: 'abc' }])
  })

  test('not without an end, and not without a source', async () => {
    for (const s of [setup(), setup({ ticket: undefined }, expiring)]) {
      const c = await s.open()
      await s.clock.advance(300_000)
      expect(renewals(c)).toEqual([])
    }
  })

  test('a wall clock that is an hour wrong makes no difference', async () => {
    const s = setup({}, expiring)
    s.clock.sleep(-3_600_000)
    const c = await s.open()
    await s.clock.advance(79_999)
    expect(renewals(c)).toEqual([])
    await s.clock.advance(1)
    expect(renewals(c)).toHaveLength(1)
  })

  test('after a wake it is assumed to be over: renewed as soon as the connection is known to live', async () => {
    const s = setup({}, expiring)
    const c = await s.open()
    s.clock.sleep(50_000)
    s.clock.tell('resume')
    expect(s.door.requests).toHaveLength(1)
    await s.clock.advance(0)
    expect(renewals(c)).toHaveLength(1)
    c.send('x')
    await s.clock.advance(10_000)
    expect(renewals(c)).toHaveLength(1)
  })

  test('after a wake nothing is renewed that has no end', async () => {
    const s = setup()
    const c = await s.open()
    s.clock.tell('resume')
    await s.clock.advance(1000)
    expect(renewals(c)).toEqual([])
  })

  test('a source that asks for time gets it', async () => {
    const s = setup(
      {
        ticket: async r => {
          if (r.reason === 'expiring') throw Object.assign(new Error('busy'), { retryAfter: 15 })
          return s.door.ticket(r)
        },
      },
      expiring,
    )
    await s.open()
    await s.clock.advance(80_000)
    expect(s.errors).toHaveLength(1)
    await s.clock.advance(15_249)
    expect(s.errors).toHaveLength(1)
    await s.clock.advance(1)
    expect(s.errors).toHaveLength(2)
  })

  test('a late timer of a hidden page is no sleep: it asks, and renews nothing', async () => {
    const s = setup({}, { hello: { expires_in: 10_000 } })
    const c = await s.open()
    s.clock.hidden = true
    s.clock.sleep(60_000)
    s.clock.tell('offline')
    await s.clock.advance(0)
    expect(probes(c)).toBeGreaterThan(0)
    expect(renewals(c)).toHaveLength(0)
  })

  test('a source that fails is asked again with back-off', async () => {
    let fails = 2
    const s = setup(
      {
        ticket: async r => {
          if (r.reason === 'expiring' && fails-- > 0) throw new Error('not now')
          return s.door.ticket(r)
        },
      },
      expiring,
    )
    const c = await s.open()
    await s.clock.advance(80_000)
    expect(renewals(c)).toHaveLength(0)
    await s.clock.advance(250 + 500)
    expect(renewals(c)).toHaveLength(1)
    expect(s.client.state.status).toBe('open')
    expect(s.errors).toHaveLength(2)
  })

  test('after a success a failure counts from nothing, and one more refusal is tried at once again', async () => {
    let fails = true
    const s = setup(
      {
        ticket: async r => {
          if (r.reason === 'expiring' && fails) throw new Error('not now')
          return s.door.ticket(r)
        },
      },
      expiring,
    )
    const c = await s.open()
    await s.clock.advance(80_000 + 250)
    expect(s.errors).toHaveLength(2)
    fails = false
    await s.clock.advance(500)
    expect(renewals(c)).toHaveLength(1)
    fails = true
    await s.clock.advance(240_000 + 250)
    expect(s.errors).toHaveLength(4)
    fails = false
    await s.clock.advance(500)
    for (let i = 0; i < 2; i++) {
      const before = s.door.requests.length
      c.control({ t: 'renew-refused', code: 'auth.expired' })
      await s.clock.advance(0)
      expect(s.door.requests.slice(before).map(r => r.reason)).toEqual(['rejected'])
      // The fresh credential was accepted.
    }
  })

  test('null from the source ends the client', async () => {
    const s = setup({ ticket: async r => (r.reason === 'expiring' ? null : s.door.ticket(r)) }, expiring)
    const c = await s.open()
    await s.clock.advance(80_000)
    expect(s.client.state).toMatchObject({ status: 'closed', code: 'unauthenticated' })
    expect(c.ended).toEqual({ code: 1000, reason: '' })
    expect(s.clock.timers()).toBe(0)
  })

  test.each([
    ['auth.expired', ['expiring', 'rejected']],
    ['renew.mismatch', ['expiring', 'rejected']],
    ['guard.too-fast', ['expiring', 'expiring', 'expiring']],
    ['origin.untrusted', ['expiring']],
    ['moon.full', ['expiring']],
  ])('refused with %s: what its code says, while the connection lives on', async (code, reasons) => {
    const s = setup({}, expiring)
    const c = await s.open()
    await s.clock.advance(79_999)
    c.lively = false
    await s.clock.advance(1)
    for (let i = 0; i < reasons.length; i++) {
      c.control({ t: 'renew-refused', code })
      await s.clock.advance(i < reasons.length - 1 ? 600 : 0)
    }
    await s.clock.advance(11_000)
    const asked = s.door.requests.slice(1).map(r => r.reason)
    expect(asked.slice(0, reasons.length)).toEqual(reasons)
    if (!code.startsWith('guard')) expect(asked).toHaveLength(reasons.length)
    expect(s.client.state.status).toBe('open')
  })

  test('no answer: tried again', async () => {
    const s = setup({}, { hello: { expires_in: 200 } })
    const c = await s.open()
    c.lively = false
    const alive = () => c.control({ t: 'beat', got: 0 })
    for (let i = 0; i < 8; i++) {
      await s.clock.advance(20_000)
      alive()
    }
    await s.clock.advance(0)
    expect(renewals(c)).toHaveLength(1)
    await s.clock.advance(9_999)
    expect(renewals(c)).toHaveLength(1)
    await s.clock.advance(1)
    expect(renewals(c)).toHaveLength(2)
  })
})

describe('faults of the peer', () => {
  test.each([
    ['a message before hello', '\0x', false],
    ['a beat before hello', '\x01{"t":"beat","got":0}', false],
    ['a second hello', '\x01{"t":"hello","id":"a","beat":25,"idle":60,"ends_in":86400,"max_message":65536}', true],
    ['a message without its byte', 'x', true],
    ['more arrived than was sent', '\x01{"t":"beat","got":1}', true],
  ])('AT-99: %s: 4904, later', async (_, raw, hello) => {
    const s = setup()
    s.door.handshake = c => {
      c.accept(hello ? {} : { hello: false })
      c.raw(raw)
    }
    later(s.client.connect())
    await s.clock.advance(0)
    expect(s.ends).toMatchObject([{ close: 4904, code: 'local.protocol' }])
    expect(s.client.state.status).toBe('waiting')
    expect(s.messages).toEqual([])
    expect(s.errors).toHaveLength(raw.startsWith('\0') || raw.includes('hello') || raw.includes('0}') ? 0 : 1)
    await s.clock.advance(0)
    expect(s.door.last().ended).toMatchObject({ code: 4904 })
  })

  test('what has arrived cannot become less', async () => {
    const s = setup()
    const c = await s.open()
    await outcome(s.client.send('x'))
    await s.clock.advance(0)
    c.control({ t: 'beat', got: 1 })
    c.control({ t: 'beat', got: 0 })
    await s.clock.advance(0)
    expect(s.ends).toMatchObject([{ close: 4904 }])
  })
})
