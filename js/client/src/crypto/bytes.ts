// The notation of spec/seal.md, section 1.
import { concat, encode, I2OSP } from 'hpke'

/** Bytes that are not shared with another thread. */
export type Bytes = Uint8Array<ArrayBuffer>

/** Joins bytes. */
export const join = concat as (...parts: Uint8Array[]) => Bytes

/** The bytes of an ASCII text; throws for any other. */
export const ascii = encode as (text: string) => Bytes

/** A number in so many bytes, big-endian. */
export const uint = I2OSP as (n: number, width: number) => Bytes

/** Bytes behind their length. */
export const lp = (b: Uint8Array): Bytes => join(uint(b.length, 2), b)

/** The name of a use of hashes, keys and signatures. */
export const use = (name: string): Bytes => ascii(`sp-seal/1 ${name}`)

/** What is hashed or signed for a use: no label is the beginning of another. */
export const label = (name: string, ...parts: Uint8Array[]): Bytes => join(lp(use(name)), ...parts)

/** SHA-256 of bytes. */
export const sha = async (b: Bytes): Promise<Bytes> => new Uint8Array(await crypto.subtle.digest('SHA-256', b))

/** Overwrites what was secret. */
export function wipe(...all: Uint8Array[]): void {
  for (const b of all) b.fill(0)
}
