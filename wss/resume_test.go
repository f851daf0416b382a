package wss

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// oneTicket offers the ticket of one name to every other.
type oneTicket struct{ tls.ClientSessionCache }

func (o oneTicket) Get(string) (*tls.ClientSessionState, bool) { return o.ClientSessionCache.Get("") }
func (o oneTicket) Put(_ string, s *tls.ClientSessionState)    { o.ClientSessionCache.Put("", s) }

// only keeps the ticket that it has.
type only struct{ tls.ClientSessionCache }

func (only) Put(string, *tls.ClientSessionState) {}

// resumer is a client for one name that keeps its tickets.
func resumer(name string) *tls.Config {
	return &tls.Config{ServerName: name, ClientSessionCache: tls.NewLRUClientSessionCache(8)}
}

// wantResumed makes a handshake that must be good.
func wantResumed(t *testing.T, what string, server, client *tls.Config, want bool) {
	t.Helper()
	if state, err, _ := shake(t, server, client); err != nil || state.DidResume != want {
		t.Errorf("%s: resumed %v, %v, want %v", what, state.DidResume, err, want)
	}
}

// copyOf is a certificate as it is read from the same files again.
func copyOf(c *tls.Certificate) *tls.Certificate { d := *c; return &d }

func TestResumption_SR06_AT27(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			a, b := now(t, "a.test"), now(t, "b.test")
			certs := &fixed{list: []*tls.Certificate{a, b}}
			p := profile(t, Config{Certificates: certs, MinVersion: "1.2"})
			client, other := resumer("a.test"), resumer("b.test")
			client.MaxVersion, other.MaxVersion = version, version
			change := func(list ...*tls.Certificate) {
				certs.list = list
				certs.generation++
			}
			wantResumed(t, "the first", p, client, false)
			wantResumed(t, "the second", p, client, true)
			wantResumed(t, "the third", p, client, true)
			wantResumed(t, "another name", p, other, false)
			change(copyOf(a), copyOf(b))
			wantResumed(t, "the same files read again", p, client, true)
			b2 := now(t, "b.test")
			change(copyOf(a), b2)
			wantResumed(t, "SR-06 another name's certificate has changed", p, client, true)
			wantResumed(t, "SR-06 AT-27 its own certificate has changed", p, other, false)
			wantResumed(t, "and again with the new one", p, other, true)
			change(now(t, "a.test"), b2)
			wantResumed(t, "SR-06 AT-27 its own certificate has changed, too", p, client, false)
			change(a, b2)
			wantResumed(t, "SR-06 back to the old certificate, with a ticket of the new one", p, client, false)
			for range maxTicketKeys + 1 {
				change(a, b2)
				wantResumed(t, "each of many reloads", p, client, true)
			}
		})
	}
}

func TestTicketIsForOneName_SR05_SR06(t *testing.T) {
	both, second := now(t, "a.test", "b.test"), now(t, "c.test", "127.0.0.1")
	for _, tt := range []struct {
		name, first, then string
		resumed           bool
		alert             tls.AlertError
	}{
		{"the same name", "a.test", "a.test", true, 0},
		{"the same name in capitals", "a.test", "A.TEST", true, 0},
		{"SR-06 another name of the same certificate", "a.test", "b.test", false, 0},
		{"SR-06 a name of another certificate", "a.test", "c.test", false, 0},
		{"SR-06 no name", "a.test", "", false, 0},
		{"SR-06 a name, with a ticket for none", "", "a.test", false, 0},
		{"no name twice", "", "", true, 0},
		{"SR-05 SR-06 a name that we do not serve", "a.test", "evil.test", false, 112},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := profile(t, Config{Certificates: &fixed{list: []*tls.Certificate{both, second}}})
			cache := oneTicket{tls.NewLRUClientSessionCache(1)}
			if _, err, _ := shake(t, p, &tls.Config{ServerName: tt.first, ClientSessionCache: cache}); err != nil {
				t.Fatal(err)
			}
			if ticket, ok := cache.Get(""); !ok {
				t.Fatal("no ticket came")
			} else if _, session, err := ticket.ResumptionState(); err != nil || session.EarlyData {
				t.Errorf("early data %v, %v", session.EarlyData, err)
			}
			state, err, _ := shake(t, p, &tls.Config{ServerName: tt.then, ClientSessionCache: cache})
			if tt.alert != 0 {
				if !isAlert(err, tt.alert) {
					t.Errorf("got %v, want the alert %v", err, tt.alert)
				}
				return
			}
			if err != nil || state.DidResume != tt.resumed {
				t.Errorf("resumed %v, %v, want %v", state.DidResume, err, tt.resumed)
			}
			if want := pick([]*tls.Certificate{both, second}, &tls.ClientHelloInfo{ServerName: tt.then}); !tt.resumed && !state.PeerCertificates[0].Equal(want.Leaf) {
				t.Error("the whole handshake showed another name's certificate")
			}
		})
	}
}

