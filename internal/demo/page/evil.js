// What a page of another origin can do with a visitor's browser, and what it
// learns. It has no way to forge Origin or Sec-Fetch-Site.

const door = document.body.dataset.door
const socketURL = `${door.replace('https:', 'wss:')}/chat`
document.getElementById('here').textContent = location.origin

function show(id, outcome, detail, text) {
  const li = document.getElementById(id)
  li.dataset.outcome = outcome
  li.dataset.detail = detail
  li.querySelector('.result').textContent = text
}

/** A socket that is not closed within five seconds was let in. */
function dial(id, protocols) {
  return new Promise((resolve) => {
    const socket = new WebSocket(socketURL, protocols)
    const done = (outcome, detail, text) => {
      clearTimeout(timer)
      show(id, outcome, detail, text)
      socket.close()
      resolve()
    }
    const timer = setTimeout(() => done('PASSED', '', 'It got in. That is a bug: please tell the makers of the door.'), 5000)
    socket.onclose = ({ code, reason }) => {
      const detail = `${code} ${reason}`.trim()
      if (code === 4001) done('refused', detail, `Refused: ${detail}`)
      else if (code === 1006) done('refused', detail, 'Refused: 1006, and no word why. Either the door has refused too often to explain (wait ten seconds), or this browser does not trust its certificate yet: open the door’s own page first.')
      else done('refused', detail, `Closed: ${detail}`)
    }
  })
}

async function read(id, path, init) {
  try {
    const response = await fetch(door + path, { credentials: 'include', ...init })
    const text = await response.text()
    show(id, 'PASSED', text, `It could read the answer: ${text}`)
  } catch (error) {
    show(id, 'refused', String(error.message), 'Blocked: the browser gave this page nothing to read.')
  }
}

async function blind(id, path) {
  try {
    const response = await fetch(door + path, {
      method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'Content-Type': 'text/plain' }, body: '{}',
    })
    show(id, 'refused', response.type, 'Sent, with no answer to read. The door does nothing that a page of another site asks for.')
  } catch (error) {
    show(id, 'refused', String(error.message), 'Nothing to read. The door does nothing that a page of another site asks for.')
  }
}

async function all() {
  const again = document.getElementById('again')
  again.disabled = true
  for (const id of ['socket', 'offer', 'ticket', 'token', 'logout']) show(id, 'waiting', '', '…')
  await dial('socket')
  await dial('offer', [`sallyport.ticket.${'A'.repeat(43)}`, 'sallyport'])
  await read('ticket', '/api/ticket', {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ gate: '/chat' }),
  })
  await read('token', '/api/getToken?gate=/chat')
  await blind('logout', '/api/logout')
  again.disabled = false
}

document.getElementById('again').addEventListener('click', all)
all()
