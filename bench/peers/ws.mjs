// The server of the package ws: /echo, /feed and /publish over TLS 1.3.
//
//   node ws.mjs --listen 127.0.0.1:9443 --cert cert.pem --key key.pem
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { parseArgs } from 'node:util'
import { WebSocketServer } from 'ws'

const { values } = parseArgs({ options: { listen: { type: 'string' }, cert: { type: 'string' }, key: { type: 'string' } } })
const [host, port] = values.listen.split(':')
const server = createServer({
  cert: readFileSync(values.cert),
  key: readFileSync(values.key),
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256', // as all others
})
const subscribers = new Set()
const sockets = new WebSocketServer({
  server,
  perMessageDeflate: false,
  verifyClient: ({ origin }) => origin === 'https://bench.example',
})
sockets.on('connection', (socket, request) => {
  socket.on('error', () => {}) // clients of a benchmark reset
  if (request.url === '/feed') {
    subscribers.add(socket)
    socket.on('close', () => subscribers.delete(socket))
  } else if (request.url === '/publish') {
    socket.on('message', (data, binary) => {
      for (const sub of subscribers) sub.send(data, { binary })
    })
  } else {
    socket.on('message', (data, binary) => socket.send(data, { binary }))
  }
})
server.on('tlsClientError', () => {})
server.listen(Number(port), host)
