package sallyport

import "github.com/sallyport/sallyport/internal/engine"

// Engine says who calls a connection when bytes arrive. What a connection does is
// the same with each; what it costs is not.
type Engine uint8

const (
	// EngineAuto polls on Linux (epoll), for connections that came through a
	// [wss.Listener]: an idle one has no goroutine and no buffer. All others are
	// fed as EnginePortable says.
	EngineAuto Engine = iota

	// EnginePortable has a goroutine for each connection, on every system and in
	// anybody's http.Server.
	EnginePortable
)

// EngineStats is what a log or a metric needs of the engines.
type EngineStats struct {
	Engine Engine // of connections that came through a wss.Listener

	// Lends says that crypto/tls is lent its buffers. It is not where the fields
	// in which it keeps them are not known: a Go release has moved them. Then an
	// idle connection costs 1 KB more, and 13 KB after a message of 16 KiB.
	Lends bool

	// Late counts the events that kept others waiting for more than 20 ms, after
	// which another goroutine went on with those: a Sink that blocks.
	Late int64
}

// engines are those of a door.
type engines struct {
	portableOnly bool
	portable     engine.Portable
	polled       polled
}

// of returns the engine for a connection; polls says that it came through a
// listener of ours.
func (e *engines) of(polls bool) engine.Engine {
	if polls && !e.portableOnly {
		return (*auto)(e)
	}
	return &e.portable
}

func (e *engines) wait() {
	e.polled.Wait()
	e.portable.Wait()
}

// Engines is how the door's connections are fed.
func (d *Door) Engines() EngineStats { return d.engines.stats() }

// auto polls what can be polled.
type auto engines

func (e *auto) Wait() { (*engines)(e).wait() }
