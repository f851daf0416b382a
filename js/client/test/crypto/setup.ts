// What the tests of the seal share: vectors, suites, and the server's side of a handshake by the other implementation of HPKE.
import { readFileSync } from 'node:fs'
import * as noble from '@panva/hpke-noble'
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256 } from 'hpke'
import { type Bytes, join, label, lp, sha, uint, use } from '../../src/crypto/bytes.js'
import { keyID } from '../../src/crypto/document.js'
import { type Half, half, type Kind, next, open } from '../../src/crypto/half.js'
import { MLKEM768_X25519, type Usable, usable, X25519 } from '../../src/crypto/hpke.js'
import { derive, secret } from '../../src/crypto/schedule.js'

export const hex = (text: string): Bytes => Uint8Array.from(text.match(/../g) ?? [], b => Number.parseInt(b, 16))
export const toHex = (b: Uint8Array): string => Array.from(b, x => x.toString(16).padStart(2, '0')).join('')
export const utf8 = (text: string): Bytes => new TextEncoder().encode(text)

const folder = new URL('../../../../spec/vectors/seal/', import.meta.url)
/** The vectors of a file. */
export const vectors = <T>(file: string): T[] => JSON.parse(readFileSync(new URL(file, folder), 'utf8')).vectors

/** A suite by its number, native where the platform can do it. */
export async function suite(id: number): Promise<Usable> {
  const all = await usable([MLKEM768_X25519, X25519], noble)
  return all.find(s => s.id === id)!
}

/** HPKE of package hpke, whole: not the code under test. */
export const hpkeOf = ({ kem }: Usable) => new CipherSuite((() => kem) as never, KDF_HKDF_SHA256, AEAD_AES_256_GCM)

/** A key of the server, with its private half. */
export interface ServerKey {
  suite: Usable
  pair: { privateKey: object; publicKey: object }
  public: Bytes
  id: Bytes
}

export async function serverKey(s: Usable): Promise<ServerKey> {
  const pair = await s.kem.GenerateKeyPair(true)
  const key = await s.kem.SerializePublicKey(pair.publicKey)
  return { suite: s, pair, public: key, id: await keyID({ suite: s.id, from: 0, until: 0, public: key }) }
}

/** Why the server refuses: as the Go implementation says it. */
export class Refusal extends Error {}

/** The server's answer to a first message, and what it derives. */
export async function accept(k: ServerKey, context: readonly string[], hello: Bytes) {
  const hpke = hpkeOf(k.suite)
  const p = await sha(label('prologue', uint(k.suite.id, 2), lp(k.public), ...context.map(s => lp(utf8(s)))))
  const at = 11 + hpke.KEM.Nenc
  const ctx = await hpke.SetupRecipient(k.pair as never, hello.slice(11, at), { info: label('client', p) })
  const client = await hpke.DeserializePublicKey(await ctx.Open(hello.slice(at), hello.slice(0, 11)))
  const s1 = (await ctx.Export(use('s1'), 32)) as Bytes
  const th1 = await sha(label('th1', p, hello))
  const { encapsulatedSecret: enc, ctx: back } = await hpke.SetupSender(client, { info: label('server', th1) })
  const th = await sha(label('th2', th1, enc))
  const keys = await derive(th, s1, (await back.Export(use('s2'), 32)) as Bytes)
  const confirm = new Uint8Array(await crypto.subtle.sign('HMAC', keys.confirm, th))
  return { ...keys, th, answer: join(Uint8Array.of(2), enc, confirm) }
}

/** The server's side of an open session, as far as tests need it. */
export interface ServerSession {
  out: Half
  into: Half
  seal(kind: Kind, data: Bytes, more?: boolean, last?: boolean): Promise<Bytes>
  open(record: Bytes): Promise<{ kind: Kind; more: boolean; data: Bytes }>
}

export async function serverSession(k: ServerKey, keys: Awaited<ReturnType<typeof accept>>): Promise<ServerSession> {
  const hpke = hpkeOf(k.suite)
  let { root, th } = keys
  let after: CryptoKey | undefined
  const s: ServerSession = {
    out: half(keys.s2c),
    into: half(keys.c2s),
    seal: (kind, data, more = false, last = false) => next(s.out, kind, data.length, more, last, true)(data),
    async open(record) {
      const opened = await open(s.into, record)
      if (opened.kind === 7) s.into = half(after!)
      return opened
    },
  }
  return Object.assign(s, {
    /** Answers an offer: the record, under the old keys. */
    async agree(offered: Bytes) {
      const info = await sha(label('rekey', th, lp(offered)))
      const { encapsulatedSecret: enc, ctx } = await hpke.SetupSender(await hpke.DeserializePublicKey(offered), { info })
      const s3 = (await ctx.Export(use('s3'), 32)) as Bytes
      th = await sha(label('th3', th, lp(offered), enc))
      const fresh = await derive(th, root, s3)
      root = fresh.root
      after = fresh.c2s
      const record = await s.seal(6, enc as Bytes)
      s.out = half(fresh.s2c)
      return record
    },
  })
}

export { secret }
