// Runs the suites in other runtimes. Each test file is bundled with a small stand-in for vitest and started with the
// runtime's binary; the scripted server runs here.
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { build } from 'esbuild'

const here = fileURLToPath(new URL('.', import.meta.url))
const client = join(here, '..', 'client')
const out = join(here, 'out')
mkdirSync(out, { recursive: true })

const bin = (...path) => join(here, 'node_modules', ...path)
const nodes = name => join(here, 'nodes', 'node_modules', name, 'bin', 'node')
const runtimes = {
  node22: [nodes('node22')],
  node24: [nodes('node24')],
  node26: [bin('node26', 'bin', 'node')],
  bun: [bin('bun', 'bin', 'bun')],
  deno: [bin('deno', 'deno'), 'run', '--no-lock', '--allow-all'],
}
const update = process.argv.includes('--update') // writes test/parity/known.json anew
const chosen = process.argv.slice(2).filter(a => !a.startsWith('--'))
for (const name of chosen) {
  if (!runtimes[name]) throw new Error(`there is no runtime ${name}: ${Object.keys(runtimes).join(', ')}`)
}

const urlOf = name => pathToFileURL(join(client, name)).href

async function bundle(name, contents, url) {
  const file = join(out, `${name.replaceAll('/', '-')}.mjs`)
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: client, loader: 'ts' },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'es2022',
    logLevel: 'error',
    ignoreAnnotations: true, // or the tests are left out: the package says that its modules have no side effects
    alias: { vitest: join(here, 'vitest.mjs') },
    define: url ? { 'import.meta.url': JSON.stringify(url) } : {},
    // Packages of CommonJS ask for the modules of Node.
    banner: { js: "import { createRequire as makeRequire } from 'node:module'\nconst require = makeRequire('file:///')" },
  })
  writeFileSync(file, outputFiles[0].text)
  return file
}

/** Runs a bundle; the last line that it prints is the result, as JSON. */
function start([command, ...args], file, env) {
  return new Promise((done, fail) => {
    const child = spawn(command, [...args, file], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    const timer = setTimeout(() => child.kill('SIGKILL'), 300_000)
    let text = ''
    let error = ''
    child.stdout.on('data', d => (text += d))
    child.stderr.on('data', d => (error += d))
    child.on('error', fail)
    child.on('close', code => {
      clearTimeout(timer)
      const line = text.split('\n').find(l => l.startsWith('RESULT '))
      if (line && code === 0) done(JSON.parse(line.slice(7)))
      else fail(new Error(`${file} ended with ${code}\n${text.slice(-3000)}${error.slice(-3000)}`))
    })
  })
}

const { serve } = await import(pathToFileURL(await bundle('server', "export * from './test/parity/server.js'")))
const server = await serve()
const report = "console.log('RESULT ' + JSON.stringify(result)); process.exit(0)"
const parity = await bundle(
  'parity',
  `import { compare } from './test/parity/compare.js'\nconst result = await compare(process.env.JS_TEST_SERVER)\n${report}`,
)
// Sealed, through the real program, to a backend that knows nothing of it.
const { setup } = await import(
  pathToFileURL(await bundle('setup', "export * from './test/injection/setup.js'", urlOf('test/injection/setup.ts')))
)
setup()
const { stack, expected } = await import(
  pathToFileURL(await bundle('stack', "export * from './test/sealed/stack.js'\nexport { expected } from './test/sealed/scenes.js'"))
)
const sealed = await stack()
const program = await bundle('sealed', "import './test/sealed/program.js'")
const trust = { SEALED_PLACE: JSON.stringify(sealed.place), DENO_CERT: process.env.NODE_EXTRA_CA_CERTS }
const suites = []
const files = ['test/socket', 'test/client'].flatMap(dir => readdirSync(join(client, dir)).map(f => `${dir}/${f}`))
// The primitives of the platform, as the seal calls them.
for (const name of [...files, 'test/crypto/hpke.test.ts', 'test/crypto/wycheproof.test.ts'].filter(f => f.endsWith('.test.ts'))) {
  const url = urlOf(name)
  suites.push([name, await bundle(name, `import './${name}'\nimport { run } from 'vitest'\nconst result = await run()\n${report}`, url)])
}

const knownFile = join(client, 'test', 'parity', 'known.json')
const known = JSON.parse(readFileSync(knownFile, 'utf8'))
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b)
let bad = 0
for (const [name, command] of Object.entries(runtimes)) {
  if (chosen.length && !chosen.includes(name)) continue
  const env = { JS_TEST_SERVER: server.url }
  try {
    const all = await start(command, parity, env)
    const found = {
      'the drop-in as the platform, not as the standard': all
        .filter(c => !same(c.dropIn, c.want) && same(c.dropIn, c.platform))
        .map(c => c.name),
      'the drop-in as the standard, not as the platform': all
        .filter(c => same(c.dropIn, c.want) && !same(c.dropIn, c.platform))
        .map(c => c.name),
      'the drop-in as neither': all.filter(c => !same(c.dropIn, c.want) && !same(c.dropIn, c.platform)).map(c => c.name),
    }
    const ok = update || same(found, known[name])
    if (!ok) {
      bad++
      console.log(`${name}: parity is not what test/parity/known.json says:\n${JSON.stringify(found, null, 2)}`)
      console.log(
        JSON.stringify(
          all.filter(c => !same(c.dropIn, c.want)),
          null,
          2,
        ),
      )
    }
    known[name] = found
    console.log(`${name}: parity: ${all.length} cases, ${Object.values(found).map(l => l.length)} differ${ok ? ', as known' : ''}`)
    for (const [suite, file] of suites) {
      const { passed, failed } = await start(command, file, env)
      // Without the files of Wycheproof there is nothing to run, and the test says so.
      if (failed.length || (!passed && !suite.includes('wycheproof'))) bad++
      console.log(`${name}: ${suite}: ${passed} passed, ${failed.length} failed`)
      for (const f of failed) console.log(`  ${f.slice(0, 2000)}`)
    }
    const { results, native } = await start(command, program, { ...env, ...trust })
    const differ = Object.keys(expected).filter(scene => !isDeepStrictEqual(results[scene], expected[scene]))
    if (differ.length) bad++
    const kem = native ? 'its own ML-KEM' : 'that of noble'
    console.log(`${name}: sealed, with ${kem}: ${Object.keys(expected).length - differ.length} passed, ${differ.length} failed`)
    for (const scene of differ) console.log(`  ${scene}: ${JSON.stringify(results[scene])}`)
  } catch (error) {
    bad++
    console.log(`${name}: ${error.message}`)
  }
}
if (update) writeFileSync(knownFile, `${JSON.stringify(known, null, 2)}\n`)
await server.stop()
await sealed.stop()
process.exit(bad ? 1 : 0)
