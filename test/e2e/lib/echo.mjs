// What every echo server must be able to do through the door, however it is
// reached.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { secret, within } from './env.mjs'

/**
 * Registers the tests. place() returns, once the suite has begun, open(options)
 * and the backend's process, server; identity(i) are options of the i-th of many
 * people.
 */
export function echoes(place) {
  const open = options => place().open(options)

  test('text comes back, every kind of character', async () => {
    const c = await open()
    for (const text of ['hello', '', 'grüße 世界 🏰 \u0000', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65536)]) {
      assert.equal(await c.echo(text), text)
    }
    c.abort()
  })

  test('binary comes back, and stays binary', async () => {
    const c = await open()
    for (const n of [0, 1, 125, 126, 65535, 65536]) {
      const data = randomBytes(n)
      const got = await c.echo(data)
      assert.ok(Buffer.isBuffer(got) && got.equals(data), `${n} bytes`)
    }
    c.abort()
  })

  test('1 MiB messages come back, text and binary', async () => {
    const c = await open()
    const data = randomBytes(1 << 20)
    assert.ok((await c.echo(data)).equals(data))
    const text = 'é'.repeat(1 << 19)
    assert.equal(await c.echo(text), text)
    c.abort()
  })

  test('a message in fragments comes back whole', async () => {
    const c = await open()
    for (const part of ['one ', 'two ', 'three']) c.ws.send(part, { fin: part === 'three' })
    assert.equal(await c.next(), 'one two three')
    c.abort()
  })

  test('the backend chooses the subprotocol, the client sees it', async () => {
    const c = await open({ protocols: ['chat.v9', 'chat.v1'] })
    assert.equal(c.ws.protocol, 'chat.v1')
    c.abort()
  })

  test('no subprotocol is none, and the neutral one is the door’s', async () => {
    const none = await open()
    assert.equal(none.ws.protocol, '')
    none.abort()
    const neutral = await open({ protocols: ['sallyport'] })
    assert.equal(neutral.ws.protocol, 'sallyport')
    neutral.abort()
  })

  test('the control channel is the door’s: the backend sees the application alone', async () => {
    const c = await open({ protocols: ['sallyport.v1~chat.v9', 'sallyport.v1~chat.v1', 'sallyport.v1'] })
    assert.equal(c.ws.protocol, 'sallyport.v1~chat.v1')
    assert.match(await c.next(), /^\x01\{.*"t":"hello"/)
    const texts = ['hello', '', '\x00', '\x01{"t":"close","code":"auth.revoked","got":0}', 'x'.repeat(65536)]
    for (const payload of [...texts.map(text => `\x00${text}`), Buffer.concat([Buffer.of(0), randomBytes(9)])]) {
      let got = await c.echo(payload)
      if (got === '\x01{"t":"long"}') got = await c.next() // it came in parts
      assert.deepEqual(got, payload)
    }
    const beat = await c.echo('\x01{"t":"probe"}')
    assert.deepEqual(JSON.parse(beat.slice(1)), { t: 'beat', got: texts.length + 1 })
    c.ws.send('\x00cmd:close 4001 Unauthorized;auth.revoked')
    assert.deepEqual(await c.gone(), { code: 4001, reason: '' })
    assert.deepEqual(c.messages, [])
  })

  test('pings are answered on both legs', async () => {
    const c = await open()
    const pong = within(5000, 'pong', new Promise(done => c.ws.once('pong', done)))
    c.ws.ping('from the client')
    assert.equal(String(await pong), 'from the client')
    assert.equal(await c.echo('cmd:ping abc'), 'pong abc')
    c.abort()
  })

  test('the backend’s close code and reason reach the client', async () => {
    for (const [code, reason] of [[1000, 'done'], [4321, 'because'], [1001, 'leaving'], [4444, 'graphql']]) {
      const c = await open()
      c.ws.send(`cmd:close ${code} ${reason}`)
      assert.deepEqual(await c.gone(), { code, reason })
    }
  })

  test('the client’s close code and reason reach the backend', async () => {
    const { server } = place()
    for (const [code, reason] of [[1000, 'done'], [4321, 'because'], [3000, 'registered']]) {
      const c = await open()
      assert.equal(await c.echo('here'), 'here')
      server.read = server.lines.length
      c.ws.close(code, reason)
      assert.equal((await c.gone()).code, code)
      await server.line(`close ${code}`, l => l.event === 'closed' && l.code === code && l.reason === reason, { from: server.read, ms: 5000 })
    }
  })

  test('a backend’s reason in the door’s own form is sent on empty', async () => {
    const c = await open()
    c.ws.send('cmd:close 4001 Unauthorized;auth.revoked')
    assert.deepEqual(await c.gone(), { code: 4001, reason: '' })
  })

  test('200 connections at once, each hears its own echo', async () => {
    const { identity, door } = place()
    const all = []
    for (let i = 0; i < 200; i += 40) all.push(...await Promise.all(Array.from({ length: 40 }, (_, n) => open({ ...identity(i + n), protocols: ['chat.v2'] }))))
    assert.ok(await door.conns() >= 200)
    await Promise.all(all.map(async (c, i) => {
      for (let n = 0; n < 3; n++) {
        const text = secret(`payload ${i} ${n} ${randomBytes(9).toString('hex')}`)
        assert.equal(await c.echo(text), text)
      }
      c.ws.close(1000)
      await c.gone()
    }))
    const admitted = door.logged(l => l.msg === 'admitted' && /^user-/.test(l.user))
    assert.equal(new Set(admitted.map(l => l.user)).size, 200)
  })
}
