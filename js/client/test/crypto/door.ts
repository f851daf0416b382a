// Starts the door of peer/main.go.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const main = fileURLToPath(new URL('peer/main.go', import.meta.url))

/** A door on loopback, plain and with TLS. */
export async function door(): Promise<{ plain: string; secure: string; pin: string; stop(): void }> {
  const folder = mkdtempSync(join(tmpdir(), 'seal-peer-'))
  const binary = join(folder, 'peer')
  const built = spawnSync('go', ['build', '-o', binary, main], {
    cwd: fileURLToPath(new URL('../../../..', import.meta.url)),
    encoding: 'utf8',
  })
  if (built.status !== 0) throw new Error(`go build: ${built.error ?? built.stderr}`)
  const child = spawn(binary, { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = await new Promise<string[]>(done => createInterface({ input: child.stdout }).once('line', (l: string) => done([l])))
  return {
    ...JSON.parse(line!),
    stop() {
      child.stdin.end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
