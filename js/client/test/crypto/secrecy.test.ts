// What a thief has who comes later: of the server's keys, of the state of a session, and of the memory of a client.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Bytes, label, lp, sha, uint, use } from '../../src/crypto/bytes.js'
import { erase, half, open, text } from '../../src/crypto/half.js'
import { begin, type Context, credential } from '../../src/crypto/handshake.js'
import type { Usable } from '../../src/crypto/hpke.js'
import { derive, expand, secret } from '../../src/crypto/schedule.js'
import { session } from '../../src/crypto/session.js'
import { secureWebSocket } from '../../src/socket.js'
import { Line, pinned } from './pinned.js'
import { accept, hpkeOf, type ServerKey, type ServerSession, serverKey, serverSession, suite, toHex, utf8 } from './setup.js'

const context: Context = ['sallyport.v1+seal', 'app.example.com:443', '/ws', '']
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

/** A session, recorded: both messages of the handshake, and what the client wrote behind them. */
async function recorded(s: Usable, key: ServerKey) {
  // The client's own key is caught on its way, to show that the attempts below are made as they should be.
  const pairs: { privateKey: object; publicKey: object }[] = []
  const generate = s.kem.GenerateKeyPair.bind(s.kem)
  vi.spyOn(s.kem, 'GenerateKeyPair').mockImplementation(async x => {
    const made = await generate(x)
    pairs.push(made)
    return made
  })
  const handshake = await begin(s, { suite: s.id, from: 0, until: 0, public: key.public }, context)
  vi.restoreAllMocks()
  const answer = await accept(key, context, handshake.hello)
  const keys = await handshake.finish(answer.answer)
  const records: Bytes[] = []
  const client = session(
    s,
    keys,
    true,
    r => records.push(r),
    error => expect.fail(`${error}`),
  )
  const proof = await credential(keys.th, [2, 'the.bearer.token'])
  await client.write(3, proof.length, () => proof)
  await client.write(text, 6, () => utf8('secret'))
  return { hello: handshake.hello, answer: answer.answer, records, client, keys: answer, ephemeral: pairs[0]! }
}

/** Whether a second secret, with what the recording and the server's key give, opens the first record. */
async function opens(r: Awaited<ReturnType<typeof recorded>>, s: Usable, s1: Bytes, th1: Bytes, s2: Bytes): Promise<boolean> {
  const enc2 = r.answer.slice(1, 1 + s.kem.Nenc)
  const keys = await derive(await sha(label('th2', th1, enc2)), s1.slice(), s2.slice())
  return open(half(keys.c2s), r.records[0]!).then(
    o => o.kind === 3 && new TextDecoder().decode(o.data).includes('the.bearer.token'),
    () => false,
  )
}

