package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// wantFaults compares by beginning: "" is none.
func wantFaults(t *testing.T, faults []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(faults) > 0:
		t.Errorf("got %q, want no fault", faults)
	case want != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }):
		t.Errorf("got %q, want one about %q", faults, want)
	}
}

// The comparison must see what it is there for.
func TestCompare(t *testing.T) {
	for _, row := range []struct {
		name    string
		heard   []int
		account account
		want    string
	}{
		{"everything arrived once", []int{1, 2, 3}, account{Sent: 3}, ""},
		{"one is lost", []int{1, 3}, account{Sent: 3}, "message 2 of c0001 is lost"},
		{"one is lost and reported unknown", []int{1, 3}, account{Sent: 3, Unknown: []int{2}}, ""},
		{"one arrived and is reported unknown", []int{1, 2}, account{Sent: 2, Unknown: []int{2}}, ""},
		{"one arrived twice", []int{1, 2, 2}, account{Sent: 2}, "message 2 of c0001 is at the backend 2 times"},
		{"one arrived twice and is reported unknown", []int{1, 1}, account{Sent: 1, Unknown: []int{1}}, "2 times"},
		{"one was rejected", []int{1}, account{Sent: 2, Rejected: []int{2}}, ""},
		{"one was rejected and arrived", []int{1, 2}, account{Sent: 2, Rejected: []int{2}}, "was rejected and is at the backend"},
		{"one was rejected and is unknown", []int{1}, account{Sent: 2, Rejected: []int{2}, Unknown: []int{2}}, "was not accepted"},
		{"one was never sent", []int{1, 2}, account{Sent: 1}, "was never sent"},
		{"the client complains", nil, account{Trouble: []string{"ended: auth.expired"}}, "c0001: ended: auth.expired"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLedger()
			for _, n := range row.heard {
				l.heardFrom("c0001", n)
			}
			row.account.Name = "c0001"
			_, faults := l.compare([]account{row.account})
			wantFaults(t, faults, row.want)
		})
	}
	t.Run("a client gives no account", func(t *testing.T) {
		l := newLedger()
		l.heardFrom("c0001", 1)
		_, faults := l.compare(nil)
		wantFaults(t, faults, "gives no account")
	})
}

// The referee must see a second attempt, and a second connection without a drain.
func TestAttempts(t *testing.T) {
	now := time.Now()
	const who = "c0001"
	for _, row := range []struct {
		name string
		do   func(l *ledger, stays, leaves *node)
		want string
	}{
		{"one after the other", func(l *ledger, stays, _ *node) {
			s := l.attempt(who, stays)
			l.ended(who, s, now)
			l.attempt(who, stays)
		}, ""},
		{"two at a time", func(l *ledger, stays, _ *node) {
			l.attempt(who, stays)
			l.attempt(who, stays)
		}, "two attempts at a time"},
		{"two of different clients", func(l *ledger, stays, _ *node) {
			l.attempt(who, stays)
			l.attempt("c0002", stays)
		}, ""},
		{"a second connection without need", func(l *ledger, stays, _ *node) {
			l.attempt(who, stays)
			l.arrived(who, now)
			l.attempt(who, stays)
		}, "which stays"},
		{"a second connection during a drain", func(l *ledger, stays, leaves *node) {
			l.attempt(who, leaves)
			l.arrived(who, now)
			l.attempt(who, stays)
		}, ""},
		{"two attempts during a drain", func(l *ledger, stays, leaves *node) {
			l.attempt(who, leaves)
			l.arrived(who, now)
			l.attempt(who, stays)
			l.attempt(who, stays)
		}, "two attempts at a time"},
		{"a third connection during a drain", func(l *ledger, stays, leaves *node) {
			l.attempt(who, leaves)
			l.arrived(who, now)
			l.attempt(who, stays)
			l.arrived(who, now)
			l.attempt(who, stays)
		}, "which stays"},
	} {
		t.Run(row.name, func(t *testing.T) {
			stays, leaves := &node{name: "A"}, &node{name: "B"}
			leaves.leaving.Store(true)
			l := newLedger()
			row.do(l, stays, leaves)
			_, faults := l.life()
			wantFaults(t, faults, row.want)
		})
	}
}

func TestGaps(t *testing.T) {
	now := time.Now()
	n, l := &node{}, newLedger()
	first := l.attempt("c0001", n)
	l.arrived("c0001", now)
	n.leaving.Store(true)
	second := l.attempt("c0001", n)
	l.arrived("c0001", now)
	l.ended("c0001", first, now) // an overlap is no gap
	l.ended("c0001", second, now.Add(time.Second))
	l.attempt("c0001", n)
	l.arrived("c0001", now.Add(3*time.Second))
	if s, _ := l.life(); s.without != 1 || s.longest != 2*time.Second {
		t.Errorf("got %d clients without a connection for up to %s, want 1 for 2s", s.without, s.longest)
	}
}

// A stampede must be seen, and chance must be let alone.
func TestUnfair(t *testing.T) {
	began := time.Now()
	move := func(late time.Duration, at func(i int) time.Duration) stage {
		st := stage{title: "drain of A", began: began, window: 10 * time.Second, before: 1000, late: late}
		for i := range st.before {
			st.moments = append(st.moments, moment{at: began.Add(time.Second + at(i))})
		}
		return st
	}
	for _, row := range []struct {
		name string
		at   func(i int) time.Duration
		want string
		late time.Duration
	}{
		{"spread evenly", func(i int) time.Duration { return time.Duration(i) * 10 * time.Millisecond }, "", 0},
		{"all at once", func(int) time.Duration { return 0 }, "1000 moved in part 1 of 10", 0},
		{"in the second half", func(i int) time.Duration { return 5*time.Second + time.Duration(i)*5*time.Millisecond }, "0 moved in part 1", 0},
		{"too late", func(i int) time.Duration { return time.Duration(i) * 15 * time.Millisecond }, "moved within the window", 0},
		{"none for 2 s, on a busy machine", func(i int) time.Duration { return max(time.Duration(i)*10*time.Millisecond, 2*time.Second) }, "", 2 * time.Second},
		{"none for 2 s, on an idle one", func(i int) time.Duration { return max(time.Duration(i)*10*time.Millisecond, 2*time.Second) }, "0 moved in part 1", 0},
		{"all at once, on a busy machine", func(int) time.Duration { return 0 }, "1000 moved in part 1 of 10", 2 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			wantFaults(t, move(row.late, row.at).unfair(time.Second), row.want)
		})
	}
}
