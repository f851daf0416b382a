package ws

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const hostLine = "Host: door.example\r\n"

func handshakeHead(lines ...string) string {
	return "GET /chat?room=1 HTTP/1.1\r\n" + hostLine + "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
		"Origin: https://app.example\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
		strings.Join(lines, "") + "\r\n"
}

func getHead(lines ...string) string {
	return "GET / HTTP/1.1\r\n" + hostLine + strings.Join(lines, "") + "\r\n"
}
func postHead(lines ...string) string {
	return "POST /api HTTP/1.1\r\n" + hostLine + strings.Join(lines, "") + "\r\n"
}
func requestLine(line string) string { return line + "\r\n" + hostLine + "\r\n" }

func TestParseHead(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		status   int // 0: accepted
	}{
		{"a handshake", handshakeHead(), 0},
		{"AT-22 Upgrade in odd case", getHead("uPGRADE: WebSocket\r\nConnection: uPgrade\r\n"), 0},
		{"AT-22 Connection in several lines and tabs", getHead("Upgrade:\twebsocket \t\r\nConnection: keep-alive\r\nConnection:\tUpgrade\r\n"), 0},
		{"a post with a length", postHead("Content-Length: 12\r\n"), 0},
		{"a post in chunks", postHead("Transfer-Encoding: chunked\r\n"), 0},
		{"a post that expects to be asked", postHead("Content-Length: 1\r\nExpect: 100-continue\r\n"), 0},
		{"a get with length 0", getHead("Content-Length: 0\r\n"), 0},
		{"an empty value", getHead("X-Empty:\r\n"), 0},
		{"a value beyond ASCII", getHead("X-Name: J\xc3\xbcrgen\r\n"), 0},
		{"a percent sign in the query", requestLine("GET /a?100% HTTP/1.1"), 0},
		{"a target of two slashes", requestLine("GET //evil.example/ HTTP/1.1"), 0},
		{"64 lines", getHead(strings.Repeat("A: b\r\n", 63)), 0},

		{"SR-16 two Origins", handshakeHead("Origin: https://evil.example\r\n"), 400},
		{"SR-16 two Origins in different case", handshakeHead("oRIGIN: https://evil.example\r\n"), 400},
		{"SR-16 two Hosts", getHead(hostLine), 400},
		{"SR-16 two keys", handshakeHead("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), 400},
		{"SR-16 two versions", handshakeHead("Sec-WebSocket-Version: 8\r\n"), 400},
		{"SR-16 two Cookie lines", getHead("Cookie: a=1\r\nCookie: a=2\r\n"), 400},
		{"SR-16 two Authorizations", getHead("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400},
		{"two Sec-Fetch-Site", getHead("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n"), 400},
		{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
		{"a Host with user information", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
		{"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"a list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},

		{"SR-80 upgrade to h2c", getHead("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), 400},
		{"SR-80 upgrade to TLS", getHead("Upgrade: TLS/1.0\r\n"), 400},
		{"SR-80 two tokens in one Upgrade", getHead("Upgrade: websocket, h2c\r\n"), 400},
		{"SR-80 two Upgrade lines", getHead("Upgrade: websocket\r\nUpgrade: h2c\r\n"), 400},
		{"SR-80 an empty Upgrade", getHead("Upgrade:\r\n"), 400},
		{"SR-81 a handshake with a length", handshakeHead("Content-Length: 5\r\n"), 400},
		{"SR-81 a handshake in chunks", handshakeHead("Transfer-Encoding: chunked\r\n"), 400},
		{"SR-81 a handshake that expects", handshakeHead("Expect: 100-continue\r\n"), 400},
		{"SR-89 NUL in a value", getHead("X: a\x00b\r\n"), 400},
		{"SR-89 DEL in a value", getHead("X: a\x7fb\r\n"), 400},
		{"SR-89 escape in a value", getHead("X: a\x1bb\r\n"), 400},
		{"SR-89 NUL in a name", getHead("X\x00: b\r\n"), 400},
		{"SR-89 a name beyond ASCII", getHead("X\xc3\xbc: b\r\n"), 400},
		{"SR-89 NUL in the target", requestLine("GET /\x00 HTTP/1.1"), 400},
		{"SR-89 a target beyond ASCII", requestLine("GET /\xc3\xbc HTTP/1.1"), 400},

		{"AT-21 one line of 16 KiB", getHead("X: " + strings.Repeat("a", MaxHead) + "\r\n"), 431},
		{"AT-21 65 lines", getHead(strings.Repeat("A: b\r\n", 64)), 431},
		{"AT-21 1000 lines", getHead(strings.Repeat("A: b\r\n", 999)), 431},
		{"AT-21 a request line without end", "GET /" + strings.Repeat("a", MaxHead), 431},

		{"AT-23 HTTP/1.0", requestLine("GET / HTTP/1.0"), 505},
		{"AT-23 HTTP/2.0", requestLine("GET / HTTP/2.0"), 505},
		{"AT-26 the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
		{"AT-23 HTTP/0.9", "GET /\r\n", 400},
		{"AT-23 version in lower case", requestLine("GET / http/1.1"), 400},
		{"AT-23 a version of two digits", requestLine("GET / HTTP/1.10"), 400},
		{"AT-23 GET with a body", getHead("Content-Length: 3\r\n"), 400},
		{"AT-23 GET in chunks", getHead("Transfer-Encoding: chunked\r\n"), 400},
		{"AT-23 HEAD with a body", strings.Replace(getHead("Content-Length: 3\r\n"), "GET", "HEAD", 1), 400},
		{"AT-23 absolute-form", requestLine("GET http://door.example/ HTTP/1.1"), 400},
		{"AT-23 authority-form", requestLine("CONNECT door.example:443 HTTP/1.1"), 405},
		{"AT-23 CONNECT with a path", requestLine("CONNECT /x HTTP/1.1"), 405},
		{"AT-23 asterisk-form", requestLine("OPTIONS * HTTP/1.1"), 400},
		{"AT-23 fragment", requestLine("GET /#x HTTP/1.1"), 400},
		{"AT-23 fragment in the query", requestLine("GET /?a#x HTTP/1.1"), 400},
		{"AT-23 TRACE", requestLine("TRACE / HTTP/1.1"), 405},
		{"a space in the target", requestLine("GET /a b HTTP/1.1"), 400},
		{"a tab in the request line", requestLine("GET\t/ HTTP/1.1"), 400},
		{"two spaces in the request line", requestLine("GET  / HTTP/1.1"), 400},
		{"a space after the version", requestLine("GET / HTTP/1.1 "), 400},
		{"a space before the method", requestLine(" GET / HTTP/1.1"), 400},
		{"an empty line first", "\r\n" + getHead(), 400},
		{"a method that is no token", requestLine("G@T / HTTP/1.1"), 400},
		{"a method of 25 bytes", requestLine(strings.Repeat("A", 25) + " / HTTP/1.1"), 400},
		{"a broken escape in the path", requestLine("GET /%zz HTTP/1.1"), 400},
		{"half an escape in the path", requestLine("GET /%2 HTTP/1.1"), 400},

		{"AT-24 bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
		{"AT-24 bare LF after a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
		{"AT-24 bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
		{"AT-24 bare CR in a value", getHead("X: a\rb\r\n"), 400},
		{"AT-24 bare CR before CRLF", getHead("X: a\r\r\n"), 400},
		{"AT-24 obs-fold", getHead("X: a\r\n b\r\n"), 400},
		{"AT-24 obs-fold with a tab", getHead("X: a\r\n\tb\r\n"), 400},
		{"AT-24 a fold as the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
		{"AT-24 space before the colon", getHead("X : a\r\n"), 400},
		{"AT-24 tab before the colon", getHead("Content-Length\t: 3\r\n"), 400},
		{"AT-24 no colon", getHead("X\r\n"), 400},
		{"AT-24 no name", getHead(": x\r\n"), 400},
		{"AT-24 two equal lengths", postHead("Content-Length: 3\r\nContent-Length: 3\r\n"), 400},
		{"AT-24 two lengths", postHead("Content-Length: 3\r\nContent-Length: 4\r\n"), 400},
		{"AT-24 a list of lengths", postHead("Content-Length: 3, 3\r\n"), 400},
		{"AT-24 length and chunks", postHead("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), 400},
		{"AT-24 length 0 and chunks", postHead("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), 400},
		{"AT-24 a signed length", postHead("Content-Length: +3\r\n"), 400},
		{"AT-24 a negative length", postHead("Content-Length: -3\r\n"), 400},
		{"AT-24 a hexadecimal length", postHead("Content-Length: 0x3\r\n"), 400},
		{"AT-24 a length with leading zeros", postHead("Content-Length: 03\r\n"), 400},
		{"AT-24 an empty length", postHead("Content-Length: \r\n"), 400},
		{"AT-24 a length of 19 digits", postHead("Content-Length: 1000000000000000000\r\n"), 400},
		{"AT-24 TE identity", postHead("Transfer-Encoding: identity\r\n"), 400},
		{"AT-24 TE gzip, chunked", postHead("Transfer-Encoding: gzip, chunked\r\n"), 400},
		{"AT-24 TE chunked twice in one line", postHead("Transfer-Encoding: chunked, chunked\r\n"), 400},
		{"AT-24 TE chunked in two lines", postHead("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
		{"AT-24 TE xchunked", postHead("Transfer-Encoding: xchunked\r\n"), 400},
		{"AT-24 TE with vertical tab", postHead("Transfer-Encoding: \x0bchunked\r\n"), 400},
		{"AT-24 announced trailers", postHead("Transfer-Encoding: chunked\r\nTrailer: X\r\n"), 400},
		{"an expectation that we do not know", postHead("Content-Length: 1\r\nExpect: magic\r\n"), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := ParseHead([]byte(tt.in))
			wantHead(t, tt.status, tt.in, h, n, err)

			// In pieces the verdict is the same, whatever the pieces.
			for _, size := range []int{1, 2, 7} {
				h, n, err = scanIn(tt.in, size)
				wantHead(t, tt.status, tt.in, h, n, err)
			}
		})
	}
}

func wantHead(t *testing.T, status int, in string, h *Head, n int, err error) {
	t.Helper()
	if status != 0 {
		he, ok := errors.AsType[*HeadError](err)
		if !ok || he.Status != status || h != nil {
			t.Fatalf("got %v, %v, want status %d", h, err, status)
		}
		return
	}
	if err != nil || h == nil || n != len(in) {
		t.Fatalf("got %v, %d, %v, want a head of %d bytes", h, n, err, len(in))
	}
}

// scanIn feeds in to one scanner in pieces of size bytes.
func scanIn(in string, size int) (*Head, int, error) {
	var s HeadScanner
	for end := size; ; end += size {
		h, n, err := s.Scan([]byte(in[:min(end, len(in))]))
		if h != nil || err != nil || end >= len(in) {
			return h, n, err
		}
	}
}

func TestHeadSaysWhatItRead(t *testing.T) {
	in := handshakeHead()
	h, n, err := ParseHead([]byte(in + "rest"))
	if err != nil || n != len(in) || h.Len != n {
		t.Fatal(h, n, err)
	}
	got := fmt.Sprint(h.Method, h.Target, h.Host, h.Upgrade, h.Chunked, h.ContentLength, len(h.Fields), h.Get("origin"), h.Count("HOST"), h.Count("none"))
	want := fmt.Sprint("GET", "/chat?room=1", "door.example", true, false, 0, 6, "https://app.example", 1, 0)
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	h, _, _ = ParseHead([]byte(postHead("Content-Length: 1234567890\r\n")))
	if h.ContentLength != 1234567890 {
		t.Errorf("got %d", h.ContentLength)
	}
}

func TestHeadNeedsMore(t *testing.T) {
	in := handshakeHead()
	for i := range in {
		if h, n, err := ParseHead([]byte(in[:i])); h != nil || n != 0 || err != nil {
			t.Fatalf("after %d bytes: %v, %d, %v", i, h, n, err)
		}
	}
}

// A mistake ends the wait for the rest of the head.
func TestHeadRefusesEarly_AT23(t *testing.T) {
	for _, in := range []string{"GET / HTTP/1.0\r\n", "GET /\r\n", "\r", "\x16", "GET / HTTP/1.1\r\nX : y\r\n", "GET /\r "} {
		if _, _, err := ParseHead([]byte(in)); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

func TestHeadScannerLooksOnce_AT21(t *testing.T) {
	in := []byte("GET / HTTP/1.1\r\n" + hostLine + "Sec-WebSocket-Protocol: " + strings.Repeat(`",;\`, 4000))
	var s HeadScanner
	for i := range in {
		if _, _, err := s.Scan(in[:i+1]); err != nil {
			t.Fatal(err)
		}
		if s.seen != i+1 {
			t.Fatalf("looked at %d of %d bytes", s.seen, i+1)
		}
	}
	if got := testing.AllocsPerRun(10, func() { new(HeadScanner).Scan(in) }); got > 4 {
		t.Errorf("%v allocations for a head that is not complete", got)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte(handshakeHead()), uint8(1))
	f.Add([]byte(postHead("Content-Length: 3\r\n")+"abc"), uint8(5))
	f.Add([]byte(postHead("Transfer-Encoding: chunked\r\n")+"0\r\n\r\n"), uint8(3))
	f.Add([]byte("GET /%41?%zz HTTP/1.1\r\nHost: [::1]:8443\r\nX:\ty \t\r\n\r\n"), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		h, n, err := ParseHead(b)
		ph, pn, perr := scanIn(string(b), int(size)+1)
		if n != pn || (err == nil) != (perr == nil) || (h == nil) != (ph == nil) {
			t.Fatalf("whole: %v %d %v; in pieces: %v %d %v", h, n, err, ph, pn, perr)
		}
		if err != nil {
			if he, ok := errors.AsType[*HeadError](err); !ok || he.Status < 400 || h != nil || n != 0 {
				t.Fatalf("%v %d %v", h, n, err)
			}
			return
		}
		if h == nil {
			if len(b) >= MaxHead {
				t.Fatal("wants more than the largest head")
			}
			return
		}
		// What we accept, net/http accepts and understands in the same way.
		rest := io.MultiReader(strings.NewReader(string(b[:n])), strings.NewReader("0\r\n\r\n"))
		r, err := http.ReadRequest(bufio.NewReader(rest))
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b[:n], err)
		}
		length := h.ContentLength
		if h.Chunked {
			length = -1
		}
		if r.Method != h.Method || r.RequestURI != h.Target || r.Host != h.Host || r.ContentLength != length ||
			r.URL.Host != "" || r.URL.User != nil || r.URL.Fragment != "" || len(r.Trailer) > 0 {
			t.Fatalf("got %+v, net/http %+v", h, r)
		}
		lines := 1 + len(r.TransferEncoding) // net/http takes these out, and Host
		for _, v := range r.Header {
			lines += len(v)
		}
		if lines != len(h.Fields) {
			t.Fatalf("got %d lines, net/http %d", len(h.Fields), lines)
		}
	})
}

func BenchmarkParseHead(b *testing.B) {
	in := []byte(handshakeHead("User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept-Language: en\r\n"))
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, _, err := ParseHead(in); err != nil {
			b.Fatal(err)
		}
	}
}
