// One row where each default limit bites. Nothing is configured but what a row
// names; the rows run at the same time, since some of them wait.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { address, ask, connect, frame, handshake, raw, verdict } from './lib/client.mjs'
import { Door, gate, origin } from './lib/door.mjs'
import { fake } from './lib/fake.mjs'
import { sleep, until, within } from './lib/env.mjs'
import { Key, keySet } from './lib/token.mjs'

const key = new Key('k1')
const keys = keySet(key)
let server, door, forward, doorWithForward, small
let answer = (r, w) => w.writeHead(200).end('{"sub":"ada"}')
let people = 0

const nobody = () => key.token({ sub: `limit-${++people}` })
const open = (o = {}) => connect(o.door ?? door, { token: nobody(), from: address(), ...o }).opened

/** A live connection whose bytes the test writes itself. */
async function rawOpen() {
  const c = await raw(door, { from: address() })
  const sub = `limit-${++people}`
  await c.write(handshake({ Authorization: `Bearer ${key.token({ sub })}` }))
  await c.until(d => d.includes('\r\n\r\n'))
  assert.match(c.data.toString(), /^HTTP\/1.1 101 /)
  return Object.assign(c, { sub })
}

const ended = (sub, ms) => door.line(`the end of ${sub}`, l => l.msg === 'ended' && l.user === sub, { ms })

before(async () => {
  server = await fake({
    connection: ws => ws.on('message', (data, binary) => {
      const order = !binary && /^(send|flood) (\d+)$/.exec(data)
      if (!order) ws.send(data, { binary })
      else if (order[1] === 'send') ws.send(Buffer.alloc(Number(order[2])))
      else for (let i = 0; i < Number(order[2]); i++) ws.send(Buffer.alloc(1 << 20))
    }),
  })
  forward = await fake({ request: (r, w) => answer(r, w) })
  door = await Door.start('limits', { gates: [gate(server.port, keys), gate(server.port, keys, { path: '/short', guard: { max_life: '8s' } })] })
  doorWithForward = await Door.start('limits-forward', {
    gates: [gate(server.port, keys, { auth: { forward: { url: `http://127.0.0.1:${forward.port}/me` } } })],
  })
  small = await Door.start('limits-small', { limits: { connections: 5 }, gates: [gate(server.port, keys)] })
})
after(async () => {
  await Promise.all([door, doorWithForward, small].map(d => d?.stop()))
  await server?.stop()
  await forward?.stop()
})

