// A scripted server, byte by byte, so that nothing is done that a test does not ask for. The path says what to do:
//
//   /echo                    echoes messages; the text "report" is answered with what was seen of this connection
//   /close?code=&reason=     closes after the handshake, without code if there is none
//   /closing?code=&reason=   sends three messages and closes
//   /http?status=            answers the handshake with a status
//   /late?ms=                answers the handshake later
//   /never                   does not answer
//   /drop                    opens and resets the connection
//   /accept                  answers with a wrong Sec-WebSocket-Accept
//   /bytes?hex=&each=        sends these bytes after the handshake, each by each if asked
//   /select?p=               selects p, or nothing if it is empty, whatever was offered
//   /seen?id=                HTTP: what was seen of the connection with that id
//
// A door's ticket endpoint is at POST /sallyport/ticket; ?do= makes it misbehave.
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'

/** What is known of a connection. */
export interface Seen {
  /** The subprotocols offered. */
  offered: string[]
  authorization: string | null
  /** Code and text of the client's close frame; 1005 if it had none. */
  close?: { code: number; reason: string }
  /** Payloads of pongs. */
  pongs: string[]
}

/** Starts the server on a free port of loopback. pages answers what is no path above. */
export async function serve(pages?: (path: string) => string | undefined): Promise<{ url: string; stop: () => Promise<void> }> {
  const seen = new Map<string, Seen>()
  const server = createServer((request, response) => answer(request, response, seen, pages))
  const sockets = new Set<Duplex>()
  server.on('upgrade', (request, socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    upgrade(request, socket, seen)
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.closeAllConnections()
      return new Promise(done => server.close(() => done()))
    },
  }
}

let tickets = 0

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  seen: Map<string, Seen>,
  pages?: (path: string) => string | undefined,
) {
  const url = new URL(request.url!, 'http://server')
  const json = (status: number, body: unknown, headers = {}) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  if (url.pathname === '/seen') return json(200, seen.get(url.searchParams.get('id')!) ?? null)
  if (url.pathname !== '/sallyport/ticket' || request.method !== 'POST') {
    const page = pages?.(url.pathname)
    response.writeHead(page === undefined ? 404 : 200, { 'content-type': url.pathname.endsWith('.js') ? 'text/javascript' : 'text/html' })
    return response.end(page)
  }
  let body = ''
  for await (const part of request) body += part
  const { gate } = JSON.parse(body)
  const ticket = `sallyport.ticket.${Buffer.from(`${++tickets} ${gate} ${request.headers.authorization ?? ''}`).toString('base64url')}`
  const good = { ticket, protocol: 'sallyport', expires_in: 10 }
  switch (url.searchParams.get('do')) {
    case 'refuse':
      return json(401, { error: 'auth.missing', message: 'A credential is required and none was presented.' })
    case 'full':
      return json(503, { error: 'guard.full', message: '' }, { 'retry-after': '7' })
    case 'redirect':
      return response.writeHead(307, { location: '/sallyport/ticket' }).end()
    case 'garbage':
      return response.end('<!doctype html>')
    case 'strange':
      return json(200, { ...good, ticket: 'sallyport.ticket.with space' })
    case 'huge':
      return json(200, { ...good, padding: 'x'.repeat(100_000) })
    case 'never':
      return
    case 'late':
      return setTimeout(() => json(200, good), 300)
    default:
      return json(200, good)
  }
}

