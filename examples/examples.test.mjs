// Every example, started as its README says, on free ports.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const { chromium } = createRequire(new URL('../js/client/package.json', import.meta.url))('playwright-core')
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = name => join(process.env.BIN, name)
const scratch = mkdtempSync(join(tmpdir(), 'examples-'))
const patience = 15_000

const running = new Set()
let browser
before(async () => {
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    env: { ...process.env, HOME: scratch },
    args: ['--headless=new', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])],
  })
})
after(async () => {
  await browser?.close()
  for (const p of running) p.child.kill('SIGKILL')
  rmSync(scratch, { recursive: true, force: true })
})

/** A child process; until(text) waits for what it writes. */
function run(command, args, env = {}) {
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env } })
  const p = { child, text: '' }
  running.add(p)
  p.ended = new Promise(done => child.on('close', code => (running.delete(p), done(code))))
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', line => (p.text += line + '\n'))
  p.until = text => until(`${command} to say ${text}`, () => {
    if (child.exitCode !== null && !p.text.match(text)) throw new Error(`${command} ended with ${child.exitCode}:\n${p.text}`)
    return p.text.match(text)
  }, () => p.text)
  p.stop = async (signal = 'SIGTERM') => {
    child.kill(signal)
    return p.ended
  }
  return p
}

async function until(what, check, more = () => '') {
  for (const end = Date.now() + patience; ; ) {
    const got = await check()
    if (got) return got
    if (Date.now() > end) throw new Error(`waited for ${what}\n${more()}`)
    await new Promise(done => setTimeout(done, 20))
  }
}

const free = () => new Promise((done, fail) => {
  const server = createServer().on('error', fail)
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    server.close(() => done(port))
  })
})

/** The backend with pages, and the port. */
async function backend(...folders) {
  const port = await free()
  const p = run('node', ['examples/backend/server.mjs', ...folders], { PORT: String(port) })
  await p.until(/http:/)
  return { ...p, port }
}

/** The door of a README, on a free port. */
async function door(to, state, ...args) {
  const port = await free()
  const common = ['--state', state, '--listen', `127.0.0.1:${port}`, '--set', 'health=off', '--set', 'shutdown.drain=2s', '--set', 'log.format=json']
  const p = run(bin('sallyport'), ['serve', '--dev', ...common, '--to', `ws://127.0.0.1:${to}`, '--path', '/chat', ...args.map(a => a.replace('8443', port).replace('3000', to))])
  await p.until(/"serving"/)
  return { ...p, port }
}

const anonymous = ['--app', 'http://127.0.0.1:3000', '--origin', 'https://localhost:8443', '--anonymous', 'an example for everybody']

/** A page, signed in nowhere, that fails the test when a script does. */
async function open(port, t) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  context.setDefaultTimeout(patience)
  t.after(() => context.close())
  const page = await context.newPage()
  page.on('pageerror', error => t.diagnostic(`page: ${error}`))
  page.on('console', m => m.type() === 'error' && t.diagnostic(`console: ${m.text()}`))
  await page.goto(`https://localhost:${port}/`)
  return page
}

const status = (page, text) => page.locator('#status', { hasText: text }).waitFor()
const message = (page, text) => page.locator('#messages li', { hasText: text }).first().waitFor()
async function say(page, text) {
  await page.fill('#text', text)
  await page.press('#text', 'Enter')
}

/** Two pages talk; the door goes and comes back, and they talk on. */
async function talk(t, port, restart) {
  const [one, other] = await Promise.all([open(port, t), open(port, t)])
  await Promise.all([status(one, 'open'), status(other, 'open')])
  await say(one, 'hello')
  await message(other, 'somebody: hello')
  if (!restart) return
  await restart()
  await Promise.all([status(one, 'open'), status(other, 'open')])
  await say(other, 'hello again')
  await message(one, 'somebody: hello again')
}

for (const [name, folders] of [['plain', ['examples/plain', 'js/client/dist']], ['react', ['examples/react', 'examples/react/out']]]) {
  test(name, async t => {
    const app = await backend(...folders)
    const state = join(scratch, name)
    const first = await door(app.port, state, ...anonymous)
    let second
    await talk(t, first.port, async () => {
      await first.stop()
      // On the same port: the pages know no other.
      second = run(bin('sallyport'), first.child.spawnargs.slice(1))
      await second.until(/"serving"/)
    })
    await Promise.all([second.stop(), app.stop()])
  })
}

