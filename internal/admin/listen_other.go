//go:build !unix

package admin

import (
	"net"
	"os"
)

// listenPrivate opens a socket that only this account can connect to.
func listenPrivate(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
