// Behaviour of a WebSocket, as pairs of a deed and what the standard says is then seen. The same list is run with the
// platform's class and with the drop-in; it needs nothing but the class and the address of the scripted server.

export interface Env {
  /** The class under test. */
  WS: typeof WebSocket
  /** The scripted server, `http://127.0.0.1:<port>`. */
  base: string
}

export interface Case {
  name: string
  run: (env: Env) => unknown
  want: unknown
}

/** A case with a bound; what is thrown is a result like any other. */
export async function observe(c: Case, env: Env): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise(done => {
    timer = setTimeout(() => done('nothing within 5 s'), 5_000)
  })
  try {
    return await Promise.race([c.run(env), late])
  } catch (error) {
    return `threw ${error}`
  } finally {
    clearTimeout(timer)
  }
}

let ids = 0
const id = () => `${Date.now()}-${++ids}`
const at = (env: Env, path: string) => env.base.replace('http', 'ws') + path
const open = (env: Env, path = '/echo', protocols?: string | string[]) =>
  protocols === undefined ? new env.WS(at(env, path)) : new env.WS(at(env, path), protocols)
const wait = (ms: number) => new Promise<void>(done => setTimeout(done, ms))

/** The next event of a type. */
export function next<T extends Event = Event>(ws: EventTarget, type: string): Promise<T> {
  return new Promise(done => ws.addEventListener(type, e => done(e as T), { once: true }))
}

/** The events until the socket is closed, as short texts. */
export async function story(ws: WebSocket): Promise<string[]> {
  const log: string[] = []
  ws.addEventListener('open', () => log.push('open'))
  ws.addEventListener('message', e => log.push(`message ${e.data}`))
  ws.addEventListener('error', () => log.push(`error in ${ws.readyState > 1 ? 'CLOSED or CLOSING' : ws.readyState}`))
  await new Promise<void>(done => {
    ws.addEventListener('close', e => {
      log.push(`close ${e.code} ${e.reason || '-'} ${e.wasClean ? 'clean' : 'unclean'} in ${ws.readyState}`)
      done()
    })
  })
  return log
}

/** The name of the error that f throws at once, or what it returns. */
export function thrown(f: () => unknown): unknown {
  try {
    const value = f()
    if (value instanceof EventTarget && 'close' in value) {
      ;(value as WebSocket).onerror = () => {}
      ;(value as WebSocket).close()
      return 'a socket'
    }
    return value
  } catch (error) {
    const e = error as Error
    return e instanceof DOMException ? `DOMException ${e.name}` : e.constructor.name
  }
}

/** Opens, waits until it is open, and closes at the end. */
async function opened<T>(env: Env, deed: (ws: WebSocket) => T | Promise<T>, path = '/echo', protocols?: string | string[]): Promise<T> {
  const ws = open(env, path, protocols)
  await next(ws, 'open')
  const result = await deed(ws)
  ws.close()
  return result
}

/** The first message of a server that begins; it may come in one piece with the handshake. */
async function first(env: Env, path: string): Promise<string> {
  const ws = open(env, path)
  const { data } = await next<MessageEvent>(ws, 'message')
  ws.close()
  return text(data)
}

async function text(data: unknown): Promise<string> {
  if (data instanceof Blob) return `Blob ${await data.text()}`
  if (data instanceof ArrayBuffer) return `ArrayBuffer ${new TextDecoder().decode(data)}`
  return `${typeof data} ${data}`
}

async function echo(ws: WebSocket, data: string | ArrayBuffer | Blob | ArrayBufferView<ArrayBuffer>): Promise<string> {
  ws.send(data)
  return text((await next<MessageEvent>(ws, 'message')).data)
}

export async function seen(env: Pick<Env, 'base'>, name: string): Promise<Record<string, unknown>> {
  for (let n = 0; n < 50; n++) {
    const known = await (await fetch(`${env.base}/seen?id=${name}`)).json()
    if (known?.close) return known
    await wait(20)
  }
  return {}
}

