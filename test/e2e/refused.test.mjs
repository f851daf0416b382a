// What a backend must never see: refused handshakes, forged headers, requests
// hidden behind an upgrade.
import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import net from 'node:net'
import { after, before, describe, test } from 'node:test'
import { address, ask, closeIn, connect, exchange, frame, handshake, raw, verdict } from './lib/client.mjs'
import { Door, gate, host, origin, wide } from './lib/door.mjs'
import { fake } from './lib/fake.mjs'
import { secret, sleep } from './lib/env.mjs'
import { keep, Key, keySet } from './lib/token.mjs'

const key = new Key('k1')
const keys = keySet(key)
const cookie = secret('b7e23ec29af22b0b4e41da31e868d572')
let backend, forward, app, fresh, door

const forwardGate = more => ({ auth: { forward: { url: `http://127.0.0.1:${forward.port}/me` } }, ...more })

before(async () => {
  backend = await fake({ request: (r, w) => w.end('polled') })
  fresh = await fake() // nobody who is admitted connects to this one
  app = await fake({ request: (r, w) => w.end('page') })
  forward = await fake({ request: (r, w) => w.writeHead(r.headers.cookie?.includes(cookie) ? 200 : 401).end('{"sub":"ada"}') })
  door = await Door.start('refused', {
    limits: wide, hosts: [host], app: `http://127.0.0.1:${app.port}`,
    identity: { headers: { 'X-Forwarded-User': 'sub', 'X-Auth-Issuer': 'iss' } },
    gates: [
      gate(fresh.port, keys),
      gate(fresh.port, keys, { path: '/http', refuse: 'http' }),
      gate(fresh.port, keys, forwardGate({ path: '/fresh' })),
      gate(backend.port, keys, { path: '/open', http: 'guarded' }),
      gate(backend.port, keys, forwardGate({ path: '/asked', http: 'guarded' })),
    ],
  })
})
after(async () => {
  await door?.stop()
  for (const f of [backend, fresh, app, forward]) await f?.stop()
})

describe('a refused handshake', () => {
  const rows = [
    ['an untrusted origin', { origin: 'https://evil.example.net', token: () => key.token() }, 4001],
    ['no credential', {}, 4001],
    ['an expired token', { token: () => key.token({ exp: 1 }) }, 4001],
    ['a token of another audience', { token: () => key.token({ aud: 'mail' }) }, 4001],
    ['a wrong host', { headers: { host: 'evil.example.net' }, token: () => key.token() }, 421],
    ['refuse: http, an untrusted origin', { path: '/http', origin: 'https://evil.example.net', token: () => key.token() }, 403],
    ['refuse: http, no credential', { path: '/http' }, 401],
    ['forward-auth says no', { path: '/fresh', headers: { cookie: 'site=somebody' } }, 4001],
    ['forward-auth, an untrusted origin', { path: '/fresh', origin: 'null', headers: { cookie: `site=${cookie}` } }, 4001],
  ]
  for (const [name, { token, ...o }, want] of rows) {
    test(`SR-21 ${name}: the backend’s port sees no connection`, async () => {
      const v = await verdict(door, { ...o, token: token?.(), from: address() })
      assert.equal(v.code ?? v.status, want)
      await sleep(50)
      assert.deepEqual([fresh.sockets, fresh.handshakes.length, fresh.requests.length], [0, 0, 0])
    })
  }

  test('without any credential, forward-auth is not called', async () => {
    const seen = forward.sockets
    for (const headers of [{}, { cookie: '__Host-sallyport=x' }]) {
      const v = await verdict(door, { path: '/fresh', from: address(), headers })
      assert.equal(v.code, 4001)
    }
    assert.equal(forward.sockets, seen)
    assert.equal(fresh.sockets, 0)
  })
})

const claims = [
  'X-Forwarded-For: 203.0.113.66', 'x_forwarded_for: 203.0.113.66', 'X-FORWARDED-HOST: evil', 'X_Forwarded-Proto: http', 'Forwarded: for=203.0.113.66',
  'X-Real-IP: 203.0.113.66', 'X_Real_Ip: 203.0.113.66', 'X-Client-IP: 203.0.113.66', 'True-Client-IP: 203.0.113.66', 'CF-Connecting-IP: 203.0.113.66',
  'X-Forwarded-User: mallory', 'x-forwarded-user: mallory', 'X_Forwarded_User: mallory', 'X-Forwarded_User: mallory', 'X-AUTH-ISSUER: mallory', 'x_auth_issuer: mallory',
  'Sallyport-Identity: mallory', 'sallyport_identity: mallory', 'SALLYPORT-IDENTITY: mallory', 'Sallyport-Recheck: mallory', 'X-Original-URL: /mallory', 'X-Rewrite-URL: /mallory',
]
const ours = new Set(['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-uri', 'x-forwarded-user', 'x-auth-issuer', 'sallyport-identity', 'sallyport-recheck'])

