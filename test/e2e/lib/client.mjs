// Clients of the door: a well-behaved one, and one that writes whatever bytes a
// test wants.
import { randomBytes } from 'node:crypto'
import https from 'node:https'
import tls from 'node:tls'
import WebSocket from 'ws'
import { secret, within } from './env.mjs'
import { ca, host, origin, request } from './door.mjs'

let authority

const trust = () => (authority ??= ca())

/** An HTTP answer in place of a 101, as an error. */
function refusal(answer, body) {
  const error = new Error(`HTTP ${answer.statusCode} ${body.trim()}`)
  for (const [name, value] of Object.entries({ status: answer.statusCode, body, headers: answer.headers })) {
    Object.defineProperty(error, name, { value, enumerable: false })
  }
  return error
}

/**
 * Opens a connection. What is not said is good: the trusted origin, the door's
 * name, no credential. The result has opened (resolves when open; rejects with
 * the status when refused by HTTP), closed ({code, reason}) and next(), the next
 * message.
 */
export function connect(door, options = {}) {
  const { path = '/chat', token, ticket, protocols = [], from, headers = {}, origin: o = origin, name = host, port = door.port } = options
  const all = [...protocols]
  if (ticket) all.push(ticket.ticket, ...(protocols.length ? [] : [ticket.protocol]))
  const h = { host: name, ...headers }
  if (o) h.origin = o
  if (token) h.authorization = `Bearer ${token}`
  const ws = new WebSocket(`wss://127.0.0.1:${port}${path}`, all, {
    headers: h, ca: trust(), servername: name, localAddress: from, perMessageDeflate: false, maxPayload: 64 << 20,
    rejectUnauthorized: options.insecure !== true, handshakeTimeout: options.timeout ?? 15_000,
    ...(options.insecure && { ca: undefined }),
  })
  const c = { ws, messages: [], waiting: [], closedAt: 0 }
  c.opened = new Promise((done, fail) => {
    ws.on('open', () => {
      c.openedAt = performance.now()
      done(c)
    })
    ws.on('unexpected-response', (_, answer) => {
      const parts = []
      answer.on('data', part => parts.push(part))
      answer.on('end', () => {
        c.status = answer.statusCode
        c.answer = answer
        c.body = String(Buffer.concat(parts))
        fail(refusal(answer, c.body))
        ws.terminate()
      })
    })
    ws.on('error', fail)
  })
  c.opened.catch(() => {})
  c.closed = new Promise(done => {
    ws.on('close', (code, reason) => {
      c.closedAt = performance.now()
      c.end = { code, reason: String(reason) }
      done(c.end)
    })
  })
  ws.on('message', (data, binary) => {
    const m = binary ? data : String(data)
    c.waiting.length ? c.waiting.shift()(m) : c.messages.push(m)
  })
  c.next = (ms = 10_000) => within(ms, 'a message', new Promise(done => {
    c.messages.length ? done(c.messages.shift()) : c.waiting.push(done)
  }))
  c.echo = async text => {
    ws.send(text)
    return c.next()
  }
  c.gone = (ms = 10_000) => within(ms, 'the close', c.closed)
  c.abort = () => ws.terminate()
  return c
}

/** Opens n connections, few at a time, each with the options that of(i) gives. */
export async function many(door, n, of, width = 40) {
  const all = new Array(n)
  let next = 0
  const work = async () => {
    while (next < n) {
      const i = next++
      all[i] = connect(door, of(i))
      await within(20_000, `connection ${i}`, all[i].opened)
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, n) }, work))
  return all
}

/** What a refused client learns: {code, reason} of the close, or {status} of HTTP. */
export async function verdict(door, options) {
  const c = connect(door, options)
  try {
    await within(15_000, 'a verdict', c.opened)
  } catch (error) {
    if (!error.status) throw error
    return { status: error.status, error: JSON.parse(error.body || '{}').error, retry: error.headers['retry-after'] }
  }
  const first = await Promise.race([c.gone(4000), c.next(4000).catch(() => ({ code: 0 }))]).catch(() => ({ code: 0, reason: 'still open' }))
  c.abort()
  return first
}

