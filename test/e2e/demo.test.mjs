// The tour of `sallyport demo` in a real browser, with screenshots to look at.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { at, begin, connect, hears, newPerson, newTab, say, signIn, text, word } from './demo-visit.mjs'
import { shot } from './lib/browser.mjs'
import { within } from './lib/env.mjs'

let demo, browser, url, evil
const person = options => newPerson(browser, options)
const tab = context => newTab(context, url)

before(async () => {
  ({ demo, browser, url, evil } = await begin('demo', 18443))
})
after(async () => {
  await browser?.close()
  await demo?.stop('SIGINT')
})

describe('the tour of the demo', () => {
  test('signed out, nobody gets in', async () => {
    const context = await person()
    const page = await tab(context)
    assert.equal(await text(page, 'who'), 'nobody')
    await at(page, 'connect').click()
    await word(page, 'HTTP 401', 'auth.missing')
    await context.close()
  })

  test('two people talk over wss', async () => {
    const [one, two] = [await person({ viewport: { width: 1280, height: 900 } }), await person()]
    const [ada, bob] = [await tab(one), await tab(two)]
    await signIn(one, ada, 'ada')
    await signIn(two, bob, 'bob')
    await connect(ada)
    await connect(bob)
    await say(ada, 'hello Bob, this is Ada')
    await hears(bob, 'ada', 'hello Bob, this is Ada')
    await say(bob, '<img src=x onerror="document.title=1"> & good day')
    await hears(ada, 'bob', '& good day')
    assert.equal(await ada.title(), 'Sallyport demo', 'AT-10 what people say is text')
    assert.match(await text(ada, 'life-left'), /^\d+:\d\d$/)
    await at(ada, 'renew').click()
    await at(ada, 'door-events').locator('li[data-what=renewed]').first().waitFor()
    await shot(ada, 'demo-light')
    assert.deepEqual([...one.errors, ...two.errors], [])
    await one.close()
    await two.close()
  })

  test('SR-43 log out in one tab: the other tab’s socket ends within a second, with its reason', async () => {
    const [one, two] = [await person(), await person()]
    const [first, second, bob] = [await tab(one), await tab(one), await tab(two)]
    await signIn(one, first, 'ada')
    await signIn(two, bob, 'bob')
    await second.reload()
    for (const page of [first, second, bob]) await connect(page)
    for (const page of [first, second]) {
      await page.evaluate(() => {
        new MutationObserver(() => { window.closedAt ??= Date.now() }).observe(document.querySelector('[data-testid=status]'), { attributeFilter: ['data-state'] })
      })
    }
    await at(first, 'logout').click()
    for (const page of [first, second]) await word(page, '4001', 'Unauthorized;auth.signed-out')
    const since = await first.evaluate(() => // when the door had said that the session is over
      performance.timeOrigin + performance.getEntriesByType('resource').find((e) => e.name.endsWith('/api/logout')).responseEnd)
    for (const page of [first, second]) {
      const took = await page.evaluate(() => window.closedAt) - since
      assert.ok(took < 1000, `${took} ms`)
    }
    await shot(second, 'demo-signed-out')
    await second.waitForFunction(() => document.querySelector('[data-testid=who]').textContent === 'nobody')
    await say(bob, 'I am still here')
    await hears(bob, 'bob', 'I am still here')
    await at(second, 'connect').click()
    await word(second, 'HTTP 401', 'auth.missing')
    await one.close()
    await two.close()
  })

  test('an altered, an expired and a used credential are refused, each with its reason', async () => {
    const context = await person()
    const page = await tab(context)
    await signIn(context, page, 'ada')
    for (const [name, reason] of [['altered-token', 'auth.invalid'], ['expired-token', 'auth.expired'], ['replay-ticket', 'auth.ticket-used']]) {
      await at(page, name).click()
      await page.locator(`[data-testid=${name}-result][data-reason="${reason}"]`).waitFor()
      assert.match(await text(page, `${name}-result`), /^Refused/)
    }
    assert.equal(await text(page, 'close-code'), '4001')
    await shot(page, 'demo-refused')
    await context.close()
  })

  test('AT-01 SR-19 the evil page fails at everything, and the connection lives on', async () => {
    const context = await person()
    const page = await tab(context)
    await signIn(context, page, 'ada')
    await connect(page)
    const [other] = await Promise.all([context.waitForEvent('page'), at(page, 'evil-link').click()])
    assert.equal(new URL(other.url()).origin, evil)
    for (const name of ['socket', 'offer', 'ticket', 'token', 'logout']) {
      await other.locator(`[data-testid=evil-${name}]:not([data-outcome=waiting])`).waitFor()
      assert.equal(await at(other, `evil-${name}`).getAttribute('data-outcome'), 'refused', name)
    }
    for (const name of ['socket', 'offer']) assert.equal(await at(other, `evil-${name}`).getAttribute('data-detail'), '4001 Unauthorized;origin.untrusted')
    assert.ok(other.frames().slice(1).every(f => !f.url().startsWith(url)), 'AT-08 the real page is not framed')
    await shot(other, 'demo-evil')
    await say(page, 'still signed in')
    await hears(page, 'ada', 'still signed in')
    for (const reason of ['origin.untrusted', 'http.cross-site']) {
      await at(page, 'door-events').locator(`li[data-what=refused][data-reason="${reason}"]`).first().waitFor()
    }
    await shot(page, 'demo-events')
    await context.close()
  })

  test('the lines that a page needs run as they are shown, with the client and without', async () => {
    const context = await person()
    const page = await tab(context)
    await signIn(context, page, 'bob')
    const lines = await text(page, 'code')
    assert.equal(lines.trim().split('\n').length, 5)
    const heard = await page.evaluate(`(async () => {
      const heard = new Promise(done => { console.log = line => done(JSON.parse(line)) })
      ${lines}
      const { from, text } = await heard
      await client.close()
      return { from, text, state: client.state.code }
    })()`)
    assert.deepEqual(heard, { from: 'bob', text: 'hello', state: 'closed' })

    const bare = await text(page, 'code-bare')
    assert.equal(bare.trim().split('\n').length, 5)
    const said = await page.evaluate(`(async () => {
      ${bare}
      await new Promise(done => { socket.onopen = done })
      socket.send(JSON.stringify({ text: 'five lines' }))
      return new Promise(done => { socket.onmessage = e => { const m = JSON.parse(e.data); if (m.text === 'five lines') { done(m.from); socket.close() } } })
    })()`)
    assert.equal(said, 'bob')
    await context.close()
  })

  test('dark, and on a phone', async () => {
    for (const [name, options] of [
      ['demo-dark', { colorScheme: 'dark', viewport: { width: 1280, height: 900 } }],
      ['demo-phone', { viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
      ['demo-phone-dark', { colorScheme: 'dark', viewport: { width: 360, height: 780 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
    ]) {
      const context = await person(options)
      const page = await tab(context)
      await signIn(context, page, 'ada')
      await connect(page)
      await say(page, 'a line to look at')
      await hears(page, 'ada', 'a line to look at')
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} does not scroll sideways`)
      await shot(page, name)
      await context.close()
    }
  })

  test('stopping tells everybody, and exits 0', async () => {
    const context = await person()
    const page = await tab(context)
    await signIn(context, page, 'ada')
    await connect(page)
    demo.signal('SIGINT')
    await word(page, '4200', 'Restarting;drain')
    assert.deepEqual(await within(10_000, 'the exit', demo.exit), { code: 0, signal: null })
    await context.close()
  })
})
