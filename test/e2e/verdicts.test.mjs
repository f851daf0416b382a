// Who may come in: the gate of the design, asked by programs. Every verdict is
// asked for from an address of its own, since refusals are limited per address.
import assert from 'node:assert/strict'
import tls from 'node:tls'
import { after, before, describe, test } from 'node:test'
import { address, ask, closeIn, connect, exchange, handshake, raw, ticket, verdict } from './lib/client.mjs'
import { ca, Door, gate, host, origin, request, wide } from './lib/door.mjs'
import { secret, sleep, until, within } from './lib/env.mjs'
import { backend } from './lib/proc.mjs'
import { Key, keySet, now } from './lib/token.mjs'

const key = new Key('k1')
const keys = keySet(key)
const unauthorized = code => ({ code: 4001, reason: `Unauthorized;${code}` })
let server, door

before(async () => {
  server = await backend('ws')
  door = await Door.start('verdicts', {
    limits: wide,
    gates: [
      gate(server.port, keys),
      gate(server.port, keys, { path: '/http', refuse: 'http' }),
      gate(server.port, keys, { path: '/programs', without: 'bearer' }),
      gate(server.port, keys, { path: '/two', origins: [origin, 'https://two.example.com'] }),
      gate(server.port, keys, { path: '/wild', origins: ['https://*.example.com'] }),
    ],
  })
})
after(async () => {
  await door?.stop()
  await server?.stop()
})

describe('origins', () => {
  const lookAlikes = [
    'null', 'NULL', 'https://evil.example.net', 'https://app.example.com.evil.com', 'https://evilapp.example.com',
    'https://app.example.com@evil.com', 'https://evil.com/https://app.example.com', 'https://evil.com#app.example.com',
    'https://evil.com?app.example.com', 'https://app.example.com:8443', 'https://app.example.com:443', 'http://app.example.com',
    'ws://app.example.com', 'https://app.example.com.', 'https://app.example.com:', 'https://app.example.com:0443',
    'https://app.example.com/', 'https://APP.example.com', 'https://xn--pp-7kc.example.com', 'https://app_example.com',
    'https://app.example.com%00.evil.com', 'https://app.example.com, https://evil.com', 'file://', 'data:', 'about:blank',
    'chrome-extension://abcdefghijklmnopabcdefghijklmnop', 'https://sub.app.example.com', 'https://example.com', 'https://127.0.0.1',
    `https://${'a'.repeat(600)}.example.com`,
  ]
  for (const o of lookAlikes) {
    test(`SR-11 AT-01 ${o.slice(0, 60)} with a good token is refused`, async () => {
      assert.deepEqual(await verdict(door, { origin: o, token: key.token(), from: address() }), unauthorized('origin.untrusted'))
    })
  }

  test('SR-15 null is refused also behind a wildcard', async () => {
    for (const o of ['null', 'https://example.com', 'https://a.b.example.com', 'https://.example.com', 'https://example.com.evil.com']) {
      assert.deepEqual(await verdict(door, { path: '/wild', origin: o, token: key.token(), from: address() }), unauthorized('origin.untrusted'), o)
    }
    const c = await connect(door, { path: '/wild', origin: 'https://any.example.com', token: key.token() }).opened
    c.abort()
  })

  test('SR-14 a missing origin is refused, by a raw client', async () => {
    const c = await raw(door, { from: address() })
    await c.write(handshake({ Origin: undefined, Authorization: `Bearer ${key.token()}` }))
    await c.until(d => closeIn(d))
    assert.deepEqual(closeIn(c.data), unauthorized('origin.untrusted'))
    await c.until(() => false, 1000)
    assert.ok(c.ended, 'the socket is gone within a second')
  })

  test('SR-14 without: bearer admits a token alone, and nothing that a page could send', async () => {
    const at = { path: '/programs', origin: null }
    const c = await connect(door, { ...at, token: key.token() }).opened
    assert.equal(await c.echo('program'), 'program')
    c.abort()
    for (const headers of [{ cookie: 'a=b' }, { authorization: 'Basic YTpi' }]) {
      const token = headers.authorization ? undefined : key.token()
      assert.deepEqual(await verdict(door, { ...at, token, headers, from: address() }), unauthorized('origin.untrusted'))
    }
  })

  test('SR-17 a fetch mode that is no WebSocket’s is refused', async () => {
    for (const mode of ['cors', 'navigate', 'no-cors', '']) {
      assert.deepEqual(await verdict(door, { token: key.token(), headers: { 'sec-fetch-mode': mode }, from: address() }), unauthorized('origin.untrusted'), mode)
    }
    const c = await connect(door, { token: key.token(), headers: { 'sec-fetch-mode': 'websocket', 'sec-fetch-site': 'cross-site' } }).opened
    c.abort()
  })

  test('SR-13 AT-05 another host name is misdirected', async () => {
    for (const name of ['evil.example.net', '127.0.0.1.nip.example', 'door.example.com.evil.net', 'door.example.com.', 'xdoor.example.com']) {
      const { status } = await exchange(door, handshake({ Host: name, Authorization: `Bearer ${key.token()}` }))
      assert.equal(status, 421, name)
    }
  })
})

