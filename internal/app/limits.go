package app

import (
	"fmt"

	"github.com/sallyport/sallyport/internal/config"
)

// spareFiles is how many descriptors are left for everything that is not a
// connection: listeners, state, logs, forward-auth and key sets.
const spareFiles = 128

// lowered is a limit that the process could not keep.
type lowered struct {
	why       string // a sentence
	byDefault bool   // nobody asked for more: it is the default that was lowered
}

// fit lowers limits to what the number of open files allows: a connection takes
// two, its own and that to the backend. It returns those that it lowered. files
// of 0 means unknown. origins says which were asked for: of no other a person
// needs to be warned.
func fit(l config.Limits, origins config.Origins, files uint64) (config.Limits, []lowered) {
	if files == 0 {
		return l, nil
	}
	var list []lowered
	lower := func(name string, n *int, most uint64) {
		if most = max(most, 1); uint64(*n) > most {
			list = append(list, lowered{
				why:       fmt.Sprintf("limits.%s: lowered from %d to %d, since the process may open %d files; raise it (ulimit -n, LimitNOFILE=)", name, *n, most, files),
				byDefault: origins["limits."+name].Source == "default",
			})
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
	return l, list
}
