// A Socket.IO server with nothing but its defaults: polling first, then an
// upgrade on the same path.
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer()
const io = new Server(http)
const tell = what => process.stdout.write(JSON.stringify(what) + '\n')
http.prependListener('request', r => tell({ event: 'request', method: r.method, path: r.url.split('?')[0] }))
io.on('connection', socket => {
  tell({ event: 'open', transport: socket.conn.transport.name })
  socket.conn.on('upgrade', transport => tell({ event: 'upgrade', transport: transport.name }))
  socket.on('echo', (data, answer) => answer(data))
  socket.on('disconnect', reason => tell({ event: 'closed', reason }))
})
http.listen(0, '127.0.0.1', () => tell({ event: 'listening', port: http.address().port }))
