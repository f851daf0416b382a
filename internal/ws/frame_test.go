package ws

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"go/parser"
	"go/token"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What is written is read back by the other role, at every border of the length.
func TestFramesReadBack_SR53(t *testing.T) {
	for _, role := range []Role{Server, Client} {
		for _, n := range []int{0, 1, 7, 8, 9, 125, 126, 127, 1000, 65535, 65536, 70001} {
			payload := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
			kept := bytes.Clone(payload)
			b := AppendFrame([]byte("before"), role, true, Binary, payload)
			if !bytes.Equal(payload, kept) || !bytes.HasPrefix(b, []byte("before")) {
				t.Fatalf("role %d, %d bytes: the caller's bytes were changed", role, n)
			}
			b = b[len("before"):]
			if got, want := len(b), HeaderSize(role, uint64(n))+n; got != want {
				t.Errorf("role %d, %d bytes: the frame has %d bytes, want %d", role, n, got, want)
			}
			want := []string{fmt.Sprintf("2 %q", payload)}
			if got := transcribe(t, limits{role: Client - role, message: 1 << 20}, b); !slices.Equal(got, want) {
				t.Errorf("role %d, %d bytes: read back %.80q", role, n, got)
			}
		}
	}
}

// A relay leaves room before a payload and frames it where it lies.
func TestFramingInPlace(t *testing.T) {
	for _, role := range []Role{Server, Client} {
		payload := []byte("relayed payload of some length")
		room := append(make([]byte, MaxHeader), payload...)
		start := MaxHeader - HeaderSize(role, uint64(len(payload)))
		head, key := AppendHeader(room[start:start], role, true, Text, uint64(len(payload)))
		if &head[0] != &room[start] || len(head) != MaxHeader-start {
			t.Fatalf("role %d: the header has %d bytes, want %d in place", role, len(head), MaxHeader-start)
		}
		key = Mask(room[MaxHeader:MaxHeader+7], key) // in two pieces
		Mask(room[MaxHeader+7:], key)
		want := []string{fmt.Sprintf("1 %q", payload)}
		if got := transcribe(t, limits{role: Client - role}, room[start:]); !slices.Equal(got, want) {
			t.Errorf("role %d: read back %q", role, got)
		}
	}
}

func TestMaskAgainstTheDefinition(t *testing.T) {
	key := MaskKey{0x37, 0xfa, 0x21, 0x3d}
	for n := range 200 {
		for _, cut := range []int{0, 1, 2, 3, 5, n / 2, n} {
			cut = min(cut, n)
			b, want := make([]byte, n), make([]byte, n)
			for i := range b {
				b[i] = byte(i * 7)
				want[i] = b[i] ^ key[i%4]
			}
			next := Mask(b[cut:], Mask(b[:cut], key))
			if !bytes.Equal(b, want) {
				t.Fatalf("%d bytes cut at %d: %x, want %x", n, cut, b, want)
			}
			if want := (MaskKey{key[n%4], key[(n+1)%4], key[(n+2)%4], key[(n+3)%4]}); next != want {
				t.Fatalf("%d bytes cut at %d: next key %x, want %x", n, cut, next, want)
			}
		}
	}
	// The example of RFC 6455, section 5.7.
	b := []byte("Hello")
	if Mask(b, key); !bytes.Equal(b, []byte{0x7f, 0x9f, 0x4d, 0x51, 0x58}) {
		t.Errorf("the example of the RFC gives %x", b)
	}
	b = []byte("as it is")
	if Mask(b, MaskKey{}); string(b) != "as it is" {
		t.Errorf("the zero key gives %q", b)
	}
}

// Keys are unpredictable as far as counting can tell: no key twice in 20,000
// (by chance once in 20 runs, so two are borne), and every bit set about half
// of the time (6 standard deviations).
func TestMaskKeys_SR57_AT41(t *testing.T) {
	const n = 20000
	seen := make(map[MaskKey]bool)
	var ones [32]int
	for range n {
		b := AppendFrame(nil, Client, true, Text, []byte("GET /"))
		key := MaskKey(b[2:6])
		seen[key] = true
		for bit := range 32 {
			ones[bit] += int(key[bit/8] >> (bit % 8) & 1)
		}
	}
	if len(seen) < n-2 {
		t.Errorf("%d of %d keys are new", len(seen), n)
	}
	for bit, got := range ones {
		if math.Abs(float64(got)-n/2) > 6*math.Sqrt(n)/2 {
			t.Errorf("bit %d is set %d times in %d", bit, got, n)
		}
	}
}

