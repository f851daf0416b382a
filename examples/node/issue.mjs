// Stands for your identity provider: makes a key set and a token for ten minutes.
//
//   node issue.mjs [SUBJECT]       writes out/keys.json and out/token
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const out = join(import.meta.dirname, 'out')
mkdirSync(out, { recursive: true })

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const kid = randomUUID()
writeFileSync(join(out, 'keys.json'), JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' }] }))

const now = Math.floor(Date.now() / 1000)
const base64 = value => Buffer.from(JSON.stringify(value)).toString('base64url')
const claims = { iss: 'https://idp.example.com', aud: 'chat', sub: process.argv[2] ?? 'robot', jti: randomUUID(), iat: now, exp: now + 600 }
const text = `${base64({ alg: 'ES256', typ: 'at+jwt', kid })}.${base64(claims)}`
const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' })
writeFileSync(join(out, 'token'), `${text}.${signature.toString('base64url')}`, { mode: 0o600 })
console.log(`out/keys.json, and out/token for ${claims.sub}`)
