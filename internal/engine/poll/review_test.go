//go:build linux

package poll

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
)

func all(b []byte) (int, bool) { return len(b), true }

// TestClosedBeforeTheStartLeavesNothing: neither a slot nor the connection.
func TestClosedBeforeTheStartLeavesNothing_AT54(t *testing.T) {
	e := new(Engine)
	keep := newProbe(all)
	near, far := tcp(t)
	h, err := e.Take(near, keep) // so that the loops live on
	if err != nil {
		t.Fatal(err)
	}
	h.Start(nil)
	for range 50 {
		p := newProbe(all)
		near, far := tcp(t)
		h, err := e.Take(near, p)
		if err != nil {
			t.Fatal(err)
		}
		h.Socket().Close()
		h.Start(nil)
		if err := <-p.gone; !errors.Is(err, net.ErrClosed) {
			t.Errorf("gone with %v", err)
		}
		if h.Socket().RemoteAddr() == nil || h.Socket().LocalAddr() == nil {
			t.Error("a closed socket has no address to print")
		}
		far.Close()
	}
	e.mu.Lock()
	held := 0
	for _, l := range e.loops {
		l.mu.Lock()
		for _, c := range l.conns {
			if c != nil {
				held++
			}
		}
		l.mu.Unlock()
	}
	e.mu.Unlock()
	if held != 1 {
		t.Errorf("the loops hold %d connections, want 1", held)
	}
	far.Close()
	<-keep.gone
	h.Socket().Close()
	e.Wait()
}

// TestNoDescriptorLeft: taking over fails, and the socket is as it was.
func TestNoDescriptorLeft(t *testing.T) {
	for _, loops := range []bool{false, true} { // do they exist already?
		e := new(Engine)
		var first handle
		p := newProbe(all)
		if loops {
			near, far := tcp(t)
			defer far.Close()
			h, err := e.Take(near, p)
			if err != nil {
				t.Fatal(err)
			}
			first = h.(handle)
		}
		near, far := tcp(t)
		server, client, err := pair(&replaceable{near}, far)
		if err != nil {
			t.Fatal(err)
		}
		release := exhaust(t)
		_, err = e.Take(server, newProbe(all))
		release()
		if !errors.Is(err, syscall.EMFILE) {
			t.Fatalf("got %v, want EMFILE", err)
		}
		if server.NetConn().(*replaceable).Conn != near {
			t.Error("the transport was replaced")
		}
		go server.Write([]byte("as before"))
		got := make([]byte, 9)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "as before" {
			t.Errorf("got %q, %v", got, err)
		}
		server.Close()
		client.Close()
		if loops {
			first.Close()
		}
		e.mu.Lock()
		if e.open != 0 || e.loops != nil {
			t.Errorf("%d connections are counted", e.open)
		}
		e.mu.Unlock()
		e.Wait()
	}
}

