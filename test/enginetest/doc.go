// Package enginetest is what every engine must do, over real sockets.
//
// An engine decides who calls a connection when bytes arrive. What goes wrong
// there goes wrong for everybody: a lost wake-up is a connection that hangs, a
// descriptor used after its end is somebody else's data. The tests reach an
// engine only through the interface of internal/engine, over TCP and unix
// sockets, in clear and under TLS 1.3, whose records they also write themselves:
// crypto/tls never asks for a key update, splits a message or forges a record.
package enginetest

import (
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
)

// New makes the engine to test.
type New func() engine.Engine

// Run runs all tests.
func Run(t *testing.T, make New) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, New)
	}{
		{"arriving", arriving},
		{"records", recordTests},
		{"ends", ends},
		{"pauses", pauses},
		{"full", full},
		{"deadlines", deadlines},
		{"flushes", flushes},
		{"blocked", blocked},
		{"many", many},
		{"links", links},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, make) })
	}
}
