// What a platform lacks: told by name, once, and not tried again. And what a caller gives that is none.
import * as noble from '@panva/hpke-noble'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createClient } from '../../src/client.js'
import { usable } from '../../src/crypto/hpke.js'
import { MLKEM768_X25519, type SealOptions, sealed, X25519 } from '../../src/crypto/index.js'
import type { Ending } from '../../src/machine-state.js'
import { secureWebSocket } from '../../src/socket.js'

const pin = `sp1.${'A'.repeat(43)}`
afterEach(() => vi.restoreAllMocks())

/** Takes algorithms away from the platform, as those that do not know them refuse. */
function lack(...names: string[]) {
  const refuse = (how: unknown) => names.includes((how as { name?: string }).name ?? (how as string))
  const { subtle } = crypto
  for (const f of ['generateKey', 'importKey', 'encapsulateBits'] as const) {
    const real = (subtle as never as Record<string, (...args: unknown[]) => Promise<unknown>>)[f]
    if (!real) continue
    vi.spyOn(subtle as never as Record<string, typeof real>, f).mockImplementation((...args) =>
      refuse(args[f === 'importKey' ? 2 : 0]) ? Promise.reject(new DOMException('unknown', 'NotSupportedError')) : real.apply(subtle, args),
    )
  }
}

/** What a client does that cannot seal: how it ended, and what it asked for. */
async function end(options: Partial<SealOptions> = {}) {
  const dialled: string[] = []
  class None {
    constructor(url: string) {
      dialled.push(url)
    }
  }
  const get = vi.fn(async () => new Response('', { status: 404 }))
  const client = createClient('wss://app.example.com/chat', {
    token: 'secret',
    WebSocket: None,
    fetch: get,
    seal: sealed({ pins: [pin], ...options }),
    backoff: { base: 1, max: 1 },
  })
  const ends: Ending[] = []
  const errors: unknown[] = []
  client.addEventListener('close', e => ends.push(e.detail))
  client.addEventListener('error', e => errors.push((e.detail as { code?: string }).code))
  let refused = ''
  client.connect().catch(error => {
    refused = error.message
  })
  await vi.waitFor(() => expect(ends.length).toBeGreaterThan(0))
  await new Promise(done => setTimeout(done, 50)) // in which there would be many attempts
  const { state } = client
  client.close()
  return { refused, ends, errors, dialled, asked: get.mock.calls.length, state }
}

describe('a platform without', () => {
  test.each<[string, string[], Partial<SealOptions>]>([
    ['ML-KEM, and noble was not given', ['ML-KEM-768'], {}],
    ['X25519', ['X25519'], { suites: [X25519, MLKEM768_X25519] }],
    ['Ed25519, which pins need', ['Ed25519'], { hpke: noble }],
  ])('%s: a client ends with `unsupported`, for good', async (_, names, options) => {
    lack(...names)
    const r = await end(options)
    expect(r.state).toMatchObject({ status: 'closed', code: 'unsupported' })
    expect(r.refused).toContain('unsupported')
    expect(r.ends).toEqual([{ close: 4905, reason: 'unsupported', code: 'unsupported', opened: false }])
    expect(r.errors).toEqual(['unsupported'])
    // Nothing was fetched, and nothing connected.
    expect([r.dialled, r.asked]).toEqual([[], 0])
  })

  test('ML-KEM: the drop-in fails as any handshake, and says why', async () => {
    lack('ML-KEM-768')
    const Socket = secureWebSocket({ WebSocket: class {}, seal: sealed({ pins: [pin] }) })
    const ws = new Socket('wss://app.example.com/chat')
    const close = await new Promise<CloseEvent>(done => {
      ws.onclose = done
    })
    expect(close.code).toBe(1006)
    expect(ws.cause).toMatchObject({ name: 'SallyportError', code: 'unsupported' })
  })

  test('ML-KEM: the classical suite is used where it is named, and only there', async () => {
    lack('ML-KEM-768')
    expect((await usable([MLKEM768_X25519, X25519], {})).map(s => s.id)).toEqual([2])
    await expect(usable([MLKEM768_X25519], {})).rejects.toMatchObject({ code: 'unsupported' })
    expect((await usable([MLKEM768_X25519], noble)).map(s => s.id)).toEqual([1])
  })
})

test('what fails and may pass is tried again', async () => {
  const r = await end({ hpke: noble })
  expect(r.state.status).not.toBe('closed')
  expect(r.ends.length).toBeGreaterThan(1)
  expect(r.ends[0]).toMatchObject({ close: 4905, code: 'local.keys' })
})

const key = (how: string, namedCurve: string, extractable: boolean) =>
  crypto.subtle.generateKey({ name: how, namedCurve }, extractable, ['sign', 'verify']) as Promise<CryptoKeyPair>

test.each<[string, string, string, boolean, boolean]>([
  ['Ed25519', 'Ed25519', '', false, true],
  ['ECDSA on P-256', 'ECDSA', 'P-256', false, true],
  ['one that can be copied', 'Ed25519', '', true, false],
  ['another that can be copied', 'ECDSA', 'P-256', true, false],
  ['ECDSA on P-384', 'ECDSA', 'P-384', false, false],
])('the key of a device: %s', async (_, how, curve, extractable, good) => {
  const device = await key(how, curve, extractable)
  if (good) expect(sealed({ pins: [pin], device })).toBeTypeOf('function')
  else expect(() => sealed({ pins: [pin], device })).toThrow(TypeError)
})

test.each([
  ['none', []],
  ['the empty text', ['']],
  ['without its name', ['A'.repeat(43)]],
  ['too short', [`sp1.${'A'.repeat(42)}`]],
  ['too long', [`sp1.${'A'.repeat(44)}`]],
  ['in a second spelling', [`sp1.${'A'.repeat(42)}B`]],
  ['one good, one not', [pin, 'sp1.']],
])('pins: %s', (_, pins) => {
  expect(() => sealed({ pins })).toThrow(TypeError)
})
