// Both clients, sealed, against the door itself, on this runtime: with ML-KEM of the platform, or of noble where it has none.
import * as noble from '@panva/hpke-noble'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket as Ws } from 'ws'
import { door } from './door.js'
import { expected, scenarios } from './scenarios.js'

let peer: Awaited<ReturnType<typeof door>>
beforeAll(async () => {
  peer = await door()
}, 120_000)
afterAll(() => peer?.stop())

test.each(Object.entries(scenarios))('%s', async (name, run) => {
  const origin = peer.secure
  // Programs that are no pages name an origin of their own accord.
  class Own {
    constructor(url: string, protocols: string[]) {
      const headers = { origin }
      // biome-ignore lint/correctness/noConstructorReturn: it is a socket of whichever class there is
      return globalThis.WebSocket ? new WebSocket(url, { protocols, headers } as never) : new Ws(url, protocols, { headers })
    }
  }
  expect(await run({ url: peer.plain, pin: peer.pin, hpke: noble, WebSocket: Own, origin })).toEqual(expected[name])
})
