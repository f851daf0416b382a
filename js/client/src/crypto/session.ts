// Both directions of an open session, and how their keys are made anew: spec/seal.md, sections 7 and 8.
import { type Bytes, label, lp, sha, wipe } from './bytes.js'
import { fail } from './fault.js'
import { answer, auth, binary, end, erase, filler, half, type Kind, next, type Opened, offer, open, text, turn } from './half.js'
import { receive } from './handshake.js'
import type { Pair, Usable } from './hpke.js'
import { derive, type Schedule } from './schedule.js'

const minute = 60_000
const keyAge = 10 * minute
const agreementAge = 60 * minute
const gap = minute
const nothing = () => new Uint8Array()

/** Now, by the clock that counts sleep and may be set, and by the one that does neither. */
const moment = () => [Date.now(), performance.now()] as const
const age = ([wall, steady]: readonly [number, number]) => Math.max(Date.now() - wall, performance.now() - steady)

/** An open session. */
export interface Session {
  /**
   * Seals a record with n bytes of data and posts it. Its number is taken before this returns, so that the order of the
   * calls is that of the wire, whatever the data waits for.
   */
  write(kind: Kind, n: number, data: () => Bytes | Promise<Bytes>, more?: boolean): Promise<void>
  /** Opens the record that comes next; the one before must be done. Does what the keys ask for. */
  open(record: Bytes): Promise<Opened>
  /** Overwrites what is owned; nothing is sent from now on. */
  erase(): void
}

/**
 * A session behind a handshake. post sends a record; failed hears of what went wrong on the way there.
 */
export function session(
  suite: Usable,
  keys: Schedule & { th: Bytes },
  pad: boolean,
  post: (record: Bytes) => void,
  failed: (error: unknown) => void,
): Session {
  const { kem } = suite
  let { root, th } = keys
  let out = half(keys.c2s)
  let into = half(keys.s2c)
  let line: Promise<void> = Promise.resolve()
  let erased = false
  let ended = false // we said the last
  let over = false // they did
  let under: Kind = filler // the message that is arriving
  let offered: { pair: Pair; key: Bytes } | true | undefined
  // Of the key in use, of the last agreement, and of the last record that came.
  let since = moment()
  let agreed = since
  let heard = since
  let slept = false

  const write: Session['write'] = (kind, n, data, more = false) => {
    const used = out
    const epochs = used.epochs
    const seal = next(used, kind, n, more, age(since) >= keyAge, pad || kind === auth)
    if (used.epochs > epochs) since = moment()
    if (kind === end) ended = true
    line = line
      .then(async () => {
        const record = !erased && (await seal(await data()))
        if (record && !erased) post(record)
      })
      .catch(failed)
    return line
  }

  /** Fresh keys from time to time, and after a sleep; a thief of the old state is out then. */
  function tick(): void {
    slept ||= age(heard) > gap || Date.now() < heard[0]
    heard = moment()
    if (ended) return
    if (age(since) >= keyAge && out.records) write(filler, 0, nothing)
    // The steady clock counts less than the server's, so that an offer is never too early.
    if (!offered && age(agreed) >= (slept ? keyAge : agreementAge) && performance.now() - agreed[1] > 2 * minute) propose().catch(failed)
  }

  async function propose(): Promise<void> {
    offered = true
    slept = false
    const pair = await kem.GenerateKeyPair(false)
    const key = await kem.SerializePublicKey(pair.publicKey)
    if (ended || erased) return
    offered = { pair, key }
    write(offer, key.length, () => key)
  }

  async function answered(enc: Bytes): Promise<void> {
    if (typeof offered !== 'object' || enc.length !== kem.Nenc) fail('seal.malformed')
    const { pair, key } = offered
    const info = await sha(label('rekey', th, lp(key)))
    const s3 = await receive(suite, pair, enc, info, 's3').catch(cause => fail('seal.malformed', cause))
    th = await sha(label('th3', th, lp(key), enc))
    const fresh = await derive(th, root, s3)
    root = fresh.root
    await erase(into)
    into = half(fresh.s2c)
    offered = undefined
    if (ended || erased) return
    const old = out
    write(turn, 0, nothing).then(() => erase(old))
    out = half(fresh.c2s)
    agreed = since = moment()
  }

  function close(): void {
    erased = true
    offered = undefined
    wipe(root)
    erase(out)
    erase(into)
  }

  return {
    write,
    async open(record) {
      const opened = await open(into, record)
      const { kind, more, data } = opened
      const n = data.length
      if (over || [auth, offer, turn].includes(kind as 3) || (kind === filler && n)) fail('seal.malformed')
      if (kind === text || kind === binary) {
        if ((under && under !== kind) || (more && !n)) fail('seal.malformed')
        under = more ? kind : filler
      } else if (more) fail('seal.malformed')
      if (kind === answer) await answered(data)
      if (kind === end) {
        over = true
        readEnd(data)
      }
      if (erased) close()
      else tick()
      return opened
    },
    erase: close,
  }
}

/** The close code and the reason in the content of an end; 1005 if there is none. */
export function readEnd(data: Bytes): [code: number, reason: string] {
  if (!data.length) return [1005, '']
  const code = data[0]! * 256 + data[1]!
  const sendable = (code > 999 && code < 1004) || (code > 1006 && code < 1015) || (code > 2999 && code < 5000)
  if (!sendable || data.length > 125) fail('seal.malformed')
  return [code, decode(data.subarray(2))]
}

/** Reads UTF-8. */
export function decode(data: Bytes): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data)
  } catch (cause) {
    return fail('seal.malformed', cause)
  }
}
