package client

import (
	"time"

	"github.com/sallyport/sallyport/deny"
)

// renewWait is how long the door may take to answer a renewal, and a source to
// give a credential for one.
const renewWait = 10 * time.Second

// renewal decides when to renew the credential of a connection over the
// connection itself. It knows no clock: times count from the connection's
// beginning, lives are relative, and nothing is compared with the wall's.
type renewal struct {
	backoff Backoff

	end      time.Duration // of the credential; 0: none, or it cannot be renewed
	at       time.Duration // of the next try; 0 none
	busy     time.Duration // when the try in progress began; 0 none
	fails    int
	rejected bool // the last credential was not accepted
}

// told takes the life that is left, 0 for no end: the next try comes at 70 to
// 90 % of it.
func (r *renewal) told(now, left time.Duration, draw float64) {
	*r = renewal{backoff: r.backoff}
	if left > 0 {
		r.end = now + left
		r.at = now + max(time.Duration(float64(left)*(0.7+0.2*draw)), time.Second)
	}
}

// hurry tries soon: after a sleep nobody knows what is left.
func (r *renewal) hurry(at time.Duration) {
	if r.at > at {
		r.at = at
	}
}

// due reports whether a try begins now.
func (r *renewal) due(now time.Duration) (why Why, ok bool) {
	if r.busy > 0 && now >= r.busy+2*renewWait {
		r.failed(now, deny.Later, 0.5)
	}
	if r.at == 0 || r.busy > 0 || now < r.at {
		return "", false
	}
	r.at, r.busy = 0, now
	if r.rejected {
		return Rejected, true
	}
	return Expiring, true
}

// failed ends a try: by the door's refusal, as the client column of its reason
// says, or because no credential could be had (later; never if somebody has to
// sign in).
func (r *renewal) failed(now time.Duration, do deny.Client, draw float64) {
	if r.busy == 0 {
		return
	}
	r.busy = 0
	switch {
	case do == deny.Reauth && !r.rejected:
		r.rejected, r.at = true, now
	case do == deny.Later:
		r.at = now + r.backoff.wait(r.fails, draw) + time.Second
		r.fails++
	default: // the connection goes on to its end
		r.end, r.at = 0, 0
	}
	if r.at >= r.end {
		r.at = 0
	}
}

// next is when to look again; 0 never.
func (r *renewal) next() time.Duration {
	if r.busy > 0 {
		return r.busy + 2*renewWait
	}
	return r.at
}

// wait is that before attempt n, with full jitter. draw is from 0 to 1.
func (b Backoff) wait(n int, draw float64) time.Duration {
	most := b.Max
	if n < 32 && b.Base<<n>>n == b.Base {
		most = min(b.Max, b.Base<<n)
	}
	return time.Duration(draw * float64(most))
}
