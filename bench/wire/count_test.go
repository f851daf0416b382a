package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sallyport/sallyport/internal/ws"
)

func TestCounter(t *testing.T) {
	frame := func(fin bool, op ws.Opcode, size int) []byte {
		return ws.AppendFrame(nil, ws.Server, fin, op, bytes.Repeat([]byte{'x'}, size))
	}
	for _, tt := range []struct {
		name   string
		stream [][]byte
		want   int
	}{
		{"nothing", nil, 0},
		{"an empty message", [][]byte{frame(true, ws.Text, 0)}, 1},
		{"sizes of all three headers", [][]byte{frame(true, ws.Binary, 125), frame(true, ws.Binary, 126), frame(true, ws.Binary, 70_000)}, 3},
		{"fragments count once", [][]byte{frame(false, ws.Text, 9), frame(false, ws.Continuation, 0), frame(true, ws.Continuation, 200)}, 1},
		{"a ping between fragments does not count", [][]byte{frame(false, ws.Text, 9), frame(true, ws.Ping, 5), frame(true, ws.Continuation, 2)}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := bytes.Join(tt.stream, nil)
			for _, size := range []int{1, 2, 3, 7, 4096, 1 << 20} {
				c, got := Counter{}, 0
				for from := 0; from < len(all); from += size {
					n, err := c.Feed(all[from:min(from+size, len(all))])
					if err != nil {
						t.Fatalf("in pieces of %d: %v", size, err)
					}
					got += n
				}
				if got != tt.want {
					t.Errorf("in pieces of %d: got %d messages, want %d", size, got, tt.want)
				}
			}
		})
	}
}

func TestCounterKnowsTheEnd(t *testing.T) {
	stream := ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte("last"))
	stream = ws.AppendClose(stream, ws.Server, 4001, "Unauthorized;auth.revoked")
	c, n := Counter{}, 0
	var err error
	for i := range stream {
		var k int
		if k, err = c.Feed(stream[i : i+1]); err != nil && i < len(stream)-1 {
			t.Fatalf("after %d bytes of %d: %v", i+1, len(stream), err)
		}
		n += k
	}
	closed, ok := errors.AsType[*Closed](err)
	if n != 1 || !ok || closed.Code != 4001 || closed.Reason != "Unauthorized;auth.revoked" {
		t.Errorf("got %d messages and %v, want 1 and 4001 with its reason", n, err)
	}
}

func TestCounterRefusesMasks(t *testing.T) {
	var c Counter
	if _, err := c.Feed(ws.AppendFrame(nil, ws.Client, true, ws.Text, []byte("x"))); err == nil {
		t.Error("a masked frame from a server passed")
	}
}
