// An echo server made of the npm package ws, as its documentation shows it: one
// of the unchanged backends behind the door. It prints one JSON object a line.
// Two texts are orders: "cmd:close CODE REASON" and "cmd:ping DATA", answered by
// "pong DATA" once the pong has come.
import { WebSocketServer } from 'ws'

const tell = what => process.stdout.write(JSON.stringify(what) + '\n')
const wanted = ['chat.v2', 'chat.v1']

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  handleProtocols: offered => wanted.find(p => offered.has(p)) ?? false,
})
server.on('listening', () => tell({ event: 'listening', port: server.address().port }))
server.on('connection', (ws, request) => {
  tell({ event: 'open', path: request.url, protocol: ws.protocol })
  ws.on('error', () => {})
  ws.on('pong', data => ws.send(`pong ${data}`))
  ws.on('close', (code, reason) => tell({ event: 'closed', code, reason: String(reason) }))
  ws.on('message', (data, binary) => {
    const [, order, rest] = (!binary && data.length < 200 && /^cmd:(close|ping) (.*)$/.exec(data)) || []
    if (order === 'ping') ws.ping(rest)
    else if (order === 'close') ws.close(Number(rest.split(' ')[0]), rest.split(' ')[1])
    else ws.send(data, { binary })
  })
})
