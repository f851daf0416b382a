// What a page does: graphql-ws with the drop-in, from another origin than the door's.
import { createClient } from 'graphql-ws'
import { SallyportError, secureWebSocket } from '../../src/socket.js'

/** Results of a subscription so far, and the close codes of its connections. */
export const seen: { counts: number[]; ends: number[]; failed?: unknown } = { counts: [], ends: [] }

export function subscribe(url: string, door: string, token: string): void {
  createClient({
    url,
    webSocketImpl: secureWebSocket({ ticket: `${door}/sallyport/ticket`, token }),
    retryAttempts: 50,
    retryWait: () => new Promise(done => setTimeout(done, 200)),
    on: { closed: e => seen.ends.push((e as CloseEvent).code) },
  }).subscribe<{ count: number }>(
    { query: 'subscription { count }' },
    {
      next: ({ data }) => seen.counts.push(data!.count),
      error: e => {
        seen.failed = e
      },
      complete: () => {},
    },
  )
}

/** How a connection with a bad token ends. */
export function refused(url: string, door: string): Promise<unknown> {
  const ws = new (secureWebSocket({ ticket: `${door}/sallyport/ticket`, token: 'not.a.token' }))(url)
  return new Promise(done => {
    ws.onclose = e => done([e.code, ws.url === url, ws.cause instanceof SallyportError && ws.cause.code])
  })
}