describe.each([1, 2])('suite %i', id => {
  test('SR-97: who holds the long-term keys of the server and a recording cannot open it', async () => {
    const s = await suite(id)
    const key = await serverKey(s)
    const r = await recorded(s, key)

    // The thief, later: the sealing key opens the first message, as it must, and gives the first secret.
    const hpke = hpkeOf(s)
    const p = await sha(label('prologue', uint(id, 2), lp(key.public), ...context.map(x => lp(utf8(x)))))
    const at = 11 + s.kem.Nenc
    const enc1 = r.hello.slice(11, at)
    const first = await hpke.SetupRecipient(key.pair as never, enc1, { info: label('client', p) })
    expect((await first.Open(r.hello.slice(at), r.hello.slice(0, 11))).length).toBeGreaterThan(0)
    const s1 = (await first.Export(use('s1'), 32)) as Bytes
    const th1 = await sha(label('th1', p, r.hello))
    const enc2 = r.answer.slice(1, 1 + s.kem.Nenc)

    // What the keys give for the second: everything that they can be asked, and everything that was seen.
    const tries: Bytes[] = [new Uint8Array(32), s1, th1, p, r.answer.slice(-32), enc2.slice(0, 32), enc2.slice(-32), r.hello.slice(-32)]
    for (const enc of [enc1, enc2])
      for (const info of [
        label('server', th1),
        label('client', p),
        label('client', th1),
        label('rekey', th1, lp(key.public)),
        new Uint8Array(),
      ]) {
        const ctx = await hpke.SetupRecipient(key.pair as never, enc, { info }).catch(() => undefined)
        for (const name of ['s1', 's2', 's3']) if (ctx) tries.push((await ctx.Export(use(name), 32)) as Bytes)
        const raw = await s.kem.Decap(enc, key.pair.privateKey, key.pair.publicKey).catch(() => undefined)
        if (raw) tries.push(raw)
      }
    expect(tries.length).toBeGreaterThan(30)
    for (const [i, s2] of tries.entries()) expect(await opens(r, s, s1, th1, s2), `try ${i}`).toBe(false)

    // With the client's key, which nobody has any more, it is opened: or the attempts above would prove nothing.
    const second = await hpke.SetupRecipient(r.ephemeral as never, enc2, { info: label('server', th1) })
    expect(await opens(r, s, s1, th1, (await second.Export(use('s2'), 32)) as Bytes)).toBe(true)
  })

  test('who copies the state of an epoch cannot open the epochs before it', async () => {
    const s = await suite(id)
    const key = await serverKey(s)
    const r = await recorded(s, key)
    const server = await serverSession(key, r.keys)
    const past: Bytes[] = []
    for (let i = 0; i < 3; i++) past.push(await server.seal(text, utf8('x'), false, true))
    const copy = { ...server.out, keys: server.out.keys.then(k => ({ ...k, iv: k.iv.slice() })) } // now
    await copy.keys
    const now = await server.seal(text, utf8('now'), false, true)
    for (const [number, old] of past.entries())
      for (const records of [0, number]) await expect(open({ ...copy, records }, old)).rejects.toMatchObject({ code: 'seal.broken' })
    expect(new TextDecoder().decode((await open({ ...copy }, now)).data)).toBe('now')
  })

  test('who copied the whole state and only listens is out after the next agreement', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] })
    const s = await suite(id)
    const key = await serverKey(s)
    const r = await recorded(s, key)
    const server = (await serverSession(key, r.keys)) as ServerSession & { agree(o: Bytes): Promise<Bytes> }
    for (const record of r.records.splice(0)) await server.open(record)
    // Everything that the server has: secrets, root and transcript.
    const thief = { out: { ...server.out }, root: r.keys.root.slice(), th: r.keys.th.slice() }
    vi.advanceTimersByTime(61 * 60_000)
    await r.client.open(await server.seal(text, utf8('x')))
    thief.out = { ...server.out }
    await vi.waitFor(() => expect(r.records.length).toBeGreaterThan(1), 5000)
    let answer: Bytes | undefined
    for (const record of r.records.splice(0)) {
      const o = await server.open(record)
      if (o.kind === 5) answer = await server.agree(o.data)
    }
    const heard = await open({ ...thief.out }, answer!) // under the old keys, as it should be
    expect(heard.kind).toBe(6)
    await r.client.open(answer!)
    const after = await server.seal(text, utf8('after'))
    expect(new TextDecoder().decode((await r.client.open(after)).data)).toBe('after')
    const th3 = await sha(label('th3', thief.th, lp(new Uint8Array(0)), heard.data))
    const mine = await derive(th3, thief.root, new Uint8Array(32))
    for (const h of [{ ...thief.out }, { ...thief.out, records: 1 }, { ...thief.out, records: 0 }, half(mine.s2c)])
      await expect(open(h, after)).rejects.toMatchObject({ code: 'seal.broken' })
  })

  test('what HPKE derived and was not copied is overwritten once the session is there', async () => {
    const s = await suite(id)
    const key = await serverKey(s)
    const left: { name: string; out: Uint8Array }[] = []
    const sign = crypto.subtle.sign.bind(crypto.subtle)
    vi.spyOn(crypto.subtle, 'sign').mockImplementation((async (how: never, k: never, data: Uint8Array) => {
      const ours = new Error().stack!.includes('/src/crypto/')
      const raw = await sign(how, k, data as BufferSource)
      const name = /HPKE-v1HPKE.{6}(key|exp|secret|sec)/s.exec(Buffer.from(data).toString('latin1'))?.[1]
      if (name && ours) left.push({ name, out: new Uint8Array(raw) })
      return raw
    }) as never)
    const handshake = await begin(s, { suite: id, from: 0, until: 0, public: key.public }, context)
    const exported = left.filter(l => l.name === 'sec')
    expect(exported.length).toBe(1)
    expect(exported[0]!.out.some(b => b)).toBe(true) // s1, which is still needed
    const keys = await handshake.finish((await accept(key, context, handshake.hello)).answer)
    expect(left.length).toBeGreaterThan(4)
    expect(left.filter(l => l.out.some(b => b)).map(l => l.name)).toEqual([])
    expect(keys.root.some(b => b)).toBe(true)
  })

  test('a handshake that fails, or is given up, leaves neither its secrets nor a root', async () => {
    const s = await suite(id)
    const key = await serverKey(s)
    const outs: Uint8Array[] = []
    const sign = crypto.subtle.sign.bind(crypto.subtle)
    vi.spyOn(crypto.subtle, 'sign').mockImplementation((async (how: never, k: never, data: Uint8Array) => {
      const ours = new Error().stack!.includes('/src/crypto/')
      const raw = await sign(how, k, data as BufferSource)
      const told = Buffer.from(data).toString('latin1')
      if (/sp-seal\/1 (s1|s2|root)(?!c)/.test(told) && ours) outs.push(new Uint8Array(raw))
      return raw
    }) as never)
    const key0 = { suite: id, from: 0, until: 0, public: key.public }
    const given = await begin(s, key0, context)
    given.erase()
    const wrong = await begin(s, key0, context)
    const { answer } = await accept(key, context, wrong.hello)
    answer[answer.length - 1]! ^= 1
    outs.length = 1 // of what the server derives meanwhile nothing counts
    await expect(wrong.finish(answer)).rejects.toMatchObject({ code: 'seal.handshake' })
    wrong.erase()
    expect(outs.length).toBe(3) // s1 of the one, s2 and root of the other
    for (const out of outs) expect(out.every(b => !b)).toBe(true)
  })
})

