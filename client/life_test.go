package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/internal/ws"
)

// wantSilent waits for the end of c and wants it to be given up after so long.
func wantSilent(t *testing.T, c *Conn, after time.Duration) {
	t.Helper()
	began := time.Now()
	<-c.Context().Done()
	end, _ := errors.AsType[*CloseError](context.Cause(c.Context()))
	if took := time.Since(began); end.Code != CodeSilent || !end.Local || took < after || took > after+time.Second {
		t.Errorf("got %v after %s, want 4900 after %s", end, took, after)
	}
	closeConn(t, c)
}

func TestHeartbeat(t *testing.T) {
	silent := func(v *visitor) {
		v.welcome("")
		if op, data, _ := v.receive(); op != ws.Close || data != "4900 local.silent" {
			v.t.Errorf("got %v %q", op, data)
		}
	}
	t.Run("a silent door is given up after its beat and 10 s", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) { wantSilent(t, d.connect(o), 35*time.Second) }, silent)
	})
	t.Run("beats keep the connection", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			c := d.connect(o)
			time.Sleep(time.Hour)
			if c.ended.Load() != nil {
				t.Errorf("it ended: %v", c.ended.Load())
			}
			closeConn(t, c)
		}, func(v *visitor) {
			v.welcome("")
			v.beating()
			v.serve(nil)
		})
	})
	t.Run("a message is a sign of life", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			c := d.connect(o)
			time.Sleep(30 * time.Second)
			wantSilent(t, c, 30*time.Second)
		}, func(v *visitor) {
			v.welcome("")
			time.Sleep(25 * time.Second)
			v.send(ws.Text, "life")
			v.drop()
		})
	})
	t.Run("a long message may be silent for five minutes", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) { wantSilent(t, d.connect(o), 300*time.Second) }, func(v *visitor) {
			v.welcome("")
			v.control(`{"t":"long"}`)
			v.drop()
		})
	})
	t.Run("and is over when it has come", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) { wantSilent(t, d.connect(o), 95*time.Second) }, func(v *visitor) {
			v.welcome("")
			v.control(`{"t":"long"}`)
			v.raw(ws.AppendFrame(nil, ws.Server, false, ws.Text, []byte("\x00beg")))
			time.Sleep(time.Minute)
			v.raw(ws.AppendFrame(nil, ws.Server, true, ws.Continuation, []byte("un")))
			v.drop()
		})
	})
	t.Run("without the channel the client pings", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			o.Plain = true
			c := d.connect(o)
			time.Sleep(10 * time.Minute)
			if c.ended.Load() != nil {
				t.Errorf("it ended: %v", c.ended.Load())
			}
			closeConn(t, c)
		}, func(v *visitor) { v.upgrade("sallyport"); v.serve(nil) })
	})
	t.Run("and gives up who does not answer", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			o.Plain = true
			wantSilent(t, d.connect(o), 35*time.Second)
		}, func(v *visitor) { v.upgrade("sallyport"); v.drop() })
	})
}

func TestProbe(t *testing.T) {
	t.Run("no answer", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			c := d.connect(o)
			time.Sleep(time.Second)
			c.Probe()
			wantSilent(t, c, 3*time.Second)
		}, func(v *visitor) { v.welcome(""); v.drop() })
	})
	t.Run("asked again and again", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			c := d.connect(o)
			time.Sleep(time.Second)
			began := time.Now()
			for range 10 {
				c.Probe()
				time.Sleep(time.Second)
			}
			if end := c.ended.Load(); end == nil {
				t.Errorf("it still lives after %s", time.Since(began))
			}
			closeConn(t, c)
		}, func(v *visitor) { v.welcome(""); v.drop() })
	})
	t.Run("an answer", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			for _, plain := range []bool{false, true} {
				o.Plain = plain
				c := d.connect(o)
				time.Sleep(time.Second)
				c.Probe()
				time.Sleep(20 * time.Second)
				if c.ended.Load() != nil {
					t.Errorf("plain %t: it ended: %v", plain, c.ended.Load())
				}
				closeConn(t, c)
			}
		}, func(v *visitor) { v.welcome(""); v.serve(nil) }, func(v *visitor) { v.upgrade("sallyport"); v.serve(nil) })
	})
	t.Run("the queue before it shrinks", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
			c := d.connect(o)
			c.Send(t.Context(), Message{Kind: Binary, Data: make([]byte, 300_000)})
			synctest.Wait()
			time.Sleep(time.Second)
			c.Probe()
			time.Sleep(20 * time.Second)
			if c.ended.Load() != nil {
				t.Errorf("it ended: %v", c.ended.Load())
			}
			closeConn(t, c)
		}, func(v *visitor) {
			v.upgrade(channel, controlOf(`{"t":"hello","id":"a","beat":25,"idle":60,"ends_in":86400,"max_message":1048576}`)...)
			for read := 0; read < 300_000; { // 60 KiB a second
				time.Sleep(500 * time.Millisecond)
				n, err := v.reader.Read(make([]byte, 30<<10))
				if read += n; err != nil {
					return
				}
			}
			v.control(`{"t":"beat","got":1}`)
			v.drop()
		})
	})
}

