package config

import (
	"strings"
	"unicode"
)

// Nearest returns the name that a human probably meant by got; "" if none is
// close: at most one edit per three characters.
func Nearest(got string, names []string) string { return nearest(got, names) }

// nearest returns the name that a human probably meant by got; "" if none is
// close: at most one edit per three characters, two swapped ones being one edit.
func nearest(got string, names []string) string {
	best, bound := "", max(1, len(got)/3)+1
	for _, name := range names {
		if d := distance(got, name); d < bound {
			best, bound = name, d
		}
	}
	return best
}

// similar is nearest or, if none is near, the longest name that got begins with:
// idle for idle_timeout.
func similar(got string, names []string) string {
	best := nearest(got, names)
	if best != "" {
		return best
	}
	for _, name := range names {
		if len(name) > len(best) && strings.HasPrefix(got, name+"_") {
			best = name
		}
	}
	return best
}

// distance counts insertions, deletions, replacements and swaps of neighbours.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var d [66][66]int
	for i := range len(a) + 1 {
		d[i][0] = i
	}
	for j := range len(b) + 1 {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if fold(a[i-1]) == fold(b[j-1]) {
				change = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+change)
			if i > 1 && j > 1 && fold(a[i-1]) == fold(b[j-2]) && fold(a[i-2]) == fold(b[j-1]) {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// fold makes spellings equal that differ by case, hyphen and underscore only.
func fold(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c == '-':
		return '_'
	}
	return c
}

// printable reports whether s may be repeated in a message.
func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