// posted is a pipe whose writes do not wait for the reader: both ends of a
// handshake write at once.
type posted struct {
	net.Conn
	out chan []byte // what one handshake has to say fits; closed by Close
}

func post(c net.Conn) posted {
	p := posted{c, make(chan []byte, 64)}
	go func() { // ends with Close
		for b := range p.out {
			c.Write(b)
		}
		c.Close()
	}()
	return p
}

func (p posted) Write(b []byte) (int, error) {
	p.out <- append([]byte(nil), b...)
	return len(b), nil
}

func (p posted) Close() error {
	close(p.out)
	return nil
}

// piped runs a handshake in memory, where time is free.
func piped(t *testing.T, server, client *tls.Config) (resumed bool) {
	t.Helper()
	near, far := net.Pipe()
	client = client.Clone()
	client.InsecureSkipVerify = true
	s, c := tls.Server(post(far), server), tls.Client(post(near), client)
	var wg sync.WaitGroup
	wg.Go(func() {
		s.Write([]byte("x")) // after the tickets
		io.Copy(io.Discard, s)
		s.Close()
	})
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	resumed = c.ConnectionState().DidResume
	c.Close()
	wg.Wait()
	return resumed
}

func TestTicketsEnd_SR06(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		certs := &fixed{list: []*tls.Certificate{selfSigned(t, 0, time.Now(), time.Now().Add(100*24*time.Hour), "a.test")}}
		p := profile(t, Config{Certificates: certs})
		client := resumer("a.test")
		piped(t, p, client)
		start := time.Now()
		old := client.Clone()
		old.ClientSessionCache = only{tls.NewLRUClientSessionCache(1)}
		ticket, _ := client.ClientSessionCache.Get("a.test")
		old.ClientSessionCache.(only).ClientSessionCache.Put("a.test", ticket)
		client.ClientSessionCache.Put("a.test", ticket)

		wantAt := func(at time.Duration, c *tls.Config, want bool) {
			t.Helper()
			time.Sleep(time.Until(start.Add(at)))
			if got := piped(t, p, c); got != want {
				t.Errorf("after %s: resumed %v, want %v", at, got, want)
			}
		}
		wantAt(ticketLife-1, old, true)
		wantAt(ticketLife, old, true) // by the key before the present one
		wantAt(2*ticketLife-1, old, true)
		wantAt(2*ticketLife, old, false)
		// Used every few hours, a session goes on, but not for ever.
		wantAt(2*ticketLife, client, false)
		for at := 2*ticketLife + 5*time.Hour; at < lineLife; at += 5 * time.Hour {
			wantAt(at, client, true)
		}
		wantAt(lineLife, client, false)
		wantAt(lineLife, client, true)
	})
}

func TestTicketKeys_SR06(t *testing.T) {
	source, cert := &fixed{}, &tls.Certificate{Certificate: [][]byte{{1}}}
	k := &tickets{base: &tls.Config{}, source: source}
	at := time.Now()
	after := func(d time.Duration) []ticketKey {
		at = at.Add(d)
		k.config(cert, at)
		return append([]ticketKey(nil), k.keys...)
	}
	a := after(0)
	b := after(ticketLife - 1)
	c := after(1)
	source.generation++
	d := after(time.Minute)
	e := after(3 * ticketLife)
	switch {
	case len(a) != 1 || a[0].secret == [32]byte{} || len(b) != 1 || a[0] != b[0]:
		t.Error("the key changed early")
	case len(c) != 2 || c[1] != a[0] || c[0].secret == a[0].secret:
		t.Error("the key did not rotate")
	case len(d) != 3 || d[1] != c[0] || d[0].secret == c[0].secret:
		t.Error("SR-06 a change of certificates made no new key")
	case len(e) != 1 || e[0].secret == d[0].secret:
		t.Error("a key outlived a day")
	}
	for range 10 {
		source.generation++
		after(1)
	}
	if len(k.keys) != maxTicketKeys {
		t.Errorf("%d keys", len(k.keys))
	}
	for range 3 * maxTicketConfigs {
		k.config(&tls.Certificate{Certificate: [][]byte{{2}}}, at)
	}
	if len(k.configs) > maxTicketConfigs {
		t.Errorf("%d configurations", len(k.configs))
	}
	if e := after(lineLife); len(e) != 1 {
		t.Error("a line of keys did not end")
	}
}