// renewals is a door that answers renewals with answers, one after the other.
func renewals(members string, log *[]string, answers ...string) func(*visitor) {
	began := time.Time{}
	return func(v *visitor) {
		began = time.Now()
		v.welcome(members)
		v.serve(func(_ ws.Opcode, data string) {
			var m struct{ T, Ticket, Token string }
			json.Unmarshal([]byte(data[1:]), &m)
			*log = append(*log, fmt.Sprintf("%s %s%s at %d", m.T, m.Ticket, m.Token, int(time.Since(began).Seconds())))
			if len(answers) > 0 {
				v.control(answers[0])
				answers = answers[1:]
			}
		})
	}
}

func TestRenewal(t *testing.T) {
	tests := []struct {
		name    string
		members string
		answers []string
		errs    []error // of the source, one after the other, from the second call on
		want    []string
		whys    []Why
	}{
		{"at 70 to 90 % of what is left, again and again", `,"expires_in":100`, []string{`{"t":"renewed","expires_in":1000}`, `{"t":"renewed"}`}, nil,
			[]string{"renew t1 at 70-90", "renew t2 at 770-990"}, []Why{Connecting, Expiring, Expiring}},
		{"never without an end", ``, nil, nil, nil, []Why{Connecting}},
		{"rejected: once more at once, with another credential", `,"expires_in":100`,
			[]string{`{"t":"renew-refused","code":"auth.ticket-used"}`, `{"t":"renewed"}`}, nil,
			[]string{"renew t1 at 70-90", "renew t2 at 70-90"}, []Why{Connecting, Expiring, Rejected}},
		{"rejected twice: the connection goes on to its end", `,"expires_in":100`,
			[]string{`{"t":"renew-refused","code":"auth.ticket-used"}`, `{"t":"renew-refused","code":"auth.ticket-used"}`}, nil,
			[]string{"renew t1 at 70-90", "renew t2 at 70-90"}, []Why{Connecting, Expiring, Rejected}},
		{"later: after a wait", `,"expires_in":100`,
			[]string{`{"t":"renew-refused","code":"auth.unavailable"}`, `{"t":"renewed"}`}, nil,
			[]string{"renew t1 at 70-90", "renew t2 at 71-92"}, []Why{Connecting, Expiring, Expiring}},
		{"refused for a reason that is not known: no more", `,"expires_in":100`, []string{`{"t":"renew-refused","code":"moon.full"}`}, nil,
			[]string{"renew t1 at 70-90"}, []Why{Connecting, Expiring}},
		{"no answer: once more", `,"expires_in":1000`, nil, nil, []string{"renew t1 at 700-900", "renew t2 at 721-922"}, nil},
		{"the source fails, then works", `,"expires_in":1000`, []string{`{"t":"renewed"}`}, []error{errors.New("no network")},
			[]string{"renew t2 at 701-902"}, []Why{Connecting, Expiring, Expiring}},
		{"nobody is signed in any more", `,"expires_in":100`, nil, []error{ErrUnauthenticated}, nil, []Why{Connecting, Expiring}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log []string
			script := renewals(test.members, &log, test.answers...)
			bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
				n := -1
				var whys []Why
				o.Token = func(_ context.Context, why Why) (string, error) {
					n++
					whys = append(whys, why)
					if n > 0 && n <= len(test.errs) {
						return "", test.errs[n-1]
					}
					return fmt.Sprintf("t%d", n), nil
				}
				c := d.connect(o)
				time.Sleep(1000 * time.Second)
				closeConn(t, c)
				if len(log) > len(test.want) && test.name == "no answer: once more" {
					log = log[:len(test.want)]
				}
				if !slices.EqualFunc(log, test.want, fits) || test.whys != nil && !slices.Equal(whys, test.whys) {
					t.Errorf("got %q for %q, want %q for %q", log, whys, test.want, test.whys)
				}
			}, func(v *visitor) {
				if got := v.request.Header.Get("Authorization"); got != "Bearer t0" {
					v.t.Errorf("presented %q", got)
				}
				v.beating()
				script(v)
			})
		})
	}
}

// fits compares "renew x at 75" with "renew x at 70-90".
func fits(got, want string) bool {
	var n, from, to int
	g, gotAt, _ := strings.Cut(got, " at ")
	w, wantAt, _ := strings.Cut(want, " at ")
	fmt.Sscanf(gotAt, "%d", &n)
	fmt.Sscanf(wantAt, "%d-%d", &from, &to)
	return g == w && n >= from && n <= to
}

