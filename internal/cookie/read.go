package cookie

import (
	"net/http"
	"strings"
)

// Get returns the value of the cookie. All Cookie lines count as one list,
// separated by semicolons. The error is [ErrNone], [ErrMalformed], or
// [ErrAmbiguous] if the name is there twice, or if beside or instead of it there
// is the name without its prefix, in other case, with white space, quotes or
// foreign bytes in or around it, with another prefix, without "=" or after one.
// name must be one that [CheckName] accepts.
func Get(r *http.Request, name string) (value string, err error) {
	lines := r.Header["Cookie"]
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	if size > maxLines {
		return "", ErrMalformed
	}
	base, found := bare(name), 0
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.TrimPrefix(pair, " ") // browsers separate by "; "
			if v, ok := strings.CutPrefix(pair, name+"="); ok {
				value, found = v, found+1
				continue
			}
			if bare(claimed(pair)) == base {
				return "", ErrAmbiguous
			}
		}
	}
	switch {
	case found == 0:
		return "", ErrNone
	case found > 1:
		return "", ErrAmbiguous
	case value == "" || !validValue(value) || len(name)+len(value) > maxPair:
		return "", ErrMalformed
	}
	return value, nil
}

// claimed is the name that a lenient parser could find in a pair: the first
// that is not empty, so that "=name=value" names name.
func claimed(pair string) string {
	for name := range strings.SplitSeq(pair, "=") {
		if fold(name) != "" {
			return name
		}
	}
	return ""
}

// bare is a name as the most lenient parser would compare it, without the
// prefixes that browsers know.
func bare(name string) string {
	name = fold(name)
	for {
		base := name
		for _, prefix := range prefixes {
			base = strings.TrimPrefix(base, prefix)
		}
		if base == name || base == "" {
			return name
		}
		name = base
	}
}

var prefixes = []string{"__host-http-", "__host-", "__secure-", "__http-"}

// fold keeps letters, digits, "-", "_" and ".", in lower case. White space (of
// Unicode too), quotes, signs and control bytes, which some parser somewhere
// trims or ignores, are dropped.
func fold(name string) string {
	plain := true
	for i := range len(name) {
		plain = plain && (name[i] == '-' || name[i] == '_' || name[i] == '.' || 'a' <= name[i] && name[i] <= 'z' || '0' <= name[i] && name[i] <= '9')
	}
	if plain {
		return name
	}
	b := make([]byte, 0, len(name))
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c == '-' || c == '_' || c == '.' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			b = append(b, c)
		}
	}
	return string(b)
}

// Remove takes the named cookies out of the Cookie lines, for forwarding to a
// backend. Names are compared byte for byte, without the white space around
// them. All other bytes stay as they are; a line that has no pair left goes, and
// with the last line the header. The slices that h shares are not written to.
func Remove(h http.Header, names ...string) {
	lines, present := h["Cookie"]
	if !present {
		return
	}
	var kept []string
	for _, line := range lines {
		rest, changed := without(line, names)
		if !changed {
			kept = append(kept, line)
		} else if strings.Trim(rest, "; \t") != "" {
			kept = append(kept, rest)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func without(line string, names []string) (rest string, changed bool) {
	var kept []string
	for pair := range strings.SplitSeq(line, ";") {
		if named(pair, names) {
			changed = true
			continue
		}
		kept = append(kept, pair)
	}
	if !changed {
		return line, false
	}
	return strings.TrimLeft(strings.Join(kept, ";"), " \t"), true
}

func named(pair string, names []string) bool {
	found, _, _ := strings.Cut(pair, "=")
	found = strings.Trim(found, " \t\r\n\v\f")
	for _, name := range names {
		if found == name {
			return true
		}
	}
	return false
}