describe('handshakes that are malformed', () => {
  const good = () => ({ Authorization: `Bearer ${key.token()}` })
  const rows = [
    ['SR-16 two origins, both good', { Origin: [origin, origin] }, 400],
    ['SR-16 two origins, the good one first', { Origin: [origin, 'https://evil.example.net'] }, 400],
    ['SR-16 two hosts', { Host: [host, 'evil.example.net'] }, 400],
    ['SR-16 two keys', { 'Sec-WebSocket-Key': ['dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZQ=='] }, 400],
    ['SR-16 two versions', { 'Sec-WebSocket-Version': ['13', '13'] }, 400],
    ['SR-09 version 8', { 'Sec-WebSocket-Version': '8' }, 426],
    ['SR-09 no version', { 'Sec-WebSocket-Version': undefined }, [400, 426]],
    ['SR-09 a list of versions', { 'Sec-WebSocket-Version': '13, 8' }, [400, 426]],
    ['SR-80 AT-26 h2c beside websocket', { Upgrade: 'websocket, h2c' }, 400],
    ['SR-81 AT-23 a body', { 'Content-Length': '5' }, 400],
    ['SR-81 AT-24 a chunked body', { 'Transfer-Encoding': 'chunked' }, 400],
    ['SR-81 Expect', { Expect: '100-continue' }, 400],
    ['no key', { 'Sec-WebSocket-Key': undefined }, 400],
    ['a short key', { 'Sec-WebSocket-Key': 'c2hvcnQ=' }, 400],
    ['no host', { Host: undefined }, 400],
    ['AT-23 no connection upgrade', { Connection: 'keep-alive' }, [400, 426]],
    ['AT-21 65 lines', Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`X-${i}`, 'x'])), 431],
    ['AT-21 17 KiB of one line', { 'X-Long': 'x'.repeat(17 << 10) }, 431],
    ['SR-38 a ticket that is offered alone', { 'Sec-WebSocket-Protocol': 'sallyport.ticket.' + 'A'.repeat(43) }, 400],
  ]
  for (const [name, headers, want] of rows) {
    test(`${name} → HTTP ${want}`, async () => {
      const { status, text } = await exchange(door, handshake({ ...good(), ...headers }))
      assert.ok([want].flat().includes(status), text.slice(0, 200))
      if (status === 426 && name.startsWith('SR-09')) assert.match(text, /Sec-WebSocket-Version: 13\r\n/i)
    })
  }
  for (const [name, change] of [
    ['AT-24 a bare LF', t => t.replace('\r\n', '\n')],
    ['AT-24 a folded line', t => t.replace('Upgrade: websocket', 'Upgrade:\r\n websocket')],
    ['AT-24 a space before the colon', t => t.replace('Upgrade:', 'Upgrade :')],
    ['AT-23 an absolute target', t => t.replace('GET /chat', `GET https://${host}/chat`)],
    ['AT-23 HTTP/1.0', t => t.replace('HTTP/1.1', 'HTTP/1.0')],
    ['AT-23 POST', t => t.replace('GET', 'POST')],
    ['AT-84 NUL in a value', t => t.replace('websocket', 'web\0socket')],
  ]) {
    test(`${name} is refused and the connection closed`, async () => {
      const { status, text, ended } = await exchange(door, change(handshake(good())), { linger: 2000 })
      assert.ok([400, 405, 505].includes(status), text.slice(0, 200))
      if (!name.endsWith('POST')) assert.ok(ended, 'the connection is closed')
    })
  }
})

