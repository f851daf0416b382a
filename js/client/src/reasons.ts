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

const table: Record<Behaviour, string> = {
  never:
    'origin.untrusted auth.in-url peer.closed route.done backend.closed ws.protocol ws.unsupported ws.utf8 control.malformed guard.too-big http.malformed http.path http.host http.body http.ticket-alone http.not-found http.method http.too-large http.media-type http.version http.upgrade http.head http.cross-site http.plaintext',
  reauth:
    'auth.missing auth.invalid auth.expired auth.ticket-used auth.signed-out auth.revoked policy.changed guard.max-life renew.mismatch',
  later:
    'auth.unavailable drain guard.slow guard.too-fast guard.full guard.crowded guard.stalled admin.closed peer.lost route.stuck backend.lost backend.unreachable backend.timeout backend.refused backend.protocol backend.too-big internal http.timeout',
  'next-use': 'guard.idle',
}

/** What a client does after an end with code; undefined if the code is not of the table. */
export function behaviour(code: string): Behaviour | undefined {
  return (Object.keys(table) as Behaviour[]).find(b => table[b].split(' ').includes(code))
}

/** Whether code is of the table. */
export function isCode(code: string): code is Code {
  return behaviour(code) !== undefined
}
