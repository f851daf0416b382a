package client

import "time"

// Times of the heartbeat.
const (
	grace     = 10 * time.Second       // beyond the door's beat
	plainPing = 25 * time.Second       // of silence, on a connection without the channel
	probeWait = 3 * time.Second        // for any answer to a probe
	probeLook = 250 * time.Millisecond // how often progress is looked at meanwhile
	longWait  = 5 * time.Minute        // after the door announced a long message
)

// signs are what a connection shows of its life. Times count from its beginning.
type signs struct {
	heard time.Duration // when bytes last arrived
	sent  int64         // bytes that the network has taken
	held  bool          // we do not listen, or much of ours waits: silence says nothing
}

// pulse decides what silence means. It knows no clock.
type pulse struct {
	limit time.Duration // silence that is death
	ping  time.Duration // silence after which to ask, 0 never

	pinged    time.Duration // when the unanswered ping was sent; 0 none
	probed    time.Duration // when the unanswered probe was sent; 0 none
	progress  time.Duration // when bytes last left while a probe waited
	sent      int64
	longUntil time.Duration // 0: no long message is under way
}

// newPulse is for a connection with the channel if beat is not 0.
func newPulse(beat time.Duration) pulse {
	if beat > 0 {
		return pulse{limit: beat + grace}
	}
	return pulse{limit: plainPing + grace, ping: plainPing}
}

// probe reports whether to ask for a sign of life, and notes that. Who asks again
// and again gains no time by it.
func (p *pulse) probe(now time.Duration, s signs) bool {
	if p.probed > 0 && s.heard < p.probed {
		return false
	}
	p.probed, p.progress, p.sent = now, now, s.sent
	return true
}

// next says whether the connection is dead, whether to ping, and when to ask
// again.
func (p *pulse) next(now time.Duration, s signs) (dead, ping bool, at time.Duration) {
	if s.heard >= p.probed {
		p.probed = 0
	}
	if s.heard >= p.pinged {
		p.pinged = 0
	}
	if s.held {
		p.pinged, p.progress = 0, now
		return false, false, now + probeWait
	}
	end := max(max(s.heard, p.probed)+p.limit, p.longUntil)
	at = end
	if p.ping > 0 && p.pinged == 0 {
		if at = s.heard + p.ping; now >= at {
			p.pinged, ping, at = now, true, end
		}
	}
	if p.probed > 0 {
		if s.sent != p.sent {
			p.sent, p.progress = s.sent, now
		}
		end = min(end, max(p.progress+probeWait, p.longUntil))
		at = min(at, end, now+probeLook)
	}
	return now >= end, ping && now < end, at
}
