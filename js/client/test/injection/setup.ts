// Before the tests of real servers: the binary, the certificates and the Go server are built; the tests trust the authority.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const out = fileURLToPath(new URL('../out/injection/', import.meta.url))

/** Runs once, before the workers start: they inherit the environment. */
export function setup(): void {
  mkdirSync(out, { recursive: true })
  const go = (cwd: string, ...args: string[]) =>
    execFileSync('go', args, { cwd, stdio: 'inherit', env: { ...process.env, CGO_ENABLED: '0' } })
  go(root, 'build', '-trimpath', '-o', join(out, 'sallyport'), './cmd/sallyport')
  go(root, 'build', '-o', join(out, 'certs'), './test/e2e/backends/certs')
  go(join(root, 'js/client/test/injection/centrifuge'), 'build', '-o', join(out, 'centrifuge'), '.')
  execFileSync(join(out, 'certs'), [out, 'door=localhost,127.0.0.1'])
  process.env.JS_TEST_OUT = out
  process.env.NODE_EXTRA_CA_CERTS = join(out, 'ca.pem')
}
