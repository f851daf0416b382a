//go:build linux

package poll

import (
	"bytes"
	"sync"
	"testing"
)

// TestNoSecretStaysInABuffer: what connection A received and sent is in no buffer
// that is lent next, to B or anybody else.
func TestNoSecretStaysInABuffer(t *testing.T) {
	canary := []byte("CANARY-of-connection-A-")
	var mu sync.Mutex
	seen, dirty := map[int]int{}, 0
	inspect = func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		seen[len(b)]++
		if bytes.Contains(b, canary) {
			dirty++
		}
		for _, c := range b {
			if c != 0 {
				dirty++
				break
			}
		}
	}
	defer func() { inspect = nil }()
	e := new(Engine)
	var a handle
	first := newProbe(nil)
	first.readable = func(b []byte) (int, bool) {
		a.Write(b)
		return len(b), true
	}
	a, client := overTLS(t, e, first)
	a.Start(nil)
	second := newProbe(nil)
	second.readable = func(b []byte) (int, bool) {
		if bytes.Contains(b[:cap(b)], canary) {
			t.Error("B was given what A received")
		}
		return len(b), true
	}
	b, other := overTLS(t, e, second)
	b.Start(nil)
	for _, n := range []int{1, 40, 900, 3000, 9000} {
		message := bytes.Repeat(canary, n)
		var sent sync.WaitGroup
		sent.Go(func() { client.Write(message) })
		got := make([]byte, len(message))
		for k := 0; k < len(got); {
			n, err := client.Read(got[k:])
			if err != nil {
				t.Fatal(err)
			}
			k += n
		}
		sent.Wait()
		if _, err := other.Write(bytes.Repeat([]byte("b"), 5*n)); err != nil {
			t.Fatal(err)
		}
	}
	client.Close()
	other.Close()
	<-first.gone
	<-second.gone
	a.Close()
	b.Close()
	e.Wait()
	mu.Lock()
	defer mu.Unlock()
	if dirty > 0 {
		t.Errorf("%d buffers went back with something in them", dirty)
	}
	for _, size := range []int{rawSize, plainSize, corkSize} {
		if seen[size] == 0 {
			t.Errorf("no buffer of %d bytes went back", size)
		}
	}
}
