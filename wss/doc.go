// Package wss is measure 1: connections are encrypted, always.
//
// It stops eavesdropping and changing on the wire, downgrades to plaintext or
// old TLS, and every attack that lives on two readers of one byte stream
// disagreeing: request smuggling, h2c upgrades, bytes that slip through behind a
// handshake. The standards are TLS 1.3 (RFC 8446, with the advice of RFC 9325)
// and HTTP/1.1 (RFC 9112), of which it accepts a narrow part.
//
// By default it speaks TLS 1.3 with a hybrid post-quantum key exchange, knows no
// certificate, and answers plaintext with 426, never with 101 and never with a
// redirect. [Files] are certificates that can be renewed without cutting a
// connection, [DevCA] is an authority for one development machine, and a
// [Listener] hands net/http only complete requests that were read strictly, one
// at a time.
//
// It does not decide who may connect, and it cannot see what a proxy in front of
// it does: behind one, name it in TerminatedBy.
package wss
