// What the machine knows, hears and asks for. No clock, no dice and no socket: every event carries what was measured.
import type { Code } from './reasons.js'
import type { Why } from './ticket.js'
import type { Control, Hello } from './wire.js'

/** Why a client gave a connection up by itself; the close codes are 4900 to 4904, in this order. */
export type LocalCode = 'local.silent' | 'local.timeout' | 'local.suspended' | 'local.superseded' | 'local.protocol'

/** How a connection, or an attempt, ended. */
export interface Ending {
  /** The close code; 1006 if there was none. */
  close: number
  /** The text of the close frame, or of the failure. */
  reason: string
  /**
   * The reason of the door, a local one, or `ticket`: no ticket could be had. Undefined if the application ended it, or the
   * network did (1006).
   */
  code: Code | LocalCode | 'ticket' | (string & {}) | undefined
  /** Whether the connection was open, i.e. the door had said hello. */
  opened: boolean
}

/** What an application sees of its client. */
export type Status =
  /** Not connected, and not about to be, until `connect()` or `send()`. `why`: it ended since it was not in use. */
  | { status: 'idle'; why?: Ending }
  | { status: 'connecting' }
  /** Connected. `draining`: the server restarts, and the client is about to move to another connection. */
  | { status: 'open'; protocol: string; limits: Hello; draining: boolean }
  /** The next attempt is due in `retryIn` milliseconds. */
  | { status: 'waiting'; retryIn: number; why: Ending | undefined }
  /** Without a network, or in the back/forward cache; goes on by itself. */
  | { status: 'paused'; paused: 'offline' | 'suspended' }
  /** Ended by `close()`, and not gone yet. */
  | { status: 'closing' }
  /**
   * Ended, until `connect()`. `code`: `closed` by `close()`; `unauthenticated`: nobody is signed in; `elapsed`: not
   * connected within `maxElapsed`; `application`: by a close code of the application; else the reason of the door.
   */
  | { status: 'closed'; code: 'closed' | 'unauthenticated' | 'elapsed' | 'application' | Code | (string & {}); why: Ending | undefined }

/** Constant for the life of a client. Times in milliseconds. */
export interface Rules {
  base: number
  max: number
  stableAfter: number
  connectTimeout: number
  maxElapsed: number
  /** Whether there is a ticket or token source to renew from. */
  renewable: boolean
}

/** What is measured with every event: see `Env`. */
export interface Reading {
  now: number
  steady: number
  random: number
  hidden: boolean
  offline: boolean
  /** Bytes that the open socket has not given to the network yet. */
  buffered: number
  /** Messages wait to be sent. */
  pending: boolean
}

/** What can happen. `gen` names the connection; events of one that is gone change nothing. */
export type Happening =
  | { type: 'connect' | 'send' | 'online' | 'offline' | 'seen' | 'resume' | 'suspend' | 'restore' }
  | { type: 'timer'; due: number }
  | { type: 'reconnect'; why: string }
  | { type: 'close'; close: number; reason: string }
  | { type: 'message' | 'none' | 'ask' | 'settled' | 'fault'; gen: number }
  | { type: 'hello'; gen: number; hello: Hello; protocol: string }
  | { type: 'control'; gen: number; control: Control }
  | { type: 'failed'; gen: number; retryAfter?: number | undefined; why: string }
  /** `retry`: what the application decides about an end that is not the door's. */
  | { type: 'closed'; gen: number; close: number; reason: string; retry: boolean }

/** What the shell is to do. */
export type Effect =
  /** Get a ticket, open a socket. */
  | { do: 'dial'; gen: number; why: Why }
  /** Get a ticket, send it as a renewal. */
  | { do: 'renew'; gen: number; why: Why }
  | { do: 'probe'; gen: number }
  /** Messages go here from now on. */
  | { do: 'open'; gen: number }
  /** No more messages here; ask what has arrived, and say `settled` once it is everything. */
  | { do: 'finish'; gen: number }
  /** Start the closing handshake. */
  | { do: 'close'; gen: number; close: number; reason: string }
  /** The connection is over: tell, report what is unknown, forget it, and close the socket if it is not closed yet. */
  | { do: 'over'; gen: number; ending: Ending }

/** One connection, from the attempt to the end. Times are of the machine's clock. */
export interface Link {
  gen: number
  /** dial: no hello yet. open. last: waits for the last `got`. bye: in the closing handshake. */
  step: 'dial' | 'open' | 'last' | 'bye'
  /** When this step must be over, but for open. */
  by: number
  /** When it opened. */
  since: number
  /** The silence that is allowed, the last message, and when silence is death. */
  beat: number
  heard: number
  silent: number
  /** A long message is under way. */
  long?: boolean
  /** When an answer to a probe of its life is due, and what was buffered when it was sent. */
  probe: number
  held: number
  /** How much has arrived, and when to ask once more. */
  got: number
  ask: number
  /** When to renew, how often that failed, and whether a credential was refused. */
  renew: number
  tries: number
  refused?: boolean
  /** It was found after a sleep, so that its end says nothing about the server, and its credential may be over. */
  woken?: boolean
  stale?: boolean
  /** The door said that it ends the connection, and why. */
  announced?: Extract<Control, { t: 'close' }>
  /** How the closing handshake begins. */
  bye?: { close: number; reason: string }
}

/** The machine, with what was measured last. Never changed: `next` makes another one. */
export interface State extends Reading {
  rules: Rules
  /** What the last event asks for. */
  effects: Effect[]
  /** The machine's clock, in milliseconds: it counts sleep and never goes backwards. */
  t: number
  /** The application wants to be connected. */
  wanted: boolean
  /** The connection in use or being made; one that is being made while the other still serves; those on their way out. */
  cur?: Link | undefined
  move?: Link | undefined
  old: Link[]
  /** The name of the last connection. */
  gen: number
  /** When the next attempt is due, and the advice of the server: not before. */
  at: number
  floor: number
  /** When the last attempt began, and when a send last ended a wait. */
  tried: number
  pushed: number
  /** Failures since the last stable connection, when there was any last, and whether the immediate retry is spent. */
  failures: number
  since: number
  rejected?: boolean
  /** What the next ticket is for. */
  why: Why
  status: Status
  /** What the status will be when everything is gone. */
  final?: Status | undefined
}

/** The first state: idle. */
export function initial(rules: Rules, reading: Reading): State {
  return {
    ...reading,
    rules,
    effects: [],
    t: 0,
    wanted: false,
    old: [],
    gen: 0,
    at: Infinity,
    floor: 0,
    tried: -Infinity,
    pushed: -Infinity,
    failures: 0,
    since: Infinity,
    why: 'connect',
    status: { status: 'idle' },
  }
}

/** The machine's clock at a later moment. The wall clock counts sleep; the other goes on when the wall clock is set back. */
export function clock(s: State, { now, steady }: Pick<Reading, 'now' | 'steady'>): number {
  return s.t + Math.max(0, now - s.now, steady - s.steady)
}

/** Every connection that counts. */
export function links(s: State): Link[] {
  return [s.cur, s.move, ...s.old].filter(l => !!l)
}

/** When the machine wants its next `timer` event, on its own clock; Infinity: it does not. */
export function due(s: State): number {
  const each = links(s).map(l => (l.step === 'open' ? Math.min(l.silent, l.probe, l.ask, l.renew) : l.by))
  return Math.min(s.at, givenUp(s), ...each)
}

/** When the client gives up: `maxElapsed` after it was last connected. */
export function givenUp(s: State): number {
  return s.wanted && s.cur?.step !== 'open' ? s.since + s.rules.maxElapsed : Infinity
}