/** What a request carries of the client's own claims; nothing, one hopes. */
function forged(r) {
  const pairs = r.rawHeaders.reduce((all, v, i) => (i % 2 ? all.at(-1).push(v) : all.push([v.toLowerCase()]), all), [])
  const names = pairs.map(([n]) => n.replaceAll('_', '-'))
  return [
    ...pairs.filter(([, v]) => /mallory|203\.0\.113\.66|evil/.test(v)).map(p => p.join(': ')),
    ...pairs.filter(([n]) => n.includes('_')).map(([n]) => `spelled ${n}`),
    ...names.filter((n, i) => ours.has(n) && names.indexOf(n) !== i).map(n => `doubled ${n}`),
  ]
}

describe('claims of the client', () => {
  const attempt = (path, lines, upgrade = true) => {
    const text = upgrade ? handshake({}, { path }) : `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\n\r\n`
    return exchange(door, text.replace(/\r\n\r\n$/, '\r\n' + lines.join('\r\n') + '\r\n\r\n'))
  }
  // The head has at most 64 lines.
  const authorization = () => `Authorization: Bearer ${key.token()}`
  const rows = [
    ['the backend’s handshake', () => backend.handshakes, '/open', () => [authorization()], 101, true],
    ['a guarded request', () => backend.requests, '/open', () => [authorization()], 200, false],
    ['the handshake after forward-auth', () => backend.handshakes, '/asked', () => [`Cookie: site=${cookie}`], 101, true],
    ['forward-auth itself', () => forward.requests, '/asked', () => [`Cookie: site=${cookie}; n=2`], 101, true],
    ['the app', () => app.requests, '/page', () => [], 200, false],
  ]
  for (const [name, list, path, credential, status, upgrade] of rows) {
    test(`SR-85 AT-82 in any spelling never reach ${name}`, async () => {
      const seen = list().length
      const got = await attempt(path, [...claims, ...credential()], upgrade)
      assert.equal(got.status, status, got.text.slice(0, 300))
      const r = list()[seen]
      assert.ok(r, 'it arrived')
      assert.deepEqual(forged(r), [])
      assert.equal(r.headers['x-forwarded-for'], '127.0.0.1')
      if (path === '/open') assert.equal(r.headers['x-forwarded-user'], 'ada')
    })
  }

  test('SR-85 AT-83 Connection does not strip the door’s own headers', async () => {
    const seen = backend.handshakes.length
    const text = handshake({ Connection: 'Upgrade, Sallyport-Identity, X-Forwarded-User, X-Forwarded-For', Authorization: `Bearer ${key.token()}` }, { path: '/open' })
    assert.equal((await exchange(door, text)).status, 101)
    const h = backend.handshakes[seen].headers
    assert.ok(h['sallyport-identity'])
    assert.deepEqual([h['x-forwarded-user'], h['x-forwarded-for']], ['ada', '127.0.0.1'])
  })

  test('SR-39 no token, ticket or cookie of the door goes to the backend', async () => {
    const seen = backend.handshakes.length
    const text = handshake({ Authorization: `Bearer ${key.token()}`, Cookie: 'own=1; __Host-sallyport=x; other=2', 'Sec-WebSocket-Protocol': 'sallyport, chat.v1' }, { path: '/open' })
    await exchange(door, text)
    const h = backend.handshakes[seen].headers
    assert.equal(h.authorization, undefined)
    assert.ok(!/__Host-sallyport/.test(h.cookie ?? ''), h.cookie)
    assert.equal(h['sec-websocket-protocol'], 'chat.v1')
    assert.equal(h['sec-websocket-extensions'], undefined)
  })

  test('SR-89 AT-84 a subject that ends a line is refused', async () => {
    const seen = backend.handshakes.length
    for (const sub of ['a\r\nX-Evil: 1', 'a\nb', 'a\0b']) {
      assert.equal((await verdict(door, { path: '/open', token: key.token({ sub }), from: address() })).code, 4001)
    }
    assert.equal(backend.handshakes.length, seen)
  })
})

