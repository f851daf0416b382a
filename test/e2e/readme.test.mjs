// README's five minutes, typed as they are printed. The surroundings are the
// reader's: a backend on port 3000, a page on https://localhost:5173.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { WebSocketServer } from 'ws'
import { browse, fromPage, pages } from './lib/browser.mjs'
import { Door } from './lib/door.mjs'
import { root, sallyport, scratch, secret, until, within } from './lib/env.mjs'

const run = promisify(execFile)
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const cookie = secret('5e884898da28047151d0e56f8dc62927')

/** The words of the only command of README that fits; no word in it is quoted. */
function command(fits) {
  const lines = readme.split('\n').map(l => l.trim()).filter(l => fits.test(l))
  assert.equal(lines.length, 1, `README has one line that fits ${fits}`)
  assert.doesNotMatch(lines[0], /["'\\$|;]/)
  return lines[0].split(/\s+/)
}

const free = port => new Promise(done => {
  const s = net.createServer().on('error', () => done(false))
  s.listen(port, '127.0.0.1', () => s.close(() => done(true)))
})

describe('README, in front of your own backend', async () => {
  // The line names two ports, so they must be free. Where somebody else keeps one
  // for longer than half a minute there is nothing to try; in CI that is a failure.
  // If the default port of the door is taken, its environment says another.
  const moved = !await free(8443)
  const busy = async () => (await Promise.all([3000, 5173].map(async p => (await free(p)) ? [] : [p]))).flat()
  const taken = await until('free ports', async () => (await busy()).length === 0, 30_000).then(() => '', busy)
  if (taken.length > 0 && process.env.CI) throw new Error(`port ${taken} is taken`)
  const options = { skip: taken.length > 0 && `port ${taken} of this machine is taken` }
  let app, door, browser, page, elsewhere, state, signedIn = true
  const me = []

  const tool = async args => {
    // "sallyport" is a word of the shell; here it is the binary that was built.
    assert.equal(args[0], 'sallyport')
    return run(sallyport, args.slice(1), { env: { ...process.env, XDG_STATE_HOME: state }, timeout: 10_000 })
  }

  before(async () => {
    if (options.skip) return
    app = http.createServer((r, w) => {
      me.push(r.url)
      const known = signedIn && (r.headers.cookie ?? '').includes(cookie)
      w.writeHead(known ? 200 : 401, { 'content-type': 'application/json' }).end(known ? '{"sub": "alice"}' : '')
    })
    new WebSocketServer({ server: app }).on('connection', ws => ws.on('message', (data, binary) => ws.send(data, { binary })))
    await new Promise(done => app.listen(3000, '127.0.0.1', done))
    elsewhere = await pages({ port: 5173 })
    state = scratch('xdg')
    const [name, ...args] = command(/^sallyport serve --dev --to /)
    assert.equal(name, 'sallyport')
    door = await Door.line('readme', args, { env: { XDG_STATE_HOME: state, SALLYPORT_HEALTH: '127.0.0.1:0', ...(moved && { SALLYPORT_LISTEN: '127.0.0.1:0' }) } })
    browser = await browse({ 'evil.example.net': elsewhere.port })
    const context = await browser.fresh()
    await context.addCookies([{ name: 'app', value: cookie, url: 'https://localhost/', httpOnly: true, secure: true, sameSite: 'Lax' }])
    page = await context.newPage()
  })
  after(async () => {
    await browser?.close()
    await door?.stop()
    await elsewhere?.stop()
    app?.closeAllConnections()
    app?.close()
  })

  const url = () => `wss://localhost:${door.port}/`

  test('1: the serve line starts, and https://localhost:8443/ says 426', options, async () => {
    if (!moved) assert.equal(door.port, 8443)
    const answer = await page.goto(`https://localhost:${door.port}/`)
    assert.equal(answer.status(), 426)
  })

  test('2: the page’s socket gets in with the application’s cookie', options, async () => {
    assert.ok(readme.includes(`new WebSocket('wss://localhost:8443/')`))
    await page.goto('https://localhost:5173/')
    const got = await page.evaluate(url => new Promise(done => {
      const ws = window.ws = new WebSocket(url)
      window.ended = new Promise(end => { ws.onclose = e => { end(`${e.code} ${e.reason}`); done('closed') } })
      ws.onopen = () => ws.send('hello')
      ws.onmessage = e => done(e.data)
    }), url())
    assert.equal(got, 'hello')
  })

  test('3: any other site is closed at once', options, async () => {
    const other = await page.context().newPage()
    await other.goto('https://evil.example.net/')
    const seen = await fromPage(other, url())
    assert.equal(`${seen.code} ${seen.reason}`, '4001 Unauthorized;origin.untrusted')
    assert.ok(readme.includes('4001 Unauthorized;origin.untrusted'))
    await other.close()
  })

  test('SR-43 4: list and revoke, as they are printed, end the socket within a second', options, async () => {
    const list = await tool(command(/^sallyport connections list$/))
    assert.match(list.stdout, /alice/)
    await tool(command(/^sallyport revoke --subject alice /))
    const since = Date.now()
    const end = await within(3000, 'the end', page.evaluate(() => window.ended))
    assert.equal(end, '4001 Unauthorized;auth.revoked')
    assert.ok(Date.now() - since < 1000)
  })

  test('4: signed out, a new socket is refused with the reasons of README', options, async () => {
    signedIn = false
    await new Promise(done => setTimeout(done, 2100)) // answers are kept for two seconds
    assert.equal((await fromPage(page, url())).reason, 'Unauthorized;auth.invalid')
    await page.context().clearCookies()
    assert.equal((await fromPage(page, url())).reason, 'Unauthorized;auth.missing')
    for (const code of ['auth.missing', 'auth.invalid']) assert.ok(readme.includes(code))
  })

  test('dev-ca shows how to trust the authority', options, async () => {
    const shown = await tool(command(/^sallyport dev-ca$/))
    assert.match(shown.stdout, /localhost/)
  })

  test('without a way to authenticate, serve refuses to start and says which there are', async () => {
    const [, ...args] = command(/^sallyport serve --dev --to /)
    const at = args.indexOf('--forward')
    args.splice(at, 2)
    const failed = await run(sallyport, args, { env: { ...process.env, XDG_STATE_HOME: scratch('xdg') }, timeout: 10_000 }).then(() => null, e => e)
    assert.equal(failed?.code, 3)
    for (const way of ['--jwks', '--forward', '--anonymous']) assert.ok(failed.stderr.includes(way), failed.stderr)
  })

  test('the configuration of README is right', async () => {
    const yaml = /```yaml\n(# sallyport\.yaml[\s\S]*?)```/.exec(readme)[1]
    const dir = scratch('readme')
    writeFileSync(join(dir, 'sallyport.yaml'), yaml)
    const failed = await run(sallyport, ['config', 'check', 'sallyport.yaml'], { cwd: dir, timeout: 10_000 }).then(() => null, e => e)
    // Certificates and key sets of the example are not on this machine; nothing else may be wrong.
    const wrong = (failed?.stderr ?? '').split('\n').filter(l => /^\S*sallyport\.yaml:\d+/.test(l) && !/no such file|cannot be read|not exist/.test(l))
    assert.deepEqual(wrong, [])
  })
})
