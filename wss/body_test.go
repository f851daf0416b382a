package wss

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestBody(t *testing.T) {
	const limit = 64
	for _, tt := range []struct {
		name, in string
		length   int64 // -1: chunked
		taken    int   // bytes that belong to the body
		err      error
		done     bool
	}{
		{"no body", "next", 0, 0, nil, true},
		{"a length", "abcnext", 3, 3, nil, true},
		{"half of a length", "ab", 3, 2, nil, false},
		{"chunks", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nnext", -1, 28, nil, true},
		{"no chunk but the last", "0\r\n\r\n", -1, 5, nil, true},
		{"half a chunk", "3\r\na", -1, 4, nil, false},
		{"AT-24 a chunk extension", "3;a=b\r\nabc\r\n0\r\n\r\n", -1, 1, errChunk, false},
		{"AT-24 a space after the size", "3 \r\nabc\r\n", -1, 1, errChunk, false},
		{"AT-24 a space before the size", " 3\r\nabc\r\n", -1, 0, errChunk, false},
		{"AT-24 a bare LF after the size", "3\nabc\r\n", -1, 1, errChunk, false},
		{"AT-24 a bare CR after the size", "3\rabc\r\n", -1, 2, errChunk, false},
		{"AT-24 a bare LF after the data", "3\r\nabc\n", -1, 6, errChunk, false},
		{"AT-24 data longer than its chunk", "3\r\nabcd\r\n", -1, 6, errChunk, false},
		{"AT-24 a sign", "+3\r\nabc\r\n", -1, 0, errChunk, false},
		{"AT-24 0x", "0x3\r\nabc\r\n", -1, 1, errChunk, false},
		{"AT-24 an underscore", "1_0\r\n", -1, 1, errChunk, false},
		{"AT-24 no size", "\r\n", -1, 0, errChunk, false},
		{"AT-24 nine digits", "000000003\r\n", -1, 8, errChunk, false},
		{"AT-24 a trailer", "0\r\nX: y\r\n\r\n", -1, 3, errChunk, false},
		{"AT-24 a bare LF at the end", "0\r\n\n", -1, 3, errChunk, false},
		{"a chunk beyond the limit", "41\r\n", -1, 1, errTooBig, false},
		{"chunks beyond the limit", "40\r\n" + strings.Repeat("a", 64) + "\r\n1\r\n", -1, 70, errTooBig, false},
		{"a size that overflows", "ffffffff\r\n", -1, 1, errTooBig, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.in); size++ {
				b := newBody(max(tt.length, 0), tt.length < 0, limit)
				taken, err := feedIn(&b, []byte(tt.in), size)
				if taken != tt.taken || err != tt.err || b.done() != tt.done {
					t.Fatalf("in pieces of %d: got %d, %v, %v, want %d, %v, %v", size, taken, err, b.done(), tt.taken, tt.err, tt.done)
				}
			}
		})
	}
}

func feedIn(b *body, in []byte, size int) (taken int, err error) {
	for from := 0; from < len(in); from += size {
		piece := in[from:min(from+size, len(in))]
		n, err := b.feed(piece)
		taken += n
		if err != nil || n < len(piece) {
			return taken, err
		}
	}
	return taken, nil
}

// What the filter hands on as a whole body, net/http reads as the same body.
func FuzzBody(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"), 1)
	f.Add([]byte("0a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\nGET /"), 3)
	f.Add([]byte("3;x\r\nabc\r\n0\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		b := newBody(0, true, 1<<16)
		n, err := feedIn(&b, in, 1+size&15)
		whole := newBody(0, true, 1<<16)
		m, werr := whole.feed(in)
		if n != m || err != werr || b != whole {
			t.Fatalf("pieces change the verdict: %d %v, %d %v", n, err, m, werr)
		}
		if err != nil || !b.done() {
			return
		}
		head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		rest := bufio.NewReader(io.MultiReader(strings.NewReader(head), bytes.NewReader(in[:n])))
		r, rerr := http.ReadRequest(rest)
		if rerr != nil {
			t.Fatal(rerr)
		}
		data, rerr := io.ReadAll(r.Body)
		if rerr != nil && strings.Contains(rerr.Error(), "too much non-data") {
			return // net/http is narrower here
		}
		if rerr != nil || int64(len(data)) != b.taken || rest.Buffered() != 0 || len(r.Trailer) > 0 {
			t.Fatalf("%q: net/http read %d of %d bytes, %v", in[:n], len(data), b.taken, rerr)
		}
	})
}
