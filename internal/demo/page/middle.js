// "Somebody in the middle": what the demo's proxy sees of this visitor's connections, and how they are sealed.
import { sealed } from './crypto.js'

const most = 100

/**
 * Makes the seal for connections that go through the proxy, or not. They have names, and so key documents, of their own;
 * the proxy's is fetched from here, since it is signed and it does not matter who carries it.
 */
export function makeSeals(pin) {
  const pins = [pin]
  const direct = sealed({ pins })
  const through = sealed({ pins, keys: new URL('/middle.keys', location.href) })
  return (proxied) => (proxied ? through : direct)
}

const arrows = { up: '→', down: '←' }
const ways = { up: 'To the door', down: 'From the door' }

function element(tag, className, text) {
  const el = document.createElement(tag)
  if (className) el.className = className
  if (text !== undefined) el.textContent = text
  return el
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const hex = (text) => text.replaceAll(/(..)/g, '$1 ').trim()

/** What the proxy makes of one thing that it saw: the words, or that it cannot read them. */
function words(h) {
  if (h.what === 'opened') {
    if (h.status !== 101) return [h.text, `The door refused it with ${h.status}.`]
    return [h.text, [
      h.sealed ? 'Sealed from here on. The ticket is not here: it travels inside.' : 'Not sealed: every message can be read and changed, and the ticket was here to be taken.',
      h.cookie ? 'A cookie came along. It can be used by whoever saw it; where that matters, a key must bind it.' : '',
    ].join(' ').trim()]
  }
  if (h.what === 'closed') return [`Close ${h.code}${h.text ? `: ${h.text}` : ''}`, h.sealed ? 'Outside the seal, and so nobody’s word.' : '']
  const size = `${h.size} bytes`
  if (h.hex) return [hex(h.hex) + (h.size * 2 > h.hex.length ? ' …' : ''), h.flipped ? `${size}. The proxy flipped one bit of it, blindly.` : `${size}. It cannot be read.`]
  return [h.text, h.flipped ? `${size}. The proxy flipped one bit of it. Before: ${h.before}` : size]
}

function item(h) {
  const li = element('li')
  li.dataset.what = h.what
  li.dataset.way = h.way ?? ''
  li.dataset.sealed = h.sealed ? 'yes' : 'no'
  li.dataset.flipped = h.flipped ? 'yes' : 'no'
  const sign = element('span', 'sign', arrows[h.way] ?? '•')
  sign.setAttribute('aria-hidden', 'true')
  const [text, detail] = words(h)
  const main = element('span', 'main')
  if (h.way) main.append(element('span', 'unseen', `${ways[h.way]}: `))
  main.append(element('span', 'mono', text))
  const at = new Date(h.at)
  const time = element('time', '', clock.format(at))
  time.dateTime = at.toISOString()
  li.append(sign, main, time)
  if (detail) li.append(element('span', 'detail', detail))
  return li
}

/**
 * Shows in list, newest first, what the proxy sees, for as long as somebody is signed in. onFlipped hears of each message
 * that was changed from now on.
 */
export function makeEavesdropper({ url, list, onFlipped }) {
  let feed
  let wanted = false
  let retry = 1000
  let seen = 0

  function open() {
    if (!wanted || feed) return
    const socket = new WebSocket(url)
    let first = true
    feed = socket
    socket.onmessage = ({ data }) => {
      retry = 1000
      if (first) list.replaceChildren()
      for (const h of JSON.parse(data).heard) {
        list.prepend(item(h))
        if (h.flipped && h.n > seen && !first) onFlipped(h)
        seen = h.n
      }
      while (list.childElementCount > most) list.lastElementChild.remove()
      first = false
    }
    socket.onclose = () => {
      if (feed !== socket) return
      feed = undefined
      setTimeout(open, retry * (0.5 + Math.random() / 2))
      retry = Math.min(retry * 2, 15_000)
    }
  }

  return {
    /** Follows the session of who is signed in; null: nobody is. */
    follow(who) {
      const old = feed
      feed = undefined
      old?.close()
      seen = 0
      list.replaceChildren()
      wanted = !!who
      open()
    },
  }
}
