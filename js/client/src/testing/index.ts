/**
 * For the tests of applications: a clock that stands still until it is told to move, and a door in memory.
 *
 * ```ts
 * const clock = virtualClock()
 * const door = fakeDoor(clock)
 * const client = createClient('wss://app.test/chat', { ticket: door.ticket, WebSocket: door.WebSocket, env: clock.env })
 *
 * client.connect()
 * await clock.advance(0)
 * door.last().lose()                       // the network breaks
 * await clock.advance(30_000)              // takes no time
 * assert.equal(client.state.status, 'open')
 * assert.equal(door.connections.length, 2)
 * ```
 */
export type { Env, Sign } from '../browser.js'
export * from './clock.js'
export { type DoorOptions, type FakeConnection, type FakeDoor, fakeDoor } from './door.js'
