// spec/vectors/seal: what another implementation wrote, and what must be refused.
import { createHmac } from 'node:crypto'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Bytes, label, lp, sha, uint, use } from '../../src/crypto/bytes.js'
import { isKey, keyID, verify } from '../../src/crypto/document.js'
import { half, open } from '../../src/crypto/half.js'
import { receive, resume } from '../../src/crypto/handshake.js'
import type { Usable } from '../../src/crypto/hpke.js'
import { keysOf } from '../../src/crypto/keys.js'
import { derive, expand, secret } from '../../src/crypto/schedule.js'
import { readEnd, session } from '../../src/crypto/session.js'
import { hex, hpkeOf, suite, toHex, utf8, vectors } from './setup.js'

interface Agreement {
  client_private: string
  client_public: string
  enc3: string
  s3: string
  th3: string
  root: string
  c2s: string
  s2c: string
}
interface RecordVector {
  from: 'client' | 'server'
  kind: string
  more: boolean
  last: boolean
  data: string
  epoch_secret: string
  key: string
  iv: string
  record: string
}
interface SessionVector extends Record<string, unknown> {
  name: string
  suite: number
  context: { token: string; authority: string; target: string; origin: string }
  server_private: string
  server_public: string
  key_id: string
  client_private: string
  client_public: string
  prologue: string
  client_hello: string
  s1: string
  th1: string
  server_hello: string
  s2: string
  th2: string
  root: string
  c2s: string
  s2c: string
  confirm_key: string
  agreements: Agreement[]
  records: RecordVector[]
}
interface Failure {
  name: string
  session: string
  receiver: 'client' | 'server'
  at: 'client_hello' | 'server_hello' | 'auth' | 'record'
  messages: string[]
  closed?: boolean
  fault: string
}

const kinds = ['filler', 'text', 'binary', 'auth', 'end', 'offer', 'answer', 'turn']
const all = vectors<SessionVector>('sessions.json')

async function pairOf(v: { suite: number }, raw: string) {
  const s = await suite(v.suite)
  const privateKey = await s.kem.DeserializePrivateKey(hex(raw), true)
  return { s, privateKey }
}
async function pair(v: { suite: number }, raw: string, pub: string) {
  const { s, privateKey } = await pairOf(v, raw)
  return { privateKey, publicKey: await s.kem.DeserializePublicKey(hex(pub)) }
}
const prologueOf = (v: SessionVector) =>
  sha(
    label(
      'prologue',
      uint(v.suite, 2),
      lp(hex(v.server_public)),
      ...[v.context.token, v.context.authority, v.context.target, v.context.origin].map(s => lp(utf8(s))),
    ),
  )
/** Whether a key that no script can read is this one. */
const isSecret = async (key: CryptoKey, want: string) =>
  expect(toHex(await expand(key, 'test'))).toBe(
    createHmac('sha256', hex(want))
      .update(label('test', Uint8Array.of(1)))
      .digest('hex'),
  )

