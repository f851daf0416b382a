package link_test

import (
	"bytes"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
)

// prompting is an engine whose socket takes all that it is given. It flushes when
// the test does.
type prompting struct {
	net.Conn
	written bytes.Buffer
	sizes   []int // of writes
	soon    int
	until   time.Time // of reading
}

func (p *prompting) Attach(net.Conn, engine.Machine) engine.Handle { return p }
func (p *prompting) Wait()                                         {}
func (p *prompting) Socket() net.Conn                              { return p }
func (p *prompting) SetReadDeadline(t time.Time) error             { p.until = t; return nil }
func (p *prompting) Start([]byte)                                  {}
func (p *prompting) Resume()                                       {}
func (p *prompting) Write(b []byte) (int, error) {
	p.sizes = append(p.sizes, len(b))
	return p.written.Write(b)
}
func (p *prompting) Full() bool  { return false }
func (p *prompting) Sent() error { return nil }
func (p *prompting) Soon()       { p.soon++ }

// replier answers each message, or does as it is told.
type replier struct {
	log
	reply []byte
}

func (r *replier) Data(ws.Event) { r.link.Send(ws.Binary, r.reply) }

func prompted(t *testing.T, reply []byte) (*link.Link, *replier, *prompting) {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	e, o := &prompting{Conn: near}, &replier{reply: reply}
	o.link = link.New(e, near, o, link.Config{Role: ws.Server, MaxMessage: 1 << 20, Writers: new(sync.WaitGroup)}, nil)
	o.link.Start(nil)
	return o.link, o, e
}

var asked = ws.AppendFrame(nil, ws.Client, true, ws.Binary, []byte("?"))

// What an event sends leaves at its end, in one write; but a long queue does not
// wait for that, and neither does anything once the event takes long.
func TestRepliesLeaveTogether_SR74(t *testing.T) {
	l, _, e := prompted(t, []byte("!"))
	l.Readable(bytes.Repeat(asked, 10))
	if e.soon != 0 || e.written.Len() != 10*3 {
		t.Errorf("%d bytes were written, and %d flushes asked for", e.written.Len(), e.soon)
	}
	l, _, e = prompted(t, make([]byte, 10<<10))
	l.Readable(bytes.Repeat(asked, 8))
	if e.soon == 0 {
		t.Error("80 KiB waited for the end of the event")
	}
	l, o, e := prompted(t, []byte("!"))
	l.Hold()
	o.Data(ws.Event{})
	if e.soon != 0 {
		t.Error("what is held back was sent")
	}
	l.Late()
	if o.Data(ws.Event{}); e.soon < 2 {
		t.Error("what is sent in an event that takes long waits for its end")
	}
}

// A stop that meets an ending on its way: nothing more of the queue is sent.
func TestAStopOvertakesAGoodbye_SR43(t *testing.T) {
	l, _, e := prompted(t, nil)
	l.Send(ws.Text, []byte("secret"))
	l.Cut()
	l.Shutdown(1000, "")
	l.Flush()
	if got := e.written.Bytes(); !bytes.Equal(got, ws.AppendClose(nil, ws.Server, 1000, "")) {
		t.Errorf("got %q", got)
	}
	if wait := time.Until(e.until); wait > link.Linger {
		t.Errorf("the socket is kept for %s", wait)
	}
}

// The peer says goodbye and ends at once: it still gets what is due.
func TestTheLastIsSentToWhoHasEnded_SR62(t *testing.T) {
	l, o, e := prompted(t, nil)
	l.Send(ws.Text, []byte("bye"))
	l.Shutdown(1000, "")
	l.Gone(io.EOF)
	if !o.released.IsZero() {
		t.Error("the socket was given back before the close frame was sent")
	}
	l.Flush()
	if want := ws.AppendClose(ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte("bye")), ws.Server, 1000, ""); !bytes.Equal(e.written.Bytes(), want) {
		t.Errorf("got %q", e.written.Bytes())
	}
	if o.released.IsZero() {
		t.Error("the socket was not given back")
	}
}

// A message for many does not fall into one that comes in parts.
func TestSharedMessagesKeepOutOfOthers_SR84(t *testing.T) {
	l, _, e := prompted(t, nil)
	all := bytes.Repeat([]byte("all"), 5<<10)
	l.SendPart(ws.Text, true, false, []byte("a"))
	if err := l.SendShared(link.Frame(ws.Text, nil, all)); err != nil {
		t.Error("a message that waits for another:", err)
	}
	if err := l.SendShared(link.Frame(ws.Text, nil, all)); err != link.ErrFull {
		t.Error("messages wait without a bound:", err)
	}
	l.SendPart(ws.Text, false, true, []byte("b"))
	l.Flush()
	want := ws.AppendFrame(nil, ws.Server, false, ws.Text, []byte("a"))
	want = ws.AppendFrame(want, ws.Server, true, ws.Continuation, []byte("b"))
	want = ws.AppendFrame(want, ws.Server, true, ws.Text, all)
	if !bytes.Equal(e.written.Bytes(), want) {
		t.Errorf("got %q, want %q", e.written.Bytes(), want)
	}
}

func TestSharedMessagesLeaveTogetherInOrder_SR74(t *testing.T) {
	l, _, e := prompted(t, nil)
	l.Hold()
	var want []byte
	for i := range 300 { // own messages between those of others, and more of these than are kept as they are
		payload := bytes.Repeat([]byte{byte('a' + i%26)}, 10+i%50)
		frame := ws.AppendFrame(nil, ws.Server, true, ws.Text, payload)
		want = append(want, frame...)
		if i%100 == 7 {
			l.Send(ws.Text, payload)
		} else if err := l.SendShared(frame); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(e.sizes); n != 0 {
		t.Fatalf("%d writes while they are held", n)
	}
	l.Flush()
	if !bytes.Equal(e.written.Bytes(), want) {
		t.Error("what was sent is not what was queued")
	}
	if len(e.sizes) != 1 {
		t.Errorf("%d bytes left in %d writes, %v", len(want), len(e.sizes), e.sizes)
	}
	if n := l.Delivered(); n != 300 {
		t.Errorf("%d messages of 300 counted as sent", n)
	}
}

func TestAWriteHasABound_SR43(t *testing.T) {
	l, _, e := prompted(t, nil)
	l.Hold()
	frame := link.Frame(ws.Binary, nil, make([]byte, 15<<10))
	for range 4 {
		l.SendShared(frame)
	}
	l.Flush()
	if want := []int{2 * len(frame), 2 * len(frame)}; !slices.Equal(e.sizes, want) {
		t.Errorf("writes of %v bytes, want %v: a stop waits for no more than 32 KiB", e.sizes, want)
	}
}

func TestAMessageCutOffBehindOthersIsKnown_SR84(t *testing.T) {
	l, _, e := prompted(t, nil)
	l.Hold()
	l.SendShared(link.Frame(ws.Text, nil, []byte("all")))
	l.SendPart(ws.Text, true, false, []byte("begun"))
	l.Flush()
	sent := e.written.Len()
	l.Announce(ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte("why")))
	l.Close(4900, "")
	l.Flush()
	if got, want := e.written.Bytes()[sent:], ws.AppendClose(nil, ws.Server, 4900, ""); !bytes.Equal(got, want) {
		t.Errorf("after a part of a message came %q, want %q alone", got, want)
	}
}
