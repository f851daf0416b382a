// Compiled by `npm run check`: what must be accepted compiles, and what must not does not.
import { WebSocket as Ws } from 'ws'
import { type Client, createClient, type Data, type Ending, SallyportError, type Status } from '../../src/index.js'
import { fakeDoor, virtualClock } from '../../src/testing/index.js'

/** The examples of the documentation, and every option. */
export async function accepted() {
  const clock = virtualClock({ start: 0, random: () => 0.5 })
  const door = fakeDoor(clock, { latency: 5, hello: { beat: 5 }, handshake: c => c.refuse('guard.full', 4203, 'Try again later', 3) })
  const client: Client = createClient(new URL('wss://a.example/chat'), {
    ticket: door.ticket,
    protocols: ['chat.v2', 'chat.v1'] as const,
    gate: '/chat',
    backoff: { base: 100 },
    queue: { count: 10, bytes: 1000, maxAge: 5000 },
    shouldRetry: ({ code, reason, wasClean }) => code === 1006 && reason === '' && !wasClean,
    WebSocket: door.WebSocket,
    env: clock.env,
    signal: AbortSignal.timeout(1000),
  })
  createClient('wss://a.example', { WebSocket: Ws, token: async () => null, unref: true, networkEvents: false, maxElapsed: 60_000 })
  createClient('wss://a.example', { WebSocket, env: { now: () => 0 }, credentials: 'include' })
  client.addEventListener('state', e => {
    const s: Status = e.detail
    if (s.status === 'waiting') s.retryIn.toFixed()
    if (s.status === 'open') s.limits.max_message.toFixed()
    if (s.status === 'closed') s.code.toUpperCase()
  })
  client.addEventListener(
    'message',
    { handleEvent: e => console.log(typeof e.detail === 'string' ? e.detail : e.detail.byteLength) },
    { once: true },
  )
  client.addEventListener('unknown', e => e.detail.messages.map(m => m.data.length + Number(m.id)))
  client.addEventListener('close', e => (e.detail satisfies Ending).close.toFixed())
  client.addEventListener('renewed', e => e.detail.expiresIn?.toFixed())
  await client.connect({ signal: AbortSignal.timeout(1) })
  await client.send('text', { expiresIn: 10, id: 'a' })
  await client.send(new Uint16Array(2), { id: 3 })
  await client.send(new ArrayBuffer(2))
  await client.ready()
  client.reconnect('because')
  for await (const data of client) (data satisfies Data).length.toFixed()
  for await (const data of client.messages({ count: 1, bytes: 10, signal: AbortSignal.timeout(1) })) data satisfies Data
  try {
    await client.close(3000, 'bye')
  } catch (error) {
    if (error instanceof SallyportError && error.code === 'queue-full') throw error
  }
  await using scoped = createClient('wss://a.example')
  return [scoped.id, scoped.protocol, scoped.limits?.idle, scoped.url]
}

/** Each line below is an error of the one who wrote it. */
export function refused(client: Client) {
  // @ts-expect-error a client has a URL
  createClient()
  // @ts-expect-error there is no such option
  createClient('wss://a.example', { reconnect: true })
  // @ts-expect-error an opt-out is a sentence
  createClient('wss://a.example', { dangerouslyAllowPlaintext: true })
  // @ts-expect-error times are numbers of milliseconds
  createClient('wss://a.example', { connectTimeout: '10s' })
  // @ts-expect-error there is no such bound
  createClient('wss://a.example', { backoff: { maximum: 1 } })
  // @ts-expect-error it decides by true or false
  createClient('wss://a.example', { shouldRetry: () => 'later' })
  // @ts-expect-error a ticket source gives a ticket, not its text
  createClient('wss://a.example', { ticket: async () => 'sallyport.ticket.abc' })
  // @ts-expect-error messages are text or bytes
  client.send({ hello: 1 })
  // @ts-expect-error an id is text or a number
  client.send('x', { id: {} })
  // @ts-expect-error there is no such event
  client.addEventListener('open', () => {})
  // @ts-expect-error a message is no status
  client.addEventListener('message', e => e.detail.status)
  // @ts-expect-error the status is not for others to set
  client.state = { status: 'idle' }
  // @ts-expect-error only one who waits knows for how long
  client.state.retryIn
  // @ts-expect-error there is no such status
  return client.state.status === 'connected'
}
