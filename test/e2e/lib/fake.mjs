// Backends that do what a test wants, in the test's own process.
import http from 'node:http'
import { WebSocketServer } from 'ws'

/**
 * A WebSocket server. connection(ws, request) is called for each; without it
 * messages are echoed. before(request, proceed), if given, decides when (and
 * whether) the 101 is sent. sockets counts TCP connections, requests holds the
 * ordinary ones, handshakes the others.
 */
export async function fake({ connection, before, request, ...options } = {}) {
  const f = { sockets: 0, requests: [], handshakes: [], conns: new Set() }
  const server = http.createServer((r, w) => {
    f.requests.push(r)
    request ? request(r, w) : w.writeHead(404).end()
  })
  const ws = new WebSocketServer({ noServer: true, maxPayload: 64 << 20, perMessageDeflate: false, ...options })
  server.on('connection', socket => {
    f.sockets++
    f.conns.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => f.conns.delete(socket))
  })
  server.on('upgrade', (r, socket, head) => {
    f.handshakes.push(r)
    const proceed = () => ws.handleUpgrade(r, socket, head, s => {
      s.closed = new Promise(done => s.on('close', (code, reason) => {
        s.closedAt = performance.now()
        done({ code, reason: String(reason) })
      }))
      s.on('error', () => {})
      connection ? connection(s, r) : s.on('message', (data, binary) => s.send(data, { binary }))
    })
    before ? before(r, proceed, socket) : proceed()
  })
  server.keepAliveTimeout = 60_000
  await new Promise(done => server.listen(0, '127.0.0.1', 1024, done))
  f.port = server.address().port
  f.clients = ws.clients
  f.stop = () => {
    for (const c of f.conns) c.destroy()
    return new Promise(done => server.close(done))
  }
  return f
}
