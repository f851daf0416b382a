package guard

import (
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/deny"
)

// Life is the clock of one connection: what it is told of bytes and messages,
// and what follows when time passes. Times are monotonic, as durations since
// the connection began; only the credential's end is wall-clock time, because a
// credential says so.
type Life struct {
	// Set once at admission.
	config *Config
	base   time.Time

	// pace is owned by the event in progress.
	pace pace

	// Written by renewal, read by tick.
	expires atomic.Int64 // wall clock, Unix nanoseconds; 0 = never

	// Written by readable and send, read by tick.
	heard     atomic.Int64 // when bytes last arrived
	data      atomic.Int64 // when a data message last counted
	begun     atomic.Int64 // start of the progress window of an unfinished message; 0 = none
	progress  atomic.Int64 // bytes that arrived in that window
	resumeAt  atomic.Int64 // the rate pauses reading until then; 0 = not paused
	throttled atomic.Int64 // when the rate was first exceeded in this spell; 0 = not
	blocked   atomic.Int64 // since when the route takes no messages; 0 = it does
	left      atomic.Int64 // when the client said goodbye; 0 = it has not
	said      atomic.Int64 // when something was last sent; 0 = nobody asks

	// Owned by tick.
	pinged time.Duration // when the last unanswered ping was sent; 0 = none
}

// Begin starts the life of a connection whose credential ends at expires (zero:
// never). c must have been filled.
func (l *Life) Begin(c *Config, expires time.Time) {
	l.config, l.base = c, time.Now().Add(-1) // so that no time is 0, which means "not"
	l.pace = newPace(c, l.now())
	l.Extend(expires)
}

// Live marks the moment from which silence counts: the handshake is over. beats
// says that Tick is to ask for a Beat when nothing was sent for the time Ping, and
// every second while the client is not read.
func (l *Life) Live(beats bool) {
	now := int64(l.now())
	if beats {
		l.said.Store(now)
	}
	l.heard.Store(now)
	l.data.Store(now)
}

// Began is when the life began.
func (l *Life) Began() time.Time { return l.base }

func (l *Life) now() time.Duration { return time.Since(l.base) }

// Config returns the limits in force.
func (l *Life) Config() *Config { return l.config }

// Extend sets the credential's end anew.
func (l *Life) Extend(expires time.Time) {
	if expires.IsZero() {
		l.expires.Store(0)
	} else {
		l.expires.Store(expires.UnixNano())
	}
}

// Left notes that the client said goodbye. Tick must be called at alarm.
func (l *Life) Left() (alarm time.Time) {
	l.left.Store(int64(l.now()))
	alarm, _ = l.End()
	return alarm
}

// End is when the connection ends at the latest, and why.
func (l *Life) End() (time.Time, deny.Reason) {
	end, why := l.base.Add(1+l.config.MaxLife), deny.GuardMaxLife
	if left := l.left.Load(); left != 0 {
		if t := l.base.Add(time.Duration(left) + leaveWait); t.Before(end) {
			end, why = t, deny.PeerClosed
		}
	}
	if at := l.expires.Load(); at != 0 && time.Unix(0, at).Before(end) {
		return time.Unix(0, at), deny.AuthExpired
	}
	return end, why
}

// Heard notes that n bytes arrived. unfinished says that a message or frame has
// begun and not ended. If alarm is not zero, Tick must be called then.
func (l *Life) Heard(n int, unfinished bool) (alarm time.Time) {
	now := l.now()
	l.heard.Store(int64(now))
	if !unfinished {
		l.begun.Store(0)
		return time.Time{}
	}
	l.progress.Add(int64(n))
	if l.begun.Load() != 0 {
		return time.Time{}
	}
	l.progress.Store(0)
	l.begun.Store(int64(now))
	return l.base.Add(now + progressWindow)
}

// Said notes that something was sent.
func (l *Life) Said() {
	if l.said.Load() != 0 {
		l.said.Store(int64(l.now()))
	}
}

// Data notes a data message, or a part of one, that counts against Idle.
func (l *Life) Data(fromClient bool) {
	if !fromClient {
		l.Said()
	}
	if fromClient || !l.config.IdleClient {
		l.data.Store(int64(l.now()))
	}
}

// Spend charges the client's rates. If alarm is not zero, reading must pause
// until Tick, called then, resumes it; or the connection must end.
func (l *Life) Spend(messages, bytes int) (alarm time.Time, end deny.Reason) {
	now := l.now()
	wait := l.pace.spend(now, messages, bytes)
	if l.pace.since < 0 {
		l.throttled.Store(0)
		return time.Time{}, 0
	}
	l.throttled.Store(int64(l.pace.since))
	if wait == 0 {
		return time.Time{}, 0
	}
	if now-l.pace.since >= maxThrottle {
		return time.Time{}, deny.GuardTooFast
	}
	l.resumeAt.Store(int64(now + wait))
	if l.said.Load() != 0 {
		wait = min(wait, pausedBeat)
	}
	return l.base.Add(min(now+wait, l.pace.since+maxThrottle)), 0
}