// The payload that an attacker chose does not appear on the wire (RFC 6455,
// section 10.3), nor twice in the same way.
func TestChosenBytesDoNotReachTheWire_SR57_AT41(t *testing.T) {
	evil := []byte("GET /script.js HTTP/1.1\r\nHost: victim.example\r\n\r\n")
	seen := make(map[string]bool)
	for range 100 {
		b := AppendFrame(nil, Client, true, Text, evil)
		if bytes.Contains(b, evil[:8]) {
			t.Fatal("the payload is on the wire as it was chosen")
		}
		if seen[string(b)] {
			t.Fatal("two frames are the same")
		}
		seen[string(b)] = true
	}
}

func TestNewKey_SR57(t *testing.T) {
	seen := make(map[string]bool)
	var ones [128]int
	const n = 4000
	for range n {
		key := NewKey()
		raw, err := base64.StdEncoding.Strict().DecodeString(key)
		if err != nil || len(raw) != 16 || seen[key] || !validKey(key) {
			t.Fatalf("key %q: %v", key, err)
		}
		seen[key] = true
		for bit := range ones {
			ones[bit] += int(raw[bit/8] >> (bit % 8) & 1)
		}
	}
	for bit, got := range ones {
		if math.Abs(float64(got)-n/2) > 6*math.Sqrt(n)/2 {
			t.Errorf("bit %d is set %d times in %d", bit, got, n)
		}
	}
}

// Nothing but the standard library is imported, and no predictable randomness,
// outside of tests.
func TestImports_SR57(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range tree.Imports {
			if path := strings.Trim(i.Path.Value, `"`); strings.Contains(path, ".") || strings.HasPrefix(path, "math/rand") {
				t.Errorf("%s imports %s", f.Name(), path)
			}
		}
	}
}

func TestAppendClose_SR55(t *testing.T) {
	long := strings.Repeat("é", 70) // 140 bytes
	for _, row := range []struct {
		name   string
		code   uint16
		reason string
		want   string
	}{
		{"code and reason", 4000, "Idle timeout;guard.idle", `close 4000 "Idle timeout;guard.idle"`},
		{"code alone", 1000, "", `close 1000 ""`},
		{"1005 is an empty payload", 1005, "not sent", `close 1005 ""`},
		{"1006 never leaves", 1006, "not sent", `close 1005 ""`},
		{"0 never leaves", 0, "", `close 1005 ""`},
		{"a reason of 123 bytes fits", 1001, strings.Repeat("x", 123), fmt.Sprintf("close 1001 %q", strings.Repeat("x", 123))},
		{"a reason of 124 bytes is cut", 1001, strings.Repeat("x", 124), fmt.Sprintf("close 1001 %q", strings.Repeat("x", 123))},
		{"a reason is cut between characters", 1001, long, fmt.Sprintf("close 1001 %q", long[:122])},
		{"a reason is cut before a character of four bytes", 1001, strings.Repeat("x", 120) + "😀", fmt.Sprintf("close 1001 %q", strings.Repeat("x", 120))},
		{"a reason is cut before what is not UTF-8", 1001, "fine\xffnot", `close 1001 "fine"`},
		{"a replacement character that was sent is sent", 1001, "a\ufffdb", "close 1001 \"a\ufffdb\""},
	} {
		for _, role := range []Role{Server, Client} {
			got := transcribe(t, limits{role: Client - role}, AppendClose(nil, role, row.code, row.reason))
			if !slices.Equal(got, []string{row.want}) {
				t.Errorf("%s, role %d: got %q, want %q", row.name, role, got, row.want)
			}
		}
	}
	for n := range 400 {
		s := strings.Repeat("aé€😀", 40)[:n]
		if cut := s[:reasonSize(s)]; !utf8.ValidString(cut) || len(cut) > 123 || len(cut) < min(n, 123)-3 {
			t.Errorf("%d bytes are cut to %d", n, len(cut))
		}
	}
}

func TestFramesNobodyMayAcceptArePanics_SR52(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func()
	}{
		{"a ping of 126 bytes", func() { AppendFrame(nil, Server, true, Ping, make([]byte, 126)) }},
		{"a fragmented close", func() { AppendFrame(nil, Server, false, Close, nil) }},
		{"opcode 3", func() { AppendFrame(nil, Server, true, 3, nil) }},
		{"opcode 11", func() { AppendFrame(nil, Client, true, 11, nil) }},
		{"opcode 0x81", func() { AppendFrame(nil, Client, true, 0x81, nil) }},
		{"a length of 2^63", func() { AppendHeader(nil, Server, true, Binary, 1<<63) }},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was written", row.name)
				}
			}()
			row.do()
		}()
	}
}
