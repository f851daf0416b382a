package engine

import (
	"sync"
	"testing"
)

// TestTallyGrowsWhileSomebodyWaits: a sync.WaitGroup panics when it does.
func TestTallyGrowsWhileSomebodyWaits(t *testing.T) {
	var tally Tally
	tally.Wait() // for nothing
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 {
				tally.Go(func() {})
			}
		})
		all.Go(func() {
			for range 2000 {
				tally.Wait()
			}
		})
	}
	all.Wait()
	tally.Wait()
	if tally.n != 0 || tally.none != nil {
		t.Errorf("%d are left", tally.n)
	}
}
