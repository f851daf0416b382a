// The door in front of real servers that know nothing of it.
import { after, before, describe } from 'node:test'
import { connect } from './lib/client.mjs'
import { Door, gate, wide } from './lib/door.mjs'
import { echoes } from './lib/echo.mjs'
import { backend } from './lib/proc.mjs'
import { Key, keySet } from './lib/token.mjs'

const generous = { max_message: '4MiB', messages: '5000/s', bytes: '256MiB/s' }
const key = new Key('k1')
const keys = keySet(key)

for (const [name, kind, more] of [
  ['an unchanged Node ws server', 'ws', {}],
  ['an unchanged gorilla server', 'gorilla', {}],
  ['an unchanged Python websockets server', 'websockets', {}],
  ['a Node ws server that gets messages in parts (stream)', 'ws', { stream: true }],
]) {
  describe(`${name} behind the door`, () => {
    let server, door
    before(async () => {
      server = await backend(kind)
      door = await Door.start(`backend-${kind}`, { limits: wide, gates: [gate(server.port, keys, { guard: generous, ...more })] })
    })
    after(async () => {
      await door?.stop()
      await server?.stop()
    })
    echoes(() => ({
      server, door,
      open: options => connect(door, { token: key.token(), ...options }).opened,
      identity: i => ({ token: key.token({ sub: `user-${i}` }) }),
    }))
  })
}
