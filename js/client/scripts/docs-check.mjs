// Compiles the examples of docs/clients and of the package's README: TypeScript strictly, JavaScript that imports the
// package too; other JavaScript has to be JavaScript. A block is a module; one that begins with "// name.ts" can be imported.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const client = fileURLToPath(new URL('..', import.meta.url))
const docs = join(client, '..', '..', 'docs', 'clients')
const out = join(client, 'test', 'out', 'docs') // below the packages that the examples import
rmSync(out, { recursive: true, force: true })

let blocks = 0
for (const page of [...readdirSync(docs).map(name => join(docs, name)), join(client, 'README.md')]) {
  if (!page.endsWith('.md')) continue
  const dir = join(out, page.startsWith(docs) ? page.slice(docs.length + 1, -3) : 'package')
  mkdirSync(dir, { recursive: true })
  for (const [, kind, text] of readFileSync(page, 'utf8').matchAll(/^```(tsx?|js)\n(.*?)^```$/gms)) {
    const name = /^\/\/ ([\w-]+\.(?:tsx?|m?js))\n/.exec(text)?.[1] ?? `block-${blocks}.${kind}`
    // An import or export makes it a module, so that blocks do not see each other's names.
    const checked = kind !== 'js' || text.includes("from 'sallyport")
    writeFileSync(join(dir, name), `${checked ? '' : '// @ts-nocheck\n'}${text}export {}\n`)
    blocks++
  }
}

// The part of React's types that the hook uses; react is no dependency of ours.
const react = `
type Cleanup = void | (() => void)
export type FormEvent<T> = { currentTarget: T; preventDefault(): void }
export function useState<S>(initial: S): [S, (next: S | ((old: S) => S)) => void]
export function useRef<T>(initial: T): { current: T }
export function useEffect(run: () => Cleanup, deps?: readonly unknown[]): void
export function useCallback<F extends (...args: never[]) => unknown>(f: F, deps: readonly unknown[]): F
declare global { namespace JSX { interface IntrinsicElements {
  form: { onSubmit(e: FormEvent<HTMLFormElement>): void }; input: { name: string; 'aria-label': string }
  button: {}; p: { role: string }; ul: {}; li: { key: unknown }
} } }`
mkdirSync(join(out, 'types'), { recursive: true })
writeFileSync(join(out, 'types', 'react.d.ts'), react)

const src = '../../../src'
const paths = { sallyport: [`${src}/index.ts`], 'sallyport/*': [`${src}/*.ts`, `${src}/*/index.ts`], react: ['./types/react.d.ts'] }
const loose = { allowJs: true, checkJs: true, jsx: 'preserve', noUnusedLocals: false, noUnusedParameters: false }
const config = { extends: '../../../tsconfig.json', compilerOptions: { ...loose, paths }, include: ['.'], exclude: [] }
writeFileSync(join(out, 'tsconfig.json'), JSON.stringify(config))
const tsc = fileURLToPath(new URL('bin/tsc', import.meta.resolve('typescript/package.json')))
const { status } = spawnSync(process.execPath, [tsc, '-p', out], { stdio: 'inherit' })
console.log(`docs-check: ${blocks} examples of docs/clients ${status === 0 ? 'compile' : 'do not compile'}`)
process.exit(status === 0 && blocks > 0 ? 0 : 1)
