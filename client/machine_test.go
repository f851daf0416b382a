package client

import (
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// driver feeds a machine and keeps what it does.
type driver struct {
	t   *testing.T
	m   *machine
	now time.Duration
	log []string
}

func drive(t *testing.T, hasSource bool, draw float64) *driver {
	b := Backoff{Base: 500 * time.Millisecond, Max: 30 * time.Second, Stable: 10 * time.Second}
	return &driver{t: t, m: newMachine(b, hasSource, func() float64 { return draw }), now: time.Second}
}

var doNames = map[do]string{doConnect: "connect", doCancel: "cancel", doUse: "use", doRetire: "retire", doDrop: "drop",
	doDiscard: "discard", doProbe: "probe", doShutdown: "shutdown"}

func (d *driver) note(effects []effect) {
	for _, e := range effects {
		s := fmt.Sprintf("%s %d", doNames[e.do], e.gen)
		if e.do == doConnect {
			s += " " + string(e.why)
		}
		d.log = append(d.log, s)
	}
}

// pass lets time pass, as the loop of a client does.
func (d *driver) pass(by time.Duration) {
	for end := d.now + by; d.now < end; {
		next := d.m.next(d.now)
		if next == 0 || next > end {
			next = end
		}
		d.now = next
		d.note(d.m.look(d.now))
	}
}

// want compares what the machine has done since the last time.
func (d *driver) want(status Status, effects ...string) {
	d.t.Helper()
	if !slices.Equal(d.log, effects) {
		d.t.Errorf("did %q, want %q", d.log, effects)
	}
	if d.m.state.Status != status {
		d.t.Errorf("is %s (%v), want %s", d.m.state.Status, d.m.state.Err, status)
	}
	d.log = nil
}

func (d *driver) connect()                     { d.note(d.m.connect(d.now)) }
func (d *driver) use()                         { d.note(d.m.use(d.now)) }
func (d *driver) up(gen uint64)                { d.note(d.m.succeeded(d.now, gen)) }
func (d *driver) fail(gen uint64, err error)   { d.note(d.m.failed(d.now, gen, judge(err, nil))) }
func (d *driver) end(gen uint64, e CloseError) { d.note(d.m.ended(d.now, gen, judge(&e, nil))) }
func (d *driver) wake(jump time.Duration)      { d.note(d.m.wake(d.now, jump)) }

// door is an end by the door.
func door(r deny.Reason) CloseError { return CloseError{Code: r.Close(), Door: r.Code(), Reason: r} }

var lost = CloseError{Code: 1006}

func TestMachine_SR60(t *testing.T) {
	tests := []struct {
		name string
		play func(d *driver)
	}{
		{"nothing happens before it is asked for", func(d *driver) {
			d.pass(time.Hour)
			d.want(Idle)
		}},
		{"an attempt that fails is tried again, each wait up to twice as long", func(d *driver) {
			d.connect()
			d.want(Opening, "connect 1 connect")
			for gen := uint64(1); gen <= 8; gen++ {
				d.fail(gen, errors.New("no network"))
				d.want(Waiting)
				most := min(500*time.Millisecond<<(gen-1), 30*time.Second)
				d.pass(most/2 - 1) // the draw is 1/2
				d.want(Waiting)
				d.pass(1)
				d.want(Opening, fmt.Sprintf("connect %d connect", gen+1))
			}
		}},
		{"the wait begins anew after a stable connection only", func(d *driver) {
			d.connect()
			d.fail(1, errors.New("no network"))
			d.pass(250 * time.Millisecond)
			d.up(2)
			d.pass(9 * time.Second)
			d.end(2, lost)
			d.log = nil
			d.pass(499 * time.Millisecond)
			d.want(Waiting)
			d.pass(time.Millisecond)
			d.want(Opening, "connect 3 reconnect")
			d.up(3)
			d.pass(10 * time.Second)
			d.end(3, lost)
			d.log = nil
			d.pass(250 * time.Millisecond)
			d.want(Opening, "connect 4 reconnect")
		}},
		{"advice of the server is a floor, with jitter above it", func(d *driver) {
			d.connect()
			d.log = nil
			d.fail(1, &RefusedError{Status: 503, Reason: deny.GuardFull, RetryAfter: 7 * time.Second})
			d.pass(7249 * time.Millisecond)
			d.want(Waiting)
			d.pass(time.Millisecond)
			d.want(Opening, "connect 2 connect")
		}},
		{"the application ends a wait, but not the server's", func(d *driver) {
			d.connect()
			d.fail(1, errors.New("no network"))
			d.log = nil
			d.connect()
			d.want(Opening, "connect 2 connect")
			d.fail(2, &RefusedError{Status: 429, RetryAfter: 7 * time.Second})
			d.connect()
			d.want(Waiting)
			d.pass(7 * time.Second)
			d.want(Opening, "connect 3 connect")
		}},
		{"a program that keeps sending makes no storm of its waits", func(d *driver) {
			d.use()
			d.fail(1, errors.New("no network"))
			d.log = nil
			for range 100 {
				d.use()
			}
			d.want(Waiting)
		}},
		{"never", func(d *driver) {
			d.connect()
			d.up(1)
			d.log = nil
			d.end(1, door(deny.OriginUntrusted))
			d.pass(time.Hour)
			d.want(Ended)
			d.connect()
			d.want(Opening, "connect 2 connect")
		}},
		{"next-use: when the application sends", func(d *driver) {
			d.connect()
			d.up(1)
			d.pass(time.Minute)
			d.log = nil
			d.end(1, door(deny.GuardIdle))
			d.pass(time.Hour)
			d.want(Idle)
			d.use()
			d.want(Opening, "connect 2 connect")
		}},
		{"reauth: at once, then as later", func(d *driver) {
			d.connect()
			d.up(1)
			d.log = nil
			d.end(1, door(deny.AuthExpired))
			d.want(Opening, "connect 2 rejected")
			d.fail(2, &RefusedError{Status: 101, Reason: deny.AuthInvalid})
			d.want(Waiting)
			d.pass(250 * time.Millisecond)
			d.want(Opening, "connect 3 rejected")
			d.up(3)
			d.log = nil
			d.end(3, door(deny.AuthRevoked)) // it was not stable: no loop without a wait
			d.want(Waiting)
		}},
		{"reauth after a stable connection is at once again", func(d *driver) {
			d.connect()
			d.up(1)
			d.end(1, door(deny.AuthExpired))
			d.up(2)
			d.pass(10 * time.Second)
			d.log = nil
			d.end(2, door(deny.AuthExpired))
			d.want(Opening, "connect 3 rejected")
		}},
		{"nobody is signed in", func(d *driver) {
			d.connect()
			d.log = nil
			d.fail(1, fmt.Errorf("get a ticket: %w", ErrUnauthenticated))
			d.pass(time.Hour)
			d.want(Ended)
			if !errors.Is(d.m.state.Err, ErrUnauthenticated) {
				d.t.Errorf("got %v", d.m.state.Err)
			}
		}},
		{"after a restart the first wait is within 5 s", func(d *driver) {
			d.connect()
			d.up(1)
			d.pass(time.Minute)
			d.log = nil
			d.end(1, door(deny.Drain))
			d.pass(2499 * time.Millisecond)
			d.want(Waiting)
			d.pass(time.Millisecond)
			d.want(Opening, "connect 2 reconnect")
			d.fail(2, errors.New("no network"))
			d.pass(500 * time.Millisecond)
			d.want(Opening, "connect 3 reconnect")
		}},
		{"drain: the new one first, then the old one goes", func(d *driver) {
			d.connect()
			d.up(1)
			d.log = nil
			d.note(d.m.drain(d.now, 1, 10*time.Second))
			d.pass(4999 * time.Millisecond)
			d.want(Open)
			d.pass(time.Millisecond)
			d.want(Open, "connect 2 reconnect")
			d.note(d.m.drain(d.now, 1, 10*time.Second)) // said twice, done once
			d.up(2)
			d.want(Open, "use 2", "retire 1")
			d.end(1, CloseError{Code: 1000, Local: true})
			d.pass(time.Hour)
			d.want(Open)
		}},
		{"drain: the old one ends before the new one is there", func(d *driver) {
			d.connect()
			d.up(1)
			d.note(d.m.drain(d.now, 1, 0))
			d.log = nil
			d.end(1, door(deny.Drain))
			d.want(Opening)
			d.up(2)
			d.want(Open, "use 2")
		}},
		{"drain: the new one fails, and is tried again while the old one lives", func(d *driver) {
			d.connect()
			d.up(1)
			d.note(d.m.drain(d.now, 1, 0))
			d.log = nil
			d.fail(2, errors.New("no network"))
			d.want(Open)
			d.pass(time.Second)
			d.want(Open, "connect 3 reconnect")
		}},
		{"drain: the new one is refused, and the old one lives to its end", func(d *driver) {
			d.connect()
			d.up(1)
			d.note(d.m.drain(d.now, 1, 0))
			d.log = nil
			d.fail(2, &RefusedError{Status: 404})
			d.pass(time.Minute)
			d.want(Open)
			d.end(1, door(deny.Drain))
			d.pass(2500 * time.Millisecond)
			d.want(Opening, "connect 3 reconnect")
		}},
		{"wake: an open connection is probed, not cut", func(d *driver) {
			d.connect()
			d.up(1)
			d.log = nil
			d.wake(time.Hour)
			d.want(Open, "probe 1")
		}},
		{"wake: an attempt from before is given up, and its outcome ignored", func(d *driver) {
			d.connect()
			d.log = nil
			d.wake(time.Hour)
			d.want(Waiting, "cancel 1")
			d.pass(time.Minute) // never two at once
			d.want(Waiting)
			d.up(1) // it came too late
			d.want(Opening, "discard 1", "connect 2 connect")
		}},
		{"wake: a wait ends within a second, and counts from the beginning", func(d *driver) {
			d.connect()
			for gen := uint64(1); gen < 8; gen++ {
				d.fail(gen, errors.New("no network"))
				d.pass(time.Minute)
			}
			d.fail(8, &RefusedError{Status: 503, RetryAfter: time.Hour})
			d.log = nil
			d.wake(2 * time.Hour) // what the server asked for is over
			d.pass(500 * time.Millisecond)
			d.want(Opening, "connect 9 connect")
			d.fail(9, errors.New("no network"))
			d.pass(250 * time.Millisecond)
			d.want(Opening, "connect 10 connect")
		}},
		{"wake: a short sleep does not end what the server asked for", func(d *driver) {
			d.connect()
			d.fail(1, &RefusedError{Status: 503, RetryAfter: time.Hour})
			d.log = nil
			d.wake(time.Minute)
			d.pass(58 * time.Minute)
			d.want(Waiting)
			d.pass(time.Minute)
			d.want(Opening, "connect 2 connect")
		}},
		{"wake: who wants no connection gets none", func(d *driver) {
			d.wake(time.Hour)
			d.pass(time.Hour)
			d.want(Idle)
		}},
		{"the application gives up a connection that it does not trust", func(d *driver) {
			d.connect()
			d.up(1)
			d.log = nil
			d.note(d.m.reconnect(d.now))
			d.want(Opening, "drop 1", "connect 2 reconnect")
			d.end(1, CloseError{Code: CodeSuperseded, Local: true})
			d.up(2)
			d.want(Open, "use 2")
		}},
		{"close: nothing comes after", func(d *driver) {
			d.connect()
			d.up(1)
			d.note(d.m.drain(d.now, 1, 0))
			d.log = nil
			d.note(d.m.close(d.now))
			d.want(Closed, "shutdown 1", "cancel 2")
			d.up(2)
			d.want(Closed, "discard 2")
			d.end(1, lost)
			d.connect()
			d.note(d.m.reconnect(d.now))
			d.wake(time.Hour)
			d.pass(time.Hour)
			d.want(Closed)
			if d.m.next(d.now) != 0 {
				d.t.Error("it wants to be asked again")
			}
		}},
		{"give up: after so long without a stable connection", func(d *driver) {
			d.m.backoff.GiveUp = time.Minute
			d.connect()
			for gen := uint64(1); d.m.wanted && gen < 1000; gen++ {
				if d.m.trying != 0 {
					d.fail(d.m.trying, errors.New("no network"))
				}
				d.pass(time.Second)
			}
			d.log = nil
			d.want(Ended)
			if d.now < time.Minute || d.now > 65*time.Second || !errors.Is(d.m.state.Err, errGivenUp) {
				d.t.Errorf("at %s: %v", d.now, d.m.state.Err)
			}
			d.connect()
			d.want(Opening, fmt.Sprintf("connect %d connect", d.m.gen))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.play(drive(t, true, 0.5)) })
	}
	t.Run("reauth without a source: once more, then it ends", func(t *testing.T) {
		d := drive(t, false, 0.5)
		d.connect()
		d.fail(1, &RefusedError{Status: 401})
		d.want(Opening, "connect 1 connect", "connect 2 rejected")
		d.fail(2, &RefusedError{Status: 401})
		d.pass(time.Hour)
		d.want(Ended)
		if !errors.Is(d.m.state.Err, ErrUnauthenticated) {
			t.Errorf("got %v", d.m.state.Err)
		}
	})
	t.Run("the longest life is no refusal, for who has no credential", func(t *testing.T) {
		d := drive(t, false, 0.5)
		d.connect()
		d.up(1)
		for gen := uint64(1); gen < 5; gen++ {
			d.pass(24 * time.Hour)
			d.end(gen, door(deny.GuardMaxLife))
			d.up(gen + 1)
		}
		d.log = nil
		d.want(Open)
	})
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want deny.Client
	}{
		{"an error of the network", errors.New("connection refused"), deny.Later},
		{"given up by ourselves", &CloseError{Code: CodeSilent, Local: true}, deny.Later},
		{"a broken protocol", &CloseError{Code: CodeProtocol, Local: true}, deny.Later},
		{"the application's 1000", &CloseError{Code: 1000}, deny.Never},
		{"the application's 1001", &CloseError{Code: 1001}, deny.Later},
		{"no code", &CloseError{Code: 1005}, deny.Later},
		{"no frame", &CloseError{Code: 1006}, deny.Later},
		{"policy", &CloseError{Code: 1008}, deny.Never},
		{"too big", &CloseError{Code: 1009}, deny.Never},
		{"a server's error", &CloseError{Code: 1011}, deny.Later},
		{"restart, try again, bad gateway", &CloseError{Code: 1014}, deny.Later},
		{"graphql-ws", &CloseError{Code: 4401}, deny.Never},
	}
	for _, r := range deny.All() {
		e := door(r)
		tests = append(tests, struct {
			name string
			err  error
			want deny.Client
		}{"the door's " + r.Code(), &e, r.Client()})
	}
	for _, test := range tests {
		if got := judge(test.err, nil); got.do != test.want || got.login {
			t.Errorf("%s: got %s, login %t, want %s", test.name, got.do, got.login, test.want)
		}
	}
	asked := false
	judge(&CloseError{Code: 4401}, func(e *CloseError) bool { asked = true; return true })
	if got := judge(&CloseError{Code: 4401}, func(*CloseError) bool { return true }); got.do != deny.Later || !asked {
		t.Errorf("ShouldRetry was not asked: %s", got.do)
	}
	idle := door(deny.GuardIdle)
	if got := judge(&idle, func(*CloseError) bool { return true }); got.do != deny.NextUse {
		t.Errorf("ShouldRetry was asked about the door's end: %s", got.do)
	}
}

