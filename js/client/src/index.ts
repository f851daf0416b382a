export * from './error.js'
export type { Behaviour, Code, Reason } from './reasons.js'
export type { Credentials, Ticket, TicketRequest, TicketSource, TokenSource, Why } from './ticket.js'
