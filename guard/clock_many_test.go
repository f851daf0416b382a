package guard_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/guard"
)

// pulse is a Ticker as connections have them: it sets its alarm again.
type pulse struct {
	clock *guard.Clock
	alarm guard.Alarm
	every time.Duration
	left  int
	due   time.Time
	wrong *atomic.Int32
}

func (p *pulse) Tick() {
	if !time.Now().Equal(p.due) {
		p.wrong.Add(1)
	}
	if p.left--; p.left > 0 {
		p.due = p.due.Add(p.every)
		p.clock.Set(&p.alarm, p.due)
	}
}

// TestFiftyThousandAlarms: each rings when it is due and as often as it was set, a
// cancelled one never, and all together have one goroutine.
func TestFiftyThousandAlarms(t *testing.T) {
	const count, rounds = 50_000, 3
	synctest.Test(t, func(t *testing.T) {
		c := guard.NewClock()
		var wrong atomic.Int32
		before := runtime.NumGoroutine()
		pulses := make([]pulse, count)
		now := time.Now()
		for i := range pulses {
			every := time.Second + time.Duration(i*7919%count)*time.Millisecond
			p := &pulses[i]
			*p = pulse{clock: c, every: every, left: rounds, due: now.Add(every), wrong: &wrong}
			p.alarm.Ticker = p
			c.Set(&p.alarm, now.Add(every+time.Hour)) // moved nearer …
			c.Set(&p.alarm, p.due)
			c.Set(&p.alarm, now.Add(24*time.Hour)) // … and never farther
		}
		for i := 0; i < count; i += 5 {
			c.Cancel(&pulses[i].alarm)
		}
		if more := runtime.NumGoroutine() - before; more != 1 {
			t.Errorf("%d goroutines for %d alarms", more, count)
		}
		c.Wait()
		late := 0
		for i := range pulses {
			want := 0
			if i%5 == 0 {
				want = rounds
			}
			if pulses[i].left != want {
				late++
			}
		}
		if late > 0 || wrong.Load() > 0 {
			t.Errorf("%d alarms did not ring as often as they should, %d at another time", late, wrong.Load())
		}
	})
}
