// Compiled by `npm run check`: what must be accepted compiles, and what must not does not.
import { Centrifuge } from 'centrifuge'
import { createClient as graphql } from 'graphql-ws'
import PartyWebSocket from 'partysocket/ws'
import { Socket as Phoenix } from 'phoenix'
import { WebSocket as Ws } from 'ws'
import { WebsocketProvider } from 'y-websocket'
import type * as Y from 'yjs'
import { type Code, lookup } from '../../src/reasons.js'
import { type SecureWebSocket, secureWebSocket, type Ticket } from '../../src/socket.js'

const Secure = secureWebSocket({ ticket: '/sallyport/ticket' })

/** The class is that of WebSocket, for the compiler and for the libraries. */
export function accepted(doc: Y.Doc) {
  const platform: typeof WebSocket = Secure
  const socket: SecureWebSocket = new Secure(new URL('wss://a.example'), ['chat.v1'])
  const plain: WebSocket = socket
  socket.onclose = e => e.code.toFixed()
  socket.addEventListener('message', e => e.data, { once: true })
  const cause: unknown = socket.cause
  graphql({ url: 'wss://a.example', webSocketImpl: Secure })
  new PartyWebSocket('wss://a.example', [], { WebSocket: Secure })
  new Centrifuge('wss://a.example', { websocket: Secure })
  new Phoenix('wss://a.example', { transport: Secure })
  new WebsocketProvider('wss://a.example', 'room', doc, { WebSocketPolyfill: Secure })
  secureWebSocket()
  secureWebSocket({ WebSocket, credentials: 'include' })
  secureWebSocket({ WebSocket: Ws, token: () => 'abc' })
  secureWebSocket({
    ticket: async ({ signal, reason, url, gate }) => (signal.aborted || reason === 'rejected' || url === gate ? null : { ticket: 'x' }),
  })
  secureWebSocket({ ticket: async ({ signal }) => (await (await fetch('/t', { signal })).json()) as Ticket })
  const code: Code = 'auth.expired'
  return [platform, plain, cause, lookup(code)?.act === 'reauth']
}

/** Each line below is an error of the one who wrote it. */
export function refused() {
  // @ts-expect-error a ticket source gives a ticket, not its text
  secureWebSocket({ ticket: async () => 'sallyport.ticket.abc' })
  // @ts-expect-error a function gives a promise, or null in one
  secureWebSocket({ ticket: () => null })
  // @ts-expect-error an opt-out is a sentence
  secureWebSocket({ dangerouslyAllowPlaintext: true })
  // @ts-expect-error there is no such option
  secureWebSocket({ tickets: '/sallyport/ticket' })
  // @ts-expect-error a timeout is a number of milliseconds
  secureWebSocket({ ticketTimeout: '10s' })
  // @ts-expect-error not a constructor
  secureWebSocket({ WebSocket: () => ({}) })
  // @ts-expect-error a socket has a URL
  new Secure()
  // @ts-expect-error subprotocols are texts
  new Secure('wss://a.example', [1])
  // @ts-expect-error the cause is not for others to set
  new Secure('wss://a.example').cause = 'mine'
  // @ts-expect-error the constants are constant
  Secure.OPEN = 2
  // @ts-expect-error there is no such reason
  const code: Code = 'auth.nonsense'
  return code
}
