package sallyport

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// Route is what lies behind a gate.
type Route interface {
	// Open is called when a handshake was found good and before it is answered.
	// It may dial, may choose h.Protocol among h.Protocols, and may refuse with
	// an error, whose deny.Reason becomes the answer. ctx ends when the
	// connection does, also while it is opening, and after 10 s.
	Open(ctx context.Context, h *Handshake) (Sink, error)
}

// Sink receives a connection's messages. Its methods must not block; Opened and
// Message are called one at a time.
type Sink interface {
	// Opened is called once the 101 is on its way.
	Opened(c *Conn)

	// Message is called with each complete message. m.Data is valid until it
	// returns.
	Message(c *Conn, m Message)

	// Closed is called once for every Sink that Open returned, also when the
	// connection ended before it was opened; c is then nil.
	Closed(c *Conn, reason deny.Reason)
}

// PartSink is a Sink that takes messages in parts, as they arrive, instead of
// waiting for their end.
type PartSink interface {
	Sink

	// Part is called instead of Message. p.Data is valid until it returns.
	Part(c *Conn, p Part)
}

// Leaver is a Sink that ends the connection itself after the client said
// goodbye, because answers are still under way. Leaving must not block; 5 s later
// the connection ends in any case.
type Leaver interface {
	Leaving(c *Conn, code uint16, reason string)
}

// Taker is a Sink that hands messages on after Message returned. Taken says how
// many it has, from the first on, and may be called from any goroutine. A client
// that speaks sallyport.v1 is told, and takes only the others for lost when the
// connection ends.
type Taker interface{ Taken() int64 }

// Drainer is a Sink that is told when [Conn.Congested] has become false again.
// Drained must not block and may come from any goroutine.
type Drainer interface{ Drained(c *Conn) }

// Kind is the type of a message.
type Kind uint8

const (
	Text   Kind = Kind(ws.Text)   // valid UTF-8
	Binary Kind = Kind(ws.Binary) // any bytes
)

func (k Kind) String() string {
	if k == Text {
		return "text"
	}
	return "binary"
}

// Message is one WebSocket message.
type Message struct {
	Kind Kind
	Data []byte
}

// Part is a part of a message. A message of one part is First and Last.
type Part struct {
	Message
	First, Last bool
}

// Handshake is what a Route learns of a connection before it is opened.
type Handshake struct {
	// Request is the client's, without the ticket and without subprotocols that
	// begin with "sallyport". Its other headers are as the client sent them: a
	// route that forwards them removes what must not pass.
	Request *http.Request

	ID        string        // the connection's
	Gate      string        // the gate's path
	Identity  auth.Identity // who was admitted
	Origin    string        // the page's origin; "none" for a program
	Address   netip.Addr    // the client's
	Protocols []string      // subprotocols offered, without ours

	// Protocol is the subprotocol to select; Open may set it to one of Protocols.
	Protocol string

	// Conn is the connection, still opening: nothing can be sent on it yet.
	Conn *Conn
}

type identityKey struct{}

// IdentityFrom returns the identity for which the door let an ordinary request
// through a gate with http: guarded.
func IdentityFrom(ctx context.Context) (auth.Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(auth.Identity)
	return id, ok
}
