// What ends an open connection, on both legs within a second, while 1,000 others
// stay as they are. Time runs from the administrator's answer.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ask, closeIn, connect, frame, handshake, many, raw, verdict, address } from './lib/client.mjs'
import { Door, gate, origin, wide } from './lib/door.mjs'
import { fake } from './lib/fake.mjs'
import { sleep, until, within } from './lib/env.mjs'
import { issuer, Key, keySet, now } from './lib/token.mjs'

const crowdSize = 1000
const key = new Key('k1')
const keys = keySet(key)
const unauthorized = code => ({ code: 4001, reason: `Unauthorized;${code}` })
let server, door, crowd
let people = 0
const legs = new Map() // backend sockets by the path that the client asked for

before(async () => {
  server = await fake({
    connection: (ws, r) => {
      legs.set(r.url, ws)
      ws.got = []
      ws.on('message', (data, binary) => {
        ws.got.push(data)
        ws.send(data, { binary })
      })
    },
  })
  door = await Door.start('lifetime', {
    limits: wide, shutdown: { drain: '4s' },
    gates: [gate(server.port, keys, { path: '/', guard: { idle: '10m', ping: '5m', messages: '100000/s', bytes: '1GiB/s', max_message: '1MiB' } })],
  })
  crowd = await many(door, crowdSize, i => ({ path: `/crowd/${i}`, token: key.token({ sub: `crowd-${i}`, sid: `crowd-${i}` }) }))
})
after(async () => {
  for (const c of crowd ?? []) c.abort()
  if (door && !door.proc.exited) await door.stop()
  await server?.stop()
})

/** A connection of somebody new, with both of its legs. */
async function victim(claims = {}, options = {}) {
  const n = ++people
  const sub = `victim-${n}`
  const path = `/victim/${n}`
  const token = key.token({ sub, sid: `session-${n}`, jti: `credential-${n}`, ...claims })
  const c = await connect(door, { path, token, ...options }).opened
  return Object.assign(c, { sub, path, token, session: `session-${n}`, credential: `credential-${n}`, leg: await until('the backend’s leg', () => legs.get(path)) })
}

/** Both legs are closed within a second of since, and nobody else’s is. */
async function bothEnd(v, since, want) {
  const [client] = await within(5000, 'both legs to close', Promise.all([v.closed, v.leg.closed]))
  if (want) assert.deepEqual(client, want)
  for (const [leg, at] of [['client', v.closedAt], ['backend', v.leg.closedAt]]) {
    assert.ok(at - since < 1000, `the ${leg}’s leg took ${Math.round(at - since)} ms`)
  }
}

async function crowdUntouched() {
  assert.equal(crowd.filter(c => c.end).length, 0, 'nobody of the crowd was cut')
  for (const i of [0, 499, crowdSize - 1]) assert.equal(await crowd[i].echo(`still ${i}`), `still ${i}`)
}

const revoke = async match => {
  await door.revoke(match)
  return performance.now()
}

describe('with 1,000 others open', () => {
  const matches = [
    ['SR-43 AT-72 issuer and subject', v => ({ issuer, subject: v.sub })],
    ['SR-43 session', v => ({ session: v.session })],
    ['SR-43 token id', v => ({ credential: v.credential })],
  ]
  for (const [name, match] of matches) {
    test(`revoked by ${name}: both legs close within a second`, async () => {
      const v = await victim()
      assert.equal(await v.echo('before'), 'before')
      await bothEnd(v, await revoke(match(v)), unauthorized('auth.revoked'))
      assert.deepEqual(await verdict(door, { path: '/again', token: v.token, from: address() }), unauthorized('auth.revoked'))
      await crowdUntouched()
    })
  }

  test('SR-43 revoked by everything issued before: the old ones close, the new ones stay', async () => {
    const old = [await victim({ iat: now() - 300 }), await victim({ iat: now() - 200 }), await victim({ iat: undefined })]
    const young = await victim({ iat: now() - 100 })
    const since = await revoke({ issued_before: new Date((now() - 200) * 1000).toISOString() })
    for (const v of old) await bothEnd(v, since, unauthorized('auth.revoked'))
    assert.equal(await young.echo('later'), 'later')
    young.abort()
    await crowdUntouched()
  })

  test('SR-42 its credential expires: both legs close within a second', async () => {
    const exp = now() + 3
    const v = await victim({ exp })
    const since = performance.now() + (exp * 1000 - Date.now())
    await bothEnd(v, since, unauthorized('auth.expired'))
    assert.ok(v.closedAt >= since - 5, 'and not before')
    await crowdUntouched()
  })

  test('closed by the operator', async () => {
    const v = await victim()
    assert.equal((await door.admin('DELETE', `/connections?subject=${v.sub}`)).ended, 1)
    await bothEnd(v, performance.now(), { code: 4208, reason: 'Closed by the operator;admin.closed' })
    await crowdUntouched()
  })
})

describe('SR-43 a revocation ends a connection', () => {
  test('during a busy upload', async () => {
    const v = await victim()
    v.ws.on('message', () => {})
    const data = Buffer.alloc(60_000)
    const pump = setInterval(() => { while (v.ws.readyState === 1 && v.ws.bufferedAmount < 4 << 20) v.ws.send(data) }, 5)
    await until('uploading', () => v.leg.got.length > 100)
    const since = await revoke({ session: v.session })
    await bothEnd(v, since).finally(() => clearInterval(pump))
    const line = await door.line('ended', l => l.msg === 'ended' && l.user === v.sub)
    assert.equal(line.code, 'auth.revoked')
    await crowdUntouched()
  })

  test('of a stalled reader, whose queue is full', async () => {
    const v = await victim()
    v.ws.pause()
    const data = Buffer.alloc(256 << 10)
    for (let i = 0; i < 100; i++) v.leg.send(data)
    await until('a full queue', async () => {
      const before = v.leg._socket.bytesWritten - v.leg.bufferedAmount
      await sleep(100)
      return before === v.leg._socket.bytesWritten - v.leg.bufferedAmount
    })
    const since = await revoke({ session: v.session })
    await within(2000, 'the backend’s leg', v.leg.closed)
    assert.ok(v.leg.closedAt - since < 1000)
    await door.line('ended', l => l.msg === 'ended' && l.user === v.sub && l.code === 'auth.revoked', { ms: 1000 })
    await until('the client’s socket to be given back', async () => (await door.conns(`?subject=${v.sub}`)) === 0, 1000)
    v.ws.resume()
    const end = await v.gone()
    assert.ok([4001, 1006].includes(end.code), `${end.code}`)
    await crowdUntouched()
  })

  test('of a paused backend, which takes nothing', async () => {
    const v = await victim()
    v.leg.pause()
    const data = Buffer.alloc(256 << 10)
    const pump = setInterval(() => { if (v.ws.bufferedAmount < 4 << 20) v.ws.send(data) }, 5)
    await until('back-pressure', async () => {
      const before = v.ws._socket.bytesWritten - v.ws.bufferedAmount
      await sleep(150)
      return v.ws.bufferedAmount > 0 && before === v.ws._socket.bytesWritten - v.ws.bufferedAmount
    })
    const since = await revoke({ session: v.session })
    await within(3000, 'the client’s leg', v.closed).finally(() => clearInterval(pump))
    assert.ok(v.closedAt - since < 1000, `${v.closedAt - since} ms`)
    v.leg.resume()
    await within(5000, 'the backend’s leg', v.leg.closed)
    await crowdUntouched()
  })

  test('in the middle of a message from the client, which the backend never gets', async () => {
    const v = await victim()
    v.ws.send('the first part ', { fin: false })
    await sleep(100)
    await bothEnd(v, await revoke({ session: v.session }), unauthorized('auth.revoked'))
    assert.deepEqual(v.leg.got, [])
  })

  test('in the middle of a message from the backend', async () => {
    const v = await victim()
    v.leg.send('the first part ', { fin: false })
    await sleep(100)
    await bothEnd(v, await revoke({ session: v.session }), unauthorized('auth.revoked'))
    assert.deepEqual(v.messages, [])
  })

  test('in the middle of a frame, of a client that does not answer the close frame', async () => {
    const sub = `victim-${++people}`
    const path = `/victim/${people}`
    const c = await raw(door)
    await c.write(handshake({ Authorization: `Bearer ${key.token({ sub })}` }, { path }))
    await c.until(d => d.includes('\r\n\r\n'))
    const leg = await until('the leg', () => legs.get(path))
    await c.write(frame(2, Buffer.alloc(5000)).subarray(0, 100))
    const since = await revoke({ issuer, subject: sub })
    await c.until(() => false, 2000)
    assert.ok(performance.now() - since < 1500, 'the socket is taken away within a second, close or reset')
    assert.ok(c.ended)
    assert.deepEqual(closeIn(c.data), unauthorized('auth.revoked'))
    await within(1000, 'the leg', leg.closed)
    assert.ok(leg.closedAt - since < 1000)
    assert.deepEqual(leg.got, [])
  })

  test('half-open: of a client that is there no more', async () => {
    const sub = `victim-${++people}`
    const path = `/victim/${people}`
    const c = await raw(door)
    await c.write(handshake({ Authorization: `Bearer ${key.token({ sub })}` }, { path }))
    await c.until(d => d.includes('\r\n\r\n'))
    const leg = await until('the leg', () => legs.get(path))
    c.socket.pause() // from here on nothing is read, answered or closed
    const since = await revoke({ issuer, subject: sub })
    await within(2000, 'the leg', leg.closed)
    assert.ok(leg.closedAt - since < 1000)
    await until('the socket to be given back', async () => (await door.conns(`?subject=${sub}`)) === 0, 1000)
    c.finish()
  })

  test('during renewals: revoke is final', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => victim({ exp: now() + 60 })))
    let stop = false
    const statuses = new Set()
    const renewing = all.map(async v => {
      while (!stop) {
        const answer = await ask(door, {
          method: 'POST', path: '/sallyport/renew', body: { gate: '/' },
          headers: { origin: `https://door.example.com`, authorization: `Bearer ${key.token({ sub: v.sub, sid: v.session, exp: now() + 600 })}` },
        })
        statuses.add(answer.status)
      }
    })
    await until('renewals', () => statuses.has(200), 5000).catch(() => assert.fail(`no renewal: ${[...statuses]}`))
    for (const v of all) await bothEnd(v, await revoke({ session: v.session }), unauthorized('auth.revoked'))
    await sleep(200)
    stop = true
    await Promise.all(renewing)
    for (const v of all) assert.equal(await door.conns(`?subject=${v.sub}`), 0)
    assert.ok(statuses.has(401) || statuses.has(409), [...statuses].join())
    await crowdUntouched()
  })

  test('renewal moves the end; a credential of another subject does not', async () => {
    const exp = now() + 4
    const v = await victim({ exp })
    const renew = claims => ask(door, {
      method: 'POST', path: '/sallyport/renew', body: { gate: '/' },
      headers: { origin: 'https://door.example.com', authorization: `Bearer ${key.token({ sub: v.sub, sid: v.session, exp: now() + 600, ...claims })}` },
    })
    assert.equal((await renew({ sub: 'somebody-else' })).status, 409)
    assert.equal((await renew({ sid: 'another-session' })).status, 409)
    assert.equal((await renew({})).status, 200)
    await sleep(exp * 1000 - Date.now() + 500)
    assert.equal(await v.echo('past the old end'), 'past the old end')
    v.abort()
  })
})

