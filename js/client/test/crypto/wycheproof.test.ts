// Project Wycheproof against the primitives as the seal calls them. The files are not part of the repository: WYCHEPROOF_DIR
// names their folder, by default ../shared/vectors/wycheproof beside it.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { mac, secret } from '../../src/crypto/schedule.js'
import { hex, suite, toHex } from './setup.js'

const folder = process.env.WYCHEPROOF_DIR ?? fileURLToPath(new URL('../../../../../shared/vectors/wycheproof', import.meta.url))
if (!existsSync(folder)) console.log(`Wycheproof: ${folder} is missing, so these tests are skipped`)

interface Case extends Record<string, string> {
  tcId: never
  result: 'valid' | 'invalid' | 'acceptable'
}
interface Group extends Record<string, unknown> {
  tests: Case[]
}

function cases(file: string): [Group, Case][] {
  const groups: Group[] = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')).testGroups
  return groups.flatMap(g => g.tests.map(t => [g, t] as [Group, Case]))
}

describe.skipIf(!existsSync(folder))('Wycheproof', () => {
  test('AES-256-GCM with nonces of 12 bytes and tags of 16', async () => {
    let n = 0
    for (const [g, t] of cases('aes_gcm_test.json')) {
      if (g.keySize !== 256 || g.ivSize !== 96 || g.tagSize !== 128) continue
      n++
      const key = await crypto.subtle.importKey('raw', hex(t.key!), 'AES-GCM', false, ['encrypt', 'decrypt'])
      const how = { name: 'AES-GCM', iv: hex(t.iv!), additionalData: hex(t.aad!) }
      const opened = await crypto.subtle.decrypt(how, key, hex(t.ct! + t.tag!)).then(
        b => toHex(new Uint8Array(b)),
        () => undefined,
      )
      expect(opened, `${t.tcId}`).toBe(t.result === 'valid' ? t.msg : undefined)
      if (t.result === 'valid')
        expect(toHex(new Uint8Array(await crypto.subtle.encrypt(how, key, hex(t.msg!)))), `${t.tcId}`).toBe(t.ct! + t.tag!)
    }
    expect(n).toBeGreaterThan(50)
  })

  test('HMAC-SHA256', async () => {
    let n = 0
    for (const [g, t] of cases('hmac_sha256_test.json')) {
      const key = hex(t.key!)
      if (!key.length) continue
      n++
      const got = toHex(await mac(await secret(key), hex(t.msg!))).slice(0, (g.tagSize as number) / 4)
      expect(got === t.tag, `${t.tcId}`).toBe(t.result === 'valid')
    }
    expect(n).toBeGreaterThan(100)
  })

  test('HKDF-SHA256, as far as the seal goes: outputs of at most a block', async () => {
    let n = 0
    for (const [, t] of cases('hkdf_sha256_test.json')) {
      const size = t.size as unknown as number
      if (t.result !== 'valid' || size > 32) continue
      n++
      const salt = hex(t.salt!)
      const prk = await secret(await mac(await secret(salt.length ? salt : new Uint8Array(32)), hex(t.ikm!)))
      expect(toHex(await mac(prk, hex(`${t.info}01`))).slice(0, 2 * size), `${t.tcId}`).toBe(t.okm)
    }
    expect(n).toBeGreaterThan(10)
  })

  test('Ed25519', async () => {
    for (const [g, t] of cases('ed25519_test.json')) {
      const { pk } = g.publicKey as { pk: string }
      const good = await crypto.subtle
        .importKey('raw', hex(pk), 'Ed25519', false, ['verify'])
        .then(key => crypto.subtle.verify('Ed25519', key, hex(t.sig!), hex(t.msg!)))
        .catch(() => false)
      expect(good, `${t.tcId}`).toBe(t.result === 'valid')
    }
  })

  test('X25519: what does not agree is refused', async () => {
    for (const [, t] of cases('x25519_test.json')) {
      const { privateKey, publicKey } = { privateKey: hex(t.private!), publicKey: hex(t.public!) }
      const pkcs8 = hex(`302e020100300506032b656e04220420${toHex(privateKey)}`)
      const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'X25519', false, ['deriveBits'])
      const got = await crypto.subtle
        .importKey('raw', publicKey, 'X25519', false, [])
        .then(pub => crypto.subtle.deriveBits({ name: 'X25519', public: pub } as never, key, 256))
        .then(b => toHex(new Uint8Array(b)))
        .catch(() => undefined)
      const zero = /^0+$/.test(t.shared!)
      expect(got, `${t.tcId}`).toBe(zero ? undefined : t.shared)
    }
  })

  test('ML-KEM-768 of the platform, where it has one', async ctx => {
    const subtle = crypto.subtle as SubtleCrypto & {
      decapsulateBits?(how: string, key: CryptoKey, c: Uint8Array): Promise<ArrayBuffer>
    }
    if (!subtle.decapsulateBits) return ctx.skip('this platform has none')
    for (const [, t] of cases('mlkem_768_test.json')) {
      const got = await subtle
        .importKey('raw-seed' as never, hex(t.seed!), 'ML-KEM-768', false, ['decapsulateBits' as never])
        .then(key => subtle.decapsulateBits!('ML-KEM-768', key, hex(t.c!)))
        .then(b => toHex(new Uint8Array(b)))
        .catch(() => undefined)
      if (t.result === 'valid') expect(got, `${t.tcId}`).toBe(t.K)
      else expect(got === undefined || got !== t.K || t.comment !== undefined, `${t.tcId}`).toBe(true)
    }
  })

  test('a point of small order gives no secret in either suite', async () => {
    for (const id of [1, 2]) {
      const { kem } = await suite(id)
      const bad = await kem.SerializePublicKey((await kem.GenerateKeyPair(true)).publicKey)
      bad.fill(0, -32)
      await expect(
        kem.DeserializePublicKey(bad).then(pk => kem.Encap(pk)),
        `${id}`,
      ).rejects.toThrow()
    }
  })
})
