// Runs the list with two classes, in whatever runtime this is bundled for.
import { type SocketOptions, secureWebSocket } from '../../src/socket.js'
import { type Case, cases, observe } from './cases.js'

export interface Compared {
  name: string
  want: unknown
  platform: unknown
  dropIn: unknown
}

/** Each case with the platform's class and with the drop-in around it. */
export async function compare(base: string, platform: typeof WebSocket = WebSocket, options: SocketOptions = {}): Promise<Compared[]> {
  const DropIn = secureWebSocket({ ticket: `${base}/sallyport/ticket`, dangerouslyAllowPlaintext: 'a test on loopback', ...options })
  const all: Compared[] = []
  for (const c of cases) {
    const [p, d] = await Promise.all([observe(c, { WS: platform, base }), observe(c, { WS: DropIn, base })])
    all.push({ name: c.name, want: plain(c.want), platform: plain(p), dropIn: plain(d) })
  }
  return all
}

/** As it comes out of JSON, so that results of other processes compare alike. */
function plain(value: unknown): unknown {
  return value === undefined ? 'undefined' : JSON.parse(JSON.stringify(value))
}

export type { Case }
