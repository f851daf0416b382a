package sallyport

import (
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// EventKind is what happened.
type EventKind uint8

const (
	Refused  EventKind = iota + 1 // a handshake, a request to an endpoint, or a renewal over the connection
	Admitted                      // a connection was opened
	Ended                         // a connection that was open has ended
	Issued                        // a ticket or token was issued
	Renewed                       // a connection's end was moved
)

func (k EventKind) String() string {
	return [...]string{"", "refused", "admitted", "ended", "issued", "renewed"}[k]
}

// Event is a line for the access log and a tick for the metrics. It holds no
// credential, no query string and no payload. Origin and Path may be anything
// that a client sent.
type Event struct {
	Kind     EventKind
	Conn     string // id of the connection; empty if there was none
	Gate     string // the gate's path; empty if no gate was found
	Path     string // as requested, without the query
	Origin   string // as checked, or as sent if it was refused
	Address  netip.Addr
	Identity auth.Identity
	Reason   deny.Reason   // why refused or ended
	Status   int           // HTTP status sent; 101 for a refusal by close code, 0 for one over the connection
	Cause    error         // private; may be nil
	Lasted   time.Duration // of the handshake, or the connection
	Received int64         // bytes on the wire below TLS
	Sent     int64
	Messages int64  // data messages received from the client
	Replies  int64  // data messages sent to it
	Sealed   bool   // whether the connection is, or wanted to be, sealed above TLS
	By       string // who ended it: "client", "door", "route"
}
