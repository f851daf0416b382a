import { StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { useSallyport } from './useSallyport.js'

function Chat() {
  const [lines, setLines] = useState([])
  const [text, setText] = useState('')
  const show = line => setLines(list => [...list.slice(-99), { id: crypto.randomUUID(), line }])
  const { state, send } = useSallyport(`wss://${location.host}/chat`, {
    onMessage: show,
    onUnknown: messages => messages.forEach(m => show(`Sent, and perhaps not received: ${m.data}`)),
  })

  async function submit(event) {
    event.preventDefault()
    try {
      await send(text)
      setText('')
    } catch (error) {
      show(`Not sent: ${error.code}`)
    }
  }

  return (
    <>
      <h1>Chat</h1>
      <p role="status" id="status">{state.status}</p>
      <ul id="messages" aria-live="polite">{lines.map(({ id, line }) => <li key={id}>{line}</li>)}</ul>
      <form onSubmit={submit}>
        <label>Message <input id="text" required autoComplete="off" value={text} onChange={e => setText(e.target.value)} /></label>
        <button>Send</button>
      </form>
    </>
  )
}

createRoot(document.getElementById('root')).render(<StrictMode><Chat /></StrictMode>)
