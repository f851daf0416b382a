package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// SocketName is the socket in the state directory.
const SocketName = "admin.sock"

// Socket returns the path of the unix socket that "unix" or "unix:/path" means,
// given the state directory; "" if listen is an address.
func Socket(listen, state string) string {
	if listen == "unix" {
		return filepath.Join(state, SocketName)
	}
	path, ok := strings.CutPrefix(listen, "unix:")
	if !ok {
		return ""
	}
	return path
}

// Listen opens "unix", "unix:/path" or "host:port". A socket has mode 0600 from
// its first moment on. One that a dead process left behind is replaced, one that
// somebody answers on is not.
func Listen(listen, state string) (net.Listener, error) {
	path := Socket(listen, state)
	if path == "" {
		return net.Listen("tcp", listen)
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	return listenPrivate(path)
}

// clearStale removes a socket on which nobody listens.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("%s: another process answers there", path)
	}
	return os.Remove(path)
}
