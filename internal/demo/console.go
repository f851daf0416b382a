package demo

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/sallyport/sallyport/internal/config"
)

// announce says what to open, and why the browser will warn.
func (d *demo) announce(out io.Writer) {
	var b strings.Builder
	if d.port != d.asked {
		fmt.Fprintf(&b, "Port %d is taken; using %d.\n", d.asked, d.port)
	}
	fmt.Fprintf(&b, `
  Sallyport demo

  Open        %s
  Evil page   %s   (tries to get in, and fails)
  Proxy       %s   (ends TLS, and reads along)

  Your browser will warn about the certificate the first time. It is signed by
  an authority that was made on this machine, for this machine, and that nobody
  trusts yet: %s
  Accept the warning for localhost, or see how to trust that authority, and how
  to undo it, by running
      %s
  It can vouch for localhost, *.localhost, *.test and loopback addresses alone.

  Everything listens on this machine only. Press Ctrl-C to stop.

`, d.origin, d.evil, d.middle, d.ca.Path(), config.DevCACommand(filepath.Dir(d.ca.Path()), d.home))
	io.WriteString(out, b.String()) // a terminal that went away is nobody to tell
}

// openBrowser asks the desktop to show url, and leaves it at that: the command
// outlives the demo where it is the browser itself.
func openBrowser(url string) {
	name, args := "xdg-open", []string{url}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", url}
	}
	cmd := exec.Command(name, args...)
	if cmd.Start() == nil {
		cmd.Process.Release() // only so that nobody waits for it
	}
}
