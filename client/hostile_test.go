package client

import (
	"strings"
	"testing"
)

// What others have said stands in one line of a log.
func TestErrorsAreOneLine(t *testing.T) {
	for _, err := range []error{
		&RefusedError{Status: 403, Code: "auth.invalid\nadmitted: alice\x1b[2J"},
		&CloseError{Code: 4001, Door: "auth.invalid\nadmitted: alice\x1b[2J"},
	} {
		if s := err.Error(); strings.ContainsAny(s, "\n\x1b") {
			t.Errorf("%q", s)
		}
	}
	if s := (&RefusedError{Status: 403, Code: "origin.untrusted"}).Error(); !strings.HasSuffix(s, ": origin.untrusted") {
		t.Errorf("%q", s)
	}
}
