// Code generated from spec/reasons.json by deny/gen; DO NOT EDIT.

package deny

const (
	GuardIdle          Reason = iota + 1 // guard.idle: 4000, HTTP 408. No message was exchanged for the idle time, so the connection was closed.
	OriginUntrusted                      // origin.untrusted: 4001, HTTP 403. This web origin is not trusted here.
	AuthMissing                          // auth.missing: 4001, HTTP 401. A credential is required and none was presented.
	AuthInvalid                          // auth.invalid: 4001, HTTP 401. The credential is not valid here.
	AuthExpired                          // auth.expired: 4001, HTTP 401. The credential has expired.
	AuthTicketUsed                       // auth.ticket-used: 4001, HTTP 401. The ticket was already used, has expired or is unknown.
	AuthSignedOut                        // auth.signed-out: 4001, HTTP 401. The session has ended.
	AuthRevoked                          // auth.revoked: 4001, HTTP 401. The credential was revoked.
	AuthInURL                            // auth.in-url: 4001, HTTP 400. A ticket or token must not travel in the URL; send the ticket as a subprotocol.
	AuthUnavailable                      // auth.unavailable: 4207, HTTP 503. The credential could not be checked at this moment.
	PolicyChanged                        // policy.changed: 4001, HTTP 403. The rules that admitted this connection have changed.
	Drain                                // drain: 4200, HTTP 503. The server is restarting; connect again.
	GuardSlow                            // guard.slow: 4201, HTTP 503. Messages were not read fast enough.
	GuardTooFast                         // guard.too-fast: 4202, HTTP 429. Messages arrived faster than allowed.
	GuardFull                            // guard.full: 4203, HTTP 503. There is no place for another connection at this moment.
	GuardCrowded                         // guard.crowded: 4204, HTTP 429. Too many connections from the same place.
	GuardStalled                         // guard.stalled: 4205, HTTP 408. A message was begun and did not progress.
	GuardMaxLife                         // guard.max-life: 4206, HTTP 503. The connection reached its longest allowed life; connect again.
	AdminClosed                          // admin.closed: 4208, HTTP 503. An operator closed this connection.
	PeerLost                             // peer.lost: 4209, HTTP 408. The peer stopped answering.
	PeerClosed                           // peer.closed: 1000, HTTP 499. The peer closed the connection.
	RouteDone                            // route.done: 1000, HTTP 503. The conversation is over.
	RouteStuck                           // route.stuck: 1011, HTTP 503. What answers this connection stopped taking messages.
	BackendLost                          // backend.lost: 4220, HTTP 502. The backend ended the connection without saying why.
	BackendClosed                        // backend.closed: 1000, HTTP 502. The backend closed the connection.
	BackendUnreachable                   // backend.unreachable: 4221, HTTP 502. The backend could not be reached.
	BackendTimeout                       // backend.timeout: 4222, HTTP 504. The backend did not answer in time.
	BackendRefused                       // backend.refused: 4223, HTTP 502. The backend did not accept the connection.
	BackendProtocol                      // backend.protocol: 4224, HTTP 502. The backend broke the WebSocket protocol.
	BackendTooBig                        // backend.too-big: 4225, HTTP 502. The backend sent a message larger than allowed.
	WSProtocol                           // ws.protocol: 1002, HTTP 400. The peer broke the WebSocket protocol.
	WSUnsupported                        // ws.unsupported: 1003, HTTP 415. This kind of message is not accepted here.
	WSUTF8                               // ws.utf8: 1007, HTTP 400. A text message was not valid UTF-8.
	SealRequired                         // seal.required: 4001, HTTP 403. Only sealed connections are taken here.
	SealKeys                             // seal.keys: 4230, HTTP 409. The sealing key that was named is not in use; fetch the key document again.
	SealUnbound                          // seal.unbound: 4001, HTTP 401. The credential is not bound to the key that was proven, or to none where one is required.
	SealHandshake                        // seal.handshake: 4231, HTTP 400. A message of the seal's handshake is not what the peer sent, or was meant for another place.
	SealBroken                           // seal.broken: 4232, HTTP 400. A record is not the one that the peer sent next.
	SealLimit                            // seal.limit: 4233, HTTP 429. A limit of the seal was passed; connect again.
	SealTruncated                        // seal.truncated: 4234, HTTP 408. The connection ended without a sealed end.
	SealMalformed                        // seal.malformed: 1002, HTTP 400. The peer sealed something that the protocol forbids.
	ControlMalformed                     // control.malformed: 1002, HTTP 400. A message did not begin with the byte that sallyport.v1 wants, or a control message was malformed.
	GuardTooBig                          // guard.too-big: 1009, HTTP 413. The message is larger than allowed.
	Internal                             // internal: 1011, HTTP 500. Something failed on this side.
	HTTPMalformed                        // http.malformed: 1002, HTTP 400. The request is malformed.
	HTTPPath                             // http.path: 1002, HTTP 400. The path is ambiguous.
	HTTPHost                             // http.host: 1002, HTTP 421. This host name is not served here.
	HTTPBody                             // http.body: 1002, HTTP 400. A handshake must not carry a body.
	HTTPTicketAlone                      // http.ticket-alone: 1002, HTTP 400. A ticket must be offered together with a second subprotocol.
	HTTPNotFound                         // http.not-found: 1002, HTTP 404. There is nothing at this path.
	HTTPMethod                           // http.method: 1002, HTTP 405. This method is not allowed here.
	HTTPTimeout                          // http.timeout: 1002, HTTP 408. The request was not completed in time.
	HTTPTooLarge                         // http.too-large: 1009, HTTP 413. The request body is larger than allowed.
	HTTPMediaType                        // http.media-type: 1003, HTTP 415. The request body must be JSON.
	HTTPVersion                          // http.version: 1002, HTTP 426. Only WebSocket version 13 is spoken here.
	HTTPUpgrade                          // http.upgrade: 1002, HTTP 426. This path answers WebSocket handshakes only.
	HTTPHead                             // http.head: 1009, HTTP 431. The request head is larger than allowed.
	HTTPCrossSite                        // http.cross-site: 1008, HTTP 403. This request came from a page that may not make it.
	HTTPPlaintext                        // http.plaintext: 1002, HTTP 426. Only TLS is spoken here.
	RenewMismatch                        // renew.mismatch: 4001, HTTP 409. The new credential does not fit the connection.
)

