package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// journal keeps what a client tells.
type journal struct {
	mu      sync.Mutex // guards what follows
	states  []Status
	unknown []string
}

func (j *journal) watch(o *Options) {
	o.OnState = func(s State) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.states = append(j.states, s.Status)
	}
	o.OnUnknown = func(lost []Message) {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, m := range lost {
			j.unknown = append(j.unknown, string(m.Data))
		}
	}
}

func (j *journal) want(t *testing.T, states ...Status) {
	t.Helper()
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.states, states) {
		t.Errorf("states: %q, want %q", j.states, states)
	}
	j.states = nil
}

func newClient(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(testURL, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closeClient(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := c.Receive(t.Context()); err == nil {
		t.Error("a message after Close")
	}
}

func mustConnect(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustSend(t *testing.T, c *Client, s string) {
	t.Helper()
	if err := c.Send(t.Context(), text(s)); err != nil {
		t.Fatalf("send %q: %v", s, err)
	}
}

func TestClient(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		var j journal
		j.watch(&o)
		c := newClient(t, o)
		time.Sleep(time.Minute)
		if d.count() != 0 {
			t.Error("it connected before it was asked")
		}
		mustConnect(t, c)
		mustSend(t, c, "hello")
		if got := receive(t, c); got != "hello" {
			t.Errorf("got %q", got)
		}
		if c.Conn().Limits().ID != "c0ffee" || c.State().Status != Open {
			t.Errorf("got %+v, %+v", c.Conn().Limits(), c.State())
		}
		closeClient(t, c)
		j.want(t, Opening, Open, Closed)
		if len(j.unknown) != 0 {
			t.Errorf("unknown: %q", j.unknown)
		}
		if err := c.Send(t.Context(), text("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		if err := c.Connect(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
		closeClient(t, c) // twice is once
		if d.count() != 1 {
			t.Errorf("%d connections", d.count())
		}
	}, echo)
}

func TestCloseWithoutConnect(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) { closeClient(t, newClient(t, o)) }, echo)
}

func TestCloseWhileConnecting(t *testing.T) {
	for _, script := range []func(*visitor){
		func(v *visitor) { v.drop() },
		func(v *visitor) { v.upgrade(channel); v.drop() },
		func(v *visitor) { v.answer(503, "Retry-After: 100\r\n", "") },
	} {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			c := newClient(t, o)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := c.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			began := time.Now()
			closeClient(t, c)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("took %s", took)
			}
		}, script)
	}
}

func TestSendConnects(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		var j journal
		j.watch(&o)
		c := newClient(t, o)
		mustSend(t, c, "1")
		receive(t, c)
		time.Sleep(time.Minute)
		j.want(t, Opening, Open, Idle) // guard.idle: nothing to send, no connection
		time.Sleep(time.Hour)
		if d.count() != 1 {
			t.Errorf("%d connections", d.count())
		}
		mustSend(t, c, "2")
		if got := receive(t, c); got != "2" {
			t.Errorf("got %q", got)
		}
		closeClient(t, c)
		j.want(t, Opening, Open, Closed)
	}, func(v *visitor) {
		v.welcome("")
		_, data, _ := v.receive()
		v.send(ws.Text, data[1:])
		v.beat()
		time.Sleep(30 * time.Second)
		v.end("", 4000, "Idle timeout;guard.idle")
		v.drop()
	}, echo)
}

// TestUnknown: what was in flight is reported once and never sent again.
func TestUnknown(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		var j journal
		j.watch(&o)
		c := newClient(t, o)
		for _, s := range []string{"a", "b", "c", "d"} {
			mustSend(t, c, s)
		}
		time.Sleep(10 * time.Second)
		mustSend(t, c, "e")
		if got := receive(t, c); got != "e" {
			t.Errorf("got %q", got)
		}
		closeClient(t, c)
		if !slices.Equal(j.unknown, []string{"c", "d"}) {
			t.Errorf("unknown: %q", j.unknown)
		}
	}, func(v *visitor) {
		v.welcome("")
		for v.got < 4 {
			v.receive()
		}
		v.control(`{"t":"close","code":"backend.lost","got":2}`)
		v.close(4220, "Backend lost;backend.lost")
		v.drop()
	}, echo)
}

