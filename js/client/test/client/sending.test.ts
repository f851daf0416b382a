// Sending: the queue, what is unknown, pace and back-pressure; and receiving by iteration.
import { describe, expect, test } from 'vitest'
import { later, outcome, setup } from './setup.js'

/** Counts the calls of a method from now on. */
function calls(target: EventTarget, name: 'addEventListener' | 'removeEventListener'): () => number {
  const method = target[name]
  let n = 0
  Object.defineProperty(target, name, {
    value: (...args: Parameters<EventTarget['addEventListener']>) => {
      n++
      method.apply(target, args)
    },
  })
  return () => n
}

const probes = (c: { commands: { t: string }[] }) => c.commands.filter(m => m.t === 'probe').length

describe('send', () => {
  test('resolves when the message left for the socket, and arrives in order, of its kind', async () => {
    const s = setup()
    const c = await s.open()
    const sent = [
      s.client.send('text'),
      s.client.send(Uint8Array.of(1, 2)),
      s.client.send(Uint8Array.of(0, 3, 4).subarray(1).buffer.slice(1)),
      s.client.send(''),
    ]
    expect(await Promise.all(sent.map(outcome))).toEqual(['done', 'done', 'done', 'done'])
    await s.clock.advance(0)
    expect(c.received).toEqual(['text', Uint8Array.of(1, 2), Uint8Array.of(3, 4), ''])
  })

  test('copies bytes, and of a view what it shows', async () => {
    const s = setup()
    later(s.client.connect())
    const data = Uint8Array.of(9, 1, 2, 9)
    later(s.client.send(data.subarray(1, 3)))
    later(s.client.send(new DataView(data.buffer, 2, 2)))
    data.fill(7)
    await s.clock.advance(0)
    expect(s.door.last().received).toEqual([Uint8Array.of(1, 2), Uint8Array.of(2, 9)])
  })

  test('a payload that looks like control stays a payload, in both directions', async () => {
    const s = setup()
    const c = await s.open()
    const text = '\x01{"t":"close","code":"origin.untrusted","got":0}'
    later(s.client.send(text))
    c.send(text)
    c.send(new TextEncoder().encode(text))
    await s.clock.advance(0)
    expect(c.received).toEqual([text])
    expect(s.messages).toEqual([text, new TextEncoder().encode(text)])
    expect(s.client.state.status).toBe('open')
  })

  test('is kept while not connected, connects an idle client, and is sent once open', async () => {
    const s = setup()
    const sent = s.client.send('first')
    expect(s.client.state.status).toBe('connecting')
    expect(await outcome(sent)).toBe('pending')
    await s.clock.advance(0)
    expect(await outcome(sent)).toBe('done')
    expect(s.door.last().received).toEqual(['first'])
  })

  test('queue-full: beyond the count, beyond the bytes, and room again after it was sent', async () => {
    for (const [queue, data] of [
      [{ count: 3 }, 'x'],
      [{ bytes: 30 }, 'ääääx'],
    ] as const) {
      const s = setup({ queue })
      const all = [1, 2, 3, 4].map(() => later(s.client.send(data)))
      await s.clock.advance(0)
      expect(await Promise.all(all.map(outcome))).toEqual(['done', 'done', 'done', 'queue-full'])
      expect(await outcome(s.client.send(data))).toBe('done')
    }
  })

  test('the queue is bounded by default: 1,000 messages, 1 MiB', async () => {
    const s = setup({ ticket: () => new Promise(() => {}) })
    for (let i = 0; i < 1000; i++) later(s.client.send('x'))
    expect(await outcome(s.client.send('x'))).toBe('queue-full')
    const t = setup({ ticket: () => new Promise(() => {}) })
    expect(await outcome(later(t.client.send('x'.repeat(1 << 20))))).toBe('pending')
    expect(await outcome(t.client.send('x'))).toBe('queue-full')
  })

  test('expired: after expiresIn, or maxAge, whichever is sooner; never sent afterwards', async () => {
    const s = setup({ queue: { maxAge: 5000 } })
    s.door.handshake = () => {}
    const soon = later(s.client.send('soon', { expiresIn: 1000 }))
    const late = later(s.client.send('late', { expiresIn: 60_000 }))
    await s.clock.advance(999)
    expect(await outcome(soon)).toBe('pending')
    await s.clock.advance(1)
    expect(await outcome(soon)).toBe('expired')
    await s.clock.advance(3999)
    expect(await outcome(late)).toBe('pending')
    await s.clock.advance(1)
    expect(await outcome(late)).toBe('expired')
    s.door.last().accept()
    await s.clock.advance(0)
    expect(s.door.last().received).toEqual([])
  })

  test('expired: also of a message that slept', async () => {
    const s = setup()
    const c = await s.open()
    c.lose()
    await s.clock.advance(0)
    const sent = later(s.client.send('x', { expiresIn: 60_000 }))
    s.clock.sleep(3_600_000)
    await s.clock.advance(1000)
    expect(await outcome(sent)).toBe('expired')
  })

  test('too-large: more than the door accepts, without harm to the others', async () => {
    const s = setup({}, { hello: { max_message: 10 } })
    const all = ['before', 'äääääx', 'x'.repeat(10)].map(m => later(s.client.send(m)))
    await s.clock.advance(0)
    expect(await Promise.all(all.map(outcome))).toEqual(['done', 'too-large', 'done'])
    expect(s.door.last().received).toEqual(['before', 'x'.repeat(10)])
  })

  test('aborted: before it is sent; afterwards it makes no difference', async () => {
    const s = setup()
    const stop = new AbortController()
    const waits = later(s.client.send('never', { signal: stop.signal }))
    stop.abort()
    expect(await outcome(waits)).toBe('aborted')
    expect(await outcome(s.client.send('neither', { signal: stop.signal }))).toBe('aborted')
    const c = await s.open()
    const other = new AbortController()
    const sent = s.client.send('sent', { signal: other.signal })
    await s.clock.advance(0)
    other.abort()
    expect(await outcome(sent)).toBe('done')
    expect(c.received).toEqual(['sent'])
  })

  test('closed: everything that waits, when the client closes or ends', async () => {
    for (const end of ['close', 'never'] as const) {
      const s = setup()
      s.door.handshake = () => {}
      const waits = later(s.client.send('x'))
      await s.clock.advance(0)
      if (end === 'close') s.client.close()
      else s.door.last().refuse('origin.untrusted', 4001, 'Unauthorized')
      await s.clock.advance(0)
      expect(await outcome(waits)).toBe('closed')
      expect(await outcome(s.client.send('y'))).toBe('closed')
    }
  })

  test('a bound without sense is refused', async () => {
    const s = setup()
    await expect(s.client.send('x', { expiresIn: Number.NaN })).rejects.toThrow(RangeError)
    await expect(s.client.send('x', { expiresIn: -1 })).rejects.toThrow(RangeError)
  })
})

