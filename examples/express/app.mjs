// An Express application with sessions and a WebSocket, which a door guards. Two
// ways to let its users in are shown; you need one of them:
//
//   forward-auth   the door asks GET /me who sent these cookies, at the handshake and every 30 s
//   tickets        the application asks the door for a ticket for its user, on the administrator's API
//
//   node app.mjs       PORT, default 3000; ADMIN, the door's admin.sock; ORIGIN, where pages are
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import express from 'express'
import session from 'express-session'
import { WebSocketServer } from 'ws'
import { endSession, mintTicket } from './door.mjs'

const origin = process.env.ORIGIN ?? 'https://localhost:8443'
const app = express()
app.set('trust proxy', 'loopback') // the door, which says that it was https
app.disable('x-powered-by')
app.use(session({
  name: '__Host-app',
  secret: process.env.SESSION_SECRET ?? randomBytes(32).toString('hex'),
  resave: false,
  saveUninitialized: false,
  cookie: { secure: true, httpOnly: true, sameSite: 'strict', path: '/' },
}))
app.use(express.json({ limit: '4kb' }))

/** Only pages of this application may change something, or ask for a ticket. */
const ours = (request, response, next) => (request.get('origin') === origin ? next() : response.sendStatus(403))
const signedIn = (request, response, next) => (request.session.user ? next() : response.sendStatus(401))

// A name is enough to sign in: this is about what comes after.
app.post('/login', ours, (request, response, next) => {
  const { user } = request.body ?? {}
  if (typeof user !== 'string' || !/^\w{1,20}$/.test(user)) return response.sendStatus(400)
  request.session.regenerate(error => {
    if (error) return next(error)
    // The door's name for the session: the real one is a secret.
    Object.assign(request.session, { user, name: randomBytes(16).toString('hex') })
    response.sendStatus(204)
  })
})

// Signing out ends the session, and its sockets within a second, however they came in.
app.post('/logout', ours, signedIn, (request, response, next) => {
  const { name } = request.session
  request.session.destroy(async error => {
    try {
      if (error) throw error
      await endSession(name)
      response.clearCookie('__Host-app', { secure: true, path: '/' }).sendStatus(204)
    } catch (error) {
      next(error)
    }
  })
})

// Forward-auth: the door asks with the cookies of the handshake.
app.get('/me', signedIn, (request, response) => {
  response.json({ sub: request.session.user, session: request.session.name })
})

// Tickets: good once, for ten seconds, for this gate and this origin.
app.post('/ticket', ours, signedIn, async (request, response) => {
  const { user, name } = request.session
  response.set('cache-control', 'no-store').json(await mintTicket({ gate: '/chat', subject: user, session: name, origin }))
})

const here = dirname(fileURLToPath(import.meta.url))
app.use('/lib', express.static(join(dirname(fileURLToPath(import.meta.resolve('sallyport/package.json'))), 'dist')))
app.use(express.static(join(here, 'public')))

// The WebSocket as it was before, but that it need not ask who is there.
const server = http.createServer(app)
const sockets = new WebSocketServer({ server, path: '/chat' })
sockets.on('connection', (socket, request) => {
  const who = request.headers['x-forwarded-user'] // the door sets it, and lets nobody else do so
  socket.on('error', () => {})
  socket.on('message', data => {
    for (const other of sockets.clients) other.send(`${who}: ${data}`)
  })
})

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`)
})
