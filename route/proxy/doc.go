// Package proxy is the guarded relay to a backend that already exists.
//
// It stops what a blind tunnel lets through: a client that keeps talking to a
// backend which never upgraded (CVE-2018-1002105 and its kin), a second request
// hidden behind the handshake, frames that break RFC 6455, identity and
// forwarding headers that a client made up, and sockets that the backend keeps
// after the door has ended the connection.
//
// The backend's 101 is checked (RFC 6455, section 4.1) before the client sees
// one; until then no byte of the client passes. Of that 101 only the subprotocol
// goes on: its Set-Cookie and all its other headers are dropped, since the
// client's 101 is the door's own. Both directions are parsed, limited and framed
// anew, with masks of our own; messages down are streamed. No extension is negotiated, no redirect is
// followed, a connection to a backend is never used twice.
//
// DangerouslyPassMasked gives up three things for less work: the fresh mask of every
// frame, without which a client that chooses its own mask writes bytes of its choice
// through whatever stands between the door and the backend, such as a cache that takes
// them for a request and remembers the answer (RFC 6455, section 10.3); the check that
// text is UTF-8; and that a message is whole before the backend sees any of it, so that
// of one that breaks a rule or a limit the backend gets the beginning and then a close
// frame. Frames must be masked, and headers, sizes, fragments, rates, progress, control
// frames and endings are judged as ever; what the backend sends is checked in full. It
// is for a backend that checks text itself, with nothing in between that speaks HTTP.
// What it saves is in docs/PERFORMANCE.md.
//
// By default a backend has 5 s to accept a connection and 10 s to answer the
// handshake, with at most 16 KiB; a message from it has at most 16 MiB; and it
// counts as lost when it is silent for 25 s and does not answer a ping within 10 s.
//
// It does not stop an admitted user from sending what the backend does not
// expect: contents are the backend's business.
package proxy
