import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** A module of the tests with everything it imports, as one ES module. */
export async function bundle(file: string, options: { globalName?: string; platform?: 'browser' | 'node' } = {}): Promise<string> {
  const { globalName, platform = 'browser' } = options
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(file, import.meta.url))],
    bundle: true,
    write: false,
    format: globalName ? 'iife' : 'esm',
    ...(globalName ? { globalName } : {}),
    platform,
    target: 'es2022',
    logLevel: 'error',
  })
  return outputFiles[0]!.text
}