// TestMachineProperties plays at random and checks what must hold at every moment.
func TestMachineProperties(t *testing.T) {
	errs := []error{errors.New("no network"), ErrUnauthenticated, &RefusedError{Status: 503, RetryAfter: 3 * time.Second},
		&RefusedError{Status: 404}, &RefusedError{Status: 101, Reason: deny.AuthExpired}}
	ends := []CloseError{lost, door(deny.Drain), door(deny.GuardIdle), door(deny.AuthExpired), door(deny.OriginUntrusted), {Code: 1000}, {Code: CodeSilent, Local: true}}
	for seed := range int64(2000) {
		r := rand.New(rand.NewSource(seed))
		m := newMachine(Backoff{Base: time.Second, Max: 30 * time.Second, Stable: 10 * time.Second}, seed%2 == 0, r.Float64)
		now, trying, current, closed := time.Second, uint64(0), uint64(0), false
		retiring := map[uint64]bool{}
		var lastFail time.Duration
		take := func(effects []effect) {
			for _, e := range effects {
				switch e.do {
				case doConnect:
					if trying != 0 || closed {
						t.Fatalf("seed %d: attempt %d begins while %d is under way, closed %t", seed, e.gen, trying, closed)
					}
					if current != 0 && !m.moving {
						t.Fatalf("seed %d: attempt %d begins beside an open connection", seed, e.gen)
					}
					trying = e.gen
				case doUse:
					if current != 0 && e.gen <= current {
						t.Fatalf("seed %d: back from %d to %d", seed, current, e.gen)
					}
					if current != 0 {
						retiring[current] = true
					}
					current = e.gen
				case doRetire:
					if !retiring[e.gen] {
						t.Fatalf("seed %d: %d is retired, which is in use", seed, e.gen)
					}
				case doDrop, doShutdown:
					if e.gen != current {
						t.Fatalf("seed %d: %d is ended, which is not in use", seed, e.gen)
					}
					retiring[current], current = true, 0
				}
			}
		}
		for range 100 {
			now += time.Duration(r.Int63n(int64(8 * time.Second)))
			switch r.Intn(12) {
			case 0:
				take(m.connect(now))
			case 1:
				take(m.use(now))
			case 2:
				take(m.reconnect(now))
			case 3, 4:
				if gen := trying; gen != 0 {
					trying = 0
					take(m.succeeded(now, gen))
				}
			case 5, 6:
				if gen := trying; gen != 0 {
					trying, lastFail = 0, now
					take(m.failed(now, gen, judge(errs[r.Intn(len(errs))], nil)))
				}
			case 7, 8:
				if gen := current; gen != 0 {
					current = 0
					take(m.ended(now, gen, judge(&ends[r.Intn(len(ends))], nil)))
				}
			case 9:
				take(m.drain(now, current, 10*time.Second))
			case 10:
				take(m.wake(now, time.Duration(r.Int63n(int64(time.Hour)))))
			case 11:
				if r.Intn(20) == 0 {
					closed = true
					take(m.close(now))
				}
			}
			take(m.look(now))
			if trying != m.trying || current != m.current {
				t.Fatalf("seed %d: the machine thinks %d, %d, and it is %d, %d", seed, m.trying, m.current, trying, current)
			}
			if m.wanted && m.current == 0 && m.trying == 0 && m.retryAt == 0 {
				t.Fatalf("seed %d: it wants a connection and does nothing for it", seed)
			}
			if m.retryAt > now+40*time.Second {
				t.Fatalf("seed %d: it waits for %s, after a failure at %s", seed, m.retryAt-now, lastFail)
			}
			if closed && (m.next(now) != 0 || m.state.Status != Closed) {
				t.Fatalf("seed %d: something is left after close: %+v", seed, m)
			}
		}
	}
}
