package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Limits of a [Context], in bytes.
const (
	MaxToken  = 256
	MaxTarget = 8192
	MaxOrigin = 512
)

// Context is where a connection goes, as each side knows it. Client and server
// put their own view into the handshake, which fails with FaultHandshake if the
// two differ: an intermediary that sends a client to another gate, query, host,
// origin or application protocol ends there.
type Context struct {
	Token     string // the selected subprotocol: sallyport.v1+seal or sallyport.v1+seal~<app>
	Authority string // host and port of the URL: "app.example.com:443"
	Target    string // path and query of the request line, as sent
	Origin    string // the request's Origin; empty if it has none
}

const tokenBase = "sallyport.v1+seal"

// SealToken returns the subprotocol that offers the seal for an application's
// subprotocol, which may be empty.
func SealToken(app string) string {
	if app == "" {
		return tokenBase
	}
	return tokenBase + "~" + app
}

// IsSealToken says whether a subprotocol is one of the seal.
func IsSealToken(token string) bool {
	return token == tokenBase || strings.HasPrefix(token, tokenBase+"~") && len(token) > len(tokenBase)+1
}

// CheckSelected is a client's look at the 101: the server must have selected the
// first sealed subprotocol that was offered. It fails with FaultUnsealed, which
// is what stripping the seal looks like.
func CheckSelected(offered []string, selected string) error {
	for _, token := range offered {
		if IsSealToken(token) {
			if token == selected {
				return nil
			}
			return fault(FaultUnsealed, fmt.Sprintf("selected %.80q, want %.80q", selected, token))
		}
	}
	return fault(FaultUnsealed, "no sealed subprotocol was offered")
}

func (c Context) check() error {
	switch {
	case !IsSealToken(c.Token) || len(c.Token) > MaxToken || !printable(c.Token):
		return fmt.Errorf("token %.80q is none of the seal", c.Token)
	case len(c.Target) > MaxTarget || !strings.HasPrefix(c.Target, "/") || !printable(c.Target) || strings.Contains(c.Target, "#"):
		return errors.New("the target is no path and query")
	case len(c.Origin) > MaxOrigin || !printable(c.Origin):
		return errors.New("the origin is none")
	}
	return checkAuthority(c.Authority)
}

func printable(s string) bool {
	for _, b := range []byte(s) {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return true
}

// prologue is the hash of everything that both sides must agree on before the
// first message: suite, the whole public key of the server, context.
func (c Context) prologue(s Suite, public []byte) [32]byte {
	b := appendLP(nil, labelPrologue)
	b = binary.BigEndian.AppendUint16(b, uint16(s))
	b = appendLP(b, public)
	b = appendLP(b, c.Token)
	b = appendLP(b, c.Authority)
	b = appendLP(b, c.Target)
	b = appendLP(b, c.Origin)
	return sha256.Sum256(b)
}