var table = [...]row{
	{},
	{"guard.idle", "Idle timeout", 4000, 1001, 408, "next-use", "No message was exchanged for the idle time, so the connection was closed."},
	{"origin.untrusted", "Unauthorized", 4001, 1001, 403, "never", "This web origin is not trusted here."},
	{"auth.missing", "Unauthorized", 4001, 1001, 401, "reauth", "A credential is required and none was presented."},
	{"auth.invalid", "Unauthorized", 4001, 1001, 401, "reauth", "The credential is not valid here."},
	{"auth.expired", "Unauthorized", 4001, 1001, 401, "reauth", "The credential has expired."},
	{"auth.ticket-used", "Unauthorized", 4001, 1001, 401, "reauth", "The ticket was already used, has expired or is unknown."},
	{"auth.signed-out", "Unauthorized", 4001, 1001, 401, "reauth", "The session has ended."},
	{"auth.revoked", "Unauthorized", 4001, 1001, 401, "reauth", "The credential was revoked."},
	{"auth.in-url", "Unauthorized", 4001, 1001, 400, "never", "A ticket or token must not travel in the URL; send the ticket as a subprotocol."},
	{"auth.unavailable", "Try again later", 4207, 1001, 503, "later", "The credential could not be checked at this moment."},
	{"policy.changed", "Unauthorized", 4001, 1001, 403, "reauth", "The rules that admitted this connection have changed."},
	{"drain", "Restarting", 4200, 1001, 503, "later", "The server is restarting; connect again."},
	{"guard.slow", "Too slow", 4201, 1001, 503, "later", "Messages were not read fast enough."},
	{"guard.too-fast", "Too fast", 4202, 1001, 429, "later", "Messages arrived faster than allowed."},
	{"guard.full", "Try again later", 4203, 1001, 503, "later", "There is no place for another connection at this moment."},
	{"guard.crowded", "Try again later", 4204, 1001, 429, "later", "Too many connections from the same place."},
	{"guard.stalled", "Stalled", 4205, 1001, 408, "later", "A message was begun and did not progress."},
	{"guard.max-life", "Lifetime over", 4206, 1001, 503, "reauth", "The connection reached its longest allowed life; connect again."},
	{"admin.closed", "Closed by the operator", 4208, 1001, 503, "later", "An operator closed this connection."},
	{"peer.lost", "Peer lost", 4209, 1001, 408, "later", "The peer stopped answering."},
	{"peer.closed", "Closed", 1000, 1001, 499, "never", "The peer closed the connection."},
	{"route.done", "Done", 1000, 1000, 503, "never", "The conversation is over."},
	{"route.stuck", "Internal error", 1011, 1001, 503, "later", "What answers this connection stopped taking messages."},
	{"backend.lost", "Backend lost", 4220, 1001, 502, "later", "The backend ended the connection without saying why."},
	{"backend.closed", "Closed", 1000, 1000, 502, "never", "The backend closed the connection."},
	{"backend.unreachable", "Backend unreachable", 4221, 1001, 502, "later", "The backend could not be reached."},
	{"backend.timeout", "Backend too slow", 4222, 1001, 504, "later", "The backend did not answer in time."},
	{"backend.refused", "Backend refused", 4223, 1001, 502, "later", "The backend did not accept the connection."},
	{"backend.protocol", "Backend fault", 4224, 1002, 502, "later", "The backend broke the WebSocket protocol."},
	{"backend.too-big", "Backend fault", 4225, 1009, 502, "later", "The backend sent a message larger than allowed."},
	{"ws.protocol", "Protocol error", 1002, 1001, 400, "never", "The peer broke the WebSocket protocol."},
	{"ws.unsupported", "Unsupported data", 1003, 1001, 415, "never", "This kind of message is not accepted here."},
	{"ws.utf8", "Invalid UTF-8", 1007, 1001, 400, "never", "A text message was not valid UTF-8."},
	{"seal.required", "Unauthorized", 4001, 1001, 403, "never", "Only sealed connections are taken here."},
	{"seal.keys", "Sealing keys changed", 4230, 1001, 409, "reauth", "The sealing key that was named is not in use; fetch the key document again."},
	{"seal.unbound", "Unauthorized", 4001, 1001, 401, "reauth", "The credential is not bound to the key that was proven, or to none where one is required."},
	{"seal.handshake", "Seal failed", 4231, 1001, 400, "later", "A message of the seal's handshake is not what the peer sent, or was meant for another place."},
	{"seal.broken", "Seal broken", 4232, 1001, 400, "later", "A record is not the one that the peer sent next."},
	{"seal.limit", "Seal spent", 4233, 1001, 429, "later", "A limit of the seal was passed; connect again."},
	{"seal.truncated", "Cut short", 4234, 1001, 408, "later", "The connection ended without a sealed end."},
	{"seal.malformed", "Protocol error", 1002, 1001, 400, "never", "The peer sealed something that the protocol forbids."},
	{"control.malformed", "Protocol error", 1002, 1001, 400, "never", "A message did not begin with the byte that sallyport.v1 wants, or a control message was malformed."},
	{"guard.too-big", "Too big", 1009, 1001, 413, "never", "The message is larger than allowed."},
	{"internal", "Internal error", 1011, 1001, 500, "later", "Something failed on this side."},
	{"http.malformed", "Bad request", 1002, 1001, 400, "never", "The request is malformed."},
	{"http.path", "Bad request", 1002, 1001, 400, "never", "The path is ambiguous."},
	{"http.host", "Misdirected request", 1002, 1001, 421, "never", "This host name is not served here."},
	{"http.body", "Bad request", 1002, 1001, 400, "never", "A handshake must not carry a body."},
	{"http.ticket-alone", "Bad request", 1002, 1001, 400, "never", "A ticket must be offered together with a second subprotocol."},
	{"http.not-found", "Not found", 1002, 1001, 404, "never", "There is nothing at this path."},
	{"http.method", "Method not allowed", 1002, 1001, 405, "never", "This method is not allowed here."},
	{"http.timeout", "Request timeout", 1002, 1001, 408, "later", "The request was not completed in time."},
	{"http.too-large", "Request too large", 1009, 1001, 413, "never", "The request body is larger than allowed."},
	{"http.media-type", "Unsupported media type", 1003, 1001, 415, "never", "The request body must be JSON."},
	{"http.version", "Upgrade required", 1002, 1001, 426, "never", "Only WebSocket version 13 is spoken here."},
	{"http.upgrade", "Upgrade required", 1002, 1001, 426, "never", "This path answers WebSocket handshakes only."},
	{"http.head", "Request head too large", 1009, 1001, 431, "never", "The request head is larger than allowed."},
	{"http.cross-site", "Forbidden", 1008, 1001, 403, "never", "This request came from a page that may not make it."},
	{"http.plaintext", "Upgrade required", 1002, 1001, 426, "never", "Only TLS is spoken here."},
	{"renew.mismatch", "Conflict", 4001, 1001, 409, "reauth", "The new credential does not fit the connection."},
}
