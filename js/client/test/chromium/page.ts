// What the pages of these tests do: one client each, and a list of all that it told.
import { type Client, createClient, type Ending, type Status } from '../../src/index.js'

/** What happened, in order; at: by the wall clock, in milliseconds. */
export type Seen = { at: number } & (
  | { state: Status }
  | { end: Ending }
  | { message: string }
  | { unknown: string[] }
  | { sign: string; persisted: boolean }
  | { wire: string }
)

export const seen: Seen[] = []
let client: Client

const note = (what: object) => seen.push({ at: Date.now(), ...what } as Seen)

/** A WebSocket that notes the control messages of its client, without their credentials. */
class Watched extends WebSocket {
  override send(data: string | ArrayBufferLike | Blob | ArrayBufferView) {
    if (typeof data === 'string' && data[0] === '\x01') note({ wire: JSON.parse(data.slice(1)).t })
    super.send(data as string)
  }
}

/** Connects, and resolves when connected. */
export function connect(url: string, ticket: string, token: string): Promise<void> {
  for (const type of ['pagehide', 'pageshow', 'visibilitychange', 'freeze', 'resume', 'online', 'offline']) {
    globalThis.addEventListener(type, e => note({ sign: type, persisted: !!(e as PageTransitionEvent).persisted }), { capture: true })
  }
  client = createClient(url, { ticket, token, WebSocket: Watched })
  client.addEventListener('state', e => note({ state: e.detail }))
  client.addEventListener('close', e => note({ end: e.detail }))
  client.addEventListener('message', e => note({ message: String(e.detail) }))
  client.addEventListener('unknown', e => note({ unknown: e.detail.messages.map(m => String(m.data)) }))
  return client.connect()
}

/** How it is now. */
export const status = () => client.state
export const id = () => client.id
export const send = (text: string) => client.send(text)
export const close = () => client.close()
