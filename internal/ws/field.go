package ws

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// The grammar of header fields that both sides of a handshake share (RFC 9110,
// section 5). Every function takes time linear in its input.

// trim removes optional whitespace: spaces and tabs, nothing else.
func trim(s string) string { return strings.Trim(s, " \t") }

// tokenBytes marks the characters of a token (RFC 9110, section 5.6.2).
var tokenBytes = func() (set [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		set[c] = true
	}
	return set
}()

func validToken(s string) bool {
	for i := range len(s) {
		if !tokenBytes[s[i]] {
			return false
		}
	}
	return s != ""
}

// sameToken compares with a token of ASCII letters in any case. The length keeps
// out what folds to a letter in Unicode only: the long s, the Kelvin sign.
func sameToken(s, token string) bool {
	return len(s) == len(token) && strings.EqualFold(s, token)
}

// validLine says whether a header can be written on a line of its own.
func validLine(name, value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return validToken(name) && trim(value) == value
}

func validKey(s string) bool {
	if len(s) != 24 {
		return false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(s) // skips CR and LF, so count
	return err == nil && len(raw) == 16
}

func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return false
		}
	}
	return strings.HasPrefix(s, "/")
}

// validHost keeps out what could end the line or be read as another part of a
// URL; it does not resolve or normalise.
func validHost(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`/\?#@,"<>^{|}`+"`", s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// isWebSocket says whether Upgrade is one line with the one token websocket.
func isWebSocket(h http.Header) bool {
	return len(h[hUpgrade]) == 1 && sameToken(trim(h[hUpgrade][0]), "websocket")
}

// connectionUpgrade says whether the Connection lines, together a list of tokens
// of at most 8 KiB, name upgrade. Empty members are legal in such a list.
func connectionUpgrade(h http.Header) bool {
	lines := h[hConnection]
	if listBytes(lines) > MaxListBytes {
		return false
	}
	found := false
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			member = trim(member)
			if member != "" && !validToken(member) {
				return false
			}
			found = found || sameToken(member, "upgrade")
		}
	}
	return found
}

// hasBody says whether the headers announce a body.
func hasBody(h http.Header) bool {
	if len(h["Transfer-Encoding"]) > 0 || len(h["Trailer"]) > 0 {
		return true
	}
	for _, length := range h["Content-Length"] {
		if length != "0" {
			return true
		}
	}
	return false
}

// listBytes is the size of a header's lines as one list.
func listBytes(lines []string) int {
	n := 0
	for _, line := range lines {
		n += len(line) + 1
	}
	return n
}

// reserved names the headers that the handshake writes itself, and those that
// announce a body or belong to one hop.
func reserved(name string) bool {
	switch name = textproto.CanonicalMIMEHeaderKey(name); name {
	case "Host", hUpgrade, hConnection, "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Expect",
		"Keep-Alive", "Proxy-Connection", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Sec-Websocket-")
}

func appendLine(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

func sortedNames(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }
