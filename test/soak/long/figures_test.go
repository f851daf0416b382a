package main

import (
	"strings"
	"testing"
)

// TestLeaksAreFound_AT54: a harness that cannot fail proves nothing.
func TestLeaksAreFound_AT54(t *testing.T) {
	before := figures{goroutines: 14, files: 13, heap: 3 << 20, resident: 25 << 20}
	for _, row := range []struct {
		name    string
		change  func(*figures)
		revoked int
		want    string
	}{
		{"nothing is left", func(*figures) {}, 0, ""},
		{"less is left", func(f *figures) { f.goroutines, f.heap = 2, 1 }, 0, ""},
		{"a connection", func(f *figures) { f.connections = 1 }, 0, "connections"},
		{"a goroutine", func(f *figures) { f.goroutines++ }, 0, "goroutines"},
		{"a descriptor", func(f *figures) { f.files++ }, 0, "descriptors"},
		{"heap that nobody accounts for", func(f *figures) { f.heap += heapSlack + 1 }, 0, "heap"},
		{"heap of revocations", func(f *figures) { f.heap += heapSlack + 1 }, 1, ""},
		{"memory that is not given back", func(f *figures) { f.resident *= 2 }, 0, "resident"},
	} {
		after := before
		row.change(&after)
		got := after.fits(before, row.revoked)
		if text := strings.Join(got, "; "); (row.want == "") != (text == "") || !strings.Contains(text, row.want) {
			t.Errorf("%s: got %q, want %q", row.name, text, row.want)
		}
	}
}

func TestEveryKindHasScenarios(t *testing.T) {
	for _, k := range []kind{relayed, handled} {
		for range 100 {
			if s, ok := pick(k); !ok || s.where != both && s.where != k {
				t.Fatalf("picked %q for %d", s.name, k)
			}
		}
	}
}
