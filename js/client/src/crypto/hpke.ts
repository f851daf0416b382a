// HPKE in base mode (RFC 9180, section 5.1) for what the seal needs of it: one message and one exported secret. The key
// encapsulation, where the mathematics is, comes from package hpke or from the application.
import { KEM_DHKEM_X25519_HKDF_SHA256, KEM_MLKEM768_X25519 } from 'hpke'
import { SallyportError } from '../error.js'
import { ascii, type Bytes, join, uint, use } from './bytes.js'
import { aead, mac, secret } from './schedule.js'

/** A key encapsulation for package `hpke`, of that package or another like `@panva/hpke-noble`. */
export type Kem = () => object

/** Key encapsulations for platforms that lack them, by their names in `@panva/hpke-noble`; a namespace import fits. */
export interface Kems {
  KEM_MLKEM768_X25519?: Kem
  KEM_DHKEM_X25519_HKDF_SHA256?: Kem
}

/** A complete set of algorithms; parts are never negotiated. */
export interface Suite {
  readonly id: number
  readonly name: keyof Kems
  readonly kem: Kem
}

/** MLKEM768-X25519, the default: withstands a quantum computer that comes later. */
export const MLKEM768_X25519: Suite = { id: 1, name: 'KEM_MLKEM768_X25519', kem: KEM_MLKEM768_X25519 }

/** X25519 alone, for clients that cannot do ML-KEM. It does not withstand a quantum computer, and is used only where it is named. */
export const X25519: Suite = { id: 2, name: 'KEM_DHKEM_X25519_HKDF_SHA256', kem: KEM_DHKEM_X25519_HKDF_SHA256 }

/** A pair of keys of a key encapsulation. */
export interface Pair {
  privateKey: object
  publicKey: object
}

/** A key encapsulation as package `hpke` defines it. */
export interface Encapsulation {
  id: number
  Nenc: number
  GenerateKeyPair(extractable: boolean): Promise<Pair>
  SerializePublicKey(key: object): Promise<Bytes>
  DeserializePublicKey(raw: Bytes): Promise<object>
  DeserializePrivateKey(raw: Bytes, extractable: boolean): Promise<object>
  Encap(to: object): Promise<{ shared_secret: Bytes; enc: Bytes }>
  Decap(enc: Bytes, privateKey: object, publicKey: object | undefined): Promise<Bytes>
}

/** A suite that can be used here. */
export interface Usable {
  id: number
  kem: Encapsulation
}

/** Those of the suites that the platform can do, or else the application's kems; fails with `unsupported` if there is none. */
export async function usable(suites: readonly Suite[], kems: Kems): Promise<Usable[]> {
  const found: Usable[] = []
  let cause: unknown
  for (const { id, name, kem: native } of suites) {
    for (const make of [native, kems[name]]) {
      if (!make || found.some(f => f.id === id)) continue
      try {
        const kem = make() as Encapsulation
        await kem.GenerateKeyPair(false)
        await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']) // of identities
        found.push({ id, kem })
      } catch (error) {
        cause = error
      }
    }
  }
  if (!found.length) throw new SallyportError('unsupported', 'see option hpke', { cause })
  return found
}

/** What both sides derive from a shared secret. */
export interface Shared {
  /** Seals the one message of this context. */
  seal(plain: Bytes, aad: Bytes): Promise<Bytes>
  /** The secret for a use. */
  export(name: string): Promise<Bytes>
}

/** The key schedule, with HKDF-SHA256 and AES-256-GCM. Overwrites the shared secret of the KEM. */
export async function shared({ kem }: Usable, raw: Bytes, info: Bytes): Promise<Shared> {
  const id = join(ascii('HPKE-v1HPKE'), uint(kem.id, 2), Uint8Array.of(0, 1, 0, 2))
  const extract = async (salt: Bytes, name: string, ikm: Bytes) => mac(await secret(salt), join(id, ascii(name), ikm))
  // No copy: what is overwritten later is all there is.
  const expand = async (key: CryptoKey, name: string, context: Bytes, n: number) =>
    (await mac(key, join(uint(n, 2), id, ascii(name), context, Uint8Array.of(1)))).subarray(0, n)
  const none = new Uint8Array()
  const zeros = new Uint8Array(32)
  const context = join(Uint8Array.of(0), await extract(zeros, 'psk_id_hash', none), await extract(zeros, 'info_hash', info))
  const key = await secret(await extract(raw, 'secret', none))
  const exporter = await secret(await expand(key, 'exp', context, 32))
  return {
    async seal(plain, additionalData) {
      const aes = await aead(await expand(key, 'key', context, 32))
      const iv = await expand(key, 'base_nonce', context, 12)
      return new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData }, aes, plain))
    },
    export: name => expand(exporter, 'sec', use(name), 32),
  }
}
