// Keys and numbers of a session: none is used twice, and none is left behind. With the server's side of setup.ts.
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Bytes, label } from '../../src/crypto/bytes.js'
import { filler, half, type Kind, limits, maxData, next, open, padded, text } from '../../src/crypto/half.js'
import { begin, type Context, credential } from '../../src/crypto/handshake.js'
import type { Usable } from '../../src/crypto/hpke.js'
import { secret } from '../../src/crypto/schedule.js'
import { session } from '../../src/crypto/session.js'
import { accept, type ServerSession, serverKey, serverSession, suite, utf8 } from './setup.js'

const context: Context = ['sallyport.v1+seal', 'app.example.com:443', '/ws?x=1', 'https://app.example.com']
const defaults = { ...limits }
afterEach(() => {
  Object.assign(limits, defaults)
  vi.restoreAllMocks()
  vi.useRealTimers()
})

type Server = ServerSession & { agree(offered: Bytes): Promise<Bytes> }

async function pair(s: Usable, post: (record: Bytes) => void, failed: (error: unknown) => void = error => expect.fail(String(error))) {
  const key = await serverKey(s)
  const handshake = await begin(s, { suite: s.id, from: 0, until: 0, public: key.public }, context)
  const answer = await accept(key, context, handshake.hello)
  const keys = await handshake.finish(answer.answer)
  const client = session(s, keys, true, post, failed)
  return { client, server: (await serverSession(key, answer)) as Server, th: keys.th }
}

/** Lets the platform's cryptography, which works elsewhere, come to an end. */
const settle = () => new Promise(done => setTimeout(done, 15))

/** Every key and nonce that something was sealed with, as it is asked of the platform. A key is its bytes: imported twice it is one. */
function audit() {
  const bytes = new WeakMap<CryptoKey, string>()
  const seen = new Map<string, Set<string>>()
  let records = 0
  const importKey = crypto.subtle.importKey.bind(crypto.subtle) as (...args: unknown[]) => Promise<CryptoKey>
  vi.spyOn(crypto.subtle, 'importKey').mockImplementation((async (format: string, raw: Uint8Array, ...rest: unknown[]) => {
    const text = format === 'raw' ? `${raw}` : '' // they are overwritten afterwards
    const key = await importKey(format, raw, ...rest)
    bytes.set(key, text)
    return key
  }) as never)
  const encrypt = crypto.subtle.encrypt.bind(crypto.subtle)
  vi.spyOn(crypto.subtle, 'encrypt').mockImplementation((how, key, data) => {
    const text = bytes.get(key)
    expect(text, 'a key that was not seen').toBeTruthy()
    const nonces = seen.get(text!) ?? new Set()
    seen.set(text!, nonces)
    const nonce = `${(how as AesGcmParams).iv}`
    expect(nonces.has(nonce), `a nonce twice: ${nonce}`).toBe(false)
    nonces.add(nonce)
    records++
    return encrypt(how, key, data)
  })
  return { keys: () => seen.size, records: () => records }
}

