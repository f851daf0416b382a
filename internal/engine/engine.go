// Package engine calls a connection when bytes arrive.
//
// A connection is a state machine that is fed events; it owns no goroutine and,
// while idle, no read buffer. Which engine feeds it, nobody outside can tell.
package engine

import "net"

// Machine is what an engine feeds. The engine runs one event of a machine at a
// time.
type Machine interface {
	// Readable takes bytes that arrived. b is lent until it returns and may be
	// changed in place. n bytes were consumed; if ok is false, the engine keeps
	// the rest and gives nothing more until Resume.
	Readable(b []byte) (n int, ok bool)

	// Gone is the last event: reading ended with err, io.EOF if the peer
	// closed its side.
	Gone(err error)
}

// Handle is an engine's hold on one connection.
type Handle interface {
	// Start begins to read the socket, after the bytes in first.
	Start(first []byte)

	// Resume ends a pause. It may come from any goroutine, also without or
	// before a pause: the machine is then asked once more.
	Resume()
}

// Engine feeds machines.
type Engine interface {
	// Attach prepares to feed m from socket. The machine closes the socket,
	// which ends the feeding.
	Attach(socket net.Conn, m Machine) Handle

	// Wait returns when every machine that was started has had its last event.
	Wait()
}
