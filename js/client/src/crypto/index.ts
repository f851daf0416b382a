// sallyport/crypto: messages that nobody between the client and the door can read or change. See spec/seal.md.
import type { WebSocketLike } from '../shell.js'
import { isPin } from './document.js'
import { type Kems, MLKEM768_X25519, type Suite, type Usable, usable } from './hpke.js'
import { keysOf, type SealStorage } from './keys.js'
import { authority, type Parts, sealedSocket } from './socket.js'

export { type Problem, SallyportError } from '../error.js'
export type { SealFault } from './fault.js'
export { type Kem, type Kems, MLKEM768_X25519, type Suite, X25519 } from './hpke.js'
export type { SealStorage } from './keys.js'

/** Options of {@link sealed}. */
export interface SealOptions {
  /**
   * The identities of the server that are trusted, `sp1.` and 43 characters each: at least one, better two, the second
   * kept where the first is not. They must not come through whom the seal is to keep out.
   */
  pins: readonly string[]
  /** Where the signed list of sealing keys is. @default '/.well-known/sallyport-seal' on the socket's host */
  keys?: string | URL | undefined
  /** The suites that may be used, best first. @default [MLKEM768_X25519] */
  suites?: readonly Suite[] | undefined
  /**
   * The key that the credential is bound to: Ed25519 or ECDSA on P-256, the private key not extractable. Without it
   * whoever saw the credential elsewhere can use it, and a gate with `require_bound` refuses it.
   */
  device?: CryptoKeyPair | undefined
  /** Remembers which lists are too old, `localStorage` for example. @default for the life of this object */
  storage?: SealStorage | undefined
  /** Key encapsulations for platforms that lack ML-KEM, by their names in `@panva/hpke-noble`. */
  hpke?: Kems | undefined
  /** Whether the length of messages is hidden, up to 6.3 % or 31 bytes; that of the credential always is. @default true */
  pad?: boolean | undefined
  /** The `Origin` that connections are made with. @default the page's; none outside of pages and workers */
  origin?: string | undefined
}

/** What a client is given as its option `seal`; it makes the sockets of that client. raw: which speaks `sallyport.v1` itself. */
export type Seal = (options: { WebSocket?: WebSocketLike | undefined; fetch?: typeof fetch | undefined }, raw?: boolean) => WebSocketLike

/**
 * Seals the connections of a client. Nothing is sent to a server that is not the one pinned; tickets and tokens travel inside,
 * and count where they are bound to the key of this device.
 *
 * ```ts
 * const seal = sealed({ pins: ['sp1.…', 'sp1.…'], device, storage: localStorage })
 * const client = createClient('wss://rt.example.com/chat', { token: () => getToken(), seal })
 * ```
 *
 * What the client hears of a failure is a {@link SallyportError} whose code is a {@link SealFault}, and an end with
 * 4905 and that code, or with 1006 if the connection ended without a word that is certainly the server's.
 *
 * It does not hide times, addresses, the path or sizes beyond padding, and does not protect a page whose script comes
 * through the same hands. Throws a TypeError for pins that are none, and for a device's key of another kind. Where the
 * platform lacks the cryptography, the client ends with `unsupported`.
 */
export function sealed({
  pins,
  keys = '/.well-known/sallyport-seal',
  suites = [MLKEM768_X25519],
  hpke = {},
  ...options
}: SealOptions): Seal {
  if (!pins.length || !pins.every(isPin)) throw new TypeError('pins')
  const { privateKey: k } = options.device ?? {}
  if (k && (k.extractable || (k.algorithm.name !== 'Ed25519' && (k.algorithm as EcKeyAlgorithm).namedCurve !== 'P-256')))
    throw new TypeError('device')
  const find = keysOf(pins, options.storage)
  let able: Promise<Usable[]> | undefined
  return (platform, raw = false) =>
    sealedSocket({
      raw,
      WebSocket: (platform.WebSocket ?? WebSocket) as Parts['WebSocket'],
      async key(url, fresh, signal) {
        able ??= usable(suites, hpke)
        return find(authority(url), new URL(keys, url.href.replace(/^ws/, 'http')), await able, fresh, platform.fetch ?? fetch, signal)
      },
      device: options.device,
      origin: options.origin ?? globalThis.origin ?? '',
      pad: options.pad ?? true,
    })
}
