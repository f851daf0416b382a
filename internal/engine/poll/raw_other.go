//go:build linux && !(amd64 || arm64 || riscv64 || loong64 || ppc64le)

package poll

import (
	"syscall"
	"time"
)

// On these systems package syscall lacks numbers, or nobody has tried them. The
// sockets do not wait either.

func receive(fd int32, b []byte) (int, error) { return move(syscall.Read, fd, b) }

func send(fd int32, b []byte) (int, error) { return move(syscall.Write, fd, b) }

// move is either.
func move(call func(int, []byte) (int, error), fd int32, b []byte) (int, error) {
	for {
		n, err := call(int(fd), b)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

func sendBoth(fd int32, a, b []byte) (int, error) { return send(fd, append(a[:len(a):len(a)], b...)) }

func waitFor(int, []syscall.EpollEvent, time.Duration) (int, error) { return 0, syscall.ENOSYS }
