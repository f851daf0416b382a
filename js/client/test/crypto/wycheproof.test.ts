// Project Wycheproof against the primitives as the seal calls them. The files are not part of the repository: WYCHEPROOF_DIR
// names their folder, by default ../shared/vectors/wycheproof beside it. Verdicts are counted, so that a file that changed, or
// a filter that lets nothing through, is seen; what must be refused must also be refused for the reason of the case.
import { createHmac } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as noble from '@panva/hpke-noble'
import { describe, expect, test } from 'vitest'
import { type Bytes, join, uint } from '../../src/crypto/bytes.js'
import { verify } from '../../src/crypto/document.js'
import { half, open } from '../../src/crypto/half.js'
import { credential } from '../../src/crypto/handshake.js'
import { aead, expand, mac, secret } from '../../src/crypto/schedule.js'
import { hex, suite, toHex, utf8, vectors } from './setup.js'

const folder = process.env.WYCHEPROOF_DIR ?? fileURLToPath(new URL('../../../../../shared/vectors/wycheproof', import.meta.url))
const missing = !existsSync(folder)
if (missing) console.log(`Wycheproof: skipped, since ${folder} is missing: set WYCHEPROOF_DIR`)

interface Case extends Record<string, string> {
  tcId: never
  flags: never
  result: 'valid' | 'invalid' | 'acceptable'
}
interface Group extends Record<string, unknown> {
  tests: Case[]
}

/** Runs a check on every case that it is for; counts cases by their verdicts. The check returns whether it was accepted. */
async function run(file: string, check: (t: Case, g: Group) => Promise<boolean | undefined>) {
  const groups: Group[] = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')).testGroups
  const counts = { valid: 0, invalid: 0, acceptable: 0 }
  for (const g of groups)
    for (const t of g.tests) {
      const accepted = await check(t, g)
      if (accepted === undefined) continue
      counts[t.result]++
      if (t.result !== 'acceptable') expect(accepted, `${file} ${t.tcId}: ${t.comment}`).toBe(t.result === 'valid')
    }
  return counts
}

/** A later edition of the files may have more; one that has less, or a filter that lets nothing through, is seen. */
function atLeast(counts: Awaited<ReturnType<typeof run>>, valid: number, invalid: number, acceptable = 0) {
  expect(counts.valid).toBeGreaterThanOrEqual(valid)
  expect(counts.invalid).toBeGreaterThanOrEqual(invalid)
  expect(counts.acceptable).toBeGreaterThanOrEqual(acceptable)
}

const hmac = (key: Uint8Array, data: Uint8Array) => createHmac('sha256', key).update(data).digest()
const flags = (t: Case): string[] => t.flags

