// What this page puts between the client and the platform, to show what the client does: a clock that can sleep, and a
// socket that is watched. Both are options of createClient; an application needs neither.

/**
 * The lid of a laptop, simulated: while it is shut no timer of the client fires, and when it opens the client's clock
 * has jumped. The page itself stays awake.
 */
export function makeLid() {
  const timers = new Map()
  let last = 0
  let ahead = 0 // of the real clock
  let shutAt = 0 // 0: it is open

  const now = () => (shutAt || Date.now()) + ahead

  function start(id) {
    const t = timers.get(id)
    t.handle = setTimeout(() => {
      timers.delete(id)
      t.f()
    }, Math.max(0, t.due - now()))
  }

  return {
    env: {
      now,
      setTimeout(f, ms) {
        timers.set(++last, { f, due: now() + ms })
        if (!shutAt) start(last)
        return last
      },
      clearTimeout(id) {
        clearTimeout(timers.get(id)?.handle)
        timers.delete(id)
      },
    },
    shut() {
      shutAt = Date.now()
      for (const t of timers.values()) clearTimeout(t.handle)
    },
    /** Opens it, as if it had been shut for so many milliseconds. */
    open(ms) {
      ahead += ms - (Date.now() - shutAt)
      shutAt = 0
      for (const id of timers.keys()) start(id)
    },
  }
}

/**
 * A WebSocket that tells what the client and the door say to each other: "dial", then "out" or "in" with a control
 * message, and "in" with nothing for a message of the chat.
 */
export function watched(tell) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols)
      tell('dial')
      this.addEventListener('message', ({ data }) => tell('in', control(data)))
    }

    send(data) {
      const message = control(data)
      if (message) tell('out', message)
      super.send(data)
    }
  }
}

/** The control message in data, without what it may hold of a credential; nothing for a message of the application. */
function control(data) {
  if (typeof data !== 'string' || data[0] !== '\x01') return
  try {
    const { ticket, token, ...message } = JSON.parse(data.slice(1))
    return message
  } catch {} // the client says so
}
