// The door and the clock that applications test with.
import { expect, test } from 'vitest'
import { createClient } from '../../src/client.js'
import { fakeDoor, virtualClock } from '../../src/testing/index.js'
import { later } from './setup.js'

test('the example of the documentation', async () => {
  const clock = virtualClock()
  const door = fakeDoor(clock)
  const client = createClient('wss://app.test/chat', { ticket: door.ticket, WebSocket: door.WebSocket, env: clock.env })

  client.connect()
  await clock.advance(0)
  door.last().lose()
  await clock.advance(30_000)
  expect(client.state.status).toBe('open')
  expect(door.connections.length).toBe(2)
})

test('an hour takes no time, and everything in it happens in its order', async () => {
  const clock = virtualClock({ start: 5 })
  const order: string[] = []
  clock.env.setTimeout(() => order.push(`b ${clock.now()}`), 2000)
  clock.env.setTimeout(() => {
    order.push(`a ${clock.now()}`)
    clock.env.setTimeout(() => order.push(`c ${clock.now()}`), 1500)
  }, 1000)
  const gone = clock.env.setTimeout(() => order.push('never'), 10)
  clock.env.clearTimeout(gone)
  expect(clock.timers()).toBe(2)
  await clock.advance(3_600_000)
  expect(order).toEqual(['a 1005', 'b 2005', 'c 2505'])
  expect(clock.now()).toBe(3_600_005)
})

test('sleep moves the wall clock and no timer', async () => {
  const clock = virtualClock({ start: 0 })
  let rang = 0
  clock.env.setTimeout(() => rang++, 1000)
  clock.sleep(60_000)
  expect([clock.env.now(), clock.env.steady(), rang]).toEqual([60_000, 0, 0])
  await clock.advance(999)
  expect(rang).toBe(0)
  await clock.advance(1)
  expect([clock.env.now(), clock.env.steady(), rang]).toEqual([61_000, 1000, 1])
})

test('two clocks without dice of their own throw the same', () => {
  const throws = () => {
    const { random } = virtualClock()
    return [random(), random(), random()]
  }
  expect(throws()).toEqual(throws())
  for (const n of throws()) expect(n).toBeLessThan(1)
})

test('a ticket is good once', async () => {
  const clock = virtualClock()
  const door = fakeDoor(clock)
  const once = await door.ticket({ reason: 'connect', signal: new AbortController().signal, url: '', gate: '' })
  const make = () => createClient('wss://app.test/', { ticket: async () => once, WebSocket: door.WebSocket, env: clock.env })
  const [one, two] = [make(), make()]
  later(one.connect())
  later(two.connect())
  const ends: unknown[] = []
  two.addEventListener('close', e => ends.push(e.detail.code))
  await clock.advance(0)
  expect(one.state.status).toBe('open')
  expect(ends).toEqual(['auth.ticket-used', 'auth.ticket-used'])
})

test('latency is kept in both directions, and a cut cable holds everything in its order', async () => {
  const clock = virtualClock()
  const door = fakeDoor(clock, { latency: 100 })
  const client = createClient('wss://app.test/', { WebSocket: door.WebSocket, env: clock.env })
  const got: unknown[] = []
  client.addEventListener('message', e => got.push(e.detail))
  client.connect()
  await clock.advance(100)
  expect(client.state.status).toBe('connecting')
  await clock.advance(100)
  expect(client.state.status).toBe('open')
  const c = door.last()
  client.send('1')
  await clock.advance(99)
  expect(c.received).toEqual([])
  await clock.advance(1)
  expect(c.received).toEqual(['1'])
  c.stalled = true
  client.send('2')
  client.send('3')
  c.send('a')
  c.send('b')
  await clock.advance(5000)
  expect([c.received, got]).toEqual([['1'], []])
  c.stalled = false
  expect([c.received, got]).toEqual([
    ['1', '2', '3'],
    ['a', 'b'],
  ])
})

test('a door without a visitor says so', () => {
  expect(() => fakeDoor(virtualClock()).last()).toThrow('nobody came yet')
})
