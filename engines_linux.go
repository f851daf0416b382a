package sallyport

import (
	"net"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/engine/poll"
)

type polled = poll.Engine

// Attach polls the socket, unless it has no descriptor, or there is none left.
func (e *auto) Attach(socket net.Conn, m engine.Machine) engine.Handle {
	if h, err := e.polled.Take(socket, m); err == nil {
		return h
	}
	return e.portable.Attach(socket, m)
}

func (e *engines) stats() EngineStats {
	if e.portableOnly {
		return EngineStats{Engine: EnginePortable}
	}
	return EngineStats{Lends: poll.Lends(), Late: e.polled.Lates()}
}
