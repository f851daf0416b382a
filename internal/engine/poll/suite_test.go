//go:build linux

package poll

import (
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/test/enginetest"
)

func TestPoll(t *testing.T) {
	enginetest.Run(t, func() engine.Engine { return new(Engine) })
}
