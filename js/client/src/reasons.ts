// Generated from spec/reasons.json by deny/gen; edit that file and run go generate ./deny.

/** Why the door ended or refused a connection. */
export type Code =
  | 'guard.idle'
  | 'origin.untrusted'
  | 'auth.missing'
  | 'auth.invalid'
  | 'auth.expired'
  | 'auth.ticket-used'
  | 'auth.signed-out'
  | 'auth.revoked'
  | 'auth.in-url'
  | 'auth.unavailable'
  | 'policy.changed'
  | 'drain'
  | 'guard.slow'
  | 'guard.too-fast'
  | 'guard.full'
  | 'guard.crowded'
  | 'guard.stalled'
  | 'guard.max-life'
  | 'admin.closed'
  | 'peer.lost'
  | 'peer.closed'
  | 'route.done'
  | 'route.stuck'
  | 'backend.lost'
  | 'backend.closed'
  | 'backend.unreachable'
  | 'backend.timeout'
  | 'backend.refused'
  | 'backend.protocol'
  | 'backend.too-big'
  | 'ws.protocol'
  | 'ws.unsupported'
  | 'ws.utf8'
  | 'seal.required'
  | 'seal.keys'
  | 'seal.unbound'
  | 'seal.handshake'
  | 'seal.broken'
  | 'seal.limit'
  | 'seal.truncated'
  | 'seal.malformed'
  | 'control.malformed'
  | 'guard.too-big'
  | 'internal'
  | 'http.malformed'
  | 'http.path'
  | 'http.host'
  | 'http.body'
  | 'http.ticket-alone'
  | 'http.not-found'
  | 'http.method'
  | 'http.timeout'
  | 'http.too-large'
  | 'http.media-type'
  | 'http.version'
  | 'http.upgrade'
  | 'http.head'
  | 'http.cross-site'
  | 'http.plaintext'
  | 'renew.mismatch'

/**
 * What a client does after an end with a code: stay away, come back with a fresh credential, come back after a
 * back-off, or come back when there is something to send.
 */
export type Behaviour = 'never' | 'reauth' | 'later' | 'next-use'

/** What the table of reasons says of a code: what a client does, the close code, and the title in the close reason. */
export interface Reason {
  act: Behaviour
  close: number
  title: string
}

const table: [act: Behaviour, close: number, title: string, codes: string][] = [
  ['next-use', 4000, 'Idle timeout', 'guard.idle'],
  ['never', 4001, 'Unauthorized', 'origin.untrusted auth.in-url seal.required'],
  [
    'reauth',
    4001,
    'Unauthorized',
    'auth.missing auth.invalid auth.expired auth.ticket-used auth.signed-out auth.revoked policy.changed seal.unbound',
  ],
  ['later', 4207, 'Try again later', 'auth.unavailable'],
  ['later', 4200, 'Restarting', 'drain'],
  ['later', 4201, 'Too slow', 'guard.slow'],
  ['later', 4202, 'Too fast', 'guard.too-fast'],
  ['later', 4203, 'Try again later', 'guard.full'],
  ['later', 4204, 'Try again later', 'guard.crowded'],
  ['later', 4205, 'Stalled', 'guard.stalled'],
  ['reauth', 4206, 'Lifetime over', 'guard.max-life'],
  ['later', 4208, 'Closed by the operator', 'admin.closed'],
  ['later', 4209, 'Peer lost', 'peer.lost'],
  ['never', 1000, 'Closed', 'peer.closed backend.closed'],
  ['never', 1000, 'Done', 'route.done'],
  ['later', 1011, 'Internal error', 'route.stuck internal'],
  ['later', 4220, 'Backend lost', 'backend.lost'],
  ['later', 4221, 'Backend unreachable', 'backend.unreachable'],
  ['later', 4222, 'Backend too slow', 'backend.timeout'],
  ['later', 4223, 'Backend refused', 'backend.refused'],
  ['later', 4224, 'Backend fault', 'backend.protocol'],
  ['later', 4225, 'Backend fault', 'backend.too-big'],
  ['never', 1002, 'Protocol error', 'ws.protocol seal.malformed control.malformed'],
  ['never', 1003, 'Unsupported data', 'ws.unsupported'],
  ['never', 1007, 'Invalid UTF-8', 'ws.utf8'],
  ['reauth', 4230, 'Sealing keys changed', 'seal.keys'],
  ['later', 4231, 'Seal failed', 'seal.handshake'],
  ['later', 4232, 'Seal broken', 'seal.broken'],
  ['later', 4233, 'Seal spent', 'seal.limit'],
  ['later', 4234, 'Cut short', 'seal.truncated'],
  ['never', 1009, 'Too big', 'guard.too-big'],
  ['reauth', 4001, 'Conflict', 'renew.mismatch'],
]

/** The row of a code that can end a connection; undefined for any other, those of HTTP among them. */
export function lookup(code: string): Reason | undefined {
  for (const [act, close, title, codes] of table) if (codes.split(' ').includes(code)) return { act, close, title }
  return
}

/** What a client does after an end with code; undefined if it is not of the table. */
export const behaviour = (code: string): Behaviour | undefined => lookup(code)?.act
