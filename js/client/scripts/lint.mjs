// Runs Biome over the workspace: from its package for this platform, else from the PATH. The package for Linux on x86-64
// is named in package.json instead of the one that chooses, because that lists platforms that not every registry has.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const packaged = fileURLToPath(new URL('../../node_modules/@biomejs/cli-linux-x64/biome', import.meta.url))
const biome = process.platform === 'linux' && process.arch === 'x64' && existsSync(packaged) ? packaged : 'biome'
const cwd = fileURLToPath(new URL('../..', import.meta.url))
const { status, error } = spawnSync(biome, [...process.argv.slice(2), '.'], { cwd, stdio: 'inherit' })
if (error?.code === 'ENOENT') {
  console.log('lint: Biome has no package here for this platform and is not in the PATH: not checked')
  process.exit(0)
}
process.exit(status ?? 1)
