// "Somebody in the middle" of the demo's page: a real proxy that ends TLS, what it sees and changes, and what the seal makes of that.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import { at, begin, connect, hears, newPerson, newTab, say, signIn, state, story, tells, text, word } from './demo-visit.mjs'
import { shot } from './lib/browser.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let demo, browser, url

/** A person who is signed in, with the switches as given, and connected. */
async function visitor(who, { through = true, sealing = false, ...options } = {}) {
  const context = await newPerson(browser, options)
  const page = await newTab(context, url)
  await signIn(context, page, who)
  if (through) await at(page, 'through').check()
  if (sealing) await at(page, 'sealing').check()
  await connect(page)
  return { context, page }
}

async function leave({ context }) {
  assert.deepEqual(context.errors, [])
  await context.close()
}

const sees = (page, { what = 'message', way, hasText, flipped } = {}) =>
  page.locator(`[data-testid=middle] li[data-what=${what}]${way ? `[data-way=${way}]` : ''}${flipped ? '[data-flipped=yes]' : ''}`, { hasText }).first().waitFor()
const seen = page => at(page, 'middle').textContent()
const connection = page => page.waitForFunction(() => /^[0-9a-f]{6}$/.test(document.querySelector('[data-testid=connection]').textContent) &&
  document.querySelector('[data-testid=connection]').textContent).then(h => h.jsonValue())
const another = (page, before) => page.waitForFunction(old => /^[0-9a-f]{6}$/.test(document.querySelector('[data-testid=connection]').textContent) &&
  document.querySelector('[data-testid=connection]').textContent !== old, before)
const outcome = (page, want) => page.locator(`[data-testid=flip-result][data-outcome=${want}]`).waitFor()
const lines = page => page.locator('[data-testid=log] li[data-kind=said]').count()

async function flip(page, way) {
  await at(page, 'flip-way').selectOption(way)
  await at(page, 'flip').click()
  await page.waitForFunction(() => document.querySelector('[data-testid=flip]').textContent === 'Let it pass')
}

before(async () => {
  ({ demo, browser, url } = await begin('demo-middle', 18743))
})
after(async () => {
  await browser?.close()
  await demo?.stop('SIGINT')
})