describe('credentials', () => {
  const foreign = new Key('k1')
  const rows = [
    ['no credential', {}, 'auth.missing'],
    ['SR-42 AT-68 an expired token', { token: () => key.token({ iat: now() - 700, exp: now() - 1 }) }, 'auth.expired'],
    ['SR-30 AT-60 an unsigned token', { token: () => key.unsigned() }, 'auth.invalid'],
    ['SR-30 AT-60 a token whose signature was cut off', { token: () => key.token().replace(/[^.]*$/, '') }, 'auth.invalid'],
    ['SR-33 AT-67 another audience', { token: () => key.token({ aud: 'mail' }) }, 'auth.invalid'],
    ['SR-33 no audience', { token: () => key.token({ aud: undefined }) }, 'auth.invalid'],
    ['SR-33 AT-67 another issuer', { token: () => key.token({ iss: 'https://idp.example.net' }) }, 'auth.invalid'],
    ['SR-30 AT-61 HS256 keyed with the public PEM', { token: () => key.confused('pem') }, 'auth.invalid'],
    ['SR-30 AT-61 HS256 keyed with the public DER', { token: () => key.confused('der') }, 'auth.invalid'],
    ['SR-31 AT-62 a key of its own in the header', { token: () => key.selfMade() }, 'auth.invalid'],
    ['SR-32 AT-63 the same kid, another key', { token: () => foreign.token() }, 'auth.invalid'],
    ['SR-32 AT-63 a kid that is a path', { token: () => key.token({}, { kid: '../../../dev/null' }) }, 'auth.invalid'],
    ['SR-34 AT-67 an ID token', { token: () => key.token({ at_hash: 'x' }) }, 'auth.invalid'],
    ['SR-34 another type', { token: () => key.token({}, { typ: 'sallyport-identity+jwt' }) }, 'auth.invalid'],
    ['SR-33 AT-68 no end', { token: () => key.token({ exp: undefined }) }, 'auth.invalid'],
    ['SR-33 AT-68 an end in 100 years', { token: () => key.token({ exp: now() + 3e9 }) }, 'auth.invalid'],
    ['SR-33 AT-68 valid from tomorrow on', { token: () => key.token({ nbf: now() + 86400 }) }, 'auth.invalid'],
    ['SR-33 no subject', { token: () => key.token({ sub: undefined }) }, 'auth.invalid'],
    ['SR-35 too long', { token: () => key.token({ x: 'x'.repeat(9000) }) }, 'auth.invalid'],
    ['not a token', { token: () => secret('not-a-token-5c1e') }, 'auth.invalid'],
    ['SR-39 two credentials', { token: () => key.token(), ticket: { ticket: 'sallyport.ticket.' + 'A'.repeat(43), protocol: 'sallyport' } }, 'auth.invalid'],
    ['AT-76 a ticket that nobody issued', { ticket: { ticket: 'sallyport.ticket.' + 'A'.repeat(43), protocol: 'sallyport' } }, 'auth.ticket-used'],
    ['SR-38 AT-69 a token in the URL', { path: () => `/chat?token=${key.token()}` }, 'auth.in-url'],
    ['SR-38 AT-69 a token in the URL beside a good one', { path: () => `/chat?access_token=${key.token()}`, token: () => key.token() }, 'auth.in-url'],
  ]
  for (const [name, options, code] of rows) {
    test(`SR-21 ${name} → 4001 ${code}`, async () => {
      const o = Object.fromEntries(Object.entries(options).map(([k, v]) => [k, typeof v === 'function' ? v() : v]))
      const at = o.path ? { ...o, path: o.path } : o
      assert.deepEqual(await verdict(door, { ...at, from: address() }), unauthorized(code))
    })
  }

  test('SR-21 refuse: http answers 401 and 403', async () => {
    const from = address()
    assert.deepEqual(await verdict(door, { path: '/http', from }), { status: 401, error: 'auth.missing', retry: undefined })
    assert.equal((await verdict(door, { path: '/http', from, token: key.token({ exp: 1 }) })).status, 401)
    assert.deepEqual(await verdict(door, { path: '/http', from, token: key.token(), origin: 'https://evil.example.net' }), { status: 403, error: 'origin.untrusted', retry: undefined })
    const c = await connect(door, { path: '/http', from, token: key.token() }).opened
    c.abort()
  })

  test('SR-45 the same subject of another issuer is somebody else', async () => {
    const c = await connect(door, { token: key.token({ sub: 'same' }) }).opened
    await door.revoke({ issuer: 'https://other.example.com', subject: 'same' })
    assert.equal(await c.echo('still here'), 'still here')
    c.abort()
  })
})

