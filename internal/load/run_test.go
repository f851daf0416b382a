package load

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/guard"
)

func TestEvenLoad(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*Config)
		sent   int
	}{
		{name: "binary messages", sent: 500},
		{name: "text", change: func(c *Config) { c.Text = true }, sent: 500},
		{name: "the smallest messages", change: func(c *Config) { c.Size = MinSize }, sent: 500},
		{name: "messages of many writes", change: func(c *Config) { c.Size, c.Rate = 200_000, 1 }, sent: 100},
		{name: "one connection, fast", change: func(c *Config) { c.Connections, c.Rate = 1, 1000 }, sent: 10_000},
		{name: "one answer to each", change: func(c *Config) { c.Expect = Any }, sent: 500},
		{name: "every ten seconds", change: func(c *Config) { c.Rate = 0.1 }, sent: 10},
	} {
		t.Run(row.name, func(t *testing.T) {
			inMemory(t, echo, row.change, nil, func(t *testing.T, r *Result, err error) {
				if err != nil {
					t.Fatal(err)
				}
				if problem := r.Problem(); problem != "" || r.Interrupted {
					t.Errorf("%s, interrupted: %v", problem, r.Interrupted)
				}
				if n := int(r.Messages.Sent); n < row.sent-1 || n > row.sent+1 {
					t.Errorf("sent %d, want %d", n, row.sent)
				}
				if r.Messages.Answered != r.Messages.Sent || r.Latency.Count != int64(r.Messages.Sent) || r.Late.Count != r.Latency.Count {
					t.Errorf("got %+v, %+v", r.Messages, r.Latency)
				}
				if r.Late.Max > 0.001 { // time moves only where somebody waits
					t.Errorf("a message was sent %g ms late", r.Late.Max)
				}
				if r.Measured != 10 || r.Connections.Opened != r.Settings.Connections {
					t.Errorf("got %+v in %g s", r.Connections, r.Measured)
				}
			})
		})
	}
}

// TestStallIsCharged: a server that stalls is charged for every message that was
// due meanwhile, not for one.
func TestStallIsCharged(t *testing.T) {
	n := 0
	stalls := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for m, err := range c.Messages(ctx) {
			if n++; n == 50 {
				time.Sleep(2 * time.Second)
			}
			if err != nil || c.Send(ctx, m) != nil {
				return nil
			}
		}
		return nil
	})
	inMemory(t, stalls, func(c *Config) { c.Connections, c.Rate = 1, 10 }, nil, func(t *testing.T, r *Result, err error) {
		if err != nil || r.Problem() != "" {
			t.Fatal(err, r.Problem())
		}
		// Of about 100 messages 21 are charged with 2.0, 1.9 … 0 seconds.
		q := r.Latency
		if q.Count < 99 || q.Count > 101 || q.Max < 1990 || q.Max > 2010 || q.P90 < 900 || q.P90 > 1110 || q.P50 > 1 {
			t.Errorf("got %+v", q)
		}
		if r.Late.Max > 1 {
			t.Errorf("the load itself was late: %+v", r.Late)
		}
	})
}

func TestNobodyAnswers(t *testing.T) {
	deaf := sallyport.OnMessage(func(*sallyport.Conn, sallyport.Message) {})
	inMemory(t, deaf, nil, nil, func(t *testing.T, r *Result, err error) {
		if err != nil || r.Latency != nil || r.Messages.Unanswered != r.Messages.Sent || r.Messages.Sent == 0 {
			t.Errorf("got %v, %+v", err, r.Messages)
		}
		if r.Problem() != "messages were not answered" {
			t.Errorf("got %q", r.Problem())
		}
	})
	inMemory(t, deaf, func(c *Config) { c.Expect = Nothing }, nil, func(t *testing.T, r *Result, err error) {
		if err != nil || r.Problem() != "" || r.Messages.Unanswered != 0 || r.Messages.Sent == 0 {
			t.Errorf("got %v, %+v", err, r.Messages)
		}
	})
}

// TestOthersAreNotTimed: a backend that tells everybody answers each sender once.
func TestOthersAreNotTimed(t *testing.T) {
	var door *sallyport.Door
	all := sallyport.OnMessage(func(_ *sallyport.Conn, m sallyport.Message) { door.Broadcast(door.Conns(), m) })
	withDoor(t, all, nil, func(t *testing.T, ctx context.Context, d *sallyport.Door, c Config) {
		door = d
		r, err := Run(ctx, c)
		if err != nil || r.Problem() != "" {
			t.Fatal(err, r.Problem())
		}
		if r.Messages.Answered != r.Messages.Sent || r.Messages.Other < 9*r.Messages.Sent {
			t.Errorf("got %+v", r.Messages)
		}
	})
}

