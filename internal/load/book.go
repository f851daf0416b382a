package load

import (
	"sync"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// book counts what is rarer than messages: connections, and why there are none.
type book struct {
	mu sync.Mutex // guards the rest

	open, connect, secure, upgrade, returned *hdrhistogram.Histogram

	tls             *TLS
	opened, resumed int
	refused, failed int
	ended           int
	now, most       int // connections open
	tried           int // first attempts that have an outcome
	ramp            int64
	unsent          uint64
	churn           Churn
	storm           Storm
	refusals        map[Refusal]int
	failures        map[Failure]int
	closes          map[Close]int
}

func newBook() *book {
	return &book{
		open: newHistogram(), connect: newHistogram(), secure: newHistogram(), upgrade: newHistogram(), returned: newHistogram(),
		refusals: map[Refusal]int{}, failures: map[Failure]int{}, closes: map[Close]int{},
	}
}

// times are those of one opening, in nanoseconds.
type times struct{ connect, secure, upgrade int64 }

// entered notes a connection.
func (b *book) entered(t times, agreed *TLS, resumed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	record(b.open, t.connect+t.secure+t.upgrade)
	record(b.connect, t.connect)
	record(b.upgrade, t.upgrade)
	if agreed != nil {
		record(b.secure, t.secure)
		if b.tls == nil {
			b.tls = agreed
		}
	}
	b.opened++
	if resumed {
		b.resumed++
	}
	b.now++
	b.most = max(b.most, b.now)
}

// kept notes why there is no connection.
func (b *book) kept(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := err.(*RefusedError); ok {
		b.refused++
		count(b.refusals, Refusal{Status: r.Status, Code: r.Code, Reason: r.Reason}, Refusal{Reason: otherReasons})
		return
	}
	b.failed++
	count(b.failures, Failure{Reason: err.Error()}, Failure{Reason: otherReasons})
}

// left notes the end of a connection.
func (b *book) left(e end) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now--
	if e.ours {
		return
	}
	b.ended++
	count(b.closes, Close{Code: e.code, Reason: e.reason}, Close{Reason: otherReasons})
}

// tried notes that a client's first attempt has an outcome.
func (b *book) triedOne() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried++
}

// triedAll reports whether n clients have tried, and notes how long that took.
func (b *book) triedAll(n int, took int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ramp = took
	return b.tried >= n
}

// unsentAre notes messages that could not be sent.
func (b *book) unsentAre(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unsent += n
}

// churnedOne notes the outcome of a client's return.
func (b *book) churnedOne(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.churn.Closed++
	if err == nil {
		b.churn.Opened++
	} else {
		b.churn.Failed++
	}
}

// attempt notes that a client tries to come back after a storm.
func (b *book) attempt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.storm.Attempts++
}

// cameBack notes that one is, after so long.
func (b *book) cameBack(took int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.storm.Back++
	b.storm.Seconds = max(b.storm.Seconds, float64(took)/1e9)
	record(b.returned, took)
}

// cutWere notes how many a storm has cut.
func (b *book) cutWere(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.storm.Cut = n
}

// backAll reports whether all of them are back.
func (b *book) backAll() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.storm.Back >= b.storm.Cut
}
