// What the tests of the demo share: the demo, its visitors, and what they do on its page.
import { browse } from './lib/browser.mjs'
import { root, sallyport, scratch, secret } from './lib/env.mjs'
import { Proc } from './lib/proc.mjs'
import { keep } from './lib/token.mjs'

export const at = (page, name) => page.getByTestId(name)
export const text = (page, name) => at(page, name).textContent()

/** Starts the demo, and a browser. */
export async function begin(name, port) {
  const home = scratch('home')
  const demo = new Proc(name, sallyport, ['demo', '--port', String(port)], {
    cwd: root, env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_STATE_HOME: home },
  })
  const url = await demo.line('the address', l => /https:\/\/localhost:\d+/.test(l), { ms: 30_000 }).then(l => /https:\/\/localhost:\d+/.exec(l)[0])
  const evil = await demo.line('the evil page', l => /http:\/\/127\.0\.0\.1:\d+/.test(l)).then(l => /http:\/\/127\.0\.0\.1:\d+/.exec(l)[0])
  return { demo, url, evil, browser: await browse() }
}

/** A browser of one person; its tokens, tickets and cookies are secrets. */
export async function newPerson(browser, options) {
  const context = await browser.fresh(options)
  context.on('response', async response => {
    const answer = await response.json().catch(() => ({}))
    if (answer?.token) keep(answer.token)
    if (answer?.ticket) secret(answer.ticket.split('.').pop())
  })
  context.errors = []
  context.on('weberror', e => context.errors.push(e.error().message))
  return context
}

export async function newTab(context, url) {
  const page = await context.newPage()
  page.on('console', m => { if (m.type() === 'error' && /Content Security Policy/.test(m.text())) context.errors.push(m.text()) })
  await page.goto(url)
  await page.waitForFunction(() => document.querySelector('[data-testid=who]').textContent !== '')
  return page
}

export async function signIn(context, page, who) {
  await at(page, `login-${who}`).click()
  await page.waitForFunction(who => document.querySelector('[data-testid=who]').textContent === who, who)
  for (const c of await context.cookies()) secret(c.value)
}

export const state = (page, want, timeout) => page.waitForFunction(want => document.querySelector('[data-testid=status]').dataset.state === want, want, { timeout })

export async function connect(page) {
  await at(page, 'connect').click()
  await state(page, 'open')
}

export async function say(page, words) {
  await at(page, 'message').fill(secret(words))
  await at(page, 'send').click()
}

export const hears = (page, from, words) => page.locator(`[data-testid=log] li[data-kind=said][data-from=${from}]`, { hasText: words }).waitFor()

/** What the door said last to this tab, once it says so. */
export const word = (page, code, reason) => page.waitForFunction(([code, reason]) =>
  document.querySelector('[data-testid=close-code]').textContent === code && document.querySelector('[data-testid=close-reason]').textContent === reason, [code, reason])

/** The newest line of a kind in the client's story, once there is one. */
export const tells = (page, kind, hasText, timeout) => page.locator(`[data-testid=client-log] li[data-kind=${kind}]`, { hasText }).first().waitFor({ timeout })

/** The kinds of the client's story, oldest first. */
export const story = page => page.locator('[data-testid=client-log] li').evaluateAll(all => all.map(li => li.dataset.kind).reverse())
