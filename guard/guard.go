// Package guard keeps a connection safe for as long as it lives.
//
// It stops what admission cannot: sockets that outlive their credential, that
// sit idle, that flood, that never read, that hold every place. It sees sizes
// and times, never bytes.
//
// By default a connection ends after 60 s without a message, after 24 h in any
// case, and when its peer is silent for 25 s + 10 s; it may send messages of
// 64 KiB, 50 messages and 256 KiB a second. Nothing is unlimited.
package guard

import (
	"errors"
	"fmt"
	"time"
)

// Rate is an amount per second.
type Rate int64

// Config holds the limits of one gate's connections. The zero value of a field
// is its default; no limit can be switched off.
type Config struct {
	// Idle ends a connection on which no data message was exchanged for this
	// long, with guard.idle. Control frames do not count. Default 60s.
	Idle time.Duration

	// IdleClient makes only the client's messages count against Idle.
	IdleClient bool

	// Ping is the silence after which the peer is asked for a sign of life
	// (RFC 6455, section 5.5.2). Default 25s.
	Ping time.Duration

	// PongWait is how long the peer may take to answer before it counts as lost.
	// Default 10s.
	PongWait time.Duration

	// MaxLife ends every connection, whatever its credential. Default and
	// maximum 24h.
	MaxLife time.Duration

	// MaxMessage is the largest message accepted from the client, in bytes; a
	// bigger one ends the connection with guard.too-big before it is buffered.
	// Default 64 KiB.
	MaxMessage int64

	// MaxMessageDown is the largest message that a backend may send through a
	// relay, in bytes. Such messages are streamed. Default 16 MiB.
	MaxMessageDown int64

	// Messages and Bytes are the rates of the client. Over a rate the door stops
	// reading; a client that keeps on for 5s ends with guard.too-fast. A control
	// frame costs one message. Default 50 and 256 KiB a second. The burst is two
	// seconds' worth, and for bytes at least one MaxMessage.
	Messages, Bytes Rate

	// WriteWait is how long the peer may take to accept 32 KiB of what is sent
	// to it; then it ends with guard.slow. Default 10s.
	WriteWait time.Duration

	// RouteWait is how long a handler or backend may refuse to take messages
	// before the connection ends with route.stuck. Default 60s.
	RouteWait time.Duration
}

// Bounds that are not for tuning.
const (
	maxThrottle    = 5 * time.Second  // of being over the rate
	progressWindow = 10 * time.Second // inside a message …
	progressBytes  = 1 << 10          // … at least so much must arrive
	leaveWait      = 5 * time.Second  // for what is under way when the client says goodbye
	maxMaxLife     = 24 * time.Hour
	maxMaxMessage  = 1 << 30
)

// Fill returns c with its defaults, or all its mistakes at once.
func (c Config) Fill() (Config, error) {
	var errs []error
	duration := func(name string, d *time.Duration, def, least time.Duration) {
		if *d == 0 {
			*d = def
		}
		if *d < least {
			errs = append(errs, fmt.Errorf("guard: %s (%s) must be at least %s", name, *d, least))
		}
	}
	size := func(name string, n *int64, def, least, most int64) {
		if *n == 0 {
			*n = def
		}
		if *n < least || *n > most {
			errs = append(errs, fmt.Errorf("guard: %s (%d) must be between %d and %d", name, *n, least, most))
		}
	}
	duration("Idle", &c.Idle, time.Minute, time.Second)
	duration("Ping", &c.Ping, 25*time.Second, time.Second)
	duration("PongWait", &c.PongWait, 10*time.Second, time.Second)
	duration("MaxLife", &c.MaxLife, maxMaxLife, time.Second)
	duration("WriteWait", &c.WriteWait, 10*time.Second, time.Second)
	duration("RouteWait", &c.RouteWait, time.Minute, time.Second)
	if c.MaxLife > maxMaxLife {
		errs = append(errs, fmt.Errorf("guard: MaxLife (%s) must be at most %s", c.MaxLife, maxMaxLife))
	}
	size("MaxMessage", &c.MaxMessage, 64<<10, 1, maxMaxMessage)
	size("MaxMessageDown", &c.MaxMessageDown, 16<<20, 1, maxMaxMessage)
	size("Messages", (*int64)(&c.Messages), 50, 1, 1_000_000)
	size("Bytes", (*int64)(&c.Bytes), 256<<10, 1, 1<<40)
	return c, errors.Join(errs...)
}
