//go:build unix

package admin

import (
	"net"
	"os"
	"syscall"
)

// listenPrivate opens a socket that only this account can connect to. The mask
// closes the moment between bind and chmod.
func listenPrivate(path string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
