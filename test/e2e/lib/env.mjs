// Where things are, the secrets that no log may show, and bounded waiting.
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const here = dirname(dirname(fileURLToPath(import.meta.url)))
export const root = join(here, '..', '..')
export const out = join(here, 'out')
export const bin = name => join(out, 'bin', name)
export const sallyport = process.env.SALLYPORT ?? join(root, 'bin', 'sallyport')
export const certs = join(out, 'certs')
export const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium'
export const nginx = process.env.NGINX ?? 'nginx'
export const asRoot = process.getuid?.() === 0

for (const dir of ['logs', 'seen', 'screenshots', 'certs']) mkdirSync(join(out, dir), { recursive: true })

/** Notes a secret, which the last test looks for in everything that was logged. */
export function secret(value) {
  appendFileSync(join(out, 'secrets.txt'), JSON.stringify(String(value)) + '\n')
  return value
}

const scratches = []
process.on('exit', () => {
  for (const dir of scratches) rmSync(dir, { recursive: true, force: true })
})

/** A directory that is gone when the process ends; short, for unix sockets. */
export function scratch(name) {
  scratches.push(mkdtempSync(join(tmpdir(), `sallyport-${name}-`)))
  return scratches.at(-1)
}

export const sleep = ms => new Promise(done => setTimeout(done, ms))

/** Rejects if promise takes longer than ms. */
export function within(ms, what, promise) {
  let timer
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what}: nothing within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Asks check until it answers something true. */
export async function until(what, check, ms = 10_000) {
  const end = Date.now() + ms
  for (;;) {
    const got = await check()
    if (got) return got
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`)
    await sleep(20)
  }
}