describe('identity', () => {
  const parts = token => token.split('.').slice(0, 2).map(p => JSON.parse(Buffer.from(p, 'base64url')))
  const set = async path => JSON.parse((await ask(door, { path })).text).keys

  async function identity() {
    const seen = backend.handshakes.length
    const c = await connect(door, { path: '/open', token: key.token({ sub: 'carol', sid: 's-9', scope: 'read write' }) }).opened
    c.abort()
    return keep(backend.handshakes[seen].headers['sallyport-identity'])
  }

  test('is a JWT of its own kind, for this backend, 60 s, under the published key', async () => {
    const token = await identity()
    const [header, body] = parts(token)
    assert.equal(header.typ, 'sallyport-identity+jwt')
    assert.equal(body.aud, `ws://127.0.0.1:${backend.port}`)
    assert.equal(body.sub, 'carol')
    assert.ok(body.exp - body.iat <= 60)
    const keys = await set('/.well-known/sallyport-identity.jwks')
    const jwk = keys.find(k => k.kid === header.kid)
    const [h, b, s] = token.split('.')
    const ok = (t, k) => verify('sha256', Buffer.from(`${t[0]}.${t[1]}`), { key: createPublicKey({ key: k, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }, Buffer.from(t[2], 'base64url'))
    assert.ok(ok([h, b, s], jwk))
    const other = key.token().split('.')
    assert.ok(keys.every(k => !ok(other, k)), 'SR-34 AT-67 a token is no identity')
  })

  test('SR-34 AT-67 an identity is no token at the door', async () => {
    const token = await identity()
    assert.deepEqual(await verdict(door, { path: '/open', token, from: address() }), { code: 4001, reason: 'Unauthorized;auth.invalid' })
    const answer = await ask(door, { method: 'POST', path: '/sallyport/ticket', body: { gate: '/open' }, headers: { origin, authorization: `Bearer ${token}` } })
    assert.equal(answer.status, 401)
  })

  test('SR-34 AT-67 a token in the identity header is not passed on', async () => {
    const seen = backend.handshakes.length
    const text = handshake({ Authorization: `Bearer ${key.token()}`, 'Sallyport-Identity': key.token({ sub: 'mallory' }) }, { path: '/open' })
    assert.equal((await exchange(door, text)).status, 101)
    const [header, body] = parts(backend.handshakes[seen].headers['sallyport-identity'])
    assert.deepEqual([header.typ, body.sub], ['sallyport-identity+jwt', 'ada'])
  })
})

describe('a second request behind an upgrade', () => {
  const second = `GET /internal HTTP/1.1\r\nHost: ${host}\r\n\r\n`
  const nothing = f => {
    assert.ok(!f.requests.some(r => r.url.includes('internal')))
    assert.ok(!f.handshakes.some(r => r.url.includes('internal')))
  }

  for (const [name, path, headers] of [
    ['refused by close code', '/chat', { Origin: 'https://evil.example.net' }],
    ['refused by HTTP', '/http', { Origin: 'https://evil.example.net' }],
    ['malformed', '/chat', { 'Sec-WebSocket-Version': '8' }],
    ['good', '/open', {}],
  ]) {
    test(`SR-83 AT-87 that is ${name} never reaches backend or app`, async () => {
      const before = app.requests.length
      const c = await raw(door, { from: address() })
      await c.write(handshake({ Authorization: `Bearer ${key.token()}`, ...headers }, { path }) + second)
      await c.until(d => d.includes('\r\n\r\n'))
      await c.write(second).catch(() => {})
      await c.until(() => false, 400)
      c.finish()
      for (const f of [backend, fresh]) nothing(f)
      if (name !== 'malformed') assert.ok(!app.requests.slice(before).some(r => r.url.includes('internal')))
    })
  }

  test('SR-83 a frame before the 101 is refused and not passed on', async () => {
    const got = []
    const late = await fake({ before: (r, proceed) => setTimeout(proceed, 200), connection: ws => ws.on('message', m => got.push(String(m))) })
    const d = await Door.start('refused-early', { gates: [gate(late.port, keys)] })
    const c = await raw(d)
    await c.write(Buffer.concat([Buffer.from(handshake({ Authorization: `Bearer ${key.token()}` })), frame(1, 'early')]))
    await c.until(x => x.includes('\r\n\r\n'))
    await c.until(() => false, 400)
    assert.ok(!c.data.toString().startsWith('HTTP/1.1 101') || closeIn(c.data), c.data.toString('latin1').slice(0, 60))
    assert.deepEqual(got, [])
    c.finish()
    await d.stop()
    await late.stop()
  })
})

describe('a backend that does not answer with a correct 101', () => {
  const accept = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
  const rows = [
    ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['401', 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n'],
    ['426', 'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n'],
    ['a redirect', 'HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n'],
    ['101 with a wrong key', `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`],
    ['101 without Upgrade', `HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['nothing, it hangs up', ''],
  ]
  for (const [name, bytes] of rows) {
    test(`SR-82 AT-86 ${name} → 502, and what the client sends on stays at the door`, async () => {
      let received = ''
      const s = net.createServer(socket => {
        socket.on('error', () => {})
        socket.once('data', () => (bytes ? socket.write(bytes) : socket.destroy()))
        socket.on('data', d => (received += d.toString('latin1')))
      })
      await new Promise(done => s.listen(0, '127.0.0.1', done))
      const d = await Door.start('refused-backend', { gates: [gate(s.address().port, keys)] })
      const c = await raw(d)
      await c.write(handshake({ Authorization: `Bearer ${key.token()}` }))
      await c.until(x => x.includes('\r\n\r\n'))
      assert.match(c.data.toString(), /^HTTP\/1.1 502 /)
      await c.write('GET /internal HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n').catch(() => {})
      await c.until(() => false, 150)
      assert.ok(!received.includes('internal'))
      c.finish()
      await d.stop()
      await new Promise(done => s.close(done))
    })
  }
})
