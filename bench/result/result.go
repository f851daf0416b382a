// Package result is what a run leaves behind: every figure of every round, in a
// file for each row of the benchmark.
package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Row is one row of the benchmark, as it was run.
type Row struct {
	Name     string            `json:"name"`
	Began    time.Time         `json:"began"`
	Seconds  float64           `json:"seconds"` // that it took
	Rounds   int               `json:"rounds"`
	Machine  string            `json:"machine"`
	Load     float64           `json:"load"`   // of other work, before it began
	Commit   string            `json:"commit"` // of ours
	Versions map[string]string `json:"versions"`
	Absent   map[string]string `json:"absent,omitempty"` // servers that did not take part, and why
	Cells    []*Cell           `json:"cells"`
}

// Cell is one server in one case: a value for each round, by what was measured.
type Cell struct {
	Server string               `json:"server"`
	Case   string               `json:"case"`
	Values map[string][]float64 `json:"values"`
}

// Add appends the value of a round.
func (r *Row) Add(server, of, what string, value float64) {
	i := slices.IndexFunc(r.Cells, func(c *Cell) bool { return c.Server == server && c.Case == of })
	if i < 0 {
		i = len(r.Cells)
		r.Cells = append(r.Cells, &Cell{Server: server, Case: of, Values: map[string][]float64{}})
	}
	r.Cells[i].Values[what] = append(r.Cells[i].Values[what], value)
}

// Get returns the values of all rounds; none if it was not measured.
func (r *Row) Get(server, of, what string) Values {
	for _, c := range r.Cells {
		if c.Server == server && c.Case == of {
			return c.Values[what]
		}
	}
	return nil
}

// Values are the figures of all rounds, in their order.
type Values []float64

// Median is the middle one, or between the two middle ones.
func (v Values) Median() float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// Range is the least and the most of them.
func (v Values) Range() (least, most float64) {
	if len(v) == 0 {
		return 0, 0
	}
	return slices.Min(v), slices.Max(v)
}

// Over divides round by round; rounds that one of them does not have are left out.
func (v Values) Over(w Values) Values {
	var out Values
	for i := range min(len(v), len(w)) {
		if w[i] != 0 {
			out = append(out, v[i]/w[i])
		}
	}
	return out
}

// Scaled is each of them, times a factor.
func (v Values) Scaled(by float64) Values {
	out := slices.Clone(v)
	for i := range out {
		out[i] *= by
	}
	return out
}

// Plus adds round by round.
func (v Values) Plus(w Values) Values {
	var out Values
	for i := range min(len(v), len(w)) {
		out = append(out, v[i]+w[i])
	}
	return out
}

// Save writes a row into a folder.
func Save(folder string, r *Row) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, r.Name+".json"), append(compact(b), '\n'), 0o644)
}

// Load reads a row; nil if there is none.
func Load(folder, name string) (*Row, error) {
	b, err := os.ReadFile(filepath.Join(folder, name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &Row{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s.json: %w", name, err)
	}
	return r, nil
}

// compact puts lists of numbers on one line, so that a file can be read and a
// difference too.
func compact(b []byte) []byte {
	var out []byte
	quoted, list := false, false
	for i, c := range b {
		switch {
		case c == '"' && b[i-1] != '\\': // a file begins with a brace
			quoted = !quoted
		case quoted:
		case c == '[':
			list = startsNumber(b[i+1:])
		case c == ']':
			list = false
		case list && (c == '\n' || c == ' '):
			continue
		}
		out = append(out, c)
	}
	return out
}

// startsNumber reports whether the first byte that is no space is of a number.
func startsNumber(b []byte) bool {
	b = bytes.TrimLeft(b, " \n")
	return len(b) > 0 && (b[0] == '-' || '0' <= b[0] && b[0] <= '9')
}