describe.each(all.map(v => [v.name, v] as const))('a session: %s', (_, v) => {
  test('both sides derive what is written', async () => {
    const s = await suite(v.suite)
    const p = await prologueOf(v)
    expect(toHex(p)).toBe(v.prologue)
    const key = { suite: v.suite, from: 0, until: 0, public: hex(v.server_public) }
    expect(toHex(await keyID(key))).toBe(v.key_id)

    // The server's side of the first message, by our key schedule and by that of package hpke.
    const hello = hex(v.client_hello)
    const at = 11 + s.kem.Nenc
    const server = await pair(v, v.server_private, v.server_public)
    expect(toHex(await receive(s, server, hello.slice(11, at), label('client', p), 's1'))).toBe(v.s1)
    const ctx = await hpkeOf(s).SetupRecipient(server as never, hello.slice(11, at), { info: label('client', p) })
    expect(toHex(await ctx.Open(hello.slice(at), hello.slice(0, 11)))).toBe(v.client_public)
    expect(toHex(await ctx.Export(use('s1'), 32))).toBe(v.s1)
    expect(toHex(hello.slice(0, 11))).toBe(`01${toHex(uint(v.suite, 2))}${v.key_id}`)

    const th1 = await sha(label('th1', p, hello))
    expect(toHex(th1)).toBe(v.th1)
    const mine = await pair(v, v.client_private, v.client_public)
    const enc2 = hex(v.server_hello).slice(1, -32)
    expect(toHex(await receive(s, mine, enc2, label('server', th1), 's2'))).toBe(v.s2)
    const handshake = await resume(s, mine, p, hello, hex(v.s1))
    const keys = await handshake.finish(hex(v.server_hello))
    expect(toHex(keys.th)).toBe(v.th2)
    expect(toHex(keys.root)).toBe(v.root)
    await isSecret(keys.c2s, v.c2s)
    await isSecret(keys.s2c, v.s2c)
    await isSecret(keys.confirm, v.confirm_key)
  })

  test('every record opens in its order, through both agreements', async () => {
    const s = await suite(v.suite)
    const into = { client: half(await secret(hex(v.c2s))), server: half(await secret(hex(v.s2c))) }
    let th = hex(v.th2)
    let root = hex(v.root)
    const agreements = [...v.agreements]
    let current: Agreement | undefined
    let offered: Bytes = new Uint8Array()
    for (const r of v.records) {
      const h = into[r.from]
      const { iv, secret: epoch } = await h.keys
      expect(toHex(iv.slice(0, 12))).toBe(r.iv)
      await isSecret(epoch, r.epoch_secret)
      expect(toHex(await expand(epoch, 'key'))).toBe(r.key)
      const epochs = h.epochs
      const got = await open(h, hex(r.record))
      expect({ kind: kinds[got.kind], more: got.more, data: toHex(got.data) }).toEqual({ kind: r.kind, more: r.more, data: r.data })
      expect(h.epochs > epochs).toBe(r.last)
      if (r.kind === 'offer') {
        current = agreements.shift()!
        offered = got.data
        expect(toHex(offered)).toBe(current.client_public)
      } else if (r.kind === 'answer') {
        const a = current!
        const info = await sha(label('rekey', th, lp(offered)))
        const s3 = await receive(s, await pair(v, a.client_private, a.client_public), got.data, info, 's3')
        expect(toHex(s3)).toBe(a.s3)
        th = await sha(label('th3', th, lp(offered), got.data))
        expect(toHex(th)).toBe(a.th3)
        const fresh = await derive(th, root, s3)
        root = fresh.root
        expect(toHex(root)).toBe(a.root)
        await isSecret(fresh.s2c, a.s2c)
        await isSecret(fresh.c2s, a.c2s)
        into.server = half(fresh.s2c)
      } else if (r.kind === 'turn') into.client = half(await secret(hex(current!.c2s)))
    }
    expect(agreements).toEqual([])
  })
})

/** The client in a session of the vectors, behind its credential. */
async function clientOf(v: SessionVector, post: (r: Bytes) => void = () => {}) {
  const s = await suite(v.suite)
  const keys = {
    confirm: await secret(hex(v.confirm_key)),
    c2s: await secret(hex(v.c2s)),
    s2c: await secret(hex(v.s2c)),
    root: hex(v.root),
  }
  const failed = (error: unknown) => {
    throw error
  }
  return session(s, { ...keys, th: hex(v.th2) }, true, post, failed)
}

afterEach(() => vi.useRealTimers())

const faultOf = (error: unknown) => (error as { code?: string }).code