test('go-server', async t => {
  const port = await free()
  const args = ['-listen', `127.0.0.1:${port}`, '-state', join(scratch, 'go-server')]
  let server = run(bin('go-server'), args)
  await server.until(/https:/)
  await talk(t, port, async () => {
    assert.equal(await server.stop(), 0, 'it ends as it should')
    server = run(bin('go-server'), args)
    await server.until(/https:/)
  })
  await server.stop()
})

test('node and go-client talk to each other', async () => {
  const app = await backend()
  const issued = run('node', ['examples/node/issue.mjs', 'ada'])
  assert.equal(await issued.ended, 0, issued.text)
  const state = join(scratch, 'programs')
  const out = join(root, 'examples/node/out')
  const d = await door(app.port, state, '--without', 'bearer', '--jwks', `file:${join(out, 'keys.json')}`,
    '--issuer', 'https://idp.example.com', '--audience', 'chat', '--set', 'identity.headers.X-Forwarded-User=sub')
  const ca = join(state, 'dev-ca.pem')
  const url = `wss://localhost:${d.port}/chat`
  const node = run('node', ['examples/node/chat.mjs', url, join(out, 'token')], { NODE_EXTRA_CA_CERTS: ca })
  const go = run(bin('go-client'), ['-ca', ca, '-token', join(out, 'token'), url])
  await Promise.all([node.until(/\[open\]/), go.until(/\[open\]/)])
  node.child.stdin.write('hello from node\n')
  await go.until(/ada: hello from node/)
  go.child.stdin.write('hello from go\n')
  await node.until(/ada: hello from go/)
  node.child.stdin.end()
  go.child.stdin.end()
  assert.equal(await node.ended, 0, node.text)
  assert.equal(await go.ended, 0, go.text)
  const token = readFileSync(join(out, 'token'), 'utf8').split('.')[2]
  assert.ok(!d.text.includes(token), 'the door logs no token')
  await Promise.all([d.stop(), app.stop()])
})

test('express, by forward-auth and by tickets of the application', async t => {
  const state = join(scratch, 'express')
  const port = await free()
  const at = await free()
  const app = run('node', ['examples/express/app.mjs'], { PORT: String(port), ORIGIN: `https://localhost:${at}`, ADMIN: join(state, 'admin.sock') })
  await app.until(/http:/)
  const d = run(bin('sallyport'), ['serve', '--dev', '--state', state, '--listen', `127.0.0.1:${at}`, '--set', 'health=off', '--set', 'log.format=json', '--set', 'shutdown.drain=2s',
    '--app', `http://127.0.0.1:${port}`, '--to', `ws://127.0.0.1:${port}`, '--path', '/chat', '--origin', `https://localhost:${at}`,
    '--forward', `http://127.0.0.1:${port}/me`, '--set', 'identity.headers.X-Forwarded-User=sub'])
  await d.until(/"serving"/)

  const pages = {}
  for (const [user, tickets] of [['ada', false], ['bob', true]]) {
    const page = (pages[user] = await open(at, t))
    // A page that is not signed in gets nothing.
    const ask = path => page.evaluate(p => fetch(p, { method: p === '/me' ? 'GET' : 'POST' }).then(r => r.status), path)
    assert.deepEqual([await ask('/me'), await ask('/ticket')], [401, 401])
    await page.fill('#user', user)
    await page.setChecked('#tickets', tickets)
    await page.press('#user', 'Enter')
    await status(page, 'open')
  }
  await say(pages.ada, 'hello')
  await message(pages.bob, 'ada: hello')
  await say(pages.bob, 'hello yourself')
  await message(pages.ada, 'bob: hello yourself')
  assert.match(d.text, /"admitted".*"method":"forward"/)
  assert.match(d.text, /"admitted".*"method":"admin"/)

  // Signing out ends both, with the door's reason, and neither comes back.
  for (const [user, end] of [['ada', 'closed: closed'], ['bob', 'closed: unauthenticated']]) {
    await pages[user].click('#logout')
    await status(pages[user], end)
  }
  assert.equal(d.text.match(/"ended".*"auth\.revoked"/g)?.length, 2, d.text)
  await Promise.all([d.stop(), app.stop()])
})
