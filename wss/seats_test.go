package wss

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestSeatsAreNotHeldForNothing: whoever makes the door wait, for a body or to
// take an answer, does not keep the others out.
func TestSeatsAreNotHeldForNothing_AT50_SR73(t *testing.T) {
	big := make([]byte, 64<<20)
	for _, tt := range []struct{ name, request string }{
		{"AT-50 a body that never comes", "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"},
		{"AT-50 a body that stops", "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"},
		{"AT-50 chunks that never come", "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"},
		{"AT-50 an answer that nobody reads", "GET /big HTTP/1.1\r\nHost: a\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, overTLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/body":
					io.ReadAll(r.Body)
				case "/big":
					w.Write(big)
				}
			}), func(o *Options) { o.Unauthenticated = 2 })
			for range 2 {
				c := s.client(overTLS)
				defer c.Close()
				c.send(tt.request)
			}
			time.Sleep(100 * time.Millisecond) // so that the seats are taken first
			began := time.Now()
			honest := s.client(overTLS)
			defer honest.Close()
			honest.SetDeadline(time.Now().Add(6 * time.Second))
			honest.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			honest.wantAnswer(http.StatusOK, "")
			if d := time.Since(began); d > 5*time.Second {
				t.Errorf("served after %s", d)
			}
		})
	}
}

// TestServedKeepsItsSeat: a request that the server thinks about is not cut.
func TestServedKeepsItsSeat(t *testing.T) {
	s := newSite(t, overTLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		time.Sleep(1500 * time.Millisecond)
		io.WriteString(w, "done")
	}), func(o *Options) { o.Unauthenticated = 1 })
	c := s.client(overTLS)
	defer c.Close()
	c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
	time.Sleep(50 * time.Millisecond)
	other := s.client(overTLS)
	defer other.Close()
	go other.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
	c.wantAnswer(http.StatusOK, "done")
}

// TestWaitingForUsIsNoSilence: a client whose hello is there waits for a place in
// the pool of handshakes, not we for it: it does not lose its seat meanwhile.
func TestWaitingForUsIsNoSilence_SR73(t *testing.T) {
	s := newSite(t, overTLS, nil, func(o *Options) { o.Handshakes, o.Unauthenticated = 1, 2 })
	first := hello(t, s)
	defer first.Close()
	if !eventually(func() bool { return s.l.shaking.held() == 1 }) {
		t.Fatal("no handshake began")
	}
	second := hello(t, s)
	defer second.Close()
	if !eventually(func() bool {
		s.l.waiting.mu.Lock()
		defer s.l.waiting.mu.Unlock()
		return s.l.waiting.n == 2 && s.l.waiting.order.Len() == 1
	}) {
		t.Error("who waits for a handshake can lose its seat")
	}
}

// hello sends a first message of TLS, and no more.
func hello(t *testing.T, s *site) net.Conn {
	raw, err := net.Dial("tcp", s.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go tls.Client(silent{raw, t.Context()}, &tls.Config{ServerName: "localhost"}).Handshake() // ends with the test
	return raw
}

// silent reads nothing.
type silent struct {
	net.Conn
	test context.Context
}

func (s silent) Read([]byte) (int, error) {
	<-s.test.Done()
	return 0, io.EOF
}

func eventually(ok func() bool) bool {
	for range 90 {
		if ok() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
