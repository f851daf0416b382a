// An application that knows nothing of the door: the files of some folders, and a
// WebSocket that passes every message on to everybody. Plain HTTP, on loopback:
// the door stands in front.
//
//   node server.mjs FOLDER…        PORT, default 3000
import { createReadStream, existsSync } from 'node:fs'
import http from 'node:http'
import { extname, join } from 'node:path'
import { WebSocketServer } from 'ws'

const folders = process.argv.slice(2)
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8' }

const server = http.createServer((request, response) => {
  const name = request.url === '/' ? 'index.html' : request.url.slice(1)
  // No folders within folders, so no way out of them.
  const file = /^\w[\w.-]*$/.test(name) && folders.map(f => join(f, name)).find(f => existsSync(f))
  if (!file || !types[extname(file)]) return response.writeHead(404).end('not here\n')
  response.writeHead(200, { 'content-type': types[extname(file)] })
  createReadStream(file).pipe(response)
})

const sockets = new WebSocketServer({ server, path: '/chat' })
sockets.on('connection', (socket, request) => {
  // Who this is, says the door: identity.headers in its configuration.
  const who = request.headers['x-forwarded-user'] ?? 'somebody'
  socket.on('error', () => {})
  socket.on('message', data => {
    for (const other of sockets.clients) other.send(`${who}: ${data}`)
  })
})

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`)
})
