// The page of the demo. Whatever came over the network is shown by textContent
// only: nobody who talks here can write markup into somebody else's page.

const gate = '/chat'
const base = `wss://${location.host}`
const idleAfter = Number(document.body.dataset.idle) * 1000

const $ = (id) => document.getElementById(id)
const byTest = (name) => document.querySelector(`[data-testid="${name}"]`)

// ---------------------------------------------------------------- the door

/** What the door answers instead of what was asked for. */
class Refusal extends Error {
  constructor(status, code, sentence) {
    super(sentence)
    this.status = status
    this.code = code
  }
}

async function ask(path, body, headers = {}) {
  const init = body === undefined ? {} : {
    method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers },
  }
  let response
  try {
    response = await fetch(path, { cache: 'no-store', ...init })
  } catch {
    throw new Refusal(0, 'no answer', 'Nobody answered. Is the demo still running?')
  }
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) {
    throw new Refusal(response.status, answer.error ?? 'unknown', answer.message ?? response.statusText)
  }
  return answer
}

const getToken = () => ask(`/api/getToken?gate=${gate}`)
const getTicket = (token) => ask('/api/ticket', { gate }, { Authorization: `Bearer ${token}` })
const dial = ({ ticket, protocol }) => new WebSocket(base + gate, [ticket, protocol])

const opened = (socket) => new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }))

/** The CloseEvent of a socket that the door refuses; null if it is still open after two seconds. A socket that is
 *  refused opens first: a page would not learn the reason of a handshake that failed. */
const refused = (socket) => new Promise((resolve) => {
  socket.addEventListener('close', resolve, { once: true })
  setTimeout(() => resolve(null), 2000)
})

let sentences = {}
const sentencesLoaded = ask('/reasons.json').then((all) => { sentences = all }, () => {})

/** Takes "<title>;<code>[;k=v…]" apart. */
function readClose(event, opened) {
  const code = event.reason.split(';')[1] ?? ''
  let sentence = sentences[code]
  if (!sentence && event.code === 1006) {
    sentence = opened
      ? 'The connection broke without a word.'
      : 'The handshake failed. A page learns no more than 1006 of that; what the door saw is in its list.'
  }
  return { code, sentence: sentence ?? (event.code === 1000 ? 'Closed in good order.' : 'Closed.') }
}

// ---------------------------------------------------------------- what is shown

function status(state, text) {
  const el = byTest('status')
  el.dataset.state = state
  el.textContent = text
}

function lastWord(code, reason, sentence, tone = 'bad') {
  $('close-code').textContent = code
  $('close-reason').textContent = reason
  $('close-sentence').textContent = sentence
  $('close-code').closest('.word').className = `word ${tone}`
}

const lastWordOf = (r) => lastWord(r.status ? `HTTP ${r.status}` : '–', r.code, r.message)

function element(tag, className, text) {
  const el = document.createElement(tag)
  if (className) el.className = className
  if (text !== undefined) el.textContent = text
  return el
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })

function time(date) {
  const el = element('time', '', clock.format(date))
  el.dateTime = date.toISOString()
  return el
}

function append(li) {
  const log = $('log')
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 40
  log.append(li)
  while (log.childElementCount > 200) log.firstElementChild.remove()
  if (following) log.scrollTop = log.scrollHeight
}

function note(text) {
  const li = element('li', '', text)
  li.dataset.kind = 'note'
  append(li)
}

function said(line) {
  const li = element('li', line.from === me ? 'mine' : '')
  li.dataset.kind = 'said'
  li.dataset.from = line.from
  const from = element('span', 'from', line.from)
  from.append(time(new Date(line.at)))
  li.append(from, element('span', 'text', line.text))
  append(li)
}

// ---------------------------------------------------------------- 1: sign in

let me = null
let sessionEnds = 0

async function whoAmI() {
  const s = await ask('/api/session').catch((refusal) => ({ signed_in: false, refusal }))
  if (s.refusal?.status === 0) return // nobody answered: keep what is shown
  me = s.signed_in ? s.subject : null
  sessionEnds = s.signed_in ? Date.now() + s.expires_in * 1000 : 0
  showMe()
}

function showMe() {
  $('who').textContent = me ?? 'nobody'
  $('session-text').hidden = !me
  $('logout').hidden = !me
  for (const b of document.querySelectorAll('[data-who].person')) b.setAttribute('aria-pressed', String(b.dataset.who === me))
  tick()
}