describe('each default limit', { concurrency: true }, () => {
  test('SR-61 idle 60 s → 4000, also under pings', async () => {
    const c = await open()
    const began = performance.now()
    const beat = setInterval(() => c.ws.ping(), 10_000)
    const end = await c.gone(70_000).finally(() => clearInterval(beat))
    assert.deepEqual(end, { code: 4000, reason: 'Idle timeout;guard.idle' })
    const lasted = (c.closedAt - began) / 1000
    assert.ok(lasted > 59 && lasted < 63, `${lasted} s`)
  })

  test('SR-61 a message resets idle, from either side', async () => {
    const c = await open()
    await sleep(31_000)
    assert.equal(await c.echo('still awake'), 'still awake')
    await sleep(31_000)
    assert.equal(await c.echo('and still'), 'and still')
    c.abort()
  })

  test('SR-61 ping 25 s + pong_wait 10 s: a peer that does not answer is lost, without a farewell', async () => {
    const c = await rawOpen()
    const began = performance.now()
    const line = await ended(c.sub, 45_000)
    const lasted = (performance.now() - began) / 1000
    assert.equal(line.code, 'peer.lost')
    assert.ok(lasted > 33 && lasted < 40, `${lasted} s`)
    await c.until(() => false, 1000)
    assert.ok(c.ended)
    assert.ok(!c.data.includes('peer.lost'))
  })

  test('SR-71 max_message 64 KiB → 1009, one byte less comes back', async () => {
    const c = await open()
    assert.equal((await c.echo('x'.repeat(65536))).length, 65536)
    c.ws.send('x'.repeat(65537))
    assert.deepEqual(await c.gone(), { code: 1009, reason: 'Too big;guard.too-big' })
  })

  test('SR-53 AT-32 a declared length of 16 GiB → 1009 before a byte of it came', async () => {
    const c = await rawOpen()
    c.data = c.data.subarray(c.data.length)
    await c.write(Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 4, 0, 0, 0, 0]), Buffer.alloc(4)]))
    assert.equal((await ended(c.sub, 5000)).code, 'guard.too-big')
  })

  test('max_message_down 16 MiB → 4225, as much as that comes through', async () => {
    const c = await open()
    assert.equal((await c.echo('send 16777216')).length, 16 << 20)
    c.ws.send('send 16777217')
    assert.deepEqual(await c.gone(), { code: 4225, reason: 'Backend fault;backend.too-big' })
  })

  test('SR-72 messages 50/s → 4202 after 5 s', async () => {
    const c = await open()
    const flood = setInterval(() => { for (let i = 0; i < 30; i++) c.ws.send('x') }, 100)
    const end = await c.gone(20_000).finally(() => clearInterval(flood))
    assert.deepEqual(end, { code: 4202, reason: 'Too fast;guard.too-fast' })
    const lasted = (c.closedAt - c.openedAt) / 1000
    assert.ok(lasted > 5 && lasted < 12, `${lasted} s`)
  })

  test('SR-72 bytes 256 KiB/s → 4202 after 5 s', async () => {
    const c = await open()
    const data = Buffer.alloc(65536)
    const flood = setInterval(() => { if (c.ws.bufferedAmount < 8 << 20) for (let i = 0; i < 2; i++) c.ws.send(data) }, 100)
    const end = await c.gone(20_000).finally(() => clearInterval(flood))
    assert.deepEqual(end, { code: 4202, reason: 'Too fast;guard.too-fast' })
  })

  test('SR-72 AT-37 a ping flood counts as messages', async () => {
    const c = await open()
    const flood = setInterval(() => { for (let i = 0; i < 30; i++) c.ws.ping() }, 100)
    const end = await c.gone(20_000).finally(() => clearInterval(flood))
    assert.deepEqual(end, { code: 4202, reason: 'Too fast;guard.too-fast' })
  })

  test('SR-71 AT-40 a message begun that does not progress → guard.stalled', async () => {
    const c = await rawOpen()
    const began = performance.now()
    await c.write(frame(2, 'x'.repeat(60000)).subarray(0, 20))
    const drip = setInterval(() => c.socket.write(Buffer.from('x')), 1000)
    const line = await ended(c.sub, 20_000).finally(() => clearInterval(drip))
    const lasted = (performance.now() - began) / 1000
    assert.equal(line.code, 'guard.stalled')
    assert.ok(lasted > 9 && lasted < 14, `${lasted} s`)
  })

  test('SR-74 AT-51 a reader that stops → guard.slow after 10 s', async () => {
    const sub = `limit-${++people}`
    const c = await open({ token: key.token({ sub }) })
    c.ws.pause()
    c.ws.send('flood 40')
    const line = await ended(sub, 40_000)
    assert.equal(line.code, 'guard.slow')
    c.abort()
  })

  test('SR-71 AT-35 endless fragments of one byte end', async () => {
    const c = await rawOpen()
    const began = performance.now()
    const one = Buffer.concat([frame(1, 'x', { fin: false }), ...Array.from({ length: 20_000 }, () => frame(0, 'x', { fin: false }))])
    c.socket.write(one)
    const line = await ended(c.sub, 20_000)
    assert.ok(['guard.too-big', 'ws.protocol', 'guard.too-fast'].includes(line.code), line.code)
    assert.ok(performance.now() - began < 20_000)
  })

  test('SR-73 AT-50 per_subject 16 → HTTP 429', async () => {
    const token = key.token({ sub: 'crowd' })
    const all = await Promise.all(Array.from({ length: 16 }, () => connect(door, { token, from: address() }).opened))
    const over = await verdict(door, { token, from: address() })
    assert.deepEqual([over.status, over.error], [429, 'guard.crowded'])
    assert.ok(Number(over.retry) >= 1)
    all[0].abort()
    await until('a place', async () => {
      const c = connect(door, { token, from: address() })
      return c.opened.then(() => { c.abort(); return true }, () => false)
    })
    for (const c of all) c.abort()
  })

  test('SR-73 AT-50 per_address 256 → HTTP 429, another address gets in', async () => {
    const from = address()
    const all = []
    for (let i = 0; i < 256; i += 32) all.push(...await Promise.all(Array.from({ length: 32 }, () => open({ from }))))
    const over = await verdict(door, { token: nobody(), from }).catch(error => ({ status: error.code }))
    assert.ok([429, 'ECONNRESET'].includes(over.status), JSON.stringify(over))
    const c = await open()
    c.abort()
    for (const c of all) c.abort()
  })

  test('SR-73 connections over the limit → HTTP 503', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => open({ door: small })))
    const over = await verdict(small, { token: nobody(), from: address() })
    assert.deepEqual([over.status, over.error], [503, 'guard.full'])
    for (const c of all) c.abort()
  })

  test('SR-42 max_life ends a connection with a good token → 4206', async () => {
    const c = await open({ path: '/short' })
    assert.deepEqual(await c.gone(20_000), { code: 4206, reason: 'Lifetime over;guard.max-life' })
  })

  test('SR-70 AT-20 a head that is not complete after 5 s → 408', async () => {
    const c = await raw(door, { from: address() })
    const began = performance.now()
    const text = handshake()
    let n = 0
    const drip = setInterval(() => n < text.length - 4 && c.socket.write(text[n++]), 100)
    await c.until(d => d.length > 0, 10_000)
    clearInterval(drip)
    const lasted = (performance.now() - began) / 1000
    assert.match(c.data.toString(), /^HTTP\/1.1 408 /)
    assert.ok(lasted > 4.5 && lasted < 8, `${lasted} s`)
  })

  test('SR-21 after 5 refusals of one address and origin in 10 s: HTTP 429, and who passes, passes', async () => {
    const from = address()
    for (let i = 0; i < 5; i++) assert.equal((await verdict(door, { from })).code, 4001)
    const sixth = await verdict(door, { from })
    assert.equal(sixth.status, 429)
    assert.ok(Number(sixth.retry) >= 1 && Number(sixth.retry) <= 11)
    const c = await open({ from })
    c.abort()
    assert.equal((await verdict(door, { from: address() })).code, 4001)
    await sleep(10_500)
    assert.equal((await verdict(door, { from })).code, 4001, 'the next window')
  })

  test('a body of more than 4 KiB at an endpoint → 413', async () => {
    const answer = await ask(door, { method: 'POST', path: '/sallyport/ticket', body: { gate: 'x'.repeat(5000) }, headers: { origin, authorization: `Bearer ${nobody()}` } })
    assert.equal(answer.status, 413)
  })
})