// TestWindow: what the door has not counted is unknown at the end, in order and
// once, and is bounded.
func TestWindow(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		for i := range 5 {
			if err := c.Send(t.Context(), Message{Kind: Text, Data: []byte{byte('a' + i)}, ID: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.Receive(t.Context())
		end, _ := errors.AsType[*CloseError](err)
		var got []string
		for _, m := range end.Unknown {
			got = append(got, m.ID+string(m.Data))
		}
		if !slices.Equal(got, []string{"3d", "4e"}) || end.Code != 1006 {
			t.Errorf("unknown: %q, after %v", got, end)
		}
		closeConn(t, c)
	}, func(v *visitor) {
		v.welcome("")
		for v.got < 5 {
			v.receive()
		}
		v.control(`{"t":"beat","got":3}`)
		v.control(`{"t":"beat","got":1}`) // crossed: the count never goes back
		v.socket.Close()
	})
}

func TestWindowIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		sent := 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for {
			if err := c.Send(ctx, text("x")); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				break
			}
			sent++
		}
		if sent != windowMessages {
			t.Errorf("%d messages are in flight, want %d", sent, windowMessages)
		}
		for range 1000 { // from now on the door counts
			if err := c.Send(t.Context(), text("x")); err != nil {
				t.Fatal(err)
			}
		}
		closeConn(t, c)
		if end := c.ended.Load(); len(end.Unknown) != 0 {
			t.Errorf("%d are unknown", len(end.Unknown))
		}
	}, func(v *visitor) {
		v.welcome("")
		time.Sleep(2 * time.Second)
		v.serve(nil)
	})
}

// TestPace: a client keeps below the rates that the door told.
func TestPace(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		began := time.Now()
		for range 500 {
			c.Send(t.Context(), text("x"))
		}
		// 50 at once and 450 at 40 a second, and a few probes
		if took := time.Since(began); took < 11*time.Second || took > 14*time.Second {
			t.Errorf("500 messages took %s", took)
		}
		closeConn(t, c)
	}, func(v *visitor) { v.welcome(`,"messages_per_second":50,"bytes_per_second":262144`); v.serve(nil) })

	p := newPace(Limits{BytesPerSecond: 1000})
	if wait := p.spend(0, 1, 5000); wait != 0 {
		t.Errorf("a large message waits %s for a full bucket", wait)
	}
	if wait := p.spend(0, 1, 1); wait < 5*time.Second || wait > 6*time.Second {
		t.Errorf("the next waits %s", wait)
	}
}

// TestLate: a program that was stopped does not take its own silence for the
// server's.
func TestLate(t *testing.T) {
	now := time.Minute
	p := newPulse(25 * time.Second)
	s := signs{heard: time.Second}
	if !p.probe(now, s) {
		t.Error("no probe")
	}
	if dead, _, _ := p.next(now, s); dead {
		t.Error("dead at once")
	}
	if dead, _, _ := p.next(now+probeWait-1, s); dead {
		t.Error("dead before its time")
	}
	if dead, _, _ := p.next(now+probeWait, s); !dead {
		t.Error("it lives")
	}
	s.heard = now + time.Second
	if dead, _, at := p.next(now+probeWait, s); dead || at != s.heard+35*time.Second {
		t.Errorf("dead %t, next look at %s", dead, at)
	}
}

// TestStopped: a program that was stopped for a minute asks before it gives up.
func TestStopped(t *testing.T) {
	bubble(t, func(t *testing.T, d *fakeDoor, o Options) {
		c := d.connect(o)
		time.Sleep(2 * time.Minute)
		c.mu.Lock() // as if nothing had run for a minute
		c.heard.Store(int64(c.now() - time.Minute))
		c.due = c.now() - 30*time.Second
		c.watch()
		c.mu.Unlock()
		time.Sleep(10 * time.Second)
		if c.ended.Load() != nil {
			t.Errorf("it ended: %v", c.ended.Load())
		}
		closeConn(t, c)
	}, echo)
}

func TestBackoff(t *testing.T) {
	b := Backoff{Base: 500 * time.Millisecond, Max: 30 * time.Second}
	for n, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second} {
		if got := b.wait(n, 1); got != want {
			t.Errorf("attempt %d waits up to %s, want %s", n, got, want)
		}
		if got := b.wait(n, 0); got != 0 {
			t.Errorf("attempt %d waits %s at least", n, got)
		}
	}
	for _, n := range []int{31, 32, 63, 64, 1 << 30} {
		if got := b.wait(n, 0.5); got != 15*time.Second {
			t.Errorf("attempt %d waits %s", n, got)
		}
	}
	var r renewal
	r.backoff = b
	r.told(0, time.Millisecond, 0)
	if r.at < time.Second {
		t.Error("a life of a millisecond is renewed at once: that would never end")
	}
	if r.failed(0, deny.Later, 1); r.at == 0 {
		t.Error("a failure that nobody waited for counts")
	}
}
