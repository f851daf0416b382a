package wss

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// accepter answers upgrades by hijacking, as the door does.
type accepter struct {
	*site
}

func (a *accepter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		a.echo(w, r)
		return
	}
	a.served.add(r, nil)
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		a.t.Error(err)
		return
	}
	wc, ok := From(c)
	if !ok {
		a.t.Errorf("%T is not ours", c)
		return
	}
	if n := rw.Reader.Buffered(); n > 0 {
		a.t.Errorf("net/http was given %d bytes behind the head", n)
	}
	raw, early, err := wc.Detach()
	if err != nil {
		a.t.Error(err)
		return
	}
	go func() { // the conversation outlives the handler
		defer raw.Close()
		if wc.Early() || len(early) > 0 {
			io.WriteString(raw, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly")
			return
		}
		io.WriteString(raw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(raw, raw)
	}()
}

func newAccepter(t testing.TB, k kind, change ...func(*Options)) *site {
	a := &accepter{}
	a.site = newSite(t, k, a, change...)
	return a.site
}

func (c *client) wantEcho(text string) {
	c.t.Helper()
	c.send(text)
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c.r, b); err != nil || string(b) != text {
		c.t.Fatalf("got %q, %v, want %q", b, err, text)
	}
}

func each(t *testing.T, f func(t *testing.T, k kind)) {
	for _, k := range []kind{overTLS, behindProxy} {
		t.Run(k.String(), func(t *testing.T) { f(t, k) })
	}
}

func TestOrdinaryRequests(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, nil)
		c := s.client(k)
		defer c.Close()
		big := strings.Repeat("0123456789", 20_000)
		for range 3 {
			c.send(head("GET", "/a?b"))
			c.wantAnswer(200, "GET /a?b:")
			c.send(head("POST", "/p", "Content-Length: 3\r\n") + "abc")
			c.wantAnswer(200, "POST /p:abc")
			c.send(head("POST", "/p", "Content-Length: 0\r\n"))
			c.wantAnswer(200, "POST /p:")
			c.send(head("POST", "/c", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
			c.wantAnswer(200, "POST /c:abcde")
			c.send(head("POST", "/b", fmt.Sprintf("Content-Length: %d\r\n", len(big))) + big)
			c.wantAnswer(200, "POST /b:"+big)
			c.send(head("HEAD", "/h", "Connection: keep-alive\r\n"))
			if r, err := http.ReadResponse(c.r, &http.Request{Method: "HEAD"}); err != nil || r.StatusCode != 200 {
				t.Fatal(r, err)
			}
		}
		c.send(head("GET", "/last", "Connection: close\r\n"))
		c.wantAnswer(200, "GET /last:")
		c.wantEnd()
	})
}

func TestRequestInPieces(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, nil)
		c := s.client(k)
		defer c.Close()
		for range 2 {
			for _, b := range head("POST", "/c", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n" {
				c.send(string(b))
			}
			c.wantAnswer(200, "POST /c:abc0123456789")
		}
	})
}

// net/http sees TLS where there is TLS, and only there.
func TestRequestTLS(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, ok := FromContext(r.Context())
			fmt.Fprintf(w, "%v %v %v %s", r.TLS != nil, ok, c.TLS() != nil, c.Peer())
		}))
		c := s.client(k)
		defer c.Close()
		c.send(head("GET", "/"))
		c.wantAnswer(200, fmt.Sprintf("%v true %v 127.0.0.1", k == overTLS, k == overTLS))
	})
}

func TestExpectContinue(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, nil)
		c := s.client(k)
		defer c.Close()
		for range 2 {
			c.send(head("POST", "/p", "Content-Length: 3\r\nExpect: 100-continue\r\n"))
			if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode != 100 {
				t.Fatal(r, err)
			}
			c.send("abc")
			c.wantAnswer(200, "POST /p:abc")
		}
		// "100 Continue" is no answer yet: a bad body still gets its own.
		c.send(head("POST", "/p", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"))
		if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode != 100 {
			t.Fatal(r, err)
		}
		c.send("zz\r\n")
		c.wantAnswer(400, "the chunks are malformed\n")
		c.wantEnd()
	})
}

// nginx and Node upgrade a connection that was used before.
func TestHijack_SR83(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		for _, before := range []int{0, 1, 3} {
			s := newAccepter(t, k)
			c := s.client(k)
			defer c.Close()
			for range before {
				c.send(head("POST", "/p", "Content-Length: 3\r\n") + "abc")
				c.wantAnswer(200, "POST /p:abc")
			}
			c.send(head("GET", "/ws", upgradeLines))
			if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode != 101 {
				t.Fatal(r, err)
			}
			c.wantEcho("hello")
			c.wantEcho(strings.Repeat("x", 100_000))
			if got := s.l.Unauthenticated(); got != 0 {
				t.Errorf("%d unauthenticated connections after the upgrade", got)
			}
			if got := s.l.Count(); got != 1 {
				t.Errorf("%d connections, want 1", got)
			}
		}
	})
}

