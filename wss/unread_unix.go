//go:build unix

package wss

import "syscall"

// unread reports whether the kernel holds bytes of s that nobody has read. It
// does not wait.
func (s *socket) unread() bool {
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	var b [1]byte
	n := 0
	err = raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && n > 0
}
