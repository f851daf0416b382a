package wss

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wantPlainRefusal wants 426 in clear text that redirects nowhere.
func (c *client) wantPlainRefusal() {
	c.t.Helper()
	r, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	io.Copy(io.Discard, r.Body)
	if r.StatusCode != 426 || r.Header.Get("Location") != "" || !r.Close || r.Header.Get("Upgrade") != "TLS/1.3" {
		c.t.Errorf("got %d %v", r.StatusCode, r.Header)
	}
	if r.Header.Get("Strict-Transport-Security") != "" {
		c.t.Error("SR-08: Strict-Transport-Security in clear text")
	}
	c.wantEnd()
}

func hsts(o *Options) {
	o.Refusal = func(int, string) []byte {
		return []byte("HTTP/1.1 426 No\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n")
	}
}

func TestPlaintext(t *testing.T) {
	otherPeer := func(o *Options) { o.TerminatedBy, _ = ParsePeers([]string{"10.0.0.0/8", "unix"}) }
	for _, tt := range []struct {
		name   string
		kind   kind
		change func(*Options)
		in     string
	}{
		{"SR-01 an upgrade on a TLS port", overTLS, hsts, head("GET", "/ws", upgradeLines)},
		{"SR-02 a request for a ticket on a TLS port", overTLS, hsts, head("POST", "/sallyport/ticket", "Content-Length: 0\r\n")},
		{"AT-26 the preface of HTTP/2 on a TLS port", overTLS, hsts, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
		{"SR-01 an upgrade on a port without TLS", inClear, hsts, head("GET", "/ws", upgradeLines)},
		{"SR-02 a page on a port without TLS", inClear, hsts, head("GET", "/")},
		{"SR-01 a peer that is not the proxy", inClear, otherPeer, head("GET", "/ws", upgradeLines)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.kind, nil, tt.change)
			c := s.client(inClear)
			defer c.Close()
			c.send(tt.in)
			c.wantPlainRefusal()
			if got := s.served.all(); len(got) > 0 {
				t.Errorf("served %v", got)
			}
			contains(t, s.refusals.String(), "426 ")
		})
	}
}