describe.each([1, 2])('suite %i', id => {
  test('SR-97: a long run with rekeys, agreements and concurrency: no key and nonce twice, everything in order', {
    timeout: 60_000,
  }, async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] })
    Object.assign(limits, { records: 7, bytes: 20_000 })
    const s = await suite(id)
    const wire: Bytes[] = []
    const a = audit() // from the handshake on
    const { client, server } = await pair(s, r => wire.push(r))
    const raws = new Set<string>()
    const sent: string[] = []
    const got: string[] = []
    let agreements = 0
    let dice = 1
    const random = (n: number) => (dice = (dice * 48_271) % 2_147_483_647) % n
    for (let round = 0; round < 120; round++) {
      // Several at once, with data that comes late and out of order.
      const writes = Array.from({ length: 1 + random(12) }, (_, i) => {
        const message = `${round}.${i} ${'x'.repeat(random(3000))}`
        sent.push(message)
        const wait = random(3)
        return client.write(text, message.length, async () => {
          for (let k = 0; k < wait; k++) await null
          return utf8(message)
        })
      })
      await Promise.all(writes)
      vi.setSystemTime(Date.now() + (round % 10 === 9 ? 61 * 60_000 : 20_000))
      vi.advanceTimersByTime(round % 10 === 9 ? 61 * 60_000 : 20_000)
      const back = [await server.seal(text, utf8(`s${round}`), false, random(4) === 0)]
      for (const r of back) expect((await client.open(r)).data).toEqual(utf8(`s${round}`))
      await settle()
      while (wire.length) {
        const r = wire.shift()!
        raws.add(`${r}`)
        const o = await server.open(r)
        if (o.kind === text) got.push(new TextDecoder().decode(o.data))
        if (o.kind === 5) {
          agreements++
          await client.open(await server.agree(o.data))
          await settle()
        }
      }
    }
    expect(got).toEqual(sent)
    expect(agreements).toBeGreaterThan(8)
    expect(a.keys()).toBeGreaterThan(150)
    expect(a.records()).toBeGreaterThan(800)
    expect(raws.size).toBeGreaterThan(600) // no record twice, either
    client.erase()
  })

  test('an offer every hour or after a sleep, never within ten minutes, and ratchets in between', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] })
    const s = await suite(id)
    const wire: Bytes[] = []
    const { client, server } = await pair(s, r => wire.push(r))
    /** Time passes and the server is heard; then so many records come, and no more. */
    const hear = async (minutes: number, n = 0) => {
      vi.advanceTimersByTime(minutes * 60_000)
      await client.open(await server.seal(filler, new Uint8Array()))
      const came: Kind[] = []
      for (let patience = 0; patience < 300 && (came.length < n || patience < 1); patience++) {
        await settle()
        while (wire.length) {
          const o = await server.open(wire.shift()!)
          came.push(o.kind)
          if (o.kind === 5) await client.open(await server.agree(o.data))
        }
      }
      return came
    }
    expect(await hear(5)).toEqual([]) // a gap, but too soon
    await client.write(text, 1, () => utf8('x'))
    expect(await hear(0.5, 1)).toEqual([text])
    expect(await hear(0.5)).toEqual([])
    expect(await hear(4.5, 3)).toEqual([filler, 5, 7]) // the key is old, and there was a gap; 10 minutes are over
    expect(await hear(0.5)).toEqual([])
    for (let i = 0; i < 118; i++) expect(await hear(0.5)).toEqual([])
    expect(await hear(1, 2)).toEqual([5, 7]) // an hour
    client.erase()
  })

  test('a wall clock that is set back, by whoever answers for the time, stops neither the ratchet nor new agreements', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] })
    const s = await suite(id)
    const wire: Bytes[] = []
    const { client, server } = await pair(s, r => wire.push(r))
    vi.setSystemTime(Date.now() - 24 * 3_600_000)
    const kinds: Kind[] = []
    for (let minute = 0; minute < 75; minute++) {
      vi.advanceTimersByTime(60_000)
      await client.write(text, 1, () => utf8('x'))
      await client.open(await server.seal(filler, new Uint8Array()))
      await new Promise(done => setImmediate(done))
      while (wire.length) kinds.push((await server.open(wire.shift()!)).kind)
    }
    await settle()
    while (wire.length) kinds.push((await server.open(wire.shift()!)).kind)
    expect(server.into.epochs).toBeGreaterThan(5)
    expect(kinds).toContain(5)
    client.erase()
  })

  test('secrets are overwritten once they are keys, and everything else at the end', async () => {
    const s = await suite(id)
    const raws: Uint8Array[] = []
    const importKey = crypto.subtle.importKey.bind(crypto.subtle) as (...args: unknown[]) => Promise<CryptoKey>
    const ours: { name: string; extractable: unknown }[] = []
    vi.spyOn(crypto.subtle, 'importKey').mockImplementation(((
      format: string,
      raw: Uint8Array,
      how: { name?: string } | string,
      x: unknown,
      u: unknown,
    ) => {
      const name = typeof how === 'string' ? how : how.name!
      // Those of the KEM are package hpke's: X25519, ML-KEM, and HMAC in its own HKDF.
      if (format === 'raw' && (name === 'AES-GCM' || name === 'HMAC')) {
        ours.push({ name, extractable: x })
        if (new Error().stack!.includes('/src/crypto/')) raws.push(raw)
      }
      return importKey(format, raw, how, x, u)
    }) as never)
    const wire: Bytes[] = []
    const { client, server } = await pair(s, r => wire.push(r))
    for (let i = 0; i < 3; i++) await client.write(text, 1, () => utf8('x'))
    await client.open(await server.seal(text, utf8('y'), false, true))
    client.erase()
    await new Promise(done => setTimeout(done, 20))
    expect(raws.length).toBeGreaterThan(10)
    for (const r of raws) expect([...r].every(b => b === 0)).toBe(true)
    expect(ours.every(k => k.extractable === false)).toBe(true)
    // Nothing leaves an erased session.
    wire.length = 0
    await client.write(text, 1, () => utf8('x'))
    expect(wire).toEqual([])
  })
})

