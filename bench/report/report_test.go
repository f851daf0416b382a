package report

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/bench/result"
)

// filled is a row in which every figure of every server is there.
func filled(s section) *result.Row {
	r := &result.Row{Name: s.row, Rounds: 3, Versions: map[string]string{}, Absent: map[string]string{}}
	for i, server := range serverOrder {
		for _, t := range s.tables {
			for _, c := range t.columns {
				for round := range 3 {
					r.Add(server, c.of, c.what, float64(10*(i+1)+round))
				}
			}
		}
	}
	return r
}

func TestEveryTargetReadsAFigureOfATable(t *testing.T) {
	rows := map[string]*result.Row{}
	for _, s := range sections {
		rows[s.row] = filled(s)
	}
	for _, target := range targets {
		if v := target.verdict(rows[target.row]); strings.Contains(v, "not measured") {
			t.Errorf("%s: %s", target.text, v)
		}
	}
	if got := verdicts(map[string]*result.Row{}); strings.Contains(got, "| reached") {
		t.Errorf("without results something is reached:\n%s", got)
	}
}

func TestVerdict(t *testing.T) {
	r := &result.Row{}
	for _, v := range []float64{7, 8, 9} {
		r.Add("ours", "case", "cpu", v)
		r.Add("theirs", "case", "cpu", 2*v)
		r.Add("others", "case", "cpu", 30)
		r.Add("extra", "case", "cpu", 2)
	}
	ours := figure{"ours", "case", "cpu"}
	for _, tt := range []struct {
		name string
		t    target
		want string
	}{
		{"absolute, kept", target{ours: ours, unit: "ms", limit: 8}, "8.00 ms (7.00–9.00) | reached"},
		{"absolute, not kept", target{ours: ours, unit: "ms", limit: 7.9}, "8.00 ms (7.00–9.00) | **not reached**"},
		{"in another unit", target{ours: ours, unit: "s", scale: 0.1, limit: 1}, "0.80 s (0.70–0.90) | reached"},
		{"of the least of theirs", target{ours: ours, theirs: []figure{{"others", "case", "cpu"}, {"theirs", "case", "cpu"}}, limit: 0.5}, "0.50× (0.50×–0.50×) | reached"},
		{"of theirs and something", target{ours: ours, theirs: []figure{{"others", "case", "cpu"}}, plus: figure{"extra", "case", "cpu"}, limit: 0.2}, "0.25× (0.22×–0.28×) | **not reached**"},
		{"of nobody who was there", target{ours: ours, theirs: []figure{{"nobody", "case", "cpu"}}, limit: 1}, "– | not measured"},
		{"of ours that was not there", target{ours: figure{"nobody", "case", "cpu"}, unit: "ms", limit: 1}, "– | not measured"},
	} {
		if got := tt.t.verdict(r); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPlotsAreXML(t *testing.T) {
	for _, s := range sections {
		plot := s.plot(filled(s))
		for d := xml.NewDecoder(strings.NewReader(plot)); ; {
			_, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", s.row, err)
			}
		}
		if len(s.panels) > 0 && strings.Count(plot, "<rect class=\"ours\"") == 0 {
			t.Errorf("%s: no bar of ours", s.row)
		}
	}
}

func TestReplaceLeavesTheRestAlone(t *testing.T) {
	page := "a\n<!-- bench x begins -->\nold\n<!-- bench x ends -->\nb\n"
	got, err := replace(page, "x", "new")
	if want := "a\n<!-- bench x begins -->\n\nnew\n\n<!-- bench x ends -->\nb\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if again, err := replace(got, "x", "new"); err != nil || again != got {
		t.Errorf("twice: got %q, %v", again, err)
	}
	if _, err := replace(page, "y", "new"); err == nil {
		t.Error("a section without a place was accepted")
	}
}