func TestTerminatedBy(t *testing.T) {
	for _, tt := range []struct {
		name, lines string
		status      int
	}{
		{"SR-01 the proxy says https", "X-Forwarded-Proto: https\r\n", 200},
		{"SR-01 the proxy says nothing", "", 426},
		{"SR-01 the proxy says http", "X-Forwarded-Proto: http\r\n", 426},
		{"SR-01 the proxy says both", "X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n", 426},
		{"SR-01 the proxy says https twice", "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n", 426},
		{"SR-01 the proxy says a list", "X-Forwarded-Proto: https, http\r\n", 426},
		{"SR-01 the proxy says wss", "X-Forwarded-Proto: wss\r\n", 426},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, behindProxy, nil, hsts)
			c := s.client(behindProxy)
			defer c.Close()
			c.send(head("GET", "/first")) // each request is judged
			c.wantAnswer(200, "GET /first:")
			c.send("GET / HTTP/1.1\r\nHost: a\r\n" + tt.lines + "\r\n")
			if tt.status == 426 {
				c.wantPlainRefusal()
				return
			}
			c.wantAnswer(tt.status, "")
		})
	}
	t.Run("a unix socket", func(t *testing.T) {
		inner, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		s := serve(t, inner, inClear, nil, func(o *Options) { o.TerminatedBy = peers(t, "unix") })
		raw, err := net.Dial("unix", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s.dial = func() net.Conn { return raw }
		c := s.client(behindProxy)
		defer c.Close()
		c.send(head("GET", "/"))
		c.wantAnswer(200, "GET /:")
	})
	t.Run("TLS and a proxy on one port", func(t *testing.T) {
		s := newSite(t, overTLS, nil, func(o *Options) { o.TerminatedBy = peers(t, "127.0.0.1") })
		for _, k := range []kind{overTLS, behindProxy} {
			c := s.client(k)
			c.send(head("GET", "/"))
			c.wantAnswer(200, "GET /:")
			c.Close()
		}
	})
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		status   int
	}{
		{"SR-16 two Hosts", head("GET", "/", "Host: evil\r\n"), 400},
		{"SR-70 AT-21 a head of 16 KiB", head("GET", "/", "X: "+strings.Repeat("a", 16<<10)+"\r\n"), 431},
		{"SR-70 AT-21 1000 lines", head("GET", "/", strings.Repeat("X: a\r\n", 1000)), 431},
		{"SR-80 AT-26 an upgrade to h2c", head("GET", "/", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"), 400},
		{"SR-80 an upgrade to TLS", head("GET", "/", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"), 400},
		{"AT-26 the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 505},
		{"AT-81 a PROXY header of version 1", "PROXY TCP4 6.6.6.6 127.0.0.1 1 443\r\n" + head("GET", "/"), 400},
		{"AT-81 a PROXY header of version 2", "\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c" + head("GET", "/"), 400},
		{"SR-81 an upgrade with a body", head("GET", "/ws", upgradeLines, "Content-Length: 5\r\n") + "hello", 400},
		{"SR-81 an upgrade in chunks", head("GET", "/ws", upgradeLines, "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
		{"SR-81 an upgrade that expects", head("GET", "/ws", upgradeLines, "Expect: 100-continue\r\n"), 400},
		{"AT-23 HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 505},
		{"AT-23 absolute-form", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"AT-24 bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400},
		{"AT-24 obs-fold", head("GET", "/", "X: a\r\n b\r\n"), 400},
		{"AT-24 CL and TE", head("POST", "/", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, k kind) {
				for _, before := range []string{"", head("GET", "/first")} {
					s := newSite(t, k, nil)
					c := s.client(k)
					defer c.Close()
					if before != "" {
						c.send(before)
						c.wantAnswer(200, "")
					}
					go io.WriteString(c, tt.in+strings.Repeat(head("GET", "/smuggled"), 50))
					c.wantAnswer(tt.status, "")
					if b, _ := io.ReadAll(c.r); len(b) > 0 {
						t.Errorf("after the refusal: %q", b)
					}
					if got := s.served.all(); len(got) > len(before) || strings.Contains(strings.Join(got, " "), "smuggled") {
						t.Errorf("served %v", got)
					}
					contains(t, s.refusals.String(), fmt.Sprint(tt.status, " "))
				}
			})
		})
	}
}

func TestRefusalIsTheDoors(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		s := newSite(t, k, nil, func(o *Options) {
			o.Refusal = func(status int, why string) []byte {
				return fmt.Appendf(nil, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, len(why), why)
			}
		})
		c := s.client(k)
		defer c.Close()
		c.send("GET / HTTP/1.0\r\n")
		c.wantAnswer(505, "only HTTP/1.1 is spoken")
		c.wantEnd()
	})
}

// Every refusal without a Refusal of one's own is a complete answer.
func TestBuiltInRefusal_SR08(t *testing.T) {
	var l Listener
	for _, status := range []int{400, 405, 408, 413, 426, 431, 505} {
		b := string(l.refusal(status, "why", true))
		if !strings.HasSuffix(b, "\r\n\r\nwhy\n") || !strings.Contains(b, "Connection: close") || strings.Contains(b, "Strict-") {
			t.Errorf("got %q", b)
		}
	}
}

func TestSlowHead_AT20(t *testing.T) {
	for _, tt := range []struct {
		name, before, text string
		every, want        time.Duration
		refused            string
	}{
		{"SR-70 AT-20 a head byte by byte", "", head("GET", "/", "X: y\r\n"), 500 * time.Millisecond, 5 * time.Second, "408"},
		{"SR-70 AT-20 a head in a hurry", "", "GET /" + strings.Repeat("a", 16000), time.Millisecond, 5 * time.Second, "408"},
		{"SR-70 AT-20 the second head byte by byte", head("GET", "/"), head("GET", "/"), 500 * time.Millisecond, 5 * time.Second, "408"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newMemorySite(t, behindProxy, nil)
				c := s.client(behindProxy)
				if tt.before != "" {
					c.send(tt.before)
					c.wantAnswer(200, "")
					time.Sleep(30 * time.Second) // idle; the head's time begins with its first byte
				}
				go io.Copy(io.Discard, c.r)
				got := drip(c, tt.text, tt.every)
				if got < tt.want || got > tt.want+lingerTime+tt.every {
					t.Errorf("closed after %s, want %s", got, tt.want)
				}
				contains(t, s.refusals.String(), tt.refused)
				c.Close()
			})
		})
	}
	t.Run("SR-70 AT-20 nothing at all", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newMemorySite(t, behindProxy, nil)
			start := time.Now()
			c := s.client(behindProxy)
			c.wantEnd()
			if got := time.Since(start); got != 5*time.Second {
				t.Errorf("closed after %s", got)
			}
		})
	})
	t.Run("AT-20 a TLS hello byte by byte", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newMemorySite(t, overTLS, nil)
			c := s.dial()
			if got := drip(c, "\x16\x03\x01\x01\x00", time.Second/2); got < 10*time.Second || got > 11*time.Second {
				t.Errorf("closed after %s", got)
			}
			contains(t, s.refusals.String(), "0 the TLS handshake was not completed in time")
			c.Close()
		})
	})
	t.Run("AT-20 a TLS hello and then nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newMemorySite(t, overTLS, nil)
			c := s.dial()
			start := time.Now()
			go tls.Client(writeOnly{c}, &tls.Config{ServerName: "localhost"}).Handshake()
			io.Copy(io.Discard, c)
			if got := time.Since(start); got != 10*time.Second {
				t.Errorf("closed after %s", got)
			}
			c.Close()
		})
	})
}