describe('SIGTERM under 1,000 connections', () => {
  test('readiness 503, closes spread, all are told, exit 0', async () => {
    assert.equal((await door.get('/readyz')).status, 200)
    assert.ok(await door.conns() >= crowdSize)
    await door.record()
    const began = performance.now()
    door.proc.signal('SIGTERM')
    await until('not ready', async () => (await door.get('/readyz')).status === 503, 2000)
    assert.equal((await door.get('/livez')).status, 200)
    const refused = await verdict(door, { token: key.token(), from: address() }).catch(error => ({ status: error.code }))
    assert.ok([503, 'ECONNREFUSED'].includes(refused.status), JSON.stringify(refused))
    const ends = await within(15_000, 'everybody to be told', Promise.all(crowd.map(c => c.closed)))
    assert.equal(ends.filter(e => e.code === 4200 && e.reason === 'Restarting;drain').length, crowdSize)
    const times = crowd.map(c => c.closedAt - began).sort((a, b) => a - b)
    const [first, middle, last] = [times[10], times[crowdSize / 2], times.at(-1)]
    assert.ok(middle - first > 400 && last - middle > 400, `spread: ${first.toFixed()} … ${middle.toFixed()} … ${last.toFixed()} ms`)
    assert.deepEqual(await within(10_000, 'the exit', door.proc.exit), { code: 0, signal: null })
  })
})