describe('tickets', () => {
  test('SR-40 AT-75 used at the same instant on 100 connections → exactly one gets in', async () => {
    const t = await ticket(door, { token: key.token({ sub: 'racer' }) })
    const sockets = await Promise.all(Array.from({ length: 100 }, () => raw(door, { from: address() })))
    const bytes = sockets.map(() => handshake({ 'Sec-WebSocket-Protocol': `${t.ticket}, ${t.protocol}` }))
    sockets.forEach((c, i) => c.socket.write(bytes[i]))
    await until('99 refusals', () => sockets.filter(c => closeIn(c.data)).length === 99)
    const inside = sockets.filter(c => !closeIn(c.data))
    assert.equal(inside.length, 1)
    for (const c of sockets.filter(c => closeIn(c.data))) assert.deepEqual(closeIn(c.data), unauthorized('auth.ticket-used'))
    assert.match(inside[0].data.toString(), /^HTTP\/1.1 101 /)
    assert.ok(!inside[0].data.includes('sallyport.ticket'), 'SR-39 the ticket is not echoed')
    assert.equal(await door.conns('?subject=racer'), 1)
    for (const c of sockets) c.finish()
  })

  test('SR-40 AT-76 a ticket is for one gate and one origin, and is burnt elsewhere', async () => {
    for (const wrong of [{ origin: 'https://two.example.com', path: '/two' }, { path: '/chat' }]) {
      const t = await ticket(door, { gate: '/two', token: key.token() })
      assert.deepEqual(await verdict(door, { ...wrong, ticket: t, from: address() }).then(v => v.code), 4001)
      assert.deepEqual(await verdict(door, { path: '/two', ticket: t, from: address() }), unauthorized('auth.ticket-used'))
    }
    const c = await connect(door, { path: '/two', ticket: await ticket(door, { gate: '/two', token: key.token() }) }).opened
    assert.equal(c.ws.protocol, 'sallyport')
    c.abort()
  })

  test('SR-42 the connection ends with the credential behind the ticket', async () => {
    const t = await ticket(door, { token: key.token({ exp: now() + 3 }) })
    const c = await connect(door, { ticket: t }).opened
    assert.deepEqual(await c.gone(5000), unauthorized('auth.expired'))
  })

  test('SR-43 a ticket does not outlive the revocation of its credential', async () => {
    const t = await ticket(door, { token: key.token({ jti: 'root-credential' }) })
    await door.revoke({ credential: 'root-credential' })
    assert.deepEqual(await verdict(door, { ticket: t, from: address() }), unauthorized('auth.revoked'))
  })

  test('AT-76 a ticket is useless after 10 s, and at most 5 of one session are outstanding', async () => {
    const token = key.token({ sid: 'one-session' })
    const first = await ticket(door, { token })
    assert.ok(first.expires_in >= 9 && first.expires_in <= 10)
    for (let i = 0; i < 4; i++) await ticket(door, { token })
    await assert.rejects(ticket(door, { token }), /429.*guard.crowded/)
    await sleep(10_100)
    assert.deepEqual(await verdict(door, { ticket: first, from: address() }), unauthorized('auth.ticket-used'))
  })
})

describe('what is logged', () => {
  test('SR-92 SR-94 AT-95 who came, from where, by what, and why they left; nobody writes into it', async () => {
    const sub = 'eve\u202ex'
    const from = address()
    const c = await connect(door, { token: key.token({ sub, jti: 'jti-logged' }), from }).opened
    await c.echo('x')
    c.ws.close(1000)
    await c.gone()
    const line = await door.line('ended', l => l.msg === 'ended' && l.credential === 'jti-logged')
    assert.deepEqual([line.code, line.issuer, line.remote, line.gate, line.origin, line.method], ['peer.closed', 'https://idp.example.com', from, '/chat', origin, 'jwt'])
    assert.match(line.user, /^eve\\u202ex$/)
    assert.doesNotMatch(door.proc.text, /[\u202a-\u202e\u2066-\u2069\u2028\u2029\u0000-\u0008\u000b-\u001f]/)
  })
})

