package wss

import (
	"fmt"
	"go/version"
	"strings"
)

// GoFloor is the oldest Go release whose crypto/tls and net/http have no known
// hole that a peer can reach before it is authenticated.
const GoFloor = "go1.26.6"

// GoVersionWarning returns a sentence if v, usually runtime.Version(), is older
// than [GoFloor] or cannot be judged, and "" otherwise. A program built long ago
// keeps the TLS of its day, whatever is installed on the machine.
func GoVersionWarning(v string) string {
	word := ""
	for _, w := range strings.Fields(v) {
		w, _, _ = strings.Cut(w, "-") // development builds: "devel go1.27-0123abc"
		if version.IsValid(w) {
			word = w
			break
		}
	}
	switch {
	case word == "":
		return fmt.Sprintf("built with %q, which is no release of Go: its known vulnerabilities cannot be judged", v)
	case version.Compare(word, GoFloor) < 0:
		return fmt.Sprintf("built with %s, which has known vulnerabilities in TLS or HTTP: build with %s or newer", word, GoFloor)
	}
	return ""
}
