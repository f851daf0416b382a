// What a client remembers of key documents, and how it fetches them: no older one is ever accepted again.
import { beforeAll, describe, expect, test, vi } from 'vitest'
import type { Bytes } from '../../src/crypto/bytes.js'
import { keysOf, type SealStorage } from '../../src/crypto/keys.js'
import { secureWebSocket } from '../../src/socket.js'
import { authority, type Identity, identity, pinned, signed } from './pinned.js'
import { type ServerKey, serverKey, suite, toHex } from './setup.js'

const name = `sallyport.seal ${authority}`
const from = new URL('https://app.example.com/.well-known/sallyport-seal')
let id: Identity
let old: ServerKey
let fresh: ServerKey
let six: Bytes
let seven: Bytes
beforeAll(async () => {
  const s = await suite(2)
  id = await identity()
  old = await serverKey(s)
  fresh = await serverKey(s)
  six = await signed(id, 6, [old])
  seven = await signed(id, 7, [fresh])
})

/** Where documents come from: one after the other, then the last again. */
function source(...documents: (Bytes | Response)[]) {
  const asked: RequestInit[] = []
  const get = async (_: unknown, how: RequestInit) => {
    asked.push(how)
    const d = documents.length > 1 ? documents.shift()! : documents[0]!
    return d instanceof Response ? d : new Response(d)
  }
  return { asked, get: get as never as typeof fetch }
}

/** A client's memory, and a connection with it: the public key that it would use. */
function memory(storage?: SealStorage) {
  const find = keysOf([id.pin], storage)
  return async (get: typeof fetch, again = false, signal = new AbortController().signal) =>
    toHex((await find(authority, from, [old.suite], again, get, signal))[0].public)
}
const kept = (...entries: [string, string][]) => {
  const map = new Map(entries)
  return { map, getItem: (k: string) => map.get(k) ?? null, setItem: (k: string, v: string) => map.set(k, v) }
}
/** The same, with answers that take their time: later the lower the number. */
const slow = (s: ReturnType<typeof kept>) => ({
  getItem: async (k: string) => {
    await new Promise(done => setTimeout(done, 5))
    return s.getItem(k)
  },
  setItem: async (k: string, v: string) => {
    await new Promise(done => setTimeout(done, 5))
    s.setItem(k, v)
  },
})

describe('the generation', () => {
  test('is kept under the name of the authority, and nothing else is', async () => {
    const s = kept()
    await memory(s)(source(six).get)
    expect([...s.map]).toEqual([[name, '6']])
    await memory(s)(source(seven).get)
    expect([...s.map]).toEqual([[name, '7']])
  })

  test('of a document that is refused is not kept', async () => {
    const s = kept()
    const forged = seven.slice()
    forged[7] = 99 // its generation
    await expect(memory(s)(source(forged).get)).rejects.toMatchObject({ code: 'local.pin' })
    expect(s.map.size).toBe(0)
  })

  test('SR-97: an older document is refused, after a start of the program too', async () => {
    const s = kept()
    await memory(s)(source(seven).get)
    await expect(memory(s)(source(six).get)).rejects.toMatchObject({ code: 'local.keys' })
    expect(s.map.get(name)).toBe('7')
  })

  test('without a storage an older document is refused for the life of the object', async () => {
    const find = memory()
    await find(source(seven).get)
    await expect(find(source(six).get, true)).rejects.toMatchObject({ code: 'local.keys' })
  })

  test('a storage that forgets is no way back', async () => {
    const find = memory({ getItem: () => null, setItem: () => {} })
    await find(source(seven).get)
    await expect(find(source(six).get, true)).rejects.toMatchObject({ code: 'local.keys' })
  })

  test('one of another authority counts for nothing', async () => {
    const s = kept(['sallyport.seal other.example.com:443', '9'])
    expect(await memory(s)(source(six).get)).toBe(toHex(old.public))
  })

  test.each([
    ['as localStorage does', (s: ReturnType<typeof kept>): SealStorage => s],
    ['with promises', slow],
  ])('two connections at once, storage answering %s: the older does not win', async (_, make) => {
    // The older one has more to verify, and comes to its end later.
    const crowded = await signed(id, 6, [old], 3)
    for (const order of [
      [crowded, seven],
      [seven, crowded],
    ]) {
      const s = kept([name, '5'])
      const find = memory(make(s))
      const { get } = source(...order)
      await Promise.allSettled([find(get, true), find(get, true)])
      expect(s.map.get(name)).toBe('7')
      expect(await find(get)).toBe(toHex(fresh.public))
    }
  })

  test('what is kept here is not used once another tab has accepted a newer one', async () => {
    const s = kept()
    const [one, other] = [memory(s), memory(s)]
    expect(await one(source(six).get)).toBe(toHex(old.public))
    await other(source(seven).get)
    expect(await one(source(seven).get)).toBe(toHex(fresh.public))
    await expect(one(source(six).get, true)).rejects.toMatchObject({ code: 'local.keys' })
  })

  test('a write that fails, or takes its time, is no way back to what is kept', async () => {
    const s = kept()
    let write = (k: string, v: string): unknown => s.setItem(k, v)
    const find = memory({ getItem: s.getItem, setItem: (k, v) => write(k, v) })
    await find(source(six).get)
    write = never
    await expect(find(source(seven).get, true)).rejects.toMatchObject({ code: 'local.keys' })
    expect(s.map.get(name)).toBe('6')
    await expect(find(source(six).get)).rejects.toMatchObject({ code: 'local.keys' })

    // While the newer one is being written, the older is neither taken from what is kept nor gone on with.
    const slowly = kept()
    const held: (() => void)[] = []
    let hold = false
    const other = memory({
      getItem: slowly.getItem,
      setItem: (k, v) => (hold ? new Promise<void>(done => held.push(() => void done(void slowly.setItem(k, v)))) : slowly.setItem(k, v)),
    })
    await other(source(six).get)
    slowly.map.clear()
    hold = true
    const older = other(source(six).get, true) // written again, slowly
    await vi.waitFor(() => expect(held.length).toBe(1))
    const newer = other(source(seven).get, true)
    await vi.waitFor(() => expect(held.length).toBe(2))
    await expect(other(source(six).get)).rejects.toMatchObject({ code: 'local.keys' })
    for (const go of held) go()
    await expect(older).rejects.toMatchObject({ code: 'local.keys' })
    expect(await newer).toBe(toHex(fresh.public))
  })

  test('an empty localStorage, which answers null, is not waited for', async () => {
    const order: string[] = []
    const find = memory({
      getItem: () => {
        order.push('read')
        queueMicrotask(() => order.push('later'))
        return null
      },
      setItem: () => order.push('write'),
    })
    await find(source(six).get)
    expect(order.slice(0, 2)).toEqual(['read', 'write'])
  })

  test.each(['', 'abc', '7;', 'null', '-1', '7.9e', '0x7', ' 7', '99999999999'])('damaged (%j) is not none', async bad => {
    await expect(memory(kept([name, bad]))(source(six).get)).rejects.toMatchObject({ code: 'local.keys' })
  })

  test.each<[string, SealStorage]>([
    ['reading throws', { getItem: () => never(), setItem: () => {} }],
    ['reading rejects', { getItem: () => Promise.reject(new Error('blocked')), setItem: () => {} }],
    ['writing throws', { getItem: () => null, setItem: () => never() }],
    ['writing rejects', { getItem: () => null, setItem: () => Promise.reject(new Error('full')) }],
  ])('a storage that cannot be used, %s: not connected, by name', async (_, storage) => {
    const find = memory(storage)
    for (let i = 0; i < 2; i++) await expect(find(source(six).get)).rejects.toMatchObject({ code: 'local.keys' })
  })
})