describe('what must be refused', () => {
  const failures = vectors<Failure>('failures.json').map((f, i) => [i, f.receiver, f.name, f] as const)

  test.each(failures.filter(f => f[3].receiver === 'client'))('%i %s: %s', async (_i, _r, _n, f) => {
    const v = all.find(s => s.name === f.session)!
    if (f.at === 'server_hello') {
      const s = await suite(v.suite)
      const mine = await pair(v, v.client_private, v.client_public)
      const handshake = await resume(s, mine, hex(v.prologue), hex(v.client_hello), hex(v.s1))
      const got = await handshake.finish(hex(f.messages[0]!)).then(
        () => '',
        // The owner turns what the platform throws into this, too.
        error => faultOf(error) ?? 'seal.handshake',
      )
      expect(got).toBe(f.fault)
      return
    }
    const c = await clientOf(v)
    let fault = ''
    let end = false
    for (const [i, m] of f.messages.entries()) {
      try {
        const { kind, data } = await c.open(hex(m))
        if (kind === 4) {
          end = true
          readEnd(data)
        }
      } catch (error) {
        fault = faultOf(error)!
        expect(i).toBe(f.messages.length - 1)
      }
    }
    if (f.closed && !fault && !end) fault = 'seal.truncated'
    expect(fault).toBe(f.fault)
  })

  // What a server refuses of records, our code for records refuses as well; its handshake and agreements are not in this package.
  const records = failures.filter(f => f[3].receiver === 'server' && f[3].at === 'record' && f[3].fault === 'seal.broken')
  test.each(records)('%i %s: %s', async (_i, _r, _n, f) => {
    const v = all.find(s => s.name === f.session)!
    const h = half(await secret(hex(v.c2s)))
    await open(h, hex(v.records[0]!.record))
    let fault = ''
    for (const m of f.messages) await open(h, hex(m)).catch(error => (fault = faultOf(error)!))
    expect(fault).toBe(f.fault)
  })
})

describe('key documents', () => {
  interface DocumentVector {
    name: string
    pins: string[]
    authority: string
    minimum_generation: number
    now: number
    suites: number[]
    document: string
    fault: string
    generation?: number
    keys?: { suite: number; not_before: number; not_after: number; public: string }[]
    picked?: string
  }
  test.each(vectors<DocumentVector>('documents.json').map(v => [v.name, v] as const))('%s', async (_, v) => {
    const judge = async () => {
      vi.useFakeTimers({ toFake: ['Date'], now: v.now * 1000 })
      const find = keysOf(v.pins, { getItem: () => `${v.minimum_generation}`, setItem: () => {} })
      const get = async () => new Response(hex(v.document))
      const suites = v.suites.map(id => ({ id })) as Usable[]
      const [key] = await find(v.authority, new URL('https://app.example.com/'), suites, false, get, new AbortController().signal)
      return { d: await verify(hex(v.document), v.pins, v.authority, v.now), key }
    }
    if (v.fault) {
      expect(await judge().then(() => '', faultOf)).toBe(v.fault)
      return
    }
    const { d, key } = await judge()
    expect(d.generation).toBe(v.generation)
    expect(d.keys.map(k => ({ suite: k.suite, not_before: k.from, not_after: k.until, public: toHex(k.public) }))).toEqual(
      v.keys!.map(({ suite, not_before, not_after, public: p }) => ({ suite, not_before, not_after, public: p })),
    )
    expect(toHex(await keyID(key))).toBe(v.picked)
  })

  test('a public key of ML-KEM that is not reduced is refused (FIPS 203, section 7.2)', async () => {
    const { kem } = await suite(1)
    for (let i = 0; i < 20; i++) {
      const good = await kem.SerializePublicKey((await kem.GenerateKeyPair(true)).publicKey)
      expect(isKey(1, good)).toBe(true)
      for (const at of [0, 3, 381, 1149]) {
        // 3329, the modulus itself, in either place of a group of three bytes.
        for (const [a, b, c] of [
          [0x01, 0x0d, 0x00],
          [0x00, 0x10, 0xd0],
          [0xff, 0xff, 0xff],
        ]) {
          const bad = good.slice()
          bad.set([a!, b!, c!], at)
          expect(isKey(1, bad), `${at}`).toBe(false)
        }
        const edge = good.slice()
        edge.set([0x00, 0x0d, 0xd0], at)
        expect(isKey(1, edge)).toBe(true)
      }
    }
    expect(isKey(1, new Uint8Array(1215))).toBe(false)
    expect(isKey(2, new Uint8Array(31))).toBe(false)
    expect(isKey(9, new Uint8Array(4097))).toBe(false)
  })

  test('every byte flipped is refused', async () => {
    const v = vectors<DocumentVector>('documents.json')[0]!
    const document = hex(v.document)
    for (let i = 0; i < document.length; i++) {
      const bad = document.slice()
      bad[i]! ^= 1 << (i % 8)
      const code = await verify(bad, v.pins, v.authority, v.now).then(() => '', faultOf)
      expect(['local.pin', 'local.keys'], `byte ${i}`).toContain(code)
    }
  })
})
