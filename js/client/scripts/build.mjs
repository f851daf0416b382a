// Builds dist: every module as ESM (.js) and CommonJS (.cjs) with types of its own for each, and one file for <script>.

import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
rmSync('dist', { recursive: true, force: true })

const files = readdirSync('src', { recursive: true }).map(String)
const modules = files.filter(f => f.endsWith('.ts') && f !== 'script.ts')

/** Leaves imports of our own modules as they are, but for the ending. */
const apart = ending => ({
  name: 'apart',
  setup: b =>
    b.onResolve({ filter: /^\.\.?\// }, ({ path, kind }) =>
      kind === 'entry-point' ? undefined : { path: path.replace(/\.js$/, ending), external: true },
    ),
})

const common = { bundle: true, target: 'es2022', platform: 'neutral', logLevel: 'warning', outbase: 'src', charset: 'utf8' }
for (const [format, ending] of [
  ['esm', '.js'],
  ['cjs', '.cjs'],
]) {
  await build({
    ...common,
    format,
    ...(format === 'cjs' && { platform: 'node' }), // lists the exports, so that ESM can name them
    entryPoints: modules.map(f => `./src/${f}`),
    outdir: 'dist',
    outExtension: { '.js': ending },
    plugins: [apart(ending)],
    // It is an ES module only: what is required has it inside.
    external: format === 'esm' ? ['hpke'] : [],
  })
}
await build({
  ...common,
  format: 'iife',
  globalName: 'Sallyport',
  minify: true,
  entryPoints: ['./src/script.ts'],
  outfile: 'dist/sallyport.iife.js',
})

const tsc = spawnSync(
  process.execPath,
  [fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json'))), '-p', 'tsconfig.build.json'],
  { stdio: 'inherit' },
)
if (tsc.status !== 0) process.exit(1)
rmSync('dist/script.d.ts')
// The types of a CommonJS module import those of CommonJS modules.
for (const f of readdirSync('dist', { recursive: true }).map(String)) {
  if (!f.endsWith('.d.ts')) continue
  const text = readFileSync(join('dist', f), 'utf8')
  writeFileSync(join('dist', f.replace(/ts$/, 'cts')), text.replaceAll(/(['"]\.\.?\/[^'"]*)\.js(['"])/g, '$1.cjs$2'))
}