// writeOnly never reads.
type writeOnly struct{ net.Conn }

func (writeOnly) Read([]byte) (int, error) { return 0, io.EOF }

// Silent connections cannot keep honest ones out, in either pool.
func TestSlowloris_SR70(t *testing.T) {
	for _, k := range []kind{overTLS, behindProxy} {
		t.Run("SR-70 AT-20 2000 silent connections "+k.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				s := serve(t, m, k, nil)
				s.dial = func() net.Conn { return m.dial("127.0.0.1") }
				var wg sync.WaitGroup
				for range 2000 {
					wg.Go(func() {
						c := s.dial()
						defer c.Close()
						if k == overTLS {
							c.Write([]byte("\x16\x03\x01"))
						} else {
							c.Write([]byte("GET / HT"))
						}
						io.Copy(io.Discard, c)
					})
				}
				synctest.Wait()
				if got := s.l.Unauthenticated(); got != 1000 {
					t.Errorf("%d unauthenticated connections, want 1000", got)
				}
				time.Sleep(2 * time.Second)
				start := time.Now()
				for range 20 {
					c := m.dial("127.0.0.1")
					if k == behindProxy { // TLS needs a transport with buffers
						io.WriteString(c, head("GET", "/"))
						b := make([]byte, 12)
						if _, err := io.ReadFull(c, b); err != nil || string(b) != "HTTP/1.1 200" {
							t.Fatalf("got %q, %v", b, err)
						}
					}
					c.Close()
				}
				if got := time.Since(start); got > 100*time.Millisecond {
					t.Errorf("20 honest connections took %s", got)
				}
				wg.Wait()
				contains(t, s.refusals.String(), "503 ")
			})
		})
	}
}

func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Listener{waiting: newPool(2), shaking: newPool(2)}
		seats := make([]*seat, 6)
		for i := range seats {
			a, b := net.Pipe()
			defer a.Close()
			seats[i] = &seat{sock: &socket{Conn: b, l: l}}
		}
		p := newPool(2)
		done := make(chan struct{})
		if !p.enter(seats[0], done, time.Time{}) || !p.enter(seats[1], done, time.Time{}) {
			t.Fatal("free seats are taken")
		}
		p.keep(seats[0])
		start := time.Now()
		if p.enter(seats[2], done, start.Add(time.Second/2)) {
			t.Error("sat down on somebody who is new")
		}
		if !p.enter(seats[2], done, time.Time{}) || time.Since(start) != patience {
			t.Errorf("waited %s for a seat", time.Since(start))
		}
		if seats[0].sock.closed.Load() || !seats[1].sock.closed.Load() {
			t.Error("the wrong one was evicted")
		}
		p.keep(seats[2])
		entered := make(chan bool)
		go func() { entered <- p.enter(seats[3], done, time.Time{}) }()
		go func() { entered <- p.enter(seats[4], done, time.Time{}) }()
		time.Sleep(time.Minute)
		select {
		case <-entered:
			t.Error("somebody who is served was evicted")
		default:
		}
		p.leave(seats[0])
		p.leave(seats[0])
		<-entered
		p.leave(seats[2])
		<-entered
		if p.held() != 2 {
			t.Errorf("%d seats held", p.held())
		}
		go func() { entered <- p.enter(seats[5], done, time.Time{}) }()
		synctest.Wait()
		close(done)
		if <-entered {
			t.Error("sat down after the end")
		}
	})
}

