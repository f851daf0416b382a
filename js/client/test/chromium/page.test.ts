// A page in a real Chromium, with the real program: what becomes of a connection, and what the client does about it.
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sleep, until } from '../injection/door.js'
import { type Visit, type World, world } from './world.js'

// The shorter the heartbeat, the sooner a page notices that it slept.
const beat = 2

let w: World
beforeAll(async () => {
  w = await world(beat)
})
afterAll(() => w?.stop())

type Seen = Awaited<ReturnType<Visit['seen']>>
const ends = (seen: Seen) => seen.flatMap(s => ('end' in s ? [s.end] : []))
const states = (seen: Seen) => seen.flatMap(s => ('state' in s ? [s.state.status] : []))
const probes = (seen: Seen) => seen.filter(s => 'wire' in s && s.wire === 'probe')
const when = (seen: Seen, fits: (s: Seen[0]) => boolean) => seen.findLast(fits)!.at
const sign = (name: string) => (s: Seen[0]) => 'sign' in s && s.sign === name
const inState = (name: string) => (s: Seen[0]) => 'state' in s && s.state.status === name

test('BFCache: leaving closes with 4902 at once, and coming back connects at once', async () => {
  const v = await w.connected()
  await v.say('before')
  await sleep((beat + 1) * 1000) // so that a beat has told what arrived
  const id = await v.call('id')
  await v.evaluate('document.querySelector("a").click()')
  await until('the backend is told', () => w.backend.ends.includes(4902))
  expect(w.backend.open()).toBe(0)
  expect(await v.evaluate('location.pathname')).toBe('/other')
  await v.evaluate('history.back()')
  await until('the page is back', () => v.evaluate('location.pathname === "/" && page.seen.length > 0').catch(() => false))
  await v.is('open')
  const seen = await v.seen()
  expect(seen.filter(sign('pageshow')).at(-1)).toMatchObject({ persisted: true })
  expect(states(seen)).toEqual(['connecting', 'open', 'paused', 'connecting', 'open'])
  expect(ends(seen)).toEqual([{ close: 4902, reason: 'local.suspended', code: 'local.suspended', opened: true }])
  expect(seen.filter(s => 'unknown' in s)).toEqual([])
  expect(when(seen, inState('connecting')) - when(seen, sign('pageshow'))).toBeLessThan(100)
  expect(await v.call('id')).not.toBe(id)
  await v.say('after')
  await until('the echo', async () => (await v.seen()).some(s => 'message' in s && s.message === 'after'))
  await v.call('close')
})

test('BFCache: twice, and the client that was closed stays closed', async () => {
  const v = await w.connected()
  const there = async () => {
    await v.evaluate('document.querySelector("a").click()')
    await until('the other page', () => v.evaluate('location.pathname === "/other"').catch(() => false))
  }
  const back = async () => {
    await v.evaluate('history.back()')
    await until('the page is back', () => v.evaluate('location.pathname === "/" && page.seen.length > 0').catch(() => false))
  }
  for (let i = 0; i < 2; i++) {
    await there()
    await back()
    await v.is('open')
  }
  await v.call('close')
  const total = w.backend.total()
  await there()
  await back()
  await sleep(1500)
  expect((await v.call('status')).status).toBe('closed')
  expect(w.backend.total()).toBe(total)
})

/** Freezes a hidden tab for so long, and shows it again. */
async function freeze(v: Visit, ms: number): Promise<void> {
  await w.open()
  await until('hidden', () => v.evaluate('document.visibilityState === "hidden"'))
  await v.send('Page.setWebLifecycleState', { state: 'frozen' })
  await sleep(ms)
  expect((await v.seen()).some(sign('freeze'))).toBe(true)
}

const thaw = (v: Visit) => v.send('Page.setWebLifecycleState', { state: 'active' })

// Chromium drops the socket of a page that it froze, and says so (1006) only after it resumed.
test('frozen: resume asks at once whether the connection lives; whoever looks at the page has one again', async () => {
  const v = await w.connected()
  await freeze(v, 3000)
  expect(probes(await v.seen())).toEqual([])
  await thaw(v)
  await until('a probe', async () => probes(await v.seen()).length > 0)
  await v.show()
  await v.is('open')
  const seen = await v.seen()
  expect(probes(seen)[0]!.at - when(seen, sign('resume'))).toBeLessThan(100)
  expect(when(seen, inState('open')) - when(seen, sign('resume'))).toBeLessThan(3000)
  await v.say('after')
  await until('the echo', async () => (await v.seen()).some(s => 'message' in s && s.message === 'after'))
  await v.call('close')
})

