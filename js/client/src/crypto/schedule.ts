// The key schedule of spec/seal.md, sections 5, 7 and 8. Secrets become keys that no script can read, and their bytes are overwritten.
import { type Bytes, join, label, wipe } from './bytes.js'

/** A secret, as a key that only derives others. Overwrites the bytes given. */
export async function secret(raw: Bytes): Promise<CryptoKey> {
  const key = await crypto.subtle.importKey('raw', raw, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify'])
  wipe(raw)
  return key
}

/** The key of an AEAD. Overwrites the bytes given. */
export async function aead(raw: Bytes): Promise<CryptoKey> {
  const key = await crypto.subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt', 'decrypt'])
  wipe(raw)
  return key
}

/** HMAC-SHA256. */
export const mac = async (key: CryptoKey, data: Bytes): Promise<Bytes> => new Uint8Array(await crypto.subtle.sign('HMAC', key, data))

/** HKDF-Expand to 32 bytes. */
export const expand = (key: CryptoKey, name: string, ...x: Bytes[]): Promise<Bytes> => mac(key, label(name, ...x, Uint8Array.of(1)))

/** What a handshake, or a new agreement, gives. */
export interface Schedule {
  confirm: CryptoKey
  c2s: CryptoKey
  s2c: CryptoKey
  /** Carries the authentication of the handshake into the next agreement; bytes, since it is hashed there. */
  root: Bytes
}

/** Extracts from two secrets, which it overwrites, and expands, both under the hash of a transcript. */
export async function derive(th: Bytes, first: Bytes, second: Bytes): Promise<Schedule> {
  const both = join(first, second)
  const prk = await secret(await mac(await secret(th.slice()), both))
  wipe(first, second, both)
  const key = async (name: string) => secret(await expand(prk, name, th))
  return { confirm: await key('confirm'), c2s: await key('c2s'), s2c: await key('s2c'), root: await expand(prk, 'root', th) }
}
