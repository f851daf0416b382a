// The door in front of Socket.IO, behind nginx, and in front of a whole site.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { io } from 'socket.io-client'
import { browse, pages, shot } from './lib/browser.mjs'
import { ask, connect, exchange, handshake } from './lib/client.mjs'
import { ca, Door, gate, host, origin, request, wide } from './lib/door.mjs'
import { echoes } from './lib/echo.mjs'
import { asRoot, certs, nginx, out, scratch, secret, until, within } from './lib/env.mjs'
import { backend, Proc } from './lib/proc.mjs'
import { Key, keySet } from './lib/token.mjs'

const key = new Key('k1')
const keys = keySet(key)

describe('a Socket.IO server with client defaults, http: guarded', () => {
  let server, door
  const client = (token, o = origin) => io(`https://127.0.0.1:${door.port}`, {
    ca: ca(), servername: host, reconnection: false, timeout: 5000, forceNew: true,
    extraHeaders: { host, origin: o, ...(token && { authorization: `Bearer ${token}` }) },
  })
  const failure = socket => within(10_000, 'connect_error', new Promise(done => socket.on('connect_error', done))).finally(() => socket.disconnect())

  before(async () => {
    server = await backend('socket.io')
    door = await Door.start('socketio', { limits: wide, gates: [gate(server.port, keys, { path: '/socket.io/', http: 'guarded', to: `ws://127.0.0.1:${server.port}` })] })
  })
  after(async () => {
    await door?.stop()
    await server?.stop()
  })

  test('polls first, upgrades, and talks', async () => {
    const socket = client(key.token())
    await within(10_000, 'connect', new Promise((done, fail) => socket.on('connect', done).on('connect_error', fail)))
    await within(10_000, 'upgrade', new Promise(done => {
      socket.io.engine.transport.name === 'websocket' ? done() : socket.io.engine.once('upgrade', done)
    }))
    assert.equal((await server.event('open')).transport, 'polling')
    assert.equal((await server.event('upgrade')).transport, 'websocket')
    const text = secret('a payload through Socket.IO 7d1f')
    assert.equal(await socket.timeout(5000).emitWithAck('echo', text), text)
    const binary = await socket.timeout(5000).emitWithAck('echo', Buffer.alloc(20_000, 7))
    assert.equal(binary.length, 20_000)
    socket.disconnect()
    assert.match((await server.event('closed')).reason, /client namespace disconnect|transport close/)
  })

  for (const [name, token, o, status] of [
    ['SR-11 AT-01 a foreign origin', () => key.token(), 'https://evil.example.net', 403],
    ['SR-15 AT-04 origin null', () => key.token(), 'null', 403],
    ['no credential', () => undefined, origin, 401],
    ['SR-42 an expired credential', () => key.token({ exp: 1 }), origin, 401],
  ]) {
    test(`polling is refused: ${name}`, async () => {
      const seen = server.lines.length
      const error = await failure(client(token(), o))
      assert.equal(error.context?.status ?? error.description, status)
      assert.deepEqual(server.lines.slice(seen), [], 'the backend hears nothing')
    })
  }

  test('SR-29 preflights are answered by the door, for a trusted origin only', async () => {
    const preflight = o => ask(door, { method: 'OPTIONS', path: '/socket.io/?EIO=4&transport=polling', headers: { origin: o, 'access-control-request-method': 'POST' } })
    const seen = server.lines.length
    const good = await preflight(origin)
    assert.equal(good.status, 204)
    assert.equal(good.headers['access-control-allow-origin'], origin)
    const bad = await preflight('https://evil.example.net')
    assert.equal(bad.status, 403)
    assert.equal(bad.headers['access-control-allow-origin'], undefined)
    assert.deepEqual(server.lines.slice(seen), [])
  })

  test('SR-14 a request without Origin passes with Authorization and no Cookie, else not', async () => {
    const poll = headers => ask(door, { path: '/socket.io/?EIO=4&transport=polling', headers })
    const authorization = `Bearer ${key.token()}`
    assert.equal((await poll({ authorization })).status, 200)
    assert.equal((await poll({ authorization, cookie: 'a=b' })).status, 403)
    assert.equal((await poll({ cookie: 'a=b' })).status, 403)
    assert.equal((await poll({ authorization, cookie: 'a=b', 'sec-fetch-site': 'same-origin' })).status, 200)
    assert.equal((await poll({ authorization, cookie: 'a=b', 'sec-fetch-site': 'same-site' })).status, 403)
  })
})

