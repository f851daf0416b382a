package cli

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/internal/app"
)

// busy returns a line for every address in err that another process has: the
// setting it belongs to, and what it could be instead.
func busy(err error) string {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, e := range many.Unwrap() {
			if line := busy(e); line != "" {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "\n")
	}
	bind, ok := err.(*app.BindError)
	if !ok {
		if err = errors.Unwrap(err); err == nil {
			return ""
		}
		return busy(err)
	}
	if !errors.Is(bind.Err, syscall.EADDRINUSE) {
		return ""
	}
	const hint = "another process listens there; choose another by "
	switch bind.Setting {
	case "listen":
		return hint + "--listen " + beside(bind.Address)
	case "health":
		return hint + "--set health=" + beside(bind.Address) + ", or --set health=off"
	}
	return hint + "--set admin.listen=" + beside(bind.Address) + ", or --set admin.listen=unix"
}

// beside is address with the port next to its own.
func beside(address string) string {
	host, port, err := net.SplitHostPort(address)
	n, convErr := strconv.Atoi(port)
	if err != nil || convErr != nil {
		return "host:port"
	}
	if n++; n > 65535 {
		n -= 2
	}
	return net.JoinHostPort(host, strconv.Itoa(n))
}
