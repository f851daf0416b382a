// Package engine calls a connection when bytes arrive.
//
// A connection is a state machine that is fed events; it owns no goroutine and,
// while idle, no read buffer. Which engine feeds it, nobody outside can tell.
package engine

import "net"

// Machine is what an engine feeds. The engine runs one Readable or Gone of a
// machine at a time.
type Machine interface {
	// Readable takes bytes that arrived. b is lent until it returns and may be
	// changed in place. n bytes were consumed: all of them, unless ok is false.
	// Then the engine keeps the rest and gives nothing more until Resume, not
	// even the end of the connection.
	Readable(b []byte) (n int, ok bool)

	// Gone is the last event: reading ended with err, io.EOF if the peer closed
	// its side. Only a Flush or a Late may follow.
	Gone(err error)

	// Flush follows Prompt.Soon. It may run beside the other events and must not
	// block.
	Flush()

	// Late says that what is in progress takes long: nothing should wait for its
	// end. It runs beside it, again every few milliseconds until that ends, and
	// only where the handle is a Prompt.
	Late()
}

// Poisoned is what Poison writes.
const Poisoned = 0xdb

// Handle is an engine's hold on one connection.
type Handle interface {
	// Socket is what to write to, whose deadlines to set and what to close from
	// now on.
	Socket() net.Conn

	// Start begins to read the socket, after the bytes in first.
	Start(first []byte)

	// Resume ends a pause. It may come from any goroutine, also without or
	// before a pause: the machine is then asked once more.
	Resume()
}

// Prompt is a Handle whose socket takes all that it is given, without waiting for
// the peer.
type Prompt interface {
	Handle

	// Write hands b to the Socket. Write no more while it is Full.
	Write(b []byte) (int, error)

	// Full reports that the kernel has not taken all that was written.
	Full() bool

	// Sent waits until it has. It returns the error that ended the socket, or
	// os.ErrDeadlineExceeded after the socket's write deadline.
	Sent() error

	// Soon has Flush called by another goroutine, once for any number of calls
	// before it.
	Soon()
}

// Engine feeds machines.
type Engine interface {
	// Attach prepares to feed m from socket. The machine closes the Socket of the
	// handle, which ends the feeding; in a pause it calls Resume too.
	Attach(socket net.Conn, m Machine) Handle

	// Wait returns when every machine that was started has had its last event.
	Wait()
}

// Replaceable is a socket below TLS whose transport an engine may replace by one
// of its own.
type Replaceable interface {
	net.Conn

	// Replace calls f with the transport, and has what it returns take its place,
	// unless the socket was closed or f fails.
	Replace(f func(transport net.Conn) (net.Conn, error)) error
}