async function login(who) {
  await attempt(async () => {
    await ask('/api/login', { who })
    await whoAmI()
  })
}

async function logout() {
  await attempt(() => ask('/api/logout', {}))
  await whoAmI()
}

// ---------------------------------------------------------------- 2: talk

let socket = null // the connection of this tab
let idleEnds = 0
let lifeEnds = 0

async function connect() {
  status('opening', 'Connecting …')
  $('connect').disabled = true
  try {
    const { token, expires_in: life } = await getToken()
    const opening = dial(await getTicket(token))
    watch(opening, Date.now() + life * 1000)
  } catch (refusal) {
    lastWordOf(refusal)
    status('closed', 'Not connected')
    $('connect').disabled = false
  }
}

function watch(s, ends) {
  socket = s
  let opened = false
  s.onopen = () => {
    opened = true
    lifeEnds = ends
    active()
    enable(true)
    status('open', `Connected as ${me ?? '…'}`)
    note('connected')
    $('message').focus()
  }
  s.onmessage = (event) => {
    active()
    said(JSON.parse(event.data))
  }
  s.onclose = async (event) => {
    await sentencesLoaded
    const { code, sentence } = readClose(event, opened)
    lastWord(String(event.code), event.reason, sentence, event.code === 4001 || event.code === 1006 ? 'bad' : event.code === 1000 ? '' : 'warm')
    if (opened) note(`ended: ${event.code}${code ? ` ${code}` : ''}`)
    socket = null
    idleEnds = lifeEnds = 0
    enable(false)
    status('closed', 'Not connected')
    whoAmI()
  }
}

const active = () => { idleEnds = Date.now() + idleAfter }

function enable(open) {
  $('connect').disabled = open
  for (const id of ['disconnect', 'renew', 'message', 'send']) $(id).disabled = !open
  tick()
}

function send(event) {
  event.preventDefault()
  const text = $('message').value.trim()
  if (!text || socket?.readyState !== WebSocket.OPEN) return
  socket.send(JSON.stringify({ text }))
  active()
  $('message').value = ''
}

async function renew() {
  await attempt(async () => {
    const { token } = await getToken()
    const { expires_in: life } = await ask('/api/renew', { gate }, { Authorization: `Bearer ${token}` })
    lifeEnds = Date.now() + life * 1000
    tick()
  })
}

/** Runs f and shows its refusal, if any. */
async function attempt(f) {
  try {
    return await f()
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal
    lastWordOf(refusal)
  }
}

// ---------------------------------------------------------------- 3: try to get in

const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
const text64 = (text) => btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')

/** The same token with another subject, and the signature of the old one. */
function altered(token) {
  const [head, claims, signature] = token.split('.')
  const changed = { ...JSON.parse(new TextDecoder().decode(bytes(claims))), sub: 'root' }
  return [head, text64(JSON.stringify(changed)), signature].join('.')
}

const tries = {
  'altered-token': async () => {
    const { token } = await getToken()
    await getTicket(altered(token))
  },
  'expired-token': async () => {
    const { token } = await ask('/api/expired-token', {})
    await getTicket(token)
  },
  'replay-ticket': async () => {
    const { token } = await getToken()
    const ticket = await getTicket(token)
    const first = dial(ticket)
    await Promise.race([opened(first), refused(first)])
    const second = dial(ticket)
    const end = await refused(second)
    first.close(1000)
    second.close(1000)
    return end
  },
}

async function tryIt(name, button) {
  const out = $(`${name}-result`)
  out.replaceChildren('…')
  delete out.dataset.reason
  button.disabled = true
  try {
    await sentencesLoaded
    const end = await tries[name]()
    if (end) {
      const { code, sentence } = readClose(end, false)
      lastWord(String(end.code), end.reason, sentence)
      outcome(out, String(end.code), code, sentence)
    } else {
      out.replaceChildren(element('span', 'passed', 'It passed. That is a bug: please tell us.'))
    }
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal
    lastWordOf(refusal)
    outcome(out, refusal.status ? `HTTP ${refusal.status}` : '', refusal.code, refusal.code === 'auth.missing' ? 'Sign in first.' : refusal.message)
  } finally {
    button.disabled = false
  }
}

function outcome(out, status, code, sentence) {
  out.dataset.reason = code
  out.replaceChildren(element('span', 'refused', 'Refused'), ` ${status} `, element('span', 'mono', code), ` ${sentence}`)
}

