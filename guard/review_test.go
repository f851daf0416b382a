package guard

import (
	"strings"
	"testing"
	"time"
)

type nothing struct{}

func (nothing) Tick() {}

// Every alarm is kept in monotonic time: one in wall-clock time at the head of
// the queue would hold up all others by as much as the wall clock was set back.
// The clock of testing/synctest is no monotonic one, so this is asked in real time.
func TestAlarmsDoNotFollowTheWallClock_SR42(t *testing.T) {
	c := NewClock()
	a := &Alarm{Ticker: nothing{}}
	c.Set(a, time.Unix(0, time.Now().Add(time.Hour).UnixNano()))
	if !strings.Contains(a.at.String(), "m=") || time.Until(a.at) > time.Hour {
		t.Errorf("the alarm is kept as %s", a.at)
	}
	c.Cancel(a)
	c.Wait()
}
