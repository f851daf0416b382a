// A page without a build: the client comes from the script before this one.
const client = Sallyport.createClient(`wss://${location.host}/chat`)
const show = text => document.getElementById('messages').appendChild(document.createElement('li')).append(text)

client.addEventListener('state', ({ detail }) => {
  document.getElementById('status').textContent = detail.status
})
client.addEventListener('message', ({ detail }) => show(detail))
client.addEventListener('unknown', ({ detail }) => {
  for (const { data } of detail.messages) show(`Sent, and perhaps not received: ${data}`)
})

document.getElementById('form').addEventListener('submit', async event => {
  event.preventDefault()
  const input = document.getElementById('text')
  try {
    await client.send(input.value)
    input.value = ''
  } catch (error) {
    show(`Not sent: ${error.code}`)
  }
})

client.connect().catch(() => {}) // the status tells
