package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxList bounds the members of one list.
const maxList = 4096

// decode fills to from tree, row by row: what is written, else the default.
// Sections that are optional and not written stay nil, and so do their keys.
func decode[T any](l *loader, rows []row[T], to *T, tree *node, prefix string) {
	var absent []string
	for _, r := range rows {
		if slices.ContainsFunc(absent, func(s string) bool { return strings.HasPrefix(r.key, s+".") }) {
			continue
		}
		n, key := tree.lookup(r.key), join(prefix, r.key)
		if n != nil && n.broken {
			l.broken[key], l.nodes[key] = true, n
		}
		switch target := r.in(to).(type) {
		case section:
			if n != nil {
				l.nodes[key] = n
			}
		case optional:
			if n == nil || n.kind != mapping {
				absent = append(absent, r.key)
				continue
			}
			l.nodes[key] = n
			target.make()
		default:
			if n == nil && r.def != "" {
				n = fromText(target, r.def, Position{Source: "default"})
			}
			if n == nil || n.broken {
				continue
			}
			l.nodes[key] = n
			if err := l.value(r.entry(target), n, key); err != nil {
				l.bad(n, key, "%v", err)
			}
		}
	}
}

func (r row[T]) entry(target any) entry {
	return entry{key: r.key, doc: r.doc, def: r.def, note: r.note, oneOf: r.oneOf,
		least: r.least, most: r.most, secret: r.secret, path: r.path, target: target}
}

// bad reports a mistake about the value of key.
func (l *loader) bad(n *node, key, format string, args ...any) {
	l.broken[key] = true
	at := n.at
	if n.kind == null {
		at = n.key
	}
	l.report(at, key, format, args...)
}

// fromText makes the node of a value that a default, variable or flag gives as
// text: commas separate the members of a list.
func fromText(target any, s string, at Position) *node {
	switch target.(type) {
	case *[]string, *Peers:
		n := &node{kind: list, at: at, key: at}
		for item := range strings.SplitSeq(s, ",") {
			if item = strings.TrimSpace(item); item != "" {
				n.items = append(n.items, &node{kind: scalar, text: item, at: at, key: at})
			}
		}
		return n
	}
	return &node{kind: scalar, text: s, at: at, key: at}
}

// value stores n at the entry's target, or says what is wrong with it.
func (l *loader) value(e entry, n *node, key string) error {
	name := key[strings.LastIndexByte(key, '.')+1:]
	if n.kind == null {
		return fmt.Errorf("%q has no value: write one, or remove the key", name)
	}
	switch t := e.target.(type) {
	case *[]string:
		return l.strings(t, n, key, name)
	case *Peers:
		return l.peers(t, n, key, name)
	case *map[string]string:
		return l.pairs(t, n, key, name)
	case *[]KeyPair:
		return l.keyPairs(t, n, key, name)
	}
	if n.kind != scalar {
		return fmt.Errorf("%q is one value, not %s", name, n.kind)
	}
	if e.secret {
		return l.secret(e.target.(*Secret), n, name)
	}
	if !printable(n.text) {
		return fmt.Errorf("%q has characters that cannot be printed", name)
	}
	switch t := e.target.(type) {
	case *string:
		return l.string(t, e, n, name)
	case *bool:
		if n.text != "true" && n.text != "false" {
			return fmt.Errorf("%q is true or false, not %q", name, n.text)
		}
		*t = n.text == "true"
		return nil
	case *int:
		v, err := parseDigits(n.text)
		if err != nil {
			return fmt.Errorf("%q is a whole number, not %q", name, n.text)
		}
		*t = int(v)
		return between(e, v, name, n.text, func(v int64) string { return fmt.Sprint(v) })
	case *Size:
		v, err := ParseSize(n.text)
		*t = v
		return cmp.Or(err, between(e, int64(v), name, n.text, func(v int64) string { return Size(v).String() }))
	case *Rate:
		v, err := ParseRate(n.text)
		*t = v
		return cmp.Or(err, between(e, int64(v), name, n.text, func(v int64) string { return Rate(v).String() }))
	case *ByteRate:
		v, err := ParseByteRate(n.text)
		*t = v
		return cmp.Or(err, between(e, int64(v), name, n.text, func(v int64) string { return ByteRate(v).String() }))
	case *time.Duration:
		v, err := parseDuration(n.text)
		*t = v
		return cmp.Or(err, between(e, int64(v), name, n.text, func(v int64) string { return formatDuration(time.Duration(v)) }))
	}
	return fmt.Errorf("%q cannot be set", name) // a row of the table without a case here; a test sets every key
}

func between(e entry, v int64, name, text string, format func(int64) string) error {
	switch {
	case v < e.least:
		return fmt.Errorf("%s: %s is too small, at least %s", name, text, format(e.least))
	case v > e.most:
		return fmt.Errorf("%s: %s is too large, at most %s", name, text, format(e.most))
	}
	return nil
}

