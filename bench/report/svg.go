package report

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/bench/result"
)

// Sizes of a plot, in pixels.
const (
	plotWidth  = 760
	labelWidth = 250
	barHeight  = 16
	lineHeight = 24
	titleSpace = 34
	margin     = 16
	valueSpace = 64
)

// style is for readers of either kind: colours follow what the reader's system
// prefers, with enough contrast on both.
const style = `
text{font:13px system-ui,sans-serif;fill:#1f2328}
.title{font-weight:600}
.ours{fill:#0b6e4f}.other{fill:#8c959f}
.range{stroke:#1f2328;stroke-width:1.5}
.ground{fill:#ffffff}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.ours{fill:#3fb98c}.other{fill:#6e7681}.range{stroke:#e6edf3}.ground{fill:#0d1117}
}`

// bar is one server.
type bar struct {
	name                string
	ours                bool
	median, least, most float64
}

// plot draws the panels of a section below each other, each with a scale of its
// own unless they share one: a bar for the median, a line for the range.
func (s section) plot(r *result.Row) string {
	var body strings.Builder
	y := margin
	longest := 0.0 // of all panels
	for _, p := range s.panels {
		longest = max(longest, longestOf(p.bars(r)))
	}
	for _, p := range s.panels {
		bars := p.bars(r)
		if len(bars) == 0 {
			continue
		}
		if !s.shared {
			longest = longestOf(bars)
		}
		y = p.draw(&body, bars, longest, y)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">
<title>%s</title>
<style>%s</style>
<rect class="ground" width="100%%" height="100%%" rx="6"/>
%s</svg>
`, plotWidth, y, plotWidth, y, html.EscapeString(s.alt), html.EscapeString(s.alt), style, body.String())
}

// bars are in order, the least first.
func (p panel) bars(r *result.Row) (out []bar) {
	for _, server := range serverOrder {
		v := p.values(r, server)
		if len(v) == 0 {
			continue
		}
		b := bar{name: names[server], ours: strings.HasPrefix(server, "sallyport"), median: v.Median()}
		b.least, b.most = v.Range()
		out = append(out, b)
	}
	slices.SortStableFunc(out, func(a, b bar) int {
		switch {
		case a.median < b.median:
			return -1
		case a.median > b.median:
			return 1
		}
		return 0
	})
	return out
}

func longestOf(bars []bar) (longest float64) {
	for _, b := range bars {
		longest = max(longest, b.median)
	}
	return longest
}

// draw returns where the next panel begins. longest is the median that takes all
// of the room.
func (p panel) draw(b *strings.Builder, bars []bar, longest float64, y int) int {
	fmt.Fprintf(b, "<text class=\"title\" x=\"%d\" y=\"%d\">%s</text>\n", margin, y+14, html.EscapeString(p.title))
	y += titleSpace
	room := float64(plotWidth - labelWidth - valueSpace - margin)
	at := func(v float64) float64 { return labelWidth + min(v/longest, 1.08)*room*0.92 } // a range may reach beyond
	for _, bar := range bars {
		class := "other"
		if bar.ours {
			class = "ours"
		}
		middle := y + barHeight/2
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n", labelWidth-10, middle+4, html.EscapeString(bar.name))
		fmt.Fprintf(b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>\n", class, labelWidth, y, max(at(bar.median)-labelWidth, 1), barHeight)
		fmt.Fprintf(b, "<line class=\"range\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", at(bar.least), middle, at(bar.most), middle)
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%s</text>\n", max(at(bar.median), at(bar.most))+8, middle+4, number(bar.median))
		y += lineHeight
	}
	return y + margin
}
