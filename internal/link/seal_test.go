package link_test

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/internal/engine"
	"github.com/sallyport/sallyport/internal/link"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// spent is a sealer that can seal no more after so many records.
type spent struct {
	left  int
	ended bool
}

var errSpent = errors.New("spent")

func (s *spent) record(dst []byte, text string) ([]byte, error) {
	if s.left == 0 || s.ended {
		return nil, errSpent
	}
	s.left--
	return append(dst, text...), nil
}

func (s *spent) Seal(dst []byte, _ ws.Opcode, _ bool, data []byte) ([]byte, error) {
	return s.record(dst, "<"+string(data)+">")
}

func (s *spent) Due(dst []byte) ([]byte, error) {
	if s.left == 0 || s.ended {
		return nil, errSpent
	}
	return dst, nil
}

func (s *spent) End(dst []byte, _ uint16, _ string) ([]byte, error) {
	dst, err := s.record(dst, "<end>")
	s.ended = err == nil
	return dst, err
}

// ender closes with 4233 when its link fails.
type ender struct{ log }

func (o *ender) Failed(err error) {
	o.log.Failed(err)
	if errors.Is(err, errSpent) {
		o.link.Close(4233, "")
	}
}

// A seal that can't go on is told to the owner, and the peer still gets the close
// frame; behind an end, nothing is due.
func TestSealThatCannotGoOn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		left   int
		do     func(l *link.Link)
		want   []byte
		failed error
	}{
		{"while messages are sent", 1, func(l *link.Link) {
			l.Send(ws.Text, []byte("a"))
			synctest.Wait()
			l.Send(ws.Text, []byte("b"))
		}, ws.AppendClose(ws.AppendFrame(nil, ws.Server, true, ws.Binary, []byte("<a>")), ws.Server, 4233, ""), errSpent},
		{"before the end", 0, func(l *link.Link) { l.Close(4231, "") }, ws.AppendClose(nil, ws.Server, 4231, ""), nil},
		{"before the end, with the words of another reason", 0, func(l *link.Link) { l.Close(4001, "said inside only") },
			ws.AppendClose(nil, ws.Server, 4001, ""), nil},
		{"before the end, since the seal failed", 0, func(l *link.Link) { l.Close(4905, "seal.broken") },
			ws.AppendClose(nil, ws.Server, 4905, "seal.broken"), nil},
		{"behind the end", 9, func(l *link.Link) { l.Close(4231, "") },
			ws.AppendClose(ws.AppendFrame(nil, ws.Server, true, ws.Binary, []byte("<end>")), ws.Server, 1000, ""), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far, near := sallyporttest.Pipe()
				o, e, writers := &ender{}, &engine.Portable{}, &sync.WaitGroup{}
				o.link = link.New(e, near, o, link.Config{
					Role: ws.Server, MaxMessage: 1 << 20, WriteWait: 10 * time.Second, Writers: writers, Seal: &spent{left: tt.left},
				}, nil)
				if tt.left > 0 {
					o.link.Start(nil)
				}
				var acts sync.WaitGroup
				acts.Go(func() {
					tt.do(o.link)
					if tt.left == 0 {
						o.link.Start(nil)
					}
				})
				got := readAll(t, far)
				acts.Wait() // e and writers must know of everything that was started
				if !bytes.Equal(got, tt.want) {
					t.Errorf("sent %q, want %q", got, tt.want)
				}
				far.Close()
				e.Wait()
				writers.Wait()
				if o.failed != tt.failed {
					t.Errorf("failed with %v, want %v", o.failed, tt.failed)
				}
			})
		})
	}
}

// readAll wants an end without a reset, with which bytes could be lost.
func readAll(t *testing.T, far net.Conn) []byte {
	var all []byte
	b := make([]byte, 1<<10)
	for {
		n, err := far.Read(b)
		if all = append(all, b[:n]...); err != nil {
			if err.Error() != "EOF" {
				t.Errorf("the end: %v", err)
			}
			return all
		}
	}
}
