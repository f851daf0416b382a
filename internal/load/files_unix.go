//go:build unix

package load

import "syscall"

// spareFiles are left for everything that is not a connection.
const spareFiles = 32

// MostConnections is how many connections the process may open, by its limit of
// open files; 0 if unknown. The Go runtime has raised the soft limit to the hard
// one.
func MostConnections() int {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return int(max(min(uint64(r.Cur), MaxConnections+spareFiles), spareFiles+1) - spareFiles)
}
