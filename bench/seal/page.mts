// What run.mjs has a page measure: the same as the Go program, by the client's own code.

import { binary, half, next, open } from '../../js/client/src/crypto/half.js'
import { sealed } from '../../js/client/src/crypto/index.js'
import { secret } from '../../js/client/src/crypto/schedule.js'

const maxData = 16_381
type Order = { pin: string; sealed?: boolean; size: number; window: number; n: number }
type Bytes = Uint8Array<ArrayBuffer>

let bytes = 0

/** Counts what a client's frames have: head, mask and payload. */
class Counting extends WebSocket {
  override send(data: string | BufferSource | Blob): void {
    if (typeof data === 'string' || data instanceof Blob) throw new TypeError('nobody sends that here')
    const n = data.byteLength
    bytes += n + (n < 126 ? 6 : n < 65_536 ? 8 : 14)
    super.send(data)
  }
}

/** As in the Go client, the socket's messages have the marks of sallyport.v1. */
type Socket = Pick<WebSocket, 'send' | 'close'> & {
  binaryType: string
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  onerror: ((event: unknown) => void) | null
}
type Make = new (url: string, protocols: string[]) => Socket

const makers = new Map<string, Make>()
function make({ pin, sealed: with_ }: Order): Make {
  if (!with_) return Counting as unknown as Make
  let maker = makers.get(pin)
  if (!maker) makers.set(pin, (maker = sealed({ pins: [pin] })({ WebSocket: Counting as never }, true) as unknown as Make))
  return maker
}

/** Resolves when the door has said hello: from then on an application sends. */
function dial(order: Order): Promise<{ socket: Socket; failed: Promise<never> }> {
  const socket = new (make(order))(`wss://${location.host}/${order.sealed ? 'sealed' : 'plain'}`, ['sallyport.v1'])
  socket.binaryType = 'arraybuffer'
  let why: unknown
  const failed = new Promise<never>((_, reject) => {
    socket.onerror = event => {
      why = (event as { error?: unknown }).error
    }
    socket.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason} ${why}`))
  })
  failed.catch(() => {})
  const hello = new Promise<void>(resolve => {
    socket.onmessage = ({ data }) => String(data).startsWith('\x01{') && resolve()
  })
  return Promise.race([hello, failed]).then(() => ({ socket, failed }))
}

/** ms of a connection, from the constructor to the door's hello. */
export async function connect(order: Order): Promise<{ each: number }> {
  let took = 0
  for (let i = 0; i < order.n; i++) {
    const began = performance.now()
    const { socket } = await dial(order)
    took += performance.now() - began
    socket.close(1000)
  }
  return { each: took / order.n }
}

/** µs of a message to the door and back, and the bytes of its frames on the way there. */
export async function echo(order: Order): Promise<{ each: number; bytes: number }> {
  const { socket, failed } = await dial(order)
  const message = new Uint8Array(1 + order.size)
  const run = (n: number) =>
    new Promise<void>((resolve, reject) => {
      let sent = 0
      let received = 0
      socket.onmessage = ({ data }) => {
        if (!(data instanceof ArrayBuffer)) return // the door's own
        if (data.byteLength !== message.length) reject(new Error(`${data.byteLength} bytes came back of ${message.length}`))
        if (++received === n) resolve()
        else if (sent < n) {
          sent++
          socket.send(message)
        }
      }
      for (; sent < Math.min(order.window, n); sent++) socket.send(message)
      failed.catch(reject)
    })
  await run(order.n / 10 + 1)
  bytes = 0
  const began = performance.now()
  await run(order.n)
  const took = performance.now() - began
  const each = { each: (took * 1000) / order.n, bytes: bytes / order.n }
  socket.close(1000)
  return each
}

/** µs of sealing and of opening a message, one after the other, as a direction of a session does. */
export async function alone({ size, n }: Order): Promise<{ seal: number; open: number }> {
  const chain = () => secret(crypto.getRandomValues(new Uint8Array(32)))
  const key = await chain()
  const [ours, theirs] = [half(key), half(key)]
  const message = new Uint8Array(size)
  const portion = 16
  let sealing = 0
  let opening = 0
  for (let done = 0; done < n; done += portion) {
    const records: Bytes[] = []
    let began = performance.now()
    for (let i = 0; i < portion; i++) {
      for (let at = 0; at < size; at += maxData) {
        const part = message.subarray(at, at + maxData)
        records.push(await next(ours, binary, part.length, at + maxData < size, false, true)(part))
      }
    }
    sealing += performance.now() - began
    began = performance.now()
    for (const record of records) await open(theirs, record)
    opening += performance.now() - began
  }
  const all = Math.ceil(n / portion) * portion
  return { seal: (sealing * 1000) / all, open: (opening * 1000) / all }
}

/** Which implementation of ML-KEM there is. */
export const native =
  'supports' in SubtleCrypto &&
  (SubtleCrypto as unknown as { supports(op: string, name: string): boolean }).supports('encapsulateBits', 'ML-KEM-768')
