// Measures the seal in Go and in Chromium, in turns, and writes the tables of docs/PERFORMANCE.md.
//
//   node bench/seal/run.mjs [--rounds 7] [--go-only] [--print]
//
// Needs Go, and for the browser Chromium ($CHROMIUM) and the packages of js (cd js && npm ci). --go-only leaves the
// browser out; --print leaves the document alone. Nothing fails because it is slow.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, platform, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { tables } from './tables.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const root = join(here, '..', '..')
const { values: flags } = parseArgs({
  options: { rounds: { type: 'string', default: '7' }, 'go-only': { type: 'boolean' }, print: { type: 'boolean' } },
})
const rounds = Number(flags.rounds)
if (!(rounds >= 5 && rounds <= 100)) stop('--rounds must be 5 to 100: fewer say too little of the range')

function stop(why) {
  console.error(`bench/seal: ${why}`)
  process.exit(1)
}

const scratch = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
const pages = join(scratch, 'pages')
mkdirSync(pages)

const program = join(scratch, 'seal')
const built = spawnSync(process.env.GO ?? 'go', ['build', '-o', program, './seal'], { cwd: join(root, 'bench'), stdio: 'inherit' })
if (built.status !== 0) stop('the Go program does not build')

const child = spawn(program, [pages], { stdio: ['pipe', 'pipe', 'inherit'] })
const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
async function answer() {
  const { value, done } = await lines.next()
  return done ? stop('the Go program ended') : JSON.parse(value)
}
const door = await answer()
const go = order => {
  child.stdin.write(`${JSON.stringify(order)}\n`)
  return answer()
}

/** A page that measures, or nothing. */
async function browse() {
  if (flags['go-only']) return undefined
  const require = createRequire(join(root, 'js/client/package.json'))
  let esbuild
  let chromium
  try {
    esbuild = require('esbuild')
    chromium = require('playwright-core').chromium
  } catch {
    stop('the packages of js are missing: cd js && npm ci, or give --go-only')
  }
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  if (!existsSync(executablePath)) stop(`no ${executablePath}: set CHROMIUM, or give --go-only`)
  await esbuild.build({
    entryPoints: [join(here, 'page.mts')],
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'bench',
    target: 'es2022',
    outfile: join(pages, 'bench.js'),
    logLevel: 'error',
  })
  writeFileSync(join(pages, 'index.html'), '<!doctype html><title>bench</title><script src="/bench.js"></script>')
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--headless=new',
      '--disable-gpu',
      '--no-proxy-server',
      // A context that ignores errors of certificates makes every connection twice.
      `--ignore-certificate-errors-spki-list=${door.spki}`,
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  })
  const page = await (await browser.newContext()).newPage()
  await page.goto(`https://${door.authority}/`)
  const run = ({ do: what, ...order }) =>
    page.evaluate(([f, o]) => bench[f](o), [what === 'open' ? 'connect' : what, { pin: door.pin, ...order }])
  return { run, native: await page.evaluate(() => bench.native), version: browser.version(), close: () => browser.close() }
}

const busy = loadavg()[0] // of others, before we begin
const page = await browse()
const sides = [['go', go], ...(page ? [['chromium', page.run]] : [])]
const sizes = [64, 1024, 16_384]

// Every side and both ways stand next to each other in each round, so that what else the machine does falls on all.
const plan = []
for (const size of sizes) {
  for (const window of [1, 8]) {
    for (const [side, run] of sides) {
      const n = { go: size > 9999 ? 1500 : 6000, chromium: size > 9999 ? 400 : 1000 }[side]
      for (const sealed of [false, true]) {
        plan.push({ name: `echo ${size} ${window} ${side} ${sealed}`, run, order: { do: 'echo', size, window, n, sealed } })
      }
    }
  }
  for (const [side, run] of sides) {
    const n = { go: size > 9999 ? 8_000 : 40_000, chromium: size > 9999 ? 800 : 1600 }[side]
    plan.push({ name: `alone ${size} ${side}`, run, order: { do: 'alone', size, window: 1, n } })
  }
}
for (const [side, run] of sides) {
  for (const sealed of [false, true]) {
    plan.push({ name: `open ${side} ${sealed}`, run, order: { do: 'open', size: 0, window: 1, n: 20, sealed } })
  }
}
plan.push({ name: 'agree go', run: go, order: { do: 'agree', n: 100 } })

const results = new Map()
for (let round = -1; round < rounds; round++) {
  for (const { name, run, order } of round % 2 ? plan.toReversed() : plan) {
    const figures = await run(round < 0 ? { ...order, n: Math.ceil(order.n / 10) } : order)
    if (round < 0) continue // warms caches and compilers
    for (const [what, value] of Object.entries(figures)) {
      const key = `${name} ${what}`
      results.set(key, [...(results.get(key) ?? []), value])
    }
  }
  process.stderr.write(round < 0 ? 'warm\n' : `round ${round + 1} of ${rounds}\n`)
}
await page?.close()
child.stdin.end()

const { model } = cpus()[0]
const commit = spawnSync('git', ['describe', '--always', '--exclude=*', '--dirty'], { cwd: root, encoding: 'utf8' }).stdout.trim()
const about = [
  `${model.trim()}, ${cpus().length} cores, ${platform()} ${release().split('-')[0]}`,
  door.go.replace('go', 'Go '),
  ...(page
    ? [`Chromium ${page.version}, ML-KEM ${page.native ? 'native' : 'not native'}`, `Node ${process.version.slice(1)} to run it`]
    : []),
  `commit ${commit}`,
  `${rounds} rounds`,
  `load of other work at the start ${busy.toFixed(1)}`,
]
const text = tables(
  results,
  sizes,
  sides.map(([side]) => side),
  about,
)
if (flags.print) console.log(text)
else {
  const file = join(root, 'docs/PERFORMANCE.md')
  const [begin, end] = ['<!-- bench/seal writes from here -->\n', '<!-- to here -->']
  const old = readFileSync(file, 'utf8')
  const [from, to] = [old.indexOf(begin), old.indexOf(end)]
  if (from < 0 || to < from) stop(`${file} has no place for the tables`)
  writeFileSync(file, `${old.slice(0, from + begin.length)}\n${text}\n${old.slice(to)}`)
  console.log(`bench/seal: wrote ${file}`)
}
