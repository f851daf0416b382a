// What a user gets: packs the package, installs it in empty projects, and imports, requires and compiles it there.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInNewContext } from 'node:vm'
import { build } from 'esbuild'

const here = fileURLToPath(new URL('..', import.meta.url))
const modules = join(here, '..', 'node_modules')
const tool = (name, file) => join(modules, name, file)
const scratch = mkdtempSync(join(tmpdir(), 'sallyport-pack-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

function run(what, command, args, cwd = here) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } })
  if (status !== 0) {
    console.error(`pack-check: ${what} failed\n${stdout}${stderr}`)
    process.exit(1)
  }
  console.log(`pack-check: ${what}`)
  return stdout
}

function wanted(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    console.error(`pack-check: ${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`)
    process.exit(1)
  }
  console.log(`pack-check: ${what}`)
}

const node = process.execPath
run('builds', node, ['scripts/build.mjs'])
const [packed] = JSON.parse(run('packs', 'npm', ['pack', '--json', '--pack-destination', scratch]))
const tarball = join(scratch, packed.filename)
const strangers = packed.files.map(f => f.path).filter(p => !/^(dist\/.*\.(js|cjs|d\.ts|d\.cts)|README\.md|LICENSE|package\.json)$/.test(p))
wanted('has nothing in it but the build, the licence and the readme', strangers, [])
run('publint finds nothing', node, [tool('publint', 'src/cli.js'), 'run', tarball, '--strict'])
run('arethetypeswrong finds nothing', node, [tool('@arethetypeswrong/cli', 'dist/index.js'), tarball, '--profile', 'node16'])

const project = join(scratch, 'project')
mkdirSync(project)
const write = (name, text) => writeFileSync(join(project, name), text)
write('package.json', '{ "name": "project", "private": true }')
run('installs', 'npm', ['install', '--offline', '--no-audit', '--no-fund', '--no-save', tarball], project)

// Where modules run, and that loading them touches nothing: no global is read that could start something, none is left.
const trap = `
const before = Object.getOwnPropertyNames(globalThis).length
const names = ['fetch', 'WebSocket', 'setTimeout', 'setInterval', 'queueMicrotask', 'document', 'window', 'navigator',
  'location', 'addEventListener', 'crypto', 'BroadcastChannel', 'localStorage', 'AbortController', 'Blob', 'TextDecoderStream']
const kept = names.map(n => [n, Object.getOwnPropertyDescriptor(globalThis, n)])
for (const n of names) Object.defineProperty(globalThis, n, { configurable: true, get() { throw new Error('loading reads ' + n) } })
`
const release = `
for (const [n, d] of kept) { delete globalThis[n]; if (d) Object.defineProperty(globalThis, n, d) }
if (Object.getOwnPropertyNames(globalThis).length !== before) throw new Error('loading leaves a global')
for (const f of [main.createClient, main.SallyportError, socket.secureWebSocket, testing.fakeDoor, testing.virtualClock, crypt.sealed])
  if (typeof f !== 'function') throw new Error('an export is missing')
if (main.SallyportError !== socket.SallyportError) throw new Error('two classes of errors')
if (socket.secureWebSocket({ ticket: '/t' }).OPEN !== 1) throw new Error('no class')
`
write(
  'esm.mjs',
  `${trap}const [main, socket, testing, crypt] = await Promise.all(['sallyport', 'sallyport/socket', 'sallyport/testing', 'sallyport/crypto'].map(m => import(m)))${release}`,
)
write('named.mjs', `import { createClient } from 'sallyport'\nif (!createClient) throw new Error('no createClient')\n`)
write(
  'cjs.cjs',
  `${trap}const [main, socket, testing, crypt] = ['sallyport', 'sallyport/socket', 'sallyport/testing', 'sallyport/crypto'].map(m => require(m))${release}`,
)
for (const file of ['esm.mjs', 'named.mjs', 'cjs.cjs']) run(`runs ${file} without a DOM, and loading does nothing`, node, [file], project)

const { outputFiles } = await build({
  stdin: {
    contents: "import 'sallyport'; import 'sallyport/socket'; import 'sallyport/testing'; import 'sallyport/crypto'",
    resolveDir: project,
  },
  bundle: true,
  write: false,
  logLevel: 'silent',
  minify: true,
  format: 'esm',
})
wanted('is left out of a bundle that uses nothing of it', outputFiles[0].text.trim(), '')

const page = {}
runInNewContext(`${readFileSync(join(here, 'dist/sallyport.iife.js'), 'utf8')}; this.found = Object.keys(Sallyport).sort()`, page)
wanted(
  'gives a script one global',
  [Object.keys(page).sort(), page.found],
  [
    ['Sallyport', 'found'],
    ['SallyportError', 'createClient', 'secureWebSocket'],
  ],
)

const program = `
import { type Client, createClient, type Code, SallyportError } from 'sallyport'
import { type SecureWebSocketClass, secureWebSocket } from 'sallyport/socket'
import { type Seal, sealed } from 'sallyport/crypto'
import { fakeDoor, virtualClock } from 'sallyport/testing'

const Secure: SecureWebSocketClass = secureWebSocket({ ticket: '/sallyport/ticket' })
export const ws: WebSocket = new Secure('wss://rt.example.com/ws', ['chat.v1'])
export const client: Client = createClient('wss://rt.example.com/ws', { ticket: async ({ signal }) => (signal.aborted ? null : { ticket: 'sallyport.ticket.x' }) })
export const code: Code = 'auth.expired'
export const door = fakeDoor(virtualClock())
export const seal = (pin: string): Seal => sealed({ pins: [pin] })
export const sealedClient = (seal: Seal): Client => createClient('wss://rt.example.com/ws', { seal })
export const failure = (e: unknown) => e instanceof SallyportError && e.code === 'queue-full'
// @ts-expect-error a gate is a text
secureWebSocket({ gate: 5 })
// @ts-expect-error there is no such reason
export const wrong: Code = 'auth.nonsense'
`
for (const name of ['program.mts', 'program.cts', 'program.ts']) write(name, program)
mkdirSync(join(project, 'node_modules', '@types'), { recursive: true })
symlinkSync(join(modules, '@types', 'node'), join(project, 'node_modules', '@types', 'node'))
symlinkSync(join(modules, 'undici-types'), join(project, 'node_modules', 'undici-types'))
const strict = { strict: true, noEmit: true, target: 'es2022', exactOptionalPropertyTypes: true }
const dom = { lib: ['es2022', 'dom'], types: [] }
const program16 = ['program.mts', 'program.cts']
for (const [what, options, files] of [
  ['node16 with a DOM', { ...dom, module: 'node16', moduleResolution: 'node16' }, program16],
  [
    'node16 with the types of Node alone',
    { lib: ['es2022'], types: ['node'], module: 'node16', moduleResolution: 'node16', skipLibCheck: true },
    program16,
  ],
  ['a bundler', { ...dom, module: 'esnext', moduleResolution: 'bundler' }, ['program.ts']],
]) {
  write('tsconfig.json', JSON.stringify({ compilerOptions: { ...strict, ...options }, files }))
  run(`compiles for ${what}`, node, [tool('typescript', 'bin/tsc'), '-p', '.'], project)
}
