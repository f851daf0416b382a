package link_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

func ours(s string) []byte { return ws.AppendFrame(nil, ws.Server, true, ws.Text, []byte("\x01"+s)) }

var marks = &link.Marks{App: []byte{0}, Long: ours("long")}

// marked is a server-role link with marks, whose budget must be whole in the end.
func marked(t *testing.T, memory int64, f func(t *testing.T, l *link.Link, far net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		far, near := sallyporttest.Pipe()
		o, e, writers := &log{}, &engine.Portable{}, &sync.WaitGroup{}
		budget := link.NewBudget(memory)
		o.link = link.New(e, near, o, link.Config{
			Role: ws.Server, MaxMessage: 1 << 20, WriteWait: 10 * time.Second, Budget: budget, Writers: writers,
			Marks: marks,
		}, ours("hello"))
		o.link.Start(nil)
		f(t, o.link, far)
		far.Close()
		o.link.Reset()
		e.Wait()
		writers.Wait()
		if held := budget.Held(); held != 0 {
			t.Errorf("%d bytes of the budget were not given back", held)
		}
	})
}

// heard is what arrives at the far end, a word for each message.
func heard(t *testing.T, b []byte) (list []string) {
	t.Helper()
	p := ws.Parser{Role: ws.Client, MaxMessage: 1 << 30, MaxFragments: -1}
	var message []byte
	for {
		ev, n, err := p.Next(b)
		if err != nil {
			t.Fatalf("after %q: %v", list, err)
		}
		b = b[n:]
		switch ev.Kind {
		case ws.None:
			if p.InMessage() {
				list = append(list, "cut off")
			}
			return list
		case ws.CloseEvent:
			list = append(list, fmt.Sprint("close ", ev.Code))
		case ws.Data:
			if message = append(message, ev.Data...); ev.Last {
				word := string(message)
				if len(message) > 20 {
					word = fmt.Sprintf("%q and %d more", message[:1], len(message)-1)
				}
				list, message = append(list, word), nil
			}
		}
	}
}

func wantHeard(t *testing.T, far net.Conn, want ...string) {
	t.Helper()
	b, _ := io.ReadAll(far)
	if got := heard(t, b); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("heard %q, want %q", got, want)
	}
}

// Between an announcement and its close frame others may still send something.
func TestAnnouncementGoesLast_SR56(t *testing.T) {
	marked(t, 1<<20, func(t *testing.T, l *link.Link, far net.Conn) {
		synctest.Wait()
		l.Announce(ours("end"))
		l.Send(ws.Text, []byte("late"))
		synctest.Wait()
		l.Insert(ours("beat"))
		synctest.Wait()
		l.Shutdown(4000, "")
		wantHeard(t, far, "\x01hello", "\x00late", "\x01beat", "\x01end", "close 4000")
	})
}

func TestNothingStandsWithinAMessage_SR84(t *testing.T) {
	begin := func(l *link.Link) { l.SendPart(ws.Text, true, false, []byte("a")) }
	end := func(l *link.Link) { l.SendPart(ws.Text, false, true, []byte("z")) }
	tests := []struct {
		name string
		do   func(l *link.Link)
		want []string
	}{
		{"what is inserted waits for the end", func(l *link.Link) {
			begin(l)
			l.Insert(ours("1"))
			l.Ping()
			l.Insert(ours("2"))
			end(l)
			l.Announce(ours("end"))
			l.Shutdown(4000, "")
		}, []string{"\x01long", "\x00az", "\x011", "\x012", "\x01end", "close 4000"}},
		{"a message that was begun is cut off without an announcement", func(l *link.Link) {
			begin(l)
			l.Insert(ours("1"))
			synctest.Wait()
			l.Announce(ours("end"))
			l.Close(4000, "")
		}, []string{"\x01long", "close 4000"}},
		{"one that nobody has seen begin is not cut off", func(l *link.Link) {
			l.Send(ws.Binary, make([]byte, 64<<10))
			l.Send(ws.Binary, make([]byte, 1<<10)) // the far end's window is full
			synctest.Wait()
			begin(l)
			l.Announce(ours("end"))
			l.Close(4000, "")
		}, []string{"\"\\x00\" and 65536 more", "\"\\x00\" and 1024 more", "\x01end", "close 4000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			marked(t, 1<<20, func(t *testing.T, l *link.Link, far net.Conn) {
				synctest.Wait()
				tt.do(l)
				wantHeard(t, far, append([]string{"\x01hello"}, tt.want...)...)
			})
		})
	}
}

