// What the file for <script> defines as Sallyport.
export { createClient, SallyportError } from './index.js'
export { secureWebSocket } from './socket.js'
