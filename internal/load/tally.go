package load

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the largest latency that is told from larger ones.
const longest = time.Hour

// maxReasons bounds the reasons of one kind that are told apart: servers choose
// them. The others are counted as one.
const maxReasons = 64

const otherReasons = "(other reasons)"

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longest), 3) }

func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(min(max(ns, 1), int64(longest))) // it has room for that
}

// tally counts messages. A connection always uses the same part of it, so that
// few wait for each other.
type tally struct{ shards []*shard }

type shard struct {
	mu       sync.Mutex // guards the rest
	latency  *hdrhistogram.Histogram
	late     *hdrhistogram.Histogram
	sent     uint64
	answered uint64
	lost     uint64
	other    uint64
}

func newTally() *tally {
	t := &tally{}
	for range min(2*runtime.GOMAXPROCS(0), 16) {
		t.shards = append(t.shards, &shard{latency: newHistogram(), late: newHistogram()})
	}
	return t
}

func (t *tally) shard(id uint32) *shard { return t.shards[int(id)%len(t.shards)] }

// total adds the parts up. Without histograms it is cheap.
func (t *tally) total(histograms bool) *shard {
	sum := &shard{}
	if histograms {
		sum.latency, sum.late = newHistogram(), newHistogram()
	}
	for _, s := range t.shards {
		s.mu.Lock()
		sum.sent += s.sent
		sum.answered += s.answered
		sum.lost += s.lost
		sum.other += s.other
		if histograms {
			sum.latency.Merge(s.latency)
			sum.late.Merge(s.late)
		}
		s.mu.Unlock()
	}
	return sum
}

// count counts key, or other if too many are told apart already.
func count[K comparable](m map[K]int, key, other K) {
	if _, known := m[key]; !known && len(m) >= maxReasons {
		key = other
	}
	m[key]++
}

// sorted lists counts, the largest first.
func sorted[K comparable](m map[K]int, with func(K, int) K) []K {
	list := make([]K, 0, len(m))
	for _, key := range slices.SortedFunc(maps.Keys(m), func(a, b K) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)))
	}) {
		list = append(list, with(key, m[key]))
	}
	return list
}
