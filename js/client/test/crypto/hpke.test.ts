// The vectors of HPKE that the sources of Go carry, against our key schedule over the KEMs of package hpke and of noble: those
// of RFC 9180 for X25519, and of draft-ietf-hpke-pq for MLKEM768-X25519. No npm package carries any.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as noble from '@panva/hpke-noble'
import { AEAD_AES_256_GCM, CipherSuite, KDF_HKDF_SHA256 } from 'hpke'
import { expect, test } from 'vitest'
import { type Bytes, join as concat, uint } from '../../src/crypto/bytes.js'
import { type Encapsulation, shared } from '../../src/crypto/hpke.js'
import { mac, secret } from '../../src/crypto/schedule.js'
import { hex, suite, toHex, utf8 } from './setup.js'

interface Group {
  mode: number
  kem_id: number
  kdf_id: number
  aead_id: number
  info: string
  skRm: string
  pkRm: string
  enc: string
  shared_secret?: string
  exporter_secret?: string
  exports?: { exporter_context: string; L: number; exported_value: string }[]
}

function groups(file: string): Group[] | undefined {
  const { stdout } = spawnSync('go', ['env', 'GOROOT'], { encoding: 'utf8' })
  try {
    return JSON.parse(readFileSync(join(stdout.trim(), 'src/crypto/hpke/testdata', file), 'utf8'))
  } catch {
    console.log(`HPKE: skipped, since the toolchain of Go has no ${file}`)
    return undefined
  }
}

const kems: [string, number, string, () => Promise<Encapsulation>][] = [
  ['MLKEM768-X25519', 0x647a, 'hpke-pq.json', async () => (await suite(1)).kem],
  ['MLKEM768-X25519 of noble', 0x647a, 'hpke-pq.json', async () => noble.KEM_MLKEM768_X25519() as never],
  ['X25519', 0x20, 'rfc9180.json', async () => (await suite(2)).kem],
  ['X25519 of noble', 0x20, 'rfc9180.json', async () => noble.KEM_DHKEM_X25519_HKDF_SHA256() as never],
]

test.each(kems)('SR-97: %s', async (_, id, file, make) => {
  const all = groups(file)
  if (!all) return
  const kem = await make()
  expect(kem.id).toBe(id)
  const ours = all.filter(g => g.kem_id === id && g.kdf_id === 1 && g.mode === 0)
  expect(ours.length).toBeGreaterThan(0)
  let exported = 0
  for (const g of ours) {
    const privateKey = await kem.DeserializePrivateKey(hex(g.skRm), true)
    const publicKey = await kem.DeserializePublicKey(hex(g.pkRm))
    expect(toHex(await kem.SerializePublicKey(publicKey))).toBe(g.pkRm)
    const raw = await kem.Decap(hex(g.enc), privateKey, publicKey)
    if (g.shared_secret) expect(toHex(raw)).toBe(g.shared_secret)
    // The exporter as those vectors have it, by the functions that ours is made of; their AEAD is another, and part of its name.
    const name = concat(utf8('HPKE-v1HPKE'), uint(g.kem_id, 2), uint(g.kdf_id, 2), uint(g.aead_id, 2))
    const extract = async (salt: Bytes, label: string, ikm: Bytes) => mac(await secret(salt), concat(name, utf8(label), ikm))
    const expand = async (key: CryptoKey, label: string, context: Bytes, n: number) =>
      (await mac(key, concat(uint(n, 2), name, utf8(label), context, Uint8Array.of(1)))).slice(0, n)
    const none = new Uint8Array()
    const zeros = () => new Uint8Array(32)
    const context = concat(Uint8Array.of(0), await extract(zeros(), 'psk_id_hash', none), await extract(zeros(), 'info_hash', hex(g.info)))
    const key = await secret(await extract(raw.slice(), 'secret', none))
    const exporter = await expand(key, 'exp', context, 32)
    if (g.exporter_secret) expect(toHex(exporter)).toBe(g.exporter_secret)
    const exporting = await secret(exporter)
    for (const e of g.exports ?? []) {
      if (e.L > 32) continue // the seal asks for 32 bytes
      expect(toHex(await expand(exporting, 'sec', hex(e.exporter_context), e.L))).toBe(e.exported_value)
      exported++
    }
    // And with our AEAD: the message and the secret of the code itself open with all of package hpke.
    const hpke = new CipherSuite((() => kem) as never, KDF_HKDF_SHA256, AEAD_AES_256_GCM)
    const context1 = await shared({ id: 0, kem }, raw, hex(g.info))
    const sealed = await context1.seal(utf8('message'), utf8('aad'))
    const theirs = await hpke.SetupRecipient({ privateKey, publicKey } as never, hex(g.enc), { info: hex(g.info) })
    expect(new TextDecoder().decode(await theirs.Open(sealed, utf8('aad')))).toBe('message')
    expect(toHex(await context1.export('s1'))).toBe(toHex((await theirs.Export(utf8('sp-seal/1 s1'), 32)) as Bytes))
  }
  if (id === 0x647a) expect(exported).toBeGreaterThan(0)
})
