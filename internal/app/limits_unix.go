//go:build unix

package app

import "syscall"

// openFiles is how many descriptors the process may have, 0 if unknown. The Go
// runtime has raised the soft limit to the hard one.
func openFiles() uint64 {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	return uint64(r.Cur)
}
