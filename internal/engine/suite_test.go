package engine_test

import (
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/test/enginetest"
)

func TestPortable(t *testing.T) {
	enginetest.Run(t, func() engine.Engine { return new(engine.Portable) })
}