test('nothing from which keys could be derived is kept by a direction that was erased', async () => {
  const h = half(await secret(new Uint8Array(32).fill(5)))
  const before = await h.keys
  await erase(h)
  expect(before.iv.every(b => !b)).toBe(true)
  expect(await Promise.race([h.keys, 'nothing'])).toBe('nothing')
})

test('the client’s ephemeral key, and those of a past session, can be collected', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const door = await pinned()
  const refs: Record<'ephemeral' | 'secrets', WeakRef<object>[]> = { ephemeral: [], secrets: [] }
  // Not by a spy, which would keep what it saw.
  const watch = (name: 'generateKey' | 'importKey', from: string, list: WeakRef<object>[]) => {
    const real = crypto.subtle[name].bind(crypto.subtle) as (...args: unknown[]) => Promise<CryptoKey & CryptoKeyPair>
    Object.defineProperty(crypto.subtle, name, {
      configurable: true,
      value: async (...args: unknown[]) => {
        const ours = new Error().stack!.includes(from)
        const made = await real(...args)
        if (ours) list.push(new WeakRef(made.privateKey ?? made))
        return made
      },
    })
  }
  watch('generateKey', 'begin', refs.ephemeral)
  watch('importKey', 'socket.ts', refs.secrets)
  const gone = async (list: WeakRef<object>[]) => {
    for (let i = 0; i < 20 && list.some(r => r.deref()); i++) {
      await new Promise(done => setTimeout(done, 10))
      collect()
    }
    return list.filter(r => r.deref()).length
  }
  const ws = new (secureWebSocket(door.options))('wss://app.example.com/ws')
  await new Promise(done => {
    ws.onopen = done
  })
  for (const name of ['generateKey', 'importKey'] as const) Reflect.deleteProperty(crypto.subtle, name)
  expect(refs.ephemeral.length).toBeGreaterThan(0)
  expect(await gone(refs.ephemeral)).toBe(0)
  const closed = new Promise(done => {
    ws.onclose = done
  })
  ws.close()
  await vi.waitFor(() => expect(door.lines[0]!.opened.at(-1)?.kind).toBe(4))
  await door.lines[0]!.end(1000)
  await vi.waitFor(() => expect(door.lines[0]!.closed).toEqual([1000]))
  door.lines[0]!.onclose?.({ code: 1000, reason: '' })
  await closed
  expect(await gone(refs.secrets)).toBe(0)
  expect(ws.readyState).toBe(3) // though the application still has the socket
})

test('a session that ends while its handshake is finished is erased', async () => {
  const door = await pinned()
  const ws = new (secureWebSocket(door.options))('wss://app.example.com/ws')
  const closed = new Promise(done => {
    ws.onclose = done
  })
  const { deliver } = Line.prototype
  vi.spyOn(Line.prototype, 'deliver').mockImplementation(async function (this: Line, data) {
    deliver.call(this, data)
    for (let i = 0; i < 5; i++) await null
    ws.close() // while it is being read
  })
  await closed
  await new Promise(done => setTimeout(done, 30))
  expect(door.lines[0]!.sent.length).toBe(1) // no credential left
})

test('the label of each key is its own', async () => {
  const k = await secret(new Uint8Array(32).fill(1))
  const all = await Promise.all(['key', 'iv', 'next', 'c2s', 's2c', 'root', 'confirm'].map(async n => toHex(await expand(k, n))))
  expect(new Set(all).size).toBe(all.length)
})
