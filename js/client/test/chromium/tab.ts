// A tab without playwright, which keeps every page of its own visible and awake: for pages that must be hidden or frozen.
import { createServer } from 'node:net'
import { type RawData, WebSocket } from 'ws'

/** A tab, by the protocol of the developer tools. */
export interface Tab {
  send(method: string, params?: object): Promise<Record<string, unknown>>
  /** The value of an expression; promises are waited for. */
  evaluate<T>(expression: string): Promise<T>
  /** Puts it before the others, which are hidden by that. */
  show(): Promise<void>
}

/** A port of loopback that is free at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  await new Promise(done => server.close(done))
  return port
}

/** Opens tabs in the browser that listens on port, all in one window. */
export async function tabs(port: number): Promise<{ open(url: string): Promise<Tab>; stop(): void }> {
  const { webSocketDebuggerUrl } = (await (await fetch(`http://127.0.0.1:${port}/json/version`)).json()) as { webSocketDebuggerUrl: string }
  const ws = new WebSocket(webSocketDebuggerUrl, { perMessageDeflate: false })
  await new Promise((done, fail) => ws.once('open', done).once('error', fail))
  type Answer = { id?: number; result?: Record<string, unknown>; error?: { message: string } }
  const waiting = new Map<number, (answer: Answer) => void>()
  let last = 0
  ws.on('message', (data: RawData) => {
    const answer = JSON.parse(String(data)) as Answer
    waiting.get(answer.id ?? 0)?.(answer)
    waiting.delete(answer.id ?? 0)
  })
  const send = (method: string, params: object = {}, sessionId?: string) =>
    new Promise<Record<string, unknown>>((done, fail) => {
      waiting.set(++last, ({ result, error }) => (error ? fail(new Error(`${method}: ${error.message}`)) : done(result!)))
      ws.send(JSON.stringify({ id: last, method, params, ...(sessionId && { sessionId }) }))
    })
  return {
    async open(url) {
      const { targetId } = await send('Target.createTarget', { url })
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
      const inTab = (method: string, params?: object) => send(method, params, sessionId as string)
      return {
        send: inTab,
        async evaluate<T>(expression: string) {
          const { result, exceptionDetails } = (await inTab('Runtime.evaluate', {
            expression,
            awaitPromise: true,
            returnByValue: true,
          })) as {
            result: { value: T }
            exceptionDetails?: unknown
          }
          if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
          return result.value
        },
        show: async () => {
          await send('Target.activateTarget', { targetId })
        },
      }
    },
    stop: () => ws.terminate(),
  }
}
