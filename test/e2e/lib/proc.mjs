// Child processes: started here, ended here, their output kept in out/logs.
import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { bin, here, out, until, within } from './env.mjs'

const running = new Set()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

/** A child process. lines holds what it wrote, JSON lines parsed. */
export class Proc {
  constructor(name, command, args, options = {}) {
    this.name = name
    this.lines = []
    this.text = ''
    this.listeners = new Set()
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
    running.add(this.child)
    const log = createWriteStream(join(out, 'logs', `${name}.log`), { flags: 'a' })
    this.exit = new Promise(done => {
      this.child.on('error', error => {
        running.delete(this.child)
        done({ code: -1, signal: null, error })
      })
      this.child.on('close', (code, signal) => {
        running.delete(this.child)
        log.end()
        done({ code, signal })
      })
    })
    this.exit.then(e => (this.exited = e))
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.on('data', data => log.writable && log.write(data))
      createInterface({ input: stream }).on('line', line => this.#line(line))
    }
  }

  #line(line) {
    this.text += line + '\n'
    let parsed = line
    if (line.startsWith('{')) {
      try {
        parsed = JSON.parse(line)
      } catch {}
    }
    this.lines.push(parsed)
  }

  /** The first line from index from on that fits, now or within ms. */
  async line(what, fits, { ms = 15_000, from = 0 } = {}) {
    return until(`${this.name}: ${what}`, () => {
      const found = this.lines.slice(from).find(fits)
      if (!found && this.exited) throw new Error(`${this.name}: ended (${JSON.stringify(this.exited)}) before ${what}\n${this.text.slice(-2000)}`)
      return found
    }, ms)
  }

  /** An event object that fits, written since the last call that returned one. */
  async event(name, ms = 5000) {
    this.read ??= 0
    const got = await this.line(`event ${name}`, l => l.event === name, { ms, from: this.read })
    this.read = this.lines.indexOf(got, this.read) + 1
    return got
  }

  signal(name) {
    this.child.kill(name)
  }

  async stop(signal = 'SIGTERM', ms = 15_000) {
    if (this.exited) return this.exited
    this.child.kill(signal)
    try {
      return await within(ms, `${this.name} to end`, this.exit)
    } catch (error) {
      this.child.kill('SIGKILL')
      throw error
    }
  }
}

const commands = {
  ws: [process.execPath, [join(here, 'backends', 'echo.mjs')]],
  gorilla: [bin('gorilla'), []],
  websockets: [process.env.PYTHON ?? join(here, '.venv', 'bin', 'python'), ['-u', join(here, 'backends', 'echo.py')]],
  site: [process.execPath, [join(here, 'backends', 'site.mjs')]],
  'socket.io': [process.execPath, [join(here, 'backends', 'socketio.mjs')]],
}

/** Starts one of the unchanged backends; port is where it listens. */
export async function backend(kind) {
  const p = new Proc(`backend-${kind}`, ...commands[kind])
  p.port = (await p.event('listening', 20_000)).port
  return p
}
