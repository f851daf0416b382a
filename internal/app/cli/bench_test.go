package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/load"
)

// TestBenchTable: what servers chose cannot change what a terminal shows.
func TestBenchTable(t *testing.T) {
	q := &load.Quantiles{Count: 2, P50: 1.5, Max: 2}
	r := &load.Result{
		Target: "wss://app.example.com/ws", Interrupted: true, Settings: load.Settings{Rate: 1}, Latency: q,
		Churn: &load.Churn{Closed: 2, Opened: 1, Failed: 1}, Storm: &load.Storm{Cut: 3, Back: 2, Seconds: 0.5, Attempts: 7, BackIn: q},
		Refusals: []load.Refusal{{Status: 101, Code: 4001, Reason: "auth.missing", Count: 2}, {Status: 429, Count: 1}},
		Failures: []load.Failure{{Reason: "tls: \x1b[2Jbad", Count: 1}},
		Closes:   []load.Close{{Code: 4999, Reason: "\u202eevil\tand\nmore", Count: 1}},
	}
	var out bytes.Buffer
	if err := benchTable(&out, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"no TLS", "2 closed, 1 opened again, 1 failed", "3 cut, 2 back, the last after 0.5s", "interrupted  this is",
		"reply, since due  1.500", "back after the storm", "refused, close 4001", "refused, status 429", "auth.missing", `\u001b[2Jbad`, `\u202eevil`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	if strings.ContainsAny(out.String(), "\x1b\u202e") {
		t.Errorf("a server writes to the terminal: %q", out.String())
	}
}

func TestProgressLine(t *testing.T) {
	var out bytes.Buffer
	if newProgressLine(&out, false).show() != nil {
		t.Error("there is progress without a terminal")
	}
	line := &progressLine{w: &out}
	show := line.show()
	show(load.Progress{Phase: "measuring", Open: 9, Wanted: 10, Failed: 1, Answered: 5, Median: 1500 * time.Nanosecond, Worst: time.Second, Left: 3 * time.Second})
	show(load.Progress{Phase: "closing", Open: 9, Wanted: 10})
	line.clear()
	want := "\rmeasuring: 9 of 10 connections, 1 failed, 0 ended, 5 answers, p50 2µs, p99 1s, 3s left" +
		"\rclosing: 9 of 10 connections"
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("got %q", out.String())
	}
	for piece := range strings.SplitSeq(out.String()[1:], "\r") {
		if len([]rune(piece)) > 90 || strings.Contains(piece, "\n") {
			t.Errorf("%q is no line", piece)
		}
	}
	if !strings.HasSuffix(out.String(), " \r") {
		t.Error("the line stays")
	}
}

func TestUnopened(t *testing.T) {
	for _, row := range []struct {
		err  error
		code int
		hint string
	}{
		{&load.RefusedError{Status: 101, Code: 4001, Reason: "origin.untrusted"}, exitRefused, "--origin"},
		{&load.RefusedError{Status: 401}, exitRefused, "--bearer"},
		{&load.RefusedError{Status: 503, Reason: "guard.full"}, exitRefused, ""},
		{&load.FailedError{Step: "connect", Err: errors.New("connection refused")}, exitUnreachable, ""},
	} {
		code, hint := judge(unopened(row.err))
		if code != row.code || !strings.Contains(hint, row.hint) || row.hint == "" && hint != "" {
			t.Errorf("%v: exit %d, hint %q", row.err, code, hint)
		}
	}
}
