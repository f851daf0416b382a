package wss

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// What is read before a place among the handshakes is free is read again by TLS,
// byte for byte, and the room that was lent for it goes back empty.
func TestHelloIsLentAndCleared(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		lent bool
		gone bool // the connection has lost its place meanwhile
	}{
		{"a usual hello", 1700, true, false},
		{"the longest that is lent room", bufferSize - recordHeader, true, false},
		{"a longer one", bufferSize - recordHeader + 1, false, false},
		{"the longest record", maxRecord, false, false},
		{"of a connection that lost its place before", 1700, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			record := bytes.Repeat([]byte{0xaa}, recordHeader+tt.size)
			copy(record, []byte{recordHandshake, 3, 1, byte(tt.size >> 8), byte(tt.size)})
			s := &socket{Conn: far}
			b := new(before)
			if !tt.gone {
				s.before.Store(b)
			}
			go near.Write(record)
			if err := s.peekHello(); err != nil {
				t.Fatal(err)
			}
			room := b.hello
			if (room != nil) != tt.lent {
				t.Fatalf("lent %v, want %v", room != nil, tt.lent)
			}
			var got []byte
			for part := make([]byte, 1000); len(got) < len(record); {
				n, err := s.Read(part)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, part[:n]...)
			}
			if !bytes.Equal(got, record) {
				t.Error("TLS would read something else")
			}
			if s.hello != nil || b.hello != nil {
				t.Error("the room was not given back")
			}
			if room != nil && *room != [bufferSize]byte{} {
				t.Error("the room was given back with what was in it")
			}
			go near.Write([]byte("next"))
			next := make([]byte, 4)
			if _, err := io.ReadFull(s, next); err != nil || string(next) != "next" {
				t.Errorf("then %q, %v", next, err)
			}
		})
	}
}
