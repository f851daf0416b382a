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
// anew, messages down are streamed. No extension is negotiated, no redirect is
// followed, a connection to a backend is never used twice.
//
// By default a backend has 5 s to accept a connection and 10 s to answer the
// handshake, with at most 16 KiB; a message from it has at most 16 MiB; and it
// counts as lost when it is silent for 25 s and does not answer a ping within 10 s.
//
// It does not stop an admitted user from sending what the backend does not
// expect: contents are the backend's business.
package proxy