describe('behind nginx, terminated_by, with upstream keepalive', () => {
  let server, door, tap, proxy
  const viaNginx = { token: key.token() }

  // tap counts the connections that nginx makes to the door.
  async function tapped(port) {
    const t = { connections: 0 }
    const l = net.createServer(a => {
      t.connections++
      const b = net.connect(port, '127.0.0.1')
      for (const [x, y] of [[a, b], [b, a]]) x.pipe(y).on('error', () => {}), x.on('error', () => y.destroy())
    })
    await new Promise(done => l.listen(0, '127.0.0.1', done))
    return Object.assign(t, { port: l.address().port, stop: () => l.close() })
  }

  async function startNginx(upstream) {
    const dir = join(out, 'nginx')
    mkdirSync(join(dir, 'tmp'), { recursive: true })
    const probe = net.createServer().listen(0, '127.0.0.1')
    await new Promise(done => probe.on('listening', done))
    const { port } = probe.address()
    await new Promise(done => probe.close(done))
    writeFileSync(join(dir, 'nginx.conf'), `
daemon off; master_process on; worker_processes 1; error_log stderr info; pid ${dir}/nginx.pid;
${asRoot ? 'user root;' : ''}
events { worker_connections 1024; }
http {
  access_log ${out}/logs/nginx-access.log;
  ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(t => `${t}_temp_path ${dir}/tmp/${t};`).join('\n  ')}
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream door { server 127.0.0.1:${upstream}; keepalive 1; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${certs}/door.pem;
    ssl_certificate_key ${certs}/door.key;
    location / {
      proxy_pass http://door;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto https;
      proxy_read_timeout 60s;
    }
  }
}
`)
    const p = new Proc('nginx', nginx, ['-p', dir, '-c', join(dir, 'nginx.conf')])
    p.port = port
    await until('nginx to listen', () => {
      if (p.exited) throw new Error(`nginx: ${p.text}`)
      return new Promise(done => {
        const s = net.connect(port, '127.0.0.1', () => { s.destroy(); done(true) }).on('error', () => done(false))
      })
    })
    return p
  }

  before(async () => {
    server = await backend('ws')
    door = await Door.start('nginx', {
      tls: { terminated_by: ['127.0.0.1/32'] }, hosts: [host], limits: wide,
      gates: [gate(server.port, keys, { guard: { max_message: '4MiB', messages: '5000/s', bytes: '256MiB/s' } })],
    })
    tap = await tapped(door.port)
    proxy = await startNginx(tap.port)
    viaNginx.port = proxy.port
  })
  after(async () => {
    await proxy?.stop('SIGTERM')
    await door?.stop()
    tap?.stop()
    await server?.stop()
  })

  const get = path => ask({ port: proxy.port }, { path })

  test('the upgrade comes on a connection that was used before', async () => {
    tap.connections = 0
    for (let i = 0; i < 3; i++) assert.equal((await get('/chat')).status, 426)
    assert.equal(tap.connections, 1, 'nginx keeps the connection alive')
    const c = await connect(door, viaNginx).opened
    assert.equal(tap.connections, 1, 'and sends the upgrade on it')
    assert.equal(await c.echo('through both'), 'through both')
    const data = Buffer.alloc(1 << 20, 'é')
    assert.ok((await c.echo(data)).equals(data))
    c.ws.close(4321, 'bye')
    assert.equal((await c.gone()).code, 4321)
  })

  test('a refusal by close code reaches the client', async () => {
    const c = connect(door, { port: proxy.port, origin: 'https://evil.example.net' })
    assert.deepEqual(await c.gone(), { code: 4001, reason: 'Unauthorized;origin.untrusted' })
  })

  test('AT-80 the client’s address is what nginx says, not what the client says', async () => {
    const c = await connect(door, { ...viaNginx, token: key.token({ sub: 'far' }), from: '127.0.0.9', headers: { 'x-forwarded-for': '203.0.113.66' } }).opened
    const line = await door.line('admitted', l => l.msg === 'admitted' && l.user === 'far')
    assert.equal(line.remote, '127.0.0.9')
    c.abort()
  })

  test('SR-01 plaintext from the proxy without X-Forwarded-Proto: https, or from elsewhere, is refused', async () => {
    const plain = (headers, from) => request({ host: '127.0.0.1', port: door.port, path: '/chat', localAddress: from, headers: { host, ...headers } })
    assert.equal((await plain({ 'x-forwarded-proto': 'https' })).status, 426) // served: no upgrade
    assert.match((await plain({ 'x-forwarded-proto': 'https' })).text, /http.upgrade/)
    for (const proto of [undefined, 'http', 'https, http', 'wss']) {
      const answer = await plain(proto && { 'x-forwarded-proto': proto })
      assert.equal(answer.status, 426, proto)
      assert.match(answer.text, /does not say that the client came by TLS/, proto)
    }
    const stranger = await plain({ 'x-forwarded-proto': 'https' }, '127.0.0.2').catch(error => ({ status: error.code }))
    assert.notEqual(stranger.text, (await plain({ 'x-forwarded-proto': 'https' })).text)
    assert.ok([426, 'ECONNRESET', 'EPIPE'].includes(stranger.status), stranger.status)
  })

  echoes(() => ({
    server, door,
    open: options => connect(door, { ...viaNginx, ...options }).opened,
    identity: i => ({ token: key.token({ sub: `user-${i}` }) }),
  }))
})

