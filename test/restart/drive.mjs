// The process of clients of createClient. What it is told and what it says: clients.go.
import { createHmac } from 'node:crypto'
import dns from 'node:dns'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const orders = JSON.parse(process.argv[2])
const { createClient } = await import(pathToFileURL(process.env.CLIENT))

// Node 20 has no WebSocket; package ws stands in for it, as an application would have it.
const Injected = globalThis.WebSocket ? undefined : createRequire(new URL('../../js/client/package.json', import.meta.url))('ws')

// Every name of a client is that of the balancer.
const { lookup } = dns
dns.lookup = (host, options, done) => {
  const callback = done ?? options
  if (!host.endsWith(`.${orders.domain}`)) return lookup(host, options, done)
  if (options?.all) return callback(null, [{ address: '127.0.0.1', family: 4 }])
  callback(null, '127.0.0.1', 4)
}

const say = line => process.stdout.write(JSON.stringify(line) + '\n')
const sleep = ms => new Promise(done => setTimeout(done, ms))
const base64 = value => Buffer.from(JSON.stringify(value)).toString('base64url')

function token(sub) {
  const now = Math.floor(Date.now() / 1000)
  const { issuer: iss, audience: aud, life, secret } = orders
  const text = `${base64({ alg: 'HS256', typ: 'at+jwt' })}.${base64({ iss, aud, sub, iat: now, exp: now + life })}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

const ends = {}
let renewed = 0
let open = 0
let stopping = false
const stopped = new Promise(done => {
  process.stdin.on('end', () => {
    stopping = true
    done()
  })
  process.stdin.resume()
})

async function client(i) {
  const name = `c${String(orders.first + i).padStart(4, '0')}`
  const account = { name, sent: 0, rejected: [], unknown: [], answers: 0, trouble: [] }
  await Promise.race([stopped, sleep((orders.ramp * 1000 * i) / orders.count)])

  const url = `wss://${name}.${orders.domain}:${orders.port}${orders.path}`
  const c = createClient(url, {
    WebSocket: Injected,
    backoff: { stableAfter: orders.stable * 1000 },
    token({ reason }) {
      if (reason === 'expiring') renewed++
      return token(name)
    },
  })

  let here = false
  c.addEventListener('state', ({ detail }) => {
    const now = detail.status === 'open'
    if (now !== here) open += now ? 1 : -1
    here = now
    if (detail.status === 'closed' && !stopping) account.trouble.push(`ended: ${detail.code}`)
  })
  c.addEventListener('close', ({ detail }) => {
    if (stopping) return
    const what = `${detail.opened ? '' : 'no connection '}${detail.close} ${detail.code ?? ''}`
    ends[what] = (ends[what] ?? 0) + 1
  })
  c.addEventListener('unknown', ({ detail }) => account.unknown.push(...detail.messages.map(m => m.id)))
  c.addEventListener('message', () => account.answers++)

  const sends = []
  for (let wait = 0; ; wait = orders.every * 1000 * (0.5 + Math.random())) {
    await Promise.race([stopped, sleep(wait)])
    if (stopping) break
    const id = ++account.sent
    sends.push(c.send(`${name} ${id}`, { id }).catch(() => account.rejected.push(id)))
  }
  await Promise.all(sends)
  await c.close()
  say({ account })
}

let said = -1
let looked = performance.now()
const telling = setInterval(() => {
  const late = performance.now() - looked - 50
  looked += late + 50
  if (late > 100) say({ late: late / 1000 })
  if (said !== open) say({ open: (said = open) })
}, 50)

await Promise.all(Array.from({ length: orders.count }, (_, i) => client(i)))
clearInterval(telling)
say({ summary: { ends, renewed, runtime: `node ${process.version.slice(1)}${Injected ? ' with ws' : ''}` } })