const bytes = (s: string) => new TextEncoder().encode(s)
const failed = ['error in CLOSED or CLOSING', 'close 1006 - unclean in 3']
const constants = { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 }
const pick = (on: object) => Object.fromEntries(Object.keys(constants).map(k => [k, (on as Record<string, unknown>)[k]]))

export const cases: Case[] = [
  // The class.
  { name: 'the constants are on the class', run: ({ WS }) => pick(WS), want: constants },
  { name: 'the constants are on the prototype', run: ({ WS }) => pick(WS.prototype), want: constants },
  {
    name: 'the constants are enumerable and cannot be changed',
    run: ({ WS }) => [WS, WS.prototype].map(on => Object.getOwnPropertyDescriptor(on, 'OPEN')),
    want: Array(2).fill({ value: 1, writable: false, enumerable: true, configurable: false }),
  },
  { name: 'the constructor takes one argument or two', run: ({ WS }) => WS.length, want: 1 },
  {
    name: 'calling the class without new is a TypeError',
    run: ({ WS }) => thrown(() => (WS as unknown as () => void)()),
    want: 'TypeError',
  },
  {
    name: 'a constructor without a URL is a TypeError',
    run: ({ WS }) => thrown(() => new (WS as unknown as new () => unknown)()),
    want: 'TypeError',
  },
  {
    name: 'the members of the standard are there, and enumerable',
    run: ({ WS }) => {
      const names = new Set<string>()
      for (const name in WS.prototype) names.add(name)
      return members.filter(m => !names.has(m))
    },
    want: [],
  },
  {
    name: 'a getter asked of something else is a TypeError',
    run: ({ WS }) => thrown(() => Object.getOwnPropertyDescriptor(WS.prototype, 'readyState')?.get?.call({})),
    want: 'TypeError',
  },
  {
    name: 'the prototype is shown as WebSocket',
    run: ({ WS }) => Object.prototype.toString.call(WS.prototype),
    want: '[object WebSocket]',
  },
  {
    name: 'an object of a subclass works, and is of both classes',
    run: async env => {
      class Mine extends env.WS {
        mine() {
          return this.url.length > 0
        }
      }
      const ws = new Mine(at(env, '/echo'))
      await next(ws, 'open')
      const result = [ws.mine(), ws instanceof Mine, ws instanceof env.WS, ws instanceof EventTarget, await echo(ws, 'x'), Mine.OPEN]
      ws.close()
      return result
    },
    want: [true, true, true, true, 'string x', 1],
  },

  // The arguments.
  ...['wss://', 'ftp://example.com', 'mailto:someone', 'ws://[', 'ws://example.com:99999'].map(url => ({
    name: `the URL ${url} is a SyntaxError`,
    run: ({ WS }: Env) => thrown(() => new WS(url)),
    want: 'DOMException SyntaxError',
  })),
  { name: 'a URL with a fragment is a SyntaxError', run: env => thrown(() => open(env, '/echo#here')), want: 'DOMException SyntaxError' },
  { name: 'an empty fragment is a SyntaxError', run: env => thrown(() => open(env, '/echo#')), want: 'DOMException SyntaxError' },
  ...[['same', 'same'], [''], ['with space'], ['a,b'], ['a=b'], ['a"b'], ['a/b'], ['a(b)'], ['ünicode'], ['a\n']].map(list => ({
    name: `the subprotocols ${JSON.stringify(list)} are a SyntaxError`,
    run: (env: Env) => thrown(() => open(env, '/echo', list)),
    want: 'DOMException SyntaxError',
  })),
  {
    name: 'an empty text as subprotocol is a SyntaxError',
    run: env => thrown(() => open(env, '/echo', '')),
    want: 'DOMException SyntaxError',
  },
  {
    name: 'every character of a token may be in a subprotocol',
    run: env => opened(env, ws => ws.protocol, '/echo', "!#$%&'*+-.^_`|~09azAZ"),
    want: "!#$%&'*+-.^_`|~09azAZ",
  },
  {
    name: 'subprotocols may come from any iterable',
    run: env => opened(env, ws => ws.protocol, '/echo', new Set(['set.v1']) as unknown as string[]),
    want: 'set.v1',
  },
  { name: 'a URL object is taken', run: env => opened({ ...env }, ws => ws.url === at(env, '/echo')), want: true },
  {
    name: 'the URL is shown in its normal form',
    run: async env => {
      const ws = new env.WS(at(env, '/a/../echo?q=ä b').replace('ws:', 'WS:'))
      ws.onerror = () => {}
      ws.close()
      return ws.url.slice(at(env, '').length)
    },
    want: '/echo?q=%C3%A4%20b',
  },
  {
    name: 'http: becomes ws:',
    run: async env => {
      const ws = new env.WS(`${env.base}/echo`)
      await next(ws, 'open')
      ws.close()
      return ws.url.slice(0, 5)
    },
    want: 'ws://',
  },

  // Before it is open.
  {
    name: 'a new socket is CONNECTING and empty',
    run: async env => {
      const ws = open(env)
      const { readyState, bufferedAmount, extensions, protocol, binaryType, onopen, onmessage, onerror, onclose } = ws
      await next(ws, 'open')
      ws.close()
      return { readyState, bufferedAmount, extensions, protocol, binaryType, onopen, onmessage, onerror, onclose }
    },
    want: {
      readyState: 0,
      bufferedAmount: 0,
      extensions: '',
      protocol: '',
      binaryType: 'blob',
      onopen: null,
      onmessage: null,
      onerror: null,
      onclose: null,
    },
  },
  {
    name: 'send while CONNECTING is an InvalidStateError, and the socket opens all the same',
    run: async env => {
      const ws = open(env)
      const first = thrown(() => ws.send('early'))
      await next(ws, 'open')
      const after = await echo(ws, 'later')
      ws.close()
      return [first, after]
    },
    want: ['DOMException InvalidStateError', 'string later'],
  },
  {
    name: 'it does not open in the same turn, nor in its microtasks',
    run: async env => {
      const ws = open(env)
      const states = [ws.readyState]
      await Promise.resolve()
      states.push(ws.readyState)
      for (let n = 0; n < 10; n++) await Promise.resolve()
      states.push(ws.readyState)
      await next(ws, 'open')
      states.push(ws.readyState)
      ws.close()
      return states
    },
    want: [0, 0, 0, 1],
  },
  {
    name: 'close while CONNECTING fails the connection, later',
    run: async env => {
      const ws = open(env, '/never')
      const told = story(ws)
      const before = ws.readyState
      ws.close()
      return [before, ws.readyState, ...(await told)]
    },
    want: [0, 2, ...failed],
  },
  {
    name: 'after a close while CONNECTING the state never goes back',
    run: async env => {
      const states = new Set<number>()
      const ws = open(env, '/late?ms=400')
      await wait(200)
      ws.close()
      const watch = setInterval(() => states.add(ws.readyState))
      for (let n = 0; n < 5; n++) await Promise.resolve(states.add(ws.readyState))
      await story(ws)
      states.add(ws.readyState)
      clearInterval(watch)
      return [...states].sort()
    },
    want: [2, 3],
  },
  {
    name: 'close with code and reason while CONNECTING still ends with 1006',
    run: env => {
      const ws = open(env, '/never')
      const told = story(ws)
      ws.close(3000, 'changed my mind')
      return told
    },
    want: failed,
  },
  {
    name: 'a late handshake can be closed while it is under way',
    run: async env => {
      const ws = open(env, '/late?ms=400')
      const told = story(ws)
      await wait(200)
      const before = ws.readyState
      ws.close()
      return [before, ...(await told)]
    },
    want: [0, ...failed],
  },
  { name: 'a late handshake opens', run: env => opened(env, ws => ws.readyState, '/late?ms=300'), want: 1 },
  ...[200, 301, 401, 404, 503].map(status => ({
    name: `HTTP ${status} in place of 101 fails`,
    run: (env: Env) => story(open(env, `/http?status=${status}`)),
    want: failed,
  })),
  { name: 'a wrong accept key fails', run: env => story(open(env, '/accept')), want: failed },
  { name: 'a port where nobody listens fails', run: ({ WS }) => story(new WS('ws://127.0.0.1:9/')), want: failed },

  // Subprotocols.
  {
    name: 'the subprotocol that the server selected is shown',
    run: env => opened(env, ws => ws.protocol, '/echo', ['chat.v2', 'chat.v1']),
    want: 'chat.v2',
  },
  {
    name: 'the server may select another one',
    run: env => opened(env, ws => ws.protocol, '/select?p=chat.v1', ['chat.v2', 'chat.v1']),
    want: 'chat.v1',
  },
  { name: 'a single subprotocol may be a text', run: env => opened(env, ws => ws.protocol, '/echo', 'chat.v1'), want: 'chat.v1' },
  { name: 'no subprotocol is an empty text', run: env => opened(env, ws => ws.protocol), want: '' },
  { name: 'a subprotocol that was not offered fails', run: env => story(open(env, '/select?p=other', 'chat.v1')), want: failed },
  { name: 'none selected of those offered fails', run: env => story(open(env, '/select?p=', 'chat.v1')), want: failed },

  // Messages.
  ...['hello', '', 'ä€𐍈', 'a\0b', 'x'.repeat(70_000)].map(t => ({
    name: `a text of ${t.length} units comes back: ${JSON.stringify(t.slice(0, 8))}`,
    run: (env: Env) => opened(env, async ws => (await echo(ws, t)) === `string ${t}`),
    want: true,
  })),
  { name: 'half a surrogate pair becomes U+FFFD', run: env => opened(env, ws => echo(ws, 'a\ud800b')), want: 'string a\ufffdb' },
  { name: 'what is no data is sent as text', run: env => opened(env, ws => echo(ws, 12 as unknown as string)), want: 'string 12' },
  { name: 'send without data is a TypeError', run: env => opened(env, ws => thrown(() => (ws.send as () => void)())), want: 'TypeError' },
  { name: 'an ArrayBuffer comes back as a Blob', run: env => opened(env, ws => echo(ws, bytes('buffer').buffer)), want: 'Blob buffer' },
  { name: 'a Blob comes back', run: env => opened(env, ws => echo(ws, new Blob(['blob']))), want: 'Blob blob' },
  {
    name: 'a view is sent without its surroundings',
    run: env => opened(env, ws => echo(ws, bytes('surrounded').subarray(3, 6))),
    want: 'Blob rou',
  },
  {
    name: 'binaryType set before it opens holds',
    run: async env => {
      const ws = open(env)
      ws.binaryType = 'arraybuffer'
      await next(ws, 'open')
      const result = [ws.binaryType, await echo(ws, bytes('x'))]
      ws.close()
      return result
    },
    want: ['arraybuffer', 'ArrayBuffer x'],
  },
  {
    name: 'binaryType can be changed between messages',
    run: env =>
      opened(env, async ws => {
        const got = []
        for (const type of ['arraybuffer', 'blob', 'arraybuffer'] as const) {
          ws.binaryType = type
          got.push(await echo(ws, bytes(type)))
        }
        return got
      }),
    want: ['ArrayBuffer arraybuffer', 'Blob blob', 'ArrayBuffer arraybuffer'],
  },
  {
    name: 'an unknown binaryType is ignored',
    run: env =>
      opened(env, ws => {
        const type = thrown(() => {
          ws.binaryType = 'text' as BinaryType
          return ws.binaryType
        })
        return type
      }),
    want: 'blob',
  },
  {
    name: 'a megabyte of bytes comes back whole',
    run: env =>
      opened(env, async ws => {
        ws.binaryType = 'arraybuffer'
        const data = new Uint8Array(1 << 20).map((_, i) => (i * 31) & 255)
        ws.send(data)
        const back = new Uint8Array((await next<MessageEvent>(ws, 'message')).data)
        return back.length === data.length && back.every((b, i) => b === data[i])
      }),
    want: true,
  },
  {
    name: 'messages keep their order',
    run: env =>
      opened(env, async ws => {
        const got: string[] = []
        ws.onmessage = e => got.push(e.data)
        for (let n = 0; n < 50; n++) ws.send(`${n}`)
        while (got.length < 50) await next(ws, 'message')
        return got.join()
      }),
    want: Array.from({ length: 50 }, (_, n) => n).join(),
  },
  {
    name: 'bufferedAmount grows in the turn of a send, and shrinks',
    run: env =>
      opened(env, async ws => {
        ws.send('ä€')
        const grown = ws.bufferedAmount
        await next(ws, 'message')
        return [grown, ws.bufferedAmount]
      }),
    want: [5, 0],
  },
  // A text "he" that is not final, and its continuation "hel".
  {
    name: 'fragments are one message',
    run: env => first(env, '/bytes?hex=01026865800368656c'),
    want: 'string hehel',
  },
  {
    name: 'frames in single bytes arrive whole',
    run: env => first(env, '/bytes?hex=810568656c6c6f&each=1'),
    want: 'string hello',
  },
  {
    name: 'a ping is answered, and not shown',
    run: env =>
      opened(
        env,
        async ws => {
          const got: unknown[] = []
          ws.onmessage = e => got.push(e.data)
          await wait(100)
          ws.send('report')
          while (!got.length) await next(ws, 'message')
          return [got.length, JSON.parse(`${got[0]}`).pongs]
        },
        '/bytes?hex=890568656c6c6f',
      ),
    want: [1, ['hello']],
  },

  // The end.
  {
    name: 'the server’s code and reason arrive',
    run: env => story(open(env, '/close?code=4321&reason=because')),
    want: ['open', 'close 4321 because clean in 3'],
  },
  { name: 'a close frame without a code is 1005', run: env => story(open(env, '/close')), want: ['open', 'close 1005 - clean in 3'] },
  {
    name: 'messages come before the close',
    run: env => story(open(env, '/closing?code=1000&reason=done')),
    want: ['open', 'message one', 'message two', 'message three', 'close 1000 done clean in 3'],
  },
  {
    name: 'our own code and reason reach the server and come back',
    run: async env => {
      const name = id()
      const ws = open(env, `/echo?id=${name}`)
      const told = story(ws)
      await next(ws, 'open')
      ws.close(4000, 'bye ä')
      const state = ws.readyState
      return [state, ...(await told), (await seen(env, name)).close]
    },
    want: [2, 'open', 'close 4000 bye ä clean in 3', { code: 4000, reason: 'bye ä' }],
  },
  {
    name: 'close without arguments sends no code',
    run: async env => {
      const name = id()
      const ws = open(env, `/echo?id=${name}`)
      const told = story(ws)
      await next(ws, 'open')
      ws.close()
      return [...(await told), (await seen(env, name)).close]
    },
    want: ['open', 'close 1005 - clean in 3', { code: 1005, reason: '' }],
  },
  ...[0, 999, 1001, 1005, 1006, 2999, 5000, 65_536, Number.NaN].map(code => ({
    name: `closing with ${code} is an InvalidAccessError and changes nothing`,
    run: (env: Env) => opened(env, ws => [thrown(() => ws.close(code)), ws.readyState]),
    want: ['DOMException InvalidAccessError', 1],
  })),
  {
    name: 'closing with a bad code is an InvalidAccessError while CONNECTING, and after the end',
    run: async env => {
      const ws = open(env)
      const first = thrown(() => ws.close(1001))
      await next(ws, 'open')
      ws.close()
      await next(ws, 'close')
      return [first, thrown(() => ws.close(1001)), thrown(() => ws.close(1000))]
    },
    want: ['DOMException InvalidAccessError', 'DOMException InvalidAccessError', undefined],
  },
  {
    name: 'a reason of more than 123 bytes is a SyntaxError',
    run: env => opened(env, ws => [thrown(() => ws.close(1000, 'ä'.repeat(62))), ws.readyState]),
    want: ['DOMException SyntaxError', 1],
  },
  {
    name: 'a reason of 123 bytes is not',
    run: async env => {
      const ws = open(env)
      const told = story(ws)
      await next(ws, 'open')
      ws.close(1000, `${'ä'.repeat(61)}x`)
      return (await told)[1]!.length
    },
    want: 'close 1000  clean in 3'.length + 62,
  },
  {
    name: 'a second close changes nothing',
    run: async env => {
      const ws = open(env)
      const told = story(ws)
      await next(ws, 'open')
      ws.close(3001)
      ws.close(3002)
      const all = await told
      ws.close(3003)
      return [...all, ws.readyState]
    },
    want: ['open', 'close 3001 - clean in 3', 3],
  },
  {
    name: 'send after close is silent, and counted',
    run: async env => {
      const ws = open(env)
      await next(ws, 'open')
      ws.close()
      const before = ws.bufferedAmount
      const first = thrown(() => ws.send('12345'))
      const grown = ws.bufferedAmount - before
      await next(ws, 'close')
      return [first, grown, thrown(() => ws.send('123'))]
    },
    want: [undefined, 5, undefined],
  },
  {
    name: 'send after a failed handshake is silent, and counted',
    run: async env => {
      const ws = open(env, '/http?status=401')
      await next(ws, 'close')
      const before = ws.bufferedAmount
      ws.send('ä€')
      ws.send(new Uint8Array(3))
      return ws.bufferedAmount - before
    },
    want: 8,
  },
  {
    name: 'a lost connection is 1006 and not clean',
    run: async env => (await story(open(env, '/drop'))).at(-1),
    want: 'close 1006 - unclean in 3',
  },
  ...(
    [
      ['a masked frame', '818000000000', 1006],
      ['a reserved bit', 'c10161', 1006],
      ['an unknown opcode', '830161', 1006],
      ['a text that is no UTF-8', '8101ff', 1006],
      ['a continuation of nothing', '800161', 1006],
      ['a fragmented ping', '090161', 1006],
    ] as const
  ).map(([what, hex, code]) => ({
    name: `${what} from the server ends the connection`,
    run: async (env: Env) => {
      const told = await story(open(env, `/bytes?hex=${hex}`))
      return [told.filter(l => l.startsWith('message')).length, told.some(l => l.startsWith('error')), told.at(-1)!.split(' ')[1]]
    },
    want: [0, true, `${code}`],
  })),

  // Events.
  {
    name: 'a message event has the members of the standard',
    run: env =>
      opened(env, async ws => {
        ws.send('x')
        const e = await next<MessageEvent>(ws, 'message')
        const { type, data, origin, lastEventId, source, ports, bubbles, cancelable, target, currentTarget } = e
        return {
          is: e instanceof MessageEvent,
          type,
          data,
          origin: origin === at(env, ''),
          lastEventId,
          source,
          ports: ports.length,
          bubbles,
          cancelable,
          target: target === ws,
          currentTarget: currentTarget === null || currentTarget === ws,
        }
      }),
    want: {
      is: true,
      type: 'message',
      data: 'x',
      origin: true,
      lastEventId: '',
      source: null,
      ports: 0,
      bubbles: false,
      cancelable: false,
      target: true,
      currentTarget: true,
    },
  },
  {
    name: 'the others are an Event and a CloseEvent',
    run: async env => {
      const ws = open(env, '/close?code=3000')
      const [o, c] = await Promise.all([next(ws, 'open'), next<CloseEvent>(ws, 'close')])
      return [o instanceof Event, o.target === ws, c.type, c instanceof (globalThis.CloseEvent ?? Event), c.code, c.reason, c.wasClean]
    },
    want: [true, true, 'close', true, 3000, '', true],
  },
  {
    name: 'handlers are called with the socket as this, among the listeners in the order of their setting',
    run: async env => {
      const ws = open(env)
      const log: string[] = []
      ws.addEventListener('open', () => log.push('first'))
      ws.onopen = () => log.push('replaced')
      ws.addEventListener('open', () => log.push('third'))
      ws.onopen = function () {
        log.push(this === ws ? 'second' : 'second, with another this')
      }
      await next(ws, 'open')
      ws.close()
      return log
    },
    want: ['first', 'second', 'third'],
  },
  {
    name: 'a handler set to null is not called, and set again comes last',
    run: async env => {
      const ws = open(env)
      const log: string[] = []
      ws.onopen = () => log.push('handler')
      ws.addEventListener('open', () => log.push('listener'))
      ws.onopen = null
      const cleared = ws.onopen
      ws.onopen = () => log.push('handler again')
      await next(ws, 'open')
      ws.close()
      await wait(0)
      return [cleared, ...log]
    },
    want: [null, 'listener', 'handler again'],
  },
  {
    name: 'a handler that is no object becomes null',
    run: env =>
      opened(env, ws => {
        const values: unknown[] = []
        for (const v of [() => {}, 'text', undefined, 5]) {
          ws.onmessage = v as never
          values.push(typeof ws.onmessage, ws.onmessage === v)
        }
        return values
      }),
    want: ['function', true, 'object', false, 'object', false, 'object', false],
  },
  {
    name: 'listeners can be for once, bound to a signal, objects, and removed',
    run: env =>
      opened(env, async ws => {
        const log: string[] = []
        const ac = new AbortController()
        const gone = () => log.push('removed')
        ws.addEventListener('message', () => log.push('once'), { once: true })
        ws.addEventListener('message', () => log.push('signal'), { signal: ac.signal })
        ws.addEventListener('message', { handleEvent: () => log.push('object') })
        ws.addEventListener('message', gone)
        ws.removeEventListener('message', gone)
        await echo(ws, '1')
        ac.abort()
        await echo(ws, '2')
        return log
      }),
    want: ['once', 'signal', 'object', 'object'],
  },
  {
    name: 'events that the application dispatches reach handlers',
    run: env =>
      opened(env, ws => {
        const got: unknown[] = []
        ws.onmessage = e => got.push(e.data)
        ws.dispatchEvent(new MessageEvent('message', { data: 'made up' }))
        return got
      }),
    want: ['made up'],
  },
  {
    name: 'two sockets do not know each other',
    run: env =>
      opened(env, one =>
        opened(env, async two => {
          const log: string[] = []
          one.onmessage = e => log.push(`one ${e.data}`)
          two.onmessage = e => log.push(`two ${e.data}`)
          await echo(two, 'b')
          await echo(one, 'a')
          return log
        }),
      ),
    want: ['two b', 'one a'],
  },
]

const members = [
  ...[
    'url',
    'readyState',
    'bufferedAmount',
    'onopen',
    'onerror',
    'onclose',
    'extensions',
    'protocol',
    'close',
    'onmessage',
    'binaryType',
    'send',
  ],
  ...['CONNECTING', 'OPEN', 'CLOSING', 'CLOSED', 'addEventListener', 'removeEventListener', 'dispatchEvent'],
]
