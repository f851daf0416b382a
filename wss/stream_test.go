package wss

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/ws"
)

// FuzzStream sends arbitrary bytes through the whole stack: handlers see the
// requests that a strict reader sees, in their order, and no others.
func FuzzStream(f *testing.F) {
	f.Add([]byte(head("GET", "/a")+head("POST", "/b", "Content-Length: 3\r\n")+"abc"+head("GET", "/c")), uint16(0))
	f.Add([]byte(head("POST", "/b", "Transfer-Encoding: chunked\r\n")+"3\r\nabc\r\n0\r\n\r\n"+head("GET", "/c")), uint16(7))
	f.Add([]byte(head("POST", "/b", "Content-Length: 3\r\nExpect: 100-continue\r\n")+"abc"+head("GET", "/ws", upgradeLines)+"x"), uint16(100))
	f.Add([]byte(head("POST", "/b", "Transfer-Encoding: chunked\r\n")+"3;\r\nabc\r\n0\r\n\r\n"+head("GET", "/c")), uint16(40))

	m := newMemory()
	var s *site
	s = serve(f, m, behindProxy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			s.served.add(r, fmt.Appendf(nil, "%x", body))
		}
	}))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		s.served.list = nil
		c := m.dial("127.0.0.1")
		go io.Copy(io.Discard, c)
		at := min(int(cut), len(in))
		c.Write(in[:at])
		c.Write(in[at:])
		c.Close()
		for s.l.Count() > 0 {
			runtime.Gosched()
		}
		got, want := s.served.all(), strictly(in)
		if len(got) > len(want) { // fewer, because the client left without waiting
			t.Fatalf("%q: served %q, want %q", in, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%q: served %q, want %q", in, got, want)
			}
		}
	})
}

// strictly lists the complete requests at the beginning of in.
func strictly(in []byte) (list []string) {
	for {
		h, n, err := ws.ParseHead(in)
		if h == nil || err != nil || h.Count(forwardedProto) != 1 || h.Get(forwardedProto) != "https" {
			return list
		}
		b := newBody(h.ContentLength, h.Chunked, 1<<20)
		k, err := b.feed(in[n:])
		if err != nil || !b.done() {
			return list
		}
		body := in[n : n+k]
		if h.Chunked {
			body = nil
			for rest := in[n : n+k]; ; {
				line, after, _ := strings.Cut(string(rest), "\r\n")
				var size int
				if fmt.Sscanf(line, "%x", &size); size == 0 {
					break
				}
				body, rest = append(body, after[:size]...), []byte(after[size+2:])
			}
		}
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %x", h.Method, h.Target, body)))
		in = in[n+k:]
	}
}