describe('what has arrived', () => {
  test('what was not acknowledged when the connection died is unknown: one event, and nothing is sent again', async () => {
    const s = setup()
    const c = await s.open()
    const events: unknown[] = []
    s.client.addEventListener('unknown', e => events.push(e.detail))
    later(s.client.send('a', { id: 1 }))
    later(s.client.send(Uint8Array.of(2), { id: 'b' }))
    later(s.client.send('c'))
    await s.clock.advance(0)
    c.control({ t: 'beat', got: 1 })
    await s.clock.advance(0)
    c.lose()
    await s.clock.advance(1000)
    expect(events).toMatchObject([{ messages: [{ data: Uint8Array.of(2), id: 'b' }, { data: 'c' }], why: { close: 1006 } }])
    expect(s.client.state.status).toBe('open')
    expect(s.door.last().received).toEqual([])
  })

  test('the count of an announced close is the last word', async () => {
    const s = setup()
    const c = await s.open()
    later(s.client.send('a'))
    later(s.client.send('b'))
    await s.clock.advance(0)
    c.got = 1
    c.end('drain', 4200, 'Restarting')
    await s.clock.advance(0)
    expect(s.unknown).toMatchObject([{ data: 'b' }])
  })

  test('after the announcement nothing is handed to the connection: it waits for the next', async () => {
    const s = setup()
    const c = await s.open()
    c.control({ t: 'close', code: 'drain', got: 0 })
    await s.clock.advance(0)
    const sent = later(s.client.send('x'))
    expect(await outcome(sent)).toBe('pending')
    c.close(4200, 'Restarting;drain')
    await s.clock.advance(6000)
    expect(s.unknown).toEqual([])
    expect(s.door.last().received).toEqual(['x'])
  })

  test('the window: 256 messages, then the rest waits; a beat is asked for in time', async () => {
    const s = setup()
    const c = await s.open()
    c.got = 0
    const all = Array.from({ length: 300 }, (_, i) => later(s.client.send(`${i}`)))
    await s.clock.advance(0)
    expect(c.received).toHaveLength(256)
    expect(probes(c)).toBe(1)
    expect(await outcome(all[255]!)).toBe('done')
    expect(await outcome(all[256]!)).toBe('pending')
    // The beat that answered had nothing to tell: asked again, not at once.
    c.got = undefined
    await s.clock.advance(4999)
    expect(c.received).toHaveLength(256)
    await s.clock.advance(1)
    expect(c.received).toHaveLength(300)
    await Promise.all(all)
  })

  test('the window: 1 MiB, but a larger message goes alone', async () => {
    const s = setup({ queue: { bytes: 1 << 23 } }, { hello: { max_message: 1 << 23 } })
    const c = await s.open()
    c.got = 0
    const big = 'x'.repeat(600_000)
    const all = [big, big, 'y'.repeat(2_000_000)].map(m => later(s.client.send(m)))
    await s.clock.advance(0)
    expect(c.received).toHaveLength(1)
    c.got = 1
    c.control({ t: 'beat', got: 1 })
    await s.clock.advance(0)
    expect(c.received).toHaveLength(2)
    expect(await outcome(all[2]!)).toBe('pending')
    c.got = 2
    c.control({ t: 'beat', got: 2 })
    await s.clock.advance(0)
    expect(c.received).toHaveLength(3)
  })

  test('an answer with some news, and then none: asked every 5 s, and no more when all has arrived', async () => {
    const s = setup()
    const c = await s.open()
    c.got = 1
    for (let i = 0; i < 200; i++) later(s.client.send('x'))
    await s.clock.advance(19_999)
    // The news made it ask once more at once; then every 5 s.
    expect(probes(c)).toBe(5)
    c.got = undefined
    await s.clock.advance(1)
    const asked = probes(c)
    await s.clock.advance(60_000)
    expect(probes(c)).toBe(asked)
  })

  test('an ask that is not answered is repeated, and is no reason to give the connection up', async () => {
    const s = setup()
    const c = await s.open()
    c.lively = false
    for (let i = 0; i < 200; i++) later(s.client.send('x'))
    await s.clock.advance(20_000)
    expect(probes(c)).toBe(5)
    expect(s.client.state.status).toBe('open')
  })

  test('close() waits for the last count, and reports the rest', async () => {
    for (const [got, unknown] of [
      [undefined, []],
      [0, ['x']],
    ] as const) {
      const s = setup()
      const c = await s.open()
      c.got = got
      later(s.client.send('x'))
      const closed = s.client.close(3000, 'bye')
      await s.clock.advance(2999)
      if (got === 0) expect(await outcome(closed)).toBe('pending')
      await s.clock.advance(1)
      await s.clock.advance(0)
      expect(await outcome(closed)).toBe('done')
      expect(c.ended).toEqual({ code: 3000, reason: 'bye' })
      expect(s.unknown.map(m => m.data)).toEqual(unknown)
      expect(s.clock.timers()).toBe(0)
    }
  })
})