test('frozen: a connection that the server ended meanwhile is replaced when the page is looked at', async () => {
  const v = await w.connected()
  const id = await v.call('id')
  await freeze(v, 500)
  await w.gate.restart()
  await sleep(1000)
  expect(await v.call('id')).toBe(id) // nothing runs
  await thaw(v)
  await v.show()
  await until('a new connection', async () => ![id, ''].includes(await v.call('id')))
  const seen = await v.seen()
  expect(when(seen, inState('open')) - when(seen, sign('resume'))).toBeLessThan(3000)
  await v.call('close')
})

test('offline: the open connection is asked, then given up; online connects', async () => {
  const v = await w.connected()
  const network = (offline: boolean) =>
    v.send('Network.emulateNetworkConditions', { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 })
  await network(true)
  await v.is('paused')
  let seen = await v.seen()
  const asked = when(seen, s => 'wire' in s && s.wire === 'probe')
  expect(asked - when(seen, sign('offline'))).toBeLessThan(100)
  expect(when(seen, inState('paused')) - asked).toBeGreaterThanOrEqual(2990)
  expect(ends(seen)).toMatchObject([{ close: 4900 }])
  const total = w.backend.total()
  await sleep(3000)
  expect(w.backend.total()).toBe(total)
  await network(false)
  await v.is('open')
  seen = await v.seen()
  expect(when(seen, inState('open')) - when(seen, sign('online'))).toBeLessThan(2500)
  await v.call('close')
})

test('hidden: stays connected, retries no more than once a minute, and at once when it is visible', async () => {
  const v = await w.connected()
  await w.open()
  await until('hidden', () => v.evaluate('document.visibilityState === "hidden"'))
  await sleep(2 * beat * 1000)
  expect((await v.call('status')).status).toBe('open')
  await w.gate.restart()
  // The last attempt was a moment ago: the next one may come in a minute.
  await v.is('waiting')
  await sleep(8000)
  const status = await v.call('status')
  expect(status.status).toBe('waiting')
  if (status.status === 'waiting') expect(status.retryIn).toBeGreaterThan(30_000)
  await v.show()
  await v.is('open')
  const seen = await v.seen()
  expect(when(seen, inState('open')) - when(seen, sign('visibilitychange'))).toBeLessThan(1500)
  await v.call('close')
})

/** The processes of the browser that run its pages. */
function renderers(browser: number): number[] {
  const processes = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => {
      try {
        const parent = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${name}/status`, 'utf8'))![1])
        return [{ pid: Number(name), parent, command: readFileSync(`/proc/${name}/cmdline`, 'utf8') }]
      } catch {
        return [] // gone meanwhile
      }
    })
  const ours = new Set([browser])
  for (let more = true; more; ) {
    more = false
    for (const p of processes) {
      if (!ours.has(p.parent) || ours.has(p.pid)) continue
      ours.add(p.pid)
      more = true
    }
  }
  return processes.filter(p => ours.has(p.pid) && p.command.includes('--type=renderer')).map(p => p.pid)
}

/** Stops the pages' processes for so long, as sleep does. */
async function sleepOfTheMachine(ms: number): Promise<void> {
  const stopped = renderers(w.pid)
  expect(stopped.length).toBeGreaterThan(0)
  for (const pid of stopped) process.kill(pid, 'SIGSTOP')
  await sleep(ms)
  for (const pid of stopped) process.kill(pid, 'SIGCONT')
}

// The heartbeat is allowed beat + 10 s of silence, and a jump is what is more than 10 s late.
const longSleep = (beat + 10 + 10 + 3) * 1000

test('sleep: a connection that lives is asked once, and kept', async () => {
  const v = await w.connected()
  const id = await v.call('id')
  await sleepOfTheMachine(longSleep)
  await until('a probe', async () => probes(await v.seen()).length > 0)
  await sleep(3500)
  expect(ends(await v.seen())).toEqual([])
  expect(await v.call('id')).toBe(id)
  await v.call('close')
})

test('sleep: a connection that died is replaced soon after, with the failures before it forgotten', async () => {
  const v = await w.connected()
  const slept = sleepOfTheMachine(longSleep)
  await sleep(1000)
  await w.gate.restart()
  await slept
  const woke = Date.now()
  await until('the end is seen', async () => ends(await v.seen()).length > 0)
  await v.is('open')
  expect(Date.now() - woke).toBeLessThan(6000)
  await v.call('close')
})
