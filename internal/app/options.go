package app

import (
	"iter"
	"net"
	"net/http"
	"os"
	"time"

	"io"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
)

// Options are a configuration and what a program adds to it.
type Options struct {
	// File is the configuration; required. Origins says where its values come
	// from, for GET /config.
	File    *config.File
	Origins config.Origins

	// Load reads the configuration again, for a reload. nil: a reload reads keys
	// and certificates anew and keeps the configuration.
	Load func() (*config.File, config.Origins, error)

	// Log is where lines go, in the format and from the level that File says.
	// nil: nowhere.
	Log io.Writer

	// Version is logged at start; it is never told to a client.
	Version string

	// Meter counts for /metrics. nil: there is no /metrics.
	Meter Meter

	// Sessions keeps sessions and signs tokens also when no gate asks for them,
	// and accepts those tokens at every gate with auth.session. Default false.
	Sessions bool

	// App makes the handler behind the door, in place of File.App. It is called
	// once, before the door exists: [Server.Door] answers when requests come. nil:
	// File.App.
	App func(*Server) http.Handler

	// Observe is told of every event, after log and meter. It must not block.
	Observe func(sallyport.Event)

	// Listener is the public one, already bound; File.Listen is then not used.
	Listener net.Listener

	// Signals are acted upon by [Run]: SIGHUP reloads, any other one drains, and
	// the second of those stops at once. nil: those of the process.
	Signals <-chan os.Signal

	// Ready is called by Run once everything serves. nil: nobody is told.
	Ready func(*Server)
}

// Meter counts what happens; internal/app/metrics has the one of the program.
// Its methods must not block.
type Meter interface {
	Observe(sallyport.Event)

	// Refused counts a connection that was refused before a request was read;
	// status is the HTTP status, 0 for a failed TLS handshake.
	Refused(status int)

	// Ticket counts a ticket issued or redeemed.
	Ticket(issued, ok bool)

	// Bind says where the present state can be read. It is called once.
	Bind(func() Snapshot)

	// Handler answers GET /metrics.
	Handler() http.Handler
}

// Snapshot is the state that a Meter reads.
type Snapshot struct {
	Conns      iter.Seq[*sallyport.Conn]
	Draining   bool
	NotAfter   map[string]time.Time // end of the certificate, by name
	SealEnds   map[string]time.Time // when sealing stops without new keys, by authority
	Reloaded   time.Time            // the last successful load of the configuration
	ReloadOK   bool                 // whether the last attempt succeeded
	Warnings   int                  // settings that weaken the door
	Unverified int                  // gates whose backend's certificate is not checked
	Suppressed uint64               // lines of the access log left out
	Keys       []Keys
	Verdicts   []Verdicts
	Engine     Engine
}

// Verdicts is what the gates of one issuer's tokens remember.
type Verdicts struct {
	Gates        []string // that share it
	Hits, Misses uint64   // tokens that were known, and that were examined
}

// Keys is the state of one key set.
type Keys struct {
	Gates       []string // that use it
	LastSuccess time.Time
	Failures    uint64
}