func TestChurn(t *testing.T) {
	inMemory(t, echo, func(c *Config) { c.Churn = 2 }, nil, func(t *testing.T, r *Result, err error) {
		if err != nil || r.Problem() != "" {
			t.Fatal(err, r.Problem())
		}
		if n := r.Churn.Closed; n < 18 || n > 20 || r.Churn.Opened != n || r.Connections.Opened != 10+n {
			t.Errorf("got %+v, %+v", r.Churn, r.Connections)
		}
		if r.Messages.Unanswered+r.Messages.Lost != 0 {
			t.Errorf("leaving cost messages: %+v", r.Messages)
		}
	})
}

func TestStorm(t *testing.T) {
	inMemory(t, echo, func(c *Config) { c.Storm = true }, nil, func(t *testing.T, r *Result, err error) {
		if err != nil || r.Problem() != "" {
			t.Fatal(err, r.Problem())
		}
		want(t, map[string][2]int{"cut": {r.Storm.Cut, 10}, "back": {r.Storm.Back, 10}, "opened": {r.Connections.Opened, 20}, "ended": {r.Connections.Ended, 0}})
		if !r.Storm.AllBack || r.Storm.BackIn.Count != 10 || r.Storm.Attempts != 10 {
			t.Errorf("got %+v", r.Storm)
		}
	})
}

// TestStormAtAFullDoor: who is refused tries again until there is a place.
func TestStormAtAFullDoor(t *testing.T) {
	refused := 0
	withDoor(t, echo, nil, func(t *testing.T, ctx context.Context, door *sallyport.Door, c Config) {
		c.Storm = true
		dial, dials := c.Dial, 0
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials++; dials > 10 && dials <= 15 {
				refused++
				return nil, syscall.ECONNREFUSED
			}
			return dial(ctx, network, address)
		}
		c.Handshakes = 1 // Dial is called by one at a time
		r, err := Run(ctx, c)
		if err != nil || r.Problem() != "" {
			t.Fatal(err, r.Problem())
		}
		want(t, map[string][2]int{"back": {r.Storm.Back, 10}, "attempts": {r.Storm.Attempts, 15}, "failed": {r.Connections.Failed, refused}})
		if len(r.Failures) != 1 || r.Failures[0] != (Failure{"connect: connection refused", 5}) {
			t.Errorf("got %+v", r.Failures)
		}
	})
}

func TestStormThatNobodySurvives(t *testing.T) {
	withDoor(t, echo, nil, func(t *testing.T, ctx context.Context, door *sallyport.Door, c Config) {
		c.Storm = true
		dial, dials := c.Dial, 0
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials++; dials > 10 {
				return nil, syscall.ECONNREFUSED
			}
			return dial(ctx, network, address)
		}
		c.Handshakes = 1
		began := time.Now()
		r, err := Run(ctx, c)
		if err != nil || r.Problem() != "not everybody came back after the storm" || r.Storm.AllBack || r.Storm.BackIn != nil {
			t.Errorf("got %v, %q, %+v", err, r.Problem(), r.Storm)
		}
		if took := time.Since(began); took > stormWait+20*time.Second || r.Interrupted {
			t.Errorf("took %s, interrupted: %v", took, r.Interrupted)
		}
	})
}

func TestFirstConnection(t *testing.T) {
	t.Run("refused for its origin", func(t *testing.T) {
		inMemory(t, echo, func(c *Config) { c.Header = nil }, nil, func(t *testing.T, r *Result, err error) {
			refused, ok := errors.AsType[*RefusedError](err)
			if !ok || *refused != (RefusedError{101, 4001, "origin.untrusted"}) {
				t.Fatalf("got %v", err)
			}
			if len(r.Refusals) != 1 || r.Refusals[0] != (Refusal{101, 4001, "origin.untrusted", 1}) || r.Connections.Refused != 1 {
				t.Errorf("got %+v", r)
			}
		})
	})
	t.Run("refused by a status", func(t *testing.T) {
		inMemory(t, echo, func(c *Config) { c.Header = nil }, func(c *sallyport.Config) { c.Gates[0].Refuse = sallyport.RefuseHTTP }, func(t *testing.T, r *Result, err error) {
			if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Status != 403 || refused.Reason != "origin.untrusted" {
				t.Fatalf("got %v", err)
			}
		})
	})
	t.Run("nobody there", func(t *testing.T) {
		inMemory(t, echo, func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
		}, nil, func(t *testing.T, r *Result, err error) {
			if failed, ok := errors.AsType[*FailedError](err); !ok || failed.Error() != "connect: connection refused" || r.Connections.Failed != 1 {
				t.Fatalf("got %v", err)
			}
		})
	})
	t.Run("somebody who says nothing", func(t *testing.T) {
		inMemory(t, echo, func(c *Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { a, _ := net.Pipe(); return silent{a}, nil }
		}, nil, func(t *testing.T, r *Result, err error) {
			if failed, ok := errors.AsType[*FailedError](err); !ok || failed.Error() != "handshake: it took too long" {
				t.Fatalf("got %v", err)
			}
		})
	})
}

