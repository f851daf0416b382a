// A program with a bearer token: sends what you type, prints what comes.
//
//   node chat.mjs wss://localhost:8443/chat TOKENFILE
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { createClient } from 'sallyport'

const [url, file] = process.argv.slice(2)

const client = createClient(url, {
  // Asked for every connection and before the token of an open one ends, so that a new one in the file is found.
  token: async () => (await readFile(file, 'utf8')).trim(),
  // Node 22 and newer have one of their own.
  WebSocket: globalThis.WebSocket ?? (await import('ws')).default,
})
client.addEventListener('state', ({ detail }) => console.error(`[${detail.status}]`))
client.addEventListener('message', ({ detail }) => console.log(detail))
client.addEventListener('unknown', ({ detail }) => {
  for (const { data } of detail.messages) console.error(`sent, and perhaps not received: ${data}`)
})

try {
  await client.connect()
  for await (const line of createInterface({ input: process.stdin })) await client.send(line)
  await client.close() // when everything has arrived
} catch (error) {
  console.error(`${error.code}: ${error.message}`)
  process.exitCode = 1
}
