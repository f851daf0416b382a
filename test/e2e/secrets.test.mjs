// The last test: what the doors of the whole run logged, counted and showed has
// none of the tokens, tickets, cookies and payloads that were used.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { out } from './lib/env.mjs'

const read = (dir, fits) => existsSync(join(out, dir))
  ? readdirSync(join(out, dir)).filter(f => fits.test(f)).map(f => [`${dir}/${f}`, readFileSync(join(out, dir, f), 'utf8')])
  : []

/** Every form in which a secret could stand in a text. */
function forms(value) {
  const bytes = Buffer.from(value)
  return [value, JSON.stringify(value).slice(1, -1), encodeURIComponent(value), bytes.toString('base64').replace(/=+$/, ''), bytes.toString('hex')]
}

const width = 12

/** The secrets' forms by their first letters, so that a text is read once. */
function index(secrets) {
  const heads = new Map()
  for (const form of secrets.flatMap(forms)) {
    const head = form.slice(0, width)
    heads.has(head) ? heads.get(head).push(form) : heads.set(head, [form])
  }
  return heads
}

/** The first secret that text has, with its surroundings, or undefined. */
function find(text, heads) {
  for (let i = 0; i + width <= text.length; i++) {
    if (heads.get(text.slice(i, i + width))?.some(form => text.startsWith(form, i))) return text.slice(Math.max(0, i - 80), i + 120)
  }
}

describe('SR-93 AT-69 secrets of the whole run', () => {
  const secrets = [...new Set(readFileSync(join(out, 'secrets.txt'), 'utf8').split('\n').filter(Boolean).map(l => JSON.parse(l)))]
    .filter(s => s.length >= width)
  const heads = index(secrets)
  const files = [...read('logs', /^(door|demo|nginx)/), ...read('seen', /./)]

  const demoOnly = files.length > 0 && files.every(([name]) => name.startsWith('logs/demo')) // which writes no access log
  test('there were some, and there is something to search', { skip: demoOnly && 'only the demo ran' }, () => {
    assert.ok(secrets.length >= 1, `${secrets.length} secrets`)
    assert.ok(files.length >= 1)
    const all = files.map(([, text]) => text).join('\n')
    for (const msg of ['admitted', 'refused', 'ended']) assert.ok(all.includes(`"msg":"${msg}"`), `the access log has a line "${msg}"`)
    assert.match(all, /^sallyport_\w+/m)
  })

  test('the search finds what it looks for', () => {
    const planted = secrets.at(-1)
    for (const form of forms(planted)) assert.ok(find(`{"msg":"admitted","err":"x ${form} y"}`, heads), form)
    assert.equal(find('{"msg":"admitted"}', heads), undefined)
  })

  for (const [name, text] of files) {
    test(`SR-93 ${name.replace(/-\d+(-\d+)?\.log$/, '')} has none`, () => {
      const found = find(text, heads)
      assert.equal(found, undefined, `${name}: …${found}…`)
    })
  }

  test('SR-94 every line of a door’s log is one JSON object', () => {
    for (const [name, text] of read('logs', /^door/)) {
      for (const line of text.split('\n').filter(l => l.startsWith('{'))) assert.doesNotThrow(() => JSON.parse(line), `${name}: ${line}`)
    }
  })
})