describe('app: with an echo server beside the site', () => {
  let site, server, door
  before(async () => {
    site = await backend('site')
    server = await backend('ws')
    door = await Door.start('app', {
      app: `http://127.0.0.1:${site.port}`, limits: wide,
      gates: [gate(server.port, keys, { guard: { max_message: '4MiB', messages: '5000/s', bytes: '256MiB/s' } })],
    })
  })
  after(async () => {
    await door?.stop()
    await server?.stop()
    await site?.stop()
  })
  echoes(() => ({
    server, door,
    open: options => connect(door, { token: key.token(), ...options }).opened,
    identity: i => ({ token: key.token({ sub: `user-${i}` }) }),
  }))
})

describe('app: in front of a whole small site', () => {
  let site, door, browser, elsewhere
  const own = `https://${host}`

  before(async () => {
    site = await backend('site')
    const behind = `127.0.0.1:${site.port}`
    const shared = { origins: [own], auth: { forward: { url: `http://${behind}/me`, recheck: '1s' } } }
    door = await Door.start('site', {
      app: `http://${behind}`, hosts: [host], limits: wide,
      gates: [
        { path: '/ws', to: `ws://${behind}/ws`, ...shared },
        { path: '/socket.io/', to: `ws://${behind}`, http: 'guarded', ...shared },
      ],
    })
    elsewhere = await pages()
    browser = await browse({ [host]: door.port, 'evil.example.net': elsewhere.port })
  })
  after(async () => {
    await browser?.close()
    await door?.stop()
    await elsewhere?.stop()
    await site?.stop()
  })

  test('page, login, WebSocket, Socket.IO and logout share one origin', async () => {
    const context = await browser.fresh()
    const page = await context.newPage()
    const errors = []
    page.on('pageerror', e => errors.push(e.message))
    await page.goto(own + '/')
    assert.equal(await page.title(), 'A small site')
    assert.equal(await page.evaluate(() => open1()), 'open', 'a refusal completes the upgrade')
    assert.deepEqual(await page.evaluate(() => ended), { code: 4001, reason: 'Unauthorized;auth.missing' })
    assert.equal(await page.evaluate(() => login('ada')), 204)
    for (const c of await context.cookies()) secret(c.value)
    assert.equal(await page.evaluate(() => open1()), 'open')
    assert.equal(await page.evaluate(() => echo('hello, site')), 'hello, site')
    assert.deepEqual(await page.evaluate(() => socketio('hello, io')), { transports: ['polling', 'websocket'], answer: 'hello, io' })
    await shot(page, 'site')
    assert.equal(await page.evaluate(() => logout()), 204)
    const end = await within(6000, 'the end at the next re-check', page.evaluate(() => ended))
    assert.equal(end.code, 4001)
    assert.match(end.reason, /^Unauthorized;auth\./)
    assert.deepEqual(errors, [])
    await context.close()
  })

  test('the page of another site gets nothing of the site’s polling or socket', async () => {
    const context = await browser.fresh()
    const page = await context.newPage()
    await page.goto('https://evil.example.net/')
    const seen = site.lines.length
    const got = await page.evaluate(async own => {
      const poll = await fetch(`${own}/socket.io/?EIO=4&transport=polling`, { credentials: 'include' }).then(r => r.status, e => e.name)
      const blind = await fetch(`${own}/socket.io/?EIO=4&transport=polling`, { credentials: 'include', mode: 'no-cors' }).then(r => r.type, e => e.name)
      return { poll, blind }
    }, own)
    assert.equal(got.poll, 'TypeError', 'it may not read the answer')
    assert.deepEqual(site.lines.slice(seen), [], 'and the site was not asked')
    await context.close()
  })

  test('ordinary requests pass with the door’s headers, Upgrade stripped', async () => {
    const answer = await ask(door, { path: '/site.js', headers: { 'x-forwarded-for': '203.0.113.66' } })
    assert.equal(answer.status, 200)
    assert.match(answer.headers['strict-transport-security'], /max-age=31536000/)
    assert.equal(answer.headers['x-frame-options'], 'DENY')
    assert.match(answer.headers['content-security-policy'], /default-src 'self'/)
    const framed = await ask(door, { path: '/framed' })
    assert.equal(framed.headers['content-security-policy'], "frame-ancestors 'self'")
    assert.equal(framed.headers['x-frame-options'], 'SAMEORIGIN')
    const line = site.lines.findLast(l => l.path === '/site.js')
    assert.equal(line.for, '127.0.0.1')
    const seen = site.lines.length
    const upgrade = await exchange(door, handshake({}, { path: '/somewhere' }))
    assert.equal(upgrade.status, 404, 'the site answered it as an ordinary request')
    const arrived = site.lines.slice(seen).find(l => l.path === '/somewhere')
    assert.equal(arrived?.event, 'request')
    assert.ok(!arrived.headers.includes('upgrade'))
  })

  test('AT-89 SR-87 paths that become a gate or endpoint for a lenient reader are 400', async () => {
    const seen = site.lines.length
    for (const path of ['/%77s', '/ws%2f', '/./ws', '//ws', '/x/../ws', '/ws;a=b', '/WS', '/ws/', '/%2577s', '/sallyport%2fticket', '/SALLYPORT/ticket', '/socket.io%2f', '/x/..;/ws', '/x\\..\\ws']) {
      const answer = await exchange(door, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
      assert.equal(answer.status, 400, path)
    }
    assert.deepEqual(site.lines.slice(seen), [])
  })

  test('SR-71 a body passes up to its bound of 1 MiB', async () => {
    const upload = n => new Promise((done, fail) => {
      const r = https.request({ host: '127.0.0.1', port: door.port, path: '/upload', method: 'POST', ca: ca(), servername: host, headers: { host, origin: own, 'content-length': n } }, a => {
        let text = ''
        a.on('data', d => (text += d)).on('end', () => done({ status: a.statusCode, text }))
      }).on('error', fail)
      r.end(Buffer.alloc(n))
    })
    assert.deepEqual(await upload(1 << 20), { status: 200, text: String(1 << 20) })
    assert.equal((await upload((1 << 20) + 1)).status, 413)
  })
})