describe('somebody in the middle', () => {
  test('without the seal the proxy reads every word, and the ticket', async () => {
    const ada = await visitor('ada', { viewport: { width: 1280, height: 900 } })
    const { page } = ada
    await say(page, 'the words of an open line')
    await hears(page, 'ada', 'the words of an open line')
    for (const way of ['up', 'down']) await sees(page, { way, hasText: 'the words of an open line' })
    await sees(page, { what: 'opened', hasText: 'sallyport.ticket.' })
    await sees(page, { what: 'opened', hasText: 'Not sealed' })
    await shot(page, 'demo-middle-open')
    await leave(ada)
  })

  test('without the seal a flipped bit changes what is said, and nobody notices', async () => {
    const ada = await visitor('ada')
    const bob = await visitor('bob', { through: false })
    const { page } = ada
    const before = await connection(page)
    await flip(page, 'up')
    await say(page, 'pay Bob 100 euros, quickly')
    await hears(bob.page, 'ada', 'pay Bob 900 euros, quickly')
    await hears(page, 'ada', 'pay Bob 900 euros, quickly')
    await outcome(page, 'unnoticed')
    assert.match(await text(page, 'flip-result'), /“pay Bob 100 euros, quickly” into “pay Bob 900 euros, quickly”/)
    await sees(page, { flipped: true, hasText: '900' })
    await flip(page, 'down')
    await say(bob.page, 'thank you for 100, Ada')
    await hears(page, 'bob', 'thank you for 900, Ada')
    await outcome(page, 'unnoticed')
    assert.equal(await connection(page), before)
    assert.ok(!(await story(page)).includes('ended'))
    await leave(ada)
    await leave(bob)
  })

  test('sealed, the proxy sees lengths and bytes, no word and no ticket', async () => {
    const ada = await visitor('ada', { sealing: true, viewport: { width: 1280, height: 900 } })
    const bob = await visitor('bob', { through: false })
    const { page } = ada
    await say(page, 'nothing for you to read')
    await hears(page, 'ada', 'nothing for you to read')
    await hears(bob.page, 'ada', 'nothing for you to read')
    await say(bob.page, 'nor of what I say')
    await hears(page, 'bob', 'nor of what I say')
    await sees(page, { way: 'up', hasText: '2363 bytes. It cannot be read.' })
    await sees(page, { way: 'down', hasText: '1153 bytes. It cannot be read.' })
    await sees(page, { what: 'opened', hasText: 'offering sallyport.v1+seal' })
    await at(page, 'renew').click()
    await tells(page, 'renewed')
    await at(page, 'lid').click()
    await tells(page, 'beat') // the door's control messages travel inside, too
    const all = await seen(page)
    for (const never of ['nothing for you', 'nor of what', 'sallyport.ticket', '"t":']) assert.ok(!all.includes(never), never)
    assert.deepEqual(await page.locator('[data-testid=middle] li[data-sealed=no]').count(), 0)
    await shot(page, 'demo-middle-sealed')
    await leave(ada)
    await leave(bob)
  })

  test('sealed, a flipped bit of what is sent ends the connection with seal.broken; nothing is delivered, and the client comes back', async () => {
    const ada = await visitor('ada', { sealing: true, viewport: { width: 1280, height: 900 } })
    const bob = await visitor('bob', { through: false })
    const { page } = ada
    const before = await connection(page)
    await flip(page, 'up')
    await say(page, 'pay Bob 100 euros, safely')
    await outcome(page, 'noticed')
    await at(page, 'door-events').locator('li[data-what=ended][data-reason="seal.broken"]').first().waitFor()
    await tells(page, 'unknown', 'safely')
    await sees(page, { flipped: true, hasText: 'blindly' })
    await another(page, before)
    assert.equal(await lines(bob.page) + await lines(page), 0, 'nothing was delivered')
    await say(page, 'here I am again')
    await hears(bob.page, 'ada', 'here I am again')
    await page.locator('#middle-card').scrollIntoViewIfNeeded()
    await shot(page, 'demo-middle-flipped')
    await leave(ada)
    await leave(bob)
  })

  test('sealed, a flipped bit of what is received is noticed by the client', async () => {
    const ada = await visitor('ada', { sealing: true })
    const bob = await visitor('bob', { through: false })
    const { page } = ada
    await flip(page, 'down')
    await say(bob.page, 'pay Ada 100 euros')
    await word(page, '4905', 'seal.broken')
    await outcome(page, 'noticed')
    await tells(page, 'ended', 'somebody changed it')
    await tells(page, 'open', 'Back')
    assert.equal(await lines(page), 0, 'nothing was delivered')
    await say(bob.page, 'once more')
    await hears(page, 'bob', 'once more')
    await leave(ada)
    await leave(bob)
  })

  test('sealed without the proxy, and the switches over an open connection', async () => {
    const ada = await visitor('ada', { through: false })
    const { page } = ada
    assert.match(await text(page, 'path-of'), /straight to the door, over TLS\.$/)
    for (const [name, told] of [['sealing', /straight .* sealed/], ['through', /sees sealed bytes/], ['sealing', /read and change/], ['through', /straight/]]) {
      const before = await connection(page)
      await at(page, name).click()
      assert.match(await text(page, 'path-of'), told)
      await another(page, before)
      await say(page, `still talking, ${told}`)
      await hears(page, 'ada', `still talking, ${told}`)
      assert.equal(await at(page, 'flip').getAttribute('aria-disabled'), String(!await at(page, 'through').isChecked()))
    }
    await leave(ada)
  })

  test('sealed through the proxy, a deployment and a cut cable are what they were', async () => {
    const ada = await visitor('ada', { sealing: true })
    const { page } = ada
    const before = await connection(page)
    await at(page, 'deploy').click()
    await tells(page, 'draining')
    await another(page, before) // moved, or come back: it is told to move at a random time before the door ends it
    await state(page, 'open')
    await at(page, 'short-token').click()
    await tells(page, 'renewed', /good for 1[345] s/)
    await at(page, 'cut').click()
    await tells(page, 'trouble', 'cut the cable')
    await at(page, 'lid').click()
    await tells(page, 'ended', '4900')
    await at(page, 'cut').click()
    await state(page, 'open', 40_000)
    await at(page, 'logout').click()
    await word(page, '4001', 'Unauthorized;auth.signed-out')
    await leave(ada)
  })

  test('a page with another pin connects to nobody', async () => {
    const context = await newPerson(browser)
    const page = await newTab(context, url)
    await signIn(context, page, 'ada')
    const end = await page.evaluate(async () => {
      const { sealed } = await import('/crypto.js')
      const seal = sealed({ pins: [`sp1.${'A'.repeat(43)}`] })
      const client = Sallyport.createClient(`wss://${location.host}/chat`, { ticket: '/api/ticket', seal })
      const end = new Promise(done => client.addEventListener('close', e => done(e.detail)))
      client.connect().catch(() => {})
      const { close, code, opened } = await end
      client.close()
      return { close, code, opened }
    })
    assert.deepEqual(end, { close: 4905, code: 'local.pin', opened: false })
    await context.close()
  })

  test('the lines with the seal run as they are shown', async () => {
    const context = await newPerson(browser)
    const page = await newTab(context, url)
    await signIn(context, page, 'bob')
    const shown = await text(page, 'code-sealed')
    assert.equal(shown.trim().split('\n').length, 5)
    assert.ok(shown.includes(await text(page, 'pin')))
    const heard = await page.evaluate(`(async () => {
      const heard = new Promise(done => { console.log = line => done(JSON.parse(line)) })
      ${shown}
      const { from, text } = await heard
      await client.close()
      return { from, text }
    })()`)
    assert.deepEqual(heard, { from: 'bob', text: 'hello' })
    await leave({ context })
  })

  test('by keyboard alone, and the focus stays', async () => {
    const ada = await visitor('ada', { through: false })
    const { page } = ada
    const focus = () => page.evaluate(() => document.activeElement.dataset.testid ?? document.activeElement.tagName)
    const go = async name => {
      for (let i = 0; i < 60 && await focus() !== name; i++) await page.keyboard.press('Tab')
      assert.equal(await focus(), name)
    }
    for (const name of ['through', 'sealing']) {
      await go(name)
      const before = await connection(page)
      await page.keyboard.press('Space')
      assert.ok(await at(page, name).isChecked())
      await another(page, before)
      assert.equal(await focus(), name)
    }
    await go('flip')
    await page.keyboard.press('Enter')
    await page.waitForFunction(() => document.querySelector('[data-testid=flip]').textContent === 'Let it pass')
    await page.keyboard.press('Enter')
    await page.waitForFunction(() => document.querySelector('[data-testid=flip]').textContent === 'Flip one bit')
    assert.equal(await focus(), 'flip')
    await go('middle') // what scrolls can be reached
    await leave(ada)
  })

  test('axe finds no violation, light and dark; 360 px: nothing scrolls sideways', async () => {
    for (const [name, options] of [
      ['light', { viewport: { width: 1280, height: 900 } }],
      ['dark', { colorScheme: 'dark', viewport: { width: 1280, height: 900 } }],
      ['phone', { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true }],
    ]) {
      const ada = await visitor('ada', { ...options, reducedMotion: 'reduce' })
      const { page } = ada
      await flip(page, 'up')
      await say(page, 'pay Bob 100 euros, openly')
      await outcome(page, 'unnoticed')
      await at(page, 'sealing').check()
      await sees(page, { what: 'opened', hasText: 'Sealed from here on' })
      await state(page, 'open')
      await connection(page)
      await flip(page, 'up')
      await say(page, 'pay Bob 100 euros, sealed')
      await outcome(page, 'noticed')
      await tells(page, 'open', 'Back')
      await page.evaluate(axe)
      const { violations } = await page.evaluate(() => window.axe.run())
      assert.deepEqual(violations.map(v => `${name}: ${v.id}: ${v.nodes.length} times, ${v.nodes[0].target}: ${v.nodes[0].failureSummary}`), [])
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} does not scroll sideways`)
      await page.locator('#middle-card').screenshot({ path: `out/screenshots/demo-middle-${name}.png` })
      await leave(ada)
    }
  })
})
