// Where a client gets the sealing keys of a door from, and what it remembers of them.
import type { Bytes } from './bytes.js'
import { join } from './bytes.js'
import { type Document, type Key, maxDocument, pick, verify } from './document.js'
import { fail } from './fault.js'
import type { Usable } from './hpke.js'

/** Keeps the generation of the last document of each authority, so that no older one is accepted. `localStorage` fits. */
export interface SealStorage {
  getItem(key: string): string | null | undefined | Promise<string | null | undefined>
  setItem(key: string, value: string): unknown
}

/** Fetches a document and picks a key from it. */
export type Keys = (authority: string, from: URL, suites: readonly Usable[], fresh: boolean, get: typeof fetch) => Promise<[Key, Usable]>

const reuse = 300

/** Makes {@link Keys} for pinned identities. */
export function keysOf(pins: readonly string[], storage: SealStorage): Keys {
  let kept: { authority: string; at: number; document: Document } | undefined
  return async (authority, from, suites, fresh, get) => {
    const now = Date.now() / 1000
    if (fresh || kept?.authority !== authority || now < kept.at || now > kept.at + reuse) {
      const raw = await read(get, from, fresh).catch(cause => fail('local.keys', cause))
      const name = `sallyport.seal ${authority}`
      const document = await verify(raw, pins, authority, Number(await storage.getItem(name)) || 0, now)
      await storage.setItem(name, `${document.generation}`)
      kept = { authority, at: now, document }
    }
    return pick(kept.document, suites, now)
  }
}

async function read(get: typeof fetch, from: URL, fresh: boolean): Promise<Bytes> {
  const { ok, status, body } = await get(from, { credentials: 'omit', redirect: 'error', cache: fresh ? 'reload' : 'default' })
  if (!ok || !body) throw new Error(`status ${status}`)
  const reader = body.getReader()
  let raw = new Uint8Array()
  while (raw.length <= maxDocument) {
    const { done, value } = await reader.read()
    if (done) return raw
    raw = join(raw, value)
  }
  reader.cancel().catch(() => {})
  throw new RangeError('too long')
}
