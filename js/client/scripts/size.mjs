// Fails when an entry, bundled and minified for pages, is larger than its budget (gzip -9, in bytes).
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const budgets = [
  ['sallyport/socket', './src/socket.ts', 'secureWebSocket', 2_500],
  ['sallyport', './src/index.ts', 'createClient', 9_000],
  // With package hpke, and the platform's own ML-KEM: what an application passes in for platforms without comes on top.
  ['sallyport/crypto', './src/crypto/index.ts', 'sealed', 9_000],
]

let over = 0
for (const [entry, file, name, budget] of budgets) {
  const { outputFiles } = await build({
    stdin: { contents: `export { ${name} } from '${file}'`, resolveDir: fileURLToPath(new URL('..', import.meta.url)) },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
    logLevel: 'error',
  })
  const minified = outputFiles[0].contents
  const bytes = gzipSync(minified, { level: 9 }).length
  if (bytes > budget) over++
  console.log(`${entry}: ${bytes} of ${budget} bytes gzip, ${minified.length} minified${bytes > budget ? ': TOO LARGE' : ''}`)
}
process.exit(over ? 1 : 0)
