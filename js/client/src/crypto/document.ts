// The signed list of a door's sealing keys: spec/seal.md, section 2.
import { ascii, type Bytes, join, label, lp, sha, uint } from './bytes.js'
import { fail } from './fault.js'
import type { Usable } from './hpke.js'

/** A sealing key as a document lists it. Times are seconds since 1970. */
export interface Key {
  suite: number
  from: number
  until: number
  public: Bytes
}

/** A document that was verified. */
export interface Document {
  generation: number
  expires: number
  keys: Key[]
}

/** The largest document, in bytes. */
export const maxDocument = 16_384
const day = 86_400

/**
 * Reads a document and judges it, for an authority, at a time in seconds; its generation is judged by who remembers others.
 * Fails with `local.pin` if no pinned identity signed it, and with `local.keys` for all else.
 */
export async function verify(raw: Bytes, pins: readonly string[], authority: string, now: number): Promise<Document> {
  let at = 0
  const bad = (why = 'form') => fail('local.keys', why)
  const take = (n: number): Bytes => (at + n > raw.length ? bad() : raw.slice(at, (at += n)))
  const number = (n: number): number => take(n).reduce((sum, b) => sum * 256 + b, 0)
  const list = <T>(max: number, read: () => T): T[] => {
    const n = number(1)
    return n && n <= max ? Array.from({ length: n }, read) : bad()
  }
  const span = (days: number): [from: number, until: number] => {
    const from = number(8)
    const until = number(8)
    return until > from && until <= from + days * day && until <= 2 ** 40 ? [from, until] : bad()
  }
  if (number(4) !== 0x53504b01 || raw.length > maxDocument) bad()
  const generation = number(4)
  const [issued, expires] = span(31)
  const place = take(number(2))
  const seen = new Set<string>()
  const keys = list(8, () => {
    const suite = number(2)
    const [from, until] = span(40)
    const key = { suite, from, until, public: take(number(2)) }
    if (!isKey(suite, key.public)) bad()
    seen.add(`${suite} ${key.public}`)
    return key
  })
  const body = raw.slice(0, at)
  const signatures = list(4, () => [take(32), take(64)] as const)
  if (at < raw.length || seen.size < keys.length) bad()

  let signed = false
  for (const [identity, signature] of signatures) {
    if (!pins.includes(await pin(identity))) continue
    // A pinned identity whose signature is wrong condemns the whole: no honest signer made it.
    signed = await crypto.subtle
      .importKey('raw', identity, 'Ed25519', false, ['verify'])
      .then(key => crypto.subtle.verify('Ed25519', key, signature, label('keys', body)))
      .catch(cause => fail('local.pin', cause))
    if (!signed) break
  }
  if (!signed) fail('local.pin')
  if (`${place}` !== `${ascii(authority)}`) bad('authority')
  if (now >= expires || now + day < issued) bad('time')
  return { generation, expires, keys }
}

/** Whether bytes have the form of a public key: in ML-KEM all numbers are reduced, which not every implementation looks at. */
export function isKey(suite: number, key: Bytes): boolean {
  const n = key.length
  if (suite === 1)
    for (let i = 0; i < 1152; i += 3)
      if (key[i]! + (key[i + 1]! % 16) * 256 > 3328 || key[i + 1]! / 16 + key[i + 2]! * 16 >= 3329) return false
  return suite === 1 ? n === 1216 : suite === 2 ? n === 32 : n > 0 && n <= 4096
}

/** The pin of an identity. */
async function pin(identity: Bytes): Promise<string> {
  const hash = await sha(label('identity', identity))
  return `sp1.${btoa(String.fromCharCode(...hash))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .slice(0, 43)}`
}

/** Whether a text is a pin, in its one spelling. */
export const isPin = (text: string): boolean => /^sp1\.[\w-]{42}[AEIMQUYcgkosw048]$/.test(text)

/**
 * The key to use: of the first suite, best first, that has one in its time; among those the youngest that has begun,
 * else the nearest.
 */
export function pick<S extends Pick<Usable, 'id'>>({ keys, expires }: Document, suites: readonly S[], now: number): [Key, S] {
  const rank = ({ from }: Key) => (from <= now ? now - from : from + 2 ** 41)
  for (const s of suites) {
    const [best] = keys
      .filter(k => k.suite === s.id && now < k.until && k.from <= now + day && now < expires)
      .sort((a, b) => rank(a) - rank(b))
    if (best) return [best, s]
  }
  return fail('local.keys', 'no key')
}

/** The name of a key on the wire. */
export const keyID = async ({ suite, public: key }: Key): Promise<Bytes> =>
  (await sha(join(label('key id'), uint(suite, 2), lp(key)))).slice(0, 8)