// exhaust leaves the process without descriptors until release.
func exhaust(t *testing.T) (release func()) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	highest, err := syscall.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(highest) + 1
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	opened := []int{highest}
	for {
		fd, err := syscall.Dup(0)
		if err != nil {
			break
		}
		opened = append(opened, fd)
	}
	return func() {
		for _, fd := range opened {
			syscall.Close(fd)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhoAsksAndDoesNotReadIsLost: what crypto/tls says by itself is bounded, and
// whoever waits to write is told.
func TestWhoAsksAndDoesNotReadIsLost_SR74_AT51(t *testing.T) {
	e := new(Engine)
	p := newProbe(all)
	near, far := tcp(t)
	h, err := e.Take(near, p)
	if err != nil {
		t.Fatal(err)
	}
	h.Start(nil)
	c := h.(handle)
	for !c.Full() {
		if _, err := c.Write(make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	sent := make(chan error, 1)
	go func() { sent <- c.Sent() }()
	for err == nil { // as crypto/tls does: it does not look at Full
		_, err = c.conn.Write(make([]byte, 32))
	}
	if !errors.Is(err, errRest) {
		t.Errorf("writing ended with %v", err)
	}
	if err := <-sent; !errors.Is(err, errRest) {
		t.Errorf("who waited was told %v", err)
	}
	if err := <-p.gone; !errors.Is(err, errRest) {
		t.Errorf("reading ended with %v", err)
	}
	c.mu.Lock()
	if c.busy != nil && c.busy.rest != nil {
		t.Errorf("%d bytes are still held", len(c.busy.rest))
	}
	c.mu.Unlock()
	far.Close()
	c.Close()
	e.Wait()
}

// TestFINFollowsWhatIsCorked: somebody ends the writing while a write is under way.
func TestFINFollowsWhatIsCorked(t *testing.T) {
	e := new(Engine)
	p := newProbe(all)
	near, far := tcp(t)
	h, err := e.Take(near, p)
	if err != nil {
		t.Fatal(err)
	}
	h.Start(nil)
	c := h.(handle)
	c.cork(make([]byte, 0, 10))
	c.conn.Write([]byte("corked, "))
	c.CloseWrite()
	c.uncork()
	c.conn.Write([]byte("and the last"))
	c.uncorked()
	if got, err := io.ReadAll(far); err != nil || string(got) != "corked, and the last" {
		t.Errorf("got %q, %v", got, err)
	}
	far.Close()
	<-p.gone
	c.Close()
	e.Wait()
}

// TestLargeRecordsNeedNoOtherBuffer: crypto/tls takes a buffer of its own when what
// it was lent has no room for a whole record behind the part of one.
func TestLargeRecordsNeedNoOtherBuffer(t *testing.T) {
	if engine.Poisons {
		t.Skip("a program that looks for races drops buffers by chance")
	}
	e := new(Engine)
	const total, rounds = 1 << 20, 4
	taken, got := uint64(0), 0
	for range rounds {
		p := newProbe(func(b []byte) (int, bool) { got += len(b); return len(b), true })
		h, client := overTLS(t, e, p)
		client.NetConn().(*net.TCPConn).SetWriteBuffer(2 * total)
		if _, err := client.Write(make([]byte, total)); err != nil { // all of it is there at once
			t.Fatal(err)
		}
		client.Close()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.Start(nil)
		<-p.gone
		runtime.ReadMemStats(&after)
		taken += after.TotalAlloc - before.TotalAlloc
		h.Close()
	}
	if taken > rounds*total/4 || got != rounds*total {
		t.Errorf("%d bytes were allocated to receive %d", taken, got)
	}
	e.Wait()
}

// TestNothingIsKeptAfterALargeMessage: an idle connection is as small as it was.
func TestNothingIsKeptAfterALargeMessage(t *testing.T) {
	if !Lends() {
		t.Fatal("this crypto/tls is not known")
	}
	e := new(Engine)
	h, client := overTLS(t, e, newProbe(nil))
	want := 200_000
	got := make(chan struct{})
	h.machine.(*probe).readable = func(b []byte) (int, bool) {
		h.Write(b)
		if want -= len(b); want == 0 {
			close(got)
		}
		return len(b), true
	}
	h.Start(nil)
	go io.Copy(io.Discard, client)
	client.Write(bytes.Repeat([]byte("x"), 200_000))
	<-got
	for end := time.Now().Add(10 * time.Second); h.state.Load() != idle && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	server, l := h.socket.(*tls.Conn), h.loop.layout
	if l.rawOf(server).Cap() != 0 || l.handOf(server).Cap() != 0 || l.inputOf(server).Size() != 0 {
		t.Error("crypto/tls keeps a buffer")
	}
	h.mu.Lock()
	if h.busy != nil || h.kept != nil {
		t.Error("the engine keeps a buffer")
	}
	h.mu.Unlock()
	h.Close()
	<-h.machine.(*probe).gone
	client.Close()
	e.Wait()
}

// hanging is a machine whose events last until it is freed.
type hanging struct {
	*probe
	began, free chan struct{}
	late        chan struct{}
	once        sync.Once
}

func (h *hanging) Late() { h.once.Do(func() { close(h.late) }) }

// TestWhoComesBackHidesNobody: two machines of one loop hang one after the other, and
// the first comes back while the second hangs.
func TestWhoComesBackHidesNobody(t *testing.T) {
	e := new(Engine)
	var list []*hanging
	var ends []func()
	for len(list) < 3 {
		h := &hanging{began: make(chan struct{}), free: make(chan struct{}), late: make(chan struct{})}
		h.probe = newProbe(func(b []byte) (int, bool) {
			close(h.began)
			<-h.free
			return len(b), true
		})
		near, far := tcp(t)
		taken, err := e.Take(near, h)
		if err != nil {
			t.Fatal(err)
		}
		taken.Start(nil)
		ends = append(ends, func() { far.Close(); <-h.gone; taken.Socket().Close() })
		if taken.(handle).loop != e.loops[0] {
			close(h.free)
			continue
		}
		list = append(list, h)
		far.Write([]byte("x"))
		<-h.began
		if len(list) > 1 {
			close(list[len(list)-2].free) // while this one has not been noticed
		}
		select {
		case <-h.late:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody noticed that it hangs")
		}
	}
	close(list[len(list)-1].free)
	for _, end := range ends {
		end()
	}
	e.Wait()
}

// TestADescriptorInUseIsNobodyElses: whoever closes a connection while another
// goroutine reads or writes it does not free the number.
func TestADescriptorInUseIsNobodyElses(t *testing.T) {
	e := new(Engine)
	p := newProbe(all)
	near, far := tcp(t)
	h, err := e.Take(near, p)
	if err != nil {
		t.Fatal(err)
	}
	h.Start(nil)
	c := h.(handle)
	if !c.use() {
		t.Fatal("an open connection cannot be used")
	}
	c.Close()
	<-p.gone
	for range 20 {
		fd, err := syscall.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		if fd == int(c.fd) {
			t.Fatal("the number was given to somebody else")
		}
	}
	if c.use() {
		t.Error("a closed connection can be used")
	}
	c.unuse()
	if _, err := far.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the peer got %v, want EOF", err)
	}
	far.Close()
	e.Wait()
}

// lasting is a machine that is told again and again.
type lasting struct {
	*probe
	late chan struct{}
}

func (l *lasting) Late() {
	select {
	case l.late <- struct{}{}:
	default:
	}
}

// TestLateIsSaidAgain: an event may ask a machine many times, and what it holds
// back it holds back each time.
func TestLateIsSaidAgain_AT51(t *testing.T) {
	for _, inLoop := range []bool{true, false} {
		e := new(Engine)
		l := &lasting{late: make(chan struct{})}
		told := 0
		l.probe = newProbe(func(b []byte) (int, bool) {
			for range 3 {
				select {
				case <-l.late:
					told++
				case <-time.After(10 * time.Second):
				}
			}
			return len(b), true
		})
		near, far := tcp(t)
		h, err := e.Take(near, l)
		if err != nil {
			t.Fatal(err)
		}
		if inLoop {
			h.Start(nil)
			far.Write([]byte("x"))
		} else {
			h.Start([]byte("x"))
		}
		far.(*net.TCPConn).CloseWrite()
		<-l.gone
		h.Socket().Close()
		far.Close()
		e.Wait()
		if told != 3 {
			t.Errorf("in the loop: %v; told %d times of 3", inLoop, told)
		}
		if e.Lates() != 1 {
			t.Errorf("in the loop: %v; %d late events", inLoop, e.Lates())
		}
	}
}
