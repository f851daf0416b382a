// An identity provider of our own: keys, a key set in a file, tokens good and bad.
import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scratch, secret } from './env.mjs'

const b64 = value => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
export const now = () => Math.floor(Date.now() / 1000)

export const issuer = 'https://idp.example.com'
export const audience = 'chat'

/** Signs ES256 tokens under kid; publish writes the key set of several keys. */
export class Key {
  constructor(kid) {
    this.kid = kid
    Object.assign(this, generateKeyPairSync('ec', { namedCurve: 'P-256' }))
  }

  jwk() {
    return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, use: 'sig', alg: 'ES256' }
  }

  /** A token; claims and header replace the good ones, undefined leaves one out. */
  token(claims = {}, header = {}) {
    const body = { iss: issuer, aud: audience, sub: 'ada', jti: randomUUID(), iat: now(), exp: now() + 600, ...claims }
    const signed = `${b64({ alg: 'ES256', typ: 'at+jwt', kid: this.kid, ...header })}.${b64(body)}`
    const signature = sign('sha256', Buffer.from(signed), { key: this.privateKey, dsaEncoding: 'ieee-p1363' })
    return keep(`${signed}.${signature.toString('base64url')}`)
  }

  /** The token with its signature taken away. */
  unsigned() {
    const [, body] = this.token().split('.')
    return keep(`${b64({ alg: 'none', typ: 'at+jwt', kid: this.kid })}.${body}.`)
  }

  /** HS256 with the public key as the shared secret: algorithm confusion. */
  confused(format = 'pem') {
    const [, body] = this.token().split('.')
    const pub = this.publicKey.export(format === 'pem' ? { format: 'pem', type: 'spki' } : { format: 'der', type: 'spki' })
    const signed = `${b64({ alg: 'HS256', typ: 'at+jwt', kid: this.kid })}.${body}`
    return keep(`${signed}.${createHmac('sha256', pub).update(signed).digest('base64url')}`)
  }

  /** A token whose header brings its own key, which is not in the set. */
  selfMade(claims = {}) {
    return new Key(this.kid).tokenWithOwnKey(claims)
  }

  tokenWithOwnKey(claims) {
    return this.token(claims, { jwk: this.publicKey.export({ format: 'jwk' }) })
  }
}

/** Notes the telling parts of a token as secrets. */
export function keep(token) {
  const [, payload, signature] = token.split('.')
  secret(payload)
  if (signature) secret(signature)
  return token
}

/** A key set in a file of its own; write replaces its keys. */
export function keySet(...keys) {
  const file = join(scratch('jwks'), 'jwks.json')
  const write = (...list) => writeFileSync(file, JSON.stringify({ keys: list.map(k => k.jwk()) }))
  write(...keys)
  return { file, write, url: `file:${file}` }
}
