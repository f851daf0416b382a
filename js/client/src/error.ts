import type { SealFault } from './crypto/fault.js'

/**
 * Why an operation of ours failed.
 *
 * - `unauthenticated`: the ticket source answered that nobody is signed in
 * - `ticket`: no ticket could be had; `status` and `retryAfter` say more, if the endpoint answered
 * - `timeout`: it took too long
 * - `aborted`: by the caller, through a signal or `close()`
 * - `closed`: the connection, or the client, is closed
 * - `queue-full`, `expired`, `too-large`: the message was not sent, for this reason
 * - `overflow`: an iterator was too slow
 * - `protocol`: the peer broke the protocol
 * - `network`: the connection failed, and the platform does not say why
 * - `unsupported`: the platform lacks the cryptography of the seal
 * - the faults of the seal: see `sallyport/crypto`
 */
export type Problem =
  | 'unauthenticated'
  | 'ticket'
  | 'timeout'
  | 'aborted'
  | 'closed'
  | 'queue-full'
  | 'expired'
  | 'too-large'
  | 'overflow'
  | 'protocol'
  | 'network'
  | 'unsupported'
  | SealFault

/** Every error of this package that is not a plain `TypeError` or a `DOMException` of the WebSocket interface. */
export class SallyportError extends Error {
  override readonly name = 'SallyportError'
  declare readonly code: Problem
  /** The HTTP status of the ticket endpoint, if it answered. */
  declare readonly status: number | undefined
  /** The least time to wait before the next attempt, in seconds, if the endpoint asked for one. */
  declare readonly retryAfter: number | undefined

  constructor(code: Problem, message: string, more: { cause?: unknown; status?: number; retryAfter?: number | undefined } = {}) {
    super(message, more)
    Object.assign(this, { code, status: more.status, retryAfter: more.retryAfter })
  }
}
