package app

import (
	"fmt"

	"github.com/sallyport/sallyport/internal/config"
)

// spareFiles is how many descriptors are left for everything that is not a
// connection: listeners, state, logs, forward-auth and key sets.
const spareFiles = 128

// fit lowers limits to what the number of open files allows: a connection takes
// two, its own and that to the backend. It returns a sentence for each that it
// lowered. files of 0 means unknown.
func fit(l config.Limits, files uint64) (config.Limits, []string) {
	if files == 0 {
		return l, nil
	}
	var lowered []string
	lower := func(name string, n *int, most uint64) {
		if most = max(most, 1); uint64(*n) > most {
			lowered = append(lowered, fmt.Sprintf("limits.%s: lowered from %d to %d, since the process may open %d files; raise it (ulimit -n, LimitNOFILE=)", name, *n, most, files))
			*n = int(most)
		}
	}
	left := uint64(0)
	if files > spareFiles {
		left = files - spareFiles
	}
	lower("unauthenticated", &l.Unauthenticated, left/4)
	if n := uint64(l.Unauthenticated); left > n {
		left -= n
	}
	lower("connections", &l.Connections, left/2)
	l.Handshakes = min(l.Handshakes, l.Unauthenticated)
	return l, lowered
}
