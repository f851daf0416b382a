// A small whole site that knows nothing of the door: pages, a login with its own
// cookie, an endpoint that says who is signed in, a WebSocket and Socket.IO, all
// on one port. It prints one JSON object a line about every request.
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { Server } from 'socket.io'
import { WebSocketServer } from 'ws'

const tell = what => process.stdout.write(JSON.stringify(what) + '\n')
const sessions = new Map()
const sessionOf = r => /(?:^|; )site=([0-9a-f]+)/.exec(r.headers.cookie ?? '')?.[1]

const page = `<!doctype html><title>A small site</title><h1>A small site</h1><p id="who">nobody</p>
<script src="/site.js"></script><link rel="icon" href="data:,">`
const script = `
const load = () => new Promise((done, fail) => {
  const s = document.createElement('script')
  Object.assign(s, { src: '/socket.io/socket.io.js', onload: done, onerror: () => fail(new Error('no client')) })
  document.head.append(s)
})
window.login = async who => (await fetch('/login?as=' + who, { method: 'POST' })).status
window.logout = async () => (await fetch('/logout', { method: 'POST' })).status
window.open1 = () => new Promise(done => {
  const ws = window.ws = new WebSocket('wss://' + location.host + '/ws')
  window.ended = new Promise(end => { ws.onclose = e => { end({ code: e.code, reason: e.reason }); done('closed ' + e.code) } })
  ws.onopen = () => done('open')
})
window.echo = text => new Promise(done => { ws.onmessage = e => done(e.data); ws.send(text) })
window.socketio = async text => {
  if (!window.io) await load()
  const socket = io()
  const transports = []
  await new Promise((done, fail) => {
    transports.push(socket.io.engine.transport.name) // before the upgrade, which may overtake the answer to connect
    socket.on('connect', done)
    socket.on('connect_error', e => fail(new Error(e.message)))
  })
  if (socket.io.engine.transport.name !== 'websocket') await new Promise(done => socket.io.engine.once('upgrade', done))
  transports.push(socket.io.engine.transport.name)
  const answer = await socket.timeout(5000).emitWithAck('echo', text)
  socket.disconnect()
  return { transports, answer }
}`

const http = createServer((r, w) => {
  const { pathname: path, searchParams: query } = new URL(r.url, 'http://site')
  const who = sessions.get(sessionOf(r))
  tell({ event: 'request', method: r.method, path, headers: Object.keys(r.headers), for: r.headers['x-forwarded-for'] ?? '', host: r.headers.host })
  const answer = (status, body, headers = {}) => w.writeHead(status, headers).end(body)
  if (path === '/') answer(200, page, { 'content-type': 'text/html; charset=utf-8' })
  else if (path === '/site.js') answer(200, script, { 'content-type': 'text/javascript' })
  else if (path === '/me') who ? answer(200, JSON.stringify({ sub: who, session: sessionOf(r).slice(0, 8) })) : answer(401, '')
  else if (path === '/login' && r.method === 'POST') {
    const id = randomBytes(16).toString('hex')
    sessions.set(id, query.get('as'))
    answer(204, undefined, { 'set-cookie': `site=${id}; Path=/; Secure; HttpOnly; SameSite=Lax` })
  } else if (path === '/logout' && r.method === 'POST') {
    sessions.delete(sessionOf(r))
    answer(204, undefined, { 'set-cookie': 'site=; Path=/; Max-Age=0' })
  } else if (path === '/upload' && r.method === 'POST') {
    let n = 0
    r.on('data', d => (n += d.length)).on('end', () => answer(200, String(n)))
  } else if (path === '/framed') answer(200, 'framed', { 'content-security-policy': "frame-ancestors 'self'", 'x-frame-options': 'SAMEORIGIN' })
  else answer(404, 'not here')
})

const sockets = new WebSocketServer({ noServer: true })
http.on('upgrade', (r, socket, head) => {
  tell({ event: 'upgrade', path: r.url.split('?')[0], headers: Object.keys(r.headers) })
  if (r.url.startsWith('/ws')) {
    sockets.handleUpgrade(r, socket, head, ws => ws.on('message', (data, binary) => ws.send(data, { binary })))
  }
})
new Server(http).on('connection', socket => {
  tell({ event: 'open', transport: socket.conn.transport.name })
  socket.on('echo', (data, done) => done(data))
})
http.listen(0, '127.0.0.1', () => tell({ event: 'listening', port: http.address().port }))
