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
// backwards, so that what else the machine does falls on all.
func (l *lab) run(r *row, rounds int) (*resultRow, error) {
	out := &resultRow{
		Name: r.name, Began: time.Now().UTC().Truncate(time.Second), Rounds: rounds, Machine: machine(), Load: load(),
		Commit: l.commit(), Versions: map[string]string{}, Absent: map[string]string{},
	}
	began := time.Now()
	servers := r.servers
	if len(l.only) > 0 {
		servers = l.only
	}
	for round := range rounds {
		order := slices.Clone(servers)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, name := range order {
			if _, absent := out.Absent[name]; absent {
				continue
			}
			version, err := l.once(r, name, func(of, what string, value float64) {
				if !math.IsNaN(value) && !math.IsInf(value, 0) {
					out.Add(name, of, what, value)
				}
			})
			if err != nil && strings.HasPrefix(name, "sallyport") && !optional[name] {
				return nil, fmt.Errorf("%s: %w", name, err) // ours must not fail
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "bench: %s: %s is left out: %v\n", r.name, name, err)
				out.Absent[name] = l.oneLine(err)
				continue
			}
			out.Versions[name] = version
		}
		fmt.Fprintf(os.Stderr, "bench: %s: round %d of %d after %s\n", r.name, round+1, rounds, time.Since(began).Round(time.Second))
	}
	out.Seconds = math.Round(time.Since(began).Seconds())
	return out, nil
}

// optional are servers of ours that this version may not have.
var optional = map[string]bool{"sallyport-relay-masked": true}

// once runs one server for one measurement.
func (l *lab) once(r *row, name string, note func(of, what string, value float64)) (version string, err error) {
	s, err := l.start(name, r)
	if err != nil {
		return "", err
	}
	defer s.stop()
	return s.version, r.measure(l, s, note)
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