func (l *loader) string(t *string, e entry, n *node, name string) error {
	*t = n.text
	if e.oneOf != "" {
		words := strings.Fields(e.oneOf)
		if !slices.Contains(words, n.text) {
			msg := fmt.Sprintf("%s: %q is none of %s", name, n.text, strings.Join(words, ", "))
			if near := nearest(n.text, words); near != "" {
				msg += fmt.Sprintf("; did you mean %q?", near)
			}
			return fmt.Errorf("%s", msg)
		}
	}
	if e.path && n.text != "" && !(e.key == "state" && n.text == "memory") {
		*t = resolve(n.text, n.at)
	}
	return nil
}

func (l *loader) strings(t *[]string, n *node, key, name string) error {
	if n.kind != list {
		return fmt.Errorf("%q is a list: write [%s]", name, listHint(n))
	}
	if len(n.items) > maxList {
		return fmt.Errorf("%q has more than %d members", name, maxList)
	}
	*t = []string{}
	for i, item := range n.items {
		member := fmt.Sprintf("%s[%d]", key, i)
		l.nodes[member] = item
		switch {
		case item.broken:
		case item.kind != scalar:
			l.bad(item, key, "a member of %q is one value, not %s", name, item.kind)
		case !printable(item.text):
			l.bad(item, key, "a member of %q has characters that cannot be printed", name)
		case slices.Contains(*t, item.text):
			l.bad(item, key, "%q is in %q twice", item.text, name)
		default:
			*t = append(*t, item.text)
			continue
		}
		l.broken[member] = true
	}
	return nil
}

func listHint(n *node) string {
	if n.kind == scalar && printable(n.text) && len(n.text) < 80 {
		return n.text
	}
	return "…"
}

func (l *loader) peers(t *Peers, n *node, key, name string) error {
	var members []string
	if err := l.strings(&members, n, key, name); err != nil {
		return err
	}
	for i, item := range n.items {
		if l.broken[fmt.Sprintf("%s[%d]", key, i)] {
			continue
		}
		if err := t.ParsePeer(item.text); err != nil {
			l.bad(item, key, "%v", err)
		}
	}
	return nil
}

func (l *loader) pairs(t *map[string]string, n *node, key, name string) error {
	if n.kind != mapping {
		return fmt.Errorf("%q is a mapping, not %s", name, n.kind)
	}
	*t = map[string]string{}
	for _, f := range n.fields {
		key := join(key, f.name)
		l.nodes[key] = f.value
		if f.value.broken {
			l.broken[key] = true
			continue
		}
		if f.value.kind != scalar {
			l.bad(f.value, key, "%q is one value, not %s", f.name, f.value.kind)
			continue
		}
		(*t)[f.name] = f.value.text
	}
	return nil
}

func (l *loader) keyPairs(t *[]KeyPair, n *node, key, name string) error {
	if n.kind != list {
		l.hide(n)
		return fmt.Errorf("%q is a list: begin each certificate with \"- cert: …\"", name)
	}
	if len(n.items) > maxList {
		return fmt.Errorf("%q has more than %d members", name, maxList)
	}
	for i, item := range n.items {
		member := fmt.Sprintf("%s[%d]", key, i)
		l.nodes[member] = item
		if item.broken {
			l.broken[member] = true
			continue
		}
		if item.kind != mapping {
			l.bad(item, key, "a member of %q is {cert: …, key: …}, not %s", name, item.kind)
			l.broken[member] = true
			l.hide(item)
			continue
		}
		var pair KeyPair
		for _, f := range item.fields {
			target := map[string]*string{"cert": &pair.Cert, "key": &pair.Key}[f.name]
			l.nodes[member+"."+f.name] = f.value
			switch {
			case f.value.broken:
			case target == nil:
				l.hide(f.value)
				l.report(f.value.key, key, "unknown key %q in %q; there are cert and key", f.name, name)
			case f.value.kind != scalar:
				l.bad(f.value, key, "%q is one value, not %s", f.name, f.value.kind)
			case strings.Contains(f.value.text, "-----BEGIN") || !printable(f.value.text) || f.value.text == "":
				l.hide(f.value)
				l.bad(f.value, key, "%q is the name of a PEM file, never its content", f.name)
			default:
				*target = resolve(strings.TrimPrefix(f.value.text, "file:"), f.value.at)
				continue
			}
			l.broken[member] = true
		}
		*t = append(*t, pair)
	}
	return nil
}

func (l *loader) secret(t *Secret, n *node, name string) error {
	if !isReference(n.text) {
		l.text.hide(n.at)
		return fmt.Errorf("%q is given inline: keep it in a file that only this account can read and write \"file:/path\" here, or \"env:NAME\"", name)
	}
	t.ref = n.text
	if path, ok := strings.CutPrefix(n.text, "file:"); ok {
		t.ref = "file:" + resolve(path, n.at)
	}
	t.lookup = func(name string) (string, bool) { v, ok := l.env[name]; return v, ok }
	if v, ok := strings.CutPrefix(n.text, "env:"); ok {
		l.used[v] = true
	}
	return nil
}