/** An HTTPS request to the door. */
export function ask(door, { name = host, from, ...options }) {
  return request({
    module: https, host: '127.0.0.1', port: door.port, ca: trust(), servername: name, localAddress: from,
    ...options, headers: { host: name, ...options.headers },
  })
}

/** A ticket for gate: a credential in, what to offer as subprotocols out. */
export async function ticket(door, { gate = '/chat', token, from, headers = {} }) {
  const answer = await ask(door, {
    method: 'POST', path: '/sallyport/ticket', body: { gate }, from,
    headers: { origin, ...(token && { authorization: `Bearer ${token}` }), ...headers },
  })
  if (answer.status !== 200) throw new Error(`ticket: ${answer.status} ${answer.text}`)
  const t = JSON.parse(answer.text)
  secret(t.ticket.split('.').pop())
  return t
}

/** The lines of a good handshake; each of more replaces or adds one by its name. */
export function handshake(more = {}, { path = '/chat' } = {}) {
  const lines = {
    Host: host, Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'), Origin: origin, ...more,
  }
  let text = `GET ${path} HTTP/1.1\r\n`
  for (const [name, value] of Object.entries(lines)) {
    for (const v of value === undefined ? [] : [value].flat()) text += `${name}: ${v}\r\n`
  }
  return text + '\r\n'
}

/** A TLS connection on which a test writes bytes and reads what comes back. */
export async function raw(door, { from, name = host, port = door.port } = {}) {
  const socket = tls.connect({ host: '127.0.0.1', port, ca: trust(), servername: name, localAddress: from, ALPNProtocols: ['http/1.1'] })
  const c = { socket, data: Buffer.alloc(0), ended: false }
  socket.on('data', d => (c.data = Buffer.concat([c.data, d])))
  c.end = new Promise(done => socket.on('close', () => { c.ended = true; done() }))
  socket.on('error', () => {})
  await within(10_000, 'TLS', new Promise((done, fail) => {
    socket.on('secureConnect', done)
    socket.on('close', () => fail(new Error('TLS handshake refused')))
  }))
  c.write = bytes => new Promise(done => socket.write(bytes, done))
  c.until = async (fits, ms = 5000) => {
    const end = Date.now() + ms
    while (!fits(c.data) && !c.ended && Date.now() < end) await new Promise(r => setTimeout(r, 5))
    return c.data
  }
  c.finish = () => socket.destroy()
  return c
}

/** Sends bytes and returns the status line's code and everything received. */
export async function exchange(door, bytes, options = {}) {
  const c = await raw(door, options)
  await c.write(bytes)
  await c.until(d => d.includes('\r\n\r\n'), options.ms)
  await c.until(() => false, options.linger ?? 20)
  c.finish()
  const text = c.data.toString('latin1')
  return { status: Number(text.split(' ')[1] ?? 0), text, ended: c.ended }
}

/** A masked client frame. */
export function frame(opcode, payload = '', { fin = true, mask = randomBytes(4) } = {}) {
  const data = Buffer.from(payload)
  const head = [(fin ? 0x80 : 0) | opcode]
  if (data.length < 126) head.push(0x80 | data.length)
  else if (data.length < 65536) head.push(0x80 | 126, data.length >> 8, data.length & 255)
  else head.push(0x80 | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map(s => (data.length >>> s) & 255))
  for (let i = 0; i < data.length; i++) data[i] ^= mask[i % 4]
  return Buffer.concat([Buffer.from(head), mask, data])
}

/** The close frame behind the 101 in what a raw client received, or null. */
export function closeIn(data) {
  const at = data.indexOf('\r\n\r\n') + 4
  if (at < 4 || data.length < at + 4 || (data[at] & 15) !== 8) return null
  const length = data[at + 1] & 127
  return { code: data.readUInt16BE(at + 2), reason: String(data.subarray(at + 4, at + 2 + length)) }
}

let used = 0

/** An address of its own in 127.0.0.0/8, so that nobody else's refusals count. */
export function address() {
  used++
  return `127.${64 + (process.pid % 128)}.${(used >> 8) + 1}.${(used & 255)}`
}
