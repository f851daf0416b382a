package main

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/bench/order"
)

func TestBucketsAreNarrowAndInOrder(t *testing.T) {
	last := -1
	for _, d := range []time.Duration{0, 1, 31, 32, 33, 63, 64, 66, 126, 128, 1000, 1e6, 1e9, 60e9, 600e9} {
		b := bucket(d)
		if b <= last {
			t.Errorf("%d ns: bucket %d, after %d", d, b, last)
		}
		last = b
		if upper := top(b); upper < float64(d) || upper > float64(d)*33/32+1 {
			t.Errorf("%d ns: its bucket ends at %.0f", d, upper)
		}
	}
	if b := bucket(1 << 62); b >= len(histogram{}.buckets) {
		t.Errorf("146 years are in bucket %d", b)
	}
}

func TestQuantiles(t *testing.T) {
	h := &histogram{}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	var a order.Answer
	h.report(&a)
	for _, q := range []struct {
		name      string
		got, want float64 // µs
	}{{"half", a.P50, 500e3}, {"99 of 100", a.P99, 990e3}, {"the longest", a.Max, 1000e3}} {
		if q.got < q.want || q.got > q.want*33/32 {
			t.Errorf("%s: got %.0f µs, want %.0f to %.0f", q.name, q.got, q.want, q.want*33/32)
		}
	}
}
