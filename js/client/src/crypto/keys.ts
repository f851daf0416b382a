// Where a client gets the sealing keys of a door from, and what it remembers of them.
import type { Bytes } from './bytes.js'
import { join } from './bytes.js'
import { type Document, type Key, maxDocument, pick, verify } from './document.js'
import { fail } from './fault.js'
import type { Usable } from './hpke.js'

/**
 * Keeps the generation of the last document of each authority, so that no older one is accepted. `localStorage` fits, and
 * then all tabs know. One that answers with promises must write in the order of the calls; of several programs that share it
 * the last to write wins. What it throws, or an answer that is no number, ends the attempt with `local.keys`.
 */
export interface SealStorage {
  getItem(key: string): string | null | undefined | Promise<string | null | undefined>
  setItem(key: string, value: string): unknown
}

/** Fetches a document and picks a key from it; fails with `local.pin` or `local.keys`. signal gives it up. */
export type Keys = (
  authority: string,
  from: URL,
  suites: readonly Usable[],
  fresh: boolean,
  get: typeof fetch,
  signal: AbortSignal,
) => Promise<[Key, Usable]>

const reuse = 300

/** Makes {@link Keys} for pinned identities. */
export function keysOf(pins: readonly string[], storage: SealStorage | undefined): Keys {
  // The highest generation of each authority that was accepted here, whatever the storage says.
  const highest: Record<string, number> = {}
  let kept: { authority: string; at: number; document: Document } | undefined
  return async (authority, from, suites, fresh, get, signal) => {
    const name = `sallyport.seal ${authority}`
    let now = Date.now() / 1000
    const newest = (told: string | null | undefined) => Math.max(read(told), highest[authority] ?? 0)
    try {
      let document = kept?.authority === authority && Math.abs(now - kept.at) < reuse && !fresh && kept.document
      // Another tab may know better.
      if (!document || document.generation < newest(await storage?.getItem(name))) {
        const raw = await load(get, from, fresh, signal)
        now = Date.now() / 1000
        document = await verify(raw, pins, authority, now)
        const { generation } = document
        // Connections overtake each other: from here to the writing nothing waits, unless the storage has to be waited for.
        let told = storage?.getItem(name)
        if ((told as Promise<string> | undefined)?.then) told = await told
        if (generation < newest(told as string)) fail('local.keys')
        highest[authority] = generation
        if (generation > read(told as string)) await storage?.setItem(name, `${generation}`)
        if (generation < newest('0')) fail('local.keys')
        kept = { authority, at: now, document }
      }
      return pick(document, suites, now)
    } catch (cause) {
      return fail('local.keys', cause)
    }
  }
}

/** A generation that was remembered: 0 if there is none; what is damaged is not none. */
const read = (text: string | null | undefined): number => (/^\d{1,10}$/.test(text ?? '0') ? Number(text ?? 0) : fail('local.keys'))

async function load(get: typeof fetch, from: URL, fresh: boolean, signal: AbortSignal): Promise<Bytes> {
  // A cache is asked whether it is still so: what an intermediary put there would else stay.
  const { ok, status, body } = await get(from, { credentials: 'omit', redirect: 'error', cache: fresh ? 'reload' : 'no-cache', signal })
  const reader = body?.getReader()
  let raw = new Uint8Array()
  while (ok && reader && raw.length <= maxDocument) {
    const { done, value } = await reader.read()
    if (done) return raw
    raw = join(raw, value)
  }
  reader?.cancel().catch(() => {})
  throw new Error(`${status}`)
}