// silent takes everything and answers nothing.
type silent struct{ net.Conn }

func (silent) Write(b []byte) (int, error) { return len(b), nil }

// TestFullDoor: who finds no place is counted, the others are measured.
func TestFullDoor(t *testing.T) {
	inMemory(t, echo, nil, func(c *sallyport.Config) { c.Limits = guard.Limits{PerAddress: 4} }, func(t *testing.T, r *Result, err error) {
		if err != nil {
			t.Fatal(err)
		}
		want(t, map[string][2]int{"opened": {r.Connections.Opened, 4}, "refused": {r.Connections.Refused, 6}, "answered": {int(r.Messages.Answered), 200}})
		if len(r.Refusals) != 1 || r.Refusals[0].Reason != "guard.crowded" || r.Problem() != "connections were refused or failed" {
			t.Errorf("got %+v, %q", r.Refusals, r.Problem())
		}
	})
}

// TestEndsAreCounted: idle connections answer the server's pings, and are ended
// by it in the end.
func TestEndsAreCounted(t *testing.T) {
	inMemory(t, echo, func(c *Config) { c.Rate, c.Duration = 0, 90*time.Second }, nil, func(t *testing.T, r *Result, err error) {
		if err != nil || r.Problem() != "connections ended before their time" || r.Connections.Ended != 10 {
			t.Fatal(err, r.Problem(), r.Connections.Ended)
		}
		if len(r.Closes) != 1 || r.Closes[0] != (Close{4000, "guard.idle", 10}) || r.Latency != nil {
			t.Errorf("got %+v", r.Closes)
		}
	})
}

func TestInterrupted(t *testing.T) {
	for _, row := range []struct {
		name     string
		after    time.Duration
		measured float64
		opened   int
	}{
		{"before the first connection", 0, 0, 0},
		{"during the ramp", 50 * time.Millisecond, 0, 7},
		{"during the warm-up", 600 * time.Millisecond, 0, 10},
		{"while it measures", 5 * time.Second, 3.9, 10},
	} {
		t.Run(row.name, func(t *testing.T) {
			withDoor(t, echo, nil, func(t *testing.T, ctx context.Context, _ *sallyport.Door, c Config) {
				ctx, cancel := context.WithTimeout(ctx, row.after)
				defer cancel()
				began := time.Now()
				r, err := Run(ctx, c)
				if err != nil || !r.Interrupted {
					t.Fatal(err, r.Interrupted)
				}
				if d := r.Measured - row.measured; d < -0.05 || d > 0.05 {
					t.Errorf("measured %g s, want %g", r.Measured, row.measured)
				}
				if r.Messages.Unanswered > 0 || (r.Connections.Opened == 0) != (row.opened == 0) || r.Connections.Opened > row.opened+1 {
					t.Errorf("got %+v, %+v", r.Messages, r.Connections)
				}
				if took := time.Since(began); took > row.after+settleWait+2*leaveWait {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestProgress(t *testing.T) {
	var phases []string
	var last Progress
	inMemory(t, echo, func(c *Config) {
		c.Progress = func(p Progress) {
			if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
				phases = append(phases, p.Phase)
			}
			if p.Phase == "measuring" {
				last = p
			}
		}
		c.Ramp = 10
	}, nil, func(t *testing.T, r *Result, err error) {
		if got := strings.Join(phases, ", "); got != "opening, warming up, measuring" {
			t.Errorf("got %s", got)
		}
		if last.Open != 10 || last.Answered < 450 || last.Left > time.Second || last.Failed+last.Ended != 0 {
			t.Errorf("got %+v", last)
		}
	})
}

func TestTickets(t *testing.T) {
	p, err := config(func(c *Config) {
		c.URL, c.Tickets = "wss://app.example.com/ws", []string{"sallyport.ticket.a", "sallyport.ticket.b"}
	}).check()
	if err != nil || len(p.Protocols) != 1 || p.Protocols[0] != "sallyport" {
		t.Fatal(err, p.Protocols)
	}
	r := newRun(p)
	for _, want := range []string{"sallyport.ticket.a", "sallyport.ticket.b"} {
		if got, err := r.ticket(); got != want || err != nil {
			t.Errorf("got %s, %v", got, err)
		}
	}
	if _, err := r.ticket(); !errors.Is(err, errNoTicket) {
		t.Errorf("got %v", err)
	}
}
