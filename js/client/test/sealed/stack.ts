// The real program with sealed gates in front of an unchanged backend of package ws, and an issuer of tokens that names keys of devices.
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { WebSocketServer } from 'ws'
import { type Door, door, tokenFor } from '../injection/door.js'
import type { Place } from './scenes.js'

export interface Stack {
  /** What clients are told. */
  place: Place
  gate: Door
  /** An argument of a browser, with which its page has the origin. */
  rule: string
  /** Every message that the backend got, and the subprotocols that it was offered. */
  backend: { got: string[]; offered: string[] }
  stop(): Promise<void>
}

/** Starts everything. page: a script for a page at the issuer's root. */
export async function stack(page = ''): Promise<Stack> {
  const out = process.env.JS_TEST_OUT!
  const backend = { got: [] as string[], offered: [] as string[] }
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: offered => [...offered][0] ?? false })
  sockets.on('connection', (ws, request) => {
    backend.offered.push(request.headers['sec-websocket-protocol'] ?? '')
    ws.on('message', (data, binary) => {
      const text = `${data}`
      backend.got.push(text.slice(0, 100))
      if (text === 'close') ws.close(4123, 'that is all')
      else if (text === 'many') for (let i = 0; i < 200; i++) ws.send(`${i}`)
      else ws.send(data, { binary })
    })
  })
  await new Promise(done => sockets.once('listening', done))

  const issuer: Server = createServer(
    { cert: readFileSync(join(out, 'door.pem')), key: readFileSync(join(out, 'door.key')) },
    (request, response) => {
      const { pathname, searchParams } = new URL(request.url!, 'https://issuer')
      const life = Number(searchParams.get('life') ?? 600)
      response.writeHead(200, { 'access-control-allow-origin': '*', 'content-type': pathname === '/' ? 'text/html' : 'text/plain' })
      if (pathname === '/page.js') response.end(page)
      else if (pathname === '/') response.end('<!doctype html><title>sealed</title>')
      else response.end(tokenFor(life, searchParams.get('jkt') ?? undefined))
    },
  )
  await new Promise<void>(done => issuer.listen(0, '127.0.0.1', done))
  const at = (issuer.address() as AddressInfo).port
  const origin = 'https://app.example.com'

  const { port } = sockets.address() as AddressInfo
  const gates = { '/required': port, '/offered': port }
  const gate = await door(
    gates,
    path => ({
      origins: [origin],
      seal: path.slice(1),
      guard: { max_message: '1MiB', messages: '1000/s', bytes: '16MiB/s' },
    }),
    true,
  )
  return {
    place: { url: gate.url, pin: gate.pin, issuer: `https://localhost:${at}`, origin },
    rule: `--host-resolver-rules=MAP app.example.com:443 127.0.0.1:${at}`,
    gate,
    backend,
    async stop() {
      await gate.stop()
      for (const c of sockets.clients) c.terminate()
      sockets.close()
      issuer.closeAllConnections()
      issuer.close()
    },
  }
}
