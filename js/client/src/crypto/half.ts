// One direction of a session: a chain of epochs, each with a key and a counter of its own (spec/seal.md, section 7).
import { type Bytes, join, uint, wipe } from './bytes.js'
import { fail } from './fault.js'
import { aead, expand, secret } from './schedule.js'

export const [filler, text, binary, auth, end, offer, answer, turn] = [0, 1, 2, 3, 4, 5, 6, 7] as const
/** What a record is. */
export type Kind = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

const more = 0x40
const last = 0x80
const maxInner = 16_384
/** The most data of one record, in bytes. */
export const maxData = maxInner - 3
const type = /* @__PURE__ */ Uint8Array.of(0x10)

/** Bounds of what one key seals, and of the epochs between two agreements. */
export const limits = { records: 65_536, bytes: 2 ** 26, epochs: 65_536 }

interface Keys {
  secret: CryptoKey
  key: CryptoKey
  iv: Bytes
}

/** A direction: the epoch it is in, and what was counted in it. Changed by what is below only. */
export interface Half {
  keys: Promise<Keys>
  records: number
  bytes: number
  epochs: number
}

async function enter(key: CryptoKey): Promise<Keys> {
  return { secret: key, key: await aead(await expand(key, 'key')), iv: await expand(key, 'iv') }
}

/** The beginning of a chain. */
export const half = (key: CryptoKey): Half => ({ keys: enter(key), records: 0, bytes: 0, epochs: 0 })

/** The place of a record in its direction. */
interface Slot {
  keys: Promise<Keys> | undefined
  number: number
  last: boolean
}

/** Takes the next number, for a record of so many bytes. Nothing waits in here: whoever comes later has a later number. */
function take(h: Half, size: number, ends = false): Slot {
  h.bytes += size
  return {
    keys: h.epochs < limits.epochs ? h.keys : undefined,
    number: h.records++,
    last: ends || h.records >= limits.records || h.bytes >= limits.bytes,
  }
}

const keysOf = ({ keys }: Slot) => keys ?? fail('seal.limit')

/** Goes to the next epoch. */
function step(h: Half): void {
  const keys = h.keys.then(async k => enter(await secret(await expand(k.secret, 'next'))))
  Object.assign(h, { keys, records: 0, bytes: 0, epochs: h.epochs + 1 })
}

function algorithm(iv: Bytes, number: number): AesGcmParams {
  const nonce = iv.slice(0, 12)
  nonce[10]! ^= number >> 8
  nonce[11]! ^= number
  return { name: 'AES-GCM', iv: nonce, additionalData: type }
}

/** The length of the inner plaintext for n bytes of it. */
export function padded(n: number): number {
  if (n <= 1024) return (n + 31) & ~31
  const e = 31 - Math.clz32(n)
  const mask = (1 << (e + Math.clz32(e) - 32)) - 1
  return Math.min((n + mask) & ~mask, maxInner)
}

/** A record whose number is taken. */
export type Sealing = (data: Bytes) => Promise<Bytes>

/**
 * Takes the number of a record with n bytes of data, and returns what seals them. ends: behind it this direction has a
 * new key, as it has when the old one is used up.
 */
export function next(h: Half, kind: Kind, n: number, goesOn: boolean, ends: boolean, pad: boolean): Sealing {
  const size = pad ? padded(3 + n) : 3 + n
  const slot = take(h, size + 17, ends)
  if (slot.last) step(h)
  return async data => {
    const { key, iv } = await keysOf(slot)
    const inner = new Uint8Array(size)
    inner.set([kind + (goesOn ? more : 0) + (slot.last ? last : 0), ...uint(n, 2)])
    inner.set(data, 3)
    const sealed = await crypto.subtle.encrypt(algorithm(iv, slot.number), key, inner)
    wipe(inner)
    if (slot.last) wipe(iv)
    return join(type, new Uint8Array(sealed))
  }
}

/** An opened record. */
export interface Opened {
  kind: Kind
  more: boolean
  data: Bytes
}

/** Opens the record that must come next, or none. One at a time. */
export async function open(h: Half, record: Bytes): Promise<Opened> {
  if (record[0] !== 0x10 || record.length < 20 || record.length > maxInner + 17) fail('seal.broken')
  const slot = take(h, record.length)
  const { key, iv } = await keysOf(slot)
  const opening = crypto.subtle.decrypt(algorithm(iv, slot.number), key, record.subarray(1))
  const inner = new Uint8Array(await opening.catch(cause => fail('seal.broken', cause)))
  const head = inner[0]!
  const n = 3 + inner[1]! * 256 + inner[2]!
  if (head & 0x38 || n > inner.length || inner.subarray(n).some(b => b)) fail('seal.malformed')
  if (head & last) {
    step(h)
    wipe(iv)
  } else if (slot.last) fail('seal.limit')
  return { kind: (head & 7) as Kind, more: !!(head & more), data: inner.subarray(3, n) }
}

/** Overwrites what a direction owns, and forgets its keys; what is asked of it from now on is never done. */
export async function erase(h: Half): Promise<void> {
  const { keys } = h
  h.keys = new Promise(() => {})
  wipe((await keys).iv)
}
