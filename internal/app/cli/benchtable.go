package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/load"
)

// benchTable writes a result for people. What servers chose is escaped.
func benchTable(out io.Writer, r *load.Result) error {
	var text strings.Builder
	c, m := r.Connections, r.Messages
	agreed := "no TLS"
	if r.TLS != nil {
		agreed = strings.TrimSuffix(r.TLS.Version+", "+r.TLS.Cipher+", "+r.TLS.Group, ", ")
	}
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "target\t%s (%s)\n", app.Escape(r.Target), agreed)
	fmt.Fprintf(w, "connections\t%d opened, %d of them resumed, in the first %gs; %d at most; %d refused, %d failed, %d ended early\n",
		c.Opened, c.Resumed, c.Ramp, c.Most, c.Refused, c.Failed, c.Ended)
	if r.Settings.Rate > 0 {
		fmt.Fprintf(w, "messages\t%d sent, %d answered in %gs: %g/s; %d lost, %d unanswered, %d unsent, %d others\n",
			m.Sent, m.Answered, r.Measured, m.Rate, m.Lost, m.Unanswered, m.Unsent, m.Other)
	}
	if r.Churn != nil {
		fmt.Fprintf(w, "churn\t%d closed, %d opened again, %d failed\n", r.Churn.Closed, r.Churn.Opened, r.Churn.Failed)
	}
	if s := r.Storm; s != nil {
		fmt.Fprintf(w, "storm\t%d cut, %d back, the last after %gs: %g handshakes/s; %d attempts\n", s.Cut, s.Back, s.Seconds, s.Handshakes, s.Attempts)
	}
	if r.Interrupted {
		fmt.Fprintf(w, "interrupted\tthis is what was measured until then\n")
	}
	w.Flush()
	benchTimes(&text, r)
	benchReasons(&text, r)
	_, err := io.WriteString(out, text.String())
	return err
}

// benchTimes writes the histograms, in milliseconds.
func benchTimes(out io.Writer, r *load.Result) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\nmilliseconds\tp50\tp90\tp99\tp99.9\tp99.99\tmax\tmean\tcount\t\n")
	row := func(name string, q *load.Quantiles) {
		if q != nil {
			fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%d\t\n", name, q.P50, q.P90, q.P99, q.P999, q.P9999, q.Max, q.Mean, q.Count)
		}
	}
	row("reply, since due", r.Latency)
	row("sent, since due", r.Late)
	row("opening", r.Connections.Open)
	row("– TCP", r.Connections.Connect)
	row("– TLS", r.Connections.Secure)
	row("– request to 101", r.Connections.Upgrade)
	if r.Storm != nil {
		row("back after the storm", r.Storm.BackIn)
	}
	w.Flush()
}

// benchReasons writes why connections were not opened, or ended.
func benchReasons(out io.Writer, r *load.Result) {
	if len(r.Refusals)+len(r.Failures)+len(r.Closes) == 0 {
		return
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\ncount\twhat\twhy\n")
	for _, f := range r.Refusals {
		what := fmt.Sprintf("refused, status %d", f.Status)
		if f.Code != 0 {
			what = fmt.Sprintf("refused, close %d", f.Code)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\n", f.Count, what, app.Escape(f.Reason))
	}
	for _, f := range r.Failures {
		fmt.Fprintf(w, "%d\tfailed\t%s\n", f.Count, app.Escape(f.Reason))
	}
	for _, f := range r.Closes {
		fmt.Fprintf(w, "%d\tended, close %d\t%s\n", f.Count, f.Code, app.Escape(f.Reason))
	}
	w.Flush()
}

// progressLine is one line on a terminal that is written over and over.
type progressLine struct {
	w     io.Writer // nil: nobody looks
	width int
}

func newProgressLine(w io.Writer, quiet bool) *progressLine {
	if quiet || !app.IsTerminal(w) {
		return &progressLine{}
	}
	return &progressLine{w: w}
}

// show is what writes it; nil if nobody looks.
func (l *progressLine) show() func(load.Progress) {
	if l.w == nil {
		return nil
	}
	return func(p load.Progress) { l.write(progressText(p)) }
}

func progressText(p load.Progress) string {
	text := fmt.Sprintf("%s: %d of %d connections", p.Phase, p.Open, p.Wanted)
	if p.Failed+p.Ended > 0 {
		text += fmt.Sprintf(", %d failed, %d ended", p.Failed, p.Ended)
	}
	if p.Answered > 0 {
		text += fmt.Sprintf(", %d answers, p50 %s, p99 %s", p.Answered, p.Median.Round(time.Microsecond), p.Worst.Round(time.Microsecond))
	}
	if p.Left > 0 {
		text += fmt.Sprintf(", %s left", p.Left.Round(time.Second))
	}
	return text
}

// write replaces the line.
func (l *progressLine) write(text string) {
	fmt.Fprintf(l.w, "\r%-*s", l.width, text)
	l.width = len(text)
}

// clear takes the line away.
func (l *progressLine) clear() {
	if l.w != nil && l.width > 0 {
		l.write("")
		fmt.Fprint(l.w, "\r")
	}
}
