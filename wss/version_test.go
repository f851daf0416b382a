package wss

import (
	"runtime"
	"testing"
)

func TestGoVersionWarning_AT27(t *testing.T) {
	for _, tt := range []struct {
		v    string
		warn bool
	}{
		{"go1.26.6", false},
		{"go1.26.8", false},
		{"go1.27.0", false},
		{"go1.27rc1", false},
		{"go1.26.6 X:jsonv2", false},
		{"devel go1.27-0123abcdef Mon Feb 2 10:00:00 2026 +0000", false},
		{"go1.26.5", true},
		{"go1.26", true},
		{"go1.26rc3", true},
		{"go1.25.12", true},
		{"go1.9", true},
		{"devel +0123abcdef", true},
		{"", true},
	} {
		if got := GoVersionWarning(tt.v); (got != "") != tt.warn {
			t.Errorf("%q: got %q", tt.v, got)
		}
	}
	if got := GoVersionWarning(runtime.Version()); got != "" {
		t.Errorf("these tests are %s", got)
	}
}
