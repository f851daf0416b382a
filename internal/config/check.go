package config

import (
	"fmt"
	"slices"
	"strings"
)

// normalise spells out the one shorthand there is: "admin: unix".
func (l *loader) normalise(tree *node) *node {
	for i, f := range tree.fields {
		if f.name == "admin" && f.value.kind == scalar {
			m := &node{kind: mapping, at: f.value.at, key: f.value.key}
			m.fields = []field{{"listen", f.value}}
			tree.fields[i].value = m
		}
	}
	return tree
}

// check finds keys that do not exist and sections that are none. scope is ""
// or "gates" or "defaults"; prefix the dotted key of n within it.
func (l *loader) check(n *node, known []entry, scope, prefix string) {
	for _, f := range slices.Clone(n.fields) {
		key := join(prefix, f.name)
		e, ok := findIn(known, key)
		switch {
		case !ok || scope == "defaults" && key == "path":
			l.unknownKey(n, f, known, scope, prefix)
		case scope == "" && key == "gates":
			l.checkGates(f.value)
		case scope == "" && key == "defaults":
			if l.mustBeMapping(f, "defaults") {
				l.check(f.value, gateEntries, "defaults", "")
			}
		case e.isSection():
			if l.mustBeMapping(f, join(scope, key)) {
				l.check(f.value, known, scope, key)
			}
		case e.secret:
			l.hideInline(f.value)
		}
	}
}

func (l *loader) checkGates(n *node) {
	if n.broken {
		return
	}
	if n.kind != list {
		n.broken = true
		l.hide(n)
		l.report(n.at, "gates", "\"gates\" is a list: begin each gate with \"- path: /…\"")
		return
	}
	for _, item := range n.items {
		if item.broken {
			continue
		}
		if item.kind != mapping {
			l.hide(item)
			l.report(item.at, "gates", "a gate is a mapping of keys, not %s", item.kind)
			continue
		}
		l.check(item, gateEntries, "gates", "")
	}
}

func (l *loader) mustBeMapping(f field, key string) bool {
	if f.value.kind == mapping || f.value.broken {
		return !f.value.broken
	}
	f.value.broken = true
	if holdsSecret(key) {
		l.hide(f.value)
	}
	if f.value.kind == null {
		l.report(f.value.key, key, "%q has nothing below it: write \"%s: {}\", or remove it", f.name, f.name)
	} else {
		l.report(f.value.at, key, "%q is a mapping of keys, not %s", f.name, f.value.kind)
	}
	return false
}

// holdsSecret reports whether a secret lies somewhere below key.
func holdsSecret(key string) bool {
	for _, e := range gateEntries {
		if e.secret && strings.HasPrefix("gates."+e.key, key+".") || e.secret && strings.HasPrefix("defaults."+e.key, key+".") {
			return true
		}
	}
	for _, e := range topEntries {
		if e.secret && strings.HasPrefix(e.key, key+".") {
			return true
		}
	}
	return false
}

// unknownKey reports f with the nearest name. The key that was probably meant
// then counts as complained about, so that it is not also reported as missing.
func (l *loader) unknownKey(n *node, f field, known []entry, scope, prefix string) {
	if !printable(f.name) || len(f.name) > 64 {
		l.hide(f.value)
		l.report(f.value.key, "", "unknown key")
		return
	}
	if scope == "defaults" && prefix == "" && f.name == "path" {
		l.report(f.value.key, "defaults", "\"path\" has no place in \"defaults\": each gate has its own")
		return
	}
	msg := fmt.Sprintf("unknown key %q", f.name)
	if prefix != "" {
		msg += fmt.Sprintf(" in %q", prefix)
	}
	var here []string
	for _, e := range known {
		if rest, ok := strings.CutPrefix(e.key, dotted(prefix)); ok && !strings.Contains(rest, ".") {
			here = append(here, rest)
		}
	}
	key := join(scope, prefix)
	near, other := similar(f.name, here), ""
	meant, ok := findIn(known, join(prefix, near))
	if near == "" {
		other = elsewhere(f.name, scope)
		meant, ok = find(other)
	}
	if !ok || meant.secret || holdsSecret(join(scope, meant.key)) {
		l.hide(f.value) // nobody knows what it is
	}
	if near != "" {
		msg += fmt.Sprintf(", did you mean %q?", near)
		key = join(key, near)
		if n.get(near) == nil {
			n.fields = append(n.fields, field{near, &node{kind: null, broken: true, at: f.value.key, key: f.value.key}})
		}
	} else if other != "" {
		msg += fmt.Sprintf("; there is %q", other)
		key = other
	}
	l.report(f.value.key, key, "%s", msg)
}

func dotted(prefix string) string {
	if prefix == "" {
		return ""
	}
	return prefix + "."
}

// elsewhere returns the full key that ends in name and begins closest to scope.
func elsewhere(name, scope string) string {
	in := func(list []entry, prefix string) string {
		for _, e := range list {
			if e.key == name || strings.HasSuffix(e.key, "."+name) {
				return join(prefix, e.key)
			}
		}
		return ""
	}
	if scope != "" {
		if key := in(gateEntries, scope); key != "" && key != "defaults.path" {
			return key
		}
		return in(topEntries, "")
	}
	if key := in(topEntries, ""); key != "" {
		return key
	}
	return in(gateEntries, "gates")
}

// hide keeps the values below n out of excerpts.
func (l *loader) hide(n *node) {
	if n.kind == scalar {
		l.text.hide(n.at)
	}
	for _, c := range n.items {
		l.hide(c)
	}
	for _, f := range n.fields {
		l.hide(f.value)
	}
}

// hideInline hides what stands where a reference to a secret should.
func (l *loader) hideInline(n *node) {
	if n.kind != scalar || !isReference(n.text) {
		l.hide(n)
	}
}

// isReference reports whether s refers to a secret rather than being one.
func isReference(s string) bool {
	if name, ok := strings.CutPrefix(s, "env:"); ok {
		return envName(name)
	}
	path, ok := strings.CutPrefix(s, "file:")
	return ok && path != "" && printable(path)
}

func envName(s string) bool {
	return s != "" && len(s) <= 256 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == "" && (s[0] < '0' || s[0] > '9')
}

// hideSyntax keeps the value on a line that is no YAML out of its excerpt when
// the key says that it is a secret.
func (l *loader) hideSyntax(at Position) {
	lines := l.text.lines[at.Source]
	if at.Line < 1 || at.Line > len(lines) {
		return
	}
	line := strings.ToLower(lines[at.Line-1])
	for _, word := range []string{"secret", "token", "key", "passw"} {
		if i := strings.Index(line, word); i >= 0 {
			column := len([]rune(line[:i])) + len(word) + 1
			if colon := strings.IndexByte(line[i:], ':'); colon >= 0 {
				column = len([]rune(line[:i+colon])) + 3
			}
			at.Column = column
			l.text.hide(at)
		}
	}
}
