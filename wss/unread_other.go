//go:build !unix

package wss

// unread cannot look without waiting here: bytes that were not read yet are left
// to the reader behind the upgrade, which takes them for frames.
func (s *socket) unread() bool { return false }
