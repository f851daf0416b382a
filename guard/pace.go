package guard

import "time"

// bucket is a token bucket: rate a second, at most burst at once. A bucket may
// be overdrawn; it is then empty until time has paid the debt.
type bucket struct {
	rate, burst float64
	level       float64
	at          time.Duration // when level was true
}

func newBucket(rate Rate, burst int64, now time.Duration) bucket {
	return bucket{rate: float64(rate), burst: float64(burst), level: float64(burst), at: now}
}

func (b *bucket) refill(now time.Duration) {
	b.level = min(b.burst, b.level+b.rate*(now-b.at).Seconds())
	b.at = now
}

func (b *bucket) full() bool { return b.level >= b.burst }

// wait is how long until the debt is paid; 0 if there is none.
func (b *bucket) wait() time.Duration {
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / b.rate * float64(time.Second))
}

// pace holds the two rates of one client. It is owned by the event in progress
// and, while the connection is paused by it, read by tick through Life.
type pace struct {
	messages, bytes bucket
	since           time.Duration // when the bucket was first overdrawn without being full since; -1 never
}

func newPace(c *Config, now time.Duration) pace {
	return pace{
		messages: newBucket(c.Messages, 2*int64(c.Messages), now),
		bytes:    newBucket(c.Bytes, max(2*int64(c.Bytes), c.MaxMessage), now),
		since:    -1,
	}
}

// spend takes from both buckets and says how long reading must pause.
func (p *pace) spend(now time.Duration, messages, bytes int) time.Duration {
	p.messages.refill(now)
	p.bytes.refill(now)
	if p.messages.full() && p.bytes.full() {
		p.since = -1
	}
	p.messages.level -= float64(messages)
	p.bytes.level -= float64(bytes)
	wait := max(p.messages.wait(), p.bytes.wait())
	if wait > 0 && p.since < 0 {
		p.since = now
	}
	return wait
}
