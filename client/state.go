package client

import "time"

// Status is what a [Client] is doing.
type Status string

const (
	Idle    Status = "idle"       // not connected, and not wanted: the next Send or Connect changes that
	Opening Status = "connecting" // an attempt is under way
	Open    Status = "open"       // connected
	Waiting Status = "waiting"    // for the next attempt
	Ended   Status = "ended"      // it does not try again by itself; Connect and Reconnect do
	Closed  Status = "closed"     // for good, by Close
)

// State is a Status and why.
type State struct {
	Status Status

	// Wait is the time to the next attempt, while Waiting.
	Wait time.Duration

	// Err is why there is no connection: a [*RefusedError], a [*CloseError],
	// [ErrUnauthenticated], an error of the network. nil while Open, but for one
	// call of OnState when a connection that was replaced had a [Seal] and ended
	// without the server's sealed word: its [*CloseError]. Messages of it may be
	// missing.
	Err error

	until time.Duration // Waiting: the next attempt
}

// same reports whether there is nothing to tell.
func (s State) same(other State) bool { return s.Status == other.Status && s.until == other.until }
