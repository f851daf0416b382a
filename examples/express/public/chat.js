import { createClient } from '/lib/index.js'

const $ = id => document.getElementById(id)
const show = text => $('messages').appendChild(document.createElement('li')).append(text)
const post = (path, body = {}) => fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
let client

function connect() {
  client?.close()
  // With cookies there is nothing to say. With tickets: where this application gives them.
  const c = (client = createClient(`wss://${location.host}/chat`, $('tickets').checked ? { ticket: '/ticket' } : {}))
  c.addEventListener('state', ({ detail }) => {
    if (c === client) $('status').textContent = detail.code ? `${detail.status}: ${detail.code}` : detail.status
  })
  // With tickets the application says that nobody is signed in any more; with cookies the door does.
  c.addEventListener('close', ({ detail }) => {
    if (!detail.opened && detail.code?.startsWith('auth.')) c.close()
  })
  c.addEventListener('message', ({ detail }) => show(detail))
  c.connect().catch(() => {}) // the status tells
}

$('login').addEventListener('submit', async event => {
  event.preventDefault()
  if ((await post('/login', { user: $('user').value })).ok) connect()
})
$('logout').addEventListener('click', () => post('/logout'))
$('form').addEventListener('submit', async event => {
  event.preventDefault()
  try {
    await client.send($('text').value)
    $('text').value = ''
  } catch (error) {
    show(`Not sent: ${error.code}`)
  }
})
