package client

import "time"

// paceShare is the part of the door's rates that the client uses. The door ends
// who is over its rate for 5 s without its bucket having been full once: what is
// left lets the bucket fill again after the network delivered much at once.
const paceShare = 0.8

// pace keeps the client below the rates that the door told. The door allows two
// seconds' worth at once; the client one.
type pace struct{ messages, bytes bucket }

func newPace(l Limits) pace {
	return pace{
		messages: newBucket(l.MessagesPerSecond, max(l.MessagesPerSecond, 1)),
		bytes:    newBucket(l.BytesPerSecond, max(l.BytesPerSecond, 1)),
	}
}

// spend takes one message of so many bytes, which the door counts as so many, or
// says how long to wait for it.
func (p *pace) spend(now time.Duration, messages, bytes int) (wait time.Duration) {
	if wait = max(p.messages.wait(now, float64(messages)), p.bytes.wait(now, float64(bytes))); wait == 0 {
		p.messages.level -= float64(messages)
		p.bytes.level -= float64(bytes)
	}
	return wait
}

// charge takes a control message without asking: they do not wait.
func (p *pace) charge() { p.messages.level-- }

// bucket is a token bucket; rate 0 is no limit.
type bucket struct {
	rate, burst, level float64
	at                 time.Duration // when level was true
}

func newBucket(rate, burst float64) bucket {
	return bucket{rate: rate * paceShare, burst: burst, level: burst}
}

// wait is how long until the bucket holds need, or is full.
func (b *bucket) wait(now time.Duration, need float64) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	b.level = min(b.burst, b.level+b.rate*(now-b.at).Seconds())
	b.at = now
	short := min(need, b.burst) - b.level
	if short <= 0 {
		return 0
	}
	return max(min(time.Duration(short/b.rate*float64(time.Second)), time.Minute), time.Millisecond)
}
