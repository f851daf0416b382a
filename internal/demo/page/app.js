// The page of the demo. Whatever came over the network is shown by textContent
// only: nobody who talks here can write markup into somebody else's page.
/* global Sallyport */
import { makeEavesdropper, makeSeals } from './middle.js'
import { makeLid, watched } from './network.js'
import { makeStory, seconds } from './story.js'

const gate = '/chat'
const base = `wss://${location.host}`

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

/** Takes "<title>;<code>[;k=v…]" apart, unless the client has. */
function readClose(event, opened) {
  const code = event.reason.split(';')[1] ?? (typeof event.code === 'string' ? event.code : '')
  let sentence = sentences[code]
  const close = event.close ?? event.code
  if (!sentence && close === 1006) {
    sentence = opened
      ? 'The connection broke without a word.'
      : 'The handshake failed. A page learns no more than 1006 of that; what the door saw is in its list.'
  }
  return { code, sentence: sentence ?? (close === 1000 ? 'Closed in good order.' : 'Closed.') }
}

// ---------------------------------------------------------------- what is shown

function show(state, text) {
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
  const lines = log.firstElementChild
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 40
  lines.append(li)
  while (lines.childElementCount > 200) lines.firstElementChild.remove()
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
  const before = me
  me = s.signed_in ? s.subject : null
  if (me !== before) {
    eavesdropper.follow(me)
    if (me) look()
  }
  sessionEnds = s.signed_in ? Date.now() + s.expires_in * 1000 : 0
  showMe()
}

