package enginetest

import (
	"bytes"
	"crypto/tls"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/internal/engine"
)

// recordTests: TLS, as only somebody who writes records by hand can speak it.
func recordTests(t *testing.T, n New) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *site)
	}{
		{"a record holds many pieces, and a piece lies in many records", cuts},
		{"empty and padded records", padded},
		{"a handshake message in two records", splitUpdate},
		{"KeyUpdate in both directions, many times", updates},
		{"KeyUpdate while a writer waits for the peer", updateWhileFull},
		{"a forged record ends its connection only", forged},
		{"close_notify leaves the other direction open", halfClosed},
		{"FIN within a record", truncated},
		{"openssl changes keys", openssl},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newSite(t, n)) })
	}
}

func cuts(t *testing.T, s *site) {
	m := newMachine(nil)
	c := s.client(m)
	m.handle.Start(nil)
	var records, want []byte
	for i := range 300 {
		piece := random(1 + i*7%900)
		want = append(want, piece...)
		records = append(records, c.record(typeData, piece, i%3)...)
	}
	for i := 0; len(records) > 0; i++ { // cut where no record ends
		k := min(1+i*31%5000, len(records))
		c.send(records[:k])
		records = records[k:]
	}
	m.has(want)
	c.Close()
	m.gone()
}

func padded(t *testing.T, s *site) {
	m := newMachine(nil)
	c := s.client(m)
	m.handle.Start(nil)
	c.send(c.data(""), c.data(""), c.record(typeData, []byte("one"), 9000), c.data(""), c.data("two"))
	m.has([]byte("onetwo"))
	c.Close()
	m.gone()
}

func splitUpdate(t *testing.T, s *site) {
	m := newMachine(nil)
	c := s.client(m)
	m.handle.Start(nil)
	want := ""
	for range 20 {
		first, second := c.record(typeHandshake, []byte{24, 0}, 0), c.record(typeHandshake, []byte{0, 1, 1}, 0)
		c.out.update()
		c.send(first)
		c.send(second[:7])
		c.send(second[7:], c.data("x"))
		want += "x"
		m.has([]byte(want))
	}
	c.Close()
	m.gone()
}

func updates(t *testing.T, s *site) {
	m := echo()
	c := s.client(m)
	m.handle.Start(nil)
	const rounds = 200
	for i := range rounds {
		request := i%2 == 0
		before, after := strings.Repeat("b", 1+i), strings.Repeat("a", i%5)
		c.send(c.data(before), c.keyUpdate(request), c.data(after))
		if got := c.hears(len(before) + len(after)); string(got) != before+after {
			t.Fatalf("round %d: got %q", i, got)
		}
	}
	if c.updated != rounds/2 {
		t.Errorf("the server updated %d times, want %d", c.updated, rounds/2)
	}
	c.Close()
	m.gone()
}

// updateWhileFull: the answer to a KeyUpdate goes behind what waits for the peer,
// and what is written then is under the next key.
func updateWhileFull(t *testing.T, s *site) {
	m := newMachine(nil)
	c := s.client(m)
	m.handle.Start(nil)
	const rounds = 3
	for i := range rounds {
		want := random(plenty)
		told := m.talk(want)
		told.stalls(t)
		c.send(c.keyUpdate(true), c.data("x"))
		if _, ok := m.handle.(engine.Prompt); ok { // reading goes on
			m.has(bytes.Repeat([]byte("x"), i+1))
		}
		if got := c.hears(len(want)); !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes that are not those written", len(got))
		}
		if err := <-told.done; err != nil {
			t.Fatal(err)
		}
		m.has(bytes.Repeat([]byte("x"), i+1))
		m.say([]byte("!"))
		if got := c.hears(1); string(got) != "!" {
			t.Fatalf("got %q", got)
		}
	}
	if c.updated != rounds {
		t.Errorf("the server updated %d times, want %d", c.updated, rounds)
	}
	c.Close()
	m.gone()
}

func forged(t *testing.T, s *site) {
	other, m := echo(), newMachine(nil)
	far := s.start(overTLS, other)
	c := s.client(m)
	m.handle.Start(nil)
	record := c.data("text")
	record[9] ^= 1
	c.send(record)
	if kind, data, err := c.next(); err != nil || kind != typeAlert || !bytes.Equal(data, []byte{2, 20}) {
		t.Errorf("got %d %v %v, want the alert bad_record_mac", kind, data, err)
	}
	if err := m.gone(); err == io.EOF || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("got %v", err)
	}
	c.Close()
	far.Write([]byte("still here"))
	other.has([]byte("still here"))
	far.Close()
	other.gone()
}

func halfClosed(t *testing.T, s *site) {
	m := newMachine(nil)
	c := s.client(m)
	told := make(chan error, 1)
	m.lastWord = func() { told <- m.say([]byte("farewell")) }
	m.handle.Start(nil)
	c.send(c.data("text"), c.record(typeAlert, []byte{1, 0}, 0))
	if err := m.gone(); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	if err := <-told; err != nil {
		t.Error(err)
	}
	m.has([]byte("text"))
	if got := c.hears(8); string(got) != "farewell" {
		t.Errorf("got %q", got)
	}
	c.Close()
}

func truncated(t *testing.T, s *site) {
	for _, cut := range []int{1, 5, 12} {
		m := newMachine(nil)
		c := s.client(m)
		m.handle.Start(nil)
		c.send(c.data("text"), c.data("never whole")[:cut])
		c.Close()
		if err := m.gone(); err != io.ErrUnexpectedEOF {
			t.Errorf("got %v, want an unexpected EOF", err)
		}
		m.has([]byte("text"))
	}
}

// openssl is another program, which changes its key at a K and asks for ours at a k.
func openssl(t *testing.T, s *site) {
	name, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not here")
	}
	cmd := exec.Command(name, "s_client", "-tls1_3", "-connect", s.tcp.Addr().String(), "-servername", "engine.test")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out heard
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	near, err := s.tcp.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server := tls.Server(&wrapper{Conn: near}, s.serverTLS)
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	m := echo()
	m.attach(s, server)
	m.handle.Start(nil)
	want, updates := "", 0
	for _, line := range []string{"one\n", "K\n", "two\n", "k\n", "three\n", "K\n", "four\n", "k\n", "k\n", "five\n"} {
		io.WriteString(in, line)
		if len(line) > 2 {
			want += line
			m.has([]byte(want))
			until(t, "the echo", func() bool { return strings.Contains(out.String(), line) })
			continue
		}
		updates++ // a line that it reads together with the next is no command
		until(t, "the update", func() bool { return strings.Count(out.String(), "KEYUPDATE") == updates })
	}
	in.Close()
	m.gone()
	cmd.Wait()
}

// heard is what a program has said.
type heard struct {
	mu  sync.Mutex
	all strings.Builder
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all.String()
}
