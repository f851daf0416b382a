// Real servers of the libraries that the drop-in is injected into, as their documentation shows them.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer as createListener } from 'node:net'
import { join } from 'node:path'
import { GraphQLInt, GraphQLObjectType, GraphQLSchema, GraphQLString } from 'graphql'
import { useServer } from 'graphql-ws/use/ws'
import { type WebSocket, WebSocketServer } from 'ws'
import { start } from './door.js'

export interface Backend {
  port: number
  stop(): Promise<void>
}

/** A WebSocket server on a port of loopback; again on the same one if it is given. */
async function listen(
  port: number,
  setup: (wss: WebSocketServer) => void,
  handleProtocols?: (offered: Set<string>) => string | false,
): Promise<Backend> {
  const server = createServer()
  const wss = new WebSocketServer({ server, ...(handleProtocols ? { handleProtocols } : {}) })
  setup(wss)
  await new Promise<void>(done => server.listen(port, '127.0.0.1', done))
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      for (const c of wss.clients) c.terminate()
      await new Promise(done => server.close(done))
    },
  }
}

/** graphql-ws: a subscription that counts, and never ends. */
export function graphql(port = 0): Promise<Backend> {
  const schema = new GraphQLSchema({
    query: new GraphQLObjectType({ name: 'Query', fields: { hello: { type: GraphQLString, resolve: () => 'world' } } }),
    subscription: new GraphQLObjectType({
      name: 'Subscription',
      fields: {
        count: {
          type: GraphQLInt,
          async *subscribe() {
            for (let n = 1; ; n++) {
              yield { count: n }
              await new Promise(done => setTimeout(done, 50))
            }
          },
        },
      },
    }),
  })
  return listen(
    port,
    wss => useServer({ schema }, wss),
    offered => (offered.has('graphql-transport-ws') ? 'graphql-transport-ws' : false),
  )
}

/** An echo. partysocket's own server runs at a cloud provider alone; the socket itself speaks to any. */
export function echo(): Promise<Backend> {
  return listen(0, wss => wss.on('connection', ws => ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }))))
}

/**
 * NOT a Phoenix server: none is in a registry of npm or Go. It speaks the part of version 2 of its serializer that is used
 * here: join, heartbeat, and a push that is broadcast to everybody in the topic.
 */
export function phoenixFake(): Promise<Backend> {
  return listen(0, wss => {
    const topics = new Map<string, Set<WebSocket>>()
    wss.on('connection', ws => {
      ws.on('close', () => {
        for (const members of topics.values()) members.delete(ws)
      })
      ws.on('message', data => {
        const [join, ref, topic, event, payload] = JSON.parse(`${data}`)
        const reply = () => ws.send(JSON.stringify([join, ref, topic, 'phx_reply', { status: 'ok', response: {} }]))
        if (event === 'phx_join') topics.set(topic, (topics.get(topic) ?? new Set()).add(ws))
        if (event === 'phx_join' || event === 'heartbeat') return reply()
        for (const member of topics.get(topic) ?? []) member.send(JSON.stringify([null, null, topic, event, payload]))
        return reply()
      })
    })
  })
}

/** The server of y-websocket. */
export async function yjs(): Promise<Backend> {
  const port = await freePort()
  const bin = createRequire(import.meta.url)
    .resolve('@y/websocket-server/package.json')
    .replace('package.json', 'src/server.js')
  const program = start(process.execPath, [bin], { HOST: '127.0.0.1', PORT: `${port}` })
  await program.line(l => l.startsWith('running'))
  return { port, stop: () => program.stop() }
}

/** A server of the Go library centrifuge. */
export async function centrifuge(): Promise<Backend> {
  const program = start(join(process.env.JS_TEST_OUT!, 'centrifuge'), [])
  return { port: Number(await program.line(l => /^\d+$/.test(l))), stop: () => program.stop() }
}

async function freePort(): Promise<number> {
  const probe = createListener()
  await new Promise<void>(done => probe.listen(0, '127.0.0.1', done))
  const { port } = probe.address() as AddressInfo
  await new Promise(done => probe.close(done))
  return port
}
