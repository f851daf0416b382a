package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bench/result"
)

type resultRow = result.Row

var saveRow = result.Save

// row is one row of the benchmark.
type row struct {
	name    string
	servers []string // measured one after the other in each round
	pinned  bool     // server on one processor, client and backend on the other
	tokens  bool     // clients sign in, and ours verifies
	verify  bool     // the Go libraries verify too

	// measure measures one server, which runs for it alone.
	measure func(l *lab, s *server, note func(of, what string, value float64)) error
}

// rows are in the order in which they run: the short ones first.
var rows = []*row{echoRow, fanRow, relayRow, admissionRow, reconnectRow, stormRow, flatRow, revocationRow, idleRow}

func rowNames() (names []string) {
	for _, r := range rows {
		names = append(names, r.name)
	}
	return names
}

func selectRows(list string) ([]*row, error) {
	if list == "all" || list == "" {
		return rows, nil
	}
	var out []*row
	for _, name := range fields(list) {
		i := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no row %q; there are %s", name, strings.Join(rowNames(), ", "))
		}
		out = append(out, rows[i])
	}
	return out, nil
}

// run measures a row: every server in each round, in turns forwards and
// backwards, so that what else the machine does falls on all. A server that fails
// twice in a round is left out, with the reason.
func (l *lab) run(r *row, rounds int) (*resultRow, error) {
	out := &resultRow{
		Name: r.name, Began: time.Now().UTC().Truncate(time.Second), Rounds: rounds, Machine: machine() + ", " + strings.Replace(l.peers.module["go"], "go", "Go ", 1), Load: load(),
		Commit: l.commit(), Versions: map[string]string{}, Absent: map[string]string{},
	}
	servers := r.servers
	if len(l.only) > 0 {
		servers = l.only
	}
	var ours error
	began := time.Now()
	for round := range rounds {
		order := slices.Clone(servers)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			if _, absent := out.Absent[name]; absent {
				continue
			}
			version, notes, err := l.once(r, name)
			if err != nil && !optional[name] {
				fmt.Fprintf(os.Stderr, "bench: %s: %s, once more: %v\n", r.name, name, err)
				version, notes, err = l.once(r, name)
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s: %s is left out: %v\n", r.name, name, err)
				out.Absent[name] = l.oneLine(err)
				if strings.HasPrefix(name, "sallyport") && !optional[name] {
					ours = fmt.Errorf("%s failed: %w", name, err)
				}
				continue
			}
			out.Versions[name] = version
			for _, n := range notes {
				out.Add(name, n.of, n.what, n.value)
			}
		}
		fmt.Fprintf(os.Stderr, "bench: %s: round %d of %d after %s\n", r.name, round+1, rounds, time.Since(began).Round(time.Second))
	}
	out.Seconds = math.Round(time.Since(began).Seconds())
	return out, ours
}

// optional are servers of ours that this version may not have.
var optional = map[string]bool{"sallyport-relay-masked": true}

// note is one figure.
type note struct {
	of, what string
	value    float64
}

// once runs one server for one measurement. Its figures count together or not at
// all, so that rounds can be compared.
func (l *lab) once(r *row, name string) (version string, notes []note, err error) {
	s, err := l.start(name, r)
	if err != nil {
		return "", nil, err
	}
	defer s.stop()
	err = r.measure(l, s, func(of, what string, value float64) {
		notes = append(notes, note{of, what, value})
	})
	for _, n := range notes {
		if err == nil && (math.IsNaN(n.value) || math.IsInf(n.value, 0)) {
			err = fmt.Errorf("%s, %s: nothing was counted", n.of, n.what)
		}
	}
	return s.version, notes, err
}

// oneLine is the beginning of an error's text, short enough for a table, and
// without folders of ours.
func (l *lab) oneLine(err error) string {
	text := strings.ReplaceAll(err.Error(), l.scratch+"/", "")
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