describe('pace', () => {
  test('a backlog goes out below the rates of the door', async () => {
    const s = setup({}, { hello: { messages_per_second: 50, bytes_per_second: 1 << 20 } })
    for (let i = 0; i < 500; i++) later(s.client.send('x'))
    await s.clock.advance(0)
    const c = s.door.last()
    // Half of the burst that the door allows.
    expect(c.received.length).toBeLessThanOrEqual(51)
    expect(c.received.length).toBeGreaterThan(40)
    await s.clock.advance(5000)
    expect(c.received.length).toBeLessThanOrEqual(51 + 5 * 50)
    expect(c.received.length).toBeGreaterThan(45 + 5 * 40)
    await s.clock.advance(6000)
    expect(c.received).toHaveLength(500)
    expect(s.clock.timers()).toBe(1)
  })

  test('bytes too', async () => {
    const s = setup({}, { hello: { bytes_per_second: 10_000 } })
    for (let i = 0; i < 100; i++) later(s.client.send('x'.repeat(999)))
    await s.clock.advance(0)
    const c = s.door.last()
    expect(c.received.length).toBeLessThanOrEqual(11)
    await s.clock.advance(4000)
    expect(c.received.length).toBeLessThanOrEqual(11 + 40)
    expect(c.received.length).toBeGreaterThan(40)
  })

  test('a paced queue without a connection needs no timer of its own', async () => {
    const s = setup({}, { hello: { messages_per_second: 1 } })
    const c = await s.open()
    for (let i = 0; i < 10; i++) later(s.client.send('x'))
    s.clock.offline = true
    c.lose()
    await s.clock.advance(60_000)
    expect(s.client.state.status).toBe('paused')
    expect(s.clock.timers()).toBe(0)
  })
})