// A connection that was hijacked by somebody who does not know us works too.
func TestHijackWithoutDetach(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			io.CopyN(c, rw, 5)
		}))
		c := s.client(k)
		defer c.Close()
		c.send(head("GET", "/ws", upgradeLines))
		if r, err := http.ReadResponse(c.r, nil); err != nil || r.StatusCode != 101 {
			t.Fatal(r, err)
		}
		c.wantEcho("hello")
		c.wantEnd()
	})
}

func TestBytesBehindAnUpgrade_SR83(t *testing.T) {
	second := head("GET", "/smuggled")
	each(t, func(t *testing.T, k kind) {
		t.Run("SR-83 AT-87 a second request in the same write", func(t *testing.T) {
			s := newAccepter(t, k)
			c := s.client(k)
			defer c.Close()
			c.send(head("GET", "/ws", upgradeLines) + second)
			c.wantAnswer(400, "")
			c.wantEnd()
			if got := s.served.all(); len(got) > 0 {
				t.Errorf("served %v", got)
			}
			contains(t, s.refusals.String(), "400 bytes follow an upgrade request before its answer")
		})
		t.Run("SR-83 one byte in the same write", func(t *testing.T) {
			s := newAccepter(t, k)
			c := s.client(k)
			defer c.Close()
			c.send(head("GET", "/first") + head("GET", "/ws", upgradeLines) + "x")
			c.wantAnswer(200, "GET /first:")
			c.wantAnswer(400, "")
			c.wantEnd()
		})
		t.Run("SR-83 AT-87 a second request while the first is judged", func(t *testing.T) {
			arrived := make(chan struct{})
			var s *site
			s = newSite(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s.served.add(r, nil)
				arrived <- struct{}{}
				wc, _ := FromContext(r.Context())
				for !wc.Early() { // the background read of net/http finds it
					runtime.Gosched()
				}
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil || rw.Reader.Buffered() > 0 {
					t.Error(err, rw.Reader.Buffered())
					return
				}
				defer c.Close()
				if n, err := c.Read(make([]byte, 100)); n != 0 || err != ErrEarly {
					t.Errorf("read %d, %v of what is early", n, err)
				}
				raw, early, err := wc.Detach()
				if err != nil || len(early) == 0 || !strings.HasPrefix(second, string(early)) {
					t.Errorf("got %q, %v", early, err)
				}
				io.WriteString(raw, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			}))
			c := s.client(k)
			defer c.Close()
			c.send(head("GET", "/ws", upgradeLines))
			<-arrived
			c.send(second)
			c.wantAnswer(400, "")
			c.wantEnd()
			if got := s.served.all(); !slices.Equal(got, []string{"GET /ws"}) {
				t.Errorf("served %v", got)
			}
		})
	})
}

func TestBytesBehindAnUpgradeAreBounded_SR83(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t, behindProxy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second) // asks somebody
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			wc, _ := From(c)
			raw, early, _ := wc.Detach()
			defer raw.Close()
			fmt.Fprintf(raw, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nX-Early: %d\r\n\r\n", len(early))
		}))
		c := s.client(behindProxy)
		defer c.Close()
		c.send(head("GET", "/ws", upgradeLines))
		go io.WriteString(c, strings.Repeat("x", 20_000))
		r, err := http.ReadResponse(c.r, nil)
		if err != nil || r.Header.Get("X-Early") != "4096" {
			t.Error(r, err)
		}
	})
}

// A handler that answers an upgrade in the ordinary way keeps the connection usable.
func TestUpgradeRefusedThenOrdinary(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no", http.StatusUpgradeRequired)
		}))
		c := s.client(k)
		defer c.Close()
		for range 200 { // the next request races with the end of the one before
			// and is not taken for bytes before the answer
			c.send(head("GET", "/ws", upgradeLines))
			c.wantAnswer(426, "")
		}
	})
}

// Requests in a row are answered in order, one at a time.
func TestPipelining(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		var mu sync.Mutex
		running := 0
		s := newSite(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !mu.TryLock() {
				t.Error("two requests of one connection at a time")
			}
			defer mu.Unlock()
			running++
			b, _ := io.ReadAll(r.Body) // net/http drops what is unread when an answer begins
			fmt.Fprintf(w, "%s%s %d", b, r.RequestURI, running)
		}))
		c := s.client(k)
		defer c.Close()
		var all strings.Builder
		body := strings.Repeat("x", 3000)
		for i := range 50 {
			all.WriteString(head("POST", fmt.Sprint("/", i), "Content-Length: 3000\r\n") + body)
		}
		go io.WriteString(c, all.String())
		for i := range 50 {
			c.wantAnswer(200, fmt.Sprintf("%s/%d %d", body, i, i+1))
		}
	})
}