// Two nodes share no keys: a ticket of one is nothing to the other, and no error.
func TestTicketOfAnotherNode_SR06(t *testing.T) {
	certs := &fixed{list: []*tls.Certificate{now(t, "a.test")}}
	one, two := profile(t, Config{Certificates: certs}), profile(t, Config{Certificates: certs})
	client := resumer("a.test")
	wantResumed(t, "the first node", one, client, false)
	wantResumed(t, "the second node", two, client, false)
	wantResumed(t, "the second node again", two, client, true)
}

func TestListenerResumesAfterAReload_SR06(t *testing.T) {
	dir := t.TempDir()
	a, b := fileIn(dir, "a"), fileIn(dir, "b")
	store(t, a, now(t, "a.test"))
	store(t, b, now(t, "b.test"))
	files, err := OpenFiles([]File{a, b})
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, overTLS, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, " ", r.TLS.ServerName, " ", r.TLS.DidResume)
	}), func(o *Options) { o.TLS = profile(t, Config{Certificates: files}) })
	config := map[string]*tls.Config{"a.test": resumer("a.test"), "b.test": resumer("b.test")}
	wantRequest := func(name string, resumed bool) {
		t.Helper()
		config[name].InsecureSkipVerify = true
		c := &client{t: t, Conn: tls.Client(s.dial(), config[name])}
		defer c.Close()
		c.r = bufio.NewReader(c.Conn)
		c.send("GET / HTTP/1.1\r\nHost: " + name + "\r\n\r\n")
		c.wantAnswer(200, fmt.Sprint(name, " ", name, " ", resumed))
	}
	wantRequest("a.test", false)
	wantRequest("b.test", false)
	wantRequest("a.test", true)
	if err := files.Reload(); err != nil {
		t.Fatal(err)
	}
	wantRequest("a.test", true) // nothing has changed
	store(t, b, now(t, "b.test"))
	if err := files.Reload(); err != nil {
		t.Fatal(err)
	}
	wantRequest("a.test", true)
	wantRequest("b.test", false)
	wantRequest("b.test", true)
	if err := os.Remove(b.Key); err != nil {
		t.Fatal(err)
	}
	if files.Reload() == nil {
		t.Fatal("a missing key was taken")
	}
	wantRequest("b.test", true) // a reload that failed changed nothing
}

// Handshakes that resume and begin while the certificates change all succeed.
func TestResumptionDuringReloads_SR06(t *testing.T) {
	dir := t.TempDir()
	a := fileIn(dir, "a")
	store(t, a, now(t, "a.test"))
	files, err := OpenFiles([]File{a})
	if err != nil {
		t.Fatal(err)
	}
	p := profile(t, Config{Certificates: files})
	var clients, reloads sync.WaitGroup
	done := make(chan struct{})
	reloads.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				if err := files.Reload(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 4 {
		clients.Go(func() {
			c := resumer("a.test")
			for range 30 {
				if _, err, serverErr := shake(t, p, c); err != nil {
					t.Error(err, serverErr)
				}
			}
		})
	}
	clients.Wait()
	close(done)
	reloads.Wait()
}

func BenchmarkHandshake(b *testing.B) {
	p := profile(b, Config{Certificates: &fixed{list: []*tls.Certificate{now(b, "a.test")}}})
	for _, bm := range []struct {
		name   string
		client *tls.Config
	}{{"whole", &tls.Config{ServerName: "a.test"}}, {"resumed", resumer("a.test")}} {
		b.Run(bm.name, func(b *testing.B) {
			shake(b, p, bm.client)
			b.ReportAllocs()
			for b.Loop() {
				if _, err, _ := shake(b, p, bm.client); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
