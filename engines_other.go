//go:build !linux

package sallyport

import (
	"net"

	"github.com/sallyport/sallyport/internal/engine"
)

// polled is nothing: there is no engine that polls here.
type polled struct{}

func (polled) Wait() {}

func (e *auto) Attach(socket net.Conn, m engine.Machine) engine.Handle {
	return e.portable.Attach(socket, m)
}

func (e *engines) stats() EngineStats { return EngineStats{Engine: EnginePortable} }