function showMe() {
  $('who').textContent = me ?? 'nobody'
  $('session-text').hidden = !me
  if (!me && $('logout') === document.activeElement) document.querySelector('[data-who].person').focus()
  $('logout').hidden = !me
  for (const b of document.querySelectorAll('[data-who].person')) b.setAttribute('aria-pressed', String(b.dataset.who === me))
  enable()
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

let idleAfter = 0
let idleEnds = 0
let lifeEnds = 0
let retryAt = 0
let unsent = 0
let called = false // the visitor asked for the connection, and waits for it

const lid = makeLid()
const story = makeStory({ list: $('story'), aloud: $('aloud'), sentences: () => sentences })

/** The client's source of tokens, asked before each connection and each renewal. null: nobody is signed in. */
async function tokenOf({ reason }) {
  try {
    return (await getToken()).token
  } catch (refusal) {
    if (reason === 'connect') lastWordOf(refusal)
    if (refusal.status === 401) return null
    throw refusal
  }
}

let socket // the newest
const sealFor = makeSeals($('pin').textContent)

/** The connection of this tab: it stays, comes back, renews itself and moves, until Disconnect. */
function makeClient() {
  const proxied = $('through').checked
  const to = proxied ? `wss://${new URL($('proxy-link').href).host}` : base
  const made = (s) => { socket = s }
  // Given a token, a client that seals would show it to the door alone, and buy no ticket: here one is bought, and travels inside.
  const ticket = async (request) => {
    const token = await tokenOf(request)
    return token && getTicket(token)
  }
  const seal = (platform, raw) => watched(story.wire, made, sealFor(proxied)(platform, raw))
  const c = Sallyport.createClient(to + gate, {
    ...($('sealing').checked ? { ticket, seal } : { ticket: '/api/ticket', token: tokenOf, WebSocket: watched(story.wire, made) }), env: lid.env,
  })
  listen(c)
  story.follow(c)
  return c
}

const shown = {
  idle: ({ why }) => ['closed', why ? 'Resting' : 'Not connected'],
  connecting: () => ['opening', retrying ? 'Reconnecting …' : 'Connecting …'],
  open: () => ['open', `Connected as ${me ?? '…'}`],
  waiting: () => ['waiting', 'Reconnecting …'],
  paused: () => ['waiting', 'No network'],
  closing: () => ['closed', 'Not connected'],
  closed: () => ['closed', 'Not connected'],
}
let retrying = false
const striving = ['connecting', 'open', 'waiting', 'paused'] // to be connected
let id = ''

/** What the page does about what c tells, for as long as it is the client. */
function listen(c) {
  const on = (type, f) => c.addEventListener(type, ({ detail }) => { if (c === client) f(detail) })

  on('state', (s) => {
    if (s.status === 'waiting' || s.status === 'open') retrying = s.status === 'waiting'
    show(...shown[s.status](s))
    retryAt = s.status === 'waiting' ? Date.now() + s.retryIn : 0
    if (s.status === 'open' && id !== s.limits.id) {
      note(id ? 'moved to another connection' : 'connected')
      id = s.limits.id
      setFlip('')
      idleAfter = s.limits.idle * 1000
      lifeEnds = s.limits.expires_in === undefined ? 0 : Date.now() + s.limits.expires_in * 1000
      active()
    }
    if (s.status !== 'open') {
      id = ''
      idleEnds = lifeEnds = 0
    }
    if (s.status === 'closed' || s.status === 'idle') {
      retrying = false
      whoAmI()
    }
    enable()
    if (called && s.status !== 'connecting') {
      called = false
      if (s.status === 'open') $('message').focus()
    }
  })

  on('message', (detail) => {
    active()
    said(JSON.parse(detail))
  })

  on('close', async (end) => {
    const left = end.opened && end.close === 1000 && client.state.status === 'open' // it moved
    if (end.opened && !left) note(`ended: ${end.close}${end.code ? ` ${end.code}` : ''}`)
    const tried = !end.opened && end.close === 1000 // an attempt that was not needed any more
    if (left || tried || end.code === 'ticket') return // not the door's word
    await sentencesLoaded
    const { code, sentence } = readClose(end, end.opened)
    const tone = end.close === 4001 || end.close === 1006 ? 'bad' : end.close === 1000 ? '' : 'warm'
    if (code === 'seal.broken') noticed('The client')
    lastWord(String(end.close), end.reason, code.startsWith('local.') || end.close === 4905 ? 'The client’s own decision; see the list below.' : sentence, tone)
  })

  on('renewed', ({ expiresIn }) => {
    lifeEnds = expiresIn === undefined ? 0 : Date.now() + expiresIn * 1000
  })

  on('unknown', ({ messages }) => {
    for (const { id } of messages) note(`nobody knows whether this arrived: “${id}”`)
  })
}

let client = makeClient()

function connect() {
  called = true
  client.connect().catch(() => {}) // its events say why
}

const active = () => { idleEnds = Date.now() + idleAfter }

/** Whether a button can be pressed. It keeps the focus: who works by keyboard must not lose the place. */
const allow = (button, yes) => button.setAttribute('aria-disabled', String(!yes))
const allowed = (button) => button.getAttribute('aria-disabled') !== 'true'

function enable() {
  const { status, why } = client.state
  const open = status === 'open'
  const wanted = striving.includes(status)
  const talking = wanted || (status === 'idle' && !!why)
  allow($('flip'), open && $('through').checked)
  if (!talking && ($('message') === document.activeElement || $('send') === document.activeElement)) $('connect').focus()
  allow($('connect'), !open && status !== 'connecting')
  allow($('disconnect'), wanted)
  allow($('renew'), open)
  for (const id of ['message', 'send']) $(id).disabled = !talking
  for (const name of ['lid', 'short-token']) allow($(name), open && !napping)
  for (const name of ['cut', 'sign-out-elsewhere', 'deploy']) allow($(name), !!me)
  tick()
}

async function send(event) {
  event.preventDefault()
  const text = $('message').value.trim()
  if (!text) return
  $('message').value = ''
  unsent++
  try {
    await client.send(JSON.stringify({ text }), { id: text })
    active()
  } catch (error) {
    note(`not sent (${error.code}): “${text}”`)
  } finally {
    unsent--
    tick()
  }
}

/** By hand. The client does it by itself when four fifths of the time are over. */
async function renew() {
  await attempt(async () => {
    const { token } = await getToken()
    await renewWith(token)
  })
}

/** A sealed connection takes a credential from inside alone; any other also from an endpoint. */
async function renewWith(token, connection) {
  if ($('sealing').checked) socket.control({ t: 'renew', token })
  else await ask('/api/renew', { gate, connection }, { Authorization: `Bearer ${token}` })
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

// ---------------------------------------------------------------- 4: an unreliable network

const nap = { real: 5000, told: 600_000 } // how long the lid is shut, and what the client is told
let napping = false
let cutEnds = 0

/** Asks the demo for trouble, and notes how things are since. */
async function trouble(what, seconds) {
  const answer = await ask('/api/trouble', { what, seconds })
  cutEnds = answer.cut ? Date.now() + answer.cut * 1000 : 0
  setFlip(answer.flip)
  $('door-number').textContent = `number ${answer.door}${answer.draining ? `; number ${answer.door - 1} drains` : ''}`
  tick()
  return answer
}

const look = () => trouble('look').catch(() => {})

const troubles = {
  async cut() {
    if (cutEnds) {
      await trouble('plug')
      story.tell('trouble', 'You plugged the cable in: what was held goes on.', { loud: true })
    } else {
      await trouble('cut', Number($('cut-for').value))
      story.tell('trouble', 'You cut the cable. Nothing is closed; nothing passes.', { detail: 'Neither end is told. Say something, and wait.', loud: true })
    }
  },
  async lid() {
    napping = true
    enable()
    lid.shut()
    story.tell('trouble', `You shut the lid, for ${nap.real / 1000} s.`, { detail: 'A simulation: no timer of the client fires. The connection is real.', loud: true })
    await new Promise((done) => setTimeout(done, nap.real))
    story.tell('trouble', `You opened the lid. To the client, ${nap.told / 60_000} minutes have passed.`, { detail: 'Nothing that it knew is certain: it asks whether the connection lives, within 3 s, and renews.', loud: true })
    napping = false
    lid.open(nap.told)
    enable()
  },
  async 'short-token'() {
    const life = 15
    story.tell('trouble', `You gave the connection a token that ends in ${life} s.`, { detail: 'The door will really end it then, unless the client renews before.', loud: true })
    const { token } = await trouble('token', life)
    await renewWith(token, client.id)
  },
  async 'sign-out-elsewhere'() {
    await trouble('sign-out')
    story.tell('trouble', 'You ended this session from elsewhere. The cookie of this browser is worth nothing now.', { loud: true })
    await whoAmI()
  },
  async deploy() {
    story.tell('trouble', 'You deployed: a second door opens on the same port, and the first has to drain.', { loud: true })
    const { seconds } = await trouble('deploy')
    setTimeout(look, seconds * 1000 + 500)
  },
}

async function makeTrouble(name) {
  if (!allowed($(name))) return
  try {
    await troubles[name]()
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal
    story.tell('error', refusal.code === 'guard.too-fast' ? 'One deployment at a time: the last one is not over.' : refusal.message, { loud: true })
  }
}

// ---------------------------------------------------------------- 5: somebody in the middle

let flipping = '' // which way the message goes of which a bit is to be flipped
let flipped = '' // the connection in which that was asked for

const eavesdropper = makeEavesdropper({ url: `${base}/middle`, list: $('middle'), onFlipped })

function setFlip(way) {
  flipping = way
  $('flip').textContent = way ? 'Let it pass' : 'Flip one bit'
}

async function flip() {
  if (!allowed($('flip'))) return
  const out = $('flip-result')
  try {
    flipped = client.id.slice(0, 6)
    await trouble(flipping ? 'flip-none' : `flip-${$('flip-way').value}`)
    out.replaceChildren(flipping ? `The proxy waits for the next message that you ${flipping === 'up' ? 'send' : 'get'}.` : '')
    delete out.dataset.outcome
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal
    out.replaceChildren(refusal.code === 'http.not-found' ? 'Nothing goes through the proxy now. Connect through it first.' : refusal.message)
  }
}

/** What somebody said, of a message of the chat. */
function saidIn(text) {
  try {
    return JSON.parse(text).text
  } catch {
    return text
  }
}

/** The proxy has done it. Unsealed that is all there is to tell. */
function onFlipped(h) {
  setFlip('')
  if (h.sealed) return
  const out = $('flip-result')
  out.dataset.outcome = 'unnoticed'
  out.replaceChildren(element('span', 'refused', 'Unnoticed.'), ` The proxy made “${saidIn(h.before)}” into “${saidIn(h.text)}”, and both ends believe it.`)
}

function noticed(who) {
  if (!flipped) return
  const out = $('flip-result')
  out.dataset.outcome = 'noticed'
  out.replaceChildren(element('span', 'passed', 'Noticed.'), ` ${who} ended connection ${flipped} with `, element('span', 'mono', 'seal.broken'),
    '. Nothing of the message was delivered, and the client comes back.')
  flipped = ''
  setFlip('')
}

const paths = [
  [true, 'The connection goes straight to the door, over TLS.'],
  [true, 'The connection goes straight to the door, over TLS and sealed.'],
  [false, 'The proxy carries the connection, and can read and change all of it.'],
  [true, 'The proxy carries the connection, and sees sealed bytes. What it changes is noticed.'],
]

function showPath() {
  const [good, text] = paths[2 * $('through').checked + $('sealing').checked]
  $('path-of').dataset.risk = good ? 'no' : 'yes'
  $('path-of').textContent = text
}

/** Makes another client, by the switches, and connects it if the one before was. */
function switchOver() {
  showPath()
  const old = client
  const { status, why } = old.state
  client = makeClient()
  old.close()
  id = ''
  idleEnds = lifeEnds = retryAt = 0
  retrying = false
  setFlip('')
  story.tell('trouble', $('path-of').textContent, { detail: 'A client is sealed or not for its life: the page made another one.' })
  if (striving.includes(status) || (status === 'idle' && why)) client.connect().catch(() => {}) // the focus stays on the switch
  else {
    show('closed', 'Not connected')
    enable()
  }
}

const words = {
  idle: ({ why }) => (why ? 'resting, until somebody speaks' : 'not connected'),
  connecting: () => 'connecting',
  open: ({ draining }) => (draining ? 'connected, about to move' : 'connected'),
  waiting: () => `next attempt in ${seconds(Math.max(0, retryAt - Date.now()))}`,
  paused: ({ paused }) => (paused === 'offline' ? 'no network' : 'in the back/forward cache'),
  closing: () => 'closing',
  closed: () => 'not connected',
}

/** What changes all the time, and is therefore no live region. */
function facts() {
  const s = client.state
  $('client-state').dataset.status = s.status
  $('client-state').textContent = words[s.status](s)
  $('connection').textContent = client.id.slice(0, 6) || '–'
  $('heard').textContent = s.status === 'open' && story.heard ? `${seconds(Date.now() - story.heard)} ago; counts as dead after ${s.limits.beat + 10} s` : '–'
  $('unsent').textContent = unsent ? String(unsent) : 'nothing'
  const cut = Math.max(0, cutEnds - Date.now())
  if (!cut) cutEnds = 0
  $('cut').textContent = cut ? 'Plug it in' : 'Cut the cable'
  $('cable').textContent = cut ? `Cut for another ${Math.ceil(cut / 1000)} s.` : ''
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
      if (s.what === 'ended' && s.reason === 'seal.broken' && s.conn?.startsWith(flipped)) noticed('The door')
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
  facts()
  $('idle-left').textContent = idleEnds ? left(idleEnds) : ''
  $('life-left').textContent = lifeEnds ? left(lifeEnds) : ''
  const share = idleEnds && idleAfter ? Math.max(0, (idleEnds - Date.now()) / idleAfter) : 0
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
for (const [id, f] of Object.entries({ connect, disconnect: () => client.close(), renew })) {
  $(id).addEventListener('click', () => { if (allowed($(id))) f() })
}
for (const name of Object.keys(troubles)) $(name).addEventListener('click', () => makeTrouble(name))
$('say').addEventListener('submit', send)
$('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText($('lines').textContent)
  $('copy').textContent = 'Copied'
  setTimeout(() => { $('copy').textContent = 'Copy' }, 1500)
})
document.addEventListener('visibilitychange', () => { if (!document.hidden) whoAmI() }) // another tab may have signed in or out
for (const id of ['through', 'sealing']) $(id).addEventListener('change', switchOver)
$('flip').addEventListener('click', flip)
showPath()
setInterval(tick, 250)
follow()
whoAmI()
