package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Show prints the effective configuration as YAML that [Load] reads again, each
// value with a comment that says where it comes from. Secrets are references
// always; masked hides what they refer to and the query strings of URLs too.
func Show(w io.Writer, f *File, o Origins, masked bool) error {
	s := &shower{origins: o, masked: masked}
	show(s, top, f, "", "")
	if len(f.Gates) > 0 {
		s.line("gates:", Position{})
	}
	for i := range f.Gates {
		s.item = true
		show(s, perGate, &f.Gates[i], fmt.Sprintf("gates[%d]", i), "    ")
	}
	_, err := w.Write(s.out.Bytes())
	return err
}

type shower struct {
	out     bytes.Buffer
	origins Origins
	masked  bool
	item    bool // the next line begins a member of a list
}

// line writes one line and, in a column of its own, where it comes from.
func (s *shower) line(text string, at Position) {
	if s.item {
		text = strings.Replace(text, "    ", "  - ", 1)
		s.item = false
	}
	if from := at.Brief(); from != "" {
		text += strings.Repeat(" ", max(1, 48-len(text))) + "# " + from
	}
	s.out.WriteString(text + "\n")
}

// show prints the rows of v in their order. Sections without keys and keys that
// have no value are left out.
func show[T any](s *shower, rows []row[T], v *T, prefix, indent string) {
	var pending []string // headings of sections of which nothing is printed yet
	var absent []string
	for _, r := range rows {
		if slices.ContainsFunc(absent, func(a string) bool { return strings.HasPrefix(r.key, a+".") }) {
			continue
		}
		full := join(prefix, r.key)
		depth := strings.Count(r.key, ".")
		name := r.key[strings.LastIndexByte(r.key, '.')+1:]
		pending = pending[:min(len(pending), depth)]
		pad := indent + strings.Repeat("  ", depth)
		at, known := s.origins[full]
		flush := func() {
			for _, h := range pending {
				if h != "" {
					s.line(h, Position{})
				}
			}
			for i := range pending {
				pending[i] = ""
			}
		}
		switch target := r.in(v).(type) {
		case section:
			pending = append(pending, pad+name+":")
		case optional:
			if !known {
				absent = append(absent, r.key)
				continue
			}
			if name == "session" {
				flush()
				s.line(pad+name+": {}", at)
				continue
			}
			pending = append(pending, pad+name+":")
		case *map[string]string:
			if len(*target) > 0 {
				flush()
				s.line(pad+name+":", Position{})
				for _, k := range slices.Sorted(maps.Keys(*target)) {
					s.line(pad+"  "+quote(k)+": "+quote((*target)[k]), s.origins[full+"."+k])
				}
			}
		default:
			if text := s.format(target); known && text != "" {
				flush()
				s.line(pad+name+": "+text, at)
			}
		}
	}
}

// format writes a value as YAML in one line; "" if it is not set.
func (s *shower) format(target any) string {
	switch t := target.(type) {
	case *string:
		if strings.Contains(*t, "://") && s.masked {
			return quote(redact(*t))
		}
		if *t == "" {
			return ""
		}
		return quote(*t)
	case *bool:
		return strconv.FormatBool(*t)
	case *int:
		return strconv.Itoa(*t)
	case *time.Duration:
		return formatDuration(*t)
	case *[]string:
		return quoteList(*t)
	case *Peers:
		return quoteList(t.Strings())
	case *[]KeyPair:
		var parts []string
		for _, p := range *t {
			parts = append(parts, "{cert: "+quote(p.Cert)+", key: "+quote(p.Key)+"}")
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *Secret:
		kind, _, _ := strings.Cut(t.ref, ":")
		if t.IsZero() {
			return ""
		} else if s.masked {
			return quote(kind + ":***")
		}
		return quote(t.ref)
	case fmt.Stringer: // Size, Rate, ByteRate
		return t.String()
	}
	return ""
}

func quoteList(list []string) string {
	parts := make([]string, len(list))
	for i, v := range list {
		parts[i] = quote(v)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// quote writes s so that YAML reads a string again. JSON strings are YAML.
func quote(s string) string {
	const safe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+"
	letter := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z' || s[0] == '/')
	switch lower := strings.ToLower(s); {
	case lower == "null" || lower == "true" || lower == "false":
	case letter && strings.Trim(s, safe) == "":
		return s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string has no way to fail
	return strings.TrimSuffix(b.String(), "\n")
}
