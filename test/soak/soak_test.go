//go:build soak

package soak

import (
	"slices"
	"testing"
	"time"
)

// TestSoak_AT54 is the large run. What may remain: no goroutine, no file, and 4
// MiB of heap, 200 bytes for each connection: a leak of one small object per
// connection is found. Revocations alone are allowed to stay, a tenth of the
// admitted connections leaves one, and the counts of refusals by address.
func TestSoak_AT54(t *testing.T) {
	needLinux(t)
	const n, width = 10_000, 200
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			s := newSite(t, engine)
			s.churn(t, slices.Concat(admitted, refused), 500, width) // warm up
			before := rest()

			s.churn(t, refused, n, width)
			wantSame(t, "10,000 refused connections", before, 4<<20)
			s.churn(t, admitted, n, width)
			wantSame(t, "10,000 refused and 10,000 admitted connections", before, 4<<20)
			t.Logf("%s in all", time.Since(began).Round(time.Second))
		})
	}
}
