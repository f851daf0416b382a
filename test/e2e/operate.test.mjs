// Stops that race with admission, reloads, restarts and signals.
import assert from 'node:assert/strict'
import { copyFileSync, chmodSync, statSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'
import { after, before, describe, test } from 'node:test'
import { address, connect, many, raw, verdict } from './lib/client.mjs'
import { ca, Door, gate, host, origin, wide } from './lib/door.mjs'
import { fake } from './lib/fake.mjs'
import { certs, scratch, sleep, until, within } from './lib/env.mjs'
import { issuer, Key, keySet, now } from './lib/token.mjs'

const unauthorized = code => ({ code: 4001, reason: `Unauthorized;${code}` })
const key = new Key('k1')
const other = 'https://other.example.com'

/** What became of a client: {code, reason}, {status}, or 'open'. */
const outcome = c => within(10_000, 'an outcome', c.opened.then(
  () => Promise.race([c.closed, sleep(1500).then(() => 'open')]),
  error => (error.status ? { status: error.status, error: JSON.parse(error.body).error } : { status: error.message }),
))

describe('while the backend withholds its 101', () => {
  let held, slow, keys, door, settings

  before(async () => {
    held = []
    slow = await fake({ before: (r, proceed, socket) => held.push({ r, proceed, socket }), connection: () => {} })
    keys = keySet(key)
    settings = { limits: wide, gates: [gate(slow.port, keys, { origins: [origin, other] })] }
    door = await Door.start('races', settings)
  })
  after(async () => {
    if (!door.proc.exited) await door.stop()
    await slow.stop()
  })

  /** A handshake that waits for its backend, now. */
  async function waiting(claims = {}, o = origin) {
    const n = held.length
    const c = connect(door, { token: key.token(claims), origin: o, from: address() })
    await until('the backend to be asked', () => held.length > n)
    return Object.assign(c, { held: held[n], sub: claims.sub })
  }

  /** The 101 comes too late: nothing opens, and the backend is let go. */
  async function tooLate(c, want) {
    c.held.proceed()
    assert.deepEqual(await outcome(c), want)
    await until('the backend’s leg to end', () => c.held.socket.destroyed || c.held.socket.readyState === 'closed', 3000)
    assert.equal(door.logged(l => l.msg === 'admitted' && l.user === c.sub).length, 0)
  }

  test('SR-43 a revocation happens → it wins', async () => {
    const c = await waiting({ sub: 'revoked-1' })
    await door.revoke({ issuer, subject: 'revoked-1' })
    await tooLate(c, unauthorized('auth.revoked'))
    assert.equal(await door.conns('?subject=revoked-1'), 0)
  })

  test('SR-42 the credential expires → it wins', async () => {
    const exp = now() + 2
    const c = await waiting({ sub: 'expired-1', exp })
    await sleep(exp * 1000 - Date.now() + 100)
    await tooLate(c, unauthorized('auth.expired'))
    assert.equal(await door.conns('?subject=expired-1'), 0)
  })

  test('a reload removes the origin → it wins', async () => {
    const c = await waiting({ sub: 'reloaded-1' }, other)
    const good = await waiting({ sub: 'reloaded-2' })
    door.write({ ...settings, gates: [gate(slow.port, keys)] })
    const from = await door.reload()
    await door.line('reloaded', l => l.msg === 'reloaded', { from })
    c.held.proceed()
    const got = await outcome(c)
    assert.equal(got.code, 4001, JSON.stringify(got))
    assert.match(got.reason, /^Unauthorized;(policy\.changed|origin\.untrusted)$/)
    assert.equal(await door.conns('?subject=reloaded-1'), 0)
    good.held.proceed()
    assert.equal(await outcome(good), 'open')
    good.abort()
  })

  test('a client that goes away meanwhile leaves nothing', async () => {
    const c = await waiting({ sub: 'gone-1' })
    c.abort()
    await until('the backend’s leg to end', () => c.held.socket.destroyed || c.held.socket.readyState !== 'open', 12_000)
    assert.equal(await door.conns('?subject=gone-1'), 0)
  })

  test('a drain happens → HTTP 503, and the program exits 0', async () => {
    const c = await waiting({ sub: 'drained-1' })
    door.proc.signal('SIGTERM')
    await door.line('draining', l => l.msg === 'draining')
    await sleep(100)
    await tooLate(c, { status: 503, error: 'drain' })
    assert.deepEqual(await within(10_000, 'the exit', door.proc.exit), { code: 0, signal: null })
  })
})

describe('ordinary requests on a guarded path', () => {
  test('SR-43 a long poll ends within a second of its revocation, at both ends', async () => {
    const gone = []
    const server = await fake({ request: (r, w) => {
      w.writeHead(200, { 'content-type': 'text/plain' })
      w.write('begun')
      r.socket.on('close', () => gone.push(performance.now()))
    } })
    const door = await Door.start('poll', { gates: [gate(server.port, keySet(key), { http: 'guarded' })] })
    const text = `GET /chat HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nAuthorization: Bearer ${key.token({ sub: 'poller' })}\r\n\r\n`
    const c = await raw(door)
    await c.write(text)
    await c.until(d => d.includes('begun'))
    assert.ok(c.data.includes('begun'), c.data.toString())
    await door.revoke({ issuer, subject: 'poller' })
    const since = performance.now()
    await until('the client’s end', () => c.ended, 1000)
    await until('the backend’s end', () => gone.length, 1000)
    assert.ok(gone[0] - since < 1000)
    await door.stop()
    await server.stop()
  })
})

describe('restarts', () => {
  let server
  before(async () => { server = await fake() })
  after(() => server.stop())

  test('SR-43 AT-72 revoke, kill -9, start again: still refused', async () => {
    const keys = keySet(key)
    const settings = { gates: [gate(server.port, keys)] }
    const state = scratch('state')
    const tokens = {
      subject: key.token({ sub: 'mallory' }), session: key.token({ sid: 'stolen' }), credential: key.token({ jti: 'leaked' }),
      old: key.token({ iat: now() - 500 }), nameless: key.token({ sub: 'ada', jti: undefined, iat: now() - 10 }),
    }
    const matches = [{ issuer, subject: 'mallory' }, { session: 'stolen' }, { credential: 'leaked' }, { issued_before: new Date((now() - 400) * 1000).toISOString() }]
    const first = await Door.start('restart', settings, { state })
    const c = await connect(first, { token: tokens.nameless }).opened
    const { credential } = (await first.admin('GET', '/connections')).connections[0]
    assert.match(credential, /^[0-9a-f]{64}$/, 'a token without jti is named by its hash')
    for (const match of [...matches, { credential }]) await first.revoke(match)
    first.proc.signal('SIGKILL') // at once after the answer
    await first.proc.exit
    assert.ok([1006, 4001].includes((await c.gone()).code))
    const second = await Door.start('restart', settings, { state })
    for (const [name, token] of Object.entries(tokens)) {
      assert.deepEqual(await verdict(second, { token, from: address() }), unauthorized('auth.revoked'), name)
    }
    const good = await connect(second, { token: key.token({ sub: 'ada' }) }).opened
    good.abort()
    await second.stop()
  })

  test('SR-91 state that cannot be read is no start', async () => {
    const keys = keySet(key)
    const d = await Door.start('state', { gates: [gate(server.port, keys)] })
    await d.stop()
    const { readdirSync, writeFileSync } = await import('node:fs')
    const db = readdirSync(d.state).find(f => /\.(db|bolt)$|state|sallyport/.test(f) && statSync(join(d.state, f)).isFile())
    assert.ok(db, readdirSync(d.state).join())
    writeFileSync(join(d.state, db), Buffer.alloc(8192, 0x5a))
    await assert.rejects(Door.start('state', { gates: [gate(server.port, keys)] }, { state: d.state }), /ended .*"code":[13]/)
  })
})

describe('SIGHUP', () => {
  let server, keys, second, door, settings, pair

  before(async () => {
    server = await fake()
    second = new Key('k2')
    keys = keySet(key, second)
    const dir = scratch('certs')
    pair = { cert: join(dir, 'a.pem'), key: join(dir, 'a.key') }
    install('door')
    settings = { limits: wide, tls: { files: [pair] }, gates: [gate(server.port, keys, { origins: [origin, other] })] }
    door = await Door.start('reload', settings)
  })
  after(async () => {
    await door?.stop()
    await server?.stop()
  })

  const install = name => {
    copyFileSync(join(certs, `${name}.key`), pair.key)
    copyFileSync(join(certs, `${name}.pem`), pair.cert)
    chmodSync(pair.key, 0o600)
  }
  const reloaded = async () => door.line('reloaded', l => l.msg === 'reloaded', { from: await door.reload() })

  test('with a broken file: the old configuration stays, and the error says where', async () => {
    const c = await connect(door, { token: key.token({ sub: 'stays' }) }).opened
    door.write(`listen: "127.0.0.1:0"\ntls:\n  files: [{cert: "${pair.cert}", key: "${pair.key}"}]\ngates:\n  - path: /chat\n    orgins: ["${origin}"]\n`)
    const from = await door.reload()
    const line = await door.line('the mistake', l => /reload failed/.test(l.msg) && /orgins/.test(l.err), { from })
    assert.equal(line.level, 'ERROR')
    assert.match(line.at, /door\.yaml:6:5$/)
    assert.match(line.err, /origins/, 'the nearest name')
    assert.equal(await c.echo('still here'), 'still here')
    const d = await connect(door, { token: key.token(), origin: other }).opened
    d.abort()
    c.abort()
    assert.match(await door.metrics(), /reload.* 0$/m)
  })

  test('with a removed origin: exactly its connections end', async () => {
    const stay = await many(door, 20, i => ({ token: key.token({ sub: `stay-${i}` }) }))
    const go = await many(door, 20, i => ({ token: key.token({ sub: `go-${i}` }), origin: other }))
    door.write({ ...settings, gates: [gate(server.port, keys)] })
    await reloaded()
    for (const c of go) assert.deepEqual(await c.gone(2000), unauthorized('policy.changed'))
    for (const c of stay) assert.equal(await c.echo('here'), 'here')
    assert.deepEqual(await verdict(door, { token: key.token(), origin: other, from: address() }), unauthorized('origin.untrusted'))
    for (const c of stay) c.abort()
  })

  test('SR-37 AT-65 with a removed key: exactly its connections end', async () => {
    const stay = await many(door, 20, i => ({ token: key.token({ sub: `stay-${i}` }) }))
    const go = await many(door, 20, i => ({ token: second.token({ sub: `go-${i}` }) }))
    keys.write(key)
    await reloaded()
    for (const c of go) assert.equal((await c.gone(2000)).code, 4001)
    for (const c of stay) assert.equal(await c.echo('here'), 'here')
    assert.deepEqual(await verdict(door, { token: second.token(), from: address() }), unauthorized('auth.invalid'))
    for (const c of stay) c.abort()
  })

  test('with a new certificate: new handshakes use it, old sockets live', async () => {
    const served = () => new Promise((done, fail) => {
      const s = tls.connect({ host: '127.0.0.1', port: door.port, ca: ca(), servername: host }, () => {
        done(s.getPeerCertificate().fingerprint256)
        s.destroy()
      }).on('error', fail)
    })
    const old = await served()
    const c = await connect(door, { token: key.token({ sub: 'old-certificate' }) }).opened
    install('second')
    await reloaded()
    assert.notEqual(await served(), old)
    assert.equal(await c.echo('old socket'), 'old socket')
    const d = await connect(door, { token: key.token() }).opened
    assert.equal(await d.echo('new socket'), 'new socket')
    for (const x of [c, d]) x.abort()
  })
})

describe('signals', () => {
  test('a second signal stops now', async () => {
    const server = await fake()
    const keys = keySet(key)
    const door = await Door.start('signals', { limits: wide, shutdown: { drain: '60s' }, gates: [gate(server.port, keys)] })
    const all = await many(door, 100, i => ({ token: key.token({ sub: `s${i}` }) }))
    await door.record()
    door.proc.signal('SIGTERM')
    await door.line('draining', l => l.msg === 'draining')
    await sleep(300)
    assert.ok(all.some(c => !c.end), 'the drain would take its time')
    const began = performance.now()
    door.proc.signal('SIGTERM')
    const exit = await within(5000, 'the exit', door.proc.exit)
    assert.ok(performance.now() - began < 2000)
    assert.deepEqual(exit, { code: 143, signal: null })
    await within(3000, 'all to be gone', Promise.all(all.map(c => c.closed)))
    await server.stop()
  })
})
