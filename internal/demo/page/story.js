// What the client does, and why, in plain words: from its events, and from what it and the door say to each other.

const most = 100

const locals = {
  'local.silent': 'Nothing was heard for too long, so the client gave the connection up (4900).',
  'local.timeout': 'There was no answer in time, so the client gave the attempt up (4901).',
  'local.suspended': 'The page went into the back/forward cache, which takes no open connection (4902).',
  'local.superseded': 'Another connection had taken over (4903).',
  'local.protocol': 'The other end does not speak sallyport.v1 (4904).',
  'seal.broken': 'A record did not open: somebody changed it on the way. The client gave the connection up, and delivered nothing of it (4905).',
  'local.pin': 'The sealing keys were not signed by the identity that this page has pinned (4905). Did the demo start again? Reload the page.',
  'local.keys': 'The list of sealing keys is missing, or for another place or time (4905).',
  'local.unsealed': 'The server did not take the seal, so nothing was sent to it (4905).',
}

const faults = {
  'seal.truncated': 'The connection ended without a sealed end. It was cut on the way; what is said outside the seal counts for nothing.',
  unsupported: 'This browser has no ML-KEM, and so cannot seal here.',
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })

export const seconds = (ms) => `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`
const plural = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`

/**
 * Tells the story of client into list, newest first. aloud is a live region that gets what a listener wants to know: the
 * turns of the story, at most once a second, and not every attempt. sentences: of the door's reasons, by code.
 */
export function makeStory({ list, aloud, sentences }) {
  let client
  let before = { status: 'idle' }
  let lost = false // and not back yet
  let asked = 0 // when the client asked for a sign of life
  let heard = 0 // when anything came from the door
  let speech = []

  function tell(kind, text, { detail = '', loud = false } = {}) {
    const li = document.createElement('li')
    li.dataset.kind = kind
    const time = document.createElement('time')
    const now = new Date()
    time.dateTime = now.toISOString()
    time.textContent = clock.format(now)
    const what = document.createElement('span')
    what.className = 'text'
    what.textContent = text
    li.append(time, what)
    if (detail) {
      const more = document.createElement('span')
      more.className = 'detail'
      more.textContent = detail
      li.append(more)
    }
    list.prepend(li)
    while (list.childElementCount > most) list.lastElementChild.remove()
    if (loud) say(text)
  }

  function say(text) {
    if (!speech.length) {
      setTimeout(() => {
        aloud.textContent = speech.slice(-3).join(' ')
        speech = []
      }, 1000)
    }
    speech.push(text)
  }

  /** Why a connection or an attempt ended. */
  function reason({ close, reason, code, opened }) {
    if (locals[code] && (code.startsWith('local.') || close === 4905)) return locals[code]
    if (close === 4905) return `The client gave the connection up: ${code} (4905).`
    if (code === 'ticket') return `No ticket could be had: ${reason}.`
    if (code) return `The door ended it: ${close} ${code}. ${sentences()[code] ?? ''}`.trim()
    if (close === 1006) return opened ? 'The connection broke without a word (1006).' : 'The attempt failed, and a page is not told why (1006).'
    return `It was closed with ${close}${reason ? ` ${reason}` : ''}.`
  }

  const states = {
    connecting() {
      tell('connecting', lost ? 'Trying again, with a fresh ticket.' : 'Fetching a one-time ticket, then opening a socket with it.')
    },
    open({ limits, draining }) {
      if (draining) {
        tell('draining', 'The door is about to stop. The client will open another connection first, and then leave this one.', { loud: true })
        return
      }
      if (before.status === 'open') {
        tell('moved', `Moved to connection ${limits.id.slice(0, 6)}. What is said from now on goes there.`, { loud: true })
      } else {
        tell('open', `${lost ? 'Back' : 'Connected'}: connection ${limits.id.slice(0, 6)}.`, {
          detail: `The door speaks at least every ${limits.beat} s. After ${limits.beat + 10} s of silence the client will count the connection as dead.`,
        })
      }
      lost = false
    },
    waiting({ retryIn, why }) {
      const first = !lost
      lost = true
      tell('waiting', retryIn < 50 ? 'Next attempt at once.' : `Next attempt in ${seconds(retryIn)}.`, {
        detail: first ? 'Drawn at random, below a bound that doubles with every failure, so that a thousand clients do not come back at once.' : '',
        loud: first,
      })
      if (first && why) say(reason(why))
    },
    paused({ paused }) {
      tell('paused', paused === 'offline' ? 'There is no network: the client waits until the browser says otherwise.' : 'The page is in the back/forward cache.', { loud: true })
    },
    idle({ why }) {
      if (!why) return
      tell('idle', 'Resting: nobody spoke, so the door closed the connection (4000). Say something, and it is back.', { loud: true })
      lost = false
    },
    closing() {},
    closed({ code, why }) {
      const text = {
        closed: 'Closed by you: nothing is tried again.',
        unauthenticated: 'Ended: nobody is signed in, so there is no ticket to try again with.',
        elapsed: 'Ended: no connection in the time allowed.',
        application: 'Ended by the application behind the door.',
      }[code]
      tell('closed', text ?? `Ended: ${why ? reason(why) : code}`, { loud: true })
      lost = false
    },
  }

  /** What passes on a watched socket. */
  function wire(way, message) {
    if (way === 'dial') {
      if (client?.state.status === 'open') tell('overlap', 'Opening the new connection, while the old one still serves.')
      return
    }
    if (way === 'in') heard = Date.now()
    if (!message) return
    if (way === 'out' && message.t === 'probe') {
      tell('probe', 'Asked the door: are you there, and what has arrived?')
      asked = Date.now()
    } else if (way === 'out' && message.t === 'renew') {
      tell('renew', 'Presented a fresh ticket over the open connection, before its credential ends.')
    } else if (message.t === 'beat' && asked) {
      tell('beat', `It answered after ${Date.now() - asked} ms. ${plural(message.got, 'message')} of this connection handed over.`)
      asked = 0
    } else if (message.t === 'drain') {
      tell('drain', `The door advises to move within ${seconds(message.spread * 1000)}; it ends this connection after ${seconds(message.deadline * 1000)}.`)
    } else if (message.t === 'renew-refused') {
      tell('refused', `The renewal was refused: ${message.code}. ${sentences()[message.code] ?? ''}`, { loud: true })
    }
  }

  function follow(c) {
    client = c
    const on = (type, f) => c.addEventListener(type, (event) => { if (c === client) f(event) })
    before = { status: 'idle' }
    lost = false
    on('close', ({ detail }) => {
      asked = 0
      if (!detail.opened && detail.close === 1000) return // an attempt that is not needed any more
      if (detail.opened && detail.close === 1000 && client.state.status === 'open') {
        tell('left', 'The old connection is closed: the door had confirmed everything that was sent on it.')
      } else {
        tell('ended', reason(detail))
      }
    })
    on('state', ({ detail }) => {
      states[detail.status]?.(detail)
      before = detail
    })
    on('renewed', ({ detail: { expiresIn } }) => {
      tell('renewed', expiresIn === undefined ? 'The credential has no end now.' : `The credential is good for ${Math.round(expiresIn)} s from now. The connection stayed open.`, { loud: true })
    })
    on('unknown', ({ detail: { messages } }) => {
      const which = messages.slice(0, 3).map(({ id }) => `“${id}”`).join(', ')
      tell('unknown', `${plural(messages.length, 'message')} not confirmed when the connection ended: ${which}${messages.length > 3 ? ' …' : ''}`, {
        detail: 'The door had not said that it was handed over. It may have arrived and may not; nobody sends it again.',
        loud: true,
      })
    })
    on('error', ({ detail }) => {
      if (!locals[detail?.code]) tell('error', faults[detail?.code] ?? String(detail?.message ?? detail))
    })
  }

  return {
    tell,
    wire,
    follow,
    get heard() {
      return heard
    },
  }
}
