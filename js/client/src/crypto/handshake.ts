// The client's side of the handshake: spec/seal.md, sections 4 to 6.
import { ascii, type Bytes, join, label, lp, sha, uint, wipe } from './bytes.js'
import { type Key, keyID } from './document.js'
import { fail } from './fault.js'
import { type Pair, shared, type Usable } from './hpke.js'
import { derive, type Schedule } from './schedule.js'

/** Where a connection goes: token, authority, target and origin, in this order, as both sides must know them. */
export type Context = readonly [token: string, authority: string, target: string, origin: string]

/** A handshake between its first message and the answer. */
export interface Handshake {
  hello: Bytes
  /** Takes the answer; fails with `seal.handshake` for any but the server's. */
  finish(answer: Bytes): Promise<Schedule & { th: Bytes }>
  /** Overwrites what is owned, if it will not be finished. */
  erase(): void
}

/** Begins a handshake with the server that has a key. */
export async function begin(suite: Usable, key: Key, context: Context): Promise<Handshake> {
  const { id, kem } = suite
  const p = await sha(label('prologue', uint(id, 2), lp(key.public), ...context.map(s => lp(ascii(s)))))
  const pair = await kem.GenerateKeyPair(false)
  const { enc, shared_secret } = await kem.Encap(await kem.DeserializePublicKey(key.public))
  const hpke = await shared(suite, shared_secret, label('client', p))
  const head = join(Uint8Array.of(1), uint(id, 2), await keyID(key))
  const hello = join(head, enc, await hpke.seal(await kem.SerializePublicKey(pair.publicKey), head))
  return resume(suite, pair, p, hello, await hpke.export('s1'))
}

/** A handshake whose first message is made. */
export async function resume(suite: Usable, pair: Pair, p: Bytes, hello: Bytes, s1: Bytes): Promise<Handshake> {
  const th1 = await sha(label('th1', p, hello))
  return {
    hello,
    async finish(answer) {
      const n = 1 + suite.kem.Nenc
      if (answer.length !== n + 32 || answer[0] !== 2) fail('seal.handshake')
      const enc = answer.slice(1, n)
      const s2 = await receive(suite, pair, enc, label('server', th1), 's2')
      const th = await sha(label('th2', th1, enc))
      const keys = await derive(th, s1, s2)
      if (!(await crypto.subtle.verify('HMAC', keys.confirm, answer.slice(n), th))) {
        wipe(keys.root)
        fail('seal.handshake')
      }
      return { ...keys, th }
    },
    erase: () => wipe(s1),
  }
}

/** The secret for a use, from what was encapsulated to a pair of ours. */
export async function receive(suite: Usable, { privateKey, publicKey }: Pair, enc: Bytes, info: Bytes, name: string): Promise<Bytes> {
  return (await shared(suite, await suite.kem.Decap(enc, privateKey, publicKey), info)).export(name)
}

/** A credential: kind and value. */
export type Credential = readonly [kind: 0 | 1 | 2, value: string]

/** The content of the record that carries a credential, with the proof that this device is at the other end. */
export async function credential(th: Bytes, [kind, value]: Credential, device?: CryptoKeyPair): Promise<Bytes> {
  const head = join(Uint8Array.of(kind), lp(ascii(value)))
  if (!device) return join(head, Uint8Array.of(0))
  const { publicKey, privateKey } = device
  const key = new Uint8Array(await crypto.subtle.exportKey('raw', publicKey))
  const body = join(head, Uint8Array.of(key.length === 32 ? 1 : 2), key)
  const how = { name: privateKey.algorithm.name, hash: 'SHA-256' }
  const proof = await crypto.subtle.sign(how, privateKey, label('auth', th, await sha(body)))
  return join(body, new Uint8Array(proof))
}
