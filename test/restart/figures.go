package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// figures are the outcome of a scenario.
type figures struct {
	kind, how, runtime string
	clients, renewed   int
	sums               sums
	life               life
	stages             []stage
	delay              time.Duration
	ends               map[string]int
	lasted             time.Duration
	faults             []string
}

func (s *scene) judge(kind, how string, accounts []account, summaries []summary) *figures {
	f := &figures{kind: kind, how: how, clients: s.options.clients, stages: s.stages, delay: s.delay, ends: map[string]int{}}
	var faults []string
	f.sums, faults = s.ledger.compare(accounts)
	f.faults = append(f.faults, faults...)
	f.life, faults = s.ledger.life()
	f.faults = append(f.faults, faults...)
	if len(accounts) != f.clients {
		f.faults = append(f.faults, fmt.Sprintf("%d of %d clients gave an account", len(accounts), f.clients))
	}
	for _, sum := range summaries {
		f.runtime = sum.Runtime
		f.renewed += sum.Renewed
		for reason, n := range sum.Ends {
			f.ends[reason] += n
		}
	}
	for _, st := range f.stages {
		f.faults = append(f.faults, st.unfair(s.delay)...)
	}
	return f
}

// allowance is the part of the moves that may be out of place since processes
// stood still: on a machine that is busy with other things nobody keeps to a plan.
func (st stage) allowance() float64 { return min(float64(st.late)/float64(st.window), 1) }

// unfair says what is wrong with how the moves of a stage are spread over the
// window: each slice of it must have its share, as far as chance goes.
func (st stage) unfair(delay time.Duration) (faults []string) {
	if st.window == 0 {
		return nil
	}
	parts := 10
	if st.before < 500 {
		parts = 2
	}
	counts := st.histogram(delay, st.window/time.Duration(parts))
	counts = append(counts, make([]int, parts)...)[:parts]
	inside := 0
	for _, n := range counts {
		inside += n
	}
	shifted := st.allowance() * float64(st.before)
	if float64(inside) < 0.9*float64(st.before)-shifted {
		faults = append(faults, fmt.Sprintf("%s: %d of %d moved within the window", st.title, inside, st.before))
	}
	mean := float64(st.before) / float64(parts)
	spare := 5*math.Sqrt(mean) + 1 + shifted
	for i, n := range counts {
		if math.Abs(float64(n)-mean) > spare {
			faults = append(faults, fmt.Sprintf("%s: %d moved in part %d of %d of the window, and %.0f should", st.title, n, i+1, parts, mean))
		}
	}
	return faults
}

// histogram counts the connections opened in each piece of time, from when the
// clients were told.
func (st stage) histogram(delay, piece time.Duration) (counts []int) {
	for _, m := range st.moments {
		i := max(int(m.at.Sub(st.began.Add(delay))/piece), 0)
		for len(counts) <= i {
			counts = append(counts, 0)
		}
		counts[i]++
	}
	return counts
}

// print shows the stages and whatever is wrong.
func (f *figures) print(w io.Writer) {
	for _, st := range f.stages {
		fmt.Fprintf(w, "  %s: %d connections; everybody back after %s, replaced after %s", st.title, st.before, tenths(st.back), tenths(st.ended))
		from, piece := time.Duration(0), time.Second
		if st.window > 0 {
			from = f.delay
			fmt.Fprintf(w, "; window %s, from %s on", tenths(st.window), tenths(from))
			if share := st.allowance(); share > 0.01 {
				fmt.Fprintf(w, "; processes stood still for %s in all, so %.0f%% may be out of place", tenths(st.late), 100*share)
			}
		}
		fmt.Fprintf(w, "\n  connections opened in each second:\n")
		counts := st.histogram(from, piece)
		if len(counts) == 0 {
			continue
		}
		most := slices.Max(counts)
		for i, n := range counts {
			fmt.Fprintf(w, "    %2d s %5d %s\n", i, n, strings.Repeat("▇", (n*50+most-1)/most))
		}
	}
	var ends []string
	for _, reason := range slices.Sorted(maps.Keys(f.ends)) {
		ends = append(ends, fmt.Sprintf("%s: %d", reason, f.ends[reason]))
	}
	fmt.Fprintf(w, "  what the clients met: %s\n", strings.Join(ends, " · "))
	for _, fault := range f.faults {
		fmt.Fprintf(w, "  WRONG %s\n", fault)
	}
	fmt.Fprintln(w)
}

func tenths(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }

// table shows all scenarios side by side.
func table(w io.Writer, all []*figures) {
	rows := []struct {
		title string
		value func(*figures) string
	}{
		{"clients", func(f *figures) string { return strconv.Itoa(f.clients) }},
		{"runtime", func(f *figures) string { return f.runtime }},
		{"messages accepted by send", func(f *figures) string { return strconv.Itoa(f.sums.accepted) }},
		{"  at the backend exactly once", func(f *figures) string { return strconv.Itoa(f.sums.once) }},
		{"  reported unknown", func(f *figures) string { return strconv.Itoa(f.sums.unknown) }},
		{"    of these at the backend", func(f *figures) string { return strconv.Itoa(f.sums.unknownArrived) }},
		{"  lost", func(f *figures) string { return strconv.Itoa(f.sums.lost) }},
		{"  at the backend twice", func(f *figures) string { return strconv.Itoa(f.sums.twice) }},
		{"rejected by send", func(f *figures) string { return strconv.Itoa(f.sums.rejected) }},
		{"after a later one at the backend", func(f *figures) string { return strconv.Itoa(f.sums.disorder) }},
		{"answers received", func(f *figures) string { return strconv.Itoa(f.sums.answers) }},
		{"connections opened", func(f *figures) string { return strconv.Itoa(f.life.opened) }},
		{"attempts that did not open", func(f *figures) string { return strconv.Itoa(f.life.refused) }},
		{"most sockets of one client at a time", func(f *figures) string { return strconv.Itoa(f.life.most) }},
		{"clients without a connection at some time", func(f *figures) string { return strconv.Itoa(f.life.without) }},
		{"  median of these times", func(f *figures) string { return median(f.life.gaps) }},
		{"  longest", func(f *figures) string { return f.life.longest.Round(time.Millisecond).String() }},
		{"renewals asked for", func(f *figures) string { return strconv.Itoa(f.renewed) }},
		{"everybody back after", func(f *figures) string { return each(f.stages, func(st stage) string { return tenths(st.back) }) }},
		{"window", func(f *figures) string { return each(f.stages, func(st stage) string { return tenths(st.window) }) }},
		{"processes stood still for", func(f *figures) string { return each(f.stages, func(st stage) string { return tenths(st.late) }) }},
		{"most connections opened in a second", func(f *figures) string {
			return each(f.stages, func(st stage) string { return strconv.Itoa(slices.Max(append(st.histogram(0, time.Second), 0))) })
		}},
		{"took", func(f *figures) string { return f.lasted.Round(time.Second).String() }},
		{"faults", func(f *figures) string { return strconv.Itoa(len(f.faults)) }},
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range all {
		fmt.Fprintf(t, "\t%s, %s", f.kind, f.how)
	}
	fmt.Fprintln(t)
	for _, r := range rows {
		fmt.Fprint(t, r.title)
		for _, f := range all {
			fmt.Fprint(t, "\t", r.value(f))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
}

func each(stages []stage, f func(stage) string) string {
	var list []string
	for _, st := range stages {
		list = append(list, f(st))
	}
	return strings.Join(list, ", ")
}

func median(list []time.Duration) string {
	if len(list) == 0 {
		return "-"
	}
	return list[len(list)/2].Round(time.Millisecond).String()
}
