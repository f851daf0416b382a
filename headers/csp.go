package headers

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// maxCSP bounds an own Content-Security-Policy, in bytes; maxSources the list
// of ConnectSrc.
const (
	maxCSP     = 4096
	maxSources = 64
)

// checkCSP says what makes an own policy weaker than measure 3 allows, or
// unsafe to send.
func checkCSP(s string) (why string) {
	if len(s) > maxCSP {
		return "is longer than " + strconv.Itoa(maxCSP) + " bytes"
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' || s[i] == ',' {
			return "has a comma or a byte that is not printable ASCII"
		}
	}
	for directive := range strings.SplitSeq(s, ";") {
		words := strings.Fields(directive)
		if len(words) == 0 || !strings.EqualFold(words[0], "default-src") {
			continue
		}
		if len(words) == 2 && (words[1] == "'self'" || words[1] == "'none'") {
			return "" // later ones of the same name are ignored by browsers
		}
		return "has a default-src other than 'self' or 'none'"
	}
	return "has no default-src; begin it with default-src 'self'"
}

// withoutFraming drops the frame-ancestors directives of a policy.
func withoutFraming(s string) string {
	var kept []string
	for directive := range strings.SplitSeq(s, ";") {
		directive = strings.TrimSpace(directive)
		name, _, _ := strings.Cut(directive, " ")
		if directive != "" && !strings.EqualFold(name, "frame-ancestors") {
			kept = append(kept, directive)
		}
	}
	return strings.Join(kept, "; ")
}

// connect turns ConnectSrc into the end of the connect-src directive.
func connect(list []string) (sources string, err error) {
	if len(list) > maxSources {
		return "", &FieldError{"ConnectSrc", strconv.Itoa(len(list)), "is more than " + strconv.Itoa(maxSources) + " hosts"}
	}
	var b strings.Builder
	var errs []error
	for _, s := range list {
		host := strings.TrimPrefix(s, "wss://")
		if !validHost(host) {
			errs = append(errs, &FieldError{"ConnectSrc", s, "is no host to connect to; write wss://host[:port]"})
			continue
		}
		b.WriteString(" wss://" + host)
	}
	return b.String(), errors.Join(errs...)
}

// validHost accepts "name[:port]", lower case or not, names of letters, digits,
// hyphens and dots, or an IP address: nothing that could end a directive.
func validHost(s string) bool {
	name, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		name, port = s[:i], s[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '+' {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		return ok && err == nil && a.Is6() && a.Zone() == ""
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		for i := range len(label) {
			if c := label[i] | 0x20; (c < 'a' || c > 'z') && (label[i] < '0' || label[i] > '9') && label[i] != '-' {
				return false
			}
		}
	}
	return len(name) <= 253
}
