// "An unreliable network" of the demo's page: every trouble is made for real, in a real browser, and the page says what the client did.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import { at, begin, connect, hears, newPerson, newTab, say, signIn, state, story, tells, text, word } from './demo-visit.mjs'
import { shot } from './lib/browser.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

let demo, browser, url, quiet // a demo of its own, in which nobody speaks for a minute
const connection = page => page.waitForFunction(() => /^[0-9a-f]{6}$/.test(document.querySelector('[data-testid=connection]').textContent) &&
  document.querySelector('[data-testid=connection]').textContent).then(h => h.jsonValue())

/** A person who is signed in and connected. */
async function visitor(who, options, where = url) {
  const context = await newPerson(browser, options)
  const page = await newTab(context, where)
  await signIn(context, page, who)
  await connect(page)
  return { context, page }
}

async function leave({ context }) {
  assert.deepEqual(context.errors, [])
  await context.close()
}

/** Asserts that kinds came in this order, whatever came between them. */
async function told(page, ...kinds) {
  const all = await story(page)
  let from = 0
  for (const kind of kinds) {
    const i = all.indexOf(kind, from)
    assert.ok(i >= 0, `${kind} after ${all.slice(0, from).join(' ')}: ${all.join(' ')}`)
    from = i + 1
  }
}

before(async () => {
  ({ demo, browser, url } = await begin('demo-network', 18543))
  const other = await begin('demo-quiet', 18643)
  await other.browser.close()
  quiet = { demo: other.demo, ...await visitor('bob', {}, other.url), since: Date.now() }
})
after(async () => {
  await quiet?.demo.stop('SIGINT')
  await browser?.close()
  await demo?.stop('SIGINT')
})

describe('an unreliable network', () => {
  test('deploy: the client opens the new connection first, moves, and leaves the old one', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    const first = await connection(page)
    assert.equal(await text(page, 'door-number'), 'number 1')
    await at(page, 'deploy').click()
    await tells(page, 'moved')
    await tells(page, 'left')
    await told(page, 'open', 'drain', 'draining', 'overlap', 'moved', 'left')
    assert.notEqual(await connection(page), first)
    assert.ok(!(await story(page)).includes('waiting'), 'it was never without a connection')
    await say(page, 'on the new door')
    await hears(page, 'ada', 'on the new door')
    await page.waitForFunction(() => document.querySelector('[data-testid=door-number]').textContent === 'number 2')
    assert.equal(await text(page, 'unsent'), 'nothing')
    await leave(ada)
  })

  test('SR-43 a log-out ends what a draining door still holds', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    await at(page, 'deploy').click()
    await tells(page, 'draining')
    await at(page, 'logout').click()
    await word(page, '4001', 'Unauthorized;auth.signed-out')
    await page.waitForFunction(() => document.querySelector('[data-testid=client-state]').dataset.status === 'closed')
    await leave(ada)
  })

  test('expire the token: the client renews over the open connection, before it ends', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    const first = await connection(page)
    await at(page, 'short-token').click()
    await tells(page, 'renewed', /good for 1[345] s/)
    await tells(page, 'renewed', /good for (299|300) s/, 20_000)
    await told(page, 'open', 'trouble', 'renew', 'renewed')
    await page.waitForTimeout(4000) // beyond the end of the short token
    assert.equal(await connection(page), first)
    assert.equal(await at(page, 'status').getAttribute('data-state'), 'open')
    await leave(ada)
  })

  test('sleep: the client’s clock jumps, it asks whether the connection lives, and renews', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    const first = await connection(page)
    await at(page, 'lid').click()
    await tells(page, 'trouble', 'opened the lid')
    await tells(page, 'beat')
    await tells(page, 'renewed')
    await told(page, 'open', 'trouble', 'trouble', 'probe', 'beat')
    assert.equal(await connection(page), first)
    await leave(ada)
  })

  test('sleep on a cut cable: the client finds out within 3 s of waking', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    await at(page, 'cut').click()
    await tells(page, 'trouble', 'cut the cable')
    await at(page, 'lid').click()
    await tells(page, 'trouble', 'opened the lid')
    await tells(page, 'ended', '4900', 5000)
    await at(page, 'cut').click()
    await tells(page, 'trouble', 'plugged')
    await state(page, 'open', 40_000)
    await leave(ada)
  })

  test('cut the cable: the client finds out by silence, tries again with growing waits, and reports what is unknown', async () => {
    const ada = await visitor('ada', { viewport: { width: 1280, height: 900 } })
    const { page } = ada
    const first = await connection(page)
    await at(page, 'cut-for').selectOption('60')
    await at(page, 'cut').click()
    await tells(page, 'trouble', 'cut the cable')
    assert.match(await text(page, 'cable'), /Cut for another (60|59) s/)
    await say(page, 'into the cut cable')
    await tells(page, 'ended', '4900', 25_000)
    await tells(page, 'unknown', 'into the cut cable')
    await say(page, 'after it was noticed') // waits for the next connection
    await page.waitForFunction(() => document.querySelector('[data-testid=unsent]').textContent === '1')
    await tells(page, 'ended', '4901', 20_000)
    await shot(page, 'demo-network-cut')
    await at(page, 'cut').click()
    await tells(page, 'trouble', 'plugged')
    await state(page, 'open', 40_000)
    assert.notEqual(await connection(page), first)
    await hears(page, 'ada', 'after it was noticed')
    await told(page, 'open', 'trouble', 'unknown', 'ended', 'waiting', 'connecting', 'ended', 'waiting', 'connecting', 'open')
    assert.equal(await text(page, 'unsent'), 'nothing')
    await leave(ada)
  })

  test('a short cut is survived: what was held goes on, nothing is lost and nothing is closed', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    const first = await connection(page)
    await at(page, 'cut').click()
    await tells(page, 'trouble', 'cut the cable')
    await say(page, 'held for a moment')
    await page.waitForTimeout(2000)
    assert.equal(await page.locator('[data-testid=log] li[data-kind=said]').count(), 0, 'nothing passes')
    await at(page, 'cut').click()
    await hears(page, 'ada', 'held for a moment')
    assert.equal(await connection(page), first)
    assert.ok(!(await story(page)).includes('ended'))
    await leave(ada)
  })

  test('sign out elsewhere: the connection ends at once, the client tries once and stops', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    await at(page, 'sign-out-elsewhere').click()
    await word(page, '4001', 'Unauthorized;auth.signed-out')
    await tells(page, 'closed', 'nobody is signed in')
    await page.waitForFunction(() => document.querySelector('[data-testid=who]').textContent === 'nobody')
    await page.waitForTimeout(1500)
    assert.equal(await at(page, 'client-state').getAttribute('data-status'), 'closed')
    assert.equal((await story(page)).filter(kind => kind === 'connecting').length, 2)
    await leave(ada)
  })

  test('two tabs: a log-out in one ends both, and neither keeps trying', async () => {
    const ada = await visitor('ada')
    const other = await newTab(ada.context, url)
    await connect(other)
    await at(ada.page, 'logout').click()
    for (const page of [ada.page, other]) {
      await word(page, '4001', 'Unauthorized;auth.signed-out')
      await tells(page, 'closed', 'nobody is signed in')
      assert.equal(await at(page, 'status').textContent(), 'Not connected')
    }
    await leave(ada)
  })

  test('by keyboard alone: sign in, connect, talk, cut and plug in; the focus is never lost', async () => {
    const context = await newPerson(browser)
    const page = await newTab(context, url)
    const focus = () => page.evaluate(() => document.activeElement.dataset.testid ?? document.activeElement.id ?? document.activeElement.tagName)
    const go = async name => {
      for (let i = 0; i < 60 && await focus() !== name; i++) await page.keyboard.press('Tab')
      assert.equal(await focus(), name)
    }
    await go('login-ada')
    await page.keyboard.press('Enter')
    await page.waitForFunction(() => document.querySelector('[data-testid=who]').textContent === 'ada')
    assert.equal(await focus(), 'login-ada')
    await go('connect')
    await page.keyboard.press('Space')
    await state(page, 'open')
    assert.equal(await focus(), 'message')
    await page.keyboard.type('by keyboard')
    await page.keyboard.press('Enter')
    await hears(page, 'ada', 'by keyboard')
    assert.equal(await focus(), 'message')
    await go('cut')
    await page.keyboard.press('Enter')
    await tells(page, 'trouble', 'cut the cable')
    assert.equal(await focus(), 'cut')
    assert.equal(await at(page, 'cut').textContent(), 'Plug it in')
    await page.keyboard.press('Enter')
    await tells(page, 'trouble', 'plugged')
    assert.equal(await focus(), 'cut')
    await go('deploy')
    await page.keyboard.press('Enter')
    await tells(page, 'moved')
    assert.equal(await focus(), 'deploy')
    await go('client-log') // what scrolls can be reached
    assert.deepEqual(context.errors, [])
    await context.close()
  })

  test('axe finds no violation, light and dark, signed out, connected and in trouble', async () => {
    for (const colorScheme of ['light', 'dark']) {
      const context = await newPerson(browser, { colorScheme, viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' })
      const page = await newTab(context, url)
      const check = async when => {
        await page.evaluate(axe) // not by a <script>, which the page's policy refuses
        const { violations } = await page.evaluate(() => window.axe.run())
        assert.deepEqual(violations.map(v => `${when}: ${v.id}: ${v.nodes.length} times, ${v.nodes[0].target}: ${v.nodes[0].failureSummary}`), [])
      }
      await check(`${colorScheme}, signed out`)
      await signIn(context, page, 'ada')
      await connect(page)
      await say(page, 'something to look at')
      await hears(page, 'ada', 'something to look at')
      await at(page, 'altered-token').click()
      await page.locator('[data-testid=altered-token-result][data-reason]').waitFor()
      await at(page, 'short-token').click()
      await tells(page, 'renewed')
      await at(page, 'cut').click()
      await tells(page, 'trouble', 'cut the cable')
      await say(page, 'and lost')
      await at(page, 'lid').click()
      await tells(page, 'unknown')
      for (const summary of await page.locator('summary').all()) await summary.click()
      await check(`${colorScheme}, in trouble`)
      await shot(page, `demo-network-${colorScheme}`)
      await at(page, 'cut').click()
      await context.close()
    }
  })

  test('360 px: nothing scrolls sideways, everything can be pressed', async () => {
    const phone = await visitor('ada', { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true })
    const { page } = phone
    await at(page, 'lid').tap()
    await tells(page, 'beat')
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
    const small = await page.locator('#network button').evaluateAll(all => all.filter(b => b.getBoundingClientRect().height < 40).map(b => b.id))
    assert.deepEqual(small, [])
    await shot(page, 'demo-network-phone')
    await leave(phone)
  })

  test('live regions say the turns of the story only, and no countdown', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    await page.evaluate(() => {
      window.spoken = []
      for (const region of document.querySelectorAll('[role=status], [role=log]:not([aria-live=off]), output')) {
        new MutationObserver(() => window.spoken.push(region.textContent)).observe(region, { childList: true, characterData: true, subtree: true })
      }
    })
    await at(page, 'cut').click()
    await at(page, 'lid').click() // the client finds out by its probe
    await tells(page, 'ended', '4900')
    await page.waitForTimeout(8000) // while it waits and tries
    const spoken = await page.evaluate(() => window.spoken)
    assert.ok(spoken.some(s => s.includes('cut the cable')) && spoken.some(s => s.includes('Next attempt')), spoken.join(' | '))
    assert.ok(spoken.length <= 16, `${spoken.length}: ${spoken.join(' | ')}`)
    await at(page, 'cut').click()
    await leave(ada)
  })

  test('4000: the client rests when nobody speaks, and is back at the next use', { timeout: 90_000 }, async () => {
    const { page } = quiet
    await tells(page, 'idle', '4000', Math.max(5000, quiet.since + 75_000 - Date.now()))
    assert.equal(await text(page, 'status'), 'Resting')
    assert.equal(await text(page, 'close-reason'), 'Idle timeout;guard.idle')
    await say(page, 'awake again')
    await hears(page, 'bob', 'awake again')
    assert.equal(await text(page, 'status'), 'Connected as bob')
    await leave(quiet)
  })

  test('the demo stops and starts again: who has no session any more is told so', async () => {
    const ada = await visitor('ada')
    const { page } = ada
    await demo.stop('SIGINT')
    await word(page, '4200', 'Restarting;drain')
    await state(page, 'waiting')
    const again = await begin('demo-network', 18543)
    demo = again.demo
    await again.browser.close()
    await tells(page, 'closed', 'nobody is signed in', 60_000)
    await leave(ada)
  })
})
