// The binaries of other runtimes, which js/runtimes installs; Linux on x86-64 alone.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const at = (path: string) => fileURLToPath(new URL(`../../../runtimes/${path}`, import.meta.url))

/** The binary of a version of Node, or undefined if it is not there. */
export function node(version: 22 | 24): string | undefined {
  const path = at(`nodes/node_modules/node${version}/bin/node`)
  return existsSync(path) ? path : undefined
}
