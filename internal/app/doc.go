// Package app turns a configuration file into a running server.
//
// It wires the rooms and adds what a program needs around them: listeners, the
// order of starting and stopping, reload, health, logs, the access log. It
// decides nothing about who may connect.
//
// It stops the failures of operation by which a guarded server stands open or
// lies: a start with half a policy (everything is checked before the first
// connection is accepted, and every mistake is reported at once), a reload that
// applies half (all or nothing), revocations lost in a restart (state that cannot
// be read is no start), logs that a client can write into or that carry secrets
// (control and bidirectional characters are escaped, lengths capped, refusals
// limited to 20 lines per reason in 10 s; tokens, cookies, tickets, query
// strings and payload are never written; OWASP ASVS 5.0, 16.2.5 and 16.4.1).
//
// The order of starting is state, keys, rooms, door, listeners, ready. Addresses
// are bound early, so that a busy port is reported with the other mistakes, and
// served last.
package app