const never = () => {
  throw new DOMException('no', 'QuotaExceededError')
}

describe('the document', () => {
  test('is used again for five minutes, by the clock that may be set', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    try {
      const { asked, get } = source(six)
      const find = memory()
      await find(get)
      vi.setSystemTime(Date.now() + 299_000)
      await find(get)
      expect(asked.length).toBe(1)
      vi.setSystemTime(Date.now() + 2000)
      await find(get)
      expect(asked.length).toBe(2)
      vi.setSystemTime(Date.now() - 600_000)
      await find(get)
      expect(asked.length).toBe(3)
    } finally {
      vi.useRealTimers()
    }
  })

  test('an answer that was held back is judged by the time of its arrival', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    try {
      const { get } = source(six)
      const late = (async (url: URL, how: RequestInit) => {
        vi.setSystemTime(Date.now() + 2 * 86_400_000)
        return get(url, how)
      }) as typeof fetch
      await expect(memory()(late)).rejects.toMatchObject({ code: 'local.keys' })
    } finally {
      vi.useRealTimers()
    }
  })

  test('is asked for without cookies, not elsewhere, and no cache is believed', async () => {
    const { asked, get } = source(six)
    const find = memory()
    await find(get)
    await find(get, true)
    expect(asked).toEqual([
      expect.objectContaining({ credentials: 'omit', redirect: 'error', cache: 'no-cache' }),
      expect.objectContaining({ credentials: 'omit', redirect: 'error', cache: 'reload' }),
    ])
  })

  test('the body of a refusal, and one that is too long, is given up', async () => {
    for (const status of [404, 200]) {
      let cancelled = false
      const endless = new ReadableStream({
        pull: c => c.enqueue(new Uint8Array(4096)),
        cancel() {
          cancelled = true
        },
      })
      await expect(memory()(source(new Response(endless, { status })).get)).rejects.toMatchObject({ code: 'local.keys' })
      expect(cancelled, `${status}`).toBe(true)
    }
  })

  test('a fetch is given up with the socket', async () => {
    const { options } = await pinned()
    const asked: RequestInit[] = []
    const get = ((_: unknown, how: RequestInit) => {
      asked.push(how)
      return new Promise(() => {})
    }) as unknown as typeof fetch
    const ws = new (secureWebSocket({ ...options, fetch: get }))('wss://app.example.com/ws')
    await vi.waitFor(() => expect(asked.length).toBe(1))
    expect(asked[0]!.signal?.aborted).toBe(false)
    ws.close()
    expect(asked[0]!.signal?.aborted).toBe(true)
  })
})