func TestMalformedBody_AT24(t *testing.T) {
	for _, tt := range []struct {
		name, lines, body string
		status            int
	}{
		{"AT-24 a chunk extension", "Transfer-Encoding: chunked\r\n", "3;a=b\r\nabc\r\n0\r\n\r\n", 400},
		{"AT-24 a trailer", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX: y\r\n\r\n", 400},
		{"AT-24 bare LF", "Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n", 400},
		{"AT-24 after a good chunk", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\nzz\r\n", 400},
		{"a length beyond the limit", "Content-Length: 1000001\r\n", "", 413},
		{"chunks beyond the limit", "Transfer-Encoding: chunked\r\n", "f4241\r\n", 413},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, k kind) {
				s := newSite(t, k, nil, func(o *Options) { o.MaxBody = 1_000_000 })
				c := s.client(k)
				defer c.Close()
				c.send(head("POST", "/p", tt.lines) + tt.body + head("GET", "/smuggled"))
				c.wantAnswer(tt.status, "")
				c.wantEnd()
				for _, r := range s.served.all() {
					if strings.Contains(r, "smuggled") {
						t.Errorf("served %s", r)
					}
				}
			})
		})
	}
}

// A mistake in the body after the answer began ends the connection, with nothing in between.
func TestMalformedBodyLate_AT24(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "begun")
			http.NewResponseController(w).Flush()
			io.Copy(io.Discard, r.Body)
			io.WriteString(w, "more")
		}))
		c := s.client(k)
		defer c.Close()
		c.send(head("POST", "/p", "Transfer-Encoding: chunked\r\n"))
		r, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.send("zz\r\n")
		if b, err := io.ReadAll(r.Body); string(b) != "begun" || err == nil {
			t.Errorf("got %q, %v", b, err)
		}
	})
}

// When a handler leaves a body unread, its rest is never taken for a request.
func TestUnreadBody(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, nil)
		ignore := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.served.add(r, nil) })
		s2 := newSite(t, k, ignore)
		for _, size := range []int{10, 100_000, 600_000} {
			c := s2.client(k)
			filler := strings.Repeat(head("GET", "/smuggled"), 1+size/70)
			go io.WriteString(c, head("POST", "/p", fmt.Sprintf("Content-Length: %d\r\n", len(filler)))+filler+head("GET", "/next"))
			if status, _ := c.answer(); status != 200 && status != 413 {
				t.Errorf("got %d", status)
			}
			c.Close()
		}
		for _, r := range s.served.all() {
			if strings.Contains(r, "smuggled") {
				t.Errorf("served %s", r)
			}
		}
	})
}

// A client that leaves ends the context of its request, as with net/http alone.
func TestPeerLeavesDuringRequest(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		arrived, gone := make(chan struct{}), make(chan struct{})
		s := newSite(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(gone)
		}))
		c := s.client(k)
		c.send(head("GET", "/"))
		<-arrived
		c.Close()
		<-gone
	})
}

// What is held back behind a request is bounded; reading stops and goes on later.
func TestHeldBackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := newMemorySite(t, behindProxy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-hold
			}
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
		}))
		c := s.client(behindProxy)
		defer c.Close()
		c.send(head("GET", "/slow"))
		sent := 0
		const size = 200_000
		go func() {
			rest := head("POST", "/", fmt.Sprintf("Content-Length: %d\r\n", size)) + strings.Repeat("x", size)
			for len(rest) > 0 {
				n, err := io.WriteString(c, rest[:min(1000, len(rest))])
				if err != nil {
					return
				}
				sent, rest = sent+n, rest[n:]
			}
		}()
		synctest.Wait()
		if sent > holdAhead {
			t.Errorf("%d bytes were read behind a request", sent)
		}
		time.Sleep(time.Minute) // a waiting reader does not give up
		close(hold)
		c.wantAnswer(200, "0")
		c.wantAnswer(200, fmt.Sprint(size))
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t, behindProxy, nil)
		start := time.Now()
		c := s.client(behindProxy)
		defer c.Close()
		c.send(head("GET", "/"))
		c.wantAnswer(200, "GET /:")
		c.wantEnd()
		if got := time.Since(start); got != time.Minute {
			t.Errorf("an idle connection lived %s, want a minute", got)
		}

		c = s.client(behindProxy)
		defer c.Close()
		c.send(head("POST", "/", "Content-Length: 5\r\n"))
		start = time.Now()
		dripped := make(chan struct{})
		go func() { drip(c, "x", 20*time.Second); close(dripped) }()
		if status, _ := c.answer(); status != 400 || time.Since(start) != 30*time.Second {
			t.Errorf("a slow body: got %d after %s, want net/http's timeout after 30s", status, time.Since(start))
		}
		c.Close()
		<-dripped
	})
}

// A peer that does not read its answer does not hold a place for ever.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemorySite(t, behindProxy, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("x", 1_000_000))
		}))
		c := s.dial()
		defer c.Close()
		io.WriteString(c, head("GET", "/"))
		time.Sleep(writeStall + time.Second)
		synctest.Wait()
		if got := s.l.Count(); got != 0 {
			t.Errorf("%d connections, want none", got)
		}
	})
}

func TestFrom(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, ok := From(a); ok {
		t.Error("a pipe is not ours")
	}
	if _, _, err := new(Conn).Detach(); err == nil {
		t.Error("detached without hijacking")
	}
}