test('the vectors of an epoch are overwritten when it is over', async () => {
  const h = half(await secret(new Uint8Array(32).fill(7)))
  const before = await h.keys
  await next(h, text, 1, false, true, true)(utf8('x'))
  expect(before.iv.every(b => b === 0)).toBe(true)
  expect((await h.keys).iv.some(b => b)).toBe(true)
})

test('an epoch beyond its limit is refused, and one after the last too', async () => {
  const raw = () => new Uint8Array(32).fill(9)
  const sealing = half(await secret(raw()))
  const opening = half(await secret(raw()))
  const first = await next(sealing, text, 1, false, false, true)(utf8('a'))
  limits.records = 1
  await expect(open(opening, first)).rejects.toMatchObject({ code: 'seal.limit' })
  limits.epochs = 0
  await expect(next(sealing, text, 1, false, false, true)(utf8('b'))).rejects.toMatchObject({ code: 'seal.limit' })
})

test('the number is taken before anything waits', async () => {
  const h = half(await secret(new Uint8Array(32).fill(3)))
  const r = half(await secret(new Uint8Array(32).fill(3)))
  const late = next(h, text, 4, false, false, true)
  const soon = next(h, text, 4, false, false, true)
  const [second, first] = [await soon(utf8('soon')), await late(utf8('late'))]
  expect(new TextDecoder().decode((await open(r, first)).data)).toBe('late')
  expect(new TextDecoder().decode((await open(r, second)).data)).toBe('soon')
})

test('padding hides what it says, and no more than a record holds', () => {
  expect([3, 4, 32, 33, 1000, 1024, 1025, 5000, 16_384].map(padded)).toEqual([32, 32, 32, 64, 1024, 1024, 1088, 5120, 16_384])
  for (let n = 3; n <= maxData + 3; n++) {
    expect(padded(n)).toBeGreaterThanOrEqual(n)
    expect(padded(n) - n).toBeLessThanOrEqual(Math.max(31, n * 0.063))
  }
})

test('a proof is that of this session and credential', async () => {
  const th = new Uint8Array(32).fill(1)
  for (const [how, n] of [
    ['Ed25519', 32],
    ['ECDSA', 65],
  ] as const) {
    const device = (await crypto.subtle.generateKey({ name: how, namedCurve: 'P-256' }, false, ['sign', 'verify'])) as CryptoKeyPair
    const data = await credential(th, [2, 'token'], device)
    const body = data.slice(0, -64)
    expect(body.length).toBe(1 + 2 + 5 + 1 + n)
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', body))
    const check = (t: Bytes) =>
      crypto.subtle.verify({ name: how, hash: 'SHA-256' }, device.publicKey, data.slice(-64), label('auth', t, hash))
    expect(await check(th)).toBe(true)
    expect(await check(new Uint8Array(32))).toBe(false)
  }
  expect([...(await credential(th, [0, '']))]).toEqual([0, 0, 0, 0])
})
