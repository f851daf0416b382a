// The vectors that Go reads too.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { control, judge, offer, read, shown, wrap } from '../../src/wire.js'

const vectors = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../../spec/vectors/protocol/${name}.json`, import.meta.url), 'utf8'))

interface Message {
  name: string
  to: 'door' | 'client'
  type: 'text' | 'binary'
  payload: string
  is: 'application' | 'control' | 'ignored' | 'fault'
  data?: string
  control?: object
  strict?: boolean
}

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
const messages: Message[] = vectors('messages').cases
const incoming = messages.filter(m => m.to === 'client' && !m.strict)

test.each(incoming)('a message from the door: $name', ({ type, payload, is, data, control }) => {
  const bytes = bytesOf(payload)
  const got = read(type === 'text' ? new TextDecoder().decode(bytes) : bytes.buffer)
  if (is === 'application') {
    expect(typeof got!.data === 'string').toBe(type === 'text')
    expect(Buffer.from(got!.data as string).toString('hex')).toBe(data)
  } else if (is === 'control') expect(got!.control).toMatchObject(control!)
  else expect(got).toEqual(is === 'fault' ? undefined : {})
})

test.each(messages.filter(m => m.to === 'door' && m.is === 'application'))('a message to the door: $name', ({ type, payload, data }) => {
  const given = type === 'text' ? new TextDecoder().decode(bytesOf(data!)) : bytesOf(data!)
  expect(Buffer.from(wrap(given) as string).toString('hex')).toBe(payload)
})

test('a probe and a renewal are control messages', () => {
  expect(control({ t: 'probe' })).toBe('\x01{"t":"probe"}')
  expect(control({ t: 'renew', ticket: 'sallyport.ticket.Zm9v' })).toBe('\x01{"t":"renew","ticket":"sallyport.ticket.Zm9v"}')
})

interface Close {
  name: string
  code: number
  reason: string
  announced: string | null
  ours: boolean
  reason_code?: string
  client?: string
}

test.each<Close>(vectors('close').cases)('an end: $name', ({ code, reason, announced, ours, reason_code, client }) => {
  expect(judge(code, reason, announced ?? undefined)).toEqual(ours ? { code: reason_code, act: client } : undefined)
})

test.each([
  ['local.pin', 'later'],
  ['local.keys', 'later'],
  ['local.unsealed', 'later'],
  ['seal.broken', 'later'],
  ['seal.malformed', 'never'],
  ['unsupported', 'never'],
])('an end by the seal on this side: %s, and then %s', (reason, act) => {
  expect(judge(4905, reason)).toEqual({ code: reason, act })
  // What the door announced inside comes first.
  expect(judge(4905, reason, 'auth.revoked')?.code).toBe('auth.revoked')
})

interface Offer {
  name: string
  apps: string[]
  ticket?: string
  offer?: string[]
}

test.each<Offer>(vectors('selection').clients)('an offer: $name', ({ apps, ticket, offer: want }) => {
  if (want) expect(offer(apps, ticket)).toEqual(want)
  else expect(() => offer(apps, ticket)).toThrow(expect.objectContaining({ name: 'SyntaxError' }))
})

interface Selection {
  name: string
  selected?: string
  speaks: boolean
  shown: string
}

const selections = (vectors('selection').doors as Selection[]).filter(s => s.selected !== undefined)

test.each(selections)('a selected token: $name', ({ selected, speaks, shown: want }) => {
  expect(shown(selected!)).toBe(speaks ? want : undefined)
})

test('AT-99: names of a prototype are members like any other', () => {
  expect(read('\x01{"t":"__proto__"}')).toEqual({})
  expect(read('\x01{"t":"constructor"}')).toEqual({})
  expect(read('\x01{"t":"beat","got":1,"__proto__":{"polluted":true}}')?.control?.t).toBe('beat')
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
})
