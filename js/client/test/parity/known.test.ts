// The page that lists the differences names what the runs find.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cases } from './cases.js'

const page = readFileSync(new URL('../../PARITY.md', import.meta.url), 'utf8')
const known: Record<string, Record<string, string[]>> = JSON.parse(readFileSync(new URL('known.json', import.meta.url), 'utf8'))
const rows: Record<string, string> = { node22: 'Node 22', node24: 'Node 24, 26', node26: 'Node 24, 26', bun: 'Bun 1.4', deno: 'Deno 2.9' }

test('the page says how many cases there are', () => {
  expect(page).toContain(`in ${cases.length} cases`)
  expect(new Set(cases.map(c => c.name)).size).toBe(cases.length)
})

test.each(Object.keys(rows))('the page has the numbers of %s, and the names of what is not as the standard', runtime => {
  const both = known[runtime]!['the drop-in as the platform, not as the standard']!
  const platform = known[runtime]!['the drop-in as the standard, not as the platform']!
  expect(known[runtime]!['the drop-in as neither']).toEqual([])
  expect(page).toContain(`| ${rows[runtime]} | ${both.length} | ${both.length + platform.length} |`)
  for (const name of both) expect(page).toContain(`"${name}"`)
})