describe('forward-auth fails closed', () => {
  const ways = [
    ['SR-91 an answer after 2 s', (r, w) => setTimeout(() => w.end('{"sub":"ada"}'), 3000).unref(), 503],
    ['SR-91 more than 16 KiB', (r, w) => w.end(JSON.stringify({ sub: 'ada', x: 'x'.repeat(17 << 10) })), 503],
    ['SR-91 a redirect', (r, w) => w.writeHead(302, { location: '/login' }).end(), 503],
    ['SR-91 500', (r, w) => w.writeHead(500).end('{"sub":"ada"}'), 503],
    ['SR-91 no subject', (r, w) => w.end('{}'), 503],
    ['SR-91 no JSON', (r, w) => w.end('<p>signed in'), 503],
    ['SR-91 the connection cut', r => r.socket.destroy(), 503],
    ['401', (r, w) => w.writeHead(401).end(), 4001],
    ['403', (r, w) => w.writeHead(403).end('{"sub":"ada"}'), 4001],
  ]
  for (const [name, how, want] of ways) {
    test(`${name} → ${want}`, async () => {
      answer = how
      const seen = server.handshakes.length
      const v = await verdict(doorWithForward, { from: address(), headers: { cookie: `site=${name.length}${want}${Math.random()}` } })
      assert.equal(v.status ?? v.code, want, JSON.stringify(v))
      assert.equal(server.handshakes.length, seen, 'the backend hears nothing')
    })
  }
})

// Last, since it keeps the machine busy.
describe('the pool of the unauthenticated', () => {
  test('SR-73 SR-70 AT-20 1,000 silent connections do not keep an honest one out', async () => {
    const silent = []
    for (let i = 0; i < 1000; i += 50) silent.push(...await Promise.all(Array.from({ length: 50 }, (_, n) => raw(door, { from: address() }).catch(() => null))))
    const began = performance.now()
    const c = await within(4000, 'an honest handshake', open())
    assert.equal(await c.echo('inside'), 'inside')
    c.abort()
    assert.ok(performance.now() - began < 4000)
    for (const s of silent) s?.finish()
  })
})
