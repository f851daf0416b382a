package seal

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzDocument: what parses is what its own body says again, byte for byte.
func FuzzDocument(f *testing.F) {
	id := newIdentity(f)
	f.Add(must(newDocument(f, newKeyFor(f, Classical)).Sign(id)))
	f.Add(must(newDocument(f, newKeyFor(f, Hybrid), newKeyFor(f, Classical)).Sign(id, newIdentity(f))))
	f.Add([]byte(documentMagic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, body, sigs, err := parseDocument(raw)
		if err != nil {
			return
		}
		again, err := d.Body()
		if err != nil {
			t.Fatalf("parsed, but cannot be written: %v", err)
		}
		again = append(again, byte(len(sigs)))
		for _, s := range sigs {
			again = append(append(again, s.identity...), s.sig...)
		}
		if !bytes.Equal(again, raw) || !bytes.HasPrefix(raw, body) {
			t.Error("another form of the same document")
		}
	})
}

// FuzzAuth: no credential comes out of anything but its one form.
func FuzzAuth(f *testing.F) {
	th := make([]byte, 32)
	f.Add(must(authData(th, bearer, nil)))
	f.Add(must(authData(th, bearer, newIdentity(f))))
	f.Add(must(authData(th, Credential{}, newES256(f))))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseAuth(th, data)
		if err != nil {
			if fault := FaultOf(err); fault != FaultMalformed && fault != FaultProof {
				t.Errorf("%v", err)
			}
			return
		}
		if c.Thumbprint == "" {
			if again, err := authData(th, c, nil); err != nil || !bytes.Equal(again, data) {
				t.Errorf("another form of the same credential: %v", err)
			}
		}
	})
}

// FuzzAccept: a first message that nobody sent never gets an answer.
func FuzzAccept(f *testing.F) {
	hybrid, classical := newKeyFor(f, Hybrid), newKeyFor(f, Classical)
	ring := ringOf(f, hybrid, classical)
	var sent [][]byte
	for _, k := range []*Key{hybrid, classical} {
		_, hello, err := NewClient(k.Entry(), place, Options{})
		if err != nil {
			f.Fatal(err)
		}
		sent = append(sent, hello)
		f.Add(hello)
		f.Add(hello[:len(hello)-1])
	}
	f.Fuzz(func(t *testing.T, hello []byte) {
		_, _, err := Accept(ring, place, hello, Options{Now: clockAt(epoch)})
		if err == nil && !slices.ContainsFunc(sent, func(b []byte) bool { return bytes.Equal(b, hello) }) {
			t.Error("accepted")
		}
	})
}

// FuzzFinish: an answer that the server did not give never makes a session.
func FuzzFinish(f *testing.F) {
	k := newKeyFor(f, Classical)
	o := Options{Now: clockAt(epoch)}
	c, hello, err := NewClient(k.Entry(), place, o)
	if err != nil {
		f.Fatal(err)
	}
	_, answer, err := Accept(ringOf(f, k), place, hello, o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(answer)
	f.Add(hello)
	f.Fuzz(func(t *testing.T, got []byte) {
		if _, _, err := cloneClient(c).Finish(got, bearer, nil); err == nil && !bytes.Equal(got, answer) {
			t.Error("accepted")
		}
	})
}

// FuzzRecord: what the other side did not seal is not opened, whatever it is.
func FuzzRecord(f *testing.F) {
	h := shake(f, Classical, nil)
	record := must(h.client.Seal(nil, Text, false, []byte("x")))
	f.Add(record)
	f.Add(record[:minRecord])
	f.Fuzz(func(t *testing.T, got []byte) {
		in := h.server.in
		if _, _, _, err := in.open(slices.Clone(got)); err == nil && !bytes.Equal(got, record) {
			t.Error("opened")
		}
	})
}

// FuzzInner: an authentic record of any content is taken or refused, and what
// is taken has one form.
func FuzzInner(f *testing.F) {
	f.Add([]byte{byte(Text), 0, 1, 'a', 0})
	f.Add([]byte{byte(End), 0, 2, 3, 232})
	f.Fuzz(func(t *testing.T, inner []byte) {
		k, more, last, data, err := parseInner(inner)
		if err != nil {
			return
		}
		head := byte(k)
		if more {
			head |= flagMore
		}
		if last {
			head |= flagLast
		}
		again := append([]byte{head, byte(len(data) >> 8), byte(len(data))}, data...)
		if !bytes.HasPrefix(inner, again) || len(bytes.TrimRight(inner[len(again):], "\x00")) != 0 {
			t.Error("another form of the same record")
		}
		if k == End {
			if code, reason, err := parseEnd(data); err == nil {
				if b, err := endData(code, reason); err != nil || !bytes.Equal(b, data) {
					t.Errorf("an end of another form: %v", err)
				}
			}
		}
	})
}

// FuzzPin: a pin has one spelling.
func FuzzPin(f *testing.F) {
	f.Add(pinOf(newIdentity(f)).String())
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePin(s); err == nil && p.String() != s {
			t.Errorf("%q and %q are the same pin", s, p)
		}
	})
}
