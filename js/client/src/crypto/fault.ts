// Why a seal was refused or ended, as spec/seal.md, section 9, names it.
import { SallyportError } from '../error.js'

/**
 * A fault of the seal. Those with `local.` are the client's alone: no pinned identity signed the key document; the
 * document is none, or for another place or time; the server did not select the sealed subprotocol.
 */
export type SealFault =
  | 'seal.handshake'
  | 'seal.broken'
  | 'seal.malformed'
  | 'seal.limit'
  | 'seal.truncated'
  | 'local.pin'
  | 'local.keys'
  | 'local.unsealed'

/** Fails; with what the cause says, if that has a name already. */
export function fail(code: SealFault, cause?: unknown): never {
  throw cause instanceof SallyportError ? cause : new SallyportError(code, code, { cause })
}
