package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Position is where a value comes from.
type Position struct {
	Source string // a file's name, "env NAME", "flag --name", or "default…"
	Line   int    // from 1; 0 outside files
	Column int    // in characters from 1; 0 outside files
	width  int    // characters to mark
	layer  int    // order of the source among all
}

// String returns file:line:column, or the source alone.
func (p Position) String() string {
	if p.Line == 0 {
		return p.Source
	}
	return fmt.Sprintf("%s:%d:%d", p.Source, p.Line, p.Column)
}

// Brief returns file:line, or the source alone.
func (p Position) Brief() string {
	if p.Line == 0 {
		return p.Source
	}
	return fmt.Sprintf("%s:%d", p.Source, p.Line)
}

// Origins says where each value of a [File] was set, by its dotted key: "listen",
// "limits.connections", "gates[0].guard.idle".
type Origins map[string]Position

// Problem is one mistake.
type Problem struct {
	At      Position
	Key     string // dotted key that [Explain] knows; may be empty
	Message string // one or more lines, without secrets
	Excerpt string // the line and a marker below it; empty outside files
}

// String returns position, message and excerpt.
func (p Problem) String() string {
	var b strings.Builder
	if p.At.Source != "" {
		b.WriteString(p.At.String() + ": ")
	}
	b.WriteString(p.Message)
	if p.Excerpt != "" {
		b.WriteString("\n" + p.Excerpt)
	}
	return b.String()
}

// Error is every mistake of a configuration. The program exits with 3.
type Error struct{ Problems []Problem }

// maxProblems bounds a report.
const maxProblems = 100

// Error prints one problem after the other, then their number and what to run next.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxProblems {
			fmt.Fprintf(&b, "… and %d more\n", len(e.Problems)-i)
			break
		}
		b.WriteString(p.String() + "\n")
	}
	if len(e.Problems) == 1 {
		b.WriteString("1 error.")
	} else {
		fmt.Fprintf(&b, "%d errors.", len(e.Problems))
	}
	if i := slices.IndexFunc(e.Problems, func(p Problem) bool { return p.Key != "" }); i >= 0 {
		fmt.Fprintf(&b, " Run \"sallyport config explain %s\".", e.Problems[i].Key)
	}
	return b.String()
}

// text holds the lines of the files, for excerpts, and where on them something
// stands that must not be repeated.
type text struct {
	lines  map[string][]string
	hidden map[string]map[int]int // file, line: first hidden column
}

// hide keeps what begins at p out of every excerpt.
func (t *text) hide(p Position) {
	if p.Line == 0 {
		return
	}
	if t.hidden[p.Source] == nil {
		t.hidden[p.Source] = map[int]int{}
	}
	if old, ok := t.hidden[p.Source][p.Line]; !ok || p.Column < old {
		t.hidden[p.Source][p.Line] = p.Column
	}
}

// maxExcerpt bounds the characters of an excerpt.
const maxExcerpt = 120

// excerpt returns the line of p with a marker below it.
func (t *text) excerpt(p Position) string {
	lines := t.lines[p.Source]
	if p.Line < 1 || p.Line > len(lines) {
		return ""
	}
	line := []rune(strings.TrimRight(lines[p.Line-1], "\r"))
	column := min(max(p.Column-1, 0), len(line))
	width := markWidth(line[column:], p.width)
	if from, ok := t.hidden[p.Source][p.Line]; ok && from-1 < len(line) {
		line = append(slices.Clone(line[:from-1]), []rune("***")...)
		column = min(column, from-1)
		width = min(max(width, 1), len(line)-column)
	}
	line, column = window(line, column)
	width = max(min(width, len(line)-column), 1)
	var b strings.Builder
	fmt.Fprintf(&b, "%5d | ", p.Line)
	for _, r := range line {
		if r != '\t' && !unicode.IsPrint(r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	b.WriteString("\n      | ")
	for _, r := range line[:column] {
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	b.WriteString(strings.Repeat("^", width))
	return b.String()
}

// window cuts a long line so that the column stays in it.
func window(line []rune, column int) ([]rune, int) {
	if len(line) <= maxExcerpt {
		return line, column
	}
	if from := column - maxExcerpt/2; from > 0 {
		line = append([]rune{'…'}, line[from:]...)
		column -= from - 1
	}
	if len(line) > maxExcerpt {
		line = append(slices.Clone(line[:maxExcerpt]), '…')
	}
	return line, column
}

// markWidth returns how many characters to mark: a quoted text to its end.
func markWidth(rest []rune, width int) int {
	if len(rest) > 1 && (rest[0] == '"' || rest[0] == '\'') {
		if i := slices.Index(rest[1:], rest[0]); i >= 0 {
			return i + 2
		}
	}
	return width
}