// Throttled reports whether the rate pauses reading: Tick has still to resume it.
func (l *Life) Throttled() bool { return l.resumeAt.Load() != 0 }

// Blocked notes that the route stopped taking messages; Tick must be called at
// alarm.
func (l *Life) Blocked() (alarm time.Time) {
	now := l.now()
	l.blocked.CompareAndSwap(0, int64(now))
	wait := l.config.RouteWait
	if l.said.Load() != 0 {
		wait = min(wait, pausedBeat)
	}
	return l.base.Add(now + wait)
}

// Unblocked notes that the route takes messages again. Tick must be called at
// alarm.
func (l *Life) Unblocked() (alarm time.Time) {
	now := l.now()
	l.heard.Store(int64(now)) // the peer was not listened to
	l.data.Store(int64(now))
	l.blocked.Store(0)
	return l.base.Add(now + min(l.config.Idle, l.config.Ping))
}

// Due is what Tick asks of the connection.
type Due struct {
	End    deny.Reason // end it, unless 0
	Ping   bool        // ask for a sign of life
	Beat   bool        // give one
	Resume bool        // the rate allows reading again
}

// Tick says what is due now and when to ask next. congested says that much waits
// to be sent: a ping would wait behind it, and WriteWait bounds the wait.
func (l *Life) Tick(congested bool) (due Due, next time.Time) {
	now, c := l.now(), l.config
	since := func(at int64) time.Duration { return now - time.Duration(at) }

	end, why := l.End()
	if !time.Now().Before(end) {
		return Due{End: why}, time.Time{}
	}
	blocked, resumeAt := l.blocked.Load(), l.resumeAt.Load()
	if blocked == 0 && since(l.data.Load()) >= c.Idle { // a client that is not listened to is not idle
		return Due{End: deny.GuardIdle}, time.Time{}
	}
	if blocked != 0 && since(blocked) >= c.RouteWait {
		return Due{End: deny.RouteStuck}, time.Time{}
	}
	if resumeAt != 0 {
		if now >= time.Duration(resumeAt) {
			l.resumeAt.Store(0)
			l.heard.Store(int64(now)) // the peer was not listened to
			due.Resume = true
			resumeAt = 0
		} else if t := l.throttled.Load(); t != 0 && since(t) >= maxThrottle {
			return Due{End: deny.GuardTooFast}, time.Time{}
		}
	}
	if begun := l.begun.Load(); begun != 0 && blocked == 0 && resumeAt == 0 && since(begun) >= progressWindow {
		if l.progress.Load() < progressBytes {
			return Due{End: deny.GuardStalled}, time.Time{}
		}
		l.progress.Store(0)
		l.begun.Store(int64(now))
	}
	listening := blocked == 0 && resumeAt == 0
	if said := l.said.Load(); said != 0 && since(said) >= c.beat(listening) {
		l.said.Store(int64(now))
		due.Beat = true
	}
	if listening { // the heartbeat measures the peer, so only then
		if congested {
			l.heard.Store(int64(now))
		}
		heard := time.Duration(l.heard.Load())
		if heard >= l.pinged {
			l.pinged = 0
		}
		switch {
		case l.pinged != 0 && now-l.pinged >= c.PongWait:
			return Due{End: deny.PeerLost}, time.Time{}
		case l.pinged == 0 && now-heard >= c.Ping:
			l.pinged = now
			due.Ping = true
		}
	}
	return due, l.next()
}

// pausedBeat is the time between signs of life to a client that is not read: it
// cannot ask for one.
const pausedBeat = time.Second

func (c *Config) beat(listening bool) time.Duration {
	if listening {
		return c.Ping
	}
	return min(c.Ping, pausedBeat)
}

// First is when Tick must be called for the first time.
func (l *Life) First() time.Time { return l.next() }

// next is when Tick must be called again.
func (l *Life) next() time.Time {
	c := l.config
	next, _ := l.End()
	earlier := func(at int64, wait time.Duration) {
		if t := l.base.Add(time.Duration(at) + wait); t.Before(next) {
			next = t
		}
	}
	blocked, resumeAt := l.blocked.Load(), l.resumeAt.Load()
	if blocked != 0 {
		earlier(blocked, c.RouteWait)
	} else {
		earlier(l.data.Load(), c.Idle)
	}
	if resumeAt != 0 {
		earlier(resumeAt, 0)
		if t := l.throttled.Load(); t != 0 {
			earlier(t, maxThrottle)
		}
	}
	listening := blocked == 0 && resumeAt == 0
	if said := l.said.Load(); said != 0 {
		earlier(said, c.beat(listening))
	}
	if listening {
		if begun := l.begun.Load(); begun != 0 {
			earlier(begun, progressWindow)
		}
		heard := l.heard.Load()
		if l.pinged != 0 && heard < int64(l.pinged) {
			earlier(int64(l.pinged), c.PongWait)
		} else {
			earlier(heard, c.Ping)
		}
	}
	return next
}
