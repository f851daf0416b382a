// Turns figures into the tables of docs/PERFORMANCE.md: the median, and the range of all rounds.

const names = { go: 'Go', chromium: 'Chromium' }

function digits(x) {
  return x < 10 ? x.toFixed(2) : x < 100 ? x.toFixed(1) : x.toFixed(0)
}

function cell(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
  return `**${digits(median)}** (${digits(sorted[0])}–${digits(sorted.at(-1))})`
}

const row = cells => `| ${cells.join(' | ')} |`
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n')
const size = n => (n < 1024 ? `${n} B` : `${n / 1024} KiB`)
const both = [
  ['unsealed', false],
  ['sealed', true],
]

/** results: lists by "what side … unit", of all rounds. */
export function tables(results, sizes, sides, about) {
  const of = key => {
    const values = results.get(key)
    if (!values) throw new Error(`no figures for ${key}`)
    return values
  }
  const echoes = sizes.flatMap(n =>
    [1, 8].map(w => [size(n), w, ...sides.flatMap(s => both.map(([, sealed]) => cell(of(`echo ${n} ${w} ${s} ${sealed} each`))))]),
  )
  const alone = sizes.map(n => [size(n), ...sides.flatMap(s => [cell(of(`alone ${n} ${s} seal`)), cell(of(`alone ${n} ${s} open`))])])
  const bytes = sizes.map(n => [size(n), ...both.map(([, sealed]) => Math.round(of(`echo ${n} 1 go ${sealed} bytes`)[0]))])
  const handshakes = sides.map(s => [names[s], ...both.map(([, sealed]) => cell(of(`open ${s} ${sealed} each`)))])
  for (const n of sizes) {
    for (const [, sealed] of both) {
      const all = sides.map(s => of(`echo ${n} 1 ${s} ${sealed} bytes`)[0])
      if (new Set(all).size > 1) throw new Error(`Go and the browser send different bytes: ${all}`)
    }
  }
  return [
    `${about.join(' · ')}. Each cell: **median** (least–most) of the rounds.`,
    '### A message to the door and back, µs',
    table(['message', 'under way at once', ...sides.flatMap(s => both.map(([name]) => `${names[s]}, ${name}`))], echoes),
    '### The seal alone, µs for each message',
    table(['message', ...sides.flatMap(s => [`${names[s]}, seal`, `${names[s]}, open`])], alone),
    '### Bytes of WebSocket frames from client to door, for each message',
    table(['message', ...both.map(([name]) => name)], bytes),
    '### A connection, ms from the dial to the door’s hello',
    table(['client', ...both.map(([name]) => name)], handshakes),
    `Of that the cryptography of the seal, in Go: client ${cell(of('agree go ours'))} ms, door ${cell(of('agree go door'))} ms.`,
    '',
  ].join('\n\n')
}