describe.skipIf(missing)('Wycheproof', () => {
  test('SR-97: AES-256-GCM, opened as records are: nonces of 12 bytes, tags of 16', async () => {
    const counts = await run('aes_gcm_test.json', async (t, g) => {
      if (g.keySize !== 256 || g.ivSize !== 96 || g.tagSize !== 128) return
      const key = await aead(hex(t.key!))
      const how = { name: 'AES-GCM', iv: hex(t.iv!), additionalData: hex(t.aad!) }
      if (t.result === 'valid')
        expect(toHex(new Uint8Array(await crypto.subtle.encrypt(how, key, hex(t.msg!)))), `${t.tcId}`).toBe(t.ct! + t.tag!)
      const sealed = hex(t.ct! + t.tag!)
      const opened = await crypto.subtle.decrypt(how, key, sealed).catch(() => undefined)
      if (t.result === 'valid') return !!opened && toHex(new Uint8Array(opened)) === t.msg
      // It is the tag that is wrong, and nothing else: with the right one this very text opens.
      const right = new Uint8Array(await crypto.subtle.encrypt(how, key, hex(t.msg!)))
      expect(toHex(right.slice(0, -16)), `${t.tcId}`).toBe(t.ct)
      expect(toHex(right.slice(-16)), `${t.tcId}`).not.toBe(t.tag)
      return !!opened
    })
    atLeast(counts, 39, 27, 0)
  })

  test('a record whose tag is changed in any bit does not open, as the cases with changed tags', async () => {
    // The same through our own code: nothing else in it looks at a tag.
    const iv = await expand(await secret(new Uint8Array(32).fill(1)), 'iv')
    const key = await aead(await expand(await secret(new Uint8Array(32).fill(1)), 'key'))
    const how = { name: 'AES-GCM', iv: iv.slice(0, 12), additionalData: Uint8Array.of(0x10) }
    const inner = Uint8Array.of(1, 0, 1, 120)
    const record = join(Uint8Array.of(0x10), new Uint8Array(await crypto.subtle.encrypt(how, key, inner)))
    const attempt = async (r: Bytes) =>
      open(half(await secret(new Uint8Array(32).fill(1))), r).then(
        o => o.kind,
        e => e.code,
      )
    expect(await attempt(record)).toBe(1)
    for (let bit = 0; bit < 128; bit++) {
      const bad = record.slice()
      bad[record.length - 16 + (bit >> 3)]! ^= 1 << (bit & 7)
      expect(await attempt(bad), `${bit}`).toBe('seal.broken')
    }
  })

  test('HMAC-SHA256, and as it confirms a handshake', async () => {
    const counts = await run('hmac_sha256_test.json', async (t, g) => {
      const key = await secret(hex(t.key!))
      const whole = g.tagSize === 256
      const got = toHex(await mac(key, hex(t.msg!))).slice(0, (g.tagSize as number) / 4)
      const equal = got === t.tag
      // The confirmation is compared by the platform.
      if (whole) expect(await crypto.subtle.verify('HMAC', key, hex(t.tag!), hex(t.msg!)), `${t.tcId}`).toBe(equal)
      return equal
    })
    atLeast(counts, 66, 108, 0)
  })

  test('HKDF-SHA256: extract as it is, and expand as far as the seal goes, which is one block', async () => {
    const counts = await run('hkdf_sha256_test.json', async t => {
      const size = t.size as unknown as number
      // Longer outputs, and those that are too long, cannot be asked for.
      if (t.result !== 'valid' || size > 32) return
      const salt = hex(t.salt!)
      const prk = await mac(await secret(salt.length ? salt : new Uint8Array(32)), hex(t.ikm!))
      // Our labels are infos like any other.
      const block = hmac(prk, join(uint(11, 2), utf8('sp-seal/1 x'), Uint8Array.of(1)))
      const key = await secret(prk)
      expect(toHex(await expand(key, 'x')), `${t.tcId}`).toBe(toHex(block))
      return toHex(await mac(key, hex(`${t.info}01`))).slice(0, 2 * size) === t.okm
    })
    atLeast(counts, 30, 0, 0)
  })

  test('Ed25519, as it verifies identities: a document says 64 bytes', async () => {
    const counts = await run('ed25519_test.json', async (t, g) => {
      if (t.sig!.length !== 128) return // no document can hold it
      const { pk } = g.publicKey as { pk: string }
      const key = await crypto.subtle.importKey('raw', hex(pk), 'Ed25519', false, ['verify'])
      return crypto.subtle.verify('Ed25519', key, hex(t.sig!), hex(t.msg!))
    })
    atLeast(counts, 88, 51, 0)
  })

  test('a document with a signature that was changed in the way of the cases is refused', async () => {
    const [v] = vectors<{ document: string; pins: string[]; authority: string; now: number }>('documents.json')
    const good = hex(v!.document)
    const order = 2n ** 252n + 27742317777372353535851937790883648493n
    const s = good.slice(-32).reduceRight((n, b) => n * 256n + BigInt(b), 0n)
    const malleable = good.slice()
    for (let i = 0, n = s + order; i < 32; i++, n >>= 8n) malleable[good.length - 32 + i] = Number(n & 255n)
    await expect(verify(good, v!.pins, v!.authority, v!.now)).resolves.toBeDefined()
    await expect(verify(malleable, v!.pins, v!.authority, v!.now)).rejects.toMatchObject({ code: 'local.pin' })
  })

  test('ECDSA on P-256: what a device signs is verified as the cases are', async () => {
    const counts = await run('ecdsa_secp256r1_sha256_p1363_test.json', async (t, g) => {
      const { uncompressed } = g.publicKey as { uncompressed: string }
      const how = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
      const key = await crypto.subtle.importKey('raw', hex(uncompressed), how, false, ['verify'])
      return crypto.subtle.verify(how, key, hex(t.sig!), hex(t.msg!))
    })
    atLeast(counts, 173, 89)
    // Ours are of that form.
    const device = (await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])) as CryptoKeyPair
    expect((await credential(new Uint8Array(32), [0, ''], device)).length).toBe(4 + 65 + 64)
  })

  test.each(['native', 'noble'])('X25519, as suite 2 decapsulates: %s', async which => {
    const own = noble.KEM_DHKEM_X25519_HKDF_SHA256() as never as Awaited<ReturnType<typeof suite>>['kem']
    const { kem } = which === 'noble' ? { kem: own } : await suite(2)
    let refused = 0
    const counts = await run('x25519_test.json', async t => {
      const privateKey = await kem.DeserializePrivateKey(hex(t.private!), true)
      const base = Uint8Array.from([9, ...new Uint8Array(31)])
      // The public half of the recipient is part of the context: RFC 9180, section 4.1.
      const pkcs8 = join(hex('302e020100300506032b656e04220420'), hex(t.private!))
      const mine = await crypto.subtle.importKey('pkcs8', pkcs8, 'X25519', false, ['deriveBits'])
      const point = await crypto.subtle.importKey('raw', base, 'X25519', false, [])
      const pk = new Uint8Array(await crypto.subtle.deriveBits({ name: 'X25519', public: point } as never, mine, 256))
      const enc = hex(t.public!)
      const got = await kem.Decap(enc, privateKey, await kem.DeserializePublicKey(pk)).catch(() => undefined)
      if (flags(t).includes('ZeroSharedSecret')) {
        refused++
        expect(got, `${t.tcId}: a secret of zeros`).toBeUndefined()
        return false
      }
      const id = join(utf8('HPKE-v1KEM'), uint(0x20, 2))
      const prk = hmac(new Uint8Array(32), join(id, utf8('eae_prk'), hex(t.shared!)))
      const want = hmac(prk, join(uint(32, 2), id, utf8('shared_secret'), enc, pk, Uint8Array.of(1)))
      expect(got && toHex(got), `${t.tcId}: ${t.comment}`).toBe(toHex(want))
      return true
    })
    expect(refused).toBeGreaterThanOrEqual(31)
    atLeast(counts, 264, 0, 254)
  })

  /** Decapsulation from a seed: of the platform, where it has one, and of noble. */
  const subtle = crypto.subtle as SubtleCrypto & {
    decapsulateBits?(how: string, key: CryptoKey, c: Uint8Array): Promise<ArrayBuffer>
  }
  const own = noble.KEM_ML_KEM_768() as never as Awaited<ReturnType<typeof suite>>['kem']
  const kems: [string, ((seed: Bytes, c: Bytes) => Promise<Uint8Array>) | undefined][] = [
    ['noble', async (seed, c) => own.Decap(c, await own.DeserializePrivateKey(seed, true), undefined)],
    [
      'the platform',
      subtle.decapsulateBits &&
        (async (seed, c) => {
          const key = await subtle.importKey('raw-seed' as never, seed, 'ML-KEM-768', false, ['decapsulateBits' as never])
          return new Uint8Array(await subtle.decapsulateBits!('ML-KEM-768', key, c))
        }),
    ],
  ]
  // Node before 24 has none: there js/runtimes runs it.
  const able = kems.filter(k => k[1])
  test.each(able)('ML-KEM-768 of %s', async (_, decapsulate) => {
    const counts = await run('mlkem_768_test.json', async t => {
      const got = await decapsulate!(hex(t.seed!), hex(t.c!)).catch(() => undefined)
      // What is invalid is of another length, and gives nothing at all; not just another secret.
      if (t.result === 'invalid') return got !== undefined
      return !!got && toHex(got) === t.K
    })
    atLeast(counts, 153, 40, 0)
  })

  test('in the hybrid what is too short, too long or of small order gives no secret, in either suite', async () => {
    for (const id of [1, 2]) {
      const { kem } = await suite(id)
      const pair = await kem.GenerateKeyPair(true)
      const good = await kem.SerializePublicKey(pair.publicKey)
      const { enc } = await kem.Encap(pair.publicKey)
      const decap = (e: Bytes) => kem.Decap(e, pair.privateKey, pair.publicKey)
      expect((await decap(enc)).length).toBe(32)
      for (const e of [enc.slice(0, -1), join(enc, Uint8Array.of(0)), new Uint8Array(), join(enc.slice(0, -32), new Uint8Array(32))])
        await expect(decap(e), `${id}`).rejects.toThrow()
      for (const k of [good.slice(0, -1), join(good, Uint8Array.of(0)), join(good.slice(0, -32), new Uint8Array(32))])
        await expect(
          kem.DeserializePublicKey(k).then(pk => kem.Encap(pk)),
          `${id}`,
        ).rejects.toThrow()
    }
  })
})
