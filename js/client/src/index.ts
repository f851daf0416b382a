/// <reference lib="esnext.disposable" preserve="true" />
// The client that stays connected. The drop-in is in ./socket.
export { type Client, type ClientOptions, createClient } from './client.js'
export { type Problem, SallyportError } from './error.js'
export type { Abortable, ClientEvents, Listener, Unsure } from './events.js'
export type { Ending, LocalCode, Status } from './machine-state.js'
export type { QueueOptions, SendOptions } from './queue.js'
export type { Behaviour, Code, Reason } from './reasons.js'
export type { WebSocketLike } from './shell.js'
export type { Credentials, Ticket, TicketRequest, TicketSource, TokenSource, Why } from './ticket.js'
export type { Data, Hello } from './wire.js'
