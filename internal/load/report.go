package load

import (
	"math"
	"time"
)

// result is what was counted so far.
func (r *run) result() *Result {
	p, b := r.plan, r.book
	sum := r.tally.total(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &Result{
		Format: FormatVersion, Target: p.shown, Interrupted: r.interrupted,
		Settings: Settings{
			Connections: p.Connections, Rate: p.Rate, Size: p.Size, Text: p.Text, Expect: p.Expect, Ramp: p.Ramp, Handshakes: p.Handshakes,
			Warmup: p.Warmup.Seconds(), Duration: p.Duration.Seconds(), Churn: p.Churn, Storm: p.Storm, Resume: p.Resume,
		},
		Measured: r.measured(),
		TLS:      b.tls,
		Connections: Connections{
			Opened: b.opened, Resumed: b.resumed, Refused: b.refused, Failed: b.failed, Ended: b.ended, Most: b.most, Ramp: seconds(b.ramp),
			Open: quantiles(b.open), Connect: quantiles(b.connect), Secure: quantiles(b.secure), Upgrade: quantiles(b.upgrade),
		},
		Messages: Messages{
			Sent: sum.sent, Answered: sum.answered, Lost: sum.lost, Unsent: b.unsent, Other: sum.other,
		},
		Latency: quantiles(sum.latency), Late: quantiles(sum.late),
		Refusals: sorted(b.refusals, func(k Refusal, n int) Refusal { k.Count = n; return k }),
		Failures: sorted(b.failures, func(k Failure, n int) Failure { k.Count = n; return k }),
		Closes:   sorted(b.closes, func(k Close, n int) Close { k.Count = n; return k }),
	}
	m := &out.Messages
	if p.Expect != Nothing {
		m.Unanswered = m.Sent - min(m.Answered+m.Lost, m.Sent)
	}
	if out.Measured > 0 {
		m.SentRate, m.Rate = round(float64(m.Sent)/out.Measured, 10), round(float64(m.Answered)/out.Measured, 10)
	}
	if p.Churn > 0 {
		churn := b.churn
		out.Churn = &churn
	}
	if p.Storm && b.storm.Cut > 0 {
		storm := b.storm
		storm.AllBack, storm.BackIn = storm.Back >= storm.Cut, quantiles(b.returned)
		if storm.Seconds > 0 {
			storm.Handshakes = round(float64(storm.Back)/storm.Seconds, 10)
		}
		storm.Seconds = round(storm.Seconds, 1e3)
		out.Storm = &storm
	}
	return out
}

// measured is the time in which messages counted, in seconds.
func (r *run) measured() float64 {
	from, until := r.from.Load(), r.until.Load()
	if from == math.MaxInt64 || until <= from {
		return 0
	}
	return seconds(until - from)
}

// Problem says in a few words what went wrong in a run; "" if everything went as
// it was meant to.
func (r *Result) Problem() string {
	c, m, stormy := r.Connections, r.Messages, 0
	if r.Storm != nil {
		stormy = r.Storm.Attempts - r.Storm.Back // who came back in the end may have tried more than once
	}
	switch {
	case c.Opened == 0:
		return "nothing was opened"
	case r.Storm != nil && !r.Storm.AllBack:
		return "not everybody came back after the storm"
	case c.Refused+c.Failed > stormy:
		return "connections were refused or failed"
	case c.Ended > 0:
		return "connections ended before their time"
	case m.Lost+m.Unanswered+m.Unsent > 0:
		return "messages were not answered"
	}
	return ""
}

// progressEvery is how often progress is told.
const progressEvery = 500 * time.Millisecond

// enter begins a phase that lasts for d; 0 if nobody knows.
func (r *run) enter(phase string, d time.Duration) {
	r.phase, r.phaseEnds = phase, 0
	if d > 0 {
		r.phaseEnds = r.now() + int64(d)
	}
}

// tell reports progress, if somebody wants it and it is time.
func (r *run) tell() {
	now := r.now()
	if r.plan.Progress == nil || now < r.shown+int64(progressEvery) {
		return
	}
	r.shown = now
	p := Progress{Phase: r.phase, Wanted: r.plan.Connections}
	if r.phaseEnds > 0 {
		p.Left = max(time.Duration(r.phaseEnds-now), 0)
	}
	sum := r.tally.total(true)
	p.Answered = sum.answered
	if sum.latency.TotalCount() > 0 {
		p.Median, p.Worst = time.Duration(sum.latency.ValueAtQuantile(50)), time.Duration(sum.latency.ValueAtQuantile(99))
	}
	r.book.mu.Lock()
	p.Open, p.Failed, p.Ended = r.book.now, r.book.refused+r.book.failed, r.book.ended
	r.book.mu.Unlock()
	r.plan.Progress(p)
}
