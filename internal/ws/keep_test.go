package ws

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// With masks kept every rule is the same but the one on text, however the bytes
// arrive.
func TestKeptMasksChangeNoOtherRule_SR50_SR51_SR52_SR53_SR55(t *testing.T) {
	texts := 0
	for _, row := range verdicts {
		l := row.l
		l.keep = true
		want := oracle(l, row.stream)
		for at := range min(len(row.stream), 400) {
			if got := transcribe(t, l, row.stream, at); !slices.Equal(got, want) {
				t.Fatalf("%s, cut at %d: got %.200q, want %.200q", row.name, at, got, want)
			}
		}
		without := oracle(row.l, row.stream)
		if slices.Equal(want, without) {
			continue
		}
		if last := without[len(without)-1]; last != fmt.Sprintf("fault %d %s", faults[faultText].Code, faults[faultText].Why) {
			t.Errorf("%s: got %.200q, want %.200q", row.name, want, without)
		}
		texts++
	}
	if texts < 5 {
		t.Errorf("only %d rows differ: the battery does not see text", texts)
	}
}

// Each chunk of a frame comes with the key turned to its first byte, wherever the
// frame was cut, and each frame with its own key.
func TestKeysAreTurnedToTheirChunks(t *testing.T) {
	payload := []byte("sixteen bytes ..")
	keys := []MaskKey{{1, 2, 3, 4}, {0xf0, 0, 0xff, 0x80}, {}}
	for first := range len(payload) + 1 {
		for second := first; second <= len(payload); second++ {
			var stream, got []byte
			var cuts []int
			for i, key := range keys {
				op := Binary
				if i > 0 {
					op = Continuation
				}
				stream = AppendMaskedHeader(stream, i == len(keys)-1, op, uint64(len(payload)), key)
				start := len(stream)
				cuts = append(cuts, start+first, start+second)
				stream = append(stream, payload...)
				Mask(stream[start:], key)
			}
			p := Parser{KeepMasks: true}
			at := 0 // in the payload of the frame
			for start, i := 0, 0; i <= len(cuts); i++ {
				end := len(stream)
				if i < len(cuts) {
					end = cuts[i]
				}
				for b := stream[start:end]; ; {
					ev, n, err := p.Next(b)
					if err != nil {
						t.Fatal(err)
					}
					if b = b[n:]; ev.Kind == None {
						break
					}
					frame, turned := len(got)/len(payload), at%4
					want := keys[frame]
					want = MaskKey{want[turned], want[(turned+1)%4], want[(turned+2)%4], want[(turned+3)%4]}
					if ev.Key != want || !ev.Masked {
						t.Fatalf("cut at %d and %d: frame %d has key %x at %d, want %x", first, second, frame, ev.Key, at, want)
					}
					got = append(got, ev.Data...)
					Mask(got[len(got)-len(ev.Data):], ev.Key)
					at = (at + len(ev.Data)) % len(payload)
				}
				start = end
			}
			if want := bytes.Repeat(payload, len(keys)); !bytes.Equal(got, want) {
				t.Fatalf("cut at %d and %d: got %q, want %q", first, second, got, want)
			}
		}
	}
}

func TestTurnIsWhatMaskDoes(t *testing.T) {
	for _, key := range []MaskKey{{1, 2, 3, 4}, {0, 0, 0, 9}, {}} {
		for n := range 200 {
			if got, want := key.Turn(n), Mask(make([]byte, n), key); got != want {
				t.Errorf("%x after %d: got %x, want %x", key, n, got, want)
			}
		}
	}
}

// The key of one's own choice does not loosen what a header may say.
func TestAppendMaskedHeader(t *testing.T) {
	key := MaskKey{9, 8, 7, 6}
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("x"), n)
		b := AppendMaskedHeader(nil, true, Text, uint64(n), key)
		if len(b) != HeaderSize(Client, uint64(n)) || !bytes.Equal(b[len(b)-4:], key[:]) {
			t.Errorf("the header for %d bytes is %x", n, b)
		}
		start := len(b)
		b = append(b, payload...)
		Mask(b[start:], key)
		if got, want := transcribe(t, limits{message: 1 << 20}, b), []string{fmt.Sprintf("1 %q", payload)}; !slices.Equal(got, want) {
			t.Errorf("%d bytes: got %.40q", n, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a fragmented ping was framed")
		}
	}()
	AppendMaskedHeader(nil, false, Ping, 0, key)
}