// TestUnknownIsTakenFirst: while the application has not taken what is unknown,
// nothing more can become so.
func TestUnknownIsTakenFirst(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		var took time.Time
		o.OnUnknown = func([]Message) {
			time.Sleep(10 * time.Second)
			took = time.Now()
		}
		c := newClient(t, o)
		mustSend(t, c, "a")
		time.Sleep(5 * time.Second)
		if c.State().Status != Open {
			t.Errorf("got %+v", c.State())
		}
		mustSend(t, c, "b")
		if took.IsZero() || time.Since(took) > time.Second {
			t.Errorf("b was sent before a was taken, or late: %s", took)
		}
		if got := receive(t, c); got != "b" { // or it would come while the client closes
			t.Errorf("got %q", got)
		}
		closeClient(t, c)
	}, func(v *visitor) { v.welcome(""); v.receive() }, echo)
}

func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		var j journal
		j.watch(&o)
		c := newClient(t, o)
		mustSend(t, c, "old")
		time.Sleep(11 * time.Second)
		mustSend(t, c, "new")
		var got []string
		for range 3 {
			got = append(got, receive(t, c))
		}
		slices.Sort(got)
		if !slices.Equal(got, []string{"a farewell", "new", "old"}) {
			t.Errorf("got %q", got)
		}
		time.Sleep(time.Minute)
		if d.count() != 2 {
			t.Errorf("%d connections", d.count())
		}
		closeClient(t, c)
		j.want(t, Opening, Open, Closed) // nobody noticed
		if len(j.unknown) != 0 {
			t.Errorf("unknown: %q", j.unknown)
		}
	}, func(v *visitor) {
		v.welcome("")
		_, data, _ := v.receive()
		v.send(ws.Text, data[1:])
		v.control(`{"t":"drain","spread":10,"deadline":10}`)
		if op, data, _ := v.receive(); op != ws.Text || data != "\x01"+`{"t":"probe"}` || v.door.count() != 2 {
			v.t.Errorf("got %v %q with %d connections, want the last question of a connection that another took over", op, data, v.door.count())
		}
		v.send(ws.Text, "a farewell")
		v.beat()
		if op, data, _ := v.receive(); op != ws.Close || data != "1000 " {
			v.t.Errorf("got %v %q", op, data)
		}
		v.close(1000, "")
	}, echo)
}

// TestWake: the wall's clock jumps, as after a sleep of the machine.
func TestWake(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := newClient(t, o)
		var mu sync.Mutex
		slept := time.Duration(0)
		c.wall = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(slept).Round(0)
		}
		mustConnect(t, c)
		time.Sleep(6 * time.Second)
		mu.Lock()
		slept = time.Hour
		mu.Unlock()
		time.Sleep(lookEvery + probeWait + 2*time.Second)
		if d.count() != 2 || c.State().Status != Open {
			t.Errorf("%d connections, %+v", d.count(), c.State())
		}
		mu.Lock()
		slept += time.Hour
		mu.Unlock()
		time.Sleep(time.Minute)
		if d.count() != 2 || c.State().Status != Open {
			t.Errorf("a connection that answers was cut: %d connections, %+v", d.count(), c.State())
		}
		closeClient(t, c)
	}, func(v *visitor) { v.welcome(""); v.drop() }, func(v *visitor) {
		v.welcome("")
		v.beating()
		v.serve(nil)
	})
}

func TestQueue(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		o.Queue = Queue{Messages: 3, MaxAge: 2 * time.Second}
		c := newClient(t, o)
		errs := make(chan error, 10)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { errs <- c.Send(t.Context(), text(fmt.Sprint(i))) })
		}
		if err := <-errs; err != ErrQueueFull {
			t.Errorf("got %v", err)
		}
		time.Sleep(3 * time.Second) // nobody answers
		wg.Wait()
		for range 3 {
			if err := <-errs; err != ErrExpired {
				t.Errorf("got %v", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Send(ctx, text("x")); !errors.Is(err, ErrExpired) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		wg.Go(func() { errs <- c.Send(t.Context(), text("y")) })
		time.Sleep(time.Second)
		closeClient(t, c)
		wg.Wait()
		if err := <-errs; err != ErrClosed {
			t.Errorf("got %v", err)
		}
		if len(c.queue.items) != 0 || c.queue.bytes != 0 {
			t.Errorf("%d messages of %d bytes are left", len(c.queue.items), c.queue.bytes)
		}
	}, func(v *visitor) { v.drop() })
	q := queue{limits: Queue{Messages: 100, Bytes: 1000}}
	if _, err := q.add(0, text(strings.Repeat("x", 5000))); err != nil {
		t.Error("a message larger than the queue must go alone")
	}
	if _, err := q.add(0, text("x")); err != ErrQueueFull {
		t.Errorf("got %v", err)
	}
}

