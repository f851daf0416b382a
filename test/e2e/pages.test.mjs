// What pages in a real browser see: of the trusted origin, and of others.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { browse, fromPage, pages } from './lib/browser.mjs'
import { Door, gate, host, origin, wide } from './lib/door.mjs'
import { fake } from './lib/fake.mjs'
import { secret } from './lib/env.mjs'
import { Key, keySet } from './lib/token.mjs'

const key = new Key('k1')
const keys = keySet(key)
const cookie = secret('c0a1e5ce8d5e4b0f9cf4b14f7a3e2d91')
const unauthorized = code => ({ opened: true, code: 4001, reason: `Unauthorized;${code}`, clean: true })
const evil = 'https://evil.example.net'
let server, app, forward, asked, door, site, plain, browser

before(async () => {
  server = await fake({ handleProtocols: offered => ['chat.v1', 'chat.v2'].find(p => offered.has(p)) ?? false })
  asked = 0
  forward = await fake({ request: (r, w) => {
    asked++
    const good = (r.headers.cookie ?? '').includes(cookie)
    w.writeHead(good ? 200 : 401).end('{"sub":"victim"}')
  } })
  app = await fake({ request: (r, w) => w.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>inside</title><link rel="icon" href="data:,"><script>document.title = "inline script ran"</script>') })
  door = await Door.start('pages', {
    limits: wide, hosts: [host], app: `http://127.0.0.1:${app.port}`,
    gates: [
      gate(server.port, keys),
      gate(server.port, keys, { path: '/cookie', auth: { forward: { url: `http://127.0.0.1:${forward.port}/me` } } }),
      gate(server.port, keys, { path: '/http', refuse: 'http' }),
    ],
  })
  site = await pages()
  plain = await pages({ secure: false })
  const names = ['app.example.com', 'sibling.app.example.com', 'evilapp.example.com', 'evil.example.net', 'app.example.com.evil.example.net', 'rebind.example.net', 'app.example.com:8444']
  browser = await browse({
    ...Object.fromEntries(names.map(n => [n, site.port])),
    [host]: door.port, 'rebind.example.net:8443': door.port, 'app.example.com:80': plain.port,
  })
})
after(async () => {
  await browser?.close()
  await door?.stop()
  for (const s of [site, plain, server, app, forward]) await s?.stop()
})

/** A page of an origin, in a browser of its own, with what the victim's browser has. */
async function pageOf(url, cookies = []) {
  const context = await browser.fresh()
  if (cookies.length) await context.addCookies(cookies)
  const page = await context.newPage()
  await page.goto(url)
  return Object.assign(page, { done: () => context.close() })
}

const victim = sameSite => [{ name: '__Host-site', value: cookie, url: `https://${host}/`, secure: true, httpOnly: true, sameSite }]

describe('a page of the trusted origin', () => {
  test('SR-39 exchanges its token for a ticket and gets in', async () => {
    const page = await pageOf(origin)
    const got = await page.evaluate(async ([host, token]) => {
      const answer = await fetch(`https://${host}/sallyport/ticket`, {
        method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: JSON.stringify({ gate: '/chat' }),
      })
      const { ticket, protocol } = await answer.json()
      const open = (protocols, text) => new Promise(done => {
        const ws = new WebSocket(`wss://${host}/chat`, protocols)
        ws.onopen = () => ws.send(text)
        ws.onmessage = e => { done({ protocol: ws.protocol, text: e.data }); ws.close() }
        ws.onclose = e => done({ code: e.code, reason: e.reason })
      })
      return { ticket, first: await open([ticket, protocol], 'hello from a page'), again: await open([ticket, protocol], 'again') }
    }, [host, key.token()])
    secret(got.ticket.split('.').pop())
    assert.deepEqual(got.first, { protocol: 'sallyport', text: 'hello from a page' })
    assert.deepEqual(got.again, { code: 4001, reason: 'Unauthorized;auth.ticket-used' })
    await page.done()
  })

  test('gets in with the application’s cookie: what the attacks below want', async () => {
    const page = await pageOf(origin, victim('Strict'))
    const seen = await fromPage(page, `wss://${host}/cookie`, ['chat.v1'])
    assert.deepEqual(seen, { opened: true, protocol: 'chat.v1', stays: true })
    await page.done()
  })

  test('without a credential it is told 4001 auth.missing', async () => {
    const page = await pageOf(origin)
    const { protocol, ...seen } = await fromPage(page, `wss://${host}/chat`)
    assert.deepEqual(seen, unauthorized('auth.missing'))
    await page.done()
  })

  test('SR-21 refuse: http is 1006 to a page, which is why it is not the default', async () => {
    const page = await pageOf(origin)
    const seen = await fromPage(page, `wss://${host}/http`)
    assert.deepEqual([seen.opened, seen.code, seen.clean], [false, 1006, false])
    await page.done()
  })
})

describe('pages of other origins, with the victim’s cookies', () => {
  const offers = [['none', undefined], ['one', ['chat.v1']], ['two', ['chat.v1', 'chat.v2']], ['ours', ['sallyport', 'chat.v2']]]
  const others = [
    ['AT-01 another site', evil, 'None'],
    ['AT-02 a sibling subdomain', 'https://sibling.app.example.com', 'Strict'],
    ['AT-03 another port', 'https://app.example.com:8444', 'Strict'],
    ['SR-11 a look-alike name', 'https://evilapp.example.com', 'Strict'],
    ['SR-11 the trusted name as a prefix', 'https://app.example.com.evil.example.net', 'None'],
    ['SR-11 the trusted name in plaintext', 'http://app.example.com', 'Strict'],
  ]
  for (const [name, url, sameSite] of others) {
    test(`${name} → 4001 origin.untrusted, with none, one and two subprotocols`, async () => {
      const before = [server.handshakes.length, asked]
      for (const [count, protocols] of offers) {
        const page = await pageOf(url, victim(sameSite))
        const { protocol, ...seen } = await fromPage(page, `wss://${host}/cookie`, protocols)
        // Beyond five refusals in ten seconds of one address and origin, HTTP 429 follows.
        assert.deepEqual(seen, unauthorized('origin.untrusted'), count)
        if (protocols) assert.ok(protocols.includes(protocol), 'a browser fails if none is selected')
        await page.done()
      }
      assert.deepEqual([server.handshakes.length, asked], before, 'neither backend nor forward-auth hear of it')
    })
  }

  for (const [name, html] of [
    ['SR-15 AT-04 a sandboxed iframe (origin null)', code => `<iframe sandbox="allow-scripts" srcdoc="<script>${code}</script>"></iframe>`],
    ['SR-15 AT-04 a data: page (origin null)', code => `<iframe src="data:text/html,<script>${encodeURIComponent(code)}</script>"></iframe>`],
  ]) {
    test(`${name} of the trusted page is refused`, async () => {
      for (const [count, protocols] of offers.slice(0, 2)) {
        const page = await pageOf(origin, victim('None'))
        const code = `var ws = new WebSocket('wss://${host}/cookie'${protocols ? `, '${protocols[0]}'` : ''}); ws.onclose = function (e) { parent.postMessage(e.code + ' ' + e.reason, '*') }`
        const seen = await page.evaluate(html => new Promise(done => {
          addEventListener('message', e => done(`${e.origin} ${e.data}`))
          document.body.innerHTML = html
          setTimeout(() => done('nothing'), 8000)
        }), html(code))
        assert.equal(seen, 'null 4001 Unauthorized;origin.untrusted', count)
        await page.done()
      }
    })
  }

  test('SR-13 AT-05 DNS rebinding: a name that was made to resolve here is not served', async () => {
    const page = await pageOf('https://rebind.example.net', victim('None'))
    const seen = await fromPage(page, 'wss://rebind.example.net:8443/cookie')
    assert.deepEqual([seen.opened, seen.code], [false, 1006])
    await assert.rejects(page.goto('https://rebind.example.net:8443/'), /ERR_SSL_UNRECOGNIZED_NAME_ALERT/, 'SR-05 TLS has no certificate for it')
    await page.done()
  })

  test('SR-20 AT-06 no page elsewhere gets a ticket, by form, fetch, beacon or GET', async () => {
    const page = await pageOf(evil, victim('None'))
    const from = door.lines.length
    const got = await page.evaluate(async ([host, body]) => {
      const url = `https://${host}/sallyport/ticket`
      const tries = {
        json: fetch(url, { method: 'POST', credentials: 'include', headers: { 'content-type': 'application/json' }, body }),
        text: fetch(url, { method: 'POST', credentials: 'include', body }),
        blind: fetch(url, { method: 'POST', credentials: 'include', mode: 'no-cors', body }),
        get: fetch(url, { credentials: 'include' }),
      }
      const out = {}
      for (const [name, p] of Object.entries(tries)) out[name] = await p.then(r => r.type, e => e.name)
      navigator.sendBeacon(url, body)
      const frame = document.createElement('iframe')
      frame.name = 'target'
      document.body.append(frame)
      const form = Object.assign(document.createElement('form'), { method: 'POST', action: url, target: 'target', enctype: 'text/plain' })
      form.append(Object.assign(document.createElement('input'), { name: body.slice(0, -1) + ',"x":"', value: '"}' }))
      document.body.append(form)
      form.submit()
      await new Promise(done => setTimeout(done, 700))
      return out
    }, [host, JSON.stringify({ gate: '/cookie' })])
    assert.deepEqual(got, { json: 'TypeError', text: 'TypeError', blind: 'TypeError', get: 'TypeError' })
    assert.deepEqual(door.lines.slice(from).filter(l => l.msg === 'issued'), [])
    assert.ok(door.lines.slice(from).filter(l => l.msg === 'refused').length >= 3, 'they came, and were refused')
    await page.done()
  })

  test('AT-08 SR-26 the site behind the door cannot be framed', async () => {
    const page = await pageOf(evil, victim('None'))
    for (const [src, loads] of [['https://sibling.app.example.com/', true], [`https://${host}/`, false]]) {
      await page.evaluate(src => new Promise(done => {
        document.body.replaceChildren(Object.assign(document.createElement('iframe'), { src, onload: done }))
      }), src)
      const inside = page.frames().find(f => f !== page.mainFrame())
      assert.equal(inside.url() === src, loads, `${src} is ${inside.url()}`)
    }
    await page.done()
  })

  test('SR-26 a script written into the page does not run', async () => {
    const page = await pageOf(`https://${host}/`)
    assert.equal(await page.title(), 'inside')
    await page.done()
  })
})
