// What the file for <script> defines as Sallyport.
export * from './index.js'
export * from './socket.js'