function upgrade(request: IncomingMessage, socket: Duplex, all: Map<string, Seen>): void {
  const url = new URL(request.url!, 'http://server')
  const parameter = (name: string) => url.searchParams.get(name) ?? ''
  const offered = (request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map(p => p.trim())
    .filter(Boolean)
  const seen: Seen = { offered, authorization: request.headers.authorization ?? null, pongs: [] }
  all.set(parameter('id'), seen)

  const key = request.headers['sec-websocket-key'] + (url.pathname === '/accept' ? 'wrong' : '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
  const selected =
    url.pathname === '/select' ? parameter('p').replace('TICKET', offered[0] ?? '') : offered.find(p => !p.startsWith('sallyport.ticket.'))
  const accept = () =>
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${createHash('sha1').update(key).digest('base64')}\r\n${
        selected ? `Sec-WebSocket-Protocol: ${selected}\r\n` : ''
      }\r\n`,
    )
  const close = () => {
    const text = Buffer.from(parameter('reason'))
    const code = Number(parameter('code'))
    socket.write(frame(8, code ? Buffer.concat([Buffer.of(code >> 8, code & 255), text]) : Buffer.alloc(0)))
  }
  switch (url.pathname) {
    case '/http':
      socket.end(`HTTP/1.1 ${parameter('status')} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
      return
    case '/never':
      return
    case '/late':
      setTimeout(accept, Number(parameter('ms')))
      break
    default:
      accept()
  }
  switch (url.pathname) {
    case '/close':
      close()
      break
    case '/closing':
      for (const n of ['one', 'two', 'three']) socket.write(frame(1, Buffer.from(n)))
      close()
      break
    case '/drop':
      setTimeout(() => socket.destroy(), 50)
      return
    case '/bytes':
      send(socket, Buffer.from(parameter('hex'), 'hex'), Number(parameter('each')))
  }
  read(socket, (opcode, payload) => {
    if (opcode === 8) {
      seen.close = payload.length ? { code: payload.readUInt16BE(), reason: payload.toString('utf8', 2) } : { code: 1005, reason: '' }
      // The closing handshake is answered once; a server that began it only hangs up.
      socket.end(url.pathname.startsWith('/clos') ? undefined : frame(8, payload))
    } else if (opcode === 9) socket.write(frame(10, payload))
    else if (opcode === 10) seen.pongs.push(payload.toString())
    else if (opcode === 1 && payload.toString() === 'report') socket.write(frame(1, Buffer.from(JSON.stringify(seen))))
    else socket.write(frame(opcode, payload))
  })
}

async function send(socket: Duplex, bytes: Buffer, each: number) {
  for (let i = 0, n = each || bytes.length; i < bytes.length && !socket.destroyed; i += n) {
    socket.write(bytes.subarray(i, i + n))
    await new Promise(done => setTimeout(done, 1))
  }
}

/** A final frame that is not masked. */
export function frame(opcode: number, payload: Buffer): Buffer {
  const n = payload.length
  const head = Buffer.alloc(n < 126 ? 2 : n < 65_536 ? 4 : 10)
  head[0] = 0x80 | opcode
  head[1] = n < 126 ? n : n < 65_536 ? 126 : 127
  if (head.length === 4) head.writeUInt16BE(n, 2)
  else if (head.length === 10) head.writeBigUInt64BE(BigInt(n), 2)
  return Buffer.concat([head, payload])
}

/** Reads masked frames, and hands out whole messages. */
function read(socket: Duplex, message: (opcode: number, payload: Buffer) => void) {
  let data = Buffer.alloc(0)
  let kind = 0
  const parts: Buffer[] = []
  socket.on('data', (more: Buffer) => {
    data = Buffer.concat([data, more])
    for (;;) {
      if (data.length < 2) return
      const short = data[1]! & 127
      const at = short < 126 ? 2 : short === 126 ? 4 : 10
      if (data.length < at + 4) return
      const length = short < 126 ? short : short === 126 ? data.readUInt16BE(2) : Number(data.readBigUInt64BE(2))
      const end = at + 4 + length
      if (data.length < end) return
      const mask = data.subarray(at, at + 4)
      const payload = Buffer.from(data.subarray(at + 4, end).map((b, i) => b ^ mask[i & 3]!))
      const opcode = data[0]! & 15
      const final = data[0]! & 128
      data = data.subarray(end)
      if (opcode > 7) {
        message(opcode, payload)
        continue
      }
      kind = opcode || kind
      parts.push(payload)
      if (final) message(kind, Buffer.concat(parts.splice(0)))
    }
  })
}
