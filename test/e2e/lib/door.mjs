// The real program with a configuration of the test's choice.
import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { certs, out, root, sallyport, scratch } from './env.mjs'
import { Proc } from './proc.mjs'
import { audience, issuer } from './token.mjs'

export const origin = 'https://app.example.com'
export const host = 'door.example.com'
export const ca = () => readFileSync(join(certs, 'ca.pem'))

/** The gate of the design: a token of the provider, from one origin. */
export function gate(to, jwks, more = {}) {
  return {
    path: '/chat',
    to: typeof to === 'number' ? `ws://127.0.0.1:${to}` : to,
    origins: [origin],
    auth: { jwt: { issuer, audience, jwks: jwks.url ?? jwks, algs: ['ES256'] } },
    ...more,
  }
}

/** Limits that a test may raise so that another one is met first. */
export const wide = { connections: 8000, per_address: 5000, per_subject: 5000 }

/** The keys that every door here shares. JSON is YAML, so it is written as such. */
export function config(more) {
  return {
    listen: '127.0.0.1:0',
    health: '127.0.0.1:0',
    tls: { files: [{ cert: join(certs, 'door.pem'), key: join(certs, 'door.key') }] },
    log: { format: 'json', level: 'debug' },
    shutdown: { drain: '2s' },
    ...more,
  }
}

let count = 0

export class Door {
  /** Starts `sallyport serve -c` and waits until it serves. */
  static async start(name, settings, options = {}) {
    const d = new Door()
    d.name = name
    d.state = options.state ?? scratch('state')
    d.file = join(scratch('config'), 'door.yaml')
    d.write(settings)
    return d.begin()
  }

  /** Starts with the words of a command line, as a reader would type them. */
  static async line(name, args, { env = {}, cwd = root } = {}) {
    const d = new Door()
    Object.assign(d, { name, args, cwd, state: scratch('state') })
    d.env = { XDG_STATE_HOME: d.state, ...env }
    return d.begin()
  }

  write(settings) {
    const text = typeof settings === 'string' ? settings : JSON.stringify({ state: this.state, ...config(settings) }, null, 2)
    writeFileSync(this.file, text)
  }

  async begin() {
    const args = this.args ?? ['serve', '-c', this.file]
    this.proc = new Proc(`door-${this.name}-${process.pid}-${++count}`, sallyport, args, {
      cwd: this.cwd, env: { ...process.env, ...this.env },
    })
    const serving = await this.proc.line('serving', l => l.msg === 'serving', { ms: 20_000 })
    this.port = Number(serving.listen.split(':').pop())
    this.health = serving.health
    this.adminSocket = serving.admin
    const engine = process.platform === 'linux' && process.env.SALLYPORT_ENGINE !== 'portable' ? 'poll' : 'portable'
    assert.equal(serving.engine, engine, 'the engine that this run is about')
    return this
  }

  get lines() {
    return this.proc.lines
  }

  /** Lines of the log that fit, for the access log. */
  logged(fits) {
    return this.lines.filter(l => typeof l === 'object' && fits(l))
  }

  line(what, fits, options) {
    return this.proc.line(what, fits, options)
  }

  /** A request to the administrator's API on its unix socket. */
  async admin(method, path, body) {
    const answer = await request({ socketPath: this.adminSocket, method, path, body, headers: { host: 'admin' } })
    if (answer.status >= 300) throw new Error(`admin ${method} ${path}: ${answer.status} ${answer.text}`)
    return JSON.parse(answer.text)
  }

  revoke(match) {
    return this.admin('POST', '/revocations', match)
  }

  async conns(query = '') {
    return (await this.admin('GET', `/connections${query}`)).total
  }

  async get(path) {
    const [h, port] = this.health.split(':')
    return request({ host: h, port, path })
  }

  async metrics() {
    return (await this.get('/metrics')).text
  }

  /** Keeps everything the door shows, for the search for secrets. */
  async record() {
    if (this.proc.exited) return
    const seen = join(out, 'seen')
    mkdirSync(seen, { recursive: true })
    const add = (what, text) => appendFileSync(join(seen, `${this.name}.${what}`), text)
    add('metrics', await this.metrics())
    for (const path of ['/connections', '/config']) add('admin', JSON.stringify(await this.admin('GET', path)))
  }

  async reload() {
    const from = this.lines.length
    this.proc.signal('SIGHUP')
    return from
  }

  async stop(signal = 'SIGTERM') {
    if (signal === 'SIGTERM') await this.record().catch(() => {})
    return this.proc.stop(signal)
  }

  removeState() {
    rmSync(this.state, { recursive: true, force: true })
  }
}

/** A plain HTTP request, bounded in time. */
export function request({ body, headers = {}, module = http, ...options }) {
  return new Promise((done, fail) => {
    const data = body === undefined ? undefined : JSON.stringify(body)
    const all = { agent: false, timeout: 10_000, headers: { ...headers }, ...options }
    if (data !== undefined) Object.assign(all.headers, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(data), ...headers })
    const r = module.request(all, answer => {
      const parts = []
      answer.on('data', part => parts.push(part))
      answer.on('end', () => done({ status: answer.statusCode, headers: answer.headers, text: String(Buffer.concat(parts)) }))
      answer.on('error', fail)
    })
    r.on('upgrade', (answer, socket) => {
      socket.destroy()
      done({ status: answer.statusCode, headers: answer.headers, text: '' })
    })
    r.on('timeout', () => r.destroy(new Error('no answer within 10 s')))
    r.on('error', fail)
    r.end(data)
  })
}
