// What other runtimes run: their own ML-KEM where they have it, noble's where not. Node 20 has no WebSocket, and gets that of ws.
import { webcrypto } from 'node:crypto'
import * as noble from '@panva/hpke-noble'
import { WebSocket as Ws } from 'ws'
import { MLKEM768_X25519, usable } from '../../src/crypto/hpke.js'
import { type Place, play } from './scenes.js'

Object.assign(globalThis, globalThis.crypto ? {} : { crypto: webcrypto })
const place: Place = JSON.parse(process.env.SEALED_PLACE!)
const headers = { origin: place.origin }

/** Programs that are no pages name an origin of their own accord. */
class Own {
  constructor(url: string, protocols: string[]) {
    // biome-ignore lint/correctness/noConstructorReturn: it is a socket of whichever class there is
    return globalThis.WebSocket ? new WebSocket(url, { protocols, headers } as never) : new Ws(url, protocols, { headers })
  }
}
const results = await play(place, { hpke: noble, WebSocket: Own })
const native = await usable([MLKEM768_X25519], {}).then(
  () => true,
  () => false,
)
console.log(`RESULT ${JSON.stringify({ results, native })}`)
process.exit(0)
