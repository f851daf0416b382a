// Package report turns results into tables, plots and verdicts, and puts them
// into docs/PERFORMANCE.md: each row renews its own section.
package report

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bench/result"
)

// Write renews the page and the plots from bench/results. root is the project's
// folder.
func Write(root string) error {
	rows := map[string]*result.Row{}
	for _, s := range sections {
		r, err := result.Load(filepath.Join(root, "bench", "results"), s.row)
		if err != nil {
			return err
		}
		if r != nil {
			rows[s.row] = r
		}
	}
	path := filepath.Join(root, "docs", "PERFORMANCE.md")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page := string(b)
	plots := filepath.Join(root, "docs", "performance")
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	for _, s := range sections {
		text := "Not measured yet."
		if r := rows[s.row]; r != nil {
			text = s.text(r)
		}
		if r := rows[s.row]; r != nil && len(s.panels) > 0 {
			file := s.row + ".svg"
			if err := os.WriteFile(filepath.Join(plots, file), []byte(s.plot(r)), 0o644); err != nil {
				return err
			}
			text = fmt.Sprintf("![%s](performance/%s)\n\n", s.alt, file) + text
		}
		if page, err = replace(page, s.row, text); err != nil {
			return err
		}
	}
	if page, err = replace(page, "verdicts", verdicts(rows)); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(page), 0o644)
}

// replace puts text between the marks of a section.
func replace(page, name, text string) (string, error) {
	begin, end := "<!-- bench "+name+" begins -->\n", "<!-- bench "+name+" ends -->"
	from, to := strings.Index(page, begin), strings.Index(page, end)
	if from < 0 || to < from {
		return "", fmt.Errorf("docs/PERFORMANCE.md has no place for %s", name)
	}
	return page[:from+len(begin)] + "\n" + strings.TrimSpace(text) + "\n\n" + page[to:], nil
}

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