describe('ready', () => {
  test('resolves while there is room, and waits for the queue', async () => {
    const s = setup({ queue: { count: 8 } })
    expect(await outcome(s.client.ready())).toBe('done')
    s.door.handshake = () => {}
    for (let i = 0; i < 3; i++) later(s.client.send('x'))
    const ready = s.client.ready()
    expect(await outcome(ready)).toBe('pending')
    await s.clock.advance(0)
    s.door.last().accept()
    await s.clock.advance(0)
    expect(await outcome(ready)).toBe('done')
  })

  test('waits for the socket to give its bytes to the network', async () => {
    const s = setup()
    const c = await s.open()
    c.stalled = true
    later(s.client.send('x'.repeat(60_000)))
    for (let i = 0; i < 5; i++) later(s.client.send('x'.repeat(60_000)))
    const ready = s.client.ready()
    await s.clock.advance(1000)
    expect(await outcome(ready)).toBe('pending')
    c.stalled = false
    await s.clock.advance(50)
    expect(await outcome(ready)).toBe('done')
    expect(s.clock.timers()).toBe(1)
  })

  test('rejects when the client closes, or the signal aborts', async () => {
    const s = setup({ queue: { count: 1 } })
    s.door.handshake = () => {}
    later(s.client.send('x'))
    const stop = new AbortController()
    const one = later(s.client.ready({ signal: stop.signal }))
    const two = later(s.client.ready())
    stop.abort()
    expect(await outcome(one)).toBe('aborted')
    s.client.close()
    expect(await outcome(two)).toBe('closed')
    await s.clock.advance(0)
    expect(s.clock.timers()).toBe(0)
  })
})

describe('iteration', () => {
  const take = async (it: AsyncIterable<unknown>, n: number) => {
    const got: unknown[] = []
    for await (const m of it) {
      got.push(m)
      if (got.length === n) break
    }
    return got
  }

  test('gives every message once, in order, across connections', async () => {
    const s = setup()
    const got = take(s.client, 4)
    const c = await s.open()
    c.send('a')
    c.send(Uint8Array.of(1))
    await s.clock.advance(0)
    c.lose()
    await s.clock.advance(250)
    s.door.last().send('b')
    s.door.last().send('c')
    s.door.last().send('d')
    await s.clock.advance(0)
    expect(await got).toEqual(['a', Uint8Array.of(1), 'b', 'c'])
  })

  test('overflow: by count and by bytes: what was buffered, then an error', async () => {
    for (const [bounds, fits] of [
      [{ count: 2 }, 2],
      [{ bytes: 10 }, 5],
    ] as const) {
      const s = setup()
      const c = await s.open()
      const it = s.client.messages(bounds)
      for (let i = 0; i < 9; i++) c.send('x')
      await s.clock.advance(0)
      for (let i = 0; i < fits; i++) expect(await it.next()).toEqual({ value: 'x', done: false })
      expect(await outcome(it.next())).toBe('overflow')
      expect(await it.next()).toEqual({ value: undefined, done: true })
    }
  })

  test('what was taken does not count, and one that ended listens no more', async () => {
    const s = setup()
    const c = await s.open()
    const removed = calls(s.client as unknown as EventTarget, 'removeEventListener')
    const it = s.client.messages({ bytes: 10 })
    for (let i = 0; i < 20; i++) {
      c.send('x'.repeat(5))
      await s.clock.advance(0)
      expect((await it.next()).value).toBe('xxxxx')
    }
    expect(removed()).toBe(0)
    await it.return()
    expect(removed()).toBe(1)
    s.client.messages({ count: 0 })
    c.send('x')
    await s.clock.advance(0)
    expect(removed()).toBe(2)
  })

  test('a signal that lives long keeps nothing of what is done', async () => {
    const s = setup()
    await s.open()
    const { signal } = new AbortController()
    const [added, removed] = [calls(signal, 'addEventListener'), calls(signal, 'removeEventListener')]
    await s.client.connect({ signal })
    await s.client.send('x', { signal })
    await s.client.ready({ signal })
    expect(added()).toBe(3)
    expect(removed()).toBe(3)
  })

  test('bounded by default: 1,000 messages', async () => {
    const s = setup()
    const c = await s.open()
    const it = s.client.messages()
    for (let i = 0; i < 1001; i++) c.send('x')
    await s.clock.advance(0)
    for (let i = 0; i < 1000; i++) await it.next()
    expect(await outcome(it.next())).toBe('overflow')
  })

  test('ends with close(), fails with the reason of any other end, and with the signal', async () => {
    const s = setup()
    await s.open()
    const it = s.client.messages()
    const next = it.next()
    s.client.close()
    await s.clock.advance(0)
    expect(await next).toEqual({ value: undefined, done: true })

    const t = setup()
    const c = await t.open()
    const failed = later(t.client.messages().next())
    c.end('origin.untrusted', 4001, 'Unauthorized')
    await t.clock.advance(0)
    expect(await outcome(failed)).toBe('closed')

    const u = setup()
    await u.open()
    const stop = new AbortController()
    const aborted = later(u.client.messages({ signal: stop.signal }).next())
    stop.abort()
    expect(await outcome(aborted)).toBe('aborted')
  })

  test('of a closed client ends at once', async () => {
    const s = setup()
    await s.open()
    s.client.close()
    await s.clock.advance(0)
    expect(await s.client.messages().next()).toEqual({ value: undefined, done: true })
  })
})