func TestQueueKeepsOrder(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := newClient(t, o)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { c.Send(t.Context(), text(fmt.Sprint(i))) })
			synctest.Wait()
		}
		wg.Wait()
		for i := range 50 {
			if got := receive(t, c); got != fmt.Sprint(i) {
				t.Fatalf("got %q, want %d", got, i)
			}
		}
		if err := c.Send(t.Context(), text(strings.Repeat("x", 65537))); !errors.Is(err, ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		closeClient(t, c)
	}, func(v *visitor) { time.Sleep(time.Second); echo(v) })
}

func TestEnded(t *testing.T) {
	tests := []struct {
		name   string
		script func(*visitor)
		is     func(error) bool
	}{
		{"an origin that is not trusted", func(v *visitor) { v.refuse(4001, "Unauthorized;origin.untrusted"); v.drop() }, func(err error) bool {
			refused, ok := errors.AsType[*RefusedError](err)
			return ok && refused.Reason == deny.OriginUntrusted
		}},
		{"the application closed", func(v *visitor) { v.welcome(""); v.close(4400, "bye"); v.drop() }, func(err error) bool {
			end, ok := errors.AsType[*CloseError](err)
			return ok && end.Code == 4400 && end.Text == "bye"
		}},
		{"no such path", func(v *visitor) { v.answer(404, "", `{"error":"http.not-found"}`) }, func(err error) bool {
			refused, ok := errors.AsType[*RefusedError](err)
			return ok && refused.Status == 404
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
				c := newClient(t, o)
				c.Connect(t.Context())
				_, err := c.Receive(t.Context())
				if !test.is(err) || c.State().Status != Ended || !test.is(c.State().Err) {
					t.Errorf("got %v, %+v", err, c.State())
				}
				if err := c.Send(t.Context(), text("x")); !errors.Is(err, ErrClosed) || !test.is(err) {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Hour)
				if d.count() != 1 {
					t.Errorf("%d connections", d.count())
				}
				if err := c.Connect(t.Context()); err != nil {
					t.Errorf("the application asked again: %v", err)
				}
				mustSend(t, c, "x")
				if got := receive(t, c); got != "x" {
					t.Errorf("got %q", got)
				}
				closeClient(t, c)
			}, test.script, echo)
		})
	}
}

// TestOneAttemptAtATime_SR60: whatever the network does, at most one connection
// is being opened.
func TestOneAttemptAtATime_SR60(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := newClient(t, o)
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			c.Connect(ctx)
			cancel()
			c.Reconnect()
		}
		d.mu.Lock()
		if most := d.most; most > 1 {
			t.Errorf("%d attempts at once", most)
		}
		d.mu.Unlock()
		closeClient(t, c)
	}, func(v *visitor) {
		defer v.door.opened()
		v.drop()
	})
}

// TestStorm_SR60_AT53: clients that were cut at once do not come back at once.
func TestStorm_SR60_AT53(t *testing.T) {
	const n = 300
	down := false
	var mu sync.Mutex
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		var clients []*Client
		for range n {
			c := newClient(t, o)
			mustConnect(t, c)
			clients = append(clients, c)
		}
		time.Sleep(15 * time.Second)
		mu.Lock()
		down = true
		mu.Unlock()
		time.Sleep(20 * time.Second)
		var wg sync.WaitGroup
		for _, c := range clients {
			wg.Go(func() { c.Close(context.Background()) })
		}
		wg.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		later := d.dials[n:]
		busiest := map[int64]int{}
		for _, at := range later {
			busiest[at.UnixMilli()/50]++
		}
		for at, count := range busiest {
			if count > n/4 {
				t.Errorf("%d attempts within 50 ms, at %d", count, at)
			}
		}
		if len(later) < 3*n || len(later) > 12*n {
			t.Errorf("%d attempts of %d clients in 20 s", len(later), n)
		}
	}, func(v *visitor) {
		mu.Lock()
		refuse := down
		mu.Unlock()
		if refuse {
			return
		}
		v.welcome("")
		for {
			time.Sleep(100 * time.Millisecond)
			mu.Lock()
			if down {
				mu.Unlock()
				return
			}
			mu.Unlock()
		}
	})
}

