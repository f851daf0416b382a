package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/ws"
)

func TestReframe(t *testing.T) {
	var in, want []byte
	for _, size := range []int{0, 1, 125, 126, 4000, 16 << 10} {
		payload := []byte(strings.Repeat("y", size))
		in = ws.AppendFrame(in, ws.Client, true, ws.Text, payload)
		want = ws.AppendFrame(want, ws.Server, true, ws.Text, payload)
	}
	whole := len(in)
	half := ws.AppendFrame(nil, ws.Client, true, ws.Binary, []byte("a frame that has not come to its end"))
	in = append(in, half[:10]...)
	answers, used := reframe(in)
	if used != whole {
		t.Fatalf("used %d bytes, want %d", used, whole)
	}
	if got := in[:answers]; !bytes.Equal(got, want) {
		t.Errorf("got %d bytes of answers, want %d that are the same, unmasked", len(got), len(want))
	}
	if !bytes.Equal(in[used:], half[:10]) {
		t.Error("the beginning of the next frame was changed")
	}
}