describe('TLS', () => {
  test('SR-01 plaintext on the port of TLS is no WebSocket', async () => {
    const answer = await request({ host: '127.0.0.1', port: door.port, path: '/chat', headers: { host, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', origin } }).catch(error => ({ status: error.code }))
    assert.ok([426, 400, 'ECONNRESET', 'EPIPE'].includes(answer.status), String(answer.status))
  })

  const hello = options => within(5000, 'TLS', new Promise((done, fail) => {
    const s = tls.connect({ host: '127.0.0.1', port: door.port, ca: ca(), servername: host, ...options }, () => {
      done(s)
      s.destroy()
    }).on('error', fail)
  }))

  test('SR-03 TLS 1.2 and older are refused unless configured', async () => {
    assert.ok(await hello({}))
    await assert.rejects(hello({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), /protocol|alert/i)
  })

  test('SR-05 a name that is not served, and a foreign ALPN, are refused', async () => {
    await assert.rejects(hello({ servername: 'evil.example.net' }), /alert|name/i)
    await assert.rejects(hello({ ALPNProtocols: ['ftp'] }), /alert|no application protocol/i)
  })
})

describe('endpoints', () => {
  const post = (headers, more = {}) => ask(door, { method: 'POST', path: '/sallyport/ticket', body: { gate: '/chat' }, headers, ...more })
  const authorization = () => `Bearer ${key.token()}`

  test('SR-20 AT-06 no ticket for what another site’s page can send', async () => {
    const evil = 'https://evil.example.net'
    const rows = [
      [403, { origin: evil, authorization: authorization() }],
      [403, { origin: 'null', authorization: authorization() }],
      [403, { authorization: authorization(), cookie: 'a=b' }],
      [403, { cookie: 'a=b' }],
      [415, { origin, authorization: authorization(), 'content-type': 'text/plain' }],
      [415, { origin, authorization: authorization(), 'content-type': 'application/x-www-form-urlencoded' }],
      [401, { origin }],
    ]
    for (const [status, headers] of rows) {
      const answer = await post(headers)
      assert.equal(answer.status, status, JSON.stringify({ ...headers, authorization: undefined }) + answer.text)
      assert.ok(!answer.text.includes('sallyport.ticket'))
      if (headers.origin === evil) assert.equal(answer.headers['access-control-allow-origin'], undefined, 'SR-29 AT-07')
    }
    for (const path of ['ticket', 'renew', 'logout']) {
      assert.equal((await ask(door, { path: `/sallyport/${path}`, headers: { authorization: authorization() } })).status, 405, path)
    }
  })

  test('SR-28 SR-08 SR-27 answers are not stored, and carry the strict headers, refusals too', async () => {
    for (const answer of [
      await post({ origin, authorization: authorization() }), await post({ origin }), await ask(door, { path: '/nothing' }),
      await ask(door, { path: '/chat' }), await ask(door, { path: '/chat', headers: { host: 'evil.example.net' } }),
    ]) {
      const h = answer.headers
      assert.match(h['cache-control'], /no-store/)
      assert.equal(h['strict-transport-security'], 'max-age=31536000; includeSubDomains; preload')
      assert.match(h['content-security-policy'], /^default-src 'self'/)
      assert.equal(h['x-frame-options'], 'DENY')
      assert.equal(h['x-content-type-options'], 'nosniff')
      assert.equal(h['referrer-policy'], 'no-referrer')
      assert.equal(h.server, undefined, 'SR-96')
    }
  })

  test('SR-93 refusals say nothing of the cause', async () => {
    const answer = await ask(door, { method: 'POST', path: '/sallyport/ticket', body: { gate: '/chat' }, headers: { origin, authorization: `Bearer ${key.token({ aud: 'mail' })}` } })
    assert.deepEqual(JSON.parse(answer.text), { error: 'auth.invalid', message: 'The credential is not valid here.' })
  })
})