// TestNothingIsLostInSilence: every message that Send accepted was received by a
// door or is reported as unknown, exactly once; every other never arrives.
func TestNothingIsLostInSilence(t *testing.T) {
	for seed := range int64(30) {
		r := rand.New(rand.NewSource(seed))
		var mu sync.Mutex
		arrived := map[string]int{}
		cut := func() int { // after so many messages
			mu.Lock()
			defer mu.Unlock()
			return r.Intn(20)
		}
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			unknown := map[string]int{}
			o.OnUnknown = func(lost []Message) {
				mu.Lock()
				defer mu.Unlock()
				for _, m := range lost {
					unknown[string(m.Data)]++
				}
			}
			o.Queue.MaxAge = 3 * time.Second
			c := newClient(t, o)
			accepted, rejected := map[string]bool{}, map[string]bool{}
			var wg sync.WaitGroup
			for i := range 200 {
				name := fmt.Sprint(i)
				wg.Go(func() {
					err := c.Send(t.Context(), text(name))
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						accepted[name] = true
					} else {
						rejected[name] = true
					}
				})
				time.Sleep(20 * time.Millisecond)
			}
			wg.Wait()
			closeClient(t, c)
			d.busy.Wait()
			for name := range accepted {
				if arrived[name] > 1 || unknown[name] > 1 || arrived[name]+unknown[name] == 0 {
					t.Errorf("seed %d: accepted %s arrived %d times and is unknown %d times", seed, name, arrived[name], unknown[name])
				}
			}
			for name := range rejected {
				if arrived[name]+unknown[name] != 0 {
					t.Errorf("seed %d: rejected %s arrived %d times and is unknown %d times", seed, name, arrived[name], unknown[name])
				}
			}
			if len(accepted)+len(rejected) != 200 {
				t.Errorf("seed %d: %d and %d", seed, len(accepted), len(rejected))
			}
		}, func(v *visitor) {
			v.welcome("")
			left := cut()
			for {
				op, data, err := v.receive()
				switch {
				case err != nil, op == ws.Close:
					return
				case data == "\x01"+`{"t":"probe"}`:
					v.beat()
					continue
				}
				mu.Lock()
				arrived[data[1:]]++
				mu.Unlock()
				if left--; left == 5 {
					v.beat()
				}
				if left < 0 {
					if v.n%3 == 0 {
						v.end("", 4220, "Backend lost;backend.lost")
					}
					return
				}
			}
		})
	}
}

// TestCallbacksMaySend: an application subscribes again when a connection opens.
func TestCallbacksMaySend(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		var c *Client
		o.OnState = func(s State) {
			if s.Status == Open {
				c.Send(context.Background(), text("subscribe"))
			}
		}
		c = newClient(t, o)
		mustConnect(t, c)
		for range 3 {
			if got := receive(t, c); got != "subscribe" {
				t.Errorf("got %q", got)
			}
			c.Reconnect()
		}
		closeClient(t, c)
	}, echo)
}

// TestReceiverStopped: a client whose application does not receive still learns
// of a restart and moves, and the buffer is bounded.
func TestReceiverStopped(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		o.Buffer = 5000
		c := newClient(t, o)
		mustConnect(t, c)
		time.Sleep(time.Minute)
		c.inbox.mu.Lock()
		if size := c.inbox.size; size > 8000 {
			t.Errorf("%d bytes are held", size)
		}
		c.inbox.mu.Unlock()
		c.Reconnect() // the new connection must get its hello past the full buffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Connect(ctx); err != nil {
			t.Errorf("got %v", err)
		}
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}, func(v *visitor) {
		v.welcome("")
		for range 20 {
			v.send(ws.Text, strings.Repeat("x", 1000))
		}
		v.serve(nil)
	})
}
