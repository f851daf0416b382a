package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bench/result"
)

// text is a section without its plot.
func (s section) text(r *result.Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s · %s · commit %s · %d rounds · load of other work before %.1f\n", r.Began.Format("2006-01-02"), r.Machine, r.Commit, r.Rounds, r.Load)
	for _, t := range s.tables {
		b.WriteString("\n" + t.text(r))
	}
	if list := versions(r); list != "" {
		b.WriteString("\nVersions: " + list + ".\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Absent)) {
		fmt.Fprintf(&b, "\nLeft out: %s (%s).\n", names[name], strings.ReplaceAll(r.Absent[name], "|", `\|`))
	}
	return b.String()
}

func (t table) text(r *result.Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n|", t.title)
	for _, c := range append([]string{"server"}, t.heads()...) {
		b.WriteString(" " + c + " |")
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", len(t.columns)+1) + "\n")
	for _, server := range serverOrder {
		cells, any := t.cells(r, server)
		if any {
			b.WriteString("| " + names[server] + " | " + strings.Join(cells, " | ") + " |\n")
		}
	}
	return b.String()
}

func (t table) heads() (out []string) {
	for _, c := range t.columns {
		out = append(out, c.head)
	}
	return out
}

// cells are median, range and ratio of a server in each column.
func (t table) cells(r *result.Row, server string) (out []string, any bool) {
	for _, c := range t.columns {
		v := c.values(r, server)
		if len(v) == 0 {
			out = append(out, "–")
			continue
		}
		any = true
		least, most := v.Range()
		cell := fmt.Sprintf("**%s** (%s–%s)", number(v.Median()), number(least), number(most))
		if base := c.values(r, t.base); t.base != "" && !c.plain && len(base) > 0 && base.Median() > 0 {
			cell += fmt.Sprintf(" %.2f×", v.Median()/base.Median())
		}
		out = append(out, cell)
	}
	return out, any
}

// values are those of all rounds, in the column's unit.
func (c column) values(r *result.Row, server string) result.Values {
	v := r.Get(server, c.of, c.what)
	if c.scale != 0 {
		v = v.Scaled(c.scale)
	}
	return v
}

// versions are those of the others; ours is the commit.
func versions(r *result.Row) string {
	var list []string
	for _, server := range serverOrder {
		v := r.Versions[server]
		switch {
		case v == "" || strings.HasPrefix(server, "sallyport"):
		case server == "node":
			list = append(list, v)
		case server == "verify":
			list = append(list, "golang-jwt "+v)
		default:
			list = append(list, names[server]+" "+v)
		}
	}
	return strings.Join(list, ", ")
}