// ---------------------------------------------------------------- what the door sees

const signs = { admitted: '✓', refused: '✕', ended: '■', issued: '·', renewed: '↻' }
const did = { '/api/getToken': 'a token', '/api/token': 'a token', '/api/ticket': 'a ticket' }

function sighting(s) {
  const li = element('li')
  for (const key of ['what', 'reason', 'path', 'who', 'origin']) li.dataset[key] = s[key] ?? ''
  const sign = element('span', 'sign', signs[s.what] ?? '·')
  sign.setAttribute('aria-hidden', 'true')

  const main = element('span', 'main')
  main.append(element('span', 'what', s.what), ' ')
  if (s.what === 'issued') main.append(did[s.path] ?? s.path, ...(s.who ? [' to ', element('strong', '', s.who)] : []))
  else main.append(...(s.who ? [element('strong', '', s.who), ' at '] : []), element('span', 'mono', s.path))

  const detail = element('span', 'detail')
  const answer = s.close ? `${s.close} ` : s.status && s.what === 'refused' ? `HTTP ${s.status} ` : ''
  if (s.reason) {
    const why = element('span', 'why', answer)
    why.append(element('b', '', s.reason), '. ')
    detail.append(why, s.sentence)
  }
  const facts = []
  if (s.what !== 'ended' && s.origin) facts.push(`from ${s.origin}`)
  if (s.what === 'ended') facts.push(`after ${duration(s.lasted ?? 0)}${s.by ? `, by the ${s.by}` : ''}`)
  if (s.conn) facts.push(`connection ${s.conn}`)
  if (facts.length) detail.append(element('span', 'facts', facts.join(' · ')))

  li.append(sign, main, time(new Date(s.at)))
  if (detail.textContent) li.append(detail)
  return li
}

let retry = 1000

/** The list is a second gate of the same door, with a handler of the library behind it. */
function follow() {
  const feed = new WebSocket(`${base}/events`)
  let first = true
  feed.onmessage = (event) => {
    const list = $('events')
    if (first) list.replaceChildren()
    for (const s of JSON.parse(event.data).sights) {
      const li = sighting(s)
      if (!first) li.className = 'new'
      list.prepend(li)
    }
    while (list.childElementCount > 100) list.lastElementChild.remove()
    first = false
    retry = 1000
    live(true)
  }
  feed.onclose = () => {
    live(false)
    setTimeout(follow, retry * (0.5 + Math.random() / 2))
    retry = Math.min(retry * 2, 15_000)
  }
}

function live(yes) {
  $('live').dataset.live = yes ? 'yes' : 'no'
  $('live').textContent = yes ? 'live' : 'not connected'
}

// ---------------------------------------------------------------- time

function left(until) {
  const s = Math.max(0, Math.ceil((until - Date.now()) / 1000))
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`
}

function duration(ms) {
  if (ms < 1000) return `${ms} ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round(ms / 1000) % 60} s`
}

function tick() {
  $('idle-left').textContent = idleEnds ? left(idleEnds) : ''
  $('life-left').textContent = lifeEnds ? left(lifeEnds) : ''
  const share = idleEnds ? Math.max(0, (idleEnds - Date.now()) / idleAfter) : 0
  $('idle-bar').style.setProperty('--left', share.toFixed(3))
  $('idle-bar').classList.toggle('late', share < 0.25)
  if (sessionEnds) {
    const minutes = Math.max(0, Math.floor((sessionEnds - Date.now()) / 60_000))
    $('session-left').textContent = minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes} min`
  } else {
    $('session-left').textContent = ''
  }
}

// ---------------------------------------------------------------- begin

for (const b of document.querySelectorAll('[data-who].person')) b.addEventListener('click', () => login(b.dataset.who))
for (const b of document.querySelectorAll('[data-try]')) b.addEventListener('click', () => tryIt(b.dataset.try, b))
$('logout').addEventListener('click', logout)
$('connect').addEventListener('click', connect)
$('disconnect').addEventListener('click', () => socket?.close(1000))
$('renew').addEventListener('click', renew)
$('say').addEventListener('submit', send)
$('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText($('lines').textContent)
  $('copy').textContent = 'Copied'
  setTimeout(() => { $('copy').textContent = 'Copy' }, 1500)
})
document.addEventListener('visibilitychange', () => { if (!document.hidden) whoAmI() }) // another tab may have signed in or out
setInterval(tick, 250)
follow()
whoAmI()
