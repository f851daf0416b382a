// Package seal encrypts the payload of a WebSocket between a client and the
// door, above TLS: SP-Seal/1, spec/seal.md.
//
// It stops whoever ends TLS in between, a CDN, an ingress, a corporate proxy,
// from reading, changing, injecting, reordering, replaying or silently dropping
// messages. The server is known by a pinned Ed25519 key (RFC 8032) that signs
// its sealing keys; the key agreement is HPKE (RFC 9180) in both directions
// with MLKEM768-X25519 (draft-ietf-hpke-pq), so that neither keys stolen later
// nor a quantum computer open a recording; records are AES-256-GCM under
// counters. A credential travels inside, and a proof binds it to the device's
// key and to this one session.
//
// It does not hide sizes beyond padding, times, the path or the address, does
// not protect a page whose script comes through the same intermediary, and does
// not protect a credential without a key that the intermediary saw elsewhere.
//
// By default there is one suite, [Hybrid]; [Classical] is used only by name.
// Nothing here does I/O: a handshake is three messages in and out, a session
// turns bytes into records and back. A record carries at most [MaxData] bytes;
// keys change after 65,536 records or 64 MiB at the latest. Any fault ends a
// session and erases what the package owns; the copies inside crypto/aes,
// crypto/hpke and crypto/hmac are left to the garbage collector.
package seal
