package proxy

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/ws"
	"github.com/sallyport/sallyport/sallyporttest"
)

// bubble runs f with a door in front of a backend that is served by serve, all in
// memory, so that time costs nothing.
func bubble(t *testing.T, c Config, limits guard.Config, serve func(conn net.Conn), f func(client *wire, s *setup), protocols ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c.To = "ws://backend"
		p, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		backendDone := make(chan struct{})
		p.connect = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := sallyporttest.Pipe()
			go func() { defer close(backendDone); defer theirs.Close(); serve(theirs) }()
			return ours, nil
		}
		s := &setup{guard: limits}
		door := s.doorTo(t, p)
		srv := sallyporttest.Serve(t, door)
		conn, err := srv.Dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		_, client := shake(t, conn, "/ws/", nil, protocols...)
		f(client, s)
		client.conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := door.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		<-backendDone
		srv.Close()
	})
}

// untilEnd reads and answers pings for ever, and says when each ping came.
func untilEnd(w *wire, answer bool, began time.Time, pings *[]time.Duration) error {
	w.conn.SetReadDeadline(time.Time{})
	for {
		ev, n, err := w.parser.Next(w.buf)
		w.buf = w.buf[n:]
		switch {
		case err != nil:
			return err
		case ev.Kind == ws.CloseEvent:
			return &closed{ev.Code, string(ev.Data)}
		case ev.Kind == ws.PingEvent:
			if pings != nil {
				*pings = append(*pings, time.Since(began))
			}
			if answer {
				w.send(ws.Pong, ev.Data)
			}
		case ev.Kind == ws.None:
			b := make([]byte, 4<<10)
			n, err := w.in.Read(b)
			if w.buf = b[:n]; n == 0 && err != nil {
				return err
			}
		}
	}
}

var patient = guard.Config{Idle: time.Hour}

func TestSilentBackendIsLost(t *testing.T) {
	var pings []time.Duration
	bubble(t, Config{}, patient, func(conn net.Conn) {
		_, w := accept(t, conn)
		untilEnd(w, false, time.Now(), &pings)
	}, func(client *wire, s *setup) {
		began := time.Now()
		untilEnd(client, true, began, nil)
		if took := time.Since(began); took < 35*time.Second || took > 36*time.Second {
			t.Errorf("it took %s", took)
		}
		if got := (<-s.events).Reason; got != deny.BackendLost {
			t.Errorf("ended with %s", got)
		}
	})
	if len(pings) != 1 || pings[0].Round(time.Second) != 25*time.Second {
		t.Errorf("pings at %v", pings)
	}
}

func TestBackendThatAnswersPingsStays(t *testing.T) {
	var pings []time.Duration
	bubble(t, Config{}, patient, func(conn net.Conn) {
		_, w := accept(t, conn)
		untilEnd(w, true, time.Now(), &pings)
	}, func(client *wire, s *setup) {
		began := time.Now()
		untilEnd(client, true, began, nil)
		if took := time.Since(began); took < time.Hour || took > time.Hour+2*time.Second {
			t.Errorf("it took %s", took)
		}
		if got := (<-s.events).Reason; got != deny.GuardIdle { // pings count for nothing
			t.Errorf("ended with %s", got)
		}
	})
	if len(pings) < 100 || pings[1].Round(time.Second) != 50*time.Second {
		t.Errorf("%d pings at %v", len(pings), pings)
	}
}

// A backend stuck in the middle of a frame can't answer: it is lost too.
func TestBackendStuckInAFrameIsLost_SR82(t *testing.T) {
	bubble(t, Config{}, patient, func(conn net.Conn) {
		_, w := accept(t, conn)
		w.raw(0x82, 100, 1, 2, 3)
		untilEnd(w, false, time.Now(), nil)
	}, func(client *wire, s *setup) {
		untilEnd(client, true, time.Now(), nil)
		if got := (<-s.events).Reason; got != deny.BackendLost {
			t.Errorf("ended with %s", got)
		}
	})
}

// While the client is too slow to be sent anything, the backend is not read and
// so not asked for a sign of life.
func TestPausedBackendIsNotLost(t *testing.T) {
	limits := patient
	limits.WriteWait, limits.Ping = 10*time.Minute, 20*time.Minute // of the client
	bubble(t, Config{}, limits, func(conn net.Conn) {
		_, w := accept(t, conn)
		for range 32 {
			w.send(ws.Binary, make([]byte, 16<<10))
		}
		untilEnd(w, true, time.Now(), nil)
	}, func(client *wire, s *setup) {
		time.Sleep(5 * time.Minute) // nobody reads
		if len(s.events) > 0 {
			t.Errorf("ended with %s", (<-s.events).Reason)
			return
		}
		for range 32 {
			client.wantMessage(ws.Binary, make([]byte, 16<<10))
		}
	})
}

// What the backend said before it vanished arrives, and then the client is told.
func TestLastWordsOfABackend(t *testing.T) {
	bubble(t, Config{}, patient, func(conn net.Conn) {
		_, w := accept(t, conn)
		for range 6 {
			w.send(ws.Binary, make([]byte, 16<<10))
		}
	}, func(client *wire, s *setup) {
		time.Sleep(time.Second)
		for range 6 {
			client.wantMessage(ws.Binary, make([]byte, 16<<10))
		}
		client.wantClose(deny.BackendLost.Close(), deny.BackendLost.CloseReason())
	})
}