// More handshakes than seats run one after the other; none is lost.
func TestManyHandshakes(t *testing.T) {
	s := newSite(t, overTLS, nil, func(o *Options) { o.Handshakes, o.Unauthenticated = 2, 4 })
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			c := s.client(overTLS)
			defer c.Close()
			c.send(head("GET", "/", "Connection: close\r\n"))
			c.wantAnswer(200, "GET /:")
		})
	}
	wg.Wait()
}

func TestPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		places := map[netip.Addr]int{}
		m := newMemory()
		s := serve(t, m, inClear, nil, func(o *Options) {
			o.PerAddress = func(a netip.Addr) (func(), bool) {
				mu.Lock()
				defer mu.Unlock()
				if places[a] == 2 {
					return nil, false
				}
				places[a]++
				return func() { mu.Lock(); places[a]--; mu.Unlock() }, true
			}
		})
		for range 2 {
			defer m.dial("203.0.113.9").Close()
		}
		c := m.dial("::ffff:203.0.113.9")
		if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("the third connection was not closed")
		}
		other := m.dial("203.0.113.10")
		synctest.Wait()
		contains(t, s.refusals.String(), "429 ")
		if got := s.l.Count(); got != 3 {
			t.Errorf("%d connections, want 3", got)
		}
		other.Close()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for a, n := range places {
			if n != 0 {
				t.Errorf("%s still holds %d places", a, n)
			}
		}
	})
}

func TestAdmitted(t *testing.T) {
	released := make(chan struct{})
	admitted := make(chan struct{})
	var s *site
	s = newSite(t, overTLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		s.l.Admitted(c)
		s.l.Admitted(c)
		if n := s.l.Unauthenticated(); n != 0 {
			t.Errorf("%d unauthenticated", n)
		}
		close(admitted)
		c.Close()
	}), func(o *Options) {
		o.PerAddress = func(netip.Addr) (func(), bool) { return func() { close(released) }, true }
	})
	c := s.client(overTLS)
	defer c.Close()
	c.send(head("GET", "/ws", upgradeLines))
	<-admitted
	<-released
	c.wantEnd()
}

// Close ends what no server has seen, and waits for it.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		l := Listen(m, Options{TerminatedBy: peers(t, "127.0.0.1")})
		var clients []net.Conn
		for range 10 {
			c := m.dial("127.0.0.1")
			defer c.Close()
			clients = append(clients, c)
		}
		go io.WriteString(clients[0], head("GET", "/")) // ready, but nobody accepts
		go io.WriteString(clients[1], "GET")
		go io.WriteString(clients[2], "nonsense\r\n") // being refused
		synctest.Wait()
		start := time.Now()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("Close took %s", got)
		}
		if l.Count() != 0 || l.Unauthenticated() != 0 {
			t.Errorf("%d connections, %d unauthenticated after Close", l.Count(), l.Unauthenticated())
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the second Close: %v", err)
		}
	})
}

type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, err
}

// Being out of descriptors passes; other errors of the inner listener reach Accept.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		l := Listen(&failing{newMemory(), []error{timeoutError{}, timeoutError{}, broken}}, Options{})
		if _, err := l.Accept(); err != broken {
			t.Errorf("got %v", err)
		}
		l.Close()
	})
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "too many open files" }
func (timeoutError) Timeout() bool   { return false }
func (timeoutError) Temporary() bool { return true }

func TestUnread_SR83(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := inner.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s := &socket{Conn: a}
	if s.unread() {
		t.Error("unread bytes in a new connection")
	}
	io.WriteString(c, "ab")
	if _, err := io.ReadFull(a, make([]byte, 1)); err != nil || !s.unread() { // has arrived
		t.Error("the second byte is not seen", err)
	}
	if _, err := io.ReadFull(a, make([]byte, 1)); err != nil || s.unread() {
		t.Error("the bytes were consumed", err)
	}
	c.Close()
	a.Read(make([]byte, 1))
	if s.unread() {
		t.Error("the end is no byte")
	}
	if (&socket{Conn: pipe{}}).unread() {
		t.Error("a pipe has no descriptor")
	}
}

func TestServerIsHTTP1Only_AT25_AT26(t *testing.T) {
	s := newSite(t, overTLS, nil)
	c, err := tls.Dial("tcp", s.l.Addr().String(), &tls.Config{RootCAs: s.roots, ServerName: "localhost", NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("negotiated %q", got)
	}
	if c, err := tls.Dial("tcp", s.l.Addr().String(), &tls.Config{RootCAs: s.roots, ServerName: "localhost", NextProtos: []string{"h2"}}); err == nil {
		c.Close()
		t.Error("h2 alone was accepted")
	}
}
