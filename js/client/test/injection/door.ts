// The real program in front of real servers, for programs that carry a token of an identity provider.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const out = process.env.JS_TEST_OUT!
const issuer = 'https://idp.example.com'
const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const json = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token that the door accepts, for ten minutes. */
export const token = () => tokenFor(600)

/** A token that the door accepts, for so many seconds; jkt names the key that it is bound to. */
export function tokenFor(life: number, jkt?: string): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: issuer, aud: 'app', sub: 'ada', jti: randomUUID(), iat: now, exp: now + life, ...(jkt && { cnf: { jkt } }) }
  const signed = `${json({ alg: 'ES256', typ: 'at+jwt', kid: 'test' })}.${json(claims)}`
  return `${signed}.${sign('sha256', Buffer.from(signed), { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

/** A child process, its lines, and its end. */
export interface Program {
  /** The first line, from now or before, that fits. Rejects after 20 s, or when the program ends. */
  line(fits: (line: string) => boolean, from?: number): Promise<string>
  lines: string[]
  stop(signal?: NodeJS.Signals): Promise<void>
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts a program; it is killed with this process, if not before. */
export function start(command: string, args: string[], env: NodeJS.ProcessEnv = {}): Program {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  running.add(child)
  const lines: string[] = []
  const ended = new Promise<void>(done => {
    child.once('error', () => done())
    child.once('close', () => done())
  }).finally(() => running.delete(child))
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', l => lines.push(l))
  return {
    lines,
    async line(fits, from = 0) {
      const end = Date.now() + 20_000
      for (;;) {
        const found = lines.slice(from).find(fits)
        if (found !== undefined) return found
        if (!running.has(child) || Date.now() > end) throw new Error(`${command}: the line did not come\n${lines.slice(-20).join('\n')}`)
        await sleep(20)
      }
    },
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(late)
    },
  }
}

export const sleep = (ms: number) => new Promise<void>(done => setTimeout(done, ms))

/** Asks until the answer is true; rejects after 20 s. */
export async function until(what: string, check: () => unknown): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await check())) {
    if (Date.now() > end) throw new Error(`${what}: not within 20 s`)
    await sleep(20)
  }
}

export interface Door {
  /** `https://localhost:<port>`; the same after a restart. */
  url: string
  /** The pin, of one with a seal. */
  pin: string
  /** Stops it as a deploy does, and starts it again on the same port. */
  restart(): Promise<void>
  /** Lines of its log that contain the text. */
  logged(text: string): number
  stop(): Promise<void>
}

/** A port of loopback that is free, or was a moment ago. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>(done => probe.listen(0, '127.0.0.1', done))
  const { port } = probe.address() as { port: number }
  await new Promise(done => probe.close(done))
  return port
}

/**
 * Starts the door with a gate of each path; values are the ports behind them. more is said of every gate, or by a function of
 * each. sealing: the door gets keys, made by its own command.
 */
export async function door(gates: Record<string, number>, more: object | ((path: string) => object) = {}, sealing = false): Promise<Door> {
  const scratch = mkdtempSync(join(tmpdir(), 'sallyport-js-'))
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
  const jwks = join(scratch, 'jwks.json')
  writeFileSync(jwks, JSON.stringify({ keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: 'test', use: 'sig', alg: 'ES256' }] }))
  let listen = '127.0.0.1:0'
  let pin = ''
  if (sealing) {
    // Documents name the port, so that it must be known before.
    const port = await freePort()
    listen = `127.0.0.1:${port}`
    const suites = ['--suite', 'MLKEM768-X25519', '--suite', 'X25519']
    pin = execFileSync(join(out, 'sallyport'), ['keys', 'generate', '--state', scratch, '--authority', `localhost:${port}`, ...suites], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim()
  }
  const configure = () =>
    writeFileSync(
      join(scratch, 'door.yaml'), // JSON is YAML
      JSON.stringify({
        listen,
        hosts: ['localhost', '127.0.0.1'],
        health: 'off',
        admin: { listen: 'off' },
        state: scratch,
        log: { format: 'json', level: 'debug' },
        shutdown: { drain: '1s' },
        tls: { files: [{ cert: join(out, 'door.pem'), key: join(out, 'door.key') }] },
        gates: Object.entries(gates).map(([path, port]) => ({
          path,
          to: `ws://127.0.0.1:${port}`,
          origins: ['https://app.example.com'],
          without: 'bearer',
          auth: { jwt: { issuer, audience: 'app', jwks: `file:${jwks}`, algs: ['ES256'] } },
          ...(typeof more === 'function' ? more(path) : more),
        })),
      }),
    )
  let program: Program
  const begin = async () => {
    configure()
    program = start(join(out, 'sallyport'), ['serve', '-c', join(scratch, 'door.yaml')])
    const serving = JSON.parse(await program.line(l => l.includes('"msg":"serving"')))
    listen = serving.listen
  }
  await begin()
  const logs: string[] = []
  return {
    url: `https://localhost:${listen.split(':').pop()}`,
    pin,
    async restart() {
      logs.push(...program.lines)
      await program.stop()
      await begin()
    },
    logged: text => [...logs, ...program.lines].filter(l => l.includes(text)).length,
    stop: () => program.stop(),
  }
}