// Whatever is sent in whatever order, between any pauses of the far end: messages
// arrive whole, in order and marked; what is ours stands between them; nothing
// follows the announcement; and the budget is whole in the end.
func FuzzMarks_SR75(f *testing.F) {
	f.Add([]byte("mMbpibpiepcCxr"), uint32(1<<20))
	f.Add([]byte("bbbiiiLLLLrrrreeeMMMaS"), uint32(1<<20))
	f.Add([]byte("bLLLLLLLLLLLLiiiaC"), uint32(1<<20))
	f.Add([]byte("MMMMiiirMMMMMb"), uint32(20<<10))
	f.Add([]byte("ssmsslsblsseSsmlllrrllpmsC"), uint32(1<<20))
	f.Fuzz(func(t *testing.T, script []byte, memory uint32) {
		if len(script) > 60 {
			return
		}
		marked(t, int64(memory%(1<<20+1)), func(t *testing.T, l *link.Link, far net.Conn) {
			var sent, behind []string // accepted whole messages, in order; those that wait for the end of another
			var got bytes.Buffer
			open, broken, size := false, false, 0
			whole := func(n int) {
				if !open && !broken && l.Send(ws.Binary, make([]byte, n)) == nil {
					sent = append(sent, fmt.Sprintf("\x00%d", n))
				}
			}
			part := func(first, last bool, n int) {
				if broken || first == open {
					return
				}
				if l.SendPart(ws.Binary, first, last, make([]byte, n)) != nil {
					broken = !first
					return
				}
				if first {
					size = 0
				}
				if size, open = size+n, !last; last {
					sent = append(append(sent, fmt.Sprintf("\x00%d", size)), behind...)
					behind = nil
				}
			}
			small, large := link.Frame(ws.Binary, marks, make([]byte, 300)), link.Frame(ws.Binary, marks, make([]byte, 15<<10))
			before := [][]byte{bytes.Clone(small), bytes.Clone(large)}
			shared := func(frame []byte, n int) {
				switch accepted := l.SendShared(frame) == nil; {
				case !accepted:
				case open || broken:
					behind = append(behind, fmt.Sprintf("\x00%d", n))
				default:
					sent = append(sent, fmt.Sprintf("\x00%d", n))
				}
			}
			for _, c := range script {
				switch c {
				case 'm':
					whole(0)
				case 'M':
					whole(70 << 10)
				case 's':
					shared(small, 300)
				case 'l':
					shared(large, 15<<10)
				case 'b':
					part(true, false, 0)
				case 'L':
					part(false, false, 30<<10)
				case 'e':
					part(false, true, 1)
				case 'p':
					l.Ping()
				case 'i':
					l.Insert(ours("i"))
				case 'I':
					l.Insert(ours(strings.Repeat("I", 3000)))
				case 'w':
					synctest.Wait()
				case 'r':
					far.SetReadDeadline(time.Now().Add(time.Millisecond))
					io.CopyN(&got, far, 20<<10)
				case 'a':
					l.Announce(ours("end"))
				case 'S':
					l.Announce(ours("end"))
					l.Shutdown(4000, "")
				case 'C':
					l.Announce(ours("end"))
					l.Close(4000, "")
				case 'x':
					l.Cut()
				case 'R':
					l.Reset()
				}
			}
			l.Announce(ours("end"))
			l.Close(4000, "")
			far.SetReadDeadline(time.Now().Add(time.Minute))
			io.Copy(&got, far)
			judge(t, got.Bytes(), sent, script)
			if !bytes.Equal(small, before[0]) || !bytes.Equal(large, before[1]) {
				t.Errorf("%q: a frame that others have too was changed", script)
			}
		})
	})
}

// judge compares what arrived with what was sent.
func judge(t *testing.T, b []byte, sent []string, script []byte) {
	t.Helper()
	p := ws.Parser{Role: ws.Client, MaxMessage: 1 << 30, MaxFragments: -1}
	var message []byte
	n, announced, closed := 0, false, false
	for {
		ev, used, err := p.Next(b)
		if err != nil {
			t.Fatalf("%q: %v", script, err)
		}
		b = b[used:]
		switch {
		case ev.Kind == ws.None:
			return
		case closed, announced && ev.Kind == ws.Data:
			t.Fatalf("%q: something follows the end", script)
		case ev.Kind == ws.CloseEvent:
			if closed = true; !announced && !p.InMessage() && len(message) == 0 {
				t.Fatalf("%q: ended without a word", script)
			}
		case ev.Kind == ws.Data:
			if message = append(message, ev.Data...); !ev.Last {
				continue
			}
			switch {
			case len(message) == 0 || message[0] > 1:
				t.Fatalf("%q: a message without its mark", script)
			case string(message) == "\x01end":
				announced = true
			case message[0] == 0:
				if n == len(sent) || sent[n] != fmt.Sprintf("\x00%d", len(message)-1) {
					t.Fatalf("%q: message %d has %d bytes, want %q", script, n, len(message)-1, sent)
				}
				n++
			}
			message = nil
		}
	}
}

func TestAnAnswerIsNotLostBehindAFullQueue_SR75(t *testing.T) {
	marked(t, 64<<20, func(t *testing.T, l *link.Link, far net.Conn) {
		big := strings.Repeat("x", 1<<20)
		if err := l.Send(ws.Text, []byte(big)); err != nil {
			t.Fatal(err)
		}
		if err := l.Send(ws.Text, []byte("more")); !errors.Is(err, link.ErrFull) {
			t.Fatalf("the queue is not full: %v", err)
		}
		if err := l.Insert(ours("renewed")); err != nil {
			t.Errorf("an answer was refused: %v", err)
		}
		full := false
		for range 500 {
			full = full || errors.Is(l.Insert(ours("beat beat beat")), link.ErrFull)
		}
		if !full {
			t.Error("there is no bound")
		}
		l.Close(1000, "")
	})
}
