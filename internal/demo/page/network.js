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
 * A class of sockets that tells what the client and the door say to each other: "dial", then "out" or "in" with a control
 * message, and "in" with nothing for a message of the chat. Base is the platform's, or one that seals: what is told then is
 * what is inside. made gets each new one.
 */
export function watched(tell, made, Base = WebSocket) {
  return class extends Base {
    constructor(...how) {
      super(...how)
      tell('dial')
      made(this)
      const hear = ({ data }) => tell('in', control(data))
      if (this.addEventListener) this.addEventListener('message', hear)
      else overhear(this, hear)
    }

    send(data) {
      const message = control(data)
      if (message) tell('out', message)
      super.send(data)
    }

    /** Says something to the door beside the client, and untold. */
    control(message) {
      super.send(`\x01${JSON.stringify(message)}`)
    }
  }
}

/** Calls hear before the handler of messages, of a socket that has that alone. */
function overhear(socket, hear) {
  let handler
  Object.defineProperty(socket, 'onmessage', {
    set: (f) => { handler = f },
    get: () => handler && ((event) => {
      hear(event)
      handler?.(event)
    }),
  })
}

/** The control message in data, without what it may hold of a credential; nothing for a message of the application. */
function control(data) {
  if (typeof data !== 'string' || data[0] !== '\x01') return
  try {
    const { ticket, token, ...message } = JSON.parse(data.slice(1))
    return message
  } catch {} // the client says so
}
